"""The one reader of results.json: what it fills in, what it refuses and in which words."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from kerasgrid.driver.results import Results
from kerasgrid.errors import ResultsError
from kerasgrid.run.schema import MOST_FAULTS, checked, read_results

GOLDEN = Path(__file__).parents[1] / "golden" / "run-1" / "results.json"
WHOLE = json.loads(GOLDEN.read_text(encoding="utf-8"))


def changed(path: str, value: object) -> dict:
    """Returns the golden results with another value at a path, such as `trials.0.id`."""
    found = copy.deepcopy(WHOLE)
    *parents, last = [int(key) if key.isdecimal() else key for key in path.split(".")]
    holder = found
    for key in parents:
        holder = holder[key]
    holder[last] = value
    return found


def test_a_whole_file_is_read_as_it_is():
    assert read_results(GOLDEN) == WHOLE
    assert Results(WHOLE).data == WHOLE


def test_what_an_earlier_version_does_not_tell_is_filled_in_and_what_a_later_one_adds_stays():
    trial = {"id": 3, "params": {"a": 1}, "folds": [{"test_score": 0.5, "news": 1}], "more": [2]}
    found = checked({"schema": WHOLE["schema"], "trials": [trial]}, "x")["trials"][0]
    assert (found["state"], found["error"], found["mean_test_score"], found["more"]) == (
        "complete",
        None,
        None,
        [2],
    )
    assert found["folds"][0] == {
        **dict.fromkeys(("fit_time", "epochs", "best_epoch")),
        **{"fold": 0, "test_score": 0.5, "metrics": {}, "history": {}, "news": 1},
    }


def test_numbers_that_are_none_are_none():
    found = checked(changed("trials.0.mean_test_score", float("nan")), "x")
    assert found["trials"][0]["mean_test_score"] is None
    found = checked(changed("trials.0.folds.0.history", {"loss": [0.5, float("inf")]}), "x")
    assert found["trials"][0]["folds"][0]["history"] == {"loss": [0.5, None]}


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("trials.1.id", 0, "trials[1].id is 0, which is that of trials[0] too."),
        ("trials.1.id", [], "trials[1].id is a list; text or a whole number is expected there."),
        ("trials.1.id", True, "trials[1].id is true or false; text or a whole number is expected there."),
        ("trials.1.n_parameters", -1, "trials[1].n_parameters is -1; at least 0 is expected there."),
        ("trials.1.n_parameters", True, "trials[1].n_parameters is true; a whole number is expected there."),
        (
            "trials.1.state",
            "done",
            "trials[1].state is text; 'complete', 'failed', 'pruned', 'running' or 'waiting' is",
        ),
        ("trials.1.first_values", 1.5, "trials[1].first_values is 1.5; at most 1.0 is expected there."),
        ("trials.1.folds.0.first_values", -0.1, "first_values is -0.1; at least 0.0 is expected there."),
        ("trials.1.mean_debiased_score", "x", "mean_debiased_score is text; a number or null is expected"),
        ("trials.1.folds.0.fold", 7, "trials[1].folds are not each of 0 to 1 once at most."),
        ("trials.1.folds.1.fold", 0, "trials[1].folds are not each of 0 to 1 once at most."),
        ("trials.1.folds.0.best_epoch", 0, "trials[1].folds[0].best_epoch is 0; at least 1 is expected"),
        ("trials.1.folds.0.history", {"loss": 3}, "folds[0].history.loss is a number; a list is expected"),
        (
            "trials.1.folds.0.history",
            {"loss": ["x"]},
            "history.loss[0] is text; a number or null is expected",
        ),
        ("trials.1.folds.0.history_file", "/dev/zero", "is text; a file of the run's own folder, such as"),
        ("trials.1.folds.0.history_file", "histories/../../x.json", "a file of the run's own folder"),
        ("trials.1.error", 3, "trials[1].error is a number; text, or an object of texts type and message"),
        ("trials.1.params", {"a": float("nan")}, None),
        ("trials.1.params", {"a": {1, 2}}, "trials[1].params holds what JSON has not."),
        ("folds.n", 10**12, "folds.n is 1000000000000; at most 1000 is expected there."),
        ("best.trial", 77, "best.trial is 77; the id of a complete trial is expected there."),
        ("data.class_names", [1, 2], "data.class_names has 2 names, and data.classes is 10."),
        ("data.class_names", [[1]] * 10, "data.class_names[0] is a list; text or a whole number is expected"),
        ("objective.direction", "up", "objective.direction is text; 'max' or 'min' is expected there."),
        ("config", [], "config is a list; an object is expected there."),
        ("trials", None, "trials is null or missing; a list is expected there."),
        ("schema", "kerasgrid.results/2", "was written by another version of kerasgrid"),
        ("schema", 5, "schema is 5, which is no results file of kerasgrid. "),
    ],
)
def test_faults_name_the_place_what_was_found_and_what_holds(path, value, told):
    if told is None:
        checked(changed(path, value), "a.json")
        return
    with pytest.raises(ResultsError) as caught:
        Results(changed(path, value), Path("a.json"))
    assert str(caught.value).startswith("a.json: ")
    assert told in str(caught.value)


def test_all_faults_are_told_but_not_thousands():
    found = copy.deepcopy(WHOLE)
    for trial in found["trials"]:
        trial["folds"] = [{"fold": "x", "history": {name: ["y"] * 50 for name in "abcdefgh"}}]
    found["name"] = 3
    with pytest.raises(ResultsError) as caught:
        checked(found, "a.json")
    lines = str(caught.value).splitlines()
    assert lines[0] == "a.json: name is a number; text is expected there."
    assert len(lines) == MOST_FAULTS + 2
    assert lines[-2] == "a.json: and more."


@pytest.mark.timeout(30)
def test_200_000_faults_take_neither_time_nor_memory():
    many = [1] * 200_000
    keys = {str(place): 1 for place in range(200_000)}
    for trials in (many, [{"params": {}, "folds": [{"history": {"loss": ["x"] * 200_000}}]}]):
        with pytest.raises(ResultsError, match=r"trials\[0\]"):
            checked({"schema": WHOLE["schema"], "trials": trials}, "a.json")
    with pytest.raises(ResultsError, match="history has 200,000 parts; at most 1,000 are expected there"):
        checked(
            {"schema": WHOLE["schema"], "trials": [{"params": {}, "folds": [{"history": keys}]}]}, "a.json"
        )


def test_other_files_are_told_what_is_needed(tmp_path):
    for text, told in (
        ("[1]", "is a list, and no results file of kerasgrid."),
        ("{}", "schema is None, which is no results file of kerasgrid."),
        ("name: grid\n", "no JSON (Expecting value)."),
        ('{"schema": ' + "[" * 2000 + "]" * 2000 + "}", "nested too deeply"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(ResultsError) as caught:
            Results.load(tmp_path / "a.json")
        assert told in str(caught.value)
        assert "What kerasgrid search writes is needed here: results/NAME.json" in str(caught.value)


def test_trials_are_called_by_numbers_where_files_are_named_by_them():
    found = Results(changed("trials.1.id", "../1"), Path("a.json"))
    with pytest.raises(ResultsError, match=r"trials\[1\]\.id is '\.\./1'; a whole number, at least 0, names"):
        found.model_files()


def test_what_a_command_cannot_do_without_is_told_at_once(tmp_path):
    del (found := copy.deepcopy(WHOLE))["config"], found["data"]["fingerprint"]
    with pytest.raises(ResultsError, match=r"it has no config, no data\.fingerprint\. A search of this"):
        Results(found).need("config", "data.samples", "data.fingerprint")
    with pytest.raises(ResultsError, match=r"config\.search\.folds: is 'x'; a whole number holds"):
        Results(changed("config.search.folds", "x")).config  # noqa: B018
