import errno
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasgrid.errors import JournalError, StorageError
from kerasgrid.run import journal as journal_module
from kerasgrid.run.journal import FORMAT, Journal, header_of, of_before, read

GOLDEN = Path(__file__).parents[1] / "golden" / "journal-2.jsonl"
BEFORE = GOLDEN.with_name("journal-1.jsonl")
HEADER = {"name": "digits"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "journal.jsonl"


def write(path, *records):
    with Journal.open(path, HEADER) as journal:
        for record in records:
            journal.append(record)


def test_a_new_journal_holds_its_header(path):
    with Journal.open(path, {"name": "ಅ", "sizes": (1, 2)}) as journal:
        assert journal.header == {"format": FORMAT, "name": "ಅ", "sizes": [1, 2]}
        assert journal.records == []
    assert path.read_bytes().endswith(b"}\n")


def test_records_come_back_in_order_and_the_first_header_stays(path):
    write(path, {"a": 1}, {"b": [1.5, None, True, "\ud800 ಅ\n"]})
    with Journal.open(path, {"name": "other"}) as journal:
        assert journal.header["name"] == "digits"
        assert journal.records == [{"a": 1}, {"b": [1.5, None, True, "\ud800 ಅ\n"]}]
        journal.append({"c": 3})
        assert len(journal.records) == 2
    header, records = read(path)
    assert header == {"format": FORMAT, "name": "digits"}
    assert records[2:] == [{"c": 3}]


def test_a_record_is_there_for_others_as_soon_as_it_is_appended(path):
    with Journal.open(path, HEADER) as journal:
        for i in range(3):
            journal.append({"i": i})
            assert read(path)[1][-1] == {"i": i}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    records=st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=6),
    cut=st.floats(0, 1),
    more=st.dictionaries(st.text(), json_values, max_size=3),
)
def test_cut_at_any_byte_it_goes_on_from_its_whole_records(tmp_path_factory, records, cut, more):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    write(path, *records)
    data = path.read_bytes()
    kept = data[: round(cut * len(data))]
    path.write_bytes(kept)
    whole = records[: max(0, kept.count(b"\n") - 1)]
    if b"\n" in kept:
        assert read(path)[1] == whole
        assert path.read_bytes() == kept
    with Journal.open(path, HEADER) as journal:
        assert journal.header == {"format": FORMAT, **HEADER}
        assert journal.records == whole
        journal.append(more)
    assert read(path)[1] == [*whole, more]


@pytest.mark.parametrize(
    "tail", [b"\0" * 4096, b'{"a":', b'{"a":NaN}\n', b"\xff\xfe\n", b"[1]\n", b'{"whole":1}']
)
def test_a_torn_tail_is_cut_by_the_writer_alone(path, tail):
    write(path, {"a": 1})
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert read(path)[1] == [{"a": 1}]
    assert path.read_bytes() == whole + tail
    Journal.open(path, HEADER).close()
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\n", "Expecting value"),
        (b'{"a":1}{"b":2}\n', "Extra data"),
        (b'{"a":Infinity}\n', "Infinity is no JSON"),
        (b"\xff\n", "invalid start byte"),
        (b"3\n", "it is no JSON object"),
        (b"[" * 100_000 + b"\n", "recursion"),
    ],
)
def test_damage_elsewhere_is_named_under_version_1(path, line, reason):
    path.parent.mkdir()
    damaged = b'{"format":"kerasgrid.journal/1"}\n' + line + b'{"b":2}\n'
    path.write_bytes(damaged)
    for attempt in (lambda: read(path), lambda: Journal.open(path, HEADER)):
        with pytest.raises(JournalError) as caught:
            attempt()
        message = str(caught.value)
        assert message.startswith(f"{path}:2: this line is damaged (")
        assert reason in message
        assert "Restore the file from a copy, or start anew with fresh=True" in message
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ('{"format":"kerasgrid.journal/3"}', "of the format 'kerasgrid.journal/3'"),
        ('{"format":7}', "of the format 7"),
        ('{"name":"x"}', "no journal, since its first line names no format"),
    ],
)
def test_other_formats_are_refused(path, first, found):
    path.parent.mkdir()
    path.write_text(first + "\n")
    for attempt in (lambda: read(path), lambda: Journal.open(path, HEADER)):
        with pytest.raises(JournalError) as caught:
            attempt()
        assert str(caught.value).startswith(f"{path}: this file is {found}; this version of kerasgrid reads")
    assert path.read_text() == first + "\n"


def test_nothing_to_read(path):
    with pytest.raises(JournalError, match="there is no journal here"):
        read(path)


@pytest.mark.parametrize("held", [None, b"", b'{"format": "ker', b"[1]\n", b"\xff\n"])
def test_a_header_that_cannot_be_read_is_none(path, held):
    if held is not None:
        path.parent.mkdir()
        path.write_bytes(held)
    assert header_of(path) == {}
    if held is None:
        write(path, {"a": 1})
        assert header_of(path) == {"format": FORMAT, **HEADER}


def test_numpy_numbers_are_written_as_pythons(path):
    write(path, {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.float64(0.1)})
    assert read(path)[1] == [{"a": 0.5, "b": 3, "c": True, "d": 0.1}]


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (math.nan, ValueError),
        (math.inf, ValueError),
        (np.float32("nan"), ValueError),
        (np.zeros(2), TypeError),
        ({1, 2}, TypeError),
        (Path("x"), TypeError),
    ],
)
def test_what_json_has_not_is_refused_and_nothing_is_written(path, value, error):
    with Journal.open(path, HEADER) as journal:
        with pytest.raises(error):
            journal.append({"a": [value]})
        journal.append({"b": 1})
    assert read(path)[1] == [{"b": 1}]


class FailingFile:
    """A file that takes `n_bytes` more and then fails, and may fail to be truncated too."""

    def __init__(self, file, n_bytes, error, truncates=True):
        self.file, self.left, self.error, self.truncates = file, n_bytes, error, truncates

    def write(self, data):
        if not self.left:
            raise self.error
        n = self.file.write(data[: self.left])
        self.left -= n
        return n

    def truncate(self, size):
        if not self.truncates:
            raise OSError(errno.EIO, "no luck")
        return self.file.truncate(size)


@pytest.mark.parametrize("n_bytes", [0, 1, 9])
@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(errno.ENOSPC, "full"), StorageError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_record_that_finds_no_room_leaves_no_trace(path, n_bytes, error, raised):
    with Journal.open(path, HEADER) as journal:
        journal.append({"a": 1})
        before = path.read_bytes()
        file = journal._file
        journal._file = FailingFile(file, n_bytes, error)
        with pytest.raises(raised):
            journal.append({"long": "x" * 100})
        assert path.read_bytes() == before
        journal._file = file
        journal.append({"b": 2})
    assert read(path)[1] == [{"a": 1}, {"b": 2}]


def test_a_torn_record_that_cannot_be_cut_is_cut_by_the_next_append(path):
    with Journal.open(path, HEADER) as journal:
        file = journal._file
        journal._file = FailingFile(file, 5, OSError(errno.ENOSPC, "full"), truncates=False)
        with pytest.raises(StorageError, match="no luck"):
            journal.append({"long": "x" * 100})
        journal._file = file
        journal.append({"b": 2})
    assert read(path)[1] == [{"b": 2}]


def test_a_write_in_parts_is_put_together(path):
    class Hesitant(FailingFile):
        def write(self, data):
            return self.file.write(data[:3])

    with Journal.open(path, HEADER) as journal:
        file, journal._file = journal._file, Hesitant(journal._file, 0, None)
        journal.append({"long": "x" * 100})
        journal._file = file
    assert read(path)[1] == [{"long": "x" * 100}]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounts a tiny disk, as root")
def test_a_disk_that_is_really_full(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        path = disk / "journal.jsonl"
        with Journal.open(path, HEADER) as journal:
            with pytest.raises(StorageError, match="the disk is full"):
                append_without_end(journal)
            n = len(read(path)[1])
            assert n > 5
            journal.append({"n": "small"})
            assert read(path)[1][n:] == [{"n": "small"}]
            with pytest.raises(StorageError, match="the disk is full"):
                append_without_end(journal)
        with pytest.raises(StorageError, match="the disk is full"):
            Journal.open(disk / "other.jsonl", HEADER | {"pad": "x" * 9000})
        assert os.listdir(disk) == ["journal.jsonl"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def append_without_end(journal):
    while True:
        journal.append({"pad": "x" * 5000})


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        Journal.open(tmp_path / "file" / "journal.jsonl", HEADER)


def test_fsyncs_are_grouped(path, monkeypatch):
    now, syncs = [100.0], []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with Journal.open(path, HEADER) as journal:
        monkeypatch.setattr(os, "fsync", syncs.append)
        journal.append({})
        assert len(syncs) == 0
        journal.append({}, durable=True)
        assert len(syncs) == 1
        now[0] += 0.1
        journal.append({}, durable=True)
        journal.append({})
        assert len(syncs) == 1
        now[0] += 0.11
        journal.append({})
        assert len(syncs) == 2
        now[0] += 10
        journal.append({})
        journal.sync()
        assert len(syncs) == 2
        journal.append({}, durable=True)
        journal.append({}, durable=True)
        assert len(syncs) == 3
        journal.sync()
        assert len(syncs) == 4
        journal.append({}, durable=True)
    assert len(syncs) == 5


def test_close_may_be_called_twice(path):
    journal = Journal.open(path, HEADER)
    journal.close()
    journal.close()


def test_a_reader_beside_a_running_writer_sees_whole_records_only(path):
    code = (
        "import sys; from pathlib import Path; from kerasgrid.run.journal import Journal\n"
        "with Journal.open(Path(sys.argv[1]), {}) as journal:\n"
        "    for i in range(5000): journal.append({'i': i, 'pad': 'x' * (i % 5000)})\n"
    )
    root = Path(journal_module.__file__).parents[2]
    write(path)
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root)
    seen = 0
    while writer.poll() is None:
        records = read(path)[1]
        assert [record["i"] for record in records] == list(range(len(records)))
        assert len(records) >= seen
        seen = len(records)
    assert writer.returncode == 0
    assert len(read(path)[1]) == 5000


def test_100_000_records_open_quickly(path):
    path.parent.mkdir()
    record = json.dumps(
        {"type": "epoch", "job": [7, 1, 0], "epoch": 3, "logs": {"loss": 0.123, "accuracy": 0.9}}
    )
    write(path, json.loads(record))
    header, line = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(header + line * 100_000)
    began = time.process_time()
    with Journal.open(path, HEADER) as journal:
        assert len(journal.records) == 100_000
    assert time.process_time() - began < 5  # about 0.7 s; the limit only tells squares from lines


def hold_golden(header, records):
    assert header["name"] == "digits"
    assert [record["type"] for record in records] == ["trial", "epoch", "checkpoint", "fold", "fold"]
    assert records[0]["params"]["learning_rate"] == 1e-5
    assert records[1]["logs"]["loss"] == 0.6931471805599453
    assert records[4]["error"]["message"] == 'ಕನ್ನಡ 😀 "quoted"\nand a line'


def test_a_journal_of_version_1_stays_readable_and_takes_nothing_more(path):
    header, records = read(BEFORE)
    hold_golden(header, records)
    path.parent.mkdir()
    path.write_bytes(BEFORE.read_bytes() + b'{"torn')
    before = path.read_bytes()
    with Journal.open(path, HEADER) as journal:
        assert (journal.header, journal.records) == (header, records)
        with pytest.raises(JournalError, match=r'wrote it \(pip install "kerasgrid==0\.1\.0"\), or start'):
            journal.append({"a": 1})
    assert path.read_bytes() == before


def test_a_journal_is_written_to_the_byte_as_it_was(path):
    header, records = read(BEFORE)
    with Journal.open(path, {name: value for name, value in header.items() if name != "format"}) as journal:
        for record in records:
            journal.append(record)
    if os.environ.get("KERASGRID_WRITE_GOLDEN"):
        GOLDEN.write_bytes(path.read_bytes())
        pytest.skip(f"written: {GOLDEN.name}")
    assert path.read_bytes() == GOLDEN.read_bytes()
    header, records = read(GOLDEN)
    assert header["format"] == FORMAT == "kerasgrid.journal/2"
    hold_golden(header, records)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("0.1.0", 'pip install "kerasgrid==0.1.0"'),
        ("0.1.0.dev629+ga50de2e01", "0.1.0.dev629+ga50de2e01: in its source, git checkout a50de2e01 and pip"),
        ("unknown", "whose number its journal does not tell"),
        ('1"; rm -r ~', "whose number its journal does not tell"),
        (None, "whose number its journal does not tell"),
    ],
)
def test_the_version_that_finishes_a_run_is_told(path, version, told):
    header = {
        "format": "kerasgrid.journal/1",
        **({} if version is None else {"versions": {"kerasgrid": version}}),
    }
    message = str(of_before(path, header, "3 fits would be trained"))
    assert message.startswith(
        f"{path}: this run was begun by an earlier version, as kerasgrid.journal/1, and 3 "
    )
    assert f"version of kerasgrid that wrote it ({told}" in message
    assert "or start anew with fresh=True, which moves the old run aside. plot, report, fit" in message


class Unreadable:
    """A file that the disk gives no bytes of."""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def __iter__(self):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("open_", [lambda path: Journal.open(path, HEADER), Journal.read_header, read])
def test_what_cannot_be_read_is_not_told_as_what_cannot_be_written(path, monkeypatch, open_):
    write(path)
    mended = "Mend that, or restore the file from a copy, and give the command again."
    with monkeypatch.context() as patch:
        patch.setattr(journal_module, "open_input", lambda path: Unreadable())
        with pytest.raises(StorageError) as caught:
            open_(path)
    assert str(caught.value) == f"{path}: cannot be read (Input/output error). {mended}"

    def refuse(self):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "exists", refuse)
        with pytest.raises(StorageError) as caught:
            open_(path)
    told = "cannot be read (Permission denied). Allow it, and give the command again."
    assert str(caught.value) == f"{path}: {told}"
    path.unlink()
    pipe = "is a pipe, and a regular file is needed"
    for make, what in ((os.mkdir, "Is a directory"), (os.mkfifo, pipe)):
        other = path.with_name(make.__name__)
        make(other)
        with pytest.raises(StorageError) as caught:
            open_(other)
        assert str(caught.value) == f"{other}: cannot be read ({what}). {mended}"
