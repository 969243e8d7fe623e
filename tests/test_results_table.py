import json
from pathlib import Path

import pytest
import scipy.stats

from goemotions.errors import UserError
from tools import results_table

RUN = {
    "dataset": "goemotions",
    "model": "minilm-l6",
    "loss": "bce",
    "seed": 1,
    "macro_f1": 0.51022,
    "macro_f1_low": 0.4825,
    "macro_f1_high": 0.53267,
    "micro_f1": 0.59151,
    "seconds": 1725.3,
    "commit": "739a7b2",
}


COLUMNS = (
    "| loss | seeds | average precision on validation | on test | macro-F1 on test "
    "| 95%, seeds only | commit |"
)
RULE = "| --- | --- | --- | --- | --- | --- | --- |"


def test_each_dataset_model_and_teacher_has_a_table_of_its_losses_the_best_first():
    better = RUN | {"loss": "asl", "macro_f1": 0.5, "validation_average_precision": 0.55}
    other = RUN | {"model": "mpnet-base", "average_precision": 0.5, "teacher": "none"}
    longer = "dvc exp run -S loss=bce -S teacher=big -S recipes.minilm-l6.epochs=3"
    taught = RUN | {"teacher": "big", "command": longer}
    assert results_table.table([RUN, other, better, taught]).splitlines() == [
        "",
        "### minilm-l6 on goemotions",
        "",
        COLUMNS,
        RULE,
        "| asl | 1 | 0.5500 |  | 0.5000 |  | 739a7b2 |",
        "| bce | 1 |  |  | 0.5102 |  | 739a7b2 |",
        "",
        "### minilm-l6 on goemotions, taught by big, recipes.minilm-l6.epochs 3",
        "",
        COLUMNS,
        RULE,
        "| bce | 1 |  |  | 0.5102 |  | 739a7b2 |",
        "",
        "### mpnet-base on goemotions",
        "",
        COLUMNS,
        RULE,
        "| bce | 1 |  | 0.5000 | 0.5102 |  | 739a7b2 |",
    ]


def test_the_mean_over_seeds_has_students_interval():
    scores = [0.50, 0.53, 0.52]
    precise = {"average_precision": 0.4, "validation_average_precision": 0.6}
    runs = [
        RUN | precise | {"seed": n, "macro_f1": score, "commit": commit}
        for n, score, commit in zip((3, 1, 2), scores, ("b", "a", "b"), strict=True)
    ]
    low, high = scipy.stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    expected = f"| bce | 1, 2, 3 | 0.6000 | 0.4000 | 0.5167 | {low:.4f} to {high:.4f} | a, b |"
    assert results_table.table(runs).splitlines()[5] == expected


def test_limited_trainings_have_a_table_of_their_own():
    limited = RUN | {"protocol": {"train.rows": 500, "train.max_minutes": None}}
    full = RUN | {"seed": 2, "protocol": {"train.rows": None}}
    lines = results_table.table([RUN, limited, full]).splitlines()
    assert [line for line in lines if line.startswith("###")] == [
        "### minilm-l6 on goemotions",
        "### minilm-l6 on goemotions, limited: train.rows 500",
    ]
    assert [line.split(" | ")[1] for line in lines if line.startswith("| bce")] == ["1, 2", "1"]


def test_a_named_recipe_has_a_row_for_each_loss_and_its_settings():
    command = "dvc exp run -S loss=bce -S recipes.minilm-l6.epochs=2 -S losses.bce.smoothing=0.1"
    tries = [
        RUN | {"recipe": "search", "average_precision": 0.5, "validation_average_precision": score}
        | {"loss": loss, "command": command.replace("bce", loss) if changed else "dvc exp run"}
        | {"seed": seed}
        for loss, seed, score, changed in (
            ("bce", 1, 0.6, False),
            ("asl", 1, 0.75, False),
            ("bce", 1, 0.7, True),
            ("bce", 2, 0.9, True),
        )
    ]  # fmt: skip
    assert results_table.table(tries).splitlines() == [
        "",
        "### minilm-l6 on goemotions, search",
        "",
        f"{COLUMNS} settings |",
        f"{RULE} --- |",
        "| bce | 1, 2 | 0.8000 | 0.5000 | 0.5102 |  | 739a7b2 | epochs 2, smoothing 0.1 |",
        "| asl | 1 | 0.7500 | 0.5000 | 0.5102 |  | 739a7b2 | as in params.yaml of that commit |",
        "| bce | 1 | 0.6000 | 0.5000 | 0.5102 |  | 739a7b2 | as in params.yaml of that commit |",
    ]


def test_a_seed_that_is_there_twice_is_refused():
    with pytest.raises(UserError, match="bce with seed 1 is there twice, from different commits"):
        results_table.table([RUN, RUN | {"commit": "c4ad73b"}])


def test_only_the_text_between_the_markers_is_replaced(tmp_path):
    source, target = tmp_path / "results.json", tmp_path / "results.md"
    source.write_text(json.dumps([RUN]))
    target.write_text(f"before\n{results_table.BEGIN}\nold\n{results_table.END}\nafter\n")
    results_table.write(source, target)
    text = target.read_text()
    assert text.startswith(f"before\n{results_table.BEGIN}\n\n### minilm-l6")
    assert text.endswith(f"| 739a7b2 |\n\n{results_table.END}\nafter\n")
    assert "old" not in text


def test_a_file_without_markers_is_left_as_it_is(tmp_path):
    source, target = tmp_path / "results.json", tmp_path / "results.md"
    source.write_text("[]")
    target.write_text("prose")
    with pytest.raises(UserError, match=r"results\.md is missing the lines"):
        results_table.write(source, target)
    assert target.read_text() == "prose"


def test_the_committed_tables_are_those_of_the_committed_runs(pytestconfig, tmp_path):
    docs = pytestconfig.rootpath / "docs"
    copy = tmp_path / "results.md"
    copy.write_text((docs / "results.md").read_text())
    results_table.write(docs / "results.json", copy)
    assert copy.read_text() == (docs / "results.md").read_text()


def test_the_committed_scores_are_those_of_a_run_in_the_results():
    """So that `dvc metrics diff` has something to compare with in a fresh clone."""
    root = Path(__file__).parents[1]
    runs = json.loads((root / "docs/results.json").read_text())
    committed = json.loads((root / "metrics/evaluation.json").read_text())
    (run,) = [run for run in runs if run["macro_f1"] == committed["macro_f1"]]
    assert (run["model"], run["loss"], run["seed"]) == ("mpnet-base", "asl", 1)
    assert run["average_precision"] == committed["average_precision"]
