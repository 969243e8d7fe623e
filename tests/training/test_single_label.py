"""Data where each row has exactly one label: training, evaluation, prediction and the baseline."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch

import single_label
from goemotions import config
from goemotions.commands import predict
from goemotions.comparison import predictions
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.evaluation import score
from goemotions.evaluation.baseline import evaluate_baseline
from goemotions.evaluation.trained import Classifier
from goemotions.metrics.f1 import macro_f1
from goemotions.network.classifier import build_classifier
from goemotions.training import fit
from tests.small import settings

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")
SINGLE = ["cross_entropy", "label_smoothed", "softmax_focal"]


@pytest.fixture(scope="module")
def trained(inputs, tmp_path_factory):
    """A project with single-label data, a training and its evaluation; not to be changed."""
    folder = tmp_path_factory.mktemp("single")
    shutil.copytree(inputs, folder, dirs_exist_ok=True)
    params = config.parse(settings(epochs=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        single_label.make(params.data_folder)
        fit.train(params, "cross_entropy")
        folder_of = params.trained_folder("cross_entropy")
        score.evaluate(params.data_folder, folder_of, folder / "metrics", params.evaluate)
    return folder


@pytest.fixture
def params(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return config.parse(settings())


def test_the_folder_says_so_and_has_no_thresholds(trained, params):
    folder = params.trained_folder("cross_entropy")
    config_json = json.loads((folder / "config.json").read_text())
    assert config_json["problem_type"] == "single_label_classification"
    saved = json.loads((folder / "thresholds.json").read_text())
    assert saved == {
        "preferred": None, "max_length": 64, "short_text": True, "limits": {}, "methods": {},
    }  # fmt: skip


def test_the_validation_score_is_that_of_the_highest_logit(trained, params):
    classifier = Classifier.load(params.trained_folder("cross_entropy"))
    val = splits.read(params.data_folder / "val.jsonl")
    decided = np.eye(28, dtype=bool)[classifier.logits(val.texts).argmax(1)]
    summary = json.loads((trained / "metrics/training/cross_entropy/summary.json").read_text())
    assert summary["validation_macro_f1"] == pytest.approx(macro_f1(decided, val.targets))


def test_the_evaluation_decides_by_the_highest_logit(trained, params):
    classifier = Classifier.load(params.trained_folder("cross_entropy"))
    test = splits.read(params.data_folder / "test.jsonl")
    logits = classifier.logits(test.texts)
    chosen, actual = logits.argmax(1), test.targets.argmax(1)
    scores = json.loads((trained / "metrics/evaluation.json").read_text())
    assert scores["accuracy"] == pytest.approx((chosen == actual).mean())
    assert scores["accuracy"] == pytest.approx(scores["micro_f1"])
    assert {"macro_f1_tone", "average_precision"} <= set(scores)
    assert "macro_f1_at_05" not in scores
    with (trained / "metrics/confusion.csv").open() as file:
        pairs = [(row["actual"], row["predicted"]) for row in csv.DictReader(file)]
    names = test.labels.names
    assert pairs == [(names[a], names[c]) for a, c in zip(actual, chosen, strict=True)]
    with (trained / "metrics/per_label.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == list(names)
    assert {row["threshold"] for row in rows} == {""}


def test_the_comparison_reads_the_labels_of_the_run(trained, params):
    read = predictions.parse((trained / "metrics/predictions.parquet").read_bytes(), "run")
    labels = splits.read(params.data_folder / "test.jsonl").labels
    assert read.labels == labels
    assert read.thresholds is None
    scores = json.loads((trained / "metrics/evaluation.json").read_text())
    assert macro_f1(read.decisions, read.targets) == scores["macro_f1"]


def test_a_prediction_is_one_label_with_its_probability(trained, params, capsys):
    folder = params.trained_folder("cross_entropy")
    texts = ["thank you so much", ""]
    predict.run(texts, None, None, folder)
    classifier = Classifier.load(folder)
    shares = torch.softmax(torch.from_numpy(classifier.logits(texts)).double(), 1)
    expected = [
        f"{text or '(empty text)'}\n  {classifier.labels[int(row.argmax())]} {row.max():.3f}\n"
        for text, row in zip(texts, shares, strict=True)
    ]
    assert capsys.readouterr().out == "".join(expected)
    with pytest.raises(UserError, match=r"--thresholds is 'calibrated', and .* exactly one label"):
        predict.run(texts, None, None, folder, method="calibrated")


def test_the_baseline_decides_by_the_highest_logit(trained, params, tmp_path):
    scores = evaluate_baseline(params.data_folder, tmp_path / "baseline.json", params.evaluate)
    assert 0.1 < scores["accuracy"] == pytest.approx(scores["micro_f1"])
    assert list(scores)[:3] == ["macro_f1", "macro_f1_low", "macro_f1_high"]


def test_a_baseline_bears_labels_that_no_training_row_or_every_one_has(tmp_path, params):
    rows = [splits.Row(str(n), f"text {n % 3} again", [0, 2][: 1 + n % 2]) for n in range(12)]
    labels = splits.Labels(("always", "never", "odd"))
    parts = dict.fromkeys(splits.SPLITS, splits.encode(rows))
    splits.write(tmp_path, parts, dict.fromkeys(splits.SPLITS, 12), labels)
    scores = evaluate_baseline(tmp_path, tmp_path / "baseline.json", params.evaluate)
    assert scores["labels_without_test_rows"] == 1
    assert scores["macro_f1"] > 0.5


@pytest.mark.parametrize("loss", ["bce", "asl"])
def test_a_loss_for_multi_label_data_is_refused(trained, params, loss):
    expected = (
        f"losses.{loss} is for multi-label data; sample is single-label: choose one of: "
        + ", ".join(SINGLE)
    )
    with pytest.raises(UserError) as refused:
        fit.train(params, loss)
    assert str(refused.value) == expected


def test_a_loss_for_single_label_data_is_refused_for_multi_label_data(workspace):
    expected = r"losses\.cross_entropy is for single-label data; sample is multi-label: choose one"
    with pytest.raises(UserError, match=expected + " of: bce, asl, .*soft_f1$"):
        fit.train(config.parse(settings()), "cross_entropy")


def test_other_labels_than_the_trainings_are_refused(trained, params, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(params.data_folder, folder)
    names = splits.read(folder / "test.jsonl").labels.names
    single_label.make(folder, names=names[::-1])
    with pytest.raises(UserError, match="was trained for other labels than"):
        score.evaluate(
            folder, params.trained_folder("cross_entropy"), tmp_path / "m", params.evaluate
        )


def test_the_classifier_starts_at_the_frequencies_of_the_labels(trained, params):
    train = splits.read(params.data_folder / "train.jsonl")
    model = build_classifier(params.model_folder, params.recipes["deberta-v3-tiny"], train)
    shares = torch.softmax(model.classifier.bias.detach().double(), 0)
    counts = train.targets.sum(0) + 1
    assert shares.numpy() == pytest.approx(counts / counts.sum(), abs=1e-6)
