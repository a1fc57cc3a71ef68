"""Commands that make use of what a search has found: fit, predict."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from kerasgrid.cli.options import FAILED_TRIALS, INTERRUPTED, Set, app, finite, next_commands
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
    learning_rate: Annotated[
        float | None,
        typer.Option(min=0, callback=finite, help="Of --finetune, instead of its last.", show_default=False),
    ] = None,
    set_: Set = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the models' cards as JSON.")] = False,
) -> None:
    """Train the best candidate on all of the training data, or go on with that."""
    from kerasgrid.console import Console
    from kerasgrid.delivery.fitting import fit as run
    from kerasgrid.driver.results import Results
    from kerasgrid.views.leaderboard import format_seconds
    from kerasgrid.views.progress import make_progress
    from kerasgrid.wording import shown_path

    if trial is not None and top != 1:
        raise typer.BadParameter("--trial names one candidate and --top several; choose one.")
    if finetune and seeds != 1:
        raise typer.BadParameter("--finetune goes on with the fold models, of which each has its seed.")
    if learning_rate is not None and not finetune:
        raise typer.BadParameter("--learning-rate belongs to --finetune; a fit has its candidate's own.")
    progress = make_progress("score", Console(stderr=as_json), quiet or as_json)
    try:
        found = run(
            file,
            trial=trial,
            top=top,
            seeds=seeds,
            finetune=finetune,
            epochs=epochs,
            learning_rate=learning_rate,
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
            print(f"{shown_path(path)}: trial {card['trial']}, {card['how']}, in {took}")
        if found.is_interrupted:
            print("Interrupted. The same command goes on from here.")
        elif found.models:
            has_test = Results.load(file).config.data.test is not None
            print(next_commands(file, "predict {}" if has_test else "predict {} --data FILE"))
    if found.is_interrupted:
        raise typer.Exit(INTERRUPTED)
    if found.failed and not found.models:
        raise TrialError("\n".join(found.failed))
    if found.failed:
        raise typer.Exit(FAILED_TRIALS)


@app.command()
def predict(
    files: Annotated[list[Path], typer.Argument(metavar="RESULTS...", show_default=False)],
    data: Annotated[
        Path | None, typer.Option(help="Samples; the config's data.test by default.", show_default=False)
    ] = None,
    trial: Annotated[
        int | None, typer.Option(help="The candidate; the best one by default.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Instead, so many of the best, together.")] = 1,
    models: Annotated[
        str, typer.Option(help="fit, finetuned or folds; auto: the first that are there.")
    ] = "auto",
    ensemble: Annotated[str, typer.Option(help="Of several trials: mean, rank or weighted.")] = "mean",
    tta: Annotated[int, typer.Option(min=0, help="Augmented views of each sample, averaged.")] = 0,
    proba: Annotated[bool, typer.Option("--proba", help="Write a probability a class.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Instead of results/NAME/submission.csv.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[
        Path | None, typer.Option(help="The competition's sample submission.", show_default=False)
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(metavar="id/label", help="Without a sample: or ImageId/Label.", show_default=False),
    ] = None,
    set_: Set = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was asked as JSON.")] = False,
) -> None:
    """Write predictions for the test set, by one model or several, as the competition's sample shows it."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from kerasgrid.console import Console
    from kerasgrid.delivery.finished import FinishedRun
    from kerasgrid.delivery.predicting import predict as run
    from kerasgrid.delivery.submission import plan_submission
    from kerasgrid.wording import shown_path, visible_json

    if trial is not None and top != 1:
        raise typer.BadParameter("--trial names one candidate and --top several; choose one.")
    if sample is not None and like is not None:
        raise typer.BadParameter("--sample and --like both say how a submission looks; choose one.")
    planned = plan_submission(
        FinishedRun(files[0], overrides=set_ or []),
        output,
        sample=sample,
        like=like,
        probabilities=proba,
        is_own_data=data is not None,
    )
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.completed:,} predictions"))
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("rows", total=None)
        try:
            found = run(
                files,
                data,
                trial=trial,
                top=top,
                models=models,
                ensemble=ensemble,
                tta=tta,
                overrides=set_ or [],
                progress=lambda n_rows: bar.advance(task, n_rows),
                warn=lambda text: None,  # it is printed with the other notes
            )
        except KeyboardInterrupt:
            print("Interrupted; nothing was written.", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
    planned.write(found)
    if as_json:
        print(visible_json(planned.note.read_text(encoding="utf-8")), end="")
    elif not quiet:
        for line in (*found.lines(), f"{shown_path(planned.target)}: {planned.form.summary}"):
            print(line)
        if len(files) == 1 and output is None and not proba:
            print(next_commands(files[0], "submit {} -c COMPETITION -m MESSAGE"))
