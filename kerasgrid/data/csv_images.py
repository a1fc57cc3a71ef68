"""CSV files that name image files, one row an image."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.sections import ImageColumn
from kerasgrid.data.archives import Flat, Tree, archive_on_way
from kerasgrid.data.cells import NUMBER, CellFaults
from kerasgrid.data.columns import FEW_COLUMNS, series_of
from kerasgrid.data.csv_text import CsvFile, line_places, read_frames, stripped
from kerasgrid.data.image_files import is_image
from kerasgrid.data.labels import as_classes
from kerasgrid.data.pictures import PICTURE_SUFFIXES, Picture, Pictures
from kerasgrid.data.roles import (
    Roles,
    check_header,
    label_reader,
    read_classes,
    read_labels,
    read_roles,
    read_targets,
    samples_of_file,
)
from kerasgrid.data.samples import Samples
from kerasgrid.errors import DataError, did_you_mean
from kerasgrid.wording import listed, shown_path

_HEAD_ROWS = 50
_FEW = 3
"""Names by which folders are tried first."""
_MOST_FOLDERS, _DEPTH = 100, 4
_LONGEST = 400
_SMALL = sorted(PICTURE_SUFFIXES, key=lambda suffix: (suffix not in (".jpg", ".png"), suffix))
_SUFFIXES = ("", *_SMALL, *map(str.upper, _SMALL))


@dataclass(frozen=True)
class NamedImages:
    """A column of a CSV file that names image files.

    Attributes:
        column: Its name.
        tree: Where the files lie.
        suffix: What is added to each name.
        others: What is added where there is no such file.
        report: What was guessed.
    """

    column: str
    tree: Tree
    suffix: str = ""
    others: tuple[str, ...] = ()
    report: tuple[str, ...] = ()

    def name_of(self, cell: str) -> str:
        """Returns the name of the file that a cell names, from the folder on."""
        names = [f"{cell}{suffix}" for suffix in (self.suffix, *self.others)]
        return names[0] if not self.others else next(filter(self.tree.has, names), names[0])

    def names_in(self, file: CsvFile) -> list[str]:
        """Returns the names of all files that the column names, from the folder on."""
        (frame,) = read_frames(file, [self.column], only=[self.column])
        return [self.name_of(cell) for cell in _paths(frame[self.column]) if cell]

    def settled(self, file: CsvFile, said: ImageColumn | None) -> NamedImages:
        """Returns the same of files that lie in several folders, or are of several kinds, where more of what
        is named is found so.

        A folder counts of whose images as large a share is named as of the others', within a half: what is
        missing is not taken from a folder of others that happen to be called alike.

        Args:
            said: What `data.files` says.
        """
        names = self.names_in(file)
        n_found = sum(map(self.tree.has, names))
        if n_found == len(names) or isinstance(self.tree, Flat):
            return self
        archive = archive_on_way(self.tree.path)
        top = file.path.parent if archive is None else archive[0]
        top = self.tree.path if said is not None and said.folder is not None else top
        wanted, n_all, n_named = set(names), Counter[str](), Counter[str]()
        for name in filter(is_image, Tree(top).files(_DEPTH)):
            folder, _, own = name.rpartition("/")
            n_all[folder] += 1
            n_named[folder] += own in wanted
        least = max((n_named[folder] / n for folder, n in n_all.items()), default=0) / 2
        flat = Flat(top, frozenset(folder for folder, n in n_all.items() if n_named[folder] > n * least))
        tree = flat if sum(map(flat.has, names)) > n_found else self.tree
        others: tuple[str, ...] = ()
        if said is None or not said.suffix:
            lost = [name.removesuffix(self.suffix) for name in names if not tree.has(name)]
            others = tuple(end for end in _SUFFIXES[1:] if any(tree.has(f"{cell}{end}") for cell in lost))
        if tree is self.tree and not others:
            return self
        told = _told(self.column, tree, " or ".join((self.suffix, *others)), said, ())
        return replace(self, tree=tree, others=others, report=told)

    def files(self, cells: Sequence[str], faults: CellFaults) -> list[Picture | None]:
        """Returns the file that each cell names, None where there is none.

        Args:
            faults: Is told of those.
        """
        names = [self.name_of(cell) for cell in cells]
        blank = np.array([not cell for cell in cells], bool)
        lost = ~blank & np.array([not self.tree.has(name) for name in names], bool)
        missing = np.flatnonzero(lost)
        what = "no file is named"
        faults.add(self.column, np.flatnonzero(blank), what, "Fill it in or drop the row.", "without a file")
        if len(missing):
            first = names[missing[0]]
            what = f"{first!r} is no file in {self.tree.where}{_likeliest(first, self.tree)}"
            remedy = "Fetch it, drop the row, or correct data.files: {column, folder, suffix}."
            faults.add(self.column, missing, what, remedy, "of files that are not there")
        return [
            None if is_gone else Picture(*self.tree.place(name))
            for name, is_gone in zip(names, blank | lost, strict=True)
        ]

    def add_twins(
        self, file: CsvFile, files: Sequence[Picture | None], labels: np.ndarray | None, faults: CellFaults
    ) -> None:
        """Tells faults of rows that name the same file.

        Args:
            files: As `files` returns them.
            labels: (row,), equal for rows of the same labels, of which the first is no fault; -1 for a row
                without, which is not looked at. None where rows have none.
        """
        rows_of: dict[Picture, list[int]] = {}
        for row, own in enumerate(files):
            if own is not None and (labels is None or labels[row] >= 0):
                rows_of.setdefault(own, []).append(row)
        same: dict[int, int] = {}
        other: dict[int, int] = {}
        for first, *again in rows_of.values():
            if labels is None or (labels[again] == labels[first]).all():
                same |= dict.fromkeys(again, first)
            else:
                other |= dict.fromkeys(again, first) | {first: again[0]}
        for found, how, remedy, left_out_as in (
            (same, "", "Keep one row of each file.", "that repeat a file and its label"),
            (other, ", with another label", "Keep the row that is right.", "of files with several labels"),
        ):
            if not found:
                continue
            row = min(found)
            (place,) = line_places(file, [found[row]])
            name = Path(files[row].member or files[row].path).name  # type: ignore[union-attr]  # it is there
            what = f"{name!r} is listed a second time, as in {place}{how}"
            faults.add(self.column, np.array(sorted(found)), what, remedy, left_out_as)


def find_images(file: CsvFile, said: ImageColumn | None, roles: Roles) -> NamedImages | None:
    """Returns which column names image files, and where these lie; None where none does.

    What is not said is guessed: of a column each cell is the name of a file, with or without its suffix, that
    is beside the CSV file, in a folder beside it or in a .zip; or all cells end as images do.

    Args:
        said: What `data.files` says.
        roles: Columns with a part of their own, of which the id alone may name files, too.

    Raises:
        DataError: What is said is not there; or several folders have files of these names.
    """
    names = file.names()
    if said is not None:
        if said.column not in names:
            guess = did_you_mean(said.column, names).replace(" Known:", " Columns:")
            raise DataError(
                f"{file.first_line}: no column {said.column!r}.{guess} Correct data.files.column."
            )
        columns = [said.column]
    else:
        others = roles.names - {roles.id}
        columns = [name for name in names if name not in others]
        if not columns or len(series_of(columns)) >= FEW_COLUMNS:  # pixels, with a name of each image
            return None
    frame = next(read_frames(file, columns, only=columns, n_rows=_HEAD_ROWS))
    for column in columns:
        cells = list(dict.fromkeys(filter(None, _paths(frame[column]))))
        if said is None and not _could_be_names(cells, len(frame)):
            continue
        found = _located(file, cells, said)
        if found is not None:
            tree, suffix = found
            n_found = sum(tree.has(f"{cell}{suffix}") for cell in cells)
            is_surely = len(cells) == len(frame) or not all(map(NUMBER.fullmatch, cells))
            if said is None and not is_surely and 2 * n_found < len(cells):
                continue  # numbers that come again, of which some are names by chance
            after = columns[columns.index(column) + 1 :]
            too = [name for name in after if all(map(is_image, filter(None, _paths(frame[name]))))]
            return NamedImages(column, tree, suffix, (), _told(column, tree, suffix, said, too))
        if said is not None:
            return NamedImages(column, _said_tree(file, said) or Tree(file.path.parent), said.suffix)
        if all(map(is_image, cells)):  # who reads them tells that they are not there
            return NamedImages(column, Tree(file.path.parent))
    return None


def _could_be_names(cells: Sequence[str], n_rows: int) -> bool:
    """Tells whether cells may be names of files, before any is looked for."""
    if not cells or any(len(cell) > _LONGEST or "\0" in cell or "\n" in cell for cell in cells):
        return False
    if all(map(is_image, cells)):
        return True
    # A folder may have a file that is called 1, and a column of ones does not name it.
    return 2 * len(cells) > n_rows if all(map(NUMBER.fullmatch, cells)) else len(cells) > 1


def _said_tree(file: CsvFile, said: ImageColumn | None) -> Tree | None:
    """Returns the folder that is said, from where it is or beside the file."""
    if said is None or said.folder is None:
        return None
    tree = Tree.at(Path(said.folder))
    if tree is None:
        raise DataError(f"data.files.folder is {shown_path(said.folder)!r}, and there is no such folder.")
    return tree


def _located(file: CsvFile, cells: Sequence[str], said: ImageColumn | None) -> tuple[Tree, str] | None:
    """Returns the folder that has the most of the files that cells name, and their suffix; None for none."""
    own = _said_tree(file, said)
    if own is None and all(os.path.isabs(cell) for cell in cells):
        own = Tree(file.path.parent)  # from which each name leads to itself
    trees = [own] if own is not None else list(_trees_beside(file))
    suffixes = (said.suffix,) if said is not None and said.suffix else _SUFFIXES
    found: list[tuple[tuple[int, bool, bool], Tree, str]] = []
    for tree, suffix in itertools.product(trees, suffixes):
        names = [f"{cell}{suffix}" for cell in cells if is_image(f"{cell}{suffix}") or said is not None]
        if not any(map(tree.has, names[:_FEW])) and not (own is not None and any(map(tree.has, names))):
            continue
        below = tree.path.relative_to(_holder(file)).as_posix().lower() if own is None else ""
        # Of a folder and the archive that it came in, the folder.
        found.append(((sum(map(tree.has, names)), _stem(file) in below, not tree.is_packed), tree, suffix))
    if not found:
        return None
    best = max(rank for rank, _, _ in found)
    several = [(tree, suffix) for rank, tree, suffix in found if rank == best]
    is_of_one = 1 in (len({tree.path for tree, _ in several}), len({suffix for _, suffix in several}))
    if len(several) > 1 and best[0] < len(cells) and is_of_one:
        return several[0]  # some of each folder or of each kind, as `settled` finds
    if len(several) > 1:
        places = " and ".join(f"{tree.where}/*{suffix}" for tree, suffix in several[:2])
        raise DataError(
            f"{file.where}: names files that are in {places}. Say which by data.files: "
            f"{{column: ..., folder: ..., suffix: ...}}."
        )
    return several[0]


def _stem(file: CsvFile) -> str:
    return file.path.name.lower().partition(".")[0]


def _holder(file: CsvFile) -> Path:
    """Returns the folder that a CSV file lies in, itself or in a .zip."""
    archive = archive_on_way(file.path)
    return file.path.parent if archive is None else archive[0].parent


def _trees_beside(file: CsvFile) -> Iterator[Tree]:
    """Yields where the files that a CSV file names may lie: its own folder, those in it, and .zip files; of a
    file in a .zip this, and what is beside it."""
    here, holder = Tree.at(file.path.parent) or Tree(file.path.parent), _holder(file)
    yield from _with_folders(here)
    if here.path != holder:
        yield from _with_folders(Tree(holder))
    if not os.path.isdir(holder):
        return
    with os.scandir(holder) as entries:
        archives = sorted(entry.name for entry in entries if entry.name.lower().endswith(".zip"))
    for name in archives[:_MOST_FOLDERS]:
        if holder / name in (file.path, *file.path.parents):
            continue
        try:
            archive = Tree.at(holder / name)
            if archive is not None:
                yield archive
                yield from (Tree(archive.path / inner) for inner in archive.folders()[:_MOST_FOLDERS])
        except DataError:  # a .zip of something else, which nothing says to be read
            continue


def _with_folders(tree: Tree) -> Iterator[Tree]:
    """Yields a folder, those in it, and those in these."""
    yield tree
    for name in tree.folders()[:_MOST_FOLDERS]:
        own = Tree(tree.path / name)
        yield own
        yield from (Tree(own.path / inner) for inner in own.folders()[:_MOST_FOLDERS])


def _told(
    column: str, tree: Tree, suffix: str, said: ImageColumn | None, too: Sequence[str]
) -> tuple[str, ...]:
    """Returns a line on what was guessed.

    Args:
        too: Other columns that name files.
    """
    if said is not None and (said.suffix == suffix) and said.folder is not None:
        return ()
    ends = f", with {suffix}" if suffix else ""
    other = f", and so may {listed(too)}: data.files: {{column: ...}} says which" if too else ""
    return (f"files: {column!r} names files in {tree.where}{ends}{other}",)


def _paths(column: Any) -> list[str]:
    """Returns the cells of a column of names, those of Windows as of other systems."""
    return [cell.replace("\\", "/") for cell in stripped(column)]


def _likeliest(name: str, tree: Tree) -> str:
    """Returns which file may be meant by a name that none has: one in other letters, or in another folder."""
    lowered, own = name.lower(), name.lower().rpartition("/")[2]
    names = tree.files(_DEPTH)
    found = next((one for one in names if one.lower() == lowered), None)
    found = found or next((one for one in names if one.lower().rpartition("/")[2] == own), None)
    stem = own.rpartition(".")[0]
    found = found or next((one for one in names if one.lower().rpartition(".")[0] == stem != ""), None)
    return "" if found is None else f", where {found!r} is one"


def read_images(
    file: CsvFile, roles: Roles, named: NamedImages, skip_bad: bool, pictures: Callable[..., Pictures]
) -> Samples:
    """Returns the samples of a CSV file that names image files, which are not decoded yet.

    Rows that name no file or have no label, or of which others say another label of the same file, are left
    out, and so is the second of two that say the same.

    Args:
        roles: The columns that are no names.
        skip_bad: Whether that is told in the report, and not with what cannot be decoded.
        pictures: Makes `Pictures` of files, with faults that are told later.

    Raises:
        DataError: No row is left, or these cannot be learnt from.
    """
    names = file.names()
    check_header(names, roles, file)
    others = roles.names
    left = [name for name in names if name not in others and name != named.column]
    only = [named.column, *others]
    (frame,) = read_frames(file, [*roles.spelled, named.column], only=only)
    faults = CellFaults(file.where, partial(line_places, file))
    files = named.files(_paths(frame[named.column]), faults)
    try:
        read_roles(frame, roles, faults)
        labels = _alike(frame, roles, faults)
    except DataError as error:
        raise DataError("\n".join([*faults.told(), str(error)])) from error
    named.add_twins(file, files, labels, faults)
    lines = faults.told(skip_bad=skip_bad)
    if not skip_bad and len(lines) > len(faults.told(skip_bad=True)):
        lines.append("data.skip_bad: true leaves out rows without a file or without one label.")
    told = faults.told_left(len(frame)) if skip_bad else []
    report = [*told_left(left, f"{named.column!r} names the images"), *told]
    rows = np.setdiff1d(np.arange(len(frame)), faults.rows())
    own = [found for row in rows if (found := files[row]) is not None]
    try:
        if not own:
            raise DataError(f"{file.where}: no row is left to learn from.")
        sound = frame.iloc[rows].reset_index(drop=True)
        return samples_of_file(file, pictures(own, lines), roles, sound, report=report)
    except DataError as error:
        raise DataError("\n".join([*lines, *told, str(error)])) from error


def _alike(frame: Any, roles: Roles, faults: CellFaults) -> np.ndarray:
    """Returns (row,), equal for rows of the same labels or numbers to predict, -1 where these are missing.

    Args:
        faults: Is told of cells that are none.
    """
    own = CellFaults(faults.where, faults.places)
    if roles.targets:
        values: Any = read_targets(frame, roles, own)
    elif roles.are_several:
        values, _ = read_labels(frame, roles, own)
    else:
        codes, names = read_classes(frame, roles, own)
        place = {name: index for index, name in enumerate(dict.fromkeys(as_classes(names)))}
        values = np.array([*(place[name] for name in as_classes(names)), -1])[codes]
    _, alike = np.unique(values, axis=0, return_inverse=True)
    alike = alike.reshape(-1)
    alike[own.rows()] = -1
    faults.extend(own)
    return alike


@dataclass(frozen=True)
class ImageRows:
    """Rows of a CSV file that name images to predict.

    Attributes:
        names: Of their files, from the folder on.
        ids: Of each, as the file spells it; None where it has none.
        labels: As `Chunk` has them.
    """

    files: tuple[Picture, ...]
    names: list[str]
    ids: list[str] | None
    labels: list[Any] | None


def rows_to_predict(file: CsvFile, named: NamedImages, roles: Roles) -> ImageRows:
    """Returns the rows of a CSV file that names images to predict.

    Args:
        roles: The columns that are no names, of which any may be missing.

    Raises:
        DataError: A row names no file, or one that another names.
    """
    here = roles.present(file.names())
    only = {named.column, *here.predicted, *filter(None, (here.id,))}
    (frame,) = read_frames(file, only, only=only)
    cells = _paths(frame[named.column])
    faults = CellFaults(file.where, partial(line_places, file))
    found = named.files(cells, faults)
    named.add_twins(file, found, None, faults)
    faults.finish()
    files = tuple(own for own in found if own is not None)
    labels: Any = [stripped(frame[name]) for name in here.predicted]
    if labels:
        labels = list(zip(*labels, strict=True)) if here.targets or here.labels else labels[0]
        labels = label_reader(file, here)(labels)
    ids = None if here.id is None else stripped(frame[here.id])
    return ImageRows(files, list(map(named.name_of, cells)), ids, labels or None)


def told_left(columns: Sequence[str], why: str) -> list[str]:
    """Returns a line on columns that are no part of samples."""
    are = "is" if len(columns) == 1 else "are"
    return [f"columns: {listed(columns)} {are} left out: {why}"] if columns else []


def column_of_test(
    file: CsvFile, named: ImageColumn | None, trained: str | None, roles: Roles
) -> NamedImages:
    """Returns what names the images of other rows than those to learn from.

    Args:
        named: What `data.files` says, of the training data's folder, which may not be that of these.
        trained: The column that names the training data's; None where these come from elsewhere.

    Raises:
        DataError: None does.
    """
    column = trained if trained in file.names() else None
    tried: list[NamedImages | None] = []
    if column is not None and named is not None:
        tried.append(find_images(file, named.model_copy(update={"column": column}), roles))
    try:
        own = None if column is None else ImageColumn(column=column)
        tried.insert(0, find_images(file, own, roles))
    except DataError:  # several folders have them, of which the one that is said may be one
        if not tried:
            raise
    counted = [(_hits(file, found), found) for found in tried if found is not None]
    n_hits, best = max(counted, key=lambda pair: pair[0], default=(0, None))
    if best is None or not n_hits:
        raise DataError(
            f"{file.where}: no column names image files that are there, as the training data have them. Name "
            "it by data.files.column, with the files beside the CSV file or in a folder beside it."
        )
    return best


def _hits(file: CsvFile, found: NamedImages) -> int:
    """Returns how many of the first files that are named are there."""
    frame = next(read_frames(file, [found.column], only=[found.column], n_rows=_HEAD_ROWS))
    return sum(found.tree.has(f"{cell}{found.suffix}") for cell in _paths(frame[found.column]) if cell)
