"""Which file or folder a source names, in a .zip too."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from kerasgrid.data.archives import Tree, archive_on_way, exists
from kerasgrid.data.csv_text import CsvFile, is_csv, known_names
from kerasgrid.data.image_files import is_image
from kerasgrid.data.roles import Roles
from kerasgrid.errors import DataError
from kerasgrid.wording import listed, shown_path

_ARRAYS = (".npz", ".npy")
_SAMPLES = ("sample_submission.csv", "sampleSubmission.csv")
"""What competitions call their sample, older ones the second."""


def meant(source: Any, part: str = "train") -> Path | None:
    """Returns the file or folder that a config's source names; None of a pattern, a pair or a built-in set.

    Of a .zip that is the table or the arrays in it, where there are some: of several the one that is called
    as the part of the data is. Its images by folders otherwise.

    Args:
        part: `train` or `test`.

    Raises:
        DataError: A .zip is damaged; or it holds several tables, and none of them is called so.
    """
    if not isinstance(source, (str, Path)) or str(source) == "digits":
        return None
    path = Path(source)
    if archive_on_way(path) is None or (tree := Tree.at(path)) is None:
        return path
    names = [name for name in tree.files() if is_csv(name) or name.lower().endswith(_ARRAYS)]
    has_images = any(map(is_image, tree.files()))
    if not names:
        return path
    own = [name for name in names if stem_of(name) == part]
    own = own or [name for name in names if part == "train" and not is_to_predict(name)]
    if len(own) == 1 and not (has_images and "/" in own[0]):
        return path / own[0]
    if has_images and (not own or (len(own) == 1 and "/" in own[0])):
        return path
    if len(names) == 1:
        return path / names[0]
    raise DataError(
        f"{shown_path(path)}: holds {listed(names)}. Say which one is meant: {shown_path(path / names[0])}."
    )


def stem_of(name: str) -> str:
    """Returns a file's name in small letters, without folders and suffixes."""
    return PurePosixPath(name).name.lower().partition(".")[0]


def is_to_predict(name: str) -> bool:
    """Tells whether a file is of a competition's test set, by its name."""
    return re.match(r"test|sample[ _-]?submission|gender_submission", stem_of(name)) is not None


def sample_in(folder: Path) -> Path | None:
    """Returns a competition's sample in a folder, also in a .zip; None where there is none."""
    return next((folder / name for name in _SAMPLES if exists(folder / name)), None)


def csv_of(source: Any, config: Any = None, part: str = "train") -> CsvFile | None:
    """Returns the CSV file that a config's source names; None of another kind.

    Args:
        config: The section `data`, which says whether it has a header. Without one, columns are called by
            their places; of rows to predict that lack what is predicted, by those in the training data.
        part: As in `meant`.

    Raises:
        DataError: As `meant`.
    """
    path = meant(source, part)
    if path is None or not is_csv(path.name):
        return None
    file = CsvFile(path, has_header=config is None or config.header is None)
    if file.has_header or part == "train" or (train := csv_of(config.train, config)) is None:
        return file
    predicted = Roles.of(config).predicted
    return replace(file, called=tuple(name for name in known_names(train) or () if name not in predicted))
