"""Files: atomic writes, content hashes, and every file name of a run."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import io
import itertools
import json
import math
import os
import re
import secrets
import shutil
import socket
import stat
import struct
import tempfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kerasgrid.errors import KerasgridError, StorageError

ZIP_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError),
    *(NotImplementedError, RuntimeError),  # packed or encrypted in ways that are not known here
)
"""What zipfile raises for damaged bytes, each by its own path."""
HEADER_DAMAGE = (ValueError, TypeError, SyntaxError, tokenize.TokenError)
"""What NumPy raises for the damaged header of an array."""
ARRAY_DAMAGE = (*ZIP_DAMAGE, *HEADER_DAMAGE, OSError, KeyError, IndexError, OverflowError, MemoryError)
"""What NumPy raises for damaged files of arrays."""
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EROFS, errno.EACCES, errno.EPERM}
_IN_THE_WAY = {errno.EEXIST, errno.ENOTDIR}
MOST_BESIDE = 1 << 26
"""Bytes that are read of a file which lies beside others."""
_HALF_WRITTEN = ".tmp"
"""In the names of files that are not in place yet."""
_LONGEST_STEM = 40
"""Characters of a file's name in that of its half-written one, which has to be short enough too."""
_SESSION = secrets.token_hex(4)
_NUMBERS = itertools.count()
_WRITER = re.compile(rf"([0-9a-f]{{8}})-(\d{{1,9}})-([0-9a-f]{{8}})-\d+{re.escape(_HALF_WRITTEN)}")
_SWEPT: set[Path] = set()


def canonical_json(value: Any) -> str:
    """Returns one text for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """Returns the SHA-256 of a JSON value's canonical text, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def open_input(path: str | Path, most_bytes: int | None = None) -> io.BufferedReader:
    """Opens a file to be read that a user, or another file, names.

    Args:
        path: The file.
        most_bytes: What it may hold; None for any number.

    Raises:
        OSError: It is not there, or may not be read; it is no regular file, since a pipe or a device may be
            waited on for ever, or never end; or it holds more. Its `strerror` says which.
    """
    try:
        found = os.stat(path)
    except ValueError as error:  # a zero byte
        raise OSError(errno.EINVAL, f"is no path: {error}", str(path)) from error
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        told = f"is {kind_by_mode(found.st_mode)}, and a regular file is needed"
        raise OSError(errno.EINVAL, told, str(path))
    if most_bytes is not None and found.st_size > most_bytes:
        told = f"holds {found.st_size:,} bytes, and at most {most_bytes:,} are read"
        raise OSError(errno.EFBIG, told, str(path))
    return open(path, "rb")


def read_input(path: str | Path, most_bytes: int) -> bytes:
    """Returns the bytes of a file that a user, or another file, names.

    Raises:
        OSError: As `open_input` does.
    """
    with open_input(path, most_bytes) as file:
        return file.read()


def read_json(path: str | Path) -> Any:
    """Returns the value of a JSON file that lies beside others, such as a card or a lock.

    Raises:
        OSError: As `open_input` does.
        ValueError: It holds no JSON.
    """
    try:
        return json.loads(read_input(path, MOST_BESIDE))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)


def kind_by_mode(mode: int) -> str:
    """Returns what is no regular file, by the mode that the system has of it: `a pipe`, `a folder`, ..."""
    return next((kind for holds, kind in _KINDS if holds(mode)), "no regular file")


def is_whole_archive(path: Path) -> bool:
    """Tells whether a ZIP file, such as a model of Keras, is one, and all of it has its checksums."""
    try:
        with open_input(path) as file, zipfile.ZipFile(file) as archive:
            return archive.testzip() is None
    except (*ZIP_DAMAGE, OSError, ValueError, KeyError):
        return False


def file_digest(path: Path) -> str:
    """Returns the SHA-256 of a file's bytes, 64 hex digits."""
    with open_input(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns what the system refuses into a StorageError: the file, what the system says, what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                f"{path}: the disk is full. What was written before is intact: free some space and "
                "give the same command again."
            ) from error
        choose = "Allow it, or choose" if error.errno in _FORBIDDEN else "Choose"
        raise StorageError(
            f"{path}: cannot be written ({_reason(path, error)}). {choose} another place."
        ) from error


@contextlib.contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turns what the system refuses of a file that is read into a StorageError, as `storage_errors` does."""
    try:
        yield
    except OSError as error:
        mend = "Allow it" if error.errno in _FORBIDDEN else "Mend that, or restore the file from a copy"
        reason = error.strerror or str(error) or type(error).__name__
        raise StorageError(
            f"{path}: cannot be read ({reason}). {mend}, and give the command again."
        ) from error


def _reason(path: Path, error: OSError) -> str:
    """Returns what the system says; where a file stands in the place of a folder, which one."""
    files = [folder for folder in path.parents if os.path.isfile(folder)]
    if error.errno in _IN_THE_WAY and files:
        return f"{files[0]} is a file, and a folder is needed there"
    return error.strerror or str(error) or type(error).__name__


def write_atomic(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Calls `write(file)` on a new file and renames it into place: `path` is whole or untouched.

    Raises:
        StorageError: The system refuses it: the disk is full, a folder is a file, a name is too long.
    """
    with replacing(path) as part, open(part, "wb") as file:
        write(file)


@contextlib.contextmanager
def replacing(path: Path, ending: str = "") -> Iterator[Path]:
    """Gives the name of a new file and renames it into place at the end: `path` is whole or untouched.

    Args:
        path: The file.
        ending: Of the new file's name, for writers that go by it, such as `.keras`.

    Raises:
        StorageError: The system refuses it.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part = half_written_name(path, ending)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # less what the umask takes
        try:
            with _others_errors(part):
                yield part
            with open(part, "r+b") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


@contextlib.contextmanager
def _others_errors(part: Path) -> Iterator[None]:
    """Lets a file of another folder that is read, to be written to `part`, have its own errors."""
    try:
        yield
    except OSError as error:
        other = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else part
        if other.parent == part.parent:
            raise
        with reading_errors(other):
            raise


def half_written_name(path: Path, ending: str = "") -> Path:
    """Returns a new name for what is to be at `path`, which says whose it is: a kill may leave it.

    The first time that this process writes into a folder, it removes what killed ones have left there.
    """
    if path.parent not in _SWEPT:
        _SWEPT.add(path.parent)
        sweep(path.parent)
    writer = f"{_host()}-{os.getpid()}-{_SESSION}-{next(_NUMBERS)}"
    return path.with_name(f".{path.name[:_LONGEST_STEM]}.{writer}{_HALF_WRITTEN}{ending}")


def sweep(folder: Path) -> None:
    """Removes what processes of this machine that are dead have left half-written in a folder."""
    for path in folder.glob(f".*{_HALF_WRITTEN}*"):
        if is_being_written(path) is False:
            remove(path)


def is_being_written(path: Path) -> bool | None:
    """Tells whether the process lives that writes what `half_written_name` named.

    Of another machine, or another container, it is not known: None.
    """
    writer = _WRITER.search(path.name)
    if writer is None or writer[1] != _host():
        return None
    if int(writer[2]) == os.getpid():
        return writer[3] == _SESSION
    import psutil

    return psutil.pid_exists(int(writer[2]))


def half_written(path: Path) -> list[Path]:
    """Returns what any process or version may have left of writing one file: for who has its lock."""
    name = re.compile(rf"\.{re.escape(path.name[:_LONGEST_STEM])}\.[^.]+{re.escape(_HALF_WRITTEN)}(\.\w+)?")
    return [part for part in path.parent.glob(f".*{_HALF_WRITTEN}*") if name.fullmatch(part.name)]


def remove(path: Path) -> None:
    """Removes a file or a folder; what has gone already, or is another user's, is let be."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            path.unlink()


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Gives a folder among the system's temporary ones that is removed at the end."""
    folder = half_written_name(Path(tempfile.gettempdir(), "kerasgrid"))
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def _host() -> str:
    """Returns a digest of where a process id is one process's: this machine, or this container of it."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        space = ""
    return digest([socket.gethostname(), space])[:8]


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole or not at all.

    What is no letter, such as a byte of a file's name, is written as the escape by which JSON reads it again.
    """
    data = text.encode("utf-8", "backslashreplace")
    write_atomic(path, lambda file: file.write(data))


def check_new(path: Path) -> None:
    """Raises a KerasgridError where a file that is to be written exists already."""
    if os.path.lexists(path):
        raise KerasgridError(
            f"{path} exists already, and is never overwritten. Give another file with -o FILE, or move it."
        )


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (no NaN, no Infinity), whole or not at all."""
    write_text(path, json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")) + "\n")


def strict(value: Any) -> Any:
    """Returns a JSON value with None in the place of NaN and infinity, and lists for tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    return value


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder durable, where the file system can (Windows cannot)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def cache_folder() -> Path:
    """Returns the folder for caches: $KERASGRID_CACHE, else the user's cache folder."""
    chosen = os.environ.get("KERASGRID_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kerasgrid"


@dataclass(frozen=True)
class RunPaths:
    """Every file name of a run.

    Attributes:
        results: The results folder, `results/` by default.
        name: The search's name.
    """

    results: Path
    name: str

    @property
    def json(self) -> Path:
        """results/NAME.json."""
        return self.results / f"{self.name}.json"

    @property
    def folder(self) -> Path:
        """The run's folder, results/NAME."""
        return self.results / self.name

    @property
    def journal(self) -> Path:
        """The append-only record of the run."""
        return self.folder / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """Held while a search writes."""
        return self.folder / "lock"

    @property
    def heartbeat(self) -> Path:
        """Stands in for the lock where the file system has none."""
        return self.folder / "heartbeat"

    @property
    def folds(self) -> Path:
        """The rows of each fold."""
        return self.folder / "folds.npz"

    @property
    def oof(self) -> Path:
        """Out-of-fold predictions of the leading trials."""
        return self.folder / "oof.npz"

    @property
    def mistakes(self) -> Path:
        """Images that the best trial is most confidently wrong about."""
        return self.folder / "mistakes.npz"

    @property
    def submission(self) -> Path:
        """The predictions as a competition takes them."""
        return self.folder / "submission.csv"

    @property
    def submissions(self) -> Path:
        """What was sent, and what came of it."""
        return self.folder / "submissions.json"

    @property
    def submissions_lock(self) -> Path:
        """Held while something is sent from the results folder: the same file may lie in several runs."""
        return self.results / ".submissions.lock"

    @property
    def worker_log(self) -> Path:
        """What workers print, and their libraries log."""
        return self.folder / "workers.log"

    @property
    def data(self) -> Path:
        """Arrays that were given in Python."""
        return self.folder / "data"

    @staticmethod
    def history_name(trial: int, fold: int, repeat: int) -> str:
        """Returns where a job's long history lies, within the run's folder."""
        return f"histories/{_stem(trial, fold, repeat)}.json"

    def history(self, trial: int, fold: int, repeat: int) -> Path:
        """A job's history, where it is too long for results.json."""
        return self.folder / self.history_name(trial, fold, repeat)

    def checkpoint(self, trial: int, fold: int, repeat: int) -> Path:
        """Where a job under way stands."""
        return self.folder / "checkpoints" / f"{_stem(trial, fold, repeat)}.npz"

    @property
    def checkpoints(self) -> list[Path]:
        """Where jobs under way stood that have a checkpoint."""
        return sorted((self.folder / "checkpoints").glob("trial-*.npz"))

    def prediction(self, trial: int, fold: int, repeat: int) -> Path:
        """A job's predictions of its held-out rows, (row, class) float32."""
        return self.folder / "predictions" / f"{_stem(trial, fold, repeat)}.npy"

    def model(self, trial: int, fold: int, repeat: int) -> Path:
        """A job's model, where it is kept."""
        return self.folder / "models" / f"{_stem(trial, fold, repeat)}.keras"

    def fitted(self, trial: int, seed: int) -> Path:
        """A candidate's model of all training data."""
        return self.folder / "fit" / f"trial-{trial}-seed-{seed}.keras"

    def finetuned(self, trial: int, fold: int, repeat: int) -> Path:
        """A fold model that has been trained on what its fold held out."""
        return self.folder / "fit" / f"{_stem(trial, fold, repeat)}-finetuned.keras"

    @property
    def best(self) -> Path:
        """The model that `fit` has trained last, of the leading candidate that it was given."""
        return self.folder / "best.keras"

    @staticmethod
    def card(model: Path) -> Path:
        """The card beside a model."""
        return model.with_suffix(".json")

    @property
    def fit_lock(self) -> Path:
        """Held while `fit` writes."""
        return self.folder / "fit" / "lock"

    @property
    def fit_heartbeat(self) -> Path:
        """Stands in for that lock where the file system has none."""
        return self.folder / "fit" / "heartbeat"

    @property
    def half_fitted(self) -> list[Path]:
        """What a sudden end has left of files that `fit` was writing: for who holds its lock."""
        beside = [part for path in (self.best, self.card(self.best)) for part in half_written(path)]
        folder = self.folder / "fit"
        return [*beside, *folder.glob(f".*{_HALF_WRITTEN}*"), *_half_written_by_keras(folder)]

    def check_own(self) -> None:
        """Holds that what is written and removed of a run lies in its own folder.

        Raises:
            StorageError: The folder, or what lies in it, is a link to elsewhere, or neither file nor folder.
        """
        found = [self.folder]
        with storage_errors(self.folder):
            found += self.folder.iterdir() if self.folder.is_dir() and not self.folder.is_symlink() else []
        if odd := [path for path in found[1:] if path.exists() and not (path.is_file() or path.is_dir())]:
            raise StorageError(f"{odd[0]}: is neither a file nor a folder. Remove it.")
        links = ", ".join(str(path) for path in sorted(found) if path.is_symlink())
        if links:
            raise StorageError(
                f"{links}: a link is not followed, since what is written and removed of a run lies in its "
                "own folder. Put what it leads to in its place; the folder of all results may be a link."
            )

    def relative(self, path: Path) -> str:
        """Returns a path as seen from the results folder, so that both can be moved together."""
        try:
            return Path(os.path.relpath(path, self.results)).as_posix()
        except ValueError:  # another drive
            return path.absolute().as_posix()

    @property
    def models(self) -> list[Path]:
        """The models that are there."""
        return sorted((self.folder / "models").glob("trial-*.keras"))

    @property
    def half_written(self) -> list[Path]:
        """What a sudden end has left of files that a search was writing: for who holds its lock."""
        own = (self.json, self.journal, self.folds, self.oof, self.mistakes)
        folders = ("checkpoints", "histories", "models", "predictions")
        within = [path for name in folders for path in (self.folder / name).glob(f".*{_HALF_WRITTEN}*")]
        beside = itertools.chain.from_iterable(map(half_written, own))
        return [*beside, *within, *_half_written_by_keras(self.folder / "models")]


def _half_written_by_keras(folder: Path) -> Iterator[Path]:
    """Yields files of weights that memory had no room for; folders are of models that are being read."""
    return (path for path in folder.glob("tmp*") if path.is_file())


def _stem(trial: int, fold: int, repeat: int) -> str:
    return f"trial-{trial}-fold-{fold}-repeat-{repeat}"


def move_aside(paths: RunPaths) -> RunPaths | None:
    """Renames a run's folder and JSON to NAME.1, NAME.2, ...; nothing is deleted.

    Returns:
        Where they are now; None where there was nothing to move.
    """
    if not (paths.folder.exists() or paths.json.exists()):
        return None
    number = 1
    while True:
        aside = RunPaths(paths.results, f"{paths.name}.{number}")
        if not (aside.folder.exists() or aside.json.exists()):
            break
        number += 1
    for before, after in ((paths.folder, aside.folder), (paths.json, aside.json)):
        if before.exists():
            before.rename(after)
    return aside
