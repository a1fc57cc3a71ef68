"""AutoKeras's models and oracle: what is taken of them, and what they need to run at all.

The tests called `test_..._still_...` fail when a new release no longer needs what is done for it here.
"""

from __future__ import annotations

import warnings
from functools import partial

import keras
import numpy as np
import pytest
from asking import ask_in_this_process, drive
from fakes import classes_of

from kerasgrid.config.sections import SearchConfig
from kerasgrid.engines import Task
from kerasgrid.keras_names import CLASS_METRICS, METRICS
from kerasgrid.space.space import Space

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("eager")]

SEED = 3
N_TRIALS = 4


@pytest.fixture(scope="module")
def models():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of AutoKeras's own imports
        from kerasgrid.models import autokeras
    return autokeras


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch):
    ask_in_this_process(monkeypatch)


def first(models, **about):
    return models.build((28, 28, 1), 10, **{**models._first_values("vanilla")[0], **about})


def task(seed: int = SEED, trials: int = N_TRIALS, proposals: int = 1) -> Task:
    search = SearchConfig(engine="autokeras", trials=trials, proposals=proposals, seed=seed)
    params = {"blocks": "vanilla", "epochs": 2, "batch_size": 32, "n_samples": 100}
    return Task(Space([{}]), search, lambda params: 2, 3, params, (28, 28, 1), classes_of(10))


def score(values) -> float:
    """Returns a score that is a function of a trial's values alone."""
    return float(values["learning_rate"] == 1e-3) + values.get("classification_head_1/dropout", 0.0)


def proposed(**about) -> list[dict]:
    made = drive(task(**about), lambda proposal: [[score(params)] * 3 for params in proposal.candidates])
    return [params for proposal in made for params in proposal.candidates]


def test_its_first_trial_is_the_net_of_experiment_a5(models):
    model = first(models)
    assert model.count_params() == 110_989
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds[:5] == ["InputLayer", "Normalization", "Conv2D", "Conv2D", "MaxPooling2D"]
    assert type(model.optimizer) is keras.optimizers.Adam


def test_two_classes_have_one_sigmoid(models):
    model = models.build((8, 8, 1), 2)
    assert model.output_shape == (None, 1)
    assert model.layers[-1].activation is keras.activations.sigmoid
    (loss,) = model.loss.values()
    assert isinstance(loss, keras.losses.BinaryCrossentropy)


def test_weight_decay_falls_over_all_steps(models):
    model = first(models, optimizer="adam_weight_decay", epochs=4, batch_size=10, n_samples=100)
    assert model.optimizer._learning_rate.decay_steps == 40
    assert float(model.optimizer._learning_rate(40)) == 0


@pytest.mark.parametrize(("n_classes", "multi_label"), [(4, False), (2, False), (3, True)])
def test_every_metric_is_measured_as_a_number(models, n_classes, multi_label):
    """On one model, since building one takes longer than measuring by all."""
    labels = np.eye(4)[[0, 1, 2, 3]] if n_classes == 4 else np.array([[0.0], [1], [0], [1]])
    labels = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]]) if multi_label else labels
    known = [name for name in METRICS if n_classes == 4 or name not in CLASS_METRICS]
    made = []
    for name in set(known) - {"accuracy"}:
        space = models.AutoKerasSpace("vanilla", (8, 8, 1), n_classes, 2, 32, 100, name, multi_label)
        (head,) = space._graph().outputs[0].in_blocks
        made.append(head.metrics[1])
    model = models.build((8, 8, 1), n_classes, multi_label=multi_label)
    model.compile(loss=model.loss, metrics=made)
    images = np.random.default_rng(0).random((4, 8, 8, 1))
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert set(measured) == {"loss", *known} - {"accuracy"}
    assert all(np.ndim(value) == 0 for value in measured.values())


@pytest.mark.backend
def test_metrics_of_class_indices_are_those_of_one_hot_rows(models):
    images, labels = np.random.default_rng(0).random((6, 8, 8, 1)), np.eye(3)[[0, 1, 2, 0, 1, 2]]
    keras.utils.set_random_seed(0)
    model = models.build((8, 8, 1), 3, metric="sparse_categorical_crossentropy")
    measured = model.evaluate(images, labels, verbose=0, return_dict=True)
    assert measured["sparse_categorical_crossentropy"] == pytest.approx(measured["loss"], rel=1e-5)


def test_a_saved_model_has_no_layer_of_autokeras(models):
    assert "autokeras" not in first(models).to_json()


def test_builds_of_one_session_ask_for_the_same(models):
    space = models.AutoKerasSpace("vanilla", (28, 28, 1), 10, 2, 32, 100)
    asked = []
    for _ in range(2):
        hp = keras_tuner_values()
        space.build(hp)
        asked.append([item.name for item in hp.space])
    assert asked[0] == asked[1]
    assert "image_block_1/conv_block_1/kernel_size" in asked[0]


def keras_tuner_values():
    import keras_tuner

    return keras_tuner.HyperParameters()


def test_autokeras_still_counts_its_blocks_by_the_session(models):
    import autokeras

    names = [autokeras.ImageBlock().name for _ in range(2)]
    assert names[0] != names[1]


def test_autokeras_still_gives_dense_numpys_numbers(models):
    from autokeras.utils import data_utils

    assert type(data_utils.dataset_shape(np.zeros((5, 10)))[-1]) is not int  # which all but Keras 3.8 refuse


def test_autokeras_still_draws_from_numpys_own_numbers(models, tmp_path):
    import keras_tuner
    from autokeras.tuners.greedy import GreedyOracle

    def part(seed):
        oracle = GreedyOracle(seed=1, objective=keras_tuner.Objective("score", "max"), max_trials=100)
        for number in range(50):
            oracle.hyperparameters.Boolean(f"flag_{number}")
        np.random.seed(seed)
        return [oracle._select_hps() for _ in range(10)]

    assert part(1) == part(1) != part(2)


def test_kerastuner_still_fills_values_from_numbers_without_a_seed():
    def filled():
        hp = keras_tuner_values()
        hp.Float("x", 0.0, 1.0)
        hp.values.clear()
        hp.ensure_active_values()
        return hp.values["x"]

    assert filled() != filled()


def test_what_is_proposed_is_what_its_own_tuner_would_try(models, tmp_path, monkeypatch):
    """Its tuner's whole search, in which training alone is replaced by the same scores, and seeds hold."""
    import autokeras
    from autokeras.tuners import greedy
    from autokeras.utils import data_utils

    tried = []
    monkeypatch.setattr(greedy, "GreedyOracle", models.SeededOracle)
    shapes = partial(np.array, dtype=object)  # Python's own numbers
    monkeypatch.setattr(data_utils, "dataset_shape", lambda parts: [shapes(part.shape) for part in parts])

    class Tuner(greedy.Greedy):
        def __init__(self, **arguments):
            super().__init__(initial_hps=models._first_values("vanilla"), **arguments)

        def run_trial(self, trial, *arguments, **named):
            self._try_build(trial.hyperparameters)
            hp = trial.hyperparameters
            tried.append({item.name: hp.values[item.name] for item in hp.space if hp.is_active(item)})
            return {"val_accuracy": score(tried[-1])}

        def final_fit(self, **named):
            raise StopIteration

    pixels = autokeras.ImageInput(name="image_input_1")
    head = autokeras.ClassificationHead(name="classification_head_1")
    block = autokeras.ImageBlock(block_type="vanilla", name="image_block_1")
    clf = autokeras.AutoModel(
        inputs=pixels,
        outputs=head(block(pixels)),
        max_trials=N_TRIALS,
        objective="val_accuracy",
        tuner=Tuner,
        seed=SEED + 1,
        directory=tmp_path,
    )
    with pytest.raises(StopIteration):
        clf.fit(np.zeros((20, 28, 28, 1), "float32"), np.arange(20) % 10, epochs=2, verbose=0)
    assert proposed() == tried


def test_the_same_seed_gives_the_same_and_zero_is_a_seed(models):
    first, again, other = (proposed(seed=seed, trials=2) for seed in (0, 0, 1))
    assert first == again != other


def test_several_are_asked_for_at_once_and_failures_are_told(models):
    made = drive(task(trials=5, proposals=2), lambda proposal: [[None] * 3 for _ in proposal.candidates])
    assert [len(proposal.candidates) for proposal in made] == [2, 2, 1]
    assert {proposal.until for proposal in made} == {2}
