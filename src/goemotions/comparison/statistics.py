"""How sure is a difference between losses, given the noise of test rows and that of seeds?

A loss's mean over seeds differs from what it would be on other rows and with other seeds. The noise
of rows is known well, from thousands of rows. That of seeds is not, from two to five of them: so
each loss's variance is moderated by that of all losses, as Smyth (2004, section 4) does for genes,
and the t distribution allows for what is still not known. docs/statistics.md has the formulas, and
a table of how often the intervals cover the truth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import count

import numpy as np
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr

from goemotions.metrics.f1 import Floats

LEVEL = 0.05
POWER = 0.8  # that planned runs should have
POOLED_WEIGHT = 0.75  # of the variance of all losses, where a loss's own has the weight 1
DRAWS = 20_000


@dataclass(frozen=True)
class Runs:
    """The runs of one loss, one per seed.

    Attributes:
        scores: of each run on all rows.
        moves: how much each row moves each score, [runs, rows]; see `measures.Measure`.
    """

    scores: list[float]
    moves: Floats

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores))

    @cached_property
    def shared(self) -> Floats:
        """How much each row moves the mean, [rows]."""
        return np.asarray(self.moves.mean(0))

    @cached_property
    def apart(self) -> float | None:
        """How much of a score's variance over rows the runs do not share; None for one run."""
        if len(self.scores) < 2:
            return None
        rows = self.moves.shape[1]
        return float(self.moves.var(0, ddof=1).mean() / rows)


@dataclass(frozen=True)
class Spread:
    """What is known of how a loss's score varies.

    Attributes:
        parts: its variance over seeds, as a sum of parts whose estimates are independent: what the
            runs of each loss with several seeds contribute, [losses with several seeds].
        degrees: of freedom of each part, [losses with several seeds].
        apart: the part of the variance over rows that the variance over seeds includes, since the
            runs of a loss differ on single rows by chance. So that variance is never below it.
    """

    parts: Floats
    degrees: Floats
    apart: float

    @property
    def variance(self) -> float:
        """Over seeds."""
        return float(self.parts.sum())

    @property
    def freedom(self) -> float:
        """The degrees of freedom of `variance`."""
        return _satterthwaite(self.parts, self.degrees)


@dataclass(frozen=True)
class Estimate:
    """A score, or a difference of two, with its 95% confidence interval.

    Attributes:
        low, high: the interval.
        from_rows, from_seeds: the standard errors due to the two sources. Where no loss has two
            seeds, from_seeds is None: its noise is not known, and the interval is without it.
        freedom: the degrees of freedom of from_seeds; None where that is 0 or not known.
    """

    value: float
    low: float
    high: float
    from_rows: float
    from_seeds: float | None
    freedom: float | None

    def p(self, null: float = 0.0) -> float:
        """Two-sided, of the hypothesis that the true value is `null`."""
        return 2 * self.tail(abs(self.value - null))

    def above(self, null: float) -> float:
        """One-sided p of the hypothesis that the true value is `null` or less."""
        return self.tail(self.value - null)

    def tail(self, distance: float) -> float:
        """The probability that noise alone exceeds a distance."""
        noise = _noise(self.from_rows, self.from_seeds, self.freedom)
        return _tail(distance, *noise)

    @property
    def reach_of_seeds(self) -> float:
        """Half of the 95% interval that the noise of seeds alone would give."""
        return _distance(LEVEL / 2, 0.0, self.from_seeds, self.freedom)


def spreads(runs: Mapping[str, Runs]) -> dict[str, Spread]:
    """Of each loss, moderated by the others; empty where no loss has two seeds.

    A loss's variance is the mean of its own and, with POOLED_WEIGHT, the pooled one of all losses.
    The pooled one alone would be wrong where losses differ in their spread, and their own alone is
    hardly known. A loss with one seed has the pooled one.
    """
    several = {loss: one for loss, one in runs.items() if len(one.scores) > 1}
    if not several:
        return {}
    degrees = np.array([len(one.scores) - 1.0 for one in several.values()])
    variances = np.array([np.var(one.scores, ddof=1) for one in several.values()])
    apart = np.array([one.apart for one in several.values()])
    of_pooled = degrees / degrees.sum()  # what each loss counts in the pooled variance
    moderated = (variances + POOLED_WEIGHT * of_pooled @ variances) / (1 + POOLED_WEIGHT)
    found = {}
    for loss in runs:
        if loss in several:
            own = np.array([one == loss for one in several])
            counts = (own + POOLED_WEIGHT * of_pooled) / (1 + POOLED_WEIGHT)
            of_rows = float(apart @ own)
        else:
            counts, of_rows = of_pooled, float(apart @ of_pooled)
        variance = max(float(counts @ variances), of_rows)
        # How it divides into parts is taken from the moderated variances: those of two or three
        # seeds are too noisy for it.
        shares = counts * moderated if moderated.any() else counts
        found[loss] = Spread(variance * shares / shares.sum(), degrees, of_rows)
    return found


def pooled(runs: Mapping[str, Runs]) -> tuple[float, int]:
    """The variance over seeds of all losses together, with its degrees of freedom.

    One of the losses must have two seeds.
    """
    several = [one for one in runs.values() if len(one.scores) > 1]
    freedom = np.array([len(one.scores) - 1 for one in several])
    variance = freedom @ [np.var(one.scores, ddof=1) for one in several]
    apart = freedom @ np.array([one.apart for one in several])
    return float(max(variance, apart) / freedom.sum()), int(freedom.sum())


def estimate(
    runs: Runs,
    spread: Spread | None,
    minus: Runs | None = None,
    minus_spread: Spread | None = None,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Estimate:
    """The mean score of one loss's runs, or that minus another's on the same rows.

    Args:
        runs, minus: the two losses.
        spread, minus_spread: theirs, from one call of `spreads`; None where it is not known.
        bounds: that the true value cannot leave.
    """
    value, moves = runs.mean, runs.shared
    sides = [(runs, spread)]
    if minus is not None:
        value, moves = value - minus.mean, moves - minus.shared
        sides.append((minus, minus_spread))
    over_rows = float(np.var(moves, ddof=1) / len(moves))
    from_seeds, freedom = None, None
    known = [(len(one.scores), of) for one, of in sides if of is not None]
    if len(known) == len(sides):
        over_rows = max(over_rows - sum(of.apart / n for n, of in known), 0.0)
        parts = np.sum([of.parts / n for n, of in known], axis=0)
        from_seeds = float(np.sqrt(parts.sum()))
        if from_seeds > 0:
            freedom = _satterthwaite(parts, known[0][1].degrees)
    from_rows = float(np.sqrt(over_rows))
    half = _distance(LEVEL / 2, from_rows, from_seeds, freedom)
    low, high = np.clip([value - half, value + half], *bounds)
    return Estimate(value, float(low), float(high), from_rows, from_seeds, freedom)


def _satterthwaite(parts: Floats, degrees: Floats) -> float:
    """The degrees of freedom of a sum of independent variances (Satterthwaite 1946)."""
    if not parts.any():
        return float(degrees.sum())
    return float(parts.sum() ** 2 / (parts**2 / degrees).sum())


def _noise(
    from_rows: float, from_seeds: float | None, freedom: float | None
) -> tuple[Floats, Floats]:
    """Standard deviations of normal distributions, and their weights.

    Student's t is a mixture of normal distributions, and so is its sum with another one.
    """
    if not from_seeds or freedom is None:
        return np.array([np.hypot(from_rows, from_seeds or 0.0)]), np.array([1.0])
    factor, weight = _mixture(round(freedom, 2))
    return np.sqrt(from_rows**2 + from_seeds**2 * factor), weight


@lru_cache
def _mixture(freedom: float) -> tuple[Floats, Floats]:
    """Variances of normal distributions whose mixture is Student's t, with weights."""
    points = (np.arange(400) + 0.5) / 400
    # Cubed, so that many of the points lie in the tail, where the variances are high.
    weights = points**2 / (points**2).sum()
    return freedom / stats.chi2.ppf(points**3, freedom), weights


def _tail(distance: float, deviations: Floats, weights: Floats) -> float:
    if not deviations.all():  # neither seeds nor rows make any noise
        return 0.5 if distance == 0 else float(distance < 0)
    return float(ndtr(-distance / deviations) @ weights)


def _distance(
    share: float, from_rows: float, from_seeds: float | None, freedom: float | None
) -> float:
    """What noise alone exceeds with a probability of `share`, below 0.5."""
    noise = _noise(from_rows, from_seeds, freedom)
    unit = float(np.hypot(from_rows, from_seeds or 0.0))
    if unit == 0:
        return 0.0
    return unit * float(brentq(lambda x: _tail(unit * x, *noise) - share, 0, 1e5))


def equivalence(difference: Estimate, margin: float) -> float:
    """The p of two one-sided tests of a difference being outside ± margin (Schuirmann 1987)."""
    return difference.tail(margin - abs(difference.value))  # the larger one


def holm(ps: Sequence[float]) -> list[float]:
    """Holm-adjusted p-values (Holm 1979), in the order given."""
    # statsmodels has this, too, but collects garbage at each call: most of a comparison's time in a
    # large process.
    order = np.argsort(ps)
    adjusted = np.empty(len(ps))
    adjusted[order] = np.maximum.accumulate(np.sort(ps) * np.arange(len(ps), 0, -1))
    return [float(p) for p in np.minimum(adjusted, 1.0)]


def hedges_g(scores: list[float], minus: list[float]) -> float | None:
    """The difference in pooled standard deviations over seeds, without its bias for few seeds.

    Hedges (1981), equation 6e; None where a loss has one seed or the seeds do not differ.
    """
    a, b = len(scores), len(minus)
    if min(a, b) < 2:
        return None
    variance = ((a - 1) * np.var(scores, ddof=1) + (b - 1) * np.var(minus, ddof=1)) / (a + b - 2)
    if variance <= 0:
        return None
    unbiased = 1 - 3 / (4 * (a + b - 2) - 1)
    return float(unbiased * (np.mean(scores) - np.mean(minus)) / np.sqrt(variance))


def may_be_best(runs: Mapping[str, Runs], of: Mapping[str, Spread]) -> list[str]:
    """The losses that cannot be excluded from having the highest expected score, at 95%.

    A loss is excluded where another one is better, two-sided, at 0.05 over the number of others. So
    the one that is best in truth is excluded in at most 2.5% of experiments: the lower bound of
    Hsu's multiple comparisons with the best (1981), by Bonferroni's inequality. One-sided tests
    would exclude more, but a single best loss could then be "undecided" in Holm's first step.
    """
    level = LEVEL / 2 / max(len(runs) - 1, 1)
    return [
        loss
        for loss, one in runs.items()
        if all(
            estimate(better, of[other], one, of[loss]).above(0.0) >= level
            for other, better in runs.items()
            if other != loss
        )
    ]


@dataclass(frozen=True)
class Improvement:
    """The probability that a run of one loss with a new seed scores higher than one of another's.

    The interval is a 95% one.
    """

    value: float
    low: float
    high: float


class Draws:
    """Expected scores and spreads that fit what was seen, as draws with a flat prior."""

    def __init__(self, runs: Mapping[str, Runs], of: Mapping[str, Spread]):
        rng = np.random.default_rng(0)
        moves = np.stack([one.shared for one in runs.values()])
        seeds = np.array([len(one.scores) for one in runs.values()])
        spread = [of[loss] for loss in runs]
        over_rows = np.cov(moves).reshape(len(runs), -1) / moves.shape[1]
        over_rows -= np.diag([one.apart for one in spread] / seeds)
        values, vectors = np.linalg.eigh(over_rows)
        root = vectors * np.sqrt(values.clip(0))
        freedom = np.array([one.freedom for one in spread])[:, None]
        self._losses = list(runs)
        self._variance = (
            np.array([one.variance for one in spread])[:, None]
            * freedom
            / rng.chisquare(freedom, (len(runs), DRAWS))
        )
        self._means = (
            np.array([one.mean for one in runs.values()])[:, None]
            + root @ rng.normal(size=(len(runs), DRAWS))
            + np.sqrt(self._variance / seeds[:, None]) * rng.normal(size=(len(runs), DRAWS))
        )

    def best(self) -> dict[str, float]:
        """The probability of each loss to have the highest expected score."""
        highest = self._means == self._means.max(0)
        wins = (highest / highest.sum(0)).mean(1)  # losses that are equal share a win
        return dict(zip(self._losses, wins.tolist(), strict=True))

    def improvement(self, loss: str, over: str) -> Improvement:
        """P(loss > over) for runs with new seeds; what it is about: Agarwal et al. (2021)."""
        a, b = self._losses.index(loss), self._losses.index(over)
        spread = np.sqrt(self._variance[a] + self._variance[b])
        difference = self._means[a] - self._means[b]
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.nan_to_num(difference / spread, nan=0.0)
        chance = stats.norm.cdf(z)
        low, high = np.quantile(chance, [LEVEL / 2, 1 - LEVEL / 2])
        return Improvement(float(chance.mean()), float(low), float(high))


@dataclass(frozen=True)
class Plan:
    """How many seeds per loss detect a difference with POWER.

    Attributes:
        seeds, low, high: their number, and its 95% interval, since the spread over seeds is not
            known exactly (that of the noise of rows is not in it). None where no number is enough.
        smallest: the difference that is detected with any number of seeds.
    """

    seeds: float | None
    low: float | None
    high: float | None
    smallest: float


def plan(
    difference: float,
    *,
    from_rows: float,
    variance: float,
    freedom: int,
    level: float,
    losses: int,
) -> Plan:
    """The seeds per loss for a true difference.

    Args:
        difference: of the two losses' expected scores.
        from_rows: the standard error of the difference due to rows.
        variance, freedom: of the score over seeds, from `pooled`.
        level: of the test, two-sided; for Holm's first step 0.05 over the number of tests.
        losses: how many are compared, each with that many seeds.
    """
    needed = float(stats.norm.isf(level / 2) + stats.norm.ppf(POWER))
    left = (difference / needed) ** 2 - from_rows**2
    smallest = needed * from_rows
    if left <= 0:
        return Plan(None, None, None, smallest)
    # What each loss counts in the variance of the difference, as in `spreads` with equal variances.
    counts = np.full(losses, POOLED_WEIGHT / losses)
    counts[:2] += 0.5
    counts /= counts.sum()

    def is_enough(seeds: int, variance: float) -> bool:
        noise = from_rows, np.sqrt(2 * variance / seeds), (seeds - 1) / float(counts @ counts)
        return difference >= _distance(level / 2, *noise) + _distance(1 - POWER, *noise)

    def least(variance: float) -> float:
        low = int(np.ceil(max(2 * variance / left, 2.0)))  # enough by the normal distribution
        if low > 1000:  # from which Student's t hardly differs
            return float(low)
        return float(next(seeds for seeds in count(low) if is_enough(seeds, variance)))

    ratios = freedom / stats.chi2.ppf([1 - LEVEL / 2, LEVEL / 2], freedom)
    low, middle, high = (least(variance * ratio) for ratio in (ratios[0], 1, ratios[1]))
    return Plan(middle, low, high, smallest)
