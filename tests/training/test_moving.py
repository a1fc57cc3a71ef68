"""BatchNormalization's moving statistics without their first values: in packs and in Keras's own fit."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
from keras import layers
from whole_jobs import EVEN, VAL, assert_alike, jobs_of, maker, on_tensorflow

from kerasgrid.config.stages import Stage
from kerasgrid.records import Job, Pack, RungRecord, Trial
from kerasgrid.training.moving import SET, Counted, debiased_pair, momenta, share_left

pytestmark = [pytest.mark.slow, pytest.mark.backend]

N_ROWS, N_COLUMNS = 70, 3
N_STEPS = 5
"""Of 16 rows, the last one of 6."""


def made_up() -> tuple[np.ndarray, np.ndarray]:
    numbers = np.random.default_rng(0)
    return numbers.normal(3, 2, (N_ROWS, N_COLUMNS)).astype("float32"), numbers.integers(0, 2, N_ROWS)


def averages(batches, momentum) -> list[np.ndarray]:
    """Returns the exact means of batches' means and variances; weights from the last: 1, momentum, ...."""
    weights = momentum ** np.arange(len(batches))[::-1]
    return [np.average([found(batch) for batch in batches], 0, weights) for found in (mean, variance)]


def mean(batch):
    return batch.mean(axis=0, dtype=float)


def variance(batch):
    return batch.var(axis=0, dtype=float)


def values(*tensors) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(tensor)) for tensor in tensors]


def statistics(layer) -> list[np.ndarray]:
    return values(layer.moving_mean, layer.moving_variance)


# The formula


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("n", [1, 2, 24, 300])
@pytest.mark.parametrize("first", [(0.0, 1.0), (5.0, 0.25)])
def test_debiased_statistics_are_the_exact_averages_with_that_momentum(momentum, n, first):
    batches = np.random.default_rng(n).normal(3, 2, (n, 16, N_COLUMNS))
    moving = [np.full(N_COLUMNS, value, "float32") for value in first]
    for batch in batches:
        found = mean(batch), variance(batch)
        moving = [
            np.float32(old * np.float32(momentum) + new * (1 - momentum))
            for old, new in zip(moving, found, strict=True)
        ]
    firsts = [np.full(N_COLUMNS, value, "float32") for value in first]
    left = momentum**n
    rounding = 1e-6 * n / (1 - left)  # of float32, which is as much larger as little has been learnt
    for found, wanted in zip(
        values(*debiased_pair(moving, firsts, np.float32(n), momentum)),
        averages(batches, momentum),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=max(rounding, 1e-5))
    assert share_left([n], [momentum]) == pytest.approx(left)


def test_what_was_not_updated_or_was_set_stays_to_the_bit():
    pair = [np.array([0.1, -7.3], "float32"), np.array([0.0, 2.7], "float32")]
    for n, momentum in ((0, 0.99), (0, 0.0), (SET, 0.99), (3, 1.0)):
        for found, wanted in zip(
            values(*debiased_pair(pair, pair[::-1], np.float32(n), momentum)), pair, strict=True
        ):
            assert found.tobytes() == wanted.tobytes(), (n, momentum)


def test_no_variance_is_below_0():
    tiny = [np.zeros(1, "float32"), np.nextafter(np.float32(0.99), np.float32(0)).reshape(1)]
    found = values(*debiased_pair(tiny, [np.zeros(1), np.ones(1)], np.float32(1), 0.99))
    assert found[1] == [0.0]


def test_the_share_is_the_greatest_of_the_layers_that_were_updated():
    assert share_left([], []) is None
    assert share_left([0, SET], [0.99, 0.99]) is None
    assert share_left([0, 24, 24, SET], [0.99, 0.99, 0.5, 0.99]) == pytest.approx(0.99**24)
    assert share_left([24, 24], [1.0, 0.5]) == pytest.approx(0.5**24)  # by 1 they never move


# Keras's own fit


def batches_of(x) -> list[np.ndarray]:
    return [x[at : at + 16] for at in range(0, len(x), 16)]


def trained(model, n_epochs=1, is_untouched=False) -> Counted:
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    counted = Counted(model, is_untouched)
    x, y = made_up()
    model.fit(x, y, batch_size=16, epochs=n_epochs, shuffle=False, verbose=0)
    return counted


def net(*middle) -> keras.Model:
    return keras.Sequential([keras.Input((N_COLUMNS,)), *middle, layers.Dense(2, activation="softmax")])


class Shown(keras.Model):
    """Calls its layer twice a step, in a train_step of its own."""

    def __init__(self):
        super().__init__()
        self.norm, self.out = layers.BatchNormalization(), layers.Dense(2, activation="softmax")

    def call(self, x, training=False):
        return self.out(self.norm(x, training=training) + self.norm(x, training=training))


class Late(layers.BatchNormalization):
    """Is trained with its moving statistics, which stay as they are."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=False, mask=mask)


def test_debiased_statistics_of_a_fit_are_the_exact_averages_of_its_batches():
    norm = layers.BatchNormalization(
        momentum=0.9, moving_mean_initializer=keras.initializers.Constant(4.0), name="norm"
    )
    model = net(norm)
    counted = trained(model, n_epochs=2)
    raw, x = statistics(norm), made_up()[0]
    assert counted.first_values == pytest.approx(0.9 ** (2 * N_STEPS))
    with counted.debiased(), counted.debiased():
        found = statistics(norm)
        outputs = values(model(x))[0]
    for ours, exact in zip(found, averages(batches_of(x) * 2, 0.9), strict=True):
        np.testing.assert_allclose(ours, exact, rtol=1e-5)
    for after, before in zip(statistics(norm), raw, strict=True):
        assert after.tobytes() == before.tobytes()
    assert not np.allclose(values(model(x))[0], outputs, rtol=1e-3)


@on_tensorflow
def test_a_renormalizing_layer_has_the_square_of_the_exact_average_of_deviations():
    try:
        norm = layers.BatchNormalization(momentum=0.9, epsilon=0.01, renorm=True, name="norm")
    except (TypeError, ValueError):
        pytest.skip("Keras has no renorm yet")
    counted, x = trained(net(norm)), made_up()[0]
    raw = statistics(norm)
    deviations = [np.sqrt(variance(batch) + 0.01) for batch in batches_of(x)]
    weights = 0.9 ** np.arange(N_STEPS)[::-1]
    with counted.debiased():
        found = statistics(norm)
    np.testing.assert_allclose(found[0], averages(batches_of(x), 0.9)[0], rtol=1e-5)
    np.testing.assert_allclose(found[1], np.average(deviations, 0, weights) ** 2 - 0.01, rtol=1e-5)
    assert [part.tobytes() for part in statistics(norm)] == [part.tobytes() for part in raw]


def test_initializers_that_are_functions_are_the_first_values_of_a_model_that_is_as_it_was_built():
    def fives(shape, dtype=None):
        return keras.ops.full(shape, 5.0, dtype)

    norm = layers.BatchNormalization(momentum=0.9, moving_mean_initializer=fives)
    model = net(norm)
    assert momenta(model) == ()
    counted = trained(model, is_untouched=True)
    with counted.debiased():
        np.testing.assert_allclose(statistics(norm)[0], averages(batches_of(made_up()[0]), 0.9)[0], rtol=1e-5)
    assert trained(net(layers.BatchNormalization(moving_mean_initializer=fives))).first_values is None


@pytest.mark.parametrize(
    ("make", "updates"),
    [
        pytest.param(lambda: net(layers.BatchNormalization()), [N_STEPS], id="one"),
        pytest.param(
            lambda: net(layers.BatchNormalization(), net(layers.BatchNormalization(momentum=0.5))),
            [N_STEPS] * 2,
            id="within a model",
            marks=on_tensorflow,
        ),
        pytest.param(
            lambda: net(layers.BatchNormalization(), layers.BatchNormalization(trainable=False)),
            [N_STEPS, 0],
            id="frozen",
            marks=on_tensorflow,
        ),
        pytest.param(
            lambda: net(Late(), layers.BatchNormalization()),
            [0, N_STEPS],
            id="as in inference",
            marks=on_tensorflow,
        ),
        pytest.param(lambda: built(Shown()), [2 * N_STEPS], id="subclassed, called twice"),
        pytest.param(lambda: net(of_others(layers.BatchNormalization())), [SET], id="set"),
    ],
)
def test_each_update_of_a_layer_counts(make, updates):
    model = make()
    n_weights, n_parameters = len(model.get_weights()), model.count_params()
    assert trained(model)._updates == updates
    assert (len(model.get_weights()), model.count_params()) == (n_weights, n_parameters)


def built(model):
    model(np.zeros((1, N_COLUMNS), "float32"))
    return model


def of_others(norm):
    if not norm.built:
        norm.build((None, N_COLUMNS))
    norm.moving_mean.assign([1.0, 2.0, 3.0])
    return norm


def test_counting_changes_no_bit_of_a_fit():
    x, y = made_up()
    found = []
    for counts in (True, False):
        keras.utils.set_random_seed(1)
        model = net(layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dense(4))
        model.compile("adam", "sparse_categorical_crossentropy")
        if counts:
            Counted(model)
        losses = model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0).history["loss"]
        found.append([*losses, *(weight.tobytes() for weight in model.get_weights())])
    assert found[0] == found[1]


def test_what_callbacks_put_back_has_the_updates_of_its_epoch_and_other_values_none():
    norm = layers.BatchNormalization()
    model, known = net(norm), {}
    counted = trained(model)
    counted.note(known)
    first = model.get_weights()
    counted.settle(known)
    assert counted._updates == [N_STEPS]
    x, y = made_up()
    model.fit(x, y, batch_size=16, verbose=0)
    counted.note(known)
    model.set_weights(first)
    counted.settle(known)
    assert counted._updates == [N_STEPS]
    of_others(norm)
    counted.settle(known)
    assert counted._updates == [SET]
    assert counted.first_values is None
    raw = statistics(norm)
    with counted.debiased():
        assert [part.tobytes() for part in statistics(norm)] == [part.tobytes() for part in raw]


def test_momenta_are_of_layers_whose_statistics_will_move_in_the_stages_in_which_they_do():
    assert momenta(net(layers.Dense(4))) == ()
    slow, fast = layers.BatchNormalization(), layers.BatchNormalization(momentum=0.5)
    assert momenta(net(slow, fast, layers.BatchNormalization())) == ((0.5, (0,)), (0.99, (0,)))
    slow.trainable = False
    assert momenta(net(slow, fast)) == ((0.5, (0,)),)
    assert momenta(net(of_others(layers.BatchNormalization()))) == ()
    assert momenta(net(layers.BatchNormalization(momentum=1.0))) == ()
    stages = [Stage(trainable=name, epochs=1) for name in ("scores", fast.name, "all")]
    model = net(slow, fast, layers.Dense(4, name="scores"))
    assert momenta(model, stages) == ((0.5, (1, 2)), (0.99, (2,)))
    assert momenta(model, stages[:1]) == ()


# Whole jobs

NORMED = {"batch_norm": True, "epochs": 2, "batch_size": 25}
STEPS_OF_FOLD = 2, 3
"""Of 50 and 51 rows: in a pack of both the last step of the first is all padding."""


@pytest.fixture
def make(tmp_path):
    return maker(tmp_path)


def both_ways(search, n_jobs=1, **pack) -> list[dict]:
    """Returns the records of a job or two by packs, and by Keras's own fit."""
    jobs = jobs_of([{"learning_rate": 0.125}, {"learning_rate": 0.0625}][:n_jobs])
    found = []
    for packs in ([search.pack(jobs, **pack)], [Pack((job,), **pack) for job in jobs]):
        contexts = [search.train(pack) for pack in packs]
        found.append({job: record for context in contexts for job, record in context.records.items()})
        rungs = [rung.reached for context in contexts for rung in context.of(RungRecord)]
        found[-1] |= {record.job: record for record in rungs}
    return found


@pytest.mark.parametrize("objective", ["accuracy", pytest.param("neg_log_loss", marks=on_tensorflow)])
def test_a_fold_is_scored_both_ways_in_packs_and_in_keras_own_fit(make, objective, eager):
    n_jobs, given = (2, {}) if objective == "accuracy" else (1, {"data": EVEN})
    given |= {"params": NORMED, "search": {"folds": 2, "objective": objective}}
    searches = {kind: make(kind, training={"batch_norm": kind}, **given) for kind in ("keras", "debiased")}
    by_keras, plain = both_ways(searches["keras"], n_jobs)
    debiased, plain_debiased = both_ways(searches["debiased"], n_jobs)
    for job, record in by_keras.items():
        other = debiased[job]
        assert_alike(record, plain[job])
        assert_alike(other, plain_debiased[job])
        assert record.first_values == other.first_values == pytest.approx(0.99 ** (2 * STEPS_OF_FOLD[job[1]]))
        assert record.debiased_score == pytest.approx(other.score, abs=1e-6)
        assert record.debiased_score != pytest.approx(record.score, abs=1e-3)
        assert other.debiased_score is None
        assert other.history["loss"] == record.history["loss"]  # training is the same
        assert other.history["test_loss"] != record.history["test_loss"]


@on_tensorflow
def test_a_model_without_batch_normalization_has_no_share(make, eager):
    for records in both_ways(make(data=EVEN, params={**NORMED, "batch_norm": False})):
        assert {(record.first_values, record.debiased_score) for record in records.values()} == {(None, None)}


@on_tensorflow
@pytest.mark.parametrize("epochs", [4, 2])
def test_what_a_rung_decides_by_is_debiased_whatever_is_scored(make, epochs, eager):
    """Of fits that wait at it, and of those that have ended there."""
    found, given = {}, {"data": EVEN, "params": {**NORMED, "epochs": epochs, "batch_size": 20}, "search": VAL}
    for kind in ("keras", "debiased"):
        search = make(kind, training={"batch_norm": kind}, **given)
        found[kind] = both_ways(search.but(decides_by_val=True), until=2)
    for by_keras, debiased in zip(found["keras"], found["debiased"], strict=True):
        for job, record in by_keras.items():
            assert record.val_score == pytest.approx(debiased[job].val_score, abs=1e-6)
            assert record.history["val_loss"] != debiased[job].history["val_loss"]


LOADING = """
import keras

class Load(keras.callbacks.Callback):
    def __init__(self, hook):
        super().__init__()
        setattr(self, hook, self.load)

    def load(self, *args, **kwargs):
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.moving_mean.assign(layer.moving_mean + 0.5)
"""


@pytest.mark.parametrize("hook", ["on_train_begin", pytest.param("on_epoch_begin", marks=on_tensorflow)])
def test_statistics_that_a_callback_sets_before_an_epoch_hold_no_first_values(make, tmp_path, hook, eager):
    tmp_path.joinpath("loading.py").write_text(LOADING)
    callbacks = {f"{tmp_path}/loading.py:Load": {"hook": hook}}
    job = Job(Trial(0, {}), 0)
    record = make(params=NORMED, callbacks=callbacks).train(Pack((job,))).records[job.id]
    assert (record.error, record.first_values, record.debiased_score) == (None, None, None)


@on_tensorflow
@pytest.mark.parametrize("packs", [True, False])
def test_models_are_kept_as_they_were_measured(make, packs, eager):
    kept = {}
    for kind in ("keras", "debiased"):
        search = make(kind, data=EVEN, params=NORMED, training={"batch_norm": kind}).but(keeps_models=True)
        job = Job(Trial(0, {}), 0)
        search.train(search.pack([job]) if packs else Pack((job,)))
        model = keras.saving.load_model(search.recipe.paths.model(*job.id))
        folds = search.prepared.folds[0]
        said = model.predict(np.asarray(search.prepared.data.images[folds.test], "float32"), verbose=0)
        np.testing.assert_allclose(said, search.predicted(job.id), atol=1e-5)
        kept[kind] = said
    assert not np.allclose(kept["keras"], kept["debiased"], atol=1e-2)
