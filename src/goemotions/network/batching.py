"""From texts to padded batches of tensors, and through a model to logits."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from goemotions.errors import UserError

Indices = NDArray[np.integer]

# Padded tokens of a batch without gradients: few enough that what lies between two products stays
# in a CPU's cache, enough for a GPU.
TOKENS_A_BATCH_ON_CPU, TOKENS_A_BATCH = 1024, 4096
CHUNK = 4096  # texts that are tokenized at a time, since the tokenizer's results take much memory
POOL = 50  # batches that are sorted by length together: less padding, and still a shuffle


class Rows(Dataset[dict[str, Any]]):
    """Tokenized texts and, where they are known, their targets; tokenized once.

    A lone surrogate counts as a question mark.

    Args:
        tokenizer: cuts texts longer than `max_length` tokens from now on.
        taught: a teacher's logits, [rows, labels].

    Attributes:
        tokens: int32, the rows one after the other.
        lengths: of the rows in tokens, [rows].
        targets: float32 [rows, labels], or None.
        taught: a teacher's logits, float32 [rows, labels], or None.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        texts: Sequence[str],
        targets: NDArray[np.bool_] | None,
        max_length: int,
        taught: NDArray[np.float32] | None = None,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length)
        rows: list[NDArray[np.int32]] = []
        for start in range(0, len(texts), CHUNK):
            chunk = texts[start : start + CHUNK]
            whole = [text.encode("utf-8", "replace").decode() for text in chunk]
            encoded = tokenizer.encode_batch_fast(whole)
            rows.extend(np.array(row.ids, dtype=np.int32) for row in encoded)
        self.lengths = np.array([len(row) for row in rows], dtype=np.int64)
        self.tokens = torch.from_numpy(np.concatenate([np.empty(0, np.int32), *rows]))
        self._ends = np.cumsum(self.lengths)
        self.targets = None if targets is None else torch.from_numpy(targets.astype(np.float32))
        self.taught = None if taught is None else torch.from_numpy(taught)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        end = self._ends[index]
        item: dict[str, Any] = {"input_ids": self.tokens[end - self.lengths[index] : end]}
        if self.targets is not None:
            item["labels"] = self.targets[index]
        if self.taught is not None:
            item["taught"] = self.taught[index]
        return item


class Collator:
    """Pad a batch to its own longest row.

    Returns `input_ids` and `attention_mask`, int64 [batch, tokens], and `labels` and `taught`,
    float32 [batch, labels], where the rows have them.
    """

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        ids = [row["input_ids"] for row in rows]
        padded = pad_sequence(ids, batch_first=True, padding_value=self.pad_token_id)
        lengths = torch.tensor([len(row) for row in ids])
        batch = {
            "input_ids": padded.long(),
            "attention_mask": (torch.arange(padded.shape[1]) < lengths[:, None]).long(),
        }
        for name in ("labels", "taught"):
            if name in rows[0]:
                batch[name] = torch.stack([row[name] for row in rows])
        return batch


def shuffled(lengths: Indices, batch_size: int, seed: int, epoch: int) -> list[Indices]:
    """An epoch's batches, each of rows of similar length; every row in exactly one.

    Rows are shuffled, sorted by length within pools of POOL batches, cut, and the batches
    shuffled. Sizes differ by one at most, so no small batch ends the epoch. The batch with the
    longest row comes first: where memory is far too small, that shows at once.

    Args:
        lengths: of each row, in tokens.
        batch_size: rows of the largest batch.
        seed, epoch: the same ones give the same batches.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    count = -(-len(lengths) // batch_size)
    bounds = np.linspace(0, len(lengths), count + 1).astype(int)
    for start, end in pairwise([*bounds[:-1:POOL], bounds[-1]]):
        pool = order[start:end]
        order[start:end] = pool[np.argsort(-lengths[pool], kind="stable")]
    batches = [order[start:end] for start, end in pairwise(bounds)]
    batches = [batches[index] for index in rng.permutation(count)]
    longest = max(range(count), key=lambda index: lengths[batches[index]].max())
    return [batches.pop(longest), *batches]


class MicroBatches:
    """One process's part of each epoch's batches, in micro-batches.

    The batches are those of `shuffled` whatever the number of processes and of micro-batches: a
    batch is cut into `micro_batches` parts of similar length, and each of those is dealt out to
    the processes.

    Attributes:
        epoch: which epoch the next iteration yields.

    Raises:
        UserError: a batch has fewer rows than there are parts.
    """

    def __init__(
        self,
        lengths: Indices,
        batch_size: int,
        seed: int,
        *,
        micro_batches: int = 1,
        process: int = 0,
        processes: int = 1,
    ) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.micro_batches, self.process, self.processes = micro_batches, process, processes
        self.epoch = 0
        self.batches = -(-len(lengths) // batch_size)
        if len(lengths) // self.batches // micro_batches < processes:
            larger = "" if self.batches == 1 else "raise it, or "
            raise UserError(
                f"train.batch_size is {batch_size}: too few of {len(lengths)} rows for {processes} "
                f"processes x {micro_batches} gradient accumulation steps; {larger}use fewer "
                "processes (`accelerate config`) or a lower "
                "ACCELERATE_GRADIENT_ACCUMULATION_STEPS"
            )

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer, also where it skips the batches that a checkpoint has seen."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.batches * self.micro_batches

    def __iter__(self) -> Iterator[list[int]]:
        for batch in shuffled(self.lengths, self.batch_size, self.seed, self.epoch):
            for part in np.array_split(batch, self.micro_batches):
                yield part[self.process :: self.processes].tolist()


class EpochLoader(DataLoader[dict[str, Any]]):
    """A loader that transformers' Trainer tells the epoch."""

    batch_sampler: MicroBatches

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)


def by_tokens(lengths: Indices, tokens: int) -> list[Indices]:
    """Row indices by rising length, cut so that a batch has at most `tokens` padded tokens.

    A row longer than that is a batch of its own.
    """
    order = np.argsort(lengths, kind="stable")
    cut: list[Indices] = []
    start = 0
    for end in range(1, len(order) + 1):
        full = end < len(order) and (end + 1 - start) * lengths[order[end]] > tokens
        if full or end == len(order):
            cut.append(order[start:end])
            start = end
    return cut


@torch.inference_mode()
def logits(
    classify: Callable[[Tensor, Tensor], Tensor],
    rows: Rows,
    collate: Collator,
    *,
    labels: int,
    device: torch.device,
    advance: Callable[[int], Any] = lambda rows: None,
    process: int = 0,
    processes: int = 1,
) -> NDArray[np.float32]:
    """The logits of every row, float32 [rows, labels], in the rows' order.

    Args:
        classify: from input_ids and attention_mask on `device` to logits, [batch, labels].
        advance: called with the number of rows of each batch that is done, for a progress bar.
        process, processes: of those that share the work; rows of the others are NaN.
    """
    result = np.full((len(rows), labels), np.nan, dtype=np.float32)
    tokens = TOKENS_A_BATCH_ON_CPU if device.type == "cpu" else TOKENS_A_BATCH
    for batch in by_tokens(rows.lengths, tokens)[process::processes]:
        inputs = collate([{"input_ids": rows[index]["input_ids"]} for index in batch])
        ids, mask = (inputs[name].to(device) for name in ("input_ids", "attention_mask"))
        result[batch] = classify(ids, mask).float().cpu().numpy()
        advance(len(batch))
    return result
