"""File systems on which DVC or the stages cannot do what they do elsewhere."""

import errno
import os
import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from test_repro import digests, ran

from goemotions.io.digests import sha256

OUTPUTS = ("data/sample", "models/deberta-v3-tiny", "models/trained/asl")


@pytest.fixture(scope="module")
def other_disk():
    """A folder on another disk than the tests', where there is one."""
    place = Path("/dev/shm")
    usable = os.access(place, os.W_OK)
    with TemporaryDirectory(dir=place if usable else None) as folder:
        yield Path(folder)


def verify(clone, *, ok):
    """What `goemotions verify` says, by the clone's own code, and the commands it ends with."""
    clone.env["PYTHONPATH"] = str(clone.folder / "src")
    report = clone.goemotions("verify", ok=ok)
    return report, report.partition("To fix it:\n")[2].splitlines()


def follow(clone, commands):
    """Run commands as a user with the environment active does."""
    path = f"{clone.folder / '.venv/bin'}:{clone.env['PATH']}"
    for command in commands:
        clone.run("sh", "-c", f"PATH={shlex.quote(path)}; {command}")


def assert_same_outputs(one, other):
    for name in OUTPUTS:
        assert digests(one / name) == digests(other / name)
    for name in ("evaluation.json", "baseline.json", "predictions.parquet"):
        assert sha256(one / "metrics" / name) == sha256(other / "metrics" / name)


def test_the_pipeline_makes_the_same_where_the_file_system_can_do_little(
    first, new_clone, tmp_path, file_system
):
    little = new_clone("little", tmp_path / "cache of its own")
    little.env |= file_system(
        fsync_of_folders=errno.EINVAL,
        fsync_of_read_only=errno.EACCES,
        flock=errno.ENOSYS,
        exchange=errno.EINVAL,
    )
    assert "Unable to acquire lock" in little.dvc("repro", "evaluate", ok=False)
    report, commands = verify(little, ok=False)
    assert "FAIL .dvc/tmp/lock: this file system has no flock" in report
    follow(little, commands[:1])
    output = little.dvc("repro")
    stages = {"fetch_dataset", "cache_model", "train@asl", "evaluate", "baseline"}
    assert set(ran(output)) == stages
    assert_same_outputs(little.folder, first.folder)
    assert verify(little, ok=True)[1] == []


def test_links_to_a_larger_disk_are_named_with_what_does_the_same(new_clone, tmp_path, other_disk):
    clone = new_clone("a clone", tmp_path / "none")
    (clone.folder / ".dvc/config.local").unlink()
    clone.dvc("repro", "fetch_dataset", "cache_model")  # what DVC knows is not made again
    before = {name: digests(clone.folder / name) for name in OUTPUTS[:2]}
    places = ("data", "models", "metrics", "export")
    for name in places:
        clone.run("mv", name, str(other_disk / name))
        (clone.folder / name).symlink_to(other_disk / name)
    output = clone.dvc("repro", "train", ok=False)
    assert f"error: data is a link to {other_disk / 'data'}, outside the project" in output
    report, commands = verify(clone, ok=False)
    for name in places:
        assert f"FAIL {name}: is a link to {other_disk / name}, outside the project" in report
    follow(clone, commands)
    assert ran(clone.dvc("repro", "train")) == ["train@asl"]
    assert {name: digests(clone.folder / name) for name in OUTPUTS[:2]} == before
    assert not (clone.folder / ".dvc/cache").exists()
    for name in OUTPUTS:
        assert not (clone.folder / name).is_symlink()
    for path in (clone.folder / "models").rglob("*.safetensors"):
        assert path.resolve().is_relative_to(other_disk)
    assert (clone.folder / "metrics/baseline.json").is_file()
    assert verify(clone, ok=True)[1] == []
