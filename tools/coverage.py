"""How often intervals cover the truth and equal losses are told apart: `make coverage`.

Experiments are simulated whose truth is known: some losses, some seeds each, one test split. Row by
row and label by label a run has a score, of which one part is shared by all runs, one by the runs
of a loss, and one is its own; seeds shift a run's true positives besides. Each experiment is judged
by `goemotions compare`'s own functions, and by other methods beside it. The table goes into
docs/statistics.md.
"""

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from tqdm import tqdm

from goemotions.comparison import measures, statistics
from goemotions.comparison.statistics import LEVEL, Estimate, Runs, Spread
from tools import between

BEGIN, END = "<!-- made by `make coverage` -->", "<!-- end -->"
LOSSES = 5
GOEMOTIONS = (
    1787, 504, 351, 350, 320, 288, 284, 264, 252, 238, 198, 189, 186, 161, 156, 153, 151, 145, 141,
    135, 130, 123, 103, 83, 78, 77, 63, 56,
)  # fmt: skip
"""Test rows of each label, as in GoEmotions' 5,427, but without its rarest."""
RARE = (1787, 504, 350, 264, 186, 151, 120, 80, 56, 40, 37, 23, 16, 13, 11, 6)
SHARED, OF_LOSS, OWN = np.sqrt([0.6, 0.15, 0.25])  # parts of a score, in standard deviations
SPREAD = 0.032  # of the shift over seeds: 0.008 in macro-F1
METHODS = {
    "ours": "`goemotions compare`",
    "shared": "one spread for all losses",
    "welch": "Welch's t for seeds, and the noise of rows",
    "seeds": "1.96 standard errors over seeds",
    "unpaired": "z-test of rows, unpaired",
    "pooled": "z-test of rows, all runs pooled",
}


@dataclass(frozen=True)
class Cell:
    """A kind of experiment.

    Attributes:
        seeds: of each loss, the baseline first.
        spreads: of each loss, in units of SPREAD.
        shifts: of each loss's true positives; all equal where the losses are equal.
        support: test rows of each label, of 5,427.
    """

    name: str
    seeds: tuple[int, ...]
    rows: int
    spreads: tuple[float, ...] = (1.0,) * LOSSES
    shifts: tuple[float, ...] = (0.0,) * LOSSES
    support: tuple[int, ...] = GOEMOTIONS

    @property
    def equal(self) -> bool:
        return len(set(self.shifts)) == 1


def cells() -> list[Cell]:
    wide, other = (3.5, 1.0, 1.0, 1.0, 1.0), (1.0, 3.5, 1.0, 1.0, 1.0)
    differ = (0.0, 0.05, 0.1, -0.05, -0.1)
    found = []
    for seeds in (2, 3, 5, 10):
        every = (seeds,) * LOSSES
        found += [
            Cell(f"equal losses, {seeds} seeds", every, 2000),
            Cell(f"baseline's spread 3.5 times the others', {seeds} seeds", every, 2000, wide),
            Cell(f"another's spread 3.5 times, {seeds} seeds", every, 2000, other),
            Cell(f"different losses, {seeds} seeds", every, 2000, shifts=differ),
            Cell(f"different losses, rare labels, {seeds} seeds", every, 1000, shifts=differ,
                 support=RARE),
        ]  # fmt: skip
    for losses, word in ((2, "two"), (3, "three")):
        for seeds in (2, 3, 5):
            found.append(Cell(f"{word} equal losses, {seeds} seeds", (seeds,) * losses, 2000))
    for first, rest in ((1, 3), (2, 1), (10, 2), (2, 10)):
        name = f"equal losses, {first} seed(s) of the baseline and {rest} of the others"
        found.append(Cell(name, (first,) + (rest,) * (LOSSES - 1), 2000))
    found.append(Cell("equal losses, 2 seeds of one that is not the baseline and 1 of the others",
                      (1, 2, 1, 1, 1), 2000))  # fmt: skip
    return sorted(found, key=lambda cell: "equal losses" not in cell.name)


def truth(cell: Cell) -> NDArray[np.float64]:
    """Each loss's expected macro-F1 over rows and seeds, [losses]."""
    share, cut = _labels(cell)
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    expected = []
    for shift, spread in zip(cell.shifts, cell.spreads, strict=True):
        q = shift + SPREAD * spread * nodes[:, None]
        hits, wrong = share * stats.norm.cdf(0.3 + q), (1 - share) * stats.norm.sf(cut)
        scores = (2 * hits / (hits + wrong + share)).mean(1)
        expected.append(np.average(scores, weights=weights))
    return np.array(expected)


def _labels(cell: Cell) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each label's share of rows, and the cut that gives it half as many false positives."""
    share = np.array(cell.support) / 5427
    return share, stats.norm.isf(np.minimum(0.5 * share / (1 - share), 0.3))


def simulate(cell: Cell, rng: np.random.Generator) -> dict[str, Runs]:
    """One experiment's runs by loss."""
    share, cut = _labels(cell)
    shape = cell.rows, len(share)

    def noise(deviation: float) -> NDArray[np.float32]:
        return np.float32(deviation) * rng.standard_normal(shape, dtype=np.float32)

    targets = rng.random(shape) < share
    shared = noise(SHARED) + np.where(targets, 0.3, -cut).astype(np.float32)
    found = {}
    for loss, seeds in enumerate(cell.seeds):
        of_loss = shared + noise(OF_LOSS)
        every = []
        for _ in range(seeds):
            shift = cell.shifts[loss] + cell.spreads[loss] * SPREAD * rng.normal()
            score = of_loss + noise(OWN) + np.float32(shift) * targets
            every.append(measures.macro_f1(score > 0, targets))
        found[str(loss)] = measures.together(every)
    return found


def judged(runs: dict[str, Runs]) -> dict[str, list[Estimate]]:
    """By each method, the difference of each loss from the first."""
    baseline, *others = runs
    of = statistics.spreads(runs)
    own = {loss: _own(loss, runs) for loss in runs}
    variance, freedom = (np.array([one]) for one in statistics.pooled(runs))
    shared = {loss: Spread(variance, freedom, one.apart) for loss, one in of.items()}
    spreads = {"ours": of, "shared": shared, "welch": own}

    def estimate(method: str, loss: str) -> Estimate:
        a, b = runs[loss], runs[baseline]
        if method in spreads:
            return statistics.estimate(a, spreads[method][loss], b, spreads[method][baseline])
        return _normal(a.mean - b.mean, _standard_error(method, a, b))

    return {method: [estimate(method, loss) for loss in others] for method in METHODS}


def _own(loss: str, runs: dict[str, Runs]) -> Spread | None:
    """A loss's spread from its own seeds alone, as Welch's test has it."""
    one = runs[loss]
    if len(one.scores) < 2:
        return None
    parts = np.array([np.var(one.scores, ddof=1) if other == loss else 0.0 for other in runs])
    degrees = np.array([max(len(other.scores) - 1.0, 1.0) for other in runs.values()])
    return Spread(parts, degrees, one.apart or 0.0)


def _standard_error(method: str, a: Runs, b: Runs) -> float:
    sides, rows = (a, b), a.moves.shape[1]
    if method == "seeds":
        if min(len(side.scores) for side in sides) < 2:
            return np.inf
        return float(np.sqrt(sum(np.var(s.scores, ddof=1) / len(s.scores) for s in sides)))
    if method == "unpaired":
        return float(np.sqrt(sum(side.shared.var() / rows for side in sides)))
    of_runs = [side.moves.var(1).mean() / rows / len(side.scores) for side in sides]
    return float(np.sqrt(sum(of_runs)))


def _normal(value: float, error: float) -> Estimate:
    half = stats.norm.isf(LEVEL / 2) * error
    return Estimate(value, value - half, value + half, error, None, None)


def run(cell: Cell, experiments: int, seed: int) -> dict[str, tuple[float, float, float]]:
    """By each method: covered intervals, experiments with a false difference, mean width."""
    rng = np.random.default_rng(seed)
    true = truth(cell)[: len(cell.seeds)]
    differences = true[1:] - true[0]
    total = {method: np.zeros(3) for method in METHODS}
    for _ in range(experiments):
        for method, estimates in judged(simulate(cell, rng)).items():
            covered = [e.low <= d <= e.high for e, d in zip(estimates, differences, strict=True)]
            width = np.mean([e.high - e.low for e in estimates])
            # Holm's first step, which decides whether there is any difference.
            least = len(estimates) * min(one.p() for one in estimates)
            total[method] += np.mean(covered), least < LEVEL, width
    return {
        method: (float(c / experiments), float(f / experiments), float(w / experiments))
        for method, (c, f, w) in total.items()
    }


def table(
    found: Sequence[tuple[Cell, dict[str, tuple[float, float, float]]]], experiments: int
) -> str:
    """Markdown: coverage, and the familywise error where the losses are equal."""
    lines = [
        "",
        f"Each row is {experiments:,} experiments.",
        "",
        f"| simulated | rows | {' | '.join(METHODS.values())} |",
        "| --- " * (len(METHODS) + 2) + "|",
    ]
    for cell, scores in found:
        written = []
        for covered, error, width in scores.values():
            if not np.isfinite(width):
                written.append("")
            elif cell.equal:
                written.append(f"{100 * covered:.1f}% / {error:.3f}")
            else:
                written.append(f"{100 * covered:.1f}%")
        lines.append(f"| {cell.name} | {cell.rows:,} | {' | '.join(written)} |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--experiments", type=int, default=1500, help="of each kind")
    options = parser.parse_args()
    every = cells()
    chunks = 10
    size = -(-options.experiments // chunks)
    tasks = [
        (cell, size, 1000 * n + chunk) for n, cell in enumerate(every) for chunk in range(chunks)
    ]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        parts = list(tqdm(pool.map(run, *zip(*tasks, strict=True)), total=len(tasks)))
    found = []
    for n, cell in enumerate(every):
        of_cell = parts[n * chunks : (n + 1) * chunks]
        means = {m: tuple(np.mean([part[m] for part in of_cell], axis=0)) for m in METHODS}
        found.append((cell, means))
    text = table(found, size * chunks)
    between.put(options.target, BEGIN, END, text)
    print(text)


if __name__ == "__main__":
    main()
