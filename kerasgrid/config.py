"""grid.yaml into checked, frozen models; all faults in one report.

Here a config's form is checked: keys, types, bounds. What needs the data, the model function or the
space is checked in `kerasgrid.checks`, which adds its faults to the same report.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator
from pydantic.fields import FieldInfo

from kerasgrid.errors import ConfigError, Fault, did_you_mean
from kerasgrid.yaml12 import NOT_TEXT, plain, read_yaml


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class IdxPair(_Section):
    """Two files of the IDX format, plain or .gz."""

    images: str
    """The file of images, such as train-images-idx3-ubyte.gz."""
    labels: str
    """The file of labels, such as train-labels-idx1-ubyte.gz."""


DataSource = Annotated[
    Annotated[str, Tag("<path>")] | Annotated[IdxPair, Tag("<pair>")],
    Discriminator(lambda value: "<pair>" if isinstance(value, dict | IdxPair) else "<path>"),
]


class DataConfig(_Section):
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
    subset: Annotated[int, Field(ge=2)] | None = None
    """Train on a stratified subset of so many samples."""


class EarlyStopping(_Section):
    """keras.callbacks.EarlyStopping."""

    monitor: str = "val_loss"
    min_delta: float = 0
    patience: Annotated[int, Field(ge=0)] = 0
    mode: Literal["auto", "min", "max"] = "auto"
    baseline: float | None = None
    restore_best_weights: bool = False
    start_from_epoch: Annotated[int, Field(ge=0)] = 0


class ReduceLROnPlateau(_Section):
    """keras.callbacks.ReduceLROnPlateau."""

    monitor: str = "val_loss"
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: Annotated[int, Field(ge=0)] = 10
    mode: Literal["auto", "min", "max"] = "auto"
    min_delta: Annotated[float, Field(ge=0)] = 0.0001
    cooldown: Annotated[int, Field(ge=0)] = 0
    min_lr: Annotated[float, Field(ge=0)] = 0.0


class TerminateOnNaN(_Section):
    """keras.callbacks.TerminateOnNaN: stop at the first batch whose loss is NaN or infinite."""


class Callbacks(_Section):
    """Keras's callbacks, by their names in snake_case."""

    early_stopping: EarlyStopping | None = None
    reduce_lr_on_plateau: ReduceLROnPlateau | None = None
    terminate_on_nan: TerminateOnNaN | None = None


class TrainingConfig(_Section):
    """How jobs are trained."""

    pack: Annotated[int, Field(ge=1)] | Literal["auto", "off"] = "auto"
    """How many jobs train together in one program."""
    precision: Literal["float32", "mixed_float16", "mixed_bfloat16"] = "float32"
    """Keras's dtype policy."""
    stop_dead: bool = False
    """End trials early that learn nothing."""


class SearchConfig(_Section):
    """Which candidates are tried, and how each is scored."""

    engine: str = "grid"
    """grid or random."""
    folds: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Stratified folds, shuffled by the seed; default 3."""
    holdout: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Instead of folds: the share of the samples that is held out."""
    repeats: Annotated[int, Field(ge=1, le=1000)] = 1
    """Seeds a candidate; scores are averaged within a fold first."""
    objective: Annotated[str, Field(min_length=1)] = "accuracy"
    """accuracy, loss, a scikit-learn scorer or a Keras metric, measured on the held-out fold."""
    seed: Annotated[int, Field(ge=0, lt=1 << 32)] = 0
    """The seed of folds, initial weights, dropout and data order; 0 is a seed."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """How many candidates: needed by random, a budget for grid."""
    time: str | None = None
    """A budget of wall time, such as 2h or 45min."""
    keep_models: Literal["none", "best", "all"] = "none"
    """Which fold models are kept."""
    val: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The inner split of the training folds on which val_* is measured each epoch; by default 0.1
    where a callback monitors val_*, and none otherwise."""

    @model_validator(mode="after")
    def _one_split(self) -> SearchConfig:
        if self.folds is not None and self.holdout is not None:
            raise ValueError("has both folds and holdout: keep one of them.")
        return self

    @property
    def n_folds(self) -> int | None:
        """The number of folds; None where there is a holdout."""
        return None if self.holdout is not None else self.folds or 3


class ExecutorConfig(_Section):
    """Where jobs run."""

    kind: Literal["inline", "processes", "ray"] = "processes"
    """inline: in this process; processes: worker processes."""
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """auto: one per GPU, else one per core."""


class Config(_Section):
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
    augment: dict[str, Any] | None = None
    """ImageDataGenerator's terms."""
    callbacks: Callbacks = Field(default_factory=Callbacks)
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    search: SearchConfig = Field(default_factory=SearchConfig)
    executor: ExecutorConfig = Field(default_factory=ExecutorConfig)


_NAME = re.compile(r"[^/\\\0-\x1f:*?\"<>|]{1,100}")


def read_config(source: Path, overrides: Sequence[str] = ()) -> tuple[Config, list[Fault], dict[str, int]]:
    """Reads a grid.yaml and checks its form.

    Args:
        source: The file.
        overrides: `key.path=value` texts; the value is YAML.

    Returns:
        The config, whose faulty sections are left at their defaults; the faults; and the line of
        each key path.

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
        keys = [section, rest] if section in {"space", "params", "augment"} and rest else path.split(".")
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
    """Checks keys, types and bounds of a plain config; faulty sections are left at their defaults."""
    cleaned = dict(raw)
    for key in ("data", "params", "space", "callbacks", "training", "search", "executor"):
        if key in cleaned and cleaned[key] is None:  # `space:` with nothing below it
            del cleaned[key]
    if cleaned.get("augment") in ("off", False):
        cleaned["augment"] = None
    if isinstance(callbacks := cleaned.get("callbacks"), dict) and "terminate_on_nan" in callbacks:
        written = callbacks["terminate_on_nan"]
        meaning = {} if written in (True, None) else None if written in (False, "off") else written
        cleaned["callbacks"] = {**callbacks, "terminate_on_nan": meaning}
    faults = []
    name = cleaned.get("name")
    if isinstance(name, str) and (not _NAME.fullmatch(name) or name.strip(". ") != name):
        holds = 'a file name of up to 100 characters without / \\ : * ? " < > | holds'
        faults.append(Fault("name", f"is {shown(name)}; {holds}."))
    try:
        return Config.model_validate(cleaned), faults
    except ValidationError as error:
        faults += faults_of(error, cleaned, Config)
        sound = {
            name: value
            for name, value in cleaned.items()
            if name not in {part for e in error.errors() for part in e["loc"][:1]}
        }
        return Config.model_validate({"name": "search", "model": "", **sound}), faults


def faults_of(error: ValidationError, raw: Any, model: type[BaseModel], prefix: str = "") -> list[Fault]:
    """Returns pydantic's errors as faults with key paths, guesses and the values found."""
    messages: dict[str, str] = {}
    for item in error.errors(include_url=False, include_context=True):
        # The last part of an unknown or missing key is that key, whatever it looks like.
        ends_in_key = item["type"] in {"extra_forbidden", "missing"}
        *parts, last = [*item["loc"]] or [""]
        where = [part for part in parts if not _is_tag(part)]
        where += [last] if ends_in_key or not _is_tag(last) else []
        path = prefix
        for part in where:
            path = f"{path}[{part}]" if isinstance(part, int) else f"{path}.{part}" if path else str(part)
        message = _message(item, where, model)
        if path in messages and " holds." in message:  # another member of a union
            message = messages[path].replace(" holds.", f" or {message.partition('; ')[2]}")
        messages[path] = message
    lists = {path.rpartition("[")[0] for path in messages if "[" in path}  # their items' faults say more
    return [Fault(path, message) for path, message in messages.items() if path not in lists]


def _is_tag(part: Any) -> bool:
    """Tells names that pydantic puts into the path for members of a union."""
    return isinstance(part, str) and (
        part.startswith(("<", "dict[", "list[", "constrained-", "literal["))
        or part in {"int", "str", "float"}
    )


def _message(item: Mapping[str, Any], where: Sequence[Any], model: type[BaseModel]) -> str:
    kind, found = item["type"], item["input"]
    if kind == "extra_forbidden":
        return f"unknown key.{did_you_mean(where[-1], _fields(model, where[:-1]))}"
    if kind == "missing":
        return f"is missing. {_fields(model, where[:-1])[where[-1]].description or ''}".rstrip()
    if kind == "value_error":
        return str(item["ctx"]["error"])
    holds = re.sub(
        r"^(Input|List|String) should (be|have) |valid | or instance of \w+| after validation.*",
        "",
        item["msg"],
    )
    for term, word in _WORDS.items():
        holds = re.sub(rf"\b{term}\b", word, holds)
    quotes = ": put it in quotes" if kind == "string_type" and isinstance(found, int | float) else ""
    verb = "hold" if holds.endswith("items") else "holds"
    return f"is {shown(found)}; {holds} {verb}{quotes}."


_WORDS = {
    "an? integer": "a whole number",
    "an? string": "text",
    "an? dictionary": "a mapping",
    "an? boolean": "true or false",
    "greater than or equal to": "at least",
    "less than or equal to": "at most",
    "greater than": "above",
    "less than": "below",
}


def shown(value: Any) -> str:
    """Returns a value as messages show it: as YAML has it, and cut where it is long."""
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields(model: type[BaseModel], where: Sequence[Any]) -> dict[str, FieldInfo]:
    """Returns the known keys of the section that a path leads to."""
    for part in where:
        field = model.model_fields.get(part) if isinstance(part, str) else None
        annotation = None if field is None else field.annotation
        models = [a for a in _arms(annotation) if isinstance(a, type) and issubclass(a, BaseModel)]
        if not models:
            break
        model = models[0]
    return model.model_fields


def _arms(annotation: Any) -> list[Any]:
    """Returns the members of a union, or of an annotated one, flat."""
    inner = getattr(annotation, "__args__", None)
    if isinstance(annotation, type) or not inner:
        return [annotation]
    return [arm for part in inner for arm in _arms(part)]


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
    schema["required"] = [key for key in schema["required"] if key != "name"]  # default: the file's stem
    switches = {
        "augment": schema["properties"]["augment"],
        "terminate_on_nan": schema["$defs"]["Callbacks"]["properties"]["terminate_on_nan"],
    }
    for name, field in switches.items():
        field["anyOf"].append({"enum": ["off", False] + [True] * (name == "terminate_on_nan")})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "grid.yaml of kerasgrid",
    }
