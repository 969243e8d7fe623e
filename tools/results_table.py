"""docs/results.md's table, made from docs/results.json: `make results`.

results.json is a list of runs, each with the keys that `goemotions compare --json` prints.
"""

import json
import sys
from pathlib import Path
from typing import Any

from goemotions.errors import UserError, reported

BEGIN, END = "<!-- made by `make results` from results.json -->", "<!-- end -->"
COLUMNS = ("loss", "seed", "macro-F1", "95% interval", "micro-F1", "seconds", "commit")


def table(runs: list[dict[str, Any]]) -> str:
    """Markdown: a table for each dataset and model, best run first."""
    lines: list[str] = []
    for dataset, model in dict.fromkeys((run["dataset"], run["model"]) for run in runs):
        chosen = [run for run in runs if (run["dataset"], run["model"]) == (dataset, model)]
        lines += ["", f"### {model} on {dataset}", "", _row(COLUMNS), _row(["---"] * len(COLUMNS))]
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
            for run in sorted(chosen, key=lambda run: -run["macro_f1"])
        ]
    return "\n".join([*lines, ""])


def write(source: Path, target: Path) -> None:
    """Put the table of `source` between the markers in `target`.

    Raises:
        UserError: the markers are not there.
    """
    text = target.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise UserError(f"{target} lacks the lines {BEGIN} and {END}, between which the table goes")
    runs = json.loads(source.read_text(encoding="utf-8"))
    target.write_text(f"{before}{BEGIN}\n{table(runs)}\n{END}{after}", encoding="utf-8")


def _row(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    with reported():
        write(Path(sys.argv[1]), Path(sys.argv[2]))
