"""The comparison as one HTML page, which needs no network and opens from disk.

Every plot is drawn here, as SVG; the page's script only sorts the table and switches between
labels and losses, so nothing is lost where scripts do not run. What comes from data is escaped by
Jinja, and a content security policy admits no script but the page's own.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from goemotions.comparison import loss_curves
from goemotions.comparison.analysis import Comparison, why_separate
from goemotions.comparison.drawing import HERE, Axis, axis, template
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Points, Scored
from goemotions.config import parse_loss
from goemotions.errors import UserError
from goemotions.metrics.f1 import Bools

POINTS = 60  # of a precision-recall curve; more would not be seen


def write(
    path: Path,
    found: list[Experiment],
    comparisons: list[Comparison],
    scored: Mapping[str, Scored],
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: the page; its folder is made.
        found: the experiments.
        comparisons: of them.
        scored: their predictions, by key.

    Raises:
        UserError: the file cannot be written.
    """
    by_key = {experiment.key: experiment for experiment in found}
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = template("page.html").render(
        separate=why_separate(comparisons),
        groups=[_group(one, by_key, scored) for one in comparisons],
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        digest=digest,
    )
    draft = path.with_name(f".{path.name}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(html, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        if path.parent.is_dir():
            draft.unlink(missing_ok=True)
        raise UserError(f"--html: cannot write {path}: {error.strerror}") from None


def _group(
    comparison: Comparison, by_key: Mapping[str, Experiment], scored: Mapping[str, Scored]
) -> dict[str, Any]:
    """What the template shows of one comparison; coordinates are pixels of a 480 wide drawing."""
    of_loss = {row.loss: [by_key[key] for key in row.runs] for row in comparison.rows}
    kept = {loss: scored[runs[0].key] for loss, runs in of_loss.items()}
    return {
        "comparison": comparison,
        "losses": list(of_loss),
        "points": {loss: [e.macro_f1 for e in runs] for loss, runs in of_loss.items()},
        "x": _macro_f1_axis(comparison, of_loss),
        "heat": _heat(comparison),
        "forest": axis(
            [
                bound
                for label in comparison.labels
                for difference in label.difference.values()
                for bound in (difference.low, difference.high, 0.0)
            ]
            or [-1.0, 1.0],
            150,
            470,
        ),
        "functions": {
            loss: figure
            for loss, runs in of_loss.items()
            if (figure := _function(runs[0].settings, kept[loss].targets))
        },
        "validation": _curves(scored, of_loss),
        "training": {
            loss: _training([scored[e.key].training for e in runs])
            for loss, runs in of_loss.items()
        },
        "unit": Axis(0, 1, 40, 470),
        "rise": Axis(0, 1, 290, 10),
        "labels": {
            label.label: {
                loss: _at_label(one, one.labels.index(label.label)) for loss, one in kept.items()
            }
            for label in comparison.labels
        },
        "runs": [(loss, e) for loss, runs in of_loss.items() for e in runs],
    }


def _function(settings: dict[str, Any], targets: Bools) -> dict[str, Any] | None:
    """The loss as a function; None for an older run's that today's code does not know."""
    counts = [*map(int, targets.sum(0)), len(targets)]
    try:
        return loss_curves.figure(parse_loss(settings), counts)
    except UserError:
        return None


def _macro_f1_axis(comparison: Comparison, of_loss: Mapping[str, list[Experiment]]) -> Axis:
    values = [e.macro_f1 for runs in of_loss.values() for e in runs]
    values += [bound for row in comparison.rows for bound in (row.macro_f1.low, row.macro_f1.high)]
    values += [] if comparison.linear is None else [comparison.linear]
    return axis(values, 150, 470)


def _heat(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a label: F1 by loss, its depth of colour, and whether it surely differs."""
    rows = []
    for label in comparison.labels:
        best = max(score.value for score in label.f1.values())
        cells = []
        for row in comparison.rows:
            score, difference = label.f1[row.loss], label.difference.get(row.loss)
            sign = ""
            if difference is not None and difference.low > 0:
                sign = "▲"
            elif difference is not None and difference.high < 0:
                sign = "▼"
            cells.append(
                {
                    "score": score,
                    "difference": difference,
                    "sign": sign,
                    "best": score.value == best,
                    "depth": min(int(score.value * 10), 9),
                }
            )
        rows.append({"label": label.label, "support": label.support, "cells": cells})
    return rows


def _curves(
    scored: Mapping[str, Scored], of_loss: Mapping[str, list[Experiment]]
) -> dict[str, Any] | None:
    """Validation macro-F1 by step, of every run; None where no curve is in the cache."""
    lines = [
        (index, e.seed, [(point["step"], point["macro_f1"]) for point in scored[e.key].validation])
        for index, runs in enumerate(of_loss.values())
        for e in runs
        if scored[e.key].validation
    ]
    every = [point for _, _, line in lines for point in line]
    if not every:
        return None
    x = Axis(0, max(step for step, _ in every), 40, 460)
    y = axis([value for _, value in every], 200, 10)
    return {
        "x": x,
        "y": y,
        "lines": [
            (index, seed, [(x(step), y(value)) for step, value in line])
            for index, seed, line in lines
        ],
    }


def _training(curves: list[Points]) -> dict[str, Any] | None:
    """One loss's training curves, on its own scale: values of different losses say nothing."""
    lines = [[(point["step"], point["loss"]) for point in curve] for curve in curves if curve]
    every = [point for line in lines for point in line]
    if not every:
        return None
    x = Axis(0, max(step for step, _ in every), 45, 225)
    y = axis([value for _, value in every], 110, 10)
    return {"x": x, "y": y, "lines": [[(x(s), y(v)) for s, v in line] for line in lines]}


def _at_label(one: Scored, column: int) -> dict[str, Any]:
    """A run's precision-recall curve of a label, and where its threshold puts it."""
    actual, given = one.targets[:, column], one.decisions[:, column]
    hits = int((actual & given).sum())
    order = np.argsort(-one.probabilities[:, column], kind="stable")
    found = np.cumsum(actual[order])
    ranks = np.arange(1, len(order) + 1)
    recall, precision = found / max(int(actual.sum()), 1), found / ranks
    # At each recall the best precision that is had with it or more, as it is usually drawn.
    upper = np.maximum.accumulate(precision[::-1])[::-1]
    chosen = np.unique(np.searchsorted(recall, np.linspace(0, 1, POINTS) * recall[-1]))
    return {
        "curve": [(float(recall[i]), float(upper[i])) for i in chosen],
        "threshold": float(one.thresholds[column]),
        "given": int(given.sum()),
        "precision": hits / max(int(given.sum()), 1),
        "recall": hits / max(int(actual.sum()), 1),
        "f1": 2 * hits / max(int(actual.sum() + given.sum()), 1),
    }
