"""Whether losses that were trained with the same seed share noise, so that pairing would help.

Reads what `goemotions compare --json` prints. Runs of the same seed share the order of their
batches and the start of their classifier. If that moved all losses alike, differences between
losses within a seed would vary less than differences between independent runs, and `compare`
should use them.
"""

import json
import sys

import numpy as np
from scipy import stats

METRICS = ("macro_f1", "micro_f1", "average_precision", "validation_average_precision")


def pairing(scores: np.ndarray) -> tuple[float, float]:
    """How much of a difference's variance pairing leaves, and how likely that is by chance.

    A two-way layout without repeats: score = mean + loss + seed + noise.

    Args:
        scores: [losses, seeds], at least two of each.

    Returns:
        The variance of the noise over that of noise and seed together: 1 if seeds share nothing,
        less if they do. And the p-value of the F test that there is no effect of the seed.
    """
    losses, seeds = scores.shape
    centred = scores - scores.mean(axis=1, keepdims=True)
    of_seeds = losses * (centred.mean(axis=0) ** 2).sum() / (seeds - 1)
    noise = ((centred - centred.mean(axis=0)) ** 2).sum() / ((losses - 1) * (seeds - 1))
    shared = max(0.0, (of_seeds - noise) / losses)
    p = stats.f.sf(of_seeds / noise, seeds - 1, (losses - 1) * (seeds - 1))
    return noise / (noise + shared), float(p)


def main() -> None:
    runs = json.load(sys.stdin)["runs"]
    by_seed = {(run["loss"], run["seed"]): run for run in runs}
    if len(by_seed) < len(runs):
        sys.exit("two runs have the same loss and seed: choose those of one comparison with --only")
    losses = sorted({loss for loss, _ in by_seed})
    seeds = sorted(
        seed for seed in {seed for _, seed in by_seed} if all((x, seed) in by_seed for x in losses)
    )
    if len(losses) < 2 or len(seeds) < 2:
        sys.exit("at least two losses with two common seeds are needed")
    print(f"{len(losses)} losses, seeds {', '.join(map(str, seeds))}")
    for metric in METRICS:
        scores = np.array([[by_seed[x, seed][metric] for seed in seeds] for x in losses], float)
        left, p = pairing(scores)
        print(f"{metric}: pairing leaves {left:.2f} of a difference's variance, p = {p:.2f}")


if __name__ == "__main__":
    main()
