import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, f1_score

from goemotions.data.labels import Labels
from goemotions.metrics import bootstrap, by_label, scores
from goemotions.metrics.f1 import average_precision, decide, probabilities, sigmoid

LABELS = (
    "admiration", "amusement", "anger", "annoyance", "approval", "caring", "confusion",
    "curiosity", "desire", "disappointment", "disapproval", "disgust", "embarrassment",
    "excitement", "fear", "gratitude", "grief", "joy", "love", "nervousness", "optimism",
    "pride", "realization", "relief", "remorse", "sadness", "surprise", "neutral",
)  # fmt: skip
GROUPINGS = {
    "mood": {
        "good": ("joy", "love"),
        "bad": ("anger", "annoyance", "fear"),
        "grief": ("grief",),
        "neutral": ("neutral",),
    },
    "any": {"all": LABELS},
}
DATA = Labels(LABELS, "multi_label", GROUPINGS)
THRESHOLDS = np.linspace(-1.4, 0.8, 28)
ZEROS = np.zeros(28)


def data(rows=60, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.random((rows, 28)) < 0.15
    logits = (rng.normal(size=(rows, 28)) + 2 * targets - 1).astype(np.float32)
    return logits, targets


def matrix(*rows):
    """Multi-hot rows from the names of their labels."""
    return np.array([[label in row.split() for label in LABELS] for row in rows])


def headline(logits, targets, thresholds=THRESHOLDS, per_label=ZEROS, resamples=100, seed=0):
    return scores.headline(
        logits, targets, DATA, thresholds, per_label, resamples=resamples, seed=seed
    )


def test_headline_starts_with_macro_f1_and_its_interval():
    assert list(headline(*data())) == [
        "macro_f1",
        "macro_f1_low",
        "macro_f1_high",
        "macro_f1_per_label",
        "macro_f1_at_05",
        "macro_f1_at_02",
        "micro_f1",
        "weighted_f1",
        "average_precision",
        "macro_f1_mood",
        "macro_f1_any",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_headline_agrees_with_scikit_learn(seed):
    logits, targets = data(seed=seed)
    scored = headline(logits, targets)
    decided = logits >= THRESHOLDS

    def score(decisions, average):
        return pytest.approx(f1_score(targets, decisions, average=average, zero_division=0))

    assert scored["macro_f1"] == score(decided, "macro")
    assert scored["micro_f1"] == score(decided, "micro")
    assert scored["weighted_f1"] == score(decided, "weighted")
    assert scored["macro_f1_per_label"] == score(sigmoid(logits) >= 0.5, "macro")
    assert scored["macro_f1_at_05"] == score(logits >= 0, "macro")
    assert scored["macro_f1_at_02"] == score(sigmoid(logits) >= 0.2, "macro")
    assert scored["average_precision"] == pytest.approx(
        np.mean(
            [average_precision_score(targets[:, label], logits[:, label]) for label in range(28)]
        )
    )


def test_each_of_the_two_sets_of_thresholds_has_its_own_score():
    targets = matrix("joy", "love")
    logits = np.where(matrix("joy", ""), 1.0, -9.0)
    scored = headline(logits, targets, thresholds=np.full(28, 2.0), per_label=ZEROS)
    assert scored["macro_f1"] == 0
    assert scored["macro_f1_per_label"] == pytest.approx(1 / 2)


def test_a_logit_equal_to_its_threshold_is_a_yes():
    logits = np.where(matrix("joy"), 0.0, -9.0)
    assert headline(logits, matrix("joy"), thresholds=ZEROS)["micro_f1"] == 1


def test_the_right_group_is_a_hit_even_where_the_label_is_wrong():
    logits = np.where(matrix("anger", "grief", "joy"), 9.0, -9.0)
    scored = headline(logits, matrix("annoyance", "fear", "joy"))
    assert scored["macro_f1"] == pytest.approx(1 / 3)  # of annoyance, fear and joy
    assert scored["macro_f1_mood"] == pytest.approx((1 + 2 / 3) / 2)  # of good and bad
    assert scored["macro_f1_any"] == 1


def test_scores_of_nothing_predicted_are_0():
    logits, targets = np.full((3, 28), -9.0), matrix("joy", "fear", "love")
    scored = headline(logits, targets)
    assert (scored["macro_f1"], scored["micro_f1"], scored["weighted_f1"]) == (0, 0, 0)
    assert (scored["macro_f1_low"], scored["macro_f1_high"]) == (0, 0)


def test_a_group_is_present_where_any_of_its_labels_is():
    rows = matrix("joy love", "anger surprise grief", "", "neutral")
    assert scores.grouped(rows, LABELS, GROUPINGS["mood"]).astype(int).tolist() == [
        # good, bad, grief, neutral
        [1, 0, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 1],
    ]


def test_the_interval_is_that_of_rows_drawn_one_by_one():
    logits, targets = data(rows=25)
    decided = logits >= 0
    scores = [
        f1_score(targets[rows], decided[rows], average="macro", zero_division=0)
        for rows in np.random.default_rng(3).integers(25, size=(40, 25))
    ]
    value = f1_score(targets, decided, average="macro", zero_division=0)
    expected = value + np.quantile(scores - np.mean(scores), [0.025, 0.975])
    assert bootstrap.interval(decided, targets, resamples=40, seed=3) == pytest.approx(
        tuple(expected)
    )


def test_the_interval_ends_where_scores_do():
    targets = np.zeros((200, 3), dtype=bool)
    targets[:100, 0] = targets[100:, 1] = targets[:1, 2] = True  # one label has one row
    low, high = bootstrap.interval(targets, targets, resamples=200, seed=0)
    assert high == 1.0
    assert low == pytest.approx(2 / 3, abs=0.15)
    low, high = bootstrap.interval(~targets, targets, resamples=200, seed=0)
    assert (low, high) == (0.0, 0.0)


def test_the_interval_does_not_depend_on_how_many_resamples_are_made_at_a_time(monkeypatch):
    decisions, targets = np.random.default_rng(0).random((2, 40, 3)) < 0.4
    whole = bootstrap.resampled(decisions, targets, resamples=100, seed=0)
    monkeypatch.setattr(bootstrap, "CHUNK", 7)
    parts = bootstrap.resampled(decisions, targets, resamples=100, seed=0)
    assert np.array_equal(whole, parts)


def test_the_interval_depends_on_its_seed_alone():
    logits, targets = data()
    first, again, other = (
        bootstrap.interval(logits >= 0, targets, resamples=100, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other


def test_the_interval_holds_the_score_and_narrows_with_the_rows():
    few, many = (headline(*data(rows=rows)) for rows in (50, 800))
    assert many["macro_f1_low"] < many["macro_f1"] < many["macro_f1_high"]
    width = {
        rows: scored["macro_f1_high"] - scored["macro_f1_low"]
        for rows, scored in ((50, few), (800, many))
    }
    # Sixteen times the rows make about a quarter of the width.
    assert 0.15 < width[800] / width[50] < 0.4


def test_average_precision_is_scikit_learns_and_0_for_an_empty_label():
    logits, targets = data(rows=40)
    targets[:, 4] = False
    scored = average_precision(logits, targets)
    assert scored[4] == 0
    assert scored[0] == pytest.approx(average_precision_score(targets[:, 0], logits[:, 0]))
    assert scored.shape == (28,)


def per_label(logits, targets):
    return by_label.per_label(logits, sigmoid(logits) >= 0.5, targets, ZEROS, LABELS)


def precision_recall(logits, targets, points=101):
    return by_label.precision_recall(logits, targets, LABELS, points)


def test_a_label_has_its_precision_recall_f1_threshold_and_support():
    logits, targets = np.full((4, 28), -9.0), matrix("joy", "joy", "joy", "fear")
    joy = LABELS.index("joy")
    logits[:, joy] = [3, -1, -2, 2]
    row = per_label(logits, targets)[joy]
    assert list(row) == [
        "label", "precision", "recall", "f1", "average_precision", "threshold", "support",
    ]  # fmt: skip
    assert row == {
        "label": "joy",
        "precision": pytest.approx(1 / 2),
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(2 / 5),
        # Predicted at ranks 1, 3 and 4, each a third of the recall.
        "average_precision": pytest.approx((1 / 1 + 2 / 3 + 3 / 4) / 3),
        "threshold": 0.5,
        "support": 3,
    }


def test_a_label_that_neither_occurs_nor_is_predicted_scores_0():
    rows = per_label(np.full((1, 28), -9.0), matrix("fear"))
    assert [row["label"] for row in rows] == list(LABELS)
    assert rows[LABELS.index("joy")] == {
        "label": "joy", "precision": 0, "recall": 0, "f1": 0, "average_precision": 0,
        "threshold": 0.5, "support": 0,
    }  # fmt: skip


def curve(rows, label):
    return [(row["recall"], row["precision"]) for row in rows if row["label"] == label]


def test_precision_is_the_highest_at_that_recall_or_more():
    logits, targets = np.full((5, 28), -9.0), matrix("joy", "fear", "joy", "joy", "fear")
    logits[:, LABELS.index("joy")] = [5, 4, 3, 2, 1]
    # Precision is 1, 1/2, 2/3, 3/4, 3/5 where recall is 1/3, 1/3, 2/3, 1, 1.
    scored = precision_recall(logits, targets, points=5)
    assert curve(scored, "joy") == [
        (0.0, 1.0),
        (0.25, 1.0),
        (0.5, pytest.approx(3 / 4)),
        (0.75, pytest.approx(3 / 4)),
        (1.0, pytest.approx(3 / 4)),
    ]


def test_labels_without_positives_have_no_curve_and_all_labels_are_pooled():
    logits, targets = np.full((3, 28), -9.0), matrix("joy", "fear", "fear")
    logits[0, LABELS.index("joy")] = 5
    logits[1, LABELS.index("love")] = 4
    logits[1:, LABELS.index("fear")] = [3, 2]
    scored = precision_recall(logits, targets, points=3)
    assert list(dict.fromkeys(row["label"] for row in scored)) == ["all labels", "fear", "joy"]
    # Pooled by score: joy is right, love is wrong, both fears are right.
    assert curve(scored, "all labels") == [
        (0.0, 1.0),
        (0.5, pytest.approx(3 / 4)),
        (1.0, pytest.approx(3 / 4)),
    ]


def test_curves_start_at_their_highest_precision_and_never_rise():
    scored = precision_recall(*data(rows=80))
    for label in ("all labels", *LABELS):
        recall, precision = np.array(curve(scored, label)).T
        assert recall == pytest.approx(np.arange(101) / 100)
        assert precision[0] == precision.max()
        assert (np.diff(precision) <= 0).all()


def test_a_curve_whose_first_row_is_a_mistake_does_not_start_at_1():
    logits, targets = np.full((3, 28), -9.0), matrix("fear", "joy", "joy")
    logits[:, LABELS.index("joy")] = [3, 2, 1]
    scored = precision_recall(logits, targets, points=3)
    assert curve(scored, "joy")[0] == (0.0, pytest.approx(2 / 3))


def test_a_recall_that_is_reached_exactly_counts_as_reached():
    actual = ["joy"] * 7 + ["fear"] * 10 + ["joy"] * 3
    logits = np.full((20, 28), -9.0)
    logits[:, LABELS.index("joy")] = np.arange(20, 0, -1)
    scored = precision_recall(logits, matrix(*actual))
    assert curve(scored, "joy")[70] == (pytest.approx(0.7), 1.0)


def pairs(decided, actual):
    return [
        (row["actual"], row["predicted"])
        for row in by_label.confusions(matrix(decided), matrix(actual), LABELS)
    ]


def test_a_label_that_was_predicted_is_paired_with_itself():
    assert pairs("joy fear", "fear") == [("fear", "fear")]


def test_a_missed_label_is_paired_with_each_label_predicted_by_mistake():
    assert pairs("anger joy love", "anger fear") == [
        ("anger", "anger"),
        ("fear", "joy"),
        ("fear", "love"),
    ]


def test_a_missed_label_without_a_mistaken_one_is_paired_with_nothing():
    assert pairs("", "fear grief") == [("fear", "nothing"), ("grief", "nothing")]
    assert pairs("fear", "fear grief") == [("fear", "fear"), ("grief", "nothing")]


def test_confusions_of_several_rows_follow_each_other():
    scored = by_label.confusions(matrix("joy", "love"), matrix("joy", "fear"), LABELS)
    assert [tuple(row.values()) for row in scored] == [("joy", "joy"), ("fear", "love")]


def single(rows=200, labels=5, seed=0):
    """Logits, targets and the labels' names of single-label data."""
    rng = np.random.default_rng(seed)
    actual = rng.integers(labels, size=rows)
    targets = np.eye(labels, dtype=bool)[actual]
    names = tuple(f"label {number}" for number in range(labels))
    groupings = {"half": {"low": names[:2], "high": names[2:]}}
    logits = (rng.normal(size=(rows, labels)) + 1.5 * targets).astype(np.float32)
    return logits, targets, Labels(names, "single_label", groupings)


@pytest.mark.parametrize("seed", range(3))
def test_single_label_scores_agree_with_scikit_learn(seed):
    logits, targets, labels = single(seed=seed)
    scored = scores.headline(logits, targets, labels, None, None, resamples=100, seed=0)
    actual, predicted = targets.argmax(1), logits.argmax(1)
    shares = torch.softmax(torch.from_numpy(logits).double(), 1).numpy()
    assert list(scored) == [
        "macro_f1", "macro_f1_low", "macro_f1_high", "micro_f1", "accuracy", "weighted_f1",
        "average_precision", "macro_f1_half",
    ]  # fmt: skip
    assert scored["macro_f1"] == pytest.approx(f1_score(actual, predicted, average="macro"))
    assert scored["weighted_f1"] == pytest.approx(f1_score(actual, predicted, average="weighted"))
    assert scored["micro_f1"] == pytest.approx(accuracy_score(actual, predicted))
    assert scored["accuracy"] == accuracy_score(actual, predicted)
    assert scored["average_precision"] == pytest.approx(
        average_precision_score(targets, shares, average="macro")
    )
    assert scored["macro_f1_half"] == pytest.approx(
        f1_score(actual > 1, predicted > 1, average="macro")
    )
    assert scored["macro_f1_low"] < scored["macro_f1"] < scored["macro_f1_high"]


def test_the_table_of_single_label_data_has_no_thresholds():
    logits, targets, labels = single()
    shares = probabilities(logits, single=True)
    rows = by_label.per_label(shares, decide(logits, None), targets, None, labels.names)
    assert [row["threshold"] for row in rows] == [None] * 5
    assert rows[2]["f1"] == pytest.approx(f1_score(targets.argmax(1) == 2, logits.argmax(1) == 2))
    assert tuple(rows[0]) == by_label.COLUMNS["per_label"]


def test_labels_without_a_test_row_are_left_out_of_averages_and_counted():
    logits, targets = data()
    targets[:, [2, 5]] = False
    scored = headline(logits, targets)
    decided = logits >= THRESHOLDS
    present = [label for label in range(28) if label not in (2, 5)]
    expected = f1_score(targets[:, present], decided[:, present], average="macro")
    assert scored["macro_f1"] == pytest.approx(expected)
    assert scored["macro_f1_low"] < expected < scored["macro_f1_high"]
    assert scored["average_precision"] == pytest.approx(
        average_precision_score(targets[:, present], logits[:, present], average="macro")
    )
    assert scored["labels_without_test_rows"] == 2
    assert list(scored)[-1] == "labels_without_test_rows"
    missing = scores.without_rows(LABELS, targets)
    assert scores.not_averaged(missing) == (
        "2 labels have no row in the test split and are left out of every average over labels: "
        "anger, caring."
    )


def test_at_most_ten_labels_are_named():
    sentence = scores.not_averaged([f"l{number}" for number in range(12)])
    assert sentence.startswith("12 labels have no row")
    assert sentence.endswith(": l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, ….")
    assert scores.not_averaged(["joy"]).startswith("1 label has no row in the test split and is ")


def test_rows_without_any_label_score_0():
    logits, targets = data(rows=4)[0], np.zeros((4, 28), dtype=bool)
    scored = headline(logits, targets)
    assert scored.pop("labels_without_test_rows") == 28
    assert set(scored.values()) == {0.0}
    assert by_label.confusions(sigmoid(logits) >= 0.5, targets, LABELS) == []
    assert precision_recall(logits, targets) == []


def test_a_resample_that_misses_a_label_still_counts_it():
    """Only the full split decides which labels are without rows."""
    targets = np.zeros((40, 3), dtype=bool)
    targets[:20, 0], targets[0, 1] = True, True
    decided = targets.copy()
    means = bootstrap.resampled(decided, targets, resamples=50, seed=1)
    low, high = bootstrap.interval(decided, targets, resamples=50, seed=1)
    assert set(means) == {0.5, 1.0}
    expected = 1 + np.quantile(means - means.mean(), [0.025, 0.975])
    assert (low, high) == pytest.approx((expected[0], 1.0))


def test_a_resample_is_macro_f1_on_resampled_rows():
    logits, targets = data(rows=60, seed=4)
    targets[0] = True
    found = bootstrap.resampled(logits >= 0, targets, resamples=5, seed=3)
    for score, rows in zip(found, np.random.default_rng(3).integers(60, size=(5, 60)), strict=True):
        by_label = f1_score(targets[rows], logits[rows] >= 0, average=None, zero_division=0)
        assert score == pytest.approx(by_label.mean(), abs=1e-12)
