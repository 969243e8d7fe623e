from typing import get_args

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from goemotions import config
from goemotions.metrics import thresholds
from goemotions.metrics.f1 import decide, f1_of_counts, macro_f1, probabilities, sigmoid
from goemotions.metrics.thresholds import (
    Fit,
    calibration,
    fit,
    preferred,
    validation_macro_f1,
)


def f1(decided, actual):
    """F1 of one label from its definition."""
    true_positives = sum(d and a for d, a in zip(decided, actual, strict=True))
    return 2 * true_positives / (sum(decided) + sum(actual)) if true_positives else 0.0


def noisy(rows, labels, seed):
    """Logits that say something about the targets, with ties; every label has a positive."""
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, labels)) < 0.2
    targets[0] = True
    return (rng.normal(size=(rows, labels)) + 2 * targets - 1).round(1), targets


def test_sigmoid_has_no_overflow_at_any_logit():
    assert sigmoid(np.array([-1000.0, 0.0, 1000.0])).tolist() == [0.0, 0.5, 1.0]
    assert sigmoid(np.array([np.log(3)]))[0] == pytest.approx(0.75)


def test_sigmoid_of_float32_is_computed_in_float64():
    assert sigmoid(np.array([-30.0], dtype=np.float32))[0] == pytest.approx(9.357622968839e-14)


def test_a_higher_logit_never_has_a_lower_probability():
    """So whoever compares probabilities with a threshold's decides as its logit does."""
    logits = np.random.default_rng(0).normal(scale=5, size=100_000).astype(np.float32)
    above = np.nextafter(logits.astype(np.float64), np.inf)
    assert (sigmoid(above) >= sigmoid(logits)).all()
    one_by_one = np.array([sigmoid(logits[[row]])[0] for row in range(1000)])
    assert (sigmoid(logits)[:1000] == one_by_one).all()


def test_f1_comes_from_counts_and_is_0_where_there_is_nothing():
    assert f1_of_counts(2, 3, 4) == pytest.approx(4 / 7)
    assert f1_of_counts(np.array([0, 1]), np.array([0, 1]), np.array([0, 1])).tolist() == [0, 1]


def test_macro_f1_is_the_mean_over_the_labels_that_have_rows():
    decisions = np.array([[1, 0, 0, 0], [1, 1, 1, 0]], dtype=bool)
    targets = np.array([[1, 0, 0, 1], [0, 1, 0, 0]], dtype=bool)
    assert macro_f1(decisions, targets) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert macro_f1(decisions, np.zeros_like(targets)) == 0


def test_the_most_probable_label_decides_where_there_are_no_thresholds():
    logits = np.array([[1.0, 3.0, 2.0], [2.0, 2.0, -1.0]])
    shares = probabilities(logits, single=True)
    assert shares.sum(1) == pytest.approx([1, 1])
    assert shares[0] == pytest.approx(np.exp([1, 3, 2]) / np.exp([1, 3, 2]).sum())
    assert decide(logits, None).astype(int).tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("single", [True, False])
def test_probabilities_of_float32_logits_are_torchs_in_float64(single):
    logits = np.random.default_rng(0).normal(scale=9, size=(50, 7)).astype(np.float32)
    wide = torch.from_numpy(logits).double()
    expected = torch.softmax(wide, 1) if single else torch.sigmoid(wide)
    assert probabilities(logits, single=single) == pytest.approx(expected.numpy(), rel=1e-12)


def test_validation_is_scored_by_the_highest_logit_in_single_label_data():
    rng = np.random.default_rng(0)
    actual = rng.integers(4, size=90)
    logits = rng.normal(size=(90, 4)) + np.eye(4)[actual]
    found = validation_macro_f1(logits, np.eye(4, dtype=bool)[actual], single=True)
    assert found == pytest.approx(f1_score(actual, logits.argmax(1), average="macro"))


def test_validation_is_scored_by_cross_validated_thresholds_in_multi_label_data():
    rng = np.random.default_rng(0)
    targets = rng.random((90, 4)) < [0.5, 0.2, 0.1, 0]  # the last label has no row
    logits = rng.normal(size=(90, 4)) + 2 * targets
    fits = fit(logits, targets)
    assert validation_macro_f1(logits, targets, single=False) == fits[preferred(fits)].macro_f1
    without = fit(logits[:, :3], targets[:, :3])
    assert fits["per_label"].macro_f1 == without["per_label"].macro_f1


def test_a_separable_label_is_cut_midway_between_its_two_sides():
    logits = np.array([[3.0], [2.0], [-1.0], [-4.0]])
    targets = np.array([[True], [True], [False], [False]])
    assert fit(logits, targets)["per_label"].logits == pytest.approx([0.5])


def test_each_label_gets_its_own_cut():
    logits = np.array([[3.0, -3.0], [1.0, -4.0], [0.0, -5.0], [-2.0, -9.0]])
    targets = np.array([[1, 1], [1, 0], [0, 0], [0, 0]], dtype=bool)
    separate = fit(logits, targets)["per_label"].logits
    assert separate == pytest.approx([0.5, -3.5])


def test_rows_with_equal_scores_are_never_separated():
    logits = np.array([[2.0], [2.0], [1.0], [1.0]])
    targets = np.array([[True], [False], [False], [False]])
    assert fit(logits, targets)["per_label"].logits == pytest.approx([1.5])


def test_all_rows_are_taken_where_that_is_best():
    logits = np.array([[1.0], [0.0]])
    targets = np.array([[False], [True]])
    assert (logits >= fit(logits, targets)["per_label"].logits[0]).all()


@pytest.mark.parametrize("seed", range(20))
def test_no_cut_of_a_label_is_better_than_its_own_threshold(seed):
    logits, targets = noisy(rows=12, labels=3, seed=seed)
    separate = fit(logits, targets)["per_label"].logits
    for scores, actual, threshold in zip(logits.T, targets.T, separate, strict=True):
        best = max(f1(scores >= cut, actual) for cut in scores)
        assert f1(scores >= threshold, actual) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("scale", "shift"), [(1, 0), (1, -9), (1, 5), (0.01, 0), (30, 100)])
def test_no_cut_is_better_than_the_global_threshold(seed, scale, shift):
    logits, targets = noisy(rows=30, labels=4, seed=seed)
    logits = logits * scale + shift
    shared = fit(logits, targets)["global"].logits
    assert len(set(shared)) == 1
    best = max(macro_f1(logits >= cut, targets) for cut in logits.ravel())
    assert macro_f1(logits >= shared[0], targets) == pytest.approx(best)
    assert shared[0] not in logits


def test_labels_without_positives_do_not_move_the_global_threshold():
    logits, targets = noisy(rows=30, labels=3, seed=0)
    expected = fit(logits, targets)["global"].logits[0]
    wider = np.hstack([logits, 100 + logits[:, :1]])
    targets = np.hstack([targets, np.zeros((30, 1), dtype=bool)])
    assert fit(wider, targets)["global"].logits[0] == expected


def test_logits_whose_probabilities_are_all_1_are_told_apart():
    targets = np.array([[True], [True], [False], [False]])
    logits = np.array([[53.0], [52.0], [51.0], [50.0]])
    assert (sigmoid(logits) == 1).all()
    fits = fit(logits, targets)
    assert fits["per_label"].logits == fits["global"].logits == [51.5]
    assert (decide(logits, np.array([51.5])) == targets).all()


def test_a_label_without_positives_takes_the_threshold_for_all():
    logits, targets = noisy(rows=20, labels=3, seed=1)
    targets[:, 1] = False
    fits = fit(logits, targets)
    shared = fits["global"].logits[0]
    assert fits["per_label"].logits[1] == shared
    assert fits["calibrated"].logits[1] == shared
    assert fits["per_label"].logits[0] != pytest.approx(shared)


@pytest.mark.parametrize("positives", [1, 2, 40, 199])
def test_the_calibration_is_that_of_a_logistic_regression_on_platts_targets(positives):
    rng = np.random.default_rng(positives)
    targets = (np.arange(200) < positives)[:, None]
    scores = 3 * rng.normal(size=(200, 1)) + 4 * targets - 9
    (slope,), (intercept,) = calibration(scores, targets)
    wanted = np.where(targets, (positives + 1) / (positives + 2), 1 / (202 - positives))[:, 0]
    expected = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(
        np.vstack([scores, scores]),
        np.repeat([1, 0], 200),
        sample_weight=np.concatenate([wanted, 1 - wanted]),
    )
    assert slope == pytest.approx(expected.coef_[0, 0], rel=1e-3)
    assert intercept == pytest.approx(expected.intercept_[0], rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_no_cut_has_a_higher_expected_f1_than_the_calibrated_threshold(seed):
    logits, targets = noisy(rows=40, labels=5, seed=seed)
    slope, intercept = calibration(logits, targets)
    chances = sigmoid(slope * logits + intercept)
    found = fit(logits, targets)["calibrated"].logits
    for scores, chance, threshold in zip(logits.T, chances.T, found, strict=True):

        def expected_f1(chosen, chance=chance):
            return 2 * chance[chosen].sum() / (chosen.sum() + chance.sum())

        best = max(expected_f1(scores >= cut) for cut in scores)
        assert expected_f1(scores >= threshold) == pytest.approx(best)


def test_a_rare_label_is_found_better_by_the_calibrated_threshold():
    """On rows that were not seen, on average over 40 labels alike, each with about 10 positives."""
    rng = np.random.default_rng(0)

    def draw(rows):
        targets = rng.random((rows, 40)) < 0.01
        return rng.normal(size=targets.shape) + 3 * targets - 6, targets

    fits, (logits, targets) = fit(*draw(1000)), draw(20_000)
    scored = {method: macro_f1(logits >= found.logits, targets) for method, found in fits.items()}
    assert scored["calibrated"] > scored["per_label"] + 0.01
    assert fits["calibrated"].macro_f1 > fits["per_label"].macro_f1


def test_labels_of_very_different_spread_are_calibrated_alike():
    logits, targets = noisy(rows=60, labels=1, seed=3)
    units, shifts = np.array([1e-4, 1.0, 1e3]), np.array([0.0, 5.0, -7.0])
    slope, intercept = calibration(logits * units + shifts, np.repeat(targets, 3, axis=1))
    assert slope * units == pytest.approx(np.full(3, slope[1]), rel=1e-3)
    alike = intercept + slope * shifts
    assert alike == pytest.approx(np.full(3, alike[1]), rel=1e-3)


def test_the_same_rows_give_the_same_thresholds():
    logits, targets = noisy(rows=50, labels=4, seed=0)
    assert fit(logits, targets) == fit(logits.copy(), targets.copy())


def test_fitting_leaves_its_inputs_unchanged():
    logits, targets = noisy(rows=10, labels=2, seed=0)
    before = logits.copy(), targets.copy()
    fit(logits, targets)
    assert (logits == before[0]).all()
    assert (targets == before[1]).all()


def test_labels_that_are_far_apart_score_1_on_held_out_rows():
    targets = np.tile(np.array([[1, 0], [0, 1]], dtype=bool), (20, 1))
    logits = np.where(targets, 2.5, -5.0)
    assert [f.macro_f1 for f in fit(logits, targets).values()] == pytest.approx([1, 1, 1])


def test_the_score_of_a_method_comes_from_held_out_rows():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(40, 3)), rng.random((40, 3)) < 0.1
    per_label = fit(logits, targets)["per_label"]
    fitted = macro_f1(logits >= per_label.logits, targets)
    assert per_label.macro_f1 < 0.7 * fitted


def test_one_row_is_fitted_and_scores_0_because_nothing_can_be_held_out():
    fits = fit(np.array([[1.0, -1.0]]), np.array([[True, False]]))
    assert {method: f.macro_f1 for method, f in fits.items()} == {
        "per_label": 0.0,
        "calibrated": 0.0,
        "global": 0.0,
    }
    assert fits["per_label"].logits == [0.5, fits["global"].logits[1]]


def test_two_rows_are_enough_to_hold_one_out():
    fits = fit(np.array([[2.0], [2.0]]), np.array([[True], [True]]))
    assert fits["global"].macro_f1 == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("per_label", "calibrated", "shared", "method"),
    [
        (0.5, 0.4, 0.3, "per_label"),
        (0.3, 0.5, 0.4, "calibrated"),
        (0.3, 0.4, 0.5, "global"),
        (0.5, 0.5, 0.5, "global"),
        (0.5, 0.5, 0.3, "calibrated"),
    ],
)
def test_the_highest_score_is_preferred_and_the_simpler_method_on_a_tie(
    per_label, calibrated, shared, method
):
    scores = {"per_label": per_label, "calibrated": calibrated, "global": shared}
    fits = {name: Fit([0.0], score) for name, score in scores.items()}
    assert thresholds.preferred(fits) == method


def test_the_setting_may_be_any_method():
    allowed = get_args(config.Evaluate.model_fields["thresholds"].annotation)
    assert allowed == ("cross_validated", *thresholds.METHODS)
