from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn import model_selection

from kerasgrid.checks.draft import read_draft
from kerasgrid.checks.folds import folds_of, warnings_of_folds
from kerasgrid.checks.prepared import prepare
from kerasgrid.data.in_memory import Given
from kerasgrid.errors import ConfigError
from kerasgrid.records import Dataset, Fold, Target

X = np.random.default_rng(0).random((12, 4))
Y = np.arange(12) % 2


def data_of(labels, **arrays):
    labels = np.asarray(labels)
    if labels.dtype.kind == "f":
        target = Target("numbers", ("price", "size"))
    else:
        target = Target("classes", ("a", "b", "c")) if labels.ndim == 1 else Target("labels", ("a", "b"))
    arrays = {name: np.asarray(array) for name, array in arrays.items()}
    return Dataset(np.zeros((len(labels), 2)), labels, target, "", "data", **arrays)


def faults_of(data, cv, **search):
    draft = read_draft({"model": "fc", "search": search})
    assert folds_of(draft, data, Given(cv=cv)) == []
    return [(fault.path, fault.message) for fault in draft.report.faults]


def warnings_of(data, cv):
    folds = [Fold(index, np.array(train), np.array(test)) for index, (train, test) in enumerate(cv)]
    return warnings_of_folds(data, folds)


WAYS = "Split otherwise, into fewer folds perhaps, or take another objective."
HALVES = [([0, 1, 2], [3, 4, 5]), ([3, 4, 5], [0, 1, 2])]


@pytest.mark.parametrize(
    ("labels", "objective", "told"),
    [
        ([0, 1, 0, 1, 0, 1], "accuracy", []),
        ([0, 1, 2, 0, 0, 0], "accuracy", ["fold 1 trains on class 'a' alone: split otherwise."]),
        (
            [0, 1, 2, 0, 1, 0],
            "roc_auc_ovr",
            [f"fold 0 holds out no sample of class 'c', without which roc_auc_ovr says nothing. {WAYS}"],
        ),
        ([[0, 1], [1, 0], [0, 1], [1, 0], [0, 0], [1, 0]], "f1_macro", []),
        (
            [[0, 1], [1, 0], [0, 1], [1, 0], [0, 0], [1, 0]],
            "roc_auc",
            [
                "fold 0 holds out samples that all have, or all lack, label 'b', for which roc_auc says "
                f"nothing. {WAYS}"
            ],
        ),
        (
            [[1.0, 0.0], [1.0, 1.0], [1.0, 2.0], [2.0, 2.0], [3.0, 4.0], [4.0, 3.0]],
            "neg_mean_squared_error",
            [
                "fold 0 trains on 3 samples whose price is 1 in all: there is nothing to learn. Split "
                "otherwise."
            ],
        ),
        (
            [[1.0, 0.0], [2.0, 1.0], [3.0, 2.0], [4.5, 2.0], [4.5, 4.0], [4.5, 3.0]],
            "r2",
            [
                f"fold 0 holds out 3 samples whose price is 4.5 in all, of which r2 says nothing. {WAYS}",
                "fold 1 trains on 3 samples whose price is 4.5 in all: there is nothing to learn. Split "
                "otherwise.",
            ],
        ),
    ],
)
def test_folds_on_which_nothing_can_be_learnt_or_scored_are_faults(labels, objective, told):
    found = read_draft({"model": "fc", "search": {"objective": objective}})
    folds = folds_of(found, data_of(labels), Given(cv=HALVES))
    assert [(fault.path, fault.message) for fault in found.report.faults] == [("cv", text) for text in told]
    assert bool(folds) != bool(told)


def test_a_fold_that_trains_on_nothing_that_counts_is_a_fault():
    data = data_of([0, 1, 0, 1, 0, 1], weights=[1.0, 0.0, 2.0, 0.0, 0.0, 0.0])
    told = "fold 1 trains on samples that weigh nothing: split or weigh otherwise."
    assert faults_of(data, HALVES) == [("cv", told)]


@pytest.mark.parametrize(
    ("search", "given", "message"),
    [
        ({"folds": 3}, {"cv": HALVES}, ("cv", "search.folds")),
        ({"holdout": 0.3}, {"cv": HALVES}, ("cv", "search.holdout")),
        ({"folds": {"n": 2}}, {"validation_data": (X, Y)}, ("validation_data", "search.folds")),
        ({}, {"validation_data": (X, Y), "cv": HALVES}, ("cv", "validation_data")),
    ],
)
def test_one_thing_says_what_is_held_out(search, given, message):
    draft = read_draft({"model": "fc", "search": search})
    assert folds_of(draft, data_of(Y), Given(**given)) == []
    (fault,) = draft.report.faults
    told = f"says what is held out, and so does {message[1]}: keep one of them."
    assert (fault.path, fault.message) == (message[0], told)


@pytest.mark.parametrize(
    ("data", "cv", "told"),
    [
        (data_of([0, 1, 0, 1, 0, 1]), HALVES, []),
        (
            data_of([0, 1, 2, 0, 1, 0]),
            HALVES,
            [
                "some folds lack classes in what is trained on, which they can never say: fold 1 without "
                "class 'c' (1 sample).",
                "some folds lack classes in what is held out, of which their scores say nothing: fold 0 "
                "without class 'c' (1 sample).",
            ],
        ),
        (data_of([[0, 1], [1, 1], [0, 0], [1, 0], [0, 1], [0, 0]]), HALVES, []),
        (
            data_of([[0, 1], [1, 0], [0, 1], [1, 0], [0, 0], [1, 0]]),
            HALVES,
            [
                "some folds lack labels in what is trained on, which they can never say: fold 1 without "
                "label 'b' (2 samples).",
                "some folds lack labels in what is held out, of which their scores say nothing: fold 0 "
                "without label 'b' (2 samples).",
            ],
        ),
        (
            data_of([0, 1, 0, 0, 0, 0]),
            HALVES[:1],
            [
                "fold 0 holds out class 'a' alone: its score says little.",
                "some folds lack classes in what is held out, of which their scores say nothing: fold 0 "
                "without class 'b' (1 sample).",
            ],
        ),
        (
            data_of([[1.0, 0.0], [2.0, 1.0], [3.0, 2.0], [4.5, 2.0], [4.5, 4.0], [4.5, 3.0]]),
            HALVES[:1],
            [
                "fold 0 holds out 3 samples whose price is 4.5 in all: its score says nothing of what is "
                "learnt."
            ],
        ),
        (
            data_of([0, 1, 0, 1, 0, 1], groups=[0, 0, 1, 1, 1, 2]),
            HALVES,
            [
                "folds 0, 1 are trained on groups that are held out too, 1 of 3 in the first: scores may "
                "know them. Write search.folds: {kind: group} to keep them apart."
            ],
        ),
        (
            data_of([0, 1, 0, 1, 0, 1], groups=[0, 7, 7, 7, 7, 7]),
            [([1, 2, 3, 4, 5], [0])],
            [
                "fold 0 holds out class 'a' alone: its score says little.",
                "some folds lack classes in what is held out, of which their scores say nothing: fold 0 "
                "without class 'b' (3 samples).",
                "one group, that of sample 1 (counted from 0), holds 83% of all samples: where it is held "
                "out, the others alone are trained on.",
            ],
        ),
        (
            data_of([0, 1, 0, 1, 0, 1], times=[1, 2, 3, 3, 4, 5]),
            HALVES,
            [
                "fold 1 is trained on samples that are later, by data.time, than some of those held out: "
                "scores may know what comes. Write search.folds: {kind: time} to look ahead nowhere."
            ],
        ),
        (
            data_of(np.arange(40) % 2),
            [(np.arange(4), np.arange(4, 40)), (np.arange(2, 40), np.arange(2))],
            ["fold 1 holds out 2 samples, and folds 19 on average: its score counts as much as the others'."],
        ),
    ],
)
def test_what_of_folds_is_probably_not_meant(data, cv, told):
    assert warnings_of(data, cv) == tuple(told)


def test_a_class_with_fewer_samples_than_folds_is_a_warning():
    found = prepare({"model": "fc"}, Given(X, np.array([0] * 6 + [1] * 5 + [2])))
    assert [line.partition(":")[0] for line in found.warnings if line.startswith("some folds lack")] == [
        "some folds lack classes in what is trained on, which they can never say",
        "some folds lack classes in what is held out, of which their scores say nothing",
    ]


def test_groups_are_given_in_python():
    groups = np.repeat(["x", "y", "z", "w"], 3)
    prepared = prepare({"model": "fc", "search": {"folds": 2}}, Given(X, Y, groups=groups))
    assert prepared.how.kind == "stratified_group"
    assert prepared.data.groups.tolist() == [1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0]
    for fold in prepared.folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
    by = prepared.identity["search.folds"]
    assert by == {"folds": 2, "kind": "stratified_group", "gap": 0, "groups": by["groups"]}
    other = prepare({"model": "fc", "search": {"folds": 2}}, Given(X, Y, groups=groups[::-1]))
    assert other.identity["search.folds"] != by
    mixed = prepare({"model": "fc"}, Given(X, Y, groups=[1, "a", "a", 2] * 3))
    assert mixed.data.groups.tolist() == [0, 2, 2, 1] * 3


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (np.arange(11), "groups have shape (11,), and there are 12 samples: a group for each holds."),
        ([1.0] * 11 + [np.nan], "groups: sample 11 (counted from 0) has none. Give it one; its own, where"),
        (["a"] * 5 + [None] * 7, "groups: sample 5 (counted from 0) has none."),
    ],
)
def test_groups_that_are_none(groups, message):
    with pytest.raises(ConfigError) as caught:
        prepare({"model": "fc"}, Given(X, Y, groups=groups))
    assert message in str(caught.value)


def test_groups_of_a_file_are_a_column():
    with pytest.raises(
        ConfigError, match=r"groups are given without X: name the file's column in data\.group"
    ):
        prepare({"model": "fc", "data": {"train": "digits"}}, Given(groups=Y))


def test_a_splitter_makes_the_folds_and_is_part_of_what_makes_a_run_the_same():
    config = {"model": "fc", "data": {"train": "digits"}}
    found = prepare(config, Given(cv=model_selection.ShuffleSplit(4, random_state=0)))
    assert (len(found.folds), found.cv) == (4, "ShuffleSplit")
    same = prepare(config, Given(cv=model_selection.ShuffleSplit(4, random_state=0)))
    other = prepare(config, Given(cv=model_selection.ShuffleSplit(4, random_state=1)))
    assert found.identity["search.folds"] == same.identity["search.folds"]
    assert found.identity["search.folds"] != other.identity["search.folds"]
    with pytest.raises(ConfigError, match="cv: is 3; a splitter of scikit-learn's or an iterable"):
        prepare(config, Given(cv=3))


@pytest.mark.parametrize(
    ("search", "known"),
    [
        ({}, {"folds": 3}),
        ({"folds": 5}, {"folds": 5}),
        ({"folds": {"n": 5}}, {"folds": 5}),
        ({"folds": {"kind": "stratified"}}, {"folds": 3}),
        ({"folds": {"kind": "plain"}}, {"folds": 3, "kind": "plain", "gap": 0}),
        ({"holdout": 0.2}, {"holdout": 0.2}),
    ],
)
def test_searches_of_the_first_versions_are_the_same_searches(search, known):
    prepared = prepare({"model": "fc", "data": {"train": "digits"}, "search": search})
    assert prepared.identity["search.folds"] == known


@pytest.mark.parametrize(
    ("held_out", "told"),
    [
        ("5,0,p9,2024-03-01\n6,1,p8,2024-04-01\n", ()),
        (
            "5,0,p1,2024-03-01\n6,1,p9,2024-04-01\n",
            (
                "validation: 1 of its 2 groups are in train too: scores may know them. Leave their rows out "
                "of one of the two.",
            ),
        ),
        (
            "5,0,p8,2024-01-02\n6,1,p9,2024-04-01\n",
            (
                "train has samples that are later, by data.time, than some of validation: scores may know "
                "what comes.",
            ),
        ),
    ],
)
def test_rows_held_out_by_a_file_are_held_against_groups_and_times(tmp_path, held_out, told):
    header = "a,label,who,when\n"
    rows = [f"{n % 5},{n % 2},p{n % 3},2024-01-{n + 1:02}\n" for n in range(12)]
    paths = tmp_path / "train.csv", tmp_path / "other.csv"
    for path, text in zip(paths, ("".join(rows), held_out), strict=True):
        path.write_text(header + text)
    keys = {"group": "who", "time": "when", "features": {"numeric": ["a"]}}
    files = {"train": str(paths[0]), "validation": str(paths[1])}
    found = prepare({"name": "x", "model": "mlp", "data": {**files, **keys}}).warnings
    names = {str(paths[0]): "train", str(paths[1]): "validation"}
    frames = [pd.read_csv(path) for path in paths]
    given = Given(frames[0], validation_data=(frames[1], frames[1]["label"]))
    in_python = prepare({"model": "mlp", "data": {**keys, "label": "label"}}, given).warnings
    for warnings, called in ((found, names), (in_python, {"validation_data": "validation", "X": "train"})):
        own = [line for line in warnings if "scores may" in line]
        for name, other in called.items():
            own = [line.replace(name, other) for line in own]
        assert tuple(own) == told
