"""Which source a config names, and the files and options that its samples depend on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import Samples, opened, shape_images
from kerasgrid.data.csv import names_of, read_csv
from kerasgrid.data.idx import read_idx
from kerasgrid.data.npz import read_npz
from kerasgrid.data.stream_csv import is_csv
from kerasgrid.errors import DataError, NotBuiltError
from kerasgrid.io import kind_of
from kerasgrid.wording import shown_path

_KINDS = "a .csv, an .npz, {images: FILE, labels: FILE} for a pair of IDX files, or digits"


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
    return Samples(images, bunch.target.astype(np.int64), tuple(range(10)))


@dataclass(frozen=True)
class Source:
    """Samples that can be read.

    Attributes:
        name: What messages call it.
        files: The files whose bytes decide what is read.
        options: A JSON value: what else decides it.
        read: Reads the samples.
    """

    name: str
    files: tuple[Path, ...]
    options: Mapping[str, Any]
    read: Callable[[], Samples]

    def digests(self) -> list[str]:
        """Returns the SHA-256 of each file.

        Raises:
            DataError: One is missing, no regular file, or may not be read.
        """
        digests = []
        for path in self.files:
            with opened(path) as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest())
        return digests


def find_source(config: Any) -> Source:
    """Returns the source that a config's `train` names.

    Args:
        config: The config's data section: `train`, `label`, `id`, `image` and `multi_label` are looked at.

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
        label, id = config.label or "label", _own_id(path, config)
        options |= {"source": "csv", "label": label, "id": id}
        return Source(
            shown_path(path), (path,), options, lambda: read_csv(path, label=label, id=id, image=image)
        )
    if path.suffix.lower() == ".npz":
        options |= {"source": "npz", **({"multi_label": True} if config.multi_label else {})}
        return Source(
            shown_path(path), (path,), options, lambda: read_npz(path, image, multi_label=config.multi_label)
        )
    if other := kind_of(path, takes=("table", "arrays")):
        raise DataError(f"{shown_path(path)} {other.told('data')}")
    raise DataError(
        f"{shown_path(path)}: data.train is a kind of file that is not known here. Give {_KINDS}."
    )


def _part(train: Any, name: str) -> str | Path:
    """Returns `images` or `labels` of a mapping or an object."""
    value = train.get(name) if isinstance(train, Mapping) else getattr(train, name, None)
    if not isinstance(value, (str, Path)):
        raise DataError(f"data.train.{name} is {value!r}, where a file is needed. Give {_KINDS}.")
    return value


def _own_id(path: Path, config: Any) -> str | None:
    """Returns the id column of the training data; None where the test data alone have it."""
    if config.id is None or config.id in names_of(path):
        return config.id
    if is_csv(config.test) and Path(config.test).exists() and config.id in names_of(Path(config.test)):
        return None
    return config.id  # which the reading of the file refuses


def _refuse_folder(path: Path) -> None:
    if os.path.isdir(path):
        raise NotBuiltError(
            f"{shown_path(path)} is a folder. Reading a folder of class folders is not built yet. "
            f"Give {_KINDS}."
        )
