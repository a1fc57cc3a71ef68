"""A report as Markdown: the sentences and tables, with tables in place of pictures."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kerasgrid.views.leaderboard import visible
from kerasgrid.views.report.blocks import Block, Bullets, Cells, Paragraph, Photos, Picture, Section

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def text(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Returns the text; what Markdown would read as its own marks is escaped."""
    parts = [f"# {_plain(title)}", _plain(lead)]
    for section in sections:
        parts.append(f"## {_plain(section.title)}")
        parts += filter(None, map(_block, section.blocks))
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(words):
            return _plain(words)
        case Bullets(items):
            return "\n".join(f"- {_plain(item)}" for item in items)
        case Cells():
            return _table(block)
        case Photos(items, caption):
            return "\n".join([f"{_plain(caption)}:\n", *(f"- {_plain(words)}" for _, words in items)])
        case Picture(_, caption, cells):
            return f"{_plain(cells.caption or caption)}\n\n{_table(cells)}" if cells and cells.rows else ""


def _table(cells: Cells) -> str:
    marks = ["--:" if place in cells.right else ":--" for place in range(len(cells.header))]
    lines = [map(_plain, cells.header), marks, *(map(_plain, row) for row in cells.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(words: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(visible(words).split()))
