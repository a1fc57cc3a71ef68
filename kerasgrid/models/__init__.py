"""Built-in model functions, and how model functions are found, read, loaded and called.

`registry` and `signature` import no Keras; the builders (`fc`, `sopcnn`, ...) and `building` do.
"""
