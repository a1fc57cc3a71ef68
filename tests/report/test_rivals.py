"""Two searches side by side."""

from __future__ import annotations

import pytest
from searches import OURS, THEIRS, changed, results, trial

from kerasgrid.errors import ResultsError
from kerasgrid.report.beside import Beside, reservations, rivals_of, verdict


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
    ],
)
def test_what_is_of_other_data_is_refused(changes, what):
    with pytest.raises(ResultsError, match=f"mine and mine-autokeras are of different {what}"):
        rivals_of([OURS, changed(THEIRS, **changes)])
