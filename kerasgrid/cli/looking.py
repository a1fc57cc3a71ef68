"""What data are that have just been found: each column, file and folder, and why it is taken for it."""

from __future__ import annotations

import contextlib
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any, Literal

from kerasgrid.config.sections import DataConfig, IdxPair, ImageColumn, ImagePattern, LabelColumn
from kerasgrid.data.archives import Tree, archive_on_way, exists
from kerasgrid.data.arrays import opened
from kerasgrid.data.columns import FEW_COLUMNS, Columns, read_columns
from kerasgrid.data.csv_images import NamedImages, find_images
from kerasgrid.data.csv_pixels import find_pixels, numbers_in
from kerasgrid.data.csv_tables import is_table
from kerasgrid.data.csv_text import CsvFile, is_csv
from kerasgrid.data.image_files import Listing, class_folders, is_image
from kerasgrid.data.pictures import Picture, image_of
from kerasgrid.data.places import csv_of, is_to_predict, meant, sample_in, stem_of
from kerasgrid.data.roles import Roles
from kerasgrid.errors import DataError
from kerasgrid.io import kind_of
from kerasgrid.wording import listed, shell_word, shown_path

_SIDES = (128, 96, 64, 48, 32)
"""What images become to begin with, at most; smaller ones stay as they are where all are alike."""
_MOST_HEADERS = 200
_MOST_CLASSES = 50
_FEW_CLASSES = 8
_BESIDE = {
    "test": re.compile(r"test(ing)?[ _-]?(images?|imgs?|photos|jpe?g|png|set|\d)?", re.I),
    "validation": re.compile(r"val(id|idation)?", re.I),
}
_WORD = re.compile(r"[A-Za-z]+")
_TESTS = ("test.csv", "test.tsv", "test.csv.gz", "test.tsv.gz", "test.csv.zip")


@dataclass(frozen=True)
class Found:
    """Where the data is, and why it is read as it is.

    Attributes:
        config: For `load_data`, with absolute paths.
        why: Comments by key of the data section.
        beside: Files that were found beside it, by key.
        pixels: Of a CSV file of pictures, their columns.
        are_files: Whether samples are image files.
    """

    config: DataConfig
    why: dict[str, str] = field(default_factory=dict)
    beside: dict[str, Path] = field(default_factory=dict)
    pixels: tuple[str, ...] = ()
    are_files: bool = False


def look(source: Path | str, label: str | None, id: str | None) -> Found:
    """Returns what data are.

    Args:
        source: A file, a folder of images, or `digits`.
        label: The label column of a CSV file; found where not given.
        id: The column that is no feature; found where not given.

    Raises:
        DataError: They cannot be read, or what they are cannot be told.
    """
    if str(source) != "digits" and (other := kind_of(source, takes=("table", "arrays", "folder", "archive"))):
        raise DataError(f"{source} {other.told('data')}")
    path = meant(Path(source).absolute()) if str(source) != "digits" else None
    if path is not None and (tree := Tree.at(path)) is not None and (own := _table_in(tree)) is not None:
        path = own
    file = None if path is None else csv_of(path)
    for name, value in (("label", label), ("id", id)):
        if value is not None and file is None:
            raise DataError(
                f"{source}: --{name} names a column of a .csv file, which this is not: leave it out."
            )
    if path is None:
        return Found(DataConfig(train="digits"), {"train": "built in: handwritten digits"})
    if file is not None:
        return _look_at_csv(file, label, id)
    if (tree := Tree.at(path)) is not None:
        return _look_at_folder(tree)
    is_npy = path.suffix.lower() == ".npy"
    if not is_npy and (path.suffix.lower() == ".npz" or not _is_idx(path)):
        return Found(DataConfig(train=str(path)))
    return Found(DataConfig(train=IdxPair(images=str(path), labels=str(_labels_beside(path)))))


def _table_in(tree: Tree) -> Path | None:
    """Returns the CSV file in a folder that says what its images are; None where there is none."""
    tables = [name for name in tree.files(1) if is_csv(name) and not is_to_predict(name)]
    own = [name for name in tables if stem_of(name) == "train"] or tables
    return tree.path / own[0] if len(own) == 1 else None


def _is_idx(path: Path) -> bool:
    """Tells whether a file is of the IDX format, by its first bytes or its name."""
    with opened(path) as file:
        begins_so = file.read(3) in (b"\0\0\x08", b"\x1f\x8b\x08")
    return begins_so or re.search(r"idx\d|ubyte", path.name) is not None


def _labels_beside(images: Path) -> Path:
    """Returns the file of labels beside a file of images, by the usual names."""
    if re.search(r"labels|idx1", images.name):
        raise DataError(f"{shown_path(images)} holds labels, by its name. Give the file of images.")
    stem, ends = images.name.removesuffix(".gz"), ("", ".gz") if images.suffix.lower() != ".npy" else ("",)
    names = {stem.replace("images", "labels"), re.sub(r"^[Xx](?=[._-])", "y", stem)} - {stem}
    tried = [f"{name.replace('idx3', 'idx1')}{end}" for name in sorted(names) for end in ends]
    for name in sorted(tried, key=lambda name: name.endswith(".gz") != images.name.endswith(".gz")):
        if images.with_name(name).is_file():
            return images.with_name(name)
    looked_for = f" (looked for {', '.join(tried)})" if tried else ""
    raise DataError(
        f"{shown_path(images)}: there is no file of labels beside it{looked_for}. Write the pair into a "
        "grid.yaml yourself: data: {train: {images: ..., labels: ...}}."
    )


# Image files


def _look_at_folder(tree: Tree) -> Found:
    """Returns what a folder of images is: of folders of classes, or of files whose names tell them."""
    try:
        listing = class_folders(tree)
        if listing.faults and _named_classes(tree) is not None:
            raise DataError("\n".join(listing.faults))
        found = DataConfig(train=str(listing.tree.path))
        why = {"train": "a folder a class"}
        names: Sequence[str] = listing.names
    except DataError:
        named = _named_classes(tree)
        if named is None:
            raise
        tree, pattern, names = named
        listing = Listing(tree, tuple(names))
        found = DataConfig(train=pattern)
        why = {"train": "finds the class in the name of a file"}
    files = Listing(listing.tree, tuple(names)).files
    image, why["image"] = _suggested(files)
    beside = _folders_beside(listing.tree)
    test = str(beside["test"]) if "test" in beside else None
    return Found(found.model_copy(update={"image": image, "test": test}), why, beside, are_files=True)


def _named_classes(tree: Tree) -> tuple[Tree, ImagePattern, list[str]] | None:
    """Returns a pattern by whose names files are of classes: a word that begins several of them; None
    without.

    Of train/ and test/ beside each other train/ is looked at.
    """
    folders = {name.lower(): name for name in tree.folders()}
    if not any(map(is_image, tree.files(1))):
        inner = folders.get("train") or (next(iter(folders.values())) if len(folders) == 1 else None)
        return None if inner is None else _named_classes(Tree(tree.path / inner))
    names = [name for name in tree.files(1) if is_image(name)]
    words = [found[0] if (found := _WORD.match(name)) else "" for name in names]
    counts = Counter(words)
    if "" in counts or not 2 <= len(counts) <= min(_MOST_CLASSES, len(names) / 2):
        return None
    few = "|".join(sorted(counts)) if len(counts) <= _FEW_CLASSES else _WORD.pattern
    suffixes = Counter(PurePosixPath(name).suffix for name in names)
    ending = next(iter(suffixes)) if len(suffixes) == 1 else ""
    return tree, ImagePattern(files=f"{tree.path}/*{ending}", label=f"^({few})"), names


def _folders_beside(tree: Tree) -> dict[str, Path]:
    """Returns the folder of images to predict beside that of those to learn from, and the sample, by key."""
    holder = Tree.at(tree.path.parent)
    found: dict[str, Path] = {}
    if holder is None or re.search("train", tree.path.name, re.I) is None:
        return found
    holders, archive = [holder], archive_on_way(tree.path)
    if archive is not None and (outer := Tree.at(archive[0].parent)) is not None:
        holders.append(outer)
    for one in holders:
        archives = [name for name in one.files(1) if name.lower().endswith(".zip")]
        for name in (*one.folders(), *archives):
            path = one.path / name
            if path == tree.path or (archive is not None and path == archive[0]):
                continue
            key = next(
                (key for key, names in _BESIDE.items() if names.fullmatch(name.removesuffix(".zip"))), None
            )
            if key is not None and (own := Tree.at(path)) is not None and any(map(is_image, own.files())):
                found.setdefault(key, path)
        if (sample := sample_in(one.path)) is not None:
            found.setdefault("sample_submission", sample)
    return found


def _suggested(files: Sequence[Picture]) -> tuple[list[int], str]:
    """Returns what images may become to begin with, [height, width, channels], by some headers, and why."""
    step = max(1, len(files) // _MOST_HEADERS)
    sizes = []
    for picture in files[::step]:
        try:
            sizes.append(image_of([picture], None, picture.name))
        except DataError:  # told when all are decoded
            continue
    if not sizes:
        raise DataError(f"{files[0].name}: is no image, and nor are others. Are these image files?")
    channels = max(size[2] for size in sizes)
    heights, widths = ([size[axis] for size in sizes] for axis in (0, 1))
    height, width = round(median(heights)), round(median(widths))
    are_alike = len(set(heights)) == len(set(widths)) == 1
    shown = f"{height} x {width}"
    if are_alike and step == 1 and max(height, width) <= _SIDES[0]:
        return [height, width, channels], "height, width, channels: as all files are"
    side = next((side for side in _SIDES if side <= min(height, width)), _SIDES[-1])
    if not are_alike:
        shown = f"{min(heights)} x {min(widths)} to {max(heights)} x {max(widths)}"
    return [side, side, channels], f"files are {shown}; larger shows more, and takes longer"


# CSV files


def _look_at_csv(file: CsvFile, label: str | None, id: str | None) -> Found:
    file, columns = _with_header_or_not(file, label)
    header: Literal["none"] | None = None if file.has_header else "none"
    beside = _tables_beside(file)
    test = csv_of(beside["test"], part="test") if "test" in beside else None
    if test is not None and not file.has_header:  # which the test set has then not either
        del beside["test"]
        test = None
    in_test = read_columns(test).names if test is not None else ()
    why = {
        "label": "as you said",
        "id": "as you said",
        "header": "columns are called by their places, from 0",
    }
    config = DataConfig(
        train=str(file.path), test=str(beside["test"]) if "test" in beside else None, header=header
    )
    table = _Table(columns, label, id, in_test, Found(config, why, beside))
    if columns.have_names or header is not None:
        named = find_images(file, None, Roles(label=label))
        if named is not None:
            return table.of_named(named.settled(file, None))
        _refuse_names_of_images(columns, label)
        if (column := find_pixels(file, Roles(label=label))) is not None:
            return table.of_pixel_cells(column)
    if label is None and (columns.have_names or header is not None):
        label, why["label"] = columns.find_label(in_test)
    if label not in columns.names or id not in (None, *columns.names, *in_test):
        # The reading of the file tells what is wrong with it, or with what was said.
        return Found(config.model_copy(update={"label": label or "label", "id": id, "test": None}))
    if id is None:
        id = columns.find_id(label, in_test)
        why["id"] = "no feature: it has another value in each row"
        if id is None:
            id, why["id"] = columns.find_own(in_test), "a column of test alone, which names its rows"
    config = config.model_copy(update={"id": id})
    own = id if id in columns.names else None
    if is_table(file, config, Roles(label, id=own)):
        if columns.are_numbers(label):
            why["target"] = f"{why.pop('label')}; numbers to predict (label: {label} is for classes)"
            return Found(config.model_copy(update={"target": label}), why, beside)
        return Found(config.model_copy(update={"label": label}), why, beside)
    pixels = tuple(name for name in columns.names if name not in (label, id))
    image = None
    if math.isqrt(len(pixels)) ** 2 != len(pixels):
        image = _colour_image(file.path, len(pixels), why)
    elif 0 < len(pixels) < FEW_COLUMNS:
        side = math.isqrt(len(pixels))
        image = [side, side, 1]
        why["image"] = "a small picture; features: {scaler: standard} in its place makes a table of it"
    why["label"] += "; every other column is a pixel" * (why["label"] == "by its name")
    return Found(config.model_copy(update={"label": label, "image": image}), why, beside, pixels)


def _with_header_or_not(file: CsvFile, label: str | None) -> tuple[CsvFile, Columns]:
    """Returns a file and its columns: without a header where its first line is numbers and it has a label."""
    columns = read_columns(file)
    if columns.have_names or len(columns.names) < 2:
        return file, columns
    bare = replace(file, has_header=False)
    own = read_columns(bare)
    if label is None:
        with contextlib.suppress(DataError):
            label, _ = own.find_label()
    return (bare, own) if label in own.names and columns.names != own.names else (file, columns)


def _tables_beside(file: CsvFile) -> dict[str, Path]:
    """Returns the test set beside a CSV file, as another one, and the competition's sample, by key."""
    archive = archive_on_way(file.path)
    folders = [file.path.parent, *([] if archive is None else [archive[0].parent])]
    found: dict[str, Path] = {}
    tests = (folder / name for folder in folders for name in _TESTS)
    test = next((place for place in tests if exists(place)), None)
    if test is not None and stem_of(file.path.name) != "test":
        found["test"] = test
    sample = next(filter(None, map(sample_in, folders)), None)
    if sample is not None and sample.name != file.path.name:
        found["sample_submission"] = sample
    return found


@dataclass(frozen=True)
class _Table:
    """A CSV file that is looked at.

    Attributes:
        columns: Its own.
        label: The label column that was said; None to find it.
        id: The id column that was said.
        in_test: Columns of the test set.
        found: What is known of it so far.
    """

    columns: Columns
    label: str | None
    id: str | None
    in_test: Sequence[str]
    found: Found

    def of_named(self, named: NamedImages) -> Found:
        """Returns what it is where a column names image files."""
        columns, column, why = self.columns, named.column, self.found.why
        label = self._label_beside(column)
        cells = dict(columns.by_name)[column]
        names = [name for name in map(named.name_of, cells) if named.tree.has(name)]
        if not names:
            raise _without_files(columns, column, cells[0])
        image, why["image"] = _suggested([Picture(*named.tree.place(name)) for name in names])
        beside = self.found.beside
        if "test" not in beside:
            beside = {**_folders_beside(named.tree), **beside}
        test = beside.get("test")
        suffix = "" if named.others else named.suffix  # which is found again
        why["files"] = "the column that names image files, and where they are"
        config = self.found.config.model_copy(
            update={
                "files": ImageColumn(column=column, folder=str(named.tree.path), suffix=suffix),
                "label": label,
                "image": image,
                "test": None if test is None else str(test),
                "id": self.id if self.id in (*columns.names, *self.in_test) and self.id != column else None,
            }
        )
        return Found(config, why, beside, are_files=True)

    def of_pixel_cells(self, column: str) -> Found:
        """Returns what it is where a column's cells hold all pixels of an image each."""
        label = self._label_beside(column)
        self.found.why["pixels"] = "all pixels of an image in a cell"
        n_pixels = len(numbers_in(dict(self.columns.by_name)[column][0]))
        image = None
        if math.isqrt(n_pixels) ** 2 != n_pixels:
            image = _colour_image(self.columns.file.path, n_pixels, self.found.why)
        update = {"pixels": column, "label": label, "id": self.id, "image": image}
        return replace(self.found, config=self.found.config.model_copy(update=update))

    def _label_beside(self, column: str) -> Any:
        """Returns the label that was said, or the one or several beside a column of images."""
        if self.label is not None:
            return self.label
        found, self.found.why["label"] = _labels_of(self.columns.without({column}), self.in_test)
        return found


def _labels_of(columns: Columns, in_test: Sequence[str]) -> tuple[Any, str]:
    """Returns the label among the columns beside names of files, or several, and why."""
    candidates = columns.without({name for name in in_test if name in columns.names})
    flags = candidates.flags()
    if len(flags) > 1 and set(flags) == set(candidates.names):
        return flags, "0 and 1: any number of these labels a sample"
    for name, cells in candidates.by_name:
        if (split := _split_of(cells)) is not None:
            return LabelColumn(column=name, split=split), "any number of labels a cell"
    if len(candidates.names) == 1 and candidates.names[0] not in in_test:
        return candidates.names[0], "the column that is left"
    return candidates.find_label(())


def _split_of(cells: Sequence[str]) -> str | None:
    """Returns what stands between the labels of cells; None where these hold one each."""
    for split in ("|", ";", ",", " "):
        parts = [[part.strip() for part in cell.split(split) if part.strip()] for cell in cells]
        words = {word for own in parts for word in own}
        several = {word for own in parts if len(own) > 1 for word in own}
        alone = {own[0] for own in parts if len(own) == 1}
        is_few = 2 <= len(words) <= min(1_000, len(cells))
        # Where words come in the same company alone, each cell is one label of several words.
        is_mixed = len(words) < len(set(cells)) or (len(words) == len(set(cells)) and alone & several)
        if several and is_few and is_mixed and all(len(set(own)) == len(own) for own in parts):
            return split
    return None


def _refuse_names_of_images(columns: Columns, label: str | None) -> None:
    """Raises a DataError where a CSV file holds labels, and names of images that are not there."""
    rest = columns.without(() if label is None else (label,))
    flags = rest.flags()
    others = [pair for pair in rest.by_name if len({*pair[1]}) == len(pair[1])]
    if len(flags) > 1 and len(others) == 1 and {*flags, others[0][0]} == set(rest.names) and others[0][1]:
        raise _without_files(columns, others[0][0], others[0][1][0])


def _without_files(columns: Columns, column: str, cell: str) -> DataError:
    told = [name for name in columns.names if name != column]
    where = shown_path(columns.file.path.parent)
    return DataError(
        f"{columns.file.where}: column {column!r} names images, such as {cell!r}, and the rest of a row, "
        f"{listed(told)}, is what is known of one. There are no such files in {where}, in a folder or a .zip "
        "there. Put their folder beside the CSV file, or write where they are into a grid.yaml yourself: "
        f"data: {{files: {{column: {column}, folder: FOLDER, suffix: .jpg}}}}."
    )


def _colour_image(path: Path, n_pixels: int, why: dict[str, str]) -> list[int]:
    side = math.isqrt(n_pixels // 3)
    if side * side * 3 == n_pixels:
        why["image"] = "height, width, channels; a pixel's channels stand side by side"
        return [side, side, 3]
    raise DataError(
        f"{shown_path(path)}: {n_pixels:,} pixel columns, which are neither a square nor one of 3 channels. "
        f"If one of them is no pixel, say it: kerasgrid init {shell_word(shown_path(path))} --id NAME "
        "(or --label NAME). If the images are no squares, write data.image: [height, width, channels] into a "
        "grid.yaml yourself."
    )
