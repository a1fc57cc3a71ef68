"""Whether a search that goes on is the one that began: what makes it the same, against its journal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kerasgrid.checks import SOURCE, SOURCES, Prepared
from kerasgrid.errors import ChangedError
from kerasgrid.io import RunPaths, canonical_json
from kerasgrid.journal import header_of, read
from kerasgrid.models.signature import is_digest_of


def check_identity(
    prepared: Prepared, folder: Path, header: Mapping[str, Any], records: Iterable[Mapping[str, Any]]
) -> dict[str, str]:
    """Holds that a search is the one that a journal tells of.

    Args:
        prepared: The search.
        folder: Of the run, for the message.
        header: Of the journal.
        records: Of the journal.

    Returns:
        The hashes of source files that it takes and the journal does not know yet, as of a wider space.

    Raises:
        ChangedError: It is another one.
    """
    before = dict(header.get("identity", {}))
    now = json.loads(canonical_json(prepared.identity))
    known = dict(before.get(SOURCES, {}))
    for record in records:  # those that a wider space has named since
        known |= record["sources"] if record["type"] == "sources" else {}
    new = {name: found for name, found in now[SOURCES].items() if name not in known}
    before[SOURCES] = {name: found for name, found in known.items() if name in now[SOURCES]}
    now[SOURCES] = {name: found for name, found in now[SOURCES].items() if name in known}
    if is_digest_of(before.get(SOURCE, ""), prepared.model, prepared.base):
        before[SOURCE] = now[SOURCE]
    changed = [key for key in now if before.get(key) != now[key]]
    if changed:
        told = "; ".join(_change(key, before.get(key), now[key]) for key in changed)
        raise ChangedError(
            f"{folder}: this search began otherwise: {told}. Restore what changed, start anew "
            "with --fresh (the old run is moved aside), or give the search another name with --name."
        )
    return new


def check_begun(prepared: Prepared, results: Path) -> None:
    """Holds that a search is the one that has begun in a folder of results, if one of its name has.

    Raises:
        ChangedError: It is another one.
        JournalError: The journal is damaged.
    """
    paths = RunPaths(results, prepared.config.name)
    if header_of(paths.journal):
        check_identity(prepared, paths.folder, *read(paths.journal))


def _change(key: str, before: Any, now: Any) -> str:
    if key in {"data", SOURCE}:
        return f"{key} changed"
    return f"{key} was {canonical_json(before)}, and is {canonical_json(now)}"
