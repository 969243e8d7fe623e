import hashlib
import re

import pytest

from goemotions.data import sample, splits

# The sample is pinned here rather than in params.yaml: whoever changes it changes every demo.
SHA256 = {
    "train": "a91af87ece3785653aa4ea8b7f1c98ea27965f9e1c8a7be0938138a6a22abbcb",
    "val": "97bf50a8d41751d2b58814291fb05ba94723bf20d0c5749d7bc44fd99695952e",
    "test": "150c29d1ffa1eb9767ba3ca5a5ffa2d5149dcc741aad610b66c234c226436c4a",
}


@pytest.fixture(scope="module")
def rows(settings):
    entry = settings.datasets["sample"]
    return sample.generate(entry.seed, entry.rows)


def test_the_default_sample_is_the_same_everywhere(rows):
    found = {name: hashlib.sha256(splits.encode(split)).hexdigest() for name, split in rows.items()}
    assert found == SHA256


def test_another_seed_gives_other_rows(rows):
    other = sample.generate(1, {"train": 2400, "val": 600, "test": 600})
    assert other["val"] != rows["val"]


def test_the_splits_have_the_rows_that_params_ask_for(rows):
    assert {name: len(split) for name, split in rows.items()} == {
        "train": 2400,
        "val": 600,
        "test": 600,
    }


def test_every_split_keeps_every_rule(rows):
    for name, split in rows.items():
        splits.check(split, name)


def test_every_label_has_at_least_four_rows_in_every_split(rows):
    for split in rows.values():
        present = [label for row in split for label in row.labels]
        assert set(present) == set(range(28))
        assert min(present.count(label) for label in range(28)) >= 4


def test_ids_are_unique_over_all_splits(rows):
    ids = [row.id for split in rows.values() for row in split]
    assert len(set(ids)) == 3600
    assert ids[0] == "train-000000"


def test_a_row_has_one_label_or_two_and_about_one_in_seven_has_two(rows):
    for split in rows.values():
        counts = [len(row.labels) for row in split]
        assert set(counts) == {1, 2}
        assert 0.1 < counts.count(2) / len(split) < 0.2


def test_labels_are_sorted(rows):
    assert all(row.labels == sorted(row.labels) for split in rows.values() for row in split)


def test_labels_are_as_unequal_as_in_goemotions(rows):
    first = [row.labels[0] for row in rows["train"] if len(row.labels) == 1]
    neutral, grief = first.count(27), first.count(16)
    assert 0.2 < neutral / len(first) < 0.35
    assert grief < 0.02 * len(first)


def test_a_text_holds_a_cue_of_each_of_its_labels_in_most_rows(rows):
    gratitude = re.compile("thank you so much|thanks a lot|I appreciate it|much appreciated", re.I)
    thankful = [bool(gratitude.search(row.text)) for row in rows["train"] if 15 in row.labels]
    others = [bool(gratitude.search(row.text)) for row in rows["train"] if 15 not in row.labels]
    # 15% of the cues are taken from a random label.
    assert 0.75 < sum(thankful) / len(thankful) < 0.95
    assert sum(others) / len(others) < 0.05


def test_fewer_rows_than_labels_are_still_rows():
    small = sample.generate(0, {"train": 3, "val": 1, "test": 1})
    assert [len(split) for split in small.values()] == [3, 1, 1]
    for name, split in small.items():
        splits.check(split, name)
