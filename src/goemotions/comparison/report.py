"""The comparison as one HTML page, which needs no network and opens from disk.

The page's script only sorts the table and switches between labels and losses, so nothing is lost
where scripts do not run. Jinja and matplotlib escape what comes from data, and a content security
policy admits no script but the page's own.
"""

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from goemotions.comparison import loss_curves, plots
from goemotions.comparison.analysis import Comparison, why_separate
from goemotions.comparison.conclusion import described
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Scored
from goemotions.config import parse_loss
from goemotions.errors import UserError
from goemotions.metrics.by_label import at_thresholds, precision_by_recall
from goemotions.metrics.f1 import Bools

HERE = Path(__file__).parent
POINTS = 61  # of a precision-recall curve; more would not be seen


def write(
    path: Path,
    experiments: list[Experiment],
    comparisons: list[Comparison],
    scored: Mapping[str, Scored],
) -> None:
    """Write the page, completely or not at all.

    Args:
        path: the page; its folder is created.
        experiments: those that were compared.
        comparisons: of them.
        scored: their predictions, by key.

    Raises:
        UserError: the file cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    by_key = {experiment.key: experiment for experiment in experiments}
    script = (HERE / "page.js").read_text(encoding="utf-8")
    html = templates.get_template("page.html").render(
        separate=why_separate(comparisons),
        groups=[_group(one, by_key, scored) for one in comparisons],
        described=described,
        style=(HERE / "page.css").read_text(encoding="utf-8"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
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
    """What the template shows of one comparison."""
    runs = {row.loss: [by_key[key] for key in row.runs] for row in comparison.rows}
    first = {loss: scored[of_loss[0].key] for loss, of_loss in runs.items()}
    return {
        "comparison": comparison,
        "losses": list(runs),
        "macro_f1": plots.macro_f1(
            comparison, {loss: [e.macro_f1 for e in of_loss] for loss, of_loss in runs.items()}
        ),
        "f1_by_label": _f1_by_label(comparison),
        "differences": {
            loss: plots.differences(comparison, loss, index)
            for index, loss in enumerate(runs)
            if loss != comparison.baseline
        },
        "functions": {
            loss: plots.functions({loss: curves}, f"Value and gradient of {loss} by logit")
            for loss, of_loss in runs.items()
            if (curves := _curves(of_loss[0].settings, first[loss].targets))
        },
        **_learning_curves(runs, scored),
        "labels": _precision_recall(comparison, first),
        "runs": [(loss, e) for loss, of_loss in runs.items() for e in of_loss],
    }


def _curves(settings: dict[str, Any], targets: Bools) -> loss_curves.Curves | None:
    """Value and gradient of a loss; None for an older run's that today's code does not know."""
    try:
        return loss_curves.curves(parse_loss(settings), [*map(int, targets.sum(0)), len(targets)])
    except UserError:
        return None


def _f1_by_label(comparison: Comparison) -> list[dict[str, Any]]:
    """One row per label: each loss's F1, its shade, and whether it differs from the baseline."""
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


def _learning_curves(
    runs: Mapping[str, list[Experiment]], scored: Mapping[str, Scored]
) -> dict[str, Any]:
    """The figures of validation and training; the cache may lack the curves of some runs."""
    points = {
        name: {
            loss: {
                e.seed: [(point["step"], point[column]) for point in getattr(scored[e.key], name)]
                for e in of_loss
                if getattr(scored[e.key], name)
            }
            for loss, of_loss in runs.items()
        }
        for name, column in (("validation", "macro_f1"), ("training", "loss"))
    }
    return {
        "validation": plots.validation(points["validation"])
        if any(points["validation"].values())
        else None,
        "training": {
            loss: plots.training(loss, index, seeds)
            for index, (loss, seeds) in enumerate(points["training"].items())
            if seeds
        },
    }


def _precision_recall(comparison: Comparison, runs: Mapping[str, Scored]) -> dict[str, Any]:
    """Each label's curves, and a table of what each run's threshold gives, by label."""
    decided = {loss: at_thresholds(run.decisions, run.targets) for loss, run in runs.items()}
    curves: dict[str, dict[str, plots.Curve]] = {}
    tables: dict[str, list[tuple[Any, ...]]] = {}
    for label in comparison.labels:
        for loss, run in runs.items():
            column = run.labels.index(label.label)
            precision, recall, f1 = (
                float(decided[loss][name][column]) for name in ("precision", "recall", "f1")
            )
            if label.support:
                curve = precision_by_recall(
                    run.probabilities[:, column], run.targets[:, column], POINTS
                )
                curves.setdefault(label.label, {})[loss] = *curve, (recall, precision)
            predicted = int(run.decisions[:, column].sum())
            threshold = float(run.thresholds[column])
            row = (loss, threshold, predicted, precision, recall, f1)
            tables.setdefault(label.label, []).append(row)
    figures = plots.precision_recall(curves)
    return {
        label.label: {
            "figure": figures.get(label.label),
            "table": tables[label.label],
            "support": label.support,
        }
        for label in comparison.labels
    }
