"""Two searches over the same folds, as their results.json say."""

from __future__ import annotations

from kerasgrid.run.results import ResultsData


def trial(number, scores, end_s, state="complete"):
    return {
        "id": number,
        "params": {"width": number},
        "state": state,
        "mean_test_score": sum(scores) / len(scores) if scores else None,
        "std_test_score": 0.001,
        "mean_fit_time": 2.0,
        "end_time_s": end_s,
        "n_parameters": 1000,
        "folds": [{"fold": i, "test_score": score, "epochs": 5} for i, score in enumerate(scores)],
    }


def results(name, trials, wall_s=100.0, **changes):
    content = {
        "schema": "kerasgrid.results/1",
        "name": name,
        "status": "complete",
        "objective": {"name": "accuracy", "direction": "max"},
        "data": {"fingerprint": "sha256:1"},
        "folds": {"n": 3, "fingerprint": "sha256:2"},
        "trials": trials,
        "summary": {"wall_time_s": wall_s, "fits": 6, "epochs_trained": 30},
    }
    return ResultsData(content | changes)


def changed(search, **changes):
    return ResultsData(search.data | changes)


OURS = results(
    "mine",
    [trial(0, [0.90, 0.91, 0.92], 10), trial(1, [0.97, 0.98, 0.975], 90), trial(2, [], None, "failed")],
)
THEIRS = results("mine-autokeras", [trial(0, [0.93, 0.94, 0.93], 30)], wall_s=50.0)
