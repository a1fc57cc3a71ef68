"""The inside of a worker process. It imports nothing heavy before it has its function."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from kerasgrid.executors.base import Function, describe
from kerasgrid.spawning import leave_signals_to_the_driver

# From the driver: (FUNCTION, pickle), (TASK, pickle), (STOP, None).
FUNCTION, TASK, STOP = "function", "task", "stop"
# To the driver: (READY,), (UNLOADABLE, type, message, traceback), (STARTED,), (EMITTED, payload),
# (FINISHED,), (RAISED, type, message, traceback).
READY, UNLOADABLE, STARTED = "ready", "unloadable", "started"
EMITTED, FINISHED, RAISED = "emitted", "finished", "raised"


def work(connection: Connection, driver: int, setup: Callable[[], None] | None = None) -> None:
    """Does what the driver sends until the driver hangs up.

    Args:
        connection: Both ways to the driver.
        driver: The driver's process id.
        setup: Called before the first task, to import what tasks need; an error is left to the tasks, which
            meet it again.
    """
    leave_signals_to_the_driver()
    context = _WorkerContext(connection)
    orders: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(context, orders, driver), daemon=True).start()
    context.send(READY)
    if setup is not None:
        with contextlib.suppress(Exception):
            setup()
    function: Function
    while True:
        kind, data = orders.get()
        if kind == FUNCTION:
            try:
                function = pickle.loads(data)
            except Exception as error:
                context.send(UNLOADABLE, *describe(error))
        else:
            context.send(STARTED)
            ending = _call(function, data, context)
            # A worker ends by os._exit, which leaves buffers unwritten.
            for stream in (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            context.send(*ending)


def _call(function: Function, data: bytes, context: _WorkerContext) -> tuple:
    try:
        function(pickle.loads(data), context)
    except Exception as error:
        return RAISED, *describe(error)
    return (FINISHED,)


def _listen(context: _WorkerContext, orders: queue.SimpleQueue, driver: int) -> None:
    """Takes the driver's messages, also while a task computes, and ends the process with it."""
    try:
        # An error here means that the driver has hung up or is dead: the end either way.
        with contextlib.suppress(EOFError, OSError):
            while True:
                # The end of file does not come while a fork of the driver holds its side open.
                if not context.connection.poll(1.0):
                    if os.getppid() != driver:
                        return
                    continue
                kind, data = context.connection.recv()
                if kind == STOP:
                    context.stopping = True
                else:
                    orders.put((kind, data))
    finally:
        os._exit(0)


class _WorkerContext:
    """The function's context, which sends over the connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.stopping = False
        self._lock = threading.Lock()

    def emit(self, payload: Any) -> None:
        try:
            data = ForkingPickler.dumps((EMITTED, payload))
        except Exception as error:
            raise TypeError(
                f"emit: {type(payload).__qualname__} cannot be sent to the driver: {error}"
            ) from error
        self._send(data)

    def should_stop(self) -> bool:
        return self.stopping

    def send(self, *message: Any) -> None:
        self._send(ForkingPickler.dumps(message))

    def _send(self, data: memoryview) -> None:
        try:
            with self._lock:  # the function may emit from several threads
                self.connection.send_bytes(data)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)  # the driver has hung up
