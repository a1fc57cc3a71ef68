"""CSV files as Kaggle has them: a label column, the other columns pixels, one row a sample.

Pandas reads the file, in chunks; where one is not what it should be, that part is read again row by row to
say where the fault is.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kerasgrid.data.arrays import PIECE_BYTES, allocate, as_pixels, product, shape_images
from kerasgrid.data.cells import NUMBER, quoted_cell
from kerasgrid.data.csv_text import (
    CsvFile,
    known_names,
    open_rows,
    opened_bytes,
    read_frames,
    reading,
    refuse_twins,
    row_fault,
    stripped,
    uneven,
)
from kerasgrid.data.pictures import PICTURE_SUFFIXES
from kerasgrid.data.roles import MISSING, NO_ROLES, Roles, check_header, label_reader, samples_of_file
from kerasgrid.data.samples import Samples
from kerasgrid.data.streams import Chunk, fitting
from kerasgrid.errors import DataError
from kerasgrid.wording import listed

CHUNK_CELLS = 4_000_000
_NOT_FINITE = {"nan", "inf", "infinity"}
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Header:
    """The columns: which hold a label, or what else is predicted in its place, an id, and pixels."""

    names: tuple[str, ...]
    label: int | None
    pixels: tuple[int, ...]
    id: int | None = None
    several: tuple[int, ...] = ()


def read_csv(file: CsvFile, roles: Roles = NO_ROLES, image: Sequence[int] | None = None) -> Samples:
    """Returns the samples of a CSV file, of which each row is a picture.

    Memory holds the result and one chunk of 4 million cells.

    Args:
        file: UTF-8.
        roles: The columns that are no pixels.
        image: (height, width, channels) of the pixel columns; a square of one channel by default.

    Raises:
        DataError: It is missing, or something in it is not as above; the message names the line
            (the header is line 1) and the column.
    """
    where = file.where
    header = _columns_to_learn(file.names(), roles, file)
    _check_count(header, image, file)
    with open_rows(file) as text:
        images, codes, names = _whole(read_chunks(text, header, file), header, file)
    others = [*roles.special, *([] if roles.fold_file is None or roles.id is None else [roles.id])]
    frame = next(read_frames(file, roles.spelled, only=others)) if others else None
    return samples_of_file(file, shape_images(images, image, where), roles, frame, (codes, names))


def csv_chunks(
    file: CsvFile, shape: Sequence[int], roles: Roles, trained: tuple[str, ...] | None
) -> Iterator[Chunk]:
    """Yields the samples of a CSV file.

    Args:
        shape: Of a training sample.
        roles: The columns that are no pixels, of which any may be missing; without an id, the one that is no
            pixel is it, if there is one.
        trained: The pixels' columns in the training file; None where they are not known.

    Raises:
        DataError: The columns are not those of the training data, or a cell is no pixel.
    """
    header = _columns_to_predict(file.names(), shape, roles, trained, file)
    labels_of = label_reader(file, roles.present(header.names))
    with open_rows(file) as text:
        for chunk in read_chunks(text, header, file):
            yield Chunk(fitting(chunk.images, shape, file.where), chunk.ids, labels_of(chunk.labels))


def check_columns(file: CsvFile, shape: Sequence[int], roles: Roles, trained: tuple[str, ...] | None) -> None:
    """Raises a DataError where a CSV file's columns show that `csv_chunks` will refuse it."""
    _columns_to_predict(file.names(), shape, roles, trained, file)


def pixel_names(train: CsvFile | None, roles: Roles) -> tuple[str, ...] | None:
    """Returns the columns that are pixels in the training file; None where it is no CSV or not there."""
    names, others = known_names(train), roles.names
    return None if names is None else tuple(name for name in names if name not in others)


def _columns_to_learn(names: list[str], roles: Roles, file: CsvFile) -> Header:
    """Returns which columns of a training file are what.

    Raises:
        DataError: A column that is named or the pixels are not there.
    """
    check_header(names, roles, file)
    others = roles.names
    pixels = tuple(index for index, name in enumerate(names) if name not in others)
    if not pixels:
        raise DataError(
            f"{file.first_line}: no columns of samples: only {', '.join(names)}. Where one names image "
            "files: data.files: {column: NAME, folder: FOLDER, suffix: .jpg}."
        )
    return Header(tuple(names), None if roles.label is None else names.index(roles.label), pixels)


def _columns_to_predict(
    names: list[str], shape: Sequence[int], roles: Roles, trained: tuple[str, ...] | None, file: CsvFile
) -> Header:
    """Returns which columns of a file of samples to predict are what.

    Raises:
        DataError: The pixels are not those of the training data.
    """
    refuse_twins(names, file.where)
    n_pixels, known, id = product(shape), set(trained or ()), roles.id
    others = roles.names - {id}
    rest = [name for name in names if name not in others]
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
        beside = "the label column " if others == {roles.label} else ""
        raise DataError(
            f"{file.first_line}: {len(rest):,} pixel columns, and an image that was trained on has "
            f"{n_pixels:,}. {told}Beside the pixels there may be {beside}{listed(sorted(others))} and one id "
            "column, which data.id names."
        )
    if told:
        raise DataError(
            f"{file.first_line}: other columns than in the training data. {told}Name and order them alike; "
            "one that is the id is named by data.id."
        )
    wanted = list(trained or rest)
    if wanted != rest:
        place = next(i for i, pair in enumerate(zip(wanted, rest, strict=True)) if pair[0] != pair[1])
        raise DataError(
            f"{file.first_line}: the pixel columns come in another order than in the training data: "
            f"{rest[place]!r} where {wanted[place]!r} was. Put them in its order."
        )
    pixels = tuple(place for place, name in enumerate(names) if name in are_pixels)
    here = roles.present(names)
    return Header(
        tuple(names),
        None if (one := here.label or here.tags) is None else names.index(one),
        pixels,
        None if id is None else names.index(id),
        tuple(names.index(name) for name in here.targets or here.labels),
    )


def _check_count(header: Header, image: Sequence[int] | None, file: CsvFile) -> None:
    """Holds that the pixel columns make an image, before all rows are read."""
    n_pixels = len(header.pixels)
    n_wanted = product(image) if image is not None else math.isqrt(n_pixels) ** 2
    if n_pixels == n_wanted + 1 and n_wanted > 1:
        names = [header.names[index] for index in header.pixels]
        raise DataError(
            f"{file.first_line}: {n_pixels} pixel columns ({names[0]!r}, {names[1]!r}, ..., {names[-1]!r}), "
            f"one more than the {n_wanted} of an image. If one of them is no pixel, name it with data.id; "
            "else say with data.image what they are: [height, width, channels]; or, of a table, what its "
            "columns are with data.features."
        )
    shape_images(np.empty((0, n_pixels), np.uint8), image, file.where)


def _whole(
    chunks: Iterator[Chunk], header: Header, file: CsvFile
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Returns pixels (sample, pixel), label codes (sample,) and the label that each code stands for."""
    codes: dict[str, int] = {}
    images = np.empty((0, len(header.pixels)), np.uint8)
    labels: list[np.ndarray] = []
    n_done, n_expected = 0, _estimated_rows(file)
    for chunk in chunks:
        n, own = n_done + len(chunk.images), chunk.labels or []
        if not MISSING.isdisjoint(own):
            raise row_fault(file, partial(_complaint, header=header), n_done, "labels that are missing")
        dtype = np.result_type(images, chunk.images)
        if n > len(images) or dtype != images.dtype:
            n_rows = max(n, n_expected)
            larger = allocate((n_rows, len(header.pixels)), dtype, f"{file.where}, about {n_rows:,} rows")
            larger[:n_done] = images[:n_done]
            images, n_expected = larger, n_rows + n_rows // 8
        images[n_done:n] = chunk.images
        labels.append(np.array([codes.setdefault(label, len(codes)) for label in own], np.int64))
        n_done = n
    return images[:n_done], np.concatenate(labels), list(codes)


def _estimated_rows(file: CsvFile) -> int:
    """Returns about how many rows a file has, by the length of those at its beginning."""
    with opened_bytes(file) as (raw, share):
        head = raw.read(PIECE_BYTES)
        if len(head) < PIECE_BYTES:
            return 0  # they come at once
        return int(head.count(b"\n") / share() * 1.02)  # a few too many cost nothing


def read_chunks(text: io.TextIOWrapper, header: Header, file: CsvFile) -> Iterator[Chunk]:
    """Yields the rows, some 4 million cells at a time.

    Args:
        text: At the first row.
        file: Whose text it is, to say where a fault is.

    Yields:
        Pixels (sample, pixel), uint8 or float32; and ids and labels as they are spelled.

    Raises:
        DataError: A row has other cells than the header names, or a pixel is no finite number; or there are
            no rows.
    """
    import pandas as pd  # takes a second, which a search from the cache need not spend

    n_done = 0
    complaint = partial(_complaint, header=header)

    def fault(otherwise: str) -> DataError:
        return row_fault(file, complaint, n_done, otherwise)

    with reading(fault):
        for frame in _frames(text, header, file.separator):
            # An index of another kind is a surplus first column.
            if not isinstance(frame.index, pd.RangeIndex):
                raise fault("more cells than names")
            if frame.empty:
                break
            pixels = frame.iloc[:, list(header.pixels)]
            if any(kind.kind not in "iuf" for kind in pixels.dtypes.unique()):
                raise fault("pixels that are neither floats nor integers of 64 bits")
            try:
                found = as_pixels(pixels.to_numpy(), "")
            except DataError:
                raise fault("pixels that are not finite in float32") from None
            ids = None if header.id is None else stripped(frame[header.id])
            labels: list[Any] | None = None if header.label is None else stripped(frame[header.label])
            if header.several:
                labels = list(zip(*(stripped(frame[place]) for place in header.several), strict=True))
            yield Chunk(found, ids, labels)
            n_done += len(frame)
    if not n_done:
        raise DataError(f"{file.where}: only a header and no rows.")


def _frames(text: io.TextIOWrapper, header: Header, separator: str) -> Iterator[Any]:
    """Yields the cells after the header as DataFrames whose columns are numbered; all but pixels are text."""
    import pandas as pd

    n_columns, are_pixels = len(header.names), set(header.pixels)
    yield from pd.read_csv(
        text,
        header=None,
        sep=separator,
        names=range(n_columns),
        dtype={place: object for place in range(n_columns) if place not in are_pixels},
        na_filter=False,
        skipinitialspace=True,
        low_memory=False,
        chunksize=max(1, CHUNK_CELLS // n_columns),
    )


def _complaint(row: list[str], header: Header) -> str | None:
    """Returns what is wrong with a row, or None."""
    if (found := uneven(row, len(header.names))) is not None:
        return found
    if header.label is not None and row[header.label].strip() in MISSING:
        return f", column {header.names[header.label]!r}: the label is missing. Fill it in or drop the row."
    for index in header.pixels:
        cell = row[index].strip()
        if NUMBER.fullmatch(cell) and abs(float(cell)) <= _LARGEST:
            continue
        found = quoted_cell(cell)
        if not cell:
            what = "empty"
        elif NUMBER.fullmatch(cell):
            what = f"{found} is too large for float32"
        elif cell.lstrip("+-").lower() in _NOT_FINITE:
            what = f"{found} is not finite"
        elif cell.lower().endswith(tuple(PICTURE_SUFFIXES)):
            what = f"{found} names a file: say so by data.files: {{column: {header.names[index]}}}"
        else:
            what = f"{found} is no number"
        return (
            f", column {header.names[index]!r}: {what}. Every column but the label and data.id is a pixel "
            "and needs a finite number."
        )
    return None
