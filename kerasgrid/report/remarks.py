"""What curves, folds and failures tell, in plain sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kerasgrid.report.curves import FEWEST_EPOCHS
from kerasgrid.report.findings import Findings
from kerasgrid.report.sentences import short, value_text
from kerasgrid.wording import count

_MOST_NAMED = 5


def curve_sentences(findings: Findings) -> list[str]:
    """Returns what the learning curves and folds tell."""
    found = list(_rise_sentences(findings))
    if findings.overfit:
        found.append(
            f"Overfitting in {_of(findings.overfit, findings.curves)}: the held-out loss has risen from its "
            f"lowest while the training loss fell. {_named(findings, findings.overfit)}"
        )
    if findings.underfit:
        found.append(
            f"Underfitting in {_of(findings.underfit, findings.curves)}: they are behind the best on their "
            f"own training rows, too (dropout, if any, was on). {_named(findings, findings.underfit)}"
        )
    if (hard := findings.hard_fold) is not None:
        found.append(
            f"Fold {hard.fold} is the hardest for {hard.n_worst} of {hard.n_trials} trials, by "
            f"{value_text(short(hard.gap))} on average. That is the data's, not the candidates'."
        )
    if findings.unstable:
        found.append(
            f"{count(len(findings.unstable), 'trial')} spread over folds thrice as much as is usual. "
            f"{_named(findings, findings.unstable)}"
        )
    return found


def _rise_sentences(findings: Findings) -> Iterator[str]:
    """Yields whether more epochs would help, or why that cannot be told."""
    metric, curves = findings.curve_metric, findings.curves
    lengths = [len(own.test) for own in curves.values() if len(own.test)]
    if not curves:
        return
    if not lengths:
        yield f"No held-out {metric} is recorded by epoch: whether more epochs would help cannot be told."
        return
    if metric != findings.table.metric:
        yield f"No held-out {findings.table.metric} is recorded by epoch: the curves are of the loss."
    if max(lengths) < FEWEST_EPOCHS:
        yield f"Fewer than {FEWEST_EPOCHS} epochs a trial: whether more would help cannot be told."
        return
    if findings.leaders_rise is not None:
        gain = value_text(short(findings.leaders_rise))
        yield (
            f"More epochs would help the best: their mean held-out {metric} still improves by {gain} an "
            "epoch."
        )
    if findings.rising:
        rows = [one.row for one in findings.contenders if one.row in findings.rising]
        first = rows[0]
        gain = value_text(short(findings.rising[first]))
        yield (
            f"More epochs would help trial {findings.trial(first)}: its held-out {metric} still improves by "
            f"{gain} an epoch at epoch {len(curves[first].test)}.{_and_others(findings, rows)}"
        )
    elif findings.leaders_rise is None:
        some = "" if min(lengths) >= FEWEST_EPOCHS else f" of {FEWEST_EPOCHS} epochs or more"
        yield f"No held-out curve{some} clearly improves any more at its last epoch."


def trouble_sentences(findings: Findings) -> list[str]:
    """Returns what failed, what has no score and what learnt nothing, with reasons."""
    found = [
        f"{count(len(rows), 'trial')} failed: {reason}. {_named(findings, rows)}"
        for reason, rows in findings.failed.items()
    ]
    if rows := findings.unscored:
        verb = "has" if len(rows) == 1 else "have"
        found.append(
            f"{count(len(rows), 'trial')} {verb} no score, or none that is a number. {_named(findings, rows)}"
        )
    return found + [
        f"{count(len(rows), 'trial')} learnt nothing: {reason}. {_named(findings, rows)}"
        for reason, rows in findings.dead.items()
    ]


def _and_others(findings: Findings, rows: Sequence[int]) -> str:
    return f" {count(len(rows) - 1, 'other')} of {len(findings.curves)} too." if len(rows) > 1 else ""


def _of(rows: Sequence[int], all_rows: Any) -> str:
    return f"{len(rows)} of {count(len(all_rows), 'trial')}"


def _named(findings: Findings, rows: Sequence[int]) -> str:
    named = ", ".join(str(findings.trial(row)) for row in rows[:_MOST_NAMED])
    more = f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else ""
    return f"({'Trial' if len(rows) == 1 else 'Trials'} {named}{more}.)"
