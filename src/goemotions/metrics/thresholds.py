"""Decision thresholds, fitted on validation by F1: per label, one for all labels, or in between.

A rare label's best threshold on validation is mostly noise: GoEmotions has 13 validation rows of
grief. So a label's own threshold is shrunk, in logits, toward the one that is best for all labels
together: with n positives it gets the weight n / (n + k). k = 0 is one threshold per label,
k = infinity one for all; cross-validation inside the validation split chooses k.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from goemotions.metrics.f1 import Bools, Floats, decide, f1, macro_f1, probabilities, sigmoid

_SHRINKAGE = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)  # the k that are tried between 0 and inf
_FOLDS, _REPEATS = 5, 2
METHODS = ("per_label", "shrunk", "global")  # the simplest last


@dataclass(frozen=True)
class Fit:
    """Thresholds of one method, as probabilities, [labels], with the score that judges it.

    `macro_f1` is cross-validated: each row is decided by thresholds fitted without it.
    """

    method: str
    probabilities: list[float]
    macro_f1: float
    shrinkage: float | None = None


def fit(logits: NDArray[np.floating], targets: Bools) -> dict[str, Fit]:
    """Fit every method on validation.

    Args:
        logits: [rows, labels].
        targets: multi-hot, [rows, labels].

    Returns:
        method -> its thresholds, fitted on all rows, and its cross-validated macro-F1; for
        "shrunk", those of the k in `_SHRINKAGE` that cross-validation prefers.
    """
    scores = np.asarray(logits, dtype=np.float64)
    candidates = {"per_label": (0.0,), "shrunk": _SHRINKAGE, "global": (np.inf,)}
    cross_validated = _cross_validate(scores, targets)
    everything = _Fitted(scores, targets)
    fits = {}
    for method in METHODS:
        best = max(candidates[method], key=cross_validated.__getitem__)
        fits[method] = Fit(
            method=method,
            probabilities=sigmoid(everything.thresholds(best)).tolist(),
            macro_f1=cross_validated[best],
            shrinkage=best if method == "shrunk" else None,
        )
    return fits


def preferred(fits: dict[str, Fit]) -> str:
    """The method with the highest cross-validated macro-F1; the simpler one wins a tie."""
    return max(reversed(METHODS), key=lambda method: fits[method].macro_f1)


def selected(setting: str, preferred_method: str) -> str:
    """The method that the setting `evaluate.thresholds` selects."""
    return preferred_method if setting == "cross_validated" else setting


def validation_macro_f1(logits: NDArray[np.floating], targets: Bools, *, single: bool) -> float:
    """Macro-F1 on validation, cross-validated over thresholds where the data needs them.

    Args:
        logits, targets: [rows, labels].
        single: single-label data, which the highest logit decides.
    """
    if single:
        return macro_f1(decide(probabilities(logits, single=True), None), targets)
    fits = fit(logits, targets)
    return fits[preferred(fits)].macro_f1


class _Fitted:
    """The label-wise and the global thresholds of one set of rows, in logits."""

    def __init__(self, scores: Floats, targets: Bools) -> None:
        self.positives = targets.sum(0)
        self.shared = _best_shared(scores, targets)
        # A label without positives has no best threshold of its own.
        self.per_label = np.where(self.positives > 0, _best_per_label(scores, targets), self.shared)

    def thresholds(self, k: float) -> Floats:
        weight = (
            np.zeros(len(self.per_label))
            if np.isinf(k)
            else self.positives / (self.positives + k + 1e-12)
        )
        return weight * self.per_label + (1.0 - weight) * self.shared


def _cross_validate(scores: Floats, targets: Bools) -> dict[float, float]:
    """k -> macro-F1 of decisions made by thresholds fitted without the row, over all repeats."""
    ks = (0.0, *_SHRINKAGE, np.inf)
    folds = min(_FOLDS, len(scores))
    if folds < 2:
        return dict.fromkeys(ks, 0.0)
    total = dict.fromkeys(ks, 0.0)
    rng = np.random.default_rng(0)  # the folds are part of the method, not of the run's seed
    for _ in range(_REPEATS):
        fold = rng.permutation(len(scores)) % folds
        decisions = {k: np.zeros_like(targets) for k in ks}
        for held_out in range(folds):
            rows = fold == held_out
            fitted = _Fitted(scores[~rows], targets[~rows])
            for k in ks:
                decisions[k][rows] = scores[rows] >= fitted.thresholds(k)
        for k in ks:
            total[k] += macro_f1(decisions[k], targets) / _REPEATS
    return total


def _best_per_label(scores: Floats, targets: Bools) -> Floats:
    """The cut with the highest F1 of each label: midway between two neighbouring scores."""
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    true_positives = np.cumsum(np.take_along_axis(targets, order, axis=0), axis=0)
    predicted = np.arange(1, len(scores) + 1)[:, None]
    value = f1(true_positives, predicted, targets.sum(0)[None, :])
    following = np.vstack([ranked[1:], ranked[-1:] - 1.0])
    value[ranked == following] = -1.0  # a threshold cannot separate equal scores
    best = value.argmax(0)[None, :]
    above, below = (np.take_along_axis(x, best, axis=0)[0] for x in (ranked, following))
    return np.asarray((above + below) / 2.0)


def _best_shared(scores: Floats, targets: Bools) -> float:
    """The one threshold, on a grid of 0.05 in logits, with the highest macro-F1."""
    grid = np.arange(-6.0, 3.0, 0.05)
    # How many scores, and how many scores of positives, reach each point of the grid.
    predicted, true_positives = np.empty((2, len(grid), scores.shape[1]))
    for label in range(scores.shape[1]):
        column = scores[:, label]
        positive = np.sort(column[targets[:, label]])
        predicted[:, label] = len(column) - np.searchsorted(np.sort(column), grid)
        true_positives[:, label] = len(positive) - np.searchsorted(positive, grid)
    value = f1(true_positives, predicted, targets.sum(0)[None, :])
    return float(grid[value.mean(1).argmax()])
