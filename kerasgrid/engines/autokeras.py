"""AutoKeras's own search, by ask and tell: its oracle proposes what its hypermodel is to build.

Its greedy oracle begins with models that its authors chose, then changes a part of the best so far at
random. Models are built by it and trained by workers, as its tuner would train them.
"""

from __future__ import annotations

from typing import Any

from kerasgrid.engines.asked import AskedProcess, Values
from kerasgrid.engines.base import Engine, Outline, Proposal, Task
from kerasgrid.engines.keras_tuner import AskedOracle, mean
from kerasgrid.wording import count


def autokeras(task: Task) -> Engine:
    """Proposes up to `search.trials` candidates, and tells AutoKeras their scores on the inner split."""
    most, n = task.n_trials, 0
    about = {name: value for name, value in task.params.items() if name != "epochs"}
    with AskedProcess(
        AutoKeras,
        {**about, "epochs": task.longest, "multi_label": task.multi_label},
        task.input_shape,
        task.n_classes,
        task.search.seed,
    ) as asked:
        while n < most and (proposals := asked.ask(min(task.search.proposals, most - n))):
            n += len(proposals)
            told = yield Proposal([values for _, values in proposals], until=task.longest)
            for (id_, _), scores in zip(proposals, told, strict=True):
                asked.tell(id_, mean(scores))


def outline_of_autokeras(task: Task) -> Outline:
    """Tells how many candidates it is asked for at once, and the epochs that are trained at most."""
    n, at_once = task.n_trials, task.search.proposals
    told = f"Up to {count(n, 'model')} of AutoKeras's own, {at_once:,} at a time."
    return Outline((told,), n, n * task.longest * task.n_folds * task.search.repeats)


class AutoKeras(AskedOracle):
    """AutoKeras's greedy oracle, and its hypermodel, which tells what there is to choose.

    Args:
        about: Arguments of kerasgrid.models.autokeras.AutoKerasSpace beside the next two.
        input_shape: (height, width, channel).
        n_classes: The number of classes.
        seed: The search's; 0 is a seed.
    """

    library = "AutoKeras"

    def __init__(self, about: Values, input_shape: tuple[int, ...], n_classes: int, seed: int) -> None:
        from kerasgrid.models.autokeras import AutoKerasSpace, SeededOracle

        self.space = AutoKerasSpace(**about, input_shape=input_shape, n_classes=n_classes)
        # KerasTuner takes 0 for no seed.
        super().__init__(SeededOracle, {"initial_hps": self.space.first, "seed": seed + 1})
        hp = self.oracle.get_space()
        self.space.values_of(hp)
        self.oracle.update_space(hp)

    def values(self, trial: Any) -> Values:
        """Builds a trial's model, which is how the space grows, and returns all that it asked for."""
        try:
            return self.space.values_of(trial.hyperparameters)
        except Exception:  # the worker meets it again, and the trial is recorded as failed
            return super().values(trial)
