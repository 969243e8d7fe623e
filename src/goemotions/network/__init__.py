"""The network that is trained, and how texts reach it."""
