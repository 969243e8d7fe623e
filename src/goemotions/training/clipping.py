"""Gradient clipping at a multiple of the usual norm, on which the scale of a loss has no effect."""

import torch

WINDOW = 100  # steps
QUANTILE = 0.9  # of their norms
MEMORY = 1000  # steps
NEGLIGIBLE = 1 / 1000  # of the third largest norm in the memory; smaller ones are not counted


class Clipping:
    """Clips a step's gradient to `factor` times the 90th percentile of the norms of the last steps.

    Losses differ in the size of their gradients. AdamW divides by that size, so it does not matter
    there, but a fixed limit would clip one loss and not another. AutoClip (Seetharaman et al.,
    arXiv 2007.14469, algorithm 1) clips at a percentile of all norms so far; here the limit is a
    multiple of a percentile of the last ones. Norms close to zero do not count: with losses like
    `asl`, they are those of batches without a positive. Where most batches have none, the limit
    would otherwise be close to zero, too, and stop all learning. Close to zero means in comparison
    with the third largest norm of a longer time, since beside one spike all usual norms would look
    so; until three batches have had a positive, the limit can be close to zero.

    Args:
        factor: above 0.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.norms = torch.empty(0)  # of the last MEMORY steps, before they were clipped

    def clip(self, gradients: list[torch.Tensor]) -> torch.Tensor:
        """Clip all gradients of a step in place, without waiting for a GPU.

        Returns:
            the norm that they had, a scalar on their device.
        """
        norm = torch.nn.utils.get_total_norm(gradients)
        norms = self.norms.to(norm.device)
        limit = torch.full_like(norm, torch.inf)
        if len(norms):
            large, last = norms.topk(min(3, len(norms))).values[-1], norms[-WINDOW:]
            counted = torch.where(last > NEGLIGIBLE * large, last, torch.nan)
            usual = counted.nanquantile(QUANTILE)
            limit = torch.where(usual > 0, self.factor * usual, limit)  # none if all are left out
            torch._foreach_mul_(gradients, (limit / norm).clamp(max=1))
        self.norms = torch.cat([norms, norm[None]])[-MEMORY:]
        return norm

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"norms": self.norms}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.norms = state["norms"]
