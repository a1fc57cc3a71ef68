"""Damaged files of every format: each is read, or refused by an error of ours."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pytest
from mutations import N_MUTATIONS, of_seed
from written import csv_bytes

from kerasgrid import errors
from kerasgrid.data.csv import read_csv
from kerasgrid.data.idx import read_idx
from kerasgrid.data.npz import read_npz

CELLS = [
    b"",
    b"nan",
    b"-inf",
    b"1e999",
    b"x",
    b"\xff",
    b'"',
    b",",
    b"\n",
    b"\0",
    b"99999999999999999999",
    b"\r",
]


def mutate(content: bytes, random: np.random.Generator, text: bool) -> bytes:
    """One to three byte flips, truncations, insertions, removals or (in text) cell edits."""
    out = bytearray(content)
    for _ in range(random.integers(1, 4)):
        place = int(random.integers(len(out) + 1))
        kind = random.integers(5 if text else 4)
        if kind == 0 and place < len(out):
            out[place] ^= 1 << int(random.integers(8))
        elif kind == 1:
            del out[place:]
        elif kind == 2:
            out[place:place] = random.bytes(int(random.integers(1, 9)))
        elif kind == 3:
            del out[place : place + int(random.integers(1, 40))]
        elif kind == 4:
            cells = bytes(out).split(b",")
            cells[int(random.integers(len(cells)))] = CELLS[int(random.integers(len(CELLS)))]
            out = bytearray(b",".join(cells))
    return bytes(out)


@pytest.mark.parametrize("kind", ["csv", "idx", "idx.gz", "npz", "packed npz"])
def test_mutations(kind, tmp_path, images, labels, write_idx):
    answers = write_idx("labels", labels)
    path = tmp_path / f"train.{kind.split()[-1]}"
    if kind == "csv":
        content = csv_bytes(images, labels)
    elif "idx" in kind:
        content = write_idx("plain", images).read_bytes()
        content = gzip.compress(content, mtime=0) if kind == "idx.gz" else content
    else:
        (np.savez_compressed if "packed" in kind else np.savez)(path, images=images, labels=labels)
        content = path.read_bytes()

    def read():
        if kind == "csv":
            return read_csv(path)
        return read_idx(path, answers) if "idx" in kind else read_npz(path)

    path.write_bytes(content)
    np.testing.assert_array_equal(read().images, images[..., np.newaxis])
    refusals = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(N_MUTATIONS):
            path.write_bytes(mutate(content, np.random.default_rng(seed), kind == "csv"))
            with of_seed(seed):
                try:
                    samples = read()
                except errors.KerasgridError as error:
                    refusals.append((seed, str(error)))
                else:
                    assert samples.images.dtype in (np.uint8, np.float32)
                    assert np.isfinite(samples.images).all()
                    assert len(samples.images) == len(samples.labels)
                    assert samples.labels.max() < len(samples.classes)
    assert len(refusals) > N_MUTATIONS // 3
    assert [(seed, message) for seed, message in refusals if path.name not in message] == []
