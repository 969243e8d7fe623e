"""The entries of `datasets`: tables of labelled texts, in files or on the Hub, and the sample.

docs/own-texts.md has entries to copy.
"""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from pydantic import BeforeValidator, Field, model_validator

from goemotions.config.base import (
    SPLITS,
    Commit,
    Count,
    PerSplit,
    Seed,
    Settings,
    Split,
    Task,
    refused,
)
from goemotions.config.dataset_values import (
    Character,
    Column,
    Columns,
    Encoding,
    Files,
    Groups,
    ListOfNames,
    Names,
    Part,
    Quote,
    Separators,
    labels_setting,
)

TEXTS = "texts"
FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl",
    ".parquet": "parquet",
}  # fmt: skip


class Csv(Settings):
    """How a file of delimited text is written."""

    delimiter: Character | None = None
    """One character; a comma for csv, a tab for tsv if left out."""
    quote: Quote | None = None
    """One character, or none where quotes are plain characters; " if left out."""
    header: bool = True
    """false: columns are called 1, 2, 3."""
    encoding: Encoding = "utf-8"


class LabelCells(Settings):
    """Where the labels of a row are, and in what form."""

    columns: ListOfNames | None = None
    """One column of flags for each label."""
    column: Column | None = None
    """The one column that holds them."""
    cell: Literal["one", "joined", "list", "vector", "scores"] | None = None
    """one; joined by `separator`; list; vector of 0 and 1 in `names`' order; scores by label."""
    separator: Separators | None = None
    """A text, or several each of which separates."""
    names: Names | None = None
    """The labels in their order, or a file with one a line; those in train, sorted, if left out."""
    ids: Annotated[int, Ge(0), Le(1)] | None = None
    """Cells are places in `names`, counted from this."""
    others: Literal["error", "ignore"] = "error"
    """What a label that is not in `names` is."""
    positive: float | None = None
    """Numbers from this on count; if left out, only 0 and 1 are allowed."""
    blank: Literal["error", "absent"] = "error"
    """What an empty flag is."""
    min_rows: Count | None = None
    """Labels with fewer rows in train are set aside."""

    @model_validator(mode="after")
    def _check(self) -> "LabelCells":
        if (self.column is None) == (self.columns is None):
            raise refused(" needs either `column` or `columns`")
        if self.columns is not None:
            for key in ("cell", "separator", "names", "ids"):
                if getattr(self, key) is not None:
                    raise refused(f".{key} goes with `column`, not with `columns`; remove it")
        if self.separator is not None and self.cell not in (None, "joined"):
            raise refused(f".separator is for cell: joined, not for cell: {self.cell}")
        if self.cell == "joined" and self.separator is None:
            raise refused(".separator is missing, which cell: joined needs")
        if self.names is None:
            for key, wrong in (
                ("ids", self.ids is not None), ("others", self.others == "ignore"),
                ("cell", self.cell == "vector"),
            ):  # fmt: skip
                if wrong:
                    raise refused(f".{key} is {getattr(self, key)!r}, which needs `names`")
        if self.ids is not None and self.cell in ("vector", "scores"):
            raise refused(f".ids does not go with cell: {self.cell}; remove it")
        flags = self.columns is not None or self.cell in ("vector", "scores")
        if self.positive is not None and not flags:
            raise refused(".positive is for numbers: `columns`, cell: vector or cell: scores")
        if self.blank == "absent" and self.columns is None:
            raise refused(".blank is for `columns`")
        return self


class Division(Settings):
    """Which rows are for training, validation and testing, where the files do not say it."""

    column: Column | None = None
    """The column whose values name the splits."""
    train: Part | None = None
    """Its values for train; "train" if left out."""
    val: Part | None = None
    """A share of train, or values of `column`."""
    test: Part | None = None
    seed: Seed = 0
    """Of the shares."""

    @model_validator(mode="after")
    def _check(self) -> "Division":
        if isinstance(self.train, float):
            raise refused(".train is what val and test leave; give those their shares")
        values: list[str] = []
        for split in SPLITS:
            part = getattr(self, split)
            if isinstance(part, tuple):
                if self.column is None:
                    raise refused(f".{split} is a value, which needs `column`; a share is a number")
                values += part
        if twice := [value for value in values if values.count(value) > 1]:
            raise refused(f" gives the value {twice[0]!r} to two splits")
        if self.column is not None and not any(isinstance(p, tuple) for p in (self.val, self.test)):
            raise refused(".column is given, but neither val nor test is one of its values")
        shares = [part for part in (self.val, self.test) if isinstance(part, float)]
        if sum(shares) >= 1:
            raise refused(f": val and test take {sum(shares):g} of the rows and leave train none")
        return self

    @property
    def shares(self) -> dict[str, float]:
        """Split -> the share of train that it takes."""
        parts = {"val": self.val, "test": self.test}
        return {split: part for split, part in parts.items() if isinstance(part, float)}

    @property
    def values(self) -> dict[str, str]:
        """Value of `column` -> its split."""
        if self.column is None:
            return {}
        parts = {"train": self.train or ("train",), "val": self.val, "test": self.test}
        return {
            value: split
            for split, part in parts.items()
            if isinstance(part, tuple)
            for value in part
        }


class Table(Settings):
    """Labelled texts in files of rows."""

    files: Files
    """Split -> a file or a list of files; or one file, or a list, that `split` divides."""
    format: Literal["csv", "tsv", "jsonl", "parquet", "fasttext"] | None = None
    """By the files' ending if left out."""
    csv: Csv = Csv()
    split: Division = Division()
    text: Columns
    """One column, or several that are joined by a space."""
    id: Column | None = None
    """A column; <file>:<row> if left out."""
    same_id: Literal["error", "union"] = "error"
    """union: rows of one id and one text are one row with all their labels."""
    task: Task | None = None
    """By the form of the labels if left out."""
    labels: Annotated[
        LabelCells,
        BeforeValidator(labels_setting),
        Field(json_schema_extra={"anyOf": [{"type": "object"}, {"type": "array"}]}),
    ]
    """A list of columns of flags, or a mapping."""
    drop: tuple[Literal["no_text", "no_label", "not_annotated"], ...] = Field((), strict=False)
    """Rows of these kinds are left out and counted."""
    groups: Groups = Field(default_factory=dict)
    """Groups of labels to score as well: {urgent: [outage, billing]}, or a level of several."""
    rows: Annotated[dict[Split, Count], PerSplit] | None = None
    """What the splits must have."""
    sha256: Annotated[dict[Split, str], PerSplit] | None = None
    """What each split's file in data/<dataset> must have."""

    @model_validator(mode="before")
    @classmethod
    def _check_numbers(cls, raw: Any) -> Any:
        """A number is a column's place, which only a file without a header needs."""
        if not isinstance(raw, dict) or (
            isinstance(raw.get("csv"), dict) and raw["csv"].get("header") is False
        ):
            return raw
        labels, split = raw.get("labels"), raw.get("split")
        places = {"text": raw.get("text"), "id": raw.get("id")}
        places["labels.column"] = labels.get("column") if isinstance(labels, dict) else None
        places["split.column"] = split.get("column") if isinstance(split, dict) else None
        for setting, value in places.items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, int) and not isinstance(one, bool):
                    raise refused(
                        f".{setting} is the number {one}, a column's place where csv.header is "
                        "false; if the header has a column of that name, put it in quotes"
                    )
        return raw

    @model_validator(mode="after")
    def _check_table(self) -> "Table":
        named = {"train", *self.files} - {"all"}
        for split in ("val", "test"):
            if split in self.files and getattr(self.split, split) is not None:
                raise refused(f".split.{split} is given, but files.{split} is the {split} split")
            if split not in named and getattr(self.split, split) is None:
                raise refused(
                    f" has no {split} split: give files.{split}, or split: {{{split}: 0.1}} to "
                    "take a tenth of the rows"
                )
        listed = [file for files in self.files.values() for file in files]
        if twice := [file for file in listed if listed.count(file) > 1]:
            raise refused(f".files has {twice[0]} twice; no row may be in two splits")
        forms = {self.file_format(file) for file in listed}
        if len(forms) > 1:
            raise refused(f".files are of {len(forms)} formats: {', '.join(sorted(forms))}")
        if forms & {"jsonl", "parquet", "fasttext"} and self.csv != Csv():
            raise refused(f".csv is given, but the files are {forms.pop()}")
        if (names := self.label_names) and (problem := groups_problem(self.groups, names)):
            raise refused(problem)
        if self.csv.header:
            return self
        for column in (*self.text, self.id, self.labels.column, *(self.labels.columns or ())):
            if column is not None and not column.isdecimal():
                raise refused(f": without a header columns are called 1, 2, 3, and not {column!r}")
        return self

    def file_format(self, file: str) -> str:
        """The format of one of the files.

        Raises:
            PydanticCustomError: it cannot be told from the ending.
        """
        found = self.format or FORMATS.get(PurePosixPath(file).suffix.lower())
        if found is None:
            raise refused(
                f".format is missing, and {file} does not end in one of: {', '.join(FORMATS)}"
            )
        return found

    @property
    def paths(self) -> list[str]:
        """Every file that the entry names."""
        files = [file for several in self.files.values() for file in several]
        return [*files, self.labels.names] if isinstance(self.labels.names, str) else files

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """The labels, where the entry says them."""
        if self.labels.columns is not None:
            return self.labels.columns
        return None if isinstance(self.labels.names, str) else self.labels.names

    @property
    def kind(self) -> Task | None:
        """The task, where it can be told before the files are read."""
        if self.task is not None:
            return self.task
        if self.labels.columns is not None or self.labels.separator is not None:
            return "multi_label"
        if self.labels.cell is not None:
            return "single_label" if self.labels.cell == "one" else "multi_label"
        first = next(iter(self.files.values()))[0]
        return "single_label" if self.file_format(first) in ("csv", "tsv") else None


class FilesDataset(Table):
    """Files of the user's, in texts/<dataset>."""

    source: Literal["files"]


class HubDataset(Table):
    """Files of a dataset on the Hugging Face Hub."""

    source: Literal["hub"]
    repo: str
    revision: Commit
    """The commit to fetch, 40 hexadecimal digits."""


class GeneratedDataset(Settings):
    """The generated sample, for the demo and the tests."""

    source: Literal["generated"]
    seed: Seed
    rows: Annotated[dict[Split, Count], PerSplit]
    groups: Groups = Field(default_factory=dict)

    @property
    def kind(self) -> Task:
        return "multi_label"


Dataset = FilesDataset | HubDataset | GeneratedDataset


def groups_problem(
    groups: dict[str, dict[str, tuple[str, ...]]], names: tuple[str, ...]
) -> str | None:
    """What is wrong with groups of these labels, for behind the entry's name; else nothing."""
    known = set(names)
    for level, members in groups.items():
        for group, labels in members.items():
            if unknown := [label for label in labels if label not in known]:
                return f".groups.{level} has {unknown[0]!r}, which is not a label"
            if list(members) == [level] == [group] and level in known:
                return f".groups.{level} has the same name as the label {level}; rename it"
    return None


def place_problem(name: str, dataset: Dataset) -> str | None:
    """Which of a user's files lies outside texts/<dataset>, on which fetch_dataset depends."""
    for file in dataset.paths if isinstance(dataset, FilesDataset) else ():
        parts = PurePosixPath(file).parts
        if parts[:2] != (TEXTS, name) or len(parts) < 3 or ".." in parts:
            return (
                f" has the file {file!r}; files of labelled texts must be in {TEXTS}/{name}/, "
                "on whose content the pipeline depends; move it there"
            )
    return None
