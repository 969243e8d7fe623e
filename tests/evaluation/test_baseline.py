import json
from pathlib import Path

from threadpoolctl import threadpool_limits

from goemotions import params
from goemotions.dataset.fetch import fetch
from goemotions.evaluation.baseline import baseline

ROOT = Path(__file__).parents[2]


def test_the_linear_baseline_learns_the_sample_and_is_scored_like_a_model(tmp_path, monkeypatch):
    settings = params.load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    fetch("sample", settings.datasets["sample"], Path("sample"))
    scores = baseline(Path("sample"), Path("baseline.json"), settings.evaluate)
    assert json.loads(Path("baseline.json").read_text()) == {"baseline": scores}
    assert list(scores)[:3] == ["macro_f1", "macro_f1_low", "macro_f1_high"]
    assert 0.5 < scores["macro_f1_low"] < scores["macro_f1"] < scores["macro_f1_high"] < 0.9
    for threads in (1, 2):
        with threadpool_limits(threads):
            assert baseline(Path("sample"), Path("baseline.json"), settings.evaluate) == scores
