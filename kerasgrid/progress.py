"""A search's progress: a live display on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from kerasgrid.console import Console
from kerasgrid.observer import Observer
from kerasgrid.records import EpochRecord, FoldRecord, Job
from kerasgrid.results import Results
from kerasgrid.state import RunState
from kerasgrid.views.leaderboard import format_score, format_seconds
from kerasgrid.wording import count, named, visible_line

PLAIN_INTERVAL_S = 10.0


class _Counts(Observer):
    """Keeps what both displays show: fits done, jobs that run, the best so far, the time left."""

    def __init__(self, objective: str) -> None:
        self.objective = objective
        self.n_trials = self.n_fits = self.n_ended = self.n_trials_ended = self.n_failed = 0
        self.running: dict[tuple[int, int, int], tuple[Job, EpochRecord | None]] = {}
        self.until: int | None = None
        self.best: dict[str, Any] | None = None
        self._began, self._ended_before = time.monotonic(), 0

    def begin(self, state: RunState, jobs: Sequence[Job], until: int | None) -> None:
        trials = state.shown()
        self.until = until
        self.n_trials = len(trials)
        self.n_ended = sum(job in state.ended for trial in trials for job in state.jobs_of(trial))
        self.n_fits = self.n_ended + len(jobs)
        self.n_trials_ended = self.n_failed = 0
        for trial in trials:
            if state.is_done(trial):
                self._count(state.row(trial), state.direction)
            elif trial in state.dropped:
                self.n_trials_ended += 1
        self._began, self._ended_before = time.monotonic(), self.n_ended

    def started(self, job: Job) -> None:
        self.running[job.id] = (job, None)

    def epoch(self, record: EpochRecord) -> None:
        if record.job in self.running:
            self.running[record.job] = (self.running[record.job][0], record)

    def ended(self, record: FoldRecord, state: RunState) -> None:
        self.running.pop(record.job, None)
        self.n_ended += 1
        if state.is_done(record.job[0]):
            self._count(state.row(record.job[0]), state.direction)

    def waits(self, record: FoldRecord) -> None:
        self.running.pop(record.job, None)
        self.n_ended += 1

    def _count(self, row: dict[str, Any], direction: str) -> None:
        self.n_trials_ended += 1
        self.n_failed += row["state"] == "failed"
        sign = 1 if direction == "max" else -1
        score = row["mean_test_score"]
        if score is not None and (self.best is None or sign * score > sign * self.best["mean_test_score"]):
            self.best = row

    def seconds_left(self) -> float | None:
        """Returns an estimate from the fits of this session; None before the first has ended."""
        done = self.n_ended - self._ended_before
        if done == 0:
            return None
        return (time.monotonic() - self._began) / done * (self.n_fits - self.n_ended)

    def status(self) -> str:
        """Returns one line: trials, fits, failures, best, time left."""
        to = "" if self.until is None else f" to epoch {self.until}"
        trials = [f"{self.n_trials_ended}/{self.n_trials} trials"] if self.n_trials else []
        parts = [*trials, f"{self.n_ended}/{self.n_fits} fits{to}"]
        if self.n_failed:
            parts.append(f"{self.n_failed} failed")
        if self.best is not None:
            score = format_score(self.best["mean_test_score"], self.best["std_test_score"])
            parts.append(f"best {self.objective} {score} (trial {self.best['id']})")
        left = self.seconds_left()
        if left is not None and self.n_ended < self.n_fits:
            parts.append(f"{format_seconds(left)} left")
        return ", ".join(parts)


class LiveProgress(_Counts):
    """A bar, the jobs that run, and the best so far, kept up to date at the bottom of a terminal."""

    def __init__(self, objective: str, console: Console) -> None:
        super().__init__(objective)
        self._console = console
        self._bar = Progress(
            TextColumn("fits"), BarColumn(bar_width=None), MofNCompleteColumn(), console=console, expand=True
        )
        self._task = self._bar.add_task("fits", total=None)
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render, transient=True)

    def _render(self) -> Group:
        self._bar.update(self._task, total=self.n_fits or None, completed=self.n_ended)
        jobs = [_running(job, record) for job, record in list(self.running.values())]
        lines = [Text(visible_line(line), style="dim", no_wrap=True, overflow="ellipsis") for line in jobs]
        return Group(*lines, Text(self.status()), self._bar)

    def begin(self, state: RunState, jobs: Sequence[Job], until: int | None) -> None:
        super().begin(state, jobs, until)
        self._live.start()

    def note(self, text: str) -> None:
        self._live.console.print(text, style="yellow")

    def end(self, results: Results) -> None:
        self.close()

    def close(self) -> None:
        """Takes the display away."""
        self._live.stop()


class PlainProgress(_Counts):
    """A line now and then, for logs and pipes."""

    def __init__(self, objective: str, console: Console) -> None:
        super().__init__(objective)
        self._console = console
        self._said_at = 0.0

    def begin(self, state: RunState, jobs: Sequence[Job], until: int | None) -> None:
        super().begin(state, jobs, until)
        to = "" if until is None else f" to epoch {until}"
        if self.n_trials:  # none where the best are fitted after a search
            self._say(f"{self.n_trials} trials, {self.n_fits} fits{to}, {self.n_ended} of them done before.")
        else:
            self._say(f"{count(self.n_fits, 'fit')} to train.")

    def ended(self, record: FoldRecord, state: RunState) -> None:
        super().ended(record, state)
        self._say_now_and_then()

    def waits(self, record: FoldRecord) -> None:
        super().waits(record)
        self._say_now_and_then()

    def _say_now_and_then(self) -> None:
        if time.monotonic() - self._said_at >= PLAIN_INTERVAL_S or self.n_ended == self.n_fits:
            self._said_at = time.monotonic()
            self._say(self.status())

    def note(self, text: str) -> None:
        self._say(text)

    def close(self) -> None:
        """Does nothing: there is no display to take away."""

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


class Quiet(Observer):
    """Says nothing."""

    def close(self) -> None:
        """Does nothing: there is no display to take away."""


def make_progress(objective: str, console: Console, quiet: bool) -> LiveProgress | PlainProgress | Quiet:
    """Returns the display that fits the console."""
    if quiet:
        return Quiet()
    return (LiveProgress if console.is_terminal else PlainProgress)(objective, console)


def _running(job: Job, record: EpochRecord | None) -> str:
    shown = named(job.trial.params)
    if record is None:
        return f"{job}: {shown}"
    return f"{job}, epoch {record.epoch}/{record.epochs}{_loss(record.logs)}: {shown}"


def _loss(logs: Mapping[str, float]) -> str:
    return f", loss {logs['loss']:.4f}" if "loss" in logs else ""
