"""Image files become arrays of one shape, whatever their format, mode and orientation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kerasgrid.data.arrays import Samples
from kerasgrid.data.cache import cached
from kerasgrid.data.pictures import Picture, Pictures, decode_chunks
from kerasgrid.errors import DataError
from kerasgrid.records import Target

RNG = np.random.default_rng(0)


def coloured(height=6, width=8):
    """A picture whose left half is red and right half is blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    return Image.fromarray(pixels)


def pictures(*files, image=(6, 8, 3), fit="stretch", skip_bad=False, resample="bilinear"):
    return Pictures(tuple(map(Picture, files)), image, fit, resample, skip_bad, "photos")


def decoded(*files, **options):
    return np.concatenate(list(decode_chunks(pictures(*files, **options), 2)))


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *(("png", mode) for mode in ("RGB", "RGBA", "P", "PA")),
        *(("bmp", "RGB"), ("gif", "P"), ("webp", "RGB"), ("webp", "RGBA"), ("tif", "RGB"), ("tif", "P")),
    ],
)
def test_formats_and_modes_become_colours(tmp_path, suffix, mode):
    if (suffix, mode) == ("png", "PA"):
        image = coloured().convert("P")
        image.info["transparency"] = 0
    else:
        image = coloured().convert(mode)
    options = {"lossless": True} if suffix == "webp" else {}
    image.save(tmp_path / f"a.{suffix}", **options)
    assert np.array_equal(decoded(tmp_path / f"a.{suffix}")[0], np.asarray(coloured()))


def test_faults_are_told_together_and_left_out_where_asked(tmp_path):
    files = []
    for number in range(20):
        files.append(tmp_path / f"{number}.png")
        coloured().save(files[-1])
    for bad in files[4:18]:
        bad.write_bytes(b"no image")
    whole = Samples(pictures(*files), np.arange(20) % 2, Target("classes", ("a", "b")))
    with pytest.raises(
        DataError, match=r"14 image files of 20 cannot be decoded:[\s\S]*4.png is no image"
    ) as told:
        cached("bad", "photos", lambda: whole)
    assert str(told.value).count(".png is no image") == 12
    assert "and 2 more" in str(told.value)
    left = Samples(pictures(*files, skip_bad=True), whole.labels, whole.target, weights=np.arange(20.0))
    data = cached("bad", "photos", lambda: left)
    assert data.images.shape == (6, 6, 8, 3)
    assert data.weights.tolist() == [0, 1, 2, 3, 18, 19]
    (line,) = data.report
    assert line.startswith("files: 14 images of 20 cannot be decoded, left out: '4.png', '5.png'")
    assert all(np.array_equal(image, np.asarray(coloured())) for image in data.images)
