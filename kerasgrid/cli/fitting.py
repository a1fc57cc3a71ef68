"""Commands that make use of what a search has found: fit, predict."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from kerasgrid.cli.options import FAILED_TRIALS, INTERRUPTED, Set, app
from kerasgrid.errors import TrialError


@app.command()
def fit(
    file: Annotated[Path, typer.Argument(metavar="RESULTS", show_default=False)],
    trial: Annotated[
        int | None, typer.Option(help="The candidate; the best one by default.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Instead, so many of the best.")] = 1,
    seeds: Annotated[int, typer.Option(min=1, help="Models of each.")] = 1,
    finetune: Annotated[
        bool, typer.Option("--finetune", help="Go on with the fold models, on the rows that they held out.")
    ] = False,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Instead of those that its folds took.", show_default=False)
    ] = None,
    set_: Set = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the models' cards as JSON.")] = False,
) -> None:
    """Train the best candidate on all of the training data, or go on with that."""
    from rich.console import Console

    from kerasgrid.data.arrays import shown
    from kerasgrid.fitting import fit as run
    from kerasgrid.progress import make_progress
    from kerasgrid.views.leaderboard import format_seconds

    if trial is not None and top != 1:
        raise typer.BadParameter("--trial names one candidate and --top several; choose one.")
    if finetune and seeds != 1:
        raise typer.BadParameter("--finetune goes on with the fold models, of which each has its seed.")
    progress = make_progress("score", Console(stderr=as_json), quiet or as_json)
    try:
        found = run(
            file,
            trial=trial,
            top=top,
            seeds=seeds,
            finetune=finetune,
            epochs=epochs,
            overrides=set_ or [],
            observer=progress,
        )
    finally:
        progress.close()
    if as_json:
        cards = [{**card, "file": str(path)} for path, card in zip(found.models, found.cards, strict=True)]
        print(json.dumps(cards, allow_nan=False))
    elif not quiet:
        for path, card in zip(found.models, found.cards, strict=True):
            took = format_seconds(card["fit_time"])
            print(f"{shown(path)}: trial {card['trial']}, {card['how']}, in {took}")
        if found.is_interrupted:
            print("Interrupted. The same command goes on from here.")
        elif found.models:
            print(f"Next:\n  kerasgrid predict {shlex.quote(str(file))}")
    if found.is_interrupted:
        raise typer.Exit(INTERRUPTED)
    if found.failed and not found.models:
        raise TrialError("\n".join(found.failed))
    if found.failed:
        raise typer.Exit(FAILED_TRIALS)
