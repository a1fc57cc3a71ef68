"""What a container leaves to this process: Linux control groups, version 2 and version 1."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

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


def memory_left_bytes() -> int | None:
    """Returns how much more memory this process may use; None where nothing limits it.

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


def memory_limit_bytes() -> int | None:
    """Returns how much memory this process's groups may use; None where nothing limits it."""
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
