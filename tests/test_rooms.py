"""The rooms of the house: what each names as others', and the map of them, are what the imports say."""

from __future__ import annotations

import ast
import configparser
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "kerasgrid"
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@cache
def imports() -> set[tuple[str, str]]:
    """Each room, and what is imported as `kerasgrid.ROOM.NAME` somewhere else."""
    found = set()
    for path in {*PACKAGE.rglob("*.py")} - {PACKAGE / "__init__.py"}:  # which gives the public names
        at = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("kerasgrid."):
                _, room, *module = (node.module or "").split(".")
                if room != at:
                    found |= {(room, name) for name in module or [name.name for name in node.names]}
    return found


def used_by_others(room: str) -> set[str]:
    """The modules of a room that others import from."""
    return {name for at, name in imports() if at == room and (PACKAGE / room / f"{name}.py").exists()}


def layers() -> list[set[str]]:
    """The rooms and modules of `.importlinter`, from the top."""
    linter = configparser.ConfigParser()
    linter.read(ROOT / ".importlinter")
    lines = linter["importlinter:contract:floors"]["layers"].split("\n")
    return [set(re.split(r" *\| *", line.strip())) for line in lines if line.strip()]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_names_what_others_use_of_it_and_no_more(room):
    told = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))) or ""
    first, *_ = told.split("\n\n")
    assert first.endswith(".")
    named = re.search(r"^Other rooms use: (.*)", told, re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"`(\w+)`", named[1] if named else "")) == used_by_others(room)


def test_the_map_has_the_rooms_of_the_imports_in_their_order():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:`\w+/?`(?:, )?)+) \|", text, re.MULTILINE)
    assert [set(re.findall(r"`(\w+)/?`", row)) for row in rows] == layers()


def test_nothing_lies_at_the_root_but_the_nouns():
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert loose <= {name for floor in layers()[-6:] for name in floor}
    assert {name for floor in layers() for name in floor} == loose | set(ROOMS)
