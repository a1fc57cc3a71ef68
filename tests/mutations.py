"""Mutations of damaged input, each by its seed, from 0 on: fewer are a part of more."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

N_MUTATIONS = int(os.environ.get("KERASGRID_TEST_MUTATIONS", "60"))
DEEP, NAN, HALF = "@deep@", "@nan@", "@half@"
"""Stand for what a JSON writer does not write: 100,000 lists within each other, NaN, half of a letter."""
WRONG = [
    *(None, [], {}, -1, 0, 1, 2**31, 2**63, 10**18, 10**400, 1e308, -1e-308, 0.5, True, False, ""),
    *("x" * 1000, "digits", "a.b.c", "\x07\x1b[31m", "é\u2028", "../../..", "/dev/zero", "\0", "1", "nan"),
    *([None], [[]], [{}], {"": {}}, {"a": {"b": {"c": [1, {"d": None}]}}}, [1, 1.0, "1"], list(range(200))),
    *(DEEP, NAN, HALF),
]
_SNIPPETS = [b"\x00", b"\xff", b"\xed\xa0\x80", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\n", b"null"]
_SNIPPETS += [
    b"1e999",
    b"NaN",
    b"-Infinity",
    b"true",
    b'"\\ud800"',
    b"9" * 5000,
    b"\xef\xbb\xbf",
    b"{}",
    b"[]",
]


@contextmanager
def of_seed(seed: int) -> Iterator[None]:
    """Lets a failure name the seed of its mutation."""
    try:
        yield
    except Exception as error:
        error.add_note(f"of the mutation with seed {seed}")
        raise


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Returns (container, key) of every node below the root."""
    children = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [place for key, child in children for place in [(tree, key), *places(child)]]


def any_place(tree: Any, chance: random.Random) -> tuple[Any, Any]:
    """Returns (container, key) of a node, each as likely as any other."""
    return chance.choice(places(tree) or [({}, "x")])


def any_branch(tree: Any, chance: random.Random) -> tuple[Any, Any]:
    """Returns (container, key) of a node: each key of an object is as likely, however much is below it."""
    container, key = {}, "x"
    while isinstance(tree, dict | list) and tree and (container == {} or chance.random() < 0.8):
        container = tree
        key = chance.choice(list(tree)) if isinstance(tree, dict) else chance.randrange(len(tree))
        tree = container[key]
    return container, key


def mutate_tree(
    tree: Any, chance: random.Random, junk: Sequence[Any], words: Sequence[str], pick: Callable = any_place
) -> Any:
    """Returns a JSON value of which some keys are renamed, gone or twice, and some values others."""
    tree = json.loads(json.dumps(tree))
    for _ in range(chance.choice([1, 1, 2, 3])):
        container, key = pick(tree, chance)
        kind = chance.randrange(5)
        if kind == 0 and isinstance(container, dict):
            name = str(key)
            renamed = chance.choice([chance.choice(words), name[::-1], name + "s", name[:-1]])
            container[renamed] = container.pop(key)
        elif kind == 1:
            container[key] = [container[key], chance.choice(junk)]
        elif kind == 2:
            donor, place = chance.choice(places(tree))
            container[key] = json.loads(json.dumps(donor[place]))
        elif kind == 3 and (isinstance(container, list) or chance.random() < 0.5):
            del container[key]
        else:
            container[key] = json.loads(json.dumps(chance.choice(junk)))
    return tree


def mutate_bytes(data: bytes, chance: random.Random, snippets: Sequence[bytes] = _SNIPPETS) -> bytes:
    """Returns bytes of which some are flipped, gone, twice or others."""
    for _ in range(chance.choice([1, 1, 2, 4, 8])):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice([1, 1, 2, 5, 30]))
        kind = chance.randrange(6)
        if kind == 0 and start < len(data):
            data = data[:start] + bytes([data[start] ^ (1 << chance.randrange(7))]) + data[start + 1 :]
        elif kind == 1:
            data = data[:start] + data[end:]
        elif kind == 2:
            data = data[:start] + bytes([chance.choice([*data[:99], chance.randrange(256)])]) + data[start:]
        elif kind == 3:
            data = data[:start] + data[start:end] + data[start:]
        elif kind == 4 and chance.random() < 0.3:
            data = data[:start]
        else:
            data = data[:start] + chance.choice(snippets) + data[start:]
    return data


def mutate_json(text: bytes, seed: int) -> bytes:
    """Returns a JSON text that is damaged in its structure, by even seeds, or in its bytes."""
    chance = random.Random(seed)
    if seed % 3 == 2:
        return mutate_bytes(text, chance)
    words = ["", "id", "fold", "epochs", "__proto__", "a b"]
    tree = mutate_tree(json.loads(text), chance, WRONG, words, any_branch)
    told = json.dumps(tree, ensure_ascii=chance.random() < 0.5)
    if seed % 31 == 0:  # a key twice
        told = told.replace("{", '{"id": "twice", "params": 3, ', 1)
    said = {DEEP: "[" * 100_000 + "]" * 100_000, NAN: "NaN", HALF: '"\\ud800"'}
    for word, meant in said.items():
        told = told.replace(f'"{word}"', meant)
    return told.encode("utf-8", "surrogatepass")
