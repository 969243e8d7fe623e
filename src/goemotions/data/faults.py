"""Faults in the files of a dataset: where they are, which rule is broken and what to do."""

from dataclasses import dataclass

from goemotions.errors import UserError

SHOWN = 10  # of the rows that break the same rule


@dataclass(frozen=True)
class Place:
    """A place in a file: the row counts records from 1, 0 is the header; the line is physical."""

    file: str
    row: int
    line: int | None

    def __str__(self) -> str:
        line = "" if self.line is None else f" (line {self.line})"
        return f"{self.file}, " + (f"row {self.row}" if self.row else "header") + line


class TextsError(UserError):
    """A file, or a setting together with the files, breaks a rule."""


class CellError(Exception):
    """What a cell holds breaks a rule: "tags is 'x'; it must be ..."."""


class Faults:
    """The rows that break a rule: the first ten, and how many there are in all.

    Of several rules only the one that is broken first is reported.
    """

    def __init__(self) -> None:
        self._rule: str | None = None
        self._lines: list[str] = []
        self._total = 0

    def add(self, rule: str, place: Place, what: str, remedy: str = "") -> None:
        """Note one row.

        Args:
            rule: a key for rows that break the same rule.
            place: where.
            what: what is wrong there, to follow a colon.
            remedy: what to do about it.
        """
        self._rule = self._rule or rule
        if rule != self._rule:
            return
        self._total += 1
        if self._total == 1:
            self._lines.append(f"{place}: {what}" + (f"; {remedy}" if remedy else ""))
        elif self._total <= SHOWN:
            self._lines.append(f"  {place}: {what}")

    def check(self) -> None:
        """Raise TextsError if a rule was broken."""
        if self._total > 1:
            self._lines.append(f"  {self._total:,} rows in all")
        if self._lines:
            raise TextsError("\n".join(self._lines))
