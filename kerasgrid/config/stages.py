"""The stages of a fit: which layers each trains, for how long and at which learning rate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from kerasgrid.config.validation import Section

HEAD, ALL = "head", "all"
_LAST = re.compile(r"last\s+(\d+)")


class Stage(Section):
    """A part of a fit that trains some layers, with an optimizer that begins anew."""

    trainable: Annotated[str, Field(min_length=1)]
    """What is trained: head: all that is not in a model within the net, or where there is none, what comes
    after its last pooling or Flatten; last 20: so many layers at the end, those of models within counted
    too, and all where there are no more; all; or the name of a layer or of a model within: that, and all
    that comes after it."""
    epochs: Annotated[int, Field(ge=1)]
    """How many at most; a callback that ends training ends the stage, and the next one begins."""
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """The first one; by default the candidate's, and where callbacks go on that of the stage before."""
    callbacks: Literal["anew", "continue"] = "anew"
    """anew: callbacks and learning rate schedules begin anew, as in another fit of Keras's; continue: they
    go on as they stand, and schedules are over all stages that they go on in."""

    @field_validator("trainable")
    @classmethod
    def _counts_layers(cls, trainable: str) -> str:
        if re.match(r"last(\s|$)", trainable) and last_layers(trainable) == 0:
            raise ValueError(f"is {trainable!r}; head, all, last N from 1, or the name of a layer holds.")
        return trainable


def last_layers(trainable: str) -> int:
    """Returns N of `last N`; 0 for anything else."""
    found = _LAST.fullmatch(trainable)
    return int(found[1]) if found else 0


def _begun(stages: list[Stage]) -> list[Stage]:
    """Refuses a first stage whose callbacks are to go on, since there was nothing before."""
    if stages[0].callbacks == "continue":
        raise ValueError("begin with callbacks: continue, and no stage is before: leave it out in the first.")
    return stages


Stages = Annotated[list[Stage], Field(min_length=1), AfterValidator(_begun)]


def going_on(stages: Sequence[Stage], place: int) -> range:
    """Returns the places of the stages through which the callbacks of one go on, itself among them."""
    starts = [start for start, stage in enumerate(stages) if start == 0 or stage.callbacks == "anew"]
    begin = max(start for start in starts if start <= place)
    return range(begin, min([start for start in starts if start > place], default=len(stages)))


def spans(stages: Sequence[Stage]) -> list[int]:
    """Returns over how many epochs callbacks are that begin with some stage, for each time they do."""
    together = {going_on(stages, place) for place in range(len(stages))}
    return [sum(stages[place].epochs for place in places) for places in together]


def up_to(epoch: int, stages: Sequence[int], counted: Sequence[int]) -> list[int]:
    """Returns the epochs that count of each stage, without those after one.

    Args:
        epoch: The last one, from 1, of all that were trained.
        stages: Epochs that each was trained.
        counted: Those of them that count so far.
    """
    return [min(n, max(epoch - sum(stages[:place]), 0)) for place, n in enumerate(counted)]


def merge_stages(params: Mapping[str, Any], section: Sequence[Mapping[str, Any]] | None) -> tuple[Stage, ...]:
    """Returns a candidate's stages; none where it is trained as a whole.

    Args:
        params: `stages` takes the section's place; `stages.N.KEY` changes the N-th one, from 1. Checked by
            `faults_of_params` before.
        section: The `stages` section.
    """
    found = [dict(stage) for stage in params.get("stages", section) or ()]
    for name, value in params.items():
        if name.startswith("stages."):
            _, place, key = name.split(".")
            found[int(place) - 1][key] = value
    return tuple(map(Stage.model_validate, found))
