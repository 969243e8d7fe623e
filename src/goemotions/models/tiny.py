"""A small DeBERTa-v3 with fresh weights, for the demo and the tests.

Its tokenizer is a SentencePiece unigram model like DeBERTa-v3's own, trained on the generated
sample's sentences, so that the cached folder depends on nothing but params.yaml.
"""

import io
from pathlib import Path
from typing import Any

from goemotions.config.model_settings import ScratchModel
from goemotions.data import sample
from goemotions.errors import UserError
from goemotions.io.silence import silenced
from goemotions.models import tokenizer

# What makes a DeBERTa-v2 a v3, as deberta-v3-large's config.json has it.
DEBERTA_V3: dict[str, Any] = {
    "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
    "relative_attention": True,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "pad_token_id": 0,
}
_TEXTS = {"train": 4000, "val": 1, "test": 1}


def write(settings: ScratchModel, folder: Path) -> None:
    """Write config.json, model.safetensors, spm.model and the tokenizer's files into `folder`.

    Raises:
        UserError: the sizes do not fit together.
    """
    import torch
    from transformers import DebertaV2Config, DebertaV2Model

    if settings.hidden_size % settings.num_attention_heads:
        raise UserError(
            f"hidden_size {settings.hidden_size} cannot be divided among num_attention_heads "
            f"{settings.num_attention_heads}; choose a multiple"
        )
    (folder / "spm.model").write_bytes(_sentencepiece(settings))
    tokenizer.convert(folder)
    config = DebertaV2Config(
        vocab_size=settings.vocab_size + 1,  # [MASK] comes after the SentencePiece vocabulary
        hidden_size=settings.hidden_size,
        num_hidden_layers=settings.num_hidden_layers,
        num_attention_heads=settings.num_attention_heads,
        intermediate_size=settings.intermediate_size,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
        # Pretrained models start at 0.02; one so small would spend its epochs growing from there.
        initializer_range=settings.hidden_size**-0.5,
        **DEBERTA_V3,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        with silenced():
            DebertaV2Model(config).save_pretrained(folder)


def _sentencepiece(settings: ScratchModel) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    rows = sample.generate(settings.seed, _TEXTS)["train"]
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(row.text for row in rows),
            model_writer=model,
            vocab_size=settings.vocab_size,
            model_type="unigram",
            character_coverage=1.0,
            num_threads=1,  # several threads add floats in any order
            minloglevel=2,
            pad_id=0,
            bos_id=1,
            eos_id=2,
            unk_id=3,
            pad_piece="[PAD]",
            bos_piece="[CLS]",
            eos_piece="[SEP]",
            unk_piece="[UNK]",
        )
    except RuntimeError as error:  # its message names the largest vocabulary that the texts allow
        raise UserError(f"vocab_size {settings.vocab_size} does not fit: {error}") from None
    return model.getvalue()
