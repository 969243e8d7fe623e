"""The comparison as one HTML page; matplotlib escapes what comes from data, as Jinja does."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from goemotions.comparison import loss_curves, measures, plots
from goemotions.comparison.analysis import Comparison, Label, why_separate
from goemotions.comparison.conclusion import described
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Points, Scored
from goemotions.config import parse_loss
from goemotions.errors import UserError
from goemotions.metrics.by_label import at_thresholds, precision_by_recall
from goemotions.metrics.f1 import Bools, Floats, probabilities, ranking, sigmoid
from goemotions.pages import render

POINTS = 61  # of a precision-recall curve; more would not be seen
TEXTS = 4  # of a label that one of two losses gets right and the other wrong
SHOWN = 30  # labels that are drawn and not only in a table


def write(
    path: Path,
    experiments: list[Experiment],
    comparisons: list[Comparison],
    scored: Mapping[str, Scored],
    texts: Sequence[Mapping[str, str]],
) -> None:
    """Write the page, completely or not at all.

    Args:
        path: the page; its folder is created.
        experiments: those that were compared.
        comparisons: of them.
        scored: their predictions, by key.
        texts: for each comparison those of its test split, by id; of an empty one the page shows
            none.

    Raises:
        UserError: the file cannot be written.
    """
    by_key = {experiment.key: experiment for experiment in experiments}
    render.write(
        path,
        "comparison.html",
        separate=why_separate(comparisons),
        groups=[
            _group(one, by_key, scored, its) for one, its in zip(comparisons, texts, strict=True)
        ],
        described=described,
    )


def _group(
    comparison: Comparison,
    by_key: Mapping[str, Experiment],
    scored: Mapping[str, Scored],
    texts: Mapping[str, str],
) -> dict[str, Any]:
    """What the template shows of one comparison."""
    runs = {row.loss: [by_key[key] for key in row.runs] for row in comparison.rows}
    first = {loss: scored[of_loss[0].key] for loss, of_loss in runs.items()}
    labels = next(iter(first.values())).labels.names
    scores = {loss: at_thresholds(one.decisions, one.targets) for loss, one in first.items()}
    validation = _points("validation", runs, scored)
    shown = _shown(comparison)
    rest = [label for label in comparison.labels if label not in shown]
    return {
        "comparison": comparison,
        "metric": measures.title(comparison.metric),
        "losses": list(runs),
        "parts": [part for part in (shown, rest) if part],
        "rarest": min(
            (one for one in comparison.labels if one.support),
            key=lambda one: one.support,
            default=shown[0],
        ),
        "single": next(iter(first.values())).labels.single,
        "scores": plots.scores(comparison),
        "joined": plots.joined(comparison),
        "profile": plots.profile(comparison),
        "texts": _texts(shown, list(runs), first, texts) if texts else None,
        "differences": {
            loss: plots.differences(shown, comparison.baseline, loss, index)
            for index, loss in enumerate(runs)
            if loss != comparison.baseline
        },
        "functions": {
            loss: plots.functions({loss: curves}, f"Value and gradient of {loss} by logit")
            for loss, of_loss in runs.items()
            if (curves := _curves(of_loss[0].settings, first[loss].targets))
        },
        "validation": plots.validation(validation) if any(validation.values()) else None,
        "training": {
            loss: plots.training(loss, index, seeds)
            for index, (loss, seeds) in enumerate(_points("training", runs, scored).items())
            if seeds
        },
        "columns": {label.label: labels.index(label.label) for label in comparison.labels},
        "thresholds": {
            loss: {
                "threshold": None if one.thresholds is None else sigmoid(one.thresholds),
                "predicted": one.decisions.sum(0),
            }
            | scores[loss]
            for loss, one in first.items()
        },
        "precision_recall": _precision_recall(
            {label.label: labels.index(label.label) for label in shown}, first, scores
        ),
        "runs": [(loss, e) for loss, of_loss in runs.items() for e in of_loss],
    }


def _shown(comparison: Comparison) -> list[Label]:
    """All labels, or the SHOWN of those with test rows that differ most from the baseline."""
    if len(comparison.labels) <= SHOWN:
        return comparison.labels
    occurring = [label for label in comparison.labels if label.support]

    def most(label: Label) -> float:
        return max((abs(one.value) for one in label.difference.values()), default=0.0)

    chosen = sorted(occurring, key=most, reverse=True)[:SHOWN]
    return [label for label in occurring if label in chosen] or comparison.labels[:SHOWN]


def _texts(
    shown: list[Label], losses: list[str], first: Mapping[str, Scored], texts: Mapping[str, str]
) -> dict[str, Any]:
    """Texts that one of two losses gets right and the other wrong, by label and pair.

    Returns:
        the texts with their labels; for each label "i-j" -> which of them loss i gets right and
        loss j wrong, and the other way round.
    """
    runs = [first[loss] for loss in losses]
    names, ids, targets = runs[0].labels.names, runs[0].ids, runs[0].targets
    decisions = [run.decisions for run in runs]
    clear = [_clearness(run) for run in runs]
    used: dict[int, int] = {}

    def most(right: Bools, difference: Floats) -> list[int]:
        rows = np.flatnonzero(right)
        chosen = rows[np.argsort(-difference[rows], kind="stable")][:TEXTS]
        return [used.setdefault(int(row), len(used)) for row in chosen if ids[row] in texts]

    found = []
    for label in shown:
        column = names.index(label.label)
        right = [one[:, column] == targets[:, column] for one in decisions]
        pairs = {}
        for i, j in combinations(range(len(runs)), 2):
            difference = np.abs(clear[i][:, column] - clear[j][:, column])
            pairs[f"{i}-{j}"] = [
                most(right[i] & ~right[j], difference),
                most(right[j] & ~right[i], difference),
            ]
        found.append(pairs)
    return {
        "labels": [label.label for label in shown],
        "texts": [
            [texts[ids[row]], [names[label] for label in np.flatnonzero(targets[row])]]
            for row in used
        ],
        "right": found,
    }


def _clearness(run: Scored) -> Floats:
    """How far each decision is from the other one, as probabilities, [rows, labels]."""
    if run.thresholds is None:
        return probabilities(run.logits, single=True)
    return sigmoid(run.logits - run.thresholds)


def _curves(settings: dict[str, Any], targets: Bools) -> loss_curves.Curves | None:
    """Value and gradient of a loss; None for an older run's that today's code does not know."""
    try:
        return loss_curves.curves(parse_loss(settings), [*map(int, targets.sum(0)), len(targets)])
    except UserError:
        return None


def _points(
    curve: str, runs: Mapping[str, list[Experiment]], scored: Mapping[str, Scored]
) -> dict[str, dict[int, Points]]:
    """The points of each run's curve, loss -> seed, without runs whose points are not cached."""
    return {
        loss: {e.seed: points for e in of_loss if (points := getattr(scored[e.key], curve))}
        for loss, of_loss in runs.items()
    }


def _precision_recall(
    columns: Mapping[str, int], runs: Mapping[str, Scored], scores: Mapping[str, dict[str, Floats]]
) -> dict[str, Markup]:
    """The figure of each of these labels, by its column, that occurs."""
    curves: dict[str, dict[str, plots.Curve]] = {}
    for loss, run in runs.items():
        recall, precision = scores[loss]["recall"], scores[loss]["precision"]
        ranked = ranking(run.logits, single=run.labels.single)
        for label, column in columns.items():
            if (actual := run.targets[:, column]).any():
                curve = precision_by_recall(ranked[:, column], actual, POINTS)
                at_threshold = float(recall[column]), float(precision[column])
                curves.setdefault(label, {})[loss] = *curve, at_threshold
    return plots.precision_recall(curves)
