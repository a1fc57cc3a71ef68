"""Which key models are refused for: each fault once, with its line."""

from __future__ import annotations

from textwrap import dedent

import pytest

from kerasgrid.checks.prepared import prepare
from kerasgrid.planning.refusals import MAX_TRIED, Refusals
from kerasgrid.planning.workers import make_recipe
from kerasgrid.records import ProbeRecord
from kerasgrid.run.paths import RunPaths

HEAD = "data: {train: digits, scale: 16}\nmodel: fc\nsearch: {folds: 2}\n"


def refused(params):
    """Returns why a model is refused, the first reason alone, as functions do; None where it builds."""
    depth, kernel = params.get("units", [1])[0], params.get("negative_slope", 1)
    if params.get("activation", "relu") != "relu":
        return f"activation is {params['activation']!r}, which is unknown."
    if not 0 <= params.get("dropout", 0.2) < 1:
        return f"dropout is {params['dropout']!r}, but must be a number from 0 (none) to below 1."
    if not 0 <= params.get("optimizer.momentum", 0) < 1:
        return f"optimizer SGD refused {{'momentum': {params['optimizer.momentum']}}}"
    if params.get("callbacks.early_stopping.monitor", "loss") == "val_los":
        return "callbacks.early_stopping.monitor is 'val_los', which is not measured."
    if depth * kernel > 10:
        return f"net.py:3, build: ValueError: size {depth * kernel} is too large"
    return None


def found(tmp_path, text, reason=refused, is_in_file=True, head=HEAD, kind="ModelError"):
    """Returns the faults as they are told, and which candidates each is of."""
    asked = []

    def ask(recipe, candidates):
        for params in candidates:
            asked.append(params)
            message = reason({**recipe.params, **params})
            error = None if message is None else {"type": kind, "message": message}
            yield ProbeRecord(params, None, error, "cpu")

    source = tmp_path / "grid.yaml"
    source.write_text(head + dedent(text))
    prepared = prepare(source)
    recipe = make_recipe(prepared, RunPaths(tmp_path, "grid"))
    records = list(ask(recipe, prepared.space.cover()))
    refusals = Refusals(prepared, recipe, ask).find(records)
    told = [str(prepared.report.error([one.fault])).removeprefix(f"{tmp_path}/") for one in refusals]
    return list(zip(told, [one.candidates for one in refusals], strict=True)), len(asked)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("space: {dropout: [0.1, 0.2]}", []),
        (
            "params: {activation: rleu}\nspace: {dropout: [0.1, 0.2, 0.3]}",
            [("grid.yaml:4, params.activation: is 'rleu', which is unknown.", "all candidates")],
        ),
        (
            "params:\n  epochs: 3\n  dropout: 20",
            [
                (
                    "grid.yaml:6, params.dropout: is 20, but must be a number from 0 (none) to below 1.",
                    "all candidates",
                )
            ],
        ),
        (  # of several values, the one that is refused
            "space:\n  learning_rate: [0.1, 0.2]\n  dropout: [0.2, 20]",
            [
                (
                    "grid.yaml:6, space.dropout: is 20, but must be a number from 0 (none) to below 1.",
                    "dropout=20",
                )
            ],
        ),
        (  # of a range, all that are; told once
            "space:\n  dropout: {low: 0.5, high: 2, step: 0.5}",
            [
                (
                    "grid.yaml:5, space.dropout: is 1.0, but must be a number from 0 (none) to below 1. "
                    "Likewise 1.5 and 2.0.",
                    "dropout=1, dropout=1.5 and dropout=2",
                )
            ],
        ),
        (  # all of the searched ones
            "space: {dropout: [20, 30]}",
            [
                (
                    "grid.yaml:4, space.dropout: is 20, but must be a number from 0 (none) to below 1. "
                    "Likewise 30.",
                    "dropout=20 and dropout=30",
                )
            ],
        ),
        (  # none hides another
            """\
            params: {activation: rleu, optimizer: SGD}
            callbacks:
              early_stopping: {monitor: val_los, patience: 2}
            space:
              dropout: [0.2, 20]
              optimizer.momentum: [0.1, 7]
            """,
            [
                ("grid.yaml:4, params.activation: is 'rleu', which is unknown.", "all candidates"),
                (
                    "grid.yaml:6, callbacks.early_stopping.monitor: is 'val_los', which is not measured.",
                    "all candidates",
                ),
                (
                    "grid.yaml:8, space.dropout: is 20, but must be a number from 0 (none) to below 1.",
                    "dropout=20",
                ),
                (
                    "grid.yaml:9, space.optimizer.momentum: is 7, and with it optimizer SGD refused "
                    "{'momentum': 7}",
                    "optimizer.momentum=7",
                ),
            ],
        ),
        (  # by its place in a list of spaces
            "space:\n- {dropout: [0.1]}\n- {activation: [relu, rleu, foo]}",
            [
                ("grid.yaml:6, space[1].activation: is 'rleu', which is unknown.", "activation=rleu"),
                ("grid.yaml:6, space[1].activation: is 'foo', which is unknown.", "activation=foo"),
            ],
        ),
        (  # each by itself is fine
            "space:\n  units: [[1], [2], [4]]\n  negative_slope: [1, 2, 4]\n  dropout: [0.1, 0.2, 0.3]",
            [
                (
                    "grid.yaml:6, space.negative_slope: is 4, and beside units=[4] net.py:3, build: "
                    "ValueError: size 16 is too large",
                    "negative_slope=4, units=[4]",
                )
            ],
        ),
    ],
)
def test_each_fault_is_told_once_at_its_key(tmp_path, text, expected):
    told, _ = found(tmp_path, text)
    assert sorted(told) == sorted(expected)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (
            lambda params: "forgot returned NoneType, but must return a keras.Model",
            "grid.yaml:2, model: forgot returned NoneType, but must return a keras.Model",
        ),
        (  # differs in numbers alone
            lambda params: (
                f"net: the model's output is (None, {params['units'][0]}), but 10 classes need 10."
            ),
            "grid.yaml:2, model: net: the model's output is (None, 8), but 10 classes need 10.",
        ),
    ],
)
def test_what_no_setting_is_to_blame_for_is_the_models(tmp_path, reason, expected):
    told, _ = found(tmp_path, "space: {units: [[8], [16], [32]]}", lambda p: reason({"units": [8], **p}))
    assert told == [(expected, "all candidates")]


def test_a_setting_that_the_function_needs_is_named_where_the_message_holds_its_value(tmp_path, monkeypatch):
    monkeypatch.setattr(Refusals, "_is_needed", lambda self, name: name in ("activation", "units"))

    def reason(params):
        return f"build: ValueError: could not interpret {params['activation']}"

    told, _ = found(tmp_path, "params: {activation: rleu, units: [8]}\nspace: {dropout: [0.1, 0.2]}", reason)
    assert told == [
        (
            "grid.yaml:4, params.activation: is 'rleu', and with it build: ValueError: could not interpret "
            "rleu",
            "all candidates",
        )
    ]


def test_as_many_kinds_of_faults_as_there_are_candidates_cost_a_bounded_number_of_models(tmp_path):
    values = [f"{one}{other}" for one in "abcdefghij" for other in "abcdefghij"]

    def reason(params):
        name = params.get("activation", "relu")
        return None if name in ("relu", "aa") else f"{name} is odd"

    told, n_asked = found(tmp_path, f"space: {{activation: {values}, dropout: [0.1, 0.2]}}", reason)
    assert n_asked < len(values) + 10 * MAX_TRIED
    assert len(told) == MAX_TRIED + 1
    assert told[0][0] == "grid.yaml:4, space.activation: is 'ab', and with it ab is odd"
    assert told[-1] == (
        "grid.yaml:2, model: is refused beside activation=aj, dropout=0.2: aj is odd. Refused too: 90 more "
        "candidates.",
        "91 candidates",
    )


def test_a_fault_of_all_is_told_once_beside_faults_of_some(tmp_path):
    def reason(params):
        [units] = params.get("units", [3])
        if units < 1:
            return f"net.py:3, build: ValueError: {'nothing' if units == 0 else 'less than nothing'}"
        return refused(params)

    text = "params: {activation: rleu}\nspace: {units: [[0], [-1], [3]]}"
    told = [line.partition(" is ")[0] for line, _ in found(tmp_path, text, reason)[0]]
    assert told == [
        "grid.yaml:4, params.activation:",
        "grid.yaml:5, space.units:",
        "grid.yaml:5, space.units:",
    ]


def test_what_another_setting_is_that_a_message_begins_with_is_not_told_twice(tmp_path):
    def reason(params):
        is_refused = params.get("units") == [4] and params.get("negative_slope") == 3
        return "negative_slope is 3, but a net of [4] units takes less." if is_refused else None

    text = "space: {units: [[1], [4]], negative_slope: [1, 3]}"
    assert found(tmp_path, text, reason)[0] == [
        (
            "grid.yaml:4, space.negative_slope: is 3, but a net of [4] units takes less: beside units=[4].",
            "negative_slope=3, units=[4]",
        )
    ]
    text = "space: {dropout: [0.1, 0.3], negative_slope: [1, 3]}"

    def other(params):
        is_refused = params.get("dropout") == 0.3 and params.get("negative_slope") == 3
        return "negative_slope is 3, but beside such dropout less holds." if is_refused else None

    [(told, _)] = found(tmp_path, text, other)[0]
    assert told == (
        "grid.yaml:4, space.dropout: is 0.3, and with it negative_slope is 3, but beside such dropout less "
        "holds."
    )


def _gone(weights):
    return None if weights is None else f"weights is {weights!r}, but there is no such file."


def test_weights_are_refused_of_the_nets_that_were_to_begin_with_them(tmp_path):
    """Others are not tried with them in their place: they would be refused for what nobody asked for."""

    def reason(params):
        is_away = params["weights"] != "none"
        return (
            f"weights is {params['weights']}, which of {params['backbone']} is not at hand."
            if is_away
            else None
        )

    head, kind = HEAD.replace("fc", "backbone"), "WeightsError"
    text = "space:\n  - {backbone: [VGG16], weights: [imagenet]}\n  - {backbone: [vit], weights: [none]}"
    [refusal], n_asked = found(tmp_path, text, reason, head=head, kind=kind)
    assert refusal == (
        "grid.yaml:5, space[0].weights: is imagenet, which of VGG16 is not at hand.",
        "backbone=VGG16, weights=imagenet",
    )
    assert n_asked == 2
    text = "space: {backbone: [VGG16, vit], weights: [gone.keras]}"
    told, _ = found(tmp_path, text, lambda params: _gone(params.get("weights")), head=head, kind=kind)
    assert told == [
        ("grid.yaml:4, space.weights: is 'gone.keras', but there is no such file.", "weights=gone.keras")
    ]
    text = "params: {weights: imagenet}\nspace: {backbone: [VGG16]}"
    [refusal], _ = found(
        tmp_path, text, reason=lambda params: reason({"weights": "none", **params}), head=head, kind=kind
    )
    assert refusal == (
        "grid.yaml:4, params.weights: is imagenet, which of VGG16 is not at hand.",
        "backbone=VGG16",
    )
