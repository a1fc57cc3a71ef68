"""Mixed samples: their shares, their targets and weights, and padding that none is mixed with."""

import numpy as np
import pytest
from fakes import classes_of
from keras import layers, losses, models, ops

from kerasgrid.config.augment import Augment, Augmentation
from kerasgrid.errors import ModelError
from kerasgrid.records import Target
from kerasgrid.training.augmentation import draw
from kerasgrid.training.compiling import Compiled, mixing_labels
from kerasgrid.training.mixing import dominant, mix, symmetric_beta, weighed

pytestmark = pytest.mark.slow

N, HEIGHT, WIDTH = 24, 6, 8


def mixed(given, padding=None, counts=None, change=None):
    """Returns images, targets and counts of a batch, and what becomes of them.

    Each image has one value, its place from 1, and its target is a class of its own.
    """
    images = np.broadcast_to(np.arange(1.0, N + 1)[:, None, None, None], (N, HEIGHT, WIDTH, 1))
    batch = [images.astype("float32"), np.eye(N, dtype="float32"), counts]
    if change is not None:
        batch[0] = change(batch[0].copy())
    how = Augmentation.of(Augment(**given), np.zeros((1, HEIGHT, WIDTH, 1), "uint8"))
    key = ops.convert_to_tensor(np.array([5, -7], "int32"))
    uniform = draw(N, key, ops.convert_to_tensor(np.int32(3)), how)
    numbers = ops.convert_to_tensor(np.asarray(how.numbers, "float32"))
    found = mix(
        how, [None if it is None else ops.convert_to_tensor(it) for it in batch], numbers, uniform, padding
    )
    return [None if it is None else np.asarray(it) for it in found]


@pytest.mark.backend
@pytest.mark.parametrize(
    "given", [{"mixup_alpha": 0.4}, {"cutmix_alpha": 1.0}, {"mixup_alpha": 1, "cutmix_alpha": 1}]
)
def test_each_part_of_a_mixture_has_its_pixels_its_label_and_its_weight(given):
    places, counts = np.arange(N), np.arange(1.0, N + 1, dtype="float32")
    images, targets, weights = mixed(given, counts=counts)
    of_pixels = images.mean(axis=(1, 2, 3))
    share = (of_pixels - np.roll(counts, -1)) / (counts - np.roll(counts, -1))
    np.testing.assert_allclose(weights, of_pixels, rtol=1e-5)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(weights * targets[places, places], share * counts, atol=1e-4)
    assert share.std() > 0.02
    values = [len(np.unique(image)) for image in images]
    assert (max(values) == 2) == ("cutmix_alpha" in given)
    plain = mixed(given, counts=np.ones(N, "float32"))[1]
    np.testing.assert_allclose(plain, mixed(given)[1], atol=1e-6)
    predicted = np.random.default_rng(0).dirichlet(np.ones(N), N).astype("float32")
    for loss in losses.categorical_crossentropy, losses.binary_crossentropy:
        own = np.asarray(loss(np.eye(N), predicted))
        other = np.asarray(loss(np.roll(np.eye(N), -1, axis=0), predicted))
        wanted = share * counts * own + (1 - share) * np.roll(counts, -1) * other
        np.testing.assert_allclose(weights * np.asarray(loss(targets, predicted)), wanted, rtol=1e-4)


def test_what_counts_nothing_is_left_out_of_a_mixture():
    counts = np.arange(N, dtype="float32") % 3
    targets, weights = mixed({"mixup_alpha": 1.0}, counts=counts)[1:]
    assert (weights > 0).all()
    places = np.flatnonzero(counts == 0)
    np.testing.assert_array_equal(targets[places], np.eye(N)[places + 1])


@pytest.mark.backend
def test_no_sample_is_mixed_with_padding():
    padding = (np.arange(N) < 5).astype("float32")
    given = {"mixup_alpha": 1.0, "cutmix_alpha": 1.0}

    def spoilt(images):
        images[5:] = np.nan
        return images

    one, two = mixed(given, padding), mixed(given, padding, change=spoilt)
    for left, right in zip(one[:2], two[:2], strict=True):
        np.testing.assert_array_equal(left[:5], right[:5])
    assert one[1][4, 0] > 0  # with the first
    assert one[1][:5, 5:].sum() == 0


def test_alpha_0_and_a_probability_of_0_are_exactly_no_change():
    plain = mixed({"mixup_alpha": 0.0})
    for given in ({"cutmix_alpha": 0.0}, {"mixup_alpha": 1.0, "cutmix_alpha": 1.0, "mix_probability": 0.0}):
        for found, wanted in zip(mixed(given)[:2], plain[:2], strict=True):
            np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(plain[1], np.eye(N))
    some = mixed({"mixup_alpha": 1.0, "mix_probability": 0.25})[1].diagonal() < 1
    assert 0 < some.sum() < N / 2


@pytest.mark.backend
@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 5.0])
def test_shares_have_a_beta_distribution(alpha):
    stats = pytest.importorskip("scipy.stats")
    uniform = np.random.default_rng(0).random((2, 5000)).astype("float32")
    found = np.asarray(symmetric_beta(ops.full((5000,), alpha), *map(ops.convert_to_tensor, uniform)))
    assert ((found >= 0) & (found <= 1)).all()
    edges = [0, 0.001, 0.05, 0.2, 0.5, 0.8, 0.95, 0.999, 1]
    counts, _ = np.histogram(found, edges)
    wanted = np.diff(stats.beta(alpha, alpha).cdf(edges)) * len(found)
    is_some = wanted > 5
    rest = counts[~is_some].sum(), wanted[~is_some].sum()
    counts, wanted = np.append(counts[is_some], rest[0]), np.append(wanted[is_some], rest[1])
    assert stats.chisquare(counts[wanted > 0], wanted[wanted > 0]).pvalue > 1e-3


def test_views_of_samples_are_neither_cut_out_of_nor_mixed():
    given = Augment(mixup_alpha=1, cutout_size=2, horizontal_flip=0.5)
    assert given.of_views == {"flips"}
    made = Augmentation.of(given, np.zeros((1, HEIGHT, WIDTH, 1), "uint8"))
    assert (made.mixes, made.of_views.mixes, made.of_views.operations) == (True, False, {"flips"})
    assert not Augment(cutmix_alpha=1).of_views


def test_metrics_are_told_what_there_is_more_of():
    rows = np.array([[0.3, 0.7, 0], [0.5, 0, 0.5], [0, 0, 1]], "float32")
    np.testing.assert_array_equal(dominant(rows, True), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    several = np.array([[0.3, 0.7, 1], [0, 0, 0.49]], "float32")
    np.testing.assert_array_equal(dominant(several, False), [[0, 1, 1], [0, 0, 0]])


def test_each_class_of_a_mixture_has_its_weight():
    rows = np.array([[0.25, 0.75, 0], [0, 0, 1], [0, 1, 0]], "float32")
    targets, counts = weighed(rows, np.array([4, 0, 2], "float32"))
    np.testing.assert_allclose(counts, [1, 2, 0])
    np.testing.assert_array_equal(targets, [[1, 0, 0], [0, 0, 1], [0, 1, 0]])
    targets, counts = weighed(np.array([[0.25], [1]], "float32"), np.array([4, 8], "float32"))
    np.testing.assert_allclose(counts, [5, 8])
    np.testing.assert_allclose(targets, [[0.4], [1]])


def net(loss, n_outputs=3, activation="softmax", metrics=("accuracy",)):
    model = models.Sequential([layers.Input((4,)), layers.Dense(n_outputs, activation=activation)])
    model.compile("sgd", loss, metrics=list(metrics))
    return model


def test_a_loss_of_class_indices_takes_shares_of_classes_and_its_metrics_indices():
    model = net("sparse_categorical_crossentropy", metrics=["accuracy", "sparse_top_k_categorical_accuracy"])
    x, labels = np.random.default_rng(0).random((30, 4)), np.arange(30) % 3
    wanted = model.evaluate(x, labels, verbose=0, return_dict=True)
    model = net("sparse_categorical_crossentropy", metrics=["accuracy", "sparse_top_k_categorical_accuracy"])
    other = net("sparse_categorical_crossentropy")
    other.set_weights(model.get_weights())
    made = mixing_labels(Compiled(model, "sparse", 3, False, classes_of(3)))
    assert made.labels == "one_hot"
    found = model.evaluate(x, np.eye(3)[labels], verbose=0, return_dict=True)
    wanted = other.evaluate(x, labels, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert found["accuracy"] == wanted["accuracy"]
    assert found["sparse_top_k_categorical_accuracy"] == 1


def test_numbers_stay_as_they_are_and_labels_are_told_apart():
    numbers = Compiled(net("mse", 2, None, []), "binary", 2, False, Target("numbers", names=("a", "b")))
    assert mixing_labels(numbers) is numbers
    one = mixing_labels(Compiled(net("binary_crossentropy", 1, "sigmoid"), "binary", 1, False, classes_of(2)))
    np.testing.assert_array_equal(one.counted(np.array([[0.2], [0.8]])), [[0], [1]])


@pytest.mark.parametrize(
    ("loss", "labels", "what"),
    [
        (
            losses.CategoricalGeneralizedCrossEntropy(),
            "sparse",
            "the loss cat.* takes .*: take categorical_c",
        ),
        (lambda y, outputs: ops.sum(outputs), "any", "the loss .* takes class .*: take categorical_c"),
        (
            None,
            "sparse",
            "its train_step takes class .*: let it take one-hot rows, as training: {labels: one",
        ),
    ],
)
def test_a_loss_of_class_indices_alone_is_refused(loss, labels, what):
    with pytest.raises(ModelError, match=what):
        mixing_labels(Compiled(net(loss), labels, 3, False, classes_of(3)))
