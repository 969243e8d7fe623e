"""Files of delimited text, read strictly.

A pass of Python's strict csv reader counts records and fields; pandas then reads the same text as
strings, and both must agree on every cell that is used.
"""

import csv
import io
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from goemotions.config.dataset_settings import Csv
from goemotions.data.faults import Faults, Place, TextsError
from goemotions.data.notes import count_of
from goemotions.data.table import Table, check_columns
from goemotions.errors import first_line

if TYPE_CHECKING:
    import pandas

_QUOTE = "csv.quote: '\"'"
csv.field_size_limit(sys.maxsize)  # Python's own of 131,072 characters would refuse long texts


def read(
    file: str,
    text: str,
    wanted: list[str],
    delimiter: str,
    *,
    settings: Csv,
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
    check_columns(file, roots.values(), names, "column", delimited=settings.header)
    where = {name: names.index(root) for name, root in roots.items()}
    cells = {name: [record[index] for record in records] for name, index in where.items()}
    if not lines:
        raise TextsError(f"{file} has a header and no row")
    read = _by_pandas(text, form, len(names), header=settings.header)
    for name, index in where.items():
        again = read[index].tolist()
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
    # A record's last character -> where the first such record is.
    ends = {taken[-1][-1:]: Place(file, len(rows), line)}
    for line, taken, record in records:
        rows.append(record)
        lines.append(line)
        ends.setdefault(taken[-1][-1:], Place(file, len(rows), line))
        if len(record) != width:
            whose = "header" if settings.header else "first row"
            what = f"has {count_of(len(record), 'field')}, the {whose} has {width}"
            remedy = (
                "put quotes around texts that hold the delimiter or a line end"
                if len(record) > width
                else "complete the row, or put quotes around a text that holds a line end"
            )
            faults.add("width", Place(file, len(rows), line), what, remedy)
        elif settings.quote is None and len(taken) > 1:
            # Where quotes are plain characters they pair up over rows and swallow those between.
            plain = csv.reader(taken, delimiter=form["delimiter"], quoting=csv.QUOTE_NONE)
            if width > 1 and all(len(fields) == width for fields in plain):
                what = f"a quote takes in {len(taken)} lines, each of which looks like a row"
                remedy = f"set csv.quote: none if quotes are plain characters here, else {_QUOTE}"
                faults.add("quote", Place(file, len(rows), line), what, remedy)
    faults.check()
    if ends.keys() >= {"\r", "\n"}:
        place = ends["\r"]
        raise TextsError(
            f"{place}: ends in a carriage return, other rows in a line feed; put quotes "
            "around texts with line ends"
        )
    names = [name.strip() for name in names] if settings.header else []
    return names or [str(number) for number in range(1, width + 1)], rows, lines


def _records(
    file: str, text: str, form: dict[str, Any], line: int, *, header: bool
) -> Iterator[tuple[int, list[str], list[str]]]:
    """The line, the physical lines and the fields of each record that is not blank."""
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True, **form)
    start, row = 0, 0 if header else 1
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            place, taken = Place(file, row, line + start), lines[start : reader.line_num]
            raise TextsError(_unreadable(place, str(error), taken, form)) from None
        taken = lines[start : reader.line_num]
        if record and (len(record) > 1 or "".join(taken).strip()):
            yield line + start, taken, record
            row += 1
        start = reader.line_num


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


def _by_pandas(text: str, form: dict[str, Any], width: int, *, header: bool) -> "pandas.DataFrame":
    """All columns as text, by number."""
    import pandas

    try:
        return pandas.read_csv(
            io.StringIO(text, newline=""),
            names=range(width),
            header=0 if header else None,
            dtype=str,
            keep_default_na=False,
            na_filter=False,
            index_col=False,
            **form,
        )
    except (ValueError, csv.Error) as error:  # pandas' own are ValueErrors
        raise TextsError(f"pandas does not read the table: {first_line(error)}") from None
