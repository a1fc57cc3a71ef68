"""What a grid.yaml may hold: its sections as frozen models, with types, bounds and defaults."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from kerasgrid.config.augment import Augment, NotNegative
from kerasgrid.config.callbacks import Callbacks
from kerasgrid.config.stages import Stages
from kerasgrid.config.validation import Section, shown
from kerasgrid.wording import nearest

_UNITS = {"h": 3600, "min": 60, "m": 60, "s": 1}
_WILD = re.compile(r"[*?[]")
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(h|min|m|s)\s*")
NameOrScorer = Annotated[
    Annotated[str, Field(min_length=1), Tag("<name>")]
    | Annotated[dict[str, dict[str, Any]], Field(min_length=1, max_length=1), Tag("<scorer>")],
    Discriminator(lambda value: "<scorer>" if isinstance(value, dict) else "<name>"),
]
"""A name; or that of a scorer of scikit-learn's to its arguments."""
AUTOKERAS_MODEL = "kerasgrid.models.autokeras:build"
"""What engine: autokeras takes, whatever a config says."""


class Training(Section):
    """How jobs are trained."""

    pack: Annotated[int, Field(ge=1)] | Literal["auto", "off"] = "auto"
    """How many jobs train together in one program; auto: as many as share one and pay; off: each by itself,
    by Keras's own fit."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Keras's dtype policy."""
    jit: bool | Literal["auto"] = "auto"
    """Whether XLA compiles the training; auto leaves it to Keras, and on TensorFlow's CPU it does not."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Keras's gradient_accumulation_steps: so many steps in a row make one change of the weights, by the mean
    of their gradients, as one batch of all their rows does where no BatchNormalization looks at the batch."""
    class_weight: Literal["balanced"] | dict[str, NotNegative] | None = None
    """Keras's: what a sample of each class counts in the loss of training. balanced: samples / (classes x
    samples of the class), of the rows that are trained on (King and Zeng 2001), as scikit-learn has it."""
    batch_norm: Literal["keras", "debiased"] = "keras"
    """By which statistics of BatchNormalization fits are measured and models are saved: keras: its moving
    ones, which after few steps are still mostly their first values; debiased: without these."""
    labels: Literal["auto", "sparse", "one_hot"] = "auto"
    """The form of labels that a loss or train_step of your own takes: class indices or one-hot rows; auto:
    found by trying it on a few rows."""
    frozen: Literal["float32", "float16", "off"] = "float32"
    """What becomes of the part of a net that begins with layers that are not trainable: what it gives of all
    samples is computed once, kept in the cache as float32 or float16, and shared by candidates, folds and
    later searches; or off: each step computes it."""
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


DEBIASED_LINE = "training: {batch_norm: debiased}"
"""What messages tell of BatchNormalization that has not warmed up to write."""
SEARCHED = tuple(name for name in Training.model_fields if name != "pack")
"""What may differ between candidates."""


def seconds_of(text: str) -> float | None:
    """Returns the seconds of a time such as `2h`, `1h30min` or `45s`; None for another text."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip():
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts) or None


def _as_name(value: Any) -> Any:
    """Returns a whole number as the name of a column, which it is in a file without a header."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


ColumnName = Annotated[
    str,
    BeforeValidator(_as_name),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}]}),
]


class IdxPair(Section):
    """Two files of the IDX format, plain or .gz; or two .npy files."""

    images: str
    """The file of images, such as train-images-idx3-ubyte.gz or images.npy."""
    labels: str
    """The file of labels, such as train-labels-idx1-ubyte.gz or labels.npy."""


def split_pattern(pattern: str) -> tuple[Path, str]:
    """Returns the folder that a pattern of paths begins in, and what is matched below it, posix.

    A folder that is there is one, whatever its name.
    """
    parts = Path(pattern).parts
    wild = (place for place, part in enumerate(parts) if _WILD.search(part))
    first = next((place for place in wild if not os.path.isdir(Path(*parts[: place + 1]))), len(parts) - 1)
    return Path(*parts[:first]), "/".join(parts[first:])


class ImagePattern(Section):
    """Image files by their names, which may say the class."""

    files: Annotated[str, Field(min_length=1)]
    """A pattern of paths, such as train/*.jpg, or photos/**/*.png with all folders below."""
    label: Annotated[str, Field(min_length=1)] | None = None
    """A regular expression found in a file's path below the pattern's folder: its group, or all of it, is the
    class."""

    @property
    def folder(self) -> Path:
        """The folder that all matches are below: what comes before the first wildcard."""
        return split_pattern(self.files)[0]


def _form_of_source(value: Any) -> str:
    if isinstance(value, ImagePattern) or (isinstance(value, dict) and "files" in value):
        return "<files>"
    return "<pair>" if isinstance(value, dict | IdxPair) else "<path>"


DataSource = Annotated[
    Annotated[str, Tag("<path>")]
    | Annotated[IdxPair, Tag("<pair>")]
    | Annotated[ImagePattern, Tag("<files>")],
    Discriminator(_form_of_source),
]


def first_path(source: str | IdxPair | ImagePattern | None) -> str | None:
    """Returns the file or folder that a source names, of a pair that of the images, or a pattern's folder."""
    if isinstance(source, IdxPair):
        return source.images
    return str(source.folder) if isinstance(source, ImagePattern) else source


class ImageColumn(Section):
    """Image files that a CSV names."""

    column: ColumnName
    """The column of their names, with or without folders and suffix."""
    folder: str | None = None
    """Where they lie; by default the folder of the CSV file, or that beside it which has them."""
    suffix: str = ""
    """What is added to each name, such as .jpg."""


class LabelColumn(Section):
    """A column whose cells hold several labels each."""

    column: ColumnName
    """The column."""
    split: Annotated[str, Field(min_length=1)] = " "
    """What stands between labels; an empty cell has none."""


def _form_of_label(value: Any) -> str:
    if isinstance(value, dict | LabelColumn):
        return "<split>"
    return "<several>" if isinstance(value, list) else "<column>"


Label = Annotated[
    Annotated[ColumnName, Tag("<column>")]
    | Annotated[list[ColumnName], Field(min_length=2), Tag("<several>")]
    | Annotated[LabelColumn, Tag("<split>")],
    Discriminator(_form_of_label),
]


class Normalize(Section):
    """What is subtracted of pixels and what they are divided by, a channel each, after data.scale."""

    mean: Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
    """Of each channel, or one for all."""
    std: Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=1)]
    """Of each channel, or one for all."""

    @field_validator("std")
    @classmethod
    def _as_many(cls, std: list[float], section: ValidationInfo) -> list[float]:
        mean = section.data.get("mean")
        if mean is not None and len(mean) != len(std):
            raise ValueError(f"has {len(std)} numbers and mean has {len(mean)}; one a channel of both holds.")
        return std


class Features(Section):
    """A table's columns by kind; of those that are not named the kind is guessed, and told."""

    numeric: list[str] = Field(default_factory=list)
    """Columns of numbers or truth values; a blank becomes the median, and a column beside tells of it."""
    categorical: list[str] = Field(default_factory=list)
    """Columns of categories, whatever stands in them; a blank is none of them."""
    date: list[str] = Field(default_factory=list)
    """Columns of dates, with or without times, which become numbers."""
    scaler: Literal["standard", "quantile", "none"] = "standard"
    """What becomes of numbers: mean 0 and std 1; their quantiles, as a normal distribution has them; or as
    they are. By scikit-learn's StandardScaler or QuantileTransformer, of the training folds only."""


class DataConfig(Section):
    """Where the samples are, what each column is, and how they are scaled."""

    train: DataSource | None = None
    """A .csv, .tsv, .npz or .npy file, a folder of class folders, {files: PATTERN, label: REGEX} for image
    files by name, {images: ..., labels: ...} for IDX, a .zip of any of these, or `digits` (built in)."""
    test: DataSource | None = None
    """The rows to predict, optional."""
    validation: DataSource | None = None
    """The rows that are held out, with labels, in the place of folds."""
    label: Label = "label"
    """CSV: the label column, of classes; a list of columns of 0 and 1, a label each; or {column: tags,
    split: " "} for cells of several labels."""
    header: Literal["none"] | None = None
    """CSV: none: the first line is a row; columns are called "0", "1", ..."""
    files: ImageColumn | None = None
    """CSV: the column that names image files."""
    pixels: ColumnName | None = None
    """CSV: the column whose cells hold all pixels of an image each, with blanks or commas between."""
    skip_bad: bool = False
    """Leave out, and count, image files that cannot be decoded or have not one label, and rows whose file is
    not there, all of which a search refuses otherwise."""
    target: ColumnName | Annotated[list[ColumnName], Field(min_length=1)] | None = None
    """CSV: the column of numbers to predict, or several (regression), in the place of a label."""
    target_scale: Literal["standardize", "log"] | None = None
    """What the net predicts in the place of the numbers, undone in scores and predictions: standardize: less
    their mean, by their std; log: the same of log(1 + y). Of the training folds only."""
    id: ColumnName | None = None
    """CSV: a column of train, of test or of both that is no feature and goes into the submission."""
    drop: list[ColumnName] = Field(default_factory=list)
    """CSV: columns that are left out."""
    features: Features = Field(default_factory=Features)
    """CSV: a table's columns by kind."""
    group: ColumnName | None = None
    """CSV: the column of groups, such as patients, of which none is in two folds; no feature."""
    time: ColumnName | None = None
    """CSV: the column by which rows are ordered in time, numbers or dates; no feature."""
    fold: ColumnName | None = None
    """CSV: the column of fold numbers, no feature; or a CSV file of id and fold."""
    weight: ColumnName | None = None
    """CSV: the column of what each sample counts in the loss of training; no feature."""
    sample_submission: str | None = None
    """The competition's sample; default: sample_submission.csv or sampleSubmission.csv beside test."""
    image: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)] | None = None
    """Height, width, channels of what samples become; inferred where the pixel count is a square, or all
    image files are alike."""
    fit: Literal["stretch", "pad", "crop"] = "stretch"
    """How image files of another shape become `image`: stretch: each axis by itself; pad: whole, in the
    middle of black; crop: the middle, filled."""
    resample: Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"] = "bilinear"
    """Pillow's filter by which image files are resized."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """Pixels are divided by this, 255 for bytes."""
    standardize: bool = False
    """Subtract the mean and divide by the std of the training folds, a channel each."""
    normalize: Normalize | None = None
    """Subtract the mean and divide by the std that are given, in the place of the training folds'."""
    multi_label: bool = False
    """Samples may have several labels, or none: labels of 0 and 1, (sample, label), of an .npz or arrays."""
    subset: Annotated[int, Field(ge=2)] | None = None
    """Search on a stratified subset of so many samples; `kerasgrid fit` trains on all of them."""


def _with_unit(time: Any) -> Any:
    """Refuses a number by itself."""
    if isinstance(time, int | float) and not isinstance(time, bool):
        raise ValueError(f"is {time}, which has no unit; {time:g}s, {time:g}min or {time:g}h holds.")
    return time


def _checked_time(time: str | None) -> str | None:
    if time is not None and seconds_of(time) is None:
        raise ValueError(f"is {time!r}, which is no time; such as 2h, 45min, 1h30min or 90s holds.")
    return time


Duration = Annotated[str | None, BeforeValidator(_with_unit), AfterValidator(_checked_time)]
"""Such as 2h, 45min, 1h30min or 90s."""


class Folds(Section):
    """How samples are split into folds."""

    n: Annotated[int, Field(ge=2, le=1000)] | None = None
    """How many; default 3, and of kind given as many as there are numbers."""
    kind: Literal["stratified", "plain", "group", "stratified_group", "time", "given"] | None = None
    """stratified: each class's or label's share is the same in all, of numbers each bin's; plain: shuffled
    alone; group: no data.group in two folds; stratified_group: both; time: trained on what is before, by
    data.time; given: data.fold tells. Default: given, group or time where data.fold, data.group or data.time
    is there (of groups stratified_group, but for numbers group); else stratified, and plain for numbers."""
    gap: Annotated[int, Field(ge=0)] = 0
    """time: rows that are left out between those trained on and those held out."""


class SearchConfig(Section):
    """Which candidates are tried, and how each is scored."""

    engine: str = "grid"
    """grid, random, halving; KerasTuner's oracles: bayesian, hyperband, random_kt, grid_kt; Optuna's:
    tpe, gp; and autokeras."""
    proposals: Annotated[int, Field(ge=1, le=1000)] = 4
    """KerasTuner's oracles and Optuna's samplers: candidates that are asked for at once, before their
    scores are told."""
    factor: Annotated[int, Field(ge=2, le=100)] = 3
    """halving and hyperband: a factor-th of the candidates goes on from rung to rung, for factor times the
    epochs."""
    min_epochs: Annotated[int, Field(ge=1)] | None = None
    """halving: epochs of the lowest rung at least; by default there are three rungs."""
    folds: (
        Annotated[
            Annotated[int, Field(ge=2, le=1000), Tag("<n>")] | Annotated[Folds, Tag("<folds>")],
            Discriminator(lambda value: "<folds>" if isinstance(value, dict | Folds) else "<n>"),
        ]
        | None
    ) = None
    """Folds, shuffled by the seed: their number, or {n: 5, kind: group, ...}; default 3."""
    holdout: Annotated[float, Field(gt=0, lt=1)] | Literal["test"] | None = None
    """Instead of folds: the share of the samples that is held out; or test: the samples of data.test, which
    have labels then."""
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    """Seeds a candidate; scores are averaged within a fold first."""
    objective: NameOrScorer | None = None
    """accuracy, loss, a scikit-learn scorer or a Keras metric, measured on the held-out fold; scikit-learn's
    also with arguments: {f1: {pos_label: yes}}; quadratic_kappa; or file.py:function of y_true and y_pred,
    also with make_scorer's greater_is_better and response_method. Default: accuracy, and r2 for numbers."""
    scores: list[NameOrScorer] = Field(default_factory=list)
    """What is recorded beside the objective and decides nothing, each as objective has it; null where it is
    not defined."""
    thresholds: Annotated[float, Field(gt=0, lt=1)] | Literal["chosen"] = 0.5
    """At which probability a sample has a label, where it may have several. chosen: a number for each label,
    by which its F1 is best (for accuracy its share of right answers, for fbeta that), of a fifth of the
    held-out rows at a time on the others, so never on rows that are scored; for predict on the out-of-fold
    predictions of all folds."""
    weighted_scores: bool = False
    """Whether objective and scores weigh samples by data.weight, as training does."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    """The seed of folds, initial weights, dropout and data order; 0 is a seed."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """How many candidates: needed by random, bayesian, tpe, gp and random_kt, and by halving where a range
    has no step; a budget for grid, a sample for halving; hyperband chooses itself."""
    time: Duration = None
    """A budget of wall time, such as 2h, 45min or 1h30min, over all sessions; the search ends in order."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """A budget of epochs, over all candidates, folds and sessions."""
    keep_models: Literal["none", "best", "all"] = "none"
    """Which fold models are kept, in results/NAME/models: none, those of the best trial, or of all."""
    val: Annotated[float, Field(gt=0, lt=1)] | Literal["test_fold"] | None = None
    """The inner split of the training folds on which val_* is measured each epoch; by default 0.1
    where a callback monitors val_* or the engine is halving or hyperband, and none otherwise. test_fold:
    the held-out rows themselves, for comparison with work that did so; what is decided by them makes scores
    too good."""

    @field_validator("holdout")
    @classmethod
    def _one_split(cls, holdout: float | str | None, section: ValidationInfo) -> float | str | None:
        if holdout is not None and section.data.get("folds") is not None:
            raise ValueError("does not go with folds, which is given too: keep one of them.")
        return holdout

    @property
    def objective_name(self) -> str:
        """The objective without its arguments; accuracy where it is not given and the data not known."""
        given = self.objective or "accuracy"
        return given if isinstance(given, str) else next(iter(given))

    @property
    def how(self) -> Folds:
        """How samples are split, also where only the number of folds is written, or nothing."""
        return self.folds if isinstance(self.folds, Folds) else Folds(n=self.folds)


class AutoKerasConfig(Section):
    """What `kerasgrid compare` and the engine autokeras give AutoKeras."""

    blocks: Literal["auto", "vanilla", "full"] = "auto"
    """vanilla: models of its ConvBlock; full: all of its ImageClassifier's, ResNet and EfficientNet too;
    auto: full where there are a GPU and a network, and of a run that has begun what it began with."""
    max_trials: Annotated[int, Field(ge=1)] | None = None
    """Default: 100; beside search.trials the smaller one holds, but in compare, where those are the
    search's own."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Default: the most that the grid trains; of a run that has begun, what it began with."""
    batch_size: Annotated[int, Field(ge=1)] = 32
    """Samples a step."""
    time: Duration = None
    """A budget of wall time; default: in compare what the search took, else search.time, and of both the
    smaller one."""


MOST_WORKERS = 1024
_MOST_ON_WINDOWS = 31
"""Workers, each with two handles, of the 63 that it waits for at once."""
_CLUSTERS = ("auto", "local")
_CLUSTER = re.compile(r"(?:ray://)?(?:[\w.-]+|\[[\da-fA-F:.]+\]):\d{1,5}")


class ExecutorConfig(Section):
    """Where jobs run."""

    kind: Literal["inline", "processes", "ray"] = "processes"
    """inline: in this process; processes: worker processes; ray: the seats of a Ray cluster."""
    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] | Literal["auto"] = "auto"
    """auto: on each GPU as many as gpus_per_worker leaves room for, or else one per core; of a Ray cluster's
    GPUs and cores likewise."""
    address: str = "auto"
    """Of kind ray: the cluster. auto: that of RAY_ADDRESS, or else the one that runs on this machine; local:
    one of this process's own, on this machine; or such as ray://host:10001 or host:6379."""
    gpus_per_worker: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | Literal["auto"] = "auto"
    """The share of a GPU, and of its memory, that a worker has: at 0.5 two workers share one. auto: a whole
    one where there are GPUs, else none."""

    @field_validator("workers")
    @classmethod
    def _can_be_so_many(cls, workers: int | str, section: ValidationInfo) -> int | str:
        if section.data.get("kind") == "inline" and workers not in ("auto", 1):
            raise ValueError(
                f"is {workers}, and inline has one worker: leave it out, or take kind: processes."
            )
        if sys.platform == "win32" and isinstance(workers, int) and workers > _MOST_ON_WINDOWS:
            raise ValueError(f"is {workers}, and Windows waits for {_MOST_ON_WINDOWS} workers at most.")
        return workers

    @field_validator("address")
    @classmethod
    def _names_a_cluster(cls, address: str, section: ValidationInfo) -> str:
        if not (address in _CLUSTERS or _CLUSTER.fullmatch(address)):
            near = nearest(address, _CLUSTERS)
            guess = f" Did you mean {near!r}?" if near else ""
            raise ValueError(f"is {address!r}; 'auto', 'local', ray://HOST:10001 or HOST:6379 holds.{guess}")
        if section.data.get("kind", "ray") != "ray" and address != "auto":
            raise ValueError(f"is {address!r}, and clusters are Ray's: leave it out, or take kind: ray.")
        return address

    @field_validator("gpus_per_worker", mode="before")
    @classmethod
    def _has_one_gpu(cls, share: Any, section: ValidationInfo) -> Any:
        if isinstance(share, int | float) and share > 1:
            raise ValueError(f"is {share}, and a worker trains on one GPU: at most 1 or 'auto' holds.")
        if section.data.get("kind") == "inline" and share != "auto":
            raise ValueError(
                f"is {shown(share)}, and inline has no workers: leave it out, or take kind: processes."
            )
        return share


class Config(Section):
    """A grid.yaml: what to search, on which data, with which model."""

    name: str
    """The run's name: results/NAME.json; by default the file's own."""
    data: DataConfig = Field(default_factory=DataConfig)
    """Where the images and labels are."""
    model: str
    """A built-in name, path/to/file.py:function or package.module:function."""
    params: dict[str, Any] = Field(default_factory=dict)
    """Fixed parameters of the model function and of training."""
    space: dict[str, Any] | list[dict[str, Any]] = Field(default_factory=dict)
    """Searched parameters: a list of values or a range each; or a list of such spaces."""
    exclude: list[str] = Field(default_factory=list)
    """Conditions such as "batch_size > 1024 and optimizer == 'SGD'": candidates for which one holds are left
    out."""
    augment: Augment | None = None
    """ImageDataGenerator's terms."""
    callbacks: Callbacks = Field(default_factory=Callbacks)
    """Keras's callbacks, and your own."""
    training: Training = Field(default_factory=Training)
    """How jobs are trained."""
    stages: Stages | None = None
    """Parts of each fit, one after the other, each of which trains some layers and leaves the others as
    they are in prediction. Searched as a whole, a list of stages a value, or by key: stages.2.learning_rate
    is the second one's. A model function that names epochs is given the sum of theirs."""
    search: SearchConfig = Field(default_factory=SearchConfig)
    """Which candidates are tried, and how each is scored."""
    autokeras: AutoKerasConfig = Field(default_factory=AutoKerasConfig)
    """What AutoKeras is given."""
    executor: ExecutorConfig = Field(default_factory=ExecutorConfig)
    """Where jobs run."""

    @property
    def given_augment(self) -> dict[str, Any] | None:
        """What the `augment` section names; None without one."""
        return None if self.augment is None else self.augment.model_dump(exclude_unset=True)

    @property
    def given_stages(self) -> list[dict[str, Any]] | None:
        """What the `stages` section names; None without one."""
        return None if self.stages is None else [one.model_dump(exclude_unset=True) for one in self.stages]

    @property
    def given_callbacks(self) -> dict[str, dict[str, Any]]:
        """The arguments of the callbacks that there are, by name."""
        return {name: args for name, args in self.callbacks.model_dump().items() if args is not None}

    @property
    def whole(self) -> dict[str, Any]:
        """All of it with the defaults, as results.json has it."""
        return {**self.model_dump(), "augment": self.given_augment, "callbacks": self.given_callbacks}


def json_schema() -> dict[str, Any]:
    """Returns the JSON Schema of grid.yaml, for editors."""
    schema = Config.model_json_schema()
    del schema["required"]  # name is the file's stem by default, and model that of the engine autokeras
    engine = {"properties": {"engine": {"const": "autokeras"}}, "required": ["engine"]}
    theirs = {"properties": {"search": engine}, "required": ["search"]}
    schema["anyOf"] = [{"required": ["model"]}, theirs]
    switches = ["on", True, "off", False]
    own = {"anyOf": [{"type": ["object", "null"]}, {"enum": switches}]}
    callbacks = schema["$defs"]["Callbacks"]
    callbacks |= {"patternProperties": {":": own}, "additionalProperties": False}
    for field in callbacks["properties"].values():
        field["anyOf"].append({"enum": switches})
    schema["properties"]["augment"]["anyOf"].append({"enum": ["off", False]})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "grid.yaml of kerasgrid",
    }
