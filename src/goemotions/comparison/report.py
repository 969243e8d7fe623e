"""Which loss is best, and how sure are we: experiments grouped by all but loss and seed."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from goemotions.comparison import statistics
from goemotions.comparison.collect import Experiment
from goemotions.errors import UserError
from goemotions.labels import LABELS
from goemotions.thresholds import Bools, sigmoid

DRAWS = 10_000
GOAL = 0.005  # the difference whose price in seeds the conclusion names


@dataclass(frozen=True)
class Scored:
    """A run's decisions on the test split: ids [rows], targets and decisions [rows, labels]."""

    ids: list[str]
    targets: Bools
    decisions: Bools


@dataclass(frozen=True)
class Row:
    """One loss. Differences, p, welch and d are against the baseline, None for itself.

    Attributes:
        spread: the standard deviation over seeds; None for one seed.
        p: of the difference, after Holm's correction over the table.
        welch: Welch's p over seeds alone, uncorrected.
        d: Cohen's.
        seconds: training time, the mean of those that are known.
    """

    loss: str
    seeds: list[int]
    macro_f1: statistics.Estimate
    spread: float | None
    difference: statistics.Estimate | None
    p: float | None
    welch: float | None
    d: float | None
    seconds: float | None


@dataclass(frozen=True)
class Comparison:
    """Experiments that may be compared: the same dataset, model and settings but loss and seed.

    Attributes:
        apart: the settings that part it from other comparisons.
        baseline: the loss that the others are compared with.
        linear: macro-F1 of TF-IDF and logistic regression on the same data, where it was run.
    """

    dataset: str
    model: str
    apart: dict[str, Any]
    baseline: str
    rows: list[Row]
    linear: float | None
    conclusion: str


def analyse(
    found: list[Experiment],
    baseline: str,
    read: Callable[[Experiment], Scored],
    draws: int = DRAWS,
) -> list[Comparison]:
    """A comparison for each group of experiments that share all but loss and seed.

    Args:
        found: the evaluated experiments.
        baseline: the loss that the others are compared with; where a group lacks it, its best.
        read: an experiment's decisions.
        draws: of the bootstrap.

    Raises:
        UserError: predictions are not to be had, or are of different rows.
    """
    groups: dict[str, list[Experiment]] = {}
    for experiment in found:
        groups.setdefault(json.dumps(experiment.protocol, sort_keys=True), []).append(experiment)
    varying = {
        key
        for key in {key for group in groups.values() for key in group[0].protocol}
        if len({json.dumps(group[0].protocol.get(key)) for group in groups.values()}) > 1
    } - {"dataset", "model"}
    return [
        _compare(
            group,
            baseline,
            {key: group[0].protocol.get(key) for key in sorted(varying)},
            read,
            draws,
        )
        for group in groups.values()
    ]


def _compare(
    group: list[Experiment],
    baseline: str,
    apart: dict[str, Any],
    read: Callable[[Experiment], Scored],
    draws: int,
) -> Comparison:
    named = _by_loss(group)
    scored = {e.name: read(e) for runs in named.values() for e in runs}
    first = next(iter(scored.values()))
    for name, one in scored.items():
        if one.ids != first.ids:
            raise UserError(f"{name} was tested on other rows than {next(iter(scored))}")
    drawn = statistics.resampled(
        [one.decisions for one in scored.values()], first.targets, draws=draws, seed=0
    )
    place = {name: index for index, name in enumerate(scored)}
    points = {loss: [e.macro_f1 for e in runs] for loss, runs in named.items()}
    of_loss = {loss: drawn[[place[e.name] for e in runs]] for loss, runs in named.items()}
    ranked = sorted(named, key=lambda loss: -float(np.mean(points[loss])))
    if baseline not in named:
        baseline = ranked[0]
    others = [loss for loss in ranked if loss != baseline]
    differences = {
        loss: statistics.estimate(points[loss], of_loss[loss], points[baseline], of_loss[baseline])
        for loss in others
    }
    adjusted = dict(
        zip(others, statistics.holm([differences[loss].p for loss in others]), strict=True)
    )
    rows = []
    for loss in ranked:
        seconds = [e.seconds for e in named[loss] if e.seconds is not None]
        against = loss != baseline
        rows.append(
            Row(
                loss=loss,
                seeds=sorted(e.seed for e in named[loss]),
                macro_f1=statistics.estimate(points[loss], of_loss[loss]),
                spread=float(np.std(points[loss], ddof=1)) if len(points[loss]) > 1 else None,
                difference=differences.get(loss),
                p=adjusted.get(loss),
                welch=statistics.welch(points[loss], points[baseline]) if against else None,
                d=statistics.cohen_d(points[loss], points[baseline]) if against else None,
                seconds=float(np.mean(seconds)) if seconds else None,
            )
        )
    return Comparison(
        group[0].dataset,
        group[0].model,
        apart,
        baseline,
        rows,
        next((e.baseline for e in group if e.baseline is not None), None),
        _conclusion(rows, baseline),
    )


def _by_loss(group: list[Experiment]) -> dict[str, list[Experiment]]:
    """Runs by loss; a loss that was run with several settings is several, named by them.

    Of runs that differ in nothing, such as the workspace and its experiment, one counts.
    """
    kinds: dict[str, set[str]] = {}
    for e in group:
        kinds.setdefault(e.loss, set()).add(json.dumps(e.settings, sort_keys=True))
    named: dict[str, dict[int, Experiment]] = {}
    for e in group:
        label = e.loss
        if len(kinds[e.loss]) > 1:
            every = [json.loads(kind) for kind in kinds[e.loss]]
            differ = {k for k in every[0] if len({json.dumps(kind.get(k)) for kind in every}) > 1}
            label += " (" + ", ".join(f"{k} {e.settings[k]}" for k in sorted(differ)) + ")"
        named.setdefault(label, {}).setdefault(e.seed, e)
    return {label: list(runs.values()) for label, runs in named.items()}


def _conclusion(rows: list[Row], baseline: str) -> str:
    """What may be said and what not, in a sentence or two."""
    others = [row for row in rows if row.difference is not None and row.p is not None]
    if not others:
        return "One loss alone: there is nothing to compare it with."
    surely = [
        f"{row.loss} is {'better' if row.difference.value > 0 else 'worse'} than {baseline}"
        for row in others
        if row.difference is not None and row.p is not None and row.p < 0.05
    ]
    open_ = [row.loss for row in others if row.p is not None and row.p >= 0.05]
    said = []
    if surely:
        said.append(f"{_listed(surely)}, beyond the noise of rows and seeds (Holm's p < 0.05).")
    if open_:
        said.append(
            f"{_listed(open_)} and {baseline} cannot be told apart with these runs."
            if len(open_) == 1
            else f"None of {_listed(open_)} can be told apart from {baseline} with these runs."
        )
    several = [row for row in rows if row.spread is not None]
    if len(several) < len(rows):
        said.append(
            "A loss with one seed says nothing of what another seed would have given: run at "
            "least three."
        )
    if open_ and several:
        deviation = float(np.sqrt(np.mean([row.spread**2 for row in several if row.spread])))
        from_rows = float(np.median([r.difference.from_rows for r in others if r.difference]))
        seeds = statistics.seeds_needed(GOAL, from_rows=from_rows, seed_deviation=deviation)
        visible = statistics.smallest_visible(from_rows=from_rows)
        said.append(
            f"To see a difference of {GOAL} about {seeds} seeds a loss would be needed."
            if seeds
            else f"No number of seeds shows a difference of {GOAL} on this test split; the "
            f"smallest that it can show is about {visible:.3f}."
        )
    return " ".join(said)


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def decisions(experiment: Experiment) -> Scored:
    """What an experiment decided on the test split, from DVC's cache.

    Raises:
        UserError: the files are not in the local cache.
    """
    import dvc.api
    from dvc.exceptions import DvcException
    from pyarrow import parquet

    try:
        files = dvc.api.DVCFileSystem(rev=experiment.revision)
        with files.open("metrics/predictions.parquet", "rb") as file:
            table = parquet.read_table(io.BytesIO(file.read()))
        with files.open("metrics/per_label.csv", "r") as file:
            per_label = list(csv.DictReader(file))
    except (DvcException, OSError) as error:
        raise UserError(
            f"the predictions of {experiment.name} are not in the local cache ({error}); "
            f"`dvc fetch` gets them from a remote, or run the experiment again"
        ) from None
    rows = [row for row in table.to_pylist() if row["split"] == "test"]
    logits = np.array([row["logits"] for row in rows])
    targets = np.zeros(logits.shape, dtype=bool)
    for index, row in enumerate(rows):
        targets[index, row["targets"]] = True
    by_label = {row["label"]: float(row["threshold"]) for row in per_label}
    thresholds = np.array([by_label[label] for label in LABELS])
    return Scored([row["id"] for row in rows], targets, sigmoid(logits) >= thresholds)


def show(found: list[Experiment], comparisons: list[Comparison], *, form: str) -> None:
    """Print the runs and the comparisons as "tables", 80 columns wide, "markdown" or "json"."""
    if form == "json":
        content = {
            "runs": [asdict(experiment) for experiment in found],
            "comparisons": [asdict(comparison) for comparison in comparisons],
        }
        print(json.dumps(content, indent=2))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    for comparison in comparisons:
        header, *rows = _cells(comparison)
        title = f"{comparison.model} on {comparison.dataset}, test split"
        linear = (
            f" TF-IDF and logistic regression reach {comparison.linear:.4f}."
            if comparison.linear is not None
            else ""
        )
        settings = "".join(f"\n{key} {value}" for key, value in comparison.apart.items())
        if form == "markdown":
            print(f"### {title}\n")
            if settings:
                print(f"Set apart by:{settings}\n")
            for row in (header, ["---"] * len(header), *rows):
                print(f"| {' | '.join(row)} |")
            print(f"\n{comparison.conclusion}{linear}\n")
            continue
        table = Table(title=title + settings, title_justify="left", box=box.SIMPLE, padding=(0, 0))
        for name in header:
            table.add_column(name, justify="left" if name == "loss" else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print(comparison.conclusion + linear)
        console.print()


def _cells(comparison: Comparison) -> list[list[str]]:
    """The table, header first; n is the number of seeds."""
    table = [["loss", "n", "macro-F1", "±", "95%", f"vs {comparison.baseline}", "95%", "p", "d",
              "min"]]  # fmt: skip
    for row in comparison.rows:
        f1, diff = row.macro_f1, row.difference
        table.append(
            [
                row.loss,
                str(len(row.seeds)),
                f"{f1.value:.4f}",
                "" if row.spread is None else f"{row.spread:.4f}",
                f"{f1.low:.3f}–{f1.high:.3f}",
                "" if diff is None else f"{diff.value:+.4f}",
                "" if diff is None else f"{diff.low:+.3f}, {diff.high:+.3f}",
                "" if row.p is None else f"{row.p:.3f}",
                "" if row.d is None else f"{row.d:+.1f}",
                "" if row.seconds is None else f"{row.seconds / 60:.0f}",
            ]
        )
    return table
