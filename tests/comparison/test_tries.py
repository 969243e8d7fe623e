"""How `goemotions tune` ranks what was tried."""

import dataclasses

from runs import run

from goemotions.commands import tune


def test_only_tries_that_differ_in_nothing_else_are_ranked_together(monkeypatch, capsys):
    tried = [(64, 1, 0.52), (64, 2, 0.53), (128, 1, 0.55)]
    runs = []
    for length, rate, score in tried:
        settings = {"train.max_length": length, "recipes.minilm-l6.learning_rate": rate}
        made, _ = run("asl", name=f"tune-{length}-{rate}", **settings)
        runs.append(dataclasses.replace(made, validation_average_precision=score))
    monkeypatch.setattr(tune.experiments, "evaluated", lambda prefix: runs)
    tune.best([])
    of_asl = (
        "asl on goemotions with minilm-l6 (train.max_length {}): average precision on validation"
    )
    assert capsys.readouterr().out.splitlines() == [
        of_asl.format(64),
        "  0.5300  tune-64-2  (the settings as they are)",
        "  0.5200  tune-64-1  (the settings as they are)",
        of_asl.format(128),
        "  0.5500  tune-128-1  (the settings as they are)",
    ]
