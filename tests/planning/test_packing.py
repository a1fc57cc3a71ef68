"""How a search makes packs: graphs, widths, the journalled plan and shared epochs, without Keras."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes import CONFIG, Crash, fake_train_pack

from kerasgrid import machine
from kerasgrid.checks.prepared import prepare
from kerasgrid.config.augment import Augment
from kerasgrid.driver import search as driver
from kerasgrid.driver.search import search
from kerasgrid.executors import Died, Emitted, Executor
from kerasgrid.models.signature import Parameter, Signature
from kerasgrid.planning import packing
from kerasgrid.planning.workers import make_recipe
from kerasgrid.records import FoldRecord, Graph, Job, Pack, ProbeRecord, Trial, WidthRecord
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths


def graph_probes(recipe, executor, candidates):
    """Finds one graph for each dropout; a dropout of 0.9 has none."""
    for params in candidates:
        asked.append(dict(params))
        rate = params.get("dropout")
        graph = Graph(None, "it is odd") if rate == 0.9 else Graph(f"dropout {rate}", None, (0.5,))
        yield ProbeRecord(params, 100, None, "cpu", graph)


asked: list[dict] = []
trained: list[Pack] = []


@pytest.fixture(autouse=True)
def fakes(monkeypatch, tmp_path):
    asked.clear()
    trained.clear()

    def train(recipe, pack, context):
        trained.append(pack)
        fake_train_pack(recipe, pack, context)

    monkeypatch.setattr(driver, "train_pack", train)
    monkeypatch.setattr(packing, "run_probes", graph_probes)
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))


def config(**changes) -> dict:
    space = {"learning_rate": [0.001, 0.01], "dropout": [0.2, 0.4], "epochs": [2, 5]}
    return json.loads(json.dumps(CONFIG)) | {"params": {}, "space": space} | changes


def test_candidates_of_a_graph_are_packed_and_share_their_epochs(tmp_path):
    found = search(config(), results=tmp_path)
    assert found.data["summary"]["fits"] == 24
    assert found.data["summary"]["epochs_trained"] == 2 * 2 * 3 * 5
    rates = {}
    for pack in trained:
        rates.setdefault(pack.graphs[0].key, set()).update(job.trial.params["dropout"] for job in pack.jobs)
    assert sorted(rates.values(), key=min) == [{0.2}, {0.4}]
    assert sorted(job.id for pack in trained for job in pack.jobs) == [
        (trial, fold, 0) for trial in range(8) for fold in range(3)
    ]
    assert all(len(run) == 2 for pack in trained for run in pack.runs)


def test_a_graph_is_asked_for_once_whatever_learning_rate_and_epochs(tmp_path):
    search(config(), results=tmp_path)
    assert len({params["dropout"] for params in asked}) == 2
    assert len(asked) <= len(config()["space"]) + 2  # those that cover the space, and no others


def test_off_trains_each_fit_by_itself(tmp_path):
    found = search(config(training={"pack": "off"}), results=tmp_path)
    assert all(not pack.graphs and len(pack.jobs) == 1 for pack in trained)
    assert found.data["summary"]["epochs_trained"] == 2 * 2 * 3 * (2 + 5)


def test_the_epochs_of_fits_that_fell_back_are_counted_each(tmp_path, monkeypatch):
    class Alone:
        def __init__(self, context):
            self.should_stop, self.send = context.should_stop, context.emit

        def emit(self, payload):
            self.send(replace(payload, alone=True) if isinstance(payload, FoldRecord) else payload)

    monkeypatch.setattr(driver, "train_pack", lambda r, p, context: fake_train_pack(r, p, Alone(context)))
    found = search(config(), results=tmp_path)
    assert found.data["summary"]["epochs_trained"] == 2 * 2 * 3 * (2 + 5)


def test_a_number_is_the_width(tmp_path):
    search(config(training={"pack": 3}), results=tmp_path)
    assert {pack.width for pack in trained} == {3}


def test_what_has_no_graph_is_trained_by_itself(tmp_path):
    space = {"learning_rate": [0.001, 0.01], "dropout": [0.2, 0.9]}
    search(config(space=space, params={"epochs": 2}), results=tmp_path)
    assert {len(pack.jobs) for pack in trained if not pack.graphs} == {1}
    assert {pack.jobs[0].trial.params["dropout"] for pack in trained if not pack.graphs} == {0.9}


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_later_session_executes_the_journalled_plan(tmp_path, monkeypatch, after):
    whole = search(config(training={"pack": 2}), results=tmp_path / "whole")
    planned = list(trained)
    trained.clear()
    n_ended = 0

    def crashing(recipe, pack, context):
        nonlocal n_ended
        trained.append(pack)
        fake_train_pack(recipe, pack, context)
        n_ended += 1
        if n_ended == after:
            raise Crash

    monkeypatch.setattr(driver, "train_pack", crashing)
    with pytest.raises(Crash):
        search(config(training={"pack": 2}), results=tmp_path)
    begun = list(trained)
    trained.clear()
    n_ended = -100
    found = search(config(training={"pack": 4}), results=tmp_path)  # the width is free to change, and is kept
    assert {pack.width for pack in trained} <= {1, 2}
    done = {job.id for pack in begun for job in pack.jobs}
    left = [pack.of(job for job in pack.jobs if job.id not in done) for pack in planned]
    assert [pack.jobs for pack in trained] == [pack.jobs for pack in left if pack.jobs]
    assert found.data["summary"]["epochs_trained"] == whole.data["summary"]["epochs_trained"]
    assert [t["mean_test_score"] for t in found.data["trials"]] == [
        t["mean_test_score"] for t in whole.data["trials"]
    ]


class Timing(Executor):
    """Finds that four runs side by side are best."""

    n_workers = 1

    def __init__(self) -> None:
        self.tasks: list[Pack] = []

    def start(self) -> None:
        """Is ready."""

    def run(self, function, tasks):
        for task in tasks:
            self.tasks.append(task)
            yield Emitted(task, WidthRecord(task.graphs[0].key, 4, {1: 1.0, 2: 0.6, 4: 0.4, 8: 0.5}))

    def stop(self) -> None:
        """Nothing runs."""

    def close(self) -> None:
        """Nothing is open."""


def make_planner(tmp_path, executor, device):
    prepared = prepare(
        config(
            space={"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
            params={"epochs": 50},
            search={"engine": "random", "trials": 8, "folds": 3},
        )
    )
    recipe = make_recipe(prepared, RunPaths(tmp_path, "fake"))
    return packing.Planner(packing.Graphs(prepared, recipe, executor), 1, device)


def jobs_and_graphs():
    trials = [Trial(i, {"learning_rate": 0.001 * (i + 1)}) for i in range(8)]
    return [Job(trial, fold) for trial in trials for fold in range(3)], {t.id: Graph("g") for t in trials}


def test_widths_are_timed_elsewhere_where_a_machine_goes(tmp_path):
    class Losing(Timing):
        def run(self, function, tasks):
            if self.tasks:
                yield from super().run(function, tasks)
                return
            self.tasks += tasks
            for task in tasks:
                yield Died(task, "was lost with its machine", False, is_lost=True)

    jobs, graphs = jobs_and_graphs()
    plan = make_planner(tmp_path, Losing(), "gpu:0").plan(jobs, graphs)
    assert {pack.width for pack in plan.packs} == {4}


def test_widths_are_timed_once_and_kept_for_the_machine(tmp_path, monkeypatch):
    executor = Timing()
    jobs, graphs = jobs_and_graphs()
    first = make_planner(tmp_path, executor, "gpu:0").plan(jobs, graphs)
    assert {pack.width for pack in first.packs} == {4}
    assert len(executor.tasks) == 1
    assert len(executor.tasks[0].jobs) == 24
    again = make_planner(tmp_path, executor, "gpu:0").plan(jobs, graphs)
    assert again == first
    assert len(executor.tasks) == 1
    make_planner(tmp_path, executor, "gpu:1").plan(jobs, graphs)
    assert len(executor.tasks) == 1
    monkeypatch.setattr(machine, "device_kinds", lambda: ["NVIDIA H200"])
    make_planner(tmp_path, executor, "gpu:0").plan(jobs, graphs)
    assert len(executor.tasks) == 2
    monkeypatch.setattr(packing, "gpu_share", lambda config, n_workers: 0.5)
    make_planner(tmp_path, executor, "gpu:0").plan(jobs, graphs)
    assert len(executor.tasks) == 3


def test_packs_are_narrower_than_is_best_where_a_worker_would_have_none(tmp_path, monkeypatch):
    monkeypatch.setattr(Timing, "n_workers", 8)
    jobs, graphs = jobs_and_graphs()
    for _ in range(2):  # timed, and as it is kept
        packs = make_planner(tmp_path, Timing(), "gpu:0").plan(jobs, graphs).packs
        assert [(pack.width, len(pack.runs)) for pack in packs] == [(3, 3)] * 8


def test_little_training_is_not_worth_a_trial_and_check_makes_none(tmp_path):
    executor = Timing()
    jobs, graphs = jobs_and_graphs()
    on_cpu = make_planner(tmp_path, executor, "cpu").plan(jobs, graphs)
    checked = make_planner(tmp_path, executor, "gpu:0").plan(jobs, graphs, may_measure=False)
    assert {pack.width for pack in (*on_cpu.packs, *checked.packs)} == {1}
    assert executor.tasks == []


def test_augmented_runs_are_timed_on_a_cpu_too(tmp_path, monkeypatch):
    """Side by side they are augmented once."""
    executor = Timing()
    jobs, graphs = jobs_and_graphs()
    planner = make_planner(tmp_path, executor, "cpu")
    route = planner._graphs.route
    augmented = Augment.model_validate({"rotation_range": 10})
    monkeypatch.setattr(planner._graphs, "route", lambda trial: replace(route(trial), augment=augmented))
    monkeypatch.setattr(packing, "LEAST_STEPS_AUGMENTED", packing.LEAST_STEPS_GPU)
    assert {pack.width for pack in planner.plan(jobs, graphs).packs} == {4}
    assert len(executor.tasks) == 1


def test_runs_that_are_fed_in_pieces_are_timed_on_a_cpu_too_and_apart_from_others(tmp_path):
    """Side by side what they take is read once."""
    executor = Timing()
    jobs, graphs = jobs_and_graphs()
    planner = make_planner(tmp_path, executor, "cpu")
    planner._graphs.take([ProbeRecord({}, 100, None, "cpu", Graph("g"), pieces=(9, 1))])
    assert {pack.width for pack in planner.plan(jobs, graphs).packs} == {4}
    on_gpu = make_planner(tmp_path, executor, "gpu:0")
    for n_timed in (2, 3):
        on_gpu.plan(jobs, graphs)
        assert len(executor.tasks) == n_timed
        on_gpu._graphs.take([ProbeRecord({}, 100, None, "cpu", Graph("g"), pieces=(9, 1))])


def test_best_weights_of_the_whole_run_are_not_shared(tmp_path):
    callbacks = {"early_stopping": {"monitor": "val_loss", "restore_best_weights": True}}
    search(config(callbacks=callbacks), results=tmp_path)
    assert all(len(run) == 1 for pack in trained for run in pack.runs)


def test_all_fits_of_a_pack_are_shown_as_started(tmp_path):
    class Shown(Observer):
        def __init__(self):
            self.jobs = []

        def started(self, job):
            self.jobs.append(job.id)

    shown = Shown()
    found = search(config(training={"pack": 4}), results=tmp_path, observer=shown)
    ended = [(t["id"], f["fold"], 0) for t in found.data["trials"] for f in t["folds"]]
    assert len(shown.jobs) == len(set(shown.jobs))
    assert {job[:2] for job in shown.jobs} == {(trial, fold) for trial, fold, _ in ended}


def test_packs_switched_off_take_the_plain_path_on_resume(tmp_path, monkeypatch):
    search(config(training={"pack": 2}), results=tmp_path)
    assert any(pack.graphs for pack in trained)
    lines = (tmp_path / "fake" / "journal.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"type":"fold"' not in line and '"type":"end"' not in line]
    (tmp_path / "fake" / "journal.jsonl").write_text("".join(kept))
    trained.clear()
    search(config(training={"pack": "off"}), results=tmp_path)
    assert trained
    assert not any(pack.graphs for pack in trained)


def test_graphs_are_asked_once_for_what_models_are_built_of(tmp_path):
    prepared = prepare(config(space={"learning_rate": [0.1, 0.2]}))
    recipe = make_recipe(prepared, RunPaths(tmp_path, "fake"))
    graphs = packing.Graphs(prepared, recipe, None)

    def of(**params):
        return graphs._identity(params)

    assert of(learning_rate=0.1, batch_size=8) == of(learning_rate=0.2, batch_size=16)
    assert of(optimizer="Adam") != of(optimizer="Adam", learning_rate=0.1)  # the one has Keras's own
    assert of(optimizer="Adam") != of(optimizer="SGD")
    trials = [Trial(i, {"learning_rate": 0.1, **more}) for i, more in enumerate([{}, {"batch_size": 3}])]
    graphs.take(ProbeRecord(trial.params, 1, None, "cpu", Graph("g", None, (), 0.1)) for trial in trials)
    found = graphs.of(trials)
    assert found[0].key != found[1].key  # an epoch has other steps


@pytest.mark.parametrize(("names", "n"), [((), 1), (("epochs",), 2)])
def test_a_model_that_is_given_the_epochs_of_its_stages_is_another_for_each_sum(tmp_path, names, n):
    prepared = prepare(config(space={"learning_rate": [0.1, 0.2]}))
    recipe = make_recipe(prepared, RunPaths(tmp_path, "fake"))
    graphs = packing.Graphs(
        prepared, replace(recipe, signature=Signature(tuple(map(Parameter, names)))), None
    )
    stages = [[{"trainable": "all", "epochs": epochs}] for epochs in (3, 4)]
    assert len({graphs._identity({"stages": one}) for one in stages}) == n


def test_a_refused_candidate_does_not_stand_for_others_of_its_model(tmp_path, monkeypatch):
    """What was wrong with it, such as a monitor, is not the model's."""

    def probes(recipe, executor, candidates):
        for record in graph_probes(recipe, executor, candidates):
            if record.params["learning_rate"] == 0.001:
                error = {"type": "ModelError", "message": "no such monitor"}
                record = replace(record, graph=None, error=error, n_parameters=None)
            yield record

    monkeypatch.setattr(packing, "run_probes", probes)
    prepared = prepare(config(space={"learning_rate": [0.001, 0.01], "dropout": [0.2, 0.4]}))
    graphs = packing.Graphs(prepared, make_recipe(prepared, RunPaths(tmp_path, "fake")), None)
    trials = [Trial(place, params) for place, params in enumerate(prepared.space)]
    found = graphs.of(trials)
    for trial in trials:
        graph = found[trial.id]
        assert graph.key is not None or graph.reason == "no such monitor"
    assert {t.params["dropout"] for t in trials if found[t.id].key is not None} == {0.2, 0.4}
    asked.clear()
    graphs.of(trials)
    assert not asked


def test_featurewise_statistics_are_part_of_the_graph(tmp_path):
    space = {"augment.featurewise_center": [False, True], "augment.rotation_range": [0, 10]}
    prepared = prepare(config(space=space, augment={"rotation_range": 5}))
    graphs = packing.Graphs(prepared, make_recipe(prepared, RunPaths(tmp_path, "fake")), None)
    trials = [Trial(place, params) for place, params in enumerate(prepared.space)]
    keys = {t.params["augment.featurewise_center"]: graphs.of(trials)[t.id].key for t in trials}
    assert keys[False] != keys[True]


def test_models_that_are_not_looked_at_are_not_said_to_take_keras_own_fit(tmp_path):
    prepared = prepare(config())
    graphs = packing.Graphs(prepared, make_recipe(prepared, RunPaths(tmp_path, "fake")), None)
    trials = [Trial(place, params) for place, params in enumerate(prepared.space)]
    found = graphs.of(trials, most=1)
    assert len(asked) == 1
    jobs = [Job(trial, 0) for trial in trials]
    notes = packing.plan(jobs, found).notes
    assert any(note.startswith("4 fits not looked at yet") for note in notes)
