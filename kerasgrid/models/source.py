"""Python sources read without running them: what they define, where modules lie, their hashes."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import os
import sys
import sysconfig
import textwrap
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import CodeType
from typing import Any

from kerasgrid.errors import ModelError

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def parse_source(path: Path, shown: str) -> ast.Module:
    """Returns the syntax tree of a Python file.

    Args:
        path: The file.
        shown: What messages call it.

    Raises:
        ModelError: It cannot be read or is no Python; names the line.
    """
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except FileNotFoundError as error:
        raise ModelError(f"{shown}: no such file. Looked for {path}.") from error
    except OSError as error:
        raise ModelError(f"{shown}: cannot be read ({error.strerror}).") from error
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


def locate_module(name: str, base: Path) -> ModuleSpec | None:
    """Returns where a module lies without importing it or its parents; None where there is none.

    Args:
        name: Dotted.
        base: A folder that is looked into before sys.path.
    """
    importlib.invalidate_caches()
    return _find_module(name, base)


def _find_module(name: str, base: Path) -> ModuleSpec | None:
    """Returns what `locate_module` does, of folders as they were when caches were last invalidated."""
    top, *rest = name.split(".")
    if not all(part.isidentifier() for part in (top, *rest)):
        return None
    spec = PathFinder.find_spec(top, [str(base)])
    for finder in sys.meta_path:
        # Editable installs bring finders of their own, so sys.path alone would not do.
        spec = spec or finder.find_spec(top, None)
    full = top
    for part in rest:
        if spec is None or spec.submodule_search_locations is None:
            return None
        full = f"{full}.{part}"
        spec = PathFinder.find_spec(full, list(spec.submodule_search_locations))
    return spec


def source_file(spec: ModuleSpec) -> Path | None:
    """Returns a module's .py file; None for compiled modules and namespace packages."""
    origin = spec.origin if spec.has_location else None
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def sources_digest(path: Path, shown: str, base: Path, module: str | None = None) -> str:
    """Returns a hash of what a file and the files beside it that it imports do, 64 hex digits.

    Comments, formatting and docstrings do not count. Modules elsewhere than in the file's folder or
    below it do not either.

    Args:
        path: The file.
        shown: What messages call it.
        base: The folder that modules are looked for in.
        module: The file's dotted name, from which its relative imports count.

    Raises:
        ModelError: A file cannot be read or is no Python.
    """
    texts: dict[str, str] = {}
    for key, (_, tree) in source_trees(path, shown, base, module).items():
        try:
            texts[key] = code_text(tree)
        except RecursionError as error:
            raise ModelError(f"{key}: an expression in it is nested too deep to be read.") from error
    hashed = hashlib.sha256()
    for key in sorted(texts):
        hashed.update(f"{key}\0{texts[key]}\0".encode("utf-8", "surrogatepass"))
    return hashed.hexdigest()


def source_trees(
    path: Path, shown: str, base: Path, module: str | None = None
) -> dict[str, tuple[Path, ast.Module]]:
    """Returns a file and those beside it that it imports, by their paths from its folder."""
    folder = path.resolve().parent
    trees: dict[str, tuple[Path, ast.Module]] = {}
    pending = [(path.resolve(), shown, module)]
    importlib.invalidate_caches()  # once, not for each import: every folder on the path is listed anew
    while pending:
        file, name, module_name = pending.pop()
        key = file.relative_to(folder).as_posix()
        if key in trees:
            continue
        tree = parse_source(file, name)
        trees[key] = file, tree
        for imported in _imported(tree, module_name, is_package=file.name == "__init__.py"):
            spec = _find_module(imported, base) or _find_module(imported, folder)
            found = None if spec is None else source_file(spec)
            if found is not None and found.resolve().is_relative_to(folder):
                pending.append((found.resolve(), str(found), imported))
    return trees


def _imported(tree: ast.Module, module: str | None, is_package: bool) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = [] if module is None else module.split(".")
            climbed = node.level - is_package
            start = package[: len(package) - climbed] if node.level else []
            parent = ".".join([*start, *([node.module] if node.module else [])])
            if node.level and not start:
                continue  # a relative import in a file that is no part of a package fails when it is run
            if parent:
                yield parent
            yield from (f"{parent}.{alias.name}" for alias in node.names if alias.name != "*")


def code_text(tree: ast.AST) -> str:
    """Returns code in one formatting, without comments and docstrings; changes the tree."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | _Function)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def function_digest(function: Callable[..., Any]) -> str:
    """Returns a hash that tells whether a function in hand changed, 64 hex digits.

    It covers its source without comments, formatting and docstrings, else its byte code and constants,
    and the arguments of a partial; neither what it calls nor what it closes over.
    """
    if isinstance(function, functools.partial):
        text = f"{function_digest(function.func)} {function.args!r} {sorted(function.keywords.items())!r}"
        return hashlib.sha256(text.encode()).hexdigest()
    function = inspect.unwrap(function)
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = type(function)
    try:
        text = code_text(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):
        # No file holds it, or its lines are no statement of their own, as a lambda's in a call.
        code = getattr(function, "__code__", None)
        text = repr(function) if code is None else _code_text(code)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _code_text(code: CodeType) -> str:
    constants = [_code_text(item) if isinstance(item, CodeType) else repr(item) for item in code.co_consts]
    return f"{code.co_code.hex()} {constants} {code.co_names} {code.co_varnames}"


def line_in(error: BaseException, file: str) -> int | None:
    """Returns the last line of a file that an error passed through; None where it passed none."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if lines:
        return lines[-1]
    return error.lineno if isinstance(error, SyntaxError) and error.filename == file else None


def users_line(error: BaseException) -> tuple[str, int] | None:
    """Returns the file and the last line of the user's own code that an error passed through; None for none.

    That is what is neither this package, nor installed, nor Python's own library.
    """
    others = (os.path.join(Path(__file__).resolve().parents[1], ""), *_installed())
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = os.path.realpath(frame.filename)
        if frame.lineno is not None and os.path.isfile(file) and not file.startswith(others):
            return frame.filename, frame.lineno
    return None


@functools.cache
def _installed() -> tuple[str, ...]:
    """Returns the folders of installed packages and of Python's own library."""
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(os.path.join(os.path.realpath(path), "") for path in found if path)
