"""Every combination of some settings as DVC experiments, run on the machines of a Ray cluster.

Ray decides where a trial runs, and runs it again where its machine died; git and DVC carry code,
data and results. What an experiment is called follows from its commit and settings alone, so the
same command never runs one again that is already there.
"""

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from goemotions.comparison import experiments, measures, predictions, sequential
from goemotions.comparison.sequential import MEANING, Decision
from goemotions.comparison.statistics import Runs
from goemotions.errors import UserError, first_line
from goemotions.io import dvc_cache, hub, preflight
from goemotions.sweeps import cluster, trial
from goemotions.sweeps.cluster import Answer, Cluster, Resources
from goemotions.sweeps.combinations import PREFIX, Planned, plan
from goemotions.sweeps.trial import Job

LOGS = Path("reports/sweep")

_GO_ON = "check that remote, and give the same command again: what has run is not repeated"


@dataclass(frozen=True)
class Options:
    """How a sweep is run.

    Attributes:
        address: of a Ray cluster; None for this machine alone.
        remote: the git remote's name, for a cluster.
        resources: what a trial takes; its gpus may be None: one where there are any.
        folder: where each machine of a cluster keeps its DVC cache and working copies.
        checkpoints: a folder that all machines share; empty for none.
        patience: seconds for which a machine tries a remote again that fails.
        baseline, metric, margin: of the decisions of --until-sure; baseline is None without it.
        models: whether trained models are brought from a cluster, too.
    """

    address: str | None
    remote: str
    resources: Resources
    folder: str
    checkpoints: str
    patience: float
    baseline: str | None
    metric: str
    margin: float
    models: bool


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


def run(settings: Sequence[str], options: Options, *, check: bool) -> int:
    """Run what is missing of a sweep; the exit status, 1 where a trial failed.

    Args:
        settings: as `dvc exp run --queue -S` takes them; also `1..20` for whole numbers.
        check: only check that the machines have what a trial needs.

    Raises:
        UserError: a setting is wrong, or the clone, a remote or a machine lacks something.
    """
    places = find_places(options.remote if options.address else None)
    trials = plan(settings, places.commit)
    every = {job["name"]: job for job in _jobs(trials, places, options)}
    failed: list[str] = []

    def ended(name: str, answer: Answer) -> None:
        if answer.error is not None:
            failed.append(name)
            LOGS.mkdir(parents=True, exist_ok=True)
            (LOGS / f"{name}.log").write_text(answer.log, encoding="utf-8")

    names: list[str] = []
    with ExitStack() as stack:
        machines: Cluster | None = None
        for part in _parts(trials, options):
            names = [one.name for one in part]
            here, there = existing(".", places.commit), existing(places.url, places.commit)
            missing = [name for name in names if name not in here | there]
            if machines is None and (missing or check):
                machines = stack.enter_context(cluster.connected(options.address))
                to_check = check or options.address is not None
                ready = not to_check or _ready(machines, next(iter(every.values())))
                if check or not ready:
                    return 0 if ready else 1
            if machines and missing:
                print(f"{len(missing)} of {len(names)} trials are left to run", file=sys.stderr)
                machines.run([every[name] for name in missing], options.resources, ended)
            there |= set(missing) - set(failed)
            pull(places, [one for one in part if one.name in there], models=options.models)
            if failed:
                break
    for name in failed:
        print(f"failed: {name}; its log: {LOGS / name}.log", file=sys.stderr)
    done = f"{len(names) - len(failed)} of {len(names)} experiments are in this clone"
    print(f"{done}; to compare them: goemotions compare --only {PREFIX}")
    return 1 if failed else 0


def _parts(trials: list[Planned], options: Options) -> Iterator[list[Planned]]:
    """The trials that are to be there next, and with them all those before."""
    if options.baseline is None:
        yield trials
        return
    measures.check(options.metric)
    measures.check_margin(options.margin)
    seeds = sorted({one.seed for one in trials})
    losses = {one.loss for one in trials}
    if options.baseline not in losses or len(losses) < 2 or len(seeds) < 2:
        raise UserError(
            f"--until-sure compares losses with --baseline {options.baseline}: give -S loss with "
            "that one and others, and -S train.seed with two seeds or more"
        )
    if len({one.inputs for one in trials}) > 1:
        raise UserError("--until-sure compares losses alone: give -S loss and -S train.seed only")
    wanted: dict[str, int] = dict.fromkeys(losses, 0)
    decided: dict[str, tuple[Decision, int]] = {}
    for look in sequential.looks(len(seeds)):
        wanted |= {loss: look for loss in losses if loss not in decided}
        part = [one for one in trials if one.seed in seeds[: wanted[one.loss]]]
        yield part
        runs = _runs(part, options.metric)
        decided = sequential.decisions(runs, options.baseline, len(seeds), options.margin)
        if len(decided) == len(losses) - 1:
            break
    by = measures.title(options.metric)
    for loss, (decision, look) in sorted(decided.items()):
        print(f"{loss}: {MEANING[decision]} {options.baseline} by {by}, after {look} seeds")
    for loss in sorted(losses - decided.keys() - {options.baseline}):
        print(f"{loss}: not decided, since no test row changes its {by} or {options.baseline}'s")


def _runs(trials: Sequence[Planned], metric: str) -> dict[str, Runs]:
    """What trials scored by a metric, by loss and in the order of the seeds."""
    found = {one.name: one for one in experiments.evaluated(PREFIX)}
    runs = {}
    with predictions.reader() as read:
        for loss in sorted({one.loss for one in trials}):
            of_loss = sorted((one.seed, one.name) for one in trials if one.loss == loss)
            runs[loss] = measures.together(
                measures.measure(metric, read(found[name])) for _, name in of_loss
            )
    return runs


def find_places(remote: str | None) -> Places:
    """Where code and results go.

    Args:
        remote: the git remote's name; None for this machine alone.

    Raises:
        UserError: git or DVC would lose the experiments, something is not committed or not pushed,
            or there is no such remote.
    """
    preflight.require_project()
    for problem in preflight.problems(Path()):
        raise UserError(str(problem))
    if folder := _git("rev-parse", "--show-prefix"):
        raise UserError(
            f"the project is the folder {folder} of a larger git repository, and a sweep clones "
            "the project: make it a repository of its own, or use `dvc queue`"
        )
    if changed := _git("status", "--porcelain", "-z", "--untracked-files=no"):
        raise UserError(
            f"{changed.split(chr(0))[0][2:].strip()} has uncommitted changes, and a sweep runs the "
            "last commit: run `git commit -a` or `git stash` first"
        )
    commit = _git("rev-parse", "HEAD")
    if remote is None:
        return Places(None, str(Path.cwd()), commit)
    if remote not in (known := _git("remote").split()):
        raise UserError(f"--remote is {remote!r}; git has {', '.join(known) or 'no remote'}")
    if not _git("branch", "--remotes", "--list", f"{remote}/*", "--contains", commit):
        on_a_branch = preflight.git(Path(), "symbolic-ref", "-q", "HEAD").returncode == 0
        pushed = "HEAD" if on_a_branch else f"HEAD:refs/heads/sweep-{commit[:7]}"
        raise UserError(
            f"no branch of {remote} has the commit {commit[:7]}, which the machines clone from "
            f"there: git push {remote} {pushed}"
        )
    if name := dvc_cache.relative_remote(Path()):
        raise UserError(
            f"the URL of the DVC remote {name} is a relative path, which leads elsewhere in the "
            f"clones of a sweep: run `dvc remote modify {name} url` with the absolute path, commit "
            "and push"
        )
    return Places(remote, _git("remote", "get-url", remote), commit)


def existing(url: str, commit: str) -> set[str]:
    """The names of a commit's experiments in a git repository.

    Raises:
        UserError: it does not answer.
    """
    listed = _git("ls-remote", url, f"{_references(commit)}*")
    return {line.rpartition("/")[2] for line in listed.splitlines()}


def pull(places: Places, trials: Sequence[Planned], *, models: bool) -> None:
    """Bring experiments from the remotes into this clone.

    Args:
        models: whether all their files are brought, or only those in metrics/.

    Raises:
        UserError: dvc cannot, or the DVC remote lacks an object or has it corrupted.
    """

    def missing(one: Planned) -> list[tuple[str, str]]:
        reference = f"{_references(places.commit)}{one.name}"
        lock = _git("show", f"{reference}:dvc.lock")
        in_git = set(_git("ls-tree", "-r", "--name-only", reference).splitlines())
        lacking = dvc_cache.missing_objects(Path(), lock, one.loss, in_git)
        # On this machine alone a model was there, and may have been removed on purpose.
        every = models and places.remote is not None
        return [(path, md5) for path, md5 in lacking if every or path.startswith("metrics/")]

    here = existing(".", places.commit)
    wanted = [one for one in trials if one.name not in here or missing(one)]
    if not wanted:
        return
    if places.remote is None:
        lost = shlex.join(one.name for one in wanted)
        raise UserError(
            f"the files of {len(wanted)} experiments are no longer in DVC's cache, perhaps after "
            f"`dvc gc`. To make them again, run `dvc exp remove {lost}` and the same command"
        )
    names = [one.name for one in wanted]
    command = [sys.executable, "-m", "dvc", "exp", "pull", "--no-cache", places.remote, *names]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - this Python's dvc
    if done.returncode:
        said = trial.cause(done.stdout + done.stderr)
        raise UserError(f"dvc cannot pull the experiments from {places.remote}: {said}; {_GO_ON}")
    for _ in range(2):  # first files and the lists of what folders hold, then what these list
        _fetch({md5 for one in wanted for _, md5 in missing(one)})
    for one in wanted:
        for output, md5 in missing(one):
            raise UserError(
                f"the DVC remote lacks {output} of {one.name}, or has it corrupted. To make it "
                f"again, delete files/md5/{md5[:2]}/{md5[2:]} there, then run `dvc exp remove "
                f"{one.name}`, `dvc exp remove --git-remote {places.remote} {one.name}` and the "
                "same command"
            )


def _fetch(digests: set[str]) -> None:
    """Bring objects from the DVC remote, those that it has and that are not corrupted.

    `dvc exp pull` would, too, but takes up to a second for each experiment to find out which they
    are.

    Raises:
        UserError: it does not answer.
    """
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

    with Repo() as repo:
        while digests:
            try:
                repo.cloud.pull([HashInfo("md5", digest) for digest in sorted(digests)])
                break
            except Exception as error:  # whatever the remote's library raises
                # One list of what a folder holds that is corrupted would keep all others away.
                said = first_line(error)
                corrupted = {digest for digest in digests if f"{digest} is corrupted" in said}
                if not corrupted:
                    raise UserError(f"dvc cannot read the DVC remote: {said}; {_GO_ON}") from None
                digests = digests - corrupted


def _references(commit: str) -> str:
    """How the references of a commit's experiments begin."""
    return f"refs/exps/{commit[:2]}/{commit[2:]}/"


def _jobs(trials: Sequence[Planned], places: Places, options: Options) -> Iterator[Job]:
    name, address = _git("var", "GIT_AUTHOR_IDENT").rsplit(" ", 2)[0].rsplit(" <", 1)
    environment: dict[str, str] = {}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_NAME": name, f"GIT_{role}_EMAIL": address.rstrip(">")}
    local = places.remote is None
    if local and (mirror := hub.mirror()):
        environment["GOEMOTIONS_MIRROR"] = str(mirror.absolute())
    here = str(Path.cwd() / ".dvc/tmp/sweep")
    cache = str(dvc_cache.cache_folder(Path.cwd())) if local else ""
    versions = trial.versions()
    for one in trials:
        yield Job(
            name=one.name,
            commit=places.commit,
            settings=list(one.settings),
            loss=one.loss,
            inputs=one.inputs,
            url=places.url,
            local=local,
            folder=here if local else _absolute(options.folder),
            cache=cache,
            checkpoints=_absolute(options.checkpoints) or (f"{here}/checkpoints" if local else ""),
            threads=options.resources.cpus,
            patience=options.patience,
            environment=environment,
            versions=versions,
        )


def _absolute(path: str) -> str:
    """A path that means the same in every folder; `~` stays, for each machine's own home."""
    return path if not path or path.startswith("~") else str(Path(path).absolute())


def _ready(machines: Cluster, job: Job) -> bool:
    """Print what each machine lacks; whether it is nothing."""
    answers = machines.check(job)
    for answer in answers:
        print(f"{answer.machine or 'a machine'}: {answer.error or 'ready'}", file=sys.stderr)
    return all(answer.error is None for answer in answers)


def _git(*arguments: str) -> str:
    """What git prints.

    Raises:
        UserError: what it fails at.
    """
    done = preflight.git(Path(), *arguments)
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {trial.cause(done.stderr)}")
    return done.stdout.strip()
