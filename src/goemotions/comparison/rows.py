"""What a comparison says of one loss, and of two."""

from dataclasses import dataclass
from typing import Literal

from goemotions.comparison.statistics import Estimate, Improvement

Verdict = Literal["better", "worse", "equivalent", "undecided"]


@dataclass(frozen=True)
class Pair:
    """Two losses. Without a verdict where no loss has two seeds.

    Attributes:
        difference: the first one's score minus the second one's.
        p: of no difference, Holm-adjusted over the family.
        verdict: "better" where the first one is; "equivalent" where the difference is within the
            margin, both at 0.05 after Holm's correction over the family.
        improvement: the probability that a run of the first with a new seed scores higher.
        known: whether any row moves either score. Otherwise nothing is known of the difference, as
            of the F1 of a rare label that no run recognizes.
    """

    loss: str
    other: str
    difference: Estimate
    p: float | None
    verdict: Verdict | None
    improvement: Improvement | None
    known: bool


@dataclass(frozen=True)
class Row:
    """One loss.

    Attributes:
        runs: the keys of its experiments, in the order of the seeds.
        scores: of the runs.
        spread: the standard deviation over seeds; None for one seed.
        may_be_best: whether it cannot be excluded, at 95%, that this loss is the best.
        best: the probability that it is; None where no loss has two seeds, as `may_be_best`.
        against: its difference from the baseline, Holm-adjusted over the other losses; None for the
            baseline itself.
        g: Hedges's, of the difference from the baseline.
        seconds: training time, the mean of the known ones.
    """

    loss: str
    seeds: list[int]
    runs: list[str]
    scores: list[float]
    score: Estimate
    spread: float | None
    may_be_best: bool | None
    best: float | None
    against: Pair | None
    g: float | None
    seconds: float | None
