"""What runs are compared by: a run's score, and how much each test row moves it.

How far a score would be another on other rows is told by leaving each row out in turn, the
jackknife (Efron and Tibshirani 1993, chapter 11). For macro-F1 its standard error agrees with the
bootstrap's within a few per cent, except where labels have only a few rows, and it needs no draws.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import log_expit, log_softmax

from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Scored
from goemotions.comparison.statistics import Runs
from goemotions.data.labels import Labels
from goemotions.errors import UserError
from goemotions.metrics import bootstrap
from goemotions.metrics.f1 import (
    Bools,
    Floats,
    counts,
    f1_of_counts,
    label_mean,
    ranking,
    with_positives,
)
from goemotions.metrics.scores import grouped

DEFAULT = "macro_f1"
PLAIN = {
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "weighted_f1": "weighted F1",
    "average_precision": "average precision",
    "neg_log_loss": "log loss (negative)",
}
UNBOUNDED = "neg_log_loss"  # all others lie between 0 and 1
OF_PROBABILITIES = ("average_precision", "neg_log_loss")  # others are of decisions


@dataclass(frozen=True)
class Measure:
    """A run's score on the test split.

    Attributes:
        value: of all rows. The higher the better.
        moves: how much each row moves it, [rows]: their standard deviation over the square root of
            their number is the score's standard error over rows.
    """

    value: float
    moves: Floats


def together(every: Iterable[Measure]) -> Runs:
    """The runs of one loss, one per seed."""
    found = list(every)
    return Runs([one.value for one in found], np.stack([one.moves for one in found]))


def names(labels: Labels) -> list[str]:
    """The measures that there are for these labels."""
    accuracy = ["accuracy"] if labels.single else []
    levels = [f"macro_f1_{level}" for level in labels.groupings]
    return [*PLAIN, *accuracy, *levels, *(f"f1_{name}" for name in labels.names)]


def check(name: str) -> None:
    """Refuse a measure that no labels have.

    Raises:
        UserError: there is no such measure.
    """
    if name not in (*PLAIN, "accuracy") and not name.startswith(("macro_f1_", "f1_")):
        raise UserError(
            f"--metric is {name!r}; choose one of: {', '.join(PLAIN)}, accuracy, macro_f1_LEVEL, "
            "f1_LABEL"
        )


def check_margin(margin: float) -> None:
    """Check a margin of equivalence.

    Raises:
        UserError: it is not a positive number.
    """
    if not 0 < margin < float("inf"):
        raise UserError(f"--margin is {margin:g}; it must be above 0")


def title(name: str) -> str:
    """What a measure is called in sentences and tables."""
    return PLAIN.get(name, name)


def measure(name: str, run: Scored) -> Measure:
    """A run's score by one of `names`.

    Raises:
        UserError: there is no such measure.
    """
    known = names(run.labels)
    if name not in known:
        raise UserError(f"--metric is {name!r}; choose one of: {', '.join(known)}")
    if name not in run.measured:
        run.measured[name] = _measure(name, run)
    found: Measure = run.measured[name]
    return found


def _measure(name: str, run: Scored) -> Measure:
    decisions, targets = run.decisions, run.targets
    if name == "average_precision":
        return _average_precision(run.logits, targets, single=run.labels.single)
    if name == "neg_log_loss":
        return _mean(_log_likelihood(run))
    if name == "accuracy":
        return _mean((decisions & targets).any(1).astype(float))
    if name == "micro_f1":
        return _micro_f1(decisions, targets)
    if name == "weighted_f1":
        return _weighted_f1(decisions, targets)
    if name.startswith("f1_"):
        label = run.labels.names.index(name[3:])
        if not targets[:, label].any():
            raise UserError(f"--metric is {name!r}, and no row of the test split has that label")
        return label_f1(decisions, targets, label)
    if name != "macro_f1":
        groups = run.labels.groupings[name.removeprefix("macro_f1_")]
        decisions, targets = (
            grouped(matrix, run.labels.names, groups) for matrix in (decisions, targets)
        )
    return macro_f1(decisions, targets)


def macro_f1(decisions: Bools, targets: Bools) -> Measure:
    """Of the labels with positives; both are [rows, labels]."""
    if not targets.any():
        return Measure(0.0, np.zeros(len(targets)))
    every, without = _f1(decisions, targets)
    return _jackknife(label_mean(every, targets), with_positives(without, targets).mean(1))


def label_f1(decisions: Bools, targets: Bools, label: int) -> Measure:
    """Of one column of [rows, labels]."""
    every, without = _f1(decisions[:, [label]], targets[:, [label]])
    return _jackknife(float(every[0]), without[:, 0])


def corrected(experiment: Experiment, run: Scored) -> tuple[Experiment, str]:
    """The experiment with the scores that its predictions have, and a warning.

    The warning is empty where its evaluation.json has the same scores; an edit or `git checkout`
    can change that file.
    """
    found: dict[str, Any] = {
        name: measure(name, run).value for name in ("macro_f1", "micro_f1", "average_precision")
    }
    wrong = [
        name
        for name, value in found.items()
        if not abs(getattr(experiment, name) - value) < 1e-6  # also of NaN
    ]
    if not wrong:
        return experiment, ""
    low, high = bootstrap.interval(
        run.decisions,
        run.targets,
        resamples=experiment.protocol.get("evaluate.bootstrap", 1000),
        seed=experiment.protocol.get("evaluate.seed", 0),
    )
    name = wrong[0]
    again = "`dvc repro evaluate`" if experiment.revision is None else f"`{experiment.again()}`"
    return (
        replace(experiment, **found, macro_f1_low=low, macro_f1_high=high),
        f"metrics/evaluation.json of {experiment.name} has {getattr(experiment, name):.4f} for "
        f"{name}, but its predictions give {found[name]:.4f}, which is what counts here; {again} "
        "writes the file again.",
    )


def _jackknife(value: float, without: Floats) -> Measure:
    """From the score of all rows, and those without each row, [rows]."""
    return Measure(value, (len(without) - 1) * (value - without))


def _mean(of_rows: Floats) -> Measure:
    value = float(of_rows.mean())
    return Measure(value, of_rows - value)


def _f1(decisions: Bools, targets: Bools) -> tuple[Floats, Floats]:
    """F1 of each label, [labels], and without each row, [rows, labels]."""
    hits, predicted, actual = counts(decisions, targets)

    # Without a row, a label's F1 depends only on whether the row is given the label and has it.
    def without(given: int, present: int) -> Floats:
        return f1_of_counts(hits - given * present, predicted - given, actual - present)

    return without(0, 0), np.where(
        targets,
        np.where(decisions, without(1, 1), without(0, 1)),
        np.where(decisions, without(1, 0), without(0, 0)),
    )


def _micro_f1(decisions: Bools, targets: Bools) -> Measure:
    parts = [(decisions & targets).sum(1), decisions.sum(1), targets.sum(1)]
    sums = [part.sum() for part in parts]
    less = [total - part for total, part in zip(sums, parts, strict=True)]
    return _jackknife(float(f1_of_counts(*sums)), f1_of_counts(*less))


def _weighted_f1(decisions: Bools, targets: Bools) -> Measure:
    every, without = _f1(decisions, targets)
    actual = targets.sum(0)
    left = actual - targets
    return _jackknife(
        float((every * actual).sum() / max(actual.sum(), 1)),
        (without * left).sum(1) / np.maximum(left.sum(1), 1),
    )


def _log_likelihood(run: Scored) -> Floats:
    """The mean logarithm over a row's labels of the probability of what is true, [rows]."""
    if run.labels.single:
        return np.asarray(log_softmax(run.logits, axis=1)[run.targets])
    return np.asarray(log_expit(np.where(run.targets, run.logits, -run.logits)).mean(1))


def _average_precision(logits: Floats, targets: Bools, *, single: bool) -> Measure:
    """The mean over the labels with positives; rows of equal scores are taken together."""
    scores = np.asarray(ranking(logits, single=single), dtype=float)
    value, moves = 0.0, np.zeros(len(targets))
    occurring = np.flatnonzero(targets.any(0))
    for label in occurring:
        one = _label_average_precision(scores[:, label], targets[:, label])
        value, moves = value + one.value, moves + one.moves
    return Measure(value / max(len(occurring), 1), moves / max(len(occurring), 1))


def _label_average_precision(scores: Floats, targets: Bools) -> Measure:
    """Of one label that occurs.

    Precision is counted at the last row of each group of equal scores, as scikit-learn does.
    """
    order = np.argsort(-scores)
    ranked, hit = scores[order], targets[order].astype(float)
    last = np.append(ranked[1:] != ranked[:-1], True)
    ends = np.flatnonzero(last)
    group = np.cumsum(last) - last  # of each row
    found, taken = hit.cumsum()[ends], ends + 1.0  # by the end of each group
    new = np.diff(found, prepend=0.0)
    positives = found[-1]
    # Without a row, the groups before its own stay as they are, and those behind it have one row
    # less, and one hit less where it is one.
    parts = new * found / taken
    value = float(parts.sum() / positives)
    before = parts.cumsum() - parts
    less = np.maximum(taken - 1, 1)
    kept, lost = new * found / less, new / less
    behind, behind_lost = (x[::-1].cumsum()[::-1] - x for x in (kept, lost))
    own = (new[group] - hit) * (found[group] - hit) / less[group]
    without = (before + behind)[group] + own - hit * behind_lost[group]
    moves = np.empty(len(scores))
    moves[order] = _jackknife(value, without / np.maximum(positives - hit, 1)).moves
    return Measure(value, moves)
