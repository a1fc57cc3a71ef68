"""Tasks at the seats of a Ray cluster, on this machine or on many: what is lost with one costs no search."""

from __future__ import annotations

import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kerasgrid.errors import RunError
from kerasgrid.executors.base import (
    Died,
    Event,
    Executor,
    Function,
    Host,
    Layout,
    Started,
    not_sent,
    resources_word,
)
from kerasgrid.executors.cluster import Cluster, Needs, name_of, package
from kerasgrid.executors.seats import Seat, Setup
from kerasgrid.wording import count

_POLL_S = 0.2
_LOOK_S = 5.0
"""How often the driver looks for machines that came or went."""
_PLACE_S = 5.0
"""How long a seat may take to have a place, where there is one."""
_TELL_S = 30.0
_HOPELESS_S = 600.0
"""How long nobody may have a place before the search ends."""
_SETUP_S = 300.0
"""How long a seat may take to import what it needs."""
_REST_S = 60.0
"""How long nobody is asked for in the place of a seat that went for want of memory."""


class Ray(Executor):
    """Runs tasks in actors of a Ray cluster, which stay for many of them.

    Seats that find no place wait for one, so that an autoscaler sees them, and nothing is drawn for them;
    those that come later are used. A seat that dies, or whose machine goes, is asked for anew.

    See https://docs.ray.io/en/latest/ray-core/actors.html
    """

    def __init__(
        self,
        address: str = "auto",
        n_workers: int | None = None,
        *,
        most: int | None = None,
        needs: Needs | None = None,
        setup: Setup | None = None,
        admit: Callable[[str, Any], str | None] | None = None,
        is_full: Callable[[], bool] | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            address: `auto` for the cluster that runs on this machine or that RAY_ADDRESS names, `local` for
                one that begins and ends with this process, `HOST:PORT` or `ray://HOST:PORT`.
            n_workers: Seats to ask for; None for as many as find a place, whichever machines there are.
            most: Of these, seats at most.
            needs: What each takes; None for a core and what TensorFlow needs of memory.
            setup: What each calls before its first task, with its share of a GPU or 0, to import what tasks
                need; what it returns is given to `admit`. It must be one that workers can be sent.
            admit: Is told a seat's machine and what its setup returned, and returns why the seat is not used;
                None where it is.
            is_full: Is called in a worker after each task, and tells whether another worker takes its place,
                since what a library keeps for later comes back by that alone.
        """
        self.address, self._wanted, self._most = address, n_workers, most
        self._needs, self._setup, self._admit, self._is_full = needs or Needs(), setup, admit, is_full
        self._cluster: Cluster | None = None
        self._seats: list[Seat] = []
        self._n_planned = self._n_wanted = 0
        self._looked, self._has_told = float("-inf"), False
        self._again: deque[Any] = deque()  # tasks of seats that went before they had begun
        self._n_failed: Counter[int] = Counter()
        self._refused: dict[Any, str] = {}  # why, of machines and of seats
        self._kinds: set[str] = set()

    @property
    def n_workers(self) -> int:  # type: ignore[override]  # known once connected
        """Seats that are asked for at first."""
        self._connect()
        return self._n_planned

    def start(self) -> None:
        """Asks for all seats and waits for none of them."""
        self._connect()
        self._tend()

    def share(self, value: Any) -> Callable[[], Any]:
        """Returns what gives a value in a worker, which each machine fetches once."""
        return _Shared(self._connect().ray.put(value))

    def device_kinds(self) -> list[str]:
        """Returns the kind of the device of each seat that is there; the first are waited for."""
        self.start()
        began = time.monotonic()
        while not (self._running or self._stopping or self._has_settled()):
            self._tell_of_waiting(time.monotonic() - began)
            for _ in self._listen():  # of seats without a task nothing comes
                pass
            self._tend()
        found = [seat.kind for seat in self._seats if seat.is_ready]
        self._kinds.update(found)
        return found

    def layout(self) -> Layout | None:
        """Returns the machines of the cluster and how many workers are there; None for one of its own."""
        cluster = self._connect()
        if self.address == "local":
            return None
        n_there = Counter(seat.node for seat in self._seats if seat.is_placed)
        hosts = [
            Host(name_of(node["NodeManagerHostname"], node["NodeID"]), n_there[node["NodeID"]], *_has(node))
            for node in cluster.nodes()
        ]
        n_waiting = sum(seat.state == "asked" for seat in self._seats)
        return Layout(cluster.name, self._needed(), tuple(hosts), n_waiting)

    def _has_settled(self) -> bool:
        """Tells whether a seat is ready, and no other is about to be."""
        now, times = time.monotonic(), {"asked": _PLACE_S, "placed": _TELL_S}
        about = (now - seat.since < times.get(seat.state, 0.0) for seat in self._seats)
        return any(seat.is_ready for seat in self._seats) and not any(about)

    def run(self, function: Function, tasks: Iterable[Any]) -> Iterator[Event]:
        """Yields the tasks' events; see Executor.run. Leaving it early kills the busy workers."""
        if self._stopping:
            return iter(())
        cluster = self._connect()
        try:
            sent = cluster.ray.put(function)
        except Exception as error:
            raise not_sent(function, error) from error
        return self._run(sent, iter(tasks))

    def _run(self, function: Any, tasks: Iterator[Any]) -> Iterator[Event]:
        if self._running:
            raise RunError("This executor has a run under way, and takes one at a time.")
        self._running = True
        more, has_drawn, idle_since = True, False, time.monotonic()
        self._again.clear()
        try:
            while True:
                self._tend()
                for seat in self._seats:
                    while seat.state == "ready" and (more or self._again) and not self._stopping:
                        try:
                            task = self._again.popleft() if self._again else next(tasks)
                        except StopIteration:
                            more = False
                        else:
                            has_drawn = True
                            yield from seat.take(function, task)
                if self._stopping:
                    for seat in self._seats:
                        seat.stop()
                is_idle = not any(seat.is_taken for seat in self._seats)
                if is_idle and has_drawn and more and not self._again:
                    # Else a seat would be waited for, only to find that there is no task for it.
                    self._again.extend(itertools.islice(tasks, 1))
                    more = bool(self._again)
                if is_idle and (self._stopping or not (more or self._again)):
                    return
                idle_since = idle_since if is_idle else time.monotonic()
                self._tell_of_waiting(time.monotonic() - idle_since)
                for event in self._listen():
                    more = more or isinstance(event, Died)  # of which there may be something to do again
                    yield event
        finally:
            self._running = False
            for seat in self._seats:
                if seat.is_taken:
                    seat.leave()

    def close(self) -> None:
        """Kills all seats, and ends a cluster that began here."""
        self.stop()
        for seat in self._seats:
            seat.leave()
        self._seats.clear()
        if self._cluster is not None:
            self._cluster.leave()

    def _connect(self) -> Cluster:
        if self._cluster is None:
            self._cluster = Cluster(self.address)
            if self._needs.gpus is None:
                has_gpus = any(gpus for _, gpus, _ in map(_has, self._cluster.nodes()))
                self._needs = replace(self._needs, gpus=float(has_gpus))
            self._n_planned = self._target()
        return self._cluster

    def _target(self) -> int:
        """Returns how many seats there should be: those that were asked for, or those that find a place."""
        assert self._cluster is not None
        wanted = self._wanted
        if wanted is None:  # one at least, so that an autoscaler sees what is needed
            wanted = max(1, self._n_places())
        return max(1, min(wanted, self._most or wanted))

    def _n_places(self) -> int:
        """Returns how many seats find a place on machines that are not refused, and nobody else uses."""
        assert self._cluster is not None
        nodes = [node for node in self._cluster.nodes() if node["NodeID"] not in self._refused]
        return sum(_room(node, self._needs) for node in nodes)

    def _tend(self) -> None:
        """Asks for seats that are missing, and gives up those that nobody waits for any more."""
        for seat in self._seats:
            waited = time.monotonic() - seat.since
            if seat.state == "placed" and waited > _SETUP_S:
                seat.leave()
                self._fail(seat, f"has not been ready on {seat.place} in {_SETUP_S / 60:g} minutes")
            elif seat.state == "resting" and waited > _REST_S:
                seat.leave()
        self._seats = [seat for seat in self._seats if seat.state != "gone"]
        if self._stopping or self._cluster is None:
            return
        if time.monotonic() - self._looked > _LOOK_S or not self._seats:
            self._cluster.look_for_head(lambda: self._stopping)
            self._looked, self._n_wanted = time.monotonic(), self._target()
            asked = [seat for seat in self._seats if seat.state == "asked"]
            n_seats = sum(seat.state != "refused" for seat in self._seats)
            for seat in asked[: max(0, n_seats - self._n_wanted)]:
                seat.leave()
                self._seats.remove(seat)
        # One that is refused keeps its place, where the next would come to be otherwise, and is none of them.
        taken = {seat.number for seat in self._seats if seat.state != "refused"}
        missing = [number for number in range(self._n_wanted) if number not in taken]
        if missing:  # whoever is asked for of a head that has gone could not be given up
            self._cluster.look_for_head(lambda: self._stopping)
        for number in missing[: max(0, self._n_wanted - len(taken))]:
            self._seats.append(Seat(number, self._cluster, self._needs, self._setup, self._is_full))
        self._seats.sort(key=lambda seat: seat.number)

    def _listen(self) -> Iterator[Event]:
        """Yields what seats have to tell."""
        assert self._cluster is not None
        waits = {seat.waits: seat for seat in self._seats if seat.waits is not None}
        if not waits:
            time.sleep(_POLL_S)
            return
        # The second time all that are there: the first one would always be the same.
        ready = self._cluster.wait([*waits], 1, _POLL_S) and self._cluster.wait([*waits], len(waits), 0.0)
        for seat in [waits[one] for one in ready] + [seat for seat in waits.values() if seat.is_silent]:
            if seat.is_taken:
                for event in seat.listen():
                    if isinstance(event, Started):
                        self._n_failed[seat.number] = 0
                    yield event
            elif seat.waits is not None:  # whoever takes the events may have closed the executor meanwhile
                seat.settle()
                self._look_at(seat)
            if seat.state == "gone" and seat.task is not None:
                self._give_elsewhere(seat)

    def _look_at(self, seat: Seat) -> None:
        """Sees whether a seat that has settled, or could not, is to be used.

        Raises:
            RunError: There is no other.
        """
        if seat.state == "gone":
            if not seat.is_lost:
                self._fail(seat, seat.reason)
        elif seat.state == "ready":
            why = self._admit(seat.place, seat.told) if self._admit else None
            if why is not None:
                seat.state = "refused"
                self._refuse(seat.node, why)
            elif self._kinds and seat.kind not in self._kinds:
                self._kinds.add(seat.kind)
                self.tell(f"{seat.place} is there with {seat.kind}: the last bits of scores differ by kind.")

    def _fail(self, seat: Seat, reason: str) -> None:
        """Takes in that a seat went before it had begun a task; one that does so again is asked for no more.

        Where memory ran low it is, after a while.

        Raises:
            RunError: There is no other.
        """
        self._n_failed[seat.number] += 1
        if seat.by_memory:
            seat.state, seat.since = "resting", time.monotonic()
            self.tell(f"A worker {reason}. Another is asked for in {_REST_S:g} seconds.")
        elif self._n_failed[seat.number] > 1:
            seat.state = "retired"
            self._refuse(seat.number, f"A worker {reason.rstrip('.')}.")

    def _refuse(self, what: Any, why: str) -> None:
        if why not in self._refused.values():
            self.tell(why)
        self._refused[what] = why
        if not self._n_places() or all(seat.state in ("refused", "retired") for seat in self._seats):
            whys = " ".join(dict.fromkeys(self._refused.values()))
            raise RunError(f"No worker of the cluster can be used. {whys}")

    def _give_elsewhere(self, seat: Seat) -> None:
        """Keeps the task of a seat that went before it had begun."""
        self._again.append(seat.task)
        seat.task = None
        if not seat.is_lost:
            self._fail(seat, f"{seat.reason}; what it wrote before is in Ray's logs there")

    def _tell_of_waiting(self, idle_s: float) -> None:
        """Says what seats wait for.

        Raises:
            RunError: Nobody has had a place for too long.
        """
        asked = [seat for seat in self._seats if seat.state == "asked"]
        waited = max((time.monotonic() - seat.since for seat in asked), default=0.0)
        if waited < _TELL_S or (self._has_told and idle_s < _HOPELESS_S):
            return
        wait = "waits" if len(asked) == 1 else "wait"
        told = f"{count(len(asked), 'worker')} {wait} for a place: each needs {self._needed()}, and "
        told += self._there()
        if idle_s > _HOPELESS_S:
            raise RunError(f"{told}. Nobody has come for 10 minutes. The same command goes on with it.")
        self._has_told = True
        n_others = sum(seat.is_ready for seat in self._seats)
        others = (
            f"goes on with {count(n_others, 'other')} meanwhile" if n_others else "begins when one has it"
        )
        self.tell(f"{told}. The search {others}.")

    def _needed(self) -> str:
        return resources_word(self._needs.cpus, self._needs.gpus or 0, self._needs.memory_bytes)

    def _there(self) -> str:
        """Returns in words what machines there are."""
        assert self._cluster is not None
        nodes = self._cluster.nodes()
        kinds = Counter(resources_word(*_has(node)) for node in nodes)
        there = "; ".join(f"{n} with {kind}" for kind, n in kinds.items())
        told = f"the cluster has {count(len(nodes), 'machine')} ({there}), "
        if any(_room(node, self._needs) for node in nodes):
            return f"{told}which others may use too"
        share = ", or set another executor.gpus_per_worker" if self._needs.gpus else ""
        return f"{told}none with room for one: add a machine that has it{share}"


@dataclass(frozen=True)
class _Shared:
    """A value in the cluster's store."""

    reference: Any

    def __call__(self) -> Any:
        return package().get(self.reference)


def _has(node: Mapping[str, Any]) -> tuple[float, float, int]:
    """Returns a machine's cores, cards and bytes of memory."""
    resources = node["Resources"]
    return resources.get("CPU", 0.0), resources.get("GPU", 0.0), int(resources.get("memory", 0))


def _room(node: Mapping[str, Any], needs: Needs) -> int:
    """Returns how many seats find a place on a machine that nobody else uses."""
    cpus, gpus, memory_bytes = _has(node)
    shares = [cpus / needs.cpus, memory_bytes / needs.memory_bytes]
    if needs.gpus:
        # A seat's share is of one card: what is left of each is of no use.
        shares.append(int(gpus) * int(1 / needs.gpus + 1e-9))
    return int(min(shares))
