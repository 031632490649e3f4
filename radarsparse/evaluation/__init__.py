"""Scores of whole sets of clouds: a trained run on a split, or one folder against another."""
