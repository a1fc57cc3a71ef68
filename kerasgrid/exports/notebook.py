"""A notebook that trains a trial and predicts without a network, and a wheel of kerasgrid beside it."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from kerasgrid.config.callbacks import is_own, split_name
from kerasgrid.data.roles import is_fold_file
from kerasgrid.delivery.finished import FinishedRun, rates_of
from kerasgrid.errors import MissingPackageError, ResultsError
from kerasgrid.io import write_atomic, write_json
from kerasgrid.models.references import (
    IMAGENET,
    NO_WEIGHTS,
    is_found_by_name,
    parse_reference,
    sources_of,
    takes_pixels,
)
from kerasgrid.run.results import runs_of
from kerasgrid.submit.sending import sample_of
from kerasgrid.views.leaderboard import format_score
from kerasgrid.views.pages import escape_markdown
from kerasgrid.wording import count

_WHEEL = "Wheel-Version: 1.0\nGenerator: kerasgrid\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of all files in it, so that the same kerasgrid gives the same wheel."""
_FUNCTION = "preprocessing_function"
_INSTALL = """\
import glob, subprocess, sys

# The wheels that lie beside this notebook, or in data that is attached to it. Nothing is fetched.
INPUT = "/kaggle/input"
wheels = sorted(glob.glob(f"{INPUT}/**/*.whl", recursive=True) + glob.glob("*.whl"))
command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels]
subprocess.run(command, check=True)
"""
_FIND = """\
import json, os

def find(name):
    places = [*sorted(glob.glob(f"{{INPUT}}/**/{{name}}", recursive=True)), name, f"data/{{name}}"]
    found = [place for place in places if os.path.exists(place)]
    if not found:
        raise SystemExit(f"{{name}} is not there: attach the data with it to this notebook.")
    return found[0]

{overrides}
TEST = {test}
SAMPLE = {sample}
print(overrides, TEST, SAMPLE)
"""
_WRITE = """\
from pathlib import Path

path = Path({path!r})
path.parent.mkdir(parents=True, exist_ok=True)
path.write_text({text!r}, encoding='utf-8')
"""
_WEIGHTS = """\
import shutil
from pathlib import Path

path = Path({path!r})  # where the net finds the weights that it begins with
path.parent.mkdir(parents=True, exist_ok=True)
if not path.exists():
    shutil.copyfile(find({name!r}), path)
"""
_IMAGENET = """\
import shutil
from pathlib import Path

# ImageNet's weights, which Keras does not download where they are there.
kept = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"
kept.mkdir(parents=True, exist_ok=True)
for path in glob.glob(f"{INPUT}/**/*.h5", recursive=True):
    shutil.copy(path, kept)
"""
_FIT = """\
import kerasgrid as kg

SEEDS = 1          # models that differ in their initial weights, averaged
fitted = kg.fit({results!r}, seeds=SEEDS, overrides=overrides)
for card in fitted.cards:
    print(card["file"], card["how"], f"loss {{card['history']['loss'][-1]:.4g}}")
assert not fitted.failed, fitted.failed
"""
_PREDICT = """\
from pathlib import Path
from kerasgrid.delivery.submission import write_submission

TTA = 0            # augmented views of each sample
predicted = kg.predict({results!r}, TEST, tta=TTA, overrides=overrides)
sample = None if SAMPLE is None else Path(SAMPLE)
target, form = write_submission(predicted, Path("submission.csv"), sample=sample, is_own_data=True)
print(target, form.summary)
"""


def write_notebook(results: Path, folder: Path, trial: int | None = None) -> tuple[Path, Path]:
    """Writes the notebook and, beside it, the wheel that it installs.

    Args:
        trial: The candidate; the best one by default.

    Raises:
        ResultsError: There is no such trial; or the search was given arrays, which no file holds.
        StorageError: A file cannot be written.
    """
    finished = FinishedRun(results)
    row = finished.rows(trial)[0]
    if finished.config.data.train is None:
        raise ResultsError(
            f"{finished.path}: the search was given arrays, which a notebook elsewhere does not have: search "
            "their file, such as an .npz."
        )
    name = finished.paths.name
    weights = _weights(finished, row)
    files, config, params = _own_files(finished, row, weights)
    about = _about(finished, row, files, weights)
    kept = _kept(finished, {**row, "params": params}, config)
    data = config["data"]
    found = {
        "overrides": _overrides(data, config["search"].get("holdout") == "test"),
        "test": _test(data),
        "sample": _sample(finished),
    }
    own = f"results/{name}.json"
    files[own] = json.dumps(kept, allow_nan=False)
    code = [
        _INSTALL,
        _FIND.format(**found),
        *(_WRITE.format(path=path, text=text) for path, text in files.items()),
        *_getting(weights),
        _FIT.format(results=own),
        _PREDICT.format(results=own),
    ]
    target = folder / "notebook.ipynb"
    write_json(target, _notebook(about, code))
    return target, write_wheel(folder)


def _own_files(
    finished: FinishedRun, row: Mapping[str, Any], weights: str | None
) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
    """Returns the user's own files by where they go, and config and params with references to them there.

    With a file go those beside it that it imports.

    Raises:
        ResultsError: Two of them would go to one place.
    """
    config = json.loads(json.dumps(finished.config.whole))
    files: dict[str, str] = {}

    def taken(reference: str) -> str:
        found = parse_reference(reference, finished.base)
        if found.kind != "file" or found.file is None:
            return reference
        place = _place_there(found.place)
        for key, source in sources_of(found).items():
            text, where = source.content.decode("utf-8"), str(place.parent / key)
            if files.setdefault(where, text) != text:
                raise ResultsError(
                    f"{source.path}: another file of the search is called {where} in the notebook too."
                )
        return f"{place}:{found.function}"

    config["model"] = taken(config["model"])
    config["callbacks"] = {
        taken(key) if is_own(key) else key: value for key, value in (config["callbacks"] or {}).items()
    }
    config["augment"] = _with_own(config["augment"], taken)
    config["params"] = _params_with_own(config["params"], taken, weights)
    search = config["search"]
    search["objective"] = _score_with_own(search["objective"], taken)
    search["scores"] = [_score_with_own(score, taken) for score in search.get("scores") or []]
    return files, config, _params_with_own(row["params"], taken, weights)


def _place_there(path: str) -> PurePosixPath:
    """Returns where a file of the user's goes in the notebook's folder: as named, where that is within."""
    place = PurePosixPath(path.replace("\\", "/"))
    return PurePosixPath(place.name) if place.is_absolute() or ".." in place.parts else place


def _weights(finished: FinishedRun, row: Mapping[str, Any]) -> str | None:
    """Returns the weights that a trial's backbone begins with, as they are written; None for none."""
    given = {**finished.config.params, **row["params"]}.get("weights")
    return given if takes_pixels(finished.config.model) and given not in (None, NO_WEIGHTS) else None


def _getting(weights: str | None) -> list[str]:
    """Returns the code that puts such weights where the net looks for them."""
    if weights is None:
        return []
    place = _place_there(weights)
    return [_IMAGENET if weights == IMAGENET else _WEIGHTS.format(path=str(place), name=place.name)]


def _score_with_own(score: Any, taken: Callable[[str], str]) -> Any:
    """Returns an objective with its reference to a function of the user's as it is in the notebook."""
    if isinstance(score, Mapping):
        return {_score_with_own(name, taken): arguments for name, arguments in score.items()}
    is_there = isinstance(score, str) and is_own(score) and is_found_by_name(score)
    return taken(score) if is_there else score  # a function of a script is needed to score alone


def _with_own(augment: Any, taken: Callable[[str], str]) -> Any:
    """Returns a section `augment` with its reference to a function of the user's as it is in the notebook."""
    if not isinstance(augment, Mapping) or not augment.get(_FUNCTION):
        return augment
    return {**augment, _FUNCTION: taken(augment[_FUNCTION])}


def _params_with_own(
    params: Mapping[str, Any], taken: Callable[[str], str], weights: str | None
) -> dict[str, Any]:
    """Returns params with their references to callbacks, functions and weights of the user's likewise."""
    found = {}
    for name, value in params.items():
        own, argument = split_name(name) if name.startswith("callbacks.") else ("", "")
        if is_own(own):
            found[f"callbacks.{taken(own)}" + (f".{argument}" if argument else "")] = value
        elif name == f"augment.{_FUNCTION}" and value is not None:
            found[name] = taken(value)
        elif name == "weights" and value == weights is not None:
            found[name] = str(_place_there(value))
        else:
            found[name] = _with_own(value, taken) if name == "augment" else value
    return found


def _kept(finished: FinishedRun, row: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what `fit` reads of results.json: the trial, its folds' best epochs and learning rates."""

    runs = {(run.fold, run.repeat): run for run in runs_of(row, finished.paths.folder)}

    def short(part: Mapping[str, Any], fold: int) -> dict[str, Any]:
        kept = {key: value for key, value in part.items() if key not in {"repeats", "history_file"}}
        kept["history"] = {}
        if "repeats" in part:
            kept["repeats"] = [short(repeat, fold) for repeat in part["repeats"]]
        else:
            kept["history"] = {"learning_rate": list(rates_of(runs[fold, part.get("repeat", 0)]))}
        return kept

    data = finished.results.data
    own = {**row, "rank_test_score": 1, "folds": [short(part, part["fold"]) for part in row["folds"]]}
    best = {"trial": row["id"], "params": row["params"], "mean_test_score": row["mean_test_score"]}
    given = config["search"]["objective"]
    name = next(iter(given)) if isinstance(given, Mapping) else given
    objective = {**data["objective"], "name": name or data["objective"]["name"]}
    return {**data, "objective": objective, "config": config, "base": "..", "trials": [own], "best": best}


def _about(
    finished: FinishedRun, row: Mapping[str, Any], files: Mapping[str, str], weights: str | None
) -> str:
    about = finished.results.about
    std = row["std_test_score"]
    params = {**finished.config.params, **row["params"]}
    versions = ", ".join(f"{name} {text}" for name, text in about.environment.items() if text[:1].isdigit())
    model = escape_markdown(finished.config.model)
    lines = [
        f"# {escape_markdown(finished.paths.name)}, trial {row['id']}",
        "",
        f"{escape_markdown(str(about.objective.name))} {format_score(row['mean_test_score'], std)} over "
        f"{count(len(row['folds']), 'fold')}, by {model}.",
        "",
        *(f"- {escape_markdown(f'{key}: {json.dumps(value)}')}" for key, value in params.items()),
        "",
        "This notebook trains it on all of the training data, with the epochs and learning rates that its "
        "folds took, and writes `submission.csv`. It needs no network: attach the competition's data, and a "
        "dataset with the wheel of kerasgrid that was written beside this file. Packages of kerasgrid's that "
        "are not installed there go into the same dataset, as `pip download --no-deps ruamel.yaml` fetches "
        "them.",
        "",
        f"The search ran with {escape_markdown(versions) or 'versions that are not known'}.",
    ]
    if weights is not None:
        what = "ImageNet's, the .h5 file that Keras keeps in ~/.keras/models once it has downloaded it"
        if weights != IMAGENET:
            what = f"{escape_markdown(_name(weights))}, in which its weights are"
        lines += ["", f"Its net begins with trained weights: attach a dataset with the file too: {what}."]
    if ":" in finished.config.model and not files:
        lines += ["", f"{model} is a module: it has to be installed there too."]
    return "\n".join(lines)


def _overrides(data: Mapping[str, Any], is_joined: bool) -> str:
    """Returns the line that tells where the training data is, and other files that are read with it."""
    others = {
        "test": is_joined,
        "validation": data.get("validation") is not None,
        "fold": is_fold_file(data.get("fold")),
    }
    parts = []
    for key in ("train", *(key for key, is_read in others.items() if is_read)):
        if isinstance(data[key], Mapping):
            parts += [_override(f"data.{key}.{part}", path) for part, path in data[key].items()]
        elif data[key] != "digits":
            parts.append(_override(f"data.{key}", data[key]))
    return f"overrides = [{', '.join(parts)}]"


def _override(key: str, path: str) -> str:
    return f'"{key}=" + json.dumps(find({_name(path)!r}))'


def _test(data: Mapping[str, Any]) -> str:
    test = data.get("test")
    if isinstance(test, Mapping):
        test = test["images"]
    if test in (None, "digits"):
        return "'digits'" if data["train"] == "digits" else "find('test.csv')"
    return f"find({_name(test)!r})"


def _sample(finished: FinishedRun) -> str:
    sample = sample_of(finished.results)
    return "None" if sample is None else f"find({sample.name!r})"


def _name(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]


def _notebook(about: str, code: Sequence[str]) -> dict[str, Any]:
    """Returns the notebook: a cell in Markdown, and one for each piece of code."""
    cells = [_cell("markdown", about)]
    cells += [_cell("code", text, execution_count=None, outputs=[]) for text in code]
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "cells": [{"id": f"cell-{place}", **cell} for place, cell in enumerate(cells)],
    }


def _cell(kind: str, text: str, **more: Any) -> dict[str, Any]:
    source = text.rstrip("\n").splitlines(keepends=True)
    return {"cell_type": kind, "metadata": {}, **more, "source": source}


def write_wheel(folder: Path) -> Path:
    """Writes kerasgrid, as it is installed here, into a wheel and returns its path.

    It follows the binary distribution format, so that pip installs it; what it needs is not in it.

    Raises:
        MissingPackageError: It is not installed, but only lies on the path.
        StorageError: The file cannot be written.
    """
    try:
        found = distribution("kerasgrid")
        metadata = found.read_text("METADATA") or found.read_text("PKG-INFO")
    except PackageNotFoundError:
        metadata = None
    if metadata is None:
        raise MissingPackageError("kerasgrid is not installed, but only on the path: pip install it first.")
    about = f"kerasgrid-{found.version}.dist-info"
    files = dict(_package())
    files[f"{about}/METADATA"] = metadata.encode()
    files[f"{about}/WHEEL"] = _WHEEL.encode()
    files[f"{about}/entry_points.txt"] = b"[console_scripts]\nkerasgrid = kerasgrid.cli:main\n"
    record = [f"{name},sha256={_digest(data)},{len(data)}" for name, data in files.items()]
    files[f"{about}/RECORD"] = "\n".join([*record, f"{about}/RECORD,,", ""]).encode()
    target = folder / f"kerasgrid-{found.version}-py3-none-any.whl"

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                info = zipfile.ZipInfo(name, _EPOCH)
                info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                archive.writestr(info, data)

    write_atomic(target, write)
    return target


def _package() -> Iterator[tuple[str, bytes]]:
    """Yields name and content of each file of the package."""
    root = Path(__file__).parents[1]
    for path in sorted(root.rglob("*")):
        if path.suffix in {".py", ".json", ".typed"} and "__pycache__" not in path.parts:
            yield f"kerasgrid/{path.relative_to(root).as_posix()}", path.read_bytes()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
