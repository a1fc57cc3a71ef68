"""Data: sources of samples, the cache that workers map, and folds."""
