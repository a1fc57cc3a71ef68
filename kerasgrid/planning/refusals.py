"""Why models are refused before training: each fault once, at the key that it is of.

Which key that is, is found by trying: with one setting changed to what other candidates have, or to its
default, the model builds; or beside a model that builds, one setting is enough to have it refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerasgrid.checks.prepared import Prepared
from kerasgrid.config.validation import shown
from kerasgrid.errors import Fault, NoModelError, ScoreError, WeightsError
from kerasgrid.io import digest
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import goes_to_model
from kerasgrid.records import ProbeRecord
from kerasgrid.space.dimensions import value_text
from kerasgrid.space.space import Space
from kerasgrid.wording import count, joined, named

Params = Mapping[str, Any]
Error = Mapping[str, str]
AskWorker = Callable[[Recipe, Iterable[Params]], Iterable[ProbeRecord]]
_NOT_BUILT = {"type": "Stopped", "message": "its model was not built"}
MAX_TRIED = 8
"""Kinds of refusals whose key is looked for; models are built for each."""


@dataclass(frozen=True)
class Refusal:
    """A fault that shows when models are built.

    Attributes:
        values: The searched values that it is of, by name; together where there are several names.
        n_others: Candidates that it is of, where it was not found out why.
    """

    fault: Fault
    values: Mapping[str, Sequence[Any]]
    n_others: int = 0

    def covers(self, params: Params) -> bool:
        """Tells whether a candidate is refused for it."""
        return all(name in params and _is_in(params[name], some) for name, some in self.values.items())

    @property
    def candidates(self) -> str:
        """Which candidates it is of, such as `dropout=2.0 and dropout=3.0`."""
        if not self.values:
            return count(self.n_others, "candidate") if self.n_others else "all candidates"
        if len(self.values) > 1:
            return _shown({name: some[0] for name, some in self.values.items()})
        return joined([named({name: value}) for name, some in self.values.items() for value in some])


class Refusals:
    """Finds what models are refused for.

    Args:
        ask: Builds candidates' models, and yields a record each.
    """

    def __init__(self, prepared: Prepared, recipe: Recipe, ask: AskWorker) -> None:
        self._prepared, self._ask = prepared, ask
        config = prepared.config
        training = config.training.model_dump(exclude_unset=True, exclude={"pack"})
        sections = {"callbacks": _callbacks(config.callbacks), "augment": config.given_augment or {}}
        sections |= {"training": training}
        fixed = {name: (f"params.{name}", value) for name, value in config.params.items()}
        if config.stages is not None:
            fixed.setdefault("stages", ("stages", config.given_stages))
        for section, given in sections.items():
            for name, value in given.items():
                path = f"{section}.{name}"
                fixed.setdefault(path, (path, value))
        self._paths = {name: path for name, (path, _) in fixed.items()}
        self._fixed = {name: value for name, (_, value) in fixed.items()}
        bare = replace(recipe, params={}, callbacks={}, training={}, augment=None, stages=None)
        self._recipe = replace(bare, packs=False)
        self._tried = 0

    def find(self, records: Sequence[ProbeRecord]) -> list[Refusal]:
        """Returns what some of the models that were built are refused for.

        Where none builds, settings that are at fault are left out and the rest is tried anew, so that one
        fault does not hide another.
        """
        found: list[Refusal] = []
        fixed, candidates = dict(self._fixed), [(one.params, one.error) for one in records]
        while True:
            failed = [(params, error) for params, error in candidates if error is not None]
            passed = [params for params, error in candidates if error is None]
            new = list(self._blame(fixed, failed, passed))
            for _, refusal in new:
                if refusal not in found:
                    found.append(refusal)
            left_out = {name for names, _ in new for name in names if not self._is_needed(name)}
            if passed or not left_out:
                return found
            fixed = {name: value for name, value in fixed.items() if name not in left_out}
            rest = [
                {name: value for name, value in params.items() if name not in left_out}
                for params, _ in candidates
            ]
            candidates = list(zip(rest, self._errors([{**fixed, **params} for params in rest]), strict=True))

    def _blame(
        self, fixed: Params, failed: Sequence[tuple[Params, Error]], passed: Sequence[Params]
    ) -> Iterator[tuple[tuple[str, ...], Refusal]]:
        """Yields each fault and the names of the settings that it is of; none for the model itself."""
        groups: dict[str | None, list[tuple[Params, Error]]] = {}
        rest: list[tuple[Params, Error]] = []
        for one in failed:
            groups.setdefault(_kind(one[1]), []).append(one)
        for group in groups.values():
            if group[0][1]["type"] == ScoreError.__name__:  # with any model
                path, _, told = group[0][1]["message"].partition(": ")
                yield (), Refusal(Fault(path, told), {})
                continue
            if group[0][1]["type"] == WeightsError.__name__:  # of this net, and with others of another file
                yield from (self._of_weights(one, group, passed) for one in group)
                continue
            left = group
            while left and self._tried < MAX_TRIED:
                params, error = left[0]
                for names, own in self._causes(fixed, params, error, passed):
                    searched = [name for name in names if name in params]
                    alike = self._alike(params, searched, left, passed)
                    refusal = self._refusal(names, {**fixed, **params}, own, alike)
                    yield names, refusal
                    left = [one for one in left if not refusal.covers(one[0])]
                left = [one for one in left if one[0] is not params]
            rest += left
        if rest:
            told = f"is refused beside {_shown(rest[0][0])}: {rest[0][1]['message'].rstrip('.')}."
            more = f" Refused too: {count(len(rest) - 1, 'more candidate')}." if rest[1:] else ""
            yield (), Refusal(Fault("model", f"{told}{more}"), {}, len(rest))

    def _of_weights(
        self, failed: tuple[Params, Error], group: Sequence[tuple[Params, Error]], passed: Sequence[Params]
    ) -> tuple[tuple[str, ...], Refusal]:
        """Returns the refusal of weights that a candidate's net cannot begin with: that one, or any."""
        params, error = failed
        alike = [one["message"] for other, one in group if other.get("weights") == params.get("weights")]
        is_fine = any(other.get("weights") == params.get("weights") for other in passed)
        is_of_any = "weights" in params and len(alike) > 1 and len({*alike}) == 1 and not is_fine
        names = ("weights",) if is_of_any else ("backbone", "weights")
        values = {name: [params[name]] for name in names if name in params}
        path = self._path("weights", params["weights"]) if "weights" in params else "params.weights"
        told = error["message"].removeprefix("weights ")
        return ("weights",), Refusal(Fault(path, told), values)

    def _alike(
        self,
        params: Params,
        searched: Sequence[str],
        group: Sequence[tuple[Params, Error]],
        passed: Sequence[Params],
    ) -> dict[str, list[Any]]:
        """Returns the values of what is at fault that are refused with the same message."""
        if len(searched) != 1:
            return {name: [params[name]] for name in searched}
        name = searched[0]
        fine = [other[name] for other in passed if name in other]
        values = [params[name], *(other[name] for other, _ in group if name in other)]
        return {name: [*{value_text(value): value for value in values if not _is_in(value, fine)}.values()]}

    def _causes(
        self, fixed: Params, params: Params, error: Error, passed: Sequence[Params]
    ) -> list[tuple[tuple[str, ...], str]]:
        """Returns the settings that a candidate is refused for, and in which words."""
        whole, message = {**fixed, **params}, error["message"]
        self._tried += 1
        if error["type"] == "WorkerDied":  # others would die of it too
            return [(tuple(params) if passed else (), message)]
        if error["type"] == NoModelError.__name__ and not passed:  # so that it is not called again
            return [((), message)]
        if passed:
            return self._beside_others(fixed, params, message, passed)
        base = {name: value for name, value in whole.items() if self._is_needed(name)}
        names = [name for name in whole if name not in base]
        without = [{key: value for key, value in whole.items() if key != name} for name in names]
        alone = [{**base, **_with_head(whole, name)} for name in names]
        of_base, *errors = self._errors([base, *without, *alone])
        freed = [name for name, found in zip(names, errors, strict=False) if found is None]
        if len(freed) == 1:
            return [((freed[0],), message)]
        if of_base is None:
            own = [
                (name, one) for name, one in zip(names, errors[len(names) :], strict=True) if one is not None
            ]
            return [((name,), one["message"]) for name, one in own] or [(tuple(freed or names), message)]
        kinds = dict(zip(names, map(_kind, errors), strict=False))
        suspects = [name for name in whole if kinds.get(name) != _kind(error)]
        named = [name for name in suspects if _is_named(whole[name], message)]
        return [(tuple(named) if len(named) == 1 else (), message)]

    def _beside_others(
        self, fixed: Params, params: Params, message: str, passed: Sequence[Params]
    ) -> list[tuple[tuple[str, ...], str]]:
        """Returns the searched values that a candidate is refused for, where others are not refused."""
        like = sorted(passed, key=lambda other: (other.keys() != params.keys(), -_n_alike(other, params)))
        bases = list({digest(dict(one)): one for one in (like[0], like[-1], *like[1:3])}.values())
        known = {name: [other[name] for other in passed if name in other] for name in params}
        suspects = [name for name in params if not _is_in(params[name], known[name])]
        alone = [{**fixed, **base, **_with_head(params, name)} for name in suspects for base in bases]
        errors = self._errors(alone)
        own: list[tuple[tuple[str, ...], str]] = []
        for place, name in enumerate(suspects):
            of_name = [
                one["message"] for one in errors[place * len(bases) :][: len(bases)] if one is not None
            ]
            if len(of_name) == len(bases):  # beside whatever else
                own.append(((name,), of_name[0]))
        if own:
            return own
        others = [
            (name, value)
            for name, values in known.items()
            for value in {value_text(value): value for value in values}.values()
            if not _is_in(value, [params[name]])
        ]
        errors = self._errors([{**fixed, **params, name: value} for name, value in others])
        freed = {name: None for (name, _), error in zip(others, errors, strict=True) if error is None}
        return [(tuple(freed or params), message)]

    def _errors(self, wholes: Sequence[Params]) -> list[Error | None]:
        """Returns why each of some candidates, given with all that is fixed, is refused; None where not."""
        records = self._ask(self._recipe, list({digest(dict(whole)): whole for whole in wholes}.values()))
        known = {digest(dict(one.params)): one.error for one in records}
        return [known.get(digest(dict(whole)), _NOT_BUILT) for whole in wholes]

    def _is_needed(self, name: str) -> bool:
        """Tells whether a model cannot be built without a setting."""
        signature = self._prepared.signature
        is_hp = signature.style == "hp" and goes_to_model(name, signature)
        return is_hp or name in signature.required

    def _refusal(
        self, names: Sequence[str], whole: Params, message: str, values: dict[str, list[Any]]
    ) -> Refusal:
        if not names:
            return Refusal(Fault("model", message), {})
        searched = [name for name in names if name in values]
        first = (searched or [*names])[0]
        path = self._path(first, whole[first]) if searched else self._paths[first]
        others = [name for name in names if name != first and not message.startswith(f"{name} is ")]
        beside = [named({name: whole[name]}) for name in others]
        told = message.removeprefix(f"{path if message.startswith(path) else first} ")
        if beside and told.startswith("is "):
            told = f"{told.rstrip('.')}: beside {joined(beside)}."
        elif not told.startswith("is "):
            where = f"beside {joined(beside)}" if beside else "with it"
            told = f"is {shown(whole[first])}, and {where} {message}"
        more = [shown(value) for value in values.get(first, [])[1:]]
        likewise = f"{'' if told.endswith('.') else '.'} Likewise {joined(more)}." if more else ""
        return Refusal(Fault(path, f"{told}{likewise}"), values)

    def _path(self, name: str, value: Any) -> str:
        """Returns the key path of a searched value."""
        space = self._prepared.space
        if not isinstance(self._prepared.config.space, list):
            return f"space.{name}"
        holders = [place for place, grid in zip(space.places, space.grids, strict=True) if name in grid]
        own = [
            place
            for place, grid in zip(space.places, space.grids, strict=True)
            if name in grid and _is_in(value, Space([grid]).values(name))
        ]
        return f"space[{(own or holders)[0]}].{name}"


def _kind(error: Error | None) -> str | None:
    """Returns what errors have in common that differ in numbers alone, such as the value that is refused."""
    return None if error is None else re.sub(r"\d+(\.\d+)?", "#", error["message"])


def _callbacks(section: Any) -> dict[str, Any]:
    """Returns the arguments of callbacks, by `NAME.ARGUMENT`; `NAME` alone of one that is given none."""
    found: dict[str, Any] = {}
    given = {name: getattr(section, name) for name in section.model_fields_set}
    for name, own in given.items():
        arguments = own if isinstance(own, Mapping) else own.model_dump(exclude_unset=True) if own else {}
        if own is not None and not arguments:
            found[name] = {}
        found |= {f"{name}.{argument}": value for argument, value in arguments.items()}
    return found


def _shown(params: Params) -> str:
    return named(params) or "all that is fixed"


def _with_head(whole: Params, name: str) -> dict[str, Any]:
    """Returns a setting with what it is an argument of, such as the optimizer."""
    head = name.partition(".")[0]
    return {key: whole[key] for key in (head, name) if key in whole}


def _n_alike(one: Params, other: Params) -> int:
    return sum(name in other and _is_in(value, [other[name]]) for name, value in one.items())


def _is_in(value: Any, values: Iterable[Any]) -> bool:
    return value_text(value) in map(value_text, values)


def _is_named(value: Any, message: str) -> bool:
    """Tells whether a message holds a value as a word of its own."""
    is_short = isinstance(value, bool) or value is None or value == ""
    return not is_short and re.search(rf"(?<![\w.]){re.escape(str(value))}(?![\w.])", message) is not None
