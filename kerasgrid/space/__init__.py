"""Which values are legal: dimensions, conditions, exclusions; a space is counted, indexed and drawn from.

Other rooms use: `conditions`, `dimensions`, `reading`, `space`.
"""
