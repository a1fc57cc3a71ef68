"""What one backend of Keras needs and others do not; all such code is here.

A program's functions are written for one job with tensors that keep their shape. Here they are
compiled, looped and mapped over the jobs of a pack.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasgrid import machine
from kerasgrid.models.keras_private import carried_logits, carry_logits

NAME = keras.backend.backend()
SUPPORTED = NAME in {"tensorflow", "jax"}
WIDTH_MATTERS = NAME == "jax"
"""Whether a program for some jobs rounds otherwise than one for fewer of them."""
BYTES_PAY = NAME == "tensorflow"
"""Whether masks of a byte are drawn faster than those of two: on JAX a step takes half as long again."""
SLOPES_ARE_ROWS = NAME == "tensorflow"
"""Whether an Embedding's slopes come as rows, one for each number looked up, and go to the optimizer so.

Keras's Adam squares each of them, and not the sum of those of one row: a dense slope gives other weights.
"""

if NAME == "tensorflow":
    import tensorflow as tf
elif NAME == "jax":
    import jax
    import jax.numpy as jnp

_WORD_BYTES = 8
"""Of the words as which bytes are gathered on TensorFlow's GPUs."""
_N_AHEAD = 2
"""Batches that TensorFlow reads ahead."""


def compile(function: Callable, jit: bool = False) -> Callable:
    """Returns a function of arrays as one compiled program; on TensorFlow by XLA where `jit` says so."""
    if NAME == "tensorflow":
        return tf.function(function, jit_compile=jit, autograph=False, reduce_retracing=False)
    return jax.jit(function)


def gradients(function: Callable, arguments: Any) -> tuple[Any, Any]:
    """Returns what `function(arguments)` gives, (loss, anything), and the loss's gradients."""
    if NAME == "tensorflow":
        loss, other = function(arguments)
        slopes = tf.gradients(loss, tf.nest.flatten(arguments), unconnected_gradients="zero")
        return (loss, other), tf.nest.pack_sequence_as(arguments, slopes)
    return jax.value_and_grad(function, has_aux=True)(arguments)


def repeat(first: Any, last: Any, body: Callable, state: Any) -> Any:
    """Returns the state after `state = body(i, state)` for i from first to last - 1."""
    if NAME == "tensorflow":
        flat = tf.nest.flatten(state)

        def step(index, *values):
            return index + 1, *tf.nest.flatten(body(index, tf.nest.pack_sequence_as(state, values)))

        result = tf.while_loop(lambda index, *_: index < last, step, (first, *flat), parallel_iterations=1)
        return tf.nest.pack_sequence_as(state, result[1:])
    return jax.lax.fori_loop(first, last, body, state)


def map_chunks(function: Callable, chunks: Any, first: Any, n_chunks: Any) -> Any:
    """Returns what `function` gives of chunks in turn, with an axis of chunks before a job's own.

    A loop whose end is no constant of the program: of one that is, XLA might make another program.

    Args:
        function: Takes and gives what jobs have apart.
        chunks: (chunk, row, ...) of each job, or of all.
        first: What it gives of the first chunk.
        n_chunks: A tensor: the first so many chunks are computed, and of the others there is anything.
    """
    if NAME == "tensorflow":
        most = chunks[0].shape[0]
        arrays = [
            tf.TensorArray(leaf.dtype, most, element_shape=leaf.shape).write(0, leaf)
            for leaf in tf.nest.flatten(first)
        ]

        def step(index, *arrays):
            found = tf.nest.flatten(function([part[index] for part in chunks]))
            return index + 1, *(array.write(index, leaf) for array, leaf in zip(arrays, found, strict=True))

        _, *arrays = tf.while_loop(
            lambda index, *_: index < n_chunks, step, (1, *arrays), parallel_iterations=1
        )
        return tf.nest.pack_sequence_as(first, [array.stack() for array in arrays])
    most = chunks.shape[1]

    def with_next(index, found):
        part = function(jax.lax.dynamic_index_in_dim(chunks, index, 1, keepdims=False))
        return jax.tree.map(
            lambda whole, own: jax.lax.dynamic_update_index_in_dim(whole, own, index, 1), found, part
        )

    empty = jax.tree.map(lambda leaf: jnp.zeros((leaf.shape[0], most, *leaf.shape[1:]), leaf.dtype), first)
    return jax.lax.fori_loop(0, n_chunks, with_next, empty)


def logits_behind(outputs: Any) -> Any | None:
    """Returns the logits that a model's outputs are the softmax or sigmoid of; None where Keras knows none.

    On TensorFlow Keras takes a crossentropy, as loss or metric, from them instead of from the outputs, which
    it clips at 1e-7: a tensor carries them until anything is done to it.
    """
    if NAME != "tensorflow":
        return None
    carried, operation = carried_logits(outputs), outputs.op
    known = operation.inputs[0] if operation.type in {"Softmax", "Sigmoid"} else None
    return known if carried is None else carried


def with_logits(outputs: Any, logits: Any) -> Any:
    """Returns outputs that carry their logits, as they came out of a model."""
    outputs = tf.identity(outputs)
    carry_logits(outputs, logits)
    return outputs


def apart(stacked: Any) -> Any:
    """Returns nested arrays that have an axis of jobs as `each` takes them: on TensorFlow a list."""
    if NAME == "tensorflow":
        jobs = zip(*map(tf.unstack, tf.nest.flatten(stacked)), strict=True)
        return [tf.nest.pack_sequence_as(stacked, leaves) for leaves in jobs]
    return stacked


def together(parts: Any) -> Any:
    """Returns what `each` gives with an axis of jobs."""
    if NAME == "tensorflow":
        return tf.nest.map_structure(lambda *leaves: tf.stack(leaves), *parts)
    return parts


def traced_once(function: Callable) -> Callable:
    """Returns a function of one job, which on TensorFlow is traced once for all jobs, programs and widths.

    All tensors of programs come to it as arguments: those that it knew otherwise would be of the first one.
    """
    return tf.function(function, autograph=False) if NAME == "tensorflow" else function


def each(function: Callable, *parts: Any, same: Sequence[Any] = ()) -> Any:
    """Returns what a function of one job gives for each, apart.

    On JAX one program computes all jobs side by side (vmap). On TensorFlow each job has a tower of its
    own in one graph, and towers run at the same time where there are threads for them: kernels that
    differ between jobs are no batched operation there.

    Args:
        function: Takes and gives nested arrays of one job.
        parts: Its arguments, apart; one of a single entry is the same for all jobs.
        same: Those after them, which are the same for all jobs.
    """
    if NAME == "tensorflow":
        width = max(map(len, parts))
        return [function(*(part[job % len(part)] for part in parts), *same) for job in range(width)]
    single = [all(leaf.shape[0] == 1 for leaf in jax.tree.leaves(part)) for part in parts]
    parts = tuple(
        jax.tree.map(lambda leaf: leaf[0], part) if is_single else part
        for part, is_single in zip(parts, single, strict=True)
    )
    if all(single):
        return jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], function(*parts, *same))
    axes = [None if is_single else 0 for is_single in single]
    return jax.vmap(lambda *own: function(*own, *same), in_axes=axes)(*parts)


def entry(parts: Any, place: int) -> Any:
    """Returns one entry of the tuples that `each` gives, apart."""
    return [part[place] for part in parts] if NAME == "tensorflow" else parts[place]


def takes_bytes(n_bytes: int) -> bool:
    """Tells whether `take` takes samples of so many bytes where they are."""
    return n_bytes % _WORD_BYTES == 0 or not (NAME == "tensorflow" and _is_on_gpu())


def take(samples: Any, rows: Any) -> Any:
    """Returns some rows, (row, ...), of samples on the device.

    TensorFlow's GPUs have no kernel that gathers bytes: each step would bring all samples to the host. There
    they are gathered as words, which copies nothing more.
    """
    if NAME == "tensorflow" and samples.dtype == tf.uint8 and _is_on_gpu():
        words = tf.bitcast(tf.reshape(samples, (samples.shape[0], -1, _WORD_BYTES)), tf.int64)
        found = tf.bitcast(tf.gather(words, rows), tf.uint8)
        return tf.reshape(found, (rows.shape[0], *samples.shape[1:]))
    return ops.take(samples, rows, axis=0)


def divided(x: Any, divisor: Any) -> Any:
    """Returns finite numbers divided by a scalar that is an input of the program, to the bit as NumPy does.

    A division by a constant becomes a product with its reciprocal, which rounds otherwise; on JAX one by any
    number that is the same for all does.
    """
    return x / divisor if NAME == "tensorflow" else x / (divisor + 0 * x)


def knows_slopes(inputs: Any) -> bool:
    """Tells whether there is a kernel for the slopes of a BatchNormalization of these inputs."""
    return NAME == "tensorflow" and inputs.dtype == tf.float32 and not _is_on_gpu()


def with_slopes(outputs: Any, inputs: Any, scale: Any, offset: Any, statistics: Any, epsilon: float) -> Any:
    """Returns a BatchNormalization's outputs as they are, whose slopes one kernel finds.

    Keras's own take a dozen operations, each of which reads and writes as much as a batch of inputs.

    Args:
        outputs: (sample, ..., channel) of any type.
        inputs: (sample, ..., channel) float32.
        scale: (channel,) float32.
        offset: Likewise.
        statistics: Mean and variance of the batch, (channel,) float32 each, by which they were normalised.
        epsilon: Was added to the variance.
    """
    with tf.compat.v1.get_default_graph().gradient_override_map({"IdentityN": "KerasgridBatchNormalization"}):
        return tf.identity_n([outputs, inputs, scale, offset, *statistics, tf.constant(epsilon)])[0]


def _slopes(operation: Any, slopes: Any, *_: Any) -> list[Any]:
    """Returns the slopes of what `with_slopes` is given.

    A tf.custom_gradient would do, and would stay in TensorFlow's registry with its graph for ever:
    https://github.com/tensorflow/tensorflow/issues/97697
    """
    _, inputs, scale, _, mean, variance, epsilon = operation.inputs
    rows = (-1, math.prod(inputs.shape[1:-1]), 1, inputs.shape[-1])
    of_inputs, of_scale, of_offset, *_ = tf.raw_ops.FusedBatchNormGradV3(
        y_backprop=tf.reshape(tf.cast(slopes, tf.float32), rows),
        x=tf.reshape(inputs, rows),
        scale=scale,
        reserve_space_1=mean,
        reserve_space_2=variance,
        reserve_space_3=variance,
        epsilon=float(tf.get_static_value(epsilon)),
    )
    return [None, tf.reshape(of_inputs, inputs.shape), of_scale, of_offset, None, None, None]


if NAME == "tensorflow":
    tf.RegisterGradient("KerasgridBatchNormalization")(_slopes)


def slice_rows(array: Any, start: Any, size: int) -> Any:
    """Returns `size` entries of the first axis from `start`, which is a tensor."""
    if NAME == "tensorflow":
        rest = array.shape[1:]
        begin = tf.stack([start] + [0] * len(rest))
        return tf.slice(array, begin, [size, *rest])
    return jax.lax.dynamic_slice_in_dim(array, start, size)


def words(place: int, step: Any) -> Any:
    """Returns (2,) int32 that a job's key is changed by, for a layer and a step."""
    return ops.stack([ops.cast(step, "int32"), ops.cast(place * 0x3C6EF372 % 2**31, "int32")])


def uniform(shape: Any, salt: Any) -> Any:
    """Returns float32 in [0, 1) that depend on the salt, (2,) int32, and the place in the shape."""
    return ops.reshape(fractions(bits(math.prod(shape), salt), 24), shape)


def fractions(words: Any, n_bits: int) -> Any:
    """Returns float32 in [0, 1), the upper bits, 24 at most, of uint32."""
    return ops.cast(_shifted(words, 32 - n_bits), "float32") * np.float32(2.0**-n_bits)


def parts(words: Any, n_bits: int) -> Any:
    """Returns the parts, of 8 or 16 bits, of (word,) uint32, one after the other."""
    if NAME == "tensorflow":
        return tf.reshape(tf.bitcast(words, f"uint{n_bits}"), (-1,))
    return jnp.reshape(jax.lax.bitcast_convert_type(words, f"uint{n_bits}"), (-1,))


def bits(count: int, salt: Any) -> Any:
    """Returns (count,) uint32 that depend on the salt, (2,) int32, and the place alone.

    Two rounds of a 32-bit integer hash over the counter: on a CPU generators of the backends take twice as
    long. On TensorFlow's GPUs, where each operation is a launch, Philox (Salmon et al. 2011).
    """
    if NAME == "tensorflow" and _is_on_gpu():
        return tf.random.stateless_uniform((count,), salt, None, None, tf.uint32, alg="philox")
    salt = ops.cast(salt, "uint32")
    first, second = _hash(salt[0]), _hash(salt[1] ^ salt[0])
    counter = ops.cast(ops.arange(count, dtype="int32"), "uint32")
    return _hash(_hash(counter ^ first) + second)


def _is_on_gpu() -> bool:
    return bool(tf.config.list_physical_devices("GPU"))


def _hash(x: Any) -> Any:
    """Mixes 32 bits: https://github.com/skeeto/hash-prospector (lowbias32)."""
    x = (x ^ _shifted(x, 16)) * np.uint32(0x7FEB352D)
    x = (x ^ _shifted(x, 15)) * np.uint32(0x846CA68B)
    return x ^ _shifted(x, 16)


def _shifted(x: Any, n_bits: int) -> Any:
    return tf.bitwise.right_shift(x, np.uint32(n_bits)) if NAME == "tensorflow" else x >> n_bits


def affine(images: Any, matrix: Any, fill_mode: str, cval: float) -> Any:
    """Returns images, (image, height, width, channel), each resampled bilinearly where a matrix points to.

    Args:
        images: Float.
        matrix: (image, 6): (a, b, c, d, e, f) takes x and y from a x + b y + c and d x + e y + f.
        fill_mode: constant, nearest, reflect or wrap.
        cval: What `constant` fills with.
    """
    transform = ops.concatenate([matrix, ops.zeros((matrix.shape[0], 2), matrix.dtype)], axis=1)
    return ops.image.affine_transform(
        images, transform, "bilinear", fill_mode, cval, data_format="channels_last"
    )


def to_device(array: np.ndarray) -> Any:
    """Returns an array on the device, where programs take it from without copying it again."""
    return tf.constant(array) if NAME == "tensorflow" else jnp.asarray(array)


class Reader:
    """What Keras's fit takes batches from: on TensorFlow datasets, one for all batches that are alike.

    Keras makes one of each keras.utils.PyDataset that it is given, and traces anew how it is read: longer
    than a few steps take. It also reads ahead as many batches as it likes: 19 have been seen, of 100 MB each.
    One of a generator takes four times as long to begin and to end as one of numbers that each give a batch.

    tf.data tunes none of them: the thread that does sleeps for as long as an epoch has taken, up to a minute,
    and now and then is not woken when the epoch ends, which then waits for it
    (https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/framework/model.cc, `OptimizeLoop`:
    it is notified before it is told that it is cancelled).
    """

    def __init__(self) -> None:
        self._datasets: dict[Any, Any] = {}
        self._given: dict[Any, Any] = {}

    def __call__(self, batches: Any) -> Any:
        """Returns what Keras's fit is to be given of a keras.utils.PyDataset, until it is asked for another.

        Args:
            batches: Arrays of each are a tuple, or tuples and dicts in one, of which only the length of the
                first axis may differ.
        """
        if NAME != "tensorflow":
            return batches
        specs = tf.nest.map_structure(
            lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), batches[0]
        )
        like = len(batches), *tf.nest.flatten(specs)
        if like not in self._datasets:
            self._datasets[like] = self._dataset(like, specs)
        self._given[like] = batches
        return self._datasets[like]

    def _dataset(self, like: Any, specs: Any) -> Any:
        n_batches, *parts = like

        def read(index: Any) -> Any:
            kinds = [spec.dtype for spec in parts]
            found = tf.numpy_function(lambda at: tf.nest.flatten(self._given[like][at]), [index], kinds)
            for part, spec in zip(found, parts, strict=True):
                part.set_shape(spec.shape)
            return tf.nest.pack_sequence_as(specs, found)

        options = tf.data.Options()
        options.autotune.enabled = False
        return tf.data.Dataset.range(n_batches).map(read).prefetch(_N_AHEAD).with_options(options)


def given(array: np.ndarray) -> Any:
    """Returns an array on the device; on a CPU, where it is aligned to 64 bytes, itself and no copy of it.

    It has to stay as it is while a program may take from it.
    """
    if NAME == "jax":
        return jax.block_until_ready(jax.device_put(array))
    found = tf.experimental.dlpack.from_dlpack(array.__dlpack__())
    return tf.identity(found) if _is_on_gpu() else found


def memory_bytes() -> int | None:
    """Returns how much memory of its own the device has for this process; None where it is the machine's."""
    if NAME == "jax":
        told = jax.local_devices()[0].memory_stats() or {}
        limits = [told["bytes_limit"]] if "bytes_limit" in told else []
        return min([*limits, *machine.gpu_memory_bytes()], default=None)
    return min(machine.gpu_memory_bytes(), default=None) if _is_on_gpu() else None


def keep_to_share() -> None:
    """Has TensorFlow take no more of a GPU's memory than this worker's share; before anything is on it.

    It grows up to there, as the worker's environment says. JAX has its share from that alone.
    """
    most = machine.gpu_share_mb()
    if NAME == "tensorflow" and most is not None:
        for gpu in tf.config.list_physical_devices("GPU"):
            limit = tf.config.LogicalDeviceConfiguration(memory_limit=most)
            tf.config.set_logical_device_configuration(gpu, [limit])


def to_host(tree: Any) -> Any:
    """Returns nested arrays of the device as NumPy's."""
    return keras.tree.map_structure(np.asarray, tree)
