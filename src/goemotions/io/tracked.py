"""Which files git or DVC tracks."""

import shlex
from collections.abc import Iterable
from pathlib import Path

from goemotions.io.preflight import git


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
    return [file for file in files if tracked.isdisjoint([str(file), *_dvc_files(file)])]


def pulled_by(file: Path) -> str | None:
    """The command that brings a missing file from the DVC remote; None where `dvc add` has none."""
    if any(Path(name).is_file() for name in _dvc_files(file)):
        return f"dvc pull {shlex.quote(str(file))}"
    return None


def _dvc_files(file: Path) -> list[str]:
    """The names by which DVC tracks a file: beside it, or beside a folder that it is in."""
    return [f"{path}.dvc" for path in (file, *file.parents)]
