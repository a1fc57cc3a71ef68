"""What a run has on disk: its file names, journal, lock, state and results.json; and what it tells observers.

Other rooms use: `damage`, `journal`, `lock`, `observer`, `paths`, `results`, `schema`, `state`.
"""
