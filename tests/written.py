"""Small data files of each format, and the section of a config that names them."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from kerasgrid.config.sections import DataConfig, Features

_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def data_section(train: Any, **options: Any) -> SimpleNamespace:
    """The data section of a config."""
    plain = DataConfig().model_dump() | {"features": Features(), "label": None}
    return SimpleNamespace(**(plain | {"train": train} | options))


def idx_bytes(array: np.ndarray) -> bytes:
    """An array as an IDX file holds it."""
    code = _CODES[array.dtype.str[1:]]
    header = bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def idx_file(path: Path, array: Any) -> Path:
    """Writes an array as an IDX file, gzipped where the name ends in .gz."""
    content = idx_bytes(np.asarray(array))
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def csv_bytes(images: np.ndarray, labels: Any = None) -> bytes:
    """Images as a CSV file has them, a row each, the label first where there are labels."""
    rows = images.reshape(len(images), -1)
    names = [f"p{place}" for place in range(rows.shape[1])]
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    if labels is not None:
        names.insert(0, "label")
        lines = [f"{label},{line}" for label, line in zip(labels, lines, strict=True)]
    return ("\n".join([",".join(names), *lines]) + "\n").encode()
