"""What every source shares: samples, and the checks that make them."""

from __future__ import annotations

import contextlib
import math
import os
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import psutil

from kerasgrid.errors import DataError

PIECE_BYTES = 1 << 24
# Deflate cannot pack more than 1032 bytes into one: https://zlib.net/zlib_tech.html
MAX_DEFLATE_RATIO = 1032
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.0*)?")


@dataclass(frozen=True)
class Samples:
    """What a source gives: checked images and labels.

    Attributes:
        images: (sample, height, width, channel), uint8 or float32; arrays given in Python may have
            other axes after the first.
        labels: (sample,), int64, indices into `classes`; or (sample, class), uint8, of any number.
        classes: All int or all str, sorted.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[Any, ...]

    def __post_init__(self) -> None:
        dtype = np.uint8 if np.ndim(self.labels) == 2 else np.int64
        object.__setattr__(self, "images", np.ascontiguousarray(self.images))
        object.__setattr__(self, "labels", np.ascontiguousarray(self.labels, dtype=dtype))


def shown(path: str | Path) -> str:
    """Returns a path as messages show it: relative where it lies in the working folder."""
    path = Path(path)
    with contextlib.suppress(ValueError, OSError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Opens a data file for reading.

    Raises:
        DataError: It is missing, no regular file, or may not be read; or reading it fails.
    """
    if "\0" in str(path):
        raise DataError(f"{str(path)!r} is no path: it holds a zero byte.")
    try:
        mode = os.stat(path).st_mode
        # A pipe or device would be waited on for ever, or never end.
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "no regular file"
            raise DataError(f"{shown(path)} is {kind}; a file is needed here.")
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{shown(path)}: there is no such file.") from error
    except PermissionError as error:
        raise DataError(f"{shown(path)} may not be read: give yourself the permission.") from error
    except OSError as error:
        raise DataError(f"{shown(path)} cannot be read: {error.strerror or error}.") from error


def allocate(shape: Sequence[int], dtype: np.dtype, where: str) -> np.ndarray:
    """Returns an empty array, or says that it does not fit.

    Raises:
        DataError: More bytes are wanted than the memory that is free.
    """
    n_bytes = product(shape) * dtype.itemsize
    free = psutil.virtual_memory().available
    message = f"{where}: needs {n_bytes:,} bytes of memory, of which {free:,} are free. Is the file damaged?"
    if n_bytes > free:
        raise DataError(message)
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise DataError(message) from error


def read_array(file: BinaryIO, shape: Sequence[int], dtype: np.dtype, where: str) -> np.ndarray:
    """Returns an array of the promised shape, read in bounded pieces from the file's position.

    Raises:
        DataError: The shape has no values, or the file ends before, or goes on after, what it
            promises.
    """
    if not product(shape) * dtype.itemsize:
        raise DataError(f"{where}: no values: its header says shape {tuple(shape)}.")
    array = allocate(shape, dtype, where)
    view = memoryview(array.reshape(-1).view(np.uint8))
    n_read = 0
    while n_read < len(view):
        n_got = file.readinto(view[n_read : n_read + PIECE_BYTES])
        if not n_got:
            raise DataError(
                f"{where}: truncated: its header promises {len(view):,} bytes of values, and "
                f"{n_read:,} are there. Fetch the file again."
            )
        n_read += n_got
    if file.read(1):
        raise DataError(
            f"{where}: more bytes follow the {len(view):,} that its header promises. Fetch the file again."
        )
    return array


def as_pixels(values: Any, where: str) -> np.ndarray:
    """Returns values as uint8 where all are whole and in 0..255, else as float32.

    Raises:
        DataError: They are no numbers, or one is NaN, infinite or too large for float32; the
            message names its place.
    """
    values = np.asarray(values)
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: images of dtype {values.dtype}, where numbers are needed: whole numbers or floats, "
            "all samples of one shape."
        )
    if not values.size:
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        with np.errstate(over="ignore"):
            floats = values.astype(np.float32, copy=False)
        if not np.isfinite(floats).all():
            place = np.unravel_index(int(np.argmin(np.isfinite(floats))), values.shape)
            raise DataError(
                f"{where}: sample {place[0]} (counted from 0) has {values[place]} at "
                f"{[int(axis) for axis in place[1:]]}. Pixels must be finite float32 numbers: replace or "
                "drop it."
            )
    if values.min() >= 0 and values.max() <= 255:
        small = values.astype(np.uint8)
        if values.dtype.kind != "f" or np.array_equal(small, values):
            return small
    return values.astype(np.float32, copy=False)


def as_classes(names: Sequence[str]) -> list[Any]:
    """Returns the labels of a text file as int where all are whole numbers, else as they are.

    `3` and `3.0` are the same class; `007` is no number but a name.
    """
    if all(_WHOLE.fullmatch(name) for name in names):
        return [int(name.split(".")[0]) for name in names]
    return list(names)


def encode_labels(
    values: Any, where: str, *, multi_label: bool = False
) -> tuple[np.ndarray, tuple[Any, ...]]:
    """Returns class indices and the sorted classes of labels given as an array.

    Args:
        values: (sample,) or (sample, 1) of whole numbers, bools or strings; or (sample, class) of
            one-hot rows, whose classes are then 0, 1, ...
        where: How a message begins.
        multi_label: Whether they are (sample, label) of 0 and 1 instead, any number of ones a row.

    Returns:
        Labels (sample,), int64, and the classes, all int or all str; or (sample, label), uint8, and 0, 1, ...

    Raises:
        DataError: They are none of these, or one is missing.
    """
    values = np.asarray(values)
    if multi_label:
        return _several(values, where)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim == 2:
        return _one_hot(values, where)
    if values.ndim != 1:
        raise DataError(
            f"{where}: labels of shape {values.shape}. One label a sample is needed, shape (n,), or one-hot "
            "rows, shape (n, classes)."
        )
    if values.dtype.kind == "S":
        try:
            values = np.char.decode(values, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"{where}: labels are bytes that are not UTF-8 text.") from error
    if values.dtype.kind in "OT":
        values = _same_kind(values.tolist(), where)
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (values == np.floor(values)) & (np.abs(values) < 2**63)
        if not whole.all():
            row = int(np.argmin(whole))
            raise DataError(
                f"{where}: the label of sample {row} (counted from 0) is {values[row]}. Labels must be whole "
                "numbers or strings."
            )
        values = values.astype(np.int64)
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.dtype.kind not in "iuU":
        raise DataError(
            f"{where}: labels of dtype {values.dtype}. Labels must be whole numbers, bools, strings or "
            "one-hot rows."
        )
    classes, labels = np.unique(values, return_inverse=True)
    return labels.astype(np.int64), tuple(classes.tolist())


def check_samples(images: np.ndarray, labels: np.ndarray, classes: Sequence[Any], where: str) -> None:
    """Holds that images and labels belong together and that there is something to learn.

    Raises:
        DataError: Their lengths differ, or fewer than two classes occur.
    """
    if len(images) != len(labels):
        raise DataError(
            f"{where}: {len(images)} images, but {len(labels)} labels. Each image needs one label: do the "
            "two belong together?"
        )
    if not len(images):
        raise DataError(f"{where}: no samples.")
    if labels.ndim == 2:  # of those that are trained on `check_labels` does
        return
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError(
            f"{where}: all {len(labels)} samples are of the class {classes[present[0]]!r}. At least two "
            "classes are needed to learn from."
        )


def check_labels(labels: np.ndarray, classes: Sequence[Any], where: str) -> None:
    """Holds that there is something to learn of each label, where training samples may have several.

    Raises:
        DataError: A label is the same for all samples.
    """
    constant = (labels == labels[0]).all(axis=0) if labels.ndim == 2 else np.zeros(1, dtype=bool)
    if constant.any():
        place = int(np.argmax(constant))
        raise DataError(
            f"{where}: label {classes[place]!r} is {labels[0, place]} for all {len(labels)} samples, so "
            "that there is nothing to learn. Leave it out."
        )


def shape_images(images: np.ndarray, image: Sequence[int] | None, where: str) -> np.ndarray:
    """Returns images as (sample, height, width, channel).

    Args:
        images: (sample, pixel), (sample, height, width) or (sample, height, width, channel).
        image: (height, width, channels) where the user gave it; else read off the axes, and a bare
            pixel count is a square of one channel.
        where: How a message begins.

    Raises:
        DataError: The count does not fit `image`, or is no square.
    """
    if images.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: images of shape {images.shape}. (n, height, width), (n, height, width, channels) or "
            "(n, pixels) is needed."
        )
    n_pixels = product(images.shape[1:])
    if not n_pixels:
        raise DataError(f"{where}: images without pixels, of shape {images.shape}.")
    axes = images.shape[1:] if images.ndim != 3 else (*images.shape[1:], 1)
    if image is None and images.ndim == 2:
        side = math.isqrt(n_pixels)
        if side * side != n_pixels:
            raise DataError(
                f"{where}: {n_pixels} pixels a sample, which is no square. Say what they are with "
                f"data.image: [height, width, channels]{_guess(n_pixels)}."
            )
        image = (side, side, 1)
    elif image is None:
        image = axes
    elif images.ndim == 2 and product(image) != n_pixels:
        raise DataError(
            f"{where}: {n_pixels} pixels a sample, but data.image is {list(image)}, which has "
            f"{product(image)}. Correct data.image{_guess(n_pixels)}."
        )
    elif images.ndim > 2 and tuple(image) != axes:
        raise DataError(
            f"{where}: images of height, width, channels {list(axes)}, but data.image is {list(image)}. "
            "Correct data.image, or leave it out."
        )
    return images.reshape(len(images), *image)


def product(shape: Sequence[int]) -> int:
    """Returns the product in Python's integers, which do not overflow."""
    return math.prod(int(size) for size in shape)


def _guess(n_pixels: int) -> str:
    """Returns a guess at what was meant, such as `, such as [32, 32, 3]`."""
    for channels in (1, 3, 4):
        side = math.isqrt(n_pixels // channels)
        if side * side * channels == n_pixels:
            return f", such as [{side}, {side}, {channels}]"
    return ""


def _same_kind(values: list, where: str) -> np.ndarray:
    """Returns an array of labels that came as Python objects: all strings or all numbers."""
    for row, value in enumerate(values):
        if value is None or value != value:
            raise DataError(f"{where}: the label of sample {row} (counted from 0) is missing.")
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=np.str_)
    if all(isinstance(value, (bool, int, float, np.number, np.bool_)) for value in values):
        return np.array(values)
    kinds = sorted({type(value).__name__ for value in values})
    raise DataError(
        f"{where}: labels of mixed or unknown kinds ({', '.join(kinds)}). All must be whole numbers or all "
        "strings."
    )


def _one_hot(values: np.ndarray, where: str) -> tuple[np.ndarray, tuple[int, ...]]:
    good = values.dtype.kind in "biuf"
    rows = ((values == 0) | (values == 1)).all(axis=1) & (values.sum(axis=1) == 1) if good else [False]
    if not np.all(rows):
        raise DataError(
            f"{where}: labels of shape {values.shape} whose row {int(np.argmin(rows))} (counted from 0) is "
            "not one-hot. One 1 a row and else 0 is needed, or one label a sample; data.multi_label: true "
            "is for several."
        )
    return values.argmax(axis=1).astype(np.int64), tuple(range(values.shape[1]))


def _several(values: np.ndarray, where: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """Returns labels of which a sample has any number, (sample, label) uint8, and their numbers."""
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: labels of shape {values.shape} and dtype {values.dtype}. With data.multi_label, "
            "(n, labels) of 0 and 1 is needed, two labels at least."
        )
    good = ((values == 0) | (values == 1)).all(axis=1)
    if not good.all():
        raise DataError(
            f"{where}: labels whose row {int(np.argmin(good))} (counted from 0) holds other numbers than 0 "
            "and 1."
        )
    return values.astype(np.uint8), tuple(range(values.shape[1]))
