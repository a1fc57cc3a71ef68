"""The card beside a model: what it is of, how it was trained, and and how images become its input."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.io import RunPaths, file_digest, write_json

SCHEMA = "kerasgrid.model/1"


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
        card = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read as a model's card: {error}.") from error
    if not isinstance(card, dict) or card.get("schema") != SCHEMA:
        raise ResultsError(f"{path}: is no card of a model (schema {SCHEMA}). Move it aside.")
    return card if card["sha256"] == file_digest(model) else None
