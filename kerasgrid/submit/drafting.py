"""What is to be sent of a search: its file, and the sample that its config names."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from kerasgrid.config.sections import DataConfig, IdxPair
from kerasgrid.errors import DataError
from kerasgrid.run.paths import RunPaths
from kerasgrid.run.results import ResultsData, section_of
from kerasgrid.submit.sending import Draft
from kerasgrid.wording import shown_path

SAMPLE = "sample_submission.csv"


def paths_of(results: Path) -> RunPaths:
    """Returns the file names of the run that a results file is of.

    Raises:
        ResultsError: It is no results file of kerasgrid.
    """
    ResultsData.load(results)
    return RunPaths(results.parent, results.stem)


def draft_of(
    results: Path, competition: str, message: str, *, file: Path | None = None, sample: Path | None = None
) -> tuple[RunPaths, Draft]:
    """Returns a run's file names, and what is to be sent of it.

    Args:
        results: The results file.
        competition: The competition's name, or its address.
        message: The user's words about the submission.
        file: The submission; results/NAME/submission.csv by default.
        sample: The competition's sample; by default data.sample_submission, else sample_submission.csv beside
            data.test, else none.

    Raises:
        ResultsError: The results file cannot be read.
        DataError: The submission or the sample is not there.
    """
    found = ResultsData.load(results)
    paths = RunPaths(results.parent, results.stem)
    file = paths.submission if file is None else file
    if not os.path.lexists(file):
        raise DataError(
            f"{shown_path(file)} is not there. Write it with: kerasgrid predict "
            f"{shlex.quote(shown_path(results))}, or name another with -f FILE."
        )
    data = _data_of(found)
    if sample is None:
        sample = sample_of(found, data)
    if sample is not None and not os.path.lexists(sample):
        raise DataError(
            f"{shown_path(sample)}, the competition's sample, is not there. Name it with --sample FILE, or "
            "correct data.sample_submission."
        )
    return paths, Draft(
        competition=competition,
        message=message,
        file=file,
        sample=sample,
        classes=(found.data.get("data") or {}).get("class_names"),
        multi_label=data.multi_label,
    )


def sample_of(results: ResultsData, data: DataConfig | None = None) -> Path | None:
    """Returns the sample of a search's competition: data.sample_submission, else that beside data.test.

    The one that the config names may not be there; None where it names none and none is beside.

    Args:
        results: The search's.
        data: The config's section, where it is not to be as in the results.
    """
    data = data or _data_of(results)
    base = results.data.get("base")  # files of earlier versions do not tell it
    folder = Path()
    if base is not None and results.path is not None:
        folder = Path(os.path.normpath(results.path.parent / base))
    if data.sample_submission:
        return folder / os.path.expanduser(data.sample_submission)
    test = data.test.images if isinstance(data.test, IdxPair) else data.test
    beside = (folder / os.path.expanduser(test)).parent / SAMPLE if test else None
    return beside if beside is not None and beside.is_file() else None


def _data_of(results: ResultsData) -> DataConfig:
    """Returns what the config says of the data; nothing where there is no config."""
    given = (results.data.get("config") or {}).get("data") or {}
    return section_of(DataConfig, given, results.path or "these results", "config.data")
