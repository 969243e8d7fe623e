"""Look at a file of labelled texts and print the entry of `datasets` that reads it.

Every guess is visible in the entry and can be corrected; the entry is then tried on the file.
"""

import io
import json
import re
import shlex
import sys
import tempfile
import textwrap
from contextlib import suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from goemotions.commands import glance
from goemotions.commands.glance import LABEL, SPLIT, TEXT, TITLE, Look
from goemotions.config import TEXTS, Table, load, parse_dataset
from goemotions.config.dataset_settings import FORMATS
from goemotions.data import cells
from goemotions.data.faults import CellError
from goemotions.data.notes import some
from goemotions.data.texts import Texts, read_texts
from goemotions.errors import UserError

_SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "devel"),
    "test": ("test", "testing", "eval"),
}
_ID = re.compile(r"(.*[_ -])?(id|key|uuid|guid)$", re.IGNORECASE)
_YES = {"1", "1.0", "true", "yes", "y", "x"}
_NO = {"0", "0.0", "false", "no", "n"}


def show(path: Path) -> bool:
    """Print the entry that reads a file, and what reading the file with it gives.

    Returns:
        whether the file can be read with the entry.

    Raises:
        UserError: the file is no table, or no column looks like texts or like labels.
    """
    if not path.is_file():
        raise UserError(f"--entry: {path} is not there")
    look = glance.look(path)
    name, files = _files(path)
    name = _free(name, path, look)
    try:
        entry = _entry(name, path, look, {split: file.name for split, file in files.items()})
    except UserError:
        _print_notes(look)
        raise
    texts, problem = None, None
    try:
        texts = _try(name, entry, path.parent)
    except UserError as error:
        problem = error
    if texts and parse_dataset(entry).kind is None:  # so that a loss is refused before training
        entry["task"] = texts.labels.task
    print(textwrap.indent(_yaml({name: entry}), "  "), flush=True)
    _print_notes(look)
    if texts is None:
        print(f"# Reading the file with this entry fails: {problem}", file=sys.stderr)
        return False
    _print_result(texts)
    folder = f"{TEXTS}/{name}"
    outside = [str(f) for f in files.values() if f.parent.resolve() != Path(folder).resolve()]
    copy = f"mkdir -p {folder}; cp {shlex.join(outside)} {folder}; " if outside else ""
    print(
        "# To use it, paste the entry below the line `datasets:` of params.yaml; then\n"
        f"# {copy}git add {folder} params.yaml; git commit -m {name}",
        file=sys.stderr,
    )
    return True


def _yaml(content: Any) -> str:
    writer = YAML(typ="safe")
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.width = 86
    written = io.StringIO()
    writer.dump(content, written)
    return written.getvalue()


def _print_notes(look: Look) -> None:
    for note in look.notes:
        print(f"# note: {note}", file=sys.stderr)


def _print_result(texts: Texts) -> None:
    rows = ", ".join(f"{len(part):,} {split}" for split, part in texts.rows.items())
    names = texts.labels.names
    print(
        f"# Read with this entry: {rows}; {len(names)} labels, "
        f"{texts.labels.task.replace('_', '-')}: {some(names)}",
        file=sys.stderr,
    )
    for warning in texts.warnings:
        print(f"# warning: {warning}", file=sys.stderr)


def _try(name: str, entry: dict[str, Any], folder: Path) -> Texts:
    settings = parse_dataset(entry)
    assert isinstance(settings, Table)  # noqa: S101 - which `source: files` makes
    with tempfile.TemporaryDirectory() as temporary:
        return read_texts(
            name, settings, lambda file: (folder / Path(file).name).read_bytes(), Path(temporary)
        )


def _files(path: Path) -> tuple[str, dict[str, Path]]:
    """A name for the dataset, and the files of the splits that lie beside a file."""
    stem = path.stem.lower()
    found = {"train": path}
    for words in _SPLIT_WORDS.values():
        for word in sorted(words, key=len, reverse=True):
            if re.search(rf"(^|[^a-z]){word}([^a-z]|$)", stem):
                start = stem.rindex(word)
                found = _siblings(path, start, start + len(word)) or found
                stem = stem[:start] + stem[start + len(word) :]
                break
        else:
            continue
        break
    parts = path.resolve().parent.parts
    name = parts[-1] if len(parts) > 1 and parts[-2] == TEXTS else stem
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_-") or "mine", found


def _free(name: str, path: Path, look: Look) -> str:
    """A name like this that is text for YAML, and that no entry of params.yaml has."""
    found = f"data_{name}"
    with suppress(ValueError, YAMLError):  # such as a 13th month
        found = name if isinstance(YAML(typ="safe").load(name), str) else found
    known: set[str] = set()
    with suppress(UserError):
        known = set(load(any_loss=True).datasets)
    if found in known and path.resolve().parent.parts[-2:] == (TEXTS, found):
        look.notes.append(f"params.yaml already has an entry {found}; replace it with this one.")
        return found
    free, number = found, 1
    while free in known:
        number += 1
        free = f"{found}_{number}"
    if free != name:
        why = "is in params.yaml already" if found == name else "is not text for YAML"
        look.notes.append(f"The entry is called {free}, because {name} {why}.")
    return free


def _siblings(path: Path, start: int, end: int) -> dict[str, Path]:
    found = {}
    for split, words in _SPLIT_WORDS.items():
        for word in words:
            for spelled in (word, word.capitalize(), word.upper()):
                other = path.with_name(path.stem[:start] + spelled + path.stem[end:] + path.suffix)
                if other.is_file() and split not in found:
                    found[split] = other
    return found if "train" in found else {}


def _entry(name: str, path: Path, look: Look, files: dict[str, str]) -> dict[str, Any]:
    """The entry, in the order in which a person reads it."""
    paths = {split: f"{TEXTS}/{name}/{file}" for split, file in files.items()}
    entry: dict[str, Any] = {"source": "files"}
    entry["files"] = paths if len(paths) > 1 else paths["train"]
    if FORMATS.get(path.suffix.lower()) != look.form:
        entry["format"] = look.form
    if look.csv:
        entry["csv"] = look.csv
    if look.form == "fasttext":
        entry |= {"text": "text", "labels": {"column": "labels"}}
        return entry | _division(None, look, paths)
    left = [column for column in look.names if column and look.names.count(column) == 1]
    named = [c for c in left if c.lower() in SPLIT and _few(look, c)]
    division = next((c for c in left if _names_splits(look, c)), next(iter(named), None))
    identity = next((c for c in left if _ID.fullmatch(c) and _unique(look, c)), None)
    left = [column for column in left if column not in (division, identity)]
    labels, used = _labels(look, left)
    texts = _texts(look, [column for column in left if column not in used])
    if identity is not None:
        entry["id"] = _shown(identity, look)
    entry["text"] = [_shown(t, look) for t in texts] if len(texts) > 1 else _shown(texts[0], look)
    entry["labels"] = labels
    return entry | _division(division, look, paths)


def _shown(column: str, look: Look) -> str | int:
    return int(column) if look.csv.get("header") is False else column


def _few(look: Look, column: str) -> bool:
    return len(set(map(str, look.column(column)))) <= 10


def _names_splits(look: Look, column: str) -> bool:
    """Whether all cells are words for splits, of two splits at least."""
    cells = {str(cell).strip().lower() for cell in look.column(column)}
    used = [words for words in _SPLIT_WORDS.values() if cells.intersection(words)]
    return len(used) > 1 and all(any(cell in words for words in used) for cell in cells)


def _unique(look: Look, column: str) -> bool:
    cells = look.column(column)
    return all(isinstance(cell, str | int) for cell in cells) and len(set(cells)) == len(cells)


def _division(column: str | None, look: Look, files: dict[str, str]) -> dict[str, Any]:
    """How the rows that the files do not divide are divided."""
    needed = [split for split in ("val", "test") if split not in files]
    if not needed:
        return {}
    shares: dict[str, Any] = dict.fromkeys(needed, 0.1)
    if column is None or len(files) > 1:
        return {"split": {**shares, "seed": 0}}
    found: dict[str, Any] = {"column": _shown(column, look)}
    for split, words in _SPLIT_WORDS.items():
        values = sorted({cell for cell in look.words(column) if cell.lower() in words})
        if (values and values != [split]) or (split in shares and values):
            found[split] = values[0] if len(values) == 1 else values
        elif split in shares:
            found[split] = 0.1
    if any(isinstance(found.get(split), str | list) for split in ("val", "test")):
        return {"split": found}
    values = sorted({str(cell).strip() for cell in look.column(column)})
    if len(values) > 1:
        look.notes.append(
            f"The column {column!r} may say which rows are for what, but its values are no words "
            f"for train, val and test ({', '.join(values)}), so this entry divides the rows anew. "
            f"To use the column, set split: {{column: {column}, train: {json.dumps(values[:-1])}, "
            f"val: 0.1, test: {json.dumps(values[-1])}}}, with the values that mean it."
        )
    return {"split": {**shares, "seed": 0}}


def _texts(look: Look, columns: list[str]) -> list[str]:
    """The column of texts, with a title's before it."""
    by_name = {column.lower().split(".")[-1]: column for column in columns}
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
        raise UserError("--entry: no column looks like texts; write the entry by hand")
    if text == longest and named is None:
        least = max(1.5, _words_a_cell(look, text) / 2)  # words
        others = [c for c in columns if c != text and _words_a_cell(look, c) >= least]
        _note_others(look, "texts", others)
    titles = [c for c in columns if c.lower() in TITLE and c != text]
    return [*titles[:1], text]


def _words_a_cell(look: Look, column: str) -> float:
    words = [word for cell in look.words(column) for word in cell.split()]
    return sum(any(map(str.isalpha, word)) for word in words) / max(1, len(look.rows))


def _labels(look: Look, columns: list[str]) -> tuple[Any, list[str]]:
    """The entry's `labels`, and the columns that it uses."""
    if look.form in ("jsonl", "parquet") and "annotations" in columns:  # of Label Studio
        return {"column": "annotations.result.value.choices"}, ["annotations"]
    flags = [column for column in columns if _is_flag(look, column)]
    set_somewhere = [column for column in flags if _varies(look, column)]
    by_name = {column.lower(): column for column in columns}
    named = next((by_name[name] for name in LABEL if name in by_name), None)
    recurring = _recurring(look, [column for column in columns if column not in flags])
    if len(set_somewhere) > 1 and (named is None or named in flags):
        if constant := [column for column in flags if column not in set_somewhere]:
            look.notes.append(
                "Columns with one value in all rows looked at are not used: "
                f"{', '.join(constant)}. If they are labels, add them to `labels`."
            )
        _note_others(look, "labels", [column for column in recurring if _few(look, column)])
        return _flags(look, set_somewhere), flags
    recurring = _recurring(look, columns)
    column = named or next(iter(recurring), None)
    if column is None:
        raise UserError("--entry: no column looks like labels; write the entry by hand")
    if column != named:
        _note_others(look, "labels", recurring[1:])
    return {"column": _shown(column, look), **_form(look, column)}, [column]


def _note_others(look: Look, what: str, columns: list[str]) -> None:
    if columns:
        shown = ", ".join(columns[:10])
        look.notes.append(f"The {what} may also be in another column: {shown}.")


def _is_flag(look: Look, column: str) -> bool:
    cells = look.flags(column)
    return bool(cells - {"", "-1"}) and cells <= {*_YES, *_NO, "-1", ""}


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
    """The columns whose values recur, those with the fewest different ones first."""
    counts = {
        column: len({str(cell).strip() for cell in look.column(column)}) for column in columns
    }
    found = [c for c, n in counts.items() if 2 <= n <= max(2, len(look.rows) / 2)]
    return sorted(found, key=counts.__getitem__)


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
    if texts and sum(text.startswith(("[", "{")) for text in texts) > len(texts) / 2:
        return {"cell": "list"}
    if texts and all(re.fullmatch(r"(<[^<>]+>)+", text) for text in texts):
        return {"separator": ["<", ">"]}
    distinct = set(texts)
    for mark in ("|", ";", ","):
        parts = {part.strip() for text in distinct for part in text.split(mark)}
        if any(mark in text for text in distinct) and len(parts) <= len(distinct):
            return {"separator": mark}
    return {}


def _value(cell: Any) -> Any:
    """What a cell holds, where a list, a set or an object is written as text."""
    text = cell.strip() if isinstance(cell, str) else ""
    if re.fullmatch(r"[01]([\s,]+[01])+", text):
        return [int(number) for number in re.findall("[01]", text)]
    if text.startswith(("[", "{")):
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
