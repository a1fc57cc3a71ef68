"""A search, or trials of one that is over, that have passed their checks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kerasgrid.checks.candidates import (
    augmentations,
    check_candidates,
    val_of,
    warnings_of_precision,
    warnings_of_repeats,
    weights_of,
)
from kerasgrid.checks.data import data_of, warnings_of_data
from kerasgrid.checks.draft import Draft, read_draft
from kerasgrid.checks.folds import folds_of, warnings_of_folds
from kerasgrid.checks.space import space_of, warnings_of_rungs, warnings_of_space
from kerasgrid.config.callbacks import is_own, split_name
from kerasgrid.config.sections import Config, Folds
from kerasgrid.config.validation import FaultReport
from kerasgrid.data.arrays import check_memory
from kerasgrid.data.cache import array_digest
from kerasgrid.data.encoding import width
from kerasgrid.data.folds import NEEDS, folds_fingerprint, is_default, settled
from kerasgrid.data.in_memory import NOTHING, Given, Read
from kerasgrid.data.labels import like_labels
from kerasgrid.engines import ENGINES, Task
from kerasgrid.engines.autokeras import ENGINE as AUTOKERAS
from kerasgrid.engines.autokeras import fault_of_data, n_trained, with_samples
from kerasgrid.engines.halving import rungs
from kerasgrid.errors import ConfigError, Fault, RefusedError
from kerasgrid.io import file_digest
from kerasgrid.jobs.objective import (
    HALF,
    Objective,
    Spelling,
    default_objective,
    find_objective,
    objective_fault,
    scores_numbers,
)
from kerasgrid.jobs.route import epochs_of
from kerasgrid.keras_names import CLASS_METRICS, CUT_METRICS
from kerasgrid.machine import backend
from kerasgrid.models.references import (
    ModelReference,
    is_found_by_name,
    model_digest,
    parse_reference,
    source_digest,
)
from kerasgrid.models.signature import Signature, read_signature, signature_of
from kerasgrid.records import Dataset, Doing, Fold, not_told
from kerasgrid.space.reading import read_space
from kerasgrid.space.space import Space
from kerasgrid.training.entry import quiet
from kerasgrid.wording import joined

SOURCE = "the model function's source"
SOURCES = "the source of callbacks and preprocessing_function"
SCORE_SOURCES = "the source of objective and scores"
Model = ModelReference | Callable[..., Any]
AskSignature = Callable[[ModelReference], tuple[Signature, dict[str, Any]]]


@dataclass(frozen=True)
class Trainable:
    """What is to be trained and passed its checks: candidates of a search, or trials of one that is over.

    Attributes:
        config: With the defaults filled in.
        model: Where the model function is, or the function.
        base: The folder that paths and references of the config are relative to.
        report: Places faults that show when models are built.
    """

    config: Config
    data: Dataset
    space: Space
    model: Model
    signature: Signature
    base: Path
    report: FaultReport

    @property
    def function(self) -> Callable[..., Any] | None:
        """The model function, where it was given in Python."""
        return None if isinstance(self.model, ModelReference) else self.model

    @cached_property
    def source(self) -> str:
        """The hash of the model function's source."""
        return model_digest(self.model, self.base)

    @cached_property
    def sources(self) -> dict[str, str]:
        """The hash of each source file that a candidate may take, beside the model's."""
        names = set(filter(is_own, self.config.given_callbacks))
        for params in (self.config.params, *self.space.grids):
            split = [split_name(name)[0] for name in params if name.startswith("callbacks.")]
            names |= set(filter(is_own, split))
        for _, given in augmentations(self.config, self.space):
            if given is not None and given.preprocessing_function is not None:
                names.add(given.preprocessing_function)
        return {name: source_digest(parse_reference(name, self.base)) for name in sorted(names)}

    @cached_property
    def weights(self) -> dict[str, str]:
        """The hash of each file that a built-in backbone may begin with, by what messages call it."""
        files = {text: self.base / os.path.expanduser(text) for text in weights_of(self.config, self.space)}
        return {f"weights {text}": file_digest(file) for text, file in files.items() if file.is_file()}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes a fit the same fit, by the key that a message names."""
        config, search = self.config, self.config.search
        return {
            "data": self.data.fingerprint,
            "data.scale": config.data.scale,
            "data.standardize": config.data.standardize,
            **({"data.normalize": config.data.normalize.model_dump()} if config.data.normalize else {}),
            **({"data.multi_label": True} if config.data.multi_label else {}),
            **({"data.target_scale": config.data.target_scale} if config.data.target_scale else {}),
            "backend": backend(),
            "model": config.model,
            SOURCE: self.source,
            "params": config.params,
            "training": config.training.model_dump(exclude={"pack"}),
            "augment": config.given_augment,
            **({"stages": config.given_stages} if config.stages else {}),
            "callbacks": config.given_callbacks,
            SOURCES: {**self.sources, **self.weights},
            "search.folds": self._folds_identity(),
            "search.val": search.val,
            "search.repeats": search.repeats,
            "search.seed": search.seed,
            "search.objective": search.objective,
        }

    @cached_property
    def how(self) -> Folds:
        """How samples are split, as the data settle it."""
        return settled(self.config.search.how, self.data)

    def _folds_identity(self) -> dict[str, Any]:
        """Returns what makes folds the same; their kind too, where it is none of the first versions'."""
        holdout, how = self.config.search.holdout, self.how
        made: dict[str, Any] = {"folds": how.n} if holdout is None else {"holdout": holdout}
        if holdout is None and self.data.n_held_out:
            made = {"validation": self.data.n_held_out}
        if is_default(how, self.data):
            return made
        name = NEEDS.get(str(how.kind), "")
        array = getattr(self.data, name, None)
        by = {} if array is None else {name: array_digest(array)[:12]}
        return {**made, "kind": how.kind, "gap": how.gap, **by}

    @property
    def _references(self) -> list[str]:
        """What names a function of the user's own, beside the model."""
        return [*self.sources]

    @property
    def code_of_packages(self) -> list[str]:
        """Which packages' code it runs, kerasgrid's own apart, in a line each."""
        references = [self.model] if isinstance(self.model, ModelReference) else []
        references += [parse_reference(name, self.base) for name in self._references]
        return [f"runs code of {one.package}: {one}" for one in references if one.package is not None]

    def refused(self, faults: Sequence[Fault]) -> ConfigError:
        """Returns the error of a search none of whose models can be built, which tells whose code has run."""
        told = [Fault("", f"{line}.") for line in self.code_of_packages]
        return self.report.error([*faults, *told], RefusedError)


@dataclass(frozen=True)
class Prepared(Trainable):
    """A search that has passed its checks.

    Attributes:
        folds: As a new run would make them.
        objective: What candidates are scored by.
        warnings: What is allowed, and probably not meant.
        looks_at_val: Whether the engine, or a callback of some candidate, may decide by `val_*`.
        cv: The name of the splitter that has made the folds in Python; None where the config says how.
        scores: What is recorded beside the objective.
        scorers: Functions of these that were given in Python, by their names.
        read: What an estimator has read, whose fits they are; None for a search's own.
    """

    folds: tuple[Fold, ...]
    objective: Objective
    warnings: tuple[str, ...] = ()
    looks_at_val: bool = False
    cv: str | None = None
    scores: tuple[Objective, ...] = ()
    scorers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    read: Read | None = None

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """All functions that were given in Python."""
        return (*(() if self.function is None else (self.function,)), *self.scorers.values())

    @property
    def task(self) -> Task:
        """What an engine is asked to search."""

        def epochs(params: Mapping[str, Any]) -> int:
            return epochs_of({**self.config.params, **params}, self.signature, self.config.given_stages)

        return Task(
            self.space,
            self.config.search,
            epochs,
            len(self.folds),
            self.config.params,
            self.data.images.shape[1:],
            self.data.target,
        )

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes a run the same run, by the key that a message names."""
        own = {} if self.cv is None else {"search.folds": {"cv": folds_fingerprint(self.folds)}}
        scored = {
            "search.scores": self.config.search.scores,
            "search.thresholds": None if (given := self.config.search.thresholds) == HALF else given,
            "search.weighted_scores": self.config.search.weighted_scores,
            SCORE_SOURCES: self.score_sources,
        }
        return {
            **super().identity,
            **own,
            "search.val": val_of(self.config),
            "rungs": self._rungs(),
            **{key: value for key, value in scored.items() if value},  # a run without them has none
        }

    @cached_property
    def score_sources(self) -> dict[str, str]:
        """The hash of the source of each function of the user's own that scores."""
        names = sorted({score.name for score in (self.objective, *self.scores) if score.kind == "own"})
        return {
            name: model_digest(self.scorers.get(name) or parse_reference(name, self.base), self.base)
            for name in names
        }

    @property
    def _references(self) -> list[str]:
        return [*self.sources, *(name for name in self.score_sources if name not in self.scorers)]

    def _rungs(self) -> dict[str, Any] | None:
        """Returns what says at which epochs candidates wait; None for an engine that lets none wait."""
        search, kind = self.config.search, ENGINES[self.config.search.engine]
        if not kind.decides_by_val:
            return None
        if "factor" not in kind.settings:  # the engine says itself how long each waits
            return {"engine": search.engine, "rungs": [self.task.longest]}
        least = search.min_epochs if "min_epochs" in kind.settings else None
        found = rungs(self.task.longest, search.factor, least)
        return {"engine": search.engine, "factor": search.factor, "rungs": found}


def prepare(
    source: Draft | str | Path | Mapping[str, Any],
    given: Given = NOTHING,
    *,
    overrides: Sequence[str] = (),
    ask: AskSignature | None = None,
    doing: Doing = not_told,
) -> Prepared:
    """Checks a search, loads its data and makes its folds.

    Args:
        source: A grid.yaml, the same as a dict, or what `read_draft` made of either.
        given: What is given in Python beside it.
        overrides: `key.path=value` texts; none for a draft, which has them.
        ask: Asks a worker for the signature of a function whose source does not show it, and the
            space that a `build(hp)` declares; without it such functions are refused.
        doing: Is told how far the decoding of image files is.

    Raises:
        ConfigError: All faults together.
    """
    draft = source if isinstance(source, Draft) else read_draft(source, overrides)
    report, are_all = draft.report, draft.report.is_settled("params", "space")
    asked = None if given.X is None and given.read is None else _model(draft, ask)
    numbers, notes = _told_as_numbers(draft, asked and asked[1], given.y)
    data = data_of(draft, given, numbers=numbers, doing=doing)
    draft = _with_objective(draft, data)
    folds = folds_of(draft, data, given)
    if draft.config.search.engine == AUTOKERAS:
        if data is not None and (fault := fault_of_data(data)) is not None:
            report.add("search.engine", fault)
        if folds:
            draft = replace(draft, config=with_samples(draft.config, n_trained(draft.config, folds)))
    model, signature, declared = asked or _model(draft, ask)
    space = space_of(draft, declared if given.read is None else {})
    objective, scores = _objective(draft, data), _scores(draft, data)
    _check_own_scores(draft, objective, scores)
    _check_thresholds(draft, data, objective, scores)
    _check_weights(draft, data, folds)
    _check_vectors(draft, data, signature)
    split = [] if given.read is not None and given.read.samples.n_held_out else folds
    looks_at_val, warnings = check_candidates(draft, space, signature, data, split, are_all=are_all)
    warnings = (
        draft.notes + notes + warnings_of_data(draft, data, given) + warnings_of_folds(data, folds) + warnings
    )
    warnings += warnings_of_repeats(draft, space) + warnings_of_precision(draft.config, space)
    warnings += warnings_of_space(draft.config, space)
    report.finish()
    assert data is not None  # else there were a fault of it, as of the others
    assert model is not None
    assert signature is not None
    assert objective is not None
    parts = draft.config, data, space, model, signature, draft.base, report, tuple(folds), objective
    own = given.cv if given.read is None else given.read.folds
    cv = None if own is None else type(own).__name__
    prepared = Prepared(*parts, warnings, looks_at_val, cv, scores, draft.scorers, given.read)
    return replace(prepared, warnings=warnings + warnings_of_rungs(prepared.task))


def prepare_trials(
    draft: Draft,
    trials: Sequence[Mapping[str, Any]],
    kept: Dataset | None = None,
    *,
    ask: AskSignature | None = None,
    doing: Doing = not_told,
) -> Trainable:
    """Checks trials of a search that is over, and loads its data.

    Args:
        draft: The search's config.
        trials: The params of each, in the place of the search's space.
        kept: The arrays that the search was given, as it has kept them; None to read the config's files.
        ask: As in `prepare`; and so is `doing`.

    Raises:
        ConfigError: All faults together.
    """
    grids = [{name: [value] for name, value in params.items()} for params in trials]
    draft = replace(draft, config=draft.config.model_copy(update={"space": grids}))
    report, are_all = draft.report, draft.report.is_settled("params")
    data = kept or data_of(draft, doing=doing)
    draft = _with_objective(draft, data)
    model, signature, _ = _model(draft, ask)
    space, faults = read_space(grids, fixed=draft.config.params)
    report.faults.extend(faults)
    _objective(draft, data)
    check_candidates(draft, space, signature, data, are_all=are_all)
    report.finish()
    assert data is not None  # as in `prepare`
    assert model is not None
    assert signature is not None
    return Trainable(draft.config, data, space, model, signature, draft.base, report)


def _model(draft: Draft, ask: AskSignature | None) -> tuple[Model | None, Signature | None, dict[str, Any]]:
    """Returns the model function or where it is, its signature, and the space that it declares."""
    report = draft.report
    if not report.is_settled("model"):
        return None, None, {}
    with report.catch("model"):
        if draft.function is not None:
            return (draft.function, *_declared(draft.function))
        reference = parse_reference(draft.config.model, draft.base)
        signature = read_signature(reference)
        if signature is not None and signature.style != "hp":
            return reference, signature, {}
        if ask is not None:
            return (reference, *ask(reference))
        report.add("model", "has to be asked for its parameters in a worker, which is not possible here.")
    return None, None, {}


def _told_as_numbers(
    draft: Draft, signature: Signature | None, y: Any
) -> tuple[bool | None, tuple[str, ...]]:
    """Returns that whole numbers in y are no classes, where score and model function show it, and notes."""
    given = draft.config.search.objective
    if signature is None or given is None or not signature.shows_numbers(are_like_labels=False):
        return None, ()
    try:
        if not scores_numbers(find_objective(given)):
            return None, ()
    except ConfigError:  # which is told where the objective is checked
        return None, ()
    note = like_labels(y)
    return (True, ()) if signature.shows_numbers(are_like_labels=note is not None) else (None, (note or "",))


def _declared(function: Callable[..., Any]) -> tuple[Signature, dict[str, Any]]:
    """Returns the signature of a function in hand and the space that it declares."""
    signature = signature_of(function)
    if signature.style != "hp":
        return signature, {}
    from kerasgrid.models.hyperparameters import declared  # builds a model, to ask for its hyperparameters

    with quiet():
        return declared(function)


def _with_objective(draft: Draft, data: Dataset | None) -> Draft:
    """Returns a draft with the objective that it has by default."""
    search = draft.config.search
    if search.objective is not None:
        return draft
    objective = search.objective_name if data is None else default_objective(data.target)
    search = search.model_copy(update={"objective": objective})
    return replace(draft, config=draft.config.model_copy(update={"search": search}))


def _objective(draft: Draft, data: Dataset | None) -> Objective | None:
    given = draft.config.search.objective
    assert given is not None  # as `_with_objective` returns it
    objective = _checked(draft, data, given, "search.objective")
    is_of_two = data is not None and len(data.classes) == 2 and draft.config.search.engine == AUTOKERAS
    if is_of_two and objective is not None and objective.metric in CLASS_METRICS:
        what = (
            f"is {objective.name!r}, which is of one output for each class, and AutoKeras's models "
            "of two classes have a single one: take accuracy, or roc_auc."
        )
        draft.report.add("search.objective", what)
    return objective


def _checked(draft: Draft, data: Dataset | None, given: Spelling, place: str) -> Objective | None:
    """Returns the objective or score of a name; a fault tells why it cannot score the data."""
    with draft.report.catch(place):
        objective = find_objective(given, place)
        if data is not None:
            weighted = draft.config.search.weighted_scores
            fault = objective_fault(objective, data.labels, data.target, is_weighted=weighted)
            if fault is not None:
                draft.report.add(place, fault)
        return objective
    return None


def _scores(draft: Draft, data: Dataset | None) -> tuple[Objective, ...]:
    """Returns what is recorded beside the objective; a name that is there already is a fault."""
    search, found = draft.config.search, list[Objective]()
    known = {search.objective_name: "search.objective"}
    for index, given in enumerate(search.scores):
        place = f"search.scores[{index}]"
        score = _checked(draft, data, given, place)
        if score is None:
            continue
        if (other := known.setdefault(score.name, place)) != place:
            what = f"is {score.name!r}, as {other} is; each name is recorded once: leave it out."
            draft.report.add(place, what)
        found.append(score)
    return tuple(found)


def _check_own_scores(draft: Draft, objective: Objective | None, scores: Sequence[Objective]) -> None:
    """Holds that functions are there which the objective and scores name; they are run in workers alone."""
    places = {"search.objective": objective}
    places |= {f"search.scores[{index}]": score for index, score in enumerate(scores)}
    for place, score in places.items():
        if score is None or score.kind != "own" or score.name in draft.scorers:
            continue
        if not is_found_by_name(score.name):
            what = f"is {score.name!r}, a function that was given in Python and that no import finds"
            draft.report.add(place, f"{what}: give it again, or name its file, path/to/file.py:function.")
            continue
        with draft.report.catch(place):
            parse_reference(score.name, draft.base)


def _check_thresholds(
    draft: Draft, data: Dataset | None, objective: Objective | None, scores: Sequence[Objective]
) -> None:
    """Holds that thresholds are of several labels, and change scores."""
    search, place = draft.config.search, "search.thresholds"
    if data is None or search.thresholds == HALF:
        return
    if not data.target.is_multi_label:
        here = "here numbers are predicted" if data.target.is_numbers else "each sample has one class here"
        what = f"is {search.thresholds}, which is of several labels a sample, and {here}: leave it out."
        draft.report.add(place, what)
        return
    places = {"search.objective": objective}
    places |= {f"search.scores[{index}]": score for index, score in enumerate(scores)}
    for where, score in places.items():
        if score is not None and score.metric in CUT_METRICS:
            what = f"is {score.name!r}, a metric of Keras's that cuts at 0.5 whatever search.thresholds says"
            draft.report.add(where, f"{what}: take one of scikit-learn's, such as f1_macro.")


def _check_weights(draft: Draft, data: Dataset | None, folds: Sequence[Fold]) -> None:
    """Holds that there are weights where scores are weighed, and some in each fold."""
    if data is None or not draft.config.search.weighted_scores:
        return
    place = "search.weighted_scores"
    if data.weights is None:
        what = "is true, and nothing says what samples weigh: name their column by data.weight, or"
        draft.report.add(place, f"{what} give sample_weight in Python; else leave it out.")
        return
    if empty := [str(fold.index) for fold in folds if not data.weights[fold.test].any()]:
        which = f"fold {empty[0]}" if len(empty) == 1 else f"folds {joined(empty)}"
        what = f"is true, and all held-out samples of {which} weigh nothing"
        draft.report.add(place, f"{what}: take fewer folds, or leave it out.")


def _check_vectors(draft: Draft, data: Dataset | None, signature: Signature | None) -> None:
    """Holds that a table's rows fit into memory as vectors, whose categories may be a column each."""
    if data is None or data.table is None or signature is None:
        return
    n_numbers = width(data.table, signature.takes_codes)
    what = f"{data.source}, of which each row becomes {n_numbers:,} numbers"
    if not signature.takes_codes:
        what += " (categories take one each, and are codes where the model function names n_categories)"
    with draft.report.catch("data.features"):
        check_memory(4 * n_numbers * len(data), what)
