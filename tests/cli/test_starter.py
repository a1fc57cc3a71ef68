"""What `kerasgrid init` writes: it passes every check as it is, and says why it says what it says."""

# ruff: noqa: E501 - a message on one line is easier to read

from __future__ import annotations

import csv
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from houses import write_houses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from running import run

from kerasgrid.checks.prepared import prepare
from kerasgrid.cli.starter import starter, write_starter
from kerasgrid.config.yaml12 import quoted, read_yaml
from kerasgrid.errors import DataError, KerasgridError


@pytest.fixture(autouse=True)
def in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_csv(
    path="train.csv", *, n=60, side=4, labels=(0, 1, 2), name="label", place=0, high=255, extra=(), channels=1
):
    """Writes a CSV; `extra` holds (place, name, values by row) of further columns."""
    chance = np.random.default_rng(0)
    pixels = chance.integers(0, high + 1, (n, side * side * channels)).astype(object)
    pixels[0, 0] = high
    header = [f"pixel{i}" for i in range(pixels.shape[1])]
    rows = [list(row) for row in pixels]
    columns = [(place, name, [labels[i % len(labels)] for i in range(n)]), *extra]
    for where, title, values in columns:
        at = where if where >= 0 else len(header) + 1 + where
        header.insert(at, title)
        for row, value in zip(rows, values, strict=True):
            row.insert(at, value)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return Path(path)


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()
    )


def started(source="train.csv", **said):
    """Writes the starter and checks it unchanged; returns what was prepared and the parsed file."""
    target = write_starter(source, Path("grid.yaml"), **said)
    value, _ = read_yaml(target.read_text(encoding="utf-8"), "grid.yaml")
    return prepare(target), value


@pytest.mark.parametrize("place", [0, 7, -1])
def test_the_label_column_is_found_by_its_name_wherever_it_stands(place):
    write_csv(place=place)
    prepared, value = started()
    assert value["data"] == {"train": "train.csv", "label": "label", "scale": 255}
    assert (prepared.data.images.shape, prepared.data.classes) == ((60, 4, 4, 1), (0, 1, 2))
    assert (prepared.space.size, len(prepared.folds)) == (8, 3)


@pytest.mark.parametrize("name", ["Label", "TARGET", "class", "Category", "y", "digit"])
def test_other_names_of_the_label(name):
    write_csv(name=name)
    assert started()[1]["data"]["label"] == name


@pytest.mark.parametrize("place", [0, -1])
def test_a_label_of_any_name_is_found_by_its_values(place):
    write_csv(name="what is it?", place=place, labels=("cat", "dog"))
    prepared, value = started()
    assert value["data"]["label"] == "what is it?"
    assert prepared.data.classes == ("cat", "dog")


@pytest.mark.parametrize(
    "odd",
    ["label: x", "#id", "yes", "null", "1e3", "~", "- a", "a\nb", 'say "it"', "it's", "é ü 数字", "a\\b", "{x}", "%", "=", "!x", "\U0001f600", "*a", "2026-01-01", "true", "0x10", "a #b", "a\u2028b", "<<"],
)  # fmt: skip
def test_names_that_yaml_would_read_as_something_else(odd):
    write_csv(name=odd, extra=[(-1, f"{odd} id", range(60))])
    prepared, value = started(label=odd)
    assert (value["data"]["label"], value["data"]["id"]) == (odd, f"{odd} id")
    assert prepared.data.images.shape == (60, 4, 4, 1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(min_size=1, max_size=8))
def test_any_name_is_written_so_that_it_is_read_back_or_refused(name):
    is_text = not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in name)
    if is_text:
        assert read_yaml(f"data:\n  label: {quoted(name)} # why", "grid.yaml")[0]["data"]["label"] == name
    else:
        with pytest.raises(DataError, match=r"cannot be written into a grid\.yaml: rename it\."):
            quoted(name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", range(1, 61)),
        ("ImageId", range(60)),
        ("image_id", [f"img_{i}.png" for i in range(60)]),
        ("", range(60)),
        ("Unnamed: 0", range(60)),
        ("serial", range(100, 160)),
    ],
)
@pytest.mark.parametrize("place", [0, 3, -1])
def test_a_column_that_is_no_pixel_is_found(name, values, place):
    write_csv(place=5, extra=[(place, name, list(values))])
    prepared, value = started()
    assert value["data"]["id"] == name
    assert prepared.data.images.shape == (60, 4, 4, 1)


def test_a_pixel_is_not_taken_for_an_id():
    write_csv(n=12, side=2, labels=(0, 1), high=60_000)  # twelve different numbers in every column
    assert "id" not in started()[1]["data"]


def test_label_and_id_can_be_said():
    write_csv(name="a", labels=range(3), extra=[(0, "b", [i // 2 for i in range(60)])])
    prepared, value = started(label="a", id="b")
    assert (value["data"]["label"], value["data"]["id"]) == ("a", "b")
    assert prepared.data.classes == (0, 1, 2)


def test_tiny_data():
    write_csv(n=12, side=1, labels=("no", "yes"))
    prepared, value = started()
    assert (value["search"]["folds"], value["params"]["batch_size"]) == (3, 8)
    assert prepared.data.classes == ("no", "yes")


def test_two_samples_of_a_class_make_two_folds():
    write_csv(n=5, labels=(0, 1))
    assert started()[1]["search"]["folds"] == 2


def test_many_classes():
    write_csv(n=600, labels=range(200))
    prepared, _ = started()
    assert len(prepared.data.classes) == 200


def test_classes_that_differ_in_size_are_scored_alike():
    write_csv(n=60, labels=[0] * 9 + [1])
    assert started()[1]["search"]["objective"] == "balanced_accuracy"


@pytest.mark.parametrize(
    ("high", "scale"), [(1, None), (4, 16), (16, 16), (17, 255), (255, 255), (256, 65_535), (65_535, 65_535)]
)
def test_the_scale_is_read_off_the_pixels(high, scale):
    write_csv(high=high)
    value = started()[1]["data"]
    assert (value.get("scale"), "standardize" in value) == (scale, False)


def test_pixels_of_no_known_range_are_standardized():
    images = np.random.default_rng(0).normal(size=(30, 4, 4)).astype(np.float32)
    np.savez("train.npz", images=images, labels=np.arange(30) % 3)
    assert started("train.npz")[1]["data"] == {"train": "train.npz", "standardize": True}


def test_three_channels_where_the_pixels_are_no_square():
    write_csv(side=4, channels=3)
    prepared, value = started()
    assert value["data"]["image"] == [4, 4, 3]
    assert prepared.data.images.shape == (60, 4, 4, 3)


def test_what_lies_beside_the_data_is_named():
    folder = Path("data of mine")
    folder.mkdir()
    write_csv(folder / "train.csv")
    (folder / "test.csv").write_text("pixel0\n1\n")
    (folder / "sample_submission.csv").write_text("id,label\n1,0\n")
    prepared, value = started(folder / "train.csv")
    assert value["data"] == {
        "train": "data of mine/train.csv",
        "test": "data of mine/test.csv",
        "label": "label",
        "sample_submission": "data of mine/sample_submission.csv",
        "scale": 255,
    }
    assert len(prepared.data) == 60


def test_paths_are_relative_to_the_target_not_to_the_working_folder(tmp_path):
    write_csv()
    target = write_starter("train.csv", Path("deep/er/grid.yaml"))
    assert "  train: ../../train.csv " in target.read_text()
    assert len(prepare(target).data) == 60


@pytest.mark.parametrize(
    "name", ["a b.csv", "it's 'new'.csv", "é: #1.csv", "~x.csv", "-.csv", "{a}.csv", "digits.csv"]
)
def test_odd_file_names(name):
    write_csv(name)
    prepared, _ = started(name)
    assert len(prepared.data) == 60


def test_digits():
    prepared, value = started("digits")
    assert value["data"] == {"train": "digits", "scale": 16}
    assert (value["params"], prepared.space.size) == ({"batch_size": 32, "epochs": 30}, 8)


def test_npz():
    np.savez("train.npz", x_train=np.full((40, 6, 5), 200, np.uint8), y_train=np.array(list("ab") * 20))
    prepared, value = started("train.npz")
    assert value["data"] == {"train": "train.npz", "scale": 255}
    assert prepared.data.images.shape == (40, 6, 5, 1)


def test_large_images_get_a_convolutional_net():
    images = np.zeros((12, 64, 64, 1), np.uint8)
    images[0, 0, 0, 0] = 255
    np.savez("train.npz", images=images, labels=np.arange(12) % 2)
    prepared, value = started("train.npz")
    assert (value["model"], prepared.space.names) == ("bn_cnn", ["dropout", "learning_rate", "optimizer"])


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"),
        ("X_kannada_MNIST_train-idx3-ubyte.gz", "y_kannada_MNIST_train-idx1-ubyte.gz"),
        ("images", "labels"),
    ],
)
def test_idx_finds_the_labels_beside_the_images(images, labels):
    for name, array in ((images, np.full((30, 3, 3), 9)), (labels, np.arange(30) % 3)):
        Path(name).write_bytes(gzip.compress(idx(array)) if name.endswith(".gz") else idx(array))
    prepared, value = started(images)
    assert value["data"] == {"train": {"images": images, "labels": labels}, "scale": 16}
    assert prepared.data.images.shape == (30, 3, 3, 1)


def test_every_line_says_why(tmp_path):
    write_csv(extra=[(0, "id", range(60))])
    Path("test.csv").touch()
    golden = Path(__file__).parents[1] / "golden" / "starter.yaml"
    assert starter("train.csv", base=tmp_path) == golden.read_text(encoding="utf-8")


def test_a_file_that_is_there_is_never_overwritten():
    write_csv()
    Path("grid.yaml").write_text("mine")
    with pytest.raises(KerasgridError) as caught:
        write_starter("train.csv", Path("grid.yaml"))
    assert str(caught.value) == (
        "grid.yaml exists already, and is never overwritten. Give another file with -o FILE, or move it."
    )
    assert Path("grid.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "said", "message"),
    [
        (None, {}, "train.csv: there is no such file."),
        ("", {}, "train.csv: empty."),
        ("label;p0;p1\n1;2;3\n", {}, "train.csv, line 1: separated by ';'. Save it separated by commas."),
        ("5,0,0,1,2\n3,1,2,3,4\n", {}, "train.csv, line 1: numbers, where the columns' names are needed. "),
        ("label,p0\n0,1\n0,2\n", {}, "train.csv: all 2 samples are of the class 0."),
        ("label,p0,p1\n0,1,x\n1,x,x\n", {}, "train.csv: no column is a feature: 'p0' (another value in "),
        ("label,p0\n0,1\n1\n", {}, "train.csv, line 3: 1 cell, but the header has 2 columns."),
        (
            "label,p0\n0,1\n1,3\n",
            {},
            "train.csv: class 0 has 1 sample, the most of all, and search.folds is 2: each fold needs one",
        ),
        (
            "p0,p1,p2,p3\n1,2,3,4\n5,6,7,8\n",
            {},
            "train.csv: which of its 4 columns is the label cannot be told: none is named label, labels, target, "
            "targets, class, classes, category, y or the like, and neither the first ('p0') nor the last ('p3') "
            "looks like classes. Say it: kerasgrid init train.csv --label NAME.",
        ),
        (
            "label,px0,px1,px2,px3,px4\n0,1,2,3,4,5\n1,1,2,3,4,5\n",
            {},
            "train.csv: 5 pixel columns, which are neither a square nor one of 3 channels. If one of them is no "
            "pixel, say it: kerasgrid init train.csv --id NAME (or --label NAME). If the images are no squares, "
            "write data.image: [height, width, channels] into a grid.yaml yourself.",
        ),
        (
            "label,p0\n0,1\n1,2\n",
            {"label": "lable"},
            "train.csv, line 1: no label column 'lable'. Did you mean 'label'? Columns: label, p0. Name it with "
            "--label.",
        ),
        (
            "label,p0\n0,1\n1,2\n",
            {"id": "p9"},
            "train.csv, line 1: no id column 'p9'. Columns: label, p0. Correct --id, or leave it out.",
        ),
        ('label,p0\n0,"1\n', {}, "train.csv, line 2 or after: "),
    ],
)
def test_what_cannot_be_started_from(text, said, message):
    if text is not None:
        Path("train.csv").write_text(text)
    with pytest.raises(DataError) as caught:
        write_starter("train.csv", Path("grid.yaml"), **said)
    assert str(caught.value).startswith(message)
    assert not Path("grid.yaml").exists()


def test_other_kinds_of_source_that_cannot_be_started_from(tmp_path):
    Path("notes.txt").write_text("x")
    Path("photos").mkdir()
    Path("only-images-idx3-ubyte").write_bytes(idx(np.zeros((4, 2, 2))))
    Path("only-labels-idx1-ubyte.bak").write_bytes(idx(np.zeros(4)))
    for source, kind, message in (
        ("notes.txt", DataError, "notes.txt: data.train is a kind of file that is not known here."),
        (
            "photos",
            DataError,
            "photos: no images (.bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp) in it or ",
        ),
        ("gone.npz", DataError, "gone.npz: there is no such file."),
        (
            "only-images-idx3-ubyte",
            DataError,
            "only-images-idx3-ubyte: there is no file of labels beside it (looked for only-labels-idx1-ubyte, "
            "only-labels-idx1-ubyte.gz). Write the pair into a grid.yaml yourself: ",
        ),
        ("only-labels-idx1-ubyte.bak", DataError, "only-labels-idx1-ubyte.bak holds labels, by its name."),
    ):
        with pytest.raises(kind) as caught:
            starter(source, base=tmp_path)
        assert str(caught.value).startswith(message)
    with pytest.raises(DataError, match=r"digits: --label names a column of a \.csv file, which this is not"):
        starter("digits", base=tmp_path, label="x")


def table(names, *columns, path="train.csv"):
    """Writes a CSV of columns."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, *zip(*columns, strict=True)])


CLASSES = np.random.default_rng(1).integers(0, 4, 120)
ONE_HOT = np.eye(4, dtype=int)[CLASSES].T.tolist()
NOISE = np.random.default_rng(2).normal(size=(16, 120)).round(3).tolist()
FLAGS = np.random.default_rng(3).integers(0, 2, (3, 120)).tolist()
IDS = [f"Train_{row}" for row in range(120)]


@pytest.mark.parametrize(
    ("names", "columns", "message"),
    [
        (
            ["image_id", "healthy", "both", "rust", "scab"],
            [IDS, *ONE_HOT],
            "column 'image_id' names images, such as 'Train_0', and the rest of a row, 'healthy', 'both', 'rust', "
            "'scab', is what is known of one. There are no such files in ., in a folder or a .zip there. Put their "
            "folder beside the CSV file, or write where they are into a grid.yaml yourself: data: {files: {column: "
            "image_id, folder: FOLDER, suffix: .jpg}}.",
        ),
        (["a", "b", "c", "photo"], [*FLAGS, IDS], "column 'photo' names images, such as 'Train_0'"),
        (
            ["file", "breed"],
            [[f"{id}.JPG" for id in IDS], CLASSES],
            "column 'file' names images, such as 'Train_0.J",
        ),
        (
            ["breed", "path"],
            [CLASSES, [f"a/{id}.png" for id in IDS]],
            "column 'path' names images, such as 'a/Tra",
        ),
        (["pet", "label"], [[f"there/{row}" for row in range(120)], CLASSES], "there/0.png: is no image"),
        (["id", "label"], [range(120), CLASSES], "there/0.png: is no image"),
        (["id", "label"], [IDS, CLASSES], None),
    ],
)
def test_a_table_that_names_images_is_no_picture(names, columns, message):
    Path("there").mkdir()
    for row in range(120):
        Path(f"there/{row}.png").touch()
    table(names, *columns)
    with pytest.raises(DataError) as caught:
        write_starter("train.csv", Path("grid.yaml"))
    told = (
        message or "line 1: no columns of samples: only id, label. Where one names image files: data.files: "
    )
    assert told in str(caught.value)
    assert not Path("grid.yaml").exists()


@pytest.mark.parametrize(
    ("names", "columns", "told"),
    [
        (["code", "b", "label"], [CLASSES * 10, NOISE[0], CLASSES], "'code'"),
        (["code", "b", "label"], [-CLASSES, NOISE[0], [f"class {k}" for k in CLASSES]], "'code'"),
        (["a", "b", "c", "d", "label"], [*ONE_HOT, CLASSES], "'a', 'b', 'c', 'd'"),
        (["x", "is_two", "label"], [NOISE[0], CLASSES == 2, CLASSES], None),
        (["healthy", "both", "rust", "scab"], ONE_HOT, "'both', 'rust', 'scab' together"),
        (["both", "rust", "size", "scab"], [*ONE_HOT[:2], NOISE[0], ONE_HOT[2]], None),
    ],
)
def test_columns_that_give_the_label_away_start_no_search(names, columns, told):
    table(
        names, *(np.multiply(column, 1) if np.asarray(column).dtype == bool else column for column in columns)
    )
    if told is None and names[-1] == "scab":  # two of the classes are still to be learnt
        return
    with pytest.raises(DataError, match="wholly or in part, so that a search would end") as caught:
        write_starter("train.csv", Path("grid.yaml"))
    told = told or "'is_two'"
    assert str(caught.value).startswith(
        f"train.csv: the label {names[-1 if names[0] != 'healthy' else 0]!r} can be told"
    )
    assert f"from {told}, wholly" in str(caught.value)
    assert ("--id" in str(caught.value)) is (told.count("'") == 2)


def test_columns_of_constant_sum_are_told():
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 120).round(6)
    shares[:, 3] = 1 - shares[:, :3].sum(axis=1)
    table(["p0", "p1", "p2", "p3", "label"], *shares.T.round(6).tolist(), CLASSES)
    told = "  # the columns add up to 1 in each row, as shares or labels do: are they samples?\n"
    assert told in starter("train.csv", base=Path.cwd())
    table(["p0", "p1", "p2", "p3", "label"], *NOISE[:4], CLASSES)
    assert "add up to" not in starter("train.csv", base=Path.cwd())


def test_a_column_whose_name_no_yaml_holds_is_told_with_its_file():
    Path("train.csv").write_text("a\0b,p0\n" + "0,1\n1,2\n0,5\n" * 9)
    with pytest.raises(
        DataError, match=r"^train\.csv, line 1: the column 'a\\x00b' cannot be written into a grid"
    ):
        write_starter("train.csv", Path("grid.yaml"))


def test_columns_of_their_own_names_are_a_table():
    names = ["PassengerId", "Name", "Age", "Sex", "Sold", "Survived"]
    own = [
        range(1, 121),
        [f"Mr. {n}" for n in range(120)],
        [n % 50 if n % 7 else "" for n in range(120)],
        ["male", "female", "NA"] * 40,
        [f"2024-{n % 12 + 1:02}-01" for n in range(120)],
    ]
    table(names, *own, np.arange(120) % 2)
    table(names[:5], *own, path="test.csv")
    target = write_starter("train.csv", Path("grid.yaml"))
    text = target.read_text()
    assert text.startswith("# A first search: 120 samples of 3 columns in 2 classes.\n")
    for line in (
        "  label: Survived                # the column that the test set lacks\n",
        "  id: PassengerId                # no feature: it has another value in each row\n",
        "  # features:\n  #   numeric: [Age]\n  #   categorical: [Sex]\n  #   date: [Sold]\n  # left out: 'Name' "
        "(another value in each row)",
        "model: mlp                       # fully connected layers for tables",
    ):
        assert line in text
    assert prepare(target).data.table.columns[1].categories == ("female", "male")
    for key in ("features", "  numeric", "  categorical", "  date"):
        text = text.replace(f"  # {key}:", f"  {key}:")
    target.write_text(text)
    assert prepare(target).config.data.features.date == ["Sold"]


@pytest.mark.parametrize(
    ("prices", "scale"),
    [
        (NOISE[5], "standardize"),
        ([*range(100_000, 100_840, 7)], "standardize"),
        ((np.exp(12 + 0.7 * np.random.default_rng(0).standard_normal(120))).round().tolist(), "log"),
        ((-np.exp(np.random.default_rng(0).standard_normal(120))).round(4).tolist(), "standardize"),
    ],
)
def test_numbers_of_many_values_are_predicted(prices, scale):
    table(["area", "kind", "SalePrice"], NOISE[0], ["a", "b", "c"] * 40, prices)
    table(["area", "kind"], NOISE[0], ["a", "b", "c"] * 40, path="test.csv")
    prepared = prepare(write_starter("train.csv", Path("grid.yaml")))
    assert prepared.data.target.is_numbers
    assert (prepared.config.data.target, prepared.config.data.target_scale) == ("SalePrice", scale)
    assert prepared.objective.name == "neg_root_mean_squared_error"


@pytest.mark.parametrize(
    ("of_train", "of_test", "id"),
    [
        ([], ["id"], "id"),
        ([], ["row"], "row"),
        (["id"], ["id"], "id"),
        (["id"], [], "id"),
        ([], [], None),
        ([], ["id", "source"], "id"),
        ([], ["this", "that"], None),
    ],
)
def test_the_id_may_be_a_column_of_train_of_test_or_of_both(of_train, of_test, id):
    pixels = [f"pixel{place}" for place in range(16)]
    table([*of_train, "label", *pixels], *[range(120)] * len(of_train), CLASSES, *NOISE)
    table([*of_test, *pixels], *[range(120)] * len(of_test), *NOISE, path="test.csv")
    prepared, value = started()
    assert value["data"].get("id") == id
    assert prepared.data.images.shape == (120, 4, 4, 1)
    assert [line for line in prepared.warnings if "data.test" in line] == (
        []
        if len(of_test) < 2
        else [
            f"data.test: test.csv, line 1: {18 - (id == 'id')} pixel columns, and an image that was trained on has "
            f"16. It has {', '.join(map(repr, of_test[id == 'id' :]))}, which the training data have not. Beside the "
            "pixels there may be the label column 'label' and one id column, which data.id names. predict refuses "
            "it as it is."
        ]
    )


@pytest.mark.slow
def test_what_init_wrote_is_searched_as_it_is():
    from kerasgrid.driver.search import search

    write_csv(n=30, side=2, labels=("b", "a"), extra=[(0, "id", range(30))])
    target = write_starter("train.csv", Path("grid.yaml"))
    few = ["params.epochs=1", "space.dropout=[0.2]", "space.batch_norm=[true]", "search.folds=2"]
    results = search(target, overrides=["executor.kind=inline", *few])
    assert results.status == "complete"
    assert (results.data["summary"]["trials"], results.data["summary"]["failed"]) == (2, 0)


def test_commands_are_printed_as_a_shell_takes_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my data").mkdir()
    (tmp_path / "my data" / "train.csv").write_text("label,p0\n" + "0,1\n1,2\n" * 30)
    assert run(monkeypatch, "init", "my data/train.csv", "-o", "my grid.yaml") == 0
    assert "  kerasgrid check 'my grid.yaml'\n  kerasgrid search 'my grid.yaml'\n" in capsys.readouterr().out
    (tmp_path / "my data" / "wide.csv").write_text("label,px0,px1,px2,px3,px4\n0,1,2,3,4,5\n1,1,2,3,4,5\n")
    assert run(monkeypatch, "init", "my data/wide.csv", "-o", "other.yaml") == 1
    assert "say it: kerasgrid init 'my data/wide.csv' --id NAME" in capsys.readouterr().err


def test_houses_as_on_kaggle():
    """All is found that a first search needs, and what is guessed is told."""
    write_houses(Path(), 120, 20)
    prepared, value = started()
    assert value["data"] == {
        "train": "train.csv",
        "test": "test.csv",
        "target": "SalePrice",
        "target_scale": "log",
        "id": "Id",
        "sample_submission": "sample_submission.csv",
    }
    assert value["model"] == "mlp"
    assert value["space"] == {
        "learning_rate": [0.0003, 0.003],
        "embedding_size": [0, 8],
        "dropout": [0.0, 0.2],
    }
    kinds = [column.kind for column in prepared.data.table.columns]
    text = Path("grid.yaml").read_text()
    assert kinds.count("numeric") + kinds.count("categorical") == len(kinds) > 70
    assert "  #   numeric: [MSSubClass, LotFrontage," in text
    assert "  #   categorical: [MSZoning, " in text
    assert prepared.warnings == ()
