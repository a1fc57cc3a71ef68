import itertools
import json
import re
import shutil
import subprocess
import sys
import zlib

import hiplot
import numpy as np
import pytest

from kerasgrid.errors import MissingPackageError, ResultsError
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.reading import results_table
from kerasgrid.views.hiplot import show, write_page

MARK = "document.body.dataset.ran=1"
HOSTILE = [
    f"</script><script>{MARK}</script>",
    f"<img src=x onerror={MARK}>",
    f"\"'`${{{MARK}}}'><svg onload={MARK}>",
    f"&lt;img src=x onerror={MARK}&gt;",
    "]]>--><!--<script>",
]
A1 = {
    "batch_size": [512, 2048],
    "epochs": [15, 30],
    "optimizer": ["RMSprop", "Adam"],
    "learning_rate": [0.001, 0.01],
    "batch_norm": [True, False],
    "dropout": [0.2, 0.4],
}


def trial(id, params, score=0.9, **changes):
    return {
        "id": id,
        "params": params,
        "state": "complete" if score is not None else "failed",
        "mean_test_score": score,
        "std_test_score": score and score / 100,
        "mean_fit_time": score and 5 + id % 7,
        "error": None if score is not None else {"type": "MemoryError", "message": "out of memory"},
        "folds": [],
        **changes,
    }


def table(trials, name="fc", space=None, direction="max"):
    return results_table(
        ResultsData(
            {
                "schema": "kerasgrid.results/1",
                "name": name,
                "objective": {"name": "accuracy", "direction": direction},
                "config": {"space": space or {}},
                "trials": trials,
            }
        )
    )


def grid(failed=(), epochs=0, **options):
    """Experiment A1: 64 trials, of which those with the given ids failed."""
    trials = []
    for id, values in enumerate(itertools.product(*A1.values())):
        params = {**dict(zip(A1, values, strict=True)), "activation": "relu"}
        curve = {"test_accuracy": [1 - 1 / (epoch + 2 + id / 30) for epoch in range(epochs)]}
        score = None if id in failed else 0.95 + id / 2000
        trials.append(trial(id, params, score, folds=[{"history": curve}] if epochs else []))
    return table(trials, space=A1, **options)


def definitions(experiment):
    return {name: value.type.value for name, value in experiment.parameters_definition.items()}


class TestExperiment:
    def test_parameters_left_scores_right_and_the_objective_outermost(self):
        shown = show([grid(failed=[3])]).display_data(hiplot.Displays.PARALLEL_PLOT)
        left_to_right = shown["order"][::-1]
        assert left_to_right == [*A1, "state", "mean_fit_time", "std_test_score", "mean_test_score"]
        assert shown["invert"] == []

    def test_coloured_by_the_objective(self):
        experiment = show([grid()])
        assert experiment.colorby == "mean_test_score"
        assert experiment.colormap == "interpolateTurbo"

    def test_a_smaller_objective_stands_above(self):
        shown = show([grid(direction="min")])
        assert shown.display_data(hiplot.Displays.PARALLEL_PLOT)["invert"] == ["mean_test_score"]
        assert shown.display_data(hiplot.Displays.TABLE)["order_by"] == [["mean_test_score", "asc"]]

    def test_what_does_not_vary_is_in_the_table_alone(self):
        experiment = show([grid()])
        hidden = experiment.display_data(hiplot.Displays.PARALLEL_PLOT)["hide"]
        assert {"uid", "from_uid", "activation", "trial", "state"} <= set(hidden)
        order = experiment.display_data(hiplot.Displays.TABLE)["order"]
        assert order == [
            "trial",
            *A1,
            "activation",
            "mean_test_score",
            "std_test_score",
            "mean_fit_time",
            "state",
        ]
        assert experiment.display_data(hiplot.Displays.TABLE)["hide"] == ["uid", "from_uid"]

    def test_failed_trials_keep_their_line_without_a_score(self):
        experiment = show([grid(failed=[3])])
        values = experiment.datapoints[3].values
        assert values["mean_test_score"] is None
        assert values["error"] == "MemoryError: out of memory"
        assert values["dropout"] == 0.4
        assert experiment.display_data(hiplot.Displays.TABLE)["order_by"] == [
            ["state", "asc"],
            ["mean_test_score", "desc"],
        ]

    def test_types(self):
        space = {"rate": {"low": 1e-4, "high": 1e-1, "log": True}}
        trials = [
            trial(
                i,
                {
                    "rate": 10 ** (-4 + i / 50),
                    "dropout": i / 300,
                    "units": 2 ** (4 + i % 6),
                    "bn": i % 2 == 0,
                    "tag": f"t{i}",
                },
                i / 150,
            )
            for i in range(150)
        ]
        experiment = show([table(trials, space=space)])
        found = definitions(experiment)
        assert found["rate"] == "numericlog"
        assert found["dropout"] == "numeric"
        assert found["mean_test_score"] == "numeric"
        assert found["units"] == found["bn"] == found["tag"] == "categorical"
        assert experiment.datapoints[0].values["units"] == " 16"
        parallel = experiment.display_data(hiplot.Displays.PARALLEL_PLOT)
        assert parallel["categoricalMaximumValues"] > 150
        assert "tag" in parallel["order"]

    def test_conditional_parameters_are_left_out_of_the_point(self):
        experiment = show(
            [table([trial(0, {"a": 1}), trial(1, {"a": 2, "b": None}), trial(2, {"a": 2, "b": 3})])]
        )
        assert ["b" in point.values for point in experiment.datapoints] == [False, True, True]

    def test_several_sources(self):
        experiment = show([grid(), grid(name="more"), table([trial(0, {"units": 3})])])
        assert experiment.colorby == "source"
        sources = [point.values["source"] for point in experiment.datapoints]
        assert [sources.count(name) for name in ("fc", "more", "fc (2)")] == [64, 64, 1]
        assert len({point.uid for point in experiment.datapoints}) == 129

    def test_no_two_points_of_long_names_share_a_uid(self):
        trials = [trial(id, {"units": id}) for id in range(1000)]
        experiment = show([table(trials, name="x" * 89 + end) for end in "ab"])
        uids = {point.uid for point in experiment.datapoints}
        assert len(uids) == 2000
        assert {"source 1, trial 0", "source 2, trial 999"} <= uids
        assert max(map(len, uids)) < 20

    def test_epochs_are_chained(self):
        experiment = show([grid(epochs=3)], epochs=True)
        assert len(experiment.datapoints) == 192
        first, second, third = experiment.datapoints[:3]
        assert (first.uid, first.from_uid) == ("trial 0, epoch 1", None)
        assert (second.from_uid, third.from_uid) == (first.uid, second.uid)
        assert experiment.display_data(hiplot.Displays.XY) == {
            "axis_x": "epoch",
            "axis_y": "test_accuracy",
            "height": 420,
        }
        assert experiment.enabledDisplays[0] == hiplot.Displays.XY
        experiment.validate()

    def test_reserved_and_hostile_names(self):
        params = {"uid": 1, "from_uid": 2, "__proto__": 3, **{name: name for name in HOSTILE}}
        experiment = show([table([trial(0, params), trial(1, {**params, "uid": 5})])])
        experiment.validate()
        text = json.dumps(experiment._asdict(), ensure_ascii=False)
        assert "<" not in text
        assert ">" not in text
        assert "&lt;" not in text

    def test_no_trials(self):
        with pytest.raises(ResultsError, match="no trial has begun yet"):
            show([table([])])

    def test_without_hiplot(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "hiplot", None)
        with pytest.raises(MissingPackageError, match="pip install hiplot"):
            show([grid()])


def test_the_page_is_one_file_with_a_title(tmp_path):
    target = write_page([grid(name="a </title> b")], tmp_path / "new" / "grid.html")
    assert target == tmp_path / "new" / "grid.html"
    assert [file.name for file in target.parent.iterdir()] == ["grid.html"]
    page = target.read_text(encoding="utf-8")
    assert "<title>a ‹/title› b</title>" in page
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//", page)


def test_ten_thousand_trials_stay_small(tmp_path):
    trials = [
        trial(
            i,
            {"rate": 10 ** (-4 + i / 5000), "units": 2 ** (i % 5), "act": ["relu", "tanh"][i % 2]},
            i / 10_000,
        )
        for i in range(10_000)
    ]
    page = write_page([table(trials)], tmp_path / "many.html")
    assert 2e6 < page.stat().st_size < 6e6


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=800,560",
    "--virtual-time-budget=8000",
    "--enable-logging=stderr",
    "--v=0",
    "--proxy-server=127.0.0.1:9",
    "--host-resolver-rules=MAP * ~NOTFOUND",
]
BROWSERS_OWN = re.compile(
    r"https?://(([\w-]+\.)*google\.com|([\w-]+\.)?gvt1\.com|update\.googleapis\.com)[:/]"
)


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the path")
class TestInChromium:
    @pytest.fixture
    def chromium(self, tmp_path):
        """Runs Chromium on a page; returns its standard output, the console's lines and foreign requests."""

        def run(page, *arguments):
            log = tmp_path / "net.json"
            profile = tmp_path / "profile"
            done = subprocess.run(
                [
                    CHROMIUM,
                    *FLAGS,
                    f"--user-data-dir={profile}",
                    f"--log-net-log={log}",
                    *arguments,
                    page.as_uri(),
                ],
                capture_output=True,
                text=True,
                timeout=120,
                check=True,
            )
            shutil.rmtree(profile)
            console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
            urls = re.findall(r'"url":"(https?://[^"]+)', log.read_text(encoding="utf-8", errors="replace"))
            return done.stdout, console, [url for url in urls if not BROWSERS_OWN.match(url)]

        return run

    @pytest.mark.parametrize(
        ("tables", "epochs", "shown", "has_lines"),
        [
            ([grid(failed=[5, 22], epochs=15)], False, "MemoryError: out of memory", True),
            ([grid(failed=[5], epochs=15)], True, ">test_accuracy<", True),
            ([grid(), grid(name="other")], False, ">other<", False),
            ([table([trial(0, {"units": 64})])], False, ">mean_test_score<", False),
            (
                [table([trial(i, {"units": i}, -18_234.5 - 100 * i) for i in range(40)])],
                False,
                "-18234.5",
                True,
            ),
            ([table([trial(0, {"units": 64}), trial(1, {"units": 32}, None)])], False, ">failed<", False),
            (
                [table([trial(i, {"tag": f"tag {i}"}, i / 200) for i in range(120)])],
                False,
                ">tag 119<",
                False,
            ),
        ],
        ids=["failed", "epochs", "sources", "one trial", "numbers", "one score", "many categories"],
    )
    def test_loads_without_network_or_complaint_and_draws_coloured_lines(
        self, chromium, tmp_path, tables, epochs, shown, has_lines
    ):
        page, picture = write_page(tables, tmp_path / "page.html", epochs=epochs), tmp_path / "page.png"
        dom, console, foreign = chromium(page, "--dump-dom", f"--screenshot={picture}")
        assert console == []
        assert foreign == []
        assert shown in dom
        assert "Selected:" in dom
        if has_lines:
            pixels = decode_png(picture.read_bytes())[100:].astype(int)
            coloured = pixels.max(axis=2) - pixels.min(axis=2) > 60
            assert coloured.sum() > 2000  # axes, labels and what failed are grey

    def test_text_stays_text(self, chromium, tmp_path):
        dom, console, _ = chromium(hostile_page(tmp_path), "--dump-dom")
        assert console == []
        assert "‹/script›‹script›" in dom
        assert "‹img src=x onerror=" in dom
        assert "data-ran" not in dom

    def test_the_test_above_would_see_text_that_runs(self, chromium, tmp_path, monkeypatch):
        monkeypatch.setattr("kerasgrid.views.hiplot._LOOK_ALIKES", {})
        assert "data-ran" in chromium(hostile_page(tmp_path), "--dump-dom")[0]


def hostile_page(folder):
    trials = [
        trial(
            i,
            {"kind": text, text: i, "nested": [text]},
            0.9,
            state="failed",
            error={"type": text, "message": text},
        )
        for i, text in enumerate(HOSTILE)
    ]
    return write_page(
        [table(trials, name=HOSTILE[0]), table(trials, name=HOSTILE[1])], folder / "hostile.html"
    )


def decode_png(data):
    """Returns the pixels (row, column, channel) of an 8-bit RGB or RGBA file; uint8."""
    width, height = np.frombuffer(data[16:24], ">u4")
    channels = {2: 3, 6: 4}[data[25]]
    packed, at = b"", 8
    while at < len(data):
        length = int.from_bytes(data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    above = [0] * (width * channels)
    pixels = np.empty((height, width, channels), np.uint8)
    for row, (kind, *line) in enumerate(lines.tolist()):
        for i in range(len(line)):
            left, corner = (line[i - channels], above[i - channels]) if i >= channels else (0, 0)
            up = above[i]
            if kind == 4:
                nearest = left + up - corner
                guess = min((left, up, corner), key=lambda value: abs(nearest - value))
            else:
                guess = (0, left, up, (left + up) // 2)[kind]
            line[i] = (line[i] + guess) & 255
        pixels[row] = np.reshape(line, (width, channels))
        above = line
    return pixels[..., :3]
