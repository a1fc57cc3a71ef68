"""Built-in model functions, a file a family, and how model functions are found, read, loaded and called.

Other rooms use: `autokeras`, `building`, `endings`, `foreign`, `freezing`, `hyperparameters`, `inputs`,
`keras_private`, `loading`, `references`, `repvgg`, `signature`, `source`, `weights`.
"""
