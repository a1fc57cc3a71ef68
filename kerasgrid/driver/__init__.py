"""Where the parts meet: a search, its plan and whether it can run, a comparison, and the Results it returns.

Other rooms use: `comparing`, `doctor`, `looking`, `preview`, `results`, `search`.
"""
