"""NumPy's files: images and labels of an .npz by the usual names, or of two .npy; never pickles.

Images that are many are mapped from their file, or from one of the cache, and never in memory as a whole.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kerasgrid.data.archives import MAX_DEFLATE_RATIO, check_ratio, size_of
from kerasgrid.data.arrays import StoredArray, opened, pixels_of, shape_images
from kerasgrid.data.labels import check_texts, samples_of
from kerasgrid.data.samples import Samples
from kerasgrid.data.streams import Chunk, chunks_of
from kerasgrid.errors import DataError
from kerasgrid.io import ARRAY_DAMAGE, HEADER_DAMAGE
from kerasgrid.wording import shown_path

MAX_AXES = 32  # of arrays in NumPy before 2.0
PAIRS = (
    ("images", "labels"),
    ("x", "y"),
    ("X", "y"),
    ("x_train", "y_train"),
    ("X_train", "y_train"),
    ("train_images", "train_labels"),
    ("data", "target"),
)
"""What images and labels to learn from are called."""
IMAGE_NAMES = ("images", "x", "X", "x_test", "X_test", "test_images", "data")
LABEL_NAMES = ("labels", "y", "y_test", "test_labels", "target")
ID_NAMES = ("ids", "id")
"""What samples to predict are called, and what they may have with them."""


def read_npz(path: Path, image: Sequence[int] | None = None, *, multi_label: bool = False) -> Samples:
    """Returns the samples of an .npz file.

    Args:
        path: The file; its images have 2 to 4 axes, the sample first.
        image: (height, width, channels), where it cannot be read off the file.
        multi_label: Whether its labels are (sample, label) of 0 and 1.

    Raises:
        DataError: It is missing, damaged, or holds no pair of images and labels that fit.
    """
    where = shown_path(path)
    with opened(path) as file:
        archive = open_archive(file, where)
        keys = sorted(member.removesuffix(".npy") for member in archive.namelist())
        pair = next((pair for pair in PAIRS if set(pair) <= set(keys)), None)
        if pair is None:
            known = ", ".join(f"{images}/{labels}" for images, labels in PAIRS)
            found = ", ".join(keys[:20]) + (", ..." if len(keys) > 20 else "")
            raise DataError(
                f"{where}: no pair of images and labels: it holds {found or 'nothing'}. Name them as one of "
                f"{known}."
            )
        with opened_member(archive, pair[0], where) as stored:
            images = pixels_of(stored)
        labels = read_member(archive, pair[1], where)
    pixels = shape_images(images, image, f"{where}, {pair[0]}")
    return samples_of(pixels, labels, where, f"{where}, {pair[1]}", multi_label=multi_label)


def read_npy(
    images: Path, labels: Path, image: Sequence[int] | None = None, *, multi_label: bool = False
) -> Samples:
    """Returns the samples of two .npy files; the images are mapped where they are bytes.

    Args:
        images: A file of 2 to 4 axes, the sample first.
        labels: A file of one label a sample, or as `encode_labels` takes them.
        image: (height, width, channels), where it cannot be read off the file.
        multi_label: Whether labels are (sample, label) of 0 and 1.

    Raises:
        DataError: A file is missing, damaged or no .npy file, or the two do not belong together.
    """
    where, where_labels = shown_path(images), shown_path(labels)
    values = _read_npy(labels)
    with opened(images) as file:
        stored = _read_header(file, size_of(images), where)
        is_mapped = stored.dtype == np.uint8 and not stored.is_fortran and os.path.isfile(images)
        if is_mapped and size_of(images) == file.tell() + stored.n_bytes and stored.n_bytes:
            pixels: np.ndarray = np.memmap(images, stored.dtype, "r", file.tell(), stored.shape)
        else:
            pixels = pixels_of(stored)
    shaped = shape_images(pixels, image, where)
    return samples_of(shaped, values, f"{where} and {where_labels}", where_labels, multi_label=multi_label)


def _read_npy(path: Path) -> np.ndarray:
    """Returns the array of a .npy file."""
    with opened(path) as file:
        return _read_header(file, size_of(path), shown_path(path)).whole()


def npz_chunks(path: Path, shape: Sequence[int]) -> Iterator[Chunk]:
    """Yields the samples of an .npz file in a training sample's shape, with ids and labels where it has them.

    Raises:
        DataError: It is missing or damaged, or its images are of another shape.
    """
    where = shown_path(path)
    with opened(path) as file:
        archive = open_archive(file, where)
        keys = [member.removesuffix(".npy") for member in archive.namelist()]
        key = next((name for name in IMAGE_NAMES if name in keys), None)
        if key is None:
            raise DataError(
                f"{where}: no images: it holds {', '.join(keys[:20]) or 'nothing'}. Name them images."
            )
        ids, labels = (
            next((read_member(archive, name, where) for name in names if name in keys), None)
            for names in (ID_NAMES, LABEL_NAMES)
        )
        told = (None if ids is None else _ids(ids, where), None if labels is None else labels.tolist())
        with opened_member(archive, key, where) as stored:
            yield from chunks_of(stored, shape, *told)


def npy_chunks(path: Path, shape: Sequence[int], name: str, labels: Path | None = None) -> Iterator[Chunk]:
    """Yields the samples of a .npy file in a training sample's shape.

    Args:
        name: What messages call it.
        labels: A .npy file of theirs, if there is one.

    Raises:
        DataError: It is missing or damaged, or its images are of another shape.
    """
    given = None if labels is None else _read_npy(labels).tolist()
    with opened(path) as file:
        yield from chunks_of(_read_header(file, size_of(path), name), shape, labels=given)


def _ids(values: np.ndarray, where: str) -> list[str]:
    """Returns ids as a submission spells them.

    Raises:
        DataError: They are no list of whole numbers or texts.
    """
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "f" and np.all(np.isfinite(values)) and np.all(values == np.floor(values)):
        values = values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise DataError(
            f"{where}: ids are {values.dtype} of shape {list(values.shape)}; whole numbers or texts, one a "
            "sample, hold."
        )
    ids = [str(value) for value in values.tolist()]
    check_texts(ids, f"{where}: the id")
    return ids


def open_archive(file: BinaryIO, where: str) -> zipfile.ZipFile:
    """Returns an open .npz file's archive.

    Raises:
        DataError: It is no zip archive, or a damaged one.
    """
    try:
        return zipfile.ZipFile(file)
    except ARRAY_DAMAGE as error:
        raise DataError(f"{where}: no .npz file, or a damaged one ({error}).") from error


def read_member(archive: zipfile.ZipFile, key: str, where: str) -> np.ndarray:
    """Returns one array of an .npz file, reading no more than its header promises.

    Raises:
        DataError: It is missing, damaged, promises more than the archive can hold, or needs pickle.
    """
    with opened_member(archive, key, where) as stored:
        return stored.whole()


@contextlib.contextmanager
def opened_member(archive: zipfile.ZipFile, key: str, where: str) -> Iterator[StoredArray]:
    """Opens one array of an .npz file.

    Raises:
        DataError: As `read_member`; damage may only be found while it is read.
    """
    where = f"{where}, {key}"
    try:
        info = archive.getinfo(f"{key}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{where}: packed in a way that NumPy does not write. Save it with numpy.savez.")
        assert archive.fp is not None  # it is open
        size = archive.fp.seek(0, os.SEEK_END)
        instead = "unpack it, and save its arrays with numpy.savez"
        check_ratio(info.file_size, size, where, instead)
        with archive.open(info) as member:
            most_bytes = min(info.file_size, size * MAX_DEFLATE_RATIO)
            yield _read_header(member, most_bytes, where)  # type: ignore[arg-type]  # `open` gives a ZipExtFile
    except DataError:  # a ValueError, too, that tells of its own
        raise
    except ARRAY_DAMAGE as error:
        raise DataError(f"{where}: damaged ({error}). Fetch the file again.") from error


def _read_header(file: io.BufferedIOBase, most_bytes: int, where: str) -> StoredArray:
    """Returns the array in what is written as a .npy file.

    Raises:
        DataError: It promises more than `most_bytes`, or needs pickle.
    """
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            raise DataError(f"{where}: .npy format {version[0]}.{version[1]}, which holds no plain array.")
        shape, fortran, dtype = readers[version](file)
    except HEADER_DAMAGE as error:
        raise DataError(f"{where}: no .npy file, or a damaged one ({error}). Fetch it again.") from error
    if dtype.hasobject:
        raise DataError(
            f"{where}: an array of Python objects, which only pickle can read, and pickles may run any code. "
            "Save it as numbers or as strings of a fixed width: array.astype('uint8'), array.astype('U')."
        )
    if dtype.kind not in "biufcSUmM":
        raise DataError(f"{where}: an array of dtype {dtype}, where numbers or strings are needed.")
    stored = StoredArray(file, shape, dtype, where, fortran)
    is_shape = len(shape) <= MAX_AXES and all(type(size) is int and size >= 0 for size in shape)
    if not is_shape or stored.n_bytes > most_bytes:
        raise DataError(
            f"{where}: its header promises shape {shape}, {stored.n_bytes:,} bytes, which the file is too "
            "small to hold: damaged. Fetch the file again."
        )
    return stored
