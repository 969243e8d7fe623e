"""The experiments of this repository that have an evaluation."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from goemotions.errors import UserError, first_line


@dataclass(frozen=True)
class Experiment:
    """One evaluated experiment: what was run, and its test macro-F1 with a 95% interval.

    What was run is read from its dvc.lock, which DVC writes when a stage ends; its params.yaml may
    have been changed since.

    Attributes:
        name: the experiment's or revision's, or "workspace".
        seconds: the training's wall-clock time; None where the summary is not in the DVC cache.
        commit: the one that the experiment started from.
        revision: the experiment's own; None for the workspace.
        protocol: all that must be equal for runs to be compared: dataset and model, their digests,
            and every setting but the loss's and the seed.
        settings: the loss's.
        code: the digests of what trained and evaluated it, by path.
        baseline: the linear baseline's macro-F1 on the same data; None where it was not run.
        machine: where it was trained: device, precision, processes and torch's version; empty
            where the summary is not in the DVC cache.
        command: makes it again, after `git checkout` of `commit`.
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
    seconds: float | None
    commit: str
    revision: str | None
    protocol: dict[str, Any]
    settings: dict[str, Any]
    code: dict[str, str]
    baseline: float | None
    machine: dict[str, Any]
    command: str

    @property
    def key(self) -> str:
        """Unique among experiments; names are so within a commit only."""
        return self.revision or "workspace"


def experiments(prefix: str = "", revisions: Sequence[str] = ()) -> list[Experiment]:
    """The evaluated workspace and HEAD, then the evaluated experiments of every commit.

    Those of the newest commits come first.

    Args:
        prefix: only experiments whose name begins so.
        revisions: further commits, branches or tags.

    Raises:
        UserError: this is no DVC repository, or a revision is unknown.
    """
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import RevError, SCMError, resolve_rev

    try:
        with Repo() as repo:
            named = [resolve_rev(repo.scm, revision) for revision in revisions]
            others = sorted(
                {*repo.experiments.ls(all_commits=True), *named},
                key=lambda commit: -repo.scm.resolve_commit(commit).commit_time,
            )
            starts = dict.fromkeys([repo.scm.get_rev(), *others])
            rows: list[dict[str, Any]] = dvc.api.exp_show(revs=list(starts))
            commits = {
                row["rev"]: resolve_rev(
                    repo.scm, "HEAD" if row["rev"] == "workspace" else row["rev"]
                )[:7]
                for row in rows
                if row["typ"] == "baseline"
            }
    except RevError as error:
        raise UserError(
            f"{error}; give a commit, a branch or a tag (see `git log --oneline`)"
        ) from None
    except (DvcException, SCMError) as error:
        raise UserError(
            f"cannot list experiments: {first_line(error)}; where `dvc repro` or `dvc exp run` is "
            "at work in this folder, wait until it has ended"
        ) from None
    found, commit = [], ""
    for row in rows:
        # The commits that experiments start from have no name; "workspace" is a revision.
        name, workspace = row.get("Experiment") or row["rev"], row["rev"] == "workspace"
        commit = commits.get(row["rev"], commit)  # experiments follow the commit they start from
        # DVC fills in "!" where a metrics file cannot be read.
        if not isinstance(row.get("macro_f1"), float) or not name.startswith(prefix):
            continue
        revision = None if workspace else row["rev"]
        run = recorded(_read("dvc.lock", revision))
        if run is None:
            continue
        text = _read(f"metrics/training/{run['loss']}/summary.json", revision)
        summary = json.loads(text or "{}")
        found.append(
            Experiment(
                name=name,
                macro_f1=row["macro_f1"],
                macro_f1_low=row["macro_f1_low"],
                macro_f1_high=row["macro_f1_high"],
                micro_f1=row["micro_f1"],
                seconds=summary.get("seconds"),
                commit=commit,
                revision=revision,
                baseline=row.get("baseline.macro_f1") if run.pop("has_baseline") else None,
                machine={
                    key: summary[key]
                    for key in ("device", "precision", "processes", "torch")
                    if key in summary
                },
                command=_command(run, _read("params.yaml", commit)),
                **run,
            )
        )
    return found


def _command(run: dict[str, Any], text: str | None) -> str:
    """`dvc exp run` with what the run's settings change in a commit's params.yaml."""
    import shlex

    import yaml

    ran = {key: value for key, value in run["protocol"].items() if "/" not in key}
    ran |= {"loss": run["loss"], "train.seed": run["seed"]}
    ran |= {f"losses.{run['loss']}.{key}": value for key, value in run["settings"].items()}
    was = _flat(yaml.safe_load(text or "") or {})
    changes = [
        f"-S {shlex.quote(f'{key}={value if isinstance(value, str) else json.dumps(value)}')}"
        for key, value in sorted(ran.items())
        if was.get(key) != value
    ]
    return " ".join(["dvc exp run", *changes])


def recorded(lock: str | None) -> dict[str, Any] | None:
    """What a dvc.lock says was trained and evaluated; None where that is not one run.

    Args:
        lock: the file's content.
    """
    import yaml

    stages = (yaml.safe_load(lock or "") or {}).get("stages", {})
    try:
        evaluated = stages["evaluate"]["params"]["params.yaml"]
        loss, dataset = evaluated["loss"], evaluated["dataset"]
        stage = stages[f"train@{loss}"]
        trained = dict(stage["params"]["params.yaml"])
        folder = f"models/trained/{loss}"
        if _digests(stages["evaluate"]["deps"])[folder] != _digests(stage["outs"])[folder]:
            return None
    except KeyError:
        return None
    if trained["dataset"] != dataset:
        return None
    settings = trained.pop(f"losses.{loss}")
    seed = trained["train"]["seed"]
    trained["train"] = {key: value for key, value in trained["train"].items() if key != "seed"}
    inputs = {
        path: digest
        for path, digest in _digests(stage["deps"]).items()
        if path.startswith(("data/", "models/"))
    }
    code = {
        path: digest
        for part in (stage, stages["evaluate"])
        for path, digest in _digests(part["deps"]).items()
        if path.startswith(("src/", "stages/"))
    }
    linear = stages.get("baseline", {}).get("params", {}).get("params.yaml", {})
    return {
        "dataset": dataset,
        "model": trained["model"],
        "loss": loss,
        "seed": seed,
        "protocol": _flat({**trained, "evaluate": evaluated["evaluate"], **inputs}),
        "settings": settings,
        "code": code,
        "has_baseline": (linear.get("dataset"), linear.get("evaluate"))
        == (dataset, evaluated["evaluate"]),
    }


def _digests(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries}


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as one, with dotted keys."""
    dotted: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            dotted |= _flat(value, f"{prefix}{key}.")
        else:
            dotted[prefix + key] = value
    return dotted


def _read(path: str, revision: str | None) -> str | None:
    """A file of a revision, from git or DVC's cache; None where neither has it."""
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        content: str = dvc.api.read(path, rev=revision)
    except (DvcException, OSError):
        return None
    return content
