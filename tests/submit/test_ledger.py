"""The record of what was sent, and what is to be sent of a search."""

from __future__ import annotations

import json

import pytest

from kerasgrid.errors import DataError, ResultsError
from kerasgrid.submit.ledger import Entry, Ledger, find_arrived
from kerasgrid.submit.sending import draft_of

ENTRY = Entry("2026-11-26T01:00:00+00:00", "digits", "first", "submission.csv", "ab" * 32, before=(3,))


def listed(ref, file="submission.csv", message="first"):
    return {"ref": ref, "file": file, "message": message}


def test_entries_survive_and_later_fields_are_left_out(tmp_path):
    path = tmp_path / "submissions.json"
    ledger = Ledger(path)
    assert (ledger.entries, ledger.add(ENTRY)) == ([], 0)
    data = json.loads(path.read_text())
    assert data["schema"] == "kerasgrid.submissions/1"
    data["submissions"][0]["of_a_later_version"] = 1
    path.write_text(json.dumps(data))
    assert Ledger(path).entries == [ENTRY]


@pytest.mark.parametrize("text", ["", "[]", '{"schema": "x", "submissions": []}', '{"schema": 1', "\xff"])
def test_a_record_that_cannot_be_read_stops_everything(tmp_path, text):
    (tmp_path / "submissions.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ResultsError, match="keeps files from being sent twice: restore it, or move it away"):
        Ledger(tmp_path / "submissions.json")


def test_what_arrived_is_what_was_not_there_before():
    assert find_arrived(ENTRY, [listed(3), listed(4, "other.csv"), listed(5, message="second")]) is None
    assert find_arrived(ENTRY, [listed(9), listed(7, message=" first "), listed(3)])["ref"] == 7
    long = Entry(**{**vars(ENTRY), "message": "word " * 30})
    assert find_arrived(long, [listed(8, message="word " * 12 + "...")])["ref"] == 8
    assert find_arrived(long, [listed(8, message="word")]) is None
    known = Entry(**{**vars(ENTRY), "ref": 9})
    assert find_arrived(known, [listed(7), listed(9, "x", "y")])["ref"] == 9
    assert find_arrived(known, [listed(7)]) is None


def test_the_sample_is_the_config_s_or_beside_the_test_set(run):
    def sample(**data):
        found = json.loads(run.json.read_text())
        found["config"]["data"] = data
        found |= base
        run.json.write_text(json.dumps(found))
        return draft_of(run.json, "digits", "m")[1].sample

    base = {}
    folder = run.results.parent
    assert sample(test="data/test.csv").resolve() == folder / "data" / "sample_submission.csv"
    assert sample(test={"images": "data/t10k", "labels": "x"}).name == "sample_submission.csv"
    assert sample(train="data/train.csv") is None
    (folder / "old").mkdir()
    (folder / "old" / "sampleSubmission.csv").write_text("id,label\n")
    assert sample(test="old/test").name == "sampleSubmission.csv"
    assert sample(test="elsewhere/test.csv") is None
    (folder / "mine.csv").write_text("id,label\n")
    assert str(sample(test="data/test.csv", sample_submission="mine.csv")) == "mine.csv"
    with pytest.raises(DataError, match=r"^gone.csv, the competition's sample, is not there"):
        sample(sample_submission="gone.csv")
    base = {"base": "../data"}
    assert sample(sample_submission="sample_submission.csv").resolve().parent == folder / "data"
    assert sample(test="test.csv").resolve().parent == folder / "data"


def test_a_submission_that_is_not_there(run):
    paths, draft = draft_of(run.json, "digits", "m")
    assert (paths, draft.file, draft.target.names) == (run, run.submission, tuple(range(10)))
    run.submission.unlink()
    with pytest.raises(DataError, match=r"^results/grid/submission.csv is not there.*kerasgrid predict"):
        draft_of(run.json, "digits", "m")
