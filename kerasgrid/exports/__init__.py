"""Trials in the form that other tools show, and as a notebook that needs no network.

Other rooms use: `mlflow`, `notebook`, `tensorboard`.
"""
