"""transformers' DeBERTa-v3 and BERT classifiers, computed for short texts.

The same numbers from less work; parameters, state dict and files stay those of transformers:

- transformers projects all 512 rows of DeBERTa's table of relative positions in every layer,
  repeats them for each text of the batch and gathers from products with all of them. A text of L
  tokens reads 2L - 1 rows. Here only those are projected, once for the whole batch, and a shifted
  view takes the place of the gather, whose backward pass is a slow scatter.
- A classifier reads the first token of the last layer only, so that layer computes no other.
- On a CPU torch's own attention has no fast way to train with dropout, so BERT's is written out,
  with queries, keys and values from one matrix product.

What padding tokens hold differs, and nothing reads it.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.deberta_v2.modeling_deberta_v2 import (
    DebertaV2Encoder,
    make_log_bucket_position,
    scaled_size_sqrt,
)


def enable(model: Any) -> None:
    """Switch a sequence classifier to this module's path, in place, where it has one.

    The model then ignores `output_hidden_states` and `output_attentions`.
    """
    kind = model.config.model_type
    if kind == "deberta-v2":
        encoder = model.deberta.encoder
        attention = encoder.layer[0].attention.self
        both_ways = {"c2p", "p2c"} <= set(attention.pos_att_type) and attention.share_att_key
        if encoder.relative_attention and both_ways and encoder.conv is None:
            encoder.__class__ = _Encoder
    elif kind == "bert":
        for layer in model.bert.encoder.layer[:-1]:
            layer.__class__ = _AllTokensLayer
        model.bert.encoder.layer[-1].__class__ = _FirstTokenLayer


class _Window(NamedTuple):
    """The rows of the table that a text of `length` tokens reads.

    Attributes:
        rows: they lie next to each other.
        spread: the row within them of each relative position from 1 - length to length - 1; None
            where every position has its own, which holds up to 129 tokens in DeBERTa-v3.
    """

    rows: slice
    spread: Tensor | None


class _Encoder(DebertaV2Encoder):  # type: ignore[misc]  # transformers is untyped
    def forward(self, hidden_states: Tensor, attention_mask: Tensor, **_: Any) -> BaseModelOutput:
        """Only the first token of the last layer: [batch, 1, hidden]."""
        table = self.get_rel_embedding()
        window = self._window(hidden_states.shape[1], hidden_states.device)
        padding = ~attention_mask.bool()
        for layer in self.layer[:-1]:
            hidden_states = _layer(layer, hidden_states, table, window, padding, _all_tokens)
        hidden_states = _layer(self.layer[-1], hidden_states, table, window, padding, _first_token)
        return BaseModelOutput(last_hidden_state=hidden_states, hidden_states=(hidden_states,))

    def _window(self, length: int, device: torch.device) -> _Window:
        known: dict[tuple[int, torch.device], _Window] = self.__dict__.setdefault("_windows", {})
        if (length, device) not in known:
            span = self.rel_embeddings.num_embeddings // 2
            distance = torch.arange(1 - length, length, device=device)
            if self.position_buckets > 0 and self.max_relative_positions > 0:
                distance = make_log_bucket_position(
                    distance, self.position_buckets, self.max_relative_positions
                ).long()
            row = (distance + span).clamp(0, 2 * span - 1)
            low, high = int(row[0]), int(row[-1]) + 1
            spread = None if high - low == len(row) else row - low
            known[length, device] = _Window(slice(low, high), spread)
        return known[length, device]


def _layer(
    layer: Any, hidden: Tensor, table: Tensor, window: _Window, padding: Tensor, attend: Any
) -> Tensor:
    attention = layer.attention.self
    rows = attention.pos_dropout(table[window.rows])
    position_key, position_query = attention.key_proj(rows), attention.query_proj(rows)
    if window.spread is not None:
        position_key, position_query = position_key[window.spread], position_query[window.spread]
    context, asking = attend(attention, hidden, position_key, position_query, padding)
    attended = layer.attention.output(context, asking)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output


def _heads(x: Tensor, attention: Any) -> Tensor:
    """[batch, length, heads * size] -> [heads, batch, length, size]."""
    batch, length, _ = x.shape
    return x.view(batch, length, attention.num_attention_heads, -1).permute(2, 0, 1, 3).contiguous()


def _all_tokens(
    attention: Any, hidden: Tensor, position_key: Tensor, position_query: Tensor, padding: Tensor
) -> tuple[Tensor, Tensor]:
    batch, length, _ = hidden.shape
    heads = attention.num_attention_heads
    query, key, value = (
        _heads(project(hidden), attention).flatten(1, 2)  # [heads, batch * length, size]
        for project in (attention.query_proj, attention.key_proj, attention.value_proj)
    )
    scale = scaled_size_sqrt(query, 3).to(query.dtype)  # 3: content, and positions both ways
    query = query / scale
    # [heads, size, 2 * length - 1]; the keys' from the farthest token after to that before.
    to_keys = _heads(position_key.flip(0)[None], attention)[:, 0].transpose(1, 2)
    to_queries = _heads((position_query / scale)[None], attention)[:, 0].transpose(1, 2)
    content_to_position = _shift((query @ to_keys).view(heads * batch, length, -1))
    position_to_content = _shift((key @ to_queries).view(heads * batch, length, -1))
    query, key, value = (x.view(heads * batch, length, -1) for x in (query, key, value))
    scores = torch.baddbmm(
        content_to_position + position_to_content.transpose(1, 2), query, key.transpose(1, 2)
    ).view(heads, batch, length, length)
    scores = scores.masked_fill(padding[:, None, :], torch.finfo(scores.dtype).min)
    shares = attention.dropout(scores.softmax(-1)).view(heads * batch, length, length)
    context = (shares @ value).view(heads, batch, length, -1)
    return context.permute(1, 2, 0, 3).flatten(2), hidden


def _first_token(
    attention: Any, hidden: Tensor, position_key: Tensor, position_query: Tensor, padding: Tensor
) -> tuple[Tensor, Tensor]:
    length = hidden.shape[1]
    first = hidden[:, :1]
    query = _heads(attention.query_proj(first), attention)  # [heads, batch, 1, size]
    key, value = (
        _heads(attention.key_proj(hidden), attention),
        _heads(attention.value_proj(hidden), attention),
    )
    scale = scaled_size_sqrt(query, 3).to(query.dtype)
    # The first token is i tokens before token i: [heads, 1, length, size].
    to_keys = _heads(position_key[:length].flip(0)[None], attention)
    to_queries = _heads(position_query[:length].flip(0)[None], attention)
    scores = (query * (key + to_keys) + key * to_queries).sum(-1) / scale
    scores = scores.masked_fill(padding, torch.finfo(scores.dtype).min)
    shares = attention.dropout(scores.softmax(-1))[:, :, None]  # [heads, batch, 1, length]
    return (shares.to(value.dtype) @ value).permute(1, 2, 0, 3).flatten(2), first


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


class _AllTokensLayer(BertLayer):  # type: ignore[misc]
    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor:
        if not self.training or hidden_states.device.type != "cpu":
            usual: Tensor = super().forward(hidden_states, attention_mask)
            return usual
        attention = self.attention.self
        batch, length, _width = hidden_states.shape
        heads, size = attention.num_attention_heads, attention.attention_head_size
        projections = (attention.query, attention.key, attention.value)
        projected = F.linear(
            hidden_states,
            torch.cat([projection.weight for projection in projections]),
            torch.cat([projection.bias for projection in projections]),
        ).view(batch, length, 3, heads, size)
        # Each [batch * heads, length, size].
        query, key, value = projected.permute(2, 0, 3, 1, 4).flatten(1, 2)
        scores = query @ (key * attention.scaling).transpose(1, 2)
        if attention_mask is not None:
            padding = ~attention_mask[:, :, :1]  # [batch, 1, 1, length]
            scores = scores.view(batch, heads, length, length)
            scores = scores.masked_fill(padding, torch.finfo(scores.dtype).min).flatten(0, 1)
        shares = attention.dropout(scores.softmax(-1))
        context = (shares.to(value.dtype) @ value).view(batch, heads, length, size)
        context = context.transpose(1, 2).flatten(2)
        output: Tensor = self.feed_forward_chunk(self.attention.output(context, hidden_states))
        return output


class _FirstTokenLayer(BertLayer):  # type: ignore[misc]
    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor:
        """Only the first token: [batch, 1, hidden]."""
        attention = self.attention.self
        first = hidden_states[:, :1]
        query, key, value = (
            x.view(*x.shape[:2], -1, attention.attention_head_size).transpose(1, 2)
            for x in (
                attention.query(first),
                attention.key(hidden_states),
                attention.value(hidden_states),
            )
        )
        context = F.scaled_dot_product_attention(
            query,
            key,
            value,
            None if attention_mask is None else attention_mask[:, :, :1],
            dropout_p=attention.dropout.p if self.training else 0.0,
            scale=attention.scaling,
        )
        context = context.transpose(1, 2).flatten(2)
        output: Tensor = self.feed_forward_chunk(self.attention.output(context, first))
        return output
