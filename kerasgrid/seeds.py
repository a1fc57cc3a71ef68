"""Random keys: each comes from what it is for, never from a place in a list or a worker.

A trial's numbers depend on (seed, trial key, fold, repeat, epoch) alone, so that they do not change
with the other trials, the workers, or values that are added to the space. The trial key leaves
`epochs` out: a run of 30 epochs begins as the run of 15 did.
"""

from __future__ import annotations

import hashlib

import numpy as np

from kerasgrid.records import Job


def key(*parts: str | int) -> int:
    """Returns 128 bits that depend on all parts, their order and their types."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def model_seed(seed: int, job: Job) -> int:
    """Returns the seed of a job's initial weights and layers, 0 to 2**32 - 1."""
    return key("model", seed, job.trial.key, job.fold, job.repeat) % (1 << 32)


def graph_seed(seed: int) -> int:
    """Returns the seed with which models are built that get a job's weights later, 0 to 2**32 - 1."""
    return key("graph", seed) % (1 << 32)


def draw_key(seed: int, job: Job) -> np.ndarray:
    """Returns (2,) int32, the key of all that a job draws while it is trained: masks, noise, augmentation."""
    bits = key("draw", seed, job.trial.key, job.fold, job.repeat)
    return np.array([bits & 0xFFFFFFFF, bits >> 32 & 0xFFFFFFFF], dtype=np.uint32).view(np.int32)


def view_key(seed: int) -> np.ndarray:
    """Returns (2,) int32, the key of all that is drawn to augment samples that are predicted."""
    bits = key("views", seed)
    return np.array([bits & 0xFFFFFFFF, bits >> 32 & 0xFFFFFFFF], dtype=np.uint32).view(np.int32)


def first_step(epoch: int) -> np.int32:
    """Returns the number of an epoch's first step, by which draws differ; the same for folds of all sizes."""
    return np.array([epoch << 16 & 0xFFFFFFFF], dtype=np.uint32).view(np.int32)[0]


def data_order(seed: int, job: Job, epoch: int, n_samples: int) -> np.ndarray:
    """Returns the order of the training samples in an epoch (from 0): int64, (n_samples,)."""
    numbers = np.random.Generator(
        np.random.Philox(key=key("order", seed, job.trial.key, job.fold, job.repeat, epoch))
    )
    return numbers.permutation(n_samples)
