"""Budgets: how long a search may take, and how many epochs it may train."""

from __future__ import annotations

import threading

import pytest

from kerasgrid.config.sections import seconds_of
from kerasgrid.driver.budget import Budget


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", 7200),
        ("45min", 2700),
        ("45m", 2700),
        ("90s", 90),
        ("1h30min", 5400),
        ("1 h 30 min", 5400),
        ("0.5h", 1800),
        ("2", None),
        ("", None),
        ("h", None),
        ("2 days", None),
        ("2hours", None),
        ("0s", None),
    ],
)
def test_seconds_of(text, expected):
    assert seconds_of(text) == expected


def stops():
    calls = []
    return calls, lambda: calls.append(True)


def test_time_that_is_used_up_stops_once_and_what_earlier_sessions_took_counts():
    calls, stop = stops()
    with Budget("1h", None, 3600, {}, stop) as budget:
        assert "1h, is used up" in budget.reason
    with Budget("1h", None, 3599, {}, stop) as budget:
        assert budget.reason is None
    assert len(calls) == 1


def test_the_time_ends_while_the_session_does_something_else():
    ended = threading.Event()
    with Budget("0.05s", None, 0, {}, ended.set) as budget:
        assert ended.wait(5)
    assert "0.05s, is used up" in budget.reason


def test_epochs_of_one_run_are_counted_once():
    calls, stop = stops()
    with Budget(None, 7, 0, {"other": 2}, stop) as budget:
        for _job in ("first", "second"):  # read off one run
            for epoch in (1, 2, 3):
                budget.train("run", epoch)
        assert budget.reason is None
        budget.train("other", 3)
        assert budget.reason is None
        budget.train("another", 1)
        assert "7 epochs is used up" in budget.reason
    assert len(calls) == 1
    with Budget(None, 5, 0, {"earlier": 5}, stop) as budget:
        assert budget.reason is not None


def test_no_budget_never_ends():
    calls, stop = stops()
    with Budget(None, None, 1e9, {"earlier": 10**9}, stop) as budget:
        budget.train("run", 10**9)
    assert budget.reason is None
    assert not calls


def test_a_time_longer_than_a_timer_can_wait_is_no_limit():
    with Budget("99999999h", None, 0.0, {}, stop=lambda: None) as budget:
        assert budget._timer.is_alive()
    assert budget.reason is None
