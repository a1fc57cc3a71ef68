"""Archives that want out of their folder, are too large, or would overwrite something."""

from __future__ import annotations

import io
import stat
import zipfile

import pytest

from kerasgrid.errors import DataError
from kerasgrid.submit import download
from kerasgrid.submit.download import unpack

GB = 1024**3


def archive_of(members, compression=zipfile.ZIP_DEFLATED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as packed:
        for name, content in members:
            packed.writestr(name, content)
    return data.getvalue()


def link(name, to="/etc/passwd", kind=stat.S_IFLNK):
    info = zipfile.ZipInfo(name)
    info.external_attr = (kind | 0o777) << 16
    return (info, to)


def named(name):
    """A member of a name that zipfile itself would not give it."""
    info = zipfile.ZipInfo("x")
    info.filename = name
    return info


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    return tmp_path


def unpacked(folder, data, most_bytes=GB):
    (folder / "a.zip").write_bytes(data)
    return unpack((folder / "a.zip").absolute(), folder / "data", folder / "data" / ".staging", most_bytes)


def refused(folder, data, most_bytes=GB):
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError) as caught:
        unpacked(folder, data, most_bytes)
    assert {path for path in folder.rglob("*") if path.is_file()} <= {*before, folder / "a.zip"}
    return str(caught.value)


def test_files_and_folders(folder):
    data = archive_of([("train.csv", "label\n1\n"), ("images/", ""), ("images/a b/é.png", b"\x89png")])
    found = unpacked(folder, data)
    assert [path.relative_to(folder / "data").as_posix() for path in found.written] == [
        "train.csv",
        "images/a b/é.png",
    ]
    assert (folder / "data" / "images" / "a b" / "é.png").read_bytes() == b"\x89png"
    again = unpacked(folder, data)
    assert (again.written, len(again.there)) == ((), 2)


@pytest.mark.parametrize(
    ("member", "fault"),
    [
        (("../evil.csv", "x"), "a path that leads out of the folder"),
        (("a/../../evil.csv", "x"), "a path that leads out of the folder"),
        (("/evil.csv", "x"), "an absolute path"),
        (("C:/evil.csv", "x"), "an absolute path"),
        (("c:evil.csv", "x"), "an absolute path"),
        (("..\\evil.csv", "x"), "a backslash or control character"),
        (("a\nb.csv", "x"), "a backslash or control character"),
        (("a//b.csv", "x"), "a path that leads out of the folder, or is none"),
        (("./b.csv", "x"), "a path that leads out of the folder, or is none"),
        ((named(""), "x"), "a path that leads out of the folder, or is none"),
        ((named("\0x.csv"), "x"), "a backslash or control character"),
        (link("other.csv"), "a link or device"),
        (link("pipe", "", stat.S_IFIFO), "a link or device"),
        (("TRAIN.csv", "x"), "there twice"),
        (("train.csv/x", "x"), "within a file of the archive"),
    ],
)
def test_names_that_must_not_be_written(folder, member, fault):
    told = refused(folder, archive_of([("train.csv", "label\n"), member]))
    assert fault in told
    assert told.endswith(
        "Nothing was unpacked: competitions have no such files, so do not trust this archive."
    )


def test_a_folder_that_is_a_link_is_not_followed(folder):
    (folder / "elsewhere").mkdir()
    (folder / "data" / "images").symlink_to(folder / "elsewhere")
    told = refused(folder, archive_of([("images/a.png", "x")]))
    assert "data/images is a link, through which nothing is written" in told
    assert list((folder / "elsewhere").iterdir()) == []


def test_sizes_are_bounded(folder, monkeypatch):
    zeros = archive_of([("zeros.csv", bytes(100 * 1024**2))])
    assert "more than 250 times as much" in refused(folder, zeros)
    assert "0.10 GB unpacked, and 0.05 GB are allowed" in refused(folder, zeros, 50 * 1024**2)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    assert "the disk of data has 1,000 bytes free" in refused(folder, archive_of([("a.csv", "x")]))


def test_damaged_archives(folder):
    data = bytearray(archive_of([("a.csv", "label,pixel\n" * 99)], zipfile.ZIP_STORED))
    data[60] ^= 1
    assert "no whole .zip archive (Bad CRC-32" in refused(folder, bytes(data))
    assert "no whole .zip archive" in refused(folder, b"<html>not found</html>")
    assert "no whole .zip archive" in refused(folder, archive_of([("a", "b" * 999)])[:-30])
    lying = bytearray(archive_of([("a.csv", "x" * 5000)]))
    place = lying.rindex(b"PK\x01\x02") + 24  # the size that the directory announces
    lying[place : place + 4] = (10).to_bytes(4, "little")
    assert "no whole .zip archive" in refused(folder, bytes(lying))


def test_nothing_is_overwritten(folder):
    (folder / "data" / "train.csv").write_text("mine")
    told = refused(folder, archive_of([("train.csv", "theirs"), ("test.csv", "theirs")]))
    assert told == (
        "data/train.csv is there already, and is another than the downloaded one.\n"
        "Nothing was overwritten. Move them away, or choose another folder with -o."
    )
    assert (folder / "data" / "train.csv").read_text() == "mine"
