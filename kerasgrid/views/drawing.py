"""Pictures: Matplotlib's SVG, made to stand in a page with its colours, light or dark; and a PNG of augmented
samples.

Colours are drawn as stand-ins, each of which becomes a variable of the page's style sheet
(`var(--ink)`); texts stay texts, so that they can be found and read aloud.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from kerasgrid.errors import MissingPackageError
from kerasgrid.io import write_atomic
from kerasgrid.wording import shortened, visible_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, MUTED, LINE, ACCENT, WARM = "#010a01", "#010a02", "#010a03", "#010a04", "#010a05"
"""Stand-ins: of text, of what is less important, of thin lines, of what matters, of its counterpart."""
ON_WARM = "#010a06"
"""Of text upon the counterpart's colour."""
_VARIABLES = {INK: "ink", MUTED: "muted", LINE: "line", ACCENT: "accent", WARM: "warm", ON_WARM: "on-warm"}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kerasgrid",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,  # a $ is a $
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}
_HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_GROUP = re.compile(r'<g id="[^"]*"')
_ID = re.compile(r'(\bid="|url\(#|xlink:href="#)')
WIDTH = 7.4
"""Of a picture in a page, in inches of 96 pixels."""
_LINE_HEIGHT = 14
"""Pixels of a line of text."""
_DARK = 128
"""Images whose brightest pixel is below are of a scale of their own, such as the digits' 0 to 16."""


def draw_svg(paint: Callable[[Axes], None], height: float, about: str, width: float = WIDTH) -> str:
    """Returns the SVG of one pair of axes.

    Args:
        paint: Draws on the axes that it is given.
        height: In inches.
        about: What a screen reader says; it makes the picture's names different from others', too.
        width: In inches.

    Raises:
        MissingPackageError: Matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackageError(
            "The report's pictures need the package matplotlib. Install it with: pip install matplotlib; "
            "--md and --json work without."
        ) from error
    with rc_context(_STYLE), warnings.catch_warnings():
        # A page's own fonts have letters that matplotlib's lack; it then guesses how wide they are.
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        figure = Figure(figsize=(width, height), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        paint(axes)
        written = io.StringIO()
        canvas.print_svg(written, metadata={"Date": None})  # savefig draws twice, and writes the same
    return _inline(written.getvalue(), about)


def _inline(svg: str, about: str) -> str:
    """Returns an SVG without its file's head, with the page's colours, and names that no other has."""
    prefix = re.sub(r"[^a-z0-9]+", "-", about.lower())
    svg = _GROUP.sub("<g", _METADATA.sub("", _HEAD.sub("", svg)))
    svg = _ID.sub(rf"\g<1>{prefix}-", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var(--{variable})")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{about}" ', 1).strip()


def label(text: str, longest: int = 64) -> str:
    """Returns a text as it stands in a picture: visible, on one line and of bounded length."""
    return shortened(visible_line(text), longest)


def png(image: np.ndarray, most: int = 128) -> bytes:
    """Returns the PNG of an image, (height, width, channel); floats and dark ones are stretched to white.

    Args:
        image: Of one channel, of red, green and blue, or of these and opacity; of others the first is shown.
        most: Pixels of its longer side; a larger one is made smaller.
    """
    pixels = np.asarray(image)
    if pixels.shape[-1] not in (1, 3, 4):
        pixels = pixels[..., :1]
    if pixels.dtype != np.uint8 or pixels.max(initial=0) < _DARK:
        pixels = pixels.astype(np.float64)
        known = pixels[np.isfinite(pixels)]
        low, high = known.min(initial=np.inf), known.max(initial=-np.inf)
        scale = 255 / (high - low) if high > low else 0.0
        pixels = np.where(np.isfinite(pixels), (pixels - low) * scale, 0.0).astype(np.uint8)
    buffer = io.BytesIO()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    picture.thumbnail((most, most))
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def write_sheet(blocks: Sequence[tuple[str, np.ndarray]], path: Path, zoom: int = 1) -> Path:
    """Writes pictures below each other, each under a line of text.

    Args:
        blocks: A text and a picture, (height, width, 3) uint8, each; at least one.
        path: Of the .png.
        zoom: Pixels of the file for one of a picture.

    Returns:
        The path.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    texts = [text for text, _ in blocks]
    pictures = [
        Image.fromarray(picture).resize(
            (picture.shape[1] * zoom, picture.shape[0] * zoom), Image.Resampling.NEAREST
        )
        for _, picture in blocks
    ]
    width = max([picture.width for picture in pictures] + [7 * len(text) for text in texts]) + 8
    sheet = Image.new("RGB", (width, sum(picture.height + _LINE_HEIGHT + 8 for picture in pictures)), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for text, picture in zip(texts, pictures, strict=True):
        draw.text((4, top + 2), text, fill="black")
        sheet.paste(picture, (4, top + _LINE_HEIGHT + 2))
        top += picture.height + _LINE_HEIGHT + 8
    write_atomic(path, lambda file: sheet.save(file, "PNG"))
    return path
