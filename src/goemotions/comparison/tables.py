"""The comparison as tables for a terminal, as markdown and as JSON."""

import json
from dataclasses import asdict

from goemotions.comparison.analysis import Comparison, why_separate
from goemotions.comparison.conclusion import described
from goemotions.comparison.experiments import Experiment

LEGEND = (
    "n: seeds. ±: standard deviation over seeds. 95%: confidence intervals. p: Holm-adjusted. "
    "d: Cohen's d. min: minutes of training per run. docs/statistics.md explains them."
)


def show(experiments: list[Experiment], comparisons: list[Comparison], *, form: str) -> None:
    """Print the runs and the comparisons as "tables", 80 columns wide, "markdown" or "json"."""
    if form == "json":
        content = {
            "runs": [asdict(experiment) for experiment in experiments],
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
        settings = described(comparison.apart, "\n")
        if form == "markdown":
            print(f"### {title}\n")
            if settings:
                print(f"Settings that differ from the other tables:\n{settings}\n")
            for row in (header, ["---"] * len(header), *rows):
                print(f"| {' | '.join(row)} |")
            print(f"\n{comparison.conclusion}{linear}\n")
            losses = [row.loss for row in comparison.rows]
            print(f"| F1 by label | rows | {' | '.join(losses)} |")
            print("| --- " * (len(losses) + 2) + "|")
            for label in comparison.labels:
                scores = " | ".join(
                    f"{label.f1[loss].value:.3f}" if label.support else "" for loss in losses
                )
                print(f"| {label.label} | {label.support} | {scores} |")
            print()
            continue
        table = Table(
            title="\n".join(filter(None, (title, settings))),
            title_justify="left",
            box=box.SIMPLE,
            padding=(0, 0),
        )
        for name in header:
            left = name == "loss"
            table.add_column(name, justify="left" if left else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print(comparison.conclusion + linear)
        console.print()
    if form == "tables":
        console.print(LEGEND)
    if reason := why_separate(comparisons):
        console.print(reason)


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
                "" if row.p is None else "<0.001" if row.p < 0.001 else f"{row.p:.3f}",
                "" if row.d is None else f"{row.d:+.1f}",
                ""
                if row.seconds is None
                else f"{row.seconds / 60:.{1 if row.seconds > 60 else 2}f}",
            ]
        )
    return table
