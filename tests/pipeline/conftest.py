"""A copy of the project in a temporary git repository, driven by the real dvc."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from goemotions import cli

PROJECT = Path(__file__).parents[2]

# The sample and the model at a size that trains in seconds.
SMALL = {
    "dataset": "sample",
    "model": "deberta-v3-tiny",
    "datasets.sample.rows": {"train": 160, "val": 120, "test": 120},
    "models.deberta-v3-tiny.hidden_size": 16,
    "models.deberta-v3-tiny.intermediate_size": 16,
    "recipes.deberta-v3-tiny.epochs": 1,
}


@dataclass
class Clone:
    """A clone and how to run commands in it, as from a shell without the environment active."""

    folder: Path
    env: dict[str, str]

    def run(
        self, *command: str, cwd: Path | None = None, ok: bool = True
    ) -> subprocess.CompletedProcess:
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=2000,
        )
        assert (done.returncode == 0) is ok, (
            f"{command} ended with {done.returncode}:\n{done.stdout}"
        )
        return done

    def dvc(self, *arguments: str, cwd: Path | None = None, ok: bool = True) -> str:
        dvc = str(self.folder / ".venv" / "bin" / "dvc")
        return self.run(dvc, *arguments, cwd=cwd, ok=ok).stdout

    def goemotions(self, *arguments: str, ok: bool = True) -> str:
        return self.run(str(self.folder / ".venv/bin/goemotions"), *arguments, ok=ok).stdout

    def git(self, *arguments: str) -> str:
        return self.run("git", *arguments).stdout

    def params(self, changes: dict[str, object]) -> None:
        """Set dotted keys of params.yaml."""
        path = self.folder / "params.yaml"
        content = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            *parents, last = key.split(".")
            place = content
            for parent in parents:
                place = place[parent]
            place[last] = value
        path.write_text(yaml.safe_dump(content, sort_keys=False))


def environment(folder: Path, home: Path) -> dict[str, str]:
    """The environment variables of a clone's commands."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",  # the environment is deliberately not on it
        "PYTHONPATH": str(folder / "src"),  # this code, whichever one .venv's goemotions is
        "HOME": str(home),  # no `accelerate config`, no Hub cache
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "t",
        "GIT_AUTHOR_EMAIL": "t@example.com",
        "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.com",
    }


def make_clone(folder: Path, cache: Path, home: Path) -> Clone:
    """Copy the working tree into `folder` and commit it with small settings."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / name, folder / name)
    (folder / ".venv").symlink_to(sys.prefix)
    clone = Clone(folder, environment(folder, home))
    clone.params(SMALL)
    clone.git("init", "-q", "-b", "main")
    clone.git("add", "-A")
    clone.git("commit", "-qm", "small")
    use_cache(clone, cache)
    return clone


def use_cache(clone: Clone, cache: Path, remote: Path | None = None) -> None:
    """Set the cache, and the place of the remote, as `dvc config --local` does in half a second."""
    more = f"['remote \"storage\"']\n    url = {remote}\n" if remote else ""
    path = clone.folder / ".dvc/config.local"
    path.write_text(f"[cache]\n    dir = {cache}\n{more}")


def copied(folder: Path, target: Path, cache: Path, home: Path) -> Clone:
    """A copy of a clone, with another DVC cache."""
    subprocess.run(["cp", "-a", str(folder), str(target)], check=True)
    clone = Clone(target, environment(target, home))
    use_cache(clone, cache)
    return clone


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that `make` fills, and that the workers of one test run share."""
    place = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent
    folder, done = place / name, place / f"{name} is made"
    with FileLock(place / f"{name}.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone in which every stage has run, for bce and then for asl; not to be changed.

    Its cache lies beside it.
    """

    def make(home: Path) -> None:
        (home / "clone").mkdir()
        clone = make_clone(home / "clone", home / "cache", home)
        for loss in ("bce", "asl"):
            clone.params({"loss": loss})
            clone.dvc("repro")

    home = made_once(tmp_path_factory, "first", make)
    return Clone(home / "clone", environment(home / "clone", home))


@pytest.fixture(scope="session")
def shared_cache(first: Clone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC cache that clones share, so that a stage that did run is not run again."""
    cache = tmp_path_factory.mktemp("dvc") / "cache"
    shutil.copytree(first.folder.parent / "cache", cache)
    return cache


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone, of which others are copies."""
    home = tmp_path_factory.mktemp("template")
    (home / "clone").mkdir()
    return make_clone(home / "clone", home / "cache", home).folder


@pytest.fixture(scope="session")
def restored(template: Path, shared_cache: Path) -> Path:
    """A clone in which `dvc repro` has brought everything from the shared cache."""
    clone = copied(template, template.parent / "restored", shared_cache, template.parent)
    clone.dvc("repro")
    return clone.folder


@pytest.fixture
def new_clone(template: Path, tmp_path: Path) -> Callable[[str, Path], Clone]:
    """Make a clone of a given name, with a given DVC cache."""
    return lambda name, cache: copied(template, tmp_path / name, cache, tmp_path)


@pytest.fixture
def clone(new_clone: Callable[[str, Path], Clone], shared_cache: Path) -> Clone:
    """A fresh clone, in a path with a space."""
    return new_clone("a clone", shared_cache)


@pytest.fixture
def made(restored: Path, shared_cache: Path, tmp_path: Path) -> Clone:
    """A clone in which everything is up to date."""
    return copied(restored, tmp_path / "a clone", shared_cache, tmp_path)


@pytest.fixture
def in_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """`goemotions` in this process, which spares its start, and what it prints.

    With `ok=False`, what it says when it ends with status 1.
    """

    def run(clone: Clone, *arguments: str, ok: bool = True) -> str:
        monkeypatch.chdir(clone.folder)
        for name, value in clone.env.items():
            monkeypatch.setenv(name, value)
        if ok:
            assert cli.main(list(arguments)) == 0
            return capsys.readouterr().out
        with pytest.raises(SystemExit) as ended:
            cli.main(list(arguments))
        assert ended.value.code == 1
        return capsys.readouterr().err

    return run


def use(clone: Clone, remote: str) -> None:
    """Another place for the remote, in .dvc/config.local, which also holds for older commits."""
    clone.dvc("remote", "add", "--local", "--force", "storage", remote)


def runs(clone: Clone) -> dict[tuple[str, str], float]:
    """The macro-F1 of what `goemotions compare` compares, by name and loss."""
    found = json.loads(clone.goemotions("compare", "--json"))["runs"]
    return {(run["name"], run["loss"]): run["macro_f1"] for run in found}


def files(folder: Path) -> dict[str, bytes]:
    """The content of a folder's files, by their paths in it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="session")
def pushed(first: Clone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a clone, its cache, and where its workspace (asl) and experiment (bce) are
    pushed: origin.git and storage; not to be changed."""

    def make(home: Path) -> None:
        shutil.copytree(first.folder.parent / "cache", home / "cache")
        (home / "a clone").mkdir()
        clone = make_clone(home / "a clone", home / "cache", home)
        clone.git("init", "-q", "--bare", "-b", "main", "../origin.git")
        clone.git("remote", "add", "origin", "../origin.git")
        clone.dvc("remote", "add", "--default", "storage", str(home / "storage"))
        clone.dvc("remote", "modify", "storage", "verify", "true")
        clone.git("add", ".dvc/config")
        clone.dvc("repro")
        clone.git("add", "-A")
        clone.git("commit", "-qm", "trained")
        clone.dvc("exp", "run", "--temp", "-n", "mine", "-S", "loss=bce", "evaluate", "baseline")
        clone.git("push", "-q", "-u", "origin", "main")
        clone.dvc("push")
        clone.dvc("exp", "push", "origin", "mine")

    return made_once(tmp_path_factory, "pushed", make)


@pytest.fixture
def shared(pushed: Path, tmp_path: Path) -> Clone:
    """A copy of that clone, with its cache and where it was pushed to beside it."""
    # In one command, which keeps the hard links into the cache.
    subprocess.run(["cp", "-a", *pushed.iterdir(), tmp_path], check=True)
    clone = Clone(tmp_path / "a clone", environment(tmp_path / "a clone", tmp_path))
    use_cache(clone, tmp_path / "cache", tmp_path / "storage")
    return clone
