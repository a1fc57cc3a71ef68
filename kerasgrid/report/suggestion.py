"""The next grid, from what the last one has taught: a grid.yaml, each change with its reason beside it.

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

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kerasgrid.config.sections import Config
from kerasgrid.engines.autokeras import ENGINE as AUTOKERAS
from kerasgrid.engines.autokeras import VAL
from kerasgrid.errors import ResultsError
from kerasgrid.io import canonical_json, strict
from kerasgrid.report.comparison import QUICKER
from kerasgrid.report.design import NOT_SET, Factor, level_key
from kerasgrid.report.edges import FAR_APART, FEWEST_BEST, Edge
from kerasgrid.report.effects import MOST_LEVELS, Effect
from kerasgrid.report.findings import Findings
from kerasgrid.report.sentences import worded
from kerasgrid.run.schema import refuse, section_of
from kerasgrid.space.dimensions import is_number
from kerasgrid.space.reading import read_space
from kerasgrid.tables.table import BATCH_NORM
from kerasgrid.wording import visible, visible_line

_BEST_SHARE = 0.2
_COLUMN = 48
_MOST_LISTED = 100_000
_DIGITS = 3
"""Of the bounds of a range without a step."""
Reasons = dict[tuple[str, ...], str]
"""Comments of a grid.yaml, by key path."""


def suggest(findings: Findings) -> str:
    """Returns the text of the next grid.yaml.

    Of a search of this package it is whole, and its paths are relative to the folder of the grid.yaml that
    was searched; of other files it has the space, and names what is to be filled in.

    Raises:
        ResultsError: No trial has a score, or no parameter varies.
    """
    source, about = findings.table.source, findings.table.about
    if findings.best is None:
        raise ResultsError(f"{source}: no trial has a score, so there is nothing to go by.")
    if not findings.design.factors:
        raise ResultsError(f"{source}: no parameter varies, so there is nothing to compare.")
    if about is None or about.config is None:
        return _of_others(findings)
    given = section_of(Config, {"name": "", "model": "", **about.config}, source, "config")
    refuse(source, (f"config.{fault.path}: {fault.message}" for fault in read_space(given.space, [])[1]))
    told = strict(given.model_dump(exclude_defaults=True, include=set(about.config)))
    told["name"] = f"{about.config.get('name')}-next"
    head = [
        f"What {source} suggests to try next: kerasgrid suggest wrote it.",
        "Paths in it are relative to the folder of the grid.yaml that was searched: put it there.",
    ]
    if given.search.engine == AUTOKERAS:
        reasons = _change_autokeras(findings, given, told)
        head.append("AutoKeras chooses its models itself: what can be told it is here.")
    else:
        reasons = _change_grid(findings.ground, given, told)
    if findings.debiased is not None:
        reasons |= _debias(told)
        head.append("BatchNormalization had not warmed up, so that all of it is by debiased statistics.")
    return _yaml({name: told[name] for name in Config.model_fields if name in told}, head, reasons)


def _change_autokeras(findings: Findings, given: Config, told: dict[str, Any]) -> Reasons:
    """Makes of a search by AutoKeras the next one, whose models are its own to choose.

    What the last one was made of, as its params and its early stopping, is made again of the `autokeras`
    section, so that it is told there alone.

    Args:
        findings: What the search has taught.
        told: What of that is not at its default, which is changed.
    """
    search, own = told.get("search", {}), told.get("autokeras", {})
    own |= {name: given.params[name] for name in ("blocks", "epochs") if name in given.params}
    trials = search.pop("trials", None)
    own |= {"max_trials": trials} if trials is not None else {}
    own |= {"time": search.pop("time")} if "time" in search else {}
    reasons: Reasons = {}
    if still_rise(findings) and isinstance(own.get("epochs"), int):
        reasons["autokeras", "epochs"] = f"the curves of the best still rise: {own['epochs']} tried"
        own["epochs"] = math.ceil(1.5 * own["epochs"])
    elif isinstance(trials, int):
        reasons["autokeras", "max_trials"] = f"its oracle changes the best so far: {trials} tried"
        own["max_trials"] = 2 * trials
    for name, default in (("val", VAL), ("keep_models", "best")):
        if search.get(name) == default:  # AutoKeras's own
            del search[name]
    for name in set(told) - {"name", "data", "executor"}:
        del told[name]
    told |= {"search": search, "autokeras": own}
    return reasons


def _change_grid(findings: Findings, given: Config, told: dict[str, Any]) -> Reasons:
    """Makes of a search of a space the next one; arguments as those of _change_autokeras."""
    spaces = given.space if isinstance(given.space, list) else [given.space]
    found = _next_parameters(findings, spaces, given.params, given.exclude)
    if not any(found.spaces):
        found.reasons["params",] = (
            "nothing is left to tell apart: search other parameters, or more folds and repeats"
        )
    if found.are_trained:
        told["search"] = {**told.get("search", {}), "repeats": 2 * given.search.repeats}
        found.reasons["search", "repeats"] = "all of these were trained: other seeds tell them apart"
    told |= {"params": found.params, "space": found.spaces[0] if len(spaces) == 1 else found.spaces}
    for name in [name for name, value in told.items() if value in (None, {}, [])]:
        del told[name]
    return found.reasons


def _debias(told: dict[str, Any]) -> Reasons:
    """Makes a search one that is scored by debiased statistics, as what it comes from was judged by those."""
    spaces = told.get("space", {})
    for part in (told.get("params", {}), *(spaces if isinstance(spaces, list) else [spaces])):
        part.pop(BATCH_NORM, None)
    told["training"] = {**told.get("training", {}), "batch_norm": "debiased"}
    return {("training", "batch_norm"): "scores by keras had not warmed up"}


def _of_others(findings: Findings) -> str:
    """Returns what is known of the next grid.yaml by a file that is not of this package."""
    head = [
        f"What {findings.table.source} suggests to try next. The file does not say which data and model:",
        "add `data`, `model` and what was fixed.",
    ]
    space = {
        factor.name: [] if advice.bounds is None else _range(factor)
        for factor, advice in zip(findings.design.factors, advise(findings).values(), strict=True)
    }
    found = _next_parameters(findings, [space], {}, [])
    if found.are_trained:
        head.append("All of these candidates were trained: more folds or seeds tell them apart.")
    told = {"params": found.params, "space": found.spaces[0]}
    return _yaml({name: value for name, value in told.items() if value}, head, found.reasons)


def _range(factor: Factor) -> dict[str, Any]:
    """Returns the range that values were drawn from, as far as a file that is not ours tells it."""
    whole = {"type": "int"} if all(isinstance(value, int) for value in factor.given) else {}
    log = {"log": True} if factor.is_log else {}
    return {"low": factor.given[0], "high": factor.given[-1], **whole, **log}


@dataclass(frozen=True)
class _Next:
    """The parameters of the next grid.yaml.

    Attributes:
        params: Those that are fixed.
        spaces: The parts of its space.
        reasons: Why they are as they are.
        are_trained: Whether all of its candidates have a score already.
    """

    params: dict[str, Any]
    spaces: list[dict[str, Any]]
    reasons: Reasons
    are_trained: bool


def _next_parameters(
    findings: Findings, parts: Sequence[Mapping[str, Any]], before: Mapping[str, Any], exclude: Sequence[str]
) -> _Next:
    """Returns what to search next.

    Args:
        findings: What a search has taught.
        parts: Of its space.
        before: Its fixed parameters.
        exclude: Its conditions of candidates that are left out.
    """
    advice, is_whole = advise(findings), len(parts) == 1  # no union
    may_fix = is_whole and not exclude and not any(map(_has_condition, parts[0].values()))
    fixed, spaces = dict(before), []
    reasons: Reasons = {}
    for part in parts:
        space = {}
        for name, spec in part.items():
            found = advice.get(name)
            if found is None:
                space[name] = spec
            elif may_fix and found.bounds is None and len(found.values) == 1 and isinstance(spec, list):
                fixed[name] = found.values[0]
                reasons["params", name] = found.why
            else:
                space[name] = _spec(spec, found if is_whole else _within(spec, found))
                reasons["space", name] = found.why
        spaces.append(space)
    epochs = fixed.get("epochs")
    if "epochs" not in advice and isinstance(epochs, int) and still_rise(findings):
        fixed["epochs"] = math.ceil(1.5 * epochs)
        reasons["params", "epochs"] = f"the curves of the best still rise: {epochs} tried"
    are_trained = _are_trained(findings, spaces, exclude, fixed, before)
    finer = _finer(findings, spaces[0]) if are_trained and is_whole else {}
    if finer:
        spaces[0] |= finer
        reasons |= {("space", name): "all of these were trained: between them" for name in finer}
        are_trained = _are_trained(findings, spaces, exclude, fixed, before)
    return _Next(fixed, spaces, reasons, are_trained)


def _has_condition(spec: Any) -> bool:
    return isinstance(spec, dict) and "when" in spec


def _spec(spec: Any, found: Advice) -> Any:
    """Returns a parameter's entry in a space with other values; its conditions, type and scale stay."""
    if found.bounds is not None:
        low, high = found.bounds
        if isinstance(spec, dict) and "values" not in spec:
            kept = {name: value for name, value in spec.items() if name not in ("low", "high")}
            return {"low": _on_step(spec, low, math.floor), "high": _on_step(spec, high, math.ceil), **kept}
        tried = spec["values"] if isinstance(spec, dict) else spec
        values = [value for value in tried if low <= value <= high]
        values = values or tried  # those of another part of a union are the better
    else:
        values = list(found.values)
    if _has_condition(spec):
        return {"values": values, "when": spec["when"]}
    return {"values": values} if isinstance(spec, dict) and "values" in spec else values


def _on_step(spec: Mapping[str, Any], value: Any, rounded: Any) -> Any:
    """Returns a bound that lies a whole number of steps from the range's own; without steps, few digits."""
    step, low = spec.get("step"), spec.get("low")
    if isinstance(value, float) and value and step is None:
        unit = 10.0 ** (math.floor(math.log10(abs(value))) - _DIGITS + 1)
        return float(f"{rounded(round(value / unit, 6)) * unit:.{_DIGITS}g}")
    if step is None or low is None or spec.get("log"):
        return value
    found = low + rounded(round((value - low) / step, 9)) * step
    return found if isinstance(found, int) else float(f"{found:.12g}")


def _within(spec: Any, found: Advice) -> Advice:
    """Returns the advice on a parameter for one part of a union: of its own values those that are left.

    They stay as they are where none is left, since what was compared then is of other parts.
    """
    own = spec.get("values") if isinstance(spec, dict) else spec
    if own is not None:
        kept = set(map(level_key, found.values))
        left = tuple(value for value in own if level_key(value) in kept)
        return found if found.bounds is not None else Advice(left or tuple(own), found.why)
    numbers = found.bounds or tuple(filter(is_number, found.values)) or (spec["low"], spec["high"])
    low, high = max(min(numbers), spec["low"]), min(max(numbers), spec["high"])
    return Advice((), found.why, (low, high) if low < high else (spec["low"], spec["high"]))


def _are_trained(
    findings: Findings,
    spaces: Sequence[Mapping[str, Any]],
    exclude: Sequence[str],
    fixed: Mapping[str, Any],
    before: Mapping[str, Any],
) -> bool:
    """Tells whether a grid has no candidate but those that have a score; not of what is too much to list."""
    space = read_space(strict([*spaces]), exclude, strict(dict(fixed)))[0]  # a CSV may say inf
    if not space.is_finite or space.size > _MOST_LISTED:
        return False

    def key(fixed: Mapping[str, Any], own: Mapping[str, Any]) -> str:
        return canonical_json({name: level_key(value) for name, value in {**fixed, **own}.items()})

    rows = [findings.table.rows[one.row] for one in findings.contenders]
    names = findings.table.params
    trained = {key(before, {name: row[name] for name in names if name in row}) for row in rows}
    return all(key(fixed, params) in trained for params in space)


def _finer(findings: Findings, space: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Returns the best trial's values of numeric parameters with those halfway to their neighbours."""
    found: dict[str, list[Any]] = {}
    best = findings.table.rows[findings.contenders[0].row]
    for factor in findings.design.factors:
        own = best.get(factor.name)
        if isinstance(space.get(factor.name), list) and factor.is_numeric and own in factor.values:
            between = halfway(factor, own)
            found |= {factor.name: sorted([*between, own])} if between else {}
    return found


def halfway(factor: Factor, best: Any) -> list[Any]:
    """Returns what lies halfway to the neighbours of a value: by ratio where they are about double."""
    place, found = factor.values.index(best), []
    for other in factor.values[max(place - 1, 0) : place + 2]:
        if other in (best, NOT_SET):
            continue
        small, large = sorted((float(other), float(best)))
        by_ratio = small > 0 and large / small >= FAR_APART
        middle = math.sqrt(small * large) if by_ratio else (small + large) / 2
        middle = factor.tidy(middle, middle - float(best))
        if middle not in factor.values:
            found.append(middle)
    return found


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
    return quickest, f"; {worded(quickest)} trains {round(100 * (1 - share))}% quicker"


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
    why = f"where {which} lie: {worded(factor.given[0])} to {worded(factor.given[-1])} tried"
    if edge is not None and edge.next is not None:
        low, high = min(low, edge.next), max(high, edge.next)
        why = f"the best lie at the edge; {why}"
    return Advice((), why, (low, high))


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(worded, values))


def _yaml(value: Mapping[str, Any], head: Sequence[str], reasons: Reasons) -> str:
    """Returns a grid.yaml, with lines of comment at its head and reasons at the ends of lines."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    def scalar(item: Any) -> Any:
        is_plain = not isinstance(item, str) or visible(item) == item
        return item if is_plain else DoubleQuotedScalarString(item)  # where escapes are read

    def node(item: Any, path: tuple[str, ...]) -> Any:
        if isinstance(item, Mapping):
            items = CommentedMap({scalar(key): node(inner, (*path, key)) for key, inner in item.items()})
            if len(path) > 1:
                items.fa.set_flow_style()
            for key in item:
                if (*path, key) in reasons:
                    items.yaml_add_eol_comment(visible_line(reasons[(*path, key)]), key, column=_COLUMN)
            return items
        if isinstance(item, list | tuple):
            is_union = path == ("space",)
            found = CommentedSeq(node(inner, path if is_union else (*path, "")) for inner in item)
            if not is_union:
                found.fa.set_flow_style()
            return found
        return scalar(item)

    yaml = YAML()
    yaml.width, yaml.version = 4096, None
    written = io.StringIO()
    whole = node(value, ())
    yaml.dump(whole, written)
    return "".join(f"# {visible_line(line)}\n" for line in head) + visible(written.getvalue())
