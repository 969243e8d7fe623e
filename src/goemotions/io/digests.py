"""SHA-256 of files, and the manifest that says what a folder holds."""

import hashlib
import json
from pathlib import Path
from typing import Any

from goemotions.errors import UserError

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON as people and git diffs like it: indented, in UTF-8, with a final newline."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def of_files(paths: dict[str, Path]) -> dict[str, dict[str, int | str]]:
    """Name -> size in bytes and SHA-256."""
    return {
        name: {"size": path.stat().st_size, "sha256": sha256(path)}
        for name, path in sorted(paths.items())
    }


def write_manifest(folder: Path, **origin: Any) -> None:
    """Write manifest.json: the origin, and size and SHA-256 of every file of the folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    paths = {path.relative_to(folder).as_posix(): path for path in files}
    write_json(folder / MANIFEST, {**origin, "written": of_files(paths)})


def read_manifest(folder: Path, remedy: str) -> dict[str, str]:
    """Name -> SHA-256 of the files that were written into a folder, by its manifest.json.

    Args:
        remedy: the command that makes the folder, for the message.

    Raises:
        UserError: it is missing or holds no digests.
    """
    path = folder / MANIFEST
    try:
        written = json.loads(path.read_text(encoding="utf-8"))["written"]
        return {name: str(value["sha256"]) for name, value in written.items()}
    except FileNotFoundError:
        raise UserError(f"{folder} is missing {MANIFEST}; run `{remedy}`") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is unreadable: {error!r}; `goemotions verify` says what fixes it"
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
        remedy = "make or download it again"
        if folder.parts[:1] in (("data",), ("models",)):
            remedy = "`goemotions verify --cache` says what fixes it"
        raise UserError(
            f"{folder} is not what was written there: {', '.join(wrong)} changed since; {remedy}"
        )
