"""The plan: which jobs are trained together. A pure function, printable, free of Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kerasgrid.records import Job, Pack


@dataclass(frozen=True)
class Plan:
    """What a search is going to train.

    Attributes:
        packs: In the order in which they start; every job is in exactly one.
        notes: Why, in sentences to print.
    """

    packs: tuple[Pack, ...]
    notes: tuple[str, ...] = ()


def plan(jobs: Sequence[Job]) -> Plan:
    """Puts each job into a pack of its own, in the order given: trial by trial, its folds together."""
    return Plan(
        tuple(Pack((job,)) for job in jobs), ("Each fit is trained by Keras's own fit.",) if jobs else ()
    )
