from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from kerasgrid import machine
from kerasgrid.data import archives
from kerasgrid.data.idx import read_idx, read_idx_array
from kerasgrid.errors import DataError


@pytest.mark.parametrize("end", ["", ".gz"])
def test_pair(write_idx, images, labels, end):
    samples = read_idx(write_idx(f"images{end}", images), write_idx(f"labels{end}", labels))
    assert samples.images.dtype == np.uint8
    np.testing.assert_array_equal(samples.images, images[..., np.newaxis])
    np.testing.assert_array_equal(samples.labels, labels)
    assert samples.target.classes == (0, 1)


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_dtypes(write_idx, dtype):
    values = np.array([[1, 2], [-3 if dtype != "u1" else 3, 4]], dtype)
    read = read_idx_array(write_idx("values", values))
    assert read.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(read, values)


def test_shapes(write_idx, images, labels):
    answers = write_idx("labels", labels)
    assert read_idx(write_idx("flat", images.reshape(20, 4)), answers).images.shape == (20, 2, 2, 1)
    assert read_idx(write_idx("flat", images.reshape(20, 4)), answers, (1, 2, 2)).images.shape == (
        20,
        1,
        2,
        2,
    )
    assert read_idx(write_idx("four", images.reshape(20, 2, 1, 2)), answers).images.shape == (20, 2, 1, 2)


def test_whole_floats_are_stored_small(write_idx, images, labels):
    answers = write_idx("labels", labels)
    assert read_idx(write_idx("images", images.astype("f8")), answers).images.dtype == np.uint8
    assert read_idx(write_idx("images", images / 255), answers).images.dtype == np.float32


def header(*sizes, code=8):
    return bytes([0, 0, code, len(sizes)]) + struct.pack(f">{len(sizes)}I", *sizes)


DAMAGE = {
    "empty": (b"", "no IDX file: it begins with nothing"),
    "csv": (b"label,pixel0", "no IDX file: it begins with 6c 61 62 65, where an IDX file has 00 00"),
    "dtype": (b"\0\0\x0a\x01" + bytes(9), "no IDX file: it begins with 00 00 0a 01"),
    "header": (b"\0\0\x08\x03\0\0", "truncated within its header"),
    "truncated": (
        header(2, 2, 2) + bytes(7),
        "truncated: its header promises 8 bytes of values, and 7 are there",
    ),
    "trailing": (header(2, 2, 2) + bytes(9), "more bytes follow the 8 that its header promises"),
    "promise": (
        header(10**4, 10**4, 10**4),
        "its header promises 10000 x 10000 x 10000 values, 1,000,000,000,",
    ),
    "overflow": (header(2**32 - 1, 2**32 - 1, 2**32 - 1), "the file is too small to hold"),
    "no-values": (header(0, 2, 2), "no values: its header says shape (0, 2, 2)"),
}


@pytest.mark.parametrize("case", DAMAGE)
@pytest.mark.parametrize("packed", [False, True])
def test_damage(tmp_path, case, packed):
    content, message = DAMAGE[case]
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(DataError) as caught:
        read_idx_array(path)
    assert str(caught.value).startswith("images: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("packed", [False, True])
def test_a_promise_within_the_file_but_beyond_memory(tmp_path, monkeypatch, packed):
    content = header(1000, 1000) + bytes(10**6)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(content) if packed else content)
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: type("memory", (), {"available": 10**5}))
    with pytest.raises(DataError, match="needs 1,000,000 bytes of memory, of which 100,000 are free"):
        read_idx_array(path)


def test_what_unpacks_to_more_than_data_do_is_told(tmp_path, monkeypatch):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(header(1000, 1000) + bytes(10**6)))
    monkeypatch.setattr(archives, "SMALL_BYTES", 10**5)
    with pytest.raises(
        DataError, match=r"more than 250 times as much: .* If you trust it: unpack it with gunzip\."
    ):
        read_idx_array(path)


def test_a_bomb_is_read_no_further_than_its_header_promises(tmp_path, monkeypatch):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(header(2, 2) + bytes(10**8), compresslevel=1))
    read = []
    original = gzip.GzipFile.read
    monkeypatch.setattr(
        gzip.GzipFile, "read", lambda self, size=-1: read.append(size) or original(self, size)
    )
    with pytest.raises(DataError, match="more bytes follow the 4"):
        read_idx_array(path)
    assert read == [4, 8, 4, 1]


@pytest.mark.parametrize("cut", [5, 15, 40, -1, -9])
def test_cut_gzip(write_idx, images, cut):
    path = write_idx("images.gz", images)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"images\.gz: (a damaged gzip file|truncated|its header)"):
        read_idx_array(path)


def test_gzip_is_known_by_its_bytes(write_idx, images):
    path = write_idx("images.gz", images).rename("images")
    np.testing.assert_array_equal(read_idx_array(path), images)


PAIRS = {
    "counts": (
        np.zeros((20, 2, 2), "u1"),
        np.arange(19, dtype="u1") % 2,
        "images and labels: 20 samples, but labels of 19: do the two belong",
    ),
    "swapped": (
        np.arange(20, dtype="u1") % 2,
        np.zeros((20, 2, 2), "u1"),
        "images: images of shape (20,). (n, height, width), (n, height, width, channels) or (n, pixels)",
    ),
    "labels-2d": (
        np.zeros((20, 2, 2), "u1"),
        np.zeros((20, 1), "u1"),
        "labels: labels of shape (20, 1); one axis is needed. Were images and labels swapped?",
    ),
    "nan": (
        np.where(np.arange(80).reshape(20, 2, 2) == 42, np.nan, 0.5),
        np.arange(20, dtype="u1"),
        "images: sample 10 (counted from 0) has nan at [1, 0]. Pixels must be finite float32 numbers",
    ),
    "too-large": (
        np.where(np.arange(80).reshape(20, 2, 2) == 42, 1e300, 0.5),
        np.arange(20, dtype="u1"),
        "images: sample 10 (counted from 0) has 1e+300 at [1, 0].",
    ),
    "a label that is not finite": (
        np.zeros((2, 2, 2), "u1"),
        np.array([np.nan, 1]),
        "labels: the label of sample 0 (counted from 0) is nan. Labels must be whole numbers or strings.",
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs_that_do_not_fit(write_idx, case):
    images, labels, message = PAIRS[case]
    with pytest.raises(DataError) as caught:
        read_idx(write_idx("images", images), write_idx("labels", labels))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("image", [(2, 2, 3), (4, 1, 1)])
def test_image_does_not_fit(write_idx, images, labels, image):
    with pytest.raises(DataError, match=r"channels \[2, 2, 1\], but data\.image is \["):
        read_idx(write_idx("images", images), write_idx("labels", labels), image)
