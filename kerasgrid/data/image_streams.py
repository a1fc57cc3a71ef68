"""Image files to predict, and the ids by which a submission calls them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from kerasgrid.config.sections import first_path
from kerasgrid.data.archives import archive_on_way, exists
from kerasgrid.data.arrays import CHUNK_BYTES, product
from kerasgrid.data.csv_text import CsvFile, is_csv, read_frames, stripped
from kerasgrid.data.pictures import Pictures, decode_chunks
from kerasgrid.data.places import sample_in
from kerasgrid.data.streams import Chunk
from kerasgrid.errors import DataError
from kerasgrid.wording import shown_path

_NUMBER = re.compile(r"\d+")


def picture_chunks(pictures: Pictures, ids: Sequence[str], labels: Sequence[Any] | None) -> Iterator[Chunk]:
    """Yields image files, decoded.

    Args:
        ids: Of each.
        labels: Of each; None where none are told.

    Raises:
        DataError: Some cannot be decoded; each has a row in what is predicted.
    """
    first = 0
    for images in decode_chunks(pictures, max(1, CHUNK_BYTES // product(pictures.image))):
        last = first + len(images)
        yield Chunk(images, list(ids[first:last]), None if labels is None else list(labels[first:last]))
        first = last


def _numbers(name: str) -> str:
    found = _NUMBER.findall(PurePosixPath(name).stem)
    return found[-1] if found else ""


_WAYS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("names without suffix", lambda name: PurePosixPath(name).stem),
    ("names", lambda name: PurePosixPath(name).name),
    ("paths without suffix", lambda name: str(PurePosixPath(name).with_suffix(""))),
    ("paths", lambda name: name),
    ("numbers in their names", _numbers),
)
"""What may be the ids of image files, by their paths."""
_PATHS = ("paths without suffix", "paths")


def ids_of(names: Sequence[str], sample: Path | None) -> tuple[list[str], str]:
    """Returns the ids of image files, and a line on what was taken for them.

    They are what the competition's sample has, of names, paths and numbers; without one, or where it has none
    of these, the names without suffix, if each is another one, else the paths.

    Args:
        names: Their paths below a folder, posix.
        sample: The competition's sample.
    """
    ways = {told: [way(name) for name in names] for told, way in _WAYS}
    told, like = _unique(ways)[0], ""
    for column in [] if sample is None else _columns_of(sample):
        known = set(map(_plain, column))
        for match in re.finditer("/", column[0] if column else ""):
            folder = column[0][: match.end()]  # in which the sample says that the images are
            ways |= {f"{way} in {folder}": [folder + id for id in ways[way]] for way in _PATHS}
        unique = _unique(ways)
        shared = {way: len(known & set(map(_plain, ways[way]))) for way in unique}
        best = max(unique, key=lambda way: shared[way])
        if shared[best] * 2 > len(known):
            told, like = best, f", as {shown_path(sample or '')} has them"
            break
    return ways[told], f"ids of the images are their {told}{like}"


def _unique(ways: Mapping[str, Sequence[str]]) -> list[str]:
    """Returns the ways in which each image has an id of its own."""
    return [told for told, ids in ways.items() if len(set(ids)) == len(ids)]


def _plain(id: str) -> str:
    """Returns an id without zeros before it, by which numbers are told."""
    return id.lstrip("0") or "0" if id.isdecimal() else id


def _columns_of(sample: Path) -> list[list[str]]:
    """Returns the columns of a competition's sample; none where it cannot be read, as is told elsewhere."""
    try:
        file = CsvFile(sample)
        names = file.names()
        (frame,) = read_frames(file, names)
        return [stripped(frame[name]) for name in frame.columns]
    except DataError:
        return []


def sample_beside(config: Any, source: Any) -> Path | None:
    """Returns the competition's sample that a config names, or that lies beside its test set; None without
    one.

    Args:
        config: The section `data`.
        source: The test set.
    """
    if config.sample_submission is not None:
        sample = Path(config.sample_submission)
        return sample if exists(sample) and is_csv(sample) else None
    path = first_path(source)
    if path is None:
        return None
    archive = archive_on_way(Path(path))
    folders = [Path(path).parent, *([] if archive is None else [archive[0].parent])]
    return next(filter(None, map(sample_in, folders)), None)
