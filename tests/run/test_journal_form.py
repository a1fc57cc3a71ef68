"""What a journal's lines may be, and what happens to one that is nothing a search writes."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from fakes import CONFIG
from fitted import train_nothing

from kerasgrid.driver.search import search
from kerasgrid.errors import JournalError
from kerasgrid.run.damage import checksum
from kerasgrid.run.journal import FORMAT, Journal, check_line, header_of, read
from kerasgrid.run.paths import RunPaths

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*/journal.jsonl"))
FOLD = {"type": "fold", "time": 1.0, "job": [0, 0, 0], "score": 0.5}


def sealed(record):
    """Returns the line of a record, with its checksum."""
    body = json.dumps({key: value for key, value in record.items() if key != "crc32"})[:-1] + ", "
    return body.encode() + checksum(body.encode())


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.parent.name)
def test_what_earlier_versions_wrote_holds(path):
    header, records = read(path, check_line)
    assert header_of(path, check_line) == header
    assert {"trial", "fold", "checkpoint", "session"} <= {record["type"] for record in records}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({}, "it names no type"),
        ({"type": "news"}, "its type is not known here"),
        ({"type": []}, "its type is not known here"),
        ({"type": "end", "status": "complete"}, "end.time is null or missing"),
        (
            {"type": "trial", "time": 1.0, "id": "x", "params": {}},
            "trial.id is text; a whole number is expected",
        ),
        ({**FOLD, "job": [0, 0]}, "fold.job[2] is null or missing"),
        ({**FOLD, "job": [0, -1, 0]}, "fold.job[1] is -1; at least 0 is expected there"),
        ({**FOLD, "history": {"loss": "x"}}, "fold.history.loss is text; a list is expected there"),
        ({**FOLD, "score": None}, "fold has no score, and no error that tells why"),
        ({**FOLD, "error": {"type": 3}}, "fold.error.type is a number; text is expected there"),
    ],
)
def test_a_line_that_is_none_is_told(line, told):
    with pytest.raises(ValueError, match=told.split()[0][:3]) as caught:
        check_line(2, line)
    assert str(caught.value).startswith(told)


def test_a_header_s_parts_are_objects(tmp_path):
    path = tmp_path / "journal.jsonl"
    header = {"format": "kerasgrid.journal/1", "identity": [1]}
    for line in (json.dumps(header).encode() + b"\n", sealed({**header, "format": FORMAT})):
        path.write_bytes(line)
        with pytest.raises(
            JournalError, match=r"journal\.jsonl:1: this line is damaged \(identity is a list; an"
        ):
            Journal.open(path, {}, check_line)
        assert header_of(path, check_line) == {}


@pytest.fixture
def searched(tmp_path, monkeypatch):
    """Runs a search that trains nothing, or goes on with it; returns its results and file names."""
    train_nothing(monkeypatch)
    found = search(CONFIG, results=tmp_path)
    return found, RunPaths(tmp_path, "fake")


@pytest.mark.parametrize("odd", ["{}", "[]", "null", "5", '{"type":"news","time":1}', "[" * 100_000])
def test_an_odd_last_line_is_told_and_does_not_count(searched, odd, caplog):
    before, paths = searched
    whole = paths.journal.read_text()
    paths.journal.write_text(f"{whole}{odd}\n")
    with caplog.at_level(logging.WARNING):
        again = search(CONFIG, results=paths.results)
    assert again.trials == before.trials
    assert paths.journal.read_text().startswith(f'{whole}{{"type":"session"')
    told = f"{paths.journal}:{whole.count(chr(10)) + 1}: this line is damaged (it has no checksum), was "
    assert f"{told}nothing that can be read, and does not count." in caplog.text


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        ("trial", {"id": 9}, "trial 9 comes after 0 trials"),
        ("fold", {"job": [9, 0, 0]}, "there is no trial 9"),
        ("fold", {"job": [0, 7, 0]}, "there is no fold 7, repeat 0"),
        ("fold", {"job": [0, 0, 4]}, "there is no fold 0, repeat 4"),
        ("fold", {"score": "x"}, "fold.score is text; a number or null is expected there"),
        ("end", {"time": None}, "end.time is null or missing; a number is expected there"),
    ],
)
def test_a_line_that_cannot_be_is_told_with_its_number(searched, place, change, told):
    _, paths = searched
    lines = paths.journal.read_bytes().splitlines(keepends=True)
    number = next(n for n, line in enumerate(lines) if f'"type":"{place}"'.encode() in line)
    lines[number] = sealed({**json.loads(lines[number]), **change})
    paths.journal.write_bytes(b"".join([*lines, lines[-1]]))
    with pytest.raises(JournalError) as caught:
        search(CONFIG, results=paths.results)
    assert f"{paths.journal}:{number + 1}: this line is damaged ({told}). " in str(caught.value)
    assert "Restore the file from a copy, or start anew with " in str(caught.value)
