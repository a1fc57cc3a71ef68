"""The file that a competition takes, made of predictions, and a note beside it of what it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kerasgrid.config.sections import LabelColumn
from kerasgrid.delivery.finished import FinishedRun
from kerasgrid.delivery.predicting import Predicted
from kerasgrid.errors import DataError, spoken
from kerasgrid.io import file_digest, read_json, write_json
from kerasgrid.submit.columns import Holds
from kerasgrid.submit.layout import (
    Layout,
    a_column_each,
    conventional,
    read_form,
    with_probabilities,
)
from kerasgrid.submit.sending import sample_of

CONVENTION = "id/label"
SCHEMA = "kerasgrid.predictions/1"


@dataclass(frozen=True)
class PlannedSubmission:
    """A file of predictions that is to be written: where, and how it looks."""

    target: Path
    form: Layout

    @property
    def note(self) -> Path:
        """The file beside it, which says what it was made of."""
        return note_of(self.target)

    def write(self, predicted: Predicted) -> None:
        """Writes the file and its note.

        Raises:
            DataError: The predictions do not fit the form.
            StorageError: A file cannot be written.
        """
        write_json(self.note, {"schema": SCHEMA, "file": self.target.name, "sha256": None})  # under way
        names, thresholds = predicted.target.names, predicted.thresholds
        self.form.write(self.target, predicted.ids, predicted.values, names, thresholds)
        write_json(self.note, _about(predicted, self.target))


def plan_submission(
    finished: FinishedRun,
    target: Path | None = None,
    *,
    sample: Path | None = None,
    like: str | None = None,
    probabilities: bool = False,
    is_own_data: bool = False,
) -> PlannedSubmission:
    """Returns how predictions will be written, as a competition's sample shows it; no model is needed yet.

    Args:
        finished: The search whose models are asked.
        target: The file; results/NAME/submission.csv by default.
        sample: The competition's sample; by default the config's, or that beside its data.test.
        like: Instead of a sample, a convention: `id/label` or `ImageId/Label`.
        probabilities: Write a probability a class, whatever a sample shows; of two classes that of the
            second, where the sample has one column for it.
        is_own_data: Whether the data are given beside the config, to whose data.test its sample belongs.

    Raises:
        DataError: The sample cannot be read or is of other classes, or the target is none or is taken; or
            probabilities are asked for of what is no class.
    """
    predicted = finished.target
    if probabilities and predicted.is_numbers:
        raise DataError(
            spoken("--proba writes a probability a class, and here numbers are predicted: leave it out.")
        )
    target = target or finished.paths.submission
    _check_target(target)
    if sample is None and like is None and not is_own_data:
        sample = sample_of(finished.results, finished.data_config)
    if like is not None or sample is None:
        form = conventional(like or CONVENTION, predicted, None if like else finished.data_config.id)
    else:
        label = finished.data_config.label
        form = read_form(sample, predicted, label.split if isinstance(label, LabelColumn) else " ")
    if probabilities and form.holds in (Holds.labels, Holds.tags):
        is_single = sample is not None and predicted.n_outputs == 2 and len(form.value_places) == 1
        positive = replace(form, holds=Holds.positive, names=(predicted.names[1],))
        form = positive if is_single else a_column_each(form, predicted, Holds.probabilities)
    elif probabilities:
        form = with_probabilities(form, predicted)
    return PlannedSubmission(target, form)


def write_submission(predicted: Predicted, target: Path | None = None, **how: Any) -> tuple[Path, Layout]:
    """Writes predictions, and beside them what they were made of; returns the file and its form.

    Args:
        predicted: What models say of the test set.
        target: The file; results/NAME/submission.csv by default.
        **how: As in `plan_submission`.

    Raises:
        DataError: As in `plan_submission`; or the predictions do not fit the sample.
        StorageError: The file cannot be written.
    """
    planned = plan_submission(predicted.trials[0].finished, target, **how)
    planned.write(predicted)
    return planned.target, planned.form


def note_of(target: Path) -> Path:
    """Returns the note beside a file of predictions, which says what it was made of."""
    return target.with_name(f"{target.name}.json")


def _check_target(target: Path) -> None:
    """Raises a DataError where a file would be written over another than predictions and their note."""
    note = note_of(target)
    if target.suffix.lower() != ".csv":
        raise DataError(f"{target}: predictions are written as CSV. Choose a name that ends in .csv.")
    told = _read_note(note)
    if told is None and note.exists():
        raise DataError(
            f"{note}: is no note beside predictions, and would be written over. Choose another -o."
        )
    if target.exists() and (told is None or told.get("sha256") not in (None, file_digest(target))):
        raise DataError(
            f"{target}: is there already, and is not as predict has written it. Move it away, or choose "
            "another -o."
        )


def _read_note(note: Path) -> Mapping[str, Any] | None:
    """Returns a note; None where it is none, or not there."""
    try:
        told = read_json(note)
    except (OSError, ValueError):
        return None
    return told if isinstance(told, Mapping) and told.get("schema") == SCHEMA else None


def _about(predicted: Predicted, target: Path) -> Mapping[str, Any]:
    return {
        "schema": SCHEMA,
        "file": target.name,
        "sha256": file_digest(target),
        "of": predicted.source,
        "rows": len(predicted.values),
        "models": [
            {
                "results": str(one.finished.path),
                "trial": one.row["id"],
                "params": one.row["params"],
                "kind": one.kind,
                "files": [{"file": file.name, "sha256": file_digest(file)} for file, _ in one.models],
            }
            for one in predicted.trials
        ],
        "ensemble": predicted.ensemble,
        "weights": predicted.weights,
        "tta": predicted.tta,
        "thresholds": predicted.thresholds,
        "objective": predicted.objective,
        "out_of_fold": dict(predicted.scores),
        "test_score": predicted.true_score,
    }
