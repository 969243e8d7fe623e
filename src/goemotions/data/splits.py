"""A split: ids, texts and labels, checked row by row, as one JSON object a line."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from goemotions.config.base import SPLITS as SPLITS
from goemotions.data import labels as label_file
from goemotions.data.labels import Labels
from goemotions.errors import UserError
from goemotions.io import digests

METADATA = "metadata.json"


@dataclass(frozen=True)
class Row:
    """One text: its id, the text and the indices of its labels."""

    id: str
    text: str
    labels: list[int]


@dataclass(frozen=True)
class Split:
    """A split in memory: `targets` is multi-hot, bool, [rows, labels]."""

    ids: list[str]
    texts: list[str]
    targets: NDArray[np.bool_]
    labels: Labels


def encode(rows: Iterable[Row]) -> bytes:
    """The content of a split's file: what its SHA-256 in params.yaml is taken of."""
    lines = (
        json.dumps({"id": r.id, "text": r.text, "labels": r.labels}, ensure_ascii=False) + "\n"
        for r in rows
    )
    return "".join(lines).encode("utf-8")


def check(rows: list[Row], labels: Labels, where: str) -> None:
    """Raise UserError for the first row that breaks a rule, naming the row and the rule.

    The rules: at least one row; ids unique and not empty; text not blank; labels within the range
    of `labels`, none twice, and exactly one in single-label data.
    """
    if not rows:
        raise UserError(f"{where} holds no row")
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        place = f"{where}, row {number} (id {row.id!r})"
        if not row.id or row.id in seen:
            raise UserError(f"{place}: the id is {'not unique' if row.id else 'empty'}")
        seen.add(row.id)
        if not row.text.strip():
            raise UserError(f"{place}: the text is empty")
        if labels.single and len(row.labels) != 1:
            raise UserError(f"{place}: {len(row.labels)} labels, and single-label rows have one")
        if outside := [label for label in row.labels if not 0 <= label < len(labels)]:
            raise UserError(f"{place}: label {outside[0]} is outside 0 to {len(labels) - 1}")
        if len(set(row.labels)) < len(row.labels):
            raise UserError(f"{place}: a label is repeated in {row.labels}")


def write(
    folder: Path, contents: dict[str, bytes], rows: dict[str, int], labels: Labels, **origin: Any
) -> None:
    """Write each split's content, labels.json, and metadata.json with the digests of these."""
    for name, content in contents.items():
        (folder / f"{name}.jsonl").write_bytes(content)
    digests.write_json(folder / label_file.FILE, labels.content())
    contents = {**contents, "labels": (folder / label_file.FILE).read_bytes()}
    digests.write_json(
        folder / METADATA,
        {
            **origin,
            "rows": {**rows, "total": sum(rows.values())},
            "sha256": {
                name: hashlib.sha256(content).hexdigest() for name, content in contents.items()
            },
        },
    )


def load(folder: Path, *names: str) -> dict[str, Split]:
    """Read splits of a folder that fetch_dataset made, and that nothing has changed since.

    Raises:
        UserError: a file is missing or invalid, or has not the digest in metadata.json.
    """
    path = folder / METADATA
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))["sha256"]
        written = {f"{name}.jsonl": str(recorded[name]) for name in names}
        written[label_file.FILE] = str(recorded["labels"])
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro fetch_dataset`") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} is unreadable: {error!r}; `goemotions verify` says what fixes it"
        ) from None
    # Before they are read: `dvc repro` does not repair what was damaged in place.
    digests.check(folder, {name: d for name, d in written.items() if (folder / name).is_file()})
    return {name: read(folder / f"{name}.jsonl") for name in names}


def read(path: Path) -> Split:
    """Read and check a split, beside which labels.json lies.

    Raises:
        UserError: the file is missing or a line is not a valid row; names file, line and reason.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise UserError(f"{path} is missing; run `dvc repro fetch_dataset`") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8: {error}; run `dvc repro fetch_dataset`") from None
    rows = []
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        try:
            raw = json.loads(line)
            row = Row(raw["id"], raw["text"], raw["labels"])
            integers = isinstance(row.labels, list) and all(type(x) is int for x in row.labels)
            if not (isinstance(row.id, str) and isinstance(row.text, str) and integers):
                raise TypeError("id and text must be strings, labels a list of whole numbers")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(
                f"{path}, line {number} is not a row ({error!r}); run `dvc repro fetch_dataset`"
            ) from None
        rows.append(row)
    labels = Labels.read(path.parent)
    check(rows, labels, str(path))
    targets = np.zeros((len(rows), len(labels)), dtype=bool)
    for index, row in enumerate(rows):
        targets[index, row.labels] = True
    return Split([row.id for row in rows], [row.text for row in rows], targets, labels)
