"""Scores of logits under fixed thresholds, and a bootstrap interval of macro-F1."""

import numpy as np
from numpy.typing import NDArray

from goemotions.labels import EKMAN, LABELS, SENTIMENT
from goemotions.metrics.bootstrap import interval
from goemotions.metrics.f1 import Bools, Floats, counts, f1, macro_f1, sigmoid


def headline(
    logits: NDArray[np.floating],
    targets: Bools,
    thresholds: Floats,
    per_label: Floats,
    *,
    resamples: int,
    seed: int,
) -> dict[str, float]:
    """The dozen numbers of metrics/evaluation.json, macro_f1 first.

    Args:
        logits: of the test split, [rows, 28].
        targets: multi-hot, [rows, 28].
        thresholds: those that decide, as probabilities, [28].
        per_label: those fitted per label, for `macro_f1_per_label`, as probabilities, [28].
        resamples: bootstrap resamples behind `macro_f1_low` and `macro_f1_high` (95%).
        seed: of the resamples.
    """
    probabilities = sigmoid(logits)
    decisions = probabilities >= thresholds
    true_positives, predicted, actual = counts(decisions, targets)
    by_label = f1(true_positives, predicted, actual)
    low, high = interval(decisions, targets, resamples=resamples, seed=seed)
    return {
        "macro_f1": float(by_label.mean()),
        "macro_f1_low": low,
        "macro_f1_high": high,
        "macro_f1_per_label": macro_f1(probabilities >= per_label, targets),
        "macro_f1_at_05": macro_f1(probabilities >= 0.5, targets),
        "macro_f1_at_02": macro_f1(probabilities >= 0.2, targets),
        "micro_f1": float(f1(true_positives.sum(), predicted.sum(), actual.sum())),
        "weighted_f1": float((by_label * actual).sum() / max(actual.sum(), 1)),
        "average_precision": float(average_precision(logits, targets).mean()),
        "macro_f1_ekman": macro_f1(grouped(decisions, EKMAN), grouped(targets, EKMAN)),
        "macro_f1_sentiment": macro_f1(grouped(decisions, SENTIMENT), grouped(targets, SENTIMENT)),
    }


def average_precision(logits: NDArray[np.floating], targets: Bools) -> Floats:
    """Average precision of each label, [28]; 0 for a label without positives."""
    from sklearn.metrics import average_precision_score

    return np.array(
        [
            average_precision_score(targets[:, label], logits[:, label])
            if targets[:, label].any()
            else 0.0
            for label in range(targets.shape[1])
        ]
    )


def grouped(matrix: Bools, groups: dict[str, tuple[str, ...]]) -> Bools:
    """[rows, groups]: a group is present where any of its labels is."""
    members = [[LABELS.index(label) for label in labels] for labels in groups.values()]
    return np.stack([matrix[:, columns].any(1) for columns in members], axis=1)
