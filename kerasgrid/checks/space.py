"""What candidates there are, and whether the engine can go over them."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from kerasgrid.checks.draft import Draft
from kerasgrid.config.sections import Config, SearchConfig
from kerasgrid.engines import ENGINES
from kerasgrid.engines.base import Task
from kerasgrid.engines.halving import rungs
from kerasgrid.errors import did_you_mean
from kerasgrid.space.reading import read_space
from kerasgrid.space.space import Space
from kerasgrid.wording import joined

MAX_GRID = 1_000_000


def space_of(draft: Draft, declared: Mapping[str, Any]) -> Space:
    """Returns the candidates; `declared` is the space that the model function declares."""
    report, config, search = draft.report, draft.config, draft.config.search
    grids = config.space if isinstance(config.space, list) else [config.space]
    own = [_settled(declared, config.params, grid) | grid for grid in grids]
    if search.engine in ENGINES and ENGINES[search.engine].has_brackets:
        own = _with_most_epochs(own)
    space, faults = read_space(
        own if isinstance(config.space, list) else own[0], config.exclude, config.params
    )
    report.faults.extend(faults)
    if not report.is_settled("search.engine"):
        return space
    kind = ENGINES.get(search.engine)
    if kind is None:
        known = did_you_mean(search.engine, ENGINES, ())
        report.add("search.engine", f"is {search.engine!r}, which is no engine.{known}")
        return space
    for package, wanted in kind.packages.items():
        if find_spec(package) is None:
            report.add("search.engine", f"is {search.engine}, which needs {package}: pip install {wanted}.")
    if kind.lists and not kind.draws:
        for path in _endless(space, config):
            report.add(path, "is a range without a step, which a grid cannot list: give a step or a list.")
    needs_trials = kind.needs_trials or (kind.draws and not space.is_finite)
    if needs_trials and search.trials is None and report.is_settled("search.trials"):
        report.add(
            "search.trials",
            f"is missing: the engine {search.engine} needs to know how many candidates to draw.",
        )
    elif not kind.has_brackets:
        _check_count(draft, space)
    if space.is_drawn and not kind.rejects:
        report.add(
            "exclude",
            f"names a range without a step, of which {search.engine} cannot leave a part out: give it a step "
            "or a list, or take random, halving, tpe or gp.",
        )
    if kind.has_brackets and search.trials is not None:
        report.add(
            "search.trials",
            f"is what {search.engine} chooses, by the most epochs: leave it out, or give "
            "--set search.trials=null.",
        )
    return space


def warnings_of_space(config: Config, space: Space) -> tuple[str, ...]:
    """Returns what an engine makes of weights and of exclusions, where that is not what one would expect."""
    search, kind = config.search, ENGINES.get(config.search.engine)
    if kind is None:
        return ()
    draws = kind.rejects and not kind.packages
    found = _idle_settings(search)
    epochs = space.values("epochs")
    if kind.has_brackets and len(epochs) == 1:  # they are one, but where they are at fault
        chosen = "chooses the epochs of each candidate: of those in space"
        found.append(f"{search.engine} {chosen}, {epochs[0]} at most.")
    if space.is_weighted and not draws:
        found.append(f"Weights in space are of candidates drawn at random: {search.engine} takes no notice.")
    if space.is_drawn and draws and search.trials is not None:
        n = len(space.sample(search.trials, search.seed))
        if n < search.trials:
            told = f"Of {search.trials:,} trials there are {n:,}: exclude leaves so little"
            found.append(f"{told} that a thousand draws in a row gave no other candidate.")
    return tuple(found)


def warnings_of_rungs(task: Task) -> tuple[str, ...]:
    """Returns that candidates never wait, where `search.min_epochs` leaves no rung below the last epoch."""
    search, longest = task.search, task.longest
    if "min_epochs" not in ENGINES[search.engine].settings or search.min_epochs is None:
        return ()
    if rungs(longest, search.factor, search.min_epochs) != [longest]:
        return ()
    told = f"No rung lies between search.min_epochs, {search.min_epochs}, and the last epoch, {longest}"
    return (f"{told}: all candidates are trained to their ends.",)


def _idle_settings(search: SearchConfig) -> list[str]:
    """Returns what is set in `search` and only other engines take, so that one file serves all of them."""
    kind, found = ENGINES[search.engine], []
    for name in dict.fromkeys(name for other in ENGINES.values() for name in other.settings):
        if name in search.model_fields_set and name not in kind.settings:
            engines = [engine for engine, other in ENGINES.items() if name in other.settings]
            found.append(f"search.{name} is of {joined(engines)}: {search.engine} takes no notice.")
    return found


def _with_most_epochs(grids: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns grids in which `epochs`, of an engine that chooses them, is the most of all of them."""
    named = [_numbers(grid["epochs"]) for grid in grids if "epochs" in grid]
    most = max((number for numbers in named for number in numbers), default=None)
    if most is None or not all(named):  # what is wrong there is told where the space is read
        return grids
    return [{**grid, "epochs": [most]} if "epochs" in grid else grid for grid in grids]


def _numbers(spec: Any) -> list[int]:
    """Returns the whole numbers of a list of values, or the upper bound of a range."""
    if isinstance(spec, Mapping):
        spec = spec["values"] if "values" in spec else [spec.get("high")]
    numbers = spec if isinstance(spec, list) else []
    return [] if any(type(number) is not int for number in numbers) else numbers


def _settled(
    declared: Mapping[str, Any], params: Mapping[str, Any], grid: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what a model function declares beside what the config fixes or searches otherwise.

    Conditions on what is fixed are settled: they hold, or their parameter is left out. Of those on what the
    config searches otherwise, the values that are searched are kept.
    """
    found: dict[str, Any] = {}
    for name, spec in declared.items():
        if name in params or name in grid:
            continue
        when = {}
        for parent, wanted in spec.get("when", {}).items() if isinstance(spec, Mapping) else ():
            searched = grid.get(parent)
            if parent in params:
                held = [params[parent]] if params[parent] in wanted else []
            else:
                listed = searched.get("values") if isinstance(searched, Mapping) else searched
                held = [value for value in wanted if not isinstance(listed, list) or value in listed]
                when[parent] = held
            if not held:
                break
        else:
            is_plain = isinstance(spec, list) or "when" not in spec
            rest = spec if is_plain else {key: value for key, value in spec.items() if key != "when"}
            found[name] = rest if is_plain or not when else {**rest, "when": when}
    while left_out := [
        name
        for name, spec in found.items()
        if isinstance(spec, Mapping) and any(p not in found and p not in grid for p in spec.get("when", ()))
    ]:
        for name in left_out:  # and those that depend on them
            del found[name]
    return found


def _check_count(draft: Draft, space: Space) -> None:
    report, search = draft.report, draft.config.search
    n = min(space.size, search.trials or space.size) if space.is_finite else search.trials or 0
    if n > MAX_GRID and report.is_settled("space", "search.trials"):
        report.add(
            "space",
            f"gives {n:,} candidates, and a search has at most {MAX_GRID:,}: search fewer values, or "
            "give a smaller search.trials.",
        )


def _endless(space: Space, config: Config) -> list[str]:
    """Returns the key paths of ranges without a step."""
    several = isinstance(config.space, list)
    found: dict[str, None] = {}
    for place, grid in zip(space.places, space.grids, strict=True):
        prefix = f"space[{place}]" if several else "space"
        found |= {f"{prefix}.{name}": None for name in Space([grid]).endless()}
    return list(found)
