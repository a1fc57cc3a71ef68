"""What a search keeps of its leading trials' predictions, in results/NAME/oof.npz and mistakes.npz."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kerasgrid.errors import ResultsError
from kerasgrid.io import ARRAY_DAMAGE, open_input
from kerasgrid.jobs.thresholds import PARTS
from kerasgrid.records import Target
from kerasgrid.run.paths import RunPaths

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """Of one trial, for the samples that were held out.

    Attributes:
        target: What is predicted; names are texts.
        index: (row,) int64, the samples' places in the data.
        labels: (row,) int64, indices into the classes; (row, label) of 0 and 1; or (row, number) float64.
        predicted: (row, class) float32, probabilities; or (row, number) float64.
        images: By a sample's place, (height, width, channel); of a few only.
        names: By a sample's place, the image file that it is; of these few.
        thresholds: (row, label), at which a row has each of several labels in its score, where they were
            chosen; None where they were not.
    """

    target: Target
    index: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    images: dict[int, np.ndarray] = field(default_factory=dict)
    thresholds: np.ndarray | None = None
    names: dict[int, str] = field(default_factory=dict)

    def name(self, index: int) -> str:
        """Returns what a report calls a sample, by its place: its file, or that."""
        return self.names.get(index, f"sample {index}")

    @classmethod
    def of_held_out(
        cls,
        target: Target,
        labels: np.ndarray,
        predicted: np.ndarray,
        images: dict[int, np.ndarray] | None = None,
        folds: np.ndarray | None = None,
        thresholds: np.ndarray | None = None,
    ) -> Predictions:
        """Returns those of the samples that have any: the others have NaN in their place.

        Args:
            target: What is predicted.
            labels: Of all samples.
            predicted: Likewise.
            images: As of the class.
            folds: (sample,), the fold that held each out.
            thresholds: (fold, part, label), of a fold's rows in turn; None for none.
        """
        held_out, cuts = np.flatnonzero(~np.isnan(predicted).any(axis=1)), None
        if folds is not None and thresholds is not None:
            own, places = folds[held_out], np.empty(len(held_out), np.int64)
            for fold in np.unique(own):
                places[own == fold] = np.arange(np.sum(own == fold))
            cuts = thresholds[own, places % thresholds.shape[1]]
        return cls(target, held_out, labels[held_out], predicted[held_out], images or {}, cuts)


def read_predictions(results: Path, trial: Any) -> Predictions:
    """Returns a trial's held-out predictions, from the folder beside a results.json.

    Args:
        results: The path of results/NAME.json.

    Raises:
        ResultsError: They are not there, or damaged. The message is one that a report can show.
    """
    paths = RunPaths.of(results)
    if not paths.oof.exists():
        raise ResultsError(f"{paths.oof} is missing: a search of kerasgrid writes it when it ends.")
    try:
        with open_input(paths.oof) as file, np.load(file, allow_pickle=False) as kept:
            if "labels" not in kept:
                raise ResultsError(f"{paths.oof} was written by an older version, without the labels.")
            if f"trial_{trial}" not in kept:
                raise ResultsError(f"{paths.oof} has no predictions of trial {trial}.")
            predicted, labels, folds = kept[f"trial_{trial}"], kept["labels"], kept["fold"]
            target, thresholds = _target(kept, labels), kept.get(f"thresholds_{trial}")
        _check_parts(labels, target, predicted)
        if thresholds is not None:
            _check_thresholds(thresholds, folds, target)
        images, names = _shown(paths.mistakes, trial)
        found = Predictions.of_held_out(target, labels, predicted, images, folds, thresholds)
        return replace(found, names=names)
    except ARRAY_DAMAGE as error:
        raise ResultsError(f"{paths.oof} cannot be read ({error}).") from error


def _target(kept: Mapping[str, np.ndarray], labels: np.ndarray) -> Target:
    """Returns what is predicted, by the arrays of a file: numbers have `targets`, all else `classes`."""
    kind: Literal["classes", "labels", "numbers"]
    kind = "numbers" if "targets" in kept else "labels" if labels.ndim == 2 else "classes"
    return Target(kind, tuple(map(str, kept["targets" if kind == "numbers" else "classes"])))


def _check_parts(labels: np.ndarray, target: Target, *parts: np.ndarray) -> None:
    """Raises a ValueError where arrays do not fit together, as those of a file that was damaged may not."""
    n_outputs, names = target.n_outputs, "targets" if target.is_numbers else "classes"
    if target.is_numbers:
        if labels.dtype.kind != "f" or labels.ndim != 2 or not np.isfinite(labels).all():
            raise ValueError("its true values are not all numbers")
    else:
        values = np.arange(2 if target.is_multi_label else n_outputs)
        if labels.dtype.kind not in "iu" or labels.ndim not in (1, 2) or not np.isin(labels, values).all():
            raise ValueError("its labels are none of its classes")
    if labels.ndim == 2 and labels.shape[1] != n_outputs:
        raise ValueError(f"its labels are of shape {labels.shape}, and there are {n_outputs} {names}")
    for part in parts:
        if part.dtype.kind != "f" or part.shape != (len(labels), n_outputs):
            told = f"{part.shape}, and {(len(labels), n_outputs)} is that of its labels and {names}"
            raise ValueError(f"its predictions are {part.dtype} of shape {told}")
        if np.isinf(part).any():
            raise ValueError("its predictions are infinite")


def _check_thresholds(thresholds: np.ndarray, folds: np.ndarray, target: Target) -> None:
    """Raises a ValueError where thresholds are none, (fold, part, label) from 0 to 1."""
    if folds.dtype.kind not in "iu" or thresholds.dtype.kind != "f" or thresholds.ndim != 3:
        raise ValueError("its thresholds are no numbers of folds, parts and labels")
    if thresholds.shape[1:] != (PARTS, target.n_outputs) or folds.max(initial=-1) >= len(thresholds):
        raise ValueError(f"its thresholds are of shape {thresholds.shape}")
    if not ((thresholds >= 0) & (thresholds <= 1)).all():
        raise ValueError("its thresholds are not from 0 to 1")


@dataclass(frozen=True)
class HeldOut:
    """What a search keeps of its leading trials' predictions, of all samples.

    Attributes:
        folds: (sample,), the fold that held each out, of several the last; -1 for none.
        labels: (sample,), indices into the classes; (sample, label); or (sample, number) float64.
        target: What is predicted; names are texts.
        trials: By id, (sample, class) float32, or (sample, number) float64; NaN where a sample was not
            held out.
    """

    folds: np.ndarray
    labels: np.ndarray
    target: Target
    trials: dict[int, np.ndarray]


def read_held_out(results: Path) -> HeldOut | None:
    """Returns what lies beside a results.json; None where there is nothing.

    Raises:
        ResultsError: It is damaged.
    """
    paths = RunPaths.of(results)
    if not paths.oof.exists():
        return None
    try:
        with open_input(paths.oof) as file, np.load(file, allow_pickle=False) as kept:
            trials = {
                int(name.removeprefix("trial_")): kept[name] for name in kept if name.startswith("trial_")
            }
            found = HeldOut(kept["fold"], kept["labels"], _target(kept, kept["labels"]), trials)
        _check_parts(found.labels, found.target, *trials.values())
        if found.folds.dtype.kind not in "iu" or found.folds.shape != found.labels.shape[:1]:
            raise ValueError("it does not tell the fold of each sample")
        return found
    except ARRAY_DAMAGE as error:
        raise ResultsError(f"{paths.oof} cannot be read ({error}).") from error


def _shown(path: Path, trial: Any) -> tuple[dict[int, np.ndarray], dict[int, str]]:
    """Returns images and names that were kept of a trial's mistakes; none where they are another trial's.

    Nor where their file is damaged: what is said of the mistakes does not need them.
    """
    if not path.exists():
        return {}, {}
    try:
        with open_input(path) as file, np.load(file, allow_pickle=False) as kept:
            if int(kept["trial"]) != trial or "images" not in kept:
                return {}, {}
            index, images, names = kept["index"], kept["images"], kept.get("names", ())
        if index.ndim != 1 or index.dtype.kind not in "iu" or images.ndim != 4:
            raise ValueError(f"its images are of shape {images.shape}")
        told = dict(zip(index.tolist(), map(str, names), strict=True)) if len(names) else {}
        return dict(zip(index.tolist(), images, strict=True)), told
    except ARRAY_DAMAGE as error:
        log.warning("%s cannot be read (%s): the images of mistakes are not shown.", path, error)
        return {}, {}
