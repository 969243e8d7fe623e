"""The bench measures what it says, on the two-layer model; its figures are not judged here."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import contenders, report, scaling
from goemotions.data import fetch
from goemotions.network import batching

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("data") / "sample"
    fetch.fetch("sample", settings.datasets["sample"], folder)
    return folder / "train.jsonl"


@pytest.mark.parametrize(
    ("kind", "contender"),
    [
        *(("training", contender) for contender in contenders.TRAINING),
        *(("inference", contender) for contender in contenders.INFERENCE),
    ],
)
def test_every_contender_runs_on_the_same_rows(tiny, data, monkeypatch, kind, contender):
    monkeypatch.setattr(batching, "POOL", batching.POOL)  # put back afterwards
    monkeypatch.chdir(Path(__file__).parents[1])
    found = contenders.measure(contenders.Task(kind, contender, str(tiny), str(data), 64))
    lengths = found["tokens_per_second"] / found["examples_per_second"]
    assert lengths == pytest.approx(reference_length(tiny, data))
    assert 0 < found["flops"] < found["peak_flops"]
    assert found["peak_memory_gb"] > 0.1
    assert 0 <= found["padding"] < 1
    if contender == "Trainer, to 128":
        assert found["padding"] == pytest.approx(1 - lengths / 128)
    if contender == "pipeline, 1":
        assert found["padding"] == 0


def reference_length(folder, data):
    from transformers import AutoTokenizer

    from goemotions.data import splits

    texts = splits.read(data).texts
    chosen = np.random.default_rng(0).permutation(len(texts))[:64]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return np.mean([len(tokenizer(texts[row])["input_ids"]) for row in chosen])


def test_work_counts_the_products_that_the_first_tokens_output_needs():
    config = SimpleNamespace(hidden_size=4, intermediate_size=16, num_hidden_layers=3)
    lengths = np.array([2, 3])
    layer = 4 * 4 * 4 + 2 * 4 * 16  # four projections, and up and down
    keys_and_values = 2 * 4 * 4
    between = 2 * 4 * (2 * 2 + 3 * 3)
    expected = 2 * ((2 * layer + keys_and_values) * 5 + 2 * between)
    assert contenders.work(config, lengths) == expected


def test_the_plot_has_a_bar_a_contender(tmp_path):
    ratios = {"a": {"ratio": 1.0}, "ours": {"ratio": 2.0}}
    report.plot({"machine": "here", "contenders": {"training, m": ratios}}, tmp_path / "plot.svg")
    svg = (tmp_path / "plot.svg").read_text()
    assert svg.count("<rect x=") == 2
    assert 'width="360.0"' in svg
    assert "training, m: ours" in svg


def test_the_scaling_runs_to_its_end(settings, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    monkeypatch.setattr(scaling, "ROWS", (32, 64))
    monkeypatch.setattr(scaling, "TEXTS", (10, 20))
    monkeypatch.setattr(scaling, "LENGTHS", (512,))
    monkeypatch.setitem(scaling.models.FRESH, "deberta-v3-6x768", (2, 64, 4))
    found = scaling.run(settings)
    assert [list(rates) for rates in found.values()] == [[32, 64], [10, 20], [10, 20], [512], [512]]
    assert all(rate > 0 for rates in found.values() for rate in rates.values())
