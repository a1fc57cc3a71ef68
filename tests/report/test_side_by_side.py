"""Searches side by side: which is ahead, the table for the terminal, and the page."""

from __future__ import annotations

import re

import pytest
from searches import OURS, THEIRS, changed, results, trial

from kerasgrid.errors import ResultsError
from kerasgrid.report.side_by_side import Beside, reservations, rivals_of, verdict


def test_the_table_has_a_column_for_each_search():
    lines = Beside([OURS, THEIRS]).lines()
    cells = {re.split(r"  +", line)[0]: re.split(r"  +", line)[1:] for line in lines[1:13]}
    assert lines[0].split() == ["mine", "mine-autokeras"]
    assert cells == {
        "accuracy": ["0.9750 ± 0.0010", "0.9333 ± 0.0010"],
        "accuracy of the first 50 s": ["0.9100 ± 0.0010", "0.9333 ± 0.0010"],
        "best trial": ["1", "0"],
        "its parameters": ["1,000", "1,000"],
        "its epochs a fold": ["5", "5"],
        "its fit time a fold": ["2.0 s", "2.0 s"],
        "found after": ["90 s", "30 s"],
        "complete trials": ["2", "1"],
        "fits": ["6", "6"],
        "epochs trained": ["30", "30"],
        "wall time": ["100 s", "50 s"],
        "status": ["complete", "complete"],
    }
    assert lines[-2].startswith("mine is ahead of mine-autokeras by 0.0417")


def test_what_is_not_there_is_a_dash():
    empty = results("empty", [trial(0, [], None, "running")], status="budget")
    table = {row[0]: row[1:] for row in Beside([OURS, empty]).table().rows}
    assert table["accuracy"][1] == table["found after"][1] == table["its epochs a fold"][1] == "-"
    assert "No trial is complete." in Beside([OURS, empty]).html()


def test_the_page_has_a_picture_and_says_how_they_were_run():
    page = Beside([OURS, THEIRS], ["How it was run."]).html()
    assert "How it was run." in page
    assert page.count("<svg") == 1


def test_a_name_is_shown_in_the_picture_as_it_is():
    """Not as a formula, and not left out where it begins with _."""
    picture = Beside([changed(OURS, name="_a $^$"), THEIRS]).html().partition("<svg")[2]
    assert "> _a $^$<" in picture


def test_searches_of_other_folds_are_refused():
    with pytest.raises(ResultsError, match="different folds"):
        Beside([OURS, changed(THEIRS, folds={"fingerprint": "sha256:other"})])


def test_the_best_is_first_and_failures_are_none():
    mine, theirs = rivals_of([OURS, THEIRS])
    assert [one["id"] for one in mine.trials] == [1, 0]
    assert (mine.best["id"], theirs.best["id"]) == (1, 0)
    assert (mine.at(50)["id"], mine.at(5), mine.at(95)["id"]) == (0, None, 1)
    assert mine.curve() == [(10, pytest.approx(0.91)), (90, pytest.approx(0.975))]


def test_a_smaller_loss_is_better():
    turned = [changed(one, objective={"name": "loss", "direction": "min"}) for one in (OURS, THEIRS)]
    mine, theirs = rivals_of(turned)
    assert mine.best["id"] == 0
    assert "mine is ahead of mine-autokeras by 0.0233" in verdict(mine, theirs, "loss")[0]


def test_which_one_is_ahead_and_which_was_when_both_had_had_as_long():
    last, then = verdict(*rivals_of([OURS, THEIRS]), "accuracy")
    assert last == (
        "mine is ahead of mine-autokeras by 0.0417 (accuracy 0.9750 and 0.9333), more than chance explains "
        "(p = 0.004 over 3 folds, Nadeau and Bengio's corrected t-test)."
    )
    assert then.startswith(
        "When each had had 50 s: mine-autokeras is ahead of mine by 0.0233 (accuracy 0.9100"
    )


def test_one_split_says_nothing_of_chance():
    one, other = (results(name, [trial(0, [score], 1)]) for name, score in (("a", 0.9), ("b", 0.8)))
    assert verdict(*rivals_of([one, other]), "accuracy") == [
        "a is ahead of b by 0.1000 (accuracy 0.9000 and 0.8000); a single split does not say how much of "
        "that is chance."
    ]


def test_level_searches_and_those_without_a_score():
    empty = results("b", [trial(0, [], None, "running")], status="budget")
    assert verdict(*rivals_of([OURS, OURS]), "accuracy")[0].startswith("mine and mine are level")
    assert verdict(*rivals_of([OURS, empty]), "accuracy") == [
        "b: no trial is complete, so that nothing can be compared: a larger budget goes on."
    ]


def test_a_search_that_decided_on_its_test_fold_is_named_and_compared_all_the_same():
    objective = {"name": "accuracy", "direction": "max", "decided_on": "test_fold"}
    assert len(rivals_of([OURS, changed(THEIRS, objective=objective)])) == 2
    assert reservations([OURS, THEIRS]) == []
    cold = THEIRS.trials[0] | {"mean_debiased_score": 0.96, "first_values": 0.5}
    assert reservations([OURS, changed(THEIRS, trials=[cold])]) == [
        "mine-autokeras: BatchNormalization had not warmed up in 1 of 1 trial: up to 50% of its moving "
        "statistics are still first values. With debiased statistics scores are up to 0.0267 better (trial "
        "0: 0.9333 -> 0.9600). `training: {batch_norm: debiased}` scores trials, and saves models, by those."
    ]
    assert reservations([OURS, changed(THEIRS, objective=objective)]) == [
        "mine-autokeras decided on the held-out rows themselves (search.val: test_fold), so that its scores "
        "are too good."
    ]


def test_losses_are_said_to_be_what_models_are_trained_by():
    turned = [changed(one, objective={"name": "loss", "direction": "min"}) for one in (OURS, THEIRS)]
    (told,) = reservations(turned)
    assert told.endswith("search.objective: neg_log_loss is of predictions alone.")
    assert Beside(turned).lines()[-1] == told


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"data": {"fingerprint": "sha256:9"}}, "data"),
        ({"folds": {"fingerprint": "sha256:9"}}, "folds"),
        ({"objective": {"name": "loss", "direction": "min"}}, "objective"),
        ({"journal": "kerasgrid.journal/2"}, "versions of the journal"),
    ],
)
def test_what_is_of_other_data_is_refused(changes, what):
    with pytest.raises(ResultsError, match=f"mine and mine-autokeras are of different {what}"):
        rivals_of([OURS, changed(THEIRS, **changes)])
