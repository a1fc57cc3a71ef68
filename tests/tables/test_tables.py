import json
import math
import random
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from kerasgrid.driver.results import Results
from kerasgrid.errors import KerasgridError, ResultsError
from kerasgrid.report.findings import analyse
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.reading import read_table, results_table

A1 = [
    {
        "batch_size": 512,
        "optimizer": "Adam",
        "mean_test_score": 0.98,
        "std_test_score": 0.002,
        "mean_fit_time": 6.1,
    },
    {
        "batch_size": 1024,
        "optimizer": "RMSprop",
        "mean_test_score": 0.97,
        "std_test_score": 0.001,
        "mean_fit_time": 5,
    },
]


def trial(id=0, params=None, **changes):
    return {
        "id": id,
        "params": {"dropout": 0.2} if params is None else params,
        "state": "complete",
        "mean_test_score": 0.9,
        "std_test_score": 0.01,
        "rank_test_score": 1,
        "mean_fit_time": 6.0,
        "n_parameters": 100,
        "error": None,
        "folds": [],
        **changes,
    }


def results(*trials, **changes):
    return {
        "schema": "kerasgrid.results/1",
        "name": "fc",
        "objective": {"name": "accuracy", "direction": "max"},
        "config": {},
        "trials": list(trials),
        **changes,
    }


def written(tmp_path, content, name="grid.json"):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def cv_results():
    """A real cv_results_: conditional parameters, and a candidate whose scores are NaN."""
    X = np.array([[0.0], [0.2], [0.8], [1.0]] * 4)
    y = np.array([0, 0, 1, 1] * 4)
    grid = [{"C": [0.1, 1.0]}, {"C": [-1.0], "l1_ratio": [0.5]}]
    with warnings.catch_warnings(action="ignore"):
        return GridSearchCV(LogisticRegression(), grid, cv=2).fit(X, y).cv_results_


class TestOurs:
    def test_columns_rows_and_source(self, tmp_path):
        table = read_table(written(tmp_path, results(trial(3, {"dropout": 0.2, "epochs": 15}))))
        assert table.source == "fc"
        assert table.params == ("dropout", "epochs")
        assert table.scores == ("mean_test_score", "std_test_score", "mean_fit_time")
        assert table.details[-3:] == ("dead", "decided_on", "error")
        assert table.metric == "accuracy"
        assert dict(table.rows[0]) == {
            "trial": 3,
            "dropout": 0.2,
            "epochs": 15,
            "state": "complete",
            "mean_test_score": 0.9,
            "std_test_score": 0.01,
            "mean_fit_time": 6.0,
            "rank_test_score": 1,
            "n_parameters": 100,
            "dead": None,
            "decided_on": None,
            "error": None,
        }

    def test_scores_decided_on_the_test_fold_and_dead_nets_are_marked(self):
        given = results(trial(0), trial(1, dead="weights exploded"))
        given["objective"]["decided_on"] = "test_fold"
        table = results_table(ResultsData(given))
        assert table.source == "fc, decided on the test fold"
        assert [row["decided_on"] for row in table.rows] == ["test_fold"] * 2
        assert [row["dead"] for row in table.rows] == [None, "weights exploded"]

    def test_failed_and_running_trials_keep_their_rows(self):
        failed = trial(1, state="failed", mean_test_score=None, error={"type": "OSError", "message": "gone"})
        running = {"id": 2, "params": {"dropout": 0.4}, "state": "running"}
        rows = results_table(ResultsData(results(trial(0), failed, running))).rows
        assert [row["state"] for row in rows] == ["complete", "failed", "running"]
        assert [row["mean_test_score"] for row in rows] == [0.9, None, None]
        assert [row["error"] for row in rows] == [None, "OSError: gone", None]

    def test_conditional_parameters_are_absent_where_they_do_not_apply(self):
        table = results_table(ResultsData(results(trial(0, {"a": 1}), trial(1, {"a": 2, "b": None}))))
        assert table.params == ("a", "b")
        assert "b" not in table.rows[0]
        assert table.rows[1]["b"] is None

    def test_other_metrics_are_means_over_folds(self):
        folds = [{"metrics": {"accuracy": 0.9, "loss": 0.1}}, {"metrics": {"accuracy": 0.9, "loss": 0.3}}]
        table = results_table(ResultsData(results(trial(folds=folds))))
        assert table.scores == ("mean_test_score", "std_test_score", "mean_test_loss", "mean_fit_time")
        assert table.rows[0]["mean_test_loss"] == pytest.approx(0.2)

    def test_histories_of_the_folds(self):
        folds = [{"history": {"loss": [2.0, 1.0]}}, {"history": {}}, {"history": {"loss": [3.0]}}]
        assert results_table(ResultsData(results(trial(folds=folds)))).histories == (
            ({"loss": [2.0, 1.0]}, {"loss": [3.0]}),
        )

    def test_histories_of_repeats_and_in_files(self, tmp_path):
        repeats = [{"history": {"loss": [2.0]}}, {"history": {}, "history_file": "histories/trial-0.json"}]
        table = read_table(written(tmp_path, results(trial(folds=[{"repeats": repeats}]))))
        assert table.histories == (({"loss": [2.0]}, tmp_path / "grid" / "histories" / "trial-0.json"),)

    @pytest.mark.parametrize(
        "space",
        [
            {"rate": {"low": 1e-4, "high": 1e-2, "log": True}, "dropout": {"low": 0.1, "high": 0.5}},
            [{"dropout": [0.2]}, {"rate": {"low": 1e-4, "high": 1e-2, "log": True}}],
        ],
    )
    def test_log_ranges_come_from_the_space(self, space):
        table = results_table(
            ResultsData(results(trial(0, {"rate": 0.001, "dropout": 0.2}), config={"space": space}))
        )
        assert table.log_params == {"rate"}

    def test_direction(self):
        loss = {"name": "loss", "direction": "min"}
        assert results_table(ResultsData(results(trial(), objective=loss))).direction == "min"
        assert results_table(ResultsData(results(trial()))).direction == "max"

    def test_parameters_called_like_our_columns(self):
        table = results_table(ResultsData(results(trial(0, {"state": "on", "mean_test_score": 1}))))
        assert table.params == ("state (param)", "mean_test_score (param)")
        assert table.rows[0]["state"] == "complete"
        assert table.rows[0]["state (param)"] == "on"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (results(schema="kerasgrid.results/2"), "'kerasgrid.results/2' was written by another version"),
            (results(schema=None), "schema is None, which is no results file"),
            (results(trials={}), "trials is an object; a list is expected there"),
            (results(5), "trials[0] is a number; an object is expected there"),
            (results(trial(params=[])), "trials[0].params is a list; an object is expected there"),
            (results(trial(mean_test_score="good")), "trials[0].mean_test_score is text; a number or null"),
            (results(trial(folds=[1])), "trials[0].folds[0] is a number; an object is expected there"),
            (results(trial(folds="x")), "trials[0].folds is text; a list is expected there"),
            (results(objective=3), "objective is a number; an object is expected there"),
        ],
    )
    def test_faults(self, tmp_path, content, message):
        path = written(tmp_path, content)
        with pytest.raises(ResultsError) as caught:
            read_table(path)
        assert str(path) in str(caught.value)
        assert message in str(caught.value)


class TestFlatList:
    def test_experiment_a1(self, tmp_path):
        table = read_table(written(tmp_path, A1, "fc.json"))
        assert table.source == "fc"
        assert table.params == ("batch_size", "optimizer")
        assert table.scores == ("mean_test_score", "std_test_score", "mean_fit_time")
        assert table.rows == tuple(A1)
        assert table.direction == "max"

    @pytest.mark.parametrize(
        ("columns", "scores", "direction"),
        [
            ({"lr": 0.1, "val_loss": 0.3, "val_accuracy": 0.9}, ("val_loss", "val_accuracy"), "min"),
            ({"accuracy": 0.9, "units": 64}, ("accuracy",), "max"),
            (
                {"loss": "mse", "units": 64, "test_auc": 0.9, "train_time": 4.0},
                ("test_auc", "train_time"),
                "max",
            ),
            ({"units": 64, "result": 0.5}, ("result",), "max"),
            ({"timesteps": 10, "lossless": 1, "rmse": 2.0}, ("rmse",), "min"),
            ({"units": 64, "val_binary_crossentropy": 0.3}, ("val_binary_crossentropy",), "min"),
            ({"units": 64, "val_logloss": 0.3}, ("val_logloss",), "min"),
            ({"learning_rate": 0.1, "error_rate": 0.3}, ("error_rate",), "min"),
            ({"units": 64, "test_kl_divergence": 0.3}, ("test_kl_divergence",), "min"),
            (
                {"units": 64, "mean_squared_logarithmic_error": 1.0},
                ("mean_squared_logarithmic_error",),
                "min",
            ),
            ({"units": 64, "val_cosine_similarity": 0.3}, ("val_cosine_similarity",), "max"),
        ],
    )
    def test_scores_are_told_by_their_names(self, tmp_path, columns, scores, direction):
        table = read_table(written(tmp_path, [columns]))
        assert table.scores == scores
        assert table.direction == direction
        assert table.params == tuple(name for name in columns if name not in scores)

    def test_params_in_an_object_of_their_own(self, tmp_path):
        record = {"id": 7, "params": {"units": 64}, "note": "x", "quality": 0.5}
        table = read_table(written(tmp_path, [record]))
        assert (table.params, table.scores, table.details) == (("units",), ("quality",), ("id", "note"))

    def test_trials_are_not_called_by_what_is_neither_text_nor_number(self, tmp_path):
        records = [{"id": id, "a": 1, "score": 0.5} for id in ({}, [])]
        assert all("trial" not in row for row in read_table(written(tmp_path, records)).rows)

    def test_a_parameter_may_have_no_name(self, tmp_path):
        table = read_table(written(tmp_path, results(trial(0, {"": 1}), trial(1, {"": 2}))))
        assert [row[""] for row in table.rows] == [1, 2]

    def test_nan_and_infinity_are_no_scores(self, tmp_path):
        table = read_table(written(tmp_path, '[{"a": 1, "score": NaN}, {"a": 2, "score": Infinity}]'))
        assert [row["score"] for row in table.rows] == [None, None]

    def test_log_scale_where_values_span_decades(self, tmp_path):
        records = [{"rate": 10 ** (-4 + i / 8), "dropout": i / 40, "score": i} for i in range(25)]
        assert read_table(written(tmp_path, records)).log_params == {"rate"}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([], "an empty list"),
            ([1, 2], "item 0 of the list is a number, not an object"),
            ([{"a": 1}, None], "item 1 of the list is null or missing, not an object"),
            ([{"a": "x", "b": True}], "none of the columns is a score, which is numeric: a, b"),
        ],
    )
    def test_faults(self, tmp_path, content, message):
        with pytest.raises(ResultsError, match=message):
            read_table(written(tmp_path, content))


class TestCvResults:
    def forms(self, cv_results, tmp_path):
        lists = {
            name: column.tolist() if hasattr(column, "tolist") else column
            for name, column in cv_results.items()
        }
        frame = pd.DataFrame(cv_results)
        yield written(tmp_path, lists)
        yield written(tmp_path, frame.to_csv())
        yield written(tmp_path, frame.to_csv(index=False, sep=";"))
        yield written(tmp_path, frame.to_json())
        yield written(tmp_path, frame.to_json(orient="records"))
        yield written(tmp_path, frame.drop(columns="params").to_json())

    def test_json_and_csv_give_the_same_table(self, cv_results, tmp_path):
        for path in self.forms(cv_results, tmp_path):
            table = read_table(path)
            assert table.params == ("C", "l1_ratio")
            assert table.scores == ("mean_test_score", "std_test_score", "mean_fit_time")
            assert table.details[-3:] == ("split0_test_score", "split1_test_score", "rank_test_score")
            assert [row["C"] for row in table.rows] == [0.1, 1.0, -1.0]
            assert [row.get("l1_ratio") for row in table.rows] == [None, None, 0.5]
            assert [row["mean_test_score"] for row in table.rows] == [1.0, 1.0, None]
            assert table.direction == "max"

    def test_several_metrics(self, tmp_path):
        content = {
            "params": [{"a": 1}],
            "mean_train_f1": [1.0],
            "mean_test_f1": [0.5],
            "std_test_f1": [0.1],
            "mean_test_neg_log_loss": [-0.3],
            "rank_test_f1": [1],
        }
        table = read_table(written(tmp_path, content))
        assert table.scores == ("mean_test_f1", "mean_test_neg_log_loss", "mean_train_f1", "std_test_f1")
        assert table.direction == "max"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                {"params": [{}], "mean_test_score": [1, 2]},
                r"differ in length \(params: 1, mean_test_score: 2\)",
            ),
            ({"mean_test_score": []}, "no columns with values"),
            ({}, "no columns with values"),
            ({"accuracy": 0.9}, "'accuracy' is a number, where a column of values was expected"),
        ],
    )
    def test_faults(self, tmp_path, content, message):
        with pytest.raises(ResultsError, match=message):
            read_table(written(tmp_path, content))


class TestCsv:
    def test_cells(self, tmp_path):
        text = "\ufeffunits,bn,act,lr,drop,accuracy\n64,True,relu,1e-3,,0.9\n128,false,nan,.5,None,nan\n"
        table = read_table(written(tmp_path, text, "runs.csv"))
        assert table.source == "runs"
        assert table.rows == (
            {"units": 64, "bn": True, "act": "relu", "lr": 0.001, "drop": None, "accuracy": 0.9},
            {"units": 128, "bn": False, "act": None, "lr": 0.5, "drop": None, "accuracy": None},
        )

    def test_a_number_that_is_not_there_is_a_parameter_that_the_trial_does_not_have(self, tmp_path):
        text = "param_kernel,param_gamma,param_weight,mean_test_score\nlinear,,,0.8\nrbf,0.1,balanced,0.9\n"
        table = read_table(written(tmp_path, text, "svc.csv"))
        assert table.params == ("kernel", "gamma", "weight")
        assert table.rows == (
            {"kernel": "linear", "weight": None, "mean_test_score": 0.8},
            {"kernel": "rbf", "gamma": 0.1, "weight": "balanced", "mean_test_score": 0.9},
        )

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_delimiters(self, tmp_path, delimiter):
        table = read_table(written(tmp_path, f"a{delimiter}score\r\n1{delimiter}0.5\r\n\r\n"))
        assert table.rows == ({"a": 1, "score": 0.5},)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,score\n1,2,3\n", r"grid.json:2: 3 cells, but the header has 2"),
            ("a,score\n", "no rows below the header line"),
            ("a,a,score\n1,2,3\n", "the header has 'a' more than once"),
            ("hello world\nthis is prose\n", "none of the columns is a score"),
            (
                ",".join(f"pixel{n}" for n in range(64)) + "\n" + ",".join("0" * 64) + "\n",
                "64 numeric columns, none a score by its name: are these samples, such as images",
            ),
            ('a,score\n1,"' + "x" * 2_000_000, "no CSV"),
        ],
    )
    def test_faults(self, tmp_path, text, message):
        with pytest.raises(ResultsError, match=message):
            read_table(written(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", "is a picture, and results are needed here. Known are: "),
        (b"\x00\xff\xfe", "no text in UTF-8"),
        (b"abc\0def", "zero bytes"),
        ('{"schema": "kerasgrid.results/1", "trials": [', "the JSON ends too early"),
        ('[{"a": 1}, {"a', "the JSON ends too early"),
        ('{"a": oops, "b": [1, 2, 3], "c": 4}', "no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('[{"a": ' + "9" * 5000 + "}]", "no JSON that can be read"),
    ],
)
def test_broken_files(tmp_path, content, message):
    path = written(tmp_path, content)
    with pytest.raises(ResultsError, match=message) as caught:
        read_table(path)
    assert str(path) in str(caught.value)


def test_missing_files_and_folders(tmp_path):
    written(tmp_path, A1, "grid.json")
    with pytest.raises(ResultsError, match=r"there is no such file. That folder has: grid.json"):
        read_table(tmp_path / "gird.json")
    with pytest.raises(ResultsError, match="is a folder"):
        read_table(tmp_path)


def test_numbers_beyond_any_float(tmp_path):
    table = read_table(written(tmp_path, '[{"a": ' + "9" * 400 + ', "score": ' + "9" * 400 + "}]"))
    assert table.rows[0]["score"] is None
    assert not math.isfinite(float("9" * 400))


def test_numbers_of_more_digits_than_python_reads(tmp_path):
    long = "9" * 5000
    text = f"rate,split{long}_test_score,split1_test_score,mean_test_score\n{long},0.5,0.7,0.6\n"
    table = read_table(written(tmp_path, text, "cv.csv"))
    assert table.rows[0]["rate"] == long
    assert table.fold_scores == ((0.7, 0.5),)


def test_a_frame_of_ours_as_a_csv_has_its_parameters_alone(tmp_path):
    own = results(*(trial(i, {"rate": 0.1 * (i + 1)}, n_parameters=100 + i) for i in range(5)))
    Results(own).frame().to_csv(tmp_path / "frame.csv")
    table = read_table(tmp_path / "frame.csv")
    assert table.params == ("rate",)
    assert table.scores[:2] == ("mean_test_score", "std_test_score")


def test_optunas_own_csv(tmp_path):
    rows = [
        {
            "number": i,
            "value": 0.5 + i / 10,
            "datetime_start": f"2026-01-0{i + 1} 10:00:00",
            "duration": f"0 days 00:00:0{i}",
            "params_lr": 0.1 * i,
            "params_units": 16 * i,
            "user_attrs_note": "x",
            "state": "COMPLETE" if i < 4 else "FAIL",
        }
        for i in range(5)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "trials.csv")
    table = read_table(tmp_path / "trials.csv")
    assert (table.params, table.scores) == (("lr", "units"), ("value",))
    assert [row["state"] for row in table.rows] == ["complete"] * 4 + ["failed"]


@pytest.mark.parametrize(
    ("name", "called", "wanted"),
    [
        ("number", [17, 9, 0], [17, 9, 0]),
        ("id", ["a", "b", "c"], ["a", "b", "c"]),
        ("id", [1, 1, 2], [0, 1, 2]),
        ("trial_id", [1, None, 2], [0, 1, 2]),
    ],
)
def test_trials_are_called_as_the_file_calls_them(tmp_path, name, called, wanted):
    records = [{name: id, "units": 2**place, "score": 0.5} for place, id in enumerate(called)]
    found = analyse(read_table(written(tmp_path, records)))
    assert [found.trial(row) for row in range(3)] == wanted


def test_texts_that_differ_in_all_rows_are_no_parameter(tmp_path):
    records = [
        {
            "width": w,
            "model": f"m{w}.keras",
            "Name": f"run-{w}",
            "Runtime": 3.0 + w,
            "note": None,
            "accuracy": w,
        }
        for w in range(4)
    ]
    table = read_table(written(tmp_path, records))
    assert table.params == ("width",)
    assert table.scores == ("accuracy", "Runtime")
    few = read_table(written(tmp_path, [{"net": name, "accuracy": 1} for name in "ab"], "few.json"))
    assert few.params == ("net",)


def test_every_mutation_ends_in_a_table_or_our_error(tmp_path):
    random_ = random.Random(0)
    seeds = [
        json.dumps(results(trial(), trial(1, state="failed", error={"type": "E", "message": "m"}))).encode(),
        json.dumps(A1).encode(),
        json.dumps({"params": [{"a": 1}], "param_a": [1], "mean_test_score": [0.5]}).encode(),
        b"a,b,score\n1,x,0.5\n2,y,0.6\n",
    ]
    tables, messages = 0, []
    for _ in range(1000):
        data = bytearray(random_.choice(seeds))
        for _ in range(random_.randint(1, 4)):
            start = random_.randrange(len(data))
            change = random_.choice(
                [b"", b"{", b"]", b"null", b'"', b"\xff", b"1e999", b"[]", b",", bytes(data[:9])]
            )
            data[start : start + random_.randint(0, 8)] = change
            data = data or bytearray(b" ")
        try:
            read_table(written(tmp_path, bytes(data)))
            tables += 1
        except KerasgridError as error:
            messages.append(str(error))
    assert 50 < tables < 950
    assert all(str(tmp_path) in message for message in messages)
