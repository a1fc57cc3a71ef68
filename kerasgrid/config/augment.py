"""Augmentation and normalisation of images in ImageDataGenerator's terms. Imports no Keras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator

from kerasgrid.config.validation import Section
from kerasgrid.errors import Fault

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Shift = (
    Annotated[int, Field(ge=0)]
    | NotNegative
    | Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
)
Pair = Annotated[list[NotNegative], Field(min_length=2, max_length=2)]
Odd = Annotated[int, Field(ge=1)]

_LAST_SIGN = 61  # of 10 digits, 26 capitals and 26 small letters, from 0
_FEWEST_LETTERS = 10
_LOOKED_AT = 500
_GROUND = 0.2
"""The share of pixels that have one value: 0.5 and more of digits, some hundredths of photographs."""

_OPERATIONS = {
    "affine": {"rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range"},
    "channels": {"channel_shift_range"},
    "flips": {"horizontal_flip", "vertical_flip"},
    "brightness": {"brightness_range"},
    "blur": {"blur_sigma"},
}


class Augment(Section):
    """What happens to each image of a batch before the model sees it, drawn anew in every epoch."""

    rotation_range: NotNegative = 0.0
    """Degrees: the angle is drawn from -rotation_range to rotation_range."""
    width_shift_range: Shift = 0.0
    """Below 1 a share of the size, from 1 pixels; a whole number n draws from 0 to n - 1 pixels, either sign;
    a list draws one of its items, either sign."""
    height_shift_range: Shift = 0.0
    """As width_shift_range. Which axis each shifts is as in Keras's own ImageDataGenerator."""
    shear_range: NotNegative = 0.0
    """Degrees: the angle is drawn from -shear_range to shear_range."""
    zoom_range: NotNegative | Pair = 0.0
    """z for 1 - z to 1 + z, or [lowest, highest]; each axis draws its own."""
    horizontal_flip: bool = False
    """Flips every other image left to right."""
    vertical_flip: bool = False
    """Flips every other image upside down."""
    brightness_range: Pair | None = None
    """[lowest, highest] factor; pixels stay between 0 and 255, or 0 and 1 where no pixel of the data is above
    1. An image with a pixel beyond that is changed between its own lowest and highest pixel."""
    channel_shift_range: NotNegative = 0.0
    """Added to all pixels of an image, within its own lowest and highest; in units of the data's pixels."""
    blur_sigma: NotNegative | Pair = 0.0
    """Standard deviation of a Gaussian blur, in pixels: one, or [lowest, highest]."""
    blur_kernel_size: Odd | Annotated[list[Odd], Field(min_length=2, max_length=2)] = 5
    """Odd: of both axes, or [width, height]."""
    fill_mode: Literal["constant", "nearest", "reflect", "wrap"] = "nearest"
    """What is beyond the border: cval, the nearest pixel, the image mirrored, or the image again."""
    cval: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    """What `constant` fills with, in units of the data's pixels."""
    rescale: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Pixels are multiplied by it after all of the above."""
    samplewise_center: bool = False
    """Subtracts each image's own mean."""
    samplewise_std_normalization: bool = False
    """Divides by each image's own standard deviation, and subtracts its mean before, as samplewise_center."""
    featurewise_center: bool = False
    """Subtracts the mean of the training images, a channel each."""
    featurewise_std_normalization: bool = False
    """Divides by the standard deviation of the training images, a channel each, and subtracts their mean
    before, as featurewise_center."""
    preprocessing_function: Annotated[str, Field(min_length=1)] | None = None
    """module:function or file.py:function, of one image (height, width, channel) float32, to be of the same
    shape, before rescale."""

    @field_validator("zoom_range", "brightness_range", "blur_sigma")
    @classmethod
    def _in_order(cls, value: object) -> object:
        if isinstance(value, list) and value[0] > value[1]:
            raise ValueError(f"is {value}; [lowest, highest] holds.")
        return value

    @field_validator("zoom_range")
    @classmethod
    def _above_zero(cls, value: float | list[float]) -> float | list[float]:
        lowest = value[0] if isinstance(value, list) else 1 - value
        if lowest <= 0:
            found = value if isinstance(value, list) else f"{value:g}"
            raise ValueError(f"is {found}, which zooms to nothing; below 1, or a pair above 0 holds.")
        return value

    def center_and_spread(self, mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns what is subtracted of rescaled images and what they are divided by, (channel,) each.

        Args:
            mean: (channel,) of the training images.
            std: (channel,) of the training images.
        """
        mean, std = mean * (self.rescale or 1), std * (self.rescale or 1)
        return (
            mean if self.has_statistics else np.zeros_like(mean),
            std + 1e-6 if self.featurewise_std_normalization else np.ones_like(std),
        )

    @property
    def operations(self) -> frozenset[str]:
        """What is done to a batch: of `affine`, `channels`, `flips`, `brightness` and `blur`."""
        return frozenset(name for name, keys in _OPERATIONS.items() if keys & self.model_fields_set)

    @property
    def has_statistics(self) -> bool:
        """Whether it needs the training images' mean, or that and their deviation."""
        return self.featurewise_center or self.featurewise_std_normalization

    @property
    def may_scale(self) -> bool:
        """Whether images leave it in another range: normalised, or by a function that may do anything."""
        normalizes = self.rescale is not None or self.has_statistics or self.subtracts_own_mean
        return normalizes or self.preprocessing_function is not None

    @property
    def subtracts_own_mean(self) -> bool:
        """Whether each image's own mean is subtracted."""
        return self.samplewise_center or self.samplewise_std_normalization

    @field_validator("blur_kernel_size")
    @classmethod
    def _odd(cls, value: object) -> object:
        if any(size % 2 == 0 for size in _pair(value)):
            raise ValueError(f"is {value}; odd numbers hold.")
        return value


NUMBERS = (
    *("rotation", "height", "height_whole", "width", "width_whole", "shear", "zoom_from", "zoom_to"),
    *("flip_x", "flip_y", "channel", "bright_from", "bright_to", "blur_from", "blur_to"),
)


@dataclass(frozen=True)
class Augmentation:
    """The operations on a batch of images, and how strong they are.

    Attributes:
        operations: Of `affine`, `channels`, `flips`, `brightness` and `blur`.
        numbers: How strong, in the order of `NUMBERS`.
        fill_mode: Of the affine transform.
        cval: What `constant` fills with.
        choices: The shifts in pixels to choose from, of height and width; empty where a range is drawn.
        kernel: The blur's sizes, width and height.
        top: The highest value that brightness leaves a pixel, where the image has none above it or below 0.
        rescale: Images are multiplied by it after that, those that are held out too; None for not.
        samplewise: Whether each image's mean is subtracted then, and it is divided by its deviation.
    """

    operations: frozenset[str] = frozenset()
    numbers: tuple[float, ...] = ()
    fill_mode: str = "nearest"
    cval: float = 0.0
    choices: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    kernel: tuple[int, int] = (1, 1)
    top: float = 255.0
    rescale: float | None = None
    samplewise: tuple[bool, bool] = (False, False)

    @classmethod
    def of(cls, given: Augment | None, images: np.ndarray, scale: float | None = None) -> Augmentation:
        """Returns what a config asks for.

        Args:
            given: The config. What it names is an operation, also where it is 0; None for no augmentation.
            images: (sample, height, width, channel), as they are stored.
            scale: What they are divided by before they are augmented; strengths are in units of before.
        """
        if given is None:
            return cls()
        operations, normalizing = given.operations, cls.normalizing(given)
        if not operations:
            return normalizing
        unit = 1 / (scale or 1)
        height, height_choices = _shift(given.height_shift_range, images.shape[1])
        width, width_choices = _shift(given.width_shift_range, images.shape[2])
        zoom = given.zoom_range
        numbers = (
            given.rotation_range,
            *height,
            *width,
            given.shear_range,
            *(zoom if isinstance(zoom, list) else (1 - zoom, 1 + zoom)),
            given.horizontal_flip,
            given.vertical_flip,
            given.channel_shift_range * unit,
            *(given.brightness_range or (1, 1)),
            *_pair(given.blur_sigma),
        )
        return cls(
            operations,
            tuple(float(number) for number in numbers),
            given.fill_mode,
            given.cval * unit,
            (height_choices, width_choices),
            _pair(given.blur_kernel_size),
            _top(images) * unit if "brightness" in operations else 0.0,
            normalizing.rescale,
            normalizing.samplewise,
        )

    @classmethod
    def normalizing(cls, given: Augment | None) -> Augmentation:
        """Returns what is done to images that are held out too, without what needs the training images."""
        if given is None:
            return cls()
        samplewise = (given.subtracts_own_mean, given.samplewise_std_normalization)
        return cls(rescale=given.rescale, samplewise=samplewise)

    @property
    def drawn(self) -> Augmentation:
        """What is drawn for the images that are trained on, without what is done to all."""
        return replace(self, rescale=None, samplewise=(False, False))

    @property
    def structure(self) -> list[Any]:
        """What a program depends on: all but the numbers, as plain data; empty where nothing is done."""
        about: list[Any] = []
        if self.rescale is not None or any(self.samplewise):
            about += [self.rescale, self.samplewise]
        if self.operations:
            about += [sorted(self.operations), self.fill_mode, self.cval, self.choices, self.kernel, self.top]
        return about


NOTHING = Augmentation()


def faults_of_augment(
    given: Augment, images: np.ndarray | None, scale: float | None, center: str | None
) -> Iterator[Fault]:
    """Yields what keeps augmentation from being done to these data, at `augment` or `augment.KEY`.

    Args:
        images: (sample, ...), as they are stored; None where they are not known.
        scale: What the config divides them by.
        center: The key by which the config centres them, such as `data.standardize`; None for none.
    """
    if given.rescale is not None and scale is not None:
        yield Fault("augment.rescale", "multiplies pixels that data.scale divides already: keep one of them.")
    if given.has_statistics and center is not None:
        name = "featurewise_center" if given.featurewise_center else "featurewise_std_normalization"
        yield Fault(f"augment.{name}", f"is done by {center} already: keep one of them.")
    operations = given.operations
    if images is None or not (operations or given.subtracts_own_mean):
        return
    if images.ndim != 4:
        own = "samplewise_center" if given.samplewise_center else "samplewise_std_normalization"
        yield Fault(
            "augment" if operations else f"augment.{own}",
            f"is for images, and each sample has the shape {images.shape[1:]}: leave it out.",
        )
        return
    for size, length in zip(_pair(given.blur_kernel_size), images.shape[2:0:-1], strict=True):
        if "blur" in operations and size // 2 >= length:
            holds = f"at most {2 * length - 1} holds"
            message = f"is {size}, and images have {length} pixels there; {holds}."
            yield Fault("augment.blur_kernel_size", message)
            return


def idle_keys(given: Augment) -> Iterator[Fault]:
    """Yields what is given and changes nothing, at `augment.KEY`: it goes with a key that is not given."""
    named, leave = given.model_fields_set, "or leave it out."
    if "blur_kernel_size" in named and "blur" not in given.operations:
        yield Fault(
            "augment.blur_kernel_size", f"is the size of a blur, and there is none: give blur_sigma, {leave}"
        )
    for key in sorted(named & {"fill_mode", "cval"}):
        if "affine" not in given.operations:
            what = "is of what rotation, shift, shear or zoom leave empty, and there is none of them"
            yield Fault(f"augment.{key}", f"{what}: give one, {leave}")
        elif key == "cval" and given.fill_mode != "constant":
            what = f"is of fill_mode: constant, and fill_mode is {given.fill_mode}"
            yield Fault("augment.cval", f"{what}: give fill_mode: constant, {leave}")


def warning_of_flips(
    given: Augment, classes: Sequence[Any], images: np.ndarray, are_digits: bool = False
) -> str | None:
    """Returns that digits or letters are flipped, or that these may be some; None for others.

    Args:
        classes: Their names; those of letters are often the numbers 1 to 26, or 0 to 46 or 61 beside digits.
        images: (sample, ...), as they are stored: what is written is of one colour, on a plain ground.
        are_digits: Whether they are known to be.
    """
    if not (given.horizontal_flip or given.vertical_flip):
        return None
    texts = [str(name) for name in classes]
    are_letters = len(texts) >= _FEWEST_LETTERS and all(len(text) == 1 and text.isalpha() for text in texts)
    are_numbers = all(text.isascii() and text.isdigit() and int(text) <= _LAST_SIGN for text in texts)
    are_signs = all(len(text) == 1 and text.isalnum() for text in texts) or are_numbers
    if are_digits or (are_letters and _look_written(images)):
        return "augment flips images of digits or letters, which are other signs then."
    if are_signs and _look_written(images):
        return "augment flips images: if these are digits or letters, they are other signs then."
    return None


def _look_written(images: np.ndarray) -> bool:
    """Tells whether images have no colours, and one value in much of them, as photographs have not."""
    some = np.asarray(images[:: max(1, len(images) // _LOOKED_AT)])
    if some.ndim == 4 and some.shape[-1] > 1:
        if (some != some[..., :1]).any():
            return False
        some = some[..., :1]
    return bool(np.unique(some, return_counts=True)[1].max() >= _GROUND * some.size)


def _pair(value: Any) -> tuple[Any, Any]:
    """Returns both items of a list, or one value twice."""
    return (value[0], value[1]) if isinstance(value, list) else (value, value)


def _top(images: np.ndarray) -> float:
    """Returns the highest value that a pixel usually has: of fractions 1, of others 255."""
    return 1.0 if images.dtype != np.uint8 and images.max() <= 1 else 255.0


def _shift(value: Any, size: int) -> tuple[tuple[float, float], tuple[float, ...]]:
    """Returns the range in pixels and the whole pixels that a shift draws from, and the choices of a list."""
    values = value if isinstance(value, list) else [value]
    unit = size if max(values) < 1 else 1
    if isinstance(value, list):
        return (0.0, 0.0), tuple(float(item * unit) for item in value)
    return ((0.0, float(value)) if isinstance(value, int) else (float(value * unit), 0.0)), ()
