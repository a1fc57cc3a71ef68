"""Ctrl-C, SIGTERM and a terminal that closes end a search in order; a second Ctrl-C or SIGTERM at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from kerasgrid.spawning import HANGUP, SIGNALS


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` at the first of SIGNALS, and raises KeyboardInterrupt at the next.

    Where a terminal closes, the kernel, the shell and systemd may send a SIGHUP each, so that one more of
    them insists on nothing.
    """
    asked = False

    def handle(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number != HANGUP:
            raise KeyboardInterrupt
        asked = asked or number != HANGUP
        stop()

    with _handled(SIGNALS, handle):
        yield


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Raises KeyboardInterrupt at SIGTERM and where the terminal closes, as Python does at Ctrl-C."""
    is_closed = False

    def handle(number: int, frame: object) -> None:
        nonlocal is_closed
        if number == HANGUP and is_closed:  # while what is under way is cleared up
            return
        is_closed = number == HANGUP
        raise KeyboardInterrupt

    with _handled([one for one in SIGNALS if one != signal.SIGINT], handle):
        yield


@contextmanager
def _handled(numbers: Iterable[int], handle: Callable[[int, object], None]) -> Iterator[None]:
    """Has signals handled; a hangup that is ignored, as under nohup, stays ignored.

    Outside the main thread, where Python takes no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [one for one in numbers if one != HANGUP or signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
