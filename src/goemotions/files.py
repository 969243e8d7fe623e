"""Digests, folders that are published whole or not at all and say what they hold, and parquet."""

import errno
import glob
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goemotions.errors import UserError

if TYPE_CHECKING:
    import pyarrow

MANIFEST = "manifest.json"


def project_folder() -> Path:
    """The project the user works in, also from one of DVC's temporary copies of it.

    `dvc exp run --temp` and queued experiments run in <project>/.dvc/tmp/exps/<name>, from where
    a relative GOEMOTIONS_MIRROR would lead nowhere, and which DVC deletes.
    """
    here = Path.cwd()
    parts = here.parts
    return Path(*parts[: parts.index(".dvc")]) if ".dvc" in parts else here


def links_out_of_the_project() -> dict[Path, Path]:
    """The folders of the stages' outputs that are links out of the project -> where they lead.

    DVC runs a stage whose output lies behind such a link, and then refuses to record it.
    """
    folders = ("data", "models", "models/trained", "metrics", "metrics/training")
    links = {path: path.resolve() for path in map(Path, folders) if path.is_symlink()}
    return {path: to for path, to in links.items() if not to.is_relative_to(Path.cwd())}


def refuse_links_out_of_the_project() -> None:
    """Stop a stage that DVC runs before it makes what DVC would not record.

    Raises:
        UserError: a folder of the outputs is a link out of the project.
    """
    if not os.environ.get("DVC_STAGE"):  # set by DVC
        return
    for path, target in links_out_of_the_project().items():
        raise UserError(
            f"{path} is a link to {target}, outside the project, where DVC records nothing; make "
            "it a folder again and keep DVC's cache on that disk instead: `goemotions verify` "
            "lists the commands"
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON as people and git diffs like it: indented, in UTF-8, with a final newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def fresh(path: Path) -> Path:
    """`path`, with no file there: one that stood there may share its bytes with DVC's cache."""
    path.unlink(missing_ok=True)
    return path


def digests(paths: dict[str, Path]) -> dict[str, dict[str, int | str]]:
    """Name -> size in bytes and SHA-256."""
    return {
        name: {"size": path.stat().st_size, "sha256": sha256(path)}
        for name, path in sorted(paths.items())
    }


def write_manifest(folder: Path, **origin: Any) -> dict[str, Any]:
    """Write manifest.json: the origin, and size and SHA-256 of every file of the folder."""
    paths = {path.name: path for path in folder.iterdir() if path.name != MANIFEST}
    manifest = {**origin, "written": digests(paths)}
    write_json(folder / MANIFEST, manifest)
    return manifest


def read_manifest(folder: Path, mend: str) -> dict[str, str]:
    """Name -> SHA-256 of the files that were written into a folder, by its manifest.json.

    Args:
        mend: the command that makes the folder, for the message.

    Raises:
        UserError: it is missing or holds no digests.
    """
    path = folder / MANIFEST
    try:
        written = json.loads(path.read_text(encoding="utf-8"))["written"]
        return {name: str(value["sha256"]) for name, value in written.items()}
    except FileNotFoundError:
        raise UserError(f"{folder} lacks {MANIFEST}; run `{mend}`") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is unreadable: {error!r}; `goemotions verify` says what mends it"
        ) from None


def check(folder: Path, written: dict[str, str]) -> None:
    """Compare the files of a folder with their digests.

    DVC does not look into a file that has not been touched, nor into its cache: what was damaged
    there, or edited through one of its hard links, would be taken for the real thing.

    Raises:
        UserError: names the files that differ.
    """
    wrong = [
        name
        for name, digest in written.items()
        if not (folder / name).is_file() or sha256(folder / name) != digest
    ]
    if wrong:
        raise UserError(
            f"{folder} is not what was written there: {', '.join(wrong)} changed since; "
            "`goemotions verify --cache` says what mends it"
        )


def read_parquet(content: bytes, columns: list[str]) -> "pyarrow.Table":
    """Some columns of a parquet file, each row of which takes a byte at least.

    pyarrow makes room for as many rows as a damaged footer claims, and `read_table` with filters
    may wait for ever; both were found by fuzzing.

    Raises:
        pyarrow.ArrowException, OSError, ValueError: it is no such file.
    """
    from pyarrow import parquet

    file = parquet.ParquetFile(io.BytesIO(content))
    groups = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    rows = file.metadata.num_rows
    if sum(groups) != rows or rows > len(content) or any(number < 0 for number in groups):
        raise ValueError(f"{len(content)} bytes cannot hold {rows} rows in groups of {groups}")
    return file.read(columns)


# What a file system answers that cannot sync; a disk that is full or failing answers otherwise.
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# A folder cannot be opened for writing, which some file systems want of what they sync.
_NO_SYNC_OF_FOLDERS = _NO_SYNC | {errno.EACCES, errno.EPERM, errno.EBADF}


def sync(*paths: Path) -> None:
    """Wait until files, or the names in folders, are on the disk, safe from a power cut.

    Where the file system cannot do that, as some network and container mounts, this says so once
    and goes on: what was written is whole all the same, unless the power is cut.

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
            say_once(
                "warning: this file system cannot confirm that files have reached the disk, so "
                "what was written just before a power cut may be lost"
            )


@cache
def say_once(line: str) -> None:
    """Print a line on stderr, the first time that this process is asked to."""
    print(line, file=sys.stderr, flush=True)


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
        for file in draft.iterdir():
            file.chmod(0o644)  # safetensors' own is 0600
        sync(*draft.iterdir(), draft)
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
        if owner.isdigit() and not _runs(int(owner)):
            if rest.startswith(_OLD) and not path.exists() and any(left.iterdir()):
                left.replace(path)
            shutil.rmtree(left, ignore_errors=True)
    made = Path(tempfile.mkdtemp(prefix=f".{path.name}.{os.getpid()}.{kind}", dir=path.parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True
