"""Work on a machine that may not see the driver's files: what goes there with it, and what comes back.

A machine looks for each place by what is in it: for the run's folder by a mark that the driver has put there,
for code and samples by their content. What it sees is used where it is. The paths of what it does not see lie
below a folder of this process, otherwise as on the driver's machine.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from kerasgrid.data.cache import copied
from kerasgrid.data.keeping import WEIGHTS, mark_used
from kerasgrid.io import cache_folder, discard, remove, scratch_folder, write_atomic
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import FinalTask
from kerasgrid.machine import on_node
from kerasgrid.models.references import ModelReference, parse_reference, place
from kerasgrid.records import Context, FoldRecord
from kerasgrid.run.paths import RunPaths, turns_of

Pieces = Mapping[str, Sequence[Callable[[], Any]]]
"""The bytes of each of several files, in pieces that are fetched when they are called."""


@dataclass(frozen=True)
class File:
    """A file that goes along with a task.

    Attributes:
        path: On the driver's machine.
        changed_ns: When it was changed.
        content: Fetches its bytes.
    """

    path: Path
    changed_ns: int
    content: Callable[[], bytes]


@dataclass(frozen=True)
class Weights:
    """A file of trained weights that nets of a task begin with.

    Attributes:
        text: What `weights` names.
        name: The file's.
        digest: Of its content.
        content: Fetches its bytes; None as long as no worker has missed any.
    """

    text: str
    name: str
    digest: str
    content: Callable[[], bytes] | None = None


@dataclass(frozen=True)
class Code:
    """The user's own code that work needs.

    Attributes:
        files: What each file holds, by its path on the driver's machine.
        references: Where that is which texts of the recipe name.
        folders: From which modules are imported that functions given in Python come from.
    """

    files: Mapping[Path, bytes]
    references: Mapping[str, ModelReference]
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Work:
    """What is the same for all tasks.

    Attributes:
        function: By cloudpickle, with the recipe or None: what is called with it, a task and a context.
        code: That it needs.
        mark: A file in the run's folder, and what it holds.
        samples: The meta.json of the samples.
    """

    function: bytes
    code: Code
    mark: tuple[Path, bytes] | None = None
    samples: bytes = b""


@dataclass(frozen=True, eq=False)
class Sent:
    """A task as a worker is given it.

    Attributes:
        files: Of the run; None as long as no worker has missed any.
        pieces: Of the samples; likewise.
        weights: That are at hand where the driver is.
        downloads: Whether others may be downloaded, where the recipe says so.
    """

    task: Any
    files: Sequence[File] | None = None
    pieces: Pieces | None = None
    weights: Sequence[Weights] = ()
    downloads: bool = True


@dataclass(frozen=True)
class Missing:
    """What a worker does not see and was not given, so that it has not begun the task."""

    files: bool
    samples: bool
    weights: bool


@dataclass(frozen=True)
class Unloadable:
    """Why a worker cannot load the function."""

    reason: str


@dataclass(frozen=True)
class Begun:
    """A worker begins the task; `root` is below what the driver's paths lie there, which may be nothing."""

    root: str


@dataclass(frozen=True)
class Came:
    """A file of the run that a worker has written.

    Attributes:
        name: Its path from the run's folder.
        content: All of it; of a log what is new.
        is_log: Whether it goes behind what is there.
    """

    name: str
    content: bytes
    is_log: bool = False


def work(about: Work, sent: Sent, context: Context) -> None:
    """Does a task, and emits the files that it has written before what it emits after writing them."""
    code_root = None if all(_sees(*file) for file in about.code.files.items()) else _root()
    _lay_code(about.code, code_root)
    try:
        function, recipe = _loaded(about.function)
    except Exception as error:
        context.emit(Unloadable(f"{type(error).__name__}: {error}{on_node()}"))
        return
    if recipe is None:
        context.emit(Begun(str(code_root or "")))
        function(_reference(sent.task, code_root), context)
        return
    run_root = None if about.mark is None or _sees(*about.mark) else _root()
    samples = _samples(Path(recipe.data_folder), about.samples, recipe.source, sent.pieces)
    base = _below(code_root, Path(recipe.base))
    is_short = run_root is not None and sent.files is None
    lacks_weights = not _place_weights(sent.weights, base)
    if is_short or samples is None or lacks_weights:
        context.emit(Missing(is_short, samples is None, lacks_weights))
        return
    context.emit(Begun(str(code_root or run_root or "")))
    here = replace(
        recipe, data_folder=str(samples), base=str(base), downloads=recipe.downloads and sent.downloads
    )
    if isinstance(recipe.model, ModelReference):
        here = replace(here, model=_reference(recipe.model, code_root))
    for text, reference in about.code.references.items():
        place(text, Path(here.base), _reference(reference, code_root))
    if run_root is None:
        function(here, sent.task, context)
        return
    paths = RunPaths(_below(run_root, recipe.paths.results), recipe.paths.name)
    for file in sent.files or ():
        _lay(_below(run_root, file.path), file)
    with _carrying(paths, context) as carrying:
        function(replace(here, paths=paths), _task(sent.task, run_root), carrying)


def _sees(path: Path, content: bytes) -> bool:
    """Tells whether a file is there and holds the same."""
    try:
        return path.read_bytes() == content
    except OSError:
        return False


@functools.cache
def _root() -> Path:
    """Returns the folder of this process below which paths of the driver's machine lie; it ends with it."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return Path(os.path.realpath(stack.enter_context(scratch_folder())))


def _below(root: Path | None, path: Path) -> Path:
    """Returns where a path of the driver's machine lies; itself where that is seen."""
    if root is None:
        return path
    path = Path(os.path.normpath(path))
    return root / path.relative_to(path.anchor)


# Code


def _lay_code(code: Code, root: Path | None) -> None:
    if root is not None:
        for path, content in code.files.items():
            if not _sees(own := _below(root, path), content):
                write_atomic(own, partial(_write, content))
    for folder in map(str, (_below(root, folder) for folder in code.folders)):
        if folder not in sys.path:
            sys.path.append(folder)


def _write(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _reference(reference: ModelReference, root: Path | None) -> ModelReference:
    """Returns where a model function is here.

    Raises:
        ModelError: It is of a package that is not installed here.
    """
    if reference.folder is None:  # installed, which may be elsewhere
        return parse_reference(reference.text, reference.base)
    if root is None:
        return reference
    return replace(
        reference,
        file=reference.file and _below(root, Path(os.path.realpath(reference.file))),
        base=_below(root, reference.base),
        folder=_below(root, reference.folder),
        root=str(root),
    )


@functools.lru_cache(maxsize=4)
def _loaded(function: bytes) -> tuple[Callable[..., None], Recipe | None]:
    return pickle.loads(function)


# Samples


_there: dict[bytes, Path] = {}
"""Where samples have been found or put by this process, by their meta.json."""


def _samples(folder: Path, meta: bytes, source: str, pieces: Pieces | None) -> Path | None:
    """Returns a folder with the samples; None where they are not here and their pieces were not sent."""
    if not meta or _sees(folder / "meta.json", meta):
        return folder
    if meta not in _there or not _sees(_there[meta] / "meta.json", meta):
        found = copied(meta, source, pieces)
        if found is None:
            return None
        _there[meta] = found
    return _there[meta]


# Weights


def _place_weights(weights: Sequence[Weights], base: Path) -> bool:
    """Sees to it that files of weights are found here, and tells whether all are here.

    One with the same content is used where it is. Others go to where Keras keeps what it downloads, or to the
    cache.
    """
    if not weights:
        return True
    from kerasgrid.models.weights import IMAGENET, kept_by_keras, place  # and Keras

    for file in weights:
        of_keras = file.text == IMAGENET
        named = own = kept_by_keras(file.name) if of_keras else base / os.path.expanduser(file.text)
        is_here = _holds(named, file.digest)
        if not (is_here or of_keras):
            own = cache_folder() / WEIGHTS / file.digest / file.name
            is_here = own.is_file()  # whole, as it was renamed to there
        if not is_here:
            if file.content is None:
                return False
            write_atomic(own, partial(_write, file.content()))
        if own != named:
            mark_used(own.parent)
        place(named, own)
    return True


def _holds(path: Path, digest: str) -> bool:
    """Tells whether a file is there and its content has a digest."""
    from kerasgrid.models.weights import digest_of

    return path.is_file() and digest_of(path) == digest


# Files of the run


def _lay(path: Path, file: File) -> None:
    """Puts a file of the driver's in its place, unless one that was changed at the same time is there."""
    if not path.exists() or path.stat().st_mtime_ns != file.changed_ns:
        content = file.content()
        write_atomic(path, partial(_write, content))
        os.utime(path, ns=(file.changed_ns, file.changed_ns))


def _task(task: Any, root: Path) -> Any:
    """Returns a task with the files that it names where they are here."""
    if not isinstance(task, FinalTask):
        return task
    start = None if task.start is None else _below(root, task.start)
    return replace(task, file=_below(root, task.file), checkpoint=_below(root, task.checkpoint), start=start)


@contextlib.contextmanager
def _carrying(paths: RunPaths, context: Context) -> Iterator[_Carrying]:
    """Gives a context that has the files of a run carried to the driver, and removes them at the end."""
    carrying = _Carrying(paths, context)
    try:
        yield carrying
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        carrying.carry()
        for path in paths.folder.rglob("*"):
            if path.is_file() and path not in (paths.folds, paths.worker_log):
                remove(path)


class _Carrying:
    """A function's context that emits what is new in a run's folder before each payload."""

    def __init__(self, paths: RunPaths, context: Context) -> None:
        self._paths, self._context = paths, context
        self._known = self._forms()

    def emit(self, payload: Any) -> None:
        self.carry()
        self._context.emit(payload)
        if isinstance(payload, FoldRecord):  # as the driver does
            discard(*turns_of(self._paths.checkpoint(*payload.job)))

    def should_stop(self) -> bool:
        return self._context.should_stop()

    def carry(self) -> None:
        """Emits the files that are new or were changed; but for checkpoints and the log they go then."""
        known, self._known = self._known, self._forms()
        for path, form in self._known.items():
            if form == known.get(path):
                continue
            name, is_log = path.relative_to(self._paths.folder).as_posix(), path == self._paths.worker_log
            with open(path, "rb") as file:
                file.seek(_told_of_log.get(path, 0) if is_log else 0)
                content = file.read()
                if is_log:
                    _told_of_log[path] = file.tell()
            if content or not is_log:
                self._context.emit(Came(name, content, is_log))
            if not (is_log or path.parent.name == "checkpoints" or path.name.endswith(".checkpoint.npz")):
                remove(path)

    def _forms(self) -> dict[Path, tuple[int, int, int]]:
        """Returns of each file, half-written ones apart, what changes with it."""
        found = {}
        for path in self._paths.folder.rglob("*"):
            name = path.relative_to(self._paths.folder)
            # Those of kerasgrid's own begin with a dot, and Keras's with tmp.
            if not any(part.startswith((".", "tmp")) for part in name.parts) and path.is_file():
                status = path.stat()
                found[path] = status.st_ino, status.st_mtime_ns, status.st_size
        return found


_told_of_log: dict[Path, int] = {}
"""Bytes of this process's log that were carried."""
