"""What pydantic found wrong in params.yaml, in words: the setting, what it got, what is allowed."""

import difflib
import types
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from goemotions.config.base import SPLITS


def explain(errors: Iterable[ErrorDetails], root: type[BaseModel]) -> str:
    """Errors of pydantic, one per line: the setting, what it got, and what is allowed.

    Args:
        errors: found in what should be a `root`.
        root: the class of all of params.yaml.
    """
    # What is unknown first: a misspelt setting is also a missing one.
    ordered = sorted(errors, key=lambda error: error["type"] != "extra_forbidden")
    return "\n".join(dict.fromkeys(_line(error, root) for error in ordered))


def _line(error: ErrorDetails, root: type[BaseModel]) -> str:
    *parents, last = error["loc"] or ("",)
    place, kind, constraints = _at(error["loc"], root)
    above, parent, _ = _at(tuple(parents), root)
    got = f"{place or 'params.yaml'} is {error['input']!r}"
    match error["type"]:
        case "extra_forbidden":
            known = _settings_of(parent)
            return f"{above or 'params.yaml'} has an unknown setting {last!r}; " + choose(
                last, known, "known"
            )
        case "missing":
            return f"{place} is missing from params.yaml"
        case "union_tag_not_found" | "union_tag_invalid" | "model_attributes_type":
            members = _members(kind)
            key = "function" if parents[0] == "losses" else "source"
            if isinstance(error["input"], dict) and key in error["input"]:
                tag = error["input"][key]
                return f"{place}.{key} is {tag!r}; {choose(tag, list(members))}"
            return f"{got}; it needs `{key}`, one of: {', '.join(members)}"
        case "literal_error" if last == "[key]":  # the only mappings with fixed keys
            return f"{above} has an unknown key; {choose(error['input'], SPLITS)}"
        case "literal_error":
            return f"{got}; {choose(error['input'], get_args(kind))}"
        case "invalid_key":
            return f"{above} has the key {last!r}, which is not text; put it in quotes"
        case "too_short":
            return f"{got}; it must have at least one entry"
        case "model_type" | "dict_type":
            known = _settings_of(kind)
            return f"{got}; it must be a mapping" + (f" with: {', '.join(known)}" if known else "")
        case "list_type" | "tuple_type":
            return f"{got}; it must be a list"
        case "allowed":
            return f"{got}; it must be {error['msg']}"
        case "refused":
            return f"{place}{error['msg']}"
        case "string_pattern_mismatch" | "string_type" if last == "[key]":
            mapping, _, _ = _at(tuple(parents[:-1]), root)
            if len(parents) > 2:  # files of a model
                return f"{mapping} has the key {error['input']!r}; put it in quotes"
            return f"{mapping} has an entry {error['input']!r}; use letters, digits, - and _"
    return f"{got}; it must be {_kind(kind, constraints)}"


def _at(loc: tuple[int | str, ...], root: type[BaseModel]) -> tuple[str, Any, list[Any]]:
    """What the schema has at one of pydantic's places.

    Returns:
        the setting's name in params.yaml; its type; and the constraints on its value.
    """
    shown: list[str] = []
    kind: Any = root
    constraints: list[Any] = []
    for part in loc:
        kind, more = _plain(kind)
        constraints += more
        if part == "[key]":
            continue
        if members := _members(kind):  # pydantic adds which member of a union it took
            kind, constraints = members.get(str(part)), []
            continue
        if isinstance(part, int):
            shown[-1:] = [f"{''.join(shown[-1:])}[{part}]"]
            kind, constraints = next(iter(get_args(kind)), None), []
            continue
        shown.append(str(part))
        if get_origin(kind) is dict:
            kind, constraints = get_args(kind)[1], []
        elif isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields:
            field = kind.model_fields[str(part)]
            kind, constraints = field.annotation, list(field.metadata)
        else:
            kind, constraints = None, []
    kind, more = _plain(kind)
    return ".".join(shown), kind, constraints + more


def _plain(kind: Any) -> tuple[Any, list[Any]]:
    """A type without `Annotated` and `| None`, and the annotations."""
    found: list[Any] = []
    while True:
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            found += more
        elif get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind):
            (kind,) = (one for one in get_args(kind) if one is not type(None))
        else:
            return kind, found


def _members(kind: Any) -> dict[str, type[BaseModel]]:
    """The members of a union of settings by their `source` or `function`; else nothing."""
    if get_origin(kind) not in (Union, types.UnionType):
        return {}
    tags = ("source", "function")
    return {
        get_args(member.model_fields[tag].annotation)[0]: member
        for member in get_args(kind)
        for tag in tags
        if tag in member.model_fields
    }


def _settings_of(kind: Any) -> list[str]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return sorted(kind.model_fields)
    return []


def choose(given: Any, choices: Iterable[str], words: str = "choose one of") -> str:
    """The allowed values, after the one that is closest to what was given."""
    listed = list(choices)
    near = difflib.get_close_matches(str(given), listed, 1)
    return (f"did you mean {near[0]}? " if near else "") + f"{words}: {', '.join(listed)}"


def _kind(kind: Any, constraints: list[Any]) -> str:
    """What a value must be, in words: its type, and its range where it has one."""
    name = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}.get(kind)
    bounds = {
        type(bound): getattr(bound, type(bound).__name__.lower())
        for bound in constraints
        if isinstance(bound, (Ge, Gt, Le, Lt))
    }
    low, high, below = bounds.get(Ge), bounds.get(Le), bounds.get(Lt)
    if Gt in bounds:
        return f"{name} above {bounds[Gt]}"
    if low is None:
        return str(name)
    if high is None and below is None:
        return f"{name}, at least {low}"
    return f"{name} from {low} to {high if below is None else f'below {below}'}"
