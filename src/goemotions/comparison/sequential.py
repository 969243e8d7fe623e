"""When is a loss's difference from the baseline decided, while seeds are still being added?

Looking at every new seed and stopping at the first p below 0.05 would be wrong far more often than
in 5% of experiments. In a group-sequential test the looks share that error (Lan and DeMets 1983,
with the spending function that is like O'Brien and Fleming's). The noise of rows is the same at
every look and that of seeds shrinks, so the covariance of two looks' differences is the variance of
the later one: the joint distribution that the theory needs (Jennison and Turnbull 2000, chapter 3).
The variances are estimated, so levels are compared with p-values, which allow for that.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq
from scipy.special import ndtr

from goemotions.comparison import statistics
from goemotions.comparison.statistics import Estimate, Runs

Decision = Literal["better", "worse", "equivalent", "hopeless"]
MEANING: dict[Decision, str] = {
    "better": "better than",
    "worse": "worse than",
    "equivalent": "equivalent to",
    "hopeless": "unlikely to be told apart from",
}
ERROR = 0.035  # of all losses and looks together, so that simulations err in some 5%
LEAST_CHANCE = 0.1  # of being decided within the budget, below which a loss is given up
GROWTH = 1.5  # of the seeds from one look to the next
_POINTS = 200  # of the grid on which the boundary is found
LEAST_STEP = 0.002  # of the information: the distribution of a smaller step is too narrow for it


def looks(seeds: int) -> list[int]:
    """After how many seeds of each loss to look, from 2 up to all of them."""
    found, last = [], 2
    while last < seeds:
        found.append(last)
        last = max(last + 1, int(last * GROWTH))
    return [*found, seeds]


def levels(fractions: Sequence[float], error: float) -> list[float]:
    """The level of a one-sided p at each look, so that all looks together err as often as `error`.

    Args:
        fractions: of the information that the budget gives, at each look; at most 1, and none less
            than the one before. A look other than the last that adds less than LEAST_STEP has the
            level 0.
        error: how often any look may cross its boundary where there is no difference.
    """
    found: list[float] = []
    grid, density = np.zeros(1), np.ones(1)  # of the Brownian motion that has not crossed yet
    before = spent = 0.0
    for fraction in fractions:
        if fraction < 1.0 and fraction - before < LEAST_STEP:
            found.append(0.0)
            continue
        step = float(np.sqrt(fraction - before))
        share = 2 * float(stats.norm.sf(stats.norm.isf(error / 2) / np.sqrt(fraction))) - spent
        bound = _bound(grid, density, step, share)
        found.append(float(stats.norm.sf(bound / np.sqrt(fraction))))
        low = -8 * float(np.sqrt(fraction))
        new = np.linspace(low, bound, _POINTS)
        moved = (
            np.exp(-(((new[:, None] - grid) / step) ** 2) / 2) @ density / step / np.sqrt(2 * np.pi)
        )
        moved[[0, -1]] /= 2  # the trapezoidal rule
        grid, density = new, moved * (new[1] - new[0])
        before, spent = fraction, spent + share
    return found


def _bound(
    grid: NDArray[np.float64], density: NDArray[np.float64], step: float, share: float
) -> float:
    """Which value a motion on the grid exceeds, one step later, with the probability `share`."""

    def above(bound: float) -> float:
        return float(ndtr((grid - bound) / step) @ density) - share

    return float(brentq(above, -20.0, 20.0)) if above(20.0) < 0 else 20.0


def decisions(
    runs: Mapping[str, Runs], baseline: str, budget: int, margin: float
) -> dict[str, tuple[Decision, int]]:
    """What is decided of each loss against the baseline, and after how many seeds.

    A loss is better or worse, or equivalent within the margin, each with an error of ERROR over the
    number of losses compared; hopeless if none of these is likely within the budget. What is
    decided at one look stays, and depends on the runs up to that look alone, so that a sweep that
    was interrupted decides the same again. Nothing is decided of a loss while no row moves its
    score or the baseline's, as where no run recognizes a rare label.

    Args:
        runs: of each loss in the order of the seeds.
        budget: seeds of each loss.
    """
    found: dict[str, tuple[Decision, int]] = {}
    error = ERROR / max(len(runs) - 1, 1)
    fractions: dict[str, list[float]] = {loss: [] for loss in runs if loss != baseline}
    for look in looks(budget):
        if look > len(runs[baseline].scores):
            break
        seen = {}
        for loss, one in runs.items():
            last = found[loss][1] if loss in found else look
            seen[loss] = Runs(one.scores[:last], one.moves[:last])
        of = statistics.spreads(seen)
        for loss in fractions.keys() - found.keys():
            if not (seen[loss].moves.any() or seen[baseline].moves.any()):
                continue  # no row moves either score, so nothing is known
            now = statistics.estimate(seen[loss], of[loss], seen[baseline], of[baseline])
            end, noise = _standard_error(now, look / budget), _standard_error(now)
            before = fractions[loss][-1] if fractions[loss] else 0.0
            fraction = (end / noise) ** 2 if noise else 1.0
            # The spread over seeds is estimated again, so it may seem to fall; and the last look,
            # at which all is known, must bring something.
            fraction = min(max(fraction, before), 1.0 - LEAST_STEP)
            fractions[loss].append(1.0 if look == budget else fraction)
            if decision := _decision(now, end, fractions[loss], error, margin):
                found[loss] = decision, look
    return found


def _standard_error(of: Estimate, share: float = 1.0) -> float:
    """The standard error, where the seeds of `of` are a share of all of them: that with all."""
    return float(np.hypot(of.from_rows, (of.from_seeds or 0.0) * np.sqrt(share)))


def _decision(
    now: Estimate, end: float, fractions: list[float], error: float, margin: float
) -> Decision | None:
    """Of one loss at one look, or None to go on.

    Args:
        end: the standard error with all seeds.
        fractions: of the information, at this look and those before.
    """
    done = fractions[-1] >= 1.0
    ahead = [] if done else [1.0]
    different, same = (levels([*fractions, *ahead], part) for part in (error / 2, error))
    here = len(fractions) - 1
    if now.p() / 2 < different[here]:
        return "better" if now.value > 0 else "worse"
    if statistics.equivalence(now, margin) < same[here]:
        return "equivalent"
    if done:
        return "hopeless"
    # Where the difference may be at the end, as far as this look can tell.
    spread = max(float(np.sqrt(_standard_error(now) ** 2 - end**2)), 1e-12)
    far = end * float(stats.norm.isf(different[-1]))
    near = margin - end * float(stats.norm.isf(same[-1]))
    outside = ndtr((now.value - far) / spread) + ndtr((-far - now.value) / spread)
    inside = ndtr((near - now.value) / spread) - ndtr((-near - now.value) / spread)
    return "hopeless" if outside + max(inside, 0.0) < LEAST_CHANCE else None
