"""What can be seen in samples without a net: those that are stored twice, and grey images among coloured.

Nothing is held that grows with the size of a sample, and of samples larger than some kilobytes a few pieces
are read first: only those that are alike there are read as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kerasgrid.data.archives import member_digests
from kerasgrid.data.arrays import CHUNK_BYTES
from kerasgrid.data.digests import file_digests
from kerasgrid.data.pictures import Picture, damaged_headers
from kerasgrid.errors import StorageError
from kerasgrid.io import ARRAY_DAMAGE, read_json, write_json
from kerasgrid.records import Dataset

FORMAT = 2
FILE = "glance.json"
"""Beside the samples in their folder, which holds nothing else that is looked at by name."""
MOST = 24
"""Pairs and images that are told by their places."""
_PIECES, _PIECE_BYTES = 8, 512
"""What is read first of a sample that is larger."""
_GREY_POINTS = 64

Pairs = tuple[tuple[int, int], ...]


class Compared(NamedTuple):
    """What a test set has.

    Attributes:
        n: Its samples.
        pairs: Of a training sample and an equal one there, by their places.
        damaged: Image files there whose headers cannot be read.
    """

    n: int
    pairs: list[tuple[int, int]]
    damaged: list[int]


Compare = Callable[[np.ndarray, np.ndarray], Compared]
"""Takes training samples and their keys, and compares them with a test set."""


@dataclass(frozen=True)
class Glance:
    """What was seen. Samples are told by their places, from 0; a pair is of two that hold the same.

    Attributes:
        n_across: Training samples that another one equals whose label is another one.
        across: Such pairs, the first of each group and one that differs in label.
        n_again: Training samples that an earlier one equals which has the same label.
        again: Such pairs.
        n_grey: Images whose channels are equal in each pixel; None where images have not three channels.
        grey: Such images.
        n_test: Samples of the test set; None where it was not looked at.
        n_shared: Those that a training sample equals.
        shared: Pairs of a training sample and one of the test set, by its place there.
        n_damaged: Image files of the test set whose headers cannot be read.
        damaged: Such files, by their places.
    """

    n_across: int = 0
    across: Pairs = ()
    n_again: int = 0
    again: Pairs = ()
    n_grey: int | None = None
    grey: tuple[int, ...] = ()
    n_test: int | None = None
    n_shared: int = 0
    shared: Pairs = ()
    n_damaged: int = 0
    damaged: tuple[int, ...] = ()

    @classmethod
    def of(cls, data: Dataset, compare: Compare | None = None, key: Any = None) -> Glance:
        """Returns what is seen of samples, from beside them where they were looked at before.

        Args:
            data: All samples; those that are held out as a test set of their own are taken as one.
            compare: Compares them with a test set, which it reads: `with_chunks`, `with_files`; or None.
            key: A JSON value that tells test sets apart.
        """
        path = None if data.folder is None else Path(data.folder) / FILE
        asked = {"format": FORMAT, "test": key, "held out": data.n_held_out}
        kept = None if path is None else _kept(path, asked)
        if kept is not None:
            return kept
        found = cls._looked(data, compare)
        if path is not None:
            try:
                write_json(path, {**asked, "found": asdict(found)})
            except StorageError:  # what cannot be kept is found anew
                return found
        return found

    @classmethod
    def _looked(cls, data: Dataset, compare: Compare | None) -> Glance:
        n_train = len(data) - data.n_held_out
        images, labels = data.images[:n_train], data.labels[:n_train]
        keys = _keys(images)
        across, again = [], []
        for group in _groups(images, keys):
            first, *rest = group
            is_same = np.atleast_1d((labels[rest] == labels[first]).reshape(len(rest), -1).all(axis=1))
            again += [(first, row) for row, same in zip(rest, is_same, strict=True) if same]
            if not is_same.all():
                across += [(first, row) for row, same in zip(rest, is_same, strict=True) if not same]
        n_across = len({row for pair in across for row in pair})
        given: dict[str, Any] = {"n_across": n_across, "across": tuple(across[:MOST]), "n_again": len(again)}
        if images.ndim == 4 and images.shape[-1] == 3:
            grey = _grey_rows(images)
            given |= {"n_grey": len(grey), "grey": tuple(map(int, grey[:MOST]))}
        if data.n_held_out:
            compare = with_chunks(_chunks(data.images[n_train:]))
        if compare is not None:
            test = compare(images, keys)
            given |= {"n_test": test.n, "n_shared": len(test.pairs), "shared": tuple(test.pairs[:MOST])}
            given |= {"n_damaged": len(test.damaged), "damaged": tuple(test.damaged[:MOST])}
        return cls(again=tuple(again[:MOST]), **given)


def _kept(path: Path, asked: Mapping[str, Any]) -> Glance | None:
    """Returns what a file says; None where it is missing, damaged or of something else."""
    try:
        found = read_json(path)
        if {name: found[name] for name in asked} != asked:
            return None
        given = dict(found["found"])
        for name in ("across", "again", "shared"):
            given[name] = tuple((int(one), int(other)) for one, other in given[name])
        return Glance(**{**given, "grey": tuple(given["grey"]), "damaged": tuple(given["damaged"])})
    except (*ARRAY_DAMAGE, AttributeError):
        return None


def _chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yields samples some at a time, in their order."""
    at_once = max(1, CHUNK_BYTES // max(images[:1].nbytes, 1))
    for first in range(0, len(images), at_once):
        yield np.asarray(images[first : first + at_once])


def _keys(images: np.ndarray) -> np.ndarray:
    """Returns (sample,) uint64, equal for those that hold the same; for others as good as never, if small."""
    return np.fromiter(
        (key for chunk in _chunks(images) for key in _keys_of(chunk)), dtype=np.uint64, count=len(images)
    )


def _keys_of(chunk: np.ndarray) -> Iterator[int]:
    rows = np.ascontiguousarray(chunk).reshape(len(chunk), -1).view(np.uint8)
    n_bytes = rows.shape[1]
    if n_bytes > _PIECES * _PIECE_BYTES:
        starts = np.linspace(0, n_bytes - _PIECE_BYTES, _PIECES).astype(int)
        rows = np.concatenate([rows[:, start : start + _PIECE_BYTES] for start in starts], axis=1)
    for row in rows:
        yield int.from_bytes(hashlib.blake2b(row.data, digest_size=8).digest(), "little")


def _whole(image: np.ndarray) -> bytes:
    return hashlib.blake2b(
        np.ascontiguousarray(image).reshape(-1).view(np.uint8).data, digest_size=16
    ).digest()


def _groups(images: np.ndarray, keys: np.ndarray) -> Iterator[list[int]]:
    """Yields the places of samples that hold the same, where there are several, by their first."""
    order = np.argsort(keys, kind="stable")
    is_again = np.zeros(len(keys), dtype=bool)
    is_again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    alike = np.isin(keys, np.unique(keys[is_again]))
    groups: dict[bytes, list[int]] = {}
    for row in np.flatnonzero(alike).tolist():
        groups.setdefault(_whole(images[row]), []).append(row)
    yield from (group for group in groups.values() if len(group) > 1)


def with_chunks(chunks: Iterable[np.ndarray]) -> Compare:
    """Returns what compares samples with those of a test set, chunk by chunk."""
    return partial(_shared, chunks)


def with_files(trained: Sequence[Picture], test: Sequence[Picture]) -> Compare:
    """Returns what compares the image files of samples, in their order, with those of a test set.

    They are compared as files are, without being decoded; of those of the test set the headers are read.
    """

    def compare(images: np.ndarray, keys: np.ndarray) -> Compared:
        first: dict[str, int] = {}
        for place, content in enumerate(_contents(trained)):
            if content is not None:
                first.setdefault(content, place)
        pairs = [(first[own], place) for place, own in enumerate(_contents(test)) if own in first]
        return Compared(len(test), pairs, [one.place for one in damaged_headers(test)])

    return compare


def _contents(files: Sequence[Picture]) -> list[str | None]:
    """Returns the SHA-256 of what each image file or member of a .zip holds; None of a damaged member."""
    plain = list(dict.fromkeys(one.path for one in files if one.member is None))
    found: dict[tuple[Path, str | None], str | None] = {
        (path, None): own.digest for path, own in zip(plain, file_digests(plain), strict=True)
    }
    members: dict[Path, list[str]] = {}
    for one in files:
        if one.member is not None:
            members.setdefault(one.path, []).append(one.member)
    for path, names in members.items():
        own = member_digests(path, names)
        found |= {(path, name): own.get(name) for name in names}
    return [found[one.path, one.member] for one in files]


def _shared(test: Iterable[np.ndarray], images: np.ndarray, keys: np.ndarray) -> Compared:
    """Returns what a test set has, of which no sample is a file of its own."""
    n_test, alike = 0, []
    known = np.unique(keys)
    for chunk in test:
        if len(chunk) and chunk.shape[1:] == images.shape[1:]:
            same = chunk.astype(images.dtype)
            is_same = (same == chunk).reshape(len(chunk), -1).all(axis=1)
            own = np.fromiter(_keys_of(same), dtype=np.uint64, count=len(chunk))
            rows = np.flatnonzero(np.isin(own, known) & is_same)
            alike += [(int(own[row]), _whole(same[row]), n_test + int(row)) for row in rows]
        n_test += len(chunk)
    wanted = np.flatnonzero(np.isin(keys, np.array([key for key, *_ in alike], dtype=np.uint64)))
    first: dict[bytes, int] = {}
    for row in wanted.tolist():
        first.setdefault(_whole(images[row]), row)
    return Compared(n_test, [(first[whole], place) for _, whole, place in alike if whole in first], [])


def _grey_rows(images: np.ndarray) -> np.ndarray:
    """Returns the places of images whose channels are equal in each pixel."""
    found, before = [], 0
    for chunk in _chunks(images):
        pixels = chunk.reshape(len(chunk), -1, chunk.shape[-1])
        some = pixels[:, :: max(1, pixels.shape[1] // _GREY_POINTS)]
        rows = np.flatnonzero((some == some[..., :1]).all(axis=(1, 2)))
        is_grey = (pixels[rows] == pixels[rows][..., :1]).all(axis=(1, 2))
        found.append(before + rows[is_grey])
        before += len(chunk)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)
