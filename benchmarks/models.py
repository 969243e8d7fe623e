"""The models of the bench. All of them read the same tokens, those of MiniLM."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from goemotions import config
from goemotions.config import Params, Recipe
from goemotions.data import splits
from goemotions.data.splits import Split
from goemotions.io import digests
from goemotions.io.silence import silenced
from goemotions.metrics.thresholds import METHODS
from goemotions.models import prepare, tiny
from goemotions.network.classifier import build_classifier

# Layers, width and attention heads of those with random weights.
FRESH = {
    "deberta-v3-6x768": (6, 768, 12),
    "deberta-v3-large": (24, 1024, 16),
    "mpnet-12x768": (12, 768, 12),
}
NAMES = ("minilm-l6", *FRESH)


def folder(name: str, settings: Params, parent: Path) -> Path:
    """A base model below `parent`: MiniLM, or a fresh one with MiniLM's tokenizer."""
    minilm = parent / "minilm-l6"
    if not minilm.is_dir():
        prepare.cache("minilm-l6", settings.models["minilm-l6"], minilm)
    if name == "minilm-l6":
        return minilm
    made = fresh(name, parent)
    for path in minilm.glob("token*"):
        (made / path.name).write_bytes(path.read_bytes())
    return made


def fresh(name: str, parent: Path) -> Path:
    """A model with random weights and its kind's vocabulary size, without a tokenizer."""
    from transformers import DebertaV2Config, DebertaV2Model, MPNetConfig, MPNetModel

    layers, width, heads = FRESH[name]
    sizes: dict[str, Any] = {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }
    torch.manual_seed(0)
    with silenced():
        if name.startswith("mpnet"):
            # Padding is token 1 there, and 0 in MiniLM's tokenizer.
            model: Any = MPNetModel(MPNetConfig(vocab_size=30527, pad_token_id=0, **sizes))
        else:
            model = DebertaV2Model(DebertaV2Config(vocab_size=128100, **sizes, **tiny.DEBERTA_V3))
        model.save_pretrained(parent / name)
    return parent / name


def recipe(name: str) -> Recipe:
    """The recipe that trains a model of the bench."""
    recipes = config.load().recipes
    return recipes["minilm-l6" if name == "minilm-l6" else "deberta-v3-base"]


def trained(base: Path, split: Split, to: Path) -> Path:
    """What training would write: a classifier on `base`, with thresholds."""
    with silenced():
        plain = recipe("deberta-v3-base")  # no further layer, for us or for others
        build_classifier(base, plain, split).save_pretrained(to)
    for path in base.glob("token*"):
        (to / path.name).write_bytes(path.read_bytes())
    digests.write_json(
        to / "thresholds.json",
        {
            "preferred": "global",
            "max_length": config.load().train.max_length,
            "methods": {key: {"logits": dict.fromkeys(split.labels.names, 0.0)} for key in METHODS},
            "short_text": True,
            "limits": {},
        },
    )
    digests.write_manifest(to)
    return to


def some(data: Path, rows: int, seed: int = 0) -> Split:
    """Rows of a split, drawn at random."""
    split = splits.read(data)
    chosen = np.random.default_rng(seed).permutation(len(split.ids))[:rows]
    ids, texts = ([values[row] for row in chosen] for values in (split.ids, split.texts))
    return replace(split, ids=ids, texts=texts, targets=split.targets[chosen])


def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def configuration(folder: Path) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)
