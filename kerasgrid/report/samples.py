"""A page that shows samples of each class, how many there are, and what is odd about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from kerasgrid.data.glance import Glance
from kerasgrid.data.labels import counts_of
from kerasgrid.records import Dataset
from kerasgrid.views.drawing import ACCENT, INK, label, png
from kerasgrid.views.pages import Block, Bullets, Cells, Chapter, Note, Paragraph, Photos, Picture, html_page
from kerasgrid.wording import count, number_word, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_EACH, MOST_CLASSES = 6, 40
"""Samples of each class that are shown, and classes of which samples are."""
N_BINS = 8
"""Ranges of the numbers to predict of which samples are shown."""
_MOST_BARS, _MOST_SIZES, _MOST_PAIRS = 60, 12, 9
_LONGEST_LINE, _MOST_UPRIGHT = 70, 30
"""Letters and names that have room in a line below a picture."""


@dataclass(frozen=True)
class Sizes:
    """What the headers of image files say.

    Attributes:
        sizes: (file, 2), height and width of those that could be read.
        n_files: All of them.
    """

    sizes: np.ndarray
    n_files: int


@dataclass(frozen=True)
class SamplesPage:
    """What the page is made of.

    Attributes:
        title: Its name.
        data: All samples.
        seen: What they show at a glance.
        told: What is odd about them.
        sizes: Of image files; None where samples are none.
        left_out: Why the test set was not looked at; None where it was, or is none.
        name: What a training sample is called, by its place.
        name_of_test: Likewise one of the test set.
        seed: What the samples that are shown are drawn by.
    """

    title: str
    data: Dataset
    seen: Glance
    told: Sequence[str]
    sizes: Sizes | None = None
    left_out: str | None = None
    name: Callable[[int], str] = str
    name_of_test: Callable[[int], str] = str
    seed: int = 0
    _images: bool = field(init=False)

    def __post_init__(self) -> None:
        shape = self.data.images.shape
        object.__setattr__(self, "_images", len(shape) == 4 and self.data.table is None)

    def html(self) -> str:
        """Returns the page.

        Raises:
            MissingPackageError: Matplotlib is not installed.
        """
        data = self.data
        shape = " x ".join(str(size) for size in data.images.shape[1:])
        lead = f"{data.source}: {len(data):,} samples of {shape} ({data.images.dtype})"
        notes = [Note(line) for line in data.report]
        if data.n_held_out:
            lead += f", of which the last {data.n_held_out:,} are held out"
        chapters: dict[str, Iterable[Block]] = {
            "What is odd": self._odd(),
            "Samples": [*notes, *self._samples()],
            "How many there are": self._frequencies(),
            "Sizes of the files": self._sizes(),
        }
        found = [Chapter(title, blocks) for title, own in chapters.items() if (blocks := [*own])]
        return html_page(self.title, lead, found)

    # Chapters

    def _odd(self) -> Iterator[Block]:
        seen = self.seen
        yield Bullets(self.told) if self.told else Paragraph("Nothing was found.")
        if self.data.table is not None:
            yield Note("Rows of a table are not compared with each other.")
        elif self.left_out is not None:
            yield Note(f"The test set was not compared with these: {self.left_out}")
        elif seen.n_test is not None:
            yield Note(f"The test set has {seen.n_test:,} samples, each of which was compared with these.")
        if not self._images:
            return
        pairs = [(self._named(row), row) for pair in seen.across[:_MOST_PAIRS] for row in pair]
        if pairs:
            yield self._photos("Pairs that are the same and have different labels", pairs)
        if seen.shared:
            rows = [
                (f"{self.name(row)}, {self.name_of_test(test)}", row)
                for row, test in seen.shared[:_MOST_PAIRS]
            ]
            yield self._photos("Training samples that are in the test set too", rows)
        if seen.grey and seen.n_grey != len(self.data) - self.data.n_held_out:
            rows = [(self._named(row), row) for row in seen.grey[:_MOST_PAIRS]]
            yield self._photos("Grey images among coloured ones", rows)

    def _samples(self) -> Iterator[Block]:
        if not self._images:
            return
        numbers = np.random.default_rng(self.seed)
        groups = [*self._groups()]
        for name, rows in groups[:MOST_CLASSES]:
            some = np.sort(numbers.permutation(rows)[:N_EACH])
            shown = [(self._caption(row), int(row)) for row in some]
            yield self._photos(f"{name} ({count(len(rows), 'sample')})", shown)
        if len(groups) > MOST_CLASSES:
            yield Note(f"{len(groups) - MOST_CLASSES} more are not shown.")

    def _groups(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields the classes, labels or ranges of numbers, each with its samples."""
        labels, target = self.data.labels, self.data.target
        if target.is_numbers:
            values = labels[:, 0]
            edges = np.unique(np.quantile(values, np.linspace(0, 1, N_BINS + 1)))
            places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
            for place in np.unique(places):
                rows = np.flatnonzero(places == place)
                ends = [number_word(float(end)) for end in (values[rows].min(), values[rows].max())]
                yield f"{target.names[0]} of {ends[0]} to {ends[1]}", rows
            return
        for place, name in enumerate(target.names):
            rows = np.flatnonzero(labels[:, place] if target.is_multi_label else labels == place)
            if len(rows):
                yield str(name), rows
        if target.is_multi_label and len(rows := np.flatnonzero(~labels.any(axis=1))):
            yield "none of the labels", rows

    def _frequencies(self) -> Iterator[Block]:
        target, labels = self.data.target, self.data.labels
        if target.is_numbers:
            for name, values in zip(target.names[:4], labels.T, strict=False):
                yield _histogram(str(name), values)
            return
        counts = counts_of(labels, target.n_outputs)
        shares = counts / len(labels)
        rows = [
            (str(name), f"{n:,}", percent(share))
            for name, n, share in zip(target.names, counts, shares, strict=True)
        ]
        what = "label" if target.is_multi_label else "class"
        cells = Cells((what, "samples", "share"), rows, right=(1, 2))
        if len(counts) <= _MOST_BARS:
            yield _bars([row[0] for row in rows], counts, what)
        yield cells
        if target.is_multi_label:
            each = Counter(labels.sum(axis=1).tolist())
            own = [(str(n), f"{each[n]:,}", percent(each[n] / len(labels))) for n in sorted(each)]
            yield Cells(("labels of a sample", "samples", "share"), own, right=(0, 1, 2))

    def _sizes(self) -> Iterator[Block]:
        if self.sizes is None or not len(self.sizes.sizes):
            return
        sizes, n_files = self.sizes.sizes, self.sizes.n_files
        (low_h, low_w), (high_h, high_w) = sizes.min(axis=0), sizes.max(axis=0)
        middle_h, middle_w = np.median(sizes, axis=0)
        h, w = self.data.images.shape[1:3]
        yield Paragraph(
            f"{count(n_files, 'file')}, {low_w} to {high_w} wide (median {middle_w:g}) and {low_h} to "
            f"{high_h} high (median {middle_h:g}); they become {w} x {h}."
        )
        if len(sizes) < n_files:
            yield Note(f"{n_files - len(sizes):,} could not be read.")
        each = Counter(map(tuple, sizes[:, ::-1].tolist())).most_common(_MOST_SIZES)
        if (low_h, low_w) != (high_h, high_w):
            yield _scatter(sizes)
        rows = [(f"{w} x {h}", f"{n:,}", percent(n / len(sizes))) for (w, h), n in each]
        yield Cells(("width x height", "files", "share"), rows, right=(1, 2), caption="The most frequent:")

    # Parts

    def _photos(self, caption: str, rows: Sequence[tuple[str, int]]) -> Photos:
        return Photos([(png(self.data.images[row]), text) for text, row in rows], caption)

    def _caption(self, row: int) -> str:
        return self.name(row) if self.data.target.kind == "classes" else self._named(row)

    def _named(self, row: int) -> str:
        return f"{self.name(row)}: {self._label(row)}"

    def _label(self, row: int) -> str:
        """Returns what is known of a sample."""
        own, target = self.data.labels[row], self.data.target
        if target.is_numbers:
            return ", ".join(number_word(float(value)) for value in own[:3])
        if target.is_multi_label:
            names = [str(name) for name, has in zip(target.names, own, strict=True) if has]
            return label(" ".join(names) or "none")
        return label(str(target.names[own]))


def _bars(names: Sequence[str], counts: np.ndarray, what: str) -> Picture:
    def paint(axes: Axes) -> None:
        axes.bar(range(len(names)), counts, color=ACCENT, width=0.8)
        shown = [label(name, 12) for name in names]
        is_wide = sum(map(len, shown)) > _LONGEST_LINE or len(shown) > _MOST_UPRIGHT
        axes.set_xticks(range(len(names)), shown, rotation=90 if is_wide else 0)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel("samples")

    return Picture(paint, f"Samples of each {what}", 2.6, f"Samples of each {what}.")


def _histogram(name: str, values: np.ndarray) -> Picture:
    def paint(axes: Axes) -> None:
        axes.hist(values, bins=40, color=ACCENT)
        axes.set_xlabel(label(name))
        axes.set_ylabel("samples")

    ends = [number_word(float(value)) for value in (values.min(), np.median(values), values.max())]
    caption = f"{name}: {ends[0]} to {ends[2]}, median {ends[1]}."
    return Picture(paint, f"Values of {name}", 2.6, caption)


def _scatter(sizes: np.ndarray) -> Picture:
    some = sizes[:: max(1, len(sizes) // 4000)]

    def paint(axes: Axes) -> None:
        axes.plot(some[:, 1], some[:, 0], "o", color=ACCENT, markersize=2.5, alpha=0.4, markeredgewidth=0)
        top = float(some.max())
        axes.plot([0, top], [0, top], color=INK, linewidth=0.6)
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.set_xlabel("width")
        axes.set_ylabel("height")

    return Picture(
        paint,
        "Sizes of image files",
        3.4,
        "Width and height of each file; the line is where both are equal.",
        width=4.5,
    )
