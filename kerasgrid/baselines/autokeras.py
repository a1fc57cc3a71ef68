"""A grid.yaml as AutoKeras searches it: the same data, folds, objective and seed, models of its own."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kerasgrid.callbacks import Callbacks
from kerasgrid.config import AutoKerasConfig, Config
from kerasgrid.executors import count_gpus
from kerasgrid.keras_names import find_metric
from kerasgrid.records import Fold
from kerasgrid.switches import Training
from kerasgrid.training.routing import DEFAULTS

ENGINE = "autokeras"
MODEL = "kerasgrid.models.autokeras:build"
VAL = 0.2
"""AutoKeras's validation_split."""
_PATIENCE, _MIN_DELTA = 10, 1e-4
"""Of the EarlyStopping that AutoKeras adds to each fit of its search."""
_MAX_TRIALS = 100
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
_OF_OTHERS = ("model", "params", "space", "exclude", "augment", "callbacks", "training")


def as_autokeras(config: Config) -> tuple[Config, list[str]]:
    """Returns the config of AutoKeras's own search, and what is to be said about it.

    Each fit is what AutoKeras's search makes of it: a fifth of the training rows is its inner split, on
    which it is stopped early and its best epoch found, whose weights are scored on the held-out rows.
    Pixels come to it as they are stored, since it normalises them itself.
    """
    own, search = config.autokeras, config.search
    blocks, why = _blocks(own)
    metric = find_metric(search.objective)
    params = {
        "blocks": blocks,
        "epochs": own.epochs or max(_epochs(config), default=DEFAULTS["epochs"]),
        "batch_size": own.batch_size,
        **({} if metric in (None, "accuracy") else {"metric": metric}),
    }
    stopping = {
        "monitor": "val_loss",
        "patience": _PATIENCE,
        "min_delta": _MIN_DELTA,
        "restore_best_weights": True,
    }
    changed = {
        "engine": ENGINE,
        "trials": own.max_trials or search.trials or _MAX_TRIALS,
        "time": own.time or search.time,
        "val": search.val or VAL,
        "keep_models": "best" if search.keep_models == "none" else search.keep_models,
    }
    made = config.model_copy(
        update={
            "name": name_of(config.name),
            "data": config.data.model_copy(update={"scale": None, "standardize": False}),
            "model": MODEL,
            "params": params,
            "space": {},
            "exclude": [],
            "augment": None,
            "callbacks": Callbacks.model_validate({"early_stopping": stopping}),
            "training": Training(pack="off"),
            "search": search.model_copy(update=changed),
        }
    )
    unused = [name for name in _OF_OTHERS if name in config.model_fields_set]
    notes = [f"AutoKeras searches models of its own, by its {blocks} blocks{why}"]
    if unused:
        notes.append(f"AutoKeras takes no notice of {', '.join(unused)}: they are of other engines.")
    return made, notes


def with_samples(config: Config, folds: Sequence[Fold]) -> Config:
    """Returns a config that tells AutoKeras how many samples an epoch has, for its falling learning rate."""
    val = config.search.val
    n_train = len(folds[0].train)
    n_samples = round(n_train * (1 - val)) if isinstance(val, float) else n_train
    return config.model_copy(update={"params": {**config.params, "n_samples": n_samples}})


def name_of(name: str) -> str:
    """Returns what AutoKeras's run of a search is called, which has a results.json of its own."""
    return name if name.endswith(ENGINE) else f"{name}-{ENGINE}"


def _blocks(own: AutoKerasConfig) -> tuple[str, str]:
    """Returns vanilla or full, and why, to follow the choice."""
    if own.blocks != "auto":
        return own.blocks, "."
    other = "--set autokeras.blocks=full takes all of its ImageClassifier's"
    if not count_gpus():
        return "vanilla", f", since there is no GPU here; {other}."
    if not _has_network():
        return "vanilla", f", since pretrained weights cannot be reached from here; {other}."
    other = "--set autokeras.blocks=vanilla takes its ConvBlock alone"
    return "full", f", since there are a GPU and a network; {other}."


def _has_network() -> bool:
    try:
        socket.create_connection(_WEIGHTS, timeout=_NETWORK_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def _epochs(config: Config) -> Iterator[int]:
    """Yields the epochs that candidates of a config ask for."""
    grids = config.space if isinstance(config.space, list) else [config.space]
    for given in ({"epochs": [config.params.get("epochs")]}, *grids):
        values: Any = given.get("epochs", ())
        if isinstance(values, Mapping):
            values = values["values"] if "values" in values else [values.get("high")]
        if isinstance(values, list):
            yield from (value for value in values if type(value) is int and value > 0)
