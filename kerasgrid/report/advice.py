"""What to try of each parameter next, and why.

* A value that is clearly worse than the best is left out; where that depends on another parameter, all are
  kept.
* Beyond a best value at the edge of what was tried, the next one is added; a numeric best value between
  others gets neighbours halfway.
* A parameter whose values cannot be told apart, and that takes part in no interaction, is fixed at the best
  trial's value; at one that trains quicker only where that cannot cost more than the noise of a single
  candidate. Where candidates are too few for an interval, it stays as it is.
* A range is cut to where the best fifth of the candidates lie, and widened where they lie at its edge.
* Where the curves of the best still rise, `epochs` become what lies beyond the edge, or half as many again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kerasgrid.report.comparison import QUICKER
from kerasgrid.report.design import NOT_SET, Factor, level_key
from kerasgrid.report.edges import FAR_APART, FEWEST_BEST, Edge
from kerasgrid.report.effects import MOST_LEVELS, Effect
from kerasgrid.report.findings import Findings
from kerasgrid.report.sentences import value_text

_BEST_SHARE = 0.2


@dataclass(frozen=True)
class Advice:
    """What to try of a parameter next, and why; a single value fixes it."""

    values: tuple[Any, ...]
    why: str
    bounds: tuple[Any, Any] | None = None


def advise(findings: Findings) -> dict[str, Advice]:
    """Returns the advice on each parameter that varies; there has to be a trial with a score."""
    return {factor.name: _advice(findings, place) for place, factor in enumerate(findings.design.factors)}


def _advice(findings: Findings, place: int) -> Advice:
    factor = findings.design.factors[place]
    edge = next((edge for edge in findings.edges if edge.name == factor.name), None)
    if len(factor) > MOST_LEVELS:
        return _of_range(findings, place, edge)
    advice = _of_levels(findings, factor, edge)
    is_downward = edge is not None and not edge.is_largest
    if factor.name == "epochs" and factor.is_numeric and still_rise(findings) and not is_downward:
        beyond = None if edge is None else edge.next
        longer = math.ceil(1.5 * max(factor.given)) if beyond is None else beyond
        return Advice((longer,), f"the curves of the best still rise: {_listed(factor.values)} tried")
    return advice


def still_rise(findings: Findings) -> bool:
    """Says whether the best would gain by more epochs."""
    return findings.leaders_rise is not None


def _of_levels(findings: Findings, factor: Factor, edge: Edge | None) -> Advice:
    effects, tried = findings.effects[factor.name], _listed(factor.values)
    given = findings.table.rows[findings.contenders[0].row].get(factor.name, NOT_SET)
    best = given if not effects else effects[0].better
    interacts = any(factor.name in (one.effect.name, one.given) for one in findings.interactions)
    worse = [effect.worse for effect in effects if effect.is_clear]
    if not effects and edge is not None:
        kept = tuple(sorted({*factor.given, *([] if edge.next is None else [edge.next])}))
        return Advice(kept, f"the best lie at the edge: {tried} tried")
    if NOT_SET in factor.values or not effects or any(effect.better != best for effect in effects):
        left = tuple(value for value in factor.given if interacts or value not in worse)
        if left and len(left) < len(factor.given):
            return Advice(left, f"clearly worse: {_listed([v for v in factor.given if v in worse])}")
        return Advice(factor.given, f"cannot be told: {tried} tried")
    if interacts and edge is not None and edge.next is not None:
        kept = tuple(sorted((*factor.values, edge.next)))
        return Advice(kept, "the best was at the edge; kept, as its effect depends on another parameter")
    if interacts:
        return Advice(factor.values, "kept: its effect depends on another parameter")
    if edge is not None:
        kept = tuple(sorted([best] + ([] if edge.next is None else [edge.next])))
        why = "nothing beyond" if edge.next is None else "the best was at the edge"
        return Advice(kept, f"{why}: {tried} tried")
    if effects[0].low is None:
        return Advice(factor.values, "too few candidates to tell")
    if not worse:
        if any(effect.is_often for effect in effects):
            return Advice((best,), f"more often the better, however little: {tried} tried")
        quick, note = _quicker(findings, factor, given)
        is_free = findings.noise is not None and _most_lost(effects, quick) <= findings.noise.sigma
        return Advice((quick if is_free else given,), f"cannot be told: {tried} tried{note}")
    left = tuple(value for value in factor.values if value not in worse)
    if len(left) == 1 and factor.is_numeric:
        return Advice(tuple(sorted([*halfway(factor, best), best])), f"between the values tried: {tried}")
    return Advice(left, f"clearly worse: {_listed(worse)}")


def _of_range(findings: Findings, place: int, edge: Edge | None) -> Advice:
    """Returns the part of a range in which the best fifth of the candidates lie."""
    design, factor = findings.design, findings.design.factors[place]
    best = design.best(max(int(len(design) * _BEST_SHARE), FEWEST_BEST))
    values = [value for code in design.codes[best, place] if (value := factor.values[code]) != NOT_SET]
    which = f"the best {len(values)} candidates" + ("" if len(values) == len(best) else " that have it")
    if not values:
        values, which = list(factor.given), "candidates, of which none of the best has it,"
    if not factor.is_numeric or len(design) < 2 * FEWEST_BEST:
        return Advice(tuple(dict.fromkeys(values)), f"those of {which}")
    low, high = min(values), max(values)
    why = f"where {which} lie: {value_text(factor.given[0])} to {value_text(factor.given[-1])} tried"
    if edge is not None and edge.next is not None:
        low, high = min(low, edge.next), max(high, edge.next)
        why = f"the best lie at the edge; {why}"
    return Advice((), why, (low, high))


def _most_lost(effects: Sequence[Effect], value: Any) -> float:
    """Returns what a value may be behind the best one at most, by the interval of that effect."""
    return max((effect.high or 0.0 for effect in effects if effect.worse == value), default=0.0)


def _quicker(findings: Findings, factor: Factor, given: Any) -> tuple[Any, str]:
    """Returns the value that trains quickest, and a note of it; the best trial's where hardly slower."""
    times: dict[str, list[float]] = {}
    for row in findings.table.rows:
        seconds = findings.table.seconds(row)
        if seconds is not None and factor.name in row:
            times.setdefault(level_key(row[factor.name]), []).append(seconds)
    means = {name: sum(found) / len(found) for name, found in times.items()}
    if set(means) != set(map(level_key, factor.values)):
        return given, ""
    quickest = min(factor.values, key=lambda value: means[level_key(value)])
    quick, usual = means[level_key(quickest)], means[level_key(given)]
    if not quick < QUICKER * usual:
        return given, ""
    share = quick / usual
    return quickest, f"; {value_text(quickest)} trains {round(100 * (1 - share))}% quicker"


def halfway(factor: Factor, best: Any) -> list[Any]:
    """Returns what lies halfway to the neighbours of a value: by ratio where they are about double."""
    place, found = factor.values.index(best), []
    for other in factor.values[max(place - 1, 0) : place + 2]:
        if other == best:
            continue
        small, large = sorted((float(other), float(best)))
        by_ratio = small > 0 and large / small >= FAR_APART
        middle = math.sqrt(small * large) if by_ratio else (small + large) / 2
        middle = factor.tidy(middle, middle - float(best))
        if middle not in factor.values:
            found.append(middle)
    return found


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(value_text, values))
