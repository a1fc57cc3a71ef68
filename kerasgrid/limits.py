"""What this process may use, by the machine, its container (control groups, version 2 and 1) and `ulimit`."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_MEMBERSHIP = Path("/proc/self/cgroup")
_ROOT = Path("/sys/fs/cgroup")


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
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset  # type: ignore[attr-defined]  # Windows alone has it
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


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
        return path.read_text()
    except OSError:
        return ""
