"""Which seeds `goemotions sweep --until-sure` runs next."""

from collections import Counter
from types import SimpleNamespace

from goemotions.commands import sweep
from goemotions.sweeps.combinations import Planned

OPTIONS = SimpleNamespace(baseline="bce", metric="macro_f1", margin=0.005)


def test_a_loss_that_is_decided_gets_no_more_seeds(monkeypatch, capsys):
    trials = [
        Planned(f"{loss}-{seed}", loss, seed, (), "x")
        for seed in range(1, 5)
        for loss in ("bce", "asl", "focal")
    ]
    decided = {look: {"asl": ("better", 2)} for look in (2, 3)}
    decided[4] = decided[3] | {"focal": ("hopeless", 4)}
    monkeypatch.setattr(sweep, "_runs", lambda part, metric: part)
    monkeypatch.setattr(
        sweep.sequential, "decisions", lambda part, *_: decided[max(one.seed for one in part)]
    )
    parts = [Counter(one.loss for one in part) for part in sweep._parts(trials, OPTIONS)]
    assert parts == [
        {"bce": 2, "asl": 2, "focal": 2},
        {"bce": 3, "asl": 2, "focal": 3},
        {"bce": 4, "asl": 2, "focal": 4},
    ]
    assert capsys.readouterr().out.splitlines() == [
        "asl: better than bce by macro-F1, after 2 seeds",
        "focal: unlikely to be told apart from bce by macro-F1, after 4 seeds",
    ]
    decided[2] = decided[4]
    assert len(list(sweep._parts(trials, OPTIONS))) == 1
