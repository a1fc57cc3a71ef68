"""How models end, and what is refused before the first epoch (experiment D's net among them)."""

from __future__ import annotations

import pytest

keras = pytest.importorskip("keras")

from kerasgrid.errors import ModelError  # noqa: E402
from kerasgrid.models.endings import Ending, ending_of, ends_in_logits, output_activation  # noqa: E402
from kerasgrid.models.signature import Signature  # noqa: E402
from kerasgrid.training.compiling import compile_model  # noqa: E402
from kerasgrid.training.objective import find_objective  # noqa: E402
from kerasgrid.training.routing import route  # noqa: E402

pytestmark = pytest.mark.slow
layers = keras.layers


def net(*last):
    return keras.Sequential([keras.Input((4,)), layers.Flatten(), *last], name="mine")


def dense(activation=None, name: str | None = "scores"):
    return layers.Dense(3, activation=activation, name=name)


def refusal(model, **params):
    with pytest.raises(ModelError) as caught:
        compile_model(model, route(params, Signature(()), {}), find_objective("accuracy"), 3)
    return str(caught.value)


@pytest.mark.parametrize(
    ("make", "activation"),
    [
        (lambda: net(dense("softmax")), "softmax"),
        (lambda: net(dense()), "linear"),
        (lambda: net(dense(), layers.Softmax()), "softmax"),
        (lambda: net(dense(), layers.ReLU()), "relu"),
        (lambda: net(dense(), layers.LeakyReLU()), "leaky_relu"),
        (lambda: net(layers.Activation("log_softmax")), "log_softmax"),
        (lambda: net(dense(), layers.Dropout(0.5)), None),
        (lambda: keras.Sequential([keras.Input((4,)), net(dense("softmax"))]), "softmax"),
    ],
)
def test_output_activation(make, activation):
    assert output_activation(make()) == activation


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.scores = layers.Dense(3, activation="softmax")

    def call(self, inputs):
        return self.scores(inputs)


def test_a_subclassed_model_does_not_tell_how_it_ends():
    assert output_activation(Subclassed()) is None
    assert ending_of(Subclassed()) == Ending()


@pytest.mark.parametrize(
    "make",
    [
        lambda: net(dense("softmax")),
        lambda: net(dense()),
        lambda: net(dense(), layers.Softmax()),
        lambda: net(dense(), layers.Reshape((3,)), layers.Activation("softmax")),
        lambda: net(layers.Dropout(0.5), layers.ReLU(), dense("softmax")),
        lambda: net(dense(), layers.Activation("log_softmax")),
        # Network in network: the last convolution is activated and pooled.
        lambda: keras.Sequential(
            [
                keras.Input((4, 4, 1)),
                layers.Conv2D(3, 1, activation="relu"),
                layers.GlobalAveragePooling2D(),
                layers.Softmax(),
            ]
        ),
    ],
)
def test_sound_endings_are_taken(make):
    model = make()
    assert ending_of(model).fault is None
    compiled = compile_model(model, route({}, Signature(()), {}), find_objective("accuracy"), 3)
    assert compiled.model.loss.get_config()["from_logits"] == (
        output_activation(model) in {"linear", "log_softmax"}
    )


def test_experiment_d_is_refused_with_what_to_change():
    printed = (dense(), layers.ReLU(), layers.Dropout(0.5, name="drop"), layers.Activation("log_softmax"))
    assert refusal(net(*printed)) == (
        "mine: drop stands after the output layer scores, which disturbs outputs in training: remove it, or "
        "move it before that layer."
    )
    without_dropout = (dense(), layers.ReLU(name="relu_3"), layers.Activation("log_softmax", name="last"))
    assert refusal(net(*without_dropout)) == (
        "mine: the output layer scores is followed by relu (relu_3), and that by log_softmax (last): remove "
        "relu, so that log_softmax is given the layer's own numbers."
    )


@pytest.mark.parametrize(
    ("last", "params", "message"),
    [
        (
            lambda: [dense("softmax")],
            {"loss": "categorical_crossentropy", "loss.from_logits": True},
            "mine: the model ends in softmax, and the loss categorical_crossentropy applies softmax "
            "again (from_logits=True): let from_logits be False, or end the model without an activation.",
        ),
        (
            lambda: [dense()],
            {"loss": "sparse_categorical_crossentropy", "loss.from_logits": False},
            "mine: the model's outputs are logits, and the loss sparse_categorical_crossentropy takes them "
            "for probabilities: set from_logits=True, or end the model in softmax.",
        ),
        (
            lambda: [dense()],
            {"loss": "kl_divergence"},
            "mine: the model's outputs are logits, and the loss kl_divergence takes them for probabilities: "
            "end the model in softmax.",
        ),
        (
            lambda: [dense("relu")],
            {},
            "mine: the output layer scores is followed by relu, which gives no probabilities, and the loss "
            "sparse_categorical_crossentropy needs them: end the model in softmax.",
        ),
        (
            lambda: [dense("softmax"), layers.Softmax(name="again")],
            {},
            "mine: the output layer scores is followed by softmax, and that by softmax (again): remove "
            "softmax, so that softmax is given the layer's own numbers.",
        ),
    ],
)
def test_losses_that_do_not_fit_the_ending_are_refused(last, params, message):
    assert refusal(net(*last()), **params) == message


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "own"])
def test_a_model_that_its_function_compiles_is_looked_at_too(loss):
    model = net(dense())
    given = keras.losses.SparseCategoricalCrossentropy() if loss == "own" else loss
    model.compile("adam", given)
    assert refusal(model).startswith("mine: the model's outputs are logits, and the loss sparse_cat")


@pytest.mark.parametrize(("loss", "last"), [("mean_squared_error", "relu"), ("categorical_hinge", None)])
def test_losses_of_any_numbers_take_any_ending(loss, last):
    model = net(dense(last))
    compile_model(model, route({"loss": loss}, Signature(()), {}), find_objective("accuracy"), 3)
    assert model.compiled


def test_label_smoothing_takes_the_loss_that_has_it():
    model = net(dense("softmax"))
    given = route({"loss.label_smoothing": 0.1}, Signature(()), {})
    compiled = compile_model(model, given, find_objective("accuracy"), 3)
    assert (compiled.labels, model.loss.name) == ("one_hot", "categorical_crossentropy")
    assert model.loss.get_config()["label_smoothing"] == 0.1


def branches(merge, last):
    inputs = keras.Input((4,))
    return keras.Model(inputs, merge([last(inputs), last(inputs)]), name="mine")


@pytest.mark.parametrize(
    ("make", "is_logits"),
    [
        (lambda: net(dense("softmax", None), layers.Activation("linear", dtype="float32")), False),
        (lambda: net(layers.Dense(3, activation=layers.Softmax())), False),
        (lambda: net(layers.Dense(3, activation=lambda x: keras.ops.softmax(x / 2))), False),
        (lambda: net(dense("sparsemax")), False),
        (lambda: net(dense(), layers.BatchNormalization()), True),
        (lambda: net(dense(), layers.Dropout(0.0)), True),
        (lambda: branches(layers.Add(), lambda x: layers.Dense(3)(x)), True),
        (lambda: branches(layers.Average(), lambda x: layers.Dense(3, activation="softmax")(x)), False),
        (lambda: Subclassed(), False),
    ],
)
def test_what_layers_do_not_tell_is_asked_of_the_model(make, is_logits):
    model = make()
    assert ends_in_logits(model, (4,)) is is_logits
    given = route({}, Signature(()), {})
    compiled = compile_model(model, given, find_objective("accuracy"), 3, (4,))
    assert (compiled.from_logits, model.loss.get_config()["from_logits"]) == (is_logits, is_logits)


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_one_output_is_for_two_classes(loss):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation="sigmoid")], name="mine")
    assert refusal(model, loss=loss) == (
        f"mine: has one output, and the loss {loss} is of one for each class: take binary_crossentropy."
    )
    softmax = keras.Sequential([keras.Input((4,)), layers.Dense(1, activation="softmax")], name="mine")
    assert refusal(softmax) == "mine: ends in softmax over a single output, which is always 1: take sigmoid."
    logit = keras.Sequential([keras.Input((4,)), layers.Dense(1)], name="mine")
    assert refusal(logit, **{"loss": "binary_crossentropy", "loss.from_logits": False}).endswith(
        "set from_logits=True, or end the model in sigmoid."
    )
