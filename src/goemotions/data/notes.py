"""What to know about rows that break no rule, each with its count."""

import html
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from goemotions.config.base import SPLITS
from goemotions.data.labels import Labels
from goemotions.data.splits import Row


def warnings(rows: dict[str, list[Row]], labels: Labels) -> list[str]:
    """What a person should know before training on these rows."""
    found = [
        f"{count:,} of {count_of(len(part), 'row')} of {split} have no label"
        for split, part in rows.items()
        if (count := sum(not row.labels for row in part))
    ]
    for split in ("val", "test"):
        present = {label for row in rows[split] for label in row.labels}
        absent = [name for index, name in enumerate(labels.names) if index not in present]
        if absent:
            found.append(f"{labels_have(absent)} no row in {split}: {some(absent)}")
    found += _alike(labels.names)
    repeated = repeats(rows)
    for (one, other), count in repeated.across.items():
        found.append(
            f"texts of {one} that are in {other}, too: {count_of(count, 'row')} of {other}"
        )
    if number := repeated.other_labels:
        found.append(f"texts that have other labels in another row: {number:,}")
    texts = [row.text for part in rows.values() for row in part]
    if number := sum("&" in text and html.unescape(text) != text for text in texts):
        found.append(f"texts with HTML entities such as &amp;, which are kept: {number:,}")
    return found


def empty_names(rows: dict[str, list[Row]], names: Sequence[str]) -> list[str]:
    """Labels that are how programs write an empty cell."""
    counts = Counter(names[label] for part in rows.values() for row in part for label in row.labels)
    return [
        f"the label {name!r}, of {count_of(counts[name], 'row')}, may stand for an empty cell; if "
        "it does, list the other labels in labels.names, and set labels.others: ignore and drop: "
        "[no_label]"
        for name in names
        if name.casefold() in ("nan", "null", "none", "\\n")
    ]


def _alike(names: Sequence[str]) -> list[str]:
    """Labels that differ only in case, white space or normal form."""
    folded: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folded[" ".join(unicodedata.normalize("NFKC", name).casefold().split())].append(name)
    return [
        f"labels that differ only in case or white space: {', '.join(map(repr, alike))}"
        for alike in folded.values()
        if len(alike) > 1
    ]


@dataclass
class Repeats:
    """Equal texts, white space folded.

    Attributes:
        within: split -> rows whose text an earlier row of the split has.
        across: two splits -> rows of the second whose text the first has.
        other_labels: texts that have different labels in different rows.
        examples: texts of `other_labels`, with the label indices of their rows.
    """

    within: dict[str, int]
    across: dict[tuple[str, str], int]
    other_labels: int
    examples: list[tuple[str, list[list[int]]]]


def repeats(rows: dict[str, list[Row]]) -> Repeats:
    """Find equal texts within and across splits."""
    seen: dict[str, list[tuple[str, list[int]]]] = defaultdict(list)
    for split, part in rows.items():
        for row in part:
            seen[" ".join(row.text.split())].append((split, row.labels))
    within, across = Counter[str](), Counter[tuple[str, str]]()
    examples = []
    for text, places in seen.items():
        if len(places) == 1:
            continue
        counts = Counter(split for split, _ in places)
        within.update({split: count - 1 for split, count in counts.items() if count > 1})
        ordered = [split for split in SPLITS if split in counts]
        for position, other in enumerate(ordered):
            across.update({(one, other): counts[other] for one in ordered[:position]})
        if len({tuple(row) for _, row in places}) > 1:
            examples.append((text, [row for _, row in places]))
    return Repeats(dict(within), dict(across), len(examples), examples[:10])


def count_of(number: int, noun: str) -> str:
    """A count with its noun: "1 row", "2,000 rows"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def labels_have(names: Sequence[str]) -> str:
    """The beginning of a sentence about labels."""
    return f"{count_of(len(names), 'label')} {'has' if len(names) == 1 else 'have'}"


def some(names: Sequence[str]) -> str:
    """The first ten of some names."""
    return ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
