"""Which files git or DVC tracks."""

from collections.abc import Iterable
from pathlib import Path

from goemotions.io.preflight import git
from goemotions.io.project import dvc_files

IN_ANOTHER_PLACE = (
    "is not in the project's repository, since {} is a link or a git submodule, so experiments "
    "would not have it; put a copy of the files in a folder of the project"
)


def beyond(file: Path) -> Path | None:
    """The link or the git submodule that a file of the project is or lies in, if it does.

    git tracks only the link or the submodule itself, and experiments do not have what is in it.
    Links that DVC made into its cache are no such links.
    """
    if any(Path(name).is_file() for name in dvc_files(file)):
        return None
    places = [place for place in (file, *file.parents) if place != Path()]
    return next((one for one in places if one.is_symlink() or (one / ".git").exists()), None)


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
