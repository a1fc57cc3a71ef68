"""Image files, decoded to one shape: JPEG, PNG, BMP, GIF, WebP and TIFF, in folders or in a .zip.

Of a GIF the first frame is taken, of a TIFF the first page; the orientation that a camera wrote (EXIF) is
honoured. Grey, palette, CMYK and transparent images become the channels that are asked for, transparency
being dropped where these are 1 or 3; of 16 bits the upper 8 are taken, as Pillow does of colours.

Pillow decodes in threads: it lets go of Python's lock where it decodes, converts and resizes. A JPEG that
is to become much smaller is decoded at a half, a quarter or an eighth of its size, as Pillow's thumbnails
are, but never below one and a quarter of what it becomes, and resized from there by the filter that is named.
"""

from __future__ import annotations

import contextlib
import io
import math
import os
import re
import threading
import warnings
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from kerasgrid import machine
from kerasgrid.data.archives import opened_archive
from kerasgrid.data.arrays import check_memory, opened, product
from kerasgrid.data.digests import Form, form_of
from kerasgrid.errors import DataError
from kerasgrid.wording import count, listed, shown_path

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
"""Of the files that are read as images, in small letters."""
MOST_PIXELS = 178_956_970
"""What Pillow takes for the most that is no decompression bomb; 10 times 18 megapixels."""
_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "GIF", "WEBP", "TIFF")
_VERSION = 1
"""Of what is done beside Pillow's own work; another one where other pixels come of it."""
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_GREYS = {"1", "L", "LA", "I", "I;16", "I;16L", "I;16B"}
_ORIENTATION, _TURNED = 0x0112, {5, 6, 7, 8}
"""The tag of EXIF, and its values that exchange height and width."""
_TOLD, _LONGEST = 12, 200
"""Faults that are told by name, and what is told of each."""
_TURNS = {
    2: "flip_left_right",
    3: "rotate_180",
    4: "flip_top_bottom",
    5: "transpose",
    6: "rotate_270",
    7: "transverse",
    8: "rotate_90",
}
"""How Pillow sets upright what EXIF says of an image."""
_JPEG, _SMOOTH, _GAP = ("JPEG", "MPO"), ("bilinear", "hamming", "bicubic", "lanczos"), 1.25
"""Formats that are decoded at a fraction of their size, filters by which the rest is done, and how many times
what it becomes that fraction is at least."""
_MOST_ROWS, _BLOCK_BYTES = 64, 1 << 23
_LARGE_PIXELS, _BYTES_A_PIXEL = 25_000_000, 8
"""Images of more pixels are decoded one at a time; what each takes, a copy in another mode included."""
_LARGE = threading.Lock()
_SMALL_BYTES, _MOST_PACKED = 1 << 22, 1 << 28
"""Bytes of a file that is read at once, and of a member of a .zip at most, which is unpacked as a whole."""


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
        faults: What else is wrong with the samples, which is told with those that cannot be decoded.
    """

    files: tuple[Picture, ...]
    image: tuple[int, int, int]
    fit: str
    resample: str
    skip_bad: bool
    where: str
    faults: tuple[str, ...] = ()

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


def decoder() -> list[Any]:
    """Returns what decides, beside a file and what it becomes, which pixels it becomes, as a JSON value."""
    return [_VERSION, version("pillow")]


class _BadError(Exception):
    """An image file that cannot be decoded; its text follows the file's name."""


class Bad(NamedTuple):
    """An image file without an image.

    Attributes:
        place: Among all of them.
        fault: Follows the file's name.
        is_unread: Whether the file itself could not be read, which is not for `skip_bad` to leave out.
    """

    place: int
    fault: str
    is_unread: bool = False


class Known(NamedTuple):
    """Images that were decoded before.

    Attributes:
        rows: (file,), which of `images` each file became; -1 where it is none of them.
        images: (row, height, width, channel), uint8.
    """

    rows: np.ndarray
    images: np.ndarray


class Decoder:
    """Decodes image files, in as many threads as call it; a context manager."""

    def __init__(
        self, pictures: Pictures, forms: Mapping[Path, Form] | None = None, known: Known | None = None
    ) -> None:
        """Opens nothing yet.

        Args:
            forms: By what each file is known; one that has changed since is one that cannot be read. None
                where that does not matter.
            known: Images that are taken over.
        """
        self._pictures = pictures
        self._forms = forms
        self._known = known
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._opening = threading.Lock()
        self._at_ease = contextlib.ExitStack()

    def __enter__(self) -> Decoder:
        from PIL import Image

        Image.init()  # its formats, which threads would look for at the same time
        # Pillow warns of many pixels, which are counted here, and of odd descriptions, which are not used.
        self._at_ease.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module=r"PIL\.")
        return self

    def __exit__(self, *exception: object) -> None:
        self._at_ease.close()
        for archive in self._archives.values():
            archive.close()

    def rows(self, places: range, should_stop: Callable[[], bool]) -> tuple[np.ndarray, list[Bad]] | None:
        """Returns images (row, height, width, channel), uint8, black where there is none, and why.

        Args:
            places: Which of them.
            should_stop: Is asked before each; None is returned then.
        """
        images, bad = np.zeros((len(places), *self._pictures.image), np.uint8), []
        for row, place in enumerate(places):
            if should_stop():
                return None
            if self._known is not None and (there := self._known.rows[place]) >= 0:
                images[row] = self._known.images[there]
                continue
            try:
                images[row] = self._decoded(self._pictures.files[place])
            except _BadError as error:
                bad.append(Bad(place, str(error)))
            except DataError as error:
                bad.append(Bad(place, f"cannot be read: {error}", is_unread=True))
        return images, bad

    def size(self, picture: Picture) -> tuple[tuple[int, int], bool] | None:
        """Returns (height, width) of an image's header, and whether it is grey; None where it is damaged."""
        found = self.size_or_fault(picture)
        return None if isinstance(found, str) else found

    def size_or_fault(self, picture: Picture) -> tuple[tuple[int, int], bool] | str:
        """Returns what `size` does, or what is wrong with the header, as `Bad` has it."""
        try:
            with self._opened(picture) as file, _damage(), _header(file) as image:
                height, width = image.size if _orientation(image) in _TURNED else image.size[::-1]
                return (height, width), image.mode in _GREYS
        except (_BadError, DataError) as error:
            return str(error)

    def _decoded(self, picture: Picture) -> np.ndarray:
        with self._opened(picture) as file, _damage(), _header(file) as image:
            if product(image.size) <= _LARGE_PIXELS:
                return self._pixels(image)
            with _LARGE:
                check_memory(_BYTES_A_PIXEL * product(image.size), picture.name)
                return self._pixels(image)

    def _check(self, path: Path, file: IO[bytes]) -> None:
        """Raises a DataError where an open file is not what it was."""
        if self._forms is not None and form_of(os.fstat(file.fileno())) != self._forms[path]:
            raise DataError("it has changed meanwhile")

    def _pixels(self, image: Any) -> np.ndarray:
        """Returns an image that was opened as (height, width, channel), uint8."""
        from PIL import Image

        pictures, orientation = self._pictures, _orientation(image)
        mode, size = _MODES[pictures.image[2]], pictures.image[1::-1]
        whole = image.size
        if image.format in _JPEG and pictures.resample in _SMOOTH:
            wanted = size[::-1] if orientation in _TURNED else size
            drafted = image.draft(mode, tuple(math.ceil(_GAP * side) for side in wanted))
            whole = whole if drafted is None else drafted[1][2:]  # what of it is image, in parts of pixels
        image = _in_mode(image, mode)
        size, (left, top, right, bottom) = _placed(whole, size, orientation in _TURNED, pictures.fit)
        method = Image.Resampling[pictures.resample.upper()]
        image = image.resize(size, method, box=(left, top, right, bottom))
        if orientation in _TURNS:
            image = image.transpose(Image.Transpose[_TURNS[orientation].upper()])
        return _padded(np.asarray(image).reshape(image.height, image.width, -1), pictures.image)

    @contextlib.contextmanager
    def _opened(self, picture: Picture) -> Iterator[IO[bytes]]:
        """Opens an image file.

        Raises:
            DataError: It is missing, or cannot be read.
            _BadError: A member of a .zip is damaged, or no image by its size.
        """
        if picture.member is None:
            with opened(picture.path) as file:
                self._check(picture.path, file)
                is_small = os.fstat(file.fileno()).st_size <= _SMALL_BYTES
                yield io.BytesIO(file.read()) if is_small else file
                self._check(picture.path, file)
            return
        with self._opening:
            if picture.path not in self._archives:
                self._archives[picture.path] = opened_archive(picture.path)
        archive = self._archives[picture.path]
        if archive.fp is not None:
            self._check(picture.path, archive.fp)
        with _damage():
            info = archive.getinfo(picture.member)
            if info.file_size > _MOST_PACKED:
                raise _BadError(f"says to be {info.file_size:,} bytes, and was not unpacked")
            member = io.BytesIO(archive.read(info))
        yield member


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Turns what decoders raise for damaged files into a _BadError; what the system says stays as it is."""
    try:
        yield
    except (_BadError, DataError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise anything for bytes that mean nothing
        if isinstance(error, OSError) and error.errno is not None:
            raise
        said = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        raise _BadError(f"cannot be decoded ({said})") from error


def _header(file: IO[bytes]) -> Any:
    """Returns an image of which the header has been read, and no pixel.

    Raises:
        _BadError: It is none, or of more pixels than images have.
    """
    from PIL import Image, UnidentifiedImageError

    if not file.read(1):
        raise _BadError("is empty")
    file.seek(0)
    try:
        image = Image.open(file, formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise _BadError("is no image of a format that is read, or its header is damaged") from error
    except Image.DecompressionBombError as error:
        raise _huge(int(re.findall(r"[0-9]+", str(error))[0])) from error
    if product(image.size) > MOST_PIXELS:  # Pillow's own bound has been lifted
        raise _huge(product(image.size))
    return image


def _huge(n_pixels: int) -> _BadError:
    return _BadError(f"says to have {n_pixels:,} pixels, more than {MOST_PIXELS:,}, and none was unpacked")


def _orientation(image: Any) -> int:
    """Returns EXIF's orientation; 1, upright, where the description is damaged, as viewers show it."""
    try:
        return image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1


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


def _placed(
    whole: tuple[float, float], size: tuple[int, int], is_turned: bool, fit: str
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """Returns which part of an image becomes how large, both as the image lies in its file.

    Args:
        whole: Its width and height.
        size: The width and height of what it becomes, as it stands upright.
        is_turned: Whether upright its width is its height in the file.
        fit: As `data.fit`.

    Returns:
        Width and height of what the part becomes, and the part: left, top, right, bottom.
    """
    wide, high = size[::-1] if is_turned else size
    scales = wide / whole[0], high / whole[1]
    if fit == "pad":
        scale = min(scales)
        inner = (min(wide, max(1, round(scale * whole[0]))), min(high, max(1, round(scale * whole[1]))))
        return inner, (0, 0, *whole)
    if fit == "crop":
        part = wide / max(scales), high / max(scales)
        left, top = (whole[0] - part[0]) / 2, (whole[1] - part[1]) / 2
        return (wide, high), (left, top, min(whole[0], left + part[0]), min(whole[1], top + part[1]))
    return (wide, high), (0, 0, *whole)


def _padded(pixels: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns an image in the middle of black, where it is smaller."""
    if pixels.shape == shape:
        return pixels
    black = np.zeros(shape, np.uint8)
    top, left = (shape[0] - pixels.shape[0]) // 2, (shape[1] - pixels.shape[1]) // 2
    black[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return black


def image_of(
    files: Sequence[Picture], image: Sequence[int] | None, where: str, *, skip_bad: bool = True
) -> tuple[int, int, int]:
    """Returns what image files become, (height, width, channels).

    Args:
        files: All of them, at least one.
        image: `data.image`; None to take what all files have, read from their headers.
        where: How a message begins.
        skip_bad: Whether files whose headers are damaged are no faults, which are told with that of sizes.

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
    is_grey, bad = True, list[Bad]()
    unshaped = Pictures(tuple(files), (1, 1, 1), "stretch", "nearest", skip_bad, where)
    for place, found in enumerate(_headers(files)):
        if isinstance(found, str):
            bad.append(Bad(place, found))
            continue
        sizes[found[0]] += 1
        is_grey &= found[1]
    if not sizes:
        raise DataError(f"{where}: none of {count(len(files), 'file')} is an image that can be read.")
    (height, width), _ = sizes.most_common(1)[0]
    channels = 1 if is_grey else 3
    if len(sizes) > 1:
        common = ", ".join(f"{h} x {w} ({n:,})" for (h, w), n in sizes.most_common(3))
        more = ", ..." if len(sizes) > 3 else ""
        fault = (
            f"{where}: images of {len(sizes):,} sizes, height x width: {common}{more}. "
            f"Say what they become: data.image: [height, width, {channels}], such as [128, 128, {channels}], "
            "and by data.fit how."
        )
        refuse(replace(unshaped, faults=(fault,)), bad)
    return height, width, channels


def _headers(files: Sequence[Picture]) -> Iterator[tuple[tuple[int, int], bool] | str]:
    """Yields what each header says, as `Decoder.size_or_fault` does."""
    unshaped = Pictures(tuple(files), (1, 1, 1), "stretch", "nearest", False, "")
    with Decoder(unshaped) as decoder, ThreadPoolExecutor(machine.usable_cores()) as pool:
        yield from pool.map(decoder.size_or_fault, files)


def damaged_headers(files: Sequence[Picture]) -> list[Bad]:
    """Returns the image files that cannot be decoded as far as their headers show."""
    return [Bad(place, found) for place, found in enumerate(_headers(files)) if isinstance(found, str)]


def decode_chunks(pictures: Pictures, n: int) -> Iterator[np.ndarray]:
    """Yields all of them in their order, (row, height, width, channel), uint8.

    Args:
        pictures: None is left out, whatever `skip_bad` says: each has a row in what is predicted.
        n: Rows at a time, of all but the last.

    Raises:
        DataError: Some cannot be decoded; names them, once all have been tried.
    """
    bad: list[Bad] = []
    left: list[np.ndarray] = []
    n_rows = rows_at_once(pictures)
    for _, images, own in decode_blocks(pictures, range(0, len(pictures), n_rows), n_rows):
        bad += own
        left.append(images)
        if sum(map(len, left)) >= n and not bad:
            whole = np.concatenate(left)
            for first in range(0, len(whole) - n + 1, n):
                yield whole[first : first + n]
            left = [whole[len(whole) - len(whole) % n :]]
        elif bad:
            left = []
    if bad:
        raise DataError(told_bad(pictures, bad, "Each has a row in what is predicted: fetch them again."))
    whole = np.concatenate(left)
    if len(whole):
        yield whole


def rows_at_once(pictures: Pictures) -> int:
    """Returns how many images a thread decodes before it hands them over: some MiB, part of a second."""
    return max(1, min(_MOST_ROWS, _BLOCK_BYTES // product(pictures.image)))


def decode_blocks(
    pictures: Pictures,
    firsts: Iterable[int],
    n_rows: int,
    forms: Mapping[Path, Form] | None = None,
    known: Known | None = None,
) -> Generator[tuple[int, np.ndarray, list[Bad]]]:
    """Decodes blocks of images in threads, one a core, and yields them in the order that is asked for.

    No more than some blocks for each thread are held in memory. What ends the iteration ends the threads,
    each after the image at hand.

    Args:
        firsts: The place of each block's first image.
        n_rows: Images of a block, but for the last.
        forms: As in `Decoder`; and so is `known`.

    Yields:
        The first place, images (row, height, width, channel) uint8, black where there is none, and why.
    """
    n_threads, ended = machine.usable_cores(), threading.Event()
    waiting: deque[tuple[int, Future]] = deque()
    with (
        Decoder(pictures, forms, known) as decoder,
        ThreadPoolExecutor(n_threads, "kerasgrid-decode") as pool,
    ):
        try:
            for first in firsts:
                places = range(first, min(first + n_rows, len(pictures)))
                waiting.append((first, pool.submit(decoder.rows, places, ended.is_set)))
                if len(waiting) > 2 * n_threads:
                    yield _given(*waiting.popleft())
            while waiting:
                yield _given(*waiting.popleft())
        finally:
            ended.set()
            pool.shutdown(cancel_futures=True)


def _given(first: int, future: Future) -> tuple[int, np.ndarray, list[Bad]]:
    images, bad = future.result()
    return first, images, bad


def refuse(pictures: Pictures, bad: Sequence[Bad]) -> None:
    """Raises a DataError where samples have other faults, or images are bad that are not to be left out."""
    lines = list(pictures.faults)
    if any(one.is_unread for one in bad):
        lines.append(told_bad(pictures, bad, "See to it that they can be read, and begin again."))
    elif bad and not pictures.skip_bad:
        do = "Fetch them again, or leave them out with data.skip_bad: true."
        lines.append(told_bad(pictures, bad, do))
    if lines:
        raise DataError("\n".join(lines))


def told_left_out(names: Sequence[str], n_tried: int) -> str:
    """Returns a line on image files that cannot be decoded, of so many."""
    return f"files: {count(len(names), 'image')} of {n_tried:,} cannot be decoded, left out: {listed(names)}"


def told_bad(pictures: Pictures, bad: Sequence[Bad], what_to_do: str) -> str:
    """Returns a message that names the first files that cannot be decoded, and tells how many more."""
    lines = [f"  {pictures.files[one.place].name} {one.fault}" for one in bad[:_TOLD]]
    if len(bad) > _TOLD:
        lines.append(f"  and {len(bad) - _TOLD:,} more")
    head = f"{pictures.where}: {count(len(bad), 'image file')} of {len(pictures):,} cannot be decoded:"
    return "\n".join([head, *lines, what_to_do])
