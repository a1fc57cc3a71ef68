"""Rows of tables as vectors: widths that all folds share, what is learnt from which rows, plain states."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasgrid.data.encoding import Encoder, n_categories, width
from kerasgrid.records import Column, Table

NAN = np.nan
DAY = (np.datetime64("2024-02-29") - np.datetime64("1970-01-01")).astype(int)
TABLE = Table(
    (
        Column("kind", "categorical", ("a", "b", "c")),
        Column("area", "numeric"),
        Column("sold", "date", has_blanks=True, has_times=True),
        Column("rooms", "numeric", has_blanks=True),
        Column("place", "categorical", ("x", "y")),
    )
)
VALUES = np.array(
    [
        [0, 10, DAY + 0.5, 3, 1],
        [1, 20, DAY, NAN, 1],
        [NAN, 30, NAN, 5, 1],
        [2, 1e6, DAY + 9000, -7, 0],
    ]
)
TRAIN = np.array([0, 1, 2])


def test_the_vector():
    vectors = Encoder.fit(TABLE, VALUES, TRAIN, codes=False)(VALUES)
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, width(TABLE, codes=False)) == (4, 2 + 6 + 2 + 5)
    spread = np.std([10, 20, 30])
    np.testing.assert_allclose(vectors[:3, 0], (np.array([10, 20, 30]) - 20) / spread, rtol=1e-6)
    np.testing.assert_allclose(vectors[:3, 1], (np.array([3, 4, 5]) - 4) / np.std([3, 4, 5]), rtol=1e-6)
    assert vectors[:, 8:10].tolist() == [[0, 0], [0, 1], [1, 0], [0, 0]]  # the date's blank, the rooms'
    assert vectors[:, 10:].tolist() == [
        [1, 0, 0, 0, 1],
        [0, 1, 0, 0, 1],
        [0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0],  # neither was seen in the rows that were learnt from
    ]


def test_codes_come_last_and_are_not_scaled():
    vectors = Encoder.fit(TABLE, VALUES, TRAIN, codes=True)(VALUES)
    assert vectors.shape == (4, width(TABLE, codes=True)) == (4, 2 + 6 + 2 + 2)
    assert vectors[:, 10:].tolist() == [[1, 2], [2, 2], [0, 2], [0, 0]]
    assert n_categories(TABLE) == [4, 3]


def test_a_date_becomes_numbers():
    table = Table((Column("sold", "date", has_times=True),))
    days = np.array([[DAY + 0.75], [-0.25], [0.0]])
    fitted = Encoder.fit(table, days, np.arange(3), codes=False)
    mean, std = (np.array(fitted.scales["date"][name]) for name in ("mean_", "scale_"))
    parts = fitted(days) * std + mean
    expected = [[DAY + 0.75, 2024, 2, 29, 3, 18], [-0.25, 1969, 12, 31, 2, 18], [0, 1970, 1, 1, 3, 0]]
    np.testing.assert_allclose(parts, expected, atol=1e-2)


@pytest.mark.parametrize("scaler", ["standard", "quantile", "none"])
def test_what_becomes_of_numbers(scaler):
    table = Table((Column("a", "numeric"), Column("same", "numeric")), scaler)
    values = np.stack([np.exp(np.random.RandomState(0).randn(500)), np.full(500, 7.0)], axis=1)
    vectors = Encoder.fit(table, values, np.arange(500), codes=False)(values)
    assert np.isfinite(vectors).all()
    if scaler == "none":
        np.testing.assert_array_equal(vectors, values.astype(np.float32))
    else:
        np.testing.assert_allclose(vectors[:, 0].mean(), 0, atol=0.05)
        np.testing.assert_allclose(vectors[:, 0].std(), 1, atol=0.1)
    if scaler == "standard":
        assert not vectors[:, 1].any()  # a constant column has std 1
    if scaler == "quantile":
        assert abs(np.median(vectors[:, 0])) < 0.05


def test_a_column_that_is_blank_in_all_rows_that_are_learnt_from():
    table = Table((Column("a", "numeric", has_blanks=True), Column("when", "date", has_blanks=True)))
    values = np.array([[NAN, NAN], [NAN, NAN], [4.0, 19_000.0]])
    vectors = Encoder.fit(table, values, TRAIN[:2], codes=False)(values)
    assert vectors.shape == (3, 1 + 5 + 2)
    assert np.isfinite(vectors).all()
    assert not vectors[:2, :6].any()


@pytest.mark.parametrize("codes", [False, True])
def test_a_column_without_categories(codes):
    table = Table((Column("a", "categorical", has_blanks=True), Column("b", "categorical", ("x", "y"))))
    values = np.array([[NAN, 0], [NAN, 1]])
    vectors = Encoder.fit(table, values, TRAIN[:2], codes)(values)
    assert vectors.tolist() == ([[0, 1], [0, 2]] if codes else [[1, 0], [0, 1]])


def test_blanks_where_the_training_data_have_none_are_filled_in():
    encoder = Encoder.fit(TABLE, VALUES, TRAIN, codes=False)
    row = VALUES[1:2].copy()
    row[0, 1] = NAN  # the median of 10, 20 and 30 is that of this row
    np.testing.assert_array_equal(encoder(row), encoder(VALUES[1:2]))


def test_a_place_that_the_table_has_not_is_no_category():
    row = VALUES[:1].copy()
    row[0, 0] = 17
    for codes in (False, True):
        encoder = Encoder.fit(TABLE, VALUES, TRAIN, codes)
        np.testing.assert_array_equal(encoder(row)[0, -1], encoder(VALUES[:1])[0, -1])
        assert not encoder(row)[0, 10 : 11 if codes else 13].any()


def test_many_rows_are_taken_in_parts(monkeypatch):
    encoder = Encoder.fit(TABLE, VALUES, TRAIN, codes=False)
    whole = encoder(VALUES)
    monkeypatch.setattr("kerasgrid.data.encoding._CHUNK_VALUES", 20)
    np.testing.assert_array_equal(encoder(VALUES), whole)
    assert encoder(VALUES[:0]).shape == (0, 15)


KINDS = st.sampled_from(["numeric", "date", "categorical"])


@st.composite
def tables(draw):
    """A table, its values and two sets of rows."""
    n_rows = draw(st.integers(2, 12))
    random = np.random.RandomState(draw(st.integers(0, 2**32 - 1)))
    columns, values = [], []
    for place, kind in enumerate(draw(st.lists(KINDS, min_size=1, max_size=6))):
        has_blanks, has_times = random.rand() < 0.5, kind == "date" and random.rand() < 0.5
        categories = tuple(f"c{i}" for i in range(random.randint(1, 5))) if kind == "categorical" else ()
        if kind == "categorical":
            own = random.randint(len(categories), size=n_rows).astype(float)
        else:
            own = random.randn(n_rows) * 10.0 ** random.randint(-5, 6)
            own = np.clip(own if has_times or kind == "numeric" else np.rint(own), -1e5, 1e5)
        if has_blanks:
            own[random.rand(n_rows) < 0.4] = NAN
        values.append(own)
        columns.append(Column(f"column {place}", kind, categories, bool(has_blanks), bool(has_times)))
    scaler = draw(st.sampled_from(["standard", "quantile", "none"]))
    parts = [np.sort(random.choice(n_rows, random.randint(1, n_rows), replace=False)) for _ in range(2)]
    return Table(tuple(columns), scaler), np.stack(values, axis=1), parts


@given(tables(), st.booleans())
def test_properties(case, codes):
    table, values, (train, other) = case
    first, second = (Encoder.fit(table, values, rows, codes) for rows in (train, other))
    vectors = first(values)
    assert vectors.shape == second(values).shape == (len(values), width(table, codes))
    assert np.isfinite(vectors).all()

    # Rows that are not learnt from change nothing of what is learnt.
    changed = values.copy()
    held_out = np.setdiff1d(np.arange(len(values)), train)
    changed[held_out] = np.where(np.isnan(changed[held_out]), 1, NAN)
    assert Encoder.fit(table, changed, train, codes).state() == first.state()

    again = Encoder.of_state(json.loads(json.dumps(first.state())))
    assert again == first
    np.testing.assert_array_equal(again(values), vectors)

    n_codes = len(n_categories(table))
    if codes and n_codes:
        own = vectors[:, -n_codes:]
        assert set(own.ravel()) <= set(range(max(n_categories(table))))
        assert (own < n_categories(table)).all()
