"""What a plan says of the data, and what stands in its JSON."""

from __future__ import annotations

import numpy as np
import pytest

from kerasgrid.driver.preview import MAX_TARGETS, lines_about
from kerasgrid.records import Column, Dataset, Table, Target

N = 40
PRICES = np.linspace(34_900, 755_000, N)[:, np.newaxis]
COLUMNS = (
    Column("area", "numeric", has_blanks=True),
    Column("year", "numeric"),
    Column("street", "categorical", ("Grvl", "Pave")),
)
CLASSES = Target("classes", ("no", "yes"))


def lines(labels, target, scale=None, *, table=None, shape=(8, 8, 1), **more):
    images = np.zeros((N, *shape), np.float32)
    return lines_about(Dataset(images, labels, target, "sha256:0", "train.csv", table=table, **more), scale)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lines(np.arange(N) % 2, CLASSES), ["train.csv: 40 samples of 8 x 8 x 1 (float32)", "2 classes"]),
        (
            lines(np.arange(N) % 4 // 3, CLASSES, table=Table(COLUMNS), shape=(3,)),
            [
                "train.csv: 40 rows of 3 columns (2 numeric, 1 categorical; 1 with blanks)",
                "2 classes: no (75%), yes (25%)",
            ],
        ),
        (
            lines(PRICES, Target("numbers", ("SalePrice",)), "log", table=Table(COLUMNS[1:]), shape=(2,)),
            [
                "train.csv: 40 rows of 2 columns (1 numeric, 1 categorical)",
                "target SalePrice: 34,900 to 755,000, median 394,950; target_scale log",
            ],
        ),
        (
            lines(np.tile(PRICES / 1e6, 7), Target("numbers", tuple("abcdefg"))),
            [
                "train.csv: 40 samples of 8 x 8 x 1 (float32)",
                *(f"target {name}: 0.0349 to 0.755, median 0.3949" for name in "abcde"),
                f"{7 - MAX_TARGETS} more targets",
            ],
        ),
        (
            lines(np.ones((N, 3), np.uint8), Target("labels", ("a", "b", "c"))),
            [
                "train.csv: 40 samples of 8 x 8 x 1 (float32)",
                "3 labels, of which a sample has 3.0 on average",
            ],
        ),
        (
            lines(np.arange(N) % 2, CLASSES, groups=np.arange(N) // 12, weights=np.linspace(0.5, 2, N)),
            [
                "train.csv: 40 samples of 8 x 8 x 1 (float32)",
                "2 classes",
                "4 groups of 4 to 12 samples",
                "weights of 0.5 to 2",
            ],
        ),
    ],
)
def test_what_the_data_are_is_told(given, told):
    assert given == told
