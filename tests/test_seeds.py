"""Random keys: from what they are for, never from a place."""

from __future__ import annotations

import random
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import kerasgrid as kg
from kerasgrid.records import Job, Trial
from kerasgrid.seeds import augment_key, data_order, draw_key, key, model_seed, view_key

PARAMS = {"dropout": 0.2, "optimizer": "Adam"}
parts = st.lists(st.integers(-10, 10) | st.text(max_size=3), max_size=4)


def job(params=PARAMS, id=0, fold=0, repeat=0):
    return Job(Trial(id, params), fold, repeat)


def numbers_of(seed, a_job, epoch=0):
    """Returns what is a trial's own, and what all candidates have in common."""
    own = model_seed(seed, a_job), draw_key(seed, a_job, epoch).tolist()
    return own, (data_order(seed, a_job, epoch, 50).tolist(), augment_key(seed, a_job, epoch).tolist())


def test_a_trials_place_does_not_touch_its_numbers():
    assert numbers_of(0, job(id=0)) == numbers_of(0, job(id=7))
    assert numbers_of(0, job(dict(reversed(PARAMS.items())))) == numbers_of(0, job())


def test_epochs_and_what_fits_are_measured_by_are_no_part_of_the_key():
    short, long = job({**PARAMS, "epochs": 15}), job({**PARAMS, "epochs": 30})
    assert short.trial.key == long.trial.key == job().trial.key
    assert short.trial.identity != long.trial.identity
    assert numbers_of(0, short) == numbers_of(0, long)
    measured = job({**PARAMS, "epochs": 15, "training.batch_norm": "debiased"})
    assert measured.trial.key != short.trial.key
    assert numbers_of(0, measured) == numbers_of(0, short)


@pytest.mark.parametrize("other", [(1, job()), (0, job(fold=1)), (0, job(repeat=1))])
def test_seed_fold_and_repeat_each_change_the_numbers(other):
    for before, after in zip(numbers_of(0, job()), numbers_of(*other), strict=True):
        assert all(one != other for one, other in zip(before, after, strict=True))


def test_candidates_have_weights_and_masks_of_their_own_and_batches_in_common():
    own, common = numbers_of(0, job())
    others, same = numbers_of(0, job({**PARAMS, "dropout": 0.3}))
    assert all(one != other for one, other in zip(own, others, strict=True))
    assert same == common


def test_no_two_epochs_have_a_key_in_common():
    """Epochs from 65,536 on, too; and steps from there on had those of the next epoch."""
    epochs = [*range(20), 65_535, 65_536, 65_537, 2**20]
    for of in (lambda e: draw_key(0, job(), e), lambda e: augment_key(0, job(), e), lambda e: view_key(0, e)):
        assert len({tuple(of(epoch)) for epoch in epochs}) == len(epochs)


def test_each_epoch_has_an_order_of_its_own_and_needs_none_before_it():
    orders = [data_order(0, job(), epoch, 50).tolist() for epoch in range(5)]
    assert len({tuple(order) for order in orders}) == 5
    assert data_order(0, job(), 4, 50).tolist() == orders[4]


@given(st.integers(0, 2**32 - 1), st.integers(0, 1000), st.integers(1, 300))
def test_an_order_is_a_permutation(seed, epoch, n):
    order = data_order(seed, job(), epoch, n)
    assert order.dtype == np.int64
    assert sorted(order) == list(range(n))


def test_seeds_are_what_keras_takes_and_zero_is_one():
    seeds = [model_seed(seed, job()) for seed in (0, 0, 1, 2**32 - 1)]
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3
    assert all(0 <= seed < 2**32 for seed in seeds)


@given(parts, parts)
def test_keys_differ_wherever_their_parts_do(left, right):
    same = [(type(part), part) for part in left] == [(type(part), part) for part in right]
    assert (key(*left) == key(*right)) is same


def test_keys_are_those_of_every_version():
    """Runs of an older version go on to the same numbers only as long as these hold."""
    assert key("model", 0, "x") == 0x3B5CB7C97225FDFE41CAC8A3185D5F72
    assert data_order(0, job(), 0, 8).tolist() == [2, 0, 7, 3, 4, 1, 5, 6]
    assert draw_key(0, job(), 0).tolist() == [-615956575, -893266770]
    assert augment_key(0, job(), 0).tolist() == [-1044974151, -1941814819]
    assert view_key(0, 0).tolist() == [-539807200, -731035221]


def net(input_shape, n_classes, fails=False):
    import keras

    if fails:
        keras.random.normal((2,))
        raise RuntimeError("no model")
    return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(n_classes, activation="softmax")])


def searched(X, y, fails):
    config = {"model": net, "params": {"epochs": 1, "fails": fails}, "space": {"batch_size": [16]}}
    kg.search({**config, "executor": {"kind": "inline"}}, X, y)


HALVES = [(np.arange(20), np.arange(20, 40))]
CALLS = {
    "KerasClassifier": lambda X, y: kg.KerasClassifier(net, epochs=1).fit(X, y).predict(X),
    "KerasClassifier that fails": lambda X, y: kg.KerasClassifier(net, fails=True).fit(X, y),
    "GridSearchCV": lambda X, y: kg.GridSearchCV(net, {"epochs": [1]}, cv=HALVES).fit(X, y),
    "search": lambda X, y: searched(X, y, fails=False),
    "search that fails": lambda X, y: searched(X, y, fails=True),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [pytest.param(name, marks=[] if name == "GridSearchCV" else [pytest.mark.backend]) for name in CALLS],
)
def test_all_random_state_of_the_process_is_put_back_whatever_ends_a_call(call, tmp_path, monkeypatch, eager):
    import keras

    monkeypatch.chdir(tmp_path)

    def drawn():
        found = [
            random.random(),
            np.random.random(),
            float(keras.random.uniform(())),
            keras.layers.ReLU().name,
        ]
        return found + ([float(tensorflow.random.uniform(()))] if tensorflow else [])

    def order():
        return list(tensorflow.data.Dataset.range(20).shuffle(20).as_numpy_iterator())

    tensorflow = sys.modules.get("tensorflow") if keras.backend.backend() == "tensorflow" else None
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2

    def sequence(between):
        keras.utils.clear_session()
        keras.utils.set_random_seed(3)
        return [drawn(), drawn(), between(), drawn(), drawn()]

    def called():
        with pytest.raises(kg.KerasgridError) if "fails" in call else nullcontext():
            CALLS[call](X, y)

    assert sequence(called) == sequence(lambda: None)
    if tensorflow:
        tensorflow.random.set_seed(None)
        called()
        assert len({tuple(order()) for _ in range(3)}) == 3
