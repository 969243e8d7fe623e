"""The trials of a sweep, and the Ray cluster that runs them."""
