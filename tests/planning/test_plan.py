"""The planner: every job in exactly one pack, and what it says."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasgrid.planning.plan import go_on, plan, split
from kerasgrid.records import Graph, Job, Pack, Trial


def epochs(job: Job) -> int:
    return job.trial.params["epochs"]


def make_jobs(n_rates: int = 2, lengths: tuple[int, ...] = (2, 4), folds: int = 3) -> list[Job]:
    params = [{"epochs": n, "rate": rate} for n in lengths for rate in range(n_rates)]
    return [Job(Trial(i, given), fold) for i, given in enumerate(params) for fold in range(folds)]


def graphs_of(jobs: list[Job], key: str | None = "g", reason: str | None = None) -> dict[int, Graph]:
    return {job.trial.id: Graph(key, reason, (float(job.trial.params["rate"]),)) for job in jobs}


@given(
    n_rates=st.integers(1, 5),
    folds=st.integers(1, 4),
    n_workers=st.integers(1, 4),
    keys=st.lists(st.sampled_from(["a", "b", None]), min_size=10, max_size=10),
    width=st.integers(1, 5),
    shares=st.booleans(),
)
def test_every_job_is_in_exactly_one_pack(n_rates, folds, n_workers, keys, width, shares):
    jobs = make_jobs(n_rates, folds=folds)
    graphs = {job.trial.id: Graph(keys[job.trial.id]) for job in jobs}
    made = plan(
        jobs,
        graphs,
        epochs=epochs,
        n_workers=n_workers,
        widths={"a": width},
        not_shared=None if shares else lambda job: "a schedule looks at the total",
    )
    assert sorted(job.id for pack in made.packs for job in pack.jobs) == sorted(job.id for job in jobs)
    for pack in made.packs:
        assert len({pack.graph(job).key for job in pack.jobs} if pack.graphs else {None}) == 1
        assert 1 <= pack.width <= len(pack.runs)
        for run in pack.runs:
            assert [epochs(job) for job in run] == sorted(epochs(job) for job in run)
            assert len({(job.trial.params["rate"], job.fold, job.repeat) for job in run}) == 1
    assert made == plan(
        list(jobs),
        dict(graphs),
        epochs=epochs,
        n_workers=n_workers,
        widths={"a": width},
        not_shared=None if shares else lambda job: "a schedule looks at the total",
    )


GIVEN = "the model function is given epochs"


def test_without_graphs_each_job_is_a_pack_in_the_order_given():
    jobs = make_jobs()
    made = plan(jobs)
    assert [pack.jobs for pack in made.packs] == [(job,) for job in jobs]
    assert made.notes == ("12 fits by Keras's own fit.",)


def test_jobs_that_differ_in_epochs_alone_are_one_run():
    jobs = make_jobs(n_rates=1)
    made = plan(jobs, graphs_of(jobs), epochs=epochs)
    assert [[job.id for job in run] for pack in made.packs for run in pack.runs] == [
        [(0, fold, 0), (1, fold, 0)] for fold in range(3)
    ]
    assert made.epochs == 12
    assert made.notes == (
        "6 fits in 1 compiled program, one at a time in each worker.",
        "Fits that differ in epochs alone are one run, read at several epochs: 6 epochs saved.",
    )


def waves_of(made):
    """Returns (candidate, fold) of the runs of each wave."""
    waves = [wave for pack in made.packs for wave in pack.waves]
    return [[(run[0].trial.params["rate"], run[0].fold) for run in wave] for wave in waves]


def test_runs_side_by_side_are_of_one_fold_and_candidates_end_as_early_as_they_can():
    jobs = make_jobs(n_rates=5)
    assert waves_of(plan(jobs, graphs_of(jobs), epochs=epochs, widths={"g": 2})) == [
        *([(0, fold), (1, fold)] for fold in range(3)),
        *([(2, fold), (3, fold)] for fold in range(3)),
        *([(4, 0), (4, 1)], [(4, 2)]),
    ]
    assert waves_of(plan(jobs, graphs_of(jobs), epochs=epochs))[:4] == [
        [(0, 0)],
        [(0, 1)],
        [(0, 2)],
        [(1, 0)],
    ]


def test_runs_side_by_side_take_the_same_batches_and_what_is_left_over_comes_last():
    jobs = make_jobs(n_rates=5, folds=2)
    made = plan(
        jobs,
        graphs_of(jobs),
        epochs=epochs,
        widths={"g": 2},
        batches=lambda job: job.trial.params["rate"] in {0, 3, 4},
    )
    assert waves_of(made) == [
        *([(0, fold), (3, fold)] for fold in range(2)),
        *([(1, fold), (2, fold)] for fold in range(2)),
        [(4, 0), (4, 1)],
    ]


def test_where_something_looks_at_the_total_nothing_is_shared_and_it_is_said():
    jobs = make_jobs(n_rates=1)
    made = plan(
        jobs, graphs_of(jobs), epochs=epochs, not_shared=lambda job: "the model function is given epochs"
    )
    assert all(len(run) == 1 for pack in made.packs for run in pack.runs)
    assert made.epochs == 18
    assert made.notes[-1] == (f"Fits that differ in epochs alone are not shared: {GIVEN}.")


def test_only_those_are_not_shared_that_look_at_the_total():
    jobs = make_jobs(n_rates=2)
    made = plan(
        jobs,
        graphs_of(jobs),
        epochs=epochs,
        not_shared=lambda job: "rate 1" if job.trial.params["rate"] else None,
    )
    lengths = {(run[0].trial.params["rate"], len(run)) for pack in made.packs for run in pack.runs}
    assert lengths == {(0, 2), (1, 1)}
    assert all(pack.shares == (pack.jobs[0].trial.params["rate"] == 0) for pack in made.packs)
    assert made.notes == (
        "12 fits in 1 compiled program, one at a time in each worker.",
        "Fits that differ in epochs alone are one run, read at several epochs: 6 epochs saved.",
        "Fits that differ in epochs alone are not shared: rate 1.",
    )


def test_what_falls_back_is_said_with_its_reason():
    jobs = make_jobs(n_rates=1, lengths=(2,))
    made = plan(jobs, graphs_of(jobs, None, "the layer mine (Mine) may keep state or mix samples"))
    assert all(not pack.graphs for pack in made.packs)
    told = "the layer mine (Mine) may keep state or mix samples (epochs=2, rate=0)"
    assert made.notes == (f"3 fits by Keras's own fit: {told}.",)


def test_packs_become_smaller_so_that_no_worker_waits_long():
    jobs = make_jobs(n_rates=40, lengths=(2,))
    sizes = [len(pack.jobs) for pack in plan(jobs, graphs_of(jobs), epochs=epochs, n_workers=2).packs]
    assert (sizes[0], sizes[-7:]) == (15, [1] * 7)
    assert sizes == sorted(sizes, reverse=True)
    alone = plan(jobs, graphs_of(jobs), epochs=epochs).packs
    assert [len(pack.jobs) for pack in alone] == [30] * 4  # nobody waits for another


@pytest.mark.parametrize("width", [1, 3, 4])
def test_how_many_workers_there_are_does_not_touch_the_waves(width):
    jobs = make_jobs(n_rates=15, lengths=(2,))
    graphs = {job.trial.id: Graph("ab"[job.trial.id % 2]) for job in jobs}
    waves = [
        waves_of(plan(jobs, graphs, epochs=epochs, n_workers=n, widths={"a": width, "b": 2}))
        for n in (1, 2, 64)
    ]
    assert waves[0] == waves[1] == waves[2]


def test_packs_hold_whole_waves():
    jobs = make_jobs(n_rates=40, lengths=(2,))
    made = plan(jobs, graphs_of(jobs), epochs=epochs, n_workers=2, widths={"g": 4})
    assert [len(pack.runs) for pack in made.packs] == [16, 16, 12, 12, *[8] * 4, *[4] * 8]
    assert made.notes == ("120 fits in 1 compiled program, up to 4 side by side.",)


def test_a_later_session_goes_on_with_the_packs_of_an_earlier_one():
    jobs = make_jobs()
    packs = plan(jobs[:6], graphs_of(jobs), epochs=epochs, not_shared=lambda job: "-").packs
    kept, new = go_on(packs, [*jobs[2:6], *jobs[6:]])
    assert [job.id for pack in kept for job in pack.jobs] == [job.id for job in jobs[2:6]]
    assert all(pack.graph(job) == graphs_of(jobs)[job.trial.id] for pack in kept for job in pack.jobs)
    assert new == jobs[6:]


@pytest.mark.parametrize("has_graphs", [True, False])
def test_a_pack_whose_worker_died_is_split_into_its_runs(has_graphs):
    jobs = make_jobs(n_rates=2)
    graphs = tuple(graphs_of(jobs)[job.trial.id] for job in jobs) if has_graphs else ()
    pack = Pack(tuple(jobs), graphs, width=3, shares=True)
    parts = split(pack)
    assert [part.runs for part in parts] == [[run] for run in pack.runs]
    assert {part.width for part in parts} == {1}
    if has_graphs:
        assert all(part.graph(job) == pack.graph(job) for part in parts for job in part.jobs)
    assert pickle.loads(pickle.dumps(parts)) == parts
