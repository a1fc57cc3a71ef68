"""What is read off values: mean and spread, whether they are pixels or scaled, which give labels away."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

_CHUNK_VALUES = 1 << 21

TOPS = (16, 255, 65_535)
"""The highest values that pixels have: of scikit-learn's digits, of 8 and of 16 bits."""
_RAW = 8
"""What no values come to that were scaled to 0 to 1."""
_PICTURE = 64
"""Pixels from which values of one channel may be a picture: columns of a table are often fewer."""


def standardize_statistics(
    images: np.ndarray, rows: np.ndarray, scale: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the standard deviation of each channel over some rows.

    The images are read in chunks, so they may be mapped from a disk.

    Args:
        images: (sample, ..., channel), uint8 or float32.
        rows: (row,), int64, the samples to look at, at least one.
        scale: What pixels are divided by before they are standardized.

    Returns:
        Mean and standard deviation (population), each (channel,), float64; a channel that does not
        vary has standard deviation 1, so that it can be divided by.
    """
    n_rows = max(1, _CHUNK_VALUES // int(np.prod(images.shape[1:])))
    starts = range(0, len(rows), n_rows)
    mean, variance = moments(
        images[rows[start : start + n_rows]].reshape(-1, images.shape[-1]) for start in starts
    )
    scale = 1.0 if scale is None else float(scale)
    std = np.sqrt(variance) / scale
    return mean / scale, np.where(std > 0, std, 1.0)


def moments(chunks: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the mean and the variance (population) of each column, (column,) float64.

    Args:
        chunks: (row, column) numbers, at least one row in all.
    """
    count, mean, squares = 0, np.zeros(()), np.zeros(())
    for chunk in chunks:
        chunk = chunk.astype(np.float64)
        # Chan, Golub and LeVeque 1979: joins the sums of two parts without cancellation.
        chunk_mean = chunk.mean(axis=0)
        chunk_squares = ((chunk - chunk_mean) ** 2).sum(axis=0)
        delta, total = chunk_mean - mean, count + len(chunk)
        mean = mean + delta * (len(chunk) / total)
        squares = squares + chunk_squares + delta**2 * (count * len(chunk) / total)
        count = total
    return mean, squares / count


@dataclass(frozen=True)
class TargetScale:
    """How numbers to predict become what a net predicts in their place, near 0, and how that is undone.

    Attributes:
        how: standardize, or log for the logarithm of 1 + y, standardized.
        mean: Of each number, or of its logarithm.
        std: Likewise, the population's; 1 for what does not vary.
    """

    how: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def learn(cls, how: str, numbers: np.ndarray) -> TargetScale:
        """Returns the scale of the numbers to train on, (sample, number), float64; above -1 for log."""
        mean, variance = moments([np.log1p(numbers) if how == "log" else numbers])
        std = np.sqrt(variance)
        return cls(how, tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist()))

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """Returns what a net learns in the place of numbers, (sample, number), float64."""
        values = np.log1p(numbers) if self.how == "log" else numbers
        return (values - np.asarray(self.mean)) / np.asarray(self.std)

    def undo(self, values: np.ndarray) -> np.ndarray:
        """Returns the numbers that a net's outputs stand for; infinite where they are beyond float64."""
        values = values * np.asarray(self.std) + np.asarray(self.mean)
        if self.how != "log":
            return values
        with np.errstate(over="ignore"):
            return np.expm1(values)


def pixel_top(images: np.ndarray) -> int | None:
    """Returns the highest value that stored pixels can have, of `TOPS`; None where they may be none.

    Pixels begin near 0, come near their highest value, and do so in most places of an image, whereas the
    columns of a table are each of a range of its own. Images of several channels are taken to be pictures,
    and rows of few numbers to be none.

    Args:
        images: (sample, ...) numbers, scaled or not; may be mapped from a disk. Some are looked at.
    """
    n_places = int(np.prod(images.shape[1:]))
    values = _some(images).reshape(-1, n_places)
    low, high = float(values.min()), float(values.max())
    top = next((top for top in TOPS if high <= top), None)
    if top is None or not 0 <= low <= 0.1 * top:
        return None
    is_picture = images.ndim > 2 and (images.shape[-1] > 1 or n_places >= _PICTURE)
    is_row = n_places >= _PICTURE or (n_places >= 16 and top == 255)
    if not (is_picture or is_row) or high < (0.5 if is_picture else 0.75) * top:
        return None
    if top != 255 and not np.array_equal(values, np.floor(values)):
        return None
    peaks = values.max(axis=0)
    varies = peaks > values.min(axis=0)
    return top if np.median(peaks[varies] if varies.any() else peaks) >= 0.5 * high else None


def share_top(images: np.ndarray) -> int | None:
    """Returns 1 for pictures whose pixels were brought to 0 to 1, by the rules of `pixel_top`; else None."""
    values = _some(images)
    low, high = float(values.min()), float(values.max())
    is_picture = images.ndim > 2 and np.prod(images.shape[1:]) >= _PICTURE
    is_share = 0 <= low <= 0.1 and 0.5 <= high <= 1 and not np.array_equal(values, np.floor(values))
    return 1 if is_picture and is_share else None


@dataclass(frozen=True)
class Span:
    """Between which values the samples are that a model was trained on, as they are stored.

    Attributes:
        low: The lowest, of those that were looked at.
        top: As `pixel_top` tells it.
    """

    low: float
    high: float
    top: int | None

    @classmethod
    def of(cls, images: np.ndarray) -> Span:
        """Returns that of samples (sample, ...), which may be mapped from a disk."""
        some = _some(images)
        return cls(float(some.min()), float(some.max()), pixel_top(images))

    def odd(self, low: float, high: float) -> str | None:
        """Returns that samples to predict were scaled and those trained on were not, or the other way round.

        Args:
            low: The lowest value of the samples to predict.
            high: Their highest.
        """
        trained = f"those trained on are {self.low:g} to {self.high:g} as stored"
        they = f"values are {low:g} to {high:g}, and {trained}"
        if self.top is not None and (low < 0 or 0 < high <= 1):
            return f"{they}: were these scaled already? Give them as they stand in the file, as those were."
        if self.low >= 0 and 0 < self.high <= 1 and low >= 0 and high > _RAW:
            return f"{they}: those were scaled before they were given. Scale these likewise."
        return None


def _some(images: np.ndarray) -> np.ndarray:
    """Returns samples from all over, of about 2 million values, and a few of larger ones."""
    n_samples = max(16, _CHUNK_VALUES // int(np.prod(images.shape[1:])))
    return np.asarray(images[:: -(-len(images) // n_samples)])


def giveaways(images: np.ndarray, labels: np.ndarray) -> tuple[list[int], list[int]]:
    """Returns the values of a sample that tell its label, wholly or in part.

    Such a value is the same for all samples of a class, and not for all samples; among as many values at
    random one would be so in less than one set of samples in a hundred.

    Args:
        images: (sample, ...), numbers.
        labels: (sample,) class indices, or (sample, label) of 0 and 1.

    Returns:
        Places in a sample, counted over all of its axes: of values that tell it each by itself; and, where
        there are none, of all those that are 0 or 1, where their sum tells it.
    """
    flat = images.reshape(len(images), -1)
    flags = _flags(flat)
    sums = np.concatenate([chunk[:, flags].sum(axis=1, dtype=np.int64) for _, chunk in _chunks(flat)])
    alone: set[int] = set()
    is_told_by_sum = False
    for own in [labels] if labels.ndim == 1 else labels.T:
        alone.update(_functions_of(own, flat))
        is_told_by_sum |= len(flags) > 1 and bool(_functions_of(own, sums[:, np.newaxis]))
    return sorted(alone), flags.tolist() if is_told_by_sum and not alone else []


def _chunks(flat: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yields rows a chunk at a time, each with the number of its first row."""
    n_rows = max(1, _CHUNK_VALUES // flat.shape[1])
    for start in range(0, len(flat), n_rows):
        yield start, flat[start : start + n_rows]


def _flags(flat: np.ndarray) -> np.ndarray:
    """Returns the columns that hold 0 and 1 alone, both of them."""
    left = np.arange(flat.shape[1])
    n_ones = np.zeros(flat.shape[1], np.int64)
    for _, chunk in _chunks(flat):
        part = chunk[:, left]
        is_flag = ((part == 0) | (part == 1)).all(axis=0)
        left = left[is_flag]
        n_ones[left] += part[:, is_flag].sum(axis=0, dtype=np.int64)
        if not len(left):
            break
    return left[(n_ones[left] > 0) & (n_ones[left] < len(flat))]


def _functions_of(labels: np.ndarray, flat: np.ndarray) -> list[int]:
    """Returns the columns that are functions of the labels, (sample,), and that not by chance."""
    left = np.arange(flat.shape[1])
    first: dict[int, np.ndarray] = {}  # what the first sample of each label has in them
    for start, chunk in _chunks(flat):
        part, own = chunk[:, left], labels[start : start + len(chunk)]
        keeps = np.ones(len(left), dtype=bool)
        for label in np.unique(own):
            rows = part[own == label]
            keeps &= (rows == first.setdefault(label, rows[0])).all(axis=0)
        left, first = left[keeps], {label: values[keeps] for label, values in first.items()}
        if not len(left):
            return []
    counts = {label: int((labels == label).sum()) for label in first}
    # So many of all ways to place a column's rarer values give each class a value of its own.
    most = math.log(100 * flat.shape[1]) + len(first) * math.log(2)
    return [
        int(place)
        for column, place in enumerate(left)
        if _log_ways(len(flat), {label: first[label][column] for label in first}, counts) > most
    ]


def _log_ways(n: int, values: dict, counts: dict) -> float:
    """Returns the logarithm of the number of ways to choose the samples without the most frequent value."""
    sizes: dict = {}
    for label, value in values.items():
        sizes[value] = sizes.get(value, 0) + counts[label]
    n_other = n - max(sizes.values())
    return math.lgamma(n + 1) - math.lgamma(n_other + 1) - math.lgamma(n - n_other + 1)
