"""tools/seed_pairing.py: whether runs of the same seed share noise."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from tools import seed_pairing


def test_it_is_the_two_way_analysis_of_variance():
    scores = np.random.default_rng(0).normal(size=(5, 4)) + np.arange(4)
    rows = [
        {"loss": loss, "seed": seed, "score": scores[loss, seed]}
        for loss in range(5)
        for seed in range(4)
    ]
    table = anova_lm(ols("score ~ C(loss) + C(seed)", pd.DataFrame(rows)).fit())
    left, p = seed_pairing.pairing(scores)
    assert p == pytest.approx(table["PR(>F)"]["C(seed)"])
    noise, of_seeds = table["mean_sq"]["Residual"], table["mean_sq"]["C(seed)"]
    assert left == pytest.approx(noise / (noise + (of_seeds - noise) / 5))


def test_seeds_that_share_nothing_leave_everything():
    scores = np.array([[1.0, 2.0], [2.0, 1.0]])
    assert seed_pairing.pairing(scores) == (1.0, 1.0)


def test_it_reads_what_compare_prints(monkeypatch, capsys):
    # Seeds: mean square 7, noise 0.5; so shared 6.5 / 3, and F = 14 with 2 and 4 degrees.
    runs = [
        dict.fromkeys(seed_pairing.METRICS, loss + seed + loss * seed % 3)
        | {"loss": str(loss), "seed": seed}
        for loss in range(3)
        for seed in range(4)
        if (loss, seed) != (0, 3)
    ]
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"runs": runs})))
    seed_pairing.main()
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first == "3 losses, seeds 0, 1, 2"
    assert second == "macro_f1: pairing leaves 0.19 of a difference's variance, p = 0.02"
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps({"runs": [*runs, runs[0]]})))
    with pytest.raises(SystemExit, match="two runs have the same loss and seed"):
        seed_pairing.main()
