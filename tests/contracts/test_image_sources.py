"""Image files: the same images are the same data, however files, folders, archives and CSV files tell."""

# ruff: noqa: E501 - a message on one line is easier to read

from __future__ import annotations

import csv
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kerasgrid.checks.prepared import prepare
from kerasgrid.cli.starter import write_starter
from kerasgrid.config.sections import DataConfig, ImageColumn, ImagePattern
from kerasgrid.data.load import load_data, load_with_test
from kerasgrid.data.sources import open_stream
from kerasgrid.errors import ConfigError, DataError

N = 12
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 6, 5, 3)).astype(np.uint8)
NAMES = ("cat", "dog")
LABELS = np.arange(N) % 2
FLAGS = np.stack([LABELS, np.arange(N) % 3 == 0, np.arange(N) < 7], axis=1).astype(int)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "data"


def put(path: str, row: int) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(IMAGES[row]).save(path)


def put_all(pattern: str) -> None:
    """Writes all images where a pattern of `{row}` and `{name}` tells."""
    for row in range(N):
        put(pattern.format(row=row, name=NAMES[LABELS[row]]), row)


def table(path: str, names: list[str], *columns: Any) -> str:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.endswith(".tsv") else ",")
        writer.writerows([names, *zip(*columns, strict=True)])
    return path


def packed(folder: str, path: str) -> str:
    """Packs what is in a folder, and removes it."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(Path(folder).rglob("*")):
            archive.write(file, file.relative_to(folder))
    shutil.rmtree(folder)
    return path


WORDS = [NAMES[label] for label in LABELS]


def class_folders() -> str:
    put_all("train/{name}/{row:02}.png")
    return "train"


def deep_class_folders() -> str:
    put_all("set/set/train/{name}/a/b{row:02}.png")
    put("set/set/test/0.png", 0)
    Path("set/set/train/.DS_Store").touch()
    for name in ("Thumbs.db", "thumbs.db", "DESKTOP.INI", "._0.png"):
        Path(f"set/set/train/cat/{name}").touch()
    return "set"


def packed_class_folders() -> str:
    class_folders()
    Path("train/__MACOSX/cat").mkdir(parents=True)
    Path("train/__MACOSX/cat/._0.png").write_bytes(b"x")
    return packed("train", "train.zip")


def flat() -> ImagePattern:
    put_all("photos/{name}.{row}.png")
    Path("photos/notes.txt").write_text("x")
    return ImagePattern(files="photos/*", label="^(cat|dog)")


def below_a_pattern() -> ImagePattern:
    put_all("photos/{row}/x/{name}.png")
    return ImagePattern(files="photos/**/*.png", label="cat|dog")


def packed_pattern() -> ImagePattern:
    put_all("photos/train/{name}.{row}.png")
    packed("photos", "photos.zip")
    return ImagePattern(files="photos.zip/train/*.png", label="(cat|dog)")


def names_without_suffix() -> str:
    put_all("train_images/Train_{row}.png")
    return table("train.csv", ["image_id", "label"], [f"Train_{row}" for row in range(N)], WORDS)


def names_with_suffix() -> str:
    put_all("images/{row}.png")
    return table("train.tsv", ["label", "file"], WORDS, [f"{row}.png" for row in range(N)])


def names_with_folders() -> str:
    put_all("data/train/{name}/{row}.png")
    paths = [f"train/{word}/{row}.png" for row, word in enumerate(WORDS)]
    return table("data/labels.csv", ["path", "label", "width"], paths, WORDS, [5] * N)


def names_in_several_folders() -> str:
    put_all("parts/{name}/x{row}.png")
    return table("train.csv", ["id", "label"], [f"x{row}" for row in range(N)], WORDS)


def names_of_several_kinds() -> str:
    for row in range(N):
        put(f"images/{row}.{('png', 'BMP')[row % 2]}", row)
    return table("train.csv", ["id", "label"], range(N), WORDS)


def names_in_a_zip() -> str:
    put_all("all/train/{row}.png")
    table("all/train.csv", ["id", "label"], range(N), WORDS)
    table("all/test.csv", ["id"], range(3))
    return packed("all", "all.zip")


def names_beside_a_zip() -> str:
    put_all("all/train/{row}.png")
    packed("all", "images.zip")
    return table("train.csv", ["id", "label"], range(N), WORDS)


@dataclass(frozen=True)
class Form:
    """A way in which image files and labels lie.

    Attributes:
        write: Writes them, and returns `data.train`.
        options: Of the section `data`.
        report: Lines on what was guessed.
    """

    write: Callable[[], Any]
    options: dict[str, Any] = field(default_factory=dict)
    report: tuple[str, ...] = ()


FORMS = {
    "class folders": Form(class_folders),
    "class folders, deep": Form(
        deep_class_folders,
        {},
        (
            "files: the classes are the folders in set/set/train, beside 'test/', which data.test and "
            "data.validation may name",
        ),
    ),
    "class folders in a zip": Form(packed_class_folders),
    "pattern": Form(flat, {}, ("files: 1 that is no image is left out: notes.txt",)),
    "pattern of folders": Form(below_a_pattern),
    "pattern in a zip": Form(packed_pattern),
    "names without suffix": Form(
        names_without_suffix, {}, ("files: 'image_id' names files in train_images, with .png",)
    ),
    "names as they are told": Form(
        names_without_suffix,
        {"files": ImageColumn(column="image_id", folder="train_images", suffix=".png")},
    ),
    "names with suffix": Form(names_with_suffix, {}, ("files: 'file' names files in images",)),
    "names with folders": Form(
        names_with_folders,
        {},
        ("files: 'path' names files in data", "columns: 'width' is left out: 'path' names the images"),
    ),
    "names in several folders": Form(
        names_in_several_folders,
        {},
        ("files: 'id' names files in . and its folders, with .png",),
    ),
    "names in several folders that are told": Form(
        names_in_several_folders, {"files": ImageColumn(column="id", folder="parts", suffix=".png")}
    ),
    "names of several kinds": Form(
        names_of_several_kinds, {}, ("files: 'id' names files in images, with .png or .BMP",)
    ),
    "names in a zip": Form(names_in_a_zip, {}, ("files: 'id' names files in all.zip/train, with .png",)),
    "names beside a zip": Form(
        names_beside_a_zip, {}, ("files: 'id' names files in images.zip/train, with .png",)
    ),
}


def section(train: Any, **options: Any) -> DataConfig:
    return DataConfig(train=train, **options)


def in_order(data: Any) -> tuple[np.ndarray, list[Any]]:
    """The images of a dataset and what each is of, in the order of `IMAGES`."""
    known = {image.tobytes(): row for row, image in enumerate(IMAGES)}
    rows = np.argsort([known[image.tobytes()] for image in np.asarray(data.images)])
    labels = [data.target.names[label] for label in data.labels[rows]]
    return data.images[rows], labels


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_all_forms_are_the_same_images_and_classes(form, cache):
    data = load_data(section(form.write(), **form.options))
    images, labels = in_order(data)
    np.testing.assert_array_equal(images, IMAGES)
    assert labels == WORDS
    assert (data.target.kind, data.target.names) == ("classes", NAMES)
    assert data.report == form.report
    assert [str(path) for path in cache.iterdir()] == [data.folder]


@pytest.mark.parametrize("name", ["class folders", "pattern in a zip", "names without suffix"])
def test_an_image_that_was_changed_is_other_data(name):
    form = FORMS[name]
    first = load_data(section(form.write(), **form.options))
    IMAGES[3, 2, 2] ^= 255
    try:
        second = load_data(section(form.write(), **form.options))
    finally:
        IMAGES[3, 2, 2] ^= 255
    assert second.fingerprint != first.fingerprint


@pytest.mark.parametrize("name", ["class folders in a zip", "pattern", "names with suffix"])
def test_image_files_become_the_shape_that_is_said(name):
    form = FORMS[name]
    data = load_data(section(form.write(), image=[4, 8, 1], **form.options))
    assert data.images.shape == (N, 4, 8, 1)


def drawn(data: Any) -> list[int]:
    known = {image.tobytes(): row for row, image in enumerate(IMAGES)}
    return [known[image.tobytes()] for image in np.asarray(data.images)]


def test_files_of_a_subset_that_cannot_be_decoded_are_replaced(cache):
    train, path = class_folders(), "train/{name}/{row:02}.png"
    first = drawn(load_data(section(train, subset=6)))
    bad = [row for row in first if not LABELS[row]]  # all of a class that were drawn
    for row in bad:
        Path(path.format(name="cat", row=row)).write_bytes(b"")
    given = section(train, subset=6, skip_bad=True)

    def stop(text: Any) -> None:
        if text.startswith("Decoding 6 image files to 6 x 5 x 3, 3 of them before"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_data(given, doing=stop)
    data = load_data(given)
    assert not list(cache.with_name("decoding").iterdir())
    assert sorted(drawn(data)) == sorted([row for row in range(N) if not LABELS[row] and row not in bad]
                                         + [row for row in first if LABELS[row]])  # fmt: skip
    assert data.report[0].startswith("subset: 6 of 12 samples, stratified, seed 0, 3 of them replaced; label")
    assert data.report[1].startswith("files: 3 images of 9 cannot be decoded, left out: 'train/cat/")
    shutil.rmtree(cache)
    assert load_data(given).fingerprint == data.fingerprint
    for row in first:
        Path(path.format(name=WORDS[row], row=row)).write_bytes(b"")
    assert sorted(drawn(load_data(given))) == sorted(set(range(N)) - set(first))
    for row in range(8):
        Path(path.format(name=WORDS[row], row=row)).write_bytes(b"")
    with pytest.raises(
        DataError, match=r"^train: data\.subset is 6, and of 12 image files \d+ cannot be decoded"
    ):
        load_data(given)


# Several labels


SEVERAL = ("red", "a b", "3")


def columns_of_flags(path="train.csv") -> list[str]:
    put_all("train/{row}.png")
    table(path, ["id", *SEVERAL], range(N), *FLAGS.T.tolist())
    return list(SEVERAL)


def tags(split: str, labels=SEVERAL) -> list[str]:
    return [split.join(name for name, flag in zip(labels, row, strict=True) if flag) for row in FLAGS]


def test_columns_of_0_and_1_are_labels_by_their_names():
    data = load_data(section("train.csv", label=columns_of_flags()))
    assert (data.target.kind, data.target.names) == ("labels", SEVERAL)
    assert data.labels.dtype == np.uint8
    np.testing.assert_array_equal(data.labels, FLAGS)
    np.testing.assert_array_equal(data.images, IMAGES)


@pytest.mark.parametrize(("split", "names"), [("|", SEVERAL), (" ", ("red", "b", "3")), (", ", SEVERAL)])
def test_labels_in_one_cell_are_sorted_by_their_names(split, names):
    put_all("train/{row}.png")
    table("train.csv", ["id", "tags"], range(N), tags(split, names))
    data = load_data(section("train.csv", label={"column": "tags", "split": split}))
    order = sorted(range(3), key=lambda place: names[place])
    assert (data.target.kind, data.target.names) == ("labels", tuple(sorted(names)))
    np.testing.assert_array_equal(data.labels, FLAGS[:, order])
    stream = open_stream("train.csv", (6, 5, 3), section("train.csv", label={"column": "tags", "split": split}),
                         target=data.target)  # fmt: skip
    (chunk,) = stream.chunks()
    assert chunk.labels == list(map(tuple, FLAGS[:, order].tolist()))


@pytest.mark.parametrize("pixels", ["columns", "cells", "features"])
def test_pixels_and_tables_have_several_labels_too(pixels):
    rows = np.arange(N * 4).reshape(N, 4) % 7
    columns: dict[str, Any] = {f"p{place}": column for place, column in enumerate(rows.T.tolist())}
    options: dict[str, Any] = {}
    if pixels == "cells":
        columns, options = {"x": [" ".join(map(str, row)) for row in rows]}, {"pixels": "x"}
    elif pixels == "features":
        columns = {"size": rows[:, 0].tolist(), "kind": ["u", "v", "w"] * 4}
    flags = dict(zip(SEVERAL, FLAGS.T.tolist(), strict=True))
    table("train.csv", [*flags, *columns, "tags"], *flags.values(), *columns.values(), tags(";"))
    for label in (list(SEVERAL), {"column": "tags", "split": ";"}):
        others = ["tags"] if isinstance(label, list) else list(SEVERAL)
        if pixels != "cells":
            table("train.csv", [*flags, *columns] if isinstance(label, list) else [*columns, "tags"],
                  *(flags.values() if isinstance(label, list) else ()), *columns.values(),
                  *(() if isinstance(label, list) else (tags(";"),)))  # fmt: skip
        told = section("train.csv", label=label, **options)
        data = load_data(told)
        order = range(3) if isinstance(label, list) else sorted(range(3), key=lambda place: SEVERAL[place])
        np.testing.assert_array_equal(data.labels, FLAGS[:, list(order)])
        shape, stream_table = data.images.shape[1:], data.table
        stream = open_stream("train.csv", shape, told, table=stream_table, target=data.target)
        found = [label for chunk in stream.chunks() for label in chunk.labels]
        assert found == list(map(tuple, data.labels.tolist()))
        assert (f"columns: {', '.join(map(repr, others))}" in " ".join(data.report)) is (pixels == "cells")


# What is wrong


def messages(train: Any, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_data(section(train, **options))
    return str(caught.value)


def test_all_that_is_wrong_with_rows_and_files_is_told_together():
    put_all("train/{row}.png")
    Path("train/9.png").write_bytes(b"no image")
    table(
        "train.csv",
        ["id", "red", "blue"],
        [0, 1, 77, 3, 4, "", 6, 78, *range(8, N), 3, 4],
        [0, 1, 2, 1, "x", *[0, 1] * 3, 1, 1, 1],
        [1, "", *[0, 1] * 5, 1, 1],
    )
    told = messages("train.csv", label=["red", "blue"], files=ImageColumn(column="id", suffix=".png"))
    assert told.split("\n") == [
        "train.csv, line 7, column 'id': no file is named. Fill it in or drop the row.",
        "train.csv, line 4, column 'id': '77.png' is no file in train; so is line 9. Fetch it, drop the row, or "
        "correct data.files: {column, folder, suffix}.",
        "train.csv, line 4, column 'red': the label is '2'; so is line 6. 0 or 1 holds, of several labels a "
        "sample.",
        "train.csv, line 3, column 'blue': the label is missing. 0 or 1 holds. Fill it in or drop the row.",
        "train.csv, line 14, column 'id': '3.png' is listed a second time, as in line 5. Keep one row of "
        "each file.",
        "data.skip_bad: true leaves out rows without a file or without one label.",
        "train.csv: 1 image file of 8 cannot be decoded:",
        "  train/9.png is no image of a format that is read, or its header is damaged",
        "Fetch them again, or leave them out with data.skip_bad: true.",
    ]


def test_names_that_are_numbers_are_known_where_one_comes_twice():
    put_all("train/{row}.png")
    table("train.csv", ["id", "label"], [*range(N), 3], [*WORDS, WORDS[3]])
    assert len(load_data(section("train.csv", skip_bad=True))) == N
    table("table.csv", ["many", "label"], [row % 9 + 8 for row in range(N)], WORDS)  # 8 to 11 are names
    assert load_data(section("table.csv")).table is not None


LISTED = [*range(N), 3, 4, "", 77, 6]
"""Files that rows name; the row of 8 has no label, that of 3 the same twice, that of 4 another one."""


@pytest.mark.parametrize("kind", ["classes", "labels", "tags", "numbers"])
def test_rows_without_a_file_or_without_one_label_are_left_out_and_counted(kind):
    put_all("train/{row}.png")
    Path("train/9.png").write_bytes(b"no image")
    spelled: dict[str, Any] = {
        "classes": {"label": [*WORDS, "dog", "dog", "cat", "cat", "cat"]},
        "labels": {"a": [*range(2)] * 8 + [0], "b": [0] * 6 + [1] * 6 + [0, 1, 1, 1, 1]},
        "tags": {"tags": ["a", "b", *["a b", "b"] * 5, "b", "a", "a", "a", "a b"]},
        "numbers": {"price": [*range(N), 3, 7, 8, 9, 6]},
    }[kind]
    (first, *_) = spelled
    if kind == "labels":
        spelled["a"][12:15] = [1, 1, 0]
        spelled["b"][12] = 0
    if kind != "tags":  # an empty cell of which has no label, which holds
        spelled[first][8] = ""
    table(
        "train.csv",
        ["file", *spelled],
        [f"{row}.png" if row != "" else "" for row in LISTED],
        *spelled.values(),
    )
    options = {
        "labels": {"label": ["a", "b"]},
        "tags": {"label": {"column": "tags"}},
        "numbers": {"target": "price"},
    }
    data = load_data(
        section("train.csv", files=ImageColumn(column="file"), skip_bad=True, **options.get(kind, {}))
    )
    left = [row for row in range(N) if row not in (4, 9, *([8] if kind != "tags" else []))]
    np.testing.assert_array_equal(data.images, IMAGES[left])
    assert [line for line in data.report if "left out" in line] == [
        "files: 1 row of 17 without a file, left out: line 16",
        "files: 1 row of 17 of files that are not there, left out: line 17",
        *["files: 1 row of 17 without a label, left out: line 10"] * (kind != "tags"),
        "files: 2 rows of 17 that repeat a file and its label, left out: line 14, line 18",
        "files: 2 rows of 17 of files with several labels, left out: line 6, line 15",
        f"files: 1 image of {len(left) + 1} cannot be decoded, left out: 'train/9.png'",
    ]


@pytest.mark.parametrize("form", ["folders", "pattern"])
def test_files_of_no_class_are_left_out_and_counted_or_told_with_those_that_are_no_images(form):
    if form == "folders":
        train: Any = class_folders()
        bad = "train/cat/00.png"
        fault = (
            "train: 1 name of 15 behind which there is no file: dog/z.png. Links lead nowhere: fetch the files, "
            "or leave these out with data.skip_bad: true.\n"
            "train: 2 images beside the folders of classes 'cat', 'dog', of no class: x.png, y.png."
        )
        lines = [
            "files: 1 image of 15 behind whose links there is no file, left out: dog/z.png",
            "files: 2 images of 14 beside the folders of classes, left out: x.png, y.png",
        ]
        os.symlink("nowhere.png", "train/dog/z.png")
        put("train/x.png", 0)
        put("train/y.png", 1)
    else:
        train = flat()
        bad = "photos/cat.0.png"
        put("photos/x.png", 0)
        put("photos/catdog.png", 1)
        train = train.model_copy(update={"label": "cat|dog"})
        fault = "data.train.label is 'cat|dog', by which 1 file of 14 in photos is of no class: x.png.\n"
        lines = [
            "files: 1 image of 14 of no class by data.train.label, left out: x.png",
            "files: 1 image of 14 of several classes by data.train.label, left out: catdog.png ('cat', 'dog')",
        ]
    Path(bad).write_bytes(b"")
    told = messages(train)
    assert told.startswith(fault)
    assert f"  {bad} is empty\n" in told
    data = load_data(section(train, skip_bad=True))
    assert in_order(data)[0].shape == (N - 1, 6, 5, 3)
    assert [line for line in data.report if "notes.txt" not in line] == [
        *lines,
        f"files: 1 image of 12 cannot be decoded, left out: '{bad}'",
    ]


def empty() -> None:
    Path("train").mkdir()


def of_tables() -> None:
    table("train/a.csv", ["x"], [1])
    table("train/b.csv", ["x"], [1])


def of_one_class() -> None:
    put("train/cat/0.png", 0)
    put("train/cat/1.png", 1)


def loose() -> None:
    put_all("train/{name}.{row}.png")


def loose_beside() -> None:
    class_folders()
    put("train/x.png", 0)
    put("train/y.png", 1)


NO_IMAGES = "no images (.bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp) in it or below: there "


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (empty, f"train: {NO_IMAGES}are no files."),
        (
            of_tables,
            f"train: {NO_IMAGES}are 2 files: a.csv, b.csv. Of a CSV file give its name: train/a.csv.",
        ),
        (
            of_one_class,
            "train: all 2 images are in the folder cat/. At least two classes, a folder each, are needed to "
            "learn from.",
        ),
        (
            loose,
            "train: 12 images and no folders of classes. Where their names tell the class: data.train: {files: "
            "train/*.png, label: REGEX}, such as (cat|dog), which is found in cat.0.png; else the CSV file that "
            "names them.",
        ),
        (
            loose_beside,
            "train: 2 images beside the folders of classes 'cat', 'dog', of no class: x.png, y.png. Move each "
            "into its class's folder, or elsewhere, or leave them out with data.skip_bad: true.",
        ),
    ],
)
def test_folders_that_are_none_of_class_folders(write, message):
    write()
    assert messages("train") == message


@pytest.mark.parametrize(
    ("files", "label", "message"),
    [
        ("train/*.jpg", "(cat|dog)", "data.train.files is 'train/*.jpg', which matches nothing. In train there are 13 "
         "files: cat.0.png, cat.10.png, cat.2.png, cat.4.png, cat.6.png, cat.8.png, dog.1.png, dog.11.png and 5 "
         "more."),
        ("gone/*.png", "(cat|dog)", "data.train.files is 'gone/*.png', and there is no folder gone."),
        ("train/*.png", "(cat", "data.train.label is '(cat', which is no regular expression: missing ), "
         "unterminated subpattern at position 0."),
        ("train/*.png", "(c)(a)t", "data.train.label is '(c)(a)t', which has 2 groups, and one is the class: begin "
         "the others with (?:."),
        ("train/*.png", "cat|do|og", "data.train.label is 'cat|do|og', by which 1 file of 13 in train is of no class: "
         "x.png.\nCorrect the expression, have data.train.files match others, or leave these out with "
         "data.skip_bad: true."),
        ("train/*.png", "[a-z]+", "data.train.label is '[a-z]+', by which 13 files of 13 in train are of several "
         "classes: cat.0.png ('cat', 'png'), "),
        ("train/*.png", None, "data.train.label is missing: a regular expression that finds the class in a file's "
         "path, such as (cat|dog). "),
    ],
)  # fmt: skip
def test_patterns_that_tell_no_classes(files, label, message):
    loose()
    put("train/x.png", 0)
    assert messages(ImagePattern(files=files, label=label)).startswith(message)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("../a.png", b"x", "x.zip: holds the name '../a.png', which leads out of the archive."),
        ("/a.png", b"x", "x.zip: holds the name '/a.png', which leads out of the archive."),
        ("C:/a.png", b"x", "x.zip: holds the name 'C:/a.png', which leads out of the archive."),
        ("a/0.png", bytes(70 * 2**20), "x.zip: 73,400,"),
    ],
)
def test_archives_that_hold_what_data_do_not(name, content, message):
    with zipfile.ZipFile("x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        archive.writestr("b/1.png", b"x")
    assert messages("x.zip").startswith(message)
    Path("x.zip").write_bytes(b"PK\3\4 and no more")
    assert messages("x.zip").startswith("x.zip: no .zip file, or a damaged one (")


@pytest.mark.parametrize("place", ["x.zip", "x.zip/train.zip", "x.zip/train.zip/train"])
def test_an_archive_in_an_archive_is_told(place):
    packed_class_folders()
    with zipfile.ZipFile("x.zip", "w") as archive:
        archive.write("train.zip")
    assert " .zip in a .zip" in messages(place)
    assert "npack x.zip, and name what comes out." in messages(place)


def test_files_that_two_folders_have_are_not_guessed():
    put_all("a/{row}.png")
    put_all("b/{row}.png")
    table("train.csv", ["id", "label"], range(N), WORDS)
    told = "train.csv: names files that are in a/*.png and b/*.png. Say which by data.files: {column: ..., "
    assert messages("train.csv").startswith(told)
    assert (
        len(load_data(section("train.csv", files=ImageColumn(column="id", folder="b", suffix=".png")))) == N
    )


def test_whole_paths_lead_to_the_same_files_from_every_folder():
    put_all("images/{row}.png")
    table("train.csv", ["path", "label"], [f"{Path.cwd()}/images/{row}.png" for row in range(N)], WORDS)
    np.testing.assert_array_equal(load_data(section("train.csv")).images, IMAGES)


def test_names_of_windows_and_suffixes_in_capitals_are_followed():
    put_all("images/{name}/{row}.PNG")
    table("train.csv", ["file", "label"], [f"{word}\\{row}" for row, word in enumerate(WORDS)], WORDS)
    data = load_data(section("train.csv"))
    np.testing.assert_array_equal(data.images, IMAGES)
    assert data.report == ("files: 'file' names files in images, with .PNG",)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("3.PNG", "3.png"),
        ("deep/3.png", "3.png"),
        ("cat/3.Png", "3.png"),
        ("3.jpg", "3.png"),
        ("99.png", None),
    ],
)
def test_the_file_that_may_be_meant_is_told(name, found):
    put_all("train/{row}.png")
    table("train.csv", ["file", "label"], [name if row == 3 else f"{row}.png" for row in range(N)], WORDS)
    what = f", where {found!r} is one" if found else ""
    told = f"train.csv, line 5, column 'file': {name!r} is no file in train{what}. Fetch it"
    assert messages("train.csv").startswith(told)


def test_what_is_missing_is_not_taken_from_a_folder_of_others():
    put_all("train/{row}.png")
    for row in range(20, 24):
        put(f"test/{row}.png", 0)
    os.rename("train/3.png", "test/3.png")
    table("train.csv", ["file", "label"], [f"{row}.png" for row in range(N)], WORDS)
    assert messages("train.csv").startswith("train.csv, line 5, column 'file': '3.png' is no file in train. ")


def test_of_two_columns_that_name_files_the_other_is_told():
    put_all("train/{row}.png")
    put_all("masks/m{row}.png")
    names = [[f"{stem}{row}.png" for row in range(N)] for stem in ("", "m")]
    table("train.csv", ["image", "mask", "label"], *names, WORDS)
    data = load_data(section("train.csv"))
    np.testing.assert_array_equal(data.images, IMAGES)
    assert data.report == (
        "files: 'image' names files in train, and so may 'mask': data.files: {column: ...} says which",
        "columns: 'mask' is left out: 'image' names the images",
    )
    assert load_data(section("train.csv", files=ImageColumn(column="mask"))).report[-1] == (
        "columns: 'image' is left out: 'mask' names the images"
    )


def test_a_csv_in_a_zip_names_files_in_the_one_beside_it():
    put_all("train/{row}.png")
    with zipfile.ZipFile("train.zip", "w") as archive:
        for row in range(N):
            archive.write(f"train/{row}.png")
    shutil.rmtree("train")
    table("labels.csv", ["id", "label"], range(N), WORDS)
    with zipfile.ZipFile("labels.csv.zip", "w") as archive:
        archive.write("labels.csv")
    Path("labels.csv").unlink()
    data = load_data(section("labels.csv.zip", id="id"))
    np.testing.assert_array_equal(data.images, IMAGES)
    assert "files: 'id' names files in train.zip/train, with .png" in data.report


def test_what_lies_beside_train_and_test_is_no_class():
    put_all("set/train/{name}/{row}.png")
    put("set/test/0.png", 0)
    put("set/logo.png", 0)
    data = load_data(section("set", skip_bad=True))
    assert (len(data), data.target.names) == (N, NAMES)
    assert "beside 'test/', 'logo.png', which" in data.report[0]


def test_what_is_missing_of_rows_that_are_held_out_is_told_by_their_key():
    with pytest.raises(DataError, match=r"^data\.validation\.label is missing"):
        load_with_test(section(flat(), validation=ImagePattern(files="photos/*.png")))


def test_folders_without_images_are_told():
    class_folders()
    Path("train/cow").mkdir()
    assert "files: no images in 'cow/': no class is made of it" in load_data(section("train")).report


def test_columns_that_are_dropped_make_no_table_of_images():
    put_all("images/{row}.png")
    table("train.csv", ["id", "width", "height", "label"], range(N), [5] * N, range(N), WORDS)
    data = load_data(section("train.csv", drop=["width"]))
    np.testing.assert_array_equal(data.images, IMAGES)
    assert "columns: 'height' is left out: 'id' names the images" in data.report
    cells = [" ".join(map(str, image[..., 0].reshape(-1)[:16])) for image in IMAGES]
    table("faces.csv", ["label", "pixels", "Usage"], WORDS, cells, ["Training"] * N)
    assert load_data(section("faces.csv", drop=["Usage"])).images.shape == (N, 4, 4, 1)


# What is predicted


def sample(ids: list[Any], path="sample_submission.csv") -> None:
    table(path, ["id", "label"], ids, ["cat"] * len(ids))


@pytest.mark.parametrize(
    ("names", "ids", "told"),
    [
        (["a7", "b8"], ["a7", "b8"], "names without suffix, as sample_submission.csv has them"),
        (["a7", "b8"], ["a7.png", "b8.png"], "names, as sample_submission.csv has them"),
        (["a7", "b8"], ["7", "8"], "numbers in their names, as sample_submission.csv has them"),
        (["007", "008"], ["7", "8"], "names without suffix, as sample_submission.csv has them"),
        (["x/1", "y/1"], ["x/1", "y/1"], "paths without suffix, as sample_submission.csv has them"),
        (["a7", "b8"], ["test/a7.png", "test/b8.png"], "paths in test/, as sample_submission.csv has them"),
        (
            ["x/1", "x/2"],
            ["../x/1", "../x/2"],
            "paths without suffix in ../, as sample_submission.csv has them",
        ),
        (["x/1", "y/1"], None, "paths without suffix"),
        (["a7", "b8"], None, "names without suffix"),
    ],
)
@pytest.mark.parametrize("is_packed", [False, True])
def test_images_to_predict_have_the_ids_of_the_sample_submission(names, ids, told, is_packed):
    for row, name in enumerate(names):
        put(f"test/{name}.png", row)
    test = packed("test", "test.zip") if is_packed else "test"
    if ids is not None:
        sample(ids)
    stream = open_stream(test, (6, 5, 3), section("train"))
    (chunk,) = stream.chunks()
    np.testing.assert_array_equal(chunk.images, IMAGES[: len(names)])
    assert [id.lstrip("0") for id in chunk.ids] == (ids or names if told[0] != "p" or ids else names)
    assert stream.notes == (f"ids of the images are their {told}",)
    assert chunk.labels is None


def test_a_csv_of_names_to_predict_has_the_files_of_its_own_folder():
    names_without_suffix()
    put_all("test_images/Train_{row}.png")  # of the same names
    put("test_images/Train_0.png", 5)
    table("test.csv", ["image_id"], ["Train_0", "Train_3"])
    for options in ({}, {"files": ImageColumn(column="image_id", folder="train_images", suffix=".png")}):
        stream = open_stream("test.csv", (6, 5, 3), section("train.csv", **options))
        (chunk,) = stream.chunks()
        np.testing.assert_array_equal(chunk.images, IMAGES[[5, 3]])
        assert chunk.ids == ["Train_0", "Train_3"]
        assert stream.notes[0] == "files: 'image_id' names files in test_images, with .png"
    put_all("both/Train_{row}.png")
    shutil.rmtree("test_images")
    table("test.csv", ["image_id"], ["Train_0", "Train_99"])
    with pytest.raises(DataError, match=r"line 3, column 'image_id': 'Train_99\.png' is no file in "):
        open_stream(
            "test.csv", (6, 5, 3), section("train.csv", files=ImageColumn(column="image_id", folder="both"))
        )


def test_folders_that_are_called_as_classes_are_labels_to_score_by():
    class_folders()
    put("test/dog/9.png", 1)
    data = load_data(section("train"))
    (chunk,) = open_stream("test", (6, 5, 3), section("train"), target=data.target).chunks()
    assert chunk.labels == ["dog"]
    put("test/cow/9.png", 1)
    (chunk,) = open_stream("test", (6, 5, 3), section("train"), target=data.target).chunks()
    assert chunk.labels is None


@pytest.mark.parametrize("form", ["folders", "names"])
def test_validation_files_are_held_out_in_the_shape_of_those_trained_on(form):
    train = class_folders() if form == "folders" else names_without_suffix()
    for row in range(4):
        Path(f"val/{WORDS[row]}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(IMAGES[row]).resize((9, 9)).save(f"val/{WORDS[row]}/{row}.png")
    validation = "val"
    if form == "names":
        paths = [f"{WORDS[row]}/{row}" for row in range(4)]
        validation = table("val.csv", ["image_id", "label"], paths, WORDS[:4])
    data = load_with_test(section(train, validation=validation))
    assert (len(data), data.n_held_out, data.images.shape[1:]) == (N + 4, 4, (6, 5, 3))


# What `init` writes


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_what_init_writes_passes_every_check(form):
    given = form.write()
    source = given if isinstance(given, str) else str(given.folder)
    if isinstance(given, ImagePattern) and "**" in given.files:
        with pytest.raises(DataError):  # no names of files that tell classes
            write_starter(source, Path("grid.yaml"))
        return
    prepared = prepare(write_starter(source, Path("grid.yaml")))
    assert prepared.config.data.image == [6, 5, 3]
    assert in_order(prepared.data)[1] == WORDS


@pytest.mark.parametrize("form", [class_folders, names_without_suffix, flat])
def test_init_leaves_bad_files_out_and_tells_which(form):
    given = form()
    bad = next(Path().rglob("*10.png"))
    bad.write_bytes(b"")
    source = given if isinstance(given, str) else str(given.folder)
    data = prepare(write_starter(source, Path("grid.yaml"))).data
    assert len(data) == N - 1
    text = " ".join(Path("grid.yaml").read_text(encoding="utf-8").split())
    assert "skip_bad: true # files that are bad are left out, as is told below" in text
    assert f"# files: 1 image of 12 cannot be decoded, left out: '{bad.as_posix()}'" in text


@pytest.mark.parametrize("split", [None, "|", " "])
def test_init_tells_several_labels(split):
    if split is None:
        columns_of_flags()
        wanted: Any = list(SEVERAL)
    else:
        put_all("train/{row}.png")
        table("train.csv", ["id", "tags"], range(N), tags(split, ("red", "b", "c")))
        wanted = {"column": "tags", "split": split}
    config = prepare(write_starter("train.csv", Path("grid.yaml"))).config.data
    assert (config.label if split is None else config.label.model_dump()) == wanted
    assert config.files.model_dump() == {"column": "id", "folder": "train", "suffix": ".png"}


def test_files_of_several_sizes_become_a_square_to_begin_with():
    put_all("train/{name}/{row}.png")
    Image.fromarray(IMAGES[0]).resize((200, 150)).save("train/cat/0.png")
    write_starter("train", Path("grid.yaml"))
    text = Path("grid.yaml").read_text(encoding="utf-8")
    assert "image: [32, 32, 3]             # files are 6 x 5 to 150 x 200; larger shows more" in text


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"train": "train", "label": "x"}, "data.label: names a column of a .csv file, which data.train is not"),
        ({"train": "train.npz", "fit": "pad"}, "data.fit: is of image files, and data.train has none: leave it out."),
        ({"train": "train.npz", "label": "x", "skip_bad": True},
         "data.skip_bad: is of image files, and data.train has none: leave it out."),
        ({"train": "pixels.csv", "label": 3, "skip_bad": True},
         "data.skip_bad: is of image files, and data.train has none: leave it out."),
        ({"train": "train.csv", "label": "labl", "skip_bad": True},
         "config, data.train: train.csv, line 1: no label column 'labl'."),
        ({"train": "train", "pixels": "x"}, "data.pixels: names a column of a .csv file"),
        ({"train": "train.csv", "files": {"column": "x"}}, "no column 'x'. Did you mean"),
        ({"train": "train.csv", "files": {"column": "image_id", "folder": "gone"}},
         "data.files.folder is 'gone', and there is no such folder."),
    ],
)  # fmt: skip
def test_keys_that_are_of_another_kind_of_data(data, fault):
    class_folders()
    names_without_suffix()
    np.savez("train.npz", images=IMAGES, labels=LABELS)
    table("pixels.csv", ["label", *"abcd"], WORDS, *IMAGES[:, 0, :4, 0].T.tolist())
    config = {"name": "x", "model": "fc", "data": data, "space": {"dropout": [0.1]}}
    with pytest.raises(ConfigError) as caught:
        prepare(config)
    assert fault.split(" Did you")[0] in str(caught.value)
    assert ("data.skip_bad" in str(caught.value)) is ("data.skip_bad" in fault)


def test_what_was_guessed_is_no_part_of_what_is_kept(cache):
    names_without_suffix()
    guessed = load_data(section("train.csv"))
    said = load_data(
        section("train.csv", files=ImageColumn(column="image_id", folder="train_images", suffix=".png"))
    )
    assert (said.folder, said.report) == (guessed.folder, ())
    assert guessed.report == ("files: 'image_id' names files in train_images, with .png",)
    Path("moved").mkdir()
    for name in ("train.csv", "train_images"):
        shutil.move(name, f"moved/{name}")
    moved = load_data(section("moved/train.csv"))
    assert (moved.folder, moved.source) == (guessed.folder, "moved/train.csv")
    assert moved.report == ("files: 'image_id' names files in moved/train_images, with .png",)


def test_a_separator_that_no_cell_has_is_told():
    put_all("train/{row}.png")
    table("train.csv", ["id", "tags"], range(N), ["a b", "a", "c", "a b"] * 3)
    data = load_data(section("train.csv", label={"column": "tags", "split": "|"}))
    assert data.target.names == ("a", "a b", "c")
    assert data.report[-1] == "label: no cell of 'tags' has '|' between labels: each has one at most"


def test_images_to_predict_are_not_resized_to_arrays_that_were_trained_on():
    np.savez("train.npz", images=IMAGES, labels=LABELS)
    put("test/0.png", 0)
    (chunk,) = open_stream("test", (6, 5, 3), section("train.npz")).chunks()
    np.testing.assert_array_equal(chunk.images, IMAGES[:1])
    with pytest.raises(
        DataError, match=r"^test: images of \[6, 5, 3\], and those trained on have \[8, 8, 1\]"
    ):
        open_stream("test", (8, 8, 1), section("train.npz"))
