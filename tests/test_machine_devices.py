import os
import stat

import pytest

from kerasgrid import machine
from kerasgrid.machine import (
    count_gpus,
    default_workers,
    gpu_memory_bytes,
    own_memory_bytes,
    worker_environments,
    worker_share_bytes,
)

GIB = 2**30


@pytest.fixture(autouse=True)
def of_eight_cores(monkeypatch, tmp_path):
    """A machine of 8 cores and much memory, no GPU, no container and nothing set."""
    for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    monkeypatch.delenv("TF_CPU_ALLOCATOR_USE_BFC", raising=False)
    monkeypatch.delenv("TF_CPU_BFC_MEM_LIMIT_IN_MB", raising=False)
    monkeypatch.delenv("KERASGRID_MEMORY_MB", raising=False)
    monkeypatch.delenv("XLA_CLIENT_MEM_FRACTION", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(machine, "_DRIVER", tmp_path / "gpus")
    monkeypatch.setattr(machine, "_PROCESSOR", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(machine, "_ROOT", tmp_path / "cgroup")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: Memory(100 * GIB))
    return tmp_path


class Memory:
    def __init__(self, available):
        self.available = available
        self.total = 128 * GIB


def install_gpus(folder, n):
    for i in range(n):
        (folder / "gpus" / f"0000:0{i}:00.0").mkdir(parents=True)


def install_nvidia_smi(folder, script):
    path = folder / "bin" / "nvidia-smi"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("installed", "visible", "expected"),
    [
        (0, None, 0),
        (0, "0", 0),
        (2, None, 2),
        (4, "", 0),
        (4, "-1", 0),
        (4, "0", 1),
        (4, "3, 1", 2),
        (4, "0,-1,1", 1),
        (4, "0,7,1", 1),
        (4, "GPU-8932f937,MIG-4a1", 2),
    ],
)
def test_count_gpus(of_eight_cores, monkeypatch, installed, visible, expected):
    install_gpus(of_eight_cores, installed)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus() == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'; echo '  MIG 1g.10gb Device 0: (UUID: MIG-1)';"
            "echo 'GPU 1: NVIDIA H100 (UUID: GPU-2)'",
            2,
        ),
        ("echo 'No devices were found'", 0),
        ("echo 'GPU 0: half'; exit 9", 0),
        ("exec /bin/sleep 20", 0),
    ],
)
def test_nvidia_smi_counts_gpus_where_the_driver_tells_nothing(of_eight_cores, monkeypatch, script, expected):
    monkeypatch.setattr(machine, "_NVIDIA_SMI_TIMEOUT_S", 0.3)
    install_nvidia_smi(of_eight_cores, script)
    assert count_gpus() == expected


@pytest.mark.parametrize(
    ("gpus", "cores", "memory_gib", "expected"),
    [
        (0, 8, 100, 8),
        (0, 8, 7, 4),
        (0, 8, 0.5, 1),
        (0, 64, 900, 16),
        (3, 8, 100, 3),
        (2, 1, 100, 2),
        (4, 8, 3.1, 2),
        (20, 8, 100, 20),
    ],
)
def test_default_workers(of_eight_cores, monkeypatch, gpus, cores, memory_gib, expected):
    install_gpus(of_eight_cores, gpus)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: Memory(int(memory_gib * GIB)))
    assert default_workers() == expected


@pytest.mark.parametrize(
    ("gpus", "share", "expected"),
    [(2, 1.0, 2), (2, 0.5, 4), (2, 0.3, 6), (1, 0.1, 10), (2, 0.7, 2), (1, 1 / 3, 3), (0, 0.5, 8)],
)
def test_default_workers_are_counted_by_their_share_of_a_gpu(of_eight_cores, gpus, share, expected):
    install_gpus(of_eight_cores, gpus)
    assert default_workers(share) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"membership": "0::/\n", "cgroup/cpu.max": "max 100000\n"}, 8),
        ({"membership": "0::/\n", "cgroup/cpu.max": "250000 100000\n"}, 2),
        ({"membership": "0::/\n", "cgroup/cpu.max": "50000 100000\n"}, 1),
        ({"membership": "0::/a/b\n", "cgroup/a/cpu.max": "300000 100000\n"}, 3),
        ({"membership": "0::/a/b\n", "cgroup/a/cpu.max": "3 1\n", "cgroup/a/b/cpu.max": "max 1\n"}, 3),
        (
            {
                "membership": "3:cpu,cpuacct:/\n0::/\n",
                "cgroup/cpu/cpu.cfs_quota_us": "400000\n",
                "cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "membership": "3:cpu:/\n",
                "cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            8,
        ),
        (
            {
                "membership": "0::/a\n",
                "cgroup/a/memory.max": f"{7 * GIB}\n",
                "cgroup/a/memory.current": f"{6 * GIB}\n",
                "cgroup/a/memory.stat": f"anon 5\ninactive_file {2 * GIB}\nslab 7\n",
                "cgroup/memory.max": "max\n",
                "cgroup/memory.current": f"{9 * GIB}\n",
            },
            2,
        ),
        (
            {
                "membership": "4:memory:/a\n",
                "cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "cgroup/memory/memory.usage_in_bytes": f"{90 * GIB}\n",
                "cgroup/memory/a/memory.limit_in_bytes": f"{10 * GIB}\n",
                "cgroup/memory/a/memory.usage_in_bytes": f"{8 * GIB}\n",
                "cgroup/memory/a/memory.stat": f"inactive_file 1\ntotal_inactive_file {GIB}\n",
            },
            2,
        ),
    ],
)
def test_default_workers_keeps_to_what_the_container_leaves(of_eight_cores, files, expected):
    write(of_eight_cores, files)
    assert default_workers() == expected


def test_worker_environments_without_gpus_share_the_cores():
    expected = {
        "OMP_NUM_THREADS": "2",
        "TF_NUM_INTRAOP_THREADS": "2",
        "TF_NUM_INTEROP_THREADS": "2",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "KERASGRID_MEMORY_MB": "43690",
        "TF_CPU_ALLOCATOR_USE_BFC": "true",
        "TF_CPU_BFC_MEM_LIMIT_IN_MB": "262144",
        "CUDA_VISIBLE_DEVICES": "-1",
    }
    assert worker_environments(3) == [expected] * 3
    assert worker_environments(20)[19]["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    ("files", "n_workers", "expected"),
    [
        ({}, 4, 32 * GIB),
        ({}, 100, 2 * GIB),
        ({"membership": "0::/a/b", "cgroup/a/memory.max": str(12 * GIB)}, 3, 4 * GIB),
        ({"membership": "0::/a", "cgroup/a/memory.max": "max"}, 1, 128 * GIB),
        ({"membership": "4:memory:/a", "cgroup/memory/a/memory.limit_in_bytes": str(8 * GIB)}, 2, 4 * GIB),
    ],
)
def test_a_worker_has_its_share_of_the_memory(of_eight_cores, files, n_workers, expected):
    write(of_eight_cores, files)
    assert worker_share_bytes(n_workers) == expected


def test_the_user_may_give_a_worker_its_memory(monkeypatch):
    """Also a program of the user's own, which is no worker; at most what is there."""
    assert 100 * GIB < own_memory_bytes() < 110 * GIB
    monkeypatch.setenv("KERASGRID_MEMORY_MB", "3000")
    assert worker_share_bytes(4) == own_memory_bytes() == 3000 * 2**20
    assert "KERASGRID_MEMORY_MB" not in worker_environments(4)[0]
    monkeypatch.setenv("KERASGRID_MEMORY_MB", "300000")
    assert 100 * GIB < own_memory_bytes() < 110 * GIB


def test_worker_environments_leave_what_the_user_has_set(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    environment = worker_environments(1)[0]
    assert "TF_CPP_MIN_LOG_LEVEL" not in environment
    assert "OMP_NUM_THREADS" not in environment
    assert environment["TF_NUM_INTRAOP_THREADS"] == "8"


@pytest.mark.parametrize(
    ("visible", "n_workers", "expected", "shared"),
    [
        (None, 2, ["0", "1"], False),
        (None, 3, ["0", "1", "0"], True),
        ("1", 2, ["1", "1"], True),
        ("1,0", 2, ["1", "0"], False),
        ("GPU-a,GPU-b", 1, ["GPU-a"], False),
        ("", 2, ["-1", "-1"], False),
    ],
)
def test_worker_environments_deal_out_gpus(of_eight_cores, monkeypatch, visible, n_workers, expected, shared):
    install_gpus(of_eight_cores, 2)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environments = worker_environments(n_workers)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == expected
    assert ["TF_FORCE_GPU_ALLOW_GROWTH" in environment for environment in environments] == [
        shared
    ] * n_workers
    assert ["TF_CPU_ALLOCATOR_USE_BFC" in environment for environment in environments] == [
        visible == ""
    ] * n_workers


@pytest.mark.parametrize(
    ("visible", "n_workers", "share", "expected", "own"),
    [
        (None, 2, None, (None, None), 40_000),
        (None, 2, 1.0, (None, None), 40_000),
        (None, 3, None, ("18000", "0.4500"), 40_000),
        (None, 4, 0.5, ("18000", "0.4500"), 40_000),
        (None, 1, 0.5, ("18000", "0.4500"), 40_000),  # others may have the rest
        ("GPU-b", 3, None, ("24300", "0.3000"), 81_000),
        ("1,0", 1, None, (None, None), 81_000),
        ("", 4, 0.5, (None, None), None),
    ],
)
def test_workers_share_a_gpus_memory(of_eight_cores, monkeypatch, visible, n_workers, share, expected, own):
    install_gpus(of_eight_cores, 2)
    install_nvidia_smi(of_eight_cores, "echo '0, GPU-a, 40000'; echo '1, GPU-b, 81000'")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environments = worker_environments(n_workers, share)
    names = ("KERASGRID_GPU_MEMORY_MB", "XLA_CLIENT_MEM_FRACTION")
    assert {tuple(environment.get(name) for name in names) for environment in environments} == {expected}
    assert gpu_memory_bytes() == ([] if own is None else [own * 2**20])
    monkeypatch.setenv("KERASGRID_GPU_MEMORY_MB", "7")
    assert gpu_memory_bytes() == [7 * 2**20]


def test_a_gpu_whose_memory_nobody_tells_has_no_known_share(of_eight_cores):
    install_gpus(of_eight_cores, 1)
    install_nvidia_smi(of_eight_cores, "echo '0, GPU-a, [N/A]'")
    assert gpu_memory_bytes() == []
    assert "KERASGRID_GPU_MEMORY_MB" not in worker_environments(2)[0]


@pytest.mark.parametrize(
    ("threads", "share", "expected"), [(1, 0.0, "1"), (3, 0.0, "3"), (1, 0.5, "2"), (1, 1.0, "4")]
)
def test_a_place_in_a_cluster_has_its_threads_whatever_is_set(
    of_eight_cores, monkeypatch, threads, share, expected
):
    install_gpus(of_eight_cores, 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "7")
    environment = machine.cluster_environment(threads, share)
    assert {environment[name] for name in machine.THREADS} == {expected}


def test_what_a_machine_has_is_not_passed_on_to_others(monkeypatch):
    given = {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "TF_CPU_ALLOCATOR_USE_BFC": "true",
        "TF_GPU_HOST_MEM_LIMIT_IN_MB": "9",
        "TF_XLA_FLAGS": "/opt/x",
        "XLA_FLAGS": "--xla_a=1 --xla_dump_to=/tmp/x --xla_b=2",
        "XLA_CLIENT_MEM_FRACTION": ".2",
        "JAX_COMPILATION_CACHE_DIR": "here",
        "HOME": "/root",
        "KERAS_BACKEND": "jax",
    }
    monkeypatch.setattr(os, "environ", given)
    assert machine.passed_on() == {
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "XLA_FLAGS": "--xla_a=1 --xla_b=2",
        "KERAS_BACKEND": "jax",
    }


@pytest.mark.parametrize("name", ["XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"])
def test_jax_is_given_its_fraction_by_one_name_alone(of_eight_cores, monkeypatch, name):
    """It refuses both."""
    install_gpus(of_eight_cores, 1)
    monkeypatch.setenv(name, ".2")
    assert not {"XLA_CLIENT_MEM_FRACTION", "XLA_PYTHON_CLIENT_MEM_FRACTION"} & {*worker_environments(2)[0]}


ANSWERS = "echo '0, GPU-a, NVIDIA H200'; echo '1, GPU-b, NVIDIA A100, 80GB'"


@pytest.mark.parametrize(
    ("gpus", "script", "visible", "expected"),
    [
        (2, ANSWERS, None, ["NVIDIA H200", "NVIDIA A100, 80GB"]),
        (2, ANSWERS, "1", ["NVIDIA A100, 80GB"]),
        (2, ANSWERS, "GPU-b,GPU-a", ["NVIDIA A100, 80GB", "NVIDIA H200"]),
        (2, ANSWERS, "MIG-4a1", ["GPU"]),
        (2, "exit 9", None, ["GPU", "GPU"]),
        (2, ANSWERS, "-1", ["AMD EPYC 9B45"]),
        (0, ANSWERS, None, ["AMD EPYC 9B45"]),
    ],
)
def test_of_which_kinds_the_devices_are(of_eight_cores, monkeypatch, gpus, script, visible, expected):
    install_gpus(of_eight_cores, gpus)
    install_nvidia_smi(of_eight_cores, script if gpus else "exit 0")
    (of_eight_cores / "cpuinfo").write_text("processor : 0\nmodel name\t: AMD EPYC 9B45\nflags : fpu\n")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert machine.device_kinds() == expected


def test_a_processor_that_tells_no_model_has_a_kind(of_eight_cores):
    assert all(machine.device_kinds())


def test_this_machine_gives_at_least_one_worker(monkeypatch):
    monkeypatch.undo()
    assert 1 <= default_workers() <= 16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor : 0\nflags\t\t: fpu avx512f avx512_bf16 rdpid\nbugs\t\t: none\n", True),
        ("processor : 0\nflags\t\t: fpu amx_bf16 amx_tile\n", True),
        ("processor : 0\nFeatures\t: fp asimd bf16 i8mm\n", True),
        ("processor : 0\nflags\t\t: fpu avx512f avx512_vnni\n", False),
        ("processor : 0\nflags\t\t:\nbugs\t\t: avx512_bf16\n", False),
        ("processor : 0\nhart : 0\n", None),  # tells no flags
        (None, None),  # another system
    ],
)
def test_a_processor_that_multiplies_bfloat16_says_so(of_eight_cores, text, expected):
    if text is not None:
        (of_eight_cores / "cpuinfo").write_text(text)
    assert machine.multiplies_bfloat16() is expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 9.0; echo 8.0", True),
        ("echo 9.0; echo 7.5", False),
        ("echo N/A", None),
        ("echo none; exit 9", None),
        ("exit 0", None),
    ],
)
def test_a_gpu_that_multiplies_bfloat16_says_so(of_eight_cores, script, expected):
    (of_eight_cores / "cpuinfo").write_text("flags : avx512_bf16\n")
    install_gpus(of_eight_cores, 2)
    install_nvidia_smi(of_eight_cores, script)
    assert machine.multiplies_bfloat16() is expected
