"""A whole search checked before its first epoch: every kind of fault, in which words, and together."""

# ruff: noqa: E501 - a message on one line is easier to read

from __future__ import annotations

import hashlib
import runpy
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kerasgrid.checks import candidates
from kerasgrid.checks.candidates import (
    notes_of_precision,
    notes_of_weights,
    warnings_of_accumulation,
    warnings_of_first_values,
    warnings_of_scale,
    warnings_of_views,
)
from kerasgrid.checks.prepared import prepare
from kerasgrid.config.augment import Augment, warning_of_hues, warning_of_signs
from kerasgrid.data.in_memory import Given
from kerasgrid.errors import ConfigError
from kerasgrid.planning.workers import make_recipe
from kerasgrid.records import Frozen, Graph, ProbeRecord, WeightsFile
from kerasgrid.run.paths import RunPaths

BASE = "data: {train: digits}\nmodel: fc\n"
NETS = """\
import keras

def build(input_shape, n_classes, width, depth=2):
    raise SystemExit("a check runs no model function")

def anything(input_shape, n_classes, **others): pass
def by_position(input_shape, /, n_classes): pass
def tuned(hp): pass
made = build
"""
FC = (
    "activation, batch_norm, batch_size, dropout, epochs, epsilon, first_activation, gamma_initializer, "
    "kernel_initializer, learning_rate, loss, momentum, negative_slope, normalization, optimizer, units"
)
ADAM = (
    "amsgrad, beta_1, beta_2, clipnorm, clipvalue, ema_momentum, ema_overwrite_frequency, epsilon, "
    "global_clipnorm, gradient_accumulation_steps, learning_rate, loss_scale_factor, use_ema, weight_decay"
)
TWO = "stages: [{trainable: head, epochs: 3}, {trainable: all, epochs: 2}]\n"
NOT_YET = "which this version does not have yet: leave it out."


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with small data and model functions, in which paths of messages are short."""
    monkeypatch.chdir(tmp_path)
    rows = "".join(f"{'ab'[i % 2]},{i},2,3,4\n" for i in range(12))
    (tmp_path / "train.csv").write_text("label,p0,p1,p2,p3\n" + rows)
    (tmp_path / "ragged.csv").write_text("label,p0,p1,p2,p3\na,1,2,3,4\nb,1,2,3\n")
    (tmp_path / "nets.py").write_text(NETS)
    (tmp_path / "broken.py").write_text("def build(:\n")
    return tmp_path


def check(folder, text, *overrides):
    (folder / "grid.yaml").write_text(text, encoding="utf-8")
    return prepare("grid.yaml", overrides=overrides)


def refusal(folder, text, *overrides):
    with pytest.raises(ConfigError) as caught:
        check(folder, text, *overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # unknown parameters, guessed from the model function's signature
        (
            "space: {dropuot: [0.2]}",
            f"space.dropuot: unknown parameter. Did you mean 'dropout'? Known: {FC}.",
        ),
        (
            "params: {dropuot: 0.2}",
            f"params.dropuot: unknown parameter. Did you mean 'dropout'? Known: {FC}.",
        ),
        (
            "space: {data.scale: [1, 255]}",
            "space.data.scale: is a key of its own, and no parameter: write it beside params and space.",
        ),
        (
            "space: {input_shape: [8]}",
            f"space.input_shape: unknown parameter. Did you mean 'data.image'? Known: {FC}.",
        ),
        (
            "params: {dropout: 0.2}\nspace: {dropout: [0.1]}",
            "params.dropout: is searched too, so that this value is never used: remove one of them.",
        ),
        # stages
        (
            TWO + "params: {epochs: 3}",
            "params.epochs: does not go with stages, which say how many epochs each takes: leave it out.",
        ),
        (
            TWO + "space: {epochs: [3, 4]}",
            "space.epochs: does not go with stages, which say how many epochs each takes: leave it out.",
        ),
        (
            TWO + "space: {stages.3.epochs: [1]}",
            "space.stages.3.epochs: is of stage 3, and there are 2: give `stages` as many.",
        ),
        (
            "space: {stages.2.epochs: [1]}",
            "space.stages.2.epochs: is of stage 2, and there are none: give `stages` as many.",
        ),
        (
            TWO + "space: {stages.0.epochs: [1]}",
            "space.stages.0.epochs: names no stage; such as stages.2.learning_rate holds, the second one's.",
        ),
        (
            TWO + "space: {stages.2.epoch: [1]}",
            "space.stages.2.epoch: 'epoch' is no key of a stage. Did you mean 'epochs'? Known: callbacks, epochs, learning_rate, trainable.",
        ),
        (
            TWO + "space: {stages.2.epochs: [1, 0]}",
            "space.stages.2.epochs: is 0; at least 1 holds.",
        ),
        (
            TWO + "space: {stages.1.callbacks: [continue]}",
            "space.stages.1.callbacks: is 'continue', and no stage is before the first.",
        ),
        (
            "space: {stages: [{trainable: all, epochs: 2}]}",
            "space.stages: is {'trainable': 'all', 'epochs': 2}; a list of stages holds, in its own brackets.",
        ),
        (
            "space: {stages: [[{trainable: all, epochs: 0}]]}",
            "space.stages: of [{'trainable': 'all', 'epochs': 0}] [0].epochs: is 0; at least 1 holds.",
        ),
        (
            TWO + "callbacks: {learning_rate_scheduler: {schedule: cosine, warmup_epochs: 2.5}}",
            "callbacks.learning_rate_scheduler.warmup_epochs: is 2.5, and a candidate of 2 epochs never reaches its learning rate.",
        ),
        # values of the loop's own parameters
        ("space: {batch_size: [0]}", "space.batch_size: is 0; a whole number of at least 1 holds."),
        ("space: {epochs: [2.5]}", "space.epochs: is 2.5; a whole number of at least 1 holds."),
        ("params: {epochs: true}", "params.epochs: is true; a whole number of at least 1 holds."),
        ("space: {learning_rate: [0.1, -1]}", "space.learning_rate: is -1; a number above 0 holds."),
        ("params: {learning_rate: fast}", "params.learning_rate: is 'fast'; a number above 0 holds."),
        (
            "space: {optimizer: [Adm]}",
            "space.optimizer: is 'Adm'; Keras 3 has no optimizer of that name. Did you mean 'Adam'? Known: "
            "Adadelta, Adafactor, Adagrad, Adam, AdamW, Adamax, Ftrl, Lamb, Lion, Muon, Nadam, RMSprop, SGD, "
            "ScheduleFreeAdamW.",
        ),
        (
            "space: {optimizer: [RectifiedAdam]}",
            "space.optimizer: is 'RectifiedAdam'; Keras 3 has no RectifiedAdam (it was part of TensorFlow "
            "Addons, which has ended). Near to it: ScheduleFreeAdamW with optimizer.warmup_steps, since "
            "rectification is a kind of warm-up; Nadam; AdamW; Adam with a smaller learning_rate.",
        ),
        ("params: {optimizer: 3}", "params.optimizer: is 3; a name of keras.optimizers holds."),
        ("params: {loss: 3}", "params.loss: is 3; a name of keras.losses holds."),
        # arguments of the optimizer and the loss
        (
            "space: {optimizer.momentum: [0.9]}",
            f"space.optimizer.momentum: Adam has no argument 'momentum'. Did you mean 'ema_momentum'? Known: "
            f"{ADAM}. To search it only where the optimizer has it, give it `when: {{optimizer: ...}}`, or "
            "make space a list of spaces, one an optimizer.",
        ),
        (
            "params: {optimizer: Adam, optimizer.nesterov: true}",
            f"params.optimizer.nesterov: Adam has no argument 'nesterov'. Known: {ADAM}. To search it only where "
            "the optimizer has it, give it `when: {optimizer: ...}`, or make space a list of spaces, one an "
            "optimizer.",
        ),
        (
            "space: {loss.gamma: [0.1]}",
            "space.loss.gamma: needs `loss` to be given too, in params or space.",
        ),
        (
            "params: {loss: categorical_crossentropy}\nspace: {loss.label_smooth: [0.1]}",
            "space.loss.label_smooth: categorical_crossentropy has no argument 'label_smooth'. Did you mean "
            "'label_smoothing'? Known: axis, from_logits, label_smoothing.",
        ),
        # callbacks
        (
            "space: {callbacks.early_stoping.patience: [1]}",
            "space.callbacks.early_stoping.patience: 'early_stoping' is no callback here. Did you mean "
            "'early_stopping'? Known: early_stopping, learning_rate_scheduler, reduce_lr_on_plateau, terminate_on_nan.",
        ),
        (
            "space: {callbacks.early_stopping.patienc: [1]}",
            "space.callbacks.early_stopping.patienc: unknown key. Did you mean 'patience'? Known: baseline, "
            "min_delta, mode, monitor, patience, restore_best_weights, start_from_epoch.",
        ),
        (
            "space: {callbacks.early_stopping.patience: [1, -1]}",
            "space.callbacks.early_stopping.patience: is -1; at least 0 holds.",
        ),
        (
            "space: {callbacks.early_stopping: [off, {patience: 1.5}]}",
            "space.callbacks.early_stopping: is 1.5; a whole number holds.",
        ),
        (
            "space: {callbacks.early_stopping: [3]}",
            "space.callbacks.early_stopping: is 3; off, on or a mapping holds.",
        ),
        (
            "space: {callbacks.early_stopping.patienc: [3]}",
            "space.callbacks.early_stopping.patienc: unknown key. Did you mean 'patience'? Known: baseline, "
            "min_delta, mode, monitor, patience, restore_best_weights, start_from_epoch.",
        ),
        (
            "callbacks: {learning_rate_scheduler: {schedule: cosine}, reduce_lr_on_plateau: {monitor: loss}}",
            "callbacks.learning_rate_scheduler: and reduce_lr_on_plateau both set the learning rate: keep one.",
        ),
        (
            "callbacks: {learning_rate_scheduler: {schedule: one_cycle, warmup_epochs: 1}}",
            "callbacks.learning_rate_scheduler.warmup_epochs: is for other schedules: one_cycle rises by itself.",
        ),
        (
            "callbacks: {learning_rate_scheduler: {schedule: cosine, decay_rate: 0.5}}",
            "callbacks.learning_rate_scheduler.decay_rate: is of the schedule exponential and step alone.",
        ),
        (
            "space: {callbacks.learning_rate_scheduler: [off, {schedule: cosine}], "
            "callbacks.reduce_lr_on_plateau: [on, off]}",
            "space.callbacks.learning_rate_scheduler: and reduce_lr_on_plateau both set the learning rate: keep one.",
        ),
        (
            "space: {callbacks.learning_rate_scheduler.schedule: [step, one_cycle], "
            "callbacks.learning_rate_scheduler.warmup_epochs: [2, 0]}",
            "space.callbacks.learning_rate_scheduler.warmup_epochs: is for other schedules: one_cycle rises by "
            "itself.",
        ),
        (
            "params: {epochs: 3}\ncallbacks: {learning_rate_scheduler: {schedule: step, warmup_epochs: 3}}",
            "callbacks.learning_rate_scheduler.warmup_epochs: is 3, and a candidate of 3 epochs never reaches its "
            "learning rate.",
        ),
        (
            "callbacks: {nowhere.py:Watch: {}}",
            "callbacks.nowhere.py:Watch: nowhere.py: no such file. Looked for ",
        ),
        (
            "search: {holdout: test}",
            "search.holdout: is 'test', and data.test names no samples.",
        ),
        (
            "training: {class_weight: {'1': 2, '77': 3}}",
            "training.class_weight: names '77', which is no class of these data. Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.",
        ),
        (
            "space: {training.class_weight: [null, {x: 3}]}",
            "space.training.class_weight: names 'x', which is no class of these data. "
            "Known: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9.",
        ),
        (
            "space: {training.stop: [true]}",
            "space.training.stop: 'stop' is no setting of training. Did you mean 'stop_dead'? Known: "
            "accumulate, batch_norm, class_weight, frozen, jit, labels, precision, stop_dead.",
        ),
        (
            "params: {optimizer.gradient_accumulation_steps: 2}\ntraining: {accumulate: 4}",
            "params.optimizer.gradient_accumulation_steps: is the same as training.accumulate, which is given "
            "too: keep one of them.",
        ),
        (
            "callbacks: {early_stopping: {monitor: test_loss}}",
            "callbacks.early_stopping.monitor: is 'test_loss': the held-out fold decides nothing. Monitor "
            "'val_loss', which is measured on an inner split of the training folds.",
        ),
        (
            "callbacks: {early_stopping: {monitor: test_acc}}",
            "callbacks.early_stopping.monitor: is 'test_acc': the held-out fold decides nothing. Monitor "
            "'val_accuracy', which is measured on an inner split of the training folds.",
        ),
        # lists and ranges
        ("space: {dropout: []}", "space.dropout: is an empty list; give at least one value."),
        (
            "space: {dropout: [0.2, 0.3, 0.2]}",
            "space.dropout: holds 0.2 more than once; each value once holds.",
        ),
        (
            "space: {momentum: [0, 0.0]}",
            "space.momentum: holds 0 and 0.0, which are one number; each value once holds.",
        ),
        (
            "space: {units: [[64], [32], [64]]}",
            "space.units: holds [64] more than once; each value once holds.",
        ),
        (
            "space: {dropout: 0.2}",
            "space.dropout: is 0.2; a list or a range such as {low: 0.1, high: 0.5} holds: write [0.2] to search "
            "this one value, or move it to params.",
        ),
        (
            "space: {dropout: null}",
            "space.dropout: is null; a list or a range such as {low: 0.1, high: 0.5} holds: write [null] to "
            "search this one value, or move it to params.",
        ),
        ("space: []", "space: is an empty list; a mapping or a list of mappings holds."),
        (
            "space: [{dropout: [0.1]}, {dropout: []}]",
            "space[1].dropout: is an empty list; give at least one value.",
        ),
        (
            "space: {dropout: {low: 0.1, hgih: 0.5, high: 0.5}}",
            "space.dropout.hgih: unknown key. Did you mean 'high'? Known: high, log, low, step, type.",
        ),
        ("space: {dropout: {low: 0.1}}", "space.dropout.high: is missing."),
        ("space: {dropout: {low: a, high: 0.5}}", "space.dropout.low: is 'a'; a number holds."),
        ("space: {dropout: {low: 0.1, high: 0.5, step: 0}}", "space.dropout.step: is 0; above 0 holds."),
        (
            "space: {dropout: {low: 0.1, high: 0.5, type: double}}",
            "space.dropout.type: is 'double'; 'int' or 'float' holds.",
        ),
        (
            "space: {dropout: {low: 0.5, high: 0.1, step: 0.1}}",
            "space.dropout: has low 0.5 and high 0.1; low must be less than high.",
        ),
        (
            "space: {dropout: {low: 0, high: 1}}",
            "space.dropout: has whole bounds, so that its type must be said: type: int or type: float.",
        ),
        (
            "space: {batch_size: {low: 1.5, high: 8, type: int, step: 1}}",
            "space.batch_size: has type: int and bounds or a step that are no whole numbers.",
        ),
        (
            "space: {epsilon: {low: 0, high: 0.1, log: true, step: 10}}",
            "space.epsilon: has low 0 with log: true; a logarithmic range begins above 0.",
        ),
        (
            "space: {epsilon: {low: 0.001, high: 0.1, log: true, step: 0.5}}",
            "space.epsilon: has step 0.5 with log: true, where it is the ratio of values; above 1 holds.",
        ),
        (
            "space: {dropout: {low: 0.1, high: 0.5, step: 1e-9}}",
            "space.dropout: has 400,000,001 values; at most 1,000,000 hold: take a larger step.",
        ),
        (
            "space: {dropout: {low: 0.1, high: 0.5}}",
            "space.dropout: is a range without a step, which a grid cannot list: give a step or a list.",
        ),
        (
            "space: [{epochs: [1]}, {dropout: {low: 0.1, high: 0.5}}]",
            "space[1].dropout: is a range without a step, which a grid cannot list: give a step or a list.",
        ),
        (
            "space: {epochs: {low: 1, high: 10000, step: 1, type: int}, dropout: {low: 0.1, high: 0.5, step: 1e-3}}",
            "space: gives 4,010,000 candidates, and a search has at most 1,000,000: search fewer values, "
            "or give a smaller search.trials.",
        ),
        # the search
        (
            "search: {engine: gird}",
            "search.engine: is 'gird', which is no engine. Did you mean 'grid'? Known: autokeras, bayesian, gp, ",
        ),
        (
            "search: {engine: random, trials: 100000000}\nspace: {dropout: {low: 0.1, high: 0.5}}",
            "space: gives 100,000,000 candidates, and a search has at most 1,000,000",
        ),
        (
            "search: {engine: halving}\nspace: {dropout: {low: 0.1, high: 0.5}}",
            "search.trials: is missing: the engine halving needs to know how many candidates to draw.",
        ),
        (
            "search: {engine: random}",
            "search.trials: is missing: the engine random needs to know how many candidates to draw.",
        ),
        (
            "search: {objective: acuracy}",
            "search.objective: is 'acuracy', which is no metric here. Did you mean 'accuracy'? Known: accuracy, "
            "loss, scikit-learn's scorers, Keras's metrics, and a function of your own, path/to/file.py:function.",
        ),
        (
            "search: {objective: roc_auc}",
            "search.objective: is 'roc_auc', which cannot score 10 classes: multi_class must be in ('ovo', 'ovr')",
        ),
        (
            "search: {objective: precision}",
            "search.objective: is 'precision', which cannot score 10 classes: Target is multiclass but "
            "average='binary'. Please choose another average setting, one of [None, 'micro', 'macro', "
            "'weighted'].",
        ),
        (
            "search: {scores: [f1_macro, acuracy]}",
            "search.scores[1]: is 'acuracy', which is no metric here. Did you mean 'accuracy'?",
        ),
        (
            "search: {scores: [f1_macro, loss, f1_macro]}",
            "search.scores[2]: is 'f1_macro', as search.scores[0] is; each name is recorded once: leave it out.",
        ),
        (
            "search: {objective: f1_macro, scores: [{f1_macro: {zero_division: 1}}]}",
            "search.scores[0]: is 'f1_macro', as search.objective is; each name is recorded once: leave it out.",
        ),
        (
            "search: {objective: 'nets.py:gain'}",
            "search.objective: nets.py: there is no 'gain' in it. Known: ",
        ),
        (
            "search: {scores: ['__main__:gain']}",
            "search.scores[0]: is '__main__:gain', a function that was given in Python and that no import finds: "
            "give it again, or name its file, path/to/file.py:function.",
        ),
        (
            "search: {weighted_scores: true}",
            "search.weighted_scores: is true, and nothing says what samples weigh: name their column by "
            "data.weight, or give sample_weight in Python; else leave it out.",
        ),
        (
            "search: {folds: 184}",
            "search.folds: class 3 has 183 samples, the most of all, and search.folds is 184: each fold needs one "
            "to test on. Add samples, or lower search.folds to 183 or less.",
        ),
        (
            "search: {holdout: 0.001}",
            "search.holdout: is 0.001, which is 2 of 1,797 samples, and of each class with two or more (10 of 10) "
            "one is needed to train on and one to test on. Add samples, or bring holdout nearer to 0.5.",
        ),
        (
            "search: {val: 0.001}",
            "search.val: is 0.001: fold 0: its 1198 training rows of 10 classes, the smallest with 116, cannot "
            "give ",
        ),
        # part of the contract, and not built yet
        ("augment: {rotation_range: -1}", "augment.rotation_range: is -1; at least 0 holds."),
        ("augment: {rotation: 10}", "augment.rotation: unknown key. Did you mean 'rotation_range'?"),
        ("augment: {zoom_range: [1.5, 0.5]}", "augment.zoom_range: is [1.5, 0.5]; [lowest, highest] holds."),
        ("augment: {zoom_range: 1}", "augment.zoom_range: is 1, which zooms to nothing; below 1, or a pair"),
        ("augment: {blur_kernel_size: 4}", "augment.blur_kernel_size: is 4; odd numbers hold."),
        (
            "augment: {blur_sigma: 1, blur_kernel_size: [3, 17]}",
            "augment.blur_kernel_size: is 17, and images have 8 pixels there; at most 15 holds.",
        ),
        (
            "augment: {horizontal_flip: 1.5}",
            "augment.horizontal_flip: is 1.5; true or false or at most 1 holds.",
        ),
        ("augment: {crop_scale: [0, 1]}", "augment.crop_scale: is [0.0, 1.0]; numbers above 0 hold."),
        (
            "augment: {crop_scale: [0.5, 2]}",
            "augment.crop_scale: is [0.5, 2.0]; shares of the image's area, at",
        ),
        ("augment: {hue_range: 0.6}", "augment.hue_range: is 0.6; at most 0.5 or a list holds."),
        ("augment: {hue: 0.1}", "augment.hue: unknown key. Did you mean 'hue_range'?"),
        ("augment: {mixup: 0.2}", "augment.mixup: unknown key. Did you mean 'mixup_alpha'?"),
        ("augment: {random_erasing: 8}", "augment.random_erasing: unknown key. Did you mean 'cutout_size'?"),
        (
            "augment: {cutout_size: 9}",
            "augment.cutout_size: is 9, and images have 8 pixels: at most that holds",
        ),
        (
            "space: {augment.hue_range: [0, 0.1]}",
            "space.augment.hue_range: is of red, green and blue, and images have 1 channel: leave it out.",
        ),
        (
            "augment: {saturation_range: 0.5}",
            "augment.saturation_range: is of red, green and blue, and images have 1 channel: leave it out.",
        ),
        (
            "augment: {preprocessing_function: 'mine.py:clean'}",
            "augment.preprocessing_function: ",
        ),
        ("training: {pack: 0}", "training.pack: is 0; "),
        (
            "training: {batch_norm: debias}",
            "training.batch_norm: is 'debias'; 'keras' or 'debiased' holds. Did you",
        ),
        (
            "space: {training.batch_norm: [raw]}",
            "space.training.batch_norm: is 'raw'; 'keras' or 'debiased' holds.",
        ),
        (
            "search: {time: soon}",
            "search.time: is 'soon', which is no time; such as 2h, 45min, 1h30min or 90s",
        ),
        (
            "search: {engine: bayesian}",
            "search.trials: is missing: the engine bayesian needs to know how many",
        ),
        (
            "space: {augment.rotation_range: [0, -10]}",
            "space.augment.rotation_range: is -10; at least 0 holds.",
        ),
        (
            "space: {augment.rotation: [0, 10]}",
            "space.augment.rotation: 'rotation' is no argument of augmentation. Did you mean 'rotation_range'?",
        ),
        ("space: {augment: [off, some]}", "space.augment: is 'some'; off, on or a mapping holds."),
        (
            "space: {augment: [off, {zoom_range: 2}]}",
            "space.augment: is 2, which zooms to nothing; below 1, or a pair above 0 holds.",
        ),
        (
            "space: {training.pack: [1, 2]}",
            "space.training.pack: does not change what is trained, and is not searched: give training.pack.",
        ),
        (
            "space: {dropout: {values: [0.1], when: {batch_norm: true}}}",
            "space.dropout.when: names 'batch_norm', which is not searched beside it.",
        ),
        (
            "space: {batch_norm: [true], dropout: {low: 0.1, high: 0.5, step: 0.1, when: {batch_norm: false}}}",
            "space.dropout.when: names batch_norm: false, which is none of its values. Known: true.",
        ),
        (
            "space: {batch_norm: [true], dropout: {values: [0.1], when: true}}",
            "space.dropout.when: is true; a mapping such as {batch_norm: true} holds.",
        ),
        (
            "space: {batch_norm: [true], dropout: {values: [0.1], when: {batch_norm: []}}}",
            "space.dropout.when: names no value of batch_norm; at least one holds.",
        ),
        (
            "search: {engine: random, trials: 3}\n"
            "space: {learning_rate: {low: 0.1, high: 0.5}, dropout: {values: [0.1], when: {learning_rate: 0.1}}}",
            "space.dropout.when: names learning_rate, which has no list of values: give it one, or a step.",
        ),
        (
            "space: {batch_norm: {values: [true], when: {dropout: 0.1}}, dropout: {values: [0.1], when: {batch_norm: true}}}",
            "space.batch_norm.when: depends on itself, by way of the parameters that it names.",
        ),
        (
            "space: {dropout: {values: 0.1}}",
            "space.dropout: has values 0.1; {values: [...]} with when: {...} or weights: [...] holds.",
        ),
        (
            "space: {dropout: {values: [0.1], low: 3}}",
            "space.dropout: has low beside values; {values: [...]} with when: {...} or weights: [...] holds.",
        ),
    ],
)
def test_one_fault_gives_one_message(folder, text, message):
    found = refusal(folder, BASE + text)
    assert found.startswith(f"grid.yaml:3, {message}") or found.startswith(f"grid.yaml:4, {message}")
    assert "\n" not in found


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("nope.csv", "data.train: is '{folder}/nope.csv', and there is no such file."),
        ("ragged.csv", "data.train: ragged.csv, line 3: 4 cells, but the header has 5 columns. Complete the row or drop it."),
        ("{images: a, labels: nets.py}", "data.train.images: is '{folder}/a', and there is no such file."),
        ("nets.py", "data.train: nets.py is a file of Python, and data is needed here: a .csv, an .npz, "),
        (".", "data.train: .: no images (.bmp, .gif, .jpeg, .jpg, .png, .tif, .tiff, .webp) in it or below: there are "),
        ("train.csv, test: t.csv", "data.test: is '{folder}/t.csv', and there is no such file."),
        ("train.csv, sample_submission: t.csv", "data.sample_submission: is '{folder}/t.csv', and there is no such file."),
        ("digits, label: label", "data.label: names a column of a .csv file, which data.train is not: leave it out."),
        ("{images: nets.py, labels: nets.py}, id: x", "data.id: names a column of a .csv file, which data.train is not: leave it out."),
        ("~nosuchuser/t.csv", "data.train: is '{folder}/~nosuchuser/t.csv', and there is no such file."),
        ("train.csv, label: lable", "data.train: train.csv, line 1: no label column 'lable'. Did you mean 'label'? "),
        ("train.csv, id: p9", "data.train: train.csv, line 1: no id column 'p9'. "),
        ("train.csv, image: [2, 2, 3]", "data.train: train.csv: 4 pixels a sample, but data.image is [2, 2, 3], which has 12. "),
        ("train.csv, subset: 100", "data.train: train.csv: data.subset is 100. Of 12 samples in 2 classes it can take 2 to 10: "),
        ('"a\\nb.csv"', "data.train: is '{folder}/a\\nb.csv', and there is no such file."),
        ('"%s.csv"' % ("x" * 4000), "data.train: is '{folder}/xxx"),
    ],
)  # fmt: skip
def test_faults_of_the_data(folder, train, message):
    found = refusal(folder, f"model: fc\ndata: {{train: {train}}}")
    # what the data does not allow is not to be found in a line of the file
    where = "grid.yaml, " if message.startswith("search") else "grid.yaml:2, "
    assert found.startswith(where + message.format(folder=folder))


def test_data_that_is_not_given(folder):
    message = (
        "data.train: is missing: a .csv or .npz file, a folder of class folders, {files: ..., label: ...} of image "
        "files, {images: ..., labels: ...}, or digits."
    )
    assert refusal(folder, "model: fc\ndata: {scale: 255}") == f"grid.yaml:2, {message}"
    assert refusal(folder, "model: fc") == f"grid.yaml, {message}"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("fcc", "'fcc' is no built-in model. Did you mean 'fc'? Known: backbone, bn_cnn, convnet, fc, mlp, sopcnn, vgg, vgg_sopcnn. "),
        ("nets.py", "'nets.py' names a file, but no function in it: give nets.py:function. Known: "),
        ("nets.py:bild", "nets.py: there is no 'bild' in it. Did you mean 'build'? Known: "),
        ("nope.py:build", "nope.py: no such file. Looked for {folder}/nope.py."),
        ("broken.py:build", "broken.py:1: SyntaxError: invalid syntax."),
        ("nope_at_all:build", "nope_at_all:build: no module named 'nope_at_all' in {folder} or on Python's path. "),
        ("nets.py:by_position", "nets.py:by_position: input_shape can only be passed by position, but kerasgrid passes "),
        ("nets.py:tuned", "has to be asked for its parameters in a worker, which is not possible here."),
        ("nets.py:made", "has to be asked for its parameters in a worker, which is not possible here."),
        ("''", "'' is no built-in model. Known: "),
        ("subprocess:getoutput", "'subprocess:getoutput' is of Python's own library, of which a config runs nothing: "),
    ],
)  # fmt: skip
def test_faults_of_the_model(folder, model, message):
    found = refusal(folder, f"data: {{train: digits}}\nmodel: {model}")
    assert found.startswith(f"grid.yaml:2, model: {message.format(folder=folder)}")


def test_no_key_runs_what_is_of_python_s_own_library(folder):
    told = refusal(
        folder,
        "data: {train: digits}\nmodel: fc\n"
        "callbacks: {'subprocess:Popen': {args: touch pwned, shell: true}}\n"
        "augment: {preprocessing_function: 'os:remove'}",
    )
    assert "callbacks.subprocess:Popen: 'subprocess:Popen' is of Python's own library" in told
    assert "augment.preprocessing_function: 'os:remove' is of Python's own library" in told
    space = "{'callbacks.os:system': [off, {command: ls}], augment.preprocessing_function: ['os:remove']}"
    told = refusal(folder, f"data: {{train: digits}}\nmodel: fc\nspace: {space}")
    assert "'os:system' is of Python's own library" in told
    assert "space.augment.preprocessing_function: 'os:remove' is of Python's own library" in told


def test_whose_code_is_run_is_told(folder):
    given = {"keras.callbacks:CSVLogger": {"filename": "x"}, f"{folder}/nets.py:build": {}}
    text = f"data: {{train: digits}}\nmodel: fc\ncallbacks: {given}"
    prepared = check(folder, text)
    assert prepared.code_of_packages == ["runs code of keras: keras.callbacks:CSVLogger"]
    assert (
        str(prepared.refused([]))
        == f"{prepared.report.source}: runs code of keras: keras.callbacks:CSVLogger."
    )


OWN = "data: {train: digits}\nmodel: nets.py:build\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "space: {depth: [1]}",
            "grid.yaml, params: 'width' is missing: the model function needs it, and neither params nor space "
            "gives it.",
        ),
        (
            "space: [{width: [1]}, {depth: [1]}]",
            "grid.yaml:3, space[1]: 'width' is missing: the model function needs it, and neither params nor "
            "this space gives it.",
        ),
        (
            "params: {width: 3}\nspace: {dpth: [1]}",
            "grid.yaml:4, space.dpth: unknown parameter. Did you mean 'depth'? Known: batch_size, depth, epochs, "
            "learning_rate, loss, optimizer, width.",
        ),
        # What is there and at fault is not called missing or unfit besides.
        ("space: {width: []}", "grid.yaml:3, space.width: is an empty list; give at least one value."),
        ("space: 3", "grid.yaml:3, space: is 3; a mapping or a list holds."),
        ("params: 3", "grid.yaml:3, params: is 3; a mapping holds."),
        (
            "params: {width: 3}\nspace: {optimizer: [], optimizer.momentum: [0.9]}",
            "grid.yaml:4, space.optimizer: is an empty list; give at least one value.",
        ),
        (
            "params: {width: 3}\nspace: {depth: {low: 0.1, high: 0.2}}\nsearch: {engine: random, trials: 2, seed: x}",
            "grid.yaml:5, search.seed: is 'x'; a whole number holds.",
        ),
    ],
)
def test_arguments_of_a_users_function(folder, text, message):
    assert refusal(folder, OWN + text) == message


def test_a_function_that_takes_anything_gets_anything_but_what_is_trainings(folder):
    text = "data: {train: digits}\nmodel: nets.py:anything\nspace: {whatever: [1], epochs: [3], optimizer: [Adam]}"
    assert check(folder, text).space.size == 1
    assert "Adam has no argument 'x'" in refusal(folder, text.replace("optimizer:", "optimizer.x:"))


def test_all_faults_of_a_file_come_in_one_report_in_the_order_of_its_lines(folder):
    text = """\
name: a/b
serach: {}
data:
  train: nope.csv
  sacle: 255
model: fcc
params: {batch_size: 0}
space:
  dropout: []
  learning_rate: {low: 1, high: 0.5}
augment: {flip: true}
callbacks:
  early_stopping: {patience: x}
training: {pack: 0}
search:
  folds: 1
executor: {workers: 0}
"""
    found = refusal(folder, text).splitlines()
    assert [line.partition(": ")[0] for line in found] == [
        "grid.yaml:1, name",
        "grid.yaml:2, serach",
        "grid.yaml:4, data.train",
        "grid.yaml:5, data.sacle",
        "grid.yaml:6, model",
        "grid.yaml:7, params.batch_size",
        "grid.yaml:9, space.dropout",
        "grid.yaml:10, space.learning_rate",
        "grid.yaml:11, augment.flip",
        "grid.yaml:13, callbacks.early_stopping.patience",
        "grid.yaml:14, training.pack",
        "grid.yaml:16, search.folds",
        "grid.yaml:17, executor.workers",
    ]


def test_faults_of_form_data_model_space_and_search_do_not_hide_one_another(folder):
    text = """\
data: {train: digits, subset: 300}
model: nets.py:build
params: {wdth: 3, epochs: 0}
space:
  learning_rate: {low: 0.1, high: 0.2}
search: {folds: 60, objective: precision}
"""
    found = refusal(folder, text).splitlines()
    assert [line.partition(": ")[0] for line in found] == [
        "grid.yaml:3, params.wdth",
        "grid.yaml:3, params.epochs",
        "grid.yaml:3, params",
        "grid.yaml:5, space.learning_rate",
        "grid.yaml:6, search.folds",
        "grid.yaml:6, search.objective",
    ]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        # a fault hides no other of its section
        (
            BASE + "search: {facter: 2, objective: acuracy, engine: halvng, folds: 500}",
            ["search.facter", "search.folds", "search.engine", "search.objective"],
        ),
        ("data: {train: nope.csv, lable: y}\nmodel: fc", ["data.lable", "data.train"]),
        (
            "data: {trian: x, test: nope.csv, sample_submission: gone.csv}\nmodel: fc",
            ["data.trian", "data.test", "data.sample_submission"],
        ),
        ("data: {train: digits, sacle: 3, scale: -1}\nmodel: fc\nsearch: {folds: 500}", ["data.scale", "data.sacle", "search.folds"]),
        (BASE + "search: {folds: 500, holdout: 2}", ["search.folds", "search.holdout"]),
        (BASE + "search: {time: 2x, folds: 500, seed: x}", ["search.seed", "search.time", "search.folds"]),
        (
            "data: {train: digits}\nmodel: fcc\nspace: {epochs: [1.5], optimizer: [RectifiedAdam], dropout: [], zoo: [1]}\n"
            "params: {callbacks.early_stopping.patience: x, batch_size: 0}",
            ["model", "space.dropout", "params.callbacks.early_stopping.patience", "params.batch_size", "space.epochs", "space.optimizer"],
        ),
        (BASE + "space: 3\nparams: {epochs: 0, droput: 1}", ["space", "params.epochs", "params.droput"]),
        (BASE + "space: {dropout: [], momentum: {low: 0.1, high: 0.2}}", ["space.dropout", "space.momentum"]),
        (
            BASE + "space: {dropout: []}\ncallbacks: {early_stopping: {monitor: test_loss}}",
            ["space.dropout", "callbacks.early_stopping.monitor"],
        ),
        # nothing is said of what a fault elsewhere may have brought about
        (BASE + "serach: {engine: random, trials: 3}\nspace: {dropout: {low: 0.1, high: 0.2}}", ["serach"]),
        (BASE + "search: {engin: random, trials: 3}\nspace: {dropout: {low: 0.1, high: 0.2}}", ["search.engin"]),
        (BASE + "search: {engine: random, trails: 3}", ["search.trails"]),
        (BASE + "search: {engine: random, trials: 0}", ["search.trials"]),
        (BASE + "search: {engine: 3}\nspace: {dropout: {low: 0.1, high: 0.2}}", ["search.engine"]),
        (BASE + "search: {fold: 4, holdout: 2}", ["search.fold", "search.holdout"]),
        ("data: {train: train.csv}\nmodel: fc\nsearch: {vall: 0.3}\ncallbacks: {early_stopping: {}}", ["search.vall"]),
        ("data: {train: train.csv, lable: y}\nmodel: fc", ["data.lable"]),
        ("data: {train: train.csv, label: true}\nmodel: fc\nsearch: {folds: 500}", ["data.label"]),
        ("dta: {train: digits}\nmodel: fc", ["dta"]),
        ("data: {train: digits}\nmodel: nets.py:build\nparms: {width: 3}", ["parms"]),
        ("data: {train: digits}\nmodel: nets.py:build\nspace: 3\nparams: {optimizer.momentum: 0.9, loss.delta: 1}", ["space"]),
        (BASE + "space: {loss: [], loss.delta: [1.0]}", ["space.loss"]),
        (
            BASE + "stages: [{trainable: all, epochs: 0}]\nparams: {epochs: 5}\n"
            "space: {stages.2.epochs: [1], stages.3.learning_rate: [0, 0.1]}",
            ["stages[0].epochs", "params.epochs", "space.stages.3.learning_rate"],
        ),
        (BASE + "stags: [{trainable: all, epochs: 1}]\nspace: {stages.2.epochs: [1]}", ["stags"]),
        (BASE + "space: {stages: [], stages.2.epochs: [1, 0]}", ["space.stages", "space.stages.2.epochs"]),
        (BASE + "space: {stages: [7], stages.2.epochs: [1]}", ["space.stages"]),
    ],
)  # fmt: skip
def test_a_fault_neither_hides_another_nor_makes_one_up(folder, text, paths):
    with pytest.raises(ConfigError) as caught:
        check(folder, text)
    assert sorted(fault.path for fault in caught.value.faults) == sorted(paths)


def test_a_function_that_takes_callbacks_itself(folder):
    (folder / "nets.py").write_text("def build(input_shape, n_classes, callbacks): pass")
    text = "data: {train: digits}\nmodel: nets.py:build\nparams: {callbacks: 3}"
    assert check(folder, text).signature.names == ("callbacks",)
    assert refusal(folder, text.replace("build", "bild", 1)).startswith("grid.yaml:2, model: ")


def test_the_default_inner_split_says_that_it_is_the_default(folder):
    found = refusal(folder, "data: {train: train.csv}\nmodel: fc\ncallbacks: {early_stopping: {}}")
    assert found.startswith(
        "grid.yaml, search.val: is 0.1 by default: fold 0: its 8 training rows of 2 classes"
    )


def test_overrides_are_checked_with_the_file(folder):
    found = refusal(folder, BASE + "search: {seed: 1}", "search.folds=1", "space.dropuot=[0.1]")
    assert [line.partition(": ")[0] for line in found.splitlines()] == [
        "overrides, search.folds",
        "overrides, space.dropuot",
    ]
    assert check(folder, BASE, "space.optimizer.momentum=[0.9]", "params.optimizer=SGD").space[0] == {
        "optimizer.momentum": 0.9
    }


def test_what_a_sound_file_gives(folder):
    prepared = check(
        folder,
        "data: {train: train.csv, image: [2, 2, 1]}\nmodel: nets.py:build\nparams: {width: 3}\n"
        "space: {depth: [1, 2], epochs: [1, 2]}\nsearch: {folds: 2, seed: 0}",
    )
    assert prepared.config.name == "grid"
    assert (prepared.data.images.shape, prepared.data.classes) == ((12, 2, 2, 1), ("a", "b"))
    assert [params["depth"] for params in prepared.space] == [1, 1, 2, 2]
    assert sorted(np.concatenate([fold.test for fold in prepared.folds])) == list(range(12))
    assert (prepared.signature.names, prepared.objective.direction) == (("width", "depth"), "max")


def test_paths_are_relative_to_the_file_not_to_the_working_folder(folder, monkeypatch):
    (folder / "grid.yaml").write_text("data: {train: train.csv}\nmodel: nets.py:build\nparams: {width: 1}\n")
    other = folder / "elsewhere"
    other.mkdir()
    monkeypatch.chdir(other)
    assert len(prepare("../grid.yaml").data) == 12


@pytest.mark.parametrize(
    ("objective", "model", "kind"),
    [
        ("r2", "mlp", "numbers"),
        ("mean_absolute_error", "mlp", "numbers"),
        ("accuracy", "mlp", "classes"),
        ("neg_log_loss", "mlp", "classes"),
        ("r2", lambda input_shape, n_classes: ..., "classes"),
    ],
)
def test_whole_numbers_are_predicted_where_score_and_model_are_of_numbers(objective, model, kind):
    config = {"model": model, "search": {"objective": objective}}
    prepared = prepare(config, Given(np.zeros((12, 4)), np.arange(12) % 3 * 5))
    assert prepared.data.target.kind == kind


@pytest.mark.parametrize(
    ("model", "y", "kind"),
    [
        ("mlp", np.array([10, 20, 500]), "classes"),
        ("mlp", np.array([10.0, 20, 500]), "numbers"),
        ("mlp", np.arange(20, 31), "numbers"),
        (lambda input_shape: ..., np.array([10, 20, 500]), "numbers"),
    ],
)
def test_few_whole_numbers_of_many_samples_are_labels_of_a_model_of_both(model, y, kind):
    config = {"model": model, "search": {"objective": "neg_mean_absolute_error"}}
    prepared = prepare(config, Given(np.arange(480.0).reshape(120, 4), np.resize(y, 120)))
    assert prepared.data.target.kind == kind
    told = [line for line in prepared.warnings if line.startswith("y holds 3 whole numbers, which")]
    assert len(told) == (kind == "classes")


def test_a_dict_with_a_function_and_arrays(folder):
    def build(input_shape, n_classes, width=1):
        raise AssertionError("a check runs no model function")

    X, y = np.zeros((12, 4)), np.arange(12) % 2
    prepared = prepare({"model": build, "space": {"width": [1, 2]}}, Given(X, y))
    assert (prepared.config.name, prepared.space.size, len(prepared.folds)) == ("search", 2, 3)
    with pytest.raises(ConfigError) as caught:
        prepare(
            {"model": build, "data": {"train": "digits", "subset": 4}, "space": {"wdth": [1]}}, Given(X, y)
        )
    assert [fault.path for fault in caught.value.faults] == ["data.train", "data.subset", "space.wdth"]
    with pytest.raises(ConfigError, match="data: X and y: 12 samples, but labels of 11"):
        prepare({"model": build}, Given(X, y[:11]))


def test_a_model_that_can_be_called_is_no_model_function(folder):
    class Sequential:
        def __call__(self, inputs):
            raise AssertionError("a check calls no model")

        def count_params(self):
            return 0

    with pytest.raises(
        ConfigError, match="model: is a Sequential; give the function that builds and returns it"
    ):
        prepare({"model": Sequential()}, Given(np.zeros((12, 4)), np.arange(12) % 2))


@pytest.mark.slow
def test_a_function_in_hand_declares_its_hyperparameters():
    import keras

    def build(hp, depth=1):
        hp.Choice("units", [8, 16])
        hp.Boolean("batch_norm")
        return keras.Sequential()

    def conditional(hp):
        hp.Choice("kind", ["a", "b"])
        with hp.conditional_scope("kind", ["a"]):
            hp.Int("n", 1, 4)
        return keras.Sequential()

    X, y = np.zeros((12, 4)), np.arange(12) % 2
    prepared = prepare(
        {"model": build, "params": {"batch_norm": True}, "space": {"epochs": [1, 2]}}, Given(X, y)
    )
    assert (prepared.signature.style, prepared.signature.names) == ("hp", ("depth", "units", "batch_norm"))
    assert [params["units"] for params in prepared.space] == [8, 16, 8, 16]
    assert prepared.space.names == ["epochs", "units"]
    with pytest.raises(ConfigError, match=r"space\.unit: unknown parameter\. Did you mean 'units'"):
        prepare({"model": build, "space": {"unit": [1]}}, Given(X, y))
    some, whole = [{"kind": "a", "n": n} for n in (1, 2, 3, 4)], {"model": conditional}
    assert list(prepare(whole, Given(X, y)).space) == [*some, {"kind": "b"}]
    assert list(prepare({**whole, "params": {"kind": "b"}}, Given(X, y)).space) == [{}]
    assert list(prepare({**whole, "params": {"kind": "a"}}, Given(X, y)).space) == [
        {"n": n} for n in (1, 2, 3, 4)
    ]
    assert list(prepare({**whole, "space": {"kind": ["a"]}}, Given(X, y)).space) == some
    assert list(prepare({**whole, "space": {"kind": ["b"]}}, Given(X, y)).space) == [{"kind": "b"}]
    assert list(prepare({**whole, "params": {"n": 3}}, Given(X, y)).space) == [{"kind": "a"}, {"kind": "b"}]


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ("search.seed=1", "search.seed"),
        ("search.folds=4", "search.folds"),
        ("search.repeats=2", "search.repeats"),
        ("search.objective=f1_macro", "search.objective"),
        ("search.val=0.2", "search.val"),
        ("data.scale=8", "data.scale"),
        ("data.standardize=true", "data.standardize"),
        ("data.subset=900", "data"),
        ("model=bn_cnn", "model"),
        ("params.activation=tanh", "params"),
        ("callbacks.early_stopping.patience=1", "callbacks"),
    ],
)
def test_what_makes_a_run_the_same_run_changes_its_identity(folder, change, key):
    before, after = check(folder, BASE).identity, check(folder, BASE, change).identity
    assert key in {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    "change", ["executor.kind=inline", "executor.workers=3", "search.trials=2", "training.pack=off", "space.dropout=[0.1]", "name=x"]
)  # fmt: skip
def test_what_may_change_within_a_run(folder, change):
    assert check(folder, BASE).identity == check(folder, BASE, change).identity


def test_what_augmentation_and_data_both_do_is_a_fault_wherever_it_is_asked_for(folder):
    again = "augment.rescale: multiplies pixels that data.scale divides already: keep one of them."
    assert again in refusal(folder, BASE + "augment: {rescale: 0.5}", "data.scale=16")
    assert f"space.{again}" in refusal(folder, BASE + "space: {augment.rescale: [0.5]}", "data.scale=16")
    again = "augment.featurewise_center: is done by data.standardize already: keep one of them."
    assert again in refusal(folder, BASE + "augment: {featurewise_center: true}", "data.standardize=true")
    again = "augment.featurewise_center: is done by data.normalize already: keep one of them."
    given = "data.normalize={mean: [0.5], std: [0.25]}"
    assert again in refusal(folder, BASE + "augment: {featurewise_center: true}", given)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("normalize: {mean: [0.5], std: [0.25]}, standardize: true", "is given, and so is data.standardize"),
        (
            "normalize: {mean: [0.5, 0.5, 0.4], std: [0.2, 0.2, 0.2]}",
            "has figures of 3 channels, and samples of digits have 1: one a channel holds, or one for all.",
        ),
        ("normalize: {mean: [0.5], std: [0.0]}", "is 0.0; above 0 holds."),
        ("normalize: {mean: [0.5, 0.5], std: [0.1]}", "has 1 numbers and mean has 2; one a channel of both"),
        ("normalize: {mean: [.nan], std: [0.1]}", "is nan"),
        ("normalize: {mean: [0.5]}", "is missing"),
    ],
)
def test_figures_to_normalize_by_that_do_not_fit(folder, data, message):
    text = refusal(folder, f"model: fc\ndata: {{train: digits, {data}}}")
    assert message in text
    assert "data.normalize" in text


@pytest.mark.parametrize(
    ("data", "more", "told"),
    [
        (
            "",
            "",
            "which are of pixels from 0 to 1, and those of digits are 0 to 16: write `scale: 16` beside",
        ),
        ("scale: 16", "", None),
        ("", "augment: {rescale: 0.0625}", None),
        (
            "scale: 16, MEAN",
            "",
            "and pixels of digits, divided by data.scale first, are 0 to 1: leave data.s",
        ),
        ("MEAN", "", None),
    ],
)
def test_figures_of_pixels_on_another_scale_draw_a_warning(folder, data, more, told):
    figures = "mean: [8.0], std: [4.0]" if "MEAN" in data else "mean: [0.1307], std: [0.3081]"
    data = data.replace("MEAN", "").strip(", ")
    section = f"data: {{train: digits, normalize: {{{figures}}}{', ' if data else ''}{data}}}"
    warnings = check(folder, f"model: fc\n{section}\n{more}").warnings
    assert len(warnings) == (told is not None)
    assert told is None or told in warnings[0]


@pytest.mark.parametrize("thresholds", ["chosen", 0.3])
def test_thresholds_are_of_several_labels(folder, thresholds):
    text = refusal(folder, f"model: fc\ndata: {{train: digits}}\nsearch: {{thresholds: {thresholds}}}")
    told = f"is {thresholds}, which is of several labels a sample, and each sample has one class here: leave"
    assert f"search.thresholds: {told}" in text


def test_digits_that_are_flipped_draw_a_warning(folder):
    warned = check(folder, BASE + "space: {augment.horizontal_flip: [true, false]}").warnings
    assert warned == ("augment flips images of digits or letters, which are other signs then.",)
    assert check(folder, BASE + "augment: {rotation_range: 10}").warnings == ()
    warned = check(folder, BASE + "augment: {crop_scale: [0.3, 1]}").warnings
    assert warned == (
        "augment crops to less than 50% of images of digits or letters, which are other signs then.",
    )
    assert check(folder, BASE + "augment: {crop_scale: 0.6, horizontal_flip: 0.0}").warnings == ()


def test_hues_of_classes_that_are_called_by_them_are_told():
    classes = ["Red apple", "green_apple", "pear"]
    told = "augment.hue_range turns hues, and classes are called red and green: they may be others then."
    for turn in (0.1, [0.0, 0.2]):
        assert warning_of_hues(Augment(hue_range=turn), classes) == told
    assert warning_of_hues(Augment(hue_range=0.0), classes) is None
    assert warning_of_hues(Augment(saturation_range=0.5), classes) is None
    assert warning_of_hues(Augment(hue_range=0.1), ["red panda", "fox", "greenland dog"]) is None


UNSCALED = "pixels of 0 to 16 reach the net as they are stored, and nets learn better from small numbers: write `scale: 16` into the section data, or begin the model with a layer that scales."


@pytest.mark.parametrize(
    ("text", "own", "told"),
    [
        ("", [False], UNSCALED),
        ("", [False, None], UNSCALED),
        ("", [True], None),
        ("", [None], None),
        ("", [], None),
        ("", [True, False], UNSCALED.replace("the net as", "the nets of some candidates (dropout: 0.2) as")),
        ("augment: {rotation_range: 5}", [False], UNSCALED),
        ("augment: {rescale: 0.06}", [False], None),
        ("augment: {featurewise_center: true}", [False], None),
        ("augment: {samplewise_std_normalization: true}", [False], None),
        ("augment: {preprocessing_function: nets.py:made}", [False], None),
        ("space: {augment: [off, {rescale: 0.06}]}", [False], UNSCALED),
        ("space: {augment.rescale: [0.06, 0.05]}", [False], None),
    ],
)
def test_pixels_that_nothing_scales_draw_a_warning(folder, text, own, told):
    """By what building the models has shown of their first layers: that these scale, or not; None for unknown."""
    records = [ProbeRecord({"dropout": 0.2}, 100, None, "cpu", scales_input=scales) for scales in own]

    def warned(*overrides, **how):
        found = check(folder, BASE + text, *overrides)
        return warnings_of_scale(found.config, found.space, found.data, records, **how)

    assert warned() == (() if told is None else (told,))
    if told is not None:
        assert ": give X / 16, or begin the model" in warned(is_read=True)[0]
    if "rescale" not in text:
        assert warned("data.scale=16") == ()
    if "featurewise" not in text:
        assert warned("data.standardize=true") == ()


PIXELS = "backbone takes pixels of 0 to 255 and scales them itself, and {}: write `scale: 0.0627451`, and nothing else that scales, into the section data."


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([], PIXELS.format("they are 0 to 16")),
        (["data.scale=16"], PIXELS.format("data.scale divides them by 16")),
        (["data.scale=0.0627451"], None),
        (["data.standardize=true"], PIXELS.format("data.standardize centres them")),
        (["augment.rescale=15.9375"], None),
        (["augment.rescale=0.0625"], PIXELS.format("augment.rescale multiplies them by 0.0625")),
        (["augment.samplewise_center=true"], PIXELS.format("augment centres them")),
        (["augment.featurewise_std_normalization=true"], PIXELS.format("augment centres them")),
    ],
)
def test_a_model_that_scales_pixels_itself_is_to_be_given_such(folder, overrides, told):
    found = check(folder, BASE, "model=backbone", *overrides)
    records = [ProbeRecord({}, 100, None, "cpu", scales_input=True)]
    warned = warnings_of_scale(found.config, found.space, found.data, records)
    assert warned == (() if told is None else (told,))


FROZEN = Frozen("k", "conv", 1, 9, (4,), Graph(None))


@pytest.mark.parametrize(
    ("overrides", "frozen", "told"),
    [
        (["augment.rotation_range=5"], (), None),
        (["augment.rotation_range=5", "augment.views=3"], (FROZEN,), None),
        (
            ["augment.views=3"],
            (FROZEN,),
            "augment.views is 3, but nothing is augmented: give what samples are augmented by, or leave it out.",
        ),
        (
            ["augment.rotation_range=5", "augment.views=3"],
            (),
            "augment.views is 3, but no net has a frozen part that is computed once, and images are augmented "
            "anew in each epoch: freeze layers, or leave it out.",
        ),
    ],
)
def test_views_that_are_not_taken_are_told(folder, overrides, frozen, told):
    found = check(folder, BASE, *overrides)
    records = [ProbeRecord({}, 100, None, "cpu", frozen=frozen)]
    assert warnings_of_views(found.config, found.space, records) == (() if told is None else (told,))


def test_files_of_weights_are_told_and_make_a_run_the_same_run(folder):
    (folder / "net.keras").write_bytes(b"some")
    space = "space: {weights: [none, imagenet, net.keras, gone.keras]}"
    found = check(folder, BASE + space, "model=backbone")
    told = found.identity["the source of callbacks and preprocessing_function"]
    assert told == {"weights net.keras": hashlib.sha256(b"some").hexdigest()}
    kept = WeightsFile("net.keras", "/there/net.keras", 4, "0a")
    away = WeightsFile("imagenet of VGG16", "/home/f.h5", 58 << 20, None, "https://there/f.h5")
    records = [ProbeRecord({}, 1, None, "cpu", weights=files) for files in [(kept,), (), (away,), (kept,)]]
    assert notes_of_weights(records) == (
        "weights: net.keras is at hand (4 bytes)",
        "weights: imagenet of VGG16 is not at hand: a search downloads about 58 MiB from https://there/f.h5 to "
        "/home/f.h5",
    )


COLD = (
    "BatchNormalization will not have warmed up in {}: batch_size {}, after which {} of its moving statistics "
    "(momentum 0.99) are still first values. Scores may be wrong by points: `training: {{batch_norm: debiased}}` "
    "makes them without first values."
)
TWO = "space: {units: [[8], [16]], epochs: [1, 40]}"
STAGES = "stages: [{trainable: head, epochs: 40}, {trainable: all, epochs: 1}]\n"


@pytest.mark.parametrize(
    ("text", "momenta", "told"),
    [
        # 1,797 digits, of which the smallest of three folds trains on 1,198: 38 steps of 32 an epoch.
        (
            "params: {epochs: 2}",
            [0.99],
            COLD.format("1 of 1 candidates", "32 and 2 epochs make 76 steps", "47%"),
        ),
        ("params: {epochs: 11}", [0.99], None),
        ("params: {epochs: 1}", [()], None),
        ("params: {epochs: 1}", [], None),
        ("params: {epochs: 1}\ntraining: {batch_norm: debiased}", [0.99], None),
        (
            "params: {epochs: 1}\nspace: {training.batch_norm: [keras, debiased]}",
            [0.99],
            COLD.format("1 of 2 candidates", "32 and 1 epoch make 38 steps", "68%"),
        ),
        # The worst is told, and the number of all; those without BatchNormalization are among them.
        (TWO, [0.99, 0.99], COLD.format("2 of 4 candidates", "32 and 1 epoch make 38 steps", "68%")),
        (TWO, [(), 0.99], COLD.format("1 of 4 candidates", "32 and 1 epoch make 38 steps", "68%")),
        (TWO, [0.99], COLD.format("1 of the 2 candidates looked at", "32 and 1 epoch make 38 steps", "68%")),
        (
            "space: {batch_size: [1024, 2048], epochs: [3, 500]}",
            [0.99],
            COLD.format("2 of 4 candidates", "2048 and 3 epochs make 3 steps", "97%"),
        ),
        # A tenth is the inner split: 1,078 rows make 34 steps.
        (
            "params: {epochs: 1}\nsearch: {val: 0.1}",
            [0.99],
            COLD.format("1 of 1 candidates", "32 and 1 epoch make 34 steps", "71%"),
        ),
        (
            "params: {epochs: 1}\ncallbacks: {early_stopping: {monitor: val_loss}}",
            [0.99],
            COLD.format("1 of 1 candidates", "32 and 1 epoch make 34 steps", "at least 71%"),
        ),
        ("params: {epochs: 11}\ncallbacks: {early_stopping: {monitor: loss}}", [0.99], None),
        (
            "space: {epochs: [1], dropout: [0.1, 0.2, 0.3]}\nsearch: {engine: halving, val: 0.1}",
            [0.99],
            COLD.format("1 of the 1 candidates looked at", "32 and 1 epoch make 34 steps", "71%"),
        ),
        # In stages each layer by the epochs in which it is trained; others that train in others are another net.
        (STAGES, [((0.5, (1,)), (0.99, (0, 1)))], None),
        (
            STAGES,
            [((0.99, (0, 1)), (0.99, (1,)))],
            COLD.format("1 of 1 candidates", "32 and 1 epoch in which it is trained make 38 steps", "68%"),
        ),
        (STAGES.replace("all", "head"), [()], None),
        (
            STAGES + "space: {stages.1.trainable: [head, all]}",
            [((0.99, (1,)),)],
            COLD.format(
                "1 of the 1 candidates looked at",
                "32 and 1 epoch in which it is trained make 38 steps",
                "68%",
            ),
        ),
        # After rungs all rows are trained on, where the inner split is theirs alone.
        (
            "space: {epochs: [1], dropout: [0.1, 0.2, 0.3]}\nsearch: {engine: halving}",
            [0.99],
            COLD.format("1 of the 1 candidates looked at", "32 and 1 epoch make 38 steps", "68%"),
        ),
    ],
)
def test_batch_normalization_that_will_not_have_warmed_up_draws_a_warning(folder, text, momenta, told):
    found = check(folder, f"data: {{train: digits, scale: 16}}\nmodel: fc\n{text}")
    recipe = make_recipe(found, RunPaths(folder / "results", "x"))
    models = list({str(recipe.route(params).model): params for params in found.space}.values())
    momenta = [((found, (0,)),) if isinstance(found, float) else found for found in momenta]
    records = [
        ProbeRecord(params, 1, None, "cpu", momenta=found)
        for params, found in zip(models, momenta, strict=False)
    ]
    warned = warnings_of_first_values(
        recipe, found.data, found.folds, records, map(recipe.route, found.space)
    )
    assert warned == (() if told is None else (told,))


def test_gradients_that_are_added_up_for_longer_than_a_fit_draw_a_warning(folder):
    text = "data: {train: digits, scale: 16, subset: 100}\nmodel: fc\nparams: {batch_size: 20}\n"
    text += "space: {epochs: [1, 2], training.accumulate: [1, 3, 6]}\nsearch: {folds: 2}"
    found = check(folder, text)
    recipe = make_recipe(found, RunPaths(folder / "results", "x"))
    routes = [recipe.route(params) for params in found.space]
    assert warnings_of_accumulation(recipe, found.data, found.folds, routes) == (
        "training.accumulate is 6, and a fit has 3 steps (1 epoch of batch_size 20): no weight is ever changed. Take "
        "fewer, or more epochs.",
    )
    whole = [route for route in routes if route.training.accumulate < 6 or route.epochs == 2]
    assert warnings_of_accumulation(recipe, found.data, found.folds, whole) == ()


@pytest.mark.parametrize(
    "text",
    [
        "training: {precision: mixed_bfloat16}",
        "params: {training.precision: mixed_bfloat16}",
        "space: {training.precision: [float32, mixed_bfloat16]}",
    ],
)
@pytest.mark.parametrize("has_gpu", [False, True])
def test_bfloat16_that_nothing_multiplies_draws_a_warning(folder, monkeypatch, text, has_gpu):
    monkeypatch.setattr(candidates, "count_gpus", lambda: int(has_gpu))

    def told(given, answer):
        monkeypatch.setattr(candidates, "multiplies_bfloat16", lambda: answer)
        found = check(folder, f"data: {{train: digits, scale: 16}}\nmodel: fc\n{given}")
        return [*notes_of_precision(found.config, found.space), *found.warnings]

    name = "GPU" if has_gpu else "processor"
    does = "GPU does" if has_gpu else "processor, which has neither AVX512_BF16 nor AMX_BF16, does"
    assert told(text, True) == [f"mixed_bfloat16: the {name} multiplies it itself"]
    assert told(text, False) == [
        f"training.precision is mixed_bfloat16, and this {does} not multiply it itself: it is slower than "
        "float32 here. Leave it out, or train on a machine that does."
    ]
    assert told(text, None) == []
    assert told("", False) == told("", True) == []


def test_flipped_classes_of_many_numbers_may_be_letters(folder):
    rows = "".join(f"{1 + i % 26},{i},2,3,4\n" for i in range(104))
    text = "data: {train: letters.csv}\nmodel: fc\naugment: {horizontal_flip: true}"
    (folder / "letters.csv").write_text("label,p0,p1,p2,p3\n" + rows)
    maybe = "augment flips images: if these are digits or letters, they are other signs then."
    assert check(folder, text).warnings == (maybe,)
    (folder / "letters.csv").write_text("label,p0,p1,p2,p3\n" + rows.replace("26,", "62,"))
    assert check(folder, text).warnings == ()


@pytest.mark.parametrize(
    ("kind", "classes", "may_be"),
    [
        ("photographs", range(6), False),
        ("photographs", range(10), False),
        ("photographs", "ABCDEFGHIJKL", False),
        ("grey photographs", range(5), False),
        ("strokes", range(6), True),
        ("strokes in grey of three channels", range(10), True),
        ("strokes", ["cat", "dog"], False),
        ("strokes", [100, 200], False),
    ],
)
def test_flipped_images_are_told_of_where_they_look_written(kind, classes, may_be):
    numbers = np.random.default_rng(0)
    images = numbers.integers(0, 256, (40, 8, 8, 3 if kind == "photographs" else 1), dtype=np.uint8)
    if kind.startswith("strokes"):
        images[numbers.random(images.shape) < 0.7] = 0
    if "three" in kind:
        images = np.repeat(images, 3, axis=3)
    told = warning_of_signs(Augment(horizontal_flip=True), list(classes), images)
    assert told == (
        "augment flips images: if these are digits or letters, they are other signs then." if may_be else None
    )


CLASSES = np.random.default_rng(1).integers(0, 3, 60)


@pytest.mark.parametrize(
    ("label", "columns", "told"),
    [
        ("k", {"k": CLASSES, "copy": CLASSES * 7}, "columns 'copy': a score near 1.0 says nothing"),
        ("k", {"k": CLASSES, "is_1": (CLASSES == 1) * 1}, "columns 'is_1': a score"),
        (
            "c",
            {name: 1 * (place == CLASSES) for place, name in enumerate("abc")},
            "columns 'a', 'b' together: a",
        ),
        ("k", {"k": CLASSES, "other": np.roll(CLASSES, 1)}, None),
    ],
)
def test_columns_that_give_the_label_away_are_told(folder, label, columns, told):
    if told is None or len(columns) == 2:
        columns = {**columns, "noise": np.random.default_rng(0).integers(0, 255, 60)}
    pd.DataFrame(columns).to_csv(folder / "train.csv", index=False)
    image = f"[1, 1, {len(columns) - 1}]"
    found = check(folder, f"model: fc\ndata: {{train: train.csv, label: {label}, image: {image}}}").warnings
    expected = f"train.csv: the label can be told, wholly or in part, from {told}"
    assert found == () if told is None else found[0].startswith(expected)


def test_values_of_arrays_that_give_the_label_away_are_told():
    X = np.random.default_rng(0).integers(0, 255, (60, 4, 4, 1))
    assert not any("can be told" in line for line in prepare({"model": "fc"}, Given(X, CLASSES)).warnings)
    X[:, 1, 2, 0] = CLASSES
    assert any(
        "from values at [1, 2, 0]: a score" in line
        for line in prepare({"model": "fc"}, Given(X, CLASSES)).warnings
    )


@pytest.mark.parametrize(
    ("names", "said", "told"),
    [
        ("id,p0,p1,p2,p3", "id: id", None),
        ("id,p0,p1,p2,p3", "id: ", None),
        ("p0,p1,p2,p3", "id: ", None),
        ("id,label,p0,p1,p2,p3", "id: id", None),
        (
            "id,p0,p1,p2,p3,more",
            "id: id",
            "5 pixel columns, and an image that was trained on has 4. It has 'more', wh",
        ),
        (
            "p0,p1,p2",
            "id: ",
            "3 pixel columns, and an image that was trained on has 4. It lacks 'p3', which they",
        ),
        (
            "id,p0,p1,p2,q",
            "id: id",
            "other columns than in the training data. It has 'q', which the training data ha",
        ),
        (
            "p0,p1,p3,p2",
            "id: ",
            "the pixel columns come in another order than in the training data: 'p3' where 'p2'",
        ),
    ],
)
def test_columns_of_test_that_train_has_not_are_told_and_those_it_lacks(folder, names, said, told):
    (folder / "test.csv").write_text(f"{names}\n")
    found = check(folder, f"model: fc\ndata: {{train: train.csv, test: test.csv, {said}}}").warnings
    assert found == () if told is None else found[0].startswith(f"data.test: test.csv, line 1: {told}")


def test_an_id_that_neither_file_has_is_a_fault(folder):
    (folder / "test.csv").write_text("id,p0,p1,p2,p3\n")
    text = "model: fc\ndata: {train: train.csv, test: test.csv, id: ID}"
    assert "data.train: train.csv, line 1: no id column 'ID'." in refusal(folder, text)


def test_the_id_is_a_column_of_test_where_the_training_data_have_none(folder):
    names = [f"p{place}" for place in range(64)]
    text = "model: fc\ndata: {train: digits, scale: 16, test: test.csv, id: id}"
    for first in (["id"], [], ["Id", "x"]):
        (folder / "test.csv").write_text(",".join([*first, *names]) + "\n")
        if first == ["id"]:
            assert check(folder, text).warnings == ()
        else:
            assert "data.id: is 'id', which is no column of test.csv." in refusal(folder, text)
    found = check(folder, text.replace("id: id", "id: Id")).warnings
    assert found[0].startswith(
        "data.test: test.csv, line 1: 65 pixel columns, and an image that was trained on has 64"
    )


@pytest.mark.parametrize(("of_train", "of_test"), [("", "id,"), ("id,", ""), ("id,", "id,")])
def test_a_test_set_with_labels_has_an_id_where_train_has_none(folder, of_train, of_test):
    for name, first in (("train", of_train), ("test", of_test)):
        lines = "".join(f"{f'{i},' if first else ''}{i % 2},{i},2,3,4\n" for i in range(12))
        (folder / f"{name}.csv").write_text(f"{first}label,p0,p1,p2,p3\n{lines}")
    text = "model: fc\ndata: {train: train.csv, test: test.csv, id: id}\nsearch: {holdout: test}"
    assert (len(check(folder, text).data), check(folder, text).data.n_held_out) == (24, 12)
    (folder / "test.csv").write_text((folder / "test.csv").read_text().replace("p0,p1", "p1,p0"))
    assert "the pixel columns come in another order" in refusal(folder, text)


def test_every_augmentation_beside_every_other_is_looked_at(folder):
    flipped = 'space: {augment: ["off", "on"], augment.horizontal_flip: [true, false]}'
    warned = check(folder, BASE + flipped).warnings
    assert warned[0] == "augment flips images of digits or letters, which are other signs then."
    assert "differ only in augment.*" in warned[1]
    for sizes in ("[99, 5]", "[5, 99]"):
        text = (
            f"{BASE}space: {{augment: [off, on], augment.blur_sigma: [1], augment.blur_kernel_size: {sizes}"
        )
        assert "space.augment.blur_kernel_size: is 99, and images have 8" in refusal(folder, text + "}")
        many = f"augment.rotation_range: {list(range(3000))}"
        assert "space.augment.blur_kernel_size: is 99" in refusal(folder, f"{text}, {many}}}")
    (folder / "pre.py").write_text("def f(image):\n    return image\n")
    text = BASE + "space: {augment: [off, on], augment.preprocessing_function: ['%s', '%s']}"
    for names in (("nosuch.py:f", "pre.py:f"), ("pre.py:f", "nosuch.py:f")):
        assert "space.augment.preprocessing_function: " in refusal(folder, text % names)
    (folder / "post.py").write_text("def f(image):\n    return image\n")
    identity = check(folder, text % ("post.py:f", "pre.py:f")).identity
    assert sorted(identity["the source of callbacks and preprocessing_function"]) == ["post.py:f", "pre.py:f"]


NO_SWITCH = "and there is nothing to switch on: give an `augment` section or `augment.NAME` beside it, or leave it out."
NO_BLUR = "is the size of a blur, and there is none: give blur_sigma, or leave it out."
NO_GEOMETRY = "is of what rotation, shift, shear or zoom leave empty, and there is none of them: give one, or leave it out."
NO_CONSTANT = (
    "is of fill_mode: constant, and fill_mode is nearest: give fill_mode: constant, or leave it out."
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('space: {augment: ["off", "on"]}', f"space.augment: is 'on', {NO_SWITCH}"),
        ("space: {augment: [false, true]}", f"space.augment: is true, {NO_SWITCH}"),
        ("params: {augment: on}", f"params.augment: is 'on', {NO_SWITCH}"),
        (
            'space: [{augment: ["on"], augment.rotation_range: [10]}, {augment: ["on"]}]',
            f"space.augment: is 'on', {NO_SWITCH}",
        ),
        ("augment: {blur_kernel_size: 5}", f"augment.blur_kernel_size: {NO_BLUR}"),
        ("space: {augment.blur_kernel_size: [3, 5]}", f"space.augment.blur_kernel_size: {NO_BLUR}"),
        ("params: {augment.blur_kernel_size: 5}", f"params.augment.blur_kernel_size: {NO_BLUR}"),
        (
            "space: {augment: [{blur_kernel_size: 5}, {blur_sigma: 1, blur_kernel_size: 3}]}",
            f"space.augment.blur_kernel_size: {NO_BLUR}",
        ),
        ("augment: {fill_mode: wrap, blur_sigma: 1}", f"augment.fill_mode: {NO_GEOMETRY}"),
        ("augment: {cval: 1, horizontal_flip: true}", f"augment.cval: {NO_GEOMETRY}"),
        ("augment: {fill_mode: wrap, crop_scale: 0.5}", f"augment.fill_mode: {NO_GEOMETRY}"),
        (
            "augment: {crop_ratio: [1, 1], zoom_range: 0.1}",
            "augment.crop_ratio: is of a random crop, and there is none: give crop_scale, or leave it out.",
        ),
        (
            "augment: {cutout_value: 0}",
            "augment.cutout_value: is of a square that is cut out, and there is none: give cutout_size, or "
            "leave it out.",
        ),
        (
            "augment: {mix_probability: 0.5}",
            "augment.mix_probability: is of mixing samples, and there is none: give mixup_alpha or "
            "cutmix_alpha, or leave it out.",
        ),
        ("augment: {cval: 1, zoom_range: 0.5}", f"augment.cval: {NO_CONSTANT}"),
        ("augment: {rotation_range: 5}\nspace: {augment.cval: [0, 1]}", f"space.augment.cval: {NO_CONSTANT}"),
    ],
)
def test_what_changes_nothing_in_augmentation_is_a_fault(folder, text, message):
    found = refusal(folder, BASE + text).splitlines()
    assert [line.partition(", ")[2] for line in found] == [message]


@pytest.mark.parametrize(
    "text",
    [
        "augment: {fill_mode: constant, cval: 1}\nspace: {augment.rotation_range: [0, 10]}",
        "augment: {fill_mode: constant, cval: 1}\nspace: [{augment.rotation_range: [10]}, {}]",
        "augment: {rotation_range: 0, cval: 1}\nspace: {augment.fill_mode: [nearest, constant]}",
        "augment: {blur_kernel_size: 3}\nspace: {augment.blur_sigma: [0, 1]}",
        "augment: {rotation_range: 5}\nspace: {augment: [off, on, {blur_sigma: 1}], augment.fill_mode: [wrap]}",
        'space: [{augment: ["off"]}, {augment: ["on"], augment.rotation_range: [10]}]',
        "augment: off\nspace: {augment: [off, {shear_range: 5}]}",
    ],
)
def test_what_some_candidate_uses_is_no_fault(folder, text):
    check(folder, BASE + text)


def test_each_images_own_statistics_are_of_images_alone():
    rows = np.arange(48.0).reshape(24, 2)
    labels = np.arange(24) % 2
    for name in ("samplewise_center", "samplewise_std_normalization"):
        with pytest.raises(ConfigError) as caught:
            prepare({"model": "fc", "augment": {name: True}}, Given(rows, labels))
        wanted = "is for images, and each sample has the shape (2,): leave it out."
        assert f"augment.{name}: {wanted}" in str(caught.value)
    prepare({"model": "fc", "augment": {"rescale": 0.5}}, Given(rows, labels))


@pytest.mark.parametrize(
    ("space", "name"),
    [
        ({"augment": ["off", "on"], "augment.rotation_range": [5, 10]}, "augment"),
        (
            {
                "callbacks.learning_rate_scheduler.schedule": ["cosine", "step"],
                "callbacks.learning_rate_scheduler.decay_rate": [0.1, 0.5],
            },
            None,
        ),
        (
            {"callbacks.early_stopping": ["off", "on"], "callbacks.early_stopping.patience": [1, 2]},
            "callbacks",
        ),
        ({"augment": ["off", "on"], "dropout": [0.1, 0.2]}, None),
        ([{"augment": ["off"]}, {"augment": ["on"], "augment.rotation_range": [5, 10]}], None),
    ],
)
def test_candidates_that_differ_in_nothing_are_warned_of(space, name):
    found = prepare(
        {"data": {"train": "digits"}, "model": "fc", "space": space, "augment": {"rotation_range": 1}}
    )
    told = [line for line in found.warnings if "differ only in" in line]
    assert [line.split(".*")[0].rpartition(" ")[2] for line in told] == ([name] if name else [])


TABLES = ("diabetes", "breast_cancer", "readings", "demand")


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    """The folder of the experiments beside the tables that they make."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(Path(__file__).parents[2] / "experiments", folder / "experiments")
    runpy.run_path(str(folder / "experiments/make_tables.py"))["main"](folder / "data")
    return folder / "experiments"


@pytest.mark.tree
@pytest.mark.parametrize("name", TABLES)
def test_experiments_with_tables_pass(experiments, name):
    for part in ("train", "test", "sample_submission"):
        assert (experiments.parent / f"data/{name}/{part}.csv").is_file()
    assert prepare(experiments / f"{name}.yaml").warnings == ()


@pytest.mark.tree
@pytest.mark.parametrize(
    ("name", "maker"),
    [
        ("dogs_cats", "dogs_cats"),
        ("dirty_mnist", "dirty_mnist"),
        ("shapes", "shapes"),
        ("backbones", "shapes"),
    ],
)
def test_experiments_with_image_files_pass(experiments, name, maker):
    makers = runpy.run_path(str(experiments / "make_images.py"))["MAKERS"]
    makers[maker](experiments.parent / "data" / maker, 80, 80)
    fewer = ["data.subset=54"]
    assert prepare(experiments / f"{name}.yaml", overrides=fewer).warnings == ()
