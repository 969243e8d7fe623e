"""Which files git or DVC tracks, in a real repository."""

import os
import subprocess
from pathlib import Path

from goemotions.io.project import pulled_by
from goemotions.io.tracked import untracked


def test_a_tracked_name_that_is_not_utf_8_is_no_obstacle(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert untracked([Path("new.csv")]) == []  # there is no repository
    for name in (b"caf\xe9.csv", b"known.csv", b"large.csv.dvc", b"folder.dvc"):
        Path(os.fsdecode(name)).touch()
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "."], check=True)
    files = [Path(name) for name in ("new.csv", "known.csv", "large.csv", "folder/inside.csv")]
    assert untracked(files) == [Path("new.csv")]
    pulls = ["dvc pull large.csv", "dvc pull folder/inside.csv"]
    assert list(map(pulled_by, files)) == [None, None, *pulls]
