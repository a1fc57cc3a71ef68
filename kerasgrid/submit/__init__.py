"""Submissions: the file that a competition takes, sending it, and what came of it."""
