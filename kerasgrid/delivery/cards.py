"""The card beside a model: what it is of, how it was trained, and how images become its input."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from kerasgrid.config.forms import in_words
from kerasgrid.errors import ResultsError
from kerasgrid.io import file_digest, read_json, write_json
from kerasgrid.run.paths import RunPaths

log = logging.getLogger(__name__)
SCHEMA = "kerasgrid.model/1"


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
        model: The .keras file.
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
