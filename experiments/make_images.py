"""Draws the image files of dogs_cats.yaml, dirty_mnist.yaml, shapes.yaml and backbones.yaml into data/.

    python experiments/make_images.py                 # all
    python experiments/make_images.py dogs_cats       # some of them
    python experiments/make_images.py shapes          # those of shapes.yaml and backbones.yaml

Two stand in for competitions' files, in the same layout: the YAML runs on the real ones when these lie in
their place. Heads with clutter around them, 4,000 JPEG files of mixed sizes, whose ears tell dogs from cats;
and grey images of 10 to 14 of 26 letters in noise, of which a table says which are there. And 32 x 32 pixels
of polygons and stars with 3 to 6 corners, 2,400 PNG files, and of flowers with 2 to 6 petals, 600, a folder a
class. It takes a minute, and nothing is downloaded.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

N_FOLDS = 5
SIDE = 256
"""Pixels of an image of letters."""
TILE = 32
"""Pixels of an image of a shape."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def pet(generator: np.random.Generator, is_dog: bool) -> Image.Image:
    """Returns a head in front of clutter: the ears of cats stand, those of dogs hang."""
    width, height = (int(size) for size in generator.integers(180, 500, 2))
    image = Image.new("RGB", (width, height), colour(generator))
    draw = ImageDraw.Draw(image)
    for _ in range(int(generator.integers(6, 16))):
        x, y = generator.integers(0, (width, height))
        dx, dy = generator.integers(10, 120, 2)
        box = [int(x), int(y), int(x + dx), int(y + dy)]
        shape = (draw.ellipse, draw.rectangle, draw.line)[int(generator.integers(3))]
        shape(box, colour(generator), width=int(generator.integers(1, 6)))
    radius = float(generator.uniform(0.24, 0.31)) * min(width, height)
    x = float(generator.uniform(1.5 * radius, width - 1.5 * radius))
    y = float(generator.uniform(1.7 * radius, height - 1.5 * radius))
    fur, lean = colour(generator), float(generator.uniform(-0.3, 0.3))

    def points(pairs: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
        """Returns places of a head of radius 1 as they are in the image, leant to a side."""
        cos, sin = np.cos(lean), np.sin(lean)
        return [(x + radius * (cos * a - sin * b), y + radius * (sin * a + cos * b)) for a, b in pairs]

    turn = np.linspace(0, 2 * np.pi, 24)
    for side in (-1, 1):
        ear = [(side * 0.95, -0.2), (side * 0.75, -1.45), (side * 0.2, -0.9)]
        if is_dog:
            ear = [(side * (0.95 + 0.25 * np.cos(a)), 0.15 + 0.75 * np.sin(a)) for a in turn]
        draw.polygon(points(ear), fur, outline="black")
    draw.polygon(points((0.9 * np.cos(a), np.sin(a)) for a in turn), fur, outline="black")
    for dx, dy, size in ((-0.35, -0.2, 0.12), (0.35, -0.2, 0.12), (0, 0.25, 0.17)):
        draw.polygon(points((dx + size * np.cos(a), dy + size * np.sin(a)) for a in turn), "black")
    noise = generator.normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def colour(generator: np.random.Generator) -> tuple[int, int, int]:
    """Returns any."""
    red, green, blue = (int(part) for part in generator.integers(40, 256, 3))
    return red, green, blue


def page(generator: np.random.Generator) -> tuple[Image.Image, set[str]]:
    """Returns a grey image of letters in noise, and which they are."""
    image = Image.new("L", (SIDE, SIDE), 0)
    letters = generator.choice(list(LETTERS), int(generator.integers(10, 15)), replace=False)
    cells = generator.permutation(16)[: len(letters)]  # of 4 x 4, so that none hides another
    for letter, cell in zip(letters, cells, strict=True):
        font = ImageFont.load_default(float(generator.uniform(44, 64)))
        glyph = Image.new("L", (64, 64), 0)
        ImageDraw.Draw(glyph).text((32, 32), letter, int(generator.integers(150, 256)), font, anchor="mm")
        glyph = glyph.rotate(float(generator.uniform(-25, 25)))
        corner = 64 * (cell % 4) + generator.integers(-6, 7), 64 * (cell // 4) + generator.integers(-6, 7)
        image.paste(glyph, tuple(map(int, corner)), glyph)
    noise = generator.normal(0, 35, (SIDE, SIDE))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)), set(letters)


def figure(generator: np.random.Generator, kind: str, n: int) -> Image.Image:
    """Returns a polygon, a star or a flower of n corners, points or petals in front of lines."""
    red, green, blue = (part // 3 for part in colour(generator))
    image = Image.new("RGB", (4 * TILE, 4 * TILE), (red, green, blue))  # drawn larger, for smooth edges
    draw = ImageDraw.Draw(image)
    for _ in range(int(generator.integers(1, 4))):
        draw.line(generator.integers(0, 4 * TILE, 4).tolist(), colour(generator), width=5)
    turn = np.linspace(0, 2 * np.pi, 240)
    if kind == "flower":
        radius = 0.65 + 0.35 * np.cos(n * turn)
    else:
        side = np.cos(np.pi / n) / np.cos(turn % (2 * np.pi / n) - np.pi / n)
        radius = side if kind == "polygon" else 0.4 + 0.6 * np.abs(1 - turn * n / np.pi % 2)
    radius *= generator.uniform(1.1, 1.7) * TILE
    turn += generator.uniform(-0.3, 0.3)
    x, y = generator.uniform(1.7, 2.3, 2) * TILE
    points = zip(x + radius * np.cos(turn), y + radius * np.sin(turn), strict=True)
    red, green, blue = (255 - part // 3 for part in colour(generator))
    draw.polygon([(float(a), float(b)) for a, b in points], (red, green, blue))
    small = np.asarray(image.resize((TILE, TILE), Image.Resampling.BOX))
    noise = generator.normal(0, 12, small.shape)
    return Image.fromarray(np.clip(small + noise, 0, 255).astype(np.uint8))


def dogs_cats(folder: Path, n: int = 4000, n_to_predict: int = 200) -> None:
    """Writes train/cat.0.jpg and so on, test/1.jpg and so on, and sample_submission.csv."""
    generator = np.random.default_rng(0)
    names = [f"train/{('cat', 'dog')[place % 2]}.{place // 2}.jpg" for place in range(n)]
    names += [f"test/{place + 1}.jpg" for place in range(n_to_predict)]
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_dog = "dog" in name if "train/" in name else bool(generator.integers(2))
        pet(generator, is_dog).save(path, quality=int(generator.integers(70, 96)))
    rows = [(place + 1, "cat") for place in range(n_to_predict)]
    write(folder / "sample_submission.csv", ("id", "label"), rows)


def dirty_mnist(folder: Path, n: int = 3000, n_to_predict: int = 200) -> None:
    """Writes train/00000.png and so on with train.csv, folds.csv, test/ and sample_submission.csv."""
    generator = np.random.default_rng(1)
    rows = []
    for place in range(n + n_to_predict):
        path = folder / ("train" if place < n else "test") / f"{place:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image, letters = page(generator)
        image.save(path, compress_level=1)
        rows.append((path.stem, *(int(letter in letters) for letter in LETTERS)))
    write(folder / "train.csv", ("index", *LETTERS), rows[:n])
    blank = [(row[0], *[0] * len(LETTERS)) for row in rows[n:]]
    write(folder / "sample_submission.csv", ("index", *LETTERS), blank)
    folds = generator.permutation(n) % N_FOLDS
    pairs = [(row[0], int(fold)) for row, fold in zip(rows[:n], folds, strict=True)]
    write(folder / "folds.csv", ("index", "fold"), pairs)


def shapes(folder: Path, n: int = 2400, n_flowers: int = 600) -> None:
    """Writes corners/polygon3/0000.png and so on, and flowers/flower2/0000.png and so on."""
    generator = np.random.default_rng(2)
    corners = [(kind, number) for kind in ("polygon", "star") for number in range(3, 7)]
    flowers = [("flower", number) for number in range(2, 7)]
    for part, kinds, n_images in (("corners", corners, n), ("flowers", flowers, n_flowers)):
        for place in range(n_images):
            kind, number = kinds[place % len(kinds)]
            path = folder / part / f"{kind}{number}" / f"{place:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            figure(generator, kind, number).save(path)


def write(path: Path, names: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Writes a CSV file."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *rows])


MAKERS = {"dogs_cats": dogs_cats, "dirty_mnist": dirty_mnist, "shapes": shapes}


if __name__ == "__main__":
    data = Path(__file__).parents[1] / "data"
    for name in sys.argv[1:] or MAKERS:
        MAKERS[name](data / name)
        print(data / name)
