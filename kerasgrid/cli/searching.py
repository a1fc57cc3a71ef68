"""Commands that search: search, compare, check."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kerasgrid.cli.options import (
    FAILED_TRIALS,
    FAULT,
    INTERRUPTED,
    GridFile,
    Name,
    PageFile,
    ResultsDir,
    Set,
    app,
    next_commands,
    overrides_of,
)

if TYPE_CHECKING:
    from kerasgrid.driver.results import Results


@app.command()
def search(
    grid: GridFile,
    results: ResultsDir = Path("results"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; the old run is moved aside.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try trials again that failed before.")
    ] = False,
    name: Name = None,
    engine: Annotated[
        str | None, typer.Option(help="grid, random, halving, bayesian, ...", show_default=False)
    ] = None,
    executor: Annotated[
        str | None, typer.Option(help="inline, processes or ray.", show_default=False)
    ] = None,
    workers: Annotated[str | None, typer.Option(help="A number, or auto.", show_default=False)] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="2h", help="Wall time of all sessions, at most.", show_default=False),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="How many candidates at most.", show_default=False)
    ] = None,
    set_: Set = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> None:
    """Run a search, or go on with it if it was cut off."""
    from kerasgrid.console import Console
    from kerasgrid.driver.search import search as run
    from kerasgrid.views.progress import make_progress

    is_number = workers is not None and re.fullmatch("[0-9]{1,9}", workers)
    overrides = overrides_of(
        set_,
        name=("name", name),
        engine=("search.engine", engine),
        executor=("executor.kind", executor),
        workers=("executor.workers", int(workers) if workers and is_number else workers),
        time_budget=("search.time", time_budget),
        trials=("search.trials", trials),
    )
    progress = make_progress("score", Console(stderr=as_json), quiet or as_json)
    try:
        found = run(
            grid,
            results=results,
            overrides=overrides,
            fresh=fresh,
            retry_failed=retry_failed,
            observer=progress,
        )
    finally:
        progress.close()
    if as_json:
        print(json.dumps({"results": str(found.path), **found.outcome}, allow_nan=False))
    elif not quiet:
        _print_results(found)
    code = INTERRUPTED if found.status == "interrupted" else FAILED_TRIALS
    if found.status == "interrupted" or found.about.summary.failed:
        raise typer.Exit(code)


@app.command()
def compare(
    grid: GridFile,
    results: ResultsDir = Path("results"),
    name: Name = None,
    blocks: Annotated[
        str | None, typer.Option(help="AutoKeras's: vanilla, full or auto.", show_default=False)
    ] = None,
    max_trials: Annotated[
        int | None, typer.Option(help="How many of AutoKeras's at most.", show_default=False)
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Of AutoKeras's trials.", show_default=False)] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="2h", help="AutoKeras's; as long as the search by default.", show_default=False),
    ] = None,
    output: PageFile = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start AutoKeras's half anew; its old run is moved aside."),
    ] = False,
    set_: Set = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print both outcomes as one JSON object.")] = False,
) -> None:
    """Set AutoKeras beside the search: same folds, as much time; a table, a page."""
    from contextlib import ExitStack

    from kerasgrid.console import Console
    from kerasgrid.driver.comparing import compare as run
    from kerasgrid.io import write_text
    from kerasgrid.report.side_by_side import Beside
    from kerasgrid.views.pages import page_path
    from kerasgrid.views.progress import make_progress

    overrides = overrides_of(
        set_,
        name=("name", name),
        blocks=("autokeras.blocks", blocks),
        max_trials=("autokeras.max_trials", max_trials),
        epochs=("autokeras.epochs", epochs),
        time_budget=("autokeras.time", time_budget),
    )
    with ExitStack() as stack:
        console = Console(stderr=as_json)

        def observe(title: str) -> Any:
            if not (quiet or as_json):
                console.print(f"{title}:")
            progress = make_progress("score", console, quiet or as_json)
            stack.callback(progress.close)
            return progress

        found = run(grid, results=results, overrides=overrides, fresh=fresh, observe=observe)
    pair = [one for one in (found.own, found.autokeras) if one is not None]
    if found.is_interrupted:
        told = ["Interrupted. The same command goes on from here."]
    else:
        beside = Beside(pair, found.notes)
        target = page_path([one.file for one in pair], output, ending=".compare.html")
        write_text(target, beside.html())
        models = found.models
        kept = [f"AutoKeras's best model: {', '.join(map(str, models))}"] if models else []
        told = [*beside.lines(), *kept, str(target), _following(pair[-1])]
    if as_json:
        print(json.dumps([{"results": str(one.path), **one.outcome} for one in pair], allow_nan=False))
    elif not quiet:
        print("\n".join(told))
    if found.is_interrupted:
        raise typer.Exit(INTERRUPTED)
    if open_:
        typer.launch(target.absolute().as_uri())
    if any(one.about.summary.failed for one in pair):
        raise typer.Exit(FAILED_TRIALS)


@app.command()
def check(
    grid: GridFile,
    results: ResultsDir = Path("results"),
    name: Name = None,
    set_: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as one JSON object.")] = False,
) -> None:
    """Check all of a grid.yaml and print the plan; train nothing."""
    from kerasgrid.checks.draft import read_draft
    from kerasgrid.console import Console
    from kerasgrid.driver.preview import preview
    from kerasgrid.views.progress import make_progress

    progress = make_progress("score", Console(stderr=True), quiet=as_json)
    try:
        draft = read_draft(grid, overrides_of(set_, name=("name", name)), results)
        shown = preview(draft, results, progress.doing)
    finally:
        progress.close()
    print(json.dumps(shown.as_json(), allow_nan=False) if as_json else "\n".join(shown.lines()))
    if shown.refusals:
        raise typer.Exit(FAULT)


def _print_results(results: Results) -> None:
    from kerasgrid.console import Console
    from kerasgrid.run.journal import FORMAT
    from kerasgrid.views.leaderboard import leaderboard, summary_lines

    console = Console()
    shown = leaderboard(results)
    console.print(shown)
    for line in filter(None, [shown.caption, *summary_lines(results)]):
        console.print(line, soft_wrap=True)
    if results.status == "interrupted":
        following = "Interrupted. The same command goes on from here."
    elif results.status == "budget" and results.about.journal == FORMAT:
        following = f"The budget is used up; a larger one goes on. {_following(results)}"
    else:
        following = _following(results)
    console.print(following, soft_wrap=True)


def _following(results: Results) -> str:
    return next_commands(results.file, "plot {}", "report {}", *(["fit {}"] if results.best else []))
