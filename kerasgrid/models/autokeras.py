"""AutoKeras's own models: what its hypermodel builds of the values that its oracle has chosen.

Jin, Song and Hu: Auto-Keras: An Efficient Neural Architecture Search System, KDD 2019.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import autokeras
import keras
import keras_tuner
import numpy as np
from autokeras.engine import named_hypermodel
from autokeras.graph import Graph
from autokeras.tuners.greedy import GreedyOracle
from autokeras.tuners.task_specific import IMAGE_CLASSIFIER

from kerasgrid.models.endings import make_metrics
from kerasgrid.records import Target

VANILLA, FULL = "vanilla", "full"
_BLOCK_TYPE = "image_block_1/block_type"


def build(
    input_shape: Sequence[int],
    n_classes: int,
    blocks: str = VANILLA,
    optimizer: str = "adam",
    learning_rate: float = 1e-3,
    epochs: int = 10,
    batch_size: int = 32,
    n_samples: int = 10_000,
    metric: str | None = None,
    multi_label: bool = False,
    **values: Any,
) -> keras.Model:
    """Returns the model that AutoKeras compiles for values of its own hyperparameters.

    Args:
        input_shape: (height, width, channel); pixels are not scaled before.
        n_classes: Two give a sigmoid, more a softmax; several labels a sample a sigmoid each.
        blocks: `vanilla` for its ConvBlock, `full` for all of its ImageClassifier's.
        optimizer: adam, sgd or adam_weight_decay.
        learning_rate: The first one under adam_weight_decay, which lets it fall to 0.
        epochs: Over which it does.
        batch_size: Samples a step.
        n_samples: Samples an epoch.
        metric: One of keras.metrics that is measured beside accuracy, in snake case.
        multi_label: Whether samples may have several labels.
        **values: By AutoKeras's names, such as `image_block_1/conv_block_1/kernel_size`; the others are at
            its defaults.
    """
    preset = {"optimizer": optimizer, "learning_rate": learning_rate, **values}
    hp = keras_tuner.HyperParameters()
    hp.values.update(preset)
    space = AutoKerasSpace(blocks, input_shape, n_classes, epochs, batch_size, n_samples, metric, multi_label)
    return space.build(hp)


class AutoKerasSpace:
    """AutoKeras's hypermodel for images of one size, without its tuner; arguments as in `build`."""

    def __init__(
        self,
        blocks: str,
        input_shape: Sequence[int],
        n_classes: int,
        epochs: int,
        batch_size: int,
        n_samples: int,
        metric: str | None = None,
        multi_label: bool = False,
    ) -> None:
        self.first = _first_values(blocks)
        self._block_type = None if blocks == FULL else VANILLA
        self._shape, self._n_classes = tuple(map(int, input_shape)), int(n_classes)
        self._epochs, self._batch_size, self._n_samples = epochs, batch_size, n_samples
        self._metric, self._multi_label = metric, multi_label

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Returns the compiled model; what it asks for is in `hp` after."""
        with _names_from_one():
            return self._graph().build(hp)

    def values_of(self, hp: keras_tuner.HyperParameters) -> dict[str, Any]:
        """Builds a model for its values alone, those of conditions that do not hold left out."""
        keras.backend.clear_session()
        self.build(hp)
        return {item.name: hp.values[item.name] for item in hp.space if hp.is_active(item)}

    def _graph(self) -> Graph:
        pixels = _Pixels(shape=self._shape)
        pixels.batch_size, pixels.dtype = self._batch_size, "float32"
        n_outputs = self._n_classes if self._n_classes > 2 or self._multi_label else 1
        target = Target("labels" if self._multi_label else "classes", tuple(range(self._n_classes)))
        metrics = make_metrics(self._metric, n_outputs, target, one_hot=True)
        head = autokeras.ClassificationHead(self._n_classes, self._multi_label, metrics=metrics)
        # Python's own numbers: what AutoKeras reads off the data is NumPy's, which Dense refuses.
        head.shape = (n_outputs,)
        output = head(autokeras.ImageBlock(block_type=self._block_type)(pixels))
        graph = Graph(inputs=pixels, outputs=output)
        graph.epochs, graph.num_samples = self._epochs, self._n_samples
        return graph


class SeededOracle(GreedyOracle):
    """AutoKeras's oracle, whose seed holds: by itself it draws from numbers that it does not seed."""

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Proposes values; which part of the best so far they change is drawn from NumPy's own numbers."""
        np.random.seed([self.seed, len(self.trials)])
        return super().populate_space(trial_id)

    def _record_values(self, trial: Any) -> None:
        # What was not proposed KerasTuner draws from a generator without a seed.
        hp = trial.hyperparameters
        for item in hp.space:
            if hp.is_active(item) and item.name not in hp.values:
                hp.values[item.name] = item.random_sample(self._seed_state)
                self._seed_state += 1
        super()._record_values(trial)


class _Pixels(autokeras.ImageInput):
    """Images that have a channel axis and are float32, so that no layer of AutoKeras's own is needed.

    Without them a saved model is loaded by Keras alone.
    """

    def build(self, hp: keras_tuner.HyperParameters, inputs: Any = None) -> Any:
        return inputs


def _first_values(blocks: str) -> list[dict[str, Any]]:
    """Returns the trials that AutoKeras's ImageClassifier begins with, as far as the blocks go."""
    if blocks == FULL:
        return [dict(values) for values in IMAGE_CLASSIFIER]
    return [
        {name: value for name, value in values.items() if name != _BLOCK_TYPE}
        for values in IMAGE_CLASSIFIER
        if values[_BLOCK_TYPE] == VANILLA
    ]


@contextmanager
def _names_from_one() -> Iterator[None]:
    """Lets AutoKeras count its blocks from 1, since hyperparameters are called by its blocks.

    It counts them by Keras's session, and clears that before each build, which would forget the seed.
    """
    counts: Counter[str] = Counter()

    def count(prefix: str) -> int:
        counts[prefix] += 1
        return counts[prefix]

    before = named_hypermodel.keras
    named_hypermodel.keras = SimpleNamespace(backend=SimpleNamespace(get_uid=count))
    try:
        yield
    finally:
        named_hypermodel.keras = before
