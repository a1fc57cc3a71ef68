"""What the docstring of a public name tells of in a section Args is among its arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import kerasgrid

ROOT = Path(kerasgrid.__file__).parent
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
TEXT = '''
class {name}:
    """What is counted.

    Args:
        start: The first.
    """

    def __init__(self, start): ...

    def {method}(self, n, *more, key=None):
        """Counts.

        Args:
            n: How far: to the last one.
                Args of a line within.
            key: What counts.
            most: At most.

        Returns:
            other: Not an argument.
        """
'''


def is_public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def documented(node: ast.ClassDef | FUNCTION) -> set[str] | None:
    lines = (ast.get_docstring(node) or "").splitlines()
    if "Args:" not in lines:
        return None
    found = set()
    for line in lines[lines.index("Args:") + 1 :]:
        if line and not line.startswith(" "):
            break
        if entry := re.match(r" {4}\*{0,2}(\w+)(?: \(.*?\))?:", line):
            found.add(entry[1])
    return found


def arguments(function: FUNCTION) -> set[str]:
    of = function.args
    several = [one for one in (of.vararg, of.kwarg) if one is not None]
    names = [one.arg for one in (*of.posonlyargs, *of.args, *of.kwonlyargs, *several)]
    return {name for name in names if name not in ("self", "cls")}


def fields(node: ast.ClassDef) -> set[str]:
    return {line.target.id for line in node.body if isinstance(line, ast.AnnAssign)}


def faults(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    for node in body:
        if not isinstance(node, ast.ClassDef | FUNCTION) or not is_public(node.name):
            continue
        if isinstance(node, ast.ClassDef):
            yield from faults(node.body, f"{prefix}{node.name}.")
            makers = [one for one in node.body if isinstance(one, FUNCTION) and one.name == "__init__"]
            taken = arguments(makers[0]) if makers else fields(node)
        else:
            taken = arguments(node)
        named = documented(node)
        if named is not None:
            yield from (f"{prefix}{node.name} tells of {name}" for name in sorted(named - taken))


def test_a_section_of_arguments_tells_of_no_others():
    found = [
        f"{path.relative_to(ROOT)}: {fault}"
        for path in sorted(ROOT.rglob("*.py"))
        for fault in faults(ast.parse(path.read_text(encoding="utf-8")).body)
    ]
    assert found == []


def test_an_argument_that_is_there_no_more_is_told_of_public_names_alone():
    count = ["Counter.count tells of most"]
    assert list(faults(ast.parse(TEXT.format(name="Counter", method="count")).body)) == count
    assert list(faults(ast.parse(TEXT.format(name="Counter", method="_count")).body)) == []
    assert list(faults(ast.parse(TEXT.format(name="_Counter", method="count")).body)) == []
