"""What a report is made of, before it is a page or a text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Paragraph:
    """Plain sentences; `is_note` where they are about what is missing or how it was worked out."""

    text: str
    is_note: bool = False


@dataclass(frozen=True)
class Bullets:
    """Plain sentences, one a point."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Cells:
    """A table of texts; the columns in `right` stand at their right edge, and `caption` above."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A drawing: `draw` gives its SVG, where it is shown; in a text `cells` stand for it."""

    draw: Callable[[], str]
    caption: str
    cells: Cells | None = None


@dataclass(frozen=True)
class Photos:
    """Small images side by side: the bytes of a PNG, and a text below each; `caption` stands above them."""

    items: tuple[tuple[bytes, str], ...]
    caption: str


Block = Paragraph | Bullets | Cells | Picture | Photos


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]
