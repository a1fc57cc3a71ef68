"""Keras's private attributes mean what they meant; what fails tells what is lost without one."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import kerasgrid

keras = pytest.importorskip("keras")

from kerasgrid.models import keras_private as private  # noqa: E402

pytestmark = pytest.mark.slow
layers = keras.layers
ROOMS = [Path(kerasgrid.__file__).parent / room for room in ("models", "training", "estimators")]
OF_OTHERS = {
    *("_parameter_constraints", "_get_scorers", "_scorers", "_get_routed_params_for_fit"),
    *("_seed_state", "_record_values", "_build"),
}
"""scikit-learn's, of searches; KerasTuner's, of AutoKeras's oracle and of HyperModels."""


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Says what is lost where the lines within fail."""
    try:
        yield
    except Exception as error:
        pytest.fail(f"Keras {keras.__version__}: {what} ({type(error).__name__}: {error})")


def net(*last: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *last, layers.Dense(3, activation="softmax", name="scores")])


def compiled(**arguments) -> keras.Model:
    model = net()
    model.compile(**{"optimizer": "sgd", "loss": "categorical_crossentropy"} | arguments)
    return model


def test_private_attributes_of_keras_are_in_one_module():
    asked, own = set(), set(OF_OTHERS)
    for path in (path for room in ROOMS for path in room.glob("*.py") if path.stem != "keras_private"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Attribute(attr=name, ctx=ast.Store()) | ast.FunctionDef(name=name):
                    own.add(name)
                case ast.AnnAssign(target=ast.Name(name)):  # an attribute of a dataclass
                    own.add(name)
                case ast.Attribute(attr=name) | ast.Call(args=[_, ast.Constant(str(name)), *_]):
                    asked.add((path.name, name))
                case ast.ImportFrom(module=str(name)) if name.startswith("keras.src"):
                    asked.add((path.name, f"_{name}"))
    private_names = {(file, name) for file, name in asked if re.match("_[a-z]", name)}
    assert {(file, name) for file, name in private_names if name not in own} == set()


def test_layers_are_found_at_any_depth():
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="deep")], name="inner")
    wrapped = layers.TimeDistributed(inner, name="wrapper")
    with needed("packs overlook the layers of models and wrappers within: Layer._flatten_layers"):
        found = [layer.name for layer in private.layers_within(wrapped)]
        assert found[0] == "inner"
        assert "deep" in found[1:]
        assert [layer.name for layer in private.layers_within(wrapped, nested=False)] == ["inner"]
        assert private.layers_within(layers.Dense(1)) == []


def test_a_tensor_tells_the_call_that_gave_it():
    stored = keras.Input((4,))
    add = layers.Add(name="sum")
    outputs = add([stored, stored])
    with needed("how a model ends cannot be read: KerasTensor._keras_history, Operation._inbound_nodes"):
        operation, inputs, place = private.call_of(outputs)
        assert operation is add
        assert [tensor is stored for tensor in inputs] == [True, True]
        assert place == 0
        assert private.call_of(np.zeros(1)) is None


def test_a_layer_tells_what_each_call_gave_it():
    first, second, layer = keras.Input((4,)), keras.Input((4,)), layers.Dense(2)
    layer(first), layer(second)
    with needed("a Normalization within another model is not adapted: Operation._inbound_nodes"):
        assert [tensors[0] for tensors in private.inputs_of_calls(layer)] == [first, second]


def test_an_operation_tells_what_it_was_called_with():
    stored = keras.Input((4,))
    operation, _, _ = private.call_of(stored[:, 2:])
    with needed("slices of a sample are no part of packs: Operation._inbound_nodes, Node.arguments"):
        ((tensor, key),) = private.arguments_of_calls(operation)
        assert tensor is stored
        assert key == (slice(None), slice(2, None))


@pytest.mark.backend
def test_a_variable_that_is_made_with_a_symbol_has_no_value_yet():
    with needed("weights that the model function set cannot be told from fresh ones: Variable._value"):
        assert private.has_value(keras.Variable(np.zeros(2)))
        with keras.StatelessScope():
            assert not private.has_value(keras.Variable("zeros", shape=(2,)))


def test_what_compile_was_given_is_known():
    losses = {"scores": keras.losses.CategoricalCrossentropy()}
    with needed("packs take models with loss weights or weighted metrics: Trainer._compile_config"):
        given = private.compile_arguments(
            compiled(loss=losses, loss_weights=[2.0], metrics=["accuracy"], weighted_metrics=["mse"])
        )
        assert given["loss"] is losses
        assert given["loss_weights"] == [2.0]
        assert given["metrics"] == ["accuracy"]
        assert given["weighted_metrics"] == ["mse"]
        assert private.compile_arguments(net()) == {}


def test_metrics_are_made_as_by_a_first_batch():
    shape = np.zeros((1, 3), "float32")
    with needed("packs measure no metrics: Trainer._compile_metrics"):
        (metric,) = private.built_metrics(compiled(metrics=["accuracy"]), shape, shape)
        assert type(metric) is keras.metrics.CategoricalAccuracy
        assert private.built_metrics(compiled(), shape, shape) == []


def test_metrics_that_a_model_was_given_can_be_changed_before_a_first_batch():
    model, shape = compiled(metrics=["accuracy"]), np.zeros((1, 3), "float32")
    with needed("`accuracy` counts several labels a sample as classes: CompileMetrics._user_metrics"):
        private.change_metrics(model, lambda given: [keras.metrics.BinaryAccuracy(name=given[0])])
        (metric,) = private.built_metrics(model, shape, shape)
        assert type(metric) is keras.metrics.BinaryAccuracy
        private.change_metrics(model, pytest.fail)  # a batch has made them
        private.change_metrics(compiled(), pytest.fail)


def test_the_arguments_of_a_loss_change_with_it():
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.0)
    target, outputs = np.array([[1.0, 0.0]], "float32"), np.array([[2.0, -1.0]], "float32")
    plain = float(loss(target, outputs))
    with needed("label_smoothing is no input of a pack, and logits go unnoticed: Loss._fn_kwargs"):
        assert private.loss_arguments(loss)["from_logits"] is True
        private.loss_arguments(loss)["label_smoothing"] = 0.5
        assert float(loss(target, outputs)) > plain + 0.1
        assert private.loss_arguments("mse") == {}


def test_a_metric_tells_its_function():
    def mine(target, outputs):
        return outputs

    with needed("packs take metrics of the user's own: MeanMetricWrapper._fn"):
        assert private.metric_function(keras.metrics.MeanMetricWrapper(mine)) is mine
        assert private.metric_function(keras.metrics.Mean()) is None


def test_a_schedule_of_an_optimizer_is_known():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    with needed("a schedule that callbacks cannot change goes unnoticed: Optimizer._learning_rate"):
        optimizer = keras.optimizers.SGD(schedule)
        assert private.schedule_of(optimizer) is schedule
        assert private.schedule_of(keras.optimizers.LossScaleOptimizer(optimizer)) is schedule
        assert private.schedule_of(keras.optimizers.SGD(0.1)) is None


def test_weights_without_decay_are_known():
    with needed("packs let all weights decay: Optimizer._exclude_from_weight_decay"):
        assert not private.excludes_from_decay(keras.optimizers.AdamW())
        by_name, by_variable = keras.optimizers.AdamW(), keras.optimizers.AdamW()
        by_name.exclude_from_weight_decay(var_names=["bias"])
        by_variable.exclude_from_weight_decay(var_list=[keras.Variable(np.zeros(1))])
        assert private.excludes_from_decay(by_name)
        assert private.excludes_from_decay(by_variable)
        other = keras.optimizers.AdamW()
        private.keep_exclusions(by_name, other)
        assert private.excludes_from_decay(other)


@pytest.mark.backend
def test_an_optimizer_on_one_replica_does_not_sum_over_replicas(monkeypatch):
    optimizer, weight = keras.optimizers.SGD(1.0), keras.Variable(np.zeros(1, "float32"))
    private.spare_replica_sums(keras.optimizers.LossScaleOptimizer(optimizer))
    with needed("each fit leaves a graph in TensorFlow's memory: Optimizer._all_reduce_sum_gradients"):
        if keras.backend.backend() == "tensorflow":
            summed = type(optimizer)._all_reduce_sum_gradients
            assert summed is not None
            assert optimizer._all_reduce_sum_gradients is list
        optimizer.apply([keras.ops.ones(1)], [weight])
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), -1.0)


@pytest.mark.backend
@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_an_optimizer_is_applied_within_a_scope(name):
    def made():
        weight = keras.Variable(np.ones(2, "float32"))
        optimizer = getattr(keras.optimizers, name)(learning_rate=0.5, weight_decay=0.1, clipnorm=10.0)
        return weight, optimizer

    wanted, plain = made()
    plain.apply([keras.ops.ones(2)], [wanted])
    weight, optimizer = made()
    with needed("a program's step changes the optimizer itself: methods of BaseOptimizer"):
        private.make_stateless(optimizer).build([weight])
        with keras.StatelessScope() as scope:
            optimizer.apply([keras.ops.ones(2)])
        found = [scope.get_current_value(variable) for variable in (weight, optimizer.iterations)]
        np.testing.assert_allclose(found[0], keras.ops.convert_to_numpy(wanted), rtol=1e-6)
        assert [int(found[1]), int(keras.ops.convert_to_numpy(optimizer.iterations))] == [1, 0]
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), 1.0)


def test_a_crossentropy_is_taken_from_the_logits_that_outputs_carry():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("tensors of TensorFlow carry them")
    logits, outputs = np.array([[0.0, 50.0]], "float32"), keras.ops.array([[1.0, 0.0]])
    with needed("packs clip a crossentropy at 1e-7, and a fit does not: _keras_logits"):
        assert private.carried_logits(outputs) is None
        assert (
            private.carried_logits(keras.activations.softmax(keras.ops.convert_to_tensor(logits))) is not None
        )
        private.carry_logits(outputs, logits)
        assert private.carried_logits(outputs) is logits
        loss = keras.ops.categorical_crossentropy(np.array([[1.0, 0.0]], "float32"), outputs)
        np.testing.assert_allclose(loss, [50.0], rtol=1e-5)


@pytest.mark.parametrize(("rank", "shape"), [(1, (2, 1, 3)), (2, (2, 1, 1, 3)), (3, (2, 1, 1, 1, 3))])
def test_whole_channels_are_dropped(rank, shape):
    layer = getattr(layers, f"SpatialDropout{rank}D")(0.5)
    with needed("packs drop single pixels for channels: SpatialDropout._get_noise_shape"):
        assert private.noise_shape(layer, np.zeros((2, *[5] * rank, 3))) == shape


@pytest.mark.backend
def test_batch_normalization_trains_with_other_moments():
    class Shifted(private.OwnMoments):
        given = None

        def moments(self, inputs):
            return self.given

    layer, inputs = Shifted(epsilon=0.0), np.array([[1.0], [3.0]], "float32")
    with needed("padding counts in the statistics of packs: BatchNormalization._moments"):
        plain = keras.ops.convert_to_numpy(layer(inputs, training=True))
        np.testing.assert_allclose(plain, [[-1.0], [1.0]], rtol=1e-5)
        layer.given = keras.ops.zeros(1), 4 * keras.ops.ones(1)
        np.testing.assert_allclose(layer(inputs, training=True), [[0.5], [1.5]], rtol=1e-5)


def test_a_graph_is_called_anew_operation_by_operation():
    inner = net(layers.Dense(2, name="last_inner"))
    image = keras.Input((4,))
    model, names = keras.Model(image, layers.Dense(1, name="end")(inner(image))), []

    def call(operation, args, kwargs):
        names.append(operation.name)
        if operation is inner:
            return private.run_graph(inner, args, call)
        return operation(*args, **kwargs)

    with needed("no frozen part is cut off: Function._run_through_graph, Sequential._functional"):
        other = keras.Input((4,))
        found = keras.Model(other, private.run_graph(model, [other], call))
        assert names == [inner.name, "last_inner", "scores", "end"]
        x = np.ones((2, 4), "float32")
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(one(x)) for one in (found, model)))


def test_a_net_within_tells_whether_it_was_called_with_a_mask():
    image, other, mask = keras.Input((4,)), keras.Input((4,)), keras.Input((), dtype="bool")
    inner = keras.Model([image, other], layers.concatenate([image, other]))
    with needed("a mask is lost where a frozen part ends: Operation._inbound_nodes, Node.arguments"):
        inner([image, other], training=False)
        assert not private.is_masked(inner)
        inner([image, other], mask=[mask, None])
        assert private.is_masked(inner)


def test_the_rest_of_a_net_is_compiled_as_the_whole():
    model, rest = compiled(metrics=["accuracy"], jit_compile=False), net()
    private.change_metrics(model, lambda given: ["binary_accuracy"])
    with needed("what is trained behind a frozen part is measured by other metrics: _user_metrics"):
        private.compile_like(rest, model)
        assert (rest.optimizer, rest.loss, rest.jit_compile) == (model.optimizer, model.loss, False)
        given = np.ones((2, 4), "float32"), np.eye(3, dtype="float32")[:2]
        assert {*rest.evaluate(*given, verbose=0, return_dict=True)} == {"loss", "binary_accuracy"}


def test_a_loss_by_the_name_of_an_output_is_that_of_a_rest_which_ends_otherwise():
    image, other = keras.Input((4,)), keras.Input((4,))
    model = keras.Model(image, layers.Activation("linear", name="whole")(net()(image)))
    model.compile("sgd", {"whole": "categorical_crossentropy"}, metrics={"whole": ["accuracy"]})
    rest = keras.Model(other, net()(other))
    private.compile_like(rest, model)
    given = np.ones((2, 4), "float32"), np.eye(3, dtype="float32")[:2]
    assert {*rest.evaluate(*given, verbose=0, return_dict=True)} == {"loss", "accuracy"}


def test_batch_renormalization_is_told():
    with needed("packs train batch renormalization as if it were none: BatchNormalization.renorm"):
        assert not private.renormalizes(layers.BatchNormalization())
        if "renorm" in inspect.signature(layers.BatchNormalization).parameters:
            assert private.renormalizes(layers.BatchNormalization(renorm=True))


def test_the_build_of_a_hypermodel_is_found():
    keras_tuner = pytest.importorskip("keras_tuner")

    class Mine(keras_tuner.HyperModel):
        def build(self, hp):
            return net()

    with needed("messages name KerasTuner's wrapper for the user's own build: HyperModel._build"):
        assert private.own_build(Mine().build).__func__ is Mine.build
        assert private.own_build(net) is net
