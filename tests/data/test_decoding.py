"""Image files are decoded once, whatever ends it on the way, and by one process for all."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kerasgrid.data import decoding
from kerasgrid.data import pictures as reading
from kerasgrid.data.cache import cached
from kerasgrid.data.keeping import kept
from kerasgrid.data.pictures import Picture, Pictures
from kerasgrid.data.samples import Samples
from kerasgrid.errors import DataError, StorageError
from kerasgrid.locks import FolderLock
from kerasgrid.records import Target

N, ROWS = 22, 4


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(reading, "_MOST_ROWS", ROWS)
    monkeypatch.setattr(decoding, "_TELL_S", 0)
    monkeypatch.setattr(decoding, "_WAIT_S", 0.01)


@pytest.fixture
def files(tmp_path):
    """Images of one shade each, which tells them apart."""
    paths = [tmp_path / f"{place:02}.png" for place in range(N)]
    for place, path in enumerate(paths):
        Image.new("RGB", (5, 4), (place, 2 * place, 255 - place)).save(path)
    return paths


@pytest.fixture
def tried(monkeypatch):
    """The places of the images that have been decoded."""
    places, blocks = [], decoding.decode_blocks

    def noted(pictures, firsts, n_rows, forms, known):
        places.extend(place for first in firsts for place in range(first, min(first + n_rows, N)))
        return blocks(pictures, firsts, n_rows, forms, known)

    monkeypatch.setattr(decoding, "decode_blocks", noted)
    return places


def samples(files, skip_bad=False):
    pictures = Pictures(tuple(map(Picture, files)), (4, 5, 3), "stretch", "bilinear", skip_bad, "photos")
    return Samples(pictures, np.arange(len(files)) % 2, Target("classes", ("a", "b")))


def load(files, skip_bad=False, doing=lambda text: None, check=lambda: None):
    key = ["photos", skip_bad]
    return cached(key, "photos", lambda: samples(files, skip_bad), doing=doing, check=check)


def check(data, places=range(N)):
    """Holds that all images are what they should be."""
    wanted = [(place, 2 * place, 255 - place) for place in places]
    assert data.images.shape == (len(wanted), 4, 5, 3)
    assert (np.asarray(data.images) == np.array(wanted, np.uint8)[:, None, None]).all()
    assert data.labels.tolist() == [place % 2 for place in places]


class Killed(BaseException):
    pass


def kill_at(n):
    """Ends the process, as it were, when so many are decoded."""

    def doing(text):
        if text.startswith("Decoding image files") and text.done >= n:
            raise Killed

    return doing


@pytest.fixture
def begun(files, cache):
    """The folder in which 12 have been decoded when that was ended."""
    with pytest.raises(Killed):
        load(files, doing=kill_at(12))
    (folder,) = cache.with_name("decoding").iterdir()
    return folder


def test_what_is_decoded_is_kept(files, begun, cache, tried):
    tried.clear()
    told = []
    check(load(files, doing=told.append))
    assert sorted(tried) == list(range(12, N))
    told = [text for text in told if not text.startswith("Looking")]
    assert told[0].startswith("Decoding 22 image files to 4 x 5 x 3, 12 of them before: 1.3 KiB in ")
    assert told[-1] == "Decoding image files: 22 of 22."
    assert not list(cache.with_name("decoding").iterdir())
    tried.clear()
    told.clear()
    check(load(files, doing=told.append))
    assert not tried
    assert told == [f"22 image files of photos are decoded already: 1.3 KiB in {cache.parent}."]


def test_more_than_the_cache_may_take_is_told(files, monkeypatch):
    monkeypatch.setenv("KERASGRID_CACHE_LIMIT", "1k")
    monkeypatch.setattr(decoding, "_LONG_S", -1)
    told = []
    load(files, doing=told.append)
    assert (
        "The cache may take 1,000 bytes (KERASGRID_CACHE_LIMIT), so this goes when nothing uses it."
        in told[1]
    )
    assert told[1].endswith(" Ctrl-C stops it, and the same command goes on later.")


def test_it_is_cut_at_any_byte(files, begun, tmp_path, cache):
    lines = (begun / "decoded.jsonl").read_bytes()
    kept = shutil.copytree(begun, tmp_path / "kept")
    for n_bytes in range(0, len(lines), 7):
        shutil.rmtree(cache, ignore_errors=True)
        shutil.copytree(kept, begun, dirs_exist_ok=True)
        (begun / "decoded.jsonl").write_bytes(lines[:n_bytes])
        check(load(files))


def flip_pixel(folder):
    with open(folder / "images.npy", "r+b") as file:
        file.seek(-1 - (N - 3) * 60, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def cut_images(folder):
    os.truncate(folder / "images.npy", 300)


def spoil_header(folder):
    with open(folder / "images.npy", "r+b") as file:
        file.write(b"x" * 100)


def lose_images(folder):
    (folder / "images.npy").unlink()


def edit_line(change):
    def damage(folder):
        path = folder / "decoded.jsonl"
        head, *blocks = map(json.loads, path.read_text().splitlines())
        change(head, blocks)
        path.write_text("".join(json.dumps(line) + "\n" for line in (head, *blocks)))

    return damage


@pytest.mark.parametrize(
    "damage",
    [
        *(flip_pixel, cut_images, spoil_header, lose_images),
        edit_line(lambda head, blocks: head.update(rows=2)),
        edit_line(lambda head, blocks: blocks[0].update(first=4)),
        edit_line(lambda head, blocks: blocks[0].update(first=3)),
        edit_line(lambda head, blocks: blocks[0].update(first=-4)),
        edit_line(lambda head, blocks: blocks[0].update(first=10**30)),
        edit_line(lambda head, blocks: blocks[0].update(bad=7)),
        edit_line(lambda head, blocks: blocks[1].pop("digest")),
    ],
)
def test_what_was_damaged_is_decoded_again(files, begun, damage):
    damage(begun)
    check(load(files))


@pytest.mark.parametrize("places", [[0], [N - 1], [3, 4, 5, 11], [*range(0, 8)], [*range(N - 6, N)], []])
def test_gaps_are_closed_where_images_are_left_out(files, places):
    for place in places:
        files[place].write_bytes(b"no image")
    data = load(files, skip_bad=True)
    check(data, [place for place in range(N) if place not in places])
    assert len(data.report) == bool(places)


def test_closing_gaps_is_cut_off(files, monkeypatch):
    files[1].write_bytes(b"")

    def close(self, places):
        whole(self, places)
        raise Killed

    whole = decoding._Work._close_gaps
    with monkeypatch.context() as patch:
        patch.setattr(decoding._Work, "_close_gaps", close)
        with pytest.raises(Killed):
            load(files, skip_bad=True)
    check(load(files, skip_bad=True), [0, *range(2, N)])


def test_what_was_decoded_before_a_fault_was_told_is_kept(files, tried):
    files[5].write_bytes(b"")
    with pytest.raises(
        DataError, match=r"photos: 1 image file of 22 cannot be decoded:\n  05\.png is empty\n"
    ):
        load(files)
    tried.clear()
    check(load(files, skip_bad=True), [place for place in range(N) if place != 5])
    assert not tried


def relabelled(files, doing=lambda text: None):
    whole = samples(files)
    return cached("others", "photos", lambda: replace(whole, labels=1 - whole.labels), doing=doing)


def test_other_labels_of_the_same_images_decode_nothing(files, tried, cache):
    first = load(files)
    tried.clear()
    second = relabelled(files)
    assert not tried
    assert os.path.samefile(first.place / "images.npy", second.place / "images.npy")
    assert second.labels.tolist() == [1 - place % 2 for place in range(N)]
    sizes = {path.name: path.stat().st_size for path in first.place.iterdir()}
    assert sum(part.n_bytes for part in kept()) < 2 * sum(sizes.values()) - 0.8 * sizes["images.npy"]
    shutil.rmtree(first.place)
    np.testing.assert_array_equal(relabelled(files).images, second.images)


@pytest.fixture
def read(monkeypatch):
    """The names of the files that have been decoded, whatever for."""
    names, decode = [], reading.Decoder._decoded

    def noted(self, picture):
        names.append(picture.path.name)
        return decode(self, picture)

    monkeypatch.setattr(reading.Decoder, "_decoded", noted)
    return names


def test_only_files_that_are_new_or_changed_are_decoded(files, read, cache):
    load(files)
    files[3].write_bytes(files[20].read_bytes())  # another one's, which is known
    Image.new("RGB", (5, 4), (1, 2, 3)).save(files[5])
    Image.new("RGB", (5, 4), (4, 5, 6)).save(files[0].with_name("new.png"))
    others = [files[0].with_name("new.png"), *files[1:18]]
    read.clear()
    data = cached("others", "photos", lambda: samples(others))
    assert set(read) == {"new.png", "05.png"}
    shades = [4, 1, 2, 20, 4, 1, *range(6, 18)]
    np.testing.assert_array_equal(data.images[:, 0, 0, 0], shades)
    files[9].write_bytes(b"")
    read.clear()
    told = []
    load(files, skip_bad=True, doing=told.append)
    assert set(read) == {"05.png", "09.png"}  # of one other set images are taken
    assert any(line.startswith("Decoding 22 image files to 4 x 5 x 3, 20 of them before") for line in told)


def test_what_is_taken_over_is_held_against_its_digests(files, read, cache):
    first = load(files)
    with open(first.place / "images.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    (first.place / "files.npy").write_bytes((first.place / "files.npy").read_bytes()[:-5])
    read.clear()
    data = cached("others", "photos", lambda: samples(files[1:]))
    assert set(read) == {path.name for path in files[1:]}
    assert data.images[-1, 0, 0].tolist() == [21, 42, 234]


def test_what_is_not_whole_is_not_shared(files, tried, cache):
    first = load(files)
    with open(first.place / "images.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    tried.clear()
    np.testing.assert_array_equal(relabelled(files).images[:, 0, 0, 0], range(N))
    assert sorted(tried) == list(range(N))


def test_where_files_have_one_name_each_they_are_decoded_again(files, tried, monkeypatch):
    load(files)
    tried.clear()

    def refuse(source, target):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    relabelled(files)
    assert sorted(tried) == list(range(N))


def test_samples_stay_where_a_process_dies_that_shares_them(files, cache):
    first = load(files)

    def die():
        raise DataError("dies")

    with pytest.raises(DataError, match="dies"):
        cached("dies", "photos", lambda: samples(files), check=die)
    (folder,) = cache.with_name("decoding").iterdir()
    assert os.path.samefile(folder / "images.npy", first.place / "images.npy")
    (first.place / "made_of.json").unlink()
    before = (first.place / "images.npy").stat()
    relabelled(files)
    after = (first.place / "images.npy").stat()
    assert (after.st_mtime_ns, after.st_nlink) == (before.st_mtime_ns, 1)


def test_nothing_is_left_to_learn_from(files):
    for place in range(0, N, 2):
        files[place].write_bytes(b"")
    with pytest.raises(DataError, match="no image of the class 'a' can be decoded"):
        load(files, skip_bad=True)
    for path in files:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="None is left to learn from"):
        load(files, skip_bad=True)
    with pytest.raises(DataError, match="photos: no images"):
        load([])


def test_a_file_that_changes_meanwhile_is_never_taken_for_what_it_was(files, begun):
    before = files[15].read_bytes()

    def change(text):
        if text.startswith("Decoding 22"):
            Image.new("RGB", (5, 4)).save(files[15])

    with pytest.raises(DataError, match=r"15\.png cannot be read: it has changed meanwhile"):
        load(files, skip_bad=True, doing=change)
    files[15].write_bytes(before)
    check(load(files))


def test_a_file_that_is_gone_is_not_left_out(files):
    def remove(text):
        if text.startswith("Decoding 22"):
            files[15].unlink()

    with pytest.raises(DataError, match=r"15\.png cannot be read: 15\.png: there is no such file"):
        load(files, skip_bad=True, doing=remove)


def test_nothing_is_kept_where_the_last_look_finds_a_fault(files, cache, tried):
    def fail():
        raise DataError("it changed")

    with pytest.raises(DataError, match="it changed"):
        load(files, check=fail)
    assert not cache.exists()


def test_a_full_disk_is_told_before(files, monkeypatch):
    usage = shutil.disk_usage(".")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    with pytest.raises(
        StorageError,
        match=r"no room for the data's cache \(1\.4 KiB are needed, and 100 bytes are free\)\. Free some",
    ):
        load(files)


def test_a_disk_that_becomes_full_keeps_what_is_decoded(files, tried, monkeypatch):
    def full(text):
        if text.startswith("Decoding image files") and text.done >= 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match=r"No space left on device\)\. Free some space, or set"):
        load(files, doing=full)
    tried.clear()
    check(load(files))
    assert set(range(8)).isdisjoint(tried)


def test_another_process_is_waited_for(files, begun, tried):
    told, found = [], []
    tried.clear()
    with FolderLock(begun / "lock", begun / "heartbeat.json"):
        thread = threading.Thread(target=lambda: found.append(load(files, doing=told.append)))
        thread.start()
        while not told or told[-1].startswith("Looking"):
            time.sleep(0.01)
        assert told[-1].startswith("Waiting for this process itself")
        assert told[-1].endswith("which decodes these images: 12 of 22.")
        assert (told[-1].done, told[-1].total) == (12, 22)
        assert not tried
    thread.join()
    check(found[0])


RUN = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_decoding as tests
from kerasgrid.data import pictures
from kerasgrid.records import Stage
pictures._MOST_ROWS = tests.ROWS
def doing(text):
    if isinstance(text, Stage) and not text.startswith("Looking"):
        print(text.done, text, flush=True)
        time.sleep(float(sys.argv[3]))
tests.decoding._TELL_S = 0
tests.check(tests.load(sorted(Path(sys.argv[2]).glob("*.png")), doing=doing))
print("done", flush=True)
"""


def start(folder, pause_s):
    arguments = [sys.executable, "-c", RUN, str(Path(__file__).parent), str(folder), str(pause_s)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_one_decodes_for_all_and_another_goes_on_where_it_is_killed(files, tmp_path, tried):
    first = start(tmp_path, 3.0)
    line = first.stdout.readline()
    while not line.startswith("8 "):
        line = first.stdout.readline()
    second = start(tmp_path, 0.0)
    line = second.stdout.readline()
    while line.split()[1] != "Waiting":
        line = second.stdout.readline()
    assert f"Waiting for process {first.pid} on this machine" in line
    first.send_signal(signal.SIGKILL)
    first.wait()
    rest = second.stdout.read().splitlines()
    assert rest[-1] == "done"
    went_on = [line for line in rest if "Decoding image files" in line]
    assert min(int(line.split()[0]) for line in went_on) > 8
    assert second.wait() == 0
    check(load(files))
    assert not tried
