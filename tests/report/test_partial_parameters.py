"""Parameters that not all candidates have, and values that never meet: conditions and unions of spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kerasgrid.report.design import NOT_SET, design_of
from kerasgrid.report.findings import analyse
from kerasgrid.report.sentences import effect_sentences
from kerasgrid.report.suggestion import advise
from kerasgrid.tables.flat import records_table


def table(rows):
    """Returns the table of rows whose `score` is theirs and whose rest is params."""
    records = [
        {"params": {name: value for name, value in row.items() if name != "score"}, "score": row["score"]}
        for row in rows
    ]
    return records_table(records, Path("mine.json"))


def found(rows):
    return analyse(table(rows))


def drawn(share_without, n=200, seed=0):
    """Random candidates whose momentum, where they have one, accounts for nine tenths of the variance."""
    numbers, rows = np.random.default_rng(seed), []
    for place in range(n):
        momentum, rate = float(numbers.uniform(0, 1)), float(numbers.uniform(0, 1))
        row = {"rate": rate, "score": 0.7 + 0.1 * rate + 0.3 * (momentum - 0.5)}
        if place >= share_without * n:
            row["momentum"] = momentum
        else:
            row["score"] = 0.7 + 0.1 * rate
        rows.append(row)
    return rows


def test_what_is_not_set_stands_after_all_numbers():
    rows = [{"m": m, "score": 0.5} for m in (0.5, 0.1, 0.9)] + [{"score": 0.4, "other": 1}]
    [factor] = [factor for factor in design_of(table(rows)).factors if factor.name == "m"]
    assert factor.values == (0.1, 0.5, 0.9, NOT_SET)
    assert factor.given == (0.1, 0.5, 0.9)
    assert factor.is_numeric


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_importance_of_a_number_that_some_do_not_have(seed):
    shares = found(drawn(0.1, seed=seed)).importance
    assert shares.mains["momentum"] > 0.6
    assert shares.mains["rate"] < 0.3
    assert max(shares.pairs.values()) < 0.15


def test_its_edge_is_found_and_its_range_is_kept():
    findings = found(drawn(0.1))
    edges = {edge.name: edge for edge in findings.edges}
    assert edges["momentum"].is_largest
    assert edges["momentum"].value < 1
    advice = advise(findings)["momentum"]
    assert advice.values == ()
    low, high = advice.bounds
    assert 0.5 < low < high
    assert NOT_SET not in advice.why
    assert NOT_SET not in " ".join(effect_sentences(findings).values())


def test_where_none_of_the_best_has_it_its_range_stays():
    rows = drawn(0.5)
    for row in rows:
        row["score"] -= 1 if "momentum" in row else 0
    advice = advise(found(rows))["momentum"]
    low, high = advice.bounds
    assert low < 0.1
    assert high > 0.9
    assert advice.why.startswith("where candidates, of which none of the best has it, lie")


def test_each_group_of_values_that_meet_has_its_best():
    rows = [
        {"optimizer": optimizer, "rate": rate, "norm": norm, "score": score + 0.01 * norm}
        for optimizer, rate, score in (
            ("SGD", 0.1, 0.8),
            ("SGD", 0.5, 0.7),
            ("Adam", 0.001, 0.9),
            ("Adam", 0.0001, 0.8),
        )
        for norm in (0, 1)
    ]
    effects = found(rows).effects["rate"]
    assert {(one.better, one.worse, one.n_pairs) for one in effects} == {(0.001, 0.0001, 2), (0.1, 0.5, 2)}
    said = effect_sentences(found(rows))["rate"]
    assert "rate = 0.001 " in said
    assert "rate = 0.1 " in said


def test_too_many_values_to_compare_are_not_said_to_have_no_pairs():
    rows = [
        {"units": units, "norm": norm, "score": 0.9 if units == 12 else 0.8}
        for units in range(1, 14)
        for norm in range(5)
    ]
    said = effect_sentences(found(rows))["units"]
    assert said.startswith("units: has too many values to be compared one by one (13)")
    assert "no two candidates" not in said


def test_the_edge_of_a_few_values_that_no_pairs_compare():
    numbers, rows = np.random.default_rng(0), []
    for _ in range(100):
        units = int(numbers.choice([16, 32, 64, 128, 256]))
        rows.append({"units": units, "rate": float(numbers.uniform()), "score": 0.5 + units / 1000})
    findings = found(rows)
    [edge] = findings.edges
    assert (edge.name, edge.value, edge.next) == ("units", 256, 512)
    advice = advise(findings)["units"]
    assert advice.values == (16, 32, 64, 128, 256, 512)
    assert advice.why == "the best lie at the edge: 16, 32, 64, 128, 256 tried"
    for row in rows:
        row["score"] = float(numbers.uniform())
    assert not [edge for edge in found(rows).edges if edge.name == "units"]


def test_fits_that_took_no_time_have_no_quicker_one():
    rows = [
        {
            "params": {"norm": norm, "b": b},
            "mean_test_score": 0.8 + 0.001 * ((norm + b) % 2),
            "mean_fit_time": 0.0,
        }
        for norm in (0, 1)
        for b in range(5)
    ]
    advice = advise(analyse(records_table(rows, Path("a.json"))))
    assert "quicker" not in advice["norm"].why


def test_scores_near_the_largest_float_are_told_without_an_interval():
    rows = [{"a": a, "b": b, "score": (1 + a + 0.1 * b) * 1e300} for a in (0, 1) for b in range(6)]
    assert "scores are too large for an interval" in effect_sentences(found(rows))["a"]


def test_fewer_of_the_best_than_of_all_are_no_edge():
    """19 of 20 candidates have the largest value, and of the best tenth only 6 of 10."""
    rows = [{"units": 64, "rate": n / 1000, "score": 0.5 if n >= 6 else 0.9} for n in range(95)]
    rows += [{"units": 32, "rate": 1 + n / 1000, "score": 0.9 if n < 4 else 0.5} for n in range(5)]
    assert not [edge for edge in found(rows).edges if edge.name == "units"]


@pytest.mark.parametrize("sign", [1, -1])
def test_ties_of_a_range_favour_neither_end(sign):
    """A third of the candidates lie at an end, the best among them: no tenth of what was tried is theirs."""
    ends = [0] * 34 if sign < 0 else [200] * 34
    rows = [
        {"units": units, "rate": n / 1000, "score": 0.9 if n < 10 else 0.5}
        for n, units in enumerate([*ends, *range(50, 116)])
    ]
    assert not [edge for edge in found(rows).edges if edge.name == "units"]
