from itertools import pairwise

import numpy as np
import pytest

from goemotions.network.batching import by_tokens

LIMIT = 1000


def cut(*lengths):
    return [batch.tolist() for batch in by_tokens(np.array(lengths, dtype=np.int64), LIMIT)]


def test_rows_are_taken_by_rising_length_and_equal_ones_in_their_order():
    assert cut(9, 3, 5, 3) == [[1, 3, 2, 0]]


def test_a_batch_is_full_at_exactly_the_limit():
    half = LIMIT // 2
    assert cut(half, half, 1) == [[2, 0], [1]]
    assert cut(half, half) == [[0, 1]]
    assert cut(half, half + 1) == [[0], [1]]


def test_the_padding_of_shorter_rows_counts():
    third = LIMIT // 3
    assert cut(1, 1, third) == [[0, 1, 2]]
    assert cut(1, 1, third + 1) == [[0, 1], [2]]


def test_a_row_longer_than_the_limit_is_a_batch_of_its_own():
    assert cut(LIMIT + 5, 3, LIMIT + 1, 2) == [[3, 1], [2], [0]]


def test_no_row_gives_no_batch():
    assert cut() == []


def test_one_row_is_one_batch():
    assert cut(5) == [[0]]


@pytest.mark.parametrize("seed", range(5))
def test_every_row_is_in_one_batch_and_none_could_be_larger(seed):
    lengths = np.random.default_rng(seed).integers(2, 600, size=300)
    found = by_tokens(lengths, LIMIT)
    order = np.concatenate(found)
    assert sorted(order) == list(range(300))
    assert (np.diff(lengths[order]) >= 0).all()
    assert len(found) > 10
    for batch in found:
        assert len(batch) * lengths[batch].max() <= LIMIT
    for batch, following in pairwise(found):
        assert (len(batch) + 1) * lengths[following[0]] > LIMIT
