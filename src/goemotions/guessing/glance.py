"""A file of labelled texts, read without an entry; guesses are reported."""

import codecs
import csv
import io
import itertools
import json
import re
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from goemotions.config.dataset_settings import FORMATS, Csv
from goemotions.data import delimited, json_rows, table, table_files
from goemotions.data.notes import count_of
from goemotions.errors import UserError, first_line
from goemotions.io.parquet import open_parquet, read_parquet

_LOOK = 2**21  # characters to look at for the delimiter and the quotes
_ROWS = 10_000  # to look at, from all parts of a file, which may be sorted
SPLIT = {"split", "fold", "folds", "set", "partition", "subset", "dataset", "is_test", "istest"}
TEXT = (
    "text", "comment_text", "comment", "sentence", "tweet", "review", "message", "content", "body",
    "utterance", "description", "document", "plot", "abstract", "summary",
)  # fmt: skip
TITLE = {"title", "subject", "headline", "summary"}
LABEL = (
    "label", "labels", "tags", "tag", "category", "categories", "class", "classes", "target",
    "emotion", "emotions", "sentiment", "topic", "topics", "genres", "genre", "intent", "cats",
    "accept",
)  # fmt: skip


@dataclass
class Look:
    """A file at a glance.

    Attributes:
        form: csv, tsv, jsonl, parquet or fasttext.
        names: of the columns.
        rows: cells of rows from all parts of the file.
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
        return {"" if c is None else str(c).strip().lower() for c in self.column(name)}


class OneColumnError(UserError):
    """A file without two columns, and so without texts and labels."""


def look(path: Path) -> Look:
    """Read a file without an entry."""
    content = path.read_bytes()
    form = FORMATS.get(path.suffix.lower())
    if content.startswith(b"PAR1"):
        form = "parquet"
    table_files.refuse_what_is_no_table(str(path), content, form or "csv")
    if form == "parquet":
        return _parquet(path, content)
    encoding = _encoding(content)
    text = content.decode(encoding).removeprefix("\ufeff")
    start = text[:_LOOK].lstrip()
    if form == "jsonl" or (form is None and start[:1] in ("{", "[")):
        return _json(path, text)
    if start.startswith(table_files.FASTTEXT):
        return Look("fasttext", ["labels", "text"], [], {})
    return _csv(str(path), text, encoding, form)


def _encoding(content: bytes) -> str:
    utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if not utf16 and content[:1000].count(0) > 250:
        raise UserError(
            "--entry: the file looks like UTF-16 without a byte order mark; save it as UTF-8, or "
            "write the entry by hand, with csv.encoding: utf-16-le"
        )
    for encoding in ("utf-16",) if utf16 else ("utf-8", "cp1252"):
        if table_files.decodes(content, encoding):
            return encoding
    what = "not UTF-16, although it begins so" if utf16 else "neither UTF-8 nor UTF-16 nor cp1252"
    raise UserError(
        f"--entry: the file is {what}; save it as UTF-8, or write the entry of a csv file by hand, "
        "with csv.encoding, such as shift_jis or gb18030"
    )


def _parquet(path: Path, content: bytes) -> Look:
    try:
        schema = open_parquet(content).schema_arrow
        names = [name for name in schema.names if "__index" not in name]
        rows = _spread(read_parquet(content, names).to_pylist())
    except Exception as error:  # damaged files make pyarrow raise many types
        raise UserError(f"--entry: {path} is not a parquet file: {first_line(error)}") from None
    look = Look("parquet", names, [list(row.values()) for row in rows], {})
    # The metadata may be anything.
    with suppress(LookupError, ValueError, TypeError, AttributeError):
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        for name, feature in features.items():
            inner = feature.get("feature") or feature  # of a list
            if inner.get("_type") == "ClassLabel":
                look.classes[name] = list(map(str, inner["names"]))
    return look


def _json(path: Path, text: str) -> Look:
    objects = [value for _, value in json_rows.objects(str(path), text)]
    _refuse_rejected(path, [row.get("answer") for row in objects])
    if len(objects) == 1 and any(isinstance(value, list | dict) for value in objects[0].values()):
        json_rows.read(str(path), text, [*objects[0], "text"])  # says so if it holds all rows
    objects = _spread(objects)
    names = list(dict.fromkeys(key for row in objects for key in row))
    return Look("jsonl", names, [[row.get(name) for name in names] for row in objects], {})


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


def _csv(file: str, whole: str, encoding: str, form: str | None) -> Look:
    settings: dict[str, Any] = {}
    excel = re.match(r"sep=(.)\r?\n", whole)
    text = whole[excel.end() if excel else 0 :][:_LOOK]
    usual = excel[1] if excel else "\t" if form == "tsv" else ","
    mark, quote, rows = _columns(file, text, usual)
    # Then the rows or their quotes are faulty, and reading the file says how.
    even = _evenness(rows)
    if (quote == "none" and even < 0.9) or round(even * len(rows)) < 2:
        delimited.read(file, whole, [], mark, settings=Csv(), lists=None)
    if mark != usual:
        settings["delimiter"] = mark
    notes = []
    if quote == "none":
        settings["quote"] = "none"
        notes.append(
            "The quotation marks in this file do not pair up, so they are read as ordinary "
            "characters. Check whether any text begins with a quote that was never closed."
        )
    if len(text) == _LOOK:
        rows = _parsed(whole[excel.end() if excel else 0 :], mark, quote) or rows
    width = len(rows[0])
    rows = [rows[0], *_spread([row for row in rows[1:] if len(row) == width])]
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
    return Look(form or "csv", names, rows[1:] if is_header else rows, settings, notes)


def _columns(file: str, text: str, usual: str) -> tuple[str, str, list[list[str]]]:
    """The delimiter and the quote that make columns, and the rows by them.

    Those with the most even rows; of these with quotes, then with the usual delimiter, and then
    with the most columns.
    """
    parsed = {
        (mark, quote): rows
        for mark, quote in itertools.product(table.DELIMITERS, ('"', "none"))
        if (rows := _parsed(text, mark, quote))
    }

    def likely(form: tuple[str, str]) -> tuple[float, bool, bool, int]:
        rows = parsed[form]
        return _evenness(rows), form[1] != "none", form[0] == usual, len(rows[0])

    several = [form for form, rows in parsed.items() if len(rows[0]) > 1]
    if not several:
        for (_, quote), rows in parsed.items():
            if quote != "none":
                _refuse_title(file, rows)
        raise OneColumnError(f"--entry: {file} has one column only; there must be texts and labels")
    mark, quote = best = max(several, key=likely)
    _refuse_title(file, parsed[best])
    return mark, quote, parsed[best]


def _spread(rows: list[Any]) -> list[Any]:
    """Some rows of all parts of a file."""
    return rows[:: max(1, len(rows) // _ROWS)]


def _evenness(rows: list[list[str]]) -> float:
    """The share of rows that are as wide as the first."""
    return sum(len(row) == len(rows[0]) for row in rows) / len(rows)


def _refuse_title(file: str, rows: list[list[str]]) -> None:
    """Refuse a file with a title line above its header, or an export of Qualtrics."""
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows]
    several = sum(number > 1 for number in filled)
    if filled[:1] == [1] and several > len(rows) / 2:
        title = next(cell.strip() for cell in rows[0] if cell.strip())
        raise UserError(
            f"--entry: the first line of {file} has only {title[:60]!r}, and most lines have "
            "several cells; delete the lines above the names of the columns"
        )
    if len(rows) > 2 and all('"ImportId"' in cell for cell in rows[2]):
        raise UserError(
            f"--entry: {file} is an export of Qualtrics, with two more rows about its columns; "
            "delete the second and the third row"
        )


def _parsed(text: str, mark: str, quote: str) -> list[list[str]]:
    """The rows of a text as far as they can be read, without the last one, which may be cut."""
    form: dict[str, Any] = {"delimiter": mark}
    form |= {"quoting": csv.QUOTE_NONE} if quote == "none" else {"quotechar": quote}
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text, newline=""), strict=True, **form):
            if row:
                rows.append(row)
    except csv.Error:
        return [] if len(text) < _LOOK or len(rows) < 2 else rows
    return rows if len(text) < _LOOK else rows[:-1]


def _is_header(names: list[str], rows: list[list[str]]) -> tuple[bool, bool]:
    """Whether the first row names the columns, and whether this is doubtful.

    A name is no number, and does not recur in its column, as labels do.
    """
    named = [name for name in names if name]
    below = [{row[column].strip() for row in rows} for column in range(len(names))]
    recurs = any(name and name in cells for name, cells in zip(names, below, strict=True))
    known = any(name.lower() in {*TEXT, *TITLE, *LABEL, *SPLIT, "id"} for name in named)
    numbers = any(re.fullmatch(r"[\d.,:-]+", name) for name in named)
    doubtful = recurs if known else any(map(table.looks_like_a_cell, named))
    return bool(named) and (known or not (recurs or numbers)), doubtful
