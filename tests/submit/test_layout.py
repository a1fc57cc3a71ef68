"""The form of a submission: read off samples, and written so."""

from __future__ import annotations

import csv
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasgrid.errors import DataError
from kerasgrid.records import Target
from kerasgrid.submit.layout import conventional, read_form, with_probabilities

DIGITS = tuple(range(10))
PRICE = Target("numbers", ("price",))


def of(*classes, multi_label=False):
    return Target("labels" if multi_label else "classes", classes)


def sample_of(tmp_path, text, name="sample_submission.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def one_hot(labels, n_classes=10):
    return np.eye(n_classes, dtype=np.float32)[labels]


def written(form, tmp_path, ids, probabilities, classes):
    target = tmp_path / "submission.csv"
    form.write(target, ids, probabilities, classes)
    return target.read_text()


def test_digit_recognizer(tmp_path):
    form = read_form(sample_of(tmp_path, "ImageId,Label\n1,0\n2,0\n3,0\n"), of(*DIGITS))
    assert form.columns == ("ImageId", "Label")
    assert form.summary == "Label: the label of the most probable class, 3 rows"
    text = written(form, tmp_path, None, one_hot([7, 2, 9]), DIGITS)
    assert text == "ImageId,Label\n1,7\n2,2\n3,9\n"


def test_ids_keep_their_spelling_and_the_order_of_the_sample(tmp_path):
    sample = 'label,"the id"\r\n0,007\r\n0,"image_12.png"\r\n0,"a, ""b"""\r\n'
    form = read_form(sample_of(tmp_path, sample), of(0, 1))
    ids = ["image_12.png", 'a, "b"', "007"]
    text = written(form, tmp_path, ids, one_hot([0, 1, 1], 2), (0, 1))
    assert text == 'label,"the id"\n1,007\n0,"image_12.png"\n1,"a, ""b"""\n'


def test_numbers_are_the_same_ids_with_zeros_before_them(tmp_path):
    form = read_form(sample_of(tmp_path, "id,label\n007,0\n010,0\n"), of(0, 1))
    assert (
        written(form, tmp_path, np.array([10, 7]), one_hot([0, 1], 2), (0, 1)) == "id,label\n007,1\n010,0\n"
    )
    long = "9" * 5000  # digits, more than Python reads
    form = read_form(sample_of(tmp_path, f"id,label\n00{long},0\n000,0\n"), of(0, 1))
    text = written(form, tmp_path, [0, long], one_hot([0, 1], 2), (0, 1))
    assert text == f"id,label\n00{long},1\n000,0\n"
    twice = read_form(sample_of(tmp_path, "id,label\n007,0\n07,0\n"), of(0, 1))
    with pytest.raises(DataError, match="id '7' is not in"):
        twice.write(tmp_path / "out.csv", [7, 10], one_hot([0, 1], 2), (0, 1))


@pytest.mark.parametrize("names", [["c0", "c1", "c2"], ["0", "1", "2"], ["0_p", "1_p", "2_p"]])
def test_a_probability_a_class(tmp_path, names):
    order = [2, 0, 1]
    head = ",".join(names[place] for place in order)
    form = read_form(sample_of(tmp_path, f"img,{head}\nx.jpg,0.1,0.1,0.1\n"), of(0, 1, 2))
    values = np.array([[0.1, 0.25, 1e-8]], np.float32)
    assert written(form, tmp_path, ["x.jpg"], values, (0, 1, 2)) == f"img,{head}\nx.jpg,1e-08,0.1,0.25\n"
    assert form.summary == f"{head.replace(',', ', ')}: a probability a class, 1 row"
    four = read_form(sample_of(tmp_path, "id,a,b,c,d\nx,0,0,0,0\n"), of("a", "b", "c", "d"))
    assert four.columns[1:] == ("a", "b", "c", "d")
    assert "..." not in four.summary


def test_the_probability_of_the_positive_class(tmp_path):
    form = read_form(sample_of(tmp_path, "id,has_cactus\na,0.5\nb,0.5\n"), of(0, 1))
    values = np.array([[0.75, 0.25], [0.5, 0.5]], np.float32)
    assert written(form, tmp_path, ["b", "a"], values, (0, 1)) == "id,has_cactus\na,0.5\nb,0.25\n"
    of_cat = read_form(sample_of(tmp_path, "id,cat\na,0.5\n"), of("cat", "dog"))
    assert of_cat.summary == "cat: the probability of 'cat', 1 row"
    assert written(of_cat, tmp_path, None, values[:1], ("cat", "dog")) == "id,cat\na,0.75\n"


def test_several_labels_a_sample(tmp_path):
    values = np.array([[0.75, 0.25], [0.5, 0.125]], np.float32)
    flags = read_form(
        sample_of(tmp_path, "id,scab,rust\n1,0,0\n2,1,0\n"), of("rust", "scab", multi_label=True)
    )
    assert written(flags, tmp_path, None, values, ("rust", "scab")) == "id,scab,rust\n1,0,1\n2,0,1\n"
    text = written(with_probabilities(flags, of("rust", "scab")), tmp_path, None, values, ("rust", "scab"))
    assert text == "id,scab,rust\n1,0.25,0.75\n2,0.125,0.5\n"
    shares = read_form(
        sample_of(tmp_path, "id,scab,rust\n1,0.5,0.5\n2,0.5,0.5\n"), of("rust", "scab", multi_label=True)
    )
    assert written(shares, tmp_path, None, values, ("rust", "scab")) == text
    # A competition of log loss shows one-hot rows, and takes probabilities.
    assert read_form(sample_of(tmp_path, "id,a,b\n1,1,0\n"), of("a", "b")).holds == "probabilities"


def test_flags_are_cut_at_the_threshold_of_each_label(tmp_path):
    values = np.array([[0.75, 0.25], [0.5, 0.125]], np.float32)
    flags = read_form(
        sample_of(tmp_path, "id,scab,rust\n1,0,0\n2,1,0\n"), of("rust", "scab", multi_label=True)
    )
    flags.write(tmp_path / "out.csv", None, values, ("rust", "scab"), (0.6, 0.125))
    assert (tmp_path / "out.csv").read_text() == "id,scab,rust\n1,1,1\n2,1,0\n"


@pytest.mark.parametrize(
    ("cells", "usual", "summary", "written_cells"),
    [
        (("rust scab", "scab"), " ", "with a blank between", ("rust scab", "")),
        (("scab", ""), " ", "with a blank between", ("rust scab", "")),
        (("scab", "rust"), "|", "with | between", ("rust|scab", "")),
        (("rust|scab", "rust"), " ", "with | between", ("rust|scab", "")),
        (('"rust,scab"', "rust"), " ", "with a comma between", ('"rust,scab"', "")),
    ],
)
def test_labels_in_one_column(tmp_path, cells, usual, summary, written_cells):
    text = "image,tags\n" + "".join(f"{place}.jpg,{cell}\n" for place, cell in enumerate(cells))
    form = read_form(sample_of(tmp_path, text), of("rust", "scab", multi_label=True), usual)
    assert form.summary == f"tags: all labels of a sample, {summary}, 2 rows"
    values = np.array([[0.75, 0.5], [0.25, 0.125]], np.float32)
    found = written(form, tmp_path, ["0.jpg", "1.jpg"], values, ("rust", "scab"))
    assert found == "image,tags\n" + "".join(f"{n}.jpg,{cell}\n" for n, cell in enumerate(written_cells))


def test_conventions(tmp_path):
    assert written(conventional("ImageId/Label", of(*DIGITS)), tmp_path, None, one_hot([3, 4]), DIGITS) == (
        "ImageId,Label\n1,3\n2,4\n"
    )
    assert (
        written(conventional("id/label", of(*DIGITS)), tmp_path, None, one_hot([3]), DIGITS)
        == "id,label\n0,3\n"
    )
    text = written(conventional("id/label", of(*DIGITS)), tmp_path, np.array([5, 7]), one_hot([3, 4]), DIGITS)
    assert text == "id,label\n5,3\n7,4\n"
    with pytest.raises(DataError, match=r"^'x/y' is no form .*; ImageId/Label or id/label holds"):
        conventional("x/y", of(*DIGITS))


def test_numbers(tmp_path):
    form = read_form(sample_of(tmp_path, "Id,price\n7,0\n9,0\n"), PRICE)
    assert form.summary == "price: the number, 2 rows"
    values = np.array([[208500.12345678912], [-0.0]])
    assert (
        written(form, tmp_path, ["9", "7"], values, ("price",)) == "Id,price\n7,0.0\n9,208500.12345678912\n"
    )
    text = written(form, tmp_path, None, values.astype(np.float32), ("price",))
    assert text == "Id,price\n7,208500.12\n9,0.0\n"


def test_a_single_number_may_be_called_otherwise(tmp_path):
    form = read_form(sample_of(tmp_path, "prediction,row\n1.5,a\n2.5,b\n"), PRICE)
    text = written(form, tmp_path, ["b", "a"], np.array([[1.0], [2e20]]), ("price",))
    assert text == "prediction,row\n2e+20,a\n1.0,b\n"


def test_a_sample_asks_for_some_of_several_numbers(tmp_path):
    three = Target("numbers", ("x", "y", "z"))
    form = read_form(sample_of(tmp_path, "z,id,x\n0,1,0\n"), three)
    assert written(form, tmp_path, None, np.array([[1.0, 2.0, 3.0]]), three.names) == "z,id,x\n3.0,1,1.0\n"


def test_decimals_that_a_sample_has_not_are_told(tmp_path):
    form = read_form(sample_of(tmp_path, "id,count\n1,3\n2,15\n"), Target("numbers", ("count",)))
    assert form.summary == "count: the number, with decimals that the sample has not, 2 rows"


def test_numbers_by_a_convention(tmp_path):
    form = conventional("id/label", Target("numbers", ("a", "b, c")), "Id")
    assert written(form, tmp_path, ["x"], np.array([[1.0, 0.5]]), ("a", "b, c")) == 'Id,a,"b, c"\nx,1.0,0.5\n'
    text = written(conventional("ImageId/Label", PRICE), tmp_path, None, np.array([[3.0]]), ("price",))
    assert text == "ImageId,price\n1,3.0\n"


def test_numbers_that_are_none(tmp_path):
    form = conventional("id/label", PRICE)
    assert faults_of_writing(form, ["a", "b"], np.array([[np.inf], [1.0]]), ("price",), tmp_path) == [
        "predictions, row 1 (id 'a'): inf is no number; a finite one holds."
    ]
    (fault,) = faults_of_writing(form, None, np.ones((2, 2)), ("price",), tmp_path)
    assert fault.endswith("(sample, number) with 1 column holds, one a number.")
    (fault,) = faults_of_writing(form, None, np.ones((2, 1)), ("rent",), tmp_path)
    assert fault == "id/label: made for 'price', and the predictions are of 'rent'. Read the form for these."


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("id,price\n1,dear\n", ("price",), "column 'price' holds 'dear', and numbers are predicted"),
        ("id,p,q\n1,2,3\n", ("price",), "an id, and a column for each number that is predicted, named after"),
        ("id,value\n1,2\n", ("x", "y"), "'value' is named after none of the numbers that are predicted"),
    ],
)
def test_samples_of_no_numbers(tmp_path, text, names, message):
    with pytest.raises(DataError, match=message):
        read_form(sample_of(tmp_path, text), Target("numbers", names))


@pytest.mark.parametrize(
    ("text", "classes", "message"),
    [
        ("", DIGITS, "sample.csv: empty, and a header line is needed."),
        ("id,label\n", DIGITS, "sample.csv: only a header and no rows."),
        ("id;label\n1;2\n", DIGITS, "sample.csv, line 1: separated by ';'. Save it separated by commas."),
        ("id,id\n1,2\n", DIGITS, "sample.csv, line 1: several columns are named 'id'. Rename them."),
        ("id,label\n1,2\n1\n", DIGITS, "sample.csv, line 3: 1 cell, but the header has 2."),
        ("id,label\n1,2\n\n1,2\n", DIGITS, "sample.csv, line 4: id '1' is there again, as in 2."),
        ("id,label\n1,2\n,2\n", DIGITS, "sample.csv, line 3: the id is missing."),
        ('id,label\n1,2\n"3,2\n', DIGITS, 'sample.csv, line 3: a quote (") is left open.'),
        ("id,x,y\n1,2,3\n", DIGITS, "the columns 'id', 'x', 'y' are no form that is known here"),
        ("id,label\n1,cat\n", DIGITS, "column 'label' holds 'cat', and the classes are 0, 1, 2, 3, 4 and 5"),
        ("id,label\n1,0.5\n", DIGITS, "column 'label' holds '0.5', and the classes are"),
        ("id,label\n1,3\n", ("cat", "dog"), "column 'label' holds '3', and the classes are 'cat', 'dog'"),
    ],
)
def test_samples_that_are_none(tmp_path, monkeypatch, text, classes, message):
    monkeypatch.chdir(tmp_path)
    sample_of(tmp_path, text, "sample.csv")
    with pytest.raises(DataError) as caught:
        read_form((tmp_path / "sample.csv").absolute(), of(*classes))
    assert message in str(caught.value)


def test_bytes_that_are_no_csv(tmp_path):
    for data, message in ((b"PK\x03\x04zip", "a zip archive"), (b"id,label\n\xff\xfe,1\n", "no UTF-8 text")):
        (tmp_path / "s.csv").write_bytes(data)
        with pytest.raises(DataError, match=message):
            read_form(tmp_path / "s.csv", of(*DIGITS))
    with pytest.raises(DataError, match="A column for each label, named after it, or one of labels with"):
        read_form(sample_of(tmp_path, "id,labels\n1,a c\n"), of("a", "b", multi_label=True))


def test_1_is_the_second_of_two_classes_that_are_texts(tmp_path):
    form = read_form(sample_of(tmp_path, "id,label\n1,0\n2,0\n"), of("cat", "dog"))
    assert form.summary == "label: 1 for 'dog', else 0, 2 rows"
    form.write(
        tmp_path / "out.csv", ["1", "2"], np.array([[0.3, 0.7], [0.6, 0.4]], np.float32), ["cat", "dog"]
    )
    assert (tmp_path / "out.csv").read_text() == "id,label\n1,1\n2,0\n"


def faults_of_writing(form, ids, probabilities, classes, tmp_path):
    with pytest.raises(DataError) as caught:
        form.write(tmp_path / "out.csv", ids, probabilities, classes)
    assert not (tmp_path / "out.csv").exists()
    return str(caught.value).splitlines()


def test_all_faults_of_ids_and_values_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    form = read_form(sample_of(tmp_path, "id,label\na,0\nb,0\nc,0\n").absolute(), of(0, 1))
    values = np.array([[0, 1], [np.nan, 0], [1, 2], [0, 1]], np.float32)
    assert faults_of_writing(form, ["a", "x", "a", "b"], values, (0, 1), tmp_path) == [
        "test set, row 3: id 'a' is there again, as in 1.",
        "test set, row 2: id 'x' is not in sample_submission.csv.",
        "sample_submission.csv, line 4: id 'c' is not in the test set.",
        "predictions, row 2 (id 'x'): nan is no probability; 0 to 1 holds.",
        "predictions, row 3 (id 'a'): 2.0 is no probability; 0 to 1 holds.",
    ]
    many = [f"x{number}" for number in range(100)]
    told = faults_of_writing(form, many, one_hot([0] * 100, 2), (0, 1), tmp_path)
    assert told[5] == "... and 95 more faults of this kind: ids that sample_submission.csv does not have."
    assert told[-1].startswith("No id of the test set is in sample_submission.csv: is data.id")


def test_counts_shapes_and_classes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    form = read_form(sample_of(tmp_path, "id,label\na,0\nb,0\n").absolute(), of(0, 1))
    (fault,) = faults_of_writing(form, None, one_hot([0] * 3, 2), (0, 1), tmp_path)
    assert fault.startswith("sample_submission.csv has 2 rows, and there are 3 predictions.")
    (fault,) = faults_of_writing(form, None, np.zeros(3), (0, 1), tmp_path)
    assert "predictions are of shape (3,), and (sample, class) with 2 columns holds" in fault
    (fault,) = faults_of_writing(form, None, one_hot([0, 1], 2), ("0", "1"), tmp_path)
    assert "made for the classes 0, 1, and the predictions are of '0', '1'" in fault
    (fault,) = faults_of_writing(form, ["a"], one_hot([0, 1], 2), (0, 1), tmp_path)
    assert fault == "1 id for 2 rows of predictions; give one a row."


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(
    lambda text: text.strip() == text
)


@given(
    ids=st.lists(texts, min_size=1, max_size=6, unique=True), seed=st.integers(0, 99), quoting=st.booleans()
)
def test_what_is_written_reads_back_as_the_sample(tmp_path_factory, ids, seed, quoting):
    """Any ids, quoted or not, any order of the test set: csv's own reader finds the sample's ids again."""
    folder = tmp_path_factory.mktemp("trip")
    with open(folder / "sample.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL if quoting else csv.QUOTE_MINIMAL)
        writer.writerows([["id", "label"], *([id, "0"] for id in ids)])
    form = read_form(folder / "sample.csv", of(*DIGITS))
    shuffled = random.Random(seed).sample(ids, len(ids))
    labels = {id: (place * 7 + seed) % 10 for place, id in enumerate(ids)}
    form.write(folder / "out.csv", shuffled, one_hot([labels[id] for id in shuffled]), DIGITS)
    with open(folder / "out.csv", newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["id", "label"], *([id, str(labels[id])] for id in ids)]
    assert read_form(folder / "out.csv", of(*DIGITS)).ids == form.ids


@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2))
def test_probabilities_keep_every_bit(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("bits")
    (folder / "sample.csv").write_text("a,b\n0.5,0.5\n")
    form = read_form(folder / "sample.csv", of("a", "b"))
    found = np.array([values], np.float32)
    form.write(folder / "out.csv", None, found, ("a", "b"))
    cells = (folder / "out.csv").read_text().splitlines()[1].split(",")
    assert np.array_equal(np.array(cells, np.float32), found[0])
