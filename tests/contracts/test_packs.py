"""Packs as drivers and machines treat them: stopped and resumed, at rungs, out of memory, broken."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import dataclasses
import gc
import re
import shutil
import time
import weakref
from collections import defaultdict
from pathlib import Path

import keras
import numpy as np
import pytest
from fakes import Collector, Crash, Crashing
from whole_jobs import (
    EVEN,
    STOPPING,
    VAL,
    assert_alike,
    finished,
    jobs_of,
    maker,
    on_tensorflow,
    result,
    results,
)

from kerasgrid.data.cache import map_samples, save_samples
from kerasgrid.data.samples import Samples
from kerasgrid.planning.plan import split
from kerasgrid.records import EpochRecord, Job, NoteRecord, Pack, RungRecord, StopRecord, Trial, WidthRecord
from kerasgrid.seeds import draw_key
from kerasgrid.training import backend, packs, wave
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.feeding import Schedule
from kerasgrid.training.job import train_pack
from kerasgrid.training.program import Program

pytestmark = [pytest.mark.slow, pytest.mark.backend]

NOISY = {
    "data": EVEN,
    "search": VAL,
    "callbacks": STOPPING,
    "params": {
        "epochs": 6,
        "batch_size": 10,
        "batch_norm": True,
        "dropout": 0.25,
        "optimizer.momentum": 0.5,
    },
}
"""One graph for all tests, so that its program is compiled once; of its runs each draws masks of its own.

No step of it has fewer rows: those are in test_training.
"""


@pytest.fixture(scope="module")
def known():
    """The graphs of searches by what their configs have changed: whichever test asks first has them found."""
    return defaultdict(dict)


@pytest.fixture
def make(tmp_path, monkeypatch, known):
    """Returns a function that prepares a search over the graph of all tests."""
    monkeypatch.setattr(packs, "PROGRAMS", 32)  # so that each is compiled once
    of = maker(tmp_path)

    def noisy(name="run", interval_s=1e9, epochs=6, **changes):
        given = {**NOISY, "params": {**NOISY["params"], "epochs": epochs}}
        return dataclasses.replace(of(name, interval_s, **given | changes), known=known[str(given | changes)])

    return noisy


@pytest.fixture
def forgetful(monkeypatch):
    """Lets a test forget its own programs alone, and what it pretends of memory."""
    for name in ("_programs", "_on_device", "_fitting", "_too_large"):
        monkeypatch.setattr(packs, name, getattr(packs, name).copy())


def runs(*rates, **params):
    return jobs_of([{"learning_rate": rate, **params} for rate in rates])


WIDE = runs(0.125, 0.00390625, 0.03125)
"""Three runs that end at different epochs."""


@pytest.fixture(scope="module")
def never_cut(tmp_path_factory):
    """Trains jobs as nothing cuts them off, once for all tests that compare with them: search and records."""
    known = {}

    def of(jobs, width=None, **changes):
        key = f"{[job.trial.params for job in jobs]} {width} {changes}"
        if key not in known:
            search = maker(tmp_path_factory.mktemp("whole"))("whole", **NOISY)
            known[key] = search, search.train(search.pack(jobs, width, **changes)).records
        return known[key]

    return of


# Batches that runs share


@pytest.mark.parametrize(
    "given",
    [
        {"augment": {"rotation_range": 10, "zoom_range": 0.2, "mixup_alpha": 0.4}},
        pytest.param({"data": {"train": "digits", "subset": 100, "standardize": True}}, marks=on_tensorflow),
    ],
)
def test_runs_of_a_fold_share_their_batches_and_none_of_their_numbers_change(make, monkeypatch, given):
    """Where one is augmented in another way, or of another fold, each takes its own."""
    search, train, taken = make(callbacks={}, epochs=2, **given), Program.train, []

    def watched(self, states, fixed, inputs, batches, *rest):
        taken.append((len(inputs["key"]), len(batches["how"]["key"])))
        return train(self, states, fixed, inputs, batches, *rest)

    def trained(*jobs):
        taken.clear()
        return search.train(search.pack(jobs)).records, {*taken}

    monkeypatch.setattr(Program, "train", watched)
    jobs = [Job(Trial(i, {"learning_rate": rate}), 0) for i, rate in enumerate((0.125, 0.03125, 0.0625))]
    shared, how = trained(*jobs)
    assert how == {(3, 1)}
    other = dataclasses.replace(jobs[2], fold=1)
    if "augment" in given:
        other = dataclasses.replace(
            jobs[2], trial=Trial(2, {"learning_rate": 0.0625, "augment.zoom_range": 0.3})
        )
    mixed, how = trained(*jobs[:2], other)
    assert how == {(3, 3)}
    for job in jobs[:2]:
        if backend.WIDTH_MATTERS:
            assert_alike(mixed[job.id], shared[job.id])
        else:
            assert result(mixed[job.id]) == result(shared[job.id])


@on_tensorflow
def test_runs_share_from_where_the_one_that_took_others_has_ended_also_after_a_resume(make, monkeypatch):
    train, taken = Program.train, []

    def watched(self, states, fixed, inputs, batches, *rest):
        taken.append((len(inputs["key"]), len(batches["how"]["key"])))
        return train(self, states, fixed, inputs, batches, *rest)

    monkeypatch.setattr(Program, "train", watched)
    jobs = [Job(Trial(i, {"learning_rate": 2.0 ** -(3 + i), "epochs": 4}), 0) for i in range(2)]
    jobs.append(Job(Trial(2, {"learning_rate": 0.125, "epochs": 2}), 1))
    whole, cut, alone = (make(name, callbacks={}) for name in ("whole", "cut", "alone"))
    wanted = whole.train(whole.pack(jobs)).records
    assert list(dict.fromkeys(taken)) == [(3, 3), (2, 1)]
    pack = cut.pack(jobs)
    first = cut.train(pack, Collector(stop_after=8))  # in the third epoch, of two runs
    assert list(first.records) == [jobs[2].id]
    assert {stop.epoch for stop in first.of(StopRecord)} == {3}
    left = pack.of(job for job in jobs if job.id not in first.records)
    assert results(first.records | cut.train(left).records) == results(wanted)
    assert result(alone.train(alone.pack(jobs[:1])).records[jobs[0].id]) == result(wanted[jobs[0].id])


def test_bytes_on_the_device_are_the_floats_that_the_host_makes_of_them(make, monkeypatch, forgetful):
    """And four times as many samples fit; of the others pieces are fed."""
    search = make(callbacks={}, epochs=2, augment={"rotation_range": 10})
    job, found = runs(0.125)[0], []
    monkeypatch.setattr(packs, "room_bytes", lambda: 100 * 64)
    for are_bytes, is_fed in ((True, False), (False, True)):
        monkeypatch.setattr(packs, "_are_bytes", lambda candidate, told=are_bytes: told)
        packs.forget()
        found.append(result(search.train(search.pack([job])).records[job.id]))
        assert (program_of(search, search.graphs([job.trial])[0].key).feed is not None) == is_fed
    packs.forget()
    assert map_samples(Path(search.recipe.data_folder), "").images.dtype == np.uint8
    assert found[0] == found[1]


# Going on


def test_a_stop_and_a_resume_give_the_same_bits(make, never_cut):
    search, whole = never_cut(WIDE)
    assert len({record.epochs for record in whole.values()}) > 1
    again = make("stopped")
    pack = again.pack(WIDE)
    first = again.train(pack, Collector(stop_after=3))
    stops = first.of(StopRecord)
    assert {stop.job for stop in stops} == {job.id for job in WIDE} - set(first.records)
    assert all(0 < stop.epoch < whole[stop.job].epochs for stop in stops)
    records = first.records | finished(again, pack.of(job for job in WIDE if job.id not in first.records), [])
    assert results(records) == results(whole)
    for job_id, record in records.items():
        assert record.error is None
        np.testing.assert_array_equal(again.predicted(job_id), search.predicted(job_id))


@on_tensorflow
def test_a_damaged_checkpoint_starts_the_pack_anew(make, never_cut):
    _, whole = never_cut(WIDE)
    again = make("damaged")
    pack = again.pack(WIDE)
    again.train(pack, Collector(stop_after=3))
    paths = again.recipe.paths
    [path] = {paths.checkpoint(*job.id) for job in WIDE if paths.checkpoint(*job.id).exists()}
    path.write_bytes(path.read_bytes()[:1000])
    assert results(again.train(pack).records) == results(whole)


@on_tensorflow
def test_a_pack_of_several_waves_goes_on_where_each_run_stood(make, never_cut, monkeypatch):
    """The second run of the first wave ends first, after which the checkpoint's file is named."""
    monkeypatch.setattr(wave, "CALL_S", 0)
    jobs = [Job(job.trial, 0) for job in runs(0.03125, 0.00390625, 0.0625, 0.125)]
    _, whole = never_cut(jobs, 2)
    assert whole[1, 0, 0].epochs < whole[0, 0, 0].epochs
    again = make("crashed", interval_s=0)
    pack = again.pack(jobs, 2)
    ended = [jobs[1].id, jobs[2].id]
    left = pack.of(job for job in jobs if job.id not in ended)
    assert left.waves == [kept for wave in pack.waves if (kept := [r for r in wave if r[0].id not in ended])]
    assert results(finished(again, pack, [7, 5, 7])) == results(whole)


@on_tensorflow
def test_runs_of_a_pack_whose_worker_died_go_on_one_by_one(make, monkeypatch):
    monkeypatch.setattr(wave, "CALL_S", 0)
    search = make(interval_s=0)
    pack = search.pack(WIDE)
    first = Crashing(5)
    with pytest.raises(Crash):
        search.train(pack, first)
    assert not first.records
    for part in split(pack):
        second = search.train(part)
        assert second.of(EpochRecord)[0].epoch > 1
        for job_id in second.records:
            search.recipe.paths.checkpoint(*job_id).unlink(missing_ok=True)


@on_tensorflow
def test_runs_read_at_several_epochs_score_as_runs_of_their_own(make):
    jobs = [
        Job(Trial(2 * i + j, {"learning_rate": rate, "epochs": epochs}), 0)
        for i, rate in enumerate([0.1, 0.02])
        for j, epochs in enumerate([2, 4])
    ]
    searches = [make(name, callbacks={}) for name in ("shared", "apart")]
    shared = searches[0].train(searches[0].pack(jobs, 2, shares=True)).records
    apart = searches[1].train(searches[1].pack(jobs, 4)).records
    assert set(shared) == set(apart) == {job.id for job in jobs}
    assert [shared[job.id].epochs for job in jobs] == [2, 4, 2, 4]
    for job in jobs:
        one, two = shared[job.id], apart[job.id]
        predictions = [search.predicted(job.id) for search in searches]
        assert (one.epochs, one.best_epoch) == (two.epochs, two.best_epoch)
        assert one.error is two.error is None
        assert result(one) == result(two)
        np.testing.assert_array_equal(*predictions)
    again = make("stopped", callbacks={})
    pack = again.pack(jobs, 2, shares=True)
    # Each epoch emits a record for each job that has not ended: 4, 4, then 2.
    first = again.train(pack, Collector(stop_after=9))
    assert {job_id[0] for job_id in first.records} == {0, 2}
    assert first.of(StopRecord) == [StopRecord((1, 0, 0), 3), StopRecord((3, 0, 0), 3)]
    left = pack.of(job for job in jobs if job.id not in first.records)
    assert results(first.records | again.train(left).records) == results(shared)


@on_tensorflow
@pytest.mark.parametrize("until", [None, 3])
def test_a_run_whose_checkpoint_is_past_a_lost_end_is_trained_anew(make, tmp_path, until):
    """Power may be lost between a checkpoint, which is synced at once, and what was journalled before."""
    jobs = [Job(Trial(i, {"learning_rate": 0.02, "epochs": epochs}), 0) for i, epochs in enumerate([2, 5])]
    whole, again = make("whole", callbacks={}), make("lost", interval_s=0, callbacks={})
    wanted = whole.train(whole.pack(jobs, shares=True)).records
    pack = again.pack(jobs, shares=True)
    again.train(dataclasses.replace(pack, until=until), None if until else Collector(stop_after=7))
    records = again.train(pack).records
    assert [record.epochs for record in records.values()] == [2, 5]
    assert results(records) == results(wanted)


# Waiting at a rung


def until(pack, epoch):
    return dataclasses.replace(pack, until=epoch)


@pytest.mark.parametrize("width", [pytest.param(1, marks=on_tensorflow), 2])
def test_runs_that_wait_and_go_on_in_other_company_are_runs_that_never_waited(make, width):
    """All wait after 2 epochs, and the first and the last go on together."""
    whole, search = make("whole"), make("halved")
    two = [WIDE[0], WIDE[-1]]
    wanted = whole.train(whole.pack(two, width)).records
    waiting = search.train(until(search.pack(WIDE, width), 2))
    assert not waiting.records
    reached = {rung.reached.job: rung.reached for rung in waiting.of(RungRecord)}
    assert set(reached) == {job.id for job in WIDE}
    assert {record.epochs for record in reached.values()} == {2}
    assert all(search.recipe.paths.checkpoint(*job.id).exists() for job in WIDE)
    found = search.train(search.pack(two, width)).records
    assert found.keys() == wanted.keys()
    for id_, record in found.items():
        assert record.epochs == wanted[id_].epochs
        np.testing.assert_allclose(record.history["loss"], wanted[id_].history["loss"], rtol=1e-6)
        assert record.history["loss"][:2] == reached[id_].history["loss"]
        assert record.score == pytest.approx(wanted[id_].score)


@on_tensorflow
def test_a_run_that_waited_when_its_record_was_lost_is_not_trained_again(make):
    search = make().but(decides_by_val=True)
    pack = until(search.pack(WIDE[:1]), 2)
    first, second = search.train(pack), search.train(pack)
    assert len(first.of(EpochRecord)) == 2
    assert not second.of(EpochRecord)
    [one], [two] = first.of(RungRecord), second.of(RungRecord)
    assert result(one.reached) == result(two.reached)
    assert one.reached.val_score is not None


PLAIN = {"data": EVEN, "callbacks": {}, "params": {"epochs": 3, "batch_size": 10}}
"""Of no dropout, so that packs and Keras's own fit can be compared."""


@on_tensorflow
def test_keras_own_fit_waits_goes_on_and_is_trained_anew_as_a_pack_is(make, tmp_path, eager):
    """After the last rung as a grid would train it, on all rows; or held, on those of its inner split."""
    [job], grids = runs(0.125), maker(tmp_path / "grid")
    reached, held = {}, {}
    for in_pack in (True, False):
        search = make(f"search {in_pack}", **PLAIN, search=VAL).but(decides_by_val=True)
        pack = search.pack([job]) if in_pack else Pack((job,))
        waiting, again = search.train(until(pack, 2)), search.train(until(pack, 2))
        assert not waiting.records
        assert not again.of(EpochRecord)
        [rung], [same] = waiting.of(RungRecord), again.of(RungRecord)
        assert result(rung.reached) == result(same.reached)
        reached[in_pack] = rung.reached

        anew = search.but(frees_val=True).train(pack).records[job.id]
        grid = grids(f"grid {in_pack}", **PLAIN)
        grid = grid.train(grid.pack([job]) if in_pack else Pack((job,))).records[job.id]
        assert result(anew) == result(grid)
        assert anew.val_score is None

        held[in_pack] = search.train(pack).records[job.id]
        assert held[in_pack].history["loss"][:2] == rung.reached.history["loss"]
        assert len(held[in_pack].history["val_loss"]) == held[in_pack].epochs == anew.epochs
    assert reached[False].val_score == pytest.approx(reached[True].val_score)
    assert reached[False].score == pytest.approx(reached[True].score)
    whole = make("whole", **PLAIN, search=VAL).train(Pack((job,))).records[job.id]
    assert held[False].history["loss"] == whole.history["loss"]
    assert held[False].score == whole.score


@on_tensorflow
@pytest.mark.parametrize("in_pack", [True, False])
def test_a_training_anew_goes_on_from_its_own_checkpoint_and_no_rungs(make, in_pack):
    search = make(interval_s=0, callbacks={}, epochs=5).but(decides_by_val=True, frees_val=True)
    pack = search.pack(WIDE[:1]) if in_pack else Pack((WIDE[0],))
    search.train(until(pack, 3))
    stopped = search.train(pack, Collector(stop_after=2))
    assert [record.epoch for record in stopped.of(EpochRecord)] == [1, 2]
    rest = search.train(pack)
    assert [record.epoch for record in rest.of(EpochRecord)] == [3, 4, 5]


# Programs


def program_of(search, graph="graph"):
    return packs._program(Candidate.of(search.recipe, WIDE[0].trial.params), graph)[0]


def test_other_data_in_the_same_place_are_other_data(make):
    search = make()
    data = map_samples(Path(search.recipe.data_folder), search.recipe.source)
    place = search.recipe.paths.folder / "data"
    copy = search.but(data_folder=str(place))
    save_samples(place, Samples(data.images, data.labels, search.recipe.target), "X and y")
    before, divisor = program_of(copy).images
    save_samples(place, Samples(data.images[::-1], data.labels, search.recipe.target), "X and y")
    after, same = program_of(copy).images
    np.testing.assert_array_equal(np.asarray(after), np.asarray(before)[::-1])
    assert (np.asarray(after) != np.asarray(before)).any()
    assert same == divisor == 16


def test_searches_on_the_same_data_and_folds_share_a_program_wherever_they_run(make):
    search = make()
    assert program_of(make("elsewhere")) is program_of(search)
    place = search.recipe.paths.folder / "data"
    shutil.copytree(search.recipe.data_folder, place)
    assert program_of(search.but(data_folder=str(place))) is program_of(search)
    others = [make("folds", search={"folds": 4, "val": 0.2}), make("val", search={"folds": 2}, callbacks={})]
    others.append(make("scale", data={**EVEN, "scale": 8}))
    made = [program_of(search), *map(program_of, others), program_of(search, "other graph")]
    assert len(set(map(id, made))) == 5
    folds = [others[i].prepared.folds for i in (0, 1)]
    inner = [len(fold.train) - -(-len(fold.train) // 5) for fold in folds[0]]
    assert made[1].schedule == Schedule.of(inner, 10)
    assert made[2].schedule == Schedule.of([len(fold.train) for fold in folds[1]], 10)
    images, divisor = made[3].images
    assert np.asarray(images).max() / divisor == 2


@keras.saving.register_keras_serializable("tests")
class Lasso(keras.regularizers.Regularizer):
    def __call__(self, weights):
        return 0.01 * keras.ops.sum(keras.ops.abs(weights))

    def get_config(self):
        return {}


@keras.saving.register_keras_serializable("tests")
def doubled(x):
    return 2 * x


def net(n_classes, **own):
    layers = [keras.layers.Flatten(), keras.layers.Dense(8, **own)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(n_classes, "softmax")])


def regularized(input_shape, n_classes):
    return net(n_classes, kernel_regularizer=Lasso())


def activated(input_shape, n_classes):
    return net(n_classes, activation=doubled)


@pytest.mark.parametrize("model", [regularized, activated])
def test_parts_of_the_users_own_are_compiled_for_each_search(make, model):
    """They may have been defined anew since, as in a notebook, with the same name and config."""
    one, two = (make(name, model=model, params=None) for name in ("one", "two"))
    assert program_of(one) is program_of(one)
    assert program_of(one) is not program_of(two)


def test_a_later_fit_of_a_graph_makes_the_backend_forget_nothing(make, monkeypatch):
    """Seeding TensorFlow and clearing Keras's session both drop compiled kernels: half a second a program."""
    search = make().but(keeps_models=True)
    search.train(search.pack(WIDE[:1]))
    later = search.pack(WIDE[1:2])

    def refused(*_, **__):
        raise AssertionError("the backend was reset")

    monkeypatch.setattr(keras.utils, "set_random_seed", refused)
    monkeypatch.setattr(keras.backend, "clear_session", refused)
    assert search.train(later).records[WIDE[1].id].error is None


@on_tensorflow
@pytest.mark.parametrize("epochs", [1, 2])
def test_the_time_of_a_fit_is_without_that_of_compiling(make, monkeypatch, epochs, eager):
    """Of the first step, of that of fewer rows, and of whatever Keras's own fit does before and in them."""
    data, params = {**EVEN, "subset": 101}, {"epochs": epochs, "units": [16 + epochs]}
    search = make(f"times {epochs}", callbacks={}, data=data, params=params)
    makers, compiled = {name: getattr(Program, f"_compile_{name}") for name in ("train", "tail")}, []
    clock, late = time.perf_counter, []
    monkeypatch.setattr(time, "perf_counter", lambda: clock() + sum(late))

    def slow(name):
        def compiling(self, *sizes):
            made = makers[name](self, *sizes)

            def called(*arguments):
                if name not in compiled:
                    compiled.append(name)
                    late.append(1000)
                return made(*arguments)

            return called

        return compiling

    for name in makers:
        monkeypatch.setattr(Program, f"_compile_{name}", slow(name))
    records = search.train(search.pack(WIDE)).records
    assert compiled == ["train", "tail"]
    assert all(0 < record.fit_time < 900 for record in records.values())

    class Slow(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if not compiled:
                compiled.append(batch)
                late.append(1000)

    compiled.clear()
    monkeypatch.setattr("kerasgrid.training.candidate.hooks_of", lambda *given: [Slow()])
    [own] = search.train(Pack((WIDE[0],))).records.values()
    assert compiled == [0]
    assert 0 < own.fit_time < 900


@on_tensorflow
def test_a_place_is_given_up_when_half_of_them_are_empty(make, monkeypatch):
    """Each width is a program to compile, and what fills an empty place touches nobody."""
    train, widths = Program.train, []

    def watched(self, states, fixed, inputs, *rest):
        widths.append((epochs[tuple(inputs["key"][-1])], len(fixed["numbers"])))
        return train(self, states, fixed, inputs, *rest)

    search, alone = make(callbacks={}), make("alone", callbacks={})
    lengths = [1, 2, 3, 4, 4]
    jobs = [Job(Trial(i, {"learning_rate": 2.0 ** -(3 + i), "epochs": n}), 0) for i, n in enumerate(lengths)]
    epochs = {tuple(draw_key(search.recipe.seed, jobs[-1], epoch)): epoch for epoch in range(4)}
    wanted = alone.train(alone.pack(jobs, 1)).records
    monkeypatch.setattr(Program, "train", watched)
    found = search.train(search.pack(jobs)).records
    assert [max(w for e, w in widths if e == epoch) for epoch in range(4)] == [5, 5, 3, 2]
    for job, length in zip(jobs, lengths, strict=True):
        assert found[job.id].epochs == length
        np.testing.assert_allclose(found[job.id].history["loss"], wanted[job.id].history["loss"], rtol=1e-4)


# Errors, and memory that ends


@on_tensorflow
def test_a_job_that_cannot_be_scored_takes_no_other_of_its_run_with_it(make, monkeypatch):
    search = make(callbacks={})
    jobs = [Job(Trial(i, {"learning_rate": 0.125, "epochs": epochs}), 0) for i, epochs in enumerate([1, 3])]
    score = wave.score

    def failing(recipe, job, *rest):
        if job.id == jobs[0].id:
            raise ValueError("no such class")
        return score(recipe, job, *rest)

    monkeypatch.setattr(wave, "score", failing)
    records = search.train(search.pack(jobs, shares=True)).records
    told = records[jobs[0].id].error["message"]
    assert re.fullmatch(r"trial 0, fold 0: \S*test_packs\.py:\d+, ValueError: no such class", told)
    assert records[jobs[1].id].error is None
    assert records[jobs[1].id].epochs == 3


@on_tensorflow
def test_after_an_error_in_the_middle_each_run_is_tried_by_itself(make, monkeypatch):
    """As of a kernel that fails for what one of the runs does."""
    search = make()
    train, bad = Program.train, draw_key(search.recipe.seed, WIDE[1], epoch=1)

    def broken(self, states, fixed, inputs, *rest):
        if any((key == bad).all() for key in inputs["key"]):
            raise RuntimeError("INTERNAL: kernel failed")
        return train(self, states, fixed, inputs, *rest)

    monkeypatch.setattr(Program, "train", broken)
    records = search.train(search.pack(WIDE)).records
    assert set(records) == {job.id for job in WIDE}
    assert "INTERNAL: kernel failed" in records[WIDE[1].id].error["message"]
    assert records[WIDE[0].id].error is None
    assert records[WIDE[2].id].error is None


class ResourceExhaustedError(Exception):
    """Has the name of TensorFlow's."""


@on_tensorflow
@pytest.mark.parametrize("since", [0, 2])
def test_runs_that_do_not_fit_into_memory_side_by_side_are_trained_half_at_a_time(
    make, never_cut, monkeypatch, forgetful, since
):
    """The room ends at once, or while a third epoch is trained."""
    _, wanted = never_cut(WIDE)
    train, widths = Program.train, []

    search = make()
    before = {tuple(draw_key(search.recipe.seed, job, epoch)) for job in WIDE for epoch in range(since)}

    def full(self, states, fixed, inputs, *rest):
        keys = inputs["key"]
        widths.append(len(keys))
        if len(keys) > 1 and tuple(keys[0]) not in before:
            raise ResourceExhaustedError("OOM when allocating tensor with shape[512,784]")
        return train(self, states, fixed, inputs, *rest)

    pack = search.pack(WIDE)
    monkeypatch.setattr(Program, "train", full)
    found = search.train(pack).records
    assert set(widths) == {3, 2, 1} if since == 0 else {3, 1} <= set(widths)
    assert set(found) == {job.id for job in WIDE}
    for job in WIDE:
        assert found[job.id].error is None
        assert found[job.id].epochs == wanted[job.id].epochs
        np.testing.assert_allclose(found[job.id].history["loss"], wanted[job.id].history["loss"], rtol=1e-4)


@on_tensorflow
def test_what_did_not_fit_is_given_back_and_not_tried_again(make, monkeypatch, forgetful):
    """The halves would not fit either while the first program were kept."""
    train, widths, programs = Program.train, [], []

    def full(self, states, fixed, *rest):
        widths.append(len(fixed["numbers"]))
        programs.append(weakref.ref(self))
        gc.collect(2)
        assert len({id(program()) for program in programs if program() is not None}) == 1
        if widths[-1] > 1:
            raise ResourceExhaustedError("OOM when allocating tensor")
        return train(self, states, fixed, *rest)

    monkeypatch.setattr(Program, "train", full)
    packs._programs.clear()
    search = make(callbacks={}, epochs=1)
    records = search.train(search.pack(runs(*(2.0**-i for i in range(3, 7))), 2)).records
    assert all(record.error is None for record in records.values())
    assert widths.count(2) == 1
    assert programs[0]() is None


@on_tensorflow
def test_samples_that_take_much_are_fed_in_pieces_before_runs_part(make, never_cut, monkeypatch, forgetful):
    """The room ends when a trial is timed, or while a second epoch is trained."""
    search, wanted = never_cut(WIDE)
    again, train, widths = make(), Program.train, []

    def full(self, states, fixed, inputs, *rest):
        widths.append((len(inputs["key"]), self.feed is not None))
        if self.feed is None and len(widths) > most:
            raise ResourceExhaustedError("OOM when allocating tensor with shape[512,784]")
        return train(self, states, fixed, inputs, *rest)

    n_bytes, _ = packs.pieces_of(Candidate.of(search.recipe, WIDE[0].trial.params), 0)
    monkeypatch.setattr(packs, "room_bytes", lambda: 2 * n_bytes)
    monkeypatch.setattr(packs, "TRIAL_S", 0)
    monkeypatch.setattr(Program, "train", full)
    most, context = 0, Collector()
    packs.measure(again.recipe, again.pack(WIDE[:1]), context)
    assert [*context.of(WidthRecord)[0].seconds] == [1]
    assert dict(widths) == {1: True}
    packs._too_large.clear()
    packs.forget()
    widths.clear()
    most = 2
    np.testing.assert_equal(results(again.train(again.pack(WIDE)).records), results(wanted))
    assert widths[:4] == [(3, False)] * 3 + [(3, True)]


def fallen(search, pack):
    """Trains a pack of which something is left to Keras's own fit, and returns what is told of it."""
    context = Collector()
    train_pack(search.recipe, pack, context)
    [note] = context.of(NoteRecord)
    assert {job_id: record.error for job_id, record in context.records.items()} == dict.fromkeys(
        job.id for job in pack.jobs
    )
    return note.text


@on_tensorflow
def test_what_alone_does_not_fit_takes_keras_own_fit_and_the_others_their_program(
    make, monkeypatch, forgetful, eager
):
    search = make(callbacks={}, epochs=2)
    train, trained = Program.train, set()

    def keys(*jobs):
        return {tuple(draw_key(search.recipe.seed, job, epoch).tolist()) for job in jobs for epoch in (0, 1)}

    def full(self, states, fixed, inputs, *rest):
        own = {*map(tuple, inputs["key"].tolist())}
        if own & keys(WIDE[1]):
            raise ResourceExhaustedError("OOM when allocating tensor")
        trained.update(own)
        return train(self, states, fixed, inputs, *rest)

    monkeypatch.setattr(Program, "train", full)
    told = fallen(search, search.pack(WIDE))
    assert "learning_rate': 0.00390625" in told
    assert "OOM when allocating tensor" in told
    assert trained == keys(WIDE[0], WIDE[2])


@on_tensorflow
def test_a_program_that_cannot_be_traced_leaves_all_runs_to_keras_own_fit(
    make, monkeypatch, forgetful, eager
):
    search = make(callbacks={}, epochs=1)

    def broken(*_):
        raise TypeError("no such kernel")

    monkeypatch.setattr(Program, "evaluate", broken)  # after the first epoch was trained
    assert "no such kernel" in fallen(search, search.pack(WIDE[:2], 1))
