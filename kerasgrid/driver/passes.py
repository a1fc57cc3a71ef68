"""Passes of all samples through frozen parts of nets, before what comes after these is trained."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from kerasgrid import executors
from kerasgrid.data.outputs import NoRoomError, Outputs
from kerasgrid.errors import StorageError
from kerasgrid.io import cache_folder, digest, read_json, write_json
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import OutputsRecord, OutputsTask
from kerasgrid.machine import backend
from kerasgrid.planning.packing import Graphs
from kerasgrid.planning.workers import check_goes_on
from kerasgrid.records import Frozen, Job, Stage, Trial
from kerasgrid.training.entry import compute_outputs
from kerasgrid.wording import bytes_word, count, format_seconds

_PARTS = 4
"""Parts a worker in which a pass is given out."""


@dataclass(frozen=True)
class Pass:
    """A pass of all samples through a frozen part, as a plan has it.

    Attributes:
        frozen: The part.
        outputs: What it gives.
        n_epochs: Epochs of fits that go through it no more.
        n_left: Rows that are to be computed.
        seconds: What that takes; None where it was not measured.
    """

    frozen: Frozen
    outputs: Outputs
    n_epochs: int
    n_left: int
    seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Returns it as a JSON object."""
        return {
            "last": self.frozen.last,
            "layers": self.frozen.n_layers,
            "n_parameters": self.frozen.n_parameters,
            "bytes": self.outputs.n_bytes,
            "views": self.outputs.n_views,
            "rows": self.outputs.n_rows,
            "rows_left": self.n_left,
            "seconds": self.seconds,
            "epochs_spared": self.n_epochs,
        }

    def lines(self) -> list[str]:
        """Returns what there is to say of it."""
        part, outputs = self.frozen, self.outputs
        layers = f"{count(part.n_layers, 'layer')}, {count(part.n_parameters, 'parameter')}"
        views = f", each in {count(outputs.n_views, 'view')} beside itself" if outputs.n_views else ""
        cost = "not measured yet" if self.seconds is None else f"about {format_seconds(self.seconds)}"
        todo = f"one pass, {cost}" if self.n_left else "it is there"
        size = f"{bytes_word(outputs.n_bytes)} ({outputs.dtype})"
        return [
            f"up to {part.last} ({layers}): what it gives of {count(outputs.n_samples, 'sample')}{views} is "
            f"computed once, {size}: {todo}",
            f"{count(self.n_epochs, 'epoch')} of fits go through it no more",
        ]


def passes_of(graphs: Graphs, jobs: Iterable[Job]) -> tuple[list[Pass], list[str]]:
    """Returns the passes that some jobs ask for; and why other frozen parts are computed in each step."""
    found: dict[str, Pass] = {}
    seen: dict[tuple[Any, ...], int] = {}
    reasons: dict[str, None] = {}
    for job in jobs:
        if (reason := graphs.why_whole(job.trial)) is not None:
            reasons.setdefault(reason)
        route = graphs.route(job.trial)
        for frozen, outputs in graphs.parts(job.trial):
            if outputs.key not in found:
                n_left, rate = outputs.n_left, _recall(frozen)
                seconds = None if rate is None else n_left / rate
                found[outputs.key] = Pass(frozen, outputs, 0, n_left, seconds)
            run = frozen.stage, job.trial.key, job.fold, job.repeat
            epochs = route.stages[frozen.stage].epochs if route.stages else route.epochs
            more = max(0, epochs - seen.get(run, 0))  # jobs that differ in epochs alone are one run
            seen[run] = epochs if more else seen[run]
            one = found[outputs.key]
            found[outputs.key] = replace(one, n_epochs=one.n_epochs + more)
    return list(found.values()), [f"a frozen part is computed in each step: {reason}" for reason in reasons]


def _path(frozen: Frozen) -> Path:
    host = platform.node()  # a cache may be in a home that several machines share
    return cache_folder() / "passes" / f"{digest([frozen.key, host, backend()])}.json"


def _remember(frozen: Frozen, rows_per_second: float) -> None:
    with suppress(StorageError):  # a cache that cannot be written is done without
        write_json(_path(frozen), {"rows_per_second": rows_per_second})


def _recall(frozen: Frozen) -> float | None:
    try:
        rate = read_json(_path(frozen))["rows_per_second"]
        return float(rate) if isinstance(rate, int | float) and rate > 0 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Passes:
    """Has workers compute what frozen parts give, where it is not there, and tells how far that is.

    Args:
        graphs: Of the search's candidates.
        recipe: The search's.
        executor: The workers.
        doing: Is told of it.
    """

    def __init__(
        self, graphs: Graphs, recipe: Recipe, executor: executors.Executor, doing: Callable[[str], None]
    ) -> None:
        self._graphs, self._recipe, self._executor, self._doing = graphs, recipe, executor, doing

    def run(self, trials: Iterable[Trial], tend: Callable[[], object]) -> None:
        """Computes what is missing of the outputs that some trials take.

        Workers of a cluster may see other disks: there each machine computes it when it comes to it.

        Args:
            trials: Each with its params.
            tend: Is called now and then.

        Raises:
            StorageError: The disk is full or cannot be written.
        """
        found: dict[str, tuple[Trial, Frozen, Outputs]] = {}
        for trial in trials:
            for frozen, outputs in self._graphs.parts(trial):
                found[outputs.key] = trial, frozen, outputs
        for trial, frozen, outputs in found.values():
            blocks = outputs.missing()
            if not blocks or self._executor.is_stopping or self._executor.layout() is not None:
                continue
            try:
                outputs.begin()
            except NoRoomError:  # for what others use now: fits tell, when they come to it
                continue
            self.take(OutputsRecord(outputs.key, outputs.n_rows, outputs.n_left))
            n = -(-len(blocks) // (_PARTS * self._executor.n_workers))
            shares = (tuple(blocks[at : at + n]) for at in range(0, len(blocks), n))
            tasks = [OutputsTask(trial.params, outputs.key, part, frozen.stage) for part in shares]
            compute, began, n_left = partial(compute_outputs, self._recipe), 0.0, 0
            for event in executors.run_through(self._executor, compute, tasks):
                if isinstance(event, executors.Emitted):
                    self.take(event.payload)
                    if not n_left:  # from when nets are built
                        began, n_left = time.monotonic(), event.payload.n_left
                elif isinstance(event, executors.Raised):  # what else it is, the training tells
                    check_goes_on(event)
                tend()
            if n_left and not outputs.n_left:
                _remember(frozen, n_left / (time.monotonic() - began))

    def take(self, record: OutputsRecord) -> None:
        """Tells how far workers are, that compute them here or before they train on them."""
        text = f"Computing a frozen part's outputs of {count(record.n_rows, 'sample')}, once for all fits"
        self._doing(Stage(text, record.n_rows - record.n_left, record.n_rows))
