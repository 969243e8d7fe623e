"""The figures of the page and of docs/losses.svg, drawn by matplotlib as SVG.

Colours become CSS variables of pages/page.css and text stays text, so that a figure follows the
page's font and its light or dark scheme. The same input gives the same bytes.
"""

import hashlib
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from goemotions.comparison import measures
from goemotions.comparison.analysis import Comparison, Label
from goemotions.comparison.loss_curves import GRID, Curves
from goemotions.comparison.predictions import Points
from goemotions.comparison.statistics import Estimate
from goemotions.metrics.f1 import Floats

Curve = tuple[Floats, Floats, tuple[float, float]]
"""Recalls and precisions, and those two at the threshold."""

WIDTH = 480  # of a figure, in pixels of its viewBox
# Colours that stand for CSS variables until the figure is written; see also figures.mplstyle.
VARIABLES = {"#000001": "ink", "#000002": "dim", "#000003": "line"}
INK, DIM, _ = VARIABLES
SERIES = [f"#00001{index}" for index in range(6)]
VARIABLES |= {colour: f"c{index}" for index, colour in enumerate(SERIES)}
DASHES = ["-", (0, (4, 1.5)), (0, (1, 1)), (0, (4.5, 1.5, 1, 1.5)), (0, (7, 1.5)), (0, (2.5, 1))]
MARKERS = "osD^vP"
# The default comes first, so that the user's own matplotlibrc changes nothing.
_styled = matplotlib.style.context(["default", Path(__file__).with_name("figures.mplstyle")])


@_styled
def scores(comparison: Comparison) -> Markup:
    """Each loss's interval, and a mark for each of its seeds."""
    figure, axes = _figure(34 * len(comparison.rows) + 50)
    if comparison.linear is not None:
        line = axes.axvline(comparison.linear, color=DIM, linestyle=":")
        _tooltip(line, f"TF-IDF and logistic regression: {comparison.linear:.4f}")
    for index, row in enumerate(comparison.rows):
        _interval(axes, index, row.loss, row.score, ".4f", index)
        for seed, score in zip(row.seeds, row.scores, strict=True):
            (mark,) = axes.plot(score, index, **_mark(index))
            _tooltip(mark, f"{row.loss}, seed {seed}: {score:.4f}", "seed")
    _name_rows(axes, [row.loss for row in comparison.rows])
    for number, (top, bottom) in enumerate(joined(comparison)):
        beside = axes.get_yaxis_transform()  # x in shares of the width, y in rows
        at = 1.03 + 0.03 * number
        (line,) = axes.plot(
            [at, at], [top - 0.2, bottom + 0.2], color=INK, clip_on=False, transform=beside
        )
        losses = [row.loss for row in comparison.rows[top : bottom + 1]]
        _tooltip(line, f"not told apart: {', '.join(losses)}", "joined")
    metric = measures.title(comparison.metric)
    axes.set_xlabel(f"{metric} on the test split")
    return _svg(figure, f"{metric} of each seed with the 95% interval of its loss")


def joined(comparison: Comparison) -> list[tuple[int, int]]:
    """First and last row of each longest run of losses that are not told apart (Demsar 2006)."""
    apart = {
        frozenset((pair.loss, pair.other))
        for pair in comparison.pairs
        if pair.verdict in ("better", "worse")
    }
    losses = [row.loss for row in comparison.rows]
    groups: list[tuple[int, int]] = []
    if any(pair.verdict is None for pair in comparison.pairs):
        return groups
    for top in range(len(losses)):
        bottom = top
        while bottom + 1 < len(losses) and not any(
            frozenset((losses[bottom + 1], other)) in apart for other in losses[top : bottom + 1]
        ):
            bottom += 1
        if bottom > top and (not groups or bottom > groups[-1][1]):
            groups.append((top, bottom))
    return groups


@_styled
def profile(comparison: Comparison) -> Markup:
    """The share of labels with test rows whose F1 is at least a value, for each loss."""
    figure, axes = _figure(260)
    losses = [row.loss for row in comparison.rows]
    for index, loss in enumerate(losses):
        values = sorted(label.f1[loss].value for label in comparison.labels if label.support)
        if not values:
            continue
        shares = [1 - number / len(values) for number in range(len(values) + 1)]
        style = _line(index) | {"marker": ""}
        (line,) = axes.step([0, *values], shares, where="post", **style)
        _tooltip(line, loss)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="F1", ylabel="share of labels")
    _legend(figure, losses)
    return _svg(figure, "Share of labels by the F1 that they reach, for each loss")


@_styled
def differences(labels: Sequence[Label], baseline: str, loss: str, index: int) -> Markup:
    """A loss's difference from the baseline for each label; `index` gives its colour."""
    figure, axes = _figure(17 * len(labels) + 50)
    axes.axvline(0, color=DIM, linestyle=":")
    for position, label in enumerate(labels):
        estimate = label.difference[loss]
        _interval(axes, position, label.label, estimate, "+.3f", index)
        axes.plot(estimate.value, position, **_mark(index))
    every = [one for label in labels for one in label.difference.values()]
    axes.update_datalim([(bound, 0) for one in every for bound in (one.low, one.high)])
    axes.autoscale(axis="x")  # the same scale for every loss
    _name_rows(axes, [label.label for label in labels])
    axes.xaxis.set_major_formatter("{x:+g}")
    axes.set_xlabel(f"F1 of {_short(loss)} minus F1 of {_short(baseline)}")
    return _svg(figure, f"Difference of F1 between {loss} and {baseline} for each label")


@_styled
def functions(
    losses: Mapping[str, Curves], title: str, *, caption: str = "", columns: int = 1
) -> Markup:
    """Value and gradient of each loss by logit; thin lines are those of the rarest label."""
    rows = -(-len(losses) // columns)
    figure = Figure(figsize=(WIDTH * columns / 72, 200 * rows / 72))
    panels = figure.subplots(rows, 2 * columns, squeeze=False).reshape(-1, 2)
    for (loss, curves), pair in zip(losses.items(), panels, strict=False):
        for part, axes in enumerate(pair):
            for (present, rare), both in curves.items():
                series = _line(0 if present else 1)
                at = [0 if present else -1]
                axes.plot(GRID, both[part], **series, markevery=at, linewidth=1 if rare else 2)
        pair[0].set_title(f"{_short(loss)}: value")
        pair[1].set_title("gradient")
    for axes in panels[len(losses) :].flat:
        axes.set_axis_off()
    figure.suptitle(caption)
    return _svg(figure, title)


@_styled
def validation(runs: Mapping[str, Mapping[int, Points]]) -> Markup:
    """Validation macro-F1 by step; `runs` holds loss -> seed -> the points."""
    figure, axes = _figure(260)
    for index, (loss, seeds) in enumerate(runs.items()):
        _learning_curves(axes, loss, seeds, "macro_f1", _line(index))
    axes.set_xlabel("step")
    _legend(figure, list(runs))
    return _svg(figure, "Macro-F1 on the validation split by step for each run")


@_styled
def training(loss: str, index: int, seeds: Mapping[int, Points]) -> Markup:
    """The training loss of each run of one loss, on a scale of its own."""
    figure, axes = _figure(150, WIDTH / 2)
    _learning_curves(axes, loss, seeds, "loss", _line(index) | {"marker": ""})
    return _svg(figure, f"Training loss of {loss} by step")


@_styled
def precision_recall(labels: Mapping[str, Mapping[str, Curve]]) -> dict[str, Markup]:
    """Precision by recall of each loss, with a mark at its threshold; one figure per label.

    Args:
        labels: label -> loss -> its curve; every label has the same losses.
    """
    losses = list(next(iter(labels.values()), ()))
    figure, axes = _figure(330)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    _legend(figure, losses)
    lines, marks = [], []
    for index, loss in enumerate(losses):
        lines += axes.plot([], [], **_line(index) | {"marker": ""})
        marks += axes.plot([], [], **_mark(index))
        _tooltip(lines[-1], loss, "curve")
    figures = {}
    for label, curves in labels.items():
        for loss, line, mark in zip(losses, lines, marks, strict=True):
            recalls, precisions, threshold = curves[loss]
            line.set_data(recalls, precisions)
            mark.set_data([threshold[0]], [threshold[1]])
        figures[label] = _svg(figure, f"Precision by recall of {label} for each loss")
        figure.set_layout_engine("none")  # the first label's layout fits all, and takes long
    return figures


def _figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width / 72, height / 72))
    return figure, figure.subplots()


def _line(index: int) -> dict[str, Any]:
    """How the loss of this index is drawn, in every figure."""
    shift = index + index // 6  # so that the seventh differs from the first
    return {
        "color": SERIES[index % 6],
        "linestyle": DASHES[shift % 6],
        "marker": MARKERS[shift % 6],
    }


def _mark(index: int) -> dict[str, Any]:
    return _line(index) | {"linestyle": "", "clip_on": False, "zorder": 3}


def _learning_curves(
    axes: Axes, loss: str, seeds: Mapping[int, Points], column: str, style: dict[str, Any]
) -> None:
    for seed, points in seeds.items():
        (line,) = axes.plot(*zip(*[(p["step"], p[column]) for p in points], strict=True), **style)
        _tooltip(line, f"{loss}, seed {seed}")
    axes.set_xlim(left=0)


def _interval(
    axes: Axes, position: int, name: str, estimate: Estimate, form: str, index: int
) -> None:
    (line,) = axes.plot([estimate.low, estimate.high], [position] * 2, color=SERIES[index % 6])
    value, low, high = (format(x, form) for x in (estimate.value, estimate.low, estimate.high))
    _tooltip(line, f"{name}: {value}, 95% {low} to {high}", "interval")


def _name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Names along the vertical axis, from the top."""
    axes.set_yticks(range(len(names)), [_short(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _legend(figure: Figure, losses: Sequence[str]) -> None:
    axes = figure.axes[0]
    handles = [axes.plot([], [], label=_short(x), **_line(i))[0] for i, x in enumerate(losses)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, handlelength=4)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _tooltip(artist: Any, text: str, kind: str = "run") -> None:
    """A text that is shown where the pointer is over the artist, whose class is `kind`."""
    artist.set_gid(f"tooltip {kind} {text}")


def _svg(figure: Figure, title: str) -> Markup:
    """The figure as an element of a page; `title` is for screen readers."""
    buffer = io.StringIO()
    canvas: Any = FigureCanvasSVG(figure)
    # Figure.savefig would draw twice.
    canvas.print_svg(buffer, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for pattern, replacement in (
        (r' width="[\d.]+pt" height="[\d.]+pt"', ""),
        (r"<defs>\s*<style.*?</style>\s*</defs>", ""),
        (r' id="[a-z\d.]+_\d+"', ""),  # the names of groups, which all figures share
        (r'<g id="tooltip (\w+) ([^"]*)">', r'<g class="\1"><title>\2</title>'),
        (r"font-family: [^;]*; ", ""),  # the page's own
        (r' transform="rotate\(-0 [^"]*"', ""),
        (r"#0000[01]\d(?=[;\"])", lambda colour: f"var(--{VARIABLES[colour[0]]})"),
        (r"\n\s*", "\n"),
        (r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0])),
    ):
        svg = re.sub(pattern, replacement, svg)
    # Markers and clip paths must not share their ids with another figure of the page.
    unique = hashlib.sha256(f"{title} {svg}".encode()).hexdigest()[:8]
    svg = re.sub(r'(id="|href="#|url\(#)(?=[mp][\da-f]{10})', rf"\g<1>{unique}", svg)
    label = f'<svg role="img" aria-label="{escape(title)}"'
    return Markup(svg.replace("<svg", label, 1))  # noqa: S704 (matplotlib escapes texts)
