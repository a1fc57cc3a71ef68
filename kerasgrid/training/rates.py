"""Learning rates by schedule: of each step of a run, computed on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


def rates(
    given: Mapping[str, Any], highest: float, steps: np.ndarray, per_epoch: int, epochs: int
) -> np.ndarray:
    """Returns the learning rate of some steps, (step,) float64.

    Args:
        given: The arguments of `kerasgrid.config.callbacks.LearningRateScheduler`.
        highest: The candidate's learning rate.
        steps: (step,), counted from the run's first, 0.
        per_epoch: Steps an epoch.
        epochs: Of the whole run.
    """
    total = epochs * per_epoch
    steps = np.asarray(steps, dtype=np.float64)
    if given["schedule"] == "one_cycle":
        return _one_cycle(given, highest, steps, total)
    warmup = given["warmup_epochs"] * per_epoch
    after = np.maximum(steps - warmup, 0)
    shares = np.ones_like(steps)
    if given["schedule"] == "cosine":
        done = np.minimum(after / max(total - warmup, 1), 1)
        shares = (1 - given["alpha"]) * 0.5 * (1 + np.cos(np.pi * done)) + given["alpha"]
    elif given["schedule"] in {"step", "exponential"}:
        decays = after / (given["decay_epochs"] * per_epoch)
        shares = given["decay_rate"] ** (np.floor(decays) if given["schedule"] == "step" else decays)
    rising = steps / warmup if warmup else np.ones_like(steps)
    return highest * np.where(steps < warmup, rising, shares)


def _one_cycle(given: Mapping[str, Any], highest: float, steps: np.ndarray, total: int) -> np.ndarray:
    """Rises along a half cosine and falls along another, to the last step."""
    first = highest / given["div_factor"]
    last = first / given["final_div_factor"]
    peak = max(given["pct_start"] * total - 1, 0)
    rising = _half_cosine(first, highest, steps / peak if peak else np.ones_like(steps))
    falling = _half_cosine(highest, last, np.clip((steps - peak) / max(total - 1 - peak, 1), 0, 1))
    return np.where(steps < peak, rising, falling)


def _half_cosine(begin: float, end: float, share: np.ndarray) -> np.ndarray:
    return end + (begin - end) / 2 * (1 + np.cos(np.pi * share))
