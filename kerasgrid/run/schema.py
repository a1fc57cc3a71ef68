"""The schema of results.json: read and checked here, once, for all that is done with it.

What is not there, as in a file of an earlier version or of a running search, is filled in where it may be.
`ResultsData.need` tells what a command cannot do without.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from kerasgrid.config.validation import Count, Curve, Number, Section, faults_of, few, in_words, kind, shown
from kerasgrid.errors import MOST_FAULTS, ResultsError
from kerasgrid.io import canonical_json, kind_of, read_input, strict
from kerasgrid.locks import is_held
from kerasgrid.run.journal import BEFORE, FORMAT
from kerasgrid.run.paths import RunPaths

SCHEMA = "kerasgrid.results/1"
FORMS = (
    f"Known are: a results file of kerasgrid ({SCHEMA}), a list of objects (one a trial), "
    "scikit-learn's cv_results_ as JSON, a CSV with a header line, a project folder of KerasTuner, and a "
    "storage of Optuna's."
)
OURS = f"What kerasgrid search writes is needed here: results/NAME.json ({SCHEMA})."
_MOST_BYTES = 1 << 31
"""Of a file of results."""
_DEEPEST = 100
"""Levels of objects and lists within each other: what people search has a few."""
SCORES = ("rank_test_score", "mean_test_score", "std_test_score", "mean_fit_time", "n_parameters")
_MOST_FOLDS = 1000
_BESIDE = r"histories/[\w.-]+\.json"
"""Where a long history lies within the run's folder."""

log = logging.getLogger(__name__)
AnySection = TypeVar("AnySection", bound=Section)
Few = BeforeValidator(few)
Index = Annotated[int, Field(ge=0, lt=_MOST_FOLDS)]
_OF_TRIAL = (*SCORES, "error")
_OF_FIT = ("test_score", "fit_time", "epochs", "best_epoch")


def _plain(value: Any) -> Any:
    """Holds that a value is what JSON has, of which a digest can be made."""
    try:
        canonical_json(value)
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("holds what JSON has not") from error
    return value


def _label(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"is {kind(value)}; text or a whole number is expected there")
    return value


def _reason(value: Any) -> Any:
    texts = [value.get("type"), value.get("message")] if isinstance(value, dict) else [value]
    if not all(text is None or isinstance(text, str) for text in texts):
        raise ValueError(f"is {kind(value)}; text, or an object of texts type and message is expected there")
    return _plain(value)


_OrNull = BeforeValidator(lambda value: {} if value is None else value)
"""Of an object whose values may all be missing."""
Reason = Annotated[Any, AfterValidator(_reason)]
TextOrWhole = Annotated[Any, AfterValidator(_label)]
Object = Annotated[dict[str, Any], AfterValidator(_plain)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    """An object of the file: types are not converted, and what a later version adds is no fault."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)


class _Fit(_Part):
    test_score: Number = None
    val_score: Number = None
    fit_time: Number = None
    epochs: Count | None = None
    best_epoch: Annotated[int, Field(ge=1, lt=1 << 53)] | None = None
    stages: Annotated[list[Count] | None, Few] = None
    restored_stages: Annotated[list[Count] | None, Few] = None
    first_values: Share | None = None
    debiased_score: Number = None
    thresholds: Curve | None = None
    metrics: Annotated[dict[str, Number] | None, Few] = None
    history: Annotated[dict[str, Curve] | None, Few] = None
    history_file: Annotated[str, Field(pattern=f"^{_BESIDE}$")] | None = None
    dead: str | None = None
    error: Reason = None


class _Repeat(_Fit):
    repeat: Index | None = None


class _Fold(_Fit):
    fold: Index | None = None
    repeats: Annotated[list[_Repeat] | None, Few] = None


class _Trial(_Part):
    id: TextOrWhole | None = None
    params: Object
    state: Literal["complete", "failed", "pruned", "running", "waiting"] = "complete"
    mean_test_score: Number = None
    std_test_score: Number = None
    rank_test_score: Count | None = None
    mean_debiased_score: Number = None
    stages: Annotated[list[Count] | None, Few] = None
    first_values: Share | None = None
    mean_fit_time: Number = None
    end_time_s: Number = None
    n_parameters: Count | None = None
    error: Reason = None
    dead: str | None = None
    folds: Annotated[list[_Fold] | None, Few] = None


class _Objective(_Part):
    name: str | None = None
    arguments: Object | None = None
    direction: Literal["max", "min"] = "max"
    decided_on: str | None = None


class _Data(_Part):
    samples: Count | None = None
    classes: Count | None = None
    class_names: Annotated[list[TextOrWhole], Field(fail_fast=True)] | None = None
    one_hot: bool = False
    targets: Annotated[list[str], Field(fail_fast=True)] | None = None
    report: Annotated[list[str], Field(fail_fast=True)] = []
    fingerprint: str | None = None


class _Folds(_Part):
    n: Annotated[int, Field(ge=1, le=_MOST_FOLDS)] | None = None
    kind: str | None = None
    fingerprint: str | None = None


class _Best(_Part):
    trial: TextOrWhole
    params: Object
    mean_test_score: Number = None


class _Summary(_Part):
    trials: Count | None = None
    failed: Count | None = None
    pruned: Count | None = None
    dead: Count | None = None
    fits: Count | None = None
    epochs_trained: Count | None = None
    wall_time_s: Number = None


class About(_Part):
    """What a results.json tells beside its trials and its best; None for what it does not tell."""

    journal: str = BEFORE
    name: str | None = None
    status: Literal["running", "complete", "interrupted", "budget", "failed"] = "complete"
    objective: _Objective = _Objective()
    config: Object | None = None
    base: str | None = None
    data: Annotated[_Data, _OrNull] = _Data()
    folds: Annotated[_Folds, _OrNull] = _Folds()
    environment: Annotated[dict[str, str], Few] = {}
    summary: Annotated[_Summary, _OrNull] = _Summary()


class _Results(About):
    trials: list[Any]
    best: _Best | None = None


def read_text(path: Path, most_bytes: int = _MOST_BYTES, forms: str = FORMS) -> str:
    """Returns the text of a file in UTF-8, with or without a byte order mark.

    Args:
        most_bytes: What it may hold.
        forms: Says what is needed here, where it is something else.

    Raises:
        ResultsError: There is no such file, it is no regular file or empty, or it holds no text.
    """
    if os.path.isdir(path):
        raise ResultsError(f"{path} is a folder; a file is needed here.")
    try:
        data = read_input(path, most_bytes)
    except FileNotFoundError as error:
        there = sorted(file.name for file in path.parent.glob("*.json")) if os.path.isdir(path.parent) else []
        hint = f" That folder has: {', '.join(there[:20])}." if there else ""
        raise ResultsError(f"{path}: there is no such file.{hint}") from error
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror or error}).") from error
    if not data.strip():
        raise ResultsError(f"{path}: the file is empty. {forms}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ResultsError(f"{path}: no text in UTF-8 (byte {error.start}). {forms}") from error
    if "\0" in text:
        raise ResultsError(f"{path}: no text, since it has zero bytes. {forms}")
    return text


def parse_json(text: str, path: Path, forms: str = FORMS) -> Any:
    """Returns the value of a JSON text; the literals NaN and Infinity are read too.

    Raises:
        ResultsError: The text is cut off, is no JSON, or is nested beyond all use.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        if error.pos >= len(text.rstrip()) - 1 or error.msg.startswith("Unterminated"):
            raise ResultsError(
                f"{where}: the JSON ends too early ({error.msg}): the file is cut off."
            ) from error
        raise ResultsError(f"{where}: no JSON ({error.msg}). {forms}") from error
    except RecursionError as error:
        raise ResultsError(f"{path}: nested too deeply to be a file of results. {forms}") from error
    except ValueError as error:  # a whole number of thousands of digits
        raise ResultsError(f"{path}: no JSON that can be read ({error}).") from error
    check_depth(value, path, forms)
    return value


def check_depth(value: Any, where: Path | str, forms: str = FORMS) -> None:
    """Raises a ResultsError where objects and lists are nested beyond all use."""
    level = [value]
    for _ in range(_DEEPEST):
        parts = (part.values() if isinstance(part, dict) else part for part in level)
        level = [item for part in parts for item in part if isinstance(item, dict | list)]
        if not level:
            return
    raise ResultsError(f"{where}: nested too deeply to be a file of results: {_DEEPEST} levels hold. {forms}")


def read_results(path: str | Path) -> dict[str, Any]:
    """Returns the content of a results.json, as `checked` does.

    Raises:
        ResultsError: It cannot be read, is of another form or schema, or has faults.
    """
    path = Path(path)
    if kind := kind_of(path, takes=("results",)):
        raise ResultsError(f"{path} {kind.told('results')}")
    return as_it_stands(checked(parse_json(read_text(path, forms=OURS), path, OURS), path, OURS), path)


def as_it_stands(results: dict[str, Any], path: Path) -> dict[str, Any]:
    """Returns the content of a results.json, which says `running` though its search has been cut off.

    The lock of its run tells, which ends with the process. Where the run's folder is not beside the file,
    it stays as it says.
    """
    paths = RunPaths.of(path)
    if results.get("status") != "running" or not paths.folder.is_dir():
        return results
    if is_held(paths.lock, paths.heartbeat):
        return results
    _tell_cut_off(path, path.stat().st_mtime_ns, results.get("journal") == FORMAT)
    return {**results, "status": "interrupted"}


@cache
def _tell_cut_off(path: Path, changed_at_ns: int, is_of_today: bool) -> None:
    """Tells it once of each state of a file, which commands read several times."""
    whose = "the same command" if is_of_today else "the version that wrote it"
    log.warning("%s: its search was cut off, and nothing is running it; %s goes on.", path, whose)


def checked(results: Any, where: Path | str, forms: str = FORMS) -> dict[str, Any]:
    """Returns the content of a results.json whose form holds; numbers that are not finite are None.

    Args:
        results: A JSON value.
        where: What messages call it.
        forms: Says what is needed here, where it is something else.

    Raises:
        ResultsError: It is no results.json of this version, or has faults, all of which are told.
    """
    if not isinstance(results, Mapping):
        raise ResultsError(f"{where}: is {kind(results)}, and no results file of kerasgrid. {forms}")
    check_schema(results, where, forms)
    value = dict(results)
    if any(_form_faults(value)):
        check_depth(value, where, forms)
        value = strict(value)
        refuse(where, _form_faults(value))
    value["trials"] = [_filled(trial, place) for place, trial in enumerate(value["trials"])]
    refuse(where, _contradictions(value))
    return value


def _form_faults(results: Mapping[str, Any]) -> Iterator[str]:
    """Yields in words what is not as it should be by itself."""
    try:
        trials = _Results.model_validate(results).trials
    except ValidationError as error:
        yield from map(in_words, error.errors(include_url=False))
        trials = results["trials"] if isinstance(results.get("trials"), list) else []
    for place, trial in enumerate(trials):
        try:
            _Trial.model_validate(trial)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                yield in_words({**fault, "loc": ("trials", place, *fault["loc"])})


def check_schema(results: Mapping[str, Any], where: Path | str = "results.json", forms: str = FORMS) -> None:
    """Refuses what is no results.json of this version, with a ResultsError."""
    schema = results.get("schema")
    if schema == SCHEMA:
        return
    if isinstance(schema, str) and schema.startswith("kerasgrid.results/"):
        raise ResultsError(
            f"{where}: schema {shown(schema)} was written by another version of kerasgrid; this one reads "
            f"{SCHEMA!r}. Install the version that wrote it."
        )
    told = schema if schema is None else shown(schema)
    raise ResultsError(f"{where}: schema is {told}, which is no results file of kerasgrid. {forms}")


def section_of(form: type[AnySection], value: Any, where: Path | str, path: str) -> AnySection:
    """Returns the config of a results.json, or a section of it, with what stands at its default.

    Args:
        form: Of the section.
        value: What the file has of it.
        where: What messages call the file.
        path: Of the section, such as `config`.

    Raises:
        ResultsError: It is none of this version.
    """
    try:
        return form.model_validate(value)
    except ValidationError as error:
        faults = (f"{fault.path}: {fault.message}" for fault in faults_of(error, form, path))
        refuse(where, faults)
        raise


def refuse(where: Path | str, faults: Iterable[str]) -> None:
    """Raises the first faults as one ResultsError, which tells that there are more; none is no error."""
    told = list(itertools.islice(faults, MOST_FAULTS + 1))
    if told:
        lines = [f"{where}: {fault}" for fault in told[:MOST_FAULTS]]
        more = [f"{where}: and more."] if len(told) > MOST_FAULTS else []
        raise ResultsError("\n".join([*lines, *more, "Restore the file, or search anew."]))


def _filled(trial: Mapping[str, Any], place: int) -> dict[str, Any]:
    """Returns a trial with all that the schema has of one; None, and nothing, for what the file has not."""
    folds = [_filled_fit(fold, "fold", number) for number, fold in enumerate(trial.get("folds") or ())]
    for fold in folds:
        if fold.get("repeats"):
            fold["repeats"] = [_filled_fit(part, "repeat", n) for n, part in enumerate(fold["repeats"])]
    id = place if trial.get("id") is None else trial["id"]
    return {**dict.fromkeys(_OF_TRIAL), "state": "complete", **trial, "id": id, "folds": folds}


def _filled_fit(part: Mapping[str, Any], name: str, place: int) -> dict[str, Any]:
    history = {} if part.get("repeats") else {"history": part.get("history") or {}}
    index = place if part.get(name) is None else part[name]
    return {**dict.fromkeys(_OF_FIT), **part, name: index, "metrics": part.get("metrics") or {}, **history}


def _contradictions(results: Mapping[str, Any]) -> Iterator[str]:
    """Yields in words what cannot hold together."""
    first: dict[int, int] = {}
    n_folds = (results.get("folds") or {}).get("n") or _MOST_FOLDS
    for place, trial in enumerate(results["trials"]):
        before = first.setdefault(trial["id"], place)
        if before != place:
            yield f"trials[{place}].id is {trial['id']}, which is that of trials[{before}] too."
        if not _once([fold["fold"] for fold in trial["folds"]], n_folds):
            yield f"trials[{place}].folds are not each of 0 to {n_folds - 1} once at most."
        for number, fold in enumerate(trial["folds"]):
            repeats = [part["repeat"] for part in fold.get("repeats") or ()]
            if not _once(repeats, len(repeats)):
                yield f"trials[{place}].folds[{number}].repeats are not each of 0 to {len(repeats) - 1} once."
    best, data = results.get("best"), results.get("data") or {}
    is_complete = {trial["id"] for trial in results["trials"] if trial["state"] == "complete"}
    if best is not None and best["trial"] not in is_complete:
        yield f"best.trial is {best['trial']}; the id of a complete trial is expected there."
    names, n_classes = data.get("class_names"), data.get("classes")
    if names is not None and n_classes is not None and len(names) != n_classes:
        yield f"data.class_names has {len(names)} names, and data.classes is {n_classes}."


def _once(places: list[int], most: int) -> bool:
    return len(set(places)) == len(places) and max(places, default=-1) < most
