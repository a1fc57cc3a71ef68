"""Kept models, asked about a test set: one, a trial's folds, several trials, several searches."""

from __future__ import annotations

import json
import os
import shutil

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
import pytest
from fitted import digits, searched
from running import run

from kerasgrid.delivery.fitting import fit
from kerasgrid.delivery.predicting import predict
from kerasgrid.delivery.submission import write_submission
from kerasgrid.errors import DataError, ResultsError
from kerasgrid.io import RunPaths
from kerasgrid.tables.predictions import read_held_out

pytestmark = pytest.mark.slow
IMAGES, LABELS = digits()
AUGMENT = {"width_shift_range": [-1, 0, 1], "featurewise_center": True, "rotation_range": 5}


@pytest.fixture(scope="module")
def augmented(tmp_path_factory):
    """A search with augmentation and images that are centred, of which all fold models are kept."""
    return searched(tmp_path_factory.mktemp("augmented"), augment=AUGMENT)


def asked(path, trial, fold, images=IMAGES, **about):
    """What plain Keras says, after what the search does to its images."""
    import keras

    paths = RunPaths(path.parent, "grid")
    model = keras.models.load_model(paths.model(trial, fold, 0), compile=False)
    folds = np.load(paths.folds)
    rows = folds[f"train_{fold}"]
    kept = np.load(f"{about['data']}/images.npy")[rows] / 16
    return model.predict((images / 16 - kept.mean()).astype(np.float32), verbose=0)


@pytest.fixture
def data_folder(augmented):
    from kerasgrid.delivery.finished import Finished

    search = Finished(augmented)
    return search.prepare(search.draft(search.rows())).data.folder


@pytest.mark.backend
def test_the_average_of_fold_models_is_what_keras_says(augmented, data_folder):
    found = predict(augmented, "digits", models="folds")
    best = json.loads(augmented.read_text())["best"]["trial"]
    wanted = np.mean([asked(augmented, best, fold, data=data_folder) for fold in range(3)], axis=0)
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-5)
    assert found.true_score == np.mean(found.labels == LABELS) > 0.6
    assert found.trials[0].what == "3 fold models"
    assert found.scores == {
        "grid, trial 1": pytest.approx(json.loads(augmented.read_text())["best"]["mean_test_score"])
    }


@pytest.mark.backend
def test_views_are_drawn_within_the_recipe_and_scored_out_of_fold(augmented):
    plain = predict(augmented, "digits", models="folds")
    found = predict(augmented, "digits", models="folds", tta=3)
    again = predict(augmented, "digits", models="folds", tta=3)
    np.testing.assert_array_equal(found.probabilities, again.probabilities)
    assert not np.allclose(found.probabilities, plain.probabilities, atol=1e-3)
    assert found.true_score > 0.6
    assert found.scores.keys() == plain.scores.keys()
    assert found.scores["grid, trial 1"] != plain.scores["grid, trial 1"]
    assert found.notes == ()
    assert "with 3 augmented views of each sample" in found.lines()[0]


def test_without_fold_models_views_are_not_scored(augmented, tmp_path):
    shutil.copytree(augmented.parent, tmp_path / "results")
    path = tmp_path / "results" / "grid.json"
    fit(path, epochs=1)
    for file in RunPaths(path.parent, "grid").models:
        file.unlink()
    found = predict(path, "digits", tta=2)
    assert found.trials[0].kind == "fit"
    assert found.notes == ("The out-of-fold scores are without --tta: it would need the fold models too.",)


@pytest.mark.parametrize("way", ["mean", "rank", "weighted"])
def test_trials_are_asked_together(augmented, way):
    found = predict(augmented, "digits", top=2, ensemble=way, models="folds")
    parts = [predict(augmented, "digits", trial=trial, models="folds").probabilities for trial in (1, 0)]
    if way == "weighted":
        assert sum(found.weights) == pytest.approx(1)
        wanted = np.tensordot(found.weights, parts, axes=1)
        np.testing.assert_allclose(found.probabilities, wanted, atol=1e-6)
    elif way == "mean":
        np.testing.assert_allclose(found.probabilities, np.mean(parts, axis=0), atol=1e-6)
    assert found.scores.keys() == {"grid, trial 1", "grid, trial 0", "mean", "rank", "weighted"}
    held_out = read_held_out(augmented)
    mean = np.mean([held_out.trials[0], held_out.trials[1]], axis=0)
    assert found.scores["mean"] == pytest.approx(np.mean(mean.argmax(axis=1) == held_out.labels))
    assert found.true_score > 0.6
    taken = [line for line in found.lines() if "(taken)" in line]
    assert [line.split(" of ")[0] for line in taken] == [way]


def test_several_searches_are_asked_together(augmented, tmp_path):
    other = searched(tmp_path, name="other", params={"batch_size": 32, "epochs": 2}, augment=None)
    found = predict([augmented, other], "digits", models="folds")
    assert [one.name for one in found.trials] == ["grid, trial 1", "other, trial 1"]
    assert {"mean", "rank", "weighted"} <= found.scores.keys()
    third = searched(
        tmp_path, name="third", data={"train": "digits", "scale": 16, "subset": 500}, augment=None
    )
    found = predict([augmented, third], "digits", models="folds")
    assert found.scores == {}  # of other samples
    assert "Out-of-fold predictions of third, trial 1 were not kept" in found.notes[0]
    with pytest.raises(ResultsError, match="no weights"):
        predict([augmented, third], "digits", models="folds", ensemble="weighted")


def test_arrays_are_predicted_too(augmented):
    whole = predict(augmented, "digits", models="folds")
    np.testing.assert_allclose(
        predict(augmented, IMAGES[5:9], models="folds").probabilities, whole.probabilities[5:9], atol=1e-6
    )


@pytest.fixture
def competition(tmp_path, augmented):
    """A folder with train.csv, test.csv and sample_submission.csv as a competition gives them, searched."""
    names = [f"pixel{n}" for n in range(64)]
    train = pd.DataFrame(IMAGES[:400].reshape(400, 64), columns=names)
    train.insert(0, "label", LABELS[:400])
    train.to_csv(tmp_path / "train.csv", index=False)
    test = pd.DataFrame(IMAGES[400:500].reshape(100, 64), columns=names)
    test.insert(0, "id", range(1000, 1100))
    test.to_csv(tmp_path / "test.csv", index=False)
    sample = pd.DataFrame({"id": range(1099, 999, -1), "Category": 0})
    sample.to_csv(tmp_path / "sample_submission.csv", index=False)
    data = {"train": str(tmp_path / "train.csv"), "test": str(tmp_path / "test.csv"), "scale": 16}
    return searched(tmp_path, data=data, search={"folds": 2, "keep_models": "best"})


def test_a_submission_follows_the_sample_beside_the_test_set(competition, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "predict", "results/grid.json") == 0
    told = capsys.readouterr().out
    assert "results/grid/submission.csv: Category: the label of the most probable class, 100 rows" in told
    assert told.endswith("Next:\n  kerasgrid submit results/grid.json -c COMPETITION -m MESSAGE\n")
    written = pd.read_csv("results/grid/submission.csv")
    assert list(written.columns) == ["id", "Category"]
    assert written["id"].tolist() == list(range(1099, 999, -1))
    assert np.mean(written["Category"].to_numpy()[::-1] == LABELS[400:500]) > 0.4
    about = json.loads((tmp_path / "results/grid/submission.json").read_text())
    assert (about["rows"], about["models"][0]["trial"]) == (100, 1)
    assert len(about["models"][0]["files"]) == 2


def test_forms_of_a_file(competition, tmp_path):
    found = predict(competition)
    target, _ = write_submission(found, tmp_path / "out.csv", probabilities=True)
    written = pd.read_csv(target)
    assert list(written.columns) == ["id", *map(str, range(10))]
    np.testing.assert_allclose(written.iloc[::-1, 1:].to_numpy(), found.probabilities, atol=1e-6)
    target, _ = write_submission(found, tmp_path / "out.csv", like="ImageId/Label")
    assert pd.read_csv(target).columns.tolist() == ["ImageId", "Label"]
    counted = predict(competition, IMAGES[:3])
    target, _ = write_submission(counted, tmp_path / "out.csv", like="ImageId/Label", is_own_data=True)
    assert pd.read_csv(target)["ImageId"].tolist() == [1, 2, 3]
    with pytest.raises(DataError, match=r"train\.csv"):
        write_submission(found, tmp_path / "o.csv", sample=tmp_path / "train.csv")


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"models": "fit"}, "trial 1 has no model of all training data. Train one: kerasgrid fit "),
            ({"models": "finetuned"}, "trial 1 has no fold models that were trained on. Train them: "),
            ({"trial": 7}, "there is no trial 7. Known: 0, 1."),
            ({"ensemble": "vote"}, "'vote' is no way to ask several models; mean, rank, weighted hold."),
        ],
    )
    def test_of_models(self, augmented, asked, message):
        with pytest.raises(ResultsError) as caught:
            predict(augmented, "digits", **asked)
        assert message in str(caught.value)

    def test_views_without_augmentation(self, competition):
        with pytest.raises(ResultsError, match="grid, trial 1: was trained without augmentation"):
            predict(competition, tta=2)

    def test_no_test_set(self, augmented):
        with pytest.raises(DataError, match=r"its config names no data\.test\. Give the samples to predict"):
            predict(augmented)

    def test_a_test_set_of_another_shape(self, augmented, tmp_path):
        np.save(tmp_path / "x.npy", IMAGES[:, :4])
        with pytest.raises(DataError, match=r"images of \[4, 8, 1\], and those trained on have \[8, 8, 1\]"):
            predict(augmented, tmp_path / "x.npy")

    def test_of_other_classes(self, augmented, tmp_path):
        data = json.loads(augmented.read_text())
        data["data"]["class_names"] = ["a", "b"]
        (tmp_path / "other.json").write_text(json.dumps(data))
        with pytest.raises(ResultsError, match="is of other classes than"):
            predict([augmented, tmp_path / "other.json"], "digits")


@pytest.mark.backend
def test_two_workers_say_the_same(augmented, tmp_path):
    wanted = predict(augmented, "digits", models="folds").probabilities
    shutil.copytree(augmented.parent, tmp_path / "results")
    two = ["executor.kind=processes", "executor.workers=2"]
    found = predict(tmp_path / "results" / "grid.json", "digits", models="folds", overrides=two)
    np.testing.assert_allclose(found.probabilities, wanted, atol=1e-5)
