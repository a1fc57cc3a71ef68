"""Trials for TensorBoard's HParams dashboard: a run a trial, its parameters, its scores and its curves.

The files are written by TensorBoard's own protocol buffers and checksum, in TensorFlow's record format. The
modules of TensorBoard that would write them import TensorFlow, which takes seconds, and are not used:
https://github.com/tensorflow/tensorboard/blob/2.21.0/tensorboard/summary/writer/record_writer.py
"""

from __future__ import annotations

import os
import shutil
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasgrid.errors import MissingPackageError, ResultsError
from kerasgrid.io import canonical_json, half_written_name, insist, remove, storage_errors, strict
from kerasgrid.tables.table import Table, finite
from kerasgrid.wording import visible

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import Summary

_MARK = ".kerasgrid-export"
_MOST_LEVELS = 50
"""A parameter with more values is shown without a list of them to choose from."""


def write_tensorboard(table: Table, folder: Path) -> Path:
    """Writes the trials for `tensorboard --logdir FOLDER`.

    A trial is a run, `trial-ID`. Its scores stand under their names, its histories, the means over folds,
    under `epoch/METRIC`, a step an epoch.

    Args:
        table: What read_table gave.
        folder: Where to; one that an earlier export wrote is replaced, whole or not at all.

    Returns:
        `folder`.

    Raises:
        ResultsError: There are no trials, or the folder holds something else.
        MissingPackageError: TensorBoard is not installed.
        StorageError: The folder cannot be written.
    """
    try:
        import tensorboard.compat.proto.event_pb2  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            'The export needs the package tensorboard. Install it with: pip install "kerasgrid[tensorboard]"'
        ) from error
    if not table.rows:
        raise ResultsError(f"{table.source}: no trial has begun yet, so there is nothing to export.")
    folder = Path(folder)
    if os.path.lexists(folder) and not (folder / _MARK).exists():
        raise ResultsError(
            f"{folder} exists, and is no export that may be replaced. Choose another with -o, or move it."
        )
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = half_written_name(folder)
        try:
            new.mkdir()
            _write(table, new)
            _replace(folder, new)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
    return folder


def _replace(folder: Path, new: Path) -> None:
    if folder.exists():
        old = half_written_name(folder)
        insist(os.rename, folder, old)
        insist(os.rename, new, folder)
        remove(old)
    else:
        insist(os.rename, new, folder)


def _write(table: Table, folder: Path) -> None:
    now = time.time()
    columns = {name: _column([row.get(name) for row in table.rows]) for name in table.params}
    (folder / _MARK).write_bytes(b"kerasgrid export writes this folder, and may replace it.\n")
    _write_events(folder, now, [_experiment(table, columns, now)])
    ids = [str(table.trial(place)) for place in range(len(table.rows))]
    if len(set(ids)) < len(ids) or not all(id.isdecimal() for id in ids):
        ids = list(map(str, range(len(ids))))
    width = max(map(len, ids))
    for place, row in enumerate(table.rows):
        run = folder / f"trial-{ids[place].zfill(width)}"
        run.mkdir()
        params = {name: convert(row[name]) for name, convert in columns.items() if row.get(name) is not None}
        scores = {name: value for name in table.scores if (value := finite(row.get(name))) is not None}
        summaries = [
            _session_start(run.name, params, now),
            _scalars(scores),
            *_curves(table.mean_history(place)),
            _session_end(str(row.get("state", "complete")), now),
        ]
        _write_events(run, now, summaries)


def _column(values: Sequence[Any]) -> Any:
    """Returns what makes a parameter's values of one kind: true or false, numbers, or else text."""
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return bool
    if all(finite(value) is not None for value in present):
        return float
    return _text


def _text(value: Any) -> str:
    return visible(value if isinstance(value, str) else canonical_json(strict(value)))


def _experiment(table: Table, columns: Mapping[str, Any], now: float) -> Summary:
    """Returns what the dashboard's columns are, the objective the first of the metrics."""
    from tensorboard.plugins.hparams import api_pb2, metadata

    kinds = {bool: api_pb2.DATA_TYPE_BOOL, float: api_pb2.DATA_TYPE_FLOAT64}
    hparams = []
    for name, convert in columns.items():
        found = {convert(row[name]) for row in table.rows if row.get(name) is not None}
        info = api_pb2.HParamInfo(name=visible(name), type=kinds.get(convert, api_pb2.DATA_TYPE_STRING))
        if len(found) <= _MOST_LEVELS:
            info.domain_discrete.extend(sorted(found))
        elif convert is float:
            info.domain_interval.min_value, info.domain_interval.max_value = min(found), max(found)
        hparams.append(info)
    metrics = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=visible(name))) for name in table.scores]
    experiment = api_pb2.Experiment(
        description=visible(table.source), time_created_secs=now, hparam_infos=hparams, metric_infos=metrics
    )
    return _summary(metadata.EXPERIMENT_TAG, experiment=experiment)


def _session_start(group: str, params: Mapping[str, Any], now: float) -> Summary:
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    info = plugin_data_pb2.SessionStartInfo(group_name=group, start_time_secs=now)
    for name, value in params.items():
        kind = {bool: "bool_value", float: "number_value"}.get(type(value), "string_value")
        setattr(info.hparams[visible(name)], kind, value)
    return _summary(metadata.SESSION_START_INFO_TAG, session_start_info=info)


def _session_end(state: str, now: float) -> Summary:
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    statuses = {
        "failed": api_pb2.STATUS_FAILURE,
        "running": api_pb2.STATUS_RUNNING,
        "waiting": api_pb2.STATUS_UNKNOWN,
    }
    status = statuses.get(state, api_pb2.STATUS_SUCCESS)
    info = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=now)
    return _summary(metadata.SESSION_END_INFO_TAG, session_end_info=info)


def _summary(tag: str, **content: Any) -> Summary:
    """Returns a summary that only carries what the HParams plugin reads; its tensor is empty."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    carried = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**content))
    return Summary(value=[Summary.Value(tag=tag, metadata=carried, tensor=metadata.NULL_TENSOR)])


def _scalars(values: Mapping[str, float]) -> Summary:
    from tensorboard.compat.proto.summary_pb2 import Summary

    return Summary(value=[Summary.Value(tag=visible(name), simple_value=own) for name, own in values.items()])


def _curves(means: Mapping[str, Sequence[float | None]]) -> Iterator[tuple[int, Summary]]:
    """Yields each epoch, from 1, and its values."""
    for epoch, values in enumerate(zip(*means.values(), strict=True), start=1):
        known = zip(means, values, strict=True)
        yield epoch, _scalars({f"epoch/{name}": value for name, value in known if value is not None})


def _write_events(folder: Path, now: float, summaries: Sequence[Summary | tuple[int, Summary]]) -> None:
    """Writes one file of events; a summary without an epoch is of step 0."""
    from tensorboard.compat.proto.event_pb2 import Event

    with open(folder / f"events.out.tfevents.{int(now)}.kerasgrid", "wb") as file:
        file.write(_record(Event(wall_time=now, file_version="brain.Event:2").SerializeToString()))
        for summary in summaries:
            step, content = summary if isinstance(summary, tuple) else (0, summary)
            file.write(_record(Event(wall_time=now, step=step, summary=content).SerializeToString()))


def _record(data: bytes) -> bytes:
    """Returns data as a record: its length and itself, each with its checksum behind it."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    parts = (struct.pack("<Q", len(data)), data)
    return b"".join(part + struct.pack("<I", masked_crc32c(part)) for part in parts)
