"""What trials said of samples that they had not seen, together."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.delivery.ensembles import EnsembleMember, Jury
from kerasgrid.errors import ResultsError
from kerasgrid.jobs.objective import find_objective
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
