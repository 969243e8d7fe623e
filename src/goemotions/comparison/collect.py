"""The experiments of this repository that have an evaluation."""

import json
from dataclasses import dataclass
from typing import Any

from goemotions.errors import UserError


@dataclass(frozen=True)
class Experiment:
    """One evaluated experiment: what was selected, and its test macro-F1 with a 95% interval.

    Attributes:
        name: the experiment's, or "workspace".
        seconds: the training's wall-clock time; None where the summary is not in the DVC cache.
        commit: the one that the experiment started from.
        revision: the experiment's own; None for the workspace.
        protocol: all that must be equal for runs to be compared: dataset and model, their digests,
            and every setting but the loss's and the seed.
        settings: the loss's.
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
        found.append(
            Experiment(
                name=name,
                dataset=row["dataset"],
                model=row["model"],
                loss=row["loss"],
                seed=int(row["train.seed"]),
                macro_f1=row["macro_f1"],
                macro_f1_low=row["macro_f1_low"],
                macro_f1_high=row["macro_f1_high"],
                micro_f1=row["micro_f1"],
                seconds=_seconds(row),
                commit=head,
                revision=None if row["rev"] == "workspace" else row["rev"],
                protocol=_protocol(row),
                settings={
                    key.removeprefix(f"losses.{row['loss']}."): value
                    for key, value in row.items()
                    if key.startswith(f"losses.{row['loss']}.") and value is not None
                },
            )
        )
    return sorted(found, key=lambda e: (e.dataset, e.model, -e.macro_f1))


def _protocol(row: dict[str, Any]) -> dict[str, Any]:
    dataset, model = row["dataset"], row["model"]
    kept = (
        "train.", "evaluate.", f"recipes.{model}.", f"models.{model}.", f"datasets.{dataset}.",
        f"data/{dataset}", f"models/{model}",
    )  # fmt: skip
    found = {"dataset": dataset, "model": model}
    found |= {key: value for key, value in row.items() if key.startswith(kept)}
    del found["train.seed"]
    return found


def _seconds(row: dict[str, Any]) -> float | None:
    """How long the experiment trained: from its summary, where the DVC cache has it."""
    import dvc.api
    from dvc.exceptions import DvcException

    path = f"metrics/training/{row['loss']}/summary.json"
    revision = None if row["rev"] == "workspace" else row["rev"]
    try:
        with dvc.api.open(path, rev=revision) as file:
            return float(json.load(file)["seconds"])
    except (DvcException, OSError, ValueError, KeyError):
        return None
