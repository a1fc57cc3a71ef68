"""Where a view of results goes: never over one of the files that it is made of."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from kerasgrid.errors import ResultsError
from kerasgrid.tables.reading import file_and_study, is_url
from kerasgrid.wording import masked

_ENDINGS = {".html", ".htm"}


def page_path(files: Sequence[str | Path], output: Path | None = None, ending: str = ".html") -> Path:
    """Returns where the page of some files of results goes: never over one of them.

    Args:
        files: The files and folders, which exist; or URLs of databases.
        output: The file that was asked for; without one the page lies beside the first of `files`.
        ending: Of the page's name where none was asked for.

    Raises:
        ResultsError: `output` is a folder or no name of an HTML file, or the page would take the
            place of one of `files`.
    """
    target = Path(output) if output is not None else beside(files[0], ending)
    if target.suffix.lower() not in _ENDINGS:
        if os.path.isdir(target):
            found, name = "is a folder, and a page is one file", target / f"{Path(files[0]).stem}.html"
        else:
            found, name = "is no name for a page, which ends in .html or .htm", target.with_suffix(".html")
        raise ResultsError(f"{target} {found}. Choose another, such as: -o {shlex.quote(str(name))}")
    return output_path(files, target)


def beside(source: str | Path, ending: str) -> Path:
    """Returns the place of what is written beside a file or folder of results.

    Args:
        source: The file, folder or URL.
        ending: Of its name, which is that of the source otherwise.

    Raises:
        ResultsError: The source is the URL of a database, which nothing lies beside.
    """
    if is_url(source):
        raise ResultsError(
            f"{masked(source)}: say where it goes with -o, since nothing lies beside a database."
        )
    path = Path(source)
    if os.path.isdir(path):
        name = path.resolve().name or "results"
        return (
            path / os.pardir / f"{name}{ending}"
            if path.name in ("", "..")
            else path.with_name(f"{name}{ending}")
        )
    file, study = file_and_study(path)
    if study:  # of several in one storage
        return file.with_name(f"{file.stem}-{study.replace('/', '-')}{ending}")
    return path.with_suffix(ending)


def output_path(files: Sequence[str | Path], output: Path) -> Path:
    """Returns `output`, which is to be written.

    Raises:
        ResultsError: It is one of `files`.
    """
    target = Path(output)
    there = [file for file in files if os.path.exists(file)]
    if os.path.exists(target) and any(os.path.samefile(target, file) for file in there):
        raise ResultsError(
            f"{target} is a file of results that is read here, and would be written over. Choose another "
            f"with -o FILE{target.suffix}."
        )
    return target
