"""A further layer that starts as the mean over all tokens, in transformers' code and in ours."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, MPNetConfig

from goemotions import config
from goemotions.data.labels import Labels
from goemotions.data.splits import Split
from goemotions.network import short_text
from goemotions.network.classifier import build_classifier, parameter_groups
from goemotions.network.inference import Network
from tests.network.models import SIZES, batch

TRAIN = Split(["1", "2"], ["a", "b"], np.eye(2, dtype=bool), Labels(("yes", "no")))
TIMES = {"bert": 4, "mpnet": 64}  # the mean, beside which the first token counts once


@pytest.fixture
def recipe():
    return config.load().recipes["minilm-l6"]


@pytest.fixture(params=["bert", "mpnet"])
def base(request, tmp_path):
    """A base model whose attention depends on the text and, in MPNet, on the position."""
    torch.manual_seed(0)
    sizes = {name: size for name, size in SIZES.items() if name != "num_labels"}
    made = {"bert": BertConfig, "mpnet": MPNetConfig}[request.param](**sizes)
    model = AutoModel.from_config(made)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" not in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
        if request.param == "mpnet":
            model.encoder.relative_attention_bias.weight.mul_(20)
    model.save_pretrained(tmp_path)
    return tmp_path


def expected(base, inputs, dtype):
    """The layer norm of the mean over tokens, padding excepted, and a little of the first one."""
    model = AutoModel.from_pretrained(base, dtype=dtype).eval()
    tokens, mask = model(**inputs).last_hidden_state, inputs["attention_mask"][..., None]
    mean = (tokens * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.layer_norm(
        TIMES[model.config.model_type] * mean + tokens[:, 0], mean.shape[1:]
    )


@pytest.mark.parametrize("shortcuts", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.float64, 1e-7)])
@torch.no_grad()
def test_the_classifier_first_reads_the_mean(base, recipe, shortcuts, dtype, tolerance):
    classifier = build_classifier(base, recipe, TRAIN).to(dtype).eval()
    if shortcuts:
        short_text.enable(classifier)
    inputs = batch(40)
    pooled = classifier.base_model(**inputs).last_hidden_state[:, 0]
    assert torch.allclose(pooled, expected(base, inputs, dtype), atol=tolerance)


def test_the_heads_dropout_is_the_recipes(base, recipe):
    recipe = recipe.model_copy(update={"head_dropout": 0.37})
    classifier = build_classifier(base, recipe, TRAIN)
    rates = {name: part.p for name, part in classifier.named_modules() if "dropout" in name}
    head = "dropout" if classifier.config.model_type == "bert" else "classifier.dropout"
    assert {name for name, rate in rates.items() if rate == 0.37} == {head}
    assert set(rates.values()) == {0.37, 0.1}


def trained_a_little(base, recipe, *, shortcuts):
    """The classifier after ten steps, with dropout off, and its parameters' names that moved."""
    torch.manual_seed(0)
    classifier = build_classifier(base, recipe, TRAIN).double().eval()
    if shortcuts:
        short_text.enable(classifier)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    fast = recipe.model_copy(update={"learning_rate": 1e-2, "head_learning_rate": 1e-2})
    optimizer = torch.optim.AdamW(parameter_groups(classifier, fast, weight_decay=0.01))
    inputs, targets = batch(12), torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0]]).double()
    for _ in range(10):
        optimizer.zero_grad()
        logits = classifier(**inputs).logits
        torch.nn.functional.binary_cross_entropy_with_logits(logits, targets).backward()
        optimizer.step()
    moved = {n for n, v in classifier.state_dict().items() if not torch.equal(v, before[n])}
    return classifier, moved


def test_the_layer_learns(base, recipe):
    classifier, moved = trained_a_little(base, recipe, shortcuts=True)
    kind = classifier.config.model_type
    layer = f"{kind}.encoder.layer.{classifier.config.num_hidden_layers - 1}"
    if kind == "mpnet":  # whose attention stays uniform
        fixed = {
            f"{layer}.attention.attn.{part}.{of}" for part in "qk" for of in ("weight", "bias")
        }
        assert not fixed & moved
        assert {f"{layer}.attention.attn.{part}.weight" for part in "vo"} <= moved
    else:
        parts = ("query", "key", "value")
        assert {f"{layer}.attention.self.{part}.weight" for part in parts} <= moved
    assert f"{layer}.output.dense.weight" in moved


def test_it_trains_alike_with_and_without_shortcuts(base, recipe):
    plain, fast = (trained_a_little(base, recipe, shortcuts=on)[0] for on in (False, True))
    for (name, one), other in zip(plain.named_parameters(), fast.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-8), name


def test_what_is_saved_gives_the_same_logits_in_transformers_and_in_prediction(
    base, recipe, tmp_path
):
    classifier, _ = trained_a_little(base, recipe, shortcuts=True)
    classifier.float().save_pretrained(tmp_path / "trained")
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "trained").eval()
    network = Network.load(tmp_path / "trained", "fp32", torch.device("cpu"))
    inputs = batch(33)
    with torch.no_grad():
        logits = classifier(**inputs).logits
        assert logits.std() > 0.1
        assert torch.allclose(plain(**inputs).logits, logits, atol=1e-4)
        assert torch.allclose(network(**inputs), logits, atol=1e-4)


def test_the_first_token_divides_the_gradient_among_equal_scores():
    """Of 2^60, as MPNet's, at which the backward pass of fused attention gives each all of it."""
    hidden = torch.randn(2, 19, 16, requires_grad=True)
    projections = (lambda x: 2.0**32 + 0 * x, lambda x: 2.0**28 + 0 * x, lambda x: x)
    context = short_text._first_token(hidden, projections, 1, None, torch.nn.Dropout(0.1).eval())
    context.sum().backward()
    assert torch.allclose(hidden.grad, torch.full_like(hidden, 1 / 19))
