"""The forms in which a row's labels are written, each read exactly or refused."""

import ast
import difflib
import io
import itertools
import json
import re
import tokenize
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from goemotions.config.dataset_settings import LabelCells
from goemotions.data.faults import SHOWN, CellError
from goemotions.data.notes import count_of
from goemotions.data.table import walk, word_in

Form = Literal["flags", "one", "joined", "list", "vector", "scores"]
# What a cell says: label names; None: nobody has annotated the row.
Reader = Callable[[Any], list[str] | None]

SURROGATE = re.compile("[\ud800-\udfff]")  # half of a pair is not a character
_WORDS = dict.fromkeys(("true", "yes", "y", "x"), True) | dict.fromkeys(("false", "no", "n"), False)
_NOT_ANNOTATED = {"none", "na", "n/a", "null", "nan"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def form_of(settings: LabelCells, cells: Iterable[Any]) -> Form:
    """The form of the cells of `labels.column`, where the entry does not say it."""
    if settings.cell is not None:
        return settings.cell
    if settings.separator is not None:
        return "joined"
    return "list" if any(isinstance(cell, list | tuple) for cell in cells) else "one"


def flag(value: Any, settings: LabelCells) -> bool | None:
    """Whether a flag is set; None where nobody has annotated it.

    Raises:
        CellError: it is neither.
    """
    if isinstance(value, bool):
        return value
    text = "" if value is None else str(value).strip().lower()
    if not text:
        return False if settings.blank == "absent" else None
    if text in _NOT_ANNOTATED:
        return None
    if isinstance(value, int | float | str) and _NUMBER.fullmatch(text):
        number = float(text)
        if number < 0:
            return None
        if settings.positive is not None:
            return number >= settings.positive
        if number in (0, 1):
            return number == 1
        raise CellError(f"is {value!r}, neither 0 nor 1; set `positive`")
    if text in _WORDS:
        return _WORDS[text]
    raise CellError(f"is {value!r}; it must be 0 or 1 (or true, false, yes, no, y, n, x)")


def reader(
    settings: LabelCells, form: Form, names: Sequence[str] | None, path: Sequence[str]
) -> Reader:
    """What reads a cell of `labels.column`.

    Args:
        settings: the entry's `labels`.
        form: of the cells.
        names: the labels, where the entry says them.
        path: keys to walk inside what a text cell holds, as in `genres.name`.
    """
    known = None if names is None else {name: name for name in names}
    # A look for the closest of 1,000 names takes 20 ms, and only the first errors are shown.
    hints = iter(range(SHOWN))

    def as_label(item: Any) -> str | None:
        word = _word(item, nested=form == "list")
        if settings.ids is not None:
            return _by_id(word, names or (), settings.ids)
        if known is not None and word not in known and settings.others == "error":
            hint = _near(word, known) if next(hints, None) is not None else ""
            raise CellError(f"is {word!r}, which is not in labels.names{hint}")
        return word

    def read(cell: Any) -> list[str] | None:
        if form == "vector":
            return _vector(cell, names or (), settings)
        if form == "scores":
            labels = _scores(cell, settings, as_label, path)
        else:
            items = _items(cell, form, settings, path)
            labels = None if items is None else [as_label(item) for item in items]
        if labels is None or None in labels:
            return None
        found = [label for label in labels if label and (known is None or label in known)]
        return list(dict.fromkeys(found))

    return read


def _items(cell: Any, form: Form, settings: LabelCells, path: Sequence[str]) -> list[Any] | None:
    """The labels in a cell, before they are looked at; None where there is no cell."""
    if cell is None:
        return [] if form == "one" else None
    if form == "one":
        items = [cell]
    elif form == "joined":
        items = _joined(cell, settings.separator or ())
    else:
        items = _list(cell, path)
    return [item for item in items if not _blank(item)]


def _blank(item: Any) -> bool:
    return isinstance(item, str) and not item.strip()


def _word(item: Any, *, nested: bool = False) -> str:
    """A label as text: whole numbers and truth values as JSON writes them.

    Args:
        nested: whether it is an item of a list.
    """
    if isinstance(item, str):
        if SURROGATE.search(item):
            raise CellError(f"is {item!r}; half of a surrogate pair is not a character")
        return item.strip()
    if isinstance(item, int):
        return word_in(item)
    if isinstance(item, dict):
        raise CellError(f"holds an object; add one of its keys after a dot: {', '.join(item)}")
    if isinstance(item, list | tuple) and nested:
        raise CellError(
            f"holds a list in a list, {str(item)[:60]}; if these are spans of the text, note "
            "that only labels of whole texts can be read"
        )
    if isinstance(item, list | tuple):
        raise CellError("is a list; set cell: list, or vector for 0 and 1")
    whole = isinstance(item, float) and item.is_integer()
    remedy = (
        f"; write {item:.0f} in the file, for example with pandas' astype('Int64')" if whole else ""
    )
    raise CellError(f"is {item!r}; a label must be text or a whole number{remedy}")


def _by_id(word: str, names: Sequence[str], first: int) -> str | None:
    if word == "-1":  # how the Hub's test splits say that nobody has annotated the row
        return None
    last = first + len(names) - 1
    if not re.fullmatch(r"\d{1,18}", word) or not first <= int(word) <= last:
        raise CellError(f"is {word!r}; it must be a whole number from {first} to {last}")
    return names[int(word) - first]


def _near(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, known, 1, 0.5)
    if word.startswith("[") and word.endswith("]"):
        return "; it looks like a list: set cell: list"
    return f"; did you mean {near[0]!r}?" if near else "; set others: ignore to set it aside"


def _joined(cell: Any, separators: Sequence[str]) -> list[str]:
    if not isinstance(cell, str):
        raise CellError(f"is {cell!r}, and must be text that `separator` divides")
    longest_first = sorted(separators, key=len, reverse=True)
    return re.split("|".join(map(re.escape, longest_first)), cell)


def _list(cell: Any, path: Sequence[str]) -> list[Any]:
    """The items of a list, which may be written as JSON or as Python prints it."""
    if isinstance(cell, str):
        if cell.strip()[:1] not in ("[", "(", "{"):
            return [cell]
        cell = walk(literal(cell.strip()), path)
    if isinstance(cell, list | tuple):
        return list(cell)
    if isinstance(cell, set):
        return sorted(cell, key=str)
    return [cell]


def literal(text: str) -> Any:
    """What a text says that is written as JSON or as Python prints it.

    Raises:
        CellError: it is neither, or would be read as something else than is meant.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if _side_by_side(text):  # numpy's print, where Python would join the two
        raise CellError(f"is {_short(text)}, which has no commas between the texts")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        raise CellError(f"is {_short(text)}, which is not a list in JSON or Python") from None


def _side_by_side(text: str) -> bool:
    try:
        kinds = [
            token.type
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT)
        ]
    except (tokenize.TokenError, SyntaxError):
        return False
    return any(a == b == tokenize.STRING for a, b in itertools.pairwise(kinds))


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _vector(cell: Any, names: Sequence[str], settings: LabelCells) -> list[str] | None:
    if cell is None:
        return None
    if isinstance(cell, str) and cell.strip()[:1] not in ("[", "("):
        items: list[Any] = [part for part in re.split(r"[\s,]+", cell.strip()) if part]
    else:
        items = _list(cell, ())
    if len(items) != len(names):
        raise CellError(
            f"has {count_of(len(items), 'number')}, labels.names has {len(names)} names"
        )
    flags = [flag(item, settings) for item in items]
    if None in flags:
        return None
    return [name for name, is_set in zip(names, flags, strict=True) if is_set]


def _scores(
    cell: Any,
    settings: LabelCells,
    as_label: Callable[[Any], str | None],
    path: Sequence[str],
) -> list[str | None] | None:
    if isinstance(cell, str) and not _blank(cell):
        cell = walk(literal(cell.strip()), path)
    if cell is None or isinstance(cell, str):
        return None
    if not isinstance(cell, dict):
        raise CellError(f"is {cell!r}; cell: scores needs labels with numbers")
    found: list[str | None] = []
    for key, value in cell.items():
        label = as_label(key)
        try:
            is_set = flag(value, settings)
        except CellError as error:
            raise CellError(f": {key} {error}") from None
        if is_set is None:
            return None
        if is_set:
            found.append(label)
    return found
