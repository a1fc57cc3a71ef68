"""From a config, or from arrays in Python, to a Dataset that workers can map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import Samples, as_pixels, check_samples
from kerasgrid.data.cache import array_digest, cached, fingerprint, save_samples
from kerasgrid.data.labels import check_labels, encode_labels
from kerasgrid.data.sources import find_source
from kerasgrid.data.subset import take_subset
from kerasgrid.errors import DataError
from kerasgrid.io import storage_errors
from kerasgrid.records import Dataset


def load_data(config: Any, *, seed: int = 0, name: str | None = None) -> Dataset:
    """Returns the training samples of a config, from the cache where they were read before.

    Args:
        config: The config's data section: `train`, `label`, `id`, `image` and `subset`.
        seed: What `subset` is drawn by.
        name: What messages about the dataset call it; its file by default.

    Returns:
        Images mapped read-only from the cache's folder, neither scaled nor standardized; where a
        subset was taken, the report compares its label frequencies with the whole's.

    Raises:
        DataError: The data is missing, damaged or not as the config says; names file, row, column.
        NotBuiltError: A kind of data that this version does not read yet.
        StorageError: The cache cannot be written.
    """
    data = _load(config, seed, name)
    check_labels(data.labels, data.classes, data.source)
    return data


def _load(config: Any, seed: int, name: str | None = None) -> Dataset:
    """Returns samples that need not be all that is to be learnt from, as those of a test set."""
    source = find_source(config)
    where = name or source.name
    digests = source.digests()
    key = {"files": digests, "options": source.options}

    def read() -> tuple[Samples, Sequence[str]]:
        try:
            samples = source.read()
        except MemoryError as error:
            raise DataError(f"{source.name}: does not fit into the memory that is free.") from error
        if source.digests() != digests:
            raise DataError(f"{source.name} changed while it was read. Give the same command again.")
        return samples, ()

    def pick() -> tuple[Samples, Sequence[str]]:
        taken, line = take_subset(cached(key, where, read), config.subset, seed, where)
        return taken, (line,)

    if config.subset is None:
        return cached(key, where, read)
    return cached({**key, "subset": config.subset, "seed": seed}, where, pick)


def load_with_test(config: Any, *, seed: int = 0) -> Dataset:
    """Returns the samples of `train`, and after them those of `test`, which has labels too.

    Args:
        config: As in `load_data`; `subset` is of the training samples.
        seed: As in `load_data`.

    Raises:
        DataError: As `load_data`; or the two have other shapes or classes.
        StorageError: The cache cannot be written.
    """
    train = load_data(config, seed=seed)
    test = _load(config.model_copy(update={"train": config.test, "subset": None}), seed)
    if train.images.shape[1:] != test.images.shape[1:]:
        shapes = f"{test.images.shape[1:]}, and {train.source} of {train.images.shape[1:]}"
        raise DataError(f"{test.source}: has samples of {shapes}.")
    unknown = [label for label in test.classes if label not in train.classes]
    if unknown:
        raise DataError(f"{test.source}: has the class {unknown[0]!r}, which {train.source} has not.")

    if train.is_multi_label and test.classes != train.classes:
        counts = f"{len(test.classes)} labels, and {train.source} {len(train.classes)}"
        raise DataError(f"{test.source}: has samples of {counts}.")

    def join() -> tuple[Samples, Sequence[str]]:
        places = np.array([train.classes.index(label) for label in test.classes])
        images = np.concatenate([train.images, test.images])
        own = test.labels if train.is_multi_label else places[test.labels]
        labels = np.concatenate([train.labels, own])
        return Samples(images, labels, train.classes), train.report

    joined = cached({"joined": [train.fingerprint, test.fingerprint]}, train.source, join)
    return replace(joined, n_held_out=len(test))


def dataset_from_arrays(X: Any, y: Any, folder: Path | None = None, *, multi_label: bool = False) -> Dataset:
    """Returns a dataset of arrays given in Python.

    Args:
        X: (sample, ...) numbers; (sample, height, width) gets a channel axis, other ranks stay.
        y: (sample,) whole numbers, bools or strings, or (sample, class) one-hot rows.
        folder: Where to keep them for workers, whole or not at all; only in memory by default.
        multi_label: Whether y is (sample, label) of 0 and 1, any number of ones a row.

    Raises:
        DataError: X and y do not fit, or hold what cannot be learnt from.
        StorageError: The folder cannot be written.
    """
    try:
        images, given = np.asarray(X), np.asarray(y)
    except ValueError as error:
        raise DataError(f"X or y: rows of different lengths ({error}). Give arrays of one shape.") from error
    if images.ndim < 2 or 0 in images.shape[1:]:
        raise DataError(f"X: shape {images.shape}. The sample's axis and at least one more are needed.")
    images = as_pixels(images[..., np.newaxis] if images.ndim == 3 else images, "X")
    labels, classes = encode_labels(given, "y", multi_label=multi_label)
    check_samples(images, labels, classes, "X and y")
    check_labels(labels, classes, "X and y")
    samples = Samples(images, labels, classes)
    if folder is not None:
        with storage_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            return save_samples(folder, samples, "X and y")
    mark = fingerprint(array_digest(samples.images), array_digest(samples.labels), classes)
    return Dataset(samples.images, samples.labels, classes, mark, "X and y")
