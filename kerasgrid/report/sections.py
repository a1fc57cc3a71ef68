"""The report's sections: findings as sentences, tables and pictures."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from kerasgrid.report.figures import (
    MOST_CLASSES,
    MOST_ROWS,
    confusion_cells,
    curves_cells,
    draw_confusion,
    draw_curves,
    draw_front,
    draw_importance,
    draw_intervals,
    effect_rows,
    front_cells,
    has_held_out,
    importance_cells,
    interaction_rows,
    leaderboard_cells,
)
from kerasgrid.report.findings import Findings
from kerasgrid.report.mistakes import Mistakes
from kerasgrid.report.sentences import (
    best_sentences,
    curve_sentences,
    edge_sentence,
    effect_sentences,
    interaction_sentence,
    trouble_sentences,
)
from kerasgrid.views.pages import Block, Bullets, Chapter, Paragraph, Photos, Picture
from kerasgrid.wording import count

_TOP = 15
_MOST_POINTS = 12
_DARK = 128
"""Images whose brightest pixel is below are of a scale of their own, such as the digits' 0 to 16."""

_METHOD = (
    "Candidates are compared with the best over the same folds by the corrected resampled t-test of Nadeau "
    "and Bengio (2003), which allows for the training rows that folds share; a p-value above 0.05 means that "
    "the two cannot be told apart. Of n folds, held-out rows are taken as 1/(n-1) of the training rows, as "
    "in cross-validation without repeats. It is not corrected for the number of candidates, and the best was "
    "chosen by the same scores.",
    "The effect of a value is its mean difference over matched pairs, which are candidates equal in all "
    "else. Its 95% interval comes from the spread that main effects and interactions of two parameters leave "
    "unexplained; of main effects alone where candidates are too few, so that interactions make it wider; "
    "from differences over folds, by the same corrected test, where they are too few even for that. Where a "
    "parameter has more than two values it holds for all pairs of them at once (Tukey); that of a parameter "
    "without any effect still excludes zero in one search of twenty. An interaction is named where the "
    "difference between conditional effects is clear after Bonferroni's correction for all that were looked "
    "at; the interval at each value holds for that value by itself.",
    "A curve still improves where the slope of its last third is clear of its scatter, after the same "
    "correction for all curves; that of the best is the mean of three, without the epoch that chose them.",
    "Importance is functional ANOVA (Hutter, Hoos and Leyton-Brown 2014): the share of the variance of "
    "scores, over all combinations of values, that a parameter or a pair of them accounts for.",
)


def sections_of(findings: Findings, mistakes: Mistakes | str) -> list[Chapter]:
    """Returns the report's sections in their order; one with nothing to show says why.

    Args:
        findings: What the trials tell.
        mistakes: Of the best trial; or why they are not known.
    """
    if findings.best is None:
        trouble = Bullets(tuple(trouble_sentences(findings)))
        blocks: tuple[Block, ...] = (Paragraph("No trial has a score yet, so there is nothing to tell."),)
        return [Chapter("The best", blocks + ((trouble,) if trouble.items else ()))]
    return [
        Chapter("The best", tuple(_best(findings))),
        Chapter("What each parameter does", tuple(_effects(findings))),
        Chapter("Where one parameter depends on another", tuple(_interactions(findings))),
        Chapter("What to try next", tuple(_next(findings))),
        Chapter("Learning curves", tuple(_curves(findings))),
        Chapter("Mistakes of the best", tuple(_mistakes(mistakes, findings))),
        Chapter("What failed", tuple(_trouble(findings))),
        Chapter("How this was worked out", tuple(Paragraph(text, is_note=True) for text in _METHOD)),
    ]


def _best(findings: Findings) -> Iterator[Block]:
    yield Paragraph(" ".join(best_sentences(findings)))
    shown = list(findings.contenders[:_TOP])
    if findings.pick is not None and findings.pick not in shown:
        shown.append(findings.pick)
    yield leaderboard_cells(findings, shown)
    left = len(findings.contenders) - len(shown)
    if left > 0:
        yield Paragraph(f"{left:,} more: the HiPlot page and --json have all.", is_note=True)
    if len(findings.front) > 1:
        yield Picture(
            partial(draw_front, findings),
            "A dot a trial. No candidate is both better and quicker than one on the line.",
            front_cells(findings),
        )
    elif all(one.fit_time is None for one in findings.contenders):
        yield Paragraph("The file has no fit times, so score cannot be weighed against time.", is_note=True)


def _effects(findings: Findings) -> Iterator[Block]:
    if not findings.effects:
        yield Paragraph("All candidates with a score have the same parameters.")
        return
    yield Bullets(tuple(effect_sentences(findings).values()))
    rows = effect_rows(findings)
    if rows:
        if len(rows) > MOST_ROWS:
            yield Paragraph(
                f"The picture has the first {MOST_ROWS} of {count(len(rows), 'pair')}.", is_note=True
            )
        yield Picture(
            partial(draw_intervals, rows, findings.table.scores[0], "Effects of parameters"),
            "By how much a value is better than another over matched pairs; grey where it cannot be told.",
        )
    if findings.importance is None:
        yield Paragraph("Too few candidates, or equal scores: importance cannot be told.", is_note=True)
        return
    how = (
        "exact, since every combination of values has a score"
        if findings.importance.is_exact
        else "estimated by regression trees, since not every combination has a score"
    )
    yield Picture(
        partial(draw_importance, findings.importance),
        f"Importance: {how}. Pairs are what they add; noise has a share in all.",
        importance_cells(findings.importance),
    )


def _interactions(findings: Findings) -> Iterator[Block]:
    if findings.noise is None or not findings.noise.pairs:
        yield Paragraph(
            "Cannot be told: candidates are too few, or values too many, to see two parameters together."
        )
        return
    if not findings.interactions:
        yield Paragraph("No interaction of two parameters is clear.")
        return
    sentences = tuple(map(interaction_sentence, findings.interactions[:_MOST_POINTS]))
    yield Bullets(sentences)
    if len(findings.interactions) > len(sentences):
        yield Paragraph(
            f"These are the largest {len(sentences)} of {len(findings.interactions)}.", is_note=True
        )
    yield Picture(
        partial(draw_intervals, interaction_rows(findings), findings.table.scores[0], "Interactions"),
        "The same effect at each value of the other parameter; below zero it is the other way round.",
    )


def _next(findings: Findings) -> Iterator[Block]:
    points = tuple(map(edge_sentence, findings.edges))
    if points:
        yield Bullets(points)
    else:
        yield Paragraph("No parameter's best value is clearly at the edge of what was tried.")


def _curves(findings: Findings) -> Iterator[Block]:
    sentences = curve_sentences(findings)
    if not findings.curves:
        n_missing = sum(map(bool, findings.table.histories))
        yield Paragraph(
            "The files of the histories are missing, or every metric in them has gaps."
            if n_missing
            else "The file has no histories of epochs.",
            is_note=True,
        )
    if sentences:
        yield Bullets(tuple(sentences))
    if has_held_out(findings.curves):
        n_all = sum(map(bool, findings.table.histories))
        some = f" ({len(findings.curves)} of {n_all})" if len(findings.curves) < n_all else ""
        yield Picture(
            partial(draw_curves, findings, findings.curve_metric),
            f"Means over folds: all trials{some} as a faint bundle, the best and the worst in front.",
            curves_cells(findings),
        )


def _mistakes(mistakes: Mistakes | str, findings: Findings) -> Iterator[Block]:
    if isinstance(mistakes, str):
        yield Paragraph(mistakes, is_note=True)
        return
    best, share = findings.trial(findings.contenders[0].row), mistakes.n_wrong / max(mistakes.n_samples, 1)
    yield Paragraph(
        f"Trial {best} puts {mistakes.n_wrong:,} of {mistakes.n_samples:,} "
        f"held-out samples ({100 * share:.2f}%) into a wrong class."
    )
    if confused := mistakes.confused():
        yield Bullets(
            tuple(
                f"{true} is taken for {said}: {count(n, 'time')}, {100 * part:.1f}% of all {true}."
                for true, said, n, part in confused
            )
        )
    if len(mistakes.classes) <= MOST_CLASSES:
        yield Picture(
            partial(draw_confusion, mistakes.confusion, mistakes.classes),
            "Held-out samples by true and predicted class.",
            confusion_cells(mistakes.confusion, mistakes.classes),
        )
    else:
        yield Paragraph(
            f"{len(mistakes.classes)} classes are too many for a picture; --json has the matrix.",
            is_note=True,
        )
    photos = tuple(
        (
            png(one.image),
            f"{one.true}, taken for {one.said} ({100 * one.probability:.1f}%), sample {one.index}",
        )
        for one in mistakes.wrong
        if one.image is not None
    )
    if photos:
        yield Photos(photos, "The most confidently wrong")
    elif mistakes.wrong:
        yield Paragraph("The images of its mistakes are not beside the results.", is_note=True)


def _trouble(findings: Findings) -> Iterator[Block]:
    sentences = tuple(trouble_sentences(findings))
    yield (
        Bullets(sentences[:_MOST_POINTS])
        if sentences
        else Paragraph("Nothing: no trial failed, all have a score, and none looks dead.")
    )
    if len(sentences) > _MOST_POINTS:
        yield Paragraph(
            f"These are {_MOST_POINTS} of {count(len(sentences), 'reason')}; --json has all.", is_note=True
        )


def png(image: np.ndarray) -> bytes:
    """Returns the PNG of an image, (height, width, channel); floats and dark ones are stretched to white."""
    from PIL import Image

    pixels: Any = image
    if pixels.dtype != np.uint8 or pixels.max(initial=0) < _DARK:
        pixels = pixels.astype(np.float64)
        known = pixels[np.isfinite(pixels)]
        low, high = known.min(initial=np.inf), known.max(initial=-np.inf)
        scale = 255 / (high - low) if high > low else 0.0
        pixels = np.where(np.isfinite(pixels), (pixels - low) * scale, 0.0).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()
