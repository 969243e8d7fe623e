"""From an entry of `datasets` and its files to splits of rows, labels and warnings."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from goemotions.config.base import SPLITS
from goemotions.config.dataset_settings import FilesDataset, groups_problem
from goemotions.config.dataset_settings import Table as Settings
from goemotions.config.dataset_values import MOST_LABELS
from goemotions.data import cells, table_files
from goemotions.data.dividing import divide
from goemotions.data.faults import CellError, Faults, Place, TextsError
from goemotions.data.labels import Labels, Task
from goemotions.data.notes import count_of, empty_names, labels_have, some, warnings
from goemotions.data.splits import Row
from goemotions.data.table import Table, word_in

_DROP = {"no_text": "no text", "no_label": "no label", "not_annotated": "not annotated"}


@dataclass
class Texts:
    """A dataset, read.

    Attributes:
        rows: split -> its rows in the order of the files.
        labels: their names and order, the task and the groups.
        warnings: what a person should know, each with its count.
        files: file -> SHA-256 of the bytes that were read.
    """

    rows: dict[str, list[Row]]
    labels: Labels
    warnings: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)


@dataclass
class _Record:
    """A row on its way; `labels` is None where nobody has annotated it."""

    place: Place
    id: str
    text: str
    labels: list[str] | None
    split: str


def read_texts(name: str, settings: Settings, content: Callable[[str], bytes]) -> Texts:
    """Read, check, label and divide the rows of an entry.

    Args:
        name: the entry's, for messages.
        settings: the entry.
        content: gives the bytes of a file that the entry names.

    Raises:
        TextsError: a file or a row breaks a rule; names file, row, line and rule, the first ten
            rows that break it, and how many do.
    """
    try:
        return _Reading(settings, content).run()
    except TextsError as error:
        raise TextsError(f"datasets.{name}: {error}") from None


class _Reading:
    def __init__(self, settings: Settings, content: Callable[[str], bytes]) -> None:
        self.settings, self.content = settings, content
        self.faults = Faults()
        self.warnings: list[str] = []
        self.files: dict[str, str] = {}
        self.task: Task = "multi_label"
        self.separators: list[str] = []  # that labels of one cell seem to have

    def run(self) -> Texts:
        listed = self._names()
        records = list(self._records(listed))
        records = self._united(self._kept(records))
        names = self._label_names(records, listed)
        if self.settings.groups and (problem := groups_problem(self.settings.groups, names)):
            raise TextsError(f"{problem.removeprefix('.')}; the labels are {some(names)}")
        records = self._kept(records)  # without those whose labels were set aside
        labels = Labels(names, self.task, self.settings.groups)
        rows = self._divided(records, labels)
        self.warnings += warnings(rows, labels)
        if listed is None:
            self.warnings += empty_names(rows, names)
        return Texts(rows, labels, self.warnings, self.files)

    def _read(self, file: str) -> bytes:
        content = self.content(file)
        self.files[file] = hashlib.sha256(content).hexdigest()
        return content

    def _names(self) -> tuple[str, ...] | None:
        """The labels that the entry says, in itself or in a file."""
        if not isinstance(file := self.settings.labels.names, str):
            return self.settings.label_names
        lines = table_files.decoded(file, self._read(file), "utf-8").splitlines()
        names = tuple(line.strip() for line in lines if line.strip())
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise TextsError(f"{file} has the label {twice[0]!r} twice")
        return names

    def _records(self, names: tuple[str, ...] | None) -> Iterator[_Record]:
        found = [
            (split, table)
            for split, files in self.settings.files.items()
            for table in self._tables(files)
        ]
        form = self._form([table for _, table in found])
        self.task = self.settings.task or ("single_label" if form == "one" else "multi_label")
        for split, table in found:
            yield from self._of_table("train" if split == "all" else split, table, form, names)
        self.faults.check()

    def _form(self, found: list[Table]) -> cells.Form:
        if (column := self.settings.labels.column) is None:
            return "flags"
        form = cells.form_of(
            self.settings.labels, (cell for table in found for cell in table.cells[column])
        )
        if form in ("one", "joined"):
            self._warn_of_other_forms(form, [c for table in found for c in table.cells[column]])
        return form

    def _warn_of_other_forms(self, form: str, found: list[Any]) -> None:
        """Cells of one label that look like lists, or like labels joined by a mark."""
        texts = [cell.strip() for cell in found if isinstance(cell, str) and cell.strip()]
        lists = sum(text.startswith("[") and text.endswith("]") for text in texts)
        if lists and lists > len(texts) / 2:
            self.warnings.append(
                f"{lists:,} of {len(texts):,} label cells look like lists: set labels.cell: list"
            )
        distinct = set(texts)
        for mark in (*",;|/+#&", " and ", " ", "\n") if form == "one" else ():
            joined = sorted(text for text in distinct if mark in text.strip(mark))
            parts = {part.strip() for text in joined for part in text.split(mark)} - {""}
            known = len(parts & distinct) > len(parts) / 2
            most = mark in ";|" and len(joined) > len(distinct) / 2  # the others occur in names
            if joined and (known or most):
                shown = repr(mark) if mark.isprintable() else json.dumps(mark)  # as YAML has it
                setting = f"set labels.separator: {shown}"
                self.separators.append(f"{setting} if labels such as {joined[0]!r} are several")
                self.warnings.append(
                    f"labels that look like several, joined, such as {joined[0]!r}: "
                    f"{len(joined):,}; {setting} if they are"
                )
                break  # "a / b" has blanks, too

    def _tables(self, files: Iterable[str]) -> Iterator[Table]:
        labels, division = self.settings.labels, self.settings.split
        wanted = [*self.settings.text, *(labels.columns or ())]
        wanted += [c for c in (self.settings.id, labels.column, division.column) if c is not None]
        lists = labels.column if labels.cell in ("list", "scores") else None
        for file in files:
            yield table_files.read(
                file,
                self._read(file),
                self.settings.file_format(file),
                wanted,
                settings=self.settings.csv,
                lists=lists,
            )

    def _of_table(
        self, split: str, table: Table, form: cells.Form, names: tuple[str, ...] | None
    ) -> Iterator[_Record]:
        settings, values = self.settings, self.settings.split.values
        texts = [table.cells[column] for column in settings.text]
        read_labels = self._label_reader(table, form, names)
        ids = table.cells[settings.id] if settings.id is not None else None
        # Files of one's own are all in texts/<name>.
        short = table.file.split("/", 2)[-1] if isinstance(settings, FilesDataset) else table.file
        for index in range(len(table)):
            place = table.place(index)
            key, identity, labels = split, "", None
            try:
                text = _text([column[index] for column in texts], settings.text)
                if text.strip():  # Excel's empty rows have no split, id or label either
                    if values and split == "train":
                        cell = table.cells[cast(str, settings.split.column)][index]
                        key = self._split_of(cell, place)
                    identity = f"{short}:{index + 1}" if ids is None else _identity(ids[index])
                    labels = read_labels(index)
            except CellError as error:
                self.faults.add("cell", place, str(error))
                continue
            yield _Record(place, identity, text, labels, key)

    def _label_reader(
        self, table: Table, form: cells.Form, names: tuple[str, ...] | None
    ) -> Callable[[int], list[str] | None]:
        settings = self.settings.labels
        if settings.columns is not None:
            return lambda index: _flags(table, settings.columns or (), index, self.settings)
        column = cast(str, settings.column)
        read = cells.reader(settings, form, names, table.inside.get(column, ()))
        found = table.cells[column]

        def labels(index: int) -> list[str] | None:
            try:
                return read(found[index])
            except CellError as error:
                separate = "" if str(error).startswith(":") else " "
                raise CellError(f"{column}{separate}{error}") from None

        return labels

    def _split_of(self, value: Any, place: Place) -> str:
        values = self.settings.split.values
        word = word_in(value)
        if word not in values:
            shown = ", ".join(values)
            column = self.settings.split.column
            what = f"{column} is {word!r}, which is not one of {shown}"
            remedy = "name it under split.train, val or test, or remove these rows from the file"
            self.faults.add("split", place, what, remedy)
        return values.get(word, "train")

    def _kept(self, records: list[_Record]) -> list[_Record]:
        """The records that lack nothing; others are dropped or refused."""
        kept, dropped = [], Counter[str]()
        for record in records:
            kind = self._lack(record)
            if kind is None:
                kept.append(record)
            elif kind in self.settings.drop:
                dropped[kind] += 1
            else:
                what = {
                    "no_text": "the text is blank",
                    "no_label": "there is no label, and single-label rows have one",
                    "not_annotated": "a label is neither yes nor no: the row is not annotated",
                }[kind]
                remedy = f"set drop: [{kind}] to leave such rows out"
                if kind == "not_annotated" and self.settings.labels.columns is not None:
                    remedy += ", or labels.blank: absent if an empty cell means no"
                elif kind == "no_label":
                    remedy = ", or ".join([*self.separators, remedy])
                self.faults.add(kind, record.place, what, remedy)
        self.faults.check()
        for kind, count in dropped.items():
            self.warnings.append(f"{count_of(count, 'row')} left out: {_DROP[kind]}")
        if not kept:
            raise TextsError("no row is left; check the entry's text, labels and drop")
        return kept

    def _lack(self, record: _Record) -> str | None:
        if not record.text.strip():
            return "no_text"
        if record.labels is None:
            return "not_annotated"
        # Multi-label data keeps rows without a label, unless the entry drops them.
        counts = self.task == "single_label" or "no_label" in self.settings.drop
        return "no_label" if counts and not record.labels else None

    def _united(self, records: list[_Record]) -> list[_Record]:
        """Records of one id and one text as one, where the entry says so; else ids are unique."""
        seen: dict[tuple[str, str], _Record] = {}
        united = []
        for record in records:
            first = seen.setdefault((record.split, record.id), record)
            if first is record:
                united.append(record)
            elif self.settings.same_id == "union" and first.text == record.text:
                first.labels = list(dict.fromkeys([*(first.labels or ()), *(record.labels or ())]))
            else:
                equal = first.text == record.text
                self.faults.add(
                    "id",
                    record.place,
                    f"the id {record.id!r} is also that of {first.place}"
                    + ("" if equal else ", which has a different text"),
                    "set same_id: union to give one row all labels"
                    if equal
                    else "give each text an id of its own, or leave out `id`",
                )
        self.faults.check()
        for record in united if self.task == "single_label" else ():
            if len(record.labels or ()) > 1:
                what = f"has {len(record.labels or ())} labels, and single-label rows have one"
                self.faults.add("single", record.place, what, "set task: multi_label")
        self.faults.check()
        return united

    def _label_names(
        self, records: list[_Record], names: tuple[str, ...] | None
    ) -> tuple[str, ...]:
        """The labels in their order, after those with too few rows in train are set aside."""
        counts = Counter(
            label for record in records if record.split == "train" for label in record.labels or ()
        )
        everywhere = Counter(label for record in records for label in record.labels or ())
        listed = names if names is not None else tuple(sorted(everywhere))
        least = self.settings.labels.min_rows
        rare = [label for label in listed if counts[label] < (least or 1)]
        if rare and least is None:
            raise TextsError(
                f"{labels_have(rare)} no row in train: {some(rare)}; set labels.min_rows: 1 to set "
                "such labels aside"
            )
        if rare:
            shown = some([f"{label} {counts[label]}" for label in rare])
            wanted = count_of(least or 1, "row")
            self.warnings.append(
                f"{labels_have(rare)} fewer than {wanted} in train, set aside: {shown}"
            )
            aside = set(rare)
            for record in records:
                record.labels = [label for label in record.labels or () if label not in aside]
            listed = tuple(label for label in listed if label not in aside)
        if not 2 <= len(listed) <= MOST_LABELS:
            found = f"{count_of(len(listed), 'label')} ({some(listed)})" if listed else "no label"
            rows = f" with at least {least} rows in train" if rare else ""
            raise TextsError(
                f"found {found}{rows}; there must be 2 to {MOST_LABELS:,}. Is {self._where()} the "
                "right column?"
            )
        return listed

    def _where(self) -> str:
        return self.settings.labels.column or "labels.columns"

    def _divided(self, records: list[_Record], labels: Labels) -> dict[str, list[Row]]:
        index = {label: position for position, label in enumerate(labels.names)}
        rows: dict[str, list[Row]] = {split: [] for split in SPLITS}
        for record in records:
            row = Row(record.id, record.text, sorted(index[one] for one in record.labels or ()))
            rows[record.split].append(row)
        division = self.settings.split
        if shares := division.shares:
            whole = rows["train"]
            keys = [" ".join(row.text.split()) for row in whole]
            parts = divide(keys, [row.labels for row in whole], shares, division.seed)
            rows |= {split: [whole[place] for place in part] for split, part in parts.items()}
        for split, part in rows.items():
            if not part:
                total = count_of(sum(map(len, rows.values())), "row")
                raise TextsError(
                    f"split: {split} has none of the {total}; give it a larger share, or set "
                    "labels.min_rows: 2, since each label needs a row in train first"
                )
        return rows


def _text(parts: Sequence[Any], columns: Sequence[str]) -> str:
    """The texts of a row's columns, joined by a space; blank ones are left out."""
    pieces: list[str] = []
    for column, part in zip(columns, parts, strict=True):
        for piece in part if isinstance(part, list | tuple) else [part]:
            if piece is not None and not isinstance(piece, str):
                kind = "an object" if isinstance(piece, dict) else f"the number {piece!r}"
                raise CellError(f"{column} is {kind}; a text must be a string")
            pieces.append(piece or "")
    if len(pieces) > 1:
        pieces = [piece for piece in pieces if piece.strip()]
    text = " ".join(pieces)
    if cells.SURROGATE.search(text):
        raise CellError("the text holds half of a surrogate pair, which is not a character")
    return text


def _identity(cell: Any) -> str:
    if isinstance(cell, bool):
        return word_in(cell)
    if isinstance(cell, str | int) and str(cell).strip() and not cells.SURROGATE.search(str(cell)):
        return str(cell)
    raise CellError(f"the id is {cell!r}; it must be text or a whole number")


def _flags(
    table: Table, columns: Sequence[str], index: int, settings: Settings
) -> list[str] | None:
    found: dict[str, bool | None] = {}
    for column in columns:
        try:
            found[column] = cells.flag(table.cells[column][index], settings.labels)
        except CellError as error:
            raise CellError(f"{column} {error}") from None
    if None in found.values():
        return None
    return [column for column, is_set in found.items() if is_set]
