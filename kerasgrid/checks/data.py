"""The data of a config: files, or arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kerasgrid.checks.draft import FILES, Draft
from kerasgrid.config.sections import IdxPair
from kerasgrid.data.columns import FEW_COLUMNS, are_features
from kerasgrid.data.csv import check_columns, is_csv, names_of, pixel_names
from kerasgrid.data.in_memory import NOTHING, Given, dataset_from_arrays
from kerasgrid.data.load import load_data, load_with_test
from kerasgrid.data.statistics import giveaways
from kerasgrid.errors import DataError, did_you_mean
from kerasgrid.records import Dataset
from kerasgrid.wording import count, listed, shown_path


def data_of(draft: Draft, given: Given = NOTHING) -> Dataset | None:
    """Returns the data of the files that the config names, or of arrays; None where they are at fault."""
    report, config = draft.report, draft.config
    if given.X is not None:
        if config.data.train is not None:
            report.add("data.train", "is given, and so are arrays: keep one of them.")
        for key in ("image", "subset"):
            if getattr(config.data, key) is not None:
                report.add(f"data.{key}", "does not go with arrays: shape or choose them before.")
        if report.is_settled("data.train", "data.image", "data.subset"):
            with report.catch("data"):
                multi_label = config.data.multi_label
                return dataset_from_arrays(given.X, given.y, groups=given.groups, multi_label=multi_label)
        return None
    if given.y is not None:
        report.add("data", "y is given without X: give the samples that the labels are of.")
        return None
    if given.groups is not None:
        report.add("data", "groups are given without X: name the file's column in data.group instead.")
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
            if key in config.data.model_fields_set and not (key == "id" and is_csv(config.data.test)):
                report.add(
                    f"data.{key}", "names a column of a .csv file, which data.train is not: leave it out."
                )
    for key in FILES:
        source = getattr(draft.data, key)
        parts = source.model_dump() if isinstance(source, IdxPair) else {"": source}
        for part, path in parts.items():
            if path not in (None, "digits") and not _exists(path):
                where = f"data.{key}.{part}" if part else f"data.{key}"
                report.add(where, f"is {path!r}, and there is no such file.")
    test, id = draft.data.test, config.data.id
    if not has_columns and id is not None and is_csv(test) and _exists(test):
        with report.catch("data.test"):
            if id not in (names := names_of(Path(test))):
                guess = did_you_mean(id, names)
                report.add("data.id", f"is {id!r}, which is no column of {shown_path(test)}.{guess}")
    is_joined = config.search.holdout == "test"
    if is_joined and config.data.test is None and report.is_settled("data.test"):
        report.add("search.holdout", "is 'test', and data.test names no samples.")
        return None
    if train is not None and is_settled and report.is_settled("data.train", *["data.test"] * is_joined):
        with report.catch("data.train"):
            read = load_with_test if is_joined else load_data
            return read(draft.data, seed=config.search.seed)
    return None


def warnings_of_data(draft: Draft, data: Dataset | None) -> tuple[str, ...]:
    """Returns what the data show that is probably not meant: values that give labels away, a test set of
    other columns, a picture of a handful of columns."""
    if data is None:
        return ()
    section, shape, found = draft.data, data.images.shape[1:], []
    trained = pixel_names(section.train, section.label, section.id)
    alone, together = giveaways(data.images, data.labels)
    for places, how in ((alone, ""), (together, " together")):
        if places:
            axes = np.transpose(np.unravel_index(places, shape)).tolist()
            names = listed([trained[place] for place in places] if trained else axes)
            found.append(
                f"{data.source}: the label can be told, wholly or in part, from "
                f"{'columns' if trained else 'values at'} {names}{how}: a score near 1.0 says nothing. Take "
                "out what is no part of the samples; one column can be named as data.id instead."
            )
    if trained and section.image is None and len(trained) < FEW_COLUMNS and are_features(trained):
        found.append(
            f"{data.source}: {count(len(trained), 'column')} ({listed(trained)}) taken for a picture of "
            f"{' x '.join(map(str, shape))}. Where they are none, write data.image: [1, 1, {len(trained)}], "
            "numbers in a row."
        )
    if is_csv(section.test):
        try:
            check_columns(Path(section.test), shape, section.label, section.id, trained)
        except DataError as error:
            found.append(f"data.test: {error} predict refuses it as it is.")
    return tuple(found)


def _exists(path: str | Path) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False
