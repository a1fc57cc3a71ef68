"""The mean and standard deviation that `standardize` uses, from the training rows alone."""

from __future__ import annotations

import numpy as np

_CHUNK_VALUES = 1 << 21


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
    n_channels = images.shape[-1]
    n_rows = max(1, _CHUNK_VALUES // int(np.prod(images.shape[1:])))
    count, mean, squares = 0, np.zeros(n_channels), np.zeros(n_channels)
    for start in range(0, len(rows), n_rows):
        chunk = images[rows[start : start + n_rows]].reshape(-1, n_channels).astype(np.float64)
        # Chan, Golub and LeVeque 1979: joins the sums of two parts without cancellation.
        chunk_mean = chunk.mean(axis=0)
        chunk_squares = ((chunk - chunk_mean) ** 2).sum(axis=0)
        delta, total = chunk_mean - mean, count + len(chunk)
        mean = mean + delta * (len(chunk) / total)
        squares = squares + chunk_squares + delta**2 * (count * len(chunk) / total)
        count = total
    scale = 1.0 if scale is None else float(scale)
    std = np.sqrt(squares / count) / scale
    return mean / scale, np.where(std > 0, std, 1.0)
