"""Writes what pages take from the code: the keys of grid.yaml, commands, ranges of versions.

    .venv/bin/python scripts/reference.py

Of a page only what stands between `BEGIN` and `END` is written, by the functions in
`PAGES`; the rest is written by hand. tests/docs/test_reference.py tells where a page is not current.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import typer

from kerasgrid.cli import app
from kerasgrid.config.sections import json_schema

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
BEGIN, END = "<!-- scripts/reference.py writes what follows -->", "<!-- and this is its end -->"
EXAMPLES = {
    "name": "name: kannada-fc",
    "data": "data: {train: data/train.csv, scale: 255}",
    "data.train": "data: {train: data/train.csv}",
    "data.train.images": "data: {train: {images: train-images.gz, labels: train-labels.gz}}",
    "data.train.labels": "data: {train: {images: train-images.gz, labels: train-labels.gz}}",
    "data.train.files": 'data: {train: {files: "train/*.jpg", label: "(cat|dog)"}, image: [64, 64, 3]}',
    "data.train.label": 'data: {train: {files: "train/*.jpg", label: "(cat|dog)"}, image: [64, 64, 3]}',
    "data.test": "data: {train: data/train.csv, test: data/test.csv}",
    "data.validation": "data: {train: train.csv, validation: valid.csv, label: kind}",
    "data.label": "data: {train: data/train.csv, label: digit}",
    "data.label.column": 'data: {train: tags.csv, label: {column: tags, split: " "}}',
    "data.label.split": 'data: {train: tags.csv, label: {column: tags, split: "|"}}',
    "data.header": 'data: {train: rows.csv, header: none, label: "0"}',
    "data.files": "data: {train: train.csv, files: {column: image_id, folder: train/, suffix: .jpg}}",
    "data.files.column": "data: {train: train.csv, files: {column: image_id}}",
    "data.files.folder": "data: {train: train.csv, files: {column: image_id, folder: train/}}",
    "data.files.suffix": "data: {train: train.csv, files: {column: image_id, suffix: .jpg}}",
    "data.pixels": "data: {train: faces.csv, pixels: pixels, label: emotion}",
    "data.skip_bad": "data: {train: photos/, image: [128, 128, 3], skip_bad: true}",
    "data.target": "data: {train: houses.csv, target: SalePrice}",
    "data.target_scale": "data: {train: houses.csv, target: SalePrice, target_scale: log}",
    "data.id": "data: {train: data/train.csv, test: data/test.csv, id: id}",
    "data.drop": "data: {train: houses.csv, target: SalePrice, drop: [Street, PoolQC]}",
    "data.features": "data: {train: houses.csv, target: SalePrice, features: {categorical: [MSSubClass]}}",
    "data.features.numeric": "data: {train: t.csv, label: ill, features: {numeric: [age, weight]}}",
    "data.features.categorical": "data: {train: t.csv, label: ill, features: {categorical: [ward]}}",
    "data.features.date": "data: {train: t.csv, label: ill, features: {date: [admitted]}}",
    "data.features.scaler": "data: {train: t.csv, label: ill, features: {scaler: quantile}}",
    "data.group": "data: {train: scans.csv, label: ill, group: patient}",
    "data.time": "data: {train: sales.csv, target: sold, time: day}",
    "data.fold": "data: {train: train.csv, label: kind, fold: kfold}",
    "data.weight": "data: {train: survey.csv, target: income, weight: weight}",
    "data.sample_submission": "data: {test: data/test.csv, sample_submission: data/sample.csv}",
    "data.image": "data: {image: [28, 28, 1]}",
    "data.fit": "data: {train: photos/, image: [128, 128, 3], fit: crop}",
    "data.resample": "data: {train: photos/, image: [128, 128, 3], resample: lanczos}",
    "data.scale": "data: {scale: 255}",
    "data.standardize": "data: {standardize: true}",
    "data.normalize": "data: {train: train.csv, scale: 255, normalize: {mean: [0.1307], std: [0.3081]}}",
    "data.normalize.mean": "data: {scale: 255, normalize: {mean: [0.5, 0.5, 0.4], std: [0.2, 0.2, 0.2]}}",
    "data.normalize.std": "data: {scale: 255, normalize: {mean: [0.5, 0.5, 0.4], std: [0.2, 0.2, 0.2]}}",
    "data.multi_label": "data: {train: labels.npz, multi_label: true}",
    "data.subset": "data: {subset: 2000}",
    "model": "model: nets.py:build",
    "params": "params: {activation: relu, optimizer: SGD, optimizer.momentum: 0.9}",
    "space": "space: {epochs: [15, 30], dropout: {low: 0.1, high: 0.5, step: 0.1}}",
    "exclude": "exclude: [batch_size > 1024 and optimizer == 'SGD']",
    "augment": "augment: {rotation_range: 10, zoom_range: 0.1}",
    "augment.rotation_range": "augment: {rotation_range: 10}",
    "augment.width_shift_range": "augment: {width_shift_range: 0.1}",
    "augment.height_shift_range": "augment: {height_shift_range: [1, 2, 3]}",
    "augment.shear_range": "augment: {shear_range: 5}",
    "augment.zoom_range": "augment: {zoom_range: [0.9, 1.2]}",
    "augment.horizontal_flip": "augment: {horizontal_flip: 0.6}",
    "augment.vertical_flip": "augment: {vertical_flip: true}",
    "augment.crop_scale": "augment: {crop_scale: 0.6}",
    "augment.crop_ratio": "augment: {crop_scale: 0.6, crop_ratio: [1, 1]}",
    "augment.brightness_range": "augment: {brightness_range: [0.8, 1.2]}",
    "augment.contrast_range": "augment: {contrast_range: 0.2}",
    "augment.saturation_range": "augment: {saturation_range: [0.5, 1.5]}",
    "augment.hue_range": "augment: {hue_range: 0.05}",
    "augment.channel_shift_range": "augment: {channel_shift_range: 20}",
    "augment.blur_sigma": "augment: {blur_sigma: [0, 1.5]}",
    "augment.blur_kernel_size": "augment: {blur_sigma: 1, blur_kernel_size: 3}",
    "augment.cutout_size": "augment: {cutout_size: 0.3}",
    "augment.cutout_probability": "augment: {cutout_size: 8, cutout_probability: 0.5}",
    "augment.cutout_value": "augment: {cutout_size: 8, cutout_value: 0}",
    "augment.mixup_alpha": "augment: {mixup_alpha: 0.2}",
    "augment.cutmix_alpha": "augment: {cutmix_alpha: 1}",
    "augment.mix_probability": "augment: {cutmix_alpha: 1, mix_probability: 0.5}",
    "augment.fill_mode": "augment: {rotation_range: 10, fill_mode: reflect}",
    "augment.cval": "augment: {rotation_range: 10, fill_mode: constant, cval: 255}",
    "augment.rescale": "augment: {rescale: 0.00392156862745098}",
    "augment.samplewise_center": "augment: {samplewise_center: true}",
    "augment.samplewise_std_normalization": "augment: {samplewise_std_normalization: true}",
    "augment.featurewise_center": "augment: {featurewise_center: true}",
    "augment.featurewise_std_normalization": "augment: {featurewise_std_normalization: true}",
    "augment.views": "augment: {views: 8, horizontal_flip: true}",
    "augment.preprocessing_function": "augment: {preprocessing_function: nets.py:sharpen}",
    "callbacks": "callbacks: {early_stopping: {patience: 5}, watch.py:Gradients: {every: 10}}",
    "callbacks.early_stopping": "callbacks: {early_stopping: {patience: 5, restore_best_weights: true}}",
    "callbacks.early_stopping.monitor": "callbacks: {early_stopping: {monitor: val_accuracy}}",
    "callbacks.early_stopping.min_delta": "callbacks: {early_stopping: {min_delta: 0.001}}",
    "callbacks.early_stopping.patience": "callbacks: {early_stopping: {patience: 5}}",
    "callbacks.early_stopping.mode": "callbacks: {early_stopping: {monitor: val_auc, mode: max}}",
    "callbacks.early_stopping.baseline": "callbacks: {early_stopping: {baseline: 0.7}}",
    "callbacks.early_stopping.restore_best_weights": (
        "callbacks: {early_stopping: {patience: 5, restore_best_weights: true}}"
    ),
    "callbacks.early_stopping.start_from_epoch": "callbacks: {early_stopping: {start_from_epoch: 10}}",
    "callbacks.reduce_lr_on_plateau": "callbacks: {reduce_lr_on_plateau: {monitor: loss, factor: 0.25}}",
    "callbacks.reduce_lr_on_plateau.monitor": "callbacks: {reduce_lr_on_plateau: {monitor: loss}}",
    "callbacks.reduce_lr_on_plateau.factor": "callbacks: {reduce_lr_on_plateau: {factor: 0.25}}",
    "callbacks.reduce_lr_on_plateau.patience": "callbacks: {reduce_lr_on_plateau: {patience: 2}}",
    "callbacks.reduce_lr_on_plateau.mode": "callbacks: {reduce_lr_on_plateau: {monitor: val_auc, mode: max}}",
    "callbacks.reduce_lr_on_plateau.min_delta": "callbacks: {reduce_lr_on_plateau: {min_delta: 0.001}}",
    "callbacks.reduce_lr_on_plateau.cooldown": "callbacks: {reduce_lr_on_plateau: {cooldown: 2}}",
    "callbacks.reduce_lr_on_plateau.min_lr": "callbacks: {reduce_lr_on_plateau: {min_lr: 1e-5}}",
    "callbacks.learning_rate_scheduler": "callbacks: {learning_rate_scheduler: {schedule: one_cycle}}",
    "callbacks.learning_rate_scheduler.schedule": "callbacks: {learning_rate_scheduler: {schedule: cosine}}",
    "callbacks.learning_rate_scheduler.warmup_epochs": (
        "callbacks: {learning_rate_scheduler: {schedule: cosine, warmup_epochs: 2}}"
    ),
    "callbacks.learning_rate_scheduler.decay_rate": (
        "callbacks: {learning_rate_scheduler: {schedule: step, decay_rate: 0.1}}"
    ),
    "callbacks.learning_rate_scheduler.decay_epochs": (
        "callbacks: {learning_rate_scheduler: {schedule: exponential, decay_epochs: 5}}"
    ),
    "callbacks.learning_rate_scheduler.alpha": (
        "callbacks: {learning_rate_scheduler: {schedule: cosine, alpha: 0.01}}"
    ),
    "callbacks.learning_rate_scheduler.pct_start": (
        "callbacks: {learning_rate_scheduler: {schedule: one_cycle, pct_start: 0.2}}"
    ),
    "callbacks.learning_rate_scheduler.div_factor": (
        "callbacks: {learning_rate_scheduler: {schedule: one_cycle, div_factor: 10}}"
    ),
    "callbacks.learning_rate_scheduler.final_div_factor": (
        "callbacks: {learning_rate_scheduler: {schedule: one_cycle, final_div_factor: 1000}}"
    ),
    "callbacks.terminate_on_nan": "callbacks: {terminate_on_nan: on}",
    "callbacks.terminate_on_nan.raise_error": "callbacks: {terminate_on_nan: {raise_error: true}}",
    "training": "training: {precision: mixed_bfloat16, class_weight: balanced}",
    "training.pack": "training: {pack: 8}",
    "training.precision": "training: {precision: mixed_bfloat16}",
    "training.jit": "training: {jit: true}",
    "training.accumulate": "training: {accumulate: 4}",
    "training.class_weight": 'training: {class_weight: {"0": 1, "1": 2.5}}',
    "training.batch_norm": "training: {batch_norm: debiased}",
    "training.labels": "training: {labels: one_hot}",
    "training.frozen": "training: {frozen: float16}",
    "training.stop_dead": "training: {stop_dead: 3}",
    "stages": "stages: [{trainable: head, epochs: 3}, {trainable: all, epochs: 10, learning_rate: 1e-4}]",
    "stages.trainable": "stages: [{trainable: head, epochs: 3}, {trainable: last 20, epochs: 10}]",
    "stages.epochs": "stages: [{trainable: head, epochs: 3}, {trainable: block5_conv1, epochs: 10}]",
    "stages.learning_rate": "stages: [{trainable: all, epochs: 9, learning_rate: 1e-4}]",
    "stages.callbacks": (
        "stages: [{trainable: head, epochs: 3}, {trainable: all, epochs: 9, callbacks: continue}]"
    ),
    "search": "search: {engine: halving, folds: 5, time: 2h}",
    "search.engine": "search: {engine: halving}",
    "search.proposals": "search: {engine: bayesian, trials: 40, proposals: 8}",
    "search.factor": "search: {engine: halving, factor: 4}",
    "search.min_epochs": "search: {engine: halving, min_epochs: 2}",
    "search.folds": "search: {folds: 5}",
    "search.folds.n": "search: {folds: {n: 5, kind: group}}",
    "search.folds.kind": "search: {folds: {n: 5, kind: stratified_group}}",
    "search.folds.gap": "search: {folds: {n: 5, kind: time, gap: 7}}",
    "search.holdout": "search: {holdout: 0.2}",
    "search.repeats": "search: {repeats: 3}",
    "search.objective": "search: {objective: {f1: {pos_label: yes}}}",
    "search.scores": "search: {objective: r2, scores: [neg_mean_absolute_error]}",
    "search.thresholds": "search: {objective: f1_macro, thresholds: chosen}",
    "search.weighted_scores": "search: {weighted_scores: true}",
    "search.seed": "search: {seed: 1}",
    "search.trials": "search: {engine: random, trials: 40}",
    "search.time": "search: {time: 1h30min}",
    "search.epochs": "search: {epochs: 5000}",
    "search.keep_models": "search: {keep_models: best}",
    "search.val": "search: {val: 0.1}",
    "autokeras": "autokeras: {blocks: vanilla, max_trials: 3, epochs: 10}",
    "autokeras.blocks": "autokeras: {blocks: vanilla}",
    "autokeras.max_trials": "autokeras: {max_trials: 3}",
    "autokeras.epochs": "autokeras: {epochs: 10}",
    "autokeras.batch_size": "autokeras: {batch_size: 64}",
    "autokeras.time": "autokeras: {time: 10min}",
    "executor": "executor: {kind: processes, workers: 2}",
    "executor.kind": "executor: {kind: inline}",
    "executor.workers": "executor: {workers: 4}",
    "executor.address": "executor: {kind: ray, address: ray://head:10001}",
    "executor.gpus_per_worker": "executor: {gpus_per_worker: 0.5}",
}
"""An example of each key, on a line."""
_VALUES = ("data.label", "data.train", "data.test", "data.validation", "search.folds", "stages")
"""Keys that hold a section or another value, and say themselves what for."""
_SCHEMA = json_schema()
_MARKUP = re.compile(r"([*<>|\[\]])")


class Key(NamedTuple):
    """A key of grid.yaml.

    Attributes:
        path: Such as `search.folds`.
        schema: Its part of the JSON Schema.
        section: That of the section that it may hold; None for a key that holds values alone.
    """

    path: str
    schema: Mapping[str, Any]
    section: Mapping[str, Any] | None


_MAPPINGS = {
    "IdxPair": "a mapping of `images` and `labels`",
    "ImagePattern": "of `files` and `label`",
    "LabelColumn": "a mapping of `column` and `split`",
}


def keys_of(schema: Mapping[str, Any] = _SCHEMA, parents: Sequence[str] = ()) -> Iterator[Key]:
    """Yields the keys of a section, each followed by those in it, or in each of its list.

    data.test has those of data.train.
    """
    for name, field in schema["properties"].items():
        path = ".".join([*parents, name])
        parts = [arm.get("items", arm) for arm in _arms(field)]
        found = [part["$ref"].rpartition("/")[2] for part in parts if "$ref" in part]
        sections = [_SCHEMA["$defs"][section] for section in found]
        yield Key(path, field, sections[0] if sections else None)
        if path not in ("data.test", "data.validation"):
            for section in sections:
                yield from keys_of(section, [*parents, name])


def _arms(field: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Returns what a value may be, one by one."""
    if "anyOf" in field or "oneOf" in field:
        return [arm for part in field.get("anyOf") or field["oneOf"] for arm in _arms(part)]
    return [field]


def values(field: Mapping[str, Any]) -> str:
    """Returns in words which values a key takes."""
    found = [words for arm in _arms(field) for words in _values(arm)]
    if "`on`" in found:  # as which true and false are read
        found = [words for words in found if words not in ("`true`", "`false`")]
    *firsts, last = dict.fromkeys(found)
    return f"{', '.join(firsts)} or {last}" if firsts else last


def _values(arm: Mapping[str, Any]) -> list[str]:
    if "$ref" in arm:
        return [_MAPPINGS.get(arm["$ref"].rpartition("/")[2], "a mapping")]
    if "enum" in arm or "const" in arm:
        return [f"`{_written(value)}`" for value in arm.get("enum") or [arm["const"]]]
    match arm.get("type"):
        case "null":  # of every key without a default
            return []
        case "boolean":
            return ["`true`", "`false`"]
        case "integer":
            return [f"a whole number{_bounds(arm)}"]
        case "number":
            return [f"a number{_bounds(arm)}"]
        case "string":
            return ["text"]
        case "array":
            n = f" of {arm['minItems']}" if arm.get("minItems") == arm.get("maxItems", 0) else ""
            return [f"a list{n}, each {values(arm['items'])}"]
        case "object":
            inner = arm.get("additionalProperties")
            return [f"a mapping, each {values(inner)}" if isinstance(inner, dict) and inner else "a mapping"]
    raise ValueError(f"no words for {arm}")


def _bounds(arm: Mapping[str, Any]) -> str:
    """Returns the bounds of a number, such as ` from 2 to 1000`."""
    low, high = arm.get("minimum"), arm.get("maximum")
    above, below = arm.get("exclusiveMinimum"), arm.get("exclusiveMaximum")
    if below is not None and arm["type"] == "integer":
        high, below = below - 1, None
    if low is not None and high is not None:
        return f" from {low:,} to {high:,}"
    bounds = (("of at least", low), ("above", above), ("of at most", high), ("below", below))
    parts = [f"{words} {number:,}" for words, number in bounds if number is not None]
    return f" {' and '.join(parts)}" if parts else ""


def _written(value: Any) -> str:
    """Returns a value as YAML has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def grid_yaml() -> str:
    """Returns all keys: what each does and takes, its default, an example."""
    lines: list[str] = []
    for key in keys_of():
        level, default = key.path.count("."), key.schema.get("default")
        holds_section = key.section is not None and key.path not in _VALUES
        lines += [f"{'#' * (level + 3)} `{key.path}`", ""]
        lines += [_plain((key.section if holds_section else key.schema)["description"]), ""]
        lines += [f"- Takes: {values(key.schema)}"] if level or not holds_section else []
        lines += [f"- Default: `{_written(default)}`"] if default not in (None, {}) else []
        lines += [f"- Example: `{EXAMPLES[key.path]}`", ""]
    return "\n".join(lines)


def command_line() -> str:
    """Returns all commands with their arguments and options, as --help tells them."""
    program = typer.main.get_command(app)
    context = typer.Context(program, info_name="kerasgrid")
    lines: list[str] = []
    for name, command in program.commands.items():
        own = typer.Context(command, info_name=name, parent=context)
        arguments = [one.metavar for one in command.params if one.param_type_name == "argument"]
        lines += [f"### `kerasgrid {name}`", "", command.help, ""]
        records = [one.get_help_record(own) for one in command.params if one.param_type_name == "option"]
        usage = ["kerasgrid", name, *arguments, *(["[OPTIONS]"] if records else [])]
        lines += ["```text", " ".join(usage), "```", ""]
        if records:
            lines += ["| option | does |", "| --- | --- |"]
            lines += [f"| `{' or '.join(option.split('|'))}` | {_plain(does)} |" for option, does in records]
            lines += [""]
    return "\n".join(lines)


def ranges() -> str:
    """Returns the versions that each package may have, as setup.cfg has them."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(FOLDER.parents[1] / "setup.cfg")
    options, extras = setup["options"], setup["options.extras_require"]
    needed = {f"extra `{name}`": extras[name] for name in extras if name not in ("ray", "docs", "dev", "all")}
    lines = ["| package | versions | comes with |", "| --- | --- | --- |"]
    lines += [f"| Python | `{options['python_requires']}` | |"]
    for origin, requirements in {"kerasgrid": options["install_requires"], **needed}.items():
        found = re.findall(r"^([\w.-]+)(.*)", requirements, re.MULTILINE)
        lines += [f"| {name} | `{versions}` | {origin} |" for name, versions in found]
    return "\n".join([*lines, ""])


def _plain(text: str) -> str:
    """Returns a text on a line, in which nothing is Markdown's."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


PAGES = {"grid-yaml.md": grid_yaml, "command-line.md": command_line, "../guides/install.md": ranges}
"""What is written into each page, by its path from docs/reference."""


def renewed(page: str, text: str) -> str:
    """Returns a page with a text between its marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"A page that is written in part needs both marks: {BEGIN} and {END}.")
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def main() -> None:
    """Writes the pages anew."""
    for name, make in PAGES.items():
        page = FOLDER / name
        page.write_text(renewed(page.read_text(encoding="utf-8"), make()), encoding="utf-8")
        print(page)


if __name__ == "__main__":
    main()
