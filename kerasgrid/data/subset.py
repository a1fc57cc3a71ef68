"""A stratified part of the samples, with its label frequencies held against the whole's."""

from __future__ import annotations

import numpy as np

from kerasgrid.data.arrays import Samples
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset


def take_subset(whole: Samples | Dataset, n_samples: int, seed: int, where: str) -> tuple[Samples, str]:
    """Returns a stratified subset, in the order of the whole, and a line that reports on it.

    Args:
        whole: All samples.
        n_samples: How many to take: at least one a class, and as many left out.
        seed: From 0 to 2**32 - 1; 0 is a seed.
        where: How a message begins.

    Raises:
        DataError: There are too few samples, of all or of a class.
    """
    from sklearn.model_selection import StratifiedShuffleSplit

    labels, n_whole = np.asarray(whole.labels), len(whole.labels)
    if labels.ndim == 2:
        return _take_any(whole, n_samples, seed, where)
    counts = np.bincount(labels, minlength=len(whole.classes))
    n_present = int((counts > 0).sum())
    if not n_present <= n_samples <= n_whole - n_present:
        raise DataError(
            f"{where}: data.subset is {n_samples}. Of {n_whole} samples in {n_present} classes it can take "
            f"{n_present} to {n_whole - n_present}: correct it, or leave it out to use all."
        )
    if (counts == 1).any():
        name = whole.classes[int(np.argmax(counts == 1))]
        raise DataError(
            f"{where}: class {name!r} has 1 sample, and a stratified data.subset needs 2 of each. Add "
            "samples, or leave data.subset out."
        )
    splitter = StratifiedShuffleSplit(1, train_size=n_samples, random_state=seed)
    rows = np.sort(next(splitter.split(np.zeros(n_whole), labels))[0])
    taken = Samples(whole.images[rows], labels[rows], whole.classes, whole.one_hot)
    shares = np.bincount(taken.labels, minlength=len(counts)) / n_samples
    differences = np.abs(shares - counts / n_whole)
    worst = int(np.argmax(differences))
    return taken, (
        f"subset: {n_samples} of {n_whole} samples, stratified, seed {seed}; label frequencies differ from "
        f"the whole's by at most {100 * differences[worst]:.2f} percentage points "
        f"(class {whole.classes[worst]!r}: {shares[worst]:.2%}, whole {counts[worst] / n_whole:.2%})"
    )


def _take_any(whole: Samples | Dataset, n_samples: int, seed: int, where: str) -> tuple[Samples, str]:
    """Returns a subset drawn at random of samples with several labels each, and a line that reports on it."""
    n_whole = len(whole.labels)
    if n_samples >= n_whole:
        raise DataError(
            f"{where}: data.subset is {n_samples}, of {n_whole} samples. Correct it, or leave it out to use "
            "all."
        )
    rows = np.sort(np.random.RandomState(seed).permutation(n_whole)[:n_samples])
    taken = Samples(whole.images[rows], whole.labels[rows], whole.classes)
    shares, wanted = taken.labels.mean(axis=0), np.mean(whole.labels, axis=0)
    worst = int(np.argmax(np.abs(shares - wanted)))
    return taken, (
        f"subset: {n_samples} of {n_whole} samples, at random, seed {seed}; label frequencies differ from "
        f"the whole's by at most {100 * abs(shares[worst] - wanted[worst]):.2f} percentage points "
        f"(label {whole.classes[worst]!r}: {shares[worst]:.2%}, whole {wanted[worst]:.2%})"
    )
