"""Storages that Optuna itself writes, read without writing."""

from __future__ import annotations

import sqlite3
import sys

import pytest

from kerasgrid.errors import MissingPackageError, ResultsError
from kerasgrid.report.findings import analyse
from kerasgrid.tables.reading import read_table
from kerasgrid.views.hiplot import write_page
from kerasgrid.views.pages import page_path

optuna = pytest.importorskip("optuna", reason="storages of Optuna's need optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def objective(trial):
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
    if trial.suggest_categorical("activation", ["relu", "tanh"]) == "relu":
        trial.suggest_int("units", 16, 64, step=16)
    for step in range(3):
        trial.report(0.5 + step / 10, step)
        if trial.number == 3 and step == 1:
            raise optuna.TrialPruned
    if trial.number == 4:
        raise ValueError("too wide")
    return 0.9 - rate


def study(storage, name="mine", n_trials=8, **settings):
    sampler = optuna.samplers.RandomSampler(seed=0)
    made = optuna.create_study(study_name=name, storage=storage, sampler=sampler, **settings)
    made.optimize(objective, n_trials=n_trials, catch=(ValueError,))
    return made


@pytest.fixture
def database(tmp_path):
    path = tmp_path / "study.db"
    study(f"sqlite:///{path}", direction="maximize")
    return path


@pytest.fixture
def journal(tmp_path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = tmp_path / "study.log"
    study(JournalStorage(JournalFileBackend(str(path))), direction="maximize")
    return path


@pytest.mark.parametrize("form", ["database", "journal", "url"])
def test_trials_have_what_optuna_says_of_them(request, tmp_path, form):
    source = request.getfixturevalue("journal" if form == "journal" else "database")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    table = read_table(f"sqlite:///{source}" if form == "url" else source)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert table.source == "mine"
    assert table.params == ("learning_rate", "activation", "units")
    assert table.scores == ("value", "mean_fit_time")
    assert (table.direction, table.log_params) == ("max", {"learning_rate"})
    assert [row["state"] for row in table.rows] == [*["complete"] * 3, "pruned", "failed", *["complete"] * 3]
    assert table.rows[0]["value"] == pytest.approx(0.9 - table.rows[0]["learning_rate"])
    for row in table.rows:
        assert ("units" in row) == (row["activation"] == "relu")
    assert table.histories[0] == ({"test_value": [0.5, 0.6, 0.7]},)
    assert table.histories[3] == ({"test_value": [0.5, 0.6]},)


def test_of_several_studies_one_is_named(database, tmp_path):
    study(f"sqlite:///{database}", name="other", n_trials=2, direction="minimize")
    with pytest.raises(
        ResultsError,
        match=r"holds 2 studies: 'mine', 'other'. Name one behind a #, such as '.*study.db#mine'",
    ):
        read_table(database)
    assert read_table(f"{database}#other").direction == "min"
    assert len(read_table(f"sqlite:///{database}#mine").rows) == 8
    with pytest.raises(ResultsError, match=r"has no study 'none'. It has: 'mine', 'other'\."):
        read_table(f"{database}#none")
    database.rename(tmp_path / "a#mine")  # a file of that name comes first
    with pytest.raises(ResultsError, match="holds 2 studies"):
        read_table(tmp_path / "a#mine")
    assert len(read_table(tmp_path / "a#mine#other").rows) == 2


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_of_several_objectives_the_first_is_compared(tmp_path, caplog):
    path = tmp_path / "a b?c%20.db"
    storage = f"sqlite:///{tmp_path / 'plain.db'}"
    made = optuna.create_study(study_name="two", storage=storage, directions=["minimize", "maximize"])
    made.set_metric_names(["size", "accuracy"])
    made.optimize(lambda trial: (trial.suggest_float("size", 1, 2), 0.5), n_trials=3)
    (tmp_path / "plain.db").rename(path)
    table = read_table(path)
    assert table.scores[:2] == ("size", "accuracy")
    assert table.params == ("size (param)",)
    assert table.direction == "min"
    assert "two has 2 objectives; trials are compared by size." in caplog.text


def test_faults_are_told(tmp_path, monkeypatch, database):
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("create table a (b)")
    with pytest.raises(ResultsError, match=r"other.db cannot be read as a storage of Optuna's"):
        read_table(other)
    empty = tmp_path / "empty.db"
    optuna.create_study(study_name="none", storage=f"sqlite:///{empty}")
    with pytest.raises(ResultsError, match="the study 'none' has no trial yet"):
        read_table(empty)
    optuna.delete_study(study_name="none", storage=f"sqlite:///{empty}")
    with pytest.raises(ResultsError, match=r"holds 0 studies: none. One is needed\."):
        read_table(empty)
    with pytest.raises(ResultsError, match="cannot be read as a storage of Optuna's"):
        read_table("nonsense://x/y")
    with pytest.raises(MissingPackageError, match="its database needs the package MySQLdb"):
        read_table("mysql://nobody@127.0.0.1:1/none")
    (tmp_path / "flat.json").write_text('[{"a": 1, "accuracy": 0.5}]')
    with pytest.raises(ResultsError, match="only of a storage of Optuna's does # name a part"):
        read_table(tmp_path / "flat.json#x")
    with pytest.raises(ResultsError, match="say where it goes with -o"):
        page_path([f"sqlite:///{database}"])
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r'pip install "kerasgrid\[optuna\]"'):
        read_table(database)


def test_a_journal_that_is_cut_off_is_read_as_far_as_it_goes(journal):
    journal.write_bytes(journal.read_bytes()[:-20])
    assert len(read_table(journal).rows) == 8


def test_it_is_plotted_and_analysed(database):
    table = read_table(database)
    for epochs in (False, True):
        assert (
            "learning_rate" in write_page([table], database.with_suffix(".html"), epochs=epochs).read_text()
        )
    found = analyse(table)
    assert len(found.contenders) == 6
    assert found.front
    assert page_path([database]) == database.with_suffix(".html")
    assert page_path([f"{database}#mine"]) == database.with_name("study-mine.html")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("mysql+none://me:SECRET@127.0.0.1/x", "mysql+none://me:***@127.0.0.1/x"),
        ("sqlite://me:a/SECRET@h/x", "sqlite://me:***@h/x"),
        ("postgresql+none://me:SECRET#1@h/x", "postgresql+none://me:***"),
        ("postgresql+none://h/x?password=SECRET", "postgresql+none://h/x?password=***"),
        ("http://SECRET@h/x", "http://***@h/x"),
    ],
)
def test_no_password_is_shown(url, shown):
    with pytest.raises(ResultsError) as caught:
        read_table(url)
    assert "SECRET" not in str(caught.value)
    assert str(caught.value).startswith(shown)


def test_a_url_of_a_file_that_is_not_there_makes_none(tmp_path):
    with pytest.raises(ResultsError, match="there is no such file"):
        read_table(f"sqlite:///{tmp_path / 'gone.db'}")
    assert not any(tmp_path.iterdir())


def test_a_journal_with_an_odd_line_is_told(journal):
    journal.write_bytes(journal.read_bytes() + b"[1]\n")
    with pytest.raises(ResultsError, match="cannot be read as a storage of Optuna's"):
        read_table(journal)


def test_a_study_that_nobody_has_named_is_called_by_its_file(tmp_path):
    study(f"sqlite:///{tmp_path / 'mine.db'}", name=None, n_trials=2)
    assert read_table(tmp_path / "mine.db").source == "mine"
