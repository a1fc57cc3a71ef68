import os

import pytest

from kerasgrid import executors
from kerasgrid.draft import read_draft
from kerasgrid.workers import make_executor, most_fits, threads_of


def draft(**changes):
    return read_draft({"data": {"train": "digits"}, "model": "fc", **changes})


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
    monkeypatch.setattr(executors, "default_workers", lambda: 8)
    one = draft(search={"holdout": 0.2})
    with make_executor(one) as executor:
        assert (executor.n_workers, threads_of(one)) == (1, 8)
    with make_executor(draft()) as executor:
        assert (executor.n_workers, threads_of(draft())) == (3, 2)
    chosen = draft(executor={"workers": 4})
    with make_executor(chosen) as executor:
        assert (executor.n_workers, threads_of(chosen)) == (4, 2)
