"""DeBERTa's attention between tokens and between tokens and their distances, for short texts.

He et al. 2021 (arXiv 2006.03654), equation 4, with the logarithmic distances of DeBERTa-v2.
transformers projects all 512 rows of the table of distances in every layer, repeats them for each
text and gathers from products with all of them. A text of L tokens reads 2L - 1 rows: only those
are projected here, and a shifted view takes the place of the gather, whose backward pass is a slow
scatter.

Queries, keys and values are [batch, length, heads * size]; `padding`, bool [batch, length], is True
at padding tokens.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

TERMS = 3  # content to content, content to position and position to content


class Window(NamedTuple):
    """The rows of the table that a text of some length reads.

    Attributes:
        rows: they lie next to each other.
        spread: the row within them of each relative position from 1 - length to length - 1; None
            where every position has its own, which holds up to 129 tokens in DeBERTa-v3.
    """

    rows: slice
    spread: Tensor | None

    def of(self, projected: Tensor) -> Tensor:
        """From the window's projected rows, that of each relative position."""
        return projected if self.spread is None else projected[self.spread]


@cache
@torch.inference_mode(False)  # training needs what validation met first
def window(length: int, table: int, buckets: int, furthest: int, device: torch.device) -> Window:
    """What a text of `length` tokens reads of a table of `table` rows.

    Args:
        buckets: of distances, near ones one by one and far ones by their logarithm; not positive
            where every distance has a row of its own.
        furthest: the distance that the last bucket reaches.
    """
    distance = torch.arange(1 - length, length, device=device)
    if buckets > 0 and furthest > 0:
        distance = _bucket(distance, buckets, furthest)
    row = (distance + table // 2).clamp(0, table - 1)
    low, high = int(row[0]), int(row[-1]) + 1
    return Window(slice(low, high), None if high - low == len(row) else row - low)


def _bucket(distance: Tensor, buckets: int, furthest: int) -> Tensor:
    middle = buckets // 2
    size = distance.abs().clamp(min=middle)
    far = (size / middle).log() / math.log((furthest - 1) / middle) * (middle - 1)
    return torch.where(
        distance.abs() <= middle, distance, (far.ceil() + middle).long() * distance.sign()
    )


def all_tokens(
    projected: tuple[Tensor, Tensor, Tensor],
    position_key: Tensor,
    position_query: Tensor,
    heads: int,
    padding: Tensor,
    dropout: Callable[[Tensor], Tensor],
) -> Tensor:
    """What every token attends to, [batch, length, heads * size].

    Args:
        projected: queries, keys and values.
        position_key, position_query: [2 * length - 1, heads * size], from the farthest token
            before to the farthest after.
    """
    batch, length, _ = projected[0].shape
    query, key, value = (  # [heads, batch * length, size]
        _by_head(x, heads).flatten(1, 2) for x in projected
    )
    scale = _scale(query.shape[-1])
    query = query / scale
    # [heads, size, 2 * length - 1]; the keys' from the farthest token after to that before.
    to_keys = _by_head(position_key.flip(0)[None], heads)[:, 0].transpose(1, 2)
    to_queries = _by_head((position_query / scale)[None], heads)[:, 0].transpose(1, 2)
    content_to_position = _shift((query @ to_keys).view(heads * batch, length, -1))
    position_to_content = _shift((key @ to_queries).view(heads * batch, length, -1))
    query, key, value = (x.view(heads * batch, length, -1) for x in (query, key, value))
    scores = torch.baddbmm(
        content_to_position + position_to_content.transpose(1, 2), query, key.transpose(1, 2)
    ).view(heads, batch, length, length)
    scores = scores.masked_fill(padding[:, None, :], torch.finfo(scores.dtype).min)
    shares = dropout(scores.softmax(-1)).view(heads * batch, length, length)
    context = (shares.to(value.dtype) @ value).view(heads, batch, length, -1)
    return context.permute(1, 2, 0, 3).flatten(2)


def first_token(
    projected: tuple[Tensor, Tensor, Tensor],
    position_key: Tensor,
    position_query: Tensor,
    heads: int,
    padding: Tensor,
    dropout: Callable[[Tensor], Tensor],
) -> Tensor:
    """What the first token attends to, [batch, 1, heads * size]; as `all_tokens`.

    Args:
        projected: the first token's query, [batch, 1, heads * size], and all keys and values.
    """
    # [heads, batch, 1 or length, size]
    query, key, value = (_by_head(x, heads) for x in projected)
    length = key.shape[2]
    scale = _scale(query.shape[-1])
    # The first token is i tokens before token i: [heads, 1, length, size].
    to_keys = _by_head(position_key[:length].flip(0)[None], heads)
    to_queries = _by_head(position_query[:length].flip(0)[None], heads)
    scores = (query * (key + to_keys) + key * to_queries).sum(-1) / scale
    scores = scores.masked_fill(padding, torch.finfo(scores.dtype).min)
    shares = dropout(scores.softmax(-1))[:, :, None]  # [heads, batch, 1, length]
    return (shares.to(value.dtype) @ value).permute(1, 2, 0, 3).flatten(2)


def _scale(size: int) -> float:
    # transformers takes the square root in float32 whatever the model is in.
    return float(torch.tensor(float(TERMS * size), dtype=torch.float32).sqrt())


def _by_head(x: Tensor, heads: int) -> Tensor:
    """[batch, length, heads * size] -> [heads, batch, length, size]."""
    batch, length, _ = x.shape
    return x.view(batch, length, heads, -1).permute(2, 0, 1, 3).contiguous()


def _shift(scores: Tensor) -> Tensor:
    """[n, length, 2 * length - 1] -> [n, length, length]; (i, j) is what stood at (i, j - i).

    Columns count relative positions from 1 - length. Read row after row from (0, 0) on, each row
    one column shorter, every wanted column lies below the one before.
    """
    count, length, width = scores.shape
    if length == 1:
        return scores
    start = length - 1
    flat = scores.flatten(1)[:, start : start + length * (width - 1)]
    return flat.view(count, length, width - 1)[..., :length]
