"""The settings that `goemotions tune` draws."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import yaml

from goemotions import config
from goemotions.cli import main
from goemotions.commands import tune

ROOT = Path(__file__).parents[1]


def with_changes(raw, changes):
    for name, value in changes.items():
        *parents, last = name.split(".")
        place = raw
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config.parse(raw, any_loss=True)


@pytest.mark.parametrize("loss", config.load(ROOT / "params.yaml").losses)
def test_every_draw_is_allowed_and_within_half_and_double(raw, loss):
    params = config.parse(raw)
    for changes in itertools.islice(tune.draws(params, loss, 300, seed=0), 1, None):
        drawn = with_changes(raw, changes)
        recipe = "recipes.deberta-v3-large"
        assert 0.5e-5 <= changes[f"{recipe}.learning_rate"] <= 2e-5
        assert 0.5e-4 <= changes[f"{recipe}.head_learning_rate"] <= 2e-4
        now, then = params.losses[loss].model_dump(), drawn.losses[loss].model_dump()
        assert now.keys() == then.keys()
        for name, value in now.items():
            if name == "beta":
                assert 0.00049 <= 1 - then[name] <= 0.00201
            elif name == "smoothing" and value == 0:
                assert 0 <= then[name] <= 0.1
            elif name in ("function", "ratio"):
                assert then[name] == value
            else:
                # Of two digits; a gamma below 1 is 0 or 1.
                rounded = name.startswith("gamma") and then[name] in (0, 1)
                assert rounded or 0.495 * value <= then[name] <= 2.02 * value


def test_the_first_try_has_the_present_settings_and_the_others_differ(raw):
    first, *others = tune.draws(config.parse(raw), "asl", 6, seed=0)
    assert first == {}
    assert len(others) == 5
    names = {f"losses.asl.{name}" for name in ("gamma_neg", "gamma_pos", "clip")}
    names |= {f"recipes.deberta-v3-large.{name}" for name in tune._RATES}
    assert {frozenset(changes) for changes in others} == {frozenset(names)}
    assert len({tuple(changes.values()) for changes in others}) == 5


@pytest.mark.parametrize("beta", [0.0, 0.4, 0.9, 0.999, 0.99999])
def test_a_drawn_beta_is_a_beta(beta):
    rng = np.random.default_rng(0)
    drawn = [tune._drawn("losses.x.beta", beta, rng) for _ in range(200)]
    assert min(drawn) >= 0
    assert max(drawn) < 1
    assert all(0.495 * (1 - beta) <= 1 - one <= 2.02 * (1 - beta) for one in drawn)
    assert len(set(drawn)) > 20


def test_a_seed_and_a_loss_determine_the_draws(raw):
    params = config.parse(raw)

    def rates(loss, seed):
        return [
            changes["recipes.deberta-v3-large.learning_rate"]
            for changes in itertools.islice(tune.draws(params, loss, 6, seed), 1, None)
        ]

    assert rates("asl", 0) == rates("asl", 0)
    assert rates("asl", 0) != rates("asl", 1)
    assert rates("asl", 0) != rates("bce", 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give losses, --best or --repeat N"),
        (["--repeat", "0"], "--repeat is 0; it must be at least 1"),
        (["bce", "--draws", "0"], "--draws is 0; it must be at least 1"),
        (["bce", "--seed", "-1"], "--seed is -1; it must be at least 0"),
        (["bcee"], "loss 'bcee' is unknown; did you mean bce?"),
        (["bce", "cross_entropy"], "losses.cross_entropy is for single-label data"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_queued(
    raw, tmp_path, monkeypatch, capsys, arguments, message
):
    monkeypatch.chdir(tmp_path)  # where nothing could be queued
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw | {"dataset": "sample"}))
    with pytest.raises(SystemExit) as ended:
        main(["tune", *arguments])
    assert ended.value.code == 1
    output = capsys.readouterr()
    assert message in output.err
    assert "queued" not in output.out
