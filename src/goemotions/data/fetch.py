"""Make data/<dataset>: three splits, labels.json, metadata.json and README.md."""

import hashlib
import shlex
import sys
from pathlib import Path
from typing import Any

from goemotions.config.dataset_settings import (
    Dataset,
    FilesDataset,
    HubDataset,
    Table,
    groups_problem,
)
from goemotions.data import sample, splits
from goemotions.data.card import dataset_card
from goemotions.data.faults import TextsError
from goemotions.data.labels import Labels
from goemotions.data.texts import Texts, read_texts
from goemotions.errors import UserError
from goemotions.io import hub, publish
from goemotions.io.project import pulled_by
from goemotions.io.tracked import IN_ANOTHER_PLACE, beyond, untracked


def fetch_dataset(name: str, settings: Dataset, folder: Path) -> Texts:
    """Write a dataset's files into `folder`, all of them or none.

    Returns:
        what was written, with warnings.

    Raises:
        UserError: a source cannot be reached, a row breaks a rule, or a count or a digest is not
            the pinned one. `folder` is then what it was before.
    """
    with publish.published(folder) as draft:
        try:
            texts, contents = _read(name, settings, again=False)
        except UserError as error:
            given_up = isinstance(error, hub.NotFetchedError)
            if given_up or not isinstance(settings, HubDataset) or not hub.online():
                raise
            # The Hub client's own cache may be corrupted, and the client does not check it.
            print(f"{error}\nfetching it again", file=sys.stderr)
            texts, contents = _read(name, settings, again=True)
        splits.write(
            draft,
            contents,
            {split: len(rows) for split, rows in texts.rows.items()},
            texts.labels,
            dataset=name,
            revision=getattr(settings, "revision", None),
            files=texts.files,
            warnings=texts.warnings,
        )
        (draft / "README.md").write_text(
            dataset_card(name, settings, texts.labels), encoding="utf-8"
        )
    return texts


def read(name: str, settings: Dataset, *, again: bool = False) -> Texts:
    """The rows of a dataset from its source, after all checks but the pins.

    Args:
        again: fetch from the Hub what its client has already.

    Raises:
        UserError: a source cannot be reached, or a row or the entry breaks a rule.
    """
    if isinstance(settings, Table):
        paths = _paths(name, settings, again=again)
        return read_texts(name, settings, lambda file: _bytes(file, paths[file]))
    if problem := groups_problem(settings.groups, sample.LABELS):
        raise UserError(f"datasets.{name}{problem}")
    labels = Labels(sample.LABELS, groupings=settings.groups)
    return Texts(sample.generate(settings.seed, settings.rows), labels)


def _read(name: str, settings: Dataset, *, again: bool) -> tuple[Texts, dict[str, bytes]]:
    """A dataset, and the content of each split's file, as pinned."""
    texts = read(name, settings, again=again)
    contents = {split: splits.encode(rows) for split, rows in texts.rows.items()}
    if isinstance(settings, Table):
        _compare(name, settings, texts, contents)
    return texts, contents


def _paths(name: str, settings: Table, *, again: bool) -> dict[str, Path]:
    """Where each file lies that the entry names."""
    files = settings.paths
    if isinstance(settings, HubDataset):
        # Parquet writers give different bytes for the same rows, so the rows' digests are pinned.
        names: dict[str, str | None] = dict.fromkeys(files)
        return hub.from_hub("dataset", settings.repo, settings.revision, names, again=again)
    for file in files:
        if not Path(file).is_file():
            remedy = (
                f"if it is elsewhere, copy it into {Path(file).parent}. A temporary or queued "
                f"experiment sees only files that git or DVC tracks: git add {shlex.quote(file)}"
            )
            if pull := pulled_by(Path(file)):
                remedy = f"DVC tracks it, so `{pull}` brings it"
            raise TextsError(f"datasets.{name}: {file} does not exist; {remedy}")
    for file in files:
        if folder := beyond(Path(file)):
            raise TextsError(f"datasets.{name}: {file} {IN_ANOTHER_PLACE.format(folder)}")
    if missing := untracked([Path(file) for file in files]):
        shown = " ".join(shlex.quote(str(file)) for file in missing)
        raise TextsError(
            f"datasets.{name}: neither git nor DVC tracks {shown}, so experiments and clones "
            f"would not have it: git add {shown} (for large files first dvc add {shown}, and then "
            "git add the .dvc files it makes)"
        )
    return {file: Path(file) for file in files}


def _bytes(file: str, path: Path) -> bytes:
    before = path.stat()
    content = path.read_bytes()
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise TextsError(f"{file} changed while it was read; run this again when it is complete")
    return content


def _compare(name: str, pins: Table, texts: Texts, contents: dict[str, bytes]) -> None:
    """Compare what was read with the counts and digests that the entry pins."""
    found: dict[str, dict[str, Any]] = {
        "rows": {split: len(rows) for split, rows in texts.rows.items()},
        "sha256": {
            split: hashlib.sha256(content).hexdigest() for split, content in contents.items()
        },
    }
    for setting, actual in found.items():
        for split, pinned in (getattr(pins, setting) or {}).items():
            if actual[split] == pinned:
                continue
            message = (
                f"{name}, split {split}: {setting} is {actual[split]}, but "
                f"datasets.{name}.{setting}.{split} pins {pinned}"
            )
            if isinstance(pins, FilesDataset):
                raise UserError(f"{message}; a file has changed. Restore it, or correct {setting}")
            raise UserError(
                f"{message}; the source does not hold revision {pins.revision}. "  # type: ignore[attr-defined]
                "Fetch it again, or correct the mirror; if the entry was changed on purpose, "
                f"correct or remove its {setting}"
            )
