"""Samples to predict: read in parts, of every kind of file, and refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from written import data_section

from kerasgrid.data import arrays
from kerasgrid.data.sources import open_stream
from kerasgrid.errors import DataError

IMAGES = np.arange(7 * 4, dtype=np.uint8).reshape(7, 2, 2, 1)
SHAPE = (2, 2, 1)


def whole(stream, size=3):
    """Returns images, ids and labels of all batches, and the batches' sizes."""
    parts = list(stream.batches(size))
    ids = None if parts[0].ids is None else [id for part in parts for id in part.ids]
    labels = None if parts[0].labels is None else [label for part in parts for label in part.labels]
    return np.concatenate([part.images for part in parts]), ids, labels, [len(part.images) for part in parts]


def csv_of(images, first="", names="a,b,c,d", ids=None):
    rows = [",".join(map(str, image.ravel())) for image in images]
    if ids is not None:
        rows = [f"{id},{row}" for id, row in zip(ids, rows, strict=True)]
    return f"{first}{names}\n" + "\n".join(rows) + "\n"


class TestCsv:
    @pytest.fixture
    def train(self, write_csv):
        return write_csv("label,a,b,c,d\n1,1,2,3,4\n2,5,6,7,8\n")

    @pytest.mark.parametrize("place", [0, 4])
    def test_the_column_that_the_training_data_has_not_is_the_id(self, write_csv, train, place):
        names, ids = ["a", "b", "c", "d"], [f"im_{n}.png" for n in range(7)]
        names.insert(place, "row")
        lines = [",".join(names)]
        for id, image in zip(ids, IMAGES, strict=True):
            cells = list(map(str, image.ravel()))
            cells.insert(place, id)
            lines.append(",".join(cells))
        path = write_csv("\n".join(lines) + "\n", "test.csv")
        images, found, labels, _ = whole(open_stream(path, SHAPE, data_section(train)))
        assert (found, labels) == (ids, None)
        np.testing.assert_array_equal(images, IMAGES)

    def test_ids_are_texts_as_they_stand(self, write_csv, train):
        path = write_csv(csv_of(IMAGES[:2], names="id,a,b,c,d", ids=["007", " 1.0"]), "test.csv")
        assert whole(open_stream(path, SHAPE, data_section(train, id="id")))[1] == ["007", "1.0"]

    def test_labels_are_known_where_the_column_is_there(self, write_csv, train):
        path = write_csv("a,b,c,d,label\n1,2,3,4,1\n5,6,7,8,2\n", "test.csv")
        assert whole(open_stream(path, SHAPE, data_section(train)))[2] == [1, 2]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a,b,c\n1,2,3\n", "test.csv, line 1: 3 pixel columns, and an image that was trained on has 4."),
            (
                "a,b,c,q\n1,2,3,4\n",
                "test.csv, line 1: other columns than in the training data. It has 'q', whic",
            ),
            (
                "n,a,b,c\n1,2,3,4\n",
                "test.csv, line 1: other columns than in the training data. It has 'n', whic",
            ),
            (
                "n,m,a,b,c,d\n",
                "test.csv, line 1: 6 pixel columns, and an image that was trained on has 4. It has 'n",
            ),
            ("a,b,d,c\n1,2,3,4\n", "test.csv, line 1: the pixel columns come in another order than in the "),
            ("a,b,c,c\n1,2,3,4\n", "test.csv, line 1: 2 columns are named 'c'."),
            ("a,b,c,d\n1,2,3\n", "test.csv, line 2: 3 cells, but the header has 4 columns."),
            ("a,b,c,d\n1,2,x,4\n", "test.csv, line 2, column 'c': 'x' is no number."),
            ("a,b,c,d\n1,2,3,4\n1,2,,4\n", "test.csv, line 3, column 'c': empty."),
            ("a,b,c,d\n", "test.csv: only a header and no rows."),
            ("", "test.csv: empty."),
        ],
    )
    def test_faults(self, write_csv, train, text, message):
        path = write_csv(text, "test.csv")
        with pytest.raises(DataError) as caught:
            whole(open_stream(path, SHAPE, data_section(train)))
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "make", "message"),
    [
        ("x.npz", lambda path: np.savez(path, pictures=IMAGES), "x.npz: no images: it holds pictures."),
        ("x.npz", lambda path: np.savez(path, images=IMAGES[:, :1]), "x.npz, images: images of [1, 2, 1],"),
        (
            "x.npz",
            lambda path: np.savez(path, images=IMAGES, ids=np.arange(3)),
            "x.npz, images: 7 images, but 3 ids. Each image has one.",
        ),
        ("x.npz", lambda path: np.savez(path, images=IMAGES[:0]), "x.npz, images: no samples."),
        ("x.npy", lambda path: np.save(path, IMAGES.T), "x.npy: lies in Fortran's order."),
        ("x.npy", lambda path: path.write_bytes(b"nothing"), "x.npy: no .npy file, or a damaged one"),
        ("x.npy", lambda path: _cut(path), "x.npy: truncated: its header promises"),
        ("x.bmp", lambda path: path.write_bytes(b"BM"), "x.bmp: a kind of file that is not known here."),
        ("missing.npz", lambda path: None, "missing.npz: there is no such file."),
    ],
)
def test_faulty_arrays(tmp_path, name, make, message):
    make(tmp_path / name)
    with pytest.raises(DataError) as caught:
        whole(open_stream(name, SHAPE))
    assert str(caught.value).startswith(message)


def _cut(path):
    np.save(path, IMAGES)
    path.write_bytes(path.read_bytes()[:-3])


def test_memory_holds_a_chunk_and_not_the_file(tmp_path, monkeypatch):
    """Of 1 MB that is read 4 KB at a time."""
    import tracemalloc

    monkeypatch.setattr(arrays, "CHUNK_BYTES", 4096)
    np.save("x.npy", np.zeros((1 << 18, 2, 2), np.uint8))
    next(iter(open_stream("x.npy", SHAPE).batches(512)))  # which imports what it needs
    tracemalloc.start()
    n = sum(len(part.images) for part in open_stream("x.npy", SHAPE).batches(512))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert n == 1 << 18
    assert peak < 1 << 18


@pytest.mark.parametrize(
    ("ids", "spelled"),
    [
        (np.array([b"img1", b"img2"]), ["img1", "img2"]),
        (np.array([1.0, 20.0]), ["1", "20"]),
        (np.array([[7], [8]]), ["7", "8"]),
        (np.array(["a", "b"]), ["a", "b"]),
    ],
)
def test_ids_are_spelled_as_a_submission_wants_them(tmp_path, ids, spelled):
    np.savez(tmp_path / "test.npz", images=np.zeros((2, 4, 4, 1), np.uint8), ids=ids)
    (chunk,) = open_stream(tmp_path / "test.npz", (4, 4, 1)).chunks()
    assert chunk.ids == spelled


def test_ids_that_are_no_text_are_refused(tmp_path):
    np.savez(tmp_path / "test.npz", images=np.zeros((2, 4, 4, 1), np.uint8), ids=["a", "\udcff"])
    with pytest.raises(DataError, match=r"test\.npz: the id '\\udcff' holds characters that are no text"):
        next(open_stream(tmp_path / "test.npz", (4, 4, 1)).chunks())


def test_ids_that_are_none_are_refused(tmp_path):
    np.savez(tmp_path / "test.npz", images=np.zeros((2, 4, 4, 1), np.uint8), ids=np.array([0.5, 1]))
    with pytest.raises(
        DataError, match=r"ids are float64 of shape \[2\]; whole numbers or texts, one a sample"
    ):
        next(open_stream(tmp_path / "test.npz", (4, 4, 1)).chunks())
