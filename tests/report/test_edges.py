"""What to try beyond the edge: legal, and truly beyond."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from kerasgrid.report.design import Factor
from kerasgrid.report.edges import beyond
from kerasgrid.report.findings import analyse
from kerasgrid.report.sentences import edge_sentence
from kerasgrid.tables.flat import records_table


@pytest.mark.parametrize(
    ("name", "values", "is_up", "wanted"),
    [
        ("momentum", (0.9, 0.99), True, 0.995),
        ("beta_1", (0.9, 0.99), True, 0.995),
        ("momentum", tuple(np.linspace(0.8, 0.99, 20)), True, 0.995),
        ("dropout", (0.2, 0.4), False, 0.1),
        ("dropout", (0.5, 0.9), True, 0.95),
        ("dropout", (0.5, 1.0), True, None),
        ("dropout", (0.0, 0.2), False, None),
        ("weight_decay", (0.01, 0.1), True, 0.32),
        ("decay_steps", (100, 1000), True, 3162),
        ("rate", (1.01, 1.02, 1.03), True, 1.04),
        ("rate", (100.5, 101.5), True, 102.5),
        ("rate", (100.5, 101.5), False, 99.5),
        ("rate", (-2.0, -1.0), True, 0.0),
        ("rate", (0.001, 0.01), True, 0.032),
        ("rate", (1e-300, 1e300), True, None),
        ("units", (1, 2), False, None),
        ("units", (512, 2048), False, 128),
        ("units", (3, 4), True, 5),
    ],
)
def test_the_next_value_is_legal_and_beyond(name, values, is_up, wanted):
    found = beyond(Factor(name, values, True), is_up)
    assert found == wanted
    assert type(found) in (type(wanted), type(values[0]))


def random_candidates(n, score):
    numbers = np.random.default_rng(0)
    rows = [{"rate": float(numbers.uniform(0.01, 0.1)), "norm": bool(numbers.integers(2))} for _ in range(n)]
    return analyse(records_table([{**row, "mean_test_score": score(row)} for row in rows], Path("a.json")))


@pytest.mark.parametrize(
    ("sign", "said"),
    [
        (1, "The best tenth lie at the upper end of the rate tried (to 0.0997): try"),
        (-1, "The best tenth lie at the lower end of the rate tried (from 0.01"),
    ],
)
def test_of_a_range_it_is_said_where_the_best_tenth_lie(sign, said):
    [edge] = random_candidates(100, lambda row: 0.5 + sign * row["rate"]).edges
    assert edge.is_range
    assert edge_sentence(edge).startswith(said)
    assert "): try " in edge_sentence(edge)


def test_there_is_no_edge_where_an_interaction_overturns_what_is_best():
    space = {"rate": [0.001, 0.01], "norm": [True, False], "c": [0, 1, 2], "d": [0, 1]}
    rows = [dict(zip(space, values, strict=True)) for values in product(*space.values())]

    def score(row, turned):
        gain = 0.05 if row["norm"] else -turned
        return 0.9 + gain * (row["rate"] == 0.01) + 0.0005 * ((row["c"] * 5 + row["d"] * 3 + row["norm"]) % 4)

    def found(turned):
        scored = [{**row, "mean_test_score": score(row, turned)} for row in rows]
        return analyse(records_table(scored, Path("a.json")))

    assert [edge.name for edge in found(0.0).edges] == ["rate"]
    assert found(0.0).interactions
    assert found(0.02).edges == ()
