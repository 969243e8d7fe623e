"""Made-up experiments, with a known share of wrong decisions."""

import numpy as np

from goemotions.comparison import analysis
from goemotions.comparison.experiments import Experiment
from goemotions.comparison.predictions import Scored
from goemotions.data.labels import Labels
from goemotions.metrics.f1 import macro_f1

TARGETS = np.random.default_rng(0).random((600, 5)) < 0.3
NAMES = ["a", "b", "c", "d", "e"]
IDS = [str(row) for row in range(600)]


def run(loss, seed=1, *, error=0.1, settings=None, name=None, code=None, **protocol):
    """An experiment and its decisions, a share `error` of which is wrong."""
    rng = np.random.default_rng([sum(map(ord, loss)), seed])
    decisions = TARGETS ^ (rng.random(TARGETS.shape) < error)
    experiment = Experiment(
        name=name or f"{loss}-{seed}",
        dataset="goemotions",
        model="minilm-l6",
        loss=loss,
        seed=seed,
        macro_f1=macro_f1(decisions, TARGETS),
        macro_f1_low=0.0,
        macro_f1_high=1.0,
        micro_f1=0.5,
        average_precision=0.5,
        validation_average_precision=0.5,
        seconds=60.0 * seed,
        commit="abc",
        revision=name or f"{loss}-{seed}",
        protocol={"dataset": "goemotions", "model": "minilm-l6"} | protocol,
        settings=settings or {"function": "bce", "smoothing": 0.0},
        code=code or {"src/x.py": "1"},
        baseline={"macro_f1": 0.25},
        machine={},
        changes_from_commit={},
        changes_from_workspace={},
    )
    labels = Labels(tuple(NAMES))
    scored = Scored(IDS, labels, TARGETS, np.where(decisions, 1.0, -1.0), np.zeros(len(NAMES)))
    return experiment, scored


def analyse(*runs, baseline=None, **options):
    scored = {experiment.name: one for experiment, one in runs}
    experiments = [experiment for experiment, _ in runs]
    return analysis.analyse(experiments, scored, baseline, **options)
