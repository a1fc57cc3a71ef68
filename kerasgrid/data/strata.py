"""Parts of samples that have several labels each, in which each label keeps its share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def parts_by_labels(labels: np.ndarray, sizes: Sequence[int], seed: int) -> np.ndarray:
    """Returns which part each sample goes to, so that every label has about its share in all parts.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): of the label that has the fewest samples
    left, each sample goes to the part that wants it most. There a part's want is of that label alone, c_j^i,
    so that the others are left to chance where samples have many; here it is summed over all labels that the
    sample has, each as a share of what the part shall have of it. And a part that is full takes no more, so
    that sizes are met.

    Args:
        labels: (sample, label) of 0 and 1. What no sample has is no label.
        sizes: Of the parts, r_j |D|, which sum to the number of samples.
        seed: From 0 to 2**32 - 1; 0 is a seed. The order of the samples is drawn by it.

    Returns:
        (sample,) int64, the part's place.
    """
    order = np.random.RandomState(seed).permutation(len(labels))
    has = np.asarray(labels, bool)[order]
    room, totals = np.array(sizes), has.sum(axis=0)
    shares = np.outer(totals, room / len(labels))  # (label, part)
    unit = 1 / np.where(shares > 0, shares, 1)
    wants = unit * np.where(shares > 0, np.maximum(shares, 1), 0)  # one at least, of a label that is rare
    full = np.where(room > 0, 0.0, -np.inf)
    own = [np.flatnonzero(row) for row in has]
    parts, is_left, left = np.full(len(has), -1), np.ones(len(has), bool), totals.copy()
    while left.any():
        label = np.argmin(np.where(left > 0, left, len(has) + 1))
        for sample in np.flatnonzero(is_left & has[:, label]):
            part = (wants[own[sample]].sum(axis=0) + full).argmax()
            parts[sample] = part
            wants[own[sample], part] -= unit[own[sample], part]
            room[part] -= 1
            if not room[part]:
                full[part] = -np.inf
        is_left &= ~has[:, label]
        left = has[is_left].sum(axis=0)
    parts[is_left] = np.repeat(np.arange(len(room)), room)  # of no label; their order is drawn already
    found = np.empty(len(has), np.int64)
    found[order] = parts
    return found


def groups_by_labels(labels: np.ndarray, groups: np.ndarray, n_parts: int, seed: int) -> np.ndarray:
    """Returns which part each sample goes to, so that groups are whole and labels keep their shares in all.

    The largest groups first, each goes to where the sum of squares over parts, of each label's share and of
    that of samples, grows least; as StratifiedGroupKFold of scikit-learn deals groups of classes.

    Args:
        labels: (sample, label) of 0 and 1. What no sample has is no label.
        groups: (sample,), the group of each.
        n_parts: At most as many as groups, so that none is empty.
        seed: From 0 to 2**32 - 1; 0 is a seed. The order of groups of about the same size is drawn by it.

    Returns:
        (sample,) int64, the part's place.
    """
    names, places = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), labels.shape[1] + 1))
    np.add.at(counts, places, np.pad(np.asarray(labels, float), [(0, 0), (0, 1)], constant_values=1))
    shares = counts / np.maximum(counts.sum(axis=0), 1)
    order = np.random.RandomState(seed).permutation(len(names))
    sizes = np.floor(np.log2(shares.sum(axis=1)))
    order = order[np.argsort(-sizes[order], kind="stable")]
    found, have = np.empty(len(names), np.int64), np.zeros((n_parts, shares.shape[1]))
    for group in order:
        found[group] = part = (have @ shares[group]).argmin()
        have[part] += shares[group]
    return found[places]
