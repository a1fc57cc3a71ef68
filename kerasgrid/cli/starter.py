"""A first grid.yaml for data that has just been found: commented, and ready to run.

What it says is read off the data: the label column, what is no pixel, the images' shape, the scale of
the pixels, and a small space that fits the number of samples.
"""

from __future__ import annotations

import math
import os
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np

from kerasgrid.cli.looking import Found, look
from kerasgrid.config.sections import DataConfig, Folds, IdxPair, ImagePattern, LabelColumn
from kerasgrid.config.yaml12 import quoted
from kerasgrid.data.columns import are_features
from kerasgrid.data.folds import fold_faults
from kerasgrid.data.load import load_data
from kerasgrid.data.statistics import TOPS, giveaways
from kerasgrid.errors import DataError
from kerasgrid.io import check_new, write_text
from kerasgrid.records import Dataset
from kerasgrid.wording import listed, shell_word

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
        source: A .csv or .npz file, a folder of images or one with a CSV file that names them, the images of
            an IDX pair or of two .npy files, a .zip of one of these, or `digits` (built in).
        base: The folder that the paths in it are relative to.
        label: CSV: the label column; found by its name or its values where not given.
        id: CSV: the column that is no pixel; found where not given.

    Raises:
        DataError: The data cannot be read, or not be searched over; or which column is the label, or
            what shape the images have, cannot be told.
    """
    found = look(source, label, id)
    try:
        try:
            data = load_data(found.config)
        except DataError:
            if not found.are_files:
                raise
            found.why["skip_bad"] = "files that are bad are left out, as is told below"
            found = replace(found, config=found.config.model_copy(update={"skip_bad": True}))
            data = load_data(found.config)
    except DataError as error:
        told = str(error).replace("data.label", "--label").replace("data.id", "--id")
        raise type(error)(told) from error
    return _text(found, data, base.absolute(), _remark(found, data))


def _remark(found: Found, data: Dataset) -> str | None:
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


# What fits the data


def _text(found: Found, data: Dataset, base: Path, remark: str | None) -> str:
    is_numbers, shape = data.target.is_numbers, data.images.shape[1:]
    are_several = data.target.is_multi_label
    if is_numbers:
        counts = np.array([len(data)])
    elif are_several:
        counts = data.labels.sum(axis=0)
    else:
        counts = np.bincount(data.labels, minlength=len(data.classes))
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
    elif are_several:
        objective = ("accuracy", "of all labels together; or loss, or any of scikit-learn's scorers")
        split = f"stratified by labels; the rarest is there {int(counts.min()):,} times"
    elif counts.max() >= 5 * counts.min():
        objective = ("balanced_accuracy", "each class counts the same, whatever its size; or accuracy")
    size = " x ".join(map(str, shape)) if data.table is None else f"{shape[0]:,} columns"
    what = f"in {len(data.classes):,} classes" if not is_numbers else "with numbers to predict"
    what = f"with {len(data.classes):,} labels, any number of them each" if are_several else what
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


def _data_lines(found: Found, data: Dataset, base: Path) -> list[tuple[str, str]]:
    config, why, relative = found.config, found.why, "paths are relative to this file"
    if isinstance(config.train, IdxPair):
        lines = [("  train:", relative)]
        lines += [(f"    {key}: {_path(path, base)}", "") for key, path in config.train]
    elif isinstance(config.train, ImagePattern):
        lines = [("  train:", relative), (f"    files: {_path(config.train.files, base)}", "")]
        lines.append((f"    label: {quoted(str(config.train.label))}", why["train"]))
    elif config.train == "digits":
        lines = [("  train: digits", why["train"])]
    else:
        told = f"; {why['train']}" if "train" in why else ""
        lines = [(f"  train: {_path(str(config.train), base)}", relative + told)]
    if "validation" in found.beside:
        held_out = _path(found.beside["validation"], base)
        lines.append((f"  # validation: {held_out}", "held out in the place of folds, which are to go then"))
    if config.header is not None:
        lines.append(("  header: none", why["header"]))
    if "test" in found.beside:
        lines.append((f"  test: {_path(found.beside['test'], base)}", "the rows to predict"))
    if config.target is not None:
        lines.append((f"  target: {_column(str(config.target), data)}", why["target"]))
        lines.append(_target_scale_line(data.labels))
    elif "label" in why:
        lines.append((f"  label: {_label(config, data)}", why["label"]))
    if config.files is not None:
        files = config.files
        parts = [f"column: {_column(files.column, data)}", f"folder: {_path(str(files.folder), base)}"]
        parts += [f"suffix: {quoted(files.suffix)}"] if files.suffix else []
        lines.append((f"  files: {{{', '.join(parts)}}}", why["files"]))
    if config.pixels is not None:
        lines.append((f"  pixels: {_column(config.pixels, data)}", why["pixels"]))
    if config.id is not None:
        lines.append((f"  id: {_column(config.id, data)}", why["id"]))
    if "sample_submission" in found.beside:
        sample = _path(found.beside["sample_submission"], base)
        lines.append((f"  sample_submission: {sample}", "how a submission looks"))
    if config.image is not None:
        lines.append((f"  image: {config.image}", why["image"]))
    if config.skip_bad:
        lines.append(("  skip_bad: true", why["skip_bad"]))
    if data.table is not None:
        return [*lines, *_table_lines(data)]
    wrapped = [part for line in data.report for part in _wrapped(line)]
    scale = ("  scale: 255", "divides: pixels are 0 to 255") if found.are_files else _scale_line(data.images)
    return [*lines, scale, *((f"  # {part}", "") for part in wrapped)]


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


def _label(config: DataConfig, data: Dataset) -> str:
    """Returns what names labels as YAML."""
    if isinstance(config.label, LabelColumn):
        return f"{{column: {_column(config.label.column, data)}, split: {quoted(config.label.split)}}}"
    if isinstance(config.label, str):
        return _column(config.label, data)
    return f"[{', '.join(_column(name, data) for name in config.label)}]"


def _path(path: Path | str, base: Path) -> str:
    """Returns a path relative to a folder, as YAML."""
    try:
        text = Path(os.path.relpath(path, base)).as_posix()
    except ValueError:  # another drive
        text = Path(path).as_posix()
    return quoted(Path(path).as_posix() if text.startswith("~") else text)
