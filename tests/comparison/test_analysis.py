"""Which runs are compared, and what is concluded from them."""

import dataclasses
import json
import shlex

import numpy as np
import pytest
from runs import analyse, run

from goemotions.comparison import analysis, conclusion, measures, statistics, tables
from goemotions.comparison.requirement import answer
from goemotions.comparison.rows import Pair
from goemotions.errors import UserError
from goemotions.metrics.f1 import macro_f1

SAME_RECIPE = "All losses have the same recipe, which may suit some better than others."


def test_a_much_better_loss_is_the_best_in_the_conclusion():
    seeds = range(1, 4)
    (comparison,) = analyse(
        *(run("asl", s, error=0.05) for s in seeds), *(run("bce", s, error=0.2) for s in seeds)
    )
    assert [row.loss for row in comparison.rows] == ["asl", "bce"]
    asl, bce = comparison.rows
    assert asl.seeds == [1, 2, 3]
    assert asl.seconds == 120
    assert (asl.may_be_best, bce.may_be_best) == (True, False)
    assert asl.against.difference.value == pytest.approx(asl.score.value - bce.score.value)
    assert asl.against.p < 0.05
    assert asl.against.verdict == "better"
    assert asl.against.improvement.low > 0.9
    assert asl.g > 3
    assert (bce.against, bce.g) == (None, None)
    assert comparison.next_run is None
    assert comparison.conclusion == (
        "asl is the best loss (at 95% confidence, over test rows and seeds). asl is better than "
        f"bce (Holm-adjusted p < 0.05). {SAME_RECIPE}"
    )


def test_better_and_worse_losses_are_named_together():
    errors = {"bce": 0.2, "a": 0.05, "b": 0.06, "c": 0.4}
    (comparison,) = analyse(*(run(x, s, error=e) for x, e in errors.items() for s in (1, 2, 3)))
    assert "a and b are better than bce and c is worse than bce (Holm-adjusted p < 0.05)." in (
        comparison.conclusion
    )


def test_losses_that_may_be_the_best_are_named_with_their_probability():
    (comparison,) = analyse(*(run(loss, s) for loss in ("asl", "bce") for s in (1, 2, 3)))
    first, second = comparison.rows
    assert first.may_be_best
    assert second.may_be_best
    assert first.best + second.best == pytest.approx(1)
    assert comparison.conclusion.startswith(
        "Each of these losses may be the best (at 95% confidence, over test rows and seeds). The "
        f"probability of being the best is {first.best:.2f} for {first.loss} and "
        f"{second.best:.2f} for {second.loss}. asl is undecided: these runs do not show whether it "
        "is better than, worse than or equivalent to bce. "
        "Detecting a difference of 0.005 in macro-F1 with a statistical power of 0.8 takes about "
    )
    errors = {"bce": 0.1, "asl": 0.1, "a": 0.3}
    (comparison,) = analyse(*(run(x, s, error=e) for x, e in errors.items() for s in (1, 2, 3)))
    assert comparison.conclusion.startswith("The best loss is one of ")
    assert [row.may_be_best for row in comparison.rows] == [True, True, False]


@pytest.mark.parametrize("others", [["bce"], ["bce", "a", "b"]])
def test_the_only_loss_that_may_be_the_best_is_better_than_the_baseline(others):
    verdicts = set()
    for error in np.arange(0.11, 0.2, 0.01):
        (comparison,) = analyse(
            *(run("asl", seed, error=0.1) for seed in (1, 2)),
            *(run(loss, seed, error=error) for loss in others for seed in (1, 2)),
        )
        first = comparison.rows[0]
        if sum(row.may_be_best for row in comparison.rows) == 1 and first.against:
            assert first.against.verdict == "better"
        verdicts.add(first.against and first.against.verdict)
    assert {"better", "undecided"} <= verdicts


def test_losses_of_which_no_run_recognizes_a_label_are_undecided_by_its_f1():
    runs = [run(loss, seed) for loss in ("asl", "bce") for seed in (1, 2, 3)]
    for _, scored in runs:
        scored.logits[:, 0] = np.where(scored.targets[:, 0], -1.0, -2.0)  # below all thresholds
    (comparison,) = analyse(*runs, metric="f1_a", margin=0.05)
    (pair,) = comparison.pairs
    assert (pair.difference.value, pair.verdict) == (0, "undecided")


def test_losses_whose_difference_is_surely_small_are_equivalent():
    """A margin that these runs of 600 rows can bound."""
    seeds = range(1, 6)
    runs = [run(loss, s) for loss in ("asl", "bce") for s in seeds]
    (comparison,) = analyse(*runs, margin=0.05)
    (pair,) = comparison.pairs
    assert pair.verdict == "equivalent"
    assert abs(pair.difference.value) + 2 * pair.difference.from_seeds < 0.05
    assert "asl is equivalent to bce within ± 0.05 (Holm-adjusted p < 0.05)." in (
        comparison.conclusion
    )
    assert comparison.next_run is None
    (comparison,) = analyse(*runs, margin=0.0001)
    assert comparison.pairs[0].verdict == "undecided"


@pytest.mark.parametrize("margin", [0.0, -1.0, float("inf"), float("nan")])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(UserError, match=r"--margin is .*; it must be above 0"):
        analyse(run("asl"), run("bce"), margin=margin)


def test_p_values_are_holm_adjusted_over_the_table_and_over_all_pairs():
    names = ("bce", "a", "b", "c")
    runs = [run(x, s, error=0.1 + i / 100) for i, x in enumerate(names) for s in (1, 2)]
    (comparison,) = analyse(*runs)
    others = [row.against for row in comparison.rows if row.loss != "bce"]
    for pairs in (others, comparison.pairs):
        pairs = sorted(pairs, key=lambda pair: pair.difference.p())
        steps = [(len(pairs) - i) * pair.difference.p() for i, pair in enumerate(pairs)]
        expected = np.minimum(np.maximum.accumulate(steps), 1)
        assert [pair.p for pair in pairs] == pytest.approx(expected)
    assert len(comparison.pairs) == 6
    assert {pair.other for pair in others} == {"bce"}


def test_one_seed_of_each_gives_no_verdict():
    (comparison,) = analyse(run("asl", error=0.05), run("bce", error=0.3))
    asl, _ = comparison.rows
    assert (asl.spread, asl.best, asl.may_be_best) == (None, None, None)
    assert (asl.against.p, asl.against.verdict, asl.against.improvement) == (None, None, None)
    assert asl.against.difference.value > 0.2
    assert comparison.conclusion == (
        "There is one seed per loss, and scores also differ from seed to seed, by an amount that "
        "is not known: no loss can be called better. Run at least two more seeds of each. "
        f"{SAME_RECIPE}"
    )
    assert comparison.next_run.startswith("dvc exp run --temp -n ")
    assert comparison.next_run.endswith("-2 -S train.seed=2")


def test_a_loss_with_one_seed_borrows_the_spread_of_the_others():
    runs = [run(loss, s) for loss in ("a", "bce") for s in (1, 2, 3)]
    (comparison,) = analyse(*runs, run("single"))
    (single,) = (row for row in comparison.rows if row.loss == "single")
    others = [
        measures.together(measures.measure("macro_f1", one) for e, one in runs if e.loss == loss)
        for loss in ("a", "bce")
    ]
    # Runs whose decisions differ by chance on single rows vary at least by as much.
    pooled, apart = (
        np.mean([np.var(one.scores, ddof=1) for one in others]),
        np.mean([one.apart for one in others]),
    )
    assert single.score.from_seeds == pytest.approx(np.sqrt(max(pooled, apart)))
    assert single.against.p > 0.05
    assert single.against.verdict == "undecided"


def test_the_next_run_is_of_a_loss_that_may_be_the_best_with_its_next_seed():
    errors = {"bce": 0.1, "asl": 0.1, "a": 0.4}
    runs = [run(x, s, error=e) for x, e in errors.items() for s in (1, 2, 3)]
    runs = [
        (dataclasses.replace(e, changes_from_workspace={"loss": e.loss, "train.seed": e.seed}), x)
        for e, x in runs
        if (e.loss, e.seed) != ("asl", 3)
    ]
    (comparison,) = analyse(*runs)
    assert comparison.next_run == "dvc exp run --temp -n asl-3 -S loss=asl -S train.seed=3"
    # Runs with a setting that the workspace's params.yaml lacks are continued at their commit.
    runs = [
        (
            dataclasses.replace(
                e, changes_from_commit={"loss": e.loss}, changes_from_workspace=None
            ),
            x,
        )
        for e, x in runs
    ]
    (comparison,) = analyse(*runs)
    expected = "git checkout abc && dvc exp run --temp -n asl-3 -S loss=asl -S train.seed=3"
    assert comparison.next_run == expected


def test_the_name_of_an_experiment_is_quoted_in_a_command():
    experiment, _ = run("asl", name="a;b-1")
    command = experiment.with_seed(2)
    assert shlex.split(command)[:6] == ["dvc", "exp", "run", "--temp", "-n", "a;b-asl-2"]
    assert "'a;b-asl-2'" in command


def test_the_next_runs_of_two_losses_have_two_names():
    names = [run(loss, name=f"my-{n}")[0] for n, loss in enumerate(("asl", "bce"), start=1)]
    found = [shlex.split(experiment.with_seed(2))[5] for experiment in names]
    assert found == ["my-asl-2", "my-2-bce-2"]


def test_the_files_of_a_run_are_brought_by_the_command_that_dvc_has_for_it():
    experiment, _ = run("asl", name="a b")
    assert experiment.fetched_by == "dvc exp pull <git remote> 'a b'"
    of_commit = dataclasses.replace(experiment, name="main", revision="abcdef0", commit="abcdef")
    assert of_commit.fetched_by == "dvc fetch --all-commits"
    of_workspace = dataclasses.replace(experiment, name="workspace", revision=None)
    assert of_workspace.fetched_by == "dvc pull"


def test_where_rows_bound_what_can_be_decided_no_run_helps(monkeypatch):
    """Runs that agree over seeds, and losses that differ on few rows."""
    import runs

    rng = np.random.default_rng(0)
    made = []
    for loss, flipped in (("asl", range(9)), ("bce", range(20, 30))):
        decisions = runs.TARGETS ^ (np.random.default_rng(1).random((600, 5)) < 0.1)
        decisions[list(flipped)] ^= True
        for seed in (1, 2, 3):
            experiment, one = run(loss, seed)
            logits = np.where(decisions, 1.0, -1.0) + 0.01 * rng.random((600, 5))
            made.append((experiment, dataclasses.replace(one, logits=logits)))
    (comparison,) = analyse(*made)
    assert comparison.pairs[0].difference.from_seeds == pytest.approx(0, abs=1e-9)
    assert comparison.next_run is None
    assert comparison.conclusion.count("the test split limits what can be decided.") == 1
    assert "On this test split no number of seeds detects" in comparison.conclusion


@pytest.mark.parametrize(("others", "is_open"), [(1, True), (4, False)])
def test_what_seeds_may_still_decide_is_holm_corrected(others, is_open):
    """Each loss is 2.2 standard errors due to rows ahead of bce: p is 0.028."""
    difference = statistics.Estimate(0.022, 0, 0, 0.01, 0.0, None)
    pairs = [
        Pair(f"loss {number}", "bce", difference, 0.9, "undecided", None, known=True)
        for number in range(others)
    ]
    assert len(conclusion._open_to_seeds(pairs, 0.005)) == (1 if is_open else 0)


@pytest.mark.parametrize(
    ("from_seeds", "from_rows", "value", "is_open"),
    [
        # With more seeds the difference may turn out to be 0.019, or 0.002.
        (0.004, 0.003, 0.002, True),
        (0.0001, 0.003, 0.002, False),
        # Equivalence is shown by one-sided tests: at 1.645 standard errors, not 1.96.
        (0.0, 0.0028, 0.0, True),
        (0.0, 0.0032, 0.0, False),
    ],
)
def test_what_seeds_may_still_decide(from_seeds, from_rows, value, is_open):
    difference = statistics.Estimate(
        value, 0, 0, from_rows, from_seeds, 2.0 if from_seeds else None
    )
    pair = Pair("asl", "bce", difference, 0.9, "undecided", None, known=True)
    assert conclusion._open_to_seeds([pair], 0.005) == (
        {frozenset({"asl", "bce"})} if is_open else set()
    )


def test_a_run_helps_other_losses_where_seeds_cannot_decide_between_the_best_ones():
    errors = {"asl": 0.1, "focal": 0.1, "bce": 0.3, "zlpr": 0.3}
    made = [run(loss, seed, error=error) for loss, error in errors.items() for seed in (1, 2)]
    (found,) = analyse(*made)
    assert [row.may_be_best for row in found.rows] == [True, True, False, False]
    by_metric = {
        loss: measures.together(
            measures.measure("macro_f1", one) for e, one in made if e.loss == loss
        )
        for loss in errors
    }
    of_rows = statistics.Estimate(0.0, -2, 2, 1.0, 0.0, None)
    pairs = [
        dataclasses.replace(pair, difference=of_rows) if {pair.loss, pair.other} == {"asl", "focal"}
        else pair
        for pair in found.pairs
    ]  # fmt: skip
    undecided = {frozenset((p.loss, p.other)) for p in pairs if p.verdict == "undecided"}
    assert undecided == {frozenset({"asl", "focal"}), frozenset({"bce", "zlpr"})}
    assert conclusion._most_helpful(found.rows, found.pairs, by_metric, 0.005) in {"asl", "focal"}
    assert conclusion._most_helpful(found.rows, pairs, by_metric, 0.005) in {"bce", "zlpr"}


def test_nothing_is_better_by_the_f1_of_a_label_where_no_row_moves_it():
    """In every run asl is right on all rows, and bce finds none."""
    runs = [run(loss, seed) for loss in ("asl", "bce") for seed in (1, 2, 3)]
    for experiment, scored in runs:
        right = scored.targets[:, 0] if experiment.loss == "asl" else False
        scored.logits[:, 0] = np.where(right, 2.0, -2.0)
    (comparison,) = analyse(*runs, metric="f1_a")
    (pair,) = comparison.pairs
    assert (abs(pair.difference.value), pair.p, pair.verdict) == (1, 1, "undecided")
    answered = answer("asl>bce", [comparison])
    assert not answered.holds
    assert "(one-sided p 1, needed below 0.05)" in answered.sentence


def test_the_seeds_to_plan_are_for_holms_first_step():
    runs = []
    for number, loss in enumerate(("a", "b", "bce")):  # whose runs err on common rows
        common = np.random.default_rng(number).random((600, 5)) < 0.0003 * (number + 1)
        for seed in range(1, 6):
            experiment, one = run(loss, seed, error=0.01)
            logits = np.where(common, -one.logits, one.logits)
            runs.append((experiment, dataclasses.replace(one, logits=logits)))
    (comparison,) = analyse(*runs)
    scores = {row.loss: row for row in comparison.rows}
    variance, freedom = statistics.pooled(
        {
            loss: measures.together(
                measures.measure("macro_f1", one) for e, one in runs if e.loss == loss
            )
            for loss in scores
        }
    )
    against = [row.against for row in comparison.rows if row.against is not None]
    from_rows = np.median([pair.difference.from_rows for pair in against])
    assert from_rows != np.median([pair.difference.from_rows for pair in comparison.pairs])
    plan = statistics.plan(
        0.005, from_rows=from_rows, variance=variance, freedom=freedom, level=0.05 / 2, losses=3
    )
    assert (
        f"power of 0.8 takes about {plan.seeds:.0f} seeds per loss (95% interval {plan.low:.0f} to "
        f"{plan.high:.0f})."
    ) in comparison.conclusion


def test_average_precision_is_named_where_it_needs_fewer_seeds():
    """Runs that rank the rows almost alike and differ in their thresholds."""
    rng = np.random.default_rng(0)
    ranked = rng.normal(size=(600, 5))
    runs = []
    for loss in ("a", "bce"):
        for seed in (1, 2, 3):
            experiment, one = run(loss, seed)
            logits = 3 * one.targets + ranked + 1e-6 * rng.normal(size=(600, 5))
            thresholds = 1.5 + 0.3 * rng.normal(size=5)
            runs.append(
                (experiment, dataclasses.replace(one, logits=logits, thresholds=thresholds))
            )
    (comparison,) = analyse(*runs)
    assert comparison.conclusion.endswith(
        " By average precision (`--metric average_precision`) such a difference takes about 2 "
        f"seeds per loss (95% interval 2 to 2). {SAME_RECIPE}"
    )
    (other,) = analyse(*runs, metric="average_precision")
    assert other.metric == "average_precision"
    assert other.pairs[0].verdict == "equivalent"
    assert "By average precision" not in other.conclusion

    better = []
    for experiment, one in runs:
        shift = 0.2 if experiment.loss == "a" else 0.0
        logits = one.logits + shift * one.targets
        better.append((experiment, dataclasses.replace(one, logits=logits)))
    (comparison,) = analyse(*better)
    assert [row.may_be_best for row in comparison.rows] == [True, True]
    assert comparison.conclusion.endswith(f", and only a may be the best. {SAME_RECIPE}")


def test_many_seeds_are_told_from_no_number_of_seeds():
    detecting = "Detecting a difference of 0.005 in macro-F1 with a statistical power of 0.8 takes"

    def needed(**noise):
        return conclusion.seeds_needed(
            statistics.plan(0.005, freedom=8, level=0.05, losses=2, **noise), 0.005, "macro_f1"
        )

    assert needed(from_rows=0.0, variance=1.0) == f"{detecting} more than 1000 seeds per loss."
    assert needed(from_rows=0.0, variance=1e-9) == (
        f"{detecting} about 2 seeds per loss (95% interval 2 to 2)."
    )
    assert needed(from_rows=0.0, variance=0.0004).endswith("(95% interval 116 to 923).")
    assert needed(from_rows=0.0, variance=0.0006).endswith("(95% interval 173 to over 1000).")
    assert needed(from_rows=0.0, variance=0.003).endswith(
        " takes over 1000 seeds per loss (95% interval 861 to over 1000)."
    )
    assert needed(from_rows=0.01, variance=1e-6) == (
        "On this test split no number of seeds detects a difference of 0.005 in macro-F1 with a "
        "statistical power of 0.8; the smallest detectable one is about 0.028."
    )


def test_runs_with_the_same_predictions_are_one_run_and_named():
    first, one = run("asl", 1)
    copied = dataclasses.replace(first, seed=2, name="copy", revision="copy")
    (comparison,) = analyse((first, one), (copied, one), *(run("bce", s) for s in (1, 2)))
    rows = {row.loss: row for row in comparison.rows}
    assert rows["asl"].seeds == [1]
    assert rows["bce"].seeds == [1, 2]
    assert (
        "copy (asl, seed 2) predicted exactly what asl-1 (asl, seed 1) did, so they are one run, "
        "which counts once."
    ) in comparison.conclusion


def test_a_run_that_diverged_is_named():
    runs = [run(loss, s) for loss in ("asl", "bce") for s in (1, 2, 3)]
    bad, one = runs[0]
    runs[0] = bad, dataclasses.replace(one, logits=one.logits - 9)
    (comparison,) = analyse(*runs)
    assert "asl with seed 1 has a macro-F1 of 0.000, less than half of the median" in (
        comparison.conclusion
    )


def test_scores_come_from_predictions_whatever_the_evaluation_says():
    runs = [run(loss, s) for loss in ("asl", "bce") for s in (1, 2, 3)]
    (right,) = analyse(*runs)
    lying = [(dataclasses.replace(e, macro_f1=float("nan")), one) for e, one in runs]
    assert analyse(*lying) == [right]


@pytest.mark.parametrize("metric", ["micro_f1", "neg_log_loss", "f1_a"])
def test_another_metric_is_compared(metric):
    runs = [run(x, s, error=e) for x, e in (("asl", 0.05), ("bce", 0.2)) for s in (1, 2, 3)]
    (comparison,) = analyse(*runs, metric=metric)
    expected = [measures.measure(metric, one).value for e, one in runs if e.loss == "asl"]
    assert comparison.rows[0].loss == "asl"
    assert comparison.rows[0].scores == expected
    assert comparison.rows[0].against.verdict == "better"
    assert comparison.linear is None
    json.dumps(dataclasses.asdict(comparison))


@pytest.mark.parametrize(
    ("requirement", "holds", "said"),
    [
        ("bce", True, "required: asl is better than bce (one-sided p "),
        ("asl>bce", True, "required: asl is better than bce (one-sided p "),
        ("asl > bce + 0.05", True, "required: asl is better than bce by more than 0.05 (one-"),
        (
            "bce+0.4",
            False,
            "required: asl is not significantly better than bce by more than 0.4 ",
        ),
        (
            "bce>asl",
            False,
            "required: bce is not significantly better than asl (one-sided p 1",
        ),
        ("focal>bce", False, "required: focal is not significantly better than bce (one-sided p "),
        ("focal>bce-0.2", True, "required: focal is at most 0.2 worse than bce (one-"),
    ],
)
def test_a_requirement_holds_or_not(requirement, holds, said):
    errors = {"bce": 0.2, "asl": 0.05, "focal": 0.2}
    found = analyse(*(run(x, s, error=e) for x, e in errors.items() for s in (1, 2, 3)))
    answered = answer(requirement, found)
    assert answered.holds is holds
    assert answered.sentence.startswith(said)
    level = 0.05 if ">" in requirement else 0.025
    assert answered.sentence.endswith(f"needed below {level:g})")


def test_losses_that_are_equal_share_the_probability_of_being_the_best():
    nothing = np.full((600, 5), -1.0)
    runs = []
    for number, loss in enumerate(("bce", "asl", "focal")):
        for seed in (1, 2):
            experiment, scored = run(loss, seed)
            logits = nothing - 0.1 * number - 0.01 * seed  # no label is ever given
            runs.append((experiment, dataclasses.replace(scored, logits=logits)))
    (comparison,) = analyse(*runs)
    assert [row.best for row in comparison.rows] == pytest.approx([1 / 3] * 3)


def test_one_row_is_too_few():
    experiment, scored = run("bce")
    one = dataclasses.replace(
        scored, ids=scored.ids[:1], targets=scored.targets[:1], logits=scored.logits[:1]
    )
    with pytest.raises(
        UserError, match="bce-1 was tested on 1 row, and an interval needs at least two"
    ):
        analyse((experiment, one))


def test_a_requirement_of_a_loss_whose_name_ends_like_a_difference():
    errors = {"asl": 0.2, "focal": 0.2, "focal-2": 0.05}
    found = analyse(*(run(x, s, error=e) for x, e in errors.items() for s in (1, 2, 3)))
    answered = answer("asl>focal-2", found)
    assert not answered.holds
    assert answered.sentence.startswith("required: asl is not significantly better than focal-2 (")
    assert answer("focal-2>asl+0.05", found).holds
    assert answer(">asl", found).sentence.startswith("required: focal-2 is better than asl (")


def test_a_requirement_about_one_seed_does_not_hold_and_one_about_nothing_is_refused():
    found = analyse(run("asl", error=0.05), run("bce", error=0.3))
    few = "one seed per loss cannot show it; run at least two more seeds of each"
    for requirement, wanted in (("bce", "a loss"), ("asl>bce", "asl")):
        answered = answer(requirement, found)
        assert not answered.holds
        assert answered.sentence == f"required: {wanted} better than bce; {few}"
    with pytest.raises(UserError, match="--require names 'zlpr'; choose one of: asl, bce"):
        answer("zlpr", found)
    with pytest.raises(UserError, match="--require is ''; write for example"):
        answer("", found)
    apart = analyse(run("asl"), run("bce", **{"train.rows": 5}))
    with pytest.raises(UserError, match="for one comparison, and there are 2; choose"):
        answer("bce", apart)


def test_runs_whose_scores_are_all_equal_have_intervals_and_json():
    same = run("bce")[1]
    jitter = np.random.default_rng(0).random((4, 600, 5)) / 100  # they are no copies
    runs = [
        (run(loss, s)[0], dataclasses.replace(same, logits=same.logits + jitter[2 * i + s - 1]))
        for i, loss in enumerate(("asl", "bce"))
        for s in (1, 2)
    ]
    (comparison,) = analyse(*runs)
    (asl,) = (row for row in comparison.rows if row.loss == "asl")
    difference = asl.against.difference
    assert (difference.value, difference.low, difference.high, asl.against.p) == (0, 0, 0, 1)
    assert asl.against.verdict == "equivalent"
    json.dumps(dataclasses.asdict(comparison), allow_nan=False)


def test_runs_with_other_settings_are_not_compared_and_the_setting_is_named():
    first, second = analyse(
        run("asl", **{"train.batch_size": 32}), run("bce", **{"train.batch_size": 16})
    )
    assert [row.loss for row in first.rows] == ["asl"]
    assert first.apart == {"train.batch_size": 32}
    assert second.apart == {"train.batch_size": 16}
    assert first.conclusion == ("There is only one loss, so there is nothing to compare it with.")


def test_the_reason_for_several_groups_names_digests_only_where_nothing_else_differs():
    batch = [run("asl", **{"train.batch_size": 32}), run("bce", **{"train.batch_size": 16})]
    assert analysis.why_separate(analyse(*batch)) == (
        "The runs form 2 groups that are not compared with each other, because they differ in "
        "train.batch_size."
    )
    other = dataclasses.replace(run("bce")[0], model="deberta", protocol={"model": "deberta"})
    with_model = [run("asl"), (other, run("bce")[1])]
    assert analysis.why_separate(analyse(*with_model)).endswith("they differ in model.")
    path = "data/goemotions/train.jsonl"
    data = [run("asl", **{path: "1"}), run("bce", **{path: "2"})]
    assert analysis.why_separate(analyse(*data)).endswith(f"they differ in {path}.")
    assert analysis.why_separate(analyse(run("asl"), run("bce"))) == ""


def test_the_recipe_of_another_model_is_no_reason_and_not_shown():
    deberta = dataclasses.replace(
        run("bce")[0], model="deberta", protocol={"model": "deberta", "recipes.deberta.epochs": 2}
    )
    short, long = (run("bce", **{"recipes.minilm-l6.epochs": n}) for n in (1, 3))
    two = analyse((deberta, run("bce")[1]), short)
    assert [one.apart for one in two] == [{}, {}]
    assert analysis.why_separate(two).endswith("they differ in model.")
    three = analyse((deberta, run("bce")[1]), short, long)
    key = "recipes.minilm-l6.epochs"
    assert [one.apart for one in three] == [{}, {key: 1}, {key: 3}]
    assert analysis.why_separate(three).endswith(f"they differ in model and {key}.")


def test_the_data_of_another_dataset_is_no_reason_and_not_shown():
    own = "data/goemotions/train.jsonl"
    first = run("asl", **{own: "1"})
    other = run("asl", 2, **{"dataset": "mine", "data/mine/train.jsonl": "3"})
    other = dataclasses.replace(other[0], dataset="mine"), other[1]
    two = analyse(first, other)
    assert [one.apart for one in two] == [{}, {}]
    assert analysis.why_separate(two).endswith("they differ in dataset.")
    three = analyse(first, run("asl", 3, **{own: "2"}), other)
    assert [one.apart for one in three] == [{own: "1"}, {own: "2"}, {}]


def test_losses_with_recipes_of_their_own_are_compared_where_that_is_asked_for():
    low, high = ({"recipes.minilm-l6.learning_rate": rate} for rate in (1e-4, 3e-4))
    both = [run("asl", seed, **high) for seed in (1, 2)]
    both += [run("bce", seed, error=0.3, **low) for seed in (1, 2)]
    apart = analyse(*both)
    assert [[row.loss for row in one.rows] for one in apart] == [["asl"], ["bce"]]
    assert analysis.why_separate(apart) == (
        "The runs form 2 groups that are not compared with each other, because they differ in "
        "recipes.minilm-l6.learning_rate. --own-recipes compares them, each loss with its own "
        "recipe."
    )
    (together,) = analyse(*both, own_recipes=True)
    assert [(row.loss, row.seeds) for row in together.rows] == [("asl", [1, 2]), ("bce", [1, 2])]
    assert together.apart == {}
    own = "Each loss has its own recipe: asl learning_rate 0.0003; bce learning_rate 0.0001."
    assert own in together.conclusion
    (two_of_one,) = analyse(*both, run("bce", 3, **high), own_recipes=True)
    assert {row.loss: row.seeds for row in two_of_one.rows} == {
        "asl": [1, 2],
        "bce (learning_rate 0.0001)": [1, 2],
        "bce (learning_rate 0.0003)": [3],
    }
    assert own.replace("; bce learning_rate 0.0001", "") in two_of_one.conclusion
    (only_bce,) = analyse(*both[2:], run("bce", 3, **high), own_recipes=True)
    assert "Each loss has its own recipe, as its name says." in only_bce.conclusion
    other = [*both[2:], run("asl", **high, **{"train.batch_size": 16})]
    still = analyse(*other, own_recipes=True)
    assert [one.apart for one in still] == [{"train.batch_size": None}, {"train.batch_size": 16}]
    (same,) = analyse(run("asl", **high), run("bce", **high))
    assert same.conclusion.endswith(SAME_RECIPE)


def test_a_setting_that_older_runs_lack_is_null():
    (comparison,) = analyse(run("asl"), run("bce", **{"train.rows": None}))
    assert {row.loss for row in comparison.rows} == {"asl", "bce"}
    assert comparison.apart == {}
    assert "limited" not in comparison.conclusion


@pytest.mark.parametrize("limit", [{"train.rows": 500}, {"train.max_minutes": 5.5}])
def test_a_limited_training_is_not_compared_with_a_full_one_and_names_its_limit(limit):
    ((key, value),) = limit.items()
    full, limited = analyse(run("bce"), run("asl", **limit))
    assert full.apart == {key: None}
    assert limited.apart == limit
    assert "limited" not in full.conclusion
    assert f"Training was limited ({key} {value}), so these are not the scores of full" in (
        limited.conclusion
    )
    (alone,) = analyse(run("asl", **limit), run("bce", **limit))  # nothing else names it then
    assert f"Training was limited ({key} {value})" in alone.conclusion


def test_versions_of_the_code_are_named_in_the_conclusion():
    (comparison,) = analyse(run("asl", code={"src/a.py": "1", "src/b.py": "1"}),
                       run("bce", code={"src/a.py": "2", "src/b.py": "1"}))  # fmt: skip
    assert "2 versions of the code, which differ in src/a.py;" in comparison.conclusion


def test_labels_have_f1_and_its_difference_and_start_with_the_most_frequent():
    runs = [run(loss, s, error=e) for loss, e in (("asl", 0.05), ("bce", 0.2)) for s in (1, 2)]
    (comparison,) = analyse(*runs)
    supports = [label.support for label in comparison.labels]
    assert supports == sorted(supports, reverse=True)
    for label in comparison.labels:
        column = "abcde".index(label.label)
        of = {e.name: macro_f1(s.decisions[:, [column]], s.targets[:, [column]]) for e, s in runs}
        asl, bce = (np.mean([of[f"{loss}-{s}"] for s in (1, 2)]) for loss in ("asl", "bce"))
        assert label.f1["asl"].value == pytest.approx(asl)
        assert label.difference["asl"].value == pytest.approx(asl - bce)
        assert label.difference["asl"].low < asl - bce < label.difference["asl"].high
        assert set(label.difference) == {"asl"}


def test_a_loss_with_two_settings_is_two_losses():
    (comparison,) = analyse(
        run("asl", settings={"clip": 0.05, "gamma_neg": 4}, name="x"),
        run("asl", 2, settings={"clip": 0.05, "gamma_neg": 2}, name="y"),
        run("bce"),
    )
    assert {row.loss for row in comparison.rows} == {
        "asl (gamma_neg 4)",
        "asl (gamma_neg 2)",
        "bce",
    }


def test_a_whole_number_is_the_same_setting_with_and_without_a_point():
    runs = [run("asl", seed, settings={"gamma_neg": x}) for seed, x in enumerate((2, 2.0, 3), 1)]
    (comparison,) = analyse(*runs)
    seeds = {row.loss: row.seeds for row in comparison.rows}
    assert seeds == {"asl (gamma_neg 2)": [1, 2], "asl (gamma_neg 3)": [3]}
    whole = run("asl", settings={"gamma_neg": 4}, **{"train.gradient_clipping": 1})
    point = run("asl", 2, settings={"gamma_neg": 4.0}, **{"train.gradient_clipping": 1.0})
    (comparison,) = analyse(whole, point, run("bce", **{"train.gradient_clipping": 1.0}))
    assert {row.loss: len(row.seeds) for row in comparison.rows} == {"asl": 2, "bce": 1}


def test_a_loss_that_once_had_fewer_settings_is_two_losses():
    old, new = run("bce", settings={"function": "bce"}, name="x"), run("bce", 2, name="y")
    runs = old, (dataclasses.replace(new[0], seed=1), new[1]), run("asl")
    (comparison,) = analyse(*runs)
    names = {row.loss for row in comparison.rows}
    assert names == {"bce (smoothing null)", "bce (smoothing 0)", "asl"}
    (comparison,) = analyse(*runs, run("asl", 2))
    assert "because it has the highest score here, which makes p too small" in comparison.conclusion
    (comparison,) = analyse(*runs, run("asl", 2), baseline="bce (smoothing null)")
    assert comparison.baseline == "bce (smoothing null)"
    assert "because it has the highest score" not in comparison.conclusion
    with pytest.raises(
        UserError, match=r"--baseline is 'bce'; choose one of: asl, bce \(smoothing 0"
    ):
        analyse(*runs, baseline="bce")


def test_runs_in_two_precisions_are_named_in_the_conclusion():
    half = dataclasses.replace(run("asl")[0], machine={"precision": "bf16"}), run("asl")[1]
    full = dataclasses.replace(run("bce")[0], machine={"precision": "fp32"}), run("bce")[1]
    (comparison,) = analyse(half, full)
    assert "trained in different precisions, bf16 and fp32; part of" in comparison.conclusion
    (comparison,) = analyse(half, run("bce"))
    assert "bf16" not in comparison.conclusion


def test_the_workspace_and_its_experiment_count_once():
    changed = run("asl", name="mine", error=0.2)
    (comparison,) = analyse(run("asl", name="workspace"), changed, run("bce"))
    assert {row.loss: row.runs for row in comparison.rows} == {
        "asl": ["workspace"],
        "bce": ["bce-1"],
    }


def test_a_paper_is_told_what_was_done():
    losses = ("asl", "bce")
    several = tables.prose(*analyse(*(run(loss, s) for loss in losses for s in (1, 2))))
    assert "with decision thresholds fitted on validation. Confidence intervals" in several
    assert "and of seeds (Student's t" in several
    assert "Holm-adjusted" in several
    one = tables.prose(*analyse(*map(run, losses), metric="average_precision"))
    assert "texts of the test split. Confidence intervals are 95% and cover the choice of" in one
    assert "(jackknife), but not that of seeds." in one
    assert "Holm" not in one.partition("not that of seeds.")[0]


def test_without_the_baseline_the_best_loss_takes_its_place():
    (comparison,) = analyse(
        *(run("a", s, error=0.2) for s in (1, 2)), *(run("b", s, error=0.05) for s in (1, 2))
    )
    assert comparison.baseline == "b"
    assert "b is the baseline because it has the highest score" in comparison.conclusion


def test_predictions_of_other_rows_are_refused():
    asl, (bce, scored) = run("asl"), run("bce")
    other = dataclasses.replace(scored, ids=[*scored.ids[:-1], "another"])
    with pytest.raises(UserError, match="bce-1 was tested on other rows than asl-1"):
        analyse(asl, (bce, other))


POINTS = [{"step": 10.0, "loss": 0.5}, {"step": 20.0, "loss": 0.25}]


def show(runs, comparisons, form):
    scored = {experiment.key: one for experiment, one in runs}
    tables.show([experiment for experiment, _ in runs], comparisons, scored, form=form)


def test_markdown_has_all_columns_and_the_terminal_leaves_four_out(capsys):
    runs = [run(x, s, error=e) for x, e in (("asl", 0.05), ("bce", 0.2)) for s in (1, 2, 3)]
    comparisons = analyse(*runs)
    show(runs, comparisons, "markdown")
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    header, _, asl, bce = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[:4])
    assert header == [
        "loss", "n", "macro-F1", "±", "95%", "vs bce", "95%", "p", "P(>)", "g", "best", "verdict",
        "min",
    ]  # fmt: skip
    row = comparisons[0].rows[0]
    better = f"{row.against.improvement.value:.2f}", f"{row.g:+.1f}", f"{row.best:.2f}"
    assert asl[8:] == [*better, "better", "2.0"]  # 60, 120 and 180 s
    assert bce[5:10] == [""] * 5
    show(runs, comparisons, "tables")
    assert not {"±", "g", "verdict", "min"} & set(capsys.readouterr().out.split())


def test_a_linear_baseline_above_every_loss_is_said_to_be_so():
    (comparison,) = analyse(*(run(loss, 1) for loss in ("asl", "bce")))
    best = comparison.rows[0].score.value
    for linear, end in ((best - 0.01, "."), (best + 0.01, ", more than every loss here.")):
        said = tables._linear(dataclasses.replace(comparison, linear=linear))
        assert said == f" TF-IDF and logistic regression reach {linear:.4f}{end}"


def test_latex_keeps_minus_signs_and_options_as_they_are(capsys):
    runs = [run(loss, seed) for loss in ("asl", "bce") for seed in (1, 2)]
    comparisons = analyse(*runs, metric="neg_log_loss")
    show(runs, comparisons, "latex")
    out = capsys.readouterr().out
    score = comparisons[0].rows[0].score
    assert score.high < 0
    assert f" & {score.low:.3f} to {score.high:.3f} & " in out
    assert "--" not in out
    written = r"\textasciigrave{}-{}-metric average\_precision\textasciigrave{}"
    assert tables._escaped("`--metric average_precision`") == written


@pytest.mark.parametrize("form", ["tables", "markdown", "latex", "json"])
def test_every_form_has_the_same_content_in_80_columns(form, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    runs = [run(loss, s) for loss in ("asl", "bce", "combined_50") for s in (1, 2, 3)]
    runs[0] = runs[0][0], dataclasses.replace(runs[0][1], training=POINTS)
    comparisons = analyse(*runs)
    show(runs, comparisons, form)
    out = capsys.readouterr().out
    row = comparisons[0].rows[0]
    if form == "json":
        content = json.loads(out)
        assert len(content["runs"]) == 9
        assert content["comparisons"][0]["rows"][0]["score"]["value"] == row.score.value
        assert content["comparisons"][0]["conclusion"] == comparisons[0].conclusion
        assert content["comparisons"][0]["linear"] == 0.25
        assert content["runs"][0]["curves"] == {"training": POINTS, "validation": []}
        assert content["runs"][1]["curves"] == {"training": [], "validation": []}
        return
    if form == "latex":
        assert out.count(r" \\") == 1 + 3
        assert r"combined\_50 & 3 & " in out
        assert "We fine-tuned minilm-l6 on goemotions with " in out
        assert r"3 seeds per loss, and scored each run by macro-F1 on the 600 texts" in out
    else:
        assert "logistic regression reach 0.2500." in " ".join(out.split())
    cells = [f"{row.score.value:.4f}", f"{row.score.low:.3f}–{row.score.high:.3f}"]
    for cell in cells if form == "tables" else [*cells, f"{row.spread:.4f}"]:
        assert cell.replace("–", "--" if form == "latex" else "–") in out
    said = "over test rows and seeds). The probability of being the best is "
    assert said in comparisons[0].conclusion
    assert said in " ".join(out.split())
    assert form != "tables" or max(map(len, out.splitlines())) <= 80
    assert "…" not in out


def test_a_run_that_another_one_replaces_is_named_where_it_differs():
    (comparison,) = analyse(run("asl"), run("bce"), run("asl", error=0.2, name="before"))
    said = "but other predictions, for example by other code: before (as asl-1)."
    assert said in comparison.conclusion
    same = dataclasses.replace(run("asl")[0], revision="again", name="again"), run("asl")[1]
    (comparison,) = analyse(run("asl"), run("bce"), same)
    assert "Left out" not in comparison.conclusion


def test_tables_name_the_settings_that_differ(capsys):
    few = [run(loss, 1, name=f"few-{loss}", **{"train.rows": 9}) for loss in ("asl", "bce")]
    runs = [run("asl", 1), run("bce", 1), *few]
    for form in ("tables", "markdown", "latex"):
        show(runs, analyse(*runs), form)
        out = capsys.readouterr().out
        assert "train.rows 9" in out
        assert form != "latex" or "test split (train.rows 9).}" in out


def test_the_table_folds_a_long_name_and_has_no_p_of_0(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = "distribution_balanced_gamma_2"
    runs = [run(loss, s) for loss in ("bce", name) for s in (1, 2, 3)]
    comparisons = analyse(*runs)
    position = next(i for i, row in enumerate(comparisons[0].rows) if row.against)
    row = comparisons[0].rows[position]
    against = dataclasses.replace(row.against, p=0.0004)
    comparisons[0].rows[position] = dataclasses.replace(row, against=against)
    show(runs, comparisons, "tables")
    out = capsys.readouterr().out
    assert "…" not in out
    assert name in "".join(line[1:].split(" ")[0] for line in out.splitlines())
    assert "<0.001" in out
    assert " 0.000 " not in out
    assert "Holm-adjusted" in out


def test_a_label_with_a_line_in_it_breaks_no_table_in_markdown(capsys):
    runs = [run(loss, s) for loss in ("bce", "asl") for s in (1, 2)]
    (comparison,) = comparisons = analyse(*runs)
    comparison.labels[0] = dataclasses.replace(comparison.labels[0], label="a|b")
    show(runs, comparisons, "markdown")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "a&#124;b" in line]
    assert line.count("|") == 5


def test_runs_with_other_labels_are_of_another_dataset():
    (first, scored), other = run("bce"), run("asl")
    renamed = dataclasses.replace(scored.labels, names=("v", "w", "x", "y", "z"))
    with pytest.raises(UserError, match="asl-1 has other labels than bce-1: it is of another data"):
        analyse((first, scored), (other[0], dataclasses.replace(other[1], labels=renamed)))


def test_labels_without_test_rows_are_left_out_and_named(monkeypatch):
    import runs

    targets = runs.TARGETS.copy()
    targets[:, 3] = False
    monkeypatch.setattr(runs, "TARGETS", targets)
    (comparison,) = analyse(run("bce", error=0.1), run("asl", error=0.1))
    assert comparison.conclusion.endswith(
        "1 label has no row in the test split and is left out of every average over labels: d."
    )
    found = {label.label: label for label in comparison.labels}
    assert found["d"].support == 0
    kept = [found[name].f1["asl"].value for name in "abce"]
    row = next(row for row in comparison.rows if row.loss == "asl")
    assert row.score.value == pytest.approx(np.mean(kept))


def test_the_next_run_is_one_line_that_can_be_copied(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    settings = {f"recipes.minilm-l6.{name}": 0.25 for name in ("head_dropout", "ema_decay")}
    runs = [run(loss, seed) for loss in ("bce", "asl") for seed in (1, 2)]
    runs = [(dataclasses.replace(e, changes_from_workspace=settings), x) for e, x in runs]
    show(runs, analyse(*runs), "tables")
    lines = capsys.readouterr().out.splitlines()
    command = lines[lines.index("The most useful next run:") + 1]
    assert command.startswith("dvc exp run --temp -n ")
    assert command.endswith("-S recipes.minilm-l6.head_dropout=0.25 -S train.seed=3")
