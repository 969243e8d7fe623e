"""What the bench found, as tables, a plot and the machine's name."""

from pathlib import Path
from typing import Any

import torch


def machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    capability = torch.backends.cpu.get_cpu_capability()
    return f"CPU, {torch.get_num_threads()} threads, {capability}, torch {torch.__version__}"


def plot(report: dict[str, Any], path: Path) -> None:
    """The ratios as bars, in SVG."""
    bars = [
        (f"{title}: {contender}", row["ratio"])
        for title, rows in report["contenders"].items()
        for contender, row in rows.items()
    ]
    widest = max(ratio for _, ratio in bars)
    lines = [
        f'<text x="380" y="{24 * n + 17}" text-anchor="end">{name}</text>'
        f'<rect x="390" y="{24 * n + 4}" width="{360 * ratio / widest:.1f}" height="16" '
        f'fill="{"#0b6e4f" if ": ours" in name else "#8a8f98"}"/>'
        f'<text x="{396 + 360 * ratio / widest:.1f}" y="{24 * n + 17}">{ratio:.2f}</text>'
        for n, (name, ratio) in enumerate(bars)
    ]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 {24 * len(bars) + 8}" '
        'font-family="sans-serif" font-size="12" role="img" aria-label="speed against the '
        'reference">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(lines)
        + "\n</svg>\n",
        encoding="utf-8",
    )


def show(report: dict[str, Any]) -> None:
    """Print a table for each kind and model, and the scaling figures."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in report["contenders"].items():
        table = Table(title=f"{title}: {report['machine']}", title_justify="left")
        table.add_column("contender")
        for column in ("ratio", "rows/s", "tokens/s", "of peak", "GB", "padding"):
            table.add_column(column, justify="right")
        for contender, row in rows.items():
            table.add_row(
                contender,
                f"{row['ratio']:.2f}",
                f"{row['examples_per_second']:.1f}",
                f"{row['tokens_per_second']:,.0f}",
                f"{row['share_of_peak']:.2f}",
                f"{row['peak_memory_gb']:.2f}",
                f"{row['padding']:.1%}",
            )
        console.print(table)
    for curve, points in report.get("scaling", {}).items():
        listed = ", ".join(f"{int(x):,}: {y:,.4g}" for x, y in points.items())
        console.print(f"{curve}: {listed}", soft_wrap=True)
