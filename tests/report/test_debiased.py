"""What a report says of scores whose BatchNormalization had not warmed up: what debiased ones say."""

from __future__ import annotations

import json
from itertools import product

import pytest

from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.report.findings import analyse, as_json
from kerasgrid.report.sentences import conclusions
from kerasgrid.report.suggestion import suggest
from kerasgrid.report.writing import Report
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.reading import results_table

SPACE = {"batch_size": [512, 2048], "epochs": [3, 10, 30], "dropout": [0.2, 0.4]}
GROUND = (
    "Parameters are judged by debiased statistics here: scores by Keras's tell how many steps "
    "BatchNormalization has had, which batch_size and epochs make, as well as how good a candidate is."
)


def made(space=SPACE, sign=1, cost=0.35, statistics="keras", **more):
    """Returns results in which batch sizes are equal, and scores fall short by the share of first values.

    Args:
        sign: -1 for a loss.
        cost: What the score would be behind if all were first values.
        statistics: By which trials are scored that do not say.
    """
    trials = []
    for id, values in enumerate(product(*space.values())):
        params = dict(zip(space, values, strict=True))
        epochs, by = params.get("epochs", 8), params.get("training.batch_norm", statistics)
        share = 0.99 ** (epochs * -(-4000 // params.get("batch_size", 512)))
        score = sign * (0.93 - 0.1 / epochs + 0.0004 * (id * 7 % 5))
        is_biased = by == "keras" and share > 0.02
        own = score - sign * cost * share if is_biased else score
        curve = [own - sign * 0.03 * (epochs - epoch) for epoch in range(epochs)]
        folds = [
            {
                "fold": fold,
                "test_score": own + 0.001 * fold,
                "first_values": share,
                **({"debiased_score": score + 0.001 * fold} if is_biased else {}),
                "history": {"test_accuracy": curve},
            }
            for fold in range(3)
        ]
        trials.append(
            {
                "id": id,
                "params": params,
                "state": "complete",
                "mean_test_score": own + 0.001,
                "std_test_score": 0.001,
                "mean_debiased_score": score + 0.001 if is_biased else None,
                "first_values": share,
                "mean_fit_time": 2.0,
                "folds": folds,
            }
        )
    return {
        "schema": "kerasgrid.results/1",
        "name": "mine",
        "objective": {"name": "accuracy", "direction": "min" if sign < 0 else "max"},
        "config": {"name": "mine", "model": "fc", "params": {"batch_norm": True}, "space": space},
        "trials": trials,
        **more,
    }


def findings(*args, **more):
    return analyse(results_table(ResultsData(made(*args, **more))))


def about(found, start):
    """Returns the conclusions that begin so."""
    return [sentence for sentence in conclusions(found) if sentence.startswith(start)]


@pytest.mark.parametrize("sign", [1, -1])
def test_effects_are_by_debiased_statistics_and_what_scores_would_say_follows(sign):
    found = findings(sign=sign)
    assert len(about(found, "BatchNormalization had not warmed up in 12 of 12 trials: up to 94%")) == 1
    assert about(found, "Parameters are judged") == [GROUND]
    (told,) = about(found, "batch_size")
    by_debiased, seeming = told.split(" By the scores it would seem that ")
    assert "cannot be told from" in by_debiased
    assert seeming.startswith("batch_size = 512 beats 2048 in 6 of 6 matched pairs")
    assert "By the scores" not in about(found, "dropout")[0]
    # Of epochs both say that more are better; debiased ones say by how little.
    (told,) = about(found, "epochs = 30 beats 10")
    assert "By the scores" not in told
    assert [round(effect.mean, 3) for effect in found.ground.effects["epochs"]] == [0.006, 0.03]
    assert found.effects["epochs"][0].mean > 0.1


def test_curves_that_rise_with_the_statistics_tell_nothing_of_more_epochs():
    found = findings()
    assert (found.leaders_rise, found.rising) == (None, {})
    assert about(found, "More epochs") == about(found, "No held-out curve") == []
    assert about(found, "Whether more epochs") == [
        "Whether more epochs would help cannot be told of 12 of 12 trials: their curves rise while "
        "BatchNormalization warms up."
    ]
    found = findings({"batch_size": [8, 2048], "epochs": [30]})  # the smaller of which has warmed up
    assert about(found, "Whether more epochs")[0].startswith(
        "Whether more epochs would help cannot be told of 1 of"
    )
    assert about(found, "More epochs would help trial 0")


def test_nothing_is_said_where_all_is_warm_or_scored_without_first_values():
    for found in (findings(statistics="debiased"), findings({"batch_size": [8, 16], "epochs": [30]})):
        assert found.debiased is None
        assert about(found, "BatchNormalization") == about(found, "Parameters are") == []
        assert not [sentence for sentence in conclusions(found) if "By the scores" in sentence]


def test_of_trials_that_rungs_have_given_up_nothing_is_judged():
    content = made({"batch_size": [8, 16, 2048], "epochs": [30, 100]})
    for trial in content["trials"]:
        trial["state"] = "complete" if trial["mean_debiased_score"] is None else "pruned"
    assert {trial["state"] for trial in content["trials"]} == {"complete", "pruned"}
    found = analyse(results_table(ResultsData(content)))
    assert (found.debiased, found.biased) == (None, ())
    assert not [sentence for sentence in conclusions(found) if "ebiased" in sentence]
    assert "batch_norm: debiased" not in suggest(found)
    assert results_table(ResultsData(content)).rows[-1]["mean_debiased_score"] is not None


def test_which_statistics_are_scored_is_judged_by_the_scores_themselves():
    """By debiased ones its two values are one candidate."""
    found = findings({**SPACE, "training.batch_norm": ["keras", "debiased"]})
    (told,) = about(found, "training.batch_norm")
    assert told.startswith("training.batch_norm = debiased beats keras in 12 of 12 matched pairs")
    assert "training.batch_norm" not in found.ground.effects
    assert len(found.ground.design) == 12
    found = findings({"training.batch_norm": ["keras", "debiased"]})
    assert about(found, "training.batch_norm = debiased beats keras in 1 of 1 matched pair")
    assert read_yaml(suggest(found), "x")[0]["training"] == {"batch_norm": "debiased"}


def test_the_next_grid_is_by_debiased_statistics_and_says_so():
    text = suggest(findings())
    told = read_yaml(text, "next.yaml")[0]
    assert "# BatchNormalization had not warmed up, so that all of it is by debiased statistics.\n" in text
    assert told["training"] == {"batch_norm": "debiased"}
    assert "# scores by keras had not warmed up" in text
    # By the scores 512 would be the best, at the edge of what was tried.
    assert told["params"]["batch_size"] in (512, 2048)
    assert "cannot be told: 512, 2048 tried" in text
    assert told["space"] == {"epochs": [30, 90]}
    assert "training" not in read_yaml(suggest(findings(statistics="debiased")), "next.yaml")[0]


def test_a_next_grid_that_named_keras_s_statistics_names_debiased_ones_once():
    fixed = {"name": "mine", "model": "fc", "params": {"training.batch_norm": "keras"}, "space": SPACE}
    told = read_yaml(suggest(findings(config=fixed)), "next.yaml")[0]
    assert told["training"] == {"batch_norm": "debiased"}
    assert "training.batch_norm" not in told["params"]
    told = read_yaml(suggest(findings({**SPACE, "training.batch_norm": ["keras", "debiased"]})), "x")[0]
    assert "training.batch_norm" not in {**told["params"], **told["space"]}


def test_json_and_the_page_have_both(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(made()))
    report = Report(path)
    told = json.loads(report.json())
    assert told["biased"] == list(range(12))
    assert told["debiased"]["leaderboard"][0]["mean"] > told["leaderboard"][0]["mean"]
    assert told["effects"]["batch_size"][0]["clear"]
    assert not told["debiased"]["effects"]["batch_size"][0]["clear"]
    for text in (report.markdown(), report.html()):
        assert "debiased" in text
        assert "BatchNormalization had not warmed up in 12 of 12 trials" in text
        assert text.count("Parameters are judged by debiased statistics here") == 1
    warm = as_json(findings(statistics="debiased"))
    assert (warm["biased"], warm["debiased"]) == ([], None)


def test_the_table_has_the_score_without_first_values_as_a_score():
    table = results_table(ResultsData(made()))
    assert table.scores == ("mean_test_score", "std_test_score", "mean_debiased_score", "mean_fit_time")
    assert "first_values" in table.details
    assert table.debiased.fold_scores[0] == pytest.approx((0.8966, 0.8976, 0.8986), abs=1e-3)
    frame = ResultsData(made()).frame()
    assert list(frame.columns[-6:-4]) == ["mean_debiased_score", "first_values"]
    table = results_table(ResultsData(made(statistics="debiased")))
    assert "mean_debiased_score" not in table.scores
    assert table.debiased is None


def test_a_parameter_that_is_called_like_such_a_column_is_another_one():
    table = results_table(ResultsData(made({"first_values": [1, 2], "epochs": [3]})))
    assert table.params == ("first_values (param)", "epochs")
    assert table.rows[0]["first_values"] == pytest.approx(0.99**24)
    assert "param_first_values" in ResultsData(made({"first_values": [1, 2], "epochs": [3]})).frame()
