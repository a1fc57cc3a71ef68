from __future__ import annotations

import os

import numpy as np
import pytest

from kerasgrid.config.sections import DataConfig
from kerasgrid.data.folds import test_fold as fold_of_test
from kerasgrid.data.load import load_data, load_with_test
from kerasgrid.errors import DataError, NotBuiltError


def rows(n, classes=2):
    return "label,p0,p1,p2,p3\n" + "".join(f"{row % classes},{row % 256},1,2,3\n" for row in range(n))


def test_digits(config):
    data = load_data(config("digits"))
    assert data.images.shape == (1797, 8, 8, 1)
    assert data.images.dtype == np.uint8
    assert data.images.max() == 16
    assert data.classes == tuple(range(10))
    assert data.source == "digits"
    assert data.report == ()


def test_a_test_set_follows_the_training_samples(write_csv):
    given = DataConfig(
        train=str(write_csv(rows(20, classes=3))),
        test=str(write_csv("label,p0,p1,p2,p3\n2,9,9,9,9\n0,8,8,8,8\n", "test.csv")),
    )
    data = load_with_test(given)
    assert (len(data), data.n_held_out, data.classes) == (22, 2, (0, 1, 2))
    assert data.labels[-2:].tolist() == [2, 0]
    assert data.images[-2:, 0, 0, 0].tolist() == [9, 8]
    fold = fold_of_test(len(data), data.n_held_out)
    assert (fold.train.tolist(), fold.test.tolist()) == (list(range(20)), [20, 21])
    other = str(write_csv("label,p0,p1,p2,p3\n7,9,9,9,9\n0,8,8,8,8\n", "other.csv"))
    with pytest.raises(DataError, match=r"other\.csv: has the class 7, which train\.csv has not"):
        load_with_test(given.model_copy(update={"test": other}))


def test_a_label_that_no_test_sample_has_is_no_fault_and_one_of_all_training_samples_is(tmp_path):
    labels = np.random.default_rng(0).integers(0, 2, (60, 3))
    rare = labels[:20] * [1, 1, 0]
    for name, given in (("train", labels), ("test", rare)):
        np.savez(tmp_path / f"{name}.npz", images=np.arange(len(given) * 36).reshape(-1, 6, 6), labels=given)
    files = {"train": str(tmp_path / "train.npz"), "test": str(tmp_path / "test.npz")}
    data = load_with_test(DataConfig(**files, multi_label=True))
    assert (len(data), data.n_held_out) == (80, 20)
    with pytest.raises(DataError, match=r"test\.npz: label 2 is 0 for all 20 samples"):
        load_data(DataConfig(train=files["test"], multi_label=True))


def test_a_test_set_may_be_of_one_class_and_training_samples_may_not(tmp_path):
    for name, labels in (("train", np.arange(20) % 2), ("test", np.zeros(20, int))):
        np.savez(tmp_path / f"{name}.npz", images=np.arange(720).reshape(-1, 6, 6), labels=labels)
    files = {"train": str(tmp_path / "train.npz"), "test": str(tmp_path / "test.npz")}
    assert load_with_test(DataConfig(**files)).n_held_out == 20
    with pytest.raises(
        DataError, match=r"test\.npz: all 20 samples are of the class 0\. At least two classes"
    ):
        load_data(DataConfig(train=files["test"]))


def test_name_is_what_messages_call_it(config, write_csv):
    assert load_data(config(write_csv(rows(10))), name="data/train.csv").source == "data/train.csv"


def test_paths_with_spaces_and_other_letters(config, write_csv, tmp_path):
    (tmp_path / "ಕನ್ನಡ data").mkdir()
    path = write_csv(rows(10), "ಕನ್ನಡ data/train set.CSV")
    assert load_data(config(str(path))).source == "ಕನ್ನಡ data/train set.CSV"


@pytest.mark.parametrize(
    ("text", "subset", "message"),
    [
        (
            rows(20),
            19,
            "train.csv: data.subset is 19. Of 20 samples in 2 classes it can take 2 to 18: correct it",
        ),
        (rows(20), 2000, "train.csv: data.subset is 2000. Of 20 samples in 2 classes it can take 2 to 18"),
        (rows(20), 1, "train.csv: data.subset is 1."),
        (
            rows(20) + "9,1,2,3,4\n",
            10,
            "train.csv: class 9 has 1 sample, and a stratified data.subset needs 2",
        ),
    ],
)
def test_subset_faults(config, write_csv, text, subset, message):
    with pytest.raises(DataError) as caught:
        load_data(config(write_csv(text), subset=subset))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("train", "error", "message"),
    [
        ("missing.csv", DataError, "missing.csv: there is no such file."),
        ("missing.npz", DataError, "missing.npz: there is no such file."),
        (
            "train.parquet",
            DataError,
            "train.parquet: data.train is a kind of file that is not known here. Give",
        ),
        ("a\0b.csv", DataError, "'a\\x00b.csv' is no path: it holds a zero byte."),
        ("x" * 5000 + ".csv", DataError, "x" * 5000 + ".csv cannot be read: File name too long."),
        (
            "folder",
            DataError,
            "folder: no images (.bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp) in it or below: there",
        ),
        (["a.csv", "b.csv"], NotBuiltError, "data.train: a list of files is not built yet. Give a .csv"),
        ({"images": "folder", "labels": "x"}, DataError, "folder is a folder; a file is needed here."),
        ({"images": "none", "labels": "none"}, DataError, "none: there is no such file."),
        (
            {"images": "none"},
            DataError,
            "data.train.labels is None, where a file is needed. Give a .csv, .tsv,",
        ),
        ("pipe.csv", DataError, "pipe.csv is a pipe; a file is needed here."),
    ],
)
def test_faulty_sources(config, tmp_path, train, error, message):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(error) as caught:
        load_data(config(train))
    assert str(caught.value).startswith(message)


def test_a_file_that_may_not_be_read(config, write_csv, monkeypatch):
    path = write_csv(rows(10))

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("kerasgrid.data.arrays.os.stat", refuse)
    with pytest.raises(DataError, match=r"train\.csv may not be read: give yourself the permission\."):
        load_data(config(path))
