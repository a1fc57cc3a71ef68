"""What was sent and what came of it, in results/NAME/submissions.json.

An entry is written before anything is sent, so that a sudden end leaves a record that the service can be
asked about.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kerasgrid.errors import LockedError, ResultsError
from kerasgrid.io import read_json, write_json
from kerasgrid.run.lock import RunLock
from kerasgrid.run.paths import RunPaths

SCHEMA = "kerasgrid.submissions/1"
SENDING, FAILED, PENDING, COMPLETE, ERROR = "sending", "failed", "pending", "complete", "error"
ARRIVED = (PENDING, COMPLETE, ERROR)
CUT_OFF = "cut off before it arrived"
NOT_LISTED = "Kaggle said that it was submitted, and does not list it"
_LEAST_KEPT = 40
"""Characters of a long message that a service keeps at least."""


@dataclass(frozen=True)
class Entry:
    """One submission.

    Attributes:
        time: When it was begun, UTC, ISO 8601.
        competition: The competition's name.
        message: The user's words about it.
        file: The file's name.
        sha256: Of the file's bytes, 64 hex digits.
        status: sending (begun, and not known to have arrived), failed (has not arrived), pending, complete,
            or error (arrived, and could not be scored).
        step: How far sending came: upload or submit.
        last_word: When the service was last told or said anything of it, UTC; while its answer is waited for,
            until when. None before it was asked to submit.
        ref: The service's number of it.
        public_score: As the service spells it.
        private_score: As the service spells it.
        error: Why it failed, or could not be scored.
        before: Refs of submissions with this file name and message that were there before it.
    """

    time: str
    competition: str
    message: str
    file: str
    sha256: str
    status: str = SENDING
    step: str = "upload"
    last_word: str | None = None
    ref: int | None = None
    public_score: str | None = None
    private_score: str | None = None
    error: str | None = None
    before: tuple[int, ...] = ()

    @property
    def may_have_arrived(self) -> bool:
        """Whether the service's list may still come to show what it does not show so far."""
        is_lost = self.status == FAILED and self.error in (CUT_OFF, NOT_LISTED)
        return self.step == "submit" and (self.status == SENDING or is_lost)

    @property
    def age_s(self) -> float:
        """How long ago the service was last told or said anything of it, seconds."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.last_word or self.time)).total_seconds()


class Ledger:
    """The entries of a run, in the order in which they were begun.

    Args:
        path: Its file, results/NAME/submissions.json.

    Raises:
        ResultsError: The file is there and cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries = _read(path)

    def add(self, entry: Entry) -> int:
        """Writes a new entry and returns its place."""
        self._write([*self.entries, entry])
        return len(self.entries) - 1

    def put(self, place: int, entry: Entry) -> None:
        """Writes an entry anew; nothing where it says the same."""
        if self.entries[place] != entry:
            self._write([*self.entries[:place], entry, *self.entries[place + 1 :]])

    def places(self, competition: str, wanted: Callable[[Entry], bool]) -> list[int]:
        """Returns where a competition's entries of some kind are; those that have been given up come last.

        What the service lists belongs to those that it was heard of last, before it is another's.
        """
        found = [
            place
            for place, entry in enumerate(self.entries)
            if entry.competition == competition and wanted(entry)
        ]
        return sorted(found, key=lambda place: self.entries[place].status == FAILED)

    def others(self) -> list[Ledger]:
        """Returns the ledgers of the other runs of its results folder, those that were moved aside too."""
        beside = sorted(self._path.parents[1].glob(f"*/{self._path.name}"))
        return [Ledger(path) for path in beside if path != self._path]

    def _write(self, entries: list[Entry]) -> None:
        write_json(self._path, {"schema": SCHEMA, "submissions": [asdict(entry) for entry in entries]})
        self.entries = entries


def find_arrived(entry: Entry, listed: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Returns what the service lists of an entry; None where it is not there.

    By its ref where that is known; else the oldest of this file name and message that was not there before.
    """
    if entry.ref is not None:
        return next((one for one in listed if one["ref"] == entry.ref), None)
    alike = [one for one in look_alike(entry.file, entry.message, listed) if one["ref"] not in entry.before]
    return min(alike, key=lambda one: one["ref"], default=None)


def look_alike(file: str, message: str, listed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Returns what the service lists with a file name and message; it may have cut the message."""
    ours = " ".join(message.split())
    return [
        one for one in listed if one["file"] == file and _is_cut_of(" ".join(one["message"].split()), ours)
    ]


def _is_cut_of(theirs: str, ours: str) -> bool:
    return theirs == ours or (len(theirs) >= _LEAST_KEPT and ours.startswith(theirs.rstrip(".… ")))


def now(in_s: float = 0) -> str:
    """Returns the time as entries have it, some seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=in_s)).isoformat(timespec="seconds")


@contextlib.contextmanager
def held_alone(paths: RunPaths) -> Iterator[Ledger]:
    """Gives a run's ledger while no other process sends from its results folder.

    Raises:
        LockedError: Another process sends at the moment.
    """
    paths.check_own()
    lock = RunLock(paths.submissions_lock, paths.submissions_lock.with_suffix(".heartbeat"))
    try:
        lock.__enter__()
    except LockedError as error:
        raise LockedError(
            f"{paths.results}: another kerasgrid submit is sending from this folder at this moment. "
            "Let it end, and give the command again."
        ) from error
    try:
        yield Ledger(paths.submissions)
    finally:
        lock.__exit__()


def _read(path: Path) -> list[Entry]:
    try:
        data = read_json(path)
        if data["schema"] != SCHEMA:
            raise ValueError(f"its schema is {data['schema']!r}, and {SCHEMA} holds")
        entries = _ENTRIES.validate_python(data["submissions"])
        ages_s = [entry.age_s for entry in entries]  # of times that are none there is none
        return entries if ages_s else []
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ResultsError(
            f"{path}: cannot be read as a record of submissions ({type(error).__name__}: {error}). It keeps "
            "files from being sent twice: restore it, or move it away if nothing in it counts."
        ) from error


_ENTRIES = TypeAdapter(list[Entry])
"""What a later version has added to an entry is left out."""
