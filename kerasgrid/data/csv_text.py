"""CSV files as text: their lines, columns and rows, and where a row is none.

Pandas reads them. Its own complaints lack the line, so where it has one the file is read again row by row to
say where the fault is.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

from kerasgrid.data.archives import archive_on_way, gunzipped, size_of
from kerasgrid.data.arrays import opened
from kerasgrid.data.cells import BLANKS
from kerasgrid.errors import DataError
from kerasgrid.wording import shown_path

_PACKED = {
    b"PK\x03\x04": ("zip", ".zip"),
    b"\x1f\x8b": ("gzip", ".gz"),
    b"BZh": ("bzip2", ""),
    b"\xfd7zXZ": ("xz", ""),
}
_TABS = re.compile(r"\.tsv(\.gz)?", re.I)
_SUFFIX = re.compile(r".*\.(csv|tsv)(\.gz)?", re.I)


@dataclass(frozen=True)
class CsvFile:
    """A file of rows, separated by commas, or by tabs where its name says .tsv; as it is, as .gz or in a
    .zip.

    Attributes:
        path: Through a .zip where it lies in one: data.zip/train.csv.
        has_header: Whether its first line has the columns' names, which are "0", "1", ... otherwise.
        called: What so many columns are called where it has no header.
    """

    path: Path
    has_header: bool = True
    called: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """What messages call it."""
        return shown_path(self.path)

    @property
    def first_line(self) -> str:
        """What messages call its columns' names."""
        return f"{self.where}, line 1" if self.has_header else self.where

    @property
    def separator(self) -> str:
        """What stands between cells."""
        return "\t" if _TABS.search(self.path.name) else ","

    @property
    def is_packed(self) -> bool:
        """Whether it is a .gz."""
        return self.path.suffix.lower() == ".gz"

    def rows(self, text: io.TextIOWrapper) -> Any:
        """Returns a reader of the rows in its text."""
        return csv.reader(text, delimiter=self.separator, skipinitialspace=True, strict=True)

    def names(self) -> list[str]:
        """Returns the columns' names.

        Raises:
            DataError: It cannot be read, or is no CSV.
        """
        with open_text(self) as text:
            return read_names(text, self)


def is_csv(source: Any) -> TypeGuard[str | Path]:
    """Tells whether a config's source is a CSV file, by its name."""
    return isinstance(source, (str, Path)) and _SUFFIX.fullmatch(Path(source).name) is not None


def refuse_archive(file: BinaryIO, where: str) -> None:
    """Raises a DataError where a file that should be a CSV is packed; else it stands at its beginning."""
    start = file.read(8)
    file.seek(0)
    for magic, (kind, suffix) in _PACKED.items():
        if start.startswith(magic):
            way = (
                f"Unpack it first, or name it so: {Path(where).name}{suffix}."
                if suffix
                else "Unpack it first."
            )
            raise DataError(f"{where}: a {kind} archive and no CSV file. {way}")


@contextlib.contextmanager
def open_text(file: CsvFile) -> Iterator[io.TextIOWrapper]:
    """Opens a file as text; says what it is where it is none."""
    with opened_bytes(file) as (raw, _):
        try:
            with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
                yield text
        except UnicodeDecodeError as error:
            raise DataError(
                f"{file.where}, line {_undecodable_line(file)}: no UTF-8 text. If this is a CSV file, save "
                "it as UTF-8."
            ) from error


@contextlib.contextmanager
def opened_bytes(file: CsvFile) -> Iterator[tuple[io.BufferedReader, Callable[[], float]]]:
    """Opens a file, unpacked; and gives how much of it has been read, from 0 to 1."""
    with opened(file.path) as raw:
        n_bytes = size_of(file.path)
        if not file.is_packed:
            refuse_archive(raw, file.where)
            yield raw, lambda: raw.tell() / n_bytes
            return
        with gunzipped(raw, n_bytes, file.where) as unpacked:
            yield unpacked, lambda: raw.tell() / n_bytes


def _undecodable_line(file: CsvFile) -> int:
    """Returns the number of the first line that is not UTF-8, which the decoder does not know."""
    with opened_bytes(file) as (raw, _):
        for number, line in enumerate(raw, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return number


def read_names(text: io.TextIOWrapper, file: CsvFile) -> list[str]:
    """Returns the columns' names, from a file's first line that is not blank.

    Raises:
        DataError: There is none, or it is no CSV.
    """
    try:
        names = next((row for _, row in numbered_rows(file.rows(text))), None)
    except csv.Error as error:
        raise DataError(
            f'{file.where}, line 1: no CSV header ({error}). Is a quote (") left open?'
        ) from error
    if names is None:
        raise DataError(f"{file.where}: empty.")
    if file.has_header:
        return [name.strip() for name in names]
    return list(file.called) if len(file.called) == len(names) else list(map(str, range(len(names))))


@contextlib.contextmanager
def open_rows(file: CsvFile) -> Iterator[io.TextIOWrapper]:
    """Opens a file as text that stands at its first row."""
    with open_text(file) as text:
        if file.has_header:
            read_names(text, file)
        yield text


def known_names(file: CsvFile | None) -> list[str] | None:
    """Returns the columns' names of a source; None where it is no CSV or not there."""
    if file is None:
        return None
    is_there = os.path.exists(file.path) or archive_on_way(file.path) is not None
    return file.names() if is_there else None


def faults_of_twins(names: Sequence[str], where: str, remedy: str = "") -> Iterator[str]:
    """Yields what names several columns have."""
    for name, n_named in Counter(names).items():
        if n_named > 1:
            yield f"{where}: {n_named} columns are named {name!r}.{remedy}"


def refuse_twins(names: Sequence[str], where: str) -> None:
    """Raises a DataError where columns of a file have the same name."""
    if faults := list(faults_of_twins(names, f"{where}, line 1")):
        raise DataError("\n".join(faults))


def numbered_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not blank with the line it begins on, from 1."""
    line = 1
    for row in reader:
        # As pandas does, a line of nothing but spaces counts for none.
        if len(row) > 1 or "".join(row).strip():
            yield line, row
        line = reader.line_num + 1


def stripped(column: Any) -> list[str]:
    """Returns the cells of a column that was read as it is spelled."""
    return [cell.strip() for cell in column]


def read_frames(
    file: CsvFile, spelled: Collection[str], *, only: Collection[str] | None = None, n_rows: int | None = None
) -> Iterator[Any]:
    """Yields the rows of a file as pandas' DataFrames, whose columns have their names.

    Columns are of whatever kind pandas finds, NaN where a cell is blank.

    Args:
        spelled: Columns that are read as texts, blanks too.
        only: Columns that are read; all by default.
        n_rows: So many at a time; all at once by default.

    Raises:
        DataError: A row has other cells than there are columns; or there are no rows.
    """
    import pandas as pd

    names = file.names()
    own = [place for place, name in enumerate(names) if only is None or name in only]
    n_done, are_even = 0, False
    complaint = partial(uneven, n_columns=len(names))
    with open_rows(file) as text, reading(lambda otherwise: row_fault(file, complaint, n_done, otherwise)):
        found = pd.read_csv(
            text,
            header=None,
            sep=file.separator,
            names=range(len(names)),
            usecols=None if only is None else own,
            **_to_the_last_bit(),
            dtype={place: object for place in own if names[place] in spelled},
            keep_default_na=False,
            na_values={place: sorted(BLANKS) for place in own if names[place] not in spelled},
            skipinitialspace=True,
            low_memory=False,
            chunksize=n_rows,
        )
        for frame in [found] if n_rows is None else found:
            # An index of another kind is a surplus first column.
            if not isinstance(frame.index, pd.RangeIndex):
                raise row_fault(file, complaint, n_done, "more cells than names")
            if not are_even and len(names) - 1 in frame and _has_blanks(frame[len(names) - 1]):
                if (fault := faulty_row(file, complaint)) is not None:
                    raise fault
                are_even = True
            yield frame.set_axis([names[place] for place in frame.columns], axis=1)
            n_done += len(frame)
    if not n_done:
        raise DataError(f"{file.where}: only a header and no rows.")


def _to_the_last_bit() -> dict[str, Any]:
    """Returns what `read_csv` needs to read numbers exactly, which from 3.1 on it does by itself."""
    import pandas as pd

    exact = tuple(int(part) for part in pd.__version__.split(".")[:2]) >= (3, 1)
    return {} if exact else {"float_precision": "round_trip"}


@contextlib.contextmanager
def reading(fault: Callable[[str], DataError]) -> Iterator[None]:
    """Turns errors of pandas, which reads a file meanwhile, into one that `fault` makes of its words."""
    import pandas as pd

    try:
        yield
    except (DataError, UnicodeDecodeError):
        raise
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        raise fault(str(error)) from error


def uneven(row: Sequence[str], n_columns: int) -> str | None:
    """Returns that a row has other cells than there are columns; None where it has not."""
    if len(row) == n_columns:
        return None
    found = f"{len(row)} cell{'' if len(row) == 1 else 's'}"
    return f": {found}, but the header has {n_columns} columns. Complete the row or drop it."


def row_fault(
    file: CsvFile, complaint: Callable[[list[str]], str | None], n_done: int, otherwise: str
) -> DataError:
    """Returns the error for the first fault after `n_done` good rows.

    Args:
        complaint: Returns what is wrong with a row, or None.
        n_done: Rows that were read without fault.
        otherwise: What pandas complained of, in case that no row is found to be at fault.
    """
    return faulty_row(file, complaint, n_done) or DataError(
        f"{file.where}, row {n_done + 1} or after: cannot be read as CSV: {otherwise}."
    )


def faulty_row(
    file: CsvFile, complaint: Callable[[list[str]], str | None], n_done: int = 0
) -> DataError | None:
    """Returns the error for the first row after `n_done` good ones that is at fault; None where none is."""
    line = 1
    with open_text(file) as text:
        rows = numbered_rows(file.rows(text))
        try:
            for line, row in itertools.islice(rows, n_done + file.has_header, None):
                if (found := complaint(row)) is not None:
                    if not file.has_header:
                        found = found.replace("the header has", "the first row has")
                    return DataError(f"{file.where}, line {line}{found}")
        except csv.Error as error:
            return DataError(f'{file.where}, line {line + 1} or after: {error}. Is a quote (") left open?')
    return None


def _has_blanks(column: Any) -> bool:
    """Tells whether the last cell of a row is blank somewhere, as it is where a row ends before its time."""
    return bool((column.isna() | (column == "")).any())


def line_places(file: CsvFile, rows: Sequence[int]) -> list[str]:
    """Returns what messages call some rows after the header, counted from 0, ascending."""
    wanted, lines = set(rows), {}
    with open_text(file) as text:
        reader = csv.reader(text, delimiter=file.separator, skipinitialspace=True)
        for row, (line, _) in enumerate(numbered_rows(reader), start=-file.has_header):
            if row in wanted:
                lines[row] = line
                if len(lines) == len(wanted):
                    break
    # A blank cell alone in its row is a row in quotes, of which Python's reader does not tell.
    return [f"line {lines[row]:,}" if row in lines else f"row {row + 1:,}" for row in rows]
