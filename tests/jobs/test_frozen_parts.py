"""When a frozen part may be computed once, and what its outputs are of."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from kerasgrid.config.augment import Augment
from kerasgrid.config.sections import Training
from kerasgrid.jobs import frozen as module
from kerasgrid.jobs.frozen import outputs_of, why_not_kept
from kerasgrid.jobs.route import Route
from kerasgrid.records import Frozen, Graph, Table

RECIPE = SimpleNamespace(
    standardize=False, scale=None, normalize=None, seed=0, data_folder="", source="x", sources={}
)
PART = Frozen("0" * 64, "conv", 1, 10, (4,), Graph(None))
VIEWS = Augment(rotation_range=10, views=3)


class Data(SimpleNamespace):
    def __len__(self):
        return 100


DATA = Data(table=None)


def route(augment=None, **training):
    return Route(model={}, batch_size=1, epochs=1, augment=augment, training=Training(**training))


@pytest.mark.parametrize(
    ("recipe", "given", "data", "reason"),
    [
        ({}, route(), {}, None),
        ({}, route(VIEWS), {}, None),
        ({}, route(Augment(samplewise_center=True, rescale=0.5)), {}, None),
        ({"scale": 255, "normalize": ([0.5], [0.5])}, route(), {}, None),
        ({}, route(frozen="off"), {}, "training.frozen is off"),
        (
            {},
            replace(route(), callbacks={"own.py:Watch": {}}),
            {},
            "the callback own.py:Watch may look at all of a model",
        ),
        ({}, route(), {"table": Table(())}, "rows of a table are encoded as each fold has learnt"),
        ({"standardize": True}, route(), {}, "images are normalised by each fold's training rows"),
        (
            {},
            route(Augment(featurewise_center=True)),
            {},
            "images are normalised by each fold's training rows",
        ),
        (
            {},
            route(Augment(rotation_range=10)),
            {},
            "images are augmented anew in each epoch, but for so many fixed ones as augment.views says",
        ),
        ({}, route(Augment(mixup_alpha=0.2, views=2)), {}, "images of a batch are mixed"),
    ],
)
def test_what_differs_in_epochs_or_folds_is_not_computed_once(recipe, given, data, reason):
    told = SimpleNamespace(**{**vars(RECIPE), **recipe}), given, Data(**{**vars(DATA), **data})
    assert why_not_kept(*told) == reason


def test_outputs_are_of_all_that_changes_them_and_of_nothing_else(monkeypatch):
    digests = {"a": "1", "b": "2"}
    monkeypatch.setattr(module, "sample_digests", lambda folder: (digests.get(str(folder), "0"),))

    def key(part=PART, given=None, **recipe):
        return outputs_of(part, SimpleNamespace(**{**vars(RECIPE), **recipe}), given or route(), DATA).key

    normalizing = route(Augment(rescale=0.5))
    same = [key(), key(seed=1), key(source="y"), key(replace(PART, last="other", graph=Graph("1")))]
    same += [key(given=route(precision="mixed_bfloat16")), key(given=route(Augment(views=3)))]
    assert len({*same}) == 1
    others = [
        key(replace(PART, key="1" * 64)),
        key(data_folder="a"),
        key(data_folder="b"),
        key(scale=255),
        key(normalize=([0.5], [0.5])),
        key(given=route(frozen="float16")),
        key(given=normalizing),
        key(given=normalizing, sources={"f.py": "1"}),
        key(given=route(VIEWS)),
        key(given=route(VIEWS), seed=1),
        key(given=route(VIEWS.model_copy(update={"views": 4}))),
        key(given=route(VIEWS.model_copy(update={"rotation_range": 11}))),
    ]
    assert len({*same, *others}) == 1 + len(others)


@pytest.mark.parametrize(("is_exact", "dtype"), [(False, "float16"), (True, "float32")])
def test_inputs_of_the_net_are_not_kept_in_fewer_bits(monkeypatch, is_exact, dtype):
    monkeypatch.setattr(module, "sample_digests", lambda folder: ("0",))
    part = replace(PART, is_exact=is_exact)
    outputs = outputs_of(part, RECIPE, route(frozen="float16"), DATA)
    assert outputs.dtype == dtype
    assert (outputs.key == outputs_of(part, RECIPE, route(), DATA).key) == is_exact


def test_views_are_rows_of_their_own(monkeypatch):
    monkeypatch.setattr(module, "sample_digests", lambda folder: ("0",))
    outputs = outputs_of(PART, RECIPE, route(VIEWS), DATA)
    assert (outputs.n_samples, outputs.n_views, outputs.n_rows, outputs.shape) == (100, 3, 400, (4,))
