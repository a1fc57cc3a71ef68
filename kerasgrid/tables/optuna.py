"""The table of a study in one of Optuna's storages: an SQLite file, a database's URL, a journal file."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from kerasgrid.errors import MissingPackageError, ResultsError
from kerasgrid.tables.table import Table, are_epochs, columns_of, finite, param_columns, state_of
from kerasgrid.wording import masked

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)

_DETAILS = ("trial", "state")
_VALUE = "value"
_UNNAMED = "no-name-"
"""How Optuna calls studies that nobody has named."""
_LONGEST = 200
"""Characters of what Optuna says of a storage that it cannot read."""
_TIME = "mean_fit_time"
"""The seconds that a trial took, in the column where every table has them."""


def optuna_table(source: str | Path, study: str | None = None, *, is_journal: bool = False) -> Table:
    """Returns the table of a study; nothing is written to the storage.

    The first objective is the one that is compared; others are scores beside it. Values that were reported
    for one step after the other are the held-out curve. The storage is opened read-only where it is a file.

    Args:
        source: An SQLite file, a journal file, or the URL of a database.
        study: The study's name; needed where the storage holds several.
        is_journal: Whether the file is one of JournalFileBackend.

    Raises:
        ResultsError: It is no storage of Optuna's, has no study of that name, several, or no trial.
        MissingPackageError: Optuna, or the database's driver, is not installed.
    """
    shown = masked(source)
    try:
        import optuna
    except ImportError as error:
        raise MissingPackageError(
            f"{shown} is a storage of Optuna's, and reading it needs the package optuna. Install it with: "
            'pip install "kerasgrid[optuna]"'
        ) from error
    try:
        storage = _open(source, is_journal)
        found = optuna.load_study(study_name=_name(shown, storage, study), storage=storage)
        trials, name = found.get_trials(deepcopy=False), str(found.study_name)
        scores, directions = _score_names(found), [one.name for one in found.directions]
    except ImportError as error:  # Optuna's own names no package; that of its cause does
        package = getattr(error, "name", None) or getattr(error.__cause__, "name", None) or "of its driver"
        raise MissingPackageError(
            f"{shown}: its database needs the package {package}. Install the driver that the URL names."
        ) from error
    except ResultsError:
        raise
    except Exception as error:  # of a damaged storage Optuna, SQLAlchemy and SQLite raise errors of any kind
        told = next(iter(str(error.__cause__ or error).strip().splitlines()), type(error).__name__)[:_LONGEST]
        told = "it has none of its tables" if "no such table" in told else told
        raise ResultsError(
            f"{shown} cannot be read as a storage of Optuna's ({masked(told, source)})."
        ) from error
    if not scores:
        raise ResultsError(f"{shown}: the study {name!r} has no objective, so that there is no score.")
    if not trials:
        raise ResultsError(f"{shown}: the study {name!r} has no trial yet.")
    if len(scores) > 1:
        log.warning("%s has %d objectives; trials are compared by %s.", name, len(scores), scores[0])
    if name.startswith(_UNNAMED) and isinstance(source, Path):
        name = source.stem
    return _table(trials, name, scores, "max" if directions[0] == "MAXIMIZE" else "min")


def _open(source: str | Path, is_journal: bool) -> BaseStorage:
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    if is_journal:
        return JournalStorage(JournalFileBackend(str(source)))
    if isinstance(source, str):
        return RDBStorage(source, skip_table_creation=True)
    uri = f"{source.resolve().as_uri()}?mode=ro"
    connect = partial(sqlite3.connect, uri, uri=True, check_same_thread=False)
    return RDBStorage("sqlite://", engine_kwargs={"creator": connect}, skip_table_creation=True)


def _name(source: str, storage: BaseStorage, wanted: str | None) -> str:
    names = [study.study_name for study in storage.get_all_studies()]
    if wanted is not None and wanted in names:
        return wanted
    known = ", ".join(map(repr, names[:20])) or "none"
    if wanted is not None:
        raise ResultsError(f"{source} has no study {wanted!r}. It has: {known}.")
    if len(names) != 1:
        raise ResultsError(
            f"{source} holds {len(names)} studies: {known}. "
            + (f"Name one behind a #, such as '{source}#{names[0]}'." if names else "One is needed.")
        )
    return names[0]


def _table(
    trials: Sequence[FrozenTrial], source: str, names: Sequence[str], direction: Literal["max", "min"]
) -> Table:
    rows = [_row(trial, names) for trial in trials]
    metric = names[0].removeprefix("val_")
    timed = any(row[_TIME] is not None for row in rows)
    params = [{str(name): value for name, value in trial.params.items()} for trial in trials]
    given = columns_of(params)
    columns = param_columns(given, {*names, *_DETAILS, _TIME}.__contains__)
    rows = [
        row | {columns[name]: value for name, value in own.items()}
        for row, own in zip(rows, params, strict=True)
    ]
    return Table(
        source=source,
        params=tuple(columns.values()),
        scores=(*names, *([_TIME] if timed else [])),
        details=_DETAILS,
        rows=tuple(rows),
        direction=direction,
        log_params=frozenset(
            columns[str(name)]
            for trial in trials
            for name, distribution in trial.distributions.items()
            if getattr(distribution, "log", False) and str(name) in columns
        ),
        metric=metric,
        histories=tuple(_history(trial, metric) for trial in trials),
    )


def _score_names(study: Study) -> list[str]:
    n_objectives = len(study.directions)
    names = [_VALUE] if n_objectives == 1 else [f"{_VALUE}_{place}" for place in range(n_objectives)]
    told = study.metric_names or []
    if len(told) == n_objectives == len(set(map(str, told))):
        names = list(map(str, told))
    return [f"{name} (score)" if name in (*_DETAILS, _TIME) else name for name in names]


def _row(trial: FrozenTrial, names: Sequence[str]) -> dict[str, Any]:
    values = trial.values or [None] * len(names)
    return {
        "trial": trial.number,
        "state": state_of(trial.state.name) or "running",
        **{name: finite(value) for name, value in zip_longest(names, values[: len(names)])},
        _TIME: trial.duration.total_seconds() if trial.duration is not None else None,
    }


def _history(trial: FrozenTrial, metric: str) -> tuple[Mapping[str, Sequence[float]], ...]:
    """Returns the reported values as a held-out curve, where they are of one step after the other."""
    told = trial.intermediate_values
    steps = sorted(told) if all(isinstance(step, int) for step in told) else []
    return ({f"test_{metric}": [told[step] for step in steps]},) if are_epochs(steps) else ()
