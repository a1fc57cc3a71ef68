"""Kills the driver of a search on a Ray cluster by SIGKILL again and again, beside it workers and nodes, and
compares the final JSON with that of an uncut search by two processes of this machine.

    python benchmarks/ray_losses.py
    python benchmarks/ray_losses.py --unseeing              # workers see none of the driver's files
    python benchmarks/ray_losses.py --client --kills 3      # the driver by ray://

The cluster has two nodes of a core each. Each moment is drawn in epochs of the session, so that all of them
hit a search that trains. Ends with 1 if the results differ in anything but times and their executor.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from kill_and_resume import without_times

import kerasgrid as kg
from kerasgrid.planning import workers
from kerasgrid.run.observer import Observer
from kerasgrid.training import away, entry

FOLDS = 3
CONFIG = {
    "name": "killed",
    "data": {"train": "digits", "scale": 16},
    "model": "fc",
    "params": {"batch_size": 32, "units": [256], "batch_norm": True},
    "space": {"learning_rate": [0.001, 0.003, 0.01], "dropout": [0.2, 0.4]},
    "callbacks": {"reduce_lr_on_plateau": {"monitor": "val_loss", "factor": 0.5, "patience": 5}},
    "search": {"folds": FOLDS},
}
MOST_S = 120.0
"""Seconds in which a search has to go on after a loss."""


class Told(Observer):
    """Appends a line to a file for each fit's begin, epoch and end, and for each note."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", buffering=1)  # noqa: SIM115  # it ends with the process

    def started(self, job):
        self._tell("started", job.id)

    def epoch(self, record):
        self._tell("epoch", record.job, record.epoch)

    def ended(self, record, state):
        self._tell("ended", record.job)

    def note(self, text):
        self._tell("note", text)

    def _tell(self, *told):
        self._file.write(json.dumps([time.time(), *told]) + "\n")


def settle_unseeing(*told):
    """Is the setup of a worker that sees no file of the driver's."""
    away._sees = lambda path, content: False
    return entry.settle(*told)


def run_search(config: str, folder: str, interval_s: str, sees: str) -> None:
    """Runs a search in this process."""
    if sees == "unseeing":
        workers.settle = settle_unseeing
    told = Told(Path(folder) / "told.jsonl")
    kg.search(config, results=folder, observer=told, checkpoint_interval_s=float(interval_s))


class Search:
    """A search of which each session is a process.

    Attributes:
        folder: Of its results.
        process: Its driver.
    """

    def __init__(self, folder: Path, config: dict, interval_s: float = 30.0, sees: str = "seeing") -> None:
        self.folder, self._name = folder, config["name"]
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self._name}.yaml"
        file.write_text(json.dumps(config))
        self._command = [sys.executable, __file__, "--search", str(file), str(folder), str(interval_s), sees]
        self._lines: list[list] = []
        self._read = 0

    def start(self) -> int:
        """Starts a session, and returns how many lines the others have told."""
        n_before = len(self.lines())
        self.process = subprocess.Popen(self._command)
        return n_before

    def lines(self) -> list[list]:
        """Returns all that was told."""
        path = self.folder / "told.jsonl"
        if path.exists():
            with open(path, "rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(end)
            self._lines += map(json.loads, whole.splitlines())
        return self._lines

    def n_epochs(self, n_before: int) -> int:
        """Returns how many epochs were told of after so many lines."""
        return sum(line[1] == "epoch" for line in self.lines()[n_before:])

    def wait(self, what: str, is_so: Callable[[], bool]) -> None:
        """Waits until something is so."""
        began = time.monotonic()
        while not is_so():
            if self.process.poll() is not None:
                sys.exit(f"The search ended ({self.process.returncode}) before {what}: take more --epochs.")
            if time.monotonic() - began > MOST_S:
                sys.exit(f"The search waits {MOST_S:.0f} s for {what}: {self.lines()[-5:]}")
            time.sleep(0.05)

    def found(self) -> dict:
        """Returns the results without times and executor."""
        told = without_times(json.loads((self.folder / f"{self._name}.json").read_text()))
        del told["config"]["executor"], told["base"]
        return told

    def n_twice(self) -> int:
        """Returns how many epochs were trained again."""
        epochs = [(*line[2], line[3]) for line in self.lines() if line[1] == "epoch"]
        return len(epochs) - len(set(epochs))


class Machines:
    """The cluster, and the processes of its workers."""

    def __init__(self, n_cpus: int = 1, *, is_client: bool = False) -> None:
        from ray.cluster_utils import Cluster

        port = free_port()
        head = {"num_cpus": n_cpus, "include_dashboard": False}
        if is_client:
            head["ray_client_server_port"] = port
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address = f"ray://127.0.0.1:{port}" if is_client else self.cluster.address
        self._n_cpus = n_cpus
        self.add()

    def add(self) -> None:
        self._node = self.cluster.add_node(num_cpus=self._n_cpus)

    def lose(self) -> None:
        self.cluster.remove_node(self._node, allow_graceful=False)

    def workers(self) -> list[psutil.Process]:
        """Returns the processes of workers, those of nodes that are there."""
        found = []
        for node in self.cluster.list_all_nodes():
            for raylet in node.all_processes["raylet"]:
                for one in psutil.Process(raylet.process.pid).children():
                    if "ray::Worker" in name_of(one):
                        found.append(one)
        return found

    def busy(self) -> list[psutil.Process]:
        return [one for one in self.workers() if "Worker.events" in name_of(one)]


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def scratch() -> set[str]:
    """Returns the folders of workers among the system's temporary ones."""
    return {path.name for path in Path(tempfile.gettempdir()).glob(".kerasgrid.*")}


def seconds(found: list[float]) -> str:
    if not found:
        return "-"
    return f"{statistics.median(found):.1f} s, {min(found):.1f} to {max(found):.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=3, help="workers to kill")
    parser.add_argument("--nodes", type=int, default=2, help="nodes to remove")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=450)
    parser.add_argument("--interval-s", type=float, default=0.5, help="seconds between checkpoints")
    parser.add_argument("--results", type=Path, help="where an uncut search may be already")
    parser.add_argument("--unseeing", action="store_true")
    parser.add_argument("--client", action="store_true")
    asked = parser.parse_args()
    numbers = random.Random(asked.seed)
    os.environ.update(dict.fromkeys(workers.machine.THREADS, "1"), TF_CPP_MIN_LOG_LEVEL="2")
    n_all = asked.epochs * FOLDS * 6
    sessions = numbers.sample(range(asked.kills + 1), min(asked.workers + asked.nodes, asked.kills + 1))
    losses = dict.fromkeys(sessions[: asked.workers], "worker") | dict.fromkeys(
        sessions[asked.workers :], "node"
    )
    most = n_all // (3 * (asked.kills + len(sessions)))
    with contextlib.ExitStack() as stack:
        folder = asked.results or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = CONFIG | {"params": CONFIG["params"] | {"epochs": asked.epochs}}
        processes = {"kind": "processes", "workers": 2}
        whole = Search(folder / "whole", config | {"executor": processes}, asked.interval_s)
        if not (whole.folder / "killed.json").exists():
            began = time.monotonic()
            whole.start()
            assert whole.process.wait() == 0
            print(f"uncut, 2 processes: {time.monotonic() - began:.0f} s", flush=True)

        machines = Machines(is_client=asked.client)
        before = scratch()
        executor = {"kind": "ray", "address": machines.address, "workers": 2}
        sees = "unseeing" if asked.unseeing else "seeing"
        cut = Search(
            folder / f"cut-{sees}-{asked.seed}", config | {"executor": executor}, asked.interval_s, sees
        )
        told: dict[str, list[float]] = {"driver": [], "worker": [], "node": [], "seats": [], "first": []}
        began = time.monotonic()
        for session in range(asked.kills + 1):
            n_before, started = cut.start(), time.monotonic()
            cut.wait("the first epoch", lambda n=n_before: cut.n_epochs(n) > 0)
            told["driver" if session else "first"].append(time.monotonic() - started)
            if kind := losses.get(session):
                n = cut.n_epochs(n_before) + numbers.randrange(most)
                cut.wait(f"the loss of a {kind}", lambda n=n, at=n_before: cut.n_epochs(at) > n)
                cut.wait("two busy workers", lambda: len(machines.busy()) == 2)
                victim, lost = numbers.choice(machines.busy()), time.monotonic()
                if kind == "worker":
                    victim.kill()
                    victim.wait()
                else:
                    machines.lose()
                    machines.add()
                cut.wait("a busy worker in its place", lambda: len(machines.busy()) == 2)
                told[kind].append(time.monotonic() - lost)
                print(f"a {kind} is lost; two work again after {told[kind][-1]:.1f} s", flush=True)
            if session == asked.kills:
                break
            n = cut.n_epochs(n_before) + numbers.randrange(most)
            cut.wait(f"kill {session + 1}", lambda n=n, at=n_before: cut.n_epochs(at) > n)
            seats = machines.workers()
            cut.process.kill()
            cut.process.wait()
            killed = time.monotonic()
            while any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in seats):
                time.sleep(0.02)
                assert time.monotonic() - killed < MOST_S, "workers outlive their driver"
            told["seats"].append(time.monotonic() - killed)
            gone = f"{len(seats)} seats gone after {told['seats'][-1]:.2f} s"
            print(f"kill {session + 1}: {cut.n_epochs(0)} epochs told, {gone}", flush=True)
        assert cut.process.wait() == 0
        wall_s = time.monotonic() - began
        n_left, left = len(machines.workers()), scratch() - before
        machines.cluster.shutdown()
        is_equal = cut.found() == whole.found()
        notes = [line[2] for line in cut.lines() if line[1] == "note"]
    print(f"begins after {told['first'][0]:.1f} s; in all {wall_s:.0f} s")
    print(f"from the command given again to the first epoch: {seconds(told['driver'])}")
    print(f"from a worker's end until two work again: {seconds(told['worker'])}")
    print(f"from a node's end until two work again: {seconds(told['node'])}")
    print(f"workers outlive a driver: {seconds(told['seats'])}")
    print(f"epochs trained twice: {cut.n_twice()} of {n_all}")
    print(f"left at the end: {n_left} workers, {sorted(left)}")
    print(*dict.fromkeys(notes), sep="\n")
    print(f"the final JSON {'equals the uncut one but for times' if is_equal else 'DIFFERS'}")
    return 0 if is_equal else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["--search"]:
        run_search(*sys.argv[2:])
    else:
        sys.exit(main())
