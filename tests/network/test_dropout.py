"""Dropout with masks of sixteen bits: what nn.Dropout promises, and its reproducibility."""

import pytest
import torch
from scipy.stats import binomtest
from torch import nn

from goemotions.network import dropout


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def layer(p):
    made = nn.Sequential(nn.Dropout(p))
    dropout.enable(made)
    return made


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_entries_are_zero_with_probability_p_and_the_others_scaled_up(p):
    out = layer(p)(torch.ones(400, 1001))
    zeros = int((out == 0).sum())
    assert binomtest(zeros, out.numel(), p).pvalue > 1e-4
    (scale,) = out[out != 0].unique().tolist()
    assert scale == pytest.approx(1 / (1 - p), rel=1e-3)
    assert scale * round((1 - p) * 65536) / 65536 == pytest.approx(1, rel=1e-6)  # unbiased


def test_entries_are_independent_of_their_neighbours_and_of_the_next_draw():
    module = layer(0.5)
    first, second = (module(torch.ones(100_003)) != 0 for _ in range(2))
    for a, b in ((first[1:], first[:-1]), (first[4:], first[:-4]), (first, second)):
        assert binomtest(int((a == b).sum()), len(a), 0.5).pvalue > 1e-4


def test_the_gradient_has_the_same_mask():
    x = torch.ones(7, 11, dtype=torch.float64, requires_grad=True)
    out = layer(0.3)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out)
    assert 0 < int((out == 0).sum()) < out.numel()


def test_the_same_seed_gives_the_same_mask():
    module, drawn = layer(0.1), []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(module(torch.ones(1000)))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1e-9, 1.0), (1.0, 0.0)])
def test_what_sixteen_bits_cannot_say_is_left_to_torch(p, expected):
    assert torch.equal(layer(p)(torch.ones(1000)), torch.full((1000,), expected))


def test_nothing_is_dropped_in_evaluation():
    x = torch.randn(5, 6).T  # not contiguous
    module = layer(0.5)
    assert torch.equal(module.eval()(x), x)
    assert module.train()(x).shape == x.shape


def test_the_type_of_half_precision_stays():
    assert layer(0.1)(torch.ones(8, dtype=torch.bfloat16)).dtype is torch.bfloat16
