"""Folds: which rows are trained on and which are held out, and a fold's training rows in two.

Both are scikit-learn's own splits, seeded, and made of the data's labels, groups and times; where samples
have several labels, for which scikit-learn has none, those of `strata`. Folds are written once and reused by
every trial, engine and restart.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.sections import Folds
from kerasgrid.data.arrays import opened
from kerasgrid.data.npz import open_archive, read_member
from kerasgrid.data.strata import groups_by_labels, parts_by_labels
from kerasgrid.errors import DataError, RunError, brief
from kerasgrid.io import digest, write_arrays
from kerasgrid.records import Dataset, Fold
from kerasgrid.wording import count, shown_path

DEFAULT_N = 3
NEEDS = {"group": "groups", "stratified_group": "groups", "time": "times", "given": "given"}
"""By kind, the array of a dataset that it splits by."""
_MOST_BINS = 10
_MOST_PARTS = 20
"""Parts of equal shares of each class that groups are dealt into, of which some are held out."""
_INT64 = np.dtype("<i8")
_ABOUT = {"n_samples": (0, "i"), "fingerprint": (0, "U")}
"""The axes and kinds of what a file of folds holds beside them."""
_WAYS = "Restore the file, or start anew with --fresh."


def settled(how: Folds, data: Dataset) -> Folds:
    """Returns how samples are split, with what the data decide where no kind or number is written."""
    kind = how.kind or ("given" if data.given is not None else _kind_within(data))
    n = how.n
    if n is None:
        n = len(_numbers(data)) if kind == "given" and data.given is not None else DEFAULT_N
    return how.model_copy(update={"kind": kind, "n": n})


def is_default(how: Folds, data: Dataset) -> bool:
    """Tells whether samples are split as versions did that knew no kinds: stratified, or plain."""
    return settled(how, data).kind == ("stratified" if _has_classes(data) else "plain") and not how.gap


def make_folds(data: Dataset, how: Folds, *, holdout: float | None = None, seed: int) -> list[Fold]:
    """Returns the splits that every trial is scored on.

    By scikit-learn's splitters: StratifiedKFold, KFold, GroupKFold and StratifiedGroupKFold, shuffled by the
    seed, whose test rows partition the samples; TimeSeriesSplit of the rows ordered by time; PredefinedSplit.
    A share is held out by StratifiedShuffleSplit, ShuffleSplit, GroupShuffleSplit (a share of the groups) or
    some parts of a StratifiedGroupKFold; of rows in time it is the last. The only sample of a class is not.

    Samples with several labels are stratified by all of them, and groups of such samples too (`strata`).
    Numbers are stratified by up to 10 bins of as many samples each. Rows of one time are on one side of a
    cut, which moves to the nearer end of such rows.

    Args:
        data: Its labels, groups, times and fold numbers.
        how: As `search.folds` has it.
        holdout: The share of a single split, within (0, 1), in the place of so many folds.
        seed: From 0 to 2**32 - 1; 0 is a seed.

    Raises:
        DataError: They cannot be split so.
    """
    for _, fault in fold_faults(data, how, holdout):
        raise DataError(fault)
    kind, n, gap = _parts(settled(how, data))
    rows = np.arange(len(data))
    if holdout is None:
        splits = _splits(data, kind, n, gap, seed)
    else:
        splits = [_split(data, kind, rows, holdout, gap, seed)]
    ways = " Lower search.folds or its gap, or split otherwise."
    return _checked([(_rows(train), _rows(test)) for train, test in splits], ways)


def folds_by(cv: Any, data: Dataset) -> list[Fold]:
    """Returns the splits of a splitter of scikit-learn's, or of an iterable of (train, test).

    They may overlap, and leave rows out.

    Args:
        cv: Is given images, labels and groups. Of an iterable each part is of rows, or a mask of them.
        data: Numbers of one target are given as (sample,).

    Raises:
        DataError: It is none, cannot split such data, or a split is empty, overlaps itself or names rows that
            are not there.
    """
    y = data.labels[:, 0] if data.labels.ndim == 2 and data.labels.shape[1] == 1 else data.labels
    splits = cv
    if hasattr(cv, "split") and not isinstance(cv, str):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The groups parameter is ignored")
                splits = list(cv.split(data.images, y, data.groups))
        except Exception as error:  # each splitter has errors of its own
            raise DataError(f"{type(cv).__name__} cannot split these samples: {brief(error)}") from error
    elif isinstance(cv, str) or not isinstance(cv, Iterable):
        raise DataError(
            f"is {cv!r}; a splitter of scikit-learn's or an iterable of (train, test) holds. A number of "
            "folds is search.folds."
        )
    found = []
    for index, split in enumerate(splits):
        try:
            train, test = (_given_rows(np.asarray(part), len(data)) for part in split)
        except (TypeError, ValueError) as error:
            raise DataError(f"split {index} is no pair of rows, (train, test): {brief(error)}") from error
        found.append((train, test))
    if not found:
        raise DataError("gives no split: at least one holds.")
    return _checked(found)


def _given_rows(part: np.ndarray, n_samples: int) -> np.ndarray:
    """Returns rows of a split given in Python, sorted.

    Raises:
        ValueError: They are no rows of the data.
    """
    if part.dtype == bool and part.shape == (n_samples,):
        return np.flatnonzero(part).astype(_INT64)
    if part.size == 0:
        return np.empty(0, _INT64)
    if part.ndim != 1 or part.dtype.kind not in "iu":
        raise ValueError(f"{part.dtype} of shape {part.shape}")
    rows = _rows(part)
    if rows[0] < 0 or rows[-1] >= n_samples:
        raise ValueError(f"row {rows[0] if rows[0] < 0 else rows[-1]} is none of 0 to {n_samples - 1}")
    twice = rows[1:][np.diff(rows) == 0]
    if twice.size:
        raise ValueError(f"row {twice[0]} is there twice")
    return rows


def _checked(splits: Sequence[tuple[np.ndarray, np.ndarray]], ways: str = "") -> list[Fold]:
    """Returns splits as folds.

    Args:
        splits: (train, test), sorted.
        ways: What to do where one is empty.

    Raises:
        DataError: One trains on nothing, holds nothing out, or trains on what it holds out.
    """
    folds = [Fold(index, train, test) for index, (train, test) in enumerate(splits)]
    for fold in folds:
        for rows, what in ((fold.train, "trains on no sample"), (fold.test, "holds no sample out")):
            if not len(rows):
                raise DataError(f"fold {fold.index} {what}.{ways}")
        if len(both := np.intersect1d(fold.train, fold.test, assume_unique=True)):
            raise DataError(
                f"fold {fold.index} trains on {count(len(both), 'sample')} that it holds out, the first in "
                f"row {both[0]} (counted from 0)."
            )
    return folds


def test_fold(n_samples: int, n_held_out: int) -> Fold:
    """Returns the one split whose test rows are a test set's, the last of all samples."""
    rows = np.arange(n_samples)
    return Fold(0, _rows(rows[: n_samples - n_held_out]), _rows(rows[n_samples - n_held_out :]))


def fold_faults(data: Dataset, how: Folds, holdout: float | None = None) -> Iterator[tuple[str, str]]:
    """Yields why samples cannot be split so, each with the key that it is about.

    Args:
        data: As in `make_folds`.
        how: As in `make_folds`.
        holdout: As in `make_folds`.
    """
    kind, n, _ = _parts(settled(how, data))
    if kind in NEEDS and getattr(data, NEEDS[kind]) is None:
        key = {"groups": "group", "times": "time", "given": "fold"}[NEEDS[kind]]
        in_python = ", or give groups beside X in Python" if key == "group" else ""
        yield "search.folds.kind", f"is {kind}, and data.{key} is missing: name the column{in_python}."
        return
    if how.gap and kind != "time":
        yield (
            "search.folds.gap",
            f"is {how.gap}, which is of folds in time alone, and these are {kind}: leave it out, or write "
            "kind: time and name the column in data.time.",
        )
    if kind in ("stratified", "stratified_group") and data.target.is_numbers:
        instead = "group" if "group" in kind else "plain"
        if (n := data.target.n_outputs) > 1:
            yield "search.folds.kind", f"is {kind}, and {n} numbers are predicted: take {instead}."
            return
    if kind == "given":
        yield from _faults_of_numbers(data, how, holdout)
        return
    place = "search.folds" if holdout is None else "search.holdout"
    fault = _fault_of_few(data, kind, n, holdout)
    if fault is not None:
        yield place, fault


def _faults_of_numbers(data: Dataset, how: Folds, holdout: float | None) -> Iterator[tuple[str, str]]:
    """Yields what is wrong with the numbers of folds that the data have."""
    numbers = _numbers(data)
    assert data.given is not None
    if holdout is not None:
        yield "search.holdout", "does not go with data.fold, which tells what is held out: keep one of them."
    strange = np.flatnonzero(data.given < -1)
    if strange.size:
        yield (
            "data.fold",
            f"has {data.given[strange[0]]} in sample {strange[0]} (counted from 0): whole numbers of 0 or "
            "more hold, and -1 for samples that no fold holds out.",
        )
    elif not numbers:
        yield "data.fold", "is -1 in all samples, so that none is held out: number those that are from 0."
    elif len(numbers) == 1 and (data.given >= 0).all():
        yield "data.fold", f"is {numbers[0]} in all samples, so that none is left to train on."
    elif holdout is None and how.n is not None and how.n != len(numbers):
        told = f"is {how.n}, and data.fold has {count(len(numbers), 'number')}, which say how many there are"
        yield "search.folds" if how.kind is None else "search.folds.n", f"{told}: leave it out."


def _fault_of_few(data: Dataset, kind: str, n: int, holdout: float | None) -> str | None:
    """Returns what there is too little of to split it; None where there is enough."""
    if kind in NEEDS:
        noun = NEEDS[kind][:-1]
        n_there = len(np.unique(getattr(data, NEEDS[kind])))
        if holdout is not None:
            one = f"is {holdout:g}, and all samples are of one {noun}: there is nothing to split by."
            return one if n_there < 2 else None
        n_most = n_there - 1 if kind == "time" else n_there  # the first fold trains on what is before it
        if n_most < n:
            ways = f"lower it to {n_most} or less" if n_most > 1 else "split otherwise"
            first = ", and the first one trains on one before" if kind == "time" else ""
            are = "is" if n_there == 1 else "are"
            told = f"is {n}, and there {are} {count(n_there, noun)}: each fold holds one out{first}"
            return f"{told}. Add some, or {ways}."
        if kind != "stratified_group":
            return None
    n_each = math.ceil(1 / min(holdout, 1 - holdout) - 1e-9) if holdout is not None else n
    if kind == "stratified" and _has_classes(data) and holdout is not None:
        n_test, n_most = math.ceil(len(data) * holdout), int(_is_shared(data.labels).sum())
        n_classes = len(np.unique(data.labels[_is_shared(data.labels)]))
        if n_classes and n_classes <= n_test <= n_most - n_classes:
            return None
        return (
            f"is {holdout:g}, which is {n_test:,} of {len(data):,} samples, and of each class with two or "
            f"more ({n_classes} of {len(data.classes)}) one is needed to train on and one to test on. Add "
            "samples, or bring holdout nearer to 0.5."
        )
    if kind == "plain" or not _has_classes(data):
        if len(data) >= n_each:
            return None
        return f"there are {len(data)} samples, and {n_each} are needed: for one to train on and to test on."
    counts = np.bincount(data.labels, minlength=len(data.classes))
    which = int(np.argmax(counts))
    n_there = int(counts[which])
    if n_there >= n_each:
        return None
    has = f"class {data.classes[which]!r} has {count(n_there, 'sample')}"
    if holdout is None:
        ways = f"lower search.folds to {n_there} or less" if n_there > 1 else "take folds: {kind: plain}"
        told = f"{has}, the most of all, and search.folds is {n}: each fold needs one to test on"
        return f"{told}. Add samples, or {ways}."
    return (
        f"{has}, the most of all, and search.holdout is {holdout:g}: for one to train on and one to test on "
        f"{n_each} are needed. Add samples, or bring holdout nearer to 0.5."
    )


def _is_shared(labels: np.ndarray) -> np.ndarray:
    """Tells of each sample whether its class has two or more, of which some may be held out."""
    return np.bincount(labels)[labels] > 1


def _splits(data: Dataset, kind: str, n: int, gap: int, seed: int) -> Iterable[tuple[np.ndarray, np.ndarray]]:
    """Returns (train, test) of each fold."""
    from sklearn.model_selection import (
        GroupKFold,
        KFold,
        PredefinedSplit,
        StratifiedGroupKFold,
        StratifiedKFold,
    )

    if kind == "time":
        return _splits_in_time(data.times, n, gap)
    if kind == "given":
        return PredefinedSplit(data.given).split()
    if kind in ("stratified", "stratified_group") and data.target.is_multi_label:
        sizes = [len(part) for part in np.array_split(np.arange(len(data)), n)]
        if kind == "stratified":
            parts = parts_by_labels(data.labels, sizes, seed)
        else:
            assert data.groups is not None
            parts = groups_by_labels(data.labels, data.groups, n, seed)
        return [(np.flatnonzero(parts != place), np.flatnonzero(parts == place)) for place in range(n)]
    y, groups = _strata(data, n) if kind in ("stratified", "stratified_group") else None, data.groups
    if kind == "stratified_group":
        assert groups is not None
        splitter, groups = StratifiedGroupKFold(n), _renamed(groups, seed)
    else:
        makers = {"stratified": StratifiedKFold, "plain": KFold, "group": GroupKFold}
        splitter = makers[kind](n, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # is told of the folds, with its name
        return list(splitter.split(np.zeros(len(data)), y, groups if "group" in kind else None))


def _renamed(groups: np.ndarray, seed: int) -> np.ndarray:
    """Returns groups under drawn numbers, by whose order a StratifiedGroupKFold goes that does not shuffle.

    Where it does, older ones of scikit-learn, 1.6 among them, lose which group has which classes.
    """
    names, places = np.unique(groups, return_inverse=True)
    return np.random.RandomState(seed).permutation(len(names))[places]


def _splits_in_time(times: Any, n: int, gap: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import TimeSeriesSplit

    order = np.argsort(times, kind="stable")
    ends = _ends(np.asarray(times)[order])
    for _, test in TimeSeriesSplit(n).split(order):
        first, last = (_nearest(ends, place) for place in (test[0], test[-1] + 1))
        yield order[: max(first - gap, 0)], order[first:last]


def _split(
    data: Dataset, kind: str, rows: np.ndarray, fraction: float, gap: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns rows in two, those to train on and a share of them to measure on, by a kind of folds."""
    from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit

    n_test = math.ceil(len(rows) * fraction)
    if kind == "time":
        assert data.times is not None
        order = rows[np.argsort(data.times[rows], kind="stable")]
        ends = _ends(data.times[order])
        # So that there is something on both sides; of one time alone there is not.
        cut = _nearest(ends[1:-1] if len(ends) > 2 else ends, len(rows) - n_test)
        return order[: max(cut - gap, 0)], order[cut:]
    if kind == "stratified_group":
        train, test = _split_groups(data, rows, fraction, seed)
    elif kind == "group":
        assert data.groups is not None
        groups = data.groups[rows]
        if (n_groups := len(np.unique(groups))) < 2:
            return rows, rows[:0]
        n_test = min(math.ceil(n_groups * fraction), n_groups - 1)
        train, test = next(
            GroupShuffleSplit(1, test_size=n_test, random_state=seed).split(rows, None, groups)
        )
    elif kind == "stratified" and data.target.is_multi_label:
        parts = parts_by_labels(data.labels[rows], [len(rows) - n_test, n_test], seed)
        train, test = np.flatnonzero(parts == 0), np.flatnonzero(parts)
    elif kind == "stratified" and _has_classes(data):
        labels = data.labels[rows]
        shared = np.flatnonzero(_is_shared(labels))  # the only one of its class is trained on
        splitter = StratifiedShuffleSplit(1, test_size=n_test, random_state=seed)
        _, places = next(splitter.split(shared, labels[shared]))
        test = shared[places]
        train = np.setdiff1d(np.arange(len(rows)), test)
    else:
        train, test = next(ShuffleSplit(1, test_size=n_test, random_state=seed).split(rows))
    return rows[train], rows[test]


def _split_groups(
    data: Dataset, rows: np.ndarray, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns places of rows in two, no group on both sides and of each class about the share."""
    from sklearn.model_selection import StratifiedGroupKFold

    assert data.groups is not None
    groups, has_labels = data.groups[rows], data.target.is_multi_label
    strata = data.labels[rows] if has_labels else _strata(data, 2)[rows]
    most = min(_MOST_PARTS, len(np.unique(groups)))
    most = most if has_labels else min(most, int(np.bincount(strata).max()))
    everything = np.arange(len(rows))
    if most < 2:
        return everything, everything[:0]
    share = Fraction(fraction).limit_denominator(most)
    share = min(max(share, Fraction(1, most)), Fraction(most - 1, most))
    if has_labels:
        parts = groups_by_labels(strata, groups, share.denominator, seed)
        return np.flatnonzero(parts >= share.numerator), np.flatnonzero(parts < share.numerator)
    splitter = StratifiedGroupKFold(share.denominator)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        tests = (test for _, test in splitter.split(np.zeros(len(rows)), strata, _renamed(groups, seed)))
        own = [test for test in tests if len(test)]
    test = np.concatenate(own[: min(share.numerator, len(own) - 1)] or [everything[:0]])
    return np.setdiff1d(everything, test), test


def _strata(data: Dataset, n: int) -> np.ndarray:
    """Returns (sample,) what keeps its share in all folds: classes, or bins of `n` numbers each or more."""
    if _has_classes(data):
        return np.asarray(data.labels)
    numbers = np.asarray(data.labels[:, 0])
    n_bins = max(1, min(_MOST_BINS, len(numbers) // n))
    edges = np.quantile(numbers, np.linspace(0, 1, n_bins + 1)[1:-1])
    return np.searchsorted(np.unique(edges), numbers)  # bins that one value fills are one


def _ends(times: np.ndarray) -> np.ndarray:
    """Returns the places between sorted times where one ends and another begins, with both ends of all."""
    return np.concatenate([[0], np.flatnonzero(np.diff(times)) + 1, [len(times)]])


def _nearest(ends: np.ndarray, place: int) -> int:
    return int(ends[np.abs(ends - place).argmin()])


def _numbers(data: Dataset) -> list[int]:
    """Returns the numbers of the folds that the data have, sorted."""
    assert data.given is not None
    return sorted({*np.unique(data.given).tolist()} - {-1})


def _has_classes(data: Dataset) -> bool:
    return data.target.kind == "classes"


def _kind_within(data: Dataset) -> str:
    """Returns the kind of splits by what the data have beside numbers of folds."""
    if data.groups is not None:
        return "group" if data.target.is_numbers else "stratified_group"
    if data.times is not None:
        return "time"
    return "plain" if data.target.is_numbers else "stratified"


def _parts(how: Folds) -> tuple[str, int, int]:
    assert how.kind is not None
    assert how.n is not None
    return how.kind, how.n, how.gap


def inner_kind(data: Dataset, how: Folds) -> str:
    """Returns by which kind of splits a fold's training rows are divided.

    It is that of the folds: groups stay whole and what is measured on comes last in time, also where fold
    numbers or a splitter of the user's make the folds. Numbers are not stratified.
    """
    kind = _kind_within(data) if how.kind in (None, "given") else how.kind
    assert kind is not None
    needs = NEEDS.get(kind)
    if needs is not None and getattr(data, needs) is None:  # data of another search's, without the column
        kind = _kind_within(data)
    if kind.startswith("stratified") and data.target.is_numbers:
        return "plain" if kind == "stratified" else "group"
    return kind


def inner_split(
    data: Dataset, fold: Fold, fraction: float, how: Folds, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a fold's training rows in two: those to train on and those that `val_*` is measured on.

    The same for a given fold and seed, whatever trial asks: stratified for classes and labels; groups are
    whole, and then the share is one of groups, or with classes about that of each; in time the last rows are
    measured on, and the gap before them is left out.

    Args:
        data: All samples.
        fold: Its `train` rows are divided.
        fraction: Share for validation, within (0, 1).
        how: As `search.folds` has it.
        seed: The search's seed.

    Returns:
        Training rows and validation rows, int64, sorted.

    Raises:
        DataError: The training rows are too few, as for a row of each class on both sides, those of a single
            row apart.
    """
    kind, n_all = inner_kind(data, how), len(fold.train)
    n_val = _n_val(fold, fraction)
    own_seed = int(digest(["inner split", seed, fold.index])[:8], 16)
    if kind == "stratified" and _has_classes(data):
        _, counts = np.unique(data.labels[fold.train], return_counts=True)
        shared = counts[counts > 1]
        if not 0 < len(shared) <= n_val <= shared.sum() - len(shared):
            raise DataError(
                f"fold {fold.index}: its {n_all} training rows of {len(counts)} classes, the smallest "
                f"with {counts.min()}, cannot give {fraction:g} of them for validation with a row of each "
                "class on both sides. Raise search.val, add samples, or do without the callbacks that "
                "monitor val_*."
            )
    elif kind in ("stratified", "plain") and n_val >= n_all:
        raise DataError(f"fold {fold.index}: of its {n_all} training rows none would be trained on.")
    train, val = _split(data, kind, fold.train, fraction, how.gap, own_seed)
    if not len(train) or not len(val):
        by = {"time": "of one time, or in the gap", "plain": "too few", "stratified": "too few"}.get(
            kind, "of one group"
        )
        raise DataError(
            f"fold {fold.index}: of its {n_all} training rows none would be "
            f"{'validated' if len(train) else 'trained'} on, since they are {by}. Split otherwise, or do "
            "without the callbacks that monitor val_*."
        )
    return _rows(train), _rows(val)


def inner_rows(data: Dataset, fold: Fold, fraction: float, how: Folds) -> int | None:
    """Returns how many rows `inner_split` leaves to train on; None where the split alone can tell."""
    if inner_kind(data, how) in ("stratified", "plain"):
        return len(fold.train) - _n_val(fold, fraction)
    return None


def _n_val(fold: Fold, fraction: float) -> int:
    return math.ceil(len(fold.train) * fraction)


def folds_fingerprint(folds: Sequence[Fold]) -> str:
    """Returns `sha256:...` of the folds' rows."""
    rows = [[fold.index, fold.train.tolist(), fold.test.tolist()] for fold in folds]
    return "sha256:" + digest(rows)


def save_folds(path: Path, folds: Sequence[Fold], n_samples: int, fingerprint: str) -> None:
    """Writes folds to an .npz file, whole or not at all.

    Args:
        n_samples: How many samples they were made for.
        fingerprint: Of the data they were made for.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    arrays: dict[str, Any] = {"n_samples": np.array(n_samples, _INT64), "fingerprint": np.array(fingerprint)}
    for fold in folds:
        arrays[f"train_{fold.index}"] = fold.train.astype(_INT64)
        arrays[f"test_{fold.index}"] = fold.test.astype(_INT64)
    write_arrays(path, arrays)


def load_folds(path: Path, n_samples: int, source: str, told: str | None = None) -> tuple[list[Fold], str]:
    """Returns folds from a file, and the fingerprint of the data that they were made for.

    Args:
        n_samples: How many samples there are now.
        source: What messages call the data.
        told: The fingerprint of the folds, where something tells it.

    Raises:
        RunError: The file is missing or damaged, or its folds are others.
        DataError: It was made for another number of samples.
    """
    where = shown_path(path)
    try:
        with opened(path) as file:
            archive = open_archive(file, where)
            arrays = {name[:-4]: read_member(archive, name[:-4], where) for name in archive.namelist()}
    except DataError as error:
        raise RunError(f"{where}: the folds cannot be read: {error} {_WAYS}") from error
    kinds = {name: (array.ndim, array.dtype.kind) for name, array in arrays.items() if name in _ABOUT}
    if kinds != _ABOUT:
        raise RunError(f"{where}: no file of folds. {_WAYS}")
    n_made_for, fingerprint = int(arrays.pop("n_samples")), str(arrays.pop("fingerprint"))
    if n_made_for != n_samples:
        raise DataError(
            f"{where} was made for {n_made_for} samples, but {source} has {n_samples}. The data changed "
            "since this search began: restore it, or start anew with --fresh."
        )
    names = [[f"{part}_{index}" for part in ("train", "test")] for index in range(len(arrays) // 2)]
    if not names or {name for pair in names for name in pair} != set(arrays):
        raise RunError(f"{where}: damaged: it holds {', '.join(sorted(arrays)) or 'no folds'}. {_WAYS}")
    folds = [Fold(index, arrays[train], arrays[test]) for index, (train, test) in enumerate(names)]
    for fold in folds:
        for rows in (fold.train, fold.test):
            if not _whole(rows, n_samples):
                raise RunError(
                    f"{where}, fold {fold.index}: damaged: its rows are not rows of the data. {_WAYS}"
                )
        holds_out = len(fold.train) < n_samples  # else it looks at some of what it trains on
        if holds_out and np.intersect1d(fold.train, fold.test, assume_unique=True).size:
            raise RunError(f"{where}, fold {fold.index}: damaged: it trains on rows it tests on. {_WAYS}")
    if told is not None and folds_fingerprint(folds) != told:
        raise RunError(f"{where}: its folds are not those that the search has trained on. {_WAYS}")
    return folds, fingerprint


def _whole(rows: np.ndarray, n_samples: int) -> bool:
    """Says whether these are rows: int64, without repeats, at least one, within the data."""
    if rows.dtype != _INT64 or rows.ndim != 1 or not rows.size:
        return False
    rows = np.sort(rows)
    return rows[0] >= 0 and rows[-1] < n_samples and bool((np.diff(rows) > 0).all())


def _rows(rows: np.ndarray) -> np.ndarray:
    return np.sort(np.asarray(rows)).astype(_INT64)
