"""A file of results as a table, whatever form it has.

Forms that are read:

* results/NAME.json of this package (schema `kerasgrid.results/1`), of a running search too;
* a list of objects, one a trial: parameters and scores side by side;
* scikit-learn's `cv_results_` as JSON, by columns (NaN written as `NaN` is read);
* a CSV with a header line, such as `pandas.DataFrame(cv_results_).to_csv()`;
* a project folder of KerasTuner;
* a storage of Optuna's: an SQLite file, a journal file, or the URL of a database; `#NAME` behind it names one
  of several studies.

The first and the last two say which columns are scores; records.py tells how it is seen in the others.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from kerasgrid.config.validation import kind
from kerasgrid.errors import ResultsError
from kerasgrid.io import kind_of, open_input
from kerasgrid.run.results import ResultsData
from kerasgrid.run.schema import FORMS, as_it_stands, parse_json, read_text
from kerasgrid.tables.flat import by_columns, parse_csv, records_table
from kerasgrid.tables.keras_tuner import keras_tuner_table
from kerasgrid.tables.kerasgrid import results_table
from kerasgrid.tables.optuna import optuna_table
from kerasgrid.tables.table import Table

_SQLITE = b"SQLite format 3\0"
_SQLITE_URL = "sqlite:///"
_FIRST_KEYS = 400
"""Characters within which a journal's first line has named its operation."""


def is_url(source: str | Path) -> bool:
    """Says whether a source is a database's URL, and so no file."""
    return "://" in str(source)


def read_table(source: str | Path) -> Table:
    """Reads results in any of the forms named at the top of this module.

    Args:
        source: A file or folder, or the URL of a database; what it is, is told by its content.

    Raises:
        ResultsError: There is no such file, or it cannot be read as any of the forms.
        MissingPackageError: It is a storage of Optuna's, which is not installed.
    """
    if str(source).startswith(_SQLITE_URL) and "?" not in str(source):
        source = Path(str(source).removeprefix(_SQLITE_URL))  # opened read-only, as a file is
    if is_url(source):
        url, _, name = str(source).partition("#")
        return optuna_table(url, name or None)
    path, study = file_and_study(Path(source))
    if other := kind_of(path, takes=("results", "table", "database", "folder")):
        raise ResultsError(f"{path} {other.told('trials', FORMS)}")
    if os.path.isdir(path):
        return keras_tuner_table(path)
    if _head(path) == _SQLITE:
        return optuna_table(path, study)
    text = read_text(path)
    if _is_journal(text):
        return optuna_table(path, study, is_journal=True)
    if study is not None:
        raise ResultsError(f"{source}: only of a storage of Optuna's does # name a part. {FORMS}")
    if text.lstrip()[:1] not in {"{", "["}:
        return records_table(parse_csv(text, path), path)
    value = parse_json(text, path)
    if isinstance(value, dict):
        if "schema" in value:
            return results_table(ResultsData(as_it_stands(value, path), path))
        return records_table(by_columns(value, path), path)
    if not value:
        raise ResultsError(f"{path}: an empty list, so there are no trials to show.")
    for index, record in enumerate(value):
        if not isinstance(record, dict):
            raise ResultsError(f"{path}: item {index} of the list is {kind(record)}, not an object. {FORMS}")
    return records_table(value, path)


def file_and_study(path: Path) -> tuple[Path, str | None]:
    """Returns the file, and the study that stands behind a # where the file itself has none in its name."""
    if not os.path.exists(path):
        for place, letter in enumerate(path.name):
            file = path.with_name(path.name[:place]) if place else path
            if letter == "#" and os.path.isfile(file):
                return file, path.name[place + 1 :]
    return path, None


def _head(path: Path) -> bytes:
    try:
        with open_input(path) as file:
            return file.read(len(_SQLITE))
    except OSError:  # read_text says what is wrong
        return b""


def _is_journal(text: str) -> bool:
    """Says whether a text is the journal of Optuna's JournalFileBackend: a line an operation."""
    if '"op_code"' not in text[:_FIRST_KEYS]:
        return False
    try:
        first = json.loads(text.lstrip().partition("\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "op_code" in first and "worker_id" in first
