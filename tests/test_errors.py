"""Messages in the words of those who read them: flags in the command line, arguments in Python."""

from __future__ import annotations

import multiprocessing
import pickle

import pytest

from kerasgrid.errors import ConfigError, Fault, KerasgridError, RunError, cause, speaking_of_flags
from kerasgrid.models import source
from kerasgrid.models.source import layer_line, users_line


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


GRAPH = """Graph execution error:

Detected at node functional_1/embedding_1/GatherV2 defined at (most recent call last):
  File "<string>", line 1, in <module>

  File "/usr/lib/python3.11/site-packages/keras/src/ops/numpy.py", line 7924, in take

indices[0,4] = 14 is not in [0, 10)
\t [[{{node functional_1/embedding_1/GatherV2}}]] [Op:__inference_multi_step_on_iterator_783]"""
ROOTS = """2 root error(s) found.
  (0) INVALID_ARGUMENT:  Incompatible shapes: [32] vs. [32,10]
\t [[{{node compile_loss/focal/mul}}]]
\t [[Adam/x/_3]]
  (1) INVALID_ARGUMENT:  Incompatible shapes: [32] vs. [32,10]
\t [[{{node compile_loss/focal/mul}}]]
0 successful operations.
0 derived errors ignored. [Op:__inference_x]"""
CALL = "Exception encountered when calling L.call().\n\n\x1b[1mNo way\x1b[0m\n\nArguments received by L"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GRAPH, "indices[0,4] = 14 is not in [0, 10)"),
        (ROOTS, "Incompatible shapes: [32] vs. [32,10]"),
        (CALL, "Exception encountered when calling L.call(). No way"),
        ("one line.\n\n  another", "one line. another"),
        ("Graph execution error:", "Graph execution error:"),
        ("", ""),
    ],
)
def test_the_cause_is_what_went_wrong_without_where_in_a_graph(text, told):
    assert cause(ValueError(text)) == told


def test_the_user_s_own_line_of_a_graph_is_no_line_of_what_called_this_package(tmp_path):
    script, loss = tmp_path / "script.py", tmp_path / "loss.py"
    for path in (script, loss):
        path.write_text("")
    frames = [(script, 12), (source.__file__, 3), (loss, 4), ("/usr/lib/python3.11/site-packages/k.py", 5)]
    text = "".join(f'  File "{path}", line {line}, in f\n\n' for path, line in frames)
    assert users_line(ValueError(text)) == (str(loss), 4)
    assert users_line(ValueError(text.replace(str(loss), "/no/such/file.py"))) is None


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("import keras\nx = keras.layers.Embedding(10, 2)\ny = keras.layers.Dense(3)", 2),
        ("from keras.layers import Embedding\na = [\n    Embedding(10, 2)]", 3),
        ("a = Embedding(10, 2)\nb = Embedding(10, 3)", None),
        ("a = Embedding(10, 2)\ndef build(n):\n    return Embedding(10, 3)", 3),
        ("a = Embedding(10, 2)\nb = Functional()", 1),
        ("a = Dense(3)", None),
        ("no Python", None),
    ],
)
def test_the_line_of_the_layer_in_which_an_error_arose(source, line, tmp_path):
    path = tmp_path / "net.py"
    path.write_text(source)
    assert layer_line(ValueError(GRAPH), path, "build") == line
