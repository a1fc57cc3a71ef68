"""Budgets of time and epochs: a search that has used one up ends in order, and goes on with a larger one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kerasgrid.config.sections import seconds_of


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
