"""One property of training: a job's numbers depend neither on who trains it, nor beside whom, nor on crashes.

Each case is a pack whose jobs differ in numbers that its program receives: learning rates, schedules,
strengths of augmentation, weights of classes, of mixed samples too. It is trained whole, a job at a time, by
Keras's own fit, and in sessions that break off after a few checkpoints, within epochs and between them.
"""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from eagerly import eagerly
from whole_jobs import (
    EVEN,
    STOPPING,
    VAL,
    assert_alike,
    finished,
    jobs_of,
    maker,
    on_tensorflow,
    result,
    results,
)

from kerasgrid.data.in_memory import Given
from kerasgrid.models import backbone
from kerasgrid.models.repvgg import RepVGG
from kerasgrid.models.transformers import ViT
from kerasgrid.records import Pack
from kerasgrid.training import candidate, packs, wave
from kerasgrid.training.candidate import Candidate
from kerasgrid.training.feeding import Stored
from kerasgrid.training.learning_rate import scheduled

pytestmark = [pytest.mark.slow(weight=5), pytest.mark.backend]

SCHEDULER = "callbacks.learning_rate_scheduler"
GEOMETRY = {
    "rotation_range": 15,
    "width_shift_range": [0.125, 2],
    "height_shift_range": 2,
    "shear_range": 5,
    "zoom_range": 0.25,
    "horizontal_flip": True,
    "channel_shift_range": 2.0,
    "brightness_range": [0.5, 1.5],
    "blur_sigma": [0, 1],
    "samplewise_center": True,
    "vertical_flip": 0.25,
    "crop_scale": 0.75,
    "contrast_range": 0.25,
    "cutout_size": 0.25,
    "cutout_probability": 0.5,
}


def stopping(**changes: Any) -> dict[str, Any]:
    return {"early_stopping": {"patience": 1, "min_delta": 0.0625, **changes}}


HALVES = {"data": EVEN, "params": {"batch_size": 25}}
"""Of a fold, so that an epoch has two steps, both of as many rows; with an inner split they are 20.

Steps of fewer rows, each a program of its own, are in the cases of other data.
"""
PATIENT = {
    "early_stopping": {**STOPPING["early_stopping"], "patience": 3},
    "reduce_lr_on_plateau": {**STOPPING["reduce_lr_on_plateau"], "patience": 2, "cooldown": 1},
}
"""Which wait for several epochs, in which a session may break off."""


@dataclass(frozen=True)
class Case:
    """A pack.

    Attributes:
        space: The params of each job; they share a graph.
        changes: Of the config.
        width: Jobs side by side.
        n_plain: Jobs that are trained by Keras's own fit too; None for all.
        tolerance: Of packs from Keras's own fit.
        cuts: Checkpoints after which the sessions of the pack break off.
        plain_cuts: Those of Keras's own fit of its first job.
        by_width: Whether each job is trained alone too.
        in_pieces: Whether its samples are fed in pieces too.
        has_dropout: Whether Keras's own fit draws other masks, so that the two are not compared.
        is_traced: Whether Keras's own fit is; the others compute the same step by step, in less time.
        data: Writes what it is of into a folder and returns what tells of it; None for digits.
    """

    space: list[dict[str, Any]]
    changes: dict[str, Any] = field(default_factory=dict)
    width: int | None = None
    n_plain: int | None = None
    tolerance: float = 2e-4
    cuts: tuple[int, ...] = ()
    plain_cuts: tuple[int, ...] = ()
    by_width: bool = False
    in_pieces: bool = False
    has_dropout: bool = False
    is_traced: bool = False
    data: Callable[[Path], dict[str, Any]] | None = None

    def fitting(self):
        """Returns a context for Keras's own fits."""
        return nullcontext() if self.is_traced else eagerly()


def table(folder):
    """Writes rows of numbers, blanks, categories and dates, prices and weights; returns what tells of it."""
    numbers, lines = np.random.default_rng(0), ["size,rooms,city,day,price,weight"]
    for row in range(101):
        size, rooms = numbers.integers(20, 200), numbers.integers(1, 6) if row % 7 else ""
        city, day = "ABC"[row % 3] if row % 11 else "", f"2024-{1 + row % 12:02}-15"
        price = 900 * size + 5_000 * (city == "B") + numbers.integers(100)
        lines.append(f"{size},{rooms},{city},{day},{price},{row % 4}")
    (folder / "houses.csv").write_text("\n".join(lines) + "\n")
    columns = {"target": "price", "target_scale": "log", "weight": "weight"}
    return {"data": {"train": str(folder / "houses.csv"), **columns}}


def several(folder):
    """Writes coloured images any thirds of which are bright, a label each; returns what tells of it."""
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, (100, 3))
    images = numbers.integers(0, 60, (100, 6, 6, 3)) + 150 * np.repeat(labels, 2, axis=1)[..., None, None]
    np.savez(folder / "several.npz", images=images.astype(np.uint8), labels=labels)
    figures = {"mean": [0.375, 0.25, 0.5], "std": [0.25, 0.5, 0.25]}
    data = {"train": str(folder / "several.npz"), "multi_label": True, "scale": 255, "normalize": figures}
    return {"data": data}


def inputs(folder):
    """Returns arrays by name, an image, numbers and one of five places a sample, which tell its class."""
    numbers = np.random.default_rng(0)
    labels, places = numbers.integers(0, 3, 100), numbers.integers(0, 5, 100)
    image = (numbers.integers(0, 90, (100, 6, 6, 1)) + 80 * labels[:, None, None, None]).astype(np.uint8)
    facts = numbers.normal(size=(100, 3)) + places[:, None]
    X = {"facts": facts, "image": image, "place": places}
    return {"data": {}, "given": Given(X, (labels + places) % 3)}


def net_of_inputs(input_shapes, n_classes):
    shapes, layers = input_shapes, keras.layers
    image, facts = keras.Input(shapes["image"], name="image"), keras.Input(shapes["facts"], name="facts")
    place = keras.Input((), dtype="int32", name="place")
    x = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(image))
    x = layers.concatenate([layers.Flatten()(x), facts, layers.Embedding(5, 3)(place)])
    return keras.Model([image, facts, place], layers.Dense(n_classes, activation="softmax")(x))


def half_frozen(input_shape, n_classes):
    """Returns a net of which two frozen parts, the same for every fit, give what the rest takes."""
    layers, image = keras.layers, keras.Input(input_shape)
    both = []
    for seed in (1, 2):
        drawn = keras.initializers.GlorotUniform(seed)
        x = layers.Conv2D(4, 3, kernel_initializer=drawn, activation="relu", trainable=False)(image)
        x = layers.Flatten()(layers.BatchNormalization(trainable=False)(x))
        both.append(layers.Dense(8, activation="relu")(x))
    return keras.Model(image, layers.Dense(n_classes, activation="softmax")(layers.add(both)))


CASES = {
    "schedules": Case(
        [
            {f"{SCHEDULER}.schedule": "step"},
            {f"{SCHEDULER}.schedule": "one_cycle", f"{SCHEDULER}.warmup_epochs": 0},
            {f"{SCHEDULER}.schedule": "constant"},
            {f"{SCHEDULER}.schedule": "cosine"},
        ],
        {
            **HALVES,
            "callbacks": {
                "learning_rate_scheduler": {"schedule": "step", "warmup_epochs": 0.5, "decay_epochs": 1}
            },
        },
        width=2,
        n_plain=2,
        cuts=(3, 5),
    ),
    "stopping and plateaus": Case(
        [
            {"learning_rate": 0.125},
            {"learning_rate": 0.03125, "training.batch_norm": "debiased"},
            {"learning_rate": 1e30},
            {"learning_rate": 0.00390625},
        ],
        {
            "search": VAL,
            "callbacks": PATIENT,
            "params": {"epochs": 10, "batch_norm": True},
        },
        width=2,
        cuts=(2, 3, 3, 3, 3, 3, 3),
        n_plain=3,
        in_pieces=True,
        plain_cuts=(5, 5),
        by_width=True,
    ),
    "geometry": Case(
        [
            {"augment.rotation_range": 20.5, "learning_rate": 0.25},
            {"augment.rotation_range": 0, "learning_rate": 0.00390625},
        ],
        {
            **HALVES,
            "augment": GEOMETRY,
            "callbacks": stopping(monitor="accuracy", min_delta=0.03125),
            "params": {"batch_size": 25},
        },
        n_plain=1,
        tolerance=2e-3,
        cuts=(2, 2),
        by_width=True,
    ),
    "statistics, class weights and NaN": Case(
        [
            {"training.class_weight": "balanced"},
            {"training.class_weight": {"0": 0.0, "7": 5.0}},
            {"training.class_weight": "balanced", "learning_rate": 1e30},
            {"training.class_weight": "balanced", "learning_rate": 0.03125},
        ],
        {
            "augment": {
                "featurewise_center": True,
                "featurewise_std_normalization": True,
                "mixup_alpha": 0.5,
                "cutmix_alpha": 1,
            },
            "callbacks": {"terminate_on_nan": True, **stopping(monitor="loss", min_delta=0.75)},
            "params": {"epochs": 4},
        },
        n_plain=3,
        cuts=(4,),
    ),
    "test fold and label smoothing": Case(
        [
            {"loss.label_smoothing": 0.25, "learning_rate": 0.25},
            {"loss.label_smoothing": 0.5, "learning_rate": 0.0078125},
        ],
        {**HALVES, "search": {"folds": 2, "val": "test_fold"}, "callbacks": stopping(monitor="val_accuracy")},
        cuts=(3,),
    ),
    "everything": Case(
        [{}, {"augment.rotation_range": 0}],
        {
            "search": {"folds": 2, "val": 0.25},
            "augment": {"rotation_range": 15, "zoom_range": 0.25, "samplewise_center": True},
            "callbacks": {
                "learning_rate_scheduler": {"schedule": "one_cycle"},
                **stopping(monitor="loss", patience=2, min_delta=0, restore_best_weights=True),
                "terminate_on_nan": True,
            },
            "training": {"class_weight": "balanced", "stop_dead": True},
            "params": {
                "optimizer": "Adam",
                "learning_rate": 0.03125,
                "dropout": 0.25,
                "batch_norm": True,
                "loss.label_smoothing": 0.125,
            },
        },
        cuts=(3, 4),
        plain_cuts=(5,),
        n_plain=1,
        has_dropout=True,
    ),
    "numbers of a table, and weights": Case(
        [{"learning_rate": 0.125}, {"learning_rate": 0.03125}],
        {
            "model": "mlp",
            "search": {
                "folds": 2,
                "val": 0.2,
                "scores": ["neg_mean_absolute_error"],
                "weighted_scores": True,
            },
            "params": {"embedding_size": 2},
        },
        cuts=(4,),
        plain_cuts=(5,),
        by_width=True,
        in_pieces=True,
        is_traced=True,
        data=table,
    ),
    "several labels, and figures given": Case(
        [
            {"learning_rate": 0.125, "loss.label_smoothing": 0.25},
            {"learning_rate": 0.5, "loss.label_smoothing": 0.125},
        ],
        {
            "search": {
                "folds": 2,
                "val": 0.2,
                "objective": "f1_samples",
                "thresholds": "chosen",
                "scores": ["roc_auc", "auc"],
            },
            "params": {"loss": "binary_focal_crossentropy", "batch_size": 20},
            "augment": {
                "hue_range": 0.125,
                "saturation_range": 0.5,
                "cutmix_alpha": 1,
                "mix_probability": 0.75,
            },
            "callbacks": stopping(monitor="val_accuracy", patience=3),
        },
        n_plain=1,
        cuts=(4,),
        in_pieces=True,
        data=several,
    ),
    **{
        name: Case(
            [
                {"learning_rate": rate, "optimizer": "SGD", "batch_size": 25, "epochs": 2, **given}
                for rate in (0.03125, 0.0078125)
            ],
            {"model": "backbone", "data": {**EVEN, "scale": 16 / 255}, "params": None},
            n_plain=1,
        )
        for name, given in {
            "branches that are added": {"backbone": "repvgg"},
            "attention, and images resized": {"backbone": "vit", "resize": 12},
        }.items()
    },
    "a frozen part, computed once of views": Case(
        [{"learning_rate": 0.125, "batch_size": 20}, {"learning_rate": 0.03125, "batch_size": 20}],
        {
            "data": EVEN,
            "model": half_frozen,
            "search": VAL,
            "params": None,
            "augment": {"rotation_range": 15, "views": 2, "samplewise_center": True},
        },
        n_plain=1,
        cuts=(4,),
        plain_cuts=(5,),
        in_pieces=True,
    ),
    "several inputs": Case(
        [{"learning_rate": 0.125, "batch_size": 20}, {"learning_rate": 0.03125, "batch_size": 20}],
        {"model": net_of_inputs, "search": VAL, "params": None},
        n_plain=1,
        cuts=(4,),
        plain_cuts=(5,),
        in_pieces=True,
        data=inputs,
    ),
}
ON_JAX = {"numbers of a table, and weights"}
"""Images are trained on there both ways in test_moving."""


class Trained:
    """The whole runs of the cases, each trained once for all tests."""

    def __init__(self, folder):
        self.make, self.known, self.folder = maker(folder), {}, folder

    def search(self, case, name, interval_s=1e9):
        changes = CASES[case].changes
        return self.make(
            name=f"{case} {name}".replace(" ", "-").replace(",", ""),
            interval_s=interval_s,
            **(changes if CASES[case].data is None else changes | CASES[case].data(self.folder)),
        )

    def packed(self, case):
        """Returns the search, the pack and its records."""
        return self._once(case, "packed", lambda search, jobs: search.pack(jobs, CASES[case].width))

    def plain(self, case):
        """Returns the search, its jobs as a pack without graphs, and their records."""
        with CASES[case].fitting():
            return self._once(case, "plain", lambda search, jobs: Pack(tuple(jobs[: CASES[case].n_plain])))

    def _once(self, case, how, make_pack):
        if (case, how) not in self.known:
            search = self.search(case, how)
            pack = make_pack(search, jobs_of(CASES[case].space))
            self.known[case, how] = search, pack, search.train(pack).records
        return self.known[case, how]


@pytest.fixture(autouse=True, scope="module")
def quickly_compiled():
    """Trains as users do, with all that the backend does to a graph."""


SMALL = {"repvgg": RepVGG((1, 2), (4, 8), (1, 2)), "vit": ViT(4, 16, 1, 2, 2)}
"""Of their families, with all that a larger one has."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        for name, size in SMALL.items():
            patch.setitem(backbone._OWN, name, size)
        yield Trained(tmp_path_factory.mktemp("whole"))


def cases(has=lambda case: True):
    names = [name for name, case in CASES.items() if has(case)]
    return pytest.mark.parametrize(
        "case",
        [pytest.param(name, marks=() if name in ON_JAX else on_tensorflow) for name in names],
        scope="module",  # case by case, so that its program is compiled once
    )


@cases(lambda case: not case.has_dropout)
def test_a_pack_trains_as_keras_own_fit_does(trained, case):
    search, pack, packed = trained.packed(case)
    other, alone, own = trained.plain(case)
    assert packed.keys() == {job.id for job in pack.jobs}
    assert own.keys() == {job.id for job in alone.jobs} <= packed.keys()
    for job_id, record in own.items():
        assert_alike(packed[job_id], record, CASES[case].tolerance)
        if record.error is None:
            found, wanted = search.predicted(job_id), other.predicted(job_id)
            size = max(1.0, np.abs(wanted).max())  # of prices; of probabilities 1
            np.testing.assert_allclose(found / size, wanted / size, atol=CASES[case].tolerance)
    assert len({str(record.history) for record in packed.values()}) == len(packed)


@cases(lambda case: case.by_width)
def test_a_job_alone_is_the_job_beside_others(trained, case):
    _, pack, together = trained.packed(case)
    search = trained.search(case, "alone")
    for job in pack.jobs:
        [alone] = search.train(pack.of([job])).records.values()
        assert_alike(alone, together[job.id], 1e-4)


@cases(lambda case: case.cuts)
def test_a_pack_that_is_cut_off_again_and_again_ends_in_the_same_bits(trained, case, monkeypatch):
    monkeypatch.setattr(wave, "CALL_S", 0)  # a checkpoint after each step
    search, pack, whole = trained.packed(case)
    again = trained.search(case, "cut", interval_s=0)
    records = finished(again, pack, CASES[case].cuts)
    np.testing.assert_equal(results(records), results(whole))  # to the bit, and NaN is NaN
    for job_id, record in records.items():
        if record.error is None:
            np.testing.assert_array_equal(again.predicted(job_id), search.predicted(job_id))


@cases(lambda case: case.in_pieces)
def test_samples_that_are_fed_in_pieces_give_the_same_bits(trained, case, monkeypatch):
    """Of two steps of a run each, or of one of several, wherever a session is cut off."""
    search, pack, whole = trained.packed(case)
    reads, read = [], Stored.read

    def watched(self, rows, into):
        reads.append(len(rows))
        read(self, rows, into)

    monkeypatch.setattr(Stored, "read", watched)
    n_bytes, _ = packs.pieces_of(Candidate.of(search.recipe, pack.jobs[0].trial.params), 0)
    monkeypatch.setattr(packs, "room_bytes", lambda: n_bytes - 1)
    monkeypatch.setattr(packs, "PIECES", 2)
    monkeypatch.setattr(wave, "CALL_S", 0)
    packs.forget()
    again = trained.search(case, "pieces", interval_s=0)
    records = finished(again, pack, CASES[case].cuts)
    packs.forget()
    assert len(reads) > 2 * len(CASES[case].cuts)
    np.testing.assert_equal(results(records), results(whole))
    for job_id, record in records.items():
        if record.error is None:
            np.testing.assert_array_equal(again.predicted(job_id), search.predicted(job_id))


@cases(lambda case: case.plain_cuts)
def test_keras_own_fit_that_is_cut_off_again_and_again_ends_in_the_same_bits(trained, case, monkeypatch):
    """And reads its samples batch by batch, as where they are many."""
    _, pack, whole = trained.plain(case)
    monkeypatch.setattr(candidate, "PRESCALED_BYTES", 0)
    [job] = pack.jobs[:1]
    again = trained.search(case, "plain cut", interval_s=0)
    with CASES[case].fitting():
        found = finished(again, Pack((job,)), CASES[case].plain_cuts)
    assert result(found[job.id]) == result(whole[job.id])


def ended(trained, case):
    """Returns the records of a case's jobs, in their order."""
    _, pack, records = trained.packed(case)
    return [records[job.id] for job in pack.jobs]


@on_tensorflow
def test_the_cases_are_what_they_are_for(trained):
    """Runs that end at different epochs, that restore, that break, and rates that differ."""
    one, three, broken, two = ended(trained, "stopping and plateaus")
    assert broken.error["type"] == "TrialError"
    assert broken.error["message"].startswith("trial 2, fold 0, epoch ")
    assert "loss is nan" in broken.error["message"]
    assert broken.score is None
    assert len({one.epochs, two.epochs, three.epochs}) >= 2
    for record in (one, two, three):
        assert record.best_epoch < record.epochs
        best = record.history["test_loss"][record.best_epoch - 1]
        assert record.metrics["loss"] == pytest.approx(best, rel=1e-6)
        assert record.first_values == pytest.approx(0.99 ** (3 * record.best_epoch))  # restored, too
    assert [record.debiased_score is None for record in (one, two, three)] == [False, False, True]
    reduced = [record.history["learning_rate"] for record in (one, two, three)]
    assert sum(rates[-1] < rates[0] for rates in reduced) >= 2

    found = [tuple(record.history["learning_rate"]) for record in ended(trained, "schedules")]
    assert len(set(found)) == 4

    fast, slow = ended(trained, "geometry")
    assert slow.epochs != fast.epochs
    assert fast.metrics["loss"] == pytest.approx(fast.history["test_loss"][-1], rel=1e-6)

    _, _, broken, _ = ended(trained, "statistics, class weights and NaN")
    assert "loss is nan" in broken.error["message"]

    one, two = ended(trained, "test fold and label smoothing")
    assert one.history["val_loss"] == one.history["test_loss"]
    assert two.epochs < 3


@on_tensorflow
def test_the_recorded_rate_is_that_of_the_epochs_last_step(trained):
    search, pack, records = trained.packed("schedules")
    for job in pack.jobs:
        given = search.recipe.route(job.trial.params).callbacks["learning_rate_scheduler"]
        per_epoch = -(-len(search.prepared.folds[job.fold].train) // 25)
        steps = np.arange(3 * per_epoch)
        wanted = scheduled(given, 0.0625, steps, per_epoch, 3)[per_epoch - 1 :: per_epoch]
        np.testing.assert_allclose(records[job.id].history["learning_rate"], wanted, rtol=1e-6)
