"""The statistics against arithmetic, scipy and simulated experiments whose truth is known."""

import resource
import time

import numpy as np
import pytest
from scipy import stats

from goemotions.comparison import statistics
from goemotions.comparison.statistics import Runs
from goemotions.metrics.bootstrap import resampled_f1
from goemotions.metrics.f1 import macro_f1

ROWS, LABELS = 800, 8


def experiment(rng, *, seeds=3, advantage=0.0, own=0.0):
    """A split and two losses' decisions on it, [loss][seed]; `advantage` is the first loss's.

    Every run's score of a row is its truth, a difficulty that all runs share, one that a loss's
    runs share (`own`), its own noise, and a shift a label that a seed has on all rows.
    """
    targets = rng.random((ROWS, LABELS)) < np.geomspace(0.01, 0.3, LABELS)
    targets[0] = True
    difficulty = 0.8 * rng.normal(size=(ROWS, LABELS))
    losses = []
    for better in (advantage, 0.0):
        shared = difficulty + own * rng.normal(size=(ROWS, LABELS))
        losses.append(
            [
                2.4 * targets - 1.6 + better * targets + shared
                + 0.6 * rng.normal(size=(ROWS, LABELS)) + 0.15 * rng.normal(size=LABELS) > 0
                for _ in range(seeds)
            ]
        )  # fmt: skip
    return targets, losses


def compared(targets, losses, draws=600, seed=0):
    n = len(losses[0])
    points = [macro_f1(run, targets) for run in losses[0] + losses[1]]
    drawn = resampled_f1(losses[0] + losses[1], targets, resamples=draws, seed=seed).mean(2)
    sides = Runs(points[:n], drawn[:n]), Runs(points[n:], drawn[n:])
    return statistics.difference(*sides, seed=seed)


def simulated(count, **world):
    rng = np.random.default_rng(7)
    return [compared(*experiment(rng, **world), seed=index) for index in range(count)]


def test_a_draw_is_macro_f1_on_the_rows_drawn_the_same_for_every_run():
    rng = np.random.default_rng(0)
    targets, ((a, b), _) = experiment(rng, seeds=2)
    found = resampled_f1([a, b], targets, resamples=5, seed=3).mean(2)
    drawn = np.random.default_rng(3).integers(ROWS, size=(5, ROWS))
    for draw, rows in enumerate(drawn):
        for run, decisions in enumerate((a, b)):
            expected = macro_f1(decisions[rows], targets[rows])
            assert found[run, draw] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("world", [{}, {"own": 0.6}, {"seeds": 5}], ids=["shared", "own", "five"])
def test_equal_losses_are_told_apart_in_no_more_than_five_percent(world):
    """At most the 99.9% point of the binomial; and not so rarely that the test were useless."""
    count = 500
    found = simulated(count, **world)
    wrong = sum(estimate.p < 0.05 for estimate in found)
    assert stats.binom.ppf(0.001, count, 0.01) <= wrong <= stats.binom.ppf(0.999, count, 0.05)
    covered = sum(estimate.low <= 0 <= estimate.high for estimate in found)
    assert covered >= stats.binom.ppf(0.001, count, 0.95)


def test_what_seeds_already_show_is_taken_out_of_the_noise_of_rows():
    """Losses whose runs part on rows by chance alone leave little of it; others keep theirs."""

    def left(**world):
        rng, shares = np.random.default_rng(3), []
        for index in range(20):
            targets, losses = experiment(rng, seeds=5, **world)
            drawn = resampled_f1(losses[0] + losses[1], targets, resamples=600, seed=index).mean(2)
            naive = (drawn[:5].mean(0) - drawn[5:].mean(0)).std()
            shares.append(compared(targets, losses, seed=index).from_rows / naive)
        return np.mean(shares)

    assert left() < 0.5
    assert left(own=0.6) > 0.8


def test_a_difference_is_found_as_often_as_power_predicts():
    count, advantage = 300, 0.4
    found = simulated(count, advantage=advantage)
    truth = np.mean([estimate.value for estimate in found])
    rows = np.sqrt(np.mean([estimate.from_rows**2 for estimate in found]))
    seeds = np.sqrt(np.mean([estimate.from_seeds**2 for estimate in found]) * 3 / 2)
    predicted = statistics.power(truth, 3, from_rows=rows, seed_deviation=seeds)
    assert 0.3 < predicted < 0.95
    seen = sum(estimate.p < 0.05 for estimate in found) / count
    # Both are estimates: twice the binomial's standard error, and as much for the prediction.
    assert seen == pytest.approx(predicted, abs=4 * np.sqrt(predicted * (1 - predicted) / count))


def test_more_seeds_leave_the_noise_of_rows():
    assert statistics.seeds_needed(0.02, from_rows=0.001, seed_deviation=0.005) <= 4
    many = statistics.seeds_needed(0.01, from_rows=0.002, seed_deviation=0.008)
    assert many is not None
    chance = [
        statistics.power(0.01, n, from_rows=0.002, seed_deviation=0.008) for n in (many - 1, many)
    ]
    assert chance[0] < 0.8 <= chance[1]
    assert statistics.seeds_needed(0.01, from_rows=0.006, seed_deviation=0.001) is None
    visible = statistics.smallest_visible(from_rows=0.006)
    assert visible == pytest.approx(2.8016 * 0.006, rel=1e-4)


def test_one_seed_a_side_has_no_noise_of_seeds():
    estimate = compared(*experiment(np.random.default_rng(1), seeds=1))
    assert estimate.from_seeds is None
    assert estimate.low < estimate.value < estimate.high
    assert estimate.from_rows > 0


def test_a_run_compared_with_itself_differs_by_nothing():
    targets, (runs, _) = experiment(np.random.default_rng(1))
    estimate = compared(targets, [runs[:1], runs[:1]])
    assert (estimate.value, estimate.low, estimate.high, estimate.p) == (0, 0, 0, 1)


def test_seeds_that_all_score_the_same_leave_the_noise_of_rows():
    targets, ((one, other, _), (third, _, _)) = experiment(np.random.default_rng(1))
    apart = compared(targets, [[one, one], [third, third]])
    alone = compared(targets, [[one], [third]])
    assert (apart.low, apart.high, apart.p) == (alone.low, alone.high, alone.p)
    assert apart.from_seeds == 0
    none = compared(targets, [[other, other], [other, other]])
    assert (none.value, none.low, none.high, none.p) == (0, 0, 0, 1)


@pytest.mark.parametrize("true", [0.004, 0.02])
def test_power_without_noise_of_seeds_is_the_z_tests(true):
    found = statistics.power(true, 3, from_rows=0.005, seed_deviation=0, level=0.01)
    shift, needed = true / 0.005, stats.norm.ppf(0.995)
    expected = stats.norm.cdf(shift - needed) + stats.norm.cdf(-shift - needed)
    assert found == pytest.approx(expected, abs=0.04)


def test_an_interval_of_f1_stays_within_its_bounds():
    draws = np.random.default_rng(0).random((2, 500))
    one, other = Runs([0.99, 0.9], draws), Runs([0.1, 0.0], draws)
    assert statistics.estimate(one).high == 1
    assert statistics.estimate(other).low == 0
    assert statistics.difference(one, other).high == 1


def test_the_p_of_a_single_label_says_what_its_interval_says():
    rng = np.random.default_rng(5)
    targets, losses = experiment(rng, seeds=1, advantage=0.3)
    drawn = resampled_f1([losses[0][0], losses[1][0]], targets, resamples=999, seed=0)
    outside = 0
    for label in range(LABELS):
        points = [macro_f1(run[0][:, [label]], targets[:, [label]]) for run in losses]
        sides = (Runs([x], drawn[[i], :, label]) for i, x in enumerate(points))
        found = statistics.difference(*sides, skewed=True)
        assert (found.p < 0.05) is (found.low > 0 or found.high < 0)
        outside += found.p < 0.05
    assert 0 < outside < LABELS


@pytest.mark.parametrize(("seeds", "least", "most"), [(1, 0.1, 0.2), (3, 0.01, 0.07)])
def test_single_labels_of_equal_losses_leave_out_zero_as_often_as_is_said(seeds, least, most):
    """docs/statistics.md: of 28 one or two, and with one seed four or five."""
    rng, outside = np.random.default_rng(11), []
    for index in range(100):
        targets, (one, other) = experiment(rng, seeds=seeds)
        drawn = resampled_f1(one + other, targets, resamples=400, seed=index)
        for label in range(LABELS):
            points = [macro_f1(run[:, [label]], targets[:, [label]]) for run in one + other]
            sides = (
                Runs(points[:seeds], drawn[:seeds, :, label]),
                Runs(points[seeds:], drawn[seeds:, :, label]),
            )
            found = statistics.difference(*sides, skewed=True, seed=index)
            outside.append(found.low > 0 or found.high < 0)
    assert least < np.mean(outside) < most


def test_the_estimate_of_one_loss_covers_its_own_mean():
    targets, (runs, _) = experiment(np.random.default_rng(1))
    points = [macro_f1(run, targets) for run in runs]
    drawn = resampled_f1(runs, targets, resamples=600, seed=0).mean(2)
    estimate = statistics.estimate(Runs(points, drawn))
    assert estimate.value == pytest.approx(np.mean(points))
    assert estimate.low < min(points) < max(points) < estimate.high
    assert estimate.from_seeds == pytest.approx(np.std(points, ddof=1) / np.sqrt(3))


def test_welch_is_scipys_and_needs_three_seeds_a_side():
    a, b = [0.52, 0.53, 0.51], [0.50, 0.49, 0.505]
    assert statistics.welch(a, b) == stats.ttest_ind(a, b, equal_var=False).pvalue
    assert statistics.welch(a, b[:2]) is None


def test_cohens_d_by_hand():
    # Means 2 and 5, variances 1 and 4 with 2 and 2 degrees of freedom: pooled 2.5.
    assert statistics.cohen_d([1, 2, 3], [3, 5, 7]) == pytest.approx(-3 / 2.5**0.5)
    assert statistics.cohen_d([1], [3, 5]) is None
    assert statistics.cohen_d([1, 1], [1, 1]) is None


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([0.2]) == [0.2]


def test_ten_thousand_draws_over_25_runs_of_the_real_size_are_fast_and_small():
    rng = np.random.default_rng(0)
    targets = rng.random((5427, 28)) < 0.04
    runs = [targets ^ (rng.random((5427, 28)) < 0.02) for _ in range(25)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    found = resampled_f1(runs, targets, resamples=10_000, seed=0)
    seconds = time.perf_counter() - start
    assert found.shape == (25, 10_000, 28)
    assert found.mean(2).std(1).min() > 0
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6 < 1
    assert seconds < 60  # 10 on two idle cores; tests share theirs
