"""In which order rows are divided."""

from collections import Counter

from goemotions.data import dividing


def test_the_next_label_is_always_that_with_the_fewest_rows_left():
    labels = [(2,)] * 5 + [(1,)] * 4 + [(0, 1)] * 3  # of label 1 there are 7 rows, and soon 4
    groups = [dividing._Group([row], Counter(of_row)) for row, of_row in enumerate(labels)]
    taken = []

    class Recorded(dividing._Division):
        def assign(self, index, split):
            taken.append(labels[index])
            super().assign(index, split)

    Recorded(groups, {"train": 8, "val": 4}).by_label()
    assert taken == [(0, 1)] * 3 + [(1,)] * 4 + [(2,)] * 5
