"""From jobs to packs: candidates' graphs are asked of workers, and the planner is told what holds here."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kerasgrid import executors
from kerasgrid.checks.prepared import Prepared
from kerasgrid.config.augment import NOTHING, Augment, Augmentation
from kerasgrid.config.sections import SEARCHED
from kerasgrid.data.outputs import Outputs
from kerasgrid.errors import StorageError
from kerasgrid.io import cache_folder, digest, read_json, write_json
from kerasgrid.jobs.frozen import outputs_of, why_not_kept
from kerasgrid.jobs.recipe import Recipe
from kerasgrid.jobs.route import SETTING_RATES, Route, goes_to_model, merge_augment
from kerasgrid.machine import backend, versions
from kerasgrid.planning.plan import NOT_LOOKED_AT, Plan, plan
from kerasgrid.planning.refusals import Refusal, Refusals
from kerasgrid.planning.workers import gpu_share, run_probes
from kerasgrid.records import Frozen, Graph, Job, Pack, ProbeRecord, Trial, WidthRecord
from kerasgrid.training.entry import measure_width
from kerasgrid.wording import count

LEAST_STEPS_CPU, LEAST_STEPS_AUGMENTED, LEAST_STEPS_GPU = 50_000, 5_000, 2_000
"""Steps over all runs of a graph from which widths are timed: on a CPU a wider program gains little, but
where images are augmented, which is done once for all of its runs. So is reading, of what is fed in pieces:
many or large samples have long steps, and are timed as on a GPU."""
_OF_LOOP = {"epochs", "learning_rate", "batch_size", "augment", "stages"}
_OF_LOOP |= {f"training.{name}" for name in SEARCHED if name not in ("accumulate", "precision")}


class Graphs:
    """The graphs of candidates, each distinct one asked of a worker once, and their routes.

    Attributes:
        records: Of all models that were built, or refused.

    Args:
        doing: Is told what takes a while, in a sentence.
    """

    def __init__(
        self,
        prepared: Prepared,
        recipe: Recipe,
        executor: executors.Executor,
        doing: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.prepared, self.recipe, self.executor, self.doing = prepared, recipe, executor, doing
        self._routes: dict[str, Route] = {}
        self.records: list[ProbeRecord] = []
        self._known: dict[str, Graph] = {}
        self._frozen: dict[str, tuple[Frozen, ...]] = {}
        self._whole: dict[str, str] = {}
        self._outputs: dict[str, tuple[list[tuple[Frozen, Outputs]], str | None]] = {}
        self._kept: dict[str, int] = {}  # bytes of outputs, by their key
        self._refused: dict[str, str] = {}
        self._augmentations: dict[str, Augmentation] = {}

    def probe(self, candidates: Iterable[Mapping[str, Any]]) -> list[ProbeRecord]:
        """Has candidates' models built, and returns a record each, in their order."""
        records = list(run_probes(self.recipe, self.executor, candidates))
        self.take(records)
        return records

    def check_some_build(self, records: Sequence[ProbeRecord], refusals: Sequence[Refusal]) -> None:
        """Raises a RefusedError of what models are refused for, where none that was looked at builds."""
        if records and all(record.error is not None for record in records):
            raise self.prepared.refused([refusal.fault for refusal in refusals])

    def take(self, records: Iterable[ProbeRecord]) -> None:
        """Takes what models that were built have shown."""
        for record in records:
            self.records.append(record)
            if record.frozen:
                self._frozen[self._identity(record.params)] = record.frozen
            if record.why_whole is not None:
                self._whole[self._identity(record.params)] = record.why_whole
            if record.graph is not None:
                self._known[self._identity(record.params)] = record.graph
            else:  # maybe for what another candidate of this model does not have
                message = (record.error or {}).get("message", "its model was not looked at")
                self._refused[digest(dict(record.params))] = message

    def refusals(self, records: Sequence[ProbeRecord]) -> list[Refusal]:
        """Returns what some of the models that were built are refused for."""
        return Refusals(
            self.prepared, self.recipe, lambda recipe, some: run_probes(recipe, self.executor, some)
        ).find(records)

    def route(self, trial: Trial) -> Route:
        """Returns where a trial's params go."""
        if trial.identity not in self._routes:
            self._routes[trial.identity] = self.recipe.route(trial.params)
        return self._routes[trial.identity]

    def parts(self, trial: Trial) -> list[tuple[Frozen, Outputs]]:
        """Returns the frozen part of a trial's net, of each stage, with what it gives of all samples.

        Without those that are computed in each step.
        """
        return self._looked_at(trial)[0]

    def why_whole(self, trial: Trial) -> str | None:
        """Returns why a frozen part of a trial's net is computed in each step; None where none is."""
        return self._looked_at(trial)[1]

    def outputs(self, trial: Trial) -> Outputs | None:
        """Returns what a trial's frozen part gives of all samples, where it is computed once; else None.

        In stages, that of the first.
        """
        return next((outputs for frozen, outputs in self.parts(trial) if not frozen.stage), None)

    def _looked_at(self, trial: Trial) -> tuple[list[tuple[Frozen, Outputs]], str | None]:
        if not self._frozen and not self._whole:  # as in most searches
            return [], None
        identity = self._identity(trial.params)
        parts = self._frozen.get(identity, ())
        if not parts:
            return [], self._whole.get(identity)
        if trial.identity not in self._outputs:
            about = self.recipe, self.route(trial), self.prepared.data
            reason, found = why_not_kept(*about), []
            for frozen in () if reason else parts:
                outputs = outputs_of(frozen, *about)
                others = sum(n_bytes for key, n_bytes in self._kept.items() if key != outputs.key)
                why = outputs.why_no_room(others)
                if why is None:
                    self._kept[outputs.key] = outputs.n_bytes
                    found.append((frozen, outputs))
                reason = reason or why
            self._outputs[trial.identity] = found, reason
        return self._outputs[trial.identity]

    def of(self, trials: Iterable[Trial], most: int | None = None) -> dict[int, Graph]:
        """Returns the graph of each trial, by its id; empty where packs are off.

        Args:
            trials: Each with its params.
            most: Models to build at most; a trial whose model is none of them has no graph here.
        """
        trials = list(trials)
        if not self.recipe.packs:
            return {}
        identities = {trial.id: self._identity(trial.params) for trial in trials}
        left = len(trials) if most is None else most
        while unknown := self._unknown(trials, identities)[:left]:
            left -= len(unknown)
            self.doing(f"Building {count(len(unknown), 'model')}, to see which fits can share a program.")
            self.probe(unknown)
        return {trial.id: self._trained(identities[trial.id], trial) for trial in trials}

    def _unknown(self, trials: Iterable[Trial], identities: Mapping[int, str]) -> list[Mapping[str, Any]]:
        """Returns a candidate of each model that is not known, of those that were not refused."""
        found: dict[str, Mapping[str, Any]] = {}
        for trial in trials:
            identity = identities[trial.id]
            if identity not in self._known and trial.identity not in self._refused:
                found.setdefault(identity, trial.params)
        return list(found.values())

    def _identity(self, params: Mapping[str, Any]) -> str:
        """Returns what a model depends on, its loss too; of the others, whether they are given."""
        about = {name: value if self._is_built_in(name) else "given" for name, value in params.items()}
        given = merge_augment({**self.recipe.params, **params}, self.recipe.augment)
        if given is not None and given.mixes:
            about["mixes"] = "labels"
        route = self.recipe.route(params)
        if route.stages:
            about["stages"] = [stage.trainable for stage in route.stages], route.model.get("epochs")
        return digest(about)

    def _is_built_in(self, name: str) -> bool:
        is_of_loop = name in _OF_LOOP or name.startswith(("callbacks.", "augment.", "stages."))
        return not is_of_loop or goes_to_model(name, self.prepared.signature)

    def _trained(self, identity: str, trial: Trial) -> Graph:
        """Returns a model's graph with what of a candidate's training is part of it."""
        graph = self._known.get(identity)
        if graph is None:
            refused = self._refused.get(trial.identity)
            return Graph(None, refused or NOT_LOOKED_AT, is_refused=refused is not None)
        outputs, route = self.outputs(trial), self.route(trial)
        if outputs is not None:
            graph = replace(self._frozen[identity][0].graph, outputs=outputs.key)
            route = replace(route, augment=None)
        if graph.key is None:
            return graph
        if route.stages:
            return Graph(None, "it is trained in stages, each of them another graph")
        if route.own_callbacks:
            return Graph(None, f"the callback {route.own_callbacks[0]} may look at all of a model")
        if graph.learning_rate is None and any(name in route.callbacks for name in SETTING_RATES):
            return Graph(None, "a callback sets the learning rate that the model's own schedule gives")
        if route.augment is not None and route.augment.preprocessing_function is not None:
            return Graph(None, "preprocessing_function is of one image at a time")
        if route.training.jit is False and backend() == "jax":
            return Graph(None, "jit is off, and on JAX every program is compiled by XLA")
        how = self._augmentation(route.augment)
        if route.training.jit is True and "affine" in how.operations and backend() == "tensorflow":
            return Graph(None, "XLA cannot compile the geometry of augmentation on TensorFlow")
        about = [graph.key, route.batch_size, "terminate_on_nan" in route.callbacks, route.monitors_val]
        about += [how.structure, route.training.jit, route.training.class_weight is not None]
        about += [route.augment is not None and route.augment.has_statistics]
        about += [] if outputs is None else [outputs.key]
        rate = route.optimizer_args.get("learning_rate", graph.learning_rate)
        return replace(graph, key=digest(about), numbers=(*graph.numbers, *how.numbers), learning_rate=rate)

    def strengths(self, trial: Trial) -> tuple[float, ...]:
        """Returns the numbers of a trial's augmentation, which its batches depend on."""
        if self.outputs(trial) is not None:  # its views have them
            return ()
        return tuple(self._augmentation(self.route(trial).augment).numbers)

    def _augmentation(self, given: Augment | None) -> Augmentation:
        """Returns what a setting comes to with these data, at which it may have to look."""
        if given is None:
            return NOTHING
        key = given.model_dump_json(exclude_unset=True)
        if key not in self._augmentations:
            data = self.prepared.data.images, self.prepared.config.data.scale
            self._augmentations[key] = Augmentation.of(given, *data)
        return self._augmentations[key]


class Planner:
    """Makes the plan of a search on this machine.

    Args:
        graphs: Of the search's candidates.
        threads: Threads a worker.
        device: What is trained on, such as `cpu` or `gpu:0`.
    """

    def __init__(self, graphs: Graphs, threads: int | None, device: str) -> None:
        self._graphs, self._executor = graphs, graphs.executor
        n_workers = self._executor.n_workers
        kinds = sorted(set(self._executor.device_kinds()))
        what = [device.partition(":")[0], kinds, gpu_share(graphs.prepared.config, n_workers)]
        host = platform.node()  # a cache may be in a home that several machines share
        self._machine = [host, what, threads, n_workers, versions(), backend()]
        self._is_cpu = not device.startswith("gpu")

    def plan(
        self,
        jobs: Sequence[Job],
        graphs: Mapping[int, Graph],
        *,
        until: int | None = None,
        may_measure: bool = True,
    ) -> Plan:
        """Returns the plan for some jobs; where widths are not known, workers time them if that may pay.

        Args:
            jobs: In the order in which they were proposed.
            graphs: Of their trials, by id.
            until: The epoch after which jobs wait; None to train them to their ends.
            may_measure: Whether workers may time the step; else widths that are not known are 1.
        """
        planned = partial(
            plan,
            jobs,
            graphs,
            epochs=self._epochs,
            n_workers=self._executor.n_workers,
            until=until,
            not_shared=(lambda job: self._graphs.route(job.trial).looks_at_total) if graphs else None,
            batches=self._batches,
        )
        drawn = planned()
        widths = self._widths(drawn.packs, may_measure)
        if widths:
            drawn = planned(widths=widths)
        if may_measure or not self._to_measure(drawn.packs, widths):
            return drawn
        return replace(drawn, notes=(*drawn.notes, "How many fits go side by side is timed in the search."))

    def _batches(self, job: Job) -> tuple[float, ...]:
        return self._graphs.strengths(job.trial)

    def _epochs(self, job: Job) -> int:
        return self._graphs.route(job.trial).epochs

    def _widths(self, packs: Sequence[Pack], may_measure: bool) -> dict[str, int]:
        groups = self._groups(packs)
        wanted = self._graphs.prepared.config.training.pack
        if isinstance(wanted, int):
            return dict.fromkeys(groups, wanted)
        known, unknown = {}, []
        for graph, members in groups.items():
            width = self._recall(graph, members)
            if width is not None:
                known[graph] = width
            elif may_measure and self._may_pay(members):
                merged = [(job, pack.graph(job)) for pack in members for job in pack.jobs]
                # Waves are of runs that take the same batches, and so are those that are timed.
                merged.sort(key=lambda pair: (self._batches(pair[0]), pair[0].fold, pair[0].repeat))
                jobs, numbers = zip(*merged, strict=True)
                unknown.append(replace(members[0], jobs=jobs, graphs=numbers))
        if unknown:
            self._graphs.doing("Timing how many fits train best side by side.")
        measure = partial(measure_width, self._graphs.recipe)
        for event in executors.run_through(self._executor, measure, unknown):
            if isinstance(event, executors.Emitted):  # a trial that fails leaves the width at 1
                known[event.payload.graph] = event.payload.width
                self._remember(event.payload, groups[event.payload.graph])
        n_runs = sum(len(pack.runs) for members in groups.values() for pack in members)
        most = -(-n_runs // self._executor.n_workers)  # with wider ones a worker would have nothing to do
        return {graph: min(width, most) for graph, width in known.items()}

    def _to_measure(self, packs: Sequence[Pack], widths: Mapping[str, int]) -> bool:
        """Tells whether a search would time some graph's widths."""
        groups = self._groups(packs)
        return any(self._may_pay(members) for graph, members in groups.items() if graph not in widths)

    def _groups(self, packs: Sequence[Pack]) -> dict[str, list[Pack]]:
        groups: dict[str, list[Pack]] = {}
        for pack in packs:
            if pack.graphs:
                groups.setdefault(pack.key, []).append(pack)
        return groups

    def _may_pay(self, packs: Sequence[Pack]) -> bool:
        """Tells whether what a trial costs, some seconds of compiling, is little beside the training."""
        runs = [run for pack in packs for run in pack.runs]
        rows = len(self._graphs.prepared.folds[0].train)
        routes = [self._graphs.route(run[-1].trial) for run in runs]
        steps = sum(route.epochs * rows / route.batch_size for route in routes)
        least = LEAST_STEPS_GPU
        if self._is_cpu and not self._is_fed:
            is_augmented = any(route.augment is not None for route in routes)
            least = LEAST_STEPS_AUGMENTED if is_augmented else LEAST_STEPS_CPU
        return len(runs) > 1 and steps >= least

    def _path(self, graph: str, packs: Sequence[Pack]) -> Path:
        n_runs = sum(len(pack.runs) for pack in packs)
        about = [graph, n_runs, *self._machine, *["fed"] * self._is_fed]
        return cache_folder() / "widths" / f"{digest(about)}.json"

    @property
    def _is_fed(self) -> bool:
        """Whether samples are fed in pieces, and a step waits for them."""
        return any(record.pieces is not None for record in self._graphs.records)

    def _recall(self, graph: str, packs: Sequence[Pack]) -> int | None:
        try:
            width = read_json(self._path(graph, packs))["width"]
            return width if isinstance(width, int) and width >= 1 else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _remember(self, record: WidthRecord, packs: Sequence[Pack]) -> None:
        with suppress(StorageError):  # a cache that cannot be written is done without
            seconds = {str(width): value for width, value in record.seconds.items()}
            write_json(self._path(record.graph, packs), {"width": record.width, "seconds": seconds})
