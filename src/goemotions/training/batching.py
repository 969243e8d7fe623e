"""From texts to padded batches of tensors."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.rnn import pad_sequence


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenised texts and, where they are known, their targets; tokenised once."""

    def __init__(
        self,
        tokenizer: Any,
        texts: Sequence[str],
        targets: NDArray[np.bool_] | None,
        max_length: int,
    ) -> None:
        encoded = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
        self.input_ids = [torch.tensor(ids, dtype=torch.long) for ids in encoded]
        self.targets = None if targets is None else torch.from_numpy(targets.astype(np.float32))

    def __len__(self) -> int:
        return len(self.input_ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item: dict[str, Any] = {"input_ids": self.input_ids[index]}
        if self.targets is not None:
            item["labels"] = self.targets[index]
        return item


class Collator:
    """Pad a batch to its own longest row.

    Returns `input_ids` and `attention_mask`, int64 [batch, tokens], and `labels`, float32
    [batch, 28], where the rows have them.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = [row["input_ids"] for row in rows]
        batch = {
            "input_ids": pad_sequence(ids, batch_first=True, padding_value=self.pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(i) for i in ids], batch_first=True),
        }
        if "labels" in rows[0]:
            batch["labels"] = torch.stack([row["labels"] for row in rows])
        return batch
