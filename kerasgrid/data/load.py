"""From a config to a Dataset that workers can map: all samples, or a stratified part of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kerasgrid.data.cache import cached
from kerasgrid.data.csv import check_columns, pixel_names
from kerasgrid.data.csv_tables import check_table_columns
from kerasgrid.data.csv_text import known_names
from kerasgrid.data.held_out import check_held_out, with_held_out
from kerasgrid.data.labels import check_labels
from kerasgrid.data.pictures import decoder
from kerasgrid.data.places import csv_of
from kerasgrid.data.roles import Roles
from kerasgrid.data.samples import Samples
from kerasgrid.data.sources import find_source, form_of_others
from kerasgrid.data.subset import Subset, take_subset
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset, Doing, not_told


def load_data(config: Any, *, seed: int = 0, name: str | None = None, doing: Doing = not_told) -> Dataset:
    """Returns the training samples of a config, from the cache where they were read before.

    Args:
        config: The config's data section.
        seed: What `subset` is drawn by.
        name: What messages about the dataset call it; its file by default.
        doing: Is told how far the decoding of image files is.

    Returns:
        Images mapped read-only from the cache's folder, neither scaled nor standardized; where a
        subset was taken, the report compares its label frequencies with the whole's.

    Raises:
        DataError: The data is missing, damaged or not as the config says; names file, row, column.
        NotBuiltError: A kind of data that this version does not read yet.
        StorageError: The cache cannot be written.
    """
    data = _load(config, seed, name, doing=doing)
    check_labels(data.labels[: len(data) - data.n_held_out], data.target, data.source)
    return data


def _load(
    config: Any,
    seed: int,
    name: str | None = None,
    trained: Dataset | None = None,
    doing: Doing = not_told,
    part: str = "train",
) -> Dataset:
    """Returns samples that need not be all that is to be learnt from, as those of a test set.

    Args:
        trained: The training data, where these are rows that are held out.
        part: The key of them in the section `data`.
    """
    source = find_source(config, trained, f"data.{part}")
    where = name or source.name
    digests = source.digests(doing)
    key = {"files": digests, "options": source.options}
    if source.decodes:
        key["decoder"] = decoder()

    def check() -> None:
        if source.digests() != digests:
            raise DataError(f"{source.name} changed while it was read. Give the same command again.")

    if config.subset is None:
        found = cached(key, where, source.read, check=check, doing=doing)
    else:
        own = {**key, "subset": config.subset, "seed": seed}
        if source.decodes:  # only the files of the subset
            subset = Subset(source.read, config.subset, seed, where)
            found = cached(own, where, subset.draw, check=check, doing=doing, refill=subset.refill)
        else:

            def pick() -> Samples:
                whole = cached(key, where, source.read, check=check)
                return take_subset(whole, config.subset, seed, where)

            found = cached(own, where, pick, check=check, doing=doing)
    # What was guessed is not kept: the same files elsewhere, or where it is said, are the same samples.
    return replace(found, report=(*source.notes, *found.report))


def check_other(config: Any, other: Any, train: Dataset) -> None:
    """Raises a DataError where the columns of other rows than those to learn from show that they are none."""
    file, own = csv_of(other, config, "test"), csv_of(config.train, config)
    if file is None:
        return
    roles = Roles.of(config)
    if train.table is not None:
        check_table_columns(file, train.table, roles, known_names(own))
    elif form_of_others(file, config) is False:
        check_columns(file, train.images.shape[1:], roles, pixel_names(own, roles))


def load_with_test(config: Any, *, seed: int = 0, doing: Doing = not_told) -> Dataset:
    """Returns the samples of `train`, and after them those that are held out.

    Args:
        config: As in `load_data`; `subset` is of the training samples. Those of `validation` are held out, or
            of `test` where there are none, which has labels too.
        seed: As in `load_data`; and so is `doing`.

    Raises:
        DataError: As `load_data`; or the two have other shapes, classes or columns.
        StorageError: The cache cannot be written.
    """
    train, other = load_data(config, seed=seed, doing=doing), config.validation or config.test
    check_other(config, other, train)
    part = "test" if config.validation is None else "validation"
    as_train = {"train": other, "test": config.train, "validation": None, "subset": None}
    test = _load(config.model_copy(update=as_train), seed, trained=train, doing=doing, part=part)
    check_held_out(train, test, train.source, test.source)

    def join() -> Samples:
        rows, others = replace(train, report=()), replace(test, report=())
        return with_held_out(rows, others, test.source, in_memory=False)

    joined = cached({"joined": [train.fingerprint, test.fingerprint]}, train.source, join)
    others = (f"{part}: {line}" for line in test.report if line not in train.report)
    return replace(joined, n_held_out=len(test), report=(*train.report, *others, *joined.report))
