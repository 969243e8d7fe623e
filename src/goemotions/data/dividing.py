"""Divide rows into train, val and test: by seed, stratified by label, equal texts on one side.

The iterative stratification of Sechidis et al. 2011 (algorithm 1, with groups of rows in place of
rows): labels are taken from the rarest on, and each of their rows goes to the split that still
wants the label most. The package iterative-stratification counts all labels for every row, 47 s
for 20,000 rows with 2,000 labels; here only a row's own labels are counted, 0.3 s.
"""

import heapq
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass
class _Group:
    """Rows of equal texts: their indices, and how many of them have each label."""

    rows: list[int]
    labels: Counter[int]


def divide(
    keys: Sequence[str], labels: Sequence[Sequence[int]], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Divide rows between train and the splits that take a share of it.

    A label has a row in train before any other split gets one. Otherwise the sizes are the
    shares of all rows, to within the largest group.

    Args:
        keys: of each row; rows of one key stay together.
        labels: of each row, whole numbers.
        shares: split -> its share, above 0; train has the rest.
        seed: of the order in which rows are taken.

    Returns:
        split -> its rows' indices, rising; train first.
    """
    groups = _groups(keys, labels)
    random.Random(seed).shuffle(groups)  # noqa: S311
    wanted = {split: int(share * len(keys) + 0.5) for split, share in shares.items()}
    division = _Division(groups, {"train": len(keys) - sum(wanted.values()), **wanted})
    division.reserve_for_train()
    division.by_label()
    division.rest()
    return {split: sorted(rows) for split, rows in division.rows.items()}


def _groups(keys: Sequence[str], labels: Sequence[Sequence[int]]) -> list[_Group]:
    groups: dict[str, _Group] = {}
    for index, (key, row) in enumerate(zip(keys, labels, strict=True)):
        group = groups.setdefault(key, _Group([], Counter()))
        group.rows.append(index)
        group.labels.update(row)
    return list(groups.values())


class _Division:
    """Groups on their way into splits.

    Attributes:
        rows: split -> the rows it has.
        room: split -> how many rows it still takes.
    """

    def __init__(self, groups: list[_Group], sizes: dict[str, int]) -> None:
        self.groups, self.room = groups, dict(sizes)
        self.rows: dict[str, list[int]] = {split: [] for split in sizes}
        self.free = [True] * len(groups)
        self.with_label: dict[int, list[int]] = {}
        self.count: Counter[int] = Counter()
        for index, group in enumerate(groups):
            for label in group.labels:
                self.with_label.setdefault(label, []).append(index)
            self.count.update(group.labels)
        total = sum(sizes.values())
        # How many rows of each label each split still wants.
        self.wanted = {
            split: {label: size / total * n for label, n in self.count.items()}
            for split, size in sizes.items()
        }

    def assign(self, index: int, split: str) -> None:
        group = self.groups[index]
        self.free[index] = False
        self.rows[split] += group.rows
        self.room[split] -= len(group.rows)
        for label, count in group.labels.items():
            self.wanted[split][label] -= count

    def reserve_for_train(self) -> None:
        """One group of every label for train, from the rarest label on."""
        has: set[int] = set()
        for label in sorted(self.with_label, key=lambda label: (self.count[label], label)):
            if label not in has:
                # Of the first few the smallest, so that a large group need not fill train.
                candidates = self.with_label[label][:20]
                best = min(candidates, key=lambda index: len(self.groups[index].rows))
                self.assign(best, "train")
                has |= self.groups[best].labels.keys()

    def by_label(self) -> None:
        """The other groups that have labels, each with its rarest label's."""
        left = {
            label: sum(self.free[index] for index in indices)
            for label, indices in self.with_label.items()
        }
        heap = [(count, label) for label, count in left.items() if count]
        heapq.heapify(heap)
        while heap:
            count, label = heapq.heappop(heap)
            if count != left[label]:  # has become rarer since, and is there a second time
                continue
            for index in self.with_label[label]:
                if self.free[index]:
                    self.assign(index, self._best(index, label))
                    for other in self.groups[index].labels:
                        left[other] -= 1
                        if left[other] and other != label:
                            heapq.heappush(heap, (left[other], other))

    def rest(self) -> None:
        """The groups without a label."""
        for index, free in enumerate(self.free):
            if free:
                self.assign(index, self._best(index, None))

    def _best(self, index: int, label: int | None) -> str:
        """The split with room that wants the label most, then the one with the most room."""
        size = len(self.groups[index].rows)
        fits = [split for split, room in self.room.items() if room >= size]
        candidates = fits or [max(self.room, key=self.room.__getitem__)]
        wanted = self.wanted
        return max(
            candidates,
            key=lambda split: (wanted[split][label] if label is not None else 0, self.room[split]),
        )
