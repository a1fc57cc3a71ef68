"""Damaged files of results, and of what lies beside them: each is read, or refused in words.

All kinds are tried in one process of their own, which imports MLflow but no backend, and keeps within a GiB.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import pytest
from mutations import N_MUTATIONS, mutate_bytes, mutate_json

import kerasgrid as kg
from kerasgrid.errors import KerasgridError, ResultsError
from kerasgrid.machine import peak_memory_bytes

N_TRIED = N_MUTATIONS if N_MUTATIONS >= 1000 else N_MUTATIONS // 10
"""Of each command and file: all of them at night."""
MOST_BYTES = 1 << 30
LONGEST_S = 20


class Hangs(BaseException):
    """A mutation that takes too long."""


@contextmanager
def limited() -> Iterator[None]:
    """Ends what hangs."""

    def end(*_: object) -> None:
        raise Hangs

    signal.signal(signal.SIGALRM, end)
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)


def tried(act: Callable[[], object], counts: Counter[str], what: str) -> None:
    """Counts whether something is done or refused in words, and prints where it is neither."""
    said = StringIO()
    try:
        with limited(), redirect_stdout(said), redirect_stderr(said):
            act()
        counts["accepted"] += 1
    except KerasgridError as error:
        counts["refused"] += bool(str(error))
    except (Exception, Hangs):
        counts["bugs"] += 1
        if counts["bugs"] <= 5:
            print(f"{what}:", file=sys.stderr)
            print("".join(traceback.format_exc(limit=-6))[-3000:], file=sys.stderr)


def searched(folder: Path) -> Path:
    """Returns the results.json of a search that trained nothing, with all that lies beside it."""
    import fitted

    with pytest.MonkeyPatch.context() as patch:
        fitted.train_nothing(patch)
        config = {**fitted.CONFIG, "data": {"train": "digits", "scale": 16, "subset": 300}}
        config["params"] = {**config["params"], "epochs": 4}
        path = fitted.search({**config, "callbacks": fitted.STOPPING}, results=folder / "results").path
    samples = folder / "samples.csv"
    samples.write_text("id," + ",".join(f"p{i}" for i in range(64)) + "\n1" + ",0" * 64 + "\n")
    (path.parent / "grid" / "submission.csv").write_text("id,label\n1,3\n")
    return path


def commands(path: Path, folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Callable[[], object]]:
    """Returns what reads a results.json, by the command that does; what trains or asks a model does not."""
    import fitted
    import numpy as np

    from kerasgrid.delivery import fitting, inference
    from kerasgrid.delivery.fitting import fit
    from kerasgrid.delivery.predicting import predict
    from kerasgrid.driver.results import Results
    from kerasgrid.exports.mlflow import _entry, _legal_names, _search_entry, identity_of
    from kerasgrid.exports.notebook import write_notebook
    from kerasgrid.exports.tensorboard import write_tensorboard
    from kerasgrid.jobs.tasks import PredictedRecord
    from kerasgrid.report.findings import analyse
    from kerasgrid.report.suggestion import suggest
    from kerasgrid.report.writing import Report
    from kerasgrid.submit.sending import draft_of
    from kerasgrid.tables.reading import read_table
    from kerasgrid.views.hiplot import write_page
    from kerasgrid.views.leaderboard import leaderboard, summary_lines

    def answer(recipe, task, context):
        n_rows = sum(len(chunk.images) for chunk in task.stream.batches(256))
        found = np.full((n_rows, recipe.target.n_outputs), 0.1, np.float32)
        context.emit(PredictedRecord(task.place, found, ["1"] * n_rows if task.tells_ids else None))

    def views():
        found = Results.load(path)
        repr(found), found.best, found.frame(), leaderboard(found), summary_lines(found)
        return found.status, found.model_files()

    def mlflow():
        table = read_table(path)
        names = _legal_names([*table.params, *table.scores])
        entries = [_entry(table, row, {}, names) for row in range(len(table.rows))]
        return [one.digest for one in (*entries, _search_entry(table, entries))], identity_of(table, "")

    patch.setattr(fitting, "train_final", fitted.fake_train_final)
    patch.setattr(inference, "ask_model", answer)
    return {
        "plot": lambda: write_page([read_table(path)], folder / "page.html"),
        "plot --epochs": lambda: write_page([read_table(path)], folder / "page.html", epochs=True),
        "report": lambda: Report(path).json() + Report(path).markdown(),
        "suggest": lambda: suggest(analyse(read_table(path))),
        "export --to tensorboard": lambda: write_tensorboard(read_table(path), folder / "board"),
        "export --to mlflow": mlflow,
        "export --to notebook": lambda: write_notebook(path, folder / "notebook"),
        "views": views,
        "fit": lambda: fit(path),
        "fit --finetune": lambda: fit(path, finetune=True),
        "predict": lambda: predict(path, folder / "samples.csv"),
        "submit": lambda: draft_of(path, "digits", "words"),
    }


def of_results(folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates results.json, for every command that reads it."""
    path = searched(folder)
    whole = path.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        for name, act in commands(path, folder, patch).items():
            act()
            for seed in range(N_TRIED):
                path.write_bytes(mutate_json(whole, seed))
                tried(act, counts.setdefault(name, Counter()), f"{name}, seed {seed}")
            path.write_bytes(whole)


def shown(source: Path, folder: Path) -> None:
    """Does what plot, report, suggest and export do with others' results."""
    from kerasgrid.exports.tensorboard import write_tensorboard
    from kerasgrid.report.suggestion import suggest
    from kerasgrid.report.writing import Report
    from kerasgrid.tables.reading import read_table
    from kerasgrid.views.hiplot import write_page

    table = read_table(source)
    write_page([table], folder / "page.html", epochs=any(table.histories))
    found = Report(source)
    found.json(), found.markdown(), write_tensorboard(table, folder / "board")
    if found.findings.best is not None and found.findings.design.factors:
        suggest(found.findings)


def of_keras_tuner(folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates a trial of a project, or the oracle's own file."""
    project = folder / "project"
    conditions = [{"class_name": "Parent", "config": {"name": "act", "values": ["relu"]}}]
    space = [
        {"class_name": "Float", "config": {"name": "rate", "sampling": "log", "conditions": []}},
        {"class_name": "Choice", "config": {"name": "act", "conditions": []}},
        {"class_name": "Int", "config": {"name": "units", "conditions": conditions}},
    ]
    files = [project / "oracle.json"]
    project.mkdir()
    files[0].write_text(json.dumps({"start_order": ["0", "1", "2"], "max_epochs": 9, "trials": {}}))
    for place in range(3):
        values = {"rate": 10.0**-place, "act": ("relu", "tanh")[place % 2], "units": 8, "tuner/epochs": 3}
        seen = [{"value": [0.5 + place / 10], "step": step} for step in range(3)]
        files.append(project / f"trial_{place}" / "trial.json")
        files[-1].parent.mkdir()
        trial = {
            "trial_id": str(place),
            "hyperparameters": {"space": space, "values": values},
            "metrics": {"metrics": {"val_accuracy": {"direction": "max", "observations": seen}}},
            "score": 0.5 + place / 10,
            "status": "COMPLETED",
            "message": None,
        }
        files[-1].write_text(json.dumps(trial))
    of_files(files, project, folder, counts)


def of_files(files: list[Path], source: Path, folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates some of the files of a source."""
    whole = [file.read_bytes() for file in files]
    shown(source, folder)
    for seed in range(N_TRIED):
        for place, (file, text) in enumerate(zip(files, whole, strict=True)):
            is_damaged = (seed + place) % len(files) == 0 or seed % 7 == 0
            file.write_bytes(mutate_json(text, seed + place) if is_damaged else text)
        tried(
            lambda: shown(source, folder), counts.setdefault(source.name, Counter()), f"{source}, seed {seed}"
        )


def of_records(folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates lists of objects, cv_results_ and CSVs."""
    rows = [
        {"rate": 10.0**-place, "act": "relu", "units": [8, place], "val_loss": 0.5 / (place + 1), "time": 2.0}
        for place in range(4)
    ]
    cv = {
        "params": [{"rate": row["rate"], "act": "relu"} for row in rows],
        "param_rate": [row["rate"] for row in rows],
        "mean_test_score": [0.5, 0.6, 0.7, 0.8],
        "split0_test_score": [0.5, 0.6, 0.7, 0.8],
        "rank_test_score": [4, 3, 2, 1],
    }
    for name, value in (("list.json", rows), ("cv.json", cv)):
        (folder / name).write_text(json.dumps(value))
        of_files([folder / name], folder / name, folder, counts)
    table = folder / "table.csv"
    text = "rate,act,val_loss\n" + "\n".join(f"{row['rate']},relu,{row['val_loss']}" for row in rows)
    for seed in range(N_TRIED):
        snippets = [b"\x00", b"\xff", b'"', b",", b"\n", b"\r", b";", b"1e999", b"nan", b"9" * 500]
        table.write_bytes(mutate_bytes(text.encode(), random.Random(seed), snippets))
        tried(lambda: shown(table, folder), counts.setdefault("table.csv", Counter()), f"CSV, seed {seed}")


def of_optuna(folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates an SQLite file in its bytes and in its cells, and a journal in its lines."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    def objective(trial: optuna.Trial) -> float:
        rate = trial.suggest_float("rate", 1e-4, 1e-1, log=True)
        trial.suggest_categorical("act", ["relu", "tanh"])
        trial.report(0.5, 0)
        trial.report(0.6, 1)
        return rate

    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    sqlite, journal = folder / "study.db", folder / "study.log"
    for storage in (f"sqlite:///{sqlite}", JournalStorage(JournalFileBackend(str(journal)))):
        sampler = optuna.samplers.RandomSampler(seed=0)
        optuna.create_study(study_name="mine", storage=storage, sampler=sampler).optimize(objective, 4)
    whole, lines = sqlite.read_bytes(), journal.read_bytes().splitlines()
    shown(sqlite, folder)
    for seed in range(N_TRIED):
        chance = random.Random(seed)
        sqlite.write_bytes(mutate_bytes(whole, chance) if seed % 3 == 0 else whole)
        if seed % 3:
            mutate_cells(sqlite, chance)
        tried(lambda: shown(sqlite, folder), counts.setdefault("SQLite", Counter()), f"SQLite, seed {seed}")
    for seed in range(N_TRIED):
        chance = random.Random(seed)
        place = chance.randrange(len(lines))
        odd = chance.choice(
            [b"{}", b"[]", b"null", b"5", b"[" * 100_000, *[mutate_json(lines[place], seed)] * 9]
        )
        journal.write_bytes(b"\n".join([*lines[:place], odd, *lines[place + 1 :]]) + b"\n")
        tried(
            lambda: shown(journal, folder), counts.setdefault("journal", Counter()), f"journal, seed {seed}"
        )


def mutate_cells(database: Path, chance: random.Random) -> None:
    """Gives a few cells of a database other values, of other types too, or removes a row or a table."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        for _ in range(chance.choice([1, 1, 2])):
            table = chance.choice(tables)
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
            value = chance.choice(
                [None, -1, 2**62, 1e308, "x", "", b"\xff\x00", "[" * 5000, "{}", "NaN", '"\\ud800"']
            )
            with contextlib.suppress(sqlite3.Error):  # such as a value that has to be there
                if chance.random() < 0.8:
                    connection.execute(f"UPDATE {table} SET {chance.choice(columns)} = ?", (value,))
                else:
                    connection.execute(chance.choice([f"DELETE FROM {table}", f"DROP TABLE {table}"]))


def of_journal(folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates a line of a journal, or adds an odd one at its end; the search is gone on with."""
    path = searched(folder)
    kept, journal = folder / "kept", path.parent / "grid" / "journal.jsonl"
    shutil.copytree(path.parent, kept)
    lines = journal.read_bytes().splitlines(keepends=True)
    odd = [
        b"{}",
        b"[]",
        b"null",
        b"5",
        b'{"type":"news","time":1.0}',
        b"[" * 100_000,
        b'{"type":"end"}',
        b"\0",
    ]
    for seed in range(N_TRIED):
        chance = random.Random(seed)
        place = chance.randrange(len(lines) + 1)
        line = chance.choice(odd) if place == len(lines) else mutate_json(lines[place], seed)
        shutil.rmtree(path.parent)
        shutil.copytree(kept, path.parent)
        line = line.strip() + b"\n"
        journal.write_bytes(b"".join([*lines[:place], line, *lines[place + 1 :]]))
        is_told = place < len(lines) - 1 and line != lines[place]
        act = partial(refuses, folder) if is_told else partial(searched, folder)
        tried(act, counts.setdefault("search", Counter()), f"journal, seed {seed}")


def refuses(folder: Path) -> None:
    """Goes on with a search, which has to be refused: its journal has a checksum for each line."""
    searched(folder)
    raise AssertionError("a damaged line was taken without a word")


def of_side_files(folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates what lies beside results.json; the search is gone on with, reported, fitted and asked."""
    path = searched(folder)
    kept, names = folder / "kept", ["folds.npz", "oof.npz", "mistakes.npz", "predictions/*.npy", "fit/*.json"]
    with pytest.MonkeyPatch.context() as patch:
        acts = commands(path, folder, patch)
        acts = {name: acts[name] for name in ("fit", "fit --finetune", "predict", "report")}
        acts["fit"]()
        acts = {"search": lambda: searched(folder), **acts}
        shutil.copytree(path.parent, kept)
        for seed in range(N_TRIED):
            for name, act in acts.items():
                chance = random.Random(seed)
                shutil.rmtree(path.parent)
                shutil.copytree(kept, path.parent)
                file = chance.choice(sorted((path.parent / "grid").glob(names[seed % len(names)])))
                file.write_bytes(mutate_bytes(file.read_bytes(), chance))
                tried(act, counts.setdefault(name, Counter()), f"{name} beside {file.name}, seed {seed}")


def of_sample(folder: Path, counts: dict[str, Counter[str]]) -> None:
    """Mutates a competition's sample, and what is to be sent."""
    from kerasgrid.records import Target
    from kerasgrid.submit.checking import check
    from kerasgrid.submit.layout import read_form

    sample, file = folder / "sample_submission.csv", folder / "submission.csv"
    text = b"id,label\n" + b"".join(b"%d,%d\n" % (row, row % 3) for row in range(9))
    snippets = [
        b"\x00",
        b"\xff",
        b'"',
        b",",
        b"\n",
        b"\r",
        b";",
        b"1e999",
        b"nan",
        b"9" * 500,
        b"\xef\xbb\xbf",
    ]

    def read() -> None:
        target = Target("numbers", ("label",)) if seed % 2 else Target("classes", (0, 1, 2))
        read_form(sample, target)
        check(file, sample, target)

    for seed in range(N_TRIED):
        chance = random.Random(seed)
        sample.write_bytes(mutate_bytes(text, chance, snippets) if seed % 3 else text)
        file.write_bytes(text if seed % 3 else mutate_bytes(text, chance, snippets))
        tried(read, counts.setdefault("submit", Counter()), f"sample, seed {seed}")


LEAVES_OUT = {"KerasTuner", "side files"}
"""Kinds of which what is damaged is left out, or made anew, and not refused."""
KINDS = {
    "results.json": of_results,
    "KerasTuner": of_keras_tuner,
    "records": of_records,
    "Optuna": of_optuna,
    "journal": of_journal,
    "side files": of_side_files,
    "sample_submission": of_sample,
}


def main(folder: Path, *only: str) -> None:
    """Tries all kinds, or some, and prints what came of each."""
    for kind, mutate in KINDS.items():
        if only and kind not in only:
            continue
        counts: dict[str, Counter[str]] = {}
        (folder / kind).mkdir()
        mutate(folder / kind, counts)
        for name, found in counts.items():
            print(json.dumps([kind, name, found]))
    assert not {"tensorflow", "keras", "jax"} & set(sys.modules), "a backend was imported"
    most = peak_memory_bytes()
    assert most < MOST_BYTES, f"{most:,} bytes of memory"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, session_cache):
    """What came of all mutations, by kind and command; and what was printed of those that were not told."""
    code = "import sys; from pathlib import Path; import test_damaged; test_damaged.main(Path(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path_factory.mktemp("damaged"))],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, dict[str, Counter[str]]] = {}
    for line in done.stdout.splitlines():
        kind, name, counts = json.loads(line)
        found.setdefault(kind, {})[name] = Counter(counts)
    return found, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_every_mutation_is_read_or_refused_in_words(kind, outcomes):
    found, told = outcomes
    assert sum(counts["bugs"] for counts in found[kind].values()) == 0, told[-6000:]
    for name, counts in found[kind].items():
        assert counts["accepted"] + counts["refused"] >= N_TRIED, name
        assert counts["refused"] > N_TRIED // 20 or kind in LEAVES_OUT, name


def test_what_trains_or_predicts_says_what_results_lack(tmp_path):
    """In Python too, where an object of results may be anything."""
    whole = json.loads((Path(__file__).parent / "golden" / "run-1" / "results.json").read_text())
    del whole["config"]
    (tmp_path / "a.json").write_text(json.dumps(whole))
    for act in (kg.fit, kg.predict):
        for given in (tmp_path / "a.json", kg.Results(whole, tmp_path / "a.json")):
            with pytest.raises(ResultsError, match=r"a\.json: is not whole: it has no config\. "):
                act(given)
        with pytest.raises(ResultsError, match="schema is None, which is no results file"):
            act(kg.Results({"trials": []}, tmp_path / "a.json"))
