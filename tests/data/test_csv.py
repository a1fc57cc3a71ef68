from __future__ import annotations

import gzip

import numpy as np
import pytest

from kerasgrid import machine
from kerasgrid.data import csv as csv_source
from kerasgrid.data.csv_text import CsvFile, open_rows
from kerasgrid.data.load import load_data
from kerasgrid.data.roles import Roles
from kerasgrid.data.sources import open_stream
from kerasgrid.errors import DataError
from kerasgrid.records import Target


def read_csv(path, *args, **options):
    return csv_source.read_csv(CsvFile(path), *args, **options)


HEADER = "label,a,b,c,d\n"
GOOD = HEADER + "0,1,2,3,4\n1,5,6,7,8\n"


def test_label_first(write_csv):
    samples = read_csv(write_csv(GOOD))
    assert samples.images.dtype == np.uint8
    assert samples.images.tolist() == [[[[1], [2]], [[3], [4]]], [[[5], [6]], [[7], [8]]]]
    assert samples.labels.tolist() == [0, 1]
    assert samples.labels.dtype == np.int64
    assert samples.target.classes == (0, 1)


def test_label_and_id_anywhere(write_csv):
    path = write_csv("a,b,name,c,what,d\n1,2,x-1,3,cat,4\n5,6,x-2,7,ant,8\n")
    samples = read_csv(path, Roles("what", id="name"))
    assert samples.images.reshape(2, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert samples.target.classes == ("ant", "cat")
    assert samples.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (["10", "9", "-1"], (-1, 9, 10), [2, 1, 0]),
        (["1.0", "2", "1"], (1, 2), [0, 1, 0]),
        (["007", "7", "7"], ("007", "7"), [0, 1, 1]),
        (["1", "b", "10"], ("1", "10", "b"), [0, 2, 1]),
        (['"a, b"', "ಕ", " c "], ("a, b", "c", "ಕ"), [0, 2, 1]),
    ],
)
def test_classes(write_csv, labels, classes, indices):
    samples = read_csv(write_csv(HEADER + "".join(f"{label},1,2,3,4\n" for label in labels)))
    assert samples.target.classes == classes
    assert samples.labels.tolist() == indices
    assert samples.report == ()


def test_labels_that_are_not_whole_are_numbers_to_predict(write_csv):
    samples = read_csv(write_csv(HEADER + "".join(f"{label},1,2,3,4\n" for label in ("1.5", "2", "-3e2"))))
    assert samples.target == Target("numbers", ("label",))
    assert samples.labels.tolist() == [[1.5], [2], [-300]]
    assert samples.report == (
        "label: 'label' holds numbers that are not whole, such as 1.5: these are predicted, as data.target: "
        "label says, and no classes",
    )


def test_columns_with_a_part_of_their_own_are_no_pixels(write_csv):
    rows = "1,7,b,2,3,4,2024-02-29,1,0\n5,8.5,a,6,7,8,2024-03-01,0,-1\n"
    path = write_csv(f"p0,price,who,p1,p2,p3,when,w,f\n{rows}")
    roles = Roles(None, ("price",), group="who", time="when", fold="f", weight="w")
    samples = read_csv(path, roles)
    assert samples.images.reshape(2, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert samples.labels.tolist() == [[7], [8.5]]
    assert samples.groups.tolist() == [0, 1]
    assert samples.times.tolist() == [19782, 19783]
    assert samples.given.tolist() == [0, -1]
    assert samples.weights.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("cell", "dtype", "value"),
    [
        ("255", np.uint8, 255),
        ("0.0", np.uint8, 0),
        ("256", np.float32, 256),
        ("-1", np.float32, -1),
        ("0.5", np.float32, 0.5),
        (" 1e2", np.uint8, 100),
        ("18446744073709551615", np.float32, 2**64),
    ],
)
def test_pixel_kinds(write_csv, cell, dtype, value):
    samples = read_csv(write_csv(f"{HEADER}0,{cell},2,3,4\n1,5,6,7,8\n"))
    assert samples.images.dtype == dtype
    assert samples.images[0, 0, 0, 0] == np.float32(value)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.rstrip("\n"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\n\n  \n"),
        "\ufeff" + GOOD,
        GOOD.replace(",", ", "),
        "\n" + GOOD,
        GOOD.replace("label", '"label"').replace("0,1", '"0","1"'),
    ],
    ids=["no-last-newline", "crlf", "blank-lines", "bom", "spaces", "blank-first", "quotes"],
)
def test_spellings_of_the_same_file(write_csv, text):
    samples = read_csv(write_csv(text))
    assert samples.images.reshape(2, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert samples.target.classes == (0, 1)


def test_chunks_join(write_csv, monkeypatch):
    monkeypatch.setattr(csv_source, "CHUNK_CELLS", 10)
    rows = "".join(f"{row % 3},{row},0,0,{'0.5' if row == 6 else row}\n" for row in range(9))
    samples = read_csv(write_csv(HEADER + rows))
    assert samples.images.dtype == np.float32
    assert samples.images[:, 0, 0, 0].tolist() == list(range(9))
    assert samples.images[:, 1, 1, 0].tolist() == [0, 1, 2, 3, 4, 5, 0.5, 7, 8]
    assert samples.labels.tolist() == [0, 1, 2] * 3


def test_channels_by_image(write_csv):
    text = "label," + ",".join(f"p{index}" for index in range(12)) + "\n"
    text += "".join(f"{label}," + ",".join(map(str, range(12))) + "\n" for label in (0, 1))
    samples = read_csv(write_csv(text), image=(2, 2, 3))
    assert samples.images[0].tolist() == np.arange(12).reshape(2, 2, 3).tolist()


BARE = "0,1,2,3,4\n1,5,6,7,8\n"


def test_a_file_without_a_header_has_columns_by_their_places(write_csv, config):
    path = write_csv(BARE * 2)
    given = config(path, header="none", label="0")
    data = load_data(given)
    assert data.images.reshape(4, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]] * 2
    assert (data.target.names, data.labels.tolist()) == ((0, 1), [0, 1, 0, 1])
    for text in (BARE, "1,2,3,4\n5,6,7,8\n"):  # with labels, and without
        test = write_csv(text, "test.csv")
        (chunk,) = open_stream(test, (2, 2, 1), given).chunks()
        assert chunk.images.reshape(2, 4).tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
        assert chunk.labels == ([0, 1] if text == BARE else None)
    write_csv(BARE + "1,5,6,7,8,9\n")
    with pytest.raises(DataError, match=r"^train\.csv, line 3: 6 cells, but the first row has 5 columns"):
        load_data(given)
    write_csv(BARE + "1,5,x,7,8\n")
    with pytest.raises(DataError, match=r"^train\.csv, line 3, column '2': 'x' is no number"):
        load_data(given)
    with pytest.raises(DataError, match=r"^train\.csv: no label column 'label'\. Columns: 0, 1, 2, 3, 4\."):
        load_data(config(path, header="none"))


PIXEL = " Every column but the label and data.id is a pixel and needs a finite number."
FAULTS = {
    "short-row": (
        HEADER + "0,1,2,3,4\n1,5,6\n",
        "train.csv, line 3: 3 cells, but the header has 5 columns. ",
    ),
    "long-row": (HEADER + "0,1,2,3,4\n1,5,6,7,8,9\n", "train.csv, line 3: 6 cells, but the header has 5"),
    "long-first-row": (HEADER + "0,1,2,3,4,5\n1,5,6,7,8\n", "train.csv, line 2: 6 cells, but the header has"),
    "all-rows-long": (HEADER + "0,1,2,3,4,5\n1,5,6,7,8,9\n", "train.csv, line 2: 6 cells, but the header"),
    "comma-at-end": (HEADER + "0,1,2,3,4,\n1,5,6,7,8,\n", "train.csv, line 2: 6 cells, but the header"),
    "word": (
        HEADER + "0,1,2,3,4\n1,5,six,7,8\n",
        "train.csv, line 3, column 'b': 'six' is no number." + PIXEL,
    ),
    "word-only-column": (
        HEADER + "0,1,x,3,4\n1,5,x,7,8\n",
        "train.csv, line 2, column 'b': 'x' is no number.",
    ),
    "bool": (HEADER + "0,1,True,3,4\n1,5,False,7,8\n", "train.csv, line 2, column 'b': 'True' is no number."),
    "underscore": (HEADER + "0,1_0,2,3,4\n1,5,6,7,8\n", "train.csv, line 2, column 'a': '1_0' is no number."),
    "empty-cell": (HEADER + "0,1,2,3,4\n1,5,,7,8\n", "train.csv, line 3, column 'b': empty." + PIXEL),
    "empty-last": (HEADER + "0,1,2,3,4\n1,5,6,7,\n", "train.csv, line 3, column 'd': empty."),
    "nan": (HEADER + "0,1,2,3,nan\n1,5,6,7,8\n", "train.csv, line 2, column 'd': 'nan' is not finite."),
    "inf": (HEADER + "0,1,2,3,4\n1,-inf,6,7,8\n", "train.csv, line 3, column 'a': '-inf' is not finite."),
    "too-large": (
        HEADER + "0,1e39,2,3,4\n1,5,6,7,8\n",
        "line 2, column 'a': '1e39' is too large for float32.",
    ),
    "20-digits": (
        HEADER + f"0,{10**20},2,3,4\n1,5,6,7,8\n",
        "row 1 or after: cannot be read as CSV: pixels that",
    ),
    "no-label": (
        HEADER + "0,1,2,3,4\n,5,6,7,8\n",
        "train.csv, line 3, column 'label': the label is missing.",
    ),
    "nan-label": (
        HEADER + "nan,1,2,3,4\n1,5,6,7,8\n",
        "train.csv, line 2, column 'label': the label is missing",
    ),
    "after-blanks": (
        HEADER + "\n0,1,2,3,4\n\n\n1,5,?,7,8\n",
        "train.csv, line 6, column 'b': '?' is no number.",
    ),
    "after-quoted-break": (
        HEADER + '"a\nb",1,2,3,4\n1,5,?,7,8\n',
        "train.csv, line 4, column 'b': '?' is no",
    ),
    "open-quote": (
        HEADER + '0,1,2,3,4\n"1,5,6,7,8\n',
        'line 3 or after: unexpected end of data. Is a quote (")',
    ),
    "label-column": (
        GOOD.replace("label", "lable"),
        "line 1: no label column 'label'. Did you mean 'lable'?",
    ),
    "no-header": (
        "0,1,2,3,4\n1,5,6,7,8\n",
        "train.csv, line 1: numbers, where the columns' names are needed.",
    ),
    "semicolons": (
        GOOD.replace(",", ";"),
        "train.csv, line 1: separated by ';'. Save it separated by commas.",
    ),
    "duplicate-names": (
        "label,a,b,b,d\n0,1,2,3,4\n",
        "train.csv, line 1: 2 columns are named 'b'. Rename or",
    ),
    "empty": ("", "train.csv: empty."),
    "blank": ("\n\n", "train.csv: empty."),
    "header-only": (HEADER, "train.csv: only a header and no rows."),
    "no-pixels": ("label\n0\n1\n", "train.csv, line 1: no columns of samples: only label."),
    "no-square": ("label,a,b,c\n0,1,2,3\n1,1,2,3\n", "train.csv: 3 pixels a sample, which is no square. Say"),
    "id-unnamed": (
        "label,id,a,b,c,d\n0,1,2,3,4,5\n",
        "line 1: 5 pixel columns ('id', 'a', ..., 'd'), one more ",
    ),
    "latin-1": (
        HEADER.encode() + b"0,1,2,3,4\n\xe9,5,6,7,8\n",
        "train.csv, line 3: no UTF-8 text. If this is",
    ),
    "utf-16": (GOOD.encode("utf-16"), "train.csv, line 1: no UTF-8 text."),
    "binary": (bytes(range(256)) * 4, "train.csv, line 2: no UTF-8 text."),
    "zip": (
        b"PK\x03\x04....",
        "train.csv: a zip archive and no CSV file. Unpack it first, or name it so: train.csv.zip.",
    ),
    "gzip": (
        gzip.compress(GOOD.encode()),
        "train.csv: a gzip archive and no CSV file. Unpack it first, or name it so: train.csv.gz.",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults(write_csv, case):
    text, message = FAULTS[case]
    path = write_csv(text)
    with pytest.raises(DataError) as caught:
        read_csv(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith("train.csv")


@pytest.mark.parametrize("expected", [0, 1, 7, 19, 20, 500])
def test_rows_are_read_one_after_another_whatever_number_was_expected(write_csv, monkeypatch, expected):
    monkeypatch.setattr(csv_source, "CHUNK_CELLS", 10)
    monkeypatch.setattr(csv_source, "_estimated_rows", lambda path: expected)
    wanted = np.random.default_rng(0).integers(0, 256, (20, 4)).astype(np.float32)
    wanted[13, 2] = 0.5
    rows = [f"{row % 2}," + ",".join(f"{cell:g}" for cell in cells) for row, cells in enumerate(wanted)]
    samples = read_csv(write_csv(HEADER + "\n".join(rows)))
    np.testing.assert_array_equal(samples.images.reshape(20, 4), wanted)
    assert samples.labels.tolist() == [0, 1] * 10


def test_rows_that_do_not_fit_into_memory_are_told_before_they_are_read(write_csv, monkeypatch):
    path = write_csv(HEADER + "0,1,2,3,4\n1,5,6,7,8\n" * 10_000)
    monkeypatch.setattr(csv_source, "PIECE_BYTES", 1000)
    monkeypatch.setattr(csv_source, "CHUNK_CELLS", 1000)
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 50_000)
    with pytest.raises(
        DataError, match=r"^train\.csv, about 20,\d\d\d rows: needs 8\d,\d\d\d bytes of memory, of which "
    ):
        read_csv(path)


def test_columns_are_not_looked_for_one_by_one(write_csv):
    class Places(tuple):
        def __contains__(self, place):
            raise AssertionError("all places are gone through for each column")

    names = ["label", *map(str, range(50))]
    file = CsvFile(write_csv(",".join(names) + "\n" + ",".join("7" * 51) + "\n"))
    with open_rows(file) as text:
        header = csv_source.Header(tuple(names), 0, Places(range(1, 51)))
        assert [len(chunk.images) for chunk in csv_source.read_chunks(text, header, file)] == [1]


def test_fault_in_a_later_chunk(write_csv, monkeypatch):
    monkeypatch.setattr(csv_source, "CHUNK_CELLS", 10)
    rows = [f"{row % 2},1,2,3,4\n" for row in range(9)]
    rows[7] = "1,1,2,3,4,5\n"
    with pytest.raises(DataError, match="line 9: 6 cells"):
        read_csv(write_csv(HEADER + "".join(rows)))
    rows[7] = "1,1,2,x,4\n"
    with pytest.raises(DataError, match="line 9, column 'c': 'x' is no number"):
        read_csv(write_csv(HEADER + "".join(rows)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"roles": Roles(id="idd")}, "train.csv, line 1: no id column 'idd'."),
        ({"image": (3, 3, 1)}, "train.csv: 4 pixels a sample, but data.image is [3, 3, 1], which has 9."),
        (
            {"image": (1, 3, 1)},
            "line 1: 4 pixel columns ('a', 'b', ..., 'd'), one more than the 3 of an image.",
        ),
    ],
)
def test_option_faults(write_csv, options, message):
    with pytest.raises(DataError) as caught:
        read_csv(write_csv(GOOD), **options)
    assert message in str(caught.value)


def test_guess_at_channels(write_csv):
    names = ",".join(f"p{index}" for index in range(3072))
    with pytest.raises(DataError, match=r"data\.image: \[height, width, channels\], such as \[32, 32, 3\]\."):
        read_csv(write_csv(f"label,{names}\n"))
