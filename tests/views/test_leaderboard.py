import pytest
from rich.console import Console

from kerasgrid.run.results import ResultsData
from kerasgrid.views.leaderboard import (
    format_score,
    format_seconds,
    leaderboard,
    summary_lines,
)
from kerasgrid.wording import count


def trial(id, score, params, state="complete", folds=3, **changes):
    return {
        "id": id,
        "params": params,
        "state": state,
        "mean_test_score": score,
        "std_test_score": None if score is None else 0.002,
        "mean_fit_time": None if score is None else 6.1,
        "folds": [{}] * folds,
        **changes,
    }


def results(*trials, direction="max", **changes):
    content = {
        "schema": "kerasgrid.results/1",
        "name": "fc",
        "objective": {"name": "accuracy", "direction": direction},
        "trials": list(trials),
        "summary": {
            "trials": len(trials),
            "failed": 0,
            "fits": 6,
            "epochs_trained": 90,
            "wall_time_s": 310.2,
        },
        **changes,
    }
    return ResultsData(content)


def fc(dropout, **more):
    return {"units": 64, "dropout": dropout, **more}


THREE = results(trial(0, 0.97, fc(0.4)), trial(1, None, fc(0.6), "failed"), trial(2, 0.9812345, fc(0.2)))


def plain(content, top=10):
    return str(leaderboard(content, top))


def rendered(board, width):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(board)
    return capture.get()


def test_plain_text():
    assert plain(THREE) == (
        "rank  trial            score  fit time     state  dropout\n"
        "   1      2  0.9812 ± 0.0020     6.1 s  complete  0.2\n"
        "   2      0  0.9700 ± 0.0020     6.1 s  complete  0.4\n"
        "   -      1                -         -    failed  0.6"
    )


def test_top_and_the_state_of_what_is_shown():
    assert plain(THREE, top=1) == (
        "rank  trial            score  fit time  dropout\n   1      2  0.9812 ± 0.0020     6.1 s  0.2"
    )
    assert leaderboard(THREE, top=1).caption == "The first 1 of 3 trials."
    assert leaderboard(THREE).caption is None
    assert plain(results(), top=3) == "rank  trial  score  fit time"


def test_a_smaller_loss_is_better_and_ties_go_by_id():
    board = plain(results(trial(2, 0.5, fc(1)), trial(1, 0.5, fc(2)), trial(0, 0.9, fc(3)), direction="min"))
    assert [line.split()[1] for line in board.splitlines()] == ["trial", "1", "2", "0"]


def test_equal_scores_share_the_rank_that_the_results_give_them():
    ranks = zip((0.9, 0.9, 0.8, None), (1, 1, 3, None), strict=True)
    trials = [trial(i, score, {}, rank_test_score=rank) for i, (score, rank) in enumerate(ranks)]
    assert [line.split()[0] for line in plain(results(*trials)).splitlines()] == ["rank", "1", "1", "3", "-"]


def test_what_was_given_up_has_no_rank_and_stands_below_what_was_not():
    """Its score is of fewer epochs."""
    rows = [trial(0, 0.9, {}, "pruned"), trial(1, 0.8, {}), trial(2, None, {}, "failed"), trial(3, 0.7, {})]
    shown = [line.split()[:2] for line in plain(results(*rows)).splitlines()[1:]]
    assert shown == [["1", "1"], ["2", "3"], ["-", "0"], ["-", "2"]]


def test_a_single_fold_has_no_spread():
    board = plain(results(trial(0, 0.5, {}, folds=1, std_test_score=0.0)))
    assert "±" not in board
    assert "0.5000 ± 0.0000" in plain(results(trial(0, 0.5, {}, std_test_score=0.0)))


def test_conditional_and_strange_values():
    board = plain(
        results(
            trial(0, 0.9, {"a": 0.30000000000000004}),
            trial(1, 0.8, {"a": [1], "b": None}),
            trial(2, 0.7, {"a": True}),
        )
    )
    assert [line.split("6.1 s")[-1].split() for line in board.splitlines()[1:]] == [
        ["0.3"],
        ["[1]", "null"],
        ["true"],
    ]


def test_rich_table_where_it_fits():
    assert rendered(leaderboard(THREE), 80).splitlines() == plain_padded(THREE)


def plain_padded(content):
    lines = plain(content).splitlines()
    return [line.ljust(max(map(len, lines))) for line in lines]


@pytest.mark.parametrize("width", [60, 80])
def test_rich_puts_params_below_where_they_do_not_fit(width):
    params = [
        fc(rate, learning_rate=rate / 10, batch_size=int(rate * 1000), activation=f"relu{rate}")
        for rate in (0.2, 0.4)
    ]
    lines = rendered(
        leaderboard(results(*(trial(i, 0.9, p) for i, p in enumerate(params)))), width
    ).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split() == ["rank", "trial", "score", "fit", "time"]
    assert lines[1].split()[:2] == ["1", "0"]
    text = " ".join(" ".join(lines).replace("\u00a0", " ").split())
    assert "dropout=0.2 learning_rate=0.02 batch_size=200 activation=relu0.2 2 1 0.9000" in text


def test_rich_puts_scores_beside_the_objective_below_where_even_they_do_not_fit():
    names = ["neg_mean_absolute_error", "neg_root_mean_squared_error"]
    trials = [trial(id, 0.9, {"dropout": id / 10}) for id in range(2)]
    for place, one in enumerate(trials):
        one["folds"] = [{"metrics": dict.fromkeys(names, -45.5 - place)}] * 3
    board = leaderboard(results(*trials, config={"search": {"scores": names}}))
    params_below, both_below = (rendered(board, width).splitlines() for width in (95, 80))
    assert [params_below[0].split(), params_below[2].split()] == [
        ["rank", "trial", "score", *names, "fit", "time"],
        ["dropout=0"],
    ]
    assert both_below[0].split() == ["rank", "trial", "score", "fit", "time"]
    text = " ".join(" ".join(both_below).replace("\u00a0", " ").split())
    assert f"6.1 s {names[0]}=-46.5000 {names[1]}=-46.5000 dropout=0.1" in text
    assert max(map(len, both_below)) <= 80


def test_values_are_neither_markup_nor_control_codes():
    board = leaderboard(results(trial(0, 0.9, {"a": "[bold]x"}), trial(1, 0.8, {"a": "\x1b[31mred\nline"})))
    for text in (rendered(board, 100), str(board)):
        assert "[bold]x" in text
        assert "[31mred line" in text
        assert "\x1b" not in text


def test_wide_letters_keep_the_columns():
    lines = plain(
        results(trial(0, 0.9, {"a": "ಕನ್ನಡ", "b": "漢字"}), trial(1, 0.8, {"a": "x", "b": "y"}))
    ).splitlines()
    assert "漢字" in lines[1]
    assert lines[2].endswith("y")


def test_summary():
    failures = [
        trial(3, None, fc(0.1), "failed", error={"type": "OSError", "message": "no space\nleft"}),
        trial(4, None, fc(0.3), "failed", error={"type": "nan", "message": "epoch 3: loss is nan"}),
        trial(5, None, fc(0.5), "failed", error={"type": "nan", "message": "other"}),
        trial(6, None, fc(0.7), "running"),
    ]
    assert summary_lines(results(*THREE.trials[::2], *failures)) == [
        "Best: trial 2, accuracy 0.9812 ± 0.0020",
        "  units=64, dropout=0.2",
        "6 trials (3 failed, 1 running), 6 fits, 90 epochs trained in 310 s.",
        "2 trials failed with nan, such as trial 4: epoch 3: loss is nan",
        "1 trial failed with OSError, such as trial 3: no space left",
    ]


def test_dead_nets_and_scores_that_are_too_good_are_told():
    dead = results(trial(0, 0.9, fc(0.2)), trial(1, 0.1, fc(0.8), dead="loss at chance level for 5 epochs"))
    assert plain(dead).splitlines()[2].split()[-3:-1] == ["complete,", "dead"]
    assert summary_lines(dead)[-1] == (
        "1 trial looks dead, such as trial 1: loss at chance level for 5 epochs."
    )
    dead = results(objective={"name": "accuracy", "decided_on": "test_fold"})
    assert summary_lines(dead)[-1] == (
        "Scores are too good: callbacks decided on the test fold itself (search.val: test_fold)."
    )


def cold(id, score, debiased, first_values=0.5, state="complete"):
    return trial(id, score, fc(id / 10), state, mean_debiased_score=debiased, first_values=first_values)


@pytest.mark.parametrize(
    ("trials", "direction", "counts", "costs"),
    [
        (
            [cold(3, 0.7, 0.71, 0.09), cold(7, 0.632, 0.896, 0.786), trial(9, 0.65, {}, first_values=1e-9)],
            "max",
            "2 of 3 trials: up to 79%",
            "up to 0.2640 better (trial 7: 0.6320 -> 0.8960), and trial 7 would be the best, not trial 3.",
        ),
        # What has warmed up may be the best where debiased statistics take others back.
        (
            [cold(0, 0.9, 0.8, 0.09), trial(1, 0.85, {}), trial(2, None, {}, "failed")],
            "max",
            "1 of 2 trials: up to 9.0%",
            "up to 0.1000 worse (trial 0: 0.9000 -> 0.8000), and trial 1 would be the best, not trial 0.",
        ),
        # Of a loss the smaller one is better.
        (
            [cold(0, 1.5, 0.5), cold(1, 0.75, 1.0), cold(2, 0.1, 0.1, state="pruned")],
            "min",
            "2 of 2 trials: up to 50%",
            "up to 1.0000 better (trial 0: 1.5000 -> 0.5000), others up to 0.2500 worse (trial 1: 0.7500 -> "
            "1.0000), and trial 0 would be the best, not trial 1.",
        ),
        (
            [cold(0, 0.5, 0.75), cold(1, 0.25, 0.75)],
            "max",
            "2 of 2 trials: up to 50%",
            "up to 0.5000 better (trial 1: 0.2500 -> 0.7500), and trial 0 stays the best.",
        ),
        # Short where it costs nothing.
        ([cold(0, 0.9, 0.90001), cold(1, 0.8, 0.8)], "max", "2 of 2 trials: up to 50%", None),
    ],
)
def test_first_values_are_told_with_what_they_cost_and_the_line_that_mends_it(
    trials, direction, counts, costs
):
    first = (
        f"BatchNormalization had not warmed up in {counts} of its moving statistics are still first values."
    )
    mends = "`training: {batch_norm: debiased}` scores trials, and saves models, by those."
    same = f"{first} With debiased statistics the scores are the same."
    told = same if costs is None else f"{first} With debiased statistics scores are {costs} {mends}"
    lines = summary_lines(results(*trials, direction=direction))
    assert [line for line in lines if "first values" in line] == [told]


def test_no_first_values_are_told_where_statistics_are_warm_or_scores_without_them():
    lines = summary_lines(results(cold(0, 0.9, None, 0.01), cold(1, 0.8, None, 0.9), trial(2, 0.8, {})))
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("search", "debiased", "is_told"),
    [
        ({"engine": "halving"}, 0.8, True),
        ({"engine": "hyperband"}, 0.8, True),
        ({"engine": "halving"}, None, False),
        ({"engine": "grid"}, 0.8, False),
        ({}, 0.8, False),
        ("lost", 0.8, False),
    ],
)
def test_scores_that_are_of_another_kind_than_those_of_rungs_are_told(search, debiased, is_told):
    lines = summary_lines(
        results(trial(0, 0.9, {}), cold(1, 0.3, debiased, state="pruned"), config={"search": search})
    )
    told = (
        "Which candidates went on was decided by debiased statistics of BatchNormalization, and these scores "
        "are by Keras's: they differ in kind, which they do not by `training: {batch_norm: debiased}`."
    )
    assert lines[2:] == [told] * is_told


def test_scores_by_debiased_statistics_have_a_column_where_there_are_any():
    board = plain(results(cold(0, 0.6, 0.9), trial(1, 0.7, fc(0.1))))
    assert board == (
        "rank  trial            score  debiased  fit time  dropout\n"
        "   1      1  0.7000 ± 0.0020               6.1 s  0.1\n"
        "   2      0  0.6000 ± 0.0020    0.9000     6.1 s  0"
    )


def test_summary_of_a_search_that_has_just_begun():
    assert summary_lines(results(trial(0, None, {}, "running"), summary={})) == [
        "No trial has a score yet.",
        "1 trial (1 running).",
    ]


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 fits"), (1, "1 fit"), (2, "2 fits"), (12_000, "12,000 fits")]
)
def test_count(number, text):
    assert count(number, "fit") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0, "0.00 s"),
        (0.312, "0.31 s"),
        (0.999, "1.0 s"),
        (6.14, "6.1 s"),
        (9.96, "10 s"),
        (310.2, "310 s"),
        (599.6, "10 min"),
        (3599, "1 h 0 min"),
        (4330, "1 h 12 min"),
        (183_600, "51 h 0 min"),
    ],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (None, None, "-"),
        (float("nan"), 0.1, "-"),
        (0.98123, 0.002, "0.9812 ± 0.0020"),
        (0.98123, None, "0.9812"),
        (-0.5, 0.0, "-0.5000 ± 0.0000"),
        (123.456, None, "123.4560"),
        (-18234.53, 1020.26, "-18,234.5 ± 1,020.3"),
        (-18234.53, 0.012, "-18,234.5 ± 0.012"),
        (3.2e-7, None, "3.2e-07"),
        (0.5, 3e-6, "0.5000 ± 3e-06"),
        (1.5e7, 1234.5, "15,000,000 ± 1,234"),
        (1.5e20, None, "1.5e+20"),
    ],
)
def test_format_score(mean, std, text):
    assert format_score(mean, std) == text


def test_rounding_is_no_spread():
    assert format_score(0.9449, 1.11e-16) == "0.9449 ± 0.0000"
