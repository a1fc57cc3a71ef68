"""What becomes of submissions: asking the service, and bringing the record up to it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kerasgrid.errors import LockedError, ServiceError
from kerasgrid.run.paths import RunPaths
from kerasgrid.submit.client import Client
from kerasgrid.submit.ledger import (
    ARRIVED,
    CUT_OFF,
    ERROR,
    FAILED,
    NOT_LISTED,
    PENDING,
    SENDING,
    Entry,
    Ledger,
    find_arrived,
    held_alone,
)
from kerasgrid.submit.serving import LISTED

SETTLES_S = 120
"""So long after the service was last told of it, a submission that it does not list has not arrived."""
FIRST_POLL_S, POLL_GROWTH, LONGEST_POLL_S = 2.0, 1.5, 60.0
_LEAST_ANSWER_S = 5.0
_LATER = "Ask for its score later: kerasgrid submissions RESULTS --refresh"


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
