"""The plan: which jobs are trained together. A pure function, printable, free of Keras."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kerasgrid.records import Graph, Job, Pack
from kerasgrid.wording import count, named

NOT_LOOKED_AT = "too many models to build each of them here"
"""The reason of a graph that nobody has asked for yet."""
PACKS_PER_WORKER = 4
"""Of what is left, each worker's share is so many packs, so that none waits long at the end."""


@dataclass(frozen=True)
class Plan:
    """What a search is going to train.

    Attributes:
        packs: In the order in which they start; every job is in exactly one.
        notes: Why, in sentences to print.
        epochs: To train in all; those that runs share count once.
    """

    packs: tuple[Pack, ...]
    notes: tuple[str, ...] = ()
    epochs: int = 0


def plan(
    jobs: Sequence[Job],
    graphs: Mapping[int, Graph] | None = None,
    *,
    epochs: Callable[[Job], int] | None = None,
    n_workers: int = 1,
    widths: Mapping[str, int] | None = None,
    not_shared: Callable[[Job], str | None] | None = None,
    batches: Callable[[Job], Any] | None = None,
    until: int | None = None,
) -> Plan:
    """Puts jobs of one graph into packs, and every other job into a pack of its own.

    Args:
        jobs: In the order in which they were proposed.
        graphs: The graph of each trial, by its id; a trial without one takes Keras's own fit.
        epochs: Tells a job's epochs.
        n_workers: Packs that are trained at the same time.
        widths: Runs side by side, by graph; 1 where it is not told.
        not_shared: Tells why a job is not read off the run of another that differs in `epochs` alone; None
            where it may be.
        batches: Tells what a job's batches depend on beside its fold and repeat, such as its augmentation.
        until: The epoch after which jobs wait; None to train them to their ends.

    Returns:
        The plan: graph by graph in the order of their first jobs; within one so that runs side by side take
        the same batches, as many candidates at a time as there are runs side by side, so that these are done
        with all of their folds before the next begin. Packs become smaller, to single waves, where several
        workers share them, after guided self-scheduling (Polychronopoulos and Kuck 1987): whichever is slow,
        all end at nearly the same time. The same arguments give the same plan.
    """
    graphs, widths = graphs or {}, widths or {}
    grouped: dict[tuple[str, bool], dict[tuple, list[Job]]] = {}
    plain: list[Job] = []
    reasons = {job.trial.id: not_shared(job) for job in jobs} if not_shared else {}
    for job in jobs:
        graph = graphs.get(job.trial.id)
        if graph is None or graph.key is None:
            plain.append(job)
            continue
        shares = not reasons.get(job.trial.id)
        run = (job.trial.key if shares else job.trial.id, job.fold, job.repeat)
        grouped.setdefault((graph.key, shares), {}).setdefault(run, []).append(job)
    n_left = n_runs = sum(len(runs) for runs in grouped.values())
    packs = []
    for (key, shares), runs in grouped.items():
        width = min(widths.get(key, 1), len(runs))
        ordered = [sorted(run, key=epochs) if epochs else run for run in _by_batches(runs, width, batches)]
        first = 0
        while first < len(ordered):
            most = -(-(n_runs if n_workers == 1 else n_left) // (PACKS_PER_WORKER * n_workers))
            size = -(-most // width) * width  # whole waves, so that which runs are in one is not touched
            chunk = ordered[first : first + size]
            first, n_left = first + len(chunk), n_left - len(chunk)
            members = tuple(job for run in chunk for job in run)
            own = tuple(graphs[job.trial.id] for job in members)
            packs.append(Pack(members, own, min(width, len(chunk)), shares=shares, until=until))
    packs += [Pack((job,), until=until) for job in plain]
    notes = _notes(grouped, plain, graphs, epochs, packs, reasons)
    trained = sum(max(map(epochs, run)) for pack in packs for run in pack.runs) if epochs else 0
    return Plan(tuple(packs), tuple(notes), trained)


def _by_batches(
    runs: Mapping[tuple, list[Job]], width: int, batches: Callable[[Job], Any] | None
) -> list[list[Job]]:
    """Returns the runs of a graph, by candidate, fold and repeat, in the order in which they are trained."""
    if width == 1:
        return list(runs.values())
    alike: dict[Any, dict[Any, list[list[Job]]]] = {}
    for (candidate, *_), run in runs.items():
        takes = batches(run[0]) if batches else None
        alike.setdefault(takes, {}).setdefault(candidate, []).append(run)
    blocks = []
    for candidates in alike.values():
        found = list(candidates.values())
        blocks += [found[first : first + width] for first in range(0, len(found), width)]
    blocks.sort(key=lambda block: len(block) < width)  # else those after a smaller one would straddle waves
    return [
        run
        for block in blocks
        for run in sorted(
            (run for found in block for run in found), key=lambda run: (run[0].fold, run[0].repeat)
        )
    ]


def go_on(packs: Sequence[Pack], jobs: Sequence[Job]) -> tuple[list[Pack], list[Job]]:
    """Returns the packs of an earlier session without the jobs that have ended, and the jobs in none."""
    wanted = {job.id for job in jobs}
    kept = [pack.of(job for job in pack.jobs if job.id in wanted) for pack in packs]
    kept = [pack for pack in kept if pack.jobs]
    known = {job.id for pack in kept for job in pack.jobs}
    return kept, [job for job in jobs if job.id not in known]


def split(pack: Pack) -> list[Pack]:
    """Returns a pack's runs as packs of their own, to be tried again one by one."""
    return [
        replace(pack, jobs=run, graphs=tuple(map(pack.graph, run)) if pack.graphs else (), width=1, cuts=())
        for run in pack.runs
    ]


def _notes(
    grouped: Mapping[tuple[str, bool], Mapping[tuple, list[Job]]],
    plain: Sequence[Job],
    graphs: Mapping[int, Graph],
    epochs: Callable[[Job], int] | None,
    packs: Sequence[Pack],
    reasons: Mapping[int, str | None],
) -> Iterator[str]:
    runs = [run for members in grouped.values() for run in members.values()]
    n_jobs = sum(map(len, runs))
    if runs:
        n_programs = len({graph for graph, _ in grouped})
        width = max(pack.width for pack in packs)
        beside = "one at a time in each worker" if width == 1 else f"up to {width} side by side"
        yield f"{count(n_jobs, 'fit')} in {count(n_programs, 'compiled program')}, {beside}."
    if len(runs) < n_jobs and epochs is not None:
        saved = sum(sum(map(epochs, run)) - max(map(epochs, run)) for run in runs)
        yield f"Fits that differ in epochs alone are one run, read at several epochs: {saved:,} epochs saved."
    for reason in _reasons_that_matter(runs, reasons):
        yield f"Fits that differ in epochs alone are not shared: {reason}."
    refused = [job for job in plain if job.trial.id in graphs and graphs[job.trial.id].is_refused]
    if refused:
        yield f"{count(len(refused), 'fit')} of models that are refused ({_trials(refused)})."
    found: dict[str | None, list[Job]] = {}
    for job in plain:
        if job not in refused:
            found.setdefault(graphs[job.trial.id].reason if job.trial.id in graphs else None, []).append(job)
    for own, members in sorted(found.items(), key=lambda item: -len(item[1])):
        told = "" if own is None else f": {own} ({_trials(members)})"
        way = "not looked at yet" if own == NOT_LOOKED_AT else "by Keras's own fit"
        yield f"{count(len(members), 'fit')} {way}{told}."


def _reasons_that_matter(runs: Sequence[list[Job]], reasons: Mapping[int, str | None]) -> list[str]:
    """Returns why runs are not shared that would be, once each."""
    alike: dict[tuple, list[str | None]] = {}
    for first, *_ in runs:
        alike.setdefault((first.trial.key, first.fold, first.repeat), []).append(reasons.get(first.trial.id))
    found = [reason for members in alike.values() if len(members) > 1 for reason in members]
    return [reason for reason in dict.fromkeys(found) if reason]


def _trials(jobs: Sequence[Job]) -> str:
    """Names the first trial of some jobs, and how many others there are."""
    trials = {job.trial.id: job.trial for job in jobs}
    first = next(iter(trials.values()))
    params = named(first.params) or "the model"
    more = len(trials) - 1
    return params if not more else f"{params}, and {count(more, 'more candidate')}"
