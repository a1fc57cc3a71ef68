"""Samples: a file a format, the columns of tables, labels, folds, statistics, and the cache that workers map.

Other rooms use: `arrays`, `cache`, `columns`, `csv`, `encoding`, `folds`, `in_memory`, `labels`, `load`,
`sources`, `statistics`, `streams`.
"""
