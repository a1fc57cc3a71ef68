"""Augmentation and normalisation of images, named as in ImageDataGenerator. Imports no Keras."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationInfo, field_validator

from kerasgrid.config.validation import Section
from kerasgrid.errors import Fault
from kerasgrid.wording import count, percent

NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Shift = (
    Annotated[int, Field(ge=0)]
    | NotNegative
    | Annotated[list[Annotated[float, Field(allow_inf_nan=False)]], Field(min_length=1)]
)
Pair = Annotated[list[NotNegative], Field(min_length=2, max_length=2)]
Share = Annotated[float, Field(ge=0, le=1)]
Turn = Annotated[float, Field(ge=0, le=0.5)]
Turns = Annotated[
    list[Annotated[float, Field(ge=-0.5, le=0.5)]],
    Field(min_length=2, max_length=2),
]
Odd = Annotated[int, Field(ge=1)]

_LAST_SIGN = 61  # of 10 digits, 26 capitals and 26 small letters, from 0
_FEWEST_LETTERS = 10
_LOOKED_AT = 500
_LEAST_SHOWN = 0.5
"""A part of a digit or letter that is smaller may be that of others too."""
_HUES = {
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "turquoise",
    "blue",
    "purple",
    "violet",
    "magenta",
    "pink",
}
_WORDS = re.compile("[a-z]+")
_GROUND = 0.2
"""The share of pixels that have one value: 0.5 and more of digits, some hundredths of photographs."""

_GEOMETRY = {"rotation_range", "width_shift_range", "height_shift_range", "shear_range", "zoom_range"}
_OPERATIONS = {
    "affine": _GEOMETRY | {"crop_scale"},
    "channels": {"channel_shift_range"},
    "flips": {"horizontal_flip", "vertical_flip"},
    "brightness": {"brightness_range"},
    "blur": {"blur_sigma"},
    "crop": {"crop_scale"},
    "contrast": {"contrast_range"},
    "saturation": {"saturation_range"},
    "hue": {"hue_range"},
    "cutout": {"cutout_size"},
    "mixup": {"mixup_alpha"},
    "cutmix": {"cutmix_alpha"},
}
LATER = frozenset({"crop", "contrast", "saturation", "hue", "cutout", "mixup", "cutmix"})
"""Operations that have numbers and draws of their own, behind those of the others."""
MIXING = frozenset({"mixup", "cutmix"})
"""Operations that mix samples, and their labels with them."""
OF_COLOURS = {"saturation": "saturation_range", "hue": "hue_range"}
"""Operations on red, green and blue, and their keys."""
_OF_TRAINING = MIXING | {"cutout"}
_BOUNDED = {"brightness", "contrast", "saturation"}
"""Operations that leave a pixel between the lowest and the highest value of the data."""


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
    horizontal_flip: bool | Share = False
    """Flips images left to right: true for every other one, or a probability."""
    vertical_flip: bool | Share = False
    """Flips images upside down, likewise."""
    crop_scale: Annotated[float, Field(gt=0, le=1)] | Pair | None = None
    """Shows a part of the image at a random place, stretched to its size, as torchvision's RandomResizedCrop:
    s for a share of its area of s to 1, or [lowest, highest]."""
    crop_ratio: Pair | None = None
    """[lowest, highest] width of that part for a height of 1; [3/4, 4/3] where it is not given."""
    brightness_range: Pair | None = None
    """[lowest, highest] factor; pixels stay between 0 and 255, or 0 and 1 where no pixel of the data is above
    1. An image with a pixel beyond that is changed between its own lowest and highest pixel."""
    contrast_range: NotNegative | Pair = 0.0
    """c for a factor of 1 - c to 1 + c, not below 0, or [lowest, highest]: of each pixel's difference from
    the image's mean grey, as in torchvision's ColorJitter; within the bounds that brightness_range keeps."""
    saturation_range: NotNegative | Pair = 0.0
    """s for a factor of 1 - s to 1 + s, not below 0, or [lowest, highest]: of each pixel's difference from
    its own grey, likewise; a factor of 0 gives a grey image. Of images with red, green and blue."""
    hue_range: Turn | Turns = 0.0
    """h for -h to h, at most 0.5, or [lowest, highest]: turns of the hue in HSV, likewise. Of images with
    red, green and blue."""
    channel_shift_range: NotNegative = 0.0
    """Added to all pixels of an image, within its own lowest and highest; in units of the data's pixels."""
    blur_sigma: NotNegative | Pair = 0.0
    """Standard deviation of a Gaussian blur, in pixels: one, or [lowest, highest]."""
    blur_kernel_size: Odd | Annotated[list[Odd], Field(min_length=2, max_length=2)] = 5
    """Odd: of both axes, or [width, height]."""
    cutout_size: NotNegative = 0.0
    """Side of a square that is cut out around a random pixel (DeVries and Taylor 2017): below 1 a share of
    the image's shorter side, from 1 pixels. It may be partly beyond the border."""
    cutout_probability: Share = 1.0
    """Of an image to have a square cut out."""
    cutout_value: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """What the square is filled with, in units of the data's pixels; where it is not given, the image's own
    mean of each channel."""
    mixup_alpha: NotNegative = 0.0
    """Each image is mixed with the next one of its batch, and so are their labels, by shares that are drawn
    from the beta distribution of (alpha, alpha) (mixup, Zhang et al. 2017). 0 mixes none."""
    cutmix_alpha: NotNegative = 0.0
    """As mixup_alpha, but a rectangle of the next image is pasted into each, of so much of its area (CutMix,
    Yun et al. 2019). With both, each image takes either of them by chance."""
    mix_probability: Share = 1.0
    """Of an image to be mixed with another one by mixup_alpha or cutmix_alpha."""
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
    views: Annotated[int, Field(ge=1)] | None = None
    """Where a net has a frozen part that is computed once (training.frozen): so many augmented views of each
    sample are drawn before the first epoch, and each epoch takes one of them by chance. Without it such a net
    is computed whole in each step, as all others are."""
    preprocessing_function: Annotated[str, Field(min_length=1)] | None = None
    """module:function or file.py:function, of one image (height, width, channel) float32, to be of the same
    shape, before rescale."""

    @field_validator(
        *("zoom_range", "brightness_range", "blur_sigma", "crop_scale", "crop_ratio"),
        *("contrast_range", "saturation_range", "hue_range"),
    )
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

    @field_validator("crop_scale", "crop_ratio")
    @classmethod
    def _shows_some(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, list) and value[0] <= 0:
            raise ValueError(f"is {value}; numbers above 0 hold.")
        if info.field_name == "crop_scale" and isinstance(value, list) and value[1] > 1:
            raise ValueError(f"is {value}; shares of the image's area, at most 1, hold.")
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
        """What is done to a batch: names of `Augmentation.operations`."""
        return frozenset(name for name, keys in _OPERATIONS.items() if keys & self.model_fields_set)

    @property
    def of_views(self) -> frozenset[str]:
        """What is done to samples that are predicted in several views: neither cut out of nor mixed."""
        return self.operations - _OF_TRAINING

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed, and their labels with them."""
        return bool(self.operations & MIXING)

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
LATER_NUMBERS = (
    *("crop_from", "crop_to", "ratio_from", "ratio_to", "contrast_from", "contrast_to"),
    *("saturation_from", "saturation_to", "hue_from", "hue_to", "cutout_size", "cutout_probability"),
    *("mixup_alpha", "cutmix_alpha", "cutmix_share", "mix_probability"),
)
"""They follow where one of `LATER` is done."""


@dataclass(frozen=True)
class Augmentation:
    """The operations on a batch of images, and how strong they are.

    Attributes:
        operations: Of `affine`, `channels`, `flips`, `brightness`, `blur`, `crop`, `contrast`, `saturation`,
            `hue`, `cutout`, `mixup` and `cutmix`; a crop is a part of `affine`.
        numbers: How strong, in the order of `NUMBERS` and, where they are done, `LATER_NUMBERS`.
        fill_mode: Of the affine transform.
        cval: What `constant` fills with.
        choices: The shifts in pixels to choose from, of height and width; empty where a range is drawn.
        kernel: The blur's sizes, width and height.
        top: The highest value that brightness, contrast and saturation leave a pixel, where the image has
            none above it or below 0.
        rescale: Images are multiplied by it after that, those that are held out too; None for not.
        samplewise: Whether each image's mean is subtracted then, and it is divided by its deviation.
        hole: What a cut square is filled with; None for the image's own mean.
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
    hole: float | None = None

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
            *(_twice(flip) for flip in (given.horizontal_flip, given.vertical_flip)),
            given.channel_shift_range * unit,
            *(given.brightness_range or (1, 1)),
            *_pair(given.blur_sigma),
        )
        if operations & LATER:
            numbers += _later_numbers(given, images)
        return cls(
            operations,
            tuple(float(number) for number in numbers),
            given.fill_mode,
            given.cval * unit,
            (height_choices, width_choices),
            _pair(given.blur_kernel_size),
            _top(images) * unit if operations & _BOUNDED else 0.0,
            normalizing.rescale,
            normalizing.samplewise,
            None if given.cutout_value is None else given.cutout_value * unit,
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
    def of_views(self) -> Augmentation:
        """What is drawn for a view of samples that are predicted."""
        return replace(self, operations=self.operations - _OF_TRAINING)

    @property
    def mixes(self) -> bool:
        """Whether samples are mixed, and their labels with them."""
        return bool(self.operations & MIXING)

    @property
    def structure(self) -> list[Any]:
        """What a program depends on: all but the numbers, as plain data; empty where nothing is done."""
        about: list[Any] = []
        if self.rescale is not None or any(self.samplewise):
            about += [self.rescale, self.samplewise]
        if self.operations:
            about += [sorted(self.operations), self.fill_mode, self.cval, self.choices, self.kernel, self.top]
        if "cutout" in self.operations:
            about.append(self.hole)
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
    channels, shorter = images.shape[-1], min(images.shape[1:3])
    for name, key in OF_COLOURS.items():
        if name in operations and channels != 3:
            message = (
                f"is of red, green and blue, and images have {count(channels, 'channel')}: leave it out."
            )
            yield Fault(f"augment.{key}", message)
    if given.cutout_size > shorter:
        what = f"is {given.cutout_size:g}, and images have {shorter} pixels"
        yield Fault("augment.cutout_size", f"{what}: at most that holds, or a share below 1.")
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
    for key, (what, others) in _BESIDE.items():
        if key in named and not named & {*others}:
            given_ = " or ".join(others)
            yield Fault(f"augment.{key}", f"is of {what}, and there is none: give {given_}, {leave}")
    for key in sorted(named & {"fill_mode", "cval"}):
        if not named & _GEOMETRY:
            what = "is of what rotation, shift, shear or zoom leave empty, and there is none of them"
            yield Fault(f"augment.{key}", f"{what}: give one, {leave}")
        elif key == "cval" and given.fill_mode != "constant":
            what = f"is of fill_mode: constant, and fill_mode is {given.fill_mode}"
            yield Fault("augment.cval", f"{what}: give fill_mode: constant, {leave}")


_BESIDE = {
    "crop_ratio": ("a random crop", ["crop_scale"]),
    "cutout_probability": ("a square that is cut out", ["cutout_size"]),
    "cutout_value": ("a square that is cut out", ["cutout_size"]),
    "mix_probability": ("mixing samples", ["mixup_alpha", "cutmix_alpha"]),
}
"""What each key is of, and the keys one of which has to be given beside it."""


def warning_of_signs(
    given: Augment, classes: Sequence[Any], images: np.ndarray, are_digits: bool = False
) -> str | None:
    """Returns that digits or letters are flipped or cropped, or that these may be some; None for others.

    Args:
        classes: Their names; those of letters are often the numbers 1 to 26, or 0 to 46 or 61 beside digits.
        images: (sample, ...), as they are stored: what is written is of one colour, on a plain ground.
        are_digits: Whether they are known to be.
    """
    does = "flips" if given.horizontal_flip or given.vertical_flip else None
    if does is None and _shows_little(given):
        does = f"crops to less than {percent(_LEAST_SHOWN)} of"
    if does is None:
        return None
    texts = [str(name) for name in classes]
    are_letters = len(texts) >= _FEWEST_LETTERS and all(len(text) == 1 and text.isalpha() for text in texts)
    are_numbers = all(text.isascii() and text.isdigit() and int(text) <= _LAST_SIGN for text in texts)
    are_signs = all(len(text) == 1 and text.isalnum() for text in texts) or are_numbers
    if are_digits or (are_letters and _look_written(images)):
        return f"augment {does} images of digits or letters, which are other signs then."
    if are_signs and _look_written(images):
        return f"augment {does} images: if these are digits or letters, they are other signs then."
    return None


def warning_of_hues(given: Augment, classes: Sequence[Any]) -> str | None:
    """Returns that hues are turned of classes that are called by them; None for others."""
    turns = given.hue_range if isinstance(given.hue_range, list) else [given.hue_range]
    words = [word for name in classes for word in _WORDS.findall(str(name).lower()) if word in _HUES]
    if not any(turns) or len(set(words)) < 2:
        return None
    told = " and ".join(list(dict.fromkeys(words))[:2])
    return f"augment.hue_range turns hues, and classes are called {told}: they may be others then."


def _shows_little(given: Augment) -> bool:
    scale = given.crop_scale
    return scale is not None and (scale[0] if isinstance(scale, list) else scale) < _LEAST_SHOWN


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


def _around_1(value: Any) -> tuple[float, float]:
    """Returns the factors that a range draws from."""
    return (value[0], value[1]) if isinstance(value, list) else (max(0.0, 1 - value), 1 + value)


def _twice(flip: bool | float) -> float:
    """Returns twice the probability of a flip: 1 for true, as every other image is flipped."""
    return float(flip) if isinstance(flip, bool) else 2 * flip


def _later_numbers(given: Augment, images: np.ndarray) -> tuple[float, ...]:
    """Returns how strong the operations in `LATER` are, in the order of `LATER_NUMBERS`."""
    scale, hue, size = given.crop_scale, given.hue_range, given.cutout_size
    mixup, cutmix = given.mixup_alpha, given.cutmix_alpha
    return (
        *((scale[0], scale[1]) if isinstance(scale, list) else (1.0 if scale is None else scale, 1.0)),
        *map(math.log, given.crop_ratio or (3 / 4, 4 / 3)),
        *_around_1(given.contrast_range),
        *_around_1(given.saturation_range),
        *((hue[0], hue[1]) if isinstance(hue, list) else (-hue, hue)),
        float(round(size * min(images.shape[1:3]) if size < 1 else size)),
        given.cutout_probability,
        mixup,
        cutmix,
        0.5 if mixup and cutmix else float(cutmix > 0),
        given.mix_probability,
    )


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
