"""Models of several inputs: what their functions are given, what fits them, and their twin of rows."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasgrid.errors import ModelError
from kerasgrid.models.building import build_model
from kerasgrid.models.endings import ends_in_logits, scales_input
from kerasgrid.models.fc import fc
from kerasgrid.models.foreign import Shown
from kerasgrid.models.inputs import of_rows
from kerasgrid.models.signature import signature_of
from kerasgrid.records import Input, Inputs, Target

pytestmark = pytest.mark.slow

layers = keras.layers
THREE = Target("classes", (0, 1, 2))
LISTED = Inputs((Input((6,)), Input((2, 2, 1), "uint8"), Input((1,), "int64")))
NAMED = Inputs((Input((2, 2, 1), "uint8", "image"), Input((1,), "int64", "place"), Input((6,), name="facts")))


def ending(parts, n=3):
    facts, image, place = parts
    parts = [facts, layers.Flatten()(layers.Rescaling(1 / 255)(image)), layers.Embedding(7, 2)(place)]
    return layers.Dense(n, activation="softmax")(layers.concatenate([*parts[:2], layers.Flatten()(parts[2])]))


def symbols():
    return (
        keras.Input((6,), name="facts"),
        keras.Input((2, 2, 1), dtype="uint8", name="image"),
        keras.Input((), dtype="int32", name="place"),
    )


def of_list():
    given = list(symbols())
    return keras.Model(given, ending(given))


def of_dict():
    facts, image, place = symbols()
    return keras.Model({"image": image, "facts": facts, "place": place}, ending((facts, image, place)))


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.net = of_list()

    def call(self, given):
        return self.net(given)


def build(function, inputs, shown=None, **params):
    return build_model(function, signature_of(function), params, inputs, THREE, shown=shown)


@pytest.mark.parametrize(
    ("function", "inputs"),
    [(of_list, LISTED), (of_list, NAMED), (of_dict, NAMED), (lambda: Subclassed(), LISTED)],
)
def test_a_model_is_asked_in_its_own_form_and_its_twin_in_rows(function, inputs):
    model, random = build(function, inputs), np.random.default_rng(0)
    parts = [random.normal(size=(5, 6)), random.integers(0, 256, (5, 4)), random.integers(0, 7, (5, 1))]
    parts = [parts[place] for place in ((1, 2, 0) if inputs.has_names else (0, 1, 2))]
    rows = np.concatenate(parts, axis=1).astype(np.float32)
    wanted = model.predict(inputs.apart(rows), verbose=0)
    assert wanted.shape == (5, 3)
    assert scales_input(model, inputs) in (None, True)
    if getattr(model, "inputs", None):
        twin = of_rows(model, inputs)
        np.testing.assert_allclose(twin.predict(rows, verbose=0), wanted, atol=1e-6)
        assert [id(weight) for weight in twin.weights] == [id(weight) for weight in model.weights]
    else:  # whose outputs alone tell what they are
        assert ends_in_logits(model, inputs) is False


def test_functions_are_given_shapes_in_the_form_of_x():
    def told(input_shape, input_shapes, n_classes):
        assert input_shape == input_shapes == inputs.shapes
        return of_list()

    for inputs, shapes in (
        (LISTED, [(6,), (2, 2, 1), (1,)]),
        (NAMED, {"image": (2, 2, 1), "place": (1,), "facts": (6,)}),
    ):
        assert inputs.shapes == shapes
        build(told, inputs)

    def one(input_shapes):
        return keras.Sequential([keras.Input(input_shapes[0]), layers.Dense(3, "softmax")])

    assert build(one, (4,)).input_shape == (None, 4)


def test_functions_of_other_packages_see_the_arrays_of_each():
    def of_wrappers(X, y, units=4):
        assert [part.shape for part in X] == [(32, 6), (32, 2, 2, 1), (32, 1)]
        return of_list()

    def of_talos(x_train, y_train, x_val, y_val, params):
        model = of_list()
        model.compile("sgd", "categorical_crossentropy")
        return model.fit(x_train, y_train, validation_data=(x_val, y_val)), model

    def of_scikeras(meta):
        return of_list()

    build(of_wrappers, LISTED)
    build(of_talos, LISTED, Shown.blank(LISTED, THREE))
    with pytest.raises(ModelError, match="names meta, which tells of one array, and X has several inputs"):
        build(of_scikeras, LISTED)


@pytest.mark.parametrize(
    ("function", "inputs", "message"),
    [
        (
            of_list,
            Inputs(LISTED.each[:2]),
            "of_list: the model has 3 inputs, (6,), (2, 2, 1) and (), and X has 2, (6,) and (2, 2, 1): ",
        ),
        (
            of_list,
            Inputs((Input((5,)), *LISTED.each[1:])),
            "of_list: the model has 3 inputs, (6,), (2, 2, 1) and (), and X has 3, (5,), (2, 2, 1) and (1,)",
        ),
        (
            of_list,
            Inputs((*NAMED.each[:2], Input((6,), name="fact"))),
            "of_list: the model has 3 inputs, facts (6,), image (2, 2, 1) and place (), and X has 3, image "
            "(2, 2, 1), place (1,) and fact (6,): give each array by the name of its keras.Input.",
        ),
        (
            of_dict,
            LISTED,
            "of_dict: the model has 3 inputs, image (2, 2, 1), facts (6,) and place (), and X has 3, (6,), "
            "(2, 2, 1) and (1,): its inputs have names, so give X as a dict, {'image': ..., 'facts'",
        ),
        (
            of_list,
            (6,),
            "of_list: the model takes (None, 6) and (None, 2, 2, 1) and (None,), but the data gives "
            "(None, 6). Give X as a list of arrays, one for each input, or as a dict",
        ),
        (
            lambda: keras.Sequential([keras.Input((6,)), layers.Dense(3)]),
            LISTED,
            "<lambda>: the model has 1 input, (6,), and X has 3, ",
        ),
        (
            lambda input_shape: keras.Sequential([keras.Input(input_shape), layers.Dense(3)]),
            LISTED,
            "X has several inputs, and input_shape is [(6,), (2, 2, 1), (1,)].",
        ),
        (
            fc,
            LISTED,
            "fc: takes one array, and X has several inputs: give a model function of your own",
        ),
        (fc, NAMED, "fc: takes one array, and X has several inputs"),
    ],
)
def test_what_does_not_fit_is_told(function, inputs, message):
    with pytest.raises(ModelError) as caught:
        build(function, inputs)
    assert message in str(caught.value)
