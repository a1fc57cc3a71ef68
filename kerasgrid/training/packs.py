"""Training the jobs of a pack as one compiled program, as many side by side as a measured trial advises."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasgrid.config.augment import Augmentation
from kerasgrid.data.cache import map_samples, sample_digests
from kerasgrid.errors import ChangedError, StorageError, brief
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import Context, Dataset, Fold, Graph, Job, Pack, WidthRecord
from kerasgrid.seeds import graph_seed
from kerasgrid.training import backend
from kerasgrid.training.batches import Scaling
from kerasgrid.training.candidate import Candidate, seeded
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.feeding import PIECES, Feed, Schedule, Stored, room_bytes
from kerasgrid.training.frozen import WholeError
from kerasgrid.training.fusible import UnfusibleError
from kerasgrid.training.graph import lift
from kerasgrid.training.member import Member
from kerasgrid.training.program import Program
from kerasgrid.training.rest import Rest, compiled_of, forget_latest
from kerasgrid.training.scoring import failure, is_out_of_memory
from kerasgrid.training.wave import Wave

PROGRAMS = 4
"""Compiled programs that a worker keeps."""
_programs: dict[tuple, tuple[Program, Compiled]] = {}
_on_device: dict[str, tuple[tuple, Any]] = {}
"""Samples that lie on the device, by what they are, each with what it was made of."""
_too_large: set[tuple] = set()
"""Samples, by what they are, that fit, but left too little room for a net: they are fed in pieces."""
_fitting: dict[str, int] = {}
"""By graph, the runs that fit into memory side by side, where more of them did not."""
LARGE = 4
"""Samples that take one part in so many of their room are in its way, where a net does not fit."""
GAIN = 1.05
"""A wider program has to do so much more in the same time to be taken."""
TRIAL_S = 0.5
"""Seconds of steps that each width is timed for, compiling not counted."""


class FallBackError(Exception):
    """Runs that no program trains after all; they take Keras's own fit.

    Attributes:
        runs: The jobs of each.
        reason: Why.
        of_memory: Whether for want of memory, so that others may do.
    """

    def __init__(self, runs: Sequence[tuple[Job, ...]], reason: str, of_memory: bool) -> None:
        self.runs, self.reason, self.of_memory = list(runs), reason, of_memory
        super().__init__(
            f"{runs[0][0].trial.params}: no program can train it ({reason}); Keras's own fit does."
        )


class StoppedError(Exception):
    """A wave was asked to stop before it began."""


def graph_of(candidate: Candidate, compiled: Compiled) -> Graph:
    """Returns what a candidate's graph is of the model, with the reason where no program can train it."""
    if compiled.val is not None or not compiled.shuffles:
        what = "holds rows back" if compiled.shuffles else "does not shuffle"
        return Graph(None, f"a fit of the model function's own {what}")
    try:
        return lift(compiled, candidate.sample(compiled), candidate.data.inputs).told(compiled.labels)
    except UnfusibleError as error:
        return Graph(None, str(error))


def pieces_of(candidate: Candidate, room: int | None = None) -> tuple[int, int] | None:
    """Returns the bytes of a candidate's samples and of the pieces they are fed in; None where all fit.

    Args:
        candidate: The candidate.
        room: Bytes that there are for samples; None to ask for them.
    """
    n_bytes, room = _stored(candidate).n_bytes, room_bytes() if room is None else room
    return None if n_bytes <= room else (n_bytes, _piece_bytes(n_bytes, room))


def _piece_bytes(n_bytes: int, room: int) -> int:
    """Returns the bytes of a piece; of samples that fit, but not beside their net, an eighth of theirs."""
    return (room if n_bytes > room else n_bytes // 2) // PIECES


def train(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Trains a pack's jobs; emits epochs, checkpoints and one FoldRecord a job.

    Where it is asked to stop, the jobs under way emit a StopRecord each, and the others nothing.

    Raises:
        StorageError, ChangedError: As `train_pack` of kerasgrid.training.job.
        FallBackError: Names the runs that no program could train; the others have ended or were stopped.
    """
    forget_latest()
    waves = pack.waves
    fallen: list[FallBackError] = []
    has_trained = False
    while waves and not context.should_stop():
        wave, waves = waves[0], waves[1:]
        try:
            _train_wave(recipe, pack, wave, context)
            has_trained = True
        except StoppedError:
            return
        except FallBackError as error:
            fallen.append(error)
            if not (error.of_memory or has_trained):  # the others' program is the same
                fallen += [FallBackError(runs, error.reason, False) for runs in waves]
                break
    _raise(fallen)


def _raise(fallen: Sequence[FallBackError]) -> None:
    if fallen:
        runs = [run for error in fallen for run in error.runs]
        raise FallBackError(runs, fallen[0].reason, all(error.of_memory for error in fallen))


def _train_wave(
    recipe: Recipe, pack: Pack, runs: list[tuple[Job, ...]], context: Context, *, is_part: bool = False
) -> None:
    """Trains runs side by side; where they do not fit into memory, half at a time.

    Samples that took much of it are fed in pieces before. After any other error that comes in the middle,
    each is tried by itself, from the checkpoint. `is_part` tells that they are some of those that were to be
    side by side.
    """
    width = min(_fitting.get(pack.key, len(runs)), len(runs))
    if width < len(runs):
        _train_parts(recipe, pack, [runs[at : at + width] for at in range(0, len(runs), width)], context)
        return
    problem = _try_wave(recipe, pack, runs, context, len(runs) if is_part else None)
    if problem is None:
        return
    error, left = problem.error, problem.left
    if is_out_of_memory(error) and _gives_way(recipe, left[0][-1], pack.outputs):
        _train_wave(recipe, pack, left, context, is_part=is_part)
    elif is_out_of_memory(error) and len(left) > 1:
        forget()
        _fitting[pack.key] = -(-len(left) // 2)
        _train_wave(recipe, pack, left, context, is_part=True)
    elif is_out_of_memory(error) or not problem.has_measured:
        forget()
        raise FallBackError(left, brief(error), is_out_of_memory(error))
    elif len(left) > 1:
        _train_parts(recipe, pack, [[run] for run in left], context)
    else:
        for job in left[0]:
            context.emit(failure(recipe, job, error))


def _train_parts(
    recipe: Recipe, pack: Pack, parts: Sequence[list[tuple[Job, ...]]], context: Context
) -> None:
    fallen = []
    for part in parts:
        try:
            if not context.should_stop():
                _train_wave(recipe, pack, part, context, is_part=True)
        except FallBackError as error:
            fallen.append(error)
    _raise(fallen)


@dataclass(frozen=True)
class _Problem:
    """What ended a wave: the error, the runs that are left, and whether one of its epochs was measured."""

    error: Exception
    left: list[tuple[Job, ...]]
    has_measured: bool


def _try_wave(
    recipe: Recipe, pack: Pack, runs: list[tuple[Job, ...]], context: Context, most: int | None
) -> _Problem | None:
    wave = None
    try:
        wave = make_wave(recipe, pack, runs, context)
        wave.most = most
        wave.run()
        return None
    except (StorageError, ChangedError, StoppedError):
        raise
    except Exception as error:
        # Its frames hold the program and all that is on the device.
        error.__traceback__ = error.__context__ = error.__cause__ = None
        failed = error
    ended = set() if wave is None else wave.ended
    left = [kept for run in runs if (kept := tuple(job for job in run if job.id not in ended))]
    return _Problem(failed, left, wave is not None and wave.has_measured)


def _gives_way(recipe: Recipe, job: Job, outputs: str | None) -> bool:
    """Lets the samples that are on the device be fed in pieces from here on.

    Args:
        outputs: The key of a frozen part's that these are; None for others.

    Returns:
        Whether they will be: not where they are already, or took little.
    """
    contents = sample_digests(Path(recipe.data_folder))
    candidate = Candidate.of(recipe, job.trial.params, _dataset(recipe.data_folder, recipe.source, contents))
    if outputs is not None:
        candidate = candidate.on_outputs(_outputs[outputs], outputs)
    if _is_fed(candidate, contents):
        return False
    forget()
    if _stored(candidate).n_bytes * LARGE < room_bytes():
        return False
    _too_large.add(_identity(candidate, contents))
    return True


def forget() -> bool:
    """Gives back what programs and data take in memory, and tells whether there were any."""
    were_any = bool(_programs or _on_device)
    _programs.clear()
    _on_device.clear()
    gc.collect()
    return were_any


def make_wave(recipe: Recipe, pack: Pack, runs: list[tuple[Job, ...]], context: Context) -> Wave:
    """Returns some runs of a pack, ready to be trained side by side.

    Raises:
        WholeError: What their frozen part gives is not what the plan knows of.
        StoppedError: It was asked to stop while that was completed.
    """
    data = _dataset(recipe.data_folder, recipe.source, sample_digests(Path(recipe.data_folder)))
    candidates = [[Candidate.of(recipe, job.trial.params, data) for job in run] for run in runs]
    if pack.outputs is not None:
        outputs = _on_outputs(candidates[0][0], pack.outputs, context)
        candidates = [[one.on_outputs(outputs, pack.outputs) for one in own] for own in candidates]
    first = candidates[0][0]
    program, compiled = _program(first, pack.key)
    members = []
    for run, own in zip(runs, candidates, strict=True):
        candidate, fold = own[-1], first.folds[run[-1].fold]
        rows, val = candidate.rows(fold)
        members.append(
            Member(
                jobs=run,
                candidates=tuple(own),
                graph=pack.graph(run[-1]),
                callbacks=candidate.callbacks(compiled, rows),
                scaling=_scaling(candidate.learnt(fold).center),
                blocks=_blocks(candidate, fold),
                class_weight=np.asarray(
                    list((candidate.class_weight(rows) or {}).values()), dtype=keras.config.floatx()
                ),
                train=rows,
                val=val,
                test=fold.test,
                views=(len(data), candidate.n_views),
            )
        )
    return Wave(
        recipe=recipe,
        program=program,
        compiled=compiled,
        members=members,
        context=context,
        owner=recipe.owner(pack.key, first.route),
        until=pack.until,
    )


def _program(candidate: Candidate, graph: str) -> tuple[Program, Compiled]:
    """Returns the program of a graph on some data, compiled once in this process.

    Searches on the same data whose epochs have the same steps share it, whichever folder they run in; but not
    where parts of it are the user's own, which may have been defined anew since.
    """
    recipe, contents = candidate.recipe, sample_digests(Path(candidate.recipe.data_folder))
    sizes = [candidate.n_rows(fold) for fold in candidate.folds]
    schedule = Schedule.of(sizes, candidate.route.batch_size)
    shared = (graph, schedule, contents, recipe.target, recipe.scale, _is_fed(candidate, contents))
    own = (*shared, *_folds_of(candidate))
    has_blocks = any(_in_blocks(candidate))
    for where in (own,) if has_blocks else (shared, own):
        if where in _programs:
            return _programs[where]
    while len(_programs) >= PROGRAMS:
        del _programs[next(iter(_programs))]
        gc.collect()  # a program and its traces refer to each other
    program, compiled = _make_program(candidate, schedule, contents)
    where = own if has_blocks or program.lifted.has_own_parts else shared
    _programs[where] = program, compiled
    return _programs[where]


def _make_program(
    candidate: Candidate, schedule: Schedule, contents: tuple[str, ...]
) -> tuple[Program, Compiled]:
    keras.backend.clear_session()  # names count up in a process, and callbacks and objectives look for names
    recipe, route = candidate.recipe, candidate.route
    with seeded(graph_seed(recipe.seed)):
        compiled = compiled_of(candidate)
        lifted = lift(compiled, candidate.sample(compiled), candidate.data.inputs)
    images, divisor = _images_of(candidate, contents)
    targets, counts = _targets_on_device(candidate, contents, compiled)
    made = Program(
        lifted,
        schedule,
        images,
        targets,
        Augmentation.of(route.augment, candidate.data.images, recipe.scale),
        divisor=divisor,
        counts=counts,
        jit=route.training.jit is True,
        halts="terminate_on_nan" in route.callbacks,
    )
    return made, compiled


_outputs: dict[str, Dataset] = {}
"""Samples of the last rest of a net, by the key of its frozen part's outputs."""


def _on_outputs(candidate: Candidate, key: str, context: Context) -> Dataset:
    """Returns the samples of the rest of a candidate's net, which are completed."""
    if key not in _outputs:
        with seeded(graph_seed(candidate.recipe.seed)):
            rest = Rest.of(candidate, candidate.compile())
            if rest.outputs.key != key:
                raise WholeError("what its frozen part gives is not the same in each fit")
            if not rest.complete(context):
                raise StoppedError
        _outputs.clear()
        _outputs[key] = rest.candidate.data
    return _outputs[key]


@lru_cache(maxsize=1)
def _dataset(folder: str, source: str, _digests: tuple[str, ...]) -> Dataset:
    """Returns the samples of a folder, opened once for all waves."""
    return map_samples(Path(folder), source)


def _images_of(candidate: Candidate, contents: tuple[str, ...]) -> tuple[Any, float | None]:
    """Returns the images on the device, or what feeds programs with pieces of them where there is no room.

    And what a step divides those that it takes by.
    """
    stored, is_fed = _stored(candidate), _is_fed(candidate, contents)

    def make() -> Any:
        if not is_fed:
            return stored.on_device()
        return Feed(stored, _piece_bytes(stored.n_bytes, room_bytes()))

    divisor = candidate.recipe.scale if _are_bytes(candidate) else None
    return _kept_on_device("images", _identity(candidate, contents), make), divisor


def _is_fed(candidate: Candidate, contents: tuple[str, ...]) -> bool:
    """Tells whether programs are fed with pieces of the images; once they are, or are not, that stays so."""
    kept, found = _on_device.get("images", (None, None))
    if kept == (own := _identity(candidate, contents)):
        return isinstance(found, Feed)
    return own in _too_large or _stored(candidate).n_bytes > room_bytes()


def _identity(candidate: Candidate, contents: tuple[str, ...]) -> tuple[Any, ...]:
    """Returns what images are, as programs take them."""
    if candidate.outputs is not None:
        return (candidate.outputs,)
    if candidate.data.table is not None:
        return contents[-1], candidate.recipe.takes_codes, *_folds_of(candidate)
    return contents[0], candidate.recipe.scale


def _stored(candidate: Candidate) -> Stored:
    """Returns the samples as programs take them: of a table a block of all rows for each fold."""
    data, floatx = candidate.data, np.dtype(keras.config.floatx())
    if data.table is not None:
        encoded = [partial(_encoded, candidate, fold) for fold in candidate.folds]
        return Stored(data.images, candidate.input_shape, floatx, encoded)
    shape = data.images.shape[1:]
    if _are_bytes(candidate):
        return Stored(data.images, shape, data.images.dtype)
    return Stored(data.images, shape, floatx, [Scaling(candidate.recipe.scale)])


def _encoded(candidate: Candidate, fold: Fold, rows: np.ndarray) -> np.ndarray:
    """Returns rows of a table, as they are stored, as a fold has learnt to."""
    encoder = candidate.learnt(fold).encoder
    assert encoder is not None
    return encoder(rows)


def _are_bytes(candidate: Candidate) -> bool:
    """Tells whether programs take images as they are stored."""
    images = candidate.data.images
    return images.dtype == np.uint8 and backend.takes_bytes(images[0].size)


def _targets_on_device(
    candidate: Candidate, contents: tuple[str, ...], compiled: Compiled
) -> tuple[Any, Any | None]:
    """Returns the targets on the device, in a block a fold where they are scaled, and what each counts."""
    data, scale = candidate.data, candidate.recipe.target_scale

    def make() -> tuple[Any, Any | None]:
        each = [None] if scale is None else [candidate.learnt(fold) for fold in candidate.folds]
        targets = np.concatenate([candidate.targets(compiled, data.labels, learnt) for learnt in each])
        counts = data.weights
        if counts is not None:
            counts = backend.to_device(np.tile(counts, len(each)).astype(keras.config.floatx()))
        return backend.to_device(targets), counts

    folds = () if scale is None else (scale, *_folds_of(candidate))
    form = compiled.labels, compiled.n_outputs, compiled.target
    return _kept_on_device(f"targets, {compiled.labels}", (*contents[1:], *form, *folds), make)


def _kept_on_device(what: str, of: tuple, make: Callable[[], Any]) -> Any:
    """Returns what lies on the device of a kind, made anew where that is of something else."""
    if what not in _on_device or _on_device[what][0] != of:
        _on_device.pop(what, None)
        _on_device[what] = of, make()
    return _on_device[what][1]


def _folds_of(candidate: Candidate) -> tuple[str, int]:
    """Returns what tells whether folds are the same: their file, and when it was written."""
    folds = candidate.recipe.paths.folds
    return str(folds), folds.stat().st_mtime_ns


def _blocks(candidate: Candidate, fold: Fold) -> np.ndarray:
    """Returns (2,), where a fold's images and targets begin on the device."""
    first = fold.index * len(candidate.data)
    return np.array([first if own else 0 for own in _in_blocks(candidate)])


def _in_blocks(candidate: Candidate) -> tuple[bool, bool]:
    """Tells of images and of targets whether each fold has a block of its own of all of them."""
    return candidate.data.table is not None, candidate.recipe.target_scale is not None


def _scaling(center: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
    """Returns (2, channel): what is subtracted of the prepared images and what they are divided by."""
    if center is None:
        return np.zeros((2, 0), dtype=keras.config.floatx())
    return np.stack(center).astype(keras.config.floatx())


def measure(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Times widths 1, 2, 4, ... on a pack's first runs, while a wider one pays; emits a WidthRecord.

    The width is at most the number of runs. One that does not fit into memory ends the trial.
    """
    seconds: dict[int, float] = {}
    for width in _widths(len(pack.runs)):
        try:
            seconds[width] = _seconds_of(recipe, pack, width, context)
        except Exception as error:
            if not seconds or not is_out_of_memory(error):
                raise
            break
        if len(seconds) > 1 and seconds[width] * GAIN > min(s for w, s in seconds.items() if w != width):
            break
    best = min(seconds, key=lambda width: (seconds[width], width))
    if seconds[best] * GAIN > seconds[1]:
        best = 1
    context.emit(WidthRecord(pack.key, best, seconds))


def _seconds_of(recipe: Recipe, pack: Pack, width: int, context: Context) -> float:
    """Returns what `_seconds` does, of a single run that does not fit with its samples fed in pieces."""
    try:
        return _seconds(recipe, pack, width, context)
    except Exception as error:
        if width > 1 or not is_out_of_memory(error):
            raise
        error.__traceback__ = None  # as in `_try_wave`
        failed = error
    if not _gives_way(recipe, pack.runs[0][-1], pack.outputs):
        raise failed
    return _seconds(recipe, pack, width, context)


def _widths(most: int) -> Iterable[int]:
    width = 1
    while width <= most:
        yield width
        width *= 2


def _seconds(recipe: Recipe, pack: Pack, width: int, context: Context) -> float:
    """Returns the seconds that a step takes, divided over the runs; the least of several times."""
    runs = pack.runs[:width]
    times: list[float] = []
    with make_wave(recipe, pack, runs, context).stepper(8) as step:
        step()  # all that is compiled for them
        began = time.perf_counter()
        while not times or time.perf_counter() - began < TRIAL_S:
            started = time.perf_counter()
            n = step()
            times.append((time.perf_counter() - started) / n)
    return float(np.min(times)) / width
