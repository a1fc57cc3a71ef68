"""What samples show at a glance that is probably not meant: few of a class, copies, grey among coloured."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasgrid.checks.draft import Draft
from kerasgrid.config.sections import Config, DataConfig, IdxPair
from kerasgrid.data.cache import file_ids
from kerasgrid.data.decoding import ids_of_files, telling
from kerasgrid.data.digests import file_digests
from kerasgrid.data.glance import Glance, with_chunks, with_files
from kerasgrid.data.labels import counts_of
from kerasgrid.data.pictures import Picture, Pictures
from kerasgrid.data.places import meant
from kerasgrid.data.sources import find_source, open_stream
from kerasgrid.errors import DataError
from kerasgrid.io import digest
from kerasgrid.records import Dataset, Doing, not_told
from kerasgrid.space.space import Space
from kerasgrid.wording import joined, percent, shell_word, shown_path

IMBALANCE = 5
"""A class with so many times the samples of another one is told of."""
RARE = 0.02
"""A label that fewer samples have is told of, where samples may have several."""
_COPIES = 0.01
"""A share of samples that repeat others from which on it is told."""
_TOLD = 3
_OTHERS = {
    "classes": ("of another class", "the wrong class"),
    "labels": ("with other labels", "wrong labels"),
    "numbers": ("with another number", "the wrong number"),
}
"""Of which samples one is a copy of another, and what is wrong then."""
_BLIND = {"accuracy", "loss", "neg_log_loss"}
"""Objectives in which a rare class counts little."""


@dataclass(frozen=True)
class Look:
    """What was looked at, and what was seen.

    Attributes:
        seen: What samples show.
        left_out: Why the test set was not looked at; None where it was, or is none.
        files: The image file of each training sample, in their order; empty where that is not known.
        test: Those of the test set; empty where samples are none.
    """

    seen: Glance
    left_out: str | None = None
    files: tuple[Picture, ...] = ()
    test: tuple[Picture, ...] = ()

    def name(self, row: int) -> str:
        """Returns what messages call a training sample."""
        return self._shown(self.files[row]) if self.files else str(row)

    def name_of_test(self, place: int) -> str:
        """Returns what messages call one of the test set."""
        if not self.test:
            return f"{place} of the test set"
        return self._shown(self.test[place])

    def _shown(self, picture: Picture) -> str:
        return shown_path(picture.path) if picture.member is None else picture.member


def look_at(section: DataConfig, data: Dataset, doing: Doing = not_told) -> Look:
    """Looks at samples; of a table at nothing.

    Args:
        section: Its `test` is read. Image files of it are compared with those that were trained on as files,
            and are not decoded.
        data: The training data.
        doing: Is told how far it is, where image files have to be read.
    """
    if data.table is not None:
        return Look(Glance())
    files = _files(section, data)
    if section.test is None or data.n_held_out:
        return Look(Glance.of(data), files=files)
    try:
        stream = open_stream(section.test, data.images.shape[1:], section, target=data.target)
        if stream.pictures is None:
            chunks = with_chunks(chunk.images for chunk in stream.chunks())
            return Look(Glance.of(data, chunks, _key(_paths(section.test))))
        test = stream.pictures.files
        paths = sorted({one.path for one in test})
        own = _key(paths, telling(doing, "Looking at image files of data.test", len(paths)))
        key = digest([own, [one.member for one in test]])
        left_out = None if files else "which files the samples trained on were is not known."
        return Look(Glance.of(data, with_files(files, test), key), left_out, files, test)
    except DataError as error:
        return Look(Glance.of(data), str(error), files)


def names_of(section: DataConfig, data: Dataset) -> tuple[str, ...]:
    """Returns what messages call each training sample that is an image file; none where that is not known.

    Raises:
        DataError: The files are others by now.
    """
    look = Look(Glance(), files=_files(section, data))
    return tuple(map(look.name, range(len(look.files))))


def _files(section: DataConfig, data: Dataset) -> tuple[Picture, ...]:
    """Returns the image file of each training sample; none where that is not known, or they are none."""
    source = None if section.train is None else find_source(section)
    pictures = source.read().images if source is not None and source.decodes else None
    if not isinstance(pictures, Pictures):
        return ()
    if len(pictures) == len(data) - data.n_held_out:
        return pictures.files
    ids = None if data.folder is None else file_ids(Path(data.folder))
    if ids is None or len(ids) != len(data):
        return ()
    # Some are left out: the others are in the same order.
    every = iter(zip(map(bytes, ids_of_files(pictures.files)), pictures.files, strict=True))
    found = [next((one for id, one in every if id == own), None) for own in map(bytes, ids)]
    return tuple(one for one in found if one is not None) if None not in found else ()


def _key(paths: Sequence[Path], tell: Callable[[int], object] = lambda n_done: None) -> str:
    return digest([own.digest for own in file_digests(paths, tell)])


def _paths(test: Any) -> list[Path]:
    if isinstance(test, IdxPair):
        return [Path(test.images)]
    path = meant(test, "test")
    return [] if path is None else [path]


def told_of_samples(
    draft: Draft, config: Config, data: Dataset, space: Space | None, doing: Doing
) -> tuple[str, ...]:
    """Looks at samples, and tells what is probably not meant, and how it is shown.

    Args:
        config: As in `warnings_of_samples`; and so is `space`.
        doing: As in `look_at`.
    """
    look = look_at(draft.data, data, doing)
    told, seen = warnings_of_samples(config, data, look, space), look.seen
    is_file = os.path.exists(draft.report.source)  # and no dict
    if is_file and (seen.across or seen.shared or seen.grey):
        told += (f"these samples are shown by: kerasgrid plot --data {shell_word(draft.report.source)}",)
    return told


def warnings_of_samples(
    config: Config, data: Dataset, look: Look, space: Space | None = None
) -> tuple[str, ...]:
    """Tells what of a glance is probably not meant, and what to do.

    Args:
        config: With the objective filled in.
        data: All samples.
        look: At them.
        space: May search weights of classes; None where it is not known.
    """
    found = [*_of_frequencies(config, data, space)]
    n, seen = len(data) - data.n_held_out, look.seen
    if seen.n_across:
        others, wrong = _OTHERS[data.target.kind]
        told = _pairs([(_named(data, look, a), _named(data, look, b)) for a, b in seen.across])
        found.append(
            f"{seen.n_across:,} of {n:,} samples hold the same values as one {others}, such as {told}: "
            f"one of each pair has {wrong}."
        )
    if seen.n_again > _COPIES * n:
        such = _pairs([(look.name(a), look.name(b)) for a, b in seen.again])
        found.append(
            f"{seen.n_again:,} of {n:,} samples repeat another one with the same label, such as {such}: "
            "copies are both trained on and held out, and scores are too high. Take them out, or keep them "
            "together by data.group."
        )
    own = set(map(_place, look.files))
    if trained := [place for place, one in enumerate(look.test) if _place(one) in own]:
        found.append(
            f"{len(trained):,} of {len(look.test):,} image files of data.test are those of data.train, such "
            f"as {look.name_of_test(trained[0])}: name what has those to predict alone."
        )
    elif seen.n_shared:
        found.append(
            f"{seen.n_shared:,} of {seen.n_test:,} test samples {_are(seen.n_shared)} among the training "
            f"samples too, such as {_pairs([(look.name(a), look.name_of_test(b)) for a, b in seen.shared])}: "
            "scores there are too high."
        )
    if seen.n_damaged:
        such = joined([look.name_of_test(place) for place in seen.damaged[:_TOLD]])
        found.append(
            f"{seen.n_damaged:,} of {seen.n_test:,} image files of data.test cannot be decoded, such as "
            f"{such}: predict needs each of them. Fetch them again."
        )
    if seen.n_grey:
        if seen.n_grey == n:
            third = f"image: [{data.images.shape[1]}, {data.images.shape[2]}, 1]"
            found.append(f"all images are grey, in three equal channels: `{third}` would do with a third.")
        else:
            such = joined([look.name(row) for row in seen.grey[:_TOLD]])
            found.append(
                f"{seen.n_grey:,} of {n:,} images {_are(seen.n_grey)} grey ({percent(seen.n_grey / n)}), and "
                f"the others coloured, such as {such}: a net may learn what is grey in the place of what is "
                "shown."
            )
    return tuple(found)


def _of_frequencies(config: Config, data: Dataset, space: Space | None) -> Iterator[str]:
    target = data.target
    if target.is_numbers:
        return
    n = len(data) - data.n_held_out
    counts = counts_of(data.labels[:n], target.n_outputs)
    most, least = int(counts.argmax()), int(counts.argmin())
    is_blind = config.search.objective_name in _BLIND
    if target.is_multi_label:
        if counts[least] < RARE * n and is_blind:
            yield (
                f"labels are of unequal frequency: {target.names[most]!r} is on {counts[most]:,} of {n:,} "
                f"samples, and {target.names[least]!r} on {counts[least]:,}. {config.search.objective_name} "
                "hardly counts rare ones: score by search.objective: f1_macro."
            )
        return
    name = "training.class_weight"
    weighs = config.training.class_weight is not None or name in config.params
    weighs = weighs or (space is not None and bool(space.values(name)))
    cures = [] if weighs else [f"weigh them by {name}: balanced"]
    cures += ["score by search.objective: balanced_accuracy"] if is_blind else []
    if counts[most] >= IMBALANCE * max(int(counts[least]), 1) and cures:
        times = counts[most] / max(int(counts[least]), 1)
        cure = joined(cures, "or")
        yield (
            f"classes are of unequal size, {times:,.0f} to 1: {target.names[most]!r} has {counts[most]:,} "
            f"samples, and {target.names[least]!r} has {counts[least]:,}. A net may leave rare ones out: "
            f"{cure}."
        )


def _place(picture: Picture) -> str:
    return os.path.abspath(picture.path / (picture.member or ""))


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _named(data: Dataset, look: Look, row: int) -> str:
    """Returns `41 ('cat')`."""
    if data.labels.ndim > 1:
        return look.name(row)
    return f"{look.name(row)} ({data.target.names[data.labels[row]]!r})"


def _pairs(pairs: Any) -> str:
    """Returns `samples 3 and 41`, of some of them."""
    return joined([f"{one} and {other}" for one, other in pairs[:_TOLD]], "or")
