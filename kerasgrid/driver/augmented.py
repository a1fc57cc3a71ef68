"""`kerasgrid plot --augment`: what a grid.yaml's augmentation does to its first samples."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kerasgrid.checks import augment_of, prepare
from kerasgrid.checks.candidates import only
from kerasgrid.checks.draft import read_draft
from kerasgrid.errors import ConfigError, Fault
from kerasgrid.jobs.route import merge_augment
from kerasgrid.planning.workers import ask_worker, make_executor
from kerasgrid.training.entry import quiet
from kerasgrid.views.sheet import write_sheet
from kerasgrid.wording import named

MAX_SETTINGS, N_IMAGES, N_DRAWS = 6, 6, 9


def write_augmented(source: Path, output: Path | None = None) -> Path:
    """Writes a PNG of samples as they are and as epochs would see them, for each setting that is searched.

    It shows the first 6 settings, and its last line says how many it leaves out.

    Args:
        source: A grid.yaml.
        output: The file; default: NAME-augment.png beside the grid.yaml.

    Returns:
        The file.

    Raises:
        ConfigError: The file's faults, or it has no augmentation.
    """
    draft = read_draft(source)
    with make_executor(draft) as executor:
        prepared = prepare(draft, ask=partial(ask_worker, executor))
    config, section = prepared.config, augment_of(prepared.config)
    settings: dict[str, Any] = {}
    for params in only(prepared.space, "augment").together("augment"):
        given = merge_augment({**config.params, **params}, section)
        if given is not None:
            settings.setdefault(named(given.model_dump(exclude_unset=True)) or "nothing", given)
    if not settings:
        raise ConfigError([Fault("augment", "is missing: there is no augmentation to look at.")], str(source))
    labels, images = prepared.data.labels, prepared.data.images
    # One of each class, as far as there is room.
    rows = np.sort([np.flatnonzero(labels == label)[0] for label in np.unique(labels)[:N_IMAGES]])
    with quiet():
        from kerasgrid.training.sheet import augmented_rows  # imports Keras

        blocks = [
            (text, augmented_rows(images[rows], given, N_DRAWS))
            for text, given in list(settings.items())[:MAX_SETTINGS]
        ]
    n_left_out = len(settings) - len(blocks)
    if n_left_out:
        text = f"{n_left_out} of {len(settings)} settings are not shown: search fewer to see all of them"
        blocks.append((text, np.full((1, 1, 3), 255, dtype=np.uint8)))
    zoom = max(1, round(48 / images.shape[1]))
    return write_sheet(blocks, output or source.with_name(f"{config.name}-augment.png"), zoom)
