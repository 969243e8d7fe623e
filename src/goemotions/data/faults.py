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


@dataclass
class _Rule:
    found: list[str]
    remedy: str
    total: int = 0


class Faults:
    """The rows that break rules: the first ten of each rule, and how many there are in all."""

    def __init__(self) -> None:
        self._rules: dict[str, _Rule] = {}

    def add(self, rule: str, place: Place, what: str, remedy: str = "") -> None:
        """Note one row.

        Args:
            rule: a key for rows that break the same rule.
            place: where.
            what: what is wrong there, to follow a colon.
            remedy: what to do about it.
        """
        entry = self._rules.setdefault(rule, _Rule([], remedy))
        entry.total += 1
        if entry.total == 1:
            entry.found.append(f"{place}: {what}" + (f"; {remedy}" if remedy else ""))
        elif entry.total <= SHOWN:
            entry.found.append(f"  {place}: {what}")

    def check(self) -> None:
        """Raise TextsError for the rule that was broken first, if one was."""
        for rule in self._rules.values():
            lines = rule.found
            if rule.total > 1:
                lines = [*lines, f"  {rule.total:,} rows in all"]
            raise TextsError("\n".join(lines))
