"""What a run predicted on the test split, and how its training went, from DVC's cache."""

import csv
import hashlib
import io
import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import logit

from goemotions.comparison import experiments
from goemotions.comparison.committed import reading
from goemotions.comparison.experiments import Experiment
from goemotions.data.labels import Labels
from goemotions.errors import UserError, first_line
from goemotions.evaluation import prediction_file
from goemotions.io.parquet import read_parquet
from goemotions.metrics.f1 import Bools, Floats, decide

Points = list[dict[str, float]]


@dataclass(frozen=True)
class Scored:
    """A run on the test split.

    Attributes:
        ids: of the rows.
        labels: the columns' names, and the task.
        targets, logits: [rows, labels].
        thresholds: logits, [labels]; fixed on validation. None in single-label data.
        training, validation: the points of the curves, each with its step; empty where the files
            are not in the DVC cache.
    """

    ids: list[str]
    labels: Labels
    targets: Bools
    logits: Floats
    thresholds: Floats | None
    training: Points = field(default_factory=list)
    validation: Points = field(default_factory=list)

    @property
    def decisions(self) -> Bools:
        """Whether each label is given, [rows, labels]."""
        return decide(self.logits, self.thresholds)


class NotCachedError(UserError):
    """A run's predictions are not in DVC's cache; says which command brings them."""


def read(experiment: Experiment) -> Scored:
    """An experiment's predictions and curves.

    Raises:
        NotCachedError: the predictions are not in the local cache.
        UserError: they are not what the run wrote.
    """
    from dvc.repo import Repo

    with Repo() as repo, reading(repo, experiment.revision) as files:
        return _read(files, experiment)


def texts(experiment: Experiment) -> dict[str, str]:
    """The texts of the test split by id; empty where DVC's cache does not have them."""
    from dvc.repo import Repo

    with Repo() as repo, reading(repo, experiment.revision) as files:
        try:
            with files.open(f"data/{experiment.dataset}/test.jsonl", encoding="utf-8") as file:
                return {row["id"]: row["text"] for row in map(json.loads, file)}
        except experiments.not_cached():
            return {}


def _read(files: Any, experiment: Experiment) -> Scored:
    not_cached = experiments.not_cached()

    def content(path: str) -> bytes:
        with files.open(path, "rb") as file:
            found: bytes = file.read()
        # DVC takes an object of its cache for what its name says.
        written = files.info(path).get("md5")
        if written and hashlib.md5(found, usedforsecurity=False).hexdigest() != written:
            raise UserError(
                f"{path} of {experiment.name} is not what the run wrote; `goemotions verify "
                "--cache` says what to remove; then run it again, or leave it out by --only"
            )
        return found

    try:
        predictions = content("metrics/predictions.parquet")
        per_label = content("metrics/per_label.csv")
    except not_cached:
        bring = (
            "`dvc pull evaluate`"
            if experiment.revision is None
            else f"`dvc exp pull <git remote> {experiment.name}`"
        )
        raise NotCachedError(
            f"the predictions of {experiment.name} are not in DVC's cache; {bring} brings them "
            f"from where they were pushed to, `{experiment.command}` makes them again"
        ) from None
    curves = {}
    for name in ("training", "validation"):
        with suppress(*not_cached):
            curves[name] = content(f"metrics/training/{experiment.loss}/{name}.csv")
    return parse(predictions, per_label, experiment.name, **curves)


def parse(predictions: bytes, per_label: bytes, name: str, **curves: bytes) -> Scored:
    """The test split as a run's predictions.parquet and per_label.csv have it, and its curves.

    Raises:
        UserError: no run writes files like these.
    """
    try:
        return _parse(predictions, per_label, **curves)
    except Exception as error:  # whatever damaged bytes make pyarrow raise
        raise UserError(
            f"the predictions of {name} are damaged ({first_line(error)}); run it again, or leave "
            "it out by --only"
        ) from None


def _parse(predictions: bytes, per_label: bytes, **curves: bytes) -> Scored:
    table = read_parquet(predictions, ["split", "id", "targets", "logits"])
    rows: list[dict[str, Any]] = [row for row in table.to_pylist() if row["split"] == "test"]
    logits = np.array([row["logits"] for row in rows], dtype=float)
    by_label = {row["label"]: row["threshold"] for row in _csv(per_label)}
    # Older runs' labels are those of their table, in its order.
    labels = prediction_file.read_labels(table.schema) or Labels(tuple(by_label))
    if logits.ndim != 2 or logits.shape[1] != len(labels) or not np.isfinite(logits).all():
        raise ValueError(f"a row's logits are not {len(labels)} finite numbers")
    targets = np.zeros(logits.shape, dtype=bool)
    for index, row in enumerate(rows):
        if not all(label in range(len(labels)) for label in row["targets"]):
            raise ValueError(f"row {row['id']!r} has the targets {row['targets']}")
        targets[index, row["targets"]] = True
    thresholds = prediction_file.read_thresholds(table.schema)
    if thresholds is None and not labels.single:  # older runs have them in the table alone
        thresholds = logit([float(by_label[label]) for label in labels.names])
    if not (labels.single if thresholds is None else thresholds.shape == (len(labels),)):
        raise ValueError(f"there are no thresholds for {len(labels)} labels")
    points = {
        name: [{key: float(value) for key, value in point.items()} for point in _csv(content)]
        for name, content in curves.items()
    }
    return Scored(
        [row["id"] for row in rows],
        labels,
        targets,
        logits,
        thresholds,
        **points,
    )


def _csv(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))
