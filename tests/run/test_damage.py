"""Damage to a journal: no flipped bit changes what is read without a word, and what is told holds."""

from __future__ import annotations

import json
import logging
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutations import N_MUTATIONS

from kerasgrid.errors import JournalError
from kerasgrid.run.damage import Damage
from kerasgrid.run.journal import Journal, check_line, read

GOLDEN = Path(__file__).parents[1] / "golden"


class Heard(logging.Handler):
    """Counts what is logged."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.fixture
def heard():
    """What the journal logs."""
    log, handler = logging.getLogger("kerasgrid.run.journal"), Heard()
    log.addHandler(handler)
    before, log.level = log.level, logging.DEBUG
    yield handler.lines
    log.level = before
    log.removeHandler(handler)


def flipped(data, bit):
    return data[: bit // 8] + bytes([data[bit // 8] ^ (1 << bit % 8)]) + data[bit // 8 + 1 :]


def is_silent(path, data, whole, heard):
    """Tells whether a damaged journal is read as something else than it was, without a word."""
    path.write_bytes(data)
    heard.clear()
    try:
        found = read(path, check_line)
    except JournalError:
        return False
    return found != whole and not heard


@pytest.mark.parametrize("name", ["run-2", "rungs-2"])
def test_of_flipped_bits_none_changes_what_is_read_without_a_word(name, tmp_path, heard):
    journal = GOLDEN / name / "journal.jsonl"
    data, whole, chance = journal.read_bytes(), read(journal, check_line), random.Random(0)
    bits = [chance.randrange(8 * len(data)) for _ in range(N_MUTATIONS)]
    assert sum(is_silent(tmp_path / "flipped", flipped(data, bit), whole, heard) for bit in bits) == 0


def test_without_checksums_a_third_of_them_does(tmp_path, heard):
    """Under version 1, by the same measure."""
    journal = GOLDEN / "run-1" / "journal.jsonl"
    data, whole, chance = journal.read_bytes(), read(journal, check_line), random.Random(0)
    bits = [chance.randrange(8 * len(data)) for _ in range(N_MUTATIONS)]
    silent = sum(is_silent(tmp_path / "flipped", flipped(data, bit), whole, heard) for bit in bits)
    assert N_MUTATIONS // 5 < silent < N_MUTATIONS // 2


FOLDS = [
    {"type": "fold", "time": 1.0, "job": [trial, fold, 0], "score": 0.1 * trial, "fit_time": 1.5 + trial}
    for trial in range(2)
    for fold in range(2)
]


@given(data=st.data())
def test_any_flipped_bit_is_told_or_costs_the_last_record_alone(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    with Journal.open(path, {"name": "x"}) as journal:
        for record in FOLDS:
            journal.append(record)
    whole = path.read_bytes()
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    path.write_bytes(flipped(whole, bit))
    if bit // 8 > whole[:-1].rindex(b"\n") and flipped(whole, bit).count(10) <= len(FOLDS) + 1:
        assert read(path, check_line)[1] == FOLDS[:-1]
        return
    with pytest.raises(JournalError) as caught:
        read(path, check_line)
    assert f"{path}:{1 + whole[: bit // 8].count(10)}: this line is damaged (" in str(caught.value)


def damaged(tmp_path, records, place, bit=0, byte=-30):
    """Writes a journal, of which a bit of one record's line is flipped; returns its file."""
    path = tmp_path / "journal.jsonl"
    with Journal.open(path, {"name": "x"}) as journal:
        for record in records:
            journal.append(record)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = flipped(lines[place], 8 * (byte % len(lines[place])) + bit)
    path.write_bytes(b"".join(lines))
    return path


FRESH = "tart anew with fresh=True, which moves the old run aside"


@pytest.mark.parametrize(
    ("record", "more", "was", "told"),
    [
        (
            {"type": "fold", "job": [0, 2, 0], "score": 0.5},
            FOLDS,
            "the end of trial 0, fold 2",
            "delete line 2 of it, which is text, and call the same again. To train that fit again takes "
            "about 1.5 s, as 2 other fits of trial 0 took on average. Or s",
        ),
        (
            {"type": "fold", "job": [7, 2, 1], "score": 0.5},
            FOLDS,
            "the end of trial 7, fold 2, repeat 1",
            "To train that fit again takes about 2.0 s, as 4 other fits took on average. Or s",
        ),
        (
            {"type": "fold", "job": [7, 2, 0], "score": 0.5},
            FOLDS[:1],
            "the end of trial 7, fold 2",
            "To train that fit again takes about 1.5 s, as 1 other fit took. Or s",
        ),
        (
            {"type": "fold", "job": [7, 2, 0], "score": 0.5},
            [{"type": "fold", "time": 1.0, "job": [7, 2, 1], "error": {}}],
            "the end of trial 7, fold 2",
            "How long it takes to train that fit again is not known: no other one has ended. Or s",
        ),
        (
            {"type": "rung", "job": [0, 2, 0], "score": 0.5},
            FOLDS,
            "what trial 0, fold 2 had reached at a rung",
            "delete line 2 of it, which is text, and call the same again. To train that fit again takes "
            "about 1.5 s, as 2",
        ),
        (
            {"type": "rung", "job": [0, 1, 0], "score": 0.5},
            FOLDS,
            "what trial 0, fold 1 had reached at a rung",
            "the 1 line above this one alone, and call the same again: that trains 4 fits again, about 8.0 s",
        ),
        (
            {"type": "trial", "id": 3, "params": {}},
            FOLDS[:3],
            "the params of trial 3",
            "the 1 line above this one alone, and call the same again: that trains 3 fits again, about 5.5 s",
        ),
        (
            {"type": "drop", "trial": 3},
            FOLDS[:1],
            "that trial 3 was given up",
            "the 1 line above this one alone, and call the same again: that trains 1 fit again, about 1.5 s",
        ),
        (
            {"type": "checkpoint", "job": [0, 1, 0], "epoch": 3},
            FOLDS[:1],
            "a checkpoint of trial 0, fold 1",
            "delete line 2 of it, which is text, and call the same again. Nothing is lost by it: the",
        ),
        (
            {"type": "retry", "job": [0, 1, 0]},
            FOLDS[:1],
            "that trial 0, fold 1 was tried once more",
            "delete line 2 of it, which is text, and call the same again. Nothing is lost by it. Or s",
        ),
        (
            {"type": "news"},
            [{"type": "end", "time": 1.0, "status": "complete"}],
            "nothing that can be read",
            "the 1 line above this one alone, and call the same again: no fit has to be trained again. Or s",
        ),
    ],
)
def test_a_damaged_line_is_told_with_what_it_was_and_what_each_way_on_costs(
    record, more, was, told, tmp_path
):
    path = damaged(tmp_path, [{**record, "time": 1.0}, *more], 1, byte=-24)
    with pytest.raises(JournalError) as caught:
        read(path, check_line)
    start = f"{path}:2: this line is damaged (its checksum does not hold), and was {was}. Restore the file "
    mend = f"from a copy, mend byte {len(path.read_bytes().splitlines()[1]) - 22} of the line ('"
    assert str(caught.value).startswith(start + mend)
    assert told in str(caught.value)
    assert FRESH in str(caught.value)


def test_a_damaged_header_costs_all(tmp_path):
    path = damaged(tmp_path, FOLDS, 0)
    with pytest.raises(JournalError) as caught:
        read(path, check_line)
    assert (
        f"{path}:1: this line is damaged (its checksum does not hold), and was what makes the run this"
        in str(caught.value)
    )
    assert f"or s{FRESH}: that trains 4 fits again, about 8.0 s in all." in str(caught.value)


@pytest.mark.parametrize(
    ("n_damaged", "told"),
    [
        (2, "that trains 3 fits again, about 6.5 s in all, and what 1 line told that cannot be read."),
        (5, "that trains again what 4 lines told that cannot be read."),
    ],
)
def test_what_is_not_known_of_damaged_lines_is_not_said_to_cost_nothing(n_damaged, told, tmp_path):
    path = damaged(tmp_path, FOLDS, 0)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1:n_damaged] = [line.replace(b"fit_time", b"fit time") for line in lines[1:n_damaged]]
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError) as caught:
        read(path, check_line)
    assert str(caught.value).endswith(told)


def test_an_editor_may_have_ended_lines_in_its_own_way(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal.open(path, {"name": "x"}) as journal:
        for record in FOLDS:
            journal.append(record)
    wanted = read(path, check_line)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read(path, check_line) == wanted
    with Journal.open(path, {}, check_line) as journal:
        journal.append(FOLDS[0])
    assert read(path, check_line)[1] == [*FOLDS, FOLDS[0]]
    path.write_bytes(path.read_bytes().replace(b"1.5", b"9.5", 1))
    with pytest.raises(JournalError, match=":2: this line is damaged"):
        read(path, check_line)


def test_all_damaged_lines_are_told_at_once_and_one_of_several_bits_cannot_be_mended(tmp_path):
    path = damaged(tmp_path, FOLDS, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b"1.5", b"9.7")
    path.write_bytes(b"".join(lines))
    with pytest.raises(JournalError) as caught:
        read(path, check_line)
    told = (
        "2: this line is damaged (its checksum does not hold), and was the end of trial 0, fold 0. So are 3 "
    )
    assert f"{path}:{told}below it. Restore the file from a copy, or delete line 2" in str(caught.value)


def test_lines_that_have_run_into_each_other_are_no_torn_end(tmp_path):
    for place in (0, 3, 4):
        path = damaged(tmp_path / str(place), FOLDS, place, byte=-1)
        if place == 4:  # the last newline: as if it were torn
            assert read(path, check_line)[1] == FOLDS[:-1]
            continue
        with pytest.raises(JournalError) as caught:
            read(path, check_line)
        whole = (
            "what makes the run this run" if place == 0 else "several lines, which have run into each other"
        )
        assert f"{path}:{place + 1}: this line is damaged (" in str(caught.value)
        assert f"), and was {whole}. " in str(caught.value)


def test_a_damaged_last_line_does_not_count_and_says_what_it_costs(tmp_path, heard):
    path = damaged(tmp_path, FOLDS, 4)
    with Journal.open(path, {}, check_line) as journal:
        assert journal.records == FOLDS[:-1]
        journal.append(FOLDS[-1])
    assert read(path, check_line)[1] == FOLDS
    assert heard == [
        f"{path}:5: this line is damaged (its checksum does not hold), was the end of trial 1, fold 1, and "
        "does not count. To train that fit again takes about 2.5 s, as 1 other fit of trial 1 took."
    ]


@pytest.mark.parametrize("size", [40, 400, 40_000])
def test_a_flipped_bit_is_found_wherever_it_is(size, tmp_path):
    path, chance = tmp_path / "journal.jsonl", random.Random(size)
    with Journal.open(path, {}) as journal:
        journal.append({"x": "y" * size})
    line = path.read_bytes().splitlines(keepends=True)[1]
    for bit in [0, 8 * (len(line) - 20) - 1, *(chance.randrange(8 * (len(line) - 20)) for _ in range(4))]:
        place, bad = bit // 8, flipped(line, bit)
        told = f"mend byte {place + 1} of the line ({chr(bad[place])!a}, which was {chr(line[place])!a})"
        assert told in Damage(2, bad, [], []).told("why")
        other = (place + 7) % (len(line) - 20)
        assert "mend" not in Damage(2, flipped(bad, 8 * other), [], []).told("why")


def test_a_journal_of_one_record_has_its_own_keys_alone(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal.open(path, {}) as journal:
        journal.append({})
        journal.append({"a": 1})
    assert read(path) == ({"format": "kerasgrid.journal/2"}, [{}, {"a": 1}])
    assert all(list(json.loads(line))[-1] == "crc32" for line in path.read_text().splitlines())
