"""Writing results.json of a run, and the long histories beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from kerasgrid.checks import Prepared, augment_of, callbacks_of
from kerasgrid.data import folds_fingerprint
from kerasgrid.driver.results import Results
from kerasgrid.io import read_json, strict, write_json
from kerasgrid.jobs.route import TEST_FOLD
from kerasgrid.records import Fold, FoldRecord
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.state import LONG_HISTORY, JobId, RunState

WRITE_INTERVAL_S = 2.0
_LEAST_RATIO = 20
"""Of the time between two writings to what the last one took."""


class ResultsFile:
    """The results.json of a run.

    Args:
        prepared: The search.
        paths: Its files.
        folds: As they are on disk.
    """

    def __init__(self, prepared: Prepared, paths: RunPaths, folds: Sequence[Fold]) -> None:
        self._paths, self._prepared = paths, prepared
        self._folds = {"n": len(folds), "fingerprint": folds_fingerprint(folds)}
        self._written_at, self._took_s = 0.0, 0.0
        self._looked_at: set[JobId] = set()

    @property
    def is_due(self) -> bool:
        """Whether the last one is some seconds old; writing takes at most a 20th of the time."""
        pause_s = max(WRITE_INTERVAL_S, _LEAST_RATIO * self._took_s)
        return time.monotonic() - self._written_at > pause_s

    def write(
        self,
        state: RunState,
        status: str,
        wall_time_s: float,
        environment: Mapping[str, Any],
        decides_on_test: bool,
    ) -> Results:
        """Writes it and returns it.

        Args:
            state: What it is of.
            status: As in results.json.
            wall_time_s: Seconds of all sessions.
            environment: Versions, backend and device.
            decides_on_test: Whether something has been decided by the folds that make the score.
        """
        began = time.monotonic()
        for record in (state.waiting | state.ended).values():
            if record.epochs > LONG_HISTORY:
                self._write_history(record)
        about = {**self._about(decides_on_test), "folds": self._folds, "environment": environment}
        data = state.results(status, about, wall_time_s)
        write_json(self._paths.json, data)
        self._written_at = time.monotonic()
        self._took_s = self._written_at - began
        return Results.known(data, self._paths.json)

    def _write_history(self, record: FoldRecord) -> None:
        """Writes a long history where it is not there, or, in this session's first look at it, is another."""
        path = self._paths.history(*record.job)
        if record.job in self._looked_at and path.exists():
            return
        try:
            is_whole = read_json(path) == strict(dict(record.history))
        except (OSError, ValueError):
            is_whole = False
        if not is_whole:
            write_json(path, dict(record.history))
        self._looked_at.add(record.job)

    def _about(self, decides_on_test: bool) -> dict[str, Any]:
        prepared = self._prepared
        return {
            "name": prepared.config.name,
            "objective": {
                "name": prepared.objective.name,
                **({"arguments": dict(arguments)} if (arguments := prepared.objective.arguments) else {}),
                "direction": prepared.objective.direction,
                **({"decided_on": TEST_FOLD} if decides_on_test else {}),
            },
            "config": {
                **prepared.config.model_dump(),
                "augment": augment_of(prepared.config),
                "callbacks": callbacks_of(prepared.config),
            },
            "base": self._paths.relative(prepared.base),
            "data": {
                "samples": len(prepared.data),
                "classes": len(prepared.data.classes),
                "class_names": list(prepared.data.classes),
                **({"one_hot": True} if prepared.data.one_hot else {}),
                "report": list(prepared.data.report),
                "fingerprint": prepared.data.fingerprint,
            },
        }
