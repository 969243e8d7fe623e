"""Text that a command writes into a document, between two lines that stay."""

from pathlib import Path

from goemotions.errors import UserError


def put(document: Path, begin: str, end: str, content: str) -> None:
    """Replace what is between the lines `begin` and `end` of `document`.

    Raises:
        UserError: the lines are not there.
    """
    text = document.read_text(encoding="utf-8")
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise UserError(
            f"{document} is missing the lines {begin} and {end}, between which the tables go"
        )
    document.write_text(f"{before}{begin}\n{content}\n{end}{after}", encoding="utf-8")
