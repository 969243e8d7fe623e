"""Bootstrap resamples of a test split: an interval of macro-F1."""

import numpy as np

from goemotions.metrics.f1 import Bools, Floats, f1, macro_f1

CHUNK = 500  # draws at a time, so that memory does not grow with them


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
