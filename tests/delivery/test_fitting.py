"""The best candidates on all of the training data: what is trained, kept, told and gone on with."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from fitted import CONFIG, STOPPING, digits, fake_train_final, searched, train_nothing
from running import run
from sklearn.datasets import load_digits

import kerasgrid.delivery.fitting as fitting
from kerasgrid import executors
from kerasgrid.delivery.finished import FinishedRun
from kerasgrid.delivery.fitting import fit
from kerasgrid.delivery.models import read_card
from kerasgrid.delivery.predicting import predict
from kerasgrid.driver import search as driver
from kerasgrid.driver.results import Results
from kerasgrid.errors import ChangedError, ConfigError, LockedError, NoModelError, ResultsError
from kerasgrid.jobs.tasks import FinalRecord
from kerasgrid.locks import FolderLock
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A search whose folds were stopped early, by inner splits."""
    return searched(
        tmp_path_factory.mktemp("stopped"),
        callbacks=STOPPING,
        params={**CONFIG["params"], "epochs": 6},
        space={"learning_rate": [0.3]},
        search={"folds": 3},
    )


@pytest.fixture(scope="module")
def plain_search(tmp_path_factory):
    """A search of nets that have all that a fit has to keep: moving averages, dropout and momentum."""
    params = {**CONFIG["params"], "batch_norm": True, "dropout": 0.2}
    return searched(tmp_path_factory.mktemp("plain"), params=params)


def copied(path, folder):
    """Copies a search's results into folder/results; returns its results.json there."""
    return shutil.copytree(path.parent, folder / "results") / path.name


@pytest.fixture
def plain(tmp_path, plain_search):
    """A copy of a search without callbacks."""
    return copied(plain_search, tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, plain_search):
    """Such a search of which the best candidate was trained on all data: its path, what came of it, notes."""
    path, notes = copied(plain_search, tmp_path_factory.mktemp("whole")), Notes()
    return path, fit(path, observer=notes), notes


@pytest.fixture
def fake_search(monkeypatch):
    """Lets a search train nothing."""
    train_nothing(monkeypatch)


@pytest.fixture
def fake_fits(monkeypatch):
    """Lets `fit` train nothing; a list of the tasks that it was given."""
    tasks = []

    def train(recipe, task, context):
        tasks.append(task)
        fake_train_final(recipe, task, context)

    monkeypatch.setattr(fitting, "train_final", train)
    return tasks


class Notes(Observer):
    def __init__(self):
        self.told, self.epochs = [], []

    def note(self, text):
        self.told.append(text)

    def epoch(self, record):
        self.epochs.append(record.epoch)


class Stopping(Observer):
    """Raises in the middle of a fit, as a crash would."""

    def epoch(self, record):
        if record.epoch == 2:
            raise RuntimeError("crash")


def weights_of(path):
    import keras

    return keras.models.load_model(path, compile=False, safe_mode=True).get_weights()


@pytest.mark.backend
def test_the_best_is_trained_by_its_recipe_and_does_what_it_should(whole):
    import keras

    path, found, notes = whole
    card = found.cards[0]
    assert (found.failed, found.is_interrupted) == ((), False)
    assert notes.epochs == [1, 2, 3, 4]
    assert (card["how"], card["epochs"]) == ("4 epochs, as in the search", 4)
    assert card["trial"] == json.loads(path.read_text())["best"]["trial"]
    assert card["data"]["samples"] == 1797
    row = json.loads(path.read_text())["trials"][1]
    own, debiased = (f"{row[name]:.4f}" for name in ("mean_test_score", "mean_debiased_score"))
    assert notes.told == [
        "The search saw 600 samples of digits; models are trained on all 1,797.",
        "trial 1, seed 0: 31% of the moving statistics of BatchNormalization are still first values in the "
        f"model that is saved. In the search it scored {own} so, and {debiased} by debiased statistics. With "
        'overrides=["training.batch_norm=debiased"] it is saved without them.',
    ]
    assert (card["batch_norm"], card["first_values"]) == ("keras", pytest.approx(0.99**116, rel=1e-3))
    images, labels = digits()
    model = keras.models.load_model(found.models[0], compile=False)
    assert np.mean(model.predict(images, verbose=0).argmax(axis=1) == labels) > 0.9
    paths = RunPaths(path.parent, "grid")
    assert paths.best.read_bytes() == found.models[0].read_bytes()
    assert read_card(paths.best)["sha256"] == card["sha256"]


def test_a_search_that_stopped_early_is_trained_for_the_median_with_that_folds_rates(stopped):
    row = json.loads(stopped.read_text())["trials"][0]
    best = sorted(part["best_epoch"] for part in row["folds"])
    rates = next(p["history"]["learning_rate"] for p in row["folds"] if p["best_epoch"] == best[1])
    card = fit(stopped, trial=0).cards[0]
    assert card["epochs"] == best[1] < 6
    assert len(set(rates)) > 1
    assert card["learning_rates"] == rates[: best[1]]
    np.testing.assert_allclose(card["history"]["learning_rate"], rates[: best[1]], rtol=1e-6)
    assert not [name for name in card["history"] if name.startswith(("val_", "test_"))]


def test_what_is_damaged_is_made_anew_and_a_crash_and_a_rerun_give_the_same_bits(whole, tmp_path):
    path = copied(whole[0], tmp_path)
    model = RunPaths(path.parent, "grid").fitted(1, 0)
    model.write_bytes(b"damaged")
    with pytest.raises(RuntimeError, match="crash"):
        fit(path, observer=Stopping(), checkpoint_interval_s=0)
    left = model.with_suffix(".checkpoint.npz")
    assert left.exists()
    notes = Notes()
    assert fit(path, observer=notes).models == (model,)
    assert notes.epochs[0] > 1
    assert notes.epochs[-1] == 4
    assert not left.exists()
    for one, other in zip(weights_of(model), weights_of(whole[1].models[0]), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_there_is_left_and_seeds_give_a_model_each(whole, tmp_path):
    path, notes = copied(whole[0], tmp_path), Notes()
    found = fit(path, seeds=2, observer=notes)
    assert notes.told[-2] == "trial 1, seed 0: trial-1-seed-0.keras is there already."
    assert notes.told[-1].startswith("trial 1, seed 1: 31% of the moving statistics")
    assert notes.epochs == [1, 2, 3, 4]
    first, second = (weights_of(file)[0] for file in found.models)
    assert not np.array_equal(first, second)
    notes = Notes()
    assert fit(path, seeds=2, observer=notes).models == found.models
    assert notes.epochs == []


@pytest.mark.backend
def test_statistics_without_first_values_are_saved_where_that_is_asked_for(whole, tmp_path):
    """Of the same training, whose other weights are the same."""
    path, notes = copied(whole[0], tmp_path), Notes()
    found = fit(path, overrides=["training.batch_norm=debiased"], observer=notes)
    assert len(notes.told) == 1
    assert found.cards[0]["batch_norm"] == "debiased"
    share = found.cards[0]["first_values"]
    same = []
    for raw, own in zip(weights_of(whole[1].models[0]), weights_of(found.models[0]), strict=True):
        same.append(np.array_equal(raw, own))
        if not same[-1]:
            first = (raw - own * (1 - share)) / share  # 0 of means, 1 of variances
            np.testing.assert_allclose(first, np.full_like(first, round(float(first.mean()))), atol=1e-3)
    assert same.count(False) == 2


COLD = (
    "trial 1, seed 0: 40% of the moving statistics of BatchNormalization are still first values in the model "
    "that is saved."
)


@pytest.mark.parametrize(
    ("first_values", "debiased", "params", "told"),
    [
        (
            0.4,
            0.75,
            {},
            f"{COLD} In the search it scored 0.5000 so, and 0.7500 by debiased statistics. With "
            'overrides=["training.batch_norm=debiased"] it is saved without them.',
        ),
        (
            0.4,
            None,
            {},
            f'{COLD} With overrides=["training.batch_norm=debiased"] it is saved without them.',
        ),
        (
            0.4,
            None,
            {"training.batch_norm": "keras"},
            f"{COLD} Models of training.batch_norm: debiased are saved without them.",
        ),
        (0.4, None, {"training.batch_norm": "debiased"}, None),
        (0.02, None, {}, None),
        (None, None, {}, None),
    ],
)
def test_a_model_that_has_not_warmed_up_is_told(plain, monkeypatch, first_values, debiased, params, told):
    def train(recipe, task, context):
        class Cold:
            def emit(self, payload):
                is_end = isinstance(payload, FinalRecord)
                context.emit(replace(payload, first_values=first_values) if is_end else payload)

        fake_train_final(recipe, task, Cold())

    monkeypatch.setattr(fitting, "train_final", train)
    content = json.loads(plain.read_text())
    content["trials"][1] |= {"mean_test_score": 0.5, "mean_debiased_score": debiased}
    content["trials"][1]["params"] |= params
    plain.write_text(json.dumps(content))
    notes = Notes()
    found = fit(plain, trial=1, observer=notes)
    assert notes.told[1:] == ([] if told is None else [told])
    assert found.cards[0]["first_values"] == first_values
    assert found.cards[0]["scores"]["mean_debiased_score"] == debiased


@pytest.mark.parametrize("debiased", [None, 0.75])
def test_fold_models_that_have_not_warmed_up_are_told_where_they_are_gone_on_with(plain, fake_fits, debiased):
    content, notes = json.loads(plain.read_text()), Notes()
    content["trials"][1] |= {"mean_debiased_score": debiased, "first_values": 0.4}
    plain.write_text(json.dumps(content))
    fit(plain, trial=1, finetune=True, observer=notes)
    told = (
        "trial 1: up to 40% of the moving statistics of BatchNormalization are first values in its fold "
        "models, and what is left of them after finetuning stays. Fold models of a search with `training: "
        "{batch_norm: debiased}` have none."
    )
    assert [text for text in notes.told if "BatchNormalization" in text] == (
        [] if debiased is None else [told]
    )


def test_another_course_is_another_model_and_one_that_is_damaged_is_made_anew(plain, fake_fits):
    first, notes = fit(plain, epochs=1), Notes()
    assert fit(plain, epochs=1, observer=notes).models == first.models
    assert notes.epochs == []
    first.models[0].write_bytes(b"damaged")
    fit(plain, epochs=1, observer=notes)
    assert notes.epochs == [1]
    notes = Notes()
    assert fit(plain, epochs=2, observer=notes).cards[0]["how"] == "2 epochs, as asked for"
    assert notes.epochs == [1, 2]


def test_seeds_and_the_best_few_have_a_file_each(plain, fake_fits):
    found = fit(plain, top=2, seeds=2, epochs=1)
    assert [file.name for file in found.models] == [
        f"trial-{trial}-seed-{seed}.keras" for trial in (1, 0) for seed in (0, 1)
    ]
    assert read_card(RunPaths(plain.parent, "grid").best)["trial"] == 1


@pytest.mark.backend
def test_fold_models_go_on_with_what_their_folds_held_out(plain):
    import keras

    found = fit(plain, finetune=True, epochs=2)
    assert [card["kind"] for card in found.cards] == ["finetuned"] * 2
    assert [card["fold"] for card in found.cards] == [0, 1]
    assert [card["data"]["samples"] for card in found.cards] == [300, 300]
    assert found.cards[0]["how"] == (
        "2 epochs on the 300 rows that fold 0 held out, "
        "at the learning rate 0.15, with which its training ended"
    )
    np.testing.assert_allclose(found.cards[0]["history"]["learning_rate"], [0.15, 0.15])
    losses = found.cards[0]["history"]["loss"]
    assert losses[1] < losses[0]
    before = weights_of(RunPaths(plain.parent, "grid").model(1, 0, 0))
    after = weights_of(found.models[0])
    assert not np.array_equal(before[0], after[0])
    assert max(abs(one - other).max() for one, other in zip(before, after, strict=True)) < 1
    layers = keras.models.load_model(found.models[0]).layers
    assert [layer.name for layer in layers] == ["stored_values", "stored_values_divided", "fc"]
    assert [type(layer).__name__ for layer in layers[-1].layers][:3] == ["InputLayer", "Flatten", "Dense"]
    assert not RunPaths(plain.parent, "grid").best.exists()


@pytest.fixture(scope="module")
def scheduled_search(tmp_path_factory):
    """A search with a schedule of learning rates, and a single fold."""
    cosine = {"learning_rate_scheduler": {"schedule": "cosine"}}
    return searched(
        tmp_path_factory.mktemp("scheduled"),
        callbacks=cosine,
        space={"learning_rate": [0.01]},
        search={"holdout": 0.25, "keep_models": "all"},
    )


def test_that_a_function_is_no_layer_is_told(tmp_path, monkeypatch, fake_search, fake_fits):
    (tmp_path / "pre.py").write_text("def f(image):\n    return image\n")
    monkeypatch.chdir(tmp_path)
    path, notes = searched(tmp_path, augment={"preprocessing_function": "pre.py:f"}, space={}), Notes()
    card = fit(path, epochs=1, observer=notes).cards[0]
    assert not card["input"]["is_scaled_inside"]
    assert [line for line in notes.told if "preprocessing_function" in line] == [
        "trial 0: augment.preprocessing_function (pre.py:f) is no layer, so that models take images that "
        "were scaled, went through it and were normalised. predict does so."
    ]


def test_after_a_schedule_they_go_on_at_a_rate_that_teaches(scheduled_search):
    card = fit(scheduled_search, finetune=True, epochs=1).cards[0]
    assert card["how"].endswith(", a tenth of its highest")
    assert 0.0005 < card["history"]["learning_rate"][0] < 0.001  # of 0.01, which falls within the first epoch


def test_a_rate_that_is_asked_for_is_taken_instead(scheduled_search, fake_fits):
    card = fit(scheduled_search, finetune=True, epochs=1, learning_rate=0.02).cards[0]
    assert card["how"].endswith("at the learning rate 0.02, as asked for")
    assert fake_fits[0].rates == (0.02,)


def test_a_schedule_is_over_the_epochs_that_are_asked_for(scheduled_search):
    (fold,) = json.loads(scheduled_search.read_text())["trials"][0]["folds"]
    searched_with = fold["history"]["learning_rate"]
    longer = fit(scheduled_search, epochs=6).cards[0]["history"]["learning_rate"]
    assert (len(searched_with), len(longer)) == (4, 6)
    assert longer[3] > searched_with[3]
    assert longer[-1] < 1e-3


def test_a_search_of_arrays_is_fitted_on_them_and_the_statistics_are_theirs(tmp_path, fake_search):
    """A second search of this process in the same place, of other arrays."""
    images, labels = digits()
    config = {**CONFIG, "data": {"standardize": True}, "space": {}}
    centers = []
    for factor in (1, 4):
        X = images[:300].astype(np.float32) * factor
        path = driver.search(config, X, labels[:300], results=tmp_path, fresh=True).path
        card = fit(path, epochs=1).cards[0]
        assert card["data"]["samples"] == 300
        centers.append(card["input"]["center"][0][0])
    assert centers[1] == pytest.approx(4 * centers[0], rel=1e-5)


def test_what_returns_no_model_is_not_called_for_another(plain, monkeypatch):
    """As a function of a package that a results.json alone names."""
    tasks = []

    def train(recipe, task, context):
        tasks.append(task)
        raise NoModelError("getoutput returned str, but must return a keras.Model.")

    monkeypatch.setattr(fitting, "train_final", train)
    with pytest.raises(NoModelError, match=r"^getoutput returned str, but must return a keras\.Model\.$"):
        fit(plain, seeds=3)
    assert len(tasks) == 1


def test_a_worker_that_dies_is_tried_once_more(plain, monkeypatch, fake_fits):
    class Dying(executors.Inline):
        n_runs = 0

        def run(self, function, tasks):
            self.n_runs += 1
            if self.n_runs == 1:
                for task in tasks:
                    yield executors.Died(task, "was killed by SIGKILL", True)
                return
            yield from super().run(function, tasks)

    monkeypatch.setattr(fitting, "lent_executor", lambda draft, most: Dying())
    notes = Notes()
    assert len(fit(plain, epochs=1, observer=notes).models) == 1
    assert notes.told[-1] == "trial 1, seed 0: the worker was killed by SIGKILL. It will be tried once more."


@pytest.mark.parametrize("n_losses", [2, 3])
def test_a_model_whose_machine_goes_is_tried_elsewhere(plain, monkeypatch, fake_fits, n_losses):
    class Losing(executors.Inline):
        n_lost = 0

        def run(self, function, tasks):
            if self.n_lost == n_losses:
                yield from super().run(function, tasks)
                return
            self.n_lost += 1
            for task in tasks:
                yield executors.Died(task, "was lost with its machine", False, is_lost=True)

    executor, notes = Losing(), Notes()
    monkeypatch.setattr(fitting, "lent_executor", lambda draft, most: executor)
    found = fit(plain, epochs=1, observer=notes)
    lost = "trial 1, seed 0: the worker was lost with its machine."
    assert notes.told.count(f"{lost} It will go on elsewhere.") == 2
    assert executor.tell == notes.note
    assert found.failed == ((lost,) if n_losses == 3 else ())
    assert len(found.models) == (n_losses == 2)


def test_what_dies_twice_is_told_and_the_others_are_kept(plain, monkeypatch, fake_fits):
    class Dying(executors.Inline):
        def run(self, function, tasks):
            tasks = list(tasks)
            dead = [task for task in tasks if task.job.repeat == 0]
            for task in dead:
                yield executors.Died(task, "exited with code 3", False)
            yield from super().run(function, [task for task in tasks if task not in dead])

    monkeypatch.setattr(fitting, "lent_executor", lambda draft, most: Dying())
    found = fit(plain, seeds=2, epochs=1)
    assert [file.name for file in found.models] == ["trial-1-seed-1.keras"]
    assert found.failed == ("trial 1, seed 0: the worker exited with code 3.",)
    assert not found.is_interrupted


OWN = """
import keras

def build(input_shape, n_classes, noise=1):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Lambda(lambda x: x),
                             keras.layers.Flatten(), keras.layers.Dense(n_classes, activation="softmax")])
"""


def test_a_model_that_keras_would_not_load_is_built_again_by_its_function(tmp_path, monkeypatch, fake_search):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(OWN)
    params = {"batch_size": 64, "epochs": 1}
    path = searched(tmp_path, model="nets.py:build", params=params, space={"noise": [1]})
    notes = Notes()
    found = fit(path, observer=notes)
    told = (
        "trial 0, seed 0: Keras cannot save this model, or would not load it in its safe mode (ValueError: "
    )
    assert any(note.startswith(told) and "nets.py:build builds it again" in note for note in notes.told)
    assert [file.name for file in found.models] == ["trial-0-seed-0.weights.npz"]
    assert not found.cards[0]["input"]["is_scaled_inside"]
    again = Notes()
    assert fit(path, observer=again).models == found.models
    assert again.epochs == []
    samples = load_digits().data.reshape(-1, 8, 8, 1).astype("float32")
    said = predict(path, samples)
    kept = Results.load(path).best_model.predict(samples, verbose=0)
    np.testing.assert_allclose(kept, said.probabilities, atol=1e-5)
    (tmp_path / "nets.py").write_text(OWN.replace("lambda x: x", "lambda x: 2 * x"))
    with pytest.raises(ChangedError, match=r"nets\.py:build: the source changed since the search"):
        fit(path)
    with pytest.raises(
        ChangedError, match=r"seed-0\.weights\.npz: holds the weights of a net that nets\.py:b"
    ):
        predict(path, samples)


@pytest.mark.parametrize(("override", "n_samples"), [("700", 700), ("600", 600), ("null", 1797), ("10", 10)])
def test_a_subset_of_its_own_may_be_trained_on(plain, override, n_samples, fake_fits):
    """The search saw 600 samples; no folds can be made of few, and none are needed."""
    card = fit(plain, epochs=1, overrides=[f"data.subset={override}"]).cards[0]
    assert card["data"]["samples"] == len(fake_fits[0].rows) == n_samples


def test_models_of_autokeras_are_told_how_many_samples_there_are_now(plain):
    """By which its learning rate falls to 0, over all epochs."""
    data = json.loads(plain.read_text())
    data["config"]["search"]["engine"] = "autokeras"
    plain.write_text(json.dumps(data))
    search = FinishedRun(plain)
    prepared = search.prepare_whole(search.rows())
    assert prepared.config.params["n_samples"] == len(prepared.data) == 1797


class TestRefusals:
    def test_no_such_trial(self, plain):
        with pytest.raises(ResultsError, match=r"there is no trial 9\. Known: 0, 1\."):
            fit(plain, trial=9)

    def test_no_fold_models(self, plain):
        for file in RunPaths(plain.parent, "grid").models:
            file.unlink()
        with pytest.raises(ResultsError, match="no fold models are there"):
            fit(plain, finetune=True)

    def test_other_data(self, plain, tmp_path):
        images, labels = digits()
        np.savez(tmp_path / "other.npz", images=images[::-1], labels=labels)
        with pytest.raises(ChangedError, match=r"other\.npz: is other data than .*grid\.json was made of"):
            fit(plain, overrides=[f"data.train={tmp_path}/other.npz"])

    @pytest.mark.parametrize("asked", [{"top": 0}, {"seeds": 0}, {"epochs": -1}])
    def test_numbers_below_1(self, plain, asked):
        ((name, value),) = asked.items()
        with pytest.raises(ResultsError, match=f"{name} is {value}; a whole number of at least 1 holds"):
            fit(plain, **asked)

    def test_another_recipe(self, plain):
        with pytest.raises(ConfigError, match=r"overrides, params\.dropout: belongs to the search"):
            fit(plain, overrides=["params.dropout=0.1"])

    def test_the_test_set_is_not_trained_on(self, tmp_path, fake_search, fake_fits):
        images, labels = digits()
        for name, rows in (("train", slice(0, 200)), ("test", slice(200, 300))):
            np.savez(tmp_path / f"{name}.npz", images=images[rows], labels=labels[rows])
        data = {key: str(tmp_path / f"{key}.npz") for key in ("train", "test")}
        path = searched(tmp_path, data=data, space={}, search={"holdout": "test", "keep_models": "best"})
        with pytest.raises(ResultsError, match="what was held out is the test set"):
            fit(path, finetune=True)
        assert fit(path, epochs=1).cards[0]["data"]["samples"] == len(fake_fits[0].rows) == 200

    def test_two_at_a_time(self, plain):
        paths = RunPaths(plain.parent, "grid")
        paths.fit_lock.parent.mkdir()
        with FolderLock(paths.fit_lock, paths.fit_heartbeat), pytest.raises(LockedError):
            fit(plain)

    def test_a_trial_that_failed(self, plain):
        data = json.loads(plain.read_text())
        data["trials"][0]["state"] = "failed"
        plain.write_text(json.dumps(data))
        with pytest.raises(ResultsError, match="trial 0 is failed; a complete one holds"):
            fit(plain, trial=0)

    def test_one_and_several(self, plain, monkeypatch, capsys):
        assert run(monkeypatch, "fit", str(plain), "--trial", "1", "--top", "2") == 2
        assert "choose one" in capsys.readouterr().err


def test_results_may_move_with_what_they_are_of(tmp_path, monkeypatch, fake_search, fake_fits):
    """Paths of the config are found from where results.json lies."""
    images, labels = digits()
    (tmp_path / "here").mkdir()
    np.savez(tmp_path / "here" / "train.npz", images=images[:300], labels=labels[:300])
    (tmp_path / "here" / "grid.yaml").write_text(
        "data: {train: train.npz, scale: 16}\nmodel: fc\nparams: {epochs: 1}\nspace: {dropout: [0.2]}\n"
        "search: {folds: 2, keep_models: all}\nexecutor: {kind: inline}\n"
    )
    driver.search(tmp_path / "here" / "grid.yaml", results=tmp_path / "here" / "results")
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert len(fit("there/results/grid.json").models) == 1


def test_the_command_says_what_was_trained_and_where_it_is(plain, monkeypatch, capsys, fake_fits):
    monkeypatch.chdir(plain.parent.parent)
    assert run(monkeypatch, "fit", "results/grid.json", "--epochs", "1") == 0
    out = capsys.readouterr().out
    assert "1 fit to train." in out
    assert "results/grid/fit/trial-1-seed-0.keras: trial 1, 1 epoch, as asked for, in " in out
    assert out.endswith("Next:\n  kerasgrid predict results/grid.json --data FILE\n")  # it has no data.test
    assert run(monkeypatch, "fit", "results/grid.json", "--epochs", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["trial"] == 1
