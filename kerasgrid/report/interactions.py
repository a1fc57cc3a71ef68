"""Where the effect of one parameter depends on the value of another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.report.design import Design, level_key
from kerasgrid.report.effects import MOST_LEVELS, Effect, Noise, gain_of, groups_of, interval, matched_pairs


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
        given: The other parameter.
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


def interactions_of(design: Design, effects: list[Effect], noise: Noise | None) -> list[Interaction]:
    """Returns the clear interactions, those that overturn an effect first, then by size.

    The largest difference between conditional effects has to exceed its bound at 5% divided by the
    number of differences looked at (Bonferroni), so that of many pairs of parameters without any
    interaction, one is named in one search of twenty at most.

    Args:
        design: The scored candidates.
        effects: Of all parameters.
        noise: What noise_of gave; without it nothing can be told.
    """
    if noise is None or not noise.pairs or noise.sigma == 0:
        return []
    found, n_looked_at = [], 0
    for effect in effects:
        place = design.place(effect.name)
        values = design.factors[place].values
        levels = [list(map(level_key, values)).index(level_key(v)) for v in (effect.better, effect.worse)]
        pairs = matched_pairs(groups_of(design, place), *levels)
        gain = gain_of(design, pairs)
        for other, factor in enumerate(design.factors):
            if other == place or len(factor) > MOST_LEVELS:
                continue
            levels = design.codes[pairs[:, 0], other]
            groups = [(level, gain[levels == level]) for level in range(len(factor))]
            groups = [(level, own) for level, own in groups if len(own)]
            if len(groups) < 2:
                continue
            n_looked_at += len(groups) * (len(groups) - 1) // 2
            found.append((effect, factor.name, _conditionals(factor.values, groups, noise)))
    bound = _bound(noise, n_looked_at) if found else 0.0
    clear = [
        Interaction(effect, given, conditionals, _overturns(effect, conditionals))
        for effect, given, conditionals in found
        if _is_clear(conditionals, bound)
    ]
    return sorted(clear, key=lambda one: (not one.overturns, -one.spread))


def _conditionals(
    values: tuple[Any, ...], groups: list[tuple[int, np.ndarray]], noise: Noise
) -> tuple[Conditional, ...]:
    found = []
    for level, gain in groups:
        mean = float(gain.mean())
        found.append(Conditional(values[level], len(gain), mean, *interval(mean, len(gain), noise)))
    return tuple(found)


def _bound(noise: Noise, n_looked_at: int) -> float:
    """Returns what a difference between two gains, each of one pair, has to exceed by sqrt(2/n + 2/m)."""
    from scipy import stats

    return float(stats.t.isf(0.025 / n_looked_at, noise.degrees)) * noise.sigma


def _is_clear(conditionals: tuple[Conditional, ...], bound: float) -> bool:
    return any(
        abs(a.mean - b.mean) > bound * math.sqrt(2 / a.n_pairs + 2 / b.n_pairs)
        for a in conditionals
        for b in conditionals
    )


def _overturns(effect: Effect, conditionals: tuple[Conditional, ...]) -> bool:
    return effect.is_clear and any(found.high < 0 for found in conditionals)
