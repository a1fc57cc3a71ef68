"""Predictions of kept models for a test set: of one, or of several together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid import console
from kerasgrid.data.array_likes import refuse_others
from kerasgrid.data.features import told_unknown
from kerasgrid.data.labels import encode_labels
from kerasgrid.data.statistics import Span
from kerasgrid.delivery.ensembles import WAYS, Jury, combine, combine_ranks
from kerasgrid.delivery.finished import FinishedRun
from kerasgrid.delivery.held_out import jury_of, thresholds_of
from kerasgrid.delivery.inference import Asking
from kerasgrid.delivery.models import KINDS, AskedTrial, asked_trial, told_apart
from kerasgrid.errors import DataError, ResultsError, spoken
from kerasgrid.jobs.objective import HALF
from kerasgrid.records import Target
from kerasgrid.run.results import ResultsData
from kerasgrid.seeds import kept_random_state
from kerasgrid.wording import count, joined, number_word, score_word


@dataclass(frozen=True)
class Predicted:
    """What kept models say of a test set.

    Attributes:
        source: What messages call the test set.
        values: (sample, class) float32, probabilities; of `rank` they are shares of the ranks. Of numbers
            (sample, number) float64.
        ids: Of the samples, as the test set spells them; None where it has none.
        target: What each column is of.
        trials: Who was asked.
        ensemble: How they were asked together.
        weights: Of the trials, for `weighted`.
        tta: Augmented views of each sample.
        objective: What `scores` are of.
        scores: Out of fold, by trial and by way: each sample by the fold models that had not seen it,
            whichever models of the trials were asked.
        true_score: On the test set, where it has labels, or the numbers.
        notes: What should be known.
        thresholds: (label,), at which a sample has each of several labels; None for 0.5, and of all else.
    """

    source: str
    values: np.ndarray
    ids: list[str] | None
    target: Target
    trials: tuple[AskedTrial, ...]
    ensemble: str
    weights: tuple[float, ...] | None
    tta: int
    objective: str
    scores: Mapping[str, float]
    true_score: float | None = None
    notes: tuple[str, ...] = ()
    thresholds: tuple[float, ...] | None = None

    @property
    def predictions(self) -> np.ndarray:
        """(sample,), the likeliest class of each; (sample, class), 0 and 1; or (sample, number), float64."""
        if self.target.is_numbers:
            return self.values
        if self.target.is_multi_label:
            cuts = HALF if self.thresholds is None else np.asarray(self.thresholds)
            return (self.values >= cuts).astype(np.uint8)
        return np.asarray(self.target.names)[self.values.argmax(axis=1)]

    @property
    def labels(self) -> np.ndarray:
        """`predictions` of classes.

        Raises:
            ResultsError: Numbers are predicted.
        """
        self._need_classes("labels")
        return self.predictions

    @property
    def probabilities(self) -> np.ndarray:
        """(sample, class) float32; of `rank` they are shares of the ranks.

        Raises:
            ResultsError: Numbers are predicted.
        """
        self._need_classes("probabilities")
        return self.values

    def _need_classes(self, what: str) -> None:
        if self.target.is_numbers:
            names = joined(self.target.names)
            raise ResultsError(f"there are no {what}: numbers are predicted ({names}). Take predictions.")

    def lines(self) -> list[str]:
        """Returns what was asked, what it scores out of fold and on a test set that tells, in words."""
        views = f", with {count(self.tta, 'augmented view')} of each sample" if self.tta else ""
        found = []
        for one in self.trials:
            whose = "" if one.kind == "folds" or one.name not in self.scores else ", of its fold models"
            found.append(f"{one.name}: {one.what}{views}{self._scored(one.name)}{whose}")
        if len(self.trials) > 1:
            for way in WAYS:
                if way in self.scores or way == self.ensemble:
                    taken = " (taken)" if way == self.ensemble else ""
                    found.append(f"{way} of {len(self.trials)}{taken}{self._scored(way)}")
        if self.weights is not None:
            found.append("weights: " + ", ".join(f"{weight:g}" for weight in self.weights))
        if self.true_score is not None:
            found.append(f"{self.source}: {self.objective} {score_word(self.true_score)}")
        return [*found, *self.notes]

    def _scored(self, name: str) -> str:
        score = self.scores.get(name)
        return "" if score is None else f": out-of-fold {self.objective} {score_word(score)}"


@kept_random_state()
def predict(
    results: str | Path | ResultsData | Sequence[str | Path | ResultsData],
    data: Any = None,
    *,
    trial: int | None = None,
    top: int = 1,
    models: str = "auto",
    ensemble: str = "mean",
    tta: int = 0,
    model: Callable[..., Any] | None = None,
    overrides: Sequence[str] = (),
    progress: Callable[[int], None] = lambda n_rows: None,
    warn: Callable[[str], None] = console.warn,
) -> Predicted:
    """Asks the models that were kept about a test set, which is read in parts and may be larger than memory.

    Args:
        results: A results.json or the Results of a search; or several, whose trials are asked together.
        data: A file, an array (sample, ...) as the training data was, of several inputs a list or dict as
            these were, or of a table a DataFrame with its columns; by default the config's data.test.
        trial: Of each, the trial that is asked; the best one by default.
        top: Instead, so many of the best.
        models: fit for models of all training data, folds for fold models, finetuned for those that were
            trained on; auto for the first of fit, finetuned and folds that are there. Those of a trial are
            averaged.
        ensemble: Of several trials: mean; rank, by the order of classes alone; weighted, by weights that are
            found on out-of-fold predictions.
        tta: So many views of each sample, augmented as its trial was in training, are averaged with it.
        model: The model function, where the search was given one that cannot be imported.
        overrides: `key.path=value` texts, of where data and model are now.
        progress: Is told how many rows of the test set a model has done, model by model.
        warn: Is told of what is probably not meant, which is among the notes too.

    Raises:
        ResultsError: A trial has no models, or the searches predict different things.
        DataError: The test set cannot be read, or is not like the training data.
        ChangedError: The training data are others than the search's.
    """
    if ensemble not in WAYS:
        raise ResultsError(f"{ensemble!r} is no way to ask several models; {', '.join(WAYS)} hold.")
    if models not in ("auto", *KINDS):
        raise ResultsError(f"{models!r} is no kind of models; auto, {', '.join(KINDS)} hold.")
    if tta < 0:
        raise ResultsError(f"tta is {tta}; a number of augmented views, or 0 for none, holds.")
    if data is not None and not isinstance(data, str | Path | list | tuple | dict):  # these may be of inputs
        refuse_others(data)
    several = [results] if isinstance(results, str | Path | ResultsData) else results
    searches = [FinishedRun(one, model, overrides) for one in several]
    _check_alike(searches)
    asked = told_apart(
        [asked_trial(search, row, models) for search in searches for row in search.rows(trial, top)]
    )
    first = searches[0]
    target = first.target
    if ensemble == "rank" and target.is_multi_label:
        raise ResultsError("rank orders the classes of a sample, which may have several here: take mean.")
    if ensemble == "rank" and target.is_numbers:
        raise ResultsError(
            "rank orders the classes of a sample, and here numbers are predicted: take mean or weighted."
        )
    with ExitStack() as stack:
        asking = stack.enter_context(Asking(asked, tta, progress))
        streams = asking.streams(data, stack)
        source = streams[0].name
        jury, trained = jury_of(asked), asking.prepared(asked[0]).data
        weights = tuple(jury.weights().tolist()) if ensemble == "weighted" and len(asked) > 1 else None
        parts, answer = asking.ask(streams)
        jury, notes = _as_asked(jury, asked, asking)
        scores, told = _scores(jury, asked, ensemble == "weighted" or jury.is_quick)
    thresholds, how = thresholds_of(jury, asked, weights)
    notes += [*told, *([how] if how else [])]
    whole = combine_ranks(parts) if ensemble == "rank" and len(asked) > 1 else combine(parts, weights)
    true_score, told = _true_score(jury, whole, answer.labels, thresholds)
    span = answer.span if trained.inputs is None else None
    if span is not None and (odd := Span.of(trained.images).odd(*span)) is not None:
        told.append(f"Warning: {odd}")
        warn(odd)
    if answer.unknown:
        told.append(f"{source}: {told_unknown(answer.unknown)}.")
    if target.is_numbers:
        for odd in odd_numbers(trained.labels, whole, target.names):
            told.append(f"Warning: {odd}")
            warn(odd)
    if true_score is not None and source == first.train_name:
        told.append(f"{source} is what the models were trained on: their score on it tells nothing.")
    return Predicted(
        source,
        whole if target.is_numbers else whole.astype(np.float32),
        answer.ids,
        target,
        tuple(asked),
        ensemble if len(asked) > 1 else "mean",
        weights,
        tta,
        jury.objective.name,
        scores,
        true_score,
        (*notes, *(f"{source}: {note}." for note in streams[0].notes), *told),
        None if thresholds is None else tuple(thresholds.tolist()),
    )


def _check_alike(searches: Sequence[FinishedRun]) -> None:
    """Raises a ResultsError where searches do not predict the same, or one is given twice."""
    first, paths = searches[0], [search.path.absolute() for search in searches]
    for place, other in enumerate(searches[1:], start=1):
        if paths[place] in paths[:place]:
            raise ResultsError(f"{other.path}: is given twice. --top K takes several trials of it.")
        if (other.target.kind, other.target.names) != (first.target.kind, first.target.names):
            kind = other.target.kind
            told = f"is of other {kind} than" if kind == first.target.kind else f"predicts {kind}, unlike"
            raise ResultsError(f"{other.path}: {told} {first.path}, so that they cannot be asked together.")


def odd_numbers(trained: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> Iterator[str]:
    """Yields what is odd of predicted numbers, in a sentence each.

    Args:
        trained: (sample, number), those that were trained on.
        predictions: (sample, number).
        names: What each number is called.
    """
    for name, own, said in zip(names, np.asarray(trained).T, predictions.T, strict=True):
        low, high = float(own.min()), float(own.max())
        if len(said) > 1 and said.min() == said.max() and low < high:
            yield f"{name} is {number_word(said[0])} for all {len(said):,} samples, which are not told apart."
            continue
        spread = high - low
        far = (said < low - spread) | (said > high + spread)
        if low >= 0:
            far |= said < 0
        if far.any():
            known = f"{number_word(low)} to {number_word(high)}"
            lowest, highest = number_word(said.min()), number_word(said.max())
            yield (
                f"{name} lies far outside what was trained on ({known}) for "
                f"{count(int(far.sum()), 'sample')} of {len(said):,}: it is {lowest} to {highest}."
            )


def _true_score(
    jury: Jury, predictions: np.ndarray, labels: Sequence[Any] | None, thresholds: np.ndarray | None
) -> tuple[float | None, list[str]]:
    """Returns the score on a test set that has labels, and what is to be said of it."""
    if labels is None:
        return None, []
    try:
        if jury.target.is_numbers:
            numbers = np.asarray(labels, np.float64).reshape(predictions.shape)
            return jury.shown(jury.score(numbers, predictions)), []
        indices, names = encode_labels(
            np.asarray(labels), "its labels", multi_label=jury.target.is_multi_label
        )
        if jury.target.is_multi_label:
            return jury.shown(jury.score(indices, predictions, thresholds)), []
        places = {str(label): place for place, label in enumerate(jury.target.names)}
        unknown = [name for name in names if str(name) not in places]
        if unknown:
            return None, [f"The test set is not scored: its label {unknown[0]!r} is no class."]
        indices = np.array([places[str(name)] for name in names])[indices]
        return jury.shown(jury.score(indices, predictions)), []
    except (DataError, ValueError) as error:  # no labels, or none that the objective can score
        return None, [f"The test set is not scored: {' '.join(str(error).split())}"]


def _as_asked(jury: Jury, asked: Sequence[AskedTrial], asking: Asking) -> tuple[Jury, list[str]]:
    """Returns the trials with what they say of augmented views, where these are asked for; and notes."""
    notes = []
    if not jury.is_complete:
        missing = ", ".join(jury.missing) or "the trials"
        return jury, [f"Out-of-fold predictions of {missing} were not kept, so that no score is known."]
    if asking.prepared(asked[0]).config.search.weighted_scores:
        notes.append("Scores here count all samples the same; those of the search are weighted.")
    views = asking.held_out_views() if asking.tta else None
    if asking.tta and views is None:
        notes.append(spoken("The out-of-fold scores are without --tta: it would need the fold models too."))
    return jury if views is None else jury.with_parts(views), notes


def _scores(
    jury: Jury, asked: Sequence[AskedTrial], with_weights: bool
) -> tuple[dict[str, float], list[str]]:
    """Returns what trials, and all of them together, score out of fold, and what is to be said of it."""
    if not jury.is_complete:
        return {}, []
    notes = []
    ways = {one.name: partial(jury.value, part) for one, part in zip(asked, jury.parts, strict=True)}
    found = {}
    for name, way in (ways | (jury.ways(with_weights) if len(asked) > 1 else {})).items():
        try:
            found[name] = jury.shown(way())
        except ValueError as error:  # of a class that none of these samples is of, say
            notes.append(f"{name} is not scored out of fold: {' '.join(str(error).split())}")
    return found, notes
