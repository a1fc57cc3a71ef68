"""What a file is, told by its content and its name, where a command is given another kind than it takes."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_HEAD_BYTES = 1 << 14
_GRID = re.compile(r"^(data|model|space|params|search|augment|callbacks|executor)[ \t]*:", re.MULTILINE)
_JSON = (
    ("results", re.compile(r'^\s*\{.*?"schema"\s*:\s*"kerasgrid\.results/', re.DOTALL)),
    ("card", re.compile(r'^\s*\{.*?"schema"\s*:\s*"kerasgrid\.model/', re.DOTALL)),
    ("journal", re.compile(r'^\s*\{"format"\s*:\s*"kerasgrid\.journal/')),
    ("notebook", re.compile(r'^\s*\{.*?"(cells|nbformat)"\s*:', re.DOTALL)),
)
_MAGIC = (
    (b"\x89PNG\r\n", "picture"),
    (b"\xff\xd8\xff", "picture"),
    (b"GIF8", "picture"),
    (b"\x89HDF\r\n", "weights"),
    (b"\x93NUMPY", "arrays"),
    (b"\0\0\x08", "arrays"),
    (b"SQLite format 3\0", "database"),
    (b"%PDF", "document"),
)
_FUNCTION = re.compile(r"(?:[^:]+\.py|[A-Za-z_][\w.]*):[A-Za-z_]\w*")
_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_CALLED = {
    "grid": "a grid.yaml",
    "results": "a results file of kerasgrid",
    "card": "the card of a model",
    "journal": "the journal of a search",
    "run": "the folder of a search",
    "folder": "a folder",
    "table": "a table",
    "arrays": "a file of arrays",
    "model": "a model of Keras",
    "weights": "an HDF5 file",
    "notebook": "a notebook",
    "code": "a file of Python",
    "page": "a page",
    "picture": "a picture",
    "database": "an SQLite database",
    "document": "a document",
    "archive": "a ZIP archive",
    "function": "a model function",
    "dataset": "a built-in data set",
}
_NEEDED = {
    "grid": "a grid.yaml is needed here",
    "results": "a results file is needed here, results/NAME.json",
    "trials": "results are needed here",
    "rows": "a .csv is needed here: a submission, or a competition's sample",
    "data": "data is needed here: a .csv, an .npz, or the images of a pair of IDX files",
}


@dataclass(frozen=True)
class FileKind:
    """What a file is.

    Attributes:
        path: The file or folder.
        name: One of those in `_CALLED`.
    """

    path: Path
    name: str

    def told(self, needed: str, forms: str = "") -> str:
        """Returns what it is, what is needed instead, and what takes it; it follows the file's name.

        Args:
            needed: One of those in `_NEEDED`.
            forms: More about what is needed.
        """
        parts = [f"is {_CALLED[self.name]}, and {_NEEDED[needed]}.", forms, self._way(needed)]
        return " ".join(filter(None, parts))

    def _way(self, needed: str) -> str | None:
        file, results = shlex.quote(str(self.path)), self._results()
        match self.name:
            case "grid" if needed not in ("data", "rows") and results is not None:
                return f"What a search of it has found is in {results}."
            case "grid":
                return f"It is checked and searched by: kerasgrid check {file}, kerasgrid search {file}"
            case "results":
                return f"It is taken by: kerasgrid plot {file}, and report, suggest, fit, predict, submit."
            case "journal" | "run" if results is not None:
                return f"What it has found is in {results}."
            case "table" | "arrays" if needed == "grid":
                return f"One for it is written by: kerasgrid init {file}"
            case "table" | "arrays":
                own = "" if needed == "rows" else ", a submission to kerasgrid submit by -f FILE"
                return f"Samples are given to kerasgrid predict by --data FILE{own}."
            case "model" | "card" | "weights":
                return "A model of a search is asked by: kerasgrid predict results/NAME.json --data FILE"
            case "code":
                return f"A grid.yaml names a function in it: model: {self.path}:FUNCTION"
            case "function":
                return f"A grid.yaml names it: model: {self.path}"
            case "dataset" if needed != "data":
                way = f"One for it is written by: kerasgrid init {file}"
                return f"A grid.yaml names it: data: {{train: {self.path}}}. {way}"
        return None

    def _results(self) -> str | None:
        """Returns the results file that belongs to it, where that is there."""
        match self.name:
            case "grid":
                own = Path("results") / f"{self.path.stem}.json"
            case "run":
                own = Path(f"{os.path.abspath(self.path)}.json")
            case "journal":
                own = Path(f"{os.path.dirname(os.path.abspath(self.path))}.json")
            case _:
                return None
        return shlex.quote(os.path.relpath(own)) if own.is_file() else None


def kind_of(path: str | Path, *, takes: tuple[str, ...] = ()) -> FileKind | None:
    """Returns what a file or folder is; None where that is not known or may be taken.

    Of what is not there it tells a model function and the built-in data set, which have no file of that name.

    Args:
        path: The file or folder.
        takes: The kinds that are taken.
    """
    path = Path(path)
    name = _name(path)
    return None if name is None or name in takes else FileKind(path, name)


def _name(path: Path) -> str | None:
    if os.path.isdir(path):
        return "run" if os.path.isfile(path / "journal.jsonl") else "folder"
    if not os.path.lexists(path):
        is_function = _FUNCTION.fullmatch(str(path))
        return "function" if is_function else "dataset" if str(path) == "digits" else None
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError):  # who reads it tells why not
        return None
    name, suffix = path.name.lower(), path.suffix.lower()
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head.startswith(b"PK"):  # the names of its first members stand there as they are
        is_model = b"metadata.json" in head or b"config.json" in head
        return "model" if is_model else "arrays" if b".npy" in head or suffix == ".npz" else "archive"
    text = head.decode("utf-8-sig", "replace")
    for kind, pattern in _JSON:
        if pattern.match(text):
            return kind
    if re.match(r"\s*<(!doctype|html|\?xml)", text, re.IGNORECASE):
        return "page"
    by_name = {".py": "code", ".ipynb": "notebook", ".yaml": "grid", ".yml": "grid"}
    if suffix in by_name:
        return by_name[suffix]
    if name.endswith(_TABLES):
        return "table"
    return "grid" if _GRID.search(text) and not text.lstrip().startswith(("{", "[")) else None
