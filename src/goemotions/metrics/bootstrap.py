"""Bootstrap resamples of a test split: an interval of macro-F1.

scipy.stats.bootstrap does not re-centre its percentile intervals, which resamples that miss a rare
label pull downward, and it cannot share the drawn rows among runs.
"""

from collections.abc import Iterator

import numpy as np

from goemotions.metrics.f1 import Bools, Floats, f1, macro_f1, with_positives

CHUNK = 500  # resamples at a time, so that memory does not grow with their number


def interval(decisions: Bools, targets: Bools, *, resamples: int, seed: int) -> tuple[float, float]:
    """The 95% interval of macro-F1 over rows drawn with replacement; thresholds stay fixed.

    A resample can miss a rare label, which lowers the resamples' mean: only their spread is taken,
    around the macro-F1 of all rows. Both are 0 where no row has a label.
    """
    if not targets.any():
        return 0.0, 0.0
    drawn = chunks([decisions], targets, resamples=resamples, seed=seed)
    scores = np.concatenate([with_positives(one[0], targets).mean(1) for one in drawn])
    low, high = np.quantile(scores - scores.mean(), [0.025, 0.975]) + macro_f1(decisions, targets)
    return float(low), float(high)


def resampled_f1(decisions: list[Bools], targets: Bools, *, resamples: int, seed: int) -> Floats:
    """F1 of every run on rows drawn with replacement, [runs, resamples, labels].

    Arguments as for `chunks`.
    """
    every = list(chunks(decisions, targets, resamples=resamples, seed=seed))
    return np.concatenate(every, axis=1)


def chunks(
    decisions: list[Bools], targets: Bools, *, resamples: int, seed: int
) -> Iterator[Floats]:
    """The same in chunks of at most CHUNK resamples, which hundreds of labels leave room for.

    All runs are scored on the same rows. A resample is a vector of row counts, so the true
    positives, predictions and targets of all runs are one matrix product. Counts below 2^24 are
    exact in float32.

    Args:
        decisions: one [rows, labels] per run.
        targets: [rows, labels].
    """
    rows, labels = targets.shape
    columns = np.hstack([part for run in decisions for part in (run & targets, run)] + [targets])
    columns = columns.astype(np.float32)
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        drawn = rng.integers(rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        weights = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
        counts = (weights.astype(np.float32) @ columns).astype(float).reshape(size, -1, labels)
        actual = counts[:, -1]
        result = np.empty((len(decisions), size, labels))
        for run in range(len(decisions)):
            true_positives, predicted = counts[:, 2 * run], counts[:, 2 * run + 1]
            result[run] = f1(true_positives, predicted, actual)
        yield result
