"""IDX files, the format of MNIST: a pair of images and labels, plain or gzipped.

The format is described at http://yann.lecun.com/exdb/mnist: two zero bytes, a dtype code, the
number of axes, each axis as a big-endian uint32, then the values, big-endian, in C order.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from kerasgrid.data.archives import MAX_DEFLATE_RATIO, check_ratio, size_of
from kerasgrid.data.arrays import StoredArray, as_pixels, opened, shape_images
from kerasgrid.data.labels import samples_of
from kerasgrid.data.samples import Samples
from kerasgrid.data.streams import Chunk, chunks_of
from kerasgrid.errors import DataError
from kerasgrid.wording import shown_path

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"


def read_idx(images: Path, labels: Path, image: Sequence[int] | None = None) -> Samples:
    """Returns the samples of a pair of IDX files.

    Args:
        images: A file of 2 to 4 axes, the sample first.
        labels: A file of one axis.
        image: (height, width, channels), where it cannot be read off the file.

    Raises:
        DataError: A file is missing, damaged or no IDX file, or the two do not belong together.
    """
    pixels = shape_images(as_pixels(read_idx_array(images), shown_path(images)), image, shown_path(images))
    values = read_idx_array(labels)
    if values.ndim != 1:
        raise DataError(
            f"{shown_path(labels)}: labels of shape {values.shape}; one axis is needed. Were images and "
            "labels swapped?"
        )
    where = f"{shown_path(images)} and {shown_path(labels)}"
    return samples_of(pixels, values, where, shown_path(labels))


def idx_chunks(images: Path, labels: Path | None, shape: Sequence[int]) -> Iterator[Chunk]:
    """Yields the samples of a file of images, and of labels if there is one, in a training sample's shape.

    Raises:
        DataError: As `read_idx`; or the images are of another shape.
    """
    given = None if labels is None else read_idx_array(labels).tolist()
    with opened_idx(images) as stored:
        yield from chunks_of(stored, shape, labels=given)


def read_idx_array(path: Path) -> np.ndarray:
    """Returns the array in an IDX file.

    No more memory is taken than the file can fill, whatever its header promises.

    Raises:
        DataError: The file is missing, damaged, truncated, or no IDX file.
    """
    with opened_idx(path) as stored:
        return stored.whole()


@contextlib.contextmanager
def opened_idx(path: Path) -> Iterator[StoredArray]:
    """Opens the array in an IDX file.

    Raises:
        DataError: The file is missing, damaged or no IDX file.
    """
    where = shown_path(path)
    with opened(path) as file:
        n_bytes = size_of(path)
        packed = file.read(2) == _GZIP
        file.seek(0)
        if not packed:
            yield _read_header(file, n_bytes, where)
            return
        try:
            with gzip.open(file) as stream:
                stored = _read_header(stream, n_bytes * MAX_DEFLATE_RATIO, where)
                check_ratio(stored.n_bytes, n_bytes, where, "unpack it with gunzip")
                yield stored
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(f"{where}: a damaged gzip file ({error}). Fetch the file again.") from error


def _read_header(file: io.BufferedIOBase, most_bytes: int, where: str) -> StoredArray:
    """Returns the array that a file holds; `most_bytes` is how many it can hold at most."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES or not magic[3]:
        found = magic.hex(" ") or "nothing"
        raise DataError(
            f"{where}: no IDX file: it begins with {found}, where an IDX file has 00 00, a dtype code "
            "(08 for bytes) and the number of axes."
        )
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise DataError(f"{where}: truncated within its header. Fetch the file again.")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    stored = StoredArray(file, shape, np.dtype(_DTYPES[magic[2]]), where)
    if stored.n_bytes > most_bytes:
        raise DataError(
            f"{where}: its header promises {' x '.join(map(str, shape))} values, {stored.n_bytes:,} bytes, "
            "which the file is too small to hold: truncated or damaged. Fetch the file again."
        )
    return stored
