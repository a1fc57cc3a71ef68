"""A search over a model of several inputs: in packs as Keras trains it, and all that comes after it."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import kerasgrid as kg
from kerasgrid.checks.prepared import prepare
from kerasgrid.data.folds import load_folds
from kerasgrid.data.in_memory import Given
from kerasgrid.driver.preview import lines_about
from kerasgrid.errors import ChangedError, DataError, KerasgridError
from kerasgrid.run.paths import RunPaths

pytestmark = pytest.mark.slow


def build(n_classes, units=8):
    """As a notebook has it, with first weights of its own."""
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    first = [keras.initializers.GlorotUniform(seed) for seed in (1, 2)]
    h = keras.layers.concatenate([a, b])
    h = keras.layers.Dense(units, activation="relu", kernel_initializer=first[0])(h)
    return keras.Model(
        [a, b], keras.layers.Dense(n_classes, activation="softmax", kernel_initializer=first[1])(h)
    )


NUMBERS = np.random.default_rng(0)
A, B, Y = NUMBERS.normal(size=(120, 6)), NUMBERS.normal(size=(120, 4)), NUMBERS.integers(0, 3, 120)
CONFIG = {
    "name": "two",
    "model": build,
    "space": {"units": [4, 8], "learning_rate": [0.5, 0.1]},
    "params": {"epochs": 2, "batch_size": 1000, "optimizer": "SGD"},
    "search": {"objective": "loss", "keep_models": "best"},
    "executor": {"kind": "inline"},
}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    def never(*_):
        raise AssertionError("a fit is trained by itself")

    folder = tmp_path_factory.mktemp("inputs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kerasgrid.training.job.train_job", never)
        return folder, kg.search(CONFIG, [A, B], Y, results=folder)


def test_it_trains_in_packs_as_keras_does(searched):
    """Of one batch an epoch, the order of whose rows changes nothing."""
    folder, results = searched
    folds, _ = load_folds(RunPaths(folder, "two").folds, len(Y), "X and y")
    assert len(results.trials) == 4
    for row in results.trials:
        for fold, found in zip(folds, row["folds"], strict=True):
            keras.utils.clear_session()
            model = build(3, row["params"]["units"])
            model.compile(
                keras.optimizers.SGD(row["params"]["learning_rate"]), "sparse_categorical_crossentropy"
            )
            rows = [A[fold.train], B[fold.train]]
            losses = model.fit(rows, Y[fold.train], batch_size=1000, epochs=2, verbose=0).history["loss"]
            assert found["history"]["loss"] == pytest.approx(losses, rel=1e-5)
            tested = model.evaluate([A[fold.test], B[fold.test]], Y[fold.test], verbose=0)
            assert found["test_score"] == pytest.approx(tested, rel=1e-5)


def test_the_same_call_goes_on(searched, monkeypatch):
    folder, results = searched
    packs = []
    monkeypatch.setattr(
        "kerasgrid.driver.search.train_pack", lambda recipe, pack, context: packs.append(pack)
    )
    assert kg.search(CONFIG, [A, B], Y, results=folder).trials == results.trials
    assert packs == []
    with pytest.raises(ChangedError, match="this search began otherwise: data changed"):
        kg.search(CONFIG, [A, B[:, ::-1]], Y, results=folder)


@pytest.mark.parametrize(
    ("changes", "X", "messages"),
    [
        (
            {
                "data": {"scale": 255, "standardize": True, "normalize": {"mean": [0.5], "std": [0.5]}},
                "augment": {"rotation_range": 3},
                "space": {"augment.zoom_range": [0.1, 0.2]},
            },
            [A, B],
            [
                "data.scale: divides pixels, and X and y have several inputs, which reach the model",
                "data.standardize: is of pixels, and X and y have several inputs, which reach",
                "augment: is of images, and X and y have several inputs: leave it out.",
                "space.augment.zoom_range: is of images, and X and y have several inputs: leave it out.",
            ],
        ),
        (
            {"search": {"engine": "autokeras"}},
            [A, B],
            ["search.engine: is autokeras, whose models here take im"],
        ),
        (
            {},
            [A, B, A],
            ["model: build: the model has 2 inputs, (6,) and (4,), and X has 3, (6,), (4,) and (6,)"],
        ),
        (
            {},
            {"a": A, "c": B},
            ["model: build: the model has 2 inputs, a (6,) and b (4,), and X has 2, a (6,) and c"],
        ),
        ({}, [A, B[1:]], ["data: X[0] has 120 samples and X[1] has 119 samples: as many in each hold"]),
    ],
)
def test_what_cannot_be_searched_is_told_before_anything_is_trained(tmp_path, changes, X, messages):
    with pytest.raises(KerasgridError) as caught:
        kg.search({**CONFIG, **changes}, X, Y, results=tmp_path)
    assert [message for message in messages if message not in str(caught.value)] == []


def test_a_value_that_gives_labels_away_is_named_by_its_input():
    config = {"model": "fc", "space": {"dropout": [0.1, 0.2]}, "executor": {"kind": "inline"}}
    prepared = prepare(config, Given([A, np.stack([B[:, 0], Y], axis=1)], Y))
    assert "can be told, wholly or in part, from columns 'X[1][1]': a score" in prepared.warnings[0]
    assert lines_about(prepared.data)[0] == "X and y: 120 samples of the inputs (6,) and (2,)"


def test_models_and_predictions_take_the_inputs_again(searched):
    _, results = searched
    fold_models = kg.predict(results, [A[:9], B[:9]]).values
    np.testing.assert_allclose(fold_models.sum(axis=1), 1, rtol=1e-5)
    fitted = kg.fit(results)
    model = keras.models.load_model(fitted.models[0])
    assert [tensor.name for tensor in model.inputs] == ["a", "b"]
    wanted = model.predict([A[:9], B[:9]], verbose=0)
    np.testing.assert_allclose(kg.predict(results, (A[:9], B[:9])).values, wanted, rtol=1e-5)
    with pytest.raises(
        DataError, match=r"X has the inputs \(4,\) and \(6,\), and the samples trained on have"
    ):
        kg.predict(results, [B, A])
    with pytest.raises(
        DataError, match=r"X is an array of shape \(120, 10\), and the samples trained on have"
    ):
        kg.predict(results, np.concatenate([A, B], axis=1))
