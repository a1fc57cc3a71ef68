"""How long and how large fits of a model on some data were on this machine, kept for `kerasgrid check`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from kerasgrid.checks import SOURCE, Prepared
from kerasgrid.errors import StorageError
from kerasgrid.io import cache_folder, digest, read_json, write_json
from kerasgrid.run.state import RunState


@dataclass(frozen=True)
class Measurement:
    """Means over the fits of one search.

    Attributes:
        n_fits: How many were measured.
        seconds_per_epoch: Seconds of training an epoch, with all workers busy.
        memory_bytes: The largest resident memory of a worker.
    """

    n_fits: int
    seconds_per_epoch: float
    memory_bytes: int


def remember(prepared: Prepared, state: RunState) -> None:
    """Keeps what a search has measured; a cache that cannot be written is done without."""
    records = [record for record in state.ended.values() if record.error is None and record.epochs]
    if not records:
        return
    measured = Measurement(
        n_fits=len(records),
        seconds_per_epoch=sum(r.fit_time for r in records) / sum(r.epochs for r in records),
        memory_bytes=max(r.memory_bytes or 0 for r in records),
    )
    try:
        write_json(_path(prepared), asdict(measured))
    except StorageError:
        return


def recall(prepared: Prepared) -> Measurement | None:
    """Returns what an earlier search with this model on this data has measured; None for nothing."""
    try:
        return TypeAdapter(Measurement).validate_python(read_json(_path(prepared)))
    except (OSError, ValueError):
        return None


def _path(prepared: Prepared) -> Path:
    identity = prepared.identity
    source = identity[SOURCE]
    return (
        cache_folder() / "measurements" / f"{digest([prepared.config.model, source, identity['data']])}.json"
    )
