"""What a search tells while it runs. The base class listens to all of it and says nothing."""

from __future__ import annotations

from collections.abc import Sequence

from kerasgrid.records import EpochRecord, FoldRecord, Job
from kerasgrid.run.results import ResultsData
from kerasgrid.run.state import RunState


class Observer:
    """Is told what happens in a search; override what is of interest.

    Calls come in the driver's thread and hold it up: return soon.
    """

    def doing(self, text: str) -> None:
        """What is done from now on until fits are trained, such as reading the data, in a sentence.

        Where it is counted, as the decoding of image files, the sentence is a `kerasgrid.records.Stage`,
        which comes a few times a second with how much of it is done.
        """

    def begin(self, state: RunState, jobs: Sequence[Job], until: int | None) -> None:
        """Jobs of a proposal begin.

        Args:
            state: All trials so far and the jobs that have ended.
            jobs: Those that are trained now.
            until: The epoch after which they wait; None where they are trained to their ends.
        """

    def started(self, job: Job) -> None:
        """A worker begins a job."""

    def epoch(self, record: EpochRecord) -> None:
        """A job has finished an epoch."""

    def ended(self, record: FoldRecord, state: RunState) -> None:
        """A job has ended and is journalled."""

    def waits(self, record: FoldRecord) -> None:
        """A job has come to the epoch after which it waits, and that is journalled."""

    def note(self, text: str) -> None:
        """Something worth a line has happened, such as a failed fit."""

    def warn(self, text: str) -> None:
        """Something is allowed and probably not meant; told as a note unless this is overridden."""
        self.note(text)

    def end(self, results: ResultsData) -> None:
        """The session ends; the results are written."""
