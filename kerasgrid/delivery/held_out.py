"""Trials' out-of-fold predictions, by which they are scored together, and thresholds chosen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kerasgrid.delivery.ensembles import EnsembleMember, Jury, combine
from kerasgrid.delivery.models import AskedTrial
from kerasgrid.errors import ResultsError
from kerasgrid.jobs.objective import HALF
from kerasgrid.tables.predictions import HeldOut, read_held_out
from kerasgrid.wording import number_word

log = logging.getLogger(__name__)


def jury_of(asked: Sequence[AskedTrial]) -> Jury:
    """Returns trials with their out-of-fold predictions, as far as these are of the same samples."""
    kept = {one.finished.path: _held_out(one.finished.path) for one in asked}
    search = asked[0].finished
    first, target = kept[search.path], search.target
    none = np.empty(0, np.int64) if target.kind == "classes" else np.empty((0, target.n_outputs))
    members = []
    for one in asked:
        found = kept[one.finished.path]
        is_same = one.finished.fingerprint == search.fingerprint
        known = found.trials.get(one.row["id"]) if found is not None and is_same else None
        members.append(EnsembleMember(one.name, known))
    empty = HeldOut(np.empty(0, np.int16), none, target, {})
    thresholds = search.config.search.thresholds
    return Jury.of(empty if first is None else first, members, search.objective, target, thresholds)


def _held_out(results: Path) -> HeldOut | None:
    """Returns what was kept of a search's out-of-fold predictions; None where it is not there or damaged."""
    try:
        return read_held_out(results)
    except ResultsError as error:
        log.warning("%s They are left out, as if they had not been kept.", error)
        return None


def thresholds_of(
    jury: Jury, asked: Sequence[AskedTrial], weights: Sequence[float] | None = None
) -> tuple[np.ndarray | None, str | None]:
    """Returns at which probability a sample has each of several labels, and what is to be said of it.

    Where they are chosen, they are the best for the out-of-fold predictions of the trials together; where
    those were not kept, the mean of what each fold had on its held-out rows.

    Args:
        jury: The trials, as they will be asked: with views, if they are.
        asked: The same.
        weights: Of the trials; None for equal ones.

    Returns:
        (label,) float64; None where samples do not have several labels.
    """
    n_labels = jury.target.n_outputs
    if not jury.target.is_multi_label:
        return None, None
    if isinstance(jury.thresholds, float):
        return np.full(n_labels, jury.thresholds), None
    if jury.is_complete:
        found = jury.thresholds(jury.labels, combine(jury.parts, weights))
        span = f"{number_word(found.min())} to {number_word(found.max())}"
        return found, f"thresholds: chosen on out-of-fold predictions, {span}"
    folds = [fold.get("thresholds") for one in asked for fold in one.row["folds"] or ()]
    if known := [own for own in folds if own is not None and len(own) == n_labels]:
        return np.mean(known, axis=0), "thresholds: the mean of what folds have chosen on held-out rows"
    return np.full(n_labels, HALF), f"thresholds: {HALF}, since nothing is left that they could be chosen by"
