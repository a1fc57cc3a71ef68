"""Files that are not what a competition takes, each fault with its line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasgrid.errors import DataError
from kerasgrid.records import Target
from kerasgrid.submit.checking import check, submission_faults
from kerasgrid.submit.layout import read_form

DIGITS = tuple(range(10))
SAMPLE = "ImageId,Label\n1,0\n2,0\n3,0\n"


@pytest.fixture
def faults(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def found(text, sample=SAMPLE, classes=DIGITS, kind="classes"):
        (tmp_path / "mine.csv").write_bytes(text.encode())
        if sample is not None:
            (tmp_path / "sample.csv").write_bytes(sample.encode())
        known = None if sample is None else tmp_path / "sample.csv"
        target = None if classes is None else Target(kind, classes)
        return submission_faults(tmp_path / "mine.csv", known, target)

    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ImageId,Label\n1,7\n2,2\n3,9\n", []),
        ("ImageId,Label\r\n1,7\r\n2,2\r\n3,9", []),
        ("", ["mine.csv: empty, and a header line and rows are needed."]),
        ("ImageId,Label\n", ["mine.csv: only a header and no rows."]),
        (
            "id,Label\n1,7\n",
            [
                "mine.csv, line 1: the columns are 'id', 'Label', and sample.csv has "
                "'ImageId', 'Label', in this order."
            ],
        ),
        (
            "Label,ImageId\n7,1\n",
            [
                "mine.csv, line 1: the columns are 'Label', 'ImageId', and sample.csv has "
                "'ImageId', 'Label', in this order."
            ],
        ),
        (
            "ImageId,Label\n1,7\n2\n3,9\n",
            [
                "mine.csv, line 3: 1 cell, but the header has 2.",
                *["mine.csv: id '2' is missing (sample.csv, line 3)."],
            ],
        ),
        (
            "ImageId,Label\n1,7\n2,2\n",
            ["mine.csv: 2 rows, and sample.csv has 3.", "mine.csv: id '3' is missing (sample.csv, line 4)."],
        ),
        (
            "ImageId,Label\n1,7\n1,2\n4,9\n",
            [
                "mine.csv, line 3: id '1' is there again, as in 2.",
                "mine.csv, line 4: id '4' is not in sample.csv.",
                "mine.csv: id '2' is missing (sample.csv, line 3).",
                "mine.csv: id '3' is missing (sample.csv, line 4).",
            ],
        ),
        (
            "ImageId,Label\n1,7\n3,2\n2,9\n",
            [
                "mine.csv, line 3: id '3', and here sample.csv has '2': put the rows into its order.",
                "mine.csv, line 4: id '2', and here sample.csv has '3': put the rows into its order.",
            ],
        ),
        (
            "ImageId,Label\n1,\n2,nan\n3,7.0\n",
            [
                "mine.csv, line 2, column 'Label': empty, and a value is needed.",
                "mine.csv, line 3, column 'Label': 'nan', and a value is needed.",
                "mine.csv, line 4, column 'Label': '7.0' is no class; known: 0 to 9.",
            ],
        ),
        (
            "ImageId,Label\n1,10\n2,-1\n3,x\n",
            [
                f"mine.csv, line {line}, column 'Label': '{text}' is no class; known: 0 to 9."
                for line, text in ((2, 10), (3, -1), (4, "x"))
            ],
        ),
    ],
)
def test_every_fault_is_told_with_its_line(faults, text, expected):
    assert faults(text) == expected


def test_many_faults_of_a_kind_are_counted(faults):
    rows = "".join(f"{row},x\n" for row in range(1, 101))
    sample = "ImageId,Label\n" + "".join(f"{row},0\n" for row in range(1, 101))
    found = faults("ImageId,Label\n" + rows, sample)
    assert len(found) == 6
    assert found[-1] == "... and 95 more faults of this kind: cells of column 'Label'."


@pytest.mark.parametrize(
    ("sample", "text", "classes", "options", "expected"),
    [
        (
            "id,c0,c1\na,0.5,0.5\n",
            "id,c0,c1\na,0.25,1.5\n",
            (0, 1),
            {},
            "'1.5', and a probability from 0 to 1",
        ),
        ("id,c0,c1\na,0.5,0.5\n", "id,c0,c1\na,inf,0\n", (0, 1), {}, "'inf', and a value is needed."),
        ("id,y\na,0.5\nb,0.5\n", "id,y\na,yes\nb,1\n", (0, 1), {}, "'yes', and a probability from 0 to 1"),
        ("id,a,b\n1,0,0\n", "id,a,b\n1,0,0.5\n", ("a", "b"), {"kind": "labels"}, "'0.5', and 0 or 1 is"),
        (
            "id,tags\n1,a b\n2,\n",
            "id,tags\n1,\n2,b c\n",
            ("a", "b"),
            {"kind": "labels"},
            "line 3, column 'tags': 'b c' holds something else than labels; known: 'a', 'b'.",
        ),
        (
            "id,breed\na,pug\n",
            "id,breed\na,pog\n",
            ("pug", "collie"),
            {},
            "'pog' is no class; known: 'pug', 'collie'.",
        ),
        # Of a sample that is known by no form, or without classes: columns, rows, ids, and kinds of values.
        (
            "id,x,y\na,1,0.5\n",
            "id,x,y\na,1.5,z\n",
            DIGITS,
            {},
            "column 'x': '1.5', and a whole number, as the",
        ),
        (
            "id,x,y\na,1,0.5\n",
            "id,x,y\na,1,z\n",
            DIGITS,
            {},
            "column 'y': 'z', and a number, as the sample's",
        ),
        ("id,y\na,1\nb,1\n", "id,y\na,x\nb,1\n", None, {}, "column 'y': 'x', and a whole number, as the"),
        ("id,y\na,b\n", "id,y\na,\n", None, {}, "column 'y': empty, and a value is needed."),
    ],
)
def test_by_the_kind_of_the_sample(faults, sample, text, classes, options, expected):
    (found,) = [fault for fault in faults(text, sample, classes, **options) if "column" in fault][:1]
    assert expected in found


def test_without_a_sample(faults):
    assert faults("ImageId,Label\n1,7\n2,2\n", None) == []
    assert faults("a,b\n1,\n1,3\n", None, None) == [
        "mine.csv, line 3: id '1' is there again, as in 2.",
        "mine.csv, line 2, column 'b': empty, and a value is needed.",
    ]


def test_check_raises_all_of_them(faults, tmp_path):
    faults("ImageId,Label\n1,x\n2,y\n3,0\n")
    with pytest.raises(DataError) as caught:
        check(tmp_path / "mine.csv", tmp_path / "sample.csv", Target("classes", DIGITS))
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Id,price\n1,2.5\n2,-1e3\n", []),
        ("Id,price\n1,2\n2,300000\n", []),
        (
            "Id,price\n1,cheap\n2,inf\n",
            [
                "mine.csv, line 2, column 'price': 'cheap', and a number is needed.",
                "mine.csv, line 3, column 'price': 'inf', and a value is needed.",
            ],
        ),
        (
            "Id,price\n1,1e999\n2,\n",
            [
                "mine.csv, line 2, column 'price': '1e999', and a number is needed.",
                "mine.csv, line 3, column 'price': empty, and a value is needed.",
            ],
        ),
        ("Id,price\n1,3\n", ["mine.csv: 1 row, and sample.csv has 2."]),
    ],
)
@pytest.mark.parametrize("sample", ["Id,price\n1,0\n2,0\n", "Id,price\n1,180.5\n2,190.25\n"])
def test_numbers(faults, text, sample, expected):
    found = faults(text, sample, ("price",), "numbers")
    assert found[: max(1, len(expected))] == expected


def test_numbers_without_a_sample_go_by_the_name(faults):
    assert faults("price,Id\n2.5,1\n2.5,2\n", None, ("price",), "numbers") == []
    (fault,) = faults("price,Id\n2.5,1\nx,2\n", None, ("price",), "numbers")
    assert fault == "mine.csv, line 3, column 'price': 'x', and a number is needed."


@settings(max_examples=30)  # each is put on disk for good
@given(
    n_rows=st.integers(1, 5),
    n_classes=st.integers(2, 4),
    seed=st.integers(0, 9),
    kind=st.sampled_from(["labels", "probabilities", "positive", "flags", "tags"]),
)
def test_what_a_form_writes_has_no_faults(tmp_path_factory, n_rows, n_classes, seed, kind):
    folder = tmp_path_factory.mktemp("written")
    classes = tuple(range(2 if kind == "positive" else n_classes))
    names = ["y"] if kind in ("labels", "positive", "tags") else [f"class_{label}" for label in classes]
    cell = {"labels": "0", "flags": "0", "tags": "0 1"}.get(kind, "0.5")
    rows = [["id", *names], *([f"r{row}", *[cell] * len(names)] for row in range(n_rows))]
    (folder / "sample.csv").write_text("\n".join(map(",".join, rows)))
    target = Target("labels" if kind in ("flags", "tags") else "classes", classes)
    form = read_form(folder / "sample.csv", target)
    assert form.holds == kind
    values = np.random.default_rng(seed).random((n_rows, len(classes)), np.float32)
    form.write(folder / "out.csv", None, values, classes)
    assert submission_faults(folder / "out.csv", folder / "sample.csv", target) == []
