"""How long a training has taken, and when that is enough."""

import time
from typing import Any

from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Measures a training, without the time lost to interruptions, and limits it.

    The learning rate falls as it would without a limit.

    Args:
        max_minutes: the first epoch that ends later than this is the last; None sets no limit.

    Attributes:
        expired: whether an epoch has ended later than that.
    """

    def __init__(self, max_minutes: float | None) -> None:
        self.max_minutes, self.expired = max_minutes, False
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Of training so far, with those before the checkpoint that it resumed from."""
        return time.perf_counter() - self._started

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.max_minutes is not None:
            late = self.seconds > 60 * self.max_minutes
            self.expired = bool(broadcast_object_list([late])[0])  # one process decides
            control.should_training_stop = control.should_training_stop or self.expired

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._started = time.perf_counter() - state["seconds"]
