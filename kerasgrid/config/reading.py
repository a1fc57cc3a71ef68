"""A grid.yaml, or a dict, into a Config; all faults in one report.

Here a config's form is checked: keys, types, bounds. What needs the data, the model function or the
space is checked in `kerasgrid.checks`, which adds its faults to the same report.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kerasgrid.config.callbacks import is_own, split_name, switched
from kerasgrid.config.sections import AUTOKERAS_MODEL, Config
from kerasgrid.config.validation import faults_of, shown, without_faults
from kerasgrid.config.yaml12 import NOT_TEXT, plain, read_yaml
from kerasgrid.errors import ConfigError, Fault
from kerasgrid.io import kind_of, read_input, windows_takes

_MOST_BYTES = 1 << 26
"""Of a grid.yaml."""
_NAME_BYTES = 200  # file systems hold 255, and ends such as .json are added


def read_config(source: Path, overrides: Sequence[str] = ()) -> tuple[Config, list[Fault], dict[str, int]]:
    """Reads a grid.yaml and checks its form.

    Args:
        overrides: `key.path=value` texts; the value is YAML.

    Returns:
        The config, whose faulty keys are left at their defaults; the faults; and the line of each
        key path.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or an override is no `key.path=value`.
    """
    if other := kind_of(source, takes=("grid",)):
        raise ConfigError([Fault("", other.told("grid"))], str(source))
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


class Flag(str):
    """A `key.path=value` text that was given by a flag of its own; messages name that."""

    flag: str

    def __new__(cls, flag: str, key: str, value: Any) -> Flag:
        """Returns the text of a key and its value."""
        made = super().__new__(cls, f"{key}={json.dumps(value)}")
        made.flag = flag
        return made


def flags_of(overrides: Sequence[str]) -> dict[str, str]:
    """Returns by key path what has set it, as messages name it; the last one where several have."""
    paths = {text: text.partition("=")[0].strip() for text in overrides}
    return {path: text.flag if isinstance(text, Flag) else f"--set {path}" for text, path in paths.items()}


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
            faults = faults or faults_of(error, Config)
            sound = {"name": "search", "model": "", **without_faults(sound, error)}
    faults += [Fault(f"callbacks.{fault.path}", fault.message) for fault in config.callbacks.faults()]
    n_bytes = len(config.name.encode(errors="surrogatepass"))
    taken = windows_takes(config.name)
    if taken or config.name.strip(". ") != config.name or not config.name or n_bytes > _NAME_BYTES:
        holds = f'a file name of up to {_NAME_BYTES} bytes of UTF-8 without / \\ : * ? " < > | holds'
        if taken == "a device":
            holds = "Windows takes that for a device: choose another"
        faults.insert(0, Fault("name", f"is {shown(config.name)}; {holds}."))
    return config, faults


def _read_text(source: Path) -> str:
    try:
        return read_input(source, _MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError as error:
        raise ConfigError([Fault("", "there is no such file.")], str(source)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError([Fault("", "is not UTF-8 text.", line)], str(source)) from error
    except OSError as error:
        raise ConfigError([Fault("", f"cannot be read: {error.strerror}.")], str(source)) from error
