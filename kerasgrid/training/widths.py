"""How many runs to train side by side: a short measured trial of the step."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

from kerasgrid.jobs.recipe import Recipe
from kerasgrid.records import Context, Pack, WidthRecord
from kerasgrid.training import packs

GAIN = 1.05
"""A wider program has to do so much more in the same time to be taken."""
TRIAL_S = 0.5
"""Seconds of steps that each width is timed for, compiling not counted."""


def measure(recipe: Recipe, pack: Pack, context: Context) -> None:
    """Times widths 1, 2, 4, ... on a pack's first runs, while a wider one pays; emits a WidthRecord.

    The width is at most the number of runs. One that does not fit into memory ends the trial.
    """
    seconds: dict[int, float] = {}
    for width in _widths(len(pack.runs)):
        try:
            seconds[width] = _seconds(recipe, pack, width, context)
        except Exception as error:
            if not seconds or not packs.is_out_of_memory(error):
                raise
            break
        if len(seconds) > 1 and seconds[width] * GAIN > min(s for w, s in seconds.items() if w != width):
            break
    best = min(seconds, key=lambda width: (seconds[width], width))
    if seconds[best] * GAIN > seconds[1]:
        best = 1
    context.emit(WidthRecord(pack.key, best, seconds))


def _widths(most: int) -> Iterable[int]:
    width = 1
    while width <= most:
        yield width
        width *= 2


def _seconds(recipe: Recipe, pack: Pack, width: int, context: Context) -> float:
    """Returns the seconds that a step takes, divided over the runs; the least of several times."""
    runs = pack.runs[:width]
    wave = packs.make_wave(recipe, pack, runs, context)
    step = wave.stepper()
    step(8)  # all that is compiled for them
    began = time.perf_counter()
    times: list[float] = []
    while not times or time.perf_counter() - began < TRIAL_S:
        started = time.perf_counter()
        n = step(8)
        times.append((time.perf_counter() - started) / n)
    return float(np.min(times)) / width
