"""What `evaluate` refuses, and what it leaves where it ends half way."""

import errno
from functools import partial

import pytest

from goemotions import config
from goemotions.errors import UserError
from goemotions.evaluation import score


def flipped(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def evaluate(project):
    settings = config.load()
    trained = settings.trained_folder("bce")
    return partial(
        score.evaluate, settings.data_folder, trained, project / "metrics", settings.evaluate
    )


@pytest.mark.parametrize("at", ["per_label", "confusion"])
def test_a_disk_that_fills_up_leaves_the_old_tables(project, evaluate, monkeypatch, at):
    evaluate()
    folder = project / "metrics"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert {path.name for path in before} >= {
        "predictions.parquet", "per_label.csv", "precision_recall.csv", "confusion.csv",
        "evaluation.json",
    }  # fmt: skip
    write = score.write_csv

    def full(path, *content):
        if path.stem == at:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, *content)

    monkeypatch.setattr(score, "write_csv", full)
    with pytest.raises(OSError, match="No space left"):
        evaluate()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.parametrize("name", ["model.safetensors", "thresholds.json", "tokenizer.json"])
def test_a_trained_folder_that_changed_is_not_used(project, evaluate, name):
    flipped(project / "models/trained/bce" / name)
    with pytest.raises(UserError, match=f"bce is not what was written there: {name} changed"):
        evaluate()


def test_a_split_that_changed_is_not_used(project, evaluate):
    path = project / "data/sample/test.jsonl"
    path.write_text(path.read_text().replace("[27]", "[26]", 1))
    with pytest.raises(UserError, match=r"is not what was written there: test\.jsonl change"):
        evaluate()
