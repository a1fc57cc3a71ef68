"""What MLflow's own client finds of an export."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kerasgrid.errors import KerasgridError, MissingPackageError, ResultsError
from kerasgrid.exports.mlflow import identity_of, make_database, write_mlflow
from kerasgrid.run.results import ResultsData
from kerasgrid.tables.flat import records_table
from kerasgrid.tables.reading import results_table

pytestmark = pytest.mark.slow

pytest.importorskip("mlflow", reason="the export to MLflow needs mlflow")


def trial(id, params, score, **more):
    history = {"accuracy": [0.5, 0.7], "test_accuracy": [0.4, 0.6]}
    known = score is not None
    return {
        "id": id,
        "params": params,
        "state": "complete",
        "mean_test_score": score,
        "std_test_score": 0.01 if known else None,
        "mean_fit_time": 2.0 if known else None,
        "folds": [{"fold": fold, "test_score": score, "history": history} for fold in range(2)]
        if known
        else [],
        **more,
    }


def made(**more):
    trials = [
        trial(0, {"rate": 0.1, "norm": True, "a<b>?": "x" * 7000, "../up": 1}, 0.75),
        trial(1, {"rate": 1, "norm": None, "nested": {"x": [1, True]}}, 0.875),
        trial(2, {"rate": 3}, None, state="failed", error={"type": "E", "message": "wide"}),
        trial(3, {"rate": 4}, 0.5, state="pruned"),
        trial(4, {"rate": 5}, None, state="running"),
    ]
    objective = {"name": "accuracy", "direction": "max"}
    value = {"schema": "kerasgrid.results/1", "name": "mine", "status": "complete", "objective": objective}
    return {**value, "trials": trials, **more}


@pytest.fixture(scope="module")
def first_store(empty_store, tmp_path_factory):
    """The database once the search has been written to it, and how many trials were."""
    path = tmp_path_factory.mktemp("store") / "first.db"
    path.write_bytes(empty_store.read_bytes())
    return path, write_mlflow(results_table(ResultsData(made())), f"sqlite:///{path}")


@pytest.fixture
def written(first_store, tmp_path):
    path = tmp_path / "runs.db"
    path.write_bytes(first_store[0].read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory):
    """An MLflow database without experiments of ours: making its tables takes a second."""
    path = tmp_path_factory.mktemp("store") / "empty.db"
    make_database(f"sqlite:///{path}")
    assert [file.name for file in path.parent.iterdir()] == ["empty.db"]
    return path


@pytest.fixture
def store(empty_store, tmp_path):
    path = tmp_path / "runs.db"
    path.write_bytes(empty_store.read_bytes())
    return f"sqlite:///{path}"


def runs(store, experiment="mine"):
    """Returns all runs by name, and how many there are."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store)
    place = client.get_experiment_by_name(experiment).experiment_id
    found = list(client.search_runs([place], max_results=1000))
    assert len({run.info.run_name for run in found}) == len(found)
    return client, {run.info.run_name: run for run in found}


def test_a_search_is_a_run_and_so_is_each_of_its_trials(first_store, written):
    assert first_store[1] == 5
    client, found = runs(written)
    assert sorted(found) == ["mine", "trial 0", "trial 1", "trial 2", "trial 3", "trial 4"]
    whole, best = found["mine"], found["trial 1"]
    assert (whole.data.params, whole.data.tags["best"]) == (best.data.params, "trial 1")
    assert whole.data.metrics == {"mean_test_score": 0.875, "std_test_score": 0.01, "mean_fit_time": 2.0}
    for name in ("trial 0", "trial 4"):
        assert found[name].data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert best.data.params == {"rate": "1", "norm": "null", "nested": '{"x":[1,true]}'}
    odd = found["trial 0"].data.params
    assert set(odd) == {"rate", "norm", "a_b__", "_/up"}
    assert len(odd["a_b__"]) == 6000
    curve = client.get_metric_history(best.info.run_id, "epoch/test_accuracy")
    assert [(point.step, point.value) for point in curve] == [(1, 0.4), (2, 0.6)]
    statuses = {name: run.info.status for name, run in found.items()}
    assert statuses == {
        "mine": "FINISHED",
        "trial 0": "FINISHED",
        "trial 1": "FINISHED",
        "trial 2": "FAILED",
        "trial 3": "KILLED",
        "trial 4": "RUNNING",
    }
    assert found["trial 2"].data.tags["error"] == "E: wide"


def test_what_is_there_is_not_written_twice_and_what_has_changed_is(written):
    _, before = runs(written)
    assert write_mlflow(results_table(ResultsData(made())), written) == 0
    _, same = runs(written)
    assert {run.info.run_id for run in same.values()} == {run.info.run_id for run in before.values()}
    more = made()
    more["trials"][4] = trial(4, {"rate": 5}, 0.95)
    more["trials"].append(trial(5, {"rate": 6}, 0.25))
    assert write_mlflow(results_table(ResultsData(more)), written) == 2
    _, after = runs(written)
    assert after["trial 0"].info.run_id == before["trial 0"].info.run_id
    assert after["trial 4"].info.status == "FINISHED"
    assert after["mine"].data.tags["best"] == "trial 4"
    parents = {run.data.tags["mlflow.parentRunId"] for name, run in after.items() if name != "mine"}
    assert parents == {after["mine"].info.run_id}


def test_an_export_that_was_cut_off_is_completed(store, monkeypatch):
    from mlflow.tracking import MlflowClient

    logged = MlflowClient.log_batch

    def cut_off(client, run_id, metrics=(), params=(), tags=()):
        if any(param.value == "3" for param in params):
            raise KeyboardInterrupt
        logged(client, run_id, metrics, params, tags)

    monkeypatch.setattr(MlflowClient, "log_batch", cut_off)
    with pytest.raises(KeyboardInterrupt):
        write_mlflow(results_table(ResultsData(made())), store)
    monkeypatch.undo()
    assert write_mlflow(results_table(ResultsData(made())), store) == 3
    _, found = runs(store)
    assert len(found) == 6


def test_a_database_is_whole_or_not_there(tmp_path, monkeypatch):
    """MLflow makes its tables for seconds, and refuses a file that has some of them."""
    from mlflow.tracking import MlflowClient

    path, other = tmp_path / "new.db", None

    def search(client, **limits):
        part = Path(client.tracking_uri.removeprefix("sqlite:///"))
        assert part.parent == tmp_path
        assert part != path
        part.write_bytes(b"half of its tables")
        if other is None:
            raise KeyboardInterrupt
        path.write_bytes(other)

    monkeypatch.setattr(MlflowClient, "search_experiments", search)
    with pytest.raises(KeyboardInterrupt):
        make_database(f"sqlite:///{path}")
    assert list(tmp_path.iterdir()) == []
    other = b"of an export that was quicker"
    for _ in range(2):
        make_database(f"sqlite:///{path}")
        assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("new.db", other)]


def test_what_a_cut_has_left_twice_is_left_once(written, monkeypatch):
    from mlflow.tracking import MlflowClient

    more = made()
    more["trials"][4] = trial(4, {"rate": 5}, 0.95)

    def cut_off(client, run_id):
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "delete_run", cut_off)
    with pytest.raises(KeyboardInterrupt):
        write_mlflow(results_table(ResultsData(more)), written)
    monkeypatch.undo()
    assert write_mlflow(results_table(ResultsData(more)), written) == 0
    _, found = runs(written)
    assert sorted(found) == ["mine", "trial 0", "trial 1", "trial 2", "trial 3", "trial 4"]
    assert found["mine"].data.tags["best"] == "trial 4"
    parents = {run.data.tags["mlflow.parentRunId"] for name, run in found.items() if name != "mine"}
    assert parents == {found["mine"].info.run_id}


def test_searches_share_an_experiment(store):
    write_mlflow(results_table(ResultsData(made())), store, "all")
    assert (
        write_mlflow(
            results_table(ResultsData(made(name="other", trials=made()["trials"][:1]))), store, "all"
        )
        == 1
    )
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store)
    place = client.get_experiment_by_name("all").experiment_id
    assert len(client.search_runs([place])) == 8


def test_long_histories_and_many_parameters_go_in_parts(store):
    history = {"loss": [1 / epoch for epoch in range(1, 1201)]}
    params = {f"p{place}": place for place in range(150)}
    long = trial(0, params, 0.5, folds=[{"fold": 0, "test_score": 0.5, "history": history}])
    write_mlflow(results_table(ResultsData(made(trials=[long]))), store)
    client, found = runs(store)
    run = found["trial 0"]
    assert len(run.data.params) == 150
    assert len(client.get_metric_history(run.info.run_id, "epoch/loss")) == 1200


def test_faults_are_told(store, monkeypatch):
    with pytest.raises(ResultsError, match="mine: no trial has begun yet, so there is nothing to export"):
        write_mlflow(results_table(ResultsData(made(trials=[]))), store)
    with pytest.raises(KerasgridError, match="nonsense://x: MLflow refuses the export"):
        write_mlflow(results_table(ResultsData(made())), "nonsense://x")
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(MissingPackageError, match=r'pip install "kerasgrid\[mlflow\]"'):
        write_mlflow(results_table(ResultsData(made())), store)


def test_a_search_of_the_same_name_on_other_data_is_left_alone(store):
    from mlflow.tracking import MlflowClient

    first = results_table(ResultsData(made(data={"fingerprint": "sha256:1"})))
    other = made(data={"fingerprint": "sha256:2"})
    write_mlflow(first, store)
    before = {run.info.run_id for run in runs(store)[1].values()}
    write_mlflow(results_table(ResultsData({**other, "trials": other["trials"][:1]})), store)
    client = MlflowClient(store)
    place = client.get_experiment_by_name("mine").experiment_id
    assert before < {run.info.run_id for run in client.search_runs([place])}
    assert write_mlflow(first, store) == 0


def test_a_search_begun_anew_with_fewer_trials_leaves_none_of_the_old(written):
    fewer = made()
    write_mlflow(results_table(ResultsData({**fewer, "trials": fewer["trials"][:2]})), written)
    assert sorted(runs(written)[1]) == ["mine", "trial 0", "trial 1"]


def test_files_of_one_name_are_told_apart_by_where_they_are():
    table = records_table([{"rate": 1, "accuracy": 0.5}, {"rate": 2, "accuracy": 0.6}], Path("grid.json"))
    assert identity_of(table, "/a/grid.json") != identity_of(table, "/b/grid.json")


def test_a_server_that_cannot_be_reached_is_told_soon_and_without_its_password(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(KerasgridError, match="no MLflow server can be reached there") as told:
        write_mlflow(results_table(ResultsData(made())), "http://bob:s3cret@127.0.0.1:9")
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql+nodriver://u:s3/cret@127.0.0.1:9/db",
        "sqlite://u:s3/cret@h/x",
        "http://[u:s3/cret@h",
        "http://u:s3/cret@h:po/x",
        "nothing://u:s3/cret@h/x",
        "postgresql+pg8000://h/x?password=s3/cret",
    ],
)
def test_an_address_of_no_store_is_told_in_words_and_without_its_password(uri):
    with pytest.raises(KerasgridError) as told:
        write_mlflow(results_table(ResultsData(made())), uri)
    assert str(told.value).startswith(uri.replace("s3/cret", "***"))
    assert "cret" not in str(told.value)
