"""A fit in its stages: each trains other layers of one model, with an optimizer of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np

from kerasgrid.config.stages import Stage, going_on, up_to
from kerasgrid.models.freezing import rates_kept
from kerasgrid.models.keras_private import schedule_of
from kerasgrid.records import Context, Fold, Job
from kerasgrid.training.batches import LoopData
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.checkpoint import Progress
from kerasgrid.training.compiling import Compiled, FreshOptimizer
from kerasgrid.training.health import restored_epoch
from kerasgrid.training.learning_rate import LearningRateSchedule, rate_of
from kerasgrid.training.loop import Loop, Stretch, read_checkpoint
from kerasgrid.training.moving import Counted
from kerasgrid.training.rest import at_stage, on_outputs

MakeCallbacks = Callable[[Candidate, Compiled, Stretch], list[keras.callbacks.Callback]]


@dataclass
class Samples:
    """What a fit trains and measures on, as each of its stretches takes it.

    Attributes:
        rows: To train on, of the inner split, and held out.
        fold: By whose training rows images are scaled.
    """

    rows: tuple[np.ndarray, np.ndarray | None, np.ndarray]
    fold: Fold
    _made: dict[str | None, LoopData] = field(default_factory=dict)

    def of(self, candidate: Candidate, compiled: Compiled) -> LoopData:
        """Returns the samples of a candidate, or of the rest of one; the last ones are kept."""
        if candidate.outputs not in self._made:
            self._made.clear()
            own = candidate.learnt(self.fold)
            self._made[candidate.outputs] = candidate.samples(compiled, self.rows, own)
        return self._made[candidate.outputs]


@dataclass(frozen=True)
class Fit:
    """A fit of a candidate, in one stage after the other, or whole.

    Attributes:
        job: Whose random keys are used.
        owner: The hash of the candidate's params, kept in checkpoints.
        candidate: Its candidate.
        compiled: Its whole model, with its first weights.
        samples: Its rows.
        callbacks: Makes the callbacks of a stretch.
        epochs: To train at most; of each stage, where there are stages: in the middle none, too.
        context: Is told of epochs, checkpoints and a stop.
        checkpoint_path: Where to keep the checkpoint.
        until: The epoch, from 1, after which the job waits; None for none.
        progress: Where the job stands.
    """

    job: Job
    owner: str
    candidate: Candidate
    compiled: Compiled
    samples: Samples
    callbacks: MakeCallbacks
    epochs: Sequence[int]
    context: Context
    checkpoint_path: Path
    progress: Progress
    until: int | None = None

    def run(self) -> tuple[Loop | None, bool]:
        """Trains from where its checkpoint stands, or from the beginning.

        Returns:
            The loop of the last stretch that was trained, and whether the fit is done: else it waits, or was
            stopped. No loop where that was before one began.

        Raises:
            TrialError: As `Loop.run`.
            ModelError: The model has no layers that a stage names.
        """
        model, stages = self.compiled.model, self.candidate.route.stages
        fresh = FreshOptimizer(model) if stages else None
        counted = Counted(model, not self.compiled.sets_weights)
        saved = read_checkpoint(self.checkpoint_path, self.owner, self.progress)
        before: Loop | None = None
        callbacks: Sequence[keras.callbacks.Callback]
        with rates_kept(model):
            while True:
                place, candidate, compiled = len(self.progress.stages), self.candidate, self.compiled
                if not self.epochs[place]:
                    self.progress.stages.append(0)
                    continue
                stretch = self._stretch(place)
                if fresh is not None:
                    compiled = at_stage(compiled, stages, place)
                    ended_with = rate_of((before or self).compiled.model.optimizer)
                    fresh.compile(compiled, _rate(stages, place))
                    candidate = _over(candidate, going_on(stages, place))
                # The graph of the stretch is known: its samples, its callbacks and its loop are made of it.
                if (stretch.begins and stretch.ends) or not _keeps_weights(candidate):
                    found = on_outputs(candidate, compiled, self.context)
                    if found is None:
                        return before, False
                    candidate, compiled = found
                if saved is not None and self.progress.outputs != candidate.outputs:
                    # It holds the whole net, or the rest: the cache had no room for outputs, or has none now.
                    vars(self.progress).update(vars(Progress()))
                    saved = None
                    continue
                self.progress.outputs = candidate.outputs
                hooks = None
                if stretch.begins or before is None:
                    callbacks = self.callbacks(candidate, compiled, stretch)
                else:
                    callbacks, hooks = before.callbacks, before.hooks
                    _take_on(callbacks, compiled.model, stages[place], ended_with)
                loop = Loop(
                    job=self.job,
                    owner=self.owner,
                    candidate=candidate,
                    compiled=compiled,
                    callbacks=callbacks,
                    samples=self.samples.of(candidate, compiled),
                    stretch=stretch,
                    context=self.context,
                    checkpoint_path=self.checkpoint_path,
                    counted=counted,
                    until=self.until,
                    progress=self.progress,
                    saved=saved,
                    hooks=hooks,
                )
                if not loop.run():
                    return loop, False
                self.progress.stages.append(self.progress.epoch - stretch.begin)
                if stretch.ends and (best := restored_epoch(loop.callbacks)) is not None:
                    self.progress.restored_stages = up_to(
                        stretch.first + best, self.progress.stages, self.progress.counted_stages
                    )
                if len(self.progress.stages) == len(self.epochs):
                    return loop, True
                before, saved = loop, None

    def _stretch(self, place: int) -> Stretch:
        """Returns which epochs are of a stage, from 0, when those before it have ended."""
        done, begin = self.progress.stages, sum(self.progress.stages)
        stages, left = self.candidate.route.stages, self.epochs[place:]
        if not stages:
            return Stretch(left[0], total=left[0])
        together = going_on(stages, place)
        return Stretch(
            end=begin + left[0],
            begin=begin,
            first=sum(done[: together.start]),
            start=together.start,
            total=begin + sum(left),
            begins=place == together.start,
            ends=not any(self.epochs[place + 1 : together.stop]),
        )


def _keeps_weights(candidate: Candidate) -> bool:
    """Tells whether a callback may keep weights, which are another stage's where it goes on in that."""
    return bool(candidate.route.callbacks.get("early_stopping", {}).get("restore_best_weights"))


def _rate(stages: Sequence[Stage], place: int) -> float | None:
    """Returns the first learning rate of a stage; None for the candidate's."""
    together = [stages[other] for other in going_on(stages, place) if other <= place]
    given = [stage.learning_rate for stage in together if stage.learning_rate is not None]
    return given[-1] if given else None


def _over(candidate: Candidate, together: range) -> Candidate:
    """Returns a candidate whose schedules are over the epochs of some of its stages."""
    epochs = sum(candidate.route.stages[place].epochs for place in together)
    return replace(candidate, route=replace(candidate.route, epochs=epochs))


def _take_on(
    callbacks: Sequence[keras.callbacks.Callback], model: keras.Model, stage: Stage, rate: float | None
) -> None:
    """Lets callbacks go on with a new optimizer: schedules from its rate, others at the one they have set."""
    schedules = [callback for callback in callbacks if isinstance(callback, LearningRateSchedule)]
    for schedule in schedules:
        schedule.set_model(model)
        schedule.on_train_begin()
    if not schedules and stage.learning_rate is None and schedule_of(model.optimizer) is None:
        model.optimizer.learning_rate = rate
