"""Digests, and folders that are published whole or not at all."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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


@contextmanager
def published(path: Path) -> Iterator[Path]:
    """Yield a draft beside `path`; put it in place of `path` when the block succeeds.

    The draft is an empty folder. Until the block ends without an exception `path` is what it was,
    and a draft that did not make it is removed.
    """
    path = path.resolve()  # through a link, for a folder that lives on another disk
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    draft.chmod(0o755)  # mkdtemp's 0700 would follow the folder to its place
    try:
        yield draft
        for file in draft.iterdir():
            file.chmod(0o644)  # safetensors' own is 0600
        if path.exists():
            # A folder cannot be renamed over another: move the old one out of the way first.
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
            path.replace(old)
            try:
                draft.replace(path)
            except OSError:
                old.replace(path)
                raise
            shutil.rmtree(old)
        else:
            draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
