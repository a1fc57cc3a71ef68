"""All that a table of trials tells, with its evidence, and as plain values of strict JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from kerasgrid.io import strict
from kerasgrid.report.comparison import (
    Contender,
    HardFold,
    contenders_of,
    fold_matrix,
    front,
    hard_fold,
    pick,
    unstable,
)
from kerasgrid.report.curves import (
    FEWEST_EPOCHS,
    Curves,
    curves_of,
    is_overfit,
    is_underfit,
    rise,
    rise_of_best,
)
from kerasgrid.report.design import Design, design_of
from kerasgrid.report.edges import Edge, edges_of
from kerasgrid.report.effects import Effect, Interaction, Noise, effects_of, interactions_of, noise_of
from kerasgrid.report.importance import Importance, importance_of
from kerasgrid.tables.table import DEBIASED, Table
from kerasgrid.wording import shortened

_PLACE = re.compile(r"\b(trial|fold|repeat|epoch) \d+(, |: |\b)")
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(\.\d+)?(e[-+]?\d+)?", re.IGNORECASE)
_LONGEST = 200
MOST_CURVES = 300
"""Of more trials than this, the curves of the best, the worst and an even sample of the others are read."""
_LEADERS = 3
_BY_SCORES = {"leaderboard", "noise", "effects", "interactions", "importance", "edges"}
"""What JSON tells twice where BatchNormalization had not warmed up."""


@dataclass(frozen=True)
class Findings:
    """What a search has taught.

    Attributes:
        design: Those with a score, by their levels.
        contenders: Complete trials, the best first; equal scores in the table's order.
        n_folds: Folds of the best; 0 where the file does not say.
        front: Of score and fit time, the quickest first.
        pick: The one to take if time counts.
        noise: Of a candidate's mean score.
        effects: By parameter that varies; empty where no two candidates differ in it alone.
        interactions: The clear ones.
        importance: Shares of the variance; None where it cannot be told.
        edges: Best values at the edge of what was tried, unless an interaction overturns that they are best;
            not the most epochs where the three best are overfit.
        curves: By the trial's place in the table, of all or of a sample.
        curve_metric: What `train` and `test` of the curves are of: the objective, or `loss` where histories
            do not have that of held-out rows. They are not measured as scores are where the table has scaled
            curves or weighted scores.
        rising: Places of trials whose held-out curve still rises at the end, and by how much an epoch;
            half as many epochs again would gain more than the noise.
        leaders_rise: By how much an epoch the mean curve of the three best does; None where not clearly, or
            where all of them are overfit.
        overfit: Places of trials that fit their training rows too closely.
        underfit: Places of trials that do not fit even those.
        unstable: Places of trials whose folds differ far more than others' do.
        hard_fold: A fold that is harder than the others.
        unscored: Places of complete trials that have no score, or none that is a number.
        failed: Places of failed trials by reason.
        dead: Places of trials whose nets learnt nothing, by reason.
        biased: Places of trials scored by Keras's statistics of BatchNormalization, which had not warmed up.
            Their curves rise with those, so that they are not among `rising`.
        debiased: The same by debiased statistics, where there are such trials; curves tell there no rise.
    """

    table: Table
    design: Design
    contenders: tuple[Contender, ...]
    n_folds: int
    front: tuple[Contender, ...]
    pick: Contender | None
    noise: Noise | None
    effects: Mapping[str, tuple[Effect, ...]]
    interactions: tuple[Interaction, ...]
    importance: Importance | None
    edges: tuple[Edge, ...]
    curves: Mapping[int, Curves]
    curve_metric: str
    rising: Mapping[int, float]
    leaders_rise: float | None
    overfit: tuple[int, ...]
    underfit: tuple[int, ...]
    unstable: tuple[int, ...]
    hard_fold: HardFold | None
    unscored: tuple[int, ...]
    failed: Mapping[str, tuple[int, ...]]
    dead: Mapping[str, tuple[int, ...]]
    biased: tuple[int, ...] = ()
    debiased: Findings | None = None

    @property
    def ground(self) -> Findings:
        """What parameters are judged by: scores that do not tell how far BatchNormalization has warmed up."""
        return self.debiased or self

    @property
    def best(self) -> Contender | None:
        """The best complete trial."""
        return self.contenders[0] if self.contenders else None

    @property
    def sign(self) -> int:
        """1 where a larger score is better, -1 where a smaller one is."""
        return self.design.sign

    @property
    def ranked_parameters(self) -> list[str]:
        """The parameters that vary, by their shares of the variance, the largest first."""
        shares = self.importance.mains if self.importance else {}
        return sorted(self.effects, key=lambda name: -shares.get(name, 0.0))

    def trial(self, row: int) -> Any:
        """Returns what a trial is called: its id, or its place where it has none."""
        return self.table.trial(row)


def analyse(table: Table) -> Findings:
    """Returns what a table of trials tells; all of it is empty where no trial has a score."""
    design = design_of(table)
    sign, noise = design.sign, noise_of(design)
    contenders, n_folds = contenders_of(table)
    by_name = {
        factor.name: tuple(effects_of(design, place, noise)) for place, factor in enumerate(design.factors)
    }
    effects = [effect for found in by_name.values() for effect in found]
    interactions = interactions_of(design, effects, noise)
    overturned = {found.effect.name for found in interactions if found.overturns}
    on_front = front(contenders, sign)
    (curves, metric), by_fold = _curves(table, contenders), fold_matrix(table, contenders)
    rows, scored = list(enumerate(table.rows)), set(table.scored)
    best = contenders[0] if contenders else None
    spread = noise.sigma if noise else (best.std or 0.0) if best else 0.0
    is_objective = metric == table.metric
    is_as_scored = is_objective and not table.has_scaled_curves and not table.has_weighted_scores
    is_as_scored = is_as_scored and not table.has_own_thresholds
    better = sign if is_objective else -1
    least = spread if is_as_scored else 0.0  # the noise of a loss is not known
    n_curves = sum(len(found.test) >= FEWEST_EPOCHS for found in curves.values())
    leaders = [curves[one.row] for one in contenders[:_LEADERS] if one.row in curves]
    overfit = tuple(row for row, found in curves.items() if is_overfit(found))
    biased = tuple(row for row in sorted(scored) if table.about and DEBIASED in table.rows[row])
    is_long = bool(leaders) and all(found.row in overfit for found in leaders)  # more epochs would do harm
    return Findings(
        table=table,
        design=design,
        contenders=contenders,
        n_folds=n_folds,
        front=tuple(on_front),
        pick=pick(on_front, best, n_folds, sign) if best else None,
        noise=noise,
        effects=by_name,
        interactions=tuple(interactions),
        importance=importance_of(design),
        edges=tuple(
            edge
            for edge in edges_of(design, effects)
            if edge.name not in overturned and not (is_long and edge.name == "epochs" and edge.is_largest)
        ),
        curves=curves,
        curve_metric=metric,
        rising={
            row: gain
            for row, found in curves.items()
            if row in scored
            and row not in biased
            and (gain := rise(found.test, better, least, n_curves)) is not None
        },
        leaders_rise=None
        if is_long or any(found.row in biased for found in leaders)
        else rise_of_best(leaders, better, least),
        overfit=overfit,
        underfit=tuple(
            row
            for row, found in curves.items()
            if best and is_as_scored and row in scored and is_underfit(found, best.mean, 2 * spread, sign)
        ),
        unstable=unstable(*by_fold) if by_fold else (),
        hard_fold=hard_fold(by_fold[1] * sign) if by_fold else None,
        unscored=tuple(
            row for row, given in rows if given.get("state", "complete") == "complete" and row not in scored
        ),
        failed=by_reason({row: given.get("error") for row, given in rows if given.get("state") == "failed"}),
        dead=by_reason({row: given["dead"] for row, given in rows if given.get("dead")}),
        biased=biased,
        debiased=None if table.debiased is None else analyse(table.debiased),
    )


def _curves(table: Table, contenders: tuple[Contender, ...]) -> tuple[dict[int, Curves], str]:
    """Returns the trials' curves, and the metric they are of: the loss where no other is of held-out rows."""
    rows = [row for row, histories in enumerate(table.histories) if histories]
    if len(rows) > MOST_CURVES:
        ends = [one.row for one in (*contenders[:20], *contenders[-20:]) if table.histories[one.row]]
        sample = rows[:: -(-len(rows) // (MOST_CURVES - len(ends)))]
        rows = sorted({*ends, *sample})
    read = ((row, curves_of(row, table.histories[row], table.metric)) for row in rows)
    found = {row: curves for row, curves in read if curves is not None}
    if any(len(own.test) for own in found.values()) or not any(len(own.test_loss) for own in found.values()):
        return found, table.metric
    return {row: replace(own, train=own.train_loss, test=own.test_loss) for row, own in found.items()}, "loss"


def by_reason(given: Mapping[int, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the places of trials by their reason, the most frequent first.

    Texts that differ only in numbers are one reason, with `…` where those stood; trial, fold and epoch
    are left out of it. It is a single line of bounded length, without a full stop.

    Args:
        given: What is recorded, by the trial's place in the table.
    """
    groups: dict[str, dict[int, str]] = {}
    for row, recorded in given.items():
        text = str(recorded or "no reason recorded")
        plain = _PLACE.sub("", " ".join(text.split())).rstrip(". ")
        groups.setdefault(_NUMBER.sub("…", plain), {})[row] = plain
    found: dict[str, tuple[int, ...]] = {}
    for pattern, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        reason = pattern if len(set(group.values())) > 1 else next(iter(group.values()))
        reason = shortened(reason, _LONGEST)
        found[reason] = (*found.get(reason, ()), *group)
    return found


def as_json(findings: Findings) -> dict[str, Any]:
    """Returns the findings as plain values of strict JSON; trials are named by their ids."""

    def rows(places: Iterable[int]) -> list[Any]:
        return [findings.trial(row) for row in places]

    def contender(one: Contender | None) -> dict[str, Any] | None:
        if one is None:
            return None
        given = findings.table.rows[one.row]
        params = {name: given[name] for name in findings.table.params if name in given}
        found = asdict(one)
        del found["row"]
        size = {"n_parameters": given["n_parameters"]} if "n_parameters" in given else {}
        told = {"trial": findings.trial(one.row), "params": params, **found, **size}
        return {**told, "level_with_best": one.is_level}

    importance = findings.importance
    return strict(
        {
            "source": findings.table.source,
            "objective": findings.table.scores[0],
            "direction": findings.table.direction,
            "leaderboard": [contender(one) for one in findings.contenders],
            "front": rows(one.row for one in findings.front),
            "pick": contender(findings.pick),
            "noise": findings.noise and asdict(findings.noise),
            "effects": {
                name: [{**asdict(effect), "clear": effect.is_clear} for effect in found]
                for name, found in findings.effects.items()
            },
            "interactions": [asdict(found) for found in findings.interactions],
            "importance": importance
            and {
                "exact": importance.is_exact,
                "mains": importance.mains,
                "pairs": [{"params": list(pair), "share": share} for pair, share in importance.pairs.items()],
            },
            "edges": [asdict(edge) for edge in findings.edges],
            "curve_metric": findings.curve_metric,
            "curves": {
                str(findings.trial(row)): {name: curve.tolist() for name, curve in found.recorded.items()}
                for row, found in findings.curves.items()
            },
            "rising": {str(findings.trial(row)): gain for row, gain in findings.rising.items()},
            "leaders_rise": findings.leaders_rise,
            "overfit": rows(findings.overfit),
            "underfit": rows(findings.underfit),
            "unstable": rows(findings.unstable),
            "hard_fold": findings.hard_fold and asdict(findings.hard_fold),
            "unscored": rows(findings.unscored),
            "failed": {reason: rows(places) for reason, places in findings.failed.items()},
            "dead": {reason: rows(places) for reason, places in findings.dead.items()},
            "biased": rows(findings.biased),
            "debiased": findings.debiased
            and {name: value for name, value in as_json(findings.debiased).items() if name in _BY_SCORES},
        }
    )
