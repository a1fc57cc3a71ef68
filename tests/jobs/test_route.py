"""Where parameters go, and what is said of those that go nowhere."""

# ruff: noqa: E501 - a message on one line is easier to read

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasgrid.checks.parameters import faults_of_params
from kerasgrid.jobs.route import DEFAULTS, goes_to_model, merge_augment, route
from kerasgrid.models.signature import Parameter, Signature

OPEN = Signature((Parameter("units"), Parameter("dropout", "0.2")), takes_any=True)
PLAIN = Signature((Parameter("units"), Parameter("dropout", "0.2")))
GREEDY = Signature(tuple(Parameter(name) for name in ("learning_rate", "batch_size", "epochs", "optimizer")))


def messages(fixed, searched, signature=PLAIN, prefix="space"):
    return [
        f"{fault.path}: {fault.message}" for fault in faults_of_params(fixed, searched, signature, prefix)
    ]


def test_each_parameter_has_its_place():
    found = route(
        {
            "units": 8,
            "batch_size": 64,
            "epochs": 3,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "optimizer.momentum": 0.9,
            "loss": "CategoricalCrossentropy",
            "loss.label_smoothing": 0.1,
            "callbacks.early_stopping.patience": 4,
        },
        PLAIN,
        {"early_stopping": {"monitor": "loss"}, "terminate_on_nan": {}},
    )
    assert (found.model, found.batch_size, found.epochs) == ({"units": 8}, 64, 3)
    assert (found.optimizer, found.optimizer_args) == ("SGD", {"momentum": 0.9, "learning_rate": 0.1})
    assert (found.loss, found.loss_args) == ("categorical_crossentropy", {"label_smoothing": 0.1})
    assert found.callbacks["early_stopping"]["patience"] == 4
    assert found.callbacks["early_stopping"]["monitor"] == "loss"
    assert found.callbacks["terminate_on_nan"] == {"raise_error": False}
    assert set(found.callbacks) == {"early_stopping", "terminate_on_nan"}


def test_accumulate_is_an_argument_of_the_optimizer():
    given = [
        route(params, PLAIN, {}, training={"accumulate": 4}) for params in ({}, {"training.accumulate": 1})
    ]
    assert [one.optimizer_args for one in given] == [{"gradient_accumulation_steps": 4}, {}]
    assert route({}, PLAIN, {}).optimizer_args == {}


def test_defaults_where_nothing_is_said():
    found = route({"units": 8}, PLAIN, {})
    assert (found.batch_size, found.epochs) == (DEFAULTS["batch_size"], DEFAULTS["epochs"]) == (32, 10)
    assert (found.optimizer, found.optimizer_args, found.loss, found.loss_args) == (None, {}, None, {})
    assert (found.callbacks, found.monitors_val) == ({}, False)


def test_what_the_signature_names_goes_to_the_model_and_the_loop_keeps_its_own():
    params = {"learning_rate": 0.1, "batch_size": 8, "epochs": 2, "optimizer": "mine"}
    found = route(params, GREEDY, {})
    assert found.model == params
    assert (found.optimizer, found.optimizer_args) == (None, {})
    assert (found.batch_size, found.epochs) == (8, 2)


def test_a_function_that_takes_any_name_is_not_given_what_is_trainings():
    taken = {
        name
        for name in ("units", "x", "a.b", "epochs", "optimizer.x", "callbacks.y")
        if goes_to_model(name, OPEN)
    }
    assert taken == {"units", "x", "a.b"}
    assert not goes_to_model("x", PLAIN)


def test_a_function_of_keras_s_wrapper_that_takes_any_name_compiles_its_model_itself():
    wrapped = replace(OPEN, given=("X", "y"))
    names = ("units", "optimizer", "learning_rate", "loss", "epochs", "batch_size", "optimizer.x")
    assert {name for name in names if goes_to_model(name, wrapped)} == {*names[:4]}
    assert not goes_to_model("loss", OPEN)


@pytest.mark.parametrize(
    ("callbacks", "params", "wanted"),
    [
        ({"early_stopping": {}}, {}, True),
        ({"early_stopping": {"monitor": "loss"}}, {}, False),
        ({"early_stopping": {"monitor": "loss"}}, {"callbacks.early_stopping.monitor": "val_accuracy"}, True),
        ({}, {"callbacks.reduce_lr_on_plateau.patience": 1}, True),
        ({"terminate_on_nan": {}}, {}, False),
    ],
)
def test_an_inner_split_is_wanted_where_a_callback_monitors_it(callbacks, params, wanted):
    assert route({"units": 1, **params}, PLAIN, callbacks).monitors_val is wanted


@given(st.dictionaries(st.sampled_from(["units", "dropout", "zoo", "a.b"]), st.integers(), max_size=4))
def test_nothing_is_lost_or_made_up_on_the_way_to_the_model(params):
    assert dict(route(params, OPEN, {}).model) == params


def test_sound_params_have_no_faults():
    searched = {
        "units": [1, 2],
        "optimizer": ["SGD", "RMSprop"],
        "optimizer.momentum": [0.0, 0.9],
        "callbacks.early_stopping.patience": [1, 2],
    }
    assert messages({"batch_size": 8, "learning_rate": 1}, searched) == []


@pytest.mark.parametrize(
    ("fixed", "searched", "signature", "expected"),
    [
        # each optimizer that lacks the argument is named, wherever it comes from
        (
            {"units": 1, "optimizer": "Adam"},
            {"optimizer.rho": [0.9]},
            PLAIN,
            ["space.optimizer.rho: Adam has no argument 'rho'."],
        ),
        (
            {"units": 1, "optimizer.rho": 0.9},
            {"optimizer": ["RMSprop", "Adam", "SGD"]},
            PLAIN,
            ["params.optimizer.rho: Adam has no argument", "params.optimizer.rho: SGD has no argument 'rho'."],
        ),
        # what the model function is to get is its own affair
        ({}, {"learning_rate": ["fast"], "batch_size": [1], "epochs": [1], "optimizer": [3]}, GREEDY, []),
        # but the loop uses these two as well
        (
            {"learning_rate": 1, "optimizer": 1},
            {"batch_size": ["x"], "epochs": [0]},
            GREEDY,
            ["space.batch_size: is 'x'; a whole number", "space.epochs: is 0; a whole number"],
        ),
        (
            {},
            {},
            GREEDY,
            [f"params: '{name}' is missing: the model function needs it, and neither params nor space gives it." for name in GREEDY.names],
        ),
        (
            {"units": 1},
            {"loss": ["mse", "hinge"], "loss.delta": [1.0]},
            PLAIN,
            ["space.loss.delta: mean_squared_error has no argument 'delta'.", "space.loss.delta: hinge has no argument 'delta'."],
        ),
        # the learning rate has two names, of which one holds
        (
            {"units": 1, "learning_rate": 0.1},
            {"optimizer.learning_rate": [0.1, 0.2]},
            PLAIN,
            ["space.optimizer.learning_rate: is the same as learning_rate, which is given too: keep one of them."],
        ),
        (
            {"units": 1, "training.accumulate": 0},
            {"optimizer.gradient_accumulation_steps": [2]},
            PLAIN,
            [
                "params.training.accumulate: is 0; at least 1 holds.",
                "space.optimizer.gradient_accumulation_steps: is the same as training.accumulate, which is given too: keep one of them.",
            ],
        ),
        ({"units": 1, "optimizer.learning_rate": -1}, {}, PLAIN, ["params.optimizer.learning_rate: is -1; a number above 0 holds."]),
        ({"units": 1}, {"loss": [], "loss.delta": [1.0]}, PLAIN, []),
        # a function of one's own may have a learning_rate that is not the optimizer's
        ({"epochs": 1, "batch_size": 1, "optimizer": 1, "learning_rate": 1, "optimizer.learning_rate": 0.1}, {}, GREEDY, []),
        # where the signature is not known, what is the loop's is checked all the same, and nothing else
        (
            {"zoo": 1, "optimizer.momentum": 0.9},
            {"epochs": [1.5], "optimizer": ["RectifiedAdam", "Adam"], "callbacks.early_stopping.patience": [-1]},
            None,
            [
                "params.optimizer.momentum: Adam has no argument",
                "space.epochs: is 1.5; a whole number",
                "space.optimizer: is 'RectifiedAdam'; Keras 3 has no",
                "space.callbacks.early_stopping.patience: is -1; at least 0 holds.",
            ],
        ),
        ({"units": 1}, {"augment": [1]}, PLAIN, ["space.augment: is 1; off, on or a mapping holds."]),
        ({"units": 1}, {"": [1]}, PLAIN, ["space.: unknown parameter."]),
        ({"units": 1, "optimizer": "LossScaleOptimizer"}, {}, PLAIN, ["params.optimizer: is 'LossScaleOptimizer'; LossScaleOptimizer is made of other"]),
    ],
)  # fmt: skip
def test_faults_name_the_key_path(fixed, searched, signature, expected):
    found = messages(fixed, searched, signature)
    assert len(found) == len(expected)
    assert all(text.startswith(begin) for text, begin in zip(found, expected, strict=True)), found


@pytest.mark.parametrize("default", [None, "5"])
def test_a_function_that_names_epochs_is_given_those_of_all_stages(default):
    own = Signature((Parameter("epochs", default),))
    stages = [{"trainable": "head", "epochs": 3}, {"trainable": "all", "epochs": 2}]
    assert messages({"stages": stages}, {}, own) == messages({}, {"stages": [stages]}, own) == []
    found = route({"stages.2.epochs": 4}, own, {}, stages=stages)
    assert (found.model, found.epochs) == ({"epochs": 7}, 7)
    assert route({"units": 8}, PLAIN, {}, stages=stages).model == {"units": 8}


def test_where_other_parameters_may_be_given_nothing_is_said_of_them():
    params = {"optimizer.momentum": 0.9, "loss.delta": 1.0, "epochs": 0}
    assert [fault.path for fault in faults_of_params(params, {}, PLAIN)] == [
        "params.optimizer.momentum",
        "params.loss.delta",
        "params.epochs",
        "params",
    ]
    assert [fault.path for fault in faults_of_params(params, {}, PLAIN, are_all=False)] == ["params.epochs"]


def test_the_prefix_says_which_of_several_spaces():
    found = messages({}, {"units": [1], "zoo": [1]}, prefix="space[2]")
    assert [text.partition(":")[0] for text in found] == ["space[2].zoo"]
    assert messages({}, {}, prefix="space[2]") == [
        "space[2]: 'units' is missing: the model function needs it, and neither params nor this space gives it. "
        "It is given input_shape and n_outputs, or some samples as X and y, by name."
    ]


@pytest.mark.parametrize(
    ("params", "section", "expected"),
    [
        ({}, None, None),
        ({}, {}, {}),
        ({}, {"rotation_range": 10}, {"rotation_range": 10}),
        ({"augment.rotation_range": 20}, None, {"rotation_range": 20}),
        ({"augment.zoom_range": 0.5}, {"rotation_range": 10}, {"rotation_range": 10, "zoom_range": 0.5}),
        ({"augment": "off", "augment.zoom_range": 0.5}, {"rotation_range": 10}, None),
        ({"augment": False}, {"rotation_range": 10}, None),
        ({"augment": "on"}, {"rotation_range": 10}, {"rotation_range": 10}),
        ({"augment": "on"}, None, None),
        ({"augment": {"shear_range": 1}}, {"rotation_range": 10}, {"shear_range": 1}),
    ],
)
def test_augmentation_is_the_section_with_what_is_searched(params, section, expected):
    found = merge_augment(params, section)
    assert (None if found is None else found.model_dump(exclude_unset=True)) == expected
