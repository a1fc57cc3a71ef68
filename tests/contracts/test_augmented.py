"""Augmentation that no program does, or that does nothing; how packs are augmented is test_training's."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from whole_jobs import jobs_of, maker

from kerasgrid.config.augment import NOTHING, Augmentation
from kerasgrid.driver import preview as augmented
from kerasgrid.records import Pack, Trial

pytestmark = pytest.mark.slow


UNSCALED = {"train": "digits", "subset": 101}


def clean(image):
    """A preprocessing_function."""
    return image * 0.5


@pytest.fixture
def make(tmp_path):
    return maker(tmp_path)


def test_no_rotation_is_the_fit_without_augmentation(make, monkeypatch):
    given = {"augment": {"rotation_range": 5, "fill_mode": "constant"}, "params": {"epochs": 2}}
    search = make(**given)
    jobs = jobs_of([{"augment.rotation_range": 0}, {"augment.rotation_range": 10}])
    packed = search.train(search.pack(jobs)).records[0, 0, 0]
    monkeypatch.setattr(Augmentation, "of", lambda *_: NOTHING)
    search = make("plain", **given)
    alone = search.train(search.pack(jobs[:1])).records[0, 0, 0]
    np.testing.assert_allclose(packed.history["loss"], alone.history["loss"], rtol=1e-5)


def test_a_preprocessing_function_takes_keras_own_fit(make, eager):
    given = {"rotation_range": 5, "preprocessing_function": f"{__file__}:clean"}
    search = make(augment=given)
    assert search.graphs([Trial(0, {})])[0].reason == "preprocessing_function is of one image at a time"
    found = search.train(Pack(tuple(jobs_of([{}])))).records[0, 0, 0]
    halved = make("halved", augment={"rotation_range": 5, "rescale": 0.5}, data=UNSCALED)
    assert found.error is None
    assert found.epochs == 3
    assert halved.recipe.route({}).augment.rescale == 0.5


def test_a_preprocessing_function_that_changes_shapes_fails_with_its_name(make, tmp_path, eager):
    (tmp_path / "mine.py").write_text("def crop(image):\n    return image[:4]\n")
    search = make(augment={"preprocessing_function": f"{tmp_path}/mine.py:crop"})
    record = search.train(Pack(tuple(jobs_of([{}])))).records[0, 0, 0]
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
    assert texts[0] == "rotation_range=1, horizontal_flip=true"
    assert texts[-1] == "4 of 10 settings are not shown: search fewer to see all of them"
