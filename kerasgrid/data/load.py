"""From a config to a Dataset that workers can map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import Samples, check_memory
from kerasgrid.data.cache import cached
from kerasgrid.data.labels import check_labels
from kerasgrid.data.sources import find_source
from kerasgrid.data.stream_csv import check_columns, is_csv, pixel_names
from kerasgrid.data.subset import take_subset
from kerasgrid.errors import DataError
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
        samples = source.read()
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
    if is_csv(config.test):
        label, shape = config.label or "label", train.images.shape[1:]
        check_columns(Path(config.test), shape, label, config.id, pixel_names(config.train, label, config.id))
    test = _load(config.model_copy(update={"train": config.test, "test": config.train, "subset": None}), seed)
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
        check_memory(train.images.nbytes + test.images.nbytes, f"{train.source} and {test.source}")
        images = np.concatenate([train.images, test.images])
        own = test.labels if train.is_multi_label else places[test.labels]
        labels = np.concatenate([train.labels, own])
        return Samples(images, labels, train.classes, train.one_hot), train.report

    joined = cached({"joined": [train.fingerprint, test.fingerprint]}, train.source, join)
    return replace(joined, n_held_out=len(test))
