"""Image files become arrays of one shape, whatever their format, mode and orientation."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mutations import N_MUTATIONS, mutate_bytes
from PIL import Image

from kerasgrid.data import pictures as reading
from kerasgrid.data.cache import cached
from kerasgrid.data.pictures import Picture, Pictures, decode_chunks, image_of
from kerasgrid.data.samples import Samples
from kerasgrid.errors import DataError
from kerasgrid.machine import peak_memory_bytes
from kerasgrid.records import Target

N_DAMAGED = 500 if N_MUTATIONS >= 1000 else 30
"""Damaged files: all of them at night."""


def coloured(height=6, width=8):
    """A picture whose left half is red and right half is blue, with a dark corner at its top left."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    pixels[0, 0] = 0
    return Image.fromarray(pixels)


def pictures(*files, image=(6, 8, 3), fit="stretch", skip_bad=False, resample="bilinear"):
    given = (file if isinstance(file, Picture) else Picture(file) for file in files)
    return Pictures(tuple(given), image, fit, resample, skip_bad, "photos")


def decoded(*files, **options):
    return np.concatenate(list(decode_chunks(pictures(*files, **options), 2)))


def save(image, path, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        *((f"a.{mode}.png", mode, {}) for mode in ("RGB", "RGBA", "P")),
        ("a.bmp", "RGB", {}),
        ("a.dib", "RGB", {}),
        ("a.gif", "P", {}),
        *((f"a.{mode}.webp", mode, {"lossless": True}) for mode in ("RGB", "RGBA")),
        *((f"a.{mode}.tif", mode, {}) for mode in ("RGB", "RGBA", "P", "CMYK")),
        ("packed.tif", "RGB", {"compression": "tiff_lzw"}),
        ("of_another_suffix.png", "RGB", {"format": "BMP"}),
        ("transparent.png", "P", {"transparency": 0}),
    ],
)
def test_formats_and_modes_become_colours(tmp_path, name, mode, options):
    path = save(coloured().convert(mode), tmp_path / name, **options)
    np.testing.assert_array_equal(decoded(path)[0], np.asarray(coloured()))


def test_jpegs_become_colours_within_their_loss(tmp_path):
    for mode in ("RGB", "CMYK", "L"):
        image = coloured(48, 64).convert(mode)
        path = save(image, tmp_path / f"{mode}.jpg", quality=95, subsampling=0)
        wanted = np.asarray(image.convert("RGB"), np.int16)
        assert np.abs(decoded(path, image=(48, 64, 3))[0] - wanted).mean() < 4


def shades(mode):
    """Four shades, of as many bits as the mode has."""
    if mode == "I;16":
        return Image.fromarray(np.array([[0, 255, 256, 65_535]], np.uint16))
    if mode == "I":
        return Image.fromarray(np.array([[0, 255, 256, 65_535]], np.int32))
    return Image.fromarray(np.array([[0, 0, 1, 255]], np.uint8)).convert(mode)


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.png", "L"), ("a.png", "LA"), ("a.png", "I;16"), ("a.tif", "I;16"), ("a.tif", "I"), ("a.bmp", "L")],
)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_greys(tmp_path, name, mode, channels):
    """Of 16 bits the upper 8 are taken."""
    path = save(shades(mode), tmp_path / name)
    wanted = np.repeat(np.array([0, 0, 1, 255], np.uint8).reshape(1, 4, 1), channels, axis=2)
    if channels == 4:
        wanted[..., 3] = 255
    np.testing.assert_array_equal(decoded(path, image=(1, 4, channels))[0], wanted)


def test_black_and_white(tmp_path):
    path = save(Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1"), tmp_path / "a.png")
    assert decoded(path, image=(1, 2, 1)).ravel().tolist() == [0, 255]


def test_colours_become_grey_and_transparency_stays(tmp_path):
    path = save(coloured(), tmp_path / "a.png")
    np.testing.assert_array_equal(
        decoded(path, image=(6, 8, 1))[0, ..., 0], np.asarray(coloured().convert("L"))
    )
    clear = coloured().convert("RGBA")
    clear.putalpha(7)
    path = save(clear, tmp_path / "b.png")
    assert (decoded(path, image=(6, 8, 4))[0, ..., 3] == 7).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_orientation_is_honoured(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = coloured(32, 64)
    path = save(image, tmp_path / name, exif=exif, quality=100)
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    upright = image.transpose(turns[orientation]) if orientation in turns else image
    shape = (upright.height, upright.width, 3)
    assert image_of([Picture(path)], None, "photos") == shape
    assert np.abs(decoded(path, image=shape)[0].astype(int) - np.asarray(upright)).mean() < 12


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_what_lies_turned_in_its_file_fits_as_what_stands_upright(tmp_path, fit, orientation):
    image = coloured(33, 61)
    upright = save(image, tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = orientation
    back = {6: 8, 8: 6}.get(orientation, orientation)
    lying = image.transpose(Image.Transpose[reading._TURNS[back].upper()])
    turned = save(lying, tmp_path / "turned.png", exif=exif)
    both = decoded(upright, turned, image=(20, 21, 3), fit=fit).astype(int)
    assert np.abs(both[0] - both[1]).max() <= 2


def test_a_damaged_description_is_no_damaged_image(tmp_path):
    path = save(coloured(), tmp_path / "a.jpg", exif=b"Exif\0\0" + b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 40)
    assert decoded(path).shape == (1, 6, 8, 3)


def test_the_first_frame_and_the_first_page_are_taken(tmp_path):
    others = [Image.new("RGB", (8, 6), shade) for shade in ("white", "green")]
    for name in ("a.gif", "a.tif", "a.webp", "a.png"):
        options = {"lossless": True} if name == "a.webp" else {}
        path = save(coloured(), tmp_path / name, save_all=True, append_images=others, **options)
        np.testing.assert_array_equal(decoded(path)[0], np.asarray(coloured()))


@pytest.mark.parametrize(
    ("fit", "wanted"),
    [
        ("stretch", ["rrbb", "rrbb", "rrbb", "rrbb"]),
        ("pad", ["....", "rrbb", "rrbb", "...."]),
        ("crop", ["rrbb", "rrbb", "rrbb", "rrbb"]),
    ],
)
def test_fit(tmp_path, fit, wanted):
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4, 0] = pixels[:, 4:, 2] = 255
    found = decoded(
        save(Image.fromarray(pixels), tmp_path / "a.png"), image=(4, 4, 3), fit=fit, resample="box"
    )
    names = {(0, 0, 0): ".", (255, 0, 0): "r", (0, 0, 255): "b"}
    assert ["".join(names[tuple(pixel)] for pixel in row) for row in found[0].tolist()] == wanted


def test_crop_takes_the_middle(tmp_path):
    pixels = np.arange(8, dtype=np.uint8)[None].repeat(4, axis=0)
    path = save(Image.fromarray(pixels), tmp_path / "a.png")
    assert decoded(path, image=(4, 4, 1), fit="crop")[0, 0].ravel().tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("resample", ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_resample_is_pillows(tmp_path, resample):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    path = save(image, tmp_path / "a.png")
    wanted = image.resize((7, 5), Image.Resampling[resample.upper()])
    np.testing.assert_array_equal(decoded(path, image=(5, 7, 3), resample=resample)[0], np.asarray(wanted))


def test_a_jpeg_that_becomes_much_smaller_is_close_to_what_it_would_be(tmp_path):
    """Decoded at a fraction of its size, with what sticks out of that left out."""
    image = coloured(6, 8).resize((797, 603), Image.Resampling.BICUBIC)
    path = save(image, tmp_path / "a.jpg", quality=95)
    for size in ((64, 48), (100, 75), (300, 200), (318, 241)):
        whole = np.asarray(Image.open(path).resize(size, Image.Resampling.BILINEAR), np.int16)
        assert np.abs(decoded(path, image=(size[1], size[0], 3))[0] - whole).max() <= 6


def test_members_of_an_archive(tmp_path):
    path = tmp_path / "photos.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place in range(5):
            data = io.BytesIO()
            Image.new("RGB", (8, 6), (place, 0, 0)).save(data, "PNG")
            archive.writestr(f"train/{place}.png", data.getvalue())
        archive.writestr("train/bad.png", b"no image")
    members = [Picture(path, f"train/{place}.png") for place in range(5)]
    assert decoded(*members)[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert image_of(members, None, "photos") == (6, 8, 3)
    with pytest.raises(DataError) as told:
        decoded(*members, Picture(path, "train/bad.png"), Picture(path, "train/none.png"))
    assert "photos.zip: train/bad.png is no image" in str(told.value)
    assert "photos.zip: train/none.png cannot be decoded" in str(told.value)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"photos\.zip: no \.zip file, or a damaged one"):
        decoded(*members)


def test_rows_come_in_order_and_as_many_as_are_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_MOST_ROWS", 2)
    files = [save(Image.new("L", (1, 1), place), tmp_path / f"{place}.png") for place in range(7)]
    chunks = list(decode_chunks(pictures(*files, image=(1, 1, 1)), 3))
    assert [chunk.ravel().tolist() for chunk in chunks] == [[0, 1, 2], [3, 4, 5], [6]]


def test_they_are_indexed_as_an_array_is(tmp_path):
    files = [tmp_path / f"{place}.png" for place in range(5)]
    whole = pictures(*files)
    assert (whole.shape, whole.dtype, whole.ndim, len(whole)) == ((5, 6, 8, 3), np.uint8, 4, 5)
    assert whole.nbytes == 5 * 6 * 8 * 3
    for rows in (np.array([3, 1]), slice(1, 3), np.arange(5) > 2):
        assert [one.path for one in whole[rows].files] == np.array(files)[rows].tolist()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(width=30_000, height=30_000):
    """A few bytes that say to be an image of many pixels."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def cut(image, suffix):
    data = io.BytesIO()
    image.save(data, suffix)
    return data.getvalue()[: len(data.getvalue()) // 2]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"", "is empty"),
        (b"id,label\n1,2\n", "is no image of a format that is read, or its header is damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is no image of a format that is read"),
        (huge_png(), "says to have 900,000,000 pixels, more than 178,956,970, and none was unpacked"),
        (huge_png(100, 100), "cannot be decoded"),
        (cut(coloured(600, 800), "JPEG"), "cannot be decoded (image file is truncated"),
        (cut(coloured(60, 80), "BMP"), "cannot be decoded (image file is truncated"),
    ],
)
def test_what_is_no_image_is_told(tmp_path, data, fault):
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(DataError) as told:
        decoded(path)
    first, second, last = str(told.value).split("\n")
    assert first == "photos: 1 image file of 1 cannot be decoded:"
    assert second.startswith(f"  a.jpg {fault}")
    assert last == "Each has a row in what is predicted: fetch them again."


def test_the_bound_of_pixels_holds_where_pillows_is_lifted(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    path = tmp_path / "a.png"
    path.write_bytes(huge_png())
    with pytest.raises(DataError, match="says to have 900,000,000 pixels"):
        decoded(path)


@pytest.mark.parametrize(
    ("image", "fault"),
    [
        (Image.fromarray(np.ones((2, 2), np.float32)), "has pixels of floats"),
        (Image.fromarray(np.full((2, 2), 70_000, np.int32)), "has pixels of more than 16 bits"),
    ],
)
def test_what_has_no_white_is_told(tmp_path, image, fault):
    with pytest.raises(DataError, match=fault):
        decoded(save(image, tmp_path / "a.tif"))


def test_faults_are_told_together_and_left_out_where_asked(tmp_path):
    files = [save(coloured(), tmp_path / f"{number}.png") for number in range(20)]
    for bad in files[4:18]:
        bad.write_bytes(b"no image")
    whole = Samples(pictures(*files), np.arange(20) % 2, Target("classes", ("a", "b")))
    with pytest.raises(DataError, match=r"photos: 14 image files of 20 cannot be decoded") as told:
        cached("bad", "photos", lambda: whole)
    assert str(told.value).count(".png is no image") == 12
    assert "\n  and 2 more\nFetch them again, or leave them out with data.skip_bad: true." in str(told.value)
    left = Samples(pictures(*files, skip_bad=True), whole.labels, whole.target, weights=np.arange(20.0))
    data = cached("left", "photos", lambda: left)
    assert data.images.shape == (6, 6, 8, 3)
    assert data.weights.tolist() == [0, 1, 2, 3, 18, 19]
    (line,) = data.report
    assert line.startswith("files: 14 images of 20 cannot be decoded, left out: '4.png', '5.png'")


def test_large_images_are_held_against_free_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_LARGE_PIXELS", 10)
    path = save(coloured(), tmp_path / "a.png")
    np.testing.assert_array_equal(decoded(path)[0], np.asarray(coloured()))
    monkeypatch.setattr("kerasgrid.machine.free_memory_bytes", lambda: 100)
    with pytest.raises(DataError, match=r"a\.png cannot be read: a\.png: needs 384 bytes of memory"):
        decoded(path)


@pytest.mark.parametrize(
    ("sizes", "image", "told"),
    [
        ([(6, 8)], (7, 9, 2), r"data\.image is \[7, 9, 2\], of 2 channels\. Image files become 1 \(grey\)"),
        (
            [(6, 8), (6, 8), (5, 5)],
            None,
            r"images of 2 sizes, height x width: 6 x 8 \(2\), 5 x 5 \(1\)\. Say",
        ),
        ([None, None], None, "none of 2 files is an image that can be read"),
    ],
)
def test_what_they_become_is_asked_for(tmp_path, sizes, image, told):
    files = []
    for place, size in enumerate(sizes):
        files.append(tmp_path / f"{place}.png")
        if size is None:
            files[-1].write_bytes(b"no image")
        else:
            coloured(*size).save(files[-1])
    with pytest.raises(DataError, match=f"^photos: {told}"):
        image_of(list(map(Picture, files)), image, "photos")


def test_damaged_headers_are_told_with_sizes_unless_they_are_left_out(tmp_path):
    files = [save(coloured(*size), tmp_path / f"{size[0]}.png") for size in ((6, 8), (5, 5))]
    files.append(tmp_path / "bad.png")
    files[-1].write_bytes(b"")
    for skip_bad in (False, True):
        with pytest.raises(DataError, match="images of 2 sizes") as told:
            image_of(list(map(Picture, files)), None, "photos", skip_bad=skip_bad)
        assert ("\n  bad.png is empty\n" in str(told.value)) is not skip_bad


def test_what_they_become_is_read_off_their_headers(tmp_path):
    grey = [Picture(save(Image.new("L", (8, 6)), tmp_path / f"{place}.png")) for place in range(3)]
    colour = Picture(save(coloured(), tmp_path / "a.png"))
    bad = Picture(tmp_path / "bad.png")
    bad.path.write_bytes(b"")
    assert image_of([*grey, bad], None, "photos") == (6, 8, 1)
    assert image_of([*grey, colour], None, "photos") == (6, 8, 3)
    assert image_of([colour], (2, 3, 4), "photos") == (2, 3, 4)


def damaged(seed):
    """Returns the bytes of an image file that is cut, flipped, of another kind, or says to be huge."""
    chance, data = random.Random(seed), io.BytesIO()
    kind = chance.choice(["JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"])
    noise = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (24, 32, 3), np.uint8))
    options = (
        {"compression": chance.choice(["raw", "tiff_lzw", "jpeg", "tiff_deflate"])} if kind == "TIFF" else {}
    )
    noise.convert("P" if kind == "GIF" else "RGB").save(data, kind, **options)
    whole = data.getvalue()
    match chance.randrange(5):
        case 0:
            return whole[: chance.randrange(len(whole))]
        case 1:
            return mutate_bytes(whole, chance)
        case 2:
            return mutate_bytes(whole[:80], chance) + whole[80:]
        case 3:
            size = chance.choice([30_000, 13_000, 65_535])
            if kind == "JPEG" and (at := whole.find(b"\xff\xc0")) > 0:
                return whole[: at + 5] + struct.pack(">HH", size, size) + whole[at + 9 :]
            if kind == "BMP":
                return whole[:18] + struct.pack("<ii", size, size) + whole[26:]
            return huge_png(size, size)
        case _:
            return chance.choice([b"", b"\0" * 100, b"PK\3\4" + whole, b"<svg></svg>", whole[::-1]])


def count_damaged(folder):
    """Reads damaged files, and prints how many are images all the same, and how many bytes that took."""
    files = []
    for seed in range(N_DAMAGED):
        files.append(folder / f"{seed}.jpg")
        files[-1].write_bytes(damaged(seed))
    good = [save(coloured(), folder / f"good{place}.png") for place in range(2)]
    labels, target = np.arange(len(files) + 2) % 2, Target("classes", ("a", "b"))
    before, counts = peak_memory_bytes(), Counter()
    refused = Samples(pictures(*files, *good), labels, target)
    try:
        cached("refused", "photos", lambda: refused)
    except DataError as error:
        counts["told"] = int(str(error).split()[1])
    left = Samples(pictures(*files, *good, skip_bad=True), labels, target)
    counts["left"] = len(cached("left", "photos", lambda: left))
    counts["bytes"] = peak_memory_bytes() - before
    print(dict(counts))


@pytest.mark.slow
def test_damaged_files_are_named_or_left_out_within_bounded_memory(tmp_path):
    here = Path(__file__).parent
    code = f"import sys; sys.path[:0] = {[str(here), str(here.parent)]}\n"
    code += "import test_pictures; test_pictures.count_damaged(test_pictures.Path('.'))"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert not found.returncode, found.stderr
    counts = eval(found.stdout)
    assert counts["told"] > N_DAMAGED // 2
    assert counts["told"] + counts["left"] == N_DAMAGED + 2
    assert counts["bytes"] < 2 << 30
    assert all(line.startswith("JPEGLib: ") for line in found.stderr.splitlines())  # within libtiff
