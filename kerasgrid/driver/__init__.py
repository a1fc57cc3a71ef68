"""Where the parts meet: a search, its plan before it begins, a comparison, and the Results that it returns.

Other rooms use: `comparing`, `preview`, `results`, `search`.
"""
