"""What `kerasgrid doctor` says of machines that are whole, and of others; and what it never says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from running import run
from service import CREDENTIALS

from kerasgrid import machine
from kerasgrid.driver import doctor
from kerasgrid.driver.doctor import FAULT, NOTE, OK, WARNING, Diagnosis, diagnose

GIB = 2**30
ASKED = [
    "keras<3.16,>=3.8",
    "hiplot<0.2,>=0.1.33",
    "pillow>=10.4",
    "tensorflow<2.22,>=2.18; extra == 'tensorflow'",
    "tensorflow-cpu<2.22,>=2.18; extra == 'tensorflow-cpu'",
    "jax<0.12,>=0.7; extra == 'jax'",
    "kaggle<3,>=1.8.4; extra == 'kaggle'",
    'optuna<6,>=5.0; extra == "gp"',
    'torch<3,>=2.14; extra == "gp"',
]
INSTALLED = {
    "keras": ("keras", "3.13.2"),
    "hiplot": ("hiplot", "0.1.33"),
    "pillow": ("pillow", "11.3.0"),
    "tensorflow": ("tensorflow-cpu", "2.20.0"),
    "kaggle": ("kaggle", "2.2.5"),
}
SECRETS = [f"canary-{number}-5f2b9c1e" for number in range(8)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A machine that is whole, without a GPU, and a home of nobody; `installed` are its packages."""
    home = tmp_path / "home"
    home.mkdir()
    for name in (*CREDENTIALS, "KERAS_BACKEND", "KERAS_HOME", "KERASGRID_CACHE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    packages = dict(INSTALLED)
    own = {"Requires-Python": ">=3.11,<3.14", "Provides-Extra": ["kaggle", "gp", "dev", "tensorflow"]}
    own = type("Own", (dict,), {"get_all": lambda self, name: self[name]})(own)
    monkeypatch.setattr(metadata, "requires", lambda name: ASKED)
    monkeypatch.setattr(metadata, "metadata", lambda name: own)
    monkeypatch.setattr(machine, "distribution", packages.get)
    monkeypatch.setattr(machine, "_is_there", lambda name: packages.get(name) is not None)
    monkeypatch.setattr(machine, "count_gpus", lambda: 0)
    monkeypatch.setattr(machine, "cpu_quota", lambda: None)
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 8 * GIB)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    return packages


def rows_of(found: Diagnosis, section: str) -> dict[str, tuple[str, str]]:
    return {row.name: (row.mark, row.text) for row in found.rows if row.section == section}


def test_of_a_machine_that_is_whole(here):
    found = diagnose(tries=False)
    assert found.can_search
    assert found.told == {FAULT: [], WARNING: []}
    assert rows_of(found, "Packages")["keras"] == (OK, "3.13.2    >=3.8,<3.16")
    assert rows_of(found, "Backend") == {
        "chosen": (OK, "tensorflow, by default"),
        "version": (OK, "2.20.0 (tensorflow-cpu)  >=2.18,<2.22"),
    }
    assert rows_of(found, "Extras") == {
        "kaggle": (OK, "2.2.5"),
        "gp": ("", 'not installed: pip install "kerasgrid[gp]"'),
    }
    assert rows_of(found, "Kaggle")["credentials"][1].startswith("none; ")
    assert rows_of(found, "Folders")["cache"][1].startswith("~/.cache/kerasgrid, 0 MiB in 0 files; ")
    lines = list(found.lines())
    assert lines[0] == "System"
    assert lines[-1] == "A search can run here."
    assert not list(Path().glob(".kerasgrid-doctor*"))
    assert not Path("results").exists()


@pytest.mark.parametrize(
    ("change", "mark", "told"),
    [
        (
            {"hiplot": None},
            FAULT,
            "Packages, hiplot: not installed; >=0.1.33,<0.2 is needed. Install it with: "
            'pip install "hiplot>=0.1.33,<0.2"',
        ),
        (
            {"pillow": ("pillow", "9.5.0")},
            FAULT,
            "Packages, pillow: 9.5.0 is too old; >=10.4 is needed. Install it with: "
            'pip install "pillow>=10.4"',
        ),
        (
            {"keras": ("keras", "3.17.0")},
            WARNING,
            "Packages, keras: 3.17.0 is newer than what was tried, >=3.8,<3.16. If something fails, it may "
            'be for that: pip install "keras>=3.8,<3.16"',
        ),
        (
            {"tensorflow": ("tensorflow-cpu", "2.15.1")},
            FAULT,
            "Backend, version: 2.15.1 (tensorflow-cpu) is older than what was tried, >=2.18,<2.22. Install "
            'another with: pip install "tensorflow-cpu>=2.18,<2.22"',
        ),
        (
            {"tensorflow": ("tf-nightly", "2.23.0.dev1")},
            WARNING,
            "Backend, version: 2.23.0.dev1 (tf-nightly) is newer than what was tried, >=2.18,<2.22. Install "
            'another with: pip install "tf-nightly>=2.18,<2.22"',
        ),
        (
            {"tensorflow": None},
            FAULT,
            "Backend, chosen: by default it is 'tensorflow', and the package tensorflow is not installed. "
            'Install it with: pip install "kerasgrid[tensorflow]".',
        ),
    ],
)
def test_of_packages_that_are_missing_or_out_of_range(here, change, mark, told):
    here |= change
    found = diagnose(tries=False)
    assert [f"{fault.path}: {fault.message}" for fault in found.told[mark]] == [told]
    assert found.can_search == (mark == WARNING)
    assert f"  {told}" in list(found.lines())


def test_an_extra_that_is_too_old_stops_no_search(here):
    here["kaggle"] = ("kaggle", "1.7.4.5")
    found = diagnose(tries=False)
    needed = '1.7.4.5; kaggle>=1.8.4,<3 is needed: pip install "kerasgrid[kaggle]"'
    assert rows_of(found, "Extras")["kaggle"] == (NOTE, needed)
    assert found.can_search


def test_of_an_environment_without_what_compares_versions(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "packaging.specifiers", None)
    here["pillow"] = ("pillow", "9.5.0")
    assert rows_of(diagnose(tries=False), "Packages")["pillow"] == (OK, "9.5.0     >=10.4")


def test_of_a_copy_that_is_not_installed(here, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    for name in ("requires", "metadata", "distribution"):
        monkeypatch.setattr(metadata, name, missing)
    found = diagnose(tries=False)
    assert found.can_search
    [told] = found.told[WARNING]
    assert told.path == "System, kerasgrid"
    assert told.message.startswith("not installed, and runs from ")


def test_a_look_that_fails_stops_no_other(here, monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1 / 0)
    found = diagnose(tries=False)
    [told] = found.told[WARNING]
    assert (told.path, told.message) == (
        "Machine, looking",
        "failed with ZeroDivisionError: division by zero.",
    )
    assert rows_of(found, "Folders")


def test_of_a_container_with_little(here, monkeypatch):
    monkeypatch.setattr(machine, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: GIB // 2)
    monkeypatch.setattr(machine, "whole_memory_bytes", lambda: 2 * GIB)
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    found = diagnose(tries=False)
    rows = rows_of(found, "Machine")
    assert rows["cores"][1].endswith("; a quota of 1.5")
    assert rows["memory"] == (WARNING, "0.5 GiB free, of 2.0")
    assert "Google Colab" in rows_of(found, "System")["within"][1]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'NVIDIA H200, 143771 MiB, 570.86.10'", "NVIDIA H200, 143771 MiB, 570.86.10"),
        ("exit 9", "nvidia-smi failed: CalledProcessError: "),
    ],
)
def test_what_the_driver_says_of_gpus(here, monkeypatch, tmp_path, script, told):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(program))
    monkeypatch.setattr(machine, "count_gpus", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    rows = rows_of(diagnose(tries=False), "Machine")
    assert rows["GPUs"] == ("", "1 to use, by CUDA_VISIBLE_DEVICES of '0'")
    assert rows[""][1].startswith(told)


@pytest.mark.parametrize(
    ("script", "kinds", "shares"),
    [
        (
            'case "$1" in *name) echo "0, GPU-a, A"; echo "1, GPU-b, B";; *) echo "0, GPU-a, 40000"; '
            'echo "1, GPU-b, 81000";; esac',
            (WARNING, "A and B: last bits differ from one to the other"),
            "a worker has a whole one; at executor.gpus_per_worker: 0.5 it shares one with another, and has "
            "18,000 MiB",
        ),
        (
            "exit 9",
            None,
            "a worker has a whole one; at executor.gpus_per_worker: 0.5 it shares one with another",
        ),
    ],
)
def test_which_shares_of_gpus_workers_have(here, monkeypatch, tmp_path, script, kinds, shares):
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: str(program))
    monkeypatch.setattr(machine, "count_gpus", lambda: 2)
    monkeypatch.setattr(machine, "_visible_gpus", lambda: ["0", "1"])
    rows = rows_of(diagnose(tries=False), "Machine")
    assert rows.get("kinds") == kinds
    assert rows["GPU shares"] == ("", shares)


def test_a_folder_that_cannot_be_written_is_told(here, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "file" / "cache"))
    found = diagnose(tmp_path / "file" / "results", tries=False)
    told = {fault.path: fault.message for fault in found.told[FAULT]}
    assert ": Not a directory. Set" in told["Folders, cache"]
    assert told["Folders, cache"].endswith("Set KERASGRID_CACHE to a folder that can be written.")
    assert told["Folders, results"].endswith("Give --results DIR, a folder that can be written.")


@pytest.mark.parametrize(
    ("reached", "error", "told"),
    [
        (
            {},
            "no end within 300 s",
            {"Small search, worker": "no end within 300 s. See what it says by itself: "},
        ),
        (
            {"device": "cpu"},
            "ValueError: x",
            {
                "Small search, trains on": "cpu, though the driver has 2 GPUs. tensorflow-cpu does not use "
                'them. Its build for GPUs is installed with: pip install "tensorflow[and-cuda]"',
                "Small search, plain fit": "ValueError: x. See what it says by itself: python -c ",
            },
        ),
        (
            {"device": "gpu:0", "fit": True},
            "its process was killed",
            {"Small search, pack": "its process was killed. "},
        ),
        (
            {"device": "gpu:0", "fit": True, "refused": "no graph"},
            None,
            {"Small search, pack": "none: no graph. Searches "},
        ),
        (
            {"device": "gpu:0", "fit": True, "pack": 0.5},
            None,
            {"Small search, pack": "trains 2 fits at once; losses differ"},
        ),
        ({"device": "gpu:0", "fit": True, "pack": 1e-7}, None, {}),
    ],
)
def test_how_far_the_small_search_came(here, monkeypatch, reached, error, told):
    monkeypatch.setattr(machine, "count_gpus", lambda: 2)
    found = Diagnosis()
    doctor._tell_search(found, reached, error, 3.0)
    faults = {fault.path: fault.message for faults in found.told.values() for fault in faults}
    assert faults.keys() == told.keys()
    assert all(faults[name].startswith(text) for name, text in told.items())


def test_no_secret_and_no_name_is_told(here, monkeypatch, tmp_path):
    """Tokens, keys and passwords of each kind, in the environment, in files and in what an error says."""
    home, one = tmp_path / "home", iter(SECRETS)
    monkeypatch.setenv("KAGGLE_API_TOKEN", next(one))
    monkeypatch.setenv("KAGGLE_USERNAME", next(one))
    monkeypatch.setenv("KAGGLE_KEY", next(one))
    monkeypatch.setenv("TF_VAR_database", next(one))
    monkeypatch.setenv("HTTPS_PROXY", f"http://somebody:{next(one)}@proxy:8080")
    monkeypatch.setenv("KERASGRID_SECRET_OF_ANOTHER", SECRETS[0])
    monkeypatch.setenv("XLA_FLAGS", f"--dump={home}/dumps --upload=https://us:{next(one)}@host/x")
    (home / ".kaggle").mkdir()
    (home / ".kaggle" / "kaggle.json").write_text(json.dumps({"username": "me", "key": next(one)}))
    (home / ".kaggle" / "kaggle.json").chmod(0o644)
    (home / ".kaggle" / "access_token").write_text(next(one))
    monkeypatch.setattr(machine, "cpu_quota", lambda: int(SECRETS[0]))  # an error that repeats it
    monkeypatch.setenv("USER", "jane")
    monkeypatch.setenv("LOGNAME", "jane")
    monkeypatch.setenv("PYTHONPATH", "/scratch/jane/code:/data")
    found = diagnose(tries=False)
    printed = "\n".join(found.lines()) + json.dumps(found.as_json())
    assert [secret for secret in SECRETS if secret in printed] == []
    assert str(home) not in printed
    assert "jane" not in printed
    assert rows_of(found, "Environment")["PYTHONPATH"] == ("", "/scratch/USER/code:/data")
    assert rows_of(found, "Environment")["HTTPS_PROXY"] == ("", "is set")
    assert rows_of(found, "Kaggle")["credentials"] == (
        OK,
        "from KAGGLE_API_TOKEN; after it ~/.kaggle/access_token, KAGGLE_USERNAME and KAGGLE_KEY and "
        "~/.kaggle/kaggle.json",
    )
    assert rows_of(found, "Kaggle")["file"][0] == WARNING
    assert "chmod 600 ~/.kaggle/kaggle.json" in printed


def test_the_exit_code_and_json(here, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "_try", lambda found, doing: None)
    assert run(monkeypatch, "doctor", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["can_search"] is True
    assert {"section": "Backend", "name": "chosen", "found": "tensorflow, by default", "mark": OK} in told[
        "rows"
    ]
    here["hiplot"] = None
    assert run(monkeypatch, "doctor") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "Mend the faults first; then look again."
    assert run(monkeypatch, "doctor", "--json") == 1
    assert json.loads(capsys.readouterr().out)["faults"][0]["where"] == "Packages, hiplot"


@pytest.mark.slow
def test_it_works_where_most_packages_are_missing(tmp_path):
    """Those that are imported at the top of a file somewhere are broken here."""
    for name in ("numpy", "pandas", "sklearn", "hiplot", "keras", "matplotlib", "tensorflow", "jax"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('it is broken')")
    program = "from kerasgrid.cli import main; main()"
    paths = os.pathsep.join([str(tmp_path), str(Path(doctor.__file__).parents[2])])
    environment = {**os.environ, "PYTHONPATH": paths, "KERAS_BACKEND": "jax"}
    asked = [sys.executable, "-c", program, "doctor"]
    done = subprocess.run(asked, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert "Small search, worker: ImportError: it is broken. See what it says by itself: " in done.stdout
    assert done.stderr == "A small search is tried, which takes some seconds.\n"


@pytest.mark.slow
def test_a_small_search_that_does_not_end_is_killed(here, monkeypatch):
    monkeypatch.setattr(doctor, "SEARCH_S", 0.0)
    said = []
    found = diagnose(doing=said.append)
    assert said == ["A small search is tried, which takes some seconds."]
    assert rows_of(found, "Small search") == {"worker": (FAULT, "no end within 0 s")}


@pytest.mark.slow
@pytest.mark.backend
def test_a_small_search_runs_here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = diagnose()
    trial = rows_of(found, "Small search")
    assert {name: mark for name, (mark, _) in trial.items() if name != "took"} == dict.fromkeys(
        ("worker", "trains on", "plain fit", "pack"), OK
    ), found.told
    assert not list(tmp_path.iterdir())
