"""Searches side by side: the table for the terminal, and the page."""

from __future__ import annotations

import re

import pytest
from searches import OURS, THEIRS, changed, results, trial

from kerasgrid.errors import ResultsError
from kerasgrid.report.beside import Beside


def test_the_table_has_a_column_for_each_search():
    lines = Beside([OURS, THEIRS]).lines()
    cells = {re.split(r"  +", line)[0]: re.split(r"  +", line)[1:] for line in lines[1:13]}
    assert lines[0].split() == ["mine", "mine-autokeras"]
    assert cells == {
        "accuracy": ["0.9750 ± 0.0010", "0.9333 ± 0.0010"],
        "accuracy of the first 50 s": ["0.9100 ± 0.0010", "0.9333 ± 0.0010"],
        "best trial": ["1", "0"],
        "its parameters": ["1,000", "1,000"],
        "its epochs a fold": ["5", "5"],
        "its fit time a fold": ["2.0 s", "2.0 s"],
        "found after": ["90 s", "30 s"],
        "complete trials": ["2", "1"],
        "fits": ["6", "6"],
        "epochs trained": ["30", "30"],
        "wall time": ["100 s", "50 s"],
        "status": ["complete", "complete"],
    }
    assert lines[-2].startswith("mine is ahead of mine-autokeras by 0.0417")


def test_what_is_not_there_is_a_dash():
    empty = results("empty", [trial(0, [], None, "running")], status="budget")
    table = {row[0]: row[1:] for row in Beside([OURS, empty]).table().rows}
    assert table["accuracy"][1] == table["found after"][1] == table["its epochs a fold"][1] == "-"
    assert "No trial is complete." in Beside([OURS, empty]).html()


def test_the_page_has_a_picture_and_says_how_they_were_run():
    page = Beside([OURS, THEIRS], ["How it was run."]).html()
    assert "How it was run." in page
    assert page.count("<svg") == 1


def test_a_name_is_shown_in_the_picture_as_it_is():
    """Not as a formula, and not left out where it begins with _."""
    picture = Beside([changed(OURS, name="_a $^$"), THEIRS]).html().partition("<svg")[2]
    assert "> _a $^$<" in picture


def test_searches_of_other_folds_are_refused():
    with pytest.raises(ResultsError, match="different folds"):
        Beside([OURS, changed(THEIRS, folds={"fingerprint": "sha256:other"})])
