"""What this machine has, and whether a search can run here: what one pastes into a report of a fault.

It imports little, so that it works where a package is missing or broken, and tries a search in a process of
its own. The home folder and the user's name are shortened, and no password, token or key is told.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from kerasgrid import machine
from kerasgrid.errors import Fault, KerasgridError, brief
from kerasgrid.io import cache_folder, scratch_folder
from kerasgrid.locks import FolderLock
from kerasgrid.spawning import Child, Ended, Parent
from kerasgrid.submit.refusals import find_credentials
from kerasgrid.wording import count, joined, masked, shortened, visible_line

OK, NOTE, WARNING, FAULT = "ok", "note", "warning", "fault"
_SEARCH = "Small search"
SEARCH_S = 300.0
"""What a small search is given: a busy machine may need a minute to import a backend."""
TOLERANCE = 1e-3
"""Of the losses of a pack, relative to those of plain fits: float32's rounding, and some more."""
_LEAST_FREE_BYTES = 2**30
_OTHER_EXTRAS = {"all", "dev", "docs", "tensorflow", "tensorflow-cpu", "jax"}
"""Those of developers, and backends, of which one is enough."""
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[[^]]*\])? *\(?(?P<range>[^;)]*)\)?(?:.*extra *== *['\"](?P<extra>[^'\"]+))?"
)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)
_SHORTEST_SECRET, _LONGEST_VALUE = 8, 150
_VARIABLE = re.compile(
    r"(KERASGRID|KERAS|XLA|JAX|OMP|MKL|OPENBLAS|CUDA|NVIDIA)_\w+|LD_LIBRARY_PATH|PYTHON(PATH|HOME)|RAY_ADDRESS|"
    r"TF_(CPP|NUM|FORCE|XLA|GPU|ENABLE|DETERMINISTIC|CUDNN|USE|CPU)_\w+"  # others are Terraform's
)
_PLACES = {
    "COLAB_RELEASE_TAG": "Google Colab",
    "KAGGLE_KERNEL_RUN_TYPE": "a notebook of Kaggle's",
    "KUBERNETES_SERVICE_HOST": "Kubernetes",
    "APPTAINER_CONTAINER": "Apptainer",
    "SLURM_JOB_ID": "Slurm",
    "CONDA_PREFIX": "conda",
}


@dataclass(frozen=True)
class Row:
    """One thing that was looked at: where it is listed, what was found, and how that is judged."""

    section: str
    name: str
    text: str
    mark: str = ""


@dataclass
class Diagnosis:
    """All that was looked at.

    Attributes:
        told: What has to be mended, under FAULT, and what may have to be, under WARNING.
    """

    rows: list[Row] = field(default_factory=list)
    told: dict[str, list[Fault]] = field(default_factory=lambda: {FAULT: [], WARNING: []})

    @property
    def can_search(self) -> bool:
        """Whether a search can run here."""
        return not self.told[FAULT]

    def add(self, section: str, name: str, text: object, mark: str = "", do: str = "") -> None:
        """Lists one thing.

        Args:
            mark: How it is judged; empty for what is neither right nor wrong.
            do: Of a warning or a fault, what to do: a sentence.
        """
        found = _shown(str(text))
        self.rows.append(Row(section, name, found, mark))
        if mark in self.told:
            self.told[mark].append(Fault(f"{section}, {name}", f"{found.rstrip('.')}. {_shown(do)}".strip()))

    def lines(self) -> Iterator[str]:
        """Yields what to print: section by section, and at the end what is to be mended."""
        width, section = 0, ""
        for row in self.rows:
            if row.section != section:
                yield from ["", row.section] if section else [row.section]
                section = row.section
                width = max(len(one.name) for one in self.rows if one.section == section)
            yield f"  {row.mark:<7}  {row.name:<{width}}  {row.text}"
        for mark, found in self.told.items():
            if found:
                yield from ["", f"{count(len(found), mark)}:"]
                yield from (f"  {fault.path}: {fault.message}" for fault in found)
        yield ""
        yield "A search can run here." if self.can_search else "Mend the faults first; then look again."

    def as_json(self) -> dict[str, Any]:
        """Returns the same as a JSON object; `faults` and `warnings` each with their place."""
        told = {
            f"{mark}s": [{"where": fault.path, "message": fault.message} for fault in found]
            for mark, found in self.told.items()
        }
        rows = [
            {"section": one.section, "name": one.name, "found": one.text, "mark": one.mark}
            for one in self.rows
        ]
        return {"can_search": self.can_search, **told, "rows": rows}


def diagnose(
    results: str | Path = "results", doing: Callable[[str], object] = lambda _: None, *, tries: bool = True
) -> Diagnosis:
    """Looks at this machine, its packages and what they can do.

    Args:
        results: The folder for results.
        doing: Is told what takes a while, in a sentence.
        tries: Whether a small search is run.
    """
    found = Diagnosis()
    looks: dict[str, Callable[[], None]] = {
        "System": lambda: _look_at_system(found),
        "Packages": lambda: _look_at_packages(found),
        "Backend": lambda: _look_at_backend(found),
        "Machine": lambda: _look_at_machine(found),
        "Folders": lambda: _look_at_folders(found, Path(results)),
        _SEARCH: lambda: _try(found, doing) if tries else None,
        "Extras": lambda: _look_at_extras(found),
        "Kaggle": lambda: _look_at_credentials(found),
        "Environment": lambda: _look_at_variables(found),
    }
    for section, look in looks.items():
        try:
            look()
        except Exception as error:  # what else there is matters all the more
            found.add(section, "looking", f"failed with {brief(error)}", WARNING)
    return found


def _look_at_system(found: Diagnosis) -> None:
    asked = _own("Requires-Python")
    kind = "" if sys.prefix == sys.base_prefix else ", a virtual environment"
    python = f"{platform.python_version()}, {sys.executable}{kind}"
    if _side(platform.python_version(), asked) is None:
        found.add("System", "Python", python, OK)
    else:
        do = "Make an environment with such a one."
        found.add("System", "Python", f"{python}; {asked} is needed", FAULT, do)
    name = platform.platform()
    with suppress(OSError, AttributeError):
        name += f", {platform.freedesktop_os_release()['PRETTY_NAME']}"
    found.add("System", "system", name)
    inside = [place for variable, place in _PLACES.items() if os.environ.get(variable)]
    if any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))):
        inside.append("a container")
    found.add("System", "within", joined(inside) if inside else "nothing that is known")
    here = Path(__file__).parents[1]
    try:
        own = metadata.distribution("kerasgrid")
    except metadata.PackageNotFoundError:
        do = "Install it: pip install FOLDER, with that folder."
        found.add("System", "kerasgrid", f"not installed, and runs from {here.parent}", WARNING, do)
        return
    origin = json.loads(own.read_text("direct_url.json") or "{}")
    how = "editable" if origin.get("dir_info", {}).get("editable") else "installed"
    found.add("System", "kerasgrid", f"{own.version}, {how}, runs from {here}", OK)


def _own(name: str) -> str:
    """Returns what kerasgrid's own metadata have of a name; nothing where it is not installed."""
    with suppress(metadata.PackageNotFoundError, KeyError):
        return metadata.metadata("kerasgrid")[name] or ""
    return ""


def _asked(of: str = "") -> dict[str, str]:
    """Returns the ranges of what kerasgrid asks for, or one of its extras, by the package's name."""
    with suppress(metadata.PackageNotFoundError):
        matches = map(_REQUIREMENT.match, metadata.requires("kerasgrid") or [])
        wanted = (one for one in matches if one and (one["extra"] or "") == of)
        # In order of writing: what a range begins at, then its end.
        return {one["name"]: ",".join(sorted(one["range"].strip().split(","))[::-1]) for one in wanted}
    return {}


def _side(version: str, asked: str) -> str | None:
    """Returns on which side of a range a version lies: `older` or `newer`; None within it.

    None, too, where the package that compares versions is missing.
    """
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return None
    out = [one for one in SpecifierSet(asked) if not one.contains(version, prereleases=True)]
    return ("older" if any(one.operator.startswith(">") for one in out) else "newer") if out else None


def _look_at_packages(found: Diagnosis) -> None:
    for name, asked in _asked().items():
        there = machine.distribution(name)
        do = f'Install it with: pip install "{name}{asked}"'
        if there is None:
            found.add("Packages", name, f"not installed; {asked} is needed", FAULT, do)
            continue
        side = _side(there[1], asked)
        if side == "older":
            found.add("Packages", name, f"{there[1]} is too old; {asked} is needed", FAULT, do)
        elif side == "newer":
            do = f'If something fails, it may be for that: pip install "{name}{asked}"'
            found.add("Packages", name, f"{there[1]} is newer than what was tried, {asked}", WARNING, do)
        else:
            found.add("Packages", name, f"{_named(name, there):<8}  {asked}", OK)


def _named(package: str, there: tuple[str, str]) -> str:
    """Returns a version, with the name that it was installed under where that is another."""
    name, version = there
    return version if name.replace("_", "-").lower() == package.lower() else f"{version} ({name})"


def _look_at_backend(found: Diagnosis) -> None:
    name, by = machine.backend(), "by default"
    if os.environ.get("KERAS_BACKEND"):
        by = "by KERAS_BACKEND"
    elif machine.config_path().exists():
        by = f"by {machine.config_path()}"
    if fault := machine.backend_fault():
        what, _, do = fault.message.partition(". ")
        found.add("Backend", "chosen", f"{by} it {what}", FAULT, do)
        return
    found.add("Backend", "chosen", f"{name}, {by}", OK)
    there = machine.distribution(name)
    if there is None:
        found.add("Backend", "version", "not known: no package says that it has it", WARNING)
        return
    asked = _asked(there[0]).get(there[0]) or _asked(name).get(name, "")
    side = _side(there[1], asked)
    if side is None:
        found.add("Backend", "version", f"{_named(name, there)}  {asked}", OK)
        return
    text = f"{_named(name, there)} is {side} than what was tried, {asked}"
    do = f'Install another with: pip install "{there[0]}{asked}"'
    found.add("Backend", "version", text, FAULT if side == "older" else WARNING, do)


def _look_at_machine(found: Diagnosis) -> None:
    cores, quota = machine.usable_cores(), machine.cpu_quota()
    limit = "" if quota is None else f"; a quota of {quota:g}"
    found.add("Machine", "cores", f"{cores} to use, of {os.cpu_count()}{limit}")
    free, whole = machine.free_memory_bytes(), machine.whole_memory_bytes()
    memory = f"{free / 2**30:.1f} GiB free, of {whole / 2**30:.1f}"
    found.add("Machine", "memory", memory, *_scarce(free, "A worker needs 1.5 GiB: end other programs."))
    n_gpus, chosen = machine.count_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")
    by = "" if chosen is None else f", by CUDA_VISIBLE_DEVICES of {chosen!r}"
    found.add("Machine", "GPUs", f"{n_gpus or 'none'} to use{by}")
    for line in _nvidia_smi():
        found.add("Machine", "", line)
    kinds = sorted(set(machine.device_kinds()))
    if len(kinds) > 1:
        do = "Choose one kind by CUDA_VISIBLE_DEVICES, where scores are to be the same to the bit."
        found.add("Machine", "kinds", f"{joined(kinds)}: last bits differ from one to the other", WARNING, do)
    if n_gpus:
        half = machine.worker_environments(2 * n_gpus, 0.5)[0].get("KERASGRID_GPU_MEMORY_MB")
        each = f", and has {int(half):,} MiB" if half is not None else ""
        shared = f"at executor.gpus_per_worker: 0.5 it shares one with another{each}"
        found.add("Machine", "GPU shares", f"a worker has a whole one; {shared}")
    n_workers, name = machine.default_workers(), "OMP_NUM_THREADS"
    threads = machine.worker_environments(n_workers)[0].get(name, os.environ.get(name))
    found.add("Machine", "workers", f"{n_workers} at most by default, each with {name} of {threads}")


def _scarce(free: int, do: str) -> tuple[str, str]:
    return (OK, "") if free >= _LEAST_FREE_BYTES else (WARNING, do)


def _nvidia_smi() -> list[str]:
    """Returns what the driver says of each GPU: name, memory and its own version."""
    try:
        return machine.ask_nvidia_smi("--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    except (OSError, subprocess.SubprocessError) as error:
        return [f"nvidia-smi failed: {brief(error)}"]


def _look_at_folders(found: Diagnosis, results: Path) -> None:
    cache = cache_folder()
    sizes: list[int] = []
    with suppress(OSError):  # a file may go meanwhile
        sizes += [path.stat().st_size for path in cache.rglob("*") if path.is_file()]
    held = f", {sum(sizes) / 2**20:.0f} MiB in {count(len(sizes), 'file')}"
    _try_folder(found, "cache", cache, held, "Set KERASGRID_CACHE to a folder that can be written.")
    _try_folder(found, "results", results.absolute(), "", "Give --results DIR, a folder that can be written.")
    with suppress(FileNotFoundError):  # none can be written, which the small search tells
        temporary = Path(tempfile.gettempdir())
        _try_folder(found, "temporary", temporary, "", "Set TMPDIR to a folder that can be written.")


def _try_folder(found: Diagnosis, name: str, folder: Path, more: str, do: str) -> None:
    """Writes to a folder, or to where it would be made, and locks a file there."""
    at = folder
    while not at.exists() and at != at.parent:
        at = at.parent
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".kerasgrid-doctor-", dir=at) as inner,
            FolderLock(Path(inner, "lock"), Path(inner, "heartbeat.json")) as lock,
        ):
            held = "a heartbeat in the place of locks" if lock.beats else "locks hold"
    except (OSError, KerasgridError) as error:
        reason = getattr(error, "strerror", None) or error
        found.add("Folders", name, f"{folder} cannot be written: {reason}", FAULT, do)
        return
    free = shutil.disk_usage(at).free
    text = f"{folder}{more}; {free / 2**30:.1f} GiB free, {held}"
    found.add("Folders", name, text, *_scarce(free, "Make room."))


def _try(found: Diagnosis, doing: Callable[[str], object]) -> None:
    """Runs a small search in a process of its own, and tells how far it came."""
    if machine.backend_fault() is not None:
        found.add(_SEARCH, "search", "not tried, since there is no backend", NOTE)
        return
    doing("A small search is tried, which takes some seconds.")
    reached: dict[str, Any] = {}
    error, began = None, time.monotonic()
    with scratch_folder() as folder:
        process = Child(_search, folder, environment={"KERASGRID_CACHE": str(folder)}, is_silent=True)
        try:
            while "end" not in reached:
                step, value = process.receive(max(0.0, began + SEARCH_S - time.monotonic()))
                reached[step] = value
            error = reached["end"]
        except TimeoutError:
            error = f"no end within {SEARCH_S:.0f} s"
        except Ended:
            error = f"its process {process.ending()[0]}"
        finally:
            process.close(kill=True)
    _tell_search(found, reached, error, time.monotonic() - began)


def _search(asking: Parent, folder: Path) -> None:
    """Is the process of the small search."""
    try:
        from kerasgrid.driver.trying import small_search

        for step in small_search(folder):
            asking.send(step)
    except KerasgridError as error:
        asking.send(("end", str(error)))
    except Exception as error:  # whatever is broken here
        asking.send(("end", brief(error)))
    else:
        asking.send(("end", None))


def _tell_search(found: Diagnosis, reached: dict[str, Any], error: str | None, seconds: float) -> None:
    name, device = machine.backend(), reached.get("device")
    see = f'See what it says by itself: python -c "import keras, {name}"'
    if device is not None:
        found.add(_SEARCH, "worker", "starts and builds a model", OK)
        mark, do = OK, ""
        if device == "cpu" and machine.count_gpus():
            there = (machine.distribution(name) or (name,))[0]
            package = {"jax": "jax[cuda13]"}.get(name, f"{name}[and-cuda]")
            do = f'{there} does not use them. Its build for GPUs is installed with: pip install "{package}"'
            mark = WARNING
            device = f"cpu, though the driver has {count(machine.count_gpus(), 'GPU')}"
        found.add(_SEARCH, "trains on", device, mark, do)
    if "fit" in reached:
        found.add(_SEARCH, "plain fit", "trains", OK)
    if "refused" in reached:
        do = "Searches train fit by fit, more slowly."
        found.add(_SEARCH, "pack", f"none: {reached['refused']}", WARNING, do)
    if "pack" in reached:
        differs, do = reached["pack"], "Search with --set training.pack=off, and report this."
        is_alike = differs <= TOLERANCE
        text = f"trains 2 fits at once; losses differ from those of plain fits by {differs:.1g}"
        found.add(_SEARCH, "pack", text, OK if is_alike else FAULT, "" if is_alike else do)
    if error is not None:
        at = "worker" if device is None else "pack" if "fit" in reached else "plain fit"
        found.add(_SEARCH, at, visible_line(error), FAULT, see)
    else:
        found.add(_SEARCH, "took", f"{seconds:.0f} s, of which most was starting")


def _look_at_extras(found: Diagnosis) -> None:
    known: list[str] = []
    with suppress(metadata.PackageNotFoundError):
        known += metadata.metadata("kerasgrid").get_all("Provides-Extra") or []
    for extra in sorted({*known} - _OTHER_EXTRAS):
        asked = _asked(extra)
        there = {name: machine.distribution(name) for name in asked}
        line = f'pip install "kerasgrid[{extra}]"'
        if not all(there.values()):
            found.add("Extras", extra, f"not installed: {line}")
            continue
        versions = {name: _named(name, one) for name, one in there.items() if one is not None}
        told = ", ".join(one if name == extra else f"{name} {one}" for name, one in versions.items())
        if any(_side(one[1], asked[name]) for name, one in there.items() if one is not None):
            needed = ", ".join(f"{name}{range_}" for name, range_ in asked.items())
            found.add("Extras", extra, f"{told}; {needed} is needed: {line}", NOTE)
        else:
            found.add("Extras", extra, told, OK)


def _look_at_credentials(found: Diagnosis) -> None:
    try:
        credentials = find_credentials()
    except KerasgridError:
        found.add("Kaggle", "credentials", "none; submit and download ask for them, and say how to make some")
        return
    first, *others = credentials.places
    after = f"; after it {joined(others)}" if others else ""
    found.add("Kaggle", "credentials", f"from {first}{after}", OK)
    for warning in credentials.warnings:
        found.add("Kaggle", "file", warning.removeprefix("Warning: "), WARNING)


def _look_at_variables(found: Diagnosis) -> None:
    for name, value in sorted(os.environ.items()):
        if name.lower().endswith("_proxy"):
            found.add("Environment", name, "is set")
        elif _VARIABLE.fullmatch(name) and not _SECRET.search(name):
            found.add("Environment", name, shortened(visible_line(value), _LONGEST_VALUE))


def _shown(text: str) -> str:
    """Returns a text that others may see: without secrets, and without who it was that ran it."""
    secrets = {value for name, value in os.environ.items() if _SECRET.search(name)}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    text = masked(text, *(value for name, value in os.environ.items() if name.lower().endswith("_proxy")))
    for home in {str(Path.home()), os.path.realpath(Path.home())}:
        if len(home) > 1:
            text = re.sub(rf"(?<![\w.~-]){re.escape(home)}(?![\w.-])", "~", text)
    with suppress(KeyError, OSError, ImportError):
        user = getpass.getuser()
        text = re.sub(rf"(?<=[/\\]){re.escape(user)}(?=[/\\]|$)", "USER", text)
    return text
