"""The losses, and the registry that params.yaml's `losses` entries name them by.

Shapes, everywhere here: logits [batch, labels], real; targets [batch, labels], 0 or 1. With
p = sigmoid(logit). Each function returns the mean over both dimensions, computed in float32 at
least, and leaves its inputs unchanged.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from goemotions.errors import UserError

Loss = Callable[[Tensor, Tensor], Tensor]


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy: -[y log p + (1-y) log(1-p)]."""
    z, y = _wide(logits, targets)
    return F.binary_cross_entropy_with_logits(z, y)


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
    class_counts: Tensor,
) -> Tensor:
    """ratio * ASL + (1 - ratio) * focal loss weighted by inverse class frequency.

    Focal loss is Lin et al. 2017, eq. 5, with alpha for positives and 1 - alpha for negatives;
    label c has the weight N / (labels * n_c), from the training split.

    Args:
        ratio: ASL's share, from 0 to 1.
        gamma_neg, gamma_pos, clip: as for `asl`.
        alpha: from 0 to 1.
        gamma: 0, or at least 1.
        class_counts: [labels + 1], the n_c and then N, the number of training rows; given by
            the training code.
    """
    z, y = _wide(logits, targets)
    counts = class_counts.to(z)
    weights = counts[-1] / (counts.shape[0] - 1) / counts[:-1].clamp(min=1)
    mixed = ratio * _asl(z, y, gamma_neg, gamma_pos, clip)
    return (mixed + (1 - ratio) * weights * _focal(z, y, alpha, gamma)).mean()


FUNCTIONS: dict[str, Callable[..., Tensor]] = {"bce": bce, "asl": asl, "combined": combined}

# What each setting may be; a setting that is not listed may be any number.
_RANGES: dict[str, tuple[str, Callable[[float], bool]]] = {
    **dict.fromkeys(
        ("gamma", "gamma_neg", "gamma_pos"),
        # Between 0 and 1 the gradient of p^gamma is infinite at p = 0.
        ("0, or at least 1", lambda x: x == 0 or 1 <= x < float("inf")),
    ),
    "clip": ("from 0 to below 1", lambda x: 0 <= x < 1),
    "alpha": ("from 0 to 1", lambda x: 0 <= x <= 1),
    "ratio": ("from 0 to 1", lambda x: 0 <= x <= 1),
}


def build(name: str, settings: dict[str, Any], class_counts: Tensor) -> Loss:
    """The loss that params.yaml's `losses.<name>` describes.

    Args:
        name: the entry, for error messages.
        settings: `function`, one of FUNCTIONS, and exactly that function's settings.
        class_counts: [labels + 1], each label's training rows and then all of them.

    Raises:
        UserError: an unknown function or setting, a missing one, or a value out of range.
    """
    where = f"losses.{name}"
    function = FUNCTIONS.get(settings.get("function", ""))
    if function is None:
        known = ", ".join(FUNCTIONS)
        raise UserError(f"{where}.function is {settings.get('function')!r}; choose one of: {known}")
    known_settings = {
        p.name
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.name != "class_counts"
    }
    given = {key: value for key, value in settings.items() if key != "function"}
    if set(given) != known_settings:
        listed = ", ".join(sorted(known_settings)) or "no settings"
        raise UserError(f"{where} has {', '.join(sorted(given)) or 'none'}; it takes: {listed}")
    for key, value in given.items():
        allowed, holds = _RANGES.get(key, ("a number", lambda x: x == x))
        if type(value) not in (int, float) or not holds(value):
            raise UserError(f"{where}.{key} is {value!r}; it must be {allowed}")
    if "class_counts" in inspect.signature(function).parameters:
        given["class_counts"] = class_counts
    return partial(function, **given)


def _wide(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Both in the logits' dtype, and at least float32: bfloat16 cannot hold 1 - p near 1."""
    z = logits if logits.dtype == torch.float64 else logits.float()
    return z, targets.to(z.dtype)


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
