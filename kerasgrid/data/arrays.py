"""What every source shares: files that are opened, arrays of them, and the checks that make them pixels."""

from __future__ import annotations

import contextlib
import io
import math
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid import machine
from kerasgrid.data.archives import archive_on_way, opened_member
from kerasgrid.errors import DataError
from kerasgrid.io import cache_folder, kind_by_mode, storage_errors
from kerasgrid.wording import shown_path

PIECE_BYTES, CHUNK_BYTES = 1 << 24, 1 << 25


@contextlib.contextmanager
def opened(path: Path) -> Iterator[io.BufferedReader]:
    """Opens a data file for reading, also one in a .zip that its path leads through.

    Raises:
        DataError: It is missing, no regular file, or may not be read; or reading it fails.
    """
    if "\0" in str(path):
        raise DataError(f"{str(path)!r} is no path: it holds a zero byte.")
    path = Path(path)
    if (found := archive_on_way(path.parent)) is not None:
        archive, folder = found
        with opened_member(archive, f"{folder}/{path.name}".lstrip("/")) as member:
            yield member  # type: ignore[misc]  # it reads and seeks as a file does
        return
    if not os.path.exists(path):  # of what is in a .zip that is none, that is told
        path = next((holder for holder in path.parents if holder.suffix.lower() == ".zip"), path)
    try:
        mode = os.stat(path).st_mode
        # A pipe or device would be waited on for ever, or never end.
        if not stat.S_ISREG(mode):
            raise DataError(f"{shown_path(path)} is {kind_by_mode(mode)}; a file is needed here.")
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise DataError(f"{shown_path(path)}: there is no such file.") from error
    except PermissionError as error:
        raise DataError(f"{shown_path(path)} may not be read: give yourself the permission.") from error
    except OSError as error:
        raise DataError(f"{shown_path(path)} cannot be read: {error.strerror or error}.") from error


def allocate(shape: Sequence[int], dtype: np.dtype, where: str, n_copies: int = 1) -> np.ndarray:
    """Returns an empty array, or says that it does not fit, or not so many times.

    Raises:
        DataError: More bytes are wanted than this process may take.
    """
    n_bytes = product(shape) * dtype.itemsize
    check_memory(n_copies * n_bytes, where)
    try:
        return np.empty(shape, dtype)
    except (MemoryError, ValueError) as error:
        raise DataError(_too_large(n_bytes, where)) from error


def check_memory(n_bytes: int, where: str) -> None:
    """Raises a DataError where so much more memory is needed than this process may take.

    What is taken without is killed without a word in a container, and fails anywhere under `ulimit`.
    """
    if n_bytes > machine.free_memory_bytes():
        raise DataError(_too_large(n_bytes, where))


def _too_large(n_bytes: int, where: str) -> str:
    free = machine.free_memory_bytes()
    return (
        f"{where}: needs {n_bytes:,} bytes of memory, of which {free:,} are free. Free "
        "some, raise the limit of the container or of ulimit, or give fewer samples, if the file is sound."
    )


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, of which the header has been read and no values yet.

    Attributes:
        file: Open where the values begin, which can be read once.
        shape: What the header promises.
        dtype: As it is stored; what is read is in this machine's byte order.
        where: How a message begins.
        is_fortran: Whether the values lie in Fortran's order.
    """

    file: io.BufferedIOBase
    shape: tuple[int, ...]
    dtype: np.dtype
    where: str
    is_fortran: bool = False

    @property
    def n_bytes(self) -> int:
        """What its values take."""
        return product(self.shape) * self.dtype.itemsize

    def whole(self) -> np.ndarray:
        """Returns all of it.

        Raises:
            DataError: It has no values, or more than fit into memory; or the file ends before, or goes on
                after, what its header promises.
        """
        if not self.n_bytes:
            raise DataError(f"{self.where}: no values: its header says shape {self.shape}.")
        shape = self.shape[::-1] if self.is_fortran else self.shape
        (array,) = self._parts([shape], 1 if self.dtype.itemsize == 1 else 2)  # wider ones become pixels
        if self.is_fortran:
            check_memory(array.nbytes, self.where)  # it is put in order
        return array.T if self.is_fortran else array

    def rows(self) -> Iterator[np.ndarray]:
        """Yields it a few rows at a time, (row, ...), `CHUNK_BYTES` of them or one row.

        Raises:
            DataError: As `whole`, but for no values; or it lies in Fortran's order.
        """
        if self.is_fortran and len(self.shape) > 1:
            raise DataError(f"{self.where}: lies in Fortran's order. Save numpy.ascontiguousarray of it.")
        n_rows, row_shape = self.shape[0], self.shape[1:]
        at_once = max(1, CHUNK_BYTES // max(product(row_shape) * self.dtype.itemsize, 1))
        return self._parts((min(at_once, n_rows - first), *row_shape) for first in range(0, n_rows, at_once))

    def _parts(self, shapes: Iterable[Sequence[int]], n_copies: int = 1) -> Iterator[np.ndarray]:
        """Yields all values, in arrays of these shapes, which are read in bounded pieces."""
        n_read = 0
        for shape in shapes:
            array = allocate(shape, self.dtype, self.where, n_copies)
            left = array.reshape(-1).view(np.uint8).data
            left = left[: product(shape) * self.dtype.itemsize]  # NumPy gives texts of none a character
            while len(left):
                n_got = self.file.readinto(left[:PIECE_BYTES])
                if not n_got:
                    raise DataError(
                        f"{self.where}: truncated: its header promises {self.n_bytes:,} bytes of values, and "
                        f"{n_read:,} are there. Fetch the file again."
                    )
                n_read, left = n_read + n_got, left[n_got:]
            yield array.astype(self.dtype.newbyteorder("="), copy=False)
        if self.file.read(1):
            raise DataError(
                f"{self.where}: more bytes follow the {self.n_bytes:,} that its header promises. Fetch the "
                "file again."
            )


def pixels_of(stored: StoredArray) -> np.ndarray:
    """Returns an array of a file as `as_pixels` does; a large one is mapped from a file that goes with it.

    Raises:
        DataError: It has no values, or they are no pixels; or the file is damaged.
        StorageError: There is no room for the file, which is of the cache's folder.
    """
    if stored.n_bytes <= CHUNK_BYTES or (stored.is_fortran and len(stored.shape) > 1):
        return as_pixels(stored.whole(), stored.where)
    return _mapped_pixels(stored.rows(), stored.shape, stored.where)


def pixels_of_map(array: np.memmap, where: str) -> np.ndarray:
    """Returns an array that is mapped from a file as `as_pixels` does, without taking memory for all of it.

    Raises:
        DataError: It holds what is no pixel.
        StorageError: As `pixels_of`.
    """
    if array.dtype == np.uint8 or array.nbytes <= CHUNK_BYTES or array.dtype.kind not in "biuf":
        return as_pixels(array, where)
    n_rows = max(1, CHUNK_BYTES // array[:1].nbytes)
    parts = (array[first : first + n_rows] for first in range(0, len(array), n_rows))
    return _mapped_pixels(parts, array.shape, where)


def _mapped_pixels(parts: Iterable[np.ndarray], shape: tuple[int, ...], where: str) -> np.ndarray:
    """Returns rows that come a few at a time as pixels, mapped from a file."""
    pixels = _mapped(shape, np.dtype(np.uint8))
    first = 0
    for rows in parts:
        found = as_pixels(rows, where, first)
        if found.dtype != pixels.dtype and pixels.dtype == np.uint8:
            wider = _mapped(shape, np.dtype(np.float32))
            for start in range(0, first, len(rows)):
                wider[start : min(first, start + len(rows))] = pixels[start : min(first, start + len(rows))]
            pixels = wider
        pixels[first : first + len(rows)] = found
        first += len(rows)
    return pixels


def _mapped(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Returns an array in a file that has no name, and is gone with it."""
    folder = cache_folder()
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            return np.memmap(file, dtype, "w+", shape=shape)


def as_pixels(values: Any, where: str, first: int = 0) -> np.ndarray:
    """Returns values as uint8 where all are whole and in 0..255, else as float32.

    Args:
        first: The sample that the first of them is.

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
                f"{where}: sample {first + int(place[0])} (counted from 0) has {values[place]} at "
                f"{[int(axis) for axis in place[1:]]}. Pixels must be finite float32 numbers: replace or "
                "drop it."
            )
    if values.min() >= 0 and values.max() <= 255:
        small = values.astype(np.uint8)
        if values.dtype.kind != "f" or np.array_equal(small, values):
            return small
    return values.astype(np.float32, copy=False)


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


def npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Returns the beginning of a .npy file in C's order; of the same length for somewhat other lengths."""
    header = io.BytesIO()
    form = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, form)
    return header.getvalue()


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
