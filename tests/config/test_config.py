"""The form of a grid.yaml: keys, types, bounds, overrides, and the schema for editors."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from kerasgrid.checks.draft import read_draft
from kerasgrid.checks.prepared import prepare
from kerasgrid.config.reading import config_from_dict, read_config
from kerasgrid.config.sections import Folds, json_schema
from kerasgrid.config.validation import shown
from kerasgrid.config.yaml12 import read_yaml
from kerasgrid.errors import ConfigError, speaking_of_flags

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
TOP = (
    "augment, autokeras, callbacks, data, exclude, executor, model, name, params, search, space, stages, "
    "training"
)

# The interface's example, whole.
EXAMPLE = """\
name: kannada-fc
data:
  train: data/train.csv
  test: data/test.csv
  label: label
  id: id
  sample_submission: data/sample_submission.csv
  image: [28, 28, 1]
  scale: 255
  subset: 2000
model: fc
params:
  activation: relu
space:
  batch_size: [1024, 2048]
  epochs: [15, 30]
  optimizer: [RMSprop, Adam]
  learning_rate: [0.001, 0.002, 0.01]
  batch_norm: [true, false]
  dropout: [0.2, 0.4]
augment: {rotation_range: 10, width_shift_range: 0.25}
callbacks:
  reduce_lr_on_plateau: {monitor: loss, factor: 0.25, patience: 2, min_lr: 0.00001}
  early_stopping: {monitor: val_loss, patience: 5, restore_best_weights: true}
training: {pack: auto, precision: float32, stop_dead: false}
search:
  engine: grid
  folds: 3
  repeats: 1
  objective: accuracy
  seed: 0
  trials: 100
  time: 2h
  keep_models: none
executor: {kind: processes, workers: auto}
"""


def read(tmp_path, text, *overrides):
    path = tmp_path / "grid.yaml"
    path.write_text(text, encoding="utf-8")
    return read_config(path, overrides)


def faults_of_text(tmp_path, text, *overrides):
    return [f"{fault.path}: {fault.message}" for fault in read(tmp_path, text, *overrides)[1]]


def test_the_interface_example_has_the_right_form(tmp_path):
    config, faults, lines = read(tmp_path, EXAMPLE)
    assert faults == []
    assert config.search.folds == 3
    assert config.callbacks.reduce_lr_on_plateau.min_lr == 1e-5
    assert config.augment.model_dump(exclude_unset=True) == {"rotation_range": 10, "width_shift_range": 0.25}
    assert config.search.time == "2h"
    assert lines["space.dropout"] == 20


def test_defaults():
    config, faults = config_from_dict({"model": "fc"})
    assert faults == []
    assert (config.name, config.search.how, config.search.seed, config.search.engine) == (
        "search",
        Folds(),
        0,
        "grid",
    )
    assert (config.data.label, config.data.scale, config.executor.workers) == ("label", None, "auto")
    assert (config.augment, config.params, config.space) == (None, {}, {})


def test_the_name_is_the_files_stem(tmp_path):
    (tmp_path / "kannada.v2.yaml").write_text("model: fc")
    assert read_config(tmp_path / "kannada.v2.yaml")[0].name == "kannada.v2"


def test_a_file_name_with_bytes_that_are_no_text_still_gives_a_name(tmp_path):
    path = tmp_path / "gr\udcffn.yaml"
    path.write_text("model: fc")
    assert read_config(path)[0].name == "gr_n"


@pytest.mark.parametrize("empty", ["", " {}", " null"])
@pytest.mark.parametrize(
    "section", ["data", "params", "space", "callbacks", "training", "search", "executor"]
)
def test_a_section_with_nothing_below_it_is_at_its_defaults(tmp_path, section, empty):
    config, faults, _ = read(tmp_path, f"model: fc\n{section}:{empty}\n")
    assert faults == []
    assert config == config_from_dict({"model": "fc", "name": "grid"})[0]


@pytest.mark.parametrize("value", ["off", "false", "null"])
def test_augment_switched_off(tmp_path, value):
    config, faults, _ = read(tmp_path, f"model: fc\naugment: {value}")
    assert (config.augment, faults) == (None, [])


@pytest.mark.parametrize(
    ("value", "is_on"), [("true", True), ("null", True), ("{}", True), ("false", False), ("off", False)]
)
def test_terminate_on_nan_is_a_switch(tmp_path, value, is_on):
    config, faults, _ = read(tmp_path, f"model: fc\ncallbacks: {{terminate_on_nan: {value}}}")
    assert faults == []
    assert (config.callbacks.terminate_on_nan is not None) is is_on


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # unknown keys, with a guess
        ("serach: {}", f"serach: unknown key. Did you mean 'search'? Known: {TOP}."),
        ("int: 3", f"int: unknown key. Known: {TOP}."),
        ("'<way>': 3", f"<way>: unknown key. Known: {TOP}."),
        (
            "search: {fold: 3}",
            "search.fold: unknown key. Did you mean 'folds'? Known: engine, epochs, factor, folds, "
            "holdout, keep_models, min_epochs, objective, proposals, repeats, scores, seed, thresholds, "
            "time, trials, val, weighted_scores.",
        ),
        (
            "data: {train: {images: a, labels: b, lables: c}}",
            "data.train.lables: unknown key. Did you mean 'labels'? Known: images, labels.",
        ),
        (
            "callbacks: {early_stoping: {}}",
            "callbacks.early_stoping: unknown key. Did you mean 'early_stopping'? Known: early_stopping, "
            "learning_rate_scheduler, reduce_lr_on_plateau, terminate_on_nan.",
        ),
        (
            "callbacks: {early_stopping: {monitr: loss}}",
            "callbacks.early_stopping.monitr: unknown key. Did you mean 'monitor'? Known: baseline, "
            "min_delta, mode, monitor, patience, restore_best_weights, start_from_epoch.",
        ),
        # missing keys
        (
            "data: {train: {images: a}}",
            "data.train.labels: is missing. The file of labels, such as train-labels-idx1-ubyte.gz or "
            "labels.npy.",
        ),
        # wrong types
        ("search: {folds: three}", "search.folds: is 'three'; a whole number holds."),
        ("search: {folds: 3.0}", "search.folds: is 3.0; a whole number holds."),
        ("search: {folds: true}", "search.folds: is true; a whole number holds."),
        ("search: {seed: null}", "search.seed: is null; a whole number holds."),
        ("search: {engine: 3}", "search.engine: is 3; text holds: put it in quotes."),
        ("name: 2024", "name: is 2024; text holds: put it in quotes."),
        ("name: [a]", "name: is ['a']; text holds."),
        ("data: {label: 0.5}", "data.label: is 0.5; text holds: put it in quotes."),
        ("data: {scale: '255'}", "data.scale: is '255'; a number holds."),
        ("data: {standardize: yes}", "data.standardize: is 'yes'; true or false holds."),
        ("data: {train: [a.csv]}", "data.train: is ['a.csv']; text holds."),
        ("data: {image: 28}", "data.image: is 28; a list holds."),
        ("search: 3", "search: is 3; a mapping such as {folds: 3} holds."),
        ("search: []", "search: is []; a mapping holds."),
        ("space: 3", "space: is 3; a mapping or a list holds."),
        ("space: [{}, 3]", "space[1]: is 3; a mapping holds."),
        ("params: [1]", "params: is [1]; a mapping holds."),
        ("augment: true", "augment: is true; a mapping such as {rotation_range: 10} holds."),
        ("callbacks: {early_stopping: 3}", "callbacks.early_stopping: is 3; a mapping holds."),
        (
            "callbacks: {mine.py:Watch: 3}",
            "callbacks.mine.py:Watch: is 3; a mapping of the callback's arguments holds.",
        ),
        (
            "callbacks: {watch: {}}",
            "callbacks.watch: unknown key. Known: early_stopping, learning_rate_scheduler, "
            "reduce_lr_on_plateau, "
            "terminate_on_nan. A callback of your own is given as path/to/file.py:Class or "
            "package.module:Class.",
        ),
        ("callbacks: {terminate_on_nan: 3}", "callbacks.terminate_on_nan: is 3; a mapping holds."),
        ("executor: {workers: many}", "executor.workers: is 'many'; a whole number or 'auto' holds."),
        ("training: {pack: many}", "training.pack: is 'many'; a whole number or 'auto' or 'off' holds."),
        (
            "executor: {kind: procesess}",
            "executor.kind: is 'procesess'; 'inline', 'processes' or 'ray' holds. Did you mean 'processes'?",
        ),
        ("params: " + "x" * 1000, f"params: is '{'x' * 56}...; a mapping holds."),
        # bounds
        ("search: {folds: 1}", "search.folds: is 1; at least 2 holds."),
        ("search: {folds: 1001}", "search.folds: is 1001; at most 1000 holds."),
        ("search: {holdout: 1.0}", "search.holdout: is 1.0; below 1 or 'test' holds."),
        ("search: {holdout: 0}", "search.holdout: is 0; above 0 or 'test' holds."),
        ("search: {seed: -1}", "search.seed: is -1; at least 0 holds."),
        ("search: {seed: 4294967296}", "search.seed: is 4294967296; below 4294967296 holds."),
        ("search: {objective: ''}", "search.objective: is ''; at least 1 character holds."),
        (
            "search: {folds: 3, holdout: 0.2}",
            "search.holdout: does not go with folds, which is given too: keep one of them.",
        ),
        (
            "executor: {kind: inline, workers: 4}",
            "executor.workers: is 4, and inline has one worker: leave it out, or take kind: processes.",
        ),
        (
            "executor: {kind: ray, address: loca}",
            "executor.address: is 'loca'; 'auto', 'local', ray://HOST:10001 or HOST:6379 holds. "
            "Did you mean 'local'?",
        ),
        (
            "executor: {kind: ray, address: ray://head}",
            "executor.address: is 'ray://head'; 'auto', 'local', ray://HOST:10001 or HOST:6379 holds.",
        ),
        (
            "executor: {address: head:6379}",
            "executor.address: is 'head:6379', and clusters are Ray's: leave it out, or take kind: ray.",
        ),
        (
            "executor: {gpus_per_worker: 2}",
            "executor.gpus_per_worker: is 2, and a worker trains on one GPU: at most 1 or 'auto' holds.",
        ),
        (
            "executor: {gpus_per_worker: 0}",
            "executor.gpus_per_worker: is 0; above 0 or 'auto' holds.",
        ),
        (
            "executor: {gpus_per_worker: half}",
            "executor.gpus_per_worker: is 'half'; a number or 'auto' holds.",
        ),
        (
            "executor: {kind: inline, gpus_per_worker: 0.5}",
            "executor.gpus_per_worker: is 0.5, and inline has no workers: leave it out, or take kind: "
            "processes.",
        ),
        ("data: {scale: 0}", "data.scale: is 0; above 0 holds."),
        ("data: {image: [28, 28]}", "data.image: is [28, 28]; at least 3 items hold."),
        ("data: {image: [28, 28, 0]}", "data.image[2]: is 0; at least 1 holds."),
        ("data: {subset: 1}", "data.subset: is 1; at least 2 holds."),
        ("executor: {workers: 0}", "executor.workers: is 0; at least 1 or 'auto' holds."),
        (
            "callbacks: {reduce_lr_on_plateau: {factor: 1}}",
            "callbacks.reduce_lr_on_plateau.factor: is 1; below 1 holds.",
        ),
        (
            "name: " + "数" * 67,
            f"name: is '{'数' * 56}...; a file name of up to 200 bytes of UTF-8 without / \\ : * ? \" < > | "
            "holds.",
        ),
        (
            "name: a/b",
            "name: is 'a/b'; a file name of up to 200 bytes of UTF-8 without / \\ : * ? \" < > | holds.",
        ),
        (
            "name: ''",
            "name: is ''; a file name of up to 200 bytes of UTF-8 without / \\ : * ? \" < > | holds.",
        ),
        (
            "name: ..",
            "name: is '..'; a file name of up to 200 bytes of UTF-8 without / \\ : * ? \" < > | holds.",
        ),
        ("stages: []", "stages: is []; at least 1 item holds."),
        (
            "stages: [{trainable: last 0, epochs: 1}]",
            "stages[0].trainable: is 'last 0'; head, all, last N from 1, or the name of a layer holds.",
        ),
        (
            "stages: [{trainable: all, epochs: 3, callback: anew}]",
            "stages[0].callback: unknown key. Did you mean 'callbacks'? Known: callbacks, epochs, "
            "learning_rate, trainable.",
        ),
        (
            "stages: [{trainable: head, epochs: 1, callbacks: continue}]",
            "stages: begin with callbacks: continue, and no stage is before: leave it out in the first.",
        ),
    ],
)
def test_faults_of_form(tmp_path, text, message):
    assert faults_of_text(tmp_path, f"model: fc\n{text}") == [message]


def test_a_missing_model_is_told_with_what_it_may_be(tmp_path):
    assert faults_of_text(tmp_path, "data: {train: digits}") == [
        "model: is missing. A built-in name, path/to/file.py:function or package.module:function."
    ]


def test_a_faulty_key_is_left_at_its_default_and_the_others_are_read(tmp_path):
    text = """\
model: 3
data: {train: {images: a}, label: y, image: [1, 1, 0], odd: 1}
search: {seed: x, folds: 5, trails: 3}
params: {a: 1}
callbacks: {early_stopping: {patience: -1, mode: min}}
executor: {kind: inline, workers: many}
odd: 1
"""
    config, faults, _ = read(tmp_path, text)
    assert [fault.path for fault in faults] == [
        "data.train.labels",
        "data.image[2]",
        "data.odd",
        "model",
        "callbacks.early_stopping.patience",
        "search.seed",
        "search.trails",
        "executor.workers",
        "odd",
    ]
    assert config.model_dump(exclude_unset=True) == {
        "name": "grid",
        "model": "",
        "data": {"label": "y"},
        "search": {"folds": 5},
        "params": {"a": 1},
        "callbacks": {"early_stopping": {"mode": "min"}},
        "executor": {"kind": "inline"},
    }


@pytest.mark.parametrize("name", ["a" * 200, "数" * 66 + "ab"])
def test_a_name_may_have_200_bytes(tmp_path, name):
    assert faults_of_text(tmp_path, f"model: fc\nname: {name}") == []


def test_inline_has_one_worker(tmp_path):
    assert faults_of_text(tmp_path, "model: fc\nexecutor: {kind: inline, workers: 1}") == []
    assert faults_of_text(tmp_path, "model: fc\nexecutor: {kind: inline, workers: auto}") == []
    assert faults_of_text(tmp_path, "model: fc\nexecutor: {workers: 3}", "executor.kind=inline") != []


@pytest.mark.parametrize(
    "executor",
    [
        "{kind: inline, address: auto, gpus_per_worker: auto}",
        "{kind: processes, gpus_per_worker: 0.25}",
        "{kind: ray, gpus_per_worker: 1}",
        "{kind: ray, address: local}",
        "{kind: ray, address: 'ray://head.example-1.org:10001'}",
        "{kind: ray, address: '10.0.0.7:6379'}",
        "{kind: ray, address: 'ray://[fe80::1]:10001'}",
    ],
)
def test_what_an_executor_may_be_told(tmp_path, executor):
    assert faults_of_text(tmp_path, f"model: fc\nexecutor: {executor}") == []


def test_a_config_is_frozen():
    config, _ = config_from_dict({"model": "fc"})
    with pytest.raises(ValidationError, match="frozen"):
        config.search.seed = 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "grid.yaml: there is no such file."),
        (b"", "grid.yaml: is empty; a mapping with data, model and space holds."),
        (b"# only a comment\n", "grid.yaml: is empty; a mapping with data, model and space holds."),
        (b"- a\n", "grid.yaml: holds a list; a mapping with data, model and space holds."),
        (b"fc", "grid.yaml: holds a str; a mapping with data, model and space holds."),
        (b"model: fc\nname: \xff\n", "grid.yaml:2: is not UTF-8 text."),
    ],
)
def test_a_file_that_is_no_config(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("grid.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(Path("grid.yaml"))
    assert str(caught.value) == message


def test_a_folder_and_a_path_that_none_can_be(tmp_path):
    with pytest.raises(ConfigError, match=r"is a folder, and a grid\.yaml is needed"):
        read_config(tmp_path)
    with pytest.raises(ConfigError, match=r"is no path: .*embedded null"):
        read_config(Path("a\0b"))


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path):
    (tmp_path / "grid.yaml").write_bytes(b"\xef\xbb\xbfmodel: fc\r\nsearch:\r\n  seed: 3\r\n")
    config, faults, _ = read_config(tmp_path / "grid.yaml")
    assert (config.search.seed, faults) == (3, [])


@pytest.mark.parametrize(
    ("overrides", "section", "value"),
    [
        (["search.seed=7"], "search", {"seed": 7}),
        (["search.seed=7", "search.seed=8"], "search", {"seed": 8}),
        ([" search.seed = 7 "], "search", {"seed": 7}),
        (["search={folds: 5}", "search.seed=1"], "search", {"folds": 5, "seed": 1}),
        (["space.optimizer.momentum=[0.0, 0.9]"], "space", {"optimizer.momentum": [0.0, 0.9]}),
        (["params.loss.label_smoothing=0.1"], "params", {"loss.label_smoothing": 0.1}),
        (
            ["space.learning_rate={low: 1e-4, high: 1e-2, log: true}"],
            "space",
            {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
        ),
        (["callbacks.early_stopping.patience=3"], "callbacks", {"early_stopping": {"patience": 3}}),
        (["callbacks.my/own.py:Watch.limit=3"], "callbacks", {"my/own.py:Watch": {"limit": 3}}),
        (["callbacks.own.py:Watch={}"], "callbacks", {"own.py:Watch": {}}),
        (["callbacks.early_stopping=on"], "callbacks", {"early_stopping": {}}),
        (["callbacks.early_stopping=off"], "callbacks", {}),
        (["augment=off"], "augment", None),
        (["augment.rotation_range=10"], "augment", {"rotation_range": 10}),
        (["model=nets.py:a=b"], "model", "nets.py:a=b"),
        (["name=other"], "name", "other"),
    ],
)
def test_overrides(tmp_path, overrides, section, value):
    config, faults, _ = read(tmp_path, "model: fc\nspace:\n", *overrides)
    assert faults == []
    found = config.model_dump(exclude_unset=True)[section]
    assert found == value


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.seed", "--set: 'search.seed' is no key.path=value, such as search.seed=1."),
        ("=1", "--set: '=1' is no key.path=value, such as search.seed=1."),
        ("search..seed=1", "--set: 'search..seed=1' is no key.path=value, such as search.seed=1."),
        ("space.=[1]", "--set: 'space.=[1]' is no key.path=value, such as search.seed=1."),
        ("\ud800=1", "--set: '\\ud800=1' is no key.path=value, such as search.seed=1."),
        ("model.x=1", "--set, model.x: model is no mapping, so that it has no such key: give it as a whole."),
        ("search={folds: 4", "--set search:1: is not YAML: expected ',' or '}', but got '<stream end>'."),
        ("search.seed=!x 3", "--set search.seed:1: has the tag !x. Only plain YAML 1.2 values hold."),
    ],
)
def test_overrides_that_are_none(tmp_path, override, message):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "model: fc", override)
    with speaking_of_flags():
        assert str(caught.value) == message


def test_a_fault_in_an_override_is_not_laid_to_a_line_of_the_file(tmp_path):
    _, faults, lines = read(tmp_path, "model: fc\nsearch: {seed: 1, folds: 3}", "search.seed=x")
    assert [fault.path for fault in faults] == ["search.seed"]
    assert "search.seed" not in lines
    assert lines["search.folds"] == 2


def test_a_dict_with_what_is_no_yaml_is_refused():
    with pytest.raises(ConfigError) as caught:
        config_from_dict({"model": "fc", "params": {"x": object(), 3: 4}})
    assert str(caught.value) == (
        "config, params.x: is an object; a number, text, list or mapping holds.\n"
        "config, params: has the key 3; keys are words: put it in quotes."
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ("a", "'a'"), (0.5, "0.5"), ("x" * 99, f"'{'x' * 56}...")],
)
def test_values_are_shown_as_yaml_has_them(value, text):
    assert shown(value) == text


# The JSON Schema


def complaint(value, schema, root, path="") -> str | None:
    """Returns where a value breaks a schema, of the keywords that ours uses; None where it does not."""
    if "$ref" in schema:
        return complaint(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root, path)
    for keyword in ("anyOf", "oneOf"):
        if keyword in schema and all(complaint(value, arm, root, path) for arm in schema[keyword]):
            return f"{path}: {value!r} is none of {schema[keyword]}"
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    kind = schema.get("type")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in kinds and not isinstance(value, kinds[kind]):
        return f"{path}: {value!r} is no {kind}"
    if kind in ("integer", "number") and not (is_number and (kind == "number" or isinstance(value, int))):
        return f"{path}: {value!r} is no {kind}"
    if ("enum" in schema and value not in schema["enum"]) or ("const" in schema and value != schema["const"]):
        return f"{path}: {value!r} is not {schema.get('enum', schema.get('const'))}"
    bounds = {
        "minimum": "__ge__",
        "maximum": "__le__",
        "exclusiveMinimum": "__gt__",
        "exclusiveMaximum": "__lt__",
    }
    for keyword, compare in bounds.items():
        if is_number and keyword in schema and not getattr(float(value), compare)(float(schema[keyword])):
            return f"{path}: {value!r} breaks {keyword}"
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            return f"{path}: {len(value)} items"
        inner = [
            complaint(item, schema.get("items", {}), root, f"{path}[{i}]") for i, item in enumerate(value)
        ]
        return next(filter(None, inner), None)
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        if missing := [key for key in schema.get("required", []) if key not in value]:
            return f"{path}: lacks {missing}"
        if schema.get("additionalProperties", True) is False and not value.keys() <= properties.keys():
            return f"{path}: unknown {sorted(value.keys() - properties.keys())}"
        inner = [
            complaint(item, properties.get(key, {}), root, f"{path}.{key}") for key, item in value.items()
        ]
        return next(filter(None, inner), None)
    return None


@pytest.fixture(scope="module")
def schema():
    return json_schema()


@pytest.mark.tree
def test_the_published_schema_is_current(schema):
    text = (files("kerasgrid") / "grid.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == schema, (
        "kerasgrid/grid.schema.json is not that of kerasgrid.config.sections. Renew it: "
        "kerasgrid schema > kerasgrid/grid.schema.json"
    )


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_experiments_fit_the_schema_and_the_form(schema, path):
    value, _ = read_yaml(path.read_text(encoding="utf-8"), path.name)
    assert complaint(value, schema, schema) is None
    assert config_from_dict(value)[1] == []


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE,
        "model: fc",
        "search: {engine: autokeras}",
        "model: fc\naugment: off\ncallbacks: {terminate_on_nan: true}",
        "model: fc\ndata: {train: {images: a, labels: b}}\nspace: [{a: [1]}, {b: [2]}]\ntraining: {pack: 4}",
    ],
)
def test_what_the_form_accepts_fits_the_schema(schema, text):
    value, _ = read_yaml(text, "grid.yaml")
    assert complaint(value, schema, schema) is None
    assert config_from_dict(value)[1] == []


@pytest.mark.parametrize(
    "text",
    [
        "data: {train: digits}",
        "search: {engine: grid}",
        "model: fc\nserach: 3",
        "model: fc\nsearch: {folds: 1}",
        "model: fc\nsearch: {folds: three}",
        "model: fc\ndata: {image: [1, 2]}",
        "model: fc\ntraining: {pack: many}",
        "model: fc\naugment: true",
        "model: 3",
    ],
)
def test_what_the_form_refuses_breaks_the_schema(schema, text):
    value, _ = read_yaml(text, "grid.yaml")
    assert complaint(value, schema, schema) is not None
    assert config_from_dict(value)[1] != []


def test_every_setting_is_described_in_the_schema(schema):
    own = {"EarlyStopping", "ReduceLROnPlateau", "Callbacks"}  # Keras's, described by their names
    sections = {"Config": schema, **{name: part for name, part in schema["$defs"].items() if name not in own}}
    plain_names = [
        f"{name}.{key}"
        for name, part in sections.items()
        for key, field in part.get("properties", {}).items()
        if "description" not in field and "$ref" not in field
    ]
    assert plain_names == []


def test_what_is_neither_path_nor_dict_is_refused():
    with pytest.raises(ConfigError, match=r"is a NoneType; a grid\.yaml's path or a dict holds"):
        read_draft(None)


@pytest.mark.parametrize("key", ["space", "params", "search", "callbacks"])
def test_of_thousands_of_faults_the_first_and_a_count_are_told(key):
    unknown = {f"key{place}": [1] for place in range(1000)}
    config = {"model": "fc", "data": {"train": "digits"}, "search": {"folds": 2}, key: unknown}
    with pytest.raises(ConfigError) as caught:
        prepare(config)
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith(f"config, {key}.key0: ")
    assert lines[-1] == f"config: {len(caught.value.faults) - 20:,} more."
    assert len(caught.value.faults) >= 1000
