"""The program that commands are added to, and the options and words that several of them have."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

FAULT, FAILED_TRIALS, INTERRUPTED = 1, 3, 130

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


def next_commands(path: str | Path, *commands: str) -> str:
    """Returns lines that name what to run next, as a shell takes them; `{}` stands for the file."""
    file = shlex.quote(str(path))
    return "\n".join(["Next:", *(f"  kerasgrid {command.format(file)}" for command in commands)])


def overrides_of(set_: list[str] | None, **flags: tuple[str, Any]) -> list[str]:
    """Returns what --set was given, and flags that were given for a key, as such texts.

    Args:
        set_: The texts of --set.
        flags: By name, as in Python: the key path, and the value, None where it was not given.
    """
    from kerasgrid.config_form import Flag

    given = [(f"--{name.replace('_', '-')}", *one) for name, one in flags.items() if one[1] is not None]
    return [*(set_ or []), *(Flag(*one) for one in given)]
