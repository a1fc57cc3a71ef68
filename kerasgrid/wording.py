"""Numbers and names in plain words."""

from __future__ import annotations

import contextlib
import json
import re
import unicodedata
from collections.abc import Callable, Container
from pathlib import Path

_PASSWORD = re.compile(r"(://[^:/@]*:)[^@/]*@")
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of what a terminal obeys: control codes, marks that turn the direction of text or join letters,
halves of characters, ends of lines and paragraphs."""


def _escape(letter: str) -> str:
    """Returns a character as Python writes it within quotes: `\\x1b`, `\\u202e`."""
    return letter.encode("unicode_escape").decode()


def count(number: int, noun: str) -> str:
    """Returns `1 trial`, `2 trials`, `12,000 trials`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def distinct(name: str, taken: Container[str], form: str = "{} ({})") -> str:
    """Returns a name that is not taken: itself, else the first of `name (2)`, `name (3)`, ... that is not."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = form.format(name, number)
    return found


def shown_path(path: str | Path) -> str:
    """Returns a path as messages show it: relative where it lies in the working folder."""
    path = Path(path)
    with contextlib.suppress(ValueError, OSError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def masked(url: object) -> str:
    """Returns a URL as it may be shown, without its password."""
    return _PASSWORD.sub(r"\1***@", str(url))


def visible(text: str, escape: Callable[[str], str] = _escape) -> str:
    """Returns a text with an escape for each character that a terminal would obey; ends of lines stay.

    Args:
        text: Of one line or several.
        escape: Gives the escape, `\\x1b` or `\\u202e` by default.
    """
    if text.isprintable():
        return text
    return "".join(escape(c) if c != "\n" and unicodedata.category(c) in _OBEYED else c for c in text)


def visible_line(text: str) -> str:
    """Returns a text on one line: visible, and with a space for each stretch of blanks and ends of lines."""
    return visible(" ".join(text.split()))


def visible_json(text: str) -> str:
    """Returns a JSON text of the same value in which nothing would be obeyed."""
    return visible(text, lambda letter: json.dumps(letter)[1:-1])
