"""What all jobs of a search have in common; pickled once to each worker. Free of Keras."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kerasgrid.config.sections import Folds
from kerasgrid.jobs.objective import HALF, Spelling
from kerasgrid.jobs.route import DEFAULT_VAL, Route, route
from kerasgrid.jobs.thresholds import Given
from kerasgrid.models.references import ModelReference
from kerasgrid.models.signature import Signature
from kerasgrid.records import Job, Target
from kerasgrid.run.paths import RunPaths


@dataclass(frozen=True)
class Recipe:
    """How a job is trained and scored.

    Attributes:
        model: Where the model function is, or the function itself.
        model_source: The hash of its source when the search began.
        signature: The model function's.
        params: Fixed parameters; a trial's own come on top.
        callbacks: Arguments by callback name.
        base: The folder that references of the config are relative to.
        sources: The hash of each source file that they name, beside the model's, when the search began.
        augment: What the `augment` section names; None without one.
        training: The `training` section.
        stages: The `stages` section; None without one.
        data_folder: Holds images.npy and labels.npy.
        paths: The run's files; folds are read from it.
        source: What messages call the data.
        target: What is predicted.
        scale: Pixels are divided by it; None for no scaling.
        standardize: Whether to subtract the mean and divide by the std of the training folds.
        normalize: The mean that is subtracted of divided pixels and the std that they are divided by, in the
            place of the training folds': a number a channel each, or one for all; None for neither.
        target_scale: What a net predicts in the place of numbers; None for themselves.
        val: The share of the inner split where it is asked for; `test_fold` for the held-out rows; a
            whole number for so many samples, the last ones of the data; None for 0.1 where a callback
            monitors `val_*`.
        objective: accuracy, loss, a scikit-learn scorer, a Keras metric or the reference of a function of the
            user's own; or one with its arguments.
        scores: What is recorded beside it, each likewise.
        thresholds: At which probability a sample has one of several labels, or `chosen`.
        weighted_scores: Whether objective and scores weigh samples as training does.
        scorers: Functions that these name and that were given in Python, by their names.
        seed: 0 is a seed.
        how: How samples are split, as `search.folds`, by which the inner split is made.
        has_defaults: Whether a `build(hp)` takes its own defaults for what params do not name.
        decides_by_val: Whether the engine decides by the objective on the inner split.
        frees_val: Whether the inner split is there for rungs alone. Candidates that the last one leaves are
            then trained anew, as a grid would train them, on its rows too.
        is_anew: Whether this is that training.
        packs: Whether jobs may be trained in compiled programs; else by Keras's own fit.
        keeps_models: Whether the models of fits that have ended are saved.
        keeps_weights: Whether their weights are, to load into what the model function builds.
        keeps_trained: Whether what they say of the rows that they were trained on is.
        measures_epochs: Whether held-out rows are measured after each epoch, for their curve; else only where
            a job is scored.
        draws_alike: Whether what is drawn for a job depends on no fold, as in an estimator's fits.
        registered: Classes and functions that a script or notebook has registered with Keras, by the names
            that it knows them by: workers do not run that.
        checkpoint_interval_s: Seconds between checkpoints of a job.
        downloads: Whether weights that a net begins with are downloaded where they are not at hand.
    """

    model: ModelReference | Callable[..., Any]
    signature: Signature
    base: str
    target: Target
    objective: Spelling
    seed: int
    model_source: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    augment: Mapping[str, Any] | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    stages: Sequence[Mapping[str, Any]] | None = None
    data_folder: str = ""
    paths: RunPaths = field(default_factory=lambda: RunPaths(Path(), ""))
    source: str = ""
    scale: float | None = None
    standardize: bool = False
    normalize: tuple[Sequence[float], Sequence[float]] | None = None
    target_scale: str | None = None
    val: float | int | str | None = None
    has_defaults: bool = False
    decides_by_val: bool = False
    frees_val: bool = False
    is_anew: bool = False
    packs: bool = False
    keeps_models: bool = False
    keeps_weights: bool = False
    keeps_trained: bool = False
    measures_epochs: bool = True
    draws_alike: bool = False
    registered: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_interval_s: float = 30.0
    how: Folds = field(default_factory=Folds)
    sources: Mapping[str, str] = field(default_factory=dict)
    scores: Sequence[Spelling] = ()
    thresholds: Given = HALF
    weighted_scores: bool = False
    scorers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    downloads: bool = True

    @property
    def takes_codes(self) -> bool:
        """Whether the model function is given a table's categories as codes; else they are 0 and 1 each."""
        return self.signature.takes_codes

    def drawn(self, job: Job) -> Job:
        """Returns the job whose seeds a job has."""
        return replace(job, fold=0) if self.draws_alike else job

    def leg(self, until: int | None) -> Recipe:
        """Returns how jobs are trained that wait after an epoch, or None, that do not wait any more."""
        if until is not None or not self.frees_val:
            return self
        return replace(self, val=None, decides_by_val=False, is_anew=True)

    def inner_share(self, route: Route, own: float | None = None) -> float | int | str | None:
        """Returns the share of the inner split for a candidate, as `val`; None where nothing looks at it.

        Args:
            route: The candidate's.
            own: That which a fit of the model function's own asks for, where the search says nothing of it.
        """
        return self.val or own or (DEFAULT_VAL if route.monitors_val else None)

    def begins_anew(self, route: Route) -> bool:
        """Tells whether a candidate is trained from its first epoch once the last rung has left it.

        It is not where it looks at the inner split itself, so that the rows are the same in any case.
        """
        return self.frees_val and not route.monitors_val

    def keeps_model(self, route: Route, until: int | None) -> bool:
        """Tells whether a candidate's model is saved where its fit ends before an epoch to wait at, or None.

        It is not where the fit begins anew after that.
        """
        return self.keeps_models and (until is None or not self.begins_anew(route))

    def owner(self, key: str, route: Route) -> str:
        """Returns whose checkpoints are gone on from: those of rungs are none of a training anew."""
        return f"{key}, all rows" if self.is_anew and self.begins_anew(route) else key

    def route(self, params: Mapping[str, Any]) -> Route:
        """Sends a candidate's params, and the fixed ones, to their places."""
        sections = self.callbacks, self.augment, self.training, self.stages
        return route({**self.params, **params}, self.signature, *sections)
