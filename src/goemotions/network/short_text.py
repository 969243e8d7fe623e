"""transformers' DeBERTa-v3 and BERT classifiers, computed for short texts.

The same numbers from less work; parameters, state dict and files stay those of transformers:

- DeBERTa's attention projects only those relative positions that a text reads, once for the whole
  batch (`disentangled`).
- A classifier reads the first token of the last layer only, so that layer computes no other.
- On a CPU torch's own attention has no fast way to train with dropout, so BERT's is written out,
  with queries, keys and values from one matrix product.

What padding tokens hold differs, and nothing reads it.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Encoder

from goemotions.network import disentangled
from goemotions.network.disentangled import Window


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


class _Encoder(DebertaV2Encoder):  # type: ignore[misc]  # transformers is untyped
    def forward(self, hidden_states: Tensor, attention_mask: Tensor, **_: Any) -> BaseModelOutput:
        """Only the first token of the last layer: [batch, 1, hidden]."""
        table = self.get_rel_embedding()
        window = self._window(hidden_states.shape[1], hidden_states.device)
        padding = ~attention_mask.bool()
        for layer in self.layer[:-1]:
            hidden_states = _layer(layer, hidden_states, hidden_states, table, window, padding)
        first = hidden_states[:, :1]
        hidden_states = _layer(self.layer[-1], hidden_states, first, table, window, padding)
        return BaseModelOutput(last_hidden_state=hidden_states, hidden_states=(hidden_states,))

    def _window(self, length: int, device: torch.device) -> Window:
        known: dict[tuple[int, torch.device], Window] = self.__dict__.setdefault("_windows", {})
        if (length, device) not in known:
            size = self.rel_embeddings.num_embeddings
            known[length, device] = disentangled.window(
                length, size, self.position_buckets, self.max_relative_positions, device
            )
        return known[length, device]


def _layer(
    layer: Any, hidden: Tensor, asking: Tensor, table: Tensor, window: Window, padding: Tensor
) -> Tensor:
    """A layer's output for the tokens `asking`, which are all of `hidden` or its first."""
    attention = layer.attention.self
    rows = attention.pos_dropout(table[window.rows])
    position_key = window.of(attention.key_proj(rows))
    position_query = window.of(attention.query_proj(rows))
    attend = disentangled.all_tokens if asking is hidden else disentangled.first_token
    context = attend(
        (attention.query_proj(asking), attention.key_proj(hidden), attention.value_proj(hidden)),
        position_key,
        position_query,
        attention.num_attention_heads,
        padding,
        attention.dropout,
    )
    attended = layer.attention.output(context, asking)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output


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
