"""The report as a page, as Markdown and as JSON: what it says, and that nothing of the data runs in it."""

from __future__ import annotations

import html
import json
import random
import re
import warnings
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest

from kerasgrid.errors import ResultsError
from kerasgrid.report.figures import confusion_picture, curves_picture, intervals_picture
from kerasgrid.report.suggestion import suggest
from kerasgrid.report.writing import Report
from kerasgrid.views.drawing import png
from kerasgrid.wording import visible_line

NASTY = "<script>alert(1)</script> $x^2$ & | `a` *b* _c_"


def trial(id, params, score, **more):
    folds = (
        []
        if score is None
        else [
            {
                "fold": fold,
                "test_score": score + 0.001 * fold,
                "history": {
                    "accuracy": [0.5 + 0.04 * epoch for epoch in range(8)],
                    "test_accuracy": [0.5 + 0.03 * epoch for epoch in range(8)],
                    "loss": [1 - 0.1 * epoch for epoch in range(8)],
                    "test_loss": [1 - 0.09 * epoch for epoch in range(8)],
                },
            }
            for fold in range(3)
        ]
    )
    return {
        "id": id,
        "params": params,
        "state": "complete",
        "mean_test_score": score,
        "std_test_score": 0.001,
        "mean_fit_time": 1.0 + id / 10,
        "n_parameters": 1000,
        "error": None,
        "folds": folds,
        **more,
    }


def grid(**more):
    rates, dropouts, norms, optimizers = [0.001, 0.003, 0.01], [0.2, 0.4], [True, False], ["Adam", "SGD"]
    trials = []
    for id, (rate, dropout, norm, optimizer) in enumerate(product(rates, dropouts, norms, optimizers)):
        params = {"learning_rate": rate, "dropout": dropout, "batch_norm": norm, "optimizer": optimizer}
        noise = 0.0005 * (id * 7 % 5)
        trials.append(trial(id, params, 0.9 + 5 * rate + 0.02 * norm + noise))
    return results(trials, **more)


def results(trials, **more):
    return {
        "schema": "kerasgrid.results/1",
        "name": "mine",
        "status": "complete",
        "objective": {"name": "accuracy", "direction": "max"},
        "config": {"name": "mine"},
        "trials": trials,
        "summary": {"wall_time_s": 61.0},
        **more,
    }


@pytest.fixture
def write(tmp_path):
    def written(value):
        path = tmp_path / "mine.json"
        path.write_text(json.dumps(value))
        return path

    return written


@pytest.fixture
def predictions(tmp_path):
    """Out-of-fold predictions of trial 17 beside the results, two of thirty wrong."""
    labels = np.arange(30) % 3
    probabilities = np.full((30, 3), 0.01, np.float32)
    probabilities[np.arange(30), labels] = 0.9
    probabilities[[4, 7]] = [0.02, 0.03, 0.95]
    folder = tmp_path / "mine"
    folder.mkdir()
    classes = np.array(["cat", "dog", NASTY])
    np.savez(folder / "oof.npz", trial_17=probabilities, labels=labels, classes=classes, fold=labels)
    images = np.full((2, 6, 6, 3), 200, np.uint8)
    np.savez(folder / "mistakes.npz", trial=np.array(17), index=np.array([4, 7]), images=images)


class Page(HTMLParser):
    """Counts tags, and keeps what a browser would load or run."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.texts, self.ids = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action")]
        self.ids += [v for k, v in attrs if k == "id"]

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_says_what_was_learnt_and_shows_it(write, predictions):
    text = Report(write(grid())).html()
    page, said = Page(text), " ".join(Page(text).texts)
    for sentence in (
        "24 trials; compared by mean_test_score, accuracy (a larger one is better); searched for 61 s.",
        "Trial 17 is the best of 24 trials.",
        "batch_norm = true beats false in 12 of 12 matched pairs, by 0.0199 on average (0.0191 to 0.0207).",
        "The best learning_rate is the largest tried (0.01): try larger, such as 0.03",
        "dropout = 0.",
        "cannot be told from",
        "More epochs would help trial 17",
        "Trial 17 puts 2 of 30 held-out samples (6.67%) into a wrong class.",
        "Nothing: no trial failed, all have a score, and none looks dead.",
        "Nadeau and Bengio",
        "exact, since every combination of values has a score",
    ):
        assert sentence in said, sentence
    assert page.tags.count("svg") == 5  # front, effects, importance, curves, confusion
    assert page.tags.count("img") == 2
    assert len(page.ids) == len(set(page.ids))


def test_pictures_take_their_colours_from_the_page(write):
    text = Report(write(grid())).html()
    svg = "".join(re.findall(r"<svg.*?</svg>", text, re.DOTALL))
    assert "var(--accent)" in svg
    assert not re.search(r"(fill|stroke): #", svg)
    assert "<text" in svg
    assert "@media (prefers-color-scheme: dark)" in text


def test_markdown_has_sentences_and_tables_and_escapes_its_own_marks(write, predictions):
    value = grid()
    value["trials"][3]["params"]["optimizer"] = "a|b*c"
    text = Report(write(value)).markdown()
    assert text.startswith("# mine: what was learnt\n\n24 trials")
    assert "| rank | trial | mean\\_test\\_score |" in text
    assert "a\\|b\\*c" in text
    for block in text.split("\n\n"):
        lines = block.splitlines() if block.startswith("| ") else []
        assert len({re.sub(r"\\\|", "", line).count("|") for line in lines}) <= 1
    for line in (
        "| 17 | 0.9720 ± 0.0010 | 2.7 s |",
        "| 8 | 0.7100 | 0.7800 | 0.7100 |",
        "| dog | 0 | 8 | 2 |",
    ):
        assert line in text, line
    assert re.search(r"\| learning\\_rate \| \d\d\.\d% \|", text)
    assert "<svg" not in text
    assert "cat, taken for" not in text
    assert "- dog, taken for \\<script\\>" in text


def test_json_has_all_numbers_and_the_sentences(write, predictions):
    def strict(constant):
        raise AssertionError(constant)

    value = json.loads(Report(write(grid())).json(), parse_constant=strict)
    assert len(value["leaderboard"]) == 24
    assert value["leaderboard"][0]["trial"] == 17
    assert value["mistakes"]["confusion"][1] == [0, 8, 2]
    assert value["effects"]["batch_norm"][0]["wins"] == 12
    assert value["leaderboard"][0]["n_parameters"] == 1000
    assert value["curves"]["17"]["test_loss"] == pytest.approx([1 - 0.09 * epoch for epoch in range(8)])
    assert value["mistakes_missing"] is None
    assert value["sentences"][0] == "Trial 17 is the best of 24 trials."


def test_json_says_why_there_are_no_mistakes(write):
    value = json.loads(Report(write(grid())).json())
    assert value["mistakes"] is None
    assert "oof.npz is missing" in value["mistakes_missing"]


@pytest.mark.parametrize(
    ("value", "sentences"),
    [
        (results([trial(0, {"a": 1}, 0.5)]), ["All candidates with a score have the same parameters."]),
        (
            results([trial(0, {"a": 1}, None, state="failed", error={"type": "E", "message": "bad"})]),
            ["No trial has a score yet", "1 trial failed: E: bad. (Trial 0.)"],
        ),
        (
            results([trial(i, {"a": i}, 0.5 + i / 10, folds=[], mean_fit_time=None) for i in range(3)]),
            [
                "The file has no histories of epochs.",
                "The file has no fit times",
                "there are none here",
                "too few candidates for an interval",
                "oof.npz is missing: a search of kerasgrid writes it when it ends.",
            ],
        ),
        (
            [{"a": i % 2, "b": i // 2, "accuracy": 0.5 + i / 10} for i in range(4)],
            [
                "Only a search of kerasgrid keeps predictions",
                "No parameter's best value is clearly at the edge",
            ],
        ),
        (
            results(
                [trial(0, {"a": 1}, 0.5, dead="one class for all"), trial(1, {"a": 2}, 0.6)], status="running"
            ),
            ["1 trial learnt nothing: one class for all. (Trial 0.)", "status: running"],
        ),
    ],
)
def test_what_is_missing_is_said(write, value, sentences):
    report = Report(write(value))
    page = " ".join(Page(report.html()).texts)
    for sentence in sentences:
        assert sentence in page, sentence
    assert report.markdown()
    json.loads(report.json())


def test_random_candidates_are_told_by_importance(write):
    numbers = np.random.default_rng(0)
    trials = []
    for id in range(120):
        params = {"rate": float(numbers.uniform(0.1, 1)), "norm": bool(numbers.integers(2))}
        trials.append(trial(id, params, 0.8 + 0.1 * params["rate"] + 0.03 * params["norm"]))
    text = " ".join(Report(write(results(trials))).sentences())
    assert "rate: has too many values to be compared one by one (120); it accounts for" in text
    assert re.search(r"most of the best 12 have 0\.\d+ to 0\.9\d+", text)
    assert "12 of the best 12 have true" in text


def test_a_search_that_has_not_begun_has_no_report(write):
    with pytest.raises(ResultsError, match="no trial has begun yet, so there is nothing to report"):
        Report(write(results([])))


@pytest.mark.parametrize(
    "image",
    [
        np.full((2, 3, 1), 16, np.uint8),
        np.full((2, 3, 3), 255, np.uint8),
        np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3, 1),
        np.full((2, 3, 1), np.nan, np.float32),
        np.zeros((2, 3, 4), np.uint8),
    ],
)
def test_images_of_any_scale_become_pngs(image):
    import io

    from PIL import Image

    found = Image.open(io.BytesIO(png(image)))
    assert found.size == (3, 2)
    if image.dtype == np.uint8 and image.shape[-1] == 3:
        assert np.asarray(found).min() == 255


@pytest.mark.parametrize("name", ["acc $^$ of", "$\\frac{", "$", "a\x1b[1m\nb", "y" * 500, "_z"])
def test_names_are_shown_in_pictures_as_they_are(write, predictions, name):
    """What stands between two $ is a formula to matplotlib, and not here; nor is there a warning."""
    shown = visible_line(name)[:10]
    named = grid(objective={"name": name, "direction": "max"}, name=name)
    for place, row in enumerate(named["trials"]):
        row["params"][name] = f"{name}{place % 2}"
        for fold in row["folds"]:
            fold["history"] = {f"test_{name}": [0.5, 0.6], name: [0.5, 0.6]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = [
            *re.findall(r"<svg.*?</svg>", Report(write(named)).html(), re.DOTALL),
            intervals_picture([(name, 0.1, None, None)], name, "Effects", "").svg(),
            confusion_picture(np.array([[5, 4], [0, 6]]), [name, "a"]).svg(),
        ]
    assert sum(shown in html.unescape(picture) for picture in pictures) >= 3
    assert all(picture.encode() for picture in pictures)


def test_numbers_of_frequent_confusions_can_be_read_on_dark_pages_and_names_are_of_any_script():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = confusion_picture(np.array([[5, 4, 1], [0, 6, 0], [0, 0, 7]]), ["猫", "🦉", "a"]).svg()
    assert "猫" in svg
    numbers = {number: color for color, number in re.findall(r"fill: (var\([a-z-]+\))[^>]*>(\d)</text>", svg)}
    assert numbers == {
        "5": "var(--ink)",
        "4": "var(--on-warm)",
        "1": "var(--ink)",
        "6": "var(--ink)",
        "7": "var(--ink)",
    }


ODD = [[1, 2], None, {"a": 1}, "x" * 500, 10**400, -0.0, True, 1, 1.0]


def test_whatever_the_trials_are_there_is_a_report(write):
    """States, gaps and values at random: nothing is told wrong enough to raise."""
    numbers = random.Random(0)
    for _ in range(20):
        value = grid()
        value["trials"] = numbers.sample(value["trials"], numbers.choice([1, 2, 5, 24]))
        value["objective"]["direction"] = numbers.choice(["max", "min"])
        for one in value["trials"]:
            change = numbers.choice(
                [
                    {},
                    {},
                    {
                        "state": "failed",
                        "error": numbers.choice([None, "text"]),
                        "mean_test_score": None,
                        "folds": [],
                    },
                    {"state": "pruned"},
                    {"mean_fit_time": None, "n_parameters": None},
                    {"folds": one["folds"][:1]},
                    {"params": {**one["params"], "dropout": numbers.choice(ODD)}},
                    {"params": {"learning_rate": 0.1}},
                    {"mean_test_score": None, "std_test_score": None, "dead": "one class"},
                ]
            )
            one |= change
        report = Report(write(value))
        json.loads(report.json())
        assert report.markdown()
        if report.findings.best is not None and report.findings.design.factors:
            assert suggest(report.findings)


def test_of_a_file_that_is_not_ours_it_is_said_what_its_columns_were_taken_for(tmp_path):
    rows = [
        {"width": width, "rate": rate, "train_time": width, "accuracy": width / 10 + rate}
        for width in (1, 2, 4)
        for rate in (0.1, 0.2)
    ]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    text = Report(tmp_path / "list.json").markdown()
    assert "compared by accuracy (a larger one is better); taken as parameters: width, rate." in text
    assert "no fit times" not in text


def test_curves_of_one_epoch_are_drawn_as_dots(write):
    trials = [trial(id, {"rate": rate}, 0.8 + rate) for id, rate in enumerate((0.1, 0.01))]
    for own in trials:
        for fold in own["folds"]:
            fold["history"] = {name: values[:1] for name, values in fold["history"].items()}
    findings = Report(write(results(trials))).findings
    drawn = curves_picture(findings).svg()
    assert "fill: var(--accent)" in drawn  # matplotlib's markers
    assert "fill: var(--warm)" in drawn


def test_curves_with_gaps_are_told_as_such(write):
    trials = [trial(id, {"rate": rate}, 0.8 + rate) for id, rate in enumerate((0.1, 0.01))]
    for own in trials:
        for fold in own["folds"]:
            fold["history"] = {name: [None, *values[1:]] for name, values in fold["history"].items()}
    text = Report(write(results(trials))).markdown()
    assert "The files of the histories are missing, or every metric in them has gaps." in text
