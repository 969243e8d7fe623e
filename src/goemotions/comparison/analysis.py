"""Which loss is best, and how sure is that? Experiments grouped by all but loss and seed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemotions.comparison import statistics
from goemotions.comparison.conclusion import conclude, described, differing, listed
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Scored
from goemotions.errors import UserError
from goemotions.metrics import bootstrap
from goemotions.metrics.f1 import counts, f1, with_positives
from goemotions.metrics.scores import not_averaged, without_rows

RESAMPLES = 10_000
LABEL_RESAMPLES = 2_000  # for the intervals of single labels, which are read off a plot


@dataclass(frozen=True)
class Row:
    """One loss. Differences, p, welch and d are against the baseline, and None for itself.

    Attributes:
        runs: the keys of its experiments, in the order of the seeds.
        spread: the standard deviation over seeds; None for one seed.
        p: of the difference, Holm-adjusted over the table.
        welch: the p of Welch's test over seeds alone, not adjusted.
        d: Cohen's.
        seconds: training time, the mean of the known ones.
    """

    loss: str
    seeds: list[int]
    runs: list[str]
    macro_f1: statistics.Estimate
    spread: float | None
    difference: statistics.Difference | None
    p: float | None
    welch: float | None
    d: float | None
    seconds: float | None


@dataclass(frozen=True)
class Label:
    """One label: the F1 of each loss, and its difference from the baseline's.

    The intervals are those of single labels, not corrected for the number of labels.

    Attributes:
        support: how many rows of the test split have the label.
    """

    label: str
    support: int
    f1: dict[str, statistics.Estimate]
    difference: dict[str, statistics.Difference]


@dataclass(frozen=True)
class Comparison:
    """Experiments with the same dataset, model and settings but for loss and seed.

    Attributes:
        apart: the settings that differ from other comparisons.
        baseline: the loss that the others are compared with.
        rows: one per loss, the best first.
        labels: the most frequent first.
        linear: macro-F1 of TF-IDF and logistic regression on the same data; None where it was not
            run.
    """

    dataset: str
    model: str
    apart: dict[str, Any]
    baseline: str
    rows: list[Row]
    labels: list[Label]
    linear: float | None
    conclusion: str


def analyse(
    experiments: list[Experiment],
    scored: Mapping[str, Scored],
    baseline: str | None = None,
    resamples: int = RESAMPLES,
) -> list[Comparison]:
    """One comparison for each group of experiments that share all but loss and seed.

    Args:
        experiments: the evaluated ones.
        scored: the predictions of each experiment, by its key.
        baseline: the loss that the others are compared with, by default bce; in a group without
            it, the best loss.
        resamples: of the bootstrap.

    Raises:
        UserError: predictions are of different rows, or no group has the baseline.
    """
    groups: dict[str, list[Experiment]] = {}
    for e in experiments:
        # Runs from before a setting existed do not have it, which is the same as null.
        settings = {key: value for key, value in e.protocol.items() if value is not None}
        groups.setdefault(json.dumps(settings, sort_keys=True), []).append(e)
    protocols = [group[0].protocol for group in groups.values()]
    apart = [key for key in differing(protocols) if key not in ("dataset", "model")]
    by_loss = [_by_loss(group) for group in groups.values()]
    losses = sorted({loss for runs in by_loss for loss in runs})
    if baseline is not None and baseline not in losses:
        raise UserError(f"--baseline is {baseline!r}; there are {', '.join(losses)}")
    return [
        _compare(
            runs,
            baseline or "bce",
            {key: protocol.get(key) for key in apart},
            scored,
            resamples,
        )
        for runs, protocol in zip(by_loss, protocols, strict=True)
    ]


def why_separate(comparisons: list[Comparison]) -> str:
    """A sentence that says why there are several comparisons; empty where there is one."""
    if len(comparisons) < 2:
        return ""
    names = [
        name
        for name in ("dataset", "model")
        if len({getattr(one, name) for one in comparisons}) > 1
    ] + [key for key in comparisons[0].apart if "/" not in key]
    # Another dataset or model implies other digests, so those are named only on their own.
    names = names or list(comparisons[0].apart)
    return (
        f"The runs form {len(comparisons)} groups that are not compared with each other, because "
        f"they differ in {listed(names)}."
    )


def _by_loss(group: list[Experiment]) -> dict[str, list[Experiment]]:
    """Runs by loss, in the order of the seeds; a loss with several settings is named with them.

    Of runs with the same seed, such as the workspace and its experiment, the first counts.
    """
    named: dict[str, dict[int, Experiment]] = {}
    for e in group:
        keys = differing([other.settings for other in group if other.loss == e.loss])
        settings = described({key: e.settings.get(key) for key in keys})
        name = f"{e.loss} ({settings})" if settings else e.loss
        named.setdefault(name, {}).setdefault(e.seed, e)
    return {name: [runs[seed] for seed in sorted(runs)] for name, runs in named.items()}


def _compare(
    by_loss: dict[str, list[Experiment]],
    baseline: str,
    apart: dict[str, Any],
    every: Mapping[str, Scored],
    resamples: int,
) -> Comparison:
    experiments = [e for runs in by_loss.values() for e in runs]
    scored = [every[e.key] for e in experiments]
    targets, labels = scored[0].targets, scored[0].labels
    for e, one in zip(experiments, scored, strict=True):
        if (one.labels.names, one.labels.task) != (labels.names, labels.task):
            raise UserError(
                f"{e.name} has other labels than {experiments[0].name}: it is of another dataset; "
                "leave it out by --only"
            )
        if one.ids != scored[0].ids or not np.array_equal(one.targets, targets):
            raise UserError(f"{e.name} was tested on other rows than {experiments[0].name}")
    position = {e.key: index for index, e in enumerate(experiments)}
    positions = {loss: [position[e.key] for e in runs] for loss, runs in by_loss.items()}
    macro, by_label = _resampled(scored, resamples)
    runs = {
        loss: statistics.Runs([experiments[i].macro_f1 for i in at], macro[at])
        for loss, at in positions.items()
    }
    baseline_is_best = baseline not in by_loss
    if baseline_is_best:
        baseline = max(runs, key=lambda loss: float(np.mean(runs[loss].scores)))
    rows = _rows(by_loss, runs, baseline)
    compared = {
        row.loss: (row.difference, row.p)
        for row in rows
        if row.difference is not None and row.p is not None
    }
    missing = without_rows(labels.names, targets)
    conclusion = conclude(compared, baseline, by_loss, baseline_is_best=baseline_is_best)
    return Comparison(
        experiments[0].dataset,
        experiments[0].model,
        apart,
        baseline,
        rows,
        _labels(scored, by_label, positions, baseline),
        next((e.baseline for e in experiments if e.baseline is not None), None),
        " ".join(filter(None, (conclusion, not_averaged(missing) if missing else ""))),
    )


def _resampled(scored: list[Scored], resamples: int) -> tuple[statistics.Floats, statistics.Floats]:
    """Macro-F1 of each run on resampled rows, [runs, resamples], and the first resamples' F1.

    The latter is [runs, LABEL_RESAMPLES at most, labels].
    """
    decisions, targets = [one.decisions for one in scored], scored[0].targets
    macro, by_label, kept = [], [], 0
    for chunk in bootstrap.chunks(decisions, targets, resamples=resamples, seed=0):
        macro.append(with_positives(chunk, targets).mean(2))
        by_label.append(chunk[:, : LABEL_RESAMPLES - kept])
        kept += by_label[-1].shape[1]
    return np.concatenate(macro, axis=1), np.concatenate(by_label, axis=1)


def _rows(
    by_loss: dict[str, list[Experiment]], runs: dict[str, statistics.Runs], baseline: str
) -> list[Row]:
    estimates = {loss: statistics.estimate(one) for loss, one in runs.items()}
    ranked = sorted(runs, key=lambda loss: -estimates[loss].value)
    differences = {
        loss: statistics.difference(runs[loss], runs[baseline])
        for loss in ranked
        if loss != baseline
    }
    adjusted = statistics.holm([difference.p for difference in differences.values()])
    ps = dict(zip(differences, adjusted, strict=True))
    rows = []
    for loss in ranked:
        scores, against = runs[loss].scores, runs[baseline].scores
        seconds = [e.seconds for e in by_loss[loss] if e.seconds is not None]
        rows.append(
            Row(
                loss=loss,
                seeds=[e.seed for e in by_loss[loss]],
                runs=[e.key for e in by_loss[loss]],
                macro_f1=estimates[loss],
                spread=float(np.std(scores, ddof=1)) if len(scores) > 1 else None,
                difference=differences.get(loss),
                p=ps.get(loss),
                welch=statistics.welch(scores, against) if loss != baseline else None,
                d=statistics.cohen_d(scores, against) if loss != baseline else None,
                seconds=float(np.mean(seconds)) if seconds else None,
            )
        )
    return rows


def _labels(
    scored: list[Scored],
    resampled: statistics.Floats,
    positions: dict[str, list[int]],
    baseline: str,
) -> list[Label]:
    """Each label's F1 and differences.

    Args:
        scored: the runs.
        resampled: their F1, [runs, resamples, labels].
        positions: loss -> which of the runs are its own.
    """
    scores = np.stack([f1(*counts(one.decisions, one.targets)) for one in scored])
    support = scored[0].targets.sum(0)
    labels = []
    for label in np.argsort(-support, kind="stable"):
        runs = {
            loss: statistics.Runs(scores[at, label].tolist(), resampled[at, :, label])
            for loss, at in positions.items()
        }
        labels.append(
            Label(
                scored[0].labels.names[label],
                int(support[label]),
                {loss: statistics.estimate(one, percentile=True) for loss, one in runs.items()},
                {
                    loss: statistics.difference(one, runs[baseline], percentile=True)
                    for loss, one in runs.items()
                    if loss != baseline
                },
            )
        )
    return labels
