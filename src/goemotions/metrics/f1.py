"""Logits to probabilities to decisions to F1, and logits to average precision.

Averages over labels are over those with at least one positive row: the F1 of a label that no row
has says nothing about finding it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def sigmoid(logits: NDArray[np.floating]) -> Floats:
    """Probabilities in float64; scipy alone would compute those of float32 logits in float32."""
    return np.asarray(expit(np.asarray(logits, dtype=np.float64)))


def probabilities(logits: NDArray[np.floating], *, single: bool) -> Floats:
    """Each label's probability, [rows, labels], from logits of the same shape.

    Args:
        single: a row has exactly one label: softmax over its logits, and not the sigmoid of each.
    """
    if not single:
        return sigmoid(logits)
    return np.asarray(softmax(np.asarray(logits, dtype=np.float64), axis=1))


def ranking(logits: NDArray[np.floating], *, single: bool) -> NDArray[np.floating]:
    """What puts rows in order for a label, [rows, labels].

    The sigmoid keeps the order of logits, except where it rounds to 0 or 1; softmax does not.
    """
    return probabilities(logits, single=True) if single else logits


def decide(logits: NDArray[np.floating], thresholds: Floats | None) -> Bools:
    """Which labels each row is given, [rows, labels].

    Args:
        logits: [rows, labels]. Not probabilities, which round to 1 from a logit of 37 on.
        thresholds: a label is given from its threshold on, a logit, [labels]; None, for
            single-label data, gives the label with the highest logit, the first one of equals.
    """
    if thresholds is not None:
        return np.asarray(logits >= thresholds)
    return np.asarray(logits.argmax(1)[:, None] == np.arange(logits.shape[1]))


def counts(decisions: Bools, targets: Bools) -> tuple[Any, Any, Any]:
    """True positives, predicted and actual positives per label, from two [rows, labels]."""
    return (decisions & targets).sum(0), decisions.sum(0), targets.sum(0)


def f1_of_counts(true_positives: Any, predicted: Any, actual: Any) -> Floats:
    """F1 from counts of any equal shape; 0 where a label is neither predicted nor present."""
    return np.asarray(2.0 * true_positives / np.maximum(predicted + actual, 1))


def macro_f1(decisions: Bools, targets: Bools) -> float:
    """The mean of F1 over the labels with positives; both are [rows, labels]."""
    return label_mean(f1_of_counts(*counts(decisions, targets)), targets)


def label_mean(values: Floats, targets: Bools) -> float:
    """The mean of values, [labels], over the labels with positives; 0 where none has any."""
    kept = with_positives(values, targets)
    return float(kept.mean()) if kept.size else 0.0


def with_positives(values: Floats, targets: Bools) -> Floats:
    """The part of values, [..., labels], of the labels that a row of targets has, in C order."""
    return np.compress(targets.any(0), values, axis=-1)


def average_precision(scores: NDArray[np.floating], targets: Bools) -> Floats:
    """Average precision of each label, [labels]; 0 for a label without positives.

    Args:
        scores: what ranks the rows, [rows, labels].
    """
    from sklearn.metrics import average_precision_score

    return np.array(
        [
            average_precision_score(targets[:, label], scores[:, label])
            if targets[:, label].any()
            else 0.0
            for label in range(targets.shape[1])
        ]
    )


def macro_average_precision(logits: NDArray[np.floating], targets: Bools, *, single: bool) -> float:
    """The mean of average precision over the labels with positives.

    Args:
        logits, targets: [rows, labels].
        single: single-label data, whose logits are compared after softmax.
    """
    return label_mean(average_precision(ranking(logits, single=single), targets), targets)
