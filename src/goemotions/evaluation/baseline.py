"""The bar that a fine-tuned transformer must clear: TF-IDF and logistic regression."""

from pathlib import Path

import numpy as np

from goemotions.config import Evaluate
from goemotions.data import splits
from goemotions.io import digests
from goemotions.metrics.f1 import Floats
from goemotions.metrics.scores import headline
from goemotions.metrics.thresholds import fit, preferred

DIGITS = 4  # that are the same on every CPU, unless a row lies at a threshold


def evaluate_baseline(data: Path, path: Path, settings: Evaluate) -> dict[str, float]:
    """Fit on train, choose thresholds on val, score test, and write the scores to `path`.

    The features are TF-IDF of words and pairs of words that occur twice or more (of all, where none
    does); the model is one logistic regression per label. Scores and protocol are those of
    `evaluate`: in single-label data the label with the highest logit is chosen, without thresholds.

    Raises:
        UserError: a split is missing or invalid.
    """
    read = splits.load(data, *splits.SPLITS)
    logits = _logits(read)
    labels = read["test"].labels
    thresholds: list[Floats] | list[None] = [None, None]
    if not labels.single:
        fits = fit(logits["val"], read["val"].targets)
        chosen = settings.thresholds
        method = preferred(fits) if chosen == "cross_validated" else chosen
        thresholds = [np.array(fits[one].logits) for one in (method, "per_label")]
    scores = headline(
        logits["test"],
        read["test"].targets,
        labels,
        *thresholds,
        resamples=settings.bootstrap,
        seed=settings.seed,
    )
    # Another CPU's linear algebra gives other last digits. And named apart from evaluation.json's,
    # so that DVC need not put the path before each name.
    scores = {name: round(score, DIGITS) for name, score in scores.items()}
    digests.write_json(path, {"baseline": scores})
    return scores


def _logits(read: dict[str, splits.Split]) -> dict[str, Floats]:
    """The logits of val and test, [rows, labels], of models that are fitted on train."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    train = read["train"].texts
    try:
        features = {"train": vectorizer.fit_transform(train)}
    except ValueError:  # no word of two letters occurs twice
        vectorizer.set_params(min_df=1, token_pattern=r"\S+")
        features = {"train": vectorizer.fit_transform(train)}
    features |= {name: vectorizer.transform(read[name].texts) for name in ("val", "test")}
    targets = read["train"].targets
    columns: dict[str, list[Floats]] = {"val": [], "test": []}
    with threadpool_limits(1):  # liblinear's sums depend on the number of BLAS's threads
        for label in range(targets.shape[1]):
            positive = int(targets[:, label].sum())
            if not 0 < positive < len(targets):  # there is nothing to tell apart
                constant = np.log((positive + 1) / (len(targets) - positive + 1))
                for name, column in columns.items():
                    column.append(np.full(len(read[name].ids), constant))
                continue
            model = LogisticRegression(solver="liblinear", C=3.0, random_state=0)
            model.fit(features["train"], targets[:, label])
            for name, column in columns.items():
                column.append(model.decision_function(features[name]))
    return {name: np.stack(column, axis=1) for name, column in columns.items()}
