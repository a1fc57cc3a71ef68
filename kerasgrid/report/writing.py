"""A file of results as a report: a page, a text, or JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kerasgrid.errors import ResultsError
from kerasgrid.io import strict
from kerasgrid.report.chapters import chapters_of
from kerasgrid.report.findings import Findings, analyse, as_json
from kerasgrid.report.mistakes import Mistakes, mistakes_of
from kerasgrid.report.sentences import conclusions
from kerasgrid.tables.predictions import read_predictions
from kerasgrid.tables.reading import read_table
from kerasgrid.views.leaderboard import format_seconds
from kerasgrid.views.pages import html_page, markdown_text
from kerasgrid.wording import count, masked, visible_json, visible_line

_MOST_PARAMS = 20


class Report:
    """What a file of results tells.

    Args:
        source: In any form that read_table takes.

    Attributes:
        findings: What its trials tell.
        mistakes: Of the best trial; or why they are not known.

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
        self.mistakes = _mistakes(Path(source), self.findings)

    def html(self) -> str:
        """Returns the page, one file that loads nothing.

        Raises:
            MissingPackageError: Matplotlib is not installed.
        """
        return html_page(self._title(), self._lead(), chapters_of(self.findings, self.mistakes))

    def markdown(self) -> str:
        """Returns the sentences and tables as Markdown."""
        return markdown_text(self._title(), self._lead(), chapters_of(self.findings, self.mistakes))

    def json(self) -> str:
        """Returns all numbers, and the sentences, as strict JSON."""
        about: dict[str, Any] = {
            **as_json(self.findings),
            "mistakes": self.mistakes.as_json() if isinstance(self.mistakes, Mistakes) else None,
            "mistakes_missing": self.mistakes if isinstance(self.mistakes, str) else None,
            "sentences": self.sentences(),
        }
        return visible_json(json.dumps(strict(about), indent=1, allow_nan=False, ensure_ascii=False))

    def sentences(self) -> list[str]:
        """Returns the conclusions in plain words, the most important first."""
        return [visible_line(sentence) for sentence in conclusions(self.findings)]

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


def _mistakes(source: Path, findings: Findings) -> Mistakes | str:
    if findings.best is None:
        return "No trial has a score."
    if not findings.table.about:
        return "Only a search of kerasgrid keeps predictions, beside its results.json."
    try:
        return mistakes_of(read_predictions(source, findings.trial(findings.best.row)))
    except ResultsError as error:
        return str(error)
