import hashlib

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModel, AutoTokenizer, DebertaV2Model

from goemotions.errors import UserError
from goemotions.models.tiny import write


@pytest.fixture(scope="module")
def entry(settings):
    return settings.models["deberta-v3-tiny"]


def digests(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "manifest.json"
    }


def test_the_same_settings_give_the_same_bytes(tiny, entry, tmp_path):
    torch.manual_seed(99)  # the global generator must not matter
    write(entry, tmp_path)
    assert digests(tmp_path) == digests(tiny)
    assert sorted(digests(tiny)) == [
        "config.json",
        "model.safetensors",
        "spm.model",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_making_a_model_leaves_the_global_generator_alone(entry, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    write(entry, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_seed_gives_other_weights(tiny, entry, tmp_path):
    write(entry.model_copy(update={"seed": entry.seed + 1}), tmp_path)
    name = "encoder.layer.0.output.dense.weight"
    ours, theirs = (load_file(folder / "model.safetensors")[name] for folder in (tiny, tmp_path))
    assert ours.shape == theirs.shape
    assert not torch.equal(ours, theirs)


def test_the_sizes_are_those_of_the_settings(tiny, entry):
    model = AutoModel.from_pretrained(tiny)
    assert type(model) is DebertaV2Model
    config = model.config
    assert config.hidden_size == entry.hidden_size
    assert config.num_hidden_layers == entry.num_hidden_layers
    assert config.num_attention_heads == entry.num_attention_heads
    assert config.intermediate_size == entry.intermediate_size
    assert config.hidden_dropout_prob == config.attention_probs_dropout_prob == entry.dropout
    # The SentencePiece vocabulary and then [MASK].
    assert tuple(model.embeddings.word_embeddings.weight.shape) == (
        entry.vocab_size + 1,
        entry.hidden_size,
    )
    assert model.dtype == torch.float32


def test_what_makes_it_a_v3_is_as_in_deberta_v3_large(tiny, real_mirror):
    real = AutoConfig.from_pretrained(real_mirror / "models" / "microsoft" / "deberta-v3-large")
    ours = AutoConfig.from_pretrained(tiny)
    for name in (
        "model_type", "relative_attention", "position_buckets", "norm_rel_ebd", "share_att_key",
        "type_vocab_size", "layer_norm_eps", "position_biased_input", "pad_token_id", "hidden_act",
    ):  # fmt: skip
        assert getattr(ours, name) == getattr(real, name), name
    assert sorted(ours.pos_att_type) == sorted(real.pos_att_type) == ["c2p", "p2c"]


def test_padding_does_not_change_what_the_model_says(tiny):
    model = AutoModel.from_pretrained(tiny).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny)
    with torch.inference_mode():
        alone = model(**tokenizer(["haha"], return_tensors="pt")).last_hidden_state[0]
        batch = tokenizer(["haha", "what a wonderful day"], padding=True, return_tensors="pt")
        padded = model(**batch).last_hidden_state[0, : len(alone)]
    torch.testing.assert_close(padded, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": 65}, "hidden_size 65 cannot be divided among num_attention_heads 2"),
        ({"vocab_size": 50_000}, r"vocab_size 50000 does not fit: .*value <= \d+"),
    ],
)
def test_sizes_that_do_not_fit_are_named(entry, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        write(entry.model_copy(update=changes), tmp_path)
