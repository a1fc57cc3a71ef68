"""The findings as plain values of strict JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from kerasgrid.io import strict
from kerasgrid.report.comparison import Contender
from kerasgrid.report.curves import Curves
from kerasgrid.report.findings import Findings


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
            "curves": {str(findings.trial(row)): _curves(found) for row, found in findings.curves.items()},
            "rising": {str(findings.trial(row)): gain for row, gain in findings.rising.items()},
            "leaders_rise": findings.leaders_rise,
            "overfit": rows(findings.overfit),
            "underfit": rows(findings.underfit),
            "unstable": rows(findings.unstable),
            "hard_fold": findings.hard_fold and asdict(findings.hard_fold),
            "unscored": rows(findings.unscored),
            "failed": {reason: rows(places) for reason, places in findings.failed.items()},
            "dead": {reason: rows(places) for reason, places in findings.dead.items()},
        }
    )


def _curves(found: Curves) -> dict[str, list[float]]:
    values = {"train": found.train, "test": found.test}
    values |= {"train_loss": found.train_loss, "test_loss": found.test_loss}
    return {name: own.tolist() for name, own in values.items() if len(own)}
