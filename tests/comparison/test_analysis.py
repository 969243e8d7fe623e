"""Which runs are compared, and what is said of them."""

import dataclasses
import json

import numpy as np
import pytest
from runs import analyse, run

from goemotions.comparison import analysis, statistics, tables
from goemotions.errors import UserError
from goemotions.metrics import bootstrap
from goemotions.metrics.f1 import macro_f1


def test_a_much_better_loss_is_said_to_be_better():
    seeds = range(1, 4)
    (found,) = analyse(
        *(run("asl", s, error=0.05) for s in seeds), *(run("bce", s, error=0.2) for s in seeds)
    )
    assert [row.loss for row in found.rows] == ["asl", "bce"]
    asl, bce = found.rows
    assert asl.seeds == [1, 2, 3]
    assert asl.seconds == 120
    assert asl.difference.value == pytest.approx(asl.macro_f1.value - bce.macro_f1.value)
    assert asl.p < 0.05
    assert asl.welch < 0.05
    assert asl.d > 3
    assert (bce.difference, bce.p, bce.welch, bce.d) == (None, None, None, None)
    assert found.conclusion == (
        "asl is better than bce, beyond the noise of rows and seeds (Holm's p < 0.05)."
    )


def test_equal_losses_cannot_be_told_apart_and_seeds_have_a_price():
    (found,) = analyse(*(run(loss, s) for loss in ("asl", "bce") for s in (1, 2, 3)))
    assert found.conclusion.startswith("asl and bce cannot be told apart with these runs. ")
    assert "difference of 0.005" in found.conclusion


def test_p_values_are_holms_over_the_table():
    runs = [run(loss, error=0.1 + i / 100) for i, loss in enumerate(("bce", "a", "b", "c"))]
    (found,) = analyse(*runs)
    others = [row for row in found.rows if row.loss != "bce"]
    raw = sorted(row.difference.p for row in others)
    assert min(row.p for row in others) == pytest.approx(min(1, 3 * raw[0]))


def test_one_seed_is_said_to_be_too_few():
    (found,) = analyse(run("asl"), run("bce"))
    assert "A loss with one seed says nothing of what another seed would have given" in (
        found.conclusion
    )
    assert [row.spread for row in found.rows] == [None, None]
    (found,) = analyse(run("asl", error=0.05), run("bce", error=0.3))
    assert found.conclusion.startswith(
        "asl is better than bce, beyond the noise of rows, but that of seeds is not seen (Holm's"
    )


def test_the_price_is_that_of_holms_level_and_of_differences_whose_seeds_are_seen():
    runs = [run(loss, s) for loss in ("a", "b", "bce") for s in (1, 2, 3)]
    (found,) = analyse(*runs, run("single"))
    seen = [r.difference.from_rows for r in found.rows if r.loss in ("a", "b")]
    spreads = [r.spread for r in found.rows if r.spread is not None]
    needed = statistics.seeds_needed(
        0.005,
        from_rows=np.median(seen),
        seed_deviation=np.sqrt(np.mean(np.square(spreads))),
        level=0.05 / 3,
    )
    assert 2 < needed < 100
    assert found.conclusion.endswith(f"0.005 about {needed} seeds a loss would be needed.")


def test_a_hundred_seeds_are_not_called_impossible():
    said = analysis._price(0.0001, [0.05], 0.05)
    assert said == "To see a difference of 0.005 more than 100 seeds a loss would be needed."
    assert analysis._price(0.0001, [0.0001], 0.05) == (
        "To see a difference of 0.005 about 2 seeds a loss would be needed."
    )
    assert analysis._price(0.01, [0.001], 0.05).endswith("it can show is about 0.028.")


def test_runs_whose_scores_are_all_equal_have_intervals_and_json():
    same = [dataclasses.replace(run("bce")[0], name=f"x{s}", revision=f"x{s}", seed=s,
                                loss=loss) for loss in ("asl", "bce") for s in (1, 2)]  # fmt: skip
    same = [dataclasses.replace(e, name=f"{e.loss}-{e.seed}", revision=f"{e.loss}-{e.seed}")
            for e in same]  # fmt: skip
    (found,) = analyse(*((e, run("bce")[1]) for e in same))
    (asl,) = (row for row in found.rows if row.loss == "asl")
    assert (asl.difference.value, asl.difference.low, asl.difference.high, asl.p) == (0, 0, 0, 1)
    assert "asl and bce cannot be told apart" in found.conclusion
    json.dumps(dataclasses.asdict(found), allow_nan=False)


def test_runs_with_other_settings_are_not_compared_and_the_setting_is_named():
    first, second = analyse(
        run("asl", **{"train.batch_size": 32}), run("bce", **{"train.batch_size": 16})
    )
    assert [row.loss for row in first.rows] == ["asl"]
    assert first.apart == {"train.batch_size": 32}
    assert second.apart == {"train.batch_size": 16}
    assert first.conclusion == "One loss alone: there is nothing to compare it with."


def test_what_parts_groups_is_named_and_digests_only_where_nothing_else_does():
    batch = [run("asl", **{"train.batch_size": 32}), run("bce", **{"train.batch_size": 16})]
    said = analysis.parted_by(analyse(*batch))
    assert said.endswith("2 groups, which are not compared with each other: they differ in "
                         "train.batch_size.")  # fmt: skip
    other = dataclasses.replace(run("bce")[0], model="deberta", protocol={"model": "deberta"})
    with_model = [run("asl"), (other, run("bce")[1])]
    assert analysis.parted_by(analyse(*with_model)).endswith("they differ in model.")
    path = "data/goemotions/train.jsonl"
    data = [run("asl", **{path: "1"}), run("bce", **{path: "2"})]
    assert analysis.parted_by(analyse(*data)).endswith(f"they differ in {path}.")
    assert analysis.parted_by(analyse(run("asl"), run("bce"))) == ""


def test_other_code_is_named_in_the_conclusion():
    (found,) = analyse(run("asl", code={"src/a.py": "1", "src/b.py": "1"}),
                       run("bce", code={"src/a.py": "2", "src/b.py": "1"}))  # fmt: skip
    assert "2 versions of the code, which differ in src/a.py;" in found.conclusion


def test_labels_have_f1_and_its_difference_the_most_frequent_first():
    runs = [run(loss, s, error=e) for loss, e in (("asl", 0.05), ("bce", 0.2)) for s in (1, 2)]
    (found,) = analyse(*runs)
    supports = [label.support for label in found.labels]
    assert supports == sorted(supports, reverse=True)
    for label in found.labels:
        column = "abcde".index(label.label)
        of = {e.name: macro_f1(s.decisions[:, [column]], s.targets[:, [column]]) for e, s in runs}
        asl, bce = (np.mean([of[f"{loss}-{s}"] for s in (1, 2)]) for loss in ("asl", "bce"))
        assert label.f1["asl"].value == pytest.approx(asl)
        assert label.difference["asl"].value == pytest.approx(asl - bce)
        assert label.difference["asl"].low < asl - bce < label.difference["asl"].high
        assert set(label.difference) == {"asl"}


def test_a_label_that_a_draw_can_miss_has_an_interval_that_touches_zero():
    targets, asl, bce = (np.zeros((600, 1), dtype=bool) for _ in range(3))
    targets[:3], asl[:1] = True, True  # one of three is found by one loss, none by the other
    drawn = bootstrap.resampled_f1([asl, bce], targets, resamples=2000, seed=0)[:, :, 0]
    sides = statistics.Runs([0.5], drawn[:1]), statistics.Runs([0.0], drawn[1:])
    found = statistics.difference(*sides, skewed=True)
    assert found.value == 0.5
    assert found.low == 0  # more than a third of the draws miss the row


def test_a_loss_with_two_settings_is_two_losses():
    (found,) = analyse(
        run("asl", settings={"clip": 0.05, "gamma_neg": 4}, name="x"),
        run("asl", settings={"clip": 0.05, "gamma_neg": 2}, name="y"),
        run("bce"),
    )
    assert {row.loss for row in found.rows} == {"asl (gamma_neg 4)", "asl (gamma_neg 2)", "bce"}


def test_a_loss_whose_settings_had_fewer_keys_once_is_two_losses():
    runs = run("bce", settings={"function": "bce"}, name="x"), run("bce", name="y"), run("asl")
    (found,) = analyse(*runs)
    names = {row.loss for row in found.rows}
    assert names == {"bce (smoothing None)", "bce (smoothing 0.0)", "asl"}
    assert "because it scored best here, which makes p too small" in found.conclusion
    (found,) = analyse(*runs, baseline="bce (smoothing None)")
    assert found.baseline == "bce (smoothing None)"
    assert "because it scored best" not in found.conclusion
    with pytest.raises(UserError, match=r"--baseline is 'bce'; there are asl, bce \(smoothing 0"):
        analyse(*runs, baseline="bce")


def test_runs_in_two_precisions_are_said_to_be():
    half = dataclasses.replace(run("asl")[0], machine={"precision": "bf16"}), run("asl")[1]
    full = dataclasses.replace(run("bce")[0], machine={"precision": "fp32"}), run("bce")[1]
    (found,) = analyse(half, full)
    assert "Some were trained in bf16 and fp32; that, too, is part of" in found.conclusion
    (found,) = analyse(half, run("bce"))
    assert "bf16" not in found.conclusion


def test_the_workspace_and_its_experiment_count_once():
    (found,) = analyse(run("asl", name="workspace"), run("asl", name="mine"), run("bce"))
    assert [len(row.seeds) for row in found.rows] == [1, 1]


def test_without_the_baseline_the_best_loss_takes_its_place():
    (found,) = analyse(run("a", error=0.2), run("b", error=0.05))
    assert found.baseline == "b"
    assert "b is what the others are compared with because it scored best" in found.conclusion


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
