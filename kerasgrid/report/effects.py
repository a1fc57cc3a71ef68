"""The effect of a parameter over matched pairs, candidates that are equal in all else, and where it depends
on the value of another.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np

from kerasgrid.report.comparison import ALPHA, fold_interval
from kerasgrid.report.design import Design

MOST_LEVELS = 12
"""A parameter with more values has no levels to compare, such as a range in a random search."""
_FEWEST_DEGREES = 5
_MOST_COLUMNS = 600
_MOST_DEGREES = 1000


@dataclass(frozen=True)
class Noise:
    """The spread of a candidate's mean score about its expectation.

    Attributes:
        sigma: Standard deviation, in the score's unit.
        degrees: Degrees of freedom of its estimate.
        pairs: Whether interactions of two parameters were taken out; else only main effects.
    """

    sigma: float
    degrees: int
    pairs: bool

    def interval(self, mean: float, n_pairs: int, n_levels: int = 2) -> tuple[float, float]:
        """Returns the interval of a mean difference over pairs that share no candidate.

        Args:
            mean: The mean difference.
            n_pairs: That it is of.
            n_levels: Values of the parameter, for all pairs of which intervals shall hold at once.
        """
        half = _standard_errors(n_levels, self.degrees) * self.sigma * math.sqrt(2 / n_pairs)
        return mean - half, mean + half


def noise_of(design: Design) -> Noise | None:
    """Returns the noise; None where candidates are too few to tell."""
    if len(design) <= _FEWEST_DEGREES:
        return None
    for with_pairs in (True, False):
        blocks = _blocks(design, with_pairs)
        if blocks is None:
            continue
        x = np.concatenate([np.ones((len(design), 1)), *blocks], axis=1)
        y = design.scores - design.scores.mean()
        values, vectors = np.linalg.eigh(x.T @ x)
        kept = values > values.max() * 1e-10
        degrees = len(y) - int(kept.sum())
        if degrees < _FEWEST_DEGREES:
            continue
        basis = x @ (vectors[:, kept] / np.sqrt(values[kept]))
        rest = y - basis @ (basis.T @ y)
        return Noise(math.sqrt(float(rest @ rest) / degrees), degrees, with_pairs)
    return None


def _blocks(design: Design, with_pairs: bool) -> list[np.ndarray] | None:
    """Returns the columns of a linear model of main effects, and of pairs; None where they are too many."""
    mains = [np.eye(len(factor))[:, 1:][design.codes[:, i]] for i, factor in enumerate(design.factors)]
    n_columns = sum(block.shape[1] for block in mains)
    if with_pairs:
        n_columns += sum(a.shape[1] * b.shape[1] for a, b in combinations(mains, 2))
    most = min(_MOST_COLUMNS, len(design) - _FEWEST_DEGREES - 1) if with_pairs else _MOST_COLUMNS
    if n_columns > most:
        return None
    if not with_pairs:
        return mains
    return mains + [
        (a[:, :, None] * b[:, None, :]).reshape(len(design), -1) for a, b in combinations(mains, 2)
    ]


@cache
def _standard_errors(n_levels: int, degrees: int) -> float:
    """Returns the half width of an interval that holds for all pairs of `n_levels` values at once (Tukey)."""
    from scipy import stats

    if n_levels == 2:
        return float(stats.t.ppf(1 - ALPHA / 2, degrees))
    degrees = min(degrees, _MOST_DEGREES)  # the studentized range is slow, and does not change from there on
    return float(stats.studentized_range.ppf(1 - ALPHA, n_levels, degrees)) / math.sqrt(2)


@dataclass(frozen=True)
class Effect:
    """One value of a parameter against another, over matched pairs.

    Attributes:
        better: The value that is ahead on average; `worse` the other one.
        n_pairs: Pairs of candidates that are equal in all else.
        wins: Pairs in which `better` has the better score; `ties` those of equal score.
        mean: By how much it is better on average, not below zero.
        low: Lower end of the interval of that mean; None where candidates are too few for one.
        high: Upper end.
        p_sign: That of the sign test: how likely as many wins, of either value, were if each pair were a
            coin's throw; times the number of pairs of values (Bonferroni), at most 1.
    """

    name: str
    better: Any
    worse: Any
    n_pairs: int
    wins: int
    ties: int
    mean: float
    low: float | None
    high: float | None
    p_sign: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.low > 0

    @property
    def is_often(self) -> bool:
        """Whether `better` wins more often than by chance, however little by."""
        return self.p_sign <= ALPHA and 2 * self.wins > self.n_pairs - self.ties


def effects_of(design: Design, place: int, noise: Noise | None) -> list[Effect]:
    """Returns the best value of a parameter against each other one that it meets in pairs, the closest first.

    Args:
        place: Index of the factor.
        noise: What noise_of gave.

    Returns:
        Empty where no two candidates differ in this parameter alone. Where values fall into groups that do
        not meet, as in a union of spaces, it is the best of each group.
    """
    factor = design.factors[place]
    if len(factor) > MOST_LEVELS:
        return []
    alike = _groups_of(design, place)
    pairs = {levels: _matched_pairs(alike, *levels) for levels in combinations(range(len(factor)), 2)}
    pairs = {levels: found for levels, found in pairs.items() if len(found)}
    if not pairs:
        return []
    means = {levels: float(_gain_of(design, found).mean()) for levels, found in pairs.items()}
    effects = []
    for group in _groups_that_meet(len(factor), means):
        best = _best(group, means)
        for (first, second), found in pairs.items():
            if best == first:
                effects.append(_effect(design, place, (best, second), found, noise))
            elif best == second:
                effects.append(_effect(design, place, (best, first), found[:, ::-1], noise))
    return sorted(effects, key=lambda effect: effect.mean)


def _groups_that_meet(n_levels: int, gains: Collection[tuple[int, int]]) -> list[list[int]]:
    """Returns the levels in groups, each of those that pairs join, over others too."""
    group_of = list(range(n_levels))
    for first, second in gains:
        if (old := group_of[second]) != group_of[first]:
            group_of = [group_of[first] if group == old else group for group in group_of]
    return [
        [level for level, own in enumerate(group_of) if own == group] for group in dict.fromkeys(group_of)
    ]


def _best(group: Sequence[int], gains: Mapping[tuple[int, int], float]) -> int:
    """Returns the level of a group with the largest mean gain over the levels that it meets."""
    of_level: dict[int, list[float]] = {level: [] for level in group}
    for (first, second), gain in gains.items():
        if first in of_level:  # then its partner is of the group, too
            of_level[first].append(gain)
            of_level[second].append(-gain)
    return max(group, key=lambda level: float(np.mean(of_level[level])) if of_level[level] else -math.inf)


def _effect(
    design: Design, place: int, levels: tuple[int, int], pairs: np.ndarray, noise: Noise | None
) -> Effect:
    factor, gain = design.factors[place], _gain_of(design, pairs)
    if gain.mean() < 0:  # values that are not all compared with each other may form a circle
        levels, pairs, gain = levels[::-1], pairs[:, ::-1], -gain
    mean, low, high = float(gain.mean()), None, None
    if noise is not None:
        low, high = noise.interval(mean, len(gain), len(factor))
    elif design.fold_scores is not None:
        by_fold = design.fold_scores[pairs[:, 0]] - design.fold_scores[pairs[:, 1]]
        low, high = fold_interval(design.sign * by_fold.mean(axis=0), math.comb(len(factor), 2))
    wins, ties = int((gain > 0).sum()), int((gain == 0).sum())
    return Effect(
        name=factor.name,
        better=factor.values[levels[0]],
        worse=factor.values[levels[1]],
        n_pairs=len(gain),
        wins=wins,
        ties=ties,
        mean=mean,
        low=low,
        high=high,
        p_sign=_sign_test(wins, len(gain) - ties, math.comb(len(factor), 2)),
    )


@cache
def _sign_test(wins: int, n_pairs: int, n_tests: int) -> float:
    from scipy import stats

    return min(1.0, n_tests * float(stats.binomtest(wins, n_pairs).pvalue)) if n_pairs else 1.0


def _groups_of(design: Design, place: int) -> np.ndarray:
    """Returns (group, level) indices of candidates: those of a group are equal in all but one factor.

    Where a group has no candidate of a level, -1 stands.
    """
    rest = np.delete(design.codes, place, axis=1)
    groups = np.unique(rest, axis=0, return_inverse=True)[1].ravel()
    alike = np.full((groups.max(initial=-1) + 1, len(design.factors[place])), -1)
    alike[groups, design.codes[:, place]] = np.arange(len(design))
    return alike


def _matched_pairs(alike: np.ndarray, first: int, second: int) -> np.ndarray:
    """Returns (pair, 2) indices of candidates that have these two levels and are equal in all else."""
    partners = alike[:, [first, second]]
    return partners[(partners >= 0).all(axis=1)]


def _gain_of(design: Design, pairs: np.ndarray) -> np.ndarray:
    """Returns by how much the first of each pair is better."""
    return design.sign * (design.scores[pairs[:, 0]] - design.scores[pairs[:, 1]])


@dataclass(frozen=True)
class Conditional:
    """The mean gain of one value over another where a second parameter has `value`, with its interval."""

    value: Any
    n_pairs: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Interaction:
    """An effect that differs clearly between the values of another parameter.

    Attributes:
        effect: The effect over all matched pairs.
        conditionals: The gain of `effect.better` over `effect.worse` at each of its values.
        overturns: Whether the effect is clear and, at some value, clearly the other way round.
    """

    effect: Effect
    given: str
    conditionals: tuple[Conditional, ...]
    overturns: bool

    @property
    def spread(self) -> float:
        """The largest difference between two values' gains."""
        means = [found.mean for found in self.conditionals]
        return max(means) - min(means)

    def exceeds(self, bound: float) -> bool:
        """Says whether any two gains differ by more than a bound, that of gains of one pair each."""
        return any(
            abs(a.mean - b.mean) > bound * math.sqrt(2 / a.n_pairs + 2 / b.n_pairs)
            for a, b in combinations(self.conditionals, 2)
        )


def interactions_of(design: Design, effects: Sequence[Effect], noise: Noise | None) -> list[Interaction]:
    """Returns the clear interactions, those that overturn an effect first, then by size.

    The largest difference between conditional effects has to exceed its bound at 5% divided by the
    number of differences looked at (Bonferroni), so that of many pairs of parameters without any
    interaction, one is named in one search of twenty at most.

    Args:
        effects: Of all parameters.
        noise: What noise_of gave; without it nothing can be told.
    """
    from scipy import stats

    if noise is None or not noise.pairs or noise.sigma == 0:
        return []
    names = {effect.name for effect in effects}
    alike = {name: _groups_of(design, design.place(name)) for name in names}
    found: list[Interaction] = []
    n_looked_at = 0
    for effect in effects:
        place = design.place(effect.name)
        own = design.factors[place]
        pairs = _matched_pairs(alike[effect.name], own.level(effect.better), own.level(effect.worse))
        gain = _gain_of(design, pairs)
        for other, factor in enumerate(design.factors):
            if other == place or len(factor) > MOST_LEVELS:
                continue
            levels = design.codes[pairs[:, 0], other]
            conditionals = tuple(
                _conditional(value, there, noise)
                for level, value in enumerate(factor.values)
                if len(there := gain[levels == level])
            )
            if len(conditionals) > 1:
                n_looked_at += math.comb(len(conditionals), 2)
                overturns = effect.is_clear and any(one.high < 0 for one in conditionals)
                found.append(Interaction(effect, factor.name, conditionals, overturns))
    if not found:
        return []
    bound = float(stats.t.isf(ALPHA / 2 / n_looked_at, noise.degrees)) * noise.sigma
    clear = [one for one in found if one.exceeds(bound)]
    return sorted(clear, key=lambda one: (not one.overturns, -one.spread))


def _conditional(value: Any, gain: np.ndarray, noise: Noise) -> Conditional:
    mean = float(gain.mean())
    return Conditional(value, len(gain), mean, *noise.interval(mean, len(gain)))
