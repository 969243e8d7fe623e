"""A trained BERT, MPNet or DeBERTa-v3 classifier, computed without transformers' code.

Importing that takes longer than torch itself, and it serves training. Here is only what predicting
needs, from the same files: queries, keys and values are one product, the last layer computes the
first token only, since the classifier reads no other, and products can be in fewer bits.
"""

import json
import math
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from goemotions.network import disentangled

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_Product = Callable[[Tensor], Tensor]
# From a layer, queries, keys and values to what each query attends to.
_Attention = Callable[["_Layer", Tensor, Tensor, Tensor], Tensor]


class _Names(NamedTuple):
    """What transformers calls the parts of a kind of model."""

    base: str
    projections: list[str]
    attended: str
    attended_norm: str
    pool: str
    classify: str


_BERT = _Names(
    "bert",
    [f"attention.self.{part}" for part in ("query", "key", "value")],
    "attention.output.dense",
    "attention.output",
    "bert.pooler.dense",
    "classifier",
)
_NAMES = {
    "bert": _BERT,
    "deberta-v2": _BERT._replace(
        base="deberta",
        projections=[f"{name}_proj" for name in _BERT.projections],
        pool="pooler.dense",
    ),
    "mpnet": _Names(
        "mpnet",
        [f"attention.attn.{part}" for part in "qkv"],
        "attention.attn.o",
        "attention",
        "classifier.dense",
        "classifier.out_proj",
    ),
}


def supports(config: Mapping[str, Any]) -> bool:
    """Whether a config.json, as transformers writes it, is of a model that `Network` computes."""
    if config.get("hidden_act") != "gelu":
        return False
    if config.get("model_type") == "bert":
        return bool(config.get("position_embedding_type", "absolute") == "absolute")
    if config.get("model_type") == "mpnet":
        return bool(config.get("relative_attention_num_buckets", _BUCKETS) == _BUCKETS)
    return (
        config.get("model_type") == "deberta-v2"
        and bool(config.get("relative_attention"))
        and bool(config.get("share_att_key"))
        and {"c2p", "p2c"} <= set(config.get("pos_att_type") or ())
        and config.get("norm_rel_ebd") == "layer_norm"
        and not config.get("conv_kernel_size")
        and not config.get("position_biased_input", True)
        and not config.get("type_vocab_size")
        and config.get("embedding_size", config["hidden_size"]) == config["hidden_size"]
        and config.get("pooler_hidden_act") == "gelu"
    )


class Network:
    """From tokens to logits.

    Args:
        config: config.json, which `supports` accepts.
        weights: those of transformers' sequence classifier, by its names, on the device that
            computes; float32, or float64 to compare with.
        precision: fp32 is as exact as the weights; bf16 computes everything in bfloat16; int8
            rounds the layers' weights to 8 bits by row and what they are multiplied with to 8 bits
            by batch, on CPUs only.
    """

    def __init__(
        self, config: Mapping[str, Any], weights: Mapping[str, Tensor], precision: Precision
    ) -> None:
        self.config, self.precision = config, precision
        if precision == "bf16":
            weights = {name: weight.bfloat16() for name, weight in weights.items()}
        self.weights = weights
        self.kind, self.names = config["model_type"], _NAMES[config["model_type"]]
        self.heads: int = config["num_attention_heads"]
        base = self.names.base
        self.embeddings, self.encoder = f"{base}.embeddings", f"{base}.encoder"
        layers = [f"{self.encoder}.layer.{i}" for i in range(config["num_hidden_layers"])]
        self.layers = [_Layer(self, name, last=name == layers[-1]) for name in layers]
        self.pool = self.linear([self.names.pool], "fp32")
        self.classify = self.linear([self.names.classify], "fp32")

    @classmethod
    def load(cls, folder: Path, precision: Precision, device: torch.device) -> "Network":
        """The classifier in a folder whose config.json `supports` accepts."""
        from safetensors.torch import load_file

        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = load_file(folder / "model.safetensors", device=str(device))
        return cls(config, {name: w.float() for name, w in weights.items()}, precision)

    @torch.inference_mode()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The logits, [batch, labels], of texts in tokens.

        Args:
            input_ids: int64 [batch, length].
            attention_mask: [batch, length], 0 at padding.
        """
        length, padding = input_ids.shape[1], attention_mask == 0
        hidden = F.embedding(input_ids, self.weights[f"{self.embeddings}.word_embeddings.weight"])
        if self.kind == "bert":
            hidden = hidden + self.weights[f"{self.embeddings}.token_type_embeddings.weight"][0]
            hidden += self.weights[f"{self.embeddings}.position_embeddings.weight"][:length]
        elif self.kind == "mpnet":
            counted = input_ids != _MPNET_PADDING
            positions = counted.cumsum(1) * counted + _MPNET_PADDING
            table = self.weights[f"{self.embeddings}.position_embeddings.weight"]
            hidden = hidden + F.embedding(positions, table)
        hidden = self.norm(hidden, self.embeddings)
        if self.kind == "deberta-v2":
            attention = self._disentangled(length, padding)
        else:
            attention = self._plain(length, padding)
        for layer in self.layers:
            hidden = layer(hidden, attention)
        pooled = self.pool(hidden[:, 0])
        return self.classify(F.gelu(pooled) if self.kind == "deberta-v2" else pooled.tanh())

    def norm(self, x: Tensor, name: str) -> Tensor:
        """The layer norm of the module `name`."""
        weight, bias = (self.weights[f"{name}.LayerNorm.{part}"] for part in ("weight", "bias"))
        return F.layer_norm(x, weight.shape, weight, bias, self.config["layer_norm_eps"])

    def linear(self, names: list[str], precision: Precision, *, gelu: bool = False) -> _Product:
        """The product with the weights of several linear modules side by side, and GELU after it.

        On CPUs, oneDNN's own operators take weights that are laid out for them once.
        """
        weight, bias = (
            torch.cat([self.weights[f"{name}.{part}"] for name in names])
            for part in ("weight", "bias")
        )
        if precision == "int8":
            packed = _packed_int8(weight, bias)
            # Without these instructions sums of two products have 16 bits, which 8 x 8 overflow.
            seven_bits = not torch.cpu._is_vnni_supported()
            product: _Product = lambda x: torch.ops.quantized.linear_dynamic(  # noqa: E731
                x, packed, reduce_range=seven_bits
            )
        elif _has_onednn(weight):
            packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
            then: tuple[Any, ...] = ("gelu", [], "none") if gelu else ("none", [], "")
            return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, *then)
        else:
            product = lambda x: F.linear(x, weight, bias)  # noqa: E731
        return (lambda x: F.gelu(product(x))) if gelu else product

    def _plain(self, length: int, padding: Tensor) -> _Attention:
        """Scores of queries and keys alone, to which MPNet adds a bias by position."""
        mask = ~padding[:, None, None] if padding.any() else None
        if self.kind == "mpnet":
            table = self.weights[f"{self.encoder}.relative_attention_bias.weight"]
            bias = table[_buckets(length, table.device)].permute(2, 0, 1)[None]
            mask = bias if mask is None else bias.masked_fill(~mask, -math.inf)

        def attend(layer: "_Layer", query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            query, key, value = (
                x.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (query, key, value)
            )
            seen = mask if mask is None else mask[:, :, : query.shape[2]]
            context = F.scaled_dot_product_attention(query, key, value, seen)
            return context.transpose(1, 2).flatten(2)

        return attend

    def _disentangled(self, length: int, padding: Tensor) -> _Attention:
        table = self.norm(self.weights[f"{self.encoder}.rel_embeddings.weight"], self.encoder)
        buckets, furthest = self.config["position_buckets"], self.config["max_relative_positions"]
        if furthest < 1:
            furthest = self.config["max_position_embeddings"]
        window = disentangled.window(length, len(table), buckets, furthest, table.device)
        rows = table[window.rows]

        def attend(layer: "_Layer", query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            compute = disentangled.first_token if layer.last else disentangled.all_tokens
            position_query, position_key = (
                window.of(
                    F.linear(rows, self.weights[f"{part}.weight"], self.weights[f"{part}.bias"])
                )
                for part in layer.projections[:2]
            )
            return compute(
                (query, key, value), position_key, position_query, self.heads, padding, lambda x: x
            )

        return attend


class _Layer:
    def __init__(self, network: Network, name: str, *, last: bool) -> None:
        self.last, self.norm, names = last, network.norm, network.names
        self.attended_norm, self.output_norm = f"{name}.{names.attended_norm}", f"{name}.output"
        self.projections = [f"{name}.{part}" for part in names.projections]
        precision = network.precision
        self.query = network.linear(self.projections[:1], precision) if last else None
        self.project = network.linear(self.projections[1 if last else 0 :], precision)
        self.attended = network.linear([f"{name}.{names.attended}"], precision)
        self.widen = network.linear([f"{name}.intermediate.dense"], precision, gelu=True)
        self.narrow = network.linear([f"{name}.output.dense"], precision)

    def __call__(self, hidden: Tensor, attention: _Attention) -> Tensor:
        """The layer's output for every token, or in the last layer for the first."""
        if self.query:
            asking = hidden[:, :1]
            query, (key, value) = self.query(asking), self.project(hidden).chunk(2, -1)
        else:
            asking = hidden
            query, key, value = self.project(hidden).chunk(3, -1)
        context = self.attended(attention(self, query, key, value))
        attended = self.norm(context.add_(asking), self.attended_norm)
        output = self.narrow(self.widen(attended))
        return self.norm(output.add_(attended), self.output_norm)


_BUCKETS, _FURTHEST = 32, 128  # of MPNet's relative positions; constants in transformers, too
_MPNET_PADDING = 1  # this token has no position, and the first other one has the next number


def _buckets(length: int, device: torch.device) -> Tensor:
    """The rows of MPNet's table of position biases, int64 [queries, keys].

    Half of the rows are for each direction: one for each of the nearest 8 positions, then fewer
    and fewer, on a logarithmic scale, up to 128 and beyond (Raffel et al. 2020, section 2.1).
    """
    positions = torch.arange(length, device=device)
    offsets = positions[None, :] - positions[:, None]
    half, exact = _BUCKETS // 2, _BUCKETS // 4
    distance = offsets.abs()
    ratio = torch.log(distance.float().clamp(min=1) / exact) / math.log(_FURTHEST / exact)
    far = (exact + (ratio * (half - exact)).long()).clamp(max=half - 1)
    return torch.where(distance < exact, distance, far) + half * (offsets > 0)


def _has_onednn(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _packed_int8(weight: Tensor, bias: Tensor) -> Any:
    scales = weight.abs().amax(1).clamp(min=torch.finfo(weight.dtype).tiny) / 127
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():
        # These tensors are deprecated in torch, but only they reach its 8-bit products on CPUs.
        warnings.filterwarnings("ignore", message="torch.quantize_per_tensor")
        quantized = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantized, bias)
