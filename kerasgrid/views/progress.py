"""A search's progress: a live display on a terminal, one line in a notebook, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.text import Text

from kerasgrid.console import Console, is_notebook, is_told_by_notebook
from kerasgrid.records import EpochRecord, FoldRecord, Job, Stage
from kerasgrid.run.observer import Observer
from kerasgrid.run.results import ResultsData
from kerasgrid.run.state import RunState
from kerasgrid.views.leaderboard import format_score, format_seconds
from kerasgrid.wording import count, named, score_word, visible_line

PLAIN_INTERVAL_S = 10.0
LINE_INTERVAL_S = 0.5
_WARM_S = 30.0
"""Seconds of training after which there is an estimate though no fit that began warm has ended."""
_BURST_S = 0.2
"""Fits of a pack tell of an epoch at once: what comes within so many seconds is one measurement."""
_MOST_MARKS = 256


class _Counts(Observer):
    """Keeps what both displays show: fits done, jobs that run, the best so far, the time left."""

    def __init__(self, objective: str) -> None:
        self.objective = objective
        self.n_trials = self.n_fits = self.n_ended = self.n_trials_ended = self.n_failed = 0
        self.running: dict[tuple[int, int, int], tuple[Job, EpochRecord | None]] = {}
        self._n_before_epoch, self._parts_done = 0, 0.0  # of those that run
        self.until: int | None = None
        self.best: dict[str, Any] | None = None
        self._state: RunState | None = None
        self._done: set[int] = set()
        self.stage: str | None = None
        self._forget_speed()

    def _forget_speed(self) -> None:
        self._marks: list[tuple[float, float]] = []  # seconds, and fits done by then
        self._began_warm: set[tuple[int, int, int]] = set()
        self._is_known = False

    def doing(self, text: str) -> None:
        self.stage = text

    def begin(self, state: RunState, jobs: Sequence[Job], until: int | None) -> None:
        if state is not self._state:
            self._state, self._done, self.n_failed = state, set(), 0
        trials = state.shown()
        for trial in trials:
            if trial not in self._done and state.is_done(trial):
                self._count(trial, state)
        some = [trial for trial in trials if trial not in self._done]  # of all others all jobs have ended
        self.until = until
        self.n_trials = len(trials)
        self.n_trials_ended = len(self._done) + sum(trial in state.dropped for trial in some)
        self.n_ended = len(self._done) * state.n_folds * state.repeats
        self.n_ended += sum(job in state.ended for trial in some for job in state.jobs_of(trial))
        self.n_fits = self.n_ended + len(jobs)
        self._forget_speed()

    def started(self, job: Job) -> None:
        self._leave(job.id)
        self.running[job.id] = (job, None)
        self._n_before_epoch += 1
        if self._marks:
            self._began_warm.add(job.id)

    def epoch(self, record: EpochRecord) -> None:
        if record.job in self.running:
            self._leave(record.job)
            self.running[record.job] = (self.running[record.job][0], record)
            self._parts_done += _part(record)
        self.stage = None
        self._mark()

    def ended(self, record: FoldRecord, state: RunState) -> None:
        self._end(record)
        if state.is_done(record.job[0]):
            self._count(record.job[0], state)

    def waits(self, record: FoldRecord) -> None:
        self._end(record)

    def _end(self, record: FoldRecord) -> None:
        self._leave(record.job)
        self.running.pop(record.job, None)
        self.n_ended += 1
        self.stage = None
        self._is_known |= record.job in self._began_warm
        self._mark()

    def _leave(self, job: tuple[int, int, int]) -> None:
        """Takes out of what is counted what a job was told of that runs; nothing of another."""
        if job in self.running:
            record = self.running[job][1]
            self._n_before_epoch -= record is None
            self._parts_done -= 0.0 if record is None else _part(record)

    def _mark(self) -> None:
        """Measures how far training is, once all that runs has had an epoch, which compiles a program."""
        if not self._marks and self._n_before_epoch:
            return
        now = time.monotonic()
        if self._marks and now - self._marks[-1][0] < _BURST_S:
            now, _ = self._marks.pop()
        self._marks.append((now, self._n_done()))
        if len(self._marks) > _MOST_MARKS:
            del self._marks[1::2]

    def _n_done(self) -> float:
        """Returns how many fits are done, parts of those that run included."""
        return round(self.n_ended + self._parts_done, 9)

    def _count(self, trial: int, state: RunState) -> None:
        """Takes a trial all of whose jobs have ended, which they stay in a session."""
        row = state.row(trial)
        self._done.add(trial)
        self.n_trials_ended += 1
        self.n_failed += row["state"] == "failed"
        sign = 1 if state.direction == "max" else -1
        score = row["mean_test_score"]
        if score is not None and (self.best is None or sign * score > sign * self.best["mean_test_score"]):
            self.best = row

    def seconds_left(self) -> float | None:
        """Returns an estimate from the later half of what has been trained warm; None before that tells."""
        now = time.monotonic()
        if len(self._marks) < 2 or not (self._is_known or now - self._marks[0][0] >= _WARM_S):
            return None
        (began, _), (last, done) = self._marks[0], self._marks[-1]
        since, before = next(mark for mark in reversed(self._marks[:-1]) if mark[0] <= (began + last) / 2)
        if done <= before:
            return None
        return max(0.0, (self.n_fits - done) * (last - since) / (done - before) - (now - last))

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


def _part(record: EpochRecord) -> float:
    """Returns which part of a fit is done."""
    return min(1.0, record.epoch / max(1, record.epochs))


class LiveProgress(_Counts):
    """A bar, the jobs that run, and the best so far, kept up to date at the bottom of a terminal."""

    def __init__(self, objective: str, console: Console) -> None:
        super().__init__(objective)
        self._console = console
        self._bar = Progress(
            TextColumn("fits"), BarColumn(bar_width=None), MofNCompleteColumn(), console=console, expand=True
        )
        self._task = self._bar.add_task("fits", total=None)
        self._spinner = Spinner("dots")
        self._share = ProgressBar()  # of what is done before fits are trained, where that is counted
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render, transient=True)

    def _render(self) -> Group:
        self._bar.update(self._task, total=self.n_fits or None, completed=self.n_ended)
        jobs = [_running(job, record) for job, record in list(self.running.values())]
        lines = [Text(visible_line(line), style="dim", no_wrap=True, overflow="ellipsis") for line in jobs]
        if self.stage is None:
            return Group(*lines, Text(self.status()), self._bar)
        self._spinner.update(text=Text(visible_line(self.stage), style="dim"))
        if isinstance(self.stage, Stage):
            self._share.update(self.stage.done, self.stage.total)
            return Group(self._spinner, self._share)
        if not self.n_fits:
            return Group(self._spinner)
        return Group(*lines, self._spinner, Text(self.status()), self._bar)

    def doing(self, text: str) -> None:
        super().doing(text)
        self._live.start()

    def begin(self, state: RunState, jobs: Sequence[Job], until: int | None) -> None:
        super().begin(state, jobs, until)
        self._live.start()

    def note(self, text: str) -> None:
        self._live.console.print(text, style="yellow")

    def end(self, results: ResultsData) -> None:
        self.close()

    def close(self) -> None:
        """Takes the display away."""
        self._live.stop()


class PlainProgress(_Counts):
    """A line now and then, for logs and pipes."""

    def __init__(self, objective: str, console: Console) -> None:
        super().__init__(objective)
        self._console = console
        self._said_at = self._stage_at = 0.0

    def doing(self, text: str) -> None:
        super().doing(text)
        if isinstance(text, Stage) and time.monotonic() - self._stage_at < PLAIN_INTERVAL_S:
            return
        self._stage_at = time.monotonic()
        self._say(text)

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


class LineProgress(_Counts):
    """One line that is written over, in the output of a notebook's cell; what is noted stays, below it.

    The kernel of a notebook has a display of it, which a notebook that is saved holds once. What a command
    of a cell prints is written over by carriage returns.
    """

    def __init__(self, objective: str, console: Console) -> None:
        super().__init__(objective)
        self._console = console
        self._is_kernel = is_notebook()
        self._display: Any = None
        self._text, self._shown_at = "", 0.0

    def doing(self, text: str) -> None:
        super().doing(text)
        self._show(text)

    def begin(self, state: RunState, jobs: Sequence[Job], until: int | None) -> None:
        super().begin(state, jobs, until)
        self._show(self.status())

    def epoch(self, record: EpochRecord) -> None:
        super().epoch(record)
        running, _ = self.running.get(record.job, (None, None))
        at = "" if running is None else f"; {running}, epoch {record.epoch}/{record.epochs}"
        self._show_now_and_then(f"{self.status()}{at}")

    def ended(self, record: FoldRecord, state: RunState) -> None:
        super().ended(record, state)
        self._show_now_and_then(self.status())

    def waits(self, record: FoldRecord) -> None:
        super().waits(record)
        self._show_now_and_then(self.status())

    def note(self, text: str) -> None:
        if self._is_kernel:
            self._console.print(text, soft_wrap=True)
        else:
            self._write(f"{visible_line(text).ljust(len(self._text))}\n")
            self._show(self._text)

    def end(self, results: ResultsData) -> None:
        going_on = "; run the cell again to go on" if results.status == "interrupted" else ""
        self._show((f"{results.status}: {self.status()}" if self.n_fits else results.status) + going_on)

    def close(self) -> None:
        """Ends the line."""
        if self._text and not self._is_kernel:
            self._console.file.write("\n")
        self._text = ""

    def _show_now_and_then(self, text: str) -> None:
        if time.monotonic() - self._shown_at >= LINE_INTERVAL_S or self.n_ended == self.n_fits:
            self._show(text)

    def _show(self, text: str) -> None:
        before, self._text, self._shown_at = self._text, visible_line(text), time.monotonic()
        if not self._is_kernel:
            self._write(self._text.ljust(len(before)))
        elif self._display is None:
            from IPython.display import display

            self._display = display({"text/plain": self._text}, raw=True, display_id=True)
        else:
            self._display.update({"text/plain": self._text}, raw=True)

    def _write(self, text: str) -> None:
        self._console.file.write(f"\r{text}")
        self._console.file.flush()


class Quiet(Observer):
    """Says nothing."""

    def close(self) -> None:
        """Does nothing: there is no display to take away."""


def make_progress(
    objective: str, console: Console, quiet: bool
) -> LineProgress | LiveProgress | PlainProgress | Quiet:
    """Returns the display that fits the console."""
    if quiet:
        return Quiet()
    if is_notebook() or is_told_by_notebook(console):
        return LineProgress(objective, console)
    return (LiveProgress if console.is_terminal else PlainProgress)(objective, console)


def in_notebook() -> LineProgress | None:
    """Returns the display of a search that a cell of a notebook calls; None elsewhere."""
    return LineProgress("score", Console(force_jupyter=False)) if is_notebook() else None


def _running(job: Job, record: EpochRecord | None) -> str:
    shown = named(job.trial.params)
    if record is None:
        return f"{job}: {shown}"
    return f"{job}, epoch {record.epoch}/{record.epochs}{_loss(record.logs)}: {shown}"


def _loss(logs: Mapping[str, float]) -> str:
    return f", loss {score_word(logs['loss'])}" if "loss" in logs else ""
