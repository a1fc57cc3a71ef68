"""Trials to look at: HiPlot's page, the leaderboard, progress, and what pages and pictures are made of.

Other rooms use: `drawing`, `hiplot`, `leaderboard`, `pages`, `progress`.
"""
