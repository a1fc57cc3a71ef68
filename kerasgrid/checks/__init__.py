"""All that can be wrong with a search, found before its first epoch and told together.

A config's form is checked in `kerasgrid.config.reading`; here it meets the data, the model function and the
space. Nothing here imports Keras.

Other rooms use: `candidates`, `data`, `draft`, `parameters`, `prepared`, `samples`.
"""
