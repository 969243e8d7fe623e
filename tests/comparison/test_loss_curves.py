"""Each loss's value and gradient by logit, where they are known in closed form."""

import numpy as np
import pytest

from goemotions.comparison.loss_curves import GRID, curve
from goemotions.config.loss_settings import Bce, CrossEntropy, WeightedBce

BCE = Bce(function="bce", smoothing=0.0)
COUNTS = [400, 100, 10, 1000]


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("label", [0, 2])
def test_bces_gradient_is_p_minus_y_and_its_value_a_softplus(label, present):
    values, gradients = curve(BCE, COUNTS, label, present=present)
    p = 1 / (1 + np.exp(-GRID))
    assert gradients == pytest.approx(p - present, abs=1e-12)
    softplus = np.logaddexp(0, -GRID if present else GRID)
    assert values == pytest.approx(softplus - softplus.min(), abs=1e-9)


def test_a_weight_scales_the_rare_label_only_where_it_is_present():
    settings = WeightedBce(function="weighted_bce", power=1.0)
    p = 1 / (1 + np.exp(-GRID))
    for label, weight in ((0, 1.5), (2, 99.0)):
        _, gradients = curve(settings, COUNTS, label, present=True)
        assert gradients == pytest.approx(weight * (p - 1), abs=1e-9)
        _, gradients = curve(settings, COUNTS, label, present=False)
        assert gradients == pytest.approx(p, abs=1e-9)


def test_every_loss_of_the_catalogue_has_finite_curves_whose_gradient_is_the_slope(settings):
    for name, chosen in settings.losses.items():
        for present in (True, False):
            values, gradients = curve(chosen, COUNTS, 1, present=present)
            assert np.isfinite(values).all(), name
            slope = np.gradient(values, GRID)[2:-2]
            scale = np.abs(gradients).max()
            assert slope == pytest.approx(gradients[2:-2], abs=0.05 * scale), name
            assert min(values) == 0


@pytest.mark.parametrize("present", [True, False])
def test_cross_entropys_gradient_is_the_share_of_the_label_minus_y(present):
    settings = CrossEntropy(function="cross_entropy", smoothing=0.0)
    values, gradients = curve(settings, [500, 400, 100, 1000], 1, present=present)
    share = np.exp(GRID) / (np.exp(GRID) + 0.5 + 0.1)
    assert gradients == pytest.approx(share - present, abs=1e-12)
    rising = -np.log(share) if present else np.log(np.exp(GRID) + 0.6)
    assert values == pytest.approx(rising - rising.min(), abs=1e-9)
