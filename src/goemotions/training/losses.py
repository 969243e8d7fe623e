"""The losses, and the registry that params.yaml's `losses` entries name them by.

Shapes, everywhere here: logits z [batch, labels], real; targets y [batch, labels], 0 or 1; with
p = sigmoid(z), n_c the training rows of label c and N all of them. Each function returns a scalar,
computed in float32 at least, and leaves its inputs unchanged: the mean over both dimensions, except
where its docstring says otherwise. What depends on the n_c, [labels], is computed once, by `build`:
in float64 on the CPU, since Apple's GPUs have no float64. (Training there was never tried.)
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from goemotions.config.loss_settings import (
    ClassBalancedFocal,
    Combined,
    DistributionBalanced,
    LossSettings,
    WeightedBce,
)

Loss = Callable[[Tensor, Tensor], Tensor]


def bce(logits: Tensor, targets: Tensor, *, smoothing: float) -> Tensor:
    """Binary cross-entropy: -[y log p + (1-y) log(1-p)].

    Args:
        smoothing: s, from 0 to 1: targets are y (1-s) + s/2 (Szegedy et al. 2016, section 7, for
            two classes per label).
    """
    z, y = _wide(logits, targets)
    return F.binary_cross_entropy_with_logits(z, y * (1 - smoothing) + smoothing / 2)


def weighted_bce(logits: Tensor, targets: Tensor, *, weights: Tensor) -> Tensor:
    """Binary cross-entropy with positives weighted by ((N - n_c) / n_c)^power.

    Args:
        weights: of the positives. `power` is from 0, which is plain BCE, to 1, where positives and
            negatives of each label weigh the same in total.
    """
    z, y = _wide(logits, targets)
    return F.binary_cross_entropy_with_logits(z, y, pos_weight=_like(weights, z))


def focal(logits: Tensor, targets: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Focal loss (Lin et al. 2017, eq. 5), with alpha for positives and 1 - alpha for negatives.

    -[alpha y (1-p)^gamma log p + (1-alpha) (1-y) p^gamma log(1-p)]

    Args:
        alpha: from 0 to 1.
        gamma: focusing; 0, or at least 1.
    """
    return _focal(*_wide(logits, targets), alpha, gamma).mean()


def class_balanced_focal(
    logits: Tensor, targets: Tensor, *, gamma: float, weights: Tensor
) -> Tensor:
    """Focal loss weighted by the effective number of rows (Cui et al. 2019, eqs. 9 and 12).

    Label c has the weight (1 - beta) / (1 - beta^n_c), scaled so that the mean over labels is 1.
    The paper's rows have one class, whose weight all of a row's terms have; a row here has several
    labels or none, so each label's term has that label's own weight, present or absent.

    Args:
        gamma: focusing; 0, or at least 1.
        weights: of the labels. `beta` is from 0, where all weigh the same, to below 1.
    """
    z, y = _wide(logits, targets)
    return (2 * _like(weights, z) * _focal(z, y, 0.5, gamma)).mean()


def asl(
    logits: Tensor, targets: Tensor, *, gamma_neg: float, gamma_pos: float, clip: float
) -> Tensor:
    """Asymmetric loss (Ridnik et al. 2021, eq. 7).

    -[y (1-p)^gamma_pos log p + (1-y) p_m^gamma_neg log(1-p_m)] with p_m = max(p - clip, 0).

    Args:
        gamma_neg: focusing on negatives; 0, or at least 1.
        gamma_pos: focusing on positives; 0, or at least 1.
        clip: the probability below which a negative counts for nothing, from 0 to below 1.
    """
    return _asl(*_wide(logits, targets), gamma_neg, gamma_pos, clip).mean()


def combined(
    logits: Tensor,
    targets: Tensor,
    *,
    ratio: float,
    gamma_neg: float,
    gamma_pos: float,
    clip: float,
    alpha: float,
    gamma: float,
    weights: Tensor,
) -> Tensor:
    """ratio * ASL + (1 - ratio) * focal loss weighted by inverse class frequency.

    Label c of the focal loss has the weight N / (labels * n_c).

    Args:
        ratio: ASL's share, from 0 to 1.
        gamma_neg, gamma_pos, clip: as for `asl`.
        alpha: from 0 to 1.
        gamma: 0, or at least 1.
        weights: of the focal loss's labels.
    """
    z, y = _wide(logits, targets)
    mixed = ratio * _asl(z, y, gamma_neg, gamma_pos, clip)
    return (mixed + (1 - ratio) * _like(weights, z) * _focal(z, y, alpha, gamma)).mean()


def distribution_balanced(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: float,
    steepness: float,
    mu: float,
    scale: float,
    inverse_counts: Tensor,
    shifts: Tensor,
) -> Tensor:
    """Distribution-balanced loss (Wu et al. 2020, eqs. 3 to 8), without its optional focusing.

    r [y log(1 + e^-(z-v)) + (1-y) log(1 + e^(scale (z-v))) / scale], where r smooths the
    share of label c in how often a row is drawn for its labels, and v = kappa log(N/n_c - 1).

    Args:
        alpha: what every weight is raised by; from 0 to 1.
        steepness, mu: the smoothing's, the paper's beta, and its middle; at least 0.
        scale: lambda, how tolerant negatives are; above 0.
        inverse_counts: 1 / n_c.
        shifts: v. `kappa` is at least 0: how much of its prior log-odds a logit loses.
    """
    z, y = _wide(logits, targets)
    inverse = _like(inverse_counts, z)
    # A row without labels repeats none; its ratio is large, and its weight 1 + alpha.
    ratio = inverse / (y @ inverse).clamp(min=1e-8)[:, None]
    weights = alpha + torch.sigmoid(steepness * (ratio - mu))
    shifted = z - _like(shifts, z)
    negative = F.softplus(scale * shifted) / scale
    return (weights * (y * F.softplus(-shifted) + (1 - y) * negative)).mean()


def zlpr(logits: Tensor, targets: Tensor) -> Tensor:
    """Zero-bounded log-sum-exp and pairwise rank-based loss (Su et al. 2022, eq. 5).

    The mean over rows of log(1 + sum over positives e^-z) + log(1 + sum over negatives e^z).
    """
    z, y = _wide(logits, targets)
    return (_log_sum_exp(-z, y, 1, zero=True) + _log_sum_exp(z, 1 - y, 1, zero=True)).mean()


def two_way(logits: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """Two-way multi-label loss (Kobayashi 2023, eqs. 6 and 9).

    softplus(log sum over negatives e^z + T log sum over positives e^(-z/T)), as a mean over the
    rows that have a label plus a mean over the labels that a row has. The second compares the rows
    of a batch, so its value depends on which rows come together.

    Args:
        temperature: T, at least 0.01; the paper's is 4.
    """
    z, y = _wide(logits, targets)
    total = z.sum() * 0  # so that a batch without any label has a gradient
    for dim in (1, 0):
        positive = temperature * _log_sum_exp(-z / temperature, y, dim)
        value = F.softplus(_log_sum_exp(z, 1 - y, dim) + positive)
        kept = y.any(dim) & (1 - y).any(dim)
        total = total + value.where(kept, 0).sum() / kept.sum().clamp(min=1)
    return total


def soft_f1(logits: Tensor, targets: Tensor, *, slope: float, offset: float) -> Tensor:
    """One minus a macro-F1 of soft counts (sigmoidF1, Bénédict et al. 2022, eqs. 9 to 13).

    With S = sigmoid(slope (z + offset)): the mean over labels of 1 - 2 sum S y / sum (S + y), the
    sums over the rows of a batch, so its value depends on which rows come together.

    Args:
        slope: above 0.
        offset: any number.
    """
    z, y = _wide(logits, targets)
    soft = torch.sigmoid(slope * (z + offset))
    return 1 - (2 * (soft * y).sum(0) / (soft + y).sum(0).clamp(min=1e-8)).mean()


def cross_entropy(logits: Tensor, targets: Tensor, *, smoothing: float) -> Tensor:
    """Softmax cross-entropy, for rows with exactly one label: -sum over labels of y log q.

    With q = softmax(z). The mean over rows.

    Args:
        smoothing: s, from 0 to 1: targets are y (1-s) + s / labels (Szegedy et al. 2016, section
            7).
    """
    z, y = _wide(logits, targets)
    return F.cross_entropy(z, y, label_smoothing=smoothing)


def softmax_focal(logits: Tensor, targets: Tensor, *, gamma: float) -> Tensor:
    """Focal loss on q = softmax(z), for rows with exactly one label (Lin et al. 2017, eq. 4).

    -sum over labels of y (1-q)^gamma log q. The mean over rows.

    Args:
        gamma: focusing; 0, or at least 1.
    """
    z, y = _wide(logits, targets)
    log_q = F.log_softmax(z, 1)
    # expm1, since 1 - q loses its digits where q is near 1.
    return -(y * (-torch.expm1(log_q)) ** gamma * log_q).sum(1).mean()


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    function.__name__: function
    for function in (
        bce,
        asl,
        combined,
        focal,
        weighted_bce,
        class_balanced_focal,
        distribution_balanced,
        zlpr,
        two_way,
        soft_f1,
        cross_entropy,
        softmax_focal,
    )
}

COMPARING_ROWS = {"two_way", "soft_f1"}  # they compare rows: a part of a batch is another loss


def build(settings: LossSettings, class_counts: Tensor) -> Loss:
    """The loss that an entry of params.yaml's `losses` describes.

    Args:
        settings: the loss's name, and its function's settings.
        class_counts: [labels + 1], each label's training rows and then all of them.
    """
    given: dict[str, Any] = settings.model_dump(exclude={"function"})
    counts, rows = class_counts[:-1].cpu().double().clamp(min=1), float(class_counts[-1])
    match settings:
        case WeightedBce():
            given = {"weights": ((rows - counts).clamp(min=1) / counts) ** settings.power}
        case ClassBalancedFocal(beta=beta, gamma=gamma):
            # expm1, since 1 - beta^n loses its digits where beta is near 1.
            log_beta = torch.log(torch.tensor(beta, dtype=torch.float64))
            weights = (1 - beta) / -torch.expm1(counts * log_beta)
            given = {"gamma": gamma, "weights": weights / weights.mean()}
        case Combined():
            given["weights"] = rows / len(counts) / counts
        case DistributionBalanced():
            log_odds = torch.log((rows / counts - 1).clamp(min=1e-8))
            given |= {"inverse_counts": 1 / counts, "shifts": given.pop("kappa") * log_odds}
    return partial(FUNCTIONS[settings.function], **given)


def distillation(logits: Tensor, taught: Tensor, *, temperature: float, single: bool) -> Tensor:
    """T^2 times the divergence of a student's probabilities from its teacher's at temperature T.

    The Kullback-Leibler divergence KL(teacher || student) of the logits divided by T; the factor
    keeps the gradient's size (Hinton et al. 2015, section 2). In multi-label data each label is a
    distribution of two outcomes, and the result the mean over both dimensions; in single-label
    data the labels are one distribution, and the result the mean over rows.

    Args:
        taught: the teacher's logits, [batch, labels].
        temperature: T, above 0; a higher one makes less of what either is sure of.
        single: single-label data.
    """
    z, t = _wide(logits, taught)
    z, t = z / temperature, t / temperature
    if single:
        own, wanted = F.log_softmax(z, -1), F.log_softmax(t, -1)
        divergence = F.kl_div(own, wanted, reduction="batchmean", log_target=True)
    else:
        p = torch.sigmoid(t)
        cross_entropy = F.binary_cross_entropy_with_logits(z, p)
        divergence = cross_entropy - F.binary_cross_entropy_with_logits(t, p)
    return temperature**2 * divergence


@lru_cache(maxsize=8)
def _moved(values: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    return values.to(dtype).to(device)  # in this order: the device may have no float64


def _like(values: Tensor, z: Tensor) -> Tensor:
    """A label's values in the logits' dtype and on their device, where they are moved once."""
    return _moved(values, z.dtype, z.device)


def _wide(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the logits' dtype, and at least float32: bfloat16 cannot hold 1 - p near 1."""
    z = logits if logits.dtype == torch.float64 else logits.float()
    return z, targets.to(z.dtype)


def _log_sum_exp(x: Tensor, chosen: Tensor, dim: int, *, zero: bool = False) -> Tensor:
    """log of the sum of e^x over the chosen; `zero` adds e^0.

    A large negative number replaces what is not chosen: with minus infinity the gradient of a
    row or column without any would not be a number.
    """
    x = x.masked_fill(chosen < 0.5, -1e4)
    if zero:
        x = torch.cat([x, torch.zeros_like(x.narrow(dim, 0, 1))], dim)
    return x.logsumexp(dim)


def _asl(z: Tensor, y: Tensor, gamma_neg: float, gamma_pos: float, clip: float) -> Tensor:
    p = torch.sigmoid(z)
    missed = (p - clip).clamp(min=0)
    # log(1 - p_m): from the logit where nothing is clipped, since 1 - p is 0 for a large one.
    rest = torch.log((torch.sigmoid(-z) + clip).clamp(max=1)) if clip > 0 else F.logsigmoid(-z)
    return -(y * (1 - p) ** gamma_pos * F.logsigmoid(z) + (1 - y) * missed**gamma_neg * rest)


def _focal(z: Tensor, y: Tensor, alpha: float, gamma: float) -> Tensor:
    p = torch.sigmoid(z)
    positive = alpha * y * (1 - p) ** gamma * F.logsigmoid(z)
    return -(positive + (1 - alpha) * (1 - y) * p**gamma * F.logsigmoid(-z))
