import json

import pytest

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


def test_each_dataset_and_model_has_a_table_with_its_best_run_first():
    better = RUN | {"loss": "asl", "macro_f1": 0.52, "seconds": None}
    other = RUN | {"model": "deberta-v3-large"}
    assert results_table.table([RUN, better, other]).splitlines() == [
        "",
        "### minilm-l6 on goemotions",
        "",
        "| loss | seed | macro-F1 | 95% interval | micro-F1 | seconds | commit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| asl | 1 | 0.5200 | 0.4825 to 0.5327 | 0.5915 |  | 739a7b2 |",
        "| bce | 1 | 0.5102 | 0.4825 to 0.5327 | 0.5915 | 1,725 | 739a7b2 |",
        "",
        "### deberta-v3-large on goemotions",
        "",
        "| loss | seed | macro-F1 | 95% interval | micro-F1 | seconds | commit |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        "| bce | 1 | 0.5102 | 0.4825 to 0.5327 | 0.5915 | 1,725 | 739a7b2 |",
    ]


def test_limited_trainings_have_a_table_of_their_own():
    limited = RUN | {"protocol": {"train.rows": 500, "train.max_minutes": None}}
    full = RUN | {"protocol": {"train.rows": None}}
    lines = results_table.table([RUN, limited, full]).splitlines()
    assert [line for line in lines if line.startswith("###")] == [
        "### minilm-l6 on goemotions",
        "### minilm-l6 on goemotions, limited: train.rows 500",
    ]
    assert sum(line.startswith("| bce") for line in lines) == 3


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
