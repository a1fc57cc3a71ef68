"""What a plan says of the data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.model_selection import ShuffleSplit, TimeSeriesSplit

from kerasgrid.checks import prepared
from kerasgrid.checks.draft import read_draft
from kerasgrid.checks.prepared import prepare
from kerasgrid.data.in_memory import Given, dataset_from_arrays
from kerasgrid.driver.preview import (
    MAX_TARGETS,
    line_of_pieces,
    lines_about,
    lines_of_cluster,
    lines_of_folds,
    preview,
)
from kerasgrid.executors import Host, Layout
from kerasgrid.records import Column, Dataset, Table, Target, WeightsFile

N = 40
PRICES = np.linspace(34_900, 755_000, N)[:, np.newaxis]
COLUMNS = (
    Column("area", "numeric", has_blanks=True),
    Column("year", "numeric"),
    Column("street", "categorical", ("Grvl", "Pave")),
)
CLASSES = Target("classes", ("no", "yes"))


def lines(labels, target, scale=None, *, table=None, shape=(8, 8, 1), **more):
    images = np.zeros((N, *shape), np.float32)
    return lines_about(Dataset(images, labels, target, "sha256:0", "train.csv", table=table, **more), scale)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lines(np.arange(N) % 2, CLASSES), ["train.csv: 40 samples of 8 x 8 x 1 (float32)", "2 classes"]),
        (
            lines(np.arange(N) % 4 // 3, CLASSES, table=Table(COLUMNS), shape=(3,)),
            [
                "train.csv: 40 rows of 3 columns",
                "2 classes: no (75%), yes (25%)",
            ],
        ),
        (
            lines(PRICES, Target("numbers", ("SalePrice",)), "log", table=Table(COLUMNS[1:]), shape=(2,)),
            [
                "train.csv: 40 rows of 2 columns",
                "target SalePrice: 34,900 to 755,000, median 394,950; target_scale log",
            ],
        ),
        (
            lines(np.tile(PRICES / 1e6, 7), Target("numbers", tuple("abcdefg"))),
            [
                "train.csv: 40 samples of 8 x 8 x 1 (float32)",
                *(f"target {name}: 0.0349 to 0.755, median 0.3949" for name in "abcde"),
                f"{7 - MAX_TARGETS} more targets",
            ],
        ),
        (
            lines(np.ones((N, 3), np.uint8), Target("labels", ("a", "b", "c"))),
            [
                "train.csv: 40 samples of 8 x 8 x 1 (float32)",
                "3 labels, of which a sample has 3.0 on average",
            ],
        ),
        (
            lines(np.arange(N) % 2, CLASSES, groups=np.arange(N) // 12, weights=np.linspace(0.5, 2, N)),
            [
                "train.csv: 40 samples of 8 x 8 x 1 (float32)",
                "2 classes",
                "4 groups of 4 to 12 samples",
                "weights of 0.5 to 2",
            ],
        ),
        (
            lines(np.arange(N) % 2, CLASSES, groups=np.arange(N) // 10),
            ["train.csv: 40 samples of 8 x 8 x 1 (float32)", "2 classes", "4 groups of 10 samples each"],
        ),
    ],
)
def test_what_the_data_are_is_told(given, told):
    assert given == told


@pytest.mark.parametrize(("piece", "told"), [(5, "1 MiB"), (256 * 2**20, "256 MiB"), (3 * 2**29, "1.5 GiB")])
def test_pieces_are_told(piece, told):
    assert line_of_pieces(3 * 10**9, piece) == (
        "the samples take 2.8 GiB, for which a worker has no room: they are read in pieces of "
        f"{told} while it trains"
    )


X, Y = np.random.default_rng(0).random((N, 4)), np.arange(N) % 2
STOPS = {"callbacks": {"early_stopping": {"patience": 2}}}


@pytest.mark.parametrize(
    ("config", "given", "known", "told"),
    [
        ({}, {}, {}, ["3 stratified folds: about 26 to train on, 14 held out"]),
        (
            {"search": {"folds": {"kind": "plain"}}},
            {},
            {},
            ["3 shuffled folds: about 26 to train on, 14 held out"],
        ),
        ({"search": {"holdout": 0.2}}, {}, {}, ["holdout of 0.2: about 32 to train on, 8 held out"]),
        (
            {"search": {"folds": {"n": 2, "kind": "group"}}, **STOPS},
            {"groups": np.arange(N) // 10},
            {},
            [
                "2 folds by group: no group is both trained on and held out",
                "fold 0: 20 of 2 groups to train on, 20 of 2 groups held out",
                "fold 1: 20 of 2 groups to train on, 20 of 2 groups held out",
                "val_* is measured on 10% of what is trained on: whole groups",
            ],
        ),
        (
            {"search": {"folds": {"n": 2, "kind": "plain"}}},
            {"groups": np.arange(N) // 38},
            {},
            [
                "2 shuffled folds: some groups are both trained on and held out",
                "fold 0: 20 of 2 groups to train on, 20 of 2 groups held out",
                "fold 1: 20 of 2 groups to train on, 20 of 2 groups held out",
            ],
        ),
        (
            {"search": {"folds": {"gap": 1}}, **STOPS},
            {},
            {"times": np.arange(N) / 1},
            [
                "3 folds in time, 1 row left out before each",
                "fold 0: 9 to train on, 10 held out",
                "fold 1: 19 to train on, 10 held out",
                "fold 2: 29 to train on, 10 held out",
                "val_* is measured on 10% of what is trained on: the last in time",
            ],
        ),
        (
            {},
            {},
            {"given": np.repeat([0, 1], [10, 30])},
            [
                "2 folds by data.fold",
                "fold 0: 30 to train on, 10 held out",
                "fold 1: 10 to train on, 30 held out",
            ],
        ),
        (
            {},
            {"cv": ShuffleSplit(3, test_size=0.25, random_state=0)},
            {},
            ["3 folds of ShuffleSplit: about 30 to train on, 10 held out"],
        ),
        (
            {},
            {"cv": TimeSeriesSplit(19, test_size=2)},
            {},
            [
                "19 folds of TimeSeriesSplit",
                *(f"fold {fold}: {2 + 2 * fold} to train on, 2 held out" for fold in range(10)),
                "and 9 folds more",
            ],
        ),
    ],
)
def test_how_samples_are_split(config, given, known, told, monkeypatch):
    data = replace(dataset_from_arrays(X, Y, groups=given.get("groups")), **known)
    monkeypatch.setattr(prepared, "data_of", lambda *_, **__: data)
    assert lines_of_folds(prepare({"model": "fc", **config}, Given(X, Y, **given))) == told


@pytest.mark.slow
def test_a_table_of_numbers_is_planned_with_its_columns_and_target(tmp_path):
    rows = [f"{1000 + row},{row % 7},{'ab'[row % 2]},{100 * row + 0.5}" for row in range(40)]
    (tmp_path / "train.csv").write_text("\n".join(["id,size,street,price", *rows]))
    (tmp_path / "net.py").write_text(
        "import keras\n\n\ndef build(input_shape):\n"
        "    return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(1)])\n"
    )
    (tmp_path / "grid.yaml").write_text(
        "data: {train: train.csv, target: price, id: id, target_scale: standardize}\n"
        "model: net.py:build\nspace: {learning_rate: [0.1, 0.2]}\nexecutor: {kind: inline}\n"
    )
    found = preview(read_draft(tmp_path / "grid.yaml"), tmp_path / "results")
    text = "\n".join(found.lines())
    assert ": 40 rows of 2 columns\n" in text
    assert "target price: 0.5 to 3,900, median 1,950; target_scale standardize" in text
    assert "features: 1 numeric ('size'); 1 categorical ('street'); guessed" in text
    assert not {"classes", "stratified"} & set(text.split())
    assert "memory     not measured yet\n" in text + "\n"
    large = replace(found, models=(*found.models, replace(found.models[0], n_parameters=105_174_210)))
    told = "memory     not measured yet; 802 MiB a fit for weights and gradients alone"
    assert told in large.lines()
    assert found.as_json()["gpus"] == []
    assert not any(line.startswith("gpus") for line in found.lines())
    shared = replace(found, n_workers=2, gpus=("NVIDIA H200",) * 2, gpu_share=0.5)
    assert "gpus       NVIDIA H200: 0.5 of one for each worker" in shared.lines()
    mixed = replace(found, n_workers=3, gpus=("A", "B", "A"), gpu_share=None)
    assert "gpus       A for 2 workers and B for 1 worker" in mixed.lines()
    away = WeightsFile("imagenet of VGG16", "/home/f.h5", 9, None, "https://there/f.h5")
    assert replace(found, weights=(away,)).as_json()["weights"] == [
        {"name": away.name, "path": away.path, "bytes": 9, "at_hand": False, "url": away.url}
    ]
    told = found.as_json()["data"]
    assert told["targets"] == [{"name": "price", "low": 0.5, "median": 1950.5, "high": 3900.5}]
    assert told["columns"] == {"numeric": 1, "categorical": 1}
    assert not (tmp_path / "results").exists()


def test_where_workers_of_a_cluster_are():
    hosts = (Host("a", 2, 2.0, 1.0, 2**34), Host("b", 0, 1.0, 0.0, 2**31))
    needs = "1 CPU, 0.5 GPU and 1.5 GiB"
    assert lines_of_cluster(Layout("head:6379", needs, hosts, 1)) == [
        f"2 machines at head:6379, 2 workers there, and 1 that waits for a place: each takes {needs}",
        "a: 2 workers, of 2 CPU, 1 GPU and 16 GiB",
        "b: 0 workers, of 1 CPU and 2.0 GiB",
    ]
    many = lines_of_cluster(Layout("head:6379", "1 CPU and 1.5 GiB", hosts[:1] * 64, 0))
    assert many[0] == "64 machines at head:6379, 128 workers there: each takes 1 CPU and 1.5 GiB"
    assert many[-1] == "and 54 machines more"
    assert lines_of_cluster(None) == []
