"""The corrected test, the Pareto front and the one to pick."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from kerasgrid.report.comparison import Contender, front, p_value, pick


def test_the_p_value_is_the_corrected_one_of_the_paper():
    first, second = [0.90, 0.92, 0.91, 0.93, 0.92], [0.89, 0.90, 0.91, 0.90, 0.90]
    gain = np.subtract(first, second)
    t = gain.mean() / math.sqrt((1 / 5 + 1 / 4) * gain.var(ddof=1))
    assert p_value(first, second) == pytest.approx(2 * stats.t.sf(t, 4))
    assert p_value(first, second) == pytest.approx(p_value(second, first))
    assert p_value(first, second) > stats.ttest_rel(first, second).pvalue


@pytest.mark.parametrize(("second", "wanted"), [([0.9, 0.8], 1.0), ([0.8, 0.7], 0.0)])
def test_equal_differences_leave_no_doubt(second, wanted):
    assert p_value([0.9, 0.8], second) == wanted


def contenders(*pairs):
    return [Contender(row, mean, 0.02, seconds) for row, (mean, seconds) in enumerate(pairs)]


@pytest.mark.parametrize("sign", [1, -1])
def test_the_front_has_what_nothing_beats_in_both(sign):
    pairs = [(0.95, 9.0), (0.94, 3.0), (0.94, 4.0), (0.90, 1.0), (0.80, 2.0), (0.99, None)]
    found = front(contenders(*((sign * mean, seconds) for mean, seconds in pairs)), sign)
    assert [one.row for one in found] == [3, 1, 0]


def test_the_pick_is_the_quickest_within_one_standard_error():
    best, near, far = contenders((0.95, 9.0), (0.937, 3.0), (0.90, 1.0))
    assert pick([far, near, best], best, 3, 1) == near  # 0.02 / sqrt(2) = 0.014
    assert pick([far, near, best], best, 10, 1) == best
    assert pick([far, near, best], best, 1, 1) is None
    assert pick([far], Contender(0, 0.95, None, 9.0), 3, 1) is None


def test_there_is_no_pick_without_the_time_of_the_best_and_it_is_the_best_where_little_is_saved():
    best, near, little = contenders((0.95, None), (0.949, 3.0), (0.9499, 2.9))
    assert pick([little, near], best, 3, 1) is None
    best = Contender(0, 0.95, 0.02, 3.0)
    assert pick([little, near, best], best, 3, 1) == best
