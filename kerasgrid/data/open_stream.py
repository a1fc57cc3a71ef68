"""Which samples to predict a path names, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.sections import IdxPair
from kerasgrid.data.arrays import opened
from kerasgrid.data.idx import opened_idx, read_idx_array
from kerasgrid.data.labels import check_texts
from kerasgrid.data.npz import open_archive, opened_member, read_header, read_member
from kerasgrid.data.sources import read_digits
from kerasgrid.data.stream_csv import csv_chunks, is_csv, pixel_names
from kerasgrid.data.streams import Chunk, Stream, fitting, read_rows
from kerasgrid.errors import DataError
from kerasgrid.io import kind_of
from kerasgrid.wording import shown_path

IMAGE_NAMES = ("images", "x", "X", "x_test", "X_test", "test_images", "data")
LABEL_NAMES = ("labels", "y", "y_test", "test_labels", "target")
ID_NAMES = ("ids", "id")
_KINDS = "a .csv, .npz or .npy file, a file of IDX images, or digits"


def open_stream(
    source: Any,
    shape: Sequence[int],
    *,
    label: str = "label",
    id: str | None = None,
    train: Any = None,
    name: str | None = None,
) -> Stream:
    """Returns the samples of a file.

    Args:
        source: A path, `digits`, or a pair of IDX files.
        shape: Of a training sample: (height, width, channel), or other axes.
        label: The label column of a CSV file, which it may have.
        id: The id column of it, of the training data or of both; by default the one that is no pixel.
        train: The training data's source, whose pixel columns a CSV file has to have, in their order.
        name: What messages call a .npy file; by default its path.

    Raises:
        DataError: It names no kind of samples. What is wrong with them is told while they are read.
    """
    if isinstance(source, IdxPair):
        images, labels = Path(source.images), Path(source.labels)
        return Stream(shown_path(images), partial(_idx, images, shape, labels))
    if str(source) == "digits":
        return Stream("digits", partial(_digits, shape))
    path = Path(source)
    if is_csv(path):
        trained = pixel_names(train, label, id)
        return Stream(shown_path(path), partial(csv_chunks, path, shape, label, id, trained))
    if path.suffix.lower() == ".npz":
        return Stream(shown_path(path), partial(_npz, path, shape))
    if path.suffix.lower() == ".npy":
        name = name or shown_path(path)
        return Stream(name, partial(_npy, path, shape, name))
    if path.suffix.lower() in {".gz", ".idx", ""} or "ubyte" in path.name:
        return Stream(shown_path(path), partial(_idx, path, shape, None))
    if other := kind_of(path, takes=("table", "arrays")):
        raise DataError(f"{shown_path(path)} {other.told('data')}")
    raise DataError(f"{shown_path(path)}: a kind of file that is not known here. Give {_KINDS}.")


def _npz(path: Path, shape: Sequence[int]) -> Iterator[Chunk]:
    where = shown_path(path)
    with opened(path) as file:
        archive = open_archive(file, where)
        keys = [member.removesuffix(".npy") for member in archive.namelist()]
        key = next((name for name in IMAGE_NAMES if name in keys), None)
        if key is None:
            raise DataError(
                f"{where}: no images: it holds {', '.join(keys[:20]) or 'nothing'}. Name them images."
            )
        stored_ids, stored_labels = (
            next((read_member(archive, name, where) for name in names if name in keys), None)
            for names in (ID_NAMES, LABEL_NAMES)
        )
        ids = None if stored_ids is None else _ids(stored_ids, where)
        labels = None if stored_labels is None else stored_labels.tolist()
        with opened_member(archive, key, f"{where}, {key}") as (member, most_bytes):
            yield from _array(member, most_bytes, f"{where}, {key}", shape, ids, labels)


def _ids(values: np.ndarray, where: str) -> list[str]:
    """Returns ids as a submission spells them.

    Raises:
        DataError: They are no list of whole numbers or texts.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "f" and np.all(np.isfinite(values)) and np.all(values == np.floor(values)):
        values = values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise DataError(
            f"{where}: ids are {values.dtype} of shape {list(values.shape)}; whole numbers or texts, one a "
            "sample, hold."
        )
    ids = [str(value) for value in values.tolist()]
    check_texts(ids, f"{where}: the id")
    return ids


def _npy(path: Path, shape: Sequence[int], where: str) -> Iterator[Chunk]:
    with opened(path) as file:
        n_bytes = path.stat().st_size
        try:
            yield from _array(file, n_bytes, where, shape, None, None)
        except DataError:
            raise
        except ValueError as error:
            raise DataError(f"{where}: no .npy file, or a damaged one ({error}).") from error


def _array(
    file: Any,
    most_bytes: int,
    where: str,
    shape: Sequence[int],
    ids: list[str] | None,
    labels: list[Any] | None,
) -> Iterator[Chunk]:
    stored, fortran, dtype = read_header(file, most_bytes, where)
    if fortran and len(stored) > 1:
        raise DataError(f"{where}: lies in Fortran's order. Save numpy.ascontiguousarray of it.")
    _check_lengths(stored[0] if stored else 0, where, ids, labels)
    yield from _chunks(read_rows(file, stored, dtype, where), shape, where, ids, labels)


def _idx(path: Path, shape: Sequence[int], labels: Path | None) -> Iterator[Chunk]:
    where = shown_path(path)
    given = None if labels is None else read_idx_array(labels).tolist()
    with opened_idx(path) as (file, stored, dtype):
        _check_lengths(stored[0], where, None, given)
        yield from _chunks(read_rows(file, stored, dtype, where), shape, where, None, given)


def _check_lengths(n: int, where: str, ids: list[str] | None, labels: list[Any] | None) -> None:
    if not n:
        raise DataError(f"{where}: no samples.")
    for what, values in (("ids", ids), ("labels", labels)):
        if values is not None and len(values) != n:
            raise DataError(f"{where}: {n:,} images, but {len(values):,} {what}. Each image has one.")


def _chunks(
    parts: Iterator[np.ndarray],
    shape: Sequence[int],
    where: str,
    ids: list[str] | None,
    labels: list[Any] | None,
) -> Iterator[Chunk]:
    first = 0
    for part in parts:
        last = first + len(part)
        yield Chunk(
            fitting(part, shape, where),
            None if ids is None else ids[first:last],
            None if labels is None else labels[first:last],
        )
        first = last


def _digits(shape: Sequence[int]) -> Iterator[Chunk]:
    samples = read_digits()
    pixels = samples.images.reshape(len(samples.images), -1)
    yield Chunk(fitting(pixels, shape, "digits"), None, samples.labels.tolist())
