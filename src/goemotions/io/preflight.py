"""What git and DVC would fail at in this place, found before anything trains.

`dvc exp run --temp` and queued experiments run in a git repository of their own, from which DVC
then fetches the result. Some of what makes that fail is silent: DVC trains, ends with success and
records nothing. The rest is loud, but DVC's message does not say what to do.
"""

import getpass
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from goemotions.errors import UserError, first_line, reported
from goemotions.io.project import links_out_of_the_project, project_folder

COMMIT = "git add -A && git commit -m start"
USE_GIT = "dvc config --local core.no_scm false"
OTHER_CACHE = "dvc cache dir --local FOLDER  # whose path has ASCII letters only, and no braces"
BEYOND_ASCII = "with non-ASCII characters, which make temporary and queued experiments fail"


@dataclass(frozen=True)
class Problem:
    """Something that DVC fails at here.

    Attributes:
        what: what is at fault.
        found: what is wrong with it; with `what` a sentence.
        remedy: the commands, or what to do by hand.
        stops: whether `dvc repro` fails, too, and not only experiments.
    """

    what: str
    found: str
    remedy: str
    stops: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.found}. To fix it: {self.remedy}"


def problems(project: Path) -> list[Problem]:
    """All that `dvc repro` or an experiment would fail at in a project.

    Raises:
        UserError: DVC's settings are unreadable.
    """
    project = project.resolve()
    found = [*_user(), *_braces(project), *_path(project), *_letters(project)]
    in_git = git_problem(project)
    if not shutil.which("git"):
        in_git = Problem("git", "is not installed or not on PATH", "install git")
    if in_git:
        return [*found, in_git]
    return [
        *found,
        *_shallow(project),
        *_missing_objects(project),
        *_uncommitted(project),
        *_git_letters(project),
    ]


def git_problem(project: Path) -> Problem | None:
    """What keeps DVC from reading a project's git, and with it every experiment."""
    from dvc.scm import SCMError

    without_git = bool(_config(project)["core"]["no_scm"])
    try:
        repository = _scm(project).pygit2.repo
    except SCMError:
        if without_git:
            found = "is in no git repository, which experiments need"
            return Problem(str(project), found, f"git init && {COMMIT} && {USE_GIT}")
        found = (
            "is in no git repository, which DVC needs, "
            "or for `dvc repro` alone `dvc config --local core.no_scm true`"
        )
        return Problem(str(project), found, f"git init && {COMMIT}", stops=True)
    except Exception as error:  # pygit2's own
        message = first_line(error)
        if "not owned by current user" not in message:
            return Problem("git's repository", f"cannot be read: {message}", "git fsck")
        folder = message.partition("repository path '")[2].partition("'")[0].removesuffix("/.git")
        remedy = f"git config --global --add safe.directory {shlex.quote(folder)}"
        return Problem(folder, "belongs to another user, so git does not read it", remedy)
    if without_git:
        return Problem("core.no_scm", "is true, so DVC records no experiments", USE_GIT)
    if repository.head_is_unborn:
        return Problem("git", "has no commit yet for an experiment to start from", COMMIT)
    return None


def require_project() -> None:
    """Refuse a folder that is no project's.

    Raises:
        UserError: dvc.yaml is missing.
    """
    if not Path("dvc.yaml").is_file():
        raise UserError(f"dvc.yaml is not in {Path.cwd()}: run this in the project's folder")


def name_user() -> None:
    """Give a user id without a name one in this process, since DVC's code asks for it."""
    if any(_user()):
        os.environ["USER"] = str(os.getuid())


def refuse_what_dvc_would_lose() -> None:
    """Stop a stage whose results DVC would not keep; stages/run.sh calls it.

    Raises:
        UserError: says what to do.
    """
    for path, target in links_out_of_the_project().items():
        raise UserError(
            f"{path} is a link to {target}, outside the project, where DVC records nothing; make "
            "it a folder again and keep DVC's cache on that disk instead: `goemotions verify` "
            "lists the commands"
        )
    project = project_folder()
    lost = [*_braces(project)]
    if project != Path.cwd():
        lost += [*_path(project), *_shallow(project)]
    if lost:
        raise UserError(
            f"stopped before running anything, because DVC would lose the result: {lost[0]}"
        )


def _user() -> Iterator[Problem]:
    try:
        getpass.getuser()
    except (KeyError, OSError):  # OSError since Python 3.13
        found = f"{os.getuid()} has no name, without which DVC does not start"
        yield Problem("the user id", found, "export USER=me", stops=True)


def _braces(project: Path) -> Iterator[Problem]:
    """DVC uses the path of its cache as a format string, once a stage has run."""
    cache = _cache(project)
    if set(cache) & set("{}"):
        found = "is where DVC keeps its cache, and DVC fails at the braces in that path"
        yield Problem(cache, found, OTHER_CACHE, stops=True)


def _path(project: Path) -> Iterator[Problem]:
    """DVC makes a URL of the path of an experiment's copy without quoting it."""
    if special := re.search(r"[#?\t\r\n]|%[0-9a-fA-F]{2}", str(project)):
        name = ascii(special[0])
        found = f"has {name} in its path, where DVC loses temporary and queued experiments"
        yield Problem(str(project), found, f"rename the folder that has {name} in its name")


def _letters(project: Path) -> Iterator[Problem]:
    """DVC writes the path of its cache in ASCII into an experiment's copy."""
    cache = _cache(project)
    if not cache.isascii():
        found = f"is where DVC keeps its cache, a path {BEYOND_ASCII}"
        yield Problem(cache, found, OTHER_CACHE)


def _git_letters(project: Path) -> Iterator[Problem]:
    """DVC writes the repository's git settings in ASCII into an experiment's copy."""
    path = Path(_scm(project).root_dir, ".git", "config")
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for line in map(bytes.strip, lines):
        if not line.isascii() and not line.startswith((b"#", b";")):
            found = f"has a line {BEYOND_ASCII}: {line.decode(errors='replace')}"
            yield Problem(str(path), found, "move it to git config --global, or rename the branch")


def _shallow(project: Path) -> Iterator[Problem]:
    if git(project, "rev-parse", "--is-shallow-repository").stdout.strip() == "true":
        found = (
            "does not have the whole history (a shallow clone), and DVC records temporary and "
            "queued experiments only with it"
        )
        yield Problem("git", found, "git fetch --unshallow")


def _missing_objects(project: Path) -> Iterator[Problem]:
    """Whether a partial clone, as made with --filter, has objects missing; DVC cannot fetch it."""
    if git(project, "config", "--get-regexp", r"^remote\..*\.promisor$").stdout:
        listed = git(project, "rev-list", "--objects", "--missing=print", "HEAD").stdout
        if re.search(r"^\?", listed, re.MULTILINE):
            found = "does not have all old files (a partial clone), which experiments need"
            yield Problem("git", found, "git fetch --refetch --no-filter")


def _uncommitted(project: Path) -> Iterator[Problem]:
    if git(project, "cat-file", "-e", "HEAD:./dvc.yaml").returncode:
        found = "has no dvc.yaml in its last commit, from which experiments start"
        yield Problem("git", found, COMMIT)


def git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run git in a folder; without git on PATH it fails. It speaks English, not always in UTF-8."""
    command = [shutil.which("git") or "false", "-C", str(folder), *arguments]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, errors="replace", env=environment
    )


def _scm(project: Path) -> Any:
    """DVC's view of the git repository that a project is in."""
    from dvc.scm import SCM

    return SCM(str(project))


def _cache(project: Path) -> str:
    return str(_config(project)["cache"].get("dir") or project / ".dvc" / "cache")


def _config(project: Path) -> Any:
    from dvc.config import Config, ConfigError

    try:
        return Config(str(project / ".dvc"))
    except ConfigError as error:
        raise UserError(
            f"DVC's settings are unreadable: {first_line(error)}; edit .dvc/config.local, or run "
            "`git checkout .dvc/config`"
        ) from None


if __name__ == "__main__":
    with reported():
        refuse_what_dvc_would_lose()
