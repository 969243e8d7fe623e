"""Which columns of a file hold the texts and the labels, and in what form; guesses, with notes."""

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from goemotions.data import cells
from goemotions.data.faults import CellError
from goemotions.data.table import walk
from goemotions.errors import UserError
from goemotions.guessing.glance import LABEL, TEXT, TITLE, Look

_YES = {"1", "1.0", "true", "yes", "y", "x"}
_NO = {"0", "0.0", "false", "no", "n"}
_ONE = ("label", "labels", "class", "target")  # names of the one column of labels
_JOINED = ("|", ";", ",")
_LISTS = ("[", "{", "('", '("')  # how a list, a set, an object or a tuple begins as text


def shown(column: str, look: Look) -> str | int:
    """A column as the entry has it: its number where there is no header."""
    return int(column) if look.csv.get("header") is False else column


def few(look: Look, column: str) -> bool:
    """Whether a column has at most ten different values."""
    return len(set(map(str, look.column(column)))) <= 10


def texts(look: Look, columns: list[str]) -> list[str]:
    """The column of texts, with a title's before it.

    Raises:
        UserError: none looks like texts.
    """
    columns = [column for column in columns if len(set(map(str, look.column(column)))) > 1]
    by_name = {column.lower().split(".")[-1]: column for column in columns}
    by_name |= {column.lower(): column for column in columns}
    named = next((by_name[name] for name in TEXT if name in by_name), None)
    nested = [
        f"{column}.{key}"
        for column in columns
        for key in TEXT
        if any(
            isinstance(cell, dict) and isinstance(cell.get(key), str)
            for cell in look.column(column)
        )
    ]
    longest = max(columns, key=lambda column: _words_a_cell(look, column), default=None)
    text = named or (nested[0] if nested else longest)
    if text is None or ("." not in text and not _words_a_cell(look, text) > 0):
        raise UserError(f"--entry: no column looks like texts{_by_hand(look)}")
    titles = [c for c in columns if c.lower() in TITLE and c != text]
    words = _words_a_cell(look, text) if "." not in text or named else 0.0
    least = words if named else max(1.5, words / 2)
    others = [c for c in columns if c not in (text, *titles) and _words_a_cell(look, c) > least]
    if not nested or named:
        _note_others(look, "texts", others)
    return [*titles[:1], text]


def _words_a_cell(look: Look, column: str) -> float:
    words = [word for cell in look.words(column) for word in cell.split()]
    return sum(any(map(str.isalpha, word)) for word in words) / max(1, len(look.rows))


def labels(look: Look, columns: list[str]) -> tuple[Any, list[str]]:
    """The entry's `labels`, and the columns that it uses.

    Raises:
        UserError: none looks like labels.
    """
    if "annotations" in columns and _of_label_studio(look.column("annotations")):
        every = look.column("annotations")
        questions = set(map(str, walk(every, ["result", "from_name"])))
        if len(questions) > 1 or any(isinstance(one, list) and len(one) > 1 for one in every):
            look.notes.append(
                "Some rows have several questions or annotators, whose labels are put together; if "
                "that is not meant, export one question, and one annotation of each task."
            )
        return {"column": "annotations.result.value.choices"}, ["annotations"]
    flags = [column for column in columns if _is_flag(look, column)]
    set_somewhere = [column for column in flags if _varies(look, column)]
    by_name = {column.lower(): column for column in columns}
    named = next((by_name[name] for name in LABEL if name in by_name), None)
    recurring = _recurring(look, [column for column in columns if column not in flags])
    alone = named in flags and named is not None and named.lower() in _ONE
    if len(set_somewhere) > 1 and (named is None or named in flags) and not alone:
        if constant := [column for column in flags if column not in set_somewhere]:
            look.notes.append(
                "Columns with one value in all rows looked at are not used: "
                f"{', '.join(constant)}. If they are labels, add them to `labels`."
            )
        almost = [one for one in columns if one not in flags and _almost_flag(look, one)]
        for one in almost:
            look.notes.append(
                f"The column {one!r} is not taken for a label: most of its cells are yes or no, "
                f"but not {', '.join(map(repr, sorted(_no_flags(look, one))[:3]))}. Correct these "
                "cells if it is one."
            )
        others = [one for one in recurring if few(look, one) and one not in almost]
        _note_others(look, "labels", others)
        return _flags(look, set_somewhere), flags
    recurring = _recurring(look, columns)
    column = named or next(iter(recurring), None)
    if column is None:
        raise UserError(f"--entry: no column looks like labels{_by_hand(look)}")
    candidates = [one for one in recurring if column != named or few(look, one)]
    _note_others(look, "labels", [one for one in candidates if one != column])
    return {"column": shown(column, look), **_form(look, column)}, [column]


def _of_label_studio(cells: list[Any]) -> bool:
    """Whether cells are lists of Label Studio's annotations, not all of them empty."""
    items = [item for cell in cells if isinstance(cell, list) for item in cell]
    return bool(items) and all(isinstance(item, dict) and "result" in item for item in items)


def _by_hand(look: Look) -> str:
    names = ", ".join(map(repr, look.names[:20]))
    return f"; write the entry by hand, as docs/own-texts.md says. The columns are {names}"


def _note_others(look: Look, what: str, columns: list[str]) -> None:
    if columns:
        shown = ", ".join(columns[:10])
        look.notes.append(f"The {what} may also be in another column: {shown}.")


def _is_flag(look: Look, column: str) -> bool:
    cells = look.flags(column)
    return bool(cells - {"", "-1"}) and not _no_flags(look, column)


def _no_flags(look: Look, column: str) -> set[str]:
    return look.flags(column) - {*_YES, *_NO, "-1", ""}


def _almost_flag(look: Look, column: str) -> bool:
    """Whether most cells are flags, of both kinds, but not all."""
    found = [str(cell).strip().lower() for cell in look.column(column)]
    yes, no = (sum(cell in words for cell in found) for words in (_YES, _NO))
    return min(yes, no) > 0 and yes + no > 0.8 * len(found)


def _varies(look: Look, column: str) -> bool:
    """Whether a flag is set in some rows and not in others."""
    cells = look.flags(column)
    return bool(cells & _YES) and bool(cells & {*_NO, ""})


def _flags(look: Look, columns: list[str]) -> Any:
    """The `labels` of columns of flags; an empty one means no if nothing else says no."""
    blank = [look.flags(column) for column in columns if "" in look.flags(column)]
    if blank and not any(cells & {*_NO, "-1"} for cells in blank):
        return {"columns": columns, "blank": "absent"}
    return columns


def _recurring(look: Look, columns: list[str]) -> list[str]:
    """The columns whose values recur: first where several are joined, then by how few there are."""
    ranks = {}
    for column in columns:
        whole = {str(cell).strip() for cell in look.column(column)}
        parts = [len(_parts(whole, mark)) for mark in _JOINED if any(mark in one for one in whole)]
        count = min([len(whole), *parts])
        if 2 <= count <= max(2, len(look.rows) / 2):
            ranks[column] = (count == len(whole), count)
    return sorted(ranks, key=ranks.__getitem__)


def _parts(texts: Iterable[str], mark: str) -> set[str]:
    return {part.strip() for text in texts for part in text.split(mark)} - {""}


def _form(look: Look, column: str) -> dict[str, Any]:
    """What else the entry says about the column of the labels, by the form of its cells."""
    if column in look.classes:
        return {"names": look.classes[column], "ids": 0}
    found = [cell for cell in look.column(column) if cell not in (None, "")]
    values = [_value(cell) for cell in found]
    if any(isinstance(value, dict) for value in values):
        return _objects(look, column, values)
    if size := _vector_size(values):
        look.notes.append(
            f"The cells of {column!r} are {size} numbers, each of them 0 or 1. In labels.names, "
            f"write the {size} labels in the order of the numbers, in place of `label 1` and so on."
        )
        return {"cell": "vector", "names": [f"label {n}" for n in range(1, size + 1)]}
    texts = [cell.strip() for cell in found if isinstance(cell, str)]
    if texts and sum(text.startswith(_LISTS) for text in texts) > len(texts) / 2:
        return {"cell": "list"}
    if texts and all(re.fullmatch(r"(<[^<>]+>)+", text) for text in texts):
        return {"separator": ["<", ">"]}
    distinct = set(texts)
    for mark in (*_JOINED, "#"):  # doccano's, which is also in names such as C#
        parts = _parts(distinct, mark)
        known = len(parts) <= len(distinct) if mark != "#" else parts <= distinct
        if any(mark in text for text in distinct) and known:
            return {"separator": mark}
    return {}


def _value(cell: Any) -> Any:
    """What a cell holds, where a list, a set or an object is written as text."""
    text = cell.strip() if isinstance(cell, str) else ""
    if re.fullmatch(r"[01]([\s,]+[01])+", text):
        return [int(number) for number in re.findall("[01]", text)]
    if text.startswith(_LISTS):
        with suppress(CellError):
            return cells.literal(text)
    return cell


def _vector_size(values: list[Any]) -> int:
    """How many numbers each cell has, if all are as many zeros and ones; else 0."""
    sizes = {len(value) if isinstance(value, list) else 0 for value in values}
    size = sizes.pop() if len(sizes) == 1 else 0
    flags = size > 1 and all(number in (0, 1) for value in values for number in value)
    return size if flags else 0


def _objects(look: Look, column: str, values: list[Any]) -> dict[str, Any]:
    """Cells that are objects: the choices of Label Studio, or scores by label."""
    objects = [value for value in values if isinstance(value, dict)]
    if all("choices" in value for value in objects):  # one choice is written as bare text
        found = {"column": f"{column}.choices"}
        return found if look.form in ("jsonl", "parquet") else {**found, "cell": "list"}
    scores = [score for value in objects for score in value.values()]
    if len(objects) == len(values) and all(isinstance(s, float | int | None) for s in scores):
        return {"cell": "scores", **_positive(scores)}
    keys = list(dict.fromkeys(str(key) for value in objects for key in value)) or ["KEY"]
    raise UserError(
        f"--entry: the cells of {column!r} are objects such as {str(objects[0])[:80]}; write "
        f"the entry by hand, with `labels: {{column: {column}.{keys[0]}, cell: list}}` if "
        f"{keys[0]!r} holds the labels; the keys are {', '.join(map(repr, keys[:10]))}"
    )


def _positive(values: Any) -> dict[str, float]:
    numbers = [value for value in values if isinstance(value, float | int)]
    return {"positive": 0.5} if any(value not in (0, 1) for value in numbers) else {}
