"""Augmented fits: packs, Keras's own fit and resumed ones have the same draws."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from fakes import Collector, Crash, Crashing, prepare_run

from kerasgrid import augmented, packing
from kerasgrid.augment import NOTHING, Augmentation
from kerasgrid.executors import Inline
from kerasgrid.records import EpochRecord, Job, NoteRecord, Pack, Trial
from kerasgrid.training import wave
from kerasgrid.training.job import train_pack

pytestmark = [pytest.mark.slow, pytest.mark.backend]

AUGMENT = {
    "rotation_range": 15,
    "width_shift_range": [0.125, 2],
    "height_shift_range": 2,
    "shear_range": 5,
    "zoom_range": 0.25,
    "horizontal_flip": True,
    "channel_shift_range": 2.0,
    "brightness_range": [0.5, 1.5],
    "blur_sigma": [0, 1],
    "samplewise_center": True,
}
FEATUREWISE = {"rotation_range": 15, "featurewise_center": True, "featurewise_std_normalization": True}


def clean(image):
    """A preprocessing_function."""
    return image * 0.5


@pytest.fixture
def make(tmp_path):
    def of(name="run", interval_s=1e9, **changes):
        fixed = {"units": [16], "batch_size": 16, "epochs": 3, "batch_norm": False, "dropout": 0.0}
        fixed |= {"optimizer": "SGD", "learning_rate": 0.0625, **changes.pop("params", {})}
        data = {"train": "digits", "scale": 16, "subset": 101}
        config = {"data": data, "model": "fc", "name": name, "params": fixed, "search": {"folds": 2}}
        return prepare_run(config | changes, tmp_path, interval_s)

    return of


def pack_of(prepared, recipe, rates):
    trials = [Trial(i, {"augment.rotation_range": rate}) for i, rate in enumerate(rates)]
    graphs = packing.Graphs(prepared, recipe, Inline()).of(trials)
    jobs = [Job(trial, trial.id % 2) for trial in trials]
    return Pack(tuple(jobs), tuple(graphs[job.trial.id] for job in jobs), len(jobs))


def trained(recipe, pack, context=None):
    context = context or Collector()
    train_pack(recipe, pack, context)
    assert not context.of(NoteRecord)
    return context


@pytest.mark.parametrize("given", [AUGMENT, FEATUREWISE], ids=["all", "featurewise"])
def test_a_pack_sees_the_images_that_keras_own_fit_sees(make, given):
    prepared, recipe = make(augment=given)
    pack = pack_of(prepared, recipe, [0, 20.5])
    assert len({graph.key for graph in pack.graphs}) == 1
    packed = trained(recipe, pack).records
    _, plain = make(name="plain", augment=given)
    own = trained(plain, Pack(pack.jobs)).records
    for job in pack.jobs:
        assert packed[job.id].error is own[job.id].error is None
        for name, values in own[job.id].history.items():
            np.testing.assert_allclose(
                packed[job.id].history[name], values, rtol=2e-3, atol=2e-3, err_msg=name
            )
    losses = [packed[job.id].history["loss"][-1] for job in pack.jobs]
    assert len({round(loss, 3) for loss in losses}) == 2


def test_no_rotation_is_the_fit_without_augmentation(make, monkeypatch):
    given = {"rotation_range": 5, "fill_mode": "constant"}
    prepared, recipe = make(augment=given)
    packed = trained(recipe, pack_of(prepared, recipe, [0, 10])).records[0, 0, 0]
    monkeypatch.setattr(Augmentation, "of", lambda *_: NOTHING)
    prepared, recipe = make(name="plain", augment=given)
    alone = trained(recipe, pack_of(prepared, recipe, [0])).records[0, 0, 0]
    np.testing.assert_allclose(packed.history["loss"], alone.history["loss"], rtol=1e-5)


@pytest.mark.parametrize("packed", [True, False])
def test_an_augmented_fit_that_was_cut_off_resumes_to_the_same_bits(make, monkeypatch, packed):
    monkeypatch.setattr(wave, "CALL_S", 0)

    def begun(name, interval_s):
        prepared, recipe = make(name=name, interval_s=interval_s, augment=AUGMENT)
        pack = pack_of(prepared, recipe, [10])
        return recipe, pack if packed else Pack(pack.jobs)

    whole = trained(*begun("whole", 1e9)).records[0, 0, 0]
    for n in (2, 5):
        recipe, pack = begun(f"cut-{n}", 0)
        first = Crashing(n)
        with pytest.raises(Crash):
            train_pack(recipe, pack, first)
        assert not first.records
        context = trained(recipe, pack)
        assert n == 2 or context.of(EpochRecord)[0].epoch > 1
        assert context.records[0, 0, 0].history == whole.history


def test_a_preprocessing_function_takes_keras_own_fit(make, monkeypatch):
    given = {"rotation_range": 5, "preprocessing_function": f"{__file__}:clean"}
    prepared, recipe = make(augment=given)
    trial = Trial(0, {})
    graph = packing.Graphs(prepared, recipe, Inline()).of([trial])[0]
    assert graph.reason == "preprocessing_function is of one image at a time"
    found = trained(recipe, Pack((Job(trial, 0),))).records[0, 0, 0]
    _, halved = make(
        name="halved", augment={"rotation_range": 5, "rescale": 0.5}, data={"train": "digits", "subset": 101}
    )
    assert found.error is None
    assert found.epochs == 3
    assert halved.route({}).augment.rescale == 0.5


def test_a_preprocessing_function_that_changes_shapes_fails_with_its_name(make, tmp_path):
    (tmp_path / "mine.py").write_text("def crop(image):\n    return image[:4]\n")
    _, recipe = make(augment={"preprocessing_function": f"{tmp_path}/mine.py:crop"})
    record = trained(recipe, Pack((Job(Trial(0, {}), 0),))).records[0, 0, 0]
    assert (
        "augment.preprocessing_function gives images of {(4, 8, 1)}; (8, 8, 1) holds"
        in record.error["message"]
    )


def test_a_sheet_says_how_many_settings_it_leaves_out(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(augmented, "write_sheet", lambda blocks, path, zoom: seen.append(blocks) or path)
    text = "data: {train: digits}\nmodel: fc\nspace: {augment.rotation_range: [1, 2, 3, 4, 5], "
    (tmp_path / "grid.yaml").write_text(text + "augment.horizontal_flip: [true, false]}")
    augmented.write_augmented(tmp_path / "grid.yaml")
    texts = [text for text, _ in seen[0]]
    assert len(texts) == augmented.MAX_SETTINGS + 1
    assert texts[0] == "rotation_range=1.0, horizontal_flip=True"
    assert texts[-1] == "4 of 10 settings are not shown: search fewer to see all of them"
