"""Samples to predict in a CSV file: its pixels are those of the training data, in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from kerasgrid.data.arrays import product
from kerasgrid.data.csv import Header, names_of, open_text, read_chunks, read_names
from kerasgrid.data.labels import as_classes
from kerasgrid.data.streams import Chunk, fitting
from kerasgrid.errors import DataError
from kerasgrid.wording import listed, shown_path


def is_csv(source: Any) -> TypeGuard[str | Path]:
    """Tells whether a config's source is a CSV file, by its name."""
    return isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".csv"


def pixel_names(train: Any, label: str, id: str | None = None) -> tuple[str, ...] | None:
    """Returns the columns that are pixels in the training file; None where it is no CSV or not there."""
    if not is_csv(train) or not Path(train).exists():
        return None
    return tuple(name for name in names_of(Path(train)) if name not in (label, id))


def csv_chunks(
    path: Path, shape: Sequence[int], label: str, id: str | None, trained: tuple[str, ...] | None
) -> Iterator[Chunk]:
    """Yields the samples of a CSV file.

    Args:
        path: The file.
        shape: Of a training sample.
        label: The label column, where it has one.
        id: The id column, where it has one; else the one that is no pixel, if there is one.
        trained: The pixels' columns in the training file; None where they are not known.

    Raises:
        DataError: The columns are not those of the training data, or a cell is no pixel.
    """
    where = shown_path(path)
    with open_text(path) as text:
        header, id_place = find_columns(read_names(text, where), shape, label, id, trained, where)
        n_read = 0
        for pixels, chunk in read_chunks(text, header, path):
            n_read += len(pixels)
            ids = None if id_place is None else [cell.strip() for cell in chunk[id_place]]
            labels = None
            if header.label is not None:
                labels = as_classes([cell.strip() for cell in chunk[header.label]])
            yield Chunk(fitting(pixels, shape, where), ids, labels)
    if not n_read:
        raise DataError(f"{where}: only a header and no rows.")


def check_columns(
    path: Path, shape: Sequence[int], label: str, id: str | None, trained: tuple[str, ...] | None
) -> None:
    """Raises a DataError where a CSV file's first line shows that `csv_chunks` will refuse it."""
    find_columns(names_of(path), shape, label, id, trained, shown_path(path))


def find_columns(
    names: list[str],
    shape: Sequence[int],
    label: str,
    id: str | None,
    trained: tuple[str, ...] | None,
    where: str,
) -> tuple[Header, int | None]:
    """Returns which columns are what, and where the id is.

    Raises:
        DataError: The pixels are not those of the training data.
    """
    name, n_named = Counter(names).most_common(1)[0]
    if n_named > 1:
        raise DataError(f"{where}, line 1: {n_named} columns are named {name!r}.")
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
    return Header(tuple(names), label_place, pixels), None if id is None else names.index(id)
