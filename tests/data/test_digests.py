"""Digests of many files are found anew only where a file may have changed."""

from __future__ import annotations

import hashlib
import os

import pytest

from kerasgrid.data import digests
from kerasgrid.data.digests import FEW, file_digests
from kerasgrid.errors import DataError


@pytest.fixture
def files(tmp_path):
    """Files that were written some time ago."""
    paths = [tmp_path / "photos" / f"{place % 3}" / f"{place}.jpg" for place in range(2 * FEW)]
    for place, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%03d" % place)
    return paths


@pytest.fixture
def reads(monkeypatch):
    """The files that have been read; and what has just been written counts as written long ago."""
    read, look = [], digests._looked_at

    def counted(path):
        read.append(path.name)
        return look(path)

    monkeypatch.setattr(digests, "_looked_at", counted)
    monkeypatch.setattr(digests, "_TICK_NS", -10 * 10**9)
    return read


def wanted(paths):
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def found(paths):
    return [own.digest for own in file_digests(paths)]


def test_files_are_read_once(files, reads):
    assert found(files) == wanted(files)
    assert len(reads) == len(files)
    assert found(files) == wanted(files)
    assert found(files[3:] + files[:3]) == wanted(files[3:] + files[:3])
    assert len(reads) == len(files)


def rewrite(path):
    path.write_bytes(b"new")


def rewrite_in_its_time(path):
    """Another content of the same length with the same time of change, as a copying tool may leave it."""
    before = path.stat()
    path.write_bytes(b"new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path):
    other = path.with_name("other")
    other.write_bytes(b"new")
    os.replace(other, path)


@pytest.mark.parametrize("change", [rewrite, rewrite_in_its_time, replace])
def test_a_file_that_has_changed_is_read_again(files, reads, change):
    file_digests(files)
    reads.clear()
    change(files[7])
    assert found(files) == wanted(files)
    assert reads == [files[7].name]


def test_what_was_just_written_is_not_relied_on(files, reads, monkeypatch):
    monkeypatch.setattr(digests, "_TICK_NS", 3600 * 10**9)
    file_digests(files)
    file_digests(files)
    assert len(reads) == 2 * len(files)


def test_what_is_known_of_other_files_stays_known(files, reads):
    file_digests(files[: FEW + 1])
    file_digests(files)
    reads.clear()
    file_digests(files[: FEW + 1])
    assert not reads


@pytest.mark.parametrize("text", ["", "{", "[]", '{"/0/0.jpg": 3}', '{"/0/0.jpg": [1, 2, 3, 4, 5]}'])
def test_a_damaged_index_is_made_anew(files, reads, cache, text):
    file_digests(files)
    (index,) = cache.with_name("digests").iterdir()
    index.write_text(text)
    assert found(files) == wanted(files)


def test_an_index_that_cannot_be_kept_is_done_without(files, reads, cache):
    cache.parent.write_text("a file in the place of the cache")
    assert found(files) == wanted(files)


def test_a_file_that_is_gone_is_named(files, reads):
    file_digests(files)
    files[20].unlink()
    with pytest.raises(DataError, match=r"20\.jpg: there is no such file"):
        file_digests(files)


def test_it_is_told_how_many_are_done(files):
    told = []
    file_digests(files, told.append)
    assert told[-1] == len(files)
