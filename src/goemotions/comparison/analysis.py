"""Which loss is best, and how sure are we: experiments grouped by all but loss and seed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemotions.comparison import statistics
from goemotions.comparison.collect import Experiment
from goemotions.comparison.predictions import Scored
from goemotions.errors import UserError
from goemotions.thresholds import Bools, f1

DRAWS = 10_000
LABEL_DRAWS = 2_000  # for the intervals of single labels, which are read off a plot
GOAL = 0.005  # the difference whose price in seeds the conclusion names


@dataclass(frozen=True)
class Row:
    """One loss. Differences, p, welch and d are against the baseline, None for itself.

    Attributes:
        spread: the standard deviation over seeds; None for one seed.
        p: of the difference, after Holm's correction over the table.
        welch: Welch's p over seeds alone, uncorrected.
        d: Cohen's.
        seconds: training time, the mean of those that are known.
        runs: the keys of its experiments, in the order of the seeds.
    """

    loss: str
    seeds: list[int]
    runs: list[str]
    macro_f1: statistics.Estimate
    spread: float | None
    difference: statistics.Estimate | None
    p: float | None
    welch: float | None
    d: float | None
    seconds: float | None


@dataclass(frozen=True)
class Label:
    """One label: F1 of each loss, and its difference from the baseline's.

    Intervals are those of single labels, without a correction for there being 28.

    Attributes:
        support: rows of the test split that have it.
    """

    label: str
    support: int
    f1: dict[str, statistics.Estimate]
    difference: dict[str, statistics.Estimate]


@dataclass(frozen=True)
class Comparison:
    """Experiments that may be compared: the same dataset, model and settings but loss and seed.

    Attributes:
        apart: the settings that part it from other comparisons.
        baseline: the loss that the others are compared with.
        labels: the most frequent first.
        linear: macro-F1 of TF-IDF and logistic regression on the same data, where it was run.
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
    found: list[Experiment],
    baseline: str,
    scored: Mapping[str, Scored],
    draws: int = DRAWS,
) -> list[Comparison]:
    """A comparison for each group of experiments that share all but loss and seed.

    Args:
        found: the evaluated experiments.
        baseline: the loss that the others are compared with; where a group lacks it, its best.
        scored: the predictions of each experiment, by its key.
        draws: of the bootstrap.

    Raises:
        UserError: predictions are of different rows.
    """
    groups: dict[str, list[Experiment]] = {}
    for experiment in found:
        groups.setdefault(json.dumps(experiment.protocol, sort_keys=True), []).append(experiment)
    varying = {
        key
        for key in {key for group in groups.values() for key in group[0].protocol}
        if len({json.dumps(group[0].protocol.get(key)) for group in groups.values()}) > 1
    } - {"dataset", "model"}
    return [
        _compare(
            group,
            baseline,
            {key: group[0].protocol.get(key) for key in sorted(varying)},
            scored,
            draws,
        )
        for group in groups.values()
    ]


def parted_by(comparisons: list[Comparison]) -> str:
    """A sentence that says why there are several comparisons; empty where there is one."""
    if len(comparisons) < 2:
        return ""
    what = [
        name
        for name in ("dataset", "model")
        if len({getattr(one, name) for one in comparisons}) > 1
    ] + [key for key in comparisons[0].apart if "/" not in key]
    # Digests part runs too; they are named where nothing else does, since datasets imply them.
    what = what or list(comparisons[0].apart)
    return (
        f"The runs fall into {len(comparisons)} groups, which are not compared with each other: "
        f"they differ in {_listed(what)}."
    )


def _compare(
    group: list[Experiment],
    baseline: str,
    apart: dict[str, Any],
    every: Mapping[str, Scored],
    draws: int,
) -> Comparison:
    named = _by_loss(group)
    used = {e.key: e for runs in named.values() for e in runs}
    scored = {key: every[key] for key in used}
    first = next(iter(scored.values()))
    for key, one in scored.items():
        if one.ids != first.ids or not np.array_equal(one.targets, first.targets):
            other = next(iter(used.values())).name
            raise UserError(f"{used[key].name} was tested on other rows than {other}")
    decided = [one.decisions for one in scored.values()]
    by_label = statistics.resampled_by_label(decided, first.targets, draws=draws, seed=0)
    drawn = by_label.mean(2)
    place = {key: index for index, key in enumerate(scored)}
    points = {loss: [e.macro_f1 for e in runs] for loss, runs in named.items()}
    of_loss = {loss: drawn[[place[e.key] for e in runs]] for loss, runs in named.items()}
    ranked = sorted(named, key=lambda loss: -float(np.mean(points[loss])))
    if baseline not in named:
        baseline = ranked[0]
    others = [loss for loss in ranked if loss != baseline]
    differences = {
        loss: statistics.estimate(points[loss], of_loss[loss], points[baseline], of_loss[baseline])
        for loss in others
    }
    adjusted = dict(
        zip(others, statistics.holm([differences[loss].p for loss in others]), strict=True)
    )
    rows = []
    for loss in ranked:
        runs = sorted(named[loss], key=lambda e: e.seed)
        seconds = [e.seconds for e in runs if e.seconds is not None]
        against = loss != baseline
        rows.append(
            Row(
                loss=loss,
                seeds=[e.seed for e in runs],
                runs=[e.key for e in runs],
                macro_f1=statistics.estimate(points[loss], of_loss[loss]),
                spread=float(np.std(points[loss], ddof=1)) if len(points[loss]) > 1 else None,
                difference=differences.get(loss),
                p=adjusted.get(loss),
                welch=statistics.welch(points[loss], points[baseline]) if against else None,
                d=statistics.cohen_d(points[loss], points[baseline]) if against else None,
                seconds=float(np.mean(seconds)) if seconds else None,
            )
        )
    return Comparison(
        group[0].dataset,
        group[0].model,
        apart,
        baseline,
        rows,
        _labels(
            first,
            decided,
            by_label[:, :LABEL_DRAWS],
            {loss: [place[e.key] for e in named[loss]] for loss in ranked},
            baseline,
        ),
        next((e.baseline for e in group if e.baseline is not None), None),
        _conclusion(rows, baseline) + _code([*used.values()]) + _generated(group[0].dataset),
    )


def _labels(
    first: Scored,
    decided: list[Bools],
    drawn: statistics.Floats,
    runs: dict[str, list[int]],
    baseline: str,
) -> list[Label]:
    """Every label's F1 and differences, from the decisions and draws of runs by their place."""
    support = first.targets.sum(0)
    points = np.stack([f1((run & first.targets).sum(0), run.sum(0), support) for run in decided])

    def estimate(label: int, loss: str, minus: str | None) -> statistics.Estimate:
        sides: list[Any] = []
        for side in (loss, minus) if minus else (loss,):
            sides += [points[runs[side], label].tolist(), drawn[runs[side], :, label]]
        return statistics.estimate(*sides, skewed=True)

    return [
        Label(
            first.labels[label],
            int(support[label]),
            {loss: estimate(label, loss, None) for loss in runs},
            {loss: estimate(label, loss, baseline) for loss in runs if loss != baseline},
        )
        for label in np.argsort(-support, kind="stable")
    ]


def _generated(dataset: str) -> str:
    said = " The sample is generated: its numbers say nothing about GoEmotions."
    return said if dataset == "sample" else ""


def _code(group: list[Experiment]) -> str:
    """A sentence where the runs were not made by the same code."""
    versions: dict[str, list[str]] = {}
    for e in group:
        versions.setdefault(json.dumps(e.code, sort_keys=True), []).append(e.name)
    if len(versions) < 2:
        return ""
    differ = {
        path
        for path in {path for e in group for path in e.code}
        if len({e.code.get(path) for e in group}) > 1
    }
    return (
        f" These runs were made by {len(versions)} versions of the code, which differ in "
        f"{_listed(sorted(differ))}; what that changed is part of the differences."
    )


def _by_loss(group: list[Experiment]) -> dict[str, list[Experiment]]:
    """Runs by loss; a loss that was run with several settings is several, named by them.

    Of runs with the same seed as well, such as the workspace and its experiment, the first counts.
    """
    kinds: dict[str, set[str]] = {}
    for e in group:
        kinds.setdefault(e.loss, set()).add(json.dumps(e.settings, sort_keys=True))
    named: dict[str, dict[int, Experiment]] = {}
    for e in group:
        label = e.loss
        if len(kinds[e.loss]) > 1:
            every = [json.loads(kind) for kind in kinds[e.loss]]
            differ = {k for k in every[0] if len({json.dumps(kind.get(k)) for kind in every}) > 1}
            label += " (" + ", ".join(f"{k} {e.settings[k]}" for k in sorted(differ)) + ")"
        named.setdefault(label, {}).setdefault(e.seed, e)
    return {label: list(runs.values()) for label, runs in named.items()}


def _conclusion(rows: list[Row], baseline: str) -> str:
    """What may be said and what not, in a sentence or two."""
    others = [row for row in rows if row.difference is not None and row.p is not None]
    if not others:
        return "One loss alone: there is nothing to compare it with."
    surely = [
        f"{row.loss} is {'better' if row.difference.value > 0 else 'worse'} than {baseline}"
        for row in others
        if row.difference is not None and row.p is not None and row.p < 0.05
    ]
    open_ = [row.loss for row in others if row.p is not None and row.p >= 0.05]
    said = []
    if surely:
        said.append(f"{_listed(surely)}, beyond the noise of rows and seeds (Holm's p < 0.05).")
    if open_:
        said.append(
            f"{_listed(open_)} and {baseline} cannot be told apart with these runs."
            if len(open_) == 1
            else f"None of {_listed(open_)} can be told apart from {baseline} with these runs."
        )
    several = [row for row in rows if row.spread is not None]
    if len(several) < len(rows):
        said.append(
            "A loss with one seed says nothing of what another seed would have given: run at "
            "least three."
        )
    if open_ and several:
        deviation = float(np.sqrt(np.mean([row.spread**2 for row in several if row.spread])))
        from_rows = float(np.median([r.difference.from_rows for r in others if r.difference]))
        seeds = statistics.seeds_needed(GOAL, from_rows=from_rows, seed_deviation=deviation)
        visible = statistics.smallest_visible(from_rows=from_rows)
        said.append(
            f"To see a difference of {GOAL} about {seeds} seeds a loss would be needed."
            if seeds
            else f"No number of seeds shows a difference of {GOAL} on this test split; the "
            f"smallest that it can show is about {visible:.3f}."
        )
    return " ".join(said)


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
