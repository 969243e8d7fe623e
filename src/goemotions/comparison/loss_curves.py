"""Each loss's value and gradient against one logit."""

from collections.abc import Sequence

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from goemotions.config.loss_settings import LossSettings
from goemotions.training import losses

GRID = np.linspace(-6, 6, 49)
ROWS = 32  # of the batch around the logit that varies: some losses compare rows or labels

Curves = dict[tuple[bool, bool], tuple[list[float], list[float]]]
"""(the label is present, it is the rarest one) -> the value and the gradient, by GRID."""


def curve(
    settings: LossSettings, counts: Sequence[int], label: int, *, present: bool
) -> tuple[list[float], list[float]]:
    """Value and gradient at each point of GRID.

    Row 0's logit of `label` varies. The other logits of the batch are each label's log-odds, and
    its targets are drawn from its frequency, the same for every loss. Both results are times the
    entries of the batch, so that for a mean over entries they are those of the entry itself. For a
    loss of single-label data each row has one label, drawn by frequency, the logits are
    log-frequencies, and the results are times the rows.

    Args:
        settings: as in params.yaml's `losses`.
        counts: [labels + 1], each label's rows and then all of them.
        label: which one varies.
        present: whether row 0 has it.

    Returns:
        the value minus its minimum, and the gradient.
    """
    loss = losses.build(settings, torch.tensor(counts))
    single = settings.task == "single_label"
    frequency = torch.tensor(counts[:-1], dtype=torch.float64) / counts[-1]
    targets = _targets(frequency, label, single=single, present=present)
    bounded = frequency.clamp(1e-6, 1 - 1e-6)
    row = torch.log(bounded) if single else torch.logit(bounded)
    values, gradients = [], []
    for point in GRID:
        logits = row.repeat(ROWS, 1)
        logits[0, label] = float(point)
        logits.requires_grad_()
        value = loss(logits, targets) * (ROWS if single else targets.numel())
        (gradient,) = torch.autograd.grad(value, logits)
        values.append(float(value.detach()))
        gradients.append(float(gradient[0, label]))
    minimum = min(values)
    return [value - minimum for value in values], gradients


def _targets(frequency: torch.Tensor, label: int, *, single: bool, present: bool) -> torch.Tensor:
    """Targets drawn by frequency, float64 [ROWS, labels]; row 0 has `label` or has it not."""
    generator = torch.Generator().manual_seed(0)
    if not single:
        drawn = torch.rand(ROWS, len(frequency), generator=generator, dtype=torch.float64)
        targets = (drawn < frequency).double()
        targets[0, label] = float(present)
        return targets
    chosen = torch.multinomial(frequency, ROWS, replacement=True, generator=generator)
    others = frequency.clone()
    others[label] = -1
    chosen[0] = label if present else others.argmax()
    return torch.nn.functional.one_hot(chosen, len(frequency)).double()


def curves(settings: LossSettings, counts: Sequence[int]) -> Curves:
    """The curves of the most frequent and of the rarest label that occurs, present and absent."""
    occurring = np.where(np.array(counts[:-1]) > 0, counts[:-1], counts[-1] + 1)
    labels = int(np.argmax(counts[:-1])), int(np.argmin(occurring))
    with threadpool_limits(1):  # threads only slow such small tensors down
        return {
            (present, rare): curve(settings, counts, labels[rare], present=present)
            for present in (True, False)
            for rare in (False, True)
        }
