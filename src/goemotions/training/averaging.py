"""The exponential moving average of the weights, which is what is validated and saved."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.optim.swa_utils import AveragedModel
from transformers import TrainerCallback


class WeightAverage(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Averages the weights of a model over its training steps.

    Args:
        model: on the device that it is trained on.
        decay: of the average, from 0 to below 1; 0 switches averaging off.
    """

    def __init__(self, model: Any, decay: float) -> None:
        @torch.no_grad()
        def update(averaged: Any, current: Any, count: Any) -> None:
            # At step n the decay is at most (1+n)/(10+n): the random head is forgotten quickly.
            seen = float(count)
            torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + seen) / (10 + seen)))

        self.model = model
        self.average = AveragedModel(model, multi_avg_fn=update) if decay else None

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.average is not None:
            self.average.update_parameters(self.model)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights, where there is an average."""
        if self.average is None or not int(self.average.n_averaged):
            yield
            return
        parameters = list(self.model.parameters())
        current = [parameter.detach().clone() for parameter in parameters]
        with torch.no_grad():
            torch._foreach_copy_(parameters, list(self.average.module.parameters()))
            yield
            torch._foreach_copy_(parameters, current)

    def state_dict(self) -> dict[str, Any]:
        return {} if self.average is None else self.average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.average is not None:
            self.average.load_state_dict(state)
