"""The one exception that is meant for the user, and how a command ends with it."""

import argparse
import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

# What a disk can do to a command that is right; other errors of the system are bugs.
DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO}


class UserError(Exception):
    """Something the user can fix: names the setting or file, what it got, what is allowed."""


def of_disk(error: BaseException) -> bool:
    """Whether the disk caused it; libraries in Rust only name a number, as in "(os error 28)"."""
    if isinstance(error, OSError):
        return error.errno in DISK
    code = re.search(r"\(os error (\d+)\)", str(error))
    return code is not None and int(code[1]) in DISK


def first_line(error: BaseException) -> str:
    """What an error says in one line; its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


@cache
def warn_once(text: str) -> None:
    """Print a warning on stderr, the first time that this process is asked to."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


@contextmanager
def reported(*, interrupted: str = "interrupted") -> Iterator[None]:
    """Turn a UserError into its message on stderr and exit status 1, without a traceback.

    A missing package, a full or read-only disk and too little memory are reported in the same way.
    An interrupt ends with status 130, and a reader that went away, such as `head`, with 141, as a
    shell reports the signals SIGINT and SIGPIPE.

    Args:
        interrupted: the message at an interrupt.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        sys.exit(141)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "goemotions":
            raise
        print(f"error: the package {error.name} is missing; run `make setup`", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        # torch's error at a CPU's memory is a RuntimeError.
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            print(
                "error: out of memory; close other programs, or use a smaller model or fewer rows, "
                "and run the same command again",
                file=sys.stderr,
            )
            sys.exit(1)
        if type(error).__name__ == "OutOfMemoryError":  # torch's, which is not imported here
            print(
                "error: the GPU's memory is full; end what uses it, or compute on the CPU: put "
                "CUDA_VISIBLE_DEVICES= before the same command",
                file=sys.stderr,
            )
            sys.exit(1)
        if not of_disk(error):
            raise
        print(f"error: {error}; fix that and run the same command again", file=sys.stderr)
        sys.exit(1)


@contextmanager
def stage(description: str | None, *, interrupted: str = "interrupted") -> Iterator[None]:
    """Run a stage that takes no arguments: `--help` describes it, and errors are reported."""
    argparse.ArgumentParser(description=description).parse_args()
    with reported(interrupted=interrupted):
        yield


def shows_unicode() -> bool:
    """Whether what is printed may have any character, also for who reads it as JSON."""
    return (sys.stdout.encoding or "").lower().startswith("utf")
