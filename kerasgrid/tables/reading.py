"""A file of results as a table, whatever form it has.

Forms that are read:

* results/NAME.json of this package (schema `kerasgrid.results/1`), of a running search too;
* a list of objects, one a trial: parameters and scores side by side;
* scikit-learn's `cv_results_` as JSON, by columns (NaN written as `NaN` is read);
* a CSV with a header line, such as `pandas.DataFrame(cv_results_).to_csv()`.

Only the first says which columns are scores; records.py tells how it is seen in the others.
"""

from __future__ import annotations

from pathlib import Path

from kerasgrid.errors import ResultsError
from kerasgrid.tables.parsing import FORMS, by_columns, kind, parse_csv, parse_json, read_text
from kerasgrid.tables.records import records_table
from kerasgrid.tables.results import results_table
from kerasgrid.tables.table import Table


def read_table(path: Path) -> Table:
    """Reads a file of results in any of the forms named at the top of this module.

    Args:
        path: A .json or .csv file; what it is, is told by its content.

    Raises:
        ResultsError: There is no such file, or it cannot be read as any of the forms.
        NotBuiltError: It is a form that this version does not read yet.
    """
    path = Path(path)
    text = read_text(path)
    if text.lstrip()[:1] not in {"{", "["}:
        return records_table(parse_csv(text, path), path)
    value = parse_json(text, path)
    if isinstance(value, dict):
        if "schema" in value:
            return results_table(value, path)
        return records_table(by_columns(value, path), path)
    if not value:
        raise ResultsError(f"{path}: an empty list, so there are no trials to show.")
    for index, record in enumerate(value):
        if not isinstance(record, dict):
            raise ResultsError(f"{path}: item {index} of the list is {kind(record)}, not an object. {FORMS}")
    return records_table(value, path)
