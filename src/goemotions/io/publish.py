"""Files and folders that are replaced completely or not at all."""

import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from goemotions.errors import warn_once


def unlinked(path: Path) -> Path:
    """`path`, with no file there: one that stood there may share its bytes with DVC's cache."""
    path.unlink(missing_ok=True)
    return path


# What a file system answers that cannot sync; a disk that is full or failing answers otherwise.
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# A folder cannot be opened for writing, which some file systems want of what they sync.
_NO_SYNC_OF_FOLDERS = _NO_SYNC | {errno.EACCES, errno.EPERM, errno.EBADF}


def sync(*paths: Path) -> None:
    """Wait until files, or the names in folders, are on the disk, safe from a power cut.

    Where the file system cannot do that, as some network and container mounts, this says so once
    and continues: what was written is whole all the same, unless the power is cut.

    Raises:
        OSError: the disk is full or failing; names the path.
    """
    for path in paths:
        is_folder = path.is_dir()
        try:
            # For writing, since CIFS does not sync a file through a descriptor that only reads.
            descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in (_NO_SYNC_OF_FOLDERS if is_folder else _NO_SYNC):
                raise OSError(error.errno, error.strerror, str(path)) from None
            warn_once(
                "this file system cannot confirm that files have reached the disk, so "
                "what was written just before a power cut may be lost"
            )


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yield a draft beside `folder`; move its files into `folder` when the block succeeds.

    What the folder holds besides stays. Until the block ends without an exception every file is
    what it was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _beside(folder) as draft:
        yield draft
        made = sorted(draft.iterdir())
        sync(*made)
        for file in made:
            file.replace(folder / file.name)
        sync(folder)


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Yield a draft beside `path`; put it in place of `path` when the block succeeds.

    The draft is an empty folder. Until the block ends without an exception `path` is what it was,
    and a draft that did not make it is removed.
    """
    path = path.resolve()  # through a link, for a folder that lives on another disk
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path) as draft:
        draft.chmod(0o755)  # mkdtemp's 0700 would follow the folder to its place
        yield draft
        made = sorted(draft.rglob("*"))
        for one in made:
            one.chmod(0o755 if one.is_dir() else 0o644)  # safetensors' own is 0600
        sync(*made, draft)
        if path.exists():
            # A folder cannot be renamed over another: move the old one out of the way first.
            with _beside(path, _OLD) as old:
                path.replace(old)
                try:
                    draft.replace(path)
                except OSError:
                    old.replace(path)
                    raise
        else:
            draft.replace(path)
        sync(path.parent)


_OLD = "old-"  # what stood in the place, until the new one does


@contextmanager
def _beside(path: Path, kind: str = "") -> Iterator[Path]:
    """Yield a new hidden folder beside `path` until the block ends.

    One that a killed process left is removed, too: it may be as large as a model. But where it
    was killed between moving the old folder away and the new one in, the old one is put back.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.*"):
        owner, _, rest = left.name.removeprefix(f".{path.name}.").partition(".")
        if owner.isdigit() and not psutil.pid_exists(int(owner)):
            if rest.startswith(_OLD) and not path.exists() and any(left.iterdir()):
                left.replace(path)
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}.{os.getpid()}.{kind}", dir=path.parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)
