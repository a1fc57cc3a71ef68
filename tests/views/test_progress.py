"""What a search shows while it runs, on a terminal and elsewhere."""

from __future__ import annotations

import io
import os
import sys
import time
from types import SimpleNamespace

import pytest

from kerasgrid.console import Console, is_told_by_notebook
from kerasgrid.records import EpochRecord, FoldRecord, Job, Stage, Trial
from kerasgrid.run.state import RunState
from kerasgrid.views import progress as views_progress
from kerasgrid.views.progress import LineProgress, LiveProgress, PlainProgress, Quiet, make_progress


def console(width=100, terminal=False) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None)


@pytest.fixture
def state() -> RunState:
    """Two trials of two folds; the first trial and one fold of the second have ended, with 0.9 and 0.8."""
    state = RunState(n_folds=2, repeats=1, direction="max")
    for id, rate in enumerate((0.1, 0.2)):
        state.add(Trial(id, {"learning_rate": rate}))
    for job in ((0, 0, 0), (0, 1, 0)):
        state.end(FoldRecord(job, score=0.9, epochs=1))
    state.end(FoldRecord((1, 0, 0), score=0.8, epochs=1))
    return state


def open_jobs(state):
    trials = {id: state.trials[id] for id in state.shown()}
    open_ = [job for id in trials for job in state.jobs_of(id) if job not in state.ended]
    return [Job(trials[id], fold, repeat) for id, fold, repeat in open_]


def test_jobs_that_wait_at_a_rung_are_counted(state):
    shown = console()
    progress = PlainProgress("accuracy", shown)
    progress.begin(state, open_jobs(state), 4)
    progress.waits(FoldRecord((1, 1, 0), score=0.5, epochs=4))
    begun, status = shown.file.getvalue().splitlines()
    assert begun == "2 trials, 4 fits to epoch 4, 3 of them done before."
    assert status == "1/2 trials, 4/4 fits to epoch 4, best accuracy 0.9000 ± 0.0000 (trial 0)"


def test_a_resumed_search_shows_what_was_done_before(state):
    shown = console()
    progress = PlainProgress("accuracy", shown)
    progress.begin(state, open_jobs(state), None)
    assert shown.file.getvalue() == "2 trials, 4 fits, 3 of them done before.\n"
    assert progress.status() == "1/2 trials, 3/4 fits, best accuracy 0.9000 ± 0.0000 (trial 0)"


def test_the_best_and_failures_are_kept_up_to_date(state):
    progress = PlainProgress("accuracy", console())
    progress.begin(state, open_jobs(state), None)
    record = FoldRecord((1, 1, 0), score=1.0, epochs=1)
    state.end(record)
    progress.ended(record, state)
    assert progress.status() == "2/2 trials, 4/4 fits, best accuracy 0.9000 ± 0.0000 (trial 0)"
    state.add(Trial(2, {"learning_rate": 0.3}))
    for fold in range(2):
        failed = FoldRecord((2, fold, 0), error={"type": "TrialError", "message": "nan"})
        state.end(failed)
        progress.ended(failed, state)
    assert ", 1 failed, " in progress.status()


def test_smaller_is_better_where_the_objective_says_so(state):
    state.direction = "min"
    progress = PlainProgress("loss", console())
    progress.begin(state, open_jobs(state), None)
    record = FoldRecord((1, 1, 0), score=0.6, epochs=1)
    state.end(record)
    progress.ended(record, state)
    assert "best loss 0.7000 ± 0.1000 (trial 1)" in progress.status()


def test_the_live_display_shows_jobs_epochs_and_params(state):
    shown = console(terminal=True)
    progress = LiveProgress("accuracy", shown)
    progress.begin(state, open_jobs(state), None)
    progress.started(Job(state.trials[1], 1))
    progress.epoch(EpochRecord((1, 1, 0), 3, 10, {"loss": 0.1234567}))
    progress.note("trial 9, fold 0: [bold]text[/] stays text")
    progress.close()
    text = shown.file.getvalue()
    assert "trial 1, fold 1, epoch 3/10, loss 0.1235: learning_rate=0.2" in text
    assert "[bold]text[/] stays text" in text
    assert "3/4" in text


def test_what_is_done_before_training_is_said_at_once(state):
    for kind, terminal in ((PlainProgress, False), (LiveProgress, True)):
        shown = console(terminal=terminal)
        progress = kind("accuracy", shown)
        progress.doing("Reading digits, while 2 workers import TensorFlow.")
        progress.close()
        assert "Reading digits, while 2 workers import TensorFlow." in shown.file.getvalue()
    progress = LiveProgress("accuracy", console(terminal=True))
    progress.doing("Compiling.")
    progress.begin(state, open_jobs(state), None)
    assert progress.stage == "Compiling."
    progress.epoch(EpochRecord((1, 1, 0), 1, 10, {}))
    assert progress.stage is None
    progress.close()


class Clock:
    """Time that goes by when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


def decode(progress):
    """Tells of images that are decoded, as the cache does."""
    progress.doing("Reading photos, while 2 workers import TensorFlow.")
    for done in range(0, 101, 10):
        progress.doing(Stage(f"Decoding image files: {done} of 100.", done, 100))


def test_a_terminal_has_a_bar_of_what_is_counted():
    progress = LiveProgress("accuracy", console(terminal=True))
    decode(progress)
    progress.doing(Stage("Decoding image files: 50 of 100.", 50, 100))
    shown = console(width=60)
    shown.print(progress._render())
    progress.close()
    line, bar = shown.file.getvalue().splitlines()
    assert line.endswith("Decoding image files: 50 of 100.")
    assert bar.strip() == "\N{BOX DRAWINGS HEAVY HORIZONTAL}" * 30


def test_a_log_is_told_of_it_now_and_then(clock):
    shown = console()
    progress = PlainProgress("accuracy", shown)
    clock.now = 100.0
    decode(progress)
    clock.now += 11
    progress.doing(Stage("Decoding image files: 100 of 100.", 100, 100))
    assert shown.file.getvalue().splitlines() == [
        "Reading photos, while 2 workers import TensorFlow.",
        "Decoding image files: 100 of 100.",
    ]


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def begun(n_trials):
    """The state of a search of so many trials, its jobs, a fit each, and a display that has begun."""
    state = RunState(n_folds=1, repeats=1, direction="max")
    for place in range(n_trials):
        state.add(Trial(place, {"x": place}))
    jobs = open_jobs(state)
    progress = PlainProgress("accuracy", console())
    progress.begin(state, jobs, None)
    return state, jobs, progress


def train(progress, clock, state, jobs, epochs, seconds, warm_up=0.0):
    """Trains some jobs side by side, the first epoch after a warm-up; returns the estimates shown."""
    shown = []
    for job in jobs:
        progress.started(job)
    clock.now += warm_up
    for epoch in range(1, epochs + 1):
        clock.now += seconds
        for job in jobs:
            progress.epoch(EpochRecord(job.id, epoch, epochs, {}))
            shown.append(progress.seconds_left())
    for job in jobs:
        record = FoldRecord(job.id, score=0.5, epochs=epochs)
        state.end(record)
        progress.ended(record, state)
        shown.append(progress.seconds_left())
    return shown


@pytest.mark.parametrize("width", [1, 4])
def test_the_time_left_is_that_of_warm_training(clock, width):
    """The first fits take 30 seconds to import and compile, and then, as all others, a second an epoch."""
    state, jobs, progress = begun(80)
    waves = [jobs[first : first + width] for first in range(0, len(jobs), width)]
    shown = train(progress, clock, state, waves[0], 5, 1.0, warm_up=30)
    assert set(shown[: 2 * width]) == {None}
    for place, wave in enumerate(waves[1:-1], start=2):
        left = [found for found in train(progress, clock, state, wave, 5, 1.0) if found is not None]
        assert left or place == 2
        truth = 5.0 * (len(waves) - place)
        assert not left or abs(left[-1] - truth) <= 0.15 * truth + 5


def test_fits_of_an_epoch_that_end_at_once_are_no_measurement(clock):
    state, jobs, progress = begun(40)
    assert set(train(progress, clock, state, jobs[:10], 1, 2.0, warm_up=30)) == {None}
    train(progress, clock, state, jobs[10:20], 1, 2.0)
    assert progress.seconds_left() == pytest.approx(4.0)
    assert progress.status().endswith("4.0 s left")


def test_a_fit_that_takes_long_has_an_estimate_after_half_a_minute(clock):
    state, jobs, progress = begun(1)
    shown = train(progress, clock, state, jobs, 100, 10.0, warm_up=300)
    assert shown[:3] == [None] * 3
    assert shown[3] == pytest.approx(960)


def tell(progress, state):
    """Tells a display of a search from its first word to its end."""
    progress.doing("Reading digits.")
    progress.begin(state, open_jobs(state), None)
    progress.started(Job(state.trials[1], 1))
    progress.epoch(EpochRecord((1, 1, 0), 3, 10, {"loss": 0.1}))
    progress.note("trial 9\x1b[2J failed.")
    record = FoldRecord((1, 1, 0), score=1.0, epochs=10)
    state.end(record)
    progress.ended(record, state)
    progress.end(SimpleNamespace(status="complete"))
    progress.close()


LAST = "complete: 2/2 trials, 4/4 fits, best accuracy 0.9000 ± 0.0000 (trial 0)"


def test_a_cell_of_a_notebook_has_one_line_that_is_kept_up_to_date(state, monkeypatch):
    shown, told = [], console()
    handle = SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))
    display = lambda data, raw, display_id: shown.append(data["text/plain"]) or handle  # noqa: E731
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=None), display=display)
    for name in ("IPython", "IPython.display"):
        monkeypatch.setitem(sys.modules, name, kernel)
    monkeypatch.setattr(views_progress, "LINE_INTERVAL_S", 0.0)
    progress = make_progress("accuracy", told, quiet=False)
    assert isinstance(progress, LineProgress)
    tell(progress, state)
    before = "1/2 trials, 3/4 fits, best accuracy 0.9000 ± 0.0000 (trial 0)"
    assert shown[:3] == ["Reading digits.", before, f"{before}; trial 1, fold 1, epoch 3/10"]
    assert (shown[-2], shown[-1]) == (LAST.removeprefix("complete: "), LAST)
    assert told.file.getvalue() == "trial 9\\x1b[2J failed.\n"


def test_a_command_of_a_cell_writes_its_line_over(state, monkeypatch, tmp_path):
    assert not is_told_by_notebook(console())
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    reading, writing = os.pipe()
    with open(writing, "w") as file, open(tmp_path / "log", "w") as log, open(reading, newline="") as told:
        assert not is_told_by_notebook(Console(file=log))
        progress = make_progress("accuracy", Console(file=file), quiet=False)
        assert isinstance(progress, LineProgress)
        tell(progress, state)
        file.close()
        text = told.read()
    assert [line.rstrip().rpartition("\r")[2] for line in text.split("\n")[:-1]] == [
        "trial 9\\x1b[2J failed.",
        LAST,
    ]
    assert "\x1b" not in text


def test_the_display_fits_the_console():
    assert isinstance(make_progress("score", console(), quiet=True), Quiet)
    assert isinstance(make_progress("score", console(), quiet=False), PlainProgress)
    assert isinstance(make_progress("score", console(terminal=True), quiet=False), LiveProgress)
