"""A PNG of augmented samples, one block for each setting that is searched."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from kerasgrid.io import write_atomic

LINE = 14
"""Pixels of a line of text."""


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
    sheet = Image.new("RGB", (width, sum(picture.height + LINE + 8 for picture in pictures)), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for text, picture in zip(texts, pictures, strict=True):
        draw.text((4, top + 2), text, fill="black")
        sheet.paste(picture, (4, top + LINE + 2))
        top += picture.height + LINE + 8
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomic(path, lambda file: file.write(buffer.getbuffer()))
    return path
