"""Asking Kaggle: its official client in a process that is killed where it takes too long."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.errors import MissingPackageError, ServiceError
from kerasgrid.spawning import Child, Ended
from kerasgrid.submit.refusals import MISSING, find_credentials, refusal
from kerasgrid.submit.serving import serve

_QUIET = {"VERBOSE": "", "VERBOSE_OUTPUT": ""}
"""With these the client would print each request, its credentials too."""
_TRIES, _FIRST_PAUSE_S = 3, 1.0
_LEAST_RATE = 50_000
"""Bytes a second that a file is given for at least, beside the time limit."""
_LOOK_S = 0.25
_START_S = 30.0
"""What a busy machine may need to start the client, beside the time limit of the question that it asks."""


class Client:
    """Asks Kaggle about one competition; a context manager.

    Args:
        timeout_s: How long one answer may take, seconds.
        places: Where credentials were found; looked for where not given.

    Raises:
        MissingPackageError: The client is not installed.
        ServiceError: There are no credentials; and from each method: Kaggle refuses, or does not answer.
    """

    def __init__(self, competition: str, timeout_s: float, places: Sequence[str] | None = None) -> None:
        self._competition = competition
        self._timeout_s = timeout_s
        self._places = find_credentials().places if places is None else tuple(places)
        self._process: Child | None = None

    def about(self) -> dict[str, Any]:
        """Returns the competition's `title`, and whether it is for `notebooks_only` or `is_closed`."""
        return self._read("about", "asking about the competition")

    def limits(self) -> dict[str, Any] | None:
        """Returns the submissions of `today` and in `total`, those still `allowed`, and what limits them.

        None where the client that is installed cannot ask.
        """
        return self._read("limits", "asking how many submissions are left")

    def submissions(self, within_s: float = math.inf) -> list[dict[str, Any]]:
        """Returns the newest 100 submissions: ref, file, message, time, status, scores and error.

        Args:
            within_s: How long the answer may take, seconds, where that is less than of others.
        """
        timeout_s = min(self._timeout_s, within_s)
        return self._read("submissions", "asking for the list of submissions", timeout_s)

    def upload(self, file: Path) -> None:
        """Uploads a file; nothing is submitted by that."""
        timeout_s = self._timeout_s + file.stat().st_size / _LEAST_RATE
        self._ask("upload", str(file), doing=f"uploading {file.name}", timeout_s=timeout_s)

    def create(self, message: str) -> dict[str, Any]:
        """Submits what was uploaded, and returns the service's `message` and `ref`. Never tried again."""
        return self._ask("create", message, doing="submitting the uploaded file")

    def download(self, folder: Path, check: Callable[[], int]) -> None:
        """Downloads all files as one archive into a folder; the time limit counts from the last byte.

        Args:
            folder: Where; what is there of an earlier try is gone on with.
            check: Is called again and again; gives the bytes that are there, or raises to end it.
        """
        self._ask("download", str(folder), doing="downloading the data", check=check)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def _read(self, name: str, doing: str, timeout_s: float | None = None) -> Any:
        """Asks what changes nothing, and so may be asked again where the answer was lost."""
        for attempt in range(_TRIES):
            try:
                return self._ask(name, doing=doing, timeout_s=timeout_s)
            except ServiceError as error:
                is_soon_over = error.kind == "cut" or (error.status or 0) in (500, 502, 503, 504)
                if not is_soon_over or attempt == _TRIES - 1:
                    raise
            time.sleep(_FIRST_PAUSE_S * 2**attempt)
        raise AssertionError

    def _ask(
        self,
        name: str,
        *arguments: Any,
        doing: str,
        timeout_s: float | None = None,
        check: Callable[[], int] | None = None,
    ) -> Any:
        timeout_s = timeout_s or self._timeout_s
        if self._process is None:
            self._begin(doing, timeout_s)
        return self._exchange((name, self._competition, *arguments), doing, timeout_s, check)

    def _begin(self, doing: str, timeout_s: float) -> None:
        self._process = Child(serve, environment=_QUIET, is_silent=True)
        try:
            self._exchange(("begin",), doing, min(timeout_s, self._timeout_s) + _START_S, None)
        except BaseException:
            self._end()
            raise

    def _exchange(
        self,
        message: tuple[Any, ...],
        doing: str,
        timeout_s: float,
        check: Callable[[], int] | None,
    ) -> Any:
        assert self._process is not None
        try:
            self._process.send(message)
            reply = _receive(self._process, timeout_s, check)
        except TimeoutError:
            reply = {"kind": "slow"}
        except (Ended, OSError):
            reply = {"kind": "other"}
        except BaseException:  # Ctrl-C: what is under way must not go on behind our back
            self._end()
            raise
        if reply["kind"] == "answer":
            return reply["answer"]
        if reply["kind"] in ("slow", "other"):
            self._end()
        if reply["kind"] == "missing":
            raise MissingPackageError(f"{MISSING} ({reply['text']})")
        text = refusal(reply, self._competition, doing, timeout_s, self._places)
        raise ServiceError(text, reply["kind"], reply.get("status"))

    def _end(self) -> None:
        """Kills the process: it may be waiting for an answer that never comes."""
        process, self._process = self._process, None
        if process is not None:
            process.close(kill=True)


def _receive(process: Child, timeout_s: float, check: Callable[[], int] | None) -> dict[str, Any]:
    """Returns the reply; where there is something to check, the time counts from its last change."""
    if check is None:
        return process.receive(timeout_s)
    reached, since = check(), time.monotonic()
    while True:
        try:
            return process.receive(_LOOK_S)
        except TimeoutError:
            n_bytes = check()
            if n_bytes != reached:
                reached, since = n_bytes, time.monotonic()
            elif time.monotonic() - since > timeout_s:
                raise
