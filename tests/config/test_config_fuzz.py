"""Seeded mutations of a valid grid.yaml: each is accepted or refused in words."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from mutations import N_MUTATIONS, mutate_bytes, mutate_tree

from kerasgrid.checks.prepared import prepare
from kerasgrid.config.reading import config_from_dict
from kerasgrid.errors import KerasgridError

VALID = """\
name: fuzzed
data:
  train: digits
  scale: 16
  subset: 400
model: fc                        # a comment with "quotes" and: colons
params:
  activation: relu
  units: [32, 16]
space:
  batch_size: [32, 64]
  epochs: {low: 1, high: 9, step: 4, type: int}
  optimizer: [RMSprop, Adam]
  learning_rate: {low: 1e-4, high: 1e-2, step: 10, log: true}
  batch_norm: [true, false]
  dropout: {low: 0.1, high: 0.5, step: 0.2}
  callbacks.early_stopping.patience: [2, 3]
augment: off
callbacks:
  reduce_lr_on_plateau: {monitor: loss, factor: 0.25, patience: 2, min_lr: 1e-5}
  early_stopping: {monitor: val_loss, restore_best_weights: true}
training: {pack: auto, precision: float32, stop_dead: false}
search:
  engine: grid
  folds: 3
  repeats: 1
  objective: accuracy
  seed: 0
executor: {kind: inline, workers: auto}
"""
PARSED = {
    "name": "fuzzed",
    "data": {"train": "digits", "scale": 16, "subset": 400},
    "model": "fc",
    "params": {"activation": "relu", "units": [32, 16]},
    "space": [
        {"batch_size": [32, 64], "epochs": {"low": 1, "high": 9, "step": 4, "type": "int"}},
        {
            "optimizer": ["SGD"],
            "optimizer.momentum": [0.0, 0.9],
            "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
            "loss": ["categorical_crossentropy"],
            "loss.label_smoothing": [0.0, 0.1],
            "callbacks.early_stopping.patience": [2, 3],
        },
    ],
    "callbacks": {"early_stopping": {"monitor": "val_loss"}, "terminate_on_nan": True},
    "training": {"pack": "auto", "precision": "float32"},
    "search": {"engine": "random", "trials": 5, "holdout": 0.2, "objective": "f1_macro", "seed": 0},
    "executor": {"kind": "processes", "workers": 2},
}
JUNK = [
    *(None, [], {}, -1, 0, 1, 2**31, 2**63, 10**30, 1e308, -1e-308, 0.5, True, False, ""),
    *("x" * 1000, "off", "digits", "int", "<path>", "a.b.c", "\x07", "é\u2028", "[", "{}", "../..", "/", "~"),
    *([None], [[]], [{}], {"": {}}, {"int": 3}, {"low": 1}, {"low": 0, "high": 1e308, "step": 1e-308}),
    *({"low": 1, "high": 1e300, "step": 1.0000001, "log": True, "type": "float"}, {"values": [1], "when": 3}),
    *([[[[[[1]]]]]], {"a": {"b": {"c": [1, {"d": None}]}}}, [1, 1.0, "1"], list(range(200))),
]
WORDS = ["", "int", "str", "x", "space", "name", "low", "épochs", "a b", "optimizer.", "callbacks.x.y", "."]
SNIPPETS = [
    *(
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\t",
        b"\r",
        b": ",
        b"- ",
        b"&a ",
        b"*a",
        b"!!str ",
        b"%YAML 1.3\n",
    ),
    *(
        b"%YAML 1.3\n",
        b"---\n",
        b"...\n",
        b"<<: *a\n",
        b"? ",
        b"'",
        b'"',
        b"|\n",
        b"{",
        b"]",
        b"#",
        b"\n\n",
        b"1e999",
        b"0x",
    ),
    *(b"2001-01-01", b".nan", b"~", b"=", b"@", b"\xe2\x80\xa8", b"\xef\xbb\xbf"),
]


def outcomes(folder: Path) -> dict[str, int]:
    """Checks all mutations; counts what came of them, with tracebacks under `bugs`."""
    counts = {"accepted": 0, "refused": 0, "bugs": 0}
    for seed in range(N_MUTATIONS):
        chance = random.Random(seed)
        path = folder / "grid.yaml"
        source = path
        if seed % 2:
            path.write_bytes(mutate_bytes(VALID.encode(), chance, SNIPPETS))
        else:
            mutated = mutate_tree(PARSED, chance, JUNK, WORDS)
            # JSON is YAML, but for what JSON alone escapes; the tree itself is what Python passes.
            path.write_text(json.dumps(mutated, ensure_ascii=False), encoding="utf-8")
            source = mutated if seed % 4 else path
        try:
            prepare(source, ask=None)
            counts["accepted"] += 1
        except KerasgridError as error:
            str(error).encode("utf-8")  # can be printed
            counts["refused"] += bool(str(error))
        except Exception:
            counts["bugs"] += 1
            print(f"seed {seed}:", file=sys.stderr)
            traceback.print_exc(limit=-6)
    return counts


def test_the_unmutated_files_are_accepted(tmp_path):
    (tmp_path / "grid.yaml").write_text(VALID)
    assert prepare(tmp_path / "grid.yaml").space.size == 2 * 3 * 2 * 3 * 2 * 3 * 2
    assert config_from_dict(PARSED)[1] == []
    assert prepare(PARSED).objective.name == "f1_macro"


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_mutation_is_accepted_or_refused_in_words_without_tensorflow(tmp_path, own_cache):
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[1:3];"
        "import test_config_fuzz as fuzz;"
        "print(fuzz.outcomes(Path(sys.argv[3])));"
        "assert not {'tensorflow', 'keras', 'jax'} & set(sys.modules), 'a backend was imported'"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, Path(__file__).parents[:2]), str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "KERASGRID_CACHE": str(own_cache)},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts = eval(done.stdout)
    assert counts["bugs"] == 0, done.stderr[-6000:]
    assert counts["accepted"] > N_MUTATIONS // 20
    assert counts["refused"] > N_MUTATIONS // 4
    assert counts["accepted"] + counts["refused"] == N_MUTATIONS
