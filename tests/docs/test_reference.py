"""The reference in docs/: what is written from the code is current, lists are whole, examples hold."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest

import kerasgrid
from kerasgrid.config.reading import check_form, config_from_dict
from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.driver.preview import Preview
from kerasgrid.models.references import BUILT_IN
from kerasgrid.run import schema as results
from kerasgrid.run.paths import RunPaths
from kerasgrid.space.dimensions import Choice
from kerasgrid.space.exclusions import Expression
from kerasgrid.space.reading import read_space

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"
PACKAGE = Path(kerasgrid.__file__).parent
OF_LIBRARIES = {"HTTPS_PROXY"}
"""Variables that are looked for by a pattern."""
NO_VARIABLE = re.compile(
    r"MOST_LOSSES|RLIMIT_|O_NOFOLLOW|O_NONBLOCK|O_BINARY|CUBLAS_STATUS|CUDNN_STATUS|CUDA_ERROR|RESOURCE_EXHAUSTED|VERBOSE_OUTPUT"
)

spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)


def page(name: str) -> str:
    return (PAGES / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def rows(text: str, heading: str) -> list[list[str]]:
    """Returns the cells of the first table below a heading."""
    table = text.partition(f"{heading}\n")[2].partition("| --- |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[1:]]


def code(text: str) -> set[str]:
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.mark.tree
@pytest.mark.parametrize("name", reference.PAGES)
def test_what_is_written_from_the_code_is_current(name):
    text = page(name)
    assert text == reference.renewed(text, reference.PAGES[name]()), (
        f"docs/reference/{name} is not current. Renew it: .venv/bin/python scripts/reference.py"
    )


def test_a_page_without_its_marks_is_not_written_over():
    with pytest.raises(ValueError, match="both marks"):
        reference.renewed("# By hand\n", "text")


def test_every_key_has_a_description_and_an_example():
    keys = list(reference.keys_of())
    assert [key.path for key in keys if "description" not in {**key.schema, **(key.section or {})}] == []
    assert [key.path for key in keys] == [*reference.EXAMPLES]


@pytest.mark.parametrize("path", reference.EXAMPLES)
def test_an_example_is_of_its_key_and_holds(path):
    raw, _ = read_yaml(reference.EXAMPLES[path], path)
    value = raw
    for part in path.split("."):
        value = (value[-1] if isinstance(value, list) else value)[part]
    config, faults = check_form({"name": "search", "model": "fc", **raw})
    assert faults == []
    read_space(config.space, config.exclude, config.params)


def test_values_are_written_as_the_table_says():
    table = rows(page("grid-yaml.md"), "## Values that are searched")
    assert len(table) > 8
    for written, told in table:
        spec, _ = read_yaml(written.strip("`"), "table")
        space, faults = read_space({"x": spec})
        assert faults == []
        dimension = space.grids[0]["x"]
        if dimension.is_endless:
            assert told.startswith("any "), written
        else:
            listed, _ = read_yaml(f"[{told.partition(';')[0]}]", "table")
            assert listed == [*dimension.values], written
        assert isinstance(dimension, Choice) == (not written.startswith("`{low"))


def test_spaces_hold():
    conditional, several = blocks(page("grid-yaml.md"), "yaml")
    sizes = []
    for text in (conditional, several):
        config, faults = config_from_dict({"model": "fc", **read_yaml(text, "page")[0]})
        space, more = read_space(config.space)
        assert faults + more == []
        sizes.append(len(space))
    assert sizes == [25, 7]


def test_conditions_can_be_read():
    table = rows(page("grid-yaml.md"), "### Candidates that are left out: `exclude`")
    assert len(table) == 5
    for condition, _ in table:
        text = condition[3:-3] if condition.startswith("`` ") else condition[1:-1]
        assert Expression(text).names


def test_overrides_hold():
    texts = [
        words[place + 1]
        for line in "\n".join(blocks(page("grid-yaml.md"), "console")).splitlines()
        for words in [shlex.split(line)]
        for place, word in enumerate(words)
        if word == "--set"
    ]
    assert len(texts) == 5
    config, faults = config_from_dict({"model": "fc"}, texts)
    assert faults == []
    assert config.search.folds == 5
    assert config.params == {"optimizer.momentum": 0.9}


def test_every_variable_of_the_environment_is_told_and_no_other():
    found = {
        name
        for file in PACKAGE.rglob("*.py")
        for name in re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', file.read_text(encoding="utf-8"))
    }
    told = {name for name in code(page("environment.md")) if re.fullmatch("[A-Z][A-Z0-9_]+", name)}
    assert told - OF_LIBRARIES == {name for name in found if not NO_VARIABLE.match(name)}


def test_every_key_of_results_is_told():
    told = {name for part in code(page("results.md")) for name in part.split(".")}
    models = results._Part.__subclasses__()
    models += [inner for model in models for inner in model.__subclasses__()]
    assert {name for model in models for name in model.model_fields} - told == set()
    assert {"arguments", "decided_on", "one_hot"} <= told


def test_the_example_of_results_holds():
    (text,) = blocks(page("results.md"), "json")
    value = json.loads(text)
    assert results.checked(value, "page") == value


def test_every_file_of_a_run_is_told():
    paths = RunPaths(Path("results"), "NAME")
    names = {name: member for name, member in vars(RunPaths).items() if not name.startswith("_")}
    found = [getattr(paths, name) for name, member in names.items() if isinstance(member, property)]
    found += [
        getattr(paths, name)(77, 88, 99)
        for name in ("history", "checkpoint", "prediction", "model", "finetuned")
    ]
    found += [paths.fitted(77, 88), paths.card(paths.best)]
    files = {file.as_posix().removeprefix("results/NAME/") for file in found if isinstance(file, Path)}
    letters = {"77": "T", "seed-88": "seed-S", "88": "F", "99": "R"}
    told = code(page("results.md"))
    for file in files - {"results/NAME"}:
        for number, letter in letters.items():
            file = file.replace(number, letter)
        assert told & {file, f"{file}/"}, file


def test_the_plan_of_check_is_told_key_by_key():
    tree = ast.parse((PACKAGE / "driver" / "preview.py").read_text(encoding="utf-8"))
    as_json = next(
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == Preview.as_json.__name__
    )
    keys = {key.value for key in as_json.body[-1].value.keys}
    table = rows(page("command-line.md"), "The plan of `check --json`:\n")
    assert keys - set().union(*(code(" ".join(row)) for row in table)) == set()


def test_the_fault_of_a_command_is_as_it_is_shown():
    from kerasgrid.cli import _as_json
    from kerasgrid.errors import ConfigError, Fault

    (text,) = blocks(page("command-line.md"), "json")
    fault = Fault("space.epochs", "is 1.5; a whole number of at least 1 holds.", 3)
    assert json.loads(text) == _as_json(ConfigError([fault], "grid.yaml"))


def test_every_public_name_is_told():
    text = page("python.md")
    assert {*re.findall(r"heading: kg\.(\w+)", text)} == {*kerasgrid.__all__}
    named = re.findall(r"^::: (\S+)", text, flags=re.MULTILINE)
    homes = {f"{home}.{name}" for name, home in kerasgrid._HOMES.items() if name != "KerasgridError"}
    assert homes <= {*named}
    for module, _, name in (place.rpartition(".") for place in named if place != "kerasgrid.errors"):
        source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert re.search(rf"^(class|def) {name}\b", source, flags=re.MULTILINE), name


def test_exit_codes_are_those_of_the_commands():
    from kerasgrid.cli import options

    codes = {row[0] for row in rows(page("exit-codes.md"), "# Exit codes\n")}
    assert codes == {"0", str(options.FAULT), "2", str(options.FAILED_TRIALS), str(options.INTERRUPTED)}
    assert codes == {*re.findall(r"\b(\d+) ", options._EXIT_CODES)}


@pytest.mark.parametrize("name", ["faq.md", "grid-yaml.md", "results.md", "environment.md"])
def test_what_is_quoted_of_a_grid_yaml_holds(name):
    sections = "|".join(key.path for key in reference.keys_of() if "." not in key.path)
    quoted = {text for text in code(page(name)) if re.match(rf"({sections}): ", text)}
    for text in quoted:
        config, faults = check_form({"name": "search", "model": "fc", **read_yaml(text, name)[0]})
        assert faults == [], text
        assert read_space(config.space)[1] == [], text


@pytest.mark.parametrize("file", sorted(PAGES.glob("*.md")), ids=lambda file: file.name)
def test_python_on_the_pages_can_be_read(file):
    for text in blocks(file.read_text(encoding="utf-8"), "python"):
        ast.parse(text)


def test_every_built_in_model_is_told():
    text = page("models.md")
    told = [
        [row[0].partition("`")[2].partition("`")[0], *row[1:]] for row in rows(text, "# Built-in models\n")
    ]
    assert told == [[name, one.summary, f"{one.n_parameters:,}"] for name, one in BUILT_IN.items()]
    named = re.findall(r"^::: (\S+)\n    options: \{heading: (\w+),", text, flags=re.MULTILINE)
    assert named == [(one.target.replace(":", "."), name) for name, one in BUILT_IN.items()]
