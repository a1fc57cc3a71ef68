"""Executors: they run a function on tasks, here or in workers on any machine, and know no training."""

from kerasgrid.executors.base import (
    MOST_LOSSES,
    Context,
    Died,
    Drawn,
    Emitted,
    Event,
    Executor,
    Finished,
    Host,
    Layout,
    Raised,
    Started,
    resources_word,
    run_through,
)
from kerasgrid.executors.cluster import Needs, named_by
from kerasgrid.executors.inline import Inline
from kerasgrid.executors.processes import Processes
from kerasgrid.executors.ray import Ray
from kerasgrid.executors.waiting import lent_processes

__all__ = [
    "MOST_LOSSES",
    "Context",
    "Died",
    "Drawn",
    "Emitted",
    "Event",
    "Executor",
    "Finished",
    "Host",
    "Inline",
    "Layout",
    "Needs",
    "Processes",
    "Raised",
    "Ray",
    "Started",
    "lent_processes",
    "named_by",
    "resources_word",
    "run_through",
]
