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
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

CHANCE = 0.8  # the power that is asked for
MOST_SEEDS = 100


@dataclass(frozen=True)
class Runs:
    """One loss's runs, one a seed.

    Attributes:
        points: macro-F1 on all rows, of each run.
        draws: on rows drawn with replacement, the same for all losses, [runs, draws].
    """

    points: list[float]
    draws: Floats


@dataclass(frozen=True)
class Estimate:
    """A macro-F1 with its 95% interval.

    Attributes:
        value: from all rows and seeds.
        low, high: the interval.
        from_rows, from_seeds: the standard errors that the two sources leave; from_seeds is None
            where a side has a single seed: its noise cannot be seen, and is not in the interval.
    """

    value: float
    low: float
    high: float
    from_rows: float
    from_seeds: float | None


@dataclass(frozen=True)
class Difference(Estimate):
    """A macro-F1 less another; `p` is two-sided, of no difference."""

    p: float


def estimate(runs: Runs, *, skewed: bool = False, seed: int = 0) -> Estimate:
    """The mean of some runs' macro-F1.

    Args:
        runs: of one loss.
        skewed: for a single label: its draws pile up at 0 where it is rare, so they are taken as
            they are, and not moved to lie around the value.
        seed: of the draws from Student's t.
    """
    found, _ = _estimate([runs], skewed, seed)
    return found


def difference(runs: Runs, minus: Runs, *, skewed: bool = False, seed: int = 0) -> Difference:
    """The mean of some runs' macro-F1 less that of others; arguments as of `estimate`."""
    found, noise = _estimate([runs, minus], skewed, seed)
    # One more than was seen, so that no p is 0 (Davison and Hinkley 1997, section 4.2).
    if skewed:  # as the interval: on which side of 0 the draws lie
        drawn = found.value + noise
        p = min(2 * (min((drawn <= 0).sum(), (drawn >= 0).sum()) + 1) / (len(drawn) + 1), 1.0)
    else:
        p = ((np.abs(noise) >= abs(found.value)).sum() + 1) / (len(noise) + 1)
    return Difference(**asdict(found), p=float(p))


def _estimate(sides: list[Runs], skewed: bool, seed: int) -> tuple[Estimate, Floats]:
    """One side, or the first less the second; and the draws of its noise."""
    signs = (1, -1)[: len(sides)]
    value = sum(s * float(np.mean(side.points)) for s, side in zip(signs, sides, strict=True))
    by_row = sum(s * side.draws.mean(0) for s, side in zip(signs, sides, strict=True))
    # A draw can miss a rare label, which lowers the draws' mean: only their spread is taken.
    noise = by_row - (value if skewed else by_row.mean())
    from_rows = float(noise.std())
    from_seeds, freedom = _seed_error([side.points for side in sides])
    if from_seeds is not None:
        # How far runs of one loss part on drawn rows, beyond how far they part on the split.
        apart = sum(
            max(side.draws.var(0, ddof=1).mean() - np.var(side.points, ddof=1), 0)
            / len(side.points)
            for side in sides
        )
        shared = np.sqrt(max(1 - apart / max(from_rows**2, 1e-300), 0))
        noise, from_rows = noise * shared, from_rows * float(shared)
        rng = np.random.default_rng(seed)
        noise = noise + from_seeds * stats.t.rvs(freedom, size=len(noise), random_state=rng)
    # Student's t knows nothing of F1's bounds.
    low, high = np.quantile(value + noise, [0.025, 0.975]).clip(1 - len(sides), 1)
    return Estimate(value, float(low), float(high), from_rows, from_seeds), noise


def _seed_error(sides: list[list[float]]) -> tuple[float | None, float]:
    """The standard error that seeds leave, and its degrees of freedom (Welch, Satterthwaite)."""
    if any(len(side) < 2 for side in sides):
        return None, np.inf
    parts = [np.var(side, ddof=1) / len(side) for side in sides]
    total = sum(parts)
    if total == 0:
        return 0.0, 1.0
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


def power(
    true: float, seeds: int, *, from_rows: float, seed_deviation: float, level: float = 0.05
) -> float:
    """The chance that `difference` gives a true difference a p below `level`; by simulation.

    Args:
        true: the difference of the two losses' expected macro-F1.
        seeds: of each loss, at least 2.
        from_rows: the standard error of the difference that rows leave.
        seed_deviation: standard deviation of macro-F1 over a loss's seeds.
        level: 0.05 over the losses that are compared with the baseline is Holm's first.
    """
    rng = np.random.default_rng(0)
    experiments, draws = 1000, 1000
    seed_deviation = max(seed_deviation, 1e-12)  # with none the degrees of freedom were 0 / 0
    parts = seed_deviation**2 * rng.chisquare(seeds - 1, (2, experiments)) / (seeds - 1) / seeds
    total = parts.sum(0)
    freedom = (seeds - 1) * total**2 / (parts**2).sum(0)
    noise = from_rows * rng.normal(size=(experiments, draws))
    noise += np.sqrt(total)[:, None] * rng.standard_t(freedom[:, None], (experiments, draws))
    error = np.hypot(from_rows, seed_deviation * np.sqrt(2 / seeds))
    seen = true + error * rng.normal(size=(experiments, 1))
    return float(((np.abs(noise) >= np.abs(seen)).mean(1) < level).mean())


def seeds_needed(
    true: float, *, from_rows: float, seed_deviation: float, level: float = 0.05
) -> int | None:
    """The seeds a loss, up to MOST_SEEDS, that give `power` CHANCE; None where they do not."""
    candidates = range(2, MOST_SEEDS + 1)

    def reached(seeds: int) -> bool:
        found = power(true, seeds, from_rows=from_rows, seed_deviation=seed_deviation, level=level)
        return found >= CHANCE

    first = bisect_left(candidates, True, key=reached)
    return candidates[first] if first < len(candidates) else None


def smallest_visible(*, from_rows: float, level: float = 0.05) -> float:
    """The true difference that this test split shows with power CHANCE and any number of seeds."""
    return float((stats.norm.ppf(1 - level / 2) + stats.norm.ppf(CHANCE)) * from_rows)
