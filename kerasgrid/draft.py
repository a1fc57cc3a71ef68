"""A config of which only the form was checked: enough to make workers ready, which import Keras meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.config import Config, config_from_dict, read_config
from kerasgrid.forms import Report


@dataclass(frozen=True)
class Draft:
    """A search before its checks.

    Attributes:
        config: Faulty keys are left at their defaults.
        report: Its faults so far.
        base: What the paths of the config are relative to.
        function: The model function, where the config holds one.
    """

    config: Config
    report: Report
    base: Path
    function: Callable[..., Any] | None

    @property
    def is_sound(self) -> bool:
        """Whether its form has no fault."""
        return not self.report.faults


def read_draft(source: str | Path | Mapping[str, Any], overrides: Sequence[str] = ()) -> Draft:
    """Reads a config.

    Args:
        source: A grid.yaml, or the same as a dict; there `model` may be a function.
        overrides: `key.path=value` texts.

    Raises:
        ConfigError: It cannot be read at all. Other faults are in the report.
    """
    if not isinstance(source, Mapping):
        config, faults, lines = read_config(Path(source), overrides)
        base = Path(source).absolute().parent
        return Draft(config, Report(str(source), config, faults, lines), base, None)
    raw, function = dict(source), None
    if callable(raw.get("model")):
        function = raw["model"]
        name = getattr(function, "__qualname__", type(function).__name__)
        raw["model"] = f"{function.__module__}:{name}"
    config, faults = config_from_dict(raw, overrides)
    return Draft(config, Report("config", config, faults, {}), Path.cwd(), function)
