"""The bench measures what it says, on the two-layer model; its figures are not judged here."""

from types import SimpleNamespace

import numpy as np
import pytest

from goemotions import bench
from goemotions.dataset import fetch

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory, settings):
    folder = tmp_path_factory.mktemp("data") / "sample"
    fetch.fetch("sample", settings.datasets["sample"], folder)
    return folder / "train.jsonl"


@pytest.mark.parametrize(
    ("kind", "contender"),
    [("training", c) for c in bench.TRAINING] + [("inference", c) for c in bench.INFERENCE],
)
def test_every_contender_runs_on_the_same_rows(tiny, data, monkeypatch, kind, contender):
    monkeypatch.setattr(bench.batching, "POOL", bench.batching.POOL)  # put back afterwards
    monkeypatch.chdir(bench.Path(__file__).parents[1])
    found = bench._measure(bench.Task(kind, contender, str(tiny), str(data), 64))
    lengths = found["tokens_per_second"] / found["examples_per_second"]
    assert lengths == pytest.approx(reference_length(tiny, data))
    assert 0 < found["share_of_peak"] < 1
    assert found["peak_memory_gb"] > 0.1
    assert 0 <= found["padding"] < 1
    if contender == "Trainer, to 128":
        assert found["padding"] == pytest.approx(1 - lengths / 128)
    if contender == "pipeline, 1":
        assert found["padding"] == 0


def reference_length(folder, data):
    from transformers import AutoTokenizer

    from goemotions.dataset import splits

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
    assert bench._work(config, lengths) == expected


def test_the_plot_has_a_bar_a_contender(tmp_path):
    report = {
        "machine": "here",
        "training, m": {"a": {"ratio": 1.0}, "ours": {"ratio": 2.0}},
        "scaling": {"rows/s": {10: 5.0}},
    }
    bench._plot(report, tmp_path / "plot.svg")
    svg = (tmp_path / "plot.svg").read_text()
    assert svg.count("<rect x=") == 2
    assert 'width="400.0"' in svg
    assert "training, m: ours" in svg
