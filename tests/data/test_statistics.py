from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.data import statistics
from kerasgrid.data.sources import read_digits
from kerasgrid.data.statistics import Span, giveaways, pixel_top, share_top, standardize_statistics


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
    assert giveaways(np.c_[np.zeros(120), several[:, 1:]], (several[:, 0])) == ([], [1, 2, 3])


def test_values_of_a_few_samples_are_taken_for_chance():
    labels = np.arange(12) % 2
    assert giveaways(labels[:, np.newaxis] * 9, labels) == ([0], [])
    assert giveaways(labels[:8, np.newaxis] * 9, labels[:8]) == ([], [])
    rare = np.where(np.arange(60) == 7, 1, 0)  # a class of one sample has any value to itself
    assert giveaways(rare[:, np.newaxis] * 9, rare) == ([], [])


RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
RARELY_LIT = np.where(RANDOM.random((300, 28, 28, 1)) < 0.1, RANDOM.integers(0, 256, (300, 28, 28, 1)), 0)
RARELY_LIT[:, :3] = 0
DIGITS = read_digits().images
COUNTS = np.where(RANDOM.random((200, 100)) < 0.1, RANDOM.integers(0, 6, (200, 100)), 0)
COUNTS[:, 0] = RANDOM.integers(0, 256, 200)
TABLE = np.stack(
    [RANDOM.normal(mean, spread, 200) for mean, spread in zip(range(64), range(1, 65), strict=True)], 1
)


@pytest.mark.parametrize(
    ("images", "top"),
    [
        (BYTES, 255),
        (BYTES[..., :1], 255),
        (BYTES.astype(np.float32), 255),
        (BYTES * 0.98, 255),  # resized, say
        (BYTES.reshape(40, -1), 255),
        (BYTES.reshape(40, -1)[:, :16], 255),
        (BYTES[:1, :2, :2], 255),
        (RARELY_LIT, 255),
        (RARELY_LIT.reshape(300, -1), 255),
        (DIGITS.reshape(-1, 8, 8, 1), 16),
        (DIGITS.reshape(-1, 64), 16),
        (BYTES.astype(np.float32) * 257, 65_535),
        # Scaled, or nothing that has to be.
        (BYTES / 255, None),
        (BYTES / 127.5 - 1, None),
        ((BYTES > 128).astype(np.uint8), None),
        (BYTES // 64, None),
        (DIGITS / 16, None),
        # Tables, however wide.
        (TABLE.astype(np.float32), None),
        (COUNTS.astype(np.uint8), None),
        (RANDOM.integers(0, 16, (200, 16)), None),
        (RANDOM.integers(18, 91, (200, 64)), None),
        (RANDOM.integers(0, 101, (200, 64)), None),
        (RANDOM.integers(0, 256, (200, 4)), None),
        (RANDOM.uniform(0, 1000, (200, 100)), None),
    ],
)
def test_pixels_as_they_are_stored_are_known(images, top):
    assert pixel_top(np.asarray(images)) == top


@pytest.mark.parametrize(
    ("images", "top"),
    [
        (BYTES / 255, 1),
        (DIGITS.reshape(-1, 8, 8, 1) / 16, 1),
        (BYTES, None),
        (BYTES / 127.5 - 1, None),
        ((BYTES > 128).astype(np.float32), None),
        (BYTES.reshape(40, -1) / 255, None),  # may be columns
    ],
)
def test_pictures_that_were_brought_to_0_to_1_are_known(images, top):
    assert share_top(images) == top


def test_some_samples_of_many_tell(monkeypatch):
    monkeypatch.setattr(statistics, "_CHUNK_VALUES", 1920)
    assert pixel_top(BYTES) == 255


@pytest.mark.parametrize(
    ("trained", "low", "high", "told"),
    [
        (BYTES, 0, 255, None),
        (BYTES, 0, 9, None),
        (BYTES, 0, 0, None),
        (
            BYTES,
            0,
            1,
            "values are 0 to 1, and those trained on are 0 to 255 as stored: were these scaled",
        ),
        (
            BYTES,
            -1,
            1,
            "values are -1 to 1, and those trained on are 0 to 255 as stored: were these scale",
        ),
        (BYTES / 255, 0, 1, None),
        (BYTES / 255, 0, 1.2, None),
        (
            BYTES / 255,
            0,
            255,
            "values are 0 to 255, and those trained on are 0 to 1 as stored: those were",
        ),
        (TABLE, 0, 1, None),
        (TABLE, -0.5, 0.5, None),
    ],
)
def test_samples_of_another_scale_than_those_trained_on_are_told(trained, low, high, told):
    found = Span.of(trained).odd(low, high)
    assert found is None if told is None else found.startswith(told)
