"""Nets too large for memory, whose training steps fail above some number of rows."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import Collector, prepare_run

from kerasgrid.errors import ChangedError
from kerasgrid.records import FoldRecord, Job, Pack, Trial
from kerasgrid.training import memory, packs
from kerasgrid.training.job import train_pack
from kerasgrid.training.scoring import outputs_of_batch

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager")]

JOB = Job(Trial(0, {}), 0)
NETS = """
import keras

from kerasgrid.training import packs

class ResourceExhaustedError(Exception):
    '''Has the name of TensorFlow's.'''

class Large(keras.Model):
    most = 0

    def train_step(self, data):
        if len(data[0]) > self.most:
            raise ResourceExhaustedError("OOM when allocating tensor " + "of many axes " * 50)
        return super().train_step(data)

def net(input_shape, n_classes, most=16):
    inputs = keras.Input(input_shape)
    outputs = keras.layers.Dense(n_classes, activation="softmax")(keras.layers.Flatten()(inputs))
    model = Large(inputs, outputs)
    model.most = most
    return model

class Beside(Large):
    def train_step(self, data):
        self.most = 0 if packs._programs else 64
        return super().train_step(data)

def beside(input_shape, n_classes):
    large = net(input_shape, n_classes)
    return Beside(large.inputs, large.outputs)

class Staged(Large):
    def train_step(self, data):
        self.most = 64 if len(self.trainable_weights) == 2 else 16
        return super().train_step(data)

def staged(input_shape, n_classes):
    inputs = keras.Input(input_shape)
    hidden = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(inputs))
    return Staged(inputs, keras.layers.Dense(n_classes, activation="softmax")(hidden))

class Measured(Large):
    def train_step(self, data):
        return keras.Model.train_step(self, data)

    def test_step(self, data):
        return self._checked(super().test_step, data)

    def predict_step(self, data):
        return self._checked(super().predict_step, data)

    def _checked(self, step, data):
        if len(data[0] if isinstance(data, tuple) else data) > self.most:
            raise ResourceExhaustedError
        return step(data)

def measured(input_shape, n_classes, most=32):
    large = net(input_shape, n_classes)
    model = Measured(large.inputs, large.outputs)
    model.most = most
    return model

def compiled(input_shape, n_classes, most=16):
    model = net(input_shape, n_classes, most)
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model
"""


@pytest.fixture
def fail(tmp_path):
    """Returns a function that trains a job and returns its error."""
    path = tmp_path / "nets.py"
    path.write_text(NETS)

    def of(name="net", stop_after=None, **changes):
        config = {"data": {"train": "digits", "scale": 16, "subset": 100}, "model": f"{path}:{name}"}
        config |= {"name": name, "params": {"batch_size": 64}, "search": {"folds": 2}, **changes}
        context = Collector(stop_after)
        train_pack(prepare_run(config, tmp_path, 1e9)[1], Pack((JOB,)), context)
        [found] = context.of(FoldRecord)
        assert found.alone
        return found.error

    return of


OF_NET = "trial 0, fold 0: out of memory: batch_size 64 did not fit into the memory of "
STAGES = [{"trainable": "head", "epochs": 1}, {"trainable": "all", "epochs": 1}]
DOES = " does: take batch_size: "


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {},
            f", and a step of 12{DOES}12; with training: {{accumulate: 4}} beside it, as many rows as before "
            "change the weights together. The error was: ",
        ),
        (
            {"training": {"accumulate": 2}, "params": {"batch_size": 64, "most": 30}},
            f", and a step of 25{DOES}25; with training: {{accumulate: 4}} beside it, as many ",
        ),
        ({"name": "compiled"}, f", and a step of 12{DOES}12. The error was: "),
        (
            {"name": "staged", "stages": STAGES, "params": {"batch_size": 64}},
            f", and a step of 12{DOES}12; with training: {{accumulate: 4}} beside it, as many rows as ",
        ),
        (
            {"params": {"batch_size": 64, "most": 0}},
            ", nor did a step of one row: take smaller images (resize, or data.image), a smaller net, or "
            "training: {precision: mixed_bfloat16}. The error was: ",
        ),
    ],
)
def test_the_batch_size_that_fits_is_told(fail, given, told):
    """The training rows are 50, and steps of 64 have no more."""
    error = fail(**given)
    assert error["type"] == "ResourceExhaustedError"
    assert error["message"].startswith(OF_NET)
    assert told in error["message"]
    assert "OOM when allocating tensor of many axes" in error["message"]


def test_programs_that_are_kept_give_way(fail, monkeypatch):
    monkeypatch.setattr(packs, "_programs", {("kept",): None})
    assert fail("beside") is None
    assert packs._programs == {}


def test_samples_are_measured_in_batches_that_fit(fail):
    assert fail("measured", params={"batch_size": 20, "epochs": 1}) is None
    assert "did not fit" in fail("measured", params={"batch_size": 20, "most": 10})["message"]


class Small:
    """A model of two inputs that has room for three samples."""

    room = 3

    def predict_on_batch(self, inputs):
        if len(inputs["a"]) > self.room:
            raise MemoryError
        return inputs["a"] + inputs["b"]


def test_what_does_not_fit_is_predicted_in_halves(monkeypatch):
    inputs = {"a": np.arange(10), "b": np.ones(10)}
    np.testing.assert_array_equal(outputs_of_batch(Small(), inputs), [np.arange(1, 11)])
    monkeypatch.setattr(Small, "room", 0)
    with pytest.raises(MemoryError):
        outputs_of_batch(Small(), inputs)


def test_a_search_that_is_to_stop_does_not_try(fail):
    assert "did not fit" not in fail(stop_after=0)["message"]


def test_what_cannot_be_tried_is_told_and_a_changed_model_ends_the_search(fail, monkeypatch):
    def fails(*_):
        raise ValueError("no such row")

    monkeypatch.setattr(memory, "_takes_a_step", fails)
    told = ", and a smaller one could not be tried: ValueError: no such row The error was: "
    assert told in fail()["message"]

    def changed(*_):
        raise ChangedError("the source changed")

    monkeypatch.setattr(memory, "_takes_a_step", changed)
    with pytest.raises(ChangedError):
        fail(name="compiled")
