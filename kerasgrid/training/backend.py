"""What one backend of Keras needs and others do not; all such code is here."""

from __future__ import annotations

from typing import Any


def spare_replica_sums(optimizer: Any) -> None:
    """Lets an optimizer that trains on one replica not sum its gradients over replicas.

    On TensorFlow that sum is a tf.custom_gradient, whose graph stays in TensorFlow's registry of
    gradients for ever: some 10 MB a fit. https://github.com/tensorflow/tensorflow/issues/97697
    Other backends' optimizers have no strategy, and are left as they are.
    """
    strategy = getattr(optimizer, "_distribution_strategy", None)
    if strategy is not None and strategy.num_replicas_in_sync == 1:
        optimizer._all_reduce_sum_gradients = list
    if hasattr(optimizer, "inner_optimizer"):  # of mixed_float16's LossScaleOptimizer
        spare_replica_sums(optimizer.inner_optimizer)
