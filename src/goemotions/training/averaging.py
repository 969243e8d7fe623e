"""The exponential moving average of the weights, which is what is validated and saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import TrainerCallback


class WeightAverage(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Averages the weights of a model over its training steps.

    torch's AveragedModel would wait for a GPU twice in every step, to know how many it has seen.

    Args:
        model: on the device that it is trained on.
        decay: of the average, from 0 to below 1; 0 switches averaging off.

    Attributes:
        weights: the average of each of the model's parameters; empty before the first step.
        steps: that are averaged.
    """

    def __init__(self, model: Any, decay: float) -> None:
        self.model, self.decay = model, decay
        self.weights: list[torch.Tensor] = []
        self.steps = 0

    @torch.no_grad()
    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self.decay:
            return
        current = list(self.model.parameters())
        if self.weights:
            # After n steps the decay is at most (1+n)/(10+n): the random head is forgotten quickly.
            decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
            torch._foreach_lerp_(self.weights, current, 1 - decay)
        else:
            self.weights = [parameter.clone() for parameter in current]
        self.steps += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights, where there is an average."""
        if not self.weights:
            yield
            return
        parameters = list(self.model.parameters())
        current = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            torch._foreach_copy_(parameters, self.weights)
            yield
            torch._foreach_copy_(parameters, current)

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights, "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        places = [parameter.device for parameter in self.model.parameters()]
        self.weights = [one.to(place) for one, place in zip(state["weights"], places, strict=False)]
        self.steps = state["steps"]
