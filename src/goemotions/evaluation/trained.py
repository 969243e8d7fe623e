"""A trained folder, loaded to predict."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from goemotions.errors import UserError, first_line
from goemotions.io import digests
from goemotions.io.silence import silenced
from goemotions.network import batching, short_text
from goemotions.network.batching import Collator, Rows
from goemotions.network.classifier import is_single_label


@dataclass
class Classifier:
    """A trained folder, ready to predict.

    Attributes:
        labels: the label names, in the order of the logits.
        thresholds: method -> one probability per label; empty where each text gets exactly one
            label, that with the highest logit.
        preferred: the method that cross-validation on validation preferred; None without methods.
        limits: of a training that was small on purpose: limited_rows, limited_minutes.
    """

    model: Any
    tokenizer: Any
    labels: list[str]
    thresholds: dict[str, NDArray[np.float64]]
    preferred: str | None
    max_length: int
    limits: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Load models/trained/<loss>.

        Raises:
            UserError: a file of the folder is missing or has changed since it was written, or
                thresholds.json does not fit the model.
        """
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        needed = ("config.json", "model.safetensors", "tokenizer.json", "thresholds.json")
        if missing := [name for name in needed if not (folder / name).is_file()]:
            state = f"is missing {', '.join(missing)}" if folder.is_dir() else "does not exist"
            raise UserError(
                f"{folder} {state}; run `dvc repro train`, bring an "
                "experiment's by `dvc exp apply <name>`, or name another folder by --model"
            )
        digests.check(folder, digests.read_manifest(folder, "dvc repro train"))
        try:
            with silenced():
                model = AutoModelForSequenceClassification.from_pretrained(
                    folder, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
                )
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
        except Exception as error:  # whatever a folder of another make makes transformers raise
            raise UserError(f"{folder} does not load: {first_line(error)}") from None
        labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
        try:
            content = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
            thresholds = {
                method: np.array([entry["probabilities"][label] for label in labels], dtype=float)
                for method, entry in content["methods"].items()
            }
            preferred, max_length = content["preferred"], int(content["max_length"])
            limits = dict(content.get("limits", {}))
            if not is_single_label(model):
                thresholds[preferred]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder / 'thresholds.json'} does not hold thresholds for the model's labels "
                f"({error!r}); run `dvc repro train`"
            ) from None
        if content.get("short_text", True):
            short_text.enable(model)
        # That it works on other accelerators than NVIDIA's, such as Apple's MPS, was never tried.
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        model = model.to(device).eval()
        return cls(model, tokenizer, labels, thresholds, preferred, max_length, limits)

    @property
    def single(self) -> bool:
        """Whether each text gets exactly one label."""
        return is_single_label(self.model)

    def chosen(self, method: str | None) -> NDArray[np.float64] | None:
        """The thresholds of a method, or of the preferred one; None in single-label data."""
        return None if self.single else self.thresholds[method or str(self.preferred)]

    def logits(
        self, texts: Sequence[str], *, advance: Callable[[int], Any] = lambda rows: None
    ) -> NDArray[np.float32]:
        """The logits of each text, [len(texts), labels], in the order of the texts.

        Args:
            texts: any strings, also empty ones.
            advance: called with the number of texts of each batch that is done, for a progress bar.
        """
        rows = Rows(self.tokenizer, texts, None, self.max_length)
        collate = Collator(self.tokenizer.pad_token_id)
        return batching.logits(self.model, rows, collate, advance=advance)
