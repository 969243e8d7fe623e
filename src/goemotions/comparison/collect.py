"""The experiments of this repository that have an evaluation, as tables by dataset and model."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from goemotions.errors import UserError


@dataclass(frozen=True)
class Experiment:
    """One evaluated experiment: what was selected, and its test macro-F1 with a 95% interval.

    `seconds` is the training's wall-clock time, None where the summary is not in the DVC cache;
    `commit` is the one that the experiment started from.
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
            )
        )
    return sorted(found, key=lambda e: (e.dataset, e.model, -e.macro_f1))


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


def show(found: list[Experiment], *, as_json: bool) -> None:
    """Print one table a dataset and model, 80 columns wide, or JSON.

    Raises:
        UserError: there is nothing to show.
    """
    if as_json:
        print(json.dumps([asdict(experiment) for experiment in found], indent=2))
        return
    if not found:
        raise UserError("no experiment has an evaluation yet; run `dvc exp run -S loss=bce`")
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for dataset, model in dict.fromkeys((e.dataset, e.model) for e in found):
        table = Table(title=f"{model} on {dataset}, test split", title_justify="left")
        for column in ("experiment", "loss"):
            table.add_column(column)
        for column in ("seed", "macro-F1", "95% interval"):
            table.add_column(column, justify="right")
        for e in found:
            if (e.dataset, e.model) == (dataset, model):
                span = f"{e.macro_f1_low:.4f} to {e.macro_f1_high:.4f}"
                table.add_row(e.name, e.loss, str(e.seed), f"{e.macro_f1:.4f}", span)
        console.print(table)
