"""What a run has on disk: its file names, journal, state and results.json; and what it tells observers.

Other rooms use: `damage`, `journal`, `observer`, `paths`, `results`, `schema`, `state`.
"""
