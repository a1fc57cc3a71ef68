"""What is said of curves, folds and failures, and what is not said where it was not looked at."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.analysis.findings import analyse
from kerasgrid.analysis.remarks import curve_sentences
from kerasgrid.tables.results import results_table

STEPS = np.arange(1, 13)
RISING, FLAT = (STEPS / 20).tolist(), [0.5] * 12


def trial(id, folds=(), score=0.9, **more):
    whole = {"id": id, "params": {"a": id}, "state": "complete", "mean_test_score": score, "folds": folds}
    return {**whole, **more}


def findings(trials, metric="accuracy"):
    return analyse(
        results_table(
            {
                "schema": "kerasgrid.results/1",
                "name": "mine",
                "objective": {"name": metric, "direction": "max"},
                "trials": trials,
            }
        )
    )


def trained(*histories, metric="accuracy"):
    """Returns the findings of trials with one fold each, which have these histories."""
    return findings(
        [
            trial(id, [{"fold": 0, "history": history}], 0.9 - id / 100)
            for id, history in enumerate(histories)
        ],
        metric,
    )


@pytest.mark.parametrize(
    ("histories", "metric", "said"),
    [
        ([{"test_accuracy": FLAT}], "accuracy", ["No held-out curve clearly improves any more at its last"]),
        (
            [{"test_accuracy": FLAT}, {"test_accuracy": FLAT[:4]}],
            "accuracy",
            ["No held-out curve of 6 epochs or more clearly improves any more at its last epoch."],
        ),
        (
            [{"test_accuracy": RISING[:5]}],
            "accuracy",
            ["Fewer than 6 epochs a trial: whether more would help cannot be told."],
        ),
        (
            [{"accuracy": RISING}],
            "accuracy",
            ["No held-out accuracy is recorded by epoch: whether more epochs would help cannot be told."],
        ),
        (
            [{"test_loss": [1 - value for value in RISING]}, {"test_loss": FLAT}],
            "f1_macro",
            [
                "No held-out f1_macro is recorded by epoch: the curves are of the loss.",
                "More epochs would help the best: their mean held-out loss still improves by",
                "More epochs would help trial 0: its held-out loss still improves by 0.05 an epoch at",
            ],
        ),
        ([{"test_loss": RISING}], "f1_macro", ["No held-out f1_macro", "No held-out curve clearly improves"]),
        ([], "accuracy", []),
    ],
)
def test_whether_more_epochs_would_help_is_said_only_where_it_was_looked_at(histories, metric, said):
    found = curve_sentences(trained(*histories, metric=metric))
    assert len(found) == len(said)
    for sentence, start in zip(found, said, strict=True):
        assert sentence.startswith(start)
