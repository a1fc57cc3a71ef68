"""The command line. Thin: each command calls one function of the library and prints what it gives."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from kerasgrid.errors import KerasgridError, NotBuiltError
from kerasgrid.wording import count, masked

FAULT, FAILED_TRIALS, INTERRUPTED = 1, 3, 130
MOST_SENTENCES = 12

app = typer.Typer(
    help="Hyperparameter search for Keras: one YAML file, one command, and nothing lost.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Grid = Annotated[Path, typer.Argument(metavar="grid.yaml", show_default=False)]
ResultsDir = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where results are written.")]
Name = Annotated[str | None, typer.Option(help="Another name for the run.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Sets any key of the YAML.", show_default=False),
]


@app.command()
def search(
    grid: Grid,
    results: ResultsDir = Path("results"),
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; the old run is moved aside.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try trials again that failed before.")
    ] = False,
    name: Name = None,
    engine: Annotated[
        str | None, typer.Option(help="grid, random, halving, bayesian, ...", show_default=False)
    ] = None,
    executor: Annotated[str | None, typer.Option(help="inline or processes.", show_default=False)] = None,
    workers: Annotated[str | None, typer.Option(help="A number, or auto.", show_default=False)] = None,
    time_budget: Annotated[str | None, typer.Option(metavar="2h", show_default=False)] = None,
    trials: Annotated[
        int | None, typer.Option(help="How many candidates at most.", show_default=False)
    ] = None,
    set_: Set = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")] = False,
) -> None:
    """Run a search, or go on with it if it was cut off."""
    from rich.console import Console

    from kerasgrid.driver import search as run
    from kerasgrid.progress import make_progress

    flags = {
        "name": name,
        "search.engine": engine,
        "executor.kind": executor,
        "executor.workers": int(workers) if workers is not None and workers.isdigit() else workers,
        "search.time": time_budget,
        "search.trials": trials,
    }
    overrides = [*(set_ or []), *_overrides(flags)]
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
        print(json.dumps({"results": str(found.path), **_outcome(found.data)}, allow_nan=False))
    elif not quiet:
        _print_results(found.data, found.path)
    code = INTERRUPTED if found.status == "interrupted" else FAILED_TRIALS
    if found.status == "interrupted" or found.data["summary"]["failed"]:
        raise typer.Exit(code)


@app.command()
def compare(
    grid: Grid,
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
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", show_default=False)] = None,
    set_: Set = None,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print both outcomes as one JSON object.")] = False,
) -> None:
    """Set AutoKeras beside the search, on the same folds and for as long; write a page of both."""
    from contextlib import ExitStack

    from rich.console import Console

    from kerasgrid.comparing import compare as run
    from kerasgrid.io import write_text
    from kerasgrid.progress import make_progress
    from kerasgrid.views.comparison import Beside
    from kerasgrid.views.pages import page_path

    flags = {
        "name": name,
        "autokeras.blocks": blocks,
        "autokeras.max_trials": max_trials,
        "autokeras.epochs": epochs,
        "autokeras.time": time_budget,
    }
    with ExitStack() as stack:
        console = Console(stderr=as_json)

        def observe(title: str) -> Any:
            if not (quiet or as_json):
                console.print(f"{title}:", markup=False, highlight=False)
            progress = make_progress("score", console, quiet or as_json)
            stack.callback(progress.close)
            return progress

        found = run(grid, results=results, overrides=[*(set_ or []), *_overrides(flags)], observe=observe)
    pair = [one for one in (found.own, found.autokeras) if one is not None]
    if as_json:
        print(json.dumps([{"results": str(one.path), **_outcome(one.data)} for one in pair], allow_nan=False))
    if found.is_interrupted:
        if not quiet and not as_json:
            print("Interrupted. The same command goes on from here.")
        raise typer.Exit(INTERRUPTED)
    beside = Beside([one.data for one in pair], found.notes)
    target = page_path([one.path for one in pair], output, ending=".compare.html")
    write_text(target, beside.html())
    if not quiet and not as_json:
        models = found.models
        kept = [f"AutoKeras's best model: {', '.join(map(str, models))}"] if models else []
        print("\n".join([*beside.lines(), *kept, str(target), *_next_commands(pair[-1].path).splitlines()]))
    if open_:
        typer.launch(target.absolute().as_uri())
    if any(one.data["summary"]["failed"] for one in pair):
        raise typer.Exit(FAILED_TRIALS)


@app.command()
def check(grid: Grid, results: ResultsDir = Path("results"), name: Name = None, set_: Set = None) -> None:
    """Check all of a grid.yaml and print the plan; train nothing."""
    from kerasgrid.draft import read_draft
    from kerasgrid.preview import preview

    shown = preview(read_draft(grid, [*(set_ or []), *_overrides({"name": name})]), results)
    print("\n".join(shown.lines()))
    for record in shown.refused:
        params = ", ".join(f"{key}={value}" for key, value in record.params.items())
        print(f"refused    {params or 'the model'}: {record.error['message']}")
    if shown.refused:
        raise typer.Exit(FAULT)


@app.command()
def plot(
    files: Annotated[list[str], typer.Argument(metavar="RESULTS...", show_default=False)],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", show_default=False)] = None,
    epochs: Annotated[bool, typer.Option("--epochs", help="A line per epoch, chained to curves.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    augment: Annotated[
        bool, typer.Option("--augment", help="Of a grid.yaml: a PNG of augmented samples.")
    ] = False,
) -> None:
    """Write the HiPlot page of results: ours, KerasTuner's, Optuna's, a flat list, cv_results_, a CSV."""
    if augment:
        from kerasgrid.augmented import write_augmented

        if len(files) > 1:
            raise typer.BadParameter("--augment takes one grid.yaml.")
        print(write_augmented(Path(files[0]), output))
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
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", show_default=False)] = None,
    as_markdown: Annotated[bool, typer.Option("--md", help="Print Markdown instead of a page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all numbers as JSON instead.")] = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write what was learnt: the effect of each parameter, curves and mistakes, each with its evidence."""
    from kerasgrid.io import write_text
    from kerasgrid.views.pages import output_path, page_path
    from kerasgrid.views.report.writing import Report
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
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", show_default=False)] = None,
) -> None:
    """Print the next grid.yaml, from the edges and effects of a search."""
    from kerasgrid.analysis.findings import analyse
    from kerasgrid.io import check_new, write_text
    from kerasgrid.suggestion import suggest as next_grid
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


@app.command()
def export(
    file: Annotated[str, typer.Argument(metavar="RESULTS", show_default=False)],
    to: Annotated[ExportTo, typer.Option("--to", help="The tool that is to show them.")],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FOLDER|URI", help="TensorBoard's folder, or MLflow's URI."),
    ] = None,
    experiment: Annotated[
        str | None,
        typer.Option(help="MLflow's experiment; the search's name by default.", show_default=False),
    ] = None,
) -> None:
    """Write the trials for TensorBoard's HParams dashboard or for MLflow."""
    from kerasgrid.tables.reading import read_table
    from kerasgrid.views.pages import beside

    table = read_table(file)
    if to is ExportTo.tensorboard:
        from kerasgrid.exports.tensorboard import write_tensorboard

        if experiment is not None:
            raise typer.BadParameter("--experiment is MLflow's; TensorBoard has none.")
        folder = write_tensorboard(table, Path(output) if output else beside(file, ".tensorboard"))
        print(f"{folder}\nNext:\n  tensorboard --logdir {shlex.quote(str(folder))}")
        return
    from kerasgrid.exports.mlflow import write_mlflow

    uri = output or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{beside(file, '.mlflow.db')}"
    n_written = write_mlflow(table, uri, experiment, origin=os.path.abspath(file))
    print(f"{masked(uri)}: {count(n_written, 'trial')} written, {len(table.rows) - n_written:,} there before")
    if uri.startswith("sqlite:"):
        print(f"Next:\n  mlflow ui --backend-store-uri {shlex.quote(uri)}")


@app.command()
def models() -> None:
    """List the built-in models with their parameters, defaults and sizes."""
    from kerasgrid.models.registry import BUILT_IN
    from kerasgrid.models.signature import parse_reference, read_signature

    for name, entry in BUILT_IN.items():
        print(f"{name}: {entry.summary} ({entry.n_parameters:,} parameters at 28 x 28 x 1)")
        for parameter in read_signature(parse_reference(name, Path.cwd())).parameters:
            print(f"    {parameter.name} = {parameter.default}")


@app.command()
def init(
    data: Annotated[str, typer.Argument(metavar="train.csv", show_default=False)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE")] = Path("grid.yaml"),
    label: Annotated[str | None, typer.Option(help="The label column.", show_default=False)] = None,
    id_: Annotated[str | None, typer.Option("--id", help="The id column.", show_default=False)] = None,
) -> None:
    """Look at data and write a commented grid.yaml that runs."""
    from kerasgrid.starter import write_starter

    target = write_starter(data, output, label=label, id=id_)
    print(f"{target} is written. Next:\n  kerasgrid check {target}\n  kerasgrid search {target}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of grid.yaml, for editors."""
    from kerasgrid.config import json_schema

    print(json.dumps(json_schema(), indent=2))


def _planned(name: str, what: str) -> None:
    """Registers a command of the contract that this version refuses in plain words."""

    @app.command(
        name, help=f"{what} (not in this version yet)", context_settings={"ignore_unknown_options": True}
    )
    def refuse(arguments: Annotated[list[str] | None, typer.Argument(hidden=True)] = None) -> None:
        raise NotBuiltError(f"kerasgrid {name}: {what.lower()} is not in this version yet.")


_planned("fit", "Training the best candidate on all data")
_planned("predict", "Predictions for the test set")
_planned("submit", "Sending predictions to Kaggle")


def main() -> None:
    """Runs the command line; errors made on purpose, and the system's, are printed without a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a terminal that cannot write ± must not end a search
            stream.reconfigure(errors="backslashreplace")
    code, written = _exit_code(app), _exit_code(_flush)
    sys.exit(code or written)


def _exit_code(run: Callable[[], object]) -> int | str | None:
    try:
        run()
    except SystemExit as end:
        return end.code
    except KeyboardInterrupt:
        print("Interrupted. The same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        return FAULT
    except (KerasgridError, OSError) as error:
        if os.environ.get("KERASGRID_TRACEBACK"):
            raise
        print(_in_words(error), file=sys.stderr)
        return FAULT
    return 0


def _flush() -> None:
    """Writes out what was printed, while a full disk or a closed pipe can still be told in words.

    The interpreter does it at its end, too, and prints a traceback.
    """
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise


def _in_words(error: KerasgridError | OSError) -> str:
    if isinstance(error, KerasgridError):
        return str(error)
    where = "what is printed" if error.filename is None else error.filename
    return f"{where}: {error.strerror or error}. KERASGRID_TRACEBACK=1 before the command shows where."


def _overrides(flags: dict[str, Any]) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]


def _outcome(data: dict[str, Any]) -> dict[str, Any]:
    return {key: data[key] for key in ("name", "status", "objective", "best", "summary")}


def _print_results(data: dict[str, Any], path: Path) -> None:
    from rich.console import Console

    from kerasgrid.views.leaderboard import leaderboard, summary_lines

    console = Console()
    console.print(leaderboard(data))
    for line in summary_lines(data):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if data["status"] == "interrupted":
        following = "Interrupted. The same command goes on from here."
    elif data["status"] == "budget":
        following = f"The budget is used up; a larger one goes on. {_next_commands(path)}"
    else:
        following = _next_commands(path)
    console.print(following, markup=False, highlight=False, soft_wrap=True)


def _next_commands(path: Path) -> str:
    file = shlex.quote(str(path))
    return f"Next:\n  kerasgrid plot {file}\n  kerasgrid report {file}"
