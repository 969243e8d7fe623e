"""Across experiments: collect them and set their scores side by side."""
