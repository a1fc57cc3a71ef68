from __future__ import annotations

import io
import pickle
import zipfile

import numpy as np
import pytest

from kerasgrid import machine
from kerasgrid.data import archives
from kerasgrid.data import arrays as data_arrays
from kerasgrid.data.in_memory import dataset_from_arrays
from kerasgrid.data.load import load_data
from kerasgrid.data.npz import PAIRS, read_npz
from kerasgrid.errors import DataError
from kerasgrid.records import Target


def save(arrays, path="train.npz", packed=False):
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    return path


@pytest.mark.parametrize("names", PAIRS)
@pytest.mark.parametrize("packed", [False, True])
def test_names(images, labels, names, packed):
    path = save({names[0]: images, names[1]: labels, "other": np.zeros(3)}, packed=packed)
    samples = read_npz(path)
    np.testing.assert_array_equal(samples.images, images[..., np.newaxis])
    np.testing.assert_array_equal(samples.labels, labels)


def test_numbers_to_predict_are_called_y_as_an_archive_has_no_columns():
    images, numbers = np.zeros((3, 2, 2)), np.array([[0.5, 2], [1, 3], [4, 5]])
    assert read_npz(save({"x": images, "y": numbers[:, 0]})).target == Target("numbers", ("y",))
    assert read_npz(save({"x": images, "y": numbers})).target == Target("numbers", ("y0", "y1"))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["b", "a", "b"]),
        np.array([b"b", b"a", b"b"]),
        np.array([["b"], ["a"], ["b"]]),
    ],
    ids=["text", "bytes", "column"],
)
def test_string_labels(labels):
    samples = read_npz(save({"images": np.zeros((3, 2, 2)), "labels": labels}))
    assert samples.target.classes == ("a", "b")
    assert samples.labels.tolist() == [1, 0, 1]


def test_layouts(images, labels):
    fortran = np.asfortranarray(images.astype(">i8"))
    samples = read_npz(save({"x": fortran, "y": labels.astype(">i2")}))
    assert samples.images.dtype == np.uint8
    assert samples.images.flags.c_contiguous
    np.testing.assert_array_equal(samples.images, images[..., np.newaxis])
    np.testing.assert_array_equal(samples.labels, labels)


ZEROS = np.zeros((4, 2, 2))
AB = np.array([0, 1, 0, 1])
FAULTS = {
    "names": (
        {"a": ZEROS, "b": AB},
        "train.npz: no pair of images and labels: it holds a, b. Name them as one of images/labels, x/y, ",
    ),
    "one": ({"images": ZEROS}, "train.npz: no pair of images and labels: it holds images. Name"),
    "nothing": ({}, "train.npz: no pair of images and labels: it holds nothing."),
    "counts": ({"x": ZEROS, "y": AB[:3]}, "train.npz: 4 samples, but labels of 3: do"),
    "rank": ({"x": ZEROS[..., None, None], "y": AB}, "train.npz, x: images of shape (4, 2, 2, 1, 1)."),
    "labels-rank": ({"x": ZEROS, "y": AB.reshape(2, 2, 1)}, "train.npz, y: labels of shape (2, 2, 1)."),
    "scalar": ({"x": ZEROS, "y": np.array(3)}, "train.npz, y: labels of shape ()."),
    "no-one-hot": (
        {"x": ZEROS, "y": np.array([[1, 0], [0, 1], [1, 1], [0, 1]])},
        "train.npz, y: labels of shape (4, 2) whose row 2 (counted from 0) is not one-hot.",
    ),
    "nan": ({"x": ZEROS + np.nan, "y": AB}, "train.npz, x: sample 0 (counted from 0) has nan at [0, 0]."),
    "nan-label": (
        {"x": ZEROS, "y": AB + np.nan},
        "train.npz, y: the label of sample 0 (counted from 0) is nan.",
    ),
    "complex": ({"x": ZEROS * 1j, "y": AB}, "train.npz, x: images of dtype complex128, where numbers are"),
    "strings": ({"x": ZEROS.astype(str), "y": AB}, "train.npz, x: images of dtype <U32"),
    "dates": ({"x": ZEROS, "y": AB.astype("M8[s]")}, "train.npz, y: labels of dtype datetime64[s]."),
    "not-utf-8": ({"x": ZEROS, "y": np.array([b"\xff", b"a", b"b", b"c"])}, "train.npz, y: labels are bytes"),
    "no-values": ({"x": ZEROS[:0], "y": AB[:0]}, "train.npz, x: no values: its header says shape (0, 2, 2)."),
    "no-square": ({"x": np.zeros((4, 3)), "y": AB}, "train.npz, x: 3 pixels a sample, which is no square."),
    "structured": (
        {"x": np.zeros(4, [("a", "f8")]), "y": AB},
        "train.npz, x: an array of dtype [('a', '<f8')], where numbers or strings are needed.",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults(case):
    content, message = FAULTS[case]
    with pytest.raises(DataError) as caught:
        read_npz(save(content))
    assert str(caught.value).startswith(message)


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __reduce__(self):
        return open, ("executed", "w")


def test_pickles_are_never_loaded(tmp_path):
    values = np.array([Bomb(), 1], dtype=object)
    with pytest.raises(
        DataError, match=r"train\.npz, x: an array of Python objects, which only pickle can read"
    ):
        read_npz(save({"x": values, "y": AB[:2]}))
    assert not (tmp_path / "executed").exists()
    pickle.loads(pickle.dumps(Bomb())).close()
    assert (tmp_path / "executed").exists()  # the trap does work


def archive(tmp_path, header, packed=zipfile.ZIP_DEFLATED, content=b""):
    """An .npz whose images have a header of our own."""
    path = tmp_path / "train.npz"
    with zipfile.ZipFile(path, "w", packed) as file:
        start = io.BytesIO()
        np.lib.format.write_array_header_1_0(start, header)
        file.writestr("x.npy", start.getvalue() + content)
        answers = io.BytesIO()
        np.save(answers, AB)
        file.writestr("y.npy", answers.getvalue())
    return path


@pytest.mark.parametrize(
    ("shape", "descr", "message"),
    [
        (
            (10**6, 10**6),
            "|u1",
            r"its header promises shape \(1000000, 1000000\), 1,000,000,000,000 bytes, which",
        ),
        ((10**18, 10**18), "<f8", "which the file is too small to hold"),
        ((-1, 4), "|u1", "which the file is too small to hold"),
        ((True, 4), "|u1", r"its header promises shape \(True, 4\), 4 bytes, which the file is too small to"),
        ((1, 2, True), "|u1", r"its header promises shape \(1, 2, True\), 2 bytes, which"),
        ((1,) * 33, "|u1", "which the file is too small to hold"),
        ((4, 2), ",", "no .npy file, or a damaged one"),
        ((10**12, 0), "|u1", r"no values: its header says shape \(1000000000000, 0\)"),
        ((10**12,), "<U0", r"no values: its header says shape \(1000000000000,\)"),
        ((4, 2, 2), "|u1", "truncated: its header promises 16 bytes of values, and 10 are there"),
        ((4, 2), "|u1", "more bytes follow the 8 that its header promises"),
    ],
)
def test_promises(tmp_path, shape, descr, message):
    header = {"shape": shape, "fortran_order": False, "descr": descr}
    with pytest.raises(DataError, match=f"^train.npz, x: .*{message}"):
        read_npz(archive(tmp_path, header, content=bytes(10)))


@pytest.mark.parametrize("name", ["", "/", ".npy"])
@pytest.mark.parametrize("place", [0, 2])
def test_members_of_no_name_do_not_matter(images, labels, tmp_path, name, place):
    def content(array):
        file = io.BytesIO()
        np.save(file, array)
        return file.getvalue()

    members = [("images.npy", content(images)), ("labels.npy", content(labels))]
    members.insert(place, (name, b"x"))
    with zipfile.ZipFile(tmp_path / "train.npz", "w") as file:
        for title, value in members:
            info = zipfile.ZipInfo("x")
            info.filename = title
            file.writestr(info, value)
    np.testing.assert_array_equal(read_npz(tmp_path / "train.npz").images[..., 0], images)
    with zipfile.ZipFile(tmp_path / "train.npz", "w") as file:
        info = zipfile.ZipInfo("x")
        info.filename = name
        file.writestr(info, b"x")
    with pytest.raises(DataError, match=r"^train\.npz: no pair of images and labels: it holds "):
        read_npz(tmp_path / "train.npz")


def test_a_bomb_is_held_against_free_memory(tmp_path, monkeypatch):
    header = {"shape": (1000, 1000), "fortran_order": False, "descr": "|u1"}
    path = archive(tmp_path, header, content=bytes(10**6))
    assert path.stat().st_size < 10**4
    monkeypatch.setattr(machine.psutil, "virtual_memory", lambda: type("memory", (), {"available": 10**5}))
    with pytest.raises(DataError, match=r"x: needs 1,000,000 bytes of memory, of which 100,000 are free\."):
        read_npz(path)


def test_what_unpacks_to_more_than_data_do_is_told_before_it_is_unpacked(tmp_path, monkeypatch):
    header = {"shape": (1000, 1000), "fortran_order": False, "descr": "|u1"}
    path = archive(tmp_path, header, content=bytes(10**6))
    monkeypatch.setattr(archives, "SMALL_BYTES", 10**5)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(DataError) as caught:
        read_npz(path)
    assert str(caught.value) == (
        f"train.npz, x: 1,000,128 bytes out of {path.stat().st_size:,}, more than 250 times as much: data do "
        "not shrink so far, and nothing was unpacked. If you trust it: unpack it, and save its arrays with "
        "numpy.savez."
    )


@pytest.mark.parametrize(
    ("given", "free", "needed"),
    [
        (np.zeros((100, 10, 10)), [100_000, 99_999], "160,000 bytes of memory, of which 99,999"),
        (
            np.zeros((100, 10, 10), np.uint8, "F"),
            [20_000, 5_000, 5_001],
            "10,000 bytes of memory, of which 5,001",
        ),
    ],
)
def test_what_has_to_be_copied_needs_twice_the_memory(tmp_path, monkeypatch, given, free, needed):
    path = tmp_path / save({"x": given, "y": AB[:100]})
    monkeypatch.setattr(machine, "free_memory_bytes", iter(free).__next__)
    with pytest.raises(DataError, match=rf"^train\.npz, x: needs {needed} are free\. Free some, raise"):
        read_npz(path)


def test_other_packing_is_refused(tmp_path):
    header = {"shape": (4, 2, 2), "fortran_order": False, "descr": "|u1"}
    with pytest.raises(DataError, match="packed in a way that NumPy does not write"):
        read_npz(archive(tmp_path, header, zipfile.ZIP_LZMA, bytes(16)))


@pytest.mark.parametrize("content", [b"", b"label,a\n", bytes(100), b"PK\x03\x04" + bytes(50)])
def test_no_archive(tmp_path, content):
    path = tmp_path / "train.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^train\.npz: no \.npz file, or a damaged one \("):
        read_npz(path)


def test_bytes_are_checked(images, labels, tmp_path):
    path = tmp_path / save({"x": images, "y": labels})
    content = bytearray(path.read_bytes())
    content[content.index(images.tobytes()) + 5] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^train\.npz, x: damaged \(Bad CRC-32"):
        read_npz(path)


KINDS = {
    "bytes": np.uint8,
    "whole floats": np.float64,
    "floats": np.float32,
    "big-endian": ">i4",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", ["npy", "npz", "packed npz", "map"])
def test_large_arrays_are_mapped_and_not_held_in_memory(monkeypatch, config, kind, form):
    images = np.random.default_rng(0).integers(0, 256, (100, 3, 5, 2)).astype(KINDS[kind])
    if kind == "floats":
        images[90] += 0.5  # found after others were bytes
    labels = np.arange(100) % 2
    np.save("x.npy", images)
    np.save("y.npy", labels)
    save({"x": images, "y": labels}, packed=form == "packed npz")
    monkeypatch.setattr(data_arrays, "CHUNK_BYTES", 2000)
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 9000)
    if form == "map":
        found = dataset_from_arrays(np.load("x.npy", mmap_mode="r"), labels).images
    else:
        train = {"images": "x.npy", "labels": "y.npy"} if form == "npy" else "train.npz"
        found = load_data(config(train)).images
    assert found.dtype == (np.float32 if kind == "floats" else np.uint8)
    np.testing.assert_array_equal(found, images)


def test_a_map_that_holds_what_is_no_pixel_is_told_with_its_sample(monkeypatch):
    images = np.zeros((100, 4, 4), np.float32)
    images[77, 1, 2] = np.nan
    np.save("x.npy", images)
    monkeypatch.setattr(data_arrays, "CHUNK_BYTES", 1000)
    with pytest.raises(DataError, match=r"^X: sample 77 \(counted from 0\) has nan at \[1, 2\]"):
        dataset_from_arrays(np.load("x.npy", mmap_mode="r"), np.arange(100) % 2)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"images": "x.npy", "labels": "y"},
            "x.npy and y: one is a .npy file and the other none. Give a pair",
        ),
        ({"images": "x.npy", "labels": "gone.npy"}, "gone.npy: there is no such file."),
        (
            {"images": "x.npy", "labels": "few.npy"},
            "x.npy and few.npy: 4 samples, but labels of 3: do the two",
        ),
        (
            {"images": "cut.npy", "labels": "y.npy"},
            "cut.npy: truncated: its header promises 16 bytes of values, and 13 are there.",
        ),
        ({"images": "text.npy", "labels": "y.npy"}, "text.npy: no .npy file, or a damaged one ("),
        (
            "x.npy",
            "x.npy: holds one array, and labels are needed beside it: data.train: {images: x.npy, labels: ",
        ),
    ],
)
def test_pairs_of_npy_that_are_none(config, files, message):
    np.save("x.npy", np.arange(16, dtype=np.uint8).reshape(4, 2, 2))
    np.save("y.npy", [0, 1, 0, 1])
    np.save("few.npy", [0, 1, 0])
    with open("cut.npy", "wb") as file, open("x.npy", "rb") as whole:
        file.write(whole.read()[:-3])
    with open("text.npy", "w") as file:
        file.write("x")
    with pytest.raises(DataError) as caught:
        load_data(config(files))
    assert str(caught.value).startswith(message)
