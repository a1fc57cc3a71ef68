"""What runs in worker processes of tests: here, so that they import no pytest."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
import time
from pathlib import Path


def send_pid(task, context):
    context.emit(os.getpid())


HELD = []


def hold_and_send_pid(mib, context):
    HELD.append(b"x" * (mib * 2**20))
    context.emit(os.getpid())


def die_on_zero(task, context):
    context.emit(os.getpid())
    if task == 0:
        os.kill(os.getpid(), signal.SIGKILL)


def kill_self(task, context):
    os.kill(os.getpid(), task)
    time.sleep(20)


def exit_with(task, context):
    sys.exit(task)


def exit_at_once_with(task, context):
    os._exit(task)


def die_in_a_message(task, context):
    context.emit("whole")
    os.write(context.driver.connection.fileno(), struct.pack("!i", 1000) + b"torn")
    os.kill(os.getpid(), signal.SIGKILL)


def close_connection(task, context):
    socket.socket(fileno=os.dup(context.driver.connection.fileno())).shutdown(socket.SHUT_WR)
    time.sleep(20)


def outlive_signals(task, context):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
    context.emit("alive")


def send_lambda(task, context):
    context.emit(lambda: None)


def send_environment(task, context):
    context.emit({name: os.environ.get(name) for name in ("KG_TEST", "KG_OTHER")} | {"hash": hash("text")})
    time.sleep(0.3)  # so that the other worker takes the other task


def send_heavy_modules(task, context):
    context.emit(sorted({"numpy", "keras", "tensorflow", "jax", "pandas"} & set(sys.modules)))


def forget_to_end():
    time.sleep(60)


def forever(task, context):
    context.emit(os.getpid())
    while True:
        pass


class OnLoad:
    """Calls a function where it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call

    def __call__(self, task, context):
        raise AssertionError("never runs in a worker")


def announce():
    os.environ["KERASGRID_TEST_SETUP"] = str(os.getpid())


def fail():
    raise ImportError("no such module")


def send_setup(task, context):
    context.emit((os.environ.get("KERASGRID_TEST_SETUP"), os.getpid()))


def send_on_load(task, context):
    context.emit(OnLoad(int, "x"))


def pid_sender_at_second_load(path):
    try:
        Path(path).touch(exist_ok=False)
    except FileExistsError:
        return send_pid
    os._exit(1)
