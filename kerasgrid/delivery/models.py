"""Which models are asked for predictions, the card beside each, and what they take of a table's rows."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from kerasgrid.config.sections import Features
from kerasgrid.config.validation import in_words
from kerasgrid.data.frames import as_frame, table_of_frame
from kerasgrid.data.sources import open_stream
from kerasgrid.delivery.finished import FinishedRun
from kerasgrid.errors import DataError, ResultsError
from kerasgrid.io import file_digest, read_json, write_json
from kerasgrid.jobs.facts import ModelFacts
from kerasgrid.records import WHOLE
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.results import runs_of
from kerasgrid.space.dimensions import all_known
from kerasgrid.wording import shell_word

log = logging.getLogger(__name__)
SCHEMA = "kerasgrid.model/1"
KINDS = ("fit", "finetuned", "folds")
"""In the order in which they are looked for."""


class _Input(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    center: list[list[float]] | None = None


class _Card(BaseModel):
    """What is gone by of a card; what else it tells is for people."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    sha256: str
    made_by: str
    identity: str
    trial: int
    how: str
    fit_time: float
    input: _Input


def write_card(model: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Writes the card of a model that is in its file, and returns it.

    Args:
        model: The file that it is kept in.
        about: A JSON value; `schema`, `file` and `sha256` are added.
    """
    card = {"schema": SCHEMA, "file": model.name, "sha256": file_digest(model), **about}
    write_json(RunPaths.card(model), card)
    return card


def read_card(model: Path) -> dict[str, Any] | None:
    """Returns the card of a model; None where there is none, or it is of another file than this.

    Raises:
        ResultsError: It cannot be read.
    """
    path = RunPaths.card(model)
    if not (path.exists() and model.exists()):
        return None
    try:
        card = read_json(path)
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read as a model's card: {error}.") from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise ResultsError(f"{path}: is no card of a model (schema {SCHEMA}). Move it aside.")
    try:
        _Card.model_validate(card)
    except ValidationError as error:
        told = " ".join(map(in_words, error.errors(include_url=False)))
        raise ResultsError(f"{path}: is no card of a model that can be gone by: {told}") from error
    if card["sha256"] != file_digest(model):
        log.warning(
            "%s: is not the model that its card tells of, damaged or another one: it is not used.", model
        )
        return None
    return card


def encode(model: str | Path, rows: Any) -> np.ndarray:
    """Returns a table's rows as a kept model takes them.

    All that is needed is in the model's file, wherever that is: neither the search nor its data.

    Args:
        model: A file of a model that `fit` or a search has written.
        rows: A .csv file or a DataFrame with the table's columns, in any order; others are not looked at.

    Returns:
        (row, number), float32.

    Raises:
        ResultsError: The file cannot be read, or is of a model that takes samples as they stand.
        DataError: A column is missing, or a cell is not of its column's kind.
    """
    facts = ModelFacts.read(Path(model))
    if facts is None or facts.encoder is None:
        raise ResultsError(f"{model}: is no model of a table: give it samples as they stand in the data.")
    table, frame = facts.encoder.table, as_frame(rows)
    if frame is not None:
        return facts.encoder(table_of_frame(frame, Features(), "the DataFrame", table)[0])
    if not isinstance(rows, str | Path):
        raise DataError(f"rows are a {type(rows).__name__}; a .csv file or a DataFrame holds.")
    stream = open_stream(rows, (len(table.columns),), table=table)
    return np.concatenate([facts.encoder(chunk.images) for chunk in stream.chunks()])


@dataclass(frozen=True)
class AskedTrial:
    """A trial and its models, whose probabilities are averaged.

    Attributes:
        row: The trial as results.json has it.
        kind: fit, finetuned or folds.
        models: Files, and the fold by whose training rows images are standardized.
        cards: Of models that have one, in their order.
    """

    name: str
    finished: FinishedRun
    row: Mapping[str, Any]
    kind: str
    models: tuple[tuple[Path, int], ...]
    cards: tuple[Mapping[str, Any], ...] = ()

    @property
    def what(self) -> str:
        """What its models are, in words."""
        n = len(self.models)
        if self.kind == "fit":
            return "a model of all training data" if n == 1 else f"{n} models of all training data"
        of = ", trained on with what they held out" if self.kind == "finetuned" else ""
        return f"{n} fold models{of}"


def asked_trial(finished: FinishedRun, row: Mapping[str, Any], kind: str = "auto") -> AskedTrial:
    """Returns a trial with its models.

    Args:
        row: As results.json has it.
        kind: fit, finetuned or folds; or auto for the first of these that are all there.

    Raises:
        ResultsError: There are none.
    """
    for wanted in KINDS if kind == "auto" else (kind,):
        models, cards = _models(finished, row, wanted)
        if models:
            name = f"{finished.paths.name}, trial {row['id']}"
            return AskedTrial(name, finished, row, wanted, models, cards)
    file, trial = shell_word(finished.path), row["id"]
    best = finished.results.best
    of = "" if best is not None and best["trial"] == trial else f" --trial {trial}"
    train = f"kerasgrid fit {file}{of}"
    what, cure = {
        "auto": ("no model", f"Train one: {train}."),
        "fit": ("no model of all training data", f"Train one: {train}."),
        "finetuned": ("no fold models that were trained on", f"Train them: {train} --finetune."),
        "folds": ("no fold models", "A search with search.keep_models: best, or all, keeps them."),
    }[kind]
    raise ResultsError(f"{finished.path}: trial {trial} has {what}. {cure}")


def told_apart(asked: Sequence[AskedTrial]) -> list[AskedTrial]:
    """Returns trials with names that tell them apart: with the file, where they are called the same."""
    names = [one.name for one in asked]
    return [
        replace(one, name=f"{one.finished.path}, trial {one.row['id']}") if names.count(one.name) > 1 else one
        for one in asked
    ]


def _models(
    finished: FinishedRun, row: Mapping[str, Any], kind: str
) -> tuple[tuple[tuple[Path, int], ...], tuple[Mapping[str, Any], ...]]:
    """Returns a trial's models of a kind and their cards; none where they are not all there.

    Models of all training data are those that were trained as that of seed 0 was: an earlier `fit` with other
    epochs may have left more seeds.
    """
    paths, trial = finished.paths, row["id"]
    if kind == "fit":
        files: list[tuple[Path, int]] = []
        cards: list[Mapping[str, Any]] = []
        while (card := read_card(file := paths.kept(paths.fitted(trial, len(files))))) is not None:
            if cards and card["made_by"] != cards[0]["made_by"]:
                break
            files.append((file, WHOLE))
            cards.append(card)
        return tuple(files), tuple(cards)
    runs = runs_of(row, paths.folder)
    if kind == "finetuned":
        files = [(paths.kept(paths.finetuned(trial, run.fold, run.repeat)), run.fold) for run in runs]
        found = [read_card(file) for file, _ in files]
        if not all_known(found) or any(card["made_by"] != found[0]["made_by"] for card in found):
            return (), ()
        return tuple(files), tuple(found)
    files = [(paths.kept(paths.model(trial, run.fold, run.repeat)), run.fold) for run in runs]
    return (tuple(files) if all(file.exists() for file, _ in files) else ()), ()
