"""Which loss is best, and how sure are we: experiments grouped by all but loss and seed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from goemotions.comparison import statistics
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Scored
from goemotions.errors import UserError
from goemotions.metrics.bootstrap import resampled_f1
from goemotions.metrics.f1 import Bools, f1

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
    difference: statistics.Difference | None
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
    difference: dict[str, statistics.Difference]


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
    scored: Mapping[str, Scored],
    baseline: str | None = None,
    draws: int = DRAWS,
) -> list[Comparison]:
    """A comparison for each group of experiments that share all but loss and seed.

    Args:
        found: the evaluated experiments.
        scored: the predictions of each experiment, by its key.
        baseline: the loss that the others are compared with, by default bce; where a group lacks
            it, its best.
        draws: of the bootstrap.

    Raises:
        UserError: predictions are of different rows, or no group has the baseline.
    """
    groups: dict[str, list[Experiment]] = {}
    for experiment in found:
        groups.setdefault(json.dumps(experiment.protocol, sort_keys=True), []).append(experiment)
    varying = {
        key
        for key in {key for group in groups.values() for key in group[0].protocol}
        if len({json.dumps(group[0].protocol.get(key)) for group in groups.values()}) > 1
    } - {"dataset", "model"}
    names = sorted({name for group in groups.values() for name in _by_loss(group)})
    if baseline is not None and baseline not in names:
        raise UserError(f"--baseline is {baseline!r}; there are {', '.join(names)}")
    return [
        _compare(
            group,
            baseline or "bce",
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
    by_label = resampled_f1(decided, first.targets, resamples=draws, seed=0)
    drawn = by_label.mean(2)
    place = {key: index for index, key in enumerate(scored)}
    of_loss = {
        loss: statistics.Runs([e.macro_f1 for e in runs], drawn[[place[e.key] for e in runs]])
        for loss, runs in named.items()
    }
    points = {loss: runs.points for loss, runs in of_loss.items()}
    ranked = sorted(named, key=lambda loss: -float(np.mean(points[loss])))
    by_its_score = baseline not in named
    if by_its_score:
        baseline = ranked[0]
    others = [loss for loss in ranked if loss != baseline]
    differences = {loss: statistics.difference(of_loss[loss], of_loss[baseline]) for loss in others}
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
                macro_f1=statistics.estimate(of_loss[loss]),
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
        _conclusion(rows, baseline, by_its_score=by_its_score)
        + _code([*used.values()])
        + _machines([*used.values()])
        + _generated(group[0].dataset),
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

    result = []
    for label in np.argsort(-support, kind="stable"):
        of = {
            loss: statistics.Runs(points[of_loss, label].tolist(), drawn[of_loss, :, label])
            for loss, of_loss in runs.items()
        }
        result.append(
            Label(
                first.labels[label],
                int(support[label]),
                {loss: statistics.estimate(one, skewed=True) for loss, one in of.items()},
                {
                    loss: statistics.difference(one, of[baseline], skewed=True)
                    for loss, one in of.items()
                    if loss != baseline
                },
            )
        )
    return result


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


def _machines(group: list[Experiment]) -> str:
    """A sentence where the runs were not trained in the same precision."""
    precisions = sorted({e.machine["precision"] for e in group if "precision" in e.machine})
    if len(precisions) < 2:
        return ""
    return f" Some were trained in {_listed(precisions)}; that, too, is part of the differences."


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
            differ = sorted(
                key
                for key in {key for kind in every for key in kind}
                if len({json.dumps(kind.get(key)) for kind in every}) > 1
            )
            label += f" ({', '.join(f'{key} {e.settings.get(key)}' for key in differ)})"
        named.setdefault(label, {}).setdefault(e.seed, e)
    return {label: list(runs.values()) for label, runs in named.items()}


def _conclusion(rows: list[Row], baseline: str, *, by_its_score: bool) -> str:
    """What may be said and what not, in some sentences.

    Args:
        by_its_score: whether the baseline is the one because it scored best.
    """
    others = [
        (row.loss, row.difference, row.p)
        for row in rows
        if row.difference is not None and row.p is not None
    ]
    if not others:
        return "One loss alone: there is nothing to compare it with."
    open_ = [loss for loss, _, p in others if p >= 0.05]
    said = []
    for seeds_seen, noise in (
        (True, "the noise of rows and seeds"),
        (False, "the noise of rows, but that of seeds is not seen"),
    ):
        surely = [
            f"{loss} is {'better' if difference.value > 0 else 'worse'} than {baseline}"
            for loss, difference, p in others
            if p < 0.05 and (difference.from_seeds is not None) is seeds_seen
        ]
        if surely:
            said.append(f"{_listed(surely)}, beyond {noise} (Holm's p < 0.05).")
    if open_:
        said.append(
            f"{_listed(open_)} and {baseline} cannot be told apart with these runs."
            if len(open_) == 1
            else f"None of {_listed(open_)} can be told apart from {baseline} with these runs."
        )
    spreads = [row.spread for row in rows if row.spread is not None]
    if len(spreads) < len(rows):
        said.append(
            "A loss with one seed says nothing of what another seed would have given: run at "
            "least three."
        )
    if by_its_score:
        said.append(
            f"{baseline} is what the others are compared with because it scored best here, which "
            "makes p too small; --baseline names another."
        )
    # With one seed the noise of rows holds what more seeds would take out of it.
    from_rows = [d.from_rows for _, d, _ in others if d.from_seeds is not None]
    if open_ and from_rows:
        said.append(_price(float(np.median(from_rows)), spreads, 0.05 / len(others)))
    return " ".join(said)


def _price(from_rows: float, spreads: list[float], level: float) -> str:
    """How many seeds a difference of GOAL takes, at Holm's strictest level."""
    deviation = float(np.sqrt(np.mean(np.square(spreads))))
    seeds = statistics.seeds_needed(
        GOAL, from_rows=from_rows, seed_deviation=deviation, level=level
    )
    if seeds:
        return f"To see a difference of {GOAL} about {seeds} seeds a loss would be needed."
    visible = statistics.smallest_visible(from_rows=from_rows, level=level)
    if visible < GOAL:
        most = statistics.MOST_SEEDS
        return f"To see a difference of {GOAL} more than {most} seeds a loss would be needed."
    return (
        f"No number of seeds shows a difference of {GOAL} on this test split; the smallest that "
        f"it can show is about {visible:.3f}."
    )


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
