"""What is given in Python as X and y: arrays, or at once what it is and what to give in its place.

What is no array is judged by its type: nothing of it is taken, for it may never end, and nothing is imported.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from kerasgrid.config.sections import DataConfig, Features
from kerasgrid.data.arrays import Samples, as_pixels, check_memory, pixels_of_map
from kerasgrid.data.cache import fingerprint
from kerasgrid.data.cells import CellFaults, row_places
from kerasgrid.data.drawn import drawn, gives_batches
from kerasgrid.data.frames import as_frame, frame_parts, is_table_frame, table_of_frame, with_text_names
from kerasgrid.data.held_out import check_held_out, with_held_out
from kerasgrid.data.labels import check_labels, samples_of
from kerasgrid.data.roles import Roles, told_times
from kerasgrid.errors import DataError, brief
from kerasgrid.records import Dataset, Fold, Table
from kerasgrid.wording import listed

# By the full names of a type and its parents, the first that fits: what it is, and what to give.
_KINDS = (
    (
        r".*\.NumpyArrayIterator",
        "endless batches of an ImageDataGenerator",
        "Give the arrays that it flows from, and its arguments under augment, such as augment: "
        "{rotation_range: 10}.",
    ),
    (
        r".*\.(DirectoryIterator|DataFrameIterator)",
        "endless batches of image files",
        "Name their folder or table in the config, as data.train, and what the ImageDataGenerator does under "
        "augment, such as augment: {rotation_range: 10}.",
    ),
    (
        r".*\.ImageDataGenerator",
        "a maker of augmented batches",
        "Give arrays, and its arguments under augment, such as augment: {rotation_range: 10}.",
    ),
    (
        r"torch\.utils\.data\..*",
        "a torch Dataset",
        "Collect its samples into arrays: X, y = (np.stack(part) for part in zip(*(data[i] for i in "
        "range(len(data))))).",
    ),
    (
        r"datasets\..*Dataset",
        "a Hugging Face Dataset",
        "Give its columns as arrays: np.asarray(data.with_format('numpy')['NAME']).",
    ),
)
_MANY = {"X": ("samples", "inputs"), "y": ("labels", "outputs")}
_ARRAY_WORDS = "Arrays, data frames and lists of numbers hold."


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
        X: (sample, ...) numbers, whose axes stay; a finite tf.data.Dataset, PyDataset or DataLoader, which
            gives y too and is drawn once; or a DataFrame, which is a table, but where its columns are
            numbers and have no names, or numbered ones, as pixels have.
        y: (sample,) whole numbers, bools or strings, or (sample, class) one-hot rows; or numbers to predict,
            (sample,) or (sample, target). None where `config` names columns of X.
        groups: (sample,), which group each is of, numbers or texts; None for none.
        sample_weight: (sample,), what each counts in the loss of training; None for the same.
        validation_data: (X, y) or (X, y, sample_weight), which are held out; None for none.
        config: Says what columns of a DataFrame are, and whether y is (sample, label) of 0 and 1.
        numbers: Whether y is numbers to predict; by default floats are that are neither whole nor one-hot.

    Raises:
        DataError: X and y are no arrays or do not fit, or hold what cannot be learnt from.
    """
    numbers = True if config.target is not None else numbers
    if y is None and gives_batches(X):
        X, y, weights = drawn(X, "X")
        sample_weight = weights if sample_weight is None else sample_weight
    train = _samples(X, y, groups, sample_weight, config, numbers, "X and y")
    check_labels(train.labels, train.target, "X and y")
    joined, n_held_out = train, 0
    if validation_data is not None:
        if gives_batches(validation_data):
            validation_data = drawn(validation_data, "validation_data")
        parts = list(validation_data) if isinstance(validation_data, list | tuple) else []
        if len(parts) not in (2, 3):
            raise DataError("validation_data: (X, y) or (X, y, sample_weight) holds.")
        held_X, held_y, held_weights = (*parts, None)[:3]
        is_numbers, where = train.target.is_numbers, "validation_data"
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
    if table is None:
        values = _values(X, y)
    given = as_array(y, "y")
    several = config.multi_label or roles.are_several
    samples = samples_of(values, given, where, "y", multi_label=several, numbers=numbers, names=_names_of(y))
    for name, value, read in (("groups", groups, _codes_of), ("weights", sample_weight, weights_of)):
        if value is not None:
            if name in known:
                raise DataError(f"{name} are given, and a column of X is named for them: keep one.")
            known[name] = read(value, len(values))
    return replace(samples, table=table, report=(*report, *samples.report), **known)


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


def refuse_others(X: Any, y: Any = None) -> None:
    """Raises a DataError where X or y is no array of samples, and nothing that one is made of.

    Args:
        X: What was given as the samples.
        y: What was given as their labels; None where there are none.
    """
    for name, value, beside in (("X", X, y), ("y", y, X)):
        if value is None and name == "y":
            continue
        is_one = _is_number(value) and not hasattr(value, "__array__")
        fault = f"is the number {value}. {_ARRAY_WORDS}" if is_one else _fault(value, name)
        fault = fault or _fault_of_several(value, beside, name)
        if fault is not None:
            raise DataError(f"{name} {fault}")


def as_array(value: Any, name: str) -> np.ndarray:
    """Returns what `refuse_others` lets pass as an array.

    Raises:
        DataError: Its rows differ in length, or it cannot be made an array of numbers.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        n_masked = int(np.ma.count_masked(value))
        raise DataError(
            f"{name} is a masked array, {n_masked:,} of its values masked: fill them, .filled(0)."
        )
    if isinstance(n_bytes := getattr(value, "nbytes", None), int) and not isinstance(value, np.ndarray):
        check_memory(n_bytes, name)  # of one in a file, say
    if is_sparse(value):
        check_memory(2 * math.prod(value.shape) * value.dtype.itemsize, f"{name}, a sparse matrix made dense")
    try:
        array = np.asarray(value.toarray() if is_sparse(value) else value)
        if array.dtype == object and array.ndim == 1 and len(array) and hasattr(array[0], "shape"):
            array = np.stack([np.asarray(item) for item in array])  # a column of images
    except Exception as error:  # each library that has arrays has errors of its own
        uneven = _uneven(value) if isinstance(error, ValueError) and not hasattr(value, "dtype") else None
        raise DataError(f"{name}{uneven or f' cannot be made an array: {brief(error)}'}") from error
    if array.ndim == 2 and array.dtype.kind in "OUT" and hasattr(value, "columns"):
        return _of_columns(array, list(value.columns), name)
    return array


def _fault(value: Any, name: str) -> str | None:
    """Returns what something is that is no array, and what to give; None for an array and what makes one.

    Args:
        name: X or y.
    """
    if is_sparse(value):  # of which one format is a dict
        return None
    if isinstance(value, np.ndarray) and not value.ndim and value.dtype == object:
        value = value.item()  # as np.load gives a dict that was pickled
    kind = type(value)
    a = f"a{'n' if kind.__name__[0] in 'aeiouAEIOU' else ''} {kind.__name__}"
    names = [f"{parent.__module__}.{parent.__qualname__}" for parent in kind.__mro__]
    if gives_batches(value):
        return f"is a dataset ({kind.__name__}), which gives samples and labels: give it as X, and no y."
    for pattern, what, give in _KINDS:
        if any(re.fullmatch(pattern, name) for name in names):
            return f"is {what} ({kind.__name__}), which is not read yet. {give}"
    if isinstance(value, type):
        return f"is the class {value.__name__} itself. {_ARRAY_WORDS}"
    if isinstance(value, bytes | bytearray):
        return f"is {len(value):,} bytes. Make an array of them: np.frombuffer(data, dtype).reshape(shape)."
    if isinstance(value, str | os.PathLike):
        return (
            f"is the text {str(value)[:100]!r}. Give what it names: a file in the config, as data.train and "
            "without X and y; a column as an array of its own."
        )
    if isinstance(value, Mapping):
        return (
            f"is {a} of {listed(list(value)) or 'nothing'}; several {_MANY[name][1]} by name are not built "
            "yet. Give one array of it" + (f", such as {name}[{next(iter(value))!r}]." if value else ".")
        )
    if hasattr(value, "__next__"):
        return (
            f"is {a}, which gives one after another and may never end. Collect what it gives into arrays; of "
            "batches: X, y = (np.concatenate(part) for part in zip(*itertools.islice(data, N)))."
        )
    if isinstance(value, Set) or value is None:
        return f"is {value if value is None else f'{a}, which has no order'}. {_ARRAY_WORDS}"
    if callable(value) and not hasattr(value, "__array__"):
        return f"is {a}, and has to be called for samples. {_ARRAY_WORDS}"
    if _is_array(value):
        return None
    if isinstance(value, Sequence):
        by_type = {type(item): item for item in value}  # one of each is looked at
        inner = [
            item for item in by_type.values() if hasattr(item, "__iter__") or hasattr(item, "__getitem__")
        ]
        faults = [_fault(item, name) for item in inner if not isinstance(item, str | bytes)]
        return next((f"is {a} in which one {fault}" for fault in faults if fault is not None), None)
    if _is_number(value):
        return None
    collected = " Collect what it gives: np.stack([item for item in data])." if _gives_items(value) else ""
    return f"is {a}, which is no array. {_ARRAY_WORDS}{collected}"


def _gives_items(value: Any) -> bool:
    return hasattr(value, "__iter__") or (hasattr(value, "__getitem__") and hasattr(value, "__len__"))


def _is_array(value: Any) -> bool:
    """Tells whether NumPy is told by something itself what array it is, and need not go through it."""
    if any(hasattr(value, name) for name in ("__array__", "__array_interface__", "__array_struct__")):
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def is_sparse(value: Any) -> bool:
    """Tells whether something is a matrix of scipy.sparse."""
    return any(parent.__module__.startswith("scipy.sparse") for parent in type(value).__mro__)


def indexable(value: Any) -> Any:
    """Returns what scikit-learn can take some samples of: a tensor as an array, sparse columns as dense."""
    if names := _sparse_columns(value):
        return value.astype({name: value.dtypes[name].subtype for name in names})
    is_one = isinstance(value, np.ndarray) or hasattr(value, "iloc") or hasattr(value, "columns")
    return value if is_one or not hasattr(value, "__array__") else np.asarray(value)


def _sparse_columns(value: Any) -> list[Any]:
    """Returns the names of a pandas DataFrame's columns that are sparse."""
    if not (hasattr(value, "iloc") and hasattr(value, "columns")):
        return []
    return [name for name, kind in value.dtypes.items() if type(kind).__name__ == "SparseDtype"]


def sparse_note(value: Any) -> list[str]:
    """Returns a line on what is sparse, and is learnt from as dense; none of what is not."""
    if is_sparse(value):
        what, size = "a sparse matrix", math.prod(value.shape)
        share = value.nnz / max(size, 1)
    elif names := _sparse_columns(value):
        what, size, share = "sparse columns", len(value) * len(names), value[names].sparse.density
    else:
        return []
    return [f"X: {what} of which {share:.1%} is not 0, made dense: {4 * size:,} bytes"]


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float | complex | np.number | np.bool_)


def _fault_of_several(value: Any, beside: Any, name: str) -> str | None:
    """Returns what a list or tuple of arrays is that are no samples or labels; None for one that is.

    Args:
        beside: The labels of samples, the samples of labels; None where there are none.
        name: X or y.
    """
    if not isinstance(value, list | tuple) or len(value) < 2:
        return None
    kind = type(value).__name__
    if all(isinstance(item, tuple) and len(item) == 2 and _length(item[0]) for item in value):
        if len(value) == 2 and isinstance(value, tuple):
            return (
                "is a pair of pairs, as load_data() gives it: (X, y), (X_test, y_test) = ... takes it apart."
            )
        return f"is a {kind} of pairs. Take them apart: X, y = (np.stack(part) for part in zip(*pairs))."
    lengths = {_length(item) for item in value}
    if None in lengths or len(lengths) > 1:
        return None
    if beside is None:
        parts = {2: ("two", "X, y"), 3: ("three", "X, y, sample_weight")}
        if len(value) not in parts or (isinstance(value, list) and len(value) == 3):
            return None
        words, names = parts[len(value)]
        apart = f"Take it apart: {names} = ..., and give X and y."
        return f"is a {kind} of {words} arrays, and y is missing. {apart}"
    n_beside = len(beside) if hasattr(beside, "__len__") else None
    if n_beside in lengths and n_beside != len(value):
        what, many = _MANY[name]
        return (
            f"is a {kind} of {len(value)} arrays of {n_beside:,} {what} each, and several {many} are not "
            "built yet. Give one array."
        )
    return None


def _length(value: Any) -> int | None:
    """Returns the length of an array's first axis; None of what has no shape."""
    shape = getattr(value, "shape", None)
    return shape[0] if isinstance(shape, tuple) and shape else None


def _uneven(value: Any) -> str | None:
    """Returns which row of something has another shape than its first one; None where all are alike."""
    try:
        shapes = [np.shape(row) for row in value]
    except (TypeError, ValueError):  # uneven further in
        return ": rows of different lengths. Bring all samples to one shape."
    other = next((place for place, shape in enumerate(shapes) if shape != shapes[0]), None)
    if other is None:
        return None
    return (
        f": sample {other} (counted from 0) has shape {shapes[other]}, and sample 0 {shapes[0]}. Bring all "
        "samples to one shape."
    )


def _of_columns(values: np.ndarray, names: Sequence[Any], name: str) -> np.ndarray:
    """Returns a data frame's values of several kinds of numbers as float64.

    Raises:
        DataError: One is no number, or is missing.
    """
    for place, column in enumerate(names):
        row = next((row for row, item in enumerate(values[:, place]) if not _is_number(item)), None)
        if row is not None:
            raise DataError(
                f"{name}, column {column!r}: holds {values[row, place]!r} (row {row}, counted from 0), where "
                "numbers are needed: fill it or drop it, or encode the column as numbers."
            )
    return values.astype(np.float64)
