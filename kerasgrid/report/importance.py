"""How much of the variance of scores each parameter, and each pair of them, accounts for.

Functional ANOVA (Hutter, Hoos and Leyton-Brown, An Efficient Approach for Assessing Hyperparameter
Importance, ICML 2014): the variance of the scores over all combinations of values, each as likely as
the others, is divided among the parameters (main effects), their pairs (interactions) and the rest.
Of a full grid this is exact arithmetic on the scores. Elsewhere it is worked out, as in the paper, from
the leaves of regression trees (scikit-learn's RandomForestRegressor); numbers with many values are then
cut into bins that hold equally many candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from kerasgrid.report.design import Design

MOST_BINS = 32
_N_TREES = 48
_MOST_LEAVES = 128
_FEWEST_CANDIDATES = 10


@dataclass(frozen=True)
class Importance:
    """Shares of the variance of scores.

    Attributes:
        mains: By parameter, between 0 and 1.
        pairs: By (parameter, parameter), of what their interaction adds, between 0 and 1.
        is_exact: Whether all combinations have a score, so that nothing was estimated.
    """

    mains: dict[str, float]
    pairs: dict[tuple[str, str], float]
    is_exact: bool

    def ranked(self) -> list[tuple[tuple[str, ...], float]]:
        """Returns parameters and pairs of them with their shares, the largest first."""
        shares = [((name,), share) for name, share in self.mains.items()]
        return sorted([*shares, *self.pairs.items()], key=lambda item: -item[1])


def importance_of(design: Design) -> Importance | None:
    """Returns the importances; None where candidates are too few, or all scores are equal."""
    if not design.factors or len(design) < 2 or np.ptp(design.scores) == 0:
        return None
    parts: dict[tuple[int, ...], float] | None
    if design.is_full:
        parts = _decompose_grid(design)
    elif len(design) >= _FEWEST_CANDIDATES:
        parts = _decompose_forest(design)
    else:
        return None
    if parts is None:
        return None
    names = [factor.name for factor in design.factors]
    return Importance(
        mains={names[key[0]]: share for key, share in parts.items() if len(key) == 1},
        pairs={(names[key[0]], names[key[1]]): share for key, share in parts.items() if len(key) == 2},
        is_exact=design.is_full,
    )


def _decompose_grid(design: Design) -> dict[tuple[int, ...], float]:
    """Returns the share of each factor and pair, of a full grid."""
    grid = np.empty([len(factor) for factor in design.factors])
    grid[tuple(design.codes.T)] = design.scores - design.scores.mean()
    axes = range(grid.ndim)
    mains = [grid.mean(axis=tuple(a for a in axes if a != axis)) for axis in axes]
    parts: dict[tuple[int, ...], float] = {
        (axis,): float((main**2).mean()) for axis, main in enumerate(mains)
    }
    for first, second in combinations(axes, 2):
        joint = grid.mean(axis=tuple(a for a in axes if a not in (first, second)))
        parts[first, second] = float(((joint - mains[first][:, None] - mains[second]) ** 2).mean())
    total = float((grid**2).mean())
    return {key: part / total for key, part in parts.items()}


def _decompose_forest(design: Design) -> dict[tuple[int, ...], float] | None:
    """Returns the shares, averaged over the trees of a forest; None where no tree finds any difference."""
    from sklearn.ensemble import RandomForestRegressor

    codes = np.stack([_binned(column) for column in design.codes.T], axis=1)
    forest = RandomForestRegressor(
        n_estimators=_N_TREES, max_leaf_nodes=_MOST_LEAVES, min_samples_leaf=2, random_state=0
    )
    forest.fit(codes, design.scores)
    sizes = codes.max(axis=0) + 1
    found = [shares for tree in forest.estimators_ if (shares := _decompose_tree(tree.tree_, sizes))]
    if not found:
        return None
    return {key: float(np.mean([shares[key] for shares in found])) for key in found[0]}


def _binned(codes: np.ndarray) -> np.ndarray:
    """Returns levels as they are, or as bins of equally many candidates where they are many."""
    if codes.max() < MOST_BINS:
        return codes
    order = np.argsort(np.argsort(codes, kind="stable"), kind="stable")
    bins = order * MOST_BINS // len(codes)
    lowest = np.full(codes.max() + 1, MOST_BINS)  # candidates of one value stay in one bin
    np.minimum.at(lowest, codes, bins)
    return np.unique(lowest[codes], return_inverse=True)[1]


def _decompose_tree(tree: Any, sizes: np.ndarray) -> dict[tuple[int, ...], float]:
    """Returns the shares of a tree's variance; empty where it is a single leaf.

    Args:
        tree: scikit-learn's Tree over integer levels.
        sizes: Levels of each factor.
    """
    low, high, values = _leaves(tree, sizes)
    widths = (high - low) / sizes
    weights = widths.prod(axis=1)
    values = values - weights @ values
    total = float(weights @ values**2)
    if total <= 0:
        return {}
    mains: list[np.ndarray] = []
    parts: dict[tuple[int, ...], float] = {}
    for axis, size in enumerate(sizes):
        share = values * np.delete(widths, axis, axis=1).prod(axis=1)
        steps = np.zeros(size + 1)
        np.add.at(steps, low[:, axis], share)
        np.add.at(steps, high[:, axis], -share)
        mains.append(np.cumsum(steps)[:-1])
        parts[(axis,)] = float((mains[axis] ** 2).mean()) / total
    for first, second in combinations(range(len(sizes)), 2):
        share = values * np.delete(widths, (first, second), axis=1).prod(axis=1)
        steps = np.zeros((sizes[first] + 1, sizes[second] + 1))
        for rows, columns, sign in ((low, low, 1), (low, high, -1), (high, low, -1), (high, high, 1)):
            np.add.at(steps, (rows[:, first], columns[:, second]), sign * share)
        joint = steps.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]
        parts[first, second] = float(((joint - mains[first][:, None] - mains[second]) ** 2).mean()) / total
    return parts


def _leaves(tree: Any, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the boxes of a tree's leaves, [low, high) in levels, and their values."""
    low = np.zeros((tree.node_count, len(sizes)), int)
    high = np.tile(sizes, (tree.node_count, 1))
    for node in range(tree.node_count):  # children stand after their parent
        left, right, axis = tree.children_left[node], tree.children_right[node], tree.feature[node]
        if left < 0:
            continue
        for child in (left, right):
            low[child], high[child] = low[node], high[node]
        cut = int(np.floor(tree.threshold[node])) + 1
        high[left, axis] = low[right, axis] = cut
    is_leaf = tree.children_left < 0
    return low[is_leaf], high[is_leaf], tree.value[is_leaf, 0, 0]
