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
from kerasgrid.machine import count_gpus, default_workers, worker_environments, worker_share_bytes

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
    "count_gpus",
    "default_workers",
    "worker_environments",
    "worker_share_bytes",
]
