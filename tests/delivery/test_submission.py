"""How predictions will be written, before any model is asked."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from kerasgrid.config.sections import DataConfig
from kerasgrid.delivery.submission import SCHEMA, plan_submission
from kerasgrid.errors import DataError
from kerasgrid.records import Target
from kerasgrid.run.paths import RunPaths

VALUES = np.array([[0.75, 0.25], [0.5, 0.125]], np.float32)


def planned(tmp_path, names, sample=None, *, kind="classes", **how):
    paths, data = RunPaths(tmp_path, "grid"), DataConfig(id="Id")
    finished = SimpleNamespace(target=Target(kind, names), paths=paths, data_config=data)
    if sample is not None:
        (tmp_path / "sample.csv").write_text(sample)
        how["sample"] = tmp_path / "sample.csv"
    return plan_submission(finished, tmp_path / "out.csv", is_own_data=True, **how)


@pytest.fixture
def written(tmp_path):
    def write(*given, **how):
        submission = planned(tmp_path, *given, **how)
        submission.form.write(submission.target, None, VALUES, given[0])
        text = submission.target.read_text()
        submission.target.unlink()
        return text

    return write


def test_a_column_of_one_class_has_the_probability_of_that_class(written):
    sample = "id,cat\n1,0\n2,0\n"
    assert written(("cat", "dog"), sample) == "id,cat\n1,1\n2,1\n"
    assert written(("cat", "dog"), sample, probabilities=True) == "id,cat\n1,0.75\n2,0.5\n"


def test_labels_of_two_classes_become_the_probability_of_the_second(written):
    sample = "id,target\n1,0\n2,1\n"
    assert written((0, 1), sample, probabilities=True) == "id,target\n1,0.25\n2,0.125\n"


def test_probabilities_keep_the_columns_of_a_sample(written):
    sample = "id,scab,rust\n1,0,0\n2,1,0\n"
    text = written(("rust", "scab"), sample, kind="labels", probabilities=True)
    assert text == "id,scab,rust\n1,0.25,0.75\n2,0.125,0.5\n"
    shown = "id,dog,cat\n1,0.5,0.5\n2,0.5,0.5\n"
    assert written(("cat", "dog"), shown, probabilities=True) == "id,dog,cat\n1,0.25,0.75\n2,0.125,0.5\n"


def test_by_a_convention_several_labels_have_a_column_each(written):
    classes = ("rust", "scab")
    assert written(classes, kind="labels", like="ImageId/Label") == "ImageId,rust,scab\n1,1,0\n2,1,0\n"
    text = written(classes, kind="labels", like="id/label", probabilities=True)
    assert text == "id,rust,scab\n0,0.75,0.25\n1,0.5,0.125\n"


def test_a_sample_of_no_known_form_says_what_can_be_done(tmp_path):
    with pytest.raises(DataError, match=r"Write it yourself, from what kerasgrid predict --like id/label"):
        planned(tmp_path, (0, 1, 2), "id,colour,size\n1,2,3\n")
    assert planned(tmp_path, (0, 1, 2), like="id/label", probabilities=True).form.header == (
        "id",
        "0",
        "1",
        "2",
    )


def test_numbers_have_a_column_each_with_the_ids_name(written):
    assert written(("price", "rent"), kind="numbers") == "Id,price,rent\n0,0.75,0.25\n1,0.5,0.125\n"
    text = written(("price", "rent"), kind="numbers", like="id/label")
    assert text == "id,price,rent\n0,0.75,0.25\n1,0.5,0.125\n"
    assert written(("price", "rent"), "n,rent\n4,0\n2,0\n", kind="numbers") == "n,rent\n4,0.25\n2,0.125\n"


def test_numbers_have_no_probabilities(tmp_path):
    with pytest.raises(DataError, match=r"^--proba writes a probability a class, and here numbers are"):
        planned(tmp_path, ("price",), kind="numbers", probabilities=True)


def test_a_file_of_the_users_is_not_written_over(tmp_path):
    (tmp_path / "out.csv").write_text("mine")
    with pytest.raises(DataError, match=r"out\.csv: is there already, and is not as predict has"):
        planned(tmp_path, (0, 1))


def test_what_was_cut_off_between_the_file_and_its_note_is_written_anew(tmp_path):
    (tmp_path / "out.csv").write_text("half of it")
    (tmp_path / "out.csv.json").write_text(json.dumps({"schema": SCHEMA, "sha256": None}))
    assert planned(tmp_path, (0, 1)).target == tmp_path / "out.csv"
