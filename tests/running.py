"""The command line in this process."""

from __future__ import annotations

import sys

import pytest

from kerasgrid import cli


def run(monkeypatch, *arguments):
    """Returns the exit code of the command line in this process."""
    monkeypatch.setattr(sys, "argv", ["kerasgrid", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return end.value.code
