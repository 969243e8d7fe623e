"""Which loss is best, and how sure are we? Experiments grouped by all but loss and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import combinations
from typing import Any

import numpy as np

from goemotions.comparison import measures, statistics
from goemotions.comparison.conclusion import conclude, described, differing, listed
from goemotions.comparison.experiments import LEAVE_OUT, Experiment
from goemotions.comparison.predictions import Scored
from goemotions.comparison.rows import Pair, Row, Verdict
from goemotions.comparison.statistics import LEVEL, Estimate, Runs, Spread
from goemotions.errors import UserError
from goemotions.metrics.scores import not_averaged, without_rows

MARGIN = 0.005
# What belongs to the entry that a selector names.
_OWNERS = {"recipes.": "model", "models/": "model", "data/": "dataset", "teachers/": "teacher"}
DIVERGED = 0.5  # of the median score: a run below it is named


@dataclass(frozen=True)
class Label:
    """One label: the F1 of each loss, and its difference from the baseline's.

    The intervals are those of single labels, not corrected for the number of labels.

    Attributes:
        support: how many rows of the test split have the label.
    """

    label: str
    support: int
    f1: dict[str, Estimate]
    difference: dict[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """Experiments with the same dataset, model and settings but for loss and seed.

    Attributes:
        apart: the settings that differ from other comparisons.
        metric: what is compared, one of `measures.names`.
        margin: differences up to it are equivalent.
        texts: of the test split.
        thresholds: whether the metric is of decisions by thresholds.
        baseline: the loss that the others are compared with.
        rows: one per loss, the best first.
        pairs: of all losses; Holm's family is all of them.
        labels: the most frequent first.
        linear: the score of TF-IDF and logistic regression on the same data; None where it was not
            run or has no such score.
        next_run: the command of the most useful next run; None where none would help.
    """

    dataset: str
    model: str
    apart: dict[str, Any]
    metric: str
    margin: float
    texts: int
    thresholds: bool
    baseline: str
    rows: list[Row]
    pairs: list[Pair]
    labels: list[Label]
    linear: float | None
    next_run: str | None
    conclusion: str


def analyse(
    experiments: list[Experiment],
    scored: Mapping[str, Scored],
    baseline: str | None = None,
    *,
    metric: str = measures.DEFAULT,
    margin: float = MARGIN,
    own_recipes: bool = False,
) -> list[Comparison]:
    """One comparison for each group of experiments that share all but loss and seed.

    Args:
        experiments: the evaluated ones.
        scored: the predictions of each experiment, by its key. All scores come from them.
        baseline: the loss that the others are compared with, by default bce; in a group without
            it, the best loss.
        metric: what is compared, one of `measures.names`.
        margin: up to which difference two losses are equivalent, in units of the metric.
        own_recipes: a recipe is the loss's own, so runs that differ in it are in one comparison.

    Raises:
        UserError: predictions are of different rows, no group has the baseline, or the metric or
            the margin is not allowed.
    """
    measures.check_margin(margin)
    groups: dict[str, list[Experiment]] = {}
    for e in experiments:
        groups.setdefault(e.comparable(own_recipes=own_recipes), []).append(e)
    protocols = [group[0].protocol for group in groups.values()]
    apart = differing_settings(protocols, own_recipes=own_recipes)
    by_loss = [_by_loss(group) for group in groups.values()]
    losses = sorted({loss for runs, _ in by_loss for loss in runs})
    if baseline is not None and baseline not in losses:
        raise UserError(f"--baseline is {baseline!r}; choose one of: {', '.join(losses)}")
    return [
        _compare(
            runs,
            repeated,
            baseline or "bce",
            {key: protocol.get(key) for key in apart if not _of_another(key, protocol)},
            scored,
            metric,
            margin,
        )
        for (runs, repeated), protocol in zip(by_loss, protocols, strict=True)
    ]


def differing_settings(
    protocols: Sequence[Mapping[str, Any]], *, own_recipes: bool = False
) -> list[str]:
    """The settings and inputs in which runs differ; not those of other models and datasets."""
    return [
        key
        for key in differing(protocols)
        if key not in ("dataset", "model")
        and not (own_recipes and key.startswith("recipes."))
        and key in differing([one for one in protocols if not _of_another(key, one)])
    ]


def why_separate(comparisons: list[Comparison]) -> str:
    """A sentence that says why there are several comparisons; empty where there is one."""
    if len(comparisons) < 2:
        return ""
    names = [
        name
        for name in ("dataset", "model")
        if len({getattr(one, name) for one in comparisons}) > 1
    ]
    apart = list(dict.fromkeys(key for one in comparisons for key in one.apart))
    # Another dataset or model implies other digests, so those are named only on their own.
    names = names + [key for key in apart if "/" not in key] or apart
    reason = (
        f"The runs form {len(comparisons)} groups that are not compared with each other, because "
        f"they differ in {listed(names)}."
    )
    if all(name.startswith("recipes.") for name in names):
        reason += " --own-recipes compares them, each loss with its own recipe."
    return reason


def _of_another(key: str, protocol: Mapping[str, Any]) -> bool:
    """Whether a setting or an input is that of another model, dataset or teacher than a run's."""
    for start, selector in _OWNERS.items():
        if key.startswith(start):
            own = f"{start}{protocol.get(selector)}"
            return not f"{key}/".startswith((f"{own}/", f"{own}."))
    return False


def _by_loss(
    group: list[Experiment],
) -> tuple[dict[str, list[Experiment]], list[tuple[Experiment, Experiment]]]:
    """Runs by loss, in the order of the seeds; a loss with several settings is named with them.

    Of runs with the same seed, such as the workspace and its experiment, the first counts. The
    others are returned, too, each with the one that counts.
    """
    named: dict[str, dict[int, Experiment]] = {}
    repeated = []
    keys = {
        loss: differing([e.settings | e.recipe for e in group if e.loss == loss])
        for loss in {e.loss for e in group}
    }
    for e in group:
        settings = described({key: (e.settings | e.recipe).get(key) for key in keys[e.loss]})
        name = f"{e.loss} ({settings})" if settings else e.loss
        counts = named.setdefault(name, {}).setdefault(e.seed, e)
        if counts is not e:
            repeated.append((e, counts))
    by_loss = {name: [runs[seed] for seed in sorted(runs)] for name, runs in named.items()}
    return by_loss, repeated


def _compare(
    by_loss: dict[str, list[Experiment]],
    repeated: list[tuple[Experiment, Experiment]],
    baseline: str,
    apart: dict[str, Any],
    scored: Mapping[str, Scored],
    metric: str,
    margin: float,
) -> Comparison:
    _check_rows([e for runs in by_loss.values() for e in runs], scored)
    by_loss, notes = _without_copies(by_loss, scored)
    every = [e for runs in by_loss.values() for e in runs]
    runs = _measured(metric, by_loss, scored)
    if len(by_loss) > 1:
        notes.insert(0, _recipes(by_loss))
    notes += _diverged(by_loss, scored)
    notes += _left_out(repeated, scored)
    baseline_is_best = baseline not in by_loss
    if baseline_is_best:
        baseline = max(runs, key=lambda loss: runs[loss].mean)
    spreads = statistics.spreads(runs)
    draws = statistics.Draws(runs, spreads) if spreads else None
    ranked = sorted(runs, key=lambda loss: -runs[loss].mean)
    others = [(loss, baseline) for loss in ranked if loss != baseline]
    against = {pair.loss: pair for pair in _pairs(others, runs, spreads, draws, margin)}
    pairs = _pairs(list(combinations(ranked, 2)), runs, spreads, draws, margin)
    rows = _rows(by_loss, runs, spreads, draws, ranked, against, metric)
    first = scored[every[0].key]
    if missing := without_rows(first.labels.names, first.targets):
        notes.append(not_averaged(missing))
    linear = next((e.baseline for e in every if e.baseline), {}).get(metric)
    conclusion, next_run = conclude(
        rows,
        pairs,
        by_loss,
        runs,
        baseline,
        metric,
        margin,
        quieter=_measured("average_precision", by_loss, scored)
        if metric == measures.DEFAULT
        else None,
        baseline_is_best=baseline_is_best,
    )
    return Comparison(
        dataset=every[0].dataset,
        model=every[0].model,
        apart=apart,
        metric=metric,
        margin=margin,
        texts=len(first.ids),
        thresholds=not first.labels.single and metric not in measures.OF_PROBABILITIES,
        baseline=baseline,
        rows=rows,
        pairs=pairs,
        labels=_labels(by_loss, scored, baseline),
        linear=linear,
        next_run=next_run,
        conclusion=" ".join([conclusion, *notes]),
    )


def _check_rows(experiments: list[Experiment], scored: Mapping[str, Scored]) -> None:
    first = scored[experiments[0].key]
    if len(first.ids) < 2:
        raise UserError(
            f"{experiments[0].name} was tested on {len(first.ids)} row, and an interval needs at "
            "least two: give the test split a larger share"
        )
    for e in experiments:
        one = scored[e.key]
        if (one.labels.names, one.labels.task) != (first.labels.names, first.labels.task):
            raise UserError(
                f"{e.name} has other labels than {experiments[0].name}: it is of another dataset; "
                f"{LEAVE_OUT}"
            )
        if one.ids != first.ids or not np.array_equal(one.targets, first.targets):
            raise UserError(
                f"{e.name} was tested on other rows than {experiments[0].name}; {LEAVE_OUT}, or "
                "run it again on the present data"
            )


def _without_copies(
    by_loss: dict[str, list[Experiment]], scored: Mapping[str, Scored]
) -> tuple[dict[str, list[Experiment]], list[str]]:
    """The runs, of which those with the same logits count once, and sentences that name these."""
    kept: dict[str, list[Experiment]] = {}
    notes = []
    seen: dict[bytes, tuple[str, Experiment]] = {}
    for loss, runs in by_loss.items():
        for e in runs:
            logits = sha256(scored[e.key].logits.tobytes()).digest()
            if logits not in seen:
                seen[logits] = loss, e
                kept.setdefault(loss, []).append(e)
                continue
            same_loss, same = seen[logits]
            notes.append(
                f"{e.name} ({loss}, seed {e.seed}) predicted exactly what {same.name} "
                f"({same_loss}, seed {same.seed}) did, so they are one run, which counts once."
            )
    return kept, notes


def _left_out(
    repeated: list[tuple[Experiment, Experiment]], scored: Mapping[str, Scored]
) -> list[str]:
    """A sentence that names the runs that do not count although their predictions differ."""
    other = [
        f"{e.name} (as {counts.name})"
        for e, counts in repeated
        if not np.array_equal(scored[e.key].logits, scored[counts.key].logits)
    ]
    if not other:
        return []
    return [
        "Left out, since another run has the same loss, settings and seed but other predictions, "
        f"for example by other code: {listed(other)}."
    ]


def _recipes(by_loss: Mapping[str, list[Experiment]]) -> str:
    """A sentence that says whether the losses have one recipe or each its own."""
    keys = differing([e.recipe for runs in by_loss.values() for e in runs])
    if not keys:
        return "All losses have the same recipe, which may suit some better than others."
    own = [
        f"{loss} {described({key: runs[0].recipe.get(key) for key in keys})}"
        for loss, runs in by_loss.items()
        if runs[0].loss == loss  # without settings in its name
    ]
    return f"Each loss has its own recipe{': ' if own else ', as its name says'}{'; '.join(own)}."


def _diverged(by_loss: Mapping[str, list[Experiment]], scored: Mapping[str, Scored]) -> list[str]:
    """Sentences about runs that seem to have diverged."""
    every = [(loss, e) for loss, runs in by_loss.items() for e in runs]
    values = {e.key: measures.measure("macro_f1", scored[e.key]).value for _, e in every}
    median = float(np.median(list(values.values())))
    return [
        f"{loss} with seed {e.seed} has a macro-F1 of {values[e.key]:.3f}, less than half of the "
        "median: check whether its training diverged. The run is in the mean of its loss."
        for loss, e in every
        if values[e.key] < DIVERGED * median
    ]


def _pairs(
    losses: list[tuple[str, str]],
    runs: Mapping[str, Runs],
    spreads: Mapping[str, Spread],
    draws: statistics.Draws | None,
    margin: float,
) -> list[Pair]:
    """Pairs of losses, which are one family for Holm's correction."""
    differences = [
        statistics.estimate(runs[a], spreads.get(a), runs[b], spreads.get(b)) for a, b in losses
    ]
    known = [bool(runs[a].moves.any() or runs[b].moves.any()) for a, b in losses]
    if draws is None:
        return [
            Pair(a, b, difference, None, None, None, is_known)
            for (a, b), difference, is_known in zip(losses, differences, known, strict=True)
        ]
    tests = [
        (one.p(), statistics.equivalence(one, margin)) if is_known else (1.0, 1.0)
        for one, is_known in zip(differences, known, strict=True)
    ]
    ps, equivalent = (statistics.holm([test[which] for test in tests]) for which in (0, 1))
    found = []
    for (a, b), difference, p, same, is_known in zip(
        losses, differences, ps, equivalent, known, strict=True
    ):
        verdict: Verdict = "equivalent" if same < LEVEL else "undecided"
        if p < LEVEL:
            verdict = "better" if difference.value > 0 else "worse"
        found.append(Pair(a, b, difference, p, verdict, draws.improvement(a, b), is_known))
    return found


def _rows(
    by_loss: Mapping[str, list[Experiment]],
    runs: Mapping[str, Runs],
    spreads: Mapping[str, Spread],
    draws: statistics.Draws | None,
    ranked: list[str],
    against: Mapping[str, Pair],
    metric: str,
) -> list[Row]:
    candidates = statistics.may_be_best(runs, spreads) if spreads else []
    chances = draws.best() if draws else {}
    bounds = (-np.inf, 0.0) if metric == measures.UNBOUNDED else (0.0, 1.0)
    rows = []
    for loss in ranked:
        one = runs[loss]
        other = against.get(loss)
        seconds = [e.seconds for e in by_loss[loss] if e.seconds is not None]
        rows.append(
            Row(
                loss=loss,
                seeds=[e.seed for e in by_loss[loss]],
                runs=[e.key for e in by_loss[loss]],
                scores=one.scores,
                score=statistics.estimate(one, spreads.get(loss), bounds=bounds),
                spread=float(np.std(one.scores, ddof=1)) if len(one.scores) > 1 else None,
                may_be_best=loss in candidates if spreads else None,
                best=chances.get(loss),
                against=other,
                g=statistics.hedges_g(one.scores, runs[other.other].scores) if other else None,
                seconds=float(np.mean(seconds)) if seconds else None,
            )
        )
    return rows


def _measured(
    metric: str, by_loss: Mapping[str, list[Experiment]], scored: Mapping[str, Scored]
) -> dict[str, Runs]:
    return {
        loss: measures.together(measures.measure(metric, scored[e.key]) for e in of_loss)
        for loss, of_loss in by_loss.items()
    }


def _labels(
    by_loss: Mapping[str, list[Experiment]], scored: Mapping[str, Scored], baseline: str
) -> list[Label]:
    first = scored[next(iter(by_loss.values()))[0].key]
    support = first.targets.sum(0)
    labels = []
    for label in np.argsort(-support, kind="stable").tolist():
        runs = {
            loss: measures.together(
                measures.label_f1(scored[e.key].decisions, first.targets, label) for e in of_loss
            )
            for loss, of_loss in by_loss.items()
        }
        of = statistics.spreads(runs)
        labels.append(
            Label(
                first.labels.names[label],
                int(support[label]),
                {
                    loss: statistics.estimate(one, of.get(loss), bounds=(0.0, 1.0))
                    for loss, one in runs.items()
                },
                {
                    loss: statistics.estimate(
                        one, of.get(loss), runs[baseline], of.get(baseline), bounds=(-1.0, 1.0)
                    )
                    for loss, one in runs.items()
                    if loss != baseline
                },
            )
        )
    return labels
