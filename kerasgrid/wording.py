"""Numbers and names in plain words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Container
from pathlib import Path

_PASSWORD = re.compile(r"(://[^:/@]*:)[^@/]*@")


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
