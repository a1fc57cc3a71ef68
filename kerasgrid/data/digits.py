"""The built-in data: scikit-learn's handwritten digits, which need no file and no network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasgrid.data.arrays import Samples, shape_images


def read_digits(image: Sequence[int] | None = None) -> Samples:
    """Returns 1,797 images of digits, (1797, 8, 8, 1), uint8 in 0..16, with the classes 0 to 9.

    Args:
        image: (height, width, channels) of 64 pixels in all; (8, 8, 1) by default.

    Raises:
        DataError: `image` has another number of pixels.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = shape_images(bunch.data.astype(np.uint8), image, "digits")
    return Samples(images, bunch.target.astype(np.int64), tuple(range(10)))
