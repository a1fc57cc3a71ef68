"""A config of which only the form was checked: enough to make workers ready, which import Keras meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.baselines.autokeras import ENGINE as AUTOKERAS
from kerasgrid.baselines.autokeras import as_autokeras
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
        notes: What has been made of it.
    """

    config: Config
    report: Report
    base: Path
    function: Callable[..., Any] | None
    notes: tuple[str, ...] = ()

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
        return _settled(Draft(config, Report(str(source), config, faults, lines), base, None))
    raw, function = dict(source), None
    if callable(raw.get("model")):
        function = raw["model"]
        name = getattr(function, "__qualname__", type(function).__name__)
        raw["model"] = f"{function.__module__}:{name}"
    config, faults = config_from_dict(raw, overrides)
    return _settled(Draft(config, Report("config", config, faults, {}), Path.cwd(), function))


def _settled(draft: Draft) -> Draft:
    """Returns a draft as its engine takes it: AutoKeras has models of its own."""
    if draft.config.search.engine != AUTOKERAS:
        return draft
    config, notes = as_autokeras(draft.config)
    report = Report(draft.report.source, config, draft.report.faults, draft.report.lines)
    return Draft(config, report, draft.base, None, tuple(notes))
