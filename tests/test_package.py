"""What is built of this folder: a wheel with all that is read at run time, and its description."""

from __future__ import annotations

import ast
import configparser
import re
import runpy
from pathlib import Path

import kerasgrid as kg
from kerasgrid.exports.notebook import _package

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kerasgrid"


def test_every_file_of_the_package_is_in_its_wheels():
    found = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    found = {name for name in found if "__pycache__" not in name}
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    data = {f"kerasgrid/{name}" for name in setup["options.package_data"]["kerasgrid"].split()}
    assert data == {name for name in found if not name.endswith(".py")}
    assert {name for name, _ in _package()} == found


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
    assert "pip install 'kerasgrid[tensorflow]'" in text
    assert "scripts/" not in text
