"""The program that commands are added to, and the options and words that several of them have."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from kerasgrid.wording import shell_word

FAULT, FAILED_TRIALS, INTERRUPTED = 1, 3, 130

_EXIT_CODES = (
    "Exit codes: 0 done; 1 a fault of the input or the data; 2 usage; 3 done, but some trials failed; "
    "130 interrupted, the same command goes on."
)


class _Program(TyperGroup):
    """The commands; the help of each ends with the exit codes."""

    def get_command(self, ctx: Any, name: str) -> Any:
        found = super().get_command(ctx, name)
        if found is not None:
            found.epilog = _EXIT_CODES
        return found


def finite(value: float | None) -> float | None:
    """Refuses a number that is none, which passes an option's bounds in older versions of Typer."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter(f"{value} is no number.")
    return value


app = typer.Typer(
    cls=_Program,
    help="Hyperparameter search for Keras: one YAML file, one command, and nothing lost.",
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        from kerasgrid.machine import versions

        found = versions()
        print(", ".join(f"{name} {found[name]}" for name in sorted(found, key="kerasgrid".__ne__)))
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the versions and end."),
    ] = False,
) -> None:
    pass


GridFile = Annotated[Path, typer.Argument(metavar="grid.yaml", show_default=False)]
ResultsDir = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where results are written.")]
Name = Annotated[str | None, typer.Option(help="Another name for the run.", show_default=False)]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Sets any key of the YAML.", show_default=False),
]
PageFile = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", metavar="FILE", help="The page; beside the results by default.", show_default=False
    ),
]


def next_commands(path: str | Path, *commands: str) -> str:
    """Returns lines that name what to run next, as a shell takes them; `{}` stands for the file."""
    file = shell_word(path)
    return "\n".join(["Next:", *(f"  kerasgrid {command.format(file)}" for command in commands)])


def overrides_of(set_: list[str] | None, **flags: tuple[str, Any]) -> list[str]:
    """Returns what --set was given, and flags that were given for a key, as such texts.

    Args:
        flags: By name, as in Python: the key path, and the value, None where it was not given.
    """
    from kerasgrid.config.reading import Flag

    given = [(f"--{name.replace('_', '-')}", *one) for name, one in flags.items() if one[1] is not None]
    return [*(set_ or []), *(Flag(*one) for one in given)]
