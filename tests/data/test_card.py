"""data/<dataset> is a dataset for whoever has `datasets`, and its rows are ours."""

import json

import datasets
import pytest
import yaml

from goemotions.config.dataset_settings import GeneratedDataset
from goemotions.data import card
from goemotions.data.fetch import fetch_dataset
from goemotions.data.labels import Labels
from goemotions.data.sample import LABELS


@pytest.fixture(autouse=True)
def silenced():
    datasets.disable_progress_bars()


def load(folder, tmp_path):
    return datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))


def rows(folder, split):
    content = (folder / f"{split}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in content.split("\n")[:-1]]


def assert_loads(folder, tmp_path, counts):
    loaded = load(folder, tmp_path)
    assert loaded.num_rows == counts
    for split, written in (("train", "train"), ("validation", "val"), ("test", "test")):
        features = loaded[split].features
        assert features["id"] == features["text"] == datasets.Value("string")
        assert features["labels"].feature.names == list(LABELS)
        assert loaded[split].to_list() == rows(folder, written)


def test_the_sample_loads_with_its_splits_and_label_names(settings, tmp_path):
    fetch_dataset("sample", settings.datasets["sample"], tmp_path / "sample")
    counts = settings.datasets["sample"].rows
    expected = {"train": counts["train"], "validation": counts["val"], "test": counts["test"]}
    assert_loads(tmp_path / "sample", tmp_path, expected)


def test_the_real_goemotions_loads_with_its_splits_and_label_names(settings, real_mirror, tmp_path):
    fetch_dataset("goemotions", settings.datasets["goemotions"], tmp_path / "goemotions")
    expected = {"train": 43410, "validation": 5426, "test": 5427}
    assert_loads(tmp_path / "goemotions", tmp_path, expected)


def test_texts_that_look_like_something_else_stay_texts(tmp_path):
    """Without the features in README.md, `datasets` would guess other types."""
    entry = GeneratedDataset(source="generated", seed=0, rows={"train": 1, "val": 1, "test": 1})
    fetch_dataset("sample", entry, tmp_path / "sample")
    texts = ("007", "null", "[1]", "1e5", "a\u2028b\u0085")
    made = [{"id": str(n), "text": text, "labels": [0]} for n, text in enumerate(texts)]
    lines = "".join(json.dumps(row) + "\n" for row in made)
    (tmp_path / "sample" / "train.jsonl").write_text(lines)
    assert load(tmp_path / "sample", tmp_path)["train"].to_list() == made


def header(name, entry):
    text = card.dataset_card(name, entry, Labels(LABELS))
    assert text.startswith("---\n")
    return yaml.safe_load(text.split("---\n")[1])


def test_only_goemotions_has_goemotions_licence(settings):
    real = settings.datasets["goemotions"]
    assert header("goemotions", real)["license"] == "apache-2.0"
    assert "license" not in header("other", real.model_copy(update={"repo": "somebody/else"}))
    assert "license" not in header("sample", settings.datasets["sample"])


def test_the_origin_is_named(settings):
    real = settings.datasets["goemotions"]
    assert f"google-research-datasets/go_emotions on the Hugging Face Hub at {real.revision}" in (
        card.dataset_card("goemotions", real, Labels(LABELS))
    )
    assert "Generated sentences" in card.dataset_card(
        "sample", settings.datasets["sample"], Labels(LABELS)
    )
