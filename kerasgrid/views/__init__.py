"""Trials to look at: HiPlot's page, the leaderboard, and what pages and pictures are made of.

Other rooms use: `drawing`, `hiplot`, `leaderboard`, `pages`.
"""
