"""What the runs of a comparison show and what they do not, in sentences."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from goemotions.comparison import statistics
from goemotions.comparison.experiments import Experiment

GOAL = 0.005  # the difference of macro-F1 that the conclusion plans for
LEVEL = 0.05
LIMITS = ("train.rows", "train.max_minutes")

Compared = Mapping[str, tuple[statistics.Difference, float]]
"""loss -> its difference from the baseline, and the Holm-adjusted p."""


def conclude(
    compared: Compared,
    baseline: str,
    runs: Mapping[str, list[Experiment]],
    *,
    baseline_is_best: bool,
) -> str:
    """The conclusion of one comparison; `runs` has the baseline, `compared` has not."""
    every = [run for of_loss in runs.values() for run in of_loss]
    sentences = _significance(compared, baseline) + _caveats(every)
    if compared:
        if any(len(of_loss) < 2 for of_loss in runs.values()):
            sentences.append(
                "One seed does not show how much the score varies between seeds: run at least "
                "three seeds per loss."
            )
        if baseline_is_best:
            sentences.append(
                f"{baseline} is the baseline because it has the highest score here, which makes p "
                "too small; choose another baseline with --baseline."
            )
        sentences += _seeds_to_plan(compared, runs)
    return " ".join(sentences)


def _significance(compared: Compared, baseline: str) -> list[str]:
    if not compared:
        return ["There is only one loss, so there is nothing to compare it with."]
    sentences = []
    for seeds_known, noise in (
        (True, "over test rows and seeds"),
        (False, "over test rows only: the variation between seeds is unknown"),
    ):
        clauses = []
        for sign, word in ((1, "better"), (-1, "worse")):
            significant = [
                loss
                for loss, (difference, p) in compared.items()
                if p < LEVEL
                and difference.value * sign > 0
                and (difference.from_seeds is not None) is seeds_known
            ]
            if significant:
                verb = "is" if len(significant) == 1 else "are"
                clauses.append(f"{listed(significant)} {verb} {word} than {baseline}")
        if clauses:
            sentences.append(f"{', and '.join(clauses)} (Holm-adjusted p < {LEVEL}, {noise}).")
    if undecided := [loss for loss, (_, p) in compared.items() if p >= LEVEL]:
        verb = "does" if len(undecided) == 1 else "do"
        sentences.append(
            f"{listed(undecided)} {verb} not differ significantly from {baseline} in these runs."
        )
    return sentences


def _seeds_to_plan(compared: Compared, runs: Mapping[str, list[Experiment]]) -> list[str]:
    """How many seeds would detect a difference of GOAL, where these runs left one undecided."""
    # With one seed the noise of rows includes what more seeds would average out.
    from_rows = [d.from_rows for d, _ in compared.values() if d.from_seeds is not None]
    if not from_rows or all(p < LEVEL for _, p in compared.values()):
        return []
    scores = [[run.macro_f1 for run in of_loss] for of_loss in runs.values() if len(of_loss) > 1]
    deviation = float(np.sqrt(np.mean([np.var(of_loss, ddof=1) for of_loss in scores])))
    return [seeds_for_goal(float(np.median(from_rows)), deviation, LEVEL / len(compared))]


def seeds_for_goal(from_rows: float, seed_deviation: float, level: float) -> str:
    """How many seeds detect a difference of GOAL; arguments as of `statistics.power`."""
    noise = {"from_rows": from_rows, "level": level}
    power = f"with a statistical power of {statistics.MINIMUM_POWER}"
    smallest = statistics.smallest_detectable(**noise)
    if smallest >= GOAL:
        return (
            f"On this test split no number of seeds detects a difference of {GOAL} {power}; the "
            f"smallest detectable difference is about {smallest:.3f}."
        )
    seeds = statistics.seeds_for_difference(GOAL, seed_deviation=seed_deviation, **noise)
    needed = f"about {seeds}" if seeds else f"more than {statistics.MOST_SEEDS}"
    return f"Detecting a difference of {GOAL} {power} takes {needed} seeds per loss."


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
        if len({json.dumps(mapping.get(key)) for mapping in mappings}) > 1
    ]


def described(settings: Mapping[str, Any], separator: str = ", ") -> str:
    """Settings with their values, as params.yaml would have them."""
    return separator.join(
        f"{key} {'null' if value is None else value}" for key, value in settings.items()
    )


def listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
