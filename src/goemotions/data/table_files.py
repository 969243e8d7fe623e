"""Files of rows, read strictly: every cell is what the file says, or the file is refused.

Left to themselves, readers of tables guess: `007` becomes 7, `NA` nothing, a row with a field more
shifts its columns, and an HTML page becomes a table. Here nothing is guessed. A pass of Python's
strict csv reader counts records and fields; `datasets` then reads the same bytes as strings, and
both must agree on every cell that is used.
"""

import codecs
import csv
import difflib
import errno
import glob
import io
import json
import logging
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemotions.config.dataset_settings import Csv
from goemotions.data.faults import Faults, Place, TextsError
from goemotions.errors import first_line, of_disk
from goemotions.io.parquet import open_parquet

if TYPE_CHECKING:
    import pyarrow

DELIMITERS = ",;\t|"
FASTTEXT = "__label__"
_MISSING = object()
_SPACE = frozenset(" \t\r\n")
_QUOTE = "csv.quote: '\"'"


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


def read(
    file: str,
    content: bytes,
    form: str,
    wanted: Iterable[str],
    *,
    settings: Csv,
    temporary: Path,
    lists: str | None = None,
) -> Table:
    """Read the wanted columns of a file.

    Args:
        file: its name, for messages.
        content: its bytes.
        form: csv, tsv, jsonl, parquet or fasttext.
        wanted: columns; in JSON and parquet a dot walks into objects: `data.text`.
        settings: of csv and tsv.
        temporary: a folder for the cache of `datasets`. In one that outlives the run, another file
            of the same path, size and time would be taken for this one.
        lists: the column whose cells may be text that holds a list, where a dot walks too.

    Raises:
        TextsError: the file is not one of this format, or some of its rows break a rule.
    """
    columns = list(dict.fromkeys(wanted))
    refuse_what_is_no_table(file, content, form)
    if form == "parquet":
        return _parquet(file, content, columns, temporary)
    text = decoded(file, content, settings.encoding if form in ("csv", "tsv") else "utf-8")
    if form == "jsonl":
        return _json(file, text, columns)
    if form == "fasttext":
        return _fasttext(file, text, columns)
    delimiter = settings.delimiter or ("\t" if form == "tsv" else ",")
    return _csv(file, text, columns, delimiter, settings=settings, temporary=temporary, lists=lists)


def refuse_what_is_no_table(file: str, content: bytes, form: str) -> None:
    """Raise TextsError for a pointer, a page, an archive or a file of another format."""
    start = content[:1000].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not start:
        raise TextsError(f"{file} is empty")
    if start.startswith(b"version https://git-lfs"):
        raise TextsError(f"{file} is a Git LFS pointer, not data: run `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise TextsError(
            f"{file} is an HTML page, not a table: a download ended with an error page"
        )
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise TextsError(
            f"{file} is a zip archive or an Excel workbook: unpack it, or save it as CSV UTF-8"
        )
    if content.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise TextsError(f"{file} is compressed: unpack it")
    if content.startswith(b"PAR1") and form != "parquet":
        raise TextsError(f"{file} is a parquet file: set format: parquet")


def decoded(file: str, content: bytes, encoding: str) -> str:
    """The text of a file, without a byte order mark.

    Raises:
        TextsError: the content is not text in this encoding, or is rather text in another.
    """
    name = codecs.lookup(encoding).name
    if name == "utf-8":
        encoding = "utf-8-sig"
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise TextsError(
                f"{file}, line 1: byte 0x{content[0]:02x} is not UTF-8; it looks like UTF-16: set "
                "csv.encoding: utf-16"
            )
    elif not name.startswith(("utf", "ascii")) and not content.isascii() and _decodes(content):
        raise TextsError(f"{file} is UTF-8 and not {encoding}: remove csv.encoding")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextsError(_undecodable(file, content, error.start, name)) from None
    if name == "iso8859-1" and (control := re.search("[\x80-\x9f]", text)):
        raise TextsError(
            f"{file}, line {_line_of(text, control.start())}: U+{ord(control[0]):04X} is a control "
            f"character in {encoding}, and a printed one in cp1252: set csv.encoding: cp1252"
        )
    return text


def _undecodable(file: str, content: bytes, start: int, encoding: str) -> str:
    line = len(re.findall(rb"\r\n|\r|\n", content[:start])) + 1
    shown = "UTF-8" if encoding == "utf-8" else encoding
    found = f"{file}, line {line}: byte 0x{content[start]:02x} is not {shown}"
    if encoding == "utf-8" and b"\0" not in content and _decodes(content, "cp1252"):
        return f"{found}; if it was written on Windows, set csv.encoding: cp1252"
    return f"{found}; set csv.encoding to what it was saved in, or save it as UTF-8"


def _decodes(content: bytes, encoding: str = "utf-8") -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _line_of(text: str, position: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", text[:position])) + 1


# csv and tsv


class _Lines:
    """The physical lines of a text; remembers those that the csv reader took since `start`."""

    def __init__(self, text: str) -> None:
        self._lines = iter(io.StringIO(text, newline=""))
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        self.taken.append(next(self._lines))
        return self.taken[-1]


def _csv(
    file: str,
    text: str,
    wanted: list[str],
    delimiter: str,
    *,
    settings: Csv,
    temporary: Path,
    lists: str | None,
) -> Table:
    first = 1
    if excel := re.match(r"sep=(.)\r?\n", text):  # Excel's own line about the delimiter
        delimiter, text, first = settings.delimiter or excel[1], text[excel.end() :], 2
    form: dict[str, Any] = {"delimiter": delimiter, "quotechar": settings.quote or '"'}
    if settings.quote == "none":
        form = {"delimiter": delimiter, "quoting": csv.QUOTE_NONE}
    names, records, lines = _strict(file, text, form, settings, first)
    roots = {name: name for name in wanted}
    inside = {}
    if lists is not None and lists not in names:
        roots[lists], *inside[lists] = lists.split(".")
    _check_columns(file, roots.values(), names, "column", delimited=settings.header)
    where = {name: names.index(root) for name, root in roots.items()}
    cells = {name: [record[index] for record in records] for name, index in where.items()}
    if not lines:
        raise TextsError(f"{file} has a header and no row")
    read = _by_datasets(text, form, len(names), header=settings.header, temporary=temporary)
    for name, index in where.items():
        again = read.column(index).to_pylist()
        if again != cells[name]:
            pairs = enumerate(zip(again, cells[name], strict=False))
            row = next((number for number, (one, two) in pairs if one != two), 0)
            raise TextsError(
                f"{Place(file, row + 1, lines[row])}: two readers of csv do not agree on {name!r}; "
                "save the file again, with quotes around every field"
            )
    return Table(file, cells, lines, inside)


def _strict(
    file: str, text: str, form: dict[str, Any], settings: Csv, first: int
) -> tuple[list[str], list[list[str]], list[int]]:
    """The header (the first record, where there is none), the records, and the line of each."""
    records = _records(file, text, form, first, header=settings.header)
    line, taken, names = next(records, (1, [""], []))
    width, faults = len(names), Faults()
    rows = [] if settings.header else [names]
    lines = [] if settings.header else [line]
    # Whether a record ends in a lone carriage return -> where the first such record is.
    ends = {taken[-1].endswith("\r"): Place(file, len(rows), line)}
    for line, taken, record in records:
        rows.append(record)
        lines.append(line)
        ends.setdefault(taken[-1].endswith("\r"), Place(file, len(rows), line))
        if len(record) != width:
            whose = "header" if settings.header else "first row"
            what = f"has {_fields(len(record))}, the {whose} has {width}"
            remedy = "put quotes around texts that hold the delimiter or a line end"
            faults.add("width", Place(file, len(rows), line), what, remedy)
        elif settings.quote is None and len(taken) > 1:
            # Where quotes are plain characters they pair up over rows and swallow those between.
            plain = csv.reader(taken, delimiter=form["delimiter"], quoting=csv.QUOTE_NONE)
            if width > 1 and all(len(fields) == width for fields in plain):
                what = f"a quote takes in {len(taken)} lines, each of which looks like a row"
                remedy = f"set csv.quote: none if quotes are plain characters here, else {_QUOTE}"
                faults.add("quote", Place(file, len(rows), line), what, remedy)
    faults.check()
    if len(ends) == 2:
        raise TextsError(
            f"{ends[True]}: ends in a carriage return, other rows in a line feed; put quotes "
            "around texts with line ends"
        )
    names = [name.strip() for name in names] if settings.header else []
    return names or [str(number) for number in range(1, width + 1)], rows, lines


def _records(
    file: str, text: str, form: dict[str, Any], line: int, *, header: bool
) -> Iterator[tuple[int, list[str], list[str]]]:
    """The line, the physical lines and the fields of each record that is not blank."""
    source = _Lines(text)
    reader = csv.reader(source, strict=True, **form)
    row = 0 if header else 1
    while True:
        source.taken = []
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place = Place(file, row, line)
            raise TextsError(_unreadable(place, str(error), source.taken, form)) from None
        if record and (len(record) > 1 or "".join(source.taken).strip()):
            yield line, source.taken, record
            row += 1
        line += len(source.taken)


def _unreadable(place: Place, error: str, taken: list[str], form: dict[str, Any]) -> str:
    """What is wrong with a record's quotes; the line named is where the open one is."""
    if "unexpected end" not in error:
        what = f"text follows a closing quote (line {(place.line or 1) + len(taken) - 1})"
        remedy = "double the quotes inside quoted texts"
    else:
        record = "".join(taken)
        quotes = [match.start() for match in re.finditer(re.escape(form["quotechar"]), record)]
        opened = record[: quotes[-1 if len(quotes) % 2 else 0]].count("\n")
        place = Place(place.file, place.row, (place.line or 1) + opened)
        what = f"a quote is opened and never closed; it takes in {len(taken) - opened:,} lines"
        remedy = "close it"
    return f"{place}: {what}; {remedy}, or set csv.quote: none if quotes are plain characters here"


def _fields(count: int) -> str:
    return "1 field" if count == 1 else f"{count} fields"


def _by_datasets(
    text: str, form: dict[str, Any], width: int, *, header: bool, temporary: Path
) -> "pyarrow.Table":
    """All columns as strings, by `datasets`."""
    import datasets

    names = [str(index) for index in range(width)]
    with tempfile.TemporaryDirectory(dir=temporary) as folder:
        path = Path(folder, "table.csv")
        path.write_text(text, encoding="utf-8", newline="")
        try:
            table = _quietly(
                "csv",
                path,
                names=names,
                header=0 if header else None,
                features=datasets.Features(dict.fromkeys(names, datasets.Value("string"))),
                keep_default_na=False,
                na_filter=False,
                index_col=False,
                sep=form["delimiter"],
                quotechar=form.get("quotechar", '"'),
                quoting=form.get("quoting", csv.QUOTE_MINIMAL),
            )
        except Exception as error:  # what pandas raises is wrapped, and of many types
            cause = _cause(error)
            if of_disk(cause):
                raise cause from None
            raise TextsError(f"`datasets` does not read the table: {first_line(cause)}") from None
    return table


def _quietly(form: str, path: Path, **options: Any) -> "pyarrow.Table":
    import datasets

    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # it also raises what it logs
    loaded = datasets.load_dataset(
        form,
        data_files=glob.escape(str(path.absolute())),
        split="train",
        cache_dir=str(path.parent),
        keep_in_memory=True,
        **options,
    )
    return loaded.data.table


def _cause(error: Exception) -> BaseException:
    """What `datasets` wrapped, and with an error number what it noticed by itself."""
    import datasets

    if isinstance(error, OSError) and str(error).startswith("Not enough disk space"):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    wrapped = isinstance(error, datasets.exceptions.DatasetsError)
    return (error.__cause__ if wrapped else None) or error


def _check_columns(
    file: str, wanted: Iterable[str], names: list[str], what: str, *, delimited: bool = False
) -> None:
    """Raise TextsError for a column that is not in a file, or is there twice."""
    for name in wanted:
        if names.count(name) == 1:
            continue
        if name in names:
            times = names.count(name)
            raise TextsError(f"{file}: {what} {name!r} is there {times} times; rename one")
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


# JSON


def _json(file: str, text: str, wanted: list[str]) -> Table:
    rows = json_objects(file, text)
    keys = list(dict.fromkeys(key for _, row in rows for key in row))
    paths = {name: [name] if name in keys else name.split(".") for name in wanted}
    holds_rows = len(rows) == 1 and any(isinstance(v, list | dict) for v in rows[0][1].values())
    if holds_rows and not all(path[0] in keys for path in paths.values()):
        raise TextsError(
            f"{file} is one object that holds all rows; write one object a line, or a list of "
            "objects"
        )
    _check_columns(file, [path[0] for path in paths.values()], keys, "key")
    cells: dict[str, list[Any]] = {name: [] for name in wanted}
    faults = Faults()
    for number, (line, row) in enumerate(rows, start=1):
        for name, (key, *rest) in paths.items():
            value = row.get(key, _MISSING)
            if value is _MISSING:
                faults.add(f"key {key}", Place(file, number, line), f"has no key {key!r}")
            cells[name].append(walk(value, rest))
    faults.check()
    return Table(file, cells, [line for line, _ in rows])


def json_objects(file: str, text: str) -> list[tuple[int, dict[str, Any]]]:
    """The line and the object of each row, of a list of objects or of one object a line.

    Raises:
        TextsError: the text is not that.
    """
    faults = Faults()
    rows = list(_objects(file, text, faults))
    faults.check()
    if not rows:
        raise TextsError(f"{file} holds no row")
    return rows


def _objects(file: str, text: str, faults: Faults) -> Iterator[tuple[int, dict[str, Any]]]:
    parts = _items(file, text) if text.lstrip().startswith("[") else _json_lines(text)
    for row, (line, parse) in enumerate(parts, start=1):
        place = Place(file, row, line)
        try:
            value = parse()
            if not isinstance(value, dict):
                raise ValueError('a row must be an object, such as {"text": ..., "label": ...}')
        except (ValueError, RecursionError) as error:
            if row == 1 and text.lstrip().startswith("{") and text.strip().count("\n"):
                error = _as_a_whole(text) or error
            faults.add("json", place, first_line(error))
            faults.check() if row == 1 else None
            continue
        yield line, value


def _as_a_whole(text: str) -> ValueError | None:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return ValueError("the file is one object; write one object a line, or a list of objects")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} is there twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for line, content in enumerate(text.split("\n"), start=1):
        if content.strip():
            yield line, lambda content=content: _DECODER.decode(content)


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
        yield line, lambda value=value: value
        if mark == "]":
            if text[position + 1 :].strip():
                raise TextsError(f"{Place(file, row, line)}: something follows the list of rows")
            return
        position = skip(position + 1)


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
    return walk(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


# parquet and fastText


def _parquet(file: str, content: bytes, wanted: list[str], temporary: Path) -> Table:
    try:
        opened = open_parquet(content)
        schema, rows = opened.schema_arrow, opened.metadata.num_rows
        names = list(schema.names)
    except Exception as error:  # damaged files make pyarrow raise many types
        raise TextsError(f"{file} is not a parquet file: {first_line(error)}") from None
    paths = {name: [name] if name in names else name.split(".") for name in wanted}
    _check_columns(file, [path[0] for path in paths.values()], names, "column")
    roots = list(dict.fromkeys(path[0] for path in paths.values()))
    for name in roots:
        if unreadable := _unreadable_type(schema.field(name).type):
            raise TextsError(f"{file}: column {name!r} is one of {unreadable}; {_TYPES}")
    if not rows:
        raise TextsError(f"{file} holds no row")
    with tempfile.TemporaryDirectory(dir=temporary) as folder:
        copy = Path(folder, "table.parquet")
        copy.write_bytes(content)
        try:
            table = _quietly("parquet", copy, columns=roots)
            table.validate(full=True)  # strings that are not UTF-8
            columns = {name: table.column(name).to_pylist() for name in roots}
        except Exception as error:
            cause = _cause(error)
            if of_disk(cause):
                raise cause from None
            raise TextsError(f"{file} is damaged: {first_line(cause)}") from None
    cells = {
        name: [walk(cell, path[1:]) for cell in columns[path[0]]] for name, path in paths.items()
    }
    return Table(file, cells, None)


_TYPES = "it must be one of strings, whole numbers, truth values, lists or objects of those"


def _unreadable_type(kind: "pyarrow.DataType") -> str | None:
    """The type within a column that has no exact form as text; None if all have."""
    from pyarrow import types

    if types.is_struct(kind):
        inside = [kind.field(index).type for index in range(kind.num_fields)]
        return next(filter(None, map(_unreadable_type, inside)), None)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _unreadable_type(kind.value_type)
    if types.is_dictionary(kind):
        return _unreadable_type(kind.value_type)
    fine = (
        types.is_string, types.is_large_string, types.is_string_view, types.is_integer,
        types.is_boolean, types.is_floating, types.is_null,
    )  # fmt: skip
    return None if any(check(kind) for check in fine) else str(kind)


def _fasttext(file: str, text: str, wanted: list[str]) -> Table:
    """fastText's lines: `__label__a __label__b the text`, as columns `labels` and `text`."""
    _check_columns(file, wanted, ["labels", "text"], "column")
    labels: list[list[str]] = []
    texts: list[str] = []
    lines: list[int] = []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        found, text_part = [], content.removesuffix("\r")
        while text_part.startswith(FASTTEXT):
            word, _, text_part = text_part.partition(" ")
            found.append(word.removeprefix(FASTTEXT))
        labels.append(found)
        texts.append(text_part)
        lines.append(line)
    if not any(labels):
        raise TextsError(f"{file} has no {FASTTEXT} at the beginning of a line")
    columns: dict[str, list[Any]] = {"labels": labels, "text": texts}
    return Table(file, {name: columns[name] for name in wanted}, lines)
