"""CSV files with all pixels of an image in one cell, as FER2013 has them: 70 80 82 72 ..."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from kerasgrid.data.arrays import as_pixels, product, shape_images
from kerasgrid.data.cells import NUMBER, CellFaults, quoted_cell
from kerasgrid.data.csv_images import told_left
from kerasgrid.data.csv_text import CsvFile, line_places, read_frames, stripped
from kerasgrid.data.roles import Roles, check_header, label_reader, samples_of_file
from kerasgrid.data.samples import Samples
from kerasgrid.data.streams import Chunk, fitting
from kerasgrid.errors import DataError, did_you_mean
from kerasgrid.records import Target

_CHUNK_PIXELS = 8_000_000
_HEAD_ROWS = 20
_FEWEST = 16
"""Pixels of a cell, so that it is hardly something else: 4 x 4."""
_MARKS = re.compile(r"[,;]")
_PIXELS = re.compile(r"\[?\s*[0-9.]+([\s,;]+[0-9.]+)*\s*\]?")


def find_pixels(file: CsvFile, roles: Roles) -> str | None:
    """Returns the column whose cells look like the pixels of an image each, as many in all; None without."""
    others = roles.names
    columns = [name for name in file.names() if name not in others]
    if not columns:
        return None
    frame = next(read_frames(file, columns, only=columns, n_rows=_HEAD_ROWS))
    for column in columns:
        cells = stripped(frame[column])
        counts = {len(numbers_in(cell)) for cell in cells}
        if len(counts) == 1 and counts.pop() >= _FEWEST and all(map(_PIXELS.fullmatch, cells)):
            return column
    return None


def read_pixels(file: CsvFile, roles: Roles, column: str, image: Sequence[int] | None = None) -> Samples:
    """Returns the samples of a CSV file of which one column's cells hold an image each.

    Args:
        roles: The columns that are no pixels.
        image: (height, width, channels); a square of one channel by default.

    Raises:
        DataError: A cell holds other pixels, or another number of them, than the first; or another cell is
            not what its column needs.
    """
    names = file.names()
    check_header(names, roles, file, _faults_of(column, names, file))
    others = roles.names
    parts: list[np.ndarray] = []
    rest: list[Any] = []
    n_done = 0
    faults = CellFaults(file.where, partial(line_places, file))
    n_pixels = 0
    for frame in _frames(file, column, [*roles.spelled, column], [*others, column]):
        cells = stripped(frame.pop(column))
        n_pixels = n_pixels or len(numbers_in(cells[0]))
        parts.append(_pixels(cells, n_pixels, column, faults, n_done))
        rest.append(frame)
        n_done += len(cells)
    left = [name for name in names if name not in others and name != column]
    report = told_left(left, f"{column!r} holds the pixels")
    import pandas as pd

    values = np.concatenate(parts)
    if not faults.told():
        values = shape_images(values, image, f"{file.where}, column {column!r}")
    return samples_of_file(
        file, values, roles, pd.concat(rest, ignore_index=True), None, faults, None, report
    )


def pixel_cell_chunks(
    file: CsvFile, shape: Sequence[int], roles: Roles, column: str, target: Target | None = None
) -> Iterator[Chunk]:
    """Yields the samples of such a file.

    Args:
        shape: Of a training sample.
        roles: The columns that are no pixels, of which any may be missing.

    Raises:
        DataError: The column is not there, or a cell does not hold an image's pixels.
    """
    names = file.names()
    if found := list(_faults_of(column, names, file)):
        raise DataError("\n".join(found))
    here = roles.present(names)
    labels_of = label_reader(file, here)
    columns, n_pixels, n_done = here.predicted, product(shape), 0
    id_ = here.id
    for frame in _frames(file, column, [*here.spelled, *columns, column], [*here.names, column], n_pixels):
        faults = CellFaults(file.where, partial(line_places, file))
        pixels = _pixels(stripped(frame[column]), n_pixels, column, faults, n_done)
        faults.finish()
        cells: Any = [stripped(frame[name]) for name in columns]
        if columns:
            cells = list(zip(*cells, strict=True)) if here.targets or here.labels else cells[0]
        ids = None if id_ is None else stripped(frame[id_])
        yield Chunk(fitting(pixels, shape, file.where), ids, labels_of(cells or None))
        n_done += len(frame)


def _faults_of(column: str, names: Sequence[str], file: CsvFile) -> Iterator[str]:
    if column not in names:
        guess = did_you_mean(column, names).replace(" Known:", " Columns:")
        yield f"{file.first_line}: no column {column!r}.{guess} Correct data.pixels."


def _frames(
    file: CsvFile, column: str, spelled: Sequence[str], only: Sequence[str], n_pixels: int = 0
) -> Iterator[Any]:
    """Yields rows, so many at a time that their pixels are some millions."""
    if not n_pixels:
        (cell, *_) = next(read_frames(file, [column], only=[column], n_rows=1))[column]
        n_pixels = len(numbers_in(cell))
    yield from read_frames(file, spelled, only=only, n_rows=max(1, _CHUNK_PIXELS // max(n_pixels, 1)))


def numbers_in(cell: str) -> list[str]:
    """Returns the pixels in a cell, as they are spelled."""
    return _MARKS.sub(" ", cell.strip().removeprefix("[").removesuffix("]")).split()


def _pixels(cells: Sequence[str], n_pixels: int, column: str, faults: CellFaults, n_done: int) -> np.ndarray:
    """Returns the pixels in cells, (row, pixel), uint8 or float32; tells faults of those that hold others."""
    import pandas as pd

    text = "\n".join(
        " ".join(numbers_in(cell)) if _MARKS.search(cell) or "[" in cell else cell for cell in cells
    )
    try:
        read = pd.read_csv(
            io.StringIO(text), header=None, sep=r"\s+"
        )  # a longer row than the first is an error
        if read.shape == (len(cells), n_pixels) and all(kind.kind in "iuf" for kind in read.dtypes.unique()):
            values = read.to_numpy()
            if not np.isnan(values).any():  # as where a row is shorter
                return as_pixels(values, faults.where)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError, OverflowError):
        pass  # the cells are looked at one by one
    _tell(cells, n_pixels, column, faults, n_done)
    return np.zeros((len(cells), n_pixels), np.uint8)


def _tell(cells: Sequence[str], n_pixels: int, column: str, faults: CellFaults, n_done: int) -> None:
    """Tells which cells hold something else than so many finite numbers."""
    odd: list[tuple[int, str]] = []
    uneven: list[tuple[int, int]] = []
    for row, cell in enumerate(cells):
        parts = numbers_in(cell)
        strange = next((part for part in parts if not NUMBER.fullmatch(part)), None)
        if strange is not None:
            odd.append((n_done + row, strange))
        elif len(parts) != n_pixels:
            uneven.append((n_done + row, len(parts)))
    remedy = "A cell holds numbers with blanks or commas between, as many in each row."
    if odd:
        rows = np.array([row for row, _ in odd])
        faults.add(column, rows, f"{quoted_cell(odd[0][1])} is no pixel", remedy)
    if uneven:
        rows = np.array([row for row, _ in uneven])
        faults.add(column, rows, f"{uneven[0][1]:,} pixels, where {n_pixels:,} are wanted", remedy)
    if not odd and not uneven:
        raise DataError(f"{faults.where}, column {column!r}: holds numbers that are not finite in float32.")
