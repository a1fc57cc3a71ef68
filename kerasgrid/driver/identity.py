"""Whether a search that goes on is the one that began: what makes it the same, against its journal."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kerasgrid.checks.prepared import SOURCE, SOURCES, Prepared
from kerasgrid.config.sections import Training
from kerasgrid.errors import ChangedError, RunError
from kerasgrid.io import canonical_json
from kerasgrid.models.references import is_digest_of
from kerasgrid.records import has_results
from kerasgrid.run.journal import Journal, check_line, header_of, is_old, of_before, read
from kerasgrid.run.paths import RunPaths


def check_identity(
    prepared: Prepared, folder: Path, header: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> dict[str, str]:
    """Holds that a search is the one that a journal tells of.

    Args:
        folder: Of the run, for the message.

    Returns:
        The hashes of source files that it takes and the journal does not know yet, as of a wider space.

    Raises:
        ChangedError: It is another one.
    """
    changes, new = _changes(prepared, header, records)
    if changes:
        raise ChangedError(
            f"{folder}: this search began otherwise: {'; '.join(changes)}. Restore what changed, start anew "
            "with --fresh (the old run is moved aside), or give the search another name with --name."
        )
    return new


def is_superseded(
    prepared: Prepared, paths: RunPaths, header: Mapping[str, Any], records: Sequence[Mapping[str, Any]]
) -> bool:
    """Tells whether a journal is of another search that came to nothing, which binds nothing but its name.

    So is one of version 1 without a checkpoint, from which one of today's would go on.
    """
    if has_results(records):
        return False
    return bool(_changes(prepared, header, records)[0]) or (is_old(header) and not paths.checkpoints)


def _changes(
    prepared: Prepared, header: Mapping[str, Any], records: Iterable[Mapping[str, Any]]
) -> tuple[list[str], dict[str, str]]:
    """Returns in words what differs from a search that a journal tells of, and what `check_identity` does."""
    before = dict(header.get("identity", {}))
    now = json.loads(canonical_json(prepared.identity))
    told = before.get(SOURCES)
    known = dict(told) if isinstance(told, dict) else {}
    for record in records:  # those that a wider space has named since
        known |= record["sources"] if record["type"] == "sources" else {}
    new = {name: found for name, found in now[SOURCES].items() if name not in known}
    before[SOURCES] = {name: found for name, found in known.items() if name in now[SOURCES]}
    now[SOURCES] = {name: found for name, found in now[SOURCES].items() if name in known}
    files: list[str] = []
    for name in prepared.weights:  # which are told of the sources, and changed otherwise
        if before[SOURCES].pop(name, None) != now[SOURCES].pop(name, None):
            files.append(name.removeprefix("weights "))
    if isinstance(training := before.get("training"), dict):  # what it has not is of later versions
        before["training"] = {**Training().model_dump(exclude={"pack"}), **training}
    if is_digest_of(str(before.get(SOURCE, "")), prepared.model, prepared.base):
        before[SOURCE] = now[SOURCE]
    keys = [*now, *(key for key in before if key not in now)]  # some only a search that has them tells
    pairs = [(key, before.get(key), now.get(key)) for key in keys]
    changes = [_change(*pair) for pair in pairs if pair[1] != pair[2]]
    return [*changes, *(f"the file {file}, with which nets begin, changed" for file in files)], new


def check_begun(prepared: Prepared, results: Path) -> None:
    """Holds that a search is the one that has begun in a folder of results, if one of its name has.

    Raises:
        ChangedError: It is another one.
        JournalError: The journal is damaged.
    """
    paths = RunPaths(results, prepared.config.name)
    check_journal(paths)
    if header_of(paths.journal, check_line):
        begun = read(paths.journal, check_line)
        if not is_superseded(prepared, paths, *begun):
            check_identity(prepared, paths.folder, *begun)


def check_one_version(results: Path, own: str, rival: str, fresh: bool) -> None:
    """Holds that two searches which are set side by side are, or will be, of one version of the journal.

    Args:
        results: The folder of both.
        own: The name of the first one.
        rival: That of the second one.
        fresh: Whether the second one starts anew.

    Raises:
        JournalError: One alone is of version 1.
    """
    files = [RunPaths(results, name).journal for name in (own, rival)]
    headers = [header_of(files[0]), {} if fresh else header_of(files[1])]
    if (old := [is_old(header) for header in headers]) in ([True, False], [False, True]):
        place = old.index(True)
        why = f"{(rival, own)[place]} is set beside it, which is not"
        raise of_before(files[place], headers[place], why)


def check_journal(paths: RunPaths) -> None:
    """Holds that results of a search are not alone, without the journal that it would go on from.

    Raises:
        RunError: They are: all would be trained anew, and they would be written over.
        JournalError: The journal is damaged.
    """
    if not os.path.lexists(paths.json) or header_of(paths.journal):
        return
    if Journal.read_header(paths.journal) is None:
        raise RunError(
            f"{paths.json}: these results are there, and not {paths.journal}, from which their search "
            "would go on: all would be trained anew. Restore the journal, start anew with --fresh (the old "
            "results are moved aside), or give the search another name with --name."
        )


def why_another(prepared: Prepared, paths: RunPaths, is_named: bool) -> str:
    """Returns in words why a run gives way to a search that began otherwise; empty where it stays.

    One that has trained does where no fit has finished, and any does to a search that nobody has named: its
    name tells nothing, as in a notebook that searches again with other data.

    Raises:
        JournalError: The journal is damaged.
    """
    has_begun = paths.journal.exists()
    if not has_begun or (is_named and not any(paths.checkpoints)):
        return ""
    begun = read(paths.journal, check_line)
    if not is_named and has_results(begun[1]):
        return ", which began otherwise," if _changes(prepared, *begun)[0] else ""
    is_nothing = any(paths.checkpoints) and is_superseded(prepared, paths, *begun)
    return ", of which no fit had finished and which began otherwise," if is_nothing else ""


def _change(key: str, before: Any, now: Any) -> str:
    if key in {"data", SOURCE}:
        return f"{key} changed"
    return f"{key} was {canonical_json(before)}, and is {canonical_json(now)}"
