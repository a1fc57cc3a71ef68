"""Trials in the form that other tools show."""
