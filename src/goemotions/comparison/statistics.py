"""How sure is a difference of macro-F1: the noise of seeds and that of a finite test split.

A loss is trained with some seeds, and every run is scored on the same test rows, with thresholds
fixed on validation. Two sources of noise follow, and both count:

- rows: the split is one draw of many. A paired bootstrap draws rows with replacement, the same ones
  for every run (Efron and Tibshirani 1993, chapter 13).
- seeds: another seed would have given another model. With the two to five seeds that people can
  afford, drawing those with replacement as well would make intervals too narrow, so this level of
  the hierarchy is Student's t with Welch's degrees of freedom (Welch 1947).

A draw of the difference is the sum of one of each. That two runs of a loss differ on the same rows
already holds how each of them decides single rows by chance; that part is taken out of the first
source, or it would count twice. docs/statistics.md says what each number answers.
"""

from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from goemotions.thresholds import Bools, f1

Floats = NDArray[np.float64]

CHUNK = 500  # draws at a time, so that memory does not grow with them


@dataclass(frozen=True)
class Estimate:
    """A macro-F1, or a difference of two, with its 95% interval.

    Attributes:
        value: from all rows and seeds.
        low, high: the interval.
        p: two-sided, of a value of 0.
        from_rows, from_seeds: the standard errors that the two sources leave; from_seeds is None
            where a side has a single seed: its noise cannot be seen, and is not in the interval.
    """

    value: float
    low: float
    high: float
    p: float
    from_rows: float
    from_seeds: float | None


def resampled(decisions: list[Bools], targets: Bools, *, draws: int, seed: int) -> Floats:
    """Macro-F1 of every run on rows drawn with replacement, [runs, draws]; the rows are shared.

    A draw is a vector of row counts, so hits, predictions and targets of all runs are one matrix
    product. Counts below 2^24 are exact in float32.

    Args:
        decisions: a run's, [rows, labels], each.
        targets: [rows, labels].
    """
    by_label = resampled_by_label(decisions, targets, draws=draws, seed=seed)
    return np.asarray(by_label.mean(2))


def resampled_by_label(decisions: list[Bools], targets: Bools, *, draws: int, seed: int) -> Floats:
    """As `resampled`, before the mean over labels: F1, [runs, draws, labels]."""
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


def estimate(
    points: list[float],
    draws: Floats,
    minus_points: list[float] | None = None,
    minus_draws: Floats | None = None,
    *,
    skewed: bool = False,
    seed: int = 0,
) -> Estimate:
    """The mean of some runs' macro-F1, or its difference from that of other runs.

    Args:
        points: macro-F1 on all rows, of each run (seed).
        draws: `resampled` of these runs, [runs, draws].
        minus_points, minus_draws: of the runs that are subtracted.
        skewed: for a single label: its draws pile up at 0 where it is rare, so they are taken as
            they are, a percentile interval, and not moved to lie around the value.
        seed: of the draws from Student's t.
    """
    value, by_row = float(np.mean(points)), draws.mean(0)
    sides = [(points, draws)]
    if minus_points is not None and minus_draws is not None:
        value, by_row = value - float(np.mean(minus_points)), by_row - minus_draws.mean(0)
        sides.append((minus_points, minus_draws))
    # A draw can miss a rare label, which lowers the draws' mean: only their spread is taken.
    noise = by_row - (value if skewed else by_row.mean())
    from_rows = float(noise.std())
    from_seeds, freedom = _seed_error([side for side, _ in sides])
    if from_seeds is not None:
        # How far runs of one loss part on drawn rows, beyond how far they part on the split.
        apart = sum(
            max(drawn.var(0, ddof=1).mean() - np.var(side, ddof=1), 0) / len(side)
            for side, drawn in sides
        )
        shared = np.sqrt(max(1 - apart / max(from_rows**2, 1e-300), 0))
        noise, from_rows = noise * shared, from_rows * float(shared)
        rng = np.random.default_rng(seed)
        noise = noise + from_seeds * stats.t.rvs(freedom, size=len(noise), random_state=rng)
    low, high = np.quantile(value + noise, [0.025, 0.975])
    # One more than was seen, so that no p is 0 (Davison and Hinkley 1997, section 4.2).
    beyond = int((np.abs(noise) >= abs(value)).sum())
    p = (beyond + 1) / (len(noise) + 1)
    return Estimate(value, float(low), float(high), p, from_rows, from_seeds)


def _seed_error(sides: list[list[float]]) -> tuple[float | None, float]:
    """The standard error that seeds leave, and its degrees of freedom (Welch, Satterthwaite)."""
    if any(len(side) < 2 for side in sides):
        return None, np.inf
    parts = [np.var(side, ddof=1) / len(side) for side in sides]
    total = sum(parts)
    if total == 0:
        return 0.0, np.inf
    freedom = total**2 / sum(
        part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True)
    )
    return float(np.sqrt(total)), float(freedom)


def welch(points: list[float], minus: list[float]) -> float | None:
    """The p of Welch's t-test over seeds alone; None below three seeds a side."""
    if min(len(points), len(minus)) < 3:
        return None
    return float(stats.ttest_ind(points, minus, equal_var=False).pvalue)


def cohen_d(points: list[float], minus: list[float]) -> float | None:
    """The difference in pooled standard deviations over seeds (Cohen 1988, eq. 2.5.1)."""
    a, b = len(points), len(minus)
    if min(a, b) < 2:
        return None
    pooled = ((a - 1) * np.var(points, ddof=1) + (b - 1) * np.var(minus, ddof=1)) / (a + b - 2)
    return float((np.mean(points) - np.mean(minus)) / np.sqrt(pooled)) if pooled > 0 else None


def holm(ps: list[float]) -> list[float]:
    """Holm's adjusted p-values (Holm 1979), in the order given."""
    order = np.argsort(ps)
    adjusted = np.maximum.accumulate((len(ps) - np.arange(len(ps))) * np.asarray(ps)[order])
    result = np.empty(len(ps))
    result[order] = np.minimum(adjusted, 1)
    return [float(p) for p in result]


def power(difference: float, seeds: int, *, from_rows: float, seed_deviation: float) -> float:
    """The chance that `estimate` gives a true difference a p below 0.05; by simulation.

    Args:
        difference: of the two losses' expected macro-F1.
        seeds: of each loss, at least 2.
        from_rows: the standard error of the difference that rows leave.
        seed_deviation: standard deviation of macro-F1 over a loss's seeds.
    """
    rng = np.random.default_rng(0)
    experiments, draws = 1000, 1000
    parts = seed_deviation**2 * rng.chisquare(seeds - 1, (2, experiments)) / (seeds - 1) / seeds
    total = parts.sum(0)
    freedom = (seeds - 1) * total**2 / (parts**2).sum(0)
    noise = from_rows * rng.normal(size=(experiments, draws))
    noise += np.sqrt(total)[:, None] * rng.standard_t(freedom[:, None], (experiments, draws))
    error = np.hypot(from_rows, seed_deviation * np.sqrt(2 / seeds))
    seen = difference + error * rng.normal(size=(experiments, 1))
    return float(((np.abs(noise) >= np.abs(seen)).mean(1) < 0.05).mean())


def seeds_needed(
    difference: float, *, from_rows: float, seed_deviation: float, chance: float = 0.8
) -> int | None:
    """The seeds a loss, up to 100, with which `power` reaches `chance`; None where they do not."""
    candidates = range(2, 101)

    def reached(seeds: int) -> bool:
        found = power(difference, seeds, from_rows=from_rows, seed_deviation=seed_deviation)
        return found >= chance

    first = bisect_left(candidates, True, key=reached)
    return candidates[first] if first < len(candidates) else None


def smallest_visible(*, from_rows: float) -> float:
    """The true difference that this test split shows with power 0.8 and any number of seeds."""
    return float((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) * from_rows)
