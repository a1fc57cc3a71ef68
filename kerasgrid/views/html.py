"""A report as one page: no script, nothing loaded, readable in light and dark."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence

from kerasgrid.views.blocks import Block, Bullets, Cells, Paragraph, Photos, Picture, Section
from kerasgrid.wording import visible

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --muted: #6a737d; --line: #d5d9de;
  --accent: #0b69c7; --warm: #c2500a; --on-warm: #1b1f24; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e4e7ea; --muted: #9aa3ad;
  --line: #3a4149; --accent: #6cb2ff; --warm: #ff9d5c; --on-warm: #14171a; } }
body { background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
p.note, figcaption, .lead { color: var(--muted); } p.note, figcaption { font-size: 0.9rem; }
li { margin: 0.3rem 0; } figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.9rem; }
th, td { padding: 0.25rem 0.7rem 0.25rem 0; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); overflow-wrap: normal; }
th { vertical-align: bottom; } .right { text-align: right; }
.photos { display: flex; flex-wrap: wrap; gap: 0.9rem; } .photos figure { width: 8.5rem; margin: 0; }
.photos img { width: 6rem; height: 6rem; object-fit: contain; image-rendering: pixelated; background: #000; }
"""


def page(title: str, lead: str, sections: Sequence[Section]) -> str:
    """Returns the page; all text in it is escaped."""
    body = "\n".join(
        f"<section><h2>{_text(section.title)}</h2>\n"
        + "\n".join(map(_block, section.blocks))
        + "\n</section>"
        for section in sections
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{_text(title)}</h1>\n<p class="lead">{_text(lead)}</p>\n{body}\n</body>\n</html>\n'
    )


def _block(block: Block) -> str:
    match block:
        case Paragraph(text, is_note):
            return f"<p{_class('note', is_note)}>{_text(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_text(item)}</li>" for item in items) + "</ul>"
        case Cells():
            return _table(block)
        case Picture(draw, caption, _):
            return f"<figure>{draw()}<figcaption>{_text(caption)}</figcaption></figure>"
        case Photos(items, caption):
            photos = "".join(_photo(*item) for item in items)
            return f'<p>{_text(caption)}:</p>\n<div class="photos">{photos}</div>'


def _table(cells: Cells) -> str:
    def line(texts: Sequence[str], tag: str) -> str:
        marks = [_class("right", place in cells.right) for place in range(len(texts))]
        parts = (f"<{tag}{mark}>{_text(text)}</{tag}>" for text, mark in zip(texts, marks, strict=True))
        return f"<tr>{''.join(parts)}</tr>"

    head, rows = line(cells.header, "th"), "\n".join(line(row, "td") for row in cells.rows)
    return f'<div class="wide"><table>\n<thead>{head}</thead>\n<tbody>{rows}</tbody>\n</table></div>'


def _photo(data: bytes, text: str) -> str:
    source, safe = base64.b64encode(data).decode(), _text(text)
    image = f'<img alt="{safe}" src="data:image/png;base64,{source}">'
    return f"<figure>{image}<figcaption>{safe}</figcaption></figure>"


def _text(words: str) -> str:
    return html.escape(visible(words))


def _class(name: str, holds: bool) -> str:
    return f' class="{name}"' if holds else ""
