"""What `evaluate` refuses, what its settings change, and what is left where it ends half way."""

import csv
import errno
import io
import json
from functools import partial

import numpy as np
import pytest
from pyarrow import parquet

from goemotions import config
from goemotions.comparison import predictions
from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.errors import UserError
from goemotions.evaluation import score
from goemotions.evaluation.trained import Classifier


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


def test_predictions_have_every_row_of_validation_and_test_with_its_logits(project, evaluate):
    evaluate()
    table = parquet.read_table(project / "metrics/predictions.parquet").to_pydict()
    read = splits.load(project / "data/sample", "val", "test")
    ids = [(name, one) for name, split in read.items() for one in split.ids]
    assert list(zip(table["split"], table["id"], strict=True)) == ids
    texts = [text for split in read.values() for text in split.texts]
    logits = Classifier.load(project / "models/trained/bce").logits(texts)
    assert np.array(table["logits"]) == pytest.approx(logits, abs=1e-5)


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


def test_labels_without_test_rows_are_counted_and_named(project, evaluate, capsys):
    folder = project / "data/sample"
    read = {name: splits.read(folder / f"{name}.jsonl") for name in splits.SPLITS}
    labels = read["test"].labels
    contents = {}
    for name, split in read.items():
        rows = zip(split.ids, split.texts, split.targets, strict=True)
        contents[name] = splits.encode(
            splits.Row(id, text, np.flatnonzero(target[:-2]).tolist()) for id, text, target in rows
        )  # of all labels but the last two, so some rows have none
    splits.write(folder, contents, {name: len(split.ids) for name, split in read.items()}, labels)
    targets = splits.read(folder / "test.jsonl").targets
    missing = [labels.names[column] for column in np.flatnonzero(~targets.any(0))]
    assert set(labels.names[-2:]) <= set(missing)
    assert not targets.any(1).all()
    assert evaluate()["labels_without_test_rows"] == len(missing)
    said = capsys.readouterr().out
    assert said.startswith(f"{len(missing)} labels have no row in the test split")
    assert said.rstrip().endswith(f"{', '.join(missing)}.")
    with (project / "metrics/per_label.csv").open() as file:
        support = {row["label"]: (row["support"], row["f1"]) for row in csv.DictReader(file)}
    assert support[labels.names[-1]] == ("0", "0.0")


def test_predictions_carry_the_labels_and_others_are_no_predictions(project, evaluate):
    evaluate()
    written = (project / "metrics/predictions.parquet").read_bytes()
    labels = Labels.read(project / "data/sample")
    assert predictions.parse(written, "run").labels == labels
    other = io.BytesIO()
    parquet.write_table(parquet.read_table(io.BytesIO(written)).replace_schema_metadata(), other)
    with pytest.raises(UserError, match=r"the predictions of run are damaged .* run it again"):
        predictions.parse(other.getvalue(), "run")


@pytest.fixture
def evaluated(project):
    """Evaluates with changed settings; the scores, and the threshold of each label."""
    settings = config.load()
    folders = settings.data_folder, settings.trained_folder("bce"), project / "metrics"

    def evaluated(**changes):
        scores = score.evaluate(*folders, settings.evaluate.model_copy(update=changes))
        with (project / "metrics/per_label.csv").open() as file:
            return scores, {row["label"]: float(row["threshold"]) for row in csv.DictReader(file)}

    return evaluated


def test_the_thresholds_that_decide_are_those_of_the_setting(project, evaluated):
    content = json.loads((project / "models/trained/bce/thresholds.json").read_text())
    fitted = {name: method["probabilities"] for name, method in content["methods"].items()}
    assert len(set(fitted["global"].values())) == 1
    for method in ("global", "per_label", "calibrated", "cross_validated"):
        expected = fitted[content["preferred"] if method == "cross_validated" else method]
        assert evaluated(thresholds=method, bootstrap=100)[1] == pytest.approx(expected)


def test_the_draws_and_their_seed_determine_the_interval(evaluated):
    def interval(draws, seed):
        scores, _ = evaluated(bootstrap=draws, seed=seed)
        return scores["macro_f1_low"], scores["macro_f1_high"]

    first = interval(100, 0)
    assert interval(100, 0) == first
    assert interval(150, 0) != first
    assert interval(100, 1) != first
