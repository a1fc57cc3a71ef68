"""What trials said of samples that they had not seen, together."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from kerasgrid.delivery.ensembles import EnsembleMember, Jury, combine
from kerasgrid.delivery.held_out import thresholds_of
from kerasgrid.errors import ResultsError
from kerasgrid.jobs.objective import find_objective
from kerasgrid.jobs.thresholds import Chooser
from kerasgrid.records import Target
from kerasgrid.tables.predictions import HeldOut

LABELS = np.array([0, 1, 1, 0, 1, 0])
HELD_OUT = HeldOut(np.array([0, 0, 0, 1, 1, -1]), LABELS, Target("classes", ("a", "b")), {})


def jury_of(held_out, members, objective):
    return Jury.of(held_out, members, find_objective(objective), held_out.target)


def said(*positive):
    found = np.array(positive, dtype=np.float32)
    return np.stack([1 - found, found], axis=1)


def scores(jury, **how):
    return {name: jury.shown(way()) for name, way in jury.ways(**how).items()}


GOOD = EnsembleMember("good", said(0.1, 0.8, 0.6, 0.4, 0.9, np.nan))
BAD = EnsembleMember("bad", said(0.8, 0.8, 0.3, 0.2, 0.2, 0.5))


def test_only_samples_that_were_held_out_of_all_count():
    jury = jury_of(HELD_OUT, [GOOD, BAD], "accuracy")
    assert jury.rows.tolist() == [0, 1, 2, 3, 4]
    assert [jury.score(jury.labels, part) for part in jury.parts] == [1.0, 0.4]


def test_each_way_is_scored():
    found = scores(jury_of(HELD_OUT, [GOOD, BAD], "accuracy"))
    assert found.keys() == {"mean", "rank", "weighted"}
    assert found["mean"] == pytest.approx(0.8)  # 0.45, 0.8, 0.45, 0.3 and 0.55 of class b


def test_weights_are_not_sought_where_that_takes_long():
    assert jury_of(HELD_OUT, [GOOD, BAD], "roc_auc").ways(with_weights=False).keys() == {"mean", "rank"}
    assert not jury_of(HELD_OUT, [GOOD], "roc_auc").is_quick


def test_weights_leave_out_what_does_not_help():
    assert jury_of(HELD_OUT, [GOOD, BAD], "accuracy").weights().tolist() == [1, 0]


def test_a_loss_is_shown_as_one_and_lower_is_better():
    jury = jury_of(HELD_OUT, [GOOD, BAD], "loss")
    assert jury.weights()[0] > 0.5
    assert scores(jury)["mean"] > 0
    assert jury.score(jury.labels, jury.parts[0]) < 0


def test_scorers_of_scikit_learn_score():
    jury = jury_of(HELD_OUT, [GOOD], "roc_auc")
    assert scores(jury)["mean"] == pytest.approx(1.0)


def test_weights_that_no_score_can_be_had_for():
    one_class = HeldOut(np.array([0, -1, -1, 0, -1, -1]), LABELS, Target("classes", ("a", "b")), {})
    told = r"no weights: roc_auc does not score these samples \(roc_auc is not defined"
    with pytest.raises(ResultsError, match=told):
        jury_of(one_class, [GOOD, BAD], "roc_auc").weights()


def test_of_a_metric_of_keras_accuracy_is_told():
    assert jury_of(HELD_OUT, [GOOD], "top_k_categorical_accuracy").objective.name == "accuracy"


def test_what_was_not_kept_is_not_scored():
    jury = jury_of(HELD_OUT, [GOOD, EnsembleMember("grid, trial 9", None)], "accuracy")
    assert not jury.is_complete
    with pytest.raises(
        ResultsError, match=r"no weights: out-of-fold predictions of grid, trial 9 were not kept"
    ):
        jury.weights()


def test_several_labels_have_no_ranks():
    labels = np.array([[0, 1], [1, 1], [1, 0]])
    held_out = HeldOut(np.array([0, 0, 1]), labels, Target("labels", ("0", "1")), {})
    members = [EnsembleMember(str(n), np.array([[0.1, 0.9], [0.8, 0.7], [0.6, 0.2]])) for n in range(2)]
    assert scores(jury_of(held_out, members, "accuracy")) == {"mean": 1.0, "weighted": 1.0}


def several(seed, thresholds="chosen", objective="f1_macro"):
    """Returns a jury of two members, of samples with several labels in three folds."""
    chance = np.random.default_rng(seed)
    labels = (chance.random((90, 3)) < 0.3).astype(np.uint8)
    folds = np.repeat([0, 1, 2], 30)
    held_out = HeldOut(folds, labels, Target("labels", ("a", "b", "c")), {})
    told = [np.clip(chance.normal(0.2 + 0.1 * labels, 0.1), 0, 1).astype(np.float32) for _ in range(2)]
    members = [EnsembleMember(name, own) for name, own in zip("xy", told, strict=True)]
    return Jury.of(held_out, members, find_objective(objective), held_out.target, thresholds)


def test_of_several_labels_each_fold_is_scored_by_thresholds_chosen_without_it():
    jury = several(0)
    mean, choose = combine(jury.parts), Chooser()
    cuts = np.concatenate(
        [np.tile(choose(jury.labels[o], mean[o]), (30, 1)) for o in [jury.folds != f for f in range(3)]]
    )
    found = scores(jury)
    assert found.keys() == {"mean", "weighted"}
    assert found["mean"] == pytest.approx(f1_score(jury.labels, mean >= cuts, average="macro"))
    assert jury.score(jury.labels, mean) == pytest.approx(
        f1_score(jury.labels, mean >= choose(jury.labels, mean), average="macro")
    )
    at_half = scores(several(0, 0.5))["mean"]
    assert at_half < 0.1 < found["mean"]
    assert several(0, 0.25).value(mean) == pytest.approx(f1_score(jury.labels, mean >= 0.25, average="macro"))


def test_thresholds_of_the_very_rows_that_are_scored_would_be_seen():
    gains = [
        jury.score(jury.labels, mean) - jury.value(mean)
        for jury in map(several, range(10))
        for mean in [combine(jury.parts)]
    ]
    assert np.mean(gains) > 0.01


def test_a_test_set_is_cut_by_all_that_was_held_out():
    jury = several(0)
    trials = [
        SimpleNamespace(row={"folds": [{"thresholds": [0.1, 0.2, 0.3]}, {"thresholds": [0.3, 0.2, 0.1]}]})
    ]
    found, told = thresholds_of(jury, trials)
    np.testing.assert_array_equal(found, Chooser()(jury.labels, combine(jury.parts)))
    assert told.startswith("thresholds: chosen on out-of-fold predictions, 0.")
    found, told = thresholds_of(replace(jury, missing=("x",)), trials)
    assert found.tolist() == pytest.approx([0.2, 0.2, 0.2])
    assert told == "thresholds: the mean of what folds have chosen on held-out rows"
    found, told = thresholds_of(replace(jury, missing=("x",)), [SimpleNamespace(row={"folds": [{}]})])
    assert (found.tolist(), told[:15]) == ([0.5] * 3, "thresholds: 0.5")
    assert thresholds_of(several(0, 0.25), trials)[0].tolist() == [0.25] * 3
    assert thresholds_of(jury_of(HELD_OUT, [GOOD], "accuracy"), []) == (None, None)
