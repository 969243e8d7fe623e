"""What a dvc.lock says was run, whatever params.yaml says now."""

import copy

import pytest
import yaml
from dvc.utils.serialize import dumps_yaml

from goemotions.comparison import experiments
from goemotions.comparison.experiments import recorded
from goemotions.errors import UserError
from goemotions.io.dvc_cache import digest_in, parsed

EVALUATE = {"thresholds": "global", "bootstrap": 1000, "seed": 0}
LOCK = {
    "stages": {
        "train@asl": {
            "deps": [
                {"path": "data/sample/train.jsonl", "md5": "d1"},
                {"path": "models/tiny", "md5": "m1.dir"},
                {"path": "src/goemotions/training", "md5": "s1.dir"},
            ],
            "params": {
                "params.yaml": {
                    "model": "tiny",
                    "dataset": "sample",
                    "train": {"seed": 7, "batch_size": 32},
                    "recipes.tiny": {"epochs": 4},
                    "losses.asl": {"function": "asl", "clip": 0.05},
                }
            },
            "outs": [{"path": "models/trained/asl", "md5": "t1.dir"}],
        },
        "evaluate": {
            "deps": [
                {"path": "data/sample", "md5": "d.dir"},
                {"path": "models/trained/asl", "md5": "t1.dir"},
            ],
            "params": {"params.yaml": {"loss": "asl", "dataset": "sample", "evaluate": EVALUATE}},
            "outs": [{"path": "metrics/evaluation.json", "md5": "e1"}],
        },
        "baseline": {
            "deps": [{"path": "data/sample", "md5": "d.dir"}],
            "params": {"params.yaml": {"dataset": "sample", "evaluate": EVALUATE}},
        },
    }
}


def changed(path, value):
    lock = copy.deepcopy(LOCK)
    place = lock["stages"]
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return recorded(yaml.safe_dump(lock))


def test_what_was_run_is_read_from_the_lock():
    assert recorded(yaml.safe_dump(LOCK)) == {
        "dataset": "sample",
        "model": "tiny",
        "loss": "asl",
        "seed": 7,
        "protocol": {
            "model": "tiny",
            "dataset": "sample",
            "train.batch_size": 32,
            "recipes.tiny.epochs": 4,
            "evaluate.thresholds": "global",
            "evaluate.bootstrap": 1000,
            "evaluate.seed": 0,
            "data/sample/train.jsonl": "d1",
            "models/tiny": "m1.dir",
        },
        "settings": {"function": "asl", "clip": 0.05},
        "code": {"src/goemotions/training": "s1.dir"},
        "tested": "d.dir",
        "sources": {},
        "has_baseline": True,
    }


def test_the_settings_of_the_data_and_the_base_model_are_those_of_the_stages_that_made_them():
    fetched = {
        "params": {"params.yaml": {"dataset": "sample", "datasets.sample": {"rows": {"val": 9}}}},
        "outs": [{"path": "data/sample", "md5": "d.dir"}],
    }
    cached = {
        "params": {"params.yaml": {"model": "tiny", "models.tiny": {"hidden_size": 16}}},
        "outs": [{"path": "models/tiny", "md5": "m1.dir"}],
    }
    lock = copy.deepcopy(LOCK)
    lock["stages"] |= {"fetch_dataset": fetched, "cache_model": cached}
    sources = {"dataset": "sample", "datasets.sample.rows.val": 9}
    found = recorded(yaml.safe_dump(lock))["sources"]
    assert found == sources | {"model": "tiny", "models.tiny.hidden_size": 16}
    cached["outs"][0]["md5"] = "m2.dir"  # of another base model than the training had
    assert recorded(yaml.safe_dump(lock))["sources"] == sources


def test_what_dvc_writes_is_read_as_it_is():
    numbers = [1e-5, 2e-05, 5e-324, 1e16, -0.5, 1.0, 0, -7, float("inf"), True, False, None]
    texts = ["1e-05", "no", "yes", "on", "null", "~", "", "true", "1.5", "7", "0o17", "2020-01-01"]
    written = {"numbers": numbers, "texts": texts, "keys": {"no": 1, "y": 2}}
    assert parsed(dumps_yaml(written)) == written
    assert [type(one) for one in parsed(dumps_yaml(written))["numbers"]] == [*map(type, numbers)]


def test_an_evaluation_of_another_training_is_no_run():
    assert changed(["train@asl", "outs", 0, "md5"], "t2.dir") is None


def test_an_evaluation_on_another_dataset_is_no_run():
    assert changed(["evaluate", "params", "params.yaml", "dataset"], "goemotions") is None


@pytest.mark.parametrize(
    "path", [["train@asl", "deps"], ["train@asl", "params", "params.yaml", "train"]]
)
def test_the_lock_of_another_pipeline_has_no_run(path):
    lock = copy.deepcopy(LOCK)
    place = lock["stages"]
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    assert recorded(yaml.safe_dump(lock)) is None


@pytest.mark.parametrize("lock", [None, "", "schema: '2.0'", yaml.safe_dump({"stages": {}})])
def test_without_an_evaluation_there_is_no_run(lock):
    assert recorded(lock) is None


def test_a_baseline_on_other_data_is_not_the_runs():
    run = changed(["baseline", "params", "params.yaml", "dataset"], "goemotions")
    assert run["has_baseline"] is False
    assert changed(["baseline", "deps", 0, "md5"], "e.dir")["has_baseline"] is False


def test_the_test_split_is_found_by_the_folders_digest_in_the_cache(tmp_path):
    listing = tmp_path / "d1" / "23.dir"
    listing.parent.mkdir()
    listing.write_text(
        '[{"md5": "a", "relpath": "README.md"}, {"md5": "b", "relpath": "test.jsonl"}]'
    )
    assert digest_in(tmp_path, "d123.dir", "test.jsonl") == "b"
    assert digest_in(tmp_path, "d123.dir", "other") is None
    assert digest_in(tmp_path, "d124.dir", "test.jsonl") is None


@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("metrics/evaluation.json", "`git checkout metrics/evaluation.json` brings the recorded"),
        (
            "metrics/training/asl/summary.json",
            "`dvc checkout metrics/training/asl/summary.json` brings the recorded",
        ),
    ],
)
def test_a_damaged_file_of_the_workspace_is_restored_by_what_keeps_it(path, remedy):
    with (
        pytest.raises(UserError, match=remedy),
        experiments._readable(path, experiments.WORKSPACE),
    ):
        raise ValueError("no JSON")
