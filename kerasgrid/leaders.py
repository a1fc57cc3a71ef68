"""Out-of-fold predictions of the leading trials; those of the others are removed as they fall behind."""

from __future__ import annotations

import bisect
from collections.abc import Sequence

import numpy as np

from kerasgrid.io import RunPaths, write_atomic
from kerasgrid.records import Fold
from kerasgrid.state import RunState

N_LEADERS = 10


class Leaders:
    """Keeps the prediction files of the best complete trials.

    A trial that leads in the end has led since it was complete, so that what is removed on the way
    is never missed, also when a search is cut off and resumed.

    Args:
        paths: The run's files.
        direction: max or min.
    """

    def __init__(self, paths: RunPaths, direction: str) -> None:
        self.paths = paths
        self._sign = -1 if direction == "max" else 1
        self._ranked: list[tuple[float, int]] = []

    def add(self, state: RunState, trial_id: int) -> None:
        """Takes a trial all of whose jobs have ended."""
        score = state.score(trial_id)
        if score is None:  # failed: folds that have not are kept for a second try
            return
        bisect.insort(self._ranked, (self._sign * score, trial_id))
        if len(self._ranked) > N_LEADERS:
            for job in state.jobs_of(self._ranked.pop()[1]):
                self.paths.prediction(*job).unlink(missing_ok=True)

    def write_oof(self, state: RunState, folds: Sequence[Fold], n_samples: int) -> None:
        """Writes oof.npz: `trial_ID` (sample, class) float32 for each leader, and `fold` (sample,).

        Repeats are averaged. A sample that no fold holds out, as with `holdout`, has NaN in its row
        and -1 as its fold. Predictions that are missing, because somebody removed their files, leave
        their trial out.
        """
        held_out = np.full(n_samples, -1, dtype=np.int16)
        for fold in folds:
            held_out[fold.test] = fold.index
        arrays = {"fold": held_out}
        for _, trial_id in self._ranked:
            files = [self.paths.prediction(*job) for job in state.jobs_of(trial_id)]
            if not all(file.exists() for file in files):
                continue
            parts = [np.load(file) for file in files]
            whole = np.full((n_samples, parts[0].shape[1]), np.nan, dtype=np.float32)
            for fold in folds:
                repeats = parts[fold.index * state.repeats : (fold.index + 1) * state.repeats]
                whole[fold.test] = np.mean(repeats, axis=0)
            arrays[f"trial_{trial_id}"] = whole
        if len(arrays) > 1:
            write_atomic(self.paths.oof, lambda file: np.savez_compressed(file, **arrays))
