"""Rows of a table as a net takes them: what scikit-learn's transformers learnt on some rows, as plain data.

A vector has, in this order: numbers; dates, as several numbers each; for each column of those that has blanks
in the training data, 1 where it is blank; then categories. Its width is of the table alone, so that all folds
share a program: what is not seen in the rows that are learnt from is zero, as a blank is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    StandardScaler,
)

from kerasgrid.records import Column, Table

_CHUNK_VALUES = 1 << 22
_N_QUANTILES = 1_000
_BLANK = -1
_SECONDS = 86_400
_PARTS = 5
"""Numbers of a date without time: days since 1970, year, month, day, weekday; with one, the hour too."""


def n_categories(table: Table) -> list[int]:
    """Returns how many codes each column of categories has: 0 for none of them, then one each."""
    return [len(column.categories) + 1 for column in table.columns if column.kind == "categorical"]


def width(table: Table, codes: bool) -> int:
    """Returns how many numbers a row becomes.

    Args:
        codes: Whether a category is one code, and not a number of 0 and 1 for each that there is.
    """
    n_numbers = 0
    for column in table.columns:
        if column.kind == "categorical":
            n_numbers += 1 if codes else len(column.categories)
        else:
            n_numbers += (1 if column.kind == "numeric" else _n_parts(column)) + column.has_blanks
    return n_numbers


@dataclass(frozen=True)
class Encoder:
    """What was learnt on some rows of a table.

    Attributes:
        codes: As in `width`.
        medians: Of each column of numbers or dates, in the table's order.
        scales: What the scaler of `numeric` and of `date` columns learnt, by the name of its attribute.
        seen: Of each column of categories the places of those that there are, sorted.
    """

    table: Table
    codes: bool
    medians: tuple[float, ...]
    scales: Mapping[str, Mapping[str, Any]]
    seen: tuple[tuple[int, ...], ...]

    @classmethod
    def fit(cls, table: Table, values: np.ndarray, rows: np.ndarray, codes: bool) -> Encoder:
        """Returns what is learnt on some rows; the others are not looked at.

        Args:
            values: (sample, column), float64, as `Dataset` has them; may be mapped from a disk.
            rows: (row,), int64, at least one.
            codes: As in `width`.
        """
        own = np.asarray(values)[rows]
        places = {kind: _places(table, kind) for kind in ("numeric", "date", "categorical")}
        full, medians = own.copy(), {}
        for kind in ("numeric", "date"):
            for place in places[kind]:  # a column at a time, in little memory
                imputer = _imputer().fit(own[:, [place]])
                full[:, [place]] = imputer.transform(own[:, [place]])
                medians[place] = float(imputer.statistics_[0])
        scales: dict[str, dict[str, Any]] = {}
        for kind in ("numeric", "date"):
            scaler = _scaler(table, kind, len(rows))
            if scaler is not None and places[kind]:
                numbers = full[:, places[kind]]
                if kind == "date":
                    numbers = _parts(numbers, _have_times(table))
                scaler.fit(numbers)
                scales[kind] = {
                    name: _plain(getattr(scaler, name)) for name in _LEARNT[type(scaler).__name__]
                }
        seen = tuple(
            tuple(int(code) for code in np.unique(column[~np.isnan(column)]))
            for column in own[:, places["categorical"]].T
        )
        return cls(table, codes, tuple(medians[place] for place in sorted(medians)), scales, seen)

    def state(self) -> dict[str, Any]:
        """Returns all of it as plain data, which JSON keeps to the bit."""
        return asdict(self)

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Encoder:
        """Returns what `state` gave, also after it was written as JSON."""
        seen = tuple(tuple(codes) for codes in state["seen"])
        return cls(Table.of(state["table"]), state["codes"], tuple(state["medians"]), state["scales"], seen)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Returns rows as vectors, (sample, width), float32.

        Args:
            values: (sample, column), float64, as `Dataset` has them; may be mapped from a disk.
        """
        result = np.empty((len(values), width(self.table, self.codes)), np.float32)
        n_rows = max(1, _CHUNK_VALUES // max(result.shape[1], 1))
        for first in range(0, len(values), n_rows):
            part = np.asarray(values[first : first + n_rows], np.float64)
            result[first : first + n_rows] = self._transformer.transform(part)
        return result

    @cached_property
    def _transformer(self) -> Any:
        """scikit-learn's ColumnTransformer, with what was learnt.

        It is fitted on a row of the medians, which are the medians of that row; scalers are as they were.
        """
        row = np.full((1, len(self.table.columns)), float(_BLANK))
        row[0, _places(self.table, "numeric", "date")] = self.medians
        return ColumnTransformer(list(self._steps()), sparse_threshold=0).fit(row)

    def _steps(self) -> Iterator[tuple[str, Any, list[int]]]:
        """Yields a name, a transformer and the columns that it takes, in the vector's order."""
        table = self.table
        if numeric := _places(table, "numeric"):
            yield "numeric", make_pipeline(_imputer(), self._learnt("numeric")), numeric
        if dates := _places(table, "date"):
            parts = FunctionTransformer(_parts, kw_args={"have_times": _have_times(table)})
            yield "date", make_pipeline(_imputer(), parts, self._learnt("date")), dates
        if blanks := [
            place for place in _places(table, "numeric", "date") if table.columns[place].has_blanks
        ]:
            yield "blank", MissingIndicator(features="all"), blanks
        known = zip(_places(table, "categorical"), n_categories(table), self.seen, strict=True)
        # Of a column without categories there are codes, 0 all of them, and no numbers of 0 and 1.
        if taken := [(place, n - 1, seen) for place, n, seen in known if self.codes or n > 1]:
            categorical, counts, seen = zip(*taken, strict=True)
            encoder = (
                OrdinalEncoder(categories=[np.arange(_BLANK, n, dtype=float) for n in counts])
                if self.codes
                else OneHotEncoder(
                    categories=[np.arange(n, dtype=float) for n in counts],
                    handle_unknown="ignore",
                    sparse_output=False,
                )
            )
            only_known = FunctionTransformer(_known, kw_args={"seen": seen})
            yield "categorical", make_pipeline(only_known, encoder), list(categorical)

    def _learnt(self, kind: str) -> Any:
        """Returns the scaler of columns of a kind, which keeps what it has learnt."""
        scaler = _scaler(self.table, kind)
        if scaler is None:
            return "passthrough"
        for name, value in self.scales[kind].items():
            setattr(scaler, name, np.asarray(value) if isinstance(value, list) else value)
        return FrozenEstimator(scaler)


_LEARNT = {
    "StandardScaler": ("mean_", "scale_", "n_features_in_"),
    "QuantileTransformer": ("quantiles_", "references_", "n_features_in_"),
}
"""What transforming needs of a scaler, of its public attributes."""


def _scaler(table: Table, kind: str, n_rows: int = _N_QUANTILES) -> Any:
    """Returns the scaler of columns of a kind, not fitted; None for numbers that stay as they are.

    Dates are always standardized: the parts of them have few values, which are no distribution.
    """
    if kind == "date" or table.scaler == "standard":
        return StandardScaler()
    if table.scaler == "none":
        return None
    n_quantiles = min(_N_QUANTILES, n_rows)
    return QuantileTransformer(n_quantiles=n_quantiles, output_distribution="normal", random_state=0)


def _imputer() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _places(table: Table, *kinds: str) -> list[int]:
    return [place for place, column in enumerate(table.columns) if column.kind in kinds]


def _have_times(table: Table) -> tuple[bool, ...]:
    return tuple(column.has_times for column in table.columns if column.kind == "date")


def _n_parts(column: Column) -> int:
    return _PARTS + column.has_times


def _parts(days: np.ndarray, have_times: Sequence[bool]) -> np.ndarray:
    """Returns the numbers that dates become, (sample, part); `days` is (sample, date) and has no blanks."""
    seconds = np.rint(days * _SECONDS).astype("datetime64[s]")
    day, month = seconds.astype("datetime64[D]"), seconds.astype("datetime64[M]")
    months, whole = month.astype(np.int64), day.astype(np.int64)
    hours = (seconds - day).astype(np.int64) / 3_600
    parts = [days, months // 12 + 1970, months % 12 + 1, (day - month).astype(np.int64) + 1, (whole + 3) % 7]
    columns = [
        part[:, place]
        for place, has_times in enumerate(have_times)
        for part in [*parts, *[hours] * has_times]
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _known(places: np.ndarray, seen: Sequence[Sequence[int]]) -> np.ndarray:
    """Returns places of categories, with -1 for one that was not seen, and for a blank."""
    return np.stack(
        [
            np.where(np.isin(own, known), own, float(_BLANK))
            for own, known in zip(places.T, seen, strict=True)
        ],
        axis=1,
    )


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value
