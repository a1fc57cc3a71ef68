"""What samples show at a glance that is probably not meant: few of a class, copies, grey among coloured."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.config.sections import Config, DataConfig, IdxPair
from kerasgrid.data.digests import file_digests
from kerasgrid.data.glance import Glance, counts_of
from kerasgrid.data.sources import open_stream
from kerasgrid.errors import DataError
from kerasgrid.records import Dataset
from kerasgrid.space.space import Space
from kerasgrid.wording import joined, percent

IMBALANCE = 5
"""A class with so many times the samples of another one is told of."""
RARE = 0.02
"""A label that fewer samples have is told of, where samples may have several."""
_COPIES = 0.01
"""A share of samples that repeat others from which on it is told."""
_TOLD = 3
_FILES = {".csv", ".npz", ".npy", ".gz", ".idx", ""}
_BLIND = {"accuracy", "loss", "neg_log_loss"}
"""Objectives in which a rare class counts little."""


def glance_at(section: DataConfig, data: Dataset) -> tuple[Glance, str | None]:
    """Returns what samples show, and why the test set was not looked at; None where it was, or is none.

    Of a table nothing is looked at.

    Args:
        section: Its `test` is read, if it is one file of samples; image files are not decoded.
        data: The training data.
    """
    if data.table is not None:
        return Glance(), None
    test, shape = section.test, data.images.shape[1:]
    path = Path(test.images) if isinstance(test, IdxPair) else None
    if isinstance(test, str) and Path(test).suffix.lower() in _FILES and not Path(test).is_dir():
        path = Path(test)
    if data.n_held_out or test is None or section.files is not None or path is None:
        is_left = test is not None and not data.n_held_out
        return Glance.of(data), "its image files are not decoded for it" if is_left else None

    def chunks() -> Iterator[np.ndarray]:
        for chunk in open_stream(test, shape, section).chunks():
            yield chunk.images

    try:
        key = [own.digest for own in file_digests([path])]
        return Glance.of(data, chunks(), key), None
    except DataError as error:
        return Glance.of(data), str(error)


def warnings_of_samples(
    config: Config, data: Dataset, seen: Glance, space: Space | None = None
) -> tuple[str, ...]:
    """Tells what of a glance is probably not meant, and what to do.

    Args:
        config: With the objective filled in.
        data: All samples.
        seen: Of them.
        space: May search weights of classes; None where it is not known.
    """
    found = [*_of_frequencies(config, data, space)]
    n = len(data) - data.n_held_out
    if seen.n_across:
        one = "label" if data.target.is_multi_label else "number" if data.target.is_numbers else "class"
        told = _pairs([(_named(data, a), _named(data, b)) for a, b in seen.across])
        found.append(
            f"{seen.n_across:,} of {n:,} samples hold the same values as one of another {one}, such as "
            f"{told}: one of each pair has the wrong {one}."
        )
    if seen.n_again > _COPIES * n:
        found.append(
            f"{seen.n_again:,} of {n:,} samples repeat another one with the same label, such as "
            f"{_pairs(seen.again)}: copies are both trained on and held out, and scores are too high. Take "
            "them out, or keep them together by data.group."
        )
    if seen.n_shared:
        found.append(
            f"{seen.n_shared:,} of {seen.n_test:,} test samples {_are(seen.n_shared)} among the training "
            f"samples too, such as {_pairs(seen.shared)} of the test set: scores there are too high."
        )
    if seen.n_grey:
        if seen.n_grey == n:
            third = f"image: [{data.images.shape[1]}, {data.images.shape[2]}, 1]"
            found.append(f"all images are grey, in three equal channels: `{third}` would do with a third.")
        else:
            such = joined([str(row) for row in seen.grey[:_TOLD]])
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


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _named(data: Dataset, row: int) -> str:
    """Returns `41 ('cat')`."""
    if data.labels.ndim > 1:
        return str(row)
    return f"{row} ({data.target.names[data.labels[row]]!r})"


def _pairs(pairs: Any) -> str:
    """Returns `samples 3 and 41`, of some of them."""
    return joined([f"{one} and {other}" for one, other in pairs[:_TOLD]], "or")
