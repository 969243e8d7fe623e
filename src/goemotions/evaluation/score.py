"""Score a trained folder on the test split, under thresholds fitted on validation."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from goemotions.config import Evaluate
from goemotions.data import splits
from goemotions.data.labels import Labels
from goemotions.evaluation import prediction_file
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests, publish
from goemotions.metrics import by_label
from goemotions.metrics.f1 import Bools, Floats, decide, ranking
from goemotions.metrics.scores import headline, not_averaged, without_rows


def evaluate(data: Path, trained: Path, folder: Path, settings: Evaluate) -> dict[str, float]:
    """Write evaluation.json, the tables and curves, and predictions.parquet into `folder`.

    Args:
        data: data/<dataset>.
        trained: models/trained/<loss>.
        folder: metrics/.
        settings: which thresholds, and the bootstrap.

    Returns:
        what evaluation.json holds.

    Raises:
        UserError: an input is missing or invalid, or the training had other labels.
    """
    classifier = Classifier.load(trained)
    read = splits.load(data, "val", "test")
    labels = read["test"].labels
    classifier.check_labels(labels, str(trained), data)
    total = sum(len(split.ids) for split in read.values())
    with tqdm(total=total, unit="text", desc="val and test") as bar:
        logits = {
            name: classifier.logits(split.texts, advance=bar.update) for name, split in read.items()
        }
    automatic = settings.thresholds == "cross_validated"
    thresholds = classifier.chosen(None if automatic else settings.thresholds)
    targets = read["test"].targets
    scores = headline(
        logits["test"],
        targets,
        labels,
        thresholds,
        classifier.chosen("per_label"),
        resamples=settings.bootstrap,
        seed=settings.seed,
    )
    scores |= classifier.limits
    with publish.replaced(folder) as draft:
        prediction_file.write(draft / "predictions.parquet", read, logits, thresholds)
        for name, rows in _tables(logits["test"], targets, labels, thresholds).items():
            write_csv(draft / f"{name}.csv", by_label.COLUMNS[name], rows)
        digests.write_json(draft / "evaluation.json", scores)
    if missing := without_rows(labels.names, targets):
        print(not_averaged(missing))
    return scores


def _tables(
    logits: NDArray[np.float32], targets: Bools, labels: Labels, thresholds: Floats | None
) -> dict[str, list[dict[str, Any]]]:
    """The rows of each table and curve, by the name of its file; arguments as of `headline`."""
    decisions = decide(logits, thresholds)
    ranked, names = ranking(logits, single=labels.single), labels.names
    return {
        "per_label": by_label.per_label(ranked, decisions, targets, thresholds, names),
        "precision_recall": by_label.precision_recall(ranked, targets, names),
        "confusion": by_label.confusions(decisions, targets, names),
    }


def write_csv(path: Path, columns: Sequence[str], rows: list[dict[str, Any]]) -> None:
    """Write rows, which have all columns, as CSV with a header; None is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
