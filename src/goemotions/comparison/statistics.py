"""How sure is a difference of macro-F1, given the noise of test rows and that of seeds?

Rows are resampled by a paired bootstrap, the same ones for every run (Efron and Tibshirani 1993,
chapter 13). Resampling the two to five seeds that people can afford would make intervals too
narrow, so their noise is Student's t with Welch's degrees of freedom (Welch 1947). The spread over
seeds already includes how the runs of a loss differ on single rows by chance; that part is removed
from the first source, or it would count twice. docs/statistics.md says what each number answers.
"""

from bisect import bisect_left
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

MINIMUM_POWER = 0.8
MOST_SEEDS = 100


@dataclass(frozen=True)
class Runs:
    """The runs of one loss, one per seed.

    Attributes:
        scores: macro-F1 of each run on all rows.
        resamples: macro-F1 of each run on resampled rows, the same rows for all losses,
            [runs, resamples].
    """

    scores: list[float]
    resamples: Floats


@dataclass(frozen=True)
class Estimate:
    """A macro-F1 with its 95% confidence interval.

    Attributes:
        value: from all rows and seeds.
        low, high: the interval.
        from_rows, from_seeds: the standard errors due to the two sources. from_seeds is None where
            a loss has a single seed: its noise cannot be estimated, and is not in the interval.
    """

    value: float
    low: float
    high: float
    from_rows: float
    from_seeds: float | None


@dataclass(frozen=True)
class Difference(Estimate):
    """One macro-F1 minus another; `p` is two-sided, for no difference."""

    p: float


def estimate(runs: Runs, *, percentile: bool = False, seed: int = 0) -> Estimate:
    """The mean macro-F1 of one loss's runs.

    Args:
        runs: of one loss.
        percentile: take the bootstrap's percentiles as they are, instead of centring the resamples
            on the value. For a single label, whose resamples pile up at 0 where it is rare.
        seed: of the draws from Student's t.
    """
    return _estimate([runs], percentile, seed)[0]


def difference(runs: Runs, minus: Runs, *, percentile: bool = False, seed: int = 0) -> Difference:
    """The mean macro-F1 of one loss's runs minus that of another's; arguments as for `estimate`."""
    result, noise = _estimate([runs, minus], percentile, seed)
    # One is added to both counts, so that p is never 0 (Davison and Hinkley 1997, section 4.2).
    if percentile:  # as for the interval: how many resamples lie on the other side of 0
        resampled = result.value + noise
        smaller = min((resampled <= 0).sum(), (resampled >= 0).sum())
        p = min(2 * (smaller + 1) / (len(noise) + 1), 1.0)
    else:
        p = ((np.abs(noise) >= abs(result.value)).sum() + 1) / (len(noise) + 1)
    return Difference(**asdict(result), p=float(p))


def _estimate(sides: list[Runs], percentile: bool, seed: int) -> tuple[Estimate, Floats]:
    """The estimate of one side, or of the first minus the second, and samples of its noise."""
    signs = (1, -1)[: len(sides)]
    value = sum(s * float(np.mean(side.scores)) for s, side in zip(signs, sides, strict=True))
    by_rows = sum(s * side.resamples.mean(0) for s, side in zip(signs, sides, strict=True))
    # A resample can miss a rare label, which lowers the resamples' mean: only their spread counts.
    noise = by_rows - (value if percentile else by_rows.mean())
    from_rows = float(noise.std())
    from_seeds, freedom = _seed_error([side.scores for side in sides])
    if from_seeds is not None:
        # How far the runs of one loss differ on resampled rows, beyond their spread on all rows.
        counted_twice = sum(
            max(side.resamples.var(0, ddof=1).mean() - np.var(side.scores, ddof=1), 0)
            / len(side.scores)
            for side in sides
        )
        remaining = np.sqrt(max(1 - counted_twice / max(from_rows**2, 1e-300), 0))
        noise, from_rows = noise * remaining, from_rows * float(remaining)
        rng = np.random.default_rng(seed)
        noise = noise + from_seeds * stats.t.rvs(freedom, size=len(noise), random_state=rng)
    # Student's t does not know the bounds of F1.
    low, high = np.quantile(value + noise, [0.025, 0.975]).clip(1 - len(sides), 1)
    return Estimate(value, float(low), float(high), from_rows, from_seeds), noise


def _seed_error(sides: list[list[float]]) -> tuple[float | None, float]:
    """The standard error due to seeds, and its degrees of freedom (Welch, Satterthwaite)."""
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


def welch(scores: list[float], minus: list[float]) -> float | None:
    """The p of Welch's t-test over seeds alone; None below three seeds per loss."""
    if min(len(scores), len(minus)) < 3:
        return None
    return float(stats.ttest_ind(scores, minus, equal_var=False).pvalue)


def cohen_d(scores: list[float], minus: list[float]) -> float | None:
    """The difference in pooled standard deviations over seeds (Cohen 1988, eq. 2.5.1)."""
    a, b = len(scores), len(minus)
    if min(a, b) < 2:
        return None
    pooled = ((a - 1) * np.var(scores, ddof=1) + (b - 1) * np.var(minus, ddof=1)) / (a + b - 2)
    return float((np.mean(scores) - np.mean(minus)) / np.sqrt(pooled)) if pooled > 0 else None


def holm(ps: list[float]) -> list[float]:
    """Holm-adjusted p-values (Holm 1979), in the order given."""
    from statsmodels.stats.multitest import multipletests  # takes seconds to import

    return [float(p) for p in multipletests(ps, method="holm")[1]] if ps else []


def power(
    true: float, seeds: int, *, from_rows: float, seed_deviation: float, level: float = 0.05
) -> float:
    """The probability that `difference` finds a true difference at `level`, by simulation.

    statsmodels' power of a t-test knows only one source of noise.

    Args:
        true: the difference of the two losses' expected macro-F1.
        seeds: per loss, at least 2.
        from_rows: the standard error of the difference due to rows.
        seed_deviation: standard deviation of macro-F1 over a loss's seeds.
        level: for Holm's first step, 0.05 over the number of losses compared with the baseline.
    """
    rng = np.random.default_rng(0)
    experiments, resamples = 1000, 1000
    seed_deviation = max(seed_deviation, 1e-12)  # 0 would make the degrees of freedom 0 / 0
    parts = seed_deviation**2 * rng.chisquare(seeds - 1, (2, experiments)) / (seeds - 1) / seeds
    total = parts.sum(0)
    freedom = (seeds - 1) * total**2 / (parts**2).sum(0)
    noise = from_rows * rng.normal(size=(experiments, resamples))
    noise += np.sqrt(total)[:, None] * rng.standard_t(freedom[:, None], (experiments, resamples))
    error = np.hypot(from_rows, seed_deviation * np.sqrt(2 / seeds))
    observed = true + error * rng.normal(size=(experiments, 1))
    return float(((np.abs(noise) >= np.abs(observed)).mean(1) < level).mean())


def seeds_for_difference(
    true: float, *, from_rows: float, seed_deviation: float, level: float = 0.05
) -> int | None:
    """The seeds per loss that give MINIMUM_POWER; None where MOST_SEEDS are too few."""
    candidates = range(2, MOST_SEEDS + 1)
    noise = {"from_rows": from_rows, "seed_deviation": seed_deviation, "level": level}
    first = bisect_left(candidates, MINIMUM_POWER, key=lambda seeds: power(true, seeds, **noise))
    return candidates[first] if first < len(candidates) else None


def smallest_detectable(*, from_rows: float, level: float = 0.05) -> float:
    """The true difference that has MINIMUM_POWER on this test split with any number of seeds."""
    return float((stats.norm.ppf(1 - level / 2) + stats.norm.ppf(MINIMUM_POWER)) * from_rows)
