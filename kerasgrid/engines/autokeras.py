"""AutoKeras's own search by ask and tell: what it makes of a grid.yaml, its oracle and its hypermodel.

Its greedy oracle begins with models that its authors chose, then changes a part of the best so far at
random. Models are built by it and trained by workers, as its tuner would train them.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.config.callbacks import Callbacks
from kerasgrid.config.sections import AUTOKERAS_MODEL, AutoKerasConfig, Config, Training, seconds_of
from kerasgrid.engines.ask_and_tell import AskedProcess, Values
from kerasgrid.engines.base import Engine, Outline, Proposal, Task
from kerasgrid.engines.keras_tuner import AskedOracle, mean, without_jax
from kerasgrid.jobs.route import DEFAULTS
from kerasgrid.keras_names import find_metric
from kerasgrid.machine import count_gpus
from kerasgrid.records import Dataset, Fold, has_results
from kerasgrid.run.journal import check_line, header_of, read
from kerasgrid.wording import count, joined, shortened

ENGINE = "autokeras"
VAL = 0.2
"""AutoKeras's validation_split."""
_PATIENCE, _MIN_DELTA = 10, 1e-4
"""Of the EarlyStopping that AutoKeras adds to each fit of its search."""
_MAX_TRIALS = 100
_LONGEST = 60
"""Of the names of targets in a message."""
_WEIGHTS = ("storage.googleapis.com", 443)
"""Where Keras's pretrained weights are, of which some of ImageClassifier's trials begin."""
_NETWORK_TIMEOUT_S = 2.0
HOW = (
    "AutoKeras's own greedy oracle chooses, and its own hypermodel builds and compiles. Its models are "
    "trained by Keras's own fit, in as many workers as the search has, and go on after a kill.",
    "As in AutoKeras's search a fifth of the training rows is held out of each fit, which ends once their "
    "loss has not fallen for 10 epochs and is scored with the weights of its best epoch. AutoKeras is told "
    "the objective on those rows; the scores here are of the held-out fold.",
    "A trial that was not complete when the time was up has no score here.",
)
"""How AutoKeras is run, to stand below a comparison."""
_OF_OTHERS = ("model", "params", "space", "exclude", "augment", "callbacks", "training", "stages")


def as_autokeras(
    config: Config, name: str | None = None, begun: Mapping[str, Any] | None = None
) -> tuple[Config, list[str]]:
    """Returns the config of AutoKeras's own search, and what is to be said about it.

    Each fit is what AutoKeras's search makes of it: a fifth of the training rows is its inner split, on
    which it is stopped early and its best epoch found, whose weights are scored on the held-out rows.
    Pixels come to it as they are stored, since it normalises them itself.

    Args:
        name: Of AutoKeras's run; by default `name_of` the config's.
        begun: The params that the run began with, whose blocks and epochs hold where the config does not
            say others; None for a new run.
    """
    own, search, begun = config.autokeras, config.search, begun or {}
    blocks, why = _blocks(own, begun.get("blocks"))
    wanted = own.epochs or max(_epochs(config), default=DEFAULTS["epochs"])
    epochs = own.epochs or begun.get("epochs", wanted)
    metric = find_metric(search.objective_name)
    params = {
        "blocks": blocks,
        "epochs": epochs,
        "batch_size": own.batch_size,
        **({} if metric in (None, "accuracy") else {"metric": metric}),
    }
    stopping = {
        "monitor": "val_loss",
        "patience": _PATIENCE,
        "min_delta": _MIN_DELTA,
        "restore_best_weights": True,
    }
    trials, time, overruled = _budgets(config)
    changed = {
        "engine": ENGINE,
        "trials": trials,
        "time": time,
        "val": search.val or VAL,
        "keep_models": "best" if search.keep_models == "none" else search.keep_models,
    }
    made = config.model_copy(
        update={
            "name": name or name_beside(config.name),
            "data": config.data.model_copy(update={"scale": None, "standardize": False, "normalize": None}),
            "model": AUTOKERAS_MODEL,
            "params": params,
            "space": {},
            "exclude": [],
            "augment": None,
            "callbacks": Callbacks.model_validate({"early_stopping": stopping}),
            "training": Training(pack="off", batch_norm=config.training.batch_norm),
            "stages": None,
            "search": search.model_copy(update=changed),
        }
    )
    notes = [f"AutoKeras searches models of its own, by its {blocks} blocks{why}"]
    if epochs != wanted:
        notes.append(
            f"AutoKeras's trials have {epochs} epochs, as its run began, and the grid trains {wanted} now: "
            "--fresh starts it anew."
        )
    notes += [*overruled, *_unused(config)]
    return made, notes


def begun_with(journal: Path) -> Mapping[str, Any]:
    """Returns the params that AutoKeras's run began with, by its journal; none until a fit has finished."""
    begun: Mapping[str, Any] = header_of(journal, check_line).get("identity", {}).get("params", {})
    return begun if begun and has_results(read(journal, check_line)[1]) else {}


def fault_of_data(data: Dataset) -> str | None:
    """Returns why AutoKeras cannot take samples, in words; None where it can."""
    if data.target.is_numbers:
        names = shortened(joined(data.target.names), _LONGEST)
        return (
            f"is autokeras, whose models here tell classes or labels, and numbers are to be predicted "
            f"({names}): take another engine, such as bayesian or tpe."
        )
    if data.table is not None:
        return (
            "is autokeras, whose models here take images, and samples are rows of a table: take another "
            "engine, such as bayesian or tpe."
        )
    if data.inputs is not None:
        return (
            "is autokeras, whose models here take images, and samples have several inputs: take another "
            "engine, such as bayesian or tpe."
        )
    shape = data.images.shape[1:]
    if len(shape) == 3:
        return None
    return (
        f"is autokeras, whose models take images of height, width and channels, and a sample here has the "
        f"shape {tuple(shape)}: reshape the samples, or take another engine."
    )


def n_trained(config: Config, folds: Sequence[Fold]) -> int:
    """Returns how many samples a search trains on in an epoch."""
    val, n_train = config.search.val, len(folds[0].train)
    return round(n_train * (1 - val)) if isinstance(val, float) else n_train


def with_samples(config: Config, n_samples: int) -> Config:
    """Returns a config that tells AutoKeras how many samples an epoch has, for its falling learning rate."""
    return config.model_copy(update={"params": {**config.params, "n_samples": n_samples}})


def name_beside(name: str) -> str:
    """Returns what AutoKeras's run beside a search is called, which has a results.json of its own."""
    return f"{name}-{ENGINE}"


def _blocks(own: AutoKerasConfig, begun: str | None) -> tuple[str, str]:
    """Returns vanilla or full, and why, to follow the choice."""
    if own.blocks != "auto":
        return own.blocks, "."
    if begun is not None:
        return begun, ", as its run began."
    other = "--set autokeras.blocks=full takes all of its ImageClassifier's"
    if not count_gpus():
        return "vanilla", f", since there is no GPU here; {other}."
    if not _has_network():
        return "vanilla", f", since pretrained weights cannot be reached from here; {other}."
    other = "--set autokeras.blocks=vanilla takes its ConvBlock alone"
    return "full", f", since there are a GPU and a network; {other}."


def _budgets(config: Config) -> tuple[int, str | None, list[str]]:
    """Returns how many trials AutoKeras has at most and how long, and what is to be said where both are told.

    Of its own and the search's the smaller one holds, whichever was given on the command line.
    """
    own, search, said = config.autokeras, config.search, []
    trials, time = (own.max_trials or search.trials or _MAX_TRIALS), own.time or search.time
    if own.max_trials and search.trials and search.trials < own.max_trials:
        trials = search.trials
        said.append(f"AutoKeras has {trials} trials by search.trials, fewer than autokeras.max_trials.")
    if own.time and search.time and (seconds_of(search.time) or 0) < (seconds_of(own.time) or 0):
        time = search.time
        said.append(f"AutoKeras has {time} by search.time, less than autokeras.time.")
    return trials, time, said


def _unused(config: Config) -> Iterator[str]:
    """Yields what AutoKeras makes nothing of, in words."""
    given = config.model_fields_set - ({"model"} if config.model == AUTOKERAS_MODEL else set())
    if unused := [name for name in _OF_OTHERS if name in given]:
        kept = config.training.model_fields_set & {"batch_norm"}
        but = " but training.batch_norm" if kept and "training" in unused else ""
        yield f"AutoKeras takes no notice of {', '.join(unused)}{but}: they are of other engines."
    changed = [name for name in ("scale", "standardize", "normalize") if getattr(config.data, name)]
    if changed:
        pixels = " and ".join(f"data.{name}" for name in changed)
        yield (
            f"AutoKeras takes no notice of {pixels}: pixels come to it as they are stored, and "
            "its models normalise them."
        )


def _has_network() -> bool:
    try:
        socket.create_connection(_WEIGHTS, timeout=_NETWORK_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _epochs(config: Config) -> Iterator[int]:
    """Yields the epochs that candidates of a config ask for."""
    grids = config.space if isinstance(config.space, list) else [config.space]
    if config.stages is not None:
        yield sum(stage.epochs for stage in config.stages)
    for given in ({"epochs": [config.params.get("epochs")]}, *grids):
        values: Any = given.get("epochs", ())
        if isinstance(values, Mapping):
            values = values["values"] if "values" in values else [values.get("high")]
        if isinstance(values, list):
            yield from (value for value in values if type(value) is int and value > 0)


def autokeras(task: Task) -> Engine:
    """Proposes up to `search.trials` candidates, and tells AutoKeras their scores on the inner split."""
    most, n = task.n_trials, 0
    about = {name: value for name, value in task.params.items() if name != "epochs"}
    target = task.target
    assert target is not None
    with AskedProcess(
        AutoKeras,
        {**about, "epochs": task.longest, "multi_label": target.is_multi_label},
        task.input_shape,
        target.n_outputs,
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
        seed: The search's; 0 is a seed.
    """

    library = "AutoKeras"

    def __init__(self, about: Values, input_shape: tuple[int, ...], n_classes: int, seed: int) -> None:
        with without_jax():
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
