"""The driver: the one place where the parts meet.

It runs the engine, asks the planner for packs, gives them to the executor, and writes what comes
back to the journal. Resuming is the same: what the journal knows is answered from it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from kerasgrid import executors
from kerasgrid.checks.candidates import (
    notes_of_weights,
    warnings_of_accumulation,
    warnings_of_first_values,
    warnings_of_scale,
    warnings_of_views,
)
from kerasgrid.checks.draft import Draft, read_draft
from kerasgrid.checks.prepared import Prepared
from kerasgrid.checks.samples import told_of_samples
from kerasgrid.config.sections import MOST_WORKERS, SearchConfig
from kerasgrid.console import warn
from kerasgrid.data.in_memory import NOTHING, Given
from kerasgrid.driver.budget import Budget, remember
from kerasgrid.driver.identity import check_journal, why_another
from kerasgrid.driver.passes import Passes
from kerasgrid.driver.results import Results
from kerasgrid.driver.run import Run
from kerasgrid.engines import ENGINES
from kerasgrid.engines.base import Proposal
from kerasgrid.errors import (
    AT_LENGTH,
    JournalError,
    LockedError,
    RefusedError,
    ReplayError,
    ResultsError,
    StorageError,
    spoken,
)
from kerasgrid.jobs.tasks import OutputsRecord
from kerasgrid.locks import FolderLock
from kerasgrid.planning.packing import Graphs, Planner
from kerasgrid.planning.plan import go_on, split
from kerasgrid.planning.refusals import Refusal
from kerasgrid.planning.workers import (
    MAX_PROBES,
    check_goes_on,
    device_of,
    environment,
    kinds_of_devices,
    lent_executor,
    make_recipe,
    prepare_beside,
    threads_of,
    why_not_sent,
)
from kerasgrid.records import (
    CheckpointRecord,
    EpochRecord,
    FoldRecord,
    Job,
    NoteRecord,
    Pack,
    RungRecord,
    StopRecord,
    Trial,
)
from kerasgrid.run.observer import Observer
from kerasgrid.run.paths import RunPaths, move_aside
from kerasgrid.seeds import kept_random_state
from kerasgrid.spawning import stop_on_signals
from kerasgrid.training.entry import train_pack
from kerasgrid.views.progress import in_notebook
from kerasgrid.wording import count, sentence

_SMALLER = (
    "Take fewer workers, or a smaller batch_size with training.accumulate, by which as many rows as before "
    "change the weights together."
)
_MOST_LOOKED_AT = 2000
"""Candidates of a space to look at before the first epoch; of a larger one those alone that are built."""


@kept_random_state()
def search(
    config: str | Path | Mapping[str, Any],
    X: Any = None,
    y: Any = None,
    *,
    groups: Any = None,
    cv: Any = None,
    sample_weight: Any = None,
    validation_data: Any = None,
    results: str | Path = "results",
    overrides: Sequence[str] = (),
    fresh: bool = False,
    retry_failed: bool = False,
    observer: Observer | None = None,
    checkpoint_interval_s: float = 30.0,
) -> Results:
    """Runs a search, or goes on with it if it was cut off.

    Args:
        config: A grid.yaml, or the same as a dict; there `model` may be a function.
        X: Images (sample, height, width) or (sample, height, width, channel), rows (sample, feature), or any
            other axes that the model takes, instead of `data.train`; a list of such for a model of several
            inputs, or a dict by their names. Or a tf.data.Dataset, PyDataset or DataLoader that ends, of
            (x, y) or (x, y, sample_weight), in the place of all of these: it is drawn once.
        y: Their labels (sample,): whole numbers, truth values or texts; or rows (sample, class): one-hot, or
            of several labels each where `data.multi_label` says so. Or numbers to predict, (sample,) or
            (sample, number): floats, unless they are class numbers; and whole numbers where the objective is
            of regression and the model function names no `n_classes`, or `n_outputs` too and they are no few
            labels of many samples each.
        groups: Which group each sample of X is of (sample,), numbers or texts: no group is in two folds, as
            `search.folds` has it by default then; `cv` is given them too.
        cv: A splitter of scikit-learn's, with a random_state where it shuffles, or an iterable of (train,
            test) rows, in the place of `search.folds`.
        sample_weight: What each sample of X counts in the loss of training, (sample,), 0 or more.
        validation_data: (X, y) or (X, y, sample_weight), or a dataset of them, held out in place of folds.
        results: The folder for NAME.json and NAME/.
        overrides: `key.path=value` texts, as the command line's --set.
        fresh: Start anew; what was there is moved aside.
        retry_failed: Try trials that failed in an earlier session again.
        observer: Is told what happens; by default a cell of a notebook shows one line of progress.
        checkpoint_interval_s: Seconds between checkpoints of a fit.

    Returns:
        The results; their status is complete, interrupted, budget or failed. The same are written to
        `results`/NAME.json.

    Raises:
        ConfigError: Faults of the config, all together, before anything is trained.
        RefusedError: No candidate's model can be built; likewise.
        ChangedError: What makes a run the same run changed since it began.
        LockedError: Another process is running this search.
        StorageError: The disk is full; what was journalled is intact.
    """
    given = Given(X, y, groups, sample_weight, validation_data, cv)
    draft = read_draft(config, overrides, None if fresh else results)
    with opened(
        draft,
        given,
        results,
        fresh=fresh,
        retry_failed=retry_failed,
        observer=observer,
        checkpoint_interval_s=checkpoint_interval_s,
    ) as session:
        session.run_engine()
    return session.results


@contextmanager
def opened(
    draft: Draft,
    given: Given = NOTHING,
    results: str | Path = "results",
    *,
    executor: executors.Executor | None = None,
    fresh: bool = False,
    retry_failed: bool = False,
    observer: Observer | None = None,
    checkpoint_interval_s: float = 30.0,
) -> Iterator[Session]:
    """Opens a session of a search, and ends it: what was journalled is in its results then.

    Args:
        draft: The search's.
        given: What is given in Python beside it.
        results: As in `search`, and so are the others.
        executor: Where fits run, which stays open; None for what the draft asks for.

    Raises:
        KerasgridError: As in `search`.
    """
    most = None if given.cv is None else MOST_WORKERS  # how many fits there are is known when it has split
    paths = RunPaths(Path(results), draft.config.name)
    observer = observer or in_notebook() or OnlyWarnings()
    paths.check_own()
    if not fresh:
        check_journal(paths)
    with ExitStack() as stack:
        used = executor or stack.enter_context(lent_executor(draft, most=most))
        used.tell = observer.note
        begins = fresh or not paths.journal.exists()
        asks = begins or retry_failed or draft.config.executor.kind != "ray" or not _is_over(paths)
        prepared = prepare_beside(used, draft, given, doing=observer.doing, starts=begins, asks=asks)
        if draft.config.data.train is not None:
            told = told_of_samples(draft, prepared.config, prepared.data, prepared.space, observer.doing)
            prepared = replace(prepared, warnings=prepared.warnings + told)
        if retry_failed:
            _refuse_to_retry(prepared.config.search.engine)
        _make_room(prepared, paths, fresh, observer, is_named=draft.is_named)
        lock = stack.enter_context(FolderLock(paths.lock, paths.heartbeat))
        run = stack.enter_context(closing(Run(prepared, paths, lock.check)))
        threads = threads_of(draft)
        if run.threads not in (None, threads):  # those that the search began with, for the same bits
            if executor is None:
                used.close()
            threads = run.threads
            used = stack.enter_context(lent_executor(draft, threads, most))
            used.tell = observer.note
        if retry_failed:
            observer.note(f"{count(run.forget_failed(), 'trial')} that failed will be tried again.")
        session = Session(run, used, threads, observer, checkpoint_interval_s, asks)
        with session.running():
            yield session


def _is_over(paths: RunPaths) -> bool:
    """Tells whether a run has trained all that it was to, so that its cluster need not be there any more."""
    try:
        return Results.load(paths.json).status in {"complete", "failed"}
    except ResultsError:  # it is written anew
        return False


class OnlyWarnings(Observer):
    """Tells of what is probably not meant as Python does, and of nothing else."""

    def warn(self, text: str) -> None:
        """Warns of it."""
        warn(text)


def _make_room(
    prepared: Prepared, paths: RunPaths, fresh: bool, observer: Observer, *, is_named: bool = True
) -> None:
    """Moves an old run aside that is not gone on with.

    Raises:
        LockedError: It is running.
    """
    if (fresh and paths.json.exists()) or paths.journal.exists():
        with FolderLock(paths.lock, paths.heartbeat) as lock:
            why = "" if fresh else why_another(prepared, paths, is_named)
            if not (fresh or why):
                return
            lock.let_rename()
            if (aside := move_aside(paths)) is not None:
                tell = observer.note if is_named else observer.warn
                tell(f"The old run{why} is now {aside.folder}.")


def _refuse_to_retry(engine: str) -> None:
    """Raises a ReplayError where what an engine proposes depends on what has failed."""
    if ENGINES[engine].chooses_by_score:
        raise ReplayError(
            f"--retry-failed: the engine {engine} has chosen by the scores and failures that it was told, "
            "and they would be others. Start anew with --fresh, or search what failed in a search of its own."
        )


class Session:
    """One session of a search.

    Attributes:
        run: What it has on disk.
        is_finished: Whether all was trained that is to be.
        results: As they are written at its end.
    """

    results: Results

    def __init__(
        self,
        run: Run,
        executor: executors.Executor,
        threads: int | None,
        observer: Observer,
        checkpoint_interval_s: float,
        asks: bool = True,
    ) -> None:
        self._asks = asks  # as in `prepare_beside`
        self.run, self.executor, self.threads, self.observer = run, executor, threads, observer
        self.config = run.prepared.config
        self.recipe = make_recipe(run.prepared, run.paths, checkpoint_interval_s)
        self.graphs = Graphs(run.prepared, self.recipe, self.executor, observer.doing)
        self._passes = Passes(self.graphs, self.recipe, self.executor, observer.doing)
        self._started: set[tuple[int, int, int]] = set()
        self._anew: set[tuple[int, int, int]] = set()  # jobs at hand that begin anew after their rungs
        self._died: set[tuple[int, int, int]] = set()  # those that got no further since their worker did
        self._lost: Counter[tuple[int, int, int]] = Counter()  # how often their machine went since then
        self._wait_at_end: set[tuple[int, int, int]] = set()  # those that will, when they end before it
        self._told_topics: set[str | None] = set()
        self._refusals: list[Refusal] = []
        self._n_looked_at = self._n_told = self._n_jobs = 0
        self._failures: Counter[str] = Counter()
        self._interrupted = self._told_of_stop = self.is_finished = False
        search, trained = self.config.search, run.state.trained()
        self.budget = Budget(search.time, search.epochs, run.elapsed_s, trained, executor.stop)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Begins the session, and ends it after what is done within: to its end, or until it is stopped."""
        n_workers = self.executor.n_workers if self._asks else 0
        self.run.begin({"workers": n_workers, "threads": self.threads})
        prepared = self.run.prepared
        for line in (*self.run.news, *self._news_of_devices(), *prepared.data.report):
            self.observer.note(line)
        few = few_at_a_time(self.config.search, len(self.run.folds), n_workers)
        for line in (*prepared.warnings, *few):
            self.observer.warn(line)
        reason = next(filter(None, map(why_not_sent, prepared.functions)), None)
        if reason is not None and self.config.executor.kind != "inline":
            self.observer.warn(
                f"Fits run in this process: workers cannot be sent the function ({reason}). Let it use what "
                "it is given and what it imports itself; or write it to a file, in a notebook by %%writefile "
                "net.py, and name it: net.py:build."
            )
        with stop_on_signals(self._stop), self.budget:
            try:
                self._probe()
                is_idle = self.is_stopping
                yield
            except (StorageError, LockedError, JournalError):  # nothing more can or may be written
                raise
            except RefusedError:  # none can be built: the same command finds the same
                self.run.finish("failed")
                raise
            except (Exception, KeyboardInterrupt):
                self.run.finish("interrupted")
                raise
            self._tell_of_stop()
            for kind, n in self._failures.items():
                if n > 1:
                    self.observer.note(f"{count(n, 'fit')} failed alike: {kind}.")
            if self.budget.reason is not None and not self.is_finished and not self._interrupted:
                self.observer.note(self.budget.reason)
            is_idle = self._n_jobs == 0 if self.is_finished else is_idle
            self.results = self.run.finish(self._status(), is_idle=is_idle)
            self.results.function = prepared.function
        for line in self.run.remarks:
            self.observer.note(spoken(line))
        remember(self.run.prepared, self.run.state)
        self.observer.end(self.results)

    def _news_of_devices(self) -> Iterator[str]:
        before = self.run.environment.get("gpus")
        if before is None or self.run.is_old or not self._asks:
            return
        if before != (now := kinds_of_devices(self.executor)):
            yield f"This run began on {before} and goes on with {now}: the last bits may differ."

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to stop, or its budget is used up."""
        return self._interrupted or self.budget.reason is not None

    def _stop(self) -> None:
        """Is called in a signal handler, where nothing may be printed."""
        self._interrupted = True
        self.executor.stop()

    def _tell_of_stop(self) -> None:
        if self._interrupted and not self._told_of_stop:
            self._told_of_stop = True
            self.observer.note("Stopping after the epoch at hand; once more to stop at once.")

    def _status(self) -> str:
        if self._interrupted:
            return "interrupted"
        if not self.is_finished:
            return "budget"
        state = self.run.state
        if all(state.row(trial)["state"] == "failed" for trial in state.shown()):
            return "failed"
        budget, kind = self.config.search.trials, ENGINES[self.config.search.engine]
        size = self.run.prepared.space.size
        is_cut = kind.lists and not kind.draws and budget is not None and budget < size
        is_left = is_cut and sum(map(state.is_done, state.trials)) < size
        return "budget" if is_left else "complete"

    def _probe(self) -> None:
        """Builds a few models before the first epoch, in which every value of the space occurs."""
        if (self.run.environment and self.run.state.ended) or self.run.is_old:
            return
        for line in self.run.prepared.code_of_packages:
            self.observer.note(sentence(line))
        candidates = self.run.prepared.space.cover(MAX_PROBES)
        self.observer.doing(f"Building {count(len(candidates), 'model')}, to see that they can be trained.")
        records = self.graphs.probe(candidates)
        self._find_refusals()
        if not self.is_stopping:
            self.graphs.check_some_build(records, self._refusals)
        self._tell_refusals()
        prepared = self.run.prepared
        parts = prepared.config, prepared.space, prepared.data, records
        warnings = warnings_of_scale(*parts, is_read=prepared.read is not None)
        space = prepared.space
        is_small = space.is_finite and space.size <= _MOST_LOOKED_AT
        routes = list(map(self.recipe.route, filter(space.allows, space) if is_small else candidates))
        about = self.recipe, prepared.data, prepared.folds
        warnings += warnings_of_first_values(*about, records, routes)
        warnings += warnings_of_accumulation(*about, routes)
        warnings += warnings_of_views(prepared.config, prepared.space, records)
        for line in warnings:
            self.observer.warn(line)
        for line in notes_of_weights(records):
            self.observer.note(sentence(line))
        if records:
            files = {file.name: file.digest for record in records for file in record.weights if file.digest}
            weights = {f"weights {name}": f"sha256:{digest}" for name, digest in sorted(files.items())}
            self.run.keep_environment(environment(device_of(records), self.executor) | weights)

    def _find_refusals(self) -> None:
        """Looks at models that were refused since it did so before, for what is known of none of them."""
        new = [one for one in self.graphs.records[self._n_looked_at :] if one.error is not None]
        self._n_looked_at = len(self.graphs.records)
        if all(any(known.covers(one.params) for known in self._refusals) for one in new):
            return
        passed = [one for one in self.graphs.records if one.error is None]
        found = self.graphs.refusals([*passed, *new])
        self._refusals += [refusal for refusal in found if refusal not in self._refusals]

    def _tell_refusals(self) -> None:
        for refusal in self._refusals[self._n_told :]:
            error = self.run.prepared.report.error([refusal.fault])
            told = str(error).rstrip(".")
            self.observer.note(f"{told}. {refusal.candidates} will be recorded as failed.")
        self._n_told = len(self._refusals)

    def run_engine(self) -> None:
        """Runs each proposal's jobs and sends the engine the scores, higher is better."""
        if self._has_nothing_to_ask():
            return
        engine = ENGINES[self.config.search.engine].run(self.run.prepared.task)
        proposal = next(engine, None)
        while proposal is not None:
            trials = self.train(proposal)
            if trials is None:
                return
            try:
                proposal = engine.send(self.run.state.told(trials, proposal.until, proposal.folds))
            except StopIteration:
                proposal = None
        self.is_finished = True

    def train(self, proposal: Proposal) -> list[Trial] | None:
        """Trains a proposal's candidates and returns the trial of each; None where it was stopped."""
        trials = self.run.propose(proposal.candidates)
        if not trials and not proposal.dropped:
            raise ReplayError(f"the engine {self.config.search.engine} proposed no candidate.")
        self.run.drop(proposal.dropped)
        until, folds = proposal.until, proposal.folds
        once = {trial.id: trial for trial in trials}.values()  # oracles may propose one twice
        begun = [trial for trial in once if self.run.open_jobs(trial, until, folds)]
        if begun and not self.is_stopping:
            self.run.refuse_old(f"{count(len(begun), 'trial')} would be trained")
        for trial in begun:
            self.run.readmit(trial.id)
        jobs = [job for trial in once for job in self.run.open_jobs(trial, until, folds)]
        self._n_jobs += len(jobs)
        if not self.is_stopping:
            self._run_jobs(jobs, until)
        is_stopped = any(self.run.open_jobs(trial, until, folds) for trial in trials)
        return None if is_stopped else trials

    def _has_nothing_to_ask(self) -> bool:
        """Tells whether the budget was used up before and is, so that no process has to begin to say so."""
        search, state = self.config.search, self.run.state
        is_cut = search.trials is None or sum(map(state.is_done, state.trials)) < search.trials
        is_used_up = self.is_stopping and self.run.last_status == "budget"
        return is_used_up and is_cut and ENGINES[search.engine].asks

    def _run_jobs(self, jobs: Sequence[Job], until: int | None) -> None:
        """Runs jobs to their ends, or to where they wait; those whose worker died are tried again."""
        trials = {job.trial.id: job.trial for job in jobs}
        anew = {id for id, trial in trials.items() if self.recipe.begins_anew(self.graphs.route(trial))}
        ids = {job.id for job in jobs if job.trial.id in anew}
        self._anew = ids & self.run.state.waiting.keys() if until is None else set()
        self._wait_at_end = set() if until is None else ids
        self.observer.begin(self.run.state, jobs, until)
        self._died.clear()
        self._lost.clear()
        waiting = deque(self._plan(jobs, until))
        while waiting and not self.executor.is_stopping:
            waiting = self._run_packs(waiting)

    def _plan(self, jobs: Sequence[Job], until: int | None) -> list[Pack]:
        """Returns the packs of an earlier session that are not done, and new ones for the other jobs."""
        graphs = self.graphs.of({job.trial.id: job.trial for job in jobs}.values())
        self._find_refusals()
        self._tell_refusals()
        self._passes.run({job.trial.id: job.trial for job in jobs}.values(), self._tend)
        kept, new = go_on(self.run.state.packs(graphs, until) if self.recipe.packs else [], jobs)
        made: Sequence[Pack] = ()
        if new:
            device = self.run.environment.get("device", "unknown")
            made = Planner(self.graphs, self.threads, device).plan(new, graphs, until=until).packs
        if self.is_stopping:  # perhaps while graphs or widths were asked for: that is no plan to keep
            return []
        self.run.keep_plan(made)
        if kept or made:
            self.observer.doing("Compiling programs; then the first epoch is trained.")
        return [*kept, *made]

    def _run_packs(self, waiting: deque[Pack]) -> deque[Pack]:
        """Runs packs that wait; those whose worker died wait again, where they are to be tried again.

        Returns:
            Those of them that had too little memory, which wait for a time when less runs beside them; and
            those that came to wait when the last one had been drawn.
        """
        later = deque[Pack]()
        for event in self.executor.run(partial(train_pack, self.recipe), _drawn(waiting)):
            if isinstance(event, executors.Started):
                self._start(event.task.jobs[0].id)
            elif isinstance(event, executors.Emitted):
                if isinstance(event.payload, CheckpointRecord | FoldRecord | RungRecord):
                    for job in event.task.jobs:
                        self._died.discard(job.id)
                        self._lost.pop(job.id, None)
                self._handle(event.payload)
            elif isinstance(event, executors.Raised):
                check_goes_on(event)
                self._fail(event.task, event.error_type, event.message)
            elif isinstance(event, executors.Died):
                self._try_again(event, later if event.by_memory else waiting)
            self._tend()
        return waiting + later

    def _tend(self) -> None:
        self.run.tend()
        self._tell_of_stop()

    def _try_again(self, event: executors.Died, waiting: deque[Pack]) -> None:
        """Lets the jobs of a pack wait whose worker died; those that got no further since the last time fail.

        Where a machine went that is no fault of theirs, and they come first; but they may be why it went. So
        the next time they wait one by one behind the others, and then fail.
        """
        reason, pack = f"the worker {event.reason}.", event.task
        if event.is_lost:
            self._lost.update(job.id for job in pack.jobs)
            n = executors.MOST_LOSSES
            over = pack.of(job for job in pack.jobs if self._lost[job.id] >= n)
            self._fail(over, "WorkerLost", f"{reason} So it was {n} times, and it got no further in between.")
        else:
            over = pack.of(job for job in pack.jobs if job.id in self._died)
            if event.by_memory:
                self._fail(over, "OutOfMemory", f"{reason} {_SMALLER}")
            else:
                self._fail(over, "WorkerDied", reason)
        left = self._left(pack)
        if event.is_lost and left.jobs:
            if any(self._lost[job.id] > 1 for job in left.jobs):
                waiting += split(left)
            else:
                waiting.appendleft(left)
            self.observer.note(f"{count(len(left.jobs), 'fit')} will go on elsewhere: {reason}")
        elif left.jobs:
            waiting += split(left)
            self._died |= {job.id for job in left.jobs}
        for job in left.jobs:
            if not event.is_lost:
                self.observer.note(f"{job}: {reason} It will be tried once more.")
            self.run.append("retry", {"job": list(job.id), "reason": reason})

    def _left(self, pack: Pack) -> Pack:
        """Returns a pack without the jobs that have ended, or come to where they wait."""
        done = self.run.state.has_come_to
        return pack.of(job for job in pack.jobs if not done(job.id, pack.until))

    def _handle(self, payload: Any) -> None:
        if isinstance(payload, EpochRecord):
            self._start(payload.job)  # all of a pack but the first
            run = self.run.state.runs.get(payload.job, payload.job)
            self.budget.train((run, payload.job in self._anew), payload.epoch)
            self.observer.epoch(payload)
        elif isinstance(payload, CheckpointRecord):
            self.run.keep_checkpoint(replace(payload, anew=True) if payload.job in self._anew else payload)
        elif isinstance(payload, FoldRecord):
            if payload.job in self._wait_at_end and payload.error is None:
                self.run.wait(payload, at_end=True)
                self.observer.waits(payload)
            else:
                self._end(replace(payload, anew=True) if payload.job in self._anew else payload)
        elif isinstance(payload, RungRecord):
            self.run.wait(payload.reached)
            self.observer.waits(payload.reached)
        elif isinstance(payload, OutputsRecord):
            self._passes.take(payload)
        elif isinstance(payload, NoteRecord):
            if payload.topic is None or payload.topic not in self._told_topics:
                self.observer.note(payload.text)
            self._told_topics.add(payload.topic)
        elif isinstance(payload, StopRecord):
            trial, fold, _ = payload.job
            self.observer.note(f"trial {trial}, fold {fold}: saved after epoch {payload.epoch}.")

    def _start(self, job: tuple[int, int, int]) -> None:
        if job not in self._started:
            self._started.add(job)
            self.run.state.begin(job[0])
            self.observer.started(self._job(job))

    def _job(self, job: tuple[int, int, int]) -> Job:
        trial, fold, repeat = job
        return Job(self.run.state.trials[trial], fold, repeat)

    def _fail(self, pack: Pack, error_type: str, message: str) -> None:
        for job in self._left(pack).jobs:
            self._end(FoldRecord(job.id, error={"type": error_type, "message": f"{job}: {message}"}))

    def _end(self, record: FoldRecord) -> None:
        self.run.end(record)
        if record.error is not None:
            message = record.error["message"].rstrip(".")
            job = self._job(record.job)
            told = [known for known in self._refusals if known.values and known.covers(job.trial.params)]
            if not told:
                kind = message.removeprefix(f"{job}: ").partition(AT_LENGTH)[0]
                self._failures[kind] += 1
                if self._failures[kind] == 1:
                    self.observer.note(f"{message}. Recorded as failed; the search goes on.")
        self.observer.ended(record, self.run.state)


def few_at_a_time(search: SearchConfig, n_folds: int, n_workers: int) -> list[str]:
    """Returns a line where an engine asks for fewer candidates at a time than all workers can train."""
    each = n_folds * search.repeats
    n_fits, most = search.proposals * each, search.trials
    if "proposals" not in ENGINES[search.engine].settings or n_fits >= n_workers:
        return []
    if most is not None and most <= search.proposals:
        return []
    return [
        f"search.proposals is {search.proposals}: {count(n_fits, 'fit')} at a time, so that "
        f"{n_workers - n_fits} of {n_workers} workers have nothing to do. With {-(-n_workers // each)} all "
        "have, and with several times as many none waits long for the last fits."
    ]


def _drawn(waiting: deque[Pack]) -> executors.Drawn:
    """Takes packs out as they are drawn: what died meanwhile is among them, also after the last one."""

    def draw() -> Pack:
        if not waiting:
            raise StopIteration
        return waiting.popleft()

    return executors.Drawn(draw)
