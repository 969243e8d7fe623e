"""Files of rows, read strictly: every cell is what the file says, or the file is refused.

Left to themselves, readers of tables guess: `007` becomes 7, `NA` nothing, a row with an extra
field shifts its columns, and an HTML page becomes a table. Here nothing is guessed.
"""

import codecs
import csv
import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from goemotions.config.dataset_settings import FORMATS, Csv
from goemotions.data import delimited, json_rows
from goemotions.data.faults import TextsError
from goemotions.data.table import DELIMITERS, Table, check_columns, check_path, walk
from goemotions.errors import UserError, first_line
from goemotions.io.parquet import open_parquet, read_parquet

if TYPE_CHECKING:
    import pyarrow

FASTTEXT = "__label__"


def read(
    file: str,
    content: bytes,
    form: str,
    wanted: Iterable[str],
    *,
    settings: Csv,
    lists: str | None = None,
) -> Table:
    """Read the wanted columns of a file.

    Args:
        file: its name, for messages.
        content: its bytes.
        form: csv, tsv, jsonl, parquet or fasttext.
        wanted: columns; in JSON and parquet a dot walks into objects: `data.text`.
        settings: of csv and tsv.
        lists: the column whose cells may be text that holds a list, where a dot walks too.

    Raises:
        TextsError: the file is not one of this format, or some of its rows break a rule.
    """
    columns = list(dict.fromkeys(wanted))
    refuse_what_is_no_table(file, content, form)
    if form == "parquet":
        return _parquet(file, content, columns)
    table = form in ("csv", "tsv")
    text = decoded(file, content, settings.encoding if table else "utf-8", settable=table)
    if form == "jsonl":
        return json_rows.read(file, text, columns)
    if form == "fasttext":
        return _fasttext(file, text, columns)
    delimiter = settings.delimiter or ("\t" if form == "tsv" else ",")
    return delimited.read(file, text, columns, delimiter, settings=settings, lists=lists)


def refuse_what_is_no_table(file: str, content: bytes, form: str) -> None:
    """Raise TextsError for a pointer, a page, an archive or a file of another format."""
    start = content[:1000].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not start:
        raise TextsError(f"{file} is empty; export or download it again")
    if start.startswith(b"version https://git-lfs"):
        raise TextsError(f"{file} is a Git LFS pointer, not data: run `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head", b"<body")):
        raise TextsError(
            f"{file} is an HTML page, not a table: a download ended with an error page; download "
            "it again"
        )
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise TextsError(
            f"{file} is a zip archive or an Excel workbook: unpack it, or save it as CSV UTF-8"
        )
    if content.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")):
        raise TextsError(f"{file} is compressed: unpack it")
    if content.startswith(b"PAR1") and form != "parquet":
        raise TextsError(f"{file} is a parquet file: set format: parquet")


def decoded(file: str, content: bytes, encoding: str, *, settable: bool = False) -> str:
    """The text of a file, without a byte order mark.

    Args:
        settable: whether the entry's csv.encoding says the encoding.

    Raises:
        TextsError: the content is not text in this encoding, or is rather text in another.
    """
    name = codecs.lookup(encoding).name
    if name == "utf-8":
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            remedy = "set csv.encoding: utf-16" if settable else "save it as UTF-8"
            raise TextsError(
                f"{file}, line 1: byte 0x{content[0]:02x} is not UTF-8; it looks like UTF-16: "
                f"{remedy}"
            )
    elif not name.startswith(("utf", "ascii")) and not content.isascii() and decodes(content):
        raise TextsError(f"{file} is UTF-8 and not {encoding}: remove csv.encoding")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextsError(_undecodable(file, content, error.start, name, settable)) from None
    if (
        name == "iso8859-1"
        and (control := re.search("[\x80-\x9f]", text))
        and decodes(content, "cp1252")
    ):
        raise TextsError(
            f"{file}, line {_line_of(text, control.start())}: U+{ord(control[0]):04X} is a control "
            f"character in {encoding}, and a printed one in cp1252: set csv.encoding: cp1252"
        )
    return text.removeprefix("\ufeff")


def _undecodable(file: str, content: bytes, start: int, encoding: str, settable: bool) -> str:
    line = len(re.findall(rb"\r\n|\r|\n", content[:start])) + 1
    shown = "UTF-8" if encoding == "utf-8" else encoding
    found = f"{file}, line {line}: byte 0x{content[start]:02x} is not {shown}"
    if not settable:
        return f"{found}; save it as UTF-8"
    if encoding == "utf-8" and b"\0" not in content and decodes(content, "cp1252"):
        return f"{found}; if it was written on Windows, set csv.encoding: cp1252"
    return f"{found}; set csv.encoding to what it was saved in, or save it as UTF-8"


def texts_in(file: str, content: bytes, column: str) -> list[str]:
    """The texts of one column of a file.

    Delimited text is UTF-8, or UTF-16 with a byte order mark. Its quotes are `"`, and its delimiter
    is the one by which its first line has the column, or else the most columns.

    Args:
        file: its name, whose end says what it is.
        content: its bytes.

    Raises:
        UserError: it cannot be read, or has no such column.
    """
    form = FORMATS.get(PurePosixPath(file).suffix.lower())
    if form is None:
        raise UserError(f"the file is {file!r}; its name must end in {', '.join(FORMATS)}")
    settings = Csv(quote='"')
    if form in ("csv", "tsv"):
        utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        if not utf16 and not decodes(content):
            raise UserError(f"{file} is neither UTF-8 nor UTF-16; save it as UTF-8")
        encoding = "utf-16" if utf16 else "utf-8"
        start = content[: 2**16].decode(encoding, "replace").removeprefix("\ufeff")
        header = re.split("[\r\n]", start, maxsplit=1)
        by_mark = {mark: next(csv.reader(header[:1], delimiter=mark), []) for mark in DELIMITERS}
        mark, names = max(
            by_mark.items(), key=lambda one: (column in map(str.strip, one[1]), len(one[1]))
        )
        delimiter = mark if len(names) > 1 else None  # Excel's first line may say it
        settings = Csv(quote='"', delimiter=delimiter, encoding=encoding)
    try:
        table = read(file, content, form, [column], settings=settings)
    except TextsError as error:
        if not re.search(r"set (csv\.|format)", str(error)):
            raise
        raise TextsError(f"{error}. `predict` has no such setting: change the file") from None
    texts = []
    for row, cell in enumerate(table.cells[column], start=1):
        if not isinstance(cell, str):
            raise UserError(f"{file}, row {row}: {column} is {cell!r}; it must be a text")
        texts.append(cell)
    return texts


def decodes(content: bytes, encoding: str = "utf-8") -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _line_of(text: str, position: int) -> int:
    return len(re.findall(r"\r\n|\r|\n", text[:position])) + 1


def _parquet(file: str, content: bytes, wanted: list[str]) -> Table:
    try:
        opened = open_parquet(content)
        schema, rows = opened.schema_arrow, opened.metadata.num_rows
        names = list(schema.names)
    except Exception as error:  # damaged files make pyarrow raise many types
        raise TextsError(f"{file} is not a parquet file: {first_line(error)}") from None
    paths = {name: [name] if name in names else name.split(".") for name in wanted}
    check_columns(file, [path[0] for path in paths.values()], names, "column")
    roots = list(dict.fromkeys(path[0] for path in paths.values()))
    for name in roots:
        if unreadable := _unreadable_type(schema.field(name).type):
            raise TextsError(f"{file}: column {name!r} is one of {unreadable}; {_TYPES}")
    if not rows:
        raise TextsError(f"{file} holds no row")
    try:
        table = read_parquet(content, roots)
        table.validate(full=True)  # strings that are not UTF-8
        columns = {name: table.column(name).to_pylist() for name in roots}
    except Exception as error:
        raise TextsError(f"{file} is damaged: {first_line(error)}") from None
    cells = {}
    for name, (root, *rest) in paths.items():
        cells[name] = [walk(cell, rest) for cell in columns[root]]
        if rest and not any(cells[name]):
            check_path(file, name, columns[root], rest)
    return Table(file, cells, None)


_TYPES = "it must be one of strings, whole numbers, truth values, lists or objects of those"


def _unreadable_type(kind: "pyarrow.DataType") -> str | None:
    """The type within a column that has no exact form as text; None if all have."""
    from pyarrow import types

    if types.is_struct(kind):
        inside = [kind.field(index).type for index in range(kind.num_fields)]
        return next(filter(None, map(_unreadable_type, inside)), None)
    nested = (
        types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_dictionary,
    )  # fmt: skip
    if any(check(kind) for check in nested):
        return _unreadable_type(kind.value_type)
    fine = (
        types.is_string, types.is_large_string, types.is_string_view, types.is_integer,
        types.is_boolean, types.is_floating, types.is_null,
    )  # fmt: skip
    return None if any(check(kind) for check in fine) else str(kind)


def _fasttext(file: str, text: str, wanted: list[str]) -> Table:
    """fastText's lines: `__label__a __label__b the text`, as columns `labels` and `text`."""
    check_columns(file, wanted, ["labels", "text"], "column")
    labels: list[list[str]] = []
    texts: list[str] = []
    lines: list[int] = []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        found, text_part = [], content.removesuffix("\r")
        while (start := text_part.lstrip(" \t")).startswith(FASTTEXT):
            word, *rest = re.split(r"[ \t]", start, maxsplit=1)
            text_part = rest[0] if rest else ""
            found.append(word.removeprefix(FASTTEXT))
        labels.append(found)
        texts.append(text_part)
        lines.append(line)
    if not any(labels):
        raise TextsError(f"{file} has no {FASTTEXT} at the beginning of a line")
    columns: dict[str, list[Any]] = {"labels": labels, "text": texts}
    return Table(file, {name: columns[name] for name in wanted}, lines)
