"""Samples: a file a format, the columns of tables, labels, folds, statistics, and the cache that workers map.

Other rooms use: `archives`, `array_likes`, `arrays`, `cache`, `cells`, `columns`, `csv`, `csv_images`,
`csv_pixels`, `csv_tables`, `csv_text`, `decoding`, `digests`, `drawn`, `encoding`, `features`, `folds`,
`frames`, `glance`, `held_out`, `image_files`, `in_memory`, `inputs`, `keeping`, `labels`, `load`, `outputs`,
`pictures`, `places`, `roles`, `sources`, `statistics`, `streams`.
"""
