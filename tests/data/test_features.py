"""Columns of tables: what each is taken for, what its cells are, and which of them are told as faults."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kerasgrid.checks.prepared import prepare
from kerasgrid.config.sections import DataConfig, Features
from kerasgrid.data import csv_tables
from kerasgrid.data.cells import Cells, date_format
from kerasgrid.data.csv_text import CsvFile
from kerasgrid.data.in_memory import dataset_from_arrays
from kerasgrid.data.load import load_data, load_with_test
from kerasgrid.data.roles import Roles
from kerasgrid.data.sources import open_stream
from kerasgrid.errors import DataError, KerasgridError
from kerasgrid.records import Column, Table, Target

N = 60
LABELS = [n % 2 for n in range(N)]


def read_table(path, *args):
    return csv_tables.read_table(CsvFile(path), *args)


@pytest.fixture
def write(write_csv):
    """Writes columns as a CSV file."""

    def write(name="train.csv", **columns):
        n_rows = len(next(iter(columns.values())))
        return write_csv(pd.DataFrame({"label": LABELS[:n_rows], **columns}).to_csv(index=False), name)

    return write


def cycled(*cells):
    return [cells[n % len(cells)] for n in range(N)]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (cycled(1, 2.5, "NA", "-3e2"), Column("a", "numeric", has_blanks=True)),
        (cycled(0, 1), Column("a", "numeric")),
        (cycled("yes", "No", "?"), Column("a", "numeric", has_blanks=True)),
        (cycled("True", "False"), Column("a", "numeric")),
        (cycled(" 7 ", "?", "8"), Column("a", "numeric", has_blanks=True)),
        (cycled("b", " a ", "", "b", "c"), Column("a", "categorical", ("a", "b", "c"), has_blanks=True)),
        (cycled("007", "7", "x"), Column("a", "categorical", ("007", "7", "x"))),
        (cycled("1.0", "1", "x"), Column("a", "categorical", ("1", "x"))),
        (cycled("2024-02-29", "2023-01-01"), Column("a", "date")),
        (cycled("2024-02-29T12:00", "null"), Column("a", "date", has_blanks=True, has_times=True)),
        (cycled("29/02/2024", "01/03/2024"), Column("a", "date", date_format="%d/%m/%Y")),
        (cycled("1/2/2024", "3/4/2024"), Column("a", "date", date_format="%m/%d/%Y")),
        (cycled("29.2.2024 6:30", "1.3.2024 0:00"), Column("a", "date", (), False, True, "%d.%m.%Y %H:%M")),
        (cycled("Jan 3, 2024", "Feb 29, 2024"), Column("a", "date", date_format="%b %d, %Y")),
        (cycled("now", "today"), Column("a", "categorical", ("now", "today"))),
        (cycled("", 5), Column("a", "numeric", has_blanks=True)),
    ],
)
def test_guesses(write, cells, expected):
    assert read_table(write(a=cells), Roles(), Features()).table == Table((expected,))


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (cycled(""), "blank in all rows"),
        ([*range(1, 60), "x"], "numbers, but for 'x' in line 61: correct it, or leave it blank"),
        (
            ["-", "", *range(56), "n.a.", 9],
            "numbers, but for 2 cells, the first '-' in line 2: correct them, or leave them blank",
        ),
        (
            [*(f"2024-01-{n % 30 + 1:02}" for n in range(N - 1)), "2024-02-30"],
            "dates, but for '2024-02-30' in line 61: correct it, or leave it blank",
        ),
        ([f"1,{n:03}" for n in range(N)], "numbers such as '1,000': write them like 1234.5"),
        ([f"{n},5" for n in range(N)], "numbers such as '0,5': write them like 1234.5"),
        ([f"{n % 30}.5%" for n in range(N)], "numbers such as '0.5%': write them like 1234.5"),
        ([f"${n}" for n in range(N)], "numbers such as '$0': write them like 1234.5"),
        (cycled(7), "7 in all rows"),
        (cycled("x"), "'x' in all rows"),
        (range(5, 65), "the rows' numbers"),
        ([f"Mr. {n}" for n in range(N)], "another value in each row"),
        ([f"C{n % 40}" for n in range(N)], "40 values in 60 cells"),
        (
            [f"It is the {n % 30}th one of all that there are" for n in range(N)],
            "text, which is not read yet",
        ),
    ],
)
def test_what_is_left_out_is_told(write, cells, reason):
    path = write(a=cells, b=cycled(1, 3, 2))
    samples = read_table(path, Roles(), Features())
    assert [column.name for column in samples.table.columns] == ["b"]
    assert samples.report == (
        "features: 1 numeric ('b'); guessed, and data.features corrects it",
        f"left out: 'a' ({reason}); data.features takes what it names all the same",
    )
    named = read_table(path, Roles(), Features(categorical=["a"]))
    assert named.report[0].endswith("; what data.features does not name is guessed")
    assert [column.name for column in named.table.columns] == ["a", "b"]
    with pytest.raises(DataError) as caught:
        read_table(write(a=cells), Roles(), Features())
    assert (
        str(caught.value) == f"train.csv: no column is a feature: 'a' ({reason}). Name one in data.features."
    )


def test_values(write):
    path = write(
        a=cycled("yes", "no", ""), b=cycled("x", "y", "NA"), c=cycled("1970-01-02 06:00", "", "1969-12-31")
    )
    values = read_table(path, Roles(), Features()).images
    np.testing.assert_array_equal(values[:3], [[1, 0, 1.25], [0, 1, np.nan], [np.nan, np.nan, -1]])


def test_labels_and_ids_may_be_spelled_as_blanks(write_csv):
    rows = "".join(f"{n}NA,{'NA' if n % 2 else 'None'},{n % 5}\n" for n in range(N))
    samples = read_table(write_csv(f"id,label,a\n{rows}"), Roles(id="id"), Features())
    assert samples.target == Target("classes", ("NA", "None"))


@pytest.mark.parametrize(
    ("names", "options", "expected"),
    [
        ("label,p0,p1,p2,p3", {}, False),
        ("label,p0,p1,p2,p3", {"features": Features(scaler="none")}, True),
        ("label,p0,p1,p2,p3", {"drop": ["p3"]}, True),
        ("label,a,b,c,d", {}, True),
        ("label,a,b,c,d", {"image": [2, 2, 1]}, False),
        ("label,V1,V2,V3,V4,Amount", {}, True),
        ("label,f0,f1,f2,f3,f4", {}, True),
        ("label,pixel0,pixel1,pixel2", {}, False),
        ("label," + ",".join(map(str, range(64))) + ",more", {}, False),
        ("label," + ",".join(map(str, range(192))), {}, False),
        ("label," + ",".join(map(str, range(193))), {}, True),
        ("label", {}, False),
    ],
)
def test_which_files_are_tables(write_csv, names, options, expected):
    assert csv_tables.is_table(CsvFile(write_csv(names + "\n")), DataConfig(**options), Roles()) is expected


def test_a_format_that_is_guessed_is_that_of_other_rows(write):
    data = load_data(DataConfig(train=str(write(a=cycled("3/4/2024", "25/4/2024")))))
    write("test.csv", a=cycled("3/4/2024", "4/4/2024"))
    stream = open_stream("test.csv", (1,), DataConfig(train="train.csv"), table=data.table)
    found = next(stream.batches(2)).images
    assert (found[1] - found[0]).tolist() == [1]


def test_other_rows_have_columns_in_any_order_and_unknown_categories(write_csv, write):
    data = load_data(DataConfig(train=str(write(a=cycled("x", "y"), b=cycled(1, 2, 4)))))
    write_csv("id,b,a\n7,,z\n8,5,\n9,6,y\n", "test.csv")
    section = DataConfig(train="train.csv", id="id")
    (chunk,) = open_stream("test.csv", (2,), section, table=data.table).batches(9)
    np.testing.assert_array_equal(chunk.images, [[-1, np.nan], [np.nan, 5], [1, 6]])
    assert (chunk.ids, chunk.labels) == (["7", "8", "9"], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,b\n1,2\n", "test.csv, line 1: lacks 'a', which the training data have as features."),
        ("id,a,b,c,d\n1,x,2,3,4\n", "test.csv, line 1: 'c', 'd' are no columns of the training data."),
        (
            "id,a,c\n1,x,2\n",
            "test.csv, line 1: lacks 'b', which the training data have as features. Columns: a, c, id.\n"
            "test.csv, line 1: 'c' is no column of the training data. Leave out what is none, or name",
        ),
        (
            "id,a,b\n1,x,2\n\n1,x,two\n",
            "test.csv, line 4, column 'b': 'two' is no number that float32 holds. Corr",
        ),
        ("id,a,b\n1,x\n", "test.csv, line 2: 2 cells, but the header has 3 columns."),
        ("id,a,b,b\n1,x,2,2\n", "test.csv, line 1: 2 columns are named 'b'."),
    ],
)
def test_faults_of_other_rows(write_csv, write, text, message):
    data = load_data(DataConfig(train=str(write(a=cycled("x", "y"), b=cycled(1, 2, 4)))))
    write_csv(text, "test.csv")
    section = DataConfig(train="train.csv", id="id")
    with pytest.raises(DataError) as caught:
        list(open_stream("test.csv", (2,), section, table=data.table).batches(9))
    assert str(caught.value).startswith(message)


def test_columns_of_their_own(write_csv):
    rows = "".join(
        f"{n % 7},{n},p{n % 9},2024-01-{n % 28 + 1:02},{n % 3},{n / 9},x{n % 2}\n" for n in range(N)
    )
    write_csv(f"a,price,who,when,fold,weight,more\n{rows}")
    data = load_data(
        DataConfig(
            train="train.csv",
            target="price",
            group="who",
            time="when",
            fold="fold",
            weight="weight",
            drop=["more"],
        )
    )
    assert [column.name for column in data.table.columns] == ["a"]
    assert data.target == Target("numbers", ("price",))
    np.testing.assert_array_equal(data.labels[:, 0], np.arange(N))
    np.testing.assert_array_equal(data.groups, np.arange(N) % 9)
    np.testing.assert_array_equal(data.times, 19723 + np.arange(N) % 28)
    np.testing.assert_array_equal(data.given, np.arange(N) % 3)
    np.testing.assert_array_equal(data.weights, np.arange(N) / 9)


def test_folds_of_a_file_are_told_by_id(write_csv):
    write_csv("id,label,a\n" + "".join(f"r{n},{n % 2},{n % 7}\n" for n in range(N)))
    write_csv("kfold,id\n" + "".join(f"{n % 4},r{n}\n" for n in reversed(range(N + 2))), "folds.csv")
    section = DataConfig(train="train.csv", id="id", fold="folds.csv", features=Features(numeric=["a"]))
    data = load_data(section)
    np.testing.assert_array_equal(data.given, np.arange(N) % 4)
    assert data.report[-1] == "folds.csv: 2 ids that train.csv has not are left out"
    write_csv("kfold,id\n0,r1\n1,r1\n", "folds.csv")
    with pytest.raises(
        DataError, match=r"^folds\.csv, line 3, column 'id': the id comes a second time\. Each has"
    ):
        load_data(section)
    write_csv("kfold,id\n0,r1\n", "folds.csv")
    with pytest.raises(DataError, match=r"^folds\.csv: has no fold of 'r0', 'r2', .* which train\.csv has"):
        load_data(section)
    with pytest.raises(DataError, match=r"whose folds are told by id\. Name the column of ids with data.id"):
        load_data(section.model_copy(update={"id": None}))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a,y\n1,2\nx,3\n2,\n3,many\n",
            {"target": "y", "features": {"numeric": ["a"]}},
            "train.csv, line 3, column 'a': 'x' is no number that float32 holds. Correct it, or leave the "
            "cell blank; data.features.categorical takes a column as it is, and data.drop leaves it out.\n"
            "train.csv, line 4, column 'y': the target is missing. Fill it in or drop the row.\n"
            "train.csv, line 5, column 'y': the target is 'many', which is no finite number. Correct it or "
            "drop the row. Classes are named by data.label.",
        ),
        (
            "a,label\n2024-01-01,0\n2024-13-01,1\n" + "2024-01-0x,1\n" * 9,
            {"features": {"date": ["a"]}},
            "train.csv, line 3, column 'a': '2024-13-01' is no date such as 2024-02-29; so are line 4, line 5"
            ", line 6 and 6 more. Correct it",
        ),
        ("a,label\n1e300,0\n2,1\n", {}, "train.csv, line 2, column 'a': 1e+300 is no number that float32"),
        (
            "a,w,label\n1,-1,0\n2,1,1\n",
            {"weight": "w"},
            "train.csv, line 2, column 'w': the weight is -1. 0 or m",
        ),
        (
            "a,w,label\n1,,0\n2,1,1\n",
            {"weight": "w"},
            "train.csv, line 2, column 'w': the weight is missing.",
        ),
        (
            "a,w,label\n1,0,0\n2,0,1\n",
            {"weight": "w"},
            "train.csv, line 2, column 'w': the weight is 0 here and",
        ),
        ("a,g,label\n1,,0\n2,1,1\n", {"group": "g"}, "train.csv, line 2, column 'g': the group is missing."),
        ("a,t,label\n1,,0\n2,1,1\n", {"time": "t"}, "train.csv, line 2, column 't': the time is missing."),
        (
            "a,t,label\n1,2024-01-01,0\n2,soon,1\n",
            {"time": "t"},
            "train.csv, line 3, column 't': the time is 'soon', which is no date as the others are",
        ),
        (
            "a,f,label\n1,0.5,0\n2,1,1\n",
            {"fold": "f"},
            "train.csv, line 2, column 'f': the fold is 0.5. A whole",
        ),
        (
            "a,label\n1,\n2,1\n",
            {},
            "train.csv, line 2, column 'label': the label is missing. Fill it in or drop",
        ),
        (
            "a,label\n1,0\n2\n",
            {},
            "train.csv, line 3: 1 cell, but the header has 2 columns. Complete the row",
        ),
        (
            "a,label\n1,0\n2,1,3\n",
            {},
            "train.csv, line 3: 3 cells, but the header has 2 columns. Complete the r",
        ),
        ("a,label\n", {}, "train.csv: only a header and no rows."),
        (
            "a,y\n1,3\n2,3\n",
            {"target": "y"},
            "train.csv: target 'y' is 3 for all 2 samples, so that there is not",
        ),
        (
            "a,label\n1,0\n2,1\n",
            {"drop": ["b"]},
            "train.csv, line 1: no drop column 'b'. Columns: a, label. Corr",
        ),
        (
            "a,label\n1,0\n2,1\n",
            {"group": "b", "time": "aa"},
            "train.csv, line 1: no group column 'b'. Columns: a, label. Correct data.group.\n"
            "train.csv, line 1: no time column 'aa'. Did you mean 'a'?",
        ),
        (
            "a,t,label\n1,7,0\n2,,1\n2,soon,1\n2,9,1\n",
            {"time": "t"},
            "train.csv, line 3, column 't': the time is missing. Fill it in or drop the row.\n"
            "train.csv, line 4, column 't': the time is 'soon', which is no finite number. Correct it or",
        ),
        (
            "a,w,label\n1,heavy,0\n2,-1,1\n2,inf,1\n",
            {"weight": "w"},
            "train.csv, line 2, column 'w': the weight is 'heavy', which is no finite number; so is line 4. "
            "Correct it or drop the row.\n"
            "train.csv, line 3, column 'w': the weight is '-1'. 0 or more holds.",
        ),
        (
            "a,a,b,b,label\n1,2,3,4,0\n2,2,3,4,1\n",
            {"group": "c", "drop": ["b", "b"], "features": {"date": ["d", "label"], "numeric": ["a", "a"]}},
            "train.csv, line 1: 2 columns are named 'a'. Rename or drop the others.\n"
            "train.csv, line 1: 2 columns are named 'b'. Rename or drop the others.\n"
            "train.csv, line 1: no group column 'c'. Columns: a, b, label. Correct data.group.\n"
            "train.csv, line 1: data.drop names 'b' 2 times. Keep it once.\n"
            "train.csv: data.features.numeric names 'a' 2 times: keep it once.\n"
            "train.csv: data.features.date names 'd', which is no column. Columns: a.\n"
            "train.csv: data.features.date names 'label', which has a part of its own.",
        ),
        (
            "a,y\n1,0\n2,1\n",
            {"target": ["y", "y"]},
            "train.csv, line 1: data.target names 'y' 2 times. Keep it once.",
        ),
        (
            "a;y\n1;0\n2;1\n",
            {"target": "y"},
            "train.csv, line 1: separated by ';'. Save it separated by commas.",
        ),
        (
            "1,2\n3,4\n",
            {"target": "y"},
            "train.csv, line 1: numbers, where the columns' names are needed. Put a header line first, "
            "with 'y' over the numbers to predict; or write data.header: none, and name columns by their "
            "places, from 0.",
        ),
        (
            "y\n1\n2\n",
            {"target": "y"},
            "train.csv, line 1: no columns of samples: only y. Where one names image files:",
        ),
        (
            "a,label\n1,0\n2,1\n",
            {"group": "a", "time": "a"},
            "train.csv, line 1: data.group and data.time both nam",
        ),
        (
            "a,label\n1,0\n2,1\n",
            {"features": {"numeric": ["label"]}},
            "train.csv: data.features.numeric names 'label', which has a part of its own.",
        ),
        (
            "a,label\n1,0\n2,1\n",
            {"features": {"numeric": ["aa"]}},
            "train.csv: data.features.numeric names 'aa', which is no column. Did you mean 'a'?",
        ),
        (
            "a,label\n1,0\n2,1\n",
            {"features": {"numeric": ["a"], "date": ["a"]}},
            "train.csv: data.features names 'a' as numeric and as date: keep one.",
        ),
    ],
)
def test_faults(write_csv, text, options, message):
    write_csv(text)
    with pytest.raises(DataError) as caught:
        load_data(DataConfig(train="train.csv", **options))
    assert str(caught.value).startswith(message)


TABLE = "sort,a,label\n" + "".join(f"{'xy'[n % 2]},{n % 7},{n % 3}\n" for n in range(N))


@pytest.mark.parametrize(
    ("data", "more", "message"),
    [
        (
            {"scale": 255},
            {},
            "data.scale: divides pixels, and train.csv is a table, whose numbers are scaled by",
        ),
        (
            {"standardize": True},
            {},
            "data.standardize: is of pixels, and train.csv is a table, whose numbers are standardized by",
        ),
        (
            {"normalize": {"mean": [0.5], "std": [0.5]}},
            {},
            "data.normalize: is of pixels, and train.csv is a table, whose numbers are standardized by",
        ),
        (
            {},
            {"augment": {"rotation_range": 9}},
            "augment: is of images, and train.csv is a table: leave it out.",
        ),
        (
            {},
            {"space": {"augment.rotation_range": [9, 0]}},
            "space.augment.rotation_range: is of images, and train",
        ),
        (
            {"label": "label", "target": "a"},
            {},
            "data.target: is given, and so is data.label: a search predicts",
        ),
        (
            {"target_scale": "log"},
            {},
            "data.target_scale: is of numbers to predict, and train.csv has classes: lea",
        ),
        (
            {"image": [1, 1, 2], "features": {"numeric": ["a"]}},
            {},
            "data.image: is given, and so is data.features: samples are pictures or rows of a table.",
        ),
        ({"validation": "other.csv"}, {}, "other.csv', and there is no such file."),
        ({"fold": "other.csv"}, {}, "other.csv', and there is no such file."),
    ],
)
def test_what_does_not_go_with_a_table(write_csv, data, more, message):
    write_csv(TABLE)
    with pytest.raises(KerasgridError) as caught:
        prepare({"name": "x", "data": {"train": "train.csv", **data}, "model": "mlp", **more})
    assert message in str(caught.value)


def test_rows_that_do_not_fit_into_memory_as_vectors(write_csv, monkeypatch):
    path = write_csv("sort,a,label\n" + "".join(f"c{n % 20},{n % 7},{n % 3}\n" for n in range(N)))
    monkeypatch.setattr("kerasgrid.machine.free_memory_bytes", lambda: 4 * N * 20)
    given = {"name": "x", "data": {"train": str(path)}}
    prepare({**given, "model": "mlp"})
    with pytest.raises(
        KerasgridError, match=r"each row becomes 21 numbers \(categories take one each.*needs"
    ):
        prepare({**given, "model": "fc"})


def test_a_subset_keeps_all_that_is_known(write_csv):
    write_csv(TABLE)
    data = load_data(DataConfig(train="train.csv", target="a", weight="label", subset=20))
    assert (len(data), len(data.weights), data.table.columns[0].name) == (20, 20, "sort")
    assert data.report[-1].startswith("subset: 20 of 60 samples, at random, seed 0; 'a' has mean ")


def test_faults_of_a_table_and_of_its_folds_are_told_together(write_csv):
    write_csv("id,a,y\nr0,1,2\nr1,2,\nr2,3,4\n")
    write_csv("id,fold\nr0,0\nr1,first\nr2,1\n", "folds.csv")
    with pytest.raises(DataError) as caught:
        load_data(DataConfig(train="train.csv", target="y", id="id", fold="folds.csv"))
    assert str(caught.value) == (
        "train.csv, line 3, column 'y': the target is missing. Fill it in or drop the row.\n"
        "folds.csv, line 3, column 'fold': the fold is 'first', which is no finite number. Correct it or "
        "drop the row."
    )


@pytest.mark.parametrize(
    ("train", "other"),
    [(TABLE, "sort,a\nx,2\n"), ("label,p0,p1,p2,p3\n0,1,2,3,4\n1,2,3,4,5\n", "p0,p1,p2,p3\n1,2,3,4\n")],
)
def test_rows_that_are_held_out_by_a_file_have_what_is_predicted(write_csv, train, other):
    write_csv(train)
    write_csv(other, "other.csv")
    with pytest.raises(
        DataError, match=r"^other\.csv, line 1: lacks 'label', by which rows that are held out"
    ):
        load_with_test(DataConfig(train="train.csv", validation="other.csv"))


@pytest.mark.parametrize("key", ["validation", "test"])
def test_rows_that_are_held_out_by_a_file(write_csv, key):
    write_csv(TABLE)
    write_csv("w,label,a,sort\n1,0,5,new\n2,1,,x\n", "other.csv")
    data = load_with_test(DataConfig(train="train.csv", **{key: "other.csv"}, weight=None, drop=[], id="w"))
    assert (len(data), data.n_held_out) == (N + 2, 2)
    np.testing.assert_array_equal(data.images[N:], [[-1, 5], [0, np.nan]])
    assert data.labels[N:].tolist() == [0, 1]


def test_weights_that_held_out_rows_lack_are_told(write_csv):
    write_csv(TABLE)
    write_csv("sort,a\nx,1\ny,2\n", "other.csv")
    section = DataConfig(train="train.csv", validation="other.csv", label="sort", weight="label")
    data = load_with_test(section)
    assert data.weights[N:].tolist() == [1, 1]
    assert data.report[-1].startswith("other.csv: what its samples weigh is not told, and each counts 1")


@pytest.mark.parametrize(
    ("day", "told"),
    [
        (1, ("time: dates such as '01/01/2024' in 'when', month first, where it could be the day too",)),
        (13, ()),
    ],
)
def test_times_whose_days_may_be_months_are_told(write_csv, day, told):
    rows = "".join(f"{n % 7},{n % 2},{n % 12 + 1:02}/{day:02}/2024\n" for n in range(N))
    write_csv(f"a,label,when\n{rows}")
    section = DataConfig(train="train.csv", time="when", features={"numeric": ["a"]})
    assert load_data(section).report[1:] == told
    frame, label = pd.read_csv("train.csv"), DataConfig(time="when", label="label")
    assert dataset_from_arrays(frame, config=label).report[:-1] == told


def test_classes_of_held_out_rows_may_be_the_numbers_among_them(write_csv):
    write_csv("a,b,label\n" + "".join(f"{n % 5},{n % 7},{'12x'[n % 3]}\n" for n in range(N)))
    write_csv("a,b,label\n1,2,2\n3,4,1\n", "other.csv")
    data = load_with_test(DataConfig(train="train.csv", validation="other.csv"))
    assert (data.classes, data.labels[N:].tolist()) == (("1", "2", "x"), [1, 0])


def test_dates_of_all_kinds_of_pandas():
    moments = pd.Series(pd.to_datetime(["2024-02-29 12:00", None]))
    for column in (moments, moments.dt.tz_localize("Asia/Tokyo").dt.tz_convert("UTC")):
        days, is_bad = Cells(column).dates("ISO8601")
        assert days[0] in (19782.5, 19782.125)
        assert np.isnan(days[1])
        assert not is_bad.any()
    assert date_format(["2024-02-29", "2024-03-01T10:00Z"]) == "ISO8601"
    assert date_format(["10-20", "3-4"]) is None


def test_blanks_are_counted_whether_a_kind_is_said_or_guessed(write):
    path = write(a=cycled("x", "y", ""), b=cycled("1", "", "2"), c=cycled(1, 3, 2))
    (guessed, said) = (
        read_table(path, Roles(), features).report
        for features in (Features(), Features(categorical=["a"], numeric=["b"]))
    )
    assert guessed[-1] == said[-1]
    assert said[-1].startswith("blank cells: in 2 columns, most in 'a', 20;")
    assert "what data.features does not name" in said[0]
