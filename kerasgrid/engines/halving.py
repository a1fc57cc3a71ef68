"""Successive halving over epochs (Jamieson and Talwalkar 2016), with a race over the folds of a rung.

At each rung all candidates wait, and the best 1/factor go on from where they stand. What is decided is
decided by the inner split of the training folds, never by held-out rows. Those that the last rung leaves are
trained on all of their training rows, from the first epoch, so that their scores are those that a grid would
give them; where `search.val` asks for an inner split anyhow, they go on from where they stand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from kerasgrid.engines.base import Engine, Outline, Proposal, Task
from kerasgrid.io import digest
from kerasgrid.space.space import Params

ALPHA = 0.05
"""The chance, over all candidates of a race together, to drop one that would have gone on."""
RACING_FOLDS = 2
"""Folds that a race begins with: from one fold, nothing is known of how folds differ."""

_SharedRun = list[Params]
"""Candidates that differ in `epochs` alone, the longest last: one run, read at several epochs."""


def halving(task: Task) -> Engine:
    """Proposes candidates rung by rung, and at each the folds that are needed to tell who goes on.

    Candidates that differ in `epochs` alone go on or are dropped together. A failed one is out.
    """
    left = _runs(task)
    *early, _ = rungs(task.longest, task.search.factor, task.search.min_epochs)
    dropped: list[_SharedRun] = []
    for until in early:
        if len(left) == 1:  # there is nothing to decide
            break
        n_kept = -(-len(left) // task.search.factor)
        scores: dict[int, list[float]] = {place: [] for place in range(len(left))}
        for folds in _heats(task.n_folds):
            racing = [left[place] for place in scores]
            if not racing:  # all have failed
                break
            told = yield Proposal(_flat(racing), until, folds, _flat(dropped))
            dropped = []
            rows = iter(told)
            for place, run in zip([*scores], racing, strict=True):
                *_, found = [next(rows) for _ in run]
                if None in found:
                    dropped.append(run)
                    del scores[place]
                else:
                    scores[place] += found
            for place in _far_behind(scores, n_kept):
                dropped.append(left[place])
                del scores[place]
        ranked = sorted(scores, key=lambda place: -float(np.mean(scores[place])))
        dropped += [left[place] for place in sorted(ranked[n_kept:])]
        left = [left[place] for place in sorted(ranked[:n_kept])]
        if not left:
            break
    if left or dropped:
        yield Proposal(_flat(left), dropped=_flat(dropped))


def rungs(longest: int, factor: int, least: int | None = None) -> list[int]:
    """Returns the epochs at which candidates wait, rising; the last is `longest`.

    Args:
        longest: Epochs of the longest candidate.
        factor: Of candidates from rung to rung, and of epochs.
        least: No rung is lower; None for a `factor`-th of a `factor`-th of `longest`, so that there are
            three rungs.
    """
    least = least or max(1, round(longest / factor**2))
    found = [longest]
    while (epochs := round(longest / factor ** len(found))) >= least and epochs < found[0]:
        found.insert(0, epochs)
    return found


def far_behind(scores: np.ndarray, n_kept: int) -> list[int]:
    """Returns the places of candidates that are clearly worse than the last one that goes on.

    Folds differ for all candidates alike, which is taken out; what is left, pooled over candidates, is the
    noise that a mean over folds has. The test is Student's, with Bonferroni's correction, after the idea of
    F-Race (Birattari et al. 2002).

    Args:
        scores: (candidate, fold), higher is better.
        n_kept: Candidates that go on.
    """
    n, n_folds = scores.shape
    if n <= n_kept or n < 3 or n_folds < 2:
        return []
    from scipy.stats import t  # a second, which other engines need not spend

    means = scores.mean(axis=1)
    noise = scores - means[:, None] - scores.mean(axis=0) + scores.mean()
    freedom = (n - 1) * (n_folds - 1)
    error = math.sqrt(2 * float(np.square(noise).sum()) / freedom / n_folds)
    limit = float(t.ppf(1 - ALPHA / (n - n_kept), freedom)) * error
    bar = float(np.sort(means)[-n_kept])
    return [place for place in range(n) if bar - means[place] > limit]


def outline_of_halving(task: Task) -> Outline:
    """Tells the rungs, and the epochs that are trained at most."""
    left = _runs(task)
    asked = sum(task.epochs(params) for run in left for params in run)
    told, n_epochs, before, n = [], 0, 0, len(left)
    for until in rungs(task.longest, task.search.factor, task.search.min_epochs):
        if n == 1 and until < task.longest:
            continue
        told.append(f"{n:,} to epoch {until}")
        is_anew = until == task.longest and task.search.val is None
        n_epochs += n * (until if is_anew else until - before)
        before, n = until, -(-n // task.search.factor)
    each = task.n_folds * task.search.repeats
    runs = f"Rungs: {', '.join(told)}."
    if any(len(run) > 1 for run in left):
        runs += (
            " Candidates that differ in epochs alone count as one, which they are where runs can be shared."
        )
    share = f"At most {n_epochs * each:,} of the {asked * each:,} epochs that the candidates ask for."
    return Outline((runs, share), sum(map(len, left)), n_epochs * each)


def _runs(task: Task) -> list[_SharedRun]:
    runs: dict[str, _SharedRun] = {}
    for params in task.candidates():
        key = digest({name: value for name, value in params.items() if name != "epochs"})
        runs.setdefault(key, []).append(params)
    return [sorted(run, key=task.epochs) for run in runs.values()]


def _heats(n_folds: int) -> list[list[int]]:
    """Returns the folds of each part of a race: the first ones together, then one after the other."""
    first = list(range(min(RACING_FOLDS, n_folds)))
    return [first, *([fold] for fold in range(len(first), n_folds))]


def _far_behind(scores: dict[int, list[float]], n_kept: int) -> list[int]:
    if not scores:
        return []
    places = [*scores]
    return [places[row] for row in far_behind(np.asarray([scores[place] for place in places]), n_kept)]


def _flat(runs: Sequence[_SharedRun]) -> list[Params]:
    return [params for run in runs for params in run]
