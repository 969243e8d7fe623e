"""Make data/<dataset>: three splits, metadata.json and README.md, compared with their pins."""

import errno
import glob
import hashlib
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from goemotions import config
from goemotions.data import sample, splits
from goemotions.data.card import card
from goemotions.data.labels import Labels
from goemotions.errors import UserError, first_line, of_disk
from goemotions.io import hub, publish
from goemotions.io.parquet import open_parquet
from goemotions.labels import EKMAN, LABELS, SENTIMENT

if TYPE_CHECKING:
    import pyarrow

_LABELS = Labels(LABELS, groupings={"ekman": EKMAN, "sentiment": SENTIMENT})


def fetch(name: str, settings: config.Dataset, folder: Path) -> dict[str, int]:
    """Write a dataset's files into `folder`, all of them or none.

    Returns:
        split -> number of rows.

    Raises:
        UserError: a source cannot be reached, a row breaks a rule, or a count or a digest is not
            the pinned one. `folder` is then what it was before.
    """
    with publish.published(folder) as draft:
        paths = _paths(settings, again=False)
        try:
            contents, counts = _contents(name, settings, paths, draft)
        except UserError as error:
            if not paths or not hub.online():
                raise
            # The Hub client's own cache may be corrupted, and the client does not check it.
            print(f"{error}\nfetching it again", file=sys.stderr)
            contents, counts = _contents(name, settings, _paths(settings, again=True), draft)
        revision = getattr(settings, "revision", None)
        splits.write(draft, contents, counts, _LABELS, dataset=name, revision=revision)
        (draft / "README.md").write_text(card(name, settings), encoding="utf-8")
    return counts


def _paths(settings: config.Dataset, *, again: bool) -> dict[str, Path]:
    """The parquet files by split; none for the generated sample."""
    if not isinstance(settings, config.HubDataset):
        return {}
    # Parquet writers give different bytes for the same rows, so the rows' digests are pinned.
    names: dict[str, str | None] = dict.fromkeys(settings.files.values())
    paths = hub.from_hub(
        "dataset", settings.repo, settings.revision, names, any_bytes=True, again=again
    )
    return {split: paths[settings.files[split]] for split in settings.files}


def _contents(
    name: str, settings: config.Dataset, paths: dict[str, Path], draft: Path
) -> tuple[dict[str, bytes], dict[str, int]]:
    """Each split's content and number of rows, after all checks.

    Args:
        draft: a folder for temporary files.
    """
    if isinstance(settings, config.HubDataset):
        rows = {split: read_rows(path, draft) for split, path in paths.items()}
    else:
        rows = sample.generate(settings.seed, settings.rows)
    contents = {}
    for split in splits.SPLITS:
        splits.check(rows[split], _LABELS, f"{name}, split {split}")
        contents[split] = splits.encode(rows[split])
    counts = {split: len(rows[split]) for split in splits.SPLITS}
    if isinstance(settings, config.HubDataset):
        digests = {
            split: hashlib.sha256(content).hexdigest() for split, content in contents.items()
        }
        _compare(name, settings, counts, digests)
    return contents, counts


def _compare(
    name: str, pins: config.HubDataset, counts: dict[str, int], digests: dict[str, str]
) -> None:
    for setting, actual in (("rows", counts), ("sha256", digests)):
        pinned = getattr(pins, setting)
        for split in splits.SPLITS:
            if actual[split] != pinned[split]:
                raise UserError(
                    f"{name}, split {split}: {setting} is {actual[split]}, but "
                    f"datasets.{name}.{setting}.{split} pins {pinned[split]}; the source does not "
                    f"hold revision {pins.revision}. Fetch it again, or correct the mirror"
                )


def read_rows(path: Path, temporary: Path) -> list[splits.Row]:
    """The rows of a parquet file, by `datasets`.

    Args:
        path: the file.
        temporary: where to make and remove the cache of `datasets`. In a cache that outlives the
            run, another file of the same path, size and time would be taken for this one.

    Raises:
        UserError: the file cannot be read, or has no columns of these names and types.
    """
    import datasets

    features = datasets.Features(
        id=datasets.Value("string"),
        text=datasets.Value("string"),
        labels=datasets.List(datasets.ClassLabel(names=list(LABELS))),
    )
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)  # it also raises what it logs
    try:
        file = open_parquet(path.read_bytes())
        _check_types(file.schema_arrow)
        if not file.metadata.num_rows:  # which `datasets` cannot read
            return []
        with tempfile.TemporaryDirectory(dir=temporary) as cache:
            table = datasets.load_dataset(
                "parquet",
                data_files=glob.escape(str(path.absolute())),
                split="train",
                features=features,
                columns=list(features),
                cache_dir=cache,
                keep_in_memory=True,
            )[:]
        columns = zip(table["id"], table["text"], table["labels"], strict=True)
        rows = [splits.Row(i, t, list(labels)) for i, t, labels in columns]
        if not all(type(label) is int for row in rows for label in row.labels):
            raise TypeError("a label is missing")
        return rows
    except Exception as error:  # damaged files make pyarrow and datasets raise many types
        cause = _cause(error)
        if of_disk(cause):
            raise cause from None
        raise UserError(
            f"{path} is not a parquet file with the columns id, text and labels: "
            f"{first_line(cause)}"
        ) from None


def _cause(error: Exception) -> BaseException:
    """What `datasets` wrapped, and with an error number what it noticed by itself."""
    import datasets

    if isinstance(error, OSError) and str(error).startswith("Not enough disk space"):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    wrapped = isinstance(error, datasets.exceptions.DatasetsError)
    return (error.__cause__ if wrapped else None) or error


def _check_types(schema: "pyarrow.Schema") -> None:
    """Refuse what `datasets` would convert: for it the label "1" is the label of index 1."""
    from pyarrow import types

    for name in ("id", "text"):
        if not (types.is_string(kind := schema.field(name).type) or types.is_large_string(kind)):
            raise TypeError(f"{name} is a column of {kind}, and must be one of strings")
    kind = schema.field("labels").type
    if not (types.is_list(kind) or types.is_large_list(kind)) or not types.is_integer(
        kind.value_type
    ):
        raise TypeError(f"labels is a column of {kind}, and must be one of lists of whole numbers")
