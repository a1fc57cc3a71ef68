"""Random keys, and the random state of the process, which is its user's.

Each key comes from what it is for, never from a place in a list or a worker.

A trial's first weights and its dropout depend on (seed, its params, fold, repeat, epoch) alone, so that they
do not change with the other trials, the workers, or values that are added to the space. `epochs` is left out
of the params: a run of 30 epochs begins as the run of 15 did; and so is what fits are measured by. The order
of the samples and their augmentation do without params: candidates are compared on the same batches.
"""

from __future__ import annotations

import hashlib
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from kerasgrid.records import Job


def key(*parts: str | int) -> int:
    """Returns 128 bits that depend on all parts, their order and their types."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")


def model_seed(seed: int, job: Job) -> int:
    """Returns the seed of a job's initial weights and layers, 0 to 2**32 - 1."""
    return key("model", seed, job.trial.seed_key, job.fold, job.repeat) % (1 << 32)


def graph_seed(seed: int) -> int:
    """Returns the seed with which models are built that get a job's weights later, 0 to 2**32 - 1."""
    return key("graph", seed) % (1 << 32)


def draw_key(seed: int, job: Job, epoch: int) -> np.ndarray:
    """Returns (2,) int32, the key of what a job's layers draw in an epoch (from 0): masks and noise."""
    return _words("draw", seed, job.trial.seed_key, job.fold, job.repeat, epoch)


def augment_key(seed: int, job: Job, epoch: int) -> np.ndarray:
    """Returns (2,) int32, the key of what augments images in an epoch (from 0), of all candidates."""
    return _words("augment", seed, job.fold, job.repeat, epoch)


def view_key(seed: int, view: int) -> np.ndarray:
    """Returns (2,) int32, the key of what augments samples that are predicted, in a view of them (from 0)."""
    return _words("view", seed, view)


def data_order(seed: int, job: Job, epoch: int, n_samples: int) -> np.ndarray:
    """Returns the order of the training samples in an epoch (from 0), the same for all candidates.

    It is int64, (n_samples,).
    """
    numbers = np.random.Generator(np.random.Philox(key=key("order", seed, job.fold, job.repeat, epoch)))
    return numbers.permutation(n_samples)


def _words(*parts: str | int) -> np.ndarray:
    bits = key(*parts)
    return np.array([bits & 0xFFFFFFFF, bits >> 32 & 0xFFFFFFFF], dtype=np.uint32).view(np.int32)


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Gives the process its random state back, whatever ends the call.

    Python's, NumPy's, TensorFlow's and Keras's, all of which training seeds. A seed of TensorFlow's that is
    left set lets every later fit of the user's draw the same permutation for all of its epochs.
    """
    python, numpy = random.getstate(), np.random.get_state()
    tensorflow, keras = _TensorFlowSeed(), _KerasState()
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        tensorflow.put_back()
        keras.put_back()


def forget_draws() -> None:
    """Lets Keras's own generator begin anew by the seed, as `set_random_seed` lets it from Keras 3.13 on."""
    module = _KerasState._module()
    if module is not None:
        module.set_global_attribute("global_seed_generator", None)


class _TensorFlowSeed:
    """The global seed and the generator of operations' seeds, which TensorFlow lets nobody read."""

    def __init__(self) -> None:
        context = self._context()
        self.seed = getattr(context, "_seed", None)
        self.numbers = getattr(context, "_rng", None)  # there once a seed was set
        self.state = None if self.numbers is None else self.numbers.getstate()

    def put_back(self) -> None:
        context = self._context()
        if context is None:
            return
        context._seed, context._rng = self.seed, self.numbers or random.Random()
        if self.numbers is not None:
            self.numbers.setstate(self.state)

    @staticmethod
    def _context() -> Any | None:
        module = sys.modules.get("tensorflow.python.eager.context")
        return None if module is None else module.context()


class _KerasState:
    """Keras's global state, which `clear_session` throws away, and this thread's seeds in it."""

    def __init__(self) -> None:
        module = self._module()
        self.trackers, self.seeds = {}, dict.fromkeys(("global_random_seed", "global_seed_generator"))
        if module is not None:
            kept = vars(module).items()
            self.trackers = {name: value for name, value in kept if isinstance(value, threading.local)}
            self.seeds = {name: module.get_global_attribute(name) for name in self.seeds}

    def put_back(self) -> None:
        module = self._module()
        if module is None:
            return
        vars(module).update(self.trackers)
        for name, value in self.seeds.items():
            module.set_global_attribute(name, value)

    @staticmethod
    def _module() -> Any | None:
        return sys.modules.get("keras.src.backend.common.global_state")
