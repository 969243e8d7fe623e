"""One training at a time, and none whose starter is gone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from goemotions.errors import UserError

ORPHAN = (
    "the command that started this training has ended, so DVC would not record what it makes; run "
    "that command again, and it goes on from the last checkpoint"
)


def orphaned() -> bool:
    """Whether the `dvc repro` that started this process has ended; False where none did."""
    starter = os.environ.get("GOEMOTIONS_STARTER")  # by stages/run.sh
    return bool(starter) and starter not in {str(one.pid) for one in psutil.Process().parents()}


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path` until the block ends.

    DVC's own lock ends with `dvc repro`, but a training process can outlive it. The kernel drops
    this one when the process ends, however it ends. The file itself stays: were it removed, two
    processes could hold locks on two files of this name.

    Args:
        what: is trained, for the error.

    Raises:
        UserError: another process holds it; names that process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            raise UserError(
                f"{what} is being trained by process {owner}; wait for it, or end it with "
                f"`kill {owner}`, and run this again"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
