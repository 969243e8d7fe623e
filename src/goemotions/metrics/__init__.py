"""Scores, thresholds and the bootstrap."""
