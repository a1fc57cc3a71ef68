"""The journal: an append-only file of JSON lines from which a search goes on, and the form of its lines.

The first line is the header, each further line a record; what they mean is `state`'s business.
A line counts once its newline is there. Whatever comes after the last newline was torn by the end
of the process that wrote it, and is cut when the journal is opened again.

The last key of a line, `"crc32":"8 hex digits"`, is the CRC-32 of the bytes before it. Journals of version 1
have none, and their fits other keys and scores: they are read, and never written.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from kerasgrid.config.validation import Count, Curve, Number, few, in_words
from kerasgrid.errors import JournalError
from kerasgrid.io import open_input, reading_errors, storage_errors, write_text
from kerasgrid.run.damage import N_TAIL, TAIL, Damage, checksum, damaged, holds_several

FORMAT = "kerasgrid.journal/2"
BEFORE = "kerasgrid.journal/1"
_SYNC_S = 0.2
_VERSION = re.compile(r"\d[\w.]*(?:\+g(?P<commit>[0-9a-f]+)[\w.]*)?")

_log = logging.getLogger(__name__)

Check = Callable[[int, dict[str, Any]], None]
"""Raises a ValueError for a line, by its number from 1, that is none of the journal's."""
JobId = Annotated[tuple[Count, Count, Count], Field(strict=False)]
Texts = Annotated[dict[str, str], BeforeValidator(few)]


class Journal:
    """A journal open for appending; a context manager. One process at a time may hold it.

    Attributes:
        header: Its first line, with `format`, which tells its version: one of version 1 takes no record.
        records: The records that were there when it was opened, in order; what is appended later
            is not added.
    """

    def __init__(self, path: Path, header: dict[str, Any], records: list[dict[str, Any]], size: int) -> None:
        """Use `Journal.open`."""
        self.path = path
        self.header = header
        self.records = records
        self._size = size  # bytes up to the last whole line
        self._torn = False
        self._unsynced = False
        self._synced_at = -_SYNC_S
        with storage_errors(path):
            self._file = open(path, "ab", buffering=0)  # noqa: SIM115 - until close

    @classmethod
    def open(cls, path: Path, header: Mapping[str, Any], holds: Check | None = None) -> Journal:
        """Opens the journal at `path`, or creates it with this header, whole or not at all.

        Where there is one, its own header is kept and `header` is not looked at: compare them.
        A torn tail is cut: a last line that has no newline, is no JSON object, or does not hold. A file of
        version 1 stays as it is.

        Args:
            path: The file; its folder is created.
            header: JSON values; `format` is added.
            holds: Raises a ValueError for a line, by its number, that is none of this journal's; the last
                one is cut then, too.

        Raises:
            JournalError: It is damaged elsewhere, or of another format.
            StorageError: It cannot be read; or the disk is full or cannot be written.
        """
        lines, size = _read(path, holds)
        if not lines:
            return cls.begin(path, header)
        with storage_errors(path):
            if path.stat().st_size > size and not is_old(lines[0]):
                os.truncate(path, size)
        return cls(path, lines[0], lines[1:], size)

    @classmethod
    def begin(cls, path: Path, header: Mapping[str, Any]) -> Journal:
        """Opens a journal of this header alone, in the place of the one that is there, whole or not at all.

        Raises:
            StorageError: The disk is full or cannot be written.
        """
        write_text(path, _line({"format": FORMAT, **header}).decode("ascii"))
        lines, size = _read(path)
        return cls(path, lines[0], lines[1:], size)

    @staticmethod
    def read_header(path: Path, holds: Check | None = None) -> dict[str, Any] | None:
        """Returns the first line of the journal at `path`; None where there is none.

        Raises:
            JournalError: It is damaged, or of another format.
        """
        lines, _ = _read(path, holds)
        return lines[0] if lines else None

    def append(self, record: Mapping[str, Any], durable: bool = False) -> None:
        """Adds a record, all of it or nothing.

        Args:
            record: JSON values without NaN and Infinity; numpy's numbers are written as Python's.
            durable: Whether it must survive a power cut. That takes milliseconds, so it is done at
                most every 0.2 seconds, for all records so far, and else left to the next append,
                `sync` or `close`.

        Raises:
            ValueError: The record holds NaN or Infinity.
            TypeError: The record holds something else that JSON has not.
            StorageError: The disk is full or cannot be written; the journal is as it was before.
            JournalError: The journal is of version 1.
        """
        if is_old(self.header):
            raise of_before(self.path, self.header, "another line would be added")
        data = _line(record)
        with storage_errors(self.path):
            if self._torn:
                self._cut()
            self._torn = True
            try:
                self._write(data)
                self._size += len(data)
            except BaseException:
                self._cut()
                raise
            self._torn = False
        self._unsynced = self._unsynced or durable
        self.settle()

    def _write(self, data: bytes) -> None:
        while data:
            n = self._file.write(data)  # a disk that fills up takes a part first
            if not n:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            data = data[n:]

    def _cut(self) -> None:
        """Cuts what follows the last whole line."""
        self._file.truncate(self._size)
        self._torn = False

    def settle(self) -> bool:
        """Syncs what has been put off where its time has come; tells whether nothing is put off now."""
        if self._unsynced and time.monotonic() - self._synced_at >= _SYNC_S:
            self.sync()
        return not self._unsynced

    def sync(self) -> None:
        """Brings the durable records to the disk, where that has been put off."""
        if self._unsynced:
            with storage_errors(self.path):
                os.fsync(self._file.fileno())
            self._unsynced = False
            self._synced_at = time.monotonic()

    def close(self) -> None:
        """Syncs and closes; it may be called more than once."""
        try:
            self.sync()
        finally:
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def read(path: Path, holds: Check | None = None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Returns a journal's header and records, and changes nothing: its search may be running.

    Args:
        holds: As in `Journal.open`.

    Raises:
        JournalError: There is none, or it is damaged or of another format.
        StorageError: It cannot be read.
    """
    lines, _ = _read(path, holds)
    if not lines:
        raise JournalError(f"{path}: there is no journal here. A search writes it when it begins.")
    return lines[0], lines[1:]


def header_of(path: Path, holds: Check | None = None) -> dict[str, Any]:
    """Returns a journal's header alone; empty where there is none, or none that can be read."""
    try:
        with open_input(path) as file:
            header = _parse(line := file.readline(), _is_summed(line))
        if holds is not None:
            holds(1, header)
        return header
    except (OSError, ValueError, RecursionError):
        return {}


def is_old(header: Mapping[str, Any]) -> bool:
    """Tells whether a journal is of version 1."""
    return header.get("format") == BEFORE


def of_before(path: Path, header: Mapping[str, Any], why: str) -> JournalError:
    """Returns the error of a run under version 1 that would be gone on with.

    Args:
        header: Of its journal at `path`.
        why: What would be done, or is not done yet.
    """
    version = str((header.get("versions") or {}).get("kerasgrid", ""))
    begun = _VERSION.fullmatch(version)
    if begun is None:
        install = "whose number its journal does not tell"
    elif begun["commit"]:
        install = f"{version}: in its source, git checkout {begun['commit']} and pip install ."
    else:
        install = f'pip install "kerasgrid=={version}"'
    return JournalError(
        f"{path}: this run was begun by an earlier version, as {BEFORE}, and {why}. Since {FORMAT} fits have "
        "other random keys and scores, and two meanings never meet in one leaderboard. Go on with the "
        f"version of kerasgrid that wrote it ({install}), or start anew with --fresh, which moves the old "
        "run aside. plot, report, fit and predict take what it has as before."
    )


class _ChecksumError(ValueError):
    """The bytes of a line are not those that were written."""


def _read(path: Path, holds: Check | None = None) -> tuple[list[dict[str, Any]], int]:
    """Returns the whole lines' objects and the number of bytes that they take; nothing without a file."""
    values: list[dict[str, Any]] = []
    size, is_summed = 0, True
    with reading_errors(path):
        if not path.exists():
            return values, size
    with reading_errors(path), open_input(path) as file:
        for number, line in enumerate(file, start=1):
            is_summed = _is_summed(line) if number == 1 else is_summed
            try:
                value = _parse(line, is_summed)
                if number > 1 and holds is not None:
                    holds(number, value)
            except (ValueError, RecursionError) as error:
                # A line without an end is the last, though a running search may just have ended it.
                is_torn = not line.endswith(b"\n")
                rest = [] if is_torn else file.readlines()
                is_several = holds_several(line)
                if not is_several and (is_torn or not isinstance(error, _ChecksumError)):
                    if rest:
                        follow = "Lines follow it, so this is not the end of a search that was cut off. "
                        raise damaged(path, number, str(error), follow) from error
                    level = logging.INFO if is_torn else logging.WARNING
                    _log.log(level, "%s:%d: this line is torn (%s) and does not count.", path, number, error)
                    break
                found = Damage(number, line, values[1:], _whole(rest, holds))
                if rest or is_several:
                    raise JournalError(f"{path}:{number}: {found.told(str(error))}") from error
                _log.warning("%s:%d: %s", path, number, found.told_of_last(str(error)))
                break
            if number == 1:
                _check_header(path, value, holds)
            values.append(value)
            size += len(line)
    return values, size


def _whole(lines: Iterable[bytes], holds: Check | None) -> Iterable[dict[str, Any] | None]:
    """Yields the records of lines below one that is damaged; None for those that do not hold either."""
    for line in lines:
        try:
            value = _parse(line, True)
            if holds is not None:
                holds(2, value)
        except (ValueError, RecursionError):
            yield None
        else:
            yield value


def _is_summed(header: bytes) -> bool:
    """Tells by a header, which may be damaged, whether lines have checksums."""
    return FORMAT.encode() in header or TAIL.fullmatch(header[-N_TAIL:]) is not None


def _parse(line: bytes, is_summed: bool) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise ValueError("it has no newline")
    if line.endswith(b"}\r\n"):  # as an editor has saved it
        line = line[:-2] + b"\n"
    if is_summed and line[-N_TAIL:] != checksum(line[:-N_TAIL]):
        has_one = TAIL.fullmatch(line[-N_TAIL:]) is not None
        raise _ChecksumError("its checksum does not hold" if has_one else "it has no checksum")
    value = _DECODER.decode(line.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    if is_summed:
        del value["crc32"]
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _check_header(path: Path, header: dict[str, Any], holds: Check | None) -> None:
    found = header.get("format")
    if found not in (BEFORE, FORMAT):
        what = f"of the format {found!r}" if found else "no journal, since its first line names no format"
        raise JournalError(
            f"{path}: this file is {what}; this version of kerasgrid reads {BEFORE!r} and {FORMAT!r}. Use "
            "the version that wrote it, or start anew with --fresh, which moves the old run aside."
        )
    if holds is not None:
        try:
            holds(1, header)
        except ValueError as error:
            raise damaged(path, 1, str(error)) from error


def _line(value: Mapping[str, Any]) -> bytes:
    text = _ENCODER.encode(value)
    body = (text[:-1] + ("," if value else "")).encode("ascii")
    return body + checksum(body)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"A record holds {value!r}, a {type(value).__qualname__}, which is no JSON.")


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_plain)


class _Line(BaseModel):
    """A line: types are not converted, and what a later version adds is no fault."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow", allow_inf_nan=False)


class _Identity(_Line):
    params: dict[str, Any] | None = None


class _Header(_Line):
    identity: _Identity = _Identity()
    versions: Texts = {}


class _Record(_Line):
    time: float
    session_s: float | None = None


class _Session(_Record):
    type: Literal["session"]
    threads: int | None
    proposed_by: str | None = None
    decided_on: str | None = None


class _Trial(_Record):
    type: Literal["trial"]
    id: Count
    params: dict[str, Any]


class _Fold(_Record):
    type: Literal["fold", "rung"]
    job: JobId
    score: Number = None
    val_score: Number = None
    metrics: Annotated[dict[str, Number], BeforeValidator(few)] = {}
    history: Annotated[dict[str, Curve], BeforeValidator(few)] = {}
    fit_time: float = 0.0
    epochs: Count = 0
    alone: bool = False
    anew: bool = False
    best_epoch: Count | None = None
    stages: list[Count] | None = None
    restored_stages: list[Count] | None = None
    n_parameters: Count | None = None
    memory_bytes: Count | None = None
    dead: str | None = None
    first_values: Number = None
    debiased_score: Number = None
    thresholds: Curve | None = None
    error: Texts | None = None
    at_end: bool = False

    @model_validator(mode="after")
    def _has_score(self) -> _Fold:
        if self.score is None and self.error is None:
            raise ValueError("has no score, and no error that tells why")
        return self


class _Checkpoint(_Record):
    type: Literal["checkpoint"]
    job: JobId
    epoch: Count
    anew: bool = False


class _OfTrial(_Record):
    type: Literal["forget", "drop", "readmit"]
    trial: Count
    jobs: Annotated[list[JobId], Field(fail_fast=True)] = []


class _Pack(_Record):
    type: Literal["pack"]
    jobs: Annotated[list[JobId], Field(min_length=1, fail_fast=True)]
    graph: str
    width: Annotated[int, Field(ge=1)]
    shares: bool
    until: Count | None = None


class _Environment(_Record):
    type: Literal["environment"]
    environment: Texts


class _End(_Record):
    type: Literal["end"]
    status: str
    idle: bool = False


class _Retry(_Record):
    type: Literal["retry"]
    job: JobId


class _Sources(_Record):
    type: Literal["sources"]
    sources: Texts


_RECORD: TypeAdapter[Any] = TypeAdapter(
    Annotated[
        _Session | _Trial | _Fold | _Checkpoint | _OfTrial | _Pack | _Environment | _End | _Retry | _Sources,
        Field(discriminator="type"),
    ]
)


def check_line(number: int, line: Mapping[str, Any]) -> None:
    """Holds that a line of a journal is one that a search has written.

    Args:
        number: Of the line, from 1, which is the header.

    Raises:
        ValueError: It is none; the message says why.
    """
    try:
        if number == 1:
            _Header.model_validate(line)
        else:
            _RECORD.validate_python(line)
    except ValidationError as error:
        kinds = {"union_tag_not_found": "it names no type", "union_tag_invalid": "its type is not known here"}
        first = error.errors(include_url=False)[0]
        raise ValueError(kinds.get(first["type"]) or in_words(first).rstrip(".")) from error
