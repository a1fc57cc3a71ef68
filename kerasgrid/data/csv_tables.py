"""CSV files as tables: columns of numbers, categories and dates, one row a sample."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from kerasgrid.config.sections import Features
from kerasgrid.data.cells import CellFaults
from kerasgrid.data.columns import series_of
from kerasgrid.data.csv import CHUNK_CELLS
from kerasgrid.data.csv_text import CsvFile, line_places, read_frames, stripped
from kerasgrid.data.features import (
    faults_of_names,
    learn_table,
    notes_on_unknown,
    said_faults,
    told,
    values_of_table,
)
from kerasgrid.data.roles import Roles, check_header, label_reader, samples_of_file
from kerasgrid.data.samples import Samples
from kerasgrid.data.streams import Chunk
from kerasgrid.errors import DataError
from kerasgrid.records import Table
from kerasgrid.wording import listed

_PIXEL_NAME = re.compile(r"pix|px", re.I)
_CHANNELS = (3, 4)
_SIDE = 8
"""The smallest side of a picture of which all pixels are there but its shape is not told."""


def is_table(file: CsvFile, config: Any, roles: Roles) -> bool:
    """Tells whether a CSV file is read as a table, and not as pixels.

    Pixels are said by `data.image`, or are numbered columns that make a square, or are named pixel0, pixel1
    and so on. Numbered columns that make a square of 3 or 4 channels, or one with a column beside it, are
    left to the reading of pixels, which asks.

    Raises:
        DataError: The file cannot be read.
    """
    if config.image is not None:
        return False
    if config.features.model_fields_set or config.drop:
        return True
    others = roles.names
    rest = [name for name in file.names() if name not in others]
    if not rest:
        return False
    series = series_of(rest)
    n_pixels = len(series)
    if len(rest) - n_pixels > 1:
        return True
    if series and all(_PIXEL_NAME.match(name) for name in series):
        return False
    is_square = math.isqrt(n_pixels) ** 2 == n_pixels
    if len(rest) > n_pixels:
        return not is_square or n_pixels < _SIDE**2
    n_places = [n_pixels // n for n in _CHANNELS if n_pixels % n == 0]
    return not is_square and not any(n >= _SIDE**2 and math.isqrt(n) ** 2 == n for n in n_places)


def read_table(file: CsvFile, roles: Roles, said: Features, table: Table | None = None) -> Samples:
    """Returns the rows of a CSV file.

    Args:
        file: UTF-8.
        roles: The columns that are no features.
        said: What the others are; guessed where it does not say.
        table: That of the training data, where these are other rows, which may lack columns that are no
            features.

    Raises:
        DataError: It is missing, or something in it is not as above; the message names the line
            (the header is line 1) and the column.
    """
    where, names = file.where, file.names()
    if table is None:
        others = roles.names
        features = [name for name in names if name not in others]
        check_header(names, roles, file, said_faults(said, names, features, where))
        spelled = [*roles.spelled, *said.categorical, *said.date]
    else:
        if found := list(faults_of_names(names, table, file.first_line)):
            raise DataError("\n".join(found))
        roles = roles.present(names)
        spelled = [*roles.spelled, *_texts(table)]
    (frame,) = read_frames(file, spelled)
    faults = CellFaults(where, partial(line_places, file))
    if table is None:
        table, values, findings = learn_table(frame, features, said, faults)
        return samples_of_file(file, values, roles, frame, None, faults, table, told(findings))
    values = values_of_table(frame, table, faults)
    report = notes_on_unknown(table, values, where)
    return samples_of_file(file, values, roles, frame, None, faults, table, report)


def table_chunks(file: CsvFile, table: Table, roles: Roles, trained: Sequence[str] | None) -> Iterator[Chunk]:
    """Yields the rows of a CSV file with the columns of a table, in any order.

    Args:
        table: That of the training data.
        roles: The columns that are no features, of which any may be missing.
        trained: All columns of the training file; None where they are not known.

    Raises:
        DataError: A column is missing, or one is there that the training data have not, or a cell is not of
            its column's kind.
    """
    where, names = file.where, file.names()
    check_table_columns(file, table, roles, trained)
    here = roles.present(names)
    labels_of = label_reader(file, here)
    columns = here.predicted
    spelled = [*here.spelled, *columns, *_texts(table)]
    n_done = 0
    for frame in read_frames(file, spelled, n_rows=max(1, CHUNK_CELLS // len(names))):
        faults = CellFaults(where, partial(_places_after, file, n_done))
        values = values_of_table(frame, table, faults)
        faults.finish()
        ids = None if here.id is None else stripped(frame[here.id])
        cells: Any = [stripped(frame[name]) for name in columns]
        if columns:
            cells = list(zip(*cells, strict=True)) if here.targets or here.labels else cells[0]
        yield Chunk(values, ids, labels_of(cells or None))
        n_done += len(frame)


def check_table_columns(file: CsvFile, table: Table, roles: Roles, trained: Sequence[str] | None) -> None:
    """Raises a DataError where a CSV file's first line shows that `table_chunks` will refuse it."""
    names, line = file.names(), file.first_line
    faults = list(faults_of_names(names, table, line))
    known = {*(trained or names), *roles.names}
    strange = [name for name in names if name not in known]
    if strange and roles.id is None and len(strange) == 1:
        faults.append(
            f"{line}: column {strange[0]!r} is none of the training data. If it names the rows, say "
            f"data.id: {strange[0]}; else leave it out."
        )
    elif strange:
        what = "is no column" if len(strange) == 1 else "are no columns"
        faults.append(
            f"{line}: {listed(strange)} {what} of the training data. Leave out what is none, or name the one "
            "that is the id by data.id."
        )
    if faults:
        raise DataError("\n".join(faults))


def _texts(table: Table) -> list[str]:
    """Returns the columns that are read as they are spelled."""
    return [column.name for column in table.columns if column.kind != "numeric"]


def _places_after(file: CsvFile, n_done: int, rows: Sequence[int]) -> list[str]:
    return line_places(file, [n_done + row for row in rows])
