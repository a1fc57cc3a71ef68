"""The next grid: a grid.yaml that reads, with a reason for each change."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.checks.draft import read_draft
from kerasgrid.config.reading import config_from_dict
from kerasgrid.config.sections import Config
from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.errors import ResultsError
from kerasgrid.report.findings import analyse
from kerasgrid.report.suggestion import suggest
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.flat import records_table
from kerasgrid.tables.reading import results_table

CONFIG = {
    "name": "mine",
    "data": {"train": "digits", "scale": 16.0},
    "model": "fc",
    "params": {"epochs": 6},
    "search": {"folds": 3, "seed": 4},
    "executor": {"kind": "inline"},
}


def rising(epochs):
    losses = [1.0 / (epoch + 1) for epoch in range(epochs)]
    curve = [1 - loss for loss in losses]
    return {"loss": losses, "val_loss": losses, "test_loss": losses, "test_accuracy": curve}


@pytest.mark.parametrize("is_rising", [False, True])
def test_the_next_search_of_autokeras_is_told_in_its_section_alone(is_rising):
    own = {"max_trials": 4, "time": "1h", "epochs": 12, "blocks": "vanilla"}
    began = {
        "data": {"train": "digits"},
        "model": "kerasgrid.models.autokeras:build",
        "params": {"blocks": "vanilla", "epochs": 12, "batch_size": 32, "n_samples": 120},
        "space": {},
        "callbacks": {"early_stopping": {"monitor": "val_loss", "restore_best_weights": True}},
        "training": {"pack": "off"},
        "search": {"engine": "autokeras", "trials": 4, "time": "1h", "val": 0.2, "keep_models": "best"},
        "autokeras": {"max_trials": 4},
        "executor": {},
    }
    found = findings(
        {"image_block_1/normalize": [True, False], "learning_rate": [0.01, 0.001]},
        lambda params: 0.9 - params["learning_rate"],
        history=lambda params: rising(12) if is_rising else None,
        config=began,
    )
    text = suggest(found)
    assert read(text) == {
        "name": "mine-next",
        "data": {"train": "digits"},
        "search": {"engine": "autokeras"},
        "autokeras": own | ({"epochs": 18} if is_rising else {"max_trials": 8}),
    }
    again = read_draft(read(text)).config
    assert again.params["epochs"] == (18 if is_rising else 12)
    assert ("the curves of the best still rise: 12 tried" in text) is is_rising


def findings(
    space, score, config=None, seconds=lambda params: 1.0, candidates=None, history=lambda params: None
):
    names = list(space)
    candidates = candidates or [dict(zip(names, values, strict=True)) for values in product(*space.values())]
    trials = [
        {
            "id": id,
            "params": params,
            "state": "complete",
            "mean_test_score": score(params) + 0.0003 * (id * 7 % 5),
            "std_test_score": 0.001,
            "mean_fit_time": seconds(params),
            "folds": [{"fold": 0, "history": history(params)}],
        }
        for id, params in enumerate(candidates)
    ]
    read = config_from_dict({**CONFIG, "space": space, **(config or {})})[0]
    whole = read.whole
    return analyse(
        results_table(
            ResultsData(
                {
                    "schema": "kerasgrid.results/1",
                    "name": "mine",
                    "objective": {"name": "accuracy"},
                    "config": whole,
                    "trials": trials,
                }
            )
        )
    )


def read(text):
    """Returns the suggestion as values, once it has been read as a grid.yaml without a fault."""
    value = read_yaml(text, "next.yaml")[0] if isinstance(text, str) else text
    draft = read_draft(value)
    assert draft.is_sound, draft
    return value


def score(params):
    """dropout 0.2 is the better by far, learning rates of the middle, nothing in optimizer."""
    best = {0.001: 0.0, 0.003: 0.05, 0.01: 0.02}[params["learning_rate"]]
    return 0.8 + best - 0.2 * params["dropout"]


SPACE = {
    "learning_rate": [0.001, 0.003, 0.01],
    "dropout": [0.2, 0.4],
    "optimizer": ["Adam", "RMSprop"],
    "batch_norm": [True, False],
}


def test_each_parameter_gets_what_its_effect_says():
    text = suggest(findings(SPACE, score, seconds=lambda params: 1 + params["batch_norm"]))
    value = read(text)
    assert value["name"] == "mine-next"
    assert value["space"]["dropout"] == [0.1, 0.2]
    assert value["space"]["learning_rate"] == [0.0017, 0.003, 0.0055]
    assert value["params"]["batch_norm"] is False  # the quicker
    assert value["params"]["optimizer"] in ("Adam", "RMSprop")
    assert value["search"] == {"folds": 3, "seed": 4}
    assert value["executor"] == {"kind": "inline"}
    lines = {line.split(":")[0].strip(): line for line in text.splitlines() if "#" in line}
    assert lines["dropout"].endswith("# the best was at the edge: 0.2, 0.4 tried")
    assert lines["learning_rate"].endswith("# between the values tried: 0.001, 0.003, 0.01")
    assert lines["batch_norm"].endswith("# cannot be told: true, false tried")
    assert text.startswith("# What mine suggests to try next: kerasgrid suggest wrote it.\n")


def test_a_value_that_trains_quicker_but_may_be_behind_is_told_not_taken():
    def behind(params):
        crossed = (params["dropout"] == 0.2) == (params["learning_rate"] == 0.01)
        wild = 0.004 * (-1) ** (crossed + (params["optimizer"] == "Adam") + params["batch_norm"])
        return score(params) + 0.001 * params["batch_norm"] + wild

    text = suggest(findings(SPACE, behind, seconds=lambda params: 1 + params["batch_norm"] / 4))
    assert read(text)["params"]["batch_norm"] is True
    assert "# cannot be told: true, false tried; false trains 20% quicker\n" in text


def test_an_edge_is_followed_where_an_interaction_does_not_overturn_it():
    def more_with_norm(params):
        return 0.8 + (0.05 if params["batch_norm"] else 0.01) * (params["learning_rate"] == 0.01)

    text = suggest(findings({**SPACE, "learning_rate": [0.001, 0.01]}, more_with_norm))
    assert read(text)["space"]["learning_rate"] == [0.001, 0.01, 0.032]
    assert "the best was at the edge; kept, as its effect depends on another parameter" in text


def test_what_depends_on_another_parameter_is_kept():
    def crossed(params):
        return 0.8 + (0.05 if (params["optimizer"] == "Adam") == params["batch_norm"] else 0)

    space = {**SPACE, "dropout": [0.2, 0.3, 0.4]}
    value = read(suggest(findings(space, crossed)))
    assert value["space"]["optimizer"] == ["Adam", "RMSprop"]
    assert value["space"]["batch_norm"] == [True, False]
    assert "learning_rate" in value["params"]


def test_a_clearly_worse_value_is_left_out():
    space = {
        "activation": ["relu", "tanh", "elu"],
        "dropout": [0.2, 0.3],
        "batch_norm": [True, False],
        "seed": [1],
    }
    del space["seed"]
    value = read(suggest(findings(space, lambda p: 0.8 - 0.1 * (p["activation"] == "tanh"))))
    assert value["space"] == {"activation": ["relu", "elu"]}


def test_ranges_are_cut_to_where_the_best_lie_and_keep_their_scale_and_step():
    numbers = np.random.default_rng(0)
    space = {
        "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
        "dropout": {"low": 0.0, "high": 0.6, "step": 0.05},
    }
    candidates = [
        {
            "learning_rate": 10 ** numbers.uniform(-4, -1),
            "dropout": round(0.05 * int(numbers.integers(13)), 2),
        }
        for _ in range(100)
    ]

    def peak(params):
        return 0.9 - 0.1 * abs(np.log10(params["learning_rate"]) + 2) - 0.1 * abs(params["dropout"] - 0.3)

    config = {"search": {"engine": "random", "trials": 100, "folds": 3}}
    value = read(suggest(findings(space, peak, config, candidates=candidates)))
    rate, dropout = value["space"]["learning_rate"], value["space"]["dropout"]
    assert 0.002 < rate["low"] < 0.01 < rate["high"] < 0.05
    assert rate["log"] is True
    assert dropout["step"] == 0.05
    assert 0 <= dropout["low"] < 0.3 < dropout["high"] <= 0.6


def test_conditions_and_exclusions_stay():
    space = {
        "batch_norm": [True, False],
        "dropout": {"values": [0.2, 0.4], "when": {"batch_norm": True}},
        "optimizer": ["Adam", "RMSprop"],
        "learning_rate": [0.001, 0.01],
    }
    candidates = [
        {
            "batch_norm": norm,
            **({"dropout": dropout} if norm else {}),
            "optimizer": opt,
            "learning_rate": rate,
        }
        for norm, dropout, opt, rate in product([True, False], [0.2, 0.4], ["Adam", "RMSprop"], [0.001, 0.01])
        if norm or dropout == 0.2
    ]
    config = {"exclude": ["optimizer == 'SGD'"]}
    value = read(
        suggest(
            findings(space, lambda p: 0.8 + 0.1 * (p["learning_rate"] == 0.01), config, candidates=candidates)
        )
    )
    assert value["exclude"] == ["optimizer == 'SGD'"]
    assert value["space"]["dropout"]["when"] == {"batch_norm": True}
    assert value["space"]["batch_norm"]


def test_a_file_that_is_not_ours_gives_a_space_and_says_what_is_to_be_filled_in():
    rows = [
        {
            "a": a,
            "b": b,
            "c": c,
            "mean_test_score": 0.5 + 0.1 * a + 0.001 * ((7 * a + 3 * c + (b == "y")) % 5),
        }
        for a, b, c in product([1, 2, 3], ["x", "y"], [True, False])
    ]
    text = suggest(analyse(records_table(rows, Path("theirs.json"))))
    assert "add `data`, `model` and what was fixed" in text
    assert "theirs" in text.splitlines()[0]
    assert read_yaml(text, "next.yaml")[0]["space"]["a"] == [3, 4]


def test_a_file_of_drawn_values_gives_ranges_in_few_digits():
    numbers = np.random.default_rng(3)
    rows = [
        {"lr": float(10 ** numbers.uniform(-5, -1)), "units": int(numbers.integers(16, 256))}
        for _ in range(80)
    ]
    for row in rows:
        row["accuracy"] = 1 - 0.1 * abs(np.log10(row["lr"]) + 3) - 1e-5 * row["units"]
    space = read_yaml(suggest(analyse(records_table(rows, Path("drawn.json")))), "next.yaml")[0]["space"]
    rate, units = space["lr"], space["units"]
    assert rate["log"] is True
    assert 1e-4 < rate["low"] < 1e-3 < rate["high"] < 1e-2
    assert all(float(f"{rate[end]:.3g}") == rate[end] for end in ("low", "high"))
    assert units["type"] == "int"
    assert isinstance(units["low"], int)


def test_values_of_several_lines_stay_within_their_comment():
    rows = [{"note": note, "width": w, "accuracy": w / 10} for note in ("a\nb: [", "c") for w in (1, 2, 3)]
    text = suggest(analyse(records_table(rows, Path("odd.json"))))
    assert set(read_yaml(text, "next.yaml")[0]) <= {"params", "space"}


def test_too_few_candidates_change_nothing():
    rows = [{"a": a, "b": b, "mean_test_score": 0.5 + 0.1 * a} for a, b in product([1, 2], ["x", "y"])]
    text = suggest(analyse(records_table(rows, Path("theirs.json"))))
    assert read_yaml(text, "next.yaml")[0] == {"space": {"a": [1, 2], "b": ["x", "y"]}}
    assert text.count("# too few candidates to tell") == 2
    assert "All of these candidates were trained" in text


def test_candidates_that_were_all_trained_are_not_proposed_again():
    """Numbers between them are; where there are none, other seeds."""
    few = {"dropout": [0.2, 0.4], "optimizer": ["Adam", "SGD"]}
    value = read(suggest(findings(few, lambda params: 0.8 - 0.1 * params["dropout"])))
    assert value["space"] == {"dropout": [0.2, 0.283], "optimizer": ["Adam", "SGD"]}
    named = {"activation": ["relu", "elu"], "optimizer": ["Adam", "SGD"]}
    changes = {"search": {"folds": 3, "repeats": 2}}
    text = suggest(findings(named, lambda params: 0.8 - 0.1 * (params["optimizer"] == "SGD"), changes))
    value = read(text)
    assert value["space"] == named
    assert value["search"] == {"folds": 3, "repeats": 4}
    assert "# all of these were trained: other seeds tell them apart" in text


def test_there_is_nothing_halfway_to_a_candidate_that_does_not_have_the_number():
    rows = [
        {"params": params, "accuracy": score}
        for params, score in (({"momentum": 0.5}, 0.8), ({"momentum": 0.9}, 0.9), ({}, 0.7))
    ]
    text = suggest(analyse(records_table(rows, Path("theirs.json"))))
    assert read_yaml(text, "next.yaml")[0] == {"space": {"momentum": [0.7, 0.9]}}


@pytest.mark.parametrize("is_overfit", [False, True])
@pytest.mark.parametrize("is_searched", [False, True])
def test_no_more_epochs_are_proposed_where_the_best_are_overfit(is_overfit, is_searched):
    def history(params):
        epochs = params.get("epochs", 20)
        held_out = [1 / (epoch + 1) for epoch in range(epochs)]
        worse = [0.1 + epoch / 10 for epoch in range(epochs)]
        return {
            "loss": [1 / (epoch + 1) for epoch in range(epochs)],
            "test_loss": worse if is_overfit else held_out,
            "test_accuracy": [epoch / 25 for epoch in range(epochs)],
        }

    space = {"dropout": [0.2, 0.4], "batch_norm": [True, False], "optimizer": ["Adam", "SGD"]}
    space |= {"epochs": [10, 20]} if is_searched else {}
    config = {"params": {} if is_searched else {"epochs": 20}}
    found = findings(
        space,
        lambda params: 0.8 + 0.03 * (params.get("epochs") == 20) - 0.2 * params["dropout"],
        config,
        history=history,
    )
    value = read(suggest(found))
    proposed = [value["params"].get("epochs"), *value.get("space", {}).get("epochs", [])]
    most = max(filter(None, proposed))
    assert (most > 20) is not is_overfit


@pytest.mark.parametrize(("gain", "longer"), [(0.03, 40), (0.0, 30)])
def test_epochs_that_are_not_enough_become_what_the_report_says(gain, longer):
    """Beyond the edge where the larger is clearly better, else half as many again."""

    def longest(params):
        return 0.8 + gain * (params["epochs"] == 20) - 0.2 * params["dropout"]

    space = {
        "epochs": [10, 20],
        "dropout": [0.2, 0.4],
        "batch_norm": [True, False],
        "optimizer": ["Adam", "SGD"],
    }
    rising = {"history": lambda params: {"test_accuracy": [epoch / 25 for epoch in range(params["epochs"])]}}
    found = findings(space, longest, {"params": {}}, **rising)
    assert read(suggest(found))["params"]["epochs"] == longer
    assert [edge.next for edge in found.edges if edge.name == "epochs"] == [40] * (gain > 0)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1, "accuracy": 0.5}, {"a": 1, "accuracy": 0.6}], "no parameter varies"),
        (
            [{"a": 1, "accuracy": 0.5, "state": "failed"}, {"a": 2, "accuracy": 0.6, "state": "failed"}],
            "no trial has a score",
        ),
    ],
)
def test_nothing_to_go_by_is_said(rows, message):
    with pytest.raises(ResultsError, match=message):
        suggest(analyse(records_table(rows, Path("theirs.json"))))


def test_every_key_of_a_config_is_told_or_at_its_default():
    whole = findings(SPACE, score, {"search": {"holdout": 0.2, "repeats": 2}}).table.about.config
    value = read(suggest(findings(SPACE, score, {"search": {"holdout": 0.2, "repeats": 2}})))
    assert value["search"] == {"holdout": 0.2, "repeats": 2}
    assert set(whole) == set(Config.model_fields)


def test_augmentation_callbacks_and_data_are_told_as_they_were_given(tmp_path):
    given = {
        "data": {"train": {"images": "a.gz", "labels": "b.gz"}, "standardize": True},
        "augment": {"zoom_range": 0.1, "rotation_range": 10},
        "callbacks": {
            "early_stopping": {"monitor": "val_accuracy", "patience": 2},
            "learning_rate_scheduler": {"schedule": "one_cycle", "warmup_epochs": 2},
            "reduce_lr_on_plateau": {},
            "terminate_on_nan": True,
        },
        "training": {"stop_dead": True, "class_weight": "balanced"},
    }
    text = suggest(findings(SPACE, score, given))
    value = read_yaml(text, "next.yaml")[0]
    assert {name: value[name] for name in given if name != "callbacks"} == {
        name: given[name] for name in given if name != "callbacks"
    }
    told = value["callbacks"]
    assert told["early_stopping"] == given["callbacks"]["early_stopping"]
    assert told["learning_rate_scheduler"] == given["callbacks"]["learning_rate_scheduler"]
    assert read({**value, "data": {"train": "digits"}})


def test_a_part_of_a_union_keeps_to_its_own_values():
    space = [
        {"optimizer": ["SGD"], "learning_rate": [0.1, 0.5], "batch_norm": [True, False]},
        {"optimizer": ["Adam"], "learning_rate": [0.001, 0.0001], "batch_norm": [True, False]},
    ]
    candidates = [
        dict(zip(part, values, strict=True)) for part in space for values in product(*part.values())
    ]
    scores = {0.1: 0.8, 0.5: 0.7, 0.001: 0.9, 0.0001: 0.8}
    found = findings(
        space,
        lambda params: scores[params["learning_rate"]] + 0.05 * params["batch_norm"],
        candidates=candidates,
    )
    sgd, adam = read(suggest(found))["space"]
    assert (sgd["optimizer"], adam["optimizer"]) == (["SGD"], ["Adam"])
    assert set(sgd["learning_rate"]) <= {0.1, 0.5}
    assert set(adam["learning_rate"]) <= {0.001, 0.0001}


def test_a_part_of_a_union_keeps_to_its_own_range():
    numbers, candidates = np.random.default_rng(0), []
    space = [
        {"optimizer": ["SGD"], "learning_rate": {"low": 0.1, "high": 1.0}},
        {"optimizer": ["Adam"], "learning_rate": {"low": 0.001, "high": 0.01}},
    ]
    for _ in range(30):
        candidates.append({"optimizer": "SGD", "learning_rate": float(numbers.uniform(0.1, 1))})
        candidates.append({"optimizer": "Adam", "learning_rate": float(numbers.uniform(0.001, 0.01))})
    found = findings(
        space,
        lambda params: 0.9 - params["learning_rate"] / 10,
        candidates=candidates,
        config={"search": {"engine": "random", "trials": 60}},
    )
    sgd, adam = (part["learning_rate"] for part in read(suggest(found))["space"])
    assert 0.1 <= sgd["low"] < sgd["high"] <= 1
    assert 0.001 <= adam["low"] < adam["high"] <= 0.01


def test_parts_of_a_union_may_have_a_range_and_words():
    numbers, candidates = np.random.default_rng(0), []
    space = [
        {"optimizer": ["SGD"], "learning_rate": {"low": 0.1, "high": 1.0}},
        {"optimizer": ["Adam"], "learning_rate": [None]},
    ]
    for _ in range(5):
        candidates.append({"optimizer": "SGD", "learning_rate": float(numbers.uniform(0.1, 1))})
    candidates.append({"optimizer": "Adam", "learning_rate": None})
    found = findings(space, lambda params: 0.9, candidates=candidates)
    sgd, adam = (part["learning_rate"] for part in read_yaml(suggest(found), "next.yaml")[0]["space"])
    assert 0.1 <= sgd["low"] < sgd["high"] <= 1
    assert adam == [None]


def test_values_that_no_config_can_hold_are_no_fault_of_a_file_that_is_not_ours():
    rates, units = [0.1, 0.2, float("inf")], [1, 2, 4]
    scores = np.random.default_rng(0).permutation(9) / 10
    rows = [
        {"rate": rate, "units": unit, "mean_test_score": float(score)}
        for (rate, unit), score in zip(product(rates, units), scores, strict=True)
    ]
    assert "space:" in suggest(analyse(records_table(rows, Path("r.csv"))))
