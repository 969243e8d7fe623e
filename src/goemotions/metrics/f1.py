"""F1 from decisions, and the probabilities that decisions are made from."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """Probabilities in float64; scipy alone would compute those of float32 logits in float32."""
    return np.asarray(expit(np.asarray(logits, dtype=np.float64)))


def counts(decisions: Bools, targets: Bools) -> tuple[Any, Any, Any]:
    """True positives, predicted and actual positives per label, from two [rows, labels]."""
    return (decisions & targets).sum(0), decisions.sum(0), targets.sum(0)


def f1(true_positives: Any, predicted: Any, actual: Any) -> Floats:
    """F1 from counts of any equal shape; 0 where a label is neither predicted nor present."""
    return np.asarray(2.0 * true_positives / np.maximum(predicted + actual, 1))


def macro_f1(decisions: Bools, targets: Bools) -> float:
    """The mean over labels of F1, for decisions and targets of shape [rows, labels]."""
    return float(f1(*counts(decisions, targets)).mean())
