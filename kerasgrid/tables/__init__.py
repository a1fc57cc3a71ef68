"""Results in any form that people have, others' too, read as tables of trials.

Other rooms use: `predictions`, `reading`, `table`.
"""
