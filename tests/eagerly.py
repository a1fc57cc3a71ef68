"""Keras's own fits step by step: on TensorFlow a few steps take less time than tracing one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import pytest


@contextmanager
def eagerly() -> Iterator[None]:
    """Lets models of TensorFlow fit, evaluate and predict without a trace; they say nothing of it."""
    if keras.backend.backend() != "tensorflow":
        yield
        return

    def untraced(make):
        def made(model, *arguments, **options):
            before, model._run_eagerly = model._run_eagerly, True
            try:
                return make(model, *arguments, **options)
            finally:
                model._run_eagerly = before

        return made

    with pytest.MonkeyPatch.context() as patch:
        for name in ("_make_function", "make_predict_function"):
            patch.setattr(keras.Model, name, untraced(getattr(keras.Model, name)))
        yield
