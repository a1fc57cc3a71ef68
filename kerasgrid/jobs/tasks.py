"""What workers are asked after a search, and what they answer. Free of Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.data.streams import Stream
from kerasgrid.records import Fold, Job, Trial


@dataclass(frozen=True)
class OutputsTask:
    """Blocks of what a candidate's frozen part gives of all samples, which are to be computed.

    Attributes:
        params: The candidate's.
        key: Of the outputs.
        blocks: Which.
        stage: In which the part is frozen, from 0.
    """

    params: Mapping[str, Any]
    key: str
    blocks: tuple[int, ...]
    stage: int = 0


@dataclass(frozen=True)
class OutputsRecord:
    """How many rows a frozen part's outputs have, and how many of them are left to all workers together."""

    key: str
    n_rows: int
    n_left: int


@dataclass(frozen=True)
class FinalTask:
    """A model to train and keep.

    Attributes:
        job: Whose seeds it has.
        fold: By whose training rows images are standardized.
        rows: (row,) int64, to train on.
        epochs: To train.
        total: The epochs that a schedule of learning rates is over.
        owner: What the checkpoint has to be of, and the file's card tells.
        file: Where the model goes, a .keras file; or its weights beside that, as `RunPaths.forms` has them.
        checkpoint: Where it stands meanwhile.
        dropped: Callbacks of the candidate that are left out.
        rates: The learning rate of each epoch; none for the candidate's own.
        start: The file of the kept model whose weights it begins with; None for fresh ones.
        stages: The epochs of each stage; none where there are no stages.
    """

    job: Job
    fold: Fold
    rows: np.ndarray
    epochs: int
    total: int
    owner: str
    file: Path
    checkpoint: Path
    dropped: tuple[str, ...] = ()
    rates: tuple[float, ...] = ()
    start: Path | None = None
    stages: tuple[int, ...] = ()


@dataclass(frozen=True)
class FinalRecord:
    """A model that is trained and in its file.

    Attributes:
        job: (trial id, fold, repeat).
        epochs: That it was trained.
        history: Per epoch: `loss`, `accuracy`, ..., `learning_rate`.
        fit_time: Seconds of training, over all sessions.
        n_parameters: Weights of the model, the non-trainable ones included.
        dead: Why the net has learnt nothing; None where it is not known to have.
        center: (channel,) each, what is subtracted of scaled images and what they are divided by.
        first_values: As in FoldRecord.
        stages: Epochs that each stage was trained; none where there are none.
    """

    job: tuple[int, int, int]
    epochs: int
    history: Mapping[str, list] = field(default_factory=dict)
    fit_time: float = 0.0
    n_parameters: int = 0
    dead: str | None = None
    center: tuple[Sequence[float], Sequence[float]] | None = None
    first_values: float | None = None
    stages: tuple[int, ...] = ()


@dataclass(frozen=True)
class PredictTask:
    """A model that is asked about samples.

    Attributes:
        place: The model's, among those that are asked.
        model: The file that it is kept in.
        trial: Whose params it was trained by.
        fold: By whose training rows images are standardized; WHOLE for what `center` says.
        stream: The samples.
        tta: Augmented views of each sample, beside the sample itself, over which predictions are averaged.
        tells_ids: Whether ids, labels and values of the samples are told of too.
        center: (channel,) each, what is subtracted of scaled images and what they are divided by, of a model
            of all training data; None for neither.
    """

    place: int
    model: Path
    trial: Trial
    fold: Fold
    stream: Stream
    tta: int = 0
    tells_ids: bool = False
    center: tuple[Sequence[float], Sequence[float]] | None = None


@dataclass(frozen=True)
class PredictedRecord:
    """What a model says of some samples.

    Attributes:
        place: The model's.
        predictions: (sample, class) float32, probabilities; or (sample, number) float64. They follow those of
            the record before.
        ids: Of the samples; None where there are none, or they are not asked for.
        labels: Likewise.
        span: The lowest and highest value of all samples so far, likewise; None of a table's rows.
        unknown: By column how many cells of all of a table's rows so far are of a category that the training
            data have not, likewise.
    """

    place: int
    predictions: np.ndarray
    ids: Sequence[str] | None = None
    labels: Sequence[Any] | None = None
    span: tuple[float, float] | None = None
    unknown: Mapping[str, int] = field(default_factory=dict)
