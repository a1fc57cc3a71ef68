"""Findings in plain sentences, each with its evidence; what cannot be told is said, too."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kerasgrid.report.curves import FEWEST_EPOCHS
from kerasgrid.report.edges import FEWEST_BEST, Edge
from kerasgrid.report.effects import MOST_LEVELS, Conditional, Effect, Interaction
from kerasgrid.report.findings import Findings
from kerasgrid.report.label_scores import LabelMistakes
from kerasgrid.report.residuals import TargetResiduals
from kerasgrid.views.leaderboard import first_values_sentences
from kerasgrid.wording import count, joined, number_word, percent, score_word, shortened, value_word

_MOST_DIGITS = 12
_ROUNDING = 1e-9
"""Of the width of an interval: so little is none."""
_MANY_FOLDS = 20
"""So many splits of a file that is not ours are likely repeats, as RepeatedKFold makes them."""
_LONGEST_VALUE = 60
_MOST_NAMED = 5
_VERDICTS = {
    "clear": ("beats", ", and ", ""),
    "often": (
        "is ahead of",
        ", and ",
        ": more often than by chance (sign test), but by how much cannot be told",
    ),
    "unclear": ("cannot be told from", ", or ", ""),
    "untested": ("is ahead of", ", and ", ": not tested"),
}
"""What is said of effects: the verb, what stands between several, and the end."""


def conclusions(findings: Findings) -> list[str]:
    """Returns all sentences, the most important first."""
    return [
        *best_sentences(findings),
        *trouble_sentences(findings),
        *ground_sentences(findings),
        *effect_sentences(findings).values(),
        *map(interaction_sentence, findings.ground.interactions),
        *map(edge_sentence, findings.ground.edges),
        *curve_sentences(findings),
    ]


def best_sentences(findings: Findings) -> list[str]:
    """Returns what is best, what cannot be told from it, what to take if time counts, and what misleads."""
    best = findings.best
    if best is None:
        return ["No trial has a score."]
    n_trials, name = len(findings.contenders), findings.trial(best.row)
    if n_trials == 1:
        return [f"Trial {name} is the only one with a score."]
    scored = "" if n_trials == len(findings.table.rows) else " with a score"
    found = [f"Trial {name} is the best of {count(n_trials, 'trial')}{scored}.", *_level_sentences(findings)]
    taken = findings.pick
    if taken is not None and taken.row != best.row and taken.fit_time is not None and best.fit_time:
        saved = round(100 * (1 - taken.fit_time / best.fit_time))
        found.append(
            f"If time counts, take trial {findings.trial(taken.row)}: within one standard error of the best, "
            f"in {saved}% less time."
        )
    if findings.debiased is not None:
        found += first_values_sentences(findings.table.rows, findings.table.direction)
    return found


def ground_sentences(findings: Findings) -> list[str]:
    """Returns by which statistics parameters are judged, where those of the scores had not warmed up."""
    if findings.debiased is None:
        return []
    return [
        "Parameters are judged by debiased statistics here: scores by Keras's tell how many steps "
        "BatchNormalization has had, which batch_size and epochs make, as well as how good a candidate is."
    ]


def _level_sentences(findings: Findings) -> Iterator[str]:
    """Yields how many cannot be told from the best, or why that is not known."""
    compared = [one for one in findings.contenders if one.p_value is not None]
    n_level, n_others = sum(one.is_level for one in compared), len(findings.contenders) - 1
    if not compared:
        yield (
            "Scores of at least two folds are needed to tell candidates apart; there are none here."
            if findings.n_folds < 2
            else "No other has scores of the same folds, so that none can be compared with it."
        )
        return
    if n_level:
        yield (
            f"{n_level:,} of the other {len(compared):,} cannot be told from it over {findings.n_folds} "
            "folds (corrected resampled t-test, p > 0.05)."
        )
    else:
        others = "All others are" if len(compared) == n_others else f"All {len(compared):,} compared are"
        yield f"{others} clearly behind it over {findings.n_folds} folds (p <= 0.05)."
    if findings.n_folds >= _MANY_FOLDS and not findings.table.about:
        yield (
            f"Where these {findings.n_folds} splits are repeats of fewer folds, differences look clearer "
            "than they are."
        )
    if n_left := n_others - len(compared):
        yield f"{n_left:,} more cannot be compared: they have no scores of the same folds."


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


def effect_sentences(findings: Findings) -> dict[str, str]:
    """Returns a sentence for each parameter that varies, in the order of its share of the variance.

    Where it is by debiased statistics and the scores say otherwise, that follows.
    """
    ground = findings.ground
    found = {name: _effect_sentence(ground, name) for name in ground.ranked_parameters}
    for name in findings.ranked_parameters:  # by which statistics scores are is no parameter of debiased ones
        found.setdefault(name, _effect_sentence(findings, name))
    for name in ground.ranked_parameters:
        if _verdicts(ground, name) != _verdicts(findings, name):
            found[name] += f" By the scores it would seem that {_effect_sentence(findings, name)}"
    return found


def _effect_sentence(findings: Findings, name: str) -> str:
    effects = findings.effects[name]
    return _parameter(name, effects) if effects else _unmatched(findings, name)


def _verdicts(findings: Findings, name: str) -> set[tuple[str, ...]]:
    """Returns what is told of a parameter's values, without by how much, or which is ahead by chance."""
    pairs = [(_verdict(one), [repr(one.better), repr(one.worse)]) for one in findings.effects[name]]
    return {(how, *(sorted(values) if how == "unclear" else values)) for how, values in pairs}


def _parameter(name: str, effects: Sequence[Effect]) -> str:
    groups: dict[str, dict[str, list[Effect]]] = {verdict: {} for verdict in _VERDICTS}
    for effect in effects:
        groups[_verdict(effect)].setdefault(repr(effect.better), []).append(effect)
    said = [
        f"{name} = {worded(group[0].better)} {verb} {between.join(map(_against, group))}{end}"
        for verdict, (verb, between, end) in _VERDICTS.items()
        for group in groups[verdict].values()
    ]
    return "; ".join(said) + "."


def _verdict(effect: Effect) -> str:
    if effect.is_clear or effect.is_often:
        return "clear" if effect.is_clear else "often"
    return "untested" if effect.low is None else "unclear"


def _against(effect: Effect) -> str:
    """Returns `false in 31 of 32 matched pairs, by 0.021 on average (0.015 to 0.027)`."""
    ties = f" ({count(effect.ties, 'tie')})" if effect.ties else ""
    is_aside = _verdict(effect) == "unclear"
    ahead = "ahead " if is_aside else ""
    text = f"{worded(effect.worse)} {'(' if is_aside else ''}{ahead}in {effect.wins} of "
    text += f"{count(effect.n_pairs, 'matched pair')}{ties}, by "
    return text + _amount(effect.mean, effect.low, effect.high) + (")" if is_aside else "")


def _amount(mean: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{_two_digits(mean)} on average; too few candidates for an interval"
    if not math.isfinite(high - low):
        return f"{_two_digits(mean)} on average; scores are too large for an interval"
    mean, low = (0.0 if abs(n) < _ROUNDING * (high - low) else n for n in (mean, low))
    digits = _digits((high - low) / 2, mean)
    while digits < _MOST_DIGITS and any(n and float(f"{n:.{digits}f}") == 0 for n in (mean, low)):
        digits += 1  # what is so near zero has to show on which side it is
    return f"{_fixed(mean, digits)} on average ({_fixed(low, digits)} to {_fixed(high, digits)})"


def _unmatched(findings: Findings, name: str) -> str:
    """Returns what is known of a parameter whose values are not compared over matched pairs."""
    design, shares = findings.design, findings.importance.mains if findings.importance else {}
    place = design.place(name)
    factor = design.factors[place]
    if design.has_pairs(place):
        first = f"{name}: has too many values to be compared one by one ({len(factor.given):,})"
    else:
        first = f"{name}: cannot be told over matched pairs, as no two candidates differ in it alone"
    n_best = len(design) // 10
    if name not in shares or n_best < FEWEST_BEST:
        return f"{first}."
    best = design.codes[design.best(n_best), place]
    have = best[best < len(factor.given)]
    if factor.is_numeric and len(factor) > MOST_LEVELS and 2 * len(have) > n_best:
        low, high = (worded(factor.values[int(code)]) for code in np.quantile(have, (0.1, 0.9)))
        where = f"most of the best {n_best:,} have {low} to {high}"
    else:
        counts = np.bincount(best)
        most = int(counts.argmax())
        where = f"{counts[most]:,} of the best {n_best:,} have {worded(factor.values[most])}"
    return f"{first}; it accounts for {100 * shares[name]:.0f}% of the variance, and {where}."


def interaction_sentence(found: Interaction) -> str:
    """Returns what the effect is at each value of the other parameter."""
    parts = [_conditional(found, one) for one in found.conditionals]
    start = "Overturned: " if found.overturns else ""
    return start + "; ".join(parts) + "."


def _conditional(found: Interaction, one: Conditional) -> str:
    effect = found.effect
    where = f"where {found.given} = {worded(one.value)}"
    better, worse = effect.better, effect.worse
    mean, low, high = one.mean, one.low, one.high
    if mean < 0:
        better, worse, mean, low, high = worse, better, -mean, -high, -low
    verb = "beats" if low > 0 else "cannot be told from"
    digits = _digits((high - low) / 2)
    return (
        f"{effect.name} = {worded(better)} {verb} {worded(worse)} {where} "
        f"(by {_fixed(mean, digits)}, {_fixed(low, digits)} to {_fixed(high, digits)})"
    )


def edge_sentence(edge: Edge) -> str:
    """Returns what to try beyond the edge."""
    end = "largest" if edge.is_largest else "smallest"
    first = f"The best {edge.name} is the {end} tried ({worded(edge.value)})"
    if edge.is_range:
        side, to = ("upper", "to") if edge.is_largest else ("lower", "from")
        at = f"{edge.value:.3g}" if isinstance(edge.value, float) else worded(edge.value)
        first = f"The best tenth lie at the {side} end of the {edge.name} tried ({to} {at})"
    if edge.next is None:
        return f"{first}, and there is nothing to try beyond."
    more = "larger" if edge.is_largest else "smaller"
    return f"{first}: try {more}, such as {worded(edge.next)}."


def curve_sentences(findings: Findings) -> list[str]:
    """Returns what the learning curves and folds tell."""
    found, n_curves = list(_rise_sentences(findings)), count(len(findings.curves), "trial")
    if findings.overfit:
        found.append(
            f"Overfitting in {len(findings.overfit)} of {n_curves}: the held-out loss has risen from its "
            f"lowest while the training loss fell. {_named(findings, findings.overfit)}"
        )
    ground = findings.ground
    if ground.underfit:
        found.append(
            f"Underfitting in {len(ground.underfit)} of {n_curves}: they are behind the best on their "
            f"own training rows, too (dropout, if any, was on). {_named(findings, ground.underfit)}"
        )
    if (hard := ground.hard_fold) is not None:
        found.append(
            f"Fold {hard.fold} is the hardest for {hard.n_worst} of {hard.n_trials} trials, by "
            f"{_two_digits(hard.gap)} on average. That is the data's, not the candidates'."
        )
    if ground.unstable:
        found.append(
            f"{count(len(ground.unstable), 'trial')} spread over folds thrice as much as is usual. "
            f"{_named(findings, ground.unstable)}"
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
        scaled = ", of numbers as data.target_scale has them" if findings.table.has_scaled_curves else ""
        yield f"No held-out {findings.table.metric} is recorded by epoch: the curves are of the loss{scaled}."
    elif findings.table.has_scaled_curves:
        yield "The curves are of numbers as data.target_scale has them, and not in the unit of the scores."
    if findings.table.has_own_thresholds and metric == findings.table.metric:
        yield "The curves cut labels at 0.5, and scores at search.thresholds."
    if findings.table.has_weighted_scores:
        yield "The curves count all samples the same, and scores are weighted."
    if max(lengths) < FEWEST_EPOCHS:
        yield f"Fewer than {FEWEST_EPOCHS} epochs a trial: whether more would help cannot be told."
        return
    scored = {one.row for one in findings.contenders}
    n_biased = sum(row in curves and row in scored for row in findings.biased)
    if n_biased:
        yield (
            f"Whether more epochs would help cannot be told of {n_biased} of {count(len(curves), 'trial')}: "
            "their curves rise while BatchNormalization warms up."
        )
        if n_biased == len(scored & curves.keys()):
            return
    if findings.leaders_rise is not None:
        gain = _two_digits(findings.leaders_rise)
        yield (
            f"More epochs would help the best: their mean held-out {metric} still improves by {gain} an "
            "epoch."
        )
    if findings.rising:
        first, *others = (one.row for one in findings.contenders if one.row in findings.rising)
        gain = _two_digits(findings.rising[first])
        told = f" {count(len(others), 'other')} of {len(curves)} too." if others else ""
        yield (
            f"More epochs would help trial {findings.trial(first)}: its held-out {metric} still improves by "
            f"{gain} an epoch at epoch {len(curves[first].test)}.{told}"
        )
    elif findings.leaders_rise is None:
        some = "" if min(lengths) >= FEWEST_EPOCHS else f" of {FEWEST_EPOCHS} epochs or more"
        other = "other " if n_biased else ""
        yield f"No {other}held-out curve{some} clearly improves any more at its last epoch."


def label_sentence(mistakes: LabelMistakes, best: Any) -> str:
    """Returns what the best trial gets of several labels a sample, and which it tells worst."""
    share = mistakes.n_right / max(mistakes.n_samples, 1)
    hard = [one for one in mistakes.hardest[:3] if one.f1 is not None and one.f1 < 1]
    named = joined([f"{one.name} (F1 {score_word(one.f1 or 0.0)})" for one in hard])
    return (
        f"Trial {best} tells {100 * mistakes.share_right:.2f}% of all labels rightly, and all labels of "
        f"{mistakes.n_right:,} of {mistakes.n_samples:,} held-out samples ({100 * share:.2f}%); a sample has "
        f"{mistakes.n_true:.1f} labels on average, and is said to have {mistakes.n_said:.1f}."
        + (f" Hardest to tell: {named}." if hard else "")
    )


def residual_sentences(one: TargetResiduals, trial: Any, may_be_log: bool) -> list[str]:
    """Returns how good predicted numbers are, whether they are biased, and where errors are large.

    Args:
        one: Of a target.
        trial: Whose predictions they are.
        may_be_log: Whether `target_scale: log` may be told.
    """
    r2, spread = one.r2, one.root_mean_squared_error
    share = "" if r2 is None else f"R2 {score_word(r2)}, "
    found = [
        f"Trial {trial} predicts {one.name} of {count(one.n_samples, 'held-out sample')} with {share}a mean "
        f"absolute error of {number_word(one.mean_absolute_error)} and a root mean squared error of "
        f"{number_word(spread)}; half of them are off by less than {number_word(one.median_absolute_error)}."
    ]
    if r2 is not None and r2 <= 0:
        found.append(f"That is no better than to predict the mean of {one.name} for all.")
    if (interval := one.bias_interval) is not None:
        low, high = interval
        bias, told = abs(one.bias), f"{number_word(low)} to {number_word(high)}"
        if low > 0 or high < 0:
            found.append(
                f"Predictions are too {'low' if low > 0 else 'high'} by {number_word(bias)} on average (mean "
                f"residual: {told}), which is {percent(bias / spread)} of the root mean squared error."
            )
        else:
            found.append(f"No bias is clear: the mean residual is {number_word(one.bias)} ({told}).")
    if (times := one.growth) is not None:
        log = (
            " With data.target_scale: log a net learns the ratios rather than the differences."
            if may_be_log
            else ""
        )
        found.append(
            f"Errors grow with the value: in the tenth with the largest predictions they are {times:.1f} "
            f"times as large as in the others, by their medians.{log}"
        )
    if (n := one.n_half) is not None:
        found.append(
            f"{count(n, 'sample')} of {one.n_samples:,} {'makes' if n == 1 else 'make'} half of the squared "
            "error: look at these below first."
        )
    return found


def _named(findings: Findings, rows: Sequence[int]) -> str:
    named = ", ".join(str(findings.trial(row)) for row in rows[:_MOST_NAMED])
    more = f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else ""
    return f"({'Trial' if len(rows) == 1 else 'Trials'} {named}{more}.)"


def worded(value: Any) -> str:
    """Returns a value as YAML would have it: `true`, `relu`, `0.001`; a long one is cut."""
    return shortened(value_word(value), _LONGEST_VALUE)


def _two_digits(number: float) -> str:
    rounded = float(f"{number:.2g}")
    return f"{rounded:,.0f}" if 1e3 <= abs(rounded) < 1e15 else value_word(rounded)


def _digits(half: float, number: float = 0.0) -> int:
    """Returns the decimals that show half an interval to one digit, or to two where that is 1 or 2.

    Args:
        number: Its middle, which is shown to seven digits where the interval is nothing but that.
    """
    if half <= 0 or not math.isfinite(half):
        size = math.floor(math.log10(abs(number))) if number and math.isfinite(number) else 0
        return min(max(6 - max(size, 0), 0), _MOST_DIGITS)
    place = math.floor(math.log10(half))
    return min(max(-place + (half / 10**place < 3), 0), _MOST_DIGITS)


def _fixed(number: float, digits: int) -> str:
    text = f"{number:,.{digits}f}"
    return text if text.strip("-0.") else text.removeprefix("-")
