"""Every combination of some settings as DVC experiments, run on the machines of a Ray cluster.

Ray decides where a trial runs, and runs it again where its machine died; git and DVC carry code,
data and results. What an experiment is called follows from its commit and settings alone, so the
same command never runs one again that is already there.
"""

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from goemotions import config
from goemotions.commands import cluster, trial
from goemotions.commands.cluster import Answer, Resources
from goemotions.commands.trial import Job
from goemotions.config import Params
from goemotions.errors import UserError, first_line
from goemotions.io import dvc_cache, preflight

LOGS = Path("reports/sweep")
SEED = "train.seed="


@dataclass(frozen=True)
class Planned:
    """A trial.

    Attributes:
        name: the experiment's.
        settings: as `dvc exp run -S` takes them.
        inputs: a digest of the commit and of all settings but the loss and the seed.
    """

    name: str
    loss: str
    seed: int
    settings: tuple[str, ...]
    inputs: str


@dataclass(frozen=True)
class Places:
    """Where code and results go.

    Attributes:
        remote: the git remote's name; None on this machine alone, where nothing need be pushed.
        url: of the git remote, or this project's folder.
        commit: that the experiments are of.
    """

    remote: str | None
    url: str
    commit: str


def plan(settings: Sequence[str], commit: str) -> list[Planned]:
    """The trials of a sweep, one seed of each loss before the next seed.

    Args:
        settings: as `dvc exp run --queue -S` takes them; also `1..20` for whole numbers.
        commit: that the experiments are of.

    Raises:
        UserError: a setting is unknown or out of range.
    """
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import get_hydra_sweeps

    try:
        combinations = get_hydra_sweeps({"params.yaml": [_listed(one) for one in settings]})
    except DvcException as error:
        raise UserError(
            f"-S is {' '.join(settings)}: {first_line(error.__cause__ or error)}"
        ) from None
    trials = []
    for combination in combinations:
        given = tuple(combination["params.yaml"])
        params = _params(tuple(one for one in given if not one.startswith(SEED)))
        seed = next((one.removeprefix(SEED) for one in given if one.startswith(SEED)), None)
        if seed is not None and not seed.isdecimal():
            raise UserError(f"train.seed is {seed!r}; it must be a whole number, at least 0")
        number = params.train.seed if seed is None else int(seed)
        rest = params.model_dump(mode="json")
        rest.pop("loss")
        rest["train"].pop("seed")
        text = json.dumps([commit, rest], sort_keys=True)
        inputs = hashlib.sha256(text.encode()).hexdigest()[:16]
        name = f"sweep-{params.loss}-{number}-{inputs[:8]}"
        trials.append(Planned(name, params.loss, number, given, inputs))
    # Two sweeps at once that take the same order would do everything twice.
    random.shuffle(trials)
    return sorted(trials, key=lambda one: one.seed)


def _listed(setting: str) -> str:
    """A setting whose value `1..3` is written as `1,2,3`."""
    key, _, value = setting.partition("=")
    if found := re.fullmatch(r"(\d+)\.\.(\d+)", value):
        first, last = map(int, found.groups())
        if first > last:
            raise UserError(f"{key} is {value!r}; the first number must not be above the last")
        return f"{key}={','.join(map(str, range(first, last + 1)))}"
    return setting


@cache
def _params(settings: tuple[str, ...]) -> Params:
    """params.yaml with other settings, which DVC applies as `dvc exp run -S` does."""
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "params.yaml")
        shutil.copy("params.yaml", path)
        try:
            apply_overrides(path, list(settings))
        except DvcException as error:
            raise UserError(
                f"-S is {' '.join(settings)}: {first_line(error.__cause__ or error)}"
            ) from None
        return config.load(path)


def find_places(remote: str | None) -> Places:
    """Where code and results go.

    Args:
        remote: the git remote's name; None for this machine alone.

    Raises:
        UserError: git or DVC would lose the experiments, something is not committed or not pushed,
            or there is no such remote.
    """
    for problem in preflight.problems(Path()):
        raise UserError(str(problem))
    if changed := _git("status", "--porcelain", "--untracked-files=no"):
        raise UserError(
            f"{changed.split()[1]} is changed, and a sweep runs a commit: `git commit -a`, or "
            "`git stash`"
        )
    commit = _git("rev-parse", "HEAD")
    if remote is None:
        return Places(None, str(Path.cwd()), commit)
    if remote not in (known := _git("remote").split()):
        raise UserError(f"--remote is {remote!r}; git has {', '.join(known) or 'no remote'}")
    if not _git("branch", "--remotes", "--list", f"{remote}/*", "--contains", commit):
        raise UserError(
            f"no branch of {remote} has the commit {commit[:7]}, which the machines clone from "
            f"there: git push {remote} HEAD"
        )
    return Places(remote, _git("remote", "get-url", remote), commit)


def existing(url: str, commit: str) -> set[str]:
    """The names of a commit's experiments in a git repository.

    Raises:
        UserError: it does not answer.
    """
    listed = _git("ls-remote", url, f"refs/exps/{commit[:2]}/{commit[2:]}/*")
    return {line.rpartition("/")[2] for line in listed.splitlines()}


def jobs(
    trials: Sequence[Planned],
    places: Places,
    folder: str,
    checkpoints: str,
    cpus: int,
    patience: float,
) -> Iterator[Job]:
    """What the machines need to know of each trial."""
    name, address = _git("var", "GIT_AUTHOR_IDENT").rsplit(" ", 2)[0].rsplit(" <", 1)
    author: dict[str, str] = {}
    for role in ("AUTHOR", "COMMITTER"):
        author |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address.rstrip(">")}
    here = str(Path.cwd() / ".dvc/tmp/sweep")
    local = places.remote is None
    for one in trials:
        yield Job(
            name=one.name,
            commit=places.commit,
            settings=list(one.settings),
            loss=one.loss,
            inputs=one.inputs,
            url=places.url,
            local=local,
            folder=here if local else folder,
            cache=str(dvc_cache.cache_folder(Path.cwd())) if local else "",
            checkpoints=checkpoints or (f"{here}/checkpoints" if local else ""),
            threads=cpus,
            patience=patience,
            author=author,
            versions=trial.versions(),
        )


def pull(places: Places, names: Sequence[str]) -> None:
    """Bring experiments from the remotes into this clone.

    Raises:
        UserError: dvc cannot.
    """
    if places.remote is None or not names:
        return
    command = [sys.executable, "-m", "dvc", "exp", "pull", places.remote, *names]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - this Python's dvc
    if done.returncode:
        said = trial.cause(done.stdout + done.stderr)
        raise UserError(
            f"the experiments are in {places.remote}, but dvc cannot pull all of them: {said}; "
            "docs/sharing.md says what to do; then run the same command again"
        )


def show_check(answers: Sequence[Answer]) -> bool:
    """Print what each machine lacks; whether it is nothing."""
    for answer in answers:
        print(f"{answer.machine or 'a machine'}: {answer.error or 'ready'}")
    return all(answer.error is None for answer in answers)


def sweep(
    settings: Sequence[str],
    *,
    address: str | None,
    remote: str,
    resources: tuple[int, float | None, int | None],
    folder: str,
    checkpoints: str,
    patience: float,
    check: bool,
) -> int:
    """Run what is missing of a sweep; the exit status, 1 where a trial failed.

    Args:
        settings: as `dvc exp run --queue -S` takes them; also `1..20` for whole numbers.
        address: of a Ray cluster; None for this machine alone.
        remote: the git remote's name.
        resources: the cores and GPUs of each trial, and how many may run at once. None of GPUs is
            one where there are any; None at last is no limit.
        folder: where each machine keeps its DVC cache and working copies.
        checkpoints: a folder that all machines share; empty for none.
        patience: seconds for which a machine tries a remote again that fails.
        check: only check that the machines have what a trial needs.

    Raises:
        UserError: a setting is wrong, or the clone, a remote or a machine lacks something.
    """
    places = find_places(remote if address else None)
    trials = plan(settings, places.commit)
    names = [one.name for one in trials]
    there = existing(places.url, places.commit)
    missing = [one for one in trials if one.name not in there]
    cpus, gpus, at_most = resources
    todo = list(jobs(missing or trials, places, folder, checkpoints, cpus, patience))
    failed: dict[str, Answer] = {}

    def ended(name: str, answer: Answer) -> None:
        if answer.error is not None:
            failed[name] = answer
            LOGS.mkdir(parents=True, exist_ok=True)
            (LOGS / f"{name}.log").write_text(answer.log, encoding="utf-8")

    if missing or check:
        with cluster.connected(address) as machines:
            ready = show_check(machines.check(todo[0])) if address or check else True
            if check:
                return 0 if ready else 1
            if not ready:
                raise UserError("nothing was started: see above what the machines lack")
            if gpus is None:
                gpus = machines.gpus_by_default()
            print(f"{len(missing)} of {len(trials)} trials are missing", file=sys.stderr)
            machines.run(todo, Resources(cpus, gpus, at_most), ended)
    pull(places, [name for name in names if name not in failed])
    for name, answer in failed.items():
        print(f"failed: {name}: {answer.error}; its log: {LOGS / name}.log", file=sys.stderr)
    done = f"{len(names) - len(failed)} of {len(names)} experiments are in this clone"
    print(f"{done}; to compare them: goemotions compare --only sweep-")
    return 1 if failed else 0


def _git(*arguments: str) -> str:
    """What git prints.

    Raises:
        UserError: what it fails at.
    """
    command = [shutil.which("git") or "git", *arguments]
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)  # noqa: S603
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {trial.cause(done.stderr)}")
    return done.stdout.strip()
