"""How long a candidate is trained on all rows, and at which learning rates."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from kerasgrid.config.stages import Stage
from kerasgrid.delivery.finished import course_of, rates_of
from kerasgrid.jobs.route import Route
from kerasgrid.run.results import runs_of

STOPPING = {"early_stopping": {"monitor": "val_loss", "restore_best_weights": True}}
PLATEAU = {"reduce_lr_on_plateau": {"monitor": "val_loss"}}


def route(epochs=30, **callbacks):
    return Route(model={}, batch_size=32, epochs=epochs, callbacks=callbacks)


def fold(index, best_epoch, rates=(), **more):
    history = {"loss": [0.5] * len(rates), "learning_rate": list(rates)}
    return {"fold": index, "best_epoch": best_epoch, "history": history, **more}


def runs(*folds, folder=None):
    return runs_of({"folds": list(folds)}, folder)


FOLDS = (fold(0, 12, [0.1] * 15), fold(1, 9, [0.1] * 5 + [0.05] * 6), fold(2, 10, [0.1] * 6 + [0.02] * 8))


def test_where_nothing_looks_at_an_inner_split_the_recipe_is_taken_as_it_is():
    own = {"early_stopping": {"monitor": "loss"}, "reduce_lr_on_plateau": {"monitor": "loss"}}
    course = course_of(route(30, **own), runs(*FOLDS))
    assert (course.epochs, course.dropped, course.rates) == (30, (), ())
    assert course.how == "30 epochs, as in the search"


def test_else_for_the_median_over_folds_of_the_best_epoch():
    course = course_of(route(30, **STOPPING), runs(*FOLDS))
    assert (course.epochs, course.dropped, course.rates) == (10, ("early_stopping",), ())
    assert course.how == (
        "10 epochs, the median over folds of the best epoch (9, 10, 12); without early_stopping"
    )


def test_with_the_learning_rates_of_that_folds_run():
    course = course_of(route(30, **STOPPING, **PLATEAU), runs(*FOLDS))
    assert course.epochs == 10
    assert course.rates == (*[0.1] * 6, *[0.02] * 4)
    assert course.dropped == ("early_stopping", "reduce_lr_on_plateau")
    assert "with the learning rates of fold 2" in course.how


IN_STAGES = (
    fold(0, 7, [0.1] * 3 + [0.01] * 5, stages=[3, 5]),
    fold(1, 4, [0.1] * 2 + [0.01, 0.005, 0.002], stages=[2, 3]),
    fold(2, 9, [0.1] * 3 + [0.01] * 6, stages=[3, 6]),
)


def in_stages(**callbacks):
    stages = [{"trainable": "head", "epochs": 3}, {"trainable": "all", "epochs": 9}]
    return replace(route(12, **callbacks), stages=tuple(map(Stage.model_validate, stages)))


def test_of_each_stage_the_median_and_of_the_last_one_the_best_epoch():
    course = course_of(in_stages(**STOPPING, **PLATEAU), runs(*IN_STAGES))
    assert (course.epochs, course.stages) == (7, (3, 4))
    assert course.rates == (*[0.1] * 3, *[0.01] * 4)
    assert course.how == (
        "7 epochs in stages of 3 and 4, of each the median over folds, with the learning rates of fold 0; "
        "without early_stopping, reduce_lr_on_plateau"
    )
    short = course_of(in_stages(**STOPPING, **PLATEAU), runs(IN_STAGES[1]))
    assert (short.stages, short.rates) == ((2, 2), (0.1, 0.1, 0.01, 0.005))
    assert course_of(in_stages(), runs(*IN_STAGES)).stages == (3, 9)


CONTINUED = (
    fold(0, 12, stages=[12, 2, 3]),
    fold(1, 14, stages=[12, 2, 3]),
    fold(2, 5, stages=[12, 2, 3], restored_stages=[5, 0, 0]),
)
RESTORED = (
    fold(0, 28, [0.1] * 25 + [0.01] * 3, stages=[25, 2, 1], restored_stages=[17, 0, 1]),
    fold(1, 17, [0.2] * 13 + [0.02] * 5, stages=[13, 2, 3], restored_stages=[5, 0, 2]),
)


@pytest.mark.parametrize(
    ("folds", "stages", "how", "rates"),
    [
        (CONTINUED, (12,), "12 epochs, the median over folds of the first stage; ", ()),
        (CONTINUED[2:], (5,), "5 epochs, the median over folds of the first stage; ", ()),
        (RESTORED, (5, 0, 1), "6 epochs in stages of 5, 0 and 1, of each the median over folds", (0.1, 0.01)),
        (RESTORED[1:], (5, 0, 2), "7 epochs in stages of 5, 0 and 2", (0.2, 0.02)),
    ],
)
def test_epochs_after_the_best_one_and_those_that_were_restored_are_of_no_stage(folds, stages, how, rates):
    each = [{"epochs": 30}, {"epochs": 2, "callbacks": "continue"}, {"epochs": 3}]
    third = tuple(Stage(trainable="all", **stage) for stage in each)
    course = course_of(replace(route(35, **STOPPING, **PLATEAU), stages=third), runs(*folds))
    assert (course.epochs, course.stages, {*course.rates}) == (sum(stages), stages, {*rates})
    assert course.how.startswith(how)


@pytest.mark.parametrize(("epochs", "stages"), [(20, (3, 17)), (4, (3, 1)), (3, (3,)), (2, (2,))])
def test_epochs_that_are_asked_for_are_the_first_stages_and_more_of_the_last(epochs, stages):
    assert course_of(in_stages(), runs(*IN_STAGES)).of(epochs).stages == stages
    assert course_of(route(12), runs(*FOLDS)).of(epochs).stages == ()


def test_a_plateau_of_the_training_loss_is_replayed_too_where_another_looks_at_the_inner_split():
    own = {**STOPPING, "reduce_lr_on_plateau": {"monitor": "loss"}}
    assert course_of(route(30, **own), runs(*FOLDS)).rates == (*[0.1] * 6, *[0.02] * 4)


def test_what_a_callback_of_the_users_own_made_of_the_rates_is_replayed_too():
    course = course_of(route(30, **{"nets.py:Plateau": {"monitor": "val_loss"}}), runs(*FOLDS))
    assert course.rates == (*[0.1] * 6, *[0.02] * 4)
    assert course.dropped == ("nets.py:Plateau",)


def test_rates_that_are_not_known_are_said_to_be():
    course = course_of(route(30, **PLATEAU), runs(fold(0, 3), fold(1, 3), fold(2, 3)))
    assert course.rates == ()
    assert course.how.endswith("; the learning rates of its folds are not known, and its own is kept")


def test_a_schedule_of_its_own_stays():
    own = {**STOPPING, "learning_rate_scheduler": {"schedule": "cosine"}}
    course = course_of(route(30, **own), runs(*FOLDS))
    assert (course.dropped, course.rates) == (("early_stopping",), ())


def test_of_an_even_number_the_lower_of_the_two_which_is_a_run():
    assert course_of(route(**STOPPING), runs(fold(0, 4), fold(1, 8))).epochs == 4


def test_repeats_count_each():
    repeats = [{"repeat": n, "best_epoch": best, "history": {}} for n, best in enumerate((2, 3))]
    found = runs(fold(0, 2, repeats=repeats), fold(1, 9))
    assert [(run.fold, run.repeat, run.best_epoch) for run in found] == [(0, 0, 2), (0, 1, 3), (1, 0, 9)]
    assert course_of(route(**STOPPING), found).epochs == 3


def test_long_histories_lie_beside_the_results(tmp_path):
    (tmp_path / "long.json").write_text(json.dumps({"learning_rate": [0.3, 0.2]}))
    found = runs({"fold": 0, "best_epoch": 2, "history": {}, "history_file": "long.json"}, folder=tmp_path)
    assert rates_of(found[0]) == (0.3, 0.2)


@pytest.mark.parametrize("callbacks", [{"early_stopping": {"monitor": "val_accuracy"}}, PLATEAU])
def test_what_is_named_val_is_looked_at(callbacks):
    assert course_of(route(**callbacks), runs(*FOLDS)).epochs == 10
