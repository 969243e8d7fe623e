"""Small models with weights of which every part matters, and batches, to compare two paths on."""

import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DebertaV2Config,
    DebertaV2ForSequenceClassification,
    MPNetConfig,
    MPNetForSequenceClassification,
)

from goemotions.models.tiny import DEBERTA_V3

HEADS, LAYERS = 4, 3
SIZES = {
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "num_labels": 28,
}


def classifier(kind, dropout=0.0, **changes):
    """transformers' own classifier, in float64."""
    torch.manual_seed(0)
    rates = {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    if kind == "deberta":
        settings = SIZES | DEBERTA_V3 | rates | {"pooler_hidden_size": SIZES["hidden_size"]}
        model = DebertaV2ForSequenceClassification(DebertaV2Config(**(settings | changes)))
    elif kind == "mpnet":
        settings = SIZES | rates | {"max_position_embeddings": 514, "layer_norm_eps": 1e-5}
        model = MPNetForSequenceClassification(MPNetConfig(**(settings | changes)))
    else:
        model = BertForSequenceClassification(BertConfig(**(SIZES | rates | changes)))
    with torch.no_grad():  # as they are initialised attention hardly depends on the text
        for parameter in model.parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
    return model.double()


def batch(length, *, padded=True):
    ids = torch.randint(3, SIZES["vocab_size"], (4, length))
    mask = torch.ones_like(ids)
    if padded:
        for row in range(1, 4):
            mask[row, max(1, length - row * length // 4) :] = 0
    return {"input_ids": ids, "attention_mask": mask}
