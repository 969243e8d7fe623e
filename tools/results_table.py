"""docs/results.md's table, made from docs/results.json: `make results`.

results.json is a list of runs, each with the keys that `goemotions compare --json` prints; of a run
with a limited training, its `protocol` as well.
"""

import json
import sys
from pathlib import Path
from typing import Any

from goemotions.comparison.conclusion import limits
from goemotions.errors import reported
from tools import between

BEGIN, END = "<!-- made by `make results` from results.json -->", "<!-- end -->"
COLUMNS = ("loss", "seed", "macro-F1", "95% interval", "micro-F1", "seconds", "commit")


def table(runs: list[dict[str, Any]]) -> str:
    """Markdown: one table per dataset, model and limit of the training, best run first."""
    lines: list[str] = []
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        limit = limits(run.get("protocol", {}))
        heading = f"{run['model']} on {run['dataset']}" + (f", limited: {limit}" if limit else "")
        groups.setdefault(heading, []).append(run)
    for heading, group in groups.items():
        lines += ["", f"### {heading}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
        lines += [
            _row(
                [
                    run["loss"],
                    str(run["seed"]),
                    f"{run['macro_f1']:.4f}",
                    f"{run['macro_f1_low']:.4f} to {run['macro_f1_high']:.4f}",
                    f"{run['micro_f1']:.4f}",
                    "" if run["seconds"] is None else f"{run['seconds']:,.0f}",
                    run["commit"],
                ]
            )
            for run in sorted(group, key=lambda run: -run["macro_f1"])
        ]
    return "\n".join([*lines, ""])


def write(source: Path, target: Path) -> None:
    """Put the table of `source` between the markers in `target`.

    Raises:
        UserError: the markers are not there.
    """
    runs = json.loads(source.read_text(encoding="utf-8"))
    between.put(target, BEGIN, END, table(runs))


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    with reported():
        write(Path(sys.argv[1]), Path(sys.argv[2]))
