"""Forms of values that only entries of `datasets` have, each checked and brought to one shape."""

from collections import Counter
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from goemotions.config.base import SPLITS, allowed, refused

MOST_LABELS = 5000
# A level of groups becomes the metric macro_f1_<level>; these are taken.
TAKEN_LEVELS = {"low", "high", "per_label", "at_05", "at_02"}


def _word(value: Any, where: str = "") -> str:
    """Text from YAML: what it takes for a number, a date or a truth value must be in quotes."""
    if isinstance(value, str):
        return value
    kind = {bool: "the truth value", int: "the number", float: "the number", type(None): "nothing:"}
    shown = f"{kind.get(type(value), 'the ' + type(value).__name__)} {value!r}"
    raise refused(f"{where} is {shown} for YAML; put it in quotes")


def _words(value: Any) -> tuple[str, ...]:
    """One text or a list of texts, as a tuple."""
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not value:
        raise allowed("text, or a list of texts")
    words = tuple(_word(one, f"[{index}]") for index, one in enumerate(value))
    word, times = Counter(words).most_common(1)[0]
    if times > 1:
        raise refused(f" has {word!r} twice")
    return words


def _separators(value: Any) -> tuple[str, ...]:
    words = _words(value)
    if "" in words:
        raise allowed("text that separates, which is not empty")
    return words


def _names(value: Any) -> str | tuple[str, ...]:
    """A file with one name a line, or a list of names."""
    if isinstance(value, str):
        return value
    words = _words(value)
    if bad := [word for word in words if not word.strip() or word != word.strip()]:
        raise refused(f" has {bad[0]!r}, which is blank or has leading or trailing spaces")
    if not 2 <= len(words) <= MOST_LABELS:
        raise refused(f" has {len(words):,} names; there must be 2 to {MOST_LABELS:,}")
    return words


def _list_of_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        raise allowed("a list of columns")
    return tuple(_names(value))


def _column(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int) or value in ("", 0):
        raise allowed("a column's name, or its number from 1 where there is no header")
    return str(value)


def _columns(value: Any) -> tuple[str, ...]:
    many = value if isinstance(value, list | tuple) else [value]
    if not many:
        raise allowed("a column, or a list of columns")
    return tuple(_column(one) for one in many)


def _character(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 1 or value in "\r\n":
        raise allowed('one character; write a tab as "\\t"')
    return value


def _quote(value: Any) -> str:
    return value if value == "none" else _character(value)


def _encoding(value: Any) -> str:
    try:
        "".encode(value)  # refuses hex and the like, too, which are no encodings of text
        return str(value)
    except (LookupError, TypeError, ValueError):
        raise allowed("an encoding's name, such as utf-8, cp1252 or utf-16") from None


def _files(value: Any) -> dict[str, tuple[str, ...]]:
    """Files by split; those under "all" are for `split` to divide."""
    if not isinstance(value, dict):
        return {"all": _words(value)}
    if unknown := [key for key in value if key not in SPLITS]:
        raise refused(f" has an unknown key {unknown[0]!r}; choose one of: {', '.join(SPLITS)}")
    if "train" not in value:
        raise refused(" is missing train")
    return {split: _words(value[split]) for split in SPLITS if split in value}


def _part(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        raise allowed("a share between 0 and 1, or the values of the split column")
    if isinstance(value, int | float):
        if not 0 < value < 1:
            raise allowed("a share between 0 and 1; a number in the split column goes in quotes")
        return float(value)
    return _words(value)


def labels_setting(value: Any) -> Any:
    """The short form: a list is the columns of flags."""
    return {"columns": value} if isinstance(value, list | tuple) else value


def _groups(value: Any) -> dict[str, dict[str, tuple[str, ...]]]:
    """Level -> group -> labels; a plain list is a level of one group of the same name."""
    if not isinstance(value, dict):
        raise allowed("a mapping of groups to lists of labels")
    found = {}
    for level, groups in value.items():
        level = _word(level, f": {level!r}")
        if not level.replace("_", "").isalnum():  # it becomes a part of a metric's name
            raise refused(f": {level!r} becomes a metric's name; use letters, digits and _")
        if level in TAKEN_LEVELS:
            raise refused(
                f".{level} would be the metric macro_f1_{level}, which there is; rename it"
            )
        if not isinstance(groups, dict):
            groups = {level: groups}
        if not groups:
            raise refused(f".{level} has no group")
        found[level] = {
            _word(group, f".{level}"): _words(labels) for group, labels in groups.items()
        }
    return found


_TEXT_OR_LIST = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
_COLUMN = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
_FILES = {
    "type": "object",
    "properties": dict.fromkeys(SPLITS, _TEXT_OR_LIST),
    "additionalProperties": False,
}
Character = Annotated[str, BeforeValidator(_character)]
Quote = Annotated[str, BeforeValidator(_quote)]
Encoding = Annotated[str, BeforeValidator(_encoding)]
Column = Annotated[str, BeforeValidator(_column), WithJsonSchema(_COLUMN)]
Columns = Annotated[
    tuple[str, ...],
    BeforeValidator(_columns),
    WithJsonSchema({"anyOf": [*_COLUMN["anyOf"], {"type": "array", "items": _COLUMN}]}),
]
Separators = Annotated[tuple[str, ...], BeforeValidator(_separators), WithJsonSchema(_TEXT_OR_LIST)]
Names = Annotated[str | tuple[str, ...], BeforeValidator(_names), WithJsonSchema(_TEXT_OR_LIST)]
ListOfNames = Annotated[tuple[str, ...], BeforeValidator(_list_of_names)]
Files = Annotated[
    dict[str, tuple[str, ...]],
    BeforeValidator(_files),
    WithJsonSchema({"anyOf": [*_TEXT_OR_LIST["anyOf"], _FILES]}),
]
Part = Annotated[
    float | tuple[str, ...],
    BeforeValidator(_part),
    WithJsonSchema({"anyOf": [{"type": "number"}, *_TEXT_OR_LIST["anyOf"]]}),
]
Groups = Annotated[
    dict[str, dict[str, tuple[str, ...]]],
    BeforeValidator(_groups),
    WithJsonSchema({"type": "object"}),
]
