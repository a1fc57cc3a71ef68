"""Every error that kerasgrid raises on purpose.

    KerasgridError
    ├── ConfigError         faults of a grid.yaml: one or many, each with its key path
    ├── DataError           data that cannot be read, or not be used as asked
    │   └── ArchiveError        a downloaded archive is damaged, or not to be trusted
    ├── ModelError          a model function that cannot be found, called or trained
    │   ├── NoModelError        it returned something else than a model
    │   └── RefusedError        no candidate's model builds: a ConfigError as well, with the keys
    ├── TrialError          a job that cannot be scored; recorded, and the search goes on
    ├── RunError            a run's folder or workers
    │   ├── LockedError         another search is writing to it
    │   ├── ChangedError        what makes a run the same run has changed
    │   ├── JournalError        its journal is damaged or of another format
    │   └── ReplayError         an engine proposed something else than the journal holds
    ├── StorageError        a disk that is full, or cannot be read or written
    ├── ResultsError        a results file that cannot be read or shown
    ├── ServiceError        Kaggle refuses what is asked, or does not answer
    ├── NotBuiltError       part of the contract that this version does not have yet
    └── MissingPackageError a package that is not installed

The command line prints the message without a traceback and exits with 1. A message says where,
what was found, what holds and what to do. What to do is written as a flag, `--fresh`; in Python it is told
as the argument, `fresh=True`.
"""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kerasgrid.wording import called, nearest, place_of, said_of

_MOST_KNOWN = 64
_FLAG = re.compile(
    r"(?P<command>kerasgrid [a-z]+(?: --?[a-z-]+| \S*[/.=]\S*| [A-Z]+\b| \d+)*)"
    r"|--set (?P<text>[\w.]+=[^\s,;)]*\w)"
    r"|--set(?: (?P<key>[\w.]*\w))?(?=[:,])"
    r"|--(?P<switch>fresh|retry-failed|finetune|epochs)\b"
    r"|--(?P<name>name)\b"
    r"|--(?P<argument>top|trial|data|tta|ensemble|models)\b(?: (?P<value>[A-Z]+|[a-z]+(?=[.,;:]))\b)?"
    r"|(?P<again>give the same command again)"
)
_are_flags_spoken = False
"""Whether messages are left to name flags: in the command line."""


@contextmanager
def speaking_of_flags() -> Iterator[None]:
    """Lets messages name the flags of the command line, not Python's arguments."""
    global _are_flags_spoken
    before, _are_flags_spoken = _are_flags_spoken, True
    try:
        yield
    finally:
        _are_flags_spoken = before


def _as_argument(flag: re.Match[str]) -> str:
    """Returns a flag within a message as the argument that it is in Python; a command as it is."""
    found = {name: text for name, text in flag.groupdict().items() if text is not None}
    match found:
        case {"text": text}:
            return f'overrides=["{text}"]'
        case {"key": key}:
            return f"overrides, {key}"
        case {"switch": name}:
            return f"{name.replace('-', '_')}=True"
        case {"name": _}:
            return 'overrides=["name=..."]'
        case {"argument": name, "value": value}:
            return f"{name}={value}" if value.isupper() else f'{name}="{value}"'
        case {"argument": name}:
            return name
        case {"again": _}:
            return "call the same again"
        case {"command": command}:
            return command
    return "overrides"


def spoken(text: str) -> str:
    """Returns what is told, in which flags are Python's arguments where it is Python that asks.

    A worker leaves them, since its messages are told by the process that began it. It is asked here, as this
    module may be imported before a new process knows that it has a parent.
    """
    is_worker = multiprocessing.parent_process() is not None
    return text if _are_flags_spoken or is_worker else _FLAG.sub(_as_argument, text)


MOST_FAULTS = 20
"""Of one file that a message tells; of the others it has the number."""


class KerasgridError(Exception):
    """Base of all errors that kerasgrid raises on purpose."""

    def __str__(self) -> str:
        return spoken(super().__str__())


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a config.

    Attributes:
        path: The key path, such as `search.folds`; empty for the file as a whole.
        message: What was found, what holds and what to do.
        line: The line in the YAML file, counted from 1, where known.
        given: What gave the key, where that is not the file: a flag such as `--time-budget`.
    """

    path: str
    message: str
    line: int | None = None
    given: str | None = None


class ConfigError(KerasgridError, ValueError):
    """Faults of a grid.yaml, all of them together; to scikit-learn, arguments that do not hold.

    Of more than 20 faults the message has the first and a count.
    """

    def __init__(self, faults: Sequence[Fault], source: str = "config") -> None:
        self.faults = tuple(faults)
        self.source = source
        lines = [f"{self.where(fault)}: {fault.message}" for fault in self.faults[:MOST_FAULTS]]
        left_out = len(self.faults) - MOST_FAULTS
        super().__init__("\n".join([*lines, *([f"{source}: {left_out:,} more."] if left_out > 0 else [])]))

    def where(self, fault: Fault) -> str:
        """Returns the file, line and key of a fault, or the flag that has given it."""
        if fault.given is not None:
            return fault.given
        where = self.source if fault.line is None else f"{self.source}:{fault.line}"
        return f"{where}, {fault.path}" if fault.path else where

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.faults, self.source)


class DataError(KerasgridError, ValueError):
    """Data that cannot be read, or cannot be used as asked; names file, row and column."""


class ArchiveError(DataError):
    """A downloaded archive is damaged, or not to be trusted: it is of no use."""


class ModelError(KerasgridError):
    """A model function that cannot be found, called or trained."""


class NoModelError(ModelError):
    """A model function returned something else than a model, so that it is not called again."""


class ScoreError(ModelError):
    """A function of the user's own that cannot score, whatever the model: `key path: what it raises`."""


class WeightsError(ModelError):
    """Trained weights that a net cannot begin with: not at hand, or of another net. `weights is ...`."""


class RefusedError(ConfigError, ModelError):
    """No candidate's model can be built, with the keys that it is for."""


class TrialError(KerasgridError):
    """A job that cannot be scored, such as one whose loss is NaN; recorded, and the search goes on."""


class RunError(KerasgridError):
    """A run's folder cannot be used, or its workers cannot."""


class LockedError(RunError):
    """Another search is writing to this run folder."""


class ChangedError(RunError):
    """Something that makes a run the same run has changed since it began."""


class JournalError(RunError):
    """The journal is damaged, or was written by another format."""


class ReplayError(RunError):
    """An engine proposed something else than the journal holds."""


class StorageError(KerasgridError):
    """A disk that is full, or cannot be read or written."""


class ResultsError(KerasgridError):
    """A results file that cannot be read or shown."""


class ServiceError(KerasgridError):
    """Kaggle refuses what is asked, or does not answer.

    Attributes:
        kind: `status` (it answered with one), `cut`, `slow`, `credentials`, `upload` or `other`.
        status: The HTTP status, where there is one.
    """

    def __init__(self, message: str, kind: str = "other", status: int | None = None) -> None:
        self.kind = kind
        self.status = status
        super().__init__(message)

    @property
    def is_passing(self) -> bool:
        """Whether the same question may be answered later."""
        return self.kind in ("cut", "slow") or self.status == 429 or (self.status or 0) >= 500

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.kind, self.status)


class NotBuiltError(KerasgridError):
    """Part of the contract that this version does not have yet."""


class MissingPackageError(KerasgridError):
    """A package that is needed here and not installed."""


_CODES = re.compile(r"\x1b\[[0-9;]*m")
_OF_GRAPH = re.compile(
    r'\s*(File "[^"]*", line |Graph execution error:|Detected at node|\[\[|Function call stack'
    r"|Original stack trace|\(?\d+ (successful operations|derived errors|root error))"
)
"""Lines by which TensorFlow says where in a graph something went wrong."""
_AROUND = re.compile(r"^\s*\(\d+\) +[A-Z_]+: +|\s*\[\[\{\{node .*$|\s*\[Op:[^\]]*\]")
_ARGUMENTS = "\n\nArguments received by "
"""With what Keras goes on after the reason."""


AT_LENGTH = ". All that it said: "
"""What stands in a message between an error's cause and the file that has the rest."""


def cause(error: BaseException | str) -> str:
    """Returns what went wrong in a line, of an error whose text a backend or Keras has filled pages with."""
    text = _CODES.sub("", str(error)).partition(_ARGUMENTS)[0]
    lines = [_AROUND.sub("", line).strip() for line in text.splitlines() if not _OF_GRAPH.match(line)]
    told = " ".join(dict.fromkeys(" ".join(line.split()) for line in lines if line))
    return told or " ".join(text.split())


def brief(error: BaseException) -> str:
    """Returns an error's type and what went wrong in a line, cut where that goes on."""
    return f"{type(error).__name__}: {cause(error)}"[:300]


def did_you_mean(found: object, known: Iterable[str], places: Iterable[str] | None = None) -> str:
    """Returns ` Did you mean 'x'? Known: a, b, c.` for a name that is not among the known ones.

    The guess is left out where nothing is near, and a list of known names is cut where it is very long.

    Args:
        known: Those that hold where it stands.
        places: Of a key of a config: the key paths that hold elsewhere, one of which may be meant.
    """
    names, name = sorted({str(one) for one in known}), str(found)
    shown = ", ".join(names[:_MOST_KNOWN]) + (", ..." if len(names) > _MOST_KNOWN else "")
    dotted = name.replace("__", ".")  # as SciKeras routes parameters
    near = dotted if dotted in (places or ()) else called(name, names)
    said = None if near or places is None else said_of(name)
    if not near and not said:
        near = (None if places is None else place_of(name, places)) or nearest(name, names)
    guess = f" {said}" if said else f" Did you mean {near!r}?" if near else ""
    return f"{guess} Known: {shown}." if names else guess
