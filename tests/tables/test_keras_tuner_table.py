"""Project folders that KerasTuner's own oracles write, and damaged ones."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest

from kerasgrid.errors import ResultsError
from kerasgrid.report.findings import analyse
from kerasgrid.tables.reading import read_table
from kerasgrid.views.hiplot import write_page
from kerasgrid.views.pages import page_path

pytestmark = pytest.mark.slow

ACCURACIES = [0.7, 0.9, None, 0.8, 0.6]


def space():
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.Float("learning_rate", 1e-4, 1e-1, sampling="log")
    hp.Choice("activation", ["relu", "tanh"])
    with hp.conditional_scope("activation", ["relu"]):
        hp.Float("slope", 0.0, 0.5, step=0.1)
    return hp


def run(folder, oracle, report):
    """Asks an oracle for trials, and tells each what `report` gives by place: metrics by step, or None."""
    oracle._set_project_dir(str(folder.parent), folder.name)
    oracle.verbose = 0
    for place in range(len(ACCURACIES) + 1):
        trial = oracle.create_trial("tuner")
        if trial.status != "RUNNING" or place == len(ACCURACIES):
            break
        steps = report(place)
        for step, metrics in enumerate(steps or []):
            oracle.update_trial(trial.trial_id, metrics, step=step)
        trial.status = "INVALID" if steps is None else "COMPLETED"
        trial.message = (
            'Traceback (most recent call last):\n  File "x"\nValueError: too wide\n'
            if steps is None
            else None
        )
        oracle.end_trial(trial)
    oracle.save()


def epochs(place):
    top = ACCURACIES[place]
    if top is None:
        return None
    return [{"val_accuracy": value, "loss": 1 - value} for value in (top - 0.2, top, top - 0.1)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A project of five trials that have ended, the third failed, and one that is under way."""
    import keras_tuner

    folder = tmp_path_factory.mktemp("tuner") / "mine"
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective="val_accuracy", max_trials=6, hyperparameters=space(), seed=1
    )
    run(folder, oracle, epochs)
    return folder


@pytest.fixture
def project(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "mine"))


def test_trials_have_what_keras_tuner_says_of_them(project):
    table = read_table(project)
    assert table.source == "mine"
    assert table.params == ("learning_rate", "activation", "slope")
    assert table.scores == ("val_accuracy", "loss")
    assert (table.direction, table.metric, table.log_params) == ("max", "accuracy", {"learning_rate"})
    assert [row["state"] for row in table.rows] == [
        "complete",
        "complete",
        "failed",
        "complete",
        "complete",
        "running",
    ]
    assert [row["val_accuracy"] for row in table.rows] == [*ACCURACIES, None]
    assert [row.get("loss") for row in table.rows][:2] == [pytest.approx(0.3), pytest.approx(0.1)]
    assert table.rows[2]["error"] == "ValueError: too wide"
    for row in table.rows:
        assert ("slope" in row) == (row["activation"] == "relu")
    assert table.histories[0][0]["test_accuracy"] == pytest.approx([0.5, 0.7, 0.6])
    assert table.histories[2] == ()


def test_a_value_whose_condition_does_not_hold_is_not_the_trials(project):
    path = next(project.glob("trial_*/trial.json"))
    trial = json.loads(path.read_text())
    trial["hyperparameters"]["values"] |= {"activation": "tanh", "slope": 0.3}
    path.write_text(json.dumps(trial))
    assert [row for row in read_table(project).rows if row["activation"] == "tanh" and "slope" in row] == []


def test_executions_are_averaged_and_a_smaller_loss_is_better(tmp_path):
    import keras_tuner

    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("val_loss", "min"), max_trials=6, hyperparameters=space(), seed=1
    )
    folder = tmp_path / "least"
    run(folder, oracle, lambda place: [{"val_loss": 0.5 + place}])
    path = folder / "trial_0" / "trial.json"
    trial = json.loads(path.read_text())
    trial["metrics"]["metrics"]["val_loss"]["observations"] = [{"value": [0.4, 0.6], "step": 3}]
    path.write_text(json.dumps(trial))
    table = read_table(folder)
    assert (table.scores, table.direction) == (("val_loss",), "min")
    assert table.rows[0]["val_loss"] == pytest.approx(0.5)
    assert table.histories[0] == ()


def test_a_score_that_is_no_metrics_best_is_called_score(project):
    for place, path in enumerate(sorted(project.glob("trial_*/trial.json"))):
        trial = json.loads(path.read_text())
        trial["score"] = None if trial["score"] is None else 2.5 + place
        path.write_text(json.dumps(trial))
    table = read_table(project)
    assert table.scores == ("score", "val_accuracy", "loss")
    assert table.direction == "min"
    assert table.rows[0]["score"] == 2.5


def test_hyperbands_epochs_are_a_parameter_and_the_rest_of_its_bookkeeping_is_not(tmp_path):
    import keras_tuner

    oracle = keras_tuner.oracles.HyperbandOracle(
        objective="val_accuracy", max_epochs=9, hyperparameters=space(), seed=1
    )
    folder = tmp_path / "band"
    run(folder, oracle, lambda place: [{"val_accuracy": 0.5 + place / 10}])
    table = read_table(folder)
    assert "tuner/epochs" in table.params
    assert {"tuner/bracket", "tuner/round", "tuner/initial_epoch"} <= set(table.details)
    assert table.rows[0]["trial"] == 0  # KerasTuner calls it 0000


def test_a_trial_that_was_cut_off_is_left_out_with_a_warning(project, caplog):
    (project / "trial_1" / "trial.json").write_text('{"trial_id": "1", "hyperpar')
    (project / "trial_3" / "trial.json").write_text("{}")
    with caplog.at_level(logging.WARNING):
        table = read_table(project)
    assert [row["trial"] for row in table.rows] == [0, 2, 4, 5]
    assert "trial_1/trial.json:1:" in caplog.text
    assert "cut off" in caplog.text
    assert "trial_3/trial.json: no hyperparameters in it. It is left out." in caplog.text


def test_the_folder_above_will_do_where_it_holds_one_project(project):
    assert read_table(project.parent).source == "mine"
    shutil.copytree(project, project.with_name("other"))
    with pytest.raises(
        ResultsError, match=r"holds several projects of KerasTuner. Name one: .*mine, .*other\."
    ):
        read_table(project.parent)


def test_faults_are_told(project, tmp_path):
    (tmp_path / "plain").mkdir()
    with pytest.raises(ResultsError, match=r"plain is a folder, and no project of KerasTuner. Known are:"):
        read_table(tmp_path / "plain")
    (project / "oracle.json").write_text("{}")
    for trial in project.glob("trial_*"):
        shutil.rmtree(trial)
    with pytest.raises(ResultsError, match="the project of KerasTuner has no trial yet"):
        read_table(project)


def test_it_is_plotted_and_analysed(project, monkeypatch):
    table = read_table(project)
    for epochs in (False, True):
        assert "val_accuracy" in write_page([table], project.with_suffix(".html"), epochs=epochs).read_text()
    assert analyse(table).best.row == 1
    assert page_path([project]) == project.parent / "mine.html"
    assert page_path([f"{project}/"]) == project.parent / "mine.html"
    monkeypatch.chdir(project)
    assert page_path(["."]).resolve() == project.parent.resolve() / "mine.html"


def change(project, edit):
    """Edits the JSON of a project's first trial."""
    path = sorted(project.glob("trial_*/trial.json"))[0]
    trial = json.loads(path.read_text())
    edit(trial)
    path.write_text(json.dumps(trial))


def declared(name, *conditions):
    parents = [{"class_name": "Parent", "config": {"name": n, "values": v}} for n, v in conditions]
    return {"class_name": "Int", "config": {"name": name, "conditions": parents}}


def test_a_parameter_is_active_by_any_of_its_declarations_where_its_parents_are(project):
    def edit(trial):
        trial["hyperparameters"] = {
            "space": [
                declared("model"),
                declared("units", ("model", ["a"])),
                declared("units", ("model", ["b"])),
                declared("off", ("model", ["b"])),
                declared("child", ("off", [1])),
            ],
            "values": {"model": "a", "units": 3, "off": 1, "child": 2},
        }

    change(project, edit)
    row = read_table(project).rows[0]
    assert (row["model"], row["units"]) == ("a", 3)
    assert not {"off", "child"} & set(row)


def test_a_parameter_called_like_a_column_of_ours_is_kept_apart(project):
    def edit(trial):
        trial["hyperparameters"]["values"] |= {"loss": 7, "state": 8}

    change(project, edit)
    table = read_table(project)
    assert {"loss (param)", "state (param)"} <= set(table.params)
    row = table.rows[0]
    assert (row["loss (param)"], row["state (param)"], row["state"]) == (7, 8, "complete")
    assert row["loss"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    "metrics",
    [
        [],
        {"metrics": []},
        {"metrics": {"x": []}},
        {"metrics": {"x": {"observations": 3}}},
        {"metrics": {"x": {"observations": [3, {"value": "a"}, {"value": [1], "step": "b"}, {}]}}},
    ],
)
def test_what_is_misshapen_is_no_metric(project, metrics):
    change(project, lambda trial: trial.update(metrics=metrics))
    assert "x" not in read_table(project).rows[0]


def test_an_oracle_that_was_cut_off_costs_the_order_alone(project, caplog):
    (project / "oracle.json").write_text('{"start')
    with caplog.at_level(logging.WARNING):
        table = read_table(project)
    assert [row["trial"] for row in table.rows] == list(range(6))
    assert "Trials are taken in the order of their names." in caplog.text


def test_a_reason_of_several_lines_is_kept_whole(project):
    change(project, lambda trial: trial.update(message="Traceback\n  File\nValueError: found 2,\nwanted 3\n"))
    assert read_table(project).rows[0]["error"] == "ValueError: found 2, wanted 3"


def test_steps_that_do_not_begin_with_the_first_epoch_are_no_curve(project):
    def edit(trial):
        for metric in trial["metrics"]["metrics"].values():
            for observation in metric["observations"]:
                observation["step"] += 5

    change(project, edit)
    assert read_table(project).histories[0] == ()


def test_what_hyperband_has_not_trained_to_its_end_is_pruned(project):
    oracle = json.loads((project / "oracle.json").read_text())
    (project / "oracle.json").write_text(json.dumps({**oracle, "max_epochs": 9}))
    change(project, lambda trial: trial["hyperparameters"]["values"].update({"tuner/epochs": 3}))
    assert [row["state"] for row in read_table(project).rows][:2] == ["pruned", "complete"]
