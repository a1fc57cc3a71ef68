"""The nouns of a search: frozen, picklable, and free of Keras."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from kerasgrid.io import digest
from kerasgrid.wording import joined


class Stage(str):
    """A sentence on what is done just now, and how far it is.

    Attributes:
        done: What is done of `total`, such as images that are decoded.
        total: At least 1.
    """

    done: int
    total: int

    def __new__(cls, text: str, done: int, total: int) -> Stage:
        """Returns the text, with what it tells as numbers."""
        stage = super().__new__(cls, text)
        stage.done, stage.total = done, total
        return stage


Doing = Callable[[str], object]
"""Is told what takes a while, in a sentence, or as a Stage now and then."""


def not_told(text: str) -> None:
    """Tells nobody what takes a while."""


WHOLE = -1
"""The index of the fold that trains on all of the training data and holds nothing out."""
FIRST_VALUES = 0.02
"""The share of first values in BatchNormalization's statistics above which scores are looked at both ways."""


@dataclass(frozen=True)
class Target:
    """What is predicted of a sample.

    Attributes:
        kind: classes: one of several; labels: any number of several; numbers: one or more (regression).
        names: The label of each class, all int or all str, sorted; of numbers what each is called.
        one_hot: Whether the source has the classes as one-hot rows, which scikit-learn's scorers see as such.
    """

    kind: Literal["classes", "labels", "numbers"]
    names: tuple[Any, ...]
    one_hot: bool = False

    @property
    def is_numbers(self) -> bool:
        """Whether numbers are predicted."""
        return self.kind == "numbers"

    @property
    def is_multi_label(self) -> bool:
        """Whether samples may have several labels, or none."""
        return self.kind == "labels"

    @property
    def classes(self) -> tuple[Any, ...]:
        """The label of each class; none of numbers."""
        return () if self.is_numbers else self.names

    @property
    def n_outputs(self) -> int:
        """How many classes, labels or numbers there are."""
        return len(self.names)


@dataclass(frozen=True)
class Column:
    """A column of a table, as it was read from the training data.

    Attributes:
        name: As the header has it.
        kind: numeric: numbers and truth values, 0 and 1; categorical: places in `categories`, -1 for a
            category of other rows that is none of them; date: days since 1970, with parts of days where
            `has_times`.
        categories: Sorted, as they are spelled.
        has_blanks: Whether a cell of the training data is blank, of which a value of its own tells the net.
        has_times: Whether dates have times of day.
        date_format: How dates are written, as `pandas.to_datetime` has it.
    """

    name: str
    kind: Literal["numeric", "categorical", "date"]
    categories: tuple[str, ...] = ()
    has_blanks: bool = False
    has_times: bool = False
    date_format: str = "ISO8601"


@dataclass(frozen=True)
class Table:
    """What the columns of a table are, as plain data; its values are numbers, NaN where a cell is blank.

    Attributes:
        columns: Those that are features, in the training data's order.
        scaler: As `data.features.scaler`.
    """

    columns: tuple[Column, ...]
    scaler: str = "standard"

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Table:
        """Returns what `dataclasses.asdict` made plain, also after it was written as JSON."""
        columns = (Column(**{**own, "categories": tuple(own["categories"])}) for own in plain["columns"])
        return cls(tuple(columns), plain["scaler"])


@dataclass(frozen=True)
class Input:
    """One of several inputs that a sample has.

    Attributes:
        shape: Its axes; (1,) where there is a number a sample.
        dtype: As NumPy names it; float32 of all floats.
        name: By which the model has it; None where all are told by their places.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    name: str | None = None

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Inputs:
    """What a sample of several inputs is, as plain data: it is stored as one row of all their values."""

    each: tuple[Input, ...]

    @classmethod
    def of(cls, plain: Iterable[Mapping[str, Any]]) -> Inputs:
        """Returns what `dataclasses.asdict` made plain of each, also after it was written as JSON."""
        return cls(tuple(Input(**{**own, "shape": tuple(own["shape"])}) for own in plain))

    @property
    def has_names(self) -> bool:
        """Whether they are told apart by names, and no places."""
        return self.each[0].name is not None

    @property
    def names(self) -> list[str]:
        """What messages call each."""
        return [f"X[{place if one.name is None else repr(one.name)}]" for place, one in enumerate(self.each)]

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """Where the values of each begin and end in a row."""
        ends = np.cumsum([one.size for one in self.each]).tolist()
        return list(zip([0, *ends], ends, strict=False))

    @property
    def size(self) -> int:
        """How many values all have."""
        return sum(one.size for one in self.each)

    @property
    def shapes(self) -> Any:
        """The axes of each, as a model function is given them."""
        return self.arranged([one.shape for one in self.each])

    def arranged(self, values: Iterable[Any]) -> Any:
        """Returns something of each input as a model takes it: a list, or a dict by their names."""
        if not self.has_names:
            return list(values)
        return dict(zip([one.name for one in self.each], values, strict=True))

    def apart(self, rows: np.ndarray) -> Any:
        """Returns rows, (sample, value), as the arrays of each input, a list or a dict."""
        return self.arranged(
            rows[:, first:last].reshape(len(rows), *one.shape).astype(one.dtype, copy=False)
            for one, (first, last) in zip(self.each, self.bounds, strict=True)
        )

    def __str__(self) -> str:
        shapes = [str(one.shape) if one.name is None else f"{one.name} {one.shape}" for one in self.each]
        return joined(shapes)


@dataclass(frozen=True)
class Dataset:
    """Images and their labels, in arrays that workers map from disk.

    Attributes:
        images: (sample, height, width, channel), uint8 or float32, as stored: neither scaled
            nor standardized. Arrays given in Python may have other axes after the first.
        labels: (sample,), int64, indices into the target's names; (sample, label), uint8 of 0 and 1, where
            samples may have several labels, or none; or (sample, number), float64.
        target: What labels are.
        fingerprint: `sha256:...` of all that is learnt from.
        source: What messages call it, such as `data/train.csv`.
        folder: Where images.npy and labels.npy lie for workers; None for arrays in memory.
        report: Lines about the data worth showing, such as the subset's label frequencies.
        n_held_out: Samples at the end that are a test set of their own, never trained on.
        table: What the columns are, where samples are rows of a table: `images` is (sample, column) float64
            then, as `Column` has it. None for all else.
        inputs: What a sample's inputs are, where there are several: `images` is (sample, value) then. None
            for one.
        weights: (sample,) float64 of 0 or more, what each counts in the loss of training; None for the same.
        groups: (sample,) int64, which group each is of; None for none.
        times: (sample,) float64, by which rows are ordered in time; None for none.
        given: (sample,) int64, which fold each is held out by, -1 for none; None where nothing tells.
    """

    images: np.ndarray
    labels: np.ndarray
    target: Target
    fingerprint: str
    source: str
    folder: str | None = None
    report: tuple[str, ...] = ()
    n_held_out: int = 0
    table: Table | None = None
    inputs: Inputs | None = None
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    times: np.ndarray | None = None
    given: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def place(self) -> Path:
        """The absolute folder, of what workers map."""
        assert self.folder is not None
        return Path(self.folder).absolute()

    @property
    def classes(self) -> tuple[Any, ...]:
        """The label of each class; none where numbers are predicted."""
        return self.target.classes


@dataclass(frozen=True)
class Fold:
    """One split of the samples; index arrays, int64, sorted but where an estimator is given it otherwise.

    Attributes:
        index: The fold's place, from 0; WHOLE for all of the training data.
        train: Rows to train on, the inner validation rows included.
        test: Held-out rows; the score is measured on them.
    """

    index: int
    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Trial:
    """One candidate: an id that never changes within a run, and its params."""

    id: int
    params: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        """The params' hash without `epochs`, which says whether two trials may be one run: 64 hex digits."""
        return self._digest("epochs")

    @cached_property
    def seed_key(self) -> str:
        """The hash of the params that change a step, from which random keys come: 64 hex digits."""
        return self._digest("epochs", "training.batch_norm", "training.frozen")

    def _digest(self, *but: str) -> str:
        return digest({name: value for name, value in self.params.items() if name not in but})

    @cached_property
    def identity(self) -> str:
        """The hash of all params, which says whether two trials are the same: 64 hex digits."""
        return digest(dict(self.params))


@dataclass(frozen=True)
class Job:
    """A trial trained on one fold, with one repeat's seeds."""

    trial: Trial
    fold: int
    repeat: int = 0

    @property
    def id(self) -> tuple[int, int, int]:
        """(trial id, fold, repeat)."""
        return self.trial.id, self.fold, self.repeat

    def __str__(self) -> str:
        if self.fold == WHOLE:
            return f"trial {self.trial.id}, seed {self.repeat}"
        repeat = f", repeat {self.repeat}" if self.repeat else ""
        return f"trial {self.trial.id}, fold {self.fold}{repeat}"


@dataclass(frozen=True)
class Graph:
    """A candidate's graph, and the numbers that the graph receives for it.

    Attributes:
        key: 64 hex digits; candidates with the same key share one compiled program. None where no
            program can train it.
        reason: Why none can.
        numbers: In the graph's own order, such as dropout rates and L2 factors.
        learning_rate: The first one; None where a schedule in the optimizer gives it.
        is_refused: Whether nothing can train it, since its model does not build.
        outputs: The key of the frozen part's outputs that it takes; None where it takes samples.
    """

    key: str | None
    reason: str | None = None
    numbers: tuple[float, ...] = ()
    learning_rate: float | None = None
    is_refused: bool = False
    outputs: str | None = None


@dataclass(frozen=True)
class Frozen:
    """The frozen part of a candidate's net, whose outputs may be computed once, and the graph of the rest.

    Attributes:
        key: The hash of its config and weights.
        last: The layer, or the model within, with which it ends.
        n_layers: Its layers that have weights.
        n_parameters: Weights.
        shape: What the rest takes of one sample.
        graph: The rest's.
        stage: In which it is frozen, from 0.
        is_exact: Whether the rest takes inputs of the net among that, which are kept as they are.
    """

    key: str
    last: str
    n_layers: int
    n_parameters: int
    shape: tuple[int, ...]
    graph: Graph
    stage: int = 0
    is_exact: bool = False


@dataclass(frozen=True)
class Pack:
    """Jobs that are trained together in one worker.

    Attributes:
        jobs: Those of a run side by side, ordered by epochs.
        graphs: Each job's graph, all with the same key; empty for Keras's own fit, job by job.
        width: Runs that are trained side by side in one program; the others follow.
        shares: Whether jobs that differ in `epochs` alone are one run, read at several epochs.
        cuts: Runs of each wave, where some have ended; empty for waves of `width` runs.
        until: The epoch, from 1, after which jobs that have not ended wait; None for none.
    """

    jobs: tuple[Job, ...]
    graphs: tuple[Graph, ...] = ()
    width: int = 1
    shares: bool = False
    cuts: tuple[int, ...] = ()
    until: int | None = None

    @property
    def runs(self) -> list[tuple[Job, ...]]:
        """The jobs of each run, in order."""
        runs: dict[Any, list[Job]] = {}
        for job in self.jobs:
            key = job.trial.key if self.shares else job.trial.id
            runs.setdefault((key, job.fold, job.repeat), []).append(job)
        return [tuple(run) for run in runs.values()]

    @property
    def waves(self) -> list[list[tuple[Job, ...]]]:
        """The runs that are trained side by side; those of a wave stay together when some have ended."""
        runs, waves, first = self.runs, [], 0
        for size in self.cuts or [self.width] * -(-len(runs) // self.width):
            waves.append(runs[first : first + size])
            first += size
        return waves

    @cached_property
    def _places(self) -> dict[tuple[int, int, int], int]:
        return {job.id: place for place, job in enumerate(self.jobs)}

    @property
    def key(self) -> str:
        """What its graphs have in common."""
        key = self.graphs[0].key
        assert key is not None
        return key

    @property
    def outputs(self) -> str | None:
        """The key of the frozen part's outputs that all of them take; None where they take samples."""
        return self.graphs[0].outputs if self.graphs else None

    def graph(self, job: Job) -> Graph:
        """Returns the graph of one of the jobs."""
        return self.graphs[self._places[job.id]]

    def of(self, jobs: Iterable[Job]) -> Pack:
        """Returns the pack with only these of its jobs."""
        wanted = {job.id for job in jobs}
        kept = [place for place, job in enumerate(self.jobs) if job.id in wanted]
        sizes = [sum(any(job.id in wanted for job in run) for run in wave) for wave in self.waves]
        return replace(
            self,
            cuts=tuple(size for size in sizes if size),
            jobs=tuple(self.jobs[place] for place in kept),
            graphs=tuple(self.graphs[place] for place in kept) if self.graphs else (),
        )


class Context(Protocol):
    """What a function is given beside its task, wherever an executor runs it."""

    def emit(self, payload: Any) -> None:
        """Sends an object to the driver at once; it must be picklable where workers are processes."""

    def should_stop(self) -> bool:
        """Returns whether the function should save its work and return soon."""


@dataclass(frozen=True)
class EpochRecord:
    """An epoch that a job has finished; `epoch` counts from 1, of `epochs` at most."""

    job: tuple[int, int, int]
    epoch: int
    epochs: int
    logs: Mapping[str, float]


@dataclass(frozen=True)
class CheckpointRecord:
    """A checkpoint that is in its place, holding the state after `epoch` epochs.

    `anew` tells of a training that began after rungs, from its first epoch.
    """

    job: tuple[int, int, int]
    epoch: int
    file: str
    anew: bool = False


@dataclass(frozen=True)
class StopRecord:
    """A job that stopped after the epoch at hand because it was asked to; it goes on later."""

    job: tuple[int, int, int]
    epoch: int


@dataclass(frozen=True)
class WidthRecord:
    """The runs side by side that do the most in a second, and the seconds a run and step by width."""

    graph: str
    width: int
    seconds: Mapping[int, float]


@dataclass(frozen=True)
class NoteRecord:
    """Something that the user should know, in a sentence; of notes on one topic, the first is told."""

    text: str
    topic: str | None = None


@dataclass(frozen=True)
class FoldRecord:
    """The end of a job.

    Attributes:
        job: (trial id, fold, repeat).
        score: The objective on the held-out rows; None where the job failed.
        val_score: The objective on the inner split, where an engine decides by it.
        metrics: What was measured on the held-out rows, of numbers as the data have them: `loss`, accuracy or
            r2, mean_absolute_error and root_mean_squared_error, the objective and all scores.
        history: Per epoch: `loss`, `accuracy`, ..., `val_*`, `test_*`, `learning_rate`.
        fit_time: Seconds of training, without testing, checkpoints and, in packs, compiling.
        epochs: Epochs trained, those lost to a crash not counted.
        alone: Whether its fit was its own, so that it shares no epochs with jobs read off the same run.
        anew: Whether it was trained from its first epoch after it had waited at rungs.
        best_epoch: The epoch whose weights made the score, from 1.
        stages: Epochs trained in each stage that has ended, where there are stages.
        restored_stages: Those of them that the weights have, where early stopping restored earlier ones.
        n_parameters: Weights of the model, the non-trainable ones included.
        memory_bytes: The worker's peak resident memory.
        dead: Why the net has learnt nothing; None where it is not known to have.
        first_values: The greatest share of first values that is left in a BatchNormalization's moving
            statistics, 0 to 1; None where none of the model's has trained.
        debiased_score: The objective by debiased statistics, where the score is by Keras's and `first_values`
            is above FIRST_VALUES.
        thresholds: (label,), at which a sample has each of several labels in the score, where they were
            chosen on the inner split.
        error: {"type", "message"} where the job failed.
    """

    job: tuple[int, int, int]
    score: float | None = None
    val_score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    history: Mapping[str, list] = field(default_factory=dict)
    fit_time: float = 0.0
    epochs: int = 0
    alone: bool = False
    anew: bool = False
    best_epoch: int | None = None
    stages: Sequence[int] | None = None
    restored_stages: Sequence[int] | None = None
    n_parameters: int | None = None
    memory_bytes: int | None = None
    dead: str | None = None
    first_values: float | None = None
    debiased_score: float | None = None
    thresholds: Sequence[float] | None = None
    error: Mapping[str, str] | None = None


@dataclass(frozen=True)
class RungRecord:
    """A job that waits after an epoch, its checkpoint in place, with what it has reached so far."""

    reached: FoldRecord


@dataclass(frozen=True)
class WeightsFile:
    """A file of trained weights that a net begins with.

    Attributes:
        name: The path as it is written, or such as `imagenet of VGG16`.
        path: Where it is, or is to be.
        n_bytes: Of the file; of the net's weights, where it is not at hand.
        digest: Its SHA-256; None where it is not at hand.
        url: Where Keras downloads it from; None for a file of the user's own.
    """

    name: str
    path: str
    n_bytes: int
    digest: str | None
    url: str | None = None


@dataclass(frozen=True)
class ProbeRecord:
    """What building one candidate's model has shown.

    Attributes:
        n_parameters: Weights of its model; None where it does not build, or only with data.
        error: {"type", "message"} where it does not build.
        device: What it would be trained on: `cpu`, or such as `gpu:0`; None where the worker died.
        graph: Its graph; None where it does not build or was not asked for.
        scales_input: Whether its first layers scale what it is given; None where they do not tell.
        momenta: Of each BatchNormalization that trains, with the stages, from 0, in which it does; each once.
        pieces: Bytes of all samples and of a piece of them, where a program is fed in pieces; None where it
            has all of them on the device, or there is none.
        weights: Files that its weights begin with.
        frozen: Its net's frozen part, of each stage that has one; none where it begins with none.
        why_whole: Why there is none, where something of it is frozen.
    """

    params: Mapping[str, Any]
    n_parameters: int | None
    error: Mapping[str, str] | None
    device: str | None
    graph: Graph | None = None
    scales_input: bool | None = None
    momenta: tuple[tuple[float, tuple[int, ...]], ...] = ()
    pieces: tuple[int, int] | None = None
    weights: tuple[WeightsFile, ...] = ()
    frozen: tuple[Frozen, ...] = ()
    why_whole: str | None = None


def has_results(records: Iterable[Mapping[str, Any]]) -> bool:
    """Tells whether a journal's search has come to something: a fit has finished, or has waited at a rung."""
    kinds = ((record.get("type"), record.get("error")) for record in records)
    return any(kind == "rung" or (kind == "fold" and error is None) for kind, error in kinds)
