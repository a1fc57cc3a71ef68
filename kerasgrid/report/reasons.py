"""Trials by the reason for which they failed or learnt nothing, told once for all that share it."""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACE = re.compile(r"\b(trial|fold|repeat|epoch) \d+(, |: |\b)")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE)
_LONGEST = 200


def by_reason(texts: Mapping[int, str]) -> dict[str, tuple[int, ...]]:
    """Returns the places of trials by their reason, the most frequent first.

    Texts that differ only in numbers are one reason, with `…` where those stood; trial, fold and epoch
    are left out of it. It is a single line of bounded length, without a full stop.

    Args:
        texts: What is recorded, by the trial's place in the table.
    """
    groups: dict[str, dict[int, str]] = {}
    for row, text in texts.items():
        plain = _PLACE.sub("", " ".join(text.split())).rstrip(". ")
        groups.setdefault(_NUMBER.sub("…", plain), {})[row] = plain
    ordered = sorted(groups.items(), key=lambda item: -len(item[1]))
    found: dict[str, tuple[int, ...]] = {}
    for pattern, group in ordered:
        reason = _cut(pattern if len(set(group.values())) > 1 else next(iter(group.values())))
        found[reason] = (*found.get(reason, ()), *group)
    return found


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
