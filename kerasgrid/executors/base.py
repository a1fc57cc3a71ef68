"""What an executor is: it calls a function on tasks somewhere and tells what happens."""

from __future__ import annotations

import abc
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from kerasgrid import machine
from kerasgrid.errors import RunError
from kerasgrid.records import Context, Doing, not_told
from kerasgrid.wording import bytes_word, joined

Function = Callable[[Any, Context], None]
MOST_LOSSES = 3
"""Machines that may go while they run a task, before that is told of the task."""


@dataclass(frozen=True)
class Started:
    """Worker number `worker`, from 0, begins the task."""

    task: Any
    worker: int


@dataclass(frozen=True)
class Emitted:
    """The task's function has called `context.emit(payload)`."""

    task: Any
    payload: Any


@dataclass(frozen=True)
class Finished:
    """The task's function has returned."""

    task: Any


@dataclass(frozen=True)
class Raised:
    """The task's function has raised.

    Attributes:
        error_type: The name of the exception's class, such as `ValueError`.
        message: What the exception says.
        traceback: Its traceback as Python prints it, from the function inwards.
    """

    task: Any
    error_type: str
    message: str
    traceback: str


@dataclass(frozen=True)
class Died:
    """The worker has died while it ran the task; another one takes its place.

    Attributes:
        reason: In words, to follow "the worker": `was killed by SIGSEGV`, `exited with code 3`.
        by_memory: Whether the kernel probably killed it for want of memory.
        is_lost: Whether its machine went, which is no fault of the task.
    """

    task: Any
    reason: str
    by_memory: bool
    is_lost: bool = False


Event = Started | Emitted | Finished | Raised | Died


@dataclass(frozen=True)
class Host:
    """A machine on which workers may be.

    Attributes:
        name: Its own.
        n_workers: Workers that have a place there.
        cpus: Cores that it gives.
        gpus: Cards.
        memory_bytes: Memory.
    """

    name: str
    n_workers: int
    cpus: float
    gpus: float
    memory_bytes: int


@dataclass(frozen=True)
class Layout:
    """Where workers are that are not on this machine alone.

    Attributes:
        cluster: Its address, or what it is called by.
        needs: What a worker takes of its machine, in words.
        hosts: The machines.
        n_waiting: Workers that wait for a place.
    """

    cluster: str
    needs: str
    hosts: tuple[Host, ...]
    n_waiting: int


def resources_word(cpus: float, gpus: float, memory_bytes: int) -> str:
    """Returns in words what a machine has, or a worker takes of it."""
    return joined([f"{cpus:g} CPU", *([f"{gpus:g} GPU"] if gpus else []), bytes_word(memory_bytes)])


class Executor(abc.ABC):
    """Runs a function on tasks and knows nothing of what it does.

    A context manager: leaving it ends the workers in bounded time, and whatever they still run.

    Attributes:
        n_workers: Tasks that run at the same time; where workers come and go, those that it begins with.
        tell: Is told what the user should know of workers.
    """

    n_workers: int
    tell: Doing = staticmethod(not_told)
    _stopping = _running = False

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop."""
        return self._stopping

    @abc.abstractmethod
    def start(self) -> None:
        """Begins to make all workers ready and returns at once; without it `run` does so as it needs them."""

    @abc.abstractmethod
    def run(self, function: Function, tasks: Iterable[Any]) -> Iterator[Event]:
        """Calls `function(task, context)` in a worker for each task and yields what happens.

        Events come in the order in which they happen. A task's first is Started and its last
        Finished, Raised or Died, with any Emitted between them; its `task` is the very object
        that `tasks` gave. Tasks are drawn in order, each when a worker is free for it; after a Died
        `tasks` is asked again, even where it had no more before (see `Drawn`).
        One run at a time. Leaving it before its end gives up the tasks that still run.

        Args:
            function: Called with a task and a Context; what it returns is dropped.
            tasks: Any iterable, however long.

        Raises:
            RunError: The workers cannot start or cannot load the function.
        """

    def share(self, value: Any) -> Callable[[], Any]:
        """Returns what gives a value where a worker calls it, to be part of a function or of tasks.

        Here the value goes along with each of these. Where workers are elsewhere it may lie on each machine
        once, and not be sent at all where nobody asks for it.

        Args:
            value: Picklable; it may not change any more.
        """
        return partial(_same, value)

    def device_kinds(self) -> list[str]:
        """Returns the kind of the device of each worker, as `machine.device_kinds` has it; GPUs go round."""
        kinds = machine.device_kinds()
        return [kinds[worker % len(kinds)] for worker in range(self.n_workers)]

    def layout(self) -> Layout | None:
        """Returns on which machines workers are; None where that is this one."""
        return None

    def stop(self) -> None:
        """Asks the running tasks to stop soon and starts no more; `run` ends once they have ended.

        For good: a later `run` ends at once. It may be called in a signal handler, in another
        thread, and more than once.
        """
        # A signal handler may interrupt `run` in the middle of a message, so nothing is sent here.
        self._stopping = True

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the workers and what they run, in bounded time. It may be called more than once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _same(value: Any) -> Any:
    return value


class Drawn(Iterator[Any]):
    """What a function returns each time, until it raises StopIteration; asked again, it may have more."""

    def __init__(self, draw: Callable[[], Any]) -> None:
        self._draw = draw

    def __next__(self) -> Any:
        return self._draw()


def run_through(executor: Executor, function: Function, tasks: Sequence[Any]) -> Iterator[Event]:
    """Yields the tasks' events as `Executor.run` does, and runs those whose machine went again after them."""
    lost, waiting = Counter[int](), list(tasks)
    while waiting:
        again = []
        for event in executor.run(function, waiting):
            if isinstance(event, Died) and event.is_lost:
                lost[id(event.task)] += 1
                if lost[id(event.task)] < MOST_LOSSES:
                    again.append(event.task)
                    continue
            yield event
        waiting = [] if again and executor.is_stopping else again


def describe(error: BaseException) -> tuple[str, str, str]:
    """Returns an exception's class name, message and traceback without the caller's own frame."""
    frames = error.__traceback__ and error.__traceback__.tb_next
    told = traceback.TracebackException(type(error), error, frames)
    return type(error).__qualname__, str(told), "".join(told.format())


def not_sent(function: Function, error: Exception) -> RunError:
    """Returns what says that workers cannot be given a function."""
    return RunError(
        f"{function!r} cannot be sent to workers: {error}. Let it hold what can be pickled, or use the "
        "executor inline."
    )


def not_loaded(name: str, text: str, trace: str) -> RunError:
    """Returns what says that a worker cannot load its function; the error as `describe` tells it."""
    return RunError(
        f"A worker cannot load the function that it is to run: {name}: {text}. It must come from modules "
        f"that workers can import, or a script or notebook itself; or use the executor inline.\n{trace}"
    )


def not_understood(error: Exception) -> RunError:
    """Returns what says that the driver cannot load what a worker has emitted."""
    return RunError(
        f"The driver cannot load what a worker has sent: {type(error).__name__}: {error}. Emit only objects "
        "of modules that both can import."
    )
