"""Trained weights that a net begins with: those of keras.applications, and files of the user's own."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from kerasgrid.errors import LockedError, WeightsError, brief
from kerasgrid.io import file_digest
from kerasgrid.locks import FolderLock, is_held
from kerasgrid.models.freezing import leaves
from kerasgrid.models.keras_private import (
    download_path,
    downloading_by,
    is_whole_download,
    layers_within,
)
from kerasgrid.models.references import IMAGENET
from kerasgrid.records import WeightsFile

_SUFFIXES = (".weights.h5", ".keras")
_MOST_TOLD = 3
_OF_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and spread of its pixels over 255, in red, green and blue."""
_IN_TRAINING_ONLY = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
)
_TELLING = ("activation", "strides", "dilation_rate", "pool_size", "scale", "offset")
"""Arguments that change what a layer gives, and are the same at all sizes of images."""
_WAIT_S = 0.2


@dataclass
class Lookup:
    """Where files of weights are looked for, and those that were found.

    Attributes:
        base: The folder that paths are relative to.
        downloads: Whether those of keras.applications may be downloaded; else they are told as not at hand.
        files: What nets that were built meanwhile begin with.
        promised: Ids of weights that have other values once the files are there.
    """

    base: Path
    downloads: bool = True
    files: list[WeightsFile] = field(default_factory=list)
    promised: set[int] = field(default_factory=set)


_lookup: Lookup | None = None
_placed: dict[Path, Path] = {}
"""Where files lie that came from another machine, by where `weights` names them."""


@contextmanager
def looking_up(base: Path, *, downloads: bool = True) -> Iterator[Lookup]:
    """Lets nets that are built within find their weights; what an inner one finds the outer tells, too."""
    global _lookup
    before = _lookup
    outer = Lookup(base) if before is None else before
    _lookup = Lookup(base, downloads, outer.files, outer.promised)
    try:
        yield _lookup
    finally:
        _lookup = before


def place(named: Path, own: Path) -> None:
    """Lets a file that nets begin with be found where it lies, wherever `weights` names it."""
    _placed[named] = own


def kept_by_keras(name: str) -> Path:
    """Returns where Keras keeps a file of weights that it downloads."""
    return download_path(name, "models")


def with_imagenet(name: str, build: Callable[[str | None], keras.Model]) -> keras.Model:
    """Returns a net of keras.applications with the weights that Keras has of it.

    Args:
        name: The net's.
        build: Builds it with the `weights` of keras.applications.

    Raises:
        WeightsError: They are not at hand and cannot be downloaded.
    """
    lookup = _lookup or Lookup(Path.cwd())
    found: list[tuple[Path, str]] = []

    def get(download: Callable[..., str], file: str, url: str, **given: Any) -> str:
        path = download_path(file, given.get("cache_subdir", "datasets"))
        found.append((path, url))
        if not lookup.downloads and not (_is_at_hand(path) and is_whole_download(path, given)):
            raise _NotAtHandError
        was_there = path.is_file()  # Keras fetches it anew where its hash is another
        try:
            return _fetched(path, lambda: download(file, url, **given))
        except Exception as error:  # whatever the network, or the disk, has against it
            state = "was damaged" if was_there else "is not at hand"
            raise WeightsError(
                f"weights is imagenet, which of {name} is the file {file}: it {state}, and fetching "
                f"it failed ({brief(error)}). Download {url} elsewhere and put it there as {path}, or give "
                "weights: none or the path of a file."
            ) from error

    is_there = True
    try:
        with downloading_by(get):
            net = build(IMAGENET)
    except _NotAtHandError:
        is_there = False
        net = build(None)
        lookup.promised.update(map(id, net.weights))
    except OSError as error:
        if not found:
            raise
        path, url = found[-1]  # of a net of whose file Keras knows no hash
        raise WeightsError(
            f"weights is imagenet, which of {name} is the file {path}: Keras cannot load it "
            f"({brief(error)}). Remove it, so that it is downloaded again, or put {url} there."
        ) from error
    _settle(net)
    path, url = found[-1]
    n_bytes = path.stat().st_size if is_there else 4 * net.count_params()
    digest = digest_of(path) if is_there else None
    lookup.files.append(WeightsFile(f"imagenet of {name}", str(path), n_bytes, digest, url))
    return net


class _NotAtHandError(Exception):
    """A file would have to be downloaded, and is not to be."""


def _is_at_hand(path: Path) -> bool:
    """Tells whether a file that Keras keeps is there, and not being downloaded by another process."""
    return path.is_file() and not is_held(*_locks_beside(path))


def _fetched(path: Path, download: Callable[[], str]) -> str:
    """Returns what a download gives, which one process at a time does: the others wait, and take its file."""
    if _is_at_hand(path):
        return download()  # which looks at its hash
    lock = FolderLock(*_locks_beside(path))
    with ExitStack() as stack:
        while True:
            try:
                stack.enter_context(lock)
                return download()
            except LockedError:
                time.sleep(_WAIT_S)


def _locks_beside(path: Path) -> tuple[Path, Path]:
    return path.parent / ".kerasgrid.lock", path.parent / ".kerasgrid.heartbeat"


def load_weights(net: keras.Model, text: str) -> None:
    """Gives a net the weights of a file.

    Args:
        net: Built.
        text: The path of a `.weights.h5` file that its `save_weights` has written, or of a `.keras` file with
            the net, or with it or its layers in another model.

    Raises:
        WeightsError: There is no such file, Keras cannot load it, or it has other weights.
    """
    lookup = _lookup or Lookup(Path.cwd())
    path = lookup.base / os.path.expanduser(text)
    path = _placed.get(path, path)
    if not text.endswith(_SUFFIXES):
        raise WeightsError(
            f"weights is {text!r}, but must be none, imagenet, or the path of a file that ends in "
            f"{' or '.join(_SUFFIXES)}."
        )
    if not path.is_file():
        raise WeightsError(f"weights is {text!r}, but there is no file {path}.")
    if text.endswith(".keras"):
        _take(net, text, _loaded(path, text))
    else:
        _load_in_order(net, text, path)
    _settle(net)
    lookup.files.append(WeightsFile(text, str(path), path.stat().st_size, digest_of(path)))


def _load_in_order(net: keras.Model, text: str, path: Path) -> None:
    """Gives a net the weights of a file that tells layers by their order, which has as many as the net."""
    try:
        with h5py.File(path) as file:
            there, of_parts = _size(file), _sizes_of_parts(file)
    except OSError as error:
        raise WeightsError(f"weights is {text!r}, which Keras cannot load ({brief(error)}).") from error
    own = len(net.weights), net.count_params()
    try:
        if there == own:
            with warnings.catch_warnings():  # of layers that keep what they were initialized with
                warnings.filterwarnings("error", "Skipping nested container")
                net.load_weights(path)
            _divide(net, [_guessed_divisor(layer) for layer, _ in _normalizations(net)])
            return
        reason = None
    except Exception as error:  # whatever the file holds
        reason = error
    found = "as many of other shapes" if there == own else f"{there[0]} with {there[1]:,} numbers"
    instead = (
        f"It is one of the whole model: save those of its backbone, model.get_layer({net.name!r})"
        ".save_weights(...), or give a .keras file."
        if own in of_parts
        else "Such a file tells layers by their order: give one that save_weights of the same net has "
        "written, at the same size where it has positions, or a .keras file."
    )
    raise WeightsError(
        f"weights is {text!r}, which does not fit {net.name}: that has {own[0]} weights with {own[1]:,} "
        f"numbers, and the file {found}. {instead}"
    ) from reason


def _size(group: h5py.Group) -> tuple[int, int]:
    """Returns how many weights Keras has written there and how many numbers they are, but the optimizer's.

    Nor are states of random generators among them, which are no weights of a net.
    """
    sizes: list[int] = []

    def add(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/") and "generator/" not in name:
            sizes.append(item.size)

    group.visititems(add)
    return len(sizes), sum(sizes)


def _sizes_of_parts(file: h5py.File) -> list[tuple[int, int]]:
    """Returns `_size` of each model within the one whose weights a file has."""
    return [_size(part) for part in file.get("layers", {}).values() if "layers" in part]


def _loaded(path: Path, text: str) -> keras.Model:
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever the file holds
        raise WeightsError(f"weights is {text!r}, which Keras cannot load ({brief(error)}).") from error


def _take(net: keras.Model, text: str, loaded: keras.Model) -> None:
    """Gives a net the weights of the model within another that is like it, or of layers of the same names."""
    models = [loaded, *(part for part in layers_within(loaded) if isinstance(part, keras.Model))]
    for model in models:
        if _shapes(model) == _shapes(net):
            _check_kinds(net, text, model)
            net.set_weights(model.get_weights())
            _divide(net, [_divisor(behind) for _, behind in _normalizations(model)])
            return
    named = {layer.name: layer for model in models for layer in model.layers}
    own = [layer for layer in net.layers if layer.weights]
    faults = []
    for layer in own:
        found, wanted = named.get(layer.name), _shapes(layer)
        if found is None:
            faults.append(f"{layer.name} is not in it")
        elif _shapes(found) != wanted:
            faults.append(f"{layer.name} has {_told(_shapes(found))} there and {_told(wanted)} here")
    if faults:
        raise WeightsError(
            f"weights is {text!r}, which has no {net.name} that fits: of its {len(own)} layers with weights "
            f"{_listed(faults, '; ')}. Give a file with the same backbone, trained "
            "at the same size where it has positions."
        )
    if more := _others_between(models, {layer.name for layer in own}):
        raise WeightsError(
            f"weights is {text!r}, which has no {net.name} that fits: between layers of the same names it "
            f"has {_listed(more)}, as a deeper net has. Give a file with the same backbone."
        )
    for layer in own:
        layer.set_weights(named[layer.name].get_weights())
    scaled = {layer.name: behind for model in models for layer, behind in _normalizations(model)}
    _divide(net, [_divisor(scaled[layer.name]) for layer, _ in _normalizations(net)])


def _others_between(models: Sequence[keras.Model], names: set[str]) -> list[str]:
    """Returns the names of other layers with weights that stand between those of some names."""
    found: dict[str, None] = {}
    for model in models:
        within = [layer.name for layer in leaves(model) if layer.weights]
        places = [place for place, name in enumerate(within) if name in names]
        between = within[places[0] : places[-1]] if places else []
        found |= dict.fromkeys(name for name in between if name not in names)
    return list(found)


def _listed(told: Sequence[str], separator: str = ", ") -> str:
    more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return f"{separator.join(told[:_MOST_TOLD])}{more}"


def _shapes(layer: keras.Layer) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in layer.weights]


def _told(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(map(str, shapes)) or "no weights"


def _settle(net: keras.Model) -> None:
    """Lets layers that keep what they make of their weights make it of the new ones."""
    for layer in layers_within(net):
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


def _divide(net: keras.Model, divisors: Sequence[Any]) -> None:
    """Has the Normalizations of a net that have weights divide by something besides.

    EfficientNetB0 to B7 have learnt so: Keras has a Rescaling for it, only where it is asked for ImageNet's
    weights, and the net at hand has none (https://github.com/tensorflow/tensorflow/issues/49930).
    """
    for (layer, _), divisor in zip(_normalizations(net), divisors, strict=True):
        mean, variance, *others = layer.get_weights()
        layer.set_weights([mean, variance * np.square(divisor), *others])


def _divisor(behind: keras.Layer | None) -> Any:
    """Returns what a Rescaling behind a layer divides by; 1 where there is none."""
    return 1 if behind is None else 1 / np.asarray(behind.scale)


def _guessed_divisor(layer: keras.layers.Normalization) -> Any:
    """Returns what a layer whose file tells nothing of it divides by besides: the root of ImageNet's spread.

    By it such a layer has the spread in the place of its square.
    """
    mean, variance = layer.get_weights()[:2]
    is_of_imagenet = mean.shape == (3,) and np.allclose([mean, variance], _OF_IMAGENET, atol=1e-3)
    return np.sqrt(_OF_IMAGENET[1]) if is_of_imagenet else 1


def _normalizations(net: keras.Model) -> list[tuple[keras.layers.Normalization, keras.Layer | None]]:
    """Returns the Normalizations that have weights, each with the Rescaling behind it, where there is one."""
    found = []
    for layer, behind in pairwise([*leaves(net), None]):
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            is_scaled = isinstance(behind, keras.layers.Rescaling) and not np.any(behind.offset)
            found.append((layer, behind if is_scaled else None))
    return found


def _check_kinds(net: keras.Model, text: str, model: keras.Model) -> None:
    """Refuses a model with weights like a net's whose layers are others: it is another function of them."""
    own, found = _kinds(net), _kinds(model)
    if own == found:
        return
    place = next((at for at, pair in enumerate(zip(own, found, strict=False)) if pair[0] != pair[1]), None)
    if place is None:
        said = f"it has {len(found)} layers, and {net.name} {len(own)}"
    else:
        said = f"where {net.name} has {own[place][0]} it has {found[place][0]}"
        if own[place][0] == found[place][0]:
            said = f"its {own[place][0]} has other arguments: {found[place][1]}, and not {own[place][1]}"
    raise WeightsError(
        f"weights is {text!r}, which has weights like those of {net.name}, but other layers: {said}. Give a "
        "file with the same backbone, or use that model in a model function of your own."
    )


def _kinds(net: keras.Model) -> list[tuple[str, dict[str, Any]]]:
    """Returns what the layers of a net do with what they are given, but for those that act in training only.

    Nor is a Rescaling told for which a Normalization is made to divide by more.
    """
    found = []
    scaled = [behind for _, behind in _normalizations(net)]
    for layer in leaves(net):
        if layer not in scaled and not isinstance(layer, _IN_TRAINING_ONLY):
            config = layer.get_config()
            found.append((type(layer).__name__, {name: config[name] for name in _TELLING if name in config}))
    return found


def digest_of(path: Path) -> str:
    """Returns the digest of a file's content, which is read once as long as it does not change."""
    stat = path.stat()
    return _digest(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _digest(path: Path, _changed_at: int, _size: int) -> str:
    return file_digest(path)
