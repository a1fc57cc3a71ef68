"""The rows that a candidate trains on, and their number, which the programs of packs are made for."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.config.sections import Folds
from kerasgrid.data.cache import save_samples
from kerasgrid.data.folds import make_folds, save_folds
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import WHOLE, Dataset, Fold, Target
from kerasgrid.run.paths import RunPaths
from kerasgrid.training.candidate import Candidate

pytestmark = pytest.mark.slow

N = 90
CLASSES = np.arange(N) % 3
NUMBERS = np.random.default_rng(0).normal(size=(N, 1))
GROUPS = np.random.default_rng(1).integers(0, 9, N)
TIMES = np.random.default_rng(2).integers(0, 40, N) / 1
GIVEN = np.arange(N) // 30


@pytest.mark.parametrize("val", [0.1, 0.35, "test_fold"])
@pytest.mark.parametrize(
    ("labels", "how", "known"),
    [
        (CLASSES, {}, {}),
        (CLASSES, {"kind": "plain"}, {}),
        (NUMBERS, {}, {}),
        (NUMBERS, {"kind": "stratified"}, {}),
        (CLASSES, {}, {"groups": GROUPS}),
        (CLASSES, {"kind": "group"}, {"groups": GROUPS}),
        (NUMBERS, {}, {"groups": GROUPS}),
        (CLASSES, {}, {"times": TIMES}),
        (NUMBERS, {"gap": 4}, {"times": TIMES}),
        (CLASSES, {}, {"given": GIVEN, "groups": GROUPS}),
        (NUMBERS, {}, {"given": GIVEN, "times": TIMES}),
    ],
)
def test_their_number_is_known_for_all_folds(tmp_path, labels, how, known, val):
    is_numbers = labels.ndim == 2
    target = Target("numbers", ("y",)) if is_numbers else Target("classes", (0, 1, 2))
    data = Dataset(np.zeros((N, 4), np.float32), labels, target, "", "data", **known)
    folds = make_folds(data, Folds(**how), seed=0)
    paths = RunPaths(tmp_path, "rows")
    save_folds(paths.folds, folds, N, "")
    mapped = save_samples(paths.data, data, "data")
    recipe = Recipe(
        model=None,
        signature=None,
        base="",
        target=target,
        objective="loss",
        seed=0,
        val=val,
        how=Folds(**how),
        data_folder=str(paths.data),
        paths=paths,
        source="data",
    )
    whole = Fold(WHOLE, np.arange(N), np.arange(0))
    for one in (data, mapped):
        candidate = Candidate(recipe, None, one)
        for fold in (*folds, whole):
            rows, held = candidate.rows(fold)
            assert candidate.n_rows(fold) == len(rows)
            assert np.isin(rows, fold.train).all()
            if val == "test_fold":
                assert held is fold.test
            else:
                assert not np.intersect1d(rows, held).size
    in_memory, from_disk = (Candidate(recipe, None, one).rows(folds[1]) for one in (data, mapped))
    for one, other in zip(in_memory, from_disk, strict=True):
        np.testing.assert_array_equal(one, other)
