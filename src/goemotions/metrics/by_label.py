"""Tables and curves per label, for `dvc plots` and the page of `goemotions compare`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from goemotions.labels import LABELS
from goemotions.metrics.f1 import Bools, Floats, counts, f1, sigmoid
from goemotions.metrics.scores import average_precision


def at_thresholds(decisions: Bools, targets: Bools) -> dict[str, Floats]:
    """Precision, recall and F1 of each label; 0 where there is nothing to divide by."""
    true_positives, predicted, actual = counts(decisions, targets)
    return {
        "precision": true_positives / np.maximum(predicted, 1),
        "recall": true_positives / np.maximum(actual, 1),
        "f1": f1(true_positives, predicted, actual),
    }


def per_label(
    logits: NDArray[np.floating], targets: Bools, thresholds: Floats
) -> list[dict[str, Any]]:
    """One row per label: precision, recall, F1, average precision, threshold and support."""
    columns = at_thresholds(sigmoid(logits) >= thresholds, targets) | {
        "average_precision": average_precision(logits, targets),
        "threshold": thresholds,
    }
    return [
        {
            "label": label,
            **{name: float(values[index]) for name, values in columns.items()},
            "support": int(targets[:, index].sum()),
        }
        for index, label in enumerate(LABELS)
    ]


def precision_recall(
    logits: NDArray[np.floating], targets: Bools, points: int = 101
) -> list[dict[str, Any]]:
    """The curve of each label that occurs, and that of "all labels" pooled, as rows."""
    curves = {"all labels": (logits.ravel(), targets.ravel())}
    curves |= {label: (logits[:, i], targets[:, i]) for i, label in enumerate(LABELS)}
    return [
        {"label": label, "recall": float(recall), "precision": float(precision)}
        for label, (scores, actual) in curves.items()
        if actual.any()
        for recall, precision in zip(*precision_by_recall(scores, actual, points), strict=True)
    ]


def precision_by_recall(
    scores: NDArray[np.floating], actual: Bools, points: int
) -> tuple[Floats, Floats]:
    """`points` evenly spaced recalls from 0 to 1, and the interpolated precision at each.

    At recall r that is the highest precision at any recall of r or more. Both are [points].

    Args:
        scores: of one label, [rows]; logits or probabilities.
        actual: whether each row has the label, [rows]; at least one does.
    """
    from sklearn.metrics import precision_recall_curve

    grid = np.arange(points) / (points - 1)  # linspace would miss some recalls by a bit
    precision, recall, _ = precision_recall_curve(actual, scores)
    precision, recall = precision[:-1], recall[:-1]  # sklearn adds the last point, (1, 0)
    highest = np.maximum.accumulate(precision)  # recall falls along the curve
    reached = np.searchsorted(recall[::-1], grid, side="left").clip(max=len(recall) - 1)
    return grid, highest[::-1][reached]


def confusions(decisions: Bools, targets: Bools) -> list[dict[str, str]]:
    """Which labels are confused with which: a row for each true label of each text.

    A label that was predicted is paired with itself; one that was missed with each label that was
    predicted by mistake in that text, or with "nothing".
    """
    rows = []
    for decided, actual in zip(decisions, targets, strict=True):
        mistaken = np.flatnonzero(decided & ~actual)
        for label in np.flatnonzero(actual):
            predicted = [label] if decided[label] else list(mistaken)
            names = [LABELS[index] for index in predicted] or ["nothing"]
            rows += [{"actual": LABELS[label], "predicted": name} for name in names]
    return rows
