"""Data: sources of samples, the cache that workers map, and folds."""

from kerasgrid.data.folds import (
    fold_fault,
    folds_fingerprint,
    inner_split,
    load_folds,
    make_folds,
    save_folds,
    test_fold,
)
from kerasgrid.data.given import as_array, dataset_from_arrays, refuse_others
from kerasgrid.data.load import load_data, load_with_test
from kerasgrid.data.statistics import Span, pixel_top, standardize_statistics

__all__ = [
    "Span",
    "as_array",
    "dataset_from_arrays",
    "fold_fault",
    "folds_fingerprint",
    "inner_split",
    "load_data",
    "load_folds",
    "load_with_test",
    "make_folds",
    "pixel_top",
    "refuse_others",
    "save_folds",
    "standardize_statistics",
    "test_fold",
]
