import hashlib
import re

import pytest

from goemotions.data import fetch, sample, splits
from goemotions.data.labels import Labels
from goemotions.errors import UserError

# The sample is pinned here rather than in params.yaml: whoever changes it changes every demo.
SHA256 = {
    "train": "b9a53ddcf8f249860e8e7ca5422209b857fc742118d3e785e54c3170bb92a91a",
    "val": "3f05272020eae9837564391c5b202447100a0851571eecb05ac73c48353b2d0c",
    "test": "63c93f8540f58734c86525267de08510a4fc836d1177e2d350282b595806ec4e",
}


@pytest.fixture(scope="module")
def rows(settings):
    entry = settings.datasets["sample"]
    return sample.generate(entry.seed, entry.rows)


def test_the_default_sample_is_the_same_everywhere(rows):
    found = {name: hashlib.sha256(splits.encode(split)).hexdigest() for name, split in rows.items()}
    assert found == SHA256


def test_the_labels_are_goemotions_labels(settings):
    assert settings.datasets["goemotions"].label_names == sample.LABELS


def test_a_group_of_no_label_is_refused(settings, tmp_path):
    entry = settings.datasets["sample"].model_copy(update={"groups": {"mine": {"g": ("jjoy",)}}})
    with pytest.raises(UserError) as refused:
        fetch.read("sample", entry)
    assert str(refused.value) == "datasets.sample.groups.mine has 'jjoy', which is not a label"


def test_another_seed_gives_other_rows(rows):
    other = sample.generate(1, {"train": 4000, "val": 600, "test": 600})
    assert other["val"] != rows["val"]


def test_the_splits_have_the_rows_that_params_ask_for(rows):
    assert {name: len(split) for name, split in rows.items()} == {
        "train": 4000,
        "val": 600,
        "test": 600,
    }


def test_every_split_keeps_every_rule(rows):
    for name, split in rows.items():
        splits.check(split, Labels(sample.LABELS), name)


def test_every_label_has_at_least_four_rows_in_every_split(rows):
    for split in rows.values():
        present = [label for row in split for label in row.labels]
        assert set(present) == set(range(28))
        assert min(present.count(label) for label in range(28)) >= 4


def test_ids_are_unique_over_all_splits(rows):
    ids = [row.id for split in rows.values() for row in split]
    assert len(set(ids)) == 5200
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


def test_a_text_has_a_cue_of_each_of_its_labels_in_most_rows(rows):
    gratitude = re.compile("grateful|thankful|obliged", re.I)
    thankful = [bool(gratitude.search(row.text)) for row in rows["train"] if 15 in row.labels]
    # 10% of the cues are taken from a random label.
    assert 0.85 < sum(thankful) / len(thankful) < 0.98


def test_only_word_order_says_which_of_two_cues_counts(rows):
    cues = {cue: label for label, name in enumerate(sample.LABELS) for cue in sample._CUES[name]}
    cue = "(" + "|".join(map(re.escape, cues)) + ")"
    counts_first = re.compile(rf"I was {cue} and s?he was {cue}", re.I)
    counts_last = re.compile(rf"s?he was {cue} and I was {cue}", re.I)
    agreed = []
    for pattern, index in ((counts_first, 0), (counts_last, 1)):
        found = [
            (match.groups(), row.labels)
            for row in rows["train"]
            if (match := pattern.search(row.text))
        ]
        assert len(found) > 500
        for both, labels in found:
            agreed.append((cues[both[index]] in labels, cues[both[1 - index]] in labels))
    mine, theirs = zip(*agreed, strict=True)
    assert 0.85 < sum(mine) / len(mine) < 0.95  # 10% of the cues are taken from a random label
    assert sum(theirs) / len(theirs) < 0.1


def test_fewer_rows_than_labels_are_still_rows():
    small = sample.generate(0, {"train": 3, "val": 1, "test": 1})
    assert [len(split) for split in small.values()] == [3, 1, 1]
    for name, split in small.items():
        splits.check(split, Labels(sample.LABELS), name)
