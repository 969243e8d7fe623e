"""The curves that `dvc plots` draws while a training runs."""

import csv
from pathlib import Path
from typing import Any, ClassVar

from transformers import TrainerCallback

from goemotions.io import publish


class Curves(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """Writes training.csv and validation.csv against the step, as they grow.

    All points stay in memory: the next `dvc repro` removes the files of a run whose own
    `dvc repro` was killed, while that run still trains towards its last checkpoint.
    """

    _COLUMNS: ClassVar[dict[str, tuple[str, ...]]] = {
        "training": ("step", "loss", "learning_rate", "grad_norm"),
        "validation": ("step", "epoch", "macro_f1", "loss", "average_precision"),
    }

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.load_state_dict({name: [] for name in self._COLUMNS})

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" in logs:
            row = [state.global_step, logs["loss"], logs["learning_rate"], logs["grad_norm"]]
            self.points["training"].append(row)
            self._write("training")
        elif "eval_macro_f1" in logs:
            names = ("eval_macro_f1", "eval_loss", "eval_average_precision")
            row = [state.global_step, state.epoch, *(logs[name] for name in names)]
            self.points["validation"].append(row)
            self._write("validation")

    def state_dict(self) -> dict[str, list[list[float]]]:
        return self.points

    def load_state_dict(self, points: dict[str, list[list[float]]]) -> None:
        self.points = points
        for name in self._COLUMNS:
            self._write(name)

    def _write(self, name: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with publish.unlinked(self.folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(
                [self._COLUMNS[name], *self.points[name]]
            )
