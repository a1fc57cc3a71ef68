"""What a terminal is given: escapes in the place of what it would obey, whatever prints it."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import unicodedata
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich import box
from rich.live import Live
from rich.table import Table
from rich.text import Text
from running import run

from kerasgrid import console
from kerasgrid.console import Console, Shown, show_all
from kerasgrid.records import EpochRecord, Job, Trial
from kerasgrid.views.progress import LiveProgress, PlainProgress
from kerasgrid.wording import shell_word, visible, visible_json, visible_line

HOSTILE = "\x1b]0;owned\x07\x1b[31m\x9b2J\x7f\u202egnp\u2066\u200f\u061c\u2028\ufeff\U000e0041\ud800\r\t"


def obeyed(text):
    """Returns what in a text a terminal would obey."""
    found = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return [letter for letter in text if unicodedata.category(letter) in found and letter != "\n"]


@given(st.text(st.characters(codec=None)))
@example(HOSTILE)
def test_nothing_that_is_shown_is_obeyed_and_the_rest_stays(text):
    assert not obeyed(visible(text))
    assert visible(visible(text)) == visible(text)
    assert visible(text) == text or obeyed(text)
    assert "\n" not in visible_line(text)
    written = json.dumps(text, ensure_ascii=False)
    assert not obeyed(visible_json(written))
    assert json.loads(visible_json(written)) == text


@contextmanager
def terminal():
    """Has standard output and error be a terminal on which all is shown, and gives what it is sent."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(sys, "stderr", stream)
        patch.setenv("TERM", "xterm-256color")
        patch.setenv("COLUMNS", "300")
        show_all()
        yield stream


def warn(text):
    sys.stderr.write(warnings.formatwarning(UserWarning(text), UserWarning, "a.py", 1))  # as warn does


def log(text):
    logging.StreamHandler(sys.stderr).emit(logging.makeLogRecord({"msg": text}))


def table(text):
    shown = Table(box=box.SIMPLE)
    shown.add_column(text)
    shown.add_row(text)
    Console().print(shown)


def live(text):
    """Prints, warns and logs while a display is up, as a trained model's file or a library may."""
    with Live(Text(text), console=Console()):
        print(text)
        warn(text)
        log(text)


def progress(text):
    shown = LiveProgress("score", Console())
    shown._live.start()
    shown.started(Job(Trial(0, {text: text}), 0))
    shown.epoch(EpochRecord((0, 0, 0), 1, 2, {"loss": 0.5}))
    shown.note(text)
    shown.close()
    PlainProgress("score", Console()).note(text)


@pytest.mark.parametrize(
    "way",
    [
        print,
        lambda text: sys.stderr.writelines([text]),
        lambda text: Console().print(text, Text(text)),
        *(table, warn, log, live, progress),
    ],
)
def test_by_no_way_of_printing_is_a_text_obeyed_or_read_as_markup(way):
    with terminal() as harmless:
        way("harmless")
    with terminal() as shown:
        way(f"{HOSTILE}[red]x[/] [/] :boom: \\")
    text = shown.getvalue()
    assert set(obeyed(text)) <= set(obeyed(harmless.getvalue()))  # rich's codes alone
    assert "\x1b]0;" not in text
    assert "\x1b[2J" not in text
    assert r"\x1b]0;owned\x07\x1b[31m\x9b2J" in text
    assert "[red]x[/] [/] :boom:" in text


def test_streams_are_wrapped_once_and_give_way_when_a_display_ends():
    with terminal() as stream:
        before = sys.stdout
        show_all()
        with Live(console=Console()):
            assert isinstance(sys.stdout, Shown)
            assert sys.stdout is not before
        assert sys.stdout is before
        assert before.stream is stream
        assert not hasattr(before, "buffer")
        assert before.isatty()


COLUMN = "ro\x1b[31mtation\u202e"
FILES = {
    "grid.yaml": f'model: fc\n"{COLUMN.encode("unicode_escape").decode()}": 1\n',
    "train.csv": f"label,{COLUMN},b\n" + "\n".join(f"{n % 2},{n},{n}" for n in range(30)),
    "trials.csv": f"{COLUMN},mean_test_score\n0.1,0.9\n0.2,0.8\n0.3,0.7\n",
    f"{COLUMN}.json": json.dumps([{COLUMN: n, "mean_test_score": 0.1 * n} for n in range(4)]),
    "text.json": f"{COLUMN}",
}


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "grid.yaml"),
        ("check", COLUMN),
        ("check", "grid.yaml", "--set", f"{COLUMN}=1"),
        ("check", "grid.yaml", COLUMN),
        ("check", f"--{COLUMN}"),
        (COLUMN,),
        ("export", "trials.csv", "--to", COLUMN),
        ("init", "train.csv", "--label", COLUMN),
        ("init", COLUMN),
        ("report", "trials.csv"),
        ("report", "trials.csv", "--md"),
        ("report", "trials.csv", "--json"),
        ("suggest", "trials.csv"),
        ("suggest", f"{COLUMN}.json"),
        ("plot", f"{COLUMN}.json"),
        ("plot", "text.json"),
        ("submit", f"{COLUMN}.json", "-c", COLUMN, "-m", COLUMN),
        ("predict", COLUMN),
        ("fit", "trials.csv"),
    ],
    ids=lambda arguments: " ".join(arguments).encode("unicode_escape").decode(),
)
def test_no_command_lets_the_terminal_obey_names(tmp_path, monkeypatch, capsys, arguments):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KERASGRID_TRACEBACK", raising=False)
    for name, text in FILES.items():
        Path(name).write_text(text)
    run(monkeypatch, *arguments)
    printed = "".join(capsys.readouterr())
    assert printed
    assert not obeyed(printed)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8))
@example("a\x1b[31m'\\\n\u202e b")
@example("a b")
@settings(max_examples=20, deadline=None)
def test_a_path_is_copied_back_into_a_shell_as_it_is(name):
    word = shell_word(name)
    assert not obeyed(word)
    assert "\n" not in word
    done = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True)
    assert done.stdout == name.encode()


def test_a_traceback_is_shown_too(tmp_path):
    program = "from kerasgrid.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "plot", COLUMN],
        cwd=tmp_path,
        env={"KERASGRID_TRACEBACK": "1", "PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert r"ResultsError: ro\x1b[31mtation\u202e: there is no such file" in done.stderr
    assert not obeyed(done.stderr)


def test_a_warning_is_of_the_users_own_line():
    @contextmanager
    def around():
        yield

    with pytest.warns(UserWarning, match="odd") as told:
        around()(console.warn)("odd")
    assert told[0].filename == __file__
