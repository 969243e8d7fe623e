"""The comparison as tables for a terminal, as markdown, as LaTeX and as JSON."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from goemotions.comparison import measures
from goemotions.comparison.analysis import Comparison, why_separate
from goemotions.comparison.conclusion import described, listed
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Points, Scored
from goemotions.comparison.rows import Row

LEGEND = (
    "n: seeds. 95%: confidence intervals. p: Holm-adjusted. P(>): probability that a new run "
    "scores higher than one of the baseline's. best: probability of being the best. "
    "docs/statistics.md explains them."
)
_TERMINAL = ("loss", "n", "score", "interval", "difference", "its interval", "p", "P(>)", "best")
_ESCAPED = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "`": r"\textasciigrave{}",
}


def show(
    experiments: list[Experiment],
    comparisons: list[Comparison],
    scored: dict[str, Scored],
    *,
    form: str,
) -> None:
    """Print the runs and the comparisons; tables are 80 columns wide.

    Args:
        form: tables, markdown, latex or json.
        scored: by the runs' keys; JSON has their training curves.
    """
    if form == "json":
        content = {
            "runs": [
                asdict(run) | {"command": run.command, "curves": _curves(scored[run.key])}
                for run in experiments
            ],
            "comparisons": [asdict(comparison) for comparison in comparisons],
        }
        print(json.dumps(content, indent=2))
        return
    for comparison in comparisons:
        {"tables": _terminal, "markdown": _markdown, "latex": _latex}[form](comparison)
    if form == "tables":
        from rich.console import Console

        Console(highlight=False, emoji=False).print(LEGEND)
    if reason := why_separate(comparisons):
        print(f"% {reason}" if form == "latex" else reason)


def _curves(scored: Scored) -> dict[str, Points]:
    return {"training": scored.training, "validation": scored.validation}


def prose(comparison: Comparison) -> str:
    """A paragraph for a report: what was compared, how, and what it shows."""
    seeds = sorted({len(row.seeds) for row in comparison.rows})
    each = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    each += " seed" if seeds[-1] == 1 else " seeds"
    compared = listed([row.loss for row in comparison.rows])
    fitted = ", with decision thresholds fitted on validation" if comparison.thresholds else ""
    methods = (
        f"We fine-tuned {comparison.model} on {comparison.dataset} with {compared}, {each} "
        f"per loss, and scored each run by {measures.title(comparison.metric)} on the "
        f"{comparison.texts:,} texts of the test split{fitted}. Confidence intervals are 95% and "
    )
    if comparison.rows[0].may_be_best is None:
        methods += "cover the choice of test texts (jackknife), but not that of seeds."
    else:
        methods += (
            "cover the choice of test texts (jackknife) and of seeds (Student's t with variances "
            "moderated over losses); p-values are two-sided and Holm-adjusted; losses are called "
            f"equivalent where two one-sided tests bound the difference by {comparison.margin:g}."
        )
    return f"{methods} {comparison.conclusion}"


def _linear(comparison: Comparison) -> str:
    if comparison.linear is None:
        return ""
    more = ", more than every loss here" * (comparison.linear > comparison.rows[0].score.value)
    return f" TF-IDF and logistic regression reach {comparison.linear:.4f}{more}."


def _title(comparison: Comparison) -> str:
    return f"{comparison.model} on {comparison.dataset}, test split"


def _terminal(comparison: Comparison) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, emoji=False)
    settings = described(comparison.apart, "\n")
    console.print("\n".join(filter(None, (_title(comparison), settings))), style="bold")
    console.print(comparison.conclusion + _linear(comparison))
    if comparison.next_run is not None:
        console.print("The most useful next run:")
        console.print(comparison.next_run, soft_wrap=True)  # one line, to be copied
    table = Table(box=box.SIMPLE, padding=(0, 0))
    for name in _TERMINAL:
        left = name == "loss"
        heading = _heading(name, comparison)
        if name == "score":
            heading = heading.replace(" ", "\n")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for row in comparison.rows:
        table.add_row(*[_COLUMNS[name](row) for name in _TERMINAL])
    console.print(table)


def _markdown(comparison: Comparison) -> None:
    print(f"### {_title(comparison)}\n")
    if settings := described(comparison.apart, "\n"):
        print(f"Settings that differ from the other tables:\n{settings}\n")
    print(f"{comparison.conclusion}{_linear(comparison)}\n")
    if comparison.next_run is not None:
        print(f"The most useful next run: `{comparison.next_run}`\n")
    header = [_heading(name, comparison) for name in _COLUMNS]
    for line in (header, ["---"] * len(header), *_cells(comparison)):
        _row(line)
    losses = [row.loss for row in comparison.rows]
    print()
    _row(["F1 by label", "rows", *losses])
    _row(["---"] * (len(losses) + 2))
    for label in comparison.labels:
        scores = [f"{label.f1[loss].value:.3f}" if label.support else "" for loss in losses]
        _row([label.label, str(label.support), *scores])
    print()


def _row(cells: Sequence[str]) -> None:
    """Print a row of a table in markdown."""
    print(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")


def _latex(comparison: Comparison) -> None:
    """A table for the booktabs package, and a paragraph."""
    header = [_heading(name, comparison) for name in _COLUMNS]
    print(r"\begin{table}")
    print(rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}")
    print(r"\toprule")
    print(_line(header))
    print(r"\midrule")
    for line in _cells(comparison):
        print(_line(line))
    print(r"\bottomrule")
    print(r"\end{tabular}")
    differs = f" ({described(comparison.apart)})" if comparison.apart else ""
    print(rf"\caption{{{_escaped(_title(comparison) + differs)}.}}")
    print(r"\end{table}")
    print()
    print(_escaped(prose(comparison)))
    print()


def _line(cells: Sequence[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


def _escaped(text: str) -> str:
    written = "".join(_ESCAPED.get(character, character) for character in text)
    # Two hyphens would become a dash.
    for character, command in (
        ("--", "-{}-"),
        ("±", r"$\pm$"),
        ("<", "$<$"),
        (">", "$>$"),
        ("–", "--"),
    ):
        written = written.replace(character, command)
    return written


def _cells(comparison: Comparison) -> list[list[str]]:
    return [[cell(row) for cell in _COLUMNS.values()] for row in comparison.rows]


def _heading(column: str, comparison: Comparison) -> str:
    return {
        "score": measures.title(comparison.metric),
        "interval": "95%",
        "difference": f"vs {comparison.baseline}",
        "its interval": "95%",
    }.get(column, column)


def _judged(cell: Callable[[Any], str]) -> Callable[[Row], str]:
    """A cell of the pair with the baseline; empty where the noise of seeds is not known."""
    return lambda row: cell(row.against) if row.against and row.against.verdict else ""


def _minutes(row: Row) -> str:
    if row.seconds is None:
        return ""
    return f"{row.seconds / 60:.{1 if row.seconds > 60 else 2}f}"


_COLUMNS: dict[str, Callable[[Row], str]] = {
    "loss": lambda row: row.loss,
    "n": lambda row: str(len(row.seeds)),
    "score": lambda row: f"{row.score.value:.4f}",
    "±": lambda row: "" if row.spread is None else f"{row.spread:.4f}",
    "interval": lambda row: (
        f"{row.score.low:.3f}{'–' if row.score.low >= 0 else ' to '}{row.score.high:.3f}"
    ),
    "difference": lambda row: "" if row.against is None else f"{row.against.difference.value:+.4f}",
    "its interval": _judged(
        lambda pair: f"{pair.difference.low:+.3f}, {pair.difference.high:+.3f}"
    ),
    "p": _judged(lambda pair: "<0.001" if pair.p < 0.001 else f"{pair.p:.3f}"),
    "P(>)": _judged(lambda pair: f"{pair.improvement.value:.2f}"),
    "g": lambda row: "" if row.g is None else f"{row.g:+.1f}",
    "best": lambda row: "" if row.best is None else f"{row.best:.2f}",
    "verdict": _judged(lambda pair: pair.verdict),
    "min": _minutes,
}
