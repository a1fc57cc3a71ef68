"""Python sources read without running them: what they define, where modules lie, their hashes."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import os
import re
import sys
import sysconfig
import textwrap
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import FrozenImporter, ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType
from typing import Any

from kerasgrid.errors import ModelError
from kerasgrid.io import MOST_BESIDE, read_input

_PACKAGES = {"site-packages", "dist-packages"}
"""What folders of installed packages are called."""
_Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse_source(path: Path, shown: str) -> ast.Module:
    """Returns the syntax tree of a Python file.

    Args:
        shown: What messages call it.

    Raises:
        ModelError: It cannot be read or is no Python; names the line.
    """
    return _parse(_read(path, shown), path, shown)


def _read(path: Path, shown: str) -> bytes:
    try:
        return read_input(path, MOST_BESIDE)
    except FileNotFoundError as error:
        raise ModelError(f"{shown}: no such file. Looked for {path}.") from error
    except OSError as error:
        raise ModelError(f"{shown}: cannot be read ({error.strerror}).") from error


def _parse(content: bytes, path: Path, shown: str) -> ast.Module:
    try:
        return ast.parse(content, filename=str(path))
    except SyntaxError as error:
        where = shown if error.lineno is None else f"{shown}:{error.lineno}"
        raise ModelError(f"{where}: {type(error).__name__}: {error.msg}.") from error
    except (ValueError, RecursionError, MemoryError) as error:
        # Null bytes, or an expression nested too deep for the parser.
        reason = str(error) or type(error).__name__
        raise ModelError(f"{shown}: is no Python that can be read ({reason}).") from error


def definitions(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Returns the statements that may bind each name of a module; `*` stands for star imports.

    A statement at the top level replaces those before it; one under `if`, `try`, ... adds to them.
    """
    found: dict[str, list[ast.stmt]] = {}
    for statement, nested in _statements(tree.body):
        for name in _bound_by(statement):
            found[name] = [*(found.get(name, []) if nested else []), statement]
    return found


def definition(tree: ast.Module, name: str) -> ast.FunctionDef | None:
    """Returns the plain function that a name is bound to; None where only running the file can tell."""
    match definitions(tree).get(name):
        case [ast.FunctionDef(decorator_list=[]) as function]:
            return function
        case _:
            return None


def _statements(body: list[ast.stmt], nested: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    for statement in body:
        yield statement, nested
        if isinstance(statement, _Function | ast.ClassDef):
            continue
        for _, value in ast.iter_fields(statement):
            for part in value if isinstance(value, list) else []:
                if isinstance(part, ast.stmt):
                    yield from _statements([part], nested=True)
                elif isinstance(part, ast.ExceptHandler | ast.match_case):
                    yield from _statements(part.body, nested=True)


def _bound_by(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Import():
            return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
        case ast.ImportFrom():
            return [alias.asname or alias.name for alias in statement.names]
        case _:
            parts = [node for node in ast.iter_child_nodes(statement) if not isinstance(node, ast.stmt)]
            nodes = [node for part in parts for node in ast.walk(part)]
            return [
                node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            ]


def locate_module(name: str, *folders: Path) -> ModuleSpec | None:
    """Returns where a module lies without importing it or its parents; None where there is none.

    Args:
        name: Dotted.
        folders: They are looked into before sys.path.
    """
    importlib.invalidate_caches()
    found = _find_modules(name, folders)
    return found[-1] if found else None


def _find_modules(name: str, folders: Sequence[Path]) -> list[ModuleSpec]:
    """Returns where a module's parents and it lie, in folders as they were when caches were last invalidated.

    None of them is there without the last one.
    """
    top, *rest = name.split(".")
    if not all(part.isidentifier() for part in (top, *rest)):
        return []
    spec, full = _find_top(top, folders), top
    found = [] if spec is None else [spec]
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return []
        places = list(spec.submodule_search_locations)
        if full == "keras":  # 3.8 and 3.9 put this folder on its path when it is imported
            places += [os.path.join(place, "api") for place in places]
        full = f"{full}.{part}"
        spec = _found(PathFinder, part, places)
        if spec is not None:
            spec.name = full  # which a plain folder would look up among what has been imported
            found.append(spec)
    return found if spec is not None else []


def _find_top(name: str, folders: Sequence[Path]) -> ModuleSpec | None:
    """Returns where a module without parents lies; a plain folder of its name counts if nothing else does."""
    places: list[tuple[Any, list[str] | None]] = [(PathFinder, [str(folder)]) for folder in folders]
    plain = None
    # Editable installs bring finders of their own, so sys.path alone would not do.
    for finder, path in [*places, *((finder, None) for finder in sys.meta_path)]:
        spec = _found(finder, name, path)
        if spec is not None and spec.origin is not None:
            return spec
        plain = plain or spec
    return plain


def _found(finder: Any, name: str, path: list[str] | None) -> ModuleSpec | None:
    spec: ModuleSpec | None = finder.find_spec(name, path)
    if spec is not None and spec.origin is None and spec.submodule_search_locations is not None:
        spec.submodule_search_locations = list(spec.submodule_search_locations)  # of now
    return spec


def source_file(spec: ModuleSpec) -> Path | None:
    """Returns a module's .py file; None for compiled modules and namespace packages."""
    origin = spec.origin if spec.has_location else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


@dataclass(frozen=True)
class Home:
    """A folder, and which modules are its own for the files in it.

    An import in one of them finds what it would find if Python ran a script there: what is built into
    Python, else what is in the folder, else what is on the path. What lies in the folder is its own, by
    whichever name it was found; what is installed there, as in a virtual environment, is not.

    Attributes:
        folder: Resolved.
        base: A folder that is looked into before sys.path.
    """

    folder: Path
    base: Path

    def find(self, name: str) -> list[ModuleSpec]:
        """Returns where a module's parents and it lie, if it is the folder's own; else nothing."""
        top = name.partition(".")[0]
        if top in sys.builtin_module_names or FrozenImporter.find_spec(top) is not None:
            return []
        found = _find_modules(name, (self.folder, self.base))
        if not found:
            return []
        last = found[-1]
        places = [last.origin] if last.has_location else list(last.submodule_search_locations or ())
        return found if any(place is not None and self.holds(Path(place)) for place in places) else []

    def find_top(self, name: str) -> ModuleSpec | None:
        """Returns where a module without parents lies, whosever it is."""
        return _find_top(name, (self.folder, self.base))

    def holds(self, path: Path) -> bool:
        """Tells whether a file or folder is its own."""
        real = Path(os.path.realpath(path))
        is_inside = real.is_relative_to(self.folder) or path.absolute().is_relative_to(self.folder)
        return is_inside and (not is_installed(real) or is_installed(self.folder))


@dataclass(frozen=True)
class PythonFile:
    """A file of a model's source.

    Attributes:
        path: Resolved.
        content: As it was read.
        runs: The other files of the same home that its imports run, sorted.
        text: Its code as `code_text` tells it; None where an expression is nested too deep for that.
    """

    path: Path
    content: bytes
    runs: tuple[str, ...]
    text: str | None


def read_sources(path: Path, shown: str, home: Home, module: str | None = None) -> dict[str, PythonFile]:
    """Returns a file and those of its home that it imports, by their paths from the file's folder.

    Args:
        shown: What messages call it.
        home: Where its imports are looked for.
        module: The file's dotted name, from which its relative imports count; None for a file that is
            at the top of its home.

    Raises:
        ModelError: A file cannot be read or is no Python.
    """
    importlib.invalidate_caches()  # once, not for each import: every folder on the path is listed anew
    run_by = functools.cache(lambda name: _run_by(name, home))  # a module is imported by many
    start = Path(os.path.realpath(path))
    pending = [(start, shown, module or start.stem)]
    pending += [(Path(file), file, name) for file, name in run_by(module or "").items()]
    found: dict[str, PythonFile] = {}
    while pending:
        file, called, name = pending.pop()
        key = Path(os.path.relpath(file, start.parent)).as_posix()
        if key in found:
            continue
        content = _read(file, called)
        code = _code(content, file, called)
        runs: dict[str, str] = {}
        is_package = file.name == "__init__.py" and name.rpartition(".")[2] != "__init__"
        for imported in _absolute(code.imports, name, is_package):
            runs |= run_by(imported)
        pending += [(Path(file), file, name) for file, name in runs.items()]
        found[key] = PythonFile(file, content, tuple(sorted(runs)), code.text)
    return found


def _run_by(module: str, home: Home) -> dict[str, str]:
    """Returns the files of a home that importing a module runs, and their dotted names.

    A parent without code, as an empty __init__.py, runs nothing; one that is installed does not change.
    """
    found: dict[str, str] = {}
    specs = home.find(module)
    for spec in specs:
        file = source_file(spec)
        if file is None or not home.holds(file):
            continue
        path = os.path.realpath(file)
        if spec is not specs[-1]:
            content = _read(Path(path), path)
            if is_installed(home.folder) or _code(content, Path(path), path).is_empty:
                continue
        found[path] = spec.name
    return found


def sources_digest(sources: Mapping[str, PythonFile]) -> str:
    """Returns a hash of what files do, 64 hex digits: comments, formatting and docstrings do not count.

    Raises:
        ModelError: One of them is nested too deep to be read.
    """
    texts = {key: source.text for key, source in sorted(sources.items())}
    for key, text in texts.items():
        if text is None:
            raise ModelError(f"{key}: an expression in it is nested too deep to be read.")
    return _sha256("".join(f"{key}\0{text}\0" for key, text in texts.items()))


_Import = tuple[int, str, tuple[str, ...]]


@dataclass(frozen=True)
class _Code:
    """What a file holds.

    Attributes:
        imports: Level, module and names of each; an `import` has no names.
        is_empty: Whether nothing is run.
        text: As `code_text` tells it; None where an expression is nested too deep for that.
    """

    imports: tuple[_Import, ...]
    is_empty: bool
    text: str | None


@functools.lru_cache(maxsize=256)
def _code(content: bytes, path: Path, shown: str) -> _Code:
    tree = _parse(content, path, shown)
    imports: list[_Import] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    is_empty = all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in tree.body)
    try:
        text: str | None = code_text(tree)
    except RecursionError:
        text = None
    return _Code(tuple(imports), is_empty, text)


def _absolute(imports: Iterable[_Import], module: str, is_package: bool) -> Iterator[str]:
    """Yields the dotted names that imports in a module may mean."""
    package = module.split(".")
    for level, name, names in imports:
        climbed = level - is_package
        if level and climbed > len(package):
            continue  # beyond the outermost package: it fails when it is run
        start = package[: len(package) - climbed] if level else []
        parts = [*start, *([name] if name else [])]
        if parts:
            yield ".".join(parts)
        yield from (".".join([*parts, item]) for item in names if item != "*")


def code_text(tree: ast.AST) -> str:
    """Returns code in one formatting, without comments and docstrings; changes the tree."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | _Function)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def definition_digest(tree: ast.Module, name: str) -> str | None:
    """Returns a function's `function_digest` from its module's source; None where only running can tell."""
    match definitions(tree).get(name):
        case [ast.FunctionDef() as function]:
            return _sha256(code_text(ast.Module([function], [])))
        case _:
            return None


def function_digest(function: Callable[..., Any]) -> str:
    """Returns a hash that tells whether a function in hand changed, 64 hex digits.

    It covers its source without comments, formatting and docstrings, else its byte code and constants,
    the arguments of a partial, and of a method the others of its class; neither what it calls nor what it
    closes over.
    """
    if isinstance(function, functools.partial):
        given = f"{function.args!r} {sorted(function.keywords.items())!r}"
        return _sha256(f"{function_digest(function.func)} {given}")
    owner = getattr(function, "__self__", None)
    if inspect.ismethod(function) and not isinstance(owner, type):  # a HyperModel's, which may have a fit
        own = [item for item in vars(type(owner)).values() if inspect.isfunction(item)]
        return _sha256(" ".join(map(function_digest, own)) or function_digest(function.__func__))
    function = inspect.unwrap(function)
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function)
    code = getattr(function, "__code__", None)
    try:
        if code is not None and code.co_filename == "<string>":  # Python 3.13 may give another's text
            raise OSError
        text = code_text(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):
        # No file holds it, or its lines are no statement of their own, as a lambda's in a call.
        text = repr(function) if code is None else _code_text(code)
    return _sha256(text)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _code_text(code: CodeType) -> str:
    constants = [_code_text(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames}"


_LINES_OF_GRAPH = re.compile(r'^ *File "([^"\n]+)", line (\d+)', re.MULTILINE)


_NODE = re.compile(r"(?:node |\{\{node )([\w/.]+)")


def layer_line(error: BaseException, path: Path, function: str = "") -> int | None:
    """Returns the line of a Python file that makes the layer in whose part of a graph an error arose.

    TensorFlow tells of a node such as `sequential_1/embedding_1/GatherV2`, from the outermost model in. None
    where it is not one line, of the file or of the function, that makes a layer of such a name.

    Args:
        error: As TensorFlow raises it.
        path: The model function's file.
        function: Its name.
    """
    node = _NODE.search(str(error))
    if node is None:
        return None
    parts = [re.sub(r"(_\d+)+$", "", part) for part in node[1].split("/")[:-1]]
    try:
        tree = parse_source(path, path.name)
    except ModelError:
        return None
    places = [place for place in (tree, definition(tree, function)) if place is not None]
    calls = [[found for found in ast.walk(place) if isinstance(found, ast.Call)] for place in places]
    for part in reversed(parts):
        for of_place in calls:
            lines = [call.lineno for call in of_place if _as_layer(call.func) == part]
            if len(lines) == 1:
                return lines[0]
    return None


def _as_layer(called: ast.expr) -> str | None:
    """Returns what Keras calls a layer of a class by itself, such as batch_normalization."""
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)
    if not isinstance(name, str):
        return None
    words = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()


def line_in(error: BaseException, file: str) -> int | None:
    """Returns the last line of a file that an error passed through; None where it passed none."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if lines:
        return lines[-1]
    return error.lineno if isinstance(error, SyntaxError) and error.filename == file else None


def users_line(error: BaseException) -> tuple[str, int] | None:
    """Returns the file and the last line of the user's own code that an error passed through; None for none.

    That is what is neither this package, nor installed, nor Python's own library. A graph of TensorFlow's was
    made before it failed: its error tells in its text where, from the program that called this package on.
    """
    own = os.path.join(Path(__file__).resolve().parents[1], "")
    others = (own, *_installed())
    graph = [(file, int(line)) for file, line in _LINES_OF_GRAPH.findall(str(error))]
    of_own = [place for place, (file, _) in enumerate(graph) if os.path.realpath(file).startswith(own)]
    found = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    found += graph[of_own[-1] :] if of_own else graph
    for name, line in reversed(found):
        file = os.path.realpath(name)
        if line is not None and os.path.isfile(file) and not file.startswith(others):
            return name, line
    return None


def is_standard(path: Path) -> bool:
    """Tells whether a resolved path is of a Python's own library, this one's or another's."""
    for folder in path.parents:
        if folder.name in _PACKAGES:
            return False
        if (folder / "os.py").is_file() and (folder / "encodings").is_dir():
            return True
    return False


def is_installed(path: Path) -> bool:
    """Tells whether a resolved path is of an installed package or of Python's own library."""
    return not _PACKAGES.isdisjoint(path.parts) or str(path).startswith(_installed())


@functools.cache
def _installed() -> tuple[str, ...]:
    """Returns the folders of installed packages and of Python's own library."""
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(os.path.join(os.path.realpath(path), "") for path in found if path)
