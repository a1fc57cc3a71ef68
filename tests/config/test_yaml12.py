"""YAML 1.2: what is a number, what is a word, and what is refused."""

from __future__ import annotations

import time

import pytest

from kerasgrid.config.yaml12 import plain, read_yaml
from kerasgrid.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("1e5", 100000.0),
        (".5", 0.5),
        ("-0", 0),
        ("010", 10),
        ("0o17", 15),
        ("0x10", 16),
        ("1:30", "1:30"),
        ("off", "off"),
        ("on", "on"),
        ("no", "no"),
        ("yes", "yes"),
        ("y", "y"),
        ("tRUE", "tRUE"),
        ("True", True),
        ("false", False),
        ("~", None),
        ("null", None),
        ("", None),
        ("'1e-3'", "1e-3"),
        ("1e", "1e"),
        ("!!str 3", "3"),
        ("é\u2028x", "é\u2028x"),
        ("[1, 2.0, {b: c}]", [1, 2.0, {"b": "c"}]),
    ],
)
def test_values_are_those_of_yaml_1_2(text, value):
    found = read_yaml(f"a: {text}", "grid.yaml")[0]["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", "grid.yaml:3, a: is given twice, first in line 1."),
        ("a: {b: 1, c: 2, b: 1}", "grid.yaml:1, a.b: is given twice, first in line 1."),
        ("- {b: 1}\n- {b: 1, b: 2}", "grid.yaml:2, [1].b: is given twice, first in line 2."),
        (
            "a: 1\nb: !!python/name:os.system",
            "grid.yaml:2, b: has the tag tag:yaml.org,2002:python/name:os.system. ",
        ),
        ("a: !mine 3", "grid.yaml:1, a: has the tag !mine. Only plain YAML 1.2 values hold."),
        ("a: !!binary aGk=", "grid.yaml:1, a: has the tag tag:yaml.org,2002:binary. "),
        ("a: 2026-11-30", "grid.yaml:1, a: is 2026-11-30, a date: put it in quotes."),
        ("a: =", "grid.yaml:1, a: is =, a sign with a meaning of its own: put it in quotes."),
        ("a: <<", "grid.yaml:1, a: is <<, a sign with a meaning of its own: put it in quotes."),
        ("a: 1_000", "grid.yaml:1, a: is 1_000, a number in YAML 1.1 alone: write it in plain digits"),
        ("a: 0b11", "grid.yaml:1, a: is 0b11, a number in YAML 1.1 alone"),
        ("a: .inf", "grid.yaml:1, a: is inf; only finite numbers hold."),
        ("a: [1, .nan]", "grid.yaml:1, a[1]: is nan; only finite numbers hold."),
        ("a: 1e999", "grid.yaml:1, a: is inf; only finite numbers hold."),
        ("a: 9223372036854775808", "grid.yaml:1, a: is a whole number beyond 64 bits."),
        ("a: " + "9" * 5000, "grid.yaml:1, a: is a number of 5,000 characters; at most 40 hold."),
        ("a: 0x" + "f" * 5000, "grid.yaml:1, a: is a number of 5,002 characters; at most 40 hold."),
        ("a: 1\n2: 3", "grid.yaml:2: has the key 2; keys are words: put it in quotes."),
        ("a: {true: 3}", "grid.yaml:1, a: has the key true; keys are words: put it in quotes."),
        ("a: 1\n? [b]\n: 3", "grid.yaml:2: has a key that is no plain word."),
        ('a: "\\ud800"', "grid.yaml:1, a: holds characters that are no text (a surrogate or NUL)."),
        ('a: "x\\0y"', "grid.yaml:1, a: holds characters that are no text (a surrogate or NUL)."),
        ('"\\ud800": 1', r"grid.yaml:1: has the key '\ud800', which holds characters that are no text"),
        ("a: 1\nb: \0", "grid.yaml:2: holds the character U+0000, which YAML does not allow."),
        ("a: \ud800", "grid.yaml:1: holds the character U+D800, which YAML does not allow."),
        ("a: 1\n---\nb: 1", "grid.yaml:2: is not YAML: expected a single document in the stream, but found"),
        ("%YAML 1.1\n---\na: yes", "grid.yaml: asks for YAML 1.1; only 1.2 holds: remove that line."),
        ("# c\n%YAML 1.3\n---\na: 1", "grid.yaml: asks for YAML 1.3; only 1.2 holds: remove that line."),
        ("a: 1\n...\n%YAML 1.3\n---\nb: 1", "grid.yaml: is not YAML: version minor part can only be 2 or 1"),
        ("a: [1", "grid.yaml:1: is not YAML: expected ',' or ']', but got '<stream end>'."),
        ("a: 1\n\tb: 2", "grid.yaml:2: is not YAML: found character '\\t' that cannot start any token."),
        ("a: b: c", "grid.yaml:1: is not YAML: mapping values are not allowed here."),
        ("a: *b", "grid.yaml:1: is not YAML: found undefined alias 'b'."),
        ("a: !!int x", "grid.yaml: is not YAML: invalid literal for int() with base 10: 'x'."),
        ("a: &a [*a]", "grid.yaml: expands to more than 40 levels; are aliases repeated in aliases?"),
        ("a: " + "[" * 60 + "]" * 60, "grid.yaml: expands to more than 40 levels"),
        ("a: " + "[" * 900, "grid.yaml: is nested more than 40 levels deep."),
        ("x" * (1 << 18) + "y", "grid.yaml: has 262,145 characters; at most 262,144 hold."),
    ],
)
def test_what_is_refused_and_in_which_words(text, message):
    with pytest.raises(ConfigError) as caught:
        read_yaml(text, "grid.yaml")
    assert str(caught.value).startswith(message)


def test_a_bomb_of_aliases_is_refused_before_it_goes_off():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"expands to more than 100,000 values or 4 MiB; are aliases"):
        read_yaml("\n".join(levels), "grid.yaml")
    assert time.monotonic() - began < 30


def test_a_bomb_of_long_words_is_refused():
    text = f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]"
    with pytest.raises(ConfigError, match="expands to more than 100,000 values or 4 MiB"):
        read_yaml(text, "grid.yaml")


def test_the_faults_of_a_document_come_together():
    with pytest.raises(ConfigError) as caught:
        read_yaml("a: {c: 1, c: 2}\nd: 2026-01-01\n1: 3\ne: !x y", "grid.yaml")
    assert [(fault.path, fault.line) for fault in caught.value.faults] == [
        ("a.c", 1),
        ("d", 2),
        ("", 3),
        ("e", 4),
    ]


def test_lines_of_key_paths():
    _, lines = read_yaml("# c\nsearch:\n  folds: 3\nspace:\n  - {a: [1]}\n  - b:\n    - 2\n", "grid.yaml")
    wanted = {
        "search": 2,
        "search.folds": 3,
        "space": 4,
        "space[0].a": 5,
        "space[1].b": 6,
        "space[1].b[0]": 7,
    }
    assert {path: lines[path] for path in wanted} == wanted


def test_aliases_and_merges_are_plain_copies():
    value, _ = read_yaml("a: &a {x: [1]}\nb: *a\nc: {<<: *a, y: 2}", "grid.yaml")
    assert value == {"a": {"x": [1]}, "b": {"x": [1]}, "c": {"x": [1], "y": 2}}
    value["a"]["x"].append(2)
    assert value["b"] == {"x": [1]}


def test_plain_takes_numpy_and_tuples_from_python():
    import numpy as np

    faults = []
    value = plain({"a": np.float32(0.5), "b": (np.int64(3), np.arange(2)), "c": np.bool_(True)}, "", faults)
    assert (value, faults) == ({"a": 0.5, "b": [3, [0, 1]], "c": True}, [])


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ({"a": object()}, "a", "is an object; a number, text, list or mapping holds."),
        ({"a": {3: 1}}, "a", "has the key 3; keys are words: put it in quotes."),
        ({"a": [{1, 2}]}, "a[0]", "is a set, which has no order; a list holds."),
        ({"a": float("nan")}, "a", "is nan; only finite numbers hold."),
        ({"a": 1 << 20_000}, "a", "is a whole number beyond 64 bits."),
        (
            {"\ud800": 1},
            "",
            r"has the key '\ud800', which holds characters that are no text (a surrogate or NUL).",
        ),
        ({"a": b"x"}, "a", "is a bytes; a number, text, list or mapping holds."),
    ],
)
def test_plain_says_what_cannot_be_kept(value, path, message):
    faults = []
    plain(value, "", faults)
    assert [(fault.path, fault.message) for fault in faults] == [(path, message)]
