from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.data import statistics
from kerasgrid.data.statistics import giveaways, standardize_statistics


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("scale", [None, 255])
def test_from_the_given_rows_alone(dtype, scale, monkeypatch, tmp_path):
    monkeypatch.setattr(statistics, "_CHUNK_VALUES", 100)
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 4, 2)).astype(dtype)
    rows = np.arange(0, 50, 3)
    images[1::3] = 255  # rows that must not be looked at
    np.save("images.npy", images)
    mean, std = standardize_statistics(np.load("images.npy", mmap_mode="r"), rows, scale)
    wanted = images[rows].astype(np.float64) / (scale or 1)
    assert mean.dtype == std.dtype == np.float64
    np.testing.assert_allclose(mean, wanted.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, wanted.std(axis=(0, 1, 2)), rtol=1e-12)


def test_a_channel_that_does_not_vary():
    images = np.stack([np.full((5, 2, 2), 7), np.arange(20).reshape(5, 2, 2)], axis=-1).astype(np.uint8)
    mean, std = standardize_statistics(images, np.arange(5), 255)
    assert mean[0] == pytest.approx(7 / 255)
    assert std[0] == 1.0
    assert std[1] < 1


def test_no_cancellation(monkeypatch):
    monkeypatch.setattr(statistics, "_CHUNK_VALUES", 8)
    images = (1e6 + np.arange(64, dtype=np.float32).reshape(16, 4)).astype(np.float32)
    mean, std = standardize_statistics(images, np.arange(16))
    np.testing.assert_allclose(mean, 1e6 + 30 + np.arange(4))
    np.testing.assert_allclose(std, np.arange(0, 64, 4).std(), rtol=1e-12)


@pytest.mark.parametrize("n_chunk", [1, 7, 1 << 21])
def test_values_that_give_labels_away_are_those_that_are_the_same_in_each_class(monkeypatch, n_chunk):
    monkeypatch.setattr(statistics, "_CHUNK_VALUES", n_chunk)
    chance = np.random.default_rng(0)
    labels = chance.integers(0, 4, 120)
    images = chance.integers(0, 3, (120, 3, 3, 2)).astype(np.uint8)
    assert giveaways(images, labels) == ([], [])
    images[:, 0, 0, 1], images[:, 2, 1, 0], images[:, 1, 1, 1] = labels * 9, labels == 2, 5
    assert giveaways(images, labels) == ([1, 14], [])
    images[17, 2, 1, 0] ^= 1
    assert giveaways(images, labels) == ([1], [])
    several = np.eye(4, dtype=np.uint8)[labels]
    assert giveaways(np.c_[1 - several[:, 3], images[:, 1, 0, 0]], several) == ([0], [])
    assert giveaways(several[:, 1:], (several[:, 0])) == ([], [0, 1, 2])


def test_values_of_a_few_samples_are_taken_for_chance():
    labels = np.arange(12) % 2
    assert giveaways(labels[:, np.newaxis] * 9, labels) == ([0], [])
    assert giveaways(labels[:8, np.newaxis] * 9, labels[:8]) == ([], [])
    rare = np.where(np.arange(60) == 7, 1, 0)  # a class of one sample has any value to itself
    assert giveaways(rare[:, np.newaxis] * 9, rare) == ([], [])
