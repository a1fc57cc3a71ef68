"""Folds: stratified, seeded, written once and reused by every trial, engine and restart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.arrays import opened
from kerasgrid.data.npz import open_archive, read_member
from kerasgrid.errors import DataError, RunError
from kerasgrid.io import digest, write_arrays
from kerasgrid.records import Fold
from kerasgrid.wording import shown_path

_INT64 = np.dtype("<i8")
_ABOUT = {"n_samples": (0, "i"), "fingerprint": (0, "U")}
"""The axes and kinds of what a file of folds holds beside them."""
_WAYS = "Restore the file, or start anew with --fresh."


def make_folds(
    labels: np.ndarray, *, n_folds: int | None, holdout: float | None = None, seed: int
) -> list[Fold]:
    """Returns the splits that every trial is scored on.

    Stratified and shuffled by `seed`: scikit-learn's StratifiedKFold, whose test rows partition the
    samples, or a single split of its StratifiedShuffleSplit where `holdout` is given. Samples that may have
    several labels are shuffled alone: KFold and ShuffleSplit.

    Args:
        labels: (sample,), int64, class indices; or (sample, label) of 0 and 1.
        n_folds: Number of folds, at least 2; None where `holdout` is given.
        holdout: Share of the samples to test on, within (0, 1).
        seed: From 0 to 2**32 - 1; 0 is a seed.

    Raises:
        DataError: A class is too small for them.
    """
    from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit

    labels = np.asarray(labels)
    fault = fold_fault(labels, range(int(labels.max()) + 1), n_folds, holdout)
    if fault:
        raise DataError(fault)
    by_fold, single = (KFold, ShuffleSplit) if labels.ndim == 2 else (StratifiedKFold, StratifiedShuffleSplit)
    if holdout is None:
        splitter = by_fold(n_folds, shuffle=True, random_state=seed)
    else:
        splitter = single(1, test_size=holdout, random_state=seed)
    splits = splitter.split(np.zeros(len(labels)), labels)
    return [Fold(index, _rows(train), _rows(test)) for index, (train, test) in enumerate(splits)]


def test_fold(n_samples: int, n_held_out: int) -> Fold:
    """Returns the one split whose test rows are a test set's, the last of all samples."""
    rows = np.arange(n_samples)
    return Fold(0, _rows(rows[: n_samples - n_held_out]), _rows(rows[n_samples - n_held_out :]))


def fold_fault(
    labels: np.ndarray, classes: Sequence[Any], n_folds: int | None, holdout: float | None = None
) -> str | None:
    """Returns why these labels cannot be split so, or None where they can.

    Each class needs a row in every fold's test part and in its training part.

    Args:
        labels: (sample,), int64, indices into `classes`.
        classes: The classes' names.
        n_folds: As in `make_folds`.
        holdout: As in `make_folds`.
    """
    if labels.ndim == 2:
        n_least = n_folds if holdout is None else math.ceil(1 / min(holdout, 1 - holdout) - 1e-9)
        if n_least is None or len(labels) >= n_least:
            return None
        return (
            f"there are {len(labels)} samples, and {n_least} are needed: for one to train on and to test on."
        )
    counts = np.bincount(labels, minlength=len(classes))
    smallest = int(np.argmin(counts))
    n_least = int(counts[smallest])
    has = f"class {classes[smallest]!r} has {n_least} sample{'' if n_least == 1 else 's'}"
    if holdout is None:
        if n_folds is None or n_least >= n_folds:
            return None
        ways = f"lower search.folds to {n_least} or less" if n_least > 1 else "drop the class"
        return f"{has}, search.folds is {n_folds}: each fold needs one to test on. Add samples, or {ways}."
    n_needed = math.ceil(1 / min(holdout, 1 - holdout) - 1e-9)
    if n_least >= n_needed:
        return None
    return (
        f"{has}, search.holdout is {holdout:g}: for one to train on and one to test on, each class needs "
        f"{n_needed}. Add samples, or bring holdout nearer to 0.5."
    )


def inner_rows(fold: Fold, fraction: float) -> int:
    """Returns how many of a fold's training rows `inner_split` leaves for validation."""
    return math.ceil(len(fold.train) * fraction)


def inner_split(labels: np.ndarray, fold: Fold, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a fold's training rows in two: those to train on and those that `val_*` is measured on.

    Stratified, and the same for a given fold and seed, whatever trial asks.

    Args:
        labels: (sample,), int64, of all samples; or (sample, label), which are not stratified.
        fold: Its `train` rows are divided.
        fraction: Share for validation, within (0, 1).
        seed: The search's seed.

    Returns:
        Training rows and validation rows, int64, sorted.

    Raises:
        DataError: The training rows are too few for a row of each class on both sides.
    """
    from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit

    inner = np.asarray(labels)[fold.train]
    n_val = inner_rows(fold, fraction)
    own_seed = int(digest(["inner split", seed, fold.index])[:8], 16)
    if inner.ndim == 2:
        if n_val >= len(inner):
            raise DataError(f"fold {fold.index}: of its {len(inner)} training rows none would be trained on.")
        train, val = next(ShuffleSplit(1, test_size=n_val, random_state=own_seed).split(inner))
        return _rows(fold.train[train]), _rows(fold.train[val])
    present, counts = np.unique(inner, return_counts=True)
    if counts.min() < 2 or not len(present) <= n_val <= len(inner) - len(present):
        raise DataError(
            f"fold {fold.index}: its {len(inner)} training rows of {len(present)} classes, the smallest with "
            f"{counts.min()}, cannot give {fraction:g} of them for validation with a row of each class on "
            "both sides. Raise search.val, add samples, or do without the callbacks that monitor val_*."
        )
    splitter = StratifiedShuffleSplit(1, test_size=n_val, random_state=own_seed)
    train, val = next(splitter.split(np.zeros(len(inner)), inner))
    return _rows(fold.train[train]), _rows(fold.train[val])


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
        arrays[f"train_{fold.index}"] = _rows(fold.train)
        arrays[f"test_{fold.index}"] = _rows(fold.test)
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
        if np.intersect1d(fold.train, fold.test, assume_unique=True).size:
            raise RunError(f"{where}, fold {fold.index}: damaged: it trains on rows it tests on. {_WAYS}")
    if told is not None and folds_fingerprint(folds) != told:
        raise RunError(f"{where}: its folds are not those that the search has trained on. {_WAYS}")
    return folds, fingerprint


def _whole(rows: np.ndarray, n_samples: int) -> bool:
    """Says whether these are rows: int64, sorted, without repeats, at least one, within the data."""
    return (
        rows.dtype == _INT64
        and rows.ndim == 1
        and rows.size > 0
        and rows[0] >= 0
        and rows[-1] < n_samples
        and bool((np.diff(rows) > 0).all())
    )


def _rows(rows: np.ndarray) -> np.ndarray:
    return np.sort(np.asarray(rows)).astype(_INT64)
