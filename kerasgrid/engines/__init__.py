"""Engines say which trials come next.

An engine is a generator: it yields proposals, is sent their scores in the same order, and ends. It is
deterministic given its task and the scores, so that a search resumes by running it again.

Other rooms use: `autokeras`, `base`, `halving`.
"""

from __future__ import annotations

from typing import Any

from kerasgrid.engines.autokeras import autokeras, outline_of_autokeras
from kerasgrid.engines.base import Engine, Kind, Outline, Proposal, Scores, Task
from kerasgrid.engines.grid import grid, random
from kerasgrid.engines.halving import halving, outline_of_halving
from kerasgrid.engines.keras_tuner import (
    hyperband,
    oracle,
    outline,
    outline_of_hyperband,
    outline_without_scores,
)
from kerasgrid.engines.optuna import sampler

__all__ = ["ENGINES", "Engine", "Kind", "Outline", "Proposal", "Scores", "Task"]

OPTUNA = {"optuna": '"kerasgrid[optuna]"'}
GP = dict.fromkeys(("optuna", "torch"), '"kerasgrid[gp]"')
_ASKED: dict[str, Any] = {"asks": True, "settings": ("proposals",)}
_MODEL = {**_ASKED, "needs_trials": True, "chooses_by_score": True, "outline": outline}
_BLIND = {**_ASKED, "outline": outline_without_scores}

ENGINES: dict[str, Kind] = {
    "grid": Kind(grid, lists=True),
    "random": Kind(random, needs_trials=True, rejects=True),
    "halving": Kind(
        halving,
        decides_by_val=True,
        frees_val=True,
        chooses_by_score=True,
        lists=True,
        draws=True,
        rejects=True,
        settings=("factor", "min_epochs"),
        outline=outline_of_halving,
    ),
    "bayesian": Kind(oracle("BayesianOptimizationOracle"), **_MODEL),
    "hyperband": Kind(
        hyperband,
        decides_by_val=True,
        chooses_by_score=True,
        has_brackets=True,
        asks=True,
        settings=("factor", "proposals"),
        outline=outline_of_hyperband,
    ),
    "tpe": Kind(sampler("TPESampler"), rejects=True, packages=OPTUNA, **_MODEL),
    "gp": Kind(sampler("GPSampler"), rejects=True, packages=GP, **_MODEL),
    "autokeras": Kind(
        autokeras,
        decides_by_val=True,
        chooses_by_score=True,
        asks=True,
        has_own_space=True,
        settings=("proposals",),
        packages={"autokeras": "autokeras"},
        outline=outline_of_autokeras,
    ),
    "random_kt": Kind(oracle("RandomSearchOracle"), needs_trials=True, **_BLIND),
    "grid_kt": Kind(oracle("GridSearchOracle"), lists=True, **_BLIND),
}
