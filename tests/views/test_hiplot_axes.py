import json

import pytest

from kerasgrid.views.hiplot import param_axis, safe_names, safe_text, score_axis


def drawn(values, **options):
    axis = param_axis(values, **options)
    return axis.type, [axis.convert(value) for value in values]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("relu", "relu"),
        ("</script><script>alert(1)</script>", "‹/script›‹script›alert(1)‹/script›"),
        ("<img src=x onerror=alert(1)>", "‹img src=x onerror=alert(1)›"),
        ("&lt;b&gt; &#60; R&D & co;", "＆lt;b＆gt; ＆#60; R&D & co;"),
        ("two\nlines\t\x1b[0m", r"two lines \x1b[0m"),
        ("", "(empty)"),
        ("  ", "(empty)"),
        ("\ud800", r"\ud800"),
        (1.5, "1.5"),
        (None, "null"),
        ([64, "<b>"], '[64, "‹b›"]'),
        ({"a": [1]}, '{"a": [1]}'),
    ],
)
def test_safe_text(value, text):
    assert safe_text(value) == text


def test_long_texts_are_cut_and_stay_different():
    texts = {safe_text("x" * 500 + str(number)) for number in range(3000)}
    assert len(texts) == 3000
    assert {len(text) for text in texts} == {80}
    assert all(text.startswith("x" * 66 + "… ") for text in texts)
    assert safe_text("x" * 500 + "<") != safe_text("x" * 500 + "‹")


def test_names_are_safe_and_different():
    names = safe_names(["a", "uid", "from_uid", "<a>", "‹a›", "", "__proto__", " a"])
    assert names == {
        "a": "a",
        "uid": "uid (2)",
        "from_uid": "from_uid (2)",
        "<a>": "‹a›",
        "‹a›": "‹a› (2)",
        "": "(no name)",
        "__proto__": "__proto__ (2)",
        " a": "a (2)",
    }


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([512, 2048, 1024] * 2, [" 512", "2048", "1024"] * 2),
        ([10, 5, 100] * 2, [" 10", "  5", "100"] * 2),
        ([15, 30] * 2, [15, 30] * 2),
        ([0.4, 0.25] * 2, [0.4, 0.25] * 2),
        ([1, 1.0, 2] * 2, [1, 1, 2] * 2),
        ([1e-7, 1e-3] * 2, ["0.0000001", "0.001"] * 2),
        ([0.5, 10] * 2, [" 0.5", "10"] * 2),
        ([1, None, 2] * 2, [1, None, 2] * 2),
    ],
)
def test_few_numbers_are_levels_in_numeric_order(values, shown):
    assert drawn(values) == ("categorical", shown)
    texts = {float(text): str(text) for text in shown if text is not None}
    assert sorted(texts.values()) == [texts[number] for number in sorted(texts)]


@pytest.mark.parametrize(
    "values",
    [
        [0.1, 0.2, 0.3],  # each only once, as a range gives them
        list(range(200)),
        [-1, 0, 1] * 2,
        [1e-30, 1e30] * 2,
    ],
)
def test_other_numbers_stay_numeric(values):
    assert drawn(values) == ("numeric", values)


def test_log_scale():
    assert drawn([1e-4, 1e-2] * 2, log=True) == ("numericlog", [1e-4, 1e-2] * 2)
    assert drawn([0, 1e-4, 1e-2], log=True)[0] == "numeric"


def test_categories():
    assert drawn(["b", None, "a<"]) == ("categorical", ["b", None, "a‹"])
    assert drawn([True, False]) == ("categorical", [True, False])
    assert drawn(["relu", 0.1, [1]]) == ("categorical", ["relu", "0.1", "[1]"])
    assert drawn([2**60, 2**60 + 1]) == ("categorical", [str(2**60), str(2**60 + 1)])


def test_gaps_among_numbers():
    assert drawn([1, float("nan"), 2, float("inf"), None]) == ("numeric", [1, None, 2, None, None])
    assert drawn([1, 2, 1, 2, float("nan")]) == ("categorical", [1, 2, 1, 2, None])
    assert drawn(["a", float("nan")]) == ("categorical", ["a", "nan"])


def test_scores_are_finite_and_short():
    axis = score_axis([0.123456789, None])
    assert axis.type == "numeric"
    assert [axis.convert(value) for value in (0.123456789, None, float("nan"), float("inf"), 95946)] == [
        0.123457,
        None,
        None,
        None,
        95946,
    ]


@pytest.mark.parametrize(
    ("values", "varies"),
    [
        ([1, 1], False),
        ([1, None], False),
        ([1, 2], True),
        ([[1], [1]], False),
        (["a", "b"], True),
        ([None], False),
    ],
)
def test_whether_a_column_varies(values, varies):
    assert param_axis(values).varies is varies


def test_all_is_json():
    values = ["a", 1, 2.5, True, None, [1], {"a": None}, 10**30, float("inf")]
    axis = param_axis(values)
    json.dumps([axis.convert(value) for value in values], allow_nan=False)
