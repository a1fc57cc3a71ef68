"""Commands to begin with: doctor, models, init, schema; and cache, which lists and clears what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from kerasgrid.cli.options import FAULT, ResultsDir, app, next_commands


@app.command()
def doctor(
    results: ResultsDir = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """Tell what this machine has and whether a search can run here; to paste into a report of a fault."""
    from kerasgrid.console import Console
    from kerasgrid.driver.doctor import diagnose

    found = diagnose(results, Console(stderr=True).print)
    print(json.dumps(found.as_json()) if as_json else "\n".join(found.lines()))
    if not found.can_search:
        raise typer.Exit(FAULT)


@app.command()
def cache(
    which: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[WHICH]...", help="The beginning of a name, or what it is of.", show_default=False
        ),
    ] = None,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove these, or all but what processes use.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as one JSON object.")] = False,
) -> None:
    """List what is kept between searches, which can be made again, or clear it."""
    import time

    from kerasgrid.console import Console
    from kerasgrid.data import keeping

    names = which or []
    removed, parts = keeping.clear(names) if clear else ([], keeping.chosen(names))
    if as_json:
        found = {"folder": str(keeping.cache_folder()), "limit_bytes": keeping.limit_bytes()}
        shown = {"removed": [one.as_json() for one in removed], "parts": [one.as_json() for one in parts]}
        print(json.dumps(found | shown))
        return
    console = Console()
    for line in keeping.told(parts, removed if clear else None, time.time()):
        console.print(line, soft_wrap=True)


@app.command()
def models() -> None:
    """List the built-in models with their parameters, defaults and sizes."""
    from kerasgrid.models.references import BUILT_IN, parse_reference
    from kerasgrid.models.signature import read_signature

    for name, entry in BUILT_IN.items():
        print(f"{name}: {entry.summary} ({entry.n_parameters:,} parameters at 28 x 28 x 1)")
        signature = read_signature(parse_reference(name, Path.cwd()))
        for parameter in () if signature is None else signature.parameters:
            print(f"    {parameter.name} = {parameter.default}")


@app.command()
def init(
    data: Annotated[str, typer.Argument(metavar="train.csv", show_default=False)],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="What is written, a new file.")
    ] = Path("grid.yaml"),
    label: Annotated[str | None, typer.Option(help="The label column.", show_default=False)] = None,
    id_: Annotated[str | None, typer.Option("--id", help="The id column.", show_default=False)] = None,
) -> None:
    """Look at data and write a commented grid.yaml that runs."""
    from kerasgrid.cli.starter import write_starter

    target = write_starter(data, output, label=label, id=id_)
    print(f"{target} is written. {next_commands(target, 'check {}', 'search {}')}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of grid.yaml, for editors."""
    from kerasgrid.config.sections import json_schema

    print(json.dumps(json_schema(), indent=2))
