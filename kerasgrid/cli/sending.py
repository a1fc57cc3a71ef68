"""Commands that ask Kaggle: submit, submissions, download."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from kerasgrid.cli.options import app, finite, next_commands

RESULTS = typer.Argument(metavar="RESULTS", show_default=False)
COMPETITION = typer.Option(
    "-c", "--competition", metavar="NAME", help="The last part of its address.", show_default=False
)
TIMEOUT = typer.Option(
    "--timeout",
    metavar="SECONDS",
    min=1,
    max=86_400,
    callback=finite,
    help="How long one answer may take.",
)


@app.command()
def submit(
    results: Annotated[Path, RESULTS],
    competition: Annotated[str, COMPETITION],
    message: Annotated[str, typer.Option("-m", "--message", help="Your words about it.", show_default=False)],
    file: Annotated[
        Path | None,
        typer.Option("-f", "--file", help="Instead of results/NAME/submission.csv.", show_default=False),
    ] = None,
    sample: Annotated[
        Path | None,
        typer.Option(help="The competition's sample, instead of the config's.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do all but send.")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the score.")] = False,
    wait_limit: Annotated[str, typer.Option(metavar="TIME", help="How long --wait waits.")] = "30min",
    timeout: Annotated[float, TIMEOUT] = 120,
    again: Annotated[bool, typer.Option("--again", help="Send a file that was sent before.")] = False,
) -> None:
    """Check predictions and send them to Kaggle, once."""
    from kerasgrid.config.sections import seconds_of
    from kerasgrid.submit.sending import draft_of
    from kerasgrid.submit.sending import submit as send

    wait_s = seconds_of(wait_limit)
    if wait_s is None:
        raise typer.BadParameter(
            f"{wait_limit!r} is no time; such as 30min or 90s holds.", param_hint="--wait-limit"
        )
    paths, draft = draft_of(results, competition, message, file=file, sample=sample)
    entry = send(
        paths,
        draft,
        print,
        timeout_s=timeout,
        wait_s=wait_s if wait else None,
        again=again,
        dry_run=dry_run,
    )
    if entry is not None:
        print(_outcome(entry, str(results)))


@app.command()
def submissions(
    results: Annotated[Path, RESULTS],
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask Kaggle for news first.")] = False,
    timeout: Annotated[float, TIMEOUT] = 120,
) -> None:
    """List what was sent of a search, with its scores."""
    from rich import box
    from rich.table import Table

    from kerasgrid.console import Console
    from kerasgrid.submit.ledger import Ledger
    from kerasgrid.submit.ledger import refresh as ask
    from kerasgrid.submit.sending import paths_of

    paths = paths_of(results)
    entries = ask(paths, timeout) if refresh else Ledger(paths.submissions).entries
    if not entries:
        print(f"Nothing was sent yet. {next_commands(results, 'submit {} -c COMPETITION -m MESSAGE')}")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("time (UTC)", "competition", "message", "status", "score", "sha256"):
        table.add_column(name, overflow="fold", no_wrap=name in ("time (UTC)", "score", "sha256"))
    for entry in entries:
        status = f"{entry.status}: {entry.error}" if entry.error else entry.status
        time = entry.time[:16].replace("T", " ")
        row = [time, entry.competition, entry.message, status, _score(entry), entry.sha256[:8]]
        table.add_row(*row)
    # What is piped is read by programs, which want a line an entry.
    Console(width=None if sys.stdout.isatty() else 160).print(table)


@app.command()
def download(
    competition: Annotated[str, COMPETITION],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where they are put.")
    ] = Path("data"),
    max_gb: Annotated[
        float,
        typer.Option("--max-gb", min=0.001, max=1e6, callback=finite, help="The most to unpack."),
    ] = 50,
    timeout: Annotated[float, TIMEOUT] = 120,
) -> None:
    """Download a competition's files, and write a first grid.yaml for them."""
    from kerasgrid.submit.download import download as fetch
    from kerasgrid.submit.download import find_train
    from kerasgrid.wording import count

    found = fetch(competition, output, print, most_bytes=int(max_gb * 1024**3), timeout_s=timeout)
    there = f", {len(found.there):,} there before" if found.there else ""
    print(f"{output}: {count(len(found.written), 'file')} written{there}")
    _begin(find_train(output), output)


def _begin(train: Path | None, folder: Path) -> None:
    """Writes a grid.yaml where there is none; says why where it does not."""
    from kerasgrid.cli.starter import write_starter
    from kerasgrid.errors import KerasgridError

    target = Path("grid.yaml")
    if target.exists():
        print(f"{target} is there already, and stays as it is.")
    elif train is None:
        following = next_commands(folder, "init {}/FILE")
        print(f"Which file in {folder} is the training data cannot be told by the names. {following}")
    else:
        try:
            write_starter(str(train), target)
        except KerasgridError as error:
            print(f"No grid.yaml was written: {error}")
        else:
            print(f"{target} is written. {next_commands(target, 'check {}', 'search {}')}")


def _outcome(entry: Any, results: str) -> str:
    score = _score(entry)
    if score:
        return f"{entry.competition}: public/private score {score}"
    return f"{entry.competition}: {entry.status}. {next_commands(results, 'submissions {} --refresh')}"


def _score(entry: Any) -> str:
    scores = [entry.public_score, entry.private_score]
    return " / ".join(score or "-" for score in scores) if any(scores) else ""
