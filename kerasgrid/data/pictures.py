"""Image files, decoded to one shape: JPEG, PNG, BMP, GIF, WebP and TIFF, in folders or in a .zip.

Of a GIF the first frame is taken, of a TIFF the first page; the orientation that a camera wrote (EXIF) is
honoured. Grey, palette, CMYK and transparent images become the channels that are asked for, transparency
being dropped where these are 1 or 3; of 16 bits the upper 8 are taken, as Pillow does of colours.
"""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from kerasgrid.data.arrays import CHUNK_BYTES, opened, product
from kerasgrid.errors import DataError
from kerasgrid.io import ZIP_DAMAGE
from kerasgrid.wording import count, shown_path

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
"""Of the files that are read as images, in small letters."""
MOST_PIXELS = 178_956_970
"""What Pillow takes for the most that is no decompression bomb; 10 times 18 megapixels."""
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_GREYS = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B"}
_ORIENTATION, _TURNED = 0x0112, {5, 6, 7, 8}
"""The tag of EXIF, and its values that exchange height and width."""
_TOLD = 12
"""Faults that are told by name."""
_DAMAGE = (OSError, ValueError, SyntaxError, TypeError, LookupError, EOFError, MemoryError, OverflowError)
"""What Pillow raises for damaged files, beside what zipfile does."""


@dataclass(frozen=True)
class Picture:
    """An image file, or a member of a .zip."""

    path: Path
    member: str | None = None

    @property
    def name(self) -> str:
        """What messages call it."""
        shown = shown_path(self.path)
        return shown if self.member is None else f"{shown}: {self.member}"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images that are still in their files: stands in the place of an array until the cache decodes it.

    Attributes:
        files: One a sample.
        image: (height, width, channels) of what they become; 1, 3 or 4 channels.
        fit: As `data.fit`; and so are `resample` and `skip_bad`.
        where: How a message about all of them begins.
    """

    files: tuple[Picture, ...]
    image: tuple[int, int, int]
    fit: str
    resample: str
    skip_bad: bool
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        """(sample, height, width, channel)."""
        return len(self.files), *self.image

    @property
    def dtype(self) -> np.dtype:
        """Of what they become."""
        return np.dtype(np.uint8)

    @property
    def ndim(self) -> int:
        """4, as of arrays of images."""
        return 4

    @property
    def nbytes(self) -> int:
        """What they take once they are decoded."""
        return product(self.shape)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, rows: Any) -> Pictures:
        """Returns some of them, in the order of `rows`: indices, a mask or a slice."""
        places = np.arange(len(self.files))[rows]
        return replace(self, files=tuple(self.files[place] for place in places))


class _Reader:
    """Opens image files; of a .zip it keeps the table of members."""

    def __init__(self) -> None:
        self._archives: dict[Path, zipfile.ZipFile] = {}

    def close(self) -> None:
        for archive in self._archives.values():
            archive.close()

    @contextlib.contextmanager
    def open(self, picture: Picture) -> Iterator[IO[bytes]]:
        if picture.member is None:
            with opened(picture.path) as file:
                yield file
            return
        archive = self._archives.get(picture.path)
        if archive is None:
            archive = self._archives[picture.path] = zipfile.ZipFile(picture.path)
        with archive.open(picture.member) as member:
            yield io.BytesIO(member.read())


class _BadError(Exception):
    """An image file that cannot be decoded; its text follows the file's name."""


def _opened_image(file: IO[bytes]) -> Any:
    """Returns an image of which the header has been read, and no pixel.

    Raises:
        _BadError: It is none, or of more pixels than images have.
    """
    from PIL import Image, UnidentifiedImageError

    if not file.read(1):
        raise _BadError("is empty")
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of many pixels, which are counted below; of odd EXIF data
        try:
            image = Image.open(file, formats=_FORMATS)
        except UnidentifiedImageError as error:
            raise _BadError("is no image, or its header is damaged") from error
        except Image.DecompressionBombError as error:
            raise _BadError(
                f"says to have more than {MOST_PIXELS:,} pixels, and none was unpacked"
            ) from error
    if product(image.size) > MOST_PIXELS:
        raise _BadError(
            f"says to have {image.width:,} x {image.height:,} pixels, more than {MOST_PIXELS:,}, and none "
            "was unpacked"
        )
    return image


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Turns what files raise that are damaged into a _BadError."""
    try:
        yield
    except _BadError:
        raise
    except DataError as error:
        raise _BadError(f"cannot be read ({error})") from error
    except (*_DAMAGE, *ZIP_DAMAGE) as error:
        raise _BadError(f"cannot be decoded ({error or type(error).__name__})") from error


def _decode(reader: _Reader, picture: Picture, pictures: Pictures) -> np.ndarray:
    """Returns an image (height, width, channel), uint8.

    Raises:
        _BadError: It cannot be decoded.
    """
    from PIL import ImageOps

    height, width, channels = pictures.image
    with _faults(), reader.open(picture) as file, _opened_image(file) as image, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = _in_mode(ImageOps.exif_transpose(image), _MODES[channels])
        return np.asarray(_fitted(image, (width, height), pictures)).reshape(pictures.image)


def _in_mode(image: Any, mode: str) -> Any:
    """Returns an image of L, RGB or RGBA."""
    from PIL import Image

    if image.mode == mode:
        return image
    if image.mode.startswith("I"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65_535:
            raise _BadError("has pixels of more than 16 bits, of which nothing tells which are white")
        image = Image.fromarray((values >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise _BadError("has pixels of floats, of which nothing tells which are white")
    elif image.mode in ("P", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
    return image.convert(mode)


def _fitted(image: Any, size: tuple[int, int], pictures: Pictures) -> Any:
    """Returns an image of (width, height), stretched, padded with black or cropped."""
    from PIL import Image, ImageOps

    method = Image.Resampling[pictures.resample.upper()]
    if image.size == size:
        return image
    if pictures.fit == "pad":
        return ImageOps.pad(image, size, method, color=0)
    if pictures.fit == "crop":
        return ImageOps.fit(image, size, method)
    return image.resize(size, method)


def image_of(files: Sequence[Picture], image: Sequence[int] | None, where: str) -> tuple[int, int, int]:
    """Returns what image files become, (height, width, channels).

    Args:
        files: All of them, at least one.
        image: `data.image`; None to take what all files have, read from their headers.
        where: How a message begins.

    Raises:
        DataError: The files are of several sizes; or `image` has other channels than 1, 3 or 4.
    """
    if image is not None:
        height, width, channels = image
        if channels not in _MODES:
            raise DataError(
                f"{where}: data.image is {list(image)}, of {channels} channels. Image files become 1 (grey), "
                "3 (colours) or 4 (with transparency)."
            )
        return height, width, channels
    sizes: Counter[tuple[int, int]] = Counter()
    is_grey = True
    reader = _Reader()
    with contextlib.closing(reader):
        for picture in files:
            # What cannot be opened is told when it is decoded, or left out.
            with (
                contextlib.suppress(_BadError),
                _faults(),
                reader.open(picture) as file,
                _opened_image(file) as header,
            ):
                is_turned = header.getexif().get(_ORIENTATION, 1) in _TURNED
                sizes[header.size if is_turned else header.size[::-1]] += 1
                is_grey &= header.mode in _GREYS
    if not sizes:
        raise DataError(f"{where}: none of {count(len(files), 'file')} is an image that can be read.")
    (height, width), _ = sizes.most_common(1)[0]
    channels = 1 if is_grey else 3
    if len(sizes) > 1:
        common = ", ".join(f"{h} x {w} ({n:,})" for (h, w), n in sizes.most_common(3))
        more = ", ..." if len(sizes) > 3 else ""
        raise DataError(
            f"{where}: images of {len(sizes):,} sizes, height x width: {common}{more}. "
            f"Say what they become: data.image: [height, width, {channels}], such as [128, 128, {channels}], "
            "and by data.fit how."
        )
    return height, width, channels


def decode_chunks(pictures: Pictures, n: int) -> Iterator[np.ndarray]:
    """Yields all of them in their order, (row, height, width, channel), uint8.

    Args:
        pictures: None is left out, whatever `skip_bad` says: each has a row in what is predicted.
        n: Rows at a time, of all but the last.

    Raises:
        DataError: Some cannot be decoded; names them.
    """
    bad: list[tuple[Picture, str]] = []
    for images, _ in _chunks(pictures, n, bad):
        if not bad:
            yield images
    if bad:
        raise DataError(told_bad(pictures, bad, "Each has a row in what is predicted: fetch them again."))


def decode_good(
    pictures: Pictures, write: Callable[[np.ndarray], object]
) -> tuple[np.ndarray, list[tuple[Picture, str]]]:
    """Decodes all of them in their order, a few at a time.

    Args:
        pictures: Of which those that cannot be decoded are left out where `skip_bad` is.
        write: Takes images (row, height, width, channel), uint8.

    Returns:
        The places of those that were written, and each that was not, with its fault.

    Raises:
        DataError: Some cannot be decoded, and `skip_bad` is not; or none can.
    """
    bad: list[tuple[Picture, str]] = []
    kept = []
    for images, places in _chunks(pictures, max(1, CHUNK_BYTES // product(pictures.image)), bad):
        kept.append(places)
        if pictures.skip_bad or not bad:
            write(images)
    if bad and not pictures.skip_bad:
        raise DataError(
            told_bad(pictures, bad, "Fetch them again, or leave them out with data.skip_bad: true.")
        )
    places = np.concatenate(kept)
    if not len(places):
        raise DataError(told_bad(pictures, bad, "None is left to learn from."))
    return places, bad


def told_bad(pictures: Pictures, bad: Sequence[tuple[Picture, str]], what_to_do: str) -> str:
    """Returns a message that names the first files that cannot be decoded, and tells how many more."""
    lines = [f"  {picture.name} {fault}" for picture, fault in bad[:_TOLD]]
    if len(bad) > _TOLD:
        lines.append(f"  and {len(bad) - _TOLD:,} more")
    head = f"{pictures.where}: {count(len(bad), 'image file')} of {len(pictures):,} cannot be decoded:"
    return "\n".join([head, *lines, what_to_do])


def _chunks(
    pictures: Pictures, n: int, bad: list[tuple[Picture, str]]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields images and their places, and adds to `bad` those that cannot be decoded, with their faults."""
    reader = _Reader()
    with contextlib.closing(reader):
        for first in range(0, len(pictures), n):
            images, places = [], []
            for place, picture in enumerate(pictures.files[first : first + n], first):
                try:
                    images.append(_decode(reader, picture, pictures))
                    places.append(place)
                except _BadError as error:
                    bad.append((picture, str(error)))
            stacked = np.stack(images) if images else np.empty((0, *pictures.image), np.uint8)
            yield stacked, np.array(places, np.int64)
