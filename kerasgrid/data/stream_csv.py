"""Samples to predict in a CSV file: its pixels are those of the training data, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.data.arrays import product
from kerasgrid.data.csv import Header, open_text, read_chunks, read_names
from kerasgrid.data.labels import as_classes
from kerasgrid.data.stream import Chunk, fitting
from kerasgrid.errors import DataError
from kerasgrid.wording import shown_path


def pixel_names(train: Any, label: str) -> tuple[str, ...] | None:
    """Returns the columns that are pixels in the training file or may be its id; None where it is no CSV."""
    if not (isinstance(train, (str, Path)) and str(train).lower().endswith(".csv")):
        return None
    path = Path(train)
    if not path.exists():
        return None
    with open_text(path) as text:
        return tuple(name for name in read_names(text, shown_path(path)) if name != label)


def csv_chunks(
    path: Path, shape: Sequence[int], label: str, id: str | None, trained: tuple[str, ...] | None
) -> Iterator[Chunk]:
    """Yields the samples of a CSV file.

    Args:
        path: The file.
        shape: Of a training sample.
        label: The label column, where it has one.
        id: The id column; None for the one that is no pixel, if there is one.
        trained: The columns of the training file but its label; None where they are not known.

    Raises:
        DataError: The columns are not those of the training data, or a cell is no pixel.
    """
    where = shown_path(path)
    with open_text(path) as text:
        header, id_place = _header(read_names(text, where), shape, label, id, trained, where)
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


def _header(
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
    doubled = (
        next((name for name in names if names.count(name) > 1), None)
        if len(set(names)) < len(names)
        else None
    )
    if doubled is not None:
        raise DataError(f"{where}, line 1: {names.count(doubled)} columns are named {doubled!r}.")
    n_pixels = product(shape)
    rest = [name for name in names if name != label]
    if id is not None and id in rest:
        rest.remove(id)
    elif len(rest) == n_pixels + 1:
        own = [name for name in rest if trained is not None and name not in trained]
        id = own[0] if len(own) == 1 else rest[0]
        rest.remove(id)
    else:
        id = None
    if len(rest) != n_pixels:
        raise DataError(
            f"{where}, line 1: {len(rest):,} pixel columns, and an image that was trained on has "
            f"{n_pixels:,}. Beside them there may be the label column {label!r} and one id column, which "
            "data.id names."
        )
    if trained is not None:
        wanted = [name for name in trained if name in rest]
        if len(wanted) == n_pixels and wanted != rest:
            place = next(i for i, pair in enumerate(zip(wanted, rest, strict=True)) if pair[0] != pair[1])
            raise DataError(
                f"{where}, line 1: the pixel columns come in another order than in the training data: "
                f"{rest[place]!r} where {wanted[place]!r} was. Put them in its order."
            )
    are_pixels = set(rest)
    pixels = tuple(place for place, name in enumerate(names) if name in are_pixels)
    label_place = names.index(label) if label in names else None
    return Header(tuple(names), label_place, pixels), None if id is None else names.index(id)
