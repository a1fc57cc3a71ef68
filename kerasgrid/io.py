"""Files: what kind each is, reading them within bounds, atomic writes, content hashes."""

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
import sys
import tempfile
import time
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from kerasgrid.errors import KerasgridError, StorageError
from kerasgrid.wording import shell_word

_Given = TypeVar("_Given")

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
NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
"""What the system says of a file system without locks."""
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_MOUNTS = Path("/proc/self/mountinfo")
_IN_USE = {5, 32, 33}
"""Windows's errors where another program has a file open: access denied, sharing and lock violations."""
_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.5)
UNPORTABLE = re.compile(r"[/\\\0-\x1f:*?\"<>|]")
"""Marks that names of files have on no system, or not on Windows."""
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
MOST_BESIDE = 1 << 26
"""Bytes that are read of a file which lies beside others."""
HALF_WRITTEN = ".tmp"
"""In the names of files that are not in place yet."""
_LONGEST_STEM = 40
"""Characters of a file's name in that of its half-written one, which has to be short enough too."""
_SESSION = secrets.token_hex(4)
_NUMBERS = itertools.count()
_WRITER = re.compile(rf"([0-9a-f]{{8}})-(\d{{1,9}})-([0-9a-f]{{8}})-\d+{re.escape(HALF_WRITTEN)}")
_SWEPT: set[Path] = set()
_KINDS = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)
_HEAD_BYTES = 1 << 14
_GRID = re.compile(
    r"^(data|model|space|params|search|augment|callbacks|stages|executor)[ \t]*:", re.MULTILINE
)
_JSON = (
    ("results", re.compile(r'^\s*\{.*?"schema"\s*:\s*"kerasgrid\.results/', re.DOTALL)),
    ("card", re.compile(r'^\s*\{.*?"schema"\s*:\s*"kerasgrid\.model/', re.DOTALL)),
    ("journal", re.compile(r'^\s*\{"format"\s*:\s*"kerasgrid\.journal/')),
    ("notebook", re.compile(r'^\s*\{.*?"(cells|nbformat)"\s*:', re.DOTALL)),
)
_MAGIC = (
    (b"\x89PNG\r\n", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"\x89HDF\r\n", "weights"),
    (b"\x93NUMPY", "arrays"),
    (b"\0\0\x08", "arrays"),
    (b"SQLite format 3\0", "database"),
    (b"%PDF", "document"),
)
_FUNCTION = re.compile(r"(?:(?:[A-Za-z]:)?[^:]+\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*")
_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_CALLED = {
    "grid": "a grid.yaml",
    "results": "a results file of kerasgrid",
    "card": "the card of a model",
    "journal": "the journal of a search",
    "run": "the folder of a search",
    "folder": "a folder",
    "table": "a table",
    "arrays": "a file of arrays",
    "model": "a model of Keras",
    "weights": "an HDF5 file",
    "notebook": "a notebook",
    "code": "a file of Python",
    "page": "a page",
    "picture": "a picture",
    "database": "an SQLite database",
    "document": "a document",
    "archive": "a ZIP archive",
    "function": "a model function",
    "dataset": "a built-in data set",
}
_NEEDED = {
    "grid": "a grid.yaml is needed here",
    "results": "a results file is needed here, results/NAME.json",
    "trials": "results are needed here",
    "rows": "a .csv is needed here: a submission, or a competition's sample",
    "data": "data is needed here: a .csv, an .npz, a folder of images, or the images of a pair of IDX files",
}


def canonical_json(value: Any) -> str:
    """Returns one text for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    """Returns the SHA-256 of a JSON value's canonical text, 64 hex digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def open_input(path: str | Path, most_bytes: int | None = None) -> io.BufferedReader:
    """Opens a file to be read that a user, or another file, names.

    Args:
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
    return insist(open, path, "rb")


def insist(call: Callable[..., _Given], *arguments: Any) -> _Given:
    """Calls what opens, renames or removes a file; again, for a second, where another program has it open.

    On Windows a file that a virus scanner or a reader has open can be neither replaced nor removed, and one
    that is being replaced not be opened.
    """
    for pause_s in _PAUSES_S:
        try:
            return call(*arguments)
        except PermissionError as error:
            if getattr(error, "winerror", None) not in _IN_USE:
                raise
        time.sleep(pause_s)
    return call(*arguments)


def is_link(path: str | Path) -> bool:
    """Tells whether a path is a link to elsewhere, as a junction of Windows is, too."""
    try:
        os.readlink(path)
    except (OSError, ValueError):
        return False
    return True


def windows_takes(name: str) -> str | None:
    """Returns as what else than a file's name Windows takes a text; None where it is one there, too."""
    if UNPORTABLE.search(name):
        return "a path or pattern"
    if _DEVICE.fullmatch(name):
        return "a device"
    return None if name == name.rstrip(". ") else "a name without dots or spaces at its end"


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


def overwrite(path: Path, data: bytes | memoryview) -> None:
    """Writes a file where it stands, which is not whole meanwhile: nothing goes to the trash of a drive.

    Raises:
        StorageError: The system refuses it, or the file is a link.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_LINK | getattr(os, "O_BINARY", 0)
        with open(os.open(path, flags, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def discard(*paths: Path) -> None:
    """Removes files where they are there; what the trash of a drive keeps of them is empty.

    One that has another name, as in a copy of hard links, keeps what it holds.
    """
    drives: dict[Path, bool] = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found = os.lstat(path)
            if found.st_nlink == 1 and not stat.S_ISLNK(found.st_mode):
                folder = path.parent
                if folder not in drives:
                    drives[folder] = is_drive(folder)
                if drives[folder]:
                    os.truncate(path, 0)
            remove(path)


def is_drive(folder: Path) -> bool:
    """Tells whether a folder lies on a drive that is mounted by a program, or has no locks.

    Google Drive in Colab is one: locks of other machines are not seen there, and what is removed, or replaced
    by a new file, goes to its trash, where it counts against the quota. A file that is written where it
    stands does not.
    """
    if sys.platform == "win32":
        return False
    import fcntl

    while not folder.is_dir():  # it is made where something is written
        folder = folder.parent
    if is_mounted_by_program(folder):
        return True
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    finally:
        os.close(descriptor)
    return False


def is_mounted_by_program(folder: Path) -> bool:
    """Tells whether a program (FUSE) is a folder's file system, whose locks others may not see."""
    if sys.platform == "win32":
        return False
    with contextlib.suppress(OSError):
        device = os.stat(folder).st_dev
        own = f"{os.major(device)}:{os.minor(device)}"
        for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
            mount, _, kind = line.partition(" - ")
            if mount.split()[2] == own:
                return kind.partition(" ")[0].partition(".")[0] == "fuse"
    return False


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Writes NumPy arrays to a compressed .npz file, whole or not at all.

    Raises:
        StorageError: The system refuses it.
        ValueError: One holds objects, which only pickle could read again.
    """
    import numpy as np

    if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise ValueError(f"{path}: {', '.join(objects)}: holds objects, and no array of them is written.")
    write_atomic(path, lambda file: np.savez_compressed(file, **arrays))


@contextlib.contextmanager
def replacing(path: Path, ending: str = "") -> Iterator[Path]:
    """Gives the name of a new file and renames it into place at the end: `path` is whole or untouched.

    Args:
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
            insist(os.replace, part, path)
        except BaseException:
            remove(part)
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
    return path.with_name(f".{path.name[:_LONGEST_STEM]}.{writer}{HALF_WRITTEN}{ending}")


def sweep(folder: Path) -> None:
    """Removes what processes of this machine that are dead have left half-written in a folder."""
    for path in folder.glob(f".*{HALF_WRITTEN}*"):
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
    name = re.compile(rf"\.{re.escape(path.name[:_LONGEST_STEM])}\.[^.]+{re.escape(HALF_WRITTEN)}(\.\w+)?")
    return [part for part in path.parent.glob(f".*{HALF_WRITTEN}*") if name.fullmatch(part.name)]


def remove(path: Path) -> None:
    """Removes a file or a folder; what has gone already, is another user's or in use is let be."""
    if path.is_dir() and not is_link(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            insist(os.unlink, path)


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
    data = _as_bytes(text)
    write_atomic(path, lambda file: file.write(data))


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def check_new(path: Path) -> None:
    """Raises a KerasgridError where a file that is to be written exists already."""
    if os.path.lexists(path):
        raise KerasgridError(
            f"{path} exists already, and is never overwritten. Give another file with -o FILE, or move it."
        )


def write_json(path: Path, value: Any) -> None:
    """Writes strict JSON (no NaN, no Infinity), whole or not at all."""
    data = json_bytes(value) + b"\n"
    write_atomic(path, lambda file: file.write(data))


def json_bytes(value: Any) -> bytes:
    """Returns a value as strict JSON."""
    return _as_bytes(_STRICT.encode(value))


_STRICT = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def strict(value: Any) -> Any:
    """Returns a JSON value with None in the place of NaN and infinity, and lists for tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        # A curve is nearly all that a fit's record holds.
        return [item if type(item) is float and math.isfinite(item) else strict(item) for item in value]
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
    """Returns the folder for caches: $KERASGRID_CACHE, else that of the user's folder for them."""
    chosen = os.environ.get("KERASGRID_CACHE")
    if chosen:
        return Path(chosen)
    of_windows = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else None
    of_system = Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return Path(os.environ.get("XDG_CACHE_HOME") or of_windows or of_system) / "kerasgrid"


@dataclass(frozen=True)
class FileKind:
    """What a file is.

    Attributes:
        name: One of those in `_CALLED`.
    """

    path: Path
    name: str

    def told(self, needed: str, forms: str = "") -> str:
        """Returns what it is, what is needed instead, and what takes it; it follows the file's name.

        Args:
            needed: One of those in `_NEEDED`.
            forms: More about what is needed.
        """
        parts = [f"is {_CALLED[self.name]}, and {_NEEDED[needed]}.", forms, self._way(needed)]
        return " ".join(filter(None, parts))

    def _way(self, needed: str) -> str | None:
        file, results = shell_word(self.path), self._results()
        match self.name:
            case "grid" if needed not in ("data", "rows") and results is not None:
                return f"What a search of it has found is in {results}."
            case "grid":
                return f"It is checked and searched by: kerasgrid check {file}, kerasgrid search {file}"
            case "results":
                return f"It is taken by: kerasgrid plot {file}, and report, suggest, fit, predict, submit."
            case "journal" | "run" if results is not None:
                return f"What it has found is in {results}."
            case "table" | "arrays" if needed == "grid":
                return f"One for it is written by: kerasgrid init {file}"
            case "table" | "arrays":
                own = "" if needed == "rows" else ", a submission to kerasgrid submit by -f FILE"
                return f"Samples are given to kerasgrid predict by --data FILE{own}."
            case "model" | "card" | "weights":
                return "A model of a search is asked by: kerasgrid predict results/NAME.json --data FILE"
            case "code":
                return f"A grid.yaml names a function in it: model: {self.path}:FUNCTION"
            case "function":
                return f"A grid.yaml names it: model: {self.path}"
            case "dataset" if needed != "data":
                way = f"One for it is written by: kerasgrid init {file}"
                return f"A grid.yaml names it: data: {{train: {self.path}}}. {way}"
        return None

    def _results(self) -> str | None:
        """Returns the results file that belongs to it, where that is there."""
        match self.name:
            case "grid":
                own = Path("results") / f"{self.path.stem}.json"
            case "run":
                own = Path(f"{os.path.abspath(self.path)}.json")
            case "journal":
                own = Path(f"{os.path.dirname(os.path.abspath(self.path))}.json")
            case _:
                return None
        return shell_word(os.path.relpath(own)) if own.is_file() else None


def kind_of(path: str | Path, *, takes: tuple[str, ...] = ()) -> FileKind | None:
    """Returns what a file or folder is; None where that is not known or may be taken.

    Of what is not there it tells a model function and the built-in data set, which have no file of that name.

    Args:
        takes: The kinds that are taken.
    """
    path = Path(path)
    name = _name(path)
    return None if name is None or name in takes else FileKind(path, name)


def _name(path: Path) -> str | None:
    if os.path.isdir(path):
        return "run" if os.path.isfile(path / "journal.jsonl") else "folder"
    if not os.path.lexists(path):
        is_function = _FUNCTION.fullmatch(str(path))
        return "function" if is_function else "dataset" if str(path) == "digits" else None
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError):  # who reads it tells why not
        return None
    name, suffix = path.name.lower(), path.suffix.lower()
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"PK"):  # the names of its first members stand there as they are
        is_model = b"metadata.json" in head or b"config.json" in head
        return "model" if is_model else "arrays" if b".npy" in head or suffix == ".npz" else "archive"
    text = head.decode("utf-8-sig", "replace")
    for kind, pattern in _JSON:
        if pattern.match(text):
            return kind
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        return "page"
    by_name = {".py": "code", ".ipynb": "notebook", ".yaml": "grid", ".yml": "grid"}
    if suffix in by_name:
        return by_name[suffix]
    if name.endswith(_TABLES):
        return "table"
    return "grid" if _GRID.search(text) and not text.lstrip().startswith(("{", "[")) else None
