"""Kept models, asked about a test set: one, a trial's folds, several trials, several searches."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
import pytest
from fitted import digits, fake_train_final, searched, train_nothing
from running import run

from kerasgrid.delivery import fitting, predicting
from kerasgrid.delivery.ensembles import combine_ranks
from kerasgrid.delivery.fitting import fit
from kerasgrid.delivery.models import read_card
from kerasgrid.delivery.predicting import predict
from kerasgrid.delivery.submission import write_submission
from kerasgrid.errors import DataError, ResultsError
from kerasgrid.io import file_digest
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths
from kerasgrid.tables.predictions import read_held_out

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager")]
IMAGES, LABELS = digits()
N_SOME = 256
AUGMENT = {"width_shift_range": [-1, 0, 1], "featurewise_center": True, "rotation_range": 5}


@pytest.fixture(scope="module")
def augmented(tmp_path_factory):
    """A search with augmentation and images that are centred, of which all fold models are kept."""
    return searched(tmp_path_factory.mktemp("augmented"), augment=AUGMENT)


@pytest.fixture(scope="module")
def told(augmented):
    """What the fold models of its best say of all digits."""
    return predict(augmented, "digits", models="folds")


@pytest.fixture(scope="module")
def some(tmp_path_factory):
    """A test set of some of the digits."""
    file = tmp_path_factory.mktemp("some") / "test.npz"
    np.savez(file, images=IMAGES[:N_SOME], labels=LABELS[:N_SOME])
    return file


@pytest.fixture(scope="module")
def fitted(augmented, tmp_path_factory):
    """The same search with a model of all training data."""
    folder = tmp_path_factory.mktemp("fitted") / "results"
    shutil.copytree(augmented.parent, folder)
    fit(folder / "grid.json", epochs=1)
    return folder / "grid.json"


@pytest.fixture(scope="module")
def other_search(tmp_path_factory):
    """A search of the same data by other rates."""
    space = {"learning_rate": [0.02, 0.1]}
    return searched(tmp_path_factory.mktemp("other"), name="other", space=space, augment=AUGMENT)


@pytest.fixture
def fitted_copy(fitted, tmp_path):
    return renamed(fitted, tmp_path)


def renamed(path, folder, name="grid", **changes):
    """Copies what a search has left into a folder by a name; returns its results.json there."""
    shutil.copytree(path.with_suffix(""), folder / name)
    (folder / f"{name}.json").write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder / f"{name}.json"


def asked(file):
    """What plain Keras says of images as they stand in the file."""
    import keras

    return keras.models.load_model(file).predict(IMAGES, batch_size=512, verbose=0)


@pytest.mark.backend
def test_the_average_of_fold_models_is_what_keras_says(augmented, told):
    best = json.loads(augmented.read_text())["best"]["trial"]
    files = [RunPaths(augmented.parent, "grid").model(best, fold, 0) for fold in range(2)]
    wanted = np.mean([asked(file).astype(np.float64) for file in files], axis=0)
    np.testing.assert_array_equal(told.probabilities, wanted.astype(np.float32))
    assert told.true_score == np.mean(told.labels == LABELS) > 0.6
    assert told.trials[0].what == "2 fold models"
    assert told.scores == {
        "grid, trial 1": pytest.approx(json.loads(augmented.read_text())["best"]["mean_test_score"])
    }


def test_views_are_drawn_within_the_recipe_and_scored_out_of_fold(augmented, told, some):
    found = predict(augmented, some, models="folds", tta=2)
    again = predict(augmented, some, models="folds", tta=2)
    np.testing.assert_array_equal(found.probabilities, again.probabilities)
    assert not np.allclose(found.probabilities, told.probabilities[:N_SOME], atol=1e-3)
    assert found.true_score > 0.6
    assert found.scores.keys() == told.scores.keys()
    assert found.scores["grid, trial 1"] != told.scores["grid, trial 1"]
    assert "with 2 augmented views of each sample" in found.lines()[0]


def test_without_fold_models_views_are_not_scored(fitted_copy):
    for file in RunPaths(fitted_copy.parent, "grid").models:
        file.unlink()
    found = predict(fitted_copy, IMAGES[:3], tta=2)
    assert found.trials[0].kind == "fit"
    assert found.notes[0] == ("The out-of-fold scores are without tta: it would need the fold models too.")


@pytest.fixture(scope="module")
def parts(augmented, told, some):
    """What the fold models of each trial say of some digits, the best trial's first."""
    other = predict(augmented, some, trial=0, models="folds")
    return [told.probabilities[:N_SOME], other.probabilities]


@pytest.mark.parametrize("way", ["mean", "rank", "weighted"])
def test_trials_are_asked_together(augmented, some, parts, way):
    found = predict(augmented, some, top=2, ensemble=way, models="folds")
    if way == "weighted":
        assert sum(found.weights) == pytest.approx(1)
        wanted = np.tensordot(found.weights, parts, axes=1)
        np.testing.assert_allclose(found.probabilities, wanted, atol=1e-6)
    elif way == "rank":
        np.testing.assert_allclose(found.probabilities, combine_ranks(parts), atol=1e-6)
    else:
        np.testing.assert_allclose(found.probabilities, np.mean(parts, axis=0), atol=1e-6)
    assert found.scores.keys() == {"grid, trial 1", "grid, trial 0", "mean", "rank", "weighted"}
    held_out = read_held_out(augmented)
    mean = np.mean([held_out.trials[0], held_out.trials[1]], axis=0)
    assert found.scores["mean"] == pytest.approx(np.mean(mean.argmax(axis=1) == held_out.labels))
    assert found.true_score > 0.6
    taken = [line for line in found.lines() if "(taken)" in line]
    assert [line.split(" of ")[0] for line in taken] == [way]


def test_several_searches_are_asked_together(augmented, other_search, searched_competition, tmp_path):
    found = predict([augmented, other_search], IMAGES[:3], models="folds")
    assert [one.name for one in found.trials] == ["grid, trial 1", "other, trial 1"]
    assert {"mean", "rank", "weighted"} <= found.scores.keys()
    third = renamed(searched_competition / "results" / "grid.json", tmp_path, "third")
    found = predict([augmented, third], IMAGES[:3], models="folds")
    assert found.scores == {}  # of other samples
    assert "Out-of-fold predictions of third, trial 1 were not kept" in found.notes[0]
    with pytest.raises(ResultsError, match="no weights"):
        predict([augmented, third], IMAGES[:3], models="folds", ensemble="weighted")


def test_searches_of_one_name_are_told_apart(augmented, other_search, tmp_path):
    other = renamed(other_search, tmp_path)
    found = predict([augmented, other], IMAGES[:3], models="folds")
    names = [f"{augmented}, trial 1", f"{other}, trial 1"]
    assert [one.name for one in found.trials] == names
    own = [json.loads(path.read_text())["best"]["mean_test_score"] for path in (augmented, other)]
    assert [found.scores[name] for name in names] == pytest.approx(own)
    assert own[0] != own[1]
    with pytest.raises(ResultsError, match=r"grid\.json: is given twice\. top=K takes several"):
        predict([augmented, augmented], IMAGES[:3], models="folds")


@pytest.mark.parametrize(
    "labels",
    [
        LABELS,
        LABELS[:, None],
        LABELS.astype(float),
        np.eye(10, dtype=int)[LABELS],
        LABELS.astype("S1"),
        LABELS.astype(str),
    ],
    ids=["whole", "column", "floats", "one-hot", "bytes", "texts"],
)
def test_labels_of_every_form_that_training_takes_score_the_same(fitted, tmp_path, labels):
    np.savez(tmp_path / "test.npz", images=IMAGES[:N_SOME], labels=labels[:N_SOME])
    found = predict(fitted, tmp_path / "test.npz")
    assert found.notes == ()
    assert found.true_score == np.mean(found.labels == LABELS[:N_SOME])


def test_a_score_that_tells_nothing_or_cannot_be_had_is_said_to_be(augmented, told, tmp_path):
    assert told.notes == ("digits is what the models were trained on: their score on it tells nothing.",)
    np.savez(tmp_path / "test.npz", images=IMAGES[:3], labels=["a", "b", "3"])
    found = predict(augmented, tmp_path / "test.npz", models="folds")
    assert found.true_score is None
    assert found.notes == ("The test set is not scored: its label 'a' is no class.",)
    path = renamed(augmented, tmp_path, objective={"name": "roc_auc_ovr"})
    np.savez(tmp_path / "test.npz", images=IMAGES[:3], labels=LABELS[:3])
    found = predict(path, tmp_path / "test.npz", models="folds")
    assert found.notes[0].startswith("The test set is not scored: Number of classes in y_true not equal")


def test_what_cannot_be_scored_out_of_fold_is_predicted_all_the_same(augmented, tmp_path):
    """Of two holdouts the samples in common may lack a class."""
    path = renamed(augmented, tmp_path, objective={"name": "roc_auc_ovr"})
    kept = RunPaths(tmp_path, "grid").oof
    with np.load(kept) as held_out:
        arrays = dict(held_out)
    arrays["fold"][arrays["labels"] == 3] = -1
    np.savez(kept, **arrays)
    found = predict(path, IMAGES[:3], models="folds")
    assert found.scores == {}
    assert found.notes[0].startswith("grid, trial 1 is not scored out of fold: Number of classes in y_true")
    assert found.probabilities.shape == (3, 10)


def test_only_models_that_were_trained_alike_are_averaged(fitted_copy, monkeypatch):
    monkeypatch.setattr(fitting, "train_final", fake_train_final)
    fit(fitted_copy, seeds=2, epochs=1)
    assert len(predict(fitted_copy, IMAGES[:5]).trials[0].models) == 2
    fit(fitted_copy, epochs=2)
    assert len(predict(fitted_copy, IMAGES[:5]).trials[0].models) == 1


def test_a_model_of_all_data_is_what_keras_says(fitted):
    best = RunPaths(fitted.parent, "grid").best
    told = read_card(best)["input"]
    assert told["center"][0][0] == pytest.approx(IMAGES.mean() / 16, rel=1e-5)
    assert told["is_scaled_inside"]
    np.testing.assert_array_equal(predict(fitted, IMAGES).probabilities, asked(best))


@pytest.fixture(scope="module")
def aged(fitted, tmp_path_factory):
    """The same search with files of earlier versions: the nets alone, and cards that do not tell of it."""
    import keras

    from kerasgrid.training.saving import net_of

    path = renamed(fitted, tmp_path_factory.mktemp("aged"))
    paths = RunPaths(path.parent, "grid")
    for file in [*paths.models, *paths.fitted(0, 0).parent.glob("*.keras"), paths.best]:
        model = keras.models.load_model(file)
        assert net_of(model) is not model
        net_of(model).save(file)
        if (card := RunPaths.card(file)).exists():
            about = json.loads(card.read_text()) | {"sha256": file_digest(file)}
            del about["input"]["is_scaled_inside"]
            card.write_text(json.dumps(about))
    return path


@pytest.mark.parametrize(
    "asked", [{"models": "folds"}, {"models": "folds", "tta": 2}, {"models": "fit", "tta": 1}]
)
def test_files_of_earlier_versions_say_the_same(fitted, aged, some, asked):
    """Their images are divided and centred before they are asked, and views drawn between."""
    one, other = (predict(path, some, **asked) for path in (fitted, aged))
    np.testing.assert_allclose(one.probabilities, other.probabilities, rtol=0, atol=1e-6)
    assert one.scores == pytest.approx(other.scores)


def test_that_a_model_there_is_of_an_earlier_version_is_told(aged):
    notes = []

    class Notes(Observer):
        def note(self, text):
            notes.append(text)

    fit(aged, epochs=1, observer=Notes())
    assert notes[-1].startswith(
        "trial 1, seed 0: trial-1-seed-0.keras is there already. It was trained by an ear"
    )


@pytest.mark.parametrize(
    ("images", "odd"),
    [
        (IMAGES, None),
        (IMAGES[:1], None),
        (
            IMAGES[:3] / 16,
            "values are 0 to 1, and those trained on are 0 to 16 as stored: were these sc",
        ),
        (
            IMAGES[:3] / 16 - 0.3,
            "values are -0.3 to 0.7, and those trained on are 0 to 16 as stored: we",
        ),
    ],
)
def test_samples_that_were_scaled_already_are_told(fitted, images, odd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notes = predict(fitted, images).notes
    found = [str(one.message) for one in caught if one.category is UserWarning]
    assert [line for line in notes if line.startswith("Warning: ")] == [f"Warning: {line}" for line in found]
    assert len(found) == (odd is not None)
    assert odd is None or found[0].startswith(odd)


def test_arrays_are_predicted_too(augmented, told):
    np.testing.assert_allclose(
        predict(augmented, IMAGES[5:9], models="folds").probabilities, told.probabilities[5:9], atol=1e-6
    )


@pytest.fixture(scope="module")
def searched_competition(tmp_path_factory):
    """A folder with train.csv, test.csv and sample_submission.csv as a competition gives them, searched."""
    tmp_path = tmp_path_factory.mktemp("competition")
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
    searched(tmp_path, data=data, search={"folds": 2, "keep_models": "best"})
    return tmp_path


@pytest.fixture
def competition(searched_competition, tmp_path):
    shutil.copytree(searched_competition, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results" / "grid.json"


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
    about = json.loads((tmp_path / "results/grid/submission.csv.json").read_text())
    assert (about["rows"], about["models"][0]["trial"]) == (100, 1)
    assert len(about["models"][0]["files"]) == 2


@pytest.fixture(scope="module")
def told_of_competition(searched_competition):
    return predict(searched_competition / "results" / "grid.json")


def test_forms_of_a_file(competition, told_of_competition, tmp_path):
    found = told_of_competition
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


def test_no_file_of_the_search_is_written_over(
    competition, told_of_competition, monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predicting, "predict", lambda *args, **kwargs: told_of_competition)
    before = (tmp_path / "results/grid.json").read_bytes()
    assert run(monkeypatch, "predict", "results/grid.json", "-o", "results/grid.csv") == 0
    assert (tmp_path / "results/grid.json").read_bytes() == before
    assert run(monkeypatch, "predict", "results/grid.json", "-o", "results/grid.json") == 1
    assert "predictions are written as CSV" in capsys.readouterr().err
    assert run(monkeypatch, "predict", "results/grid.json", "-o", "results/grid.csv") == 0  # its own, again
    monkeypatch.setattr(predicting, "predict", None)  # told before models are asked
    for mine in ("train.csv", "sample_submission.csv"):
        before = (tmp_path / mine).read_bytes()
        assert run(monkeypatch, "predict", "results/grid.json", "-o", mine) == 1
        assert f"{mine}: is there already, and is not as predict has written it" in capsys.readouterr().err
        assert (tmp_path / mine).read_bytes() == before
    with open("results/grid.csv", "a") as file:
        file.write("by hand\n")
    assert run(monkeypatch, "predict", "results/grid.json", "-o", "results/grid.csv") == 1
    assert "results/grid.csv: is there already, and is not as predict" in capsys.readouterr().err
    assert run(monkeypatch, "predict", "results/grid.json", "--like", "x/y") == 1
    assert "'x/y' is no form of a submission" in capsys.readouterr().err
    assert run(monkeypatch, "predict", "results/grid.json", "--sample", "no.csv") == 1
    assert "no.csv" in capsys.readouterr().err
    (tmp_path / "mine.csv.json").write_text("{}")
    assert run(monkeypatch, "predict", "results/grid.json", "-o", "mine.csv") == 1
    assert "mine.csv.json: is no note beside predictions" in capsys.readouterr().err


def test_fit_names_the_command_that_will_run(competition, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    card = {"trial": 1, "how": "1 epoch, as asked for", "fit_time": 1.0}
    monkeypatch.setattr(fitting, "fit", lambda *args, **kwargs: fitting.Fitted((Path("a.keras"),), (card,)))
    assert run(monkeypatch, "fit", "results/grid.json") == 0
    assert capsys.readouterr().out.endswith("Next:\n  kerasgrid predict results/grid.json\n")


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "message"),
        [
            ({"models": "fit"}, "trial 1 has no model of all training data. Train one: kerasgrid fit "),
            ({"models": "finetuned"}, "trial 1 has no fold models that were trained on. Train them: "),
            ({"trial": 7}, "there is no trial 7. Known: 0, 1."),
            ({"models": "fitted"}, "'fitted' is no kind of models; auto, fit, finetuned, folds hold."),
            ({"top": 0}, "top is 0; a whole number of at least 1 holds."),
            ({"tta": -1}, "tta is -1; a number of augmented views, or 0 for none, holds."),
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

    def test_of_other_shapes(self, augmented, tmp_path, monkeypatch):
        train_nothing(monkeypatch)
        np.savez(tmp_path / "small.npz", images=IMAGES[:200, :6], labels=LABELS[:200])
        data = {"train": str(tmp_path / "small.npz")}
        other = searched(tmp_path, name="other", data=data, params={"epochs": 1}, space={})
        with pytest.raises(ResultsError, match=r"is of images of \[6, 8, 1\], and .* of \[8, 8, 1\]"):
            predict([augmented, other], "digits", models="folds")

    def test_of_other_classes(self, augmented, tmp_path):
        data = json.loads(augmented.read_text())
        data["data"] |= {"class_names": ["a", "b"], "classes": 2}
        (tmp_path / "other.json").write_text(json.dumps(data))
        with pytest.raises(ResultsError, match="is of other classes than"):
            predict([augmented, tmp_path / "other.json"], "digits")


def test_two_workers_say_the_same(augmented, told, some, tmp_path):
    path = renamed(augmented, tmp_path)
    two = ["executor.kind=processes", "executor.workers=2"]
    found = predict(path, some, models="folds", overrides=two)
    np.testing.assert_allclose(found.probabilities, told.probabilities[:N_SOME], atol=1e-5)


def test_a_fold_model_that_is_damaged_is_told_by_name(augmented, tmp_path):
    path = shutil.copytree(augmented.parent, tmp_path / "results") / "grid.json"
    file = RunPaths(path.parent, "grid").model(json.loads(path.read_text())["best"]["trial"], 1, 0)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ResultsError, match=rf"{file.name}: Keras cannot load it \(it is damaged"):
        predict(path, IMAGES[:3], models="folds")
    found = fit(path, finetune=True, epochs=1)
    assert len(found.models) == 1
    assert file.name in found.failed[0]
