"""A trained BERT or DeBERTa-v3 classifier, computed without transformers' code.

Importing that takes longer than torch itself, and it serves training. Here is only what predicting
needs, from the same files: queries, keys and values are one product, the last layer computes the
first token only, since the classifier reads no other, and products can be in fewer bits.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from goemotions.network import disentangled
from goemotions.network.disentangled import Window

Precision = Literal["fp32", "bf16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

_Product = Callable[[Tensor], Tensor]
# From a layer, queries, keys and values to what each query attends to.
_Attention = Callable[["_Layer", Tensor, Tensor, Tensor], Tensor]


def supports(config: Mapping[str, Any]) -> bool:
    """Whether a config.json, as transformers writes it, is of a model that `Network` computes."""
    if config.get("hidden_act") != "gelu":
        return False
    if config.get("model_type") == "bert":
        return bool(config.get("position_embedding_type", "absolute") == "absolute")
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
        self.is_bert = config["model_type"] == "bert"
        self.heads: int = config["num_attention_heads"]
        base = "bert" if self.is_bert else "deberta"
        self.embeddings, self.encoder = f"{base}.embeddings", f"{base}.encoder"
        names = [f"{self.encoder}.layer.{i}" for i in range(config["num_hidden_layers"])]
        self.layers = [_Layer(self, name, last=name == names[-1]) for name in names]
        self.pool = self.linear(["bert.pooler.dense" if self.is_bert else "pooler.dense"], "fp32")
        self.classify = self.linear(["classifier"], "fp32")
        self.windows: dict[int, Window] = {}

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
        if self.is_bert:
            hidden = hidden + self.weights[f"{self.embeddings}.token_type_embeddings.weight"][0]
            hidden += self.weights[f"{self.embeddings}.position_embeddings.weight"][:length]
        hidden = self.norm(hidden, self.embeddings)
        attention = self._plain(padding) if self.is_bert else self._disentangled(length, padding)
        for layer in self.layers:
            hidden = layer(hidden, attention)
        pooled = self.pool(hidden[:, 0])
        return self.classify(pooled.tanh() if self.is_bert else F.gelu(pooled))

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

    def _plain(self, padding: Tensor) -> _Attention:
        mask = ~padding[:, None, None] if padding.any() else None

        def attend(layer: "_Layer", query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            query, key, value = (
                x.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for x in (query, key, value)
            )
            context = F.scaled_dot_product_attention(query, key, value, mask)
            return context.transpose(1, 2).flatten(2)

        return attend

    def _disentangled(self, length: int, padding: Tensor) -> _Attention:
        table = self.norm(self.weights[f"{self.encoder}.rel_embeddings.weight"], self.encoder)
        if length not in self.windows:
            furthest = self.config["max_relative_positions"]
            if furthest < 1:
                furthest = self.config["max_position_embeddings"]
            self.windows[length] = disentangled.window(
                length, len(table), self.config["position_buckets"], furthest, table.device
            )
        window = self.windows[length]
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
        self.name, self.last, self.norm = name, last, network.norm
        suffix = "" if network.is_bert else "_proj"
        self.projections = [
            f"{name}.attention.self.{part}{suffix}" for part in ("query", "key", "value")
        ]
        precision = network.precision
        self.query = network.linear(self.projections[:1], precision) if last else None
        self.project = network.linear(self.projections[1 if last else 0 :], precision)
        self.attended = network.linear([f"{name}.attention.output.dense"], precision)
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
        attended = self.norm(context.add_(asking), f"{self.name}.attention.output")
        output = self.narrow(self.widen(attended))
        return self.norm(output.add_(attended), f"{self.name}.output")


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
