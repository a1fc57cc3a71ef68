"""A report as Markdown: the sentences and tables, with tables in place of pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kerasgrid.views.blocks import Block, Bullets, Cells, Paragraph, Photos, Picture, Section
from kerasgrid.wording import visible_line

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def text(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Returns the text; what Markdown would read as its own marks is escaped."""
    parts = [f"# {plain(title)}", plain(lead)]
    for section in sections:
        parts.append(f"## {plain(section.title)}")
        parts += filter(None, map(_block, section.blocks))
    return "\n\n".join(parts) + "\n"


def plain(words: str) -> str:
    """Returns a text on one line, in which Markdown's own marks are escaped."""
    return _SPECIAL.sub(r"\\\1", visible_line(words))


def _block(block: Block) -> str:
    match block:
        case Paragraph(words):
            return plain(words)
        case Bullets(items):
            return "\n".join(f"- {plain(item)}" for item in items)
        case Cells():
            return _table(block)
        case Photos(items, caption):
            return "\n".join([f"{plain(caption)}:\n", *(f"- {plain(words)}" for _, words in items)])
        case Picture(_, caption, cells):
            return f"{plain(cells.caption or caption)}\n\n{_table(cells)}" if cells and cells.rows else ""


def _table(cells: Cells) -> str:
    marks = ["--:" if place in cells.right else ":--" for place in range(len(cells.header))]
    lines = [map(plain, cells.header), marks, *(map(plain, row) for row in cells.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
