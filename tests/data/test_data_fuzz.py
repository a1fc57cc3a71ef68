"""Damaged files of every format: each way to read them gives samples or words, in bounded time and memory."""

from __future__ import annotations

import gzip
import io
import random
import resource
import signal
import warnings
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
from mutations import N_MUTATIONS, mutate_bytes, of_seed
from written import csv_bytes, data_section

from kerasgrid import errors
from kerasgrid.checks.prepared import prepare
from kerasgrid.cli.starter import starter
from kerasgrid.data.csv import read_csv
from kerasgrid.data.idx import read_idx
from kerasgrid.data.npz import read_npz
from kerasgrid.data.places import csv_of
from kerasgrid.data.sources import open_stream

CELLS = [
    *(b"", b"nan", b"-inf", b"1e999", b"x", b"\xff", b'"', b",", b"\n", b"\0", b"\r", b" ", b"0x1", b"1_0"),
    *(b"99999999999999999999", b"a.png", b"\xed\xa0\x80", b"\x1b[31m", b"'", b"\t", b";", b"-", b"#", b"1,2"),
]
HEADERS = [
    *(
        b"True",
        b"False",
        b"-1",
        b"()",
        b"4.0",
        b"'",
        b"|O",
        b"<M8",
        b"|V8",
        b"<U9",
        b",",
        b"[",
        b"2**9",
        b"None",
    ),
    *(
        b"(1,)",
        b"\x93NUMPY",
        b"PK\x03\x04",
        b"PK\x01\x02",
        b"PK\x05\x06",
        b"9" * 30,
        b"images",
        b".npy",
        b"\0",
    ),
]
MOST_S, MOST_BYTES = 20, 2**30


@contextmanager
def bounded():
    """Lets reading fail that takes more than a GiB or 20 seconds."""

    def stop(*_):
        raise AssertionError(f"reading took more than {MOST_S} s")

    before = resource.getrlimit(resource.RLIMIT_AS)
    most = psutil.Process().memory_info().vms + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(MOST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)


def mutate(content: bytes, chance: random.Random, kind: str) -> bytes:
    """Changes bytes anywhere, or cells of a CSV, or what a header may hold."""
    if kind == "csv" and chance.random() < 0.5:
        cells = content.split(b",")
        for _ in range(chance.choice([1, 1, 2, 5])):
            cells[chance.randrange(len(cells))] = chance.choice(CELLS)
        return b",".join(cells)
    return mutate_bytes(content, chance, CELLS if kind == "csv" else HEADERS)


def zip_bytes(content: bytes) -> bytes:
    """A .zip of one CSV file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("train.csv"), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "csv.gz", "csv.zip", "idx", "idx.gz", "npz", "packed npz", "npy"])
def test_mutations(kind, tmp_path, images, labels, write_idx, monkeypatch):
    monkeypatch.setattr("kerasgrid.data.cache.os.fsync", lambda file: None)
    answers = write_idx("train-labels", labels)
    path = tmp_path / f"train.{kind.split()[-1]}"
    if "idx" in kind:
        path = tmp_path / f"train-images{'.gz' if 'gz' in kind else ''}"
    train = {"images": path.name, "labels": answers.name} if "idx" in kind else path.name
    if "csv" in kind:
        content = csv_bytes(images, labels)
        content = gzip.compress(content, mtime=0) if kind == "csv.gz" else content
        content = zip_bytes(content) if kind == "csv.zip" else content
    elif "idx" in kind:
        content = write_idx("plain", images).read_bytes()
        content = gzip.compress(content, mtime=0) if kind == "idx.gz" else content
    elif kind == "npy":
        np.save(path, images)
        content = path.read_bytes()
    else:
        (np.savez_compressed if "packed" in kind else np.savez)(path, images=images, labels=labels)
        content = path.read_bytes()

    def read():
        if "csv" in kind:
            return read_csv(csv_of(path))
        return read_idx(path, answers) if "idx" in kind else read_npz(path)

    config = {"data": {"train": train}, "model": "fc", "search": {"folds": 2}}
    ways = {
        "read": read,
        "check": lambda: prepare(config).data,
        "init": lambda: starter(path, base=Path.cwd()),
        "predict": lambda: list(open_stream(path, (2, 2, 1)).batches(7)),
        "predict, trained on it": lambda: list(open_stream(path, (2, 2, 1), data_section(path)).batches(7)),
    }
    if kind == "npy":
        ways = {name: way for name, way in ways.items() if "predict" in name}
    path.write_bytes(content)
    for way in ways.values():
        way()
    refusals = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(N_MUTATIONS):
            path.write_bytes(mutate(content, random.Random(seed), kind))
            given = {}
            for name, way in ways.items():
                with of_seed(seed), bounded():
                    try:
                        found = way()
                    except errors.KerasgridError as error:
                        refusals.append((seed, name, str(error)))
                        continue
                given[name] = found
                if name in ("read", "check"):
                    if found.table is None:
                        assert found.images.dtype in (np.uint8, np.float32)
                        assert np.isfinite(found.images).all()
                    assert len(found.images) == len(found.labels)
                    assert found.target.is_numbers or found.labels.max() < len(found.target.names)
            if {"read", "predict"} <= given.keys():
                whole, chunks = given["read"], given["predict"]
                np.testing.assert_array_equal(np.concatenate([part.images for part in chunks]), whole.images)
                told = [label for part in chunks for label in part.labels or ()]
                if whole.target.is_numbers:
                    wanted = whole.labels[:, 0].tolist()
                else:
                    wanted = [whole.target.names[place] for place in whole.labels]
                # A stream has one-hot rows as they are.
                assert np.shape(told)[1:] or told in ([], wanted)
    assert len(refusals) > N_MUTATIONS * len(ways) // 4
    named = (path.name, answers.name, "search.folds")  # or of how few a class has
    assert [one for one in refusals if not any(name in one[-1] for name in named)] == []
