"""The group-sequential test of `goemotions sweep --until-sure`."""

import numpy as np
import pytest
from scipy import stats

from goemotions.comparison import sequential, statistics
from goemotions.comparison.statistics import Runs


def test_levels_of_five_equal_looks():
    # Five equal looks, one-sided 0.025, in standard deviations.
    levels = sequential.levels([0.2, 0.4, 0.6, 0.8, 1], 0.025)
    bounds = stats.norm.isf(levels)
    np.testing.assert_allclose(bounds, [4.877, 3.357, 2.680, 2.290, 2.031], atol=0.001)


def test_one_look_has_the_whole_error():
    assert sequential.levels([1.0], 0.025) == pytest.approx([0.025])


def test_all_looks_together_have_the_error():
    fractions = np.array([0.1, 0.15, 0.5, 1.0])
    bounds = stats.norm.isf(sequential.levels(fractions.tolist(), 0.05))
    steps = np.diff(fractions, prepend=0)
    rng = np.random.default_rng(0)
    motion = np.cumsum(rng.normal(size=(200_000, 4)) * np.sqrt(steps), axis=1)
    crossed = (motion / np.sqrt(fractions) > bounds).any(1)
    assert crossed.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 200_000))


@pytest.mark.parametrize(
    ("fractions", "without"),
    [
        ([0.5, 0.5, 1], [1]),
        ([0.5, 0.5, 0.7, 0.9, 1], [1]),
        ([0.998, 0.998, 1], [1]),
        ([0.9, 0.9019, 0.9038, 1], [1]),  # the third brings enough since the first
    ],
)
def test_looks_without_new_information_spend_no_error(fractions, without):
    levels = sequential.levels(fractions, 0.05)
    steps = np.diff(fractions, prepend=0)
    assert [look for look, level in enumerate(levels) if level == 0] == without
    rng = np.random.default_rng(0)
    motion = np.cumsum(rng.normal(size=(200_000, len(fractions))) * np.sqrt(steps), axis=1)
    crossed = (motion / np.sqrt(fractions) > stats.norm.isf(levels)).any(1)
    assert crossed.mean() == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 200_000))


def test_nothing_is_decided_of_a_label_that_no_run_recognizes():
    never = {loss: Runs([0.0] * 4, np.zeros((4, 50))) for loss in ("bce", "asl")}
    assert sequential.decisions(never, "bce", 4, 0.005) == {}


def test_losses_that_predict_the_same_are_equivalent():
    moves = np.tile(np.random.default_rng(0).normal(size=50), (4, 1))
    equal = {loss: Runs([0.5] * 4, moves) for loss in ("bce", "asl")}
    assert sequential.decisions(equal, "bce", 4, 0.005) == {"asl": ("equivalent", 2)}


def test_looks_end_with_all_seeds():
    assert sequential.looks(2) == [2]
    assert sequential.looks(3) == [2, 3]
    assert sequential.looks(20) == [2, 3, 4, 6, 9, 13, 19, 20]


def runs(seeds, **means):
    """Of losses whose scores have a standard deviation of 0.01 over seeds, and little over rows."""
    rng = np.random.default_rng(1)
    return {
        loss: Runs(
            (mean + 0.01 * rng.normal(size=seeds)).tolist(), 0.001 * rng.normal(size=(seeds, 50))
        )
        for loss, mean in means.items()
    }


def test_a_large_difference_is_decided_early_and_a_small_one_is_given_up():
    found = sequential.decisions(
        runs(20, bce=0.5, much=0.6, less=0.4, same=0.5), "bce", 20, margin=0.001
    )
    assert {loss: decision for loss, (decision, _) in found.items()} == {
        "much": "better",
        "less": "worse",
        "same": "hopeless",
    }
    assert found["much"][1] < 10
    assert found["less"][1] < 10


def test_equal_losses_are_equivalent_within_a_wide_margin():
    found = sequential.decisions(runs(20, bce=0.5, same=0.5), "bce", 20, margin=0.05)
    decision, look = found["same"]
    assert decision == "equivalent"
    assert look < 20


def test_what_was_decided_stays_when_seeds_are_added():
    every = runs(20, bce=0.5, a=0.53, b=0.505, c=0.5)
    complete = sequential.decisions(every, "bce", 20, margin=0.005)
    assert len(complete) == 3
    for look in sequential.looks(20):
        seen = {loss: Runs(one.scores[:look], one.moves[:look]) for loss, one in every.items()}
        part = sequential.decisions(seen, "bce", 20, margin=0.005)
        assert part == {loss: one for loss, one in complete.items() if one[1] <= look}


@pytest.mark.parametrize(
    ("mean", "decision"), [(0.52, "hopeless"), (0.6, "better"), (0.4, "worse")]
)
def test_a_single_look_asks_for_the_p_of_compare(mean, decision):
    every = runs(2, bce=0.5, a=mean)
    of = statistics.spreads(every)
    p = statistics.estimate(every["a"], of["a"], every["bce"], of["bce"]).p()
    assert (p < sequential.ERROR) == (decision != "hopeless")
    assert sequential.decisions(every, "bce", 2, margin=0.005) == {"a": (decision, 2)}
