"""Score TF-IDF with logistic regression, the bar for every model, into metrics/baseline.json."""

from pathlib import Path

from goemotions import config
from goemotions.errors import stage
from goemotions.evaluation.baseline import evaluate_baseline

if __name__ == "__main__":
    with stage(__doc__):
        settings = config.load()
        path = Path("metrics", "baseline.json")
        path.parent.mkdir(exist_ok=True)
        scores = evaluate_baseline(settings.data_folder, path, settings.evaluate)
        print(f"baseline: test macro-F1 {scores['macro_f1']:.4f}")
