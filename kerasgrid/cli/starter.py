"""A first grid.yaml for data that has just been found: commented, and ready to run.

What it says is read off the data: the label column, what is no pixel, the images' shape, the scale of
the pixels, and a small space that fits the number of samples.
"""

from __future__ import annotations

import math
import os
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kerasgrid.config.sections import DataConfig, Folds, IdxPair
from kerasgrid.config.yaml12 import quoted
from kerasgrid.data.arrays import opened
from kerasgrid.data.columns import FEW_COLUMNS, Columns, are_features, read_columns
from kerasgrid.data.csv_tables import is_table
from kerasgrid.data.folds import fold_faults
from kerasgrid.data.load import load_data
from kerasgrid.data.roles import Roles
from kerasgrid.data.statistics import TOPS, giveaways
from kerasgrid.errors import DataError, NotBuiltError
from kerasgrid.io import check_new, kind_of, write_text
from kerasgrid.records import Dataset
from kerasgrid.wording import listed, shell_word, shown_path

_COMMENT_COLUMN = 32
_WIDTH = 100
_FC_INPUTS = 3_072
_SKEWED = 1.0
"""Numbers of a larger skewness have a long tail; an exponential distribution's is 2."""
_ROUNDED = 1e-5
"""Shares that are written with six digits add up to 1 within this."""


def write_starter(
    source: Path | str, target: Path, *, label: str | None = None, id: str | None = None
) -> Path:
    """Writes a commented grid.yaml for data; its paths are relative to the file's folder.

    Args:
        source: As in `starter`.
        target: The file to write, which must not exist.
        label: As in `starter`.
        id: As in `starter`.

    Returns:
        The target.

    Raises:
        KerasgridError: The target exists, or as `starter`.
        StorageError: The target cannot be written.
    """
    check_new(target)
    write_text(target, starter(source, base=target.absolute().parent, label=label, id=id))
    return target


def starter(source: Path | str, *, base: Path, label: str | None = None, id: str | None = None) -> str:
    """Returns the text of a commented grid.yaml that runs as it is.

    The data is read whole, and so is in the cache when the search wants it.

    Args:
        source: A .csv or .npz file, the images of an IDX pair, or `digits` (built in).
        base: The folder that the paths in it are relative to.
        label: CSV: the label column; found by its name or its values where not given.
        id: CSV: the column that is no pixel; found where not given.

    Raises:
        DataError: The data cannot be read, or not be searched over; or which column is the label, or
            what shape the images have, cannot be told.
        NotBuiltError: A kind of data that this version does not read yet.
    """
    found = _look(source, label, id)
    try:
        data = load_data(found.config)
    except DataError as error:
        told = str(error).replace("data.label", "--label").replace("data.id", "--id")
        raise type(error)(told) from error
    return _text(found, data, base.absolute(), _remark(found, data))


@dataclass(frozen=True)
class _Found:
    """Where the data is, and why it is read as it is.

    Attributes:
        config: For `load_data`, with absolute paths.
        why: Comments by key of the data section.
        beside: Files that were found beside it, by key.
        pixels: Of a CSV file of pictures, their columns.
    """

    config: DataConfig
    why: dict[str, str] = field(default_factory=dict)
    beside: dict[str, Path] = field(default_factory=dict)
    pixels: tuple[str, ...] = ()


# Looking at the source


def _look(source: Path | str, label: str | None, id: str | None) -> _Found:
    path = Path(source).absolute()
    suffix = path.suffix.lower()
    for name, value in (("label", label), ("id", id)):
        if value is not None and suffix != ".csv":
            raise DataError(
                f"{source}: --{name} names a column of a .csv file, which this is not: leave it out."
            )
    if str(source) == "digits":
        return _Found(DataConfig(train="digits"), {"train": "built in: handwritten digits"})
    if other := kind_of(source, takes=("table", "arrays", "folder")):
        raise DataError(f"{source} {other.told('data')}")
    if suffix == ".csv":
        return _look_at_csv(path, label, id)
    if suffix == ".npz" or path.is_dir() or not _is_idx(path):
        return _Found(DataConfig(train=str(path)))
    return _Found(DataConfig(train=IdxPair(images=str(path), labels=str(_labels_beside(path)))))


def _is_idx(path: Path) -> bool:
    """Tells whether a file is of the IDX format, by its first bytes or its name."""
    with opened(path) as file:
        begins_so = file.read(3) in (b"\0\0\x08", b"\x1f\x8b\x08")
    return begins_so or re.search(r"idx\d|ubyte", path.name) is not None


def _labels_beside(images: Path) -> Path:
    """Returns the file of labels beside a file of images, by the usual names."""
    if re.search(r"labels|idx1", images.name):
        raise DataError(f"{shown_path(images)} holds labels, by its name. Give the file of images.")
    stem, ends = images.name.removesuffix(".gz"), ("", ".gz")
    names = {stem.replace("images", "labels"), re.sub(r"^[Xx](?=[_-])", "y", stem)} - {stem}
    tried = [f"{name.replace('idx3', 'idx1')}{end}" for name in sorted(names) for end in ends]
    for name in sorted(tried, key=lambda name: name.endswith(".gz") != images.name.endswith(".gz")):
        if images.with_name(name).is_file():
            return images.with_name(name)
    looked_for = f" (looked for {', '.join(tried)})" if tried else ""
    raise DataError(
        f"{shown_path(images)}: there is no file of labels beside it{looked_for}. Write the pair into a "
        "grid.yaml yourself: data: {train: {images: ..., labels: ...}}."
    )


def _look_at_csv(path: Path, label: str | None, id: str | None) -> _Found:
    columns = read_columns(path)
    test = path.with_name("test.csv")
    beside = {
        key: path.with_name(f"{key}.csv")
        for key in ("test", "sample_submission")
        if path.stem != key and path.with_name(f"{key}.csv").is_file()
    }
    in_test = read_columns(test).names if "test" in beside else ()
    why = {"label": "as you said", "id": "as you said"}
    if columns.have_names:
        _refuse_names_of_images(columns, label)
    if label is None and columns.have_names:
        label, why["label"] = columns.find_label(in_test)
    if label not in columns.names or id not in (None, *columns.names, *in_test):
        # The reading of the file tells what is wrong with it, or with what was said.
        return _Found(DataConfig(train=str(path), label=label or "label", id=id))
    if id is None:
        id = columns.find_id(label, in_test)
        why["id"] = "no feature: it has another value in each row"
        if id is None:
            id, why["id"] = columns.find_own(in_test), "a column of test alone, which names its rows"
    config = DataConfig(train=str(path), test=str(test) if "test" in beside else None, id=id)
    own = id if id in columns.names else None
    if is_table(path, config, Roles(label, id=own)):
        if columns.are_numbers(label):
            why["target"] = f"{why.pop('label')}; numbers to predict (label: {label} is for classes)"
            return _Found(config.model_copy(update={"target": label}), why, beside)
        return _Found(config.model_copy(update={"label": label}), why, beside)
    pixels = tuple(name for name in columns.names if name not in (label, id))
    image = None
    if math.isqrt(len(pixels)) ** 2 != len(pixels):
        image = _colour_image(path, len(pixels))
        why["image"] = "height, width, channels; a pixel's channels stand side by side"
    elif 0 < len(pixels) < FEW_COLUMNS:
        side = math.isqrt(len(pixels))
        image = [side, side, 1]
        why["image"] = "a small picture; features: {scaler: standard} in its place makes a table of it"
    why["label"] += "; every other column is a pixel" * (why["label"] == "by its name")
    return _Found(config.model_copy(update={"label": label, "image": image}), why, beside, pixels)


def _refuse_names_of_images(columns: Columns, label: str | None) -> None:
    """Raises a NotBuiltError where a CSV file holds no samples, but names of their files and labels."""
    flags, named = columns.flags(), columns.find_file_names()
    if named is None and len(flags) > 1:  # whatever names the rows, if all else are labels
        others = [pair for pair in columns.by_name if pair[0] != label and len({*pair[1]}) == len(pair[1])]
        named = (others[0][0], others[0][1][0]) if len(others) == 1 else None
    told = [name for name in columns.names if named is not None and name != named[0]]
    if named is None or len(told) > FEW_COLUMNS:  # more than one label and a handful
        return
    rows = zip(*(cells for name, cells in columns.by_name if name in flags), strict=False)
    several = ""
    if set(flags) == set(told) and any(sum(map(float, row)) != 1 for row in rows):
        several = " Rows of several labels, or of none, need data.multi_label: true."
    raise NotBuiltError(
        f"{shown_path(columns.path)}: column {named[0]!r} names images, such as {named[1]!r}, and the rest "
        f"of a row, {listed(told)}, is what is known of one. A CSV file that names images is not read yet: "
        "give the images themselves, by numpy.savez('train.npz', images=..., labels=...), images (sample, "
        f"height, width, channel) and a row of labels each.{several} Then: kerasgrid init train.npz."
    )


def _remark(found: _Found, data: Dataset) -> str | None:
    """Returns a remark on numbered columns from which the label can be told, or on columns of constant sum.

    Raises:
        DataError: It can be told from columns that have names of their own, as labels have.
    """
    columns = found.pixels if data.table is None else [column.name for column in data.table.columns]
    if not columns or data.target.is_numbers:
        return None
    alone, together = giveaways(data.images, data.labels)
    names = [columns[place] for place in alone or together]
    if not names and data.table is not None:
        return None
    if not names:
        sums = data.images.reshape(len(data), -1).sum(axis=1, dtype=np.float64)
        if len(columns) > 1 and 0 < np.abs(sums).max() * _ROUNDED >= np.ptp(sums):
            return f"the columns add up to {sums[0]:g} in each row, as shares or labels do: are they samples?"
        return None
    told = f"can be told from {listed(names)}{'' if alone else ' together'}, wholly or in part"
    if not are_features(names):
        return f"the label {told}: a score near 1.0 says nothing"
    one = f" If it is no part of the samples: --id {shell_word(names[0])}." if len(names) == 1 else ""
    raise DataError(
        f"{data.source}: the label {found.config.label!r} {told}, so that a search would end in a score near "
        "1.0 that says nothing. Take out of the file what are labels too; if the label is another column: "
        f"--label NAME.{one}"
    )


def _colour_image(path: Path, n_pixels: int) -> list[int]:
    side = math.isqrt(n_pixels // 3)
    if side * side * 3 == n_pixels:
        return [side, side, 3]
    raise DataError(
        f"{shown_path(path)}: {n_pixels:,} pixel columns, which are neither a square nor one of 3 channels. "
        f"If one of them is no pixel, say it: kerasgrid init {shell_word(shown_path(path))} --id NAME "
        "(or --label NAME). If the images are no squares, write data.image: [height, width, channels] into a "
        "grid.yaml yourself."
    )


# What fits the data


def _text(found: _Found, data: Dataset, base: Path, remark: str | None) -> str:
    is_numbers, shape = data.target.is_numbers, data.images.shape[1:]
    counts = (
        np.bincount(data.labels, minlength=len(data.classes)) if not is_numbers else np.array([len(data)])
    )
    folds = min(3, max(2, int(counts.min())))
    for _, fault in fold_faults(data, Folds(n=folds)):
        raise DataError(f"{data.source}: {fault}")
    n_train = len(data) * (folds - 1) // folds
    batch_size = min(max(2 ** round(math.log2(n_train / 40 + 1)), 8), 512)
    n_steps = math.ceil(n_train / batch_size)
    epochs = next((n for n in (5, 10, 15, 20) if n * n_steps >= 1_000), 30)
    rates, dropout = "[0.001, 0.01]", "[0.2, 0.4]"
    if data.table is not None:
        rates, dropout = (
            "[0.0003, 0.003]",
            "[0.0, 0.2]",
        )  # a row has little that says a thing twice, as pixels do
        model = ("model: mlp", "fully connected layers for tables; for others: kerasgrid models")
        third = (
            "  embedding_size: [0, 8]",
            "categories as columns of 0 and 1, or as numbers that are learnt",
        )
        if not any(column.kind == "categorical" for column in data.table.columns):
            third = ("  batch_norm: [true, false]", "")
    elif math.prod(shape) <= _FC_INPUTS or min(shape[:2]) < 8:
        model = ("model: fc", "a small fully connected net; for others: kerasgrid models")
        third = ("  batch_norm: [true, false]", "")
    else:
        model = ("model: bn_cnn", "a small convolutional net; for others: kerasgrid models")
        third = ("  optimizer: [RMSprop, Adam]", "")
    objective = ("accuracy", "or loss, or any of scikit-learn's scorers")
    split = f"stratified; the smallest class has {int(counts.min()):,} samples"
    if is_numbers:
        objective = ("neg_root_mean_squared_error", "or r2, or any of scikit-learn's scorers")
        split = "shuffled by the seed"
    elif counts.max() >= 5 * counts.min():
        objective = ("balanced_accuracy", "each class counts the same, whatever its size; or accuracy")
    size = " x ".join(map(str, shape)) if data.table is None else f"{shape[0]:,} columns"
    what = f"in {len(data.classes):,} classes" if not is_numbers else "with numbers to predict"
    lines = [
        (f"# A first search: {len(data):,} samples of {size} {what}.", ""),
        ("# `kerasgrid check` shows what it asks for, `kerasgrid search` runs it. Change what you like.", ""),
        ("data:", ""),
        *_data_lines(found, data, base),
        *([(f"  # {remark}", "")] if remark else []),
        model,
        ("params:", ""),
        (f"  batch_size: {batch_size}", f"{n_steps} steps an epoch, of {n_train:,} training samples"),
        (f"  epochs: {epochs}", "a good candidate shows itself early; give the best more later"),
        ("space:", f"all combinations: 8 candidates x {folds} folds = {8 * folds} fits"),
        (f"  learning_rate: {rates}", ""),
        third,
        (f"  dropout: {dropout}", ""),
        ("search:", ""),
        (f"  folds: {folds}", split),
        (f"  objective: {objective[0]}", objective[1]),
        ("  seed: 0", "the same file and seed give the same scores"),
    ]
    return "".join(
        f"{text:<{_COMMENT_COLUMN}} # {comment}\n" if comment else f"{text}\n" for text, comment in lines
    )


def _data_lines(found: _Found, data: Dataset, base: Path) -> list[tuple[str, str]]:
    config, why, relative = found.config, found.why, "paths are relative to this file"
    if isinstance(config.train, IdxPair):
        lines = [("  train:", relative)]
        lines += [(f"    {key}: {_path(path, base)}", "") for key, path in config.train]
    elif config.train == "digits":
        lines = [("  train: digits", why["train"])]
    else:
        lines = [(f"  train: {_path(str(config.train), base)}", relative)]
    if "test" in found.beside:
        lines.append((f"  test: {_path(found.beside['test'], base)}", "the rows to predict"))
    if config.target is not None:
        lines.append((f"  target: {_column(str(config.target), data)}", why["target"]))
        lines.append(_target_scale_line(data.labels))
    elif "label" in why:
        lines.append((f"  label: {_column(str(config.label), data)}", why["label"]))
    if config.id is not None:
        lines.append((f"  id: {_column(config.id, data)}", why["id"]))
    if "sample_submission" in found.beside:
        sample = _path(found.beside["sample_submission"], base)
        lines.append((f"  sample_submission: {sample}", "how a submission looks"))
    if config.image is not None:
        lines.append((f"  image: {config.image}", why["image"]))
    return [*lines, *([_scale_line(data.images)] if data.table is None else _table_lines(data))]


def _table_lines(data: Dataset) -> list[tuple[str, str]]:
    """Returns comments on what columns were taken for, which are YAML but for their marks."""
    assert data.table is not None
    lines = [
        "Guessed; where it is wrong, take the marks away and correct it, and drop columns by drop: [...].",
        "features:",
    ]
    for kind in ("numeric", "categorical", "date"):
        names = [_column(column.name, data) for column in data.table.columns if column.kind == kind]
        if names:
            lines.append(f"  {kind}: [{', '.join(names)}]")
    lines += [line for line in data.report if not line.startswith("features:")]
    wrapped = [part for line in lines for part in _wrapped(line)]
    return [(f"  # {part}", "") for part in wrapped]


def _wrapped(line: str) -> list[str]:
    """Returns a line in parts of a width that is read well; what follows is indented."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(
        line, _WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )


def _target_scale_line(numbers: np.ndarray) -> tuple[str, str]:
    """Returns the line that has the net learn numbers around 0, and why; logarithms where these are even.

    Args:
        numbers: (sample, target).
    """
    values = numbers[:, 0]
    if values.min() >= 0 and _skewness(values) > max(_SKEWED, 2 * abs(_skewness(np.log1p(values)))):
        return "  target_scale: log", "few are large: the net learns ratios, as of prices; or standardize"
    return "  target_scale: standardize", "what the net learns; or log, of prices and counts"


def _skewness(values: np.ndarray) -> float:
    """Returns the third moment of numbers around their mean, in their std; 0 where all are the same."""
    spread = values.std()
    return float((((values - values.mean()) / spread) ** 3).mean()) if spread else 0.0


def _scale_line(images: np.ndarray) -> tuple[str, str]:
    """Returns the line that brings pixels near 0 to 1, and why; a comment where they are there."""
    low, high = float(images.min()), float(images.max())
    spread = f"pixels are {low:g} to {high:g}"
    if low < 0 or high > 65_535:
        return "  standardize: true", f"{spread}; becomes mean 0, std 1 of the training folds"
    if high <= 1:
        return f"  # no scale: {spread}", ""
    return f"  scale: {next(top for top in TOPS if high <= top)}", f"divides: {spread}"


# Writing YAML


def _column(name: str, data: Dataset) -> str:
    """Returns the name of a column as YAML."""
    try:
        return quoted(name)
    except DataError as error:
        raise DataError(f"{data.source}, line 1: the column {error}") from error


def _path(path: Path | str, base: Path) -> str:
    """Returns a path relative to a folder, as YAML."""
    try:
        text = Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # another drive
        text = Path(path).as_posix()
    return quoted(Path(path).as_posix() if text.startswith("~") else text)
