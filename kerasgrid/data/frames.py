"""DataFrames given in Python: tables, by the same guesses as files are."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.sections import DataConfig, Features
from kerasgrid.data.cells import CellFaults, row_places
from kerasgrid.data.columns import series_of
from kerasgrid.data.csv_text import faults_of_twins
from kerasgrid.data.features import (
    faults_of_names,
    learn_table,
    notes_on_unknown,
    said_faults,
    told,
    values_of_table,
)
from kerasgrid.data.roles import Roles, read_labels, read_roles, read_targets
from kerasgrid.data.streams import Chunk, Stream
from kerasgrid.errors import DataError
from kerasgrid.records import Table


def as_frame(value: Any) -> Any:
    """Returns pandas' DataFrame with a plain index; None of what is none."""
    names = {f"{parent.__module__.partition('.')[0]}.{parent.__name__}" for parent in type(value).__mro__}
    return value.reset_index(drop=True) if "pandas.DataFrame" in names else None


def with_text_names(frame: Any) -> Any:
    """Returns a DataFrame whose columns' names are texts."""
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def frame_parts(
    frame: Any, roles: Roles, said: Features, faults: CellFaults
) -> tuple[Any, Any, dict[str, np.ndarray]]:
    """Returns the columns of a DataFrame that are features, what is predicted, and what is known of samples.

    What is predicted is None where no column is named for it.

    Args:
        said: What columns that are features are.
        faults: Is told of cells that are not what their column needs.

    Raises:
        DataError: A column that is named is not there.
    """
    named = with_text_names(frame)
    names = list(named.columns)
    others, where = roles.names, faults.where
    features = [name for name in names if name not in others]
    found = [
        *faults_of_twins(names, where),
        *roles.faults(names, where),
        *said_faults(said, names, features, where),
    ]
    if found:
        raise DataError("\n".join(found))
    known = read_roles(named, roles, faults)
    predicted = None
    if roles.targets:
        read_targets(named, roles, faults)  # whose faults are told with the others
        predicted = named[list(roles.targets)]
    elif roles.are_several:
        labels, words = read_labels(named, roles, faults)
        predicted = type(named)(labels, columns=list(words))
    elif roles.label is not None:
        predicted = named[roles.label]
    return frame.loc[:, [name not in others for name in names]], predicted, known


def is_table_frame(frame: Any, config: DataConfig) -> bool:
    """Tells whether a DataFrame is learnt from as a table, and not as rows of numbers.

    Such rows are numbers in all columns, none of them blank, which have no names or numbered ones.
    """
    if config.features.model_fields_set or config.drop or is_mixed(frame):
        return True
    names = list(frame.columns)
    return all(isinstance(name, str) for name in names) and len(series_of(names)) < len(names)


def is_mixed(value: Any) -> bool:
    """Tells whether something is a DataFrame whose columns are not all numbers without blanks."""
    frame = as_frame(value)
    if frame is None:
        return False
    return not all(kind.kind in "biuf" for kind in frame.dtypes) or bool(frame.isna().to_numpy().any())


def table_of_frame(
    frame: Any,
    said: Features,
    where: str,
    table: Table | None = None,
    faults: CellFaults | None = None,
) -> tuple[np.ndarray, Table, list[str]]:
    """Returns the values of a table, (row, column) float64, the table, and lines about it.

    Args:
        said: What columns are.
        table: That of the training data, where these are other rows.
        faults: Those that were found before.

    Raises:
        DataError: A column of the table is missing, or several have its name, or a cell is not of its kind.
    """
    named, faults = with_text_names(frame), faults or CellFaults(where, row_places)
    names = list(named.columns)
    own = faults_of_twins(names, where) if table is None else faults_of_names(names, table, where)
    if found := list(own):
        raise DataError("\n".join(found))
    if table is None:
        table, values, findings = learn_table(named, names, said, faults)
        faults.finish()
        return values, table, told(findings)
    values = values_of_table(named, table, faults)
    faults.finish()
    return values, table, notes_on_unknown(table, values, where)


def stream_of_frame(frame: Any, table: Table, roles: Roles, file: Path) -> Stream:
    """Returns the rows of a DataFrame, to predict.

    Args:
        frame: As `as_frame` gives it; columns of ids and of what is predicted may be in it.
        table: Of the training data.
        roles: The columns that are no features.
        file: A .npy file, which is written: the table's values, for workers.

    Raises:
        DataError: A column of the table is missing, or a cell is not of its column's kind.
    """
    where = "the DataFrame"
    values, _, _ = table_of_frame(frame, Features(), where, table)
    np.save(file, values)
    named = with_text_names(frame)
    here = roles.present(list(named.columns))
    ids = None if here.id is None else named[here.id].astype(str).tolist()
    labels: list[Any] | None = None
    if here.targets:
        labels = list(named[list(here.targets)].itertuples(index=False, name=None))
    elif here.are_several:
        faults = CellFaults(where, row_places)
        labels = list(map(tuple, read_labels(named, here, faults)[0].tolist()))
        faults.finish()
    elif here.label is not None:
        labels = named[here.label].tolist()
    return Stream(where, partial(_stored_rows, file, ids, labels))


def _stored_rows(file: Path, ids: list[str] | None, labels: list[Any] | None) -> Iterator[Chunk]:
    yield Chunk(np.load(file, mmap_mode="r"), ids, labels)
