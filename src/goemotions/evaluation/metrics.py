"""Scores of logits under fixed thresholds, and a bootstrap interval of macro-F1."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from goemotions.labels import EKMAN, LABELS, SENTIMENT
from goemotions.thresholds import Bools, f1, macro_f1, sigmoid

Floats = NDArray[np.float64]

CHUNK = 500  # draws at a time, so that memory does not grow with them


def headline(
    logits: NDArray[np.floating],
    targets: Bools,
    thresholds: Floats,
    per_label: Floats,
    *,
    draws: int,
    seed: int,
) -> dict[str, float]:
    """The dozen numbers of metrics/evaluation.json, macro_f1 first.

    Args:
        logits: of the test split, [rows, 28].
        targets: multi-hot, [rows, 28].
        thresholds: the protocol's, as probabilities, [28].
        per_label: one a label, for `macro_f1_per_label`, as probabilities, [28].
        draws: bootstrap draws behind `macro_f1_low` and `macro_f1_high` (95%).
        seed: of the draws.
    """
    probabilities = sigmoid(logits)
    decisions = probabilities >= thresholds
    counts = decisions & targets, decisions, targets
    hits, predicted, actual = (x.sum(0) for x in counts)
    by_label = f1(hits, predicted, actual)
    low, high = interval(decisions, targets, draws=draws, seed=seed)
    return {
        "macro_f1": float(by_label.mean()),
        "macro_f1_low": low,
        "macro_f1_high": high,
        "macro_f1_per_label": macro_f1(probabilities >= per_label, targets),
        "macro_f1_at_05": macro_f1(probabilities >= 0.5, targets),
        "macro_f1_at_02": macro_f1(probabilities >= 0.2, targets),
        "micro_f1": float(f1(hits.sum(), predicted.sum(), actual.sum())),
        "weighted_f1": float((by_label * actual).sum() / max(actual.sum(), 1)),
        "average_precision": float(average_precision(logits, targets).mean()),
        "macro_f1_ekman": macro_f1(grouped(decisions, EKMAN), grouped(targets, EKMAN)),
        "macro_f1_sentiment": macro_f1(grouped(decisions, SENTIMENT), grouped(targets, SENTIMENT)),
    }


def interval(decisions: Bools, targets: Bools, *, draws: int, seed: int) -> tuple[float, float]:
    """The 95% interval of macro-F1 over rows drawn with replacement; thresholds stay fixed.

    A draw can miss a rare label, which lowers the draws' mean: only their spread is taken, around
    the macro-F1 of all rows.
    """
    drawn = resampled([decisions], targets, draws=draws, seed=seed)[0].mean(1)
    low, high = np.quantile(drawn - drawn.mean(), [0.025, 0.975]) + macro_f1(decisions, targets)
    return float(low), float(high)


def resampled(decisions: list[Bools], targets: Bools, *, draws: int, seed: int) -> Floats:
    """F1 of every run on rows drawn with replacement, [runs, draws, labels]; the rows are shared.

    A draw is a vector of row counts, so hits, predictions and targets of all runs are one matrix
    product. Counts below 2^24 are exact in float32.

    Args:
        decisions: a run's, [rows, labels], each.
        targets: [rows, labels].
    """
    rows, labels = targets.shape
    columns = np.hstack([part for run in decisions for part in (run & targets, run)] + [targets])
    columns = columns.astype(np.float32)
    rng = np.random.default_rng(seed)
    result = np.empty((len(decisions), draws, labels))
    for start in range(0, draws, CHUNK):
        size = min(CHUNK, draws - start)
        drawn = rng.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        counts = (weights.astype(np.float32) @ columns).astype(float).reshape(size, -1, labels)
        actual = counts[:, -1]
        for run in range(len(decisions)):
            hits, predicted = counts[:, 2 * run], counts[:, 2 * run + 1]
            result[run, start : start + size] = f1(hits, predicted, actual)
    return result


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
