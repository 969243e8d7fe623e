"""The epoch with the highest validation macro-F1."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from goemotions.metrics import thresholds
from goemotions.metrics.f1 import macro_average_precision
from goemotions.network.classifier import is_single_label


class BestEpoch:
    """What is kept of the best epoch so far.

    Attributes:
        epoch: its number, from 1; 0 before any validation.
        macro_f1: on validation, cross-validated over thresholds where there are any.
        average_precision: on validation, averaged over labels.
        weights: the validated ones, on the CPU.
        logits: of the validation split, float32 [rows, labels].
    """

    def __init__(self) -> None:
        self.epoch, self.macro_f1, self.average_precision = 0, -1.0, 0.0
        self.weights: dict[str, torch.Tensor] = {}
        self.logits: NDArray[np.float32] = np.empty(0, dtype=np.float32)

    def update(
        self, model: Any, logits: NDArray[np.float32], targets: NDArray[np.bool_], epoch: int
    ) -> dict[str, float]:
        """Keep this epoch if it is the best so far.

        Args:
            model: has the weights that gave the logits.
            logits, targets: of the validation split, [rows, labels].

        Returns:
            this epoch's macro_f1 and average_precision.
        """
        single = is_single_label(model)
        macro_f1 = thresholds.validation_macro_f1(logits, targets, single=single)
        precision = macro_average_precision(logits, targets, single=single)
        if macro_f1 > self.macro_f1:
            self.epoch, self.macro_f1, self.average_precision = epoch, macro_f1, precision
            self.logits = logits
            self.weights = {
                name: value.detach().to("cpu", copy=True).contiguous()
                for name, value in model.state_dict().items()
            }
        return {"macro_f1": macro_f1, "average_precision": precision}

    def state_dict(self) -> dict[str, Any]:
        return {**vars(self), "logits": torch.from_numpy(self.logits)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update({**state, "logits": state["logits"].numpy()})
