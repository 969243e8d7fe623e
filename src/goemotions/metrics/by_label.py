"""Tables and curves per label, for `dvc plots` and the page of `goemotions compare`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goemotions.metrics.f1 import Bools, Floats, average_precision, counts, f1_of_counts, sigmoid

COLUMNS = {
    "per_label": (
        "label", "precision", "recall", "f1", "average_precision", "threshold", "support",
    ),
    "precision_recall": ("label", "recall", "precision"),
    "confusion": ("actual", "predicted"),
}  # fmt: skip


def at_thresholds(decisions: Bools, targets: Bools) -> dict[str, Floats]:
    """Precision, recall and F1 of each label; 0 where there is nothing to divide by."""
    true_positives, predicted, actual = counts(decisions, targets)
    return {
        "precision": true_positives / np.maximum(predicted, 1),
        "recall": true_positives / np.maximum(actual, 1),
        "f1": f1_of_counts(true_positives, predicted, actual),
    }


def per_label(
    scores: NDArray[np.floating],
    decisions: Bools,
    targets: Bools,
    thresholds: Floats | None,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """One row per label: precision, recall, F1, average precision, threshold and support.

    Args:
        scores: what ranks the rows, [rows, labels].
        decisions, targets: [rows, labels].
        thresholds: logits, [labels], listed as probabilities; None, where the highest score
            decides, leaves the column empty.
        names: of the labels.
    """
    columns: dict[str, Any] = at_thresholds(decisions, targets)
    columns["average_precision"] = average_precision(scores, targets)
    return [
        {
            "label": label,
            **{name: float(values[index]) for name, values in columns.items()},
            "threshold": None if thresholds is None else float(sigmoid(thresholds[index])),
            "support": int(targets[:, index].sum()),
        }
        for index, label in enumerate(names)
    ]


def precision_recall(
    scores: NDArray[np.floating], targets: Bools, names: Sequence[str], points: int = 101
) -> list[dict[str, Any]]:
    """The curve of each label that occurs, and that of "all labels" pooled, as rows."""
    curves = [("all labels", scores.ravel(), targets.ravel())]
    curves += [(label, scores[:, i], targets[:, i]) for i, label in enumerate(names)]
    return [
        {"label": label, "recall": float(recall), "precision": float(precision)}
        for label, ranked, actual in curves
        if actual.any()
        for recall, precision in zip(*precision_by_recall(ranked, actual, points), strict=True)
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


def confusions(decisions: Bools, targets: Bools, names: Sequence[str]) -> list[dict[str, str]]:
    """Which labels are confused with which: a row for each true label of each text.

    A label that was predicted is paired with itself; one that was missed with each label that was
    predicted by mistake in that text, or with "nothing".
    """
    rows = []
    for decided, actual in zip(decisions, targets, strict=True):
        mistaken = np.flatnonzero(decided & ~actual).tolist()
        for label in np.flatnonzero(actual).tolist():
            predicted = [label] if decided[label] else mistaken
            found = [names[index] for index in predicted] or ["nothing"]
            rows += [{"actual": names[label], "predicted": name} for name in found]
    return rows
