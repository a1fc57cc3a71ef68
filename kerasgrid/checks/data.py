"""The data of a config: files, arrays and folds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kerasgrid.config import Config, IdxPair
from kerasgrid.data import dataset_from_arrays, fold_fault, load_data, load_with_test, make_folds, test_fold
from kerasgrid.forms import Report
from kerasgrid.records import Dataset, Fold


def data_of(report: Report, config: Config, base: Path, X: Any, y: Any) -> Dataset | None:
    """Returns the data of the files that the config names, or of arrays; None where they are at fault."""
    if X is not None:
        if config.data.train is not None:
            report.add("data.train", "is given, and so are arrays: keep one of them.")
        for key in ("image", "subset"):
            if getattr(config.data, key) is not None:
                report.add(f"data.{key}", "does not go with arrays: shape or choose them before.")
        if report.is_settled("data.train", "data.image", "data.subset"):
            with report.catch("data"):
                return dataset_from_arrays(X, y, multi_label=config.data.multi_label)
        return None
    if y is not None:
        report.add("data", "y is given without X: give the samples that the labels are of.")
        return None
    train = config.data.train
    has_columns = isinstance(train, str) and train.lower().endswith(".csv")
    if config.data.multi_label and train is not None and not str(train).lower().endswith(".npz"):
        report.add(
            "data.multi_label",
            "is for labels of an .npz file or of arrays, which data.train is not: leave it out.",
        )
    needed = ["train", "image", "subset", *(["label", "id"] if has_columns else [])]
    is_settled = report.is_settled(*(f"data.{key}" for key in needed))
    if train is None and report.is_settled("data.train"):
        report.add("data.train", "is missing: a .csv or .npz file, {images: ..., labels: ...}, or digits.")
    if train is not None and not has_columns:
        for key in ("label", "id"):
            if key in config.data.model_fields_set:
                report.add(
                    f"data.{key}", "names a column of a .csv file, which data.train is not: leave it out."
                )
    resolved = {}
    for key in ("train", "test", "sample_submission"):
        value = getattr(config.data, key)
        parts = value.model_dump() if isinstance(value, IdxPair) else {"": value}
        found = {part: resolve(base, text) for part, text in parts.items()}
        for part, path in found.items():
            if isinstance(path, Path) and not _exists(path):
                where = f"data.{key}.{part}" if part else f"data.{key}"
                report.add(where, f"is {str(path)!r}, and there is no such file.")
        texts = {part: None if path is None else str(path) for part, path in found.items()}
        resolved[key] = IdxPair.model_validate(texts) if isinstance(value, IdxPair) else texts[""]
    is_joined = config.search.holdout == "test"
    if is_joined and config.data.test is None and report.is_settled("data.test"):
        report.add("search.holdout", "is 'test', and data.test names no samples.")
        return None
    if train is not None and is_settled and report.is_settled("data.train", *["data.test"] * is_joined):
        with report.catch("data.train"):
            read = load_with_test if is_joined else load_data
            return read(config.data.model_copy(update=resolved), seed=config.search.seed)
    return None


def resolve(base: Path, text: str | None) -> Path | str | None:
    """Returns a path of a config as it is from here; `digits` and None stay."""
    return text if text is None or text == "digits" else base / os.path.expanduser(text)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def folds_of(report: Report, config: Config, data: Dataset | None) -> list[Fold]:
    """Returns the folds; none where they cannot be made."""
    search, written = config.search, config.search.model_fields_set
    ways = {"folds", "holdout"}
    if data is None:
        return []
    if search.holdout == "test":
        if not data.n_held_out:
            report.add("search.holdout", "is 'test', which does not go with arrays: give a share.")
            return []
        return [test_fold(len(data), data.n_held_out)]
    if not report.is_settled(*(f"search.{key}" for key in ways & written or ways)):
        return []
    fault = fold_fault(data.labels, data.classes, search.n_folds, search.holdout)
    if fault is not None:
        report.add("search.holdout" if search.holdout is not None else "search.folds", fault)
        return []
    return make_folds(data.labels, n_folds=search.n_folds, holdout=search.holdout, seed=search.seed)
