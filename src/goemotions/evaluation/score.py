"""Score a trained folder on the test split, under thresholds fitted on validation."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from goemotions.config import Evaluate
from goemotions.data import splits
from goemotions.evaluation.trained import Classifier
from goemotions.io import digests, publish
from goemotions.metrics import by_label
from goemotions.metrics.f1 import sigmoid
from goemotions.metrics.scores import headline
from goemotions.metrics.thresholds import selected


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
        UserError: an input is missing or invalid.
    """
    classifier = Classifier.load(trained)
    read = splits.load(data, "val", "test")
    total = sum(len(split.ids) for split in read.values())
    with tqdm(total=total, unit="text", desc="val and test") as bar:
        logits = {
            name: classifier.logits(split.texts, advance=bar.update) for name, split in read.items()
        }
    thresholds = classifier.thresholds[selected(settings.thresholds, classifier.preferred)]
    targets = read["test"].targets
    scores = headline(
        logits["test"],
        targets,
        thresholds,
        classifier.thresholds["per_label"],
        resamples=settings.bootstrap,
        seed=settings.seed,
    )
    scores |= classifier.limits
    decisions = sigmoid(logits["test"]) >= thresholds
    with publish.replaced(folder) as draft:
        _write_predictions(draft / "predictions.parquet", read, logits)
        for name, rows in (
            ("per_label", by_label.per_label(logits["test"], targets, thresholds)),
            ("precision_recall", by_label.precision_recall(logits["test"], targets)),
            ("confusion", by_label.confusions(decisions, targets)),
        ):
            write_csv(draft / f"{name}.csv", rows)
        digests.write_json(draft / "evaluation.json", scores)
    return scores


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write rows that share their keys as CSV with a header."""
    with publish.unlinked(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _write_predictions(
    path: Path, read: dict[str, splits.Split], logits: dict[str, NDArray[np.float32]]
) -> None:
    import pyarrow
    from pyarrow import parquet

    columns: dict[str, list[Any]] = {"split": [], "id": [], "targets": [], "logits": []}
    for name, split in read.items():
        columns["split"] += [name] * len(split.ids)
        columns["id"] += split.ids
        columns["targets"] += [np.flatnonzero(row) for row in split.targets]
        columns["logits"] += list(logits[name])
    parquet.write_table(pyarrow.table(columns), path)
