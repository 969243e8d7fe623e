"""The names and the order of a sweep's trials."""

from pathlib import Path

import pytest

from goemotions.sweeps import combinations


@pytest.fixture
def plan(monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    combinations._params.cache_clear()  # of another test's params.yaml
    return lambda *settings, commit="a" * 40: combinations.plan(settings, commit)


def test_more_seeds_in_another_order_keep_the_names(plan):
    few, more = plan("loss=bce,asl", "train.seed=1..2"), plan("train.seed=1..3", "loss=asl,bce")
    assert [one.seed for one in more] == [1, 1, 2, 2, 3, 3]
    assert {one.name for one in few} == {one.name for one in more if one.seed < 3}
    assert all(one.name == f"sweep-{one.loss}-{one.seed}-{one.inputs[:8]}" for one in more)


def test_a_name_is_of_the_commit_and_of_every_other_setting(plan, settings):
    def name(*more, **commit):
        (one,) = plan("loss=bce", "train.seed=1", *more, **commit)
        return one.name

    others = name(commit="b" * 40), name("train.rows=50"), name("losses.bce.smoothing=0.1")
    assert len({name(), *others}) == 4
    assert name(f"train.batch_size={settings.train.batch_size}") == name()  # as it was
