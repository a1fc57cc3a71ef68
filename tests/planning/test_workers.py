import os
from types import SimpleNamespace

import pytest

from kerasgrid import machine
from kerasgrid.checks.draft import read_draft
from kerasgrid.errors import ModelError
from kerasgrid.executors import Died, Emitted, Host, Inline, Layout
from kerasgrid.models.references import parse_reference
from kerasgrid.planning.workers import (
    ask_worker,
    connecting,
    gpu_share,
    make_executor,
    most_fits,
    prepare_beside,
    reading,
    run_probes,
    threads_of,
    why_not_used,
)
from kerasgrid.records import ProbeRecord
from kerasgrid.training import entry

KERAS, PYTHON = machine.versions()["keras"], machine.python_version()


def draft(**changes):
    return read_draft({"data": {"train": "digits"}, "model": "fc", **changes})


class Losing(Inline):
    """An executor whose machine goes with each task, so many times."""

    def __init__(self, n_losses):
        super().__init__()
        self.n_left = n_losses

    def run(self, function, tasks):
        for task in tasks:
            if self.n_left:
                self.n_left -= 1
                yield Died(task, "was lost with its machine", False, is_lost=True)
            else:
                yield Emitted(task, self.answer(task))

    def answer(self, task):
        return ProbeRecord(task, None, None, None) if isinstance(task, dict) else "told"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"kerasgrid": "unknown"}, None),
        ({"python": "3.0", "keras": "2.1"}, f"keras 2.1, here {KERAS} and python 3.0, here {PYTHON}"),
    ],
)
def test_a_worker_with_other_versions_is_not_used(monkeypatch, changed, expected):
    monkeypatch.setattr(entry, "load", lambda: None)
    monkeypatch.setattr(entry.os, "environ", dict(os.environ))
    told = entry.settle(1, {}, 0)
    whole = expected and f"vm-1 is not used: it has {expected}. Install the same there."
    assert why_not_used("vm-1", told | changed) == whole


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            ModuleNotFoundError("No module named 'keras'"),
            "No module named 'keras'. Install it there as it is here.",
        ),
        (AttributeError("no such thing."), "AttributeError: no such thing."),
    ],
)
def test_a_worker_whose_libraries_do_not_begin_is_not_used(monkeypatch, error, expected):
    def load():
        raise error

    monkeypatch.setattr(entry, "load", load)
    monkeypatch.setattr(entry.os, "environ", dict(os.environ))
    assert why_not_used("vm-1", entry.settle(1, {}, 0)) == f"vm-1 is not used: {expected}"


@pytest.mark.parametrize("n_losses", [2, 3])
def test_what_a_worker_is_asked_whose_machine_goes_is_asked_of_another(tmp_path, n_losses):
    (tmp_path / "nets.py").write_text("def build(units): ...")
    reference = parse_reference("nets.py:build", tmp_path)
    [record] = run_probes(SimpleNamespace(model=reference), Losing(n_losses), [{"units": 1}])
    lost = "was lost with its machine."
    if n_losses == 2:
        assert record.error is None
        assert ask_worker(Losing(n_losses), reference) == "told"
        return
    assert record.error == {"type": "WorkerDied", "message": f"the worker that built it {lost}"}
    with pytest.raises(ModelError, match=f"the worker that loaded it {lost}"):
        ask_worker(Losing(n_losses), reference)


class Probing:
    """An executor whose workers build no models, or find that the function returns none."""

    def __init__(self, returned):
        self.returned, self.asked = returned, []

    def run(self, function, tasks):
        for params in tasks:
            self.asked.append(params)
            kind = self.returned.get(params["units"])
            error = kind and {"type": kind, "message": "build returned str"}
            yield Emitted(params, ProbeRecord(params, None, error, None))


@pytest.mark.parametrize(
    ("returned", "n_asked", "n_refused"),
    [
        ({1: "NoModelError", 2: "NoModelError"}, 1, 3),
        ({1: "NoModelError"}, 1, 3),
        ({2: "NoModelError"}, 3, 1),
        ({1: "ModelError"}, 3, 1),
        ({}, 3, 0),
    ],
)
def test_what_returns_no_model_is_not_called_again(tmp_path, returned, n_asked, n_refused):
    (tmp_path / "nets.py").write_text("def build(units): ...")
    executor = Probing(returned)
    recipe = SimpleNamespace(model=parse_reference("nets.py:build", tmp_path))
    records = run_probes(recipe, executor, [{"units": n} for n in (1, 2, 3)])
    assert [record.params["units"] for record in records] == [1, 2, 3]
    assert len(executor.asked) == n_asked
    assert sum(record.error is not None for record in records) == n_refused


def hp(hp):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 3),
        ({"search": {"holdout": 0.2}}, 1),
        ({"space": {"dropout": [0.1, 0.2]}, "search": {"folds": 5, "repeats": 2}}, 20),
        ({"space": [{"dropout": [0.1, 0.2]}, {"batch_size": [8]}], "search": {"holdout": 0.2}}, 3),
        ({"space": {"dropout": {"low": 0.1, "high": 0.2}}, "search": {"engine": "random", "trials": 4}}, 12),
        ({"space": {"dropout": [0.1, 0.2]}, "search": {"trials": 1}}, 3),
        ({"space": {"dropout": {"low": 0.1, "high": 0.2}}}, None),
        ({"space": {"dropout": []}}, None),
        ({"serch": {}}, None),
        ({"model": hp}, None),
        ({"model": "no_such_model"}, None),
    ],
)
def test_most_fits(changes, expected):
    assert most_fits(draft(**changes)) == expected


def test_there_are_no_more_workers_than_fits_and_they_share_the_cores(monkeypatch):
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "default_workers", lambda share: 8)
    one = draft(search={"holdout": 0.2})
    with make_executor(one) as executor:
        assert (executor.n_workers, threads_of(one)) == (1, 8)
    with make_executor(draft()) as executor:
        assert (executor.n_workers, threads_of(draft())) == (3, 2)
    chosen = draft(executor={"workers": 4})
    with make_executor(chosen) as executor:
        assert (executor.n_workers, threads_of(chosen)) == (4, 2)


@pytest.mark.parametrize(
    ("gpus", "executor", "n_workers", "share", "told"),
    [
        ([], {"workers": 2}, 2, None, []),
        (["A", "A"], {}, 2, 1, []),
        (["A", "A"], {"gpus_per_worker": 0.5}, 3, 0.5, []),  # as many as it has fits
        (["A"], {"workers": 3}, 3, 1 / 3, []),
        (
            ["A", "A"],
            {"workers": 9, "gpus_per_worker": 0.3},
            6,
            0.3,
            ["executor.gpus_per_worker is 0.3: of 9 workers 6 have room on 2 GPUs, and only they start"],
        ),
        (
            [],
            {"workers": 2, "gpus_per_worker": 0.5},
            2,
            None,
            ["executor.gpus_per_worker is 0.5, and there is no GPU to use here: fits train on the processor"],
        ),
        (["A", "B"], {"workers": 1}, 1, 1, []),
        (
            ["A", "B"],
            {"workers": 3},
            3,
            0.5,
            [
                "devices are of several kinds, A for 2 workers and B for 1 worker: "
                "the last bits of scores differ by kind"
            ],
        ),
    ],
)
def test_workers_go_round_the_gpus_and_what_is_not_as_asked_for_is_told(
    monkeypatch, gpus, executor, n_workers, share, told
):
    monkeypatch.setattr(machine, "_visible_gpus", lambda: [str(i) for i in range(len(gpus))])
    monkeypatch.setattr(machine, "device_kinds", lambda: gpus or ["processor"])
    asked = draft(executor=executor)
    with make_executor(asked) as made:
        assert made.n_workers == n_workers
        assert gpu_share(asked.config, made.n_workers) == share
        assert list(prepare_beside(made, asked, starts=False).warnings) == told


@pytest.mark.parametrize(
    ("address", "variable", "expected"),
    [
        ("auto", "", "Connecting with the Ray cluster that runs on this machine."),
        ("auto", "head:6379", "Connecting with the Ray cluster at head:6379."),
        ("ray://head:10001", "other:6379", "Connecting with the Ray cluster at ray://head:10001."),
        ("local", "head:6379", "Beginning a Ray cluster of this machine alone."),
    ],
)
def test_connecting_is_told(monkeypatch, address, variable, expected):
    monkeypatch.setenv("RAY_ADDRESS", variable)
    assert connecting(address) == expected


def test_reading_says_of_which_cluster_the_workers_are(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    hosts = (Host("a", 0, 2.0, 0.0, 2**34),) * 2
    told = reading(draft(), 1, Layout("head:6379", "1 CPU and 1.5 GiB", hosts, 1))
    where = "of the Ray cluster at head:6379, which has 2 machines,"
    assert told == f"Reading digits, while 1 worker {where} imports JAX."
    assert reading(draft(), 3) == "Reading digits, while 3 workers import JAX."
