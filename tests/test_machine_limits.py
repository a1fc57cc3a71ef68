"""What this process may use: the least of what is free, what its container leaves and what ulimit does."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from kerasgrid import machine

MIB = 2**20


@pytest.fixture(autouse=True)
def this_machine(tmp_path, monkeypatch):
    """A machine of 1,000 MiB, 800 of them free, without groups and limits; this process has 100."""
    memory = type("memory", (), {"available": 800 * MIB, "total": 1000 * MIB})
    used = type("used", (), {"vms": 100 * MIB, "data": 60 * MIB})
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(
        machine.psutil, "Process", lambda: type("process", (), {"memory_info": lambda _: used})()
    )
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "_ROOT", tmp_path)
    return tmp_path


def group(folder, version, most, used, cached):
    name, files = "", ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        name, files = "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    place = folder / name / "job"
    place.mkdir(parents=True)
    (folder / "membership").write_text(f"{'0:' if version == 2 else '4:memory'}:/job\n")
    (place / files[0]).write_text(f"{most}\n")
    (place / files[1]).write_text(f"{used}\n")
    (place / "memory.stat").write_text(f"anon 7\n{files[2]} {cached}\n")


def limited(monkeypatch, **limits_bytes):
    kept = resource.getrlimit
    named = {getattr(resource, name): (value, value) for name, value in limits_bytes.items()}
    monkeypatch.setattr(resource, "getrlimit", lambda kind: named.get(kind) or kept(kind))


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_leaves_what_it_has_not_used_and_what_it_would_give_up(this_machine, version):
    assert (machine.free_memory_bytes(), machine.whole_memory_bytes()) == (800 * MIB, 1000 * MIB)
    group(this_machine, version, 500 * MIB, 450 * MIB, 30 * MIB)
    assert machine.free_memory_bytes() == machine.free_shared_bytes() == 80 * MIB
    assert machine.whole_memory_bytes() == 500 * MIB


def test_a_group_that_is_over_its_limit_leaves_nothing(this_machine):
    group(this_machine, 2, 500 * MIB, 600 * MIB, 0)
    assert machine.free_memory_bytes() == 0


@pytest.mark.parametrize(
    ("given", "free", "addresses"),
    [
        ({"RLIMIT_AS": 300 * MIB}, 200, 200),
        ({"RLIMIT_DATA": 300 * MIB}, 240, None),
        ({"RLIMIT_AS": 300 * MIB, "RLIMIT_DATA": 100 * MIB}, 40, 200),
        ({"RLIMIT_AS": 50 * MIB}, 0, 0),
        ({"RLIMIT_AS": resource.RLIM_INFINITY}, 800, None),
    ],
)
def test_ulimit_is_this_process_s_own(monkeypatch, given, free, addresses):
    limited(monkeypatch, **given)
    assert machine.free_memory_bytes() == free * MIB
    assert machine.free_addresses_bytes() == (None if addresses is None else addresses * MIB)
    assert machine.free_shared_bytes() == 800 * MIB  # workers have limits of their own


def test_a_limit_that_is_set_for_real(monkeypatch):
    monkeypatch.undo()
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + 256 * MIB
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    try:
        assert machine.free_memory_bytes() < 2**30  # some may have been given back
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="the kernel tells it there alone")
def test_what_is_resident_of_a_mapped_file_is_told(tmp_path):
    for name in ("images.npy", "other images.npy"):
        np.save(tmp_path / name, np.zeros(2**20, np.uint8))
    image, other = (np.load(tmp_path / name, mmap_mode="r") for name in ("images.npy", "other images.npy"))
    assert machine.mapped_bytes(tmp_path / "images.npy") == 0
    assert not image.any()
    assert 2**20 <= machine.mapped_bytes(tmp_path / "images.npy") < 2**20 + 2**17
    assert not other.any()
    assert machine.mapped_bytes(tmp_path / "nothing.npy") == 0


def test_a_new_process_has_not_the_memory_of_its_parent():
    held = np.ones(100 << 20, np.uint8)
    code = "from kerasgrid.machine import peak_memory_bytes; print(peak_memory_bytes())"
    found = int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert 1 << 20 < found < len(held)
