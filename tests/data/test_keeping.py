"""The cache is bounded, tells what it holds, and loses nothing that is in use."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from kerasgrid.data import keeping
from kerasgrid.data.cache import cached
from kerasgrid.data.keeping import chosen, clear, kept, limit_bytes, prune, told
from kerasgrid.data.samples import Samples
from kerasgrid.errors import StorageError
from kerasgrid.io import write_json
from kerasgrid.records import Target
from kerasgrid.wording import bytes_word


def keep(name, age_s, n_bytes=10_000):
    """Keeps samples, as a process did that has ended."""
    images = np.zeros((10, n_bytes // 10, 1, 1), np.uint8)
    data = cached(
        name, f"{name}.csv", lambda: Samples(images, np.arange(10) % 2, Target("classes", ("a", "b")))
    )
    end(data.place)
    for path in (*data.place.iterdir(), data.place):
        os.utime(path, (time.time() - age_s,) * 2)
    return data


def end(folder):
    """Makes what this process uses a dead process's."""
    for mark in keeping._marks(folder):
        host, _, rest = mark.name.removeprefix(".used.").split("-", 2)
        mark.rename(mark.with_name(f".used.{host}-{dead()}-{rest}"))


def dead():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def three(cache):
    """Samples that were used 30, 20 and 10 minutes ago."""
    return [keep(name, age_s) for name, age_s in (("old", 1800), ("mid", 1200), ("new", 600))]


def names():
    return [part.source for part in kept()]


def test_it_tells_what_it_holds(three, cache):
    for name in ("a", "b"):
        write_json(cache.with_name("widths") / f"{name}.json", {"width": 3})
    head, *rows, last = told(kept(), None, time.time())
    assert head.startswith(f"{cache.parent}: ")
    assert " of at most " in head
    wanted = zip(reversed(three), (10, 20, 30), ("new", "mid", "old"), strict=True)
    for row, (data, minutes, source) in zip(rows, wanted, strict=True):
        name = re.escape(data.place.name[:12])
        assert re.fullmatch(rf"{name}  samples +1\d KiB +used {minutes} min ago +{source}\.csv", row)
    assert re.fullmatch(r" +measured widths +\d+ bytes +used [\d.]+ s ago +2 files", last)


def test_an_empty_cache_holds_nothing(cache):
    assert kept() == []
    assert told([], None, 0.0)[0].startswith(f"{cache.parent}: 0 bytes of at most")
    assert clear() == ([], [])


def test_what_was_not_used_for_longest_goes_first(three, monkeypatch):
    monkeypatch.setenv(keeping.LIMIT, "30 kB")
    assert [part.source for part in prune()] == ["old.csv"]
    assert names() == ["new.csv", "mid.csv"]
    assert prune() == []
    assert [part.source for part in prune(needed_bytes=15_000)] == ["mid.csv"]


def test_new_samples_make_room_for_themselves(three, monkeypatch):
    monkeypatch.setenv(keeping.LIMIT, "34.5 kB")
    keep("next", 0)
    assert names() == ["next.csv", "new.csv", "mid.csv"]


def test_a_full_disk_makes_room(three, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=5_000))
    assert [part.source for part in prune(needed_bytes=12_000)] == ["old.csv"]


def test_what_a_process_uses_stays(three, monkeypatch):
    data = cached("old", "old.csv", lambda: pytest.fail("it is there"))
    monkeypatch.setenv(keeping.LIMIT, "1B")
    assert [part.source for part in prune()] == ["mid.csv", "new.csv"]
    assert names() == ["old.csv"]
    removed, left = clear()
    assert (removed, [part.source for part in left]) == ([], ["old.csv"])
    assert told(left, removed, time.time())[1:] == [
        "In use, and left:",
        f"{data.place.name[:12]}  samples  {bytes_word(left[0].n_bytes)}  in use  old.csv",
    ]
    end(data.place)
    assert [part.source for part in clear()[0]] == ["old.csv"]
    assert kept() == []


def test_it_was_used_when_it_was_opened_last(three):
    cached("old", "old.csv", lambda: pytest.fail("it is there"))
    assert names()[0] == "old.csv"
    before = kept()[0].used_at
    time.sleep(0.02)
    cached("old", "old.csv", lambda: pytest.fail("it is there"))
    assert kept()[0].used_at > before


def test_what_is_used_while_it_is_put_aside_stays(three, monkeypatch):
    rename = os.rename

    def racing(path, aside):
        rename(path, aside)
        keeping.mark_used(aside)

    monkeypatch.setattr(os, "rename", racing)
    assert clear(["old.csv"])[0] == []
    monkeypatch.undo()


def test_it_is_cleared_by_name(three):
    assert [part.source for part in chosen(["mid.csv"])] == ["mid.csv"]
    removed, left = clear([three[0].place.name[:12], "mid.csv"])
    assert ([part.source for part in removed], left) == (["mid.csv", "old.csv"], [])
    assert names() == ["new.csv"]
    with pytest.raises(StorageError, match=r"cache: nothing there is called 'mid\.csv'\. What is there is"):
        clear(["mid.csv"])


@pytest.mark.parametrize(
    ("said", "n_bytes"),
    [("20GB", 20 * 10**9), ("1.5 gib", 3 * 2**29), ("300", 300), ("7 B", 7), ("2K", 2000), ("1tb", 10**12)],
)
def test_the_limit_is_an_amount(monkeypatch, said, n_bytes):
    monkeypatch.setenv(keeping.LIMIT, said)
    assert limit_bytes() == n_bytes


@pytest.mark.parametrize("said", ["much", "-1", "3 apples", "20G B", "i", "1e9", "nan"])
def test_what_is_no_amount_is_refused(monkeypatch, said):
    monkeypatch.setenv(keeping.LIMIT, said)
    with pytest.raises(StorageError, match=f"KERASGRID_CACHE_LIMIT is '{said}', which is no amount of bytes"):
        limit_bytes()


def test_a_fifth_of_the_disk_is_the_limit(monkeypatch):
    monkeypatch.delenv(keeping.LIMIT, raising=False)
    assert limit_bytes() == shutil.disk_usage(".").total // 5


def test_damage_is_no_fault(three, cache):
    (three[0].place / keeping.MADE_OF).write_bytes(b"\xff")
    (three[1].place / "meta.json").unlink()
    (cache / "stray").write_bytes(b"x")
    assert len(kept()) == 4
    assert len(clear()[0]) == 4
