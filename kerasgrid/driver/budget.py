"""What a search may cost, in time and epochs, and what fits have cost on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kerasgrid.checks.prepared import Prepared
from kerasgrid.config.sections import seconds_of
from kerasgrid.errors import StorageError
from kerasgrid.io import cache_folder, digest, read_json, write_json
from kerasgrid.run.state import RunState


@dataclass
class Budget:
    """Tells a session when its budget is used up; a context manager.

    Attributes:
        time: As the config spells it; None for no limit.
        epochs: Epochs of all sessions together; None for no limit.
        spent_s: Seconds that earlier sessions took.
        trained: Epochs that each run has come to, those of earlier sessions too.
        stop: Is called once, when something is used up; in another thread where it is the time.
        reason: What was used up, in a sentence; None for nothing yet.
    """

    time: str | None
    epochs: int | None
    spent_s: float
    trained: dict[Any, int]
    stop: Callable[[], None]
    reason: str | None = None
    _timer: threading.Timer | None = None

    def __post_init__(self) -> None:
        self._n_trained = sum(self.trained.values())

    def __enter__(self) -> Budget:
        time_s = None if self.time is None else seconds_of(self.time)
        if time_s is not None:
            left_s = time_s - self.spent_s
            if left_s <= 0:
                self._end_of_time()
            else:
                self._timer = threading.Timer(min(left_s, threading.TIMEOUT_MAX), self._end_of_time)
                self._timer.daemon = True
                self._timer.start()
        self._check_epochs()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def train(self, run: object, epoch: int) -> None:
        """Takes that a run, the same for jobs that are read off one, has come to an epoch, from 1."""
        before = self.trained.get(run, 0)
        self.trained[run] = max(epoch, before)
        self._n_trained += self.trained[run] - before
        self._check_epochs()

    def _check_epochs(self) -> None:
        if self.epochs is not None and self._n_trained >= self.epochs:
            self._end(f"The budget of {self.epochs:,} epochs is used up: a larger search.epochs goes on.")

    def _end_of_time(self) -> None:
        self._end(f"The budget of time, {self.time}, is used up: a larger search.time goes on.")

    def _end(self, reason: str) -> None:
        if self.reason is None:
            self.reason = reason
            self.stop()


@dataclass(frozen=True)
class Measurement:
    """Means over the fits of one search.

    Attributes:
        n_fits: How many were measured.
        seconds_per_epoch: Seconds of training an epoch, with all workers busy.
        memory_bytes: The largest resident memory of a worker.
    """

    n_fits: int
    seconds_per_epoch: float
    memory_bytes: int


def remember(prepared: Prepared, state: RunState) -> None:
    """Keeps what a search has measured; a cache that cannot be written is done without."""
    records = [record for record in state.ended.values() if record.error is None and record.epochs]
    if not records:
        return
    measured = Measurement(
        n_fits=len(records),
        seconds_per_epoch=sum(r.fit_time for r in records) / sum(r.epochs for r in records),
        memory_bytes=max(r.memory_bytes or 0 for r in records),
    )
    try:
        write_json(_path(prepared), asdict(measured))
    except StorageError:
        return


def recall(prepared: Prepared) -> Measurement | None:
    """Returns what an earlier search with this model on this data has measured; None for nothing."""
    try:
        return TypeAdapter(Measurement).validate_python(read_json(_path(prepared)))
    except (OSError, ValueError):
        return None


def _path(prepared: Prepared) -> Path:
    key = digest([prepared.config.model, prepared.source, prepared.data.fingerprint])
    return cache_folder() / "measurements" / f"{key}.json"
