"""Which runs are compared, and what is concluded from them."""

import dataclasses
import json

import numpy as np
import pytest
from runs import analyse, run

from goemotions.comparison import analysis, conclusion, statistics, tables
from goemotions.errors import UserError
from goemotions.metrics import bootstrap
from goemotions.metrics.f1 import macro_f1


def test_a_much_better_loss_is_better_in_the_conclusion():
    seeds = range(1, 4)
    (comparison,) = analyse(
        *(run("asl", s, error=0.05) for s in seeds), *(run("bce", s, error=0.2) for s in seeds)
    )
    assert [row.loss for row in comparison.rows] == ["asl", "bce"]
    asl, bce = comparison.rows
    assert asl.seeds == [1, 2, 3]
    assert asl.seconds == 120
    assert asl.difference.value == pytest.approx(asl.macro_f1.value - bce.macro_f1.value)
    assert asl.p < 0.05
    assert asl.welch < 0.05
    assert asl.d > 3
    assert (bce.difference, bce.p, bce.welch, bce.d) == (None, None, None, None)
    assert comparison.conclusion == (
        "asl is better than bce (Holm-adjusted p < 0.05, over test rows and seeds)."
    )


def test_better_and_worse_losses_are_named_together():
    errors = {"bce": 0.2, "a": 0.05, "b": 0.06, "c": 0.4}
    (comparison,) = analyse(*(run(x, s, error=e) for x, e in errors.items() for s in (1, 2, 3)))
    assert comparison.conclusion == (
        "a and b are better than bce, and c is worse than bce (Holm-adjusted p < 0.05, over test "
        "rows and seeds)."
    )


def test_equal_losses_do_not_differ_and_the_seeds_to_plan_are_named():
    (comparison,) = analyse(*(run(loss, s) for loss in ("asl", "bce") for s in (1, 2, 3)))
    assert comparison.conclusion.startswith(
        "asl does not differ significantly from bce in these runs. Detecting a difference of 0.005 "
    )
    (comparison,) = analyse(*(run(loss, s) for loss in ("asl", "bce", "focal") for s in (1, 2, 3)))
    assert "focal and asl do not differ significantly" in comparison.conclusion


def test_p_values_are_holm_adjusted_over_the_table():
    runs = [run(loss, error=0.1 + i / 100) for i, loss in enumerate(("bce", "a", "b", "c"))]
    (comparison,) = analyse(*runs)
    others = [row for row in comparison.rows if row.loss != "bce"]
    first, second, third = sorted(others, key=lambda row: row.difference.p)
    expected = np.maximum.accumulate(
        [3 * first.difference.p, 2 * second.difference.p, third.difference.p]
    )
    assert [first.p, second.p, third.p] == pytest.approx(np.minimum(expected, 1))


def test_one_seed_is_too_few_in_the_conclusion():
    (comparison,) = analyse(run("asl"), run("bce"))
    assert "run at least three seeds per loss" in comparison.conclusion
    assert [row.spread for row in comparison.rows] == [None, None]
    (comparison,) = analyse(run("asl", error=0.05), run("bce", error=0.3))
    assert comparison.conclusion.startswith(
        "asl is better than bce (Holm-adjusted p < 0.05, over test rows only: the variation "
        "between seeds is unknown). One seed does not show"
    )


def test_the_seeds_to_plan_are_for_holms_first_step_and_from_losses_with_several_seeds():
    runs = [run(loss, s) for loss in ("a", "b", "bce") for s in (1, 2, 3)]
    (comparison,) = analyse(*runs, run("single"))
    from_rows = [r.difference.from_rows for r in comparison.rows if r.loss in ("a", "b")]
    spreads = [r.spread for r in comparison.rows if r.spread is not None]
    seeds = statistics.seeds_for_difference(
        0.005,
        from_rows=np.median(from_rows),
        seed_deviation=np.sqrt(np.mean(np.square(spreads))),
        level=0.05 / 3,
    )
    assert 2 < seeds < 100
    assert comparison.conclusion.endswith(
        f"0.005 with a statistical power of 0.8 takes about {seeds} seeds per loss."
    )


def test_many_seeds_are_told_from_no_number_of_seeds():
    detecting = "Detecting a difference of 0.005 with a statistical power of 0.8 takes"
    assert conclusion.seeds_for_goal(0.0001, 0.05, 0.05) == (
        f"{detecting} more than 100 seeds per loss."
    )
    assert conclusion.seeds_for_goal(0.0001, 0.0001, 0.05) == f"{detecting} about 2 seeds per loss."
    assert conclusion.seeds_for_goal(0.01, 0.001, 0.05) == (
        "On this test split no number of seeds detects a difference of 0.005 with a statistical "
        "power of 0.8; the smallest detectable difference is about 0.028."
    )


def test_runs_whose_scores_are_all_equal_have_intervals_and_json():
    same = [dataclasses.replace(run("bce")[0], name=f"x{s}", revision=f"x{s}", seed=s,
                                loss=loss) for loss in ("asl", "bce") for s in (1, 2)]  # fmt: skip
    same = [dataclasses.replace(e, name=f"{e.loss}-{e.seed}", revision=f"{e.loss}-{e.seed}")
            for e in same]  # fmt: skip
    (comparison,) = analyse(*((e, run("bce")[1]) for e in same))
    (asl,) = (row for row in comparison.rows if row.loss == "asl")
    assert (asl.difference.value, asl.difference.low, asl.difference.high, asl.p) == (0, 0, 0, 1)
    assert "asl does not differ significantly from bce" in comparison.conclusion
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


def test_a_setting_that_older_runs_lack_is_null():
    (comparison,) = analyse(run("asl"), run("bce", **{"train.rows": None}))
    assert {row.loss for row in comparison.rows} == {"asl", "bce"}
    assert comparison.apart == {}
    assert "limited" not in comparison.conclusion


@pytest.mark.parametrize("limit", [{"train.rows": 500}, {"train.max_minutes": 5.0}])
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


def test_a_label_that_a_resample_can_miss_has_an_interval_that_touches_zero():
    targets, asl, bce = (np.zeros((600, 1), dtype=bool) for _ in range(3))
    targets[:3], asl[:1] = True, True  # one loss predicts one of three rows, the other none
    f1 = bootstrap.resampled_f1([asl, bce], targets, resamples=2000, seed=0)[:, :, 0]
    sides = statistics.Runs([0.5], f1[:1]), statistics.Runs([0.0], f1[1:])
    difference = statistics.difference(*sides, percentile=True)
    assert difference.value == 0.5
    assert difference.low == 0  # more than a third of the resamples miss the row


def test_a_loss_with_two_settings_is_two_losses():
    (comparison,) = analyse(
        run("asl", settings={"clip": 0.05, "gamma_neg": 4}, name="x"),
        run("asl", settings={"clip": 0.05, "gamma_neg": 2}, name="y"),
        run("bce"),
    )
    assert {row.loss for row in comparison.rows} == {
        "asl (gamma_neg 4)",
        "asl (gamma_neg 2)",
        "bce",
    }


def test_a_loss_that_once_had_fewer_settings_is_two_losses():
    runs = run("bce", settings={"function": "bce"}, name="x"), run("bce", name="y"), run("asl")
    (comparison,) = analyse(*runs)
    names = {row.loss for row in comparison.rows}
    assert names == {"bce (smoothing null)", "bce (smoothing 0.0)", "asl"}
    assert "because it has the highest score here, which makes p too small" in comparison.conclusion
    (comparison,) = analyse(*runs, baseline="bce (smoothing null)")
    assert comparison.baseline == "bce (smoothing null)"
    assert "because it has the highest score" not in comparison.conclusion
    with pytest.raises(UserError, match=r"--baseline is 'bce'; there are asl, bce \(smoothing 0"):
        analyse(*runs, baseline="bce")


def test_runs_in_two_precisions_are_named_in_the_conclusion():
    half = dataclasses.replace(run("asl")[0], machine={"precision": "bf16"}), run("asl")[1]
    full = dataclasses.replace(run("bce")[0], machine={"precision": "fp32"}), run("bce")[1]
    (comparison,) = analyse(half, full)
    assert "trained in different precisions, bf16 and fp32; part of" in comparison.conclusion
    (comparison,) = analyse(half, run("bce"))
    assert "bf16" not in comparison.conclusion


def test_the_workspace_and_its_experiment_count_once():
    (comparison,) = analyse(run("asl", name="workspace"), run("asl", name="mine"), run("bce"))
    assert [len(row.seeds) for row in comparison.rows] == [1, 1]


def test_without_the_baseline_the_best_loss_takes_its_place():
    (comparison,) = analyse(run("a", error=0.2), run("b", error=0.05))
    assert comparison.baseline == "b"
    assert "b is the baseline because it has the highest score" in comparison.conclusion


def test_predictions_of_other_rows_are_refused():
    asl, (bce, scored) = run("asl"), run("bce")
    other = dataclasses.replace(scored, ids=[*scored.ids[:-1], "another"])
    with pytest.raises(UserError, match="bce-1 was tested on other rows than asl-1"):
        analyse(asl, (bce, other))


@pytest.mark.parametrize("form", ["tables", "markdown", "json"])
def test_every_form_has_the_same_content_in_80_columns(form, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    runs = [run(loss, s) for loss in ("asl", "bce", "combined_50") for s in (1, 2, 3)]
    comparisons = analyse(*runs)
    tables.show([experiment for experiment, _ in runs], comparisons, form=form)
    out = capsys.readouterr().out
    row = comparisons[0].rows[0]
    if form == "json":
        content = json.loads(out)
        assert len(content["runs"]) == 9
        assert content["comparisons"][0]["rows"][0]["macro_f1"]["value"] == row.macro_f1.value
        assert content["comparisons"][0]["conclusion"] == comparisons[0].conclusion
        assert content["comparisons"][0]["linear"] == 0.25
        return
    assert "logistic regression reach 0.2500." in " ".join(out.split())
    for cell in (
        f"{row.macro_f1.value:.4f}",
        f"{row.spread:.4f}",
        f"{row.macro_f1.low:.3f}–{row.macro_f1.high:.3f}",
    ):
        assert cell in out
    assert comparisons[0].conclusion.split(".")[0] in " ".join(out.split())
    assert form == "markdown" or max(map(len, out.splitlines())) <= 80
    assert "…" not in out


def test_the_table_folds_a_long_name_and_has_no_p_of_0(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = "distribution_balanced_gamma_2"
    runs = [run(loss, s) for loss in ("bce", name) for s in (1, 2, 3)]
    comparisons = analyse(*runs)
    comparisons[0].rows[0] = dataclasses.replace(comparisons[0].rows[0], p=0.0004)
    tables.show([experiment for experiment, _ in runs], comparisons, form="tables")
    out = capsys.readouterr().out
    assert "…" not in out
    assert name in "".join(line[1:].split(" ")[0] for line in out.splitlines())
    assert "<0.001" in out
    assert " 0.000 " not in out
    assert "Holm-adjusted" in out


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
    assert row.macro_f1.value == pytest.approx(np.mean(kept))
