"""NPZ files of NumPy: images and labels under one of the usual pairs of names, never pickles."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from kerasgrid.data.arrays import (
    MAX_DEFLATE_RATIO,
    Samples,
    as_pixels,
    check_memory,
    check_ratio,
    check_samples,
    opened,
    product,
    read_array,
    shape_images,
)
from kerasgrid.data.labels import encode_labels, is_one_hot
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
        images, labels = (read_member(archive, key, where) for key in pair)
    pixels = shape_images(as_pixels(images, f"{where}, {pair[0]}"), image, f"{where}, {pair[0]}")
    indices, classes = encode_labels(labels, f"{where}, {pair[1]}", multi_label=multi_label)
    check_samples(pixels, indices, classes, where)
    return Samples(pixels, indices, classes, is_one_hot(labels, indices))


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
    where = f"{where}, {key}"
    with opened_member(archive, key, where) as (member, most_bytes):
        shape, fortran, dtype = read_header(member, most_bytes, where)
        array = read_array(member, shape[::-1] if fortran else shape, dtype, where)
        if fortran:
            check_memory(array.nbytes, where)  # it is put in order
        return (array.T if fortran else array).astype(dtype.newbyteorder("="), copy=False)


@contextlib.contextmanager
def opened_member(archive: zipfile.ZipFile, key: str, where: str) -> Iterator[tuple[zipfile.ZipExtFile, int]]:
    """Gives one array's file and the bytes that it can hold at most.

    Raises:
        DataError: It is missing, or damaged, which may only be found while it is read.
    """
    try:
        info = archive.getinfo(f"{key}.npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DataError(f"{where}: packed in a way that NumPy does not write. Save it with numpy.savez.")
        size = os.fstat(archive.fp.fileno()).st_size  # type: ignore[union-attr]  # it is open
        instead = "unpack it, and save its arrays with numpy.savez"
        check_ratio(info.file_size, size, where, instead)
        with archive.open(info) as member:
            most_bytes = min(info.file_size, size * MAX_DEFLATE_RATIO)
            yield member, most_bytes  # type: ignore[misc]  # `open` gives a ZipExtFile
    except DataError:  # a ValueError, too, that tells of its own
        raise
    except ARRAY_DAMAGE as error:
        raise DataError(f"{where}: damaged ({error}). Fetch the file again.") from error


def read_header(
    member: io.BufferedIOBase, most_bytes: int, where: str
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Returns an array's shape, whether it lies in Fortran's order, and its dtype.

    Raises:
        DataError: It promises more than `most_bytes`, or needs pickle.
    """
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(member)
        if version not in readers:
            raise DataError(f"{where}: .npy format {version[0]}.{version[1]}, which holds no plain array.")
        shape, fortran, dtype = readers[version](member)
    except HEADER_DAMAGE as error:
        raise DataError(f"{where}: no .npy file, or a damaged one ({error}). Fetch it again.") from error
    if dtype.hasobject:
        raise DataError(
            f"{where}: an array of Python objects, which only pickle can read, and pickles may run any code. "
            "Save it as numbers or as strings of a fixed width: array.astype('uint8'), array.astype('U')."
        )
    if dtype.kind not in "biufcSUmM":
        raise DataError(f"{where}: an array of dtype {dtype}, where numbers or strings are needed.")
    n_promised = product(shape) * dtype.itemsize
    is_shape = len(shape) <= MAX_AXES and all(type(size) is int and size >= 0 for size in shape)
    if not is_shape or n_promised > most_bytes:
        raise DataError(
            f"{where}: its header promises shape {shape}, {n_promised:,} bytes, which the file is too small "
            "to hold: damaged. Fetch the file again."
        )
    return shape, fortran, dtype
