"""A config of which only the form was checked: enough to make workers ready, which import Keras meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kerasgrid.config.reading import config_from_dict, flags_of, read_config
from kerasgrid.config.sections import Config, DataConfig, IdxPair, ImagePattern
from kerasgrid.config.validation import FaultReport
from kerasgrid.data.roles import is_fold_file
from kerasgrid.engines.autokeras import ENGINE as AUTOKERAS
from kerasgrid.engines.autokeras import as_autokeras, begun_with, name_beside
from kerasgrid.errors import ConfigError, Fault
from kerasgrid.io import FileKind
from kerasgrid.jobs.objective import as_written, is_in_hand
from kerasgrid.machine import backend_fault
from kerasgrid.models.references import BUILT_IN, in_hand, text_of
from kerasgrid.run.paths import RunPaths
from kerasgrid.wording import is_built

FILES = ("train", "test", "validation", "sample_submission")
"""Keys of the section `data` that name files."""


@dataclass(frozen=True)
class Draft:
    """A search before its checks.

    Attributes:
        config: Faulty keys are left at their defaults.
        report: Its faults so far.
        base: What the paths of the config are relative to.
        function: The model function, where the config holds one.
        notes: What is to be told of it.
        scorers: Functions that score, where the config holds some, by what it calls them instead.
        is_named: Whether somebody has named the search; a file has a name.
    """

    config: Config
    report: FaultReport
    base: Path
    function: Callable[..., Any] | None
    notes: tuple[str, ...] = ()
    scorers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    is_named: bool = True

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """All functions that the config holds."""
        return (*(() if self.function is None else (self.function,)), *self.scorers.values())

    @property
    def is_sound(self) -> bool:
        """Whether its form has no fault."""
        return not self.report.faults

    @cached_property
    def data(self) -> DataConfig:
        """The section `data`, with its files as they are from here."""
        data = self.config.data
        places = {key: self._located(getattr(data, key)) for key in FILES}
        if is_fold_file(data.fold):
            places["fold"] = self._located(data.fold)
        if data.files is not None and data.files.folder is not None:
            places["files"] = data.files.model_copy(update={"folder": self._path(data.files.folder)})
        return data.model_copy(update=places)

    def _located(self, source: Any) -> Any:
        if isinstance(source, IdxPair):
            return IdxPair(images=self._path(source.images), labels=self._path(source.labels))
        if isinstance(source, ImagePattern):
            return source.model_copy(update={"files": self._path(source.files)})
        return source if source in (None, "digits") else self._path(source)

    def _path(self, text: str) -> str:
        return str(self.base / os.path.expanduser(text))


def read_draft(
    source: str | Path | Mapping[str, Any], overrides: Sequence[str] = (), results: str | Path | None = None
) -> Draft:
    """Reads a config.

    Args:
        source: A grid.yaml, or the same as a dict; there `model` may be a function.
        overrides: `key.path=value` texts.
        results: The folder where a run of it may have begun, whose choices AutoKeras goes on with; None to
            begin anew.

    Raises:
        ConfigError: It cannot be read at all. Other faults are in the report.
    """
    if not isinstance(source, str | os.PathLike | Mapping):
        raise ConfigError([Fault("", f"is a {type(source).__name__}; a grid.yaml's path or a dict holds.")])
    if str(source) in BUILT_IN and not os.path.lexists(str(source)):
        raise ConfigError([Fault("", FileKind(Path(str(source)), "function").told("grid"))], str(source))
    if isinstance(source, Mapping):
        draft = written_draft(source, overrides)
    else:
        config, faults, lines = read_config(Path(source), overrides)
        report = _report(str(source), config, faults, lines, overrides)
        draft = Draft(config, report, Path(source).absolute().parent, None)
    return _settled(draft, overrides, results)


def written_draft(
    raw: Mapping[str, Any], overrides: Sequence[str] = (), source: str = "config", base: Path | None = None
) -> Draft:
    """Returns the draft of a config as it stands, of which its engine makes nothing else.

    Args:
        raw: The config; there `model` may be a function.
        overrides: `key.path=value` texts.
        source: What messages call it.
        base: What its paths are relative to; None for the working directory.

    Raises:
        ConfigError: It cannot be read at all. Other faults are in the report.
    """
    given, function = dict(raw), None
    model = in_hand(given.get("model"))
    if callable(model) and not is_built(model):
        function = model
        given["model"] = text_of(function)
    given, scorers, refused = _with_scorers_named(given)
    config, faults = config_from_dict(given, overrides)
    report = _report(source, config, [*refused, *faults], {}, overrides)
    is_named = "name" in given or any(one.startswith("name=") for one in overrides)
    return Draft(config, report, base or Path.cwd(), function, scorers=scorers, is_named=is_named)


def _with_scorers_named(
    raw: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Callable[..., Any]], list[Fault]]:
    """Returns a raw config that calls functions and scorers in hand by name, these functions, and faults."""
    search, found, faults = raw.get("search"), dict[str, Callable[..., Any]](), list[Fault]()
    if not isinstance(search, Mapping):
        return dict(raw), found, faults

    def named(value: Any, place: str) -> Any:
        if not is_in_hand(value):
            return value
        try:
            written, function = as_written(value)
        except ConfigError as error:
            faults.extend(replace(fault, path=place) for fault in error.faults)
            return "accuracy"
        name = written if isinstance(written, str) else next(iter(written))
        if function is not None and found.setdefault(name, function) is not function:
            faults.append(Fault(place, f"is another function that is called {name}: give it another name."))
        return written

    own = {key: named(search[key], f"search.{key}") for key in ("objective",) if key in search}
    if isinstance(scores := search.get("scores"), list | tuple):
        own["scores"] = [named(score, f"search.scores[{place}]") for place, score in enumerate(scores)]
    return {**raw, "search": {**search, **own}}, found, faults


def _report(
    source: str, config: Config, faults: Sequence[Fault], lines: Mapping[str, int], overrides: Sequence[str]
) -> FaultReport:
    """Returns the faults of a config's form, and that of the backend that all would be trained on."""
    report = FaultReport(source, config, faults, lines, flags_of(overrides))
    if (fault := backend_fault()) is not None:
        report.faults.append(fault)
    return report


def _settled(draft: Draft, overrides: Sequence[str], results: str | Path | None) -> Draft:
    """Returns a draft as its engine takes it: AutoKeras has models of its own.

    Where the engine is not the file's but the command line's, its run has a name of its own, since the
    file's may have one too.
    """
    if draft.config.search.engine != AUTOKERAS:
        return draft
    keys = {text.partition("=")[0].strip() for text in overrides}
    is_beside = not keys.isdisjoint({"search", "search.engine"})
    name = name_beside(draft.config.name) if is_beside else draft.config.name
    begun = None if results is None else begun_with(RunPaths(Path(results), name).journal)
    config, notes = as_autokeras(draft.config, name, begun)
    report = FaultReport(
        draft.report.source, config, draft.report.faults, draft.report.lines, draft.report.flags
    )
    return Draft(config, report, draft.base, None, tuple(notes), draft.scorers, draft.is_named)
