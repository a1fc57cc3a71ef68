"""Workers that may not see the driver's files: what they miss is sent, and what they write comes back.

`Away(executor)` is an executor, too. Nothing is sent along until a worker has missed it.
"""

from __future__ import annotations

import json
import os
import pickletools
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import cloudpickle
import numpy as np

from kerasgrid.data.cache import pieces_of
from kerasgrid.errors import RunError
from kerasgrid.executors import Drawn, Emitted, Event, Executor, Layout, Raised, Started
from kerasgrid.io import (
    ARRAY_DAMAGE,
    discard,
    file_digest,
    half_written_name,
    open_input,
    remove,
    storage_errors,
    write_atomic,
)
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import FinalTask
from kerasgrid.models.references import ModelReference, own_module, parse_reference, sources_of
from kerasgrid.records import Context, Doing, FoldRecord, NoteRecord, Pack, ProbeRecord, WeightsFile
from kerasgrid.run.paths import RunPaths, is_weights, turns_of
from kerasgrid.training.away import (
    Begun,
    Came,
    Code,
    File,
    Missing,
    Pieces,
    Sent,
    Unloadable,
    Weights,
    Work,
    work,
)
from kerasgrid.training.entry import inspect_function


class Away(Executor):
    """Runs what a search asks for by an executor whose workers may be on machines that do not see its files.

    To whoever runs it, it is as if they did: a file that a worker has written is in its place before the
    event comes that follows it. What is no part of a search is passed on as it is.
    """

    def __init__(self, inner: Executor) -> None:
        """Takes an executor, whose attributes it has as well, and closes it at the end."""
        self.inner = inner
        self._misses_files = self._misses_samples = self._misses_weights = False
        self._of_keras: dict[str, Path] = {}
        self._weights: dict[Path, tuple[int, str]] = {}
        self._contents: dict[str, Callable[[], bytes]] = {}
        self._marks: dict[Path, tuple[Path, bytes]] = {}
        self._pieces: dict[str, Pieces] = {}
        self._kept: dict[Path, File] = {}
        self._known: dict[Path, tuple[int, tuple[str, ...]]] = {}

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # before it has one
            raise AttributeError(name)
        return getattr(self.inner, name)

    @property
    def tell(self) -> Doing:
        """Is told, in a sentence, what the inner executor waits for."""
        return self.inner.tell

    @tell.setter
    def tell(self, told: Doing) -> None:
        self.inner.tell = told

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self.inner.is_stopping

    def start(self) -> None:
        """Begins to make all workers ready."""
        self.inner.start()

    def stop(self) -> None:
        """Asks the running tasks to stop soon and starts no more."""
        self.inner.stop()

    def share(self, value: Any) -> Callable[[], Any]:
        """Returns what gives a value where a worker calls it."""
        return self.inner.share(value)

    def device_kinds(self) -> list[str]:
        """Returns the kind of the device of each worker."""
        return self.inner.device_kinds()

    def layout(self) -> Layout | None:
        """Returns on which machines workers are."""
        return self.inner.layout()

    def close(self) -> None:
        """Ends the workers and what they run."""
        self.inner.close()
        for path, _ in self._marks.values():
            remove(path)
        self._marks.clear()

    def run(self, function: Callable[[Any, Context], None], tasks: Iterable[Any]) -> Iterator[Event]:
        """Yields the tasks' events; see Executor.run.

        Raises:
            ModelError: Code that the search names cannot be read.
            StorageError: What a worker has written cannot be written here.
        """
        if function is inspect_function:
            tasks = list(tasks)
            code = _code_of({str(place): one for place, one in enumerate(tasks)}, {})
            return self._run(Work(_pickled(function, None), replace(code, references={})), None, tasks)
        if isinstance(function, partial) and function.args and isinstance(function.args[0], Recipe):
            recipe: Recipe = function.args[0]
            pickled = _pickled(function.func, recipe)
            folder = Path(recipe.data_folder)
            meta = (folder / "meta.json").read_bytes() if recipe.data_folder else b""
            about = Work(pickled, _code(recipe, pickled), self._mark(recipe.paths), meta)
            return self._run(about, recipe, tasks)
        return self.inner.run(function, tasks)

    def _run(self, about: Work, recipe: Recipe | None, tasks: Iterable[Any]) -> Iterator[Event]:
        waiting, again, tasks = dict[Sent, Event](), deque[tuple[Any, bool]](), iter(tasks)
        roots: dict[Sent, str] = {}

        def draw() -> Sent:
            # What a probe would have to download is sent, if it is at hand here.
            task, downloads = again.popleft() if again else (task := next(tasks), not _is_probe(task))
            return self._sent(recipe, task, downloads)

        while True:
            for event in self.inner.run(partial(work, about), Drawn(draw)):
                own, task = event.task, event.task.task
                payload = event.payload if isinstance(event, Emitted) else None
                if isinstance(event, Started):
                    waiting[own] = Started(task, event.worker)
                elif isinstance(payload, Missing):
                    self._misses_files |= payload.files
                    self._misses_samples |= payload.samples
                    self._misses_weights |= payload.weights
                    del waiting[own]
                    again.append((task, own.downloads))
                elif isinstance(payload, Unloadable):
                    raise RunError(
                        f"A worker cannot load what it is to run: {payload.reason}. Install what is missing "
                        "on its machine, as it is on this one."
                    )
                elif isinstance(payload, Begun):
                    roots[own], started = payload.root, waiting.pop(own)
                    if not (own.downloads and _is_probe(task)):  # which has begun before
                        yield started
                elif isinstance(payload, Came):
                    assert recipe is not None
                    _write(recipe.paths, payload)
                elif self._has_to_download(recipe, own, payload):
                    del roots[own]
                    again.append((task, True))
                elif own in roots or own in waiting:
                    if own in waiting:  # it has ended before it could begin
                        yield waiting.pop(own)
                    yield self._with_own_weights(_told_here(replace(event, task=task), roots.get(own, "")))
                    if payload is None:
                        roots.pop(own, None)
            if not again or self.is_stopping:
                return

    # What goes there

    def _mark(self, paths: RunPaths) -> tuple[Path, bytes]:
        """Returns a file in a run's folder that is there as long as this is open, and what it holds."""
        path, content = self._marks.get(paths.folder, (None, b""))
        if path is None or not path.exists():
            path, content = half_written_name(paths.folder / "seen"), secrets.token_bytes(16)
            with storage_errors(path):
                path.write_bytes(content)
            self._marks[paths.folder] = path, content
        return path, content

    def _sent(self, recipe: Recipe | None, task: Any, downloads: bool) -> Sent:
        """Returns a task with what workers have missed before."""
        if recipe is None:
            return Sent(task)
        files = [self._file(path) for path in self._files(recipe, task)] if self._misses_files else None
        pieces = self._shared_pieces(recipe.data_folder) if self._misses_samples else None
        weights = [self._shared_weights(text, path) for path, text in self._weights_of(recipe, task).items()]
        return Sent(task, files, pieces, weights, downloads)

    def _weights_of(self, recipe: Recipe, task: Any) -> dict[Path, str]:
        """Returns the files of weights here that a task's nets begin with, and what names each."""
        found = {}
        for params in _params_of(task):
            given = {**recipe.params, **params}
            text = given.get("weights")
            if not isinstance(text, str):
                continue
            path = self._of_keras.get(f"imagenet of {given.get('backbone')}")
            if text != "imagenet":
                path = Path(recipe.base, os.path.expanduser(text))
            if path is not None and path.is_file():
                found[path] = text
        return found

    def _shared_weights(self, text: str, path: Path) -> Weights:
        digest = self._digest(path)
        if self._misses_weights and digest not in self._contents:
            self._contents[digest] = self.share(path.read_bytes())
        return Weights(text, path.name, digest, self._contents.get(digest))

    def _digest(self, path: Path) -> str:
        changed_ns = path.stat().st_mtime_ns
        known = self._weights.get(path)
        if known is None or known[0] != changed_ns:
            known = self._weights[path] = changed_ns, file_digest(path)
        return known[1]

    def _has_to_download(self, recipe: Recipe | None, sent: Sent, payload: Any) -> bool:
        """Tells whether a probe is done again, to download weights that are not at hand here either."""
        if recipe is None or not recipe.downloads or sent.downloads or not isinstance(payload, ProbeRecord):
            return False
        return any(one.digest is None and _by_keras(one) is None for one in payload.weights)

    def _with_own_weights(self, event: Event) -> Event:
        """Returns an event whose weights are told as at hand, where they are here and so will be sent."""
        if not isinstance(event, Emitted) or not isinstance(event.payload, ProbeRecord):
            return event
        weights = []
        for one in event.payload.weights:
            path = _by_keras(one)
            if path is not None:
                self._of_keras[one.name] = path
                one = replace(one, n_bytes=path.stat().st_size, digest=one.digest or self._digest(path))
            weights.append(one)
        return replace(event, payload=replace(event.payload, weights=tuple(weights)))

    def _shared_pieces(self, folder: str) -> Pieces:
        if folder not in self._pieces:
            found = pieces_of(Path(folder))
            self._pieces[folder] = {name: list(map(self.share, parts)) for name, parts in found.items()}
        return self._pieces[folder]

    def _file(self, path: Path) -> File:
        """Returns a file as it goes along; the rows of the folds, which all tasks need, are shared once."""
        changed_ns = path.stat().st_mtime_ns
        kept = self._kept.get(path)
        if kept is not None and kept.changed_ns == changed_ns:
            return kept
        found = File(path, changed_ns, self.share(path.read_bytes()))
        if path.name == "folds.npz":
            self._kept[path] = found
        return found

    def _files(self, recipe: Recipe, task: Any) -> list[Path]:
        """Returns the files of a run that a task needs."""
        found = [recipe.paths.folds]
        if isinstance(task, Pack):
            found += self._checkpoints(recipe.paths, task)
        elif isinstance(task, FinalTask):
            found += [*turns_of(task.checkpoint), *([] if task.start is None else [task.start])]
        return [path for path in found if path.exists()]

    def _checkpoints(self, paths: RunPaths, pack: Pack) -> list[Path]:
        """Returns the checkpoints that hold runs of a pack, which may bear the names of other jobs."""
        own = {turn for job in pack.jobs for turn in turns_of(paths.checkpoint(*job.id))}
        runs = {f"{job.trial.key} {job.fold} {job.repeat}" for job in pack.jobs}
        there, known = paths.checkpoints, self._known
        self._known = {path: _runs_in(path, known.get(path)) for path in there}
        return [path for path in there if path in own or not runs.isdisjoint(self._known[path][1])]


def _is_probe(task: Any) -> bool:
    """Tells whether a task is a candidate's params, whose model is built and not trained."""
    return isinstance(task, Mapping)


def _params_of(task: Any) -> list[Mapping[str, Any]]:
    """Returns the params of the candidates of a task."""
    if isinstance(task, Pack):
        return [job.trial.params for job in task.jobs]
    return [task.job.trial.params] if isinstance(task, FinalTask) else [task] if _is_probe(task) else []


def _by_keras(file: WeightsFile) -> Path | None:
    """Returns where Keras keeps a file of its own on this machine; None for others, and where it is not."""
    if file.url is None:
        return None
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
    path = home / "models" / PurePath(file.path).name
    return path if path.is_file() else None


def _runs_in(path: Path, known: tuple[int, tuple[str, ...]] | None) -> tuple[int, tuple[str, ...]]:
    """Returns when a checkpoint was changed, and which runs it holds, but for their epochs."""
    changed_ns = path.stat().st_mtime_ns
    if known is not None and known[0] == changed_ns:
        return known
    try:
        with open_input(path) as opened, np.load(opened, allow_pickle=False) as file:
            runs = json.loads(file["about"].tobytes()).get("runs", ())
            return changed_ns, tuple(run["run"].rpartition(" ")[0] for run in runs)
    except (*ARRAY_DAMAGE, AttributeError):  # the worker that reads it begins anew
        return changed_ns, ()


def _pickled(function: Callable[..., Any], recipe: Recipe | None) -> bytes:
    try:
        return cloudpickle.dumps((function, recipe))
    except Exception as error:
        raise RunError(
            f"What workers need to know of the search cannot be sent to them: {error}. Let the functions "
            "that are given in Python hold what can be pickled, or use the executor inline."
        ) from error


def _code(recipe: Recipe, pickled: bytes) -> Code:
    """Returns the user's own code that a recipe names, and that of modules which its functions come from."""
    base = Path(recipe.base)
    named = {name: parse_reference(name, base) for name in recipe.sources if name not in recipe.scorers}
    model = {"": recipe.model} if isinstance(recipe.model, ModelReference) else {}
    texts = {argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)}
    modules = {
        text: module
        for text in sorted(texts)
        if text.partition(".")[0] != "kerasgrid" and (module := own_module(text, base)) is not None
    }
    code = _code_of({**named, **model, **modules}, modules)
    return replace(code, references={name: one for name, one in named.items() if one.folder is not None})


def _code_of(references: Mapping[str, ModelReference], modules: Mapping[str, ModelReference]) -> Code:
    files: dict[Path, bytes] = {}
    for reference in references.values():
        if reference.folder is None or reference.file is None:
            continue
        for source in sources_of(reference).values():
            files[source.path] = source.content
            for folder in source.path.parents:
                if not folder.is_relative_to(reference.home.folder) or folder == reference.home.folder:
                    break
                if (init := folder / "__init__.py").is_file() and init not in files:
                    files[init] = init.read_bytes()
    folders = {one.folder for one in modules.values() if one.folder is not None}
    return Code(files, references, tuple(sorted(folders)))


# What comes back


def _write(paths: RunPaths, came: Came) -> None:
    path = paths.folder / came.name
    if came.is_log:
        with storage_errors(path), open(path, "ab") as log:
            log.write(came.content)
        return
    write_atomic(path, lambda file: file.write(came.content))
    # A worker leaves one form of a model, and one turn of a checkpoint.
    others = RunPaths.forms(path) if path.suffix == ".keras" or is_weights(path) else turns_of(path)
    discard(*(other for other in others if other != path))


def _told_here(event: Event, root: str) -> Event:
    """Returns an event whose texts name paths as they are on this machine."""

    def here(text: str) -> str:
        return text.replace(root, "")

    if isinstance(event, Raised):
        return replace(event, message=here(event.message), traceback=here(event.traceback))
    payload = event.payload if isinstance(event, Emitted) else None
    if isinstance(payload, NoteRecord):
        return Emitted(event.task, replace(payload, text=here(payload.text)))
    if isinstance(payload, FoldRecord | ProbeRecord) and payload.error is not None:
        error = {key: here(text) for key, text in payload.error.items()}
        return Emitted(event.task, replace(payload, error=error))
    return event
