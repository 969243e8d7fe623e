"""Score the trained model of the selected loss on the test split, into metrics/."""

from pathlib import Path

from goemotions import config
from goemotions.errors import stage

if __name__ == "__main__":
    with stage(__doc__):
        settings = config.load()
        from goemotions.evaluation.score import evaluate

        trained = settings.trained_folder(settings.loss)
        scores = evaluate(settings.data_folder, trained, Path("metrics"), settings.evaluate)
        print(
            f"{settings.loss}: test macro-F1 {scores['macro_f1']:.4f} "
            f"(bootstrap 95%: {scores['macro_f1_low']:.4f} to {scores['macro_f1_high']:.4f})"
            + "".join(f", {key} {value:g}" for key, value in scores.items() if "limited" in key)
        )
