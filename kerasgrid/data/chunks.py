"""Arrays in files, a few rows at a time: what is larger than memory can be read so."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import numpy as np

from kerasgrid.data.arrays import product
from kerasgrid.errors import DataError

CHUNK_BYTES = 1 << 25


def read_rows(
    file: io.BufferedIOBase, shape: Sequence[int], dtype: np.dtype, where: str
) -> Iterator[np.ndarray]:
    """Yields the rows of an array of the promised shape, in C order, from the file's position.

    Args:
        file: Open for reading.
        shape: (row, ...).
        dtype: As it is stored.
        where: How a message begins.

    Raises:
        DataError: The file ends before, or goes on after, what it promises.
    """
    n_rows, row_bytes = shape[0], product(shape[1:]) * dtype.itemsize
    at_once = max(1, CHUNK_BYTES // max(row_bytes, 1))
    for first in range(0, n_rows, at_once):
        n = min(at_once, n_rows - first)
        data = _read_all(file, n * row_bytes)
        if len(data) < n * row_bytes:
            n_read = first * row_bytes + len(data)
            raise DataError(
                f"{where}: truncated: its header promises {n_rows * row_bytes:,} bytes of values, and "
                f"{n_read:,} are there. Fetch the file again."
            )
        yield np.frombuffer(data, dtype).reshape(n, *shape[1:]).astype(dtype.newbyteorder("="), copy=False)
    if file.read(1):
        raise DataError(
            f"{where}: more bytes follow the {n_rows * row_bytes:,} that its header promises. Fetch the file "
            "again."
        )


def _read_all(file: io.BufferedIOBase, n_bytes: int) -> bytearray:
    """Returns so many bytes, or what is left; a stream gives less than is asked for."""
    data = bytearray()
    while len(data) < n_bytes:
        part = file.read(n_bytes - len(data))
        if not part:
            break
        data += part
    return data
