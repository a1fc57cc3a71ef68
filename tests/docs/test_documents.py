"""README and docs/: every command, YAML and Python block holds, and the pages that teach are followed."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.util
import inspect
import io
import json
import re
import shlex
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from asking import ask_in_this_process
from fitted import fake_train_final, train_nothing
from houses import write_houses
from markdown_it import MarkdownIt
from PIL import Image
from running import run
from service import Server, asked_by_kaggle, skip_without_client, without_credentials
from written import csv_bytes, idx_file

import kerasgrid as kg
from kerasgrid.checks.prepared import prepare
from kerasgrid.cli.options import app
from kerasgrid.config.reading import config_from_dict, read_config
from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.data.sources import read_digits
from kerasgrid.delivery import fitting
from kerasgrid.engines import ENGINES
from kerasgrid.models.signature import Signature
from kerasgrid.submit import ledger

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LANGUAGES = {"bash", "console", "json", "python", "text", "yaml"}
"""`console` has commands behind `$ ` and what they print; `text` is what is printed."""
NOT_RUN = {
    "case": "a word of the shell",
    "docker": "it needs Docker",
    "echo": "a word of the shell",
    "esac": "a word of the shell",
    "exit": "a word of the shell",
    "export": "a word of the shell",
    "pip install": "it needs a network",
    "pip list": "it lists what is there",
    "python experiments/": "it draws thousands of files",
    "ray ": "it begins a cluster, which tests/executors/test_ray.py has of its own",
    "scripts/bench": "benchmarks take minutes",
    "scripts/build": "it needs a network",
    "scripts/check": "it stands beside these tests in scripts/test",
    "scripts/demo": "it sets up an environment, from a network",
    "scripts/release": "it runs these tests",
    "scripts/setup": "it sets up an environment, from a network",
    "scripts/test": "it runs these tests",
    "scripts/try-wheel": "it sets up an environment, from a network",
    "kerasgrid compare": "tests/driver/test_comparing.py does, and it takes AutoKeras's training once more",
    "kerasgrid doctor": "tests/driver/test_doctor.py does, and it takes a small search",
    "kerasgrid fit results/shapes.json": "it goes on from a search that is not run",
    "kerasgrid search experiments/": "its nets take minutes, and tests/checks/test_checks.py reads it",
    "kerasgrid search grid.yaml --results /content/": "a drive of Colab's",
}
"""What no test runs of the pages' commands, by how they begin, and why."""
QUOTED = {
    "docs/guides/cluster.md": "it needs a cluster, which tests/executors/test_ray.py has of its own",
    "docs/reference/grid-yaml.md": "each of its commands is of another search",
    "docs/reference/faq.md": "its blocks are parts of a program, which a test of its own runs",
}
"""Pages that are not followed from their tops, and why."""
NAMED = re.compile(r"# (\S+\.(?:py|yaml))\n")
"""The first line of a block that is a file."""
PAGE_WORDS = 600
"""Of README.md."""


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        page: The page's path.
        line: Where it begins.
        language: What it says it is; empty where it says nothing.
        text: What is in it.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that it is; None for another."""
        named = NAMED.match(self.text)
        return named and named[1]


def blocks_of(page: Path) -> list[Block]:
    found = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    name = page.relative_to(ROOT).as_posix()
    return [
        Block(name, token.map[0] + 1, token.info.strip(), token.content)
        for token in found
        if token.type in ("fence", "code_block") and token.map is not None
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def each(*languages: str):
    """Parametrizes a test by the blocks of some languages."""
    found = [block for block in BLOCKS if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=lambda block: f"{block.page}:{block.line}")


def commands_of(block: Block) -> list[list[str]]:
    """Returns the words of each command of a block, up to where its output goes."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    found = []
    for line in lines:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";|&>()"):
                is_pattern = words and re.fullmatch(r"\d+|\*", words[0])  # of a case
                found += [words] if words and not is_pattern else []
                words = [word] if ">" in word else []
            elif words or "=" not in word:  # else a variable of the environment
                words.append(word)
    return [words for words in found if ">" not in words[0]]


def is_run(block: Block) -> bool:
    """Whether a block is of commands or of Python, which those who read the page run."""
    return block.language in ("bash", "console", "python")


# What is in the blocks


def test_every_block_says_its_language():
    assert [block for block in BLOCKS if block.language not in LANGUAGES] == []
    assert {"bash", "python", "text", "yaml"} <= {block.language for block in BLOCKS}


def test_readme_is_a_screen():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= PAGE_WORDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files(page):
    tokens = MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8"))
    inner = [child for token in tokens for child in token.children or []]
    targets = [child.attrs.get("href") or child.attrs.get("src") for child in inner]
    paths = [target.partition("#")[0] for target in targets if target and "://" not in target]
    assert [path for path in paths if path and not (page.parent / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_are_named_are_there(page):
    named = re.findall(r"`((?!results/)[\w./-]+/[\w.-]+\.(?:md|py))`", page.read_text(encoding="utf-8"))
    folders = [ROOT / below for below in (".", "kerasgrid", "tests", "docs")]
    assert [path for path in named if not any((folder / path).exists() for folder in folders)] == []


@each("json")
def test_json_can_be_read(block):
    json.loads(block.text)


# Commands


@functools.cache
def command_line():
    """Returns the command line, whose commands give what they were asked instead of doing it."""
    found = typer.main.get_command(app)
    for command in found.commands.values():
        command.callback = lambda **arguments: arguments
    return found


@each("bash", "console")
def test_commands_are_taken(block):
    for words in commands_of(block):
        program, *arguments = words
        if program == "kerasgrid":
            check_taken(arguments)
        else:
            assert why_not_run(words), words
        if program.startswith("scripts/"):
            assert (ROOT / program).stat().st_mode & 0o100, words


def why_not_run(words: list[str]) -> str | None:
    """Returns why no test runs a command; None where one does."""
    line = " ".join(words)
    return next((why for begin, why in NOT_RUN.items() if line.startswith(begin)), None)


def test_what_is_not_run_is_in_the_pages():
    lines = [" ".join(words) for block in BLOCKS if is_run(block) for words in commands_of(block)]
    assert [begin for begin in NOT_RUN if not any(line.startswith(begin) for line in lines)] == []
    assert {*QUOTED} <= {block.page for block in BLOCKS}


def check_taken(arguments: list[str]) -> None:
    asked = command_line().main(arguments, prog_name="kerasgrid", standalone_mode=False)
    if not isinstance(asked, dict):  # --version, --help
        return
    overrides = list(asked.get("set_") or [])
    keys = {"engine": "search.engine", "executor": "executor.kind", "workers": "executor.workers"}
    keys |= {"time_budget": "search.time", "trials": "search.trials", "blocks": "autokeras.blocks"}
    overrides += [f"{key}={asked[name]}" for name, key in keys.items() if asked.get(name) is not None]
    config, faults = config_from_dict({"model": "fc"}, overrides)
    assert faults == []
    assert config.search.engine in ENGINES


def test_what_is_no_command_is_not_taken():
    for line in ("kerasgrid serach grid.yaml", "kerasgrid search", "kerasgrid search a.yaml --worker 2"):
        with pytest.raises(Exception, match=r"No such|Missing"):
            check_taken(shlex.split(line)[1:])
    with pytest.raises(AssertionError):
        check_taken(["search", "grid.yaml", "--set", "search.flods=3"])


# YAML


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with the data that pages name, and the files of their Python blocks."""
    folder = tmp_path_factory.mktemp("world") / "work"
    begin(folder)
    (folder / "experiments").symlink_to(ROOT / "experiments")
    for block in BLOCKS:
        if block.language == "python" and block.file:
            (folder / block.file).write_text(block.text)
    return folder


def begin(folder: Path) -> None:
    """Makes a folder with the data that pages name.

    Halves of the images, and thirds, are full batches: what is left over is a step more to compile.
    """
    folder.mkdir()
    write_data(folder / "data")
    write_houses(folder / "houses", 120, 20)
    write_images(folder)
    images, labels = digits(192)
    np.savez(folder / "data.npz", images=images, labels=labels)
    np.savez(folder / "new.npz", images=images[:20])
    np.savez(folder / "stripes.npz", images=images, labels=np.eye(3, dtype=int)[np.arange(192) % 3])
    np.savez(folder / "test.npz", images=images)
    for name in ("train", "t10k"):
        idx_file(folder / f"data/{name}-images-idx3-ubyte.gz", images[..., 0])
        idx_file(folder / f"data/{name}-labels-idx1-ubyte.gz", labels)
    header, *rows = csv_bytes(images, labels).decode().splitlines()
    signs = [header.replace("label", "image_id,digit"), *(f"{place},{row}" for place, row in enumerate(rows))]
    (folder / "data/signs.csv").write_text("\n".join(signs) + "\n")
    visits = (
        f"{place // 4},{20 + place % 50},{'north' if place % 3 else 'south'},{place % 2}"
        for place in range(60)
    )
    (folder / "data/visits.csv").write_text("\n".join(["patient,age,clinic,returned", *visits]) + "\n")


def write_images(folder: Path) -> None:
    """Writes image files: a folder a class, names that tell the class, and a CSV file that names them."""
    images, labels = digits(60)
    for row, image in enumerate(images[..., 0]):
        word, place = ("cat", "dog")[labels[row] % 2], f"{row:02}.png"
        files = [f"pets/train/{word}/{place}", f"photos/{row % 3}/{word}.{place}", f"plants/images/{place}"]
        for file in [*files, *([f"pets/test/{place}"] if row < 9 else [])]:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(folder / file)
    (folder / "pets/sample_submission.csv").write_text("id,label\n" + "".join(f"{n},cat\n" for n in range(9)))
    rows = [f"{row:02},{labels[row] % 2},{labels[row] % 3 // 2}" for row in range(60)]
    (folder / "plants/train.csv").write_text("\n".join(["image_id,rust,scab", *rows]) + "\n")
    (folder / "plants/test.csv").write_text("image_id\n00\n01\n")


def digits(n: int) -> tuple[np.ndarray, np.ndarray]:
    found = read_digits()
    return found.images[:n] * np.uint8(15), found.labels[:n].astype(np.uint8)


def write_data(folder: Path) -> None:
    """Writes the files of a competition of digits, 192 to train on."""
    folder.mkdir()
    images, labels = digits(292)
    (folder / "train.csv").write_bytes(csv_bytes(images[:192], labels[:192]))
    (folder / "test.csv").write_bytes(csv_bytes(images[192:]))
    rows = "".join(f"{number},0\n" for number in range(1, 101))
    (folder / "sample_submission.csv").write_text(f"ImageId,Label\n{rows}")


def take_any(reference):
    """Tells of a function whose parameters a worker would be asked for that it takes any."""
    return Signature((), takes_any=True), {}


@each("yaml")
def test_yaml_is_of_a_grid(block, world, monkeypatch):
    monkeypatch.chdir(world)
    found, _ = read_yaml(block.text, block.page)
    whole = {"data": {"train": "digits", "scale": 16}, "model": "fc", "params": {"epochs": 30}}
    if "x" in found.get("space", {}):  # of somebody's study, who adds what it is of
        whole |= {"model": "experiments/convnets.py:build", "search": {"engine": "random", "trials": 4}}
    elif "data" not in found:
        whole["space"] = {"learning_rate": [0.001, 0.01]}
    prepare({**whole, **found}, ask=take_any)


def test_yaml_that_is_no_grid_is_told(world, monkeypatch):
    monkeypatch.chdir(world)
    with pytest.raises(kg.KerasgridError, match="flods"):
        prepare({"data": {"train": "digits"}, "model": "fc", "search": {"flods": 3}})


# Python


@each("python")
def test_python_names_what_is_there(block):
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            modules = []
        assert all(importlib.util.find_spec(module.partition(".")[0]) for module in modules), modules
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "kg":
                assert node.attr in [*kg.__all__, "__version__"]
            elif node.value.id == "results":
                assert node.attr in [*dir(kg.Results), *inspect.signature(kg.Results).parameters]
        if isinstance(node, ast.Call) and (named := kg_name(node.func)) in ("search", "fit", "predict"):
            taken = inspect.signature(getattr(kg, named)).parameters
            assert {keyword.arg for keyword in node.keywords} <= {*taken}


def kg_name(node: ast.expr) -> str | None:
    """Returns what of kerasgrid's is called, by its name; None for others."""
    is_ours = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "kg"
    return node.attr if is_ours else None


# Pages that are followed from their tops, with an epoch a fit and in this process

FOLLOWED = sorted({block.page for block in BLOCKS if is_run(block)} - {*QUOTED, "README.md"})
GUIDES = ("after-the-search", "autokeras", "kaggle", "many-gpus", "strategies", "troubleshooting")
GO_ON = {*(f"docs/guides/{name}.md" for name in GUIDES), "docs/reference/exit-codes.md"}
"""Pages that go on from a search."""
PLANNED = {
    *(f"docs/guides/{name}.md" for name in ("augmentation", "autokeras", "batch-norm", "callbacks", "data")),
    *(f"docs/guides/{name}.md" for name in ("first-search", "kaggle", "many-gpus", "own-model")),
    *(f"docs/guides/{name}.md" for name in ("strategies", "troubleshooting")),
    "docs/reference/exit-codes.md",
}
"""Pages on which fits there are, where, for how long and what is told of them: their searches train nothing.

The models are those of README, which trains for real.
"""
BUILT = "docs/guides/own-model.md"
"""The page whose models are functions of its own: they are built, and the programs of their fits lifted."""
FITTED = {f"docs/guides/{name}.md" for name in ("after-the-search", "batch-norm", "first-search", "kaggle")}
"""Pages whose fits give the model of README's; those of README, of tables and of Python train for real."""
FOR_FILE = re.compile(r"(?<![\w/])[\w./-]+\.(?:csv|html|ipynb|keras|tensorboard|yaml)\b")
"""A file that is named beside a command, which reads or writes it."""
FEWER = {"--epochs": "1", "--max-trials": "1", "--seeds": "1", "--top": "2", "--trials": "1"}
"""What a test takes of options of which pages name more; `--epochs` of a plot has no number."""


def follow(page: str, monkeypatch) -> None:
    """Does in the working folder what a page says, in its order, and looks for the files that it names."""
    names: dict[str, object] = {"__name__": "page"}
    written: set[str] = set()
    for block in blocks_of(ROOT / page):
        if block.file and block.file not in written:
            written.add(block.file)
            Path(block.file).write_text(block.text)
        elif block.language == "python":
            exec(compile(small(block.text), f"{page}:{block.line}", "exec"), names)
        elif is_run(block):
            commands = [words for words in commands_of(block) if not why_not_run(words)]
            for words in commands:
                for grid in Path().glob("*.yaml"):
                    shorten(grid)
                assert followed(monkeypatch, words[1:]) == 0, words
            made = FOR_FILE.findall(re.sub(r"> \S+", "", block.text)) if commands else []
            assert [path for path in made if not Path(path).exists()] == [], block.text


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A folder in which README was followed, from where most of the other pages go on."""
    folder = tmp_path_factory.mktemp("searched") / "work"
    begin(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        follow("README.md", patch)
    return folder


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """Answers as Kaggle does, on loopback, with the data of the pages as a competition's."""
    skip_without_client()
    monkeypatch.setattr(ledger, "FIRST_POLL_S", 0.05)
    (tmp_path / "home").mkdir()
    without_credentials(monkeypatch, tmp_path / "home")
    with Server() as server:
        service = asked_by_kaggle(monkeypatch, server)
        write_data(tmp_path / "competition")
        archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path / "competition")
        service.archive = Path(archive).read_bytes()
        yield service


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_readme_can_be_followed(searched):
    assert (searched / "results/grid/submission.csv").exists()


@pytest.mark.slow(weight=10)
@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed(page, request, tmp_path, monkeypatch):
    folder = tmp_path / "work"
    begin(folder)
    if page in GO_ON:
        shutil.copytree(request.getfixturevalue("searched"), folder, dirs_exist_ok=True)
    if page == "docs/guides/kaggle.md":
        request.getfixturevalue("kaggle")
        shutil.rmtree(folder / "data")
        (folder / "grid.yaml").unlink()
    if page in PLANNED:
        train_nothing(monkeypatch, builds=page == BUILT)
    if page in FITTED:
        best = request.getfixturevalue("searched") / "results/grid/best.keras"
        monkeypatch.setattr(fitting, "train_final", functools.partial(fake_train_final, model=best))
    ask_in_this_process(monkeypatch)
    monkeypatch.chdir(folder)
    follow(page, monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_what_the_answers_show_is_of_one_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images, labels = digits(96)
    names = {"kg": kg, "keras": importlib.import_module("keras"), "X": images.reshape(96, -1), "y": labels}
    blocks = [block for block in blocks_of(ROOT / "docs/reference/faq.md") if block.language == "python"]
    for block in reversed(blocks):  # the model, then its search
        exec(block.text.replace("[32, 64]", "[32]").replace("[10]", "[1]"), names)
    assert names["grid"].best_params_["width"] == 32


def followed(monkeypatch, words: list[str]) -> int | str | None:
    """Returns the exit code of a command of a page.

    A redirection is of nothing that follows. Workers are processes, which `shorten` leaves out.
    """
    pairs = pairwise(["", *words])
    words = [FEWER.get(before, word) if word.isdigit() else word for before, word in pairs]
    if "--workers" in words:
        words += ["--executor", "processes"]
    with contextlib.redirect_stdout(io.StringIO()):
        return run(monkeypatch, *words)


def small(text: str) -> str:
    """Returns Python whose fits are few, and train for an epoch, in this process."""
    text = text.replace('"epochs": 6}', '"epochs": 1}')
    text = text.replace(
        "= load_digits(return_X_y=True)", "= (all[:256] for all in load_digits(return_X_y=True))"
    )
    text = text.replace('[0.2, 0.4], "epochs": [2]', '[0.2], "epochs": [1]').replace("cv=3", "cv=2")
    text = text.replace('[{"units": 4}, {"units": 8}]', '[{"units": 4}]')  # a program each
    return text.replace('"space": {', '"executor": {"kind": "inline"}, "space": {')


SPACE = re.compile(r"(?<=\nspace:)[^\n]*\n(?:[ \t]+[^\n]*\n?|\n)*")
THIRD = re.compile(r"\[([\w.\"]+, [\w.\"]+), [\w.\", ]+\]")
"""A list of scalars of which there are more than two."""
OF_GRAPHS = re.compile(
    r"\b((?:batch_norm|batch_size|class_weight|early_stopping|embedding_size|width): \[[^,\]]+"
    r"|dropout: \[0\.0|optimizer: \[RMSprop)[^\]]*\]"
)
"""A list of what gives each candidate a program of its own, which is compiled for seconds."""


def shorten(grid: Path) -> None:
    """Has the fits of a grid.yaml train for an epoch of two folds, in few steps and in this process.

    It searches two values a list; of what is compiled for each of its values it searches one.
    """

    def shorter(found: re.Match[str]) -> str:
        few = re.sub(r"\bepochs: \[[^\]]+\]", "epochs: [1, 2]", THIRD.sub(r"[\1]", found[0]))
        return OF_GRAPHS.sub(r"\1]", few)

    text = SPACE.sub(shorter, grid.read_text())
    if "\nmodel:" in text and "executor:" not in text:  # else it is one that is to be filled in
        for key, number in {"epochs": 1, "folds": 2, "batch_size": 32}.items():
            text = re.sub(rf"\b{key}: \d+", f"{key}: {number}", text)
        text = text.replace("{train: digits,", "{train: digits, subset: 300,")
        text += "\nexecutor: {kind: inline}\n"
        grid.write_text(text)
        assert read_config(grid)[1] == []
