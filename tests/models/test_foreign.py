"""Model functions of other packages, as they are: what they see, and what a fit within them asks for."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest

from kerasgrid.errors import ModelError, NoModelError

keras = pytest.importorskip("keras")
keras_tuner = pytest.importorskip("keras_tuner")

import numpy as np  # noqa: E402

from kerasgrid.estimators.classifier import KerasClassifier  # noqa: E402
from kerasgrid.estimators.wrappers import stored  # noqa: E402
from kerasgrid.jobs.recipe import Recipe  # noqa: E402
from kerasgrid.jobs.route import route  # noqa: E402
from kerasgrid.models.building import build_model  # noqa: E402
from kerasgrid.models.foreign import Shown, noted_fits  # noqa: E402
from kerasgrid.models.hyperparameters import declared  # noqa: E402
from kerasgrid.models.references import in_hand, parse_reference, text_of  # noqa: E402
from kerasgrid.models.signature import read_signature, signature_of  # noqa: E402
from kerasgrid.models.source import function_digest  # noqa: E402
from kerasgrid.records import Dataset, Fold, Target  # noqa: E402
from kerasgrid.training.candidate import Candidate  # noqa: E402
from kerasgrid.training.compiling import arguments_of_compile, as_taken  # noqa: E402
from kerasgrid.training.packs import graph_of  # noqa: E402

pytestmark = pytest.mark.slow

layers = keras.layers
THREE, TWO, PRICES = (
    Target("classes", ("a", "b", "c")),
    Target("classes", (0, 1)),
    Target("numbers", ("x", "y")),
)


@pytest.fixture(autouse=True)
def _no_graphs_left():
    yield
    keras.backend.clear_session(free_memory=False)


def net(inputs, outputs, units=4, loss="categorical_crossentropy"):
    model = keras.Sequential([keras.Input((inputs,)), layers.Dense(units), layers.Dense(outputs, "softmax")])
    model.compile("sgd", loss)
    return model


def shown(target=THREE, **more):
    labels = np.arange(6) % target.n_outputs if target.kind == "classes" else np.ones((6, target.n_outputs))
    return Shown.of(np.ones((6, 5), np.float32), labels, target, **more)


def build(function, params=None, target=THREE, given=None):
    function = in_hand(function)
    signature = signature_of(function)
    return build_model(function, signature, params or {}, (5,), target, shown=given or shown(target))


def of_one_hot_rows(X, y, units=4):
    return net(X.shape[1], y.shape[1], units)


def of_labels(X, y, units=4, **more):
    return net(X.shape[1], len(np.unique(y)), units, "sparse_categorical_crossentropy")


def of_any(data, labels, **params):
    return net(data.shape[1], labels.shape[1], params["units"], params["loss"])


def of_meta(units, meta, compile_kwargs):
    model = net(meta["n_features_in_"], meta["n_classes_"], units)
    model.compile(loss="sparse_categorical_crossentropy", optimizer=compile_kwargs["optimizer"])
    return model


def of_talos(X_train, Y_train, X_val, Y_val, params):
    model = net(X_train.shape[1], Y_train.shape[1], params["units"])
    history = model.fit(
        X_train,
        Y_train,
        batch_size=params["batch_size"],
        epochs=params["epochs"],
        validation_data=(X_val, Y_val),
        callbacks=[keras.callbacks.EarlyStopping(monitor="loss")],
    )
    assert np.isnan(history.history["val_loss"][-1])
    return history, model


@pytest.mark.parametrize(
    ("function", "params", "target"),
    [
        (of_one_hot_rows, {"units": 3}, THREE),
        (of_one_hot_rows, {"units": 3}, PRICES),
        (of_labels, {"units": 3, "more": 1}, THREE),
        (of_labels, {"units": 3}, TWO),
        (of_any, {"units": 3, "loss": "categorical_crossentropy"}, TWO),
        (of_talos, {"units": 3}, THREE),
    ],
)
def test_a_function_sees_rows_and_labels_in_the_form_that_it_wants(function, params, target):
    given = shown(target, loop={"batch_size": 8, "epochs": 2})
    model = build(function, params, target, given)
    assert model.output_shape == (None, target.n_outputs)
    assert model.layers[0].units == 3
    assert len(given.asked.callbacks) == (function is of_talos)


def test_the_first_form_tells_what_is_wrong():
    with pytest.raises(ModelError, match=r"the model's output is \(None, 7\), but 3 classes need"):
        build(lambda X, y: net(5, 7))


def test_what_scikeras_tells_of_the_data():
    meta = shown(TWO).meta(TWO)
    assert (meta["n_features_in_"], meta["X_shape_"], meta["n_classes_"]) == (5, (6, 5), 2)
    assert (meta["target_type_"], meta["n_outputs_expected_"], meta["classes_"].tolist()) == (
        "binary",
        1,
        [0, 1],
    )
    assert shown(THREE).meta(THREE)["target_type_"] == "multiclass"
    told = shown(PRICES).meta(PRICES)
    assert (told["target_type_"], told["n_outputs_"], "classes_" in told) == (
        "continuous-multioutput",
        2,
        False,
    )


def test_an_optimizer_that_the_function_is_given_is_the_one_that_is_searched():
    signature = signature_of(of_meta)
    asked = route({"units": 4, "optimizer": "Adam", "learning_rate": 0.5}, signature, {})
    given = arguments_of_compile(asked)
    model = build(of_meta, asked.model, THREE, shown(compile_kwargs=given))
    assert model.optimizer is given["optimizer"]
    assert float(model.optimizer.learning_rate) == 0.5
    assert as_taken(asked, model, given).optimizer is None
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert as_taken(asked, model, given) == asked  # what it ignores is told
    bare = keras.Sequential([keras.Input((5,)), layers.Dense(3)])
    bare.compile("sgd")
    as_taken(asked, bare, given)
    assert not bare.compiled


def test_what_is_adapted_to_a_few_rows_is_left_for_the_folds():
    def adapted(X, y):
        first = layers.Normalization()
        first.adapt(X * 3)
        return keras.Sequential([first, layers.Dense(3, "softmax")])

    def counted(X, y):
        layers.Discretization(num_bins=2).adapt(X)

    model = build(adapted)
    assert model.layers[0].adapt_mean.numpy().tolist() == [0.0] * 5
    with pytest.raises(
        ModelError, match=r"^Discretization\.adapt: the layer would learn of held-out samples, too"
    ):
        build(counted)
    layers.Normalization().adapt(np.ones((2, 5)))  # outside it does what it does


def fits(*calls, returns=None, **given):
    """Returns a Talos function whose fits are given something."""

    def trains(x, y, x_val, y_val, params):
        model = net(5, 3)
        for samples in calls or (x,):
            found = model.fit(samples, y, **given)
        return found, model

    return trains


def unread(x, y, x_val, y_val, params):
    return None, net(5, 3)


@pytest.mark.parametrize(
    ("function", "params", "message"),
    [
        (
            fits(epochs=50),
            {},
            r"trains with epochs=50, and the candidate with 2: .* give epochs: 50 in params, of GridSearchCV",
        ),
        (fits(initial_epoch=1), {}, "gives model.fit initial_epoch=1, which no search does"),
        (
            fits(class_weight={0: 1}),
            {},
            "gives model.fit class_weight: leave it out, and give training.",
        ),
        (fits(np.zeros((6, 5))), {}, "gives model.fit other samples than it is given"),
        (fits(None, None), {}, "calls model.fit 2 times on the model that is built"),
        (unread, {"rate": 1, "epochs": 2}, "unread does not read 'rate' of its params"),
        (of_talos, {}, "of_talos reads 'units' of its params, which neither params nor space gives"),
    ],
)
def test_what_a_fit_within_a_function_asks_for_beside_its_candidate(function, params, message):
    with pytest.raises(ModelError, match=message):
        build(function, params, THREE, shown(loop={"batch_size": 32, "epochs": 2}))


@pytest.mark.parametrize(
    ("asks", "share"),
    [
        ({"validation_split": 0.25, "callbacks": [keras.callbacks.EarlyStopping("val_loss")]}, 0.25),
        ({"validation_split": 0.25}, 0.25),
        ({"shuffle": False}, None),
        ({}, None),
        ({"validation_data": (1, 1), "callbacks": [keras.callbacks.EarlyStopping("val_loss")]}, 0.1),
        ({"validation_data": (1, 1), "callbacks": [keras.callbacks.EarlyStopping("loss")]}, None),
    ],
)
def test_rows_that_a_fit_within_a_function_holds_back(asks, share):
    function = in_hand(fits(**asks))
    recipe = Recipe(function, signature_of(function), "", THREE, "loss", 0)
    data = Dataset(np.ones((40, 5), np.float32), np.arange(40) % 3, THREE, "", "X")
    candidate, fold = Candidate.of(recipe, {}, data), Fold(0, np.arange(40), np.arange(0))
    compiled = candidate.compile()
    rows, val = candidate.rows(fold, compiled.val)
    assert (len(rows), val is None) == (40 - int(40 * (share or 0)), share is None)
    assert (graph_of(candidate, compiled).key is None) == bool(asks)
    given = replace(recipe, val=0.5)  # what the search says comes first
    assert len(replace(candidate, recipe=given).rows(fold, compiled.val)[0]) == 20


def test_a_fit_within_a_function_that_does_not_shuffle_has_the_rows_in_their_order():
    X, y = np.arange(40, dtype=np.float32)[:, None] / 40, np.arange(40) % 3

    def trains(x, y, x_val, y_val, params):
        first = keras.initializers.Constant([[0.5, 0, -0.5]])
        model = keras.Sequential([keras.Input((1,)), layers.Dense(3, "softmax", kernel_initializer=first)])
        model.compile("sgd", "categorical_crossentropy")
        return model.fit(x, y, epochs=2, batch_size=8, shuffle=params["shuffle"]), model

    expected = trains(X, np.eye(3)[y], X, y, {"shuffle": False})[0].history["loss"]
    made = [KerasClassifier(trains, shuffle=shuffle).fit(X, y) for shuffle in (False, True)]
    found, other = (one.history_["loss"] for one in made)
    assert found == pytest.approx(expected, rel=1e-5)
    assert other != pytest.approx(expected, rel=1e-5)


def of_constants(x_train, y_train, x_val, y_val, params):
    model = net(5, 3)
    return model.fit(x_train, y_train, epochs=7, batch_size=4), model


class TrainsByConstants(keras_tuner.HyperModel):
    def build(self, hp):
        return net(5, 3, hp.Choice("units", [2, 3]))

    def fit(self, hp, model, *args, **kwargs):
        return model.fit(*args, epochs=7, batch_size=hp.Choice("batch_size", [4]), **kwargs)


@pytest.mark.parametrize("given", [of_constants, TrainsByConstants])
def test_numbers_that_a_fit_within_a_function_plainly_has_are_its_candidates(given):
    function = in_hand(given)
    signature, _ = declared(function)
    assert signature.loop == ({"epochs": 7, "batch_size": 4} if given is of_constants else {"epochs": 7})
    asked = route({"batch_size": 4}, signature, {})
    assert (asked.epochs, asked.batch_size) == (7, 4)
    params = {**asked.model, **({} if given is of_constants else {"units": 2})}
    build(given, params, THREE, shown(loop={"batch_size": 4, "epochs": 7}))
    assert route({"epochs": 2}, signature, {}).epochs == 2
    path = Path(__file__)
    read = read_signature(parse_reference(f"{path.name}:of_constants", path.parent))
    assert read.loop == {"epochs": 7, "batch_size": 4}


def test_a_talos_function_returns_a_model():
    with pytest.raises(NoModelError, match=r"returned NoneType, but must return \(history, model\)"):
        build(lambda x, y, x_val, y_val, p: None)


class Tunes(keras_tuner.HyperModel):
    def __init__(self, trains, n=3):
        super().__init__()
        self.trains, self.n = trains, n

    def build(self, hp):
        return net(5, self.n, hp.Choice("units", [2, 3]))

    def fit(self, hp, model, x, y, callbacks=None, **kwargs):
        return self.trains(hp, model.fit, x, y, callbacks=callbacks, **kwargs)


def tuned(hp, fit, x, y, callbacks):
    stop = keras.callbacks.EarlyStopping(patience=hp.Int("patience", 1, 2))
    return fit(x, y, epochs=hp.Int("epochs", 20, 22), callbacks=[*callbacks, stop])


def test_what_a_hypermodels_fit_tunes_is_searched_and_taken():
    hyper_model = Tunes(tuned)
    function = in_hand(hyper_model)
    signature, space = declared(function)
    assert signature.names == ("units", "patience", "epochs")
    assert space["epochs"] == {"low": 20, "high": 22, "type": "int", "step": 1}
    given = shown(loop={"batch_size": 32, "epochs": 21})
    model = build(hyper_model, {"units": 2, "epochs": 21, "patience": 2}, THREE, given)
    assert (model.layers[0].units, given.asked.callbacks[0].patience) == (2, 2)
    assert text_of(function) == f"{__name__}:Tunes.build"
    with pytest.raises(ModelError, match=r"^Tunes\.fit trains with epochs=22, and the candidate with 21"):
        build(hyper_model, {"units": 2, "epochs": 22, "patience": 2}, THREE, given)


@pytest.mark.parametrize("asks", [lambda y: y.ndim == 1 and y[0] in ("a", 0), lambda y: y.shape[1] == 3])
def test_a_hypermodels_fit_sees_labels_as_the_user_has_them_or_one_hot_rows_where_it_needs_these(asks):
    def trains(hp, fit, x, y, callbacks):
        assert asks(y)
        return fit(x, y, epochs=hp.Fixed("epochs", 2), callbacks=[keras.callbacks.TerminateOnNaN()])

    given = shown(loop={"batch_size": 32, "epochs": 2})
    build(Tunes(trains), {"units": 2}, THREE, given)
    assert len(given.asked.callbacks) == 1
    assert declared(in_hand(Tunes(trains)))[1] == {"units": [2, 3]}


@pytest.mark.parametrize(
    ("trains", "message"),
    [
        (lambda hp, fit, x, y, callbacks: {"loss": 1.0}, r"^Tunes\.fit does not call model.fit on the model"),
        (
            lambda hp, fit, x, y, callbacks: fit(x, y) and 0.5,
            r"^Tunes\.fit returns float, a score of its own",
        ),
        (lambda hp, fit, x, y, callbacks: 1 / 0, r"test_foreign\.py:\d+, Tunes\.fit: ZeroDivisionError"),
    ],
)
def test_a_hypermodels_fit_that_is_no_single_fit_is_refused(trains, message):
    with pytest.raises(ModelError, match=message):
        declared(in_hand(Tunes(trains)))


def test_a_hypermodels_class_is_made_and_its_fit_counts_in_its_hash():
    class Plain(keras_tuner.HyperModel):
        def build(self, hp):
            return net(5, 3)

    class Fits(Plain):
        def fit(self, hp, model, *args, **kwargs):
            return model.fit(*args, batch_size=hp.Choice("batch_size", [16]), **kwargs)

    assert in_hand(Plain) == in_hand(Plain)
    assert in_hand(build) is build
    assert function_digest(in_hand(Plain)) != function_digest(in_hand(Fits))
    assert declared(in_hand(Fits))[1] == {"batch_size": [16]}
    with pytest.raises(ModelError, match=r"^Tunes\(\) cannot be made \(.*give its arguments defaults"):
        in_hand(Tunes)


@pytest.mark.parametrize(
    ("asks", "told"),
    [
        (lambda X, y: X.mean(axis=0), "sum of X"),
        (lambda X, y: np.std(X[:, :2] * 2, axis=0), "std of X"),
        (lambda X, y: int(X.max()) + 1, "max of X"),
        (lambda X, y: np.unique(X), "unique of X"),
        (lambda X, y: X[X > 0], "greater of X"),
        (lambda X, y: X.tolist(), "tolist of X"),
        (lambda X, y: np.median(np.log(y)), "median of y"),
        (lambda X, y: y.sum(), "sum of y"),
        (lambda X, y: (X.shape, X[0].size, np.log(X / 255)[0] + 1, y.shape[1]), None),
    ],
)
def test_what_is_not_at_hand_where_a_model_is_built_is_refused(asks, told):
    lengths = []

    def takes(X, y):
        lengths.append((len(X), len(y), X.dtype, np.isnan(np.asarray(X)[-1, -1])))
        asks(X, y)
        return net(5, 2)

    given = shown(PRICES).hiding(10**9, "X").hiding(10**9, "y")
    if told is None:
        assert build(takes, target=PRICES, given=given).count_params()
        assert lengths == [(10**9, 10**9, np.float32, True)]
        return
    with pytest.raises(ModelError, match=rf"^{told}: what the net is given is scaled by each fold's"):
        build(takes, target=PRICES, given=given)


@pytest.mark.parametrize(
    ("scaled", "largest"),
    [({}, 159), ({"scale": 2.0}, 79.5), ({"standardize": True}, None), ({"target_scale": "log"}, 159)],
)
def test_a_function_sees_all_samples_and_labels_but_those_that_are_held_out(scaled, largest):
    X = np.arange(200, dtype=np.float32).reshape(100, 2)
    labels = (np.arange(100) % 20 == 0).astype(int)
    target = PRICES if "target_scale" in scaled else TWO
    data = Dataset(X, np.ones((100, 2)) if target is PRICES else labels, target, "", "X", n_held_out=20)
    function = in_hand(of_one_hot_rows)
    recipe = Recipe(function, signature_of(function), "", target, "loss", 0, **scaled)
    found = Candidate.of(recipe, {}, data).shown()
    assert (len(found.X), len(found.y), found.meta(target)["X_shape_"]) == (80, 80, (80, 2))
    if target is TWO:
        assert found.y.sum(axis=0).tolist() == [76, 4]
        assert found.labels.sum() == 4
    else:
        with pytest.raises(ModelError, match=r"^sum of y"):
            found.y.mean()
    if largest is None:
        with pytest.raises(ModelError, match=r"^max of X"):
            found.X.max()
        return
    assert found.X.max() == largest
    with pytest.raises(ValueError, match="read-only"):
        found.X -= 1
    assert X[0, 1] == 1


def test_objects_of_keras_reach_each_call_anew():
    given = {"optimizer": keras.optimizers.SGD(0.5), "first": keras.initializers.RandomNormal(stddev=2.0)}
    kept = {name: stored(value) for name, value in given.items()}
    assert json.loads(json.dumps(kept)) == kept
    got = []

    def takes(X, y, optimizer, first):
        got.append((optimizer, first.stddev))
        model = net(5, 3)
        model.compile(optimizer, "categorical_crossentropy")
        return model

    models = [build(takes, kept) for _ in range(2)]
    assert [float(model.optimizer.learning_rate) for model in models] == [0.5, 0.5]
    assert got[0][0] is not got[1][0]
    assert got[0][1] == 2.0
    dense = layers.Dense(2)
    dense.build((None, 2))
    assert stored(dense) is dense  # its weights are no part of its config


def test_fits_are_noted_only_within():
    before = keras.Model.fit
    with noted_fits() as noted:
        history = net(5, 3).fit(np.ones((2, 5)), epochs=3, batch_size=None)
    assert (noted[0].arguments["epochs"], noted[0].history) == (3, history)
    assert keras.Model.fit is before
    assert "fit" not in vars(keras.Model)


def test_a_partial_of_a_foreign_function_is_one():
    assert build(functools.partial(of_one_hot_rows, units=2)).layers[0].units == 2
