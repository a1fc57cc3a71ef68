"""grid.yaml into a Config: sections with types, bounds and defaults, YAML 1.2, all faults with their lines.

Other rooms use: `augment`, `callbacks`, `reading`, `sections`, `stages`, `validation`, `yaml12`.
"""
