from itertools import chain

from goemotions.labels import EKMAN, LABELS, SENTIMENT


def test_labels_stand_in_the_order_of_the_hub_dataset():
    assert " ".join(LABELS) == (
        "admiration amusement anger annoyance approval caring confusion curiosity desire "
        "disappointment disapproval disgust embarrassment excitement fear gratitude grief joy "
        "love nervousness optimism pride realization relief remorse sadness surprise neutral"
    )


def test_ekman_groups_hold_every_label_once():
    assert sorted(chain(*EKMAN.values())) == sorted(LABELS)
    assert {group: len(members) for group, members in EKMAN.items()} == {
        "anger": 3,
        "disgust": 1,
        "fear": 2,
        "joy": 12,
        "sadness": 5,
        "surprise": 4,
        "neutral": 1,
    }


def test_each_ekman_group_holds_its_own_labels():
    assert set(EKMAN["anger"]) == {"anger", "annoyance", "disapproval"}
    assert set(EKMAN["fear"]) == {"fear", "nervousness"}
    assert set(EKMAN["surprise"]) == {"confusion", "curiosity", "realization", "surprise"}
    assert set(EKMAN["sadness"]) == {
        "disappointment", "embarrassment", "grief", "remorse", "sadness",
    }  # fmt: skip


def test_sentiments_are_unions_of_ekman_groups():
    assert sorted(chain(*SENTIMENT.values())) == sorted(LABELS)
    assert set(SENTIMENT["positive"]) == set(EKMAN["joy"])
    assert len(SENTIMENT["negative"]) == 3 + 1 + 2 + 5
    assert {"anger", "disgust", "nervousness", "grief"} < set(SENTIMENT["negative"])
    assert SENTIMENT["ambiguous"] == EKMAN["surprise"]
    assert SENTIMENT["neutral"] == ("neutral",)
