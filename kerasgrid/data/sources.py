"""Which source is named: of samples to learn from, with all that they depend on, or of samples to predict."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.sections import IdxPair
from kerasgrid.data.arrays import Samples, shape_images
from kerasgrid.data.csv import csv_chunks, pixel_names, read_csv
from kerasgrid.data.csv_tables import is_table, read_table, table_chunks
from kerasgrid.data.csv_text import is_csv, known_names, names_of
from kerasgrid.data.digests import file_digests
from kerasgrid.data.idx import idx_chunks, read_idx
from kerasgrid.data.npz import npy_chunks, npz_chunks, read_npz
from kerasgrid.data.roles import NO_ROLES, Roles
from kerasgrid.data.streams import Chunk, Stream, fitting
from kerasgrid.errors import DataError, NotBuiltError
from kerasgrid.io import kind_of
from kerasgrid.records import Dataset, Table, Target
from kerasgrid.wording import listed, shown_path

_KINDS = "a .csv, an .npz, {images: FILE, labels: FILE} for a pair of IDX files, or digits"
_STREAM_KINDS = "a .csv, .npz or .npy file, a file of IDX images, or digits"


def read_digits(image: Sequence[int] | None = None) -> Samples:
    """Returns 1,797 images of digits, (1797, 8, 8, 1), uint8 in 0..16, with the classes 0 to 9.

    Args:
        image: (height, width, channels) of 64 pixels in all; (8, 8, 1) by default.

    Raises:
        DataError: `image` has another number of pixels.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = shape_images(bunch.data.astype(np.uint8), image, "digits")
    return Samples(images, bunch.target.astype(np.int64), Target("classes", tuple(range(10))))


def digits_chunks(shape: Sequence[int]) -> Iterator[Chunk]:
    """Yields what `read_digits` gives, as samples of a shape."""
    samples = read_digits()
    pixels = np.asarray(samples.images).reshape(len(samples.labels), -1)
    yield Chunk(fitting(pixels, shape, "digits"), None, samples.labels.tolist())


@dataclass(frozen=True)
class Source:
    """Samples that can be read.

    Attributes:
        name: What messages call it.
        files: The files whose bytes decide what is read.
        options: A JSON value: what else decides it.
        read: Reads the samples.
        decodes: Whether these are image files, `Pictures`, which `read` does not decode yet.
    """

    name: str
    files: tuple[Path, ...]
    options: Mapping[str, Any]
    read: Callable[[], Samples]
    decodes: bool = False

    def digests(self) -> list[str]:
        """Returns the SHA-256 of each file.

        Raises:
            DataError: One is missing, no regular file, or may not be read.
        """
        return [own.digest for own in file_digests(self.files)]


def find_source(config: Any, trained: Dataset | None = None) -> Source:
    """Returns the source that a config's `train` names.

    Args:
        config: The config's data section.
        trained: The training data, where these are rows that are held out.

    Raises:
        DataError: It names no kind of source.
        NotBuiltError: A kind that this version does not read yet.
    """
    train = config.train
    image = None if config.image is None else tuple(int(size) for size in config.image)
    options: dict[str, Any] = {"image": None if image is None else list(image)}
    if isinstance(train, (list, tuple)):
        raise NotBuiltError(f"data.train: a list of files is not built yet. Give {_KINDS}.")
    if not isinstance(train, (str, Path)):
        images, labels = (Path(_part(train, name)) for name in ("images", "labels"))
        for path in (images, labels):
            _refuse_folder(path)
        options["source"] = "idx"
        return Source(
            f"{shown_path(images)} and {shown_path(labels)}",
            (images, labels),
            options,
            lambda: read_idx(images, labels, image),
        )
    if str(train) == "digits":
        options |= {"source": "digits", "version": version("scikit-learn")}
        return Source("digits", (), options, lambda: read_digits(image))
    path = Path(train)
    _refuse_folder(path)
    if is_csv(path):
        return _csv_source(path, config, trained, image, options)
    if path.suffix.lower() == ".npz":
        options |= {"source": "npz", **({"multi_label": True} if config.multi_label else {})}
        return Source(
            shown_path(path), (path,), options, lambda: read_npz(path, image, multi_label=config.multi_label)
        )
    raise _unknown(path, "data.train is a kind", _KINDS)


def _csv_source(
    path: Path, config: Any, trained: Dataset | None, image: tuple[int, ...] | None, options: dict[str, Any]
) -> Source:
    roles = Roles.of(config)
    if trained is None:
        roles = replace(roles, id=_own_id(path, config))
    else:
        names = names_of(path)
        if lacking := [name for name in roles.predicted if name not in names]:
            raise DataError(
                f"{shown_path(path)}, line 1: lacks {listed(lacking)}, by which rows that are held out are "
                "scored. Add what is to be predicted of them, or take folds."
            )
        roles = roles.of_held_out(names, trained.target)
    if roles.fold_file is not None and roles.id is None:
        raise DataError(
            f"data.fold is the file {shown_path(Path(roles.fold_file))}, whose folds are told by id. Name "
            "the column of ids with data.id."
        )
    files = (path, *([] if roles.fold_file is None else [Path(roles.fold_file)]))
    more = {} if roles == Roles(roles.label, id=roles.id) else {"roles": roles.plain}
    options |= {"label": roles.label, "id": roles.id, **more}
    table = None if trained is None else trained.table
    if is_table(path, config, roles) if trained is None else table is not None:
        features = config.features
        options |= {"source": "table", "features": features.model_dump()}
        options |= {} if table is None else {"table": asdict(table)}
        return Source(shown_path(path), files, options, lambda: read_table(path, roles, features, table))
    return Source(shown_path(path), files, options | {"source": "csv"}, lambda: read_csv(path, roles, image))


def open_stream(
    source: Any,
    shape: Sequence[int],
    config: Any = None,
    *,
    table: Table | None = None,
    name: str | None = None,
) -> Stream:
    """Returns the samples of a file.

    Args:
        source: A path, `digits`, or a pair of IDX files.
        shape: Of a training sample: (height, width, channel), or other axes.
        config: The data section of the training data's config, which says what a CSV file's columns are, and
            whose `train` has the columns that such a file has to have.
        table: Of the training data, where these are rows of one.
        name: What messages call a .npy file; by default its path.

    Raises:
        DataError: It names no kind of samples. What is wrong with them is told while they are read.
    """
    if isinstance(source, IdxPair):
        images, labels = Path(source.images), Path(source.labels)
        return Stream(shown_path(images), partial(idx_chunks, images, labels, shape))
    if str(source) == "digits":
        return Stream("digits", partial(digits_chunks, shape))
    path = Path(source)
    if is_csv(path):
        roles = NO_ROLES if config is None else Roles.of(config)
        train = None if config is None else config.train
        if table is not None:
            chunks: Any = partial(table_chunks, path, table, roles, known_names(train))
        else:
            chunks = partial(csv_chunks, path, shape, roles, pixel_names(train, roles))
        return Stream(shown_path(path), chunks)
    if table is not None:
        raise DataError(f"{shown_path(path)}: the training data are a table, and this is no .csv file.")
    if path.suffix.lower() == ".npz":
        return Stream(shown_path(path), partial(npz_chunks, path, shape))
    if path.suffix.lower() == ".npy":
        name = name or shown_path(path)
        return Stream(name, partial(npy_chunks, path, shape, name))
    if path.suffix.lower() in {".gz", ".idx", ""} or "ubyte" in path.name:
        return Stream(shown_path(path), partial(idx_chunks, path, None, shape))
    raise _unknown(path, "a kind", _STREAM_KINDS)


def _unknown(path: Path, what: str, kinds: str) -> DataError:
    """Returns what is said of a file that is no source."""
    if other := kind_of(path, takes=("table", "arrays")):
        return DataError(f"{shown_path(path)} {other.told('data')}")
    return DataError(f"{shown_path(path)}: {what} of file that is not known here. Give {kinds}.")


def _part(train: Any, name: str) -> str | Path:
    """Returns `images` or `labels` of a mapping or an object."""
    value = train.get(name) if isinstance(train, Mapping) else getattr(train, name, None)
    if not isinstance(value, (str, Path)):
        raise DataError(f"data.train.{name} is {value!r}, where a file is needed. Give {_KINDS}.")
    return value


def _own_id(path: Path, config: Any) -> str | None:
    """Returns the id column of the training data; None where other rows alone have it."""
    if config.id is None or config.id in names_of(path):
        return config.id
    if any(config.id in (known_names(other) or ()) for other in (config.test, config.validation)):
        return None
    return config.id  # which the reading of the file refuses


def _refuse_folder(path: Path) -> None:
    if os.path.isdir(path):
        raise NotBuiltError(
            f"{shown_path(path)} is a folder. Reading a folder of class folders is not built yet. "
            f"Give {_KINDS}."
        )
