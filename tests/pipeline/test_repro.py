"""`dvc repro` makes what is missing or stale, and nothing else."""

import json
import re
import shutil
from pathlib import Path

import pytest

from goemotions.io.digests import sha256


def ran(output: str) -> list[str]:
    """The stages whose commands ran."""
    return re.findall(r"Running stage '([^']+)'", output)


def digests(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


def test_what_is_made_is_not_made_again(made):
    again = made.dvc("repro")
    assert ran(again) == []
    assert "Data and pipelines are up to date." in again
    assert "Data and pipelines are up to date." in made.dvc("status")


def test_repro_makes_every_output(first):
    outputs = {
        "data/sample": {
            "train.jsonl", "val.jsonl", "test.jsonl", "labels.json", "metadata.json", "README.md",
        },
        "models/deberta-v3-tiny": {
            "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            "spm.model", "manifest.json",
        },
        "models/trained/asl": {
            "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            "spm.model", "thresholds.json", "manifest.json",
        },
        "metrics/training/asl": {"training.csv", "validation.csv", "summary.json"},
    }  # fmt: skip
    for folder, names in outputs.items():
        assert {path.name for path in (first.folder / folder).iterdir()} == names
    # `make bench` writes bench.json and bench.svg there, which git tracks.
    made = {path.name for path in (first.folder / "metrics").iterdir() if path.stem != "bench"}
    assert made == {
        "evaluation.json", "baseline.json", "predictions.parquet", "per_label.csv",
        "precision_recall.csv", "confusion.csv", "training",
    }  # fmt: skip
    scores = json.loads((first.folder / "metrics/evaluation.json").read_text())
    assert list(scores)[:3] == ["macro_f1", "macro_f1_low", "macro_f1_high"]
    assert 0 < scores["macro_f1_low"] <= scores["macro_f1"] <= scores["macro_f1_high"] < 1


@pytest.mark.parametrize("lost", ["models/deberta-v3-tiny", "models/deberta-v3-tiny/spm.model"])
def test_a_missing_model_is_noticed_and_restored_from_the_cache(made, lost):
    before = digests(made.folder / "models/deberta-v3-tiny")
    path = made.folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    status = made.dvc("status")
    assert "models/deberta-v3-tiny" in status
    assert "deleted" in status or "modified" in status
    assert ran(made.dvc("repro")) == []
    assert digests(made.folder / "models/deberta-v3-tiny") == before


def test_a_missing_model_that_no_cache_holds_is_made_again(made, tmp_path):
    before = digests(made.folder / "models/deberta-v3-tiny")
    made.dvc("cache", "dir", "--local", str(tmp_path / "empty"))
    shutil.rmtree(made.folder / "models/deberta-v3-tiny")
    assert ran(made.dvc("repro", "cache_model")) == ["cache_model"]
    assert digests(made.folder / "models/deberta-v3-tiny") == before


def test_only_the_loss_whose_setting_changed_is_trained(made):
    made.params({"losses.bce.smoothing": 0.1, "losses.combined_50.ratio": 0.6})
    assert ran(made.dvc("repro")) == []
    made.params({"losses.asl.gamma_neg": 3})
    assert ran(made.dvc("repro")) == ["train@asl", "evaluate"]


def test_only_evaluate_runs_after_an_edit_of_evaluation_code(made):
    code = made.folder / "src/goemotions/evaluation/score.py"
    code.write_text(code.read_text() + "\n# a comment\n")
    assert ran(made.dvc("repro")) == ["evaluate"]


def test_both_losses_stay_in_the_lock(made):
    made.params({"loss": "bce"})
    assert ran(made.dvc("repro")) == []  # the shared cache has it
    lock = (made.folder / "dvc.lock").read_text()
    assert "train@asl:" in lock
    assert "train@bce:" in lock
    made.params({"loss": "asl"})
    assert ran(made.dvc("repro")) == []
