"""Scored trials as an experiment's design: which level of each parameter each candidate has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kerasgrid.io import strict
from kerasgrid.space.dimensions import value_text
from kerasgrid.tables.table import Table, finite

NOT_SET = "(not set)"
"""The level of a candidate that does not have the parameter."""


@dataclass(frozen=True)
class Factor:
    """A parameter that varies.

    Attributes:
        name: As in the results.
        values: Its different values: numbers from small to large, all else as they first appear.
        is_numeric: Whether all values are numbers, true and false not among them, but for NOT_SET, which is
            then the last.
        is_log: Whether it is meant on a logarithmic scale.
    """

    name: str
    values: tuple[Any, ...]
    is_numeric: bool
    is_log: bool = False

    def __len__(self) -> int:
        return len(self.values)

    @property
    def given(self) -> tuple[Any, ...]:
        """Its values without NOT_SET."""
        return tuple(value for value in self.values if value != NOT_SET)

    def level(self, value: Any) -> int:
        """Returns the index of one of its values; true is not 1."""
        return list(map(level_key, self.values)).index(level_key(value))

    def tidy(self, number: float, step: float) -> float:
        """Returns a number as its values are: whole where they are, else to two digits.

        They are those of the number or of its step from the next value, whichever are finer.
        """
        if all(isinstance(value, int) for value in self.given):
            return round(number)
        least = min((abs(size) for size in (number, step) if size), default=1.0)
        return round(number, 1 - math.floor(math.log10(least)))


@dataclass(frozen=True)
class Design:
    """Candidates that have a score. Candidates equal in all parameters are one, their scores averaged.

    Attributes:
        codes: (candidate, factor) int64, indices into each factor's values.
        scores: (candidate,) float64, as they were measured.
        sign: 1 where a larger score is better, -1 where a smaller one is.
        fold_scores: (candidate, fold) float64; None where they have no scores of the same two folds or more.
    """

    factors: tuple[Factor, ...]
    codes: np.ndarray
    scores: np.ndarray
    sign: int
    fold_scores: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    @cached_property
    def is_full(self) -> bool:
        """Whether every combination of values has a score."""
        return len(self) == math.prod(map(len, self.factors))

    def best(self, n_best: int) -> np.ndarray:
        """Returns the indices of the best candidates, the best first; of equal scores the earlier."""
        return np.argsort(-self.sign * self.scores, kind="stable")[:n_best]

    def place(self, name: str) -> int:
        """Returns the index of a factor."""
        return [factor.name for factor in self.factors].index(name)

    def has_pairs(self, place: int) -> bool:
        """Says whether any two candidates differ in one factor alone."""
        return len(np.unique(np.delete(self.codes, place, axis=1), axis=0)) < len(self)


def design_of(table: Table) -> Design:
    """Returns the design of a table's complete trials; it may be empty."""
    objective = table.scores[0]
    rows = [table.rows[place] for place in table.scored]
    factors, columns = [], []
    for name in table.params:
        factor, codes = _factor(name, [row.get(name, NOT_SET) for row in rows], name in table.log_params)
        if len(factor) > 1:
            factors.append(factor)
            columns.append(codes)
    scores = np.array([row[objective] for row in rows], dtype=float)
    if not factors:
        return Design((), np.zeros((min(len(rows), 1), 0), int), scores[:1], table.sign)
    codes, place, counts = np.unique(
        np.stack(columns, axis=1), axis=0, return_inverse=True, return_counts=True
    )
    by_fold = fold_scores_of(table, table.scored)
    fold_scores = None if by_fold is None else _means(by_fold, place.ravel(), counts)
    return Design(tuple(factors), codes, _means(scores, place.ravel(), counts), table.sign, fold_scores)


def fold_scores_of(table: Table, places: Sequence[int]) -> np.ndarray | None:
    """Returns (trial, fold) scores of some trials; None where they have not the same two folds or more."""
    found = [table.fold_scores[place] for place in places] if table.fold_scores else []
    if len({len(own) for own in found}) != 1 or len(found[0]) < 2 or any(None in own for own in found):
        return None
    return np.array(found)


def _means(values: np.ndarray, place: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the mean of a column, or of each of several, over the rows of each candidate."""
    sums = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums / counts.reshape(-1, *[1] * (values.ndim - 1))


def level_key(value: Any) -> str:
    """Returns a text that is the same for equal values: 1 and 1.0, not 1 and true."""
    return value_text(strict(value))


def _factor(name: str, values: Sequence[Any], is_log: bool) -> tuple[Factor, np.ndarray]:
    """Returns a parameter's factor, and the level of each candidate."""
    given = [value for value in values if value != NOT_SET]
    numeric = bool(given) and all(finite(value) is not None for value in given)
    keys: list[Any]
    if numeric:
        keys = [math.inf if value == NOT_SET else float(value) for value in values]
    else:
        keys = [level_key(value) for value in values]
    first = dict(zip(reversed(keys), reversed(values), strict=True))
    ordered = sorted(first) if numeric else list(dict.fromkeys(keys))
    places = {key: place for place, key in enumerate(ordered)}
    factor = Factor(name, tuple(first[key] for key in ordered), numeric, is_log)
    return factor, np.array([places[key] for key in keys], dtype=int)
