"""CSV files as Kaggle has them: a label column, the other columns pixels, one row a sample.

Pandas reads the file, in chunks. Its own complaints lack the column or the line, so where a chunk is
not what it should be, that part is read again row by row to say where the fault is.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np

from kerasgrid.data.arrays import (
    PIECE_BYTES,
    Samples,
    allocate,
    as_pixels,
    check_samples,
    opened,
    product,
    shape_images,
)
from kerasgrid.data.labels import are_whole, as_classes
from kerasgrid.data.streams import Chunk, fitting
from kerasgrid.errors import DataError, did_you_mean
from kerasgrid.records import Target
from kerasgrid.wording import listed, shown_path

CHUNK_CELLS = 4_000_000
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".dcm", ".npy")
_MISSING = {"", "nan", "NaN"}
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NOT_FINITE = {"nan", "inf", "infinity"}
_LARGEST = float(np.finfo(np.float32).max)
_PACKED = {b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}


@dataclass(frozen=True)
class Header:
    """The first line: where the label and the id are, if they are there, and which columns are pixels."""

    names: tuple[str, ...]
    label: int | None
    pixels: tuple[int, ...]
    id: int | None = None


def is_csv(source: Any) -> TypeGuard[str | Path]:
    """Tells whether a config's source is a CSV file, by its name."""
    return isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".csv"


def read_csv(
    path: Path, *, label: str = "label", id: str | None = None, image: Sequence[int] | None = None
) -> Samples:
    """Returns the samples of a CSV file with a header.

    Memory holds the result and one chunk of 4 million cells.

    Args:
        path: The file, UTF-8, separated by commas.
        label: The label column's name.
        id: A column that is no pixel, where there is one.
        image: (height, width, channels) of the pixel columns; a square of one channel by default.

    Raises:
        DataError: It is missing, or something in it is not as above; the message names the line
            (the header is line 1) and the column.
    """
    where = shown_path(path)
    with open_text(path) as text:
        header = _columns_to_learn(read_names(text, where), label, id, where)
        _check_count(header, image, where)
        images, codes, names = _whole(read_chunks(text, header, path), header, path)
    values = as_classes(names)
    classes = tuple(sorted(set(values)))
    place = {name: index for index, name in enumerate(classes)}
    labels = np.array([place[value] for value in values], np.int64)[codes]
    check_samples(images, labels, classes, f"{where}, column {label!r}")
    return Samples(shape_images(images, image, where), labels, Target("classes", classes))


def csv_chunks(
    path: Path, shape: Sequence[int], label: str, id: str | None, trained: tuple[str, ...] | None
) -> Iterator[Chunk]:
    """Yields the samples of a CSV file.

    Args:
        shape: Of a training sample.
        label: The label column, where it has one.
        id: The id column, where it has one; else the one that is no pixel, if there is one.
        trained: The pixels' columns in the training file; None where they are not known.

    Raises:
        DataError: The columns are not those of the training data, or a cell is no pixel.
    """
    where = shown_path(path)
    with open_text(path) as text:
        header = _columns_to_predict(read_names(text, where), shape, label, id, trained, where)
        are_numbers = _have_numbers(path, header)
        for chunk in read_chunks(text, header, path):
            labels = as_classes(chunk.labels or ()) if are_numbers else chunk.labels
            yield Chunk(fitting(chunk.images, shape, where), chunk.ids, labels)


def check_columns(
    path: Path, shape: Sequence[int], label: str, id: str | None, trained: tuple[str, ...] | None
) -> None:
    """Raises a DataError where a CSV file's first line shows that `csv_chunks` will refuse it."""
    _columns_to_predict(names_of(path), shape, label, id, trained, shown_path(path))


def refuse_archive(file: BinaryIO, where: str) -> None:
    """Raises a DataError where a file that should be a CSV is packed; else it stands at its beginning."""
    start = file.read(8)
    file.seek(0)
    for magic, kind in _PACKED.items():
        if start.startswith(magic):
            raise DataError(f"{where}: a {kind} archive and no CSV file. Unpack it first.")


@contextlib.contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """Opens the file as text; says what a file is that is none."""
    where = shown_path(path)
    with opened(path) as file:
        refuse_archive(file, where)
        try:
            with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                yield text
        except UnicodeDecodeError as error:
            raise DataError(
                f"{where}, line {_undecodable_line(path)}: no UTF-8 text. If this is a CSV file, save it as "
                "UTF-8."
            ) from error


def _undecodable_line(path: Path) -> int:
    """Returns the number of the first line that is not UTF-8, which the decoder does not know."""
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError:
                return number
    return number


def read_names(text: io.TextIOWrapper, where: str) -> list[str]:
    """Returns the columns' names, from a file's first line that is not blank.

    Raises:
        DataError: There is none, or it is no CSV.
    """
    try:
        reader = csv.reader(text, skipinitialspace=True, strict=True)
        names = next((row for _, row in numbered_rows(reader)), None)
    except csv.Error as error:
        raise DataError(f'{where}, line 1: no CSV header ({error}). Is a quote (") left open?') from error
    if names is None:
        raise DataError(f"{where}: empty.")
    return [name.strip() for name in names]


def names_of(path: Path) -> list[str]:
    """Returns the columns' names of a file.

    Raises:
        DataError: There is none, or it is no CSV.
    """
    with open_text(path) as text:
        return read_names(text, shown_path(path))


def pixel_names(train: Any, label: str, id: str | None = None) -> tuple[str, ...] | None:
    """Returns the columns that are pixels in the training file; None where it is no CSV or not there."""
    if not is_csv(train) or not Path(train).exists():
        return None
    return tuple(name for name in names_of(Path(train)) if name not in (label, id))


def _columns_to_learn(names: list[str], label: str, id: str | None, where: str) -> Header:
    """Returns which columns of a training file are what.

    Raises:
        DataError: The label, the id or the pixels are not there.
    """
    if label not in names:
        if all(_NUMBER.fullmatch(name) for name in names):
            raise DataError(
                f"{where}, line 1: numbers, where the columns' names are needed. Put a header line first, "
                f"with {label!r} over the labels."
            )
        other = next((mark for mark in ";\t|" if len(names) == 1 and mark in names[0]), None)
        if other:
            raise DataError(f"{where}, line 1: separated by {other!r}. Save it separated by commas.")
        raise DataError(
            f"{where}, line 1: no label column {label!r}.{_did_you_mean(label, names)} Name it with "
            "data.label."
        )
    _refuse_twins(names, where, " Rename or drop the others.")
    if id is not None and id not in names:
        raise DataError(
            f"{where}, line 1: no id column {id!r}.{_did_you_mean(id, names)} Correct data.id, or "
            "leave it out."
        )
    pixels = tuple(index for index, name in enumerate(names) if name not in (label, id))
    if not pixels:
        raise DataError(
            f"{where}, line 1: no pixel columns: only {', '.join(names)}. The samples themselves are needed; "
            "a CSV file that names image files is not read yet: put them into an .npz of images and labels."
        )
    return Header(tuple(names), names.index(label), pixels)


def _columns_to_predict(
    names: list[str],
    shape: Sequence[int],
    label: str,
    id: str | None,
    trained: tuple[str, ...] | None,
    where: str,
) -> Header:
    """Returns which columns of a file of samples to predict are what.

    Raises:
        DataError: The pixels are not those of the training data.
    """
    _refuse_twins(names, where)
    n_pixels, known = product(shape), set(trained or ())
    rest = [name for name in names if name != label]
    strange = [name for name in rest if name not in known] if trained is not None else []
    if id not in rest:
        id = None
        if len(rest) == n_pixels + 1:
            id = strange[0] if len(strange) == 1 else rest[0]
    rest, strange = ([name for name in several if name != id] for several in (rest, strange))
    are_pixels = set(rest)
    lacking = [name for name in trained or () if name not in are_pixels]
    told = f"It has {listed(strange)}, which the training data have not. " if strange else ""
    told += f"It lacks {listed(lacking)}, which they have. " if lacking else ""
    if len(rest) != n_pixels:
        raise DataError(
            f"{where}, line 1: {len(rest):,} pixel columns, and an image that was trained on has "
            f"{n_pixels:,}. {told}Beside the pixels there may be the label column {label!r} and one id "
            "column, which data.id names."
        )
    if told:
        raise DataError(
            f"{where}, line 1: other columns than in the training data. {told}Name and order them alike; one "
            "that is the id is named by data.id."
        )
    wanted = list(trained or rest)
    if wanted != rest:
        place = next(i for i, pair in enumerate(zip(wanted, rest, strict=True)) if pair[0] != pair[1])
        raise DataError(
            f"{where}, line 1: the pixel columns come in another order than in the training data: "
            f"{rest[place]!r} where {wanted[place]!r} was. Put them in its order."
        )
    pixels = tuple(place for place, name in enumerate(names) if name in are_pixels)
    label_place = names.index(label) if label in names else None
    return Header(tuple(names), label_place, pixels, None if id is None else names.index(id))


def _refuse_twins(names: Sequence[str], where: str, remedy: str = "") -> None:
    name, n_named = Counter(names).most_common(1)[0]
    if n_named > 1:
        raise DataError(f"{where}, line 1: {n_named} columns are named {name!r}.{remedy}")


def _did_you_mean(name: str, names: Sequence[str]) -> str:
    """Returns the guess, with the known names cut so that 784 pixels do not drown it."""
    return did_you_mean(name, names).replace(" Known:", " Columns:")


def _check_count(header: Header, image: Sequence[int] | None, where: str) -> None:
    """Holds that the pixel columns make an image, before all rows are read."""
    n_pixels = len(header.pixels)
    n_wanted = product(image) if image is not None else math.isqrt(n_pixels) ** 2
    if n_pixels == n_wanted + 1 and n_wanted > 1:
        names = [header.names[index] for index in header.pixels]
        raise DataError(
            f"{where}, line 1: {n_pixels} pixel columns ({names[0]!r}, {names[1]!r}, ..., {names[-1]!r}), "
            f"one more than the {n_wanted} of an image. If one of them is no pixel, name it with data.id; "
            "else say with data.image what they are: [height, width, channels]."
        )
    shape_images(np.empty((0, n_pixels), np.uint8), image, where)


def _whole(chunks: Iterator[Chunk], header: Header, path: Path) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns pixels (sample, pixel), label codes (sample,) and the label that each code stands for."""
    codes: dict[str, int] = {}
    images = np.empty((0, len(header.pixels)), np.uint8)
    labels: list[np.ndarray] = []
    n_done, n_expected = 0, _estimated_rows(path)
    for chunk in chunks:
        n, own = n_done + len(chunk.images), chunk.labels or []
        if not _MISSING.isdisjoint(own):
            raise _fault(path, header, n_done, "labels that are missing")
        dtype = np.result_type(images, chunk.images)
        if n > len(images) or dtype != images.dtype:
            n_rows = max(n, n_expected)
            larger = allocate(
                (n_rows, len(header.pixels)), dtype, f"{shown_path(path)}, about {n_rows:,} rows"
            )
            larger[:n_done] = images[:n_done]
            images, n_expected = larger, n_rows + n_rows // 8
        images[n_done:n] = chunk.images
        labels.append(np.array([codes.setdefault(label, len(codes)) for label in own], np.int64))
        n_done = n
    return images[:n_done], np.concatenate(labels), list(codes)


def _estimated_rows(path: Path) -> int:
    """Returns about how many rows a file has, by the length of those at its beginning."""
    with opened(path) as file:
        head = file.read(PIECE_BYTES)
        size = os.fstat(file.fileno()).st_size
    if len(head) == size:
        return 0  # they come at once
    return size * head.count(b"\n") // len(head) * 51 // 50  # a few too many cost nothing


def read_chunks(text: io.TextIOWrapper, header: Header, path: Path) -> Iterator[Chunk]:
    """Yields the rows after the header, some 4 million cells at a time.

    Args:
        text: Where the header has been read.
        path: The file, to say where a fault is.

    Yields:
        Pixels (sample, pixel), uint8 or float32; and ids and labels as they are spelled.

    Raises:
        DataError: A row has other cells than the header names, or a pixel is no finite number; or there are
            no rows.
    """
    import pandas as pd  # takes a second, which a search from the cache need not spend

    n_done = 0
    try:
        for frame in _frames(text, header):
            # An index of another kind is a surplus first column.
            if not isinstance(frame.index, pd.RangeIndex):
                raise _fault(path, header, n_done, "more cells than names")
            if frame.empty:
                break
            pixels = frame.iloc[:, list(header.pixels)]
            if any(kind.kind not in "iuf" for kind in pixels.dtypes.unique()):
                raise _fault(path, header, n_done, "pixels that are neither floats nor integers of 64 bits")
            try:
                found = as_pixels(pixels.to_numpy(), "")
            except DataError:
                raise _fault(path, header, n_done, "pixels that are not finite in float32") from None
            ids, labels = (
                None if place is None else [cell.strip() for cell in frame[place]]
                for place in (header.id, header.label)
            )
            yield Chunk(found, ids, labels)
            n_done += len(frame)
    except DataError:
        raise
    except (pd.errors.ParserError, ValueError, OverflowError) as error:
        if isinstance(error, UnicodeDecodeError):
            raise
        raise _fault(path, header, n_done, str(error)) from error
    if not n_done:
        raise DataError(f"{shown_path(path)}: only a header and no rows.")


def _frames(text: io.TextIOWrapper, header: Header, **options: Any) -> Iterator[Any]:
    """Yields the cells after the header as DataFrames whose columns are numbered; all but pixels are text."""
    import pandas as pd

    n_columns, are_pixels = len(header.names), set(header.pixels)
    yield from pd.read_csv(
        text,
        header=None,
        names=range(n_columns),
        dtype={place: object for place in range(n_columns) if place not in are_pixels},
        na_filter=False,
        skipinitialspace=True,
        low_memory=False,
        chunksize=max(1, CHUNK_CELLS // n_columns),
        **options,
    )


def _have_numbers(path: Path, header: Header) -> bool:
    """Tells whether the labels of a file are whole numbers, all of them: else they are texts.

    Of a file that is damaged, for as much as can be read of it; the reading of all of it says what is wrong.
    """
    if header.label is None:
        return False
    try:
        with open_text(path) as text:
            read_names(text, shown_path(path))
            frames = _frames(text, header, usecols=[header.label])
            return all(are_whole([cell.strip() for cell in frame[header.label]]) for frame in frames)
    except (ValueError, OverflowError):
        return False


def _fault(path: Path, header: Header, n_done: int, otherwise: str) -> DataError:
    """Returns the error for the first fault after `n_done` good rows.

    Args:
        n_done: Rows that were read without fault.
        otherwise: What pandas complained of, in case that no cell is found to be at fault.
    """
    where = shown_path(path)
    line = 1
    with open_text(path) as text:
        reader = csv.reader(text, skipinitialspace=True, strict=True)
        rows = numbered_rows(reader)
        try:
            for line, row in itertools.islice(rows, n_done + 1, None):
                complaint = _complaint(row, header)
                if complaint:
                    return DataError(f"{where}, line {line}{complaint}")
        except csv.Error as error:
            return DataError(f'{where}, line {line + 1} or after: {error}. Is a quote (") left open?')
    return DataError(f"{where}, row {n_done + 1} or after: cannot be read as CSV: {otherwise}.")


def numbered_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yields each row that is not blank with the line it begins on, from 1."""
    line = 1
    for row in reader:
        # As pandas does, a line of nothing but spaces counts for none.
        if len(row) > 1 or "".join(row).strip():
            yield line, row
        line = reader.line_num + 1


def _complaint(row: list[str], header: Header) -> str | None:
    """Returns what is wrong with a row, or None."""
    if len(row) != len(header.names):
        found = f"{len(row)} cell{'' if len(row) == 1 else 's'}"
        return f": {found}, but the header has {len(header.names)} columns. Complete the row or drop it."
    if header.label is not None and row[header.label].strip() in _MISSING:
        return f", column {header.names[header.label]!r}: the label is missing. Fill it in or drop the row."
    for index in header.pixels:
        cell = row[index].strip()
        if _NUMBER.fullmatch(cell) and abs(float(cell)) <= _LARGEST:
            continue
        found = repr(cell if len(cell) <= 40 else cell[:40] + "...")
        if not cell:
            what = "empty"
        elif _NUMBER.fullmatch(cell):
            what = f"{found} is too large for float32"
        elif cell.lstrip("+-").lower() in _NOT_FINITE:
            what = f"{found} is not finite"
        elif cell.lower().endswith(IMAGE_SUFFIXES):
            what = f"{found} names a file, and images are not read by their names yet (an .npz holds them)"
        else:
            what = f"{found} is no number"
        return (
            f", column {header.names[index]!r}: {what}. Every column but the label and data.id is a pixel "
            "and needs a finite number."
        )
    return None
