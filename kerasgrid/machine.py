"""What this process runs on and may use: cores, memory and GPUs, by the machine, its container and `ulimit`;
versions and the backend, without importing it.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from importlib.util import find_spec
from pathlib import Path

import psutil

from kerasgrid.errors import Fault, did_you_mean

_MEMBERSHIP = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")
_WORKER_BYTES = int(1.5 * 2**30)  # TensorFlow itself takes half of it
_LEAST_SHARE_BYTES = 2 * 2**30
_MOST_WORKERS = 16
_MEMORY, _GPU_MEMORY = "KERASGRID_MEMORY_MB", "KERASGRID_GPU_MEMORY_MB"
UNKNOWN = "unknown"
"""The version of what is not installed."""
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
"""Variables that say with how many threads a worker computes."""
_JAX_SHARES = ("XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION")
"""The second is the older name. JAX refuses both together."""
_FOR_TENSORS = 0.9
"""Of a share of a GPU's memory: the rest is what CUDA and its libraries take for each process."""
_OF_BACKENDS = ("TF_", "XLA_", "JAX_")
_OF_MACHINES = re.compile("MEM|CACHE|DIR")
NODE = "KERASGRID_NODE"
"""The variable with the name of a worker's machine, of marks that names of files have, in a cluster."""
_NVIDIA_SMI_TIMEOUT_S = 10
_DRIVER = Path("/proc/driver/nvidia/gpus")
_PROCESSOR = Path("/proc/cpuinfo")
_BFLOAT16 = frozenset(["avx512_bf16", "amx_bf16", "bf16"])
"""What Linux calls a processor's own multiplication of bfloat16; the last is Arm's."""
_BFLOAT16_CAPABILITY = 8.0
"""NVIDIA's compute capability from which GPUs multiply it."""
_TRAINING = ("jax", "tensorflow", "torch")
"""Keras's backends that can train, each in a package of its name."""


def cpu_quota() -> float | None:
    """Returns how many cores' time this process may use; None where nothing limits it."""
    quotas = []
    for group in _groups("cpu"):
        limit = _words(group / "cpu.max")  # v2: "200000 100000" or "max 100000"
        limit = limit or _words(group / "cpu.cfs_quota_us") + _words(group / "cpu.cfs_period_us")
        if len(limit) == 2 and limit[0] not in {"max", "-1"}:
            quotas.append(int(limit[0]) / int(limit[1]))
    return min(quotas, default=None)


def free_memory_bytes() -> int:
    """Returns how much more memory this process may take: what is free, or less where it has a limit."""
    used = psutil.Process().memory_info()
    own = [
        limit - taken
        for name, taken in (("RLIMIT_AS", used.vms), ("RLIMIT_DATA", getattr(used, "data", used.vms)))
        if (limit := _own_limit(name)) is not None
    ]
    return max(0, min([free_shared_bytes(), *own]))


def own_memory_bytes() -> int:
    """Returns how much memory this process may come to hold, pages of files that it maps not counted.

    That is what a worker was told as its share, or all that there is; less where no more is free, or allowed.
    """
    told = os.environ.get(_MEMORY, "")
    share = int(told) * 2**20 if told.isdecimal() else whole_memory_bytes()
    used = psutil.Process().memory_info()
    return min(share, used.rss - getattr(used, "shared", 0) + free_memory_bytes())


def node() -> str | None:
    """Returns the name of a worker's machine in a cluster; None elsewhere."""
    return os.environ.get(NODE)


def on_node() -> str:
    """Returns, for the end of a message, on which machine of a cluster that is; nothing elsewhere."""
    return f" on the node {found}" if (found := node()) else ""


def gpu_memory_bytes() -> list[int]:
    """Returns how much of its GPU's memory this worker has; nothing where there is no GPU, or none tells."""
    told = gpu_share_mb()
    if told is not None:
        return [told * 2**20]
    return [size * 2**20 for size in _gpu_sizes_mb()[:1]] if count_gpus() else []


def gpu_share_mb() -> int | None:
    """Returns how much of its GPU's memory, in MiB, this worker was told to take; None for all of it."""
    told = os.environ.get(_GPU_MEMORY, "")
    return int(told) if told.isdecimal() else None


def _gpu_sizes_mb() -> list[int]:
    """Returns the memory of each visible GPU, in MiB; nothing where NVIDIA's program does not tell."""
    try:
        return [int(size) for size in _of_gpus("memory.total")]
    except ValueError:
        return []


def _of_gpus(what: str) -> list[str]:
    """Returns what NVIDIA's program tells of each visible GPU; nothing where it does not of one of them."""
    try:
        found = ask_nvidia_smi(f"--query-gpu=index,uuid,{what}", "--format=csv,noheader,nounits")
        told = {name: value for *names, value in (line.split(", ", 2) for line in found) for name in names}
        return [told[name] for name in _visible_gpus()]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return []


def device_kinds() -> list[str]:
    """Returns the kind of each GPU that this process may use, such as `NVIDIA H200`; else of its processor.

    By none of them the backend is imported. Parts of a GPU, and those that are not told of, are a `GPU`.
    """
    gpus = _visible_gpus()
    if gpus:
        return _of_gpus("name") or ["GPU"] * len(gpus)
    found = re.search(r"^model name\s*:\s*(.+)$", _text(_PROCESSOR), re.MULTILINE)
    return [found[1].strip() if found else platform.processor() or platform.machine()]


def free_shared_bytes() -> int:
    """Returns how much memory is free for this process and others together, here or in its container."""
    available, left = psutil.virtual_memory().available, _left_in_groups()
    return available if left is None else min(available, left)


def whole_memory_bytes() -> int:
    """Returns how much memory there is, free or not, here or in its container."""
    total, limit = psutil.virtual_memory().total, _limit_of_groups()
    return total if limit is None else min(total, limit)


def free_addresses_bytes() -> int | None:
    """Returns how much of files this process may still map; None where nothing limits it."""
    limit = _own_limit("RLIMIT_AS")
    return None if limit is None else max(0, limit - psutil.Process().memory_info().vms)


def peak_memory_bytes() -> int:
    """Returns this process's largest resident memory so far.

    On Linux from /proc: what getrusage tells of a new process is at least what its parent had.
    """
    found = re.search(r"^VmHWM:\s+(\d+) kB", _text(Path("/proc/self/status")), re.MULTILINE)
    if found is not None:
        return int(found[1]) * 1024
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def mapped_bytes(path: Path) -> int:
    """Returns how much of a file that this process maps is resident; 0 where the system does not tell."""
    found, is_of_file = 0, False
    for line in _text(Path("/proc/self/smaps")).splitlines():
        if "-" in line.split(" ", 1)[0]:  # the line that a mapping begins with
            is_of_file = line.endswith(f" {path}")
        elif is_of_file and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


def _own_limit(name: str) -> int | None:
    """Returns what `ulimit` has set; None where it has set nothing, or has not this limit."""
    try:
        resource = importlib.import_module("resource")
        limit = resource.getrlimit(getattr(resource, name))[0]
    except (ModuleNotFoundError, AttributeError):  # of Windows, or of another Unix
        return None
    return None if limit == resource.RLIM_INFINITY else limit


def _left_in_groups() -> int | None:
    """Returns how much more memory this process's groups may use; None where nothing limits them.

    Cached files that the kernel would give up count as free.
    """
    left = []
    for group in _groups("memory"):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        used = _words(group / "memory.current") or _words(group / "memory.usage_in_bytes")
        if limit and used and limit != ["max"]:
            # Names and values in turn; v1 has its own group's inactive_file beside the total.
            words = _words(group / "memory.stat")
            stat = dict(zip(words[::2], words[1::2], strict=False))
            cached = stat.get("total_inactive_file", stat.get("inactive_file", "0"))
            left.append(int(limit[0]) - int(used[0]) + int(cached))
    return min(left, default=None)


def _limit_of_groups() -> int | None:
    """Returns how much memory this process's groups may use; None where nothing limits them."""
    limits = []
    for group in _groups("memory"):
        limit = _words(group / "memory.max") or _words(group / "memory.limit_in_bytes")
        if limit and limit != ["max"]:
            limits.append(int(limit[0]))
    return min(limits, default=None)


def _groups(controller: str) -> Iterator[Path]:
    """Yields the folders of this process's groups and of all groups around them."""
    for line in _text(_MEMBERSHIP).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root = _ROOT  # v2
        elif controller in controllers.split(","):
            root = _ROOT / controller
        else:
            continue
        group = root / path.strip("/")
        yield group
        while group != root:
            group = group.parent
            yield group


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    """Returns a kernel file's text; nothing where this system or group does not have it."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def count_gpus() -> int:
    """Returns how many NVIDIA GPUs this process may use; `CUDA_VISIBLE_DEVICES` is respected."""
    return len(_visible_gpus())


def workers_on_gpus(share: float) -> int:
    """Returns how many workers there is room for on the GPUs, each with a share of one, above 0 up to 1."""
    return count_gpus() * int(1 / share + 1e-9)


def default_workers(share: float | None = None) -> int:
    """Returns a sensible number of workers: as many as have room on the GPUs, else one a core, up to 16.

    Cores are those that this process may run on, fewer where its container has a CPU quota. Each
    worker needs 1.5 GiB of the memory that is available now.

    Args:
        share: Of a GPU, that each worker has; None for a whole one.
    """
    wanted = workers_on_gpus(share or 1) or min(usable_cores(), _MOST_WORKERS)
    return max(1, min(wanted, free_shared_bytes() // _WORKER_BYTES))


def gpu_share(n_workers: int, share: float | None = None) -> float | None:
    """Returns which share of a GPU each of several workers has; None where there is no GPU.

    Args:
        share: That is asked for; None for what there is, where GPUs go round.
    """
    n_gpus = count_gpus()
    return (share or 1 / -(-n_workers // n_gpus)) if n_gpus else None


def worker_share_bytes(n_workers: int) -> int:
    """Returns the share of this machine's memory, or its container's, that one of several workers has.

    2 GiB at least: with less, a worker that has only imported its libraries could be over it. What the user
    has set as KERASGRID_MEMORY_MB comes first.
    """
    told = os.environ.get(_MEMORY, "")
    if told.isdecimal():
        return int(told) * 2**20
    return max(_LEAST_SHARE_BYTES, whole_memory_bytes() // n_workers)


def worker_environments(n_workers: int, share: float | None = None) -> list[dict[str, str]]:
    """Returns for each worker the environment variables that give it its share of the machine.

    GPUs go round; where a worker has a share of one, it takes memory as it needs it, and of it no more than
    that share: JAX by its fraction, TensorFlow by what the worker tells it. Without GPUs none is looked for,
    and TensorFlow keeps the memory of one step for the next by its best-fit allocator, where C's gives it
    back to the kernel and fetches it anew at each step (up to half of a small convolutional net's time).
    What the user has set stays as it is.

    Args:
        share: Of a GPU, as in `gpu_share`.
    """
    gpus = _visible_gpus()
    threads = str(max(1, usable_cores() // n_workers))
    common = {
        **dict.fromkeys(THREADS, threads),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        _MEMORY: str(worker_share_bytes(n_workers) // 2**20),
    }
    if not gpus:
        # Its own bound is 64 GiB, and free regions that are too small count too: here the memory decides.
        most_bytes = 2 * whole_memory_bytes()
        common |= {
            "TF_CPU_ALLOCATOR_USE_BFC": "true",
            "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(most_bytes // 2**20),
        }
    elif (own := gpu_share(n_workers, share) or 1) < 1:
        common |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        if not any(name in os.environ for name in _JAX_SHARES):
            common[_JAX_SHARES[0]] = f"{own * _FOR_TENSORS:.4f}"
        sizes = _gpu_sizes_mb()
        if sizes:
            common[_GPU_MEMORY] = str(int(min(sizes) * own * _FOR_TENSORS))
    common = {name: value for name, value in common.items() if name not in os.environ}
    visible = gpus or ["-1"]
    return [common | {"CUDA_VISIBLE_DEVICES": visible[i % len(visible)]} for i in range(n_workers)]


def cluster_environment(threads: int, share: float) -> dict[str, str]:
    """Returns the variables that give a worker its share of a machine on which a cluster has a place for it.

    Args:
        threads: Of a step on the processor; on a GPU as many as its share of the machine has.
        share: Of the one GPU that it sees; 0 for none.
    """
    n_workers = int(_installed_gpus() / share + 1e-9) if share else usable_cores() // threads
    n_workers = max(1, n_workers)
    threads = max(1, usable_cores() // n_workers) if share else threads
    # Also where they are set: what a cluster sets is the cores that a worker has asked for.
    return worker_environments(n_workers, share or None)[0] | dict.fromkeys(THREADS, str(threads))


def is_beyond_share() -> bool:
    """Tells whether this process has more memory than its share; with a GPU CUDA alone may take more."""
    share = os.environ.get(_MEMORY, "")
    if not share.isdecimal() or count_gpus():
        return False
    used = psutil.Process().memory_info()
    return used.rss - getattr(used, "shared", 0) > int(share) * 2**20


def passed_on() -> dict[str, str]:
    """Returns the variables of this process that workers on other machines have: how its backend works.

    Paths, and how much memory there is to take, are of this machine alone; of a variable that holds several
    options the others are passed on.
    """
    passed = {}
    for name, value in os.environ.items():
        if not name.startswith(_OF_BACKENDS) or name.startswith("TF_CPU_") or _OF_MACHINES.search(name):
            continue
        if kept := " ".join(word for word in value.split() if not {"/", "\\"} & {*word}):
            passed[name] = kept
    return {**passed, "KERAS_BACKEND": backend()}


def _visible_gpus() -> list[str]:
    """Returns the GPUs as CUDA_VISIBLE_DEVICES names them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None and chosen.strip() in {"", "-1"}:
        return []
    indices = [str(i) for i in range(_installed_gpus())]
    if chosen is None or not indices:
        return indices
    visible = []
    for name in (part.strip() for part in chosen.split(",")):
        # As CUDA does: what follows an index that does not exist is not seen. UUIDs are believed.
        if name not in indices and not name.startswith(("GPU-", "MIG-")):
            break
        visible.append(name)
    return visible


def _installed_gpus() -> int:
    """Returns how many NVIDIA GPUs there are for the backend.

    TensorFlow and JAX have none on Windows itself: https://www.tensorflow.org/install/pip#windows-native and
    https://docs.jax.dev/en/latest/installation.html
    """
    if sys.platform == "win32" and backend() != "torch":
        return 0
    if _DRIVER.is_dir():
        return len(list(_DRIVER.iterdir()))
    try:
        return sum(line.startswith("GPU ") for line in ask_nvidia_smi("-L"))
    except (OSError, subprocess.SubprocessError):
        return 0  # a driver that does not answer has no GPU to offer


def ask_nvidia_smi(*arguments: str) -> list[str]:
    """Returns the lines that NVIDIA's program answers; none where it is not there.

    Raises:
        OSError: It cannot be run.
        SubprocessError: It fails, or does not answer.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    answer = subprocess.run(
        [program, *arguments],
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_NVIDIA_SMI_TIMEOUT_S,
        check=True,
    )
    return answer.stdout.splitlines()


def multiplies_bfloat16() -> bool | None:
    """Tells whether the GPUs of this process, or its processor, multiply bfloat16; None if not known."""
    if count_gpus():
        try:
            found = ask_nvidia_smi("--query-gpu=compute_cap", "--format=csv,noheader")
            return min(map(float, found)) >= _BFLOAT16_CAPABILITY
        except (OSError, subprocess.SubprocessError, ValueError):
            return None
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", _text(_PROCESSOR), re.MULTILINE)
    return None if flags is None else not _BFLOAT16.isdisjoint(flags[1].split())


def usable_cores() -> int:
    """Returns how many cores this process may run on, fewer where its container has a quota of their time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))


def backend() -> str:
    """Returns Keras's backend as it will choose it: $KERAS_BACKEND, else keras.json, else tensorflow."""
    return os.environ.get("KERAS_BACKEND") or _configured()


@contextmanager
def hidden(package: str) -> Iterator[None]:
    """Lets a package that is not imported yet look as if it were not installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # as importlib documents it
    try:
        yield
    finally:
        del sys.modules[package]


def backend_fault() -> Fault | None:
    """Returns what is wrong with the backend, and where it is chosen; None for nothing."""
    name, path = backend(), config_path()
    chosen = f"{path}, backend" if path.exists() else "Keras's backend"
    place = "KERAS_BACKEND" if os.environ.get("KERAS_BACKEND") else chosen
    if name not in _TRAINING:
        return Fault(
            place, f"is {name!r}, which is no backend on which Keras trains.{did_you_mean(name, _TRAINING)}"
        )
    if not _is_there(name):
        there = " or ".join(f"KERAS_BACKEND={one}" for one in _TRAINING if _is_there(one))
        other = f", or take one that is: {there}" if there else ""
        line = "pip install torch" if name == "torch" else f'pip install "kerasgrid[{name}]"'
        found = f"is {name!r}, and the package {name} is not installed"
        return Fault(place, f"{found}. Install it with: {line}{other}.")
    return None


def _is_there(package: str) -> bool:
    """Tells whether a package can be imported; a folder that is left of one that was taken away cannot."""
    found = find_spec(package)
    return found is not None and found.has_location


def versions() -> dict[str, str]:
    """Returns the versions of kerasgrid, Keras and its backend, by package."""
    packages = {"kerasgrid", "keras", *({backend()} & {*_TRAINING})}
    return {name: (distribution(name) or ("", UNKNOWN))[1] for name in sorted(packages)}


def python_version() -> str:
    """Returns Python's version as far as what one pickles another can load, such as `3.11`."""
    return ".".join(platform.python_version_tuple()[:2])


@cache
def distribution(package: str) -> tuple[str, str] | None:
    """Returns under which name a package was installed, such as tensorflow-cpu, and its version.

    Both stay what they are while the process runs; None where it was not.
    """
    with suppress(PackageNotFoundError):
        return package, version(package)
    for name in packages_distributions().get(package, ()):  # reads all that is installed: 0.1 to 0.4 s
        return name.replace("_", "-"), version(name)
    return None


def config_path() -> Path:
    """Returns where Keras keeps its settings, keras.json."""
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME", home / ".keras")).expanduser() / "keras.json"


def _configured() -> str:
    try:
        return str(json.loads(config_path().read_text(encoding="utf-8")).get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
