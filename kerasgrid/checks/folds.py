"""How samples are split into folds, as a config says or Python gives, and what of that is not meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kerasgrid.checks.draft import Draft
from kerasgrid.data.folds import fold_faults, folds_by, make_folds, test_fold
from kerasgrid.data.in_memory import NOTHING, Given
from kerasgrid.records import Dataset, Fold
from kerasgrid.wording import count, joined, listed, percent

_OF_SPREAD = {"r2", "explained_variance", "d2_absolute_error_score", "d2_pinball_score"}
"""Scores of how much of the target's spread is told, of which a constant one has none."""
_WAYS = "Split otherwise, into fewer folds perhaps, or take another objective."
_LARGE_GROUP = 0.5
_SMALL_FOLD = 0.2
"""Of what folds hold out on average."""
_MOST_TOLD = 5


def folds_of(draft: Draft, data: Dataset | None, given: Given = NOTHING) -> list[Fold]:
    """Returns the folds; none where they cannot be made, or nothing could be trained or scored on them."""
    report, search = draft.report, draft.config.search
    if data is None:
        return []
    if given.read is not None:
        return list(given.read.folds)
    where, *others = _ways(draft, given) or ["search.folds"]
    if others:
        report.add(where, f"says what is held out, and so does {joined(others)}: keep one of them.")
        return []
    folds: list[Fold] = []
    if where == "cv":
        with report.catch("cv"):
            folds = folds_by(given.cv, data)
    elif where in ("data.validation", "validation_data") or search.holdout == "test":
        if not data.n_held_out and search.holdout == "test":
            report.add("search.holdout", "is 'test', which does not go with arrays: give a share.")
        folds = [test_fold(len(data), data.n_held_out)] if data.n_held_out else []
    else:
        written = {"folds", "holdout"} & search.model_fields_set
        if report.is_settled(*(f"search.{key}" for key in written or ("folds", "holdout"))):
            faults = list(fold_faults(data, search.how, search.holdout))
            for path, fault in faults:
                report.add(path, fault)
            if not faults:
                with report.catch(where):
                    folds = make_folds(data, search.how, holdout=search.holdout, seed=search.seed)
    told = list(_faults(data, folds, search.objective_name))
    for fault in told:
        report.add(where, fault)
    return [] if told else folds


def _ways(draft: Draft, given: Given) -> list[str]:
    """Returns what says which rows are held out, of which there may be one."""
    search = draft.config.search
    ways = {
        "cv": given.cv,
        "validation_data": given.validation_data,
        "data.validation": draft.config.data.validation,
        "search.holdout": search.holdout,
        "search.folds": search.folds,
    }
    return [name for name, value in ways.items() if value is not None]


def _faults(data: Dataset, folds: Sequence[Fold], objective: str) -> Iterator[str]:
    """Yields why folds cannot be trained on, or not be scored."""
    for fold in folds:
        if data.weights is not None and not data.weights[fold.train].any():
            yield f"fold {fold.index} trains on samples that weigh nothing: split or weigh otherwise."
        if data.target.kind == "classes":
            present = np.unique(data.labels[fold.train])
            if len(present) == 1 and len(data.classes) > 1:
                alone = repr(data.classes[present[0]])
                yield f"fold {fold.index} trains on class {alone} alone: split otherwise."
            lacks = _lacking(data, fold.test)
            if objective.startswith("roc_auc") and lacks:
                yield (
                    f"fold {fold.index} holds out no sample of class {listed(lacks)}, without which "
                    f"{objective} says nothing. {_WAYS}"
                )
        elif data.target.is_multi_label:
            same = (data.labels[fold.test] == data.labels[fold.test][:1]).all(axis=0)
            if objective.startswith("roc_auc") and same.any():
                names = listed([data.classes[place] for place in np.flatnonzero(same)])
                yield (
                    f"fold {fold.index} holds out samples that all have, or all lack, label {names}, for "
                    f"which {objective} says nothing. {_WAYS}"
                )
        elif data.target.is_numbers:
            for what in _constant(data, fold.train):
                yield f"fold {fold.index} trains on {what}: there is nothing to learn. Split otherwise."
            if objective in _OF_SPREAD:
                for what in _constant(data, fold.test):
                    yield f"fold {fold.index} holds out {what}, of which {objective} says nothing. {_WAYS}"


def warnings_of_folds(data: Dataset | None, folds: Sequence[Fold]) -> tuple[str, ...]:
    """Returns what of folds is probably not meant: classes that some lack, groups and times that cross."""
    if data is None:
        return ()
    found = [*_warnings_of_labels(data, folds), *_warnings_of_groups(data, folds), *_warnings_of_sizes(folds)]
    if (times := data.times) is not None:
        later = [fold.index for fold in folds if times[fold.train].max() > times[fold.test].min()]
        if later:
            found.append(
                f"{_named(later)} trained on samples that are later, by data.time, than some of those held "
                "out: scores may know what comes. Write search.folds: {kind: time} to look ahead nowhere."
            )
    return tuple(found)


def _warnings_of_labels(data: Dataset, folds: Sequence[Fold]) -> Iterator[str]:
    """Yields which classes folds lack, or where a number is the same in all that is held out."""
    if data.target.is_numbers:
        for fold in folds:
            for what in _constant(data, fold.test):
                yield f"fold {fold.index} holds out {what}: its score says nothing of what is learnt."
        return
    what, plural = ("label", "labels") if data.target.is_multi_label else ("class", "classes")
    for fold in folds if what == "class" else ():
        present = np.unique(data.labels[fold.test])
        if len(present) == 1 and len(data.classes) > 1:
            alone = repr(data.classes[present[0]])
            yield f"fold {fold.index} holds out class {alone} alone: its score says little."
    counts = dict(zip(data.classes, _counts(data, slice(None)), strict=True))
    for part, does, so in (
        ("train", "trained on", "which they can never say"),
        ("test", "held out", "of which their scores say nothing"),
    ):
        lacking: dict[Any, list[int]] = {}
        for fold in folds:
            for name in _lacking(data, getattr(fold, part)):
                lacking.setdefault(name, []).append(fold.index)
        told = [
            f"fold{'' if len(places) == 1 else 's'} {listed(places)} without {what} {name!r} "
            f"({count(counts[name], 'sample')})"
            for name, places in lacking.items()
        ]
        if told:
            more = f", and {len(told) - _MOST_TOLD} more {plural}" if len(told) > _MOST_TOLD else ""
            yield f"some folds lack {plural} in what is {does}, {so}: {'; '.join(told[:_MOST_TOLD])}{more}."


def _warnings_of_groups(data: Dataset, folds: Sequence[Fold]) -> Iterator[str]:
    """Yields that one group is most of the samples, or that groups are on both sides of a fold."""
    if (groups := data.groups) is None or not folds:
        return
    codes, first, counts = np.unique(groups, return_index=True, return_counts=True)
    largest = int(np.argmax(counts))
    if (share := counts[largest] / len(groups)) > _LARGE_GROUP:
        yield (
            f"one group, that of sample {first[largest]} (counted from 0), holds {percent(share)} of all "
            "samples: where it is held out, the others alone are trained on."
        )
    crossing = {fold.index: len(np.intersect1d(groups[fold.train], groups[fold.test])) for fold in folds}
    if crossed := [index for index, n in crossing.items() if n]:
        n = crossing[crossed[0]]
        yield (
            f"{_named(crossed)} trained on groups that are held out too, {n} of {len(codes)} in the first: "
            "scores may know them. Write search.folds: {kind: group} to keep them apart."
        )


def _warnings_of_sizes(folds: Sequence[Fold]) -> Iterator[str]:
    """Yields that a fold holds out few samples beside the others."""
    sizes = [len(fold.test) for fold in folds]
    mean = np.mean(sizes) if sizes else 0
    for fold, size in zip(folds, sizes, strict=True):
        if size < _SMALL_FOLD * mean:
            yield (
                f"fold {fold.index} holds out {count(size, 'sample')}, and folds {mean:,.0f} on average: its "
                "score counts as much as the others'."
            )


def _lacking(data: Dataset, rows: np.ndarray) -> list[Any]:
    """Returns the classes or labels of the data that rows have no sample of."""
    lacks = (_counts(data, rows) == 0) & (_counts(data, slice(None)) > 0)
    return [data.classes[place] for place in np.flatnonzero(lacks)]


def _counts(data: Dataset, rows: np.ndarray | slice) -> np.ndarray:
    """Returns (class,) or (label,), how many of some rows are of each."""
    labels = data.labels[rows]
    return labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=len(data.classes))


def _constant(data: Dataset, rows: np.ndarray) -> Iterator[str]:
    """Yields in words each number to predict that is the same in all of some rows."""
    values = np.asarray(data.labels[rows])
    for place in np.flatnonzero((values == values[:1]).all(axis=0)):
        name, value = data.target.names[place], values[0, place]
        yield f"{count(len(rows), 'sample')} whose {name} is {value:g} in all"


def _named(indices: Sequence[int]) -> str:
    """Returns `fold 1 is` or `folds 0, 1 and 2 are`."""
    one = len(indices) == 1
    return f"fold{'' if one else 's'} {listed(indices)} {'is' if one else 'are'}"
