"""Words: numbers, names and paths in plain words, and which known name is meant by one that is not."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import json
import math
import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^\s'\"<>]*)")
_WHOLE_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_USER = re.compile(r"[^:/?#]*:(?P<secret>.*)@", re.DOTALL)
"""Of a URL behind its scheme. A password ends at the last @, since it may hold any sign."""
_TOKEN = re.compile(r"(?P<secret>[^:/?#@]+)@")
"""A user alone, who is one for a server of the web."""
_CUT = re.compile(r"[^:/?#\[\]]*:(?P<secret>(?!\d*(?:[/?#:\s]|$)).+)", re.DOTALL)
"""What stands in the place of a port and is none: a password at which the URL was cut off."""
_NAMED = r"(?:passw|passp|pwd|token|secret|key|auth|cred|signature)[\w.-]*"
_NAME = rf"[\w.-]*{_NAMED}="
_HOLDER = (
    r"(?<![^?&\s'\"<>])[\w.-]+="
    rf"(?=[^?&\s'\"<>]*{_NAMED}(?:\+|%20)*%(?:25)*3D|[^?&;\s'\"<>]*{_NAMED}=)"
)
"""A key whose value has such names within it, as that of pyodbc's odbc_connect."""
_IN_URL = re.compile(rf"(?i:(?<=[?&;])(?:{_NAME}|{_HOLDER}))(?P<secret>[^&]+)")
_IN_MESSAGE = re.compile(rf"(?i:(?<![\w.-])(?:{_NAME}|{_HOLDER}))(?P<secret>\{{[^}}]*\}}|[^&#;\s'\"<>)}}]+)")
_WITHIN = re.compile(rf"(?i:(?<![\w.-]){_NAME})(?P<secret>\{{[^}}]*\}}|[^;]+)")
_OTHERWISE = re.compile(
    r"|\s.*|.*\s|[\[{'\"&*!|>%@`#].*|.*\s#.*|(---|\.\.\.)(\s.*)?"
    r"|[+-]?(\d[\d_.]*|\.\d+)(e[+-]?\d+)?|0x[\da-f]+|[+-]?\.?(inf(inity)?|nan)|true|false|null|none|~",
    re.IGNORECASE | re.DOTALL,
)
"""Texts that look like a number or a word of YAML's own, or whose ends cannot be seen."""
_BARE = re.compile(r"[\w+./:\\-]+")
_SHORT = 4
"""Secrets of fewer letters are masked in a message where they stand as a word."""
_OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of what a terminal obeys: control codes, marks that turn the direction of text or join letters,
halves of characters, ends of lines and paragraphs."""
_CALLED: dict[str, str] = {
    "params.learning_rate": "lr eta base_lr max_lr init_lr initial_lr initial_learning_rate learning_rates",
    "params.epochs": "n_epochs nb_epoch nb_epochs num_epochs epoch max_epochs max_epoch max_iter",
    "params.batch_size": "batchsize batch batch_sizes bs mini_batch mini_batch_size n_batch",
    "params.optimizer": "opt optim optimiser optimizers solver",
    "params.loss": "loss_function loss_fn criterion",
    "params.dropout": "dropout_rate drop_rate drop p_drop",
    "params.units": "hidden hidden_units n_hidden n_units neurons hidden_layer_sizes nodes layer_sizes",
    "params.activation": "activations act activation_function nonlinearity",
    "params.batch_norm": "batch_normalization bn batchnorm use_bn",
    "params.l2": "l2_reg kernel_regularizer regularization regularizer",
    "space": "param_grid param_distributions params_grid parameter_grid param_space search_space "
    "grid hyperparameters hyperparams hparams hp parameters distributions",
    "params": "fixed kwargs model_params model_kwargs build_args arguments",
    "model": "build_fn build_model hypermodel estimator net network architecture builder model_fn",
    "name": "project_name study_name experiment experiment_name run_name",
    "exclude": "constraints forbidden",
    "search.folds": "fold cv n_splits n_folds num_folds nfolds kfold kfolds k_fold k_folds cross_validation",
    "search.holdout": "test_size train_size validation_fraction test_split",
    "search.val": "validation_split val_split validation_size validation",
    "search.repeats": "executions_per_trial n_repeats n_seeds runs",
    "search.trials": "max_trials n_trials num_trials n_iter n_iterations n_candidates max_evals num_samples",
    "search.objective": "scoring scorer score metric metrics refit goal",
    "search.scores": "extra_metrics other_metrics more_metrics additional_metrics extra_scores",
    "search.weighted_scores": "weighted_metrics score_weights weighted_scoring",
    "search.seed": "random_state random_seed seeds rng",
    "search.engine": "tuner algorithm algo strategy sampler method search_method search_type oracle pruner",
    "search.time": "timeout time_budget time_limit max_time max_time_s duration",
    "search.factor": "reduction_factor eta_factor",
    "search.min_epochs": "min_resources min_resource",
    "search.keep_models": "save_models keep_model save_model save_best_only",
    "executor.gpus_per_worker": "gpus n_gpus num_gpus gpus_per_trial resources_per_trial",
    "executor.workers": "n_jobs jobs n_workers num_workers max_workers max_parallel processes",
    "training.pack": "packs packing",
    "training.precision": "mixed_precision dtype dtype_policy",
    "training.jit": "jit_compile xla",
    "training.accumulate": "gradient_accumulation_steps gradient_accumulation accumulation accumulate_grad",
    "training.class_weight": "class_weights balance balanced",
    "training.labels": "one_hot label_form categorical to_categorical",
    "callbacks.early_stopping": "earlystop early_stop stopping",
    "callbacks.reduce_lr_on_plateau": "reduce_lr plateau reduce_on_plateau lr_plateau",
    "callbacks.learning_rate_scheduler": "decay lr_decay lr_schedule lr_scheduler scheduler schedule "
    "learning_rate_decay learning_rate_schedule",
    "callbacks.early_stopping.patience": "n_iter_no_change",
    "callbacks.terminate_on_nan": "nan_terminate stop_on_nan",
    "data.train": "path file csv filename train_csv train_path train_file train_data data_path directory "
    "dataset input images x",
    "data.test": "test_csv test_path test_file test_data",
    "data.label": "labels target targets y y_col label_column target_column label_col class_column",
    "data.id": "id_column id_col index index_col",
    "data.sample_submission": "sample submission submission_file",
    "data.image": "image_size image_shape img_size target_size input_shape input_size shape size",
    "data.scale": "rescale divide",
    "data.standardize": "standardise standard_scaler featurewise_center featurewise_std_normalization zscore",
    "data.normalize": "normalise normalization mean_std channel_mean",
    "data.subset": "n_samples limit max_samples sample_size",
    "data.multi_label": "multilabel multi",
    "augment": "augmentation augmentations data_augmentation image_data_generator datagen",
    "augment.rotation_range": "rotation rotate",
    "augment.zoom_range": "zoom",
    "augment.width_shift_range": "width_shift shift horizontal_shift",
    "augment.height_shift_range": "height_shift vertical_shift",
    "augment.shear_range": "shear",
    "augment.horizontal_flip": "flip flip_left_right hflip",
    "augment.vertical_flip": "flip_up_down vflip",
    "augment.brightness_range": "brightness",
    "augment.contrast_range": "contrast random_contrast contrast_factor",
    "augment.saturation_range": "saturation random_saturation saturation_factor",
    "augment.hue_range": "hue random_hue hue_factor color_jitter",
    "augment.crop_scale": "crop random_crop random_resized_crop crop_size",
    "augment.cutout_size": "cutout cutout_length random_erasing erasing coarse_dropout",
    "augment.mixup_alpha": "mixup mix_up",
    "augment.cutmix_alpha": "cutmix cut_mix",
    "tpe": "tpesampler hyperopt bohb",
    "gp": "gpsampler gaussian_process gpyopt",
    "bayesian": "bayes bayesian_optimization bayesian_optimisation bo skopt",
    "hyperband": "hyperband_pruner",
    "halving": "asha sha successive_halving halving_grid_search halving_random_search halving_grid_search_cv "
    "halving_random_search_cv",
    "random": "randomized random_search randomized_search randomized_search_cv randomsearchcv",
    "grid": "grid_search grid_search_cv gridsearch exhaustive full brute_force",
    "autokeras": "auto ak nas automl",
    "accuracy": "acc",
    "mean_squared_error": "mse",
    "mean_absolute_error": "mae",
    "neg_log_loss": "log_loss logloss",
    "neg_root_mean_squared_error": "rmse",
    "neg_max_error": "max_error",
    "quadratic_kappa": "weighted_kappa quadratic_cohen_kappa",
    "cohen_kappa_score": "kappa cohen_kappa",
    "balanced_accuracy": "bacc balanced_acc",
    "matthews_corrcoef": "mcc",
    "f1_macro": "macro_f1",
    "f1_weighted": "weighted_f1",
    "mixed_float16": "float16 fp16 half amp",
    "mixed_bfloat16": "bfloat16 bf16",
    "processes": "process multiprocessing loky local joblib pool",
    "inline": "sequential serial thread threads threading synchronous none",
}
"""By what it is here, with its section: what others call it."""
_SAID = {
    "backend": "Keras's backend is chosen by the environment: KERAS_BACKEND=jax.",
    "verbose": "Nothing sets how much is printed: commands have --quiet, and Python prints nothing.",
    "verbosity": "Nothing sets how much is printed: commands have --quiet, and Python prints nothing.",
    "shuffle": "Samples are shuffled in each epoch, by search.seed, and folds are too, but for those of "
    "search.folds: {kind: time}.",
    "groups": "Groups are a column, data.group, or kg.search(..., groups=...): none is in two folds.",
    "split": "How samples are split is told by search.folds, such as {kind: time}, with data.time.",
    "optuna": "Optuna's samplers are the engines tpe and gp.",
    "kerastuner": "KerasTuner's oracles are the engines bayesian, hyperband, random_kt and grid_kt.",
    "overwrite": "A run is begun anew with --fresh.",
    "samplewisecenter": "Statistics of the training folds are taken by data.standardize: true.",
    "samplewisestdnormalization": "Statistics of the training folds are taken by data.standardize: true.",
    "zcawhitening": "Statistics of the training folds are taken by data.standardize: true.",
    "keepprob": "A rate of what is dropped is dropout: 1 - keep_prob.",
    "modelcheckpoint": "Fold models are kept by search.keep_models: best or all, and cut fits go on.",
    "tensorboard": "Curves are exported by kerasgrid export --to tensorboard.",
    "csvlogger": "All curves stand in results.json.",
    "history": "All curves stand in results.json.",
    "backupandrestore": "Cut fits go on by themselves: the same command again continues a search.",
    "progbarlogger": "A search shows its progress itself.",
    "initmode": "Initial weights are the model function's; seeds are by search.seed and search.repeats.",
    "validationdata": "An inner split is search.val: 0.1; rows to score by alone are data.test with "
    "search.holdout: test.",
    "stepsperepoch": "An epoch is all training rows once: data.subset takes fewer.",
    "returntrainscore": "Scores on training batches stand in each fold's history.",
    "direction": "Whether more is better is told by search.objective.",
    "minimize": "Whether more is better is told by search.objective.",
    "maximize": "Whether more is better is told by search.objective.",
    "stratified": "Folds are stratified where samples have one label each.",
    "budget": "Budgets are search.time, search.trials and search.epochs.",
    "results": "Where results are written is told by --results DIR.",
    "output": "Where results are written is told by --results DIR.",
    "device": "Workers are dealt the GPUs that CUDA_VISIBLE_DEVICES names, one each.",
    "gpus": "Workers are dealt the GPUs that CUDA_VISIBLE_DEVICES names, one each.",
}
"""By a word, as `_plain` has it: what there is instead."""
_SCORED_BY = "of scikit-learn's scorers or of Keras's metrics; or a function of y_true and y_pred"
_LOOKED_UP = "which the model function can look up"
_SETTINGS = ("augment", "training", "stages", "search", "autokeras", "executor")
_BACKENDS = ("keras", "tensorflow", "jax", "torch")
_PARAMETERS = re.compile(r"(params|space(\[\d+\])?)\.")
_MEASURED_ON = re.compile("(validation|val|test|training|train)(.+)")
"""What stands before a metric that is measured on some rows, as `_plain` has it, and the metric."""


def _escape(letter: str) -> str:
    """Returns a character as Python writes it within quotes: `\\x1b`, `\\u202e`."""
    return letter.encode("unicode_escape").decode()


def count(number: int, noun: str) -> str:
    """Returns `1 trial`, `2 trials`, `12,000 trials`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def percent(share: float) -> str:
    """Returns a share of one in percent: `79%`, and `2.4%` where that is below ten."""
    return f"{100 * share:.0f}%" if share >= 0.0995 else f"{100 * share:.1f}%"


def score_word(number: float, beside: float = 0.0) -> str:
    """Returns a score with four decimals, of a large one fewer: `0.9812`, `-18,234.5`, `15,000,000`.

    Args:
        beside: A number that it stands beside, whose decimals it has where these show it.
    """
    size = max(abs(number), abs(beside))
    if number == 0 or 1e-4 <= size < 1e15:
        text = f"{number:,.{4 if size < 1e3 else 1 if size < 1e5 else 0}f}"
        if number == 0 or text.strip("-0."):
            return text
    return f"{number:.4g}"


def number_word(number: float) -> str:
    """Returns a number to four digits, and whole where it is large: `0.01234`, `34.9`, `163,000`, `1e+20`."""
    return f"{number:,.0f}" if 999.5 <= abs(number) < 1e15 else f"{number:.4g}"


def bytes_word(n_bytes: float) -> str:
    """Returns an amount of memory or disk as one says it: `512 bytes`, `3.4 KiB`, `293 MiB`, `9.2 GiB`."""
    power = min(4, int(math.log(max(n_bytes, 1) * 1.0005, 1024)))
    unit, number = ("bytes", "KiB", "MiB", "GiB", "TiB")[power], n_bytes / 1024**power
    return f"{number:,.1f} {unit}" if power and number < 9.95 else f"{number:,.0f} {unit}"


def format_seconds(seconds: float | None) -> str:
    """Returns a duration as one says it: `0.31 s`, `6.1 s`, `310 s`, `12 min`, `1 h 12 min`."""
    if seconds is None or not abs(seconds) < 1e300:  # NaN is not either
        return "-"
    if seconds < 0.995:
        return f"{seconds:.2f} s"
    if seconds < 599.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def sentence(text: str) -> str:
    """Returns a clause as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


def joined(parts: Sequence[str], last: str = "and") -> str:
    """Returns `a`, `a and b`, `a, b and c`; `or` likewise."""
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]] if parts[1:] else parts)


def listed(names: Sequence[Any], most: int = 5) -> str:
    """Returns `'a', 'b'`; of many names the first ones, and `(20 in all)`."""
    text = ", ".join(repr(name) for name in names[:most])
    return text if len(names) <= most else f"{text}, ... ({len(names):,} in all)"


def value_word(value: Any) -> str:
    """Returns a value as YAML has it: `true`, `relu`, `0.001`; in quotes a text that reads as another."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, str):
        return repr(value) if _OTHERWISE.fullmatch(value) else value
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def named(params: Mapping[str, Any]) -> str:
    """Returns `dropout=0.2, optimizer=Adam`; an empty text where there are none."""
    return ", ".join(f"{name}={value_word(value)}" for name, value in params.items())


def shortened(text: str, longest: int) -> str:
    """Returns a text of so many characters at most; the last of one that is cut is `…`."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def distinct(name: str, taken: Container[str], form: str = "{} ({})") -> str:
    """Returns a name that is not taken: itself, else the first of `name (2)`, `name (3)`, ... that is not."""
    found, number = name, 1
    while found in taken:
        number += 1
        found = form.format(name, number)
    return found


def shown_path(path: str | Path) -> str:
    """Returns a path as messages show it: relative where it lies in the working folder, without `..`."""
    path = Path(path)
    if ".." in path.parts:
        short = Path(os.path.normpath(path))
        with contextlib.suppress(OSError):  # behind a link `..` leads elsewhere
            path = short if short.samefile(path) else path
    with contextlib.suppress(ValueError, OSError):
        return str(path.relative_to(Path.cwd()))
    return str(path)


def shell_word(path: str | Path) -> str:
    """Returns a path as a shell takes it, visible: by bash's `$'...'` where characters have to be escaped.

    On Windows as programs take it that cmd or PowerShell start: both know double quotes, and no others.
    """
    text = str(path)
    if sys.platform == "win32":
        if _BARE.fullmatch(text):
            return text
        within = re.sub(r'(\\*)"', r'\1\1\\"', text)  # backslashes count before a quote alone
        return visible_line('"' + re.sub(r"(\\+)$", r"\1\1", within) + '"')
    if visible_line(text) == text:
        return shlex.quote(text)
    letters = (c if visible_line(c) == c and c not in "\\'" else _bytes_of(c) for c in text)
    return f"$'{''.join(letters)}'"


def _bytes_of(letter: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def masked(text: object, *urls: object) -> str:
    """Returns a URL, or a message about some, as it may be shown: stars for passwords, tokens and keys.

    Where it cannot be told what a password is and what follows it, more is masked rather than less.

    Args:
        text: The URL or the message.
        urls: Those that the message is about, whose secrets are masked in it however they are written.
    """
    shown = str(text)
    spellings = {each for url in urls for secret in _secrets(str(url)) for each in _spellings(secret)}
    for secret in sorted(spellings, key=len, reverse=True):
        word = re.escape(secret)
        shown = re.sub(rf"(?<!\w){word}(?!\w)" if len(secret) < _SHORT else word, "***", shown)
    if whole := _WHOLE_URL.fullmatch(shown):
        return _masked_url(whole, _IN_URL)
    return _IN_MESSAGE.sub(_masked_value, _URL.sub(lambda url: _masked_url(url, _IN_MESSAGE), shown))


def _masked_url(url: re.Match[str], named: re.Pattern[str]) -> str:
    scheme, rest = url.groups()
    found = _user_secret(scheme, rest)
    if found is None:
        return f"{scheme}://{named.sub(_masked_value, rest)}"
    start, end = found.span("secret")
    return f"{scheme}://{rest[:start]}***{named.sub(_masked_value, rest[end:])}"


def _masked_value(named: re.Match[str]) -> str:
    return named[0][: named.start("secret") - named.start()] + "***"


def _user_secret(scheme: str, rest: str) -> re.Match[str] | None:
    """Returns where a password or token stands in what follows a URL's scheme."""
    is_web = scheme.lower() in ("http", "https")
    return _USER.match(rest) or (_TOKEN.match(rest) if is_web else None) or _CUT.match(rest)


def _secrets(url: str) -> list[str]:
    """Returns a URL's secrets; of a password with @, behind which others see a host's name, its ends too."""
    whole = _WHOLE_URL.fullmatch(url)
    if whole is None:
        return []
    found = _user_secret(*whole.groups())
    secrets = [named["secret"] for named in _IN_URL.finditer(url)]
    for part in url.split("&"):
        secrets += [inner["secret"].strip("{}") for inner in _WITHIN.finditer(unquote_plus(part))]
    if found is None:
        return secrets
    ends = [f"{found['secret'][at.end() :]}@" for at in re.finditer("@", found["secret"])]
    return [found["secret"], *ends, *secrets]


def _spellings(secret: str) -> set[str]:
    plain = unquote(secret)
    return {secret, plain, unquote_plus(secret), quote(plain, safe=""), quote(plain), quote_plus(plain)} - {
        ""
    }


def visible(text: str, escape: Callable[[str], str] = _escape) -> str:
    """Returns a text with an escape for each character that a terminal would obey; ends of lines stay.

    Args:
        text: Of one line or several.
        escape: Gives the escape, `\\x1b` or `\\u202e` by default.
    """
    if text.isprintable():
        return text
    return "".join(escape(c) if c != "\n" and unicodedata.category(c) in _OBEYED else c for c in text)


def visible_line(text: str) -> str:
    """Returns a text on one line: visible, and with a space for each stretch of blanks and ends of lines."""
    return visible(" ".join(text.split()))


def visible_json(text: str) -> str:
    """Returns a JSON text of the same value in which nothing would be obeyed."""
    return visible(text, lambda letter: json.dumps(letter)[1:-1])


@lru_cache(maxsize=10_000)
def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


_HERE = {
    _plain(word): place
    for place, words in _CALLED.items()
    for word in (*words.split(), *([place.removeprefix("params.")] if place.startswith("params.") else []))
}


def said_of(name: str) -> str | None:
    """Returns what does here what others have a word for, in a sentence; None where no one word does."""
    return _SAID.get(_plain(name))


def place_of(name: str, places: Iterable[str]) -> str | None:
    """Returns the key path that is meant by a key which is not known where it stands; None for none.

    Args:
        name: The key. Of one that is routed, as SciKeras's `optimizer__momentum`, the last part counts.
        places: The key paths that there are.
    """
    last = {_plain(place.rpartition(".")[2]): place for place in reversed([*places])}
    for plain in (_plain(name), _plain(name.rpartition("__")[2])):
        if found := _HERE.get(plain) or last.get(plain):
            return found
    return None


def called(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that others call so, or spell otherwise by case and signs; None for none."""
    names = {_plain(one): one for one in known}
    for part in (name, name.rpartition("__")[2]):
        own = _plain(_HERE.get(_plain(part), "").rpartition(".")[2])
        for plain in (_plain(part), *_measured(_plain(part)), own):
            if plain in names:
                return names[plain]
    return None


def _measured(plain: str) -> list[str]:
    """Returns what a metric with the rows that it is measured on may be called; that without them is last."""
    found = _MEASURED_ON.fullmatch(plain)
    if found is None:
        return []
    rows, metric = found.groups()
    place = metric if metric in ("accuracy", "loss") else _HERE.get(metric, ".")
    if "." in place:  # a key's
        return []
    start = "val" if rows.startswith("val") else ""
    names = dict.fromkeys(_plain(name) for name in (place, place.removeprefix("neg_")))
    return [*(start + name for name in names), *names]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name that is spelled almost like one that is not known; None where none is near."""
    names, plain = {_plain(one): one for one in known}, _plain(name)
    near = difflib.get_close_matches(plain, names, n=8)
    alike = [one for one in names if len(plain) > 2 and one and abs(len(plain) - len(one)) < 2]
    near += [one for one in alike if _distance(plain, one) == 1]
    return names[min(near, key=lambda one: (_distance(plain, one), near.index(one)))] if near else None


def is_built(value: Any) -> bool:
    """Tells whether a value is an object of Keras's, as a model, a layer or an optimizer: no function."""
    return not isinstance(value, type) and any(
        callable(getattr(value, name, None)) for name in ("get_config", "count_params")
    )


def is_hyper_model(value: Any) -> bool:
    """Tells whether a value is a HyperModel of KerasTuner's, whose `build` is a model function."""
    return any(parent.__name__ == "HyperModel" for parent in type(value).__mro__)


def instead_of(value: Any, key: str) -> str:
    """Returns what an object is that a config cannot hold, and what to give instead.

    Args:
        value: The object.
        key: The key path where it stands.
    """
    kind, place = type(value).__name__, _PARAMETERS.sub("", key)
    section, is_of_keras = place.partition(".")[0].partition("[")[0], _owner(value) in _BACKENDS
    a_kind = f"{'an' if kind[:1].lower() in set('aeiou') else 'a'} {kind}"
    if isinstance(value, type):
        return f"the class {value.__name__}; its name holds: {value.__name__!r}."
    if section == "callbacks" and (said := said_of(kind)):
        return f"{a_kind}. {said}"
    if section == "callbacks":
        own = f"{'keras.callbacks' if is_of_keras else 'path/to/file.py'}:{kind}"
        name = (place_of(kind, _CALLED) or own).removeprefix("callbacks.")
        return f"{a_kind}; names and their arguments hold, callbacks: {{{name!r}: {{...}}}}."
    if section == "data":
        return f"{a_kind}; files are named here, and arrays given beside the config: kg.search(config, X, y)."
    if key == "model":
        built = (
            "the function that builds and returns it"
            if hasattr(value, "count_params")
            else ("a function that builds and returns a model")
        )
        return f"{a_kind}; give {built}: def build(input_shape, n_classes, ...)."
    if place.partition("[")[0] == "augment":
        return f"{a_kind}; a mapping such as {{rotation_range: 10}} holds."
    if callable(getattr(value, "get_n_splits", None)):
        n_folds = getattr(value, "n_splits", getattr(value, "cvargs", {}).get("n_splits", 3))
        return f"{a_kind}; a whole number holds, folds: {n_folds}; or give it as kg.search(..., cv=...)."
    if isinstance(value, range):
        low, high = (value[0], value[-1]) if value else (0, 0)
        form = f"{{low: {low}, high: {high}, step: {value.step}, type: int}}"
        return f"{value!r}; a list holds, list({value!r}), or {form}."
    if isinstance(value, AbstractSet):
        return f"{a_kind}, which has no order; a list holds."
    if isinstance(value, Iterator) or kind in ("dict_keys", "dict_values", "dict_items"):
        return f"{a_kind}, which is gone through once; a list holds: list(...)."
    if callable(getattr(value, "rvs", None)) and hasattr(value, "support"):
        log = ", log: true" if value.dist.name in ("loguniform", "reciprocal") else ""
        ends = "low: {:g}, high: {:g}".format(*map(float, value.support()))
        return f"a distribution; a range holds: {{{ends}{log}}}."
    if section == "augment" and inspect.isroutine(value):
        return f"the function {value.__name__}; its place holds, path/to/file.py:{value.__name__}."
    is_score = key == "search.objective" or key.startswith("search.scores[")
    if section in _SETTINGS and not is_score:
        return f"{a_kind}; a number, text, list or mapping holds."
    last = key.rpartition(".")[2].partition("[")[0]
    if last in ("optimizer", "loss") and (said := _compiled_with(value, last, is_of_keras)):
        return f"{f'the function {value.__name__}' if inspect.isroutine(value) else a_kind}, {said}"
    if is_of_keras and callable(value) and hasattr(value, "__name__"):
        return f"the function {value.__name__}; its name holds: {value.__name__!r}."
    if inspect.isroutine(value):
        return f"the function {value.__name__}; a name holds, {_LOOKED_UP}."
    if is_score and not hasattr(value, "get_config"):
        return f"{a_kind}; a name holds, {_SCORED_BY}."
    if place.partition("[")[0].endswith("activation") and callable(value):  # as a layer
        return f"{a_kind}; the name of an activation holds, such as 'relu'."
    if callable(getattr(value, "get_config", None)):  # as all of Keras's have
        owner = next((name for name in ("optimizer", "loss") if name in key), None)
        beside = f", and its arguments beside it as {owner}.NAME" if owner else ""
        return f"{a_kind}; its name holds, {kind!r}{beside}."
    return f"{a_kind}; a number, text, list or mapping holds."


def _compiled_with(value: Any, owner: str, is_of_keras: bool) -> str | None:
    """Returns how a model is trained by an optimizer or a loss that no name tells; None of others."""
    has_config = callable(getattr(value, "get_config", None))
    do = f"let the model function compile its model with it, model.compile({owner}=...)."
    if not is_of_keras and (has_config or inspect.isroutine(value)):
        return f"which is none of Keras's: {do}"
    if has_config and isinstance(value.get_config().get("learning_rate"), Mapping):
        return f"whose learning rate is a schedule: {do} Or give callbacks.learning_rate_scheduler."
    return None


def _owner(value: Any) -> str:
    """Returns the package that an object, or its class, is of."""
    return str(getattr(value, "__module__", None) or type(value).__module__).partition(".")[0]


def _distance(one: str, other: str) -> int:
    """Returns how many letters to leave out, put in, change or swap make one word the other.

    The optimal string alignment of Damerau's distance (1964): a swap of neighbours counts once.
    """
    rows = [list(range(len(other) + 1))]
    for i, letter in enumerate(one, start=1):
        row = [i]
        for j, wanted in enumerate(other, start=1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (letter != wanted)))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]
