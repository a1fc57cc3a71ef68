"""What results.json tells of fits whose BatchNormalization has not warmed up, by the journal's records."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from kerasgrid.io import strict
from kerasgrid.records import FoldRecord, Trial
from kerasgrid.run.journal import check_line
from kerasgrid.run.schema import SCHEMA, checked
from kerasgrid.run.state import RunState


def state(*fits, repeats=1):
    """Returns the state of a trial of two folds, each fit (score, first_values, debiased_score)."""
    found = RunState(2, repeats, "max")
    found.add(Trial(0, {}))
    for place, (score, first_values, debiased) in enumerate(fits):
        record = FoldRecord(
            (0, place // repeats, place % repeats),
            score,
            first_values=first_values,
            debiased_score=debiased,
            error={"type": "nan", "message": "x"} if score is None else None,
        )
        found.take({"type": "fold", **strict(asdict(record))})
    return found


@pytest.mark.parametrize(
    ("fits", "first_values", "mean"),
    [
        ([(0.5, None, None), (0.7, None, None)], None, None),
        ([(0.5, 0.001, None), (0.7, 0.02, None)], 0.02, None),
        ([(0.5, 0.75, 0.8), (0.75, 0.5, 0.9)], 0.75, pytest.approx(0.85)),
        # A fold that has warmed up has its score.
        ([(0.5, 0.021, 0.8), (0.75, 0.019, None)], 0.021, pytest.approx(0.775)),
        # By debiased statistics from the first, so that there is nothing to tell beside the score.
        ([(0.8, 0.75, None), (0.9, 0.75, None)], 0.75, None),
        # One fold has not ended, and one has failed: there is no mean.
        ([(0.5, 0.75, 0.8)], 0.75, None),
        ([(0.5, 0.75, 0.8), (None, None, None)], 0.75, None),
    ],
)
def test_a_trial_tells_the_greatest_share_of_its_folds_and_its_score_without_it(fits, first_values, mean):
    row = state(*fits).row(0)
    assert (row["first_values"], row["mean_debiased_score"]) == (first_values, mean)
    for fold, (_, share, debiased) in zip(row["folds"], fits, strict=True):
        assert (fold.get("first_values"), fold.get("debiased_score")) == (share, debiased)


def test_repeats_are_averaged_within_a_fold_first():
    fits = [(0.5, 0.3, 0.7), (0.6, 0.01, None), (0.5, 0.4, 0.9), (0.5, 0.2, 0.8)]
    row = state(*fits, repeats=2).row(0)
    assert [fold["debiased_score"] for fold in row["folds"]] == pytest.approx([0.65, 0.85])
    assert [fold["first_values"] for fold in row["folds"]] == [0.3, 0.4]
    assert (row["mean_debiased_score"], row["first_values"]) == (pytest.approx(0.75), 0.4)
    told = [[part.get("debiased_score") for part in fold["repeats"]] for fold in row["folds"]]
    assert told == [[0.7, None], [0.9, 0.8]]


def test_what_waits_at_a_rung_or_was_given_up_there_tells_it_too():
    found = RunState(1, 1, "max")
    found.add(Trial(0, {}))
    reached = FoldRecord((0, 0, 0), 0.5, val_score=0.8, epochs=1, first_values=0.9, debiased_score=0.8)
    found.take({"type": "rung", **strict(asdict(reached))})
    assert (found.row(0)["state"], found.row(0)["mean_debiased_score"]) == ("running", 0.8)
    found.take({"type": "drop", "trial": 0})
    assert (found.row(0)["state"], found.row(0)["mean_debiased_score"]) == ("pruned", 0.8)


def test_results_tell_it_and_those_that_do_not_are_read():
    trial = state((0.5, 0.75, 0.8), (0.75, 0.5, 0.9)).row(0)
    assert checked({"schema": SCHEMA, "trials": [trial]}, "x")["trials"][0] == trial
    del trial["mean_debiased_score"], trial["first_values"]
    assert checked({"schema": SCHEMA, "trials": [trial]}, "x")["trials"][0] == trial


def test_stages_and_thresholds_go_through_the_journal_and_the_latter_are_averaged_over_repeats():
    found, stages = RunState(2, 2, "max"), {"stages": (3, 2), "restored_stages": (1, 2)}
    found.add(Trial(0, {}))
    for fold, repeat, thresholds in [
        (0, 0, (0.25, 0.5)),
        (0, 1, (0.75, 0.5)),
        (1, 0, (0.5, 0.5)),
        (1, 1, None),
    ]:
        record = {
            "type": "fold",
            "time": 0.0,
            **strict(asdict(FoldRecord((0, fold, repeat), 0.5, thresholds=thresholds, **stages))),
        }
        check_line(2, record)
        found.take(record)
    first, second = found.row(0)["folds"]
    assert first["thresholds"] == [0.5, 0.5]
    assert [part["thresholds"] for part in first["repeats"]] == [[0.25, 0.5], [0.75, 0.5]]
    assert "thresholds" not in second
    for part in (first, *first["repeats"]):
        assert (part["stages"], part["restored_stages"]) == ([3, 2], [1, 2])
    assert found.ended[0, 0, 0].thresholds == [0.25, 0.5]
