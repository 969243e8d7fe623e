"""Gradient clipping at a multiple of the usual norm, on which the scale of a loss has no effect."""

import torch

WINDOW = 100  # steps whose median norm is the usual one


class Clipping:
    """Clips a step's gradient to `factor` times the median norm of the last steps.

    Losses differ in the size of their gradients. AdamW divides by that size, so it does not matter
    there, but a fixed limit would clip one loss and not another. This limit is derived from the
    norms so far, as in AutoClip (Seetharaman et al., arXiv 2007.14469, algorithm 1), which takes a
    percentile of all norms; here it is a multiple of the median of the last ones.

    Args:
        factor: above 0.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.norms = torch.empty(0)  # of the last steps, before they were clipped

    def clip(self, gradients: list[torch.Tensor]) -> torch.Tensor:
        """Clip all gradients of a step in place, without waiting for a GPU.

        Returns:
            the norm that they had, a scalar on their device.
        """
        norm = torch.nn.utils.get_total_norm(gradients)
        norms = self.norms.to(norm.device)
        if len(norms):
            scale = self.factor * norms.median() / (norm + 1e-6)
            torch._foreach_mul_(gradients, scale.clamp(max=1))
        self.norms = torch.cat([norms, norm[None]])[-WINDOW:]
        return norm

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"norms": self.norms}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.norms = state["norms"]
