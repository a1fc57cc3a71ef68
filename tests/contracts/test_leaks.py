"""Rows that are held out teach a net nothing, neither by statistics nor by folds.

Other values in them change no bit of what a fold's net is trained on. Scores are of nets that could gain by
what held-out rows alone tell: they gain nothing over the mean of the training rows, and with statistics of
all rows, or folds that cut through groups or look ahead, they do.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fakes import Collector, prepare_run
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasgrid.config.sections import Folds
from kerasgrid.data.folds import make_folds
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.models.signature import Signature
from kerasgrid.records import Column, Dataset, Fold, Job, Pack, Table, Target, Trial
from kerasgrid.training import learnt
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.job import train_pack

pytestmark = pytest.mark.slow(weight=3)

N = 120
NAN = np.nan
COLUMNS = (
    Column("area", "numeric", has_blanks=True),
    Column("sold", "date", has_blanks=True, has_times=True),
    Column("kind", "categorical", ("a", "b", "c", "d"), has_blanks=True),
    Column("rooms", "numeric"),
    Column("place", "categorical", ("x", "y")),
)
CLASSES, NUMBERS = Target("classes", ("n", "y")), Target("numbers", ("price", "rent"))
GAP = 7


def cells(random: np.random.RandomState, n: int) -> np.ndarray:
    """Returns rows of COLUMNS, (row, column) float64, of any size."""
    size = 10.0 ** random.randint(-3, 6)
    columns = [
        np.where(random.rand(n) < 0.3, NAN, random.randn(n) * size),
        np.where(random.rand(n) < 0.3, NAN, np.rint(random.rand(n) * 1e5) / 4),
        np.where(random.rand(n) < 0.3, NAN, random.randint(0, 4, n)),
        random.exponential(size, n),
        random.randint(0, 2, n),
    ]
    return np.stack(columns, axis=1)


def targets(random: np.random.RandomState, n: int, target: Target) -> np.ndarray:
    """Returns what is predicted, as a Dataset has it."""
    if target.is_numbers:
        return random.exponential(10.0 ** random.randint(-2, 4), (n, 2))
    return random.randint(0, 2, n)


def drawn(random: np.random.RandomState, target: Target, scaler: Any = "standard") -> Dataset:
    """Returns rows of a table with all that is known of rows."""
    return Dataset(
        cells(random, N),
        targets(random, N, target),
        target,
        "",
        "data",
        table=Table(COLUMNS, scaler),
        weights=random.rand(N),
        groups=random.randint(0, 12, N),
        times=random.randint(0, 50, N) / 4,
        given=np.arange(N) % 4 - 1,
    )


def with_others(random: np.random.RandomState, data: Dataset, rows: np.ndarray) -> Dataset:
    """Returns data of which all is another in some rows."""
    images, labels = data.images.copy(), data.labels.copy()
    n = len(rows)
    images[rows] = random.rand(n, *images.shape[1:]) if data.table is None else cells(random, n)
    labels[rows] = targets(random, n, data.target)
    known = {}
    for name, values in (
        ("weights", 1e3 * random.rand(n)),
        ("groups", random.randint(0, 99, n)),
        ("times", -random.rand(n)),
        ("given", random.randint(-1, 9, n)),
    ):
        known[name] = getattr(data, name).copy()
        known[name][rows] = values
    return replace(data, images=images, labels=labels, **known)


SPLITS = [
    (CLASSES, {"kind": "stratified"}),
    (NUMBERS, {"kind": "plain"}),
    (NUMBERS, {"kind": "group"}),
    (CLASSES, {"kind": "stratified_group"}),
    (NUMBERS, {"kind": "time", "gap": GAP}),
    (CLASSES, {"kind": "time", "gap": GAP}),
    (NUMBERS, {"kind": "given"}),
]


def candidate_of(data: Dataset, how: Folds, **changes: Any) -> Candidate:
    """Returns a candidate of data in memory; its inner split is a fifth, its classes are balanced."""
    recipe = Recipe(
        model=None,
        signature=Signature((), given=("n_categories",) if changes.pop("codes", False) else ()),
        base="",
        target=data.target,
        objective="loss",
        seed=0,
        val=0.2,
        how=how,
        training={} if data.target.is_numbers else {"class_weight": "balanced"},
        **changes,
    )
    return Candidate(recipe, recipe.route({}), data)


def trained_on(candidate: Candidate, fold: Fold) -> dict[str, Any]:
    """Returns all that a fold's net is trained on and looks at meanwhile."""
    rows, val = candidate.rows(fold)
    form = SimpleNamespace(labels="any" if candidate.data.target.is_numbers else "sparse", n_outputs=2)
    found = candidate.samples(form, (rows, val, fold.test), candidate.learnt(fold))
    own = np.concatenate([rows, val])
    images = found.scaling(found.images[own])
    weights = found.weights[rows]  # of classes too
    return {"rows": own, "images": images, "targets": found.targets[own], "weights": weights}


def assert_no_bit_changes(data: Dataset, how: dict[str, Any], random: Any, **changes: Any) -> None:
    """Holds that other values in rows that a fold does not train on change nothing of its training."""
    given = Folds(**how)
    for fold in make_folds(data, given, seed=0):
        others = np.setdiff1d(np.arange(N), fold.train)  # of folds in time the gap's and the later ones too
        assert np.isin(fold.test, others).all()
        wanted = trained_on(candidate_of(data, given, **changes), fold)
        changed = with_others(random, data, others)
        found = trained_on(candidate_of(changed, given, **changes), fold)
        for name, values in wanted.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def of_pixels(random: np.random.RandomState) -> Dataset:
    images = random.rand(N, 3, 3, 2).astype(np.float32)
    return replace(drawn(random, NUMBERS), images=images, table=None)


@pytest.mark.parametrize(("target", "how"), SPLITS)
@settings(max_examples=3)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["standard", "quantile", "none"]),
    st.booleans(),
    st.sampled_from(["standardize", "log"]),
)
def test_other_values_in_rows_that_are_held_out_change_no_bit(target, how, seed, scaler, codes, scale):
    random = np.random.RandomState(seed)
    scale = scale if target.is_numbers else None
    assert_no_bit_changes(drawn(random, target, scaler), how, random, codes=codes, target_scale=scale)


@pytest.mark.parametrize("augment", [None, {"featurewise_center": True}])
@settings(max_examples=3)
@given(st.integers(0, 2**32 - 1))
def test_nor_do_other_pixels(augment, seed):
    random = np.random.RandomState(seed)
    changes = {"standardize": augment is None, "augment": augment, "scale": 2.0}
    assert_no_bit_changes(of_pixels(random), {"kind": "group"}, random, **changes)


def every_row(part: str) -> Callable[..., Any]:
    """Returns what learns a part of what a fold learns, such as its encoder, of all rows."""
    own = learnt._Rows

    def make(data: Dataset, rows: np.ndarray) -> Any:
        made = own(data, rows)
        setattr(made, part, getattr(own(data, np.arange(len(data))), part))
        return made

    return make


@pytest.mark.parametrize("part", ["encoder", "target_scale", "statistics"])
def test_statistics_of_all_rows_change_bits(monkeypatch, part):
    random, how = np.random.RandomState(0), {"kind": "group"}
    data = of_pixels(random) if part == "statistics" else drawn(random, NUMBERS)
    changes = {"standardize": part == "statistics", "target_scale": "standardize"}
    assert_no_bit_changes(data, how, random, **changes)
    monkeypatch.setattr(learnt, "_Rows", every_row(part))
    with pytest.raises(AssertionError, match="targets" if part == "target_scale" else "images"):
        assert_no_bit_changes(data, how, random, **changes)


NET = """
import keras

def net(input_shape, n_outputs):
    dense = keras.layers.Dense(n_outputs, kernel_initializer="zeros")
    return keras.Sequential([keras.Input(input_shape), dense])
"""


def trained(recipe: Recipe, data: Dataset, fold: Fold) -> float:
    """Returns the mean squared error of NET, trained by Keras, on what a fold holds out."""
    job, found = Job(Trial(0, {}), fold.index), Collector()
    train_pack(recipe, Pack((job,)), found)
    return found.records[job.id].score


def descended(recipe: Recipe, data: Dataset, fold: Fold, has_bias: bool = True) -> float:
    """Returns that of the same net, trained by gradient descent here."""
    candidate = Candidate.of(recipe, {}, data)
    known = candidate.learnt(fold)
    form = SimpleNamespace(labels="any", n_outputs=1)
    samples = candidate.samples(form, (fold.train, None, fold.test), known)
    x, y = np.c_[samples.images, np.full(len(data), has_bias)], samples.targets.reshape(-1, 1)
    own, weights = x[fold.train], np.zeros((x.shape[1], 1))
    for _ in range(300):
        weights -= 0.5 * own.T @ (own @ weights - y[fold.train]) / len(own)
    return np.mean((known.numbers(x[fold.test] @ weights) - data.labels[fold.test]) ** 2)


@pytest.fixture
def gain(tmp_path, monkeypatch):
    """Returns what a net gains over the mean of its training rows, as a share of that guess's error.

    It is that of the fold that gains the most: 1 for no error left.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)

    def gain(net: Callable[..., float], frame: pd.DataFrame, folds: Any = None, **data: Any) -> float:
        learnt._rows_of_fold.cache_clear()
        frame.to_csv("train.csv", index=False)
        config = {
            "name": "leak",
            "data": {"train": "train.csv", "target": "y", **data},
            "model": "net.py:net",
            "params": {"optimizer": "SGD", "learning_rate": 0.1, "epochs": 5},
            "search": {"objective": "mean_squared_error", "folds": folds},
            "executor": {"kind": "inline"},
        }
        prepared, recipe = prepare_run(config, tmp_path)
        rows, y = prepared.data, prepared.data.labels
        guesses = [np.mean((y[fold.test] - y[fold.train].mean()) ** 2) for fold in prepared.folds]
        errors = [net(recipe, rows, fold) for fold in prepared.folds]
        return max(1 - error / guess for error, guess in zip(errors, guesses, strict=True))

    return gain


@pytest.mark.parametrize(
    ("part", "net", "data"),
    [
        ("encoder", trained, {}),
        ("encoder", descended, {}),
        ("target_scale", partial(descended, has_bias=False), {"target_scale": "standardize"}),
    ],
)
def test_a_folds_own_mean(monkeypatch, gain, part, net, data):
    """Only who knows both parts knows what lies between them."""
    fold = np.arange(400) % 2 - 1  # the one that is held out, and rows that never are
    x, y = 2 * fold + 1 + 0.05 * np.random.RandomState(0).randn(2, 400)
    frame = pd.DataFrame({"x": x, "y": y, "fold": fold})
    assert gain(net, frame, fold="fold", **data) < 0.1
    monkeypatch.setattr(learnt, "_Rows", every_row(part))
    assert gain(net, frame, fold="fold", **data) > 0.5


def test_a_groups_effect(gain):
    random = np.random.RandomState(0)
    who = np.repeat(np.arange(30), 10)
    y = random.randn(30)[who] + 0.1 * random.randn(300)
    frame = pd.DataFrame({"room": [f"room {n}" for n in who], "y": y, "who": who})
    assert gain(descended, frame, group="who") < 0.1
    assert gain(descended, frame, {"kind": "plain"}, group="who") > 0.5


def test_a_trend(gain):
    random = np.random.RandomState(1)
    week = np.repeat(np.arange(30), 10)
    y = np.cumsum(random.randn(30))[week] + 0.1 * random.randn(300)
    frame = pd.DataFrame({"week": [f"week {n}" for n in week], "y": y, "time": np.arange(300)})
    assert gain(descended, frame, {"gap": 10}, time="time") < 0.1
    assert gain(descended, frame, {"kind": "plain"}, time="time") > 0.5
