"""Samples: a file a format, the columns of tables, labels, folds, statistics, and the cache that workers map.

Other rooms use: `arrays`, `cache`, `cells`, `columns`, `csv`, `csv_tables`, `csv_text`, `encoding`,
`features`, `folds`, `frames`, `in_memory`, `keeping`, `labels`, `load`, `roles`, `sources`, `statistics`,
`streams`.
"""
