"""Files of results: what holds of the table of the same trials, whatever form they are written in."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from kerasgrid.errors import ResultsError
from kerasgrid.tables import reading
from kerasgrid.tables.reading import read_table
from kerasgrid.tables.table import Table

NAN = math.nan


@dataclass(frozen=True, eq=False)
class Told:
    """A trial as each form tells it: `folds` are the scores of two folds, which may be NaN."""

    params: dict[str, Any]
    folds: tuple[float, ...] = ()
    state: str = "complete"

    @property
    def mean(self) -> float:
        return sum(self.folds) / len(self.folds) if self.folds else NAN

    @property
    def score(self) -> float | None:
        """What a table says of it."""
        return self.mean if math.isfinite(self.mean) else None


PLAIN = (
    Told({"rate": 0.001, "act": "relu", "units": 16}, (0.75, 0.875)),
    Told({"rate": 0.01, "act": "relu", "units": 32}, (0.8125, 0.9375)),
    Told({"rate": 0.001, "act": "tanh"}, (0.5, 0.625)),
    Told({"rate": 0.01, "act": "tanh"}, state="failed"),
)
PRUNED = (*PLAIN[:3], Told({"rate": 0.01, "act": "tanh"}, (0.25, 0.5), state="pruned"))
NANS = (*PLAIN[:2], Told(PLAIN[2].params, (NAN, NAN)), Told(PLAIN[3].params, (math.inf, math.inf)))
TEXTS = (
    "ಕನ್ನಡ 😀",
    "</script><img src=x onerror=alert(1)>",
    'a, "b"; c\td',
    "\x1b[31mred\x1b[0m",
    "$x^2$ | `a` *b*",
)
HOSTILE = tuple(
    Told({name: name[:: (-1) ** (place + shift)] for shift, name in enumerate(TEXTS)}, (0.5, 0.75))
    for place in range(4)
)
ONE = (Told({"rate": 0.5}, (0.25, 0.75)),)


def columns_of(trials):
    return list(dict.fromkeys(name for trial in trials for name in trial.params))


def write_ours(folder, trials, direction):
    rows = [
        {
            "id": place,
            "params": told.params,
            "state": told.state,
            "mean_test_score": told.mean if told.folds else None,
            "std_test_score": 0.0625 if told.folds else None,
            "mean_fit_time": 2.0,
            "error": None if told.folds else {"type": "ValueError", "message": "too wide"},
            "folds": [{"fold": fold, "test_score": score} for fold, score in enumerate(told.folds)],
        }
        for place, told in enumerate(trials)
    ]
    objective = {"name": "accuracy" if direction == "max" else "loss", "direction": direction}
    about = {"schema": "kerasgrid.results/1", "name": "mine", "objective": objective, "trials": rows}
    (folder / "mine.json").write_text(json.dumps(about))
    return folder / "mine.json"


def write_list(folder, trials, direction):
    score = "val_accuracy" if direction == "max" else "val_loss"
    rows = [{**told.params, score: told.mean, "state": told.state} for told in trials]
    (folder / "mine.json").write_text(json.dumps(rows))
    return folder / "mine.json"


def cv_results(trials):
    """scikit-learn's cv_results_, which knows no states."""
    params = {f"param_{n}": [told.params.get(n) for told in trials] for n in columns_of(trials)}
    folds = {
        f"split{fold}_test_score": [told.folds[fold] if told.folds else NAN for told in trials]
        for fold in range(2)
    }
    return {
        "mean_fit_time": [2.0 for _ in trials],
        **params,
        "params": [told.params for told in trials],
        **folds,
        "mean_test_score": [told.mean for told in trials],
        "std_test_score": [0.0625 if told.folds else NAN for told in trials],
        "rank_test_score": [1 for _ in trials],
    }


def write_cv_json(folder, trials, direction):
    (folder / "mine.json").write_text(json.dumps(cv_results(trials)))
    return folder / "mine.json"


def write_cv_csv(folder, trials, direction):
    """As pandas.DataFrame(cv_results_).to_csv() writes it."""
    columns = cv_results(trials)
    with open(folder / "mine.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["", *columns])
        for place, cells in enumerate(zip(*columns.values(), strict=True)):
            writer.writerow([place, *("" if cell is None or cell != cell else cell for cell in cells)])
    return folder / "mine.csv"


def write_keras_tuner(folder, trials, direction):
    """A project as KerasTuner's oracles write it."""
    project = folder / "mine"
    project.mkdir()
    (project / "oracle.json").write_text(json.dumps({"start_order": [str(i) for i in range(len(trials))]}))
    score = "val_accuracy" if direction == "max" else "val_loss"
    for place, told in enumerate(trials):
        seen = [{"value": [told.mean], "step": 0}] if told.folds else []
        (project / f"trial_{place}").mkdir()
        (project / f"trial_{place}" / "trial.json").write_text(
            json.dumps(
                {
                    "trial_id": str(place),
                    "hyperparameters": {"space": [], "values": told.params},
                    "metrics": {"metrics": {score: {"direction": direction, "observations": seen}}},
                    "score": told.mean if told.folds else None,
                    "status": {"complete": "COMPLETED", "failed": "INVALID"}[told.state],
                    "message": None if told.folds else "Traceback\nValueError: too wide\n",
                }
            )
        )
    return project


def write_optuna(storage, trials, direction):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kinds = {
        int: lambda values: optuna.distributions.IntDistribution(0, 1000),
        float: lambda values: optuna.distributions.FloatDistribution(0.0, 1.0),
        str: lambda values: optuna.distributions.CategoricalDistribution(sorted(values)),
    }
    states = {"complete": "COMPLETE", "failed": "FAIL", "pruned": "PRUNED"}
    whole = {
        name: [told.params[name] for told in trials if name in told.params] for name in columns_of(trials)
    }
    of = {name: kinds[type(values[0])](set(values)) for name, values in whole.items()}
    direction = {"max": "maximize", "min": "minimize"}[direction]
    study = optuna.create_study(study_name="mine", storage=storage, direction=direction)
    for told in trials:
        state = optuna.trial.TrialState[states[told.state]]
        study.add_trial(
            optuna.trial.create_trial(
                params=told.params,
                distributions={name: of[name] for name in told.params},
                value=told.mean if told.folds else None,
                state=state,
            )
        )


def write_database(folder, trials, direction):
    write_optuna(f"sqlite:///{folder / 'mine.db'}", trials, direction)
    return folder / "mine.db"


def write_journal(folder, trials, direction):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    write_optuna(JournalStorage(JournalFileBackend(str(folder / "mine.log"))), trials, direction)
    return folder / "mine.log"


@dataclass(frozen=True)
class Maker:
    """A form of results.

    Attributes:
        reader: The function of kerasgrid.tables.reading that makes its table.
        write: Writes trials to a folder, and returns what is read.
        states: What it tells of a trial.
        has_min: Whether a smaller objective may be better.
        has_folds: Whether it tells the score of each fold.
        has_nan: Whether a score may be NaN or infinite; a database knows no NaN.
        is_cut_whole: Whether one that is cut off is read as far as it goes.
        may_be_empty: Whether it may have no trials yet.
        package: That reading it needs.
    """

    reader: str
    write: Callable[[Path, Sequence[Told], str], Path]
    states: frozenset[str] = frozenset({"complete", "failed", "pruned"})
    has_min: bool = True
    has_folds: bool = False
    has_nan: bool = True
    is_cut_whole: bool = False
    may_be_empty: bool = False
    package: str | None = None


CV = {"states": frozenset(), "has_min": False, "has_folds": True}
OPTUNA = {"reader": "optuna_table", "has_nan": False, "package": "optuna"}
MAKERS = {
    "ours": Maker("results_table", write_ours, has_folds=True, may_be_empty=True),
    "list": Maker("records_table", write_list),
    "cv_results as JSON": Maker("records_table", write_cv_json, **CV),
    "cv_results as CSV": Maker("records_table", write_cv_csv, **CV),
    "KerasTuner": Maker(
        "keras_tuner_table", write_keras_tuner, frozenset({"complete", "failed"}), is_cut_whole=True
    ),
    "Optuna's database": Maker(write=write_database, **OPTUNA),
    "Optuna's journal": Maker(write=write_journal, is_cut_whole=True, **OPTUNA),
}


def forms(holds=lambda maker: True):
    """The forms that fit, to run a test by."""
    return pytest.mark.parametrize(
        "form",
        [
            pytest.param(
                form,
                marks=pytest.mark.skipif(
                    maker.package is not None and find_spec(maker.package) is None,
                    reason=f"{form} needs {maker.package}",
                ),
            )
            for form, maker in MAKERS.items()
            if holds(maker)
        ],
    )


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Writes trials in a form once, in a folder that is copied."""

    @cache
    def written(form, trials, direction):
        folder = tmp_path_factory.mktemp("kept") / "ಕನ್ನಡ data"
        folder.mkdir()
        return MAKERS[form].write(folder, trials, direction)

    return written


@pytest.fixture
def write(kept, tmp_path):
    """Writes trials in a form, in a folder of the test's own."""

    def written(form, trials=PLAIN, direction="max"):
        path = kept(form, trials, direction)
        return Path(shutil.copytree(path.parent, tmp_path / path.parent.name)) / path.name

    return written


def scores_of(table: Table) -> list[float | None]:
    return [row[table.scores[0]] for row in table.rows]


def params_of(table: Table) -> list[dict[str, Any]]:
    return [{name: row[name] for name in table.params if name in row} for row in table.rows]


def files_below(folder: Path) -> dict[Path, tuple[bytes, int]]:
    return {
        file: (file.read_bytes(), file.stat().st_mtime_ns) for file in folder.rglob("*") if file.is_file()
    }


def test_every_form_of_the_package_is_among_the_makers():
    readers = {name for name in vars(reading) if name.endswith("_table")} - {"read_table"}
    assert readers == {maker.reader for maker in MAKERS.values()}


@forms()
@pytest.mark.parametrize("trials", [PLAIN, HOSTILE, ONE], ids=["plain", "hostile", "one"])
def test_a_table_is_as_it_says(write, form, trials):
    table = read_table(write(form, trials))
    columns = [*table.params, *table.scores, *table.details]
    assert table.source == "mine"
    assert all(type(name) is str for name in columns)
    assert len(set(columns)) == len(columns)
    assert table.scores
    assert len(table.rows) == len(trials)
    for row in table.rows:
        assert set(row) <= {*columns, "trial", "state"}
        measured = [row[name] for name in table.scores if row.get(name) is not None]
        assert all(type(value) in (int, float) and math.isfinite(value) for value in measured)
    assert table.direction == "max"
    assert isinstance(table.metric, str)
    assert table.log_params <= set(table.params)
    assert len(table.histories) in (0, len(table.rows))
    assert len(table.fold_scores) in (0, len(table.rows))
    assert table.time is None or table.time in table.scores


@forms()
def test_trials_params_and_objective_are_the_same_in_every_form(write, form):
    table = read_table(write(form))
    assert [row.get("trial", place) for place, row in enumerate(table.rows)] == [0, 1, 2, 3]
    assert sorted(table.params) == ["act", "rate", "units"]
    assert params_of(table) == [told.params for told in PLAIN]
    for found, told in zip(params_of(table), PLAIN, strict=True):
        assert {name: type(value) for name, value in found.items()} == {
            name: type(value) for name, value in told.params.items()
        }
    assert scores_of(table) == [0.8125, 0.875, 0.5625, None]


@forms(lambda maker: maker.has_min)
@pytest.mark.parametrize("direction", ["max", "min"])
def test_a_form_says_which_way_is_better(write, form, direction):
    table = read_table(write(form, direction=direction))
    assert table.direction == direction
    assert scores_of(table) == [0.8125, 0.875, 0.5625, None]


@forms(lambda maker: "failed" in maker.states)
def test_a_trial_that_failed_keeps_its_row_without_a_score(write, form):
    table = read_table(write(form))
    assert [row["state"] for row in table.rows] == ["complete", "complete", "complete", "failed"]
    assert scores_of(table)[3] is None


@forms(lambda maker: "pruned" in maker.states)
def test_a_trial_that_was_given_up_keeps_its_score(write, form):
    table = read_table(write(form, PRUNED))
    assert [row["state"] for row in table.rows] == ["complete", "complete", "complete", "pruned"]
    assert scores_of(table) == [told.score for told in PRUNED]


@forms(lambda maker: maker.has_folds)
def test_scores_of_single_folds_are_told(write, form):
    folds = read_table(write(form)).fold_scores
    assert folds[:3] == tuple(told.folds for told in PLAIN[:3])
    assert set(folds[3]) <= {None}


@forms(lambda maker: maker.has_nan)
def test_a_score_that_is_no_number_is_none(write, form):
    assert scores_of(read_table(write(form, NANS))) == [0.8125, 0.875, None, None]


@forms()
def test_names_and_texts_of_any_kind_are_kept_as_they_are(write, form):
    table = read_table(write(form, HOSTILE))
    assert sorted(table.params) == sorted(TEXTS)
    assert params_of(table) == [told.params for told in HOSTILE]


@forms()
def test_reading_changes_nothing(write, form):
    path = write(form)
    before = files_below(path.parent)
    assert read_table(path) == read_table(str(path))
    assert files_below(path.parent) == before


def cut_off(path: Path) -> None:
    """Ends a file within its last number, or in its middle."""
    content = path.read_bytes()
    path.write_bytes(
        content[: content.rindex(b",")] if path.suffix == ".csv" else content[: len(content) // 2]
    )


@forms(lambda maker: not maker.is_cut_whole)
def test_a_file_that_is_cut_off_is_refused_by_its_name(write, form):
    path = write(form)
    cut_off(path)
    before = files_below(path.parent)
    with pytest.raises(ResultsError) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert files_below(path.parent) == before


@forms(lambda maker: maker.is_cut_whole)
def test_what_is_cut_off_is_read_as_far_as_it_goes(write, form):
    """Of a folder a file, the last one that was written."""
    path = write(form)
    *_, last = sorted(file for file in [path, *path.rglob("trial.json")] if file.is_file())
    last.write_bytes(last.read_bytes()[:-20])
    table = read_table(path)
    assert params_of(table)[:3] == [told.params for told in PLAIN[:3]]
    assert scores_of(table)[:3] == [0.8125, 0.875, 0.5625]


@forms()
def test_an_empty_file_is_refused_by_its_name(write, form):
    path = write(form)
    for file in [file for file in [path, *path.rglob("*")] if file.is_file()]:
        file.write_bytes(b"")
    before = files_below(path.parent)
    with pytest.raises(ResultsError) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))
    assert files_below(path.parent) == before


@forms()
def test_no_trials_are_no_table_but_of_a_search_that_has_just_begun(write, form):
    path = write(form, ())
    if MAKERS[form].may_be_empty:
        assert read_table(path).rows == ()
        return
    with pytest.raises(ResultsError) as caught:
        read_table(path)
    assert str(caught.value).startswith(str(path))


@forms()
def test_what_is_not_there_is_refused_by_its_name_and_not_made(write, form):
    path = write(form)
    gone = path.with_name(f"gone{path.suffix}")
    before = files_below(path.parent)
    with pytest.raises(ResultsError) as caught:
        read_table(gone)
    assert str(caught.value).startswith(str(gone))
    assert files_below(path.parent) == before
