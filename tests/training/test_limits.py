"""A training that is small on purpose: on fewer rows, or for a few minutes."""

import json

import numpy as np
import pytest

from goemotions import config
from goemotions.data import splits
from goemotions.errors import UserError
from goemotions.evaluation import score
from goemotions.io.digests import sha256
from goemotions.training import fit, losses
from tests.small import launch, settings

pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning")


def limited(**limits):
    raw = settings()
    raw["train"].update(limits)
    return raw


def summary(workspace):
    return json.loads((workspace / "metrics/training/bce/summary.json").read_text())


def evaluation(workspace, params):
    trained = params.trained_folder("bce")
    score.evaluate(params.data_folder, trained, workspace / "metrics", params.evaluate)
    return json.loads((workspace / "metrics/evaluation.json").read_text())


def test_limited_rows_are_what_the_model_sees_and_what_the_results_say(
    workspace, monkeypatch, capfd
):
    given, build, build_classifier = {}, losses.build, fit.build_classifier

    def spy_loss(entry, class_counts):
        given["counts"] = class_counts
        return build(entry, class_counts)

    def spy_classifier(folder, recipe, train):
        given["targets"] = train.targets
        return build_classifier(folder, recipe, train)

    monkeypatch.setattr(losses, "build", spy_loss)
    monkeypatch.setattr(fit, "build_classifier", spy_classifier)
    params = config.parse(limited(rows=50))
    fit.train(params, "bce")
    assert "with bce on only 50 of 160 rows of sample: 2 epoch(s)" in capfd.readouterr().out
    assert given["targets"].shape == (50, 28)
    assert given["counts"].tolist() == [*given["targets"].sum(0), 50]
    assert summary(workspace)["limited_rows"] == 50
    assert summary(workspace)["steps"] == 2 * 2
    scores = evaluation(workspace, params)
    assert scores["limited_rows"] == 50
    assert "limited_minutes" not in scores


def test_without_limits_the_results_name_none(workspace, capfd):
    params = config.parse(settings(epochs=1))
    fit.train(params, "bce")
    assert "on 160 rows of sample: 1 epoch(s), 1 process" in capfd.readouterr().out
    for result in (summary(workspace), evaluation(workspace, params)):
        assert not [key for key in result if "limited" in key]


def test_fewer_rows_are_a_part_of_more_whatever_the_seed_and_in_their_order(workspace):
    whole = splits.read(workspace / "data/sample/train.jsonl")
    chosen = {}
    for seed, rows in ((1, 30), (2, 30), (1, 80), (1, 160)):
        split = fit._limited(whole, config.parse(limited(seed=seed, rows=rows)))
        places = [whole.ids.index(one) for one in split.ids]
        assert places == sorted(set(places))
        assert split.texts == [whole.texts[place] for place in places]
        assert np.array_equal(split.targets, whole.targets[places])
        chosen[seed, rows] = places
    assert len(chosen[1, 30]) == 30
    assert chosen[1, 30] == chosen[2, 30]
    assert set(chosen[1, 30]) < set(chosen[1, 80]) < set(chosen[1, 160])
    assert chosen[1, 30] != list(range(30))
    assert chosen[1, 160] == list(range(160))


def test_more_rows_than_there_are_is_an_error(workspace):
    message = r"train\.rows is 161; data/sample has 160 training rows: ask for at most 160, or give"
    with pytest.raises(UserError, match=message):
        fit.train(config.parse(limited(rows=161)), "bce")


def test_a_time_limit_ends_the_training_with_the_epoch(workspace, capfd):
    params = config.parse(limited(max_minutes=1e-6))
    fit.train(params, "bce")
    assert "2 epoch(s), none started after 1e-06 minute(s), 1 process" in capfd.readouterr().out
    validation = (workspace / "metrics/training/bce/validation.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in validation[1:]] == [["5", "1.0"]]
    assert summary(workspace)["limited_minutes"] == 1e-6
    assert summary(workspace)["steps"] == 5
    assert evaluation(workspace, params)["limited_minutes"] == 1e-6


def test_a_time_limit_that_is_not_reached_changes_nothing_but_is_recorded(workspace):
    weights = []
    for minutes in (None, 1e6):
        fit.train(config.parse(limited(max_minutes=minutes)), "bce")
        weights.append(sha256(workspace / "models/trained/bce/model.safetensors"))
    assert weights[0] == weights[1]
    assert summary(workspace)["limited_minutes"] == 1e6


def test_two_processes_stop_after_the_same_epoch(workspace, tmp_path):
    two = ("torch.distributed.run", "--nproc_per_node=2")
    process = launch(workspace, limited(max_minutes=1e-6), *two, HF_HOME=str(tmp_path))
    _, error = process.communicate(timeout=200)
    assert process.returncode == 0, error
    assert summary(workspace)["processes"] == 2
    assert summary(workspace)["steps"] == 5
