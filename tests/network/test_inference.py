"""The network that predicts against transformers' own code."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, RobertaConfig

from goemotions.network.inference import PRECISIONS, Network, supports
from tests.network.models import SIZES, batch, classifier


def network(model, precision="fp32"):
    return Network(model.config.to_dict(), model.state_dict(), precision)


@torch.inference_mode()
def difference(network, model, inputs):
    expected = model.eval()(**inputs).logits
    assert expected.std() > 0.1
    return float((network(**inputs) - expected).abs().max())


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 128, 129, 130, 131, 257, 300, 512])
@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
def test_logits_are_those_of_transformers(kind, length, padded):
    model = classifier(kind)
    assert difference(network(model), model, batch(length, padded=padded)) < 1e-10


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("deberta", {"position_buckets": -1, "max_relative_positions": 100}),
        ("deberta", {"position_buckets": 32, "max_relative_positions": -1}),
        ("deberta", {"num_hidden_layers": 1}),
        ("deberta", {"layer_norm_eps": 1e-2}),
        ("bert", {"num_hidden_layers": 1, "layer_norm_eps": 1e-2}),
        ("mpnet", {"num_hidden_layers": 1, "layer_norm_eps": 1e-2}),
    ],
)
def test_other_settings_of_the_same_models_count(kind, changes):
    model = classifier(kind, **changes)
    assert supports(model.config.to_dict())
    assert difference(network(model), model, batch(70)) < 1e-10


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("deberta", {"pos_att_type": ["c2p"]}),
        ("deberta", {"share_att_key": False}),
        ("deberta", {"relative_attention": False, "position_biased_input": True}),
        ("deberta", {"position_biased_input": True}),
        ("deberta", {"type_vocab_size": 2}),
        ("deberta", {"norm_rel_ebd": "none"}),
        ("deberta", {"conv_kernel_size": 3}),
        ("deberta", {"embedding_size": 16}),
        ("deberta", {"hidden_act": "relu"}),
        ("deberta", {"pooler_hidden_act": "tanh"}),
        ("bert", {"hidden_act": "gelu_new"}),
        ("mpnet", {"hidden_act": "gelu_new"}),
        ("mpnet", {"relative_attention_num_buckets": 16}),
    ],
)
def test_a_model_that_computes_otherwise_is_not_supported(kind, changes):
    config = classifier(kind).config.to_dict()
    assert supports(config)
    assert not supports(config | changes)


def test_mpnet_gives_its_padding_token_no_position_inside_a_text_either():
    model, inputs = classifier("mpnet"), batch(20)
    inputs["input_ids"][:, 3:5] = 1
    assert difference(network(model), model, inputs) < 1e-10


def test_another_architecture_is_not_supported():
    assert not supports(RobertaConfig().to_dict())


@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
@pytest.mark.parametrize(("precision", "largest"), [("fp32", 1e-4), ("bf16", 0.3), ("int8", 0.3)])
def test_what_is_rounded_is_as_far_as_its_bits(kind, precision, largest):
    """In units of the logits' standard deviation, over texts of several lengths."""
    model, rounded = classifier(kind).eval(), network(classifier(kind).float(), precision)
    for length in (1, 5, 40):
        inputs = batch(length)
        with torch.no_grad():
            exact = model(**inputs).logits
        away = float((rounded(**inputs) - exact).abs().mean() / exact.std())
        assert away < largest
        assert (away > 1e-4) == (precision != "fp32")


@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_batch_gives_the_same_logits(kind, precision):
    model, inputs = classifier(kind).float(), batch(20)
    found = network(model, precision)
    assert torch.equal(found(**inputs), found(**inputs))


@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
def test_it_loads_what_transformers_saves(kind, tmp_path):
    model = classifier(kind).float()
    model.save_pretrained(tmp_path)
    loaded = Network.load(tmp_path, "fp32", torch.device("cpu"))
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path)
    assert (
        json.loads((tmp_path / "config.json").read_text())["model_type"] == plain.config.model_type
    )
    assert difference(loaded, plain, batch(9)) < 1e-4 * np.sqrt(SIZES["hidden_size"])


def test_neither_it_nor_a_prediction_imports_transformers():
    code = "import goemotions.commands.predict, sys; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
