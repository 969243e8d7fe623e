"""The HTML pages that commands write: one style, one script, no network."""
