"""Datasets that give batches are drawn once, and those that do not end are refused before."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.checks.prepared import prepare
from kerasgrid.data.drawn import drawn, gives_batches
from kerasgrid.data.in_memory import Given, dataset_from_arrays
from kerasgrid.errors import DataError

X, Y, W = np.arange(40, dtype=np.float32).reshape(10, 2, 2), np.arange(10) % 2, np.arange(10) + 1.0
PY_DATASET = "keras.src.trainers.data_adapters.py_dataset_adapter"


def of_kind(module, name, **members):
    """Returns an object of a class that stands for a library's."""
    parent = type(name, (), {"__module__": module})
    return type("Mine", (parent,), {"__module__": "mine", **members})()


def batches(size=4, parts=(X, Y)):
    return [tuple(part[first : first + size] for part in parts) for first in range(0, 10, size)]


def of_keras(given, n=None, **members):
    size = len(given) if n is None else n
    return of_kind(PY_DATASET, "PyDataset", num_batches=size, __getitem__=lambda _, i: given[i], **members)


def of_tf(given, cardinality=-2):
    own = {"cardinality": lambda _: cardinality, "as_numpy_iterator": lambda _: iter(given)}
    return of_kind("tensorflow.python.data.ops.dataset_ops", "DatasetV2", **own)


def of_torch(given):
    return of_kind(
        "torch.utils.data.dataloader", "DataLoader", __iter__=lambda _: iter(given), __len__=lambda _: 3
    )


@pytest.mark.parametrize("make", [of_keras, of_tf, of_torch])
def test_all_that_it_gives_is_drawn_once(make):
    given = make(batches())
    assert gives_batches(given)
    samples, labels, weights = drawn(given, "X")
    np.testing.assert_array_equal(samples, X)
    np.testing.assert_array_equal(labels, Y)
    assert weights is None
    found = dataset_from_arrays(make(batches(parts=(X, Y, W))), validation_data=make(batches()))
    assert (len(found), found.n_held_out) == (20, 10)
    assert found.weights.tolist() == [*W.tolist(), *[1.0] * 10]
    assert prepare({"model": "mlp"}, Given(make(batches()), validation_data=make(batches()))).data.n_held_out


def test_single_samples_are_no_batches_and_columns_of_labels_are_a_row():
    samples, labels, _ = drawn(of_tf([*zip(X, np.eye(3)[Y], strict=True)]), "X")
    assert (samples.shape, labels.shape) == (X.shape, (10, 3))
    assert drawn(of_tf(batches(parts=(X, Y[:, None]))), "X")[1].tolist() == Y.tolist()


@pytest.mark.parametrize("make", [of_keras, of_tf, of_torch])
def test_several_inputs_are_drawn_each_by_itself(make):
    data = dataset_from_arrays(make([((a, b), y, w) for a, b, y, w in batches(parts=(X, Y, Y, W))]))
    np.testing.assert_array_equal(data.images, np.concatenate([X.reshape(10, 4), Y[:, None]], axis=1))
    assert (str(data.inputs), data.weights.tolist()) == ("(2, 2) and (1,)", W.tolist())
    named = dataset_from_arrays(make([({"a": a, "b": b}, y) for a, b, y in batches(parts=(X, Y, Y))]))
    assert str(named.inputs) == "a (2, 2) and b (1,)"
    single = of_tf([((a, b), y) for a, b, y in zip(X, X, Y, strict=True)])
    assert dataset_from_arrays(single).images.shape == (10, 8)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (of_tf(batches(), cardinality=-1), "X does not end. Give one that does, by .take(n)."),
        (of_keras(batches(), n=float("inf")), "X does not end, since its num_batches is None."),
        (of_tf([]), "X gives no batch."),
        (of_tf([X, X]), "X gives a ndarray at a time; (x, y) or (x, y, sample_weight) holds."),
        (of_tf([(X, {"a": Y, "b": Y})]), "X gives several outputs (dict), which are not built yet."),
        (of_tf([((X, X), Y), (X, Y)]), "X gives 3 arrays first, and 2 later."),
        (of_tf([(X, Y), (X[:, :1], Y)]), "X gives batches whose samples differ in shape: "),
        (of_tf([(X, Y), (X, Y, W)]), "X gives 2 arrays first, and 3 later."),
    ],
)
def test_what_cannot_be_drawn_is_told(given, message):
    with pytest.raises(DataError) as caught:
        dataset_from_arrays(given)
    assert str(caught.value).startswith(message)


@pytest.mark.slow
def test_real_ones_are_known():
    import keras
    import tensorflow as tf

    class Mine(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, place):
            return batches()[place]

    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    for given in (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4), Mine()):
        np.testing.assert_array_equal(drawn(given, "X")[0], X)
    with pytest.raises(DataError, match="X does not end"):
        drawn(tf.data.Dataset.from_tensor_slices((X, Y)).repeat(), "X")
    flow = ImageDataGenerator().flow(X[..., None], Y)
    with pytest.raises(DataError, match=r"X is endless batches of an ImageDataGenerator .* under augment"):
        dataset_from_arrays(flow)
