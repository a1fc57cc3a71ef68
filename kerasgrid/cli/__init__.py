"""The command line. Thin: each command calls one function of the library and prints what it gives."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, TextIO

from typer.main import get_command

# In the order in which --help lists their commands.
from kerasgrid.cli import searching, showing, delivering, sending, starting  # noqa: F401  # isort: skip
from kerasgrid.cli.options import FAULT, INTERRUPTED, app
from kerasgrid.console import show_all
from kerasgrid.errors import MOST_FAULTS, ConfigError, KerasgridError, speaking_of_flags
from kerasgrid.spawning import HANGUP, interrupted_by_signals


def main() -> None:
    """Runs the command line; errors made on purpose, and the system's, are printed without a traceback."""
    sys.stdout, sys.stderr = _outlived(sys.stdout), _outlived(sys.stderr)
    show_all()
    with interrupted_by_signals(), speaking_of_flags():
        code, written = _exit_code(_program()), _exit_code(_flush)
    sys.exit(code or written)


@cache
def _program() -> Callable[[], object]:
    """Returns the commands, which Typer makes anew whenever its app is called."""
    return get_command(app)


class _Terminal(io.FileIO):
    """A terminal that may be closed: what is written from then on goes nowhere."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            return len(data)


def _outlived(stream: TextIO) -> TextIO:
    """Returns a stream that is no error to write to when its terminal closes; others as they are."""
    if HANGUP is None or stream is None or not stream.isatty():  # Windows's terminals take no bytes
        return stream
    raw = _Terminal(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, line_buffering=True)


def _exit_code(run: Callable[[], object]) -> int | str | None:
    try:
        run()
    except (SystemExit, KeyboardInterrupt) as end:
        if isinstance(end, SystemExit) and not _is_interrupt(end):
            return end.code
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        return FAULT
    except (KerasgridError, OSError) as error:
        if os.environ.get("KERASGRID_TRACEBACK"):
            raise
        print(_in_words(error), file=sys.stderr)
        if "--json" in sys.argv[1:]:
            print(json.dumps(_as_json(error)))
        return FAULT
    return 0


def _is_interrupt(end: BaseException | None) -> bool:
    """Tells whether a command was interrupted: newer versions of Typer make an exit of it, without a word."""
    while end is not None and not isinstance(end, KeyboardInterrupt):
        end = end.__cause__ or (None if end.__suppress_context__ else end.__context__)
    return end is not None


def _flush() -> None:
    """Writes out what was printed, while a full disk or a closed pipe can still be told in words.

    The interpreter does it at its end, too, and prints a traceback.
    """
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


def _as_json(error: KerasgridError | OSError) -> dict[str, Any]:
    """Returns an error for programs: each fault with the place where it is, and all of it in words."""
    faults: list[dict[str, Any]] = [{"where": None, "message": _in_words(error)}]
    left_out: dict[str, int] = {}
    if isinstance(error, ConfigError):
        told = error.faults[:MOST_FAULTS]
        faults = [{"where": error.where(fault), "message": fault.message} for fault in told]
        left_out = {"more": len(error.faults) - len(told)} if len(error.faults) > len(told) else {}
    return {
        "faults": faults,
        **left_out,
        "error": {"type": type(error).__name__, "message": _in_words(error)},
    }


def _in_words(error: KerasgridError | OSError) -> str:
    if isinstance(error, KerasgridError):
        return str(error)
    where = "what is printed" if error.filename is None else error.filename
    return f"{where}: {error.strerror or error}. KERASGRID_TRACEBACK=1 in the environment shows where."
