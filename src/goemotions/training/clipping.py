"""Gradient clipping at a multiple of the usual norm, on which the scale of a loss has no effect."""

import torch

WINDOW = 100  # steps
QUANTILE = 0.9  # of their norms
NEGLIGIBLE = 1 / 1000  # of the largest norm; smaller ones are not counted
SPIKE = 10  # times the limit; larger norms count as that


class Clipping:
    """Clips a step's gradient to `factor` times the 90th percentile of the norms of the last steps.

    Losses differ in the size of their gradients. AdamW divides by that size, so it does not matter
    there, but a fixed limit would clip one loss and not another. AutoClip (Seetharaman et al.,
    arXiv 2007.14469, algorithm 1) clips at a percentile of all norms so far; here the limit is a
    multiple of a percentile of the last ones. Norms close to zero do not count: with losses like
    `asl`, they are those of batches without a positive. Where most batches have none, the limit
    would otherwise be close to zero, too, and stop all learning.

    Args:
        factor: above 0.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.norms = torch.empty(0)  # of the last steps, before they were clipped at the limit

    def clip(self, gradients: list[torch.Tensor]) -> torch.Tensor:
        """Clip all gradients of a step in place, without waiting for a GPU.

        Returns:
            the norm that they had, a scalar on their device.
        """
        norm = torch.nn.utils.get_total_norm(gradients)
        norms = self.norms.to(norm.device)
        limit = torch.full_like(norm, torch.inf)
        if len(norms):
            counted = torch.where(norms > NEGLIGIBLE * norms.max(), norms, torch.nan)
            usual = counted.nanquantile(QUANTILE)
            limit = torch.where(usual > 0, self.factor * usual, limit)  # none if all were 0
            torch._foreach_mul_(gradients, (limit / norm).clamp(max=1))
        # Beside a norm a thousand times as large, all usual ones would look negligible.
        counts = torch.minimum(norm, SPIKE * limit)
        self.norms = torch.cat([norms, counts[None]])[-WINDOW:]
        return norm

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"norms": self.norms}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.norms = state["norms"]
