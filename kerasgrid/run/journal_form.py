"""The form of a journal's lines: what a search writes of itself, checked before it is gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from kerasgrid.config.forms import few, in_words

Count = Annotated[int, Field(ge=0, lt=1 << 53)]
JobId = Annotated[tuple[Count, Count, Count], Field(strict=False)]
Number = float | None
Curve = Annotated[list[Number], Field(fail_fast=True)]
Texts = Annotated[dict[str, str], BeforeValidator(few)]


class _Line(BaseModel):
    """A line: types are not converted, and what a later version adds is no fault."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)


class _Identity(_Line):
    params: dict[str, Any] | None = None


class _Header(_Line):
    identity: _Identity = _Identity()
    versions: Texts = {}


class _Record(_Line):
    time: float
    session_s: float | None = None


class _Session(_Record):
    type: Literal["session"]
    threads: int | None
    proposed_by: str | None = None
    decided_on: str | None = None


class _Trial(_Record):
    type: Literal["trial"]
    id: Count
    params: dict[str, Any]


class _Fold(_Record):
    type: Literal["fold", "rung"]
    job: JobId
    score: Number = None
    val_score: Number = None
    metrics: Annotated[dict[str, Number], BeforeValidator(few)] = {}
    history: Annotated[dict[str, Curve], BeforeValidator(few)] = {}
    fit_time: float = 0.0
    epochs: Count = 0
    alone: bool = False
    anew: bool = False
    best_epoch: Count | None = None
    n_parameters: Count | None = None
    memory_bytes: Count | None = None
    dead: str | None = None
    error: Texts | None = None
    at_end: bool = False

    @model_validator(mode="after")
    def _has_score(self) -> _Fold:
        if self.score is None and self.error is None:
            raise ValueError("has no score, and no error that tells why")
        return self


class _Checkpoint(_Record):
    type: Literal["checkpoint"]
    job: JobId
    epoch: Count
    anew: bool = False


class _OfTrial(_Record):
    type: Literal["forget", "drop", "readmit"]
    trial: Count
    jobs: Annotated[list[JobId], Field(fail_fast=True)] = []


class _Pack(_Record):
    type: Literal["pack"]
    jobs: Annotated[list[JobId], Field(min_length=1, fail_fast=True)]
    graph: str
    width: Annotated[int, Field(ge=1)]
    shares: bool
    until: Count | None = None


class _Environment(_Record):
    type: Literal["environment"]
    environment: Texts


class _End(_Record):
    type: Literal["end"]
    status: str
    idle: bool = False


class _Retry(_Record):
    type: Literal["retry"]
    job: JobId


class _Sources(_Record):
    type: Literal["sources"]
    sources: Texts


_RECORD: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        _Session | _Trial | _Fold | _Checkpoint | _OfTrial | _Pack | _Environment | _End | _Retry | _Sources,
        Field(discriminator="type"),
    ]
)


def check_line(number: int, line: Mapping[str, Any]) -> None:
    """Holds that a line of a journal is one that a search has written.

    Args:
        number: Of the line, from 1, which is the header.
        line: Its value.

    Raises:
        ValueError: It is none; the message says why.
    """
    try:
        if number == 1:
            _Header.model_validate(line)
        else:
            _RECORD.validate_python(line)
    except ValidationError as error:
        kinds = {"union_tag_not_found": "it names no type", "union_tag_invalid": "its type is not known here"}
        first = error.errors(include_url=False)[0]
        raise ValueError(kinds.get(first["type"]) or in_words(first).rstrip(".")) from error
