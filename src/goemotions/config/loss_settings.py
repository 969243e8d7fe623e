"""The entries of `losses`; training/losses.py has their equations and sources."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from goemotions.config.base import (
    BelowOne,
    Gamma,
    NotNegative,
    Positive,
    Settings,
    Share,
    Task,
)


class MultiLabel(Settings):
    """What the losses for rows with any number of labels share."""

    task: ClassVar[Task] = "multi_label"


class SingleLabel(Settings):
    """What the losses for rows with exactly one label share."""

    task: ClassVar[Task] = "single_label"


class Bce(MultiLabel):
    """Binary cross-entropy."""

    function: Literal["bce"]
    smoothing: Share
    """Targets are moved by this share of the way towards 1/2."""


class Asl(MultiLabel):
    """Asymmetric loss, Ridnik et al. 2021."""

    function: Literal["asl"]
    gamma_neg: Gamma
    gamma_pos: Gamma
    clip: BelowOne


class Combined(MultiLabel):
    """A mix of ASL and focal loss weighted by inverse class frequency."""

    function: Literal["combined"]
    ratio: Share
    """ASL's share."""
    gamma_neg: Gamma
    gamma_pos: Gamma
    clip: BelowOne
    alpha: Share
    gamma: Gamma


class Focal(MultiLabel):
    """Focal loss, Lin et al. 2017."""

    function: Literal["focal"]
    alpha: Share
    gamma: Gamma


class WeightedBce(MultiLabel):
    """Binary cross-entropy with weighted positives."""

    function: Literal["weighted_bce"]
    power: Share


class ClassBalancedFocal(MultiLabel):
    """Focal loss weighted by the effective number of rows, Cui et al. 2019."""

    function: Literal["class_balanced_focal"]
    beta: BelowOne
    gamma: Gamma


class DistributionBalanced(MultiLabel):
    """Distribution-balanced loss, Wu et al. 2020."""

    function: Literal["distribution_balanced"]
    alpha: Share
    steepness: NotNegative
    mu: NotNegative
    kappa: NotNegative
    scale: Positive


class Zlpr(MultiLabel):
    """Zero-bounded log-sum-exp and pairwise rank-based loss, Su et al. 2022."""

    function: Literal["zlpr"]


class TwoWay(MultiLabel):
    """Two-way multi-label loss, Kobayashi 2023."""

    function: Literal["two_way"]
    temperature: Annotated[float, Ge(0.01)]


class SoftF1(MultiLabel):
    """One minus a macro-F1 of soft counts, Bénédict et al. 2022."""

    function: Literal["soft_f1"]
    slope: Positive
    offset: float


class CrossEntropy(SingleLabel):
    """Softmax cross-entropy."""

    function: Literal["cross_entropy"]
    smoothing: Share
    """Targets are moved by this share of the way towards 1 / labels."""


class SoftmaxFocal(SingleLabel):
    """Focal loss on softmax probabilities, Lin et al. 2017."""

    function: Literal["softmax_focal"]
    gamma: Gamma


LossSettings = (
    Bce | Asl | Combined | Focal | WeightedBce | ClassBalancedFocal | DistributionBalanced
    | Zlpr | TwoWay | SoftF1 | CrossEntropy | SoftmaxFocal
)  # fmt: skip
