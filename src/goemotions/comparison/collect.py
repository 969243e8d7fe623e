"""The experiments of this repository that have an evaluation."""

import json
from dataclasses import dataclass
from typing import Any

from goemotions.errors import UserError


@dataclass(frozen=True)
class Experiment:
    """One evaluated experiment: what was run, and its test macro-F1 with a 95% interval.

    What was run is read from its dvc.lock, which DVC writes when a stage ends; its params.yaml may
    have been changed since.

    Attributes:
        name: the experiment's, or "workspace".
        seconds: the training's wall-clock time; None where the summary is not in the DVC cache.
        commit: the one that the experiment started from.
        revision: the experiment's own; None for the workspace.
        protocol: all that must be equal for runs to be compared: dataset and model, their digests,
            and every setting but the loss's and the seed.
        settings: the loss's.
        baseline: the linear baseline's macro-F1 on the same data; None where it was not run.
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
    baseline: float | None


def experiments(prefix: str = "") -> list[Experiment]:
    """Every evaluated experiment of the current commit, and the workspace, best first.

    Args:
        prefix: only experiments whose name begins so.

    Raises:
        UserError: this is no DVC repository.
    """
    import dvc.api
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        rows: list[dict[str, Any]] = dvc.api.exp_show()
        with Repo() as repo:
            head: str = repo.scm.get_rev()[:7]
    except DvcException as error:
        raise UserError(f"cannot list experiments: {error}") from None
    found = []
    for row in rows:
        # The commit that experiments start from has no name; "workspace" is a revision.
        name = row.get("Experiment") or row["rev"]
        # DVC fills in "!" where a metrics file cannot be read.
        if not isinstance(row.get("macro_f1"), float) or not name.startswith(prefix):
            continue
        revision = None if row["rev"] == "workspace" else row["rev"]
        run = recorded(_read("dvc.lock", revision))
        if run is None:
            continue
        summary = _read(f"metrics/training/{run['loss']}/summary.json", revision)
        found.append(
            Experiment(
                name=name,
                macro_f1=row["macro_f1"],
                macro_f1_low=row["macro_f1_low"],
                macro_f1_high=row["macro_f1_high"],
                micro_f1=row["micro_f1"],
                seconds=json.loads(summary)["seconds"] if summary else None,
                commit=head,
                revision=revision,
                baseline=row.get("baseline.macro_f1") if run.pop("has_baseline") else None,
                **run,
            )
        )
    return sorted(found, key=lambda e: (e.dataset, e.model, -e.macro_f1))


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
    linear = stages.get("baseline", {}).get("params", {}).get("params.yaml", {})
    return {
        "dataset": dataset,
        "model": trained["model"],
        "loss": loss,
        "seed": seed,
        "protocol": _flat({**trained, "evaluate": evaluated["evaluate"], **inputs}),
        "settings": settings,
        "has_baseline": (linear.get("dataset"), linear.get("evaluate"))
        == (dataset, evaluated["evaluate"]),
    }


def _digests(entries: list[dict[str, Any]]) -> dict[str, str]:
    return {entry["path"]: entry["md5"] for entry in entries}


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _read(path: str, revision: str | None) -> str | None:
    """A file of a revision, from git or DVC's cache; None where neither has it."""
    import dvc.api
    from dvc.exceptions import DvcException

    try:
        content: str = dvc.api.read(path, rev=revision)
    except (DvcException, OSError):
        return None
    return content
