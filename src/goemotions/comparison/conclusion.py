"""What the runs of a comparison show and what they do not, in sentences."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from goemotions.comparison import measures, statistics
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.rows import Pair, Row
from goemotions.comparison.statistics import LEVEL, Runs

LIMITS = ("train.rows", "train.max_minutes")
MOST_SEEDS = 1000  # more are not worth a number


def conclude(
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    by_loss: Mapping[str, list[Experiment]],
    runs: Mapping[str, Runs],
    baseline: str,
    metric: str,
    margin: float,
    *,
    quieter: Mapping[str, Runs] | None,
    baseline_is_best: bool,
) -> tuple[str, str | None]:
    """The conclusion of one comparison, and the command of the run that would help most.

    Args:
        rows: the losses, the best first.
        pairs: all pairs.
        by_loss: the experiments behind `runs`.
        runs: by the metric.
        quieter: the same runs by average precision, to say how many seeds that needs and what it
            shows already.
    """
    caveats = _caveats([e for of_loss in by_loss.values() for e in of_loss])
    if len(rows) == 1:
        alone = "There is only one loss, so there is nothing to compare it with."
        return " ".join([alone, *caveats]), None
    if rows[0].may_be_best is None:
        few = (
            "There is one seed per loss, and scores also differ from seed to seed, by an amount "
            "that is not known: no loss can be called better. Run at least two more seeds of each."
        )
        return " ".join([few, *caveats]), _command(by_loss[rows[0].loss])
    sentences = [_best(rows), *_verdicts(rows, baseline, margin), *caveats]
    if baseline_is_best:
        sentences.append(
            f"{baseline} is the baseline because it has the highest score here, which makes p "
            "too small; choose another baseline with --baseline."
        )
    undecided = [pair for pair in pairs if pair.verdict == "undecided"]
    if not undecided:
        return " ".join(sentences), None
    planned = planned_seeds(runs, baseline, margin)
    sentences.append(seeds_needed(planned, margin, metric))
    if quieter is not None:
        other = planned_seeds(quieter, baseline, margin)
        if other.seeds is not None and (planned.seeds is None or other.seeds < planned.seeds):
            left = statistics.may_be_best(quieter, statistics.spreads(quieter))
            fewer = len(left) < sum(bool(row.may_be_best) for row in rows)
            sentences.append(
                "By average precision (`--metric average_precision`) such a difference takes "
                f"{_number_of(other)}"
                + (f", and only {listed(left)} may be the best." if fewer else ".")
            )
    helpful = _most_helpful(rows, pairs, runs, margin)
    if helpful is None:
        sentences.append(
            "More seeds would not help: the size of the test split limits what can be decided."
        )
        return " ".join(sentences), None
    return " ".join(sentences), _command(by_loss[helpful])


def _best(rows: Sequence[Row]) -> str:
    candidates = [row for row in rows if row.may_be_best]
    sure = "at 95% confidence, over test rows and seeds"
    if len(candidates) == 1:
        return f"{candidates[0].loss} is the best loss ({sure})."
    chances = listed([f"{_chance(row.best or 0.0)} for {row.loss}" for row in candidates])
    every = len(candidates) == len(rows)
    which = (
        "Each of these losses may be the best"
        if every
        else f"The best loss is one of {listed([row.loss for row in candidates])}"
    )
    return f"{which} ({sure}). The probability of being the best is {chances}."


def _chance(probability: float) -> str:
    return f"{probability:.2f}" if probability >= 0.005 else "under 0.01"


def _verdicts(rows: Sequence[Row], baseline: str, margin: float) -> list[str]:
    """How each loss compares with the baseline."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.against is not None and row.against.verdict is not None:
            found.setdefault(row.against.verdict, []).append(row.loss)
    clauses = [
        f"{listed(losses)} {'is' if len(losses) == 1 else 'are'} {words} {baseline}{suffix}"
        for verdict, words, suffix in (
            ("better", "better than", ""),
            ("worse", "worse than", ""),
            ("equivalent", "equivalent to", f" within ± {margin:g}"),
        )
        if (losses := found.get(verdict))
    ]
    sentences = []
    if clauses:
        sentences.append(f"{listed(clauses)} (Holm-adjusted p < {LEVEL}).")
    if undecided := found.get("undecided"):
        verb, they = ("is", "it is") if len(undecided) == 1 else ("are", "they are")
        sentences.append(
            f"{listed(undecided)} {verb} undecided: these runs do not show whether {they} better "
            f"than, worse than or equivalent to {baseline}."
        )
    return sentences


def planned_seeds(runs: Mapping[str, Runs], baseline: str, difference: float) -> statistics.Plan:
    """The seeds per loss that a difference from the baseline needs, as far as these runs tell.

    One of the losses must have two seeds.
    """
    variance, freedom = statistics.pooled(runs)
    of = statistics.spreads(runs)
    from_rows = [
        statistics.estimate(runs[loss], of[loss], runs[baseline], of[baseline]).from_rows
        for loss in runs
        if loss != baseline
    ]
    return statistics.plan(
        difference,
        from_rows=float(np.median(from_rows)),
        variance=variance,
        freedom=freedom,
        level=LEVEL / (len(runs) - 1),
        losses=len(runs),
    )


def seeds_needed(plan: statistics.Plan, difference: float, metric: str) -> str:
    detected = (
        f"a difference of {difference:g} in {measures.title(metric)} with a statistical power of "
        f"{statistics.POWER}"
    )
    if plan.seeds is None:
        return (
            f"On this test split no number of seeds detects {detected}; the smallest detectable "
            f"one is about {plan.smallest:.3f}."
        )
    return f"Detecting {detected} takes {_number_of(plan)}."


def _number_of(plan: statistics.Plan) -> str:
    if plan.seeds is None or plan.low is None or plan.high is None:
        return "no number of seeds"
    if plan.low > MOST_SEEDS:
        return f"more than {MOST_SEEDS} seeds per loss"
    seeds, high = (
        f"{words}{count:.0f}" if count <= MOST_SEEDS else f"over {MOST_SEEDS}"
        for words, count in (("about ", plan.seeds), ("", plan.high))
    )
    return f"{seeds} seeds per loss (95% interval {plan.low:.0f} to {high})"


def _most_helpful(
    rows: Sequence[Row], pairs: Sequence[Pair], runs: Mapping[str, Runs], margin: float
) -> str | None:
    """The loss of which one more seed lowers the noise of the undecided pairs most.

    Only losses that may be the best and the pairs between them count, as long as there are several
    and seeds can decide between them. None where the noise of rows alone would leave every pair
    undecided.
    """
    candidates = {row.loss for row in rows if row.may_be_best}
    undecided = [pair for pair in pairs if pair.verdict == "undecided"]
    open_to_seeds = _open_to_seeds(pairs, margin)
    open_to_seeds |= _open_to_seeds([row.against for row in rows if row.against], margin)
    between = [pair for pair in undecided if {pair.loss, pair.other} <= candidates]
    of = statistics.spreads(runs)
    for considered in (between, undecided):
        gain = dict.fromkeys(runs, 0.0)
        for pair in considered:
            if {pair.loss, pair.other} not in open_to_seeds:
                continue
            for loss in (pair.loss, pair.other):
                seeds = len(runs[loss].scores)
                gain[loss] += of[loss].variance / (seeds * (seeds + 1))
        best = max(gain, key=lambda loss: gain[loss])
        if gain[best] > 0:
            return best
    return None


def _open_to_seeds(family: Sequence[Pair], margin: float) -> set[frozenset[str]]:
    """The pairs of a family for Holm's correction that the noise of rows alone lets be decided.

    With more seeds, a difference may turn out to be any that the noise of seeds allows.
    """
    largest, smallest = [], []
    for pair in family:
        size, reach = abs(pair.difference.value), pair.difference.reach_of_seeds
        of_rows = replace(pair.difference, from_seeds=0.0, freedom=None)
        largest.append(replace(of_rows, value=size + reach))
        smallest.append(replace(of_rows, value=max(size - reach, 0.0)))
    ps = statistics.holm([one.p() for one in largest])
    equivalent = statistics.holm([statistics.equivalence(one, margin) for one in smallest])
    return {
        frozenset((pair.loss, pair.other))
        for pair, p, same in zip(family, ps, equivalent, strict=True)
        if min(p, same) < LEVEL
    }


def _command(runs: Sequence[Experiment]) -> str:
    """`dvc exp run` for the next seed of a loss, with its settings."""
    return runs[-1].with_seed(max(e.seed for e in runs) + 1)


def _caveats(runs: Sequence[Experiment]) -> list[str]:
    """What else may explain the scores, and what they do not show."""
    sentences = []
    if paths := differing([run.code for run in runs]):
        versions = len({json.dumps(run.code, sort_keys=True) for run in runs})
        sentences.append(
            f"These runs were made by {versions} versions of the code, which differ in "
            f"{listed(paths)}; part of the differences may come from that."
        )
    precisions = sorted({run.machine["precision"] for run in runs if "precision" in run.machine})
    if len(precisions) > 1:
        sentences.append(
            f"These runs were trained in different precisions, {listed(precisions)}; part of the "
            "differences may come from that."
        )
    if limit := limits(runs[0].protocol):
        sentences.append(
            f"Training was limited ({limit}), so these are not the scores of full training runs."
        )
    if runs[0].dataset == "sample":
        sentences.append("The sample is generated: its scores say nothing about real texts.")
    return sentences


def limits(protocol: Mapping[str, Any]) -> str:
    """The settings that kept a training short; empty for a full one."""
    return described({key: protocol[key] for key in LIMITS if protocol.get(key) is not None})


def differing(mappings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values are not the same in all mappings; a missing key counts as null."""
    return [
        key
        for key in sorted({key for mapping in mappings for key in mapping})
        if any(mapping.get(key) != mappings[0].get(key) for mapping in mappings)
    ]


def described(settings: Mapping[str, Any], separator: str = ", ") -> str:
    """Settings with their values, as params.yaml would have them."""

    def shown(value: Any) -> Any:
        if isinstance(value, float) and value.is_integer():
            return int(value)  # 2.0 is the same setting as 2
        return "null" if value is None else value

    return separator.join(f"{key} {shown(value)}" for key, value in settings.items())


def listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
