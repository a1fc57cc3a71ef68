"""What a search shows while it runs, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest

from kerasgrid.console import Console
from kerasgrid.progress import LiveProgress, PlainProgress, Quiet, make_progress
from kerasgrid.records import EpochRecord, FoldRecord, Job, Trial
from kerasgrid.state import RunState


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


def test_the_display_fits_the_console():
    assert isinstance(make_progress("score", console(), quiet=True), Quiet)
    assert isinstance(make_progress("score", console(), quiet=False), PlainProgress)
    assert isinstance(make_progress("score", console(terminal=True), quiet=False), LiveProgress)
