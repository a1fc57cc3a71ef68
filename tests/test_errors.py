"""Messages in the words of those who read them: flags in the command line, arguments in Python."""

from __future__ import annotations

import multiprocessing
import pickle

import pytest

from kerasgrid.errors import ConfigError, Fault, KerasgridError, RunError, speaking_of_flags


@pytest.mark.parametrize(
    ("flags", "arguments"),
    [
        ("restore it, or start anew with --fresh.", "restore it, or start anew with fresh=True."),
        ("--retry-failed: it has chosen.", "retry_failed=True: it has chosen."),
        (
            "choose another with --name, or stop it.",
            'choose another with overrides=["name=..."], or stop it.',
        ),
        ("--set: 'x' is no key.path=value.", "overrides: 'x' is no key.path=value."),
        ("--set search.folds: is 3.", "overrides, search.folds: is 3."),
        ("fewer (--set executor.workers=1) if", 'fewer (overrides=["executor.workers=1"]) if'),
        ("give --set model=my/net.py:build.", 'give overrides=["model=my/net.py:build"].'),
        ("Take --ensemble mean.", 'Take ensemble="mean".'),
        ("--top K takes several, --data FILE samples.", "top=K takes several, data=FILE samples."),
        ("the views of --tta are drawn", "the views of tta are drawn"),
        ("Leave --finetune out.", "Leave finetune=True out."),
        ("free some space and give the same command again.", "free some space and call the same again."),
        *((command, command) for command in ("Train them: kerasgrid fit a/b.json --trial 2 --finetune.",)),
    ],
)
def test_flags_are_arguments_in_python(flags, arguments):
    error = RunError(flags)
    assert str(error) == arguments
    assert str(pickle.loads(pickle.dumps(error))) == arguments
    with speaking_of_flags():
        assert str(error) == flags
        assert f"{KerasgridError(error)}" == flags
    assert str(ConfigError([Fault("a", flags)])) == f"config, a: {arguments}"


def test_a_worker_leaves_flags_to_the_process_that_began_it(monkeypatch):
    """It may have imported the module before it knew that it has a parent."""
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: multiprocessing.current_process())
    assert str(RunError("Start anew with --fresh.")) == "Start anew with --fresh."
