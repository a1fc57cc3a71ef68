"""How models end, and what is refused before the first epoch (experiment D's net among them)."""

from __future__ import annotations

import pytest
from fakes import classes_of

keras = pytest.importorskip("keras")

from kerasgrid.errors import ModelError  # noqa: E402
from kerasgrid.jobs.objective import find_objective  # noqa: E402
from kerasgrid.jobs.route import route  # noqa: E402
from kerasgrid.models.endings import (  # noqa: E402
    Ending,
    ending_of,
    ends_in_logits,
    output_activation,
    scales_input,
)
from kerasgrid.models.signature import Signature  # noqa: E402
from kerasgrid.records import Target  # noqa: E402
from kerasgrid.training.compiling import compile_model  # noqa: E402

pytestmark = pytest.mark.slow
NUMBERS = Target("numbers", ("a", "b", "c"))
layers = keras.layers


def net(*last):
    return keras.Sequential([keras.Input((4,)), layers.Flatten(), *last], name="mine")


def dense(activation=None, name: str | None = "scores"):
    return layers.Dense(3, activation=activation, name=name)


def refusal(model, **params):
    with pytest.raises(ModelError) as caught:
        compile_model(model, route(params, Signature(()), {}), find_objective("accuracy"), classes_of(3))
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


@pytest.mark.parametrize(
    ("last", "params", "message"),
    [
        (
            lambda: dense(),
            {"loss": "categorical_crossentropy"},
            "mine: the loss categorical_crossentropy is of classes, and numbers are predicted: take "
            "mean_squared_error, mean_absolute_error or huber.",
        ),
        (
            lambda: dense(),
            {"loss": "hinge"},
            "mine: the loss hinge is of classes, and numbers are predicted: ",
        ),
        (
            lambda: dense("softmax"),
            {},
            "mine: ends in softmax, which gives shares of classes, and numbers are predicted: leave it out.",
        ),
    ],
)
def test_what_learns_no_numbers_is_refused(last, params, message):
    with pytest.raises(ModelError) as caught:
        compile_model(net(last()), route(params, Signature(()), {}), find_objective("r2"), NUMBERS)
    assert str(caught.value).startswith(message)


def test_numbers_end_as_they_come():
    compiled = compile_model(net(dense()), route({}, Signature(()), {}), find_objective("r2"), NUMBERS)
    assert compiled.model.loss.name == "mean_squared_error"


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
    compiled = compile_model(model, route({}, Signature(()), {}), find_objective("accuracy"), classes_of(3))
    assert compiled.model.loss.get_config()["from_logits"] == (
        output_activation(model) in {"linear", "log_softmax"}
    )


def test_a_name_of_a_newer_keras_is_refused(monkeypatch):
    monkeypatch.delattr(keras.optimizers, "Lion")
    assert refusal(net(dense("softmax")), optimizer="Lion") == (
        f"optimizer Lion is of a newer Keras than {keras.__version__}, the installed one: choose another, "
        "or install that."
    )


def test_experiment_d_is_refused_with_what_to_change():
    relu, last = layers.ReLU(name="relu_3"), layers.Activation("log_softmax", name="last")
    of_dropout = (
        "drop stands after the output layer scores, which disturbs outputs in training: remove it, or "
        "move it before that layer."
    )
    of_relu = (
        "the output layer scores is followed by relu (relu_3), and that by log_softmax (last): remove "
        "relu, so that log_softmax is given the layer's own numbers."
    )
    printed = (dense(), relu, layers.Dropout(0.5, name="drop"), last)
    assert refusal(net(*printed)) == f"mine: {of_dropout} And {of_relu}"
    assert refusal(net(dense(), relu, last)) == f"mine: {of_relu}"


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


def functional(last):
    inputs = keras.Input((4,))
    return keras.Model(inputs, last(dense()(inputs)), name="mine")


def drop(x=None, rate=0.5):
    layer = layers.Dropout(rate, name="drop")
    return layer if x is None else layer(x)


def head_of(width, *last):
    return keras.Sequential([keras.Input((width,)), *last], name="head")


def head(*last):
    return head_of(3, *last)


def convolved(*last):
    return keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(3, 1, name="scores"), *last], name="mine")


AFTER = "drop stands after the output layer scores"


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: functional(lambda x: keras.ops.log_softmax(drop(keras.ops.relu(x)))), AFTER),
        (
            lambda: functional(lambda x: keras.ops.log_softmax(keras.ops.relu(x))),
            "the output layer scores is followed by relu",
        ),
        (lambda: net(dense(), drop(), layers.Lambda(keras.ops.softmax)), AFTER),
        (lambda: net(dense(), drop(), layers.BatchNormalization(), layers.Softmax()), AFTER),
        (lambda: net(dense(), layers.BatchNormalization(), drop(), layers.Softmax()), AFTER),
        (
            lambda: net(dense(), layers.BatchNormalization(), layers.ReLU(), layers.Softmax()),
            "the output layer scores is followed by relu",
        ),
        (lambda: functional(lambda x: keras.ops.softmax(drop(x) * 2)), AFTER),
        (lambda: net(dense(), head(layers.ReLU(), drop(), layers.Softmax())), AFTER),
        (lambda: net(dense(), head(drop()), keras.Sequential([layers.Softmax()])), AFTER),
        (
            lambda: net(dense(), head(layers.ReLU(), layers.Softmax())),
            "the output layer scores is followed by relu",
        ),
        (lambda: convolved(drop(), layers.GlobalAveragePooling2D(), layers.Softmax()), AFTER),
        (
            lambda: merged(layers.Add(), last=lambda x: layers.Softmax()(drop(layers.ReLU()(x)))),
            "drop stands after the last layer that has a kernel",
        ),
        (
            lambda: merged(
                layers.Add(), last=lambda x: layers.Softmax(name="last")(layers.ReLU(name="cut")(x))
            ),
            "relu (cut) is followed by softmax (last)",
        ),
        (
            lambda: merged(layers.Add(), each=lambda x, i: layers.Dropout(0.5, name=f"drop{i}")(x)),
            "drop0 stands after the last layer that has a kernel",
        ),
        (lambda: net(dense(), layers.PReLU(), drop(), layers.Softmax()), AFTER),
    ],
)
def test_wrong_endings_are_found_whatever_stands_around_them(make, fault):
    model = make()
    assert str(ending_of(model).fault).startswith(fault)
    assert refusal(model).startswith(f"mine: {fault}")


def merged(merge, each=lambda x, i: x, last=lambda x: layers.Softmax()(x)):
    inputs = keras.Input((4,))
    return keras.Model(inputs, last(merge([each(layers.Dense(3)(inputs), i) for i in range(2)])), name="mine")


class Weighted(layers.Layer):
    """A user's own layer, whose weights Keras's names do not tell."""

    def __init__(self, activation=None):
        super().__init__()
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        self.own = self.add_weight(shape=(3, input_shape[-1]), name="own")

    def call(self, inputs):
        return keras.ops.matmul(self.activation(inputs), keras.ops.transpose(self.own))


def tied():
    inputs = keras.Input((4,))
    table = layers.Dense(5)
    hidden = drop(layers.ReLU()(table(inputs)))
    return keras.Model(inputs, keras.ops.softmax(keras.ops.matmul(hidden, keras.ops.ones((5, 5)))))


def skipped():
    inputs = keras.Input((4,))
    hidden = drop(layers.Dense(3)(inputs))
    return keras.Model(inputs, layers.Softmax()(layers.Add()([hidden, layers.Dense(3)(hidden)])))


@pytest.mark.parametrize(
    "make",
    [
        lambda: net(dense(), layers.BatchNormalization(), layers.Softmax()),
        lambda: net(dense("relu"), layers.BatchNormalization(), layers.Softmax()),
        lambda: net(dense("relu", None), drop(), dense(), layers.Softmax()),
        lambda: net(dense(None, None), layers.PReLU(), drop(), dense("softmax")),
        lambda: net(dense(), layers.BatchNormalization(), layers.PReLU(), layers.Softmax()),
        lambda: convolved(layers.PReLU(), layers.GlobalAveragePooling2D(), layers.Softmax()),
        lambda: merged(layers.Add(), last=lambda x: layers.Softmax()(layers.PReLU()(x))),
        lambda: net(layers.Dense(3), drop(), Weighted(), layers.Softmax()),
        lambda: net(layers.Dense(3), drop(), Weighted("relu"), layers.Softmax()),
        lambda: net(layers.Dense(5), drop(), layers.Lambda(lambda x: x[:, :3]), layers.Softmax()),
        lambda: net(layers.Dense(5), drop(), head_of(5, dense(), layers.Softmax())),
        lambda: net(layers.Reshape((2, 2)), drop(), layers.LSTM(3), layers.Softmax()),
        lambda: convolved(layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Softmax()),
        lambda: convolved(layers.ReLU(), layers.GlobalAveragePooling2D(), layers.BatchNormalization()),
        lambda: merged(layers.Add()),
        lambda: functional(keras.ops.softmax),
        lambda: functional(lambda x: keras.ops.softmax(drop(x, 0.0))),
        lambda: net(drop(), layers.SpectralNormalization(dense()), layers.Softmax()),
        tied,
        skipped,
    ],
)
def test_no_sound_ending_is_refused(make):
    model = make()
    assert ending_of(model).fault is None
    compile_model(
        model, route({}, Signature(()), {}), find_objective("accuracy"), classes_of(3), model.input_shape[1:]
    )


@pytest.mark.parametrize(
    ("last", "activation"),
    [
        (lambda x: keras.ops.log_softmax(x), "log_softmax"),
        (lambda x: keras.ops.sigmoid(x), "sigmoid"),
        (lambda x: keras.ops.cast(keras.ops.softmax(x), "float32"), "softmax"),
        (lambda x: head(layers.Flatten())(layers.Softmax()(x)), "softmax"),
        (lambda x: Weighted("relu")(x), None),
        (lambda x: layers.LSTM(3)(layers.Reshape((1, 3))(x)), None),
    ],
)
def test_output_activation_of_operations_and_nested_models(last, activation):
    assert output_activation(functional(last)) == activation


def test_branches_that_end_in_relu_give_no_probabilities():
    assert refusal(merged(layers.Add(), last=layers.ReLU())).startswith(
        "mine: the model ends in relu, which "
    )


@pytest.mark.parametrize(
    "wrap", [lambda loss: [loss], lambda loss: {"scores": loss}, lambda loss: ({"a": loss},)]
)
def test_the_only_loss_of_a_list_or_dict_is_looked_at(wrap):
    model = net(dense("softmax"))
    model.compile("adam", wrap(keras.losses.SparseCategoricalCrossentropy(from_logits=True)))
    assert refusal(model).startswith("mine: the model ends in softmax, and the loss sparse_categorical_cross")
    model = net(dense())
    model.compile("adam", wrap("sparse_categorical_crossentropy"))
    assert refusal(model).startswith("mine: the model's outputs are logits, and the loss sparse_categorical_")
    model = net(dense("softmax"))
    model.compile("adam", wrap("categorical_crossentropy"))
    given = compile_model(model, route({}, Signature(()), {}), find_objective("accuracy"), classes_of(3))
    assert given.labels == "one_hot"


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "own"])
def test_a_model_that_its_function_compiles_is_looked_at_too(loss):
    model = net(dense())
    given = keras.losses.SparseCategoricalCrossentropy() if loss == "own" else loss
    model.compile("adam", given)
    assert refusal(model).startswith("mine: the model's outputs are logits, and the loss sparse_cat")


@pytest.mark.parametrize(("loss", "last"), [("mean_squared_error", "relu"), ("categorical_hinge", None)])
def test_losses_of_any_numbers_take_any_ending(loss, last):
    model = net(dense(last))
    compile_model(model, route({"loss": loss}, Signature(()), {}), find_objective("accuracy"), classes_of(3))
    assert model.compiled


def test_label_smoothing_takes_the_loss_that_has_it():
    model = net(dense("softmax"))
    given = route({"loss.label_smoothing": 0.1}, Signature(()), {})
    compiled = compile_model(model, given, find_objective("accuracy"), classes_of(3))
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
    compiled = compile_model(model, given, find_objective("accuracy"), classes_of(3), (4,))
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


class Rooted(keras.Model):
    """Fine on pixels, and undefined on numbers below 0 (or below 2, by its shift)."""

    def __init__(self, activation, n_outputs=3, shift=0.0, is_strict=False):
        super().__init__()
        self.scores = layers.Dense(n_outputs, activation=activation, kernel_initializer="ones")
        self.shift, self.is_strict = shift, is_strict

    def call(self, inputs):
        if self.is_strict and keras.ops.min(inputs) < self.shift:
            raise RuntimeError("no such numbers")
        return self.scores(keras.ops.sqrt(inputs - self.shift))


@pytest.mark.parametrize(
    ("make", "is_logits"),
    [
        (lambda: Rooted("softmax"), False),
        (lambda: Rooted(None), True),
        (lambda: Rooted("sigmoid", 1), None),
        (lambda: Rooted("sigmoid", 1, is_strict=True), None),
        (lambda: Rooted("softmax", shift=2.0), None),
        (lambda: Rooted(None, shift=2.0), None),
        (lambda: Rooted("softmax", shift=2.0, is_strict=True), None),
    ],
)
def test_models_are_asked_on_numbers_like_pixels(make, is_logits):
    assert ends_in_logits(make(), (4,)) is is_logits


class OneLogit(keras.Model):
    def __init__(self):
        super().__init__()
        self.score = layers.Dense(1, kernel_initializer=keras.initializers.Constant(0.1))

    def call(self, inputs):
        return self.score(inputs)


def test_one_logit_that_pixels_leave_between_0_and_1_is_found():
    assert ends_in_logits(OneLogit(), (4,)) is True


def test_a_model_that_its_function_compiled_rightly_is_not_refused_for_what_noise_gives():
    model = Rooted("softmax")
    model.compile("adam", "sparse_categorical_crossentropy")
    compiled = compile_model(
        model, route({}, Signature(()), {}), find_objective("accuracy"), classes_of(3), (4,)
    )
    assert compiled.from_logits is False


class Called(keras.Model):
    """Calls some layers, and before them divides its input by itself where it is told to."""

    def __init__(self, *first, divides=False, wants_numbers=False):
        super().__init__()
        self.scores, self.flatten = layers.Dense(3), layers.Flatten()
        self.first, self.divides, self.wants_numbers = list(first), divides, wants_numbers

    def call(self, inputs):
        if self.wants_numbers:
            inputs = keras.ops.convert_to_tensor(keras.ops.convert_to_numpy(inputs))
        x = inputs / 255 if self.divides else inputs
        for layer in self.first:
            x = layer(x)
        return self.scores(self.flatten(x))


class Scaled(layers.Layer):
    def call(self, inputs):
        return inputs / 255


class Block(layers.Layer):
    def __init__(self, *parts):
        super().__init__()
        self.parts = list(parts)

    def call(self, inputs):
        for part in self.parts:
            inputs = part(inputs)
        return inputs


def begun(*first):
    return keras.Sequential([keras.Input((8, 8, 3)), *first, layers.Flatten(), layers.Dense(3)])


def around(function):
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(function(inputs))))


@pytest.mark.parametrize(
    ("make", "scales"),
    [
        (lambda: begun(), False),
        (lambda: begun(layers.Conv2D(2, 3), layers.BatchNormalization()), False),
        (lambda: begun(layers.SpectralNormalization(layers.Conv2D(2, 3))), False),
        (lambda: begun(layers.Rescaling(1 / 255)), True),
        (lambda: begun(layers.Normalization(mean=3.0, variance=4.0)), True),
        (lambda: begun(layers.BatchNormalization()), True),
        (lambda: begun(layers.Flatten(), layers.LayerNormalization()), True),
        (lambda: begun(layers.RandomFlip(), layers.ZeroPadding2D(), layers.Rescaling(1 / 255)), True),
        (lambda: begun(layers.Lambda(lambda x: x / 255)), True),
        (lambda: around(lambda x: x / 255.0), True),
        (lambda: around(lambda x: keras.ops.cast(x, "float32") * (1 / 255)), True),
        (lambda: around(begun(layers.Rescaling(1 / 255))), True),
        (lambda: around(begun()), False),
        (lambda: begun(Scaled()), None),
        (lambda: begun(Block(layers.Rescaling(1 / 255), layers.Conv2D(2, 3))), True),
        (lambda: begun(Block(layers.Conv2D(2, 3), layers.BatchNormalization())), False),
        (lambda: begun(layers.Flatten(), layers.Embedding(256, 4)), None),
        (lambda: Called(), False),
        (lambda: Called(divides=True), True),
        (lambda: Called(layers.Rescaling(1 / 255)), True),
        (lambda: Called(layers.Conv2D(2, 3), layers.BatchNormalization()), False),
        (lambda: Called(wants_numbers=True), None),
    ],
)
def test_whether_a_model_scales_its_input(make, scales):
    assert scales_input(make(), (8, 8, 3)) is scales
