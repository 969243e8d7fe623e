"""A trial of a sweep: what a machine that died left behind, and the versions it must have."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.config import Config

from goemotions.sweeps import trial as module
from goemotions.sweeps.trial import FailedError, Trial, remove_stale, versions

HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def leave(place, name):
    """What a trial has while it runs."""
    (place / name / "data").mkdir(parents=True)
    (place / name / "data/train.jsonl").write_text("{}\n")
    (place / f"{name}.log").write_text("$ git clone\n")
    (place / f"{name}.lock").touch()


def test_only_what_no_running_trial_holds_is_removed(tmp_path):
    leave(tmp_path, "sweep-dead")
    leave(tmp_path, "sweep-live")
    (tmp_path / "cache").mkdir()
    (tmp_path / "prepare.lock").touch()
    kept = {"cache", "prepare.lock"}
    live = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "sweep-live.lock"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with live:
        assert live.stdout.readline() == "held\n"
        remove_stale(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == kept | {"sweep-live", "sweep-live.log", "sweep-live.lock"}
        assert (tmp_path / "sweep-live/data/train.jsonl").read_text() == "{}\n"
        live.kill()
    remove_stale(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def trial(folder, **job):
    return Trial(
        {
            "name": "sweep-bce-1", "commit": "a" * 40, "settings": [], "loss": "bce", "inputs": "",
            "url": str(folder), "local": True, "folder": str(folder), "cache": "",
            "checkpoints": "", "threads": 1, "patience": 0.0, "environment": {},
            "versions": versions(), **job,
        }
    )  # fmt: skip


def test_another_version_than_where_the_sweep_was_started_is_refused_and_both_are_named(tmp_path):
    here = versions()
    trial(tmp_path).check_versions()
    for package in ("python", "torch", "dvc"):
        with pytest.raises(FailedError) as refused:
            trial(tmp_path, versions=here | {package: "0.1"}).check_versions()
        assert str(refused.value) == (
            f"{package} is {here[package]}, and 0.1 where the sweep was started: make the "
            f"environment {sys.prefix} from the same requirements.txt"
        )


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    job = trial(tmp_path).job | {"folder": str(tmp_path / "file/below")}
    process = subprocess.run(
        [sys.executable, "-P", "-c", Path(module.__file__).read_text()],
        input=json.dumps({"job": job, "check": True}) + "\n", capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    answer = json.loads(process.stdout)
    assert answer["error"].endswith(f"Not a directory: '{tmp_path}/file/below'")
    assert process.stderr == ""


def test_a_trial_of_another_version_ends_before_anything_is_cloned(tmp_path):
    other = trial(tmp_path, versions=versions() | {"transformers": "0.1"})
    for action in (other.run, other.check):
        with pytest.raises(FailedError, match=r"^transformers is \S+, and 0\.1 where"):
            action()
    assert list(tmp_path.iterdir()) == []


def test_output_that_is_not_utf_8_is_read(tmp_path):
    one = trial(tmp_path)
    one.place.mkdir(exist_ok=True)
    code = r"import sys; sys.stdout.buffer.write(b'caf\xe9')"
    assert one._call(sys.executable, "-c", code) == "caf\ufffd"


def test_a_copy_has_the_projects_own_settings_of_dvc_and_its_cache_whatever_its_path(tmp_path):
    project = tmp_path / "a project"
    project.mkdir()
    for command in (
        ["git", "init", "-q"],
        [*module.DVC, "init", "-q"],
        [*module.DVC, "config", "--local", "core.hardlink_lock", "true"],
        ["git", "-c", "user.name=a", "-c", "user.email=b", "commit", "-qm", "first"],
    ):
        subprocess.run(command, cwd=project, check=True)
    asked = ["git", "rev-parse", "HEAD"]
    commit = subprocess.check_output(asked, cwd=project, text=True).strip()
    cache = tmp_path / "disk #2, large"
    one = trial(tmp_path, url=str(project), commit=commit, cache=str(cache))
    one.clone()
    found = Config(str(one.copy / ".dvc"))
    assert found["cache"]["dir"] == str(cache)
    assert found["core"]["hardlink_lock"] is True
