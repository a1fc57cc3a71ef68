"""Which models are asked for predictions: those that were fitted, fold models, or fold models trained on."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.delivery.cards import read_card
from kerasgrid.delivery.course import runs_of
from kerasgrid.delivery.finished import Finished
from kerasgrid.errors import ResultsError
from kerasgrid.records import WHOLE

KINDS = ("fit", "finetuned", "folds")
"""In the order in which they are looked for."""


@dataclass(frozen=True)
class AskedTrial:
    """A trial and its models, whose probabilities are averaged.

    Attributes:
        name: What it is called.
        finished: Its search.
        row: The trial as results.json has it.
        kind: fit, finetuned or folds.
        models: Files, and the fold by whose training rows images are standardized.
    """

    name: str
    finished: Finished
    row: Mapping[str, Any]
    kind: str
    models: tuple[tuple[Path, int], ...]

    @property
    def what(self) -> str:
        """What its models are, in words."""
        n = len(self.models)
        if self.kind == "fit":
            return "a model of all training data" if n == 1 else f"{n} models of all training data"
        of = ", trained on with what they held out" if self.kind == "finetuned" else ""
        return f"{n} fold models{of}"


def asked_trial(finished: Finished, row: Mapping[str, Any], kind: str = "auto") -> AskedTrial:
    """Returns a trial with its models.

    Args:
        finished: Its search.
        row: As results.json has it.
        kind: fit, finetuned or folds; or auto for the first of these that are all there.

    Raises:
        ResultsError: There are none.
    """
    for wanted in KINDS if kind == "auto" else (kind,):
        models = _models(finished, row, wanted)
        if models:
            return AskedTrial(f"{finished.paths.name}, trial {row['id']}", finished, row, wanted, models)
    file, trial = shlex.quote(str(finished.path)), row["id"]
    of = "" if finished.results.best["trial"] == trial else f" --trial {trial}"
    train = f"kerasgrid fit {file}{of}"
    what, cure = {
        "auto": ("no model", f"Train one: {train}."),
        "fit": ("no model of all training data", f"Train one: {train}."),
        "finetuned": ("no fold models that were trained on", f"Train them: {train} --finetune."),
        "folds": ("no fold models", "A search with search.keep_models: best, or all, keeps them."),
    }[kind]
    raise ResultsError(f"{finished.path}: trial {trial} has {what}. {cure}")


def _models(finished: Finished, row: Mapping[str, Any], kind: str) -> tuple[tuple[Path, int], ...]:
    """Returns a trial's models of a kind; none where they are not all there."""
    paths, trial = finished.paths, row["id"]
    if kind == "fit":
        found = []
        while read_card(file := paths.fitted(trial, len(found))) is not None:
            found.append((file, WHOLE))
        return tuple(found)
    runs = runs_of(row, paths.folder)
    if kind == "finetuned":
        files = [(paths.finetuned(trial, run.fold, run.repeat), run.fold) for run in runs]
        return tuple(files) if all(read_card(file) is not None for file, _ in files) else ()
    files = [(paths.model(trial, run.fold, run.repeat), run.fold) for run in runs]
    return tuple(files) if all(file.exists() for file, _ in files) else ()
