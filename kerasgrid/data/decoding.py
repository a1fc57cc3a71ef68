"""Image files decoded into a .npy file of the cache, a block at a time, which goes on after whatever ends it.

While it is under way a folder of the cache holds images.npy in its full size and decoded.jsonl, a line for
each block that has been written, with the digest of its pixels. What stands there when a process takes the
folder over is taken as decoded where the digests hold: nothing has to be synced, and neither a kill nor a
torn line can make a wrong image. The folder is named by what the files hold and what they become. One process
at a time has it; others wait, and one of them goes on where that one dies.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from kerasgrid.data.arrays import npy_header
from kerasgrid.data.digests import FileDigest, Form, file_digests
from kerasgrid.data.keeping import DECODING, HEARTBEAT, LIMIT, LOCK, limit_bytes, mark_made_of, prune
from kerasgrid.data.pictures import (
    Bad,
    Decoder,
    Known,
    Picture,
    Pictures,
    decode_blocks,
    decoder,
    refuse,
    rows_at_once,
)
from kerasgrid.errors import DataError, LockedError, StorageError
from kerasgrid.io import cache_folder, digest, remove
from kerasgrid.locks import FolderLock, held_by
from kerasgrid.machine import usable_cores
from kerasgrid.records import Doing, Stage
from kerasgrid.wording import bytes_word, count, format_seconds

_FORMAT = 1
_IMAGES, _LINES = "images.npy", "decoded.jsonl"
_TELL_S, _WAIT_S = 0.2, 0.2
_SAMPLE = 32
"""Images by which is measured how long all of them will take."""
_SAMPLE_S = 0.5
_LONG_S = 30
_STOPPED = " Ctrl-C stops it, and the same command goes on later."
_MOVE_BYTES = 1 << 25


class Earlier(NamedTuple):
    """Images that were decoded before to the same form.

    Attributes:
        ids: (image, 32) uint8, digests of what the files hold.
        images: (row, height, width, channel) uint8, mapped from a .npy file.
        rows: (image,), which of those each is.
    """

    ids: np.ndarray
    images: np.memmap
    rows: np.ndarray


@dataclass(frozen=True)
class Decoded:
    """Image files that are decoded.

    Attributes:
        places: Which of the files those are that could be.
        bad: The others, which are left out.
        form: The digest of what files become.
        ids: (image, 32) uint8, digests of what the files hold that could be decoded.
        path: A .npy file of all, black where there is no image.
        whole: Gives the .npy file of those that could be, (sample, height, width, channel) uint8, to be moved
            away.
    """

    places: np.ndarray
    bad: tuple[Bad, ...]
    form: str
    ids: np.ndarray
    path: Path
    whole: Callable[[], Path]

    def as_earlier(self) -> Earlier:
        """Returns the images as such that others are taken from, until they are moved."""
        return Earlier(self.ids, np.load(self.path, mmap_mode="r"), self.places)


@contextlib.contextmanager
def decoded(
    pictures: Pictures,
    doing: Doing,
    is_there: Callable[[], bool],
    earlier: Callable[[str, np.ndarray], Earlier | None],
) -> Iterator[Decoded | None]:
    """Decodes image files, and removes what is left of it once that has been put where it belongs.

    Args:
        doing: Is told how far it is.
        is_there: Whether another process has put there meanwhile what is being decoded; None is given then.
        earlier: Gives images that were decoded before, by their form and the digests of all files.

    Raises:
        DataError: Some cannot be decoded and are not to be left out. What was decoded is kept.
        StorageError: There is no room.
        OSError: The folder cannot be written.
    """
    if not len(pictures):
        raise DataError(f"{pictures.where}: no images.")
    paths = list(dict.fromkeys(picture.path for picture in pictures.files))
    tell = telling(doing, "Looking at image files", len(paths))
    known = dict(zip(paths, file_digests(paths, tell), strict=True))
    ids = _ids(pictures.files, known)
    form = digest([_FORMAT, *decoder(), list(pictures.image), pictures.fit, pictures.resample])
    folder = cache_folder() / DECODING / digest([form, hashlib.sha256(ids.data).hexdigest()])
    if pictures.faults:
        doing(f"{pictures.faults[0]} All faults are told once the images have been decoded.")
    with _taken(folder, len(pictures), doing):
        path = folder / _IMAGES
        if is_there():
            yield None
        elif _is_linked(found := earlier(form, ids), ids, path):
            refuse(pictures, ())
            yield Decoded(np.arange(len(pictures)), (), form, ids, path, lambda: path)
        else:
            mark_made_of(folder, pictures.where)
            with contextlib.closing(_Work(folder, pictures, _known(found, ids))) as work:
                work.run({path: own.form for path, own in known.items()}, doing)
                yield work.result(form, ids)
        remove(folder)


def ids_of_files(files: Sequence[Picture]) -> np.ndarray:
    """Returns what tells by what each image file holds which one it is, (file, 32) uint8.

    Raises:
        DataError: One is missing, or may not be read.
    """
    paths = list(dict.fromkeys(picture.path for picture in files))
    return _ids(files, dict(zip(paths, file_digests(paths), strict=True)))


def _ids(files: Sequence[Picture], known: Mapping[Path, FileDigest]) -> np.ndarray:
    """Returns the digests of files, and of members by those of their .zip files."""

    def own(picture: Picture) -> bytes:
        whole = known[picture.path].digest
        if picture.member is None:
            return bytes.fromhex(whole)
        return hashlib.sha256(f"{whole}/{picture.member}".encode()).digest()

    return np.frombuffer(b"".join(map(own, files)), np.uint8).reshape(-1, 32)


def _is_linked(found: Earlier | None, ids: np.ndarray, path: Path) -> bool:
    """Gives a file of the same images a second name, and tells whether it has it; on file systems without
    them, it has not."""
    if found is None or not np.array_equal(found.ids, ids) or len(found.images) != len(ids):
        return False
    remove(path)
    try:
        os.link(str(found.images.filename), path)
    except OSError:
        return False
    return True


def _known(found: Earlier | None, ids: np.ndarray) -> Known | None:
    """Returns which of the images that were decoded before are of files with these digests."""
    if found is None:
        return None
    rows = {own.tobytes(): int(row) for own, row in zip(found.ids, found.rows, strict=True)}
    return Known(np.array([rows.get(own.tobytes(), -1) for own in ids], np.int64), found.images)


@contextlib.contextmanager
def _taken(folder: Path, total: int, doing: Doing) -> Iterator[None]:
    """Waits until this process has a folder by itself.

    Raises:
        OSError: It cannot be made.
    """
    lock = FolderLock(folder / LOCK, folder / HEARTBEAT)
    with contextlib.ExitStack() as stack:
        while True:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(lock)
                break
            except LockedError:
                who = held_by(folder / LOCK, folder / HEARTBEAT)
                doing(_told_waiting(folder, who, total))
                time.sleep(_WAIT_S)
            except StorageError:
                if folder.is_dir():
                    raise
                # It was removed at its end by the process that had it.
        yield


def _told_waiting(folder: Path, who: str, total: int) -> str:
    """Returns how far another process is, which decodes the same."""
    done = 0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, IndexError):
        head, *blocks = (folder / _LINES).read_bytes().splitlines()
        done = min(total, json.loads(head)["rows"] * len(blocks))
    return Stage(f"Waiting for {who}, which decodes these images: {done:,} of {total:,}.", done, total)


def telling(doing: Doing, what: str, total: int, before: int = 0) -> Callable[[int], None]:
    """Returns what is told how many are done, and tells it now and then with the time left.

    Args:
        before: How many an earlier process has done, which say nothing of the speed.
    """
    began = told = time.monotonic()

    def tell(done: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told < _TELL_S and done < total:
            return
        told = now
        left = ""
        if before < done < total and now - began > 1:
            left = f", {format_seconds((now - began) * (total - done) / (done - before))} left"
        doing(Stage(f"{what}: {done:,} of {total:,}{left}.", done, total))

    return tell


class _Work:
    """A folder in which image files are being decoded."""

    def __init__(self, folder: Path, pictures: Pictures, known: Known | None) -> None:
        """Finds what has been decoded before.

        Args:
            known: Images that are taken over from elsewhere.

        Raises:
            OSError: The folder cannot be written.
        """
        self._pictures = pictures
        self._known = known
        self._path, self._lines_path = folder / _IMAGES, folder / _LINES
        self._n_rows = rows_at_once(pictures)
        self._firsts = range(0, len(pictures), self._n_rows)
        self._header = npy_header(pictures.shape, pictures.dtype)
        self._image_bytes = pictures.nbytes // len(pictures)
        self._bad: dict[int, list[Bad]] = {}  # by the block's first place, of blocks that are done
        self._images, self._lines = self._open()

    def close(self) -> None:
        self._images.close()
        self._lines.close()

    def _open(self) -> tuple[BinaryIO, BinaryIO]:
        """Opens both files, made to fit, at the end of the lines that hold."""
        with contextlib.suppress(FileNotFoundError):
            if self._path.stat().st_nlink > 1:  # samples of the cache have it, too, and stay as they are
                self._path.unlink()
        with contextlib.suppress(FileExistsError):
            self._path.open("xb").close()
        with contextlib.suppress(FileExistsError):
            self._lines_path.open("xb").close()
        images, lines = self._path.open("r+b"), self._lines_path.open("r+b")
        images.truncate(len(self._header) + self._pictures.nbytes)
        head = {"format": _FORMAT, "rows": self._n_rows, "n": len(self._pictures)}
        kept: list[bytes] = []
        for line in lines.read().splitlines(keepends=True):
            record = _read(line)
            if record is None or (not kept and record != head):
                break
            if not kept or self._holds(record, images):
                kept.append(line)
        lines.seek(0)
        lines.truncate()
        lines.write(b"".join(kept) or _line(head))
        lines.flush()
        images.seek(0)
        images.write(self._header)
        return images, lines

    def _holds(self, record: dict[str, Any], images: BinaryIO) -> bool:
        """Tells whether a block's pixels are those that were written, and keeps what its line tells if so."""
        try:
            first, bad = int(record["first"]), [Bad(*one) for one in record["bad"]]
            if first not in self._firsts or any(one.is_unread for one in bad):
                return False
            images.seek(len(self._header) + first * self._image_bytes)
            n_bytes = (min(first + self._n_rows, len(self._pictures)) - first) * self._image_bytes
            if hashlib.sha256(images.read(n_bytes)).hexdigest() != record["digest"]:
                return False
        except (KeyError, TypeError, ValueError):
            return False
        self._bad[first] = bad
        return True

    @property
    def _n_done(self) -> int:
        return min(len(self._bad) * self._n_rows, len(self._pictures))

    def run(self, forms: Mapping[Path, Form], doing: Doing) -> None:
        """Decodes what has not been decoded before.

        Args:
            forms: By what the files are known of whose contents the folder is.

        Raises:
            StorageError: There is no room for it.
            OSError: It cannot be written.
        """
        firsts = [first for first in self._firsts if first not in self._bad]
        if not firsts:
            return
        self._check_room(len(firsts))
        doing(self._told(firsts))
        tell = telling(doing, "Decoding image files", len(self._pictures), self._n_done)
        blocks = decode_blocks(self._pictures, firsts, self._n_rows, forms, self._known)
        with contextlib.closing(blocks):
            for first, images, bad in blocks:
                self._images.seek(len(self._header) + first * self._image_bytes)
                self._images.write(images.data)
                self._images.flush()
                own = hashlib.sha256(images.data).hexdigest()
                self._lines.write(_line({"first": first, "digest": own, "bad": bad}))
                self._lines.flush()
                self._bad[first] = bad
                tell(self._n_done)

    def _check_room(self, n_blocks: int) -> None:
        needed = n_blocks * self._n_rows * self._image_bytes
        prune(needed)
        free = shutil.disk_usage(self._path.parent).free
        if needed > free:
            raise OSError(errno.ENOSPC, f"{bytes_word(needed)} are needed, and {bytes_word(free)} are free")

    def _told(self, firsts: list[int]) -> str:
        """Returns what is about to be done, and how long it will take by the measure of some images."""
        pictures = self._pictures
        places = np.concatenate([np.arange(first, first + self._n_rows) for first in firsts])
        places = places[places < len(pictures)]
        if self._known is not None:
            places = places[self._known.rows[places] < 0]
        n_looked_at, began, seconds = 0, time.perf_counter(), 0.0
        with Decoder(pictures) as sample:
            for place in places[:: max(1, len(places) // _SAMPLE)].tolist():
                sample.rows(range(place, place + 1), lambda: False)
                n_looked_at, seconds = n_looked_at + 1, time.perf_counter() - began
                if seconds > _SAMPLE_S:
                    break
        seconds *= len(places) / max(1, n_looked_at) / usable_cores()
        height, width, channels = pictures.image
        n_before = len(pictures) - len(places)
        before = f", {n_before:,} of them before" if n_before else ""
        large = ""
        if pictures.nbytes > (limit := limit_bytes()):
            large = f" The cache may take {bytes_word(limit)} ({LIMIT}), so this goes when nothing uses it."
        return (
            f"Decoding {count(len(pictures), 'image file')} to {height} x {width} x {channels}{before}: "
            f"{bytes_word(pictures.nbytes)} in {cache_folder()}, about {format_seconds(seconds)}."
            f"{large}{_STOPPED if seconds > _LONG_S else ''}"
        )

    def result(self, form: str, ids: np.ndarray) -> Decoded:
        """Returns what there is.

        Raises:
            DataError: Some cannot be decoded and are not to be left out.
        """
        pictures = self._pictures
        bad = [one for first in sorted(self._bad) for one in self._bad[first]]
        refuse(pictures, bad)
        places = np.setdiff1d(np.arange(len(pictures)), [one.place for one in bad])

        def whole() -> Path:
            if bad:
                self._close_gaps(places)
            self._images.flush()
            os.fsync(self._images.fileno())
            self.close()
            return self._path

        return Decoded(places, tuple(bad), form, ids[places], self._path, whole)

    def _close_gaps(self, places: np.ndarray) -> None:
        """Moves images up to where others are left out; where that is cut off, those are decoded again."""
        header = npy_header((len(places), *self._pictures.image), self._pictures.dtype)
        assert len(header) == len(self._header)  # NumPy leaves room for longer shapes
        self._images.flush()
        shape = (len(self._pictures), self._image_bytes)
        images = np.memmap(self._path, np.uint8, "r+", len(header), shape)
        at_once = max(1, _MOVE_BYTES // self._image_bytes)
        stay = int(np.argmin(np.append(places == np.arange(len(places)), False)))
        for first in range(stay, len(places), at_once):
            own = places[first : first + at_once]
            images[first : first + len(own)] = images[own]
        images.flush()
        del images  # Windows truncates no file that is mapped
        self._images.seek(0)
        self._images.write(header)
        self._images.truncate(len(header) + len(places) * self._image_bytes)


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _read(line: bytes) -> dict[str, Any] | None:
    """Returns a line's record; None for a torn one."""
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
