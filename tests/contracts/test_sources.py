"""Sources: what holds of data whatever file it comes from, read as a whole and as a stream."""

from __future__ import annotations

import gzip
import inspect
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from written import csv_bytes, data_section, idx_file

from kerasgrid.config.sections import Features, IdxPair
from kerasgrid.data import arrays, sources
from kerasgrid.data.cache import save_samples
from kerasgrid.data.in_memory import dataset_from_arrays
from kerasgrid.data.load import load_data
from kerasgrid.data.sources import open_stream, read_digits
from kerasgrid.errors import DataError, KerasgridError

N = 1000
IMAGES = np.stack([np.arange(N) % 256, np.arange(N) // 256, np.full(N, 7), np.arange(N) % 9], axis=1)
IMAGES = IMAGES.astype(np.uint8).reshape(N, 2, 2)
LABELS = np.arange(N, dtype=np.uint8) % 4
ELSEWHERE = Path("ಕನ್ನಡ data")


def write_csv(folder, images, labels):
    (folder / "train.csv").write_bytes(csv_bytes(images, labels))
    return str(folder / "train.csv")


def write_tsv(folder, images, labels):
    (folder / "train.tsv").write_bytes(csv_bytes(images, labels).replace(b",", b"\t"))
    return str(folder / "train.tsv")


def write_packed_csv(folder, images, labels):
    (folder / "train.csv.gz").write_bytes(gzip.compress(csv_bytes(images, labels), mtime=0))
    return str(folder / "train.csv.gz")


def write_csv_in_zip(folder, images, labels):
    return zipped(folder / "train.csv.zip", "train.csv", csv_bytes(images, labels))


def write_pixel_cells(folder, images, labels):
    rows = [" ".join(map(str, row)) for row in images.reshape(len(images), -1).tolist()]
    names = ["pixels"] if labels is None else ["label", "pixels"]
    cells = [rows] if labels is None else [labels, rows]
    lines = [names, *zip(*cells, strict=True)]
    (folder / "cells.csv").write_text("\n".join(",".join(map(str, line)) for line in lines) + "\n")
    return str(folder / "cells.csv")


def zipped(path, name, content):
    """Writes a .zip of one file, always with the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), content)
    return str(path)


def write_npz_in_zip(folder, images, labels):
    path = Path(write_packed_npz(folder, images, labels))
    return zipped(folder / "arrays.zip", "train.npz", path.read_bytes())


def write_npy_pair(folder, images, labels):
    if labels is None:
        return write_npy(folder, images, None)
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", labels)
    return {"images": str(folder / "images.npy"), "labels": folder / "labels.npy"}


def write_npz(folder, images, labels):
    ids = np.arange(len(images)) + 10
    np.savez(folder / "train.npz", images=images, ids=ids, **({} if labels is None else {"labels": labels}))
    return str(folder / "train.npz")


def write_packed_npz(folder, images, labels):
    names = ("x_test",) if labels is None else ("x", "y")
    np.savez_compressed(folder / "packed.npz", **dict(zip(names, (images, labels), strict=False)))
    return str(folder / "packed.npz")


def write_npy(folder, images, labels):
    np.save(folder / "train.npy", images.astype(np.float64))
    return str(folder / "train.npy")


def write_pair(names, of, folder, images, labels):
    paths = [idx_file(folder / name, array) for name, array in zip(names, (images, labels), strict=True)]
    return of(images=str(paths[0]), labels=paths[1])


def write_idx(folder, images, labels):
    if labels is None:
        return str(idx_file(folder / "images", images))
    return write_pair(("images", "labels"), dict, folder, images, labels)


def write_packed_idx(folder, images, labels):
    if labels is None:
        return str(idx_file(folder / "t10k-images-idx3-ubyte.gz", images))
    return write_pair(("images.gz", "labels"), SimpleNamespace, folder, images, labels)


def write_packed_pair(folder, images, labels):
    return write_pair(("images.gz", "labels.gz"), dict, folder, images, labels)


@dataclass(frozen=True)
class Maker:
    """A kind of data.

    Attributes:
        reader: The function of kerasgrid.data.sources that reads it; None for none.
        streamer: The function of kerasgrid.data.sources that reads it in parts; None for none.
        write: Writes images and labels to a folder, and returns what names them; None where it is built in.
        has_texts: Whether labels may be texts.
        needs_labels: Whether it has no form without labels, for which `write` is given None.
        options: Of the section `data`.
    """

    reader: str | None
    streamer: str | None
    write: Callable[[Path, np.ndarray, Any], Any] | None = None
    has_texts: bool = False
    needs_labels: bool = False
    options: tuple[tuple[str, Any], ...] = ()

    def load(self, given, cache=None, seed=0, **options):
        if isinstance(given, tuple):
            found = dataset_from_arrays(*given)
            return found if cache is None else save_samples(cache / "arrays", found, found.source)
        return load_data(data_section(given, **dict(self.options), **options), seed=seed)


MAKERS = {
    "csv": Maker("read_csv", "csv_chunks", write_csv, has_texts=True),
    "tsv": Maker("read_csv", "csv_chunks", write_tsv, has_texts=True),
    "csv, packed": Maker("read_csv", "csv_chunks", write_packed_csv, has_texts=True),
    "csv in a zip": Maker("read_csv", "csv_chunks", write_csv_in_zip, has_texts=True),
    "pixels in cells": Maker(
        "read_pixels",
        "pixel_cell_chunks",
        write_pixel_cells,
        has_texts=True,
        options=(("pixels", "pixels"),),
    ),
    "npz in a zip": Maker("read_npz", "npz_chunks", write_npz_in_zip, has_texts=True),
    "pair of npy": Maker("read_npy", "npy_chunks", write_npy_pair, has_texts=True),
    "npz": Maker("read_npz", "npz_chunks", write_npz, has_texts=True),
    "packed npz": Maker("read_npz", "npz_chunks", write_packed_npz, has_texts=True),
    "npy": Maker(None, "npy_chunks", write_npy),
    "idx": Maker("read_idx", "idx_chunks", write_idx),
    "idx, images packed": Maker("read_idx", "idx_chunks", write_packed_idx),
    "idx, packed": Maker("read_idx", "idx_chunks", write_packed_pair, needs_labels=True),
    "digits": Maker("read_digits", "digits_chunks", needs_labels=True),
    "arrays": Maker(
        None, None, lambda folder, images, labels: (images[..., np.newaxis], labels), has_texts=True
    ),
}
OTHERS = {
    "csv of a table": Maker("read_table", "table_chunks"),
    "image files": Maker("read_images", "picture_chunks"),  # in test_image_sources.py
}
READ = [name for name, maker in MAKERS.items() if maker.reader]
SEARCHED = [name for name, maker in MAKERS.items() if maker.reader or not maker.streamer]
STREAMED = [name for name, maker in MAKERS.items() if maker.streamer]
WRITTEN = [name for name, maker in MAKERS.items() if maker.write]
TEXTED = [name for name, maker in MAKERS.items() if maker.has_texts]


def both(*kinds):
    """The makers that are of all these kinds."""
    return [name for name in MAKERS if all(name in kind for kind in kinds)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache's folder, and tmp_path as the working folder, so that messages name bare files."""
    monkeypatch.setenv("KERASGRID_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "data"


def made(name, images=IMAGES, labels=LABELS, folder=Path()):
    maker = MAKERS[name]
    return "digits" if maker.write is None else maker.write(folder, images, labels)


def content(name):
    """The images, (sample, height, width, 1), and labels of what `made` makes."""
    if name == "digits":
        digits = read_digits()
        return digits.images, digits.labels
    return IMAGES[..., np.newaxis], LABELS


def files_of(given):
    """The files that a source is made of."""
    if isinstance(given, (str, tuple)):
        return [Path(given)] if isinstance(given, str) and given != "digits" else []
    named = given if isinstance(given, dict) else vars(given)
    return [Path(named["images"]), Path(named["labels"])]


def count_reads(monkeypatch, name):
    """Counts how often a source is read and not taken from the cache."""
    calls, reader = [], MAKERS[name].reader
    if reader is not None:
        read = getattr(sources, reader)
        monkeypatch.setattr(sources, reader, lambda *args, **kw: calls.append(reader) or read(*args, **kw))
    return calls


def test_every_source_of_the_package_is_among_the_makers():
    readers = {name for name in vars(sources) if name.startswith("read_")}
    makers = [*MAKERS.values(), *OTHERS.values()]
    assert readers == {maker.reader for maker in makers} - {None}
    streamers = set(re.findall(r"partial\((\w+)", inspect.getsource(sources)))
    assert streamers == {maker.streamer for maker in makers} - {None}


def test_a_stream_has_the_rows_of_the_table_that_the_same_file_gives(cache, monkeypatch):
    rows = [f"{'ab'[n % 2]},{n / 3},{n % 3},2024-02-{n % 29 + 1:02},{n % 4}" for n in range(N)]
    rows[7] = ",,7,,1"
    Path("train.csv").write_text("\n".join(["sort,size,n,sold,label", *rows]) + "\n")
    section = data_section("train.csv", features=Features(categorical=["n"]))
    data = load_data(section)
    assert (data.images.dtype, data.images.shape, data.target.classes) == (np.float64, (N, 4), (0, 1, 2, 3))
    assert np.isnan(data.images[7]).tolist() == [True, True, False, True]
    calls = []
    monkeypatch.setattr(sources, "read_table", lambda *args: calls.append(args))
    assert load_data(section).fingerprint == data.fingerprint
    assert not calls  # from the cache
    stream = open_stream("train.csv", data.images.shape[1:], section, table=data.table)
    for rows_at_once in (7, N):
        monkeypatch.setattr("kerasgrid.data.csv_tables.CHUNK_CELLS", rows_at_once * 5)
        for size in (3, 512):
            values, ids, labels, sizes = whole(stream, size)
            np.testing.assert_array_equal(values, data.images)
            assert (ids, labels) == (None, data.labels.tolist())
            assert sizes == [min(size, N - first) for first in range(0, N, size)]


@pytest.mark.parametrize("name", SEARCHED)
def test_samples_are_pixels_and_places_of_sorted_classes(name, cache):
    images, labels = content(name)
    data = MAKERS[name].load(made(name), cache)
    assert (data.images.dtype, data.labels.dtype) == (np.uint8, np.int64)
    assert data.images.flags.c_contiguous
    assert data.labels.flags.c_contiguous
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, labels)
    assert data.classes == tuple(range(len(set(labels.tolist()))))
    assert all(type(label) is int for label in data.classes)
    assert data.fingerprint.startswith("sha256:")
    assert (data.report, data.n_held_out, data.target.is_multi_label) == ((), 0, False)
    assert len(data) == len(labels)
    if name in READ:
        assert data.source == (" and ".join(map(str, files_of(made(name)))) or "digits")


@pytest.mark.parametrize("name", SEARCHED)
def test_workers_can_map_the_folder(name, cache):
    data = MAKERS[name].load(made(name), cache)
    assert isinstance(data.images, np.memmap)
    for own in ("images", "labels"):
        assert not getattr(data, own).flags.writeable
        np.testing.assert_array_equal(
            np.load(Path(data.folder) / f"{own}.npy", mmap_mode="r"), getattr(data, own)
        )


@pytest.mark.parametrize("name", both(SEARCHED, WRITTEN))
def test_pixels_that_are_no_bytes_are_float32(name):
    data = MAKERS[name].load(made(name, images=IMAGES / np.float32(8)))
    assert data.images.dtype == np.float32
    assert data.images.flags.c_contiguous
    np.testing.assert_array_equal(data.images, IMAGES[..., np.newaxis] / np.float32(8))


def test_the_same_content_is_the_same_data_whatever_its_form():
    digits = load_data(data_section("digits"))
    images, labels = np.array(digits.images[..., 0]), digits.labels.astype(np.uint8)
    sets = {name: MAKERS[name].load(made(name, images, labels)) for name in SEARCHED}
    assert len(sets) == len(SEARCHED) == 14
    assert {data.fingerprint for data in sets.values()} == {digits.fingerprint}


@pytest.mark.parametrize("name", SEARCHED)
def test_data_are_read_once_and_then_come_from_the_cache(name, cache, monkeypatch):
    given, reads = made(name), count_reads(monkeypatch, name)
    first = MAKERS[name].load(given, cache)
    before = (Path(first.folder) / "images.npy").stat()
    second = MAKERS[name].load(given, cache)
    assert len(reads) == (name in READ)
    assert (Path(second.folder) / "images.npy").stat() == before
    assert (first.fingerprint, first.folder, first.classes, first.report) == (
        second.fingerprint, second.folder, second.classes, second.report
    )  # fmt: skip
    np.testing.assert_array_equal(first.images, second.images)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert [str(path) for path in cache.iterdir()] == [first.folder]
    names = {path.name for path in Path(first.folder).iterdir() if not path.name.startswith(".used.")}
    assert names - {"made_of.json"} == {"images.npy", "labels.npy", "meta.json"}


@pytest.mark.parametrize("name", both(READ, WRITTEN))
def test_the_same_bytes_elsewhere_are_the_same_data_by_another_name(name, monkeypatch):
    given, reads = made(name), count_reads(monkeypatch, name)
    first = MAKERS[name].load(given)
    ELSEWHERE.mkdir()
    there = made(name, folder=ELSEWHERE)
    for here, copy in zip(files_of(given), files_of(there), strict=True):
        shutil.copyfile(here, copy)  # an archive has the time in it
        os.utime(here)
    second = MAKERS[name].load(there)
    assert len(reads) == 1
    assert second.fingerprint == first.fingerprint
    assert second.source == " and ".join(map(str, files_of(there)))


@pytest.mark.parametrize("name", both(READ, WRITTEN))
def test_a_file_that_was_edited_is_other_data_though_size_and_time_are_the_same(name, monkeypatch):
    given, reads = made(name), count_reads(monkeypatch, name)
    first, edited = MAKERS[name].load(given), IMAGES.copy()
    before = [path.stat() for path in files_of(given)]
    edited[7, 1, 1] = 4
    made(name, images=edited)
    for path, stat in zip(files_of(given), before, strict=True):
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert path.stat().st_size == stat.st_size or re.search("packed|zip", name)
    second = MAKERS[name].load(given)
    assert len(reads) == 2
    assert second.images[7, 1, 1, 0] == 4
    assert second.fingerprint != first.fingerprint
    assert second.folder != first.folder


@pytest.mark.parametrize("name", READ)
def test_a_subset_is_stratified_seeded_and_in_the_order_of_the_whole(name):
    given, maker = made(name), MAKERS[name]
    whole, part = maker.load(given), maker.load(given, subset=201, seed=0)
    shares = np.bincount(part.labels) - 201 * np.bincount(whole.labels) / len(whole)
    assert len(part) == 201
    assert np.abs(shares).max() < 1
    rows = iter(list(zip(whole.labels.tolist(), map(np.ndarray.tobytes, whole.images), strict=True)))
    assert all(one in rows for one in zip(part.labels, map(np.ndarray.tobytes, part.images), strict=True))
    assert whole.report == ()
    assert part.folder != whole.folder
    assert part.fingerprint != whole.fingerprint
    again = maker.load(given, subset=201, seed=0)
    assert (again.folder, again.report, again.fingerprint) == (part.folder, part.report, part.fingerprint)
    assert maker.load(given, subset=201, seed=1).fingerprint != part.fingerprint
    if name == "digits":
        return
    counts = np.bincount(part.labels)
    assert set(counts) == {50, 51}
    assert part.report == (
        "subset: 201 of 1000 samples, stratified, seed 0; label frequencies differ from the whole's by at "
        f"most 0.37 percentage points (class {np.argmax(counts)}: 25.37%, whole 25.00%)",
    )


@pytest.mark.parametrize("name", TEXTED)
def test_texts_are_labels_and_sorted_as_texts(name):
    texts = np.array(["b", "10", "9", "ಕ"])
    data = MAKERS[name].load(made(name, labels=texts[LABELS]))
    assert data.classes == ("10", "9", "b", "ಕ")
    assert all(type(label) is str for label in data.classes)
    assert data.labels.dtype == np.int64
    np.testing.assert_array_equal(data.labels, np.array([2, 0, 1, 3])[LABELS])


@pytest.mark.parametrize("name", both(SEARCHED, WRITTEN))
def test_whole_numbers_are_labels_and_sorted_as_numbers(name):
    numbers = np.array([10, -1, 9, 100], dtype=np.int8)
    data = MAKERS[name].load(made(name, labels=numbers[LABELS]))
    assert data.classes == (-1, 9, 10, 100)
    assert all(type(label) is int for label in data.classes)
    np.testing.assert_array_equal(data.labels, np.array([2, 0, 1, 3])[LABELS])


@pytest.mark.parametrize("name", READ)
def test_image_says_what_rows_of_pixels_are(name):
    pixels = content(name)[0].reshape(len(content(name)[0]), -1)
    given, n = made(name, images=pixels), pixels.shape[1]
    data = MAKERS[name].load(given, image=(1, n // 2, 2))
    np.testing.assert_array_equal(data.images, pixels.reshape(-1, 1, n // 2, 2))
    assert data.fingerprint != MAKERS[name].load(given).fingerprint
    with pytest.raises(
        DataError, match=rf"{n} pixels a sample, but data\.image is \[3, 3, 7\], which has 63"
    ):
        MAKERS[name].load(given, image=(3, 3, 7))


def go_missing(path):
    path.unlink()


def become_a_folder(path):
    path.unlink()
    path.mkdir()


def become_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def be_cut_off(path):
    path.write_bytes(path.read_bytes()[:-3])


def be_emptied(path):
    path.write_bytes(b"")


DAMAGES = [go_missing, become_a_folder, become_a_pipe, be_cut_off, be_emptied]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", both(READ, WRITTEN))
def test_a_damaged_file_is_refused_by_its_name_and_nothing_is_kept(name, damage, cache):
    for place in range(len(files_of(made(name)))):
        given = made(name)
        damaged = files_of(given)[place]
        damage(damaged)
        with pytest.raises(KerasgridError) as caught:
            MAKERS[name].load(given)
        assert re.match(rf"{re.escape(str(damaged))}(:|,| is | may | cannot )", str(caught.value))
        assert not cache.exists()
        mend(damaged)


def mend(path):
    """Removes what is in the place of a file."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


# Streams


FEW = 20


def stream_of(name, labels=LABELS[:FEW], images=IMAGES[:FEW], shape=None):
    given = made(name, images, labels)
    if not isinstance(given, str):
        paths = map(str, files_of(given))
        given = IdxPair(**dict(zip(("images", "labels"), paths, strict=True)))
    section = data_section(given, **dict(MAKERS[name].options))
    return open_stream(given, shape or content(name)[0].shape[1:], section)


def whole(stream, size=512):
    """Returns images, ids and labels of all batches, and the batches' sizes."""
    parts = list(stream.batches(size))
    ids = None if parts[0].ids is None else [id for part in parts for id in part.ids]
    labels = None if parts[0].labels is None else [label for part in parts for label in part.labels]
    return np.concatenate([part.images for part in parts]), ids, labels, [len(part.images) for part in parts]


@pytest.mark.parametrize(
    ("name", "has_labels"),
    [*((name, True) for name in STREAMED), *((n, False) for n in STREAMED if not MAKERS[n].needs_labels)],
)
def test_a_stream_gives_the_rows_of_the_whole_in_their_order_for_any_batch(name, has_labels, monkeypatch):
    stream = stream_of(name, LABELS[:FEW] if has_labels else None)
    wanted, labels = content(name)
    if name != "digits":
        wanted, labels = wanted[:FEW], labels[:FEW]
    has_labels &= name != "npy"
    for rows_at_once in (1, 2, 100):
        monkeypatch.setattr(arrays, "CHUNK_BYTES", rows_at_once * 4)
        monkeypatch.setattr("kerasgrid.data.csv.CHUNK_CELLS", rows_at_once * 4)
        for size in (1, 3, 20, 512) if name != "digits" else (100, 512):
            images, ids, found, sizes = whole(stream, size)
            np.testing.assert_array_equal(images, wanted)
            assert images.dtype == np.uint8
            assert sizes == [min(size, len(wanted) - first) for first in range(0, len(wanted), size)]
            assert ids == ([str(10 + row) for row in range(FEW)] if name == "npz" else None)
            assert found == (labels.tolist() if has_labels else None)


KINDS_OF_LABELS = {
    "numbers": LABELS[:FEW],
    "texts": np.array(["b", "a b", "ಕ", "c"])[LABELS[:FEW]],
    "whole numbers, then a text": np.array(["1.0"] * (FEW - 1) + ["b"]),
    "whole floats": np.array([1.0, 2.0, 0.0, 3.0])[LABELS[:FEW]],
}


@pytest.mark.parametrize("pixels", ["bytes", "fractions", "a fraction in the last row"])
@pytest.mark.parametrize(
    ("name", "labels"),
    [
        (name, labels)
        for name in both(READ, STREAMED, WRITTEN)
        for labels, own in KINDS_OF_LABELS.items()
        if own.dtype.kind != "U" or name in TEXTED
    ],
)
def test_a_stream_has_the_samples_of_the_data_that_the_same_file_gives(name, pixels, labels, monkeypatch):
    images, own = IMAGES[:FEW].astype(np.float32), KINDS_OF_LABELS[labels]
    images[{"bytes": FEW, "fractions": 0}.get(pixels, FEW - 1) :] /= 8
    data = MAKERS[name].load(made(name, images, own))
    stream = stream_of(name, own, images)
    for rows_at_once in (1, 7, 100):
        monkeypatch.setattr(arrays, "CHUNK_BYTES", rows_at_once * 16)
        monkeypatch.setattr("kerasgrid.data.csv.CHUNK_CELLS", rows_at_once * 5)
        found, _, told, _ = whole(stream)
        np.testing.assert_array_equal(found, data.images)
        assert told == [data.classes[place] for place in data.labels]
    np.testing.assert_array_equal(whole(stream)[0], data.images)  # once more of the same stream


@pytest.mark.parametrize("name", both(STREAMED, TEXTED))
def test_a_stream_has_texts_as_labels(name):
    texts = np.array(["b", "a b", "ಕ", "c"])[LABELS[:FEW]]
    assert whole(stream_of(name, texts))[2] == texts.tolist()


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_has_the_shape_of_the_samples_that_were_trained_on(name):
    wanted, rows = content(name)[0], IMAGES[:FEW].reshape(FEW, 4)
    shape = (1, wanted[0].size // 2, 2)
    images = whole(stream_of(name, images=rows, shape=shape))[0]
    assert images.shape[1:] == shape
    np.testing.assert_array_equal(images[:FEW], wanted[:FEW].reshape(FEW, *shape))
    with pytest.raises(DataError, match=rf"^\S+[:,].* {wanted[0].size} pixel"):
        whole(stream_of(name, images=rows, shape=(3, 3, 7)))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", both(STREAMED, WRITTEN))
def test_a_damaged_file_is_no_stream_and_is_refused_by_its_name(name, damage):
    for place in range(len(files_of(made(name)))):
        stream = stream_of(name)
        given = made(name, IMAGES[:FEW], LABELS[:FEW])
        damaged = files_of(given)[place]
        damage(damaged)
        with pytest.raises(KerasgridError) as caught:
            whole(stream)
        assert re.match(rf"{re.escape(str(damaged))}(:|,| is | may | cannot )", str(caught.value))
        mend(damaged)
