"""Predictions and images that a search leaves beside its results, and what is said where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.driver.outputs import LARGEST_SIDE, Leaders
from kerasgrid.errors import ResultsError
from kerasgrid.records import Dataset, Fold, FoldRecord, Target, Trial
from kerasgrid.report.mistakes import N_WRONG, mistakes_of
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.state import RunState
from kerasgrid.tables.predictions import read_held_out, read_predictions

N = 60
LABELS = np.arange(N) % 3


ROWS = np.arange(N)
FOLDS = (Fold(0, ROWS[30:], ROWS[:30]), Fold(1, ROWS[:30], ROWS[30:]))


def dataset(images):
    return Dataset(images, LABELS, Target("classes", ("cat", "dog", "owl")), "sha256:0", "test")


def write(tmp_path, images, said, names=()):
    """Writes the files of a run of two trials, the second the better one, as a search does."""
    return write_run(tmp_path, dataset(images), said.astype(np.float32), names=names)


def write_run(tmp_path, data, said, folds=FOLDS, names=()):
    paths = RunPaths(tmp_path, "run")
    state, leaders = RunState(len(folds), 1, "max"), Leaders(paths, "max")
    for trial in range(2):
        state.add(Trial(trial, {}))
        for fold in folds:
            paths.prediction(trial, fold.index, 0).parent.mkdir(parents=True, exist_ok=True)
            np.save(paths.prediction(trial, fold.index, 0), said[fold.test] + 0.25 * (fold.index == 2))
            state.end(FoldRecord((trial, fold.index, 0), score=0.5 + 0.1 * trial))
        leaders.add(state, trial)
    leaders.write_oof(state, folds, data, names=lambda: names)
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
    assert found.target == Target("classes", ("cat", "dog", "owl"))
    np.testing.assert_array_equal(found.labels, LABELS)
    np.testing.assert_allclose(found.predicted, said, rtol=1e-6)
    assert list(found.images) == list(range(N - 1, N - 1 - N_WRONG, -1))
    assert found.images[59].shape == (4, 5, 1)
    assert (found.images[59] == 59).all()
    assert read_predictions(paths.json, 0).images == {}  # they are the best one's
    assert found.name(59) == "sample 59"


@pytest.mark.parametrize("n_named", [N, 40])
def test_mistakes_have_the_names_of_their_files_where_all_are_known(tmp_path, said, n_named):
    names = [f"cats/{place}.jpg" for place in range(n_named)]
    found = read_predictions(write(tmp_path, np.zeros((N, 4, 4, 1), np.uint8), said, names).json, 1)
    assert found.name(59) == ("cats/59.jpg" if n_named == N else "sample 59")
    assert mistakes_of(found).wrong[0].name == found.name(59)


def test_large_images_are_kept_small(tmp_path, said):
    images = np.zeros((N, 3 * LARGEST_SIDE, 10, 3), np.uint8)
    images[:, ::3] = [30, 60, 255]  # every third line
    paths = write(tmp_path, images, said)
    found = read_predictions(paths.json, 1).images[59]
    assert found.shape == (LARGEST_SIDE, 3, 3)
    assert (found == [10, 20, 85]).all()


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


# Numbers

PRICES = np.stack([1e6 + np.arange(N) + 0.01, np.linspace(-1, 1, N)], axis=1)
NUMBERS = Target("numbers", ("price", "tax"))


def write_numbers(tmp_path, said, images=None, folds=FOLDS):
    images = np.zeros((N, 7)) if images is None else images
    return write_run(tmp_path, Dataset(images, PRICES, NUMBERS, "sha256:0", "test"), said, folds)


def test_numbers_are_kept_to_the_cent(tmp_path):
    said = PRICES + np.array([0.01, -0.5])
    found = read_predictions(write_numbers(tmp_path, said).json, 1)
    assert found.target == NUMBERS
    np.testing.assert_array_equal(found.labels, PRICES)
    np.testing.assert_array_equal(found.predicted, said)
    whole = read_held_out(RunPaths(tmp_path, "run").json)
    assert whole.target == NUMBERS
    np.testing.assert_array_equal(whole.trials[0], said)
    with np.load(RunPaths(tmp_path, "run").oof) as kept:
        assert "classes" not in kept
        assert kept["targets"].tolist() == ["price", "tax"]


def test_a_sample_that_no_fold_holds_out_has_no_prediction_and_one_of_two_their_mean(tmp_path):
    folds = (Fold(0, ROWS[30:], ROWS[:30]), Fold(1, ROWS[:30], ROWS[30:50]), Fold(2, ROWS[9:], ROWS[:9]))
    paths = write_numbers(tmp_path, PRICES, folds=folds)
    found = read_predictions(paths.json, 1)
    np.testing.assert_array_equal(found.index, ROWS[:50])
    np.testing.assert_array_equal(found.predicted[9:], PRICES[9:50])
    np.testing.assert_array_equal(found.predicted[:9], PRICES[:9] + 0.125)
    assert read_held_out(paths.json).folds.tolist() == [2] * 9 + [0] * 21 + [1] * 20 + [-1] * 10


def test_the_images_of_what_is_furthest_off_are_kept(tmp_path):
    said = PRICES.copy()
    said[5, 0] += 1000
    said[7, 1] -= 1
    images = np.arange(N, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 5, 1), np.uint8)
    found = read_predictions(write_numbers(tmp_path, said, images).json, 1)
    assert list(found.images)[:2] == [5, 7]
    assert (found.images[5] == 5).all()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ({"labels": np.zeros((N, 3))}, r"its labels are of shape \(60, 3\), and there are 2 targets"),
        ({"labels": np.full((N, 2), np.nan)}, "its true values are not all numbers"),
        ({"labels": np.zeros((N, 2), np.int64)}, "its true values are not all numbers"),
        ({"trial_1": np.zeros((N, 1))}, r"\(60, 2\) is that of its labels and targets"),
        ({"trial_1": np.full((N, 2), np.inf)}, "its predictions are infinite"),
    ],
)
def test_damaged_numbers_are_told(tmp_path, damage, told):
    paths = write_numbers(tmp_path, PRICES)
    with np.load(paths.oof) as kept:
        np.savez(paths.oof, **{**kept, **damage})
    with pytest.raises(ResultsError, match=f"oof.npz cannot be read.*{told}"):
        read_predictions(paths.json, 1)
