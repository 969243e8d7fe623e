"""Decision thresholds, fitted on validation by F1: per label, calibrated, or one for all labels.

A rare label's best cut on validation is mostly noise: GoEmotions has 13 validation rows of grief.
Calibrated, its logits become probabilities by a curve of two numbers, fitted to all rows, and the
threshold is the one with the highest F1 that these probabilities let expect. Cross-validation
inside the validation split chooses among the methods.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from goemotions.metrics.f1 import Bools, Floats, decide, f1_of_counts, macro_f1, sigmoid

_FOLDS, _REPEATS = 5, 2
METHODS = ("per_label", "calibrated", "global")  # the simplest last


@dataclass(frozen=True)
class Fit:
    """Thresholds of one method, as logits, [labels], with the score that judges it.

    `macro_f1` is cross-validated: each row is decided by thresholds fitted without it.
    """

    logits: list[float]
    macro_f1: float


def fit(logits: NDArray[np.floating], targets: Bools) -> dict[str, Fit]:
    """Fit every method on validation.

    Args:
        logits: [rows, labels].
        targets: multi-hot, [rows, labels].

    Returns:
        method -> its thresholds, fitted on all rows, and its cross-validated macro-F1.
    """
    scores = np.asarray(logits, dtype=np.float64)
    judged = _cross_validate(scores, targets)
    return {
        method: Fit(found.tolist(), judged[method])
        for method, found in _every_method(scores, targets).items()
    }


def preferred(fits: dict[str, Fit]) -> str:
    """The method with the highest cross-validated macro-F1; the simpler one wins a tie."""
    return max(reversed(METHODS), key=lambda method: fits[method].macro_f1)


def validation_macro_f1(logits: NDArray[np.floating], targets: Bools, *, single: bool) -> float:
    """Macro-F1 on validation, cross-validated over thresholds where the data needs them.

    Args:
        logits, targets: [rows, labels].
        single: single-label data, which the highest logit decides.
    """
    if single:
        return macro_f1(decide(logits, None), targets)
    fits = fit(logits, targets)
    return fits[preferred(fits)].macro_f1


def _every_method(scores: Floats, targets: Bools) -> dict[str, Floats]:
    """Method -> the thresholds that it fits, in logits, [labels]."""
    order = np.argsort(-scores, axis=0, kind="stable")  # each label's highest score first
    ranked = np.take_along_axis(scores, order, axis=0)
    actual = np.take_along_axis(targets, order, axis=0)
    predicted = np.arange(1, len(ranked) + 1)[:, None]
    value = f1_of_counts(actual.cumsum(0), predicted, actual.sum(0))
    # Expected means the expected true positives, over what is predicted and expected positives.
    slope, intercept = calibration(scores, targets)
    hits = sigmoid(slope * ranked + intercept).cumsum(0)
    expected = f1_of_counts(hits, predicted, hits[-1])
    shared = _best_shared(ranked, value)
    own = targets.any(0)  # a label without positives has no best threshold of its own
    return {
        "per_label": np.where(own, _best_cut(ranked, value), shared),
        "calibrated": np.where(own, _best_cut(ranked, expected), shared),
        "global": np.full(scores.shape[1], shared),
    }


def _cross_validate(scores: Floats, targets: Bools) -> dict[str, float]:
    """Method -> macro-F1 of decisions made by thresholds fitted without the row, over repeats."""
    folds = min(_FOLDS, len(scores))
    total = dict.fromkeys(METHODS, 0.0)
    if folds < 2:
        return total
    rng = np.random.default_rng(0)  # the folds are part of the method, not of the run's seed
    for _ in range(_REPEATS):
        fold = rng.permutation(len(scores)) % folds
        decisions = {method: np.zeros_like(targets) for method in METHODS}
        for held_out in range(folds):
            rows = fold == held_out
            for method, found in _every_method(scores[~rows], targets[~rows]).items():
                decisions[method][rows] = scores[rows] >= found
        for method in METHODS:
            total[method] += macro_f1(decisions[method], targets) / _REPEATS
    return total


def _best_shared(ranked: Floats, value: Floats) -> float:
    """The one cut for all labels with the highest macro-F1; the arguments are `_best_cut`'s."""
    # As the cut falls past a score, the F1 of that score's label changes and no other.
    change = np.diff(value, axis=0, prepend=0.0)
    order = np.argsort(-ranked, axis=None, kind="stable")
    total = change.ravel()[order].cumsum()
    return float(_best_cut(ranked.ravel()[order][:, None], total[:, None])[0])


def _best_cut(ranked: Floats, value: Floats) -> Floats:
    """The best cut of each column: midway between two neighbouring scores, [columns].

    Args:
        ranked: scores, the highest first, [rows, columns].
        value: what a cut below each of them is worth, [rows, columns].
    """
    following = np.vstack([ranked[1:], ranked[-1:] - 1.0])
    # A threshold cannot separate equal scores.
    best = np.where(ranked == following, -1.0, value).argmax(0)[None, :]
    above, below = (np.take_along_axis(x, best, axis=0)[0] for x in (ranked, following))
    return np.asarray((above + below) / 2.0)


def calibration(scores: Floats, targets: Bools) -> tuple[Floats, Floats]:
    """Slope and intercept, [labels] each, with which the sigmoid makes scores probabilities.

    By maximum likelihood, with targets moved inward a little so that a label whose positives are
    all above its negatives has an answer, too (Platt 1999, section 2.2).

    Args:
        scores: [rows, labels].
        targets: [rows, labels].
    """
    positives = targets.sum(0)
    negatives = len(targets) - positives
    wanted = np.where(targets, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    # In units of their own spread, where every label's curve is found in as many steps.
    center, spread = scores.mean(0), np.maximum(scores.std(0), 1e-9)
    scaled = (scores - center) / spread

    def likelihood(curve: Floats) -> tuple[float, Floats]:
        slope, intercept = curve.reshape(2, -1)
        z = slope * scaled + intercept
        error = sigmoid(z) - wanted
        loss = float((np.logaddexp(0, z) - wanted * z).sum())
        return loss, np.concatenate([(error * scaled).sum(0), error.sum(0)])

    start = np.concatenate([spread, center])  # the scores as they are
    found = minimize(likelihood, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    slope, intercept = found.x.reshape(2, -1)
    return slope / spread, intercept - slope * center / spread
