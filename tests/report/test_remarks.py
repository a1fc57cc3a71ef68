"""What is said of curves, folds and failures, and what is not said where it was not looked at."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.report.findings import analyse, by_reason
from kerasgrid.report.sentences import best_sentences, curve_sentences, trouble_sentences
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.flat import records_table
from kerasgrid.tables.reading import results_table

STEPS = np.arange(1, 13)
RISING, FLAT = (STEPS / 20).tolist(), [0.5] * 12


def trial(id, folds=(), score=0.9, **more):
    whole = {"id": id, "params": {"a": id}, "state": "complete", "mean_test_score": score, "folds": folds}
    return {**whole, **more}


def scored(*scores):
    """Returns a trial with these scores of its folds."""
    return trial(
        0, [{"fold": fold, "test_score": own} for fold, own in enumerate(scores)], sum(scores) / len(scores)
    )


def findings(trials, metric="accuracy"):
    return analyse(
        results_table(
            ResultsData(
                {
                    "schema": "kerasgrid.results/1",
                    "name": "mine",
                    "objective": {"name": metric, "direction": "max"},
                    "trials": trials,
                }
            )
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


def test_complete_trials_without_a_score_are_told():
    scores = [0.9, 0.8, 0.7, 0.6, None, math.nan]
    found = findings([trial(id, score=score) for id, score in enumerate(scores)])
    assert trouble_sentences(found) == ["2 trials have no score, or none that is a number. (Trials 4, 5.)"]
    assert best_sentences(found)[0] == "Trial 0 is the best of 4 trials with a score."


def test_failures_that_differ_in_place_and_numbers_are_one_reason():
    errors = [
        {
            "type": "TrialError",
            "message": f"trial {id}, fold {id % 3}, epoch 2: loss is nan (learning_rate={id}e-1).",
        }
        for id in range(4)
    ]
    errors.append({"type": "OSError", "message": "no space\nleft."})
    found = findings([trial(id, score=None, state="failed", error=error) for id, error in enumerate(errors)])
    assert trouble_sentences(found) == [
        "4 trials failed: TrialError: loss is nan (learning_rate=…). (Trials 0, 1, 2, 3.)",
        "1 trial failed: OSError: no space left. (Trial 4.)",
    ]


@pytest.mark.parametrize(
    ("texts", "reasons"),
    [
        (["E: rate 0.1.", "E: rate 0.1"], {"E: rate 0.1": (0, 1)}),
        (["E: conv2d_3", "E: conv2d_4"], {"E: conv2d_3": (0,), "E: conv2d_4": (1,)}),
        (["E: (1, -2.5e+3)", "E: (2, 7)"], {"E: (…, …)": (0, 1)}),
        (["x" * 300, "x" * 299], {"x" * 199 + "…": (0, 1)}),
        ([], {}),
    ],
)
def test_a_reason_is_what_texts_have_in_common(texts, reasons):
    assert by_reason(dict(enumerate(texts))) == reasons


@pytest.mark.parametrize(
    ("trials", "said"),
    [
        ([scored(0.9, 0.8)], ["Trial 0 is the only one with a score."]),
        (
            [scored(0.9, 0.8), scored(0.1, 0.2), scored(0.1)],
            [
                "Trial 0 is the best of 3 trials.",
                "1 of the other 1 cannot be told from it over 2 folds (corrected resampled t-test,",
                "1 more cannot be compared: they have no scores of the same folds.",
            ],
        ),
        (
            [scored(0.9, 0.91), scored(0.1, 0.11), scored(0.1)],
            [
                "Trial 0 is the best of 3 trials.",
                "All 1 compared are clearly behind it over 2 folds (p <= 0.05).",
                "1 more cannot be compared: they have no scores of the same folds.",
            ],
        ),
        (
            [scored(0.9, 0.8), scored(0.1)],
            [
                "Trial 0 is the best of 2 trials.",
                "No other has scores of the same folds, so that none can be",
            ],
        ),
        (
            [scored(0.9), scored(0.1)],
            [
                "Trial 0 is the best of 2 trials.",
                "Scores of at least two folds are needed to tell candidates",
            ],
        ),
        (
            [scored(0.9, 0.91), scored(0.1, 0.11)],
            [
                "Trial 0 is the best of 2 trials.",
                "All others are clearly behind it over 2 folds (p <= 0.05).",
            ],
        ),
    ],
)
def test_what_is_said_of_the_best_is_what_was_compared(trials, said):
    found = best_sentences(
        findings([{**own, "id": id, "params": {"a": id}} for id, own in enumerate(trials)])
    )
    assert len(found) == len(said)
    for sentence, start in zip(found, said, strict=True):
        assert sentence.startswith(start)


@pytest.mark.parametrize(
    ("folds", "said"),
    [
        (
            [0.8, 0.9, 0.9],
            ["Fold 0 is the hardest for 8 of 8 trials, by 0.1 on average. That is the data's, not"],
        ),
        ([0.9, 0.9, 0.9], []),
        ([0.8, 0.8, 0.9], []),
    ],
)
def test_a_fold_is_hard_only_where_it_is_worse_than_each_other(folds, said):
    found = curve_sentences(findings([{**scored(*folds), "id": id, "params": {"a": id}} for id in range(8)]))
    assert [sentence[: len(start)] for sentence, start in zip(found, said, strict=True)] == said


def test_a_single_fold_has_no_spread():
    single, several = (findings([{**scored(*folds), "std_test_score": 0.0}]) for folds in ([0.9], [0.9, 0.9]))
    assert single.best.std is None
    assert several.best.std == 0.0


def test_many_splits_of_another_tools_file_may_be_repeats():
    rows = [
        {"param_a": a, "mean_test_score": 0.5 + a}
        | {f"split{n}_test_score": 0.5 + a + n / 100 for n in range(30)}
        for a in (0, 1)
    ]
    said = "Where these 30 splits are repeats of fewer folds, differences look clearer than they are."
    assert said in best_sentences(analyse(records_table(rows, Path("cv.json"))))
    ours = [{**scored(*(own + n / 100 for n in range(30))), "id": id} for id, own in enumerate((0.5, 0.4))]
    assert said not in best_sentences(findings([{**own, "params": {"a": own["id"]}} for own in ours]))
