"""What the bench found, as tables and a plot."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import training
from tools import between

BEGIN, END = "<!-- made by `make bench` from metrics/bench.json -->", "<!-- end -->"


def plot(found: dict[str, Any], path: Path) -> None:
    """The ratios as bars, in SVG."""
    bars = [
        (f"{title}: {contender}", row["ratio"])
        for title, rows in found["contenders"].items()
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


def show(found: dict[str, Any]) -> None:
    """Print the tables of the contenders."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    for title, rows in found["contenders"].items():
        table = Table(*COLUMNS, title=f"{title}: {found['machine']}", title_justify="left")
        for contender, row in rows.items():
            table.add_row(contender, *_cells(row))
        console.print(table)


COLUMNS = ("contender", "ratio", "share of peak", "tokens/s", "memory, GB", "padding")


def _cells(row: dict[str, float]) -> list[str]:
    return [
        f"{row['ratio']:.2f}",
        f"{row['share_of_peak']:.2f}" if row["share_of_peak"] else "",
        f"{row['tokens_per_second']:,.0f}",
        f"{row['peak_memory_gb']:.2f}" if "peak_memory_gb" in row else "",
        f"{row['padding']:.1%}",
    ]


Found = dict[str, Any]
SMALL, LARGE, MPNET = "minilm-l6", "deberta-v3-6x768", "mpnet-12x768"
BASE = training.REFERENCE


def _of(kind: str, model: str, contender: str, key: str = "ratio") -> Callable[[Found], float]:
    return lambda found: float(found["contenders"][f"{kind}, {model}"][contender][key])


def _memory(found: Found) -> float:
    key = "peak_memory_gb"
    ours, theirs = (_of("training", SMALL, contender, key) for contender in ("ours", BASE))
    return ours(found) / theirs(found)


def _int8_loss(found: Found) -> float:
    scores = found["scores"]
    return abs(float(scores["int8"]["macro_f1"] - scores["fp32"]["macro_f1"]))


def _seconds(command: str) -> Callable[[Found], float]:
    return lambda found: float(found["start-up, seconds"][command])


# What was wanted, at least (or, if negative, at most), and where it is found.
TARGETS: tuple[tuple[str, float, Callable[[Found], float]], ...] = (
    ("training MiniLM, float32", 2.2, _of("training", SMALL, "ours")),
    ("training MiniLM, bf16", 3, _of("training", SMALL, "ours, bf16")),
    ("training DeBERTa-v3 6x768, float32", 3.8, _of("training", LARGE, "ours")),
    ("training DeBERTa-v3 6x768, bf16", 7, _of("training", LARGE, "ours, bf16")),
    ("training MPNet 12x768, float32", 2.2, _of("training", MPNET, "ours")),
    ("training MPNet 12x768, bf16", 4, _of("training", MPNET, "ours, bf16")),
    ("share of peak, training DeBERTa-v3 6x768", 0.6,
     _of("training", LARGE, "ours", "share_of_peak")),
    ("peak memory, training MiniLM, float32", -0.8, _memory),
    ("predicting with MiniLM, float32", 2.9, _of("inference", SMALL, "ours")),
    ("predicting with MiniLM, bf16", 4.5, _of("inference", SMALL, "ours, bf16")),
    ("predicting with MiniLM, int8", 6, _of("inference", SMALL, "ours, int8")),
    ("predicting with DeBERTa-v3 6x768, float32", 3.8, _of("inference", LARGE, "ours")),
    ("predicting with DeBERTa-v3 6x768, bf16", 6, _of("inference", LARGE, "ours, bf16")),
    ("predicting with DeBERTa-v3 6x768, int8", 6, _of("inference", LARGE, "ours, int8")),
    ("difference of macro-F1 between int8 and float32", -0.003, _int8_loss),
    ("`goemotions predict` of a text with MiniLM, seconds", -3,
     _seconds('goemotions predict "a text", MiniLM')),
    ("`goemotions --help`, seconds", -0.1, _seconds("goemotions --help")),
)  # fmt: skip


def write(found: Found, document: Path) -> None:
    """Put the tables of `found` between the markers in `document`.

    Raises:
        UserError: the markers are not there.
    """
    between.put(document, BEGIN, END, "\n".join(_tables(found)))


def _tables(found: Found) -> Iterator[str]:
    yield f"\n{found['machine']}; {found['rounds']} rounds, {found['minutes']:.0f} minutes.\n"
    yield "### Targets\n"
    yield from _table(("what", "wanted", "measured"), _targets(found))
    yield "\n### What each technique gains\n"
    header = ("technique", "model", "speed, with / without it", "memory, with / without it")
    yield from _table(header, _techniques(found))
    for title, rows in found["contenders"].items():
        yield f"\n### {title[0].upper()}{title[1:]}\n"
        yield from _table(COLUMNS, ([name, *_cells(row)] for name, row in rows.items()))
    if "scores" in found:
        yield "\n### Scores of a trained MiniLM on the test split\n"
        rows = ([p, *(f"{x:.4f}" for x in score.values())] for p, score in found["scores"].items())
        yield from _table(("precision", "macro-F1", "average precision"), rows)
    for title, parts in found["parts"].items():
        yield f"\n### A training step, {title}\n"
        yield from _table(("part", "ms", "GFLOP", "MB", "least ms"), _parts(parts))
    yield "\n### How cost grows with work\n"
    for title, rates in found["scaling"].items():
        yield f"{title[0].upper()}{title[1:]}:\n"
        yield from _table([f"{int(x):,}" for x in rates], [[f"{y:,.4g}" for y in rates.values()]])
        yield ""
    side = "two trainings side by side, throughput against one"
    if side in found:
        yield "Two training runs of MiniLM side by side, each with half of the cores, have"
        yield f"{found[side]:.2f} times the tokens per second of one with all cores."


def _targets(found: Found) -> Iterator[list[str]]:
    for what, wanted, measure in TARGETS:
        try:
            measured = measure(found)
        except KeyError:  # not on this machine
            yield [what, _wanted(wanted), "not measured"]
            continue
        met = measured >= wanted if wanted > 0 else measured <= -wanted
        digits = 4 if abs(wanted) < 0.01 else 2
        yield [what, _wanted(wanted), f"{measured:.{digits}f}{'' if met else ', missed'}"]


def _wanted(wanted: float) -> str:
    return f"at least {wanted:g}" if wanted > 0 else f"at most {-wanted:g}"


def _techniques(found: Found) -> Iterator[list[str]]:
    for title, rows in found["contenders"].items():
        for name in training.TECHNIQUES:
            if without := rows.get(f"ours without {name}"):
                ours = rows["ours"]
                speed = ours["ratio"] / without["ratio"]
                memory = ours["peak_memory_gb"] / without["peak_memory_gb"]
                yield [name, title.partition(", ")[2], f"{speed:.2f}", f"{memory:.2f}"]


def _parts(parts: dict[str, dict[str, float]]) -> Iterator[list[str]]:
    total: dict[str, float] = dict.fromkeys(next(iter(parts.values())), 0.0)
    for row in parts.values():
        for key, value in row.items():
            total[key] += value
    for name, row in (parts | {"together": total}).items():
        yield [
            name,
            f"{1000 * row['seconds']:.0f}",
            f"{row['operations'] / 1e9:.1f}",
            f"{row['bytes'] / 1e6:,.0f}",
            f"{1000 * row['least_seconds']:.0f}",
        ]


def _table(header: Any, rows: Any) -> Iterator[str]:
    for row in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(row)} |"
