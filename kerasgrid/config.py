"""grid.yaml into checked, frozen models; all faults in one report.

Here a config's form is checked: keys, types, bounds. What needs the data, the model function or the
space is checked in `kerasgrid.checks`, which adds its faults to the same report.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError, ValidationInfo, field_validator

from kerasgrid.augment import Augment
from kerasgrid.budget import seconds_of
from kerasgrid.callbacks import Callbacks, is_own, split_name, switched
from kerasgrid.errors import ConfigError, Fault
from kerasgrid.forms import Section, faults_of, shown, without_faults
from kerasgrid.switches import Training
from kerasgrid.yaml12 import NOT_TEXT, plain, read_yaml


class IdxPair(Section):
    """Two files of the IDX format, plain or .gz."""

    images: str
    """The file of images, such as train-images-idx3-ubyte.gz."""
    labels: str
    """The file of labels, such as train-labels-idx1-ubyte.gz."""


DataSource = Annotated[
    Annotated[str, Tag("<path>")] | Annotated[IdxPair, Tag("<pair>")],
    Discriminator(lambda value: "<pair>" if isinstance(value, dict | IdxPair) else "<path>"),
]


class DataConfig(Section):
    """Where the images and labels are, and how they are scaled."""

    train: DataSource | None = None
    """A .csv or .npz file, {images: ..., labels: ...} for IDX, or `digits` (built in)."""
    test: DataSource | None = None
    """The rows to predict, optional."""
    label: str = "label"
    """CSV: the label column."""
    id: str | None = None
    """CSV: a column that is no pixel and goes into the submission."""
    sample_submission: str | None = None
    """The competition's sample; default: sample_submission.csv beside test."""
    image: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)] | None = None
    """Height, width, channels; inferred where the pixel count is a square."""
    scale: Annotated[float, Field(gt=0)] | None = None
    """Pixels are divided by this, 255 for bytes."""
    standardize: bool = False
    """Subtract the mean and divide by the std of the training folds, a channel each."""
    multi_label: bool = False
    """Samples may have several labels, or none: labels of 0 and 1, (sample, label), of an .npz or arrays."""
    subset: Annotated[int, Field(ge=2)] | None = None
    """Train on a stratified subset of so many samples."""


def _checked_time(time: str | None) -> str | None:
    if time is not None and seconds_of(time) is None:
        raise ValueError(f"is {time!r}, which is no time; such as 2h, 45min, 1h30min or 90s holds.")
    return time


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
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Stratified folds, shuffled by the seed; default 3."""
    holdout: Annotated[float, Field(gt=0, lt=1)] | Literal["test"] | None = None
    """Instead of folds: the share of the samples that is held out; or test: the samples of data.test, which
    have labels then."""
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    """Seeds a candidate; scores are averaged within a fold first."""
    objective: Annotated[str, Field(min_length=1)] = "accuracy"
    """accuracy, loss, a scikit-learn scorer or a Keras metric, measured on the held-out fold."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    """The seed of folds, initial weights, dropout and data order; 0 is a seed."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """How many candidates: needed by random, a budget for grid, a sample for halving."""
    time: str | None = None
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

    @field_validator("time")
    @classmethod
    def _is_time(cls, time: str | None) -> str | None:
        return _checked_time(time)

    @field_validator("holdout")
    @classmethod
    def _one_split(cls, holdout: float | str | None, section: ValidationInfo) -> float | str | None:
        if holdout is not None and section.data.get("folds") is not None:
            raise ValueError("does not go with folds, which is given too: keep one of them.")
        return holdout

    @property
    def n_folds(self) -> int | None:
        """The number of folds; None where there is a holdout."""
        return None if self.holdout is not None else self.folds or 3


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
    time: str | None = None
    """A budget of wall time; default: in compare what the search took, else search.time, and of both the
    smaller one."""

    @field_validator("time")
    @classmethod
    def _is_time(cls, time: str | None) -> str | None:
        return _checked_time(time)


class ExecutorConfig(Section):
    """Where jobs run."""

    kind: Literal["inline", "processes", "ray"] = "processes"
    """inline: in this process; processes: worker processes."""
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """auto: one per GPU, else one per core."""

    @field_validator("workers")
    @classmethod
    def _inline_has_one(cls, workers: int | str, section: ValidationInfo) -> int | str:
        if section.data.get("kind") == "inline" and workers not in ("auto", 1):
            raise ValueError(
                f"is {workers}, and inline has one worker: leave it out, or take kind: processes."
            )
        return workers


class Config(Section):
    """A grid.yaml: what to search, on which data, with which model."""

    name: str
    """The run's name: results/NAME.json."""
    data: DataConfig = Field(default_factory=DataConfig)
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
    training: Training = Field(default_factory=Training)
    search: SearchConfig = Field(default_factory=SearchConfig)
    autokeras: AutoKerasConfig = Field(default_factory=AutoKerasConfig)
    executor: ExecutorConfig = Field(default_factory=ExecutorConfig)


AUTOKERAS_MODEL = "kerasgrid.models.autokeras:build"
"""What engine: autokeras takes, whatever a config says."""
_NAME = re.compile(r"[^/\\\0-\x1f:*?\"<>|]+")
_NAME_BYTES = 200  # file systems hold 255, and ends such as .json are added


def read_config(source: Path, overrides: Sequence[str] = ()) -> tuple[Config, list[Fault], dict[str, int]]:
    """Reads a grid.yaml and checks its form.

    Args:
        source: The file.
        overrides: `key.path=value` texts; the value is YAML.

    Returns:
        The config, whose faulty keys are left at their defaults; the faults; and the line of each
        key path.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or an override is no `key.path=value`.
    """
    raw, lines = read_yaml(_read_text(source), str(source))
    if not isinstance(raw, dict):
        found = "is empty" if raw is None else f"holds a {type(raw).__name__}"
        raise ConfigError([Fault("", f"{found}; a mapping with data, model and space holds.")], str(source))
    override(raw, overrides)
    raw.setdefault("name", NOT_TEXT.sub("_", source.stem))  # file names may hold bytes that are no text
    config, faults = check_form(raw)
    set_there = tuple(text.partition("=")[0].strip() for text in overrides)
    lines = {path: line for path, line in lines.items() if not path.startswith(set_there)}
    return config, faults, lines


def config_from_dict(value: Mapping[str, Any], overrides: Sequence[str] = ()) -> tuple[Config, list[Fault]]:
    """Checks the form of a config given as a dict; its name is `search` by default.

    Raises:
        ConfigError: A value that is no number, text, list or mapping.
    """
    faults: list[Fault] = []
    raw = plain(dict(value), "", faults)
    if faults:
        raise ConfigError(faults)
    override(raw, overrides)
    raw.setdefault("name", "search")
    return check_form(raw)


def override(raw: dict[str, Any], texts: Sequence[str]) -> None:
    """Sets `key.path=value` texts in a raw config; below `space` and `params`, dots belong to the name.

    Raises:
        ConfigError: A text that is no `key.path=value`, or whose parent is no mapping.
    """
    for text in texts:
        path, equals, value = text.partition("=")
        path = path.strip()
        if not equals or not all(path.split(".")) or NOT_TEXT.search(path):
            raise ConfigError([Fault("", f"{text!r} is no key.path=value, such as search.seed=1.")], "--set")
        section, _, rest = path.partition(".")
        keys = path.split(".")
        if section == "callbacks" and is_own(rest):
            keys = [section, *filter(None, split_name(path))]
        elif section in {"space", "params", "augment"} and rest:
            keys = [section, rest]
        target = raw
        for index, key in enumerate(keys[:-1]):
            if target.get(key) is None:
                target[key] = {}
            target = target[key]
            if not isinstance(target, dict):
                parent = ".".join(keys[: index + 1])
                fault = Fault(
                    path, f"{parent} is no mapping, so that it has no such key: give it as a whole."
                )
                raise ConfigError([fault], "--set")
        target[keys[-1]] = read_yaml(value, f"--set {path}")[0]


def check_form(raw: Mapping[str, Any]) -> tuple[Config, list[Fault]]:
    """Checks keys, types and bounds of a plain config; faulty keys are left at their defaults.

    A faulty key without a default takes what holds it to its default too; a faulty model is empty.
    """
    cleaned = dict(raw)
    for key in (
        "data",
        "params",
        "space",
        "exclude",
        "callbacks",
        "training",
        "search",
        "autokeras",
        "executor",
    ):
        if key in cleaned and cleaned[key] is None:  # `space:` with nothing below it
            del cleaned[key]
    if cleaned.get("augment") in ("off", False):
        cleaned["augment"] = None
    if isinstance(search := cleaned.get("search"), dict) and search.get("engine") == "autokeras":
        cleaned.setdefault("model", AUTOKERAS_MODEL)
    if isinstance(callbacks := cleaned.get("callbacks"), dict):
        cleaned["callbacks"] = switched(callbacks)
    faults: list[Fault] = []
    sound = cleaned
    while True:
        try:
            config = Config.model_validate(sound)
            break
        except ValidationError as error:
            # Faults of a later round come of what was taken out in the first.
            faults = faults or faults_of(error, cleaned, Config)
            sound = {"name": "search", "model": "", **without_faults(sound, error)}
    faults += [Fault(f"callbacks.{fault.path}", fault.message) for fault in config.callbacks.faults()]
    n_bytes = len(config.name.encode(errors="surrogatepass"))
    is_name = _NAME.fullmatch(config.name) and config.name.strip(". ") == config.name
    if not is_name or n_bytes > _NAME_BYTES:
        holds = f'a file name of up to {_NAME_BYTES} bytes of UTF-8 without / \\ : * ? " < > | holds'
        faults.insert(0, Fault("name", f"is {shown(config.name)}; {holds}."))
    return config, faults


def _read_text(source: Path) -> str:
    try:
        return source.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigError([Fault("", "there is no such file.")], str(source)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault("", "is not UTF-8 text.", line)], str(source)) from error
    except OSError as error:
        raise ConfigError([Fault("", f"cannot be read: {error.strerror}.")], str(source)) from error
    except ValueError as error:  # a NUL in the path
        raise ConfigError([Fault("", f"is no path: {error}.")], str(source)) from error


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
