"""The experiments of this repository that have an evaluation."""

import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from goemotions.comparison.committed import WORKSPACE as WORKSPACE
from goemotions.comparison.committed import reading
from goemotions.errors import UserError, first_line, of_disk
from goemotions.io import preflight
from goemotions.io.dvc_cache import digest_in, parsed
from goemotions.io.project import project_folder

# What a message says of a run that cannot be compared.
LEAVE_OUT = "leave it out, with --only and a prefix that other names begin with"
SCORES = ("macro_f1", "macro_f1_low", "macro_f1_high", "micro_f1", "average_precision")


@dataclass(frozen=True)
class Experiment:
    """One evaluated experiment: what was run, and what its metrics/evaluation.json says.

    What was run is read from its dvc.lock, which DVC writes when a stage ends; its params.yaml may
    have been changed since.

    Attributes:
        name: the experiment's or revision's, or "workspace".
        macro_f1: with its interval and the other scores, as evaluation.json has it, which an edit
            or `git checkout` may have changed; `measures.corrected` goes by the predictions. NaN
            where it has no such number.
        validation_average_precision: by which recipes are chosen, since the test split is not for
            that; None where the training's summary is not in the DVC cache.
        seconds: the training's wall-clock time; None as above.
        commit: the one that the experiment started from.
        revision: the experiment's own; None for the workspace.
        protocol: all that must be equal for runs to be compared: dataset and model, their digests,
            and every setting but the loss's and the seed.
        settings: the loss's.
        code: the digests of what trained and evaluated it, by path.
        baseline: the linear baseline's scores on the same data; empty where it was not run.
        machine: where it was trained: device, precision, processes and torch's version; empty
            where the summary is not in the DVC cache.
        changes_from_commit: settings that params.yaml of `commit` has otherwise, by dotted name.
        changes_from_workspace: the same for the workspace's params.yaml; None where this lacks one
            of them, because the setting was removed or renamed.
    """

    name: str
    dataset: str
    model: str
    loss: str
    seed: int
    macro_f1: float
    macro_f1_low: float
    macro_f1_high: float
    micro_f1: float
    average_precision: float
    validation_average_precision: float | None
    seconds: float | None
    commit: str
    revision: str | None
    protocol: dict[str, Any]
    settings: dict[str, Any]
    code: dict[str, str]
    baseline: dict[str, float]
    machine: dict[str, Any]
    changes_from_commit: dict[str, Any]
    changes_from_workspace: dict[str, Any] | None

    @property
    def key(self) -> str:
        """Unique among experiments; names are so within a commit only."""
        return self.revision or WORKSPACE

    @property
    def recipe(self) -> dict[str, Any]:
        """The settings of its model's recipe; they are in `protocol`, too."""
        own = f"recipes.{self.model}."
        return {k.removeprefix(own): v for k, v in self.protocol.items() if k.startswith(own)}

    @property
    def is_commits(self) -> bool:
        """Whether it is the run that a commit holds, which is no DVC experiment."""
        return self.revision is not None and self.revision.startswith(self.commit)

    @property
    def fetched_by(self) -> str:
        """The command that brings its files from the DVC remote."""
        if self.revision is None:
            return "dvc pull"
        if self.is_commits:
            return "dvc fetch --all-commits"
        return f"dvc exp pull <git remote> {shlex.quote(self.name)}"

    @property
    def command(self) -> str:
        """Makes it again, after `git checkout` of `commit`."""
        return _exp_run(self.changes_from_commit)

    def again(self) -> str:
        """The command that makes it again with the workspace's code and params.yaml.

        Where that params.yaml lacks one of its settings, the command checks out its commit.
        """
        return self._again({})

    def with_seed(self, seed: int) -> str:
        """The same with another seed, in a temporary copy, so that the workspace stays as it is."""
        options = ["--temp"]
        if self.revision is not None and not self.is_commits:
            name = self.name.removesuffix(f"-{self.seed}")
            if self.loss not in name:  # or two losses' next runs could have the same name
                name += f"-{self.loss}"
            options.append(f"-n {shlex.quote(f'{name}-{seed}')}")
        return self._again({"train.seed": seed}, *options)

    def _again(self, other: dict[str, Any], *options: str) -> str:
        if self.changes_from_workspace is None:
            own = _exp_run(self.changes_from_commit | other, *options)
            return f"git checkout {self.commit} && {own}"
        return _exp_run(self.changes_from_workspace | other, *options)

    def comparable(self, *, own_recipes: bool = False) -> str:
        """The same for runs that may be compared: all of `protocol`, or all but the recipes."""
        # Runs from before a setting existed do not have it, which is the same as null.
        settings = {  # and 1 is the same as 1.0
            key: float(value) if isinstance(value, int) else value
            for key, value in self.protocol.items()
            if value is not None and not (own_recipes and key.startswith("recipes."))
        }
        return json.dumps(settings, sort_keys=True)


def _exp_run(changes: Mapping[str, Any], *options: str) -> str:
    """`dvc exp run` with changed settings, by their dotted names in params.yaml."""
    settings = [
        f"-S {shlex.quote(f'{key}={value if isinstance(value, str) else json.dumps(value)}')}"
        for key, value in sorted(changes.items())
    ]
    return " ".join(["dvc exp run", *options, *settings])


def evaluated(prefix: str = "", revisions: Sequence[str] = ()) -> list[Experiment]:
    """The evaluated workspace and HEAD, then the evaluated experiments of every commit.

    Those of the newest commits come first.

    Args:
        prefix: only experiments whose name begins so.
        revisions: further commits, branches or tags.

    Raises:
        UserError: this is no DVC repository, git cannot be read, or a revision is unknown.
    """
    from tqdm import tqdm

    with _repository() as repo:
        every = list(_runs(repo, revisions, prefix))
        shown = tqdm(every, desc="experiments", unit="run", leave=False, disable=None)
        found = [_evaluated(repo, *run) for run in shown]
    return [experiment for experiment in found if experiment is not None]


def names_at_head() -> set[str]:
    """The names of the experiments of HEAD, with those that are queued or running.

    Raises:
        UserError: as by `evaluated`.
    """
    with _repository() as repo:
        head, queue = repo.scm.get_rev(), repo.experiments.celery_queue
        waiting = [*queue.iter_queued(), *queue.iter_active()]
        ran = {name for name, _ in repo.experiments.ls().get(head, [])}
        return ran | {entry.name for entry in waiting if entry.baseline_rev == head}


@contextmanager
def _repository() -> Iterator[Any]:
    """This project as DVC's Repo; what it raises becomes a UserError."""
    from dvc.exceptions import DvcException
    from dvc.lock import LockError
    from dvc.repo import Repo
    from dvc.scm import RevError

    try:
        if problem := preflight.git_problem(project_folder()):
            raise UserError(f"cannot list experiments: {problem}")
        with Repo() as repo:
            yield repo
    except RevError as error:
        raise UserError(
            f"{error}; give a commit, a branch or a tag (see `git log --oneline`)"
        ) from None
    except LockError as error:
        raise UserError(
            f"cannot list experiments: {first_line(error)}; if `dvc repro` or `dvc exp run` is "
            "running in this folder, wait until it ends"
        ) from None
    except DvcException as error:
        raise UserError(f"cannot list experiments: {first_line(error)}") from None


def _runs(
    repo: Any, revisions: Sequence[str], prefix: str
) -> Iterator[tuple[str, str | None, str]]:
    """What may have an evaluation: its name, its revision and the commit that it started from.

    The workspace has no revision. Commits are runs, too, named by their branch or tag. Those of
    `revisions` are there whatever their name.
    """
    import logging

    from dvc.repo.experiments.utils import describe
    from dvc.scm import map_scm_exception, resolve_rev

    def age(revision: str) -> tuple[float, str]:
        return -repo.scm.resolve_commit(revision).commit_time, revision

    with map_scm_exception():
        head = repo.scm.get_rev()
        listed = repo.experiments.ls(all_commits=True)
        known = {revision for runs in listed.values() for _, revision in runs}
        named = {resolve_rev(repo.scm, revision) for revision in revisions}
        if WORKSPACE.startswith(prefix):
            yield WORKSPACE, None, head
        starts = list(dict.fromkeys([head, *sorted(listed.keys() | (named - known), key=age)]))
        names = describe(repo.scm, starts, logging.getLogger(__name__))
        for start in starts:
            name = names.get(start) or start[:7]
            if name.startswith(prefix) or start in named:
                yield name, start, start
            yield from (
                (name, revision, start)
                for name, revision in sorted(listed.get(start, []), key=lambda run: age(run[1]))
                if name.startswith(prefix) or revision in named
            )


def _evaluated(repo: Any, name: str, revision: str | None, commit: str) -> Experiment | None:
    """What a run was and what it scored; None where it is no evaluated run of this pipeline."""
    with reading(repo, revision) as files:
        scores = _json(files, "metrics/evaluation.json", name)
        with _readable("dvc.lock", name):
            run = recorded(_text(files, "dvc.lock"))
        if run is None or not scores:
            return None
        # No dependency of the training, so an edit of it alone leaves the trained model.
        folder = run.pop("tested")
        run["protocol"][f"data/{run['dataset']}/test.jsonl"] = (
            digest_in(Path(repo.cache.local.path), folder, "test.jsonl") or folder
        )
        summary = _json(files, f"metrics/training/{run['loss']}/summary.json", name)
        linear = _json(files, "metrics/baseline.json", name) if run.pop("has_baseline") else {}
    params = []
    for place, known_as in ((commit, commit[:7]), (None, WORKSPACE)):
        with reading(repo, place) as files, _readable("params.yaml", known_as):
            params.append(_settings(_text(files, "params.yaml") or ""))
    of_commit, of_workspace = params
    sources = run.pop("sources")
    changes = _changes(run, sources, of_workspace)
    written: Any = {key: _number(scores.get(key)) for key in SCORES}
    return Experiment(
        name=name,
        **written,
        validation_average_precision=summary.get("validation_average_precision"),
        seconds=summary.get("seconds"),
        commit=commit[:7],
        revision=revision,
        baseline=linear.get("baseline", {}),
        machine={
            key: summary[key]
            for key in ("device", "precision", "processes", "torch")
            if key in summary
        },
        changes_from_commit=_changes(run, sources, of_commit),
        changes_from_workspace=changes if changes.keys() <= of_workspace.keys() else None,
        **run,
    )


def not_cached() -> tuple[type[Exception], ...]:
    """What DVC raises at a file, or at a folder's list of files, that its cache does not have."""
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexError

    return DvcException, DataIndexError, OSError


def named(name: str) -> Experiment:
    """The evaluated experiment of that name.

    Raises:
        UserError: there is none.
    """
    matching = [one for one in evaluated(name) if one.name == name]
    if not matching:
        raise UserError(
            f"no evaluated experiment is called {name!r}; see `dvc exp list --all-commits`"
        )
    return matching[0]


def bring_model(experiment: Experiment, folder: Path) -> None:
    """Bring an experiment's trained folder out of DVC's cache, as `bring` does."""
    bring(experiment, f"models/trained/{experiment.loss}", folder)


def bring(experiment: Experiment, path: str, folder: Path) -> None:
    """Bring a folder that an experiment made out of DVC's cache.

    Its files may be links into the cache, so they must not be written to.

    Args:
        path: in the project.
        folder: to bring it to; it does not exist yet.

    Raises:
        UserError: the cache does not have it.
    """
    from dvc.repo import Repo

    with Repo() as repo, repo.switch(experiment.revision or WORKSPACE):
        try:
            repo.dvcfs.get(path, str(folder), recursive=True)
        except not_cached() as error:
            if of_disk(error):
                raise
            raise UserError(
                f"{path} of {experiment.name} is not in DVC's cache; fetch it with "
                f"`{experiment.fetched_by}` if it was pushed, or make it again with "
                f"`{experiment.again()}`"
            ) from None


def _changes(
    run: dict[str, Any], sources: dict[str, Any], was: Mapping[str, Any]
) -> dict[str, Any]:
    """The run's settings that a params.yaml has otherwise, by their dotted names."""
    ran = sources | {key: value for key, value in run["protocol"].items() if "/" not in key}
    ran |= {"loss": run["loss"], "train.seed": run["seed"]}
    ran |= {f"losses.{run['loss']}.{key}": value for key, value in run["settings"].items()}
    return {key: value for key, value in sorted(ran.items()) if was.get(key) != value}


@lru_cache(maxsize=8)  # experiments of one commit follow each other
def _settings(text: str) -> dict[str, Any]:
    """What a params.yaml has, under dotted names."""
    from ruamel.yaml import YAML

    return _flat(YAML(typ="safe").load(text) or {})


def recorded(lock: str | None) -> dict[str, Any] | None:
    """What a dvc.lock says was trained and evaluated; None where that is not one run.

    Args:
        lock: the file's content.
    """
    stages = (parsed(lock or "") or {}).get("stages", {})
    try:
        return _recorded(stages)
    except KeyError:  # no evaluation yet, or a lock of another pipeline
        return None


def _recorded(stages: dict[str, Any]) -> dict[str, Any] | None:
    evaluated = stages["evaluate"]["params"]["params.yaml"]
    loss, dataset = evaluated["loss"], evaluated["dataset"]
    stage = stages[f"train@{loss}"]
    trained = dict(stage["params"]["params.yaml"])
    folder = f"models/trained/{loss}"
    if _digests(stages["evaluate"]["deps"])[folder] != _digests(stage["outs"])[folder]:
        return None
    if trained["dataset"] != dataset:
        return None
    settings = trained.pop(f"losses.{loss}")
    seed = trained["train"]["seed"]
    trained["train"] = {key: value for key, value in trained["train"].items() if key != "seed"}
    inputs = {
        path: digest
        for path, digest in _digests(stage["deps"]).items()
        if path.startswith(("data/", "models/", "teachers/"))
    }
    code = {
        path: digest
        for part in (stage, stages["evaluate"])
        for path, digest in _digests(part["deps"]).items()
        if path.startswith(("src/", "stages/"))
    }
    tested = _digests(stages["evaluate"]["deps"])[f"data/{dataset}"]
    model = trained["model"]
    sources = _made_by(stages, "fetch_dataset", f"data/{dataset}", tested)
    sources |= _made_by(stages, "cache_model", f"models/{model}", inputs.get(f"models/{model}"))
    baseline = stages.get("baseline", {})
    linear = baseline.get("params", {}).get("params.yaml", {})
    of_baseline = _digests(baseline.get("deps", [])).get(f"data/{dataset}")
    return {
        "dataset": dataset,
        "model": model,
        "loss": loss,
        "seed": seed,
        "protocol": _flat({**trained, "evaluate": evaluated["evaluate"], **inputs}),
        "settings": settings,
        "code": code,
        "tested": tested,
        "sources": sources,
        "has_baseline": (linear.get("dataset"), linear.get("evaluate"), of_baseline)
        == (dataset, evaluated["evaluate"], tested),
    }


def _made_by(stages: dict[str, Any], name: str, path: str, digest: str | None) -> dict[str, Any]:
    """The settings of the stage that made a folder; none where the lock has those of another."""
    stage = stages.get(name, {})
    if _digests(stage.get("outs", [])).get(path) != digest:
        return {}
    return _flat(stage.get("params", {}).get("params.yaml", {}))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _digests(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries}


def _flat(nested: dict[str, Any]) -> dict[str, Any]:
    """Nested dicts as one, with dotted keys."""
    from dvc.utils.flatten import flatten

    return dict(flatten(nested))


def _text(files: Any, path: str) -> str | None:
    """The content of a file of a project; None where neither git nor DVC's cache has it."""
    try:
        content: bytes = files.cat_file(path)
    except not_cached():
        return None
    return content.decode()


def _json(files: Any, path: str, name: str) -> dict[str, Any]:
    """The content of a JSON file of a run; empty where it is missing."""
    with _readable(path, name):
        content = json.loads(_text(files, path) or "{}")
    return content if isinstance(content, dict) else {}


@contextmanager
def _readable(path: str, name: str) -> Iterator[None]:
    """Name the run whose file does not parse, for example for a merge's conflict markers."""
    import yaml
    from ruamel.yaml.error import YAMLError

    try:
        yield
    except (ValueError, yaml.YAMLError, YAMLError, AttributeError, TypeError) as error:
        remedy = f"run it again, or {LEAVE_OUT}"
        if name == WORKSPACE:
            kept_by = "dvc" if path.startswith("metrics/training/") else "git"
            remedy = f"`{kept_by} checkout {path}` brings the recorded one back"
        raise UserError(f"{path} of {name} is unreadable ({first_line(error)}); {remedy}") from None
