"""The one exception that is meant for the user, and how a command ends with it."""

import os
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
    """Turn a UserError into its message on stderr and exit status 1, without a traceback.

    An interrupt ends with status 130, and a reader that went away, such as `head`, with 141: what a
    shell makes of the signals SIGINT and SIGPIPE.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(141)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
