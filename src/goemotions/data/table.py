"""The used columns of a file, and what the readers of each format share."""

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from goemotions.data.faults import Place, TextsError

DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Table:
    """The used columns of a file.

    Attributes:
        file: its name, as params.yaml has it.
        cells: column -> its cells in the order of the rows: strings in text formats; in JSON and
            parquet also lists, mappings, numbers and None.
        lines: the physical line of each row; None where the format has none.
        inside: column -> keys still to walk in its cells, which are text that holds a list.
    """

    file: str
    cells: dict[str, list[Any]]
    lines: Sequence[int] | None
    inside: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.cells.values())))

    def place(self, index: int) -> Place:
        return Place(self.file, index + 1, None if self.lines is None else self.lines[index])


def check_columns(
    file: str, wanted: Iterable[str], names: list[str], what: str, *, delimited: bool = False
) -> None:
    """Raise TextsError for a column that is not in a file, or is there twice."""
    for name in wanted:
        if names.count(name) == 1:
            continue
        if name in names:
            times = names.count(name)
            raise TextsError(f"{file}: {what} {name!r} occurs {times} times; rename one")
        near = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        seems = [mark for mark in DELIMITERS if mark in names[0]] if names else []
        if delimited and len(names) == 1 and seems:
            hint = f"; the header has one column, is the delimiter {json.dumps(seems[0])}?"
        elif delimited and any(looks_like_a_cell(other) for other in names):
            hint = "; the first row looks like data: set csv.header: false if there is no header"
        shown = ", ".join(repr(other) for other in names[:20]) + (", …" if len(names) > 20 else "")
        raise TextsError(f"{file} has no {what} {name!r}; it has {shown}{hint}")


def looks_like_a_cell(name: str) -> bool:
    """Whether what should be a column's name is rather a text or a number."""
    return len(name) > 40 or len(name.split()) > 5 or re.fullmatch(r"[\d.,:-]+", name) is not None


def check_path(file: str, name: str, cells: list[Any], path: Sequence[str]) -> None:
    """Raise TextsError for the first key of a path that is in no cell of its column.

    Args:
        file: its name.
        name: of the column with the path, as the entry has it.
        cells: of the column without the path.
        path: the keys.
    """
    for depth, key in enumerate(path):
        found = [cell for cell in _items(walk(cells, path[:depth])) if cell is not None]
        keys = dict.fromkeys(key for cell in found if isinstance(cell, dict) for key in cell)
        if not found or key in keys:
            continue
        holder = name.removesuffix("." + ".".join(path[depth:]))
        near = difflib.get_close_matches(key, keys, 1)
        hint = f"; did you mean '{holder}.{near[0]}'?" if near else ""
        shown = ", ".join(map(repr, list(keys)[:20])) or "no keys"
        raise TextsError(f"{file}: {name!r} is in no row; {holder!r} has {shown}{hint}")


def _items(value: Any) -> Iterator[Any]:
    """The items of lists within lists."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _items(item)
    else:
        yield value


def word_in(cell: Any) -> str:
    """A cell as text without blanks around it; a truth value as JSON has it."""
    return json.dumps(cell) if isinstance(cell, bool) else str(cell).strip()


def walk(value: Any, path: Sequence[str]) -> Any:
    """What lies at a path of keys, over every item of lists on the way; None if nothing does."""
    if not path:
        return value
    if isinstance(value, list | tuple):
        found: list[Any] = []
        for item in value:
            inside = walk(item, path)
            found += inside if isinstance(inside, list) else [] if inside is None else [inside]
        return found
    if isinstance(value, str) and list(path) == ["choices"]:
        return value  # Label Studio's short form of {"choices": [value]}
    return walk(value.get(path[0]), path[1:]) if isinstance(value, dict) else None
