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


def experiment(rng, *, seeds=3, advantage=0.0, loss_noise=0.0):
    """A split and two losses' decisions on it, [loss][seed]; `advantage` is the first loss's.

    Every run's score of a row is its truth, a difficulty that all runs share, one that a loss's
    runs share (`loss_noise`), noise of that run alone, and a shift per label that all rows of a
    run share.
    """
    targets = rng.random((ROWS, LABELS)) < np.geomspace(0.01, 0.3, LABELS)
    targets[0] = True
    difficulty = 0.8 * rng.normal(size=(ROWS, LABELS))
    losses = []
    for better in (advantage, 0.0):
        shared = difficulty + loss_noise * rng.normal(size=(ROWS, LABELS))
        losses.append(
            [
                2.4 * targets - 1.6 + better * targets + shared
                + 0.6 * rng.normal(size=(ROWS, LABELS)) + 0.15 * rng.normal(size=LABELS) > 0
                for _ in range(seeds)
            ]
        )  # fmt: skip
    return targets, losses


def compared(targets, losses, resamples=600, seed=0):
    n = len(losses[0])
    scores = [macro_f1(run, targets) for run in losses[0] + losses[1]]
    resampled = resampled_f1(losses[0] + losses[1], targets, resamples=resamples, seed=seed).mean(2)
    sides = Runs(scores[:n], resampled[:n]), Runs(scores[n:], resampled[n:])
    return statistics.difference(*sides, seed=seed)


def simulated(count, **world):
    rng = np.random.default_rng(7)
    return [compared(*experiment(rng, **world), seed=index) for index in range(count)]


def test_a_resample_is_macro_f1_on_resampled_rows_the_same_for_every_run():
    rng = np.random.default_rng(0)
    targets, ((a, b), _) = experiment(rng, seeds=2)
    resampled = resampled_f1([a, b], targets, resamples=5, seed=3).mean(2)
    row_numbers = np.random.default_rng(3).integers(ROWS, size=(5, ROWS))
    for index, rows in enumerate(row_numbers):
        for run, decisions in enumerate((a, b)):
            expected = macro_f1(decisions[rows], targets[rows])
            assert resampled[run, index] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "world", [{}, {"loss_noise": 0.6}, {"seeds": 5}], ids=["shared", "loss_noise", "five"]
)
def test_equal_losses_differ_significantly_in_no_more_than_five_percent(world):
    """At most the 99.9% point of the binomial; and not so rarely that the test would be useless."""
    count = 500
    estimates = simulated(count, **world)
    false_positives = sum(estimate.p < 0.05 for estimate in estimates)
    assert (
        stats.binom.ppf(0.001, count, 0.01)
        <= false_positives
        <= stats.binom.ppf(0.999, count, 0.05)
    )
    covered = sum(estimate.low <= 0 <= estimate.high for estimate in estimates)
    assert covered >= stats.binom.ppf(0.001, count, 0.95)


def test_what_the_spread_over_seeds_includes_is_removed_from_the_noise_of_rows():
    """Little remains where a loss's runs differ on rows only by chance; most does otherwise."""

    def remaining(**world):
        rng, shares = np.random.default_rng(3), []
        for index in range(20):
            targets, losses = experiment(rng, seeds=5, **world)
            resampled = resampled_f1(
                losses[0] + losses[1], targets, resamples=600, seed=index
            ).mean(2)
            naive = (resampled[:5].mean(0) - resampled[5:].mean(0)).std()
            shares.append(compared(targets, losses, seed=index).from_rows / naive)
        return np.mean(shares)

    assert remaining() < 0.5
    assert remaining(loss_noise=0.6) > 0.8


def test_a_difference_is_detected_as_often_as_power_predicts():
    count, advantage = 300, 0.4
    estimates = simulated(count, advantage=advantage)
    truth = np.mean([estimate.value for estimate in estimates])
    rows = np.sqrt(np.mean([estimate.from_rows**2 for estimate in estimates]))
    seeds = np.sqrt(np.mean([estimate.from_seeds**2 for estimate in estimates]) * 3 / 2)
    predicted = statistics.power(truth, 3, from_rows=rows, seed_deviation=seeds)
    assert 0.3 < predicted < 0.95
    detected = sum(estimate.p < 0.05 for estimate in estimates) / count
    # Both are estimates: twice the binomial's standard error, and as much for the prediction.
    assert detected == pytest.approx(
        predicted, abs=4 * np.sqrt(predicted * (1 - predicted) / count)
    )


def test_more_seeds_do_not_reduce_the_noise_of_rows():
    assert statistics.seeds_for_difference(0.02, from_rows=0.001, seed_deviation=0.005) <= 4
    many = statistics.seeds_for_difference(0.01, from_rows=0.002, seed_deviation=0.008)
    assert many is not None
    powers = [
        statistics.power(0.01, n, from_rows=0.002, seed_deviation=0.008) for n in (many - 1, many)
    ]
    assert powers[0] < 0.8 <= powers[1]
    assert statistics.seeds_for_difference(0.01, from_rows=0.006, seed_deviation=0.001) is None
    smallest = statistics.smallest_detectable(from_rows=0.006)
    assert smallest == pytest.approx(2.8016 * 0.006, rel=1e-4)


def test_one_seed_per_loss_has_no_noise_of_seeds():
    estimate = compared(*experiment(np.random.default_rng(1), seeds=1))
    assert estimate.from_seeds is None
    assert estimate.low < estimate.value < estimate.high
    assert estimate.from_rows > 0


def test_a_run_compared_with_itself_differs_by_nothing():
    targets, (runs, _) = experiment(np.random.default_rng(1))
    estimate = compared(targets, [runs[:1], runs[:1]])
    assert (estimate.value, estimate.low, estimate.high, estimate.p) == (0, 0, 0, 1)


def test_with_equal_scores_of_all_seeds_only_the_noise_of_rows_remains():
    targets, ((one, other, _), (third, _, _)) = experiment(np.random.default_rng(1))
    apart = compared(targets, [[one, one], [third, third]])
    alone = compared(targets, [[one], [third]])
    assert (apart.low, apart.high, apart.p) == (alone.low, alone.high, alone.p)
    assert apart.from_seeds == 0
    none = compared(targets, [[other, other], [other, other]])
    assert (none.value, none.low, none.high, none.p) == (0, 0, 0, 1)


@pytest.mark.parametrize("true", [0.004, 0.02])
def test_power_without_noise_of_seeds_is_the_z_tests(true):
    predicted = statistics.power(true, 3, from_rows=0.005, seed_deviation=0, level=0.01)
    shift, needed = true / 0.005, stats.norm.ppf(0.995)
    expected = stats.norm.cdf(shift - needed) + stats.norm.cdf(-shift - needed)
    assert predicted == pytest.approx(expected, abs=0.04)


def test_an_interval_of_f1_stays_within_its_bounds():
    resamples = np.random.default_rng(0).random((2, 500))
    one, other = Runs([0.99, 0.9], resamples), Runs([0.1, 0.0], resamples)
    assert statistics.estimate(one).high == 1
    assert statistics.estimate(other).low == 0
    assert statistics.difference(one, other).high == 1


def test_the_p_of_a_single_label_agrees_with_its_interval():
    rng = np.random.default_rng(5)
    targets, losses = experiment(rng, seeds=1, advantage=0.3)
    resampled = resampled_f1([losses[0][0], losses[1][0]], targets, resamples=999, seed=0)
    outside = 0
    for label in range(LABELS):
        scores = [macro_f1(run[0][:, [label]], targets[:, [label]]) for run in losses]
        sides = (Runs([x], resampled[[i], :, label]) for i, x in enumerate(scores))
        difference = statistics.difference(*sides, percentile=True)
        assert (difference.p < 0.05) is (difference.low > 0 or difference.high < 0)
        outside += difference.p < 0.05
    assert 0 < outside < LABELS


@pytest.mark.parametrize(("seeds", "least", "most"), [(1, 0.1, 0.2), (3, 0.01, 0.07)])
def test_single_labels_of_equal_losses_exclude_zero_as_often_as_documented(seeds, least, most):
    """docs/statistics.md: of 28 one or two, and with one seed four or five."""
    rng, outside = np.random.default_rng(11), []
    for index in range(100):
        targets, (one, other) = experiment(rng, seeds=seeds)
        resampled = resampled_f1(one + other, targets, resamples=400, seed=index)
        for label in range(LABELS):
            scores = [macro_f1(run[:, [label]], targets[:, [label]]) for run in one + other]
            sides = (
                Runs(scores[:seeds], resampled[:seeds, :, label]),
                Runs(scores[seeds:], resampled[seeds:, :, label]),
            )
            difference = statistics.difference(*sides, percentile=True, seed=index)
            outside.append(difference.low > 0 or difference.high < 0)
    assert least < np.mean(outside) < most


def test_the_estimate_of_one_loss_covers_its_own_mean():
    targets, (runs, _) = experiment(np.random.default_rng(1))
    scores = [macro_f1(run, targets) for run in runs]
    resampled = resampled_f1(runs, targets, resamples=600, seed=0).mean(2)
    estimate = statistics.estimate(Runs(scores, resampled))
    assert estimate.value == pytest.approx(np.mean(scores))
    assert estimate.low < min(scores) < max(scores) < estimate.high
    assert estimate.from_seeds == pytest.approx(np.std(scores, ddof=1) / np.sqrt(3))


def test_welch_is_scipys_and_needs_three_seeds_per_loss():
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
    assert statistics.holm([]) == []


def test_ten_thousand_resamples_of_25_runs_of_the_real_size_are_fast_and_small():
    rng = np.random.default_rng(0)
    targets = rng.random((5427, 28)) < 0.04
    runs = [targets ^ (rng.random((5427, 28)) < 0.02) for _ in range(25)]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    resampled = resampled_f1(runs, targets, resamples=10_000, seed=0)
    seconds = time.perf_counter() - start
    assert resampled.shape == (25, 10_000, 28)
    assert resampled.mean(2).std(1).min() > 0
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e6 < 1
    assert seconds < 60  # 10 on two idle cores; tests share theirs
