"""Folds of all kinds in a run's folder: kept, gone on with, and read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from fakes import CONFIG, fake_probes, fake_train_pack
from sklearn.model_selection import LeaveOneGroupOut, RepeatedKFold, ShuffleSplit, TimeSeriesSplit

import kerasgrid.driver.search as driver
from kerasgrid.checks.prepared import prepare
from kerasgrid.data.folds import load_folds
from kerasgrid.data.in_memory import Given
from kerasgrid.driver.identity import check_identity
from kerasgrid.driver.search import search
from kerasgrid.errors import ChangedError
from kerasgrid.io import canonical_json
from kerasgrid.planning import packing
from kerasgrid.run.paths import RunPaths
from kerasgrid.tables.predictions import read_held_out

N = 60
X, Y = np.random.default_rng(0).random((N, 4)), np.arange(N) % 10
GROUPS = np.arange(N) // 5


@pytest.fixture(autouse=True)
def fake_trainer(monkeypatch):
    monkeypatch.setattr(driver, "train_pack", fake_train_pack)
    monkeypatch.setattr(packing, "run_probes", fake_probes)


def run(tmp_path, split=None, data=None, **given):
    config = {**CONFIG, "data": data or {}, "search": split or {}}
    return search(config, X, Y, results=tmp_path, **given)


@pytest.mark.parametrize(
    ("cv", "n_times"),
    [
        (TimeSeriesSplit(4), np.repeat([0, 1], [12, 48])),
        (RepeatedKFold(n_splits=3, n_repeats=2, random_state=0), np.full(N, 2)),
        (ShuffleSplit(3, test_size=0.5, random_state=0), None),
        (LeaveOneGroupOut(), np.full(N, 1)),
        ([(np.arange(40), np.arange(40, 60)), (np.arange(30), np.arange(30, 50))], None),
    ],
)
def test_splits_that_overlap_repeat_or_leave_rows_out_are_searched_and_gone_on_with(tmp_path, cv, n_times):
    results = run(tmp_path, cv=cv, groups=GROUPS)
    folds = load_folds(RunPaths(tmp_path, "fake").folds, N, "X and y")[0]
    splits = cv if isinstance(cv, list) else list(cv.split(X, Y, GROUPS))
    assert [fold.test.tolist() for fold in folds] == [sorted(test) for _, test in splits]
    assert (results.status, results.about.folds.n) == ("complete", len(splits))
    assert results.about.folds.kind == type(cv).__name__
    held_out = read_held_out(tmp_path / "fake.json")
    counts = np.bincount(np.concatenate([test for _, test in splits]), minlength=N)
    assert n_times is None or counts.tolist() == n_times.tolist()
    assert (held_out.folds >= 0).tolist() == (counts > 0).tolist()
    for part in held_out.trials.values():
        assert np.isnan(part).any(axis=1).tolist() == (counts == 0).tolist()
        np.testing.assert_allclose(part[counts > 0], 0.1, rtol=1e-6)
    again = run(tmp_path, cv=cv, groups=GROUPS)
    assert again.about.folds.fingerprint == results.about.folds.fingerprint


def test_groups_never_cross_in_what_is_kept(tmp_path):
    run(tmp_path, {"folds": 4}, groups=GROUPS)
    folds = load_folds(RunPaths(tmp_path, "fake").folds, N, "X and y")[0]
    assert len(folds) == 4
    for fold in folds:
        assert not np.intersect1d(GROUPS[fold.train], GROUPS[fold.test]).size


@pytest.mark.parametrize(
    ("split", "given", "told"),
    [
        (
            {"folds": {"n": 4, "kind": "plain"}},
            {"groups": GROUPS},
            'and is {"folds":4,"gap":0,"kind":"plain"}',
        ),
        ({"folds": {"n": 4, "kind": "group"}}, {"groups": GROUPS}, 'and is {"folds":4,"gap":0,"groups":"'),
        ({"folds": 4}, {"groups": GROUPS[::-1]}, "data changed; search.folds was "),
        ({"folds": 4}, {}, 'and is {"folds":4}'),
        ({}, {"groups": GROUPS, "cv": TimeSeriesSplit(3)}, 'and is {"cv":"sha256:'),
    ],
)
def test_other_folds_are_another_search(tmp_path, split, given, told):
    run(tmp_path, {"folds": 4}, groups=GROUPS)
    with pytest.raises(ChangedError) as caught:
        run(tmp_path, split, **given)
    assert "search.folds was {" in str(caught.value)
    assert told in str(caught.value)


def test_another_splitter_is_another_search(tmp_path):
    run(tmp_path, cv=ShuffleSplit(3, random_state=0))
    with pytest.raises(ChangedError, match=r'search.folds was {"cv":"sha256:'):
        run(tmp_path, cv=ShuffleSplit(3, random_state=1))


def test_a_target_scale_that_is_left_out_again_is_another_search(tmp_path):
    given = Given(X, np.arange(N) / 2)
    scaled = prepare({"data": {"target_scale": "log"}, "model": "fc"}, given)
    header = {"identity": json.loads(canonical_json(scaled.identity))}
    assert check_identity(scaled, tmp_path, header, ()) == {}
    with pytest.raises(ChangedError, match=r'data\.target_scale was "log", and is null'):
        check_identity(prepare({"model": "fc"}, given), tmp_path, header, ())
