"""Loads a model function: runs the user's file or module. Done in workers, since such files import Keras.

The modules of a model's folder are its own (`kerasgrid.models.source.Home`). They are kept apart from all
others, so that two folders may each have a `blocks.py`, and so that an edited one is run as its digest says:

- In sys.modules they lie below a package without a file, whose name tells the folder and what is in it:
  what `import blocks` finds in one of them is `kerasgrid_model_1a2b3c4d5e6f.blocks`, and `blocks` remains
  the user's. Files that have changed since are another such package; what was loaded before keeps its own.
- Each is run with an `__import__` that knows this, which Python takes from a module's `__builtins__`. So an
  import in a function's body finds the same modules, whenever that is called; no other module's imports
  are touched, and neither is sys.path.
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import importlib
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from kerasgrid.errors import ChangedError, ModelError, did_you_mean
from kerasgrid.io import MOST_BESIDE, read_input
from kerasgrid.machine import on_node
from kerasgrid.models.references import ModelReference, in_hand, source_digest, sources_of
from kerasgrid.models.source import Home, PythonFile, line_in, locate_module, sources_digest
from kerasgrid.wording import instead_of, is_built

_PREFIX = "kerasgrid_model_"

_loaded: dict[tuple[ModelReference, str], tuple[_Package | None, Callable[..., Any]]] = {}
_packages: dict[str, _Package] = {}
_lock = threading.Lock()


def load_function(reference: ModelReference, source: str | None = None) -> Callable[..., Any]:
    """Runs the file or module of a model function and returns it; a HyperModel's `build`.

    It is run once in a process, and again when it or what it imports from its folder has changed.

    Args:
        source: The digest that its source had when the search began. What has been loaded for it is
            returned again, whatever has become of the files since.

    Raises:
        ModelError: It cannot be run, with the line in the user's file; or the name is no function.
        ChangedError: Its source has another digest.
    """
    if source is not None and (reference, source) in _loaded:
        package, function = _loaded[reference, source]
    else:
        sources = {} if reference.file is None else sources_of(reference)
        digest = sources_digest(sources) if sources else source_digest(reference)
        if source is not None and source != digest:
            raise ChangedError(
                f"{reference}: the source changed while the search was running. Restore it and give the same "
                "command again, or start anew with --fresh."
            )
        package = None if reference.folder is None else _package_of(reference, sources.values())
        function = _function(reference, package)
        if source is not None:
            _loaded[reference, source] = package, function
    if package is not None:
        package.register()
    return function


def _function(reference: ModelReference, package: _Package | None) -> Callable[..., Any]:
    module = None
    try:
        if package is None:
            module = importlib.import_module(str(reference.module))
        else:
            module = package.module_of(reference)
        found = getattr(module, reference.function)
        _check_owner(reference, found)
        found = in_hand(found)
    except (ModelError, MemoryError):
        raise
    except AttributeError as error:
        if module is None or reference.function in vars(module):
            raise _failed(reference, error) from error
        names = [name for name, value in vars(module).items() if callable(value)]
        known = did_you_mean(reference.function, names)
        raise ModelError(f"{reference.place}: there is no {reference.function!r} in it.{known}") from error
    except (Exception, SystemExit) as error:
        raise _failed(reference, error) from error
    if is_built(found):
        raise ModelError(f"{reference.place}: {reference.function!r} is {instead_of(found, 'model')}")
    if not callable(found):
        raise ModelError(
            f"{reference.place}: {reference.function!r} is {found!r}, but must be a function that returns a "
            "new model each time it is called."
        )
    return found


def _check_owner(reference: ModelReference, found: Any) -> None:
    """Refuses what a module has from Python's own library, such as a `system` that it imports."""
    while isinstance(found, functools.partial):
        found = found.func
    owner = getattr(found, "__module__", None) or type(found).__module__
    if callable(found) and str(owner).partition(".")[0] in sys.stdlib_module_names:
        name = getattr(found, "__qualname__", type(found).__qualname__)
        raise ModelError(
            f"{reference.place}: {reference.function!r} is {owner}.{name} of Python's own library, of which "
            "a config runs nothing: name a function of your own or of an installed package."
        )


def _failed(reference: ModelReference, error: BaseException) -> ModelError:
    file = None if reference.file is None else str(reference.file.resolve())
    line = None if file is None else line_in(error, file)
    where = reference.place if line is None else f"{reference.place}:{line}"
    reason = plain_names(str(error).strip()) or "no message"
    told = on_node() if isinstance(error, ImportError) else ""
    return ModelError(f"{where}: loading it failed{told}: {type(error).__name__}: {reason}")


def plain_names(text: str) -> str:
    """Returns a message with the names of modules as they stand in the user's imports."""
    return re.sub(rf"{_PREFIX}\w+\.", "", text)


def _package_of(reference: ModelReference, sources: Iterable[PythonFile]) -> _Package:
    """Returns the modules of a folder whose files are these; the same ones while nothing has changed.

    Their names are those that they have on the driver's machine: saved models tell them.
    """
    home = reference.home
    known = {str(source.path): source for source in sources}
    with _lock:
        for package in _packages.values():
            if package.home == home and package.takes(known):
                break
        else:
            told = [str(home), *(f"{path} {known[path].content!r}" for path in sorted(known))]
            there = repr(told).replace(reference.root, "")
            name = f"{_PREFIX}{hashlib.sha256(there.encode()).hexdigest()[:12]}"
            package = _Package(f"{name}_{len(_packages)}" if name in _packages else name, home)
            _packages[package.name] = package
        package.known |= known
        if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _Finder())
    return package


class _Package:
    """The modules of a folder, in one state of its files.

    Args:
        name: In sys.modules.

    Attributes:
        known: The files that were read to tell what they import, by path.
        read: What others held that were run, as those whose names are made when they are imported.
        builtins: Of its modules.
        modules: Those that have been run, by their names in sys.modules.
    """

    def __init__(self, name: str, home: Home) -> None:
        self.name, self.home = name, home
        self.known: dict[str, PythonFile] = {}
        self.read: dict[str, bytes] = {}
        self.modules: dict[str, ModuleType] = {}
        self.builtins = {**vars(builtins), "__import__": self._import}
        self._importlib = _Importlib(self)
        self._named: dict[str, str] = {}  # the files of modules that have not their file's name
        self._outer: set[str] = set()  # packages around the folder, by which it was found

    def takes(self, sources: Mapping[str, PythonFile]) -> bool:
        """Tells whether files, and what they import, are as they are here."""
        return all(self.known.get(path, source) == source for path, source in sources.items()) and all(
            os.path.isfile(path) and read_input(path, MOST_BESIDE) == content
            for path, content in self.read.items()
        )

    def content(self, path: str) -> bytes:
        """Returns what a file holds in this state of the folder."""
        real = os.path.realpath(path)
        if real in self.known:
            return self.known[real].content
        if real not in self.read:
            self.read[real] = read_input(real, MOST_BESIDE)
        return self.read[real]

    def module_of(self, reference: ModelReference) -> ModuleType:
        """Returns a reference's module, which is run if it has not been."""
        name = reference.module
        if name is None:
            file = Path(os.path.realpath(str(reference.file)))
            if file.suffix != ".py":
                raise ModelError(f"{reference.place}: is no Python file: its name must end in .py.")
            found, name = self.home.find(file.stem), file.stem
            if not found or os.path.realpath(str(found[-1].origin)) != str(file):
                name = re.sub(r"\W", "_", file.name)  # my-net.py is no module's name; net/ goes before net.py
                self._named[f"{self.name}.{name}"] = str(file)
        return importlib.import_module(f"{self.name}.{name}")

    def find(self, full: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Returns how one of its modules is loaded, by its name in sys.modules and its parent's folders."""
        name, origin = full.removeprefix(self.name).removeprefix("."), self._named.get(full)
        locations = [str(self.home.folder)] if not name else None
        if name and origin is None:
            is_seen = "." in name or name in self._outer or self.home.find(name)
            found = PathFinder.find_spec(full, path) if "." in name else self.home.find_top(name)
            if found is None or not is_seen:
                return None
            origin, locations = found.origin, found.submodule_search_locations
        if origin is None:
            spec = ModuleSpec(full, None, is_package=True)
            spec.submodule_search_locations = list(locations or ())
            return spec
        loader = _Loader(self, full, origin) if origin.endswith(".py") else None
        return spec_from_file_location(full, origin, loader=loader, submodule_search_locations=locations)

    def owns(self, name: str, items: Iterable[str] = (), importer: str | None = None) -> bool:
        """Tells whether an import in one of its files finds a module of the folder.

        Args:
            name: Of the module.
            items: What is imported from it.
            importer: The file. Where it has the name of an installed package, it means that, not itself.
        """
        top = name.partition(".")[0]
        found = self.home.find(top)
        if found and importer is not None and found[-1].origin == importer:
            other = locate_module(top)
            return other is None or other.origin == importer
        if found:
            return True
        is_own = any(map(self.home.find, (name, *(f"{name}.{item}" for item in items))))
        if is_own:
            self._outer.add(top)
        return is_own

    def register(self) -> None:
        """Lets names that its modules have registered with Keras mean their classes and functions again."""
        if "keras" not in sys.modules:
            return
        from keras import saving

        for name, module in [*self.modules.items()]:
            for value in [*vars(module).values()]:
                if isinstance(value, type | FunctionType) and value.__module__ == name:
                    registered = saving.get_registered_name(value)
                    if registered != value.__name__:
                        saving.get_custom_objects()[registered] = value

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = None,
        level: int = 0,
    ) -> ModuleType:
        importer = None if globals is None else globals.get("__file__")
        if level == 0 and self.owns(name, fromlist or (), importer):
            found = builtins.__import__(f"{self.name}.{name}", globals, locals, fromlist or (), 0)
            return found if fromlist else sys.modules[f"{self.name}.{name.partition('.')[0]}"]
        found = builtins.__import__(name, globals, locals, fromlist or (), level)
        return self._importlib if found is importlib else found


class _Importlib(ModuleType):
    """importlib as the files of a folder see it: its import_module finds what their imports find."""

    def __init__(self, package: _Package) -> None:
        super().__init__("importlib")
        self._package = package

    def import_module(self, name: str, package: str | None = None) -> ModuleType:
        """Imports a module, as importlib.import_module does."""
        is_own = not name.startswith(".") and self._package.owns(name)
        return importlib.import_module(f"{self._package.name}.{name}" if is_own else name, package)

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib, name)


class _Finder(MetaPathFinder):
    """Finds the modules of packages that have no file."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        package = _packages.get(fullname.partition(".")[0])
        return None if package is None else package.find(fullname, path)


class _Loader(SourceFileLoader):
    """Runs a file as it was read, not by the byte code cache: that overlooks a change within a second."""

    def __init__(self, package: _Package, name: str, path: str) -> None:
        super().__init__(name, path)
        self._package = package

    def get_code(self, fullname: str) -> Any:
        return self.source_to_code(self._package.content(self.path), self.path)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = self._package.builtins
        self._package.modules[module.__name__] = module
        super().exec_module(module)
