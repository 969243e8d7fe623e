"""A trained folder, loaded to predict."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from goemotions.data.labels import Labels
from goemotions.errors import UserError, first_line
from goemotions.io import digests
from goemotions.io.silence import silenced
from goemotions.metrics.f1 import decide, probabilities
from goemotions.metrics.thresholds import METHODS
from goemotions.network import batching, inference
from goemotions.network.batching import Collator, Rows
from goemotions.network.inference import Network, Precision

_REMEDY = "train that loss again (`dvc exp run -S loss=...`), or restore it with `dvc checkout`"


@dataclass
class Classifier:
    """A trained folder, ready to predict.

    Attributes:
        network: from input_ids and attention_mask, [batch, length], to logits, [batch, labels].
        labels: the label names, in the order of the logits.
        single: whether each text gets exactly one label, that with the highest logit.
        thresholds: method -> one logit per label; empty in single-label data.
        preferred: the method that cross-validation on validation preferred; None without methods.
        limits: of a training that was small on purpose: limited_rows, limited_minutes.
    """

    network: Callable[[Tensor, Tensor], Tensor]
    device: torch.device
    tokenizer: Tokenizer
    pad_token_id: int
    labels: list[str]
    single: bool
    thresholds: dict[str, NDArray[np.float64]]
    preferred: str | None
    max_length: int
    limits: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, precision: Precision = "fp32") -> "Classifier":
        """Load models/trained/<loss>.

        Raises:
            UserError: a file of the folder is missing or has changed since it was written,
                thresholds.json does not fit the model, or the precision is not for it.
        """
        needed = ("config.json", "model.safetensors", "tokenizer.json", "thresholds.json")
        if missing := [name for name in needed if not (folder / name).is_file()]:
            state = f"is missing {', '.join(missing)}" if folder.is_dir() else "does not exist"
            raise UserError(
                f"{folder} {state}; train that loss (`dvc exp run -S loss=...`), or take an "
                "experiment's with `dvc exp apply <name>`"
            )
        digests.check(folder, digests.read_manifest(folder, "dvc exp run -S loss=..."))
        # That it works on other accelerators than NVIDIA's, such as Apple's MPS, was never tried.
        device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            # transformers leaves out two labels with these names.
            names = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
            labels = [names[str(index)] for index in range(len(names))]
            single = config.get("problem_type") == "single_label_classification"
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            content = json.loads((folder / "thresholds.json").read_text(encoding="utf-8"))
        except Exception as error:  # tokenizers raises nothing more specific
            raise UserError(f"{folder} does not load: {first_line(error)}; {_REMEDY}") from None
        try:
            methods = {} if single else {name: content["methods"][name] for name in METHODS}
            thresholds = {
                method: np.array([entry["logits"][label] for label in labels], dtype=float)
                for method, entry in methods.items()
            }
            preferred, max_length = content["preferred"], int(content["max_length"])
            limits = dict(content["limits"])
            if not single:
                thresholds[preferred]
            ours = bool(content["short_text"]) and inference.supports(config)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"{folder / 'thresholds.json'} does not hold thresholds for the model's labels "
                f"({error!r}); {_REMEDY}"
            ) from None
        if precision == "int8" and not (ours and device.type == "cpu"):
            where = f"on {device.type}" if ours else f"for this {config.get('model_type')} model"
            raise UserError(
                "--precision is int8, which is for BERT, MPNet and DeBERTa-v3 models on a CPU, not "
                f"{where}; use {' or '.join(p for p in inference.PRECISIONS if p != 'int8')}"
            )
        try:
            network = (
                Network.load(folder, precision, device)
                if ours
                else _of_transformers(folder, precision, device)
            )
        except (torch.OutOfMemoryError, torch.AcceleratorError):  # of the GPU, not of the folder
            raise
        except Exception as error:  # whatever a folder of another make makes them raise
            raise UserError(f"{folder} does not load: {first_line(error)}; {_REMEDY}") from None
        padding = config.get("pad_token_id") or 0
        return cls(
            network, device, tokenizer, padding, labels, single, thresholds, preferred, max_length,
            limits,
        )  # fmt: skip

    def chosen(self, method: str | None) -> NDArray[np.float64] | None:
        """Thresholds, as logits, of a method or of the preferred one; None in single-label data."""
        return None if self.single else self.thresholds[method or str(self.preferred)]

    def check_labels(self, labels: Labels, trained: str, data: Path) -> None:
        """Raise UserError where this model, called `trained`, is for other labels than `data`."""
        if tuple(self.labels) != labels.names or self.single != labels.single:
            raise UserError(
                f"{trained} was trained for other labels than {data} has; train it again"
            )

    def logits(
        self, texts: Sequence[str], *, advance: Callable[[int], Any] = lambda rows: None
    ) -> NDArray[np.float32]:
        """The logits of each text, [len(texts), labels], in the order of the texts.

        Args:
            texts: any strings, also empty ones.
            advance: called with the number of texts of each batch that is done, for a progress bar.
        """
        return batching.logits(
            self.network,
            Rows(self.tokenizer, texts, None, self.max_length),
            Collator(self.pad_token_id),
            labels=len(self.labels),
            device=self.device,
            advance=advance,
        )

    def answers(
        self, logits: NDArray[np.float32], thresholds: NDArray[np.float64] | None
    ) -> Iterator[dict[str, Any]]:
        """The labels of each row of logits, and every label's probability, the highest first."""
        shares = probabilities(logits, single=self.single).tolist()
        for row, given in zip(shares, decide(logits, thresholds).tolist(), strict=True):
            scored = sorted(zip(row, self.labels, given, strict=True), reverse=True)
            yield {
                "labels": [label for _, label, on in scored if on],
                "probabilities": {label: round(share, 6) for share, label, _ in scored},
            }


def _of_transformers(
    folder: Path, precision: Precision, device: torch.device
) -> Callable[[Tensor, Tensor], Tensor]:
    """A classifier that `Network` does not compute, or was asked not to, by its own code."""
    from transformers import AutoModelForSequenceClassification

    with silenced():
        model = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.bfloat16 if precision == "bf16" else torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
        )
    model = model.to(device).eval()

    def classify(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        logits: Tensor = model(input_ids=input_ids, attention_mask=attention_mask).logits
        return logits

    return classify
