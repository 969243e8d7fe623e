"""How often `goemotions sweep --until-sure` is wrong, and what it saves: `make sequential`.

Experiments are simulated whose truth is known: five losses, more seeds of each until all is decided
or the budget is used. The noise is that of GoEmotions as `make coverage` simulates it, given here
by its three parts: that of rows which all seeds of a loss share, that of rows which each seed has
of its own, and that of seeds. The table goes into docs/statistics.md.
"""

import argparse
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from goemotions.comparison import sequential, statistics
from goemotions.comparison.statistics import LEVEL, Runs
from tools import between

BEGIN, END = "<!-- made by `make sequential` -->", "<!-- end of make sequential -->"
ROWS = 100  # of which each stands for many
OF_LOSS, OWN, SEED = 0.0022, 0.0043, 0.008  # standard deviations of a score


@dataclass(frozen=True)
class Cell:
    """A kind of experiment.

    Attributes:
        budget: seeds of each loss.
        differences: true ones of the other losses from the baseline.
        spreads: of each loss over seeds, the baseline first, in units of SEED.
    """

    name: str
    budget: int
    differences: tuple[float, ...] = (0.0,) * 4
    spreads: tuple[float, ...] = (1.0,) * 5
    margin: float = 0.005


@dataclass(frozen=True)
class Outcome:
    """Of one experiment.

    Attributes:
        decided: what was decided of each loss; of those at the end of the budget undecided, None.
        seeds: that were run, of all losses together.
        naive: whether looking at Holm's p after each look would have called any loss different.
    """

    decided: tuple[str | None, ...]
    seeds: int
    naive: bool


def cells() -> list[Cell]:
    found = []
    for budget in (10, 30):
        wide = "equal losses, baseline's spread 2 times the others'"
        other = "equal losses, another's spread 2 times the others'"
        found += [
            Cell("equal losses", budget),
            Cell(wide, budget, spreads=(2, 1, 1, 1, 1)),
            Cell(other, budget, spreads=(1, 2, 1, 1, 1)),
        ]
    return [
        *found[:3],
        Cell("all others better by 0.01", 10, (0.01,) * 4),
        Cell("all others better by 0.02", 10, (0.02,) * 4),
        Cell("equal losses, margin 0.015", 10, margin=0.015),
        Cell("all others better by the margin, 0.015", 10, (0.015,) * 4, margin=0.015),
        *found[3:],
    ]


def simulate(cell: Cell, number: int) -> Outcome:
    """One experiment.

    Args:
        number: of the experiment, which seeds it.
    """
    rng = np.random.default_rng([number, cell.budget])
    runs = {}
    for loss, (shift, spread) in enumerate(
        zip((0.0, *cell.differences), cell.spreads, strict=True)
    ):
        moves = OF_LOSS * np.sqrt(ROWS) * rng.normal(size=ROWS) + OWN * np.sqrt(ROWS) * rng.normal(
            size=(cell.budget, ROWS)
        )
        scores = shift + moves.mean(1) + spread * SEED * rng.normal(size=cell.budget)
        runs[str(loss)] = Runs(scores.tolist(), moves)
    decided = sequential.decisions(runs, "0", cell.budget, cell.margin)
    others = [loss for loss in runs if loss != "0"]
    last = {loss: decided[loss][1] if loss in decided else cell.budget for loss in others}
    return Outcome(
        tuple(decided[loss][0] if loss in decided else None for loss in others),
        sum(last.values()) + max(last.values()),
        _naive(runs, cell.budget),
    )


def _naive(runs: dict[str, Runs], budget: int) -> bool:
    """Whether any look at `goemotions compare` would have called a loss different."""
    for look in sequential.looks(budget):
        seen = {loss: Runs(one.scores[:look], one.moves[:look]) for loss, one in runs.items()}
        of = statistics.spreads(seen)
        ps = [
            statistics.estimate(seen[loss], of[loss], seen["0"], of["0"]).p()
            for loss in runs
            if loss != "0"
        ]
        if min(ps) < LEVEL / len(ps):  # Holm's first step
            return True
    return False


def row(cell: Cell, outcomes: list[Outcome]) -> str:
    every = [one for outcome in outcomes for one in outcome.decided]

    def share(*decisions: str) -> str:
        return f"{sum(one in decisions for one in every) / len(every):.1%}"

    different = np.mean(
        [any(one in ("better", "worse") for one in outcome.decided) for outcome in outcomes]
    )
    naive = np.mean([outcome.naive for outcome in outcomes])
    same = np.mean([any(one == "equivalent" for one in outcome.decided) for outcome in outcomes])
    used = np.mean([outcome.seeds for outcome in outcomes]) / (5 * cell.budget)
    columns = (
        cell.name, str(cell.budget), f"{different:.3f}", f"{naive:.3f}", f"{same:.3f}",
        share("better", "worse"), share("equivalent"), share("hopeless"), f"{used:.0%}",
    )  # fmt: skip
    return f"| {' | '.join(columns)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="docs/statistics.md")
    parser.add_argument("--experiments", type=int, default=500)
    options = parser.parse_args()
    lines = [
        f"Each row is {options.experiments:,} experiments.",
        "",
        "| simulated | seeds | any called different | the same by looking at p | any called "
        "equivalent | different | equivalent | given up | seeds used |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    with ProcessPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        for cell in cells():
            numbers = range(options.experiments)
            outcomes = list(pool.map(partial(simulate, cell), numbers, chunksize=50))
            lines.append(row(cell, outcomes))
            print(lines[-1], flush=True)
    between.put(options.file, BEGIN, END, "\n".join(["", *lines, ""]))


if __name__ == "__main__":
    main()
