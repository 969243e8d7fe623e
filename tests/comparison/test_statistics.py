"""The statistics against arithmetic, scipy, statsmodels and simulated experiments."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind

from goemotions.comparison import measures, statistics
from goemotions.comparison.statistics import Draws, Estimate, Runs, Spread
from tools import coverage

ROWS, LABELS = 800, 8


def experiment(rng, *, seeds=3, losses=2, advantage=0.0, loss_noise=0.0):
    """Runs of losses on one split, by name; `advantage` is the first loss's.

    Every run's score of a row is its truth, a difficulty that all runs share, one that a loss's
    runs share (`loss_noise`), noise of that run alone, and a shift per label that all rows of a
    run share.
    """
    targets = rng.random((ROWS, LABELS)) < np.geomspace(0.01, 0.3, LABELS)
    targets[0] = True
    difficulty = 0.8 * rng.normal(size=(ROWS, LABELS))
    found = {}
    for loss in range(losses):
        better = advantage if loss == 0 else 0.0
        shared = difficulty + loss_noise * rng.normal(size=(ROWS, LABELS))
        runs = [
            2.4 * targets - 1.6 + better * targets + shared
            + 0.6 * rng.normal(size=(ROWS, LABELS)) + 0.15 * rng.normal(size=LABELS) > 0
            for _ in range(seeds)
        ]  # fmt: skip
        found[f"loss {loss}"] = measures.together(measures.macro_f1(run, targets) for run in runs)
    return found


def difference(runs):
    (a, one), (b, other) = list(runs.items())[:2]
    of = statistics.spreads(runs)
    return statistics.estimate(one, of.get(a), other, of.get(b))


def known(variance, freedom=1e6):
    """A spread over seeds that is known that well."""
    return Spread(np.array([variance]), np.array([float(freedom)]), 0.0)


def scores_only(*scores):
    """Runs with these scores, whose rows are all alike."""
    return {str(i): Runs(list(one), np.zeros((len(one), 10))) for i, one in enumerate(scores)}


@pytest.mark.parametrize("freedom", [1, 1.75, 3.5, 8, 40])
def test_without_noise_of_rows_it_is_students_t(freedom):
    for distance in (0.1, 1.0, 3.0, 8.0):
        one = Estimate(distance, 0, 0, 0.0, 1.0, freedom)
        assert one.p() == pytest.approx(2 * stats.t.sf(distance, freedom), rel=2e-3)
    runs = Runs([1.0, 3.0], np.zeros((2, 10)))
    found = statistics.estimate(runs, known(2.0, freedom))
    assert found.high - 2 == pytest.approx(stats.t.isf(0.025, freedom), rel=1e-3)


def test_with_rows_it_is_the_sum_of_a_normal_and_a_t_distribution():
    rng = np.random.default_rng(0)
    noise = 1.3 * rng.normal(size=1_000_000) + 0.7 * rng.standard_t(3.5, 1_000_000)
    one = Estimate(4.0, 0, 0, 1.3, 0.7, 3.5)
    assert one.p() == pytest.approx((np.abs(noise) > 4).mean(), rel=0.03)
    assert one.above(1.0) == pytest.approx((noise > 3).mean(), rel=0.03)
    assert one.tail(-1.0) == pytest.approx((noise > -1).mean(), rel=0.01)


def test_without_noise_of_seeds_it_is_normal():
    moves = np.random.default_rng(0).normal(size=(1, 400))
    found = statistics.estimate(Runs([0.5], moves), None)
    error = moves.std(ddof=1) / 20
    assert (found.from_rows, found.from_seeds) == (pytest.approx(error), None)
    assert found.high - 0.5 == pytest.approx(1.96 * error, rel=1e-4)
    assert found.p(0.5 - error) == pytest.approx(2 * stats.norm.sf(1))


def test_the_interval_is_where_p_is_5_percent():
    found = difference(experiment(np.random.default_rng(1), advantage=0.2))
    assert found.low < found.value < found.high
    assert found.p(found.low) == pytest.approx(0.05)
    assert found.p(found.high) == pytest.approx(0.05)


def test_an_interval_of_f1_stays_within_its_bounds():
    moves = np.random.default_rng(0).normal(size=(1, 10))
    assert statistics.estimate(Runs([0.9], moves), None).high > 1
    assert statistics.estimate(Runs([0.9], moves), None, bounds=(0.0, 1.0)).high == 1


def test_a_run_compared_with_itself_differs_by_nothing():
    runs = experiment(np.random.default_rng(1), losses=1)["loss 0"]
    found = statistics.estimate(runs, None, runs, None)
    assert (found.value, found.low, found.high, found.p()) == (0, 0, 0, 1)


def test_spreads_by_hand():
    # Variances 2 and 3 with 1 and 2 degrees of freedom: pooled 8/3; the third has one seed.
    of = statistics.spreads(scores_only([1, 3], [2, 2 + 12**0.5, 2 + 12**0.5 / 2], [5]))
    assert np.var([2, 2 + 12**0.5, 2 + 12**0.5 / 2], ddof=1) == pytest.approx(3)
    pooled = (1 * 2 + 2 * 3) / 3
    assert of["0"].variance == pytest.approx((2 + 0.75 * pooled) / 1.75)
    assert of["1"].variance == pytest.approx((3 + 0.75 * pooled) / 1.75)
    assert of["2"].variance == pytest.approx(pooled)
    # What either loss's own estimate, of 1 and 2 degrees, counts in each variance.
    a, b = (of[loss].variance for loss in "01")
    for one, (x, y) in zip(of.values(), [(1.25, 0.5), (0.25, 1.5), (1, 2)], strict=True):
        expected = (x * a + y * b) ** 2 / ((x * a) ** 2 / 1 + (y * b) ** 2 / 2)
        assert one.freedom == pytest.approx(expected)
    assert statistics.pooled(scores_only([1, 3], [2], [4, 4])) == (1.0, 2)
    assert statistics.spreads(scores_only([1], [2])) == {}


def test_what_the_spread_over_seeds_includes_is_removed_from_the_noise_of_rows():
    """Little remains where a loss's runs differ on rows only by chance; most does otherwise."""

    def remaining(**world):
        rng, shares = np.random.default_rng(3), []
        for _ in range(20):
            runs = experiment(rng, seeds=5, **world)
            one, other = runs.values()
            naive = np.std(one.shared - other.shared) / np.sqrt(ROWS)
            shares.append(difference(runs).from_rows / naive)
        return np.mean(shares)

    assert remaining() < 0.5
    assert remaining(loss_noise=0.6) > 0.7


@pytest.mark.parametrize(
    "world",
    [{}, {"loss_noise": 0.6}, {"seeds": 2, "losses": 5}],
    ids=["shared", "loss_noise", "five losses"],
)
def test_equal_losses_differ_significantly_in_no_more_than_five_percent(world):
    """At most the 99.9% point of the binomial; and not so rarely that the test would be useless."""
    count, rng = 500, np.random.default_rng(7)
    estimates = [difference(experiment(rng, **world)) for _ in range(count)]
    wrong = sum(estimate.p() < 0.05 for estimate in estimates)
    assert stats.binom.ppf(0.001, count, 0.02) <= wrong <= stats.binom.ppf(0.999, count, 0.05)
    covered = sum(estimate.low <= 0 <= estimate.high for estimate in estimates)
    assert covered == count - wrong
    assert covered >= stats.binom.ppf(0.001, count, 0.95)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("equal losses, 2 seeds", 0.06),
        ("equal losses, 3 seeds", 0.06),
        ("baseline's spread 3.5 times the others', 3 seeds", 0.08),
        ("equal losses, 1 seed(s) of the baseline and 3 of the others", 0.06),
    ],
)
def test_the_familywise_error_over_five_losses_is_as_documented(name, most):
    """docs/statistics.md has more experiments of full size: `make coverage`."""
    import dataclasses

    cell = dataclasses.replace(
        next(cell for cell in coverage.cells() if cell.name == name),
        rows=300,
        support=coverage.GOEMOTIONS[:6],
    )
    count = 200
    found = coverage.run(cell, count, seed=1)
    covered, error, width = found["ours"]
    assert error * count <= stats.binom.ppf(0.999, count, most)
    assert covered > 0.9
    assert 0 < width < 2 * found["shared"][2]  # not bought by intervals that say nothing


def test_the_truth_of_a_simulation_is_what_many_runs_score_on_many_rows():
    cell = coverage.Cell("", (3,) * 5, rows=60_000, shifts=(0.0, 0.1, 0.2, -0.1, -0.2))
    runs = coverage.simulate(cell, np.random.default_rng(0))
    found = [one.mean for one in runs.values()]
    assert found == pytest.approx(coverage.truth(cell).tolist(), abs=0.012)
    assert coverage.truth(cell)[2] > coverage.truth(cell)[0] > coverage.truth(cell)[4]


def test_equivalence_is_statsmodels_two_one_sided_tests():
    """With two losses of equal size, whose spreads are pooled as there."""
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 6))
    of = known(float(np.mean([one.var(ddof=1), other.var(ddof=1)])), 10)
    runs = scores_only(one, other)
    estimate = statistics.estimate(runs["0"], of, runs["1"], of)
    for margin in (0.5, 1.0, 3.0):
        expected = ttost_ind(one, other, -margin, margin, usevar="pooled")[0]
        assert statistics.equivalence(estimate, margin) == pytest.approx(expected, rel=0.01)


def test_the_p_of_two_losses_with_equal_spread_is_that_of_the_pooled_t_test():
    one, other = [1.0, 2.0, 4.0], [2.0, 3.0, 5.0]
    found = difference(scores_only(one, other))
    expected = stats.ttest_ind(one, other)
    assert found.value / found.from_seeds == pytest.approx(expected.statistic)
    assert found.freedom == pytest.approx(4)
    assert found.p() == pytest.approx(expected.pvalue, rel=1e-3)


@pytest.mark.parametrize(
    "seeds", [(2, 2), (3, 3), (5, 5), (1, 2), (1, 3), (2, 2, 2), (2, 2, 2, 2, 2), (5,) * 5]
)
def test_equal_losses_whose_seeds_make_all_the_noise_rarely_differ(seeds):
    """Few losses have few seeds in all; nothing but seeds makes the noise."""
    count, rng = 1000, np.random.default_rng(11)
    found = [difference(scores_only(*(rng.normal(size=n) for n in seeds))) for _ in range(count)]
    wrong = sum(one.p() < 0.05 for one in found)
    assert stats.binom.ppf(0.001, count, 0.02) <= wrong <= stats.binom.ppf(0.999, count, 0.05)


def test_seeds_that_agree_by_chance_leave_the_noise_of_rows():
    """Runs that differ on single rows vary over seeds, too, even where two scores are equal."""
    rng = np.random.default_rng(0)
    right = [[rng.permutation(np.arange(100) < n) for _ in range(2)] for n in (80, 81)]
    runs = {
        str(number): measures.together(measures._mean(one.astype(float)) for one in of_loss)
        for number, of_loss in enumerate(right)
    }
    of = statistics.spreads(runs)
    for loss in of:
        assert np.var(runs[loss].scores) == 0
        assert of[loss].variance == of[loss].apart > 0
    found = statistics.estimate(runs["1"], of["1"], runs["0"], of["0"])
    assert found.value == pytest.approx(0.01)
    assert found.from_seeds**2 == pytest.approx((of["0"].apart + of["1"].apart) / 2)
    assert found.freedom == pytest.approx(2, rel=0.01)  # two losses of two seeds
    assert found.p() > 0.5


def test_hedges_g_by_hand():
    # Means 2 and 5, variances 1 and 4 with 2 and 2 degrees of freedom: pooled 2.5.
    assert statistics.hedges_g([1, 2, 3], [3, 5, 7]) == pytest.approx(-3 / 2.5**0.5 * (1 - 3 / 15))
    assert statistics.hedges_g([1], [3, 5]) is None
    assert statistics.hedges_g([1, 1], [1, 1]) is None


def test_hedges_g_is_right_on_average_at_three_seeds():
    rng = np.random.default_rng(0)
    found = [statistics.hedges_g(rng.normal(size=3) + 1, rng.normal(size=3)) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(1.0, abs=0.06)


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == [1.0, 1.0]
    assert statistics.holm([0.2]) == [0.2]
    assert statistics.holm([]) == []


def test_holm_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    for size in (1, 2, 3, 10):
        ps = np.round(rng.random(size) ** 3, 1).tolist()  # some are equal
        expected = multipletests(ps, method="holm")[1]
        np.testing.assert_allclose(statistics.holm(ps), expected)


def test_the_best_of_equal_losses_is_excluded_in_at_most_one_experiment_of_forty():
    """Whichever of the equal losses one takes for the best."""
    rng, count, excluded = np.random.default_rng(3), 200, 0
    for _ in range(count):
        runs = experiment(rng, losses=4)
        candidates = statistics.may_be_best(runs, statistics.spreads(runs))
        assert max(runs, key=lambda loss: runs[loss].mean) in candidates
        excluded += "loss 0" not in candidates
    assert excluded <= stats.binom.ppf(0.999, count, 0.025)


def test_a_much_better_loss_is_the_only_one_that_may_be_the_best():
    runs = experiment(np.random.default_rng(3), losses=4, seeds=5, advantage=1.5)
    of = statistics.spreads(runs)
    assert statistics.may_be_best(runs, of) == ["loss 0"]
    draws = Draws(runs, of)
    assert draws.best()["loss 0"] > 0.97
    better = draws.improvement("loss 0", "loss 1")
    assert 0.5 < better.low < 0.95 < better.value < better.high


def test_equal_scores_are_the_best_equally_often_and_improve_half_the_time():
    draws = Draws(runs := scores_only([1, 2, 3], [1, 2, 3], [1, 2, 3]), statistics.spreads(runs))
    assert sum(draws.best().values()) == pytest.approx(1)
    for chance in draws.best().values():
        assert chance == pytest.approx(1 / 3, abs=0.02)
    improvement = draws.improvement("0", "1")
    assert improvement.value == pytest.approx(0.5, abs=0.01)
    assert improvement.low == pytest.approx(1 - improvement.high, abs=0.03)


def test_the_improvement_of_known_distributions_is_the_normal_distributions():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 1.0, 2000), rng.normal(0.0, 2.0, 2000)
    runs = scores_only(a, b)
    of = {name: known(float(np.var(one.scores)), 1999) for name, one in runs.items()}
    found = Draws(runs, of).improvement("0", "1")
    assert found.value == pytest.approx(stats.norm.cdf(1 / 5**0.5), abs=0.02)
    assert found.high - found.low < 0.05


def test_rows_alone_make_the_better_loss_the_best_as_often_as_the_normal_distribution_says():
    moves = np.random.default_rng(0).normal(size=(1, 400))
    error = moves.std(ddof=1) / 20
    runs = {"a": Runs([0.5 + error], moves), "b": Runs([0.5], np.zeros((1, 400)))}
    draws = Draws(runs, dict.fromkeys(runs, known(1e-12)))
    assert draws.best()["a"] == pytest.approx(stats.norm.cdf(1), abs=0.01)
    assert draws.improvement("a", "b").value == pytest.approx(stats.norm.cdf(1), abs=0.01)


@pytest.mark.parametrize(
    ("losses", "rows", "deviation", "seeds"),
    [(2, 0.0, 0.0014, 3), (2, 0.0, 0.008, 42), (5, 0.0, 0.002, 5), (5, 0.001, 0.003, 16)],
)
def test_planned_seeds_have_the_power_that_they_are_planned_for(losses, rows, deviation, seeds):
    """In simulated experiments, by the test that `compare` makes."""
    level = 0.05 / (losses - 1)
    plan = statistics.plan(
        0.005, from_rows=rows, variance=deviation**2, freedom=10, level=level, losses=losses
    )
    assert plan.seeds == seeds
    assert plan.low <= plan.seeds < plan.high
    count, detected, rng = 500, 0, np.random.default_rng(5)
    for _ in range(count):
        runs = scores_only(*(deviation * rng.normal(size=(losses, seeds))))
        found = difference(runs)
        value = found.value + 0.005 + rows * rng.normal()
        one = Estimate(value, 0, 0, rows, found.from_seeds, found.freedom)
        detected += one.p() < level
    assert stats.binom.ppf(0.001, count, 0.75) <= detected <= stats.binom.ppf(0.999, count, 0.9)


def test_more_seeds_do_not_reduce_the_noise_of_rows():
    plan = statistics.plan(0.005, from_rows=0.002, variance=1e-6, freedom=10, level=0.05, losses=2)
    assert (plan.seeds, plan.low, plan.high) == (None, None, None)
    assert plan.smallest == pytest.approx(2.8016 * 0.002, rel=1e-4)


def test_the_interval_of_planned_seeds_is_that_of_the_variance():
    """So a plan's interval from 4 degrees of freedom covers the true number in 95%."""
    rng, covered, count = np.random.default_rng(0), 0, 200
    settings = {"from_rows": 0.0, "freedom": 4, "level": 0.05, "losses": 2}
    true = statistics.plan(0.005, variance=1e-4, **settings).seeds
    for variance in 1e-4 * rng.chisquare(4, count) / 4:
        plan = statistics.plan(0.005, variance=variance, **settings)
        covered += plan.low <= true <= plan.high
    assert 0.91 < covered / count < 0.99
