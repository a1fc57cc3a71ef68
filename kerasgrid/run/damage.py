"""A journal's line that does not hold: what it was, what it costs to train again, and the ways on."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.errors import JournalError
from kerasgrid.wording import count, format_seconds, listed

JobId = tuple[int, int, int]

_END = re.compile(rb'"crc32":"[0-9a-f]{8}"\}')
TAIL = re.compile(_END.pattern + b"\n")
"""The end of a line of version 2, whose checksum is of the bytes before it."""
N_TAIL = 20
"""Bytes of a tail."""
_LONGEST = 1 << 20
"""Bytes of a line in which a flipped bit is looked for: a second."""
_KIND = re.compile(rb'"type":"([a-z]+)"')
_JOB = re.compile(rb'"job":\[(\d+),(\d+),(\d+)\]')
_TRIAL = re.compile(rb'"(?:trial|id)":(\d+)')
_WHAT = {
    "session": "the beginning of a session",
    "environment": "the versions of a session",
    "end": "the end of a session",
    "trial": "the params of {trial}",
    "pack": "a plan of fits that are trained together",
    "checkpoint": "a checkpoint of {job}",
    "rung": "what {job} had reached at a rung",
    "fold": "the end of {job}",
    "retry": "that {job} was tried once more",
    "forget": "that {trial} was tried again",
    "drop": "that {trial} was given up",
    "readmit": "that {trial} was gone on with",
    "sources": "the hashes of sources",
}
_SPARED = {
    "session": "When trials ended, and how long the search took, is then told without it.",
    "environment": "The same command finds them again.",
    "end": "Nothing is lost by it.",
    "pack": "What it shared is counted fit by fit then, and what is not done of it is planned again.",
    "checkpoint": "Nothing is lost by it: the checkpoint is a file of its own.",
    "retry": "Nothing is lost by it.",
}
"""What a search can do without, and trains nothing for; and what is otherwise then."""


def checksum(body: bytes) -> bytes:
    """Returns the tail of a line that begins so."""
    return b'"crc32":"%08x"}\n' % zlib.crc32(body)


def damaged(path: Path, number: int, why: str, more: str = "") -> JournalError:
    """Returns the error of a line that does not hold, and is not the end of what was cut off."""
    return JournalError(
        f"{path}:{number}: this line is damaged ({why}). {more}Restore the file from a copy, or start anew "
        "with --fresh, which moves the old run aside."
    )


class Damage:
    """A line of version 2 whose checksum does not hold.

    Args:
        number: From 1; that of the header.
        line: Its bytes.
        before: The records above it.
        after: Those below it; None for one that does not hold either.
    """

    def __init__(
        self,
        number: int,
        line: bytes,
        before: Sequence[Mapping[str, Any]],
        after: Iterable[Mapping[str, Any] | None],
    ) -> None:
        below = list(after)
        self.number, self.before = number, before
        self.after = [one for one in below if one is not None]
        self._more = [number + place for place, one in enumerate(below, start=1) if one is None]
        self._line, self._mistake = _mended(line)
        kind, job, trial = (known.search(self._line) for known in (_KIND, _JOB, _TRIAL))
        self._kind = "" if kind is None or self._is_several else kind[1].decode()
        self._job: JobId | None = None if job is None else (int(job[1]), int(job[2]), int(job[3]))
        self._trial = self._job[0] if self._job else None if trial is None else int(trial[1])

    def told(self, why: str) -> str:
        """Returns what is damaged, and what can be done, with what each way costs.

        Args:
            why: What does not hold.
        """
        mend = f"mend {self._mistake}, " if self._mistake else ""
        fresh = "start anew with --fresh, which moves the old run aside"
        if self.number == 1:
            ways = (
                f"Restore the file from a copy, {mend}or {fresh}: {self._again((*self.before, *self.after))}."
            )
        elif self._kind in _SPARED or self._is_of_a_fit:
            ways = (
                f"Restore the file from a copy, {mend}or delete line {self.number} of it, which is text, and "
                f"give the same command again. {_SPARED.get(self._kind) or self._cost} Or {fresh}."
            )
        else:
            ways = (
                f"Restore the file from a copy, {mend}or keep of it, which is text, the "
                f"{count(self.number - 1, 'line')} above this one alone, and give the same command again: "
                f"{self._again(self.after)}. Or {fresh}."
            )
        more = f" So are {listed(self._more)} below it." if self._more else ""
        return f"this line is damaged ({why}), and was {self._what}.{more} {ways}"

    def told_of_last(self, why: str) -> str:
        """Returns what is lost where it is the last line, which is cut."""
        cost = f" {self._cost}" if self._is_of_a_fit else ""
        return f"this line is damaged ({why}), was {self._what}, and does not count.{cost}"

    def _again(self, lost: Iterable[Mapping[str, Any]]) -> str:
        """Returns what it costs to do without records, and without the lines below that do not hold."""
        times, unread = _times(lost), f"what {count(len(self._more), 'line')} told that cannot be read"
        if not times:
            return f"that trains again {unread}" if self._more else "no fit has to be trained again"
        seconds = format_seconds(sum(times.values()))
        found = f"that trains {count(len(times), 'fit')} again, about {seconds} in all"
        return f"{found}, and {unread}" if self._more else found

    @property
    def _is_several(self) -> bool:
        """Whether lines have run into each other, as where what was between them is another byte."""
        return holds_several(self._line)

    @property
    def _what(self) -> str:
        """What the line was, as far as that can be read."""
        if self.number == 1:
            return "what makes the run this run"
        if self._is_several:
            return "several lines, which have run into each other"
        trial = "a trial" if self._trial is None else f"trial {self._trial}"
        job = "a fit"
        if self._job is not None:
            _, fold, repeat = self._job
            job = f"{trial}, fold {fold}" + (f", repeat {repeat}" if repeat else "")
        return _WHAT.get(self._kind, "nothing that can be read").format(trial=trial, job=job)

    @property
    def _is_of_a_fit(self) -> bool:
        """Whether a search that goes on without the line trains one fit again, and nothing else."""
        if self._job is None or self._kind not in ("fold", "rung"):
            return False
        # What was decided at a rung is decided again by what is told of it, of which a later line knows less.
        return self._kind == "fold" or not any(
            _is_fit(one) and tuple(one["job"]) == self._job for one in self.after
        )

    @property
    def _cost(self) -> str:
        """What it takes to train the line's own fit again, in a sentence."""
        times = _times((*self.before, *self.after), but=self._job)
        own = [seconds for (trial, _, _), seconds in times.items() if trial == self._trial]
        taken = own or list(times.values())
        if not taken:
            return "How long it takes to train that fit again is not known: no other one has ended."
        of = f" of trial {self._trial}" if own else ""
        whose = f"{count(len(taken), 'other fit')}{of} took{' on average' if len(taken) > 1 else ''}"
        return f"To train that fit again takes about {format_seconds(sum(taken) / len(taken))}, as {whose}."


def holds_several(line: bytes) -> bool:
    """Tells whether a line holds the end of another one within it."""
    return _END.search(line[:-N_TAIL]) is not None


def _mended(line: bytes) -> tuple[bytes, str]:
    """Returns a line of which one flipped bit is put right, and which byte that is; else the line as it is.

    A bit changes a checksum by what depends on its distance from the end alone.
    """
    body, tail = line[:-N_TAIL], line[-N_TAIL:]
    if TAIL.fullmatch(tail) is None or len(body) > _LONGEST:
        return line, ""
    wanted = zlib.crc32(body) ^ int(tail[9:17], 16)
    changes = [zlib.crc32(bytes([1 << bit])) ^ zlib.crc32(b"\0") for bit in range(8)]
    for place in reversed(range(len(body))):
        if wanted in changes:
            right = body[place] ^ 1 << changes.index(wanted)
            told = f"byte {place + 1} of the line ({chr(body[place])!a}, which was {chr(right)!a})"
            return body[:place] + bytes([right]) + line[place + 1 :], told
        changes = [zlib.crc32(b"\0", change ^ 0xFFFFFFFF) ^ 0xFFFFFFFF for change in changes]
    return line, ""


def _times(records: Iterable[Mapping[str, Any]], but: JobId | None = None) -> dict[JobId, float]:
    """Returns the seconds that each fit but one took which has not failed, as far as it has come."""
    fits = (one for one in records if _is_fit(one) and one.get("error") is None)
    return {job: one.get("fit_time", 0.0) for one in fits if (job := tuple(one["job"])) != but}


def _is_fit(record: Mapping[str, Any]) -> bool:
    return record.get("type") in ("fold", "rung") and "job" in record
