"""Sending a submission: checked before, recorded before, once, and followed until it is scored."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from kerasgrid.config.sections import DataConfig, first_path
from kerasgrid.data.archives import exists
from kerasgrid.data.places import sample_in
from kerasgrid.errors import DataError, KerasgridError, MissingPackageError, ServiceError
from kerasgrid.io import file_digest
from kerasgrid.records import Target
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.results import ResultsData
from kerasgrid.run.schema import section_of
from kerasgrid.submit import refusals
from kerasgrid.submit.checking import check
from kerasgrid.submit.client import Client
from kerasgrid.submit.ledger import (
    ARRIVED,
    FAILED,
    PENDING,
    SENDING,
    SETTLES_S,
    Entry,
    Ledger,
    held_alone,
    look,
    look_alike,
    now,
    scored,
    settle,
    wait,
)
from kerasgrid.submit.refusals import find_credentials
from kerasgrid.wording import count, shell_word, shown_path

_NAME = re.compile(r"(?:https?://(?:www\.)?kaggle\.com/(?:competitions|c)/)?([A-Za-z0-9][\w-]*)(?:/.*)?")
_NOTHING = "Nothing was submitted."
_UNKNOWN = (
    "Whether the submission arrived is not known, and Kaggle does not list it so far. The same command looks "
    f"again, {SETTLES_S} s from now, before it sends anything."
)


def paths_of(results: Path) -> RunPaths:
    """Returns the file names of the run that a results file is of.

    Raises:
        ResultsError: It is no results file of kerasgrid.
    """
    ResultsData.load(results)
    return RunPaths.of(results)


def draft_of(
    results: Path, competition: str, message: str, *, file: Path | None = None, sample: Path | None = None
) -> tuple[RunPaths, Submission]:
    """Returns a run's file names, and what is to be sent of it.

    Args:
        competition: The competition's name, or its address.
        message: The user's words about the submission.
        file: The submission; results/NAME/submission.csv by default.
        sample: The competition's sample; by default data.sample_submission, else that beside data.test,
            else none.

    Raises:
        ResultsError: The results file cannot be read.
        DataError: The submission or the sample is not there.
    """
    found = ResultsData.load(results)
    paths = RunPaths.of(results)
    file = paths.submission if file is None else file
    if not os.path.lexists(file):
        raise DataError(
            f"{shown_path(file)} is not there. Write it with: kerasgrid predict "
            f"{shell_word(shown_path(results))}, or name another with -f FILE."
        )
    data = _data_of(found)
    if sample is None:
        sample = sample_of(found, data)
    if sample is not None and not exists(sample):
        raise DataError(
            f"{shown_path(sample)}, the competition's sample, is not there. Name it with --sample FILE, or "
            "correct data.sample_submission."
        )
    return paths, Submission(
        competition=competition,
        message=message,
        file=file,
        sample=sample,
        target=found.target,
    )


def sample_of(results: ResultsData, data: DataConfig | None = None) -> Path | None:
    """Returns the sample of a search's competition: data.sample_submission, else that beside data.test.

    The one that the config names may not be there; None where it names none and none is beside.

    Args:
        data: The config's section, where it is not to be as in the results.
    """
    data = data or _data_of(results)
    if data.sample_submission:
        return results.base / os.path.expanduser(data.sample_submission)
    test = first_path(data.test)
    return sample_in((results.base / os.path.expanduser(test)).parent) if test else None


def _data_of(results: ResultsData) -> DataConfig:
    """Returns what the config says of the data; nothing where there is no config."""
    given = (results.about.config or {}).get("data") or {}
    return section_of(DataConfig, given, results.path or "these results", "config.data")


@dataclass(frozen=True)
class Submission:
    """What is to be sent.

    Attributes:
        competition: Its name, or its address.
        message: The user's words about it.
        sample: The competition's sample; None where there is none.
        target: What is predicted; None where it is not known.
    """

    competition: str
    message: str
    file: Path
    sample: Path | None = None
    target: Target | None = None


def submit(
    paths: RunPaths,
    draft: Submission,
    tell: Callable[[str], object],
    *,
    timeout_s: float = 120,
    wait_s: float | None = None,
    again: bool = False,
    dry_run: bool = False,
) -> Entry | None:
    """Sends a submission and returns its entry; None after a dry run.

    It is written down before it is sent. What is not known to have arrived, after a cut or a kill, is
    looked up in the service's list the next time; nothing is sent a second time on a guess.

    Args:
        paths: Of the run that it belongs to; the record is results/NAME/submissions.json.
        tell: Takes lines for the user: warnings, what is left of the day's limit, what is waited for.
        timeout_s: How long one answer of the service may take, seconds.
        wait_s: How long to wait for the score, seconds; None for not at all.
        again: Send a file that was sent before, or may have been.
        dry_run: Do all but send.

    Raises:
        DataError: The file is not what the competition takes; all faults together.
        ServiceError: The service refuses it, does not answer, or could not score it.
        KerasgridError: The same file was sent before.
        MissingPackageError: Kaggle's client is not installed.
    """
    competition = competition_name(draft.competition)
    check(draft.file, draft.sample, draft.target)
    against = (
        "itself only: no sample_submission is known" if draft.sample is None else shown_path(draft.sample)
    )
    tell(f"{shown_path(draft.file)}: checked against {against}")
    try:
        credentials = find_credentials()
    except ServiceError as error:
        if not dry_run:
            raise
        tell(f"Kaggle was not asked: {error}")
        return None
    for warning in credentials.warnings:
        tell(warning)
    with Client(competition, timeout_s, credentials.places) as client:
        with held_alone(paths) as ledger:
            try:
                if not again:
                    _check_new(ledger, client, draft, competition)
                _check_open(client, competition, tell)
            except MissingPackageError as error:
                if not dry_run:
                    raise
                tell(f"Kaggle was not asked: {error}")
                return None
            if dry_run:
                tell("Dry run: nothing was sent.")
                return None
            place = _send(ledger, client, draft, competition, timeout_s, tell)
            look(ledger, client, place)
            entry = ledger.entries[place]
            tell(f"{competition}: {entry.file} is submitted" + (f" (ref {entry.ref})" if entry.ref else ""))
        if wait_s is not None:
            wait(paths, client, place, wait_s, tell)
        return scored(Ledger(paths.submissions).entries[place])


def competition_name(text: str) -> str:
    """Returns the name of a competition that was given by name or address.

    Raises:
        DataError: It is neither.
    """
    found = _NAME.fullmatch(text.strip())
    if found is None:
        raise DataError(
            f"{text!r} is no name of a competition. It is the last part of its address: of "
            "https://www.kaggle.com/competitions/digit-recognizer it is digit-recognizer."
        )
    return found[1]


def _check_new(ledger: Ledger, client: Client, draft: Submission, competition: str) -> None:
    """Raises where the file was sent before, after asking about what is not known to have arrived.

    Also by another run of the results folder, whose lock is held.
    """
    sha256 = file_digest(draft.file)
    ledgers = [ledger, *ledger.others()]
    own = [(ledger, place) for place in ledger.places(competition, lambda one: one.status == SENDING)]
    same = [
        (known, place)
        for known in ledgers
        for place in known.places(competition, lambda one: one.sha256 == sha256)
        if known.entries[place].status == SENDING or known.entries[place].may_have_arrived
    ]
    unsettled = own + [one for one in same if one not in own]
    listed = client.submissions() if unsettled else []
    for known, place in unsettled:
        settle(known, place, listed)
        entry = known.entries[place]
        if entry.status == SENDING:
            raise ServiceError(
                f"{competition}: sending {entry.file} was cut off, and Kaggle does not list it yet. Give the "
                f"command again in {max(SETTLES_S - entry.age_s, 1):.0f} s; it looks again before it sends "
                "anything."
            )
    for known in ledgers:
        for place in known.places(competition, lambda one: one.sha256 == sha256 and one.status in ARRIVED):
            entry = known.entries[place]
            score = f", public score {entry.public_score}" if entry.public_score else ""
            raise KerasgridError(
                f"{shown_path(draft.file)}: this very file was sent to {competition} on {entry.time} "
                f"({entry.message!r}: {entry.status}{score}). It is not sent twice; --again sends it anyway."
            )


def _check_open(client: Client, competition: str, tell: Callable[[str], object]) -> None:
    """Raises where the service says beforehand that it will take no file; tells what is left of its limit."""
    try:
        about = client.about()
    except ServiceError as error:
        if error.kind != "status" or error.status == 401:
            raise
        about = {}  # the questions that count come after it, and are refused in words of their own
    if about.get("notebooks_only"):
        raise ServiceError(refusals.notebooks_only(competition))
    if about.get("is_closed"):
        raise ServiceError(f"{competition}: the competition takes no submissions now, its page says why.")
    try:
        limits = client.limits()
    except ServiceError as error:
        if (error.status or 0) < 500:
            raise
        tell(f"How many submissions are left is not known: {error}")
        return
    if limits is None:
        tell("How many submissions are left is not known: Kaggle's client asks from version 2.2 on.")
        return
    if not any((limits["today"], limits["total"], limits["allowed"])):
        return  # so it says of teams that have not submitted anything yet
    if limits["allowed"] <= 0:
        raise ServiceError(refusals.limit_reached(competition, is_total=limits["limited_by_total"]))
    made, left = count(limits["today"], "submission"), limits["allowed"]
    tell(f"{competition}: {made} today, {left} left" + (" in all" if limits["limited_by_total"] else ""))


def _send(
    ledger: Ledger,
    client: Client,
    draft: Submission,
    competition: str,
    timeout_s: float,
    tell: Callable[[str], object],
) -> int:
    """Uploads and submits, and returns the place of the entry."""
    before = look_alike(draft.file.name, draft.message, client.submissions())
    entry = Entry(
        time=now(),
        competition=competition,
        message=draft.message,
        file=draft.file.name,
        sha256=file_digest(draft.file),
        before=tuple(one["ref"] for one in before),
    )
    place = ledger.add(entry)
    try:
        client.upload(draft.file)
        if file_digest(draft.file) != entry.sha256:
            raise DataError(
                f"{shown_path(draft.file)} was changed while it was uploaded. {_NOTHING} Give it again."
            )
    except BaseException as error:
        ledger.put(place, replace(entry, status=FAILED, error=_reason(error)))
        if isinstance(error, ServiceError):
            raise ServiceError(f"{error} {_NOTHING}", error.kind, error.status) from error
        if isinstance(error, KeyboardInterrupt):
            tell(f"Interrupted. {_NOTHING}")
        raise
    entry = replace(entry, step="submit", last_word=now(timeout_s))
    ledger.put(place, entry)
    try:
        made = client.create(draft.message)
    except ServiceError as error:
        entry = replace(entry, last_word=now())
        ledger.put(place, entry)
        if error.kind == "status" and (error.status or 500) < 500:
            ledger.put(place, replace(entry, status=FAILED, error=str(error)))
            raise ServiceError(f"{error} {_NOTHING}", error.kind, error.status) from error
        if not _has_arrived(ledger, client, place):
            raise ServiceError(
                f"{error} {_UNKNOWN}",
                error.kind,
                error.status,
            ) from error
    except KeyboardInterrupt:
        ledger.put(place, replace(entry, last_word=now()))
        tell(f"Interrupted. {_UNKNOWN}")
        raise
    else:
        ledger.put(place, replace(entry, status=PENDING, last_word=now(), ref=made["ref"]))
    return place


def _has_arrived(ledger: Ledger, client: Client, place: int) -> bool:
    """Tells whether the service lists a submission whose answer was lost."""
    look(ledger, client, place)
    return ledger.entries[place].status in ARRIVED


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, KerasgridError) else f"ended by {type(error).__name__}"
