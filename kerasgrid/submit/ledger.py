"""What was sent and what came of it, in results/NAME/submissions.json, brought up to what the service says.

An entry is written before anything is sent, so that a sudden end leaves a record that the service can be
asked about.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from kerasgrid.errors import LockedError, ResultsError, ServiceError
from kerasgrid.io import read_json, write_json
from kerasgrid.locks import FolderLock
from kerasgrid.run.paths import RunPaths
from kerasgrid.submit.client import Client
from kerasgrid.submit.serving import LISTED

SCHEMA = "kerasgrid.submissions/1"
SENDING, FAILED, PENDING, COMPLETE, ERROR = "sending", "failed", "pending", "complete", "error"
ARRIVED = (PENDING, COMPLETE, ERROR)
CUT_OFF = "cut off before it arrived"
NOT_LISTED = "Kaggle said that it was submitted, and does not list it"
_LEAST_KEPT = 40
"""Characters of a long message that a service keeps at least."""
SETTLES_S = 120
"""So long after the service was last told of it, a submission that it does not list has not arrived."""
FIRST_POLL_S, POLL_GROWTH, LONGEST_POLL_S = 2.0, 1.5, 60.0
_LEAST_ANSWER_S = 5.0
_LATER = "Ask for its score later: kerasgrid submissions RESULTS --refresh"


@dataclass(frozen=True)
class Entry:
    """One submission.

    Attributes:
        time: When it was begun, UTC, ISO 8601.
        message: The user's words about it.
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
    lock = FolderLock(paths.submissions_lock, paths.submissions_lock.with_suffix(".heartbeat"))
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


def refresh(paths: RunPaths, timeout_s: float) -> list[Entry]:
    """Asks the service what has become of a run's submissions, and returns them all.

    Raises:
        ServiceError: The service refuses it, or does not answer.
    """
    with held_alone(paths) as ledger:
        for competition in dict.fromkeys(entry.competition for entry in ledger.entries):
            places = ledger.places(
                competition, lambda one: one.status in (*ARRIVED, SENDING) or one.may_have_arrived
            )
            if not places:
                continue
            with Client(competition, timeout_s) as client:
                listed = client.submissions()
            for place in places:
                settle(ledger, place, listed)
        return ledger.entries


def look(ledger: Ledger, client: Client, place: int) -> None:
    """Brings an entry up to what the service lists, where that can be asked."""
    try:
        listed = client.submissions()
    except ServiceError:  # the entry says what is known, and the next command asks again
        return
    settle(ledger, place, listed)


def settle(ledger: Ledger, place: int, listed: Sequence[Mapping[str, Any]]) -> None:
    """Brings an entry up to what the service lists; one that has not arrived in time has failed.

    The service has said of submissions beyond a day's limit that they were made, and they were not:
    https://github.com/Kaggle/kaggle-cli/issues/148
    """
    entry = ledger.entries[place]
    is_new = entry.status == SENDING and entry.step == "upload"  # up to there nothing can have been submitted
    found = None if is_new else find_arrived(entry, _not_others(ledger, place, listed))
    if found is not None:
        ledger.put(place, _as_listed(entry, found))
    elif entry.status == SENDING and (is_new or entry.age_s > SETTLES_S):
        ledger.put(place, replace(entry, status=FAILED, error=CUT_OFF))
    elif entry.status == PENDING and entry.age_s > SETTLES_S and len(listed) < LISTED:
        ledger.put(place, replace(entry, status=FAILED, error=NOT_LISTED))


def _not_others(ledger: Ledger, place: int, listed: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    others = {entry.ref for number, entry in enumerate(ledger.entries) if number != place}
    return [one for one in listed if one["ref"] not in others]


def _as_listed(entry: Entry, found: Mapping[str, Any]) -> Entry:
    return replace(
        entry,
        ref=found["ref"],
        status=found["status"] if found["status"] in ARRIVED else PENDING,
        public_score=found["public_score"],
        private_score=found["private_score"],
        error=found["error"],
    )


def wait(paths: RunPaths, client: Client, place: int, wait_s: float, tell: Callable[[str], object]) -> None:
    """Asks for the score, less and less often, until it is there or the time is over.

    The ledger is held only while it is written, so that something else can be sent meanwhile.

    Raises:
        ServiceError: The service refuses the question, so that asking again would not help.
    """
    end, pause, reason = time.monotonic() + wait_s, FIRST_POLL_S, ""
    while Ledger(paths.submissions).entries[place].status == PENDING:
        left = end - time.monotonic()
        if left <= 0:
            tell(f"No score after {wait_s:g} s{reason}. {_LATER}")
            return
        time.sleep(min(pause, left))
        pause = min(pause * POLL_GROWTH, LONGEST_POLL_S)
        try:
            listed = client.submissions(within_s=max(end - time.monotonic(), _LEAST_ANSWER_S))
            with held_alone(paths) as ledger:
                settle(ledger, place, listed)
            reason = ""
        except LockedError:  # of another command, which is about to end
            continue
        except ServiceError as error:
            if not error.is_passing:
                raise ServiceError(f"{error} It is submitted. {_LATER}", error.kind, error.status) from error
            told = "gave no answer" if error.status is None else f"answered {error.status}"
            reason = f" (Kaggle {told} when it was last asked)"


def scored(entry: Entry) -> Entry:
    """Returns an entry.

    Raises:
        ServiceError: The service could not score it, or does not know it.
    """
    if entry.status == FAILED:
        raise ServiceError(
            f"{entry.competition}: {entry.file}: {entry.error}. Is the limit of the day reached?"
        )
    if entry.status == ERROR:
        raise ServiceError(
            f"{entry.competition}: {entry.file} was submitted, and Kaggle could not score it "
            f"({entry.error or 'it does not say why'}). Compare it with the competition's sample."
        )
    return entry
