"""What people give as X and y: what arrays can be made of is read, and of all else nothing is taken."""

from __future__ import annotations

import collections
import itertools

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import kerasgrid as kg
from kerasgrid.config.sections import DataConfig, Features
from kerasgrid.data.array_likes import as_array, indexable
from kerasgrid.data.cache import save_samples
from kerasgrid.data.frames import table_of_frame
from kerasgrid.data.in_memory import dataset_from_arrays
from kerasgrid.errors import DataError, KerasgridError
from kerasgrid.estimators.classifier import KerasClassifier
from kerasgrid.records import Target

X = np.arange(96, dtype=np.uint8).reshape(6, 4, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


def of_library(module, *names):
    """An object of a type of a library, by the names of its type and its parents; it never ends."""

    def endless(self, *_):
        raise AssertionError("something is taken of it")

    kind = object
    for name in reversed(names):
        body = {"__module__": module, "__getitem__": endless, "__iter__": endless, "__len__": endless}
        kind = type(name, (kind,), body)
    return kind()


def never():
    raise AssertionError("something is taken of it")
    yield


KERAS = "keras.src.legacy.preprocessing.image"


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (never(), "is a generator, which gives one after another and may never end. Collect what it gives"),
        (zip(never(), never(), strict=False), "is a zip, which gives one after another"),
        (itertools.count(), "is a count, which gives one after another"),
        (of_library(KERAS, "NumpyArrayIterator", "Iterator", "PyDataset"), "is endless batches of an Image"),
        (
            of_library(KERAS, "DirectoryIterator", "Iterator", "PyDataset"),
            "is endless batches of image files",
        ),
        (of_library(KERAS, "ImageDataGenerator"), "is a maker of augmented batches (ImageDataGenerator)"),
        (
            of_library("keras.src.trainers.data_adapters.py_dataset_adapter", "Mine", "PyDataset"),
            "is a dataset (Mine), which gives samples and labels: give it as X, and no y.",
        ),
        (of_library("tensorflow.python.data.ops.batch_op", "_BatchDataset"), "is a dataset (_BatchDataset)"),
        (of_library("torch.utils.data.dataloader", "DataLoader"), "is a dataset (DataLoader), which gives"),
        (
            of_library("torch.utils.data.dataset", "Mine", "Dataset"),
            "is a torch Dataset (Mine), which is not",
        ),
        (
            of_library("datasets.arrow_dataset", "Dataset"),
            "is a Hugging Face Dataset (Dataset), which is not",
        ),
        (
            of_library("mine", "Batches"),
            "is a Batches, which is no array. Arrays, data frames and lists of num",
        ),
        ([of_library("mine", "Batches")], "is a list in which one is a Batches, which is no array."),
        ([[never()]], "is a list in which one is a list in which one is a generator, which gives"),
        (
            {"a": X}.values(),
            "is a dict_values, which is no array. Arrays, data frames",
        ),
        (np.ndarray, "is the class ndarray itself."),
        (b"abc", "is 3 bytes. Make an array of them: np.frombuffer"),
        (3, "is the number 3. Arrays, "),
        ({1, 2}, "is a set, which has no order."),
        (never, "is a function, and has to be called for samples."),
        ("train.csv", "is the text 'train.csv'. Give what it names: a file in the config, as data.train"),
    ],
)
def test_what_is_no_array_is_told_at_once_and_nothing_is_taken_of_it(given, what):
    for name, arrays in (("X", (given, Y)), ("y", (X, given))):
        with pytest.raises(DataError) as caught:
            dataset_from_arrays(*arrays)
        assert str(caught.value).startswith(f"{name} {what}")


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (
            {"a": Y, "b": Y},
            "y is a dict of 'a', 'b'; several outputs by name are not built yet. Give",
        ),
        (np.array({"a": Y}, dtype=object), "y is a dict of 'a'; several outputs by name"),
        ([Y, Y], "y is a list of 2 arrays of 6 labels each, and several outputs are not built yet."),
    ],
)
def test_several_outputs_are_told(given, what):
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(X, given)
    assert str(caught.value).startswith(what)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (X, "y is missing: give the labels of X, (sample,), beside it."),
        (
            (X, Y),
            "X is a tuple of two arrays, and y is missing. Take it apart: X, y = ..., and give X and y.",
        ),
        (
            (X, Y, Y),
            "X is a tuple of three arrays, and y is missing. Take it apart: X, y, sample_w",
        ),
        (((X, Y), (X, Y)), "X is a pair of pairs, as load_data() gives it: (X, y), (X_test, y_test) = ..."),
        (list(zip(X, Y, strict=True)), "X is a list of pairs. Take them apart: X, y = (np.stack(part) for"),
    ],
)
def test_labels_that_are_missing(given, message):
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(given, None)
    assert str(caught.value).startswith(message)


CONFIG = {"model": "fc", "space": {"dropout": [0.2]}, "executor": {"kind": "inline"}}


@pytest.mark.parametrize(
    "call",
    [
        lambda given: kg.search(CONFIG, given, Y),
        lambda given: kg.compare(CONFIG, given, Y),
        lambda given: kg.GridSearchCV("fc", {"dropout": [0.2]}).fit(given, Y),
        pytest.param(lambda given: KerasClassifier("fc").fit(given, Y), marks=pytest.mark.slow),
        lambda given: kg.predict("results.json", given),
    ],
)
def test_every_entry_tells_it(call):
    with pytest.raises(KerasgridError, match="X is a generator, which gives one after another and may never"):
        call(never())


def test_labels_without_samples():
    with pytest.raises(KerasgridError, match="data: y is given without X: give the samples"):
        kg.search(CONFIG, y=Y)


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (X.tolist(), (6, 4, 4)),
        (list(X), (6, 4, 4)),
        (collections.deque(X.tolist()), (6, 4, 4)),
        (pd.Series(list(X)), (6, 4, 4)),
        (pd.DataFrame(X[:, 0]), (6, 4)),
        (pd.DataFrame({"a": pd.array(Y, dtype="Int64"), "b": Y > 0, "c": Y / 2}), (6, 3)),
    ],
)
def test_what_arrays_are_made_of(given, shape):
    assert dataset_from_arrays(given, Y).images.shape == shape


def test_arrays_of_a_file(tmp_path):
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["X"], file["y"] = X, Y
        np.testing.assert_array_equal(dataset_from_arrays(file["X"], file["y"]).images, X)
        with pytest.raises(
            DataError, match=r"X is a File of 'X', 'y'; .* Give one array of it, such as X\['X'"
        ):
            dataset_from_arrays(file, Y)


def test_arrays_of_a_file_that_do_not_fit_into_memory_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("kerasgrid.machine.free_memory_bytes", lambda: 95)
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["X"] = X
        with pytest.raises(DataError, match="X: needs 96 bytes of memory, of which 95 are free"):
            dataset_from_arrays(file["X"], Y)


@pytest.mark.parametrize(
    ("column", "found"),
    [(list("abcabc"), "'a' (row 0"), (pd.array([1, None] * 3, dtype="Int64"), "<NA> (row 1")],
)
def test_a_column_that_is_no_numbers_is_named(column, found):
    with pytest.raises(DataError) as caught:
        as_array(pd.DataFrame({"size": Y, "city": column}), "X")
    assert str(caught.value).startswith(
        f"X, column 'city': holds {found}, counted from 0), where numbers are"
    )


@pytest.mark.parametrize(
    "make",
    [scipy.sparse.csr_matrix, scipy.sparse.csc_array, scipy.sparse.coo_array, scipy.sparse.dok_array],
)
def test_a_sparse_matrix_is_made_dense_with_a_word(make, monkeypatch):
    values = np.arange(24).reshape(6, 4) * (np.arange(24).reshape(6, 4) % 3 == 0) / 2
    data = dataset_from_arrays(make(values), Y)
    np.testing.assert_array_equal(data.images, values.astype(np.float32))
    assert data.report == ("X: a sparse matrix of which 29.2% is not 0, made dense: 96 bytes",)
    monkeypatch.setattr("kerasgrid.machine.free_memory_bytes", lambda: 300)
    with pytest.raises(
        DataError, match="X, a sparse matrix made dense: needs 384 bytes of memory, of which 300"
    ):
        dataset_from_arrays(make(values), Y)


class Tensor:
    """What a backend's tensor is to others: neither a list of indices nor a mask takes rows of it."""

    ndim = 0

    def __init__(self, values):
        self._values = np.asarray(values)
        self.ndim = self._values.ndim

    def __array__(self, dtype=None, copy=None):
        return np.array(self._values, dtype)


def test_scikit_learn_can_take_rows_of_tensors_and_of_sparse_columns():
    values = np.arange(24).reshape(6, 4) * (np.arange(24).reshape(6, 4) % 3 == 0) / 2
    np.testing.assert_array_equal(indexable(Tensor(values)), values)
    sparse = pd.DataFrame.sparse.from_spmatrix(scipy.sparse.csr_matrix(values)).assign(own="text")
    dense = indexable(sparse)
    assert [str(kind) for kind in dense.dtypes[:4]] == ["float64"] * 4
    np.testing.assert_array_equal(dense[dense.columns[:4]], values)
    for same in (values, dense, Y.tolist(), scipy.sparse.csr_matrix(values)):
        assert indexable(same) is same
    data = dataset_from_arrays(sparse.drop(columns="own"), Y)
    np.testing.assert_array_equal(data.images, values.astype(np.float32))
    assert data.report[0] == "X: sparse columns of which 29.2% is not 0, made dense: 96 bytes"


FRAME = pd.DataFrame(
    {
        "size": [1.0, np.nan, 3.0, 4.0, 5.0, 6.5],
        "city": ["a", "b", None, "a", "b", "a"],
        "big": pd.array([True, None, False, True, True, False], dtype="boolean"),
        "sold": pd.date_range("2024-02-27", periods=6, tz="UTC"),
        "n": pd.Categorical([1, 2, 1, 2, 1, 2]),
        "who": list("xxyyzz"),
        "price": [1.5, 2, 3, 4, 5, 6],
        "sort": list("uvuvuv"),
    }
)


def test_a_frame_is_a_table():
    data = dataset_from_arrays(FRAME.drop(columns=["who", "price", "sort"]), Y)
    assert [(column.name, column.kind, column.has_blanks) for column in data.table.columns] == [
        ("size", "numeric", True),
        ("city", "categorical", True),
        ("big", "numeric", True),
        ("sold", "date", False),
        ("n", "categorical", False),
    ]
    expected = [[1, 0, 1, 19780, 0], [np.nan, 1, np.nan, 19781, 1], [3, np.nan, 0, 19782, 0]]
    np.testing.assert_array_equal(data.images[:3], expected)
    assert data.report[0].startswith(
        "features: 2 numeric ('size', 'big'); 2 categorical ('city', 'n'); 1 date"
    )


def test_columns_of_a_frame_have_names_of_their_own():
    twins = pd.DataFrame([["a", 1.0, 2.0], ["b", 2.0, 3.0]], columns=["a", "b", "b"])
    table = dataset_from_arrays(FRAME.drop(columns=["who", "price", "sort"]), Y).table
    for known, more in ((None, ""), (table, "\nX: lacks 'size', 'city', 'big', 'sold', 'n', which the")):
        with pytest.raises(DataError) as caught:
            table_of_frame(twins, Features(), "X", known)
        assert str(caught.value).startswith(f"X: 2 columns are named 'b'.{more}")


def test_spans_of_time_are_seconds_and_lists_are_no_cells():
    spans = pd.DataFrame({"a": pd.to_timedelta(["1h", "2h", None, "1h", "2h", "1s"]), "b": list("xxyyxy")})
    data = dataset_from_arrays(spans, Y)
    np.testing.assert_array_equal(data.images[:, 0], [3600, 7200, np.nan, 3600, 7200, 1])
    with pytest.raises(DataError, match=r"^column 'a': holds what is no cell of a table \(unhashable type"):
        dataset_from_arrays(spans.assign(a=[[1, 2]] * 6), Y)


def test_a_config_names_columns_of_a_frame():
    section = DataConfig(
        target="price", group="who", drop=["sort"], features={"categorical": ["n"], "scaler": "none"}
    )
    data = dataset_from_arrays(FRAME, config=section)
    assert data.target == Target("numbers", ("price",))
    assert data.labels[:, 0].tolist() == FRAME["price"].tolist()
    assert data.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert [column.name for column in data.table.columns] == ["size", "city", "big", "sold", "n"]
    assert (data.table.columns[-1].categories, data.table.scaler) == (("1", "2"), "none")
    data = dataset_from_arrays(FRAME, config=DataConfig(label="sort"))
    assert data.classes == ("u", "v")
    assert "sort" not in [column.name for column in data.table.columns]


def test_numbers_without_names_or_with_numbered_ones_stay_rows():
    for frame in (pd.DataFrame(X[:, 0]), pd.DataFrame(X[:, 0], columns=[f"pixel{n}" for n in range(4)])):
        data = dataset_from_arrays(frame, Y)
        assert (data.table, data.images.shape, data.images.dtype) == (None, (6, 4), np.uint8)
    assert dataset_from_arrays(pd.DataFrame(X[:, 0], columns=list("abcd")), Y).table is not None


def test_rows_that_are_held_out_are_of_the_same_table():
    parts = (FRAME.assign(city="new")[:4], [0, 1, 1, 0], [1, 1, 0, 1])
    data = dataset_from_arrays(FRAME.drop(columns="sort"), [0, 1] * 3, validation_data=parts)
    assert (len(data), data.n_held_out) == (10, 4)
    assert data.images[6:, 1].tolist() == [-1] * 4
    assert data.weights.tolist() == [1] * 6 + [1, 1, 0, 1]
    assert data.report[-1] == (
        "validation_data: cells of a category that the training data have not, which count as blank: "
        "'city' (4)"
    )


@pytest.mark.parametrize(
    ("y", "numbers", "target"),
    [
        ([0.5, 1, 2, 3, 4, 5], None, Target("numbers", ("y",))),
        (pd.Series([0.5, 1, 2, 3, 4, 5], name="price"), None, Target("numbers", ("price",))),
        (np.arange(12.0).reshape(6, 2) / 2, None, Target("numbers", ("y0", "y1"))),
        (pd.DataFrame({"a": range(6), "b": range(6)}) / 2, None, Target("numbers", ("a", "b"))),
        ([0, 1, 2, 3, 4, 5], True, Target("numbers", ("y",))),
        ([0, 1, 2, 0, 1, 2], None, Target("classes", (0, 1, 2))),
    ],
)
def test_what_is_predicted(y, numbers, target):
    data = dataset_from_arrays(np.zeros((6, 2)), y, numbers=numbers)
    assert data.target == target
    if target.is_numbers:
        np.testing.assert_array_equal(data.labels, np.asarray(y, np.float64).reshape(6, -1))


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ((FRAME,), {}, "y is missing: give the labels of X"),
        (
            (FRAME,),
            {"config": DataConfig(target="prize")},
            "X and y: no target column 'prize'. Did you mean 'price'",
        ),
        (
            (FRAME, Y),
            {"config": DataConfig(label="sort")},
            "y is given, and so is data.label, which names a column",
        ),
        ((FRAME, Y), {"config": DataConfig(target="price")}, "y is given, and so is data.target, which"),
        ((X, Y), {"config": DataConfig(group="who")}, "data.group names the column 'who', and X is no DataF"),
        ((X, Y), {"config": DataConfig(fold="folds.csv")}, "data.fold is a file, which does not go with arr"),
        ((X, Y), {"sample_weight": [1, 2]}, "sample_weight has shape (2,) and dtype int64, and there are 6 "),
        (
            (X, Y),
            {"sample_weight": [1, 2, -1, 1, 1, 1]},
            "sample_weight: sample 2 (counted from 0) has -1. 0",
        ),
        ((X, Y), {"sample_weight": [0] * 6}, "sample_weight is zero for all samples: some must count."),
        ((X, Y), {"validation_data": (X,)}, "validation_data: (X, y) or (X, y, sample_weight) holds."),
        (
            (X, Y),
            {"validation_data": (X[:, :2], Y)},
            "validation_data: has samples of (2, 4), and X and y of (4, 4).",
        ),
        (
            (X, [[0.5, 1], [2, None], [3, 4], [5, 6], [7, 8], [9, 9]]),
            {"numbers": True},
            "y: sample 1 (counted from 0), target 1 is nan. Numbers to predict must be finite: fill it in",
        ),
        (
            (X, pd.Series([0.5, pd.NA, 1, 2, 3, 4], dtype="Float64")),
            {"numbers": True},
            "y: sample 1 (counted from 0) is nan. Numbers to predict must be finite: fill it in or drop",
        ),
        (
            (X, [0.5, "1,200", 1, 2, 3, 4]),
            {"numbers": True},
            "y: shape (6,) and dtype <U32, where numbers to predict are needed",
        ),
        (
            (X, Y / 3),
            {"validation_data": (X, np.stack([Y, Y], axis=1) / 3)},
            "validation_data: has samples of 2 numbers, and X and y of 1.",
        ),
        (
            (X, pd.DataFrame({"a": Y / 3, "b": Y / 7})),
            {"validation_data": (X, pd.DataFrame({"b": Y / 7, "a": Y / 3}))},
            "validation_data: has b and a, and X and y a and b, in this order: bring the columns into the sa",
        ),
        (
            (FRAME,),
            {"config": DataConfig(label="sort", features={"numeric": ["city"], "date": ["who"]})},
            "X and y, row 0 (counted from 0), column 'city': 'a' is no number that float32 holds; so are row "
            "1 (counted from 0), row 3 (counted from 0), row 4 (counted from 0) and 1 more. Correct it, or "
            "leave the cell blank; data.features.categorical takes a column as it is, and data.drop leaves "
            "it out.\nX and y, row 0 (counted from 0), column 'who': 'x' is no date such as 2024-02-29",
        ),
        (
            (FRAME.assign(who=None),),
            {"config": DataConfig(label="sort", group="who")},
            "X and y, row 0 (counted from 0), column 'who': the group is missing; so are row 1",
        ),
        (
            (FRAME.assign(who=None, price=[1, 2, np.nan, 3, 4, 5]),),
            {"config": DataConfig(target="price", group="who", features={"numeric": ["sort"]})},
            "X and y, row 0 (counted from 0), column 'who': the group is missing; so are row 1 (counted "
            "from 0), row 2 (counted from 0), row 3 (counted from 0) and 2 more. Fill it in or drop the "
            "row.\nX and y, row 2 (counted from 0), column 'price': the target is missing. Fill it in or "
            "drop the row.\nX and y, row 0 (counted from 0), column 'sort': ",
        ),
        (
            (FRAME.rename(columns={"city": "big"}),),
            {"config": DataConfig(target="price", drop=["who", "who"], features={"date": ["when"]})},
            "X and y: 2 columns are named 'big'.\nX and y: data.drop names 'who' 2 times. Keep it once.\n"
            "X and y: data.features.date names 'when', which is no column. Columns: ",
        ),
        (
            (FRAME, Y),
            {"config": DataConfig(group="who"), "groups": Y},
            "groups are given, and a column of X is named for them: keep one.",
        ),
        (
            (FRAME, Y),
            {"validation_data": (FRAME.drop(columns=["city", "n"]), Y)},
            "validation_data: lacks 'city', 'n', which the training data have as features.",
        ),
    ],
)
def test_frame_faults(given, options, message):
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(*given, **options)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 2), (4, 2, 2, 3), (4, 2, 2, 2, 1)])
def test_array_ranks(shape):
    data = dataset_from_arrays(np.zeros(shape), [0, 1, 0, 1])
    assert data.images.shape == shape
    assert data.folder is None


@pytest.mark.parametrize(
    ("y", "classes", "labels"),
    [
        ([3, -1, 3, -1], (-1, 3), [1, 0, 1, 0]),
        (["b", "a", "b", "a"], ("a", "b"), [1, 0, 1, 0]),
        (np.array(["10", "9", "9", "9"], dtype=object), ("10", "9"), [0, 1, 1, 1]),
        ([True, False, True, False], (0, 1), [1, 0, 1, 0]),
        ([1.0, 2.0, 1.0, 2.0], (1, 2), [0, 1, 0, 1]),
        (np.array([1, 2, 1, 2], dtype=object), (1, 2), [0, 1, 0, 1]),
        (np.eye(3)[[2, 0, 1, 1]], (0, 1, 2), [2, 0, 1, 1]),
        (np.eye(3)[[2, 0, 0, 0]], (0, 1, 2), [2, 0, 0, 0]),
        ([[5], [6], [5], [6]], (5, 6), [0, 1, 0, 1]),
    ],
)
def test_labels(y, classes, labels):
    data = dataset_from_arrays(np.zeros((4, 2)), y)
    assert data.classes == classes
    assert all(type(name) in (int, str) for name in data.classes)
    assert data.labels.tolist() == labels


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((4, 2)), [0.5, 1, 0], "X and y: 4 samples, but numbers to predict of 3: do the two"),
        (np.zeros((4, 2)), [0, 1, 0], "X and y: 4 samples, but labels of 3: do"),
        (np.zeros(4), [0, 1, 0, 1], "X: shape (4,). The sample's axis and at least one more are needed."),
        (np.zeros((4, 0)), [0, 1, 0, 1], "X: shape (4, 0)."),
        (np.zeros((0, 4)), [], "X and y: no samples."),
        ([[1, 2], [3]], [0, 1], "X: sample 1 (counted from 0) has shape (1,), and sample 0 (2,). Bring all"),
        ([[[1, 2], [3]]] * 2, [0, 1], "X: rows of different lengths. Bring all samples to one shape."),
        ([np.zeros((2, 2)), np.zeros((3, 2))], [0, 1], "X: sample 1 (counted from 0) has shape (3, 2)"),
        (5, np.eye(3), "X is the number 5. Arrays, data frames"),
        (np.zeros((2, 2)), 5, "y is the number 5. Arrays, data frames"),
        ([0, 1, 0, 1], np.zeros((4, 2, 2)), "X has shape (4,) and y (4, 2, 2): were they swapped?"),
        (["a.png", "b.png"], [0, 1], "X holds texts, such as 'a.png', where the samples themselves are"),
        (
            np.ma.masked_equal([[1, 2], [3, 4]], 3),
            [0, 1],
            "X is a masked array, 1 of its values masked: fill",
        ),
        (np.full((2, 2), np.inf), [0, 1], "X: sample 0 (counted from 0) has inf at [0]."),
        (np.zeros((2, 2), dtype=object), [0, 1], "X: images of dtype object, where numbers are needed"),
        (np.array([["a", "b"]] * 2), [0, 1], "X: images of dtype <U1"),
        (np.zeros((2, 2)), [1, 1], "X and y: all 2 samples are of the class 1."),
        (np.zeros((2, 2)), [[1, 0], [1, 0]], "X and y: all 2 samples are of the class 0."),
        (np.zeros((2, 2)), [[1, 1], [1, 0]], "y: labels of shape (2, 2) whose row 0 (counted from 0) is not"),
        (
            np.zeros((2, 2)),
            [[0.5, 0.5], [1, np.inf]],
            "y: sample 1 (counted from 0), target 1 is inf. Numbers to predict must be finite: ",
        ),
        (
            np.zeros((2, 2)),
            [0.5, 0.5],
            "X and y: target 'y' is 0.5 for all 2 samples, so that there is nothing",
        ),
        (np.zeros((2, 2)), [["a", "b"], ["a", "b"]], "y: labels of shape (2, 2) whose row 0"),
        (np.zeros((2, 2)), [np.nan, 1], "y: the label of sample 0 (counted from 0) is nan."),
        (
            np.zeros((2, 2)),
            pd.array(["a", None], dtype="string"),
            "y: the label of sample 1 (counted from 0) is m",
        ),
        (np.zeros((2, 2)), ["a", None], "y: the label of sample 1 (counted from 0) is missing."),
        (np.zeros((2, 2)), ["a\ud800", "b"], "y: the label 'a\\ud800' holds characters that are no text"),
        (np.zeros((2, 2)), np.array([b"\xff", b"b"]), "y: labels are bytes that are not UTF-8 text."),
        (
            np.zeros((2, 2)),
            np.array([1, "a"], dtype=object),
            "y: labels of mixed or unknown kinds (int, str).",
        ),
    ],
)
def test_array_faults(X, y, message):
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(X, y)
    assert str(caught.value).startswith(message)


def test_arrays_in_a_folder(tmp_path):
    folder = tmp_path / "run" / "data"
    images, labels = np.arange(16).reshape(4, 2, 2), [0, 1, 0, 1]
    data = save_samples(folder, dataset_from_arrays(images, labels), "X and y")
    assert data.folder == str(folder)
    np.testing.assert_array_equal(np.load(folder / "images.npy", mmap_mode="r"), images)
    assert data.fingerprint == dataset_from_arrays(images, labels).fingerprint
    before = (folder / "images.npy").stat().st_ino
    save_samples(folder, dataset_from_arrays(images, labels), "X and y")
    assert (folder / "images.npy").stat().st_ino == before
    other = save_samples(folder, dataset_from_arrays(images + 1, labels), "X and y")
    np.testing.assert_array_equal(other.images, images + 1)
    assert [path.name for path in folder.parent.iterdir()] == ["data"]


def test_arrays_in_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kerasgrid.data.cache.os.fsync", refuse)
    with pytest.raises(OSError, match="No space left on device"):
        save_samples(tmp_path / "data", dataset_from_arrays(np.zeros((2, 2)), [0, 1]), "X and y")
    assert list(tmp_path.iterdir()) == []


def test_what_has_the_buffer_of_an_array_is_one():
    found = dataset_from_arrays(memoryview(np.ones((6, 4))), memoryview(Y))
    assert found.images.shape == (6, 4)
    assert found.classes == (0, 1, 2)
