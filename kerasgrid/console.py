"""The one place that prints: what a terminal would obey is shown instead.

Names of columns, keys and files, messages of errors and answers of servers are as others wrote them. A
terminal that is given them as they are takes orders from them: to hide a line, to turn it round, to rename
itself.
"""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import warnings
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType, RenderHook
from rich.segment import Segment
from rich.text import Text

from kerasgrid.errors import spoken
from kerasgrid.wording import visible


class Shown:
    """A stream of text on which what a terminal would obey is shown; the rest is as its own stream's."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Writes a text, in which escapes stand for what would be obeyed."""
        self.stream.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes texts likewise."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # by which texts would go past
            raise AttributeError(name)
        return getattr(self.stream, name)


def show_all() -> None:
    """Lets this process print, log and warn in no other way from now on."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Shown):
            if hasattr(stream, "reconfigure"):  # a terminal that cannot write ± must not end a search
                stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, Shown(stream))


class Console(RichConsole):
    """Rich's console, whose codes are its own alone: texts are neither obeyed nor read as markup."""

    def __init__(self, stderr: bool = False, **options: Any) -> None:
        stream = sys.stderr if stderr else sys.stdout
        plain = {"markup": False, "emoji": False, "highlight": False}
        file = stream.stream if isinstance(stream, Shown) else stream
        super().__init__(**{"file": file, **plain, **options})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yields the parts of what is printed; escapes stand for what would be obeyed."""
        for part in super().render(renderable, options):
            yield part if part.control else part._replace(text=visible(part.text))

    def render_str(self, text: str, **options: Any) -> Text:
        """Returns a text to print; rich drops some of what is shown here."""
        return super().render_str(visible(text), **options)

    def push_render_hook(self, hook: RenderHook) -> None:
        """Begins a live display; rich's stand-ins for the streams would obey what is written to them."""
        super().push_render_hook(hook)
        show_all()


def is_notebook() -> bool:
    """Tells whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def is_told_by_notebook(console: RichConsole) -> bool:
    """Tells whether a cell of a notebook shows what this process prints, as those of `!kerasgrid search` do.

    It knows no codes by which a cursor moves, but the carriage return.
    """
    try:
        mode = os.fstat(console.file.fileno()).st_mode
    except (OSError, ValueError):  # no file of the system
        return False
    return "JPY_PARENT_PID" in os.environ and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode))


def warn(text: str) -> None:
    """Warns as Python does, of the line outside of this package, and of scikit-learn, that has called it."""
    found = (sys.modules.get(name) for name in ("sklearn", "joblib"))  # which call estimators
    others = [os.path.dirname(str(module.__file__)) + os.sep for module in found if module is not None]
    within = (os.path.dirname(__file__) + os.sep, contextlib.__file__, *others)
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(within):
        level, frame = level + 1, frame.f_back
    warnings.warn(spoken(text), UserWarning, stacklevel=level)
