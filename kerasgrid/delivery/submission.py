"""The file that a competition takes, made of predictions, and a note beside it of what it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kerasgrid.delivery.predicting import Predicted
from kerasgrid.errors import DataError
from kerasgrid.io import file_digest, write_json
from kerasgrid.submit.cells import spelled
from kerasgrid.submit.columns import Holds
from kerasgrid.submit.drafting import sample_of
from kerasgrid.submit.form import Form, conventional, read_form

CONVENTION = "id/label"
SCHEMA = "kerasgrid.predictions/1"


def write_submission(
    predicted: Predicted,
    target: Path | None = None,
    *,
    sample: Path | None = None,
    like: str | None = None,
    probabilities: bool = False,
    is_own_data: bool = False,
) -> tuple[Path, Form]:
    """Writes predictions as a competition's sample shows it, and beside them what they were made of.

    Args:
        predicted: What models say of the test set.
        target: The file; results/NAME/submission.csv by default.
        sample: The competition's sample; by default the config's, or that beside its data.test.
        like: Instead of a sample, a convention: `id/label` or `ImageId/Label`.
        probabilities: Write a probability a class, whatever a sample shows; of two classes that of the
            second, where the sample has one column for it.
        is_own_data: Whether the data were given beside the config, to whose data.test its sample belongs.

    Returns:
        The file and its form.

    Raises:
        DataError: The sample cannot be read, or the predictions do not fit it.
        StorageError: The file cannot be written.
    """
    first = predicted.trials[0].finished
    target = target or first.paths.submission
    note = note_of(target)
    _check_target(target, note)
    if sample is None and like is None and not is_own_data:
        sample = sample_of(first.results, first.data_config.model_dump())
    if like is not None:
        form = conventional(like, predicted.classes)
    elif sample is not None:
        form = read_form(sample, predicted.classes, multi_label=predicted.multi_label)
    else:
        form = _plain(predicted)
    if probabilities and form.holds is not Holds.positive:
        is_single = len(predicted.classes) == 2 and len(form.label_places) == 1 and sample is not None
        positive = replace(form, holds=Holds.positive, classes=(predicted.classes[1],))
        form = positive if is_single else _plain(predicted, form)
    form.write(target, predicted.ids, predicted.probabilities, predicted.classes)
    write_json(note, _about(predicted, target))
    return target, form


def note_of(target: Path) -> Path:
    """Returns the note beside a file of predictions, which says what it was made of."""
    return target.with_name(f"{target.name}.json")


def _check_target(target: Path, note: Path) -> None:
    """Raises a DataError where a file would be written over another than predictions and their note."""
    if target.suffix.lower() != ".csv":
        raise DataError(f"{target}: predictions are written as CSV. Choose a name that ends in .csv.")
    if note.exists() and SCHEMA not in note.read_text(encoding="utf-8", errors="replace")[:200]:
        raise DataError(
            f"{note}: is no note beside predictions, and would be written over. Choose another -o."
        )


def _plain(predicted: Predicted, form: Form | None = None) -> Form:
    """Returns the form of a file that no competition asks for; with probabilities where a form is given."""
    if form is None and not predicted.multi_label:
        return conventional(CONVENTION, predicted.classes)
    id_name = "id" if form is None or form.id_place is None else form.header[form.id_place]
    header = (id_name, *map(spelled, predicted.classes))
    ids = None if form is None else form.ids
    lines = () if form is None else form.lines
    holds = Holds.flags if form is None else Holds.probabilities
    first_id = 0 if form is None else form.first_id
    return Form(header[0], header, 0, ids, lines, holds, predicted.classes, first_id)


def _about(predicted: Predicted, target: Path) -> Mapping[str, Any]:
    return {
        "schema": SCHEMA,
        "file": target.name,
        "sha256": file_digest(target),
        "of": predicted.source,
        "rows": len(predicted.probabilities),
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
        "objective": predicted.objective,
        "out_of_fold": dict(predicted.scores),
        "test_score": predicted.true_score,
    }
