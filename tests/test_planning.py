"""The plan: every job in exactly one pack, in the order given."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kerasgrid.planning import plan
from kerasgrid.records import Job, Trial


@given(st.integers(0, 5), st.integers(1, 4), st.integers(1, 3))
def test_every_job_is_in_exactly_one_pack_in_order(n_trials, n_folds, n_repeats):
    jobs = [
        Job(Trial(trial, {"x": trial}), fold, repeat)
        for trial in range(n_trials)
        for fold in range(n_folds)
        for repeat in range(n_repeats)
    ]
    made = plan(jobs)
    assert [job for pack in made.packs for job in pack.jobs] == jobs
    assert sum(len(pack.jobs) for pack in made.packs) == len(jobs)
    assert bool(made.notes) is bool(jobs)


def test_the_same_jobs_give_the_same_plan():
    jobs = [Job(Trial(0, {}), fold) for fold in range(3)]
    assert plan(jobs) == plan(list(jobs))
