"""Numbers in plain words."""

from __future__ import annotations


def count(number: int, noun: str) -> str:
    """Returns `1 trial`, `2 trials`, `12,000 trials`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
