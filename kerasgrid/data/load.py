"""From a config to a Dataset that workers can map: all samples, or a stratified part of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from kerasgrid.data.arrays import Samples, take_rows
from kerasgrid.data.cache import cached
from kerasgrid.data.csv import check_columns, pixel_names
from kerasgrid.data.csv_tables import check_table_columns
from kerasgrid.data.csv_text import known_names
from kerasgrid.data.held_out import check_held_out, with_held_out
from kerasgrid.data.labels import check_labels, counts_of
from kerasgrid.data.pictures import decoder
from kerasgrid.data.places import csv_of
from kerasgrid.data.roles import Roles
from kerasgrid.data.sources import find_source, form_of_others
from kerasgrid.data.strata import parts_by_labels
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset, Doing, not_told


def take_subset(whole: Samples | Dataset, n_samples: int, seed: int, where: str) -> Samples:
    """Returns a subset in the order of the whole, whose report tells of it.

    It is stratified by class, or by all labels where a sample may have several.

    Args:
        whole: All samples.
        n_samples: How many to take: of classes at least one each, and as many left out.
        seed: From 0 to 2**32 - 1; 0 is a seed.
        where: How a message begins.

    Raises:
        DataError: There are too few samples, of all or of a class.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    labels, n_whole = np.asarray(whole.labels), len(whole.labels)
    if whole.target.kind != "classes":
        if n_samples >= n_whole:
            raise DataError(
                f"{where}: data.subset is {n_samples}, of {n_whole} samples. Correct it, or leave it out to "
                "use all."
            )
        if whole.target.is_multi_label:
            parts = parts_by_labels(labels, [n_samples, n_whole - n_samples], seed)
            return _taken(whole, np.flatnonzero(parts == 0), f"stratified by all labels, seed {seed}")
        rows = np.sort(np.random.RandomState(seed).permutation(n_whole)[:n_samples])
        return _taken(whole, rows, f"at random, seed {seed}")
    counts = np.bincount(labels, minlength=whole.target.n_outputs)
    n_present = int((counts > 0).sum())
    if not n_present <= n_samples <= n_whole - n_present:
        raise DataError(
            f"{where}: data.subset is {n_samples}. Of {n_whole} samples in {n_present} classes it can take "
            f"{n_present} to {n_whole - n_present}: correct it, or leave it out to use all."
        )
    if (counts == 1).any():
        name = whole.target.names[int(np.argmax(counts == 1))]
        raise DataError(
            f"{where}: class {name!r} has 1 sample, and a stratified data.subset needs 2 of each. Add "
            "samples, or leave data.subset out."
        )
    splitter = StratifiedShuffleSplit(1, train_size=n_samples, random_state=seed)
    rows = np.sort(next(splitter.split(np.zeros(n_whole), labels))[0])
    return _taken(whole, rows, f"stratified, seed {seed}")


def _taken(whole: Samples | Dataset, rows: np.ndarray, how: str) -> Samples:
    """Returns some of the samples, with a line on how far what is predicted is from the whole's."""
    taken = take_rows(whole, rows)
    differ = _of_numbers(taken, whole) if whole.target.is_numbers else _of_classes(taken, whole)
    line = f"subset: {len(rows)} of {len(whole.labels)} samples, {how}; {differ}"
    return replace(taken, report=(*taken.report, line))


def _of_classes(taken: Samples, whole: Samples | Dataset) -> str:
    names, what = whole.target.names, "label" if whole.target.is_multi_label else "class"
    shares, wanted = (_frequencies(labels, len(names)) for labels in (taken.labels, whole.labels))
    worst = int(np.argmax(np.abs(shares - wanted)))
    return (
        "label frequencies differ from the whole's by at most "
        f"{100 * abs(shares[worst] - wanted[worst]):.2f} percentage points "
        f"({what} {names[worst]!r}: {shares[worst]:.2%}, whole {wanted[worst]:.2%})"
    )


def _of_numbers(taken: Samples, whole: Samples | Dataset) -> str:
    told = (
        f"{name!r} has mean {own.mean():.6g} and std {own.std():.6g}, the whole {every.mean():.6g} and "
        f"{every.std():.6g}"
        for name, own, every in zip(whole.target.names, taken.labels.T, whole.labels.T, strict=True)
    )
    return "; ".join(told)


def _frequencies(labels: np.ndarray, n_classes: int) -> np.ndarray:
    return counts_of(labels, n_classes) / len(labels)


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
    check_labels(data.labels, data.target, data.source)
    return data


def _load(
    config: Any,
    seed: int,
    name: str | None = None,
    trained: Dataset | None = None,
    doing: Doing = not_told,
) -> Dataset:
    """Returns samples that need not be all that is to be learnt from, as those of a test set.

    Args:
        trained: The training data, where these are rows that are held out.
    """
    source = find_source(config, trained)
    where = name or source.name
    digests = source.digests(doing)
    key = {"files": digests, "options": source.options}
    if source.decodes:
        key["decoder"] = decoder()

    def check() -> None:
        if source.digests() != digests:
            raise DataError(f"{source.name} changed while it was read. Give the same command again.")

    def pick() -> Samples:
        # Of image files only those of the subset are decoded.
        whole = source.read() if source.decodes else cached(key, where, source.read, check=check)
        return take_subset(whole, config.subset, seed, where)

    if config.subset is None:
        found = cached(key, where, source.read, check=check, doing=doing)
    else:
        found = cached({**key, "subset": config.subset, "seed": seed}, where, pick, check=check, doing=doing)
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
    as_train = {"train": other, "test": config.train, "validation": None, "subset": None}
    test = _load(config.model_copy(update=as_train), seed, trained=train, doing=doing)
    check_held_out(train, test, train.source, test.source)

    def join() -> Samples:
        rows, others = replace(train, report=()), replace(test, report=())
        return with_held_out(rows, others, test.source, in_memory=False)

    joined = cached({"joined": [train.fingerprint, test.fingerprint]}, train.source, join)
    report = (*train.report, *test.report, *joined.report)
    return replace(joined, n_held_out=len(test), report=tuple(dict.fromkeys(report)))
