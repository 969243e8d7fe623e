"""docs/results.md's tables, made from docs/results.json: `make results`.

results.json is a list of runs, each with the keys of KEPT that `goemotions compare --json` prints.
`make results ADD=PREFIX` first adds the experiments whose names begin so. With `RECIPE=TEXT` they
get a table of that name, with a column for their settings, where each loss has its own.
"""

import argparse
import functools
import json
import math
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy import stats

from goemotions.comparison import experiments, measures, predictions
from goemotions.comparison.conclusion import LIMITS, limits
from goemotions.errors import UserError, reported
from tools import between

BEGIN, END = "<!-- made by `make results` from results.json -->", "<!-- end -->"
KEPT = (
    "dataset", "model", "loss", "seed", "macro_f1", "macro_f1_low", "macro_f1_high",
    "micro_f1", "average_precision", "validation_average_precision", "seconds", "commit", "command",
)  # fmt: skip
AS_COMMITTED = "as in params.yaml of that commit"
COLUMNS = (
    "loss", "seeds", "average precision on validation", "on test", "macro-F1 on test",
    "95%, seeds only",
    "commit",
)  # fmt: skip
ELSEWHERE = (
    "loss=",
    "model=",
    "dataset=",
    "teacher=",
    "train.seed=",
    "train.rows=",
    "train.max_minutes=",
)
Run = dict[str, Any]


def add(source: Path, prefix: str, recipe: str | None = None) -> int:
    """Put the experiments whose names begin with `prefix` into results.json; how many these are.

    A run that is there already, of the same recipe, commit and command, is replaced.

    Raises:
        UserError: there are none, or one's predictions are not in DVC's cache.
    """
    found = []
    with predictions.reader() as read:
        for experiment in experiments.evaluated(prefix):
            corrected, warning = measures.corrected(experiment, read(experiment))
            if warning:
                print(f"warning: {warning}", file=sys.stderr)
            run = vars(corrected) | {"command": corrected.command}
            found.append(_kept(run) | ({"recipe": recipe} if recipe else {}))
    if not found:
        raise UserError(f"no evaluated experiment's name begins with {prefix!r}")
    runs = {_key(run): run for run in [*json.loads(source.read_text(encoding="utf-8")), *found]}
    source.write_text(json.dumps(list(runs.values()), indent=2) + "\n", encoding="utf-8")
    return len(found)


def _kept(experiment: Run) -> Run:
    protocol = experiment["protocol"]
    run = {key: experiment[key] for key in KEPT} | {"teacher": protocol.get("teacher", "none")}
    limited = {key: protocol[key] for key in LIMITS if protocol.get(key) is not None}
    return run | ({"protocol": limited} if limited else {})


def _key(run: Run) -> str:
    # The command has all settings that differ from the commit's; older runs are without it.
    names = ("recipe", "dataset", "model", "loss", "seed", "commit", "command")
    return json.dumps([run.get(name) for name in names])


def table(runs: Sequence[Run]) -> str:
    """Markdown: a table for each dataset, model, teacher and settings that all losses share.

    A row has the means over the seeds of one loss, and of one choice of its own settings.
    """
    lines: list[str] = []
    groups: dict[str, list[Run]] = {}
    for run in runs:
        teacher = run.get("teacher", "none")
        taught = "" if teacher == "none" else f", taught by {teacher}"
        limited = limits(run.get("protocol", {}))
        recipe = [run["recipe"]] if "recipe" in run else _others(run)
        heading = ", ".join([f"{run['model']} on {run['dataset']}{taught}", *recipe])
        groups.setdefault(heading + (f", limited: {limited}" if limited else ""), []).append(run)

    def order(item: tuple[str, list[Run]]) -> tuple[str, bool]:
        first = item[1][0]
        return first["model"], "recipe" in first  # long tables last

    for heading, group in sorted(groups.items(), key=order):
        columns = COLUMNS + ("settings",) * ("recipe" in group[0])
        lines += ["", f"### {heading}", "", *_rows(columns, _by_loss(group))]
    return "\n".join([*lines, ""])


def _others(run: Run) -> list[str]:
    """The settings of `dvc exp run` that are in no column and in no other part of a heading."""
    settings = (part for part in shlex.split(run.get("command", "")) if "=" in part)
    return [one.replace("=", " ") for one in settings if not one.startswith(ELSEWHERE)]


def _own(run: Run) -> str:
    """The settings that a loss has for itself, without the names of model and loss."""
    names = (f"recipes.{run['model']}.", f"losses.{run['loss']}.")
    short = [functools.reduce(str.removeprefix, names, one) for one in _others(run)]
    return ", ".join(short) or AS_COMMITTED


def _by_loss(group: Sequence[Run]) -> list[list[str]]:
    """A row of cells for each loss and its settings; the best average precision first."""
    alike: dict[tuple[str, str], list[Run]] = {}
    for run in group:
        same = alike.setdefault((run["loss"], _own(run) if "recipe" in run else ""), [])
        if any(run["seed"] == one["seed"] for one in same):
            raise UserError(
                f"{run['loss']} with seed {run['seed']} is there twice, from different commits; if "
                "their settings differ, add one of them with RECIPE"
            )
        same.append(run)

    def average(runs: list[Run], key: str) -> float:
        return mean(math.nan if run.get(key) is None else run[key] for run in runs)

    def rank(item: tuple[tuple[str, str], list[Run]]) -> float:
        score = average(item[1], "validation_average_precision")
        return math.inf if math.isnan(score) else -score

    return [
        [
            loss,
            ", ".join(str(seed) for seed in sorted(run["seed"] for run in runs)),
            _number(average(runs, "validation_average_precision")),
            _number(average(runs, "average_precision")),
            _number(average(runs, "macro_f1")),
            _interval([run["macro_f1"] for run in runs]),
            ", ".join(sorted({run["commit"] for run in runs})),
            *([settings] if "recipe" in runs[0] else []),
        ]
        for (loss, settings), runs in sorted(alike.items(), key=rank)
    ]


def _interval(scores: list[float]) -> str:
    """Of the mean over seeds, by Student's t; empty for two runs, where it says nothing."""
    if len(scores) < 3:
        return ""
    half = stats.t.ppf(0.975, len(scores) - 1) * stdev(scores) / len(scores) ** 0.5
    return f"{max(mean(scores) - half, 0):.4f} to {min(mean(scores) + half, 1):.4f}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def write(source: Path, target: Path) -> None:
    """Put the tables of `source` between the markers in `target`.

    Raises:
        UserError: the markers are not there.
    """
    runs = json.loads(source.read_text(encoding="utf-8"))
    between.put(target, BEGIN, END, table(runs))


def _rows(columns: Sequence[str], rows: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (columns, ["---"] * len(columns), *rows)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.results_table", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--add", metavar="PREFIX", help="first add these experiments")
    parser.add_argument("--recipe", metavar="TEXT", help="what the settings of these are called")
    options = parser.parse_args()
    if options.recipe and not options.add:
        parser.error("--recipe is about the experiments that --add adds")
    if options.add:
        added = add(options.source, options.add, options.recipe)
        print(f"{options.source}: {added} experiment(s) added")
    write(options.source, options.target)


if __name__ == "__main__":
    with reported():
        main()
