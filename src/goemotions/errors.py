"""The one exception that is meant for the user, and how a command ends with it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something the user can mend: names the setting or file, what it got, what is allowed."""


def first_line(error: BaseException) -> str:
    """What an error says in one line; its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


@contextmanager
def reported() -> Iterator[None]:
    """Turn a UserError into its message on stderr and exit status 1, without a traceback."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
