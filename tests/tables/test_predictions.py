"""Predictions and images that a search leaves beside its results, and what is said where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.driver.outputs import LARGEST_SIDE, Leaders
from kerasgrid.errors import ResultsError
from kerasgrid.records import Dataset, Fold, FoldRecord, Target, Trial
from kerasgrid.report.mistakes import N_WRONG
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.state import RunState
from kerasgrid.tables.predictions import read_predictions

N = 60
LABELS = np.arange(N) % 3


def dataset(images):
    return Dataset(images, LABELS, Target("classes", ("cat", "dog", "owl")), "sha256:0", "test")


def write(tmp_path, images, said):
    """Writes the files of a run of two trials, the second the better one, as a search does."""
    paths = RunPaths(tmp_path, "run")
    rows = np.arange(N)
    folds = [Fold(0, rows[30:], rows[:30]), Fold(1, rows[:30], rows[30:])]
    state, leaders = RunState(2, 1, "max"), Leaders(paths, "max")
    for trial in range(2):
        state.add(Trial(trial, {}))
        for fold in folds:
            paths.prediction(trial, fold.index, 0).parent.mkdir(parents=True, exist_ok=True)
            np.save(paths.prediction(trial, fold.index, 0), said[fold.test].astype(np.float32))
            state.end(FoldRecord((trial, fold.index, 0), score=0.5 + 0.1 * trial))
        leaders.add(state, trial)
    leaders.write_oof(state, folds, dataset(images))
    return paths


@pytest.fixture
def said():
    """Probabilities of which 30 rows are wrong, the later the more confident."""
    probabilities = np.zeros((N, 3))
    wrong = np.arange(N) >= 30
    probabilities[np.arange(N), np.where(wrong, (LABELS + 1) % 3, LABELS)] = np.linspace(0.5, 0.99, N)
    return probabilities


def test_what_a_search_writes_is_read(tmp_path, said):
    images = np.arange(N, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 1), np.uint8)
    paths = write(tmp_path, images, said)
    found = read_predictions(paths.json, 1)
    assert found.classes == ("cat", "dog", "owl")
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_allclose(found.probabilities, said, rtol=1e-6)
    assert list(found.images) == list(range(N - 1, N - 1 - N_WRONG, -1))
    assert found.images[59].shape == (4, 5, 1)
    assert (found.images[59] == 59).all()
    assert read_predictions(paths.json, 0).images == {}  # they are the best one's


def test_large_images_are_kept_small(tmp_path, said):
    paths = write(tmp_path, np.zeros((N, 3 * LARGEST_SIDE, 10, 3), np.uint8), said)
    assert read_predictions(paths.json, 1).images[59].shape == (LARGEST_SIDE, 4, 3)


@pytest.mark.parametrize("shape", [(N, 7), (N, 4, 4, 2), (N, 4, 4)])
def test_what_is_no_image_is_not_kept(tmp_path, said, shape):
    assert read_predictions(write(tmp_path, np.zeros(shape), said).json, 1).images == {}


def test_without_a_mistake_there_is_no_image(tmp_path):
    right = np.eye(3)[LABELS]
    found = read_predictions(write(tmp_path, np.zeros((N, 4, 4, 1)), right).json, 1)
    assert found.images == {}
    assert len(found.labels) == N


@pytest.mark.parametrize("name", ["oof", "mistakes"])
def test_damage_anywhere_is_told_or_costs_the_images_alone(tmp_path, said, name):
    numbers = np.random.default_rng(0)
    paths = write(tmp_path, np.zeros((N, 8, 8, 1), np.uint8), said)
    path = getattr(paths, name)
    whole, told, lost = path.read_bytes(), [], 0
    for _ in range(400):
        broken = bytearray(whole)
        for place in numbers.integers(0, len(whole), 3):
            broken[place] = numbers.integers(256)
        path.write_bytes(broken)
        try:
            lost += not read_predictions(paths.json, 1).images
        except ResultsError as error:
            told.append(str(error))
    assert all("oof.npz" in message for message in told)
    assert bool(told) is (name == "oof")
    assert bool(lost) is (name == "mistakes")


def test_what_is_missing_is_said(tmp_path, said):
    paths = RunPaths(tmp_path, "run")
    with pytest.raises(
        ResultsError, match=r"oof.npz is missing: a search of kerasgrid writes it when it ends"
    ):
        read_predictions(paths.json, 0)
    write(tmp_path, np.zeros((N, 4, 4, 1)), said)
    with pytest.raises(ResultsError, match=r"oof.npz has no predictions of trial 7\."):
        read_predictions(paths.json, 7)
    paths.oof.write_bytes(paths.oof.read_bytes()[:100])
    with pytest.raises(ResultsError, match=r"oof.npz cannot be read"):
        read_predictions(paths.json, 1)
    np.savez(paths.oof, trial_1=said, fold=LABELS)
    with pytest.raises(ResultsError, match=r"written by an older version, without the labels"):
        read_predictions(paths.json, 1)
