from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.data import statistics
from kerasgrid.data.statistics import standardize_statistics


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
