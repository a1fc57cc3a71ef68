"""What is built of this folder: a wheel with all that is read at run time, its description, and a release."""

from __future__ import annotations

import ast
import configparser
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import kerasgrid as kg
from kerasgrid.exports.notebook import _package

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kerasgrid"
NO_HIGHER = {"pydantic", "hiplot"}
"""Of which the next version is a major one, or there is none yet."""


def test_every_file_of_the_package_is_in_its_wheels():
    found = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    found = {name for name in found if "__pycache__" not in name}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    data = {f"kerasgrid/{name}" for name in setup["options.package_data"]["kerasgrid"].split()}
    assert data == {name for name in found if not name.endswith(".py")}
    assert {name for name, _ in _package()} == found


def test_environments_reach_the_ends_of_the_ranges_and_go_no_further():
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    told = "\n".join([setup["options"]["install_requires"], extras["tensorflow-cpu"], extras["jax"]])
    files = [*(ROOT / "environments").glob("*.txt"), ROOT / "constraints.txt"]
    pins = [dict(re.findall(r"^([\w.-]+)==(\S+)$", path.read_text("utf-8"), re.MULTILINE)) for path in files]
    for requirement in map(Requirement, told.split()):
        name = requirement.name.lower()
        found = [Version(one[key]) for one in pins for key in one if key == name]
        assert [str(version) for version in found if version not in requirement.specifier] == [], name
        ends = {one.operator: Version(one.version).release for one in requirement.specifier}
        lowest, highest = min(found).release, max(found).release
        assert lowest[: len(ends[">="])] == ends[">="], name
        if "<" in ends and name not in NO_HIGHER:
            *major, minor = ends["<"]
            assert highest[: len(ends["<"])] == (*major, minor - 1), name


def test_every_folder_of_the_package_is_one_that_is_found():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_checkers_of_types_see_the_public_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    shown = {
        alias.asname: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 0
        for alias in node.names
        if alias.asname == alias.name
    }
    assert shown == kg._HOMES


def test_an_index_is_told_what_readme_says_without_links_that_lead_nowhere():
    text = runpy.run_path(str(ROOT / "setup.py"))["description"]()
    targets = re.findall(r"\]\(([^)]*)\)", text)
    assert [target for target in targets if not target.startswith("https://")] == []
    assert re.findall(r"^##? .*", text, re.MULTILINE) == ["# kerasgrid", "## Install", "## The tour"]
    assert 'pip install "kerasgrid[tensorflow]"' in text
    assert "scripts/" not in text


def test_docker_copies_what_is_there_and_is_built_as_the_guide_says():
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    copied = {source for word, rest in lines if word == "COPY" for source in rest.split()[:-1]}
    assert [source for source in copied if not (ROOT / source).exists()] == []
    ignored = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    assert copied & ignored == set()
    of_git = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    rooted = {line.replace("!/", "!").strip("/") for line in of_git if "/" in line.rstrip("/")}
    assert rooted | {f"**/{line.rstrip('/')}" for line in of_git if "/" not in line.rstrip("/")} <= ignored
    arguments = dict(rest.split("=") for word, rest in lines if word == "ARG")
    guide = (ROOT / "docs/guides/install.md").read_text(encoding="utf-8")
    assert {
        *re.findall(r"--build-arg (\w+)=", guide + (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    } == {*arguments} - {"PYTHON"}
    assert f"Programming Language :: Python :: {arguments['PYTHON']}\n" in (ROOT / "setup.cfg").read_text()
    assert lines[-2:] == [["ENTRYPOINT", '["kerasgrid"]'], ["CMD", '["--help"]']]


@pytest.fixture
def release(tmp_path):
    """A repository whose tests say that they are run, and what a release of it says."""
    if shutil.which("git") is None:
        pytest.skip("a release needs git")
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "release", tmp_path / "scripts")
    (tmp_path / "scripts" / "test").write_text("#!/bin/sh\necho tests are run\nexit 7\n")
    (tmp_path / "scripts" / "test").chmod(0o755)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.2.0 (2027-01-02)\n\n## 0.1.0\n")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "A state")
    return tmp_path


def git(folder: Path, *words: str) -> None:
    who = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True)


def said_by(folder: Path, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        [folder / "scripts" / "release", *words], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_a_release_is_of_a_tag_that_the_changelog_and_the_folder_agree_with(release):
    assert said_by(release, "--publish")[0] == 2
    assert said_by(release) == (
        1,
        "No tag of a version is checked out. A release is a tag: git tag -a v0.1.0, or git checkout it.\n",
    )
    git(release, "tag", "v0.1.0")
    (release / "more.txt").touch()
    code, said = said_by(release, "--upload")
    assert (code, said.split("\n")[1]) == (1, "?? more.txt")
    assert said.startswith(
        "A release holds what v0.1.0 does, and these differ from it: commit or remove them."
    )
    (release / "more.txt").unlink()
    assert said_by(release, "--upload") == (
        1,
        "CHANGELOG.md begins with '## 0.2.0 (2027-01-02)', and v0.1.0 needs '## 0.1.0' or "
        "'## 0.1.0 (YYYY-MM-DD)': mend it, and tag anew.\n",
    )
    git(release, "tag", "-d", "v0.1.0")
    git(release, "tag", "v0.2.0")
    assert said_by(release, "--upload") == (7, "tests are run\n")
