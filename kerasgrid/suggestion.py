"""The next grid, from what the last one has taught: a commented grid.yaml.

What is done to a parameter, and why, stands in a comment beside it:

* A value that is clearly worse than the best is left out, unless an interaction makes it the better one
  somewhere.
* Beyond a best value at the edge of what was tried, the next one is added; a numeric best value between
  others gets neighbours halfway.
* A parameter whose values cannot be told apart, and that takes part in no interaction, is fixed at the value
  that trains quicker; where times are level, at the best trial's. Where candidates are too few for an
  interval, it stays as it is.
* A range is cut to where the best fifth of the candidates lie, and widened where they lie at its edge.
* `epochs` become half as many again where the curves of the best still rise.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kerasgrid.analysis.design import NOT_SET, Factor, level_key
from kerasgrid.analysis.edges import Edge
from kerasgrid.analysis.effects import MOST_LEVELS
from kerasgrid.analysis.findings import Findings
from kerasgrid.analysis.sentences import value_text
from kerasgrid.config import Config
from kerasgrid.errors import ResultsError
from kerasgrid.io import strict
from kerasgrid.tables.parsing import finite

_QUICKER = 0.95
_FAR_APART = 1.9
_BEST_SHARE = 0.2
_FEWEST_BEST = 5
_COLUMN = 48


@dataclass(frozen=True)
class Advice:
    """What to try of a parameter next, and why; a single value fixes it."""

    values: tuple[Any, ...]
    why: str
    bounds: tuple[Any, Any] | None = None


def suggest(findings: Findings) -> str:
    """Returns the text of the next grid.yaml.

    Of a search of this package it is whole, and its paths are relative to the folder of the grid.yaml that
    was searched; of other files it has the space, and names what is to be filled in.

    Raises:
        ResultsError: No trial has a score, or no parameter varies.
    """
    source = findings.table.source
    if findings.best is None:
        raise ResultsError(f"{source}: no trial has a score, so there is nothing to go by.")
    if not findings.design.factors:
        raise ResultsError(f"{source}: no parameter varies, so there is nothing to compare.")
    advice = {factor.name: _advice(findings, place) for place, factor in enumerate(findings.design.factors)}
    config = findings.table.about.get("config")
    if not isinstance(config, dict):
        return _bare(findings, advice)
    return _whole(findings, config, advice)


def _advice(findings: Findings, place: int) -> Advice:
    factor = findings.design.factors[place]
    edge = next((edge for edge in findings.edges if edge.name == factor.name), None)
    if len(factor) > MOST_LEVELS:
        return _of_range(findings, place, edge)
    advice = _of_levels(findings, factor, edge)
    if factor.name == "epochs" and _still_rise(findings):
        longer = math.ceil(1.5 * max(factor.values))
        return Advice((longer,), f"the curves of the best still rise: {_listed(factor.values)} tried")
    return advice


def _still_rise(findings: Findings) -> bool:
    """Says whether one of the three best would gain by more epochs."""
    return any(one.row in findings.rising for one in findings.contenders[:3])


def _of_levels(findings: Findings, factor: Factor, edge: Edge | None) -> Advice:
    effects, tried = findings.effects[factor.name], _listed(factor.values)
    given = findings.table.rows[findings.best.row].get(factor.name, NOT_SET)
    best = given if not effects else effects[0].better
    interacts = any(factor.name in (one.effect.name, one.given) for one in findings.interactions)
    if NOT_SET in factor.values or not effects or any(effect.better != best for effect in effects):
        return Advice(tuple(v for v in factor.values if v != NOT_SET), f"cannot be told: {tried} tried")
    worse = [effect.worse for effect in effects if effect.is_clear]
    if interacts:
        return Advice(factor.values, "kept: its effect depends on another parameter")
    if edge is not None:
        kept = [best] + ([] if edge.next is None else [edge.next])
        why = "nothing beyond" if edge.next is None else "the best was at the edge"
        return Advice(_ordered(kept), f"{why}: {tried} tried")
    if effects[0].low is None:
        return Advice(factor.values, "too few candidates to tell")
    if not worse:
        if any(effect.is_often for effect in effects):
            return Advice((best,), f"more often the better, however little: {tried} tried")
        quick = _quicker(findings, factor, given)
        return Advice((quick,), f"cannot be told: {tried} tried")
    left = [value for value in factor.values if value not in worse]
    if len(left) == 1 and factor.is_numeric:
        return Advice(_ordered([*_halfway(factor, best), best]), f"between the values tried: {tried}")
    return Advice(tuple(left), f"clearly worse: {_listed(worse)}")


def _of_range(findings: Findings, place: int, edge: Edge | None) -> Advice:
    """Returns the part of a range in which the best fifth of the candidates lie."""
    design, factor = findings.design, findings.design.factors[place]
    n_best = max(int(len(design) * _BEST_SHARE), _FEWEST_BEST)
    best = np.argsort(-design.sign * design.scores, kind="stable")[:n_best]
    values = [factor.values[code] for code in design.codes[best, place]]
    if not factor.is_numeric or len(design) < 2 * _FEWEST_BEST:
        kept = tuple(dict.fromkeys(values))
        return Advice(kept, f"those of the best {len(best)} candidates")
    low, high = min(values), max(values)
    why = f"where the best {len(best)} candidates lie: {value_text(factor.values[0])} to "
    why += f"{value_text(factor.values[-1])} tried"
    if edge is not None and edge.next is not None:
        low, high = min(low, edge.next), max(high, edge.next)
        why = f"the best lie at the edge; {why}"
    return Advice((), why, (low, high))


def _quicker(findings: Findings, factor: Factor, given: Any) -> Any:
    """Returns the value with the least mean fit time; the best trial's where it is hardly slower."""
    times: dict[str, list[float]] = {}
    for row in findings.table.rows:
        seconds = finite(row.get("mean_fit_time"))
        if seconds is not None and factor.name in row:
            times.setdefault(level_key(row[factor.name]), []).append(seconds)
    means = {name: sum(found) / len(found) for name, found in times.items()}
    if set(means) != set(map(level_key, factor.values)):
        return given
    quickest = min(factor.values, key=lambda value: means[level_key(value)])
    return quickest if means[level_key(quickest)] < _QUICKER * means[level_key(given)] else given


def _halfway(factor: Factor, best: Any) -> list[Any]:
    """Returns what lies halfway to the neighbours of a value: by ratio where they are about double."""
    place, found = factor.values.index(best), []
    for other in factor.values[max(place - 1, 0) : place + 2]:
        if other == best:
            continue
        small, large = sorted((float(other), float(best)))
        by_ratio = small > 0 and large / small >= _FAR_APART
        middle = math.sqrt(small * large) if by_ratio else (small + large) / 2
        if all(isinstance(value, int) for value in factor.values):
            middle = round(middle)
        else:
            middle = float(f"{middle:.2g}")
        if middle not in factor.values:
            found.append(middle)
    return found


def _whole(findings: Findings, config: Mapping[str, Any], advice: Mapping[str, Advice]) -> str:
    """Returns the last config with another name and space, without what stands at its default."""
    told = _told(Config, strict(dict(config)))
    parts = config.get("space") or {}
    parts = parts if isinstance(parts, list) else [parts]
    may_fix = (
        len(parts) == 1 and not config.get("exclude") and not any(map(_has_condition, parts[0].values()))
    )
    fixed, spaces, comments = dict(config.get("params") or {}), [], {}
    for part in parts:
        space = {}
        for name, spec in part.items():
            found = advice.get(name)
            if found is None:
                space[name] = spec
            elif may_fix and found.bounds is None and len(found.values) == 1 and isinstance(spec, list):
                fixed[name] = found.values[0]
                comments["params", name] = found.why
            else:
                space[name] = _spec(spec, found)
                comments["space", name] = found.why
        spaces.append(space)
    epochs = fixed.get("epochs")
    if "epochs" not in advice and isinstance(epochs, int) and _still_rise(findings):
        fixed["epochs"] = math.ceil(1.5 * epochs)
        comments["params", "epochs"] = f"the curves of the best still rise: {epochs} tried"
    if not any(spaces):
        comments["params",] = (
            "nothing is left to tell apart: search other parameters, or more folds and repeats"
        )
    told |= {"params": fixed, "space": spaces[0] if len(spaces) == 1 else spaces}
    told["name"] = f"{config.get('name')}-next"
    ordered = {name: told[name] for name in Config.model_fields if told.get(name) not in (None, {}, [])}
    head = [
        f"What {findings.table.source} suggests to try next: kerasgrid suggest wrote it.",
        "Paths in it are relative to the folder of the grid.yaml that was searched: put it there.",
    ]
    return _yaml(ordered, head, comments)


def _bare(findings: Findings, advice: Mapping[str, Advice]) -> str:
    head = [
        f"What {findings.table.source} suggests to try next. The file does not say which data and model:",
        "add `data`, `model` and what was fixed.",
    ]
    fixed, space, comments = {}, {}, {}
    for name, found in advice.items():
        is_fixed = found.bounds is None and len(found.values) == 1
        (fixed if is_fixed else space)[name] = found.values[0] if is_fixed else _spec([], found)
        comments["params" if is_fixed else "space", name] = found.why
    told = {"params": fixed, "space": space}
    return _yaml({name: value for name, value in told.items() if value}, head, comments)


def _spec(spec: Any, found: Advice) -> Any:
    """Returns a parameter's entry in a space with other values; its conditions, type and scale stay."""
    if found.bounds is not None:
        low, high = found.bounds
        if isinstance(spec, dict) and "values" not in spec:
            kept = {name: value for name, value in spec.items() if name not in ("low", "high")}
            return {"low": _on_step(spec, low, math.floor), "high": _on_step(spec, high, math.ceil), **kept}
        tried = spec["values"] if isinstance(spec, dict) else spec
        values = [value for value in tried if low <= value <= high]
        values = values or [low, high]
    else:
        values = list(found.values)
    if isinstance(spec, dict) and "values" in spec:
        return {"values": values, **{name: value for name, value in spec.items() if name == "when"}}
    if isinstance(spec, dict) and "when" in spec:
        return {"values": values, "when": spec["when"]}
    return values


def _on_step(spec: Mapping[str, Any], value: Any, rounded: Any) -> Any:
    """Returns a bound that lies a whole number of steps from the range's own."""
    step, low = spec.get("step"), spec.get("low")
    if step is None or low is None or spec.get("log"):
        return value
    found = low + rounded(round((value - low) / step, 9)) * step
    return found if isinstance(found, int) else float(f"{found:.12g}")


def _has_condition(spec: Any) -> bool:
    return isinstance(spec, dict) and "when" in spec


def _told(model: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the values that are not their field's default, of nested models too."""
    found = {}
    for name, field in model.model_fields.items():
        if name not in values:
            continue
        value, default = values[name], field.get_default(call_default_factory=True)
        if hasattr(type(default), "model_fields") and isinstance(value, dict):
            value = _told(type(default), value)
            if value:
                found[name] = value
        elif value != default:
            found[name] = value
    return found


def _yaml(value: Mapping[str, Any], head: Sequence[str], comments: Mapping[tuple[str, ...], str]) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    def node(item: Any, path: tuple[str, ...]) -> Any:
        if isinstance(item, Mapping):
            found = CommentedMap({key: node(inner, (*path, key)) for key, inner in item.items()})
            if len(path) > 1:
                found.fa.set_flow_style()
            for key in item:
                if (*path, key) in comments:
                    found.yaml_add_eol_comment(comments[(*path, key)], key, column=_COLUMN)
            return found
        if isinstance(item, list | tuple):
            is_union = path == ("space",)
            found = CommentedSeq(node(inner, path if is_union else (*path, "")) for inner in item)
            if not is_union:
                found.fa.set_flow_style()
            return found
        return item

    yaml = YAML()
    yaml.width, yaml.version = 4096, None
    written = io.StringIO()
    whole = node(value, ())
    yaml.dump(whole, written)
    return "".join(f"# {line}\n" for line in head) + written.getvalue()


def _ordered(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sorted(values))


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(value_text, values))
