"""What a run predicted on the test split, and how its training went, from DVC's cache."""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from goemotions.comparison import experiments
from goemotions.comparison.committed import reading
from goemotions.comparison.experiments import LEAVE_OUT, Experiment
from goemotions.data.labels import Labels
from goemotions.errors import UserError, first_line
from goemotions.evaluation import prediction_file
from goemotions.io.parquet import read_parquet
from goemotions.metrics.f1 import Bools, Floats, decide

if TYPE_CHECKING:
    from pyarrow import ChunkedArray

Points = list[dict[str, float]]


@dataclass(frozen=True, eq=False)
class Scored:
    """A run on the test split.

    Attributes:
        ids: of the rows.
        labels: the columns' names, and the task.
        targets, logits: [rows, labels].
        thresholds: logits, [labels]; fixed on validation. None in single-label data.
        training, validation: the points of the curves, each with its step; empty where the files
            are not in the DVC cache.
        measured: what `measures.measure` has found so far, by name.
    """

    ids: list[str]
    labels: Labels
    targets: Bools
    logits: Floats
    thresholds: Floats | None
    training: Points = field(default_factory=list)
    validation: Points = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def decisions(self) -> Bools:
        """Whether each label is given, [rows, labels]."""
        return decide(self.logits, self.thresholds)


class NotCachedError(UserError):
    """A run's predictions are not in DVC's cache or in the workspace; says what brings them."""


@contextmanager
def reader() -> Iterator[Callable[[Experiment], Scored]]:
    """What reads an experiment's predictions and curves.

    Runs that were tested on the same rows share their ids and targets, for memory's sake.

    It raises:
        NotCachedError: the predictions are not in DVC's cache, or those of the workspace are
            of another run than its dvc.lock.
        UserError: they are not what the run wrote.
    """
    from dvc.repo import Repo

    last: Scored | None = None
    with Repo() as repo:

        def read(experiment: Experiment) -> Scored:
            nonlocal last
            with reading(repo, experiment.revision) as files:
                one = _read(files, experiment)
            if last and one.ids == last.ids and np.array_equal(one.targets, last.targets):
                one = replace(one, ids=last.ids, targets=last.targets)
            last = one
            return one

        yield read


def texts(experiment: Experiment) -> dict[str, str]:
    """The texts of the test split by id; empty where they are not in DVC's cache or damaged."""
    from dvc.repo import Repo

    with Repo() as repo, reading(repo, experiment.revision) as files:
        try:
            lines = _content(files, f"data/{experiment.dataset}/test.jsonl", experiment)
            return {row["id"]: row["text"] for row in map(json.loads, lines.splitlines())}
        except (UserError, ValueError):  # damaged
            return {}
        except experiments.not_cached():
            return {}


def _content(files: Any, path: str, experiment: Experiment) -> bytes:
    """A file as a run left it.

    Raises:
        NotCachedError: the workspace has another one.
        UserError: DVC's cache has something else under its digest.
        One of `experiments.not_cached`.
    """
    found: bytes = files.cat_file(path)
    # DVC takes an object of its cache for what its name says, and tells of a file in the
    # workspace what dvc.lock says.
    info = files.info(path)
    written = info.get("md5") or info.get("dvc_info", {}).get("md5")
    if written and hashlib.md5(found, usedforsecurity=False).hexdigest() != written:
        if experiment.revision is None:
            raise NotCachedError(
                f"{path} in the workspace is not that of dvc.lock; `dvc checkout {path}` restores "
                "that one, `dvc repro evaluate` makes it again"
            )
        raise UserError(
            f"{path} of {experiment.name} is not what the run wrote; `goemotions verify --cache` "
            f"says what to remove; then run it again, or {LEAVE_OUT}"
        )
    return found


def _read(files: Any, experiment: Experiment) -> Scored:
    not_cached = experiments.not_cached()
    try:
        predictions = _content(files, "metrics/predictions.parquet", experiment)
    except not_cached:
        raise NotCachedError(
            f"the predictions of {experiment.name} are not in DVC's cache; fetch them with "
            f"`{experiment.fetched_by}` if they were pushed, or make them again with "
            f"`{experiment.again()}`"
        ) from None
    curves = {}
    for name in ("training", "validation"):
        with suppress(*not_cached, NotCachedError):
            path = f"metrics/training/{experiment.loss}/{name}.csv"
            curves[name] = _content(files, path, experiment)
    return parse(predictions, experiment.name, **curves)


def parse(predictions: bytes, name: str, **curves: bytes) -> Scored:
    """The test split as a run's predictions.parquet has it, and its curves.

    Raises:
        UserError: no run writes files like these.
    """
    try:
        return _parse(predictions, **curves)
    except Exception as error:  # whatever damaged bytes make pyarrow raise
        raise UserError(
            f"the predictions of {name} are damaged ({first_line(error)}); run it again, or "
            f"{LEAVE_OUT}"
        ) from None


def _parse(predictions: bytes, **curves: bytes) -> Scored:
    import pyarrow.compute as pc

    table = read_parquet(predictions, ["split", "id", "targets", "logits"])
    table.validate(full=True)
    table = table.filter(pc.equal(table["split"], "test"))
    ids = table["id"].to_pylist()
    labels, thresholds = prediction_file.read_metadata(table.schema)
    values, row = _flat(table["logits"])
    logits = values.astype(float)
    if not np.isfinite(logits).all() or (np.bincount(row, minlength=1) != len(labels)).any():
        raise ValueError(f"a row's logits are not {len(labels)} finite numbers")
    logits = logits.reshape(len(ids), len(labels))
    values, row = _flat(table["targets"])
    if values.dtype.kind not in "iu" or not np.isin(values, np.arange(len(labels))).all():
        raise ValueError(f"a row's targets are not from 0 to {len(labels) - 1}")
    targets = np.zeros(logits.shape, dtype=bool)
    targets[row, values] = True
    points = {
        name: [
            {key: float(value) for key, value in point.items()}
            for point in csv.DictReader(io.StringIO(content.decode(), newline=""))
        ]
        for name, content in curves.items()
    }
    return Scored(ids, labels, targets, logits, thresholds, **points)


def _flat(lists: "ChunkedArray") -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The values of a column of lists, and the row of each."""
    column = lists.combine_chunks()
    if column.null_count:
        raise ValueError("a row has no list")
    row = np.repeat(np.arange(len(column)), column.value_lengths().to_numpy())
    return column.flatten().to_numpy(zero_copy_only=False), row
