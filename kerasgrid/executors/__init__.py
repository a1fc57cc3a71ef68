"""Executors: they run a function on tasks, here or in worker processes, and know no training."""

from kerasgrid.executors.base import (
    Context,
    Died,
    Emitted,
    Event,
    Executor,
    Finished,
    Raised,
    Started,
)
from kerasgrid.executors.inline import Inline
from kerasgrid.executors.processes import Processes
from kerasgrid.executors.waiting import lent_processes

__all__ = [
    "Context",
    "Died",
    "Emitted",
    "Event",
    "Executor",
    "Finished",
    "Inline",
    "Processes",
    "Raised",
    "Started",
    "lent_processes",
]
