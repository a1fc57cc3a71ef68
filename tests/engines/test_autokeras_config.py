"""What becomes of a grid.yaml that AutoKeras searches."""

from __future__ import annotations

import re
from importlib import import_module

import numpy as np
import pytest

from kerasgrid.checks.draft import read_draft
from kerasgrid.checks.prepared import prepare
from kerasgrid.config.reading import check_form
from kerasgrid.config.sections import Config
from kerasgrid.data.in_memory import Given
from kerasgrid.engines.autokeras import as_autokeras, fault_of_data, n_trained
from kerasgrid.errors import ConfigError
from kerasgrid.records import Column, Dataset, Table, Target

autokeras = import_module("kerasgrid.engines.autokeras")  # a function of the room has its name


GRID = {
    "name": "kannada",
    "data": {"train": "digits", "scale": 16},
    "model": "fc",
    "params": {"activation": "relu"},
    "space": {"epochs": [15, 30], "dropout": [0.2, 0.4]},
    "augment": {"rotation_range": 10},
    "search": {"folds": 3, "seed": 5, "objective": "loss"},
}


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(autokeras, "count_gpus", lambda: 0)


def made(**changes) -> tuple[Config, list[str]]:
    config, faults = check_form(GRID | changes)
    assert not faults
    return as_autokeras(config)


def test_data_folds_objective_and_seed_stay_and_models_do_not():
    config, notes = made()
    assert config.search.model_dump() == config.search.model_dump() | {
        "engine": "autokeras",
        "folds": 3,
        "seed": 5,
        "objective": "loss",
        "val": 0.2,
        "trials": 100,
        "keep_models": "best",
    }
    assert (config.name, config.data.train, config.data.scale) == ("kannada-autokeras", "digits", None)
    assert (config.space, config.augment, config.training.pack) == ({}, None, "off")
    assert config.params == {"blocks": "vanilla", "epochs": 30, "batch_size": 32}
    stopping = config.callbacks.early_stopping
    assert (stopping.monitor, stopping.patience, stopping.restore_best_weights) == ("val_loss", 10, True)
    assert notes[1] == (
        "AutoKeras takes no notice of model, params, space, augment: they are of other engines."
    )


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"batch_norm": "debiased"}, "training but training.batch_norm"),
        ({"batch_norm": "debiased", "jit": True}, "training but training.batch_norm"),
        ({"jit": True}, "training"),
    ],
)
def test_its_trials_are_scored_by_the_same_statistics_as_those_beside_them(training, told):
    config, notes = made(training=training)
    assert config.training.batch_norm == training.get("batch_norm", "keras")
    assert config.training.jit == "auto"
    assert notes[1].endswith(f" augment, {told}: they are of other engines.")


@pytest.mark.parametrize(
    ("changes", "epochs"),
    [
        ({"autokeras": {"epochs": 7}}, 7),
        ({"space": {"epochs": {"low": 2, "high": 9, "type": "int"}}}, 9),
        ({"space": [{"epochs": {"values": [4], "when": {}}}, {"epochs": [6]}]}, 6),
        ({"space": {}, "params": {"epochs": 12}}, 12),
        ({"space": {}}, 10),
    ],
)
def test_epochs_are_the_most_that_the_grid_trains(changes, epochs):
    assert made(**changes)[0].params["epochs"] == epochs


@pytest.mark.parametrize(
    ("search", "own", "trials", "time"),
    [
        ({}, {}, 100, None),
        ({"trials": 12, "time": "2h"}, {}, 12, "2h"),
        ({"trials": 12, "time": "2h"}, {"max_trials": 3, "time": "5min"}, 3, "5min"),
        ({"trials": 3, "time": "10min"}, {"max_trials": 50, "time": "1h"}, 3, "10min"),
    ],
)
def test_of_its_own_budgets_and_the_searchs_the_smaller_ones_hold(search, own, trials, time):
    config, notes = made(search=search, autokeras=own)
    assert (config.search.trials, config.search.time) == (trials, time)
    said = [note for note in notes if "AutoKeras has" in note]
    assert len(said) == (2 if own and search["trials"] == trials else 0)


@pytest.mark.parametrize(
    ("gpus", "network", "asked", "blocks", "said"),
    [
        (0, True, "auto", "vanilla", "since there is no GPU here; --set autokeras.blocks=full"),
        (1, False, "auto", "vanilla", "since pretrained weights cannot be reached from here"),
        (1, True, "auto", "full", "since there are a GPU and a network; --set autokeras.blocks=vanilla"),
        (0, False, "full", "full", "by its full blocks."),
        (1, True, "vanilla", "vanilla", "by its vanilla blocks."),
    ],
)
def test_the_choice_of_blocks_is_said(monkeypatch, gpus, network, asked, blocks, said):
    monkeypatch.setattr(autokeras, "count_gpus", lambda: gpus)
    monkeypatch.setattr(autokeras, "_has_network", lambda: network)
    config, notes = made(autokeras={"blocks": asked})
    assert config.params["blocks"] == blocks
    assert said in notes[0]


def test_no_network_is_asked_for_without_a_gpu(monkeypatch):
    def refuse(*arguments, **named):
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(autokeras.socket, "create_connection", refuse)
    made()


def test_a_network_that_does_not_answer_is_none(monkeypatch):
    def refuse(*arguments, **named):
        raise TimeoutError

    monkeypatch.setattr(autokeras.socket, "create_connection", refuse)
    assert not autokeras._has_network()


def test_a_keras_metric_is_measured_too():
    assert made(search={"objective": "top_k_categorical_accuracy"})[0].params["metric"] == (
        "top_k_categorical_accuracy"
    )
    assert "metric" not in made(search={"objective": "f1_macro"})[0].params


def test_an_epoch_has_the_samples_that_are_not_held_out():
    draft = read_draft(GRID | {"augment": None}, ["search.engine=autokeras"])
    prepared = prepare(draft)
    assert prepared.config.params["n_samples"] == round(len(prepared.folds[0].train) * 0.8)
    assert prepared.warnings[: len(draft.notes)] == draft.notes
    own, faults = check_form({**GRID, "search": {"val": "test_fold", "engine": "autokeras"}})
    assert not faults
    assert n_trained(as_autokeras(own)[0], prepared.folds) == len(prepared.folds[0].train)


def test_other_engines_are_left_as_they_are():
    draft = read_draft(GRID)
    assert (draft.config.model, draft.notes) == ("fc", ())


def test_a_run_beside_a_search_never_has_its_name():
    assert made(name="mine-autokeras")[0].name == "mine-autokeras-autokeras"
    asked = read_draft(GRID | {"name": "mine-autokeras"}, ["search.engine=autokeras"])
    assert asked.config.name == "mine-autokeras-autokeras"
    assert read_draft(GRID | {"search": {"engine": "autokeras"}}).config.name == "kannada"


def test_a_grid_of_autokeras_alone_needs_no_model():
    draft = read_draft({"data": {"train": "digits"}, "search": {"engine": "autokeras", "trials": 1}})
    assert prepare(draft).config.model == "kerasgrid.models.autokeras:build"
    assert not any("takes no notice" in note for note in draft.notes)


def test_pixels_are_not_scaled_and_that_is_said():
    assert not any("data." in note for note in made(data={"train": "digits"})[1])
    notes = made(data={"train": "digits", "scale": 16, "standardize": True})[1]
    assert notes[-1].startswith("AutoKeras takes no notice of data.scale and data.standardize: pixels come")


def test_a_run_that_has_begun_keeps_its_blocks_and_epochs(monkeypatch):
    def refuse():
        raise AssertionError("the choice was made anew")

    monkeypatch.setattr(autokeras, "count_gpus", refuse)
    begun = {"blocks": "full", "epochs": 15}
    config, notes = as_autokeras(check_form(GRID)[0], begun=begun)
    assert (config.params["blocks"], config.params["epochs"]) == ("full", 15)
    assert notes[0].endswith("by its full blocks, as its run began.")
    assert "trials have 15 epochs, as its run began, and the grid trains 30 now: --fresh" in notes[1]
    own = check_form(GRID | {"autokeras": {"blocks": "vanilla", "epochs": 7}})[0]
    config, notes = as_autokeras(own, begun=begun)
    assert (config.params["blocks"], config.params["epochs"]) == ("vanilla", 7)
    assert not any("began" in note for note in notes)


@pytest.mark.parametrize(
    ("shape", "objective", "message"),
    [
        ((40, 64), "accuracy", r"search.engine: is autokeras, .* a sample here has the shape \(64,\)"),
        ((40, 8, 8), "categorical_accuracy", "AutoKeras's models of two classes have a single one"),
    ],
)
def test_what_it_cannot_take_is_told_before_it_begins(shape, objective, message):
    grid = {"search": {"engine": "autokeras", "trials": 1, "objective": objective}}
    X = np.zeros(shape) + np.arange(40).reshape(-1, *[1] * (len(shape) - 1))
    with pytest.raises(ConfigError, match=message):
        prepare(grid, Given(X, np.arange(40) % 2))


@pytest.mark.parametrize(
    ("shape", "target", "table", "message"),
    [
        ((8, 8, 1), Target("classes", (0, 1)), None, None),
        ((8, 8, 1), Target("labels", ("a", "b")), None, None),
        ((64,), Target("classes", (0, 1)), None, r"a sample here has the shape \(64,\): reshape"),
        (
            (8, 8, 1),
            Target("numbers", ("age",)),
            None,
            r"numbers are to be predicted \(age\): take another engine",
        ),
        ((8, 8, 1), Target("numbers", ("x", "y")), None, r"predicted \(x and y\): .* bayesian or tpe\."),
        (
            (1,),
            Target("classes", (0, 1)),
            Table((Column("a", "numeric"),)),
            "samples are rows of a table: take",
        ),
    ],
)
def test_numbers_and_tables_are_for_other_engines(shape, target, table, message):
    data = Dataset(np.zeros((4, *shape)), np.zeros(4), target, "sha256:0", "train.csv", table=table)
    told = fault_of_data(data)
    assert (told is None) if message is None else re.search(message, told)


def test_a_time_that_is_none_is_told():
    faults = check_form(GRID | {"autokeras": {"time": "soon"}})[1]
    assert [(fault.path, fault.message) for fault in faults] == [
        ("autokeras.time", "is 'soon', which is no time; such as 2h, 45min, 1h30min or 90s holds.")
    ]
