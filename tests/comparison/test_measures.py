"""Scores of runs and what each row adds, against leaving the row out and scikit-learn."""

import dataclasses

import numpy as np
import pytest
from runs import run
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, log_loss

from goemotions.comparison import measures
from goemotions.comparison.predictions import Scored
from goemotions.data.labels import Labels
from goemotions.errors import UserError
from goemotions.metrics import bootstrap

NAMES = ("a", "b", "c", "d")
LABELS = Labels(NAMES, "multi_label", {"half": {"x": ("a", "b"), "y": ("c", "d")}})
SINGLE = dataclasses.replace(LABELS, task="single_label")


def scored(*, single=False, rows=60, seed=0, decimals=1):
    """With ties among the logits; every label has a row."""
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, 4)) < 0.2
    targets[0] = True
    if single:
        targets = np.eye(4, dtype=bool)[rng.integers(4, size=rows)]
    logits = (rng.normal(size=(rows, 4)) + 2 * targets - 1).round(decimals)
    thresholds = None if single else np.zeros(4)
    ids = [str(row) for row in range(rows)]
    return Scored(ids, SINGLE if single else LABELS, targets, logits, thresholds)


def without(one, row):
    return dataclasses.replace(
        one,
        ids=one.ids[:row] + one.ids[row + 1 :],
        targets=np.delete(one.targets, row, axis=0),
        logits=np.delete(one.logits, row, axis=0),
    )


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_what_a_row_adds_is_told_by_leaving_it_out(single, seed):
    one = scored(single=single, seed=seed)
    for name in measures.names(one.labels):
        found = measures.measure(name, one)
        left = [measures.measure(name, without(one, row)).value for row in range(60)]
        assert found.moves == pytest.approx(59 * (found.value - np.array(left)), abs=1e-9), name


def test_the_scores_are_scikit_learns():
    one = scored()
    targets, decisions = one.targets, one.logits >= 0
    chances = 1 / (1 + np.exp(-one.logits))

    def value(name):
        return measures.measure(name, one).value

    for average in ("macro", "micro", "weighted"):
        assert value(f"{average}_f1") == pytest.approx(
            f1_score(targets, decisions, average=average)
        )
    for label, name in enumerate(NAMES):
        assert value(f"f1_{name}") == pytest.approx(
            f1_score(targets[:, label], decisions[:, label])
        )
    assert value("average_precision") == pytest.approx(
        average_precision_score(targets, one.logits, average="macro")
    )
    assert value("neg_log_loss") == pytest.approx(
        -np.mean([log_loss(targets[:, label], chances[:, label]) for label in range(4)])
    )
    halves = [np.stack([m[:, :2].any(1), m[:, 2:].any(1)], axis=1) for m in (targets, decisions)]
    assert value("macro_f1_half") == pytest.approx(f1_score(*halves, average="macro"))


def test_the_scores_of_single_label_data_are_scikit_learns():
    one = scored(single=True, decimals=6)
    shares = np.exp(one.logits) / np.exp(one.logits).sum(1, keepdims=True)
    actual, chosen = one.targets.argmax(1), one.logits.argmax(1)
    assert measures.measure("accuracy", one).value == accuracy_score(actual, chosen)
    assert measures.measure("neg_log_loss", one).value == pytest.approx(-log_loss(actual, shares))
    assert measures.measure("average_precision", one).value == pytest.approx(
        average_precision_score(one.targets, shares, average="macro")
    )
    assert "accuracy" not in measures.names(LABELS)


def test_the_standard_error_agrees_with_the_bootstraps_where_labels_are_rare():
    rng = np.random.default_rng(0)
    targets = rng.random((5000, 12)) < np.geomspace(0.002, 0.3, 12)
    decisions = rng.normal(size=targets.shape) + 2.2 * targets > 1.4
    found = measures.macro_f1(decisions, targets)
    error = found.moves.std(ddof=1) / np.sqrt(5000)
    drawn = bootstrap.resampled(decisions, targets, resamples=3000, seed=0)
    assert error == pytest.approx(drawn.std(), rel=0.06)


def test_rows_without_any_label_score_0_and_move_nothing():
    one = dataclasses.replace(scored(), targets=np.zeros((60, 4), dtype=bool))
    for name in ("macro_f1", "micro_f1", "weighted_f1", "average_precision"):
        found = measures.measure(name, one)
        assert found.value == 0
        assert not found.moves.any()
    with pytest.raises(UserError, match="'f1_a', and no row of the test split has that label"):
        measures.measure("f1_a", one)


def test_an_unknown_measure_is_refused_with_those_that_there_are():
    with pytest.raises(
        UserError, match=r"--metric is 'f1'; choose one of: macro_f1, micro_f1, .* f1_d$"
    ):
        measures.measure("f1", scored())


@pytest.mark.parametrize("written", [0.95, float("nan"), 0.0])
def test_an_evaluation_that_the_predictions_contradict_is_named_and_does_not_count(written):
    experiment, one = run("asl")
    right = measures.corrected(experiment, one)[0]
    assert measures.corrected(right, one) == (right, "")
    wrong = dataclasses.replace(right, macro_f1=written)
    found, said = measures.corrected(wrong, one)
    assert found.macro_f1 == right.macro_f1
    assert found.macro_f1_low < found.macro_f1 < found.macro_f1_high
    assert said == (
        f"metrics/evaluation.json of asl-1 has {written:.4f} for macro_f1, but its predictions "
        f"give {right.macro_f1:.4f}, which is what counts here; `dvc exp run` writes the file "
        "again."
    )
    workspace = dataclasses.replace(wrong, name="workspace", revision=None)
    assert "; `dvc repro evaluate` writes" in measures.corrected(workspace, one)[1]
