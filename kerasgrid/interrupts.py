"""Ctrl-C, SIGTERM and a terminal that closes end a search in order; a second Ctrl-C or SIGTERM at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kerasgrid.spawning import HANGUP, SIGNALS


@contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Calls `stop` at the first of SIGNALS, and raises KeyboardInterrupt at the next.

    Where a terminal closes, the kernel, the shell and systemd may send a SIGHUP each, so that one more of
    them insists on nothing; one that is ignored, as under nohup, stays ignored. Outside the main thread,
    where Python takes no signals, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def handle(number: int, frame: object) -> None:
        nonlocal asked
        if asked and number != HANGUP:
            raise KeyboardInterrupt
        asked = asked or number != HANGUP
        stop()

    taken = [one for one in SIGNALS if one != HANGUP or signal.getsignal(one) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in taken}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
