"""Best values at the edge of what was tried, and what to try next."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.report.comparison import ALPHA
from kerasgrid.report.design import Design, Factor
from kerasgrid.report.effects import MOST_LEVELS, Effect

FAR_APART = 1.9
"""Numbers whose ratio is at least this are apart by their ratio, others by their difference."""
_VERY_FAR_APART = 4
FEWEST_BEST = 5
"""Candidates that say where the best lie, at least."""
_OUTER = 0.1
_BELOW_ONE = re.compile(r"drop|momentum|beta|rho|decay|smoothing", re.IGNORECASE)
"""Names of what is a share, or the weight of a moving average."""


@dataclass(frozen=True)
class Edge:
    """A number whose best value is the smallest or largest tried.

    Attributes:
        value: The best value, or the end of a range at which the best candidates lie.
        is_largest: Whether it is the largest tried.
        next: What to try; None where there is nothing beyond, as below a dropout of 0.
        is_range: Whether it is told by where the best candidates lie, as values were not compared one by one.
    """

    name: str
    value: Any
    is_largest: bool
    next: Any
    is_range: bool = False


def edges_of(design: Design, effects: list[Effect]) -> list[Edge]:
    """Returns the edges, in the order of the parameters.

    Of a list of values, the best has to be clearly better than its neighbour; where no candidates differ in
    it alone, most of the best tenth have to have it, and clearly more than by chance. Of a range with many
    values, the median of the best tenth of candidates has to lie in the outer tenth of all that were tried.
    Candidates that do not have the parameter are left out.
    """
    found = []
    for place, factor in enumerate(design.factors):
        if not factor.is_numeric or len(factor.given) < 2:
            continue
        own = [effect for effect in effects if effect.name == factor.name]
        is_range = len(factor.given) > MOST_LEVELS
        if is_range:
            side = _side_of_range(design, place)
        else:
            side = _side_of_levels(factor, own) if own else _side_of_most(design, place)
        if side is not None:
            value = factor.given[-1 if side else 0]
            found.append(Edge(factor.name, value, side, beyond(factor, side), is_range or not own))
    return found


def _side_of_levels(factor: Factor, own: list[Effect]) -> bool | None:
    """Returns whether the best value is the largest (True) or smallest (False); None for neither."""
    values = factor.given
    for is_up, best, neighbour in ((True, values[-1], values[-2]), (False, values[0], values[1])):
        if any(
            effect.better == best and effect.worse == neighbour and effect.is_clear for effect in own
        ) and all(effect.better == best for effect in own):
            return is_up
    return None


def _side_of_range(design: Design, place: int) -> bool | None:
    from scipy import stats

    codes, n_best = _best_first(design, place)
    if n_best < FEWEST_BEST:
        return None
    ranks = (stats.rankdata(codes) - 0.5) / len(codes)
    middle = float(np.median(ranks[:n_best]))
    return True if middle > 1 - _OUTER else False if middle < _OUTER else None


def _side_of_most(design: Design, place: int) -> bool | None:
    """Returns at which end most of the best candidates lie, clearly more than all do (binomial test)."""
    from scipy import stats

    codes, n_best = _best_first(design, place)
    if n_best < FEWEST_BEST:
        return None
    for is_up, end in ((True, len(design.factors[place].given) - 1), (False, 0)):
        n_there, share = int((codes[:n_best] == end).sum()), float((codes == end).mean())
        by_chance = stats.binomtest(n_there, n_best, share, alternative="greater").pvalue
        if 2 * n_there > n_best and by_chance <= ALPHA / 2:  # of either end
            return is_up
    return None


def _best_first(design: Design, place: int) -> tuple[np.ndarray, int]:
    """Returns the levels of the candidates that have a parameter, best first; and a tenth of their number."""
    codes = design.codes[design.best(len(design)), place]
    codes = codes[codes < len(design.factors[place].given)]
    return codes, len(codes) // 10


def beyond(factor: Factor, is_up: bool) -> Any:
    """Returns the next value beyond an end of what was tried; None where there is none.

    It goes on as far as the last two values lie apart: by their ratio where they are about double or
    more (by its root, where more than four times), else by their difference. A number above zero stays
    so, whole numbers stay whole, and what is below one by its name (a dropout, a momentum) gets at most
    halfway to it. A range is widened by a quarter, on its own scale.
    """
    values = [float(value) for value in factor.given]
    last, before = (values[-1], values[-2]) if is_up else (values[0], values[1])
    if len(values) > MOST_LEVELS:
        low, high = values[0], values[-1]
        by_ratio, step = factor.is_log, (high / low) ** 0.25 if factor.is_log else (high - low) / 4
    else:
        ratio = max(last, before) / min(last, before) if min(last, before) > 0 else 0
        by_ratio, step = ratio >= FAR_APART, abs(last - before)
        if by_ratio:
            step = math.sqrt(ratio) if ratio > _VERY_FAR_APART else ratio
    if by_ratio:
        return _legal(factor, last, last * step if is_up else last / step, is_up)
    return _legal(factor, last, last + step if is_up else last - step, is_up)


def _legal(factor: Factor, last: float, found: float, is_up: bool) -> Any:
    """Returns a value beyond the last as it can be tried; None where it then is not beyond."""
    if not math.isfinite(found):
        return None
    if last >= 0 >= found:
        if last == 0 or factor.values[0] == 0:
            return None
        found = last / 2
    if last <= 1 <= found and _BELOW_ONE.search(factor.name):
        found = (last + 1) / 2
    found = factor.tidy(found, found - last)
    is_beyond = found > last if is_up else found < last
    return found if is_beyond and (not isinstance(found, int) or found > 0) else None
