"""One training at a time, and none whose starter is gone."""

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from filelock import FileLock, SoftFileLock, Timeout

from goemotions.errors import UserError, warn_once

ORPHAN = (
    "the command that started this training run has ended, so DVC would not record the result; run "
    "that command again to resume from the last checkpoint"
)


def orphaned() -> bool:
    """Whether the `dvc repro` that started this process has ended; False where none did."""
    starter = os.environ.get("GOEMOTIONS_STARTER")  # by stages/run.sh
    return bool(starter) and starter not in {str(one.pid) for one in psutil.Process().parents()}


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file `path`, which then holds this process's number, until the block ends.

    DVC's own lock ends with `dvc repro`, but a training process can outlive it.

    Args:
        what: is trained, for the error.

    Raises:
        UserError: another process holds it; names that process.
    """
    try:
        lock = take(path, patience=1)  # another training may be removing an old checkpoint
    except HeldError as held:
        owner = path.read_text().strip() or "unknown"
        raise UserError(
            f"{what} is being trained by process {owner}; wait for it, or end it with "
            f"`kill {owner}`, and run this again{held}"
        ) from None
    with lock:
        path.write_text(str(os.getpid()))
        yield


class HeldError(Exception):
    """Another process holds a lock; the text, which may be empty, continues the message."""


# What flock answers on a file system that has no locks.
_NO_FLOCK = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP}


def take(path: Path, patience: float = 0) -> AbstractContextManager[object]:
    """Lock the file `path` until the block of the value ends, or else this process.

    Args:
        patience: seconds to wait for another process that holds the lock.

    The kernel drops the lock when the process ends, however it ends. The file itself stays: were it
    removed, two processes could hold locks on two files of this name. Where the file system has no
    flock, the lock is a second file beside it.

    Raises:
        HeldError: another process holds the lock.
    """
    try:
        return FileLock(path, timeout=patience, fallback_to_soft=False).acquire()
    except Timeout:
        raise HeldError from None
    except OSError as error:
        if error.errno not in _NO_FLOCK:
            raise
    warn_once(
        "this file system does not support flock, so a lock file is used instead. If a process on "
        "another machine or in another container was killed, remove its lock file by hand"
    )
    return _take_without_flock(path.with_name(f"{path.name}.soft"), patience)


def _take_without_flock(marker: Path, patience: float) -> AbstractContextManager[object]:
    """Make the file `marker`, which is the lock and names its process; remove it at the end."""
    lock = SoftFileLock(marker, timeout=patience)
    try:
        if _is_left_behind(lock):
            lock.break_lock()
        return lock.acquire()
    except Timeout:
        host = _host(lock).partition("?")[0]  # what follows is the number of a container
        raise HeldError(
            f"; if process {lock.pid or 'unknown'} no longer runs on {host}, "
            f"`rm {shlex.quote(str(marker))}` first"
        ) from None


def _is_left_behind(lock: SoftFileLock) -> bool:
    """Whether a lock's process ran on this machine, in this container, and has ended.

    filelock sees to that by itself only on file systems that can exchange two names.
    """
    process = lock.pid
    if process is None or psutil.pid_exists(process):
        return False
    with TemporaryDirectory() as folder, SoftFileLock(Path(folder, "lock")) as own:
        return _host(own) == _host(lock)


def _host(lock: SoftFileLock) -> str:
    """The machine, and where it is in one the container, of a lock's process."""
    with suppress(FileNotFoundError, IndexError):  # removed, or not filled, at this very moment
        return Path(lock.lock_file).read_text(encoding="utf-8").splitlines()[1]
    return "its machine"
