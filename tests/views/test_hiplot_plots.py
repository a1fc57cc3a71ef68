import logging

import pytest

from kerasgrid.errors import ResultsError
from kerasgrid.run.schema import About
from kerasgrid.tables.table import Table
from kerasgrid.views import hiplot
from kerasgrid.views.hiplot import epoch_plot, trial_plot


def table(*rows, histories=(), **changes):
    return Table(
        **{
            "source": "fc",
            "params": ("dropout", "learning_rate"),
            "scores": ("mean_test_score", "std_test_score"),
            "details": ("trial", "state"),
            "rows": rows,
            "histories": histories,
            "metric": "accuracy",
            **changes,
        }
    )


def row(trial, state="complete"):
    return {"trial": trial, "dropout": 0.2, "learning_rate": 0.1, "state": state, "mean_test_score": 0.9}


def test_a_line_a_trial():
    plot = trial_plot([table(row(3), row(4))])
    assert [(point.uid, point.parent) for point in plot.points] == [("trial 3", None), ("trial 4", None)]
    assert plot.params == ("dropout", "learning_rate")
    assert plot.color == "mean_test_score"
    assert plot.curve is None


def test_rows_without_a_trial_are_numbered():
    plot = trial_plot([table({"dropout": 0.1}, {"dropout": 0.2}, details=())])
    assert [point.row["trial"] for point in plot.points] == [0, 1]
    assert plot.details == ("trial",)


def test_the_state_is_drawn_when_not_all_are_complete():
    assert trial_plot([table(row(0), row(1, "failed"))]).params == ("dropout", "learning_rate", "state")


def test_several_tables_are_coloured_by_source():
    plot = trial_plot([table(row(0)), table(row(0), params=("units",)), table(row(0), source="other")])
    assert [point.row["source"] for point in plot.points] == ["fc", "fc (2)", "other"]
    assert [point.uid for point in plot.points] == [
        "source 1, trial 0",
        "source 2, trial 0",
        "source 3, trial 0",
    ]
    assert plot.params == ("dropout", "learning_rate", "units", "source")
    assert plot.color == "source"


def test_files_of_two_versions_of_the_journal_are_told_apart(caplog):
    of = [table(row(0), about=About(**given)) for given in ({}, {}, {"journal": "kerasgrid.journal/2"})]
    trial_plot([*of[:2], table(row(0))])
    assert caplog.text == ""
    trial_plot(of)
    told = (
        "The files are of kerasgrid.journal/1 and kerasgrid.journal/2, in which a candidate has other scores"
    )
    assert told in caplog.text


@pytest.mark.parametrize(
    ("ids", "uids"),
    [
        ([7, 3], ["trial 7", "trial 3"]),
        ([3, 3], ["trial 0", "trial 1"]),
        ([1, True], ["trial 0", "trial 1"]),
        ([1, 1.0], ["trial 0", "trial 1"]),
        (["<b>" * 99, None], ["trial 0", "trial 1"]),
        ([[1], {}], ["trial 0", "trial 1"]),
    ],
)
def test_uids_are_short_and_different_whatever_a_file_calls_its_trials(ids, uids):
    plot = trial_plot([table(*map(row, ids))])
    assert [point.uid for point in plot.points] == uids
    assert [point.row["trial"] for point in plot.points] == ids


def test_no_trials():
    with pytest.raises(ResultsError, match="fc, other: no trial has begun yet"):
        trial_plot([table(), table(source="other")])


def test_epochs_are_chained_and_averaged_over_folds():
    folds = (
        {"loss": [2.0, 1.0], "test_accuracy": [0.5, 0.7]},
        {"loss": [4.0, 2.0], "test_accuracy": [0.7, 0.9]},
    )
    plot = epoch_plot([table(row(3), row(4, "running"), histories=(folds, ()))])
    assert [(point.uid, point.parent) for point in plot.points] == [
        ("trial 3, epoch 1", None),
        ("trial 3, epoch 2", "trial 3, epoch 1"),
    ]
    assert [point.row["loss"] for point in plot.points] == [3.0, 1.5]
    assert [point.row["epoch"] for point in plot.points] == [1, 2]
    assert plot.points[0].row["mean_test_score"] == 0.9
    assert plot.curve == ("epoch", "test_accuracy")
    assert plot.scores == ("mean_test_score", "loss", "test_accuracy")
    assert plot.params[-1] == "epoch"


def test_curves_go_as_far_as_all_folds():
    folds = ({"loss": [3.0, 2.0, 1.0]}, {"loss": [3.0, 2.0]}, {"loss": [float("nan"), 2.0]})
    plot = epoch_plot([table(row(0), histories=(folds,))])
    assert [point.row["loss"] for point in plot.points] == [None, 2.0]


def test_histories_in_files(tmp_path):
    file = tmp_path / "trial-0.json"
    file.write_text('{"loss": [4.0, 2.0]}')
    plot = epoch_plot([table(row(0), histories=(({"loss": [2.0, 1.0]}, file),))])
    assert [point.row["loss"] for point in plot.points] == [3.0, 1.5]
    for broken, message in (("[1]", "is a list; an object"), ("{", "ends too early")):
        file.write_text(broken)
        with pytest.raises(ResultsError, match=message):
            epoch_plot([table(row(0), histories=((file,),))])


def test_a_history_called_like_a_parameter():
    plot = epoch_plot([table(row(0), histories=(({"learning_rate": [0.05]},),))])
    assert plot.points[0].row["learning_rate"] == 0.1
    assert plot.points[0].row["learning_rate (epoch)"] == 0.05


@pytest.mark.parametrize(
    ("metrics", "curve"),
    [
        (["loss", "accuracy", "val_accuracy", "test_accuracy"], "test_accuracy"),
        (["loss", "accuracy", "val_accuracy"], "val_accuracy"),
        (["loss", "accuracy"], "accuracy"),
        (["loss", "val_loss"], "val_loss"),
        (["f1"], "f1"),
    ],
)
def test_the_curve_is_the_objective_on_held_out_rows_if_it_can(metrics, curve):
    history = {name: [0.5] for name in metrics}
    assert epoch_plot([table(row(0), histories=((history,),))]).curve == ("epoch", curve)


def test_too_many_epochs_are_thinned_and_said_so(monkeypatch, caplog):
    monkeypatch.setattr(hiplot, "MOST_POINTS", 10)
    with caplog.at_level(logging.WARNING):
        plot = epoch_plot([table(row(0), histories=(({"loss": list(range(25))},),))])
    assert [point.row["epoch"] for point in plot.points] == [1, 4, 7, 10, 13, 16, 19, 22, 25]
    assert [point.row["loss"] for point in plot.points][-1] == 24
    assert "more than 10 epochs: one in 3 is drawn" in caplog.text


def test_no_histories():
    with pytest.raises(ResultsError, match=r"fc: there is no history of epochs\. Plot the trials, without"):
        epoch_plot([table(row(0))])
