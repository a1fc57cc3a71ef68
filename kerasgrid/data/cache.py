"""Samples as .npy files that workers map from disk, each set in a folder of its own.

A folder holds images.npy, labels.npy, meta.json, and a file each of what else is known of the samples, such
as their weights. It is written beside its place, synced and
renamed, so that it is whole or absent; and what is opened is checked against the digests in
meta.json, so that a damaged one is never used but written anew. Two processes that write the same
folder at once both succeed: the second finds the first one's and drops its own.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kerasgrid import machine
from kerasgrid.data.arrays import npy_header
from kerasgrid.data.decoding import Decoded, Earlier, decoded
from kerasgrid.data.digests import form_of, is_settled, known_in
from kerasgrid.data.keeping import SAMPLES, mark_made_of, mark_used, of_form, prune
from kerasgrid.data.pictures import Bad, Pictures, told_bad, told_left_out
from kerasgrid.data.samples import Joined, Samples, take_rows
from kerasgrid.errors import DataError, StorageError
from kerasgrid.io import (
    ARRAY_DAMAGE,
    HALF_WRITTEN,
    cache_folder,
    digest,
    half_written_name,
    insist,
    is_being_written,
    remove,
    sync_folder,
    write_json,
)
from kerasgrid.records import Dataset, Doing, Inputs, Table, Target, not_told
from kerasgrid.wording import bytes_word, count

FORMAT = 1
_PARTS = ("images", "labels", "weights", "groups", "times", "given")
"""Arrays of samples, a file each; all but the first two may be missing."""
_FORMS = ("classes", "one_hot", "numbers", "table", "inputs")
"""What else of meta.json the fingerprint is of."""
_BUILDING = ".building-"
_FILES = "files.npy"
"""Digests of what the files held that images were decoded of, (sample, 32) uint8."""
_SEEN, _LARGE_BYTES = "seen.json", 1 << 28
"""What is known of arrays of so many bytes, of which a digest takes a while."""
_DAY_S = 86_400
_PIECE_BYTES, _WAIT_S = 1 << 26, 0.2
# A rename onto a folder that is not empty, or onto a file.
_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


Refill = Callable[[Sequence[Bad]], Samples]
"""Takes which of some image files cannot be decoded, and returns samples with others in their place."""


def array_digest(array: np.ndarray) -> str:
    """Returns the SHA-256 of an array's dtype, shape and values, 64 hex digits."""
    array = np.ascontiguousarray(array)
    hasher = hashlib.sha256(f"{array.dtype.str} {array.shape}\n".encode())
    hasher.update(array.reshape(-1).view(np.uint8).data)
    return hasher.hexdigest()


def fingerprint(samples: Samples | Dataset) -> str:
    """Returns `sha256:...` of what a search learns from."""
    digests = {name: {"digest": array_digest(array)} for name, array in _arrays(samples).items()}
    return _fingerprint_of({**_forms_of(samples), **digests})


def _arrays(samples: Samples | Dataset) -> dict[str, np.ndarray]:
    """Returns those of `_PARTS` that there are."""
    return {name: array for name in _PARTS if (array := getattr(samples, name)) is not None}


def _forms_of(samples: Samples | Dataset) -> dict[str, Any]:
    """Returns what samples are, as meta.json has it."""
    table = {} if samples.table is None else {"table": asdict(samples.table)}
    inputs = {} if samples.inputs is None else {"inputs": [asdict(one) for one in samples.inputs.each]}
    return {**_of_target(samples.target), **table, **inputs}


def _of_target(target: Target) -> dict[str, Any]:
    """Returns a target as meta.json has it, where the axes of labels tell whether there are several."""
    if target.is_numbers:
        return {"numbers": list(target.names)}
    return {"classes": list(target.names), **({"one_hot": True} if target.one_hot else {})}


def _target_of(meta: Mapping[str, Any], n_axes: int) -> Target:
    """Returns the target of a meta.json whose labels have so many axes."""
    if "numbers" in meta:
        return Target("numbers", tuple(meta["numbers"]))
    kind: Literal["classes", "labels"] = "labels" if n_axes == 2 else "classes"
    return Target(kind, tuple(meta["classes"]), meta.get("one_hot", False))


def cached(
    key: Any,
    source: str,
    build: Callable[[], Samples],
    *,
    check: Callable[[], object] = lambda: None,
    doing: Doing = not_told,
    refill: Refill | None = None,
) -> Dataset:
    """Returns the samples kept under a key, building and keeping them where there are none.

    Image files are decoded straight into the cache.

    Args:
        key: A JSON value that holds all that the samples depend on.
        source: What messages call the data.
        build: Gives the samples.
        check: Is called when all of them have been read; nothing is kept where it raises.
        doing: Is told how far the decoding is.
        refill: Gives other samples where images cannot be decoded and are to be left out; None to do with the
            rest.

    Raises:
        DataError: They do not fit into memory; or image files cannot be decoded.
        StorageError: The cache cannot be written.
    """
    parent = cache_folder() / SAMPLES
    folder = parent / digest({"format": FORMAT, "key": key})
    mark_used(folder)  # before it is looked at, so that it stays
    kept = open_samples(folder, source)
    if kept is not None:
        if file_ids(folder) is not None:
            there = f"{bytes_word(kept.images.nbytes)} in {cache_folder()}"
            doing(f"{count(len(kept), 'image file')} of {source} are decoded already: {there}.")
        return kept
    try:
        given = [build()]
    except MemoryError as error:
        raise DataError(f"{source}: does not fit into the memory that is free.") from error
    with _cache_errors(parent):
        if isinstance(given[0].images, Pictures):
            kept = _decoded(folder, given[0], source, check, doing, refill)
        else:
            check()
            prune(given[0].images.nbytes)
            kept = _keep(folder, given, source, tells=True)
    mark_used(folder)
    return kept


def save_samples(folder: Path, samples: Samples | Dataset, source: str) -> Dataset:
    """Writes samples to a folder, whole or not at all, and returns them mapped from it.

    A folder that holds the same samples already is left as it is; another one is replaced.

    Raises:
        OSError: The folder cannot be written.
    """
    return _keep(folder, [samples], source)  # type: ignore[arg-type]  # one of either


def _keep(
    folder: Path,
    given: list[Samples] | list[Dataset],
    source: str,
    images: Decoded | None = None,
    *,
    tells: bool = False,
) -> Dataset:
    """Writes samples as `save_samples` does.

    Args:
        given: The samples, which are taken out: as much of the file is about to be mapped.
        images: Their images, where these are decoded; the file is moved.
        tells: Whether the folder tells what it is made of.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _made_beside(folder) as temporary:
        if images is not None:
            insist(shutil.move, images.whole(), temporary / "images.npy")
            _write_npy(temporary / _FILES, images.ids)
        wanted = _write(temporary, given.pop())
        if tells:
            mark_made_of(temporary, source, None if images is None else images.form)
        return _put(temporary, folder, wanted, source)


def _decoded(
    folder: Path,
    samples: Samples,
    source: str,
    check: Callable[[], object],
    doing: Doing,
    refill: Refill | None,
    before: Earlier | None = None,
) -> Dataset:
    """Returns samples whose images are decoded from files; those without one are left out where asked for.

    Args:
        before: Images that are among theirs, where these are to fill a gap.

    Raises:
        DataError: Some cannot be decoded, and are not to be left out; or a class has no others.
    """

    pictures = samples.images
    assert isinstance(pictures, Pictures)

    def is_there() -> bool:
        return open_samples(folder, source) is not None

    def earlier(form: str, ids: np.ndarray) -> Earlier | None:
        return before or _earlier(source, form, ids)

    with decoded(pictures, doing, is_there, earlier) as found:
        if found is not None and found.bad and refill is not None:
            # What this has decoded stays until all have been.
            others = refill(found.bad)
            return _decoded(folder, others, source, check, doing, refill, found.as_earlier())
        if found is not None:
            if not len(found.places):
                raise DataError(told_bad(pictures, found.bad, "None is left to learn from."))
            check()
            samples = take_rows(samples, found.places)
            if pictures.skip_bad:
                _check_classes(samples, pictures.where)
            if found.bad:
                names = [pictures.files[one.place].name for one in found.bad]
                line = told_left_out(names, len(pictures))
                samples = replace(samples, report=(*samples.report, line))
            return _keep(folder, [samples], source, found, tells=True)
    kept = open_samples(folder, source)
    if kept is None:
        raise OSError(errno.EIO, "it does not hold what was written to it", str(folder))
    return kept


def pieces_of(folder: Path) -> dict[str, list[np.ndarray]]:
    """Returns the bytes of each file of arrays in a folder of samples, (byte,) uint8 in pieces, mapped.

    Raises:
        OSError: It is not there any more.
    """
    names = [f"{name}.npy" for name in _parts_of(json.loads((folder / "meta.json").read_bytes()))]
    whole = {name: np.asarray(np.memmap(folder / name, np.uint8, "r")) for name in names}
    return {
        name: [array[at : at + _PIECE_BYTES] for at in range(0, len(array), _PIECE_BYTES)]
        for name, array in whole.items()
    }


def copied(meta: bytes, source: str, pieces: Mapping[str, Sequence[Callable[[], Any]]] | None) -> Path | None:
    """Returns the folder of samples that another machine has, which is written here where it is not yet.

    Args:
        meta: The other's meta.json.
        source: What messages call the data.
        pieces: What gives those of `pieces_of`; None where they are not at hand.

    Returns:
        None where the folder is not here and the pieces are not at hand.

    Raises:
        StorageError: The cache cannot be written.
    """
    told = json.loads(meta)
    folder = cache_folder() / SAMPLES / digest({"format": FORMAT, "content": told["check"]})
    mark_used(folder)
    while (is_missing := open_samples(folder, source) is None) and _is_built(folder):
        time.sleep(_WAIT_S)
    if is_missing:
        if pieces is None:
            return None
        with _cache_errors(folder.parent):
            prune(sum(told[name]["bytes"] for name in _parts_of(told)))
            folder.parent.mkdir(parents=True, exist_ok=True)
            with _made_beside(folder) as temporary:
                for name, parts in pieces.items():
                    _write_synced(temporary / name, (part() for part in parts))
                _write_synced(temporary / "meta.json", [meta])
                mark_made_of(temporary, source)
                if open_samples(temporary, source) is None:
                    raise OSError(errno.EIO, "what came from another machine is damaged", str(folder))
                _put(temporary, folder, _fingerprint_of(told), source)
        mark_used(folder)
    return folder


def _is_built(folder: Path) -> bool:
    """Tells whether another process of this machine is building a folder."""
    beginning = _building(folder).name.removesuffix(HALF_WRITTEN).rpartition(".")[0]
    return any(map(is_being_written, folder.parent.glob(f"{beginning}.*")))


def file_ids(folder: Path) -> np.ndarray | None:
    """Returns the digests of what the image files of samples held, (sample, 32) uint8; None of others."""
    try:
        return np.load(folder / _FILES, allow_pickle=False)
    except (*ARRAY_DAMAGE, OSError):
        return None


def _earlier(source: str, form: str, ids: np.ndarray) -> Earlier | None:
    """Returns the samples that were decoded before to a form which have the most of some image files."""
    wanted = set(map(bytes, ids))
    others = [(own, folder) for folder in of_form(form) if (own := file_ids(folder)) is not None]
    n_shared = [len(wanted.intersection(map(bytes, own))) for own, _ in others]
    for place in sorted(range(len(others)), key=lambda place: -n_shared[place]):
        own, folder = others[place]
        kept = open_samples(folder, source) if n_shared[place] else None
        if kept is not None and len(own) == len(kept) and isinstance(kept.images, np.memmap):
            return Earlier(own, kept.images, np.arange(len(own)))
    return None


def _check_classes(samples: Samples, where: str) -> None:
    """Raises a DataError where a class has no sample any more."""
    if samples.target.kind != "classes":
        return
    n_each = np.bincount(samples.labels, minlength=samples.target.n_outputs)
    if lost := [name for name, n in zip(samples.target.names, n_each, strict=True) if not n]:
        raise DataError(
            f"{where}: no image of the class {lost[0]!r} can be decoded, and none of it would be left. "
            "Fetch them again."
        )


@contextlib.contextmanager
def _made_beside(folder: Path) -> Iterator[Path]:
    """Gives a new folder that is to become another, and removes what is left of it."""
    _remove_leftovers(folder.parent)
    temporary = _building(folder)
    try:
        temporary.mkdir()
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(folder: Path, samples: Samples | Dataset) -> str:
    """Writes samples to a new folder, where their images may be already, and returns their fingerprint."""
    meta: dict[str, Any] = {"format": FORMAT, **_forms_of(samples), "report": list(samples.report)}
    there = folder / "images.npy"
    if isinstance(samples.images, Joined):
        form, parts = samples.images, samples.images.parts
        _write_synced(there, [npy_header(form.shape, form.dtype), *map(_flat, parts)])
    if there.exists():
        samples = replace(samples, images=np.load(there, mmap_mode="r"))
    for name, array in _arrays(samples).items():
        path = folder / f"{name}.npy"
        n_bytes = path.stat().st_size if path.exists() else _write_npy(path, array)
        meta[name] = {"bytes": n_bytes, "digest": array_digest(array)}
    meta["check"] = digest(meta)
    _write_synced(folder / "meta.json", [json.dumps(meta).encode()])
    sync_folder(folder)
    return _fingerprint_of(meta)


def open_samples(folder: Path, source: str, *, is_own: bool = False) -> Dataset | None:
    """Returns the samples of a folder, mapped read-only; None where it is missing or damaged.

    Args:
        is_own: Whether this process has just written it, and need not read it again.
    """
    try:
        meta = json.loads((folder / "meta.json").read_bytes())
        check = meta.pop("check")
        if check != digest(meta) or meta["format"] != FORMAT:
            return None
        _check_addresses(meta["images"]["bytes"], source)
        arrays, new, began_ns = {}, {}, time.time_ns()
        seen = known_in(folder / _SEEN)  # in which form large arrays were found whole
        for name in _parts_of(meta):
            path = folder / f"{name}.npy"
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
            known, status = meta[name], path.stat()
            if status.st_size != known["bytes"]:
                return None
            if is_own or seen.get(name) == [*form_of(status)]:
                continue
            if array_digest(arrays[name]) != known["digest"]:
                return None
            if status.st_size >= _LARGE_BYTES and is_settled(status, began_ns):
                new[name] = form_of(status)
    except DataError:  # no room; a ValueError, as damage is
        raise
    except (*ARRAY_DAMAGE, AttributeError):
        return None
    if new:
        with contextlib.suppress(StorageError):  # a folder that cannot be written is read again
            write_json(folder / _SEEN, {**seen, **new})
    return _dataset(folder, source, meta, arrays)


def map_samples(folder: Path, source: str) -> Dataset:
    """Returns the samples of a folder that has been opened by another process, which has checked them.

    Raises:
        OSError: It is not there any more.
    """
    meta = json.loads((folder / "meta.json").read_bytes())
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _parts_of(meta)}
    return _dataset(folder, source, meta, arrays)


def _parts_of(meta: Mapping[str, Any]) -> list[str]:
    """Returns the names of the arrays in a folder; of images and labels in any case."""
    return [name for name in _PARTS if name in meta or name in ("images", "labels")]


def _dataset(folder: Path, source: str, meta: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Dataset:
    others: dict[str, Any] = {name: arrays[name] for name in _PARTS[2:] if name in arrays}
    return Dataset(
        images=arrays["images"],
        labels=arrays["labels"],
        **others,
        table=Table.of(meta["table"]) if "table" in meta else None,
        inputs=Inputs.of(meta["inputs"]) if "inputs" in meta else None,
        target=_target_of(meta, arrays["labels"].ndim),
        fingerprint=_fingerprint_of(meta),
        source=source,
        folder=str(folder),
        report=tuple(meta["report"]),
    )


def _check_addresses(n_bytes: int, source: str) -> None:
    """Raises a DataError where `ulimit` leaves no room to map so much of a file."""
    free = machine.free_addresses_bytes()
    if free is not None and n_bytes > free:
        raise DataError(
            f"{source}: {n_bytes:,} bytes to map, and ulimit -v leaves {free:,} to this process. Raise it, "
            "or give fewer samples."
        )


def _fingerprint_of(meta: Mapping[str, Any]) -> str:
    form = {name: meta[name] for name in _FORMS if name in meta}
    return "sha256:" + digest({**{name: meta[name]["digest"] for name in _parts_of(meta)}, **form})


def sample_digests(folder: Path) -> tuple[str, str, str]:
    """Returns the digests of images and labels in a folder of samples that has been opened, and of all.

    Raises:
        OSError: It is not there any more.
    """
    meta = json.loads((folder / "meta.json").read_bytes())
    return meta["images"]["digest"], meta["labels"]["digest"], _fingerprint_of(meta)


def _put(temporary: Path, folder: Path, wanted: str, source: str) -> Dataset:
    """Moves a finished folder into its place, past one that is damaged or holds something else.

    A rename cannot replace a folder that is not empty, so the other one goes aside first, and only
    once it has been looked at again: it may have been put there by another process a moment ago.
    """
    for _ in range(10):
        is_own = False
        try:
            insist(os.rename, temporary, folder)
            is_own = True
            sync_folder(folder.parent)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        kept = open_samples(folder, source, is_own=is_own)
        if kept is not None and kept.fingerprint == wanted:
            return kept
        del kept  # Windows renames no folder of which a file is mapped
        aside = _building(folder)
        # It is gone already where another process was quicker.
        with contextlib.suppress(FileNotFoundError):
            insist(os.rename, folder, aside)
        remove(aside)
    raise OSError(errno.EIO, "it does not hold what was written to it", str(folder))


def _write_npy(path: Path, array: np.ndarray) -> int:
    """Writes a .npy file through Python's files, whose errors name a full disk; returns its bytes."""
    _write_synced(path, [npy_header(array.shape, array.dtype), _flat(array)])
    return path.stat().st_size


def _flat(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)


def _write_synced(path: Path, parts: Iterable[Any]) -> None:
    with open(path, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _building(folder: Path) -> Path:
    return half_written_name(folder.with_name(f"{_BUILDING[1:]}{folder.name}"))


def _remove_leftovers(parent: Path) -> None:
    """Removes what processes of other machines left behind that died while building, once it is a day old."""
    for folder in parent.glob(f"{_BUILDING}*"):
        # Gone already where another process was quicker.
        with contextlib.suppress(FileNotFoundError):
            is_old = time.time() - folder.stat().st_mtime > _DAY_S
            if is_old and is_being_written(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    """Turns a cache that cannot be written into a StorageError that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise StorageError(
                f"{folder}: no room for the data's cache ({error.strerror}). Free some space, or set the "
                "environment variable KERASGRID_CACHE to a folder on another disk."
            ) from error
        raise StorageError(
            f"{folder}: the data's cache cannot be written ({error.strerror or error}). Set the environment "
            "variable KERASGRID_CACHE to a folder that can be."
        ) from error
