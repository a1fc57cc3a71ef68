"""What a search is going to do, before it costs anything: the plan that `kerasgrid check` prints, and what
augmentation does to the first samples.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.checks.candidates import (
    augmentations,
    files_of_weights,
    notes_of_precision,
    notes_of_weights,
    warnings_of_accumulation,
    warnings_of_first_values,
    warnings_of_scale,
    warnings_of_views,
)
from kerasgrid.checks.draft import Draft, read_draft
from kerasgrid.checks.prepared import Prepared
from kerasgrid.checks.samples import told_of_samples
from kerasgrid.data.folds import inner_kind, save_folds
from kerasgrid.driver.budget import Measurement, recall
from kerasgrid.driver.identity import check_journal, is_superseded
from kerasgrid.driver.passes import Pass, passes_of
from kerasgrid.engines import ENGINES
from kerasgrid.errors import ConfigError, Fault
from kerasgrid.executors import Executor, Layout, resources_word
from kerasgrid.io import digest, scratch_folder
from kerasgrid.jobs.objective import HALF, Objective
from kerasgrid.jobs.route import DEFAULT_VAL
from kerasgrid.jobs.thresholds import CHOSEN, Given
from kerasgrid.planning.packing import Graphs, Planner
from kerasgrid.planning.refusals import Refusal
from kerasgrid.planning.workers import (
    MAX_PROBES,
    device_of,
    gpu_share,
    make_executor,
    make_recipe,
    prepare_beside,
    threads_of,
)
from kerasgrid.records import Dataset, Job, ProbeRecord, Table, Trial, WeightsFile
from kerasgrid.run.journal import check_line, is_old, of_before, read
from kerasgrid.run.paths import RunPaths
from kerasgrid.space.dimensions import value_text
from kerasgrid.training.entry import quiet
from kerasgrid.views.drawing import write_sheet
from kerasgrid.views.leaderboard import format_seconds
from kerasgrid.wording import (
    bytes_word,
    count,
    joined,
    named,
    number_word,
    percent,
    sentence,
    value_word,
)

MAX_MODELS = 200
MAX_FOLDS, MAX_TARGETS, MAX_CLASSES, MAX_HOSTS = 10, 5, 12, 10
LARGE_BYTES = 1 << 24
"""What samples take of the cache from which it is told."""
LARGE_WEIGHTS = 1 << 28
"""Bytes of weights and their gradients from which they are told."""
MAX_SETTINGS, N_IMAGES, N_DRAWS = 6, 6, 9


@dataclass(frozen=True)
class Preview:
    """A search's plan and what its models are.

    Attributes:
        n_trials: Candidates that the engine proposes, at most.
        n_done: Fits that an earlier session has done.
        n_packs: Groups of fits that are trained together.
        epochs: Epochs to train in all, early stopping not counted.
        n_workers: Fits at the same time.
        gpus: The kind of each worker's GPU, such as `NVIDIA H200`; none where fits train on the processor.
        gpu_share: The share of it that each has; None where there is none, or a cluster decides.
        layout: On which machines workers are; None where that is this one.
        models: One record for each distinct model, at most 200.
        refusals: What some of them are refused for.
        n_models: Distinct models in all.
        measured: From an earlier search.
        notes: The engine's and the planner's.
        passes: Through frozen parts of nets.
        weights: Files that nets begin with.
        may_end_early: Whether the engine may give up candidates, so that `epochs` are the most.
    """

    prepared: Prepared
    n_trials: int
    n_done: int
    n_packs: int
    epochs: int
    n_workers: int
    gpus: tuple[str, ...]
    gpu_share: float | None
    models: tuple[ProbeRecord, ...]
    refusals: tuple[Refusal, ...]
    n_models: int
    measured: Measurement | None
    notes: tuple[str, ...]
    passes: tuple[Pass, ...] = ()
    weights: tuple[WeightsFile, ...] = ()
    may_end_early: bool = False
    layout: Layout | None = None

    @property
    def n_fits(self) -> int:
        """The fits of all trials."""
        return self.n_trials * len(self.prepared.folds) * self.prepared.config.search.repeats

    @property
    def may_stop(self) -> bool:
        """Whether fits may end before their last epoch."""
        stops = "early_stopping" in self.prepared.config.given_callbacks
        return self.may_end_early or stops or bool(self.prepared.config.training.stop_dead)

    @property
    def seconds(self) -> float | None:
        """What training will take, without starts; None where nothing was measured."""
        if self.measured is None:
            return None
        return self.measured.seconds_per_epoch * self.epochs / self.n_workers

    @property
    def memory_bytes(self) -> float | None:
        """What all workers will need together; None where nothing was measured."""
        return None if self.measured is None else self.measured.memory_bytes * self.n_workers

    @property
    def pieces(self) -> tuple[int, int] | None:
        """Bytes of all samples and of a piece of them, where programs are fed in pieces; None elsewhere."""
        return next((record.pieces for record in self.models if record.pieces is not None), None)

    def as_json(self) -> dict[str, Any]:
        """Returns the plan as a JSON object; `faults` are of models that are refused, each with its place."""
        prepared, search = self.prepared, self.prepared.config.search
        data, fold, report = prepared.data, prepared.folds[0], prepared.report
        errors = [report.error([refusal.fault]) for refusal in self.refusals]
        faults = [(one.where(fault), fault.message) for one in errors for fault in one.faults]
        sizes = [record.n_parameters for record in self.models if record.n_parameters is not None]
        return {
            "name": prepared.config.name,
            "faults": [{"where": where, "message": message} for where, message in faults],
            "warnings": list(prepared.warnings),
            "notes": [*prepared.code_of_packages, *self.notes],
            "data": {
                "source": data.source,
                "samples": len(data),
                "shape": list(data.images.shape[1:]),
                **_target_as_json(data),
                **({} if data.table is None else {"columns": _kinds(data.table)}),
                **({} if data.inputs is None else {"inputs": [asdict(one) for one in data.inputs.each]}),
                **({} if data.groups is None else {"groups": len(np.unique(data.groups))}),
                **({} if data.weights is None else {"weights": _range(data.weights)}),
                "report": list(data.report),
                "cache": None
                if data.folder is None
                else {"folder": data.folder, "bytes": _cached_bytes(data)},
            },
            "folds": {
                "n": len(prepared.folds),
                "kind": prepared.how.kind if prepared.cv is None else prepared.cv,
                "train": len(fold.train),
                "test": len(fold.test),
                "sizes": [[len(one.train), len(one.test)] for one in prepared.folds],
            },
            "objective": {"name": str(prepared.objective), "direction": prepared.objective.direction},
            "scores": [{"name": str(score), "direction": score.direction} for score in prepared.scores],
            "weighted_scores": search.weighted_scores,
            "engine": search.engine,
            "model": prepared.config.model,
            "models": self.n_models,
            "n_parameters": [min(sizes), max(sizes)] if sizes else None,
            "trials": self.n_trials,
            "fits": self.n_fits,
            "fits_done": self.n_done,
            "packs": self.n_packs,
            "workers": self.n_workers,
            "cluster": None if self.layout is None else asdict(self.layout),
            "gpus": list(self.gpus),
            "gpus_per_worker": self.gpu_share,
            "passes": [one.as_json() for one in self.passes],
            "weights": [_weights_as_json(file) for file in self.weights],
            "epochs": self.epochs,
            "epochs_are_most": self.may_stop,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            "pieces": None if self.pieces is None else dict(zip(("all", "piece"), self.pieces, strict=True)),
        }

    def lines(self) -> list[str]:
        """Returns the plan as lines to print."""
        prepared, search = self.prepared, self.prepared.config.search
        data = prepared.data
        n_kept = 0 if data.folder is None else _cached_bytes(data)
        told = [*lines_about(data, prepared.config.data.target_scale), *data.report]
        per_trial = count(len(prepared.folds), "fold")
        if search.repeats > 1:
            per_trial += f" x {search.repeats} repeats"
        at_most = " at most" if self.may_stop else ""
        in_all = f"{self.n_fits:,} ({self.n_trials:,} trials x {per_trial})"
        rows = [
            *(("" if place else "data", line) for place, line in enumerate(told)),
            *([("cache", f"{bytes_word(n_kept)} in {data.folder}")] if n_kept >= LARGE_BYTES else []),
            *(("" if place else "splits", line) for place, line in enumerate(lines_of_folds(prepared))),
            ("model", f"{prepared.config.model}: {count(self.n_models, 'distinct model')}{self._sizes()}"),
            *(("code", line) for line in prepared.code_of_packages),
            ("trials", f"{self.n_trials:,} by {search.engine}"),
            (
                "objective",
                _told(prepared.objective)
                + ("" if search.thresholds == HALF else f", labels cut at {_cuts(search.thresholds)}")
                + (", samples weighed" if search.weighted_scores else ""),
            ),
            *([("scores", ", ".join(map(_told, prepared.scores)))] if prepared.scores else []),
            ("fits", f"{in_all}, {self.n_done:,} done before"),
            ("packs", f"{self.n_packs:,} to train, {count(self.n_workers, 'worker')}"),
            *(("", note) for note in self.notes),
            *(
                ("" if place else "frozen", line)
                for one in self.passes
                for place, line in enumerate(one.lines())
            ),
            *(("" if place else "cluster", line) for place, line in enumerate(lines_of_cluster(self.layout))),
            *([("gpus", self._gpus())] if self.gpus else []),
            ("epochs", f"{self.epochs:,} to train{at_most}"),
            ("time", self._time()),
            ("memory", self._memory()),
            *([("", line_of_pieces(*self.pieces))] if self.pieces else []),
            *(("warning", line) for line in prepared.warnings),
            *(("refused", str(prepared.report.error([refusal.fault]))) for refusal in self.refusals),
        ]
        return [f"{name:<10} {text}" for name, text in rows]

    def _sizes(self) -> str:
        sizes = [record.n_parameters for record in self.models if record.n_parameters is not None]
        if not sizes:
            return ""
        small, large = min(sizes), max(sizes)
        built = "" if len(self.models) == self.n_models else f" ({len(self.models)} of them built)"
        return (
            f"{built}, {small:,} parameters"
            if small == large
            else f"{built}, {small:,} to {large:,} parameters"
        )

    def _gpus(self) -> str:
        kinds = Counter(self.gpus)
        each = [kind if len(kinds) == 1 else f"{kind} for {count(n, 'worker')}" for kind, n in kinds.items()]
        share = "" if self.gpu_share is None else f": {self.gpu_share:.3g} of one for each worker"
        return joined(each) + share

    def _time(self) -> str:
        if self.measured is None:
            return "not measured yet"
        fits = count(self.measured.n_fits, "fit")
        took = format_seconds(self.seconds)
        return f"about {took} of training, from {fits} measured before; starts come on top"

    def _memory(self) -> str:
        if self.memory_bytes is None:
            n_weights = max((record.n_parameters or 0 for record in self.models), default=0)
            n_bytes = 2 * 4 * n_weights  # float32, whatever they are multiplied in
            large = f"; {bytes_word(n_bytes)} a fit for weights and gradients alone"
            return "not measured yet" + (large if n_bytes >= LARGE_WEIGHTS else "")
        return f"about {self.memory_bytes / 2**30:.1f} GiB, {count(self.n_workers, 'worker')} together"


def lines_of_cluster(layout: Layout | None) -> list[str]:
    """Returns in lines where workers are, what each takes and its machine has, and how many have no place."""
    if layout is None:
        return []
    placed, waiting = sum(host.n_workers for host in layout.hosts), layout.n_waiting
    there = f"{count(len(layout.hosts), 'machine')} at {layout.cluster}, {count(placed, 'worker')} there"
    waits = f", and {waiting} that {'waits' if waiting == 1 else 'wait'} for a place" if waiting else ""
    lines = [f"{there}{waits}: each takes {layout.needs}"]
    for host in layout.hosts[:MAX_HOSTS]:
        has = resources_word(host.cpus, host.gpus, host.memory_bytes)
        lines.append(f"{host.name}: {count(host.n_workers, 'worker')}, of {has}")
    n_more = len(layout.hosts) - MAX_HOSTS
    return [*lines, f"and {count(n_more, 'machine')} more"] if n_more > 0 else lines


def _cached_bytes(data: Dataset) -> int:
    return data.images.nbytes + data.labels.nbytes


def line_of_pieces(n_bytes: int, piece_bytes: int) -> str:
    """Returns in words that samples of so many bytes are fed in pieces of so many."""
    fed = f"{piece_bytes / 2**30:.1f} GiB" if piece_bytes >= 2**30 else f"{max(1, piece_bytes // 2**20)} MiB"
    told = f"the samples take {n_bytes / 2**30:.1f} GiB, for which a worker has no room"
    return f"{told}: they are read in pieces of {fed} while it trains"


def _cuts(thresholds: Given) -> str:
    return "chosen thresholds" if thresholds == CHOSEN else f"{thresholds:g}"


def _told(score: Objective) -> str:
    return f"{score} ({score.direction})"


def preview(draft: Draft, results: Path, doing: Callable[[str], None] = lambda _: None) -> Preview:
    """Checks a search, builds each distinct model once and returns the plan; trains nothing.

    Args:
        results: The folder for results, where a run may be that is not at its end.
        doing: Is told what takes a while, in a sentence.

    Raises:
        ConfigError: All faults together.
        RefusedError: No model can be built; likewise.
    """
    if draft.is_sound:
        check_journal(RunPaths(results, draft.config.name))
    with make_executor(draft) as executor:
        executor.tell = doing
        prepared = prepare_beside(executor, draft, doing=doing)
        told = told_of_samples(draft, prepared.config, prepared.data, prepared.space, doing)
        prepared = replace(prepared, warnings=prepared.warnings + told)
        return _preview(prepared, RunPaths(results, prepared.config.name), executor, threads_of(draft), doing)


def _preview(
    prepared: Prepared,
    paths: RunPaths,
    executor: Executor,
    threads: int | None,
    doing: Callable[[str], None],
) -> Preview:
    search = prepared.config.search
    kind = ENGINES[search.engine]
    proposal = next(kind.run(prepared.task))
    trials = [Trial(index, params) for index, params in enumerate(proposal.candidates)]
    outline = kind.outline(prepared.task) if kind.outline is not None else None
    header, done, is_over = _begun(prepared, paths)
    jobs = [
        Job(trial, fold.index, repeat)
        for trial in trials
        for fold in prepared.folds
        for repeat in range(search.repeats)
        if (trial.identity, fold.index, repeat) not in done
    ]
    if jobs and is_old(header) and (outline is None or not is_over):
        # Where there is an outline, trials may have been given up on the way.
        why = "is not finished" if outline is not None else f"{count(len(jobs), 'fit')} would be trained"
        raise of_before(paths.journal, header, why)
    with scratch_folder() as folder:
        own = RunPaths(folder, paths.name)  # a check leaves nothing behind
        own.folder.mkdir()
        save_folds(own.folds, prepared.folds, len(prepared.data), prepared.data.fingerprint)
        recipe = replace(make_recipe(prepared, own), downloads=False)
        graphs = Graphs(prepared, recipe, executor, doing)
        models: dict[str, Mapping[str, Any]] = {}
        for trial in trials:
            going = graphs.route(trial)
            arguments = [sorted(going.optimizer_args), sorted(going.loss_args), going.training.precision]
            parts = [dict(going.model), going.optimizer, going.loss, arguments]
            models.setdefault(digest(parts), trial.params)
        built = list(islice(models.values(), MAX_MODELS))
        for line in (*prepared.code_of_packages, f"building {count(len(built), 'distinct model')}"):
            doing(sentence(line))
        records = graphs.probe([*built, *_others(built, prepared.space.cover(MAX_PROBES))])
        refusals = graphs.refusals(records)
        graphs.check_some_build(records, refusals)
        found = graphs.of({job.trial.id: job.trial for job in jobs}.values(), most=MAX_MODELS - len(built))
        device = device_of(records)
        planned = Planner(graphs, threads, device).plan(jobs, found, may_measure=False)
        passes, why_whole = passes_of(graphs, jobs)
    warnings = warnings_of_scale(prepared.config, prepared.space, prepared.data, records)
    routes = list(map(graphs.route, trials))
    warnings += warnings_of_first_values(recipe, prepared.data, prepared.folds, graphs.records, routes)
    warnings += warnings_of_accumulation(recipe, prepared.data, prepared.folds, routes)
    warnings += warnings_of_views(prepared.config, prepared.space, records)
    return Preview(
        prepared=replace(prepared, warnings=prepared.warnings + warnings),
        n_trials=len(trials) if outline is None else outline.candidates,
        n_done=len(trials) * len(prepared.folds) * search.repeats - len(jobs),
        n_packs=len(planned.packs),
        epochs=planned.epochs if outline is None else outline.epochs,
        n_workers=executor.n_workers,
        gpus=tuple(executor.device_kinds()) if device.startswith("gpu") else (),
        gpu_share=gpu_share(prepared.config, executor.n_workers),
        models=tuple(records[: len(built)]),
        refusals=tuple(refusals),
        n_models=len(models),
        measured=recall(prepared),
        notes=(
            *(() if outline is None else outline.lines),
            *planned.notes,
            *why_whole,
            *notes_of_precision(prepared.config, prepared.space),
            *notes_of_weights(records),
        ),
        passes=tuple(passes),
        weights=files_of_weights(records),
        may_end_early=outline is not None,
        layout=executor.layout(),
    )


def _others(
    built: Sequence[Mapping[str, Any]], cover: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Returns candidates with values that none of those has which are built, such as of a callback."""
    seen = {(name, value_text(value)) for params in built for name, value in params.items()}
    return [params for params in cover if any((n, value_text(v)) not in seen for n, v in params.items())]


def lines_about(data: Dataset, target_scale: str | None = None) -> list[str]:
    """Returns what samples are, what is predicted of them, and which weights and groups they have, in lines.

    Args:
        target_scale: As in the config.
    """
    shape = " x ".join(str(size) for size in data.images.shape[1:])
    told = f"{len(data):,} samples of {shape} ({data.images.dtype})"
    if data.table is not None:  # of which kinds they are is in its report
        told = f"{len(data):,} rows of {count(len(data.table.columns), 'column')}"
    if data.inputs is not None:
        told = f"{len(data):,} samples of the inputs {data.inputs}"
    found = [f"{data.source}: {told}", *_target_lines(data, target_scale)]
    if data.groups is not None:
        sizes = np.unique(data.groups, return_counts=True)[1]
        low, high = int(sizes.min()), int(sizes.max())
        size = f"{count(low, 'sample')} each" if low == high else f"{low:,} to {high:,} samples"
        found.append(f"{count(len(sizes), 'group')} of {size}")
    if data.weights is not None:
        own = _range(data.weights)
        found.append(f"weights of {number_word(own['low'])} to {number_word(own['high'])}")
    return found


def _target_lines(data: Dataset, target_scale: str | None) -> list[str]:
    target = data.target
    if target.is_numbers:
        scale = f"; target_scale {target_scale}" if target_scale else ""
        found = []
        for name, values in zip(target.names[:MAX_TARGETS], data.labels.T, strict=False):
            low, median, high = map(number_word, _range(values).values())
            found.append(f"target {name}: {low} to {high}, median {median}{scale}")
        left = target.n_outputs - len(found)
        return [*found, f"{count(left, 'more target')}"] if left else found
    if target.is_multi_label:
        usual = data.labels.sum(axis=1).mean()
        return [f"{target.n_outputs} labels, of which a sample has {usual:.1f} on average"]
    names = ""
    if data.table is not None and target.n_outputs <= MAX_CLASSES:
        shares = np.bincount(data.labels, minlength=target.n_outputs) / max(len(data), 1)
        own = zip(target.names, shares, strict=True)
        names = ": " + ", ".join(f"{value_word(name)} ({percent(share)})" for name, share in own)
    return [f"{target.n_outputs} classes{names}"]


def _weights_as_json(file: WeightsFile) -> dict[str, Any]:
    told = {"name": file.name, "path": file.path, "bytes": file.n_bytes}
    return {**told, "at_hand": file.digest is not None, "url": file.url}


def _target_as_json(data: Dataset) -> dict[str, Any]:
    if not data.target.is_numbers:
        return {"classes": data.target.n_outputs}
    pairs = zip(data.target.names, data.labels.T, strict=True)
    return {"targets": [{"name": name, **_range(values)} for name, values in pairs]}


def _range(values: np.ndarray) -> dict[str, float]:
    return {
        "low": float(np.min(values)),
        "median": float(np.median(values)),
        "high": float(np.max(values)),
    }


def _kinds(table: Table) -> dict[str, int]:
    """Returns how many columns a table has of each kind."""
    return dict(Counter(column.kind for column in table.columns))


def lines_of_folds(prepared: Prepared) -> list[str]:
    """Returns how samples are split: folds of about one size in a line, others in a line each."""
    search, data, folds, kind = prepared.config.search, prepared.data, prepared.folds, prepared.how.kind
    by = {"group": " by group", "stratified_group": " by group", "time": " in time", "given": " by data.fold"}
    if prepared.cv is not None:
        what = f"{count(len(folds), 'fold')} of {prepared.cv}"
    elif data.n_held_out:
        what = "holdout: the test set" if search.holdout == "test" else "holdout: the rows of validation"
    elif search.holdout is not None:
        what = f"holdout of {search.holdout:g}{by.get(str(kind), '')}"
    else:
        how = {"stratified": "stratified ", "stratified_group": "stratified ", "plain": "shuffled "}
        what = f"{len(folds)} {how.get(str(kind), '')}folds{by.get(str(kind), '')}"
        what += f", {count(prepared.how.gap, 'row')} left out before each" if prepared.how.gap else ""
    sizes = [(len(fold.train), len(fold.test)) for fold in folds]
    groups = data.groups
    if groups is None and all(max(part) - min(part) <= 1 for part in zip(*sizes, strict=True)):
        train, test = sizes[0]
        return [f"{what}: about {train:,} to train on, {test:,} held out", *_inner(prepared)]
    if groups is not None:
        crosses = any(np.intersect1d(groups[fold.train], groups[fold.test]).size for fold in folds)
        what += f": {'some groups are' if crosses else 'no group is'} both trained on and held out"
    lines = [what]
    for fold, (train, test) in list(zip(folds, sizes, strict=True))[:MAX_FOLDS]:
        ofs = ["", ""]
        if groups is not None:
            n_groups = (len(np.unique(groups[rows])) for rows in (fold.train, fold.test))
            ofs = [f" of {count(n, 'group')}" for n in n_groups]
        lines.append(f"fold {fold.index}: {train:,}{ofs[0]} to train on, {test:,}{ofs[1]} held out")
    if len(folds) > MAX_FOLDS:
        lines.append(f"and {len(folds) - MAX_FOLDS} folds more")
    return [*lines, *_inner(prepared)]


def _inner(prepared: Prepared) -> list[str]:
    """Returns how the inner split is made, where something looks at it and it is not as in any search."""
    share = prepared.config.search.val or DEFAULT_VAL
    how = {"group": ": whole groups", "stratified_group": ": whole groups", "time": ": the last in time"}
    kind = inner_kind(prepared.data, prepared.how)
    if not prepared.looks_at_val or isinstance(share, str) or kind not in how:
        return []
    return [f"val_* is measured on {percent(share)} of what is trained on{how[kind]}"]


def _begun(prepared: Prepared, paths: RunPaths) -> tuple[dict[str, Any], set[tuple[str, int, int]], bool]:
    """Returns the run's header, its fits that are done by params' hash, fold, repeat, and if it was over."""
    if not paths.journal.exists():
        return {}, set(), False
    header, records = read(paths.journal, check_line)
    if is_superseded(prepared, paths, header, records):
        return {}, set(), False
    trials = {r["id"]: Trial(r["id"], r["params"]).identity for r in records if r["type"] == "trial"}
    done = [r["job"] for r in records if r["type"] == "fold" and r["job"][0] in trials]
    ends = [r["status"] for r in records if r["type"] == "end"]
    is_over = bool(ends) and ends[-1] not in ("interrupted", "budget")
    return header, {(trials[trial], fold, repeat) for trial, fold, repeat in done}, is_over


def write_augmented(source: Path, output: Path | None = None) -> Path:
    """Writes a PNG of samples as they are and as epochs would see them, for each setting that is searched.

    It shows the first 6 settings, and its last line says how many it leaves out.

    Args:
        output: The file; default: NAME-augment.png beside the grid.yaml.

    Returns:
        The file.

    Raises:
        ConfigError: The file's faults, or it has no augmentation.
    """
    draft = read_draft(source)
    with make_executor(draft) as executor:
        prepared = prepare_beside(executor, draft, starts=False)
    settings: dict[str, Any] = {}
    for _, given in augmentations(prepared.config, prepared.space):
        if given is not None:
            settings.setdefault(named(given.model_dump(exclude_unset=True)) or "nothing", given)
    if not settings:
        raise ConfigError([Fault("augment", "is missing: there is no augmentation to look at.")], str(source))
    labels, images = prepared.data.labels, prepared.data.images
    rows = np.arange(min(N_IMAGES, len(labels)))
    if labels.ndim == 1:  # one of each class, as far as there is room
        rows = np.sort([np.flatnonzero(labels == label)[0] for label in np.unique(labels)[:N_IMAGES]])
    with quiet():
        from kerasgrid.training.sheet import augmented_rows  # imports Keras

        blocks = [
            (text, augmented_rows(images[rows], given, N_DRAWS))
            for text, given in list(settings.items())[:MAX_SETTINGS]
        ]
    n_left_out = len(settings) - len(blocks)
    if n_left_out:
        text = f"{n_left_out} of {len(settings)} settings are not shown: search fewer to see all of them"
        blocks.append((text, np.full((1, 1, 3), 255, dtype=np.uint8)))
    zoom = max(1, round(48 / images.shape[1]))
    return write_sheet(blocks, output or source.with_name(f"{prepared.config.name}-augment.png"), zoom)
