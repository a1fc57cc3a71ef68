"""After a search: models of all training data, predictions of one or several, and the file made of them.

Other rooms use: `finished`, `fitting`, `inference`, `predicting`, `submission`.
"""
