"""Each loss's value and gradient against one logit."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from goemotions.comparison.drawing import Axis, axis
from goemotions.config import LossSettings
from goemotions.training import losses

GRID = np.linspace(-6, 6, 49)
ROWS = 32  # of the batch around the logit that varies: some losses compare rows or labels


def curve(
    settings: LossSettings, counts: Sequence[int], label: int, *, present: bool
) -> tuple[list[float], list[float]]:
    """Value and gradient at each point of GRID.

    Row 0's logit of `label` varies. The other logits of the batch are each label's log-odds, and
    its targets are drawn from its frequency, the same for every loss. Both results are times the
    entries of the batch, so that for a mean over entries they are those of the entry itself.

    Args:
        settings: as in params.yaml's `losses`.
        counts: [labels + 1], each label's rows and then all of them.
        label: which one varies.
        present: whether row 0 has it.

    Returns:
        the value, less its least, and the gradient.
    """
    loss = losses.build(settings, torch.tensor(counts))
    frequency = torch.tensor(counts[:-1], dtype=torch.float64) / counts[-1]
    generator = torch.Generator().manual_seed(0)
    drawn = torch.rand(ROWS, len(frequency), generator=generator, dtype=torch.float64)
    targets = (drawn < frequency).double()
    targets[0, label] = float(present)
    values, gradients = [], []
    for point in GRID:
        logits = torch.logit(frequency.clamp(1e-6, 1 - 1e-6)).repeat(ROWS, 1)
        logits[0, label] = float(point)
        logits.requires_grad_()
        value = loss(logits, targets) * targets.numel()
        (gradient,) = torch.autograd.grad(value, logits)
        values.append(float(value.detach()))
        gradients.append(float(gradient[0, label]))
    least = min(values)
    return [value - least for value in values], gradients


def figure(settings: LossSettings, counts: Sequence[int]) -> dict[str, Any]:
    """What plots.html's `loss_figure` draws: the most frequent and the rarest label."""
    labels = (int(np.argmax(counts[:-1])), int(np.argmin(counts[:-1])))
    found = {
        (present, rare): curve(settings, counts, labels[rare], present=present)
        for present in (True, False)
        for rare in (False, True)
    }
    panels = []
    for part, (left, right) in enumerate(((40, 225), (280, 465))):
        x = Axis(GRID[0], GRID[-1], left, right)
        y = axis([value for curves in found.values() for value in curves[part]], 160, 10)
        lines, marks = [], []
        for (present, rare), curves in found.items():
            k = 0 if present else 1
            points = [(x(z), y(value)) for z, value in zip(GRID, curves[part], strict=True)]
            lines.append({"k": k, "thin": rare, "points": points})
            marks.append((k, *points[0 if present else -1]))
        panels.append(
            {"x": x, "y": y, "left": left, "right": right, "lines": lines, "marks": marks}
        )
    return {"panels": panels}
