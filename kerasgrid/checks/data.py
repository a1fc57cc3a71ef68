"""The data of a config: files, or arrays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from kerasgrid.checks.draft import FILES, Draft
from kerasgrid.config.sections import IdxPair, ImagePattern, first_path
from kerasgrid.data.archives import exists
from kerasgrid.data.cells import CellFaults, Cells, row_places
from kerasgrid.data.csv import pixel_names
from kerasgrid.data.csv_text import CsvFile, read_frames
from kerasgrid.data.frames import as_frame
from kerasgrid.data.in_memory import NOTHING, Given, dataset_from_arrays
from kerasgrid.data.load import check_other, load_data, load_with_test
from kerasgrid.data.places import csv_of
from kerasgrid.data.roles import Roles, is_fold_file, read_roles
from kerasgrid.data.sources import are_image_files, form_of, open_stream
from kerasgrid.data.statistics import giveaways, pixel_top
from kerasgrid.data.streams import Stream
from kerasgrid.errors import DataError, did_you_mean
from kerasgrid.records import Dataset, Doing, not_told
from kerasgrid.wording import count, listed


def data_of(
    draft: Draft, given: Given = NOTHING, *, numbers: bool | None = None, doing: Doing = not_told
) -> Dataset | None:
    """Returns the data of the files that the config names, or of arrays; None where they are at fault.

    Args:
        draft: With the config, and a report that takes the faults.
        given: Arrays, among others.
        numbers: Whether y is numbers to predict; None to tell by y itself.
        doing: Is told how far the decoding of image files is.
    """
    report, config = draft.report, draft.config
    if given.read is not None:
        return given.read.samples
    if given.X is not None:
        if config.data.train is not None:
            report.add("data.train", "is given, and so are arrays: keep one of them.")
        for key, instead in _INSTEAD.items():
            if getattr(config.data, key) is not None:
                report.add(f"data.{key}", f"does not go with arrays: {instead}.")
        if report.is_settled("data.train", *(f"data.{key}" for key in _INSTEAD)):
            with report.catch("data"):
                data = dataset_from_arrays(
                    given.X,
                    given.y,
                    groups=given.groups,
                    sample_weight=given.sample_weight,
                    validation_data=given.validation_data,
                    config=config.data,
                    numbers=True if config.data.target_scale is not None else numbers,
                )
                _check_use(draft, data)
                return data
        return None
    if given.y is not None:
        report.add("data", "y is given without X: give the samples that the labels are of.")
        return None
    for name, key in _KEYS_OF_GIVEN.items():
        if getattr(given, name) is not None:
            does = "are" if name == "groups" else "is"
            report.add("data", f"{name} {does} given without X: name {key} instead.")
            return None
    train = config.data.train
    if train is None and report.is_settled("data.train"):
        report.add(
            "data.train",
            "is missing: a .csv or .npz file, a folder of class folders, {files: ..., label: ...} of image "
            "files, {images: ..., labels: ...}, or digits.",
        )
    has_columns = _check_kind(draft)
    _check_keys(draft)
    _check_files(draft)
    _check_decoding(draft)
    is_joined = config.search.holdout == "test" or config.data.validation is not None
    if config.search.holdout == "test" and config.data.test is None and report.is_settled("data.test"):
        report.add("search.holdout", "is 'test', and data.test names no samples.")
        return None
    needed = [
        "train",
        "image",
        "subset",
        *(_COLUMN_KEYS if has_columns else []),
        *["test", "validation"] * is_joined,
    ]
    if train is not None and report.is_settled(*(f"data.{key}" for key in needed)):
        with report.catch("data.train"):
            read = load_with_test if is_joined else load_data
            data = read(draft.data, seed=config.search.seed, doing=doing)
            _check_use(draft, data)
            return replace(data, report=(*data.report, *_notes_of_test(draft, data)))
    return None


def _notes_of_test(draft: Draft, data: Dataset) -> list[str]:
    """Returns lines on what was guessed of the test set; none where it cannot be read, as warnings tell."""
    if draft.data.test is None or draft.config.search.holdout == "test":
        return []
    try:
        return [f"test: {note}" for note in _stream_of_test(draft.data, data).notes]
    except DataError:
        return []


def _stream_of_test(section: Any, data: Dataset) -> Stream:
    shape = data.images.shape[1:]
    return open_stream(section.test, shape, section, table=data.table, target=data.target)


def _check_kind(draft: Draft) -> bool:
    """Adds which keys are of another kind of data than `data.train`; returns whether that has columns."""
    report, given = draft.report, draft.config.data
    if given.train is None:
        return False
    file = _file(draft.data.train, draft)
    holds_arrays = given.train is not None and str(first_path(given.train)).lower().endswith((".npz", ".npy"))
    if given.multi_label and not holds_arrays:
        report.add(
            "data.multi_label",
            "is for labels of an .npz file, of two .npy or of arrays, which data.train is not: leave it out. "
            "Of a CSV file data.label names several labels.",
        )
    for key in _COLUMN_KEYS if file is None else ():
        of_test = key in ("id", "files", "header") and _file(draft.data.test, draft, "test") is not None
        if key in given.model_fields_set and not of_test:
            report.add(f"data.{key}", "names a column of a .csv file, which data.train is not: leave it out.")
    return file is not None


_OF_DECODING = ("fit", "resample", "skip_bad")


def _check_decoding(draft: Draft) -> None:
    """Adds keys that say how image files are decoded, where there are none."""
    report, given = draft.report, draft.config.data
    keys = [key for key in _OF_DECODING if key in given.model_fields_set]
    needed = [
        f"data.{key}" for key in ("train", "test", "validation", "files", "pixels", "features", "header")
    ]
    if not keys or given.train is None or not report.is_settled(*needed):
        return
    with suppress(DataError):  # as is told where the data are read
        others = [source for source in (draft.data.test, draft.data.validation) if source is not None]
        if any(
            are_image_files(draft.data.model_copy(update={"train": one}))
            for one in (draft.data.train, *others)
        ):
            return
        for key in keys:
            report.add(f"data.{key}", "is of image files, and data.train has none: leave it out.")


def _file(source: Any, draft: Draft, part: str = "train") -> CsvFile | None:
    """Returns the CSV file that a source names; None of another kind, or of a .zip that is refused."""
    try:
        return csv_of(source, draft.data, part)
    except DataError:
        return None


_INSTEAD = {
    "image": "shape or choose them before",
    "subset": "shape or choose them before",
    "validation": "give validation_data",
}
_KEYS_OF_GIVEN = {
    "groups": "the file's column in data.group",
    "sample_weight": "the file's column in data.weight",
    "validation_data": "the file in data.validation",
}
_COLUMN_KEYS = (
    *("label", "target", "id", "drop", "features", "group", "time", "fold", "weight"),
    *("files", "pixels", "header"),
)
"""Keys of the section `data` that name columns of a CSV file."""


def _check_keys(draft: Draft) -> None:
    """Adds what keys of the section `data` exclude each other."""
    report, data = draft.report, draft.config.data
    if data.target is not None and "label" in data.model_fields_set:
        report.add("data.target", "is given, and so is data.label: a search predicts one of them.")
    if data.normalize is not None and data.standardize:
        report.add(
            "data.normalize", "is given, and so is data.standardize, which learns the same: keep one of them."
        )
    if data.image is not None and data.features.model_fields_set:
        report.add(
            "data.image", "is given, and so is data.features: samples are pictures or rows of a table."
        )


def _check_files(draft: Draft) -> None:
    """Adds the files that are not there, and an id that a test set has not."""
    report, config = draft.report, draft.config
    sources = {key: getattr(draft.data, key) for key in FILES}
    if is_fold_file(draft.data.fold):
        sources["fold"] = draft.data.fold
    for key, source in sources.items():
        if isinstance(source, ImagePattern):
            continue  # which is told with what there is instead
        parts = source.model_dump() if isinstance(source, IdxPair) else {"": source}
        for part, path in parts.items():
            if path not in (None, "digits") and not exists(path):
                where = f"data.{key}.{part}" if part else f"data.{key}"
                report.add(where, f"is {path!r}, and there is no such file.")
    id, test = config.data.id, _file(draft.data.test, draft, "test")
    is_of_test = id is not None and _file(draft.data.train, draft) is None
    if is_of_test and test is not None and exists(test.path):
        with report.catch("data.test"):
            if id not in (names := test.names()):
                guess = did_you_mean(id, names)
                report.add("data.id", f"is {id!r}, which is no column of {test.where}.{guess}")


def _check_use(draft: Draft, data: Dataset) -> None:
    """Adds what does not go with what the data are."""
    report, config = draft.report, draft.config
    if config.data.target_scale is not None and not data.target.is_numbers:
        what = f"and {data.source} has classes: leave it out, or name numbers with data.target."
        report.add("data.target_scale", f"is of numbers to predict, {what}")
    elif config.data.target_scale == "log" and (data.labels <= -1).any():
        row, column = (int(place) for place in np.argwhere(data.labels <= -1)[0])
        which = f"{data.target.names[column]!r} of sample {row} (counted from 0)"
        report.add(
            "data.target_scale",
            f"is log, which is of numbers above -1, and {which} is {data.labels[row, column]:g}: take "
            "standardize, or leave it out.",
        )
    given, n_channels = config.data.normalize, data.images.shape[-1]
    if data.table is None and data.inputs is None:
        if given is not None and len(given.mean) not in (1, n_channels):
            report.add(
                "data.normalize",
                f"has figures of {count(len(given.mean), 'channel')}, and samples of {data.source} have "
                f"{n_channels:,}: one a channel holds, or one for all.",
            )
        return
    what = f"{data.source} is a table"
    are_scaled, are_standardized = (
        "whose numbers are scaled by data.features: {scaler: standard}. Leave it out.",
        "whose numbers are standardized by themselves: leave it out.",
    )
    if data.inputs is not None:
        what = f"{data.source} have several inputs"
        are_scaled = are_standardized = (
            "which reach the model as they are: leave it out, and let the model begin with "
            "keras.layers.Rescaling or Normalization where an input needs it."
        )
    if config.data.scale is not None:
        report.add("data.scale", f"divides pixels, and {what}, {are_scaled}")
    for key in ("standardize", "normalize"):
        if getattr(config.data, key):
            report.add(f"data.{key}", f"is of pixels, and {what}, {are_standardized}")
    spaces = config.space if isinstance(config.space, list) else [config.space]
    if config.augment is not None:
        report.add("augment", f"is of images, and {what}: leave it out.")
    for where, names in (("params", config.params), *(("space", space) for space in spaces)):
        for name in names:
            if name.startswith("augment."):
                report.add(f"{where}.{name}", f"is of images, and {what}: leave it out.")


def warnings_of_data(draft: Draft, data: Dataset | None, given: Given = NOTHING) -> tuple[str, ...]:
    """Returns what the data show that is probably not meant: values that give labels away, rows held out of
    groups or times that are trained on, a test set of other columns."""
    if data is None:
        return ()
    section, found = draft.data, []
    shape, train = data.images.shape[1:], _file(draft.data.train, draft)
    pixels = None
    if train is not None and data.table is None and form_of(train, section, Roles.of(section)) is False:
        pixels = pixel_names(train, Roles.of(section))
    names = pixels if data.table is None else tuple(column.name for column in data.table.columns)
    if data.inputs is not None:
        names = tuple(
            f"{name}{[*map(int, np.unravel_index(place, one.shape))]}"
            for name, one in zip(data.inputs.names, data.inputs.each, strict=True)
            for place in range(one.size)
        )
    # No value of an image file's pixels is a label's.
    is_asked = not data.target.is_numbers and (section.train is None or not are_image_files(section))
    alone, together = giveaways(data.images, data.labels) if is_asked else ([], [])
    for places, how in ((alone, ""), (together, " together")):
        if places:
            axes = np.transpose(np.unravel_index(places, shape)).tolist()
            told = listed([names[place] for place in places] if names else axes)
            found.append(
                f"{data.source}: the label can be told, wholly or in part, from "
                f"{'columns' if names else 'values at'} {told}{how}: a score near 1.0 says nothing. Take "
                "out what is no part of the samples, by data.drop."
            )
    if (odd := _odd_figures(draft, data)) is not None:
        found.append(odd)
    if data.n_held_out:
        found += _warnings_of_held_out(draft, given)
    if section.test is not None:
        try:
            # Of image files it tells at once which are not there.
            check_other(section, section.test, data)
            _stream_of_test(section, data)
        except DataError as error:
            found.append(f"data.test: {error} predict refuses it as it is.")
    return tuple(found)


def _odd_figures(draft: Draft, data: Dataset) -> str | None:
    """Returns that figures of data.normalize are of pixels on another scale; None where they may be right."""
    section, augment = draft.config.data, draft.config.augment
    if section.normalize is None or (augment is not None and augment.rescale is not None):
        return None
    figures = [*section.normalize.mean, *section.normalize.std]
    top = pixel_top(data.images)
    told = f"data.normalize has figures of {min(figures):g} to {max(figures):g}"
    if top is None:
        return None
    if section.scale is None and max(figures) <= 1:
        return (
            f"{told}, which are of pixels from 0 to 1, and those of {data.source} are 0 to {top:,}: write "
            f"`scale: {top}` beside it, by which they are divided first."
        )
    if section.scale is not None and min(section.normalize.std) > top / section.scale:
        return (
            f"{told}, and pixels of {data.source}, divided by data.scale first, are 0 to "
            f"{top / section.scale:g}: leave data.scale out, or divide the figures by it."
        )
    return None


def _warnings_of_held_out(draft: Draft, given: Given) -> Iterator[str]:
    """Yields that rows which are held out in the place of folds are of groups, or before times, of others."""
    section = draft.data
    sources = section.train, section.validation or section.test
    files = [_file(source, draft) for source in sources]
    names = ["" if file is None else file.where for file in files]
    if given.X is not None:
        held_out = given.validation_data  # a dataset has no columns
        held_out = held_out[0] if isinstance(held_out, list | tuple) else held_out
        files, names = [given.X, held_out], ["X", "validation_data"]
    where, where_test = names
    for key in ("group", "time"):
        columns = [_column(file, getattr(section, key)) for file in files]
        if any(column is None for column in columns):
            continue
        if key == "group":
            groups, held_out = (set(Cells(column).words) for column in columns)
            if both := groups & held_out:
                yield (
                    f"{where_test}: {len(both):,} of its {count(len(held_out), 'group')} are in {where} too: "
                    "scores may know them. Leave their rows out of one of the two."
                )
            continue
        roles = Roles(time=section.time)
        times, own = (
            read_roles(column.to_frame(section.time), roles, CellFaults("", row_places))["times"]
            for column in columns
        )
        if np.nanmax(times) > np.nanmin(own):
            yield (
                f"{where} has samples that are later, by data.time, than some of {where_test}: scores may "
                "know what comes."
            )


def _column(source: Any, name: str | None) -> Any:
    """Returns a column of a CSV file or DataFrame; None where there is no such column."""
    file = source if isinstance(source, CsvFile) else None
    frame = None if file is not None else as_frame(source)
    if name is None or (frame is None and file is None):
        return None
    if frame is not None:
        places = [place for place, own in enumerate(frame.columns) if str(own) == name]
        return frame.iloc[:, places[0]] if places else None
    assert file is not None
    if name not in file.names():
        return None
    return next(read_frames(file, [name], only=[name]))[name]
