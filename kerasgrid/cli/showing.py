"""Commands that show what a search has found: plot, report, suggest, export."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kerasgrid.cli.options import PageFile, app
from kerasgrid.wording import count, masked, shell_word

MOST_SENTENCES = 12


@app.command()
def plot(
    files: Annotated[list[str], typer.Argument(metavar="RESULTS...", show_default=False)],
    output: PageFile = None,
    epochs: Annotated[bool, typer.Option("--epochs", help="A line per epoch, chained to curves.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    augment: Annotated[
        bool, typer.Option("--augment", help="Of a grid.yaml: a PNG of augmented samples.")
    ] = False,
    data: Annotated[
        bool,
        typer.Option("--data", help="Of a grid.yaml: a page of its samples, and what is odd about them."),
    ] = False,
) -> None:
    """Write the HiPlot page of results: ours, KerasTuner's, Optuna's, a flat list, cv_results_, a CSV."""
    if augment and data:
        raise typer.BadParameter("--augment and --data are two pictures; choose one.")
    if augment:
        from kerasgrid.driver.preview import write_augmented

        if len(files) > 1:
            raise typer.BadParameter("--augment takes one grid.yaml.")
        print(write_augmented(Path(files[0]), output))
        return
    if data:
        from kerasgrid.console import Console
        from kerasgrid.driver.looking import write_data_page
        from kerasgrid.views.progress import make_progress

        if len(files) > 1:
            raise typer.BadParameter("--data takes one grid.yaml.")
        progress = make_progress("score", Console(stderr=True), quiet=False)
        try:
            looked_at = write_data_page(Path(files[0]), output, doing=progress.doing)
        finally:
            progress.close()
        print(looked_at)
        if open_:
            typer.launch(looked_at.absolute().as_uri())
        return
    from kerasgrid.tables.reading import read_table
    from kerasgrid.views.hiplot import write_page
    from kerasgrid.views.pages import page_path

    tables = [read_table(file) for file in files]
    page = write_page(tables, page_path(files, output), epochs=epochs)
    print(page)
    if open_:
        typer.launch(page.absolute().as_uri())


@app.command()
def report(
    file: Annotated[str, typer.Argument(metavar="RESULTS", show_default=False)],
    output: PageFile = None,
    as_markdown: Annotated[bool, typer.Option("--md", help="Print Markdown instead of a page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON instead.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write what was learnt: the effect of each parameter, curves and mistakes, each with its evidence."""
    from kerasgrid.io import write_text
    from kerasgrid.report.writing import Report
    from kerasgrid.views.pages import output_path, page_path
    from kerasgrid.wording import count

    if as_markdown and as_json:
        raise typer.BadParameter("--md and --json are two forms; choose one.")
    if as_markdown or as_json:
        if open_:
            raise typer.BadParameter("--open shows a page, which --md and --json do not write.")
        target = output_path([file], output) if output is not None else None
        found = Report(file)
        text = found.markdown() if as_markdown else found.json() + "\n"
        if target is None:
            print(text, end="")
        else:
            write_text(target, text)
            print(target)
        return
    target = page_path([file], output, ending=".report.html")
    found = Report(file)
    write_text(target, found.html())
    sentences = found.sentences()
    if len(sentences) > MOST_SENTENCES:
        left = count(len(sentences) - MOST_SENTENCES, "sentence")
        sentences[MOST_SENTENCES:] = [f"{left} more on the page:"]
    print("\n".join([*sentences, str(target)]))
    if open_:
        typer.launch(target.absolute().as_uri())


@app.command()
def suggest(
    file: Annotated[str, typer.Argument(metavar="RESULTS", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write it to a new file instead.", show_default=False
        ),
    ] = None,
) -> None:
    """Print the next grid.yaml, from the edges and effects of a search."""
    from kerasgrid.io import check_new, write_text
    from kerasgrid.report.findings import analyse
    from kerasgrid.report.suggestion import suggest as next_grid
    from kerasgrid.tables.reading import read_table

    if output is not None:
        check_new(output)
    text = next_grid(analyse(read_table(file)))
    if output is None:
        print(text, end="")
        return
    write_text(output, text)
    print(output)


class ExportTo(StrEnum):
    """What trials can be exported to."""

    tensorboard = "tensorboard"
    mlflow = "mlflow"
    notebook = "notebook"


@app.command()
def export(
    file: Annotated[str, typer.Argument(metavar="RESULTS", show_default=False)],
    to: Annotated[ExportTo, typer.Option("--to", help="Where they are wanted.")],
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FOLDER|URI", help="A folder, or MLflow's URI.")
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(help="MLflow's experiment; the search's name by default.", show_default=False),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(help="The notebook's; the best one by default.", show_default=False)
    ] = None,
) -> None:
    """Write the trials for TensorBoard's HParams or MLflow; or one as a notebook that trains it offline."""
    from kerasgrid.tables.reading import read_table
    from kerasgrid.views.pages import path_beside

    owned = (("experiment", experiment, ExportTo.mlflow), ("trial", trial, ExportTo.notebook))
    for name, value, owner in owned:
        if value is not None and to is not owner:
            raise typer.BadParameter(f"--{name} belongs to --to {owner}; leave it out.")
    if to is ExportTo.notebook:
        from kerasgrid.exports.notebook import write_notebook

        written = write_notebook(
            Path(file), Path(output) if output else path_beside(file, ".notebook"), trial
        )
        print("\n".join(map(str, written)))
        print(
            "Attach the wheel, the competition's data and what else the notebook names; it needs no network."
        )
        return
    table = read_table(file)
    if to is ExportTo.tensorboard:
        from kerasgrid.exports.tensorboard import write_tensorboard

        folder = write_tensorboard(table, Path(output) if output else path_beside(file, ".tensorboard"))
        print(f"{folder}\nNext:\n  tensorboard --logdir {shell_word(folder)}")
        return
    from kerasgrid.exports.mlflow import write_mlflow

    uri = output or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{path_beside(file, '.mlflow.db')}"
    n_written = write_mlflow(table, uri, experiment, origin=os.path.abspath(file))
    print(f"{masked(uri)}: {count(n_written, 'trial')} written, {len(table.rows) - n_written:,} there before")
    if uri.startswith("sqlite:"):
        print(f"Next:\n  mlflow ui --backend-store-uri {shell_word(uri)}")
