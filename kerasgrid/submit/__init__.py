"""Kaggle: how a submission looks, checking, sending and following it, and a competition's files.

Other rooms use: `columns`, `download`, `layout`, `ledger`, `refusals`, `sending`.
"""
