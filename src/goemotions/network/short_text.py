"""transformers' DeBERTa-v3, BERT and MPNet classifiers, computed for short texts.

The same numbers from less work; parameters, state dict and files stay those of transformers:

- DeBERTa's attention projects only those relative positions that a text reads, once for the whole
  batch (`disentangled`).
- A classifier reads the first token of the last layer only, so that layer computes no other.
- On a CPU torch's own attention has no fast way to train with dropout, so BERT's is written out,
  with queries, keys and values from one matrix product, and MPNet's too.
- On a CPU, a batch of many tokens keeps only what goes into each layer and computes the rest again
  in the backward pass. Few batches are so large, and without that they decide the peak of memory.

What padding tokens hold differs, and nothing reads it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.bert.modeling_bert import BertLayer
from transformers.models.deberta_v2.modeling_deberta_v2 import DebertaV2Encoder
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

from goemotions.network import disentangled
from goemotions.network.disentangled import Window

RECOMPUTED = 1152  # padded tokens of a batch on a CPU; larger ones, 1 in 40, are computed twice


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
    elif kind == "mpnet":
        model.mpnet.encoder.__class__ = _MPNetEncoder


def _sparing(compute: Callable[..., Tensor], hidden: Tensor, *rest: Any) -> Tensor:
    """`compute(hidden, *rest)`, of which a large batch keeps only the arguments."""
    large = hidden.device.type == "cpu" and hidden.shape[:2].numel() > RECOMPUTED
    if large and torch.is_grad_enabled():
        computed: Tensor = checkpoint(compute, hidden, *rest, use_reentrant=False)
        return computed
    return compute(hidden, *rest)


class _Encoder(DebertaV2Encoder):  # type: ignore[misc]  # transformers is untyped
    def forward(self, hidden_states: Tensor, attention_mask: Tensor, **_: Any) -> BaseModelOutput:
        """Only the first token of the last layer: [batch, 1, hidden]."""
        table = self.get_rel_embedding()
        length, size = hidden_states.shape[1], self.rel_embeddings.num_embeddings
        buckets, furthest = self.position_buckets, self.max_relative_positions
        window = disentangled.window(length, size, buckets, furthest, hidden_states.device)
        padding = ~attention_mask.bool()
        for layer in self.layer[:-1]:
            hidden_states = _sparing(partial(_layer, layer), hidden_states, table, window, padding)
        hidden_states = _layer(self.layer[-1], hidden_states, table, window, padding, last=True)
        return BaseModelOutput(last_hidden_state=hidden_states, hidden_states=(hidden_states,))


def _layer(
    layer: Any, hidden: Tensor, table: Tensor, window: Window, padding: Tensor, last: bool = False
) -> Tensor:
    """A layer's output for all tokens, or in the last layer for the first."""
    attention = layer.attention.self
    rows = attention.pos_dropout(table[window.rows])
    position_key = window.of(attention.key_proj(rows))
    position_query = window.of(attention.query_proj(rows))
    asking = hidden[:, :1] if last else hidden
    attend = disentangled.first_token if last else disentangled.all_tokens
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
        heads, bias = self.attention.self.num_attention_heads, None
        if attention_mask is not None:  # [batch, 1, length, length]
            lowest = torch.finfo(hidden_states.dtype).min
            bias = hidden_states.new_zeros(()).where(attention_mask[:, :, :1], lowest)
            bias = bias.expand(-1, heads, -1, -1)
        return _sparing(self._output, hidden_states, bias)

    def _output(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        attention = self.attention.self
        projections = (attention.query, attention.key, attention.value)
        heads = attention.num_attention_heads
        context = _all_tokens(hidden, projections, heads, bias, attention.dropout)
        output: Tensor = self.feed_forward_chunk(self.attention.output(context, hidden))
        return output


class _FirstTokenLayer(BertLayer):  # type: ignore[misc]
    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor:
        """Only the first token: [batch, 1, hidden]."""
        attention = self.attention.self
        projections = (attention.query, attention.key, attention.value)
        bias = None if attention_mask is None else attention_mask[:, :, :1]
        context = _first_token(
            hidden_states, projections, attention.num_attention_heads, bias, attention.dropout
        )
        output: Tensor = self.feed_forward_chunk(
            self.attention.output(context, hidden_states[:, :1])
        )
        return output


class _MPNetEncoder(MPNetEncoder):  # type: ignore[misc]
    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: Any
    ) -> BaseModelOutput:
        """Only the first token of the last layer: [batch, 1, hidden]."""
        # The same for every layer: [1 or batch, heads, length, length].
        bias = self.compute_position_bias(hidden_states[:1])
        if attention_mask is not None:
            bias = bias + attention_mask[:, :, :1]
        bias = bias.expand(len(hidden_states), -1, -1, -1)
        for layer in self.layer[:-1]:
            hidden_states = _sparing(partial(_mpnet_layer, layer), hidden_states, bias)
        return BaseModelOutput(_mpnet_layer(self.layer[-1], hidden_states, bias, last=True))


def _mpnet_layer(layer: Any, hidden: Tensor, bias: Tensor, last: bool = False) -> Tensor:
    attention, asking = layer.attention.attn, hidden
    attend = _all_tokens
    if last:
        attend, asking, bias = _first_token, hidden[:, :1], bias[:, :, :1]
    context = attend(
        hidden,
        (attention.q, attention.k, attention.v),
        attention.num_attention_heads,
        bias,
        attention.dropout,
    )
    dropped = layer.attention.dropout(attention.o(context))
    attended = layer.attention.LayerNorm(dropped + asking)
    output: Tensor = layer.output(layer.intermediate(attended), attended)
    return output


_Projections = tuple[nn.Linear, nn.Linear, nn.Linear]  # of queries, keys and values


def _all_tokens(
    hidden: Tensor, projections: _Projections, heads: int, bias: Tensor | None, dropout: nn.Dropout
) -> Tensor:
    """What every token attends to, [batch, length, width].

    Args:
        hidden: [batch, length, width].
        bias: added to the scores, [batch, heads, 1 or length, length].
    """
    batch, length, width = hidden.shape
    projected = F.linear(
        hidden,
        torch.cat([projection.weight for projection in projections]),
        torch.cat([projection.bias for projection in projections]),
    ).view(batch, length, 3, heads, -1)
    # Each [batch * heads, length, size].
    query, key, value = projected.permute(2, 0, 3, 1, 4).flatten(1, 2)
    key = (key * key.shape[-1] ** -0.5).transpose(1, 2)
    scores = query @ key if bias is None else torch.baddbmm(bias.flatten(0, 1), query, key)
    # Dropout sees [batch, heads, length, length], as in transformers.
    shares = dropout(scores.softmax(-1).view(batch, heads, length, length)).flatten(0, 1)
    context: Tensor = (shares.to(value.dtype) @ value).view(batch, heads, length, -1)
    return context.transpose(1, 2).reshape(batch, length, width)


def _first_token(
    hidden: Tensor, projections: _Projections, heads: int, bias: Tensor | None, dropout: nn.Dropout
) -> Tensor:
    """What the first token attends to, [batch, 1, width]; as `_all_tokens`."""
    query, key, value = (
        projection(x).view(*x.shape[:2], heads, -1).transpose(1, 2)
        for projection, x in zip(projections, (hidden[:, :1], hidden, hidden), strict=True)
    )
    rate = dropout.p if dropout.training else 0.0
    # The layer that pools MPNet's tokens has scores of 2^60, to which the fused kernels' backward
    # pass cannot add the logarithm of the length: each token would get the gradient of them all.
    with sdpa_kernel(SDPBackend.MATH):
        context = F.scaled_dot_product_attention(query, key, value, bias, dropout_p=rate)
    return context.transpose(1, 2).flatten(2)
