"""Files of JSON: one object a line, or a list of objects.

Read by Python's parser, with every value as it is written: readers of tables infer types, and make
numbers of texts.
"""

import json
from collections.abc import Iterator
from typing import Any

from goemotions.data.faults import Faults, Place, TextsError
from goemotions.data.table import Table, check_columns, check_path, walk
from goemotions.errors import first_line

_MISSING = object()
_SPACE = frozenset(" \t\r\n")


def read(file: str, text: str, wanted: list[str]) -> Table:
    rows = objects(file, text)
    keys = list(dict.fromkeys(key for _, row in rows for key in row))
    paths = {name: [name] if name in keys else name.split(".") for name in wanted}
    first = rows[0][1]
    holders = [key for key, value in first.items() if isinstance(value, list | dict)]
    used = {path[0] for path in paths.values()}
    # {"data": [...]}, or a list of cells for each column.
    if len(rows) == 1 and holders and (not used <= set(keys) or len(used & set(holders)) > 1):
        raise TextsError(
            f"{file} is one object that holds all rows; write one object a line, or a list of "
            "objects, as pandas' to_json(orient='records') does"
        )
    check_columns(file, [path[0] for path in paths.values()], keys, "key")
    cells: dict[str, list[Any]] = {name: [] for name in wanted}
    faults = Faults()
    for number, (line, row) in enumerate(rows, start=1):
        for name, (key, *rest) in paths.items():
            value = row.get(key, _MISSING)
            if value is _MISSING:
                remedy = "where it is empty, write it with null"  # MongoDB leaves such keys out
                faults.add(f"key {key}", Place(file, number, line), f"has no key {key!r}", remedy)
            cells[name].append(walk(value, rest))
    faults.check()
    for name, (key, *rest) in paths.items():
        if rest and not any(cells[name]):
            check_path(file, name, [row[key] for _, row in rows], rest)
    return Table(file, cells, [line for line, _ in rows])


def objects(file: str, text: str) -> list[tuple[int, dict[str, Any]]]:
    """The line and the object of each row, of a list of objects or of one object a line.

    Raises:
        TextsError: the text is not that.
    """
    faults, rows = Faults(), []
    listed = text.lstrip().startswith("[")
    parts = _items(file, text) if listed else _lines(text)
    for row, (line, part) in enumerate(parts, start=1):
        try:
            value = part if listed else _DECODER.decode(part)
            if not isinstance(value, dict):
                raise ValueError('a row must be an object, such as {"text": ..., "label": ...}')
        except (ValueError, RecursionError) as error:
            if row == 1 and text.lstrip().startswith("{") and text.strip().count("\n"):
                error = _as_a_whole(text) or error
            faults.add("json", Place(file, row, line), first_line(error))
            if row == 1:
                faults.check()
            continue
        rows.append((line, value))
    faults.check()
    if not rows:
        raise TextsError(f"{file} holds no row")
    return rows


def _as_a_whole(text: str) -> ValueError | None:
    try:
        _, end = _DECODER.raw_decode(text.lstrip())
    except (ValueError, RecursionError):
        return None
    what = (
        "an object takes several lines" if text.lstrip()[end:].strip() else "the file is one object"
    )
    return ValueError(f"{what}; write one object a line (`jq -c .` does), or a list of objects")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} is there twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            yield line, content


def _items(file: str, text: str) -> Iterator[tuple[int, Any]]:
    """The items of a JSON array, with the line that each begins in."""

    def skip(position: int) -> int:
        while text[position : position + 1] in _SPACE:
            position += 1
        return position

    position, line, row = skip(text.index("[") + 1), 1, 0
    counted = 0
    while True:
        line += text.count("\n", counted, position)
        counted, row = position, row + 1
        try:
            if text[position : position + 1] == "]" and row == 1:
                return
            value, position = _DECODER.raw_decode(text, position)
            position = skip(position)
            if (mark := text[position : position + 1]) not in (",", "]"):
                raise ValueError("the list is not closed" if not mark else f"{mark!r} after a row")
        except (ValueError, RecursionError) as error:
            raise TextsError(f"{Place(file, row, line)}: {first_line(error)}") from None
        yield line, value
        if mark == "]":
            if text[position + 1 :].strip():
                raise TextsError(f"{Place(file, row, line)}: something follows the list of rows")
            return
        position = skip(position + 1)
