import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from goemotions import config
from goemotions.data import splits
from goemotions.data.fetch import fetch_dataset
from goemotions.data.labels import Labels
from goemotions.evaluation import baseline
from goemotions.evaluation.baseline import evaluate_baseline

ROOT = Path(__file__).parents[2]


def test_the_linear_baseline_learns_the_sample_and_is_scored_like_a_model(tmp_path, monkeypatch):
    settings = config.load(ROOT / "params.yaml")
    monkeypatch.chdir(tmp_path)
    fetch_dataset("sample", settings.datasets["sample"], Path("sample"))
    scores = evaluate_baseline(Path("sample"), Path("baseline.json"), settings.evaluate)
    assert json.loads(Path("baseline.json").read_text()) == {"baseline": scores}
    assert list(scores)[:3] == ["macro_f1", "macro_f1_low", "macro_f1_high"]
    assert 0.4 < scores["macro_f1_low"] < scores["macro_f1"] < scores["macro_f1_high"] < 0.9
    fit, fitted = baseline.fit, []
    monkeypatch.setattr(baseline, "fit", lambda z, y: fitted.append(y) or fit(z, y))
    again = evaluate_baseline(Path("sample"), Path("baseline.json"), settings.evaluate)
    assert again == scores
    (targets,) = fitted  # of the split that thresholds are fitted on
    assert np.array_equal(targets, splits.read(Path("sample/val.jsonl")).targets)


def test_a_small_transformer_beats_it_on_the_sample(tmp_path):
    """As in the demo: word order tells what words do not."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    for key, value in (("loss", "asl"), ("model", "deberta-v3-tiny"), ("dataset", "sample")):
        text = re.sub(rf"^{key}: \S+", f"{key}: {value}", text, flags=re.M)
    (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
    for stage in ("fetch_dataset", "cache_model", "train", "evaluate", "baseline"):
        command = [sys.executable, ROOT / f"stages/{stage}.py"]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    macro_f1 = json.loads((tmp_path / "metrics/evaluation.json").read_text())["macro_f1"]
    linear = json.loads((tmp_path / "metrics/baseline.json").read_text())["baseline"]["macro_f1"]
    assert macro_f1 > linear + 0.03


def test_it_is_fitted_by_one_thread_whatever_there_are(tmp_path, monkeypatch):
    """With more its sums differ on the real dataset; the sample is too small to show it."""
    threads = set()
    fit = LogisticRegression.fit

    def watched(self, features, targets):
        threads.update(pool["num_threads"] for pool in threadpool_info())
        return fit(self, features, targets)

    monkeypatch.setattr(LogisticRegression, "fit", watched)
    settings = config.load(ROOT / "params.yaml")
    fetch_dataset("sample", settings.datasets["sample"], tmp_path / "sample")
    with threadpool_limits(2):
        evaluate_baseline(tmp_path / "sample", tmp_path / "baseline.json", settings.evaluate)
    assert threads == {1}


def test_texts_in_which_no_word_occurs_twice_still_have_a_baseline(settings, tmp_path):
    labels = Labels(("a", "b"), "single_label")
    rows = {
        split: [splits.Row(f"{split}{n}", f"{split}word{n}", [n % 2]) for n in range(4)]
        for split in splits.SPLITS
    }
    contents = {split: splits.encode(part) for split, part in rows.items()}
    splits.write(tmp_path, contents, dict.fromkeys(rows, 4), labels)
    scores = evaluate_baseline(tmp_path, tmp_path / "baseline.json", settings.evaluate)
    assert scores["accuracy"] == 0.5
