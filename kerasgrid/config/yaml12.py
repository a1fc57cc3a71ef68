"""YAML 1.2 into plain values, safely: numbers are numbers, `off` is a word, and nothing is executed.

>>> read_yaml("learning_rate: 1e-3\\naugment: off", "grid.yaml")[0]
{'learning_rate': 0.001, 'augment': 'off'}
"""

from __future__ import annotations

import math
import re
from pathlib import PurePath
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError, YAMLStreamError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from kerasgrid.errors import ConfigError, DataError, Fault
from kerasgrid.wording import instead_of

MAX_CHARACTERS = 1 << 18
MAX_VALUES = 100_000
MAX_DEPTH = 40

_TAGS = {
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "seq", "map", "merge")
}
_TEXT, _MERGE = "tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"
_OTHER_VERSION = re.compile(r"(?:[ \t]*(?:#[^\n]*)?\r?\n)*%YAML[ \t]+(?!1\.2\b)(\S+)")
NOT_TEXT = re.compile("[\0\ud800-\udfff]")
_MAX_DIGITS = 40
_PLAIN = re.compile(r"[\w./][\w./-]*")


def read_yaml(text: str, source: str) -> tuple[Any, dict[str, int]]:
    """Reads one YAML 1.2 document.

    Args:
        source: What messages call it.

    Returns:
        The value, made of dict, list, str, int, float, bool and None; and the line, from 1, of each
        key path, such as `search.folds`.

    Raises:
        ConfigError: No YAML 1.2; a duplicate key; a tag or a date; a number that is not finite; or a
            document whose aliases expand to more than 100,000 values.
    """
    if len(text) > MAX_CHARACTERS:
        found = f"has {len(text):,} characters; at most {MAX_CHARACTERS:,} hold."
        raise ConfigError([Fault("", found)], source)
    if other := _OTHER_VERSION.match(text):
        raise ConfigError([Fault("", f"asks for YAML {other[1]}; only 1.2 holds: remove that line.")], source)
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True  # the walk reports all of them, with lines
    try:
        node = yaml.compose(text)
        if node is None:
            return None, {}
        walk = _Walk(source)
        walk.visit(node, "", 0)
        if walk.faults:
            raise ConfigError(walk.faults, source)
        value = yaml.constructor.construct_document(node)
    except ConfigError:  # a ValueError, too, that tells of its own
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = None if mark is None else mark.line + 1
        problem = " ".join(str(error.problem or error.context or error).split())
        if problem.startswith("but "):  # half a sentence, which the context begins
            problem = f"{error.context}, {problem}"
        if "escape character" in problem:
            problem += ". In double quotes \\ begins an escape: write paths with /, or in single quotes"
        raise ConfigError([Fault("", f"is not YAML: {problem}.", where)], source) from error
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        found = f"holds the character U+{ord(text[error.position]):04X}, which YAML does not allow."
        raise ConfigError([Fault("", found, line)], source) from error
    except (
        *(YAMLError, YAMLStreamError),
        *(ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError),  # ruamel's own slips
    ) as error:
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ConfigError([Fault("", f"is not YAML: {first_line}.")], source) from error
    except RecursionError as error:
        raise ConfigError([Fault("", f"is nested more than {MAX_DEPTH} levels deep.")], source) from error
    faults: list[Fault] = []
    value = plain(value, "", faults)
    if faults:
        raise ConfigError([Fault(f.path, f.message, walk.lines.get(f.path)) for f in faults], source)
    return value, walk.lines


class _Walk:
    """Visits a composed document before a value is made of it: lines, duplicate keys, tags, size."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: dict[str, int] = {}
        self.faults: list[Fault] = []
        self._values = self._characters = 0

    def visit(self, node: Node, path: str, depth: int) -> None:
        self._values += 1
        self._characters += len(node.value) if isinstance(node, ScalarNode) else 0
        if self._values > MAX_VALUES or self._characters > 16 * MAX_CHARACTERS or depth > MAX_DEPTH:
            limit = f"{MAX_DEPTH} levels" if depth > MAX_DEPTH else f"{MAX_VALUES:,} values or 4 MiB"
            fault = Fault("", f"expands to more than {limit}; are aliases repeated in aliases?")
            raise ConfigError([fault], self.source)
        line = node.start_mark.line + 1
        self.lines.setdefault(path, line)
        if problem := _problem(node):
            self.faults.append(Fault(path, problem, line))
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, f"{path}[{index}]", depth + 1)
        elif isinstance(node, MappingNode):
            self._visit_mapping(node, path, depth)

    def _visit_mapping(self, node: MappingNode, path: str, depth: int) -> None:
        seen: dict[str, int] = {}
        for key, item in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode):
                self.faults.append(Fault(path, "has a key that is no plain word.", line))
                continue
            name = str(key.value)
            if str(key.tag) not in {_TEXT, _MERGE} or NOT_TEXT.search(name):
                self.faults.append(Fault(path, _key_message(name), line))
                continue
            child = f"{path}.{name}" if path else name
            if name in seen:
                self.faults.append(Fault(child, f"is given twice, first in line {seen[name]}.", line))
            seen[name] = line
            self.lines[child] = line
            self.visit(item, child, depth + 1)


def _problem(node: Node) -> str | None:
    """Returns what is wrong with a node by itself."""
    tag, text = str(node.tag), node.value if isinstance(node, ScalarNode) else ""
    is_number = tag.endswith((":int", ":float"))
    if is_number and len(text) > _MAX_DIGITS:
        return f"is a number of {len(text):,} characters; at most {_MAX_DIGITS} hold."
    if is_number and ("_" in text or text.lstrip("+-").startswith("0b")):
        return f"is {text}, a number in YAML 1.1 alone: write it in plain digits, or put it in quotes."
    if isinstance(node, ScalarNode) and not node.style:
        if tag.endswith(":timestamp"):
            return f"is {text}, a date: put it in quotes. Only plain YAML 1.2 values hold."
        if tag == _MERGE or tag.endswith(":value"):
            return f"is {text}, a sign with a meaning of its own: put it in quotes."
    if tag not in _TAGS:
        return f"has the tag {tag}. Only plain YAML 1.2 values hold."
    return None


def _key_message(key: Any) -> str:
    """Returns what to say of a key that is no text; the key may be anything."""
    if isinstance(key, str) and NOT_TEXT.search(key):
        return f"has the key {key!a}, which holds characters that are no text (a surrogate or NUL)."
    return f"has the key {key}; keys are words: put it in quotes."


def plain(value: Any, path: str, faults: list[Fault]) -> Any:
    """Returns a value as dict, list, str, int, float, bool and None; adds what cannot be to `faults`.

    Tuples become lists, paths texts, and NumPy scalars and arrays Python's numbers and lists.
    """
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        if path.partition(".")[0] == "data" and getattr(value, "ndim", None):
            faults.append(Fault(path, f"is {instead_of(value, path)}"))
            return None
        value = value.tolist()
    if isinstance(value, dict):
        result = {}
        for key, item in value.items():
            if isinstance(key, str) and not NOT_TEXT.search(key):
                result[str(key)] = plain(item, f"{path}.{key}" if path else str(key), faults)
            else:
                faults.append(Fault(path, _key_message(key)))
        return result
    if isinstance(value, list | tuple):
        return [plain(item, f"{path}[{index}]", faults) for index, item in enumerate(value)]
    if isinstance(value, str):
        if NOT_TEXT.search(value):
            faults.append(Fault(path, "holds characters that are no text (a surrogate or NUL)."))
        return str(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) >= 1 << 63:
            faults.append(Fault(path, "is a whole number beyond 64 bits."))
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            faults.append(Fault(path, f"is {value}; only finite numbers hold."))
        return float(value)
    if isinstance(value, PurePath):
        return plain(str(value), path, faults)
    faults.append(Fault(path, f"is {instead_of(value, path)}"))
    return None


def quoted(text: str) -> str:
    """Returns a text as YAML, in quotes where it would be read as something else.

    Raises:
        DataError: It holds characters that are no text.
    """
    escaped = "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in text)
    for written in (text, f'"{escaped}"'):
        if (written != text or _PLAIN.fullmatch(text)) and _read(written) == text:
            return written
    raise DataError(f"{text!r} cannot be written into a grid.yaml: rename it.")


def _read(written: str) -> object:
    try:
        return read_yaml(written, "")[0]
    except ConfigError:
        return None
