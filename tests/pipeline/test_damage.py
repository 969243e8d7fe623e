"""Bytes that change under DVC's feet, in the workspace and in its cache."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from test_repro import digests, ran

from conftest import make_clone
from goemotions.io import dvc_cache


@pytest.fixture(scope="module")
def whole(tmp_path_factory, first):
    """A clone with a cache of its own, whose outputs are hard links into it."""
    folder = tmp_path_factory.mktemp("damage")
    shutil.copytree(first.folder.parent / "cache", folder / "cache")
    (folder / "clone").mkdir()
    clone = make_clone(folder / "clone", folder / "cache", folder)
    clone.dvc("repro", "evaluate")
    for name in ("data/sample", "models"):
        shutil.rmtree(clone.folder / name)
    clone.dvc("checkout", "--quiet")
    return clone


@pytest.fixture
def clone(whole, tmp_path):
    """The clone and its cache, put back after the test."""
    home, parts = whole.folder.parent, ("clone", "cache")
    # In one command, which keeps the hard links between the two.
    subprocess.run(["cp", "-a", *(home / part for part in parts), tmp_path], check=True)
    yield whole
    for part in parts:
        shutil.rmtree(home / part)
    subprocess.run(["cp", "-a", *(tmp_path / part for part in parts), home], check=True)


def damage(path, how):
    """Change a file in place, with the time and mode that it had."""
    before = path.stat()
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    if how == "truncated":
        del content[-1]
    else:
        content[len(content) // 2] ^= 1
    with path.open("r+b") as file:
        file.truncate(len(content))
        file.write(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def named(clone):
    return {
        (str(difference.path), difference.in_cache)
        for difference in dvc_cache.differences(clone.folder)
    }


def test_nothing_differs_in_a_whole_pipeline(whole):
    assert named(whole) == set()
    assert list(dvc_cache.damaged(whole.folder)) == []
    place = next((whole.folder.parent / "cache/files/md5").iterdir())
    left = place / ".5uEj2SFKMXCnVApRfqHKpQ.tmp"  # by a `dvc pull` that was killed
    left.write_bytes(b"half")
    assert list(dvc_cache.damaged(whole.folder)) == []
    left.unlink()


@pytest.mark.parametrize("how", ["flipped", "truncated"])
def test_every_damaged_file_of_data_and_models_is_named(clone, how):
    outputs = [path for name in ("data", "models") for path in (clone.folder / name).rglob("*")]
    files = [path for path in outputs if path.is_file() and not path.name.startswith(".")]
    assert len(files) == 6 + 6 + 7  # of the dataset, the base model and the trained one
    for path in files:
        # Away from its link in the cache, which another test damages.
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        damage(path, how)
        assert named(clone) == {(str(path), False)}
        path.unlink()
        path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped", "truncated"])
def test_every_damaged_object_of_the_cache_is_named(clone, how):
    lock = yaml.safe_load((clone.folder / "dvc.lock").read_text())["stages"]
    outs = [out for stage in lock.values() for out in stage["outs"]]
    cache = clone.folder.parent / "cache/files/md5"
    listings = [
        cache / out["md5"][:2] / out["md5"][2:]
        for out in outs
        if out["path"].startswith(("data/", "models/"))
    ]
    files = [path for listing in listings for path in objects_of(cache, listing)]
    assert len(listings) == 3
    assert len({*files}) > 10
    for path in {*listings, *files}:
        mode, content = path.stat().st_mode, path.read_bytes()
        damage(path, how)
        found = named(clone)
        assert (str(path), True) in found
        assert list(dvc_cache.damaged(clone.folder)) == [path]
        if path not in listings:  # its link in the workspace is damaged with it
            assert any(not in_cache for _, in_cache in found)
        path.chmod(0o644)
        path.write_bytes(content)
        path.chmod(mode)
    assert named(clone) == set()


def objects_of(cache, listing):
    return [cache / e["md5"][:2] / e["md5"][2:] for e in json.loads(listing.read_text())]


def test_a_file_edited_by_hand_is_put_back_and_nothing_is_trained(clone):
    before = digests(clone.folder / "data/sample")
    path = clone.folder / "data/sample/train.jsonl"
    content = path.read_text()
    path.unlink()  # as editors do: another file of the same name
    path.write_text(content.replace("[27]", "[26]", 1))
    assert ran(clone.dvc("repro", "evaluate")) == []
    assert digests(clone.folder / "data/sample") == before


def test_a_damaged_cache_is_not_used_and_verify_says_what_mends_it(clone):
    names = [
        "data/sample/test.jsonl",
        "models/deberta-v3-tiny/model.safetensors",
        "models/trained/asl/model.safetensors",
    ]
    folders = [clone.folder / Path(name).parent for name in names]
    before = [digests(folder) for folder in folders]
    for name in names:
        damage(clone.folder / name, "flipped")  # a hard link: the object in the cache, too
    clone.params({"evaluate.bootstrap": 150})
    output = clone.dvc("repro", "evaluate", ok=False)
    damaged = "models/trained/asl is not what was written there: model.safetensors changed"
    assert f"{damaged} since; `goemotions verify --cache` says what fixes it" in output
    report = clone.goemotions("verify", "--cache", ok=False)
    for name in names:
        assert f"FAIL {name}: is not what dvc.lock records" in report
    commands = report.split("To fix it:\n")[1].splitlines()
    assert [command.split(" /")[0] for command in commands[:3]] == ["  rm -f"] * 3
    assert [command.split()[:2] for command in commands[3:]] == [["rm", "-rf"]] * 3
    clone.params({"train.seed": 8})
    output = clone.dvc("repro", "evaluate", ok=False)
    assert "models/deberta-v3-tiny is not what was written there: model.safetensors" in output
    clone.params({"train.seed": 1})
    path = f"{clone.folder / '.venv/bin'}:{clone.env['PATH']}"
    for command in commands:
        clone.run("sh", "-c", f"PATH={shlex.quote(path)}; {command}")
    clone.dvc("repro", "evaluate")
    assert [digests(folder) for folder in folders] == before
    assert clone.goemotions("verify").endswith("dvc repro\n")


def test_the_model_of_a_loss_that_is_not_selected_does_not_stop_training(clone):
    clone.params({"loss": "bce"})
    path = clone.folder / "models/trained/asl/config.json"
    path.chmod(0o644)
    path.write_text("{}")
    assert clone.goemotions("verify").endswith("Training can start: dvc repro\n")


def test_a_lock_file_that_dvc_half_wrote_is_named_by_verify(clone):
    path = clone.folder / ".dvc/tmp/rwlock"
    path.write_text('{"read": {"data/sample"')
    assert "Unable to read RWLock-file" in clone.dvc("repro", "evaluate", ok=False)
    report = clone.goemotions("verify", ok=False)
    assert report.endswith("To fix it:\n  rm -f .dvc/tmp/rwlock\n")
    path.unlink()
    clone.dvc("repro", "evaluate")


def is_evaluation_of_asl(run):
    content = run.read_text()
    return "stages/evaluate.py" in content and "models/trained/asl" in content


def test_a_run_that_dvc_did_not_get_to_record_is_named_by_verify(clone):
    runs = (clone.folder.parent / "cache/runs").glob("*/*/*")
    (run,) = (path for path in runs if is_evaluation_of_asl(path))
    run.unlink()
    (clone.folder / "dvc.lock").unlink()
    assert "join() argument must be str" in clone.dvc("repro", "evaluate", ok=False)
    report = clone.goemotions("verify", ok=False)
    assert report.endswith(f"To fix it:\n  rmdir {shlex.quote(str(run.parent))}\n")
    run.parent.rmdir()
    clone.dvc("repro", "evaluate")
