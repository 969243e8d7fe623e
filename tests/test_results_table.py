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


SUMMARY = "| loss | runs | macro-F1 | 95% interval | average precision | on validation |"
COLUMNS = (
    "| loss | seed | macro-F1 | 95% interval | micro-F1 | average precision | on validation "
    "| seconds | commit |"
)


def test_a_try_whose_summary_is_missing_is_the_last_one():
    tries = [
        RUN | {"recipe": "settings drawn by `goemotions tune`", "average_precision": 0.5}
        | {"validation_average_precision": found, "command": f"dvc exp run -S losses.bce.x={n}"}
        for n, found in enumerate((None, 0.51, 0.52))
    ]  # fmt: skip
    rows = results_table.table(tries).splitlines()[-3:]
    assert [row.split(" | ")[1] for row in rows] == ["0.5200", "0.5100", ""]


def test_each_dataset_model_and_teacher_has_its_losses_and_its_runs_the_best_first():
    better = RUN | {"loss": "asl", "macro_f1": 0.52, "seconds": None}
    other = RUN | {"model": "mpnet-base", "average_precision": 0.5, "teacher": "none"}
    longer = "dvc exp run -S loss=bce -S teacher=big -S recipes.minilm-l6.epochs=3"
    taught = RUN | {"teacher": "big", "command": longer}
    assert results_table.table([RUN, better, other, taught]).splitlines() == [
        "",
        "### minilm-l6 on goemotions",
        "",
        SUMMARY,
        "| --- | --- | --- | --- | --- | --- |",
        "| asl | 1 | 0.5200 |  |  |  |",
        "| bce | 1 | 0.5102 |  |  |  |",
        "",
        COLUMNS,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| asl | 1 | 0.5200 | 0.4825 to 0.5327 | 0.5915 |  |  |  | 739a7b2 |",
        "| bce | 1 | 0.5102 | 0.4825 to 0.5327 | 0.5915 |  |  | 1,725 | 739a7b2 |",
        "",
        "### mpnet-base on goemotions",
        "",
        SUMMARY,
        "| --- | --- | --- | --- | --- | --- |",
        "| bce | 1 | 0.5102 |  | 0.5000 |  |",
        "",
        COLUMNS,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| bce | 1 | 0.5102 | 0.4825 to 0.5327 | 0.5915 | 0.5000 |  | 1,725 | 739a7b2 |",
        "",
        "### minilm-l6 on goemotions, taught by big, recipes.minilm-l6.epochs 3",
        "",
        SUMMARY,
        "| --- | --- | --- | --- | --- | --- |",
        "| bce | 1 | 0.5102 |  |  |  |",
        "",
        COLUMNS,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| bce | 1 | 0.5102 | 0.4825 to 0.5327 | 0.5915 |  |  | 1,725 | 739a7b2 |",
    ]


def test_the_mean_over_seeds_has_students_interval():
    scores = [0.50, 0.53, 0.52]
    precise = {"average_precision": 0.4, "validation_average_precision": 0.6}
    runs = [RUN | precise | {"seed": n, "macro_f1": score} for n, score in enumerate(scores)]
    low, high = scipy.stats.ttest_1samp(scores, 0).confidence_interval(0.95)
    expected = f"| bce | 3 | 0.5167 | {low:.4f} to {high:.4f} | 0.4000 | 0.6000 |"
    assert results_table.table(runs).splitlines()[5] == expected


def test_limited_trainings_have_a_table_of_their_own():
    limited = RUN | {"protocol": {"train.rows": 500, "train.max_minutes": None}}
    full = RUN | {"protocol": {"train.rows": None}}
    lines = results_table.table([RUN, limited, full]).splitlines()
    assert [line for line in lines if line.startswith("###")] == [
        "### minilm-l6 on goemotions",
        "### minilm-l6 on goemotions, limited: train.rows 500",
    ]
    assert sum(line.startswith("| bce") for line in lines) == 3 + 2


def test_a_search_is_a_row_for_each_try_and_what_it_found_has_its_settings():
    found = {"recipe": "own settings", "average_precision": 0.5}
    command = "dvc exp run -S loss=bce -S recipes.minilm-l6.epochs=2 -S losses.bce.smoothing=0.1"
    tries = [
        RUN | {"recipe": "search", "average_precision": 0.5, "validation_average_precision": score}
        | {"loss": loss, "command": command.replace("bce", loss) if changed else "dvc exp run"}
        for loss, score, changed in (("bce", 0.6, False), ("asl", 0.7, False), ("bce", 0.8, True))
    ]  # fmt: skip
    assert results_table.table([*tries, RUN | found | {"command": command}]).splitlines() == [
        "",
        "### minilm-l6 on goemotions, search",
        "",
        "| loss | on validation | average precision | macro-F1 | settings |",
        "| --- | --- | --- | --- | --- |",
        "| bce | 0.8000 | 0.5000 | 0.5102 | epochs 2, smoothing 0.1 |",
        "| bce | 0.6000 | 0.5000 | 0.5102 | as in params.yaml of that commit |",
        "| asl | 0.7000 | 0.5000 | 0.5102 | as in params.yaml of that commit |",
        "",
        "### minilm-l6 on goemotions, own settings",
        "",
        f"{SUMMARY} settings |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| bce | 1 | 0.5102 |  | 0.5000 |  | epochs 2, smoothing 0.1 |",
        "",
        COLUMNS,
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        "| bce | 1 | 0.5102 | 0.4825 to 0.5327 | 0.5915 | 0.5000 |  | 1,725 | 739a7b2 |",
    ]


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
