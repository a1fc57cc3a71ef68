"""Loads a model function: runs the user's file or module. Done in workers, since such files import Keras."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from kerasgrid.errors import ModelError, did_you_mean
from kerasgrid.models.references import ModelReference
from kerasgrid.models.source import line_in


def load_function(reference: ModelReference) -> Callable[..., Any]:
    """Runs the file or module of a model function and returns it; a HyperModel's `build`.

    A file is run once in a process, and again when it has changed. It may import what lies beside it.

    Raises:
        ModelError: It cannot be run, with the line in the user's file; or the name is no function.
    """
    folder = reference.base if reference.file is None or reference.module else reference.file.parent
    try:
        with _on_path(folder):
            module = (
                _module_of_file(reference)
                if reference.module is None
                else importlib.import_module(reference.module)
            )
            found = getattr(module, reference.function)
            if isinstance(found, type) and any(parent.__name__ == "HyperModel" for parent in found.__mro__):
                found = found()
    except (ModelError, MemoryError):
        raise
    except AttributeError as error:
        if getattr(error, "name", None) != reference.function:
            raise _failed(reference, error) from error
        names = [name for name, value in vars(module).items() if callable(value)]
        known = did_you_mean(reference.function, names)
        raise ModelError(f"{reference.place}: there is no {reference.function!r} in it.{known}") from error
    except (Exception, SystemExit) as error:
        raise _failed(reference, error) from error
    if any(parent.__name__ == "HyperModel" for parent in type(found).__mro__):
        fit = getattr(found, "fit", None)
        if fit is not None and fit.__module__.partition(".")[0] != "keras_tuner":
            raise ModelError(
                f"{reference.place}: {reference.function!r} has a fit() of its own, which is not called: "
                "batch_size, epochs, callbacks and augment are keys of grid.yaml. Leave it out, or name a "
                f"function: def build(hp): return {reference.function}().build(hp)."
            )
        found = found.build
    is_model = hasattr(found, "count_params") and not isinstance(found, type)
    if is_model or not callable(found):
        raise ModelError(
            f"{reference.place}: {reference.function!r} is {'a model' if is_model else repr(found)}, but "
            "must be a function that returns a new model each time it is called."
        )
    return found


def _module_of_file(reference: ModelReference) -> ModuleType:
    file = Path(str(reference.file)).resolve()
    name = f"kerasgrid_model_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:12]}"
    source = file.read_bytes()
    loaded = sys.modules.get(name)
    if loaded is not None and vars(loaded)["__kerasgrid_source__"] == source:
        return loaded
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None:
        raise ModelError(f"{reference.place}: is no Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    vars(module)["__kerasgrid_source__"] = source
    sys.modules[name] = module
    try:
        # Not by the spec's loader: its byte code cache overlooks a change within the same second.
        exec(compile(source, str(file), "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _failed(reference: ModelReference, error: BaseException) -> ModelError:
    file = None if reference.file is None else str(reference.file.resolve())
    line = None if file is None else line_in(error, file)
    where = reference.place if line is None else f"{reference.place}:{line}"
    return ModelError(
        f"{where}: loading it failed: {type(error).__name__}: {str(error).strip() or 'no message'}"
    )


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)
