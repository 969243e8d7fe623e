"""Scores of logits under fixed thresholds, and a bootstrap interval of macro-F1."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from goemotions.data.labels import Labels
from goemotions.metrics.bootstrap import interval
from goemotions.metrics.f1 import (
    Bools,
    Floats,
    counts,
    decide,
    f1_of_counts,
    label_mean,
    macro_average_precision,
    macro_f1,
    sigmoid,
)

NOT_SCORED = "labels_without_test_rows"


def headline(
    logits: NDArray[np.floating],
    targets: Bools,
    labels: Labels,
    thresholds: Floats | None,
    per_label: Floats | None,
    *,
    resamples: int,
    seed: int,
) -> dict[str, float]:
    """The dozen numbers of metrics/evaluation.json, macro_f1 first.

    Averages over labels leave out those without a row in the test split, whose number is the last
    score where it is not 0.

    Args:
        logits: of the test split, [rows, labels].
        targets: multi-hot, [rows, labels].
        labels: the columns' names, the task, and the groupings to score at.
        thresholds: those that decide, as logits, [labels]; None in single-label data.
        per_label: those fitted per label, for `macro_f1_per_label`, as logits, [labels]; None in
            single-label data.
        resamples: bootstrap resamples behind `macro_f1_low` and `macro_f1_high` (95%).
        seed: of the resamples.
    """
    decisions = decide(logits, thresholds)
    true_positives, predicted, actual = counts(decisions, targets)
    by_label = f1_of_counts(true_positives, predicted, actual)
    low, high = interval(decisions, targets, resamples=resamples, seed=seed)
    result = {
        "macro_f1": label_mean(by_label, targets),
        "macro_f1_low": low,
        "macro_f1_high": high,
    }
    if per_label is not None:
        result |= {
            "macro_f1_per_label": macro_f1(decide(logits, per_label), targets),
            "macro_f1_at_05": macro_f1(sigmoid(logits) >= 0.5, targets),
            "macro_f1_at_02": macro_f1(sigmoid(logits) >= 0.2, targets),
        }
    result["micro_f1"] = float(f1_of_counts(true_positives.sum(), predicted.sum(), actual.sum()))
    if labels.single:
        result["accuracy"] = float((decisions & targets).any(1).mean())
    result |= {
        "weighted_f1": float((by_label * actual).sum() / max(actual.sum(), 1)),
        "average_precision": macro_average_precision(logits, targets, single=labels.single),
    }
    for level, groups in labels.groupings.items():
        both = (grouped(matrix, labels.names, groups) for matrix in (decisions, targets))
        result[f"macro_f1_{level}"] = macro_f1(*both)
    if missing := without_rows(labels.names, targets):
        result[NOT_SCORED] = len(missing)
    return result


def without_rows(names: Sequence[str], targets: Bools) -> list[str]:
    """The labels that no row of targets, [rows, labels], has."""
    return [names[label] for label in np.flatnonzero(~targets.any(0)).tolist()]


def not_averaged(missing: Sequence[str]) -> str:
    """A sentence that names labels without test rows, the first ten of them."""
    some = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
    labels, have, are = ("label", "has", "is") if len(missing) == 1 else ("labels", "have", "are")
    return (
        f"{len(missing)} {labels} {have} no row in the test split and {are} left out of every "
        f"average over labels: {some}."
    )


def grouped(matrix: Bools, names: Sequence[str], groups: Mapping[str, tuple[str, ...]]) -> Bools:
    """[rows, groups]: a group is present where any of its labels is."""
    members = [[names.index(label) for label in labels] for labels in groups.values()]
    return np.stack([matrix[:, columns].any(1) for columns in members], axis=1)
