"""F1 from decisions, and the sigmoid between logits and probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """Probabilities in float64, without overflow at any logit."""
    z = np.asarray(logits, dtype=np.float64)
    return np.exp(-np.logaddexp(0.0, -z))


def logit(probabilities: Sequence[float] | Floats) -> Floats:
    """The inverse of `sigmoid`, for probabilities strictly between 0 and 1."""
    p = np.asarray(probabilities, dtype=np.float64)
    return np.log(p) - np.log1p(-p)


def f1(true_positive: Any, predicted: Any, actual: Any) -> Floats:
    """F1 from counts of any equal shape; 0 where a label is neither predicted nor present."""
    return np.asarray(2.0 * true_positive / np.maximum(predicted + actual, 1))


def macro_f1(decisions: Bools, targets: Bools) -> float:
    """The mean over labels of F1, for decisions and targets of shape [rows, labels]."""
    hits = (decisions & targets).sum(0)
    return float(f1(hits, decisions.sum(0), targets.sum(0)).mean())
