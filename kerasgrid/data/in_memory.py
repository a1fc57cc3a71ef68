"""What is given in Python as X and y beside a config, as samples."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from kerasgrid.config.sections import DataConfig, Features
from kerasgrid.data.array_likes import as_array, refuse_others, sparse_note
from kerasgrid.data.arrays import as_pixels, check_memory, pixels_of_map
from kerasgrid.data.cache import fingerprint
from kerasgrid.data.cells import CellFaults, row_places
from kerasgrid.data.drawn import with_labels
from kerasgrid.data.frames import as_frame, frame_parts, is_table_frame, table_of_frame, with_text_names
from kerasgrid.data.held_out import check_held_out, parts_of, with_held_out
from kerasgrid.data.inputs import Rows, in_rows, rows_like
from kerasgrid.data.labels import check_labels, samples_of
from kerasgrid.data.roles import Roles, told_times
from kerasgrid.data.samples import Samples
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset, Fold, Table


@dataclass(frozen=True, eq=False)
class Read:
    """What an estimator has read of X and y, whose fits are those of a search.

    They are such as it trains by itself: a `build(hp)` takes its own defaults, and what is drawn depends on
    no split's place. The predictions of all of them are kept.

    Attributes:
        samples: All that are trained on or held out.
        folds: How they are split.
        keeps_weights: Whether the weights of each fit are kept.
        keeps_trained: Whether what each fit says of the samples that it was trained on is.
        measures_epochs: Whether each epoch is measured on samples that are held out.
    """

    samples: Dataset
    folds: tuple[Fold, ...]
    keeps_weights: bool = False
    keeps_trained: bool = False
    measures_epochs: bool = True


@dataclass(frozen=True, eq=False)
class Given:
    """What is given in Python beside a config; each None where it is not.

    Attributes:
        X: (sample, ...), in the place of `data.train`.
        y: Their labels or numbers.
        groups: (sample,), which group each is of, as `data.group` names it in a file.
        sample_weight: (sample,), what each counts in the loss of training, as `data.weight`.
        validation_data: (X, y) or (X, y, sample_weight), the rows that are held out, as `data.validation`.
        cv: A splitter of scikit-learn's, or an iterable of (train, test), in the place of `search.folds`.
        read: What an estimator has read, in the place of all others.
    """

    X: Any = None
    y: Any = None
    groups: Any = None
    sample_weight: Any = None
    validation_data: Any = None
    cv: Any = None
    read: Read | None = None


NOTHING = Given()
_NO_CONFIG = DataConfig()


def dataset_from_arrays(
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    config: DataConfig = _NO_CONFIG,
    numbers: bool | None = None,
) -> Dataset:
    """Returns a dataset of arrays or data frames given in Python, in memory.

    Args:
        X: (sample, ...) numbers, whose axes stay; a list or dict of such, one for each input of the model; a
            finite tf.data.Dataset, PyDataset or DataLoader, which gives y too and is drawn once; or a
            DataFrame, which is a table, but where its columns are numbers and have no names, or numbered
            ones, as pixels have.
        y: (sample,) whole numbers, bools or strings, or (sample, class) one-hot rows; or numbers to predict,
            (sample,) or (sample, target). None where `config` names columns of X.
        groups: (sample,), which group each is of, numbers or texts; None for none.
        sample_weight: (sample,), what each counts in the loss of training; None for the same.
        validation_data: (X, y) or (X, y, sample_weight), or a dataset of them, which are held out; None for
            none.
        config: Says what columns of a DataFrame are, and whether y is (sample, label) of 0 and 1.
        numbers: Whether y is numbers to predict; by default floats are that are neither whole nor one-hot.

    Raises:
        DataError: X and y are no arrays or do not fit, or hold what cannot be learnt from.
    """
    numbers = True if config.target is not None else numbers
    X, y, sample_weight = with_labels(X, y, sample_weight)
    train = _samples(in_rows(X, y), y, groups, sample_weight, config, numbers, "X and y")
    check_labels(train.labels, train.target, "X and y")
    joined, n_held_out = train, 0
    if validation_data is not None:
        held_X, held_y, held_weights = parts_of(validation_data)
        is_numbers, where = train.target.is_numbers, "validation_data"
        if train.inputs is not None:
            held_X = rows_like(held_X, train.inputs, f"{where}[0]")
        held_out = _samples(held_X, held_y, None, held_weights, config, is_numbers, where, train)
        check_held_out(train, held_out, "X and y", where)
        joined, n_held_out = with_held_out(train, held_out, where), len(held_out.labels)
    own = {field.name: getattr(joined, field.name) for field in fields(joined)}
    return Dataset(**own, fingerprint=fingerprint(joined), source="X and y", n_held_out=n_held_out)


def _samples(
    X: Any,
    y: Any,
    groups: Any,
    sample_weight: Any,
    config: DataConfig,
    numbers: bool | None,
    where: str,
    trained: Samples | None = None,
) -> Samples:
    """Returns arrays or a DataFrame as samples, which are held out where those to train on are `trained`."""
    refuse_others(X, y)
    frame, report = as_frame(X), sparse_note(X)
    roles = _roles(config, y, frame, trained)
    table: Table | None = None
    known: dict[str, Any] = {}
    if frame is not None:
        faults, said = CellFaults(where, row_places), config.features if trained is None else Features()
        X, y_of_frame, known = frame_parts(frame, roles, said, faults)
        y = y_of_frame if y is None else y
        report += told_times(with_text_names(frame), roles)
        table = None if trained is None else trained.table
        if table is not None or (trained is None and is_table_frame(X, config)):
            values, table, lines = table_of_frame(X, said, where, table, faults)
            report = [*report, *lines]
        faults.finish()
    if y is None:
        raise DataError("y is missing: give the labels of X, (sample,), beside it.")
    inputs = X.inputs if isinstance(X, Rows) else None
    if table is None:
        values = _values(X, y) if inputs is None else X.values
    given = as_array(y, "y")
    several = config.multi_label or roles.are_several
    samples = samples_of(values, given, where, "y", multi_label=several, numbers=numbers, names=_names_of(y))
    for name, value, read in (("groups", groups, _codes_of), ("weights", sample_weight, weights_of)):
        if value is not None:
            if name in known:
                raise DataError(f"{name} are given, and a column of X is named for them: keep one.")
            known[name] = read(value, len(values))
    return replace(samples, table=table, inputs=inputs, report=(*report, *samples.report), **known)


def _roles(config: DataConfig, y: Any, frame: Any, trained: Samples | None) -> Roles:
    """Returns which columns of a DataFrame are no features.

    Raises:
        DataError: They are named, and there is no DataFrame, or y beside them.
    """
    written = config.model_fields_set
    roles = Roles.of(config)
    if y is not None and trained is None and (roles.targets or "label" in written):
        key = "target" if roles.targets else "label"
        raise DataError(f"y is given, and so is data.{key}, which names a column of X: keep one of them.")
    if y is not None:
        roles = roles.without_predicted
    if roles.fold_file is not None:
        raise DataError("data.fold is a file, which does not go with arrays. Name a column of a DataFrame.")
    if frame is None:
        named = next(((key, name) for key, name in roles.by_key() if key in written), None)
        if named is not None:
            raise DataError(
                f"data.{named[0]} names the column {named[1]!r}, and X is no DataFrame: leave it out."
            )
        return roles
    names = [str(name) for name in frame.columns]
    if trained is not None:
        return roles.of_held_out(names, trained.target)
    is_guess = "label" not in written and roles.label not in names
    return replace(roles, label=None) if is_guess else roles


def _values(X: Any, y: Any) -> np.ndarray:
    """Returns the values of arrays, (sample, ...), uint8 or float32."""
    images, given = as_array(X, "X"), as_array(y, "y")
    if given.ndim > max(images.ndim, 1) and images.shape[:1] == given.shape[:1]:
        raise DataError(
            f"X has shape {images.shape} and y {given.shape}: were they swapped? The samples come first, and "
            "their labels after them."
        )
    if images.dtype.kind in "SU" and images.ndim < 2:
        raise DataError(
            f"X holds texts, such as {images.reshape(-1)[0].item()!r}, where the samples themselves are "
            "needed: files that they name have to be read into an array."
        )
    if images.ndim < 2 or 0 in images.shape[1:]:
        raise DataError(f"X: shape {images.shape}. The sample's axis and at least one more are needed.")
    if isinstance(X, np.memmap):
        return pixels_of_map(X, "X")
    if images.dtype != np.uint8:
        check_memory(5 * images.size, "X")  # of float32, and of what is compared with them
    return as_pixels(images, "X")


def _names_of(y: Any) -> list[str]:
    """Returns what the columns of y are called; none where they have no names."""
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    name = getattr(y, "name", None)
    return [name] if isinstance(name, str) else []


def weights_of(weights: Any, n_samples: int) -> np.ndarray:
    """Returns what samples count, as it is given in Python, (sample,) float64.

    Raises:
        DataError: They are no array of so many numbers from 0 on, not all of them 0.
    """
    array = as_array(weights, "sample_weight")
    if array.shape != (n_samples,) or array.dtype.kind not in "biuf":
        raise DataError(
            f"sample_weight has shape {array.shape} and dtype {array.dtype}, and there are {n_samples:,} "
            "samples: a number for each holds."
        )
    good = np.isfinite(array) & (array >= 0)
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(f"sample_weight: sample {row} (counted from 0) has {array[row]}. 0 or more holds.")
    if not array.any():
        raise DataError("sample_weight is zero for all samples: some must count.")
    return array.astype(np.float64)


def _codes_of(groups: Any, n_samples: int) -> np.ndarray:
    """Returns groups given in Python as numbers from 0, (sample,) int64.

    Raises:
        DataError: They are no array of so many, or one is missing.
    """
    array = as_array(groups, "groups")
    if array.shape != (n_samples,):
        shape = f"groups have shape {array.shape}"
        raise DataError(f"{shape}, and there are {n_samples:,} samples: a group for each holds.")
    blank = np.array([value is None or value != value for value in array.tolist()], dtype=bool)
    if blank.any():
        row = int(np.flatnonzero(blank)[0])
        raise DataError(
            f"groups: sample {row} (counted from 0) has none. Give it one; its own, where it belongs to no "
            "other."
        )
    values = array.astype(str) if array.dtype == object else array
    return np.unique(values, return_inverse=True)[1].astype(np.int64)
