"""The base models of the bench."""

from pathlib import Path

import torch

from goemotions import config
from goemotions.io.silence import silenced
from goemotions.models import prepare, tiny

FRESH = {"deberta-v3-6x768": (6, 768, 12), "deberta-v3-large": (24, 1024, 16)}
NAMES = ("minilm-l6", *FRESH)


def folder(name: str, settings: config.Params, parent: Path) -> Path:
    """A base model below `parent`: MiniLM, or a fresh DeBERTa-v3 with MiniLM's tokenizer.

    So every model reads the same tokens.
    """
    from transformers import AutoTokenizer

    minilm = parent / "minilm-l6"
    if not minilm.is_dir():
        prepare.cache("minilm-l6", settings.models["minilm-l6"], minilm)
    if name == "minilm-l6":
        return minilm
    made = fresh(name, parent)
    AutoTokenizer.from_pretrained(minilm).save_pretrained(made)
    return made


def fresh(name: str, parent: Path) -> Path:
    """A DeBERTa-v3 with random weights and DeBERTa-v3's vocabulary size, without a tokenizer."""
    from transformers import DebertaV2Config, DebertaV2Model

    layers, width, heads = FRESH[name]
    config = DebertaV2Config(
        vocab_size=128100,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        **tiny.DEBERTA_V3,
    )
    torch.manual_seed(0)
    with silenced():
        DebertaV2Model(config).save_pretrained(parent / name)
    return parent / name
