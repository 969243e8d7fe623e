"""The bench measures what it says, on the two-layer model; its figures are not judged here."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as bench
from benchmarks import commands, inference, machine, models, report, scaling, training
from goemotions.data import fetch, splits
from goemotions.errors import UserError
from goemotions.network import batching, short_text

pytestmark = [
    pytest.mark.filterwarnings(f"default::{kind}")
    for kind in ("DeprecationWarning", "FutureWarning", "UserWarning")
]
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("data") / "sample"
    fetch.fetch_dataset("sample", settings.datasets["sample"], folder)
    return folder / "train.jsonl"


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny, data):
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        models.trained(tiny, splits.read(data), folder)
        inference.export(folder)
    return folder


@pytest.fixture(autouse=True)
def peak(monkeypatch):
    """Not measured here; tests whose tasks run in processes of their own measure it."""
    monkeypatch.setattr(machine, "product_rate", lambda precision: 1e12)


@pytest.mark.parametrize("contender", training.CONTENDERS)
def test_every_training_counts_the_tokens_of_the_steps_that_it_times(
    tiny, data, monkeypatch, contender
):
    monkeypatch.setattr(batching, "POOL", batching.POOL)  # put back afterwards
    monkeypatch.setattr(short_text, "RECOMPUTED", short_text.RECOMPUTED)
    monkeypatch.chdir(ROOT)
    seen = []
    train = training._train
    monkeypatch.setattr(training, "_train", lambda *a: seen.append(train(*a)) or seen[-1])
    found = training.measure(contender, tiny, data, 0.0, 0)
    clock, collator, loop = seen[0]
    assert clock.steps == loop.state.global_step - 1 == 1
    lengths = collator.lengths[1]
    assert len(lengths) in (31, 32)
    assert found["tokens_per_second"] == pytest.approx(lengths.sum() / clock.seconds)
    assert found["examples_per_second"] == pytest.approx(len(lengths) / clock.seconds)
    assert found["operations_per_second"] > 0
    assert found["peak_memory_gb"] > 0.1
    longest = 128 if "128" in contender else lengths.max()
    assert found["padding"] == pytest.approx(1 - lengths.mean() / longest)


@pytest.mark.parametrize("contender", inference.CONTENDERS)
def test_every_contender_predicts_the_same_rows(trained, data, monkeypatch, contender):
    monkeypatch.chdir(ROOT)
    found = inference.measure(contender, trained, data, 64, 0)
    texts = models.some(data, 16 if "one by one" in contender else 64).texts
    tokenizer = models.tokenizer(trained)
    lengths = np.mean([len(tokenizer(text)["input_ids"]) for text in texts])
    assert found["tokens_per_second"] / found["examples_per_second"] == pytest.approx(lengths)
    assert 0 <= found["padding"] < 1
    assert (found["padding"] == 0) == ("one by one" in contender)


def test_the_exported_model_computes_what_the_folder_does(trained, data, monkeypatch):
    monkeypatch.chdir(ROOT)
    texts = models.some(data, 100).texts
    exact = inference._ours("fp32", trained)(texts)
    exported = inference._onnxruntime("model.onnx", trained)(texts)
    np.testing.assert_allclose(exported, exact, atol=1e-4)
    rounded = inference._onnxruntime("int8.onnx", trained)(texts)
    assert 0 < np.abs(rounded - exact).max() < 0.5


def test_scores_have_every_precision(trained, data):
    found = inference.scores(trained, data)
    assert list(found) == ["fp32", "bf16", "int8"]
    for score in found.values():
        assert abs(score["average_precision"] - found["fp32"]["average_precision"]) < 0.02
    assert len({score["average_precision"] for score in found.values()}) == 3


def test_the_parts_of_a_step_are_its_time_and_its_products(tiny, data, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = training.parts(tiny, data, 0.0, "fp32", 0)
    products, update = found["products with weights"], found[training.UPDATE]
    assert products["operations"] > 0
    assert products["least_seconds"] == products["operations"] / 1e12
    assert update["bytes"] > 0 == update["operations"]
    assert all(row["seconds"] > 0 for row in found.values())


def test_work_counts_the_products_that_the_first_tokens_output_needs():
    config = SimpleNamespace(hidden_size=4, intermediate_size=16, num_hidden_layers=3)
    lengths = np.array([2, 3])
    layer = 4 * 4 * 4 + 2 * 4 * 16  # four projections, and up and down
    keys_and_values = 2 * 4 * 4
    between = 2 * 4 * (2 * 2 + 3 * 3)
    expected = 2 * ((2 * layer + keys_and_values) * 5 + 2 * between)
    assert machine.operations(config, lengths) == expected


def test_contenders_take_turns_and_are_compared_by_their_medians(monkeypatch):
    asked = []

    def run(task):
        asked.append((task.contender, task.seed))
        speed = {"a": [1, 5, 3], "b": [6, 6, 90], "b, bf16": [12, 9, 12]}[task.contender][task.seed]
        return {
            "tokens_per_second": speed,
            "operations_per_second": 10 * speed,
            "product_rate": 200 if task.contender == "b, bf16" else 50 + 50 * task.seed,
        }

    monkeypatch.setattr(bench.Task, "run", run)
    names = ["a", "b", "b, bf16"]
    tasks = [bench.Task("training", name, "m", "d", 1, 0) for name in names]
    found = bench._take_turns(tasks, "a", 3)
    assert asked == [(name, seed) for seed in range(3) for name in names]
    assert [row["ratio"] for row in found.values()] == [1, 2, 4]
    assert [row["share_of_peak"] for row in found.values()] == [30 / 150, 60 / 150, 120 / 200]


def test_a_task_runs_in_a_process_of_its_own(tiny, data, monkeypatch):
    monkeypatch.chdir(ROOT)
    task = bench.Task("training", "ours", str(tiny), str(data), 0.0, 0)
    assert task.run()["tokens_per_second"] > 0
    broken = bench.Task("training", "ours", str(tiny / "missing"), str(data), 0.0, 0)
    with pytest.raises(UserError, match="training, ours failed:"):
        broken.run()


def test_each_of_the_trainings_side_by_side_is_measured(tiny, data, monkeypatch):
    monkeypatch.chdir(ROOT)
    task = {"kind": "training", "contender": "ours", "folder": str(tiny), "data": str(data)}
    one, two = commands.side_by_side(2, json.dumps(task | {"amount": 0.0, "seed": 0}))
    assert one > 0 < two
    assert one != two


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "bert"], "--models has bert; known: minilm-l6"),
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert message in done.stderr


def test_the_plot_has_a_bar_a_contender(tmp_path):
    ratios = {"a": {"ratio": 1.0}, "ours": {"ratio": 2.0}}
    report.plot({"machine": "here", "contenders": {"training, m": ratios}}, tmp_path / "plot.svg")
    svg = (tmp_path / "plot.svg").read_text()
    assert svg.count("<rect x=") == 2
    assert 'width="360.0"' in svg
    assert "training, m: ours" in svg


def test_the_documents_tables_are_those_of_the_file(tmp_path):
    found = json.loads((ROOT / "metrics/bench.json").read_text())
    text = (ROOT / "docs/performance.md").read_text()
    copy = tmp_path / "performance.md"
    start, end = text.index(report.BEGIN), text.index(report.END)
    copy.write_text(f"{text[:start]}{report.BEGIN}\nold\n{text[end:]}")
    report.write(found, copy)
    assert copy.read_text() == text
    assert f"{found['contenders']['training, minilm-l6']['ours']['ratio']:.2f}" in text


def test_a_target_says_whether_it_was_met():
    rows = {"ours": {"ratio": 2.5}, "ours, bf16": {"ratio": 2.5}}
    found = {
        "contenders": {"training, minilm-l6": rows},
        "start-up, seconds": {"goemotions --help": 0.2},
    }
    targets = {what: measured for what, _, measured in report._targets(found)}
    assert targets["training MiniLM, float32"] == "2.50"
    assert targets["training MiniLM, bf16"] == "2.50, missed"
    assert targets["`goemotions --help`, seconds"] == "0.20, missed"
    assert targets["training MPNet 12x768, bf16"] == "not measured"


def test_the_scaling_runs_to_its_end(settings, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(scaling, "TEXTS", (10, 20))
    monkeypatch.setattr(scaling, "LENGTHS", (512,))
    monkeypatch.setitem(scaling.models.FRESH, "deberta-v3-6x768", (2, 64, 4))
    found = scaling.run(settings)
    assert [list(rates) for rates in found.values()] == [[10, 20], [10, 20], [512], [512]]
    assert all(rate > 0 for rates in found.values() for rate in rates.values())
