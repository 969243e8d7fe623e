"""Which files git or DVC tracks."""

from collections.abc import Iterable
from pathlib import Path

from goemotions.io.preflight import git
from goemotions.io.project import dvc_files


def untracked(files: Iterable[Path]) -> list[Path]:
    """The files that neither git nor DVC tracks; none where there is no git repository.

    `dvc exp run --temp` and queued experiments leave such files out without a word, and whoever
    clones the project does not have them.

    Args:
        files: relative to the working directory.
    """
    listed = git(Path(), "ls-files", "-z")
    if listed.returncode:  # no git, or no git repository, as with core.no_scm
        return []
    tracked = set(listed.stdout.split("\0"))
    return [file for file in files if tracked.isdisjoint([str(file), *dvc_files(file)])]
