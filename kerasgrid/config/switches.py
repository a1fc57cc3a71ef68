"""How jobs are trained beside model, optimizer and callbacks: the `training` section. Imports no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from kerasgrid.config.forms import Section

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Training(Section):
    """How jobs are trained."""

    pack: Annotated[int, Field(ge=1)] | Literal["auto", "off"] = "auto"
    """How many jobs train together in one program."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Keras's dtype policy."""
    jit: bool | Literal["auto"] = "auto"
    """Whether XLA compiles the training; auto leaves it to Keras, and on TensorFlow's CPU it does not."""
    class_weight: Literal["balanced"] | dict[str, Weight] | None = None
    """Keras's: what a sample of each class counts in the loss of training. balanced: samples / (classes x
    samples of the class), of the rows that are trained on (King and Zeng 2001), as scikit-learn has it."""
    stop_dead: bool | Annotated[int, Field(ge=1)] = False
    """End fits early whose loss stays at chance level for so many epochs (true: 5),
    or whose weights explode."""

    @classmethod
    def of(cls, params: Mapping[str, Any], section: Mapping[str, Any]) -> Training:
        """Returns what a candidate's `training.NAME` params make of the section; checked before."""
        own = {
            name.partition(".")[2]: value for name, value in params.items() if name.startswith("training.")
        }
        return cls.model_validate({**section, **own})


SEARCHED = tuple(name for name in Training.model_fields if name != "pack")
"""What may differ between candidates."""
