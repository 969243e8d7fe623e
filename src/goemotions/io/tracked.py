"""Which files git or DVC tracks."""

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path


def untracked(files: Iterable[Path]) -> list[Path]:
    """The files that neither git nor DVC tracks; none where there is no git repository.

    `dvc exp run --temp` and queued experiments leave such files out without a word, and whoever
    clones the project does not have them.

    Args:
        files: relative to the working directory.
    """
    if not shutil.which("git"):
        return []
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607 - the user's git
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    if listed.returncode:  # in no git repository, as with core.no_scm
        return []
    tracked = set(listed.stdout.split("\0"))
    return [
        file
        for file in files
        # DVC tracks a file by a .dvc file beside it, or beside a folder that it is in.
        if tracked.isdisjoint([str(file), *(f"{path}.dvc" for path in (file, *file.parents))])
    ]
