"""Every file name of a run."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

from kerasgrid.errors import StorageError
from kerasgrid.io import HALF_WRITTEN, half_written, insist, is_link, storage_errors
from kerasgrid.machine import node

WEIGHTS = ".weights.npz"
"""How the file of a kept model ends that Keras would not load: its weights, and what to build it by."""


@dataclass(frozen=True)
class RunPaths:
    """Every file name of a run."""

    results: Path
    name: str

    @classmethod
    def of(cls, file: Path) -> Self:
        """Returns those of the run whose results.json a file is."""
        return cls(file.parent, file.stem)

    @property
    def json(self) -> Path:
        """results/NAME.json."""
        return self.results / f"{self.name}.json"

    @cached_property
    def folder(self) -> Path:
        """The run's folder, results/NAME."""
        return self.results / self.name

    @property
    def journal(self) -> Path:
        """The append-only record of the run."""
        return self.folder / "journal.jsonl"

    @property
    def lock(self) -> Path:
        """Held while a search writes."""
        return self.folder / "lock"

    @property
    def heartbeat(self) -> Path:
        """Stands in for the lock where the file system has none."""
        return self.folder / "heartbeat"

    @property
    def folds(self) -> Path:
        """The rows of each fold."""
        return self.folder / "folds.npz"

    @property
    def oof(self) -> Path:
        """Out-of-fold predictions of the leading trials."""
        return self.folder / "oof.npz"

    @property
    def mistakes(self) -> Path:
        """Images that the best trial is most confidently wrong about."""
        return self.folder / "mistakes.npz"

    @property
    def submission(self) -> Path:
        """The predictions as a competition takes them."""
        return self.folder / "submission.csv"

    @property
    def submissions(self) -> Path:
        """What was sent, and what came of it."""
        return self.folder / "submissions.json"

    @property
    def submissions_lock(self) -> Path:
        """Held while something is sent from the results folder: the same file may lie in several runs."""
        return self.results / ".submissions.lock"

    @property
    def worker_log(self) -> Path:
        """What workers print, and their libraries log: those of a cluster by their machine."""
        return self.folder / (f"workers-{found}.log" if (found := node()) else "workers.log")

    @property
    def data(self) -> Path:
        """Arrays that were given in Python."""
        return self.folder / "data"

    @staticmethod
    def history_name(trial: int, fold: int, repeat: int) -> str:
        """Returns where a job's long history lies, within the run's folder."""
        return f"histories/{_stem(trial, fold, repeat)}.json"

    def history(self, trial: int, fold: int, repeat: int) -> Path:
        """A job's history, where it is too long for results.json."""
        return self.folder / self.history_name(trial, fold, repeat)

    def checkpoint(self, trial: int, fold: int, repeat: int) -> Path:
        """Where a job under way stands."""
        return self.folder / "checkpoints" / f"{_stem(trial, fold, repeat)}.npz"

    @property
    def checkpoints(self) -> list[Path]:
        """Where jobs under way stood that have a checkpoint."""
        return sorted((self.folder / "checkpoints").glob("trial-*.npz"))

    def prediction(self, trial: int, fold: int, repeat: int) -> Path:
        """A job's predictions of its held-out rows, (row, class) float32."""
        return self.folder / "predictions" / f"{_stem(trial, fold, repeat)}.npy"

    def trained(self, trial: int, fold: int, repeat: int) -> Path:
        """A job's predictions of its training rows, where they are kept."""
        return self.folder / "predictions" / f"{_stem(trial, fold, repeat)}-trained.npy"

    def model(self, trial: int, fold: int, repeat: int) -> Path:
        """A job's model, where it is kept."""
        return self.folder / "models" / f"{_stem(trial, fold, repeat)}.keras"

    def weights(self, trial: int, fold: int, repeat: int) -> Path:
        """The weights of a job's model, where they are kept: arrays by their places, from 0."""
        return self.folder / "weights" / f"{_stem(trial, fold, repeat)}.npz"

    def error(self, trial: int, fold: int, repeat: int) -> Path:
        """What the error of a job that failed said, where that is more than its record tells."""
        return self.folder / "errors" / f"{_stem(trial, fold, repeat)}.txt"

    def fitted(self, trial: int, seed: int) -> Path:
        """A candidate's model of all training data."""
        return self.folder / "fit" / f"trial-{trial}-seed-{seed}.keras"

    def finetuned(self, trial: int, fold: int, repeat: int) -> Path:
        """A fold model that has been trained on what its fold held out."""
        return self.folder / "fit" / f"{_stem(trial, fold, repeat)}-finetuned.keras"

    @property
    def best(self) -> Path:
        """The model that `fit` has trained last, of the leading candidate that it was given."""
        return self.folder / "best.keras"

    @staticmethod
    def card(model: Path) -> Path:
        """The card beside a model, in whichever form that is kept."""
        return RunPaths.forms(model)[0].with_suffix(".json")

    @staticmethod
    def forms(model: Path) -> tuple[Path, Path]:
        """The files that a model may be kept in: Keras's own, and its weights."""
        whole = model.with_name(f"{model.name.removesuffix(WEIGHTS)}.keras") if is_weights(model) else model
        return whole, whole.with_suffix(WEIGHTS)

    @staticmethod
    def kept(model: Path) -> Path:
        """The file that a model is kept in; Keras's own where it is in none."""
        whole, weights = RunPaths.forms(model)
        return weights if weights.exists() and not whole.exists() else whole

    @property
    def fit_lock(self) -> Path:
        """Held while `fit` writes."""
        return self.folder / "fit" / "lock"

    @property
    def fit_heartbeat(self) -> Path:
        """Stands in for that lock where the file system has none."""
        return self.folder / "fit" / "heartbeat"

    @property
    def half_fitted(self) -> list[Path]:
        """What a sudden end has left of files that `fit` was writing: for who holds its lock."""
        bests = (*self.forms(self.best), self.card(self.best))
        beside = [part for path in bests for part in half_written(path)]
        folder = self.folder / "fit"
        return [*beside, *folder.glob(f".*{HALF_WRITTEN}*"), *_half_written_by_keras(folder)]

    def check_own(self) -> None:
        """Holds that what is written and removed of a run lies in its own folder.

        Raises:
            StorageError: The folder, or what lies in it, is a link to elsewhere, or neither file nor folder.
        """
        found = [self.folder]
        with storage_errors(self.folder):
            found += self.folder.iterdir() if self.folder.is_dir() and not is_link(self.folder) else []
        if odd := [path for path in found[1:] if path.exists() and not (path.is_file() or path.is_dir())]:
            raise StorageError(f"{odd[0]}: is neither a file nor a folder. Remove it.")
        links = ", ".join(str(path) for path in sorted(found) if is_link(path))
        if links:
            raise StorageError(
                f"{links}: a link is not followed, since what is written and removed of a run lies in its "
                "own folder. Put what it leads to in its place; the folder of all results may be a link."
            )

    def relative(self, path: Path) -> str:
        """Returns a path as seen from the results folder, so that both can be moved together."""
        try:
            return Path(os.path.relpath(path, self.results)).as_posix()
        except ValueError:  # another drive
            return path.absolute().as_posix()

    @property
    def models(self) -> list[Path]:
        """The models that are there."""
        return sorted(
            path for end in (".keras", WEIGHTS) for path in (self.folder / "models").glob(f"trial-*{end}")
        )

    @property
    def half_written(self) -> list[Path]:
        """What a sudden end has left of files that a search was writing: for who holds its lock."""
        own = (self.json, self.journal, self.folds, self.oof, self.mistakes)
        folders = ("checkpoints", "errors", "histories", "models", "predictions", "weights")
        within = [path for name in folders for path in (self.folder / name).glob(f".*{HALF_WRITTEN}*")]
        beside = itertools.chain.from_iterable(map(half_written, own))
        return [*beside, *within, *_half_written_by_keras(self.folder / "models")]


def is_weights(model: Path) -> bool:
    """Tells whether a kept model's file has its weights alone, for what its model function builds."""
    return model.name.endswith(WEIGHTS)


def turns_of(checkpoint: Path) -> tuple[Path, Path]:
    """Returns the two files of a checkpoint; the second is there on drives alone."""
    return checkpoint, checkpoint.with_suffix(f".2{checkpoint.suffix}")


def _half_written_by_keras(folder: Path) -> Iterator[Path]:
    """Yields files of weights that memory had no room for; folders are of models that are being read."""
    return (path for path in folder.glob("tmp*") if path.is_file())


def _stem(trial: int, fold: int, repeat: int) -> str:
    return f"trial-{trial}-fold-{fold}-repeat-{repeat}"


def move_aside(paths: RunPaths) -> RunPaths | None:
    """Renames a run's folder and JSON to NAME.1, NAME.2, ...; nothing is deleted.

    Returns:
        Where they are now; None where there was nothing to move.
    """
    if not (paths.folder.exists() or paths.json.exists()):
        return None
    number = 1
    while True:
        aside = RunPaths(paths.results, f"{paths.name}.{number}")
        if not (aside.folder.exists() or aside.json.exists()):
            break
        number += 1
    for before, after in ((paths.folder, aside.folder), (paths.json, aside.json)):
        if before.exists():
            insist(os.rename, before, after)
    return aside
