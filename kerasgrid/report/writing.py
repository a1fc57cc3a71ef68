"""A file of results as a report: a page, a text, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.io import strict
from kerasgrid.jobs.objective import HALF
from kerasgrid.report.figures import (
    MOST_CLASSES,
    MOST_ROWS,
    confusion_picture,
    curves_picture,
    effect_rows,
    front_picture,
    importance_picture,
    interaction_rows,
    intervals_picture,
    labels_cells,
    leaderboard_cells,
    predictions_picture,
    residuals_picture,
    spread_picture,
    targets_cells,
    worst_cells,
)
from kerasgrid.report.findings import Findings, analyse, as_json
from kerasgrid.report.label_scores import LabelMistakes, labels_of
from kerasgrid.report.mistakes import Mistakes, mistakes_of
from kerasgrid.report.residuals import Residuals, TargetResiduals, residuals_of
from kerasgrid.report.sentences import (
    best_sentences,
    conclusions,
    curve_sentences,
    edge_sentence,
    effect_sentences,
    ground_sentences,
    interaction_sentence,
    label_sentence,
    residual_sentences,
    trouble_sentences,
)
from kerasgrid.tables.predictions import read_predictions
from kerasgrid.tables.reading import read_table
from kerasgrid.tables.table import DEBIASED
from kerasgrid.views.drawing import png
from kerasgrid.views.leaderboard import format_seconds
from kerasgrid.views.pages import Block, Bullets, Chapter, Note, Paragraph, Photos, html_page, markdown_text
from kerasgrid.wording import count, masked, visible_json, visible_line

_MOST_PARAMS = 20
_MOST_TRIALS = 15
_MOST_POINTS = 12
_MOST_TARGETS = 8
"""That have pictures and sentences of their own."""
_MOST_WORST = 10
"""Samples in a table, for each target."""
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

_OF_RESIDUALS = (
    "A residual is the true number less the predicted one, of samples that the net has not seen. The "
    "interval of their mean is Student's t over samples, which takes them for independent, though those of "
    "a fold share a net. Errors are said to grow where the median absolute error of the tenth with the "
    "largest predictions is half as large again as that of the others, or more, and a rank-sum test agrees "
    "(p < 0.05)."
)


class Report:
    """What a file of results tells.

    Args:
        source: In any form that read_table takes.

    Attributes:
        findings: What its trials tell.
        mistakes: Of the best trial; what it gets of each label, where samples may have several; its residuals
            where numbers are predicted; or why none of these is known.

    Raises:
        ResultsError: The file cannot be read, or has no trials.
    """

    def __init__(self, source: str | Path) -> None:
        table = read_table(source)
        if not table.rows:
            raise ResultsError(
                f"{masked(source)}: no trial has begun yet, so there is nothing to report. Try again later."
            )
        self.findings = analyse(table)
        self.mistakes = _mistakes_of_best(Path(source), self.findings)

    def html(self) -> str:
        """Returns the page, one file that loads nothing.

        Raises:
            MissingPackageError: Matplotlib is not installed.
        """
        return html_page(self._title(), self._lead(), self._chapters())

    def markdown(self) -> str:
        """Returns the sentences and tables as Markdown."""
        return markdown_text(self._title(), self._lead(), self._chapters())

    def json(self) -> str:
        """Returns all numbers, and the sentences, as strict JSON."""
        about: dict[str, Any] = {
            **as_json(self.findings),
            "mistakes": self.mistakes.as_json() if isinstance(self.mistakes, Mistakes) else None,
            "labels": self.mistakes.as_json() if isinstance(self.mistakes, LabelMistakes) else None,
            "residuals": self.mistakes.as_json() if isinstance(self.mistakes, Residuals) else None,
            "mistakes_missing": self.mistakes if isinstance(self.mistakes, str) else None,
            "sentences": self.sentences(),
        }
        return visible_json(json.dumps(strict(about), indent=1, allow_nan=False, ensure_ascii=False))

    def sentences(self) -> list[str]:
        """Returns the conclusions in plain words, the most important first."""
        found = conclusions(self.findings)
        if isinstance(self.mistakes, Residuals):
            best = self.findings.trial(self.findings.contenders[0].row)
            for one in self.mistakes.targets[:_MOST_TARGETS]:
                found += residual_sentences(one, best, _may_be_log(self.findings, one))
        return [visible_line(sentence) for sentence in found]

    def _title(self) -> str:
        return f"{self.findings.table.source}: what was learnt"

    def _lead(self) -> str:
        table = self.findings.table
        states = [row.get("state", "complete") for row in table.rows]
        apart = [f"{states.count(state)} {state}" for state in dict.fromkeys(states) if state != "complete"]
        better = "a larger one is better" if table.direction == "max" else "a smaller one is better"
        parts = [count(len(table.rows), "trial") + (f" ({', '.join(apart)})" if apart else "")]
        parts.append(
            f"compared by {table.scores[0]}"
            + (f", {table.metric}" if table.about and table.metric else "")
            + f" ({better})"
        )
        if not table.about:  # its columns were told by their names
            more = ", ..." if len(table.params) > _MOST_PARAMS else ""
            parts.append(f"taken as parameters: {', '.join(table.params[:_MOST_PARAMS]) or 'none'}{more}")
        elif table.about.summary.wall_time_s is not None:
            parts.append(f"searched for {format_seconds(table.about.summary.wall_time_s)}")
        if table.about and table.about.status != "complete":
            parts.append(f"status: {table.about.status}")
        return "; ".join(parts) + "."

    def _chapters(self) -> list[Chapter]:
        """Returns the chapters in their order; one with nothing to show says why."""
        findings, about = self.findings, self.findings.table.about
        are_numbers = isinstance(self.mistakes, Residuals) or bool(about and about.data.targets)
        chapters = {"The best": _best(findings)}
        if findings.best is not None:
            chapters |= {
                "What each parameter does": _effects(findings),
                "Where one parameter depends on another": _interactions(findings),
                "What to try next": _next(findings),
                "Learning curves": _curves(findings),
                f"{'Residuals' if are_numbers else 'Mistakes'} of the best": _mistakes(
                    self.mistakes, findings
                ),
                "What failed": _trouble(findings),
                "How this was worked out": map(Note, (*_METHOD, *([_OF_RESIDUALS] if are_numbers else []))),
            }
        return [Chapter(title, list(blocks)) for title, blocks in chapters.items()]


def _mistakes_of_best(source: Path, findings: Findings) -> Mistakes | LabelMistakes | Residuals | str:
    if findings.best is None:
        return "No trial has a score."
    if not findings.table.about:
        return "Only a search of kerasgrid keeps predictions, beside its results.json."
    try:
        found = read_predictions(source, findings.trial(findings.best.row))
        if not len(found.labels):
            return "No sample of the best trial was held out."
        if found.target.is_multi_label:
            usual = findings.table.section("search").get("thresholds")
            return labels_of(found, usual if isinstance(usual, float) else HALF)
        return residuals_of(found) if found.target.is_numbers else mistakes_of(found)
    except ResultsError as error:
        return str(error)


def _best(findings: Findings) -> Iterator[Block]:
    if findings.best is None:
        yield Paragraph("No trial has a score yet, so there is nothing to tell.")
        if trouble := trouble_sentences(findings):
            yield Bullets(trouble)
        return
    yield Paragraph(" ".join(best_sentences(findings)))
    shown = list(findings.contenders[:_MOST_TRIALS])
    if findings.pick is not None and findings.pick not in shown:
        shown.append(findings.pick)
    yield leaderboard_cells(findings, shown)
    left = len(findings.contenders) - len(shown)
    if left > 0:
        yield Note(f"{left:,} more: the HiPlot page and --json have all.")
    if len(findings.front) > 1:
        yield front_picture(findings)
    elif all(one.fit_time is None for one in findings.contenders):
        yield Note("The file has no fit times, so score cannot be weighed against time.")


def _effects(findings: Findings) -> Iterator[Block]:
    if not findings.effects:
        yield Paragraph("All candidates with a score have the same parameters.")
        return
    yield from map(Paragraph, ground_sentences(findings))
    yield Bullets(list(effect_sentences(findings).values()))
    ground = findings.ground
    rows = effect_rows(ground)
    if len(rows) > MOST_ROWS:
        yield Note(f"The picture has the first {MOST_ROWS} of {count(len(rows), 'pair')}.")
    if rows:
        caption = (
            "By how much a value is better than another over matched pairs; grey where it cannot be told."
        )
        yield intervals_picture(rows, _unit(findings), "Effects of parameters", caption)
    if ground.importance is None:
        yield Note("Too few candidates, or equal scores: importance cannot be told.")
    else:
        yield importance_picture(ground.importance)


def _unit(findings: Findings) -> str:
    """Returns what effects are of."""
    return findings.table.scores[0] if findings.debiased is None else DEBIASED


def _interactions(findings: Findings) -> Iterator[Block]:
    unit, findings = _unit(findings), findings.ground
    if findings.noise is None or not findings.noise.pairs:
        yield Paragraph(
            "Cannot be told: candidates are too few, or values too many, to see two parameters together."
        )
        return
    if not findings.interactions:
        yield Paragraph("No interaction of two parameters is clear.")
        return
    yield Bullets(list(map(interaction_sentence, findings.interactions[:_MOST_POINTS])))
    if len(findings.interactions) > _MOST_POINTS:
        yield Note(f"These are the largest {_MOST_POINTS} of {len(findings.interactions)}.")
    caption = "The same effect at each value of the other parameter; below zero it is the other way round."
    yield intervals_picture(interaction_rows(findings), unit, "Interactions", caption)


def _next(findings: Findings) -> Iterator[Block]:
    if edges := findings.ground.edges:
        yield Bullets(list(map(edge_sentence, edges)))
    else:
        yield Paragraph("No parameter's best value is clearly at the edge of what was tried.")


def _curves(findings: Findings) -> Iterator[Block]:
    if not findings.curves:
        yield Note(
            "The files of the histories are missing, or every metric in them has gaps."
            if any(findings.table.histories)
            else "The file has no histories of epochs."
        )
    if sentences := curve_sentences(findings):
        yield Bullets(sentences)
    if picture := curves_picture(findings):
        yield picture


def _mistakes(mistakes: Mistakes | LabelMistakes | Residuals | str, findings: Findings) -> Iterator[Block]:
    if isinstance(mistakes, str):
        yield Note(mistakes)
        return
    best = findings.trial(findings.contenders[0].row)
    if isinstance(mistakes, Residuals):
        yield from _residuals(mistakes, findings, best)
        return
    if isinstance(mistakes, LabelMistakes):
        yield from _labels(mistakes, best)
        return
    share = mistakes.n_wrong / max(mistakes.n_samples, 1)
    yield Paragraph(
        f"Trial {best} puts {mistakes.n_wrong:,} of {mistakes.n_samples:,} "
        f"held-out samples ({100 * share:.2f}%) into a wrong class."
    )
    if mistakes.confused:
        yield Bullets(
            [
                f"{one.true} is taken for {one.said}: {count(one.n, 'time')}, {100 * one.share:.1f}% of all "
                f"{one.true}."
                for one in mistakes.confused
            ]
        )
    if len(mistakes.classes) <= MOST_CLASSES:
        yield confusion_picture(mistakes.confusion, mistakes.classes)
    else:
        yield Note(f"{len(mistakes.classes)} classes are too many for a picture; --json has the matrix.")
    for confusion in mistakes.confused if mistakes.n_wrong > len(mistakes.wrong) else ():
        shown = [
            (png(one.image), f"{100 * one.probability:.1f}%, {one.name}")
            for one in confusion.samples
            if one.image is not None
        ]
        if shown:
            yield Photos(shown, f"{confusion.true}, taken for {confusion.said}")
    photos = [
        (
            png(one.image),
            f"{one.true}, taken for {one.said} ({100 * one.probability:.1f}%), {one.name}",
        )
        for one in mistakes.wrong
        if one.image is not None
    ]
    if photos:
        yield Photos(photos, "The most confidently wrong")
    elif mistakes.wrong:
        yield Note("The images of its mistakes are not beside the results.")


def _labels(mistakes: LabelMistakes, best: Any) -> Iterator[Block]:
    yield Paragraph(label_sentence(mistakes, best))
    labels = mistakes.labels if len(mistakes.labels) <= MOST_CLASSES else mistakes.hardest[:MOST_CLASSES]
    yield labels_cells(labels)
    if len(labels) < len(mistakes.labels):
        yield Note(
            f"These are the {MOST_CLASSES} of {len(mistakes.labels):,} labels that are hardest to tell."
        )
    photos = [(png(one.image), f"{one.told}, {one.name}") for one in mistakes.wrong if one.image is not None]
    if photos:
        yield Photos(photos, "Those whose labels are told worst")
    elif mistakes.wrong:
        yield Note("The images of its mistakes are not beside the results.")


def _residuals(residuals: Residuals, findings: Findings, best: Any) -> Iterator[Block]:
    targets = residuals.targets
    if len(targets) > 1:
        yield targets_cells(targets)
    for place, one in enumerate(targets[:_MOST_TARGETS], start=1):
        first, *others = residual_sentences(one, best, _may_be_log(findings, one))
        yield Paragraph(first)
        if others:
            yield Bullets(others)
        yield predictions_picture(one, place)
        yield residuals_picture(one, place)
        yield spread_picture(one, place)
        yield worst_cells(one, _MOST_WORST, _counted_from(findings))
    if len(targets) > _MOST_TARGETS:
        yield Note(f"These are the first {_MOST_TARGETS} of {len(targets):,} targets; --json has all.")
    photos = [
        (png(residuals.images[i]), residuals.names[i])
        for i in residuals.worst_samples
        if i in residuals.images
    ]
    if photos:
        yield Photos(photos, "The furthest off")


def _may_be_log(findings: Findings, one: TargetResiduals) -> bool:
    """Returns whether `target_scale: log` is another way to take a target."""
    scale = findings.table.section("data").get("target_scale")
    return scale != "log" and float(one.true.min()) >= 0


def _counted_from(findings: Findings) -> str:
    """Returns which sample is the first, as far as it is known."""
    data = findings.table.section("data")
    if data.get("subset") or not isinstance(data.get("train"), str):
        return "sample 0 is the first"
    return f"sample 0 is the first row of {data['train']}"


def _trouble(findings: Findings) -> Iterator[Block]:
    sentences = trouble_sentences(findings)
    if not sentences:
        yield Paragraph("Nothing: no trial failed, all have a score, and none looks dead.")
        return
    yield Bullets(sentences[:_MOST_POINTS])
    if len(sentences) > _MOST_POINTS:
        yield Note(f"These are {_MOST_POINTS} of {count(len(sentences), 'reason')}; --json has all.")
