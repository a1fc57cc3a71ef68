"""Trials for MLflow: a run of the search, and below it a run a trial, as MLflow's own tools log a search.

What is there already stays: a trial's run carries a digest of what was written, and is written anew only
where that has changed. MLflow's own telemetry is off, unless the environment says otherwise.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasgrid.errors import KerasgridError, MissingPackageError, ResultsError
from kerasgrid.io import canonical_json, digest, half_written_name, insist, remove, storage_errors, strict
from kerasgrid.tables.table import Table, columns_of, finite
from kerasgrid.wording import distinct, masked, shortened, visible

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_STATUSES = {
    "complete": "FINISHED",
    "failed": "FAILED",
    "pruned": "KILLED",
    "running": "RUNNING",
    "waiting": "SCHEDULED",
}
_SQLITE = "sqlite:///"
_IS_NO_FILE = re.compile(r"^$|:memory:|[?#%]")
"""In what stands behind it: a database in memory, or an URL of more parts than a path."""
_LEGAL = re.compile(r"[^\w\-. /]")
# https://mlflow.org/docs/latest/api_reference/rest-api.html: names, values, and items of one request
_LONGEST_NAME, _LONGEST_PARAM, _LONGEST_TAG = 250, 6000, 5000
_MOST_METRICS, _MOST_PARAMS = 900, 90
_SEARCH, _TRIAL, _DIGEST = "kerasgrid.search", "kerasgrid.trial", "kerasgrid.digest"
_PARENT = "mlflow.parentRunId"
_RETRIES = "2"
"""Of a request to a server, where the environment does not say; MLflow's own seven take four minutes."""
_UNREACHABLE = re.compile(
    r"Max retries exceeded|Connection(Error| refused)|Failed to establish", re.IGNORECASE
)


def write_mlflow(table: Table, uri: str, experiment: str | None = None, *, origin: str = "") -> int:
    """Writes the trials to an MLflow tracking store.

    What earlier exports of the same search have written and is there no more, or otherwise, is removed. The
    same search is that of the same name on the same data, folds and model; of other files that of the same
    origin. Runs of other searches are left alone.

    The run of the search has the best trial's parameters and scores. A trial's run has its parameters, its
    scores, its histories, the means over folds, as `epoch/METRIC` with a step an epoch, and its state and
    error as tags; a failed trial is FAILED, a pruned one KILLED.

    Args:
        table: What read_table gave.
        uri: Of the tracking server or database, such as `sqlite:///results/grid.mlflow.db`.
        experiment: Its name; that of the search by default. It is made where missing.
        origin: Where the table was read from, to tell files from each other that are not ours.

    Returns:
        How many trials were written; those that were there already are not.

    Raises:
        ResultsError: There are no trials.
        MissingPackageError: MLflow is not installed.
        KerasgridError: The store refuses what is written, or is not there.
    """
    if not table.rows:
        raise ResultsError(f"{table.source}: no trial has begun yet, so there is nothing to export.")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", _RETRIES)
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MissingPackageError(
            'The export needs the package mlflow. Install it with: pip install "kerasgrid[mlflow]"'
        ) from error
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    try:
        make_database(uri)
        found = _Experiment(MlflowClient(uri), experiment or table.source)
        return found.write(table, identity_of(table, origin))
    except ImportError as error:
        raise MissingPackageError(
            f"{masked(uri)}: its database needs the package {error.name}. Install that driver."
        ) from error
    except (MlflowException, _database_error(), ValueError) as error:
        if _UNREACHABLE.search(str(error)):
            raise KerasgridError(
                f"{masked(uri)}: no MLflow server can be reached there. Start it, or name another with -o."
            ) from error
        told = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise KerasgridError(f"{masked(uri)}: MLflow refuses the export ({masked(told, uri)}).") from error


def make_database(uri: str) -> None:
    """Makes the tables of an SQLite file that is not there yet, whole or not at all.

    It takes MLflow seconds, and a file that a kill left with some of its tables it refuses for ever.

    Raises:
        StorageError: The file cannot be written.
    """
    from mlflow.tracking import MlflowClient

    path = Path(uri.removeprefix(_SQLITE))
    if not uri.startswith(_SQLITE) or _IS_NO_FILE.search(str(path)) or os.path.lexists(path):
        return
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = half_written_name(path)
        try:
            MlflowClient(f"{_SQLITE}{part}").search_experiments(max_results=1)
            _put(part, path)
        finally:
            remove(part)


def _put(part: Path, path: Path) -> None:
    """Moves a file into its place, unless another export was quicker."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not os.path.lexists(path):
            insist(os.replace, part, path)


def _database_error() -> type[Exception]:
    """Returns what a database raises and MLflow does not translate; mlflow-skinny comes without databases."""
    try:
        from sqlalchemy.exc import SQLAlchemyError
    except ImportError:
        return NotImplementedError
    return SQLAlchemyError


def identity_of(table: Table, origin: str) -> str:
    """Returns what tells a search from others that are called the same, 64 hex digits."""
    about = table.about
    known: list[Any] = [origin]
    if about is not None:
        config = about.config or {}
        parts = (part.model_dump(exclude_unset=True) or None for part in (about.data, about.folds))
        known = [*parts, config.get("model"), config.get("params")]
    return digest(strict([table.source, *known]))


class _Experiment:
    """The runs of one experiment, which is made where missing."""

    def __init__(self, client: MlflowClient, name: str) -> None:
        self.client = client
        found = client.get_experiment_by_name(name)
        self.id = client.create_experiment(name) if found is None else found.experiment_id

    def write(self, table: Table, identity: str) -> int:
        """Writes a search and its trials, as far as they are not there; returns how many trials were not."""
        curves = [table.mean_history(place) for place in range(len(table.rows))]
        epochs = (f"epoch/{name}" for name in columns_of(curves))
        names = _legal_names([*table.params, *table.scores, *epochs])
        entries = [_entry(table, row, curve, names) for row, curve in enumerate(curves)]
        whole = _search_entry(table, entries)
        named = self._runs(f"tags.`{_SEARCH}` != ''")
        searches = [run for run in named if run.data.tags[_SEARCH] == identity]
        trials = self._trials(searches)
        same = _same(searches, whole)
        own = same.info.run_id if same is not None else self._log(whole, {_SEARCH: identity})
        written = 0
        for row, entry in enumerate(entries):
            there = trials.pop(id := str(table.trial(row)), [])
            kept = _same(there, entry)
            if kept is None:
                self._log(entry, {_TRIAL: id, _PARENT: own})
                written += 1
            elif kept.data.tags[_PARENT] != own:
                self.client.set_tag(kept.info.run_id, _PARENT, own)
            self._delete(there, kept)
        for gone in trials.values():
            self._delete(gone, None)
        self._delete(searches, same)
        return written

    def _trials(self, searches: Sequence[Any]) -> dict[str, list[Any]]:
        """Returns the runs that earlier exports wrote, by the trial's id; perhaps several of one."""
        found: dict[str, list[Any]] = {}
        for search in searches:
            for run in self._runs(f"tags.`{_PARENT}` = '{search.info.run_id}'"):
                if _TRIAL in run.data.tags:
                    found.setdefault(run.data.tags[_TRIAL], []).append(run)
        return found

    def _runs(self, query: str) -> Iterator[Any]:
        token = None
        while True:
            page = self.client.search_runs([self.id], query, max_results=1000, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _log(self, entry: _Entry, tags: Mapping[str, str]) -> str:
        """Writes a run and returns its id; the digest comes last: what is cut off is written again."""
        from mlflow.entities import Metric, Param

        client, now = self.client, int(time.time() * 1000)
        began = now - int(entry.seconds * 1000)  # when it really was is not known
        whole = {**entry.tags, **tags}
        run = client.create_run(self.id, start_time=began, run_name=entry.name, tags=whole).info.run_id
        for part in _parts(list(entry.params.items()), _MOST_PARAMS):
            client.log_batch(run, params=[Param(name, value) for name, value in part])
        for part in _parts(entry.metrics, _MOST_METRICS):
            client.log_batch(run, metrics=[Metric(name, value, now, step) for name, value, step in part])
        client.set_tag(run, _DIGEST, entry.digest)
        if entry.status == "RUNNING":
            client.update_run(run, status=entry.status)
        else:
            client.set_terminated(run, status=entry.status, end_time=now)
        return run

    def _delete(self, runs: Sequence[Any], kept: Any) -> None:
        """Deletes what has been written anew; only then, so that a cut loses nothing."""
        for run in runs:
            if run is not kept:
                self.client.delete_run(run.info.run_id)


def _same(runs: Sequence[Any], entry: _Entry) -> Any:
    """Returns the run that holds the same as an entry; None where none does."""
    return next((run for run in runs if run.data.tags.get(_DIGEST) == entry.digest), None)


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


@dataclass(frozen=True)
class _Entry:
    """What one trial's run holds: `metrics` are (name, value, step), `seconds` what it took."""

    name: str
    params: Mapping[str, str]
    metrics: tuple[tuple[str, float, int], ...]
    tags: Mapping[str, str]
    status: str
    seconds: float = 0.0

    @property
    def digest(self) -> str:
        """The same for the same content."""
        metrics = list(map(list, self.metrics))
        return digest([self.name, dict(self.params), metrics, dict(self.tags), self.status])


def _entry(
    table: Table, place: int, curve: Mapping[str, Sequence[float | None]], names: Mapping[str, str]
) -> _Entry:
    row = table.rows[place]
    scores = {name: finite(row.get(name)) for name in table.scores}
    metrics = [(names[name], float(score), 0) for name, score in scores.items() if score is not None]
    for name, values in curve.items():
        steps = enumerate(values, start=1)
        metrics += [(names[f"epoch/{name}"], value, step) for step, value in steps if value is not None]
    n_folds = max(len(table.histories[place]), 1) if table.histories else 1
    state = str(row.get("state", "complete"))
    tags = {"state": _cut(state, _LONGEST_TAG), "source": _cut(table.source, _LONGEST_TAG)}
    tags |= {name: _cut(row[name], _LONGEST_TAG) for name in ("error", "dead") if row.get(name)}
    return _Entry(
        name=f"trial {table.trial(place)}",
        params={names[name]: _cut(row[name], _LONGEST_PARAM) for name in table.params if name in row},
        metrics=tuple(metrics),
        tags=tags,
        status=_STATUSES.get(state, "FINISHED"),
        seconds=(finite(row.get("mean_fit_time")) or 0.0) * n_folds,
    )


def _search_entry(table: Table, entries: Sequence[_Entry]) -> _Entry:
    """Returns the run of the search itself: its best trial's parameters and scores."""
    is_running = table.about is not None and table.about.status == "running"
    status = "RUNNING" if is_running else "FINISHED"
    tags = {
        "source": _cut(table.source, _LONGEST_TAG),
        "trials": str(len(entries)),
        "direction": table.direction,
    }
    seconds = (table.about.summary.wall_time_s if table.about is not None else None) or 0.0
    if not table.scored:
        return _Entry(table.source, {}, (), tags, status, seconds)
    best = entries[max(table.scored, key=lambda place: table.sign * table.rows[place][table.scores[0]])]
    scores = tuple(metric for metric in best.metrics if metric[2] == 0)
    return _Entry(table.source, best.params, scores, {**tags, "best": best.name}, status, seconds)


def _legal_names(names: Iterable[str]) -> dict[str, str]:
    """Returns what each name is called in MLflow: of legal characters, and different for different names."""
    legal: dict[str, str] = {}
    taken: set[str] = set()
    for name in dict.fromkeys(names):
        parts = _LEGAL.sub("_", name).split("/")
        stem = "/".join(part if part.strip(". ") else "_" for part in parts)[: _LONGEST_NAME - 8]
        legal[name] = distinct(stem, taken, "{} {}")
        taken.add(legal[name])
    return legal


def _cut(value: Any, longest: int) -> str:
    text = value if isinstance(value, str) else canonical_json(strict(value))
    return shortened(visible(text), longest)
