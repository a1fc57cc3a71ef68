"""The notebooks: tidy as they are stored, and run in kernels without a screen, of which one is killed."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from sklearn.datasets import load_digits

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SMALL = [
    *("search.folds=2", "params.epochs=2", "space.learning_rate=[0.01]", "space.optimizer=[Adam]"),
    *("space.batch_norm=[true]", "executor.kind=inline"),
]
"""Two candidates of two folds."""
NO_LOCKS = """
import errno, fcntl

def flock(file, how):
    raise OSError(errno.ENOLCK, "no locks available")

fcntl.flock = flock
"""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_tidily(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = notebook["cells"]
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert len({cell["id"] for cell in cells}) == len(cells)
    assert [cell["metadata"] for cell in cells if cell["metadata"]] == [{"tags": ["parameters"]}]
    assert cells[0]["cell_type"] == "markdown"
    for cell in cells:
        text = "".join(cell["source"])
        assert text == text.strip()
        assert max(map(len, text.splitlines())) <= 120
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            ast.parse(re.sub(r"^(\s*)%.*", r"\1pass", text, flags=re.MULTILINE))


def test_there_is_one_for_each_service_and_one_for_functions_and_arrays():
    assert [path.name for path in NOTEBOOKS] == ["colab.ipynb", "kaggle.ipynb", "own_model.ipynb"]


class Kernel:
    """Notebooks that are run in a folder, one after another, by a kernel of this Python.

    Args:
        folder: The working folder.
        notebooks: The file of each, and parameters in the place of its own.
    """

    def __init__(self, folder: Path, notebooks: dict[str, dict[str, object]]) -> None:
        nbformat = pytest.importorskip("nbformat")
        client = pytest.importorskip("nbclient")
        pytest.importorskip("ipykernel")
        self.notebook = nbformat.v4.new_notebook()
        for name, parameters in notebooks.items():
            read = nbformat.read(ROOT / "notebooks" / name, as_version=4)
            nbformat.validate(read)
            given = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
            tags = [cell.metadata.get("tags", []) for cell in read.cells]
            read.cells.insert(tags.index(["parameters"]) + 1, nbformat.v4.new_code_cell(given))
            forget = nbformat.v4.new_code_cell("%reset -f")  # names of the one before
            self.notebook.cells += [forget, *read.cells]
        place = {"metadata": {"path": str(folder)}}
        self.client = client.NotebookClient(self.notebook, timeout=300, resources=place)

    def run_until(self, condition: Callable[[], object]) -> None:
        """Runs its cells until a condition holds; then kills its kernel, as where a runtime ends."""
        with ThreadPoolExecutor() as pool:
            running = pool.submit(self.client.execute)
            deadline = time.monotonic() + 300
            while not condition() and not running.done():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            os.kill(self.client.km.provisioner.pid, signal.SIGKILL)
            assert type(running.exception()).__name__ == "DeadKernelError"

    def shown(self, begin: str) -> list[list]:
        """Returns the outputs of the cells whose last line begins so, one in each notebook."""
        cells = self.notebook.cells
        return [cell.outputs for cell in cells if cell.source.rpartition("\n")[2].startswith(begin)]


def fits(results: Path) -> list[tuple[int, ...]]:
    """Returns the fits that a run has in its journal, whole lines of it."""
    journal = results / "digits" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True) if journal.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [tuple(record["job"]) for record in records if record.get("type") == "fold"]


@dataclass(frozen=True)
class Ran:
    """What has become of the notebooks.

    Attributes:
        kernel: In which each was run to its end.
        results: The folders of the search that was begun in Colab: there, and as it went on on Kaggle.
        submissions: What each of the two has written.
        before: Fits of that search that were there when its runtime was taken away.
        was_seen: Whether that runtime had a heartbeat.
        own: The folder of the search of a cell's function.
    """

    kernel: Kernel
    results: tuple[Path, Path]
    submissions: tuple[Path, Path]
    before: list[tuple[int, ...]]
    was_seen: bool
    own: Path


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The notebooks, in a kernel that begins after another one was killed, on drives without locks."""
    folder = tmp_path_factory.mktemp("notebooks")
    drive, attached, working = (folder / name for name in ("drive", "input", "working"))
    for path in (drive, working, folder / "no_locks"):
        path.mkdir()
    (folder / "no_locks" / "sitecustomize.py").write_text(NO_LOCKS)
    results, data = drive / "results", drive / "digit-recognizer"
    on_drive = {"DRIVE": str(drive), "DATA": str(data), "OVERRIDES": SMALL}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder / 'no_locks'}{os.pathsep}{ROOT}")
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
        one_by_one = {**on_drive, "OVERRIDES": [*SMALL, "training.pack=off"]}
        Kernel(folder, {"colab.ipynb": one_by_one}).run_until(lambda: fits(results))
        before, was_seen = fits(results), (results / "digits" / "heartbeat").exists()
        shutil.copytree(results, attached / "my-notebook" / "results")
        shutil.copytree(data, attached / "digit-recognizer")
        on_kaggle = {"INPUT": str(attached), "WORKING": str(working), "OVERRIDES": SMALL}
        own = {"WORKERS": 1, "EPOCHS": 3, "RESULTS": str(folder / "own")}
        notebooks = {"colab.ipynb": on_drive, "kaggle.ipynb": on_kaggle, "own_model.ipynb": own}
        kernel = Kernel(folder, notebooks)
        kernel.client.execute()
    submissions = results / "digits" / "submission.csv", working / "submission.csv"
    return Ran(kernel, (results, working / "results"), submissions, before, was_seen, folder / "own")


@pytest.mark.slow(weight=40)
def test_a_search_goes_on_after_a_runtime_was_taken_away_here_and_on_another_service(ran):
    assert 0 < len(ran.before) < 4
    assert ran.was_seen
    searches, *pages = map(ran.kernel.shown, ("results = kg.search", "results.hiplot()", "results.report()"))
    assert [len(shown) for shown in (searches, *pages)] == [3, 3, 3]
    truth = load_digits().target[1500:]
    for place, (folder, submission) in enumerate(zip(ran.results, ran.submissions, strict=True)):
        assert fits(folder)[: len(ran.before)] == ran.before
        assert sorted(fits(folder)) == [(trial, fold, 0) for trial in (0, 1) for fold in (0, 1)]
        (line,) = [told for told in searches[place] if told.output_type != "stream"]
        assert line.data["text/plain"].startswith("complete: 2/2 trials, 4/4 fits, best score 0.")
        for shown in pages:
            (page,) = shown[place]
            assert page.data["text/html"].startswith('<iframe srcdoc="&lt;!')
        assert (pd.read_csv(submission)["Label"] == truth).mean() > 0.5
        assert [path for path in folder.rglob("*") if path.name == "heartbeat" or ".tmp" in path.name] == []


@pytest.mark.slow
def test_a_function_of_a_cell_is_searched_on_arrays_in_a_worker(ran):
    outputs = ran.kernel.shown("results = kg.search")[2]
    (line,) = [told for told in outputs if told.output_type != "stream"]
    assert line.data["text/plain"].startswith("complete: 4/4 trials, 8/8 fits, best score 0.")
    said = "".join(told.text for told in outputs if told.output_type == "stream")
    assert "in this process" not in said
    journal = (ran.own / "own" / "journal.jsonl").read_text().splitlines()
    assert json.loads(journal[1])["workers"] == 1
    for begin in ("results.hiplot()", "results.report()"):
        (page,) = ran.kernel.shown(begin)[2]
        assert page.data["text/html"].startswith('<iframe srcdoc="&lt;!')
    (table,) = ran.kernel.shown("results.frame()")[2]
    assert "learning_rate" in table.data["text/html"]
    ((accuracy,),) = ran.kernel.shown("accuracy")
    assert float(accuracy.data["text/plain"]) > 0.6
    ((best,),) = ran.kernel.shown("grid.best_params_")
    params, score = ast.literal_eval(best.data["text/plain"])
    assert params.keys() == {"dropout", "epochs"}
    assert score > 0.6
