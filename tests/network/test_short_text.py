"""The short-text path against transformers' own code, in double precision."""

import copy

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from goemotions.network import short_text
from tests.network.models import HEADS, LAYERS, SIZES, batch, classifier


def pair(kind, dropout=0.0):
    """The same model twice: transformers' own, and with the short-text path."""
    theirs = classifier(kind, dropout)
    ours = copy.deepcopy(theirs)
    short_text.enable(ours)
    return theirs, ours


def logits_and_gradients(model, inputs):
    logits = model(**inputs).logits
    (logits * torch.linspace(-1, 1, logits.numel()).double().view_as(logits)).sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters()}


def assert_equal(theirs, ours):
    logits, gradients = theirs
    assert (ours[0] - logits).abs().max() < 1e-10
    assert set(ours[1]) == set(gradients)
    for name, gradient in gradients.items():
        assert (ours[1][name] - gradient).abs().max() < 1e-10, name
    assert logits.std() > 0.1
    assert max(gradient.abs().max() for gradient in gradients.values()) > 0.1


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("length", [1, 2, 3, 17, 64, 128, 129, 130, 131, 257, 300, 512])
@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
def test_logits_and_all_gradients_are_those_of_transformers(kind, length, padded):
    theirs, ours = pair(kind)
    inputs = batch(length, padded=padded)
    assert_equal(logits_and_gradients(theirs, inputs), logits_and_gradients(ours, inputs))


def test_lengths_one_by_one_up_to_the_buckets_that_widen_and_then_some():
    theirs, ours = pair("deberta")
    with torch.inference_mode():
        for length in [*range(1, 140), *range(140, 512, 31)]:
            inputs = {name: value[:2] for name, value in batch(length).items()}
            assert (ours(**inputs).logits - theirs(**inputs).logits).abs().max() < 1e-10


@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
def test_a_length_that_validation_met_first_can_be_trained(kind):
    theirs, ours = pair(kind)
    inputs = batch(200)
    with torch.inference_mode():
        ours(**inputs)
    assert_equal(logits_and_gradients(theirs, inputs), logits_and_gradients(ours, inputs))


@pytest.mark.parametrize("length", [300, 512])
@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
def test_long_texts_differ_by_no_more_than_the_rounding_of_float32(kind, length):
    theirs, ours = pair(kind)
    inputs = batch(length)
    exact = theirs(**inputs).logits
    theirs, ours = theirs.float(), ours.float()
    for model in (theirs, ours):
        for training in (True, False):
            found = model.train(training)(**inputs).logits
            assert (found - exact).abs().max() < 1e-5 * exact.abs().max()


class Masks:
    """In the place of nn.Dropout: masks drawn for transformers' shapes, cut to ours.

    Both sides ask in the same order. Ours asks for the rows of the position table that it reads,
    for attention as [heads, batch, query, key], and in the last layer for the first token only.
    """

    def __init__(self, length, *, ours):
        self.length, self.ours, self.asked = length, ours, 0

    def __call__(self, x):
        generator = torch.Generator().manual_seed(self.asked)
        self.asked += 1

        def draw(*shape):
            return (torch.rand(shape, generator=generator) > 0.3).double() / 0.7

        hidden = SIZES["hidden_size"]
        if x.dim() == 2 and x.shape[-1] == hidden and x.shape[0] != 4:  # the position table
            mask = draw(512, hidden)
            mask = mask[256 - (self.length - 1) :][: len(x)] if self.ours else mask
        elif x.shape[-1] == self.length and (x.dim() == 4 or self.ours):  # attention
            mask = draw(4, HEADS, self.length, self.length)
            if self.ours:
                mask = mask.transpose(0, 1)
                mask = mask[:, :, 0] if x.dim() == 3 else mask
        elif x.dim() == 3:
            mask = draw(4, self.length, hidden)[:, : x.shape[1]]
        else:
            mask = draw(4, hidden)
        return x * mask


def test_with_the_same_dropout_masks_logits_and_gradients_are_equal(monkeypatch):
    length = 9
    theirs, ours = pair("deberta", dropout=0.3)
    inputs = batch(length)
    found, asked = [], []
    for model in (theirs, ours):
        masks = Masks(length, ours=model is ours)
        monkeypatch.setattr(torch.nn.Dropout, "forward", lambda _, x, masks=masks: masks(x))
        found.append(logits_and_gradients(model, inputs))
        asked.append(masks.asked)
    assert_equal(*found)
    assert asked == [1 + 4 * LAYERS + 2] * 2  # embeddings, each layer, the pooler and the head
    monkeypatch.undo()
    without = theirs.eval()(**inputs).logits
    assert (found[0][0] - without).abs().max() > 0.1


@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
def test_a_large_batch_is_computed_twice_with_the_same_result(kind, monkeypatch):
    _, ours = pair(kind, dropout=0.3)
    inputs, found, saved = batch(9), [], []
    for most in (short_text.RECOMPUTED, 1):
        monkeypatch.setattr(short_text, "RECOMPUTED", most)
        torch.manual_seed(1)
        ours.zero_grad()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, kept=kept: kept.append(x.numel()) or x, lambda x: x
        ):
            found.append(logits_and_gradients(ours, inputs))
        saved.append(sum(kept))
    (logits, gradients), (again, their_gradients) = found
    assert torch.equal(logits, again)
    for name, gradient in gradients.items():
        assert torch.equal(gradient, their_gradients[name]), name
    assert saved[1] < 0.7 * saved[0]


def test_dropout_is_drawn_in_training_only():
    _, ours = pair("bert", dropout=0.3)
    inputs = batch(9)
    assert not torch.equal(ours.train()(**inputs).logits, ours(**inputs).logits)
    assert torch.equal(ours.eval()(**inputs).logits, ours(**inputs).logits)


@pytest.mark.parametrize("kind", ["deberta", "bert", "mpnet"])
def test_what_it_saves_loads_in_plain_transformers(kind, tmp_path):
    theirs, ours = pair(kind)
    ours.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float64)
    assert type(loaded) is type(theirs)
    inputs = batch(12)
    expected = theirs.eval()(**inputs).logits
    assert (loaded.eval()(**inputs).logits - expected).abs().max() < 1e-10


def test_a_model_without_both_relative_terms_stays_transformers_own():
    model = classifier("deberta", pos_att_type=["c2p"])
    before = type(model.deberta.encoder)
    short_text.enable(model)
    assert type(model.deberta.encoder) is before
