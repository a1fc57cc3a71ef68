"""Samples that are stored twice, and grey images among coloured ones."""

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from kerasgrid.data import glance
from kerasgrid.data.glance import FILE, Glance, with_chunks, with_files
from kerasgrid.data.labels import counts_of
from kerasgrid.data.pictures import Picture
from kerasgrid.records import Dataset, Target

N = 60


def images(shape=(6, 5, 3), kind="uint8"):
    return np.random.default_rng(0).integers(0, 256, (N, *shape)).astype(kind)


def dataset(stored, labels=None, target=None, **more):
    labels = np.arange(N) % 3 if labels is None else labels
    return Dataset(stored, labels, target or Target("classes", ("a", "b", "c")), "sha256:1", "x", **more)


@pytest.mark.parametrize("shape", [(6, 5, 3), (64, 64, 3), (7,)], ids=str)
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_copies_are_told_by_their_labels(shape, kind, monkeypatch):
    monkeypatch.setattr(glance, "CHUNK_BYTES", 1 << 14)  # several chunks
    stored = images(shape, kind)
    stored[10], stored[13], stored[14] = stored[4], stored[4], stored[4]
    stored[20, ..., -1] = stored[21, ..., -1]  # alike in part
    found = Glance.of(dataset(stored))
    assert found.again == ((4, 10), (4, 13))
    assert (found.n_again, found.n_across) == (2, 2)
    assert found.across == ((4, 14),)
    assert found.n_test is None


def test_what_is_alike_in_the_pieces_that_are_read_first_is_read_as_a_whole():
    stored = np.zeros((N, 128, 128, 1), "uint8")
    stored[:, 40, 60, 0] = np.arange(N)  # between the pieces
    assert len(np.unique(glance._keys(stored))) == 1
    assert Glance.of(dataset(stored)) == Glance()
    stored[7] = stored[3]
    assert Glance.of(dataset(stored)).across == ((3, 7),)


def test_several_labels_and_numbers_differ_where_one_of_them_does():
    stored = images()
    stored[[5, 6]] = stored[1]
    several = np.zeros((N, 2), "uint8")
    several[5] = 0, 1
    found = Glance.of(dataset(stored, several, Target("labels", ("a", "b"))))
    assert (found.across, found.again) == (((1, 5),), ((1, 6),))
    numbers = np.zeros((N, 1))
    numbers[6] = 0.5
    found = Glance.of(dataset(stored, numbers, Target("numbers", ("price",))))
    assert (found.across, found.again) == (((1, 6),), ((1, 5),))


def test_a_test_set_is_compared_chunk_by_chunk():
    stored = images()
    chunks = [stored[:0], np.concatenate([stored[3:5], stored[:1] + 1]).astype("float32"), stored[9:10]]
    found = Glance.of(dataset(stored), with_chunks(chunks), "test.csv")
    assert (found.n_test, found.n_shared) == (4, 3)
    assert found.shared == ((3, 0), (4, 1), (9, 3))
    other = Glance.of(dataset(stored), with_chunks([np.zeros((2, 4)), stored[:2] + np.float32(0.5)]), "other")
    assert (other.n_test, other.n_shared) == (4, 0)


def test_rows_that_are_held_out_are_a_test_set():
    stored = images()
    stored[55], stored[56] = stored[2], stored[57]
    found = Glance.of(dataset(stored, n_held_out=10))
    assert (found.n_test, found.n_shared, found.shared) == (10, 1, ((2, 5),))
    assert (found.across, found.again) == ((), ())


def test_grey_images_are_those_of_equal_channels():
    stored = images()
    stored[[7, 9]] = stored[[7, 9]][..., :1]
    stored[11, :, :4] = stored[11, :, :4, :1]  # in part
    found = Glance.of(dataset(stored))
    assert (found.n_grey, found.grey) == (2, (7, 9))
    assert Glance.of(dataset(images((6, 5, 1)))).n_grey is None


def test_it_is_kept_beside_the_samples_until_something_else_is_asked_for(tmp_path, monkeypatch):
    stored = images()
    stored[10] = stored[4]
    data = dataset(stored, folder=str(tmp_path))
    found = Glance.of(data, with_chunks([stored[:1]]), "one")
    assert json.loads((tmp_path / FILE).read_text())["found"]["n_shared"] == 1
    with monkeypatch.context() as patch:
        patch.setattr(glance, "_keys", None)
        assert Glance.of(data, with_chunks([stored[:1]]), "one") == found
    assert Glance.of(data, with_chunks([stored[:2]]), "two").n_shared == 2
    for damage in (
        "",
        "[]",
        '{"format": 1}',
        '{"format":1,"test":"two","held out":0,"found":{"across":[[1]]}}',
    ):
        (tmp_path / FILE).write_text(damage)
        assert Glance.of(data, with_chunks([stored[:2]]), "two").n_shared == 2


def test_samples_of_each_class_are_counted():
    np.testing.assert_array_equal(counts_of(np.array([2, 0, 2]), 4), [1, 0, 2, 0])
    np.testing.assert_array_equal(counts_of(np.array([[1, 0], [1, 1]], "uint8"), 2), [2, 1])


def test_image_files_are_compared_as_files(tmp_path):
    """Those in a .zip too."""
    for place in range(N):
        (tmp_path / f"{place}.png").write_bytes(b"%d" % (place % 50))
    Image.new("L", (2, 2)).save(tmp_path / "good.png")
    with zipfile.ZipFile(tmp_path / "test.zip", "w") as archive:
        archive.writestr("a.png", b"7")
        archive.writestr("b.png", b"none")
    files = [Picture(tmp_path / f"{place}.png") for place in range(N)]
    test = [Picture(tmp_path / "test.zip", "b.png"), Picture(tmp_path / "test.zip", "a.png"), files[55]]
    test.append(Picture(tmp_path / "good.png"))
    found = Glance.of(dataset(images()), with_files(files, test), "test")
    assert (found.n_test, found.shared) == (4, ((7, 1), (5, 2)))
    assert (found.n_damaged, found.damaged) == (3, (0, 1, 2))
