"""A part of the samples, which has the label frequencies of the whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from kerasgrid.data.labels import counts_of
from kerasgrid.data.pictures import Bad, Pictures, told_left_out
from kerasgrid.data.samples import Samples, take_rows
from kerasgrid.data.strata import parts_by_labels
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset


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
    return _taken(whole, *_drawn(whole, n_samples, seed, where))


def _drawn(whole: Samples | Dataset, n_samples: int, seed: int, where: str) -> tuple[np.ndarray, str]:
    """Returns the rows of a subset, ascending, and in words how they were drawn."""
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
            return np.flatnonzero(parts == 0), f"stratified by all labels, seed {seed}"
        rows = np.sort(np.random.RandomState(seed).permutation(n_whole)[:n_samples])
        return rows, f"at random, seed {seed}"
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
    return rows, f"stratified, seed {seed}"


class Subset:
    """A subset of image files, in which those that cannot be decoded are replaced by others.

    Which these are is told by the seed and by what the files hold.
    """

    def __init__(self, read: Callable[[], Samples], n_samples: int, seed: int, where: str) -> None:
        """Reads nothing yet.

        Args:
            read: Gives all samples, whose images are `Pictures`.
            n_samples: As in `take_subset`; and so are `seed` and `where`.
        """
        self._read, self._asked = read, (n_samples, seed, where)

    def draw(self) -> Samples:
        """Returns the subset as `take_subset` does.

        Raises:
            DataError: As that does; or the samples cannot be read.
        """
        self._whole = self._read()
        assert isinstance(self._whole.images, Pictures)
        self._pictures = self._whole.images
        try:
            self._rows, self._how = _drawn(self._whole, *self._asked)
        except DataError as error:
            raise DataError("\n".join([*self._pictures.faults, str(error)])) from error
        order = np.random.RandomState(self._asked[1]).permutation(len(self._whole.labels))
        self._waiting = order[~np.isin(order, self._rows)]
        self._bad: list[str] = []
        return _taken(self._whole, self._rows, self._how)

    def refill(self, bad: Sequence[Bad]) -> Samples:
        """Returns the subset with others in the place of files that cannot be decoded, of which any may be
        such a one, too.

        Args:
            bad: Their places are of what was returned last.

        Raises:
            DataError: There are no others.
        """
        n_samples, _, where = self._asked
        labels = self._whole.labels
        lost = self._rows[[one.place for one in bad]]
        self._bad += [self._pictures.files[row].name for row in lost]
        if len(lost) > len(self._waiting):
            raise DataError(
                f"{where}: data.subset is {n_samples}, and of {len(labels):,} image files {len(self._bad):,} "
                "cannot be decoded: correct it, or leave it out to use all others."
            )
        kept = [np.setdiff1d(self._rows, lost)]
        for row in lost:
            differ = (labels[self._waiting] != labels[row]).reshape(len(self._waiting), -1).sum(axis=1)
            next_ = int(np.argmin(differ))  # the first of those whose labels differ least
            kept.append(self._waiting[next_ : next_ + 1])
            self._waiting = np.delete(self._waiting, next_)
        self._rows = np.sort(np.concatenate(kept))
        taken = _taken(self._whole, self._rows, f"{self._how}, {len(self._bad)} of them replaced")
        n_tried = len(self._rows) + len(self._bad)
        return replace(taken, report=(*taken.report, told_left_out(self._bad, n_tried)))


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
