"""What this machine has for workers: GPUs, cores and memory, found without TensorFlow."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from kerasgrid import limits

_WORKER_BYTES = int(1.5 * 2**30)  # TensorFlow itself takes half of it
_LEAST_SHARE_BYTES = 2 * 2**30
_MOST_WORKERS = 16
_NVIDIA_SMI_TIMEOUT_S = 10
_DRIVER = Path("/proc/driver/nvidia/gpus")


def count_gpus() -> int:
    """Returns how many NVIDIA GPUs this process may use; `CUDA_VISIBLE_DEVICES` is respected."""
    return len(_visible_gpus())


def default_workers() -> int:
    """Returns a sensible number of workers: one a GPU, else one a core, from 1 to 16.

    Cores are those that this process may run on, fewer where its container has a CPU quota. Each
    worker needs 1.5 GiB of the memory that is available now.
    """
    wanted = count_gpus() or _usable_cores()
    return max(1, min(wanted, limits.free_shared_bytes() // _WORKER_BYTES, _MOST_WORKERS))


def worker_share_bytes(n_workers: int) -> int:
    """Returns the share of this machine's memory, or its container's, that one of several workers has.

    2 GiB at least: with less, a worker that has only imported its libraries could be over it.
    """
    return max(_LEAST_SHARE_BYTES, limits.whole_memory_bytes() // n_workers)


def worker_environments(n_workers: int) -> list[dict[str, str]]:
    """Returns for each worker the environment variables that give it its share of the machine.

    GPUs go round; where several workers share one, none may take all of its memory. Without GPUs
    none is looked for, and TensorFlow keeps the memory of one step for the next by its best-fit
    allocator, where C's gives it back to the kernel and fetches it anew at each step (up to half of a
    small convolutional net's time). What the user has set stays as it is.
    """
    gpus = _visible_gpus()
    threads = str(max(1, _usable_cores() // n_workers))
    common = {
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }
    if not gpus:
        # Its own bound is 64 GiB, and free regions that are too small count too: here the memory decides.
        most_bytes = 2 * limits.whole_memory_bytes()
        common |= {
            "TF_CPU_ALLOCATOR_USE_BFC": "true",
            "TF_CPU_BFC_MEM_LIMIT_IN_MB": str(most_bytes // 2**20),
        }
    elif len(gpus) < n_workers:
        common |= {"TF_FORCE_GPU_ALLOW_GROWTH": "true", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    common = {name: value for name, value in common.items() if name not in os.environ}
    visible = gpus or ["-1"]
    return [common | {"CUDA_VISIBLE_DEVICES": visible[i % len(visible)]} for i in range(n_workers)]


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
    if _DRIVER.is_dir():
        return len(list(_DRIVER.iterdir()))
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        answer = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0  # a driver that does not answer has no GPU to offer
    return sum(line.startswith("GPU ") for line in answer.stdout.splitlines())


def _usable_cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = limits.cpu_quota()
    return cores if quota is None else max(1, min(cores, int(quota)))
