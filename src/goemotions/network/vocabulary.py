"""Training only the rows of the word embedding that the texts can read."""

from typing import Any

import torch
from torch import Tensor, nn

from goemotions.network.batching import Rows


class Vocabulary:
    """The tokens of some rows, numbered without gaps.

    Most of a small model's parameters are embeddings of tokens that the texts do not have:
    their gradient is always zero, but gradient clipping, AdamW and the moving average of the
    weights go through all of them at every step. Since embeddings have no weight decay, a row
    that is left out is what training would have left it: unchanged, bit for bit.

    Args:
        splits: the rows that training and validation read; renumbered in place.
        padding: the padding token's number, which is always kept.
    """

    def __init__(self, splits: list[Rows], padding: int) -> None:
        # RoBERTa and its kin count positions from the padding token's number, so it stays as it is.
        first = torch.arange(padding + 1) if padding < 100 else torch.tensor([padding])
        self.kept = torch.unique(torch.cat([first, *(rows.tokens for rows in splits)]))
        self.padding = int(torch.searchsorted(self.kept, padding))
        for rows in splits:
            rows.tokens = torch.searchsorted(self.kept, rows.tokens.long(), out_int32=True)

    def shrink(self, model: Any) -> None:
        """Leave `model` with the kept rows only; `restore` undoes it."""
        self.full: nn.Embedding = model.get_input_embeddings()
        model.set_input_embeddings(
            nn.Embedding(
                len(self.kept),
                self.full.embedding_dim,
                self.padding,
                _weight=self.full.weight.detach()[self.kept],
            )
        )

    def restore(self, model: Any, state: dict[str, Tensor]) -> None:
        """Load the shrunken model's `state` into `model` and give it all its rows back."""
        model.load_state_dict(state)
        trained = model.get_input_embeddings().weight.detach()
        with torch.no_grad():
            self.full.weight[self.kept] = trained.to(self.full.weight)
        model.set_input_embeddings(self.full)
