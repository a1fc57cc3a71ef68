"""A candidate whose net's frozen part is computed once: the rest is trained on what that gives.

The rest shares its layers with the whole net, so that the whole is trained when the rest is; and it is a
candidate as others are, whose samples are the frozen part's outputs.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any

import keras
import numpy as np

from kerasgrid.config.stages import Stage
from kerasgrid.data.outputs import BLOCK, NoRoomError, Outputs
from kerasgrid.errors import TrialError, brief
from kerasgrid.io import digest
from kerasgrid.jobs.frozen import outputs_of, why_not_kept
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.tasks import OutputsRecord, OutputsTask
from kerasgrid.models.freezing import chosen_layers, train_only
from kerasgrid.models.keras_private import compile_like, layers_within
from kerasgrid.models.references import ModelReference
from kerasgrid.records import WHOLE, Context, Fold, Frozen, Graph, Input, Inputs, NoteRecord
from kerasgrid.seeds import graph_seed, view_key
from kerasgrid.training.batches import Batches
from kerasgrid.training.candidate import Candidate, seeded
from kerasgrid.training.compiling import Compiled
from kerasgrid.training.frozen import Split, WholeError, split
from kerasgrid.training.graph import unnamed
from kerasgrid.training.learnt import Learnt
from kerasgrid.training.scoring import outputs_of_batch

_WAIT_S = 0.2
WRITTEN_S = 2.0
"""Seconds of computing after which it is written to the disk."""
_MOST_BYTES = 1 << 28
"""Of what a layer gives of the samples that are computed at once."""


@dataclass(frozen=True)
class Rest:
    """A candidate's net, cut behind its frozen part.

    Attributes:
        whole: The candidate.
        split: Its net's.
        compiled: The rest, compiled as the whole was.
    """

    whole: Candidate
    split: Split
    compiled: Compiled

    @classmethod
    def at_stage(
        cls, candidate: Candidate, compiled: Compiled, place: int = 0, *, builds_again: bool = True
    ) -> Rest:
        """Cuts a candidate's net as it is trained in a stage, from 0, where it is in stages; as `of`."""
        if stages := candidate.route.stages:
            compiled = at_stage(compiled, stages, place)
        return cls.of(candidate, compiled, builds_again=builds_again)

    @classmethod
    def of(cls, candidate: Candidate, compiled: Compiled, *, builds_again: bool = True) -> Rest:
        """Cuts a candidate's net.

        Args:
            candidate: The candidate.
            compiled: Its model, which has not been trained.
            builds_again: Whether the net is built again where its function gives weights values, to know
                which of them it draws: these are none of the frozen part then.

        Raises:
            WholeError: It is not cut; the message says why, and is empty where nothing is frozen.
        """
        rest = cls._of(candidate, compiled)
        if builds_again and (redrawn := rest._redrawn(compiled)):
            rest = cls._of(candidate, replace(compiled, drawn=compiled.drawn | redrawn))
        return rest

    @classmethod
    def _of(cls, candidate: Candidate, compiled: Compiled) -> Rest:
        if compiled.callbacks:
            raise WholeError("the callbacks of its function may look at all of it")
        cut = split(compiled.model, compiled.drawn)
        if any(None in symbol.shape[1:] for symbol in cut.rest.inputs):
            raise WholeError("what it gives of a sample is of no fixed size")
        compile_like(cut.rest, compiled.model)
        known = [compiled.untouched.get(id(weight)) for weight in cut.rest.weights]
        own = replace(compiled, model=cut.rest, whole=compiled.model, sets_weights=not all(known))
        return cls(candidate, cut, own)

    def _redrawn(self, compiled: Compiled) -> frozenset[int]:
        """Returns the ids of the part's weights that are others when the model function builds them again.

        It is not asked to where what the part gives is kept already: another build had these weights then.
        """
        given = {
            id(weight) for weight in self.split.part.weights if compiled.untouched.get(id(weight)) is False
        }
        recipe = self.whole.recipe
        about = recipe, self.whole.route, self.whole.data
        is_built_in = isinstance(recipe.model, ModelReference) and recipe.model.kind == "built_in"
        if not given or is_built_in or why_not_kept(*about) is not None:
            return frozenset()
        outputs = outputs_of(self.frozen, *about)
        if outputs.folder.is_dir() or outputs.why_no_room() is not None:
            return frozenset()
        with seeded(graph_seed(recipe.seed + 1), with_backend=False):
            again = self.whole.build().weights
        return frozenset(
            id(own)
            for own, other in zip_longest(compiled.model.weights, again)
            if id(own) in given and not _are_equal(own, other)
        )

    def about(self, place: int, graph: Callable[[Candidate, Compiled], Graph]) -> Frozen:
        """Returns what is told of the frozen part of a stage, from 0; `graph` gives the graph of the rest."""
        return replace(self.frozen, stage=place, graph=graph(*self.blank))

    @property
    def blank(self) -> tuple[Candidate, Compiled]:
        """The rest as a candidate, on nothing but zeros, and its model."""
        shape = len(self.whole.data), *self.frozen.shape
        return self._on(np.broadcast_to(np.zeros((), np.float32), shape)), self.compiled

    @cached_property
    def frozen(self) -> Frozen:
        """The frozen part, with no graph of the rest.

        Raises:
            WholeError: A layer's config cannot be told, as with an initializer that has none.
        """
        part = self.split.part
        hasher = hashlib.sha256()
        for weight in part.weights:
            hasher.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).view(np.uint8).data)
        try:
            key = digest([_without_flags(unnamed(part)), hasher.hexdigest()])
        except Exception as error:  # whatever a config of the user's own cannot do
            raise WholeError(f"its config cannot be told: {brief(error)}") from error
        shapes = [tuple(symbol.shape[1:]) for symbol in self.split.rest.inputs]
        shape = shapes[0] if len(shapes) == 1 else (sum(map(math.prod, shapes)),)
        return Frozen(
            key,
            self.split.last,
            len(self.split.layers),
            part.count_params(),
            shape,
            Graph(None),
            is_exact=self.split.is_exact,
        )

    @cached_property
    def outputs(self) -> Outputs:
        """What the part gives of all samples, as it is kept or is to be.

        Raises:
            WholeError: It is not the same in all epochs and folds, or there is no room for it.
        """
        about = self.whole.recipe, self.whole.route, self.whole.data
        if (reason := why_not_kept(*about)) is not None:
            raise WholeError(reason)
        outputs = outputs_of(self.frozen, *about)
        if (reason := outputs.why_no_room()) is not None:
            raise WholeError(reason)
        return outputs

    @property
    def candidate(self) -> Candidate:
        """The rest as a candidate, on outputs that are there."""
        return self._on(self.outputs.read(), self.outputs.key)

    def _on(self, images: np.ndarray, key: str | None = None) -> Candidate:
        """Returns the rest as a candidate on some outputs, (row, ...)."""
        symbols, inputs = self.split.rest.inputs, None
        if len(symbols) > 1:
            inputs = Inputs(
                tuple(Input(tuple(s.shape[1:]) or (1,), _type_of_input(s.dtype)) for s in symbols)
            )
        return self.whole.on_outputs(replace(self.whole.data, images=images, inputs=inputs), key)

    # The pass

    def complete(self, context: Context) -> bool:
        """Computes what is missing, beside other processes of this machine that do.

        Args:
            context: Is told of what was computed.

        Returns:
            Whether all is there; else it was asked to stop.

        Raises:
            WholeError: The cache has no room for it.
            StorageError: The disk is full or cannot be written.
        """
        try:
            if self.outputs.missing():
                self.outputs.begin()
        except NoRoomError as error:
            raise WholeError(str(error)) from error
        while shares := self.outputs.shares():
            waits = True
            for share in shares:
                with self.outputs.claimed(share) as blocks:
                    waits = waits and not blocks
                    if context.should_stop() or not self.fill(blocks, context):
                        return False
            if waits:
                time.sleep(_WAIT_S)
        return True

    def fill(self, blocks: Sequence[int], context: Context) -> bool:
        """Computes blocks of the outputs, of which room is made, and keeps them; as `complete` does."""
        made: list[np.ndarray] = []
        first, began = -1, time.monotonic()

        def write() -> None:
            if made:
                self.outputs.write(first, made)
                context.emit(OutputsRecord(self.outputs.key, self.outputs.n_rows, self.outputs.n_left))
                made.clear()

        for place in blocks:
            if context.should_stop():
                write()
                return False
            if made and (place != first + len(made) or time.monotonic() - began > WRITTEN_S):
                write()
                began = time.monotonic()
            if not made:
                first = place
            made.append(self._block(place))
        write()
        return True

    def _block(self, place: int) -> np.ndarray:
        """Returns what the part gives of a block's samples, in the form in which it is kept."""
        view, rows = self.outputs.block(place)
        whole, n = self.whole, self._at_once
        preparation = whole.preparation()
        prepare = None
        if preparation is not None:
            seed = whole.recipe.seed
            prepare = preparation.of_epoch(view_key(seed, view - 1)) if view else preparation.of_held_out
        given = whole.data.images, whole.data.labels, np.arange(len(whole.data))
        scaling = whole.scaling(self._center)
        found = []
        with Batches(*given, BLOCK, scaling, prepare=prepare) as batches:
            images = keras.tree.map_structure(_padded, batches[rows[0] // BLOCK][0])
        for start in range(0, BLOCK, n):
            some = keras.tree.map_structure(lambda part, at=start: part[at : at + n], images)
            parts = [part.astype(np.float32) for part in outputs_of_batch(self.split.part, some)]
            if len(parts) > 1:
                parts = [np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)]
            found.append(kept_as(parts[0], self.outputs.dtype))
        return np.concatenate(found)[: len(rows)]

    @property
    def _center(self) -> tuple[np.ndarray, np.ndarray] | None:
        """What is subtracted of images and what they are divided by, where these are given and not learnt."""
        recipe, none = replace(self.whole.recipe, target_scale=None), np.arange(0)
        return Learnt.of(recipe, self.whole.data, Fold(WHOLE, none, none), None).center

    @cached_property
    def _at_once(self) -> int:
        """How many samples the part is given at once: a power of two."""
        nets = [self.split.part, *layers_within(self.split.part)]
        symbols = [
            symbol
            for net in nets
            for operation in getattr(net, "operations", ())
            for symbol in keras.tree.flatten(operation.output)
        ]
        largest = max(4 * math.prod(size or 1 for size in symbol.shape[1:]) for symbol in symbols)
        n = BLOCK
        while n > 1 and n * largest > _MOST_BYTES:
            n //= 2
        return n


def at_stage(compiled: Compiled, stages: Sequence[Stage], place: int) -> Compiled:
    """Returns a model that trains the layers of a stage, and knows what the stages before it have changed."""
    layers = [layer for one in stages[:place] for layer in chosen_layers(compiled.model, one.trainable)]
    changed = {id(weight) for layer in layers for weight in layer.weights}
    train_only(compiled.model, stages[place].trainable)
    return replace(compiled, drawn=compiled.drawn | changed)


def _are_equal(weight: keras.Variable, other: keras.Variable | None) -> bool:
    return other is not None and np.array_equal(*map(keras.ops.convert_to_numpy, (weight, other)))


def _without_flags(config: Any) -> Any:
    """Returns a config without what says of layers whether they are trained."""
    if isinstance(config, dict):
        return {name: _without_flags(value) for name, value in config.items() if name != "trainable"}
    return [_without_flags(value) for value in config] if isinstance(config, list | tuple) else config


def kept_as(values: np.ndarray, dtype: str) -> np.ndarray:
    """Returns float32 values in the form in which they are kept.

    Raises:
        TrialError: It has no such large numbers.
    """
    with np.errstate(over="ignore"):
        kept = values.astype(dtype)
    if np.isinf(kept).any() and not np.isinf(values).any():
        raise TrialError(
            f"the net's frozen part gives {np.abs(values).max():g}, which float16 has no place for: write "
            "training: {frozen: float32}."
        )
    return kept


def _type_of_input(dtype: str) -> str:
    """Returns how NumPy has what a net takes as some type: floats come as float32."""
    return "float32" if "float" in dtype else dtype


def _padded(part: np.ndarray) -> np.ndarray:
    """Returns a block's samples, of which the last is repeated where they are fewer."""
    missing = BLOCK - len(part)
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part


def compiled_of(candidate: Candidate) -> Compiled:
    """Returns the compiled model of a candidate; of the rest of one, that of the rest."""
    compiled = candidate.net.compile()
    return compiled if candidate.whole is None else Rest.of(candidate.whole, compiled).compiled


def on_outputs(
    candidate: Candidate, compiled: Compiled, context: Context
) -> tuple[Candidate, Compiled] | None:
    """Returns what is trained of a candidate: the rest on its frozen part's outputs, which are completed.

    That is all of it where its net is not cut. None where it was asked to stop meanwhile.

    Raises:
        StorageError: The disk is full or cannot be written.
    """
    try:
        rest = Rest.of(candidate, compiled)
        is_there = rest.complete(context)
    except WholeError as error:
        if isinstance(error.__cause__, NoRoomError):
            text = f"A frozen part is computed in each step: {error}."
            context.emit(NoteRecord(text, topic="frozen part"))
        return candidate, compiled
    return (rest.candidate, rest.compiled) if is_there else None


_latest: list[tuple[str, Rest]] = []
"""The last one that was computed in part, by its outputs' key."""


def compute(recipe: Recipe, task: OutputsTask, context: Context) -> None:
    """Computes some of what a candidate's frozen part gives; emits an OutputsRecord now and then.

    Nothing where the part is another one in each fit: it is computed where it is trained then.
    """
    if not _latest or _latest[0][0] != task.key:
        forget_latest()
        candidate = Candidate.of(recipe, task.params)
        with seeded(graph_seed(recipe.seed)):
            try:
                rest = Rest.at_stage(candidate, candidate.compile(), task.stage)
                if rest.outputs.key != task.key:
                    return
            except WholeError:
                return
        _latest.append((task.key, rest))
    _latest[0][1].fill(task.blocks, context)


def forget_latest() -> None:
    """Gives back the memory of a net whose frozen part was computed."""
    _latest.clear()
