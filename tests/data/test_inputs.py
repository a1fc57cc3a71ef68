"""Samples of several inputs are rows, of which the arrays of each come out again as they were."""

from __future__ import annotations

import collections

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.utils import _safe_indexing

from kerasgrid.data.cache import save_samples
from kerasgrid.data.in_memory import dataset_from_arrays
from kerasgrid.data.inputs import Rows, in_rows, rows_like
from kerasgrid.data.samples import take_rows
from kerasgrid.errors import DataError
from kerasgrid.records import Input, Inputs

N = 6
Y = np.arange(N) % 2
PIXELS = np.arange(N * 4, dtype=np.uint8).reshape(N, 2, 2)
FACTS = np.linspace(-1, 1, N * 3).reshape(N, 3)
IDS = np.array([3, 1, 2, 1 << 24, 0, 5])


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ([PIXELS, FACTS], [PIXELS, FACTS]),
        ((FACTS, IDS, Y > 0), [FACTS, IDS[:, None], Y[:, None] > 0]),
        ({"b": FACTS, "a": PIXELS}, {"b": FACTS, "a": PIXELS}),
        ({"one": FACTS.tolist()}, {"one": FACTS}),
        (collections.UserDict(a=FACTS), {"a": FACTS}),
        (np.array({"a": FACTS}, dtype=object), {"a": FACTS}),
        ([FACTS, FACTS[:, :1].tolist()], [FACTS, FACTS[:, :1]]),
        (
            [pd.DataFrame({"x": Y, "z": FACTS[:, 0]}), pd.Series(IDS, name="id")],
            [np.stack([Y, FACTS[:, 0]], axis=1), IDS[:, None]],
        ),
        ([scipy.sparse.csr_matrix(FACTS), FACTS], [FACTS, FACTS]),
    ],
)
def test_each_input_comes_out_as_it_was_given(given, parts, tmp_path):
    rows = in_rows(given, Y)
    assert (len(rows), rows.shape) == (N, rows.values.shape)
    data = dataset_from_arrays(given, Y)
    kept = save_samples(tmp_path / "data", data, "X and y")
    assert kept.inputs == data.inputs == rows.inputs == take_rows(kept, Y).inputs
    assert kept.fingerprint == data.fingerprint

    def items(parts):
        return parts.items() if isinstance(parts, dict) else enumerate(parts)

    for found in (rows.apart, kept.inputs.apart(kept.images), _safe_indexing(rows, np.arange(N)).apart):
        assert type(found) is type(parts)
        for (key, array), (wanted_key, wanted) in zip(items(found), items(parts), strict=True):
            assert key == wanted_key
            is_float = wanted.dtype.kind == "f"
            assert array.dtype == (np.float32 if is_float else wanted.dtype)
            np.testing.assert_array_equal(array, wanted.astype(array.dtype))


def test_inputs_are_what_others_are_told_apart_by(tmp_path):
    """Two arrays are other data than one of their values side by side."""
    one, two = (dataset_from_arrays(X, Y) for X in (np.concatenate([FACTS, FACTS], axis=1), [FACTS, FACTS]))
    np.testing.assert_array_equal(one.images, two.images)
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize(
    "given",
    [
        PIXELS,
        list(PIXELS),
        [PIXELS[0], PIXELS[1]],  # which are samples, that labels are missing of
        [[1.0, 2.0], [3.0, 4.0]],
        [],
        scipy.sparse.dok_array(FACTS),
    ],
)
def test_what_is_of_one_input_stays(given):
    assert in_rows(given, Y) is given


def test_as_many_arrays_as_labels_are_samples():
    assert dataset_from_arrays([FACTS[0], FACTS[1]], [0, 1]).inputs is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([FACTS, PIXELS[:5]], "X[0] has 6 samples and X[1] has 5 samples: as many in each hold, since each"),
        ({"a": FACTS[:4], "b": IDS}, "X['a'] has 4 samples and X['b'] has 6 samples: as many"),
        (
            [FACTS, np.array(list("abcdef"))],
            "X[1] holds values of dtype <U1, such as 'a', where",
        ),
        ({"a": FACTS, "b": list("abcdef")}, "X['b'] holds values of dtype <U1"),
        ({"a": FACTS, "b": "train.csv"}, "X['b'] is the text 'train.csv'. Give what it names"),
        (
            {"a": {"b": FACTS}},
            "X['a'] is a dict of 'b'; an array is needed here. Give one",
        ),
        ([FACTS, pd.DataFrame({"x": Y, "city": list("abcdef")})], "X[1], column 'city': holds 'a' (row 0"),
        ([FACTS, IDS + 1], "X[1] holds 16,777,217, and of several inputs whole numbers up to 16,777,216 are"),
        ([FACTS, -2 * IDS], "X[1] holds 33,554,432, and of several"),
        ([FACTS, FACTS * np.nan], "X[1]: sample 0 (counted from 0) has nan at [0]."),
        ({"a": np.zeros((N, 0))}, "X['a'] has shape (6, 0). The sample's axis and values"),
        ({}, "X is empty: give an array of each"),
        ({1: FACTS}, "X is a dict with the keys 1; the names of the model's inputs hold."),
    ],
)
def test_what_is_no_array_of_an_input_is_told(given, message):
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(given, Y)
    assert str(caught.value).startswith(message)


TWO = Inputs((Input((3,)), Input((1,), "int64")))
NAMED = Inputs((Input((3,), name="facts"), Input((1,), "int64", "id")))


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ([FACTS, IDS], TWO),
        ((FACTS, IDS / 1.0), TWO),
        (Rows(np.zeros((2, 4)), TWO), TWO),
        ({"id": IDS, "more": PIXELS, "facts": FACTS}, NAMED),
    ],
)
def test_samples_to_predict_are_brought_into_the_order_of_those_trained_on(given, inputs):
    found = rows_like(given, inputs)
    assert found.inputs == inputs
    if not isinstance(given, Rows):
        np.testing.assert_array_equal(found.values[:, :3], FACTS.astype(np.float32))
        np.testing.assert_array_equal(found.values[:, 3], IDS)


@pytest.mark.parametrize(
    ("given", "inputs", "message"),
    [
        (
            FACTS,
            TWO,
            "X is an array of shape (6, 3), and the samples trained on have the inputs (3,)",
        ),
        (
            {"facts": FACTS, "id": IDS},
            TWO,
            "X is a dict, and the samples trained on have the inputs (3,)",
        ),
        (
            [FACTS, IDS],
            NAMED,
            "X is a list, and the samples trained on have the inputs facts (3,)",
        ),
        ([IDS, FACTS], TWO, "X has the inputs (1,) and (3,), and the samples trained on have (3,) and (1,)"),
        ([FACTS], TWO, "X has the inputs (3,), and the samples"),
        ({"facts": FACTS, "Id": IDS}, NAMED, "X has the inputs facts (3,) and Id (1,), and the samples"),
    ],
)
def test_samples_of_other_inputs_are_told(given, inputs, message):
    with pytest.raises(DataError) as caught:
        rows_like(given, inputs)
    assert str(caught.value).startswith(message)


def test_rows_that_are_held_out_are_of_the_same_inputs():
    data = dataset_from_arrays([FACTS, IDS], Y, validation_data=([FACTS[:3], IDS[:3]], Y[:3]))
    assert (data.n_held_out, len(data), data.inputs) == (3, 9, TWO)
    with pytest.raises(
        DataError, match=r"validation_data\[0\] has the inputs \(1,\) and \(3,\), and the samples"
    ):
        dataset_from_arrays([FACTS, IDS], Y, validation_data=([IDS, FACTS], Y))
