"""Pages: where they go, never over what they are made of; what they hold; and as HTML or Markdown."""

from __future__ import annotations

import base64
import html
import os
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kerasgrid.errors import ResultsError
from kerasgrid.io import UNPORTABLE
from kerasgrid.tables.reading import file_and_study, is_url
from kerasgrid.views.drawing import WIDTH, draw_svg
from kerasgrid.wording import masked, shell_word, visible, visible_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FRAME_HEIGHT = 800
_ENDINGS = {".html", ".htm"}
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
caption { text-align: left; white-space: nowrap; color: var(--muted); }
th { vertical-align: bottom; } .right { text-align: right; }
.photos { display: flex; flex-wrap: wrap; gap: 0.9rem; } .photos figure { width: 8.5rem; margin: 0; }
.photos img { width: 6rem; height: 6rem; object-fit: contain; image-rendering: pixelated; background: #000; }
.photos img.large { image-rendering: auto; }
"""
_SHOWN_PIXELS = 96
"""Of the side of a photo in a page; what is larger is made smaller smoothly."""
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


class Page(type(Path())):  # type: ignore[misc]  # Path itself has heirs from Python 3.12 on alone
    """The path of a page; the last line of a notebook's cell shows the page itself."""

    def _repr_html_(self) -> str | None:
        return framed(self.read_text(encoding="utf-8")) if self.is_file() else None


def framed(page: str) -> str:
    """Returns a page as a part of another, such as a notebook: neither meets the other."""
    size = f'width="100%" height="{_FRAME_HEIGHT}" frameborder="0"'
    return f'<iframe srcdoc="{html.escape(page)}" {size}></iframe>'


def page_path(files: Sequence[str | Path], output: Path | None = None, ending: str = ".html") -> Path:
    """Returns where the page of some files of results goes: never over one of them.

    Args:
        files: The files and folders, which exist; or URLs of databases.
        output: The file that was asked for; without one the page lies beside the first of `files`.
        ending: Of the page's name where none was asked for.

    Raises:
        ResultsError: `output` is a folder or no name of an HTML file, or the page would take the
            place of one of `files`.
    """
    target = Path(output) if output is not None else path_beside(files[0], ending)
    if target.suffix.lower() not in _ENDINGS:
        if os.path.isdir(target):
            found, name = "is a folder, and a page is one file", target / f"{Path(files[0]).stem}.html"
        else:
            found, name = "is no name for a page, which ends in .html or .htm", target.with_suffix(".html")
        raise ResultsError(f"{target} {found}. Choose another, such as: -o {shell_word(name)}")
    return output_path(files, target)


def path_beside(source: str | Path, ending: str) -> Path:
    """Returns the place of what is written beside a file or folder of results.

    Args:
        source: The file, folder or URL.
        ending: Of its name, which is that of the source otherwise.

    Raises:
        ResultsError: The source is the URL of a database, which nothing lies beside.
    """
    if is_url(source):
        raise ResultsError(
            f"{masked(source)}: say where it goes with -o, since nothing lies beside a database."
        )
    path = Path(source)
    if os.path.isdir(path):
        folder = path / os.pardir if path.name in ("", "..") else path.parent
        return folder / f"{path.resolve().name or 'results'}{ending}"
    file, study = file_and_study(path)
    if study:  # of several in one storage
        return file.with_name(f"{file.stem}-{UNPORTABLE.sub('-', study)}{ending}")
    return path.with_suffix(ending)


def output_path(files: Sequence[str | Path], output: Path) -> Path:
    """Returns `output`, which is to be written.

    Raises:
        ResultsError: It is one of `files`.
    """
    target = Path(output)
    there = [file for file in files if os.path.exists(file)]
    if os.path.exists(target) and any(os.path.samefile(target, file) for file in there):
        raise ResultsError(
            f"{target} is a file of results that is read here, and would be written over. Choose another "
            f"with -o FILE{target.suffix}."
        )
    return target


@dataclass(frozen=True)
class Paragraph:
    """Plain sentences."""

    text: str


@dataclass(frozen=True)
class Note:
    """Plain sentences about what is missing, or how it was worked out."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """Plain sentences, one a point."""

    items: Sequence[str]


@dataclass(frozen=True)
class Cells:
    """A table of texts; the columns in `right` stand at their right edge, and `caption` above."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Container[int] = ()
    caption: str = ""


@dataclass(frozen=True)
class Picture:
    """A drawing, which a page shows with its caption below it.

    Attributes:
        paint: Draws it on Matplotlib's axes.
        about: What a screen reader says of it.
        height: In inches.
        caption: Plain sentences.
        cells: What stands for it in a text.
        width: In inches.
    """

    paint: Callable[[Axes], None]
    about: str
    height: float
    caption: str
    cells: Cells | None = None
    width: float = WIDTH

    def svg(self) -> str:
        """Returns the drawing.

        Raises:
            MissingPackageError: Matplotlib is not installed.
        """
        return draw_svg(self.paint, self.height, self.about, self.width)


@dataclass(frozen=True)
class Photos:
    """Small images side by side: the bytes of a PNG, and a text below each; `caption` stands above them."""

    items: Sequence[tuple[bytes, str]]
    caption: str


Block = Paragraph | Note | Bullets | Cells | Picture | Photos


@dataclass(frozen=True)
class Chapter:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


def html_page(title: str, lead: str, chapters: Sequence[Chapter]) -> str:
    """Returns the page, one file that loads nothing; all text in it is escaped.

    Raises:
        MissingPackageError: It has pictures, and Matplotlib is not installed.
    """
    body = "\n".join(
        f"<section><h2>{_escape_html(chapter.title)}</h2>\n"
        + "\n".join(map(_html_block, chapter.blocks))
        + "\n</section>"
        for chapter in chapters
    )
    name = _escape_html(title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{name}</h1>\n<p class="lead">{_escape_html(lead)}</p>\n{body}\n</body>\n</html>\n'
    )


def _html_block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{_escape_html(text)}</p>"
        case Note(text):
            return f'<p class="note">{_escape_html(text)}</p>'
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_escape_html(item)}</li>" for item in items) + "</ul>"
        case Cells():
            return _html_table(block)
        case Picture():
            return f"<figure>{block.svg()}<figcaption>{_escape_html(block.caption)}</figcaption></figure>"
        case Photos(items, caption):
            photos = "".join(_photo(*item) for item in items)
            return f'<p>{_escape_html(caption)}:</p>\n<div class="photos">{photos}</div>'


def _html_table(cells: Cells) -> str:
    def line(texts: Sequence[str], tag: str) -> str:
        marks = [' class="right"' if place in cells.right else "" for place in range(len(texts))]
        parts = (
            f"<{tag}{mark}>{_escape_html(text)}</{tag}>" for text, mark in zip(texts, marks, strict=True)
        )
        return f"<tr>{''.join(parts)}</tr>"

    head, rows = line(cells.header, "th"), "\n".join(line(row, "td") for row in cells.rows)
    caption = f"<caption>{_escape_html(cells.caption)}</caption>\n" if cells.caption else ""
    return f'<div class="wide"><table>\n{caption}<thead>{head}</thead>\n<tbody>{rows}</tbody>\n</table></div>'


def _photo(data: bytes, text: str) -> str:
    source, safe = base64.b64encode(data).decode(), _escape_html(text)
    sides = (int.from_bytes(data[at : at + 4]) for at in (16, 20))  # of a PNG's first chunk
    large = ' class="large"' if max(sides) > _SHOWN_PIXELS else ""
    image = f'<img alt="{safe}"{large} src="data:image/png;base64,{source}">'
    return f"<figure>{image}<figcaption>{safe}</figcaption></figure>"


def _escape_html(words: str) -> str:
    return html.escape(visible(words))


def markdown_text(title: str, lead: str, chapters: Sequence[Chapter]) -> str:
    """Returns the text; what Markdown would read as its own marks is escaped."""
    parts = [f"# {escape_markdown(title)}", escape_markdown(lead)]
    for chapter in chapters:
        parts.append(f"## {escape_markdown(chapter.title)}")
        parts += filter(None, map(_markdown_block, chapter.blocks))
    return "\n\n".join(parts) + "\n"


def escape_markdown(words: str) -> str:
    """Returns a text on one line, in which Markdown's own marks are escaped."""
    return _SPECIAL.sub(r"\\\1", visible_line(words))


def _markdown_block(block: Block) -> str:
    match block:
        case Paragraph(words) | Note(words):
            return escape_markdown(words)
        case Bullets(items):
            return "\n".join(f"- {escape_markdown(item)}" for item in items)
        case Cells(caption=caption):
            return (f"{escape_markdown(caption)}\n\n" if caption else "") + _markdown_table(block)
        case Photos(items, caption):
            return "\n".join(
                [f"{escape_markdown(caption)}:\n", *(f"- {escape_markdown(words)}" for _, words in items)]
            )
        case Picture(caption=caption, cells=cells):
            if not cells or not cells.rows:
                return ""
            return f"{escape_markdown(cells.caption or caption)}\n\n{_markdown_table(cells)}"


def _markdown_table(cells: Cells) -> str:
    marks = ["--:" if place in cells.right else ":--" for place in range(len(cells.header))]
    lines = [map(escape_markdown, cells.header), marks, *(map(escape_markdown, row) for row in cells.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
