"""Look at a file of labelled texts and print the entry of `datasets` that reads it.

Every guess is visible in the entry and can be corrected; the entry is then tried on the file.
"""

import codecs
import csv
import io
import json
import re
import shlex
import sys
import tempfile
import textwrap
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from goemotions.config import TEXTS, Table, load, parse_dataset
from goemotions.config.dataset_settings import FORMATS, Csv
from goemotions.data import cells, delimited, json_rows, table, table_files
from goemotions.data.faults import CellError
from goemotions.data.notes import count_of
from goemotions.data.texts import Texts, read_texts
from goemotions.errors import UserError, first_line
from goemotions.io.parquet import open_parquet, read_parquet

_LOOK = 2**21  # characters to look at; more would not change a guess
_SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev", "devel"),
    "test": ("test", "testing", "eval"),
}
_ID = re.compile(r"(.*[_ -])?(id|key|uuid|guid)$", re.IGNORECASE)
_SPLIT = {"split", "fold", "folds", "set", "partition", "subset", "dataset", "is_test", "istest"}
_TEXT = (
    "text", "comment_text", "comment", "sentence", "tweet", "review", "message", "content", "body",
    "utterance", "description", "document", "plot", "abstract", "summary",
)  # fmt: skip
_TITLE = {"title", "subject", "headline", "summary"}
_LABEL = (
    "label", "labels", "tags", "tag", "category", "categories", "class", "classes", "target",
    "emotion", "emotions", "sentiment", "topic", "topics", "genres", "genre", "intent", "cats",
    "accept",
)  # fmt: skip
_YES = {"1", "1.0", "true", "yes", "y", "x"}
_NO = {"0", "0.0", "false", "no", "n"}


@dataclass
class _Look:
    """A file at a glance.

    Attributes:
        form: csv, tsv, jsonl, parquet or fasttext.
        names: of the columns.
        rows: the first rows' cells.
        csv: settings of csv that are not the defaults.
        notes: what a person should know about guesses.
        classes: column -> the names of its class labels, which are numbers.
    """

    form: str
    names: list[str]
    rows: list[list[Any]]
    csv: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)

    def column(self, name: str) -> list[Any]:
        index = self.names.index(name)
        return [row[index] for row in self.rows]

    def words(self, name: str) -> list[str]:
        return [cell.strip() for cell in self.column(name) if isinstance(cell, str)]

    def flags(self, name: str) -> set[str]:
        return {str(cell).strip().lower() for cell in self.column(name)}


def show(path: Path) -> bool:
    """Print the entry that reads a file, and what reading the file with it gives.

    Returns:
        whether the file can be read with the entry.

    Raises:
        UserError: the file is no table, or no column looks like texts or like labels.
    """
    if not path.is_file():
        raise UserError(f"--entry: {path} is not there")
    look = _look(path)
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
    written = yaml.safe_dump(
        {name: entry}, sort_keys=False, allow_unicode=True, default_flow_style=None, width=86
    )
    print(textwrap.indent(written, "  "), flush=True)
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


def _print_notes(look: _Look) -> None:
    for note in look.notes:
        print(f"# note: {note}", file=sys.stderr)


def _print_result(texts: Texts) -> None:
    rows = ", ".join(f"{len(part):,} {split}" for split, part in texts.rows.items())
    names = texts.labels.names
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    print(
        f"# Read with this entry: {rows}; {len(names)} labels, "
        f"{texts.labels.task.replace('_', '-')}: {shown}",
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


def _free(name: str, path: Path, look: _Look) -> str:
    """A name like this that is text for YAML, and that no entry of params.yaml has."""
    found = f"data_{name}"
    with suppress(ValueError, yaml.YAMLError):  # such as a 13th month
        found = name if isinstance(yaml.safe_load(name), str) else found
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


def _look(path: Path) -> _Look:
    """Read the beginning of a file without an entry."""
    content = path.read_bytes()
    form = FORMATS.get(path.suffix.lower())
    if content.startswith(b"PAR1"):
        form = "parquet"
    table_files.refuse_what_is_no_table(str(path), content, form or "csv")
    if form == "parquet":
        return _parquet(path, content)
    encoding = _encoding(content)
    text = content.decode(encoding)[:_LOOK]
    start = text.lstrip("\ufeff \t\r\n")
    if form == "jsonl" or (form is None and start[:1] in ("{", "[")):
        return _json(path, content.decode(encoding))
    if start.startswith(table_files.FASTTEXT):
        return _Look("fasttext", ["labels", "text"], [], {})
    return _csv(str(path), content.decode(encoding).removeprefix("\ufeff"), encoding, form)


def _encoding(content: bytes) -> str:
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    for encoding in ("utf-16",) if utf16 else ("utf-8", "cp1252"):
        if table_files.decodes(content, encoding):
            return encoding
    what = "not UTF-16, although it begins so" if utf16 else "neither UTF-8 nor UTF-16 nor cp1252"
    raise UserError(
        f"--entry: the file is {what}; save it as UTF-8, or write the entry of a csv file by hand, "
        "with csv.encoding, such as shift_jis or gb18030"
    )


def _parquet(path: Path, content: bytes) -> _Look:
    try:
        schema = open_parquet(content).schema_arrow
        names = [name for name in schema.names if "__index" not in name]
        rows = read_parquet(content, names)[:1000].to_pylist()
    except Exception as error:  # damaged files make pyarrow raise many types
        raise UserError(f"--entry: {path} is not a parquet file: {first_line(error)}") from None
    look = _Look("parquet", names, [list(row.values()) for row in rows], {})
    with suppress(
        LookupError, ValueError, TypeError, AttributeError
    ):  # the metadata may be anything
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        for name, feature in features.items():
            inner = feature.get("feature") or feature  # of a list
            if inner.get("_type") == "ClassLabel":
                look.classes[name] = list(map(str, inner["names"]))
    return look


def _json(path: Path, text: str) -> _Look:
    objects = [value for _, value in json_rows.objects(str(path), text)]
    _refuse_rejected(path, [row.get("answer") for row in objects])
    if len(objects) == 1 and any(isinstance(value, list | dict) for value in objects[0].values()):
        json_rows.read(str(path), text, [*objects[0], "text"])  # says so if it holds all rows
    objects = objects[:1000]
    names = list(dict.fromkeys(key for row in objects for key in row))
    return _Look("jsonl", names, [[row.get(name) for name in names] for row in objects], {})


def _refuse_rejected(path: Path, answers: list[Any]) -> None:
    """Refuse an export of Prodigy with rows that were not accepted, since no setting skips rows."""
    rejected, ignored = answers.count("reject"), answers.count("ignore")
    if rejected + ignored == 0 or rejected + ignored + answers.count("accept") < len(answers):
        return
    rows = count_of(len(answers), "row")
    command = (
        "python3 -c 'import json, sys; sys.stdout.writelines(row for row in sys.stdin if "
        f'json.loads(row)["answer"] == "accept")\' < {shlex.quote(str(path))} > accepted.jsonl'
    )
    raise UserError(
        f"--entry: {path} looks like an export of Prodigy: `answer` is reject in {rejected:,} and "
        f"ignore in {ignored:,} of {rows}, and training would take their labels for right. Keep "
        f"the accepted rows only, and run --entry on the new file:\n  {command}"
    )


def _csv(file: str, whole: str, encoding: str, form: str | None) -> _Look:
    settings: dict[str, Any] = {}
    text = whole[:_LOOK]
    if excel := re.match(r"sep=(.)\r?\n", text):
        text = text[excel.end() :]
    usual = "\t" if form == "tsv" else ","
    candidates = []
    for mark in table.DELIMITERS:
        for quote in ('"', "none"):
            rows = _parsed(text, mark, quote)
            if rows and len(rows[0]) > 1:
                width = len(rows[0])
                even = sum(len(row) == width for row in rows) / len(rows)
                candidates.append((even, quote != "none", mark == usual, width, mark, quote, rows))
    if not candidates:
        for mark in table.DELIMITERS:
            _refuse_title(file, _parsed(text, mark, '"'))
        raise UserError(f"--entry: {file} has one column only; there must be texts and labels")
    even, _, _, _, mark, quote, rows = max(candidates, key=lambda found: found[:4])
    _refuse_title(file, rows)
    if quote == "none" and even < 0.9:  # the quotes are faulty, rather than plain characters
        with tempfile.TemporaryDirectory() as temporary:
            delimited.read(
                file, whole, [], mark, settings=Csv(), temporary=Path(temporary), lists=None
            )
    if mark != usual and not excel:
        settings["delimiter"] = mark
    notes = []
    if quote == "none":
        settings["quote"] = "none"
        notes.append(
            "As quotes, the quotes in this file do not pair up, so they are taken for plain "
            "characters. Look whether a text begins with one that a quote should have closed."
        )
    width = len(rows[0])
    rows = [row for row in rows if len(row) == width]
    if encoding != "utf-8":
        settings["encoding"] = encoding
    if encoding == "cp1252":
        words = {word: None for row in rows for cell in row for word in cell.split()}
        sample = " ".join([word for word in words if not word.isascii()][:5])
        notes.append(
            "The file is not UTF-8. Read as cp1252, of Western Europe, it has words such as: "
            f"{sample[:80]}. If they are wrong, set csv.encoding to what the file was saved in, "
            "such as cp1251 (Cyrillic) or shift_jis (Japanese), and correct the columns' names."
        )
    names = [name.strip() for name in rows[0]]
    is_header, doubtful = _is_header(names, rows[1:])
    shown = " | ".join(name if len(name) <= 40 else name[:37] + "..." for name in names)
    if not is_header:
        settings["header"] = False
        names = [str(number) for number in range(1, width + 1)]
        notes.append(
            f"The first row is read as data, not as the names of the columns: {shown}. If these "
            "are names, remove `header: false`, and write the names in place of the numbers."
        )
    elif doubtful:
        notes.append(
            f"The first row is taken for the names of the columns: {shown}. If it is data, set "
            "csv.header: false, and write the columns' numbers in place of the names."
        )
    if twice := list(dict.fromkeys(name for name in names if name and names.count(name) > 1)):
        notes.append(
            f"Several columns have the same name, and this entry uses none of them: "
            f"{', '.join(map(repr, twice))}. To use them, rename them in the file."
        )
    return _Look(form or "csv", names, rows[1:] if is_header else rows, settings, notes)


def _refuse_title(file: str, rows: list[list[str]]) -> None:
    """Refuse a file whose first row has one cell, and most rows several."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    several = sum(number > 1 for number in filled)
    if filled[:1] == [1] and several > len(rows) / 2:
        title = next(cell.strip() for cell in rows[0] if cell.strip())
        raise UserError(
            f"--entry: the first line of {file} has only {title[:60]!r}, and most lines have "
            "several cells; delete the lines above the names of the columns"
        )


def _parsed(text: str, mark: str, quote: str) -> list[list[str]]:
    """The rows of a text as far as they can be read, without the last one, which may be cut."""
    form: dict[str, Any] = {"delimiter": mark}
    form |= {"quoting": csv.QUOTE_NONE} if quote == "none" else {"quotechar": quote}
    rows: list[list[str]] = []
    csv.field_size_limit(sys.maxsize)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True, **form):
            if row:
                rows.append(row)
    except csv.Error:
        return [] if len(text) < _LOOK else rows
    return rows if len(text) < _LOOK else rows[:-1]


def _is_header(names: list[str], rows: list[list[str]]) -> tuple[bool, bool]:
    """Whether the first row names the columns, and whether this is doubtful.

    A name is no number, and does not recur in its column, as labels do.
    """
    named = [name for name in names if name]
    below = [{row[column].strip() for row in rows} for column in range(len(names))]
    recurs = any(name and name in cells for name, cells in zip(names, below, strict=True))
    known = any(name.lower() in {*_TEXT, *_TITLE, *_LABEL, *_SPLIT, "id"} for name in named)
    numbers = any(re.fullmatch(r"[\d.,:-]+", name) for name in named)
    doubtful = recurs if known else any(map(table.looks_like_a_cell, named))
    return bool(named) and (known or not (recurs or numbers)), doubtful


def _entry(name: str, path: Path, look: _Look, files: dict[str, str]) -> dict[str, Any]:
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
    named = [c for c in left if c.lower() in _SPLIT and _few(look, c)]
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


def _shown(column: str, look: _Look) -> str | int:
    return int(column) if look.csv.get("header") is False else column


def _few(look: _Look, column: str) -> bool:
    return len(set(map(str, look.column(column)))) <= 10


def _names_splits(look: _Look, column: str) -> bool:
    """Whether all cells are words for splits, of two splits at least."""
    cells = {str(cell).strip().lower() for cell in look.column(column)}
    used = [words for words in _SPLIT_WORDS.values() if cells.intersection(words)]
    return len(used) > 1 and all(any(cell in words for words in used) for cell in cells)


def _unique(look: _Look, column: str) -> bool:
    cells = look.column(column)
    return all(isinstance(cell, str | int) for cell in cells) and len(set(cells)) == len(cells)


def _division(column: str | None, look: _Look, files: dict[str, str]) -> dict[str, Any]:
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


def _texts(look: _Look, columns: list[str]) -> list[str]:
    """The column of texts, with a title's before it."""
    by_name = {column.lower().split(".")[-1]: column for column in columns}
    named = next((by_name[name] for name in _TEXT if name in by_name), None)
    nested = [
        f"{column}.{key}"
        for column in columns
        for key in _TEXT
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
    titles = [c for c in columns if c.lower() in _TITLE and c != text]
    return [*titles[:1], text]


def _words_a_cell(look: _Look, column: str) -> float:
    words = [word for cell in look.words(column) for word in cell.split()]
    return sum(any(map(str.isalpha, word)) for word in words) / max(1, len(look.rows))


def _labels(look: _Look, columns: list[str]) -> tuple[Any, list[str]]:
    """The entry's `labels`, and the columns that it uses."""
    if look.form in ("jsonl", "parquet") and "annotations" in columns:  # of Label Studio
        return {"column": "annotations.result.value.choices"}, ["annotations"]
    flags = [column for column in columns if _is_flag(look, column)]
    set_somewhere = [column for column in flags if _varies(look, column)]
    by_name = {column.lower(): column for column in columns}
    named = next((by_name[name] for name in _LABEL if name in by_name), None)
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


def _note_others(look: _Look, what: str, columns: list[str]) -> None:
    if columns:
        shown = ", ".join(columns[:10])
        look.notes.append(f"The {what} may also be in another column: {shown}.")


def _is_flag(look: _Look, column: str) -> bool:
    cells = look.flags(column)
    return bool(cells - {"", "-1"}) and cells <= {*_YES, *_NO, "-1", ""}


def _varies(look: _Look, column: str) -> bool:
    """Whether a flag is set in some rows and not in others."""
    cells = look.flags(column)
    return bool(cells & _YES) and bool(cells & {*_NO, ""})


def _flags(look: _Look, columns: list[str]) -> Any:
    """The `labels` of columns of flags; an empty one means no if nothing else says no."""
    header = look.csv.get("header") is not False
    shown = [column if header else int(column) for column in columns]
    blank = [look.flags(column) for column in columns if "" in look.flags(column)]
    if blank and not any(cells & {*_NO, "-1"} for cells in blank):
        return {"columns": shown, "blank": "absent"}
    return shown


def _recurring(look: _Look, columns: list[str]) -> list[str]:
    """The columns whose values recur, those with the fewest different ones first."""
    counts = {
        column: len({str(cell).strip() for cell in look.column(column)}) for column in columns
    }
    found = [c for c, n in counts.items() if 2 <= n <= max(2, len(look.rows) / 2)]
    return sorted(found, key=counts.__getitem__)


def _form(look: _Look, column: str) -> dict[str, Any]:
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


def _objects(look: _Look, column: str, values: list[Any]) -> dict[str, Any]:
    """Cells that are objects: the choices of Label Studio, or scores by label."""
    objects = [value for value in values if isinstance(value, dict)]
    if all("choices" in value for value in objects):  # one choice is written as bare text
        found = {"column": f"{column}.choices"}
        return found if look.form in ("jsonl", "parquet") else {**found, "cell": "list"}
    scores = [score for value in objects for score in value.values()]
    if len(objects) == len(values) and all(isinstance(s, float | int | None) for s in scores):
        return {"cell": "scores", **_positive(scores)}
    keys = list(dict.fromkeys(str(key) for value in objects for key in value))
    raise UserError(
        f"--entry: the cells of {column!r} are objects such as {str(objects[0])[:80]}; write "
        f"the entry by hand, with `labels: {{column: {column}.{keys[0]}, cell: list}}` if "
        f"{keys[0]!r} holds the labels; the keys are {', '.join(map(repr, keys[:10]))}"
    )


def _positive(values: Any) -> dict[str, float]:
    numbers = [value for value in values if isinstance(value, float | int)]
    return {"positive": 0.5} if any(value not in (0, 1) for value in numbers) else {}
