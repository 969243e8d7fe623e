"""Bootstrap resamples of a test split: an interval of macro-F1.

scipy.stats.bootstrap does not re-centre its percentile intervals, which resamples that miss a rare
label pull downward.
"""

import numpy as np

from goemotions.metrics.f1 import Bools, Floats, f1_of_counts, macro_f1, with_positives

CHUNK = 500  # resamples at a time, and fewer of many rows, so that memory does not grow


def interval(decisions: Bools, targets: Bools, *, resamples: int, seed: int) -> tuple[float, float]:
    """The 95% interval of macro-F1 over rows drawn with replacement; thresholds stay fixed.

    A resample can miss a rare label, which lowers the resamples' mean: only their spread is taken,
    around the macro-F1 of all rows. Both are 0 where no row has a label.
    """
    if not targets.any():
        return 0.0, 0.0
    scores = resampled(decisions, targets, resamples=resamples, seed=seed)
    low, high = np.quantile(scores - scores.mean(), [0.025, 0.975]) + macro_f1(decisions, targets)
    return max(float(low), 0.0), min(float(high), 1.0)


def resampled(decisions: Bools, targets: Bools, *, resamples: int, seed: int) -> Floats:
    """Macro-F1 on rows drawn with replacement, [resamples].

    A resample is a vector of row counts, so the true positives, predictions and targets of many
    are one matrix product. Counts below 2^24 are exact in float32.

    Args:
        decisions, targets: [rows, labels].
    """
    rows, labels = targets.shape
    columns = np.hstack([decisions & targets, decisions, targets]).astype(np.float32)
    rng = np.random.default_rng(seed)
    chunk = max(1, min(CHUNK, 2**22 // rows))
    scores = []
    for start in range(0, resamples, chunk):
        size = min(chunk, resamples - start)
        drawn = rng.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        counts = (weights.astype(np.float32) @ columns).astype(float).reshape(size, 3, labels)
        scores.append(with_positives(f1_of_counts(*counts.swapaxes(0, 1)), targets).mean(1))
    return np.concatenate(scores)
