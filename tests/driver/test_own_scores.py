"""A function as the objective, and scores beside it, from the config to the results, by a fake trainer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import CONFIG, fake_probes, fake_train_pack
from fitted import train_nothing
from sklearn.metrics import fbeta_score, make_scorer

import kerasgrid.driver.search as driver
from kerasgrid.checks.draft import read_draft
from kerasgrid.delivery.finished import FinishedRun
from kerasgrid.driver.preview import preview
from kerasgrid.driver.search import search
from kerasgrid.errors import ChangedError, ConfigError, RefusedError
from kerasgrid.planning import packing
from kerasgrid.records import ProbeRecord
from kerasgrid.views.leaderboard import leaderboard

FILE = "def gain(y_true, y_pred):\n    return 1.0\n"


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    train_nothing(monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(FILE)
    return tmp_path


def config(**settings) -> dict:
    return {**json.loads(json.dumps(CONFIG)), "search": {"folds": 2, **settings}}


def in_hand(y_true, y_pred):
    return float(np.mean(y_true == y_pred))


def test_a_functions_name_and_arguments_stand_in_the_results():
    given = {"own.py:gain": {"greater_is_better": False}}
    found = search(config(objective=given, scores=["f1_macro"]))
    assert found.data["objective"] == {
        "name": "own.py:gain",
        "arguments": given["own.py:gain"],
        "direction": "min",
    }
    assert found.data["config"]["search"]["objective"] == given
    scores = [row["mean_test_score"] for row in found.trials]
    assert found.best["mean_test_score"] == min(scores)
    assert FinishedRun(found.path).objective.name == "own.py:gain"


def test_a_search_does_not_go_on_with_another_function(folder):
    search(config(objective="own.py:gain"))
    search(config(objective="own.py:gain"))
    (folder / "own.py").write_text(FILE.replace("1.0", "2.0"))
    with pytest.raises(ChangedError, match="the source of objective and scores was"):
        search(config(objective="own.py:gain"))


@pytest.mark.parametrize("changes", [{"scores": ["f1_macro"]}, {"objective": "f1_macro"}])
def test_a_search_does_not_go_on_with_other_scores(changes):
    search(config())
    with pytest.raises(ChangedError, match=rf"search\.{next(iter(changes))} was"):
        search(config(**changes))


def test_a_function_or_scorer_in_python_is_called_by_its_name():
    scorer = make_scorer(fbeta_score, beta=2, average="macro")
    found = search(config(objective=in_hand, scores=[scorer, "f1_macro"]))
    assert found.data["objective"] == {"name": f"{__name__}:in_hand", "direction": "max"}
    written = {"sklearn.metrics:fbeta_score": {"beta": 2, "average": "macro"}}
    assert found.config.search.scores == [written, "f1_macro"]
    assert found.scores == ("sklearn.metrics:fbeta_score", "f1_macro")


def test_two_functions_of_one_name_are_refused():
    with pytest.raises(ConfigError) as caught:
        search(config(objective=lambda y_true, y_pred: 0.0, scores=[lambda y_true, y_pred: 1.0]))
    assert "config, search.scores[0]: is another function that is called " in str(caught.value)
    with pytest.raises(ConfigError, match=r"search\.objective: is .*, which takes other arguments"):
        search(config(objective=lambda y_true: 0.0))


def test_a_function_that_cannot_score_is_told_at_its_key(monkeypatch):
    told = "search.objective: own.py:2, own.py:gain: ValueError: no such class."

    def refused(recipe, executor, candidates):
        error = {"type": "ScoreError", "message": told}
        return [ProbeRecord(dict(params), None, error, "cpu") for params in candidates]

    monkeypatch.setattr(packing, "run_probes", refused)
    with pytest.raises(RefusedError) as caught:
        search(config(objective="own.py:gain"))
    assert str(caught.value) == f"config, {told}"


def test_the_plan_tells_the_scores():
    given = config(
        objective="own.py:gain", scores=["f1_macro", "loss", {"fbeta": {"beta": 2, "average": "macro"}}]
    )
    plan = preview(read_draft(given), Path("results"))
    assert "objective  own.py:gain (max)" in plan.lines()
    assert "scores     f1_macro (max), loss (min), fbeta with beta: 2, average: macro (max)" in plan.lines()
    assert [score["direction"] for score in plan.as_json()["scores"]] == ["max", "min", "max"]


def test_scores_beside_the_objective_are_shown(monkeypatch):
    def train(recipe, pack, context):
        class Told:
            should_stop = context.should_stop

            def emit(self, record):
                if (metrics := getattr(record, "metrics", None)) is not None:
                    values = {
                        "f1_macro": 0.25 * (1 + record.job[1]),
                        "r2": float("nan") if record.job[1] else 1.0,
                    }
                    record = type(record)(**{**vars(record), "metrics": {**metrics, **values}})
                context.emit(record)

        fake_train_pack(recipe, pack, Told())

    monkeypatch.setattr(driver, "train_pack", train)
    monkeypatch.setattr(packing, "run_probes", fake_probes)
    found = search(config(scores=["f1_macro", {"fbeta": {"beta": 2, "average": "macro"}}]))
    frame = found.frame()
    assert frame["mean_test_f1_macro"].tolist() == [0.375] * len(found.trials)
    assert frame["mean_test_fbeta"].isna().all()
    shown = leaderboard(found)
    assert shown.headers == ("rank", "trial", "score", "f1_macro", "fbeta", "fit time")
    assert shown.rows[0][0][3:5] == ("0.3750", "-")
