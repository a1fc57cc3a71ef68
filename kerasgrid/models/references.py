"""Where a model function is: a built-in name, a file or a module. Imports no Keras."""

from __future__ import annotations

import ast
import functools
import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, Literal

from kerasgrid.errors import ModelError, did_you_mean
from kerasgrid.io import file_digest
from kerasgrid.machine import on_node
from kerasgrid.models.source import (
    Home,
    PythonFile,
    definition_digest,
    definitions,
    function_digest,
    is_installed,
    is_standard,
    locate_module,
    parse_source,
    read_sources,
    source_file,
    sources_digest,
)
from kerasgrid.wording import is_hyper_model

_FORMS = "A function of your own is given as path/to/file.py:function or package.module:function."


@dataclass(frozen=True)
class BuiltIn:
    """A model function that comes with kerasgrid.

    Attributes:
        target: `module:function`.
        summary: One line that says what it is.
        n_parameters: Numbers of weights for (28, 28, 1) and 10 classes with its defaults.
        takes_pixels: Whether it takes pixels from 0 to 255 as they are stored, and scales them itself.
    """

    target: str
    summary: str
    n_parameters: int
    takes_pixels: bool = False


NO_WEIGHTS, IMAGENET = "none", "imagenet"
"""What `weights` of a net may be beside the path of a file."""
BUILT_IN: dict[str, BuiltIn] = {
    "fc": BuiltIn(
        "kerasgrid.models.fc:fc",
        "small fully connected net: Dense 64, 128, 256, each with BatchNorm and dropout",
        95_946,
    ),
    "mlp": BuiltIn(
        "kerasgrid.models.mlp:mlp",
        "fully connected net for tables: 3 x Dense 128 with dropout; embeddings and residuals optional",
        134_794,
    ),
    "sopcnn": BuiltIn(
        "kerasgrid.models.vgg:sopcnn",
        "SOPCNN (Assiri 2020): 2 x Conv 64, 2 x Conv 128, 2 x Dense 2048, dropout 0.8 before the softmax",
        17_324_490,
    ),
    "vgg": BuiltIn(
        "kerasgrid.models.vgg:vgg",
        "VGG style with LeakyReLU: 3 x Conv 64, 3 x Conv 128, 2 x Conv 256, Dense 256",
        1_926_794,
    ),
    "vgg_sopcnn": BuiltIn(
        "kerasgrid.models.vgg:vgg_sopcnn",
        "vgg crossed with sopcnn: one more Conv 512, Dense 1024, a single dropout before the softmax",
        3_054_986,
    ),
    "convnet": BuiltIn(
        "kerasgrid.models.convnet:convnet",
        "plain ConvNet: Conv 16, 64 and 128 (5x5), Dense 512, 128; BatchNorm optional",
        871_658,
    ),
    "bn_cnn": BuiltIn(
        "kerasgrid.models.vgg:bn_cnn",
        "small CNN with BatchNorm in every layer: Conv 16, 32, 64, Dense 128, 64",
        434_954,
    ),
    "backbone": BuiltIn(
        "kerasgrid.models.backbone:backbone",
        "any net of keras.applications by its name, RepVGG, ViT or CCT, and a head on it",
        158_666,
        takes_pixels=True,
    ),
}


def takes_pixels(model: object) -> bool:
    """Tells whether a model is a built-in one that takes pixels of 0 to 255 and scales them itself."""
    return isinstance(model, str) and model in BUILT_IN and BUILT_IN[model].takes_pixels


@dataclass(frozen=True)
class ModelReference:
    """Where a model function is.

    Attributes:
        text: As the user wrote it.
        kind: A built-in name, a file or a module.
        file: Its source, absolute; None for a module without one.
        module: Its dotted name; None for a file.
        function: The function's name in it, or a KerasTuner HyperModel's.
        base: The folder that paths are relative to and that modules are looked for in first.
        folder: The folder whose modules are loaded for this model alone: a file's own, or that on the path
            which holds the module's package; None for what is built in or installed.
        root: The folder of this machine below which its paths lie, as they are on the driver's; or nothing.
    """

    text: str
    kind: Literal["built_in", "file", "module"]
    file: Path | None
    module: str | None
    function: str
    base: Path
    folder: Path | None = None
    root: str = ""

    def __str__(self) -> str:
        return self.text

    @property
    def place(self) -> str:
        """The file or module as the user wrote it, for messages."""
        return self.text if self.kind == "built_in" else self.text.rpartition(":")[0]

    @property
    def package(self) -> str | None:
        """The package whose code it runs; None where that is kerasgrid, or a file that the config names."""
        if self.kind == "built_in":
            return None
        if self.module is None:
            is_package = self.file is not None and is_installed(Path(os.path.realpath(self.file)))
            return str(self.file) if is_package else None
        package = self.module.partition(".")[0]
        return package if self.folder is None else f"{package} in {self.folder}"

    @property
    def home(self) -> Home:
        """Where the imports of its file are looked for."""
        return Home(self.folder or Path(os.path.realpath(str(self.file))).parent, self.base)


_placed: dict[tuple[str, Path], ModelReference] = {}
"""What texts name whose files lie elsewhere on this machine than these say, by text and base folder."""


def place(text: str, base: Path, reference: ModelReference) -> None:
    """Lets a text name in this process, from a base folder on, what has its file elsewhere."""
    _placed[text, base] = reference


def parse_reference(text: str, base: Path) -> ModelReference:
    """Returns where a model function is.

    Args:
        text: A built-in name, `path/to/file.py:function` or `package.module:function`.
        base: The folder that paths are relative to and that modules are looked for in first.

    Raises:
        ModelError: There is no such model, file, module or function, or the file is no Python.
    """
    base = base.absolute()
    if (text, base) in _placed:
        return _placed[text, base]
    if text in BUILT_IN:
        module, _, function = BUILT_IN[text].target.partition(":")
        file = Path(__file__).with_name(f"{module.rpartition('.')[2]}.py")
        return ModelReference(text, "built_in", file, module, function, base)
    if text.endswith(".py"):
        names = did_you_mean("", _functions(parse_source(base / os.path.expanduser(text), text)))
        raise ModelError(f"{text!r} names a file, but no function in it: give {text}:function.{names}")
    place, colon, function = text.rpartition(":")
    if not colon:
        raise ModelError(f"{text!r} is no built-in model.{did_you_mean(text, BUILT_IN)} {_FORMS}")
    if not place or not function.isidentifier():
        raise ModelError(f"{text!r} names no model function. {_FORMS} Built in: {', '.join(BUILT_IN)}.")
    if place.endswith(".py") or "/" in place or "\\" in place:
        file = base / os.path.expanduser(place)
        if is_standard(Path(os.path.realpath(file))):
            raise _standard(text)
        folder = Path(os.path.realpath(file)).parent
        reference = ModelReference(text, "file", file, None, function, base, folder)
    else:
        top = locate_module(place.partition(".")[0], base)
        if _is_standard(place, top, base):
            raise _standard(text)
        spec = locate_module(place, base)
        if spec is None:
            raise ModelError(
                f"{text}: no module named {place!r} in {base} or on Python's path{on_node()}. Install it, or "
                "give the function's file: path/to/file.py:function."
            )
        reference = ModelReference(text, "module", source_file(spec), place, function, base, _folder_of(spec))
    _check_defined(reference)
    return reference


def text_of(function: Callable[..., Any]) -> str:
    """Returns what a config calls a function in hand: a reference, where it can be found by its name."""
    if isinstance(function, functools.partial):
        module, _, name = text_of(function.func).partition(":")
        return f"{module}:partial({name})"
    if not hasattr(function, "__qualname__"):
        return f"{type(function).__module__}:{type(function).__qualname__}()"
    return f"{function.__module__}:{function.__qualname__}"


def in_hand(model: Any) -> Any:
    """Returns what was given as a model function: of a HyperModel, or its class, its `build`."""
    if isinstance(model, type) and any(parent.__name__ == "HyperModel" for parent in model.__mro__):
        try:
            model = _made(model)
        except TypeError as error:
            raise ModelError(
                f"{model.__name__}() cannot be made ({error}): give its arguments defaults, or, in Python, "
                "an object of it."
            ) from error
    # KerasTuner puts a `build` of its own before the one that was written.
    return getattr(model, "_build", model.build) if is_hyper_model(model) else model


@functools.cache
def _made(hyper_model: type) -> Any:
    return hyper_model()


def own_fit(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Returns the `fit` that a HyperModel has in the place of KerasTuner's, by its `build`; else None."""
    owner = getattr(function, "__self__", None)
    fit = getattr(owner, "fit", None) if is_hyper_model(owner) else None
    return None if fit is None or fit.__module__.partition(".")[0] == "keras_tuner" else fit


def is_found_by_name(text: str) -> bool:
    """Tells whether what a config calls a function may be a reference to it."""
    module, _, name = text.rpartition(":")
    return text in BUILT_IN or (module != "__main__" and name.isidentifier())


def reference_to(function: Callable[..., Any], base: Path) -> ModelReference | None:
    """Returns where a function in hand is; None where its name does not lead to it, as in a script."""
    text = text_of(function)
    module, _, name = text.rpartition(":")
    loaded = sys.modules.get(module)
    if not is_found_by_name(text) or loaded is None or vars(loaded).get(name) is not function:
        return None
    try:
        reference = parse_reference(text, base)
    except ModelError:
        return None
    file = getattr(loaded, "__file__", None)
    is_there = reference.file is not None and file is not None and os.path.samefile(reference.file, file)
    return reference if is_there else None


def own_module(name: str, base: Path) -> ModelReference | None:
    """Returns where a module of the user's own is that this process has imported; None for all others.

    The reference names no function in it.
    """
    spec = getattr(sys.modules.get(name), "__spec__", None)
    if spec is None or (file := source_file(spec)) is None:
        return None
    folder = _folder_of(spec)
    return None if folder is None else ModelReference(name, "module", file, name, "", base, folder)


def _folder_of(spec: ModuleSpec) -> Path | None:
    """Returns the folder that a module's outermost package lies in; None for one built in or installed."""
    if not spec.has_location or spec.origin is None or is_installed(Path(os.path.realpath(spec.origin))):
        return None
    origin = Path(os.path.realpath(spec.origin))
    folder = origin.parents[spec.name.count(".") + (spec.submodule_search_locations is not None)]
    found = locate_module(spec.name, folder)  # a finder of an editable install may map names to other folders
    is_there = found is not None and os.path.realpath(str(found.origin)) == str(origin)
    return folder if is_there else None


def _is_standard(name: str, top: ModuleSpec | None, base: Path) -> bool:
    """Tells whether a module is of Python's own library, by where its outermost package lies."""
    if name.partition(".")[0] not in sys.stdlib_module_names:
        file = None if top is None or not top.has_location else top.origin
        return file is not None and is_standard(Path(os.path.realpath(file)))
    if top is None or not top.has_location or top.origin is None:
        return True
    file = os.path.realpath(top.origin)
    return is_standard(Path(file)) or not Path(file).is_relative_to(os.path.realpath(base))


def _standard(text: str) -> ModelError:
    return ModelError(
        f"{text!r} is of Python's own library, of which a config runs nothing: name a function of your own "
        "or of an installed package, as path/to/file.py:function or package.module:function."
    )


def _check_defined(reference: ModelReference) -> None:
    if reference.file is None:
        return
    tree = parse_source(reference.file, reference.place)
    found = definitions(tree)
    if reference.function in found or "*" in found or "__getattr__" in found:
        return
    names = _functions(tree)
    known = did_you_mean(reference.function, names) if names else " It defines no function."
    raise ModelError(f"{reference.place}: there is no {reference.function!r} in it.{known}")


def _functions(tree: ast.Module) -> list[str]:
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [name for name, nodes in definitions(tree).items() if isinstance(nodes[-1], kinds)]


def sources_of(reference: ModelReference) -> dict[str, PythonFile]:
    """Returns the files that a model consists of, by their paths from its own file's folder.

    Raises:
        ModelError: A file cannot be read or is no Python.
    """
    assert reference.file is not None
    return read_sources(reference.file, reference.place, reference.home, reference.module)


def is_digest_of(digest: str, model: ModelReference | Callable[..., Any], base: Path) -> bool:
    """Tells whether a hash is a model function's: of its source, or of it alone, as that of one in a script.

    Raises:
        ModelError: A file cannot be read or is no Python.
    """
    if digest == model_digest(model, base):
        return True
    if not isinstance(model, ModelReference):
        return digest == function_digest(model)
    if model.file is None:
        return False
    return digest == definition_digest(parse_source(model.file, model.place), model.function)


def model_digest(model: ModelReference | Callable[..., Any], base: Path) -> str:
    """Returns the hash of a model function's source; of one in hand that no name leads to, of it alone."""
    if isinstance(model, ModelReference):
        return source_digest(model)
    found = reference_to(model, base)
    return function_digest(model) if found is None else source_digest(found)


def source_digest(reference: ModelReference) -> str:
    """Returns a hash that tells whether a model's source changed, 64 hex digits.

    It covers the file and those of its home that it imports, without comments, formatting and docstrings;
    for a module without a source, its bytes.

    Raises:
        ModelError: A file cannot be read or is no Python.
    """
    if reference.file is not None:
        return sources_digest(sources_of(reference))
    spec = locate_module(str(reference.module), reference.base)
    if spec is not None and spec.has_location:
        return file_digest(Path(str(spec.origin)))
    return hashlib.sha256(reference.text.encode()).hexdigest()
