"""Asking kept models about samples, in worker processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid import executors
from kerasgrid.checks.prepared import Trainable
from kerasgrid.data.array_likes import as_array, refuse_others
from kerasgrid.data.frames import as_frame, stream_of_frame
from kerasgrid.data.inputs import rows_like
from kerasgrid.data.roles import Roles
from kerasgrid.data.sources import open_stream
from kerasgrid.data.streams import Stream, rows_of_array
from kerasgrid.delivery.ensembles import combine
from kerasgrid.delivery.finished import FinishedRun, trial_of
from kerasgrid.delivery.models import AskedTrial, asked_trial, read_card
from kerasgrid.errors import ChangedError, DataError, KerasgridError, ResultsError, TrialError
from kerasgrid.io import scratch_folder
from kerasgrid.jobs.facts import ModelFacts
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import PredictedRecord, PredictTask
from kerasgrid.planning.workers import ask_worker, lent_executor, make_fit_recipe
from kerasgrid.records import WHOLE, Fold, Table
from kerasgrid.run.results import ResultsData, runs_of
from kerasgrid.spawning import stop_on_signals
from kerasgrid.training.entry import predict as ask_model

_ERRORS = {error.__name__: error for error in (DataError, TrialError, ChangedError, ResultsError)}


@dataclass
class _Answer:
    """What a model has said of all samples."""

    parts: list[PredictedRecord] = field(default_factory=list)

    def take(self, record: PredictedRecord) -> None:
        self.parts.append(record)

    @cached_property
    def predictions(self) -> np.ndarray:
        return np.concatenate([part.predictions for part in self.parts])

    @property
    def ids(self) -> list[str] | None:
        if self.parts[0].ids is None:
            return None
        return [id for part in self.parts for id in part.ids or ()]

    @property
    def labels(self) -> list[Any] | None:
        if self.parts[0].labels is None:
            return None
        return [label for part in self.parts for label in part.labels or ()]

    @property
    def span(self) -> tuple[float, float] | None:
        return self.parts[-1].span

    @property
    def unknown(self) -> Mapping[str, int]:
        return self.parts[-1].unknown


@dataclass
class Asking:
    """Asks models in worker processes; a context manager.

    Attributes:
        tta: Augmented views.
        progress: Is told of rows that are done.
    """

    asked: Sequence[AskedTrial]
    tta: int
    progress: Callable[[int], None]
    _prepared: dict[Path, Trainable] = field(default_factory=dict)
    _folds: dict[Path, Sequence[Fold]] = field(default_factory=dict)
    _is_stopped: bool = False

    def __enter__(self) -> Asking:
        n_models = sum(len(one.models) for one in self.asked)
        with ExitStack() as stack:
            lent = lent_executor(self.asked[0].finished.draft, most=n_models, is_here=True)
            self._executor = stack.enter_context(lent)
            for one in self.asked:
                self._check_views(one)
            self._workers = stack.pop_all()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._workers.__exit__(*exception)

    def prepared(self, one: AskedTrial) -> Trainable:
        """Returns the search of a trial, with its data."""
        path = one.finished.path
        if path not in self._prepared:
            rows = [other.row for other in self.asked if other.finished is one.finished]
            ask = partial(ask_worker, self._executor)
            self._prepared[path] = one.finished.prepare(rows, ask, has_models=True)
        return self._prepared[path]

    def recipe(self, one: AskedTrial) -> Recipe:
        """Returns what workers need to know of a trial's search."""
        return make_fit_recipe(self.prepared(one), one.finished.paths)

    def _check_views(self, one: AskedTrial) -> None:
        given = self.recipe(one).route(one.row["params"]).augment
        if self.tta and (given is None or not given.of_views):
            raise ResultsError(
                f"{one.name}: was trained without augmentation, within which the views of --tta are drawn. "
                "Leave it out."
            )

    def streams(self, data: Any, stack: ExitStack) -> list[Stream]:
        """Returns the test set as each trial reads it: a file or an array that was given, or the config's.

        A table is read by the columns of the trial's own models, which may be those of other searches.
        """
        first = self.asked[0]
        kind = self._kind(first)
        for other in self.asked:
            if (own := self._kind(other)) != kind:
                raise ResultsError(
                    f"{other.finished.path}: is {own}, and {first.finished.path} {kind}, so that they cannot "
                    "be asked together."
                )
        trained, name = self.prepared(first).data, None
        if data is not None and not isinstance(data, str | Path):
            folder = stack.enter_context(scratch_folder())
            if trained.table is not None:
                return [self._stream_of_frame(one, data, Path(folder)) for one in self.asked]
            if trained.inputs is None:
                refuse_others(data)
                values = as_array(data, "data")
            else:
                values = rows_like(data, trained.inputs).values
            np.save(f"{folder}/X.npy", np.ascontiguousarray(values))
            data, name = f"{folder}/X.npy", "the array"
        if data is None:
            data = first.finished.data.test
        if data is None:
            raise DataError(
                f"{first.finished.path}: its config names no data.test. Give the samples to predict with "
                "--data FILE."
            )
        return [
            open_stream(
                data,
                trained.images.shape[1:],
                one.finished.data,
                table=self.table(one),
                name=name,
                target=one.finished.target,
            )
            for one in self.asked
        ]

    def _stream_of_frame(self, one: AskedTrial, data: Any, folder: Path) -> Stream:
        """Returns a DataFrame as a trial reads it; the table's values lie in a file of the folder."""
        frame, table = as_frame(data), self.table(one)
        assert table is not None
        if frame is None:
            raise DataError(
                f"{one.finished.path}: was searched on a table. Give a DataFrame that has its columns, or a "
                ".csv file."
            )
        file = folder / f"table-{self.asked.index(one)}.npy"
        return stream_of_frame(frame, table, Roles.of(one.finished.data), file)

    def _kind(self, one: AskedTrial) -> str:
        """Returns in words of which samples a trial is."""
        data = self.prepared(one).data
        if data.table is not None:
            return "of a table's rows"
        return f"of images of {list(data.images.shape[1:])}" if data.inputs is None else f"of {data.inputs}"

    def table(self, one: AskedTrial) -> Table | None:
        """Returns the columns that a trial's models know; None of what is no table.

        Those of models of all training data are of more rows than the search's, where that was of a subset.
        """
        if self.prepared(one).data.table is None:
            return None
        facts = ModelFacts.read(one.models[0][0])
        return None if facts is None or facts.encoder is None else facts.encoder.table

    def ask(self, streams: Sequence[Stream]) -> tuple[list[np.ndarray], _Answer]:
        """Returns each trial's predictions, and an answer with ids, labels, span and unknown categories.

        Args:
            streams: The test set as each trial reads it.

        Raises:
            DataError: The samples cannot be read, or are not like the training data.
        """
        questions = [
            (one, file, fold, stream)
            for one, stream in zip(self.asked, streams, strict=True)
            for file, fold in one.models
        ]
        answers = self._run(questions, self.progress)
        parts, place = [], 0
        for one in self.asked:
            own = answers[place : place + len(one.models)]
            parts.append(combine([answer.predictions for answer in own]))
            place += len(one.models)
        return parts, answers[0]

    def held_out_views(self) -> list[np.ndarray] | None:
        """Returns what the fold models say of views of what they had not seen, a trial each.

        Returns:
            (sample, class) each, NaN where no fold held a sample out; None where some models are not there.
        """
        questions, places = [], []
        for one in self.asked:
            try:
                folds = asked_trial(one.finished, one.row, "folds")
            except ResultsError:  # they were not kept, which the caller tells
                return None
            images = self.prepared(folds).data.place / "images.npy"
            for file, fold in folds.models:
                rows = self._fold(folds, fold).test
                stream = Stream(str(images), partial(rows_of_array, images, rows))
                questions.append((folds, file, fold, stream))
                places.append(rows)
        answers, found = iter(zip(self._run(questions), places, strict=True)), []
        for one in self.asked:
            n_samples = len(self.prepared(one).data)
            total = np.zeros((n_samples, one.finished.target.n_outputs))
            counts = np.zeros((n_samples, 1))
            for _ in runs_of(one.row, one.finished.paths.folder):
                answer, rows = next(answers)
                total[rows] += answer.predictions
                counts[rows] += 1
            found.append(np.where(counts > 0, total / np.maximum(counts, 1), np.nan))
        return found

    def _run(
        self,
        questions: Sequence[tuple[AskedTrial, Path, int, Stream]],
        progress: Callable[[int], None] = lambda n_rows: None,
    ) -> list[_Answer]:
        """Returns the answer to each question; those of one search are asked side by side."""
        answers = [_Answer() for _ in questions]
        groups: dict[Path, list[PredictTask]] = {}
        for place, (one, file, fold, stream) in enumerate(questions):
            center = None
            if fold == WHOLE:
                names = [path for path, _ in one.models]
                center = one.cards[names.index(file)]["input"]["center"]
            task = PredictTask(
                place,
                file.absolute(),
                trial_of(one.row),
                self._fold(one, fold),
                stream,
                self.tta,
                tells_ids=place == 0,
                center=center,
            )
            groups.setdefault(one.finished.path, []).append(task)
        with stop_on_signals(self._stop):
            for path, tasks in groups.items():
                one = next(one for one, *_ in questions if one.finished.path == path)
                for event in self._executor.run(partial(ask_model, self.recipe(one)), tasks):
                    if isinstance(event, executors.Emitted):
                        answers[event.payload.place].take(event.payload)
                        progress(len(event.payload.predictions))
                    elif isinstance(event, executors.Raised):
                        raise _ERRORS.get(event.error_type, KerasgridError)(event.message)
                    elif isinstance(event, executors.Died):
                        raise KerasgridError(
                            f"{event.task.model.name}: the worker {event.reason}. Nothing is lost: give the "
                            "same command again, with fewer workers (--set executor.workers=1) if memory ran "
                            "out."
                        )
        if self._is_stopped:
            raise KeyboardInterrupt
        return answers

    def _stop(self) -> None:
        self._is_stopped = True
        self._executor.stop()

    def _fold(self, one: AskedTrial, fold: int) -> Fold:
        if fold == WHOLE:  # whose card says what its training rows were
            return Fold(WHOLE, np.empty(0, np.int64), np.empty(0, np.int64))
        path = one.finished.path
        if path not in self._folds:
            data = self.prepared(one).data
            self._folds[path] = one.finished.folds(data)
        return self._folds[path][fold]


def rebuilt_model(results: ResultsData, file: Path) -> Any:
    """Returns the keras.Model of a file of weights that `fit` has written, as its model function builds it.

    Raises:
        ResultsError: Its card is not there, or its weights do not fit.
        ChangedError: The model function's source changed since.
    """
    from kerasgrid.training.candidate import Candidate
    from kerasgrid.training.saving import rebuilt

    card = read_card(file)
    if card is None:
        raise ResultsError(f"{file}: the card beside it is not there, which says whose weights these are.")
    finished = FinishedRun(results)
    [row] = finished.rows(card["trial"])
    recipe = make_fit_recipe(finished.prepare([row], has_models=True), finished.paths)
    return rebuilt(file, Candidate.of(recipe, row["params"]), card["input"]["center"])
