"""Which image files there are, and the class of each: by its folder or its name, in a .zip too."""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from kerasgrid.config.sections import split_pattern
from kerasgrid.data.archives import Tree
from kerasgrid.data.pictures import PICTURE_SUFFIXES, Picture
from kerasgrid.errors import DataError
from kerasgrid.wording import count, listed, shown_path

_TRAIN = {"train", "training"}
_SPLITS = {*_TRAIN, "test", "testing", "valid", "validation", "val"}
"""What folders are called, in small letters, that hold parts of a data set and no classes."""
_TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_TOLD = 8
"""Files that are told by name, of one fault."""


@dataclass(frozen=True)
class Listing:
    """Image files in the order of their paths.

    Attributes:
        tree: Where they lie.
        names: Their paths from there, posix.
        labels: The class of each, as it is spelled; None where none is told.
        report: Lines on what was guessed and left out.
        faults: Lines on files of no class or of several, which are left out, too, but not asked to be.
    """

    tree: Tree
    names: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    report: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[Picture, ...]:
        """The files."""
        return tuple(Picture(*self.tree.place(name)) for name in self.names)


def is_image(name: str) -> bool:
    """Tells whether a file is one of an image, by its name."""
    return posixpath.splitext(name)[1].lower() in PICTURE_SUFFIXES


def class_folders(tree: Tree, *, skip_bad: bool = False) -> Listing:
    """Returns the images in folders that are called as their classes, as `image_dataset_from_directory` has
    them.

    What lies deeper in a class's folder is of the class. A folder that is alone in another is gone into, and
    of train/ and test/ beside each other train/.

    Args:
        skip_bad: Whether images beside the folders of classes are told in the report, and not as faults.

    Raises:
        DataError: There are no two such folders; with what there is instead.
    """
    images, others = _apart(tree)
    images, report, faults = _without_lost(tree, images, skip_bad=skip_bad)
    while True:
        tops = sorted({name.partition("/")[0] for name in images if "/" in name})
        loose = [name for name in images if "/" not in name]
        lowered = {top.lower(): top for top in tops}
        split = next((lowered[name] for name in sorted(_TRAIN) if name in lowered), None)
        if len(tops) > 1 and split is not None and set(lowered) <= _SPLITS:
            beside = listed([*(f"{top}/" for top in tops if top != split), *loose])
            report.append(
                f"files: the classes are the folders in {shown_path(tree.path / split)}, beside {beside}, "
                "which data.test and data.validation may name"
            )
        elif not loose and len(tops) == 1 and any(name.count("/") > 1 for name in images):
            split = tops[0]
        else:
            break
        start = f"{split}/"
        tree = Tree(tree.path / split)
        images, others = (
            [name.removeprefix(start) for name in names if name.startswith(start)]
            for names in (images, others)
        )
    if not images:
        raise DataError(_without_images(tree, others))
    if not tops or (len(tops) < 2 and loose):
        example = loose[0]
        raise DataError(
            f"{tree.where}: {count(len(loose), 'image')} and no folders of classes. Where their names tell "
            f"the class: data.train: {{files: {tree.where}/*{PurePosixPath(example).suffix}, label: REGEX}}, "
            f"such as (cat|dog), which is found in {example}; else the CSV file that names them"
            f"{_of_table(tree, others, ': ')}."
        )
    if len(tops) < 2:
        raise DataError(
            f"{tree.where}: all {count(len(images), 'image')} are in the folder {tops[0]}/. At least two "
            f"classes, a folder each, are needed to learn from.{_of_table(tree, others)}"
        )
    if loose and skip_bad:
        report.append(_told_left(loose, len(images), "beside the folders of classes"))
    elif loose:
        faults.append(
            f"{tree.where}: {count(len(loose), 'image')} beside the folders of classes {listed(tops)}, of no "
            f"class: {_few(loose)}. Move each into its class's folder, or elsewhere, or leave them out with "
            "data.skip_bad: true."
        )
    images = [name for name in images if "/" in name]
    if empty := [name for name in tree.folders() if name not in tops]:
        report.append(f"files: no images in {listed([f'{name}/' for name in empty])}: no class is made of it")
    labels = tuple(name.partition("/")[0] for name in images)
    return Listing(tree, tuple(images), labels, (*report, *_told_others(others)), tuple(faults))


def all_images(tree: Tree) -> Listing:
    """Returns all images below a folder, whose class nothing tells but the folders that they may be in.

    Raises:
        DataError: There are none.
    """
    images, others = _apart(tree)
    if not images:
        raise DataError(_without_images(tree, others))
    labels = tuple(name.partition("/")[0] for name in images) if all("/" in name for name in images) else None
    return Listing(tree, tuple(images), labels, tuple(_told_others(others)))


def matching(pattern: str, label: str | None, key: str, *, skip_bad: bool = False) -> Listing:
    """Returns the images whose paths match a pattern, with classes where a regular expression is given for
    them.

    Args:
        pattern: Of paths, with `*`, `?`, `[...]`, and `**` for any folders.
        label: Found in a path below the pattern's folder: its group, or all of it, is the class; None for
            none.
        key: What messages call the source, such as `data.train`.
        skip_bad: Whether files whose paths tell no class or several are told in the report, and not as
            faults.

    Raises:
        DataError: Nothing matches, or no file's path tells a class.
    """
    folder, below = split_pattern(pattern)
    found = None if label is None else _compiled(label, key)
    tree = Tree.at(folder)
    if tree is None:
        raise DataError(
            f"{key}.files is {shown_path(pattern)!r}, and there is no folder {shown_path(folder)}."
        )
    parts = below.split("/")
    names = [
        name for name in tree.files(None if "**" in parts else len(parts)) if _matches(name.split("/"), parts)
    ]
    images = [name for name in names if is_image(name)]
    if not images:
        there = f": {_few(names)}" if names else ""
        what = f"only {count(len(names), 'file')} that are no images{there}" if names else "nothing"
        raise DataError(
            f"{key}.files is {shown_path(pattern)!r}, which matches {what}. In {tree.where} there "
            f"{_what_is_there(tree.files())}."
        )
    report = _told_others([name for name in names if not is_image(name)])
    if found is None:
        return Listing(tree, tuple(images), None, tuple(report))
    images, told, lost = _without_lost(tree, images, skip_bad=skip_bad)
    report += told
    labels, without, several = {}, [], []
    for name in images:
        told = sorted({_class_of(match) for match in found.finditer(name)} - {""})
        if not told:
            without.append(name)
        elif len(told) > 1:
            several.append(f"{name} ({', '.join(map(repr, told))})")
        else:
            labels[name] = told[0]
    faults = list[str]()
    for files, what in ((without, "no class"), (several, "several classes")):
        if files and skip_bad:
            report.append(_told_left(files, len(images), f"of {what} by {key}.label"))
        elif files:
            faults.append(
                f"{key}.label is {label!r}, by which {count(len(files), 'file')} of {len(images):,} in "
                f"{tree.where} {'is' if len(files) == 1 else 'are'} of {what}: {_few(files)}."
            )
    if faults:
        way, skip = f"Correct the expression, have {key}.files match others", "data.skip_bad: true"
        faults.append(f"{way}." if key == "data.test" else f"{way}, or leave these out with {skip}.")
    faults = [*lost, *faults]
    if not labels:
        raise DataError("\n".join(faults or [f"{key}: no file is left to learn from.", *report]))
    return Listing(tree, tuple(labels), tuple(labels.values()), tuple(report), tuple(faults))


def _matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Tells whether a path matches a pattern, name by name."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_matches(parts[place:], pattern[1:]) for place in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _matches(parts[1:], pattern[1:])


def _compiled(label: str, key: str) -> re.Pattern[str]:
    try:
        found = re.compile(label)
    except re.error as error:
        raise DataError(f"{key}.label is {label!r}, which is no regular expression: {error}.") from error
    if found.groups > 1:
        raise DataError(
            f"{key}.label is {label!r}, which has {found.groups} groups, and one is the class: begin the "
            "others with (?:."
        )
    return found


def _class_of(match: re.Match[str]) -> str:
    return (match[1] if match.re.groups else match[0]) or ""


def _apart(tree: Tree) -> tuple[list[str], list[str]]:
    """Returns the images below a folder, and the other files."""
    names = tree.files()
    parts: tuple[list[str], list[str]] = [], []
    for name in names:
        parts[not is_image(name)].append(name)
    return parts


def _without_lost(
    tree: Tree, names: Sequence[str], *, skip_bad: bool
) -> tuple[list[str], list[str], list[str]]:
    """Returns the names behind which there is a file, and a line on the others, as left out or as faults."""
    lost = [] if tree.is_packed else [name for name in names if not tree.has(name)]
    if not lost:
        return list(names), [], []
    left = set(lost)
    kept = [name for name in names if name not in left]
    if skip_bad:
        return kept, [_told_left(lost, len(names), "behind whose links there is no file")], []
    what = f"{tree.where}: {count(len(lost), 'name')} of {len(names):,} behind which there is no file"
    way = "Links lead nowhere: fetch the files, or leave these out with data.skip_bad: true."
    return kept, [], [f"{what}: {_few(lost)}. {way}"]


def _without_images(tree: Tree, others: Sequence[str]) -> str:
    """Returns what is said of a folder that has no images."""
    suffixes = ", ".join(sorted(PICTURE_SUFFIXES))
    way = _of_table(tree, others)
    if tree.is_packed and any(name.lower().endswith(".zip") for name in others):
        way = f" A .zip in a .zip is not read: unpack {tree.where}, and name what comes out."
    return f"{tree.where}: no images ({suffixes}) in it or below: there {_what_is_there(others)}.{way}"


def _of_table(tree: Tree, others: Sequence[str], colon: str | None = None) -> str:
    """Returns which CSV file may be meant, after a colon or as a sentence; an empty text without one."""
    tables = [name for name in others if name.lower().endswith(_TABLES)]
    table = next((name for name in tables if "train" in name.lower()), tables[0] if tables else None)
    if table is None:
        return ""
    path = f"{tree.where}/{table}"
    return f" Of a CSV file give its name: {path}." if colon is None else f"{colon}{path}"


def _what_is_there(names: Sequence[str]) -> str:
    if not names:
        return "are no files"
    return f"{'is' if len(names) == 1 else 'are'} {count(len(names), 'file')}: {_few(names)}"


def _told_others(others: Sequence[str]) -> list[str]:
    """Returns a line on files that are no images."""
    if not others:
        return []
    are = "1 that is no image is" if len(others) == 1 else f"{len(others):,} that are no images are"
    return [f"files: {are} left out: {_few(others)}"]


def _told_left(names: Sequence[str], n_all: int, what: str) -> str:
    """Returns a line on images that are left out as `data.skip_bad` asks for."""
    return f"files: {count(len(names), 'image')} of {n_all:,} {what}, left out: {_few(names)}"


def _few(names: Sequence[str]) -> str:
    """Returns the first of some names, and how many more there are."""
    more = f" and {len(names) - _TOLD:,} more" if len(names) > _TOLD else ""
    return ", ".join(names[:_TOLD]) + more
