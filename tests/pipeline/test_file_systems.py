"""File systems on which DVC or the stages cannot do what they do elsewhere."""

import errno
import shlex

import pytest
from test_repro import digests, ran

pytestmark = pytest.mark.xdist_group("pipeline")

OUTPUTS = ("data/sample", "models/deberta-v3-tiny", "models/trained/asl")


def verify(clone, *, ok):
    """What `goemotions verify` says, by the clone's own code, and the commands it ends with."""
    clone.env["PYTHONPATH"] = str(clone.folder / "src")
    report = clone.run(str(clone.folder / ".venv/bin/goemotions"), "verify", ok=ok).stdout
    return report, report.partition("What mends it:\n")[2].splitlines()


def follow(clone, commands):
    """Run commands as a user with the environment active does."""
    path = f"{clone.folder / '.venv/bin'}:{clone.env['PATH']}"
    for command in commands:
        clone.run("sh", "-c", f"PATH={shlex.quote(path)}; {command}")


def test_the_pipeline_makes_the_same_where_the_file_system_can_do_little(
    clone, new_clone, tmp_path, file_system
):
    clone.dvc("repro", "evaluate")
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
    output = little.dvc("repro", "evaluate")
    assert ran(output) == ["fetch_dataset", "cache_model", "train@asl", "evaluate"]
    for name in OUTPUTS:
        assert digests(little.folder / name) == digests(clone.folder / name)
    scores = "metrics/evaluation.json"
    assert (little.folder / scores).read_text() == (clone.folder / scores).read_text()
    assert verify(little, ok=True)[1] == []
