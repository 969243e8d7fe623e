"""Tables and curves per label, for `dvc plots`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from goemotions.labels import LABELS
from goemotions.metrics.f1 import Bools, Floats, f1, sigmoid
from goemotions.metrics.scores import average_precision


def per_label(
    logits: NDArray[np.floating], targets: Bools, thresholds: Floats
) -> list[dict[str, Any]]:
    """A row a label: precision, recall, F1, average precision, threshold and support."""
    decisions = sigmoid(logits) >= thresholds
    hits, predicted, actual = ((x).sum(0) for x in (decisions & targets, decisions, targets))
    columns = {
        "precision": hits / np.maximum(predicted, 1),
        "recall": hits / np.maximum(actual, 1),
        "f1": f1(hits, predicted, actual),
        "average_precision": average_precision(logits, targets),
        "threshold": thresholds,
    }
    return [
        {
            "label": label,
            **{name: float(values[index]) for name, values in columns.items()},
            "support": int(actual[index]),
        }
        for index, label in enumerate(LABELS)
    ]


def precision_recall(
    logits: NDArray[np.floating], targets: Bools, points: int = 101
) -> list[dict[str, Any]]:
    """Precision at `points` evenly spaced recalls, a curve a label, and "all labels" pooled.

    Precision is interpolated: at recall r it is the highest at any recall of r or more.
    """
    from sklearn.metrics import precision_recall_curve

    curves = {"all labels": (targets.ravel(), logits.ravel())}
    curves |= {label: (targets[:, i], logits[:, i]) for i, label in enumerate(LABELS)}
    grid = np.arange(points) / (points - 1)  # linspace would miss some recalls by a bit
    rows = []
    for label, (actual, scores) in curves.items():
        if not actual.any():
            continue
        precision, recall, _ = precision_recall_curve(actual, scores)
        precision, recall = precision[:-1], recall[:-1]  # the last point, (1, 0), is made up
        best = np.maximum.accumulate(precision)  # recall falls along the curve
        rising = recall[::-1]
        at = best[::-1][np.searchsorted(rising, grid, side="left").clip(max=len(rising) - 1)]
        rows += [
            {"label": label, "recall": float(r), "precision": float(p)}
            for r, p in zip(grid, at, strict=True)
        ]
    return rows


def confusions(decisions: Bools, targets: Bools) -> list[dict[str, str]]:
    """Which labels are taken for which: a row for each true label of each text.

    A label that was found is paired with itself; one that was missed with each label that was
    predicted wrongly in its place, or with "nothing".
    """
    rows = []
    for decided, actual in zip(decisions, targets, strict=True):
        wrong = np.flatnonzero(decided & ~actual)
        for label in np.flatnonzero(actual):
            taken = [label] if decided[label] else list(wrong)
            names = [LABELS[index] for index in taken] or ["nothing"]
            rows += [{"actual": LABELS[label], "predicted": name} for name in names]
    return rows
